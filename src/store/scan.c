/*
 * scan.c - going through everything: by bucket (records for replication, snapshots, dumps) and by
 * class.
 */
#include "store/grip.h"

#include <limits.h>

/* One item, copied or pinned while its bucket was locked, to be shown when it no longer is. */
struct shown {
    struct store_record record;
    uint8_t class_id;
    uint64_t key[34];
    uint64_t value[ITEM_BIG / 8 + 2];
};

/* Bucket locked. */
static void
shown_take(struct store *s, struct item *it, struct shown *ret)
{
    uint32_t meta = item_meta(it), n = meta_key_len(meta), at = meta_key_at(meta);
    struct item_ext x = item_ext(it, meta);

    ret->class_id = slab_shown_class(&s->slab, it, meta);
    ret->record = (struct store_record){
        .key = slice_of(item_get_bytes(it, at, n, ret->key), n),
        .client_flags = item_flags(it, meta),
        .expires = x.expires,
        .touches = x.touches,
        .version = item_load_version(it),
        .cas = item_own_cas(it, meta),
        .tombstone = (meta & ITEM_TOMBSTONE) != 0,
        .stale = (meta & ITEM_STALE) != 0,
        .win_sent = (meta & ITEM_WIN_SENT) != 0,
        .key_binary = (meta & ITEM_KEY_BINARY) != 0,
        .accessed = item_seen(it) >> SEEN_SHIFT,
        .fetched = (item_seen(it) & SEEN_FETCHED) != 0,
        .size = item_total_bytes(it),
    };
    if (meta & ITEM_IS_BIG) {
        atomic_fetch_add_explicit(&item_big(it)->refs, 1, memory_order_relaxed);
        ret->record.item = it;
        return;
    }
    uint32_t size = item_size(it, meta);
    ret->record.value = slice_of(item_get_bytes(it, at + n, size, ret->value), size);
}

static void
shown_give(struct store_ctx *c, struct shown *one, store_scan_fn *each, void *arg)
{
    each(arg, &one->record, one->class_id);
    if (one->record.item != NULL) {
        store_unpin(c, one->record.item);
    }
}

#define CHAIN_END UINT_MAX

/*
 * The last item of a bucket's chain before its n-th slot, counted from 1; returns the number of its
 * slot, 0: there is none.  Bucket locked.
 */
static unsigned
bucket_before(struct store_ctx *c, struct bucket *b, unsigned n, struct shown *ret)
{
    struct store *s = c->store;
    uint64_t found = 0;
    unsigned number = 0;

    for (unsigned at = 1; b != NULL; b = bucket_next(&s->table, b)) {
        for (int i = 0; i < TABLE_SLOTS && at < n; i++, at++) {
            uint64_t handle = slot_load(&b->slot[i]) & SLOT_HANDLE_MASK;
            if (handle != 0) {
                found = handle;
                number = at;
            }
        }
    }
    if (number != 0) {
        shown_take(s, slab_item(&s->slab, found), ret);
    }
    return number;
}

static bool
shown_is_dead(const struct store_ctx *c, const struct shown *one)
{
    const struct store_record *r = &one->record;
    enum store_found f = item_judge(c->store, c->sec, r->version, r->expires, 0);

    return f != STORE_HIT;
}

/*
 * All of one bucket, one item at a time, so that nothing is called with the lock held.  What
 * changes meanwhile is seen twice or in its new state, never missed: from the end to the front,
 * because an item moves only to the front of its chain, where it is met later, or, when the bucket
 * is split, to one with a higher index.
 */
static void
scan_bucket(struct store_ctx *c, uint64_t index, store_scan_fn *each, void *arg)
{
    struct bucket *b = &c->store->table.buckets[index];
    struct shown one;
    unsigned n = CHAIN_END;

    for (;;) {
        bucket_lock(b);
        n = bucket_before(c, b, n, &one);
        bucket_unlock(b);
        if (n == 0) {
            return;
        }
        if (!shown_is_dead(c, &one)) {
            shown_give(c, &one, each, arg);
        } else if (one.record.item != NULL) {
            store_unpin(c, one.record.item);
        }
    }
}

bool
store_scan(struct store_ctx *c, uint64_t *cursor, unsigned budget, store_scan_fn *each, void *arg)
{
    struct table *t = &c->store->table;

    for (unsigned i = 0; i < budget; i++) {
        if (*cursor >= atomic_load_explicit(&t->count, memory_order_acquire)) {
            return true;
        }
        scan_bucket(c, (*cursor)++, each, arg);
    }
    return *cursor >= atomic_load_explicit(&t->count, memory_order_acquire);
}

/* Takes the next live item of a class from a place on, which goes on; false at the page's end.
 * Class locked. */
static bool
page_next_locked(struct store_ctx *c, struct slab_class *k, uint32_t page, uint32_t *number,
                 struct shown *ret)
{
    struct store *s = c->store;
    char *start = slab_page_start(&s->slab, k->pages[page]);

    while (*number < k->per_page) {
        struct item *chunk = (struct item *)(void *)(start + (size_t)(*number)++ * k->chunk);
        struct item *it = grip_item(&s->slab, chunk);
        struct grip g;
        if (it != NULL && store_judge(s, c->sec, it) == STORE_HIT &&
            grip_take(s, it, &g)) {
            shown_take(s, it, ret);
            grip_drop(&g);
            return true;
        }
    }
    return false;
}

/* The same over all pages, one for each hold of the lock; false at the end. */
static bool
class_next(struct store_ctx *c, struct slab_class *k, uint32_t *page, uint32_t *number,
           struct shown *ret)
{
    for (;; ++*page, *number = 0) {
        spin_lock(&k->lock);
        bool more = *page < k->page_count;
        bool found = more && page_next_locked(c, k, *page, number, ret);
        spin_unlock(&k->lock);
        if (found || !more) {
            return found;
        }
    }
}

void
store_walk_class(struct store_ctx *c, uint8_t class_id, unsigned limit, store_scan_fn *each,
                 void *arg)
{
    struct store *s = c->store;
    uint32_t page = 0, number = 0;
    struct shown one;

    if (class_id < 1 || class_id > s->slab.table.count) {
        return;
    }
    for (unsigned n = 0; n < limit; n++) {
        if (!class_next(c, &s->slab.classes[class_id], &page, &number, &one)) {
            return;
        }
        shown_give(c, &one, each, arg);
    }
}
