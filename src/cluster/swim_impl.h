/*
 * swim_impl.h - the inside of swim, for the files that make it up.
 *
 *   swim.c        events, time, what the caller must do
 *   swim_hear.c   what others say of members, and what is held of them
 *   swim_probe.c  asking members whether they are there, for oneself and for others
 *   swim_join.c   whole states: seeds, push/pull, finding the dead again
 */
#pragma once
#include "cluster/roster.h"
#include "cluster/rumour.h"
#include "cluster/suspicion.h"
#include "cluster/swim.h"

#define NEVER          INT64_MAX
#define PROBES_MAX     4   /* at once: the first goes round, the others answer doubts */
#define HELPERS_MAX    8
#define RELAYS_MAX     64  /* pings for others at once */
#define DRAFTS_MAX     64  /* datagrams of one step */
#define ROOM_KEPT      256 /* entries of an array of the output that are kept for the next step */
#define SYNCS_MAX      4   /* whole states asked for in one step */
#define EAGER_MAX      3   /* new seeds asked at once, without waiting for the next rejoin */
#define SKIPS_MAX      3   /* rounds in which a member just heard is not probed */
#define DEAD_TOLD      (30 * USEC_PER_SEC) /* the dead hear gossip for so long */
#define CONFLICT_DEAD  (5 * USEC_PER_SEC)  /* who is dead for so long has lost its id */
#define CONFLICT_TOLD  (10 * USEC_PER_SEC)
#define DOUBT_SCORE    4   /* awareness at which a node does not trust itself */
#define DOUBT_WAITS    5   /* times the longest suspicion, before it judges all the same */
#define AHEAD_MAX      UINT32_MAX /* claims of an incarnation further ahead are not believed */
/* Of this node's own it believes more: its clock may stand at 1970, and have been right before. */
#define AHEAD_SELF_MAX (UINT64_C(1) << 36) /* 16ths of a second: 136 years */

/* A datagram to be, until the step ends: then it gets the rumours that fit. */
struct draft {
    struct cluster_addr to;
    enum gossip_kind    kind;   /* PING, PING_REQ, ACK, NACK, ALIVE (of this node), or 0: rumours
                                   only */
    uint32_t            seq;
    node_id             id;
    struct cluster_addr about;  /* PING_REQ */
    node_id             accuse; /* behind it: this one is suspected, or dead; or 0 */
    bool                dead;
    bool                bare;   /* no rumours: whoever is there may be no member */
    uint64_t            incarnation;
};

enum probe_phase { PROBE_FREE, PROBE_DIRECT, PROBE_INDIRECT };

struct probe {
    enum probe_phase phase;
    uint32_t         seq;
    node_id          id;
    usec_t           ask_at; /* DIRECT: when others are asked to ping it */
    usec_t           end_at; /* when it has failed */
    uint8_t          helpers;
    uint8_t          nacks;
    node_id          helper[HELPERS_MAX]; /* 0 once its nack came */
};

/* A ping for somebody else. */
struct relay {
    uint32_t            seq;  /* of our ping */
    uint32_t            seq_asked;
    node_id             asked_by;
    struct cluster_addr addr; /* of who asked */
    usec_t              nack_at, end_at;
};

struct seed {
    struct cluster_addr addr;
    uint16_t            member; /* who was there last, or ROSTER_NONE */
    bool                stale;  /* not in the list any more */
};

struct swim {
    struct swim_config config;
    struct rng         rng;
    usec_t             now;
    usec_t             wake_at;
    struct roster      roster; /* [0] is this node */
    struct suspicions  suspicions;
    struct rumours     rumours;
    size_t             state_count[MEMBER_LEFT + 1]; /* of the others */
    uint64_t           digest;
    unsigned           awareness;
    bool               leaving;
    bool               starved;   /* an allocation of this step failed */
    bool               lonely;    /* this step began without anybody else */

    struct probe       probe[PROBES_MAX];
    size_t             probes;    /* all from here on are free */
    usec_t             probe_at;  /* the next round of the first */
    uint32_t           seq;
    struct relay      *relay;
    size_t             relay_count, relay_capacity;
    usec_t             relay_at;  /* the first deadline among them */

    usec_t             gossip_phase; /* no_haste: rounds are at multiples of the interval from it */
    usec_t             gossip_last;  /* round */
    usec_t             gossip_at;    /* NEVER: nothing to tell, or nobody to tell it */
    usec_t             sync_at;
    usec_t             rejoin_at;
    usec_t             rejoin_wait;  /* while alone */
    usec_t             forget_at;
    unsigned           eager;        /* new seeds that may still be asked at once */
    struct seed       *seed;
    size_t             seed_count;
    struct { node_id id; usec_t until; } *fallen; /* who hears gossip though it is dead, in order */
    size_t             fallen_count, fallen_capacity;
    node_id            conflict;     /* told last */
    usec_t             conflict_at;
    bool               refused;      /* told in this step */

    struct draft          *draft;
    size_t                 draft_count, draft_capacity;
    struct swim_send      *send;
    size_t                 send_capacity;
    struct gossip_message *message;
    size_t                 message_count, message_capacity;
    struct swim_change    *change;
    size_t                 change_count, change_capacity;
    struct cluster_addr    sync[SYNCS_MAX];
    size_t                 sync_count;
    struct swim_tcp        tcp[PROBES_MAX];
    size_t                 tcp_count;
};

/* Room for one more of what *array holds; sets s->starved and returns false without memory. */
bool swim_room(struct swim *s, void *array, size_t *capacity, size_t count, size_t size);
/* A datagram with nothing in it yet, or NULL: no memory, or enough of them. */
struct draft *swim_draft(struct swim *s, const struct cluster_addr *to, enum gossip_kind kind);
void swim_tell(struct swim *s, enum swim_change_kind kind, node_id id, node_id from,
               const struct cluster_addr *addr);
/* Behind d: what is held of a member that will not like it. */
void swim_accuse(struct swim *s, struct draft *d, const struct member *m);
/* No rumours go with it unless it is sent to where that member is: an address is soon forged.  The
 * draft may be NULL. */
void swim_bare(const struct swim *s, struct draft *d, node_id id);
usec_t swim_vary(struct swim *s, usec_t around); /* +-50 % */

static inline struct member *
swim_self(const struct swim *s)
{
    return &s->roster.at[0];
}

/* Members that are alive or suspected, without this node. */
static inline size_t
swim_peers(const struct swim *s)
{
    return s->state_count[MEMBER_ALIVE] + s->state_count[MEMBER_SUSPECT];
}

static inline usec_t
swim_earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static inline bool
addr_equal(const struct cluster_addr *a, const struct cluster_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* -- swim_hear.c ------------------------------------------------------------------------------- */

void swim_hear_alive(struct swim *s, const struct member_info *info);
void swim_hear_suspect(struct swim *s, node_id id, uint64_t incarnation, node_id from);
void swim_hear_dead(struct swim *s, node_id id, uint64_t incarnation, node_id from);
/* What a member adds to the digest while it is alive or suspected. */
uint64_t swim_digest_part(const struct member *m);
/* This node seems slower (or healthier) by so much. */
void swim_score(struct swim *s, int delta);
/* Suspicions that are over. */
void swim_judge(struct swim *s);
/* Forgets the dead that are dead for too long. */
void swim_forget(struct swim *s);
void swim_member_forget(struct swim *s, uint16_t index);
/* Has a rumour about a member, in place of one that there may be. */
void swim_rumour(struct swim *s, uint16_t index, enum gossip_kind kind, node_id from);
/* This node says something new of itself: the description is *info, with an incarnation above
 * both ours and the one given. */
void swim_announce(struct swim *s, const struct member_info *info, uint64_t above);

/* -- swim_probe.c ------------------------------------------------------------------------------ */

void swim_probe_run(struct swim *s);
usec_t swim_probe_wake(const struct swim *s);
void swim_probe_shift(struct swim *s, usec_t by);
void swim_ping(struct swim *s, const struct swim_event *ev, const struct gossip_message *m);
void swim_ping_req(struct swim *s, const struct swim_event *ev, const struct gossip_message *m);
void swim_ack(struct swim *s, uint32_t seq);
void swim_nack(struct swim *s, uint32_t seq, node_id from);
void swim_heard(struct swim *s, node_id id, bool on_link);
void swim_doubt(struct swim *s, node_id id);

/* -- swim_join.c ------------------------------------------------------------------------------- */

void swim_join_init(struct swim *s);
void swim_join_run(struct swim *s);
usec_t swim_join_wake(const struct swim *s);
void swim_seed(struct swim *s, const struct cluster_addr *addr);
void swim_seeds_forget(struct swim *s);
/* A member got another index. */
void swim_join_moved(struct swim *s, uint16_t from, uint16_t to);
