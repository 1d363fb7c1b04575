/*
 * Threads that tell and watchers that come, read, stall and go, for ThreadSanitizer and for what
 * watchers rely on: lines are whole, those of one thread in order, and every one is sent, skipped
 * or dropped, and counted as that; a watcher that is hungry is called when there is more.
 */
#include "node/watch.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELLERS   3u
#define LINES     30000u /* of each */
#define BUFFER    16384u
#define PATIENT   5u   /* watchers that live from start to end */
#define CARRY_MAX 4096u

struct teller {
    struct watches *all;
    struct metrics *metrics;
    unsigned        number;
    _Atomic unsigned *left;
};

/* What a watcher has read so far. */
struct reader {
    struct watcher *watcher;
    unsigned        next[TELLERS]; /* least number that may come from each */
    uint64_t        lines, skipped;
    char            carry[CARRY_MAX];
    size_t          carried;
    bool            hungry;
};

static struct metrics rows[TELLERS];

static void *
teller_main(void *arg)
{
    struct teller *t = arg;
    struct watch_from from = { t->all, t->metrics, 1 };

    for (unsigned i = 0; i < LINES; i++) {
        char key[64];
        int len = snprintf(key, sizeof key, "%u-%u", t->number, i);

        from.now = i;
        watch_fetch(&from, slice_of(key, (size_t)len), WATCH_FOUND, 1, 2, 3);
        if (i % 16 == 0) {
            sched_yield(); /* leave readers a chance, so that not all is skipped */
        }
    }
    atomic_fetch_sub(t->left, 1);
    return NULL;
}

static void
line_check(struct reader *r, const char *line)
{
    unsigned teller, number;
    unsigned long long skipped;

    if (sscanf(line, "skipped=%llu", &skipped) == 1) {
        assert(skipped > 0);
        r->skipped += skipped;
        return;
    }
    const char *key = strstr(line, " type=item_get key=");
    assert(key != NULL && strncmp(line, "ts=", 3) == 0);
    assert(strstr(key, " status=found clsid=1 cfd=2 size=3") != NULL);
    assert(sscanf(key, " type=item_get key=%u-%u ", &teller, &number) == 2);
    assert(teller < TELLERS && number >= r->next[teller] && number < LINES);
    r->next[teller] = number + 1;
    r->lines++;
}

static void
bytes_check(struct reader *r, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert(r->carried < CARRY_MAX);
        if (bytes[i] != '\n') {
            r->carry[r->carried++] = bytes[i];
            continue;
        }
        r->carry[r->carried] = '\0';
        line_check(r, r->carry);
        r->carried = 0;
    }
}

/* Reads at most max bytes; false: there were none. */
static bool
reader_read(struct reader *r, size_t max)
{
    struct iovec iov[2];
    int count = watcher_iov(r->watcher, iov, 2);
    size_t done = 0;

    for (int i = 0; i < count && done < max; i++) {
        size_t n = iov[i].iov_len < max - done ? iov[i].iov_len : max - done;

        bytes_check(r, iov[i].iov_base, n);
        done += n;
    }
    watcher_done(r->watcher, done);
    return count > 0;
}

static void
reader_start(struct reader *r, struct watches *all, unsigned worker)
{
    memset(r, 0, sizeof *r);
    if (watches_add(all, WATCH_FETCHERS, worker, &r->watcher) != WATCH_ADDED) {
        abort();
    }
}

/* A turn of each watcher: only those that were called, or that have more, are looked at. */
static void
readers_turn(struct reader *r, struct watches *all, unsigned turn)
{
    (void)watches_take_ready(all);
    for (unsigned i = 0; i < PATIENT; i++) {
        if (r[i].hungry && !watcher_is_fed(r[i].watcher)) {
            continue;
        }
        r[i].hungry = !reader_read(&r[i], turn % 7 == 0 ? 100 : BUFFER);
    }
}

static void
totals_check(struct reader *r)
{
    struct metrics_sum sum = { { 0 } };

    for (unsigned i = 0; i < TELLERS; i++) {
        metrics_collect(&sum, &rows[i]);
    }
    assert(sum.value[M_LOG_WRITTEN] + sum.value[M_LOG_DROPPED] == TELLERS * LINES);
    for (unsigned i = 0; i < PATIENT; i++) {
        /* Lines skipped at the very end are told with the next line, which does not come. */
        assert(r[i].carried == 0);
        assert(r[i].lines + r[i].skipped <= (uint64_t)sum.value[M_LOG_WRITTEN]);
        assert(r[i].lines > 0);
    }
    printf("%lld lines written, %lld dropped, %lld sent, %lld skipped\n",
           (long long)sum.value[M_LOG_WRITTEN], (long long)sum.value[M_LOG_DROPPED],
           (long long)sum.value[M_LOG_SENT], (long long)sum.value[M_LOG_SKIPPED]);
}

int
main(void)
{
    static const struct store_config config = { .memory_limit = 4 << 20, .item_size_max = 1 << 20 };
    static struct reader reader[PATIENT], guest;
    struct store *store = store_new(&config, NULL);
    struct watches *all = store ? watches_new(store, BUFFER) : NULL;
    _Atomic unsigned left = TELLERS;
    struct teller teller[TELLERS];
    pthread_t thread[TELLERS];

    if (!all) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    for (unsigned i = 0; i < PATIENT; i++) {
        reader_start(&reader[i], all, i);
    }
    for (unsigned i = 0; i < TELLERS; i++) {
        teller[i] = (struct teller){ all, &rows[i], i, &left };
        if (pthread_create(&thread[i], NULL, teller_main, &teller[i]) != 0) {
            abort();
        }
    }
    for (unsigned turn = 0; atomic_load(&left) > 0; turn++) {
        reader_start(&guest, all, 63); /* comes, reads once or not at all, and is gone */
        readers_turn(reader, all, turn);
        if (turn % 2 == 0) {
            (void)reader_read(&guest, 300);
        }
        watcher_free(guest.watcher);
        sched_yield();
    }
    for (unsigned i = 0; i < TELLERS; i++) {
        pthread_join(thread[i], NULL);
    }
    /* Nobody is left who could call: what is there must be known of. */
    for (unsigned turn = 1; turn <= 4; turn++) {
        readers_turn(reader, all, turn);
    }
    for (unsigned i = 0; i < PATIENT; i++) {
        assert(reader[i].hungry);
        assert(!reader_read(&reader[i], BUFFER) && "a hungry watcher was not called");
        watcher_free(reader[i].watcher);
    }
    totals_check(reader);
    watches_free(all);
    store_free(store);
    return 0;
}
