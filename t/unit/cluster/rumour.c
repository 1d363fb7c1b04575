#include "cluster/rumour.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* memberlist's numbers. */
Test(rumour, is_told_more_often_in_larger_clusters)
{
    static const struct { size_t members; unsigned limit; } row[] = {
        { 1, 4 }, { 9, 4 }, { 10, 8 }, { 99, 8 }, { 100, 12 }, { 999, 12 }, { 1000, 16 },
        { CLUSTER_MEMBERS_MAX, 20 },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect(eq(uint, rumour_limit(4, row[i].members), row[i].limit), "%zu members",
                  row[i].members);
    }
}

Test(rumour, those_told_least_go_first_and_of_them_the_newest)
{
    struct rumours q;
    uint16_t a, b, c;

    rumour_init(&q);
    cr_expect(eq(u16, rumour_first(&q), RUMOUR_NONE));
    a = rumour_about(&q, RUMOUR_NONE, 1, GOSSIP_ALIVE, 0);
    b = rumour_about(&q, RUMOUR_NONE, 2, GOSSIP_SUSPECT, 9);
    cr_expect(eq(u16, rumour_first(&q), b));
    cr_expect(eq(u16, rumour_next(&q, b), a));
    cr_expect(eq(u16, rumour_next(&q, a), RUMOUR_NONE));
    cr_expect(false == rumour_told(&q, b, 3));
    cr_expect(eq(u16, rumour_first(&q), a));
    c = rumour_about(&q, RUMOUR_NONE, 3, GOSSIP_DEAD, 9);
    cr_expect(eq(u16, rumour_first(&q), c));
    cr_expect(eq(u16, rumour_next(&q, c), a));
    cr_expect(eq(u16, rumour_next(&q, a), b));
    cr_expect(false == rumour_told(&q, b, 3));
    cr_expect(rumour_told(&q, b, 3), "three times are enough");
    cr_expect(eq(sz, q.count, 2));
    rumour_fini(&q);
}

Test(rumour, a_newer_one_about_the_same_begins_anew)
{
    struct rumours q;
    uint16_t slot;

    rumour_init(&q);
    slot = rumour_about(&q, RUMOUR_NONE, 1, GOSSIP_ALIVE, 0);
    cr_expect(false == rumour_told(&q, slot, 4));
    slot = rumour_about(&q, slot, 1, GOSSIP_SUSPECT, 5);
    cr_expect(eq(sz, q.count, 1));
    cr_expect(eq(int, q.slot[slot].kind, GOSSIP_SUSPECT));
    cr_expect(eq(int, q.slot[slot].told, 0));
    for (uint64_t node = 1; node <= 40; node++) {
        struct ring_op op = { .kind = RING_OP_MEMBER, .node = 1 + node % 10,
                              .stamp = (usec_t)node };

        cr_assert(rumour_of_ring(&q, &op));
    }
    cr_expect(eq(sz, q.count, 11), "one for each node of the ring");
    cr_expect(eq(i64, q.slot[rumour_first(&q)].op->stamp, 40));
    rumour_fini(&q);
}

/* There is a bound, and behind it everything still works. */
Test(rumour, the_queue_is_bounded)
{
    struct rumours q;
    uint16_t last = RUMOUR_NONE;
    size_t count = 0;

    rumour_init(&q);
    for (uint32_t i = 0; i < 70000; i++) {
        uint16_t slot = rumour_about(&q, RUMOUR_NONE, (uint16_t)i, GOSSIP_ALIVE, 0);

        if (slot == RUMOUR_NONE) {
            break;
        }
        last = slot;
        count++;
    }
    cr_expect(eq(sz, count, 2 * CLUSTER_MEMBERS_MAX + 2));
    cr_expect(eq(sz, q.count, count));
    rumour_drop(&q, last);
    cr_expect(rumour_about(&q, RUMOUR_NONE, 1, GOSSIP_ALIVE, 0) != RUMOUR_NONE);
    rumour_fini(&q);
}
