#include "bench/report.h"
#include <stdio.h>

/* Microseconds. */
static double
percentile(const struct hist *h, double percent)
{
    return (double)hist_percentile(h, percent) / 1e3;
}

struct report_figures
report_figures(const struct load_result *r)
{
    double seconds = r->elapsed > 0 ? (double)r->elapsed / (double)NSEC_PER_SEC : 1e-9;
    double operations = (double)result_operations(r);
    struct hist all = { 0 };

    result_latency(r, &all);
    return (struct report_figures){
        .rate = operations / seconds,
        .server_cost =
            r->server_cpu >= 0 && operations > 0 ? (double)r->server_cpu / operations : -1,
        .client_load = (double)r->client_cpu / (seconds * (double)USEC_PER_SEC),
        .hit_ratio = result_hit_ratio(r),
        .mean = (double)hist_mean(&all) / 1e3,
        .p50 = percentile(&all, 50),
        .p90 = percentile(&all, 90),
        .p99 = percentile(&all, 99),
        .p999 = percentile(&all, 99.9),
        .p9999 = percentile(&all, 99.99),
        .max = (double)hist_max(&all) / 1e3,
    };
}

void
report_print(const struct load_result *r)
{
    struct report_figures f = report_figures(r);
    double seconds = (double)r->elapsed / (double)NSEC_PER_SEC;

    printf("%.0f operations/s: %llu keys fetched, %.2f %% of them hits, and %llu stored in "
           "%.2f s\n",
           f.rate, (unsigned long long)r->keys[VERB_GET], f.hit_ratio < 0 ? 0 : 100 * f.hit_ratio,
           (unsigned long long)r->keys[VERB_SET], seconds);
    printf("latency of a request, us: mean %.1f, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, "
           "p99.99 %.1f, max %.1f\n",
           f.mean, f.p50, f.p90, f.p99, f.p999, f.p9999, f.max);
    if (f.server_cost >= 0) {
        printf("server CPU: %.3f us/operation, %.2f cores busy\n", f.server_cost,
               (double)r->server_cpu / (seconds * (double)USEC_PER_SEC));
    }
    printf("client CPU: %.2f cores busy%s\n", f.client_load,
           f.client_load > 0.9 ? " (the rate is this program's limit, not the server's)" : "");
}

bool
report_print_trouble(const struct load_result *r)
{
    if (r->errors > 0 || r->wrong > 0) {
        printf("TROUBLE: %llu errors, %llu wrong values; the first: %s\n",
               (unsigned long long)r->errors, (unsigned long long)r->wrong, r->complaint);
        return false;
    }
    return true;
}
