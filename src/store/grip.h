/*
 * grip.h - getting hold of an item by its address, from the memory's side rather than the key's.
 *
 * Eviction, expiry, page moves and walks find items by looking at chunks.  What lies there may be
 * anything by the time they look again; only the table knows whether a handle is an item's.  A grip
 * is the proof: its bucket is locked and its slot is known.  Private to store/.
 */
#pragma once
#include "store/impl.h"

struct grip {
    struct bucket *bucket;
    _Atomic uint64_t *slot;
    struct item *it;
    uint32_t meta;
};

/* False: it is no linked item (any more), or its bucket is busy.  May be called with a class
 * locked. */
bool grip_take(struct store *s, struct item *it, struct grip *g);
void grip_drop(struct grip *g);
/*
 * The item that a walk over a class meets in this chunk, each item once: the one that begins in it,
 * or, with a classic table, the one whose first piece it is, because there an item of pieces counts
 * as one of the largest class.  NULL: none.  By now it may be anything, but it can be read.
 */
struct item *grip_item(const struct slab *s, struct item *chunk);
/* The item that a chunk, a piece when it was looked at, belongs to; by now it may be anything, so
 * NULL if it names no place in a page, and what it names is to be gripped before it is believed. */
struct item *grip_owner(const struct slab *s, const struct item *piece);
/* True if readers hold its value, so that it cannot be freed or moved now. */
bool grip_is_pinned(const struct grip *g);
/* Counts (into the class, which is locked) and unlinks; the grip is dropped. Returns the item, to
 * be released when no class is locked. */
struct item *grip_remove(struct store_ctx *c, struct slab_class *k, struct grip *g,
                         enum removal why, int ghost_epoch);
