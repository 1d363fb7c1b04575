/* Who runs where. */
#include "bench/cores.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

/* A set from its printed form: digits, one core each. */
static struct cores
cores_make(const char *digits)
{
    struct cores c = { { false } };

    for (; *digits; digits++) {
        c.has[*digits - '0'] = true;
    }
    return c;
}

/* Load threads first, but never all; numbers that are missing are not given out. */
Test(cores, load_and_servers_share_none)
{
    static const struct {
        const char *all;
        unsigned    threads;
        const char *load, *servers;
    } row[] = {
        { "01", 1, "0", "1" },
        { "01", 4, "0", "1" },
        { "0123", 1, "0", "1-3" },
        { "0123", 2, "0-1", "2-3" },
        { "0123", 9, "0-2", "3" },
        { "257", 1, "2", "5,7" },
        { "2579", 2, "2,5", "7,9" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct cores all = cores_make(row[i].all), load, servers;
        char text[64];

        cr_expect(cores_split(&all, row[i].threads, &load, &servers), "row %zu", i);
        cores_print(&load, text, sizeof text);
        cr_expect(eq(str, text, (char *)(uintptr_t)row[i].load), "row %zu", i);
        cores_print(&servers, text, sizeof text);
        cr_expect(eq(str, text, (char *)(uintptr_t)row[i].servers), "row %zu", i);
    }
}

/* One core cannot be divided. */
Test(cores, one_core_is_shared)
{
    struct cores all = cores_make("3"), load, servers;

    cr_expect(not(cores_split(&all, 1, &load, &servers)));
}

/* A machine with holes everywhere has more to say than fits: it is cut, not written past. */
Test(cores, print_stays_within_its_room)
{
    struct cores c = { { false } };
    char text[12];

    for (unsigned i = 0; i < CORES_MAX; i += 2) {
        c.has[i] = true;
    }
    memset(text, 'x', sizeof text);
    cores_print(&c, text, 8);
    cr_expect(eq(str, text, "0,2,4,6"));
    cr_expect(eq(chr, text[8], 'x'));
    cores_print(&(struct cores){ { false } }, text, sizeof text);
    cr_expect(eq(str, text, ""));
}

/* What is asked of the kernel is what it does. */
Test(cores, staying_is_believed_by_the_kernel)
{
    struct cores all, one = { { false } }, now;
    unsigned first = 0;

    cores_allowed(&all);
    cr_assert(ge(uint, cores_count(&all), 1));
    while (!all.has[first]) {
        first++;
    }
    one.has[first] = true;
    cr_expect(cores_stay_on(&one));
    cores_allowed(&now);
    cr_expect(zero(int, memcmp(&one, &now, sizeof one)));
}
