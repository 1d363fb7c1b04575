/*
 * compare.h - servers under the same loads in turn, and the ratios between them.
 *
 * A machine is never as fast now as it was a minute ago.  So all servers run all the time, one at a
 * time is asked while the others do nothing, who goes first changes from round to round, and what
 * counts is the median of the ratios of the rounds, with their spread.
 */
#pragma once
#include "bench/suite.h"

/*
 * Starts the servers, makes every load of the suite on each of them, prints the verdict, and leaves
 * no server behind, whatever happens.  False: it did not work out, and why is printed.
 */
bool compare_run(const struct suite *suite);
