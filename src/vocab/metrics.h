/*
 * metrics.h - one row of counters per thread; the reader adds the rows up.
 *
 * Only the owner thread writes its row, so counting needs no lock prefix.  Any
 * thread may read.
 */
#pragma once
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

enum metric {
#define METRIC(id, ...) M_##id,
#include "vocab/metrics.def"
    METRICS
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* One thread's counters; aligned so that rows never share a cache line. */
struct metrics {
    _Alignas(64) _Atomic int64_t value[METRICS];
};

/* A sum of rows, or a baseline: plain numbers of whoever holds it. */
struct metrics_sum {
    int64_t value[METRICS];
};

/* Adds n.  No lock prefix: the calling thread is the only writer of *m. */
static inline void
metric_add(struct metrics *m, enum metric id, int64_t n)
{
    int64_t v = atomic_load_explicit(&m->value[id], memory_order_relaxed);

    atomic_store_explicit(&m->value[id], v + n, memory_order_relaxed);
}

/* The count of one row.  Any thread. */
static inline int64_t
metric_get(const struct metrics *m, enum metric id)
{
    return atomic_load_explicit(&m->value[id], memory_order_relaxed);
}

/* Adds row to sum.  Any thread. */
void metrics_collect(struct metrics_sum *sum, const struct metrics *row);

/*
 * "stats reset" must not make a Prometheus counter jump back, so a reset is a
 * baseline that only the memcached view subtracts: counters only, gauges stay.
 */
int64_t metrics_since(const struct metrics_sum *now, const struct metrics_sum *base,
                      enum metric id);

/* The row's key in "stats", or NULL. */
const char *metric_stat(enum metric id);
enum metric_kind metric_kind(enum metric id);
const char *metric_prom(enum metric id);
const char *metric_labels(enum metric id);
const char *metric_help(enum metric id);
