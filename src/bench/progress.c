#include "bench/progress.h"
#include <stdio.h>

/* The threads may have begun to count anew: then all is new. */
static uint64_t
since(uint64_t *last, uint64_t now)
{
    uint64_t n = now >= *last ? now - *last : now;

    *last = now;
    return n;
}

void
progress_print(struct progress *p, const char *phase, nsec_t now, const struct load_result *r)
{
    double seconds = (double)(now > p->at ? now - p->at : 1) / (double)NSEC_PER_SEC;
    struct hist all = { 0 }, recent;
    uint64_t operations = since(&p->operations, result_operations(r));
    uint64_t gets = since(&p->gets, r->keys[VERB_GET]);
    uint64_t hits = since(&p->hits, r->found[VERB_GET]);

    result_latency(r, &all);
    recent = all;
    hist_subtract(&recent, &p->latency);
    fprintf(stderr, "%-8s %4.0f s  %9.0f operations/s", phase, (double)now / (double)NSEC_PER_SEC,
            (double)operations / seconds);
    if (gets > 0) {
        fprintf(stderr, "  %6.2f %% hits", 100 * (double)hits / (double)gets);
    }
    fprintf(stderr, "  p99 %.0f us", (double)hist_percentile(&recent, 99) / 1e3);
    if (r->errors + r->wrong > 0) {
        fprintf(stderr, "  %llu errors, %llu wrong", (unsigned long long)r->errors,
                (unsigned long long)r->wrong);
    }
    fputs("\n", stderr);
    p->at = now;
    p->latency = all;
}
