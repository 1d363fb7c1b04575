/*
 * store.c - the engine under threads: readers, writers, eviction, growth, page moves and limit
 * changes at once.
 *
 * Every value says whose it is: key number, stamp, length, and bytes that follow from them.  Each
 * key has one writer, which gives it rising stamps, so a reader that sees a stamp go back has been
 * lied to.  A plain main, so that ThreadSanitizer can run it.  Arguments: seconds (default 5),
 * seed.
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

struct head {
    uint32_t key, stamp, len, check;
};

static struct store *store;
static struct metrics rows[WRITERS + READERS + 1];
static _Atomic bool stop;
static _Atomic uint32_t written[KEYS]; /* last stamp that was published */

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
value_len(uint64_t *seed)
{
    uint32_t r = rnd(seed) % 1000;
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

/* Checks one value; returns its stamp. */
static uint32_t
check(struct store_ctx *c, const struct store_hit *hit, uint32_t key, char *room)
{
    const char *p = hit->value.ptr;
    if (hit->pinned != NULL) {
        struct value_cursor v;
        size_t n, at = 0;
        value_cursor_init(&v, store, hit->pinned);
        for (void *s; (s = value_cursor_span(&v, store, &n)) != NULL;
             value_cursor_advance(&v, store, n)) {
            memcpy(room + at, s, n);
            at += n;
        }
        if (at != hit->value_len) {
            die("pinned length", key, at, hit->value_len);
        }
        p = room;
        store_unpin(c, hit->pinned);
    }
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

static void
write_one(struct store_ctx *c, uint32_t key, uint32_t stamp, uint64_t *seed, char *room)
{
    char name[64];
    struct slice k = key_of(key, name);
    uint32_t len = value_len(seed);
    fill(room, key, stamp, len);
    struct store_spec spec = { .key = k,
                               .value_len = len,
                               .client_flags = mix(mix(key, stamp), len) % 3 * 40000,
                               .expires =
                                   rnd(seed) % 4 == 0 ? store_seconds(c) + 1 + rnd(seed) % 3 : 0,
                               .cas = rnd(seed) % 16 == 0 ? stamp : 0 };
    struct item *it = store_alloc(c, &spec);
    struct store_txn t;
    if (it == NULL) {
        return;
    }
    item_write(c, it, 0, room, len);
    store_lock(c, k, store_hash(k), &t);
    uint64_t before = t.old != NULL ? t.hit.version : 0;
    uint64_t v = store_publish(&t, &it);
    if (v <= before) {
        die("version went back", key, v, before);
    }
    atomic_store(&written[key], stamp);
    store_unlock(&t);
}

static void *
writer(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t seed = me * 77 + 1;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);
    char *room = malloc(2 * LARGE);
    char name[64];
    uint32_t stamp = 1;

    while (!stop) {
        store_turn(c, clock_now());
        for (int i = 0; i < 64; i++) {
            uint32_t r = rnd(&seed) % 100, key = rnd(&seed) % (KEYS / WRITERS) * WRITERS + me;
            struct slice k = key_of(key, name);
            struct store_txn t;
            if (r < 70) {
                write_one(c, key, stamp++, &seed, room);
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

static void *
reader(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t seed = me * 99 + 5;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);
    uint32_t *last = calloc(KEYS, sizeof *last);
    char *room = malloc(2 * LARGE);
    char name[64];
    uint64_t hits = 0;

    while (!stop) {
        store_turn(c, clock_now());
        for (int i = 0; i < 64; i++) {
            uint32_t key = rnd(&seed) % (rnd(&seed) % 2 ? KEYS : 200);
            struct slice k = key_of(key, name);
            struct store_hit hit;
            if (store_get(c, k, store_hash(k), 0, &hit) != STORE_HIT) {
                continue;
            }
            uint32_t stamp = check(c, &hit, key, room);
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
    free(last);
    free(room);
    store_ctx_free(c);
    return NULL;
}

static void
scan_check(void *arg, const struct store_record *r, uint8_t class_id)
{
    uint32_t *n = arg;
    (void)class_id;
    if (r->key.len < 5 || memcmp(r->key.ptr, "key:", 4) != 0 || r->version == 0) {
        die("scan", 0, r->key.len, r->version);
    }
    ++*n;
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
        if (store_scan(c, &cursor, 50, scan_check, &scanned)) {
            cursor = 0;
        }
        if (n % 1000 == 500 && !store_set_limit(store, n % 2000 < 1000 ? LIMIT / 2 : LIMIT)) {
            die("limit", 0, 0, 0);
        }
        if (n % 3000 == 2999) {
            store_flush(c, n % 2 ? 0 : store_seconds(c) + 1);
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
report(uint32_t scanned)
{
    struct store_stats st;

    store_get_stats(store, &st);
    printf("stored %lld, items %lld, evicted %lld, pages moved %lld, rescued %lld, crawled %lld, "
           "reclaimed "
           "%lld, buckets %llu, scanned %u, used %zu KiB\n",
           (long long)total(M_TOTAL_ITEMS), (long long)total(M_CURR_ITEMS),
           (long long)total(M_EVICTIONS), (long long)total(M_PAGES_MOVED),
           (long long)total(M_MOVE_RESCUES), (long long)total(M_CRAWLER_CHECKED),
           (long long)(total(M_RECLAIMED) + total(M_CRAWLER_RECLAIMED)),
           (unsigned long long)st.table_buckets, scanned, (st.pages_bytes + st.table_bytes) >> 10);
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

int
main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 5;
    struct store_config config = {
        .memory_limit = LIMIT, .item_size_max = 1 << 20, .evict = true, .start = clock_now()
    };
    struct err_detail d;
    pthread_t threads[WRITERS + READERS];

    store = store_new(&config, &d);
    if (store == NULL) {
        fprintf(stderr, "%s\n", d.text);
        return 1;
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        void *(*what)(void *) = i < WRITERS ? writer : reader;
        if (pthread_create(&threads[i], NULL, what, (void *)(uintptr_t)i) != 0) {
            return 1;
        }
    }
    struct store_ctx *c = store_ctx_new(store, &rows[WRITERS + READERS]);
    uint32_t scanned = disturb(c, clock_now() + seconds * USEC_PER_SEC);
    stop = true;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    report(scanned);
    check_empty(c);
    store_ctx_free(c);
    store_free(store);
    return 0;
}
