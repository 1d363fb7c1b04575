/*
 * mailbox.h - messages from one thread to another: a ring of pointers and a wake-up.
 *
 * Exactly one thread puts and exactly one thread, that of the loop, takes.  A
 * message is a pointer that changes owner; the mailbox never looks behind it.
 */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mailbox {
    struct loop *loop; /* of the receiver; kept */
    void       **ring;
    size_t       mask;
    /* Called in the receiver's thread for each message, in order. */
    void (*receive)(void *arg, void *message);
    void        *arg; /* kept */
    struct ev_async arrived;
    /* Each side writes its own line, so that they do not fight for it. */
    _Alignas(64) _Atomic size_t head; /* next to take; written by the receiver */
    _Alignas(64) _Atomic size_t tail; /* next to put; written by the sender */
};

/*
 * Prepares a mailbox for at least capacity messages.  Before the two threads
 * start, or in the receiver's with the sender not started.
 */
MUST_CHECK err_t mailbox_init(struct mailbox *m, struct loop *loop, size_t capacity,
                              void (*receive)(void *arg, void *message), void *arg);
/*
 * Stops listening and frees the ring, with both threads done.  Messages left
 * are the owner's concern: mailbox_take() them first.
 */
void mailbox_fini(struct mailbox *m);

/* Sends; message is not NULL.  False: the ring is full, nothing was sent.  Sender's thread. */
MUST_CHECK bool mailbox_put(struct mailbox *m, void *message);
/* The oldest message, or NULL.  Receiver's thread. */
void *mailbox_take(struct mailbox *m);
