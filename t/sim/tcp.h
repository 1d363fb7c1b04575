/*
 * tcp.h - streams between simulated machines: what a socket would show of TCP.
 *
 * Bytes arrive in order and whole, cut anywhere, after the path's delay; a lost packet or a blocked
 * path only makes them late.  A writer has a window, and finds it full when the reader does not
 * read.  A process that ends resets its connections; a machine without power says nothing, until it
 * is on again and refuses what belongs to connections that it does not know.
 *
 * Both ends are driven as non-blocking sockets are: ready() says that something may have changed,
 * then tcp_recv() and tcp_send() tell.
 */
#pragma once
#include "base/buf.h"
#include "paths.h"
#include <sys/uio.h>

enum { TCP_AGAIN = -1, TCP_RESET = -2 }; /* instead of a count of bytes */

/* Looks at what an end writes before it is on its way, and may change it: see tcp_tap(). */
struct tcp_tap {
    void *arg;
    /* Takes what is whole from the front of *pending, and appends to *out what is to be sent. */
    void (*run)(void *arg, struct buf *pending, struct buf *out);
};

/* From a site to a port; ready() tells when it stands, or failed (tcp_is_open(), tcp_is_reset()).
 * Nobody answers a machine without power: give up by tcp_reset().  Gives. */
struct tcp_end *tcp_connect(struct paths *p, unsigned from, unsigned to, int port,
                            void (*ready)(void *arg), void *arg);
/* Of an end that was accepted, or for another owner. */
void tcp_set_ready(struct tcp_end *e, void (*ready)(void *arg), void *arg);
/* tap is copied; what is in it when the connection ends is lost. */
void tcp_set_tap(struct tcp_end *e, const struct tcp_tap *tap);

bool tcp_is_open(const struct tcp_end *e);
bool tcp_is_reset(const struct tcp_end *e);
/* Bytes that wait to be read. */
size_t tcp_readable(const struct tcp_end *e);
/* True if tcp_recv() would not say TCP_AGAIN. */
bool tcp_has_news(const struct tcp_end *e);
size_t tcp_room(const struct tcp_end *e);
unsigned tcp_peer_site(const struct tcp_end *e);

/* Bytes read; 0: the other has ended; or TCP_AGAIN, TCP_RESET. */
ssize_t tcp_recv(struct tcp_end *e, void *room, size_t n);
/* Bytes taken, at least 1; or TCP_AGAIN, TCP_RESET. */
ssize_t tcp_send(struct tcp_end *e, const struct iovec *iov, int count);

/* Both end the use of e.  The first lets what was sent arrive, as close() does. */
void tcp_close(struct tcp_end *e);
void tcp_reset(struct tcp_end *e);
/* The machine lost power: the next tcp_reset() happens without a word. */
void tcp_mute(struct tcp_end *e);
/* The network resets one of the streams between nodes, by chance (pick: any number). */
void tcp_break_any(struct paths *p, uint64_t pick);

void tcp_free_all(struct paths *p);
