/*
 * pace.h - when requests are due that come at a rate, whatever the server does.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>

struct pace {
    nsec_t begin;
    double interval; /* nanoseconds */
    double at;       /* nanoseconds after begin: when the next request is due */
    bool   poisson;
};

/*
 * rate is requests a second.  They come evenly, the first a share of the interval (0..1) after
 * begin; or (poisson) as those of many independent clients do, at random with that rate.
 */
void pace_init(struct pace *p, double rate, bool poisson, nsec_t begin, double share);

/* When the next request is due. */
static inline nsec_t
pace_due(const struct pace *p)
{
    return p->begin + (nsec_t)p->at;
}

/* That one is sent: on to the next.  r is used if poisson. */
void pace_step(struct pace *p, struct rng *r);
