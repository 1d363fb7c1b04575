/*
 * What operators turn while the node runs, and the lists of keys: slabs, lru, lru_crawler.
 */
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
text_of(struct drive *d)
{
    cr_assert(buf_add(&d->got, "", 1));
    d->got.len--;
    return d->got.ptr;
}

static void
say(struct drive *d, const char *in)
{
    d->got.len = 0;
    drive_say(d, in, strlen(in), DRIVE_ALL);
}

struct row {
    const char *in, *out;
};

static void
rows_check(const struct row *row, size_t count, const char *const *options)
{
    for (size_t i = 0; i < count; i++) {
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, options);
        drive_init(&d, &n, SESSION_AUTO);
        say(&d, row[i].in);
        cr_expect(eq(str, (char *)(uintptr_t)text_of(&d), (char *)(uintptr_t)row[i].out), "%s",
                  row[i].in);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

#define ROWS(table, options) rows_check(table, sizeof table / sizeof *table, options)
#define BAD "CLIENT_ERROR bad command line format\r\n"

/* As memcached answers, word by word. */
Test(tune, slabs)
{
    static const struct row row[] = {
        { "slabs\r\n", "ERROR\r\n" },
        { "slabs nonsense\r\n", "ERROR\r\n" },
        { "slabs reassign 1\r\n", "ERROR\r\n" },
        { "slabs reassign 1 2 3\r\n", "ERROR\r\n" },
        { "slabs reassign x 1\r\n", BAD },
        { "slabs reassign 1 x\r\n", BAD },
        { "slabs reassign 1 1\r\n", "SAME src and dst class are identical\r\n" },
        { "slabs reassign 1 2\r\n", "NOSPARE source class has no spare pages\r\n" },
        { "slabs reassign -1 64\r\n", "BADCLASS invalid src or dst class id\r\n" },
        { "slabs automove\r\n", "ERROR\r\n" },
        { "slabs automove 0\r\n", "OK\r\n" },
        { "slabs automove 2\r\n", "OK\r\n" },
        { "slabs automove +1\r\n", "OK\r\n" },
        { "slabs automove 1 noreply\r\n", "" },
        { "slabs automove 3\r\n", "ERROR\r\n" },
        { "slabs noreply\r\n", "ERROR\r\n" },
        { "slabs reassign 1 1 noreply\r\n", "ERROR\r\n" },
        { "slabs automove x\r\n", BAD },
        { "slabs automove ratio 0.5\r\n", "OK\r\n" },
        { "slabs automove ratio\r\n", "ERROR\r\n" },
        { "slabs automove ratio x\r\n", "ERROR\r\n" },
        { "slabs automove freeratio 0.5\r\n", "OK\r\n" },
        { "slabs automove window 3\r\n", "OK\r\n" },
        { "slabs automove window 2\r\n", "CLIENT_ERROR automove window too low or too high\r\n" },
        { "slabs automove window 1801\r\n",
          "CLIENT_ERROR automove window too low or too high\r\n" },
        { "slabs automove window x\r\n", BAD },
    };
    static const struct row off[] = {
        { "slabs reassign 1 2\r\n", "CLIENT_ERROR slab reassignment disabled\r\n" },
    };
    static const char *const options[] = { "slab_reassign=no", NULL };

    ROWS(row, NULL);
    ROWS(off, options);
}

Test(tune, lru)
{
    static const struct row row[] = {
        { "lru\r\n", "ERROR\r\n" },
        { "lru tune 10 20 .1 2\r\n", "OK\r\n" },
        { "lru tune 50 40 .1 2\r\n", "ERROR hot and warm pcts must not exceed 80\r\n" },
        { "lru tune 4294967295 2 .1 2\r\n", "ERROR hot and warm pcts must not exceed 80\r\n" },
        { "lru tune 50 30 0 2\r\n", "ERROR hot/warm age factors must be greater than 0\r\n" },
        { "lru tune 50 30 1 nan\r\n", "ERROR hot/warm age factors must be greater than 0\r\n" },
        { "lru tune 50 30\r\n", "ERROR\r\n" },
        { "lru tune 10 20 1e-1 2E0\r\n", "OK\r\n" },
        { "lru tune 0 20 1 1\r\n", "ERROR\r\n" },
        { "lru tune 10 20 1 1e300\r\n", "ERROR\r\n" },
        { "lru tune x 30 1 1\r\n", "ERROR\r\n" },
        { "lru mode flat\r\n", "OK\r\n" },
        { "lru mode segmented\r\n", "OK\r\n" },
        { "lru mode x\r\n", "ERROR\r\n" },
        { "lru mode\r\n", "ERROR\r\n" },
        { "lru temp_ttl 10\r\n", "OK\r\n" },
        { "lru temp_ttl -1\r\n", "OK\r\n" },
        { "lru temp_ttl x\r\n", "ERROR\r\n" },
        { "lru mode flat noreply\r\n", "" },
    };
    static const struct row unkept[] = {
        { "lru mode flat\r\n", "ERROR\r\n" },
        { "lru temp_ttl 10\r\n", "ERROR\r\n" },
        { "lru tune 10 20 .1 2\r\n", "OK\r\n" },
    };
    static const char *const options[] = { "lru_maintainer=no", NULL };

    ROWS(row, NULL);
    ROWS(unkept, options);
}

Test(tune, lru_crawler)
{
    static const struct row row[] = {
        { "lru_crawler\r\n", "ERROR\r\n" },
        { "lru_crawler nonsense\r\n", "ERROR\r\n" },
        { "lru_crawler sleep\r\n", "ERROR\r\n" },
        { "lru_crawler sleep 1000000\r\n", "OK\r\n" },
        { "lru_crawler sleep 1000001\r\n", "CLIENT_ERROR sleep must be one second or less\r\n" },
        { "lru_crawler sleep x\r\n", BAD },
        { "lru_crawler tocrawl 5\r\n", "OK\r\n" },
        { "lru_crawler tocrawl -5\r\n", BAD },
        { "lru_crawler enable\r\n", "ERROR failed to start lru crawler thread\r\n" },
        { "lru_crawler disable\r\nlru_crawler disable\r\nlru_crawler enable\r\n",
          "OK\r\nOK\r\nOK\r\n" },
        { "lru_crawler disable\r\nlru_crawler crawl all\r\n",
          "OK\r\nCLIENT_ERROR lru crawler disabled\r\n" },
        { "lru_crawler crawl all\r\n", "OK\r\n" },
        { "lru_crawler crawl 1,2\r\n", "OK\r\n" },
        { "lru_crawler crawl 0\r\n", "BADCLASS invalid class id\r\n" },
        { "lru_crawler crawl 64\r\n", "BADCLASS invalid class id\r\n" },
        { "lru_crawler crawl 1,,2,\r\n", "OK\r\n" },
        { "lru_crawler crawl 1,,x\r\n", "BADCLASS invalid class id\r\n" },
        { "lru_crawler crawl ,\r\n", "NOTSTARTED no items to crawl\r\n" },
        { "lru_crawler metadump ,\r\n", "NOTSTARTED no items to crawl\r\n" },
        { "lru_crawler crawl hash\r\n", "ERROR an unknown error happened\r\n" },
        { "lru_crawler metadump\r\n", "ERROR\r\n" },
        { "lru_crawler metadump 64\r\n", "BADCLASS invalid class id\r\n" },
        { "lru_crawler mgdump x\r\n", "BADCLASS invalid class id\r\n" },
        { "lru_crawler metadump all\r\n", "OK\r\nEND\r\n" },
        { "lru_crawler mgdump hash\r\n", "OK\r\nEN\r\n" },
        { "lru_crawler mgdump 63\r\nmn\r\n", "OK\r\nEN\r\nMN\r\n" },
        { "mn\r\nlru_crawler metadump all\r\n",
          "MN\r\nERROR cannot pipeline other commands before metadump\r\n" },
        { "mn\r\nlru_crawler mgdump all\r\n",
          "MN\r\nERROR cannot pipeline other commands before mgdump\r\n" },
        { "refresh_certs\r\n", "Error TLS not enabled\r\n" },
    };
    static const struct row hidden[] = {
        { "lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n" },
        { "lru_crawler mgdump all\r\n", "ERROR key dump not allowed\r\n" },
    };
    static const char *const options[] = { "dump_enabled=no", NULL };

    ROWS(row, NULL);
    ROWS(hidden, options);
}

/* What a command changed is what "stats settings" shows. */
Test(tune, settings_show_what_was_tuned)
{
    static const char *const rows[] = {
        "STAT slab_automove 0\r\n",         "STAT slab_automove_ratio 0.50\r\n",
        "STAT slab_automove_window 60\r\n", "STAT lru_crawler no\r\n",
        "STAT lru_crawler_sleep 7\r\n",     "STAT lru_crawler_tocrawl 9\r\n",
        "STAT hot_lru_pct 11\r\n",          "STAT warm_lru_pct 22\r\n",
        "STAT hot_max_factor 0.33\r\n",     "STAT warm_max_factor 4.40\r\n",
        "STAT lru_segmented no\r\n",        "STAT temp_lru yes\r\n",
        "STAT temporary_ttl 55\r\n",
    };
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say(&d, "slabs automove 0\r\nslabs automove ratio 0.5\r\nslabs automove window 60\r\n"
            "lru_crawler sleep 7\r\nlru_crawler tocrawl 9\r\nlru_crawler disable\r\n"
            "lru tune 11 22 0.33 4.4\r\nlru mode flat\r\nlru temp_ttl 55\r\n");
    say(&d, "stats settings\r\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect(ne(ptr, strstr(text_of(&d), rows[i]), NULL), "%s", rows[i]);
    }
    drive_fini(&d);
    drive_node_fini(&n);
}

/* All that is known of an item stands in its line, and what is over is left out. */
Test(tune, metadump_tells_everything)
{
    static const char *const options[] = { "cas=yes", NULL };
    struct drive_node n;
    struct drive d;
    char want[256];
    unsigned long long cas = 0;

    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    say(&d, "set old 0 -1 1\r\nx\r\nms aGUgeQ== 3 b F7 T100\r\nabc\r\n");
    n.now += 5 * USEC_PER_SEC;
    say(&d, "gets old\r\nmg aGUgeQ== b c\r\n");
    cr_assert(eq(int, sscanf(text_of(&d), "END\r\nHD c%llu", &cas), 1));
    say(&d, "lru_crawler metadump all\r\n");
    snprintf(want, sizeof want,
             "OK\r\nkey=he%%20y exp=1750000100 la=1750000005 cas=%llu fetch=yes cls=1 size=31 "
             "flags=7 \nEND\r\n", cas);
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&d), want));
    say(&d, "lru_crawler mgdump all\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&d), "OK\r\nmg aGUgeQ== b\r\nEN\r\n"));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* Every key is named once, however slowly its list is read, and the connection goes on. */
Test(tune, a_dump_names_every_key_once)
{
    enum { KEYS = 20000 };
    static unsigned char seen[KEYS];
    struct drive_node n;
    struct drive d;
    unsigned count = 0;
    const char *at;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    for (unsigned i = 0; i < KEYS; i++) {
        char line[64];

        snprintf(line, sizeof line, "set key:%u 0 0 1 noreply\r\nx\r\n", i);
        drive_say(&d, line, strlen(line), DRIVE_ALL);
    }
    d.got.len = 0;
    drive_turn(&d, "lru_crawler mgdump all\r\nmn\r\n", 28, DRIVE_ALL, 100);
    for (unsigned turn = 0;
         d.got.len < 8 || memcmp(d.got.ptr + d.got.len - 8, "EN\r\nMN\r\n", 8) != 0; turn++) {
        cr_assert(turn < 200000);
        drive_turn(&d, "", 0, 0, turn % 2 ? 3000 : 500);
    }
    text_of(&d);
    cr_expect(eq(int, strncmp(d.got.ptr, "OK\r\n", 4), 0));
    for (at = d.got.ptr; (at = strstr(at, "mg key:")) != NULL; at++) {
        unsigned long key = strtoul(at + 7, NULL, 10);

        cr_assert(key < KEYS && !seen[key]);
        seen[key] = 1;
        count++;
    }
    cr_expect(eq(u32, count, KEYS));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A key of the binary protocol that would tear a line apart is shown in a form that does not. */
Test(tune, keys_that_are_no_words_are_dumped_as_base64)
{
    static const char set[] = "\x80\x01\0\x03\x08\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0"
                              "\0\0\0\0\0\0\0\0"
                              "a\nb"
                              "x";
    struct drive_node n;
    struct drive binary, text;

    drive_node_init(&n, NULL);
    drive_init(&binary, &n, SESSION_AUTO);
    drive_init(&text, &n, SESSION_AUTO);
    drive_say(&binary, set, sizeof set - 1, DRIVE_ALL);
    say(&text, "lru_crawler mgdump all\r\nmg YQpi b v\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&text),
                 "OK\r\nmg YQpi b\r\nEN\r\nVA 1\r\nx\r\n"));
    drive_fini(&binary);
    drive_fini(&text);
    drive_node_fini(&n);
}

/* A client that goes away in the middle of a list takes nothing with it. */
Test(tune, a_reader_of_a_dump_may_vanish)
{
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    for (unsigned i = 0; i < 5000; i++) {
        char line[64];

        snprintf(line, sizeof line, "set key:%u 0 0 1 noreply\r\nx\r\n", i);
        drive_say(&d, line, strlen(line), DRIVE_ALL);
    }
    drive_turn(&d, "lru_crawler metadump all\r\n", 26, DRIVE_ALL, 100);
    cr_expect(session_is_busy(d.session));
    drive_fini(&d);
    drive_node_fini(&n);
}
