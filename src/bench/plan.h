/*
 * plan.h - what load to make: the options of the command line as a value.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "bench/dialect.h"
#include "bench/keys.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum plan_output { PLAN_OUTPUT_TEXT, PLAN_OUTPUT_JSON, PLAN_OUTPUT_CSV };

struct plan {
    const char  *place;       /* HOST:PORT or a path; NULL: not given */
    enum dialect dialect;
    unsigned     threads;     /* 1..connections */
    unsigned     connections;
    unsigned     idle;        /* connections that say nothing */
    unsigned     depth;       /* requests under way on each connection */
    unsigned     multi;       /* keys of one get */
    double       share[VERBS]; /* of the requests; they add up to 1 */
    bool         set_on_miss; /* store what a get did not find */
    double       rate;        /* requests a second; 0: as many as are answered */
    bool         poisson;     /* ... at random moments */
    struct keys_config keys;
    const char  *key_size, *value_size, *ttl; /* as given, see dist.h */
    uint64_t     seed;        /* of choices */
    uint64_t     requests;    /* 0: not limited */
    usec_t       warmup, duration; /* duration 0: not limited */
    bool         prefill;     /* store every key first */
    bool         verify;      /* compare every value with what was stored */
    pid_t        pid;         /* of the server, whose CPU time is counted; 0: unknown */
    const char  *trace;       /* path of a trace that is the load; NULL: none */
    double       trace_speed; /* 0: as fast as it goes */
    double       trace_warmup; /* share of the trace that does not count for the hit ratio */
    enum plan_output output;
    bool         progress;    /* a line on stderr each second */
};

/*
 * Reads the options in argv; *ret_rest is the index of the first word that is none.  Borrows argv
 * for as long as the plan lives.
 */
MUST_CHECK err_t plan_parse(int argc, char **argv, struct plan *ret, int *ret_rest,
                            struct err_detail *d);
/*
 * What the load wants stored first: *from..*end - 1, numbers of keys up to keys.count, behind that
 * counters.  Keys that are only incremented are no others.
 */
void plan_fill_range(const struct plan *p, uint64_t *from, uint64_t *end);
/* The options and their defaults, for --help. */
void plan_print_help(void);
/* One line: "text, 50 connections, ..." */
void plan_print(const struct plan *p);
