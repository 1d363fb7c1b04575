/*
 * load.h - a load: what its threads do together, from the first connection to the result.
 *
 * Closed loop, which is the default: a connection sends its next request when it has fewer than
 * depth under way, so a slow server is asked less.  Latencies are therefore those of a server at
 * its limit, and a pause counts once per connection, not once per request that would have come.
 * With a rate (or a trace that keeps its times) the loop is open: see lane.h.
 *
 * Where the load itself uses its threads' cores up, it measures itself; the result says how much it
 * used.  One load at a time.
 */
#pragma once
#include "base/err.h"
#include "bench/keys.h"
#include "bench/plan.h"
#include "bench/result.h"

/*
 * Stores every key that the load asks for once, and every counter if it increments.  Keys that the
 * server refuses (no memory, too large) are told on stderr; it is an error only if that are all.
 */
MUST_CHECK err_t load_prefill(const struct plan *p, const struct keys *k, struct err_detail *d);

/*
 * Makes the load and measures it.  On failure *ret is what was measured until then.
 */
MUST_CHECK err_t load_run(const struct plan *p, const struct keys *k, struct load_result *ret,
                          struct err_detail *d);

/*
 * Ends the load under way, or the next one if there is none: load_run() gives back what was
 * measured until then, load_prefill() fails.  Any thread, and signal handlers.
 */
void load_interrupt(void);
