/*
 * serve.h - the other end of a link: executes the commands that another node sends, and answers in
 * their clients' protocols.
 *
 * It is the inside of a session that speaks frames (SESSION_PEER).  What is executed here is never
 * sent on.  All calls: the worker's thread; serve_frame() while the session holds the worker's
 * buffers.
 */
#pragma once
#include "node/dialog.h"
#include "node/lane.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct serve;

enum serve_end {
    SERVE_GO,   /* call again */
    SERVE_MORE, /* the frame is not all there */
    SERVE_FULL, /* answers have to go first */
};

/* The state of a connection of that kind; NULL without memory.  Gives. */
struct serve *serve_new(void);
/* NULL is fine. */
void serve_free(struct worker *w, struct serve *s);

/* Some more of the input was read: what is in it waits from now on, see PEER_EXPIRED. */
void serve_heard(struct serve *s, usec_t now);
/* Executes the frame at the front of the input, or some more of it. */
enum serve_end serve_frame(struct dialog *d);

/* As session_tx() and session_tx_done(): the answers, and long values in parts between them. */
int serve_tx(struct dialog *d, struct iovec *iov, int max);
void serve_tx_done(struct dialog *d, size_t n);
/* Bytes of long values that are not sent. */
size_t serve_owes(const struct serve *s);
