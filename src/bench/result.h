/*
 * result.h - what was measured of a load.
 *
 * Each thread of the load has one of its own.  Its owner counts, without a lock prefix, and another
 * thread may read the counts and merge the histograms meanwhile.  A zeroed one is empty.
 */
#pragma once
#include "base/clock.h"
#include "base/hist.h"
#include "bench/dialect.h"
#include <stdatomic.h>
#include <stdint.h>

/* Of the measured time, without warm-up and prefill. */
struct load_result {
    struct hist      latency[VERBS]; /* of requests by what they do, nanoseconds */
    _Atomic uint64_t requests;       /* answered */
    _Atomic uint64_t keys[VERBS];    /* keys fetched, stored, deleted, incremented */
    _Atomic uint64_t found[VERBS];   /* ... those of them that were there; of sets: all */
    _Atomic uint64_t filled;         /* keys stored because a get missed them; in keys too */
    _Atomic uint64_t late_gets;      /* keys fetched behind the trace's warm-up */
    _Atomic uint64_t late_hits;      /* ... those of them that were there */
    _Atomic uint64_t errors;         /* answers that were errors */
    _Atomic uint64_t wrong;          /* verify: wrong key, flags, length, bytes or number */
    uint64_t         unanswered;     /* with a rate: requests due, but not answered at the end */
    uint64_t         pending;        /* requests under way when time was up; never answered */
    char             complaint[200]; /* the first error or wrong value, or empty */
    nsec_t           elapsed;
    usec_t           client_cpu;     /* of this program, all threads */
    double           client_busiest; /* 0..1: how busy the busiest of the load's threads was */
    usec_t           server_cpu;     /* -1: unknown */
};

static inline void
result_count(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Forgets what was counted, but not what went wrong; owner thread. */
void result_clear(struct load_result *r);
/* Adds the counts and the histograms of from, but no text and no times. */
void result_merge(struct load_result *r, const struct load_result *from);

/* Operations: every key counts as one. */
uint64_t result_operations(const struct load_result *r);
/* The latencies of all kinds of requests, added to *ret. */
void result_latency(const struct load_result *r, struct hist *ret);
/* The share of the keys fetched that were there, 0..1; negative: none was fetched. */
double result_hit_ratio(const struct load_result *r);
/* ... of those behind the trace's warm-up. */
double result_late_hit_ratio(const struct load_result *r);
