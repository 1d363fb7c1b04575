/*
 * outbox.h - the bytes that a link has to send, in blocks that outlive the sending.
 *
 * Frames are written straight into a block and lie in it whole.  Whoever may need a frame again
 * after it was sent holds its block.  Blocks come from a pool of the worker: a steady stream of
 * frames allocates nothing.  All calls: the worker's thread.
 */
#pragma once
#include "proto/peer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OUTBOX_BLOCK (PEER_HEADER + PEER_BODY_MAX) /* bytes: the longest frame */

struct outbox_block {
    struct outbox_block *next; /* in its outbox, or among the spare ones */
    unsigned             held; /* by the outbox it is in, and by each frame's owner */
    uint32_t             used, sent;
    char                 bytes[OUTBOX_BLOCK];
};

struct outbox_pool {
    struct outbox_block *spare;
    unsigned             spare_count;
};

/* A zeroed struct is an empty outbox. */
struct outbox {
    struct outbox_block *first, *last;
    size_t               unsent; /* bytes */
};

void outbox_pool_fini(struct outbox_pool *p);

/* Room for n contiguous bytes (at most OUTBOX_BLOCK), at o->last->bytes + o->last->used; false: no
 * memory. */
bool outbox_reserve(struct outbox *o, struct outbox_pool *p, size_t n);
/* n bytes were written there. */
void outbox_add(struct outbox *o, size_t n);
/* Up to max spans; lent until outbox_done(). */
int outbox_iov(const struct outbox *o, struct iovec *iov, int max);
/* The first n bytes are sent. */
void outbox_done(struct outbox *o, struct outbox_pool *p, size_t n);
/* Nothing in it is sent any more. */
void outbox_drop(struct outbox *o, struct outbox_pool *p);

void outbox_hold(struct outbox_block *b);
void outbox_release(struct outbox_pool *p, struct outbox_block *b);
