/*
 * exec_admin.c - commands about the server itself.
 */
#include "config.h"

#include "node/exec.h"
#include "node/stats.h"
#include "node/words.h"

#include <assert.h>

#ifdef MAGPIE_DEBUG
#include "base/num.h"
#endif

#define VERBOSITY_MAX   2    /* what clients may ask for */
#define MEMLIMIT_MB_MIN 8    /* as memcached */
#define MEMLIMIT_MB_MAX 1000000000

void
exec_error(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)item;
    r->code = c->error;
}

void
exec_meta_noop(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_META_NOOP;
}

void
exec_noop(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_OK;
}

void
exec_flush(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    bool refused = !w->node->settings->admin.flush_enabled;

    (void)item;
    if (!refused || c->protocol != PROTO_BINARY) { /* as memcached counts */
        metric_add(&w->metrics, M_CMD_FLUSH, 1);
    }
    if (refused) {
        r->code = RPL_FLUSH_REFUSED;
        return;
    }
    if (c->error == RPL_BAD_EXPTIME) {
        r->code = c->error;
        return;
    }
    /* No time, or one that is over, means now. */
    store_flush(w->ctx, c->has_exptime && c->exptime > 0 ? store_expiry(w->ctx, c->exptime) : 0);
    r->code = RPL_OK;
}

void
exec_version(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_VERSION;
    r->value = SLICE(MEMCACHED_VERSION);
}

void
exec_verbosity(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    int64_t level = c->delta < VERBOSITY_MAX ? (int64_t)c->delta : VERBOSITY_MAX;

    (void)item;
    __atomic_store_n(&w->node->settings->admin.verbosity, level, __ATOMIC_RELAXED);
    r->code = RPL_OK;
}

void
exec_quit(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)item;
    /* The binary protocol says goodbye. */
    r->code = c->protocol == PROTO_BINARY && c->close_after ? RPL_OK : RPL_CLOSE;
}

void
exec_stats(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
    stats_run(w, c, r);
}

void
exec_shutdown(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct words words;
    struct slice mode;
    int request = NODE_REQUEST_STOP;

    (void)item;
    if (!w->node->settings->admin.shutdown_command) {
        r->code = RPL_SHUTDOWN_REFUSED;
        return;
    }
    words_split(c->args, &words);
    mode = words.word[0];
    if (slice_is(mode, "graceful")) {
        request = NODE_REQUEST_STOP_GRACEFUL;
    } else if (mode.len > 0) {
        r->code = RPL_SHUTDOWN_MODE;
        return;
    }
    atomic_store_explicit(&w->node->request, request, memory_order_relaxed);
    r->code = RPL_CLOSE;
}

void
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
void
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

void
exec_refresh_certs(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)w;
    (void)c;
    (void)item;
    r->code = RPL_TLS_OFF;
}

/*
 * For tests of a debug build: "debugtime N" puts the clock N seconds forward, "debugtime p" stops
 * it and "debugtime r" lets it go on.  A clock that was stopped jumps to where it would have been.
 */
void
exec_debugtime(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    (void)item;
#ifdef MAGPIE_DEBUG
    struct node *n = w->node;
    struct words words;
    struct slice what;
    int32_t seconds;

    words_split(c->args, &words);
    what = words.word[0];
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
