/*
 * view.h - the cluster as a worker sees it: an immutable table of nodes and the ring over them.
 *
 * Control makes a view whenever a member or the ring changed and hands it to every worker; nothing
 * in it changes afterwards, so reading takes no lock.  Any thread.
 */
#pragma once
#include "base/slice.h"
#include "cluster/ring.h"
#include "vocab/cluster.h"

#define VIEW_NOBODY 0xffffu /* as an index of nodes */

struct view_node {
    struct member_info info;
    enum member_state  state;
    bool               in_ring;
    bool               acts;  /* may execute commands now: in the ring, UP, ALIVE or SUSPECT */
    usec_t             since; /* time of day at which the state began */
};

#define VIEW_PAST_MAX 8u

/* A ring that this node lived by since it last got rid of what belongs to others. */
struct view_past {
    struct ring *ring;
    uint16_t     self;
    uint64_t     until; /* ring_number of the ring that followed */
};

struct view {
    uint64_t          number;      /* rises from 1 */
    uint64_t          ring_number; /* that of the first view with this ring */
    uint32_t          ring_ops;
    uint64_t          ring_digest; /* two views with the same one agree on every owner */
    usec_t            ring_stamp;  /* the latest of the ring's facts */
    uint16_t          self;        /* index of this node; VIEW_NOBODY if it is no member */
    uint16_t          count;
    enum ring_placement placement;
    struct ring      *ring;        /* over the nodes in the ring; its indices are those of node[] */
    uint16_t          past_count;
    bool              past_lost;   /* ... is not known: too many of them, or view_lose_past() */
    struct view_past  past[VIEW_PAST_MAX];
    struct view_node  node[];      /* in the order of their ids */
};

/*
 * Makes a view of members: their info, state and since; the order does not matter, and no two have
 * one id.  A node that is in the ring but not among them appears as MEMBER_DEAD with the address
 * unknown (all zeroes).  Names, ports, weights and zones of the ring are those of its facts.
 * Without a fact about the placement it is native with one owner.  NULL without memory.  Gives.
 */
struct view *view_new(uint64_t number, node_id self, const struct view_node *members, size_t count,
                      const struct ring_ops *ops);
/*
 * The same, beside a view made earlier (may be NULL): what has not changed is not made again, so
 * that news of a member cost little where the ring is large.  The two share it and are freed in any
 * order, by one thread.
 */
struct view *view_next(const struct view *before, uint64_t number, node_id self,
                       const struct view_node *members, size_t count, const struct ring_ops *ops);
/* The same view with another number and no past: the node holds nothing that belongs to others. */
struct view *view_swept(const struct view *before, uint64_t number);
/*
 * This node was away for a while, and what rings the others lived by meanwhile is not known: all
 * that it holds is from before it became the owner, as far as it knows.
 */
void view_lose_past(struct view *v);
void view_free(struct view *v);

/* The index of a node, or VIEW_NOBODY. */
uint16_t view_find(const struct view *v, node_id id);

/*
 * Who executes commands on this key now: the first of its owners that acts; VIEW_NOBODY: none of
 * them does.  hash is store_hash(key), which is XXH3.
 */
static inline uint16_t
view_acting(const struct view *v, struct slice key, uint64_t hash)
{
    uint16_t owner[CLUSTER_OWNERS_MAX];
    unsigned n;

    owner[0] = ring_owner(v->ring, key, hash);
    if (__builtin_expect(owner[0] != VIEW_NOBODY && v->node[owner[0]].acts, 1)) {
        return owner[0];
    }
    n = ring_owners(v->ring, key, hash, owner);
    for (unsigned i = 0; i < n; i++) {
        if (v->node[owner[i]].acts) {
            return owner[i];
        }
    }
    return VIEW_NOBODY;
}

/* True if the ring has changed and what this node holds has not been gone through since. */
static inline bool
view_has_past(const struct view *v)
{
    return v->past_count > 0 || v->past_lost;
}

/*
 * The ring_number of the ring with which this node became the first owner of the key, for good so
 * far; 0: it has been that through all of the past.
 */
uint64_t view_owned_since(const struct view *v, struct slice key, uint64_t hash);
