/*
 * alloc.c - chunks and items: getting memory for them and giving it back.
 */
#include "store/impl.h"

#include <assert.h>

/* A store under heavy load may lose what it evicted to another thread a few times, not for ever. */
#define TAKE_ROUNDS 64

/* One of the thread's own, or of some that it gets from the class. */
static struct item *
stock_take(struct store_ctx *c, uint8_t class_id, bool grow)
{
    struct slab *s = &c->store->slab;
    struct stock *stock = &c->stocks[class_id];

    for (struct item *chunk; (chunk = stock_pop(stock)) != NULL;) {
        if (!slab_is_draining(s, chunk)) {
            return chunk;
        }
        slab_give(s, chunk);
    }
    struct item *got[STOCK_MAX / 2];
    unsigned max = s->classes[class_id].chunk <= STOCK_CHUNK_MAX ? STOCK_MAX / 2 : 1;
    unsigned n = slab_take(s, class_id, got, max, grow);
    for (unsigned i = 1; i < n; i++) {
        stock_push(stock, got[i]);
    }
    return n > 0 ? got[0] : NULL;
}

struct item *
chunk_take_free(struct store_ctx *c, uint8_t class_id, bool grow)
{
    struct item *chunk = stock_take(c, class_id, grow);

    /* Who still reads the chunk's last item must see the bucket that dropped it move. */
    atomic_thread_fence(memory_order_release);
    assert(chunk == NULL || meta_kind(item_meta(chunk)) == ITEM_FREE);
    return chunk;
}

struct item *
chunk_take(struct store_ctx *c, uint8_t class_id)
{
    struct slab_class *k = &c->store->slab.classes[class_id];

    for (unsigned round = 0; round < TAKE_ROUNDS; round++) {
        struct item *chunk = chunk_take_free(c, class_id, true);
        if (chunk != NULL) {
            return chunk;
        }
        metric_add(c->metrics, M_DIRECT_RECLAIMS, 1);
        if (!evict_one(c, class_id) && !move_steal(c, class_id)) {
            break;
        }
    }
    spin_lock(&k->lock);
    k->figures.outofmemory++;
    spin_unlock(&k->lock);
    return NULL;
}

void
chunk_give(struct store_ctx *c, struct item *chunk)
{
    struct slab *s = &c->store->slab;
    uint8_t class_id = slab_class_of(s, chunk);
    struct stock *stock = &c->stocks[class_id];

    slab_wipe(chunk);
    if (stock_count(stock) < STOCK_MAX && s->classes[class_id].chunk <= STOCK_CHUNK_MAX &&
        !slab_is_draining(s, chunk)) {
        stock_push(stock, chunk);
        return;
    }
    slab_give(s, chunk);
}

static void
pieces_free(struct store_ctx *c, uint64_t handle)
{
    while (handle != 0) {
        struct item *piece = slab_item(&c->store->slab, handle);
        handle = item_load_version(piece);
        chunk_give(c, piece);
    }
}

void
item_release(struct store_ctx *c, struct item *it)
{
    if (item_meta(it) & ITEM_IS_BIG) {
        struct item_big *big = item_big(it);
        uint32_t refs = atomic_fetch_sub_explicit(&big->refs, 1, memory_order_acq_rel);
        assert(refs > 0);
        if (refs > 1) {
            return;
        }
        pieces_free(c, atomic_load_explicit(&big->piece, memory_order_relaxed));
    }
    chunk_give(c, it);
}

/* Chains a piece for the next of the bytes that have none behind the last one there is; NULL: no
 * memory. */
static struct item *
piece_make(struct store_ctx *c, struct item *it, struct item *last, uint32_t left)
{
    struct slab *s = &c->store->slab;
    bool classic = s->table.classic;

    uint8_t id = classic ? class_for_classic_piece(&s->table, left)
                         : class_for_piece(&s->table, left, PIECE_HEADER);
    struct item *chunk = chunk_take(c, id);
    if (chunk == NULL) {
        return NULL;
    }
    uint32_t room = s->table.chunk[id] - (classic ? CLASSIC_PIECE_HEADER : PIECE_HEADER);
    uint32_t n = left < room ? left : room;
    if (classic && n == left && left + 2 > room) {
        n--; /* memcached's "\r\n" has a piece of its own now, and a piece is never empty */
    }
    item_store_version(chunk, 0);
    item_set_seen(chunk, 0);
    item_store_word(chunk, 16, slab_handle(s, it));
    piece_set_bytes(chunk, n);
    uint64_t handle = slab_handle(s, chunk);
    if (last == NULL) {
        atomic_store_explicit(&item_big(it)->piece, handle, memory_order_relaxed);
    } else {
        item_store_version(last, handle);
    }
    if (n == left) {
        item_set_meta(it, item_meta(it) & ~ITEM_GROWS);
    }
    return chunk;
}

/* Chains pieces for the whole value behind a private item's head. */
static bool
pieces_make(struct store_ctx *c, struct item *it)
{
    struct item *last = NULL;

    for (uint32_t left = item_size(it, item_meta(it)); left > 0;) {
        last = piece_make(c, it, last, left);
        if (last == NULL) {
            return false;
        }
        left -= piece_bytes(last);
    }
    return true;
}

bool
store_extend(struct store_ctx *c, struct value_cursor *v)
{
    size_t len;

    assert(v->left > 0 && meta_kind(item_meta(v->item)) == ITEM_PRIVATE);
    if (value_cursor_span(v, c->store, &len) != NULL) {
        return true;
    }
    assert(meta_grows(item_meta(v->item)));
    struct item *last = v->chunk != v->item ? v->chunk : NULL;
    struct item *piece = piece_make(c, v->item, last, v->left);
    if (piece == NULL) {
        return false;
    }
    v->chunk = piece;
    v->at = 0;
    return true;
}

size_t
store_classic_size(const struct store *s, const struct store_spec *spec)
{
    /* memcached's item header and cas, the key's NUL, the flags, and the value's "\r\n". */
    size_t header = 48 + (s->config.no_cas ? 0u : 8u);

    return header + spec->key.len + 1 + (spec->client_flags != 0 ? 4u : 0u) + spec->value_len + 2u;
}

/* True if memcached would chain chunks for it: with a small slab_chunk_max also what is no BIG item
 * by its length. */
static bool
spec_is_chained(const struct store *s, const struct store_spec *spec)
{
    return s->slab.table.classic && store_classic_size(s, spec) > s->slab.table.item_max;
}

static uint32_t
spec_layout(const struct store *s, const struct store_spec *spec)
{
    if (spec->value_len >= ITEM_BIG || spec_is_chained(s, spec)) {
        return ITEM_LAYOUT & (s->config.no_cas ? ~(uint32_t)ITEM_HAS_CAS : ~0u);
    }
    uint32_t layout = 0;
    if (spec->expires != 0 || spec->client_flags != 0) {
        layout |= ITEM_HAS_EXT;
    }
    if (spec->client_flags > UINT16_MAX) {
        layout |= ITEM_HAS_FLAGS;
    }
    if (spec->cas != 0 && !s->config.no_cas) {
        layout |= ITEM_HAS_CAS;
    }
    return layout;
}

static void
item_fill(struct item *it, uint32_t meta, const struct store_spec *spec)
{
    item_store_version(it, 0);
    item_set_seen(it, 0);
    if (meta & ITEM_IS_BIG) {
        struct item_big *big = item_big(it);
        atomic_store_explicit(&big->size, spec->value_len, memory_order_relaxed);
        atomic_store_explicit(&big->refs, 1, memory_order_relaxed);
        atomic_store_explicit(&big->piece, 0, memory_order_relaxed);
    }
    if (meta & ITEM_HAS_EXT) {
        bool wide = (meta & ITEM_HAS_FLAGS) != 0;
        item_set_ext(
            it, meta,
            (struct item_ext){ spec->expires, 0, wide ? 0 : (uint16_t)spec->client_flags });
        if (wide) {
            item_store_word(it, meta_ext_at(meta) + 8, spec->client_flags);
        }
    }
    if (meta & ITEM_HAS_CAS) {
        item_store_word(it, meta_cas_at(meta), spec->cas);
    }
    item_put_bytes(it, meta_key_at(meta), spec->key.ptr, spec->key.len);
    item_set_meta(it, meta);
}

/* The class that memcached would put the item into; our items, whose bytes before the value are
 * `head`, are smaller than its own.  *whole: with the value. */
static uint8_t
place_classic(const struct store *s, const struct store_spec *spec, uint32_t head, bool *whole)
{
    const struct class_table *t = &s->slab.table;
    size_t size = store_classic_size(s, spec);

    *whole = !spec_is_chained(s, spec);
    if (!*whole) {
        size += CLASSIC_PIECE_HEADER - 2 - spec->value_len;
    }
    uint8_t id = class_for(t, (uint32_t)size);
    assert(id != 0 && t->chunk[id] >= head + (*whole ? spec->value_len : 0));
    return id;
}

struct item *
item_make_head(struct store_ctx *c, const struct store_spec *spec, uint32_t layout)
{
    struct slab *s = &c->store->slab;
    uint32_t meta = spec_layout(c->store, spec) | layout | (uint32_t)spec->key.len;

    assert(spec->key.len >= 1 && spec->key.len <= UINT8_MAX);
    meta = meta_with_kind(meta | (spec->key_binary ? ITEM_KEY_BINARY : 0), ITEM_PRIVATE);
    if (!(meta & ITEM_IS_BIG)) {
        meta |= spec->value_len << ITEM_SIZE_SHIFT;
    }
    uint32_t head = meta_key_at(meta) + (uint32_t)spec->key.len;
    bool whole = (size_t)head + spec->value_len <= s->table.item_max;
    uint8_t id = s->table.classic ? place_classic(c->store, spec, head, &whole)
                                  : class_for(&s->table, whole ? head + spec->value_len : head);
    struct item *it = chunk_take(c, id);
    if (it == NULL) {
        return NULL;
    }
    assert(whole || (meta & ITEM_IS_BIG));
    item_fill(it, whole ? meta : meta | ITEM_GROWS, spec);
    return it;
}

struct item *
item_make(struct store_ctx *c, const struct store_spec *spec, uint32_t layout)
{
    struct item *it = item_make_head(c, spec, layout);

    if (it != NULL && meta_grows(item_meta(it)) && !pieces_make(c, it)) {
        item_release(c, it);
        return NULL;
    }
    return it;
}

struct item *
item_reshape(struct store_ctx *c, struct item *old, uint32_t layout)
{
    uint32_t meta = item_meta(old);
    uint64_t room[ITEM_BIG / 8 + 2];
    uint64_t key_room[34];

    assert(!(meta & ITEM_IS_BIG)); /* those have every layout bit */
    uint32_t key_len = meta_key_len(meta), size = item_size(old, meta), at = meta_key_at(meta);
    const struct store_spec spec = {
        .key = slice_of(item_get_bytes(old, at, key_len, key_room), key_len),
        .value_len = size,
        .client_flags = item_flags(old, meta),
        .expires = item_ext(old, meta).expires,
        .cas = item_own_cas(old, meta),
        .key_binary = (meta & ITEM_KEY_BINARY) != 0,
    };
    struct item *it = item_make(c, &spec, layout);
    if (it == NULL) {
        return NULL;
    }
    item_write(c, it, 0, item_get_bytes(old, at + key_len, size, room), size);
    item_set_seen(it, item_seen(old));
    uint32_t keep = ITEM_STALE | ITEM_WIN_SENT | ITEM_TOMBSTONE;
    item_set_meta(it, item_meta(it) | (meta & keep));
    if (item_meta(it) & ITEM_HAS_EXT) {
        struct item_ext x = item_ext(it, item_meta(it));
        x.touches = item_ext(old, meta).touches;
        item_set_ext(it, item_meta(it), x);
    }
    return it;
}

uint32_t
item_total_bytes(const struct item *it)
{
    uint32_t meta = item_meta(it);

    return meta_key_at(meta) + meta_key_len(meta) + item_size(it, meta);
}

void
item_count(struct store_ctx *c, const struct item *it, int sign)
{
    if (!(item_meta(it) & ITEM_TOMBSTONE)) {
        metric_add(c->metrics, M_CURR_ITEMS, sign);
        metric_add(c->metrics, M_CURR_BYTES, sign * (int64_t)item_total_bytes(it));
    }
}

/* -- the public face ----------------------------------------------------------------------------
 */

bool
store_fits(const struct store *s, const struct store_spec *spec)
{
    return store_classic_size(s, spec) <= s->config.item_size_max;
}

bool
store_is_chunked(const struct store *s, const struct store_spec *spec)
{
    const struct class_table *t = &s->slab.table;

    return store_classic_size(s, spec) > (t->classic ? t->item_max : CLASSIC_CHUNK_MAX);
}

/* True if one more item would be too many and none may go for it. */
static bool
is_crowded(const struct store *s)
{
    return s->config.items_max != 0 && !s->config.evict &&
           atomic_load_explicit(&s->table.keys, memory_order_relaxed) >=
               (int64_t)s->config.items_max;
}

struct item *
store_alloc(struct store_ctx *c, const struct store_spec *spec)
{
    return is_crowded(c->store) ? NULL : item_make(c, spec, 0);
}

struct item *
store_begin(struct store_ctx *c, const struct store_spec *spec)
{
    return is_crowded(c->store) ? NULL : item_make_head(c, spec, 0);
}

void
store_drop(struct store_ctx *c, struct item *item)
{
    if (item != NULL) {
        assert(meta_kind(item_meta(item)) == ITEM_PRIVATE);
        item_release(c, item);
    }
}

void
store_unpin(struct store_ctx *c, struct item *item)
{
    item_release(c, item);
}

uint32_t
item_value_len(const struct item *item)
{
    return item_size(item, item_meta(item));
}

uint8_t
item_class(const struct store *s, const struct item *item)
{
    return slab_shown_class(&s->slab, item, item_meta(item));
}
