#include "bench/figures.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct figures_row figures_rows[FIGURES] = {
    [FIGURE_RATE] = { "operations_per_second", "operations/s", 0 },
    [FIGURE_COST] = { "server_cpu_usec", "server CPU us/operation", 3 },
    [FIGURE_P50] = { "p50_usec", "p50 us", 1 },
    [FIGURE_P99] = { "p99_usec", "p99 us", 1 },
    [FIGURE_P999] = { "p999_usec", "p99.9 us", 1 },
    [FIGURE_HITS] = { "hits_percent", "hits %", 2 },
    [FIGURE_ITEM] = { "resident_bytes_per_item", "resident bytes/item", 1 },
    [FIGURE_RESIDENT] = { "resident_mib", "resident MiB", 1 },
    [FIGURE_CLIENT] = { "client_cores", "cores of the load", 2 },
};

err_t
figures_init(struct figures *f, unsigned servers, unsigned rounds)
{
    size_t count = (size_t)servers * rounds;

    *f = (struct figures){ servers, rounds, malloc(count * sizeof *f->values) };
    if (!f->values) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        for (int what = 0; what < FIGURES; what++) {
            f->values[i][what] = NAN;
        }
    }
    return ERR_OK;
}

void
figures_fini(struct figures *f)
{
    free(f->values);
    f->values = NULL;
}

static int
double_compare(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

struct spread
figures_spread_of(double *values, unsigned count)
{
    unsigned half = count / 2;

    for (unsigned i = 0; i < count; i++) {
        if (isnan(values[i])) { /* it has no place in an order */
            return (struct spread){ NAN, NAN, NAN };
        }
    }
    qsort(values, count, sizeof *values, double_compare);
    return (struct spread){
        .min = values[0],
        .median = count % 2 ? values[half] : (values[half - 1] + values[half]) / 2,
        .max = values[count - 1],
    };
}

/* by == f->servers: by nothing. */
static struct spread
rounds_spread(const struct figures *f, unsigned server, unsigned by, enum figure what)
{
    double *values = malloc(f->rounds * sizeof *values);
    struct spread s = { NAN, NAN, NAN };

    for (unsigned i = 0; values && i < f->rounds; i++) {
        double below = by < f->servers ? figures_of(f, by, i)[what] : 1;

        values[i] = below > 0 ? figures_of(f, server, i)[what] / below : (double)NAN;
    }
    if (values) {
        s = figures_spread_of(values, f->rounds);
    }
    free(values);
    return s;
}

struct spread
figures_spread(const struct figures *f, unsigned server, enum figure what)
{
    return rounds_spread(f, server, f->servers, what);
}

struct spread
figures_ratio(const struct figures *f, unsigned server, unsigned by, enum figure what)
{
    return rounds_spread(f, server, by, what);
}
