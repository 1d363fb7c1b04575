/*
 * zipf.h - numbers of which few are common: rank r comes with a probability of r^-exponent.
 */
#pragma once
#include "base/rng.h"
#include <stdint.h>

/* A value; nothing in it changes when numbers are drawn. */
struct zipf {
    uint64_t count;
    double   exponent, top, bottom, shortcut;
};

/* count is at least 1, exponent above 0. */
void zipf_init(struct zipf *z, double exponent, uint64_t count);
/* 1..count, 1 most often. */
uint64_t zipf_rank(const struct zipf *z, struct rng *r);
