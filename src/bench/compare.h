/*
 * compare.h - two servers under the same load in turn, and the ratio between them.
 *
 * A machine is never as fast now as it was a minute ago.  So both servers run all the time,
 * rounds alternate, who goes first alternates too, and what counts is the median of
 * the ratios of the rounds, with their spread.
 */
#pragma once
#include "bench/plan.h"

/*
 * Starts both commands (process.h), makes the load of the plan in plan->rounds rounds on each,
 * prints the result.  False: it did not work out, and why is printed.
 */
bool compare_run(const struct plan *plan, const char *const command[2]);
