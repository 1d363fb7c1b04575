#include "base/rng.h"

#include <assert.h>

/* splitmix64: spreads a seed of any kind over the state, which must not be all zero. */
static uint64_t
seed_step(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void
rng_init(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->state[i] = seed_step(&seed);
    }
}

static uint64_t
rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t
rng_next(struct rng *r)
{
    uint64_t *s = r->state;
    uint64_t  result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t  t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t
rng_below(struct rng *r, uint64_t limit)
{
    uint64_t uneven;
    uint64_t x;

    assert(limit != 0);
    /* The first 2^64 mod limit numbers would make the small results likelier: draw again. */
    uneven = (UINT64_C(0) - limit) % limit;
    do {
        x = rng_next(r);
    } while (x < uneven);
    return x % limit;
}

double
rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1.0p-53;
}
