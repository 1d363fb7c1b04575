/*
 * readers.c - threads that read the same keys of one store, and what a read costs each of them.
 *
 * If reads took a lock, or wrote to a cache line that others read, two threads would pay more for
 * a read than one alone.  No sockets: they would hide it.
 *
 * usage: readers THREADS    CPU nanoseconds of a read, of the thread that had the dearest
 */
#include "base/num.h"
#include "store/store.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS        1000u
#define READS       10000000u
#define THREADS_MAX 64u
#define LIMIT       ((size_t)64 << 20) /* bytes */
#define NOW         (INT64_C(1750000000) * USEC_PER_SEC)
#define STRIDE      389u /* prime, so that all keys come in turn, but not as they were stored */

struct reader {
    pthread_t thread;
    pthread_barrier_t *start;
    struct store *store;
    struct store_ctx *ctx;
    struct metrics *row;
    uint32_t misses;
    double cost; /* nanoseconds */
};

static char key[KEYS][24];
static uint64_t hash[KEYS];

static void
need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "readers: %s\n", what);
        exit(1);
    }
}

static void
reader_init(struct reader *r, struct store *s, pthread_barrier_t *start)
{
    *r = (struct reader){ .store = s, .start = start };
    r->row = aligned_alloc(_Alignof(struct metrics), sizeof *r->row);
    need(r->row != NULL, "no memory");
    memset(r->row, 0, sizeof *r->row);
    r->ctx = store_ctx_new(s, r->row);
    need(r->ctx != NULL, "no memory");
    store_turn(r->ctx, NOW);
}

static void
reader_fini(struct reader *r)
{
    store_ctx_free(r->ctx);
    free(r->row);
}

static void
fill(struct reader *r)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct slice name = slice_of(key[i], sizeof key[i]);
        struct store_spec spec = { .key = name, .value_len = sizeof key[i] };
        struct store_txn t;

        memset(key[i], 'k', sizeof key[i]);
        num_print_u64(key[i], i + 1);
        hash[i] = store_hash(name);
        struct item *item = store_alloc(r->ctx, &spec);
        need(item != NULL, "no memory in the store");
        item_write(r->ctx, item, 0, key[i], sizeof key[i]);
        store_lock(r->ctx, name, hash[i], &t);
        need(store_publish(&t, &item) != 0, "no memory in the table");
        store_unlock(&t);
    }
}

static double
cpu_nsec(void)
{
    struct timespec t;

    need(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0, "no clock");
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *
reader_run(void *arg)
{
    struct reader *r = arg;
    struct store_hit hit;

    pthread_barrier_wait(r->start);
    double began = cpu_nsec();
    for (unsigned i = 0; i < READS; i++) {
        unsigned at = i * STRIDE % KEYS;
        struct slice name = slice_of(key[at], sizeof key[at]);

        r->misses += store_get(r->ctx, name, hash[at], 0, &hit) != STORE_HIT;
    }
    r->cost = (cpu_nsec() - began) / READS;
    return NULL;
}

int
main(int argc, char **argv)
{
    struct store_config config = { .memory_limit = LIMIT, .item_size_max = 1 << 20, .start = NOW };
    static struct reader reader[THREADS_MAX];
    pthread_barrier_t start;
    struct err_detail d = { "" };
    uint32_t threads = 0;
    double worst = 0;

    need(argc == 2 && num_parse_u32(slice_of(argv[1], strlen(argv[1])), &threads) && threads > 0 &&
             threads <= THREADS_MAX, "usage: readers THREADS");
    struct store *s = store_new(&config, &d);
    need(s != NULL, d.text);
    need(pthread_barrier_init(&start, NULL, threads) == 0, "no barrier");
    for (unsigned i = 0; i < threads; i++) {
        reader_init(&reader[i], s, &start);
    }
    fill(&reader[0]);
    for (unsigned i = 0; i < threads; i++) {
        need(pthread_create(&reader[i].thread, NULL, reader_run, &reader[i]) == 0, "no thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(reader[i].thread, NULL);
        need(reader[i].misses == 0, "a key was not there");
        worst = reader[i].cost > worst ? reader[i].cost : worst;
        reader_fini(&reader[i]);
    }
    store_free(s);
    pthread_barrier_destroy(&start);
    printf("%.2f\n", worst);
    return 0;
}
