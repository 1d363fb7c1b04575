/*
 * expire.c - giving back the memory of items whose time is over before anybody asks for them.
 *
 * Each class counts what expires in which slot of 16 seconds.  When a slot has passed and held a
 * share of the class worth the trip, the crawler walks the class's chunks in address order, one
 * page per hold of its lock.  A walk counts anew what it leaves alive.  What expires beyond the 64
 * slots is counted in the last of them, so that it is looked at, and counted again, once in the
 * 17 minutes that they span.
 */
#include "store/impl.h"

#define SLOT_SHIFT    4 /* 16 s */
#define SLOT_COUNT    64u
#define WORTH_PERCENT 2

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
class_start_walk_locked(struct slab_class *k)
{
    k->crawling = true;
    k->crawl_page = 0;
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
        atomic_store_explicit(&k->ttl_slot[slot], 0, memory_order_relaxed);
    }
}

/* Looks whether the slots that have passed call for a walk. */
static void
class_consider(struct slab_class *k, uint32_t from, uint32_t to)
{
    uint32_t due = 0;

    for (uint32_t slot = from; slot != to; slot = (slot + 1) % SLOT_COUNT) {
        due += atomic_exchange_explicit(&k->ttl_slot[slot], 0, memory_order_relaxed);
    }
    spin_lock(&k->lock);
    uint64_t held = (uint64_t)k->page_count * k->per_page - k->free_chunks;
    if (due > 0 && (uint64_t)due * 100 >= held * WORTH_PERCENT && !k->crawling) {
        class_start_walk_locked(k);
    } else if (due > 0) { /* not yet: let them wait for more */
        atomic_fetch_add_explicit(&k->ttl_slot[to], due, memory_order_relaxed);
    }
    spin_unlock(&k->lock);
}

static void
class_start_walk(struct slab_class *k)
{
    spin_lock(&k->lock);
    class_start_walk_locked(k);
    spin_unlock(&k->lock);
}

/* Walks one page of the class; returns the items looked at.  Dead ones are collected and released
 * unlocked. */
static unsigned
class_walk_page(struct store_ctx *c, struct slab_class *k)
{
    struct slab *s = &c->store->slab;
    struct item *dead[64];
    unsigned count = 0, checked = 0, number = 0;
    bool more = true;

    while (more) {
        spin_lock(&k->lock);
        more = k->crawl_page < k->page_count;
        char *page = more ? slab_page_start(s, k->pages[k->crawl_page]) : NULL;
        for (; more && number < k->per_page && count < 64; number++) {
            struct item *it = (struct item *)(void *)(page + (size_t)number * k->chunk);
            checked++;
            if (meta_kind(item_meta(it)) != ITEM_LINKED) {
                continue;
            }
            if (item_is_dead(c, it) && evict_item(c, k, it, REMOVE_DEAD_CRAWLER)) {
                dead[count++] = it;
            } else { /* alive, or busy: for another time */
                expire_note(c, k->id, item_ext(it, item_meta(it)).expires);
            }
        }
        if (number >= k->per_page || !more) {
            k->crawl_page++;
            k->crawling = more;
            more = false;
        }
        spin_unlock(&k->lock);
        while (count > 0) {
            item_release(c, dead[--count]);
        }
    }
    spin_lock(&k->lock);
    k->figures.crawler_checked += checked;
    spin_unlock(&k->lock);
    metric_add(c->metrics, M_CRAWLER_CHECKED, checked);
    return checked + 1;
}

bool
expire_tick(struct store_ctx *c, unsigned budget)
{
    struct store *s = c->store;
    uint32_t slot = slot_of(c->sec);
    uint64_t floor = atomic_load_explicit(&s->floor, memory_order_relaxed);
    unsigned classes = s->slab.table.count, spent = 0;
    bool walking = false;

    for (unsigned id = 1; id <= classes && slot != s->tick_slot && TUNED(s, crawler); id++) {
        class_consider(&s->slab.classes[id], s->tick_slot, slot);
    }
    s->tick_slot = slot;
    for (unsigned id = 1; id <= classes && floor != s->tick_floor; id++) {
        class_start_walk(&s->slab.classes[id]); /* a flush: all of it is dead */
    }
    s->tick_floor = floor;
    for (unsigned i = 0; i < classes && spent < budget; i++) {
        struct slab_class *k = &s->slab.classes[(s->tick_class + i) % classes + 1];
        if (k->crawling && k->crawl_page == 0) {
            metric_add(c->metrics, M_CRAWLER_STARTS, 1);
        }
        while (k->crawling && spent < budget) {
            spent += class_walk_page(c, k);
        }
        if (k->crawling) {
            s->tick_class = (s->tick_class + i) % classes;
            walking = true;
        }
    }
    walking |= spent >= budget; /* there may be more behind the class that used it up */
    atomic_store_explicit(&s->crawling, walking, memory_order_relaxed);
    return walking;
}

enum store_asked
store_crawl(struct store *s, uint64_t classes)
{
    (void)s;
    (void)classes;
    return STORE_ASKED_OFF;
}
