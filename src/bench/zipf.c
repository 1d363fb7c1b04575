#include "bench/zipf.h"
#include <assert.h>
#include <math.h>

/*
 * By rejection-inversion: the integral of x^-s is inverted at an even random place, which gives
 * the rank but for a rare correction.  No table, and the same cost for any number of keys.
 */
static double
integral(double s, double x)
{
    double power = 1 - s;

    return fabs(power) < 1e-9 ? log(x) : (pow(x, power) - 1) / power;
}

static double
inverse(double s, double y)
{
    double power = 1 - s;

    return fabs(power) < 1e-9 ? exp(y) : pow(1 + y * power, 1 / power);
}

void
zipf_init(struct zipf *z, double exponent, uint64_t count)
{
    assert(count > 0 && exponent > 0);
    z->count = count;
    z->exponent = exponent;
    z->top = integral(exponent, 1.5) - 1;
    z->bottom = integral(exponent, (double)count + 0.5);
    z->shortcut = 2 - inverse(exponent, integral(exponent, 2.5) - pow(2, -exponent));
}

uint64_t
zipf_rank(const struct zipf *z, struct rng *r)
{
    for (;;) {
        double u = z->bottom + rng_unit(r) * (z->top - z->bottom);
        double x = inverse(z->exponent, u);
        double rank = floor(x + 0.5);

        if (rank < 1) {
            rank = 1;
        } else if (rank > (double)z->count) {
            rank = (double)z->count;
        }
        if (rank - x <= z->shortcut ||
            u >= integral(z->exponent, rank + 0.5) - pow(rank, -z->exponent)) {
            return (uint64_t)rank;
        }
    }
}
