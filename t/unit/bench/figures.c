/* Medians and ratios: what every table of doc/performance.md rests on. */
#include "bench/figures.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>

/* The middle of an odd count, the mean of the two middle ones of an even count, in any order. */
Test(figures, spread_is_found_in_any_order)
{
    static const struct {
        double   values[5];
        unsigned count;
        double   min, median, max;
    } row[] = {
        { { 7 }, 1, 7, 7, 7 },
        { { 3, 1 }, 2, 1, 2, 3 },
        { { 5, 1, 3 }, 3, 1, 3, 5 },
        { { 4, 1, 3, 100 }, 4, 1, 3.5, 100 },
        { { -2, 8, 0.5, 8, 8 }, 5, -2, 8, 8 },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        double values[5];
        struct spread s;

        memcpy(values, row[i].values, sizeof values);
        s = figures_spread_of(values, row[i].count);
        cr_expect(eq(dbl, s.min, row[i].min), "row %zu", i);
        cr_expect(eq(dbl, s.median, row[i].median), "row %zu", i);
        cr_expect(eq(dbl, s.max, row[i].max), "row %zu", i);
    }
}

/* One round without a figure says that it is unknown, wherever it stands among the others. */
Test(figures, unknown_spreads)
{
    for (unsigned i = 0; i < 3; i++) {
        double values[] = { 1, 2, 3 };
        struct spread s;

        values[i] = NAN;
        s = figures_spread_of(values, 3);
        cr_expect(isnan(s.min) && isnan(s.median) && isnan(s.max), "unknown at %u", i);
    }
}

/*
 * Ratios are of the same round: a machine that was slow for one round of both servers
 * changes nothing, though it changes either server's own spread.
 */
Test(figures, ratio_is_taken_round_by_round)
{
    static const double rate[3][2] = { { 200, 100 }, { 20, 10 }, { 210, 100 } };
    struct figures f;
    struct spread s;

    cr_assert(zero(int, (int)figures_init(&f, 2, 3)));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned server = 0; server < 2; server++) {
            figures_of(&f, server, round)[FIGURE_RATE] = rate[round][server];
        }
    }
    s = figures_ratio(&f, 0, 1, FIGURE_RATE);
    cr_expect(eq(dbl, s.min, 2));
    cr_expect(eq(dbl, s.median, 2));
    cr_expect(eq(dbl, s.max, 2.1));
    s = figures_spread(&f, 1, FIGURE_RATE);
    cr_expect(eq(dbl, s.min, 10));
    cr_expect(eq(dbl, s.median, 100));
    figures_fini(&f);
}

/* Nothing is compared with what is unknown or zero. */
Test(figures, no_ratio_without_both)
{
    struct figures f;

    cr_assert(zero(int, (int)figures_init(&f, 2, 1)));
    cr_expect(isnan(figures_spread(&f, 0, FIGURE_COST).median), "nothing was measured");
    figures_of(&f, 0, 0)[FIGURE_COST] = 1;
    cr_expect(isnan(figures_ratio(&f, 0, 1, FIGURE_COST).median), "by unknown");
    cr_expect(isnan(figures_ratio(&f, 1, 0, FIGURE_COST).median), "unknown by known");
    figures_of(&f, 1, 0)[FIGURE_COST] = 0;
    cr_expect(isnan(figures_ratio(&f, 0, 1, FIGURE_COST).median), "by zero");
    cr_expect(eq(dbl, figures_ratio(&f, 1, 0, FIGURE_COST).median, 0));
    figures_fini(&f);
}
