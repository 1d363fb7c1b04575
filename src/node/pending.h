/*
 * pending.h - a storing command whose value is still on its way.
 *
 * The command was parsed out of a buffer that is needed for other bytes meanwhile, so it is kept
 * here with copies of what it points to.  The value goes straight into the memory of the item that
 * will be stored.  Spare ones are kept by the worker: a steady stream of large values allocates
 * nothing but items.  All calls: the worker's thread.
 */
#pragma once
#include "node/worker.h"
#include "store/store.h"
#include "vocab/command.h"
#include "vocab/limits.h"

struct pending {
    struct pending     *next;   /* among the worker's spare ones, or those of a serve */
    uint64_t            id;     /* of the frame it came in, in a serve */
    struct command      command;
    struct item        *item;   /* private until the command is executed */
    struct value_cursor cursor; /* where the next byte of the value goes */
    char                key[KEY_MAX];
    char                key_sent[KEY_MAX];
    char                opaque[OPAQUE_MAX + 1];
};

/* Copies the command and keeps the item until pending_drop() or until the caller takes it out. NULL
 * without memory: the item is still the caller's.  Gives. */
struct pending *pending_new(struct worker *w, const struct command *c, struct item *item);
/* Back to the worker, with what is left of it.  NULL is fine. */
void pending_free(struct worker *w, struct pending *p);
/*
 * Moves bytes of the value from the front of *in to the cursor of an item that execute_reserve() or
 * execute_hold() made, which gets the memory for them now; false: there is none for those that are
 * left.
 */
bool pending_write(struct worker *w, struct value_cursor *v, struct slice *in);
/* Frees the worker's spare ones. */
void pending_fini(struct worker *w);
