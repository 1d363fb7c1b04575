/*
 * control_impl.h - what the three files of control share: its state, and the lists it keeps.
 *
 * control.c has the packets, the views and what the driver calls; control_ring.c has what this node
 * decides about the ring; control_sync.c has what is said in push/pull.
 */
#pragma once
#include "base/rng.h"
#include "cluster/ring.h"
#include "cluster/swim.h"
#include "node/control.h"
#include <stdlib.h>

/* Something that grows; items is of whatever type. */
struct control_list {
    void  *items;
    size_t count, cap;
};

#define CONTROL_ASKED_MAX 16 /* calls under way that are remembered; others are not made again */

struct control {
    const struct settings *settings;
    struct metrics        *metrics;
    struct rng             rng;
    struct swim           *swim;
    struct ring_ops       *ops;
    struct member_info     self; /* as swim was told last */
    uint16_t               label;
    uint64_t               sequence; /* of the packet sent last */
    bool                   joined;   /* another's whole state was seen */
    bool                   leaving;
    bool                   doubts;
    usec_t                 join_until;
    usec_t                 taken_until; /* another node that is alive has our id, as of late */
    bool                   taken;       /* that is not over */
    /* The ring. */
    uint64_t digest; /* of all facts */
    usec_t ring_changed_at, tell_next, resync_next, forget_next, defend_next;
    usec_t forget_spread;
    usec_t due;         /* when the driver was asked to call, last */
    usec_t learned_at;  /* when another's news of the ring came last */
    usec_t away_until;  /* it was stopped, or others held it dead: rings may have come and gone */
    bool   ring_missed; /* ... and did: what it holds may be older than what others were told */
    struct control_list absent; /* struct absent */
    /* Views. */
    struct view *view;       /* the last one; the driver's own once it was given */
    bool         view_given; /* to the driver */
    bool         view_stale;
    usec_t       view_next;  /* not earlier than this */
    /* Notes that a flood could make many of. */
    usec_t stranger_next, bad_next, conflict_next, accused_next, refused_next;
    bool   members_moved; /* the gauges are to be counted again */
    /* What the driver is asked to do after this call. */
    struct buf  bytes;  /* of the datagrams, one behind the other */
    struct control_list send;   /* struct control_datagram */
    struct control_list sync;   /* struct cluster_addr */
    struct control_list tcp;    /* struct swim_tcp */
    struct control_list note;   /* struct control_note */
    usec_t      wake_at;   /* of what is not swim's */
    usec_t      swim_wake;
    /* Push/pull. */
    struct cluster_addr asked[CONTROL_ASKED_MAX]; /* called with a digest alone; port 0: none */
    unsigned            asked_next;  /* to be overwritten */
    struct cluster_addr tell;        /* to be told all with the next call; port 0: none */
    bool                digest_came; /* with the state that came last, and is not answered yet */
    uint64_t            their_digest, their_ring_digest;
    /* Of the packet in work. */
    struct control_list message; /* struct gossip_message */
    struct control_list info;    /* struct member_info */
};

/* -- control.c --------------------------------------------------------------------------------- */

/* One step of swim; what it wants is kept in our own lists, for there may be more steps. */
void control_feed(struct control *c, const struct swim_event *ev, usec_t now);

/* It may have been away: what is learned of the ring in the next time may be old news. */
void control_was_away(struct control *c, usec_t now);

/* -- control_ring.c ---------------------------------------------------------------------------- */

/* Another's word: it is taken in if it is news. */
void control_ring_learn(struct control *c, const struct ring_op *op, usec_t now);
/* Takes a node off the ring; the stamp is raised above that of the fact that it ends. */
void control_ring_remove(struct control *c, node_id id, usec_t stamp, usec_t now);
/* Since when a node with a place in the ring is gone, or INT64_MAX if it is not. */
usec_t control_ring_gone(struct control *c, node_id id, usec_t now);
/* Tells swim what this node says of itself now. */
void control_ring_tell(struct control *c, usec_t now);
/* Another's state says that a node which began before this one has its id, and is alive. */
void control_ring_taken(struct control *c, usec_t now);
/* All that is due: joins, keeps the own place, forgets, agrees with others. */
void control_ring_step(struct control *c, usec_t now);
void control_ring_init(struct control *c, usec_t now);

/* -- control_sync.c ---------------------------------------------------------------------------- */

/* A state begins to be read, or was answered. */
void control_sync_begin(struct control *c);
/* Its sender's digest. */
void control_sync_digest(struct control *c, const struct gossip_message *m);
/* What was read is merged, and is what they answered: calls again if they lack something. */
void control_sync_answered(struct control *c, const struct cluster_addr *from);

/* True if the driver calls so late that this node must have been stopped. */
static inline bool
control_is_late(const struct control *c, usec_t now)
{
    return c->due != 0 && now - c->due > USEC_PER_SEC;
}

/* -- small things ------------------------------------------------------------------------------ */

/* Room for one more item of that size behind the last, counted already; NULL without memory. */
static inline void *
control_list_add(struct control *c, struct control_list *l, size_t size)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        void *items = realloc(l->items, cap * size);

        if (!items) {
            metric_add(c->metrics, M_MALLOC_FAILS, 1);
            return NULL;
        }
        l->items = items;
        l->cap = cap;
    }
    return (char *)l->items + size * l->count++;
}

/* A time of the profile "lan" in the profile of this node. */
static inline usec_t
control_scale(const struct control *c, usec_t lan)
{
    switch ((enum settings_profile)c->settings->cluster.gossip_profile) {
    case SETTINGS_PROFILE_LAN:
        return lan;
    case SETTINGS_PROFILE_WAN:
        return 5 * lan;
    case SETTINGS_PROFILE_LOCAL:
        return 2 * lan / 5;
    }
    return lan;
}

static inline void
control_gauge_set(struct control *c, enum metric id, int64_t value)
{
    metric_add(c->metrics, id, value - metric_get(c->metrics, id));
}

static inline void
control_wake_by(struct control *c, usec_t at)
{
    if (at < c->wake_at) {
        c->wake_at = at;
    }
}

/* NULL without memory: what happened is not told then, but done. */
static inline struct control_note *
control_note_add(struct control *c, enum control_note_kind kind)
{
    struct control_note *n = control_list_add(c, &c->note, sizeof *n);

    if (n) {
        *n = (struct control_note){ .kind = kind };
    }
    return n;
}
