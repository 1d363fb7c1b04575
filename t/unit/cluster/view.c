#include "cluster/view.h"
#include "base/hash.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static struct view_node
node(node_id id, enum member_phase phase, enum member_state state)
{
    struct view_node n = { .info = { .id = id, .phase = (uint8_t)phase, .weight = 1 },
                           .state = state, .since = 5 };

    snprintf(n.info.host, sizeof n.info.host, "n%u", (unsigned)id);
    return n;
}

static struct ring_ops *
facts(const node_id *id, size_t n)
{
    struct ring_ops *o = ring_ops_new();

    for (size_t i = 0; i < n; i++) {
        struct ring_op op = { .kind = RING_OP_MEMBER, .node = id[i], .stamp = 7, .proposer = id[i],
                              .client_port = 11211, .weight = 1 };

        snprintf(op.host, sizeof op.host, "n%u", (unsigned)id[i]);
        snprintf(op.zone, sizeof op.zone, "z");
        cr_assert(ring_ops_merge(o, &op));
    }
    return o;
}

static struct view *
view_of(const struct view_node *member, size_t n, const struct ring_ops *o)
{
    struct view *v = view_new(3, 1, member, n, o);

    cr_assert(v != NULL);
    return v;
}

static uint16_t
acting(const struct view *v, unsigned i)
{
    char key[16];
    int  len = snprintf(key, sizeof key, "key%u", i);

    return view_acting(v, slice_of(key, (size_t)len), hash_bytes(key, (size_t)len));
}

/* Who acts: in the ring, up, and not known to be gone. */
Test(view, who_acts)
{
    static const struct {
        enum member_phase phase;
        enum member_state state;
        bool              in_ring, acts;
    } row[] = {
        { PHASE_UP, MEMBER_ALIVE, true, true },
        { PHASE_UP, MEMBER_SUSPECT, true, true },
        { PHASE_UP, MEMBER_DEAD, true, false },
        { PHASE_UP, MEMBER_LEFT, true, false },
        { PHASE_JOINING, MEMBER_ALIVE, true, false },
        { PHASE_SYNCING, MEMBER_ALIVE, true, false },
        { PHASE_DRAINING, MEMBER_ALIVE, true, false },
        { PHASE_LEFT, MEMBER_ALIVE, true, false },
        { PHASE_UP, MEMBER_ALIVE, false, false },
    };
    const node_id in = 2;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct view_node member = node(row[i].in_ring ? in : 3, row[i].phase, row[i].state);
        struct ring_ops *o = facts(&in, 1);
        struct view     *v = view_of(&member, 1, o);
        uint16_t         at = view_find(v, member.info.id);

        cr_assert(ne(u16, at, VIEW_NOBODY));
        cr_expect(eq(int, v->node[at].in_ring, row[i].in_ring), "row %zu", i);
        cr_expect(eq(int, v->node[at].acts, row[i].acts), "row %zu", i);
        cr_expect(eq(u16, acting(v, 1), row[i].acts ? at : VIEW_NOBODY), "row %zu", i);
        view_free(v);
        ring_ops_free(o);
    }
}

/* Members come in any order; those that only the ring knows are dead. */
Test(view, members_and_ring_are_joined)
{
    const node_id    in[] = { 40, 10, 30 };
    struct view_node member[] = { node(30, PHASE_UP, MEMBER_ALIVE), node(1, PHASE_UP, MEMBER_ALIVE),
                                  node(10, PHASE_UP, MEMBER_SUSPECT) };
    struct ring_ops *o = facts(in, 3);
    struct view     *v = view_of(member, 3, o);
    static const node_id want[] = { 1, 10, 30, 40 };

    member[0].info.id = 99; /* it is a copy */
    cr_assert(eq(u16, v->count, 4));
    cr_expect(eq(u64, v->number, 3));
    cr_expect(eq(u16, v->self, 0));
    cr_expect(eq(u32, v->ring_ops, 3));
    cr_expect(eq(u64, v->ring_digest, ring_ops_digest(o)));
    cr_expect(eq(i64, v->ring_stamp, 7));
    for (uint16_t i = 0; i < 4; i++) {
        cr_expect(eq(u64, v->node[i].info.id, want[i]));
        cr_expect(eq(u16, view_find(v, want[i]), i));
        cr_expect(eq(int, v->node[i].in_ring, i > 0));
    }
    cr_expect(eq(u16, view_find(v, 2), VIEW_NOBODY));
    cr_expect(eq(u16, view_find(v, 99), VIEW_NOBODY));
    cr_expect(eq(int, v->node[3].state, MEMBER_DEAD));
    cr_expect(eq(str, v->node[3].info.host, "n40"));
    cr_expect(eq(u16, v->node[3].info.client_port, 11211));
    cr_expect(eq(i64, v->node[3].since, 7));
    cr_expect(eq(i64, v->node[2].since, 5));
    cr_expect(not(v->node[3].acts));
    cr_expect(eq(dbl, ring_share(v->ring, 0), 0), "not in the ring");
    cr_expect(ring_share(v->ring, 3) > 0.2, "a dead node keeps its place");
    view_free(v);
    ring_ops_free(o);
    view_free(NULL);
}

/* With one owner a dead node's keys have nobody; with two the next acts, the others' stay. */
Test(view, the_next_owner_acts)
{
    const node_id    in[] = { 10, 20, 30 };
    struct view_node member[] = { node(10, PHASE_UP, MEMBER_ALIVE),
                                  node(20, PHASE_UP, MEMBER_ALIVE),
                                  node(30, PHASE_UP, MEMBER_ALIVE) };
    struct ring_ops *o = facts(in, 3);

    for (uint8_t replicas = 1; replicas <= 2; replicas++) {
        for (uint8_t placement = RING_NATIVE; placement <= RING_KETAMA_OAT; placement++) {
            struct ring_op op = { .kind = RING_OP_PLACEMENT, .stamp = replicas * 10 + placement,
                                  .placement = placement, .replicas = replicas };
            struct view *all, *fewer;
            size_t       moved = 0;

            cr_assert(ring_ops_merge(o, &op));
            member[1].state = MEMBER_ALIVE;
            all = view_of(member, 3, o);
            member[1].state = MEMBER_DEAD;
            fewer = view_of(member, 3, o);
            cr_expect(eq(int, all->placement, placement));
            cr_expect(eq(u64, all->ring_digest, fewer->ring_digest));
            for (unsigned i = 0; i < 1000; i++) {
                uint16_t before = acting(all, i), after = acting(fewer, i);

                cr_assert(before < 3);
                if (before != 1) {
                    cr_expect(eq(u16, after, before));
                } else {
                    moved++;
                    cr_expect(replicas == 1 ? after == VIEW_NOBODY : after == 0 || after == 2);
                }
            }
            cr_expect(moved > 200 && moved < 500, "%zu of 1000", moved);
            view_free(all);
            view_free(fewer);
        }
    }
    ring_ops_free(o);
}

/* A node whose place was removed owns nothing, though it still answers. */
Test(view, removed_nodes_own_nothing)
{
    const node_id    in[] = { 10, 20 };
    struct view_node member[] = { node(10, PHASE_UP, MEMBER_ALIVE),
                                  node(20, PHASE_UP, MEMBER_ALIVE) };
    struct ring_ops *o = facts(in, 2);
    struct ring_op   op = { .kind = RING_OP_REMOVED, .node = 20, .stamp = 8 };
    struct view     *v;

    cr_assert(ring_ops_merge(o, &op));
    op.node = 50; /* one that nobody knows */
    cr_assert(ring_ops_merge(o, &op));
    v = view_of(member, 2, o);
    cr_expect(eq(u16, v->count, 2));
    cr_expect(eq(u16, v->self, VIEW_NOBODY));
    cr_expect(not(v->node[1].in_ring));
    for (unsigned i = 0; i < 100; i++) {
        cr_expect(eq(u16, acting(v, i), 0));
    }
    view_free(v);
    ring_ops_free(o);
}

/* News of a member leave the ring alone; another member, or another fact, make a new one. */
Test(view, the_ring_is_kept_while_it_may)
{
    const node_id    in[] = { 10, 20 };
    struct view_node member[] = { node(10, PHASE_UP, MEMBER_ALIVE),
                                  node(20, PHASE_UP, MEMBER_ALIVE),
                                  node(15, PHASE_UP, MEMBER_ALIVE) };
    struct ring_ops *o = facts(in, 2);
    struct ring_op   op = { .kind = RING_OP_PLACEMENT, .stamp = 8, .replicas = 2 };
    struct view     *v[5];

    v[0] = view_next(NULL, 1, 10, member, 2, o);
    member[0].state = MEMBER_DEAD;
    v[1] = view_next(v[0], 2, 10, member, 2, o);
    v[2] = view_next(v[1], 3, 10, member, 3, o); /* 20 has another index now */
    cr_assert(ring_ops_merge(o, &op));
    v[3] = view_next(v[2], 4, 10, member, 3, o);
    v[4] = view_next(v[3], 5, 10, member, 3, o);
    for (size_t i = 0; i < 5; i++) {
        cr_assert(v[i] != NULL);
        cr_expect(eq(u64, v[i]->number, i + 1));
        cr_expect(eq(int, i > 0 && v[i]->ring == v[i - 1]->ring, i == 1 || i == 4), "view %zu", i);
    }
    view_free(v[0]);
    cr_expect(not(v[1]->node[0].acts), "the states are its own");
    for (unsigned i = 0; i < 100; i++) {
        uint16_t first = acting(v[1], i), second = acting(v[4], i);

        cr_expect(first == VIEW_NOBODY || first == 1);
        cr_expect(second == 2, "with two owners the one that lives");
    }
    for (size_t i = 1; i < 5; i++) {
        view_free(v[i]);
    }
    ring_ops_free(o);
}

/* Before anybody is known. */
Test(view, empty)
{
    struct ring_ops *o = ring_ops_new();
    struct view     *v = view_of(NULL, 0, o);

    cr_expect(zero(u16, v->count));
    cr_expect(eq(int, v->placement, RING_NATIVE));
    cr_expect(eq(u16, acting(v, 1), VIEW_NOBODY));
    view_free(v);
    ring_ops_free(o);
}
