#include "store/impl.h"

#include "vocab/limits.h"

#include <assert.h>
#include <stdlib.h>

#define VERSION_EPOCH_MS INT64_C(1704067200000) /* 2024-01-01T00:00:00Z */
#define VERSION_MS_SHIFT 20
#define VERSION_TAG_MASK UINT64_C(0xff)
/* How far the clocks of two threads may lie apart: a long turn is 256 ms. */
#define TURN_MAX         (UINT64_C(256) << VERSION_MS_SHIFT)

#define DEFAULT_PAGE     (64u << 10)
#define RESERVE_MIN      (UINT64_C(16) << 30) /* so that cache_memlimit has somewhere to go */
#define BYTES_PER_KEY    UINT64_C(12)         /* of a table as full as it gets before it grows */
#define BYTES_PER_BUCKET 128 /* of arena, at the least: 32-byte chunks, five or six to a bucket */

static uint64_t
version_of_ms(int64_t unix_ms)
{
    return unix_ms <= VERSION_EPOCH_MS ? 0
                                       : (uint64_t)(unix_ms - VERSION_EPOCH_MS) << VERSION_MS_SHIFT;
}

static void
raise_u64(_Atomic uint64_t *v, uint64_t to)
{
    uint64_t have = atomic_load_explicit(v, memory_order_relaxed);

    while (have < to && !atomic_compare_exchange_weak_explicit(v, &have, to, memory_order_relaxed,
                                                               memory_order_relaxed)) {
    }
}

static size_t
reserve_for(const struct store_config *config)
{
    if (config->memory_max != 0) {
        return config->memory_max > config->memory_limit ? config->memory_max
                                                         : config->memory_limit;
    }
    size_t twice = config->memory_limit * 2;
    return twice > RESERVE_MIN ? twice : RESERVE_MIN;
}

/* The hint for the table's size, as far as the table then takes an eighth of the memory at most. */
static unsigned
hash_power_of(const struct store_config *config)
{
    unsigned power = config->hash_power < 40 ? config->hash_power : 40;

    while (power > 0 && (BYTES_PER_KEY << power) > config->memory_limit / 8) {
        power--;
    }
    return power;
}

/* Reserves address space, less of it where the system is stingy. */
static err_t
store_reserve(struct store *s, const struct class_table *table, struct err_detail *d)
{
    size_t reserve = reserve_for(&s->config);
    err_t e = ERR_OK;

    for (;; reserve = reserve / 2 > s->config.memory_limit ? reserve / 2 : s->config.memory_limit) {
        /* One unused page in front, and slack for the pages that classes keep open. */
        size_t bytes = reserve + 64 * (size_t)table->page_size;
        e = slab_init(&s->slab, table, bytes, s->config.memory_limit, &s->table.bytes, d);
        if (!e) {
            e = table_init(&s->table, bytes / BYTES_PER_BUCKET, hash_power_of(&s->config), d);
        }
        if (!e || reserve == s->config.memory_limit) {
            return e;
        }
        slab_fini(&s->slab);
        table_fini(&s->table);
    }
}

void
store_tune(struct store *s, const struct store_tuning *t)
{
#define TUNE(field, value) atomic_store_explicit(&s->tuning.field, (value), memory_order_relaxed)
    TUNE(moves, t->moves);
    TUNE(moves_eager, t->moves_eager);
    TUNE(move_ratio, t->move_ratio);
    TUNE(move_window, t->move_window);
    TUNE(crawler, t->crawler);
    TUNE(crawler_sleep, t->crawler_sleep);
    TUNE(crawler_max, t->crawler_max);
    TUNE(flat, t->flat);
    TUNE(small_percent, t->small_percent);
    TUNE(temporary_ttl, t->temporary_ttl);
#undef TUNE
}

struct store *
store_new(const struct store_config *config, struct err_detail *d)
{
    assert(config->memory_limit > 0 && config->item_size_max <= VALUE_MAX);
    struct class_table table;
    struct store *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);

    if (s == NULL) {
        (void)err_set(d, ERR_NOMEM, "no memory for the store");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->config = *config;
    store_tune(s, &config->tuning);
    uint32_t page = config->page_size != 0 ? (uint32_t)config->page_size : DEFAULT_PAGE;
    const struct class_shape shape = { .page_size = page,
                                       .factor = config->factor,
                                       .chunk_min = config->chunk_min,
                                       .chunk_max = config->chunk_max,
                                       .sizes = config->chunk_sizes,
                                       .size_count = config->chunk_size_count };
    class_table_init(&table, &shape);
    s->config.chunk_sizes = NULL; /* was lent */
    s->epoch = config->start / USEC_PER_SEC - STORE_CLOCK_START;
    s->move.page = SLAB_NO_PAGE;
    s->tick_crawler = config->tuning.crawler;
    s->reset_base = calloc(STORE_CLASSES_MAX, sizeof *s->reset_base);
    s->gone = calloc(STORE_CLASSES_MAX, sizeof *s->gone);
    if (s->reset_base == NULL || s->gone == NULL || store_reserve(s, &table, d) ||
        (config->preallocate && slab_preallocate(&s->slab, d))) {
        store_free(s);
        return NULL;
    }
    return s;
}

void
store_free(struct store *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; i < STORE_CTX_MAX; i++) {
        assert(s->ctxs[i] == NULL);
    }
    slab_fini(&s->slab);
    table_fini(&s->table);
    free(s->reset_base);
    free(s->gone);
    free(s);
}

static void
ctx_release(struct store_ctx *c)
{
    event_fini(c);
    free(c->stocks);
    free(c->counts);
    free(c->hits);
    free(c);
}

struct store_ctx *
store_ctx_new(struct store *s, struct metrics *metrics)
{
    size_t classes = s->slab.table.count + 1;
    struct store_ctx *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);

    if (c == NULL) {
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->store = s;
    c->metrics = metrics;
    c->stocks = calloc(classes, sizeof *c->stocks);
    c->counts = calloc(classes, sizeof *c->counts);
    c->hits = calloc(classes, sizeof *c->hits);
    bool placed = false;
    spin_lock(&s->ctx_lock);
    for (unsigned i = 0; i < STORE_CTX_MAX && !placed && c->stocks && c->counts && c->hits; i++) {
        if (s->ctxs[i] == NULL) {
            c->index = i;
            rng_init(&c->rng, i);
            s->ctxs[i] = c;
            placed = true;
        }
    }
    spin_unlock(&s->ctx_lock);
    store_turn(c, s->config.start);
    if (!placed) {
        ctx_release(c);
        return NULL;
    }
    return c;
}

void
store_add_hits(struct store_class_stats *to, const struct store_ctx *c, unsigned id)
{
    const _Atomic int64_t *n = c->hits[id];

    to->hits_small += atomic_load_explicit(&n[HIT_SMALL], memory_order_relaxed);
    to->hits_main += atomic_load_explicit(&n[HIT_MAIN], memory_order_relaxed);
    to->hits_cold += atomic_load_explicit(&n[HIT_COLD], memory_order_relaxed);
    to->hits_temp += atomic_load_explicit(&n[HIT_TEMP], memory_order_relaxed);
}

void
store_ctx_free(struct store_ctx *c)
{
    if (c == NULL) {
        return;
    }
    struct store *s = c->store;
    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        for (struct item *chunk; (chunk = stock_pop(&c->stocks[id])) != NULL;) {
            slab_give(&s->slab, chunk);
        }
    }
    atomic_fetch_add_explicit(&s->table.keys, c->keys_delta, memory_order_relaxed);
    raise_u64(&s->removed, atomic_load_explicit(&c->clock, memory_order_relaxed));
    spin_lock(&s->ctx_lock);
    s->ctxs[c->index] = NULL;
    for (unsigned id = 1; id <= s->slab.table.count; id++) { /* its counts live on */
        for (int i = 0; i < STORE_COUNTS; i++) {
            s->gone[id].counts[i] += atomic_load_explicit(&c->counts[id][i], memory_order_relaxed);
        }
        store_add_hits(&s->gone[id], c, id);
    }
    spin_unlock(&s->ctx_lock);
    ctx_release(c);
}

struct store *
store_of(struct store_ctx *c)
{
    return c->store;
}

/* -- time and versions --------------------------------------------------------------------------
 */

void
store_turn(struct store_ctx *c, usec_t now)
{
    struct store *s = c->store;
    int64_t sec = now / USEC_PER_SEC - s->epoch;

    c->now = now;
    c->sec = sec < STORE_CLOCK_START ? STORE_CLOCK_START : (uint32_t)sec;
    if (c->sec != atomic_load_explicit(&s->now, memory_order_relaxed)) {
        atomic_store_explicit(&s->now, c->sec, memory_order_relaxed);
    }
    c->wall = version_of_ms(now / USEC_PER_MSEC) | s->config.node_tag;
    event_turn(c);
    uint32_t at = atomic_load_explicit(&s->flush_at, memory_order_relaxed);
    if (at != 0 && c->sec >= at) {
        store_due_flush(c);
    }
}

uint32_t
store_seconds(const struct store_ctx *c)
{
    return c->sec;
}

int64_t
store_epoch(const struct store *s)
{
    return s->epoch;
}

uint32_t
store_expiry(const struct store_ctx *c, int64_t exptime)
{
    if (exptime == 0) {
        return 0;
    }
    int64_t at = exptime <= EXPTIME_REL_MAX ? exptime + c->sec : exptime - c->store->epoch;
    if (exptime < 0 || at <= STORE_CLOCK_START) {
        return 1;
    }
    return at > UINT32_MAX ? UINT32_MAX : (uint32_t)at;
}

static uint64_t
max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t
store_next_version(struct store_ctx *c, uint64_t above)
{
    uint64_t last = atomic_load_explicit(&c->clock, memory_order_relaxed);
    uint64_t floor = atomic_load_explicit(&c->store->floor, memory_order_relaxed);
    uint64_t gone = atomic_load_explicit(&c->store->removed, memory_order_relaxed);

    last = max_u64(max_u64(last, above), max_u64(floor, gone));
    /* Behind the last one: the next counter, with our own tag. */
    uint64_t v = max_u64(c->wall, (last | VERSION_TAG_MASK) + 1 + c->store->config.node_tag);
    assert(v > above && v >> 63 == 0);
    atomic_store_explicit(&c->clock, v, memory_order_relaxed);
    return v;
}

void
store_observe_version(struct store_ctx *c, uint64_t version)
{
    if (version > atomic_load_explicit(&c->clock, memory_order_relaxed)) {
        atomic_store_explicit(&c->clock, version, memory_order_relaxed);
    }
}

/*
 * A key that goes takes its version with it; if it was stamped just now, another thread, whose turn
 * began earlier, could give the key's next life the same or a lower stamp, and an old cas would
 * match it.
 */
void
store_note_removed(struct store_ctx *c, uint64_t version)
{
    if (version + TURN_MAX >= c->wall) {
        raise_u64(&c->store->removed, version);
    }
}

uint64_t
store_last_version(struct store_ctx *c)
{
    struct store *s = c->store;
    uint64_t v = max_u64(c->wall, atomic_load_explicit(&s->removed, memory_order_relaxed));

    spin_lock(&s->ctx_lock);
    for (unsigned i = 0; i < STORE_CTX_MAX; i++) {
        if (s->ctxs[i] != NULL) {
            v = max_u64(v, atomic_load_explicit(&s->ctxs[i]->clock, memory_order_relaxed));
        }
    }
    spin_unlock(&s->ctx_lock);
    return v;
}

void
store_flush(struct store_ctx *c, uint32_t at)
{
    struct store *s = c->store;
    uint64_t last = store_last_version(c);

    spin_lock(&s->flush_lock);
    if (at <= c->sec) {
        atomic_store_explicit(&s->flush_at, 0, memory_order_relaxed);
        raise_u64(&s->floor, last);
    } else {
        uint64_t v = version_of_ms((s->epoch + at) * 1000);
        atomic_store_explicit(&s->flush_version, v != 0 ? v - 1 : 0, memory_order_relaxed);
        atomic_store_explicit(&s->flush_at, at, memory_order_relaxed);
    }
    spin_unlock(&s->flush_lock);
}

void
store_due_flush(struct store_ctx *c)
{
    struct store *s = c->store;

    spin_lock(&s->flush_lock);
    uint32_t at = atomic_load_explicit(&s->flush_at, memory_order_relaxed);
    if (at != 0 && c->sec >= at) {
        raise_u64(&s->floor, atomic_load_explicit(&s->flush_version, memory_order_relaxed));
        atomic_store_explicit(&s->flush_at, 0, memory_order_relaxed);
    }
    spin_unlock(&s->flush_lock);
}

/* -- finding ------------------------------------------------------------------------------------
 */

uint64_t
store_hash(struct slice key)
{
    return hash_bytes(key.ptr, key.len);
}

uint64_t
store_hash_item(const struct item *it)
{
    uint64_t room[34];
    uint32_t meta = item_meta(it), n = meta_key_len(meta);

    return hash_bytes(item_get_bytes(it, meta_key_at(meta), n, room), n);
}

uint64_t
store_hash_of_handle(const void *store, uint64_t handle)
{
    const struct store *s = store;

    return store_hash_item(slab_item(&s->slab, handle));
}

void
store_prefetch_bucket(const struct store *s, uint64_t hash)
{
    __builtin_prefetch(table_bucket(&s->table, hash));
}

void
store_prefetch_item(const struct store *s, uint64_t hash)
{
    uint64_t tag = hash >> SLOT_TAG_SHIFT;
    const struct bucket *b = table_bucket(&s->table, hash);

    /* Who is beyond the first overflow bucket is rare. */
    for (int links = 0; b != NULL && links < 2; b = bucket_next(&s->table, b), links++) {
#pragma GCC unroll 8
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t v = slot_load(&b->slot[i]);
            if (v >> SLOT_TAG_SHIFT == tag) {
                const char *it = (const char *)slab_item(&s->slab, v & SLOT_HANDLE_MASK);
                /* Not every processor fetches the next line by itself, and small items lie across
                 * two or three. */
                __builtin_prefetch(it);
                __builtin_prefetch(it + 64);
                __builtin_prefetch(it + 128);
                return;
            }
        }
    }
}

enum store_found
store_judge(const struct store *s, uint32_t sec, const struct item *it)
{
    uint32_t meta = item_meta(it);

    return item_judge(s, sec, item_load_version(it), item_ext(it, meta).expires, meta);
}

bool
item_is_dead(const struct store_ctx *c, const struct item *it)
{
    enum store_found f = store_judge(c->store, c->sec, it);

    return f == STORE_EXPIRED || f == STORE_FLUSHED;
}

void
store_count_key(struct store_ctx *c, int delta)
{
    struct table *t = &c->store->table;
    int step = c->store->config.items_max != 0 ? 1 : KEYS_STEP;

    c->keys_delta += delta;
    if (c->keys_delta >= step || c->keys_delta <= -step) {
        atomic_fetch_add_explicit(&t->keys, c->keys_delta, memory_order_relaxed);
        c->keys_delta = 0;
    }
}

void
store_count(struct store_ctx *c, uint8_t class_id, enum store_count what)
{
    assert(class_id <= c->store->slab.table.count && what < STORE_COUNTS);
    _Atomic int64_t *n = &c->counts[class_id][what];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

bool
store_is_asked(const struct store *s)
{
    return atomic_load_explicit(&s->asked, memory_order_relaxed);
}

bool
store_set_limit(struct store *s, size_t bytes)
{
    if (s->config.preallocate || bytes > s->slab.reserved - 64 * (size_t)s->slab.table.page_size) {
        return false;
    }
    slab_set_limit(&s->slab, bytes);
    return true;
}

usec_t
store_tick(struct store_ctx *c, unsigned budget)
{
    struct table *t = &c->store->table;

    if (store_is_asked(c->store)) { /* before the requests are looked at */
        atomic_exchange_explicit(&c->store->asked, false, memory_order_acquire);
    }
    store_due_flush(c);
    metric_add(c->metrics, M_JUGGLES, 1);
    for (unsigned i = 0; i < budget / 8 + 1 && table_wants_growth(t); i++) {
        if (!table_split(t, store_hash_of_handle, c->store)) {
            break;
        }
    }
    usec_t walk = expire_tick(c, budget);
    return balance_tick(c, budget) && walk > USEC_PER_MSEC ? USEC_PER_MSEC : walk;
}
