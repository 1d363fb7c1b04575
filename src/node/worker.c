#include "node/worker.h"
#include "cluster/view.h"
#include "node/peers.h"
#include "node/pending.h"
#include "node/strays.h"
#include "node/watch.h"
#include <assert.h>
#include <stdlib.h>

/* The kernel copies into and out of these two at every turn: whole cache lines, and the slack
 * behind rx lets a scanner look at words. */
#define RX_SLACK 64u

struct worker *
worker_new(struct node *n, unsigned index)
{
    struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof *w);

    assert(n);
    if (!w) {
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->node = n;
    w->index = index;
    w->rx = aligned_alloc(64, WORKER_RX_BYTES + RX_SLACK);
    w->tx = aligned_alloc(64, WORKER_TX_BYTES);
    w->ctx = store_ctx_new(n->store, &w->metrics);
    if (!w->rx || !w->tx || !w->ctx) {
        worker_free(w);
        return NULL;
    }
    memset(w->rx + WORKER_RX_BYTES, 0, RX_SLACK);
    txq_pool_init(&w->txq, w->ctx);
    metric_add(&w->metrics, M_READ_BUFS, 1);
    metric_add(&w->metrics, M_READ_BUF_BYTES, WORKER_RX_BYTES);
    return w;
}

void
worker_free(struct worker *w)
{
    if (!w) {
        return;
    }
    assert(!worker_holder(w) && !w->watching);
    peers_free(w->peers);
    pending_fini(w);
    txq_pool_fini(&w->txq);
    buf_free(&w->blob);
    if (w->ctx) {
        store_ctx_free(w->ctx);
    }
    free(w->rx);
    free(w->tx);
    free(w);
}

/*
 * Takes the node's newest view.  Whoever made it frees an older one when all workers have said that
 * they are past it.
 */
static inline void
worker_adopt(struct worker *w)
{
    const struct view *v = atomic_load_explicit(&w->node->view, memory_order_acquire);

    if (__builtin_expect(v == w->view, 1)) {
        return;
    }
    if (!w->peers) {
        w->peers = peers_new(w, v->number ^ (uint64_t)w->index << 32);
        if (!w->peers) {
            metric_add(&w->metrics, M_MALLOC_FAILS, 1);
            return; /* the next turn tries again */
        }
    }
    w->view = v;
    strays_adopt(w);
    peers_view(w->peers, v, w->now);
    atomic_store_explicit(&w->view_seen, v->number, memory_order_release);
}

void
worker_turn(struct worker *w, usec_t now)
{
    w->now = now;
    store_turn(w->ctx, now);
    worker_adopt(w);
}

void
worker_look(struct worker *w)
{
    bool detail = SETTINGS_LIVE(w->node->settings->admin.detail_enabled);

    w->observed = watches_streams(w->node->watches) | (detail ? WORKER_DETAIL : 0);
}
