/*
 * talks.h - the short TCP conversations of the cluster port: greetings, states, probes.
 *
 * Whoever calls says first what for (proto/peer.h).  A probe is over with the answer, push/pull
 * when both sides have sent theirs, and a data link is handed to our workers behind the greeting.
 * Every conversation has a time-out, there are at most TALKS_MAX of each direction, and what
 * strangers send takes no more memory than TALKS_BYTES_MAX: the conversation that brings more ends.
 *
 * The sockets are in an epoll of their own, which the loop watches: libev takes a descriptor out of
 * its one only when that has another event, and until then a data link would wake two threads.
 *
 * Main thread.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "net/loop.h"
#include "proto/peer.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stddef.h>

#define TALKS_MAX       64
#define TALKS_BYTES_MAX (32u << 20) /* of states of which a part has come, all together */

struct talk;

/* How a call that this side made ended. */
enum talks_end {
    TALKS_DONE,     /* a probe was answered, by whom it was for; states were exchanged */
    TALKS_FAILED,   /* not reached, or not in time; error says why, 0: it took too long or broke */
    TALKS_REFUSED,  /* hello.verdict says why */
    TALKS_STRANGER, /* what is there is no node, says nothing, or is another one than asked for */
};
struct talks_result {
    enum talks_end      end;
    enum peer_purpose   purpose;
    struct cluster_addr addr;
    node_id             id;    /* who was asked for; 0: whoever is there */
    int                 error; /* an errno, or 0 */
    struct peer_hello   hello; /* REFUSED */
};

/* What a conversation asks of its owner; arg is that of talks_init(). */
struct talks_ops {
    /* Another wants a data link: takes fd, which is connected, non-blocking, and greeted. */
    void (*data)(void *arg, int fd, const struct cluster_addr *from, const struct peer_hello *h);
    /* Another's state came from there; calls: it answers one of ours. */
    void (*synced)(void *arg, bool calls, const struct cluster_addr *from, struct slice bytes);
    /* Appends our state; calls: we called there, else what was asked was the last that came. */
    bool (*state)(void *arg, bool calls, const struct cluster_addr *to, struct buf *out);
    /* Something that is no greeting, or of a stranger or of our double, came in. */
    void (*odd)(void *arg, const struct cluster_addr *from, const struct peer_hello *h,
                enum peer_verdict verdict);
    /* A call is over.  May make others. */
    void (*ended)(void *arg, const struct talks_result *r);
};

/* A zeroed one is not open. */
struct talks {
    struct loop            *loop; /* kept */
    const struct talks_ops *ops;  /* kept */
    void                   *arg;  /* kept */
    struct peer_hello       self; /* what we say of ourselves */
    usec_t                  patience; /* for an answer; a state may take five times as long */
    struct talk            *first;
    unsigned                in, out; /* how many */
    size_t                  held;    /* bytes of states in part */
    int                     epoll;   /* -1: not open */
    struct ev_io            ready;   /* on it */
};

/* Fails with ERR_NOMEM if the kernel gives no descriptor.  Keeps loop, ops and arg. */
MUST_CHECK err_t talks_open(struct talks *t, struct loop *loop, const struct talks_ops *ops,
                            void *arg);
/* Listens to somebody who called; takes fd. */
void talks_accept(struct talks *t, int fd, const struct cluster_addr *from);
/*
 * Calls a node: purpose is PEER_SYNC or PEER_PROBE, id who must answer, or 0.  Not if one of that
 * purpose to that place is under way already, or there are too many.
 */
void talks_call(struct talks *t, enum peer_purpose purpose, const struct cluster_addr *to,
                node_id id);
/* Ends all conversations without a word; twice is fine. */
void talks_close(struct talks *t);
