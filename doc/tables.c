/*
 * tables.c - prints the pages of doc/ that are made from the tables of src/vocab.
 *
 * "tables commands|metrics|replies|settings" prints a Markdown page, "tables man"
 * the options of magpied(1) for scdoc.  It includes the tables and links nothing.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct setting_row {
    const char *section, *name, *type, *def, *min, *max, *when;
    char        letter;
    const char *alone, *word, *stat, *help;
};

/* Sections stand between the rows they open: a row without a name, its title as help. */
static const struct setting_row setting_rows[] = {
#define SECTION(name, title) \
    { #name, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, title },
#define SETTING(section, name, type, def, min, max, when, letter, alone, word, unit, stat, help) \
    { #section, #name, #type, def, min, max, #when, letter, alone, word, stat, help },
#include "vocab/settings.def"
};

static const struct {
    const char *id, *word, *kind, *help;
} command_rows[] = {
#define COMMAND(id, word, kind, help) { #id, word, #kind, help },
#include "vocab/commands.def"
};

static const struct {
    const char *id, *kind, *stat, *prom, *labels, *help;
} metric_rows[] = {
#define METRIC(id, kind, stat, prom, labels, help) { #id, #kind, stat, prom, labels, help },
#include "vocab/metrics.def"
};

static const struct {
    const char *id, *text, *meta;
    unsigned    status;
} reply_rows[] = {
#define REPLY(id, text, meta, status) { #id, text, meta, status },
#include "vocab/replies.def"
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void
cell_print(const char *text, bool code)
{
    const char *quote = code && text && *text ? "`" : "";

    printf(" %s", quote);
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '|') {
            putchar('\\');
        }
        putchar(*c);
    }
    printf("%s |", quote);
}

/* The head of a page; columns are separated by "|". */
static void
page_open(const char *title, const char *about)
{
    printf("# %s\n\n%s Made by `make docs`.\n", title, about);
}

static void
table_open(const char *columns)
{
    printf("\n| ");
    for (const char *c = columns; *c; c++) {
        printf(*c == '|' ? " | " : "%c", *c);
    }
    printf(" |\n|---|");
    for (const char *c = columns; *c; c++) {
        if (*c == '|') {
            printf("---|");
        }
    }
    putchar('\n');
}

static void
page_commands(void)
{
    page_open("Commands", "Every command a client can give, from `src/vocab/commands.def`.");
    table_open("command|word in text|kind|what it does");
    for (size_t i = 0; i < COUNT_OF(command_rows); i++) {
        putchar('|');
        cell_print(command_rows[i].id, true);
        cell_print(command_rows[i].word, true);
        cell_print(command_rows[i].kind, false);
        cell_print(command_rows[i].help, false);
        putchar('\n');
    }
}

static void
page_metrics(void)
{
    page_open("Metrics", "Everything a node counts, from `src/vocab/metrics.def`: the key in "
                         "`stats`, and the Prometheus name.");
    table_open("stats|Prometheus|kind|what it counts");
    for (size_t i = 0; i < COUNT_OF(metric_rows); i++) {
        char name[256];

        snprintf(name, sizeof name, *metric_rows[i].labels ? "magpie_%s{%s}" : "magpie_%s%s",
                 metric_rows[i].prom, metric_rows[i].labels);
        putchar('|');
        cell_print(metric_rows[i].stat, true);
        cell_print(name, true);
        cell_print(strcmp(metric_rows[i].kind, "GAUGE") == 0 ? "gauge" : "counter", false);
        cell_print(metric_rows[i].help, false);
        putchar('\n');
    }
}

static void
page_replies(void)
{
    page_open("Replies", "Every answer a command can get, from `src/vocab/replies.def`. An empty "
                         "cell is an answer that is put together or left out.");
    table_open("reply|text|meta|binary status");
    for (size_t i = 0; i < COUNT_OF(reply_rows); i++) {
        printf("|");
        cell_print(reply_rows[i].id, true);
        cell_print(reply_rows[i].text, true);
        cell_print(reply_rows[i].meta, true);
        printf(" `0x%02x` |\n", reply_rows[i].status);
    }
}

/* "-m", "-o word", with what makes a letter that takes no argument. */
static void
setting_print_memcached(const struct setting_row *row, const char *quote)
{
    const char *between = "";

    if (row->letter) {
        printf("%s-%c%s", quote, row->letter, quote);
        if (row->alone) {
            printf(" (%s)", row->alone);
        }
        between = ", ";
    }
    if (row->word) {
        printf("%s%s-o %s%s", between, quote, row->word, quote);
    }
}

static void
setting_print_markdown(const struct setting_row *row)
{
    char range[128] = "";

    if (strcmp(row->type, "CHOICE") == 0) {
        snprintf(range, sizeof range, "%s", row->min);
    } else if (row->min || row->max) {
        snprintf(range, sizeof range, "%s..%s", row->min ? row->min : "", row->max ? row->max : "");
    }
    printf("|");
    cell_print(row->name, true);
    printf(" ");
    setting_print_memcached(row, "`");
    printf(" |");
    cell_print(row->type, false);
    cell_print(row->def, true);
    cell_print(range, false);
    cell_print(strcmp(row->when, "LIVE") == 0 ? "live" : "start", false);
    cell_print(row->stat, true);
    cell_print(row->help, false);
    putchar('\n');
}

static void
page_settings(void)
{
    page_open("Settings",
              "Everything a node can be told, from `src/vocab/settings.def`. A setting `x_y` is "
              "`--x-y VALUE` on the command line, `MAGPIE_X_Y` in the environment and "
              "`x_y = VALUE` in the file; memcached's own letters and words work as well. "
              "Arguments win over the environment, the environment over the file. "
              "What says \"live\" may change while the node runs.");
    for (size_t i = 0; i < COUNT_OF(setting_rows); i++) {
        if (setting_rows[i].name) {
            setting_print_markdown(&setting_rows[i]);
        } else {
            printf("\n## %s\n", setting_rows[i].help);
            table_open("setting|memcached's|type|default|range|changes|stats settings|meaning");
        }
    }
}

/* scdoc takes "_" and "*" as markup, and "<" and "." at some places; a backslash saves them. */
static void
scdoc_print(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (strchr("_*\\<>#`~[].", *c)) {
            putchar('\\');
        }
        putchar(*c);
    }
}

static void
name_print_dashed(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (*c == '_') {
            putchar('-');
        } else {
            putchar(*c);
        }
    }
}

static void
page_man(void)
{
    for (size_t i = 0; i < COUNT_OF(setting_rows); i++) {
        const struct setting_row *row = &setting_rows[i];

        if (!row->name) {
            printf("## %s\n\n", row->help);
            continue;
        }
        printf("*--");
        name_print_dashed(row->name);
        printf("* _%s_", row->type);
        if (row->letter || row->word) {
            printf("; memcached's ");
            setting_print_memcached(row, "*");
        }
        printf("\n\t");
        scdoc_print(row->help);
        if (row->def && *row->def) {
            printf(" Default: ");
            scdoc_print(row->def);
            printf("\\.");
        }
        printf("\n\n");
    }
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } page[] = {
        { "commands", page_commands }, { "metrics", page_metrics }, { "replies", page_replies },
        { "settings", page_settings }, { "man", page_man },
    };

    for (size_t i = 0; i < COUNT_OF(page); i++) {
        if (argc == 2 && strcmp(argv[1], page[i].name) == 0) {
            page[i].print();
            return fflush(stdout) == 0 ? 0 : 1;
        }
    }
    fprintf(stderr, "usage: tables commands|metrics|replies|settings|man\n");
    return 2;
}
