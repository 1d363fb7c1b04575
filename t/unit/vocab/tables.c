#include "vocab/command.h"
#include "vocab/metrics.h"
#include "vocab/reply.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static bool
same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* A word means one command. */
Test(tables, command_words_are_unique_and_explained)
{
    for (int i = 0; i < OPS; i++) {
        for (int j = 0; j < i; j++) {
            cr_expect(not(same_text(op_word((enum op)i), op_word((enum op)j))), "%s",
                      op_word((enum op)i));
        }
        cr_expect(gt(sz, strlen(op_help((enum op)i)), 0), "%d", i);
    }
    cr_expect_str_eq(op_word(OP_META_GET), "mg");
    cr_expect(eq(ptr, (void *)(uintptr_t)op_word(OP_NOOP), NULL));
    cr_expect(eq(int, op_kind(OP_GATS), KIND_RETRIEVE));
    cr_expect(eq(int, op_kind(OP_CAS), KIND_STORE));
    cr_expect(eq(int, op_kind(OP_TOUCH), KIND_MODIFY));
    cr_expect(eq(int, op_kind(OP_META_NOOP), KIND_META));
    cr_expect(eq(int, op_kind(OP_STATS), KIND_ADMIN));
}

/* What memcached tells operators in words of their own. */
static bool
is_operators(const char *text)
{
    static const char *const word[] = { "BADCLASS ",   "BUSY ", "Error TLS",       "NOSPARE ",
                                        "NOTSTARTED ", "SAME ", "WATCHER_FAILED ",
                                        "WATCHER_TOO_MANY " };
    bool known = false;

    for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
        known |= strncmp(text, word[i], strlen(word[i])) == 0;
    }
    return known;
}

/* Clients tell errors by their first word and lines by their end: a text must not confuse them. */
Test(tables, error_texts_start_as_clients_expect)
{
    for (int i = 0; i < REPLIES; i++) {
        enum reply_code code = (enum reply_code)i;
        const char     *text = reply_text(code);
        const char     *meta = reply_meta(code);

        if (text != NULL) {
            cr_expect(eq(ptr, strpbrk(text, "\r\n"), NULL), "%s", text);
        }
        if (meta != NULL) {
            cr_expect(eq(sz, strlen(meta), 2), "%s", meta);
        }
        if (reply_is_error(code)) {
            cr_expect(ne(ptr, (void *)(uintptr_t)text, NULL), "%d", i);
            cr_expect(ne(int, reply_status(code), 0), "%s", text);
            cr_expect(strncmp(text, "ERROR", 5) == 0 || strncmp(text, "CLIENT_ERROR ", 13) == 0 ||
                          strncmp(text, "SERVER_ERROR ", 13) == 0 ||
                          strncmp(text, "MEMLIMIT_", 9) == 0 || is_operators(text),
                      "%s", text);
        }
    }
    cr_expect(not(reply_is_error(RPL_NOTHING)));
    cr_expect(reply_is_error(RPL_ERROR));
}

static struct metrics     metrics_a;
static struct metrics     metrics_b;
static struct metrics_sum metrics_now;
static struct metrics_sum metrics_base;

Test(tables, metric_names_are_unique_and_explained)
{
    for (int i = 0; i < METRICS; i++) {
        enum metric a = (enum metric)i;

        cr_expect(gt(sz, strlen(metric_help(a)), 0), "%d", i);
        for (int j = 0; j < i; j++) {
            enum metric b = (enum metric)j;

            cr_expect(not(same_text(metric_stat(a), metric_stat(b))), "%s", metric_stat(a));
            cr_expect(not(strcmp(metric_prom(a), metric_prom(b)) == 0 &&
                          strcmp(metric_labels(a), metric_labels(b)) == 0),
                      "%s", metric_prom(a));
        }
    }
}

/* Prometheus wants rows of one name in one place, of one kind, and counters called _total. */
Test(tables, metrics_of_one_name_stand_together)
{
    for (int i = 0; i < METRICS; i++) {
        enum metric a = (enum metric)i;
        const char *name = metric_prom(a);
        const char *end = strstr(name, "_total");
        bool        total = end != NULL && strcmp(end, "_total") == 0;

        cr_expect(eq(int, total, metric_kind(a) == METRIC_COUNTER), "%s", name);
        for (int j = 0; j + 1 < i; j++) {
            if (strcmp(metric_prom((enum metric)j), name) == 0) {
                cr_expect_str_eq(metric_prom((enum metric)(i - 1)), name);
            }
        }
    }
}

/* "stats reset" takes counters back to zero and leaves gauges alone. */
Test(tables, a_baseline_hides_counters_only)
{
    metric_add(&metrics_a, M_CMD_GET, 5);
    metric_add(&metrics_b, M_CMD_GET, 7);
    metric_add(&metrics_a, M_CURR_CONNS, 3);
    metric_add(&metrics_b, M_CURR_CONNS, -1);
    metrics_collect(&metrics_base, &metrics_a);
    metrics_collect(&metrics_base, &metrics_b);
    metric_add(&metrics_b, M_CMD_GET, 30);
    metrics_collect(&metrics_now, &metrics_a);
    metrics_collect(&metrics_now, &metrics_b);
    cr_expect(eq(i64, metrics_now.value[M_CMD_GET], 42));
    cr_expect(eq(i64, metrics_since(&metrics_now, &metrics_base, M_CMD_GET), 30));
    cr_expect(eq(i64, metrics_since(&metrics_now, &metrics_base, M_CURR_CONNS), 2));
}
