/*
 * progress.h - a line on standard error each second, while a load runs.
 */
#pragma once
#include "base/hist.h"
#include "bench/result.h"

/* What was there at the last line.  A zeroed one: nothing. */
struct progress {
    nsec_t      at; /* since the beginning */
    uint64_t    operations, gets, hits;
    struct hist latency;
};

/* Prints what happened since the last line; now is since the beginning, r all that was measured. */
void progress_print(struct progress *p, const char *phase, nsec_t now,
                    const struct load_result *r);
