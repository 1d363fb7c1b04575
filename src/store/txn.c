/*
 * txn.c - one key under its bucket's lock: looking, publishing, changing.
 */
#include "store/impl.h"

#include <assert.h>

/* The slot and item of the key, tombstones included. */
static void
txn_find(struct store_txn *t)
{
    const struct store *s = t->ctx->store;
    uint64_t tag = t->hash >> SLOT_TAG_SHIFT;

    for (struct bucket *b = t->bucket; b != NULL; b = bucket_next(&s->table, b)) {
#pragma GCC unroll 8
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t v = slot_load(&b->slot[i]);
            if (v >> SLOT_TAG_SHIFT != tag || (v & SLOT_HANDLE_MASK) == 0) {
                continue;
            }
            struct item *it = slab_item(&s->slab, v & SLOT_HANDLE_MASK);
            uint32_t meta = item_meta(it);
            if (meta_key_len(meta) == t->key.len && item_key_is(it, meta_key_at(meta), t->key)) {
                t->slot = &b->slot[i];
                t->raw = it;
                return;
            }
        }
    }
}

static void
txn_set_old(struct store_txn *t, struct item *it)
{
    t->old = it;
    if (it != NULL) {
        store_fill_hit(t->ctx, it, &t->hit);
    }
}

/* Takes what lies in the table out of it and frees it. */
static void
txn_unlink_raw(struct store_txn *t)
{
    struct item *it = t->raw;

    assert(it != NULL && t->slot != NULL);
    evict_unlink(t->ctx, it, t->bucket, t->slot, -1);
    item_release(t->ctx, it);
    t->raw = NULL;
    t->slot = NULL;
    t->old = NULL;
}

void
store_lock(struct store_ctx *c, struct slice key, uint64_t hash, struct store_txn *t)
{
    t->ctx = c;
    t->key = key;
    t->hash = hash;
    t->found = STORE_MISS;
    t->old = t->raw = NULL;
    t->slot = NULL;
    t->bucket = table_lock(&c->store->table, hash);
    txn_find(t);
    if (t->raw == NULL) {
        return;
    }
    t->found = store_judge(c->store, c->sec, t->raw);
    if (t->found == STORE_HIT) {
        txn_set_old(t, t->raw);
    } else if (t->found != STORE_MISS) { /* a tombstone stays until its time is over */
        if (item_meta(t->raw) & ITEM_TOMBSTONE) {
            t->found = STORE_MISS;
        } else if (!(item_seen(t->raw) & SEEN_FETCHED) && t->found == STORE_EXPIRED) {
            metric_add(c->metrics, M_EXPIRED_UNFETCHED, 1);
        }
        txn_unlink_raw(t);
    }
}

void
store_unlock(struct store_txn *t)
{
    assert(t->bucket != NULL);
    bucket_unlock(t->bucket);
    t->bucket = NULL;
    struct table *table = &t->ctx->store->table;
    /* Grown by who fills it: a bucket or two for each handful of new keys. */
    for (int i = 0; i < 2 * KEYS_STEP && table_wants_growth(table); i++) {
        if (!table_split(table, store_hash_of_handle, t->ctx->store)) {
            break;
        }
    }
}

/*
 * Puts a private item where the key's slot is, or into a new one.  heir: it is another form of the
 * old item and keeps its place in the eviction order; a new value of a main key stays main as well.
 * False: no room in the table.
 */
static bool
txn_link(struct store_txn *t, struct item *it)
{
    struct store_ctx *c = t->ctx;
    struct store *s = c->store;
    struct item *raw = t->raw;
    uint64_t handle = slab_handle(&s->slab, it);
    bool heir = raw != NULL && (item_meta(raw) & ITEM_MAIN), ghost = false;

    assert(!meta_grows(item_meta(it))); /* readers trust the chain to reach to the value's end */
    if (raw != NULL) {
        uint64_t tag = slot_load(t->slot) & ~SLOT_HANDLE_MASK;
        atomic_store_explicit((_Atomic uint64_t *)t->slot, tag | handle, memory_order_relaxed);
        item_count(c, raw, -1);
        item_set_meta(raw, meta_with_kind(item_meta(raw), ITEM_PRIVATE));
        item_release(c, raw);
    } else {
        t->slot = table_insert(&s->table, t->bucket, t->hash, handle, &ghost);
        if (t->slot == NULL) {
            return false;
        }
        store_count_key(c, 1);
    }
    uint32_t meta = meta_with_kind(item_meta(it), ITEM_LINKED);
    uint32_t expires = item_ext(it, meta).expires;
    uint8_t class_id = slab_shown_class(&s->slab, it, meta);
    bool temporary = evict_is_temporary(c, expires) && !(meta & ITEM_TOMBSTONE);
    uint32_t place = temporary ? ITEM_TEMP : heir || ghost ? ITEM_MAIN : 0;
    item_set_meta(it, meta | place);
    item_count(c, it, 1);
    expire_note(c, class_id, expires);
    t->raw = it;
    t->found = item_meta(it) & ITEM_TOMBSTONE ? STORE_MISS : STORE_HIT;
    txn_set_old(t, t->found == STORE_HIT ? it : NULL);
    evict_admit(c, it);
    if (raw == NULL) {
        evict_to_count(c, class_id);
    }
    return true;
}

bool
store_link(struct store_txn *t, struct item **item)
{
    struct item *it = *item;

    *item = NULL;
    item_set_seen(it, t->ctx->sec << SEEN_SHIFT | (item_seen(it) & SEEN_FREQ_MASK));
    if (!txn_link(t, it)) {
        store_drop(t->ctx, it);
        return false;
    }
    return true;
}

void
store_forget(struct store_txn *t)
{
    txn_unlink_raw(t);
    t->found = STORE_MISS;
}

uint64_t
store_publish(struct store_txn *t, struct item **item)
{
    struct store_ctx *c = t->ctx;
    struct item *it = *item;
    uint64_t v = store_next_version(c, t->raw != NULL ? item_load_version(t->raw) : 0);
    uint32_t freq = t->old != NULL ? item_seen(t->old) & SEEN_FREQ_MASK : 0;

    *item = NULL;
    assert(meta_kind(item_meta(it)) == ITEM_PRIVATE && meta_key_len(item_meta(it)) == t->key.len);
    item_store_version(it, v);
    item_set_seen(it, c->sec << SEEN_SHIFT | freq);
    metric_add(c->metrics, M_TOTAL_ITEMS, 1);
    if (!txn_link(t, it)) {
        store_drop(c, it);
        return 0;
    }
    return v;
}

/* Replaces the old item by itself in another layout. */
static bool
txn_reshape(struct store_txn *t, uint32_t layout)
{
    uint64_t version = item_load_version(t->old);
    struct item *it = item_reshape(t->ctx, t->old, layout);

    if (it == NULL) {
        return false;
    }
    item_store_version(it, version);
    if (!txn_link(t, it)) {
        store_drop(t->ctx, it);
        return false;
    }
    return true;
}

/* True once the old item has these layout bits. */
static bool
txn_require(struct store_txn *t, uint32_t layout)
{
    return (item_meta(t->old) & layout) == layout || txn_reshape(t, layout);
}

bool
store_copy_value(struct store_txn *t, void *room)
{
    assert(t->bucket != NULL && t->old != NULL);
    uint32_t meta = item_meta(t->old);

    if (meta & ITEM_IS_BIG) {
        return false;
    }
    uint32_t n = item_size(t->old, meta), at = meta_key_at(meta) + meta_key_len(meta);
    memcpy(room, item_get_bytes(t->old, at, n, t->ctx->scratch), n);
    return true;
}

void
store_fetch(struct store_txn *t)
{
    struct item *it = t->old;
    assert(t->bucket != NULL && it != NULL);
    uint32_t meta = item_meta(it);

    if (meta & ITEM_IS_BIG) {
        atomic_fetch_add_explicit(&item_big(it)->refs, 1, memory_order_relaxed);
        t->hit.pinned = it;
        return;
    }
    uint32_t at = meta_key_at(meta) + meta_key_len(meta), n = item_size(it, meta);
    t->hit.value = slice_of(item_get_bytes(it, at, n, t->ctx->scratch), n);
}

/* Copies the whole value of `from` into `to` at offset. */
static void
value_copy(struct store_ctx *c, struct item *to, uint32_t offset, struct item *from)
{
    struct value_cursor v;
    size_t n;

    value_cursor_init(&v, c->store, from);
    for (void *p; (p = value_cursor_span(&v, c->store, &n)) != NULL;
         value_cursor_advance(&v, c->store, n)) {
        item_write(c, to, offset, p, n);
        offset += (uint32_t)n;
    }
}

bool
store_concat(struct store_txn *t, bool prepend, struct slice bytes, struct item *from)
{
    struct store_ctx *c = t->ctx;
    struct item *old = t->old;
    assert(t->bucket != NULL && old != NULL);
    uint32_t meta = item_meta(old), had = item_size(old, meta);
    uint32_t more = from != NULL ? item_value_len(from) : (uint32_t)bytes.len;
    struct store_spec spec = { .key = t->key,
                               .value_len = had + more,
                               .client_flags = t->hit.client_flags,
                               .expires = t->hit.expires,
                               .key_binary = t->hit.key_binary };
    /* The old item is linked and its bucket held, so making room cannot take it. */
    struct item *it = item_make(c, &spec, 0);

    if (it == NULL) {
        return false;
    }
    value_copy(c, it, prepend ? more : 0, old);
    if (from != NULL) {
        value_copy(c, it, prepend ? 0 : had, from);
    } else {
        item_write(c, it, prepend ? 0 : had, bytes.ptr, bytes.len);
    }
    return store_publish(t, &it) != 0;
}

bool
store_restamp(struct store_txn *t, uint64_t cas)
{
    assert(t->bucket != NULL && t->old != NULL);
    cas = t->ctx->store->config.no_cas ? 0 : cas;
    if (cas != 0 && !txn_require(t, ITEM_HAS_CAS)) {
        return false;
    }
    uint32_t meta = item_meta(t->old);
    if (meta & ITEM_HAS_CAS) {
        item_store_word(t->old, meta_cas_at(meta), cas);
    }
    /* Its entry in the small queue bears the old version and will not be known again; what is
     * changed in place has been wanted twice. */
    item_set_meta(t->old, meta | (meta & ITEM_TEMP ? 0 : ITEM_MAIN));
    item_store_version(t->old, store_next_version(t->ctx, item_load_version(t->old)));
    txn_set_old(t, t->old);
    return true;
}

bool
store_rewrite(struct store_txn *t, struct slice bytes, uint64_t cas)
{
    assert(t->bucket != NULL && t->old != NULL);
    uint32_t meta = item_meta(t->old);

    if (meta & ITEM_IS_BIG || bytes.len != item_size(t->old, meta) || !store_restamp(t, cas)) {
        return false;
    }
    meta = item_meta(t->old);
    item_put_bytes(t->old, meta_key_at(meta) + meta_key_len(meta), bytes.ptr, bytes.len);
    return true;
}

/* Leaves a tombstone in the key's place; without memory for one the key just goes. */
static bool
txn_bury(struct store_txn *t)
{
    struct store_ctx *c = t->ctx;
    struct store_spec spec = { .key = t->key, .expires = c->sec + c->store->config.tombstone_life };
    struct item *it = item_make(c, &spec, 0);

    if (it == NULL) {
        return false;
    }
    item_set_meta(it, item_meta(it) | ITEM_TOMBSTONE);
    item_store_version(it, store_next_version(c, item_load_version(t->raw)));
    item_set_seen(it, c->sec << SEEN_SHIFT);
    return txn_link(t, it);
}

void
store_remove(struct store_txn *t)
{
    assert(t->bucket != NULL);
    if (t->old == NULL) {
        return;
    }
    if (t->ctx->store->config.tombstone_life == 0 || !txn_bury(t)) {
        txn_unlink_raw(t);
    }
    t->found = STORE_MISS;
}

bool
store_retime(struct store_txn *t, uint32_t expires)
{
    assert(t->bucket != NULL && t->old != NULL);
    if (expires == t->hit.expires) {
        return true;
    }
    if (!txn_require(t, ITEM_HAS_EXT)) {
        return false;
    }
    struct item_ext x = item_ext(t->old, item_meta(t->old));
    if (x.touches ==
        UINT16_MAX) { /* the order of records must not wrap: this touch is a new version */
        if (!store_restamp(t, item_own_cas(t->old, item_meta(t->old)))) {
            return false;
        }
        x.touches = 0;
    } else {
        x.touches++;
    }
    x.expires = expires;
    item_set_ext(t->old, item_meta(t->old), x);
    if ((item_meta(t->old) & ITEM_TEMP) && !evict_is_temporary(t->ctx, expires)) {
        item_set_meta(t->old, item_meta(t->old) & ~ITEM_TEMP);
        evict_admit(t->ctx, t->old);
    }
    expire_note(t->ctx, t->hit.class_id, expires);
    txn_set_old(t, t->old);
    return true;
}

void
store_mark(struct store_txn *t, bool stale, bool win_sent)
{
    assert(t->bucket != NULL && t->old != NULL);
    uint32_t meta = item_meta(t->old) & ~(uint32_t)(ITEM_STALE | ITEM_WIN_SENT);

    meta |= (stale ? (uint32_t)ITEM_STALE : 0) | (win_sent ? (uint32_t)ITEM_WIN_SENT : 0);
    item_set_meta(t->old, meta);
    t->hit.stale = stale;
    t->hit.win_sent = win_sent;
}
