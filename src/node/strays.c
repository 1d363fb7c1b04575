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
    struct strays_fence *f = &n->fence[v->ring_number % NODE_FENCES];

    spin_lock(&n->fence_lock);
    if (f->ring_number != v->ring_number) {
        *f = (struct strays_fence){ v->ring_number, store_last_version(w->ctx) };
    }
    store_observe_version(w->ctx, f->version);
    spin_unlock(&n->fence_lock);
}

/*
 * The newest version from before the ring of that number.  One that came and went before any worker
 * lived by it counts as the next that one did; NEVER: no worker has lived by it or a later one.
 * Under fence_lock.
 */
static uint64_t
fence_find(const struct node *n, uint64_t ring_number)
{
    struct strays_fence first = { UINT64_MAX, NEVER };

    for (unsigned i = 0; i < NODE_FENCES; i++) {
        const struct strays_fence *f = &n->fence[i];

        if (f->ring_number >= ring_number && f->ring_number < first.ring_number) {
            first = *f;
        }
    }
    return first.version;
}

static uint64_t
fence_of(struct node *n, uint64_t ring_number)
{
    uint64_t version;

    spin_lock(&n->fence_lock);
    version = fence_find(n, ring_number);
    spin_unlock(&n->fence_lock);
    return version;
}

void
strays_expel(struct worker *w, const struct command *c)
{
    uint64_t since = view_owned_since(w->view, c->key, c->hash);

    if (since != 0 && store_expel(w->ctx, c->key, c->hash, fence_of(w->node, since))) {
        metric_add(&w->metrics, M_STRAYS, 1);
    }
}

/* -- the walk ---------------------------------------------------------------------------------- */

struct sweep {
    struct node       *node;
    const struct view *view;
    struct store_ctx  *ctx;
};

/*
 * Removes a record that is another node's by the view, unless a worker lives by a later ring and
 * wrote it since.  No worker adopts one meanwhile: that takes the lock.
 */
static bool
sweep_foreign(struct sweep *s, struct slice key, uint64_t hash)
{
    struct node *n = s->node;
    bool removed;

    spin_lock(&n->fence_lock);
    removed = store_expel(s->ctx, key, hash, fence_find(n, s->view->ring_number + 1));
    spin_unlock(&n->fence_lock);
    return removed;
}

static void
sweep_record(void *arg, const struct store_record *r, uint8_t class_id)
{
    struct sweep *s = arg;
    uint64_t hash = store_hash(r->key), since;
    bool removed;

    (void)class_id;
    if (ring_owner(s->view->ring, r->key, hash) != s->view->self) {
        removed = sweep_foreign(s, r->key, hash);
    } else {
        since = view_owned_since(s->view, r->key, hash);
        removed = since != 0 && store_expel(s->ctx, r->key, hash, fence_of(s->node, since));
    }
    if (removed) {
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
    if (!store_scan(ctx, &walk->cursor, budget, sweep_record, &s)) {
        return true;
    }
    atomic_store_explicit(&n->swept, v->ring_number, memory_order_release);
    return false;
}
