/*
 * udp.h - the node's UDP sockets: at each address one for each worker.
 *
 * memcached has its threads receive from one socket; here each worker has its own (SO_REUSEPORT),
 * so that none wakes for another's request, and the requests of one sender are served in order.
 *
 * struct udp: main thread.  struct udp_desk: its worker's thread once that runs.
 */
#pragma once
#include "base/err.h"
#include "node/conns.h"
#include "node/node.h"
#include <stddef.h>
#include <stdio.h>

#define UDP_PLACES_MAX 64

struct loop;
struct session;
struct udp_seat;
struct worker;

/* One address; its sockets wait for their workers. */
struct udp_place {
    struct conn_addr local;
    int              fd[NODE_WORKERS_MAX]; /* -1: a worker has it */
};

/* A zeroed one is closed. */
struct udp {
    struct node      *node; /* kept */
    unsigned          workers;
    struct udp_place *place;
    size_t            count;
};

/* Binds what the settings name, which may be nothing.  On failure nothing is open. */
MUST_CHECK err_t udp_open(struct udp *u, struct node *n, struct err_detail *d);
/* Writes "UDP INET: PORT" and the like, a line for each address. */
void udp_write_ports(const struct udp *u, FILE *out);
/* Closes what no worker has; twice is fine. */
void udp_close(struct udp *u);

/* Where one worker serves.  A zeroed one has nothing to do. */
struct udp_desk {
    struct worker   *worker;
    struct udp_seat *seat;
    size_t           count;
};

/* Takes the worker's sockets and begins to serve; before the worker's thread runs. */
MUST_CHECK err_t udp_start(struct udp_desk *desk, struct udp *u, struct worker *w,
                           struct loop *loop);
/* Runs a turn of the socket whose session got answers of other nodes. */
void udp_push(struct session *s);
/* Closes them, whatever they wait for; twice is fine. */
void udp_stop(struct udp_desk *desk);
