#include "cluster/suspicion.h"
#include "base/rng.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#define SEC  USEC_PER_SEC
#define MANY 500

/* The table of memberlist's own test: each confirmation takes less than the one before. */
Test(suspicion, lasts_shorter_with_every_confirmation)
{
    static const struct { unsigned confirmed; usec_t lasts; } row[] = {
        { 0, 30 * SEC }, { 1, 16 * SEC }, { 2, 7810000 }, { 3, 2 * SEC }, { 4, 2 * SEC },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        usec_t lasts = suspicion_lasts(2 * SEC, 30 * SEC, 3, row[i].confirmed);

        cr_expect(llabs((long long)(lasts - row[i].lasts)) < 10000, "%u confirmations: %lld us",
                  row[i].confirmed, (long long)lasts);
    }
    cr_expect(eq(i64, suspicion_lasts(2 * SEC, 30 * SEC, 0, 0), 2 * SEC), "nobody can confirm");
    cr_expect(eq(i64, suspicion_lasts(2 * SEC, 2 * SEC, 3, 0), 2 * SEC));
}

Test(suspicion, one_who_says_it_twice_confirms_nothing)
{
    struct suspicions s = { 0 };
    uint16_t slot = suspicion_add(&s, 7, 1, 100 * SEC, 2 * SEC, 30 * SEC, 3);

    cr_assert(slot != SUSPICION_NONE);
    cr_expect(eq(i64, s.slot[slot].deadline, 130 * SEC));
    cr_expect(false == suspicion_confirm(&s, slot, 1));
    cr_expect(suspicion_confirm(&s, slot, 2));
    cr_expect(eq(i64, s.slot[slot].deadline, 116 * SEC));
    cr_expect(false == suspicion_confirm(&s, slot, 2));
    cr_expect(suspicion_confirm(&s, slot, 3));
    cr_expect(suspicion_confirm(&s, slot, 4));
    cr_expect(eq(i64, s.slot[slot].deadline, 102 * SEC));
    cr_expect(false == suspicion_confirm(&s, slot, 5), "no more are wanted");
    suspicion_remove(&s, slot);
    cr_expect(eq(u16, suspicion_first(&s), SUSPICION_NONE));
    suspicion_fini(&s);
}

static void
check_first(const struct suspicions *s, const uint16_t *slots, size_t count)
{
    usec_t first = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        usec_t deadline = slots[i] == SUSPICION_NONE ? INT64_MAX : s->slot[slots[i]].deadline;

        first = deadline < first ? deadline : first;
    }
    cr_assert(eq(i64, s->slot[suspicion_first(s)].deadline, first));
}

/* Whatever comes and goes, the first is the one whose time is up first. */
Test(suspicion, the_first_is_the_first)
{
    struct suspicions s = { 0 };
    uint16_t slots[MANY];
    struct rng rng;

    rng_init(&rng, 1);
    for (size_t i = 0; i < MANY; i++) {
        slots[i] = SUSPICION_NONE;
    }
    for (int turn = 0; turn < 20000; turn++) {
        size_t i = (size_t)rng_below(&rng, MANY);

        if (slots[i] == SUSPICION_NONE) {
            slots[i] = suspicion_add(&s, (uint16_t)i, 1, (usec_t)rng_below(&rng, 1000) * SEC,
                                     2 * SEC, 30 * SEC, 3);
            cr_assert(slots[i] != SUSPICION_NONE);
        } else if (rng_below(&rng, 3) == 0) {
            suspicion_remove(&s, slots[i]);
            slots[i] = SUSPICION_NONE;
        } else if (rng_below(&rng, 2) == 0) {
            (void)suspicion_confirm(&s, slots[i], 2 + rng_below(&rng, 5));
        } else {
            suspicion_delay(&s, slots[i], s.slot[slots[i]].deadline + 5 * SEC);
        }
        if (s.count > 0) {
            check_first(&s, slots, MANY);
        }
    }
    for (size_t i = 0; i < MANY; i++) {
        cr_assert(slots[i] == SUSPICION_NONE || s.slot[slots[i]].member == i);
    }
    suspicion_shift(&s, 7 * SEC);
    check_first(&s, slots, MANY);
    suspicion_fini(&s);
}
