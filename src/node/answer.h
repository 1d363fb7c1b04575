/*
 * answer.h - replies on their way out: written behind each other into the worker's send buffer,
 * then queued.
 *
 * The replies of one turn lie side by side in w->tx and become one segment of the session's queue;
 * large values are queued by reference between them.  The session whose replies lie there holds the
 * worker's buffers (w->holder).  All calls: the worker's thread.
 */
#pragma once
#include "base/err.h"
#include "node/txq.h"
#include "node/worker.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/*
 * Bytes that must be free in the buffer before a command is executed: head and tail of any reply,
 * and the largest value that the store hands out as a copy.
 */
#define ANSWER_ROOM (PROTO_HEAD_MAX + PROTO_TAIL_MAX + 8192u)

/*
 * Bytes: a session that owes its client this much takes no more input until some of it is sent.
 * Values that are sent from the slab count with their size.  The reply to one command may overshoot
 * it.
 */
#define ANSWER_QUEUE_MAX (1u << 20)

/* What stands in front of an answer's value (all of it, without one), and behind it; bytes. */
size_t answer_head(const struct command *c, const struct reply *r, char *out);
size_t answer_tail(const struct command *c, const struct reply *r, char *out);

/*
 * Answers that other nodes owe one client at a time: more of them, and it waits.
 */
#define ANSWER_HOLES_MAX 256u

/* True if one more command may be answered now. */
static inline bool
answer_has_room(const struct worker *w, const struct txq *q)
{
    return WORKER_TX_BYTES - w->tx_used >= ANSWER_ROOM && q->holes < ANSWER_HOLES_MAX &&
           q->bytes + (w->tx_used - w->tx_queued) < ANSWER_QUEUE_MAX;
}

/* Writes the answer to one command (for which there was room); r->pinned is taken.  False: no
 * memory, the connection cannot go on. */
MUST_CHECK bool answer_write(struct worker *w, struct txq *q, const struct command *c,
                             const struct reply *r);
/* Puts what was written into the queue.  False: no memory. */
MUST_CHECK bool answer_queue(struct worker *w, struct txq *q);
/* The buffer is empty again: everything in it was sent, kept elsewhere or thrown away. */
void answer_reset(struct worker *w);
