#include "config.h"

#include "node/execute.h"
#include "node/exec.h"
#include "node/prefixes.h"
#include "node/stats.h"

#include <assert.h>

#ifdef MAGPIE_DEBUG
#include "base/num.h"
#endif

#define VERBOSITY_MAX   2    /* what clients may ask for */
#define MEMLIMIT_MB_MIN 8    /* as memcached */
#define MEMLIMIT_MB_MAX 1000000000

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
    if (__builtin_expect(found == STORE_HIT, 1)) {
        hit_reply(&h, r);
        exec_count_get(w, STORE_HIT, h.class_id);
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

/* -- administration ---------------------------------------------------------------------------- */

static void
exec_error(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)item;
    r->code = c->error;
}

static void
exec_meta_noop(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_META_NOOP;
}

static void
exec_noop(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_OK;
}

static void
exec_flush(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
    metric_add(&w->metrics, M_CMD_FLUSH, 1);
    if (!w->node->settings->admin.flush_enabled) {
        r->code = RPL_FLUSH_REFUSED;
        return;
    }
    /* No time, or one that is over, means now. */
    store_flush(w->ctx, c->has_exptime && c->exptime > 0 ? store_expiry(w->ctx, c->exptime) : 0);
    r->code = RPL_OK;
}

static void
exec_version(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_VERSION;
    r->value = SLICE(MEMCACHED_VERSION);
}

static void
exec_verbosity(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    int64_t level = c->delta < VERBOSITY_MAX ? (int64_t)c->delta : VERBOSITY_MAX;

    (void)item;
    __atomic_store_n(&w->node->settings->admin.verbosity, level, __ATOMIC_RELAXED);
    r->code = RPL_OK;
}

static void
exec_quit(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)item;
    /* The binary protocol says goodbye. */
    r->code = c->protocol == PROTO_BINARY && c->close_after ? RPL_OK : RPL_CLOSE;
}

static void
exec_stats(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
    stats_run(w, c, r);
}

/* The line behind a word, without the blanks around it. */
static struct slice
args_trim(struct slice args)
{
    while (args.len > 0 && args.ptr[0] == ' ') {
        args = slice_from(args, 1);
    }
    while (args.len > 0 && args.ptr[args.len - 1] == ' ') {
        args.len--;
    }
    return args;
}

static void
exec_shutdown(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct slice mode = args_trim(c->args);
    int request = NODE_REQUEST_STOP;

    (void)item;
    if (!w->node->settings->admin.shutdown_command) {
        r->code = RPL_SHUTDOWN_REFUSED;
        return;
    }
    if (slice_is(mode, "graceful")) {
        request = NODE_REQUEST_STOP_GRACEFUL;
    } else if (mode.len > 0) {
        r->code = RPL_SHUTDOWN_MODE;
        return;
    }
    atomic_store_explicit(&w->node->request, request, memory_order_relaxed);
    r->code = RPL_CLOSE;
}

static void
exec_cache_memlimit(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct settings_store *s = &w->node->settings->store;
    size_t bytes;

    (void)item;
    if (c->delta < MEMLIMIT_MB_MIN) {
        r->code = RPL_MEMLIMIT_SMALL;
        return;
    }
    if (c->delta > MEMLIMIT_MB_MAX) {
        r->code = RPL_MEMLIMIT_MEGABYTES;
        return;
    }
    bytes = (size_t)c->delta << 20;
    if (!store_set_limit(w->node->store, bytes)) {
        r->code = RPL_MEMLIMIT_BOUNDS;
        return;
    }
    __atomic_store_n(&s->memory_limit, bytes, __ATOMIC_RELAXED);
    r->code = RPL_OK;
}

/* A node that may not be used without a password and cannot check one lets nobody in. */
static void
exec_sasl(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
    if (!w->node->settings->auth.sasl) {
        r->code = RPL_BIN_UNKNOWN;
        return;
    }
    if (c->op == OP_SASL_LIST) {
        r->code = RPL_OK;
        return;
    }
    metric_add(&w->metrics, M_AUTH_CMDS, 1);
    metric_add(&w->metrics, M_AUTH_ERRORS, 1);
    r->code = RPL_BIN_AUTH;
}

/*
 * For tests of a debug build: "debugtime N" puts the clock N seconds forward, "debugtime p" stops
 * it and "debugtime r" lets it go on.  A clock that was stopped jumps to where it would have been.
 */
static void
exec_debugtime(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
#ifdef MAGPIE_DEBUG
    struct slice what = args_trim(c->args);
    struct node *n = w->node;
    int32_t seconds;

    r->code = RPL_OK;
    if (slice_is(what, "p")) {
        atomic_store_explicit(&n->clock_held, w->now, memory_order_relaxed);
    } else if (slice_is(what, "r")) {
        atomic_store_explicit(&n->clock_held, 0, memory_order_relaxed);
    } else if (num_parse_i32(what, &seconds)) {
        atomic_fetch_add_explicit(&n->clock_shift, seconds * USEC_PER_SEC, memory_order_relaxed);
        if (atomic_load_explicit(&n->clock_held, memory_order_relaxed) != 0) {
            atomic_fetch_add_explicit(&n->clock_held, seconds * USEC_PER_SEC,
                                      memory_order_relaxed);
        }
    } else {
        r->code = RPL_ERROR;
    }
#else
    (void)w;
    (void)c;
    r->code = RPL_ERROR;
#endif
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
    [OP_SASL_LIST] = exec_sasl,
    [OP_SASL_AUTH] = exec_sasl,
    [OP_SASL_STEP] = exec_sasl,
    [OP_DEBUGTIME] = exec_debugtime,
};

/* Counts a command for "stats detail". */
static void
detail_count(const struct worker *w, const struct command *c, const struct reply *r)
{
    char delimiter = w->node->settings->admin.detail_prefix[0];
    bool hit = r->code == RPL_HIT || r->code == RPL_DONE;

    if ((c->op >= OP_GET && c->op <= OP_GATS) || c->op == OP_META_GET) {
        prefixes_count(w->node->prefixes, c->key, delimiter, hit ? PREFIXES_HIT : PREFIXES_GET);
    } else if ((c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET) {
        prefixes_count(w->node->prefixes, c->key, delimiter, PREFIXES_SET);
    } else if (c->op == OP_DELETE || c->op == OP_META_DELETE) {
        prefixes_count(w->node->prefixes, c->key, delimiter, PREFIXES_DELETE);
    }
}

void
execute(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    assert((unsigned)c->op < OPS);
    exec_table[c->op](w, c, item, r);
    if (__builtin_expect(__atomic_load_n(&w->detail, __ATOMIC_RELAXED), 0)) {
        detail_count(w, c, r);
    }
}

struct item *
execute_reserve(struct worker *w, const struct command *c, struct reply *r)
{
    assert((c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET);
    return exec_store_reserve(w, c, r);
}

void
execute_bad_chunk(struct worker *w, const struct command *c, struct reply *r)
{
    (void)c;
    metric_add(&w->metrics, M_CMD_SET, 1);
    r->code = RPL_BAD_CHUNK;
}
