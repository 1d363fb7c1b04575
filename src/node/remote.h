/*
 * remote.h - a client's commands that are not executed here: sent, excused, or waited with.
 *
 * The part of a dialog (dialog.h) that knows of other nodes.  Commands of one client on one key go
 * over one link and so keep their order; what would break it (a long value, which goes in parts;
 * flush_all, which is for everybody; the end of a line whose failure is an error; another ring,
 * by which the key may have another owner) waits until all that was sent before is answered, and
 * stays at the front of the input meanwhile.
 *
 * All calls: the worker's thread, from within dialog_run().
 */
#pragma once
#include "cluster/view.h"
#include "node/dialog.h"
#include "proto/peer.h"

/* True if it waits for other nodes' answers now, to all that it has sent. */
bool remote_must_wait(struct dialog *d);
/*
 * The same if the worker's ring is not the one by which those were sent: one of them that has to be
 * sent again, to another node, might be overtaken there.
 */
bool remote_settle(struct dialog *d);
static inline bool
remote_must_settle(struct dialog *d)
{
    const struct view *v = d->worker->view;

    return __builtin_expect(v && v->ring_number != d->ring, 0) && remote_settle(d);
}
/* Sends a command to the node at place, or excuses it.  item: as forward_command() has it. */
void remote_send(struct dialog *d, const struct command *c, uint16_t place, enum peer_value value,
                 struct item *item);
/* The same for a value too long for a frame, in an item: nothing of this client may overtake it.
 * Nothing is awaited. */
void remote_long(struct dialog *d, const struct command *c, uint16_t place, struct item *item);
/*
 * Executes a whole command at another node.  False: not now, its turn comes when others' answers
 * are here.
 */
bool remote_command(struct dialog *d, const struct command *c, uint16_t place);
/* flush_all, for every node.  False: not now; it stays at the front of the input until the others
 * have answered. */
bool remote_flush(struct dialog *d, const struct command *c);
/* A key of several in a text line, of which one without an answer makes the whole line fail. */
bool remote_is_loud(const struct worker *w, const struct command *c,
                    const struct worker_mark *mark);
/*
 * The last key of such a line was executed: the line ends when the answers to all its keys are
 * here.  False: not yet.
 */
bool remote_line_end(struct dialog *d, const struct command *c);
