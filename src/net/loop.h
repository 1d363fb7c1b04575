/*
 * loop.h - one thread's event loop: libev, and the time of day read once a turn.
 *
 * A turn is: wait for events, read the clock, serve what is ready, then run the
 * jobs that were put off in this turn or the one before.  While jobs wait, the
 * next turn does not sleep; so somebody with a lot to do yields without starving
 * the others and without an idle watcher.
 *
 * Threads: loop_init() and loop_fini() while no other thread uses the loop;
 * everything else belongs to the thread that calls loop_run(), except where
 * "any thread" is written.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Something to be done after the ready events were served.  A zeroed one is idle. */
struct loop_job {
    struct loop_job *next, *prev; /* prev is NULL while idle */
    void (*run)(struct loop_job *job);
};

struct loop {
    struct ev_loop *ev;
    usec_t          now; /* time of day of this turn */
    /*
     * Called after the wait and before the first event, with the time of day;
     * returns the time that shall count in this turn.  May be NULL.
     */
    usec_t (*turn)(void *arg, usec_t now);
    /* Called at the end of each turn.  May be NULL. */
    void (*turn_end)(void *arg);
    void            *arg;  /* of both; kept */
    struct loop_job  jobs; /* head of a ring */
    struct ev_check  check;
    struct ev_async  wake;
    _Atomic bool     stop;
};

/* Fails with ERR_NOMEM if the kernel gives no epoll or event descriptor. */
MUST_CHECK err_t loop_init(struct loop *l);
/* Every watcher must be stopped already. */
void loop_fini(struct loop *l);

/* Serves events until loop_stop(). */
void loop_run(struct loop *l);
/* Ends loop_run() after its current turn.  Any thread. */
void loop_stop(struct loop *l);
/* Makes the loop run a turn, even if nothing is ready.  Any thread. */
void loop_wake(struct loop *l);

/* Runs the job once, after the events of this turn.  A job that waits already keeps its place. */
void loop_defer(struct loop *l, struct loop_job *job);
/* Forgets a waiting job; an idle one is fine. */
void loop_cancel(struct loop_job *job);

/* "libev-4.33", static. */
const char *loop_library(void);
