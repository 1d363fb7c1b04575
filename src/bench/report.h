/*
 * report.h - what was measured, in words for a person or for a program.
 */
#pragma once
#include "bench/load.h"
#include "bench/plan.h"
#include "bench/result.h"
#include <stdbool.h>

/* What compare keeps of a run. */
struct report_figures {
    double rate;        /* operations per second */
    double server_cost; /* microseconds of the server's CPU per operation; negative: unknown */
    double client_load; /* cores that the load itself kept busy */
    double client_busiest; /* 0..1, of its threads; near 1 the rate is the load's own limit */
    double hit_ratio;   /* keys found of keys fetched, 0..1; negative: none was fetched; of a
                         * trace: behind its warm-up */
    double mean, p50, p90, p99, p999, p9999, max; /* latency of all requests, microseconds */
};

/* Takes a while (some 10,000 buckets): for the end of a run. */
struct report_figures report_figures(const struct load_result *r);

/* Several lines. */
void report_print(const struct plan *p, const struct load_result *r);
/* One object, or a line with the names and one with the values; the names are the same. */
void report_print_json(const struct plan *p, const struct load_result *r);
void report_print_csv(const struct plan *p, const struct load_result *r);
/* Prints what went wrong, if anything; false if something did. */
bool report_print_trouble(const struct load_result *r);
