/*
 * packets.h - memcached's protocol in datagrams: a request in, its numbered answers out, no socket.
 *
 * A datagram begins with 8 bytes: request id, sequence number, datagrams in all, zero (16 bits
 * each, network order).  A request is one datagram; one that is shorter than a header and a byte,
 * or says that it is one of several, is dropped, as is a command that is not whole in it: nothing
 * is left over for the next one.  All commands of a datagram are executed, in the protocol that its
 * first byte chooses, whatever -B lets in elsewhere.  "quit" only ends its datagram.
 *
 * As in memcached each answer (of a multiget: each value) is a series of its own, with the id of
 * the request, numbered from 0 and cut into PACKETS_DATA bytes; a command that answers nothing
 * sends nothing.
 *
 * A datagram is never worth waiting for: what the socket does not take is lost (packets_tx_drop).
 * An answer of more than PACKETS_MAX datagrams is not sent.  Once the answers to a request come to
 * PACKETS_ENOUGH the commands behind are not executed: a short request, from a sender who may be
 * somebody else than he says, must not be worth any number of large values.
 *
 *     packets_rx_space -> recvmsg -> packets_rx -> (packets_tx -> sendmsg -> packets_tx_done)...
 *     while packets_has_work(): packets_resume(), and send again;  packets_park() ends a turn
 *
 * What belongs to another node is asked there, one command at a time: packets_awaits() until the
 * answer is here, then it is numbered as any other.  Meanwhile nothing else of the datagram is
 * executed and no other is taken, so that order is kept and nothing is allocated for who waits.
 * The price: each key of another node, in a multiget too, costs one trip there and back, and one
 * whose owner is silent up to peer_timeout (until its breaker opens), in which the others who send
 * to this socket wait as well.  A long answer is kept until all of it is here, because each of its
 * datagrams says how many they are; one that becomes too long is lost with the commands behind it,
 * and so is one that its owner does not end.
 *
 *     packets_awaits(), peers_next_answered() names the session -> packets_has_work() if all of it
 *     is here: packets_resume(), and send;  packets_park()
 *
 * It works through the buffers of its worker as a session does, see session.h, and allocates
 * nothing for a request that is answered here within a turn.  All calls: the worker's thread.
 */
#pragma once
#include "node/session.h"

#define PACKETS_HEADER 8u
#define PACKETS_DATA   1392u  /* bytes of an answer in one datagram */
#define PACKETS_MAX    65535u /* datagrams: a number has 16 bits */
#define PACKETS_ENOUGH 1024u  /* datagrams */
#define PACKETS_SPANS  16     /* for packets_tx(): enough for any datagram */

struct packets;

/* NULL without memory.  row is kept.  Gives. */
struct packets *packets_new(struct worker *w, struct conn_row *row);
/* The driver's own pointer: session_driver() of the session that gets other nodes' answers. */
void packets_set_driver(struct packets *p, void *driver);
/* What other nodes still owe it is given up.  NULL is fine. */
void packets_free(struct packets *p);

/*
 * Where the next datagram belongs: header and data, two spans.  Only while nothing is owed to the
 * last one: neither packets_has_work() nor packets_awaits() nor anything to send.  Lent until
 * packets_rx().
 */
void packets_rx_space(struct packets *p, struct iovec iov[2]);
/* A datagram of n bytes, header included, was read there: executes its first commands. */
void packets_rx(struct packets *p, size_t n, usec_t now);

/* True while other nodes owe the answer: there is nothing to do until they have given it. */
bool packets_awaits(const struct packets *p);
/* True if there are commands left, or other nodes have answered: call packets_resume() when there
 * is nothing to send. */
bool packets_has_work(const struct packets *p);
void packets_resume(struct packets *p, usec_t now);

/*
 * The spans of the next datagram to send, header first; returns how many (0: none now).  Lent
 * until packets_tx_done() or packets_tx_drop().
 */
int packets_tx(struct packets *p, struct iovec iov[PACKETS_SPANS]);
/* It is sent. */
void packets_tx_done(struct packets *p);
/* It is lost, and so is the rest of its answer. */
void packets_tx_drop(struct packets *p);

/* Ends a turn: what is not executed or sent moves out of the worker's buffers, or is lost if there
 * is no memory for it.  Also after each turn in which other nodes answered a part. */
void packets_park(struct packets *p);
