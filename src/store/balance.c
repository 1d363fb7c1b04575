/*
 * balance.c - pages go where they are worth most, or where somebody wants them.
 *
 * What is evicted next has been idle for some time, in which its memory was of no use: that time,
 * and the memory, are the price at which a class buys its hits.  Once a second the rebalancer looks
 * at the prices.  Pages go from the class where it is highest to those where it is lowest and that
 * use up what they get: slowly, because each page that moves costs some items, and faster the
 * further the prices are apart.  Pages are also taken when the limit is exceeded, after
 * cache_memlimit or because the table grew, and one at a time on request (store_move_page), which
 * goes first.
 */
#include "store/grip.h"
#include "store/move.h"

#include <assert.h>
#include <math.h>

#define STALLED_ROUNDS 8 /* passes without progress before a page is given back */
#define FAILED_MAX     4u         /* pages given back before the rest waits for the next second */
#define PACE_CALM      1024.0     /* of so many pages one moves in a second, */
#define PACE_HURRIED   128.0      /* up to one of so many, the wider the gap the more */
#define PRICE_RATIO    0.8        /* as memcached's slab_automove_ratio */
#define SPARE_WAIT     10u        /* seconds that chunks must be free to be spare */
#define TURNOVERS      4.0
#define RATE_LOOKS     8          /* that a class's rate of evictions is the average of */
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

/*
 * How long is what the class evicts next of no use?  Where the hand rests, what it would take gets
 * older.  But a class that evicts from its small queue alone, because nothing of it is hit, or is
 * hit in time, would never get the memory to show what it is worth: so it is no more than some
 * turnovers of the class.  Class locked.
 */
static double
class_idle_locked(struct store_ctx *c, const struct slab_class *k, bool evicts)
{
    if (!evicts) {
        return class_sample_age_locked(c, k) + 0.5;
    }
    double turnover = (double)k->page_count * k->per_page / k->evict_rate;
    double age = k->hand_age > 0 ? k->hand_age + (c->sec - k->hand_sec)
                                 : class_sample_age_locked(c, k) + 0.5;
    return fmin(age, TURNOVERS * turnover);
}

/* Seconds lie between this look and the last. */
static void
class_look(struct store_ctx *c, struct slab_class *k, uint32_t seconds)
{
    spin_lock(&k->lock);
    double evicted = (double)(k->figures.evicted - k->evicted_before);
    k->evicted_before = k->figures.evicted;
    k->evict_rate += (evicted / seconds - k->evict_rate) / RATE_LOOKS;
    if (k->free_chunks <= 2 * (uint64_t)k->per_page + k->per_page / 2) {
        k->spare_since = c->sec;
    }
    /* For hits alone the price would be seconds times bytes; but then large values, of which each
     * hit saves more, would have next to no memory beside small ones. */
    k->look.price = class_idle_locked(c, k, evicted > 0) * sqrt(k->chunk);
    k->look.evicts = evicted > 0;
    k->look.spare = c->sec - k->spare_since >= SPARE_WAIT;
    spin_unlock(&k->lock);
}

static uint32_t
class_pages(struct slab_class *k)
{
    spin_lock(&k->lock);
    uint32_t n = k->page_count;
    spin_unlock(&k->lock);
    return n;
}

/* Has it used up what it had? */
static bool
class_is_short(struct slab_class *k)
{
    spin_lock(&k->lock);
    bool is = k->free_chunks < k->per_page;
    spin_unlock(&k->lock);
    return is;
}

/* The class that buys the cheapest, among those that evict; 0: none does. */
static uint8_t
choose_taker(struct store *s, bool must_be_short)
{
    uint8_t best = 0;

    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct slab_class *k = &s->slab.classes[id];
        if (k->look.evicts && (best == 0 || k->look.price < s->slab.classes[best].look.price) &&
            !(must_be_short && !class_is_short(k))) {
            best = (uint8_t)id;
        }
    }
    return best;
}

/* One with memory to spare, else the one that buys the dearest, but not this one; 0: none has two
 * pages. */
static uint8_t
choose_giver(struct store *s, uint8_t but)
{
    const struct class_look *most = NULL;
    uint8_t best = 0;

    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct slab_class *k = &s->slab.classes[id];
        const struct class_look *l = &k->look;
        bool more = most == NULL ||
                    (l->spare != most->spare ? l->spare : l->price >= most->price);
        if (more && id != but && class_pages(k) > 1) {
            most = l;
            best = (uint8_t)id;
        }
    }
    return best;
}

/* How many times wider than it must be is the gap between the two prices?  Below 1: not enough. */
static double
gap_between(const struct store *s, uint8_t taker, uint8_t giver)
{
    double ratio = TUNED(s, move_ratio) > 0 ? TUNED(s, move_ratio) : PRICE_RATIO;

    if (taker == 0 || giver == 0) {
        return 0;
    }
    if (s->slab.classes[giver].look.spare || TUNED(s, moves_eager)) {
        return PACE_CALM / PACE_HURRIED;
    }
    return ratio * s->slab.classes[giver].look.price / s->slab.classes[taker].look.price;
}

/* Once a second; so many lie between this look and the last. */
static void
balance_look(struct store_ctx *c, uint32_t seconds)
{
    struct store *s = c->store;
    uint32_t all = atomic_load_explicit(&s->slab.in_classes, memory_order_relaxed);

    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        class_look(c, &s->slab.classes[id], seconds);
    }
    uint8_t taker = choose_taker(s, false);
    if (!TUNED(s, moves) || gap_between(s, taker, choose_giver(s, taker)) < 1) {
        s->gap_since = c->sec;
        s->move_credit = 0;
    }
    s->tick_moves = c->sec - s->gap_since >= TUNED(s, move_window);
    s->move_credit = fmin(s->move_credit + all, fmax(all, PACE_CALM));
}

/* Chooses which class gives the next page, and which gets it.  False: none is to move now. */
static bool
balance_choose(struct store *s, uint8_t *giver, uint8_t *taker)
{
    *taker = choose_taker(s, true);
    *giver = choose_giver(s, *taker);
    double gap = gap_between(s, *taker, *giver);
    double cost = fmax(PACE_CALM / (gap * gap), PACE_HURRIED);

    if (gap < 1 || s->move_credit < cost) {
        return false;
    }
    s->move_credit -= cost;
    return true;
}

/* -- what was asked for -------------------------------------------------------------------------
 */

#define ASKED       (UINT32_C(1) << 31) /* then source + 1 and destination */
#define ASKED_SHIFT 8

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
    uint8_t from, to = 0;

    if (slab_is_over(&s->slab)) {
        from = choose_giver(s, 0);
        s->tick_over = from != 0 && page_begin(c, from, 0, 0);
        return s->tick_over;
    }
    s->tick_moves = balance_choose(s, &from, &to) && page_begin(c, from, to, 1);
    return s->tick_moves;
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
    if (m.asked && r == MOVE_DONE) {
        atomic_store_explicit(&s->asked_move, 0, memory_order_release);
    }
}

/* Is there a page to be moved in this second? */
static bool
move_is_wanted(const struct store *s)
{
    return s->tick_failed < FAILED_MAX &&
           (slab_is_over(&s->slab) ? s->tick_over : s->tick_moves);
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
    if (s->tick_balance < c->sec) {
        balance_look(c, c->sec - s->tick_balance);
        s->tick_balance = c->sec;
        s->tick_failed = 0;
        s->tick_over = true;
    }
    if (!TUNED(s, moves) || slab_has_room(&s->slab)) {
        s->tick_moves = false; /* who needs a page gets one of those that nobody has */
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
