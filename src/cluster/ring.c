#include "cluster/ring.h"

#include "cluster/ketama.h"

#include <assert.h>
#include <stdlib.h>

#define PARTITION_SHIFT 52 /* of a hash down to its partition */
#define LOG_BITS        8  /* the table of logarithms has 2^LOG_BITS steps */
#define ONE             (UINT64_C(1) << 32) /* of fixed-point numbers */

_Static_assert(CLUSTER_PARTITIONS == 1 << (64 - PARTITION_SHIFT), "the top bits are the partition");

/* A node of the ring, in the order that ties depend on. */
struct place {
    uint16_t index;  /* what look-ups answer */
    uint16_t weight;
    uint16_t zone;   /* number of its zone, from 0 */
    uint64_t share;  /* of the hash space, in units of 2^-32 */
};

struct ring {
    uint16_t       first[CLUSTER_PARTITIONS]; /* native: the first owner's index, or RING_NOBODY */
    uint16_t      *others;  /* native: of each partition the owners behind the first, RING_NOBODY
                               where there are no more; others_max for each */
    unsigned       others_max;
    struct ketama *ketama;  /* NULL: native, or nobody owns anything */
    enum ring_placement placement;
    unsigned       owners_max; /* of a key: the replicas asked for, or fewer */
    unsigned       zones_max;  /* zones that have a point */
    struct place  *place;
    uint32_t       count;
    unsigned       users;
};

/* -- the places -------------------------------------------------------------------------------- */

static int
order_by_id(const void *a, const void *b)
{
    const struct ring_node *const *p = a, *const *q = b;

    return ((*p)->id > (*q)->id) - ((*p)->id < (*q)->id);
}

/* By (host, port); the ids decide between two nodes of one name. */
static int
order_by_name(const void *a, const void *b)
{
    const struct ring_node *const *p = a, *const *q = b;
    int order = strcmp((*p)->host, (*q)->host);

    if (order != 0) {
        return order;
    }
    if ((*p)->port != (*q)->port) {
        return (*p)->port < (*q)->port ? -1 : 1;
    }
    return order_by_id(a, b);
}

/* Of entries of a sorted list, to find their places again. */
static int
order_by_zone(const void *a, const void *b)
{
    const struct ring_node *const *const *p = a, *const *const *q = b;

    return strcmp((**p)->zone, (**q)->zone);
}

/* The nodes that own something, in an order; *ret_count: how many.  NULL without memory. */
static const struct ring_node **
nodes_sorted(const struct ring_node *nodes, size_t count,
             int (*order)(const void *, const void *), size_t *ret_count)
{
    const struct ring_node **sorted = malloc((count + 1) * sizeof *sorted);
    size_t n = 0;

    if (!sorted) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].weight > 0) {
            sorted[n++] = &nodes[i];
        }
    }
    qsort(sorted, n, sizeof *sorted, order);
    *ret_count = n;
    return sorted;
}

/* Numbers the zones of the places.  False without memory. */
static bool
places_zone(struct ring *r, const struct ring_node *const *sorted)
{
    const struct ring_node *const **by_zone = malloc(r->count * sizeof *by_zone);
    uint16_t zone = 0;

    if (!by_zone) {
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        by_zone[i] = &sorted[i];
    }
    qsort(by_zone, r->count, sizeof *by_zone, order_by_zone);
    for (uint32_t i = 0; i < r->count; i++) {
        if (i > 0 && strcmp((*by_zone[i])->zone, (*by_zone[i - 1])->zone) != 0) {
            zone++;
        }
        r->place[by_zone[i] - sorted].zone = zone;
    }
    free(by_zone);
    return true;
}

/* -- native: the score ------------------------------------------------------------------------- */

/*
 * The nodes' rank for a partition is that of -ln(u) / weight, the smallest first, where u is an
 * even random number in 0..1 made from the two: the chance to be first is the share of the weight.
 * All of it is integers, so every machine has the same: of the logarithm, base 2 with 32 binary
 * digits, 257 values that repeated squaring gives, and straight lines between them.
 */
struct logs {
    uint64_t at[(1 << LOG_BITS) + 1]; /* log2(1 + i / 2^LOG_BITS) */
};

static void
logs_init(struct logs *l)
{
    for (unsigned i = 0; i < 1 << LOG_BITS; i++) {
        uint64_t x = (UINT64_C(1) << 31) + ((uint64_t)i << (31 - LOG_BITS)); /* 31 digits */
        uint64_t log = 0;

        for (unsigned bit = 0; bit < 32; bit++) {
            x = x * x >> 31;
            log <<= 1;
            if (x >> 32 != 0) {
                x >>= 1;
                log |= 1;
            }
        }
        l->at[i] = log;
    }
    l->at[1 << LOG_BITS] = ONE;
}

/* -log2 of u = h / 2^64; at least 1, and below 2^39. */
static uint64_t
minus_log(const struct logs *l, uint64_t h)
{
    unsigned zeros;
    uint64_t digits, step, rest;

    h |= 1;
    zeros = (unsigned)__builtin_clzll(h);
    digits = h << zeros << 1; /* behind the leading one */
    step = digits >> (64 - LOG_BITS);
    rest = digits << LOG_BITS >> 40; /* 24 bits */
    return (zeros + 1) * ONE - l->at[step] - ((l->at[step + 1] - l->at[step]) * rest >> 24);
}

/* The finalizer of splitmix64: every bit of the result depends on every bit of x. */
static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* -- native: the table ------------------------------------------------------------------------- */

/* What the table is made with. */
struct draft {
    struct logs logs;
    uint64_t   *seed;  /* of each place: its id, mixed */
    uint64_t   *cost;  /* of each place for the partition in work: -log2(u) */
    uint32_t   *room;  /* partitions it may still be first owner of */
    uint32_t   *taken; /* number of the last partition that it owns, from 1 */
};

static void
draft_fini(struct draft *d)
{
    free(d->seed);
    free(d->cost);
    free(d->room);
    free(d->taken);
}

static bool
draft_init(struct draft *d, const struct ring *r, const struct ring_node *const *sorted)
{
    uint64_t total = 0, rooms = 0;

    logs_init(&d->logs);
    d->seed = malloc(r->count * sizeof *d->seed);
    d->cost = malloc(r->count * sizeof *d->cost);
    d->room = malloc(r->count * sizeof *d->room);
    d->taken = calloc(r->count, sizeof *d->taken);
    if (!d->seed || !d->cost || !d->room || !d->taken) {
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        total += r->place[i].weight;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t cap = (uint64_t)CLUSTER_PARTITIONS * r->place[i].weight * RING_CAP_PERCENT;

        d->room[i] = (uint32_t)((cap + total * 100 - 1) / (total * 100));
        d->seed[i] = mix(sorted[i]->id);
        rooms += d->room[i];
    }
    assert(rooms >= CLUSTER_PARTITIONS);
    return true;
}

/* True if place a goes before b; of equal ones the smaller id, which is the smaller place. */
static inline bool
draft_before(const struct draft *d, const struct ring *r, uint32_t a, uint32_t b)
{
    return d->cost[a] * r->place[b].weight < d->cost[b] * r->place[a].weight;
}

/* The first owner: the best of those with room, of which there always is one. */
static uint32_t
draft_first(const struct draft *d, const struct ring *r)
{
    uint32_t best = r->count;

    for (uint32_t i = 0; i < r->count; i++) {
        if (d->room[i] > 0 && (best == r->count || draft_before(d, r, i, best))) {
            best = i;
        }
    }
    assert(best < r->count);
    return best;
}

/* The owner behind n others: the best in a zone of none of them, or else the best of the rest. */
static uint32_t
draft_next(const struct draft *d, const struct ring *r, const uint32_t *owner, unsigned n,
           uint32_t mark)
{
    uint32_t best = r->count, best_apart = r->count;

    for (uint32_t i = 0; i < r->count; i++) {
        bool apart = true;

        if (d->taken[i] == mark) {
            continue;
        }
        if (best == r->count || draft_before(d, r, i, best)) {
            best = i;
        }
        for (unsigned j = 0; j < n; j++) {
            apart = apart && r->place[owner[j]].zone != r->place[i].zone;
        }
        if (apart && (best_apart == r->count || draft_before(d, r, i, best_apart))) {
            best_apart = i;
        }
    }
    assert(best < r->count);
    return best_apart < r->count ? best_apart : best;
}

/* All owners of one partition. */
static void
draft_partition(struct draft *d, struct ring *r, uint32_t partition)
{
    uint32_t  owner[CLUSTER_OWNERS_MAX];
    uint16_t *other = r->others + partition * r->others_max;

    for (uint32_t i = 0; i < r->count; i++) {
        d->cost[i] = minus_log(&d->logs, mix(d->seed[i] + (partition + 1) *
                                             UINT64_C(0x9e3779b97f4a7c15)));
    }
    for (unsigned n = 0; n < r->owners_max; n++) {
        owner[n] = n == 0 ? draft_first(d, r) : draft_next(d, r, owner, n, partition + 1);
        d->taken[owner[n]] = partition + 1;
        if (n > 0) {
            other[n - 1] = r->place[owner[n]].index;
        }
    }
    d->room[owner[0]]--;
    r->first[partition] = r->place[owner[0]].index;
    r->place[owner[0]].share += ONE / CLUSTER_PARTITIONS;
}

/* False without memory. */
static bool
native_make(struct ring *r, const struct ring_node *const *sorted)
{
    struct draft d = { .seed = NULL };
    bool made = false;

    r->others_max = r->owners_max - 1;
    r->others = malloc((size_t)CLUSTER_PARTITIONS * r->others_max * sizeof *r->others + 1);
    if (r->others && draft_init(&d, r, sorted)) {
        for (uint32_t partition = 0; partition < CLUSTER_PARTITIONS; partition++) {
            draft_partition(&d, r, partition);
        }
        made = true;
    }
    draft_fini(&d);
    return made;
}

/* -- ketama ------------------------------------------------------------------------------------ */

/* Sums the arcs, and counts whom a walk around the ring can meet. */
static bool
ketama_measure(struct ring *r)
{
    const struct ketama *k = r->ketama;
    uint32_t before = k->point[k->count - 1].value;
    uint32_t nodes = 0, zones = 0;
    uint64_t sum = 0;
    bool *seen_zone = calloc(r->count, sizeof *seen_zone);

    if (!seen_zone) {
        return false;
    }
    for (uint32_t i = 0; i < k->count; i++) {
        struct place *p = &r->place[k->point[i].server];

        p->share += k->count == 1 ? ONE : (uint32_t)(k->point[i].value - before);
        before = k->point[i].value;
        if (!seen_zone[p->zone]) {
            seen_zone[p->zone] = true;
            zones++;
        }
    }
    for (uint32_t i = 0; i < r->count; i++) {
        nodes += r->place[i].share > 0;
        sum += r->place[i].share;
    }
    assert(sum == ONE && zones <= nodes);
    r->zones_max = zones;
    r->owners_max = r->owners_max < nodes ? r->owners_max : nodes;
    free(seen_zone);
    return true;
}

/* False without memory. */
static bool
ketama_make(struct ring *r, const struct ring_node *const *sorted)
{
    struct ketama_server *server = malloc(r->count * sizeof *server);

    if (!server) {
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        server[i].host = sorted[i]->host;
        server[i].port = sorted[i]->port;
        server[i].weight = sorted[i]->weight;
    }
    r->ketama = ketama_new(r->placement == RING_KETAMA_OAT ? KETAMA_OAT : KETAMA_WEIGHTED, server,
                           r->count);
    free(server);
    return r->ketama && ketama_measure(r);
}

/* The point of a key; the ring is one of ketama's. */
static uint32_t
ketama_point_of(const struct ring *r, struct slice key)
{
    uint32_t hash = r->placement == RING_KETAMA_OAT ? ketama_oat(key) : ketama_md5(key);

    return ketama_find(r->ketama, hash);
}

/* True if the place goes behind these n owners; apart: only if its zone is none of theirs. */
static bool
walk_takes(const struct ring *r, const uint32_t *owner, unsigned n, uint32_t place, bool apart)
{
    for (unsigned i = 0; i < n; i++) {
        if (owner[i] == place || (apart && r->place[owner[i]].zone == r->place[place].zone)) {
            return false;
        }
    }
    return true;
}

/* Walks clockwise from a point: first for a node of each zone, then for any. */
static unsigned
ketama_owners(const struct ring *r, uint32_t start, uint16_t ret[CLUSTER_OWNERS_MAX])
{
    const struct ketama *k = r->ketama;
    unsigned zones = r->zones_max < r->owners_max ? r->zones_max : r->owners_max;
    uint32_t owner[CLUSTER_OWNERS_MAX];
    unsigned n = 0;

    for (int pass = 0; pass < 2; pass++) {
        unsigned want = pass == 0 ? zones : r->owners_max;
        uint32_t at = start;

        for (uint32_t steps = 0; n < want && steps < k->count; steps++) {
            at = at >= k->count ? 0 : at;
            if (walk_takes(r, owner, n, k->point[at].server, pass == 0)) {
                owner[n++] = k->point[at].server;
            }
            at++;
        }
    }
    assert(n == r->owners_max);
    for (unsigned i = 0; i < n; i++) {
        ret[i] = r->place[owner[i]].index;
    }
    return n;
}

/* -- the ring ---------------------------------------------------------------------------------- */

static bool
ring_make(struct ring *r, const struct ring_node *nodes, size_t count)
{
    size_t n;
    const struct ring_node **sorted =
        nodes_sorted(nodes, count, r->placement == RING_NATIVE ? order_by_id : order_by_name, &n);
    bool made = sorted;

    if (sorted && n > 0) {
        r->place = calloc(n, sizeof *r->place);
        r->count = r->place ? (uint32_t)n : 0;
        for (uint32_t i = 0; i < r->count; i++) {
            assert(sorted[i]->host && sorted[i]->zone && sorted[i]->index != RING_NOBODY);
            r->place[i].index = sorted[i]->index;
            r->place[i].weight = sorted[i]->weight;
        }
        r->owners_max = n < r->owners_max ? (unsigned)n : r->owners_max;
        made = r->place && places_zone(r, sorted) &&
               (r->placement == RING_NATIVE ? native_make(r, sorted) : ketama_make(r, sorted));
    }
    free(sorted);
    return made;
}

struct ring *
ring_new(enum ring_placement placement, unsigned replicas, const struct ring_node *nodes,
         size_t count)
{
    struct ring *r = calloc(1, sizeof *r);

    assert(replicas >= 1 && replicas <= CLUSTER_OWNERS_MAX && count < RING_NOBODY);
    if (!r) {
        return NULL;
    }
    r->users = 1;
    r->placement = placement;
    r->owners_max = replicas;
    for (uint32_t i = 0; i < CLUSTER_PARTITIONS; i++) {
        r->first[i] = RING_NOBODY;
    }
    if (!ring_make(r, nodes, count)) {
        ring_free(r);
        return NULL;
    }
    return r;
}

struct ring *
ring_hold(struct ring *r)
{
    assert(r->users > 0 && r->users < UINT32_MAX);
    r->users++;
    return r;
}

void
ring_free(struct ring *r)
{
    if (!r) {
        return;
    }
    assert(r->users > 0);
    if (--r->users > 0) {
        return;
    }
    ketama_free(r->ketama);
    free(r->others);
    free(r->place);
    free(r);
}

uint16_t
ring_owner(const struct ring *r, struct slice key, uint64_t hash)
{
    if (r->ketama) {
        return r->place[r->ketama->point[ketama_point_of(r, key)].server].index;
    }
    return r->first[hash >> PARTITION_SHIFT];
}

unsigned
ring_owners(const struct ring *r, struct slice key, uint64_t hash, uint16_t ret[CLUSTER_OWNERS_MAX])
{
    uint64_t partition = hash >> PARTITION_SHIFT;

    if (r->ketama) {
        return ketama_owners(r, ketama_point_of(r, key), ret);
    }
    if (r->count == 0) {
        return 0;
    }
    ret[0] = r->first[partition];
    for (unsigned i = 1; i < r->owners_max; i++) {
        ret[i] = r->others[partition * r->others_max + i - 1];
    }
    return r->owners_max;
}

double
ring_share(const struct ring *r, uint16_t index)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->place[i].index == index) {
            return (double)r->place[i].share / (double)ONE;
        }
    }
    return 0;
}

size_t
ring_points(const struct ring *r)
{
    return r->ketama ? r->ketama->count : r->count > 0 ? CLUSTER_PARTITIONS : 0;
}
