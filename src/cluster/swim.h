/*
 * swim.h - who is alive: SWIM with suspicion and Lifeguard, as a pure state machine.
 *
 * swim_step() is the only way in and struct swim_out the only way out.  The module never reads a
 * clock, a socket or a random device: a test drives a whole cluster in one process and a seed
 * repeats any run.
 *
 * Sources: Das, Gupta, Motivala, "SWIM" (2002); Dadgar, Phillips, Currey, "Lifeguard" (2018).
 * A helper's nack comes after 0.8 of the probe's time-out, so that it arrives in time.  A dead
 * member is asked again for as long as it is remembered, and seeds for ever, so that the halves of
 * a cluster find each other again however long they were apart.
 *
 * Two nodes with one id (two addresses, two nonces): the later run, whose nonce is greater, is not
 * believed unless the earlier is dead for 5 s or has left.  A new run at the same address replaces
 * the earlier at once.
 *
 * Costs: 32 bytes for a member and what is kept of its description, 6 to 12 more for looking it up
 * and for probing it once in a round; a step that only looks at the time takes the same time
 * however many members there are.
 *
 * One owner thread.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "vocab/cluster.h"

#define SWIM_AWARENESS_MAX 7
#define SWIM_SEEDS_MAX     256

struct swim;

struct swim_config {
    struct member_info self;       /* incarnation as to begin with */
    uint64_t seed;                 /* of its random choices */
    usec_t   probe_interval;       /* 400 ms (wan: x 5) */
    usec_t   probe_timeout;        /* 200 ms; at most half of the interval */
    usec_t   gossip_interval;      /* 100 ms */
    usec_t   sync_interval;        /* 15 s: push/pull; longer above 32 members */
    usec_t   rejoin_interval;      /* 10 s, +-50 % */
    usec_t   remember;             /* 72 h: dead members are asked again for so long */
    unsigned indirect;             /* 3: helpers asked to ping */
    unsigned fanout;               /* 3: members told in each gossip round */
    unsigned alpha, beta;          /* 4, 6: suspicion lasts alpha * max(1, log10 n) intervals at
                                      least, and awareness + 1 times as long; beta times at most */
    unsigned retransmit;           /* 4: times ceil(log10(n + 1)) */
    /* Lifeguard's parts, each of which a simulation may turn off. */
    bool     no_awareness;         /* probes do not slow down when this node seems slow */
    bool     no_confirmation;      /* suspicion always lasts its least time (plain SWIM) */
    bool     no_buddy;             /* a suspect is not told first by who pings it */
    bool     no_doubt;             /* deaths are declared even if it doubts itself */
    bool     no_tcp;               /* probes do not fall back to TCP */
    bool     no_haste;             /* a rumour waits for the next of regular rounds of gossip, as
                                      memberlist's do, even if there was nothing to tell lately */
    /*
     * Where descriptions of members are kept.  share() gives a copy of *info that does not change
     * until release(), or NULL without memory.  Both NULL: each has its own on the heap; a
     * simulation lets thousands of nodes share them.
     */
    const struct member_info *(*share)(void *arg, const struct member_info *info);
    void (*release)(void *arg, const struct member_info *info);
    void    *share_arg;            /* kept */
};
/* Everything but self and seed. */
void swim_config_defaults(struct swim_config *c);

enum swim_event_kind {
    SWIM_TICK,
    SWIM_PACKET,   /* from, addr, message[count]: a datagram came; GOSSIP_RING in it is ignored */
    SWIM_STATE,    /* likewise: the whole state of another (push/pull) came.  Whoever is asked
                      steps before it writes its answer: that then has what it refuted */
    SWIM_TCP_ACK,  /* id: answered a probe by TCP */
    SWIM_HEARD,    /* id: sent us something on a data link */
    SWIM_DOUBT,    /* id: does not answer on a data link: probe it at once */
    SWIM_SEED,     /* addr: a place where a member may be; those given before stay.  At most
                      SWIM_SEEDS_MAX */
    SWIM_SEEDS_FORGET, /* those given before are forgotten: the list is read again */
    SWIM_INFO,     /* info: this node has another phase, weight or ring; id, nonce and incarnation
                      in it do not matter */
    SWIM_LEAVE,    /* this node leaves; goes on telling until the caller stops calling */
};

struct swim_event {
    enum swim_event_kind         kind;
    node_id                      from; /* who sent the packet */
    node_id                      id;
    struct cluster_addr          addr;
    const struct member_info    *info;
    const struct gossip_message *message; /* borrowed */
    size_t                       count;
};

/* Something to send by UDP; as many datagrams as the caller needs for it (one, mostly: swim keeps
 * to GOSSIP_PACKET_MAX by gossip_size()). */
struct swim_send {
    struct cluster_addr          addr;
    const struct gossip_message *message;
    size_t                       count;
};

/* A change of what is held of a member. */
enum swim_change_kind {
    SWIM_JOINED,    /* first heard of */
    SWIM_CHANGED,   /* says something else of itself: phase, weight, address */
    SWIM_SUSPECTED,
    SWIM_REFUTED,   /* a suspect is alive */
    SWIM_DIED,
    SWIM_RETURNED,  /* was dead or had left, is alive */
    SWIM_LEFT,
    SWIM_FORGOTTEN, /* not asked for any more */
    SWIM_ACCUSED,   /* this node was suspected, or held dead, and refuted it */
    SWIM_CONFLICT,  /* two nodes have one id (it may be this one's); addr: of the one that is not
                       believed, of the other one if it is this node's.  Told every 10 s at most */
    SWIM_REFUSED,   /* there are CLUSTER_MEMBERS_MAX already */
};

struct swim_change {
    enum swim_change_kind kind;
    node_id               id;
    node_id               from;  /* SUSPECTED, DIED, ACCUSED: who says so; RETURNED: id if it had
                                    left, 0 if it was dead */
    struct cluster_addr   addr;
    bool                  is_dead; /* ACCUSED: held dead, and not only suspected */
};

/* What the caller must do after a step.  Lent until the next one. */
struct swim_out {
    const struct swim_send   *send;
    size_t                    send_count;
    const struct swim_change *change;
    size_t                    change_count;
    /* Exchange the whole state with these by TCP: members, or seeds that nobody is known at. */
    const struct cluster_addr *sync;
    size_t                    sync_count;
    /* Ask these by TCP whether they are there: SWIM_TCP_ACK. */
    const struct swim_tcp { node_id id; struct cluster_addr addr; } *tcp;
    size_t                    tcp_count;
    /*
     * Call with SWIM_TICK no later than this.  If a step comes later by more than a probe_interval,
     * this node was stopped, not the others: all judgements wait for as much longer.
     */
    usec_t                    wake_at;
};

/* NULL without memory.  Gives. */
struct swim *swim_new(const struct swim_config *config, usec_t now);
void swim_free(struct swim *s);
/* Fails with ERR_NOMEM alone; what could be done was done, and *out says it. */
err_t swim_step(struct swim *s, const struct swim_event *ev, usec_t now, struct swim_out *out);

/* One member as it is held. */
struct swim_member {
    const struct member_info *info; /* lent until the next step */
    enum member_state         state;
    usec_t                    since;
};
/* All members, this node first, in no order: i from 0; false behind the last. */
bool swim_member_at(const struct swim *s, size_t i, struct swim_member *ret);
bool swim_member_find(const struct swim *s, node_id id, struct swim_member *ret);
/* How many are neither dead nor gone, this node included. */
size_t swim_alive(const struct swim *s);
/* Lifeguard's score, 0 (healthy) to 7. */
unsigned swim_awareness(const struct swim *s);
/* True if this node had better not judge others: its own score is 4 or more, or over half of its
 * peers seem to be gone at once. */
bool swim_doubts_itself(const struct swim *s);
/*
 * The i-th message of the whole state, for push/pull: ALIVE with the state held, for each member;
 * only SUSPECT or DEAD of one whose description is older than what is held against it.  False
 * behind the last.
 */
bool swim_state_at(const struct swim *s, size_t i, struct gossip_message *ret);
/*
 * Equal at two nodes that hold the same of all members that are not dead (who, incarnation): they
 * need no push/pull.
 */
uint64_t swim_digest(const struct swim *s);
/* Spreads something that is not about members (GOSSIP_RING) along with the rumours.  Copies.
 * A newer one about the same node replaces it.  out->wake_at counts it after the next step only. */
err_t swim_spread(struct swim *s, const struct gossip_message *m);
