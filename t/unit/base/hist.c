#include "base/hist.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static struct hist hist_a;
static struct hist hist_b;

Test(hist, an_empty_one_answers_zero)
{
    cr_expect(zero(u64, hist_count(&hist_a)));
    cr_expect(zero(u64, hist_mean(&hist_a)));
    cr_expect(zero(u64, hist_max(&hist_a)));
    cr_expect(zero(u64, hist_percentile(&hist_a, 99)));
}

Test(hist, small_values_are_exact)
{
    for (uint64_t v = 0; v < 64; v++) {
        hist_record(&hist_a, v);
    }
    cr_expect(eq(u64, hist_count(&hist_a), 64));
    cr_expect(eq(u64, hist_mean(&hist_a), 31));
    cr_expect(zero(u64, hist_percentile(&hist_a, 0)));
    cr_expect(eq(u64, hist_percentile(&hist_a, 50), 31));
    cr_expect(eq(u64, hist_percentile(&hist_a, 100), 63));
}

/* What a line of progress shows: the values since the last one. */
Test(hist, what_was_there_before_can_be_taken_away)
{
    for (uint64_t v = 0; v < 1000; v++) {
        hist_record(&hist_a, 5);
        hist_record(&hist_b, 5);
    }
    for (uint64_t v = 0; v < 10; v++) {
        hist_record(&hist_a, 60);
    }
    hist_subtract(&hist_a, &hist_b);
    cr_expect(eq(u64, hist_count(&hist_a), 10));
    cr_expect(eq(u64, hist_mean(&hist_a), 60));
    cr_expect(eq(u64, hist_percentile(&hist_a, 1), 60));
    hist_subtract(&hist_a, &hist_b);
    cr_expect(eq(u64, hist_count(&hist_a), 10), "no count falls below 0");
}

/* The header's promise: never too low, at most 1/32 too high, for any value. */
Test(hist, a_lone_value_is_found_within_the_error)
{
    for (unsigned bit = 0; bit < HIST_VALUE_BITS; bit++) {
        for (int step = -1; step <= 1; step++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)step;
            uint64_t found;

            hist_clear(&hist_a);
            hist_record(&hist_a, value);
            hist_record(&hist_a, HIST_VALUE_MAX); /* or the maximum would hide the error */
            found = hist_percentile(&hist_a, 50);
            cr_expect(ge(u64, found, value), "2^%u%+d", bit, step);
            cr_expect(le(u64, found, value + value / 32), "2^%u%+d", bit, step);
        }
    }
}

Test(hist, huge_values_count_as_the_largest)
{
    hist_record(&hist_a, UINT64_MAX);
    hist_record(&hist_a, HIST_VALUE_MAX + 1);
    cr_expect(eq(u64, hist_count(&hist_a), 2));
    cr_expect(eq(u64, hist_max(&hist_a), HIST_VALUE_MAX));
    cr_expect(eq(u64, hist_percentile(&hist_a, 50), HIST_VALUE_MAX));
}

static int
value_compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Against the exact percentiles of a sorted sample; merged halves tell the same as the whole. */
Test(hist, percentiles_of_a_sample)
{
    static uint64_t     value[20000];
    static const double percent[] = { 1, 10, 50, 90, 99, 99.9, 100 };
    struct rng          r;

    rng_init(&r, 7);
    for (size_t i = 0; i < 20000; i++) {
        value[i] = rng_below(&r, UINT64_C(1) << (1 + rng_below(&r, 30)));
        hist_record(i % 2 == 0 ? &hist_a : &hist_b, value[i]);
    }
    hist_merge(&hist_a, &hist_b);
    cr_expect(eq(u64, hist_count(&hist_a), 20000));
    qsort(value, 20000, sizeof *value, value_compare);
    cr_expect(eq(u64, hist_max(&hist_a), value[19999]));
    for (size_t i = 0; i < sizeof percent / sizeof *percent; i++) {
        size_t   rank = (size_t)(20000 * percent[i] / 100 + 0.999) - 1;
        uint64_t found = hist_percentile(&hist_a, percent[i]);

        cr_expect(ge(u64, found, value[rank]), "%g", percent[i]);
        cr_expect(le(u64, found, value[rank] + value[rank] / 32), "%g", percent[i]);
    }
}
