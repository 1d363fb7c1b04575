#include "net/mailbox.h"

#include <assert.h>
#include <stdlib.h>

static void
mailbox_on_arrived(struct ev_loop *ev, struct ev_async *w, int events)
{
    struct mailbox *m = w->data;
    void *message;

    (void)ev;
    (void)events;
    while ((message = mailbox_take(m)) != NULL) {
        m->receive(m->arg, message);
    }
}

err_t
mailbox_init(struct mailbox *m, struct loop *loop, size_t capacity,
             void (*receive)(void *arg, void *message), void *arg)
{
    size_t size = 1;

    assert(capacity > 0 && capacity <= SIZE_MAX / 4 / sizeof *m->ring);
    while (size < capacity) {
        size *= 2;
    }
    m->ring = calloc(size, sizeof *m->ring);
    if (m->ring == NULL) {
        return ERR_NOMEM;
    }
    m->mask = size - 1;
    m->loop = loop;
    m->receive = receive;
    m->arg = arg;
    atomic_init(&m->head, 0);
    atomic_init(&m->tail, 0);
    ev_async_init(&m->arrived, mailbox_on_arrived);
    m->arrived.data = m;
    ev_async_start(loop->ev, &m->arrived);
    return ERR_OK;
}

void
mailbox_fini(struct mailbox *m)
{
    if (m->ring == NULL) {
        return;
    }
    ev_async_stop(m->loop->ev, &m->arrived);
    free(m->ring);
    m->ring = NULL;
}

bool
mailbox_put(struct mailbox *m, void *message)
{
    size_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);

    assert(message != NULL);
    if (tail - atomic_load_explicit(&m->head, memory_order_acquire) > m->mask) {
        return false;
    }
    m->ring[tail & m->mask] = message;
    atomic_store_explicit(&m->tail, tail + 1, memory_order_release);
    /* Costs a system call only if the receiver has not seen the last one yet. */
    ev_async_send(m->loop->ev, &m->arrived);
    return true;
}

void *
mailbox_take(struct mailbox *m)
{
    size_t head = atomic_load_explicit(&m->head, memory_order_relaxed);
    void *message;

    if (head == atomic_load_explicit(&m->tail, memory_order_acquire)) {
        return NULL;
    }
    message = m->ring[head & m->mask];
    atomic_store_explicit(&m->head, head + 1, memory_order_release);
    return message;
}
