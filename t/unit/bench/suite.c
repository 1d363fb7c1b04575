/* compare's command line. */
#include "bench/suite.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define WORDS 32

/* Cuts a line at its blanks; "_" in a word is a blank. */
static int
words_cut(char *line, char **words)
{
    int count = 0;

    for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
        words[count++] = word;
        for (; *word; word++) {
            *word = *word == '_' ? ' ' : *word;
        }
    }
    return count;
}

static err_t
line_parse(char *line, struct suite *s, struct err_detail *d)
{
    char *words[WORDS];

    return suite_parse(words_cut(line, words), words, s, d);
}

/* Without --load there is one, of all options; a server may be one word or several. */
Test(suite, one_load)
{
    char line[] = "--depth 8 --rounds=7 --multi 3 --no-pin -- a_-t_1 -- b -t 2";
    struct suite s;

    cr_assert(zero(int, (int)line_parse(line, &s, NULL)));
    cr_expect(eq(uint, s.servers, 2));
    cr_expect(eq(str, s.commands[0], "a -t 1"));
    cr_expect(eq(str, s.commands[1], "b -t 2"));
    cr_expect(eq(uint, s.rounds, 7));
    cr_expect(not(s.pin));
    cr_assert(eq(uint, s.load_count, 1));
    cr_expect(eq(str, s.loads[0].options, "--depth 8 --multi 3"));
    cr_expect(eq(uint, s.loads[0].plan.depth, 8));
    cr_expect(eq(uint, s.loads[0].plan.multi, 3));
    suite_free(&s);
}

/* What stands in front of the first --load holds for all; a load may say otherwise for itself. */
Test(suite, options_of_all_and_of_one)
{
    char line[] = "--depth 8 --load first_load --multi 3 --output csv --load second --depth 2 "
                  "--load third -- a -- b -- c";
    struct suite s;

    cr_assert(zero(int, (int)line_parse(line, &s, NULL)));
    cr_expect(eq(uint, s.servers, 3));
    cr_expect(eq(int, (int)s.output, SUITE_CSV));
    cr_expect(s.pin);
    cr_assert(eq(uint, s.load_count, 3));
    cr_expect(eq(str, (char *)(uintptr_t)s.loads[0].name, "first load"));
    cr_expect(eq(str, (char *)(uintptr_t)s.loads[1].name, "second"));
    cr_expect(eq(uint, s.loads[0].plan.depth, 8));
    cr_expect(eq(uint, s.loads[0].plan.multi, 3));
    cr_expect(eq(uint, s.loads[1].plan.depth, 2));
    cr_expect(eq(uint, s.loads[1].plan.multi, 1), "an option of the load before");
    cr_expect(eq(uint, s.loads[2].plan.depth, 8), "an option of the load before");
    cr_expect(eq(str, s.loads[1].options, "--depth 8 --depth 2"));
    suite_free(&s);
}

/* The complaint names what is wrong. */
Test(suite, bad_lines)
{
    static const struct {
        const char *line, *want;
    } row[] = {
        { "", "at least two commands" },
        { "--depth 3", "at least two commands" },
        { "-- a", "at least two commands" },
        { "-- a --", "no command behind --" },
        { "-- -- a -- b", "no command behind --" },
        { "--rounds", "--rounds: wants a value" },
        { "--rounds -- a -- b", "--rounds: wants a value" },
        { "--rounds 0 -- a -- b", "--rounds 0: want 1..1000" },
        { "--rounds=x -- a -- b", "--rounds x: want 1..1000" },
        { "--output xml -- a -- b", "--output xml: want text" },
        { "--load", "--load: wants a value" },
        { "--nosuch -- a -- b", "--nosuch" },
        { "--load a --nosuch --load b -- a -- b", "--nosuch" },
        { "--outp json -- a -- b", "in full" },
        { "--load a --gets 1 --load b --mix get=1 --gets 2 -- a -- b", "do not go together" },
        { "--depth x -- a -- b", "--depth x" },
        { "word -- a -- b", "word" },
        { "--server here -- a -- b", "no --server" },
        { "--pid 1 -- a -- b", "no --server" },
        { "--load a --pid 1 --load b -- a -- b", "no --server" },
        { "-- a -- b -- c -- d -- e -- f -- g -- h -- i -- j -- k -- l -- m -- n -- o -- p -- q",
          "more than 16" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char line[200];
        char *words[3 * WORDS];
        struct suite s;
        struct err_detail d = { "" };

        strcpy(line, row[i].line);
        cr_expect(ne(int, (int)suite_parse(words_cut(line, words), words, &s, &d), 0), "%s",
                  row[i].line);
        cr_expect(strstr(d.text, row[i].want) != NULL, "%s: %s", row[i].line, d.text);
    }
}
