#include "cluster/view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* -- the nodes --------------------------------------------------------------------------------- */

static int
order_by_id(const void *a, const void *b)
{
    const struct view_node *p = a, *q = b;

    return (p->info.id > q->info.id) - (p->info.id < q->info.id);
}

/* The index of a node among the first count, which are sorted, or VIEW_NOBODY. */
static uint16_t
node_find(const struct view *v, uint16_t count, node_id id)
{
    uint16_t low = 0, high = count;

    while (low < high) {
        uint16_t middle = (uint16_t)(low + (high - low) / 2);

        if (v->node[middle].info.id < id) {
            low = (uint16_t)(middle + 1);
        } else {
            high = middle;
        }
    }
    return low < count && v->node[low].info.id == id ? low : (uint16_t)VIEW_NOBODY;
}

/* A node that has a place in the ring, and of which nothing else is known. */
static struct view_node
node_unknown(const struct ring_op *op)
{
    struct view_node n = { .state = MEMBER_DEAD, .since = op->stamp };

    n.info.id = op->node;
    n.info.phase = PHASE_JOINING;
    n.info.client_port = op->client_port;
    n.info.weight = op->weight;
    memcpy(n.info.host, op->host, sizeof n.info.host);
    memcpy(n.info.zone, op->zone, sizeof n.info.zone);
    return n;
}

/* Appends the ring's nodes that are not among the members, which are sorted. */
static void
nodes_add_unknown(struct view *v, const struct ring_ops *ops)
{
    uint16_t known = v->count;

    for (uint32_t i = 0; i < ring_ops_count(ops); i++) {
        const struct ring_op *op = ring_ops_at(ops, i);

        if (op->kind == RING_OP_MEMBER && node_find(v, known, op->node) == VIEW_NOBODY) {
            assert(v->count < VIEW_NOBODY);
            v->node[v->count++] = node_unknown(op);
        }
    }
}

static usec_t
latest_stamp(const struct ring_ops *ops)
{
    usec_t latest = 0;

    for (uint32_t i = 0; i < ring_ops_count(ops); i++) {
        usec_t stamp = ring_ops_at(ops, i)->stamp;

        latest = stamp > latest ? stamp : latest;
    }
    return latest;
}

/* Says of each node whether it is in the ring, and whether it acts. */
static void
nodes_judge(struct view *v, const struct ring_ops *ops)
{
    for (uint16_t i = 0; i < v->count; i++) {
        struct view_node     *n = &v->node[i];
        const struct ring_op *op = ring_ops_find(ops, n->info.id);
        bool answers = n->state == MEMBER_ALIVE || n->state == MEMBER_SUSPECT;

        assert(i == 0 || v->node[i - 1].info.id < n->info.id);
        n->in_ring = op && op->kind == RING_OP_MEMBER;
        n->acts = n->in_ring && answers && n->info.phase == PHASE_UP;
    }
}

/* -- the ring ---------------------------------------------------------------------------------- */

/* Over the nodes in the ring, as the facts name them.  NULL without memory. */
static struct ring *
ring_over(const struct view *v, const struct ring_ops *ops)
{
    const struct ring_op *placement = ring_ops_find(ops, 0);
    struct ring_node     *nodes = malloc((v->count + (size_t)1) * sizeof *nodes);
    struct ring          *ring;
    size_t                count = 0;

    if (!nodes) {
        return NULL;
    }
    for (uint16_t i = 0; i < v->count; i++) {
        const struct ring_op *op = ring_ops_find(ops, v->node[i].info.id);

        if (v->node[i].in_ring) {
            nodes[count++] = (struct ring_node){ .id = op->node, .host = op->host,
                                                 .port = op->client_port, .weight = op->weight,
                                                 .zone = op->zone, .index = i };
        }
    }
    ring = ring_new(v->placement, placement ? placement->replicas : 1, nodes, count);
    free(nodes);
    return ring;
}

/* True if two views have one ring: the same facts, about nodes of the same indices. */
static bool
ring_is_same(const struct view *a, const struct view *b)
{
    if (a->ring_digest != b->ring_digest || a->ring_ops != b->ring_ops || a->count != b->count) {
        return false;
    }
    for (uint16_t i = 0; i < a->count; i++) {
        if (a->node[i].info.id != b->node[i].info.id) {
            return false;
        }
    }
    assert(a->placement == b->placement && a->ring_stamp == b->ring_stamp);
    return true;
}

/* Takes over the rings of the view before, and that one's own if it is another by now. */
static void
past_extend(struct view *v, const struct view *before)
{
    v->ring_number = before->ring_number;
    v->past_lost = before->past_lost;
    for (; v->past_count < before->past_count; v->past_count++) {
        v->past[v->past_count] = before->past[v->past_count];
        ring_hold(v->past[v->past_count].ring);
    }
    if (before->ring_digest == v->ring_digest && before->ring_ops == v->ring_ops) {
        return;
    }
    v->ring_number = v->number;
    if (v->past_count == VIEW_PAST_MAX) {
        v->past_lost = true;
        return;
    }
    v->past[v->past_count++] = (struct view_past){
        .ring = ring_hold(before->ring), .self = before->self, .until = v->number
    };
}

/* -- the view ---------------------------------------------------------------------------------- */

struct view *
view_next(const struct view *before, uint64_t number, node_id self,
          const struct view_node *members, size_t count, const struct ring_ops *ops)
{
    const struct ring_op *placement = ring_ops_find(ops, 0);
    size_t room = count + ring_ops_count(ops);
    struct view *v;

    assert(count <= CLUSTER_MEMBERS_MAX && room < VIEW_NOBODY);
    v = calloc(1, sizeof *v + room * sizeof *v->node);
    if (!v) {
        return NULL;
    }
    v->number = number;
    v->ring_ops = ring_ops_count(ops);
    v->ring_digest = ring_ops_digest(ops);
    v->ring_stamp = latest_stamp(ops);
    v->placement = placement ? (enum ring_placement)placement->placement : RING_NATIVE;
    for (size_t i = 0; i < count; i++) {
        v->node[i] = members[i];
    }
    v->count = (uint16_t)count;
    qsort(v->node, v->count, sizeof *v->node, order_by_id);
    nodes_add_unknown(v, ops);
    qsort(v->node, v->count, sizeof *v->node, order_by_id);
    nodes_judge(v, ops);
    v->self = view_find(v, self);
    v->ring = before && ring_is_same(before, v) ? ring_hold(before->ring) : ring_over(v, ops);
    if (!v->ring) {
        view_free(v);
        return NULL;
    }
    v->ring_number = number;
    if (before) {
        past_extend(v, before);
    }
    return v;
}

struct view *
view_swept(const struct view *before, uint64_t number)
{
    size_t size = sizeof *before + before->count * sizeof before->node[0];
    struct view *v = malloc(size);

    if (v) {
        memcpy(v, before, size);
        v->number = number;
        v->past_count = 0;
        v->past_lost = false;
        ring_hold(v->ring);
    }
    return v;
}

void
view_lose_past(struct view *v)
{
    v->past_lost = true;
    v->ring_number = v->number;
}

uint64_t
view_owned_since(const struct view *v, struct slice key, uint64_t hash)
{
    if (v->past_lost) {
        return v->ring_number; /* it may have been another's until then */
    }
    for (uint16_t i = v->past_count; i > 0; i--) {
        const struct view_past *past = &v->past[i - 1];

        if (past->self == VIEW_NOBODY || ring_owner(past->ring, key, hash) != past->self) {
            return past->until;
        }
    }
    return 0;
}

struct view *
view_new(uint64_t number, node_id self, const struct view_node *members, size_t count,
         const struct ring_ops *ops)
{
    return view_next(NULL, number, self, members, count, ops);
}

void
view_free(struct view *v)
{
    if (!v) {
        return;
    }
    for (uint16_t i = 0; i < v->past_count; i++) {
        ring_free(v->past[i].ring);
    }
    ring_free(v->ring);
    free(v);
}

uint16_t
view_find(const struct view *v, node_id id)
{
    return node_find(v, v->count, id);
}
