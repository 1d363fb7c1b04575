/*
 * call.h - calls another node: connects to its cluster port, greets it, and reads what it says to
 * that.
 *
 * What the connection is for is said in the greeting (proto/peer.h) and is the caller's business
 * afterwards.  All calls: the thread of the loop.
 */
#pragma once
#include "base/clock.h"
#include "net/connect.h"
#include "node/peer_rows.h"
#include "proto/peer.h"
#include "vocab/cluster.h"
#include <stdbool.h>

/*
 * The call is over.  fault NONE: fd is connected, non-blocking, with TCP_NODELAY, nothing behind
 * the answer has been read, and it is now the owner's.  Otherwise fd is -1; answer is NULL if none
 * came.  The call is idle again and may be freed.
 */
typedef void (*call_done)(void *arg, int fd, const struct peer_hello *answer,
                          enum peer_fault fault);

/* A zeroed one is idle. */
struct call {
    struct loop      *loop; /* kept; NULL while idle */
    struct connect    connect;
    struct ev_io      io;
    struct ev_timer   timer;
    struct peer_hello said; /* by us */
    node_id           callee;
    call_done         done;
    void             *arg;  /* kept */
    int               fd;   /* -1: not connected yet */
    unsigned          got;  /* bytes of the answer */
    char              hello[PEER_HELLO]; /* ours until it is sent, then the answer */
};

/*
 * Begins to call.  callee: who is expected to answer; 0: anybody.  timeout: of all of it.  done()
 * is called later, never from within; NONE: it will be; another fault: it will not, there is no way
 * to begin.
 */
enum peer_fault call_start(struct call *c, struct loop *loop, const struct cluster_addr *addr,
                           const struct peer_hello *hello, node_id callee, usec_t timeout,
                           call_done done, void *arg);
/* Gives up without a word to done(); an idle one is fine. */
void call_cancel(struct call *c);

/* What an errno of a socket means for a link. */
enum peer_fault call_fault(int error);
