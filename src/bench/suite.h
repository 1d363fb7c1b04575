/*
 * suite.h - what compare is to do: which servers, under which loads, how often.
 *
 *   compare [OPTION]... [--load NAME [OPTION]...]... -- 'SERVER A' -- 'SERVER B'...
 *
 * Options in front of the first --load hold for all loads, those behind one for that load alone;
 * without any --load there is one.  compare's own options may stand anywhere.
 */
#pragma once
#include "bench/plan.h"
#include "bench/process.h"

enum suite_output { SUITE_TEXT, SUITE_MARKDOWN, SUITE_JSON, SUITE_CSV };

struct suite_load {
    const char *name;
    char       *options; /* as they were given, those for all loads too */
    struct plan plan;
};

struct suite {
    char              *commands[PROCESS_MAX];
    unsigned           servers; /* at least 2 */
    struct suite_load *loads;
    unsigned           load_count; /* at least 1 */
    unsigned           rounds;
    bool               pin;
    enum suite_output  output;
};

/* argv begins behind "compare" and must outlive the suite.  On failure nothing is to be freed. */
MUST_CHECK err_t suite_parse(int argc, char **argv, struct suite *ret, struct err_detail *d);
void suite_free(struct suite *s);
/* compare's own options, for --help. */
void suite_print_help(void);
