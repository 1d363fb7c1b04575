/*
 * corners.c - where the engine's parts meet: what happens between two steps of a scan, to items
 * that change in place, without memory, without eviction, with clocks apart.
 */
#include "engine.h"
#include "store/grip.h"

#define SCANNED 20000

/* What a scan's callback does to the store that is being scanned. */
struct meddler {
    struct engine *e;
    unsigned char *seen;
    int next;   /* number of the next key to add; 0: none are added */
    bool erase; /* even keys are deleted when they are shown */
};

static void
meddle(void *arg, const struct store_record *r, uint8_t class_id)
{
    struct meddler *m = arg;
    struct store_txn t;
    char key[32];
    int n;

    cr_assert(class_id > 0);
    cr_assert_eq(sscanf(r->key.ptr, "k%d", &n), 1);
    if (n < SCANNED) {
        m->seen[n] = 1;
    }
    if (m->erase && n % 2 == 0) {
        store_lock(m->e->ctx, r->key, store_hash(r->key), &t);
        store_remove(&t);
        store_unlock(&t);
    }
    for (int i = 0; i < 3 && m->next > 0 && m->next < 4 * SCANNED; i++) {
        snprintf(key, sizeof key, "k%d", m->next++);
        (void)engine_set(m->e, key, key);
    }
}

static void
scan_meddling(struct meddler *m, int keys)
{
    uint64_t cursor = 0;
    char key[32];

    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_set(m->e, key, key);
    }
    while (!store_scan(m->e->ctx, &cursor, 100, meddle, m)) {
    }
    for (int i = 0; i < keys; i++) {
        cr_assert(m->seen[i], "k%d of %d was not shown", i, keys);
    }
}

/* Who is deleted while the bucket is open must not hide its neighbours. */
Test(corners, a_scan_that_deletes_misses_nothing)
{
    static unsigned char seen[SCANNED];
    const struct store_config config = engine_config(64 << 20);
    struct engine e;
    struct meddler m = { .e = &e, .seen = seen, .erase = true };

    engine_init(&e, &config);
    scan_meddling(&m, SCANNED);
    engine_fini(&e);
}

/* The very bucket that is being shown may be split in between. */
Test(corners, a_scan_that_makes_the_table_grow_misses_nothing)
{
    static unsigned char seen[SCANNED];
    const struct store_config config = engine_config(64 << 20);

    for (int keys = 4000; keys < SCANNED; keys += 397) { /* the splits meet the scan elsewhere */
        struct engine e;
        struct meddler m = { .e = &e, .seen = seen, .next = SCANNED };
        memset(seen, 0, sizeof seen);
        engine_init(&e, &config);
        scan_meddling(&m, keys);
        engine_fini(&e);
    }
}

/* Counters are set and counted up: in a full store they must stay evictable. */
Test(corners, items_changed_in_place_can_be_evicted)
{
    const struct store_config config = engine_config(4 << 20);
    struct engine e;
    struct store_txn t;
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof key, "counter-%d", i);
        cr_assert_neq(engine_set(&e, key, "10"), 0, "%s finds no memory", key);
        engine_begin(&e, key, &t);
        if (t.old != NULL) {
            cr_assert(store_rewrite(&t, SLICE("11"), 0));
        }
        store_unlock(&t);
    }
    engine_fini(&e);
}

/* Fills a store that may not evict; returns how many fit. */
static int
fill_up(struct engine *e, uint32_t size)
{
    static char data[4096];
    char key[32];
    int n = 0;

    for (;; n++) {
        snprintf(key, sizeof key, "fill-%d", n);
        if (engine_put(e, key, slice_of(data, size), 0, 0) == 0) {
            return n;
        }
    }
}

/* -M: a write that is refused must not search all of memory first. */
Test(corners, to_refuse_is_cheap)
{
    struct store_config config = engine_config(16 << 20);
    struct engine e;

    config.evict = false;
    engine_init(&e, &config);
    (void)fill_up(&e, 500);
    int64_t before = engine_metric(&e, M_MOVE_BUSY_NOMEM);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(engine_put(&e, "small", SLICE("v"), 0, 0), 0);
    }
    int64_t looked = engine_metric(&e, M_MOVE_BUSY_NOMEM) - before;
    cr_expect(looked < 1000, "%lld items were looked at in vain", (long long)looked);
    engine_fini(&e);
}

/* -M with a limit below what lives: there is nothing to be done, so nothing is done often. */
Test(corners, what_cannot_shrink_lets_the_background_sleep)
{
    struct store_config config = engine_config(16 << 20);
    struct engine e;
    int soon = 0;

    config.evict = false;
    engine_init(&e, &config);
    int n = fill_up(&e, 500);
    cr_assert(store_set_limit(e.store, 8 << 20));
    for (int i = 0; i < 1000; i++) {
        soon += store_tick(e.ctx, 10000) < USEC_PER_SEC;
    }
    cr_expect(soon < 100, "%d of 1000 calls in one second ask for more", soon);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), n);
    engine_fini(&e);
}

/* Items that live for a day are no reason to walk over them every half minute. */
Test(corners, the_crawler_does_not_walk_in_vain)
{
    const struct store_config config = engine_config(16 << 20);
    struct engine e;
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_put(&e, key, SLICE("some value"), 40000 + i, 0);
    }
    for (int i = 0; i < 2000; i++) {
        engine_pass(&e, 1);
        engine_settle(&e);
    }
    int64_t checked = engine_metric(&e, M_CRAWLER_CHECKED);
    cr_expect(checked < 5 * 25000, "%lld looked at in 2000 s", (long long)checked);
    engine_pass(&e, 70000);
    for (int i = 0; i < 1100; i++) {
        engine_pass(&e, 1);
        engine_settle(&e);
    }
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 0, "but in the end they are found");
    engine_fini(&e);
}

/* Newer bytes that find no room: the older ones may not be shown in their place. */
Test(corners, a_record_without_memory_takes_the_old_value_along)
{
    struct store_config config = engine_config(4 << 20);
    static char large[100000];
    struct store_hit hit;
    struct engine e;

    config.evict = false;
    engine_init(&e, &config);
    uint64_t v = engine_set(&e, "k", "old");
    (void)fill_up(&e, 500);
    struct store_record r = { .key = SLICE("k"),
                              .value = slice_of(large, sizeof large),
                              .version = v + 256 };
    cr_assert_eq(store_merge(e.ctx, &r), STORE_REFUSED);
    cr_expect_eq(engine_look(&e, "k", &hit), STORE_MISS);
    engine_fini(&e);
}

/* A thread in a long turn has an old time of day; what it writes is newer all the same. */
Test(corners, versions_rise_between_threads_whose_turns_lie_apart)
{
    const struct store_config config = engine_config(8 << 20);
    struct metrics *row = aligned_alloc(64, sizeof *row);
    struct engine e, late;
    struct store_txn t;

    memset(row, 0, sizeof *row);
    engine_init(&e, &config);
    late = e;
    late.ctx = store_ctx_new(e.store, row);
    store_turn(late.ctx, e.now);
    engine_pass(&e, 0.010);
    uint64_t v = engine_set(&e, "k", "v");
    engine_pass(&e, 0.010);
    engine_begin(&e, "k", &t);
    store_remove(&t);
    store_unlock(&t);
    uint64_t after = engine_set(&late, "k", "w");
    cr_expect(after > v, "%llx after %llx", (unsigned long long)after, (unsigned long long)v);
    store_ctx_free(late.ctx);
    engine_fini(&e);
    free(row);
}

/* The end of a tombstone is not the expiry of an item. */
Test(corners, a_forgotten_delete_is_a_miss)
{
    struct store_config config = engine_config(8 << 20);
    struct store_hit hit;
    struct store_txn t;
    struct engine e;

    config.tombstone_life = 10;
    engine_init(&e, &config);
    (void)engine_set(&e, "k", "v");
    engine_begin(&e, "k", &t);
    store_remove(&t);
    store_unlock(&t);
    engine_pass(&e, 11);
    cr_expect_eq(engine_look(&e, "k", &hit), STORE_MISS);
    cr_expect_eq(engine_metric(&e, M_EXPIRED_UNFETCHED), 0);
    engine_fini(&e);
}

/* Large values that are wanted outlive large values that are not, as small ones do. */
Test(corners, hot_large_values_stay)
{
    const struct store_config config = engine_config(16 << 20);
    static char data[400000];
    struct store_hit hit;
    struct engine e;
    char key[32];
    int hits = 0;

    engine_init(&e, &config);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "cold-%d", i);
        (void)engine_put(&e, key, slice_of(data, sizeof data), 0, 0);
        snprintf(key, sizeof key, "hot-%d", i % 10);
        if (engine_look(&e, key, &hit) == STORE_HIT) {
            store_unpin(e.ctx, hit.pinned);
            hits += i >= 1000;
        } else {
            (void)engine_put(&e, key, slice_of(data, sizeof data), 0, 0);
        }
    }
    cr_expect(hits > 900, "%d of 1000", hits);
    engine_fini(&e);
}

/* Few large items become many small ones: the table grows while pages change hands. */
Test(corners, a_growing_table_stays_within_the_limit)
{
    const size_t limit = 16 << 20;
    const struct store_config config = engine_config(limit);
    static char data[4000];
    struct engine e;
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 8000; i++) {
        snprintf(key, sizeof key, "large-%d", i);
        (void)engine_put(&e, key, slice_of(data, sizeof data), 0, 0);
    }
    for (int i = 0; i < 1000000; i++) {
        snprintf(key, sizeof key, "%d", i);
        cr_assert_neq(engine_set(&e, key, "v"), 0, "%s", key);
        if (i % 10000 == 0) {
            cr_assert(engine_used(&e) <= limit + (1 << 20), "%zu after %d", engine_used(&e), i);
            engine_pass(&e, 1);
            engine_settle(&e);
        }
    }
    cr_expect(engine_metric(&e, M_CURR_ITEMS) > 200000, "%lld",
              (long long)engine_metric(&e, M_CURR_ITEMS));
    engine_fini(&e);
}

/* The hand may write a frequency into what it takes for an item, when it long is a piece. */
Test(corners, a_piece_does_not_depend_on_what_the_hand_writes)
{
    const struct store_config config = engine_config(16 << 20);
    static char data[200000];
    struct value_cursor v;
    struct store_hit hit;
    struct engine e;
    size_t n, all = 0;

    engine_init(&e, &config);
    (void)engine_put(&e, "k", slice_of(data, sizeof data), 0, 0);
    cr_assert_eq(engine_look(&e, "k", &hit), STORE_HIT);
    value_cursor_init(&v, e.store, hit.pinned);
    while (value_cursor_span(&v, e.store, &n) != NULL) {
        item_set_seen(v.chunk, 0xdeadbeef);
        all += n;
        value_cursor_advance(&v, e.store, n);
    }
    value_cursor_init(&v, e.store, hit.pinned);
    while (value_cursor_span(&v, e.store, &n) != NULL) {
        all -= n;
        value_cursor_advance(&v, e.store, n);
    }
    cr_expect_eq(all, 0);
    store_unpin(e.ctx, hit.pinned);
    engine_fini(&e);
}

/* A chunk that no longer is a piece names anything as its owner: bytes of a key, perhaps. */
Test(corners, an_owner_that_is_no_place_is_not_looked_at)
{
    const struct store_config config = engine_config(16 << 20);
    static _Alignas(64) uint64_t words[8];
    struct item *piece = (struct item *)(void *)words;
    struct engine e;

    engine_init(&e, &config);
    struct slab *s = &e.store->slab;
    static const char bytes[] = "kkkkkkkk";
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    words[2] = word;
    cr_expect_null(grip_owner(s, piece), "no address at all");
    words[2] = (uint64_t)(s->page_max - 1) << (s->page_shift - 3);
    cr_expect_null(grip_owner(s, piece), "a page that was never used");
    (void)engine_set(&e, "k", "v");
    words[2] = ((uint64_t)2 << (s->page_shift - 3)) - 1;
    cr_expect_null(grip_owner(s, piece), "too close to the page's end");
    words[2] = (uint64_t)1 << (s->page_shift - 3);
    cr_expect_not_null(grip_owner(s, piece), "a place in a page");
    engine_fini(&e);
}

/* After a flush the small queue is full of what is gone; no single write has to clean up. */
Test(corners, what_is_gone_leaves_the_small_queue_bit_by_bit)
{
    const struct store_config config = engine_config(16 << 20);
    struct engine e;
    char key[32];
    uint32_t most = 0;
    int n = 0;

    engine_init(&e, &config);
    uint8_t id = class_for(&e.store->slab.table, 16 + 8 + 1);
    const struct slab_class *k = &e.store->slab.classes[id];
    for (; n < 700000; n++) {
        snprintf(key, sizeof key, "%08d", n);
        (void)engine_set(&e, key, "v");
    }
    cr_assert(k->ring_count > 10000, "%u", k->ring_count);
    store_flush(e.ctx, 0);
    engine_settle(&e);
    for (; n < 1400000; n++) {
        uint32_t before = k->ring_count;
        snprintf(key, sizeof key, "%08d", n);
        (void)engine_set(&e, key, "v");
        most =
            before > k->ring_count && before - k->ring_count > most ? before - k->ring_count : most;
    }
    cr_expect(most <= 1000, "%u entries in one write", most);
    engine_fini(&e);
}

/* A hint for the table's size that is larger than all memory leaves room for items. */
Test(corners, a_large_hash_power_does_not_eat_the_memory)
{
    struct store_config config = engine_config(64 << 20);
    struct store_stats st;
    struct engine e;

    config.hash_power = 32;
    engine_init(&e, &config);
    store_get_stats(e.store, &st);
    cr_expect(st.table_bytes <= (64 << 20) / 8, "%zu", st.table_bytes);
    cr_expect(st.table_bytes > 1 << 20, "but a hint it is: %zu", st.table_bytes);
    cr_expect_neq(engine_set(&e, "k", "v"), 0);
    engine_fini(&e);
}

/* Statistics of a large class are an estimate from some of its pages; it has to be a good one. */
Test(corners, figures_of_many_pages_are_close)
{
    struct engine e;
    const struct store_config config = engine_config(64 << 20);
    struct store_stats st;
    uint64_t items = 0, bytes = 0;
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 120000; i++) {
        snprintf(key, sizeof key, "key-%06d", i);
        cr_assert_neq(engine_put(&e, key, slice_of(key, 10), 0, 0), 0);
    }
    static char large[300];
    for (int i = 0; i < 60000; i++) {
        snprintf(key, sizeof key, "big-%06d", i);
        cr_assert_neq(engine_put(&e, key, slice_of(large, sizeof large), 0, 0), 0);
    }
    store_get_stats(e.store, &st);
    for (unsigned id = 1; id <= st.classes; id++) {
        struct store_class_stats k;
        store_get_class_stats(e.store, (uint8_t)id, &k);
        items += k.items;
        bytes += k.bytes;
    }
    uint64_t held = (uint64_t)engine_metric(&e, M_CURR_ITEMS);
    uint64_t held_bytes = (uint64_t)engine_metric(&e, M_CURR_BYTES);
    cr_expect(items * 100 > held * 98 && items * 100 < held * 102, "%llu of %llu",
              (unsigned long long)items, (unsigned long long)held);
    cr_expect(bytes * 100 > held_bytes * 98 && bytes * 100 < held_bytes * 102, "%llu of %llu",
              (unsigned long long)bytes, (unsigned long long)held_bytes);
    engine_fini(&e);
}
