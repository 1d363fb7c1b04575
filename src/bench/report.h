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
    double p50, p99;    /* latency, microseconds */
};

struct report_figures report_figures(const struct load_result *r);

/* Several lines. */
void report_print(const struct load_result *r);
/* Prints what went wrong, if anything; false if something did. */
bool report_print_trouble(const struct load_result *r);
