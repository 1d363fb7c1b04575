/*
 * lane.h - one thread's share of a load: its connections, what it asks on them, and when.
 *
 * What is asked comes from one of three sources: the mix of the plan, every key once (prefill), or
 * a trace.  When: closed, a connection sends its next request as soon as it has fewer than depth
 * under way; or open, requests are due at moments that do not depend on the server, wait for
 * a connection with room if there is none, and their latency counts from when they were due.
 */
#pragma once
#include "bench/conn.h"
#include "bench/counters.h"
#include "bench/pace.h"
#include "bench/plan.h"
#include "bench/result.h"
#include "bench/trace.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LANE_FOR_EVER INT64_MAX

/* What the lanes of a load have in common; nothing changes while they run. */
struct lane_team {
    const struct plan *plan;
    const struct keys *keys;
    struct counters   *counters;  /* NULL: not verified */
    unsigned           count;     /* of lanes */
    nsec_t             begin;     /* about when the first request is sent; then warm-up */
    nsec_t             measure;   /* what is answered from here on is counted */
    nsec_t             end;       /* or LANE_FOR_EVER */
    bool               fills;     /* stores every key once, and is over */
    int                stop_fd;   /* readable: stop now */
    int                done_fd;   /* eventfd: gets one from each lane that is over */
};

/* A zeroed one may be closed. */
struct lane {
    struct lane_team  *team;
    unsigned           index;     /* of team->count */
    pthread_t          thread;    /* for the owner */
    struct conn_pool   pool;
    struct rng         rng;
    struct pace        pace;
    struct trace      *trace;
    struct trace_record record;   /* of the trace, the next one */
    uint64_t           record_hash;
    bool               has_record, has_base;
    nsec_t             base;      /* time of the trace's first record */
    uint64_t           left;      /* requests still to be made */
    uint64_t           fill_next, fill_end; /* keys or counters to be stored; see plan.h */
    bool               exhausted; /* there is nothing more to ask */
    bool               stopped;   /* from outside */
    int                timer_fd;
    nsec_t             timer_at;  /* when it wakes us; 0: never */
    struct conn       *ready_first, *ready_last; /* open loop: connections with room */
    struct conn      **dirty;     /* have something to send */
    unsigned           dirty_count;
    struct load_result result;
    struct err_detail  detail;
    err_t              error;
    nsec_t             began, ended; /* measured */
    nsec_t             cpu;       /* of this thread meanwhile */
};

/* Connects.  index is below team->count; keeps team. */
MUST_CHECK err_t lane_open(struct lane *l, struct lane_team *team, unsigned index);
void lane_close(struct lane *l);
/* Makes the load: error, result and times are set when it returns.  Takes and gives a lane. */
void *lane_run(void *lane);
