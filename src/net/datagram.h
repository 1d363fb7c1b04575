/*
 * datagram.h - a UDP socket on a loop: requests in, answers to whoever asked.
 *
 * What the bytes mean is behind a table of functions.  The socket never blocks and is never waited
 * for: an answer that it does not take at once is lost, as datagrams may be.  A turn receives and
 * sends a bounded number of datagrams, so that a flood, or a huge answer, does not keep the loop
 * from its connections.
 *
 * An owner may have to wait for an answer itself.  Nothing is received then until it says
 * datagram_push(): the kernel keeps what arrives, as far as it has room.
 *
 * All calls: the thread of the loop; the open functions before there is one.
 */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define DATAGRAM_SPANS 16 /* of one datagram */

/* What the socket asks of its owner; arg is the one given to datagram_start(). */
struct datagram_ops {
    /* Where the next request belongs; how many spans.  Asked only when nothing else is to do. */
    int (*rx_space)(void *arg, struct iovec iov[DATAGRAM_SPANS]);
    /* A request of n bytes was read into that space. */
    void (*rx)(void *arg, size_t n, usec_t now);
    /* The spans of the next datagram of the answer; 0: there is none.  Lent until tx_done(). */
    int (*tx)(void *arg, struct iovec iov[DATAGRAM_SPANS]);
    /* That datagram is gone: sent or lost. */
    void (*tx_done)(void *arg, bool sent);
    /* There is more of the request to be executed: call resume(). */
    bool (*has_work)(void *arg);
    void (*resume)(void *arg, usec_t now);
    /* The answer is not here yet, and there is nothing else to do: push() comes. */
    bool (*awaits)(void *arg);
    /* The turn is over. */
    void (*park)(void *arg);
};

/* A zeroed one is not started. */
struct datagram {
    struct ev_io               io;
    struct loop               *loop;
    const struct datagram_ops *ops;
    void                      *arg;
    struct loop_job            job;      /* waits while an answer is put off */
    struct sockaddr_storage    peer;     /* who is answered */
    socklen_t                  peer_len;
};

/*
 * Binds a socket for the datagrams of sa: non-blocking, close-on-exec, IPV6_V6ONLY.  Gives *ret_fd.
 * ERR_INUSE: somebody is bound there already.
 */
MUST_CHECK err_t datagram_open(const struct sockaddr *sa, socklen_t len, int *ret_fd,
                               struct err_detail *d);
/*
 * Another socket at the same place as fd, which datagram_open() gave; the kernel deals senders out
 * among them, and one sender always to the same.  Gives *ret_fd.
 */
MUST_CHECK err_t datagram_open_beside(int fd, int *ret_fd, struct err_detail *d);

/* Takes the descriptor and begins to receive.  Keeps ops and arg. */
void datagram_start(struct datagram *g, struct loop *loop, int fd, const struct datagram_ops *ops,
                    void *arg);
/* The answer that the owner awaited is here, or some of it: runs a turn.  Not from within the
 * owner's functions. */
void datagram_push(struct datagram *g);
/* Closes the socket; what has arrived is lost.  One that is not started is fine. */
void datagram_stop(struct datagram *g);
