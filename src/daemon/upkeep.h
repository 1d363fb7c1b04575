/*
 * upkeep.h - the thread that does the store's background work, and nothing else.
 *
 * It asks store_tick() how long it may sleep; an idle store is looked at once a second, and at once
 * when something was asked of it.
 */
#pragma once
#include "base/err.h"

struct node;
struct upkeep;
struct workers;

/*
 * Starts the thread, named mp-upkeep; it counts in node->upkeep.  Keeps workers, which it wakes for
 * watchers of what it does.  Gives.
 */
MUST_CHECK err_t upkeep_start(struct node *n, struct workers *workers, struct upkeep **ret,
                              struct err_detail *d);
/* Has store_tick() called now: somebody asked for something.  Any thread; NULL is fine. */
void upkeep_wake(struct upkeep *u);
/* Ends and frees it.  NULL is fine. */
void upkeep_stop(struct upkeep *u);
