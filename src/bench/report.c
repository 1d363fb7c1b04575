#include "bench/report.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>

#define FIELDS_MAX 128
#define NAME_MAX_LEN 40

/* -- figures ----------------------------------------------------------------------------------- */

static double
seconds_of(const struct load_result *r)
{
    return r->elapsed > 0 ? (double)r->elapsed / (double)NSEC_PER_SEC : 1e-9;
}

/* Microseconds. */
static double
percentile(const struct hist *h, double percent)
{
    return (double)hist_percentile(h, percent) / 1e3;
}

struct report_figures
report_figures(const struct load_result *r)
{
    double seconds = seconds_of(r), late = result_late_hit_ratio(r);
    double operations = (double)result_operations(r);
    struct hist all = { 0 };

    result_latency(r, &all);
    return (struct report_figures){
        .rate = operations / seconds,
        .server_cost =
            r->server_cpu >= 0 && operations > 0 ? (double)r->server_cpu / operations : -1,
        .client_load = (double)r->client_cpu / (seconds * (double)USEC_PER_SEC),
        .client_busiest = r->client_busiest,
        .hit_ratio = late >= 0 ? late : result_hit_ratio(r),
        .mean = (double)hist_mean(&all) / 1e3,
        .p50 = percentile(&all, 50),
        .p90 = percentile(&all, 90),
        .p99 = percentile(&all, 99),
        .p999 = percentile(&all, 99.9),
        .p9999 = percentile(&all, 99.99),
        .max = (double)hist_max(&all) / 1e3,
    };
}

/* -- for a person ------------------------------------------------------------------------------ */

static void
latency_print(const char *what, const struct hist *h)
{
    printf("%s: mean %.1f, p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, p99.99 %.1f, max %.1f\n",
           what, (double)hist_mean(h) / 1e3, percentile(h, 50), percentile(h, 90),
           percentile(h, 99), percentile(h, 99.9), percentile(h, 99.99),
           (double)hist_max(h) / 1e3);
}

/* All requests, and each kind of them if there are several. */
static void
latencies_print(const struct plan *p, const struct load_result *r)
{
    struct hist all = { 0 };
    int kinds = 0;

    for (int v = 0; v < VERBS; v++) {
        kinds += r->keys[v] > 0;
    }
    result_latency(r, &all);
    latency_print(p->rate > 0 || p->trace_speed > 0
                      ? "latency of a request since it was due, us"
                      : "latency of a request, us",
                  &all);
    for (int v = 0; v < VERBS && kinds > 1; v++) {
        if (r->keys[v] > 0) {
            char what[32];

            snprintf(what, sizeof what, "  %s", dialect_verb((enum verb)v));
            latency_print(what, &r->latency[v]);
        }
    }
}

/* "123 keys fetched, 99.00 % of them hits, and 45 stored" */
static void
operations_print(const struct load_result *r)
{
    const uint64_t gets = r->keys[VERB_GET], deletes = r->keys[VERB_DELETE];
    const uint64_t incrs = r->keys[VERB_INCR];

    printf("%.0f operations/s: %llu keys fetched", (double)result_operations(r) / seconds_of(r),
           (unsigned long long)gets);
    if (gets > 0) {
        printf(", %.2f %% of them hits,", 100 * result_hit_ratio(r));
    }
    printf(" and %llu stored", (unsigned long long)r->keys[VERB_SET]);
    if (r->filled > 0) {
        printf(" (%llu on a miss)", (unsigned long long)r->filled);
    }
    if (deletes > 0) {
        printf(", %llu deleted (%llu were there)", (unsigned long long)deletes,
               (unsigned long long)r->found[VERB_DELETE]);
    }
    if (incrs > 0) {
        printf(", %llu incremented (%llu were there)", (unsigned long long)incrs,
               (unsigned long long)r->found[VERB_INCR]);
    }
    printf(" in %.2f s\n", seconds_of(r));
}

void
report_print(const struct plan *p, const struct load_result *r)
{
    double busy = seconds_of(r) * (double)USEC_PER_SEC;
    struct report_figures f = report_figures(r);

    operations_print(r);
    if (p->trace && r->late_gets > 0) {
        printf("behind the first %.4g %% of the trace: %llu keys fetched, %.3f %% of them hits\n",
               p->trace_warmup * 100, (unsigned long long)r->late_gets,
               100 * result_late_hit_ratio(r));
    }
    if (p->rate > 0) {
        printf("%.0f requests/s of %g wanted; %llu were due and not answered at the end\n",
               (double)(r->requests - r->filled) / seconds_of(r), p->rate,
               (unsigned long long)r->unanswered);
    }
    latencies_print(p, r);
    if (f.server_cost >= 0) {
        printf("server CPU: %.3f us/operation, %.2f cores busy\n", f.server_cost,
               (double)r->server_cpu / busy);
    }
    printf("client CPU: %.2f cores busy%s\n", f.client_load,
           f.client_busiest > 0.9 ? " (the rate is this program's limit, not the server's)" : "");
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

/* -- for a program ----------------------------------------------------------------------------- */

/* A named value: a text, or a number that is NAN if it is not known. */
struct field {
    char        name[NAME_MAX_LEN];
    const char *text; /* NULL: it is a number */
    double      number;
    int         decimals;
};

struct fields {
    struct field of[FIELDS_MAX];
    unsigned     count;
};

static struct field *
field_new(struct fields *f, const char *prefix, const char *name)
{
    struct field *one = &f->of[f->count++];

    assert(f->count <= FIELDS_MAX);
    *one = (struct field){ .text = NULL };
    snprintf(one->name, sizeof one->name, "%s%s", prefix, name);
    return one;
}

static void
add_text(struct fields *f, const char *name, const char *text)
{
    field_new(f, "", name)->text = text ? text : "";
}

static void
add_real(struct fields *f, const char *prefix, const char *name, double number, int decimals)
{
    struct field *one = field_new(f, prefix, name);

    one->number = number;
    one->decimals = decimals;
}

static void
add_count(struct fields *f, const char *name, uint64_t number)
{
    add_real(f, "", name, (double)number, 0);
}

static double
known(double number)
{
    return number >= 0 ? number : (double)NAN;
}

/* What a trace says nothing about is not known. */
static double
unless(const char *trace, double number)
{
    return trace ? (double)NAN : number;
}

static void
add_plan(struct fields *f, const struct plan *p)
{
    add_text(f, "server", p->place);
    add_text(f, "protocol", dialect_name(p->dialect));
    add_count(f, "connections", p->connections);
    add_count(f, "threads", p->threads);
    add_count(f, "idle", p->idle);
    add_count(f, "depth", p->depth);
    add_count(f, "multi", p->multi);
    add_text(f, "trace", p->trace);
    for (int v = 0; v < VERBS; v++) {
        add_real(f, "share_", dialect_verb((enum verb)v), unless(p->trace, p->share[v]), 6);
    }
    add_real(f, "", "keys", unless(p->trace, (double)p->keys.count), 0);
    add_text(f, "key_size", p->trace ? NULL : p->key_size);
    add_text(f, "value_size", p->trace ? NULL : p->value_size);
    add_text(f, "ttl", p->trace ? NULL : p->ttl);
    add_real(f, "", "zipf", unless(p->trace, p->keys.zipf), 3);
    add_count(f, "seed", p->seed);
    add_real(f, "", "rate_wanted", p->rate > 0 ? p->rate : (double)NAN, 3);
}

static void
add_counts(struct fields *f, const struct load_result *r)
{
    static const char *const there[VERBS] = {
        [VERB_GET] = "get_hits", [VERB_DELETE] = "delete_hits", [VERB_INCR] = "incr_hits",
    };

    add_count(f, "requests", r->requests);
    add_count(f, "operations", result_operations(r));
    for (int v = 0; v < VERBS; v++) {
        add_real(f, dialect_verb((enum verb)v), "s", (double)r->keys[v], 0);
        if (there[v]) {
            add_count(f, there[v], r->found[v]);
        }
    }
    add_count(f, "filled", r->filled);
    add_real(f, "", "hit_ratio", known(result_hit_ratio(r)), 6);
    add_count(f, "late_gets", r->late_gets);
    add_count(f, "late_hits", r->late_hits);
    add_real(f, "", "late_hit_ratio", known(result_late_hit_ratio(r)), 6);
    add_count(f, "unanswered", r->unanswered);
    add_count(f, "errors", r->errors);
    add_count(f, "wrong", r->wrong);
    add_text(f, "complaint", r->complaint);
}

/* Microseconds; unknown if there is no such request. */
static void
add_latency(struct fields *f, const char *prefix, const struct hist *h)
{
    static const struct {
        const char *name;
        double      percent;
    } rows[] = {
        { "p50_us", 50 }, { "p90_us", 90 }, { "p99_us", 99 }, { "p99_9_us", 99.9 },
        { "p99_99_us", 99.99 },
    };
    bool any = hist_count(h) > 0;

    add_real(f, prefix, "mean_us", any ? (double)hist_mean(h) / 1e3 : (double)NAN, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        add_real(f, prefix, rows[i].name, any ? percentile(h, rows[i].percent) : (double)NAN, 3);
    }
    add_real(f, prefix, "max_us", any ? (double)hist_max(h) / 1e3 : (double)NAN, 3);
}

static void
fields_make(struct fields *f, const struct plan *p, const struct load_result *r)
{
    struct report_figures figures = report_figures(r);
    struct hist all = { 0 };
    char prefix[16];

    f->count = 0;
    add_plan(f, p);
    add_real(f, "", "seconds", seconds_of(r), 6);
    add_real(f, "", "operations_per_second", figures.rate, 1);
    add_counts(f, r);
    result_latency(r, &all);
    add_latency(f, "latency_", &all);
    for (int v = 0; v < VERBS; v++) {
        snprintf(prefix, sizeof prefix, "%s_", dialect_verb((enum verb)v));
        add_latency(f, prefix, &r->latency[v]);
    }
    add_real(f, "", "server_cpu_us_per_operation", known(figures.server_cost), 4);
    add_real(f, "", "client_cores", figures.client_load, 3);
    add_real(f, "", "client_busiest_thread", figures.client_busiest, 3);
}

/* Quoted for JSON.  Bytes above ASCII are taken as Latin-1, so that any bytes are legal. */
static void
json_print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < ' ' || c >= 0x7f) {
            printf("\\u%04x", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    putchar('"');
}

/* Quoted for CSV, if that is needed. */
static void
csv_print_text(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        printf(*text == '"' ? "\"\"" : "%c", *text);
    }
    putchar('"');
}

void
report_print_json(const struct plan *p, const struct load_result *r)
{
    struct fields f;

    fields_make(&f, p, r);
    for (unsigned i = 0; i < f.count; i++) {
        const struct field *one = &f.of[i];

        printf("%s  \"%s\": ", i == 0 ? "{\n" : ",\n", one->name);
        if (one->text) {
            json_print_text(one->text);
        } else if (isnan(one->number)) {
            fputs("null", stdout);
        } else {
            printf("%.*f", one->decimals, one->number);
        }
    }
    fputs("\n}\n", stdout);
}

void
report_print_csv(const struct plan *p, const struct load_result *r)
{
    struct fields f;

    fields_make(&f, p, r);
    for (unsigned i = 0; i < f.count; i++) {
        printf("%s%s", i == 0 ? "" : ",", f.of[i].name);
    }
    for (unsigned i = 0; i < f.count; i++) {
        const struct field *one = &f.of[i];

        putchar(i == 0 ? '\n' : ',');
        if (one->text) {
            csv_print_text(one->text);
        } else if (!isnan(one->number)) {
            printf("%.*f", one->decimals, one->number);
        }
    }
    putchar('\n');
}
