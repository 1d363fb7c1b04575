/*
 * ring.h - who owns a key: the set of facts that nodes agree on, and the table made from it.
 *
 * struct ring_ops is the replicated set (grow-only, last writer wins for each node); struct ring is
 * an immutable table for look-ups.  Two nodes with equal digests give every key the same owners in
 * the same order, on all kinds of machines: what is reckoned is reckoned in integers, and in
 * ketama.h in floats that are rounded after every step.
 *
 * Placements:
 *   native            4,096 partitions (the hash's top 12 bits), weighted rendezvous with a cap of
 *                     1.10 times the fair share, owners in distinct zones as far as there are any
 *   ketama-weighted   libmemcached's MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED: md5 points, md5 keys
 *   ketama-oat        libmemcached's MEMCACHED_BEHAVIOR_KETAMA: 100 points, one_at_a_time
 * In the ketama placements the nodes' order, which ties depend on, is that of (host, port).
 */
#pragma once
#include "base/err.h"
#include "base/slice.h"
#include "vocab/cluster.h"

/* -- the set ----------------------------------------------------------------------------------- */

#define RING_OPS_MAX   (CLUSTER_MEMBERS_MAX + 1) /* facts: about nodes, and the placement */
#define RING_STAMP_MAX (INT64_MAX / 2) /* a later one is refused: any can be raised above */

struct ring_ops;
struct ring_ops *ring_ops_new(void);
void ring_ops_free(struct ring_ops *o);
/*
 * Takes a fact in, without the fields that its kind does not have.  True if it was news (it
 * replaced another, or is the first about its node).  False too if it cannot be one (no such kind,
 * placement or number of replicas, no node, an impossible stamp), if the set is full, or without
 * memory: the set is unchanged then, and whoever lacks a fact is told again by the next push/pull.
 *
 * In a full set the end of a place that is longest ago makes room, or nodes that come and go would
 * fill it for ever; a fact of an end that is longer ago still is none then.
 */
bool ring_ops_merge(struct ring_ops *o, const struct ring_op *op);
uint32_t ring_ops_count(const struct ring_ops *o);
/* The same for equal sets, whatever order they were merged in; 0 for the empty one. */
uint64_t ring_ops_digest(const struct ring_ops *o);
/* The i-th, for i below the count; in the order of node ids, the placement first if there is one.
 * Lent until the next merge. */
const struct ring_op *ring_ops_at(const struct ring_ops *o, size_t i);
/* The fact about a node (0: the placement), or NULL.  Lent until the next merge. */
const struct ring_op *ring_ops_find(const struct ring_ops *o, node_id node);

/* -- the table --------------------------------------------------------------------------------- */

#define RING_NOBODY      0xffffu
#define RING_CAP_PERCENT 110 /* native: of its fair share of partitions, what a node gets at most */

struct ring_node {
    node_id     id;
    const char *host;   /* borrowed for ring_new() */
    uint16_t    port;   /* of clients */
    uint16_t    weight; /* 0: owns nothing */
    const char *zone;   /* borrowed; "" is a zone like any other */
    uint16_t    index;  /* what look-ups answer with for this node; no two have the same one */
};

/* Immutable: look-ups by any thread. */
struct ring;
/* NULL without memory.  count may be 0: nobody owns anything.  The nodes' order does not matter.
 * Gives. */
struct ring *ring_new(enum ring_placement placement, unsigned replicas,
                      const struct ring_node *nodes, size_t count);
/* One more user: it takes one more ring_free().  Of the thread that frees. */
struct ring *ring_hold(struct ring *r);
void ring_free(struct ring *r);

/* The first owner's index, or RING_NOBODY.  hash: XXH3 of the key. */
uint16_t ring_owner(const struct ring *r, struct slice key, uint64_t hash);
/* All owners, the first first; returns how many (at most the replicas asked for, fewer if there are
 * fewer nodes). */
unsigned ring_owners(const struct ring *r, struct slice key, uint64_t hash,
                     uint16_t ret[CLUSTER_OWNERS_MAX]);
/* Share of the hash space that a node is the first owner of, 0..1. */
double ring_share(const struct ring *r, uint16_t index);
/* Points of a ring of ketama's; native: CLUSTER_PARTITIONS; 0: nobody owns anything. */
size_t ring_points(const struct ring *r);
