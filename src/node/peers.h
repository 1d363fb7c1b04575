/*
 * peers.h - one worker's data links to the other nodes: commands that belong elsewhere go out,
 * answers come back to the sessions that wait for them.  No socket.
 *
 * The driver (daemon/peers, or the simulator) keeps a connection for each link that wants one and
 * moves bytes, as with a session:
 *
 *     peers_view(view) -> for each link: link_wants() -> dial, HELLO -> link_up()
 *     link_rx_space -> read -> link_rx -> then peers_next_answered(): push those sessions
 *     at the end of a turn: peers_next_dirty(): link_tx -> writev -> link_tx_done
 *
 * Answers are lent to the waiting sessions out of the link's receive buffer: push them (session_tx)
 * before anything else is read, then call peers_settle().  All calls: the worker's thread.
 */
#pragma once
#include "base/clock.h"
#include "cluster/view.h"
#include "node/session.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct peers; /* all links of a worker */
struct link;  /* one of them */
struct worker;

/* NULL without memory; the worker keeps it.  seed: of jitter and sampling. */
struct peers *peers_new(struct worker *w, uint64_t seed);
void peers_free(struct peers *p);

/*
 * The worker's view is another: links to new nodes appear, links to nodes that are off it go.
 * Called by worker_turn().  Links that go are to be found by the driver with link_is_gone(): it
 * closes their connection and calls link_down().
 */
void peers_view(struct peers *p, const struct view *v, usec_t now);

/* The next link after the given one (NULL: the first), or NULL. */
struct link *peers_next(struct peers *p, struct link *after);

/* -- one link's connection --------------------------------------------------------------------- */

node_id link_node(const struct link *l);
struct cluster_addr link_addr(const struct link *l);
/* The driver's own pointer. */
void link_set_driver(struct link *l, void *driver);
void *link_driver(const struct link *l);

/* True if it has no connection and it is time to make one. */
bool link_wants(const struct link *l, usec_t now);
/* The driver began to connect. */
void link_dialing(struct link *l, usec_t now);
/* The connection stands, its HELLO was answered. */
void link_up(struct link *l, usec_t now);
/* The connection failed, or could not be made: what is not answered fails or is tried again. */
void link_down(struct link *l, usec_t now);
/* The node is off the view: close the connection; link_down() frees it. */
bool link_is_gone(const struct link *l);

/* As session_rx_space() and so on.  {NULL, 0}: no memory. */
struct iovec link_rx_space(struct link *l);
/* False: what came is no answer to anything; close the connection. */
bool link_rx(struct link *l, size_t n, usec_t now);
int link_tx(struct link *l, struct iovec *iov, int max);
void link_tx_done(struct link *l, size_t n);
bool link_has_tx(const struct link *l);

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
