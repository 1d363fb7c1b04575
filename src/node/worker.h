/*
 * worker.h - what one worker thread owns: its handle on the store, its counters, its large buffers.
 *
 * The buffers are shared by all sessions of the worker, one at a time: see session.h.  Open to
 * node/ and its drivers; all fields belong to the worker's thread, metrics and holder may be read
 * by any.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "node/node.h"
#include "node/txq.h"
#include "proto/text.h"
#include "store/store.h"
#include "vocab/command.h"
#include "vocab/reply.h"

#define WORKER_RX_BYTES (64u << 10)  /* room for one read */
#define WORKER_TX_BYTES (256u << 10) /* replies of one turn; a full one ends the turn's parsing */

struct dump;    /* node/dump.h */
struct peers;   /* node/peers.h */
struct pending; /* node/pending.h */
struct watcher; /* node/watch.h */

/* Where a command of the batch began, should it have to be parsed again. */
struct worker_mark {
    struct slice       in;
    struct text_parser parser;
    uint16_t           place; /* of the node that executes it, in the view; ROUTE_HERE: this one */
};

/* Of a command that is observed: what it found, and what became of a value it brought. */
struct worker_sight {
    bool             looked;     /* the next three say something */
    enum store_found found;
    uint8_t          class_id;
    uint32_t         value_len;
    bool             stored;     /* it was a storing command, and the next four say something */
    enum reply_code  status;
    const char      *command;    /* memcached's word for what it was */
    uint8_t          new_class;
    uint32_t         new_len;    /* bytes of the value, with what it was joined to */
    uint32_t         ttl;        /* seconds, 0: for ever */
};

/* What a command may want to know of the connection it came on. */
struct worker_client {
    int               fd;  /* -1: none is known */
    bool              is_datagram; /* nobody is there to send more to, once it is answered */
    const struct txq *out; /* replies that wait */
};

#define WORKER_DETAIL 0x80000000u /* bit of observed beside those of enum watch_stream */

struct worker {
    struct node      *node;
    unsigned          index;
    struct store_ctx *ctx;
    struct metrics    metrics;
    usec_t            now;      /* of this turn */
    const struct view *view;    /* of the cluster, as of this turn; NULL: the node is alone */
    struct peers     *peers;    /* links to the other nodes; NULL until there is a view */
    _Atomic uint64_t  view_seen; /* number of the view in use: older ones may be freed */
    char             *rx;       /* WORKER_RX_BYTES, and 8 bytes of slack behind */
    char             *tx;       /* WORKER_TX_BYTES */
    size_t            tx_used;  /* bytes of tx that hold replies of the holder */
    size_t            tx_queued; /* the first so many of them are in its queue */
    _Atomic(struct session *) holder; /* see worker_holder() */
    struct worker_client client; /* whose commands are executed */
    struct command    batch[BATCH_MAX];
    struct worker_mark marks[BATCH_MAX]; /* of the batch */
    struct buf        blob;     /* RPL_BLOB answers are built here; who sends them takes it */
    struct txq_pool   txq;      /* spare segments of reply queues */
    struct pending   *pending_spare;
    unsigned          pending_spare_count;
    unsigned          observed; /* by whom, as of the last worker_look(); 0: by nobody */
    struct worker_sight sight;  /* of the command in work, if it is observed */
    struct watcher   *made_watcher; /* RPL_WATCHING: taken by the session that answers it */
    struct dump      *made_dump;    /* RPL_DUMPING: likewise */
    struct session   *watching;     /* list of sessions that watch */
};

/* A worker of the node, which keeps it: called by node_add_worker() and node_free().  NULL without
 * memory. */
struct worker *worker_new(struct node *n, unsigned index);
/* Its sessions are gone by then.  NULL is fine. */
void worker_free(struct worker *w);

/* Whose bytes lie in rx and tx, or NULL.  Any thread; session.c asserts on it and sets it. */
static inline struct session *
worker_holder(const struct worker *w)
{
    return atomic_load_explicit(&w->holder, memory_order_relaxed);
}

static inline void
worker_set_holder(struct worker *w, struct session *s)
{
    atomic_store_explicit(&w->holder, s, memory_order_relaxed);
}

/* True if replies to earlier commands of the client wait to be sent. */
static inline bool
worker_owes(const struct worker *w)
{
    return w->client.out->bytes > 0 || w->client.out->holes > 0 || w->tx_used > w->tx_queued;
}

/* Tells the worker (and its store ctx) the time of day, and adopts the node's newest view. */
void worker_turn(struct worker *w, usec_t now);
/* Looks who observes; once a turn is often enough. */
void worker_look(struct worker *w);
