/*
 * session.h - one client connection as a value: bytes in, bytes out, no socket.
 *
 * The driver (net/ in the daemon, a test, the simulator) asks where bytes belong, reads them there
 * and reports the count; then it takes the bytes to send and reports how many went:
 *
 *     session_rx_space -> read -> session_rx -> session_tx -> writev -> session_tx_done
 *
 * A session works through the buffers of its worker and owns memory only for what is left over
 * between turns: a partial command, unsent replies.  So between session_rx() and the end of the
 * turn no other session of that worker may run: call session_park() when the turn is over.  All
 * calls: the worker's thread.
 */
#pragma once
#include "base/clock.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct worker;
struct session;
struct conn_row; /* node/conns.h: what "stats conns" shows; may be NULL */

/* Which protocols a listener lets in (-B, proto[...] prefixes); another node is greeted first. */
enum session_accepts {
    SESSION_AUTO,
    SESSION_TEXT,
    SESSION_BINARY,
    SESSION_PEER, /* commands of another node, in frames (proto/peer.h), and nothing else */
};

/* NULL without memory.  row is kept.  Gives. */
struct session *session_new(struct worker *w, enum session_accepts accepts, struct conn_row *row);
/* The driver's own pointer, for session_next_fed(). */
void session_set_driver(struct session *s, void *driver);
void *session_driver(const struct session *s);
struct dialog;
/* The session whose inside this is. */
struct session *session_of(struct dialog *d);
/*
 * Other nodes' answers are among its replies: it may go on.  Its driver is to push it now and call
 * session_park(), because the worker's buffers may be in use for it.
 */
void session_answered(struct session *s);
/* Drops everything, pins included.  NULL is fine. */
void session_free(struct session *s);

/*
 * The same for requests that come in datagrams, see packets.h: session_rx() is given one whole
 * datagram, a command that is not whole in it is dropped without an answer, and the session stops
 * with session_has_work() after each command that answered something, so that every answer can be
 * numbered by itself.  session_reset() makes it new for the next datagram.
 */
struct session *session_new_datagram(struct worker *w, struct conn_row *row);
bool session_is_datagram(const struct session *s);
/* Drops input and replies and forgets what was said, and asked of other nodes; gives the worker's
 * buffers back. */
void session_reset(struct session *s);
/*
 * True while other nodes owe an answer to the last command of a datagram: no more of it is
 * executed, and what is answered already may not be numbered.  Ends with session_answered().
 */
bool session_awaits(const struct session *s);
/* True if that command is not done although they have answered: session_resume() tells the rest of
 * its answer, if there is room for it. */
bool session_is_begun(const struct session *s);

/*
 * Where the next bytes belong and how many at most; {NULL, 0} if the session takes none now
 * (replies wait to be sent, or it is closing).  Lent until session_rx().
 */
struct iovec session_rx_space(struct session *s);

/*
 * True if session_rx_space() would name some: also while replies wait to be sent, up to a bound.
 * A client may write a long pipeline before it reads the first answer.
 */
bool session_wants_more(const struct session *s);

/* n bytes were read into that space: executes what is complete. */
void session_rx(struct session *s, size_t n, usec_t now);

/* The peer sends no more (half-close): what was read is answered first, then session_is_over(). */
void session_rx_end(struct session *s);

/*
 * True if there is input that was left because of fairness (reqs_per_event) or because replies had
 * to go first: call session_resume() when the replies are sent, or in the next turn.
 */
bool session_has_work(const struct session *s);
void session_resume(struct session *s, usec_t now);

/* Up to max spans of bytes to send, in order; returns how many (0: nothing to send).  Lent until
 * session_tx_done(). */
int session_tx(struct session *s, struct iovec *iov, int max);
/* The first n of those bytes are gone. */
void session_tx_done(struct session *s, size_t n);
/* How many bytes session_tx() could name in all. */
size_t session_tx_bytes(const struct session *s);
/* Throws away what waits to be sent. */
void session_tx_drop(struct session *s);

/* Ends a turn: what is unsent or unparsed moves from the worker's buffers to the session's own.
 * False: no memory; close the connection. */
bool session_park(struct session *s);

/* True when the connection is to be closed: everything is sent and the session is done. */
bool session_is_over(const struct session *s);
/* ... and not as its client wished: what it said could not be followed, or there was no memory. */
bool session_is_broken(const struct session *s);
/* Time of the last whole command, for idle_timeout; half a value in flight counts as activity. */
usec_t session_last_active(const struct session *s);
/* True while in the middle of a value, with unsent replies, or watching: idle_timeout leaves it
 * alone. */
bool session_is_busy(const struct session *s);

/* True for a watcher and for who reads a list of keys: it is shown something and asks nothing. */
bool session_is_shown(const struct session *s);

/*
 * The next session of a worker, after the given one (NULL: the first), whose watcher has got lines
 * since session_tx() had none; NULL: no more.  Its driver sends.  Call at the end of each turn.
 */
struct session *session_next_fed(struct worker *w, struct session *after);
