/*
 * result.h - what was measured of a load.
 *
 * One thread of the load writes; another may read the counts meanwhile, which is what the line of
 * progress does.  A zeroed one is empty.
 */
#pragma once
#include "base/clock.h"
#include "base/hist.h"
#include "bench/dialect.h"
#include <stdint.h>

/* Of the measured time, without warm-up and prefill. */
struct load_result {
    struct hist      latency[VERBS]; /* of requests by what they do, nanoseconds */
    _Atomic uint64_t requests;
    _Atomic uint64_t keys[VERBS];    /* keys fetched, stored, deleted, incremented */
    _Atomic uint64_t found[VERBS];   /* ... those of them that were there; of sets: all */
    _Atomic uint64_t errors;         /* answers that were errors */
    _Atomic uint64_t wrong;          /* verify: wrong key, flags, length or bytes */
    char             complaint[200]; /* the first error or wrong value, or empty */
    nsec_t           elapsed;
    usec_t           client_cpu;
    usec_t           server_cpu;     /* -1: unknown */
};

/* Operations: every key counts as one. */
uint64_t result_operations(const struct load_result *r);
/* The latencies of all kinds of requests, added to *ret. */
void result_latency(const struct load_result *r, struct hist *ret);
/* The share of the keys fetched that were there, 0..1; negative: none was fetched. */
double result_hit_ratio(const struct load_result *r);
