#include "vocab/metrics.h"

#include <assert.h>
#include <stddef.h>

static const struct {
    const char      *stat;
    const char      *prom;
    const char      *labels;
    const char      *help;
    enum metric_kind kind;
} metrics_rows[] = {
#define METRIC(id, kind_, stat_, prom_, labels_, help_) \
    [M_##id] = { .stat = (stat_), .prom = (prom_), .labels = (labels_), .help = (help_), \
                 .kind = METRIC_##kind_ },
#include "vocab/metrics.def"
};

void
metrics_collect(struct metrics_sum *sum, const struct metrics *row)
{
    for (size_t i = 0; i < METRICS; i++) {
        sum->value[i] += atomic_load_explicit(&row->value[i], memory_order_relaxed);
    }
}

int64_t
metrics_since(const struct metrics_sum *now, const struct metrics_sum *base, enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].kind == METRIC_GAUGE ? now->value[id]
                                                 : now->value[id] - base->value[id];
}

const char *
metric_stat(enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].stat;
}

enum metric_kind
metric_kind(enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].kind;
}

const char *
metric_prom(enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].prom;
}

const char *
metric_labels(enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].labels;
}

const char *
metric_help(enum metric id)
{
    assert((unsigned)id < METRICS);
    return metrics_rows[id].help;
}
