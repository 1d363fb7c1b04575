#include "bench/counters.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdbool.h>

static struct counters c;

/* One increment, answered with n; true if that is found to be wrong. */
static bool
ask(uint64_t id, uint64_t n)
{
    return counters_answer(&c, id, counters_send(&c, id), n) != NULL;
}

static void
begin(void)
{
    cr_assert(zero(int, counters_init(&c, 2)));
}

Test(counters, honest_answers_are_right)
{
    begin();
    for (uint64_t n = 1; n < 100; n++) {
        cr_expect(not(ask(0, n)), "%llu", (unsigned long long)n);
        cr_expect(not(ask(1, 5000 + n)), "what it held before does not matter");
    }
    counters_fini(&c);
}

/* Answers to requests under way at a time may come in any order. */
Test(counters, overtaking_is_right)
{
    uint64_t floor[8];

    begin();
    for (uint64_t round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++) {
            floor[i] = counters_send(&c, 0);
        }
        for (uint64_t i = 0; i < 8; i++) {
            cr_expect(counters_answer(&c, 0, floor[i], 8 * round + 8 - i) == NULL);
        }
    }
    counters_fini(&c);
}

Test(counters, a_lost_increment_shows)
{
    begin();
    cr_expect(not(ask(0, 10)));
    cr_expect(not(ask(0, 11)));
    cr_expect(ask(0, 11), "the same twice");
    cr_expect(not(ask(1, 1)));
    cr_expect(ask(1, 0), "not even one");
    counters_fini(&c);
}

/* Two requests at a time that always overwrite each other: no answer is below one that was seen. */
Test(counters, lost_increments_show_in_the_sum)
{
    int wrong = 0;

    begin();
    for (uint64_t round = 1; round <= 10; round++) {
        uint64_t a = counters_send(&c, 0), b = counters_send(&c, 0);

        wrong += counters_answer(&c, 0, a, round) != NULL;
        wrong += counters_answer(&c, 0, b, round) != NULL;
    }
    cr_expect(gt(int, wrong, 10));
    counters_fini(&c);
}

Test(counters, an_increment_made_twice_shows)
{
    begin();
    cr_expect(not(ask(0, 10)));
    cr_expect(ask(0, 12));
    counters_fini(&c);
}
