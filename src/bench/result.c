#include "bench/result.h"
#include <string.h>

void
result_clear(struct load_result *r)
{
    r->requests = r->filled = r->late_gets = r->late_hits = 0;
    for (int v = 0; v < VERBS; v++) {
        r->keys[v] = r->found[v] = 0;
        hist_clear(&r->latency[v]);
    }
}

void
result_merge(struct load_result *r, const struct load_result *from)
{
    r->requests += from->requests;
    r->filled += from->filled;
    r->late_gets += from->late_gets;
    r->late_hits += from->late_hits;
    r->errors += from->errors;
    r->wrong += from->wrong;
    for (int v = 0; v < VERBS; v++) {
        r->keys[v] += from->keys[v];
        r->found[v] += from->found[v];
        hist_merge(&r->latency[v], &from->latency[v]);
    }
}

uint64_t
result_operations(const struct load_result *r)
{
    uint64_t sum = 0;

    for (int v = 0; v < VERBS; v++) {
        sum += r->keys[v];
    }
    return sum;
}

void
result_latency(const struct load_result *r, struct hist *ret)
{
    for (int v = 0; v < VERBS; v++) {
        hist_merge(ret, &r->latency[v]);
    }
}

static double
ratio(uint64_t hits, uint64_t gets)
{
    return gets > 0 ? (double)hits / (double)gets : -1;
}

double
result_hit_ratio(const struct load_result *r)
{
    return ratio(r->found[VERB_GET], r->keys[VERB_GET]);
}

double
result_late_hit_ratio(const struct load_result *r)
{
    return ratio(r->late_hits, r->late_gets);
}
