#include "node/execute.h"
#include "node/exec.h"

#include <assert.h>

/* -- retrieval --------------------------------------------------------------------------------- */

static inline void
hit_reply(const struct store_hit *h, struct reply *r)
{
    r->code = RPL_HIT;
    r->has_item = true;
    r->client_flags = h->client_flags;
    r->value_len = h->value_len;
    r->cas = h->cas;
    r->value = h->value;
    r->pinned = h->pinned;
}

static void
exec_get(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_hit h;
    enum store_found found = store_get(w->ctx, c->key, c->hash, 0, &h);

    (void)item;
    exec_saw(w, found, &h);
    if (__builtin_expect(found == STORE_HIT, 1)) {
        hit_reply(&h, r);
        exec_count_get(w, STORE_HIT, h.class_id);
        return;
    }
    if (w->view && slice_is(c->key, EXEC_CLUSTER_KEY)) {
        exec_cluster_value(w, r);
        return;
    }
    r->code = RPL_MISS;
    exec_count_get(w, found, 0);
}

/* gat, gats and touch: they differ in what they answer. */
static void
exec_touch(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_txn t;
    uint8_t class_id = 0;

    (void)item;
    store_lock(w->ctx, c->key, c->hash, &t);
    exec_saw(w, t.found, &t.hit);
    if (t.old) {
        class_id = t.hit.class_id;
        if (!store_retime(&t, exec_expiry(w, c->exptime))) {
            r->code = RPL_NO_MEMORY;
        } else {
            if (c->op != OP_TOUCH) {
                store_fetch(&t);
            }
            hit_reply(&t.hit, r);
        }
        store_bump(&t);
    } else {
        r->code = RPL_MISS;
    }
    store_unlock(&t);
    exec_count_touch(w, t.found, class_id);
    if (c->op == OP_TOUCH) {
        r->code = r->code == RPL_HIT ? RPL_TOUCHED : r->code == RPL_MISS ? RPL_NOT_FOUND : r->code;
    }
}

static void
exec_delete(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_txn t;

    (void)item;
    store_lock(w->ctx, c->key, c->hash, &t);
    exec_saw(w, t.found, &t.hit);
    if (!t.old) {
        exec_count_delete(w, t.found, 0);
        r->code = RPL_NOT_FOUND;
    } else if (c->cas != 0 && c->cas != t.hit.cas) {
        r->code = RPL_EXISTS;
    } else {
        exec_count_delete(w, STORE_HIT, t.hit.class_id);
        store_remove(&t);
        r->code = RPL_DELETED;
    }
    store_unlock(&t);
}

/* -- the way in -------------------------------------------------------------------------------- */

static exec_fn *const exec_table[OPS] = {
    [OP_ERROR] = exec_error,
    [OP_GET] = exec_get,
    [OP_GETS] = exec_get,
    [OP_GAT] = exec_touch,
    [OP_GATS] = exec_touch,
    [OP_SET] = exec_store_run,
    [OP_ADD] = exec_store_run,
    [OP_REPLACE] = exec_store_run,
    [OP_APPEND] = exec_store_run,
    [OP_PREPEND] = exec_store_run,
    [OP_CAS] = exec_store_run,
    [OP_DELETE] = exec_delete,
    [OP_INCR] = exec_arith_run,
    [OP_DECR] = exec_arith_run,
    [OP_TOUCH] = exec_touch,
    [OP_META_GET] = exec_meta_get,
    [OP_META_SET] = exec_store_run,
    [OP_META_DELETE] = exec_meta_delete,
    [OP_META_ARITH] = exec_arith_run,
    [OP_META_DEBUG] = exec_meta_debug,
    [OP_META_NOOP] = exec_meta_noop,
    [OP_NOOP] = exec_noop,
    [OP_FLUSH_ALL] = exec_flush,
    [OP_VERSION] = exec_version,
    [OP_VERBOSITY] = exec_verbosity,
    [OP_QUIT] = exec_quit,
    [OP_STATS] = exec_stats,
    [OP_SHUTDOWN] = exec_shutdown,
    [OP_CACHE_MEMLIMIT] = exec_cache_memlimit,
    [OP_SLABS] = exec_slabs,
    [OP_LRU] = exec_lru,
    [OP_LRU_CRAWLER] = exec_lru_crawler,
    [OP_WATCH] = exec_watch,
    [OP_REFRESH_CERTS] = exec_refresh_certs,
    [OP_CONFIG] = exec_config,
    [OP_SASL_LIST] = exec_sasl,
    [OP_SASL_AUTH] = exec_sasl,
    [OP_SASL_STEP] = exec_sasl,
    [OP_DEBUGTIME] = exec_debugtime,
};

void
execute(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    assert((unsigned)c->op < OPS);
    if (!exec_is_observed(w)) {
        exec_table[c->op](w, c, item, r);
        return;
    }
    w->sight = (struct worker_sight){ .looked = false };
    exec_table[c->op](w, c, item, r);
    observe_command(w, c, r);
}

struct item *
execute_reserve(struct worker *w, const struct command *c, struct reply *r)
{
    struct item *item;

    assert((c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET);
    w->sight = (struct worker_sight){ .looked = false };
    item = exec_store_reserve(w, c, r);
    if (!item && exec_is_observed(w)) {
        observe_command(w, c, r);
    }
    return item;
}

struct item *
execute_hold(struct worker *w, const struct command *c)
{
    return exec_store_hold(w, c);
}

void
execute_starved(struct worker *w, const struct command *c, struct reply *r)
{
    w->sight = (struct worker_sight){ .looked = false };
    exec_store_starved(w, c, r);
    if (exec_is_observed(w)) {
        observe_command(w, c, r);
    }
}

void
execute_bad_chunk(struct worker *w, const struct command *c, struct reply *r)
{
    (void)c;
    metric_add(&w->metrics, M_CMD_SET, 1);
    r->code = RPL_BAD_CHUNK;
}
