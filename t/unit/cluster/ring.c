#include "cluster/ring.h"
#include "base/hash.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 101

/* Nodes of one weight in one zone, named by a seed; index i is node i. */
struct fleet {
    struct ring_node node[NODES_MAX];
    char             host[NODES_MAX][16];
};

static void
fleet_init(struct fleet *f, uint64_t seed)
{
    for (size_t i = 0; i < NODES_MAX; i++) {
        snprintf(f->host[i], sizeof f->host[i], "10.%u.0.%u", (unsigned)(seed & 255),
                 (unsigned)i + 1);
        f->node[i] = (struct ring_node){ .id = hash_bytes(f->host[i], strlen(f->host[i])),
                                         .host = f->host[i], .port = 11211, .weight = 1,
                                         .zone = "", .index = (uint16_t)i };
    }
}

/* A hash in the middle of a partition. */
static uint64_t
hash_in(uint32_t partition)
{
    return (uint64_t)partition << 52 | UINT64_C(1) << 51;
}

static uint16_t
owner_of(const struct ring *r, uint32_t partition)
{
    return ring_owner(r, (struct slice){ 0 }, hash_in(partition));
}

static struct ring *
ring_of(enum ring_placement placement, unsigned replicas, const struct ring_node *node, size_t n)
{
    struct ring *r = ring_new(placement, replicas, node, n);

    cr_assert(r != NULL);
    return r;
}

static double
greatest_share(const struct ring *r, size_t n)
{
    double greatest = 0, sum = 0;

    for (size_t i = 0; i < n; i++) {
        double share = ring_share(r, (uint16_t)i);

        sum += share;
        greatest = share > greatest ? share : greatest;
    }
    cr_expect(sum > 0.999999 && sum < 1.000001, "the shares sum up to %f", sum);
    return greatest;
}

/* No node has more than a tenth above its share, rounded up to a whole partition. */
Test(ring, native_is_even)
{
    static const size_t sizes[] = { 1, 2, 3, 5, 10, 25, 50, 100 };
    struct fleet f;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        fleet_init(&f, seed);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t n = sizes[s];
            struct ring *r = ring_of(RING_NATIVE, 1, f.node, n);

            cr_expect(greatest_share(r, n) <= 1.10 / (double)n + 1.0 / CLUSTER_PARTITIONS,
                      "%zu nodes", n);
            cr_expect(eq(sz, ring_points(r), CLUSTER_PARTITIONS));
            ring_free(r);
        }
    }
}

/* A node that joins takes its share, and hardly anything moves between the others. */
Test(ring, native_join_moves_little)
{
    static const size_t sizes[] = { 1, 2, 3, 5, 10, 25, 50 };
    enum { SEEDS = 10 };
    struct fleet f;

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s], moved = 0, between_old = 0;
        double ideal = 1 / (double)(n + 1), share;

        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct ring *before, *after;

            fleet_init(&f, seed);
            before = ring_of(RING_NATIVE, 1, f.node, n);
            after = ring_of(RING_NATIVE, 1, f.node, n + 1);
            for (uint32_t p = 0; p < CLUSTER_PARTITIONS; p++) {
                uint16_t from = owner_of(before, p), to = owner_of(after, p);

                moved += from != to;
                between_old += from != to && to != n;
            }
            ring_free(before);
            ring_free(after);
        }
        share = (double)moved / SEEDS / CLUSTER_PARTITIONS;
        cr_expect(share > 0.9 * ideal && share < 1.1 * ideal + 0.003, "%zu nodes: %f moves", n,
                  share);
        share = (double)between_old / SEEDS / CLUSTER_PARTITIONS;
        cr_expect(share <= 0.003, "%zu nodes: %f moves between old ones", n, share);
    }
}

/* A node of three times the weight gets three times the keys, and the cap is of its own share. */
Test(ring, native_weights)
{
    struct fleet f;
    double       total = 0;
    struct ring *r;

    fleet_init(&f, 1);
    for (size_t i = 0; i < 10; i++) {
        f.node[i].weight = (uint16_t)(i * i);
        total += f.node[i].weight;
    }
    r = ring_of(RING_NATIVE, 1, f.node, 10);
    for (size_t i = 0; i < 10; i++) {
        double fair = f.node[i].weight / total, share = ring_share(r, (uint16_t)i);

        cr_expect(share <= 1.10 * fair + 1.0 / CLUSTER_PARTITIONS, "node %zu has %f", i, share);
        cr_expect(share >= 0.75 * fair - 0.001, "node %zu has %f of %f", i, share, fair);
    }
    cr_expect(eq(dbl, ring_share(r, 0), 0), "no weight, no keys");
    ring_free(r);
}

/*
 * The logarithm is right: without the cap the chance to be second owner, too, is that of the
 * weights.  Of nodes of weights 1, 2 and 4, the partitions of the heaviest go on to the other two
 * as one to two.
 */
Test(ring, native_second_owners_by_weight)
{
    size_t second[3] = { 0 }, of = 0;
    struct fleet f;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct ring *r;

        fleet_init(&f, seed);
        f.node[1].weight = 2;
        f.node[2].weight = 4;
        r = ring_of(RING_NATIVE, 2, f.node, 3);
        for (uint32_t p = 0; p < CLUSTER_PARTITIONS; p++) {
            uint16_t owner[CLUSTER_OWNERS_MAX];

            cr_assert(eq(uint, ring_owners(r, (struct slice){ 0 }, hash_in(p), owner), 2));
            cr_assert(eq(u16, owner[0], owner_of(r, p)));
            cr_assert(ne(u16, owner[0], owner[1]));
            if (owner[0] == 2) {
                second[owner[1]]++;
                of++;
            }
        }
        ring_free(r);
    }
    cr_expect(second[0] > of * 32 / 100 && second[0] < of * 35 / 100, "%zu of %zu", second[0], of);
    cr_expect(eq(sz, second[0] + second[1], of));
}

/* The order in which nodes are heard of is another on every node; the ring is the same. */
Test(ring, order_of_nodes_does_not_matter)
{
    struct fleet f;
    struct rng   rng;

    fleet_init(&f, 1);
    rng_init(&rng, 1);
    for (size_t i = 0; i < 20; i++) {
        f.node[i].zone = i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "";
        f.node[i].weight = (uint16_t)(1 + i % 4);
    }
    for (int placement = RING_NATIVE; placement <= RING_KETAMA_OAT; placement++) {
        struct ring *a = ring_of((enum ring_placement)placement, 4, f.node, 20), *b;

        for (size_t i = 20; i-- > 0;) {
            size_t other = rng_below(&rng, i + 1);
            struct ring_node kept = f.node[i];

            f.node[i] = f.node[other];
            f.node[other] = kept;
        }
        b = ring_of((enum ring_placement)placement, 4, f.node, 20);
        for (unsigned i = 0; i < 5000; i++) {
            uint64_t key = rng_next(&rng), hash = rng_next(&rng);
            struct slice bytes = slice_of(&key, sizeof key);
            uint16_t of_a[CLUSTER_OWNERS_MAX], of_b[CLUSTER_OWNERS_MAX];

            cr_assert(eq(uint, ring_owners(a, bytes, hash, of_a), 4));
            cr_assert(eq(uint, ring_owners(b, bytes, hash, of_b), 4));
            cr_assert(eq(int, memcmp(of_a, of_b, 4 * sizeof *of_a), 0));
            cr_assert(eq(u16, ring_owner(a, bytes, hash), of_a[0]));
        }
        ring_free(a);
        ring_free(b);
    }
}

/* Every node of every machine must come to this table: another number is another cluster. */
Test(ring, native_is_the_same_for_ever)
{
    struct fleet f;
    struct ring *r;
    uint16_t     table[CLUSTER_PARTITIONS][3];

    fleet_init(&f, 1);
    for (size_t i = 0; i < 7; i++) {
        f.node[i].zone = i % 2 ? "a" : "b";
        f.node[i].weight = (uint16_t)(1 + i);
    }
    r = ring_of(RING_NATIVE, 3, f.node, 7);
    for (uint32_t p = 0; p < CLUSTER_PARTITIONS; p++) {
        uint16_t owner[CLUSTER_OWNERS_MAX];

        cr_assert(eq(uint, ring_owners(r, (struct slice){ 0 }, hash_in(p), owner), 3));
        memcpy(table[p], owner, sizeof table[p]);
    }
    cr_expect(eq(u64, hash_bytes(table, sizeof table), UINT64_C(9780849605509048149)));
    ring_free(r);
}

/* Copies lie in distinct zones as long as there are some, and on distinct nodes anyway. */
Test(ring, owners_are_apart)
{
    static const struct {
        size_t   nodes, zones;
        unsigned replicas;
    } row[] = {
        { 6, 3, 3 }, { 6, 2, 3 }, { 6, 1, 3 }, { 3, 3, 8 }, { 9, 3, 8 }, { 2, 2, 2 }, { 1, 1, 2 },
    };
    static char *const zone[] = { "", "a", "b" };
    struct fleet f;
    struct rng   rng;

    rng_init(&rng, 1);
    fleet_init(&f, 3);
    for (size_t i = 0; i < sizeof row / sizeof *row * 3; i++) {
        size_t       n = row[i / 3].nodes, zones = row[i / 3].zones;
        unsigned     want = row[i / 3].replicas < n ? row[i / 3].replicas : (unsigned)n;
        unsigned     apart = zones < want ? (unsigned)zones : want;
        struct ring *r;

        for (size_t j = 0; j < n; j++) {
            f.node[j].zone = zone[j % zones];
        }
        r = ring_of((enum ring_placement)(i % 3), row[i / 3].replicas, f.node, n);
        for (unsigned k = 0; k < 2000; k++) {
            uint64_t key = rng_next(&rng);
            struct slice bytes = slice_of(&key, sizeof key);
            uint16_t owner[CLUSTER_OWNERS_MAX];

            cr_assert(eq(uint, ring_owners(r, bytes, hash_bytes(&key, sizeof key), owner), want));
            for (unsigned a = 0; a < want; a++) {
                for (unsigned b = 0; b < a; b++) {
                    cr_assert(ne(u16, owner[a], owner[b]), "row %zu", i);
                    cr_assert(a >= apart || owner[a] % zones != owner[b] % zones, "row %zu", i);
                }
            }
        }
        ring_free(r);
    }
}

/* Ketama's shares are those of the arcs: what a great many keys see. */
Test(ring, ketama_shares_are_what_keys_see)
{
    enum { KEYS = 200000 };
    struct fleet f;

    fleet_init(&f, 5);
    for (int placement = RING_KETAMA_WEIGHTED; placement <= RING_KETAMA_OAT; placement++) {
        struct ring *r = ring_of((enum ring_placement)placement, 1, f.node, 5);
        size_t       seen[5] = { 0 };

        greatest_share(r, 5);
        cr_expect(eq(sz, ring_points(r), placement == RING_KETAMA_OAT ? 500 : 800));
        for (unsigned i = 0; i < KEYS; i++) {
            char key[24];
            int  len = snprintf(key, sizeof key, "key:%u", i);

            seen[ring_owner(r, slice_of(key, (size_t)len), 0)]++;
        }
        for (uint16_t i = 0; i < 5; i++) {
            double share = ring_share(r, i), keys = (double)seen[i] / KEYS;

            cr_expect(keys > share - 0.02 && keys < share + 0.02, "%f of the keys, %f of the ring",
                      keys, share);
        }
        ring_free(r);
    }
}

Test(ring, of_nobody)
{
    struct fleet f;

    fleet_init(&f, 1);
    f.node[0].weight = 0;
    for (int placement = RING_NATIVE; placement <= RING_KETAMA_OAT; placement++) {
        for (size_t n = 0; n < 2; n++) {
            struct ring *r = ring_of((enum ring_placement)placement, 2, f.node, n);
            uint16_t     owner[CLUSTER_OWNERS_MAX];

            cr_expect(eq(u16, ring_owner(r, SLICE("key"), 1), RING_NOBODY));
            cr_expect(zero(uint, ring_owners(r, SLICE("key"), 1, owner)));
            cr_expect(eq(dbl, ring_share(r, 0), 0));
            cr_expect(zero(sz, ring_points(r)));
            ring_free(r);
        }
    }
    ring_free(NULL);
}

/* Every partition has an owner however many nodes there are, and however unequal they are. */
Test(ring, native_always_has_room)
{
    enum { N = 5000 };
    struct ring_node *node = calloc(N, sizeof *node);
    struct ring      *r;
    struct rng        rng;

    rng_init(&rng, 9);
    for (size_t i = 0; i < N; i++) {
        node[i] = (struct ring_node){ .id = i + 1, .host = "h", .port = (uint16_t)i, .zone = "",
                                      .weight = (uint16_t)(1 + rng_below(&rng, 65535)),
                                      .index = (uint16_t)i };
    }
    r = ring_of(RING_NATIVE, 1, node, N);
    for (uint32_t p = 0; p < CLUSTER_PARTITIONS; p++) {
        cr_assert(owner_of(r, p) < N);
    }
    ring_free(r);
    for (size_t i = 0; i < N; i++) {
        node[i].weight = i == 17 ? 65535 : 1;
    }
    r = ring_of(RING_NATIVE, 1, node, N);
    cr_expect(ring_share(r, 17) > 0.80 && ring_share(r, 17) < 0.98, "%f", ring_share(r, 17));
    ring_free(r);
    free(node);
}
