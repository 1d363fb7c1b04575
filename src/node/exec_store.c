/*
 * exec_store.c - the commands that bring a value: set and its kin, in all three protocols.
 */
#include "node/exec.h"

#include <assert.h>

/* What a storing command means, whatever it is called. */
struct put {
    enum put_mode { PUT_SET, PUT_ADD, PUT_REPLACE, PUT_APPEND, PUT_PREPEND } mode;
    bool compare;  /* only if the item's cas is c->cas */
    bool stale_ok; /* ... or higher than that: then the new value is born stale (ms I) */
    bool create;   /* append and prepend to what is not there (ms N) */
    bool clears;   /* a refused value takes the old one with it */
};

static bool
put_joins(const struct put *p)
{
    return p->mode >= PUT_APPEND;
}

static void
put_read_classic(const struct command *c, struct put *p)
{
    static const enum put_mode mode[] = {
        [OP_SET - OP_SET] = PUT_SET,         [OP_ADD - OP_SET] = PUT_ADD,
        [OP_REPLACE - OP_SET] = PUT_REPLACE, [OP_APPEND - OP_SET] = PUT_APPEND,
        [OP_PREPEND - OP_SET] = PUT_PREPEND, [OP_CAS - OP_SET] = PUT_SET,
    };

    p->mode = mode[c->op - OP_SET];
    p->clears = c->op == OP_SET;
    p->compare = c->op == OP_CAS || c->cas != 0;
    /* In the binary protocol, add and replace that carry a cas are nothing but cas. */
    if (p->compare && !put_joins(p)) {
        p->mode = PUT_SET;
    }
}

/* False: no such mode. */
static bool
put_read_meta(const struct command *c, struct put *p)
{
    switch (c->meta.mode) {
    case 0:
    case 'S':
        p->mode = PUT_SET;
        break;
    case 'E':
        p->mode = PUT_ADD;
        break;
    case 'R':
        p->mode = PUT_REPLACE;
        break;
    case 'A':
        p->mode = PUT_APPEND;
        break;
    case 'P':
        p->mode = PUT_PREPEND;
        break;
    default:
        return false;
    }
    p->clears = true;
    p->create = put_joins(p) && exec_has(c, 'N');
    p->compare = exec_has(c, 'C') && p->mode != PUT_ADD;
    if (p->compare && !put_joins(p)) {
        p->mode = PUT_SET;
        p->stale_ok = exec_has(c, 'I');
    }
    return true;
}

static bool
put_read(const struct command *c, struct put *p)
{
    *p = (struct put){ .mode = PUT_SET };
    if (c->op == OP_META_SET) {
        return put_read_meta(c, p);
    }
    put_read_classic(c, p);
    return true;
}

static inline uint32_t
put_expiry(const struct worker *w, const struct command *c, const struct put *p)
{
    int64_t exptime = c->exptime;

    if (c->op == OP_META_SET) {
        exptime = p->create ? c->meta.vivify_ttl : exec_has(c, 'T') ? c->meta.ttl : 0;
    }
    return exec_expiry(w, exptime);
}

static inline void
put_spec(const struct worker *w, const struct command *c, const struct put *p,
         struct store_spec *spec)
{
    *spec = (struct store_spec){
        .key = c->key,
        .value_len = c->value_len,
        .client_flags = c->client_flags,
        .expires = put_expiry(w, c, p),
        .cas = c->op == OP_META_SET && exec_has(c, 'E') ? c->meta.new_cas : 0,
        .key_binary = c->op == OP_META_SET && c->key_binary,
    };
}

/* Notes for observers what became of the value. */
static __attribute__((cold, noinline)) void
put_saw(struct worker *w, const struct command *c, const struct put *p, const struct reply *r,
        uint8_t class_id)
{
    static const char *const word[] = { "set", "add", "replace", "append", "prepend" };
    uint32_t now = store_seconds(w->ctx), expires = put_expiry(w, c, p);

    w->sight.stored = true;
    w->sight.status = r->code;
    w->sight.command = p->compare && !put_joins(p) ? "cas" : word[p->mode];
    w->sight.new_class = class_id;
    w->sight.new_len = r->value_len;
    w->sight.ttl = expires > now ? expires - now : 0;
}

/* There is no item for the value: the old one goes if it must. */
static void
put_refuse(struct worker *w, const struct command *c, const struct put *p, enum reply_code code,
           struct reply *r)
{
    r->code = code;
    metric_add(&w->metrics, code == RPL_TOO_LARGE ? M_TOO_LARGE : M_NO_MEMORY, 1);
    if (exec_is_observed(w)) {
        r->value_len = c->value_len;
        put_saw(w, c, p, r, 0);
    }
    if (p->clears) {
        exec_forget(w, c);
    }
}

/*
 * A private item for the command's value; NULL: *r says why, and the old value is gone if it
 * must.  streamed: the value comes later.
 */
static struct item *
put_reserve(struct worker *w, const struct command *c, const struct put *p, bool streamed,
            struct reply *r)
{
    struct store_spec spec;
    struct item *item;

    put_spec(w, c, p, &spec);
    if (!store_fits(w->node->store, &spec)) {
        put_refuse(w, c, p, RPL_TOO_LARGE, r);
        return NULL;
    }
    item = streamed ? store_begin(w->ctx, &spec) : store_alloc(w->ctx, &spec);
    if (!item) {
        put_refuse(w, c, p, RPL_NO_MEMORY, r);
    }
    return item;
}

struct item *
exec_store_reserve(struct worker *w, const struct command *c, struct reply *r)
{
    struct put p;

    if (!put_read(c, &p)) {
        r->code = RPL_META_SET_MODE;
        return NULL;
    }
    return put_reserve(w, c, &p, true, r);
}

struct item *
exec_store_hold(struct worker *w, const struct command *c)
{
    struct store_spec spec;
    struct put p;

    if (!put_read(c, &p)) {
        return NULL;
    }
    put_spec(w, c, &p, &spec);
    return store_fits(w->node->store, &spec) ? store_begin(w->ctx, &spec) : NULL;
}

void
exec_store_starved(struct worker *w, const struct command *c, struct reply *r)
{
    struct put p;
    struct store_spec spec;
    bool known = put_read(c, &p);

    assert(known); /* exec_store_reserve() made an item for it */
    put_spec(w, c, &p, &spec);
    /* memcached takes all memory before it reads, if it can be one chunk. */
    put_refuse(w, c, &p,
               store_is_chunked(w->node->store, &spec) ? RPL_NO_MEMORY_READ : RPL_NO_MEMORY, r);
}

/* -- deciding ---------------------------------------------------------------------------------- */

/*
 * Whether the command may store, given what is there: RPL_STORED if so.  *stale: only as a stale
 * value.
 */
static enum reply_code
put_decide(const struct put *p, const struct command *c, const struct store_txn *t, bool *stale)
{
    if (!t->old) {
        if (put_joins(p)) {
            return p->create ? RPL_STORED : RPL_NOT_STORED;
        }
        if (p->compare) {
            return RPL_NOT_FOUND;
        }
        return p->mode == PUT_REPLACE ? RPL_NOT_STORED : RPL_STORED;
    }
    if (p->mode == PUT_ADD) {
        return RPL_NOT_STORED;
    }
    if (p->compare && (c->cas != t->hit.cas || c->cas == 0)) { /* 0 never matches */
        *stale = p->stale_ok && c->cas != 0 && c->cas < t->hit.cas;
        return *stale ? RPL_STORED : RPL_EXISTS;
    }
    return RPL_STORED;
}

/* The binary protocol says why something was not stored. */
static enum reply_code
put_binary_code(const struct put *p, enum reply_code code)
{
    if (code != RPL_NOT_STORED || put_joins(p)) {
        return code;
    }
    return p->mode == PUT_ADD ? RPL_EXISTS : RPL_NOT_FOUND;
}

static void
put_count(struct worker *w, const struct put *p, enum reply_code code, uint8_t class_id)
{
    metric_add(&w->metrics, M_CMD_SET, 1);
    store_count(w->ctx, class_id, SC_CMD_SET);
    if (!p->compare || put_joins(p)) {
        return;
    }
    if (code == RPL_STORED) {
        metric_add(&w->metrics, M_CAS_HITS, 1);
        store_count(w->ctx, class_id, SC_CAS_HITS);
    } else if (code == RPL_EXISTS) {
        metric_add(&w->metrics, M_CAS_BADVAL, 1);
        store_count(w->ctx, class_id, SC_CAS_BADVAL);
    } else if (code == RPL_NOT_FOUND) {
        metric_add(&w->metrics, M_CAS_MISSES, 1);
    }
}

/* -- storing ----------------------------------------------------------------------------------- */

/* Puts the value before or behind the old one. */
static enum reply_code
put_join(struct worker *w, const struct command *c, const struct put *p, struct store_txn *t,
         struct item *item)
{
    uint64_t sum = (uint64_t)t->hit.value_len + c->value_len;
    struct store_spec whole = {
        .key = c->key,
        .value_len = sum > VALUE_MAX ? VALUE_MAX : (uint32_t)sum,
        .client_flags = t->hit.client_flags,
    };

    /* memcached does not tell this from a missing key, and clients know it so. */
    if (!store_fits(w->node->store, &whole)) {
        return RPL_NOT_STORED;
    }
    if (!store_concat(t, p->mode == PUT_PREPEND, c->value, item)) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY;
    }
    if (c->op == OP_META_SET && exec_has(c, 'E') && !store_restamp(t, c->meta.new_cas)) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY;
    }
    return RPL_STORED;
}

/* Puts the item in the old one's place. */
static enum reply_code
put_publish(struct worker *w, struct store_txn *t, struct item **item, bool stale)
{
    uint32_t expires = t->old ? t->hit.expires : 0;
    bool win_sent = t->old && t->hit.win_sent;

    if (store_publish(t, item) == 0) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY;
    }
    if (stale) {
        /* Its writer was late: the time to live and the token are those of the newer value. */
        if (!store_retime(t, expires)) {
            store_remove(t);
            return RPL_NO_MEMORY;
        }
        store_mark(t, true, win_sent);
    }
    return RPL_STORED;
}

/* With the value in *item, or in c->value if the command only joins it to another. */
static void
put_run(struct worker *w, const struct command *c, const struct put *p, struct item **item,
        struct reply *r)
{
    enum reply_code code;
    struct store_txn t;
    bool stale = false;
    uint8_t class_id = *item ? item_class(w->node->store, *item) : 0;

    store_lock(w->ctx, c->key, c->hash, &t);
    exec_saw(w, t.found, &t.hit);
    exec_count_gone(w, t.found);
    code = put_decide(p, c, &t, &stale);
    if (code == RPL_STORED) {
        code = put_joins(p) && t.old ? put_join(w, c, p, &t, *item)
                                     : put_publish(w, &t, item, stale);
    }
    if (code == RPL_STORED) {
        r->has_item = true;
        r->cas = t.hit.cas;
        r->value_len = t.hit.value_len;
        r->client_flags = t.hit.client_flags;
    } else if (code == RPL_NO_MEMORY && p->clears) {
        store_remove(&t);
    }
    class_id = t.old ? t.hit.class_id : class_id;
    store_unlock(&t);
    put_count(w, p, code, class_id);
    r->code = code;
    if (exec_is_observed(w)) {
        put_saw(w, c, p, r, class_id);
    }
}

void
exec_store_run(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct put p;

    if (!put_read(c, &p)) {
        r->code = RPL_META_SET_MODE;
        store_drop(w->ctx, item);
        return;
    }
    if (!item && (!put_joins(&p) || p.create)) {
        item = put_reserve(w, c, &p, false, r);
        if (!item) {
            return;
        }
        item_write(w->ctx, item, 0, c->value.ptr, c->value.len);
    }
    r->value_len = c->value_len;
    r->key_binary = c->op == OP_META_SET && c->key_binary;
    put_run(w, c, &p, &item, r);
    if (c->protocol == PROTO_BINARY) {
        r->code = put_binary_code(&p, r->code);
    }
    store_drop(w->ctx, item);
}
