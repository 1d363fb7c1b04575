#include "base/rng.h"
#include "cluster/ring.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#define FACTS 60

static struct ring_op
member(node_id node, usec_t stamp, node_id proposer)
{
    return (struct ring_op){ .kind = RING_OP_MEMBER, .node = node, .stamp = stamp,
                             .proposer = proposer, .client_port = 11211, .weight = 1,
                             .host = "10.0.0.1", .zone = "a" };
}

/* A fact about one of a few nodes, with few stamps and proposers: many conflicts, many ties. */
static struct ring_op
random_fact(struct rng *rng)
{
    struct ring_op op = member(rng_below(rng, 6), (usec_t)rng_below(rng, 4), rng_below(rng, 3));

    if (op.node == 0) {
        op.kind = RING_OP_PLACEMENT;
        op.placement = (uint8_t)rng_below(rng, 3);
        op.replicas = (uint8_t)(1 + rng_below(rng, 2));
    } else if (rng_below(rng, 4) == 0) {
        op.kind = RING_OP_REMOVED;
    } else {
        op.weight = (uint16_t)rng_below(rng, 3);
        op.host[7] = (char)('1' + rng_below(rng, 2));
    }
    return op;
}

static bool
same_fact(const struct ring_op *a, const struct ring_op *b)
{
    return a->kind == b->kind && a->node == b->node && a->stamp == b->stamp &&
           a->proposer == b->proposer && a->client_port == b->client_port &&
           a->weight == b->weight && a->placement == b->placement && a->replicas == b->replicas &&
           strcmp(a->host, b->host) == 0 && strcmp(a->zone, b->zone) == 0;
}

static bool
same_set(const struct ring_ops *a, const struct ring_ops *b)
{
    if (ring_ops_count(a) != ring_ops_count(b)) {
        return false;
    }
    for (size_t i = 0; i < ring_ops_count(a); i++) {
        if (!same_fact(ring_ops_at(a, i), ring_ops_at(b, i))) {
            return false;
        }
    }
    return true;
}

/* What push/pull does: all of one set into the other.  True if any was news. */
static bool
merge_all(struct ring_ops *into, const struct ring_ops *from)
{
    bool news = false;

    for (size_t i = 0; i < ring_ops_count(from); i++) {
        news |= ring_ops_merge(into, ring_ops_at(from, i));
    }
    return news;
}

static struct ring_ops *
merged(const struct ring_ops *a, const struct ring_ops *b)
{
    struct ring_ops *o = ring_ops_new();

    merge_all(o, a);
    merge_all(o, b);
    return o;
}

static struct ring_ops *
random_set(struct rng *rng)
{
    struct ring_ops *o = ring_ops_new();

    for (uint64_t n = rng_below(rng, 8); n > 0; n--) {
        struct ring_op op = random_fact(rng);

        ring_ops_merge(o, &op);
    }
    return o;
}

/* Gossip brings facts in any order, again and again: all nodes end with the same set and digest. */
Test(ring_ops, order_and_repetition_do_not_matter)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct ring_ops *in_order = ring_ops_new(), *shuffled = ring_ops_new();
        struct ring_op   fact[FACTS];
        struct rng       rng;

        rng_init(&rng, seed);
        for (size_t i = 0; i < FACTS; i++) {
            fact[i] = random_fact(&rng);
            ring_ops_merge(in_order, &fact[i]);
        }
        for (size_t i = FACTS; i-- > 0;) {
            size_t other = rng_below(&rng, i + 1);
            struct ring_op kept = fact[i];

            fact[i] = fact[other];
            fact[other] = kept;
            ring_ops_merge(shuffled, &fact[i]);
            if (rng_below(&rng, 3) == 0) {
                cr_expect(not(ring_ops_merge(shuffled, &fact[i])), "told twice is no news");
            }
        }
        cr_expect(same_set(in_order, shuffled), "seed %zu", (size_t)seed);
        cr_expect(eq(u64, ring_ops_digest(in_order), ring_ops_digest(shuffled)), "seed %zu",
                  (size_t)seed);
        cr_expect(not(merge_all(in_order, shuffled)));
        ring_ops_free(in_order);
        ring_ops_free(shuffled);
    }
}

/* Push/pull: a+b is b+a, (a+b)+c is a+(b+c), a+a is a. */
Test(ring_ops, sets_merge_as_sets_do)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        struct ring_ops *a, *b, *c, *ab, *ba, *bc, *left, *right, *aa;

        rng_init(&rng, seed);
        a = random_set(&rng);
        b = random_set(&rng);
        c = random_set(&rng);
        ab = merged(a, b);
        ba = merged(b, a);
        bc = merged(b, c);
        left = merged(ab, c);
        right = merged(a, bc);
        aa = merged(a, a);
        cr_expect(same_set(ab, ba), "seed %zu", (size_t)seed);
        cr_expect(same_set(left, right), "seed %zu", (size_t)seed);
        cr_expect(same_set(a, aa), "seed %zu", (size_t)seed);
        cr_expect(eq(u64, ring_ops_digest(left), ring_ops_digest(right)));
        cr_expect(eq(int, ring_ops_digest(a) == ring_ops_digest(b), same_set(a, b)));
        ring_ops_free(a);
        ring_ops_free(b);
        ring_ops_free(c);
        ring_ops_free(ab);
        ring_ops_free(ba);
        ring_ops_free(bc);
        ring_ops_free(left);
        ring_ops_free(right);
        ring_ops_free(aa);
    }
}

/* The later stamp counts, then the greater proposer. */
Test(ring_ops, last_writer_wins)
{
    struct ring_ops *o = ring_ops_new();
    struct ring_op   op = member(7, 100, 7);

    cr_expect(zero(ptr, (void *)(uintptr_t)ring_ops_find(o, 7)));
    cr_expect(eq(u64, ring_ops_digest(o), 0));
    cr_expect(ring_ops_merge(o, &op));
    op.kind = RING_OP_REMOVED;
    op.stamp = 99;
    cr_expect(not(ring_ops_merge(o, &op)), "an older one");
    cr_expect(eq(int, ring_ops_find(o, 7)->kind, RING_OP_MEMBER));
    op.stamp = 100;
    op.proposer = 6;
    cr_expect(not(ring_ops_merge(o, &op)), "a smaller proposer");
    op.proposer = 8;
    cr_expect(ring_ops_merge(o, &op), "a greater proposer");
    cr_expect(eq(int, ring_ops_find(o, 7)->kind, RING_OP_REMOVED));
    cr_expect(zero(sz, strlen(ring_ops_find(o, 7)->host)), "a removed node has no name");
    op = member(7, 101, 1);
    cr_expect(ring_ops_merge(o, &op), "it comes back");
    cr_expect(eq(u32, ring_ops_count(o), 1));
    ring_ops_free(o);
}

/* The digest tells sets apart by every field that a fact has, and by none that it has not. */
Test(ring_ops, digest_is_of_what_counts)
{
    struct ring_op   row[12];
    struct ring_ops *o[12];
    size_t           n = 0;

    for (size_t i = 0; i < 10; i++) {
        row[i] = member(7, 100, 7);
    }
    row[1].node = 8;
    row[2].stamp = 101;
    row[3].proposer = 8;
    row[4].client_port = 11212;
    row[5].weight = 2;
    row[6].host[7] = '2';
    row[7].zone[0] = 'b';
    row[8].kind = RING_OP_REMOVED;
    row[9].host[8] = 'a'; /* of host and zone, one letter goes from the one to the other */
    row[9].zone[0] = '\0';
    row[10] = (struct ring_op){ .kind = RING_OP_PLACEMENT, .stamp = 1, .replicas = 1 };
    row[11] = row[10];
    row[11].placement = RING_KETAMA_OAT;
    for (n = 0; n < 12; n++) {
        o[n] = ring_ops_new();
        cr_assert(ring_ops_merge(o[n], &row[n]));
        for (size_t i = 0; i < n; i++) {
            cr_expect(ne(u64, ring_ops_digest(o[i]), ring_ops_digest(o[n])), "%zu and %zu", i, n);
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t digest = ring_ops_digest(o[i]);

        row[i].replicas += row[i].kind != RING_OP_PLACEMENT;
        row[i].placement += row[i].kind != RING_OP_PLACEMENT;
        row[i].weight += row[i].kind != RING_OP_MEMBER;
        row[i].host[20] = 'x'; /* behind the end of the text */
        cr_expect(not(ring_ops_merge(o[i], &row[i])), "fact %zu", i);
        cr_expect(eq(u64, ring_ops_digest(o[i]), digest), "fact %zu", i);
        ring_ops_free(o[i]);
    }
}

/* What no node states is refused: it would hold a place for ever, or break whoever reads it. */
Test(ring_ops, unsound_facts_are_refused)
{
    struct ring_op row[] = {
        { .kind = (enum ring_op_kind)0, .node = 1, .stamp = 1 },
        { .kind = (enum ring_op_kind)4, .node = 1, .stamp = 1 },
        { .kind = RING_OP_MEMBER, .node = 0, .stamp = 1 },
        { .kind = RING_OP_REMOVED, .node = 0, .stamp = 1 },
        { .kind = RING_OP_MEMBER, .node = 1, .stamp = -1 },
        { .kind = RING_OP_MEMBER, .node = 1, .stamp = RING_STAMP_MAX + 1 },
        { .kind = RING_OP_PLACEMENT, .node = 1, .stamp = 1, .replicas = 1 },
        { .kind = RING_OP_PLACEMENT, .node = 0, .stamp = 1, .replicas = 0 },
        { .kind = RING_OP_PLACEMENT, .node = 0, .stamp = 1, .replicas = CLUSTER_OWNERS_MAX + 1 },
        { .kind = RING_OP_PLACEMENT, .node = 0, .stamp = 1, .replicas = 1, .placement = 3 },
    };
    struct ring_ops *o = ring_ops_new();

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect(not(ring_ops_merge(o, &row[i])), "row %zu", i);
    }
    cr_expect(zero(u32, ring_ops_count(o)));
    cr_expect(eq(u64, ring_ops_digest(o), 0));
    ring_ops_free(o);
}

/* In the order of nodes, the placement first; full is full, but what is known may still change. */
Test(ring_ops, order_and_bound)
{
    struct ring_ops *o = ring_ops_new();
    struct ring_op   op = { .kind = RING_OP_PLACEMENT, .stamp = 1, .replicas = 1 };
    uint64_t         digest;

    for (uint32_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        struct ring_op m = member((i * 0x9e3779b1u & (CLUSTER_MEMBERS_MAX - 1)) + 1, 1, 1);

        cr_assert(ring_ops_merge(o, &m), "member %u", i);
    }
    cr_expect(ring_ops_merge(o, &op));
    cr_expect(eq(u32, ring_ops_count(o), RING_OPS_MAX));
    for (uint32_t i = 0; i < RING_OPS_MAX; i++) {
        cr_expect(eq(u64, ring_ops_at(o, i)->node, i));
        cr_expect(eq(ptr, (void *)(uintptr_t)ring_ops_find(o, i),
                     (void *)(uintptr_t)ring_ops_at(o, i)));
    }
    digest = ring_ops_digest(o);
    op = member(CLUSTER_MEMBERS_MAX + 1, 9, 9);
    cr_expect(not(ring_ops_merge(o, &op)));
    cr_expect(eq(u64, ring_ops_digest(o), digest));
    op.node = 5;
    cr_expect(ring_ops_merge(o, &op));
    ring_ops_free(o);
    ring_ops_free(NULL);
}

/* Nodes that came and went fill the set, and still one more has its place: the oldest end goes. */
Test(ring_ops, ends_make_room)
{
    struct ring_ops *o = ring_ops_new(), *reverse = ring_ops_new();
    const uint32_t count = RING_OPS_MAX + 100;

    cr_assert(o != NULL && reverse != NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct ring_op a = member(i + 1, 1000 + i, 1);
        struct ring_op b = member(count - i, 1000 + count - i - 1, 1);

        a.kind = b.kind = RING_OP_REMOVED;
        (void)ring_ops_merge(o, &a);
        (void)ring_ops_merge(reverse, &b);
    }
    struct ring_op here = member(900000, 5, 1);

    cr_expect(ring_ops_merge(o, &here), "though it says so since long ago");
    cr_expect(ring_ops_merge(reverse, &here));
    cr_expect(eq(u32, ring_ops_count(o), RING_OPS_MAX));
    cr_expect(same_set(o, reverse), "in whatever order they were told");
    cr_expect(eq(u64, ring_ops_digest(o), ring_ops_digest(reverse)));
    cr_expect(eq(ptr, (void *)(uintptr_t)ring_ops_find(o, 101), NULL));
    cr_expect(ne(ptr, (void *)(uintptr_t)ring_ops_find(o, 102), NULL));
    struct ring_op old = member(101, 1100, 1);

    old.kind = RING_OP_REMOVED;
    cr_expect(not(ring_ops_merge(o, &old)), "it is not told for ever");
    ring_ops_free(o);
    ring_ops_free(reverse);
}
