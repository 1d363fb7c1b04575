/*
 * workers.h - the threads that serve clients: one loop, one node worker, its clients and its links
 * to other nodes each.
 *
 * Main thread, except where said.
 */
#pragma once
#include "base/err.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stdint.h>

struct client;
struct node;
struct udp;
struct workers;

struct workers_config {
    struct node *node;
    unsigned     count; /* 1..NODE_WORKERS_MAX */
    struct udp  *udp;   /* its sockets are taken */
    /* A client is gone.  Called in a worker's thread. */
    void (*left)(void *arg);
    /* node->request is set: look at it.  Called in a worker's thread, after its turn. */
    void (*requested)(void *arg);
    /* A data link heard of another node (on), or gave it up.  Called in a worker's thread; may be
     * NULL. */
    void (*evidence)(void *arg, node_id id, bool on);
    void        *arg;   /* of all three */
};

/* Makes and starts them, named mp-worker-0 and so on; all signals are blocked there.  Gives. */
MUST_CHECK err_t workers_start(const struct workers_config *config, struct workers **ret,
                               struct err_detail *d);

/*
 * Hands a client to the next worker in turn.  Takes *c on success.  False: that worker's mailbox is
 * full.
 */
MUST_CHECK bool workers_deal(struct workers *w, struct client **c);
/* The same to worker number index, whose turn it may not be. */
MUST_CHECK bool workers_deal_to(struct workers *w, unsigned index, struct client **c);

/* Makes the workers whose bit is set run a turn.  Any thread, while they run. */
void workers_wake(struct workers *w, uint64_t set);

/*
 * Ends the threads and closes all connections.  Gracefully: what has arrived is
 * answered first, also by other nodes, for at most WORKERS_GRACE_SECONDS.  Frees.  NULL is fine.
 */
#define WORKERS_GRACE_SECONDS 5
void workers_stop(struct workers *w, bool graceful);
