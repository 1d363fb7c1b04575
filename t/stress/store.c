/*
 * store.c - the engine under threads: readers, writers, eviction, growth, page moves, limit changes
 * and an operator who turns all knobs at once.
 *
 * Every value says whose it is: key number, stamp, length, and bytes that follow from them.  Each
 * key has one writer, which gives it rising stamps, so a reader that sees a stamp go back has been
 * lied to.  A plain main, so that ThreadSanitizer can run it.  Argument: seconds (default 6).
 */
#include "store/store.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITERS 2
#define READERS 2
#define KEYS    20000u
#define LIMIT   (24u << 20)
#define LARGE   (200u << 10)
#define LOGS    40u /* keys that are appended and prepended to, a block at a time */
#define BLOCK   1000u
#define RECORDS 4000u /* keys that are merged by all writers at once */
#define HELD    4     /* large values a reader keeps for a while */
#define HOT     4u    /* the first keys: always large, and asked for and replaced all the time */

struct head {
    uint32_t key, stamp, len, check;
};

static struct store *store;
static size_t limit; /* of the store */
static struct metrics rows[WRITERS + READERS + 1];
static _Atomic bool stop;
static _Atomic uint32_t written[KEYS]; /* last stamp that was published */
static _Atomic uint64_t merged;

static uint32_t
mix(uint32_t a, uint32_t b)
{
    uint64_t x = ((uint64_t)a << 32 | b) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 29);
}

static uint32_t
rnd(uint64_t *s)
{
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*s >> 32);
}

static struct slice
key_of(uint32_t n, char *room)
{
    int len = snprintf(room, 64, "key:%u:%.*s", n, (int)(n % 29), "abcdefghijklmnopqrstuvwxyzabcd");
    return slice_of(room, (size_t)len);
}

static void
die(const char *what, uint32_t key, uint64_t a, uint64_t b)
{
    fprintf(stderr, "stress/store: %s: key %u: %llu, %llu\n", what, key, (unsigned long long)a,
            (unsigned long long)b);
    abort();
}

static uint32_t
some_key(uint64_t *seed)
{
    uint32_t r = rnd(seed) % 8;

    return rnd(seed) % (r < 2 ? HOT : r < 5 ? 200 : KEYS);
}

static uint32_t
value_len(uint32_t key, uint64_t *seed)
{
    uint32_t r = rnd(seed) % 1000;
    if (key < HOT) {
        return 5000 + rnd(seed) % 3000;
    }
    if (r < 5) {
        return (uint32_t)sizeof(struct head) + rnd(seed) % LARGE;
    }
    return (uint32_t)sizeof(struct head) + rnd(seed) % (r < 100 ? 8000 : 300);
}

static void
fill(char *to, uint32_t key, uint32_t stamp, uint32_t len)
{
    struct head h = { key, stamp, len, mix(mix(key, stamp), len) };
    memcpy(to, &h, sizeof h);
    for (uint32_t i = sizeof h; i < len; i++) {
        to[i] = (char)(h.check + i * 7);
    }
}

/* The bytes of what was found, in one piece. */
static const char *
bytes_of(const struct store_hit *hit, uint32_t key, char *room)
{
    struct value_cursor v;
    size_t n, at = 0;

    if (hit->pinned == NULL) {
        return hit->value.ptr;
    }
    value_cursor_init(&v, store, hit->pinned);
    for (void *s; (s = value_cursor_span(&v, store, &n)) != NULL;
         value_cursor_advance(&v, store, n)) {
        if (at + n > hit->value_len) {
            die("pinned length", key, at + n, hit->value_len);
        }
        memcpy(room + at, s, n);
        at += n;
    }
    if (at != hit->value_len) {
        die("pinned length", key, at, hit->value_len);
    }
    return room;
}

/* Checks one value; returns its stamp. */
static uint32_t
check(const struct store_hit *hit, uint32_t key, char *room)
{
    const char *p = bytes_of(hit, key, room);
    struct head h;
    if (hit->value_len < sizeof h) {
        die("short value", key, hit->value_len, 0);
    }
    memcpy(&h, p, sizeof h);
    if (h.key != key || h.len != hit->value_len || h.check != mix(mix(key, h.stamp), h.len)) {
        die("wrong head", key, h.key, h.len);
    }
    for (uint32_t i = sizeof h; i < h.len; i++) {
        if (p[i] != (char)(h.check + i * 7)) {
            die("torn value", key, i, h.len);
        }
    }
    if (hit->client_flags != h.check % 3 * 40000) {
        die("flags", key, hit->client_flags, h.check);
    }
    return h.stamp;
}

/* An item whose value comes in bit by bit; now and then its client goes away. */
static struct item *
receive(struct store_ctx *c, const struct store_spec *spec, const char *bytes, uint64_t *seed)
{
    uint32_t portion = 1 + rnd(seed) % 50000;
    struct item *it = store_begin(c, spec);
    struct value_cursor v;

    if (it == NULL) {
        return NULL;
    }
    value_cursor_init(&v, store, it);
    while (v.left > 0) {
        const char *from = bytes + (spec->value_len - v.left);
        if (!store_extend(c, &v) || rnd(seed) % 200 == 0) {
            store_drop(c, it);
            return NULL;
        }
        (void)value_cursor_write(&v, store, slice_of(from, portion < v.left ? portion : v.left));
    }
    return it;
}

static uint64_t
write_one(struct store_ctx *c, uint32_t key, uint32_t stamp, uint64_t *seed, char *room)
{
    char name[64];
    struct slice k = key_of(key, name);
    uint32_t len = value_len(key, seed);
    fill(room, key, stamp, len);
    struct store_spec spec = { .key = k,
                               .value_len = len,
                               .client_flags = mix(mix(key, stamp), len) % 3 * 40000,
                               .expires =
                                   rnd(seed) % 4 == 0 ? store_seconds(c) + 1 + rnd(seed) % 3 : 0,
                               .cas = rnd(seed) % 16 == 0 ? stamp : 0 };
    bool whole = len < 4096 || rnd(seed) % 2 == 0;
    struct item *it = whole ? store_alloc(c, &spec) : receive(c, &spec, room, seed);
    struct store_txn t;
    if (it == NULL) {
        return 0;
    }
    if (whole) {
        item_write(c, it, 0, room, len);
    }
    store_lock(c, k, store_hash(k), &t);
    uint64_t before = t.old != NULL ? t.hit.version : 0;
    uint64_t v = store_publish(&t, &it);
    if (v <= before) {
        die("version went back", key, v, before);
    }
    atomic_store(&written[key], stamp);
    store_unlock(&t);
    return v;
}

/* -- values that grow ------------------------------------------------------------------------- */

static struct slice
log_key(uint32_t n, char *room)
{
    return slice_of(room, (size_t)snprintf(room, 64, "log:%u", n));
}

static void
block_fill(char *to, uint32_t key, int32_t number)
{
    memset(to, (int)(key + (uint32_t)number) & 0xff, BLOCK);
    memcpy(to, &key, sizeof key);
    memcpy(to + sizeof key, &number, sizeof number);
}

/* Blocks at both ends: their numbers are one sequence. */
static void
log_check(const char *p, uint32_t len, uint32_t key)
{
    int32_t first = 0, number;
    uint32_t k;

    for (uint32_t i = 0; i < len / BLOCK; i++, p += BLOCK) {
        memcpy(&k, p, sizeof k);
        memcpy(&number, p + sizeof k, sizeof number);
        first = i == 0 ? number : first;
        char mark = (char)(key + (uint32_t)number);
        if (k != key || number != first + (int32_t)i || p[BLOCK / 2] != mark ||
            p[BLOCK - 1] != mark) {
            die("block", key, k, (uint64_t)number);
        }
    }
    if (len % BLOCK != 0) {
        die("part of a block", key, len, 0);
    }
}

static struct item *
item_of(struct store_ctx *c, struct slice key, const char *bytes, uint32_t len)
{
    struct store_spec spec = { .key = key, .value_len = len };
    struct item *it = store_alloc(c, &spec);

    if (it != NULL) {
        item_write(c, it, 0, bytes, len);
    }
    return it;
}

/* Adds blocks to one end, up to a size; then begins again. */
static void
log_grow(struct store_ctx *c, uint32_t key, uint64_t *seed, char *room)
{
    char name[64];
    struct slice k = log_key(key, name);
    struct store_txn t;
    struct item *it = NULL;
    bool front = rnd(seed) % 3 == 0;
    uint32_t blocks = rnd(seed) % 8 == 0 ? 1 + rnd(seed) % 20 : 1;

    store_lock(c, k, store_hash(k), &t);
    if (t.old == NULL) {
        block_fill(room, key, 0);
        it = item_of(c, k, room, BLOCK);
        if (it != NULL) {
            (void)store_publish(&t, &it);
        }
    } else if (t.hit.value_len > LARGE) {
        store_remove(&t);
    } else {
        store_fetch(&t);
        const char *p = bytes_of(&t.hit, key, room);
        int32_t first, count = (int32_t)(t.hit.value_len / BLOCK);
        memcpy(&first, p + sizeof key, sizeof first);
        if (t.hit.pinned != NULL) {
            store_unpin(c, t.hit.pinned);
        }
        for (uint32_t i = 0; i < blocks; i++) {
            int32_t number = front ? first - (int32_t)blocks : first + count;
            block_fill(room + i * BLOCK, key, number + (int32_t)i);
        }
        it = blocks > 1 ? item_of(c, k, room, blocks * BLOCK) : NULL;
        if (blocks == 1 || it != NULL) {
            (void)store_concat(&t, front, slice_of(room, BLOCK), it);
        }
    }
    store_unlock(&t);
    store_drop(c, it);
}

/* -- records that come from anywhere ---------------------------------------------------------- */

static struct slice
record_key(uint32_t n, char *room)
{
    return slice_of(room, (size_t)snprintf(room, 64, "rec:%u", n));
}

/* What the value of a record is, follows from its key and version. */
static uint32_t
record_fill(char *to, uint32_t key, uint64_t version)
{
    uint32_t m = mix(key, (uint32_t)(version >> 8));
    uint32_t len = m % 50 == 0 ? m % 30000 : m % 500;

    memset(to, (int)(m & 0xff), len);
    return len;
}

static void
record_merge(struct store_ctx *c, uint32_t key, uint64_t version, uint64_t *seed, char *room)
{
    char name[64];
    uint32_t len = record_fill(room, key, version);
    struct store_record r = { .key = record_key(key, name),
                              .value = slice_of(room, len),
                              .version = version,
                              .touches = rnd(seed) % 3,
                              .expires = store_seconds(c) + 1 + rnd(seed) % 5,
                              .tombstone = rnd(seed) % 8 == 0 };

    if (r.tombstone) {
        r.value.len = 0;
    } else if (rnd(seed) % 2) {
        struct store_spec spec = {
            .key = r.key, .value_len = len, .expires = r.expires, .client_flags = 1
        };
        r.item = store_alloc(c, &spec);
        if (r.item != NULL) {
            item_write(c, r.item, 0, room, len);
        }
    }
    if (store_merge(c, &r) == STORE_MERGED) {
        atomic_fetch_add(&merged, 1);
    }
}

static void
record_check(const struct store_hit *hit, uint32_t key, char *room, char *expected)
{
    const char *p = bytes_of(hit, key, room);
    uint32_t len = record_fill(expected, key, hit->version);

    if (len != hit->value_len || memcmp(p, expected, len) != 0) {
        die("record", key, hit->value_len, len);
    }
}

static void drain(struct store_ctx *c);

static void *
writer(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t seed = me * 77 + 1;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);
    char *room = malloc(2 * LARGE);
    char name[64];
    uint32_t stamp = 1;
    uint64_t latest = 1;

    while (!stop) {
        store_turn(c, clock_now());
        drain(c);
        for (int i = 0; i < 64; i++) {
            uint32_t r = rnd(&seed) % 100, key = some_key(&seed) / WRITERS * WRITERS + me;
            struct slice k = key_of(key, name);
            struct store_txn t;
            if (r < 60) {
                uint64_t v = write_one(c, key, stamp++, &seed, room);
                latest = v > latest ? v : latest;
                continue;
            }
            if (r < 62) {
                log_grow(c, rnd(&seed) % LOGS, &seed, room);
                continue;
            }
            if (r < 75) {
                /* Around now, by both writers, so that they meet in the same records. */
                uint64_t v = (latest >> 22 << 22) + ((uint64_t)(rnd(&seed) % 16) << 18);
                record_merge(c, rnd(&seed) % RECORDS, v + 256, &seed, room);
                continue;
            }
            store_lock(c, k, store_hash(k), &t);
            if (t.old != NULL && r < 80) {
                store_remove(&t);
            } else if (t.old != NULL && r < 90) {
                (void)store_retime(&t, store_seconds(c) + 5);
                (void)store_restamp(&t, r & 1);
            } else if (t.old != NULL && r < 95) {
                store_mark(&t, r & 1, !(r & 1));
            }
            store_unlock(&t);
        }
    }
    free(room);
    store_ctx_free(c);
    return NULL;
}

/* A record or a log. */
static void
read_other(struct store_ctx *c, uint64_t *seed, char *room, char *expected)
{
    bool log = rnd(seed) % 4 == 0;
    uint32_t key = rnd(seed) % (log ? LOGS : RECORDS);
    char name[64];
    struct slice k = log ? log_key(key, name) : record_key(key, name);
    struct store_hit hit;

    if (store_get(c, k, store_hash(k), 0, &hit) != STORE_HIT) {
        return;
    }
    if (log) {
        log_check(bytes_of(&hit, key, room), hit.value_len, key);
    } else {
        record_check(&hit, key, room, expected);
    }
    if (hit.pinned != NULL) {
        store_unpin(c, hit.pinned);
    }
}

struct kept {
    struct store_hit hit;
    uint32_t key;
};

static void
kept_drop(struct store_ctx *c, struct kept *one, char *room)
{
    if (one->hit.pinned != NULL) {
        (void)check(&one->hit, one->key, room);
        store_unpin(c, one->hit.pinned);
        one->hit.pinned = NULL;
    }
}

static void *
reader(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t seed = me * 99 + 5;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);
    uint32_t *last = calloc(KEYS, sizeof *last);
    char *room = malloc(2 * LARGE), *expected = malloc(LARGE);
    struct kept kept[HELD] = { 0 };
    char name[64];
    uint64_t hits = 0;

    while (!stop) {
        store_turn(c, clock_now());
        for (int i = 0; i < 64; i++) {
            uint32_t key = some_key(&seed);
            struct slice k = key_of(key, name);
            struct store_hit hit;
            if (i < 4) {
                read_other(c, &seed, room, expected);
            }
            if (store_get(c, k, store_hash(k), 0, &hit) != STORE_HIT) {
                continue;
            }
            uint32_t stamp = check(&hit, key, room);
            if (hit.pinned != NULL) { /* kept for a while, and still whole then */
                struct kept *one = &kept[rnd(&seed) % HELD];
                kept_drop(c, one, room);
                *one = (struct kept){ hit, key };
            }
            if (stamp < last[key]) {
                die("stale read", key, stamp, last[key]);
            }
            last[key] = stamp;
            hits++;
        }
    }
    if (hits == 0) {
        die("no hit at all", 0, 0, 0);
    }
    for (int i = 0; i < HELD; i++) {
        kept_drop(c, &kept[i], room);
    }
    free(last);
    free(room);
    free(expected);
    store_ctx_free(c);
    return NULL;
}

static void
scan_check(void *arg, const struct store_record *r, uint8_t class_id)
{
    uint32_t *n = arg;
    (void)class_id;
    if (r->key.len < 5 || r->key.ptr[3] != ':' || r->version == 0) {
        die("scan", 0, r->key.len, r->version);
    }
    ++*n;
}

static struct store_tuning
random_tuning(uint64_t *seed)
{
    return (struct store_tuning){ .moves = rnd(seed) % 4 != 0,
                                  .moves_eager = rnd(seed) % 4 == 0,
                                  .move_window = rnd(seed) % 3,
                                  .crawler = rnd(seed) % 8 != 0,
                                  .crawler_sleep = rnd(seed) % 3 * 100,
                                  .crawler_max = rnd(seed) % 2 * 500,
                                  .flat = rnd(seed) % 4 == 0,
                                  .small_percent = rnd(seed) % 40,
                                  .temporary_ttl = rnd(seed) % 4 };
}

/* What operators do: from a thread that has nothing to do with the store's work. */
static void *
orders_run(void *arg)
{
    uint64_t seed = 4711, asked = 0;
    struct store_stats st;

    store_get_stats(store, &st);
    while (!stop) {
        struct store_tuning t = random_tuning(&seed);
        int src = (int)(rnd(&seed) % (st.classes + 3)) - 1, dst = (int)(rnd(&seed) % st.classes);
        store_tune(store, &t);
        asked += store_move_page(store, src, dst) == STORE_ASKED_OK;
        asked += store_crawl(store, (UINT64_C(2) << st.classes) - 2) == STORE_ASKED_OK;
        store_watch_events(store, rnd(&seed) % 8);
        store_get_stats(store, &st);
        (void)store_is_asked(store);
        usleep(1000 + rnd(&seed) % 3000);
    }
    *(uint64_t *)arg = asked;
    return NULL;
}

static _Atomic uint64_t events;

/* Takes what there is of a thread's events. */
static void
drain(struct store_ctx *c)
{
    struct store_event ev;

    (void)store_lost_events(c);
    for (; store_take_event(c, &ev); atomic_fetch_add(&events, 1)) {
        bool evicted = ev.kind == STORE_EVENT_EVICTED;
        if (ev.kind > STORE_EVENT_CRAWLED || (evicted && (ev.key_len < 5 || ev.key[3] != ':')) ||
            ev.reclaimed > ev.examined) {
            die("event", ev.kind, ev.key_len, ev.examined);
        }
    }
}

/* Background work, scans, a limit that moves and now and then a flush, all while the others are at
 * it. */
static uint32_t
disturb(struct store_ctx *c, usec_t end)
{
    uint64_t cursor = 0;
    uint32_t scanned = 0;

    for (unsigned n = 0; clock_now() < end; n++) {
        store_turn(c, clock_now());
        (void)store_tick(c, 500);
        drain(c);
        if (store_scan(c, &cursor, 50, scan_check, &scanned)) {
            cursor = 0;
        }
        if (n % 1000 == 500 && !store_set_limit(store, n % 2000 < 1000 ? limit / 2 : limit)) {
            die("limit", 0, 0, 0);
        }
        if (n % 1000 == 999) {
            store_flush(c, n % 2000 < 1000 ? 0 : store_seconds(c) + 1);
        }
        usleep(200);
    }
    return scanned;
}

static int64_t
total(enum metric m)
{
    int64_t n = 0;

    for (unsigned i = 0; i <= WRITERS + READERS; i++) {
        n += atomic_load(&rows[i].value[m]);
    }
    return n;
}

static void
report(uint32_t scanned, uint64_t asked)
{
    struct store_stats st;

    store_get_stats(store, &st);
    printf("stored %lld, items %lld, evicted %lld, pages moved %lld, rescued %lld, crawled %lld, "
           "reclaimed "
           "%lld, buckets %llu, scanned %u, merged %llu, used %zu KiB, asked %llu, events %llu\n",
           (long long)total(M_TOTAL_ITEMS), (long long)total(M_CURR_ITEMS),
           (long long)total(M_EVICTIONS), (long long)total(M_PAGES_MOVED),
           (long long)total(M_MOVE_RESCUES), (long long)total(M_CRAWLER_CHECKED),
           (long long)(total(M_RECLAIMED) + total(M_CRAWLER_RECLAIMED)),
           (unsigned long long)st.table_buckets, scanned, (unsigned long long)merged,
           (st.pages_bytes + st.table_bytes) >> 10, (unsigned long long)asked,
           (unsigned long long)events);
}

/* After a flush nothing may be left: no item, no byte, no chunk but what this thread keeps in
 * stock. */
static void
check_empty(struct store_ctx *c)
{
    struct store_stats st;

    store_flush(c, 0);
    for (int i = 0; i < 100000 && store_tick(c, 100000) < USEC_PER_SEC; i++) {
    }
    drain(c);
    store_get_stats(store, &st);
    for (unsigned id = 1; id <= st.classes; id++) {
        struct store_class_stats k;
        store_get_class_stats(store, (uint8_t)id, &k);
        if (k.items != 0 || k.chunks_used > 8) {
            die("class not empty", id, k.items, k.chunks_used);
        }
    }
    if (total(M_CURR_ITEMS) != 0 || total(M_CURR_BYTES) != 0) {
        die("left after flush", 0, (uint64_t)total(M_CURR_ITEMS), (uint64_t)total(M_CURR_BYTES));
    }
}

static bool
run(const struct store_config *config, usec_t time)
{
    struct err_detail d;
    pthread_t threads[WRITERS + READERS], orders;
    uint64_t asked = 0;

    stop = false;
    limit = config->memory_limit;
    memset(rows, 0, sizeof rows);
    store = store_new(config, &d);
    if (store == NULL) {
        fprintf(stderr, "%s\n", d.text);
        return false;
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        void *(*what)(void *) = i < WRITERS ? writer : reader;
        if (pthread_create(&threads[i], NULL, what, (void *)(uintptr_t)i) != 0) {
            return false;
        }
    }
    if (pthread_create(&orders, NULL, orders_run, &asked) != 0) {
        return false;
    }
    struct store_ctx *c = store_ctx_new(store, &rows[WRITERS + READERS]);
    uint32_t scanned = disturb(c, clock_now() + time);
    stop = true;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_join(orders, NULL);
    report(scanned, asked);
    store_tune(store, &config->tuning);
    check_empty(c);
    store_ctx_free(c);
    store_free(store);
    return true;
}

/* Half of the time with our own classes, half with memcached's, where large values are chains. */
int
main(int argc, char **argv)
{
    usec_t half = (argc > 1 ? atoi(argv[1]) : 6) * USEC_PER_SEC / 2;
    struct store_config config = { .memory_limit = LIMIT,
                                   .item_size_max = 1 << 20,
                                   .evict = true,
                                   .tuning = { .moves = true, .crawler = true },
                                   .tombstone_life = 2,
                                   .start = clock_now() };

    bool ok = run(&config, half);
    config.memory_limit = 2 * LIMIT; /* some thirty classes have a page each */
    config.page_size = 1 << 20;
    config.factor = 1.25;
    config.chunk_min = 48;
    config.chunk_max = 64 << 10;
    return ok && run(&config, half) ? 0 : 1;
}
