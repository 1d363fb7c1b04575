/*
 * expire.c - giving back the memory of items whose time is over before anybody asks for them.
 *
 * Each class counts what expires in which slot of 16 seconds.  When a slot has passed and held a
 * share of the class worth the trip, the crawler walks the class's chunks in address order, some
 * at a time per hold of its lock.  A walk counts anew what it leaves alive.  What expires beyond
 * the 64 slots is counted in the last of them, so that it is looked at, and counted again, once in
 * the 17 minutes that they span.  A flush starts a walk of all classes, and store_crawl() of those
 * that it names.  A walk goes as far as the class went when it began.
 */
#include "store/grip.h"

#define SLOT_SHIFT    4 /* 16 s */
#define SLOT_COUNT    64u
#define WORTH_PERCENT 2
#define HOLD_MAX      1024u /* chunks per hold of a class */

static uint32_t
slot_of(uint32_t sec)
{
    return (sec >> SLOT_SHIFT) % SLOT_COUNT;
}

void
expire_note(const struct store_ctx *c, uint8_t class_id, uint32_t expires)
{
    uint32_t last = c->sec + ((SLOT_COUNT - 1) << SLOT_SHIFT);

    if (expires == 0) {
        return;
    }
    uint32_t at = expires > last ? last : expires < c->sec ? c->sec : expires;
    atomic_fetch_add_explicit(&c->store->slab.classes[class_id].ttl_slot[slot_of(at)], 1,
                              memory_order_relaxed);
}

/* Class locked. */
static void
class_start_walk_locked(const struct store_ctx *c, struct slab_class *k, enum walk_kind why)
{
    k->walk = why;
    k->crawl_page = k->crawl_chunk = 0;
    k->crawl_end = k->page_count;
    k->crawl_since = c->sec;
    k->crawl_seen = k->crawl_dead = 0;
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        atomic_store_explicit(&k->ttl_slot[slot], 0, memory_order_relaxed);
    }
    metric_add(c->metrics, M_CRAWLER_STARTS, k->crawl_end > 0);
}

static void
class_start_walk(const struct store_ctx *c, struct slab_class *k, enum walk_kind why)
{
    spin_lock(&k->lock);
    class_start_walk_locked(c, k, why);
    spin_unlock(&k->lock);
}

/* Looks whether the slots that have passed call for a walk. */
static void
class_consider(const struct store_ctx *c, struct slab_class *k, uint32_t from, uint32_t to)
{
    uint32_t due = 0;

    for (uint32_t slot = from; slot != to; slot = (slot + 1) % SLOT_COUNT) {
        due += atomic_exchange_explicit(&k->ttl_slot[slot], 0, memory_order_relaxed);
    }
    spin_lock(&k->lock);
    uint64_t held = (uint64_t)k->page_count * k->per_page - k->free_chunks;
    if (due > 0 && (uint64_t)due * 100 >= held * WORTH_PERCENT && k->walk == WALK_NONE) {
        class_start_walk_locked(c, k, WALK_DUE);
    } else if (due > 0) { /* not yet: let them wait for more */
        atomic_fetch_add_explicit(&k->ttl_slot[to], due, memory_order_relaxed);
    }
    spin_unlock(&k->lock);
}

/* The crawler was off, and slots passed that nobody looked at. */
static void
class_catch_up(const struct store_ctx *c, struct slab_class *k)
{
    uint32_t counted = 0;

    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        counted += atomic_load_explicit(&k->ttl_slot[slot], memory_order_relaxed);
    }
    if (counted > 0 && k->walk == WALK_NONE) {
        class_start_walk(c, k, WALK_DUE);
    }
}

/* -- walking ------------------------------------------------------------------------------------
 */

/* One hold of the class's lock. */
struct step {
    struct item *dead[64]; /* to be released when it no longer is */
    unsigned count, looked, items;
};

/* Looks at the next chunk. Class locked. */
static void
step_look(struct store_ctx *c, struct slab_class *k, struct step *step)
{
    char *page = slab_page_start(&c->store->slab, k->pages[k->crawl_page]);
    struct item *chunk = (struct item *)(void *)(page + (size_t)k->crawl_chunk * k->chunk);
    struct item *it = grip_item(&c->store->slab, chunk);

    step->looked++;
    if (++k->crawl_chunk >= k->per_page) {
        k->crawl_chunk = 0;
        k->crawl_page++;
    }
    if (it == NULL) {
        return;
    }
    step->items++;
    if (item_is_dead(c, it) && evict_item(c, k, it, REMOVE_DEAD_CRAWLER)) {
        step->dead[step->count++] = it;
    } else { /* alive, or busy: for another time */
        expire_note(c, k->id, item_ext(it, item_meta(it)).expires);
    }
}

/* Is it over?  Class locked. */
static bool
class_is_walked(const struct store *s, const struct slab_class *k)
{
    uint32_t end = k->crawl_end < k->page_count ? k->crawl_end : k->page_count;
    uint32_t max = TUNED(s, crawler_max);

    return k->crawl_page >= end || (max != 0 && k->crawl_seen >= max && k->walk != WALK_FLUSH);
}

static void
class_end_walk(struct store_ctx *c, struct slab_class *k, enum walk_kind why)
{
    struct store *s = c->store;
    uint64_t others = ~(UINT64_C(1) << k->id);

    if (why == WALK_ASKED) {
        s->tick_asked &= others;
        atomic_fetch_and_explicit(&s->asked_crawl, others, memory_order_release);
    }
    if (k->crawl_end > 0) {
        event_crawled(c, k->id, k->crawl_seen, k->crawl_dead, c->sec - k->crawl_since);
    }
}

/* Looks at some chunks of a class that is walked; returns how many. */
static unsigned
class_walk(struct store_ctx *c, struct slab_class *k, unsigned budget)
{
    struct step step = { .count = 0 };
    enum walk_kind why = k->walk;

    spin_lock(&k->lock);
    bool over = class_is_walked(c->store, k);
    budget = budget < HOLD_MAX ? budget : HOLD_MAX;
    while (!over && step.looked < budget && step.count < sizeof step.dead / sizeof step.dead[0]) {
        unsigned items = step.items;
        step_look(c, k, &step);
        k->crawl_seen += step.items - items;
        over = class_is_walked(c->store, k);
    }
    k->crawl_dead += step.count;
    k->figures.crawler_checked += step.items;
    k->walk = over ? WALK_NONE : why;
    spin_unlock(&k->lock);
    while (step.count > 0) {
        item_release(c, step.dead[--step.count]);
    }
    metric_add(c->metrics, M_CRAWLER_CHECKED, step.items);
    if (over) {
        class_end_walk(c, k, why);
    }
    return step.looked + 1;
}

/* A step over the classes that are walked, from the one on that had no time last time; true if
 * there is more. */
static bool
walk_step(struct store_ctx *c, unsigned budget)
{
    struct store *s = c->store;
    unsigned classes = s->slab.table.count, spent = 0;
    bool walking = false;

    for (unsigned i = 0; i < classes; i++) {
        struct slab_class *k = &s->slab.classes[(s->tick_class + i) % classes + 1];
        while (k->walk != WALK_NONE && spent < budget) {
            spent += class_walk(c, k, budget - spent);
        }
        if (k->walk != WALK_NONE) {
            s->tick_class = (s->tick_class + i) % classes;
            walking = true;
            break;
        }
    }
    return walking;
}

/* -- when ---------------------------------------------------------------------------------------
 */

/* Starts what the histograms call for. */
static void
walks_due(struct store_ctx *c, uint32_t slot)
{
    struct store *s = c->store;
    bool on = TUNED(s, crawler);

    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct slab_class *k = &s->slab.classes[id];
        if (!on && k->walk == WALK_DUE) {
            k->walk = WALK_NONE; /* switched off on the way */
        } else if (on && !s->tick_crawler) {
            class_catch_up(c, k);
        } else if (on && slot != s->tick_slot) {
            class_consider(c, k, s->tick_slot, slot);
        }
    }
    s->tick_crawler = on;
    s->tick_slot = slot;
}

/* Starts what was asked for. */
static void
walks_asked(struct store_ctx *c)
{
    struct store *s = c->store;
    uint64_t asked = atomic_load_explicit(&s->asked_crawl, memory_order_acquire);

    if (s->tick_asked != 0 || asked == 0) {
        return; /* they are at it */
    }
    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        if (asked >> id & 1) {
            class_start_walk(c, &s->slab.classes[id], WALK_ASKED);
        }
    }
    s->tick_asked = asked;
}

usec_t
expire_tick(struct store_ctx *c, unsigned budget)
{
    struct store *s = c->store;
    uint64_t floor = atomic_load_explicit(&s->floor, memory_order_relaxed);
    usec_t sleep = TUNED(s, crawler_sleep), since = c->now - s->crawled;
    bool was = atomic_load_explicit(&s->crawling, memory_order_relaxed);

    walks_due(c, slot_of(c->sec));
    bool flushed = floor != s->tick_floor && TUNED(s, crawler);
    for (unsigned id = 1; id <= s->slab.table.count && flushed; id++) {
        struct slab_class *k = &s->slab.classes[id]; /* all of it is dead */
        class_start_walk(c, k, k->walk == WALK_ASKED ? WALK_ASKED : WALK_FLUSH);
    }
    s->tick_floor = floor;
    walks_asked(c);
    if (was && since > 0 && since < sleep) { /* called for something else meanwhile */
        return sleep - since;
    }
    s->crawled = c->now;
    bool walking = walk_step(c, budget);
    atomic_store_explicit(&s->crawling, walking, memory_order_relaxed);
    return walking ? sleep : USEC_PER_SEC;
}

/* -- asking -------------------------------------------------------------------------------------
 */

enum store_asked
store_crawl(struct store *s, uint64_t classes)
{
    uint64_t none = 0, known = ~UINT64_C(0) >> (63 - s->slab.table.count) & ~UINT64_C(1);
    bool any = false;

    if (!TUNED(s, crawler)) {
        return STORE_ASKED_OFF;
    }
    if (classes == 0 || (classes & ~known) != 0) {
        return STORE_ASKED_BADCLASS;
    }
    for (unsigned id = 1; id <= s->slab.table.count && !any; id++) {
        any = (classes >> id & 1) != 0 && store_class_in_use(s, (uint8_t)id);
    }
    if (atomic_load_explicit(&s->asked_crawl, memory_order_relaxed) != 0) {
        return STORE_ASKED_BUSY;
    }
    if (!any) {
        return STORE_ASKED_NOTHING;
    }
    if (!atomic_compare_exchange_strong(&s->asked_crawl, &none, classes)) {
        return STORE_ASKED_BUSY;
    }
    atomic_store_explicit(&s->asked, true, memory_order_release);
    return STORE_ASKED_OK;
}
