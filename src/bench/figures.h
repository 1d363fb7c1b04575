/*
 * figures.h - what one load did on each server in each round, and how the rounds are spread.
 *
 * A ratio is taken round by round, of measurements some seconds apart, and only then the median:
 * what the machine does for minutes falls out of it.
 */
#pragma once
#include "base/err.h"
#include <stddef.h>

enum figure {
    FIGURE_RATE,      /* operations a second */
    FIGURE_COST,      /* us of the server's CPU for an operation */
    FIGURE_P50,       /* of a request's latency, us; so the next two */
    FIGURE_P99,
    FIGURE_P999,
    FIGURE_HITS,      /* of the keys asked for, % */
    FIGURE_ITEM,      /* growth of resident memory since the server was empty, bytes for an item */
    FIGURE_RESIDENT,  /* all of the server's resident memory, MiB */
    FIGURE_CLIENT,    /* cores that the load itself kept busy */
    FIGURES
};

/* How a figure is shown. */
struct figures_row {
    const char *key;   /* in JSON and CSV */
    const char *title;
    int         decimals;
};
extern const struct figures_row figures_rows[FIGURES];

/* A value that is unknown is NAN, and so is what follows from it. */
struct figures {
    unsigned servers, rounds;
    double (*values)[FIGURES];
};

/* All unknown.  Both counts are at least 1. */
MUST_CHECK err_t figures_init(struct figures *f, unsigned servers, unsigned rounds);
void figures_fini(struct figures *f);

/* The figures of one server in one round, to be set or read. */
static inline double *
figures_of(const struct figures *f, unsigned server, unsigned round)
{
    return f->values[(size_t)round * f->servers + server];
}

struct spread {
    double min, median, max;
};

/* Sorts the values, of which there is at least one. */
struct spread figures_spread_of(double *values, unsigned count);
struct spread figures_spread(const struct figures *f, unsigned server, enum figure what);
/* Of one server's figure by that of the other, both of the same round. */
struct spread figures_ratio(const struct figures *f, unsigned server, unsigned by,
                            enum figure what);
