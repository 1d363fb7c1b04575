#include "bench/verdict.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL    64
#define COLUMNS (2 * PROCESS_MAX)

/* In a table with a row for each server, all others are compared with this one. */
static unsigned
suite_last(const struct suite *s)
{
    return s->servers - 1;
}

static char
server_name(unsigned server)
{
    return (char)('A' + server);
}

/* "3.20 (3.10..3.35)"; "-": unknown. */
static void
spread_write(struct spread s, int decimals, char out[CELL])
{
    if (isnan(s.median)) {
        snprintf(out, CELL, "-");
    } else {
        snprintf(out, CELL, "%.*f (%.*f..%.*f)", decimals, s.median, decimals, s.min, decimals,
                 s.max);
    }
}

/* -- text ------------------------------------------------------------------------------------- */

static void
text_begin(const struct suite *s, const struct verdict_cores *where)
{
    char servers[256], load[256];

    for (unsigned i = 0; i < s->servers; i++) {
        printf("%c: %s\n", server_name(i), s->commands[i]);
    }
    printf("%u cores", cores_count(&where->all));
    if (where->pinned) {
        cores_print(&where->servers, servers, sizeof servers);
        cores_print(&where->load, load, sizeof load);
        printf(": servers on %s, the load on %s\n", servers, load);
    } else {
        printf(", which servers and load share\n");
    }
    fflush(stdout);
}

/* Columns as wide as their widest cell, to the left; the first row is the head. */
static void
text_print_cells(char cell[FIGURES + 1][COLUMNS][CELL], unsigned columns)
{
    int width[COLUMNS] = { 0 };

    for (unsigned row = 0; row <= FIGURES; row++) {
        for (unsigned i = 0; i < columns; i++) {
            int len = (int)strlen(cell[row][i]);

            width[i] = len > width[i] ? len : width[i];
        }
    }
    for (unsigned row = 0; row <= FIGURES; row++) {
        printf("%-24s", row > 0 ? figures_rows[row - 1].title : "");
        for (unsigned i = 0; i + 1 < columns; i++) {
            printf(" %-*s ", width[i], cell[row][i]);
        }
        printf(" %s\n", cell[row][columns - 1]);
    }
    fflush(stdout);
}

/* The servers and the first one's ratios to the others; below, those of each of the others. */
static void
text_print(const struct suite *s, const struct figures *f)
{
    char cell[FIGURES + 1][COLUMNS][CELL];
    unsigned columns = 0;

    for (; columns < s->servers; columns++) {
        snprintf(cell[0][columns], CELL, "%c", server_name(columns));
        for (unsigned what = 0; what < FIGURES; what++) {
            spread_write(figures_spread(f, columns, (enum figure)what),
                         figures_rows[what].decimals, cell[what + 1][columns]);
        }
    }
    for (unsigned of = 0; of < suite_last(s); of++) {
        for (unsigned by = of + 1; by < s->servers; by++, columns++) {
            snprintf(cell[0][columns], CELL, "%c/%c", server_name(of), server_name(by));
            for (unsigned what = 0; what < FIGURES; what++) {
                spread_write(figures_ratio(f, of, by, (enum figure)what), 3,
                             cell[what + 1][columns]);
            }
        }
        text_print_cells(cell, columns);
        columns = 0;
    }
}

/* -- markdown --------------------------------------------------------------------------------- */

static void
markdown_begin(void)
{
    printf("| load | server |");
    for (int what = 0; what < FIGURES; what++) {
        printf(" %s |", figures_rows[what].title);
    }
    printf(" operations/s, ratio | server CPU, ratio |\n|---|---|");
    for (int what = 0; what < FIGURES + 2; what++) {
        printf("---|");
    }
    printf("\n");
}

static void
markdown_print(const struct suite *s, const char *name, const struct figures *f)
{
    char cell[CELL];
    unsigned last = suite_last(s);

    for (unsigned i = 0; i < s->servers; i++) {
        printf("| %s | %c |", name, server_name(i));
        for (unsigned what = 0; what < FIGURES; what++) {
            spread_write(figures_spread(f, i, (enum figure)what), figures_rows[what].decimals,
                         cell);
            printf(" %s |", cell);
        }
        spread_write(figures_ratio(f, i, last, FIGURE_RATE), 3, cell);
        printf(" %s |", i < last ? cell : "1");
        spread_write(figures_ratio(f, i, last, FIGURE_COST), 3, cell);
        printf(" %s |\n", i < last ? cell : "1");
    }
}

/* -- json ------------------------------------------------------------------------------------- */

static void
json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < ' ') {
            printf("\\u%04x", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    putchar('"');
}

static void
json_number(double value)
{
    if (isfinite(value)) {
        printf("%.6g", value);
    } else {
        printf("null");
    }
}

static void
json_spread(struct spread s)
{
    printf("\"median\": ");
    json_number(s.median);
    printf(", \"min\": ");
    json_number(s.min);
    printf(", \"max\": ");
    json_number(s.max);
}

static void
json_cores(const char *name, const struct cores *c)
{
    char text[256];

    cores_print(c, text, sizeof text);
    printf("  \"%s\": \"%s\",\n", name, text);
}

static void
json_begin(const struct suite *s, const struct verdict_cores *where)
{
    printf("{\n  \"servers\": [");
    for (unsigned i = 0; i < s->servers; i++) {
        printf("%s\n    {\"name\": \"%c\", \"command\": ", i > 0 ? "," : "", server_name(i));
        json_string(s->commands[i]);
        printf("}");
    }
    printf("\n  ],\n");
    json_cores("server_cores", where->pinned ? &where->servers : &where->all);
    json_cores("load_cores", where->pinned ? &where->load : &where->all);
    printf("  \"pinned\": %s,\n  \"rounds\": %u,\n  \"loads\": [",
           where->pinned ? "true" : "false", s->rounds);
}

static void
json_print_server(const struct figures *f, unsigned server)
{
    printf("      {\"name\": \"%c\"", server_name(server));
    for (unsigned what = 0; what < FIGURES; what++) {
        printf(",\n       \"%s\": {", figures_rows[what].key);
        json_spread(figures_spread(f, server, (enum figure)what));
        printf(", \"rounds\": [");
        for (unsigned i = 0; i < f->rounds; i++) {
            printf("%s", i > 0 ? ", " : "");
            json_number(figures_of(f, server, i)[what]);
        }
        printf("]}");
    }
    printf("}");
}

static void
json_print_ratios(const struct figures *f, unsigned of, unsigned by)
{
    printf("      {\"of\": \"%c\", \"by\": \"%c\"", server_name(of), server_name(by));
    for (unsigned what = 0; what < FIGURES; what++) {
        printf(",\n       \"%s\": {", figures_rows[what].key);
        json_spread(figures_ratio(f, of, by, (enum figure)what));
        printf("}");
    }
    printf("}");
}

static void
json_print(const struct suite *s, unsigned load, const struct figures *f)
{
    unsigned last = suite_last(s);

    printf("%s\n    {\"name\": ", load > 0 ? "," : "");
    json_string(s->loads[load].name);
    printf(", \"options\": ");
    json_string(s->loads[load].options);
    printf(",\n     \"servers\": [\n");
    for (unsigned i = 0; i < s->servers; i++) {
        json_print_server(f, i);
        printf(i < last ? ",\n" : "],\n     \"ratios\": [\n");
    }
    for (unsigned of = 0; of < last; of++) {
        for (unsigned by = of + 1; by <= last; by++) {
            json_print_ratios(f, of, by);
            printf(of + 1 < last ? ",\n" : "]}");
        }
    }
}

/* -- csv -------------------------------------------------------------------------------------- */

static void
csv_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        printf(*text == '"' ? "\"%c" : "%c", *text);
    }
    putchar('"');
}

static void
csv_begin(void)
{
    printf("load,server,round");
    for (int what = 0; what < FIGURES; what++) {
        printf(",%s", figures_rows[what].key);
    }
    printf("\n");
}

/* Every round, since a spreadsheet makes its own medians. */
static void
csv_print(const struct suite *s, const char *name, const struct figures *f)
{
    for (unsigned round = 0; round < f->rounds; round++) {
        for (unsigned i = 0; i < s->servers; i++) {
            csv_string(name);
            printf(",%c,%u", server_name(i), round + 1);
            for (unsigned what = 0; what < FIGURES; what++) {
                double value = figures_of(f, i, round)[what];

                printf(isfinite(value) ? ",%.6g" : ",", value);
            }
            printf("\n");
        }
    }
}

/* -- all -------------------------------------------------------------------------------------- */

void
verdict_begin(const struct suite *s, const struct verdict_cores *where)
{
    switch (s->output) {
    case SUITE_TEXT:
        text_begin(s, where);
        break;
    case SUITE_MARKDOWN:
        markdown_begin();
        break;
    case SUITE_JSON:
        json_begin(s, where);
        break;
    case SUITE_CSV:
        csv_begin();
        break;
    }
}

void
verdict_print(const struct suite *s, unsigned load, const struct figures *f)
{
    const char *name = s->loads[load].name;

    switch (s->output) {
    case SUITE_TEXT:
        text_print(s, f);
        break;
    case SUITE_MARKDOWN:
        markdown_print(s, name, f);
        break;
    case SUITE_JSON:
        json_print(s, load, f);
        break;
    case SUITE_CSV:
        csv_print(s, name, f);
        break;
    }
    fflush(stdout);
}

void
verdict_end(const struct suite *s)
{
    if (s->output == SUITE_JSON) {
        printf("\n  ]\n}\n");
    }
}
