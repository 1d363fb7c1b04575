#include "cluster/ring.h"

#include "base/hash.h"
#include "base/panic.h"

#include <assert.h>
#include <stdlib.h>

/* Bytes of a fact as the digest sees it: the fixed fields, and two texts with their lengths. */
#define FACT_BYTES_MAX (31 + 1 + CLUSTER_HOST_MAX + 1 + CLUSTER_ZONE_MAX)

struct ring_ops {
    struct ring_op *op; /* in the order of .node, no two of one node */
    uint32_t        count;
    uint32_t        cap;
    uint64_t        digest; /* sum of fact_hash() of all */
    uint32_t        oldest; /* place of the end that is longest ago; cap: there is none */
    bool            oldest_is_known;
};

struct ring_ops *
ring_ops_new(void)
{
    return calloc(1, sizeof(struct ring_ops));
}

void
ring_ops_free(struct ring_ops *o)
{
    if (!o) {
        return;
    }
    free(o->op);
    free(o);
}

/* -- facts ------------------------------------------------------------------------------------- */

static char *
fact_put(char *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        *p++ = (char)(value >> 8 * i & 0xff);
    }
    return p;
}

static char *
fact_put_text(char *p, const char *text, size_t max)
{
    size_t len = strnlen(text, max);

    *p++ = (char)len;
    memcpy(p, text, len);
    return p + len;
}

/* A fact as bytes that are the same on every machine; returns how many. */
static size_t
fact_bytes(const struct ring_op *op, char out[FACT_BYTES_MAX])
{
    char *p = out;

    p = fact_put(p, op->kind, 1);
    p = fact_put(p, op->node, 8);
    p = fact_put(p, (uint64_t)op->stamp, 8);
    p = fact_put(p, op->proposer, 8);
    p = fact_put(p, op->client_port, 2);
    p = fact_put(p, op->weight, 2);
    p = fact_put(p, op->placement, 1);
    p = fact_put(p, op->replicas, 1);
    p = fact_put_text(p, op->host, CLUSTER_HOST_MAX);
    p = fact_put_text(p, op->zone, CLUSTER_ZONE_MAX);
    assert((size_t)(p - out) <= FACT_BYTES_MAX);
    return (size_t)(p - out);
}

static uint64_t
fact_hash(const struct ring_op *op)
{
    char   bytes[FACT_BYTES_MAX];
    size_t len = fact_bytes(op, bytes);

    return hash_bytes(bytes, len);
}

static int
order_of(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/*
 * Which of two facts about one node counts: > 0 the first, 0 they are the same.  One who proposes
 * never gives two facts one stamp; should it happen all the same, the bytes decide, so that all
 * nodes still agree.
 */
static int
fact_order(const struct ring_op *a, const struct ring_op *b)
{
    char   bytes_a[FACT_BYTES_MAX], bytes_b[FACT_BYTES_MAX];
    size_t len_a, len_b;
    int    order;

    assert(a->node == b->node);
    if (a->stamp != b->stamp) {
        return a->stamp > b->stamp ? 1 : -1;
    }
    order = order_of(a->proposer, b->proposer);
    if (order != 0) {
        return order;
    }
    len_a = fact_bytes(a, bytes_a);
    len_b = fact_bytes(b, bytes_b);
    order = memcmp(bytes_a, bytes_b, len_a < len_b ? len_a : len_b);
    return order != 0 ? order : order_of(len_a, len_b);
}

/* False: no node would say such a thing. */
static bool
fact_is_sound(const struct ring_op *op)
{
    if (op->stamp < 0 || op->stamp > RING_STAMP_MAX || op->weight > CLUSTER_WEIGHT_MAX) {
        return false;
    }
    switch (op->kind) {
    case RING_OP_MEMBER:
    case RING_OP_REMOVED:
        return op->node != 0;
    case RING_OP_PLACEMENT:
        return op->node == 0 && op->placement <= RING_KETAMA_OAT && op->replicas >= 1 &&
               op->replicas <= CLUSTER_OWNERS_MAX;
    }
    return false;
}

/* The fact without what its kind does not have, and with nothing behind the ends of its texts. */
static struct ring_op
fact_bare(const struct ring_op *op)
{
    struct ring_op bare = {
        .kind = op->kind, .node = op->node, .stamp = op->stamp, .proposer = op->proposer
    };

    if (op->kind == RING_OP_MEMBER) {
        bare.client_port = op->client_port;
        bare.weight = op->weight;
        memcpy(bare.host, op->host, strnlen(op->host, CLUSTER_HOST_MAX));
        memcpy(bare.zone, op->zone, strnlen(op->zone, CLUSTER_ZONE_MAX));
    } else if (op->kind == RING_OP_PLACEMENT) {
        bare.placement = op->placement;
        bare.replicas = op->replicas;
    }
    return bare;
}

/* -- the set ----------------------------------------------------------------------------------- */

/* The place of a node's fact, or the one where it would be put in. */
static uint32_t
ops_place(const struct ring_ops *o, node_id node)
{
    uint32_t low = 0, high = o->count;

    if (o->count > 0 && o->op[o->count - 1].node < node) {
        return o->count; /* a whole state comes in this order */
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (o->op[middle].node < node) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
ops_has(const struct ring_ops *o, uint32_t place, node_id node)
{
    return place < o->count && o->op[place].node == node;
}

/* Which of two ends of places is longer ago: < 0 the first. */
static int
end_order(const struct ring_op *a, const struct ring_op *b)
{
    int order = order_of((uint64_t)a->stamp, (uint64_t)b->stamp);

    order = order != 0 ? order : order_of(a->proposer, b->proposer);
    return order != 0 ? order : order_of(a->node, b->node);
}

/* Finds the end that is longest ago; false: there is none. */
static bool
ops_oldest(struct ring_ops *o)
{
    if (!o->oldest_is_known) {
        o->oldest = o->cap;
        for (uint32_t i = 0; i < o->count; i++) {
            if (o->op[i].kind == RING_OP_REMOVED &&
                (o->oldest == o->cap || end_order(&o->op[i], &o->op[o->oldest]) < 0)) {
                o->oldest = i;
            }
        }
        o->oldest_is_known = true;
    }
    return o->oldest < o->cap;
}

/* Gives up the oldest end in a full set for a fact that counts more; false: there is none. */
static bool
ops_expire(struct ring_ops *o, const struct ring_op *news)
{
    if (!ops_oldest(o) ||
        (news->kind == RING_OP_REMOVED && end_order(news, &o->op[o->oldest]) < 0)) {
        return false;
    }
    o->digest -= fact_hash(&o->op[o->oldest]);
    o->count--;
    memmove(o->op + o->oldest, o->op + o->oldest + 1, (o->count - o->oldest) * sizeof *o->op);
    o->oldest_is_known = false;
    return true;
}

/* Makes room for one more at the place; false: there is none. */
static bool
ops_open(struct ring_ops *o, uint32_t place)
{
    if (o->count >= RING_OPS_MAX) {
        return false;
    }
    if (o->count == o->cap) {
        uint32_t        cap = o->cap == 0 ? 16 : o->cap * 2;
        struct ring_op *op = realloc(o->op, cap * sizeof *op);

        if (!op) {
            return false;
        }
        o->op = op;
        o->cap = cap;
    }
    memmove(o->op + place + 1, o->op + place, (o->count - place) * sizeof *o->op);
    o->count++;
    return true;
}

bool
ring_ops_merge(struct ring_ops *o, const struct ring_op *op)
{
    struct ring_op bare;
    uint32_t       place;

    if (!fact_is_sound(op)) {
        return false;
    }
    bare = fact_bare(op);
    place = ops_place(o, bare.node);
    if (!ops_has(o, place, bare.node) && o->count >= RING_OPS_MAX) {
        if (!ops_expire(o, &bare)) {
            return false;
        }
        place = ops_place(o, bare.node);
    }
    if (ops_has(o, place, bare.node)) {
        if (fact_order(&bare, &o->op[place]) <= 0) {
            return false;
        }
        o->digest -= fact_hash(&o->op[place]);
    } else if (!ops_open(o, place)) {
        return false;
    }
    o->op[place] = bare;
    o->oldest_is_known = false;
    o->digest += fact_hash(&bare);
    DEBUG_ASSERT(place == 0 || o->op[place - 1].node < bare.node);
    return true;
}

uint32_t
ring_ops_count(const struct ring_ops *o)
{
    return o->count;
}

uint64_t
ring_ops_digest(const struct ring_ops *o)
{
    return o->digest;
}

const struct ring_op *
ring_ops_at(const struct ring_ops *o, size_t i)
{
    assert(i < o->count);
    return &o->op[i];
}

const struct ring_op *
ring_ops_find(const struct ring_ops *o, node_id node)
{
    uint32_t place = ops_place(o, node);

    return ops_has(o, place, node) ? &o->op[place] : NULL;
}
