/*
 * strays.h - records that a node holds although their key is another's now, or was for a while.
 *
 * When the ring changes a node loses keys and gains others.  A record of a key that was lost and
 * comes back may be older than what its owner meanwhile was told: it must not be shown.  So after a
 * change of the ring
 *
 *   - a key that this node has not owned through all rings since (struct view: past) loses its
 *     record before a command is executed on it here, unless that was written after it became ours
 *     for good; and
 *   - the upkeep thread goes through the store once and removes what is another's, or was.
 *
 * Then the past is forgotten (view_swept()).  Between the two a command costs a look at the past;
 * at all other times one load.
 */
#pragma once
#include "cluster/view.h"
#include "node/worker.h"
#include "vocab/command.h"

/* Where the upkeep thread is. */
struct strays_walk {
    uint64_t ring_number; /* of the view it is about; 0: none yet */
    uint64_t cursor;
};

/* The worker's view is another.  The worker's thread. */
void strays_adopt(struct worker *w);
void strays_expel(struct worker *w, const struct command *c);

/* Before a command with a key is executed here, its hash filled.  The worker's thread. */
static inline void
strays_check(struct worker *w, const struct command *c)
{
    if (__builtin_expect(w->view && view_has_past(w->view), 0)) {
        strays_expel(w, c);
    }
}

/*
 * Goes through about budget buckets of the store.  True if there is more to do now.  When all of it
 * is done n->swept says for which ring; whoever makes views then makes one without a past.  v is
 * the node's newest view.  The upkeep thread, with its ctx.
 */
bool strays_step(struct node *n, const struct view *v, struct store_ctx *ctx,
                 struct strays_walk *walk, unsigned budget);
