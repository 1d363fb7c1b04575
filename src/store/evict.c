/*
 * evict.c - who has to go: S3-clock.
 *
 * After S3-FIFO (Yang et al., SOSP 2023), with a clock in place of its main queue, so that items
 * need no links.  Once memory is full a new item enters its class's small queue, a ring of handles
 * of about a tenth of the class.  At its end an item that was hit becomes a main item where it
 * lies, others are evicted and leave a ghost: their tag in the slot they had (table.h).  A new item
 * that meets its ghost is main at once.  Main items have no queue: a hand sweeps the class's
 * chunks, takes one off the frequency of each and evicts those that have none. Before anything was
 * ever short, items are main without passing the queue.
 *
 * Entries of the ring whose item is gone are recognised by the version they carry.  Dead items met
 * on the way go first.
 *
 * Items that are stored for a moment only (tuning.temporary_ttl) are in neither queue, and the hand
 * passes them by as long as it finds anything else.
 */
#include "store/grip.h"

#include <assert.h>
#include <stdlib.h>

#define SMALL_PERCENT  10u
#define SMALL_MIN      8u    /* items; a class of few chunks has a queue all the same */
#define HAND_PATIENCE  1024u /* main items passed over before one goes whatever its frequency */
#define HAND_STEPS_MAX 16384u
#define HAND_AVERAGE   64 /* victims whose age is remembered */
#define HAND_WEARY     32u /* victims before a class of temporary items is searched for others */
#define DEAD_STEPS_MAX 256u /* with -M: chunks looked at for a dead one */
#define PROMOTE_HITS   1u
#define SMALL_STEPS    256u /* entries of the small queue that one eviction goes through */

void
evict_unlink(struct store_ctx *c, struct item *it, struct bucket *b, _Atomic uint64_t *slot,
             int ghost_epoch)
{
    uint32_t meta = item_meta(it);

    assert(meta_kind(meta) == ITEM_LINKED);
    table_remove(&c->store->table, b, slot, ghost_epoch);
    item_count(c, it, -1);
    item_set_meta(it, meta_with_kind(meta, ITEM_PRIVATE));
    store_count_key(c, -1);
    store_note_removed(c, item_load_version(it));
}

bool
evict_item(struct store_ctx *c, struct slab_class *k, struct item *it, enum removal why)
{
    struct grip g;

    if (!grip_take(c->store, it, &g)) {
        return false;
    }
    if (grip_is_pinned(&g) || (why != REMOVE_EVICT && !item_is_dead(c, it))) {
        grip_drop(&g);
        return false;
    }
    (void)grip_remove(c, k, &g, why, -1);
    return true;
}

/* -- the small queue ----------------------------------------------------------------------------
 */

#define RING_VERSION_SHIFT 40

static uint64_t
ring_entry(const struct slab *s, const struct item *it)
{
    return (item_load_version(it) >> 8) << RING_VERSION_SHIFT | slab_handle(s, it);
}

static uint32_t
small_target(const struct store *s, const struct slab_class *k)
{
    unsigned percent = TUNED(s, small_percent);
    uint64_t n =
        (uint64_t)k->page_count * k->per_page * (percent != 0 ? percent : SMALL_PERCENT) / 100;

    return n > SMALL_MIN ? (uint32_t)n : SMALL_MIN;
}

/* What it is swept down to. */
static uint32_t
small_keep(const struct store *s, const struct slab_class *k)
{
    return TUNED(s, flat) ? 0 : small_target(s, k);
}

/* Room for one more entry; false: the queue is as long as it may be. Class locked. */
static bool
ring_reserve(const struct store *s, struct slab_class *k)
{
    if (k->ring_count < k->ring_cap) {
        return true;
    }
    if (k->ring_cap >= 2 * small_target(s, k)) {
        return false;
    }
    uint32_t cap = k->ring_cap != 0 ? k->ring_cap + k->ring_cap / 4 : 16;
    uint64_t *ring = malloc(cap * sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < k->ring_count; i++) {
        ring[i] = k->ring[(k->ring_head + i) % k->ring_cap];
    }
    free(k->ring);
    k->ring = ring;
    k->ring_cap = cap;
    k->ring_head = 0;
    return true;
}

static bool
ring_push(const struct store *s, struct slab_class *k, uint64_t entry)
{
    if (!ring_reserve(s, k)) {
        return false;
    }
    k->ring[(k->ring_head + k->ring_count++) % k->ring_cap] = entry;
    return true;
}

static uint64_t
ring_pop(struct slab_class *k)
{
    assert(k->ring_count > 0);
    uint64_t entry = k->ring[k->ring_head];

    k->ring_head = (k->ring_head + 1) % k->ring_cap;
    k->ring_count--;
    return entry;
}

void
evict_admit(struct store_ctx *c, struct item *it)
{
    struct slab *s = &c->store->slab;
    uint32_t meta = item_meta(it);
    struct slab_class *k = &s->classes[slab_shown_class(s, it, meta)];

    if (meta & (ITEM_MAIN | ITEM_TEMP)) {
        return;
    }
    bool queued = false;
    if (atomic_load_explicit(&s->full, memory_order_relaxed) && !TUNED(c->store, flat)) {
        spin_lock(&k->lock);
        queued = ring_push(c->store, k, ring_entry(s, it));
        spin_unlock(&k->lock);
    }
    if (!queued) {
        item_set_meta(it, meta | ITEM_MAIN);
    }
}

/* How old a ghost is, is told in steps of a sixteenth of the time in which every bucket sees one.
 */
static int
ghost_epoch(struct store *s)
{
    uint64_t n = atomic_fetch_add_explicit(&s->ghost_epoch, 1, memory_order_relaxed);
    uint64_t step = atomic_load_explicit(&s->table.count, memory_order_relaxed) / 16 + 1;

    return (int)(n / step % (SLOT_EPOCH_MASK + 1));
}

/* The item at the small queue's end: promoted (NULL) or taken out (returned). */
static struct item *
small_judge(struct store_ctx *c, struct slab_class *k, uint64_t entry)
{
    struct store *s = c->store;
    struct item *it = slab_item(&s->slab, entry & SLOT_HANDLE_MASK);
    struct grip g;

    uint32_t meta = item_meta(it);
    if (slab_shown_class(&s->slab, it, meta) != k->id || ring_entry(&s->slab, it) != entry ||
        (meta & (ITEM_MAIN | ITEM_TEMP))) {
        return NULL; /* it was deleted or replaced meanwhile */
    }
    if (!grip_take(s, it, &g)) {
        k->figures.reflocked++;
        metric_add(c->metrics, M_LRUTAIL_REFLOCKED, 1);
        (void)ring_push(s, k, entry);
        return NULL;
    }
    if (item_is_dead(c, it) && !grip_is_pinned(&g)) {
        return grip_remove(c, k, &g, REMOVE_DEAD_WRITER, -1);
    }
    uint32_t seen = item_seen(it);
    /* What lies in a page that is being cleared is left to who clears it: a page is filled in one
     * go, so all that comes next here may lie there, and none of it would help. */
    if ((seen & SEEN_FREQ_MASK) >= PROMOTE_HITS || (g.meta & ITEM_TOMBSTONE) ||
        grip_is_pinned(&g) || slab_is_draining(&s->slab, it)) {
        item_set_meta(it, g.meta | ITEM_MAIN);
        item_set_seen(it, seen & ~SEEN_FREQ_MASK);
        k->figures.to_warm++;
        metric_add(c->metrics, M_MOVES_TO_WARM, 1);
        grip_drop(&g);
        return NULL;
    }
    return grip_remove(c, k, &g, REMOVE_EVICT, ghost_epoch(s));
}

/* -- the hand -----------------------------------------------------------------------------------
 */

/* The next chunk in address order; NULL: the class has no page. */
static struct item *
hand_next(const struct slab *s, struct slab_class *k)
{
    if (k->page_count == 0) {
        return NULL;
    }
    if (k->hand_chunk >= k->per_page) {
        k->hand_chunk = 0;
        k->hand_page++;
    }
    if (k->hand_page >= k->page_count) {
        k->hand_page = 0;
        k->hand_chunk = 0;
    }
    char *page = slab_page_start(s, k->pages[k->hand_page]);
    return (struct item *)(void *)(page + (size_t)k->hand_chunk++ * k->chunk);
}

/* Takes one off an item's frequency; true if it had one. */
static bool
hand_lower(struct store_ctx *c, struct slab_class *k, struct item *it)
{
    uint32_t seen = item_seen(it);

    if ((seen & SEEN_FREQ_MASK) == 0) {
        return false;
    }
    item_set_seen(it, seen - 1);
    bool cold = (seen & SEEN_FREQ_MASK) == 1;
    *(cold ? &k->figures.to_cold : &k->figures.within) += 1;
    metric_add(c->metrics, cold ? M_MOVES_TO_COLD : M_MOVES_WITHIN_LRU, 1);
    return true;
}

/* How long the hand's victims were idle.  Class locked. */
static void
hand_learn(const struct store_ctx *c, struct slab_class *k, const struct item *victim)
{
    uint32_t last = item_seen(victim) >> SEEN_SHIFT;
    double age = (c->sec > last ? c->sec - last : 0) + 0.5;

    k->hand_age += k->hand_age > 0 ? (age - k->hand_age) / HAND_AVERAGE : age;
    k->hand_sec = c->sec;
}

/* What the hand may take. */
enum reach {
    REACH_DEAD,      /* nothing alive: -M */
    REACH_MAIN,      /* main items without frequency */
    REACH_ANY,       /* whatever their frequency and queue, but for the temporary */
    REACH_TEMPORARY, /* these too */
};

/* Judges a main item, or the owner of a piece (main or not: its own class's queue says nothing
 * about the pressure in this one).  Returns what was taken out. */
static struct item *
hand_judge(struct store_ctx *c, struct slab_class *k, struct item *it, enum reach reach)
{
    struct grip g;
    bool patient = reach == REACH_MAIN;

    if (!grip_take(c->store, it, &g)) {
        return NULL;
    }
    if (grip_is_pinned(&g)) {
        k->figures.reflocked++;
        metric_add(c->metrics, M_LRUTAIL_REFLOCKED, 1);
    } else if (item_is_dead(c, it)) {
        return grip_remove(c, k, &g, REMOVE_DEAD_WRITER, -1);
    } else if (reach != REACH_DEAD && (!(g.meta & ITEM_TEMP) || reach == REACH_TEMPORARY) &&
               !(patient && (hand_lower(c, k, it) || (g.meta & ITEM_TOMBSTONE)))) {
        hand_learn(c, k, it);
        return grip_remove(c, k, &g, REMOVE_EVICT, -1);
    }
    grip_drop(&g);
    return NULL;
}

/*
 * Is this the piece at which its owner is judged?  One of its first and last only, or a value of
 * many pieces would lose its frequency in a single lap.  With a classic table the first, which is
 * in the class that the item counts as.
 */
static bool
piece_decides(const struct slab *s, const struct item *owner, const struct item *piece)
{
    return (item_load_version(piece) == 0 && !s->table.classic) ||
           item_first_piece(owner, ITEM_IS_BIG) == slab_handle(s, piece);
}

/* Looks at one chunk. *looked counts items that could have gone. */
static struct item *
hand_step(struct store_ctx *c, struct slab_class *k, struct item *chunk, enum reach reach,
          unsigned *looked)
{
    uint32_t meta = item_meta(chunk);
    bool patient = reach == REACH_MAIN;

    if (meta_kind(meta) == ITEM_PIECE) {
        const struct slab *s = &c->store->slab;
        struct item *owner = grip_owner(s, chunk);
        ++*looked;
        if (owner == NULL || (patient && !piece_decides(s, owner, chunk))) {
            return NULL;
        }
        return hand_judge(c, k, owner, reach);
    }
    if (meta_kind(meta) != ITEM_LINKED) {
        return NULL;
    }
    bool dead = item_is_dead(c, chunk);
    if (!dead && (reach == REACH_DEAD || (!(meta & ITEM_MAIN) && patient) ||
                  ((meta & ITEM_TEMP) && reach != REACH_TEMPORARY) ||
                  (patient && slab_shown_class(&c->store->slab, chunk, meta) != k->id))) {
        return NULL;
    }
    ++*looked;
    if (!dead && patient && hand_lower(c, k, chunk)) {
        return NULL; /* without touching its bucket: the common case */
    }
    return hand_judge(c, k, chunk, reach);
}

/* At most as far as reach says, and patiently at first. */
static struct item *
hand_sweep(struct store_ctx *c, struct slab_class *k, enum reach reach)
{
    uint64_t chunks = (uint64_t)k->page_count * k->per_page;
    uint64_t max = reach == REACH_DEAD ? DEAD_STEPS_MAX : HAND_STEPS_MAX;
    unsigned looked = 0;

    /* Five laps are enough to wear any frequency down. */
    for (uint64_t i = 0; i < max && i < 5 * chunks; i++) {
        struct item *chunk = hand_next(&c->store->slab, k);
        bool patient = reach == REACH_ANY && looked < HAND_PATIENCE && i < 4 * chunks;
        struct item *victim = hand_step(c, k, chunk, patient ? REACH_MAIN : reach, &looked);
        if (victim != NULL) {
            return victim;
        }
    }
    return NULL;
}

/*
 * From the small queue: down to a length, in so many steps at most, because after a flush all of
 * its entries may be of items that are gone.
 */
static struct item *
small_sweep(struct store_ctx *c, struct slab_class *k, uint32_t down_to, uint32_t steps)
{
    steps = steps < k->ring_count ? steps : k->ring_count;
    for (; steps > 0 && k->ring_count > down_to; steps--) {
        struct item *victim = small_judge(c, k, ring_pop(k));
        if (victim != NULL) {
            return victim;
        }
    }
    return NULL;
}

bool
evict_one(struct store_ctx *c, uint8_t class_id)
{
    struct slab_class *k = &c->store->slab.classes[class_id];
    bool may_evict = c->store->config.evict;
    struct item *victim = NULL;

    spin_lock(&k->lock);
    if (may_evict) {
        victim = small_sweep(c, k, small_keep(c->store, k), SMALL_STEPS);
    }
    if (victim == NULL && !(may_evict && k->hand_weary > 0)) {
        victim = hand_sweep(c, k, may_evict ? REACH_ANY : REACH_DEAD);
    }
    if (victim == NULL && may_evict) {
        victim = small_sweep(c, k, 0, HAND_STEPS_MAX);
    }
    if (victim == NULL && may_evict) { /* all that is left is there for a moment only */
        k->hand_weary = k->hand_weary > 0 ? k->hand_weary - 1 : HAND_WEARY;
        victim = hand_sweep(c, k, REACH_TEMPORARY);
    }
    k->figures.direct += victim != NULL;
    spin_unlock(&k->lock);
    if (victim == NULL) {
        return false;
    }
    item_release(c, victim);
    return true;
}

void
evict_to_count(struct store_ctx *c, uint8_t class_id)
{
    struct store *s = c->store;
    uint64_t max = s->config.items_max;

    if (max == 0 || !s->config.evict) {
        return;
    }
    unsigned classes = s->slab.table.count;
    for (unsigned tries = 0; tries < classes; tries++) {
        if (atomic_load_explicit(&s->table.keys, memory_order_relaxed) <= (int64_t)max) {
            return;
        }
        if (!evict_one(c, (uint8_t)((class_id - 1 + tries) % classes + 1))) {
            continue;
        }
        tries--; /* that class may have more */
    }
}
