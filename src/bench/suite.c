#include "bench/suite.h"
#include "base/buf.h"
#include "base/num.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 1000

/* Words of the command line on their way to plan_parse(). */
struct words {
    char **at; /* room for all of argv; the first is no option */
    int    count;
};

static const char *const outputs[] = { "text", "markdown", "json", "csv" };
#define OUTPUTS (sizeof outputs / sizeof *outputs)

void
suite_print_help(void)
{
    fputs("\ncompare only:\n"
          "  --rounds N            on each server (5)\n"
          "  --load NAME           options behind it are of this load, those in front of the\n"
          "                        first one of all loads\n"
          "  --output FORMAT       text, markdown, json or csv (text); but for text the rounds\n"
          "                        are told on standard error\n"
          "  --no-pin              servers and load on any core, not on cores of their own\n",
          stdout);
}

void
suite_free(struct suite *s)
{
    for (unsigned i = 0; i < s->servers; i++) {
        free(s->commands[i]);
    }
    for (unsigned i = 0; i < s->load_count; i++) {
        free(s->loads[i].options);
    }
    free(s->loads);
    *s = (struct suite){ 0 };
}

/* -- servers ---------------------------------------------------------------------------------- */

/* Joins words by blanks.  Gives: free(); NULL: no memory. */
static char *
words_join(char **words, int count)
{
    struct buf line = { 0 };
    bool ok = true;

    for (int i = 0; ok && i < count; i++) {
        ok = buf_printf(&line, i > 0 ? " %s" : "%s", words[i]);
    }
    if (!ok || !buf_add(&line, "", 1)) {
        buf_free(&line);
    }
    return line.ptr;
}

/* argv begins with a "--" and every server has one in front. */
static err_t
servers_parse(int argc, char **argv, struct suite *s, struct err_detail *d)
{
    for (int at = 0; at < argc;) {
        int first = ++at;

        while (at < argc && strcmp(argv[at], "--") != 0) {
            at++;
        }
        if (at == first) {
            return err_set(d, ERR_INVALID, "compare: no command behind --");
        }
        if (s->servers == PROCESS_MAX) {
            return err_set(d, ERR_INVALID, "compare: more than %d servers", PROCESS_MAX);
        }
        s->commands[s->servers] = words_join(argv + first, at - first);
        if (!s->commands[s->servers]) {
            return err_set(d, ERR_NOMEM, "no memory");
        }
        s->servers++;
    }
    return s->servers >= 2
               ? ERR_OK
               : err_set(d, ERR_INVALID, "compare wants at least two commands: -- 'A' -- 'B'");
}

/* -- compare's own options -------------------------------------------------------------------- */

/* True if word is the option; *ret_value is then what stands behind "=" in it, or NULL. */
static bool
word_is(const char *word, const char *option, const char **ret_value)
{
    size_t len = strlen(option);

    if (strncmp(word, option, len) != 0 || (word[len] != '\0' && word[len] != '=')) {
        return false;
    }
    *ret_value = word[len] == '=' ? word + len + 1 : NULL;
    return true;
}

static err_t
own_set(struct suite *s, const char *option, const char *value, struct err_detail *d)
{
    uint64_t n = 0;

    if (strcmp(option, "--rounds") == 0) {
        if (!num_parse_u64(slice_of(value, strlen(value)), &n) || n < 1 || n > ROUNDS_MAX) {
            return err_set(d, ERR_INVALID, "--rounds %s: want 1..%d", value, ROUNDS_MAX);
        }
        s->rounds = (unsigned)n;
        return ERR_OK;
    }
    if (strcmp(option, "--output") == 0) {
        for (size_t i = 0; i < OUTPUTS; i++) {
            if (strcmp(value, outputs[i]) == 0) {
                s->output = (enum suite_output)i;
                return ERR_OK;
            }
        }
        return err_set(d, ERR_INVALID, "--output %s: want text, markdown, json or csv", value);
    }
    s->loads[s->load_count++].name = value; /* --load */
    return ERR_OK;
}

/* Takes the option at argv[*at] if it is one of compare's own, and moves *at to its last word. */
static err_t
own_parse(int argc, char **argv, int *at, struct suite *s, bool *ret_own, struct err_detail *d)
{
    static const char *const with_value[] = { "--rounds", "--output", "--load" };
    const char *value;

    *ret_own = true;
    if (strcmp(argv[*at], "--no-pin") == 0) {
        s->pin = false;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++) {
        if (word_is(argv[*at], with_value[i], &value)) {
            if (!value && *at + 1 == argc) {
                return err_set(d, ERR_INVALID, "%s: wants a value", with_value[i]);
            }
            return own_set(s, with_value[i], value ? value : argv[++*at], d);
        }
    }
    *ret_own = false;
    return ERR_OK;
}

/* -- loads ------------------------------------------------------------------------------------ */

static err_t
load_parse(struct suite_load *load, struct words *w, struct err_detail *d)
{
    int rest;
    err_t e;

    load->options = words_join(w->at + 1, w->count - 1);
    e = load->options ? plan_parse(w->count, w->at, &load->plan, &rest, d)
                      : err_set(d, ERR_NOMEM, "no memory");
    if (!e && rest < w->count) {
        e = err_set(d, ERR_INVALID, "%s: no option", w->at[rest]);
    } else if (!e && (load->plan.place || load->plan.pid)) {
        e = err_set(d, ERR_INVALID, "compare starts its own servers: no --server, no --pid");
    } else if (!e && load->plan.output != PLAN_OUTPUT_TEXT) {
        e = err_set(d, ERR_INVALID, "compare: --output wants to be written in full");
    }
    return e;
}

/* Words in front of the first "--". */
static err_t
loads_parse(int argc, char **argv, struct suite *s, struct words *w, struct err_detail *d)
{
    int common = 1; /* words in front of the first --load */

    w->count = 1;
    for (int at = 0; at < argc; at++) {
        unsigned before = s->load_count;
        bool own;
        err_t e = own_parse(argc, argv, &at, s, &own, d);

        if (!e && s->load_count > before) {
            if (before == 0) {
                common = w->count;
            } else {
                e = load_parse(&s->loads[before - 1], w, d);
                w->count = common;
            }
        } else if (!e && !own) {
            w->at[w->count++] = argv[at];
        }
        if (e) {
            return e;
        }
    }
    if (s->load_count == 0) {
        s->loads[s->load_count++].name = "load";
    }
    return load_parse(&s->loads[s->load_count - 1], w, d);
}

err_t
suite_parse(int argc, char **argv, struct suite *ret, struct err_detail *d)
{
    struct suite s = { .rounds = 5, .pin = true };
    struct words w = { calloc((size_t)argc + 2, sizeof *w.at), 0 };
    int options = 0;
    err_t e = ERR_OK;

    while (options < argc && strcmp(argv[options], "--") != 0) {
        options++;
    }
    s.loads = calloc((size_t)argc + 1, sizeof *s.loads);
    if (!s.loads || !w.at) {
        e = err_set(d, ERR_NOMEM, "no memory");
    } else {
        w.at[0] = "compare";
    }
    e = e ? e : loads_parse(options, argv, &s, &w, d);
    e = e ? e : servers_parse(argc - options, argv + options, &s, d);
    free(w.at);
    if (e) {
        suite_free(&s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}
