/*
 * Where members may be found: lists, names and files become addresses, without anybody waiting.
 * Names are those of the loopback; the resolver's answers to others are not ours to test.
 */
#include "daemon/seeds.h"
#include "daemon/place.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE (10 * USEC_PER_SEC)

static _Atomic int changes;
static char folder[64];

static void
changed(void *arg)
{
    cr_assert(arg == &changes);
    atomic_fetch_add(&changes, 1);
}

static err_t
try(const char *list, struct seeds **ret, struct err_detail *d)
{
    struct seeds_config config = { .list = list, .port = 21211, .interval = 100 * USEC_PER_MSEC,
                                   .changed = changed, .arg = &changes };

    return seeds_start(&config, ret, d);
}

static struct seeds *
begin(const char *list)
{
    struct err_detail d = { "" };
    struct seeds *s = NULL;

    cr_assert(eq(int, try(list, &s, &d), ERR_OK), "%s: %s", list, d.text);
    seeds_wait(s, DEADLINE);
    return s;
}

/* All that are known, as a text. */
static char *
known(struct seeds *s)
{
    static char text[SEEDS_MAX * PLACE_TEXT_MAX];
    struct cluster_addr a[SEEDS_MAX];
    bool news;
    size_t count = seeds_get(s, a, &news);

    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char place[PLACE_TEXT_MAX];

        strcat(strcat(text, i > 0 ? " " : ""), place_print(&a[i], place));
    }
    return text;
}

/* Waits until they are these. */
static void
becomes(struct seeds *s, char *want)
{
    usec_t until = clock_now() + DEADLINE;
    const struct timespec moment = { .tv_nsec = 5000000 };

    while (strcmp(known(s), want) != 0 && clock_now() < until) {
        nanosleep(&moment, NULL);
    }
    cr_expect(eq(str, known(s), want));
}

static const char *
file_write(const char *text)
{
    static char path[96], aside[96];
    FILE *out;

    snprintf(path, sizeof path, "%s/seeds", folder);
    snprintf(aside, sizeof aside, "%s/aside", folder);
    out = fopen(aside, "w");
    cr_assert(out != NULL);
    fputs(text, out);
    cr_assert(zero(int, fclose(out)));
    cr_assert(zero(int, rename(aside, path)));
    return path;
}

static void
setup(void)
{
    strcpy(folder, "/tmp/magpie-seeds-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
}

static void
teardown(void)
{
    char path[96];

    snprintf(path, sizeof path, "%s/seeds", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

TestSuite(seeds, .init = setup, .fini = teardown, .timeout = 60);

/* What an operator may write, and what it means. */
Test(seeds, lists)
{
    static const struct { char *list, *want; } row[] = {
        { "127.0.0.1", "127.0.0.1:21211" },
        { "127.0.0.1:5", "127.0.0.1:5" },
        { "127.0.0.2:7,127.0.0.1:5", "127.0.0.1:5 127.0.0.2:7" },
        { " 127.0.0.1:5 , 127.0.0.1:5 ,", "127.0.0.1:5" },
        { "127.0.0.1:5;127.0.0.1:6", "127.0.0.1:5 127.0.0.1:6" },
        { "[::1]:5", "[::1]:5" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct seeds *s = begin(row[i].list);

        cr_expect(eq(str, known(s), row[i].want), "%s", row[i].list);
        seeds_stop(s);
    }
}

/* A mistake is said at the start, not in the log of a node that finds nobody. */
Test(seeds, mistakes)
{
    static const char *const list[] = {
        "127.0.0.1:99999", "127.0.0.1:0", ":5", "*:5", "[::1", "127.0.0.1,host:x",
    };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct err_detail d = { "" };
        struct seeds *s = NULL;

        cr_expect(eq(int, try(list[i], &s, &d), ERR_INVALID), "%s", list[i]);
        cr_expect(gt(sz, strlen(d.text), 0), "%s", list[i]);
        cr_expect(s == NULL);
    }
}

/* Who changes the file need not restart anything. */
Test(seeds, a_file_is_read_again)
{
    char list[128];
    struct seeds *s;
    int before;

    snprintf(list, sizeof list, "file:%s",
             file_write("# our nodes\n\n127.0.0.1:5\n  127.0.0.2:6 # the other\n"));
    s = begin(list);
    becomes(s, "127.0.0.1:5 127.0.0.2:6");
    before = atomic_load(&changes);
    file_write("127.0.0.3:7\n");
    becomes(s, "127.0.0.3:7");
    cr_expect(eq(int, atomic_load(&changes), before + 1));
    seeds_stop(s);
}

/* A name that cannot be resolved for a moment is no reason to forget its nodes. */
Test(seeds, failures_forget_nobody)
{
    char list[128], path[96];
    struct seeds *s;

    strcpy(path, file_write("127.0.0.1:5\n"));
    snprintf(list, sizeof list, "127.0.0.9:9,file:%s", path);
    s = begin(list);
    becomes(s, "127.0.0.1:5 127.0.0.9:9");
    cr_assert(zero(int, unlink(path)));
    seeds_refresh(s);
    const struct timespec moment = { .tv_nsec = 300000000 };

    nanosleep(&moment, NULL);
    becomes(s, "127.0.0.1:5 127.0.0.9:9");
    file_write("127.0.0.2:6\n");
    becomes(s, "127.0.0.2:6 127.0.0.9:9");
    seeds_stop(s);
}

/* Addresses do not change: they are looked at once, and the thread sleeps. */
Test(seeds, addresses_are_read_once)
{
    struct seeds *s = begin("127.0.0.1:5");
    const struct timespec moment = { .tv_nsec = 400000000 };
    struct cluster_addr a[SEEDS_MAX];
    bool news = false;

    cr_expect(eq(int, atomic_load(&changes), 1));
    cr_expect(eq(sz, seeds_get(s, a, &news), 1));
    cr_expect(news);
    seeds_refresh(s);
    nanosleep(&moment, NULL);
    cr_expect(eq(sz, seeds_get(s, a, &news), 1));
    cr_expect(not(news));
    cr_expect(eq(int, atomic_load(&changes), 1));
    seeds_stop(s);
}

/* More than a node has use for is cut, not a reason to fail. */
Test(seeds, a_long_file_is_cut)
{
    static char text[3000 * 20];
    char list[128];
    struct seeds *s;
    struct cluster_addr a[SEEDS_MAX];
    size_t len = 0;
    bool news;

    for (int i = 0; i < 600; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "127.0.%d.%d:5\n", i / 250,
                                i % 250);
    }
    snprintf(list, sizeof list, "file:%s", file_write(text));
    s = begin(list);
    cr_expect(eq(sz, seeds_get(s, a, &news), SEEDS_MAX));
    seeds_stop(s);
}

/* The end of the node waits for nobody. */
Test(seeds, stops_at_once)
{
    struct err_detail d = { "" };
    usec_t begun = clock_now();

    for (int i = 0; i < 50; i++) {
        struct seeds *s = NULL;

        cr_assert(eq(int, try("localhost:5", &s, &d), ERR_OK));
        seeds_stop(s);
    }
    cr_expect(lt(i64, clock_now() - begun, 2 * USEC_PER_SEC));
    seeds_stop(NULL);
}

/* -- place.h ----------------------------------------------------------------------------------- */

Test(place, text_and_back)
{
    static const struct { char *ip, *place; bool v4, any, loopback; } row[] = {
        { "127.0.0.1", "127.0.0.1:5", true, false, true },
        { "127.8.0.1", "127.8.0.1:5", true, false, true },
        { "0.0.0.0", "0.0.0.0:5", true, true, false },
        { "10.1.2.3", "10.1.2.3:5", true, false, false },
        { "::", "[::]:5", false, true, false },
        { "::1", "[::1]:5", false, false, true },
        { "2001:db8::1", "[2001:db8::1]:5", false, false, false },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct cluster_addr a, b;
        struct sockaddr_storage sa;
        char text[PLACE_TEXT_MAX];

        cr_assert(place_parse_ip(row[i].ip, &a), "%s", row[i].ip);
        a.port = 5;
        (void)place_print(&a, text);
        cr_expect(eq(str, text, row[i].place));
        (void)place_print_ip(&a, text);
        cr_expect(eq(str, text, row[i].ip));
        cr_expect(eq(int, place_is_v4(&a), row[i].v4), "%s", row[i].ip);
        cr_expect(eq(int, place_is_any(&a), row[i].any), "%s", row[i].ip);
        cr_expect(eq(int, place_is_loopback(&a), row[i].loopback), "%s", row[i].ip);
        cr_expect(gt(u32, place_sockaddr(&a, &sa), 0));
        cr_assert(place_addr_of((struct sockaddr *)&sa, &b));
        cr_expect(zero(int, memcmp(&a, &b, sizeof a)), "%s", row[i].ip);
    }
    cr_expect(not(place_parse_ip("localhost", NULL)));
    cr_expect(not(place_parse_ip("[::1]", NULL)));
    cr_expect(not(place_parse_ip("", NULL)));
}

/* What we are called by who is reached over the loopback. */
Test(place, towards_the_loopback)
{
    struct cluster_addr there, a;
    char text[PLACE_TEXT_MAX];

    cr_assert(place_parse_ip("127.0.0.1", &there));
    there.port = 9;
    cr_assert(place_towards(&there, &a));
    (void)place_print_ip(&a, text);
    cr_expect(eq(str, text, (char *)"127.0.0.1"));
    cr_expect(zero(u16, a.port));
}

/* A daemon moves to the root directory: the file is still the one that was named. */
Test(seeds, a_relative_file_stays_where_it_is)
{
    struct seeds *s;

    (void)file_write("127.0.0.1:5\n");
    cr_assert(zero(int, chdir(folder)));
    s = begin("file:seeds");
    cr_assert(zero(int, chdir("/")));
    cr_expect(eq(str, known(s), (char *)"127.0.0.1:5"));
    (void)file_write("127.0.0.1:6\n");
    becomes(s, "127.0.0.1:6");
    seeds_stop(s);
}
