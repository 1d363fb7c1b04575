/*
 * rng.h - random numbers from a seed: the same seed always gives the same numbers.
 *
 * xoshiro256**, a plain value.  Good for choices, samples and tests; never for secrets.
 */
#pragma once
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *r, uint64_t seed);
/* 64 even bits. */
uint64_t rng_next(struct rng *r);
/* Even in 0..limit-1; limit is at least 1. */
uint64_t rng_below(struct rng *r, uint64_t limit);
/* Even in 0 <= x < 1. */
double rng_unit(struct rng *r);
