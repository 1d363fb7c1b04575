/*
 * engine.h - a store and one thread's handle on a clock that the test turns.
 *
 * For tests of store/; everything in one struct, so that a test may have several.
 */
#pragma once
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENGINE_START (INT64_C(1750000000) * USEC_PER_SEC) /* some day in 2025 */

struct engine {
    struct store *store;
    struct store_ctx *ctx;
    struct metrics *row;
    usec_t now;
};

static inline struct store_config
engine_config(size_t limit)
{
    return (struct store_config){
        .memory_limit = limit,
        .item_size_max = 1 << 20,
        .evict = true,
        .tuning = { .moves = true, .crawler = true },
        .start = ENGINE_START,
    };
}

static inline void
engine_init(struct engine *e, const struct store_config *config)
{
    struct err_detail d = { "" };

    e->row = aligned_alloc(64, sizeof *e->row);
    memset(e->row, 0, sizeof *e->row);
    e->now = config->start;
    e->store = store_new(config, &d);
    cr_assert_not_null(e->store, "%s", d.text);
    e->ctx = store_ctx_new(e->store, e->row);
    cr_assert_not_null(e->ctx);
    store_turn(e->ctx, e->now);
}

static inline void
engine_fini(struct engine *e)
{
    store_ctx_free(e->ctx);
    store_free(e->store);
    free(e->row);
}

static inline void
engine_pass(struct engine *e, double seconds)
{
    e->now += (usec_t)(seconds * 1e6);
    store_turn(e->ctx, e->now);
}

static inline struct slice
engine_text(const char *s)
{
    return slice_of(s, strlen(s));
}

/* Stores; returns the version, 0 if there was no memory. */
static inline uint64_t
engine_put(struct engine *e, const char *key, struct slice value, int64_t exptime, uint32_t flags)
{
    struct store_spec spec = { .key = engine_text(key),
                               .value_len = (uint32_t)value.len,
                               .client_flags = flags,
                               .expires = store_expiry(e->ctx, exptime) };
    struct item *it = store_alloc(e->ctx, &spec);
    struct store_txn t;

    if (it == NULL) {
        return 0;
    }
    item_write(e->ctx, it, 0, value.ptr, value.len);
    store_lock(e->ctx, spec.key, store_hash(spec.key), &t);
    uint64_t v = store_publish(&t, &it);
    store_unlock(&t);
    return v;
}

static inline uint64_t
engine_set(struct engine *e, const char *key, const char *value)
{
    return engine_put(e, key, engine_text(value), 0, 0);
}

static inline enum store_found
engine_look(struct engine *e, const char *key, struct store_hit *hit)
{
    return store_get(e->ctx, engine_text(key), store_hash(engine_text(key)), 0, hit);
}

/* True if the key holds exactly this text. */
static inline bool
engine_holds(struct engine *e, const char *key, const char *value)
{
    struct store_hit hit;

    return engine_look(e, key, &hit) == STORE_HIT && hit.pinned == NULL &&
           slice_is(hit.value, value);
}

static inline void
engine_begin(struct engine *e, const char *key, struct store_txn *t)
{
    store_lock(e->ctx, engine_text(key), store_hash(engine_text(key)), t);
}

static inline int64_t
engine_metric(struct engine *e, enum metric m)
{
    return atomic_load(&e->row->value[m]);
}

static inline size_t
engine_used(struct engine *e)
{
    struct store_stats s;

    store_get_stats(e->store, &s);
    return s.pages_bytes + s.table_bytes;
}

/* Runs the background work until it has nothing more to do soon. */
static inline void
engine_settle(struct engine *e)
{
    for (int i = 0; i < 100000 && store_tick(e->ctx, 10000) < USEC_PER_SEC; i++) {
    }
}
