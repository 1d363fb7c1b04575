#include "bench/report.h"
#include <stdio.h>

struct report_figures
report_figures(const struct load_result *r)
{
    double elapsed = r->elapsed > 0 ? (double)r->elapsed : 1;
    double operations = (double)load_operations(r);

    return (struct report_figures){
        .rate = operations * (double)USEC_PER_SEC / elapsed,
        .server_cost =
            r->server_cpu >= 0 && operations > 0 ? (double)r->server_cpu / operations : -1,
        .client_load = (double)r->client_cpu / elapsed,
        .p50 = (double)hist_percentile(&r->latency, 50),
        .p99 = (double)hist_percentile(&r->latency, 99),
    };
}

static void
latency_print(const struct hist *h)
{
    printf("latency of a request, us: mean %llu, p50 %llu, p90 %llu, p99 %llu, p99.9 %llu, "
           "max %llu\n",
           (unsigned long long)hist_mean(h), (unsigned long long)hist_percentile(h, 50),
           (unsigned long long)hist_percentile(h, 90), (unsigned long long)hist_percentile(h, 99),
           (unsigned long long)hist_percentile(h, 99.9), (unsigned long long)hist_max(h));
}

void
report_print(const struct load_result *r)
{
    struct report_figures f = report_figures(r);
    double hits = r->gets > 0 ? 100 * (double)r->hits / (double)r->gets : 0;

    printf("%.0f operations/s: %llu keys fetched, %.2f %% of them hits, and %llu stored in "
           "%.2f s\n",
           f.rate, (unsigned long long)r->gets, hits, (unsigned long long)r->sets,
           (double)r->elapsed / (double)USEC_PER_SEC);
    latency_print(&r->latency);
    if (f.server_cost >= 0) {
        printf("server CPU: %.3f us/operation, %.2f cores busy\n", f.server_cost,
               (double)r->server_cpu / (double)r->elapsed);
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
