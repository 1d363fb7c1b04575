/*
 * move.h - taking a page out of a class, step by step.
 *
 * One move is in the hands of one thread.  Private to store/.
 */
#pragma once
#include "store/impl.h"

/* Takes the page with this place in its class out of it, for class `to` (0: the pool).  What lives
 * in it will be evicted, unless m->rescue is set then.  Class locked. */
void move_begin_locked(struct store_ctx *c, struct move *m, struct slab_class *k, uint32_t slot,
                       uint8_t to);
/* Goes on with clearing the page; returns chunks looked at. */
unsigned move_walk(struct store_ctx *c, struct move *m, unsigned budget);

enum move_result { MOVE_GOES_ON, MOVE_DONE, MOVE_GAVE_UP };

/* After a pass: is the page empty, or, after so many without progress, is there no hope?  Then it
 * is in its class again. */
enum move_result move_look(struct store_ctx *c, struct move *m, unsigned rounds_max);
/* The place of a page of the class that is empty already, or -1.  Class locked. */
int64_t move_empty_page_locked(const struct slab *s, const struct slab_class *k);
