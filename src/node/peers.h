/*
 * peers.h - all data links of one worker: made and dropped as the view says, timed, and gone
 * through at the end of a turn.  No socket; link.h says how the driver moves their bytes.
 *
 *     worker_turn() adopts a view -> for each link of peers_next(): link_wants() -> connect
 *     a turn's events; each link_rx() -> peers_next_answered() -> push
 *     at its end: peers_next_dirty() -> write; peers_next_answered() -> push
 *     when peers_due() is over: peers_tick() -> the same again
 *
 * Struct peers is open to node/ only.  All calls: the worker's thread.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include "cluster/view.h"
#include "node/link.h"
#include "node/session.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

struct peers {
    struct worker     *worker;
    struct rng         rng;
    struct link       *first;    /* all links */
    struct link      **at;       /* by their places in the view; NULL: this node, or none */
    unsigned           at_count;
    struct link       *making;   /* those that have a frame in the making */
    struct link       *news_at;  /* where peers_take_evidence() goes on; NULL: at the first */
    struct link       *dirty;    /* those that peers_next_dirty() will name */
    struct dialog     *answered; /* those that peers_next_answered() will name */
    struct dialog     *answered_last;
    struct request   **request;  /* all of them, by index */
    uint32_t           request_count;
    struct request    *request_spare;
    struct outbox_pool pool;
    char              *rx;       /* WORKER_RX_BYTES: what links read, one at a time */
    usec_t             due;      /* when peers_tick() is to be called */
    usec_t             retry_second; /* in which the next two were counted */
    unsigned           retries, asked;
};

/* NULL without memory; the worker keeps it.  seed: of jitter. */
struct peers *peers_new(struct worker *w, uint64_t seed);
/* Sessions that wait have been freed by then.  NULL is fine. */
void peers_free(struct peers *p);

/*
 * The worker's view is another: links to new nodes appear; those to nodes that are off it are over
 * (link_is_over), and freed by link_down().  Called by worker_turn().
 */
void peers_view(struct peers *p, const struct view *v, usec_t now);

/* -- for the driver ---------------------------------------------------------------------------- */

/* The next link after the given one (NULL: the first), or NULL. */
struct link *peers_next(struct peers *p, struct link *after);
/* A link that has something to send and is up; each is named once a turn.  NULL: no more. */
struct link *peers_next_dirty(struct peers *p);
/*
 * A session that has got answers, or may go on: its driver pushes it (sends; session_resume() if it
 * has work).  Each is named once.  NULL: no more.
 */
struct session *peers_next_answered(struct peers *p);

/* When peers_tick() is to be called next; it changes as requests are made.  p may be NULL. */
usec_t peers_due(const struct peers *p);
/* Time-outs, pings, connections that are due.  Sessions may have got answers. */
void peers_tick(struct peers *p, usec_t now);

/*
 * A member that was heard of (on), or given up (!on), since the last call; false: none.  For
 * control_heard() and control_doubted(); good news at most twice a second for each member.
 */
bool peers_take_evidence(struct peers *p, usec_t now, node_id *ret_id, bool *ret_on);

/* -- for node/link.c and node/forward.c -------------------------------------------------------- */

/* The link to the node at this place of the view, or NULL. */
static inline struct link *
peers_at(const struct peers *p, uint16_t place)
{
    return p && place < p->at_count ? p->at[place] : NULL;
}

/* The link has a frame in the making: peers_finish() will end it. */
static inline void
peers_making(struct peers *p, struct link *l)
{
    if (!l->is_making) {
        l->is_making = true;
        l->making_next = p->making;
        p->making = l;
    }
}
/* Ends all frames that are being made. */
void peers_finish(struct peers *p);

/* A zeroed request with an id; NULL: no memory. */
struct request *peers_request_new(struct peers *p);
/* It is on no list any more. */
void peers_request_free(struct peers *p, struct request *r);
/* The request with this id, or NULL if it is over. */
struct request *peers_request(const struct peers *p, uint64_t id);

/* The dialog got answers.  Its session will be named. */
void peers_answered(struct peers *p, struct dialog *d);
/* What is lent to them out of a link's input is copied: that input goes. */
void peers_keep_answers(struct peers *p);
/* Its session goes: it is not to be named. */
void peers_unanswered(struct peers *p, struct dialog *d);
/* False: so many breakers are open that the fault is rather ours. */
bool peers_may_open(const struct peers *p);
/* True if one more may be tried again, and counts it: a tenth of what is asked may be. */
bool peers_may_retry(struct peers *p);
/* Frees a link that is down. */
void peers_remove(struct peers *p, struct link *l);
