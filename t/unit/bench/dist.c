#include "bench/dist.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdio.h>

#define DRAWS 200000

static struct dist_table table;

static bool
parsed(const char *text)
{
    struct err_detail d = { .text = "" };
    struct dist dist;

    if (dist_parse(text, 1, 1u << 20, &dist, &d)) {
        cr_expect(d.text[0] != '\0', "%s: refused without a reason", text);
        return false;
    }
    dist_table_init(&table, &dist);
    return true;
}

/* Mean of many draws, all of which must be within the bounds. */
static double
mean_of(uint32_t min, uint32_t max)
{
    struct rng r;
    double sum = 0;

    rng_init(&r, 7);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t n = dist_pick(&table, rng_next(&r));

        cr_assert(n >= min && n <= max, "%u", n);
        sum += n;
    }
    return sum / DRAWS;
}

/* The share of draws below n. */
static double
share_below(uint32_t n)
{
    struct rng r;
    int below = 0;

    rng_init(&r, 8);
    for (int i = 0; i < DRAWS; i++) {
        below += dist_pick(&table, rng_next(&r)) < n;
    }
    return (double)below / DRAWS;
}

Test(dist, one_number_is_always_that)
{
    cr_assert(parsed("100"));
    cr_expect(eq(dbl, mean_of(100, 100), 100.0));
}

Test(dist, a_range_is_even_and_reaches_both_ends)
{
    cr_assert(parsed("10-13"));
    cr_expect(lt(dbl, fabs(mean_of(10, 13) - 11.5), 0.02));
    for (uint32_t n = 11; n <= 13; n++) {
        cr_expect(lt(dbl, fabs(share_below(n) - (n - 10) / 4.0), 0.01), "below %u", n);
    }
    cr_expect(eq(u32, dist_pick(&table, 0), 10));
    cr_expect(eq(u32, dist_pick(&table, UINT64_MAX), 13));
}

/* Half of a lognormal is below its median, 84.13 % below the median times e^sigma. */
Test(dist, a_lognormal_has_its_quantiles)
{
    cr_assert(parsed("lognormal:200:1.2"));
    (void)mean_of(1, DIST_CAP);
    cr_expect(lt(dbl, fabs(share_below(200) - 0.5), 0.01));
    cr_expect(lt(dbl, fabs(share_below((uint32_t)(200 * exp(1.2))) - 0.8413), 0.01));
    cr_expect(lt(dbl, fabs(share_below((uint32_t)(200 * exp(-1.2))) - 0.1587), 0.01));
    cr_assert(parsed("lognormal:200:1.2:300"));
    (void)mean_of(1, 300);
    cr_expect(gt(dbl, share_below(301), 0.999));
}

Test(dist, a_geometric_has_its_mean)
{
    cr_assert(parsed("geometric:20"));
    cr_expect(lt(dbl, fabs(mean_of(1, DIST_CAP) - 20), 0.2));
    cr_expect(lt(dbl, fabs(share_below(2) - 0.05), 0.005), "the first has 1/mean");
    cr_assert(parsed("geometric:1"));
    cr_expect(eq(dbl, mean_of(1, 1), 1.0));
}

Test(dist, a_list_has_its_weights)
{
    cr_assert(parsed("32:50,1024:40,4096-4099:10"));
    (void)mean_of(32, 4099);
    cr_expect(lt(dbl, fabs(share_below(33) - 0.5), 0.01));
    cr_expect(lt(dbl, fabs(share_below(1025) - 0.9), 0.01));
    cr_expect(lt(dbl, fabs(share_below(4098) - 0.95), 0.01));
}

Test(dist, what_is_no_distribution_is_refused)
{
    static const char *const rows[] = {
        "",           "-",           "x",           "0",          "1048577",    "5-",
        "9-1",        "-5",          "1-2-3",       "5 ",         "1.5",        "lognormal",
        "lognormal:", "lognormal:5", "lognormal:0:1", "lognormal:5:0", "lognormal:5:11",
        "lognormal:5:1:x", "lognormal:5:1:9:9", "geometric:0.5", "geometric:x", "geometric:5:0",
        "normal:5:1", "5:",          "5:0",         ":5",         "5:1,",       "5:1,,6:1",
        "5:-1",       "9-5:1",       "0:1",         "5:1 6:1",    "5:nan",      "5:inf",
        "1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1,9:1",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect(not(parsed(rows[i])), "\"%s\"", rows[i]);
    }
    cr_expect(parsed("1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1"), "eight parts are allowed");
}
