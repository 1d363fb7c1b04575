/*
 * main.c - magpie-bench: makes load on a memcached, and compares two.
 */
#include "bench/compare.h"
#include "bench/report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
          "ports (it appends -l and -p) and runs the load on them in turn.\n\n",
          stdout);
    plan_print_help();
    fputs("\ncompare only:\n"
          "  --rounds N           on each server (5)\n"
          "  --row NAME           print one row of a Markdown table: A and B in operations/s,\n"
          "                       A/B; then us of server CPU per operation, A/B\n"
          "\n"
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

/* One load on a running server. */
static int
bench_single(struct plan *plan)
{
    struct load_result *result = malloc(sizeof *result);
    struct err_detail d = { .text = "no memory" };
    struct keys keys = { 0 };
    int status = EXIT_FAILURE;
    err_t e = result ? keys_init(&keys, &plan->keys)
                     : ERR_NOMEM;

    plan->place = plan->place ? plan->place : PLACE;
    if (!e && plan->prefill) {
        e = load_prefill(plan, &keys, &d);
    }
    if (!e) {
        plan_print(plan);
        fflush(stdout);
        e = load_run(plan, &keys, result, &d);
    }
    if (e) {
        fprintf(stderr, "magpie-bench: %s\n", d.text);
    } else {
        report_print(result);
        status = report_print_trouble(result) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    keys_fini(&keys);
    free(result);
    return status;
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
