/*
 * report.h - what was measured, in words for a person.
 */
#pragma once
#include "bench/load.h"

/* What compare keeps of a run. */
struct report_figures {
    double rate;        /* operations per second */
    double server_cost; /* microseconds of the server's CPU per operation; negative: unknown */
    double client_load; /* cores that the load itself kept busy */
    double hit_ratio;   /* keys found of keys fetched, 0..1; negative: none was fetched */
    double mean, p50, p90, p99, p999, p9999, max; /* latency of all requests, microseconds */
};

/* Takes a while (some 10,000 buckets): for the end of a run. */
struct report_figures report_figures(const struct load_result *r);

/* Several lines. */
void report_print(const struct load_result *r);
/* Prints what went wrong, if anything; false if something did. */
bool report_print_trouble(const struct load_result *r);
