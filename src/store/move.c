/*
 * move.c - pages go where they are worth most.
 *
 * A page is drained: it is taken out of its class, so that its free chunks are not handed out, and
 * what lies in the others is moved to other chunks of the class (rescue) or evicted.  When all its
 * chunks are free it goes to the pool, and from there to the class that wants it.  Who asks:
 *   - a write that finds nothing to evict in its own class (move_steal), at once;
 *   - the rebalancer: once a second it compares how long items live in the class that evicts the
 * youngest with how long the coldest of the others have been idle, and moves some pages if the gap
 * is worth it;
 *   - shrinking, after cache_memlimit or when the table grew.
 * A page that does not empty (a reader holds a value, a thread's stock a chunk) goes back and
 * another one is tried.
 */
#include "store/grip.h"

#include <assert.h>

#define STALLED_ROUNDS 8 /* passes without progress before a page is given back */
#define STEAL_TRIES    8
#define FAILED_MAX     4u   /* pages given back in a second before the rest waits for the next */
#define EMPTY_LOOKS    256u /* pages looked at for one that is empty already */
#define MOVES_PER_SEC  16u  /* pages, or */
#define MOVES_FRACTION 128u /* this part of all of them */
#define AGE_RATIO      0.8  /* as memcached's slab_automove_ratio */
#define SAMPLES        16

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

/* Moves a gripped item to another chunk of its class.  False: there is none free. */
static bool
item_rescue(struct store_ctx *c, struct slab_class *k, struct grip *g)
{
    struct store *s = c->store;
    struct item *to = chunk_take_free(c, k->id);

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

static void
chunk_clear_item(struct store_ctx *c, struct slab_class *k, struct item *it, bool rescue)
{
    struct grip g;

    if (!grip_take(c->store, it, &g)) {
        moved_count(c, M_MOVE_BUSY_ITEMS);
        return;
    }
    if (grip_is_pinned(&g)) {
        grip_drop(&g);
        moved_count(c, M_MOVE_BUSY_ITEMS);
        return;
    }
    if (item_is_dead(c, it)) {
        gripped_evict(c, k, &g, REMOVE_DEAD_WRITER);
        moved_count(c, M_MOVE_RECLAIMS);
        return;
    }
    if (rescue && item_rescue(c, k, &g)) {
        return;
    }
    if (!c->store->config.evict) { /* -M: nothing may be lost for a page's sake */
        grip_drop(&g);
        moved_count(c, M_MOVE_BUSY_NOMEM);
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
chunk_clear_piece(struct store_ctx *c, struct slab_class *k, struct item *piece, bool rescue)
{
    struct store *s = c->store;
    struct item *owner = grip_owner(&s->slab, piece);
    struct grip g;

    if (owner == NULL || !grip_take(s, owner, &g)) {
        moved_count(c, M_MOVE_BUSY_ITEMS);
        return;
    }
    bool mine = meta_kind(item_meta(piece)) == ITEM_PIECE &&
                slab_item(&s->slab, item_load_word(piece, 16)) == owner;
    if (!mine || grip_is_pinned(&g)) {
        grip_drop(&g);
        moved_count(c, M_MOVE_BUSY_ITEMS);
        return;
    }
    struct item *to = rescue ? chunk_take_free(c, k->id) : NULL;
    if (to != NULL) {
        chunk_copy(to, piece, PIECE_HEADER + piece_bytes(piece));
        piece_relink(s, owner, piece, to);
        chunk_leave(c, piece);
        grip_drop(&g);
        moved_count(c, M_MOVE_CHUNK_RESCUES);
    } else if (s->config.evict) {
        gripped_evict(c, &s->slab.classes[slab_class_of(&s->slab, owner)], &g, REMOVE_EVICT);
        moved_count(c, M_MOVE_BUSY_DELETES);
    } else {
        grip_drop(&g);
        moved_count(c, M_MOVE_BUSY_NOMEM);
    }
}

/* Goes on with a page; returns chunks looked at. */
static unsigned
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
            chunk_clear_item(c, k, it, m->rescue);
            break;
        case ITEM_PIECE:
            chunk_clear_piece(c, k, it, m->rescue);
            break;
        case ITEM_FREE:
        case ITEM_PRIVATE:
            break;
        }
    }
    return n;
}

/* Takes the page with this place in its class out of it. Class locked. */
static void
move_begin_locked(struct store *s, struct move *m, struct slab_class *k, uint32_t slot, bool rescue)
{
    *m = (struct move){ .page = k->pages[slot], .class_id = k->id, .rescue = rescue };
    slab_page_drain_locked(&s->slab, k, m->page);
}

enum move_result { MOVE_GOES_ON, MOVE_DONE, MOVE_GAVE_UP };

/* After a pass: is the page empty, or is there no hope? */
static enum move_result
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

/* The place of a page of the class that is empty already, or -1. Class locked. */
static int64_t
class_empty_page_locked(const struct slab *s, const struct slab_class *k)
{
    uint32_t page = k->free_chunks >= k->per_page ? k->partial : SLAB_NO_PAGE;

    for (unsigned i = 0; i < EMPTY_LOOKS && page != SLAB_NO_PAGE; i++, page = s->pages[page].next) {
        if (s->pages[page].free_count == k->per_page) {
            return s->pages[page].slot;
        }
    }
    return -1;
}

/* Begins with an empty page of any class but one. */
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
        int64_t slot = class_empty_page_locked(&s->slab, k);
        if (slot >= 0) {
            move_begin_locked(s, m, k, (uint32_t)slot, false);
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
        move_begin_locked(s, m, best, slot, false);
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
            metric_add(c->metrics, M_PAGES_MOVED, 1);
        }
    }
    spin_unlock(&s->steal_lock);
    return got;
}

enum store_asked
store_move_page(struct store *s, int src, int dst)
{
    (void)s;
    (void)src;
    (void)dst;
    return STORE_ASKED_OFF;
}

bool
store_is_asked(const struct store *s)
{
    (void)s;
    return false;
}

/* -- the rebalancer -----------------------------------------------------------------------------
 */

/* How long the colder items of a class have been idle: the third quartile of some. Class locked. */
static uint32_t
class_sample_age_locked(struct store_ctx *c, const struct slab_class *k)
{
    uint32_t age[SAMPLES];
    unsigned n = 0;

    for (unsigned i = 0; i < 4 * SAMPLES && n < SAMPLES && k->page_count > 0; i++) {
        uint32_t page = k->pages[rng_below(&c->rng, k->page_count)];
        const char *at =
            slab_page_start(&c->store->slab, page) + rng_below(&c->rng, k->per_page) * k->chunk;
        const struct item *it = (const void *)at;
        enum item_kind kind = meta_kind(item_meta(it));
        if (kind == ITEM_PIECE) {
            it = grip_owner(&c->store->slab, it);
        }
        if (it == NULL || meta_kind(item_meta(it)) != ITEM_LINKED) {
            continue;
        }
        uint32_t last = item_seen(it) >> SEEN_SHIFT;
        uint32_t a = c->sec > last ? c->sec - last : 0;
        unsigned j = n++;
        for (; j > 0 && age[j - 1] > a; j--) {
            age[j] = age[j - 1];
        }
        age[j] = a;
    }
    return n > 0 ? age[n * 3 / 4] : 0;
}

/* What the rebalancer knows of a class. */
struct look {
    uint32_t pages, age;
    bool evicts, spare; /* spare: pages' worth of free chunks */
};

static struct look
class_look(struct store_ctx *c, struct slab_class *k)
{
    struct look l;

    spin_lock(&k->lock);
    l.pages = k->page_count;
    l.evicts = k->figures.evicted > k->evicted_before;
    /* Twice in a row, or it would lose the pages it was just given to fill. */
    bool spare = k->free_chunks > 2 * (uint64_t)k->per_page + k->per_page / 2;
    l.spare = spare && k->spare_before;
    k->spare_before = spare;
    l.age = l.evicts ? k->victim_age : class_sample_age_locked(c, k);
    k->evicted_before = k->figures.evicted;
    spin_unlock(&k->lock);
    return l;
}

/* Decides which class gives and which gets for the next second. */
static void
balance_look(struct store_ctx *c)
{
    struct store *s = c->store;
    uint32_t young = UINT32_MAX, old = 0;
    bool spare = false;

    s->move_from = s->move_to = 0;
    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct look l = class_look(c, &s->slab.classes[id]);
        if (l.evicts && l.age < young) {
            young = l.age;
            s->move_to = (uint8_t)id;
        }
        bool better = l.spare != spare ? l.spare : l.age >= old;
        if (l.pages > 1 && better) {
            spare = l.spare;
            old = l.age;
            s->move_from = (uint8_t)id;
        }
    }
    double ratio = TUNED(s, move_ratio) > 0 ? TUNED(s, move_ratio) : AGE_RATIO;
    bool worth = TUNED(s, moves) && s->move_to != 0 && s->move_from != 0 &&
                 s->move_from != s->move_to && (spare || young < old * ratio);
    uint32_t all = atomic_load_explicit(&s->slab.in_classes, memory_order_relaxed);
    s->tick_moves = worth ? MOVES_PER_SEC + all / MOVES_FRACTION : 0;
}

static bool
balance_begin(struct store_ctx *c)
{
    struct store *s = c->store;
    bool over = slab_is_over(&s->slab);

    if (s->move_from == 0) {
        return false;
    }
    struct slab_class *k = &s->slab.classes[s->move_from];
    bool begun = false;
    spin_lock(&k->lock);
    if (k->page_count > (over ? 0u : 1u)) {
        int64_t empty = class_empty_page_locked(&s->slab, k);
        uint32_t slot = empty >= 0 ? (uint32_t)empty : (uint32_t)rng_below(&c->rng, k->page_count);
        move_begin_locked(s, &s->move, k, slot, true);
        begun = true;
    }
    spin_unlock(&k->lock);
    if (!begun) {
        s->tick_moves = 0;
        s->move_from = 0;
    }
    return begun;
}

static void
balance_finish(struct store_ctx *c, enum move_result r)
{
    struct store *s = c->store;
    uint32_t page = s->move.page;

    s->move.page = SLAB_NO_PAGE;
    if (r == MOVE_DONE) {
        bool shrink = slab_is_over(&s->slab);
        if (shrink || s->move_to == 0) {
            slab_page_put(&s->slab, page, shrink);
        } else {
            (void)slab_page_pass(&s->slab, page, &s->slab.classes[s->move_to]);
        }
        metric_add(c->metrics, M_PAGES_MOVED, 1);
    } else {
        s->tick_failed++;
    }
    s->tick_moves -= s->tick_moves > 0;
}

/* Is there a page to be moved in this second? */
static bool
move_is_wanted(const struct store *s)
{
    return s->tick_failed < FAILED_MAX &&
           (s->tick_moves > 0 || (slab_is_over(&s->slab) && s->move_from != 0));
}

bool
move_tick(struct store_ctx *c, unsigned budget)
{
    struct store *s = c->store;
    unsigned spent = 0;

    if (s->tick_balance != c->sec) {
        s->tick_balance = c->sec;
        s->tick_failed = 0;
        balance_look(c);
    } else if (slab_is_over(&s->slab) && s->move_from == 0) {
        balance_look(c);
    }
    atomic_store_explicit(&s->moving, s->move.page != SLAB_NO_PAGE, memory_order_relaxed);
    while (spent < budget) {
        if (s->move.page == SLAB_NO_PAGE && !(move_is_wanted(s) && balance_begin(c))) {
            break;
        }
        spent += move_walk(c, &s->move, budget - spent) + 1;
        if (s->move.next_chunk >= s->slab.classes[s->move.class_id].per_page) {
            enum move_result r = move_look(c, &s->move, STALLED_ROUNDS);
            if (r == MOVE_GOES_ON) {
                return true; /* it waits for somebody: look again in a while */
            }
            balance_finish(c, r);
        }
    }
    return s->move.page != SLAB_NO_PAGE || move_is_wanted(s);
}
