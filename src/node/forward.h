/*
 * forward.h - commands that belong to another node: into its link's frames, and their answers back
 * into the replies of the client that waits.
 *
 * The owner executes a command and writes its answer in the client's own protocol, so what comes
 * back is only put into its place: a hole in the reply queue (txq.h).  A command crosses one link
 * at most: the owner never sends it on.
 *
 * What does not come back in time, or cannot be sent, is excused: a plain get is a miss (peer_error
 * = miss), everything else an error, and both are counted apart from misses.
 *
 * All calls: the worker's thread.
 */
#pragma once
#include "node/dialog.h"
#include "node/link.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/* -- a session's side: node/dialog.c ----------------------------------------------------------- */

/*
 * Puts a command into the frame that is being made for the node at this place of the view, and a
 * hole into the client's replies.  Its value, if it has one, comes with c->value (HERE), or from an
 * item of the worker's own (taken, also on failure; HERE or PARTS), or does not come (REFUSED).
 *
 * Returns RPL_NOTHING if it is on its way, else how it is to be excused: forward_excuse().
 */
enum reply_code forward_command(struct dialog *d, uint16_t place, const struct command *c,
                                enum peer_value value, struct item *item);
/* The batch is over: its frames may go.  The worker has links. */
void forward_batch_end(struct worker *w);
/*
 * Tells every other member to forget everything; returns how many were told.  d->flush_failed is
 * set if one could not be, or does not say that it has; the answers have come when d->requests is
 * NULL.
 */
unsigned forward_flush(struct dialog *d, const struct command *c);
/* Fills *r with what the client is told of a command that its owner has not answered. */
void forward_excuse(struct worker *w, const struct command *c, enum reply_code why,
                    struct reply *r);
/* True if a failure of the command's owner is an error rather than a miss. */
bool forward_is_loud(const struct worker *w, const struct command *c);
/* Nobody waits for the answers any more. */
void forward_abandon(struct dialog *d);

/* -- a link's side: node/link.c, node/peers.c -------------------------------------------------- */

/* How long a request may wait in all, as long as the link is not silent. */
usec_t forward_patience(const struct worker *w);
/* The request's waiter waits for it. */
void forward_await(struct request *r);
/* A frame of answers, or a part of a long one; false: it does not fit what was asked. */
bool forward_answers(struct link *l, const struct peer_frame *f, struct slice body);
bool forward_part(struct link *l, const struct peer_frame *f, struct slice body);
/* The connection is lost: excuses what is in flight, or sends it again when there is a new one, if
 * that does no harm and may_retry. */
void forward_lost(struct link *l, bool may_retry, usec_t now);
/* Excuses what has waited for too long. */
void forward_expire(struct link *l, usec_t now);
