/*
 * txq.h - the replies of one connection that are still to be sent, in order.
 *
 * A queue of segments: bytes in a buffer of the worker (lent to the queue), bytes in heap blocks of
 * its own, and values that are sent from the slab without a copy (pinned items).  Segments come
 * from a pool of the worker, so a queue that empties within a turn allocates nothing.  Heap blocks
 * are for txq_keep(), which moves lent bytes there because the worker needs its buffer back, and
 * for values too large for that buffer; those of up to 16 KiB come from the pool, too, for a client
 * that waits for several nodes needs some for each request.
 *
 * A hole is the place of an answer that another node still owes: what stands behind it waits until
 * it is filled, and so does what stands before it, up to the last mark.  A mark is set where the
 * answers to one read of the client's end: they leave in one piece, as they do when no other node
 * is asked.  No socket: bytes leave by txq_iov() and txq_done().  All calls: the worker's
 * thread.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct txq_segment; /* txq.c */
struct txq_block;   /* txq.c */

#define TXQ_CLASSES 6 /* of blocks: 512 bytes, twice as many, and so on */

/* Spare segments and blocks of one worker. */
struct txq_pool {
    struct store_ctx   *ctx;   /* kept: pins are dropped through it */
    struct txq_segment *spare;
    size_t              spare_count;
    struct txq_block   *block[TXQ_CLASSES];
    unsigned            block_count[TXQ_CLASSES];
};

/* A zeroed struct is an empty queue. */
struct txq {
    struct txq_segment *first, *last;
    size_t              bytes;      /* to be sent, values included */
    size_t              lent_bytes; /* those among them that lie in the worker's buffer */
    size_t              heap_bytes; /* memory of its own: blocks, not segments, not items */
    size_t              holes;      /* not filled yet */
};

void txq_pool_init(struct txq_pool *p, struct store_ctx *ctx);
/* Frees what is spare; every queue has been dropped by then. */
void txq_pool_fini(struct txq_pool *p);

/*
 * Each of these puts n bytes behind what is queued; n may be 0.  False: no memory, and the queue is
 * as it was.
 */
/* Bytes lent until they are sent or txq_keep(). */
MUST_CHECK bool txq_lend(struct txq *q, struct txq_pool *p, const char *bytes, size_t n);
/* A copy of the bytes, in blocks of the queue's own. */
MUST_CHECK bool txq_copy(struct txq *q, struct txq_pool *p, const char *bytes, size_t n);
/* The whole of *b: taken if it succeeds, and *b is empty then. */
MUST_CHECK bool txq_give(struct txq *q, struct txq_pool *p, struct buf *b);
/* The value of a pinned item; the pin is taken, and dropped when the value is sent (on failure at
 * once). */
MUST_CHECK bool txq_pin(struct txq *q, struct txq_pool *p, struct item *item);

/* What is queued behind this is another matter than what is queued so far. */
void txq_mark(struct txq *q);
/*
 * Copies the many short pieces that may be sent now, from the front, into room, which takes size
 * bytes, and lends them from there instead; returns the bytes.
 */
size_t txq_gather(struct txq *q, struct txq_pool *p, char *room, size_t size);

/* A hole, to be filled by one of the next three; NULL: no memory.  Lent until it is filled or the
 * queue dropped. */
struct txq_segment *txq_hole(struct txq *q, struct txq_pool *p);
/* The whole answer is here: bytes lent until they are sent or txq_keep().  n may be 0. */
void txq_fill(struct txq *q, struct txq_segment *hole, const char *bytes, size_t n);
/* The same with a copy.  False: no memory, the hole is still there. */
MUST_CHECK bool txq_fill_copy(struct txq *q, struct txq_segment *hole, const char *bytes,
                              size_t n);
/*
 * Some of the answer is here: front belongs before what is still missing, back behind it; lent as
 * above.  Returns the hole between, which takes the old one's place; NULL: no memory, the old one
 * is still there.
 */
struct txq_segment *txq_fill_around(struct txq *q, struct txq_pool *p, struct txq_segment *hole,
                                    struct slice front, struct slice back);

/* Up to max spans that may be sent now, in order; lent until any other call on the queue. */
int txq_iov(const struct txq *q, const struct txq_pool *p, struct iovec *iov, int max);
/* The first n bytes are sent; n is at most q->bytes.  Drops pins and frees blocks behind it. */
void txq_done(struct txq *q, struct txq_pool *p, size_t n);

/* Copies what is lent into blocks of its own.  False: no memory; the queue is then only good for
 * txq_drop(). */
MUST_CHECK bool txq_keep(struct txq *q, struct txq_pool *p);
/* Throws everything away, pins included. */
void txq_drop(struct txq *q, struct txq_pool *p);
