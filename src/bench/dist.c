#include "bench/dist.h"
#include "base/num.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SIGMA_MAX  10.0
#define WEIGHT_MAX 1e9

static_assert(DIST_STEPS == 1 << 12, "dist_pick() takes twelve bits");

/* -- text -------------------------------------------------------------------------------------- */

/* What lies before the next mark, which is taken too; all of it if there is none. */
static struct slice
field_take(struct slice *text, char mark)
{
    const char *at = memchr(text->ptr, mark, text->len);
    struct slice field = slice_of(text->ptr, at ? (size_t)(at - text->ptr) : text->len);

    *text = slice_from(*text, at ? field.len + 1 : field.len);
    return field;
}

/* A plain decimal number of 0 < n <= max. */
static bool
real_parse(struct slice text, double max, double *ret)
{
    char copy[32], *end;
    double n;

    if (text.len == 0 || text.len >= sizeof copy || text.ptr[0] < '0' || text.ptr[0] > '9') {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    n = strtod(copy, &end);
    if (*end != '\0' || !(n > 0 && n <= max)) {
        return false;
    }
    *ret = n;
    return true;
}

/* "5" or "5-10" */
static bool
range_parse(struct slice text, uint32_t *min, uint32_t *max)
{
    bool two = memchr(text.ptr, '-', text.len) != NULL;

    if (!num_parse_u32(field_take(&text, '-'), min)) {
        return false;
    }
    *max = *min;
    return !two || (num_parse_u32(text, max) && *min <= *max);
}

/* The list behind "lognormal:" and "geometric:". */
static bool
curve_parse(struct slice text, bool has_sigma, struct dist *ret)
{
    uint32_t max = ret->max < DIST_CAP ? ret->max : DIST_CAP;

    if (!real_parse(field_take(&text, ':'), ret->max, &ret->middle) || ret->middle < 1 ||
        (has_sigma && !real_parse(field_take(&text, ':'), SIGMA_MAX, &ret->sigma))) {
        return false;
    }
    if (text.len > 0 && (!num_parse_u32(text, &max) || max > ret->max)) {
        return false;
    }
    ret->max = max;
    return ret->min <= max;
}

static bool
weights_parse(struct slice text, struct dist *ret)
{
    uint32_t min = ret->min, max = ret->max;

    ret->min = UINT32_MAX;
    ret->max = 0;
    while (text.len > 0) {
        struct slice entry = field_take(&text, ',');
        struct dist_part *p = &ret->part[ret->parts];

        if (ret->parts == DIST_PARTS || !range_parse(field_take(&entry, ':'), &p->min, &p->max) ||
            !real_parse(entry, WEIGHT_MAX, &p->weight) || p->min < min || p->max > max) {
            return false;
        }
        ret->min = p->min < ret->min ? p->min : ret->min;
        ret->max = p->max > ret->max ? p->max : ret->max;
        ret->parts++;
    }
    return ret->parts > 0 && text.ptr[-1] != ',';
}

/* The words up to the first ":" name a curve. */
static bool
form_parse(struct slice text, struct dist *ret)
{
    struct slice rest = text;
    struct slice word = field_take(&rest, ':');

    if (slice_is(word, "lognormal")) {
        ret->form = DIST_LOGNORMAL;
        return curve_parse(rest, true, ret);
    }
    if (slice_is(word, "geometric")) {
        ret->form = DIST_GEOMETRIC;
        return curve_parse(rest, false, ret);
    }
    if (word.len < text.len) {
        ret->form = DIST_WEIGHTS;
        return weights_parse(text, ret);
    }
    return true;
}

err_t
dist_parse(const char *text, uint32_t min, uint32_t max, struct dist *ret, struct err_detail *d)
{
    struct slice all = slice_of(text, strlen(text));
    struct dist dist = { .form = DIST_EVEN, .min = min, .max = max };
    bool ok = form_parse(all, &dist);

    if (ok && dist.form == DIST_EVEN) {
        ok = range_parse(all, &dist.min, &dist.max) && dist.min >= min && dist.max <= max;
    }
    if (!ok) {
        return err_set(d, ERR_INVALID,
                       "want N, MIN-MAX, lognormal:MEDIAN:SIGMA[:MAX], geometric:MEAN[:MAX] or up "
                       "to %d parts N:WEIGHT,MIN-MAX:WEIGHT; numbers of %u to %u",
                       DIST_PARTS, min, max);
    }
    *ret = dist;
    return ERR_OK;
}

/* -- quantiles --------------------------------------------------------------------------------- */

/* The x below which a standard normal number is with probability p, 0 < p < 1. */
static double
normal_quantile(double p)
{
    double low = -10, high = 10;

    for (int i = 0; i < 60; i++) {
        double x = (low + high) / 2;

        if (erfc(-x / sqrt(2)) / 2 < p) {
            low = x;
        } else {
            high = x;
        }
    }
    return (low + high) / 2;
}

/* The number at this place of the list; within a part all are as likely. */
static uint32_t
weights_quantile(const struct dist *d, double p)
{
    double sum = 0, place;
    unsigned i = 0;

    for (unsigned k = 0; k < d->parts; k++) {
        sum += d->part[k].weight;
    }
    place = p * sum;
    while (i + 1 < d->parts && place >= d->part[i].weight) {
        place -= d->part[i++].weight;
    }
    place /= d->part[i].weight;
    return d->part[i].min +
           (uint32_t)(place * ((double)d->part[i].max - (double)d->part[i].min + 1));
}

static uint32_t
quantile_of(const struct dist *d, double p)
{
    double x = d->min;

    switch (d->form) {
    case DIST_WEIGHTS:
        x = weights_quantile(d, p);
        break;
    case DIST_LOGNORMAL:
        x = round(d->middle * exp(d->sigma * normal_quantile(p)));
        break;
    case DIST_GEOMETRIC:
        x = d->middle > 1 ? ceil(log1p(-p) / log1p(-1 / d->middle)) : 1;
        break;
    case DIST_EVEN: /* has no quantiles */
        break;
    }
    return x < d->min ? d->min : x > d->max ? d->max : (uint32_t)x;
}

void
dist_table_init(struct dist_table *t, const struct dist *d)
{
    t->dist = *d;
    for (unsigned i = 0; i < DIST_STEPS; i++) {
        t->quantile[i] = quantile_of(d, (i + 0.5) / DIST_STEPS);
    }
}
