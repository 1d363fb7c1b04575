/*
 * load.h - a load: connections that send requests and check the answers, and what was measured.
 *
 * Closed loop: a connection sends its next request when it has fewer than depth under way, so
 * a slow server is asked less.  Latencies are therefore those of a server at its
 * limit, and a pause counts once per connection, not once per request that would have come.
 *
 * One thread.  Where the load itself uses a whole core, it measures itself; the result says
 * how much it used.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/hist.h"
#include "bench/keys.h"
#include "bench/plan.h"
#include <stdint.h>

/* Of the measured time, without warm-up and prefill.  An operation is one key fetched or stored. */
struct load_result {
    struct hist latency;    /* of requests, microseconds */
    uint64_t    requests;
    uint64_t    gets, hits; /* keys */
    uint64_t    sets;
    uint64_t    errors;     /* answers that were errors */
    uint64_t    wrong;      /* verify: wrong key, flags, length or bytes */
    char        complaint[200]; /* the first error or wrong value, or empty */
    usec_t      elapsed;
    usec_t      client_cpu;
    usec_t      server_cpu; /* -1: unknown */
};

/* Stores every key once. */
MUST_CHECK err_t load_prefill(const struct plan *p, const struct keys *k, struct err_detail *d);
/* Makes the load and measures it. */
MUST_CHECK err_t load_run(const struct plan *p, const struct keys *k, struct load_result *ret,
                          struct err_detail *d);

static inline uint64_t
load_operations(const struct load_result *r)
{
    return r->gets + r->sets;
}
