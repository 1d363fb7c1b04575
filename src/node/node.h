/*
 * node.h - the node as a value: what its workers share.
 *
 * Made once by the daemon (or a test); workers and sessions keep a pointer to
 * it.  No socket, no clock, no thread of its own.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/spin.h"
#include "vocab/metrics.h"
#include "vocab/settings.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store;
struct conns;
struct peer_rows;
struct prefixes;
struct watches;
struct view;
struct worker;

#define NODE_WORKERS_MAX 64
#define NODE_FENCES      64 /* rings whose beginning is remembered */

/* The newest version that was written here before a ring, see strays.h. */
struct strays_fence {
    uint64_t ring_number;
    uint64_t version;
};

/* What a command asked of the process; the daemon looks at it after each turn and at least once a
 * second. */
enum node_request { NODE_REQUEST_NONE, NODE_REQUEST_STOP, NODE_REQUEST_STOP_GRACEFUL };

/* Facts about the process that "stats" shows and only the daemon knows. */
struct node_facts {
    int64_t     pid;
    usec_t      start;            /* time of day */
    const char *event_library;    /* e.g. "libev 4.33" */
    unsigned    reserved_fds;
    /* CPU used so far; called by "stats".  May be NULL. */
    void (*cpu)(usec_t *ret_user, usec_t *ret_system);
};

struct node {
    struct settings      *settings;   /* LIVE values are read as they are now */
    struct store         *store;
    struct conns         *conns;      /* node/conns.h */
    struct peer_rows     *peer_rows;  /* node/peer_rows.h: "stats peers" */
    struct prefixes      *prefixes;   /* node/prefixes.h: "stats detail" */
    struct watches       *watches;    /* node/watch.h: "watch" */
    struct node_facts     facts;
    struct worker        *workers[NODE_WORKERS_MAX];
    unsigned              worker_count;
    struct metrics        shared;     /* the row of the main thread: accepts, refusals */
    struct metrics        upkeep;     /* the row of the upkeep thread */
    struct metrics_sum    baseline;   /* of "stats reset"; under baseline_lock */
    _Atomic int           baseline_lock;
    _Atomic(struct view *) view;      /* NULL: the node is alone.  See worker_turn() */
    _Atomic uint64_t      upkeep_seen; /* number of the view that the upkeep thread uses */
    struct strays_fence   fence[NODE_FENCES]; /* by ring_number; under fence_lock */
    struct spin           fence_lock;
    _Atomic uint64_t      swept;      /* ring_number for which strays were looked for */
    _Atomic int           request;    /* enum node_request */
    _Atomic int           accepting;  /* 1 while listeners accept */
    _Atomic int64_t       clock_shift; /* usec; debugtime: see node_time() */
    _Atomic int64_t       clock_held;  /* usec_t; debugtime stopped the clock here; 0: it runs */
};

/* Makes a node: the store, the registries.  Takes nothing, keeps settings.  Gives. */
struct node *node_new(struct settings *settings, const struct node_facts *facts, usec_t now,
                      struct err_detail *d);
void node_free(struct node *n);

/* The next worker; NULL without memory.  Kept and freed by the node. */
struct worker *node_add_worker(struct node *n);

/* The time of day that the node believes in, when really it is now: see debugtime.  Any
 * thread. */
static inline usec_t
node_time(const struct node *n, usec_t now)
{
    usec_t held = atomic_load_explicit(&n->clock_held, memory_order_relaxed);

    return held != 0 ? held : now + atomic_load_explicit(&n->clock_shift, memory_order_relaxed);
}

/* Tells the store what the LIVE settings are now; to be called after one of its own has changed.
 * Any thread. */
void node_tune(struct node *n);

/* Sums all rows.  Any thread. */
void node_metrics(struct node *n, struct metrics_sum *ret);
