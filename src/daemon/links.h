/*
 * links.h - the connections of one worker to the other nodes: sockets on one side, node/link.h on
 * the other.
 *
 * Every worker calls every other node for itself, so that a command that belongs elsewhere crosses
 * no thread.  What came in a turn for a node leaves at its end in one write.  All calls: that
 * worker's thread, except links_init().
 */
#pragma once
#include "base/clock.h"
#include "net/loop.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stdint.h>

#define LINKS_CALL_TIMEOUT USEC_PER_SEC /* until the greeting is answered */
#define LINKS_CALLS_MAX    32           /* under way at once: who calls a thousand nodes queues */
/* Bytes that the kernel may hold without having sent them, at both ends of a link: a frame that is
 * short waits for no more of the long values in front of it. */
#define LINKS_UNSENT_MAX   (128 << 10)

struct session;
struct wire;
struct worker;

struct links_config {
    struct worker *worker; /* kept */
    struct loop   *loop;   /* kept */
    /* This session has something to send, or takes input again: run a turn of it, which ends with
     * session_park(). */
    void         (*push)(struct session *s);
    /* A node was heard of (on), or does not answer.  May be NULL. */
    void         (*evidence)(void *arg, node_id id, bool on);
    void          *arg;    /* kept */
};

struct links {
    struct links_config config;
    struct wire     *first; /* a list, in no order */
    unsigned         calls;  /* under way */
    bool             queued; /* some could not be begun because of LINKS_CALLS_MAX */
    struct ev_timer  timer;  /* makes the loop run a turn, no more */
    usec_t           timer_at;    /* 0: it is not armed */
    usec_t           evidence_at; /* next look for some */
    uint64_t         view;   /* number of that which was looked at */
};

void links_init(struct links *all, const struct links_config *config);
/*
 * The turn is over: calls nodes that are new, writes what is to be sent, pushes sessions that were
 * answered.  On a node that is alone: nothing.
 */
void links_turn_end(struct links *all);
/* Closes everything at once.  The sessions should be gone: what they wait for is given up. */
void links_fini(struct links *all);
