#include "base/rng.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* A seed in a failure message must repeat the run, on any machine and in any release. */
Test(rng, a_seed_always_gives_the_same_numbers)
{
    struct rng known = { { 1, 2, 3, 4 } };
    struct rng a;
    struct rng b;

    /* First outputs of xoshiro256** from the state 1, 2, 3, 4; later ones by another program. */
    cr_expect(eq(u64, rng_next(&known), 11520));
    cr_expect(eq(u64, rng_next(&known), 0));
    cr_expect(eq(u64, rng_next(&known), 1509978240));
    for (int i = 3; i < 999; i++) {
        rng_next(&known);
    }
    cr_expect(eq(u64, rng_next(&known), UINT64_C(3475037357188383021)), "the thousandth");
    rng_init(&a, 42);
    cr_expect(eq(u64, rng_next(&a), UINT64_C(1546998764402558742)), "state made by splitmix64");
    rng_init(&a, 42);
    rng_init(&b, 42);
    for (int i = 0; i < 1000; i++) {
        cr_assert(eq(u64, rng_next(&a), rng_next(&b)));
    }
    rng_init(&b, 43);
    cr_expect(ne(u64, rng_next(&a), rng_next(&b)));
}

Test(rng, seed_zero_works)
{
    struct rng r;
    uint64_t   seen = 0;

    rng_init(&r, 0);
    for (int i = 0; i < 64; i++) {
        seen |= rng_next(&r);
    }
    cr_expect(eq(u64, seen, UINT64_MAX));
}

/* Every residue about as often as the others: 10000 draws each, five standard deviations. */
Test(rng, below_is_even)
{
    struct rng r;
    int        count[7] = { 0 };

    rng_init(&r, 1);
    for (int i = 0; i < 70000; i++) {
        uint64_t x = rng_below(&r, 7);

        cr_assert(lt(u64, x, 7));
        count[x]++;
    }
    for (int i = 0; i < 7; i++) {
        cr_expect(gt(int, count[i], 9535), "residue %d", i);
        cr_expect(lt(int, count[i], 10465), "residue %d", i);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert(zero(u64, rng_below(&r, 1)));
    }
}

Test(rng, unit_stays_below_one)
{
    struct rng r;
    double     sum = 0;

    rng_init(&r, 2);
    for (int i = 0; i < 100000; i++) {
        double x = rng_unit(&r);

        cr_assert(x >= 0 && x < 1);
        sum += x;
    }
    cr_expect(sum > 49500 && sum < 50500);
}
