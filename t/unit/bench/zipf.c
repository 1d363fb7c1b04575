#include "bench/zipf.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

#define DRAWS 400000

/* Each rank as often as r^-s says, within five standard deviations. */
static void
check_shares(double exponent, uint64_t count)
{
    double sum = 0;
    int seen[12] = { 0 };
    struct zipf z;
    struct rng r;

    for (uint64_t k = 1; k <= count; k++) {
        sum += pow((double)k, -exponent);
    }
    zipf_init(&z, exponent, count);
    rng_init(&r, 3);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_rank(&z, &r);

        cr_assert(rank >= 1 && rank <= count);
        if (rank < 12) {
            seen[rank]++;
        }
    }
    for (uint64_t k = 1; k < 12 && k <= count; k++) {
        double p = pow((double)k, -exponent) / sum, n = p * DRAWS;

        cr_expect(lt(dbl, fabs(seen[k] - n), 5 * sqrt(n * (1 - p)) + 1),
                  "exponent %g: rank %d came %d times, not %.0f", exponent, (int)k, seen[k], n);
    }
}

Test(zipf, ranks_come_as_often_as_their_power_says)
{
    static const double rows[] = { 0.2, 0.99, 1, 1.01, 1.5, 3 };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_shares(rows[i], 100000);
        check_shares(rows[i], 3);
    }
}

Test(zipf, one_of_one_is_always_the_first)
{
    struct zipf z;
    struct rng r;

    zipf_init(&z, 1, 1);
    rng_init(&r, 1);
    for (int i = 0; i < 100; i++) {
        cr_assert(eq(u64, zipf_rank(&z, &r), 1));
    }
}
