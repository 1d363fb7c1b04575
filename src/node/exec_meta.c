/*
 * exec_meta.c - mg, md and me; ms is in exec_store.c, ma in exec_arith.c.
 */
#include "base/base64.h"
#include "node/exec.h"
#include "proto/meta.h"
#include "vocab/limits.h"

/* What the flags of an mg may print of an item, as it was before the command. */
static void
get_describe(const struct worker *w, const struct store_hit *h, struct reply *r)
{
    uint32_t now = store_seconds(w->ctx);

    r->has_item = true;
    r->fetched = h->fetched;
    r->idle = now > h->accessed ? now - h->accessed : 0;
    r->client_flags = h->client_flags;
    r->value_len = h->value_len;
    r->ttl = exec_ttl(w, h->expires);
    r->cas = h->cas;
    r->key_binary = h->key_binary;
    r->stale = h->stale;
    r->sent = h->win_sent;
}

/* True if this reader is to be the one who brings a new value. */
static bool
get_wins(const struct worker *w, const struct command *c, const struct store_hit *h)
{
    if (h->win_sent) {
        return false;
    }
    if (h->stale) {
        return true;
    }
    /* R looks at the time that T has set, if T stands before it. */
    uint32_t expires = h->expires;
    if (exec_has(c, 'T') && c->meta.at_T < c->meta.at_R) {
        expires = exec_expiry(w, c->meta.ttl);
    }
    return exec_has(c, 'R') && expires != 0 && expires < store_expiry(w->ctx, c->meta.recache_ttl);
}

/* True if the value is asked for, and not one that the client has already. */
static bool
get_shows_value(const struct command *c, const struct store_hit *h)
{
    return exec_has(c, 'v') && !(exec_has(c, 'C') && c->cas == h->cas && h->cas != 0);
}

/* Puts the value that was fetched into the reply, or lets go of it. */
static void
get_value(struct worker *w, const struct command *c, const struct store_hit *h, struct reply *r)
{
    if (get_shows_value(c, h)) {
        r->code = RPL_HIT;
        r->value = h->value;
        r->pinned = h->pinned;
        return;
    }
    r->code = RPL_DONE;
    if (h->pinned) {
        store_unpin(w->ctx, h->pinned);
    }
}

/* mg N on a miss: an empty item that only this client may fill.  False: no memory. */
static bool
get_vivify(struct worker *w, const struct command *c, struct store_txn *t)
{
    struct store_spec spec = {
        .key = c->key,
        .expires = exec_new_expiry(w, c, UINT8_MAX),
        .cas = exec_has(c, 'E') ? c->meta.new_cas : 0,
        .key_binary = c->key_binary,
    };
    struct item *item = store_alloc(w->ctx, &spec);

    if (!item || store_publish(t, &item) == 0) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return false;
    }
    store_mark(t, false, true);
    return true;
}

/*
 * Key locked, item there.  before: the item as the first look found it, or NULL if this is the
 * first.
 */
static void
get_change(struct worker *w, const struct command *c, struct store_txn *t,
           const struct store_hit *before, struct reply *r)
{
    get_describe(w, &t->hit, r);
    if (before) {
        r->fetched = before->fetched;
        r->idle = store_seconds(w->ctx) - before->accessed;
    }
    r->won = get_wins(w, c, &t->hit);
    if (exec_has(c, 'T')) {
        if (!store_retime(t, exec_expiry(w, c->meta.ttl))) {
            r->code = RPL_NO_MEMORY;
            return;
        }
        if (c->meta.at_t > c->meta.at_T) {
            r->ttl = exec_ttl(w, t->hit.expires);
        }
    }
    if (r->won) {
        store_mark(t, t->hit.stale, true);
    }
    if (!before && !exec_has(c, 'u')) {
        store_bump(t);
    }
    if (get_shows_value(c, &t->hit)) {
        store_fetch(t);
    }
    get_value(w, c, &t->hit, r);
}

/* The item is there now, and empty: its client has won. */
static void
get_created(struct worker *w, const struct command *c, struct store_txn *t, struct reply *r)
{
    get_describe(w, &t->hit, r);
    r->ttl = exec_ttl(w, exec_new_expiry(w, c, c->meta.at_t));
    r->sent = false;
    r->won = true;
    r->code = exec_has(c, 'v') ? RPL_HIT : RPL_DONE;
    if (!exec_has(c, 'u')) {
        store_bump(t);
    }
}

static void
get_locked(struct worker *w, const struct command *c, const struct store_hit *before,
           struct reply *r)
{
    struct store_txn t;
    enum store_found found;
    uint8_t class_id;
    bool created = false;

    store_lock(w->ctx, c->key, c->hash, &t);
    found = t.found;
    exec_saw(w, found, &t.hit);
    if (t.old) {
        get_change(w, c, &t, before, r);
    } else if (!exec_has(c, 'N')) {
        r->code = RPL_MISS;
    } else if (get_vivify(w, c, &t)) {
        created = true;
        get_created(w, c, &t, r);
    } else {
        r->code = RPL_NO_MEMORY_ITEM;
    }
    class_id = t.old ? t.hit.class_id : 0;
    store_unlock(&t);
    if (created) {
        exec_count_gone(w, found);
        found = STORE_HIT;
    }
    if (found == STORE_HIT && exec_has(c, 'T')) {
        exec_count_touch(w, found, class_id);
    } else {
        exec_count_get(w, found, class_id);
    }
}

void
exec_meta_get(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_hit h;
    int options = (exec_has(c, 'v') ? 0 : STORE_NO_VALUE) | (exec_has(c, 'u') ? STORE_PEEK : 0);
    enum store_found found;

    (void)item; /* it brings no value */
    r->key_binary = c->key_binary;
    if (exec_has(c, 'T')) {
        get_locked(w, c, NULL, r);
        return;
    }
    /* Most readers change nothing but the access time: no lock for them. */
    found = store_get(w->ctx, c->key, c->hash, options, &h);
    exec_saw(w, found, &h);
    if (found != STORE_HIT && exec_has(c, 'N')) {
        exec_count_gone(w, found); /* and is gone: nobody will meet it again */
        get_locked(w, c, NULL, r);
    } else if (found == STORE_HIT && get_wins(w, c, &h)) {
        if (h.pinned) {
            store_unpin(w->ctx, h.pinned);
        }
        get_locked(w, c, &h, r);
    } else if (found == STORE_HIT) {
        get_describe(w, &h, r);
        get_value(w, c, &h, r);
        exec_count_get(w, found, h.class_id);
    } else {
        r->code = RPL_MISS;
        exec_count_get(w, found, 0);
    }
}

/* -- md ---------------------------------------------------------------------------------------- */

/* Takes value and client flags away, but keeps the key.  False: no memory. */
static bool
delete_empty(struct worker *w, const struct command *c, struct store_txn *t)
{
    struct store_spec spec = {
        .key = c->key,
        .expires = exec_has(c, 'T') ? exec_expiry(w, c->meta.ttl) : 0,
        .cas = exec_has(c, 'E') ? c->meta.new_cas : exec_has(c, 'I') ? 0 : t->hit.cas,
        .key_binary = t->hit.key_binary,
    };
    struct item *item = store_alloc(w->ctx, &spec);

    if (!item || store_publish(t, &item) == 0) {
        return false;
    }
    if (exec_has(c, 'I')) {
        store_mark(t, true, false);
    }
    return true;
}

/* Marks the item, whose number changes so that who read it before cannot pass for up to date. */
static bool
delete_mark(struct worker *w, const struct command *c, struct store_txn *t)
{
    if (exec_has(c, 'T') && !store_retime(t, exec_expiry(w, c->meta.ttl))) {
        return false;
    }
    if (!store_restamp(t, exec_has(c, 'E') ? c->meta.new_cas : 0)) {
        return false;
    }
    store_mark(t, true, false);
    return true;
}

static enum reply_code
delete_run(struct worker *w, const struct command *c, struct store_txn *t, struct reply *r)
{
    bool done;

    if (!t->old) {
        exec_count_delete(w, t->found, 0);
        return RPL_NOT_FOUND;
    }
    if (exec_has(c, 'C') && (c->cas == 0 || c->cas != t->hit.cas)) {
        exec_count_delete(w, STORE_MISS, 0);
        return RPL_EXISTS;
    }
    r->has_item = true;
    if (exec_has(c, 'x')) {
        done = delete_empty(w, c, t);
    } else if (exec_has(c, 'I')) {
        done = delete_mark(w, c, t);
    } else {
        exec_count_delete(w, STORE_HIT, t->hit.class_id);
        store_remove(t);
        return RPL_DELETED;
    }
    if (!done) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY;
    }
    if (!exec_has(c, 'I')) {
        exec_count_delete(w, STORE_HIT, t->hit.class_id); /* only a mark counts for nothing */
    }
    r->cas = t->hit.cas;
    return RPL_DONE;
}

void
exec_meta_delete(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_txn t;

    (void)item; /* it brings no value */
    r->key_binary = c->key_binary;
    store_lock(w->ctx, c->key, c->hash, &t);
    exec_saw(w, t.found, &t.hit);
    r->code = delete_run(w, c, &t, r);
    store_unlock(&t);
}

/* -- me ---------------------------------------------------------------------------------------- */

/* Prints a key as a client can send it again. */
static size_t
debug_key(const struct command *c, const struct store_hit *h, char *out, size_t size)
{
    size_t len = 0;

    if (h->key_binary || (c->key_binary && !meta_key_plain(c->key))) {
        return base64_encode(c->key, out, size, &len) ? len : 0;
    }
    memcpy(out, c->key.ptr, c->key.len);
    return c->key.len;
}

void
exec_meta_debug(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    char key[BASE64_TEXT_LEN(KEY_MAX)];
    uint32_t now = store_seconds(w->ctx);
    enum store_found found;
    struct store_hit h;
    size_t len;
    bool ok;

    (void)item; /* it brings no value */
    metric_add(&w->metrics, M_CMD_META, 1);
    r->key_binary = c->key_binary;
    found = store_get(w->ctx, c->key, c->hash, STORE_PEEK | STORE_NO_VALUE, &h);
    if (found != STORE_HIT) {
        exec_count_gone(w, found);
        r->code = RPL_MISS;
        return;
    }
    len = debug_key(c, &h, key, sizeof key);
    w->blob.len = 0;
    ok = buf_add(&w->blob, "ME ", 3) && buf_add(&w->blob, key, len) &&
         buf_printf(&w->blob, " exp=%lld la=%u cas=%llu fetch=%s cls=%u size=%u\r\n",
                    (long long)exec_ttl(w, h.expires), now > h.accessed ? now - h.accessed : 0,
                    (unsigned long long)h.cas, h.fetched ? "yes" : "no", h.class_id, h.size);
    if (!ok) {
        r->code = RPL_NO_MEMORY_STATS;
        return;
    }
    r->code = RPL_BLOB;
    r->value = slice_of(w->blob.ptr, w->blob.len);
}
