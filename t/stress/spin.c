/*
 * spin.c - spin locks and histograms under threads.
 *
 * More threads than cores add to plain counters under a lock, half of them by trying: a lost update
 * is a broken lock, and ThreadSanitizer sees a missing barrier.  Meanwhile one thread merges the
 * histograms the others record into and must never see counts go back.  Arguments: seconds
 * (default 2).
 */
#include "base/clock.h"
#include "base/hist.h"
#include "base/spin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 6

static struct {
    struct spin lock;
    uint64_t    count; /* under lock */
    uint64_t    twin;  /* under lock; always the same */
} shared;
static struct hist      hists[THREADS];
static uint64_t         added[THREADS];
static pthread_t        threads[THREADS];
static _Atomic bool     stop;
static _Atomic uint64_t torn;

static void *
adder_main(void *arg)
{
    size_t   me = (size_t)((struct hist *)arg - hists);
    unsigned round = 0;

    while (!atomic_load(&stop)) {
        if (me % 2 == 0) {
            spin_lock(&shared.lock);
        } else if (!spin_try(&shared.lock)) {
            spin_pause(round++);
            continue;
        }
        if (shared.count != shared.twin) {
            atomic_fetch_add(&torn, 1);
        }
        shared.count++;
        shared.twin++;
        spin_unlock(&shared.lock);
        hist_record(&hists[me], added[me] % 100000);
        added[me]++;
        round = 0;
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    usec_t   end = clock_now() + (argc > 1 ? atoi(argv[1]) : 2) * USEC_PER_SEC;
    uint64_t sum = 0;
    uint64_t last = 0;
    uint64_t merges = 0;

    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, adder_main, &hists[i]) != 0) {
            fprintf(stderr, "stress/spin: no thread\n");
            return 1;
        }
    }
    for (; clock_now() < end; merges++) {
        static struct hist all;

        hist_clear(&all);
        for (size_t i = 0; i < THREADS; i++) {
            hist_merge(&all, &hists[i]);
        }
        if (hist_count(&all) < last) {
            fprintf(stderr, "stress/spin: a merged histogram lost counts\n");
            return 1;
        }
        last = hist_count(&all);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += added[i];
        if (hist_count(&hists[i]) != added[i]) {
            fprintf(stderr, "stress/spin: histogram %zu lost counts\n", i);
            return 1;
        }
    }
    if (sum != shared.count || sum != shared.twin || atomic_load(&torn) != 0 || sum == 0) {
        fprintf(stderr, "stress/spin: %llu additions, %llu counted, %llu torn\n",
                (unsigned long long)sum, (unsigned long long)shared.count,
                (unsigned long long)atomic_load(&torn));
        return 1;
    }
    printf("stress/spin: %llu additions, %llu merges\n", (unsigned long long)sum,
           (unsigned long long)merges);
    return 0;
}
