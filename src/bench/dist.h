/*
 * dist.h - how sizes and times to live are spread: what "--value-size 32:50,1024:40" means.
 *
 * A distribution is turned into a table of quantiles once; after that a pick is a look into it,
 * and 64 even bits always give the same number: so a key's size can follow from the key.
 */
#pragma once
#include "base/err.h"
#include <stdint.h>

#define DIST_PARTS 8      /* of a weighted list */
#define DIST_STEPS 4096   /* quantiles; what is rarer than one in 8192 is not met */
#define DIST_CAP   1000000 /* largest number of a lognormal or geometric one, if not said */

enum dist_form {
    DIST_EVEN,      /* min..max, each as likely; one number if they are the same */
    DIST_LOGNORMAL, /* median and sigma of the logarithm, cut at max */
    DIST_GEOMETRIC, /* 1, 2, 3...: mean, cut at max */
    DIST_WEIGHTS,   /* parts */
};

struct dist_part {
    uint32_t min, max;
    double   weight;
};

struct dist {
    enum dist_form   form;
    uint32_t         min, max; /* of any pick */
    double           middle;   /* median or mean */
    double           sigma;
    struct dist_part part[DIST_PARTS];
    unsigned         parts;
};

struct dist_table {
    struct dist dist;
    uint32_t    quantile[DIST_STEPS]; /* not of DIST_EVEN, which is exact */
};

/*
 * Reads N, MIN-MAX, lognormal:MEDIAN:SIGMA[:MAX], geometric:MEAN[:MAX] or a list of
 * N:WEIGHT and MIN-MAX:WEIGHT with commas between.  No number may be outside min..max; a
 * lognormal or geometric one is cut there.
 */
MUST_CHECK err_t dist_parse(const char *text, uint32_t min, uint32_t max, struct dist *ret,
                            struct err_detail *d);

void dist_table_init(struct dist_table *t, const struct dist *d);

/* The number that belongs to these bits. */
static inline uint32_t
dist_pick(const struct dist_table *t, uint64_t bits)
{
    if (t->dist.form == DIST_EVEN) {
        uint64_t span = (uint64_t)t->dist.max - t->dist.min + 1;

        return t->dist.min + (uint32_t)((bits >> 32) * span >> 32);
    }
    return t->quantile[bits >> 52];
}
