/*
 * verdict.h - what a comparison found, on standard output.
 *
 * Each server's figures, and the ratios of each pair; medians of the rounds with
 * their spread.  One load at a time, so that a long suite can be followed.
 */
#pragma once
#include "bench/cores.h"
#include "bench/figures.h"
#include "bench/suite.h"

/* Where the servers and the load run. */
struct verdict_cores {
    bool         pinned;
    struct cores all, servers, load; /* the last two only if pinned */
};

/* In front of the first load. */
void verdict_begin(const struct suite *s, const struct verdict_cores *where);
/* The load of this number, first 0. */
void verdict_print(const struct suite *s, unsigned load, const struct figures *f);
/* Behind the last load. */
void verdict_end(const struct suite *s);
