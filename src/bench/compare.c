#include "bench/compare.h"
#include "bench/cores.h"
#include "bench/figures.h"
#include "bench/probe.h"
#include "bench/report.h"
#include "bench/verdict.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* All servers together use less than a twentieth of a core over a window: they are idle. */
#define IDLE_WINDOW  (50 * USEC_PER_MSEC)
#define IDLE_CPU     (IDLE_WINDOW / 20)
#define IDLE_TIMEOUT (10 * USEC_PER_SEC)
#define END_TIMEOUT  USEC_PER_SEC /* for a server that dropped a connection to be gone */

struct server {
    struct process process;
    uint64_t       empty_rss; /* bytes, when it had just started; 0: unknown */
};

struct compare {
    const struct suite *suite;
    struct server       servers[PROCESS_MAX];
    struct verdict_cores cores;
    struct load_result *result; /* of the measurement under way */
    FILE               *progress;
    bool                restless; /* servers do not become idle: no longer waited for */
};

/* -- servers ---------------------------------------------------------------------------------- */

/* Prints what went wrong with a server, with its own words if that ended it. */
static void
server_complain(struct compare *c, unsigned i, const char *what)
{
    struct process *p = &c->servers[i].process;
    char prefix[16], end[80];

    fflush(stdout);
    fprintf(stderr, "magpie-bench: %c: %s\n", 'A' + i, what);
    if (process_ended(p, END_TIMEOUT)) {
        process_describe_end(p, end, sizeof end);
        fprintf(stderr, "magpie-bench: %c: %s: %s\n", 'A' + i, c->suite->commands[i], end);
    }
    snprintf(prefix, sizeof prefix, "%c says: ", 'A' + i);
    process_print_said(p, prefix, stderr);
}

static bool
servers_cpu(struct compare *c, usec_t *ret)
{
    struct err_detail d;

    *ret = 0;
    for (unsigned i = 0; i < c->suite->servers; i++) {
        usec_t cpu;

        if (process_cpu(c->servers[i].process.pid, &cpu, &d)) {
            server_complain(c, i, d.text);
            return false;
        }
        *ret += cpu;
    }
    return true;
}

/*
 * Waits until no server does anything: tables that grow and lists that are put in order after a
 * load would be paid for by the next one.  False: a server is gone.
 */
static bool
servers_settle(struct compare *c)
{
    static const struct timespec window = { .tv_nsec = IDLE_WINDOW * 1000 };
    usec_t before, now;

    if (c->restless) {
        return true;
    }
    if (!servers_cpu(c, &before)) {
        return false;
    }
    for (usec_t waited = 0; waited < IDLE_TIMEOUT; waited += IDLE_WINDOW) {
        nanosleep(&window, NULL);
        if (!servers_cpu(c, &now)) {
            return false;
        }
        if (now - before < IDLE_CPU) {
            return true;
        }
        before = now;
    }
    fprintf(c->progress, "a server is busy without any load; it is not waited for\n");
    c->restless = true;
    return true;
}

static bool
servers_start(struct compare *c)
{
    struct err_detail d = { .text = "" };

    for (unsigned i = 0; i < c->suite->servers; i++) {
        if (process_start(&c->servers[i].process, c->suite->commands[i],
                          c->cores.pinned ? &c->cores.servers : NULL, &d)) {
            server_complain(c, i, d.text);
            return false;
        }
    }
    if (!servers_settle(c)) {
        return false;
    }
    for (unsigned i = 0; i < c->suite->servers; i++) {
        if (process_rss(c->servers[i].process.pid, &c->servers[i].empty_rss, &d)) {
            fprintf(c->progress, "%c: memory is unknown: %s\n", 'A' + i, d.text);
        }
    }
    return true;
}

/* -- rounds ----------------------------------------------------------------------------------- */

static void
server_read_memory(struct server *s, double *values)
{
    uint64_t rss, items;

    if (s->empty_rss == 0 || process_rss(s->process.pid, &rss, NULL)) {
        return;
    }
    values[FIGURE_RESIDENT] = (double)rss / (1 << 20);
    if (probe_items(s->process.place, &items) && items > 0) {
        values[FIGURE_ITEM] = ((double)rss - (double)s->empty_rss) / (double)items;
    }
}

/* One round on one server. */
static bool
server_measure(struct compare *c, const struct plan *base, const struct keys *k, unsigned i,
               double *values)
{
    struct server *s = &c->servers[i];
    struct plan plan = *base;
    struct err_detail d = { .text = "" };
    struct report_figures f;

    plan.place = s->process.place;
    plan.pid = s->process.pid;
    if (load_run(&plan, k, c->result, &d)) {
        server_complain(c, i, d.text);
        return false;
    }
    if (c->result->errors > 0 || c->result->wrong > 0) {
        server_complain(c, i, c->result->complaint);
        return false;
    }
    f = report_figures(c->result);
    values[FIGURE_RATE] = f.rate;
    if (f.rate > 0) {
        values[FIGURE_COST] = f.server_cost;
        values[FIGURE_P50] = f.p50;
        values[FIGURE_P99] = f.p99;
        values[FIGURE_P999] = f.p999;
    }
    if (f.hit_ratio >= 0) {
        values[FIGURE_HITS] = 100 * f.hit_ratio;
    }
    values[FIGURE_CLIENT] = f.client_load;
    server_read_memory(s, values);
    return true;
}

static void
round_report(const struct compare *c, const struct figures *f, unsigned round)
{
    fprintf(c->progress, "round %u:", round + 1);
    for (unsigned i = 0; i < f->servers; i++) {
        const double *values = figures_of(f, i, round);

        fprintf(c->progress, " %c %.0f operations/s", 'A' + i, values[FIGURE_RATE]);
        fprintf(c->progress, isnan(values[FIGURE_COST]) ? ";" : ", %.3f us;", values[FIGURE_COST]);
    }
    fprintf(c->progress, " client %.2f cores\n", figures_of(f, 0, round)[FIGURE_CLIENT]);
    fflush(c->progress);
}

static bool
rounds_run(struct compare *c, const struct plan *plan, const struct keys *k, struct figures *f)
{
    for (unsigned round = 0; round < f->rounds; round++) {
        for (unsigned turn = 0; turn < f->servers; turn++) {
            unsigned i = (round + turn) % f->servers;

            if (!servers_settle(c) || !server_measure(c, plan, k, i, figures_of(f, i, round))) {
                return false;
            }
        }
        round_report(c, f, round);
    }
    return true;
}

/* -- loads ------------------------------------------------------------------------------------ */

static bool
text_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The servers still hold what b wants stored, since they were filled for a and a was run. */
static bool
plan_fills_alike(const struct plan *a, const struct plan *b)
{
    uint64_t a_from, a_end, b_from, b_end;

    plan_fill_range(a, &a_from, &a_end);
    plan_fill_range(b, &b_from, &b_end);
    return a->prefill && a->share[VERB_DELETE] <= 0 && text_same(a->ttl, "0") &&
           a->keys.count == b->keys.count && text_same(a->key_size, b->key_size) &&
           text_same(a->value_size, b->value_size) && text_same(b->ttl, "0") &&
           a->keys.name_len.min == b->keys.name_len.min && a->seed == b->seed &&
           a->keys.flags == b->keys.flags && a_from <= b_from &&
           b_end <= a_end;
}

static bool
servers_fill(struct compare *c, const struct plan *plan, const struct keys *k)
{
    struct plan fill = *plan;
    struct err_detail d = { .text = "" };

    for (unsigned i = 0; i < c->suite->servers; i++) {
        fill.place = c->servers[i].process.place;
        if (load_prefill(&fill, k, &d)) {
            server_complain(c, i, d.text);
            return false;
        }
    }
    return true;
}

static bool
load_compare(struct compare *c, unsigned number)
{
    const struct suite_load *load = &c->suite->loads[number];
    const struct plan *plan = &load->plan;
    struct figures f = { 0 };
    struct keys *keys = calloc(1, sizeof *keys);
    bool ok = !figures_init(&f, c->suite->servers, c->suite->rounds) && keys &&
              !keys_init(keys, &plan->keys);

    if (!ok) {
        fputs("magpie-bench: no memory\n", stderr);
    }
    fprintf(c->progress, "\n%s%s%s\n", load->name, *load->options ? ": " : "", load->options);
    if (ok && plan->prefill &&
        !(number > 0 && plan_fills_alike(&c->suite->loads[number - 1].plan, plan))) {
        ok = servers_fill(c, plan, keys);
    }
    ok = ok && rounds_run(c, plan, keys, &f);
    if (ok) {
        verdict_print(c->suite, number, &f);
    }
    if (keys) {
        keys_fini(keys);
    }
    free(keys);
    figures_fini(&f);
    return ok;
}

/* One core for each thread of the load that has most. */
static void
compare_pin(struct compare *c)
{
    unsigned threads = 1;

    for (unsigned i = 0; i < c->suite->load_count; i++) {
        unsigned of_load = c->suite->loads[i].plan.threads;

        threads = of_load > threads ? of_load : threads;
    }
    cores_allowed(&c->cores.all);
    c->cores.pinned = c->suite->pin &&
                      cores_split(&c->cores.all, threads, &c->cores.load, &c->cores.servers) &&
                      cores_stay_on(&c->cores.load);
}

bool
compare_run(const struct suite *suite)
{
    struct compare *c = calloc(1, sizeof *c);
    bool ok;

    if (!c || !(c->result = malloc(sizeof *c->result))) {
        fputs("magpie-bench: no memory\n", stderr);
        free(c);
        return false;
    }
    c->suite = suite;
    c->progress = suite->output == SUITE_TEXT ? stdout : stderr;
    for (unsigned i = 0; i < suite->servers; i++) {
        c->servers[i].process = PROCESS_NONE;
    }
    process_guard();
    compare_pin(c);
    ok = servers_start(c);
    if (ok) {
        verdict_begin(suite, &c->cores);
    }
    for (unsigned i = 0; ok && i < suite->load_count; i++) {
        ok = load_compare(c, i);
    }
    for (unsigned i = 0; i < suite->servers; i++) {
        process_stop(&c->servers[i].process);
    }
    if (ok) {
        verdict_end(suite);
    }
    free(c->result);
    free(c);
    return ok;
}
