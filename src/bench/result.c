#include "bench/result.h"

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

double
result_hit_ratio(const struct load_result *r)
{
    uint64_t gets = r->keys[VERB_GET];

    return gets > 0 ? (double)r->found[VERB_GET] / (double)gets : -1;
}
