/*
 * trial.h - one cluster under the faults of a plan: safety all the time, agreement in the end; and
 * the smallest plan that still fails.
 */
#pragma once
#include "fault.h"
#include "swarm.h"

struct trial {
    bool     failed, crashed; /* crashed: the process of the run ended */
    uint64_t hash;
    double   agreed; /* s after the last fault */
    double   packets; /* for each probe interval and node, when all had agreed for a while */
    struct swarm_figures figures;
    char     why[512];
};

/* In this process; an assertion ends it.  trace may be NULL. */
void trial_run(struct trial *t, const struct plan *plan, FILE *trace);
/* In a process of its own. */
void trial_run_apart(struct trial *t, const struct plan *plan);
/*
 * Drops faults and nodes as long as it still fails.  *keep: bits of those faults of the plan as it
 * was drawn that are left.
 */
void trial_shrink(struct plan *plan, uint64_t *keep);
/* What fails, and how to see it again. */
void trial_report(const struct plan *plan, uint64_t keep, const struct trial *t, FILE *out);
