#include "bench/pace.h"
#include <assert.h>
#include <math.h>

void
pace_init(struct pace *p, double rate, bool poisson, nsec_t begin, double share)
{
    assert(rate > 0 && share >= 0 && share <= 1);
    p->begin = begin;
    p->interval = (double)NSEC_PER_SEC / rate;
    p->at = p->interval * share;
    p->poisson = poisson;
}

void
pace_step(struct pace *p, struct rng *r)
{
    p->at += p->poisson ? p->interval * -log1p(-rng_unit(r)) : p->interval;
}
