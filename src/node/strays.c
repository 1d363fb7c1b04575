#include "node/strays.h"
#include "base/spin.h"
#include "store/store.h"

#define NEVER UINT64_MAX

/*
 * The first worker that lives by a ring says what was the newest version before: what is written
 * from now on to a key that came back is not stray.
 */
void
strays_adopt(struct worker *w)
{
    struct node *n = w->node;
    const struct view *v = w->view;

    if (!view_has_past(v)) {
        return;
    }
    spin_lock(&n->fence_lock);
    if (atomic_load_explicit(&n->fence_ring, memory_order_relaxed) < v->ring_number) {
        atomic_store_explicit(&n->fence, store_last_version(w->ctx), memory_order_relaxed);
        atomic_store_explicit(&n->fence_ring, v->ring_number, memory_order_relaxed);
    }
    spin_unlock(&n->fence_lock);
}

void
strays_expel(struct worker *w, const struct command *c)
{
    uint64_t fence = atomic_load_explicit(&w->node->fence, memory_order_relaxed);

    if (!view_always_owned(w->view, c->key, c->hash) &&
        store_expel(w->ctx, c->key, c->hash, fence)) {
        metric_add(&w->metrics, M_STRAYS, 1);
    }
}

/* -- the walk ---------------------------------------------------------------------------------- */

struct sweep {
    struct node       *node;
    const struct view *view;
    struct store_ctx  *ctx;
    uint64_t           fence;
};

static void
sweep_record(void *arg, const struct store_record *r, uint8_t class_id)
{
    struct sweep *s = arg;
    uint64_t hash = store_hash(r->key), newest = s->fence;

    (void)class_id;
    if (ring_owner(s->view->ring, r->key, hash) != s->view->self) {
        newest = NEVER; /* not ours, whenever it was written */
    } else if (view_always_owned(s->view, r->key, hash)) {
        return;
    }
    if (store_expel(s->ctx, r->key, hash, newest)) {
        metric_add(&s->node->upkeep, M_STRAYS, 1);
    }
}

/* True if no worker goes by an older ring any more. */
static bool
ring_is_adopted(const struct node *n, const struct view *v)
{
    for (unsigned i = 0; i < n->worker_count; i++) {
        if (atomic_load_explicit(&n->workers[i]->view_seen, memory_order_acquire) <
            v->ring_number) {
            return false;
        }
    }
    return true;
}

bool
strays_step(struct node *n, const struct view *v, struct store_ctx *ctx, struct strays_walk *walk,
            unsigned budget)
{
    struct sweep s = { .node = n, .view = v, .ctx = ctx };

    if (!view_has_past(v) ||
        atomic_load_explicit(&n->swept, memory_order_relaxed) >= v->ring_number ||
        !ring_is_adopted(n, v)) {
        return false;
    }
    if (walk->ring_number != v->ring_number) {
        *walk = (struct strays_walk){ .ring_number = v->ring_number };
    }
    s.fence = atomic_load_explicit(&n->fence, memory_order_relaxed);
    if (!store_scan(ctx, &walk->cursor, budget, sweep_record, &s)) {
        return true;
    }
    atomic_store_explicit(&n->swept, v->ring_number, memory_order_release);
    return false;
}
