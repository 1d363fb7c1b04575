/*
 * swarm.h - many struct swim in one process, on simulated links, in virtual time.
 *
 * Datagrams pass as values, counted as the bytes that proto/gossip would write, or really as bytes
 * (config.codec).  A node that is stopped, or whose I/O is blocked, finds at the end what its
 * sockets kept meanwhile.
 *
 * The same config and plan give the same run; its hash says so.
 */
#pragma once
#include "cluster/swim.h"
#include "events.h"
#include "fault.h"
#include "wire.h"
#include <stdarg.h>
#include <stdio.h>

#define SWARM_START ((usec_t)1764000000 * USEC_PER_SEC) /* time of day when a run starts */
#define SWARM_PORT  11311
#define SWARM_QUEUE 256 /* datagrams that a socket keeps, each way */

struct swarm;

struct packet {
    struct packet *next;
    uint32_t from, to;
    node_id  from_id;
    uint64_t asked; /* TCP_PING: who is meant; PULL: not 0: it answers a digest alone */
    enum packet_kind {
        PACKET_UDP,
        PACKET_SYNC, /* a connection for push/pull: a digest, or nothing yet if there are none */
        PACKET_WANT, /* on it, if there are none: greetings */
        PACKET_PUSH, /* a whole state: on it, or, if there are digests, a connection */
        PACKET_PULL, /* the answer: a whole state, or a digest alone: of the same */
        PACKET_TCP_PING,
        PACKET_TCP_ACK,
    } kind;
    uint32_t count;
    uint32_t bytes;
    struct gossip_message message[];
};

struct packets {
    struct packet *first, **last;
    unsigned count;
};

struct sim_node {
    struct swim *swim; /* NULL: does not run */
    bool     leaving;
    bool     left;      /* the last thing it did was to leave in peace */
    bool     started;   /* ever */
    unsigned io, stop;  /* how many faults block it; stop those that also stop its timers */
    unsigned runs;
    usec_t   wake_at;
    usec_t   timer_at;  /* the next event of a timer in the heap; INT64_MAX: none */
    unsigned same_time; /* ticks without time passing */
    usec_t   last_tick;
    struct packets in, out; /* kept by its sockets */
    /* What it sent. */
    uint64_t sent, sent_bytes;           /* datagrams */
    uint64_t stream_bytes, connections;  /* TCP */
    uint64_t messages[GOSSIP_DIGEST + 1];
};

/* What a run counts. */
struct swarm_figures {
    uint64_t events, datagrams, lost;
    uint64_t suspicions, deaths, refuted, returned, accused;
};

struct swarm_config {
    unsigned nodes;
    uint64_t seed;
    struct swim_config swim; /* of every node but for self and seed */
    bool   joining;          /* the first three are known at the start, and nobody else */
    bool   codec;
    bool   digests;          /* push/pull is that of src/node/control_sync.c, of members alone;
                                without, whole states are exchanged each time */
    bool   own_infos;        /* each node keeps descriptions of its own */
    bool   check;            /* safety after every step; for small swarms */
    double loss;
    FILE  *trace;            /* NULL: none */
    /* Told of every change that a node sees.  Must not step. */
    void (*on_change)(struct swarm *w, unsigned observer, const struct swim_change *c);
    /* Called when an event added by swarm_call() is due. */
    void (*on_call)(struct swarm *w, uint64_t number);
    void *ctx;
};

struct swarm {
    struct swarm_config config;
    struct events events;
    struct wire wire;
    struct rng rng;
    usec_t now; /* since the start */
    struct sim_node *node;
    struct plan plan; /* a copy; zeroed without one */
    struct infos *infos;
    struct safety *safety;
    struct swarm_figures figures;
    uint64_t hash;
    char failed[512]; /* not empty: what was violated first; the run has ended */
};

/*
 * Nodes begin at once and know each other, or at moments within the first probe interval if they
 * have to join.  plan may be NULL.
 */
void swarm_init(struct swarm *w, const struct swarm_config *config, const struct plan *plan);
void swarm_fini(struct swarm *w);
/* Until that moment, or until something is violated. */
void swarm_run(struct swarm *w, usec_t until);
/* on_call() with this number at that moment. */
void swarm_call(struct swarm *w, usec_t at, uint64_t number);

/* What a call may do to a node.  behind: how much its clock is. */
void swarm_crash(struct swarm *w, unsigned node);
void swarm_restart(struct swarm *w, unsigned node, usec_t behind);
void swarm_leave(struct swarm *w, unsigned node);
void swarm_change(struct swarm *w, unsigned node);

node_id swarm_id(unsigned node);
/* The number of a node; `of` and more: none of ours. */
unsigned swarm_node(node_id id);
struct cluster_addr swarm_addr(unsigned node);
bool swarm_runs(const struct swarm *w, unsigned node);
/* True if all running nodes hold the same, and it is true.  If not, says into why what differs. */
bool swarm_agrees(const struct swarm *w, char *why, size_t size);
/* Ends the run, unless it has failed already. */
void __attribute__((format(printf, 2, 3))) swarm_fail(struct swarm *w, const char *fmt, ...);

/* The parameters of a profile. */
void profile_config(struct swim_config *c, enum plan_profile p);

/* The same member_info for the same content, valid for the whole run.  Gives NULL for none. */
const struct member_info *infos_keep(struct infos *t, const struct member_info *info);
struct infos *infos_new(void);
void infos_free(struct infos *t);
