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
#include "base/err.h"
#include "bench/keys.h"
#include "bench/plan.h"
#include "bench/result.h"

/* Stores every key once. */
MUST_CHECK err_t load_prefill(const struct plan *p, const struct keys *k, struct err_detail *d);
/* Makes the load and measures it. */
MUST_CHECK err_t load_run(const struct plan *p, const struct keys *k, struct load_result *ret,
                          struct err_detail *d);
