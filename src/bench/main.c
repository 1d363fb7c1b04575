/*
 * main.c - magpie-bench: makes load on a memcached, and compares several.
 */
#include "bench/compare.h"
#include "bench/load.h"
#include "bench/process.h"
#include "bench/report.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define PLACE      "127.0.0.1:11211"

/* True if all that was printed has arrived, now or before; else says so. */
static bool
output_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return true;
    }
    fputs("magpie-bench: the output could not be written, or not all of it\n", stderr);
    return false;
}

static int
help_print(void)
{
    fputs("usage: magpie-bench [OPTION]...\n"
          "       magpie-bench compare [OPTION]... [--load NAME [OPTION]...]...\n"
          "                            -- 'SERVER COMMAND A' -- 'SERVER COMMAND B'...\n"
          "\n"
          "Makes load on a server that speaks memcached's protocols and prints rate, latency and,\n"
          "with --pid, what it cost the server.  compare starts servers on free loopback ports\n"
          "(it appends -l and -p, or replaces {port}), runs the loads on them in turn, and prints\n"
          "each one's figures and the ratios of each pair.  Defaults in brackets.\n"
          "\n",
          stdout);
    plan_print_help();
    suite_print_help();
    fputs("\nCtrl-C ends a run early and prints what was measured.\n"
          "Exit status: 0 fine; 1 errors, wrong values or no server; 2 wrong usage.\n",
          stdout);
    return output_finish() ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
usage_complain(const char *why)
{
    fprintf(stderr, "magpie-bench: %s\nmagpie-bench --help says more.\n", why);
    return EXIT_USAGE;
}

static void
signal_handle(int sig)
{
    (void)sig;
    load_interrupt();
}

/* The first Ctrl-C ends the run, the second the program. */
static void
signals_install(void)
{
    struct sigaction sa = { .sa_handler = signal_handle, .sa_flags = (int)SA_RESETHAND };

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

/* In the form that is wanted; false: something went wrong. */
static bool
result_print(const struct plan *plan, const struct load_result *r)
{
    switch (plan->output) {
    case PLAN_OUTPUT_JSON:
        report_print_json(plan, r);
        break;
    case PLAN_OUTPUT_CSV:
        report_print_csv(plan, r);
        break;
    case PLAN_OUTPUT_TEXT:
        report_print(plan, r);
        return report_print_trouble(r);
    }
    return r->errors + r->wrong == 0;
}

/* Stores, makes the load, prints; false: something went wrong, and was told. */
static bool
single_run(const struct plan *plan, const struct keys *keys, struct load_result *result)
{
    struct err_detail d = { .text = "" };
    usec_t cpu;
    bool fine = false;
    err_t e = plan->pid ? process_cpu(plan->pid, &cpu, &d) : ERR_OK; /* not only at the end */

    if (!e && plan->prefill) {
        e = load_prefill(plan, keys, &d);
    }
    if (!e) {
        if (plan->output == PLAN_OUTPUT_TEXT) {
            plan_print(plan);
            fflush(stdout);
        }
        e = load_run(plan, keys, result, &d);
        if (!e && result->requests == 0 && result->pending > 0) {
            e = err_set(&d, ERR_TIMEOUT, "%s: no answer to any of %llu requests", plan->place,
                        (unsigned long long)result->pending);
        }
        if (!e || result->requests > 0) {
            fine = result_print(plan, result);
        }
    }
    if (e) {
        fprintf(stderr, "magpie-bench: %s\n", d.text);
    }
    return !e && fine;
}

/* One load on a running server. */
static int
bench_single(struct plan *plan)
{
    struct load_result *result = calloc(1, sizeof *result);
    struct keys *keys = malloc(sizeof *keys);
    bool fine = false;

    plan->place = plan->place ? plan->place : PLACE;
    plan->progress = plan->progress || isatty(STDERR_FILENO);
    signals_install();
    if (!result || !keys || keys_init(keys, &plan->keys)) {
        fputs("magpie-bench: no memory\n", stderr);
    } else {
        fine = single_run(plan, keys, result);
        keys_fini(keys);
    }
    free(keys);
    free(result);
    return output_finish() && fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
bench_compare(int argc, char **argv)
{
    struct err_detail d = { .text = "" };
    struct suite suite;
    bool ok;

    if (suite_parse(argc, argv, &suite, &d)) {
        return usage_complain(d.text);
    }
    ok = compare_run(&suite);
    suite_free(&suite);
    return output_finish() && ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    bool compares = argc > 1 && strcmp(argv[1], "compare") == 0;
    struct err_detail d = { .text = "" };
    struct plan plan;
    int rest;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return help_print();
        }
    }
    if (compares) {
        return bench_compare(argc - 2, argv + 2);
    }
    if (plan_parse(argc, argv, &plan, &rest, &d)) {
        return usage_complain(d.text);
    }
    if (rest < argc) {
        return usage_complain("words that are no options");
    }
    return bench_single(&plan);
}
