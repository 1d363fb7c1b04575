/*
 * verbs.h - what magpiectl can be told to do, each with its help in one table.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "ctl/link.h"

/* Exit codes of the program. */
enum verbs_exit {
    VERBS_OK = 0,
    VERBS_NO = 1,     /* no such key, not stored */
    VERBS_USAGE = 2,
    VERBS_FAILED = 3, /* no server, or it answered with an error */
};

struct verbs_call {
    struct link link;
    int         argc; /* words behind the verb */
    char      **argv;
    const char *ttl;  /* of --ttl, or NULL */
};

struct verb {
    const char *name;
    int         min, max; /* words behind it */
    bool        takes_ttl;
    const char *usage;
    const char *help;
    /* Reports on stdout and stderr; d explains errors. */
    err_t (*run)(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d);
};

/* NULL: no such verb. */
const struct verb *verbs_find(const char *name);
void verbs_print_help(void);
