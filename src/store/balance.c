/*
 * balance.c - pages go where they are worth most, or where somebody wants them.
 *
 * Once a second the rebalancer compares how long items live in the class that evicts the youngest
 * with how long the coldest of the others have been idle, and moves some pages if the gap is worth
 * it.  Pages are also taken when the limit is exceeded, after cache_memlimit or because the table
 * grew, and one at a time on request (store_move_page), which goes first.
 */
#include "store/grip.h"
#include "store/move.h"

#include <assert.h>

#define STALLED_ROUNDS 8 /* passes without progress before a page is given back */
#define FAILED_MAX     4u         /* pages given back before the rest waits for the next second */
#define MOVES_BYTES    (1u << 20) /* of pages moved in a second, or */
#define MOVES_FRACTION 128u       /* this part of all of them */
#define AGE_RATIO      0.8        /* as memcached's slab_automove_ratio */
#define SAMPLES        16

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

/* Has the gap been there for as long as it must?  there: now it is. */
static bool
gap_holds(struct store_ctx *c, bool there)
{
    struct store *s = c->store;

    if (!there || s->gap_to != s->move_to) {
        s->gap_since = c->sec;
    }
    s->gap_to = there ? s->move_to : 0;
    return there && c->sec - s->gap_since >= TUNED(s, move_window);
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
    bool pair = s->move_to != 0 && s->move_from != 0 && s->move_from != s->move_to;
    bool worth = TUNED(s, moves) && pair &&
                 (TUNED(s, moves_eager) || gap_holds(c, spare || young < old * ratio));
    uint32_t all = atomic_load_explicit(&s->slab.in_classes, memory_order_relaxed);
    uint32_t step = MOVES_BYTES >> s->slab.page_shift;
    s->tick_moves = worth ? (step > 0 ? step : 1) + all / MOVES_FRACTION : 0;
}

/* -- what was asked for -------------------------------------------------------------------------
 */

#define ASKED       (UINT32_C(1) << 31) /* then source + 1 and destination */
#define ASKED_SHIFT 8

static uint32_t
class_pages(struct slab_class *k)
{
    spin_lock(&k->lock);
    uint32_t n = k->page_count;
    spin_unlock(&k->lock);
    return n;
}

/* The class with most pages but dst, 0: none has two. */
static int
source_any(struct store *s, int dst)
{
    uint32_t most = 1;
    int best = 0;

    for (int id = 1; id <= (int)s->slab.table.count; id++) {
        uint32_t n = id != dst ? class_pages(&s->slab.classes[id]) : 0;
        if (n > most) {
            most = n;
            best = id;
        }
    }
    return best;
}

static bool
source_can_spare(struct store *s, int src, int dst)
{
    if (src == 0) {
        return atomic_load_explicit(&s->slab.spare_count, memory_order_relaxed) > 0;
    }
    return src > 0 ? class_pages(&s->slab.classes[src]) > 1 : source_any(s, dst) != 0;
}

enum store_asked
store_move_page(struct store *s, int src, int dst)
{
    int classes = (int)s->slab.table.count;
    uint32_t none = 0, want = ASKED | (uint32_t)(src + 1) << ASKED_SHIFT | (uint32_t)dst;

    if (s->config.pages_stay) {
        return STORE_ASKED_OFF;
    }
    if (atomic_load_explicit(&s->moving, memory_order_relaxed) ||
        atomic_load_explicit(&s->asked_move, memory_order_relaxed) != 0) {
        return STORE_ASKED_BUSY;
    }
    if (src == dst) {
        return STORE_ASKED_SAME;
    }
    if (src < -1 || src > classes || dst < 0 || dst > classes) {
        return STORE_ASKED_BADCLASS;
    }
    if (!source_can_spare(s, src, dst)) {
        return STORE_ASKED_NOSPARE;
    }
    if (!atomic_compare_exchange_strong(&s->asked_move, &none, want)) {
        return STORE_ASKED_BUSY;
    }
    atomic_store_explicit(&s->asked, true, memory_order_release);
    return STORE_ASKED_OK;
}

/* -- moving -------------------------------------------------------------------------------------
 */

/* Begins with a page of a class that has more than `keep`. */
static bool
page_begin(struct store_ctx *c, uint8_t from, uint8_t to, uint32_t keep)
{
    struct store *s = c->store;
    struct slab_class *k = &s->slab.classes[from];
    bool begun = false;

    spin_lock(&k->lock);
    if (k->page_count > keep) {
        int64_t empty = move_empty_page_locked(&s->slab, k);
        uint32_t slot = empty >= 0 ? (uint32_t)empty : (uint32_t)rng_below(&c->rng, k->page_count);
        move_begin_locked(c, &s->move, k, slot, to);
        s->move.rescue = true;
        begun = true;
    }
    spin_unlock(&k->lock);
    return begun;
}

static bool
balance_begin(struct store_ctx *c)
{
    struct store *s = c->store;
    bool over = slab_is_over(&s->slab);

    if (s->move_from == 0) {
        return false;
    }
    if (!page_begin(c, s->move_from, over ? 0 : s->move_to, over ? 0 : 1)) {
        s->tick_moves = 0;
        s->move_from = 0;
        return false;
    }
    return true;
}

/* A page of the pool is empty: there is nothing to wait for. */
static void
pool_page_move(struct store_ctx *c, uint8_t to)
{
    struct slab *s = &c->store->slab;

    bool moved = slab_page_grant(s, &s->classes[to]);

    metric_add(c->metrics, M_PAGES_MOVED, moved);
    event_moved(c, 0, to, moved);
}

/* Begins with what was asked for.  False: it is done already, or cannot be done any more. */
static bool
asked_begin(struct store_ctx *c)
{
    struct store *s = c->store;
    uint32_t want = atomic_load_explicit(&s->asked_move, memory_order_acquire);
    int src = (int)((want & ~ASKED) >> ASKED_SHIFT) - 1, dst = (int)(want & 0xff);

    if (want == 0) {
        return false;
    }
    src = src < 0 ? source_any(s, dst) : src;
    if (src > 0 && s->tick_failed < FAILED_MAX && page_begin(c, (uint8_t)src, (uint8_t)dst, 1)) {
        s->move.asked = true;
        return true;
    }
    if (src == 0 && dst > 0 && (want & ~ASKED) >> ASKED_SHIFT == 1) {
        pool_page_move(c, (uint8_t)dst);
    }
    s->tick_failed = 0;
    atomic_store_explicit(&s->asked_move, 0, memory_order_release);
    return false;
}

static void
balance_finish(struct store_ctx *c, enum move_result r)
{
    struct store *s = c->store;
    struct move m = s->move;

    s->move.page = SLAB_NO_PAGE;
    if (r == MOVE_DONE) {
        /* Above the limit the pool has it, and then the system. */
        if (m.to == 0 || (slab_is_over(&s->slab) && !m.asked)) {
            slab_page_put(&s->slab, m.page);
        } else {
            (void)slab_page_pass(&s->slab, m.page, &s->slab.classes[m.to]);
        }
        metric_add(c->metrics, M_PAGES_MOVED, 1);
        event_moved(c, m.class_id, m.to, true);
        slab_trim(&s->slab);
    } else {
        event_moved(c, m.class_id, m.to, false);
        s->tick_failed++;
    }
    if (!m.asked) {
        s->tick_moves -= s->tick_moves > 0;
    } else if (r == MOVE_DONE) {
        atomic_store_explicit(&s->asked_move, 0, memory_order_release);
    }
}

/* Is there a page to be moved in this second? */
static bool
move_is_wanted(const struct store *s)
{
    return s->tick_failed < FAILED_MAX &&
           (s->tick_moves > 0 || (slab_is_over(&s->slab) && s->move_from != 0));
}

/* Has a page in hand, or takes the next one. */
static bool
balance_has_page(struct store_ctx *c)
{
    struct store *s = c->store;

    return s->move.page != SLAB_NO_PAGE || asked_begin(c) ||
           (move_is_wanted(s) && balance_begin(c));
}

/* Looks at the classes if it is time to. */
static void
balance_prepare(struct store_ctx *c)
{
    struct store *s = c->store;

    slab_trim(&s->slab);
    if (s->tick_balance != c->sec) {
        s->tick_balance = c->sec;
        s->tick_failed = 0;
        balance_look(c);
    } else if (slab_is_over(&s->slab) && s->move_from == 0) {
        balance_look(c);
    }
    if (!TUNED(s, moves) || slab_has_room(&s->slab)) {
        s->tick_moves = 0; /* who needs a page gets one of those that nobody has */
    }
}

bool
balance_tick(struct store_ctx *c, unsigned budget)
{
    struct store *s = c->store;
    unsigned spent = 0;
    bool waits = false;

    balance_prepare(c);
    while (spent < budget && !waits && balance_has_page(c)) {
        spent += move_walk(c, &s->move, budget - spent) + 1;
        if (s->move.next_chunk >= s->slab.classes[s->move.class_id].per_page) {
            enum move_result r = move_look(c, &s->move, STALLED_ROUNDS);
            atomic_store_explicit(&s->last_busy, (int)s->move.busy, memory_order_relaxed);
            waits = r == MOVE_GOES_ON; /* for somebody: look again in a while */
            if (!waits) {
                balance_finish(c, r);
            }
        }
    }
    bool in_hand = s->move.page != SLAB_NO_PAGE;
    atomic_store_explicit(&s->moving, in_hand, memory_order_relaxed);
    return in_hand || move_is_wanted(s) ||
           atomic_load_explicit(&s->asked_move, memory_order_relaxed) != 0;
}
