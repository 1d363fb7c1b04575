/*
 * host.h - a simulated machine with one node on it: what daemon/ does with sockets, loops and
 * timers, done with simulated ones.
 *
 * A main loop (gossip, greetings, whole states) and a loop for each worker (clients, data links),
 * which take turns as those of libev do: what became ready meanwhile is worked off in one turn, in
 * any order, and what is to be sent goes out at its end.
 *
 * The machine has a clock of its own, with an offset and a drift.
 */
#pragma once
#include "node/node.h"
#include "node/strays.h"
#include "node/worker.h"
#include "paths.h"
#include "proto/peer.h"
#include "tcp.h"
#include "vocab/settings.h"

#define HOST_WORKERS_MAX 2
#define HOST_PORT_CLIENT 11211
#define HOST_PORT_PEER   11212
#define HOST_START       (INT64_C(1750000000) * USEC_PER_SEC) /* time of day at the start */

struct conn;
struct control;
struct control_out;
struct host;
struct host_packet;
struct link;
struct store_ctx;
struct view;
struct view_old;

/* What the simulation wants to know of all machines; one for all of them. */
struct host_ops {
    void *arg;
    /* The ring that this machine goes by is another. */
    void (*ring)(void *arg, struct host *h);
    /* A whole frame is about to leave on a data link (is_answer: on the serving side): it may be
     * changed in place, its header too.  Returns how many times it is sent. */
    unsigned (*frame)(void *arg, struct host *h, unsigned to, bool is_answer, char *bytes,
                      size_t len);
};

struct loop {
    struct host *host;
    unsigned index;        /* 0: main; then the workers from 0 */
    struct worker *worker; /* NULL: main */
    struct timer turn;     /* the next turn, if there is something to do */
    struct timer wake;     /* when it wishes to be called anyway */
    struct conn *ready, **ready_last;
    bool due; /* the wake timer ran */
};

struct host {
    struct world *world;
    struct paths *paths;
    const struct host_ops *ops;
    struct rng rng;
    unsigned index; /* its site */
    unsigned runs;  /* starts so far */
    unsigned worker_count;
    const char *const *options; /* "name=value", ended by NULL */
    unsigned seeds;             /* how many machines, from the first, are given as seeds */
    unsigned fixed; /* not 0: no gossip; so many machines are all there are, and always alive */
    unsigned weight;
    usec_t offset_max; /* of its clock, either way; drawn at each start */
    usec_t offset;
    double drift;    /* likewise: share */
    usec_t slowness; /* a turn starts up to so much late */
    bool running;
    bool leaving;
    unsigned stopped; /* reasons to do nothing at all */
    unsigned stalled; /* reasons to neither read nor write; timers run */
    usec_t started_at;
    usec_t able_at; /* since when it runs and none of those two is so */
    struct settings settings;
    struct node *node;
    struct control *control;
    struct metrics control_metrics;
    struct store_ctx *upkeep_ctx;
    struct timer upkeep, leave;
    struct strays_walk strays;
    uint64_t swept; /* ring_number that control was told of last */
    bool is_up;     /* it looked for others long enough: clients are let in */
    struct loop loop[1 + HOST_WORKERS_MAX];
    struct conn *conns;
    unsigned conn_count;
    unsigned next_worker;
    struct view_old *old_views;
    struct host_packet *packets, **packets_last; /* that came, the oldest first */
    unsigned packet_count;
    uint64_t ring_digest; /* of the view that was made last */
    uint64_t view_number;
    uint64_t notes[16]; /* what control told of, by kind */
};

void host_init(struct host *h, struct world *w, struct paths *p, unsigned index,
               const struct host_ops *ops);
/* Starts the process.  Settings, seeds and clock as they are set. */
void host_start(struct host *h);
/* Ends it; silent: the machine is without power until host_start(), and nobody is told. */
void host_crash(struct host *h, bool silent);
/* Leaves the cluster in peace; ends a second later. */
void host_leave(struct host *h);
void host_fini(struct host *h);

/* Faults begin (on) and end. */
void host_stop(struct host *h, bool on);
void host_stall(struct host *h, bool on);

usec_t host_now(const struct host *h);
bool host_is_able(const struct host *h);
/* The name of a node as settings have it, and its id. */
void host_name(unsigned index, char room[static 32]);
node_id host_id(unsigned index);
/* Of this run of its process. */
uint64_t host_nonce(const struct host *h);
int64_t host_metric(struct host *h, enum metric id);
/* Checks that queues keep to their bounds; says what does not, or NULL. */
const char *host_bounds(struct host *h);
/* What is held for users although there is none any more, or NULL. */
const char *host_leftovers(struct host *h);
/* Links of this machine to nodes that it holds for alive that are not in use: breaker open or
 * no connection. */
unsigned host_bad_links(struct host *h);
/* The machine that a worker belongs to. */
struct host *host_of(struct host *const *all, unsigned count, const struct worker *w);
