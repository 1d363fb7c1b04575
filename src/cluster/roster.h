/*
 * roster.h - the members that a node knows, found by their id, and the order in which they are
 * probed.  Private to cluster/swim.
 *
 * A member has an index, which stays until another is removed.  The round is a list of those
 * that may be probed, shuffled each time it is through, so that each is probed once in a round and
 * nobody can say when.
 *
 * One owner thread.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include "vocab/cluster.h"

#define ROSTER_NONE 0xffffu

struct member {
    const struct member_info *info;      /* what it said of itself last */
    usec_t                    since;     /* of its state */
    uint32_t                  ahead;     /* its incarnation, as others speak of it, is so much
                                            greater than that of info */
    uint32_t                  heard;     /* on a data link, in units of 1,024 us; it wraps */
    uint16_t                  suspicion; /* slot, if it is a suspect */
    uint16_t                  rumour;    /* slot, if there is one about it */
    uint8_t                   state;     /* enum member_state */
    uint8_t                   skips;     /* times that it was not probed, having been heard */
    uint8_t                   in_round;  /* bool: the round has it */
};

/* Where descriptions are kept; see struct swim_config. */
struct roster_share {
    const struct member_info *(*share)(void *arg, const struct member_info *info);
    void (*release)(void *arg, const struct member_info *info);
    void *arg;
};

struct roster {
    struct member      *at;
    size_t              count, capacity;
    uint16_t           *table; /* of ids: indices of members, ROSTER_NONE where there is none */
    size_t              mask;
    uint64_t            salt;  /* so that nobody can choose ids that collide */
    uint16_t           *round;
    size_t              round_count, round_capacity;
    size_t              round_at;
    struct roster_share store;
};

/* A copy of a description to keep, or NULL without memory; and giving it back. */
const struct member_info *roster_share(const struct roster *r, const struct member_info *info);
void roster_release(const struct roster *r, const struct member_info *info);

void roster_init(struct roster *r, const struct roster_share *store, uint64_t salt);
void roster_fini(struct roster *r);
/* The index of a member, or ROSTER_NONE. */
uint16_t roster_find(const struct roster *r, node_id id);
/* Takes the description, which must be of nobody here.  ROSTER_NONE: no memory, it was released. */
uint16_t roster_add(struct roster *r, const struct member_info *info, usec_t now);
/*
 * Removes a member; the last one gets its index.  The round follows; whatever else has an index
 * must be told: *ret_moved is the index that the last one had.
 */
void roster_remove(struct roster *r, uint16_t index, uint16_t *ret_moved);
/* Puts a member at a random place of the round, if it is not there.  False: no memory. */
bool roster_round_add(struct roster *r, uint16_t index, struct rng *rng);
/* The next of the round: one that is alive or suspected.  ROSTER_NONE: there is none. */
uint16_t roster_round_next(struct roster *r, struct rng *rng);

static inline uint64_t
member_incarnation(const struct member *m)
{
    return m->info->incarnation + m->ahead;
}

static inline bool
member_is_here(const struct member *m)
{
    return m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT;
}
