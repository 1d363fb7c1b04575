/*
 * figures.c - what the engine tells about itself: gathered when asked, without stopping anybody.
 */
#include "store/grip.h"

#include <assert.h>

#define CENSUS_PAGES 64 /* of one class that are looked at, up to twice as many */

void
store_get_stats(struct store *s, struct store_stats *ret)
{
    uint64_t buckets = atomic_load_explicit(&s->table.count, memory_order_relaxed);

    *ret = (struct store_stats){
        .limit = atomic_load_explicit(&s->slab.limit, memory_order_relaxed),
        .table_bytes = atomic_load_explicit(&s->table.bytes, memory_order_relaxed),
        .table_buckets = buckets,
        .hash_power = 64 - (unsigned)__builtin_clzll(buckets - 1),
        .growing = table_wants_growth(&s->table),
        .classes = s->slab.table.count,
    };
    spin_lock(&s->slab.lock);
    ret->pages_global = atomic_load_explicit(&s->slab.spare_count, memory_order_relaxed);
    ret->pages_bytes = (size_t)(atomic_load_explicit(&s->slab.in_classes, memory_order_relaxed) +
                                ret->pages_global)
                       << s->slab.page_shift;
    spin_unlock(&s->slab.lock);
    ret->crawling = atomic_load_explicit(&s->crawling, memory_order_relaxed) ||
                    atomic_load_explicit(&s->asked_crawl, memory_order_relaxed) != 0;
    ret->moving = atomic_load_explicit(&s->moving, memory_order_relaxed) ||
                  atomic_load_explicit(&s->asked_move, memory_order_relaxed) != 0;
    ret->last_busy = atomic_load_explicit(&s->last_busy, memory_order_relaxed);
}

static int64_t
count_load(const _Atomic int64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

/* The threads' own counters. */
static void
class_add_ctxs(struct store *s, uint8_t id, struct store_class_stats *ret)
{
    spin_lock(&s->ctx_lock);
    for (int i = 0; i < STORE_COUNTS; i++) {
        ret->counts[i] = s->gone[id].counts[i];
    }
    ret->hits_small = s->gone[id].hits_small;
    ret->hits_main = s->gone[id].hits_main;
    ret->hits_cold = s->gone[id].hits_cold;
    ret->hits_temp = s->gone[id].hits_temp;
    for (unsigned x = 0; x < STORE_CTX_MAX; x++) {
        struct store_ctx *c = s->ctxs[x];
        /* A thread's spare chunks are free, wherever they are kept. */
        uint64_t spare = c != NULL ? stock_count(&c->stocks[id]) : 0;
        spare = spare < ret->chunks_used ? spare : ret->chunks_used;
        ret->chunks_used -= spare;
        ret->chunks_free += spare;
        for (int i = 0; c != NULL && i < STORE_COUNTS; i++) {
            ret->counts[i] += count_load(&c->counts[id][i]);
        }
        if (c != NULL) {
            store_add_hits(ret, c, id);
        }
    }
    spin_unlock(&s->ctx_lock);
}

static void
class_add_figures(const struct class_figures *f, struct store_class_stats *ret)
{
    ret->evicted = f->evicted;
    ret->evicted_nonzero = f->evicted_nonzero;
    ret->outofmemory = f->outofmemory;
    ret->reclaimed = f->reclaimed;
    ret->expired_unfetched = f->expired_unfetched;
    ret->evicted_unfetched = f->evicted_unfetched;
    ret->evicted_active = f->evicted_active;
    ret->crawler_reclaimed = f->crawler_reclaimed;
    ret->crawler_checked = f->crawler_checked;
    ret->lrutail_reflocked = f->reflocked;
    ret->moves_to_cold = f->to_cold;
    ret->moves_to_warm = f->to_warm;
    ret->moves_within = f->within;
    ret->direct_reclaims = f->direct;
}

static void
class_get_raw(struct store *s, uint8_t id, struct store_class_stats *ret)
{
    struct slab_class *k = &s->slab.classes[id];

    *ret = (struct store_class_stats){ .chunk_size = k->chunk, .chunks_per_page = k->per_page };
    spin_lock(&k->lock);
    ret->pages = k->page_count;
    ret->chunks_free = k->free_chunks;
    ret->chunks_used = (uint64_t)k->page_count * k->per_page - k->free_chunks;
    ret->evicted_time = k->victim_age;
    class_add_figures(&k->figures, ret);
    spin_unlock(&k->lock);
    class_add_ctxs(s, id, ret);
}

bool
store_class_in_use(struct store *s, uint8_t class_id)
{
    struct store_class_stats k;

    class_get_raw(s, class_id, &k);
    return k.chunks_used > 0;
}

/* What is seen of a class's chunks. */
struct census {
    uint64_t pages, items_small, items_main, items_cold, items_temp, bytes;
    uint32_t oldest_small, oldest_main; /* store seconds */
};

/* One page; the class is locked. */
static void
census_page(struct store *s, const struct slab_class *k, uint32_t page, struct census *n)
{
    const char *at = slab_page_start(&s->slab, k->pages[page]);

    n->pages++;
    for (uint32_t i = 0; i < k->per_page; i++, at += k->chunk) {
        const struct item *it = grip_item(&s->slab, (struct item *)(uintptr_t)at);
        if (it == NULL) {
            continue;
        }
        uint32_t meta = item_meta(it), seen = item_seen(it) >> SEEN_SHIFT;
        n->bytes += item_total_bytes(it);
        if (meta & ITEM_TEMP) {
            n->items_temp++;
        } else if (meta & ITEM_MAIN) {
            n->items_main++;
            n->items_cold += (item_seen(it) & SEEN_FREQ_MASK) == 0;
            n->oldest_main = seen < n->oldest_main ? seen : n->oldest_main;
        } else {
            n->items_small++;
            n->oldest_small = seen < n->oldest_small ? seen : n->oldest_small;
        }
    }
}

/*
 * Looks at the chunks of a class, a page per hold of its lock.  Of a class of many pages only some,
 * spread evenly, and makes the numbers of all out of them: somebody polls this every few seconds,
 * and a worker that reads gigabytes for it serves nobody meanwhile.
 */
static void
class_census(struct store *s, uint8_t id, struct store_class_stats *ret)
{
    struct slab_class *k = &s->slab.classes[id];
    struct census n = { .oldest_small = UINT32_MAX, .oldest_main = UINT32_MAX };
    uint32_t step = (uint32_t)(ret->pages / CENSUS_PAGES) + 1;
    bool more = true;

    for (uint32_t page = 0; more; page += step) {
        spin_lock(&k->lock);
        more = page < k->page_count;
        if (more) {
            census_page(s, k, page, &n);
        }
        spin_unlock(&k->lock);
    }
    uint64_t looked = n.pages > 0 ? n.pages : 1, all = step > 1 ? ret->pages : looked;
    ret->items_small = n.items_small * all / looked;
    ret->items_main = n.items_main * all / looked;
    ret->items_cold = n.items_cold * all / looked;
    ret->items_temp = n.items_temp * all / looked;
    ret->items = ret->items_main + ret->items_small + ret->items_temp;
    ret->bytes = n.bytes * all / looked;
    uint32_t now = atomic_load_explicit(&s->now, memory_order_relaxed);
    ret->age_small = n.oldest_small < now ? now - n.oldest_small : 0;
    ret->age_main = n.oldest_main < now ? now - n.oldest_main : 0;
    ret->age = ret->age_main > ret->age_small ? ret->age_main : ret->age_small;
}

static void
class_subtract(struct store_class_stats *r, const struct store_class_stats *base)
{
    /* The counters stand together, from evicted to the end. */
    int64_t *n = &r->evicted;
    const int64_t *b = &base->evicted;

    while (n < (int64_t *)(void *)(r + 1)) {
        *n++ -= *b++;
    }
}

void
store_get_class_stats(struct store *s, uint8_t class_id, struct store_class_stats *ret)
{
    assert(class_id >= 1 && class_id <= s->slab.table.count);
    class_get_raw(s, class_id, ret);
    class_census(s, class_id, ret);
    spin_lock(&s->ctx_lock);
    class_subtract(ret, &s->reset_base[class_id]);
    spin_unlock(&s->ctx_lock);
}

void
store_reset_stats(struct store *s)
{
    for (unsigned id = 1; id <= s->slab.table.count; id++) {
        struct store_class_stats now;
        class_get_raw(s, (uint8_t)id, &now);
        spin_lock(&s->ctx_lock);
        s->reset_base[id] = now;
        spin_unlock(&s->ctx_lock);
    }
}
