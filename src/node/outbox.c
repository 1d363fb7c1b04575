#include "node/outbox.h"
#include <assert.h>
#include <stdlib.h>

#define SPARE_MAX 64u /* blocks: 4 MiB */

void
outbox_pool_fini(struct outbox_pool *p)
{
    while (p->spare) {
        struct outbox_block *b = p->spare;

        p->spare = b->next;
        free(b);
    }
    p->spare_count = 0;
}

void
outbox_hold(struct outbox_block *b)
{
    b->held++;
}

void
outbox_release(struct outbox_pool *p, struct outbox_block *b)
{
    assert(b->held > 0);
    if (--b->held > 0) {
        return;
    }
    if (p->spare_count == SPARE_MAX) {
        free(b);
        return;
    }
    b->next = p->spare;
    p->spare = b;
    p->spare_count++;
}

static struct outbox_block *
block_new(struct outbox_pool *p)
{
    struct outbox_block *b = p->spare;

    if (b) {
        p->spare = b->next;
        p->spare_count--;
    } else {
        b = malloc(sizeof *b);
        if (!b) {
            return NULL;
        }
    }
    b->next = NULL;
    b->held = 1;
    b->used = 0;
    b->sent = 0;
    return b;
}

/* Takes blocks off the front that are sent, but for the last one, which may be filled further. */
static void
outbox_trim(struct outbox *o, struct outbox_pool *p)
{
    while (o->first && o->first->sent == o->first->used) {
        struct outbox_block *b = o->first;

        if (b == o->last) {
            if (b->held == 1) { /* and nobody looks at what is in it: from the start again */
                b->used = 0;
                b->sent = 0;
            }
            return;
        }
        o->first = b->next;
        outbox_release(p, b);
    }
}

bool
outbox_reserve(struct outbox *o, struct outbox_pool *p, size_t n)
{
    struct outbox_block *b = o->last;

    assert(n <= OUTBOX_BLOCK);
    if (b && OUTBOX_BLOCK - b->used >= n) {
        return true;
    }
    b = block_new(p);
    if (!b) {
        return false;
    }
    if (o->last) {
        o->last->next = b;
    } else {
        o->first = b;
    }
    o->last = b;
    outbox_trim(o, p);
    return true;
}

void
outbox_add(struct outbox *o, size_t n)
{
    assert(o->last && OUTBOX_BLOCK - o->last->used >= n);
    o->last->used += (uint32_t)n;
    o->unsent += n;
}

int
outbox_iov(const struct outbox *o, struct iovec *iov, int max)
{
    int count = 0;

    for (struct outbox_block *b = o->first; b && count < max; b = b->next) {
        if (b->used > b->sent) {
            iov[count++] = (struct iovec){ .iov_base = b->bytes + b->sent,
                                           .iov_len = b->used - b->sent };
        }
    }
    return count;
}

void
outbox_done(struct outbox *o, struct outbox_pool *p, size_t n)
{
    assert(n <= o->unsent);
    o->unsent -= n;
    for (struct outbox_block *b = o->first; n > 0; b = b->next) {
        size_t step = b->used - b->sent < n ? b->used - b->sent : n;

        b->sent += (uint32_t)step;
        n -= step;
    }
    outbox_trim(o, p);
}

void
outbox_drop(struct outbox *o, struct outbox_pool *p)
{
    while (o->first) {
        struct outbox_block *b = o->first;

        o->first = b->next;
        outbox_release(p, b);
    }
    *o = (struct outbox){ 0 };
}
