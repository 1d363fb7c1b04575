/*
 * move.c - taking a page out of a class.
 *
 * A page is drained: it is taken out of its class, so that its free chunks are not handed out, and
 * what lies in the others is moved to other chunks of the class (rescue) or evicted.  When all its
 * chunks are free it goes to the pool or to the class that wants it.  Who asks is balance.c, in the
 * background, and a write that finds nothing to evict in its own class (move_steal), at once.  A
 * page that does not empty (a reader holds a value, a thread's stock a chunk) goes back.
 */
#include "store/move.h"
#include "store/grip.h"

#include <assert.h>

#define STEAL_TRIES 8
#define EMPTY_LOOKS 256u /* pages looked at for one that is empty already */

static void
chunk_copy(struct item *to, const struct item *from, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes; at += 8) {
        item_store_word(to, at, item_load_word(from, at));
    }
}

static void
moved_count(struct store_ctx *c, enum metric what)
{
    metric_add(c->metrics, what, 1);
}

/* Frees a chunk of the page that is being drained. */
static void
chunk_leave(struct store_ctx *c, struct item *chunk)
{
    slab_wipe(chunk);
    slab_give(&c->store->slab, chunk);
}

static void
pieces_set_owner(struct store *s, struct item *it)
{
    if (!(item_meta(it) & ITEM_IS_BIG)) {
        return;
    }
    uint64_t owner = slab_handle(&s->slab, it);
    uint64_t h = atomic_load_explicit(&item_big(it)->piece, memory_order_relaxed);
    while (h != 0) {
        struct item *piece = slab_item(&s->slab, h);
        item_store_word(piece, 16, owner);
        h = item_load_version(piece);
    }
}

/* Removes what is gripped: dead, or sacrificed. */
static void
gripped_evict(struct store_ctx *c, struct slab_class *k, struct grip *g, enum removal why)
{
    spin_lock(&k->lock);
    struct item *it = grip_remove(c, k, g, why, -1);
    k->evicted_before += why == REMOVE_EVICT; /* no sign that the class wants more memory */
    spin_unlock(&k->lock);
    item_release(c, it);
}

/*
 * A free chunk for what lives in a page that is being cleared.  Who asked for a page of this class
 * wants the class to have one less; otherwise memory that nobody has is better than a loss.  What
 * was hit lately may have the chunk of what the class would evict next.
 */
static struct item *
rescue_chunk(struct store_ctx *c, struct slab_class *k, const struct move *m, bool wanted)
{
    struct item *to = m->rescue ? chunk_take_free(c, k->id, !m->asked) : NULL;

    if (to == NULL && m->rescue && wanted && c->store->config.evict && evict_one(c, k->id)) {
        spin_lock(&k->lock);
        k->evicted_before++; /* as in gripped_evict() */
        spin_unlock(&k->lock);
        to = chunk_take_free(c, k->id, false);
    }
    return to;
}

/* Moves a gripped item to another chunk of its class.  False: there is none free. */
static bool
item_rescue(struct store_ctx *c, struct slab_class *k, struct grip *g, const struct move *m)
{
    struct store *s = c->store;
    struct item *to = rescue_chunk(c, k, m, (item_seen(g->it) & SEEN_FREQ_MASK) > 0);

    if (to == NULL) {
        return false;
    }
    chunk_copy(to, g->it, item_chunk_bytes(g->it, g->meta));
    pieces_set_owner(s, to);
    uint64_t v = slot_load(g->slot) & ~SLOT_HANDLE_MASK;
    atomic_store_explicit(g->slot, v | slab_handle(&s->slab, to), memory_order_relaxed);
    evict_admit(c, to);
    chunk_leave(c, g->it);
    grip_drop(g);
    moved_count(c, M_MOVE_RESCUES);
    return true;
}

/* Something stays where it is. */
static void
move_is_busy(struct store_ctx *c, struct move *m, enum move_busy why)
{
    m->busy = why;
    moved_count(c, why == BUSY_NOMEM ? M_MOVE_BUSY_NOMEM : M_MOVE_BUSY_ITEMS);
}

static void
chunk_clear_item(struct store_ctx *c, struct slab_class *k, struct item *it, struct move *m)
{
    struct grip g;

    if (!grip_take(c->store, it, &g)) {
        move_is_busy(c, m, BUSY_WRITER);
        return;
    }
    if (grip_is_pinned(&g)) {
        grip_drop(&g);
        move_is_busy(c, m, BUSY_READER);
        return;
    }
    if (item_is_dead(c, it)) {
        gripped_evict(c, k, &g, REMOVE_DEAD_WRITER);
        moved_count(c, M_MOVE_RECLAIMS);
        return;
    }
    if (item_rescue(c, k, &g, m)) {
        return;
    }
    if (!c->store->config.evict) { /* -M: nothing may be lost for a page's sake */
        grip_drop(&g);
        move_is_busy(c, m, BUSY_NOMEM);
        return;
    }
    gripped_evict(c, k, &g, REMOVE_EVICT);
    moved_count(c, M_MOVE_BUSY_DELETES);
}

/* Puts `to` in place of `from` in the owner's chain. */
static void
piece_relink(struct store *s, struct item *owner, struct item *from, struct item *to)
{
    uint64_t old = slab_handle(&s->slab, from), new = slab_handle(&s->slab, to);
    uint64_t h = atomic_load_explicit(&item_big(owner)->piece, memory_order_relaxed);

    if (h == old) {
        atomic_store_explicit(&item_big(owner)->piece, new, memory_order_relaxed);
        return;
    }
    while (h != 0) {
        struct item *piece = slab_item(&s->slab, h);
        h = item_load_version(piece);
        if (h == old) {
            item_store_version(piece, new);
            return;
        }
    }
    assert(0 && "a piece is in its owner's chain");
}

static void
chunk_clear_piece(struct store_ctx *c, struct slab_class *k, struct item *piece, struct move *m)
{
    struct store *s = c->store;
    struct item *owner = grip_owner(&s->slab, piece);
    struct grip g;

    if (owner == NULL || !grip_take(s, owner, &g)) {
        move_is_busy(c, m, BUSY_WRITER);
        return;
    }
    bool mine = meta_kind(item_meta(piece)) == ITEM_PIECE &&
                slab_item(&s->slab, item_load_word(piece, 16)) == owner;
    if (!mine || grip_is_pinned(&g)) {
        grip_drop(&g);
        move_is_busy(c, m, mine ? BUSY_READER : BUSY_WRITER);
        return;
    }
    struct item *to = rescue_chunk(c, k, m, (item_seen(owner) & SEEN_FREQ_MASK) > 0);
    if (to != NULL) {
        chunk_copy(to, piece, PIECE_HEADER + piece_bytes(piece));
        piece_relink(s, owner, piece, to);
        chunk_leave(c, piece);
        grip_drop(&g);
        moved_count(c, M_MOVE_CHUNK_RESCUES);
    } else if (s->config.evict) {
        uint8_t id = slab_shown_class(&s->slab, owner, g.meta);
        gripped_evict(c, &s->slab.classes[id], &g, REMOVE_EVICT);
        moved_count(c, M_MOVE_BUSY_DELETES);
    } else {
        grip_drop(&g);
        move_is_busy(c, m, BUSY_NOMEM);
    }
}

unsigned
move_walk(struct store_ctx *c, struct move *m, unsigned budget)
{
    struct slab *s = &c->store->slab;
    struct slab_class *k = &s->classes[m->class_id];
    unsigned n = 0;

    for (; m->next_chunk < k->per_page && n < budget; m->next_chunk++, n++) {
        struct item *it =
            (struct item *)(void *)(slab_page_start(s, m->page) + (size_t)m->next_chunk * k->chunk);
        switch (meta_kind(item_meta(it))) {
        case ITEM_LINKED:
            chunk_clear_item(c, k, it, m);
            break;
        case ITEM_PIECE:
            chunk_clear_piece(c, k, it, m);
            break;
        case ITEM_FREE:
        case ITEM_PRIVATE:
            break;
        }
    }
    return n;
}

void
move_begin_locked(struct store_ctx *c, struct move *m, struct slab_class *k, uint32_t slot,
                  uint8_t to)
{
    *m = (struct move){ .page = k->pages[slot], .class_id = k->id, .to = to };
    slab_page_drain_locked(&c->store->slab, k, m->page);
}

enum move_result
move_look(struct store_ctx *c, struct move *m, unsigned rounds_max)
{
    struct slab *s = &c->store->slab;
    struct slab_class *k = &s->classes[m->class_id];
    enum move_result r = MOVE_GOES_ON;

    /* Our own stock must not be what it waits for. */
    for (struct item *chunk; (chunk = stock_pop(&c->stocks[k->id])) != NULL;) {
        slab_give(s, chunk);
    }
    spin_lock(&k->lock);
    uint32_t free_count = s->pages[m->page].free_count;
    if (free_count == k->per_page) {
        r = MOVE_DONE;
    } else {
        m->busy = m->busy == BUSY_NOT ? BUSY_TAKEN : m->busy;
        m->rounds = free_count > m->freed ? 1 : m->rounds + 1;
        if (m->rounds >= rounds_max) {
            slab_page_restore_locked(s, k, m->page);
            r = MOVE_GAVE_UP;
        }
    }
    m->freed = free_count;
    m->next_chunk = 0;
    spin_unlock(&k->lock);
    return r;
}

int64_t
move_empty_page_locked(const struct slab *s, const struct slab_class *k)
{
    uint32_t page = k->free_chunks >= k->per_page ? k->partial : SLAB_NO_PAGE;

    for (unsigned i = 0; i < EMPTY_LOOKS && page != SLAB_NO_PAGE; i++, page = s->pages[page].next) {
        if (s->pages[page].free_count == k->per_page) {
            return s->pages[page].slot;
        }
    }
    return -1;
}

/* Begins with an empty page of any class but the one that wants it. */
static bool
steal_empty(struct store_ctx *c, struct move *m, uint8_t but)
{
    struct store *s = c->store;
    bool found = false;

    for (unsigned id = 1; id <= s->slab.table.count && !found; id++) {
        struct slab_class *k = &s->slab.classes[id];
        if (id == but) {
            continue;
        }
        spin_lock(&k->lock);
        int64_t slot = move_empty_page_locked(&s->slab, k);
        if (slot >= 0) {
            move_begin_locked(c, m, k, (uint32_t)slot, but);
            found = true;
        }
        spin_unlock(&k->lock);
    }
    return found;
}

/* Does nothing live in the page?  Looks no further than the first that does. Class locked. */
static bool
page_is_dead_locked(const struct store_ctx *c, const struct slab_class *k, uint32_t page)
{
    const char *start = slab_page_start(&c->store->slab, page);

    for (uint32_t i = 0; i < k->per_page; i++) {
        const struct item *it = (const void *)(start + (size_t)i * k->chunk);
        enum item_kind kind = meta_kind(item_meta(it));
        if (kind != ITEM_FREE && (kind != ITEM_LINKED || !item_is_dead(c, it))) {
            return false;
        }
    }
    return true;
}

/* Begins with some page of the class that has most, with luck another one each time. */
static bool
steal_full(struct store_ctx *c, struct move *m, uint8_t but, unsigned attempt)
{
    struct store *s = c->store;
    struct slab_class *best = NULL;
    uint32_t most = 0;

    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct slab_class *k = &s->slab.classes[id];
        spin_lock(&k->lock);
        uint32_t pages = k->page_count;
        spin_unlock(&k->lock);
        /* Later attempts look elsewhere: the largest class may be all pinned. */
        if (id != but && pages > most &&
            (attempt < STEAL_TRIES / 2 || rng_below(&c->rng, 2) == 0)) {
            best = k;
            most = pages;
        }
    }
    if (best == NULL) {
        return false;
    }
    spin_lock(&best->lock);
    uint32_t slot = best->page_count > 0 ? (uint32_t)rng_below(&c->rng, best->page_count) : 0;
    bool ok = best->page_count > 0 &&
              (s->config.evict || page_is_dead_locked(c, best, best->pages[slot]));
    if (ok) {
        move_begin_locked(c, m, best, slot, but);
    }
    spin_unlock(&best->lock);
    return ok;
}

bool
move_steal(struct store_ctx *c, uint8_t for_class)
{
    struct store *s = c->store;
    struct slab_class *to = &s->slab.classes[for_class];
    bool got = false;

    spin_lock(&s->steal_lock);
    for (unsigned i = 0; i < STEAL_TRIES && !got; i++) {
        struct move m;
        if (!steal_empty(c, &m, for_class) && !steal_full(c, &m, for_class, i)) {
            continue;
        }
        (void)move_walk(c, &m, UINT32_MAX);
        if (move_look(c, &m, 1) == MOVE_DONE) {
            got = slab_page_pass(&s->slab, m.page, to);
            event_moved(c, m.class_id, for_class, got);
            metric_add(c->metrics, M_PAGES_MOVED, 1);
        }
    }
    spin_unlock(&s->steal_lock);
    return got;
}
