#include "bench/pace.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

/* A million steps on, an even pace is still where it must be. */
Test(pace, an_even_one_does_not_drift)
{
    struct pace p;
    struct rng r;

    rng_init(&r, 1);
    pace_init(&p, 30000, false, 1000, 0.5);
    cr_expect(eq(i64, pace_due(&p), 1000 + NSEC_PER_SEC / 30000 / 2));
    for (int i = 0; i < 3000000; i++) {
        pace_step(&p, &r);
    }
    cr_expect(lt(dbl, fabs((double)(pace_due(&p) - 1000) - 100e9 - 16666), 1000.0));
}

/* Gaps of a Poisson process: mean and standard deviation are the interval. */
Test(pace, a_random_one_has_the_rate)
{
    enum { STEPS = 200000 };
    double sum = 0, squares = 0;
    nsec_t last;
    struct pace p;
    struct rng r;

    rng_init(&r, 2);
    pace_init(&p, 1e6, true, 0, 0);
    last = pace_due(&p);
    for (int i = 0; i < STEPS; i++) {
        double gap;

        pace_step(&p, &r);
        gap = (double)(pace_due(&p) - last);
        last = pace_due(&p);
        cr_assert(ge(dbl, gap, 0.0));
        sum += gap;
        squares += gap * gap;
    }
    cr_expect(lt(dbl, fabs(sum / STEPS - 1000), 12.0));
    cr_expect(lt(dbl, fabs(sqrt(squares / STEPS - pow(sum / STEPS, 2)) - 1000), 20.0));
}
