#include "bench/keys.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAME_PREFIX "k-"
#define OFFSETS     UINT64_C(65521) /* places in the pattern where values begin */
/* A prime above any count: neighbours in rank are not neighbours in number. */
#define SCATTER     UINT64_C(2654435761)

/* An even mix of the bits of a number. */
static uint64_t
id_mix(uint64_t id)
{
    id = (id ^ (id >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    id = (id ^ (id >> 27)) * UINT64_C(0x94d049bb133111eb);
    return id ^ (id >> 31);
}

/*
 * Zipf by rejection-inversion: the integral of x^-s is inverted at an even random place, which
 * gives the rank but for a rare correction.  No table, and the same cost for any number of keys.
 */
static double
zipf_integral(double s, double x)
{
    double power = 1 - s;

    return fabs(power) < 1e-9 ? log(x) : (pow(x, power) - 1) / power;
}

static double
zipf_inverse(double s, double y)
{
    double power = 1 - s;

    return fabs(power) < 1e-9 ? exp(y) : pow(1 + y * power, 1 / power);
}

static void
zipf_init(struct keys_zipf *z, double exponent, uint64_t count)
{
    z->exponent = exponent;
    z->top = zipf_integral(exponent, 1.5) - 1;
    z->bottom = zipf_integral(exponent, (double)count + 0.5);
    z->shortcut = 2 - zipf_inverse(exponent, zipf_integral(exponent, 2.5) - pow(2, -exponent));
}

/* 1..count, 1 most often. */
static uint64_t
zipf_rank(const struct keys_zipf *z, uint64_t count, struct rng *r)
{
    for (;;) {
        double u = z->bottom + rng_unit(r) * (z->top - z->bottom);
        double x = zipf_inverse(z->exponent, u);
        double rank = floor(x + 0.5);

        if (rank < 1) {
            rank = 1;
        } else if (rank > (double)count) {
            rank = (double)count;
        }
        if (rank - x <= z->shortcut ||
            u >= zipf_integral(z->exponent, rank + 0.5) - pow(rank, -z->exponent)) {
            return (uint64_t)rank;
        }
    }
}

err_t
keys_init(struct keys *k, const struct keys_config *c)
{
    size_t pattern_len = c->value_max + OFFSETS + sizeof(uint64_t);
    struct rng r;

    assert(c->count > 0 && c->count < SCATTER && c->value_min <= c->value_max);
    assert(c->name_len >= KEYS_NAME_MIN && c->name_len <= KEYS_NAME_MAX);
    *k = (struct keys){ .config = *c };
    if (c->zipf > 0) {
        zipf_init(&k->zipf, c->zipf, c->count);
    }
    k->pattern = malloc(pattern_len);
    if (!k->pattern) {
        return ERR_NOMEM;
    }
    rng_init(&r, c->seed);
    for (size_t at = 0; at + sizeof(uint64_t) <= pattern_len; at += sizeof(uint64_t)) {
        uint64_t bits = rng_next(&r);

        memcpy(k->pattern + at, &bits, sizeof bits);
    }
    return ERR_OK;
}

void
keys_fini(struct keys *k)
{
    free(k->pattern);
    k->pattern = NULL;
}

uint64_t
keys_pick(const struct keys *k, struct rng *r)
{
    if (k->config.zipf > 0) {
        return zipf_rank(&k->zipf, k->config.count, r) * SCATTER % k->config.count;
    }
    return rng_below(r, k->config.count);
}

void
keys_write_name(const struct keys *k, uint64_t id, char *out)
{
    memset(out, '0', k->config.name_len);
    memcpy(out, NAME_PREFIX, sizeof NAME_PREFIX - 1);
    for (size_t at = k->config.name_len; id > 0; id /= 10) {
        out[--at] = (char)('0' + id % 10);
    }
}

struct slice
keys_value(const struct keys *k, uint64_t id)
{
    uint64_t mix = id_mix(id + 1);
    uint64_t len = k->config.value_min + (mix >> 20) % (k->config.value_max - k->config.value_min + UINT64_C(1));

    return slice_of(k->pattern + mix % OFFSETS, (size_t)len);
}

uint32_t
keys_flags(uint64_t id)
{
    return (uint32_t)id;
}
