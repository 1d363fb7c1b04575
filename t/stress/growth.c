/*
 * growth.c - a table that grows under readers: what is in it is found, at every moment.
 *
 * Nothing is evicted here and nothing expires, so a key that was published and never removed may
 * not be missed, neither by a get nor by a scan, whatever is split meanwhile.  Other keys come and
 * go between them, so that chains get shorter and their buckets are used by other chains.  Every
 * round begins with a new table, of which the size doubles several times.  Argument: seconds
 * (default 3).
 */
#include "base/clock.h"
#include "base/rng.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITERS   2u
#define READERS   2u
#define KEYS      60000u /* of each writer, to stay */
#define PASSING   64u    /* keys of each writer that are there for a while */
#define DOUBLINGS 3u

static struct store *store;
static struct metrics rows[WRITERS + READERS + 1];
static _Atomic uint32_t made[WRITERS]; /* keys of each writer that are there to stay */
static _Atomic bool stop;

/* Of the one that is to be found. */
struct want {
    uint32_t writer, number;
    bool stays;
};

static _Noreturn void
die(const char *what, struct want w)
{
    fprintf(stderr, "stress/growth: %s: %s key %u of writer %u\n", what,
            w.stays ? "staying" : "passing", w.number, w.writer);
    exit(1);
}

static struct slice
key_of(struct want w, char *room)
{
    int n = snprintf(room, 64, "%s:%u:%u", w.stays ? "s" : "p", w.writer, w.number);

    return slice_of(room, (size_t)n);
}

static void
key_add(struct store_ctx *c, struct want w)
{
    char room[64];
    struct slice k = key_of(w, room);
    struct store_spec spec = { .key = k, .value_len = sizeof w.number };
    struct item *it = store_alloc(c, &spec);
    struct store_txn t;

    if (it == NULL) {
        die("no memory", w);
    }
    item_write(c, it, 0, &w.number, sizeof w.number);
    store_lock(c, k, store_hash(k), &t);
    if (t.old != NULL) {
        die("there already", w);
    }
    if (store_publish(&t, &it) == 0) {
        die("no room", w);
    }
    store_unlock(&t);
}

static void
key_remove(struct store_ctx *c, struct want w)
{
    char room[64];
    struct slice k = key_of(w, room);
    struct store_txn t;

    store_lock(c, k, store_hash(k), &t);
    if (t.old == NULL) {
        die("nothing to remove", w);
    }
    store_remove(&t);
    store_unlock(&t);
}

static void *
writer(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);

    for (uint32_t n = 0; n < KEYS; n++) {
        key_add(c, (struct want){ me, n, true });
        atomic_store_explicit(&made[me], n + 1, memory_order_release);
        key_add(c, (struct want){ me, n, false });
        if (n >= PASSING) {
            key_remove(c, (struct want){ me, n - PASSING, false });
        }
    }
    store_ctx_free(c);
    return NULL;
}

static void *
reader(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    struct store_ctx *c = store_ctx_new(store, &rows[me]);
    struct rng r;
    char room[64];

    rng_init(&r, me);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct want w = { (uint32_t)rng_below(&r, WRITERS), 0, true };
        uint32_t n = atomic_load_explicit(&made[w.writer], memory_order_acquire);
        struct store_hit hit;

        if (n == 0) {
            continue;
        }
        /* Every other one of the newest. */
        w.number = n - 1 - (uint32_t)rng_below(&r, rng_below(&r, 2) == 0 && n > 100 ? 100 : n);
        struct slice k = key_of(w, room);
        if (store_get(c, k, store_hash(k), 0, &hit) != STORE_HIT) {
            die("missed", w);
        }
        if (hit.value.len != sizeof w.number ||
            memcmp(hit.value.ptr, &w.number, sizeof w.number) != 0) {
            die("of another", w);
        }
    }
    store_ctx_free(c);
    return NULL;
}

static bool scanned[WRITERS][KEYS];

static void
scan_note(void *arg, const struct store_record *r, uint8_t class_id)
{
    char text[64];
    unsigned w, n;

    (void)arg;
    (void)class_id;
    memcpy(text, r->key.ptr, r->key.len);
    text[r->key.len] = '\0';
    if (sscanf(text, "s:%u:%u", &w, &n) == 2) {
        scanned[w][n] = true;
    }
}

/* What was there at the beginning of a scan is in it. */
static void
scan(struct store_ctx *c)
{
    uint32_t before[WRITERS];
    uint64_t cursor = 0;

    memset(scanned, 0, sizeof scanned);
    for (uint32_t w = 0; w < WRITERS; w++) {
        before[w] = atomic_load_explicit(&made[w], memory_order_acquire);
    }
    while (!store_scan(c, &cursor, 64, scan_note, NULL)) {
    }
    for (uint32_t w = 0; w < WRITERS; w++) {
        for (uint32_t n = 0; n < before[w]; n++) {
            if (!scanned[w][n]) {
                die("not in a scan", (struct want){ w, n, true });
            }
        }
    }
}

static bool
all_made(void)
{
    for (uint32_t w = 0; w < WRITERS; w++) {
        if (atomic_load_explicit(&made[w], memory_order_acquire) < KEYS) {
            return false;
        }
    }
    return true;
}

/* Fills a new store; returns how many scans went through it meanwhile. */
static unsigned
fill(const struct store_config *config)
{
    struct store_stats before, after;
    pthread_t threads[WRITERS + READERS];
    struct err_detail d;
    unsigned scans = 0;

    memset(made, 0, sizeof made);
    stop = false;
    store = store_new(config, &d);
    if (store == NULL) {
        fprintf(stderr, "stress/growth: %s\n", d.text);
        exit(1);
    }
    store_get_stats(store, &before);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        if (pthread_create(&threads[i], NULL, i < WRITERS ? writer : reader,
                           (void *)(uintptr_t)i) != 0) {
            fprintf(stderr, "stress/growth: no thread\n");
            exit(1);
        }
    }
    struct store_ctx *c = store_ctx_new(store, &rows[WRITERS + READERS]);
    for (bool last = false; !last; scans++) {
        last = all_made();
        scan(c);
    }
    stop = true;
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    store_get_stats(store, &after);
    if (after.table_buckets < before.table_buckets << DOUBLINGS) {
        fprintf(stderr, "stress/growth: only %llu buckets\n",
                (unsigned long long)after.table_buckets);
        exit(1);
    }
    store_ctx_free(c);
    store_free(store);
    return scans;
}

int
main(int argc, char **argv)
{
    usec_t end = clock_now() + (argc > 1 ? atoi(argv[1]) : 3) * USEC_PER_SEC;
    const struct store_config config = { .memory_limit = 64 << 20,
                                         .item_size_max = 1 << 20,
                                         .start = clock_now() };
    unsigned fills = 0, scans = 0;

    do {
        scans += fill(&config);
        fills++;
    } while (clock_now() < end);
    printf("stress/growth: %u tables, %u scans\n", fills, scans);
    return 0;
}
