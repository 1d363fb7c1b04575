/*
 * door.h - where clients come in: the listeners, and how many may be inside.
 *
 * Over the limit (-c) a newcomer is told so and sent away (maxconns_fast), or
 * waits in the kernel's backlog until somebody leaves.  The same wait is the
 * answer when the system has no descriptors left.
 *
 * Main thread, except door_left().
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "net/listener.h"
#include "net/napi.h"
#include "node/conns.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DOOR_LISTENERS_MAX 64

struct node;
struct workers;

struct door {
    struct node     *node;    /* kept */
    struct loop     *loop;    /* main's; kept */
    struct workers  *workers; /* kept; from door_start() on */
    struct listener  listener[DOOR_LISTENERS_MAX];
    struct conn_addr local[DOOR_LISTENERS_MAX];
    struct conn_row *row[DOOR_LISTENERS_MAX];
    size_t           count;
    struct ev_timer  retry;       /* after a shortage that is not our own doing */
    struct napi      napi;        /* -N: who has which network queue */
    bool             retry_due;
    bool             starved;     /* said so in the log */
    int64_t          left_before; /* value of left when accepting was paused */
    usec_t           paused_at;
    _Atomic int64_t  inside;      /* connections, those on their way to a worker included */
    _Atomic int64_t  left;        /* connections that are gone, ever */
    _Atomic bool     paused;
};

/*
 * Binds everything the settings name, or takes the sockets that a service manager
 * holds for us instead.  On failure nothing is open.
 */
MUST_CHECK err_t door_open(struct door *door, struct node *n, struct loop *loop,
                           struct err_detail *d);
/* The first TCP port that is bound; 0: there is none. */
unsigned door_port(const struct door *door);
/* Writes "TCP INET: PORT" and the like, a line for each address. */
void door_write_ports(const struct door *door, FILE *out);

/* Lets clients in. */
void door_start(struct door *door, struct workers *workers);
/* After a door_left(): lets clients in again if they had to wait. */
void door_check(struct door *door);
/* A client is gone.  Any thread. */
void door_left(struct door *door);
/* Stops listening; twice is fine. */
void door_close(struct door *door);
