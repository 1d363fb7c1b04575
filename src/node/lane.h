/*
 * lane.h - long values on their way over a link, in parts, beside the frames that are short.
 *
 * A value that is longer than PEER_INLINE_MAX is not put into a frame but follows in PARTs of
 * PEER_PART_MAX bytes.  Whoever sends takes a part only when no frame waits, and the values take
 * turns, so that a long one keeps neither a short command nor another long one waiting for more
 * than a part.  Bytes are sent from the slab without a copy.
 *
 * No socket.  All calls: the worker's thread.
 */
#pragma once
#include "base/err.h"
#include "proto/peer.h"
#include "store/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PEER_PART_MAX (32u << 10) /* bytes */

struct lane_value; /* lane.c */

/* A zeroed struct is an empty lane. */
struct lane {
    struct lane_value *first, *last;
    struct lane_value *spare;     /* those that were used */
    unsigned           spare_count;
    size_t             bytes;     /* of values that are not sent yet */
    size_t             part_left; /* bytes of the first value that belong to the part in work */
    unsigned           head_left; /* bytes of its header */
    bool               begun;     /* a byte of the part in work is gone: nothing may come between */
    char               head[PEER_HEADER];
};

/*
 * Puts the value of an item behind the others: the first-th of frame id.  The item is taken: a
 * pinned one is unpinned, a private one dropped when it is sent (on failure at once).  False: no
 * memory.
 */
MUST_CHECK bool lane_add(struct lane *l, struct store_ctx *ctx, uint64_t id, uint16_t first,
                         struct item *item, bool pinned);
/* Up to max spans of one part; 0: nothing to send. Lent until the next call. */
int lane_iov(struct lane *l, const struct store *store, struct iovec *iov, int max);
/*
 * The same behind count spans of frames that are there already, if they are all of the unsent bytes
 * of such; returns how many there are then.
 */
int lane_behind(struct lane *l, const struct store *store, struct iovec *iov, int count, int max,
                size_t unsent);
/* True if these spans, which lane_iov() gave, are all that is left of the part. */
bool lane_shown(const struct lane *l, const struct iovec *iov, int count);
/* Up to n of those bytes are gone; returns how many of the n belonged to the part. */
size_t lane_done(struct lane *l, struct store_ctx *ctx, size_t n);
void lane_drop(struct lane *l, struct store_ctx *ctx);
