/*
 * execute.h - one command on the local store: command in, reply out.
 *
 * Knows what commands mean, not how they are spelled: the same for all three protocols.
 * All calls: the worker's thread, after worker_turn().
 */
#pragma once
#include "node/worker.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/*
 * Executes c and fills *r, which starts zeroed.  A storing command comes with its value: in
 * c->value, or in item (taken, may be NULL), which execute_reserve() made and the session
 * filled.  RPL_HIT may come with r->pinned set: the caller sends it and calls store_unpin().
 * RPL_BLOB: the bytes lie in w->blob and r->value, lent until the next call.
 */
void execute(struct worker *w, const struct command *c, struct item *item, struct reply *r);

/*
 * Prepares a storing command whose value will be streamed: an item of the right size, which gets
 * its memory as the value comes in (store_extend).  NULL: the
 * command fails, *r says how (too large, no memory; the old value is removed as memcached does)
 * and the caller swallows the value.
 */
struct item *execute_reserve(struct worker *w, const struct command *c, struct reply *r);

/* The same for a command that another node will execute: nothing happens here if it cannot be, and
 * NULL says so. */
struct item *execute_hold(struct worker *w, const struct command *c);

/*
 * There is no memory for the rest of a value that is being streamed: fills *r; the old value is
 * removed as for lack of memory before.  The caller drops the item and swallows the rest.
 */
void execute_starved(struct worker *w, const struct command *c, struct reply *r);

/*
 * A data block that did not end in "\r\n": what the client is told; the old item stays. Counts
 * nothing stored.
 */
void execute_bad_chunk(struct worker *w, const struct command *c, struct reply *r);

/* Shows a command as its client wrote it to those who watch that: in starts with its line. */
void observe_line(struct worker *w, struct slice in);
