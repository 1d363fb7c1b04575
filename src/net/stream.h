/*
 * stream.h - one connected socket, driven by somebody who sees bytes only.
 *
 * The stream owns the descriptor and decides when to read and when to write; what
 * the bytes mean is behind a table of functions.  In the common case a turn costs
 * one recv() and one send(): replies are written at once after the read, the socket
 * is watched for room only if a write came up short, and it is never read again just
 * to see EAGAIN.
 *
 * Back-pressure: while bytes wait to be sent, input is taken only as long as the owner
 * wants more of it.  A client that writes a long pipeline before it reads so gets rid of
 * its requests, up to what the owner is willing to owe it.
 *
 * Answers may come from elsewhere, later: tx() names nothing, is_over() is false, rx_space() may
 * name nothing either, and has_work() must be false, for as long as the owner waits.  It says so
 * with stream_push() when it has more; half-closed and draining streams end only then.
 *
 * All calls: the thread of the loop.
 */
#pragma once
#include "base/clock.h"
#include "net/loop.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Why a stream ended. */
enum stream_end {
    STREAM_DONE,   /* both sides had their say */
    STREAM_RESET,  /* the socket failed */
    STREAM_NOMEM,  /* park() had no memory */
    STREAM_KILLED, /* stream_kill() */
};

/* What a stream asks of its owner; arg is the one given to stream_start(). */
struct stream_ops {
    /* Where the next bytes belong; {NULL, 0}: none are taken now. */
    struct iovec (*rx_space)(void *arg);
    /* True if more input is wanted although replies wait to be sent: rx_space() has room. */
    bool (*wants_more)(void *arg);
    /* n > 0 bytes were read into that space. */
    void (*rx)(void *arg, size_t n, usec_t now);
    /* The peer sends no more. */
    void (*rx_end)(void *arg);
    /* Up to max spans to send; returns how many.  Lent until tx_done(). */
    int (*tx)(void *arg, struct iovec *iov, int max);
    /* The first n of those bytes are gone. */
    void (*tx_done)(void *arg, size_t n);
    /* There is input that was put off: call resume(). */
    bool (*has_work)(void *arg);
    void (*resume)(void *arg, usec_t now);
    /* The turn is over.  False: no memory, the connection must close. */
    bool (*park)(void *arg);
    /* Everything is said: close. */
    bool (*is_over)(void *arg);
    /* The descriptor is closed, this is the last call: the owner may free the stream. */
    void (*closed)(void *arg, enum stream_end why);
};

/* Small, because there is one for each connection.  A zeroed one is not started. */
struct stream {
    struct ev_io io;
    struct loop *loop;
    const struct stream_ops *ops;
    void *arg;
    struct loop_job job; /* waits while has_work() */
    int error;           /* errno of what made it STREAM_RESET, else 0 */
    bool eof;            /* rx_end() was told */
    bool draining;       /* ends as soon as nothing is left to read or send */
};

/* Takes the descriptor, which must be non-blocking, and begins to read.  Keeps ops and arg. */
void stream_start(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                  void *arg);
/*
 * Runs a turn now, because the owner has something to send or takes input again; ends with park().
 * May end the stream: it may be gone when this returns.  Not from within one of its ops.
 */
void stream_push(struct stream *s);
/*
 * Reads and answers what has arrived already, then ends.  The stream may be
 * gone when this returns.
 */
void stream_drain(struct stream *s);
/* Closes at once.  The stream may be gone when this returns. */
void stream_kill(struct stream *s);
int stream_fd(const struct stream *s);

/*
 * Has the kernel take no more than so many bytes that it has not sent yet (TCP): what the owner
 * decides to say next is not behind more than those.  Where that is unknown, nothing.
 */
void stream_limit_unsent(struct stream *s, int bytes);
