/*
 * worker.h - what one worker thread owns: its handle on the store, its counters, its large buffers.
 *
 * The buffers are shared by all sessions of the worker, one at a time: see session.h.  Open to
 * node/ and its drivers; all fields belong to the worker's thread, the metrics may be read by any.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "node/node.h"
#include "store/store.h"
#include "vocab/command.h"

#define WORKER_RX_BYTES (64u << 10)  /* room for one read */
#define WORKER_TX_BYTES (256u << 10) /* replies of one turn; a full one ends the turn's parsing */

struct worker {
    struct node      *node;
    unsigned          index;
    struct store_ctx *ctx;
    struct metrics    metrics;
    usec_t            now;      /* of this turn */
    char             *rx;       /* WORKER_RX_BYTES, and 8 bytes of slack behind */
    char             *tx;       /* WORKER_TX_BYTES */
    struct session   *holder;   /* whose bytes lie in rx and tx, or NULL: session.c asserts on it */
    struct session   *current;  /* whose command is being executed: "stats conns" and "quit" want it */
    struct command    batch[BATCH_MAX];
    struct buf        blob;     /* RPL_BLOB answers are built here; moved to the session when it sends them */
    bool              detail;   /* "stats detail" is on: prefixes are counted */
};

/* Tells the worker (and its store ctx) the time of day. */
void worker_turn(struct worker *w, usec_t now);
