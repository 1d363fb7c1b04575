/*
 * exec.h - what the files that execute commands share.
 *
 * Private to execute.c, observe.c and the exec_ files.  All calls: the worker's thread.
 */
#pragma once
#include "node/execute.h"
#include "node/watch.h"
#include <stdbool.h>

/*
 * One command: fills *r.  item is the value of a storing command that was streamed (taken), else
 * NULL.
 */
typedef void exec_fn(struct worker *w, const struct command *c, struct item *item, struct reply *r);

/* exec_store.c */
exec_fn exec_store_run; /* set, add, replace, append, prepend, cas, ms */
struct item *exec_store_reserve(struct worker *w, const struct command *c, struct reply *r);
struct item *exec_store_hold(struct worker *w, const struct command *c);
void exec_store_starved(struct worker *w, const struct command *c, struct reply *r);

/* exec_arith.c */
exec_fn exec_arith_run; /* incr, decr, ma */

/* exec_meta.c */
exec_fn exec_meta_get, exec_meta_delete, exec_meta_debug;

/* exec_admin.c */
exec_fn exec_error, exec_meta_noop, exec_noop, exec_flush, exec_version, exec_verbosity, exec_quit,
    exec_stats, exec_shutdown, exec_cache_memlimit, exec_sasl, exec_refresh_certs, exec_debugtime;

/* exec_cluster.c */
#define EXEC_CLUSTER_KEY "AmazonElastiCache:cluster" /* what auto discovery asks for, where nobody \
                                                        stored anything under it */
exec_fn exec_config;
/* The value of that key: r becomes a hit, a miss if it is longer than PEER_INLINE_MAX, or says that
 * there is no memory.  There is a view. */
void exec_cluster_value(struct worker *w, struct reply *r);

/* exec_tune.c */
exec_fn exec_slabs, exec_lru, exec_lru_crawler, exec_watch;

/* observe.c: what "stats detail" and watchers are to know of a command that was executed. */
void observe_command(struct worker *w, const struct command *c, const struct reply *r);
/* The store's own doings, as far as they are watched. */
void observe_store(struct worker *w);

/* True if somebody observes, detail (WORKER_DETAIL) or a watcher's streams. */
static inline bool
exec_is_observed(const struct worker *w)
{
    return __builtin_expect(w->observed != 0, 0);
}

/* Notes what a command found under its key, before it changes it. */
static inline void
exec_saw(struct worker *w, enum store_found found, const struct store_hit *h)
{
    if (exec_is_observed(w)) {
        bool hit = found == STORE_HIT;

        w->sight.looked = true;
        w->sight.found = found;
        w->sight.class_id = hit ? h->class_id : 0;
        w->sight.value_len = hit ? h->value_len : 0;
    }
}

/*
 * Store seconds at which an item with this exptime ends.  Items that come without one get the
 * node's default.
 */
static inline uint32_t
exec_expiry(const struct worker *w, int64_t exptime)
{
    if (__builtin_expect(exptime == 0, 1)) {
        usec_t ttl = SETTINGS_LIVE(w->node->settings->store.default_ttl);

        return ttl == 0 ? 0 : store_seconds(w->ctx) + (uint32_t)(ttl / USEC_PER_SEC);
    }
    return store_expiry(w->ctx, exptime);
}

static inline bool
exec_has(const struct command *c, char letter)
{
    return (c->meta.has & META_BIT(letter)) != 0;
}

/* An item was there, but its time was over. */
static inline void
exec_count_gone(struct worker *w, enum store_found found)
{
    if (found == STORE_EXPIRED) {
        metric_add(&w->metrics, M_GET_EXPIRED, 1);
    } else if (found == STORE_FLUSHED) {
        metric_add(&w->metrics, M_GET_FLUSHED, 1);
    }
}

/* A retrieval without touch. */
static inline void
exec_count_get(struct worker *w, enum store_found found, uint8_t class_id)
{
    metric_add(&w->metrics, M_CMD_GET, 1);
    if (found == STORE_HIT) {
        metric_add(&w->metrics, M_GET_HITS, 1);
        store_count(w->ctx, class_id, SC_GET_HITS);
        return;
    }
    metric_add(&w->metrics, M_GET_MISSES, 1);
    exec_count_gone(w, found);
}

/* A touch, with or without retrieval. */
static inline void
exec_count_touch(struct worker *w, enum store_found found, uint8_t class_id)
{
    metric_add(&w->metrics, M_CMD_TOUCH, 1);
    if (found == STORE_HIT) {
        metric_add(&w->metrics, M_TOUCH_HITS, 1);
        store_count(w->ctx, class_id, SC_TOUCH_HITS);
        return;
    }
    metric_add(&w->metrics, M_TOUCH_MISSES, 1);
    exec_count_gone(w, found);
}

static inline void
exec_count_delete(struct worker *w, enum store_found found, uint8_t class_id)
{
    if (found == STORE_HIT) {
        metric_add(&w->metrics, M_DELETE_HITS, 1);
        store_count(w->ctx, class_id, SC_DELETE_HITS);
        return;
    }
    metric_add(&w->metrics, M_DELETE_MISSES, 1);
    exec_count_gone(w, found);
}

/* Seconds an item has left: -1 for ever. */
static inline int64_t
exec_ttl(const struct worker *w, uint32_t expires)
{
    uint32_t now = store_seconds(w->ctx);

    if (expires == 0) {
        return -1;
    }
    return expires > now ? (int64_t)(expires - now) : 0;
}

/*
 * Store seconds at which an item ends that a meta command makes because N is there: flags take
 * effect in their order, so it is what T and N have done to it before the flag of this place.
 */
static inline uint32_t
exec_new_expiry(const struct worker *w, const struct command *c, uint8_t before)
{
    const struct meta_args *m = &c->meta;
    bool by_T = m->at_T != 0 && m->at_T < before, by_N = m->at_N != 0 && m->at_N < before;

    if (by_T && by_N) {
        by_N = m->at_N > m->at_T;
    }
    return by_N ? exec_expiry(w, m->vivify_ttl) : by_T ? exec_expiry(w, m->ttl) : 0;
}

/* Removes a key whose new value cannot be stored: better no value than an old one. */
static inline void
exec_forget(struct worker *w, const struct command *c)
{
    struct store_txn t;

    store_lock(w->ctx, c->key, c->hash, &t);
    exec_count_gone(w, t.found);
    store_remove(&t);
    store_unlock(&t);
}
