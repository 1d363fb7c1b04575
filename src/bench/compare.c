#include "bench/compare.h"
#include "bench/process.h"
#include "bench/report.h"
#include <stdio.h>
#include <stdlib.h>

struct round {
    struct report_figures of[2];
};

static int
double_compare(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

struct spread {
    double min, median, max;
};

/* Sorts the values. */
static struct spread
spread_of(double *values, unsigned count)
{
    unsigned half = count / 2;

    qsort(values, count, sizeof *values, double_compare);
    return (struct spread){
        .min = values[0],
        .median = count % 2 ? values[half] : (values[half - 1] + values[half]) / 2,
        .max = values[count - 1],
    };
}

enum figure { FIGURE_RATE, FIGURE_COST };

static double
figure_of(const struct round *r, enum figure figure, int server)
{
    return figure == FIGURE_RATE ? r->of[server].rate : r->of[server].server_cost;
}

/* The spread of one server's figure, or (server 2) of the ratio of the first to the second. */
static struct spread
rounds_spread(const struct round *rounds, unsigned count, enum figure figure, int server,
              double *room)
{
    for (unsigned i = 0; i < count; i++) {
        double b = figure_of(&rounds[i], figure, 1);

        room[i] = server < 2 ? figure_of(&rounds[i], figure, server)
                             : figure_of(&rounds[i], figure, 0) / (b > 0 ? b : 1e-9);
    }
    return spread_of(room, count);
}

static void
rounds_print_row(const char *name, const struct round *rounds, unsigned count, double *room)
{
    struct spread s[2][3];

    for (int figure = 0; figure < 2; figure++) {
        for (int server = 0; server < 3; server++) {
            s[figure][server] =
                rounds_spread(rounds, count, (enum figure)figure, server, room);
        }
    }
    printf("| %s | %.0f | %.0f | %.2f (%.2f..%.2f) | %.2f | %.2f | %.2f (%.2f..%.2f) |\n", name,
           s[0][0].median, s[0][1].median, s[0][2].median, s[0][2].min, s[0][2].max,
           s[1][0].median, s[1][1].median, s[1][2].median, s[1][2].min, s[1][2].max);
}

static void
rounds_print(const struct round *rounds, unsigned count, double *room)
{
    static const char *const what[] = { "operations/s", "server CPU us/operation" };

    for (int figure = 0; figure < 2; figure++) {
        for (int server = 0; server < 3; server++) {
            struct spread s = rounds_spread(rounds, count, (enum figure)figure, server, room);

            printf("%s %s: median %.*f, %.*f..%.*f\n", server == 0   ? "A"
                                                       : server == 1 ? "B"
                                                                     : "A/B",
                   what[figure], figure || server == 2 ? 3 : 0, s.median,
                   figure || server == 2 ? 3 : 0, s.min, figure || server == 2 ? 3 : 0, s.max);
        }
    }
}

/* One round on one server. */
static bool
server_measure(const struct plan *base, const struct process *server, const struct keys *k,
               struct load_result *result, struct report_figures *ret)
{
    struct plan plan = *base;
    struct err_detail d = { .text = "" };

    plan.place = server->place;
    plan.pid = server->pid;
    if (load_run(&plan, k, result, &d)) {
        fprintf(stderr, "magpie-bench: %s\n", d.text);
        return false;
    }
    *ret = report_figures(result);
    return report_print_trouble(result);
}

static bool
rounds_run(const struct plan *plan, const struct process *server, const struct keys *k,
           struct round *rounds)
{
    struct load_result *result = malloc(sizeof *result);
    bool ok = result != NULL;

    for (unsigned i = 0; ok && i < plan->rounds; i++) {
        int first = (int)(i % 2);
        struct report_figures *of = rounds[i].of;

        ok = server_measure(plan, &server[first], k, result, &of[first]) &&
             server_measure(plan, &server[1 - first], k, result, &of[1 - first]);
        if (ok && !plan->row) {
            printf("round %u: A %.0f operations/s, %.3f us; B %.0f operations/s, %.3f us; client "
                   "%.2f cores\n",
                   i + 1, of[0].rate, of[0].server_cost, of[1].rate, of[1].server_cost,
                   of[0].client_load);
            fflush(stdout);
        }
    }
    free(result);
    return ok;
}

/* Starts and fills both. */
static bool
servers_start(const struct plan *plan, const char *const command[2], struct process *server,
              const struct keys *k)
{
    struct err_detail d = { .text = "" };
    struct plan fill = *plan;

    for (int i = 0; i < 2; i++) {
        err_t e = process_start(&server[i], command[i], &d);

        fill.place = server[i].place;
        if (!e && plan->prefill) {
            e = load_prefill(&fill, k, &d);
        }
        if (e) {
            fprintf(stderr, "magpie-bench: %c: %s\n", 'A' + i, d.text);
            return false;
        }
    }
    return true;
}

bool
compare_run(const struct plan *plan, const char *const command[2])
{
    struct process server[2] = { { .pid = 0 }, { .pid = 0 } };
    struct round *rounds = calloc(plan->rounds, sizeof *rounds);
    double *room = calloc(plan->rounds, sizeof *room);
    struct keys keys = { 0 };
    bool ok = rounds && room &&
              !keys_init(&keys, &plan->keys);

    if (!ok) {
        fputs("magpie-bench: no memory\n", stderr);
    }
    ok = ok && servers_start(plan, command, server, &keys) &&
         rounds_run(plan, server, &keys, rounds);
    process_stop(&server[0]);
    process_stop(&server[1]);
    if (ok && plan->row) {
        rounds_print_row(plan->row, rounds, plan->rounds, room);
    } else if (ok) {
        rounds_print(rounds, plan->rounds, room);
    }
    keys_fini(&keys);
    free(rounds);
    free(room);
    return ok;
}
