/*
 * gossip.h - the node among others: its cluster port, and what drives its view of the cluster.
 *
 * One port, by UDP for gossip and by TCP for whole states, probes and the data links of other
 * nodes' workers, which are greeted here and handed to our own workers (daemon/talks.h).  Seeds are
 * looked up in a thread of their own (daemon/seeds.h).  What is decided is decided by node/control.
 *
 * Main thread, except where said.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stdio.h>

struct gossip;
struct loop;
struct node;
struct settings;
struct workers;

/* True if the settings make the node one of a cluster. */
bool gossip_wanted(const struct settings *s);

struct gossip_config {
    struct node    *node; /* kept */
    struct loop    *loop; /* main's; kept */
    unsigned        client_port; /* TCP port where clients are served; 0: none */
    /* This node has looked for others and has its place: clients may come.  Called once. */
    void          (*up)(void *arg);
    /* It has left, and has told; called after gossip_leave(). */
    void          (*left)(void *arg);
    void           *arg; /* kept */
};

/*
 * Binds the cluster port at each address that clients are served at, and finds out by which address
 * others reach this node: that may take a second if it depends on how a seed's name is resolved.
 * Gives.
 */
MUST_CHECK err_t gossip_new(const struct gossip_config *config, struct gossip **ret,
                             struct err_detail *d);
/* Writes "CLUSTER: PORT".  NULL is fine. */
void gossip_write_ports(const struct gossip *g, FILE *out);

/* Begins to gossip; views go to these workers, as do the data links of others.  Keeps workers. */
void gossip_start(struct gossip *g, struct workers *workers);
/*
 * Gives up the node's place and tells the others; config.left is called when they know it, or at
 * once if there are none.  Again: nothing.
 */
void gossip_leave(struct gossip *g);
/* Closes every socket; nothing is called any more.  Before the workers end.  NULL is fine. */
void gossip_stop(struct gossip *g);
/* Frees it and all views.  With the workers gone and the node freed.  NULL is fine. */
void gossip_free(struct gossip *g);

/*
 * A data link has heard of a node (on), or has given it up.  Any thread, from gossip_start() until
 * the workers have ended; NULL is fine.  Too many at once are forgotten.
 */
void gossip_evidence(struct gossip *g, node_id id, bool on);
