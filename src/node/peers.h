/*
 * peers.h - all data links of one worker: made and dropped as the view says, timed, and gone through
 * at the end of a turn.  No socket; link.h says how the driver moves their bytes.
 *
 *     worker_turn() adopts a view -> for each link of peers_next(): link_wants() -> connect
 *     turn's events; each link_rx() -> peers_next_answered() -> push
 *     at its end: peers_next_dirty() -> write; peers_next_answered() -> push
 *     peers_tick() when it is due -> the same again
 *
 * All calls: the worker's thread.
 */
#pragma once
#include "base/clock.h"
#include "cluster/view.h"
#include "node/link.h"
#include "node/session.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct worker;

/* NULL without memory; the worker keeps it.  seed: of jitter and sampling. */
struct peers *peers_new(struct worker *w, uint64_t seed);
void peers_free(struct peers *p);

/*
 * The worker's view is another: links to new nodes appear; those to nodes that are off it are over
 * (link_is_over), and freed by link_down().  Called by worker_turn().
 */
void peers_view(struct peers *p, const struct view *v, usec_t now);

/* The next link after the given one (NULL: the first), or NULL. */
struct link *peers_next(struct peers *p, struct link *after);

/* -- at the end of a turn ---------------------------------------------------------------------- */

/* A link that has something to send and is up; each is named once a turn.  NULL: no more. */
struct link *peers_next_dirty(struct peers *p);
/* A session that has got answers, or may go on; each is named once.  NULL: no more. */
struct session *peers_next_answered(struct peers *p);

/*
 * Time-outs, backoff, pings.  Returns when it would like to be called again.  Sessions may have
 * got answers.
 */
usec_t peers_tick(struct peers *p, usec_t now);

/* A member that was heard of (on), or given up (!on), since the last call; false: none.  For
 * control_heard() and control_doubted(); at most one a second for each member. */
bool peers_take_evidence(struct peers *p, node_id *ret_id, bool *ret_on);
