/*
 * link.h - one worker's data link to one node: frames of commands out, frames of answers in.
 *
 * A frame stays in its block of the outbox until all of its commands are answered, so that they can
 * be tried again, or excused in the client's own protocol, without a copy of their own.  Answers
 * are found by their frame's id, in any order.
 *
 * The driver keeps the connection and moves bytes as with a session:
 *
 *     link_wants -> connect, greet -> link_up
 *     link_rx_space -> read -> link_rx -> peers_next_answered(): push those sessions
 *     at the end of a turn, peers_next_dirty(): link_tx -> writev -> link_tx_done
 *
 * Answers are lent to the waiting sessions out of the worker's buffer for links: push those
 * sessions, which ends with session_park(), before the next link_rx_space().
 *
 * Struct link is open to node/ only.  All calls: the worker's thread.
 */
#pragma once
#include "base/clock.h"
#include "cluster/view.h"
#include "node/breaker.h"
#include "node/input.h"
#include "node/lane.h"
#include "node/outbox.h"
#include "node/peer_rows.h"
#include "vocab/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define LINK_QUEUE_MAX  (8u << 20) /* bytes that wait to be sent; more are refused */
#define LINK_FLIGHT_MAX 10000u     /* frames that wait for answers; more are refused */

struct dialog;
struct peers;
struct txq_segment;

/* A frame of commands of one session that waits for its answers. */
struct request {
    struct request      *next, *prev;  /* among the link's, the oldest first */
    struct request      *waiter_next;  /* among the waiter's */
    struct link         *link;
    struct dialog       *waiter;       /* NULL: it is gone, nobody wants the answers */
    struct outbox_block *block;        /* where the frame lies */
    uint32_t             at, len;      /* ... in the block, header included */
    uint32_t             index;        /* among the worker's requests */
    uint64_t             id;           /* index, and above it how often it was used */
    uint64_t             position;     /* of its first byte among all that the link sent */
    usec_t               deadline;
    uint16_t             count;        /* commands */
    uint16_t             missing;      /* those that are not answered */
    bool                 tried;        /* before: on this link, or on another */
    uint8_t              renewals;     /* of its deadline, because others were answered */
    bool                 may_retry;    /* decided by forward_lost() */
    uint64_t             begun;        /* bits of commands whose client has some of the answer: they
                                          can neither be excused nor asked for again */
    bool                 in_parts;     /* the value of its only command is in the lane */
    bool                 is_flush;     /* its answer only says whether it was done */
    struct request      *joiners;      /* those that wait for one of its answers as well */
    struct request      *join_next;    /* among such */
    uint16_t             join_index;   /* whose answer that is */
    bool                 is_joined;    /* it is one of those: on no link's list, and never sent, so
                                          that nobody answers it by its id */
    struct txq_segment  *hole[BATCH_MAX]; /* where each answer belongs; NULL: it is there */
};

#define LINK_RECENT 16u /* gets that others may join */

/* A plain get that is in the outbox. */
struct link_get {
    uint64_t hash;
    uint64_t id;    /* of its request */
    uint32_t at, n; /* its bytes in the request's frame, which may move */
    uint16_t index;
};

enum link_state { LINK_DOWN, LINK_DIALING, LINK_UP };

struct link {
    struct peers       *peers;
    struct link        *next;       /* among the worker's */
    struct link        *dirty_next;
    node_id             node;
    struct cluster_addr addr;
    uint64_t            nonce;      /* of the run of its process that is connected; 0: not known */
    void               *driver;
    enum link_state     state;
    bool                is_gone;    /* off the view */
    bool                is_bad;     /* its connection is to be closed: no pong, another address,
                                       a later run of the node, no memory for a long value */
    bool                stood;      /* it had a connection once */
    bool                is_dirty;   /* among those that peers_next_dirty() names */
    bool                news_good, news_bad; /* for peers_take_evidence() */
    struct breaker      breaker;
    unsigned            failures;   /* to connect, in a row */
    usec_t              dial_at;
    usec_t              heard;      /* when something came last */
    usec_t              parts_at;   /* when a part of a long answer came last */
    usec_t              pinged;     /* when a ping was sent that is not answered; 0: none */
    usec_t              told;       /* when the news were taken last */
    struct request     *first, *last; /* in flight */
    unsigned            flight;
    struct request     *making;     /* the frame that is being filled, or NULL */
    bool                is_making;  /* among those that peers_finish() goes through */
    struct link        *making_next;
    struct link_get     recent[LINK_RECENT]; /* by their hashes */
    struct outbox       out;
    uint64_t            position;   /* bytes put into the outbox, ever */
    bool                part_first; /* link_tx() named a part in front of the frames */
    struct lane         lane;
    struct input        in;
    struct peer_row    *row;        /* of "stats peers" */
};

/* NULL without memory. */
struct link *link_new(struct peers *p, const struct view_node *n, usec_t now);
/* Nothing may be in flight. */
void link_free(struct link *l);

/* -- for node/forward.c and node/peers.c ------------------------------------------------------- */

/* True if a command may be sent there now; false: it cannot, or the peer is not worth asking. */
bool link_lets(struct link *l, usec_t now);
/*
 * Room for n bytes more (PEER_COMMAND_MAX + PEER_INLINE_MAX at most) in the frame that is made
 * for this waiter; begins one if there is none, or that is full.  NULL: no memory.
 */
char *link_room(struct link *l, struct dialog *waiter, size_t n, usec_t now);
/* n bytes were written there: a command whose answer belongs in hole.  Returns its frame. */
struct request *link_add(struct link *l, size_t n, struct txq_segment *hole);
/* The frame that is being made is whole: it will be sent. */
void link_finish(struct link *l);
/* Takes a request off the link; it is not answered any more.  The caller frees it. */
void link_take_off(struct link *l, struct request *r);
/* It has another deadline. */
void link_renew(struct link *l, struct request *r, usec_t deadline);
/* True if a byte of its frame was sent already, so that it may have been executed. */
bool link_has_sent(const struct link *l, const struct request *r);
/* Sends the frame of a request of another link, or of the same before it failed, again. */
bool link_send_again(struct link *l, struct request *r);
/* It failed: hard if there can be no connection.  Its breaker may open. */
void link_failed(struct link *l, bool hard, usec_t now);
/* Tells "stats peers" how it is. */
void link_show(struct link *l, usec_t now);
/* Sends a ping; the pong says that the peer is there. */
bool link_ping(struct link *l, usec_t now);
/* Puts it among those that peers_next_dirty() names. */
void link_touch(struct link *l);

/* -- for the driver ---------------------------------------------------------------------------- */

node_id link_node(const struct link *l);
struct cluster_addr link_addr(const struct link *l);
/* The driver's own pointer. */
void link_set_driver(struct link *l, void *driver);
void *link_driver(const struct link *l);

/* True if it has no connection and it is time to make one. */
bool link_wants(const struct link *l, usec_t now);
/* The driver began to connect. */
void link_dialing(struct link *l, usec_t now);
/* The connection stands, its greeting was answered by the run of this nonce (0: not known). */
void link_up(struct link *l, uint64_t nonce, usec_t now);
/*
 * The connection ended, or could not be made: what is not answered is excused, or tried again.
 * Sessions may have got answers.  A link whose node is off the view is freed.
 */
void link_down(struct link *l, usec_t now);
/* The node is off the view, or does not answer pings: close the connection and call link_down(). */
bool link_is_over(const struct link *l);

/* Where the next bytes belong; {NULL, 0}: no memory.  Lent until link_rx(). */
struct iovec link_rx_space(struct link *l);
/* n bytes were read there.  False: what came is no answer; close the connection. */
MUST_CHECK bool link_rx(struct link *l, size_t n, usec_t now);
/* The turn is over: what is left of the input moves out of the worker's buffer.  False: no memory;
 * close the connection. */
MUST_CHECK bool link_park(struct link *l);
/* Up to max spans to send; lent until link_tx_done(). */
int link_tx(struct link *l, struct iovec *iov, int max);
void link_tx_done(struct link *l, size_t n);
