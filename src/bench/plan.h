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

struct plan {
    const char  *place;       /* HOST:PORT or a path; NULL: not given */
    enum dialect dialect;
    unsigned     connections;
    unsigned     depth;       /* requests under way on each connection */
    unsigned     multi;       /* keys of one get */
    double       get_percent; /* share of requests that fetch; the others store */
    struct keys_config keys;
    uint64_t     seed;        /* of choices */
    usec_t       warmup, duration;
    bool         prefill;     /* store every key first */
    bool         verify;      /* compare every value with what was stored */
    pid_t        pid;         /* of the server, whose CPU time is counted; 0: unknown */
    unsigned     rounds;      /* of compare */
    const char  *row;         /* compare: name of a row of a table, instead of prose */
};

/*
 * Reads the options in argv; *ret_rest is the index of the first word that is none.  Borrows argv
 * for as long as the plan lives.
 */
MUST_CHECK err_t plan_parse(int argc, char **argv, struct plan *ret, int *ret_rest,
                            struct err_detail *d);
/* The options and their defaults, for --help. */
void plan_print_help(void);
/* One line: "text, 50 connections, ..." */
void plan_print(const struct plan *p);
