/*
 * paths.h - the ways between the machines of a simulation, their faults, and datagrams on them.
 *
 * A machine is a number, its "site"; the last one stands for all clients.  A path is one way: what
 * is lost, late or blocked from a to b says nothing about b to a.
 */
#pragma once
#include "base/rng.h"
#include "vocab/cluster.h"
#include "world.h"

#define SITES_MAX 13 /* 12 nodes, and the clients */

struct path {
    usec_t delay;     /* at least */
    usec_t jitter;    /* and up to so much more */
    double loss;      /* share of packets; of a stream each costs a time-out */
    double duplicate; /* share of datagrams */
    double reorder;   /* share of datagrams that are overtaken */
    unsigned blocks;  /* reasons for which nothing gets through */
};

struct tcp;
struct tcp_end;
struct datagram;

/* What a machine does with what comes. */
struct site {
    bool powered;   /* false: nothing answers, not even to refuse */
    bool listening; /* false: connections are refused, datagrams dropped */
    void (*datagram)(void *arg, unsigned from, struct slice bytes);
    void (*accept)(void *arg, struct tcp_end *end, int port);
    void *arg;
};

struct paths {
    struct world *world;
    struct rng rng;
    unsigned count; /* sites */
    struct site site[SITES_MAX];
    struct path path[SITES_MAX][SITES_MAX];
    struct datagram *datagrams; /* in flight */
    struct tcp *streams;
    unsigned squeeze; /* bytes that a stream may have under way, instead of its usual window; 0 */
    uint64_t sent, lost; /* datagrams */
    unsigned open;       /* streams */
};

void paths_init(struct paths *p, struct world *w, unsigned sites);
/* Streams and datagrams that are left are dropped. */
void paths_fini(struct paths *p);

/* How long one packet takes. */
usec_t path_delay(struct paths *p, unsigned from, unsigned to);
static inline bool
path_is_blocked(const struct paths *p, unsigned from, unsigned to)
{
    return p->path[from][to].blocks > 0;
}
/* True once in so many, by chance. */
bool paths_chance(struct paths *p, double share);

void paths_datagram(struct paths *p, unsigned from, unsigned to, struct slice bytes);

/* Node i as gossip names it, and back; SITES_MAX: nobody's. */
struct cluster_addr site_addr(unsigned site);
unsigned site_of(const struct cluster_addr *addr);
