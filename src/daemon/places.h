/*
 * places.h - the sockets of the cluster port: UDP and TCP, at each address that clients are served
 * at.
 *
 * Main thread.
 */
#pragma once
#include "base/err.h"
#include "net/listener.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stddef.h>

#define PLACES_MAX     16
#define PLACE_RX_BYTES 2048 /* a longer datagram is none of ours */

struct places;
struct settings;

/* What the sockets tell their owner; arg is that of places_start(). */
struct places_ops {
    /* n bytes came, in places->rx; more than PLACE_RX_BYTES: not all of them are there. */
    void (*datagram)(void *arg, const struct cluster_addr *from, size_t n);
    /* As listener_ops says. */
    void (*accepted)(void *arg, int fd, const struct cluster_addr *from);
    void (*starved)(void *arg, int error);
};

/* One address. */
struct place {
    struct places      *all;
    int                 udp_fd; /* -1: closed */
    struct ev_io        udp;
    struct listener     tcp;
    struct cluster_addr local;
};

/* A zeroed one is closed. */
struct places {
    const struct settings   *settings; /* kept */
    struct loop             *loop;     /* NULL until places_start() */
    const struct places_ops *ops;
    void                    *arg;
    unsigned                 port;
    struct place             place[PLACES_MAX];
    size_t                   count;
    bool                     paused;   /* they do not accept until places_resume() */
    char                     rx[PLACE_RX_BYTES];
};

/*
 * Binds the port that the settings name: that many above the clients' if they name none.  On
 * failure nothing is open.  Keeps settings.
 */
#define PLACES_PORT_OFFSET 10000
MUST_CHECK err_t places_open(struct places *p, const struct settings *settings,
                             unsigned client_port, struct err_detail *d);
/* Begins to receive and to accept.  Keeps ops and arg. */
void places_start(struct places *p, struct loop *loop, const struct places_ops *ops, void *arg);
/* Sends a datagram; false: the system did not take it, or there is no place to send it from. */
bool places_send(struct places *p, const struct cluster_addr *to, const void *bytes, size_t n);
/* After starved(): accepts again. */
void places_resume(struct places *p);
/* Closes all; twice is fine. */
void places_close(struct places *p);

/* The address that we are bound to, not a loopback one if there is a choice; false: any will do. */
bool places_address(const struct places *p, struct cluster_addr *ret);
