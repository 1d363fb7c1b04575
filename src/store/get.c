/*
 * get.c - looking a key up without a lock.
 *
 * The bucket's sequence is read before and after everything that is taken from the bucket and from
 * the item; if it moved, all of it is thrown away and read again.  What is read meanwhile may be
 * another item, or half of one: so lengths are clamped to the page, and nothing found is acted on
 * before the second look.
 */
#include "store/impl.h"

#define OPTIMISTIC_ROUNDS 16

/* What an attempt found. */
struct probe {
    struct bucket *bucket;
    uint32_t seq;
    struct item *item; /* NULL: no such key */
    uint32_t meta;
    uint32_t key_at; /* meta_key_at(meta) */
};

/* The item of a slot if it has this key, as far as one can tell without a lock. */
static bool
slot_matches(const struct store *s, uint64_t slot, struct slice key, struct probe *p)
{
    struct item *it = slab_item(&s->slab, slot & SLOT_HANDLE_MASK);
    uint32_t meta = item_meta(it), key_at = meta_key_at(meta);

    if (meta_key_len(meta) != key.len || meta_kind(meta) != ITEM_LINKED ||
        slab_room(&s->slab, it) < key_at + key.len || !item_key_is(it, key_at, key)) {
        return false;
    }
    p->item = it;
    p->meta = meta;
    p->key_at = key_at;
    return true;
}

static void
probe_chain(const struct store *s, struct slice key, uint64_t hash, struct probe *p)
{
    uint64_t tag = hash >> SLOT_TAG_SHIFT;
    unsigned links = 0;

    p->item = NULL;
    for (const struct bucket *b = p->bucket; b != NULL; b = bucket_next(&s->table, b)) {
#pragma GCC unroll 8
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t v = slot_load(&b->slot[i]);
            if (v >> SLOT_TAG_SHIFT == tag && (v & SLOT_HANDLE_MASK) != 0 &&
                slot_matches(s, v, key, p)) {
                return;
            }
        }
        /* A chain that is being rebuilt may seem endless: look whether it still is the same one. */
        if (++links % 64 == 0 && !bucket_read_ok(p->bucket, p->seq)) {
            return;
        }
    }
}

static bool
probe_ok(const struct store *s, uint64_t hash, const struct probe *p)
{
    return bucket_read_ok(p->bucket, p->seq) && p->bucket == table_bucket(&s->table, hash);
}

/* Forced into store_get(): as a function it makes each get find out again what is known there. */
static inline __attribute__((always_inline)) void
hit_fill(const struct store_ctx *c, const struct item *it, uint32_t meta, uint32_t key_at,
         struct store_hit *ret)
{
    const struct store *s = c->store;
    struct item_ext x = item_ext(it, meta);
    uint64_t own = meta & ITEM_HAS_CAS ? item_load_word(it, key_at - 8) : 0;
    uint32_t seen = item_seen(it);

    ret->value = (struct slice){ NULL, 0 };
    ret->pinned = NULL;
    ret->version = item_load_version(it);
    ret->value_len = item_size(it, meta);
    ret->client_flags = meta & ITEM_HAS_FLAGS ? item_flags(it, meta) : x.flags;
    ret->expires = x.expires;
    ret->accessed = seen >> SEEN_SHIFT;
    ret->cas = s->config.no_cas ? 0 : own != 0 ? own : ret->version;
    ret->class_id = slab_class_of(&s->slab, it);
    if (meta & ITEM_IS_BIG) {
        ret->class_id = slab_shown_class(&s->slab, it, meta);
    }
    ret->size = key_at + meta_key_len(meta) + ret->value_len;
    ret->fetched = (seen & SEEN_FETCHED) != 0;
    ret->stale = (meta & ITEM_STALE) != 0;
    ret->win_sent = (meta & ITEM_WIN_SENT) != 0;
    ret->key_binary = (meta & ITEM_KEY_BINARY) != 0;
}

void
store_fill_hit(const struct store_ctx *c, const struct item *it, struct store_hit *ret)
{
    uint32_t meta = item_meta(it);

    hit_fill(c, it, meta, meta_key_at(meta), ret);
}

/* The seen word after a hit now. */
static uint32_t
seen_after_hit(uint32_t seen, uint32_t sec)
{
    uint32_t freq = seen & SEEN_FREQ_MASK;

    return sec << SEEN_SHIFT | SEEN_FETCHED | (freq < SEEN_FREQ_MASK ? freq + 1 : freq);
}

static_assert(ITEM_MAIN >> 30 == HIT_MAIN && ITEM_TEMP >> 30 == HIT_TEMP &&
                  HIT_COLD == (HIT_MAIN | 2),
              "a hit's kind comes from the item's bits");

static inline void
hit_count(struct store_ctx *c, uint8_t class_id, uint32_t meta, uint32_t seen)
{
    uint32_t place = meta >> 30;
    uint32_t cold = place & ((seen & SEEN_FREQ_MASK) == 0);
    _Atomic int64_t *n = &c->hits[class_id][place | cold << 1];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/*
 * A hit moves nothing: it sets bits in the item, and only if they are not set already.  The bucket
 * is held for that instant, so that the word is surely still the item's; if the bucket has moved
 * on, the item does not learn of the hit.
 */
static void
probe_bump(struct store_ctx *c, const struct probe *p, uint8_t class_id)
{
    uint32_t seen = item_seen(p->item), now = seen_after_hit(seen, c->sec);

    hit_count(c, class_id, p->meta, seen);
    if (seen == now) {
        return;
    }
    if (bucket_touch(p->bucket, p->seq)) {
        item_set_seen(p->item, now);
        bucket_untouch(p->bucket, p->seq);
    } else {
        metric_add(c->metrics, M_BUMPS_DROPPED, 1);
    }
}

void
store_bump(struct store_txn *t)
{
    if (t->old != NULL) {
        uint32_t seen = item_seen(t->old);
        item_set_seen(t->old, seen_after_hit(seen, t->ctx->sec));
        hit_count(t->ctx, t->hit.class_id, item_meta(t->old), seen);
    }
}

/* The locked way, for readers that writers keep in the dark and for what is dead. */
static enum store_found
get_locked(struct store_ctx *c, struct slice key, uint64_t hash, int options, struct store_hit *ret)
{
    struct store_txn t;

    store_lock(c, key, hash, &t);
    if (t.found == STORE_HIT) {
        if (!(options & STORE_NO_VALUE)) {
            store_fetch(&t);
        }
        *ret = t.hit;
        if (!(options & STORE_PEEK)) {
            store_bump(&t);
        }
    }
    store_unlock(&t);
    return t.found;
}

/*
 * Pins a large value.  False: the bucket has moved on, or somebody holds it.  It is held for that
 * instant, because who unlinks the item, and gives up the reference that it has for being linked,
 * holds it too.
 */
static bool
probe_pin(const struct probe *p, struct store_hit *ret)
{
    if (!bucket_touch(p->bucket, p->seq)) {
        return false;
    }
    atomic_fetch_add_explicit(&item_big(p->item)->refs, 1, memory_order_relaxed);
    bucket_untouch(p->bucket, p->seq);
    ret->pinned = p->item;
    return true;
}

/* Copies the value to the scratch.  False: too long to be true. */
static bool
probe_copy(struct store_ctx *c, const struct probe *p, struct store_hit *ret)
{
    uint32_t at = p->key_at + meta_key_len(p->meta);

    if (at + ret->value_len > slab_room(&c->store->slab, p->item)) {
        return false;
    }
    ret->value = slice_of(item_get_bytes(p->item, at, ret->value_len, c->scratch), ret->value_len);
    return true;
}

enum store_found
store_get(struct store_ctx *c, struct slice key, uint64_t hash, int options, struct store_hit *ret)
{
    const struct store *s = c->store;

    for (int round = 0; round < OPTIMISTIC_ROUNDS; round++) {
        struct probe p = { .bucket = table_bucket(&s->table, hash) };
        p.seq = bucket_read_begin(p.bucket);
        probe_chain(s, key, hash, &p);
        if (p.item == NULL) {
            if (probe_ok(s, hash, &p)) {
                return STORE_MISS;
            }
            continue;
        }
        hit_fill(c, p.item, p.meta, p.key_at, ret);
        bool with_value = !(options & STORE_NO_VALUE), is_big = (p.meta & ITEM_IS_BIG) != 0;
        if (with_value && !is_big && !probe_copy(c, &p, ret)) {
            continue;
        }
        if (!probe_ok(s, hash, &p)) {
            continue;
        }
        enum store_found found = item_judge(s, c->sec, ret->version, ret->expires, p.meta);
        if (found == STORE_EXPIRED || found == STORE_FLUSHED) {
            break; /* whoever finds it dead takes it out */
        }
        if (found == STORE_HIT && with_value && is_big && !probe_pin(&p, ret)) {
            continue;
        }
        if (found == STORE_HIT && !(options & STORE_PEEK)) {
            probe_bump(c, &p, ret->class_id);
        }
        return found;
    }
    return get_locked(c, key, hash, options, ret);
}
