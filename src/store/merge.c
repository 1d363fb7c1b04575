/*
 * merge.c - taking a record into the store: the rule that decides every conflict.
 */
#include "store/impl.h"

#include <assert.h>

/* The order of two records with the same version and touch count: the same on every node. */
static uint64_t
bytes_rank(struct slice value, bool tombstone)
{
    return tombstone ? UINT64_MAX : hash_bytes(value.ptr, value.len);
}

static uint64_t
item_rank(struct store_ctx *c, struct item *it)
{
    uint32_t meta = item_meta(it);
    struct value_cursor v;
    size_t n;
    struct hash_stream h;

    if (meta & ITEM_TOMBSTONE) {
        return UINT64_MAX;
    }
    hash_stream_init(&h);
    value_cursor_init(&v, c->store, it);
    for (void *p; (p = value_cursor_span(&v, c->store, &n)) != NULL;
         value_cursor_advance(&v, c->store, n)) {
        hash_stream_add(&h, p, n);
    }
    return hash_stream_end(&h);
}

/* Is what lies in the table at least as new? */
static bool
raw_wins(struct store_ctx *c, const struct store_txn *t, const struct store_record *r)
{
    uint64_t have = item_load_version(t->raw);
    uint16_t touches = item_ext(t->raw, item_meta(t->raw)).touches;

    if (have != r->version) {
        return have > r->version;
    }
    if (touches != r->touches) {
        return touches > r->touches;
    }
    uint64_t theirs = r->item != NULL ? item_rank(c, r->item) : bytes_rank(r->value, r->tombstone);
    return item_rank(c, t->raw) >= theirs;
}

static struct item *
record_item(struct store_ctx *c, const struct store_record *r)
{
    uint32_t layout = r->touches != 0 ? ITEM_HAS_EXT : 0;
    struct store_spec spec = { .key = r->key,
                               .value_len = (uint32_t)r->value.len,
                               .client_flags = r->client_flags,
                               .expires = r->expires,
                               .cas = r->cas,
                               .key_binary = r->key_binary };
    struct item *it = item_make(c, &spec, layout);

    if (it != NULL) {
        item_write(c, it, 0, r->value.ptr, r->value.len);
    }
    return it;
}

static void
record_finish(struct item *it, const struct store_record *r)
{
    uint32_t meta = item_meta(it);

    meta |= (r->tombstone ? (uint32_t)ITEM_TOMBSTONE : 0) | (r->stale ? (uint32_t)ITEM_STALE : 0) |
            (r->win_sent ? (uint32_t)ITEM_WIN_SENT : 0);
    item_set_meta(it, meta);
    item_store_version(it, r->version);
    if (meta & ITEM_HAS_EXT) {
        struct item_ext x = item_ext(it, meta);
        x.touches = (uint16_t)(r->touches < UINT16_MAX ? r->touches : UINT16_MAX);
        item_set_ext(it, meta, x);
    }
}

enum store_merged
store_merge(struct store_ctx *c, struct store_record *record)
{
    struct store_txn t;
    enum store_merged ret = STORE_REFUSED;
    struct item *it = record->item;

    assert(record->version != 0 && record->version >> 63 == 0);
    store_observe_version(c, record->version);
    store_lock(c, record->key, store_hash(record->key), &t);
    if (t.raw != NULL && raw_wins(c, &t, record)) {
        ret = STORE_OLDER;
    } else if (item_judge(c->store, c->sec, record->version, record->expires, 0) == STORE_HIT) {
        it = it != NULL ? it : record_item(c, record);
        record->item = NULL;
        if (it != NULL) {
            record_finish(it, record);
            ret = store_link(&t, &it) ? STORE_MERGED : STORE_REFUSED;
        } else if (t.raw != NULL) {
            store_forget(&t); /* no memory for what is newer: what is older may not be shown */
        }
    } else if (t.raw != NULL) {
        store_forget(&t); /* newer, but over: what it replaces must not live on */
    }
    store_unlock(&t);
    store_drop(c, record->item != NULL ? record->item : it);
    record->item = NULL;
    return ret;
}

bool
store_expel(struct store_ctx *c, struct slice key, uint64_t hash, uint64_t newest)
{
    struct store_txn t;
    bool ret;

    store_lock(c, key, hash, &t);
    ret = t.raw != NULL && item_load_version(t.raw) <= newest;
    if (ret) {
        store_forget(&t);
    }
    store_unlock(&t);
    return ret;
}
