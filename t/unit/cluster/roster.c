#include "cluster/roster.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#define MANY 3000

/* Descriptions that are counted. */
static size_t shared;

static const struct member_info *
share(void *arg, const struct member_info *info)
{
    struct member_info *copy = malloc(sizeof *copy);

    (void)arg;
    cr_assert(copy != NULL);
    *copy = *info;
    shared++;
    return copy;
}

static void
release(void *arg, const struct member_info *info)
{
    (void)arg;
    shared--;
    free((void *)(uintptr_t)info);
}

static uint16_t
add(struct roster *r, node_id id)
{
    struct member_info info = { .id = id };
    const struct member_info *kept = roster_share(r, &info);

    cr_assert(kept != NULL);
    return roster_add(r, kept, 1);
}

/* A table of ids and the roster agree, whatever comes and goes. */
Test(roster, members_are_found_by_their_id)
{
    struct roster_share store = { share, release, NULL };
    bool known[MANY] = { false };
    struct roster r;
    struct rng rng;
    size_t count = 0;

    rng_init(&rng, 1);
    roster_init(&r, &store, 42);
    cr_expect(eq(u16, roster_find(&r, 1), ROSTER_NONE));
    for (int turn = 0; turn < 30000; turn++) {
        size_t i = (size_t)rng_below(&rng, MANY);
        uint16_t index = roster_find(&r, i + 1), moved;

        cr_assert(eq(int, index != ROSTER_NONE, known[i]));
        if (!known[i]) {
            index = add(&r, i + 1);
            cr_assert(index != ROSTER_NONE && roster_round_add(&r, index, &rng));
            count++;
        } else if (rng_below(&rng, 3) == 0) {
            roster_remove(&r, index, &moved);
            cr_assert(eq(u16, moved, (uint16_t)r.count));
            count--;
        } else {
            continue;
        }
        known[i] = !known[i];
    }
    cr_expect(eq(sz, r.count, count));
    cr_expect(eq(sz, r.round_count, count));
    cr_expect(eq(sz, shared, count));
    for (size_t i = 0; i < MANY; i++) {
        cr_assert(eq(int, roster_find(&r, i + 1) != ROSTER_NONE, known[i]), "id %zu", i + 1);
    }
    roster_fini(&r);
    cr_expect(zero(sz, shared));
}

/* In each round each has its turn once, and no two rounds are alike. */
Test(roster, everybody_has_a_turn_in_each_round)
{
    struct roster_share store = { NULL, NULL, NULL };
    uint16_t order[2][100];
    struct roster r;
    struct rng rng;
    unsigned sum = 0;

    rng_init(&rng, 1);
    roster_init(&r, &store, 42);
    cr_expect(eq(u16, roster_round_next(&r, &rng), ROSTER_NONE));
    for (node_id id = 1; id <= 100; id++) {
        cr_assert(roster_round_add(&r, add(&r, id), &rng));
    }
    for (int round = 0; round < 4; round++) {
        bool seen[100] = { false };

        for (int i = 0; i < 100; i++) {
            uint16_t index = roster_round_next(&r, &rng);

            cr_assert(index < 100 && !seen[index], "round %d, turn %d", round, i);
            seen[index] = true;
            order[round % 2][i] = index;
        }
        cr_expect(round == 0 || memcmp(order[0], order[1], sizeof order[0]) != 0);
    }
    for (int i = 0; i < 100; i++) {
        r.at[i].state = i == 50 ? MEMBER_SUSPECT : i % 2 ? MEMBER_DEAD : MEMBER_LEFT;
    }
    for (int i = 0; i < 5; i++) {
        cr_expect(eq(u16, roster_round_next(&r, &rng), 50), "the dead have none");
    }
    r.at[7].state = MEMBER_ALIVE;
    cr_assert(roster_round_add(&r, 7, &rng));
    cr_expect(eq(sz, r.round_count, 2));
    for (int i = 0; i < 3; i++) { /* the round that has begun may be over for it */
        uint16_t index = roster_round_next(&r, &rng);

        cr_expect(index == 7 || index == 50);
        sum += index;
    }
    cr_expect(sum == 2 * 50 + 7 || sum == 2 * 7 + 50, "both have turns");
    roster_fini(&r);
}
