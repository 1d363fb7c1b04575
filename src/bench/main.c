/*
 * main.c - magpie-bench: makes load on a memcached, and compares two.
 */
#include "bench/compare.h"
#include "bench/load.h"
#include "bench/report.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define PLACE      "127.0.0.1:11211"

static int
help_print(void)
{
    fputs("usage: magpie-bench [OPTION]...\n"
          "       magpie-bench compare [OPTION]... -- 'SERVER COMMAND A' -- 'SERVER COMMAND B'\n"
          "\n"
          "Makes load on a server that speaks memcached's protocols and prints rate, latency and,\n"
          "with --pid, what it cost the server.  compare starts two servers on free loopback\n"
          "ports (it appends -l and -p) and runs the load on them in turn.  Defaults in brackets.\n"
          "\n",
          stdout);
    plan_print_help();
    fputs("\nCtrl-C ends a run early and prints what was measured.\n"
          "Exit status: 0 fine; 1 errors, wrong values or no server; 2 wrong usage.\n",
          stdout);
    return ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
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

/* One load on a running server. */
static int
bench_single(struct plan *plan)
{
    struct load_result *result = calloc(1, sizeof *result);
    struct keys *keys = malloc(sizeof *keys);
    struct err_detail d = { .text = "no memory" };
    bool fine = false;
    err_t e = result && keys ? keys_init(keys, &plan->keys) : ERR_NOMEM;

    plan->place = plan->place ? plan->place : PLACE;
    plan->progress = plan->progress || isatty(STDERR_FILENO);
    signals_install();
    if (!e && plan->prefill) {
        e = load_prefill(plan, keys, &d);
    }
    if (!e) {
        if (plan->output == PLAN_OUTPUT_TEXT) {
            plan_print(plan);
            fflush(stdout);
        }
        e = load_run(plan, keys, result, &d);
        if (!e || result->requests > 0) {
            fine = result_print(plan, result);
        }
    }
    if (e) {
        fprintf(stderr, "magpie-bench: %s\n", d.text);
    }
    if (keys) {
        keys_fini(keys);
    }
    free(keys);
    free(result);
    return !e && fine && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Joins the words up to the next "--" to one command; *at is then behind it.  Gives: free(). */
static char *
command_join(int argc, char **argv, int *at)
{
    size_t len = 1;
    char *line;
    int end = *at;

    while (end < argc && strcmp(argv[end], "--") != 0) {
        len += strlen(argv[end++]) + 1;
    }
    line = calloc(1, len);
    for (; line && *at < end; (*at)++) {
        if (line[0] != '\0') {
            strcat(line, " ");
        }
        strcat(line, argv[*at]);
    }
    *at = end + 1;
    return line;
}

static int
bench_compare(const struct plan *plan, int argc, char **argv)
{
    int at = 0, status = EXIT_FAILURE;
    char *a = command_join(argc, argv, &at);
    char *b = at < argc ? command_join(argc, argv, &at) : NULL;

    if (!a || !b || !*a || !*b || at <= argc) {
        status = usage_complain("compare wants two commands: -- 'A' -- 'B'");
    } else if (plan->place || plan->pid) {
        status = usage_complain("compare starts its own servers: no --server, no --pid");
    } else if (plan->output != PLAN_OUTPUT_TEXT) {
        status = usage_complain("compare prints text: no --output");
    } else {
        if (!plan->row) {
            printf("A: %s\nB: %s\n", a, b);
            plan_print(plan);
        }
        status = compare_run(plan, (const char *const[]){ a, b }) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    free(a);
    free(b);
    return status;
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
    argc -= compares;
    argv += compares;
    if (plan_parse(argc, argv, &plan, &rest, &d)) {
        return usage_complain(d.text);
    }
    if (compares) {
        return bench_compare(&plan, argc - rest, argv + rest);
    }
    if (rest < argc) {
        return usage_complain("words that are no options");
    }
    if (plan.rounds != 5 || plan.row) {
        return usage_complain("--rounds and --row go with compare");
    }
    return bench_single(&plan);
}
