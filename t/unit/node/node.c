/* The node as a value: what its settings mean to the parts that it is made of. */
#include "drive.h"
#include "store/store.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

/* A node, a connection, and what was heard last as a string. */
struct talk {
    struct drive_node n;
    struct drive      d;
};

static void
talk_init(struct talk *t, const char *const *options)
{
    drive_node_init(&t->n, options);
    drive_init(&t->d, &t->n, SESSION_AUTO);
}

static void
talk_fini(struct talk *t)
{
    drive_fini(&t->d);
    drive_node_fini(&t->n);
}

static const char *
talk_ask(struct talk *t, const char *in)
{
    t->d.got.len = 0;
    drive_say(&t->d, in, strlen(in), DRIVE_ALL);
    cr_assert(buf_add(&t->d.got, "", 1));
    return t->d.got.ptr;
}

static void
set_live(struct talk *t, const char *name, const char *value)
{
    struct err_detail d = { "" };

    cr_assert(eq(int, settings_set_live(t->n.node->settings, name, value, &d), ERR_OK), "%s",
              d.text);
    node_tune(t->n.node);
}

/* A command changes a setting: the store must hear of it, or the answer OK means nothing. */
Test(node, live_settings_reach_the_store)
{
    struct talk t;

    talk_init(&t, NULL);
    talk_ask(&t, "set k 0 0 1\r\nx\r\n");
    cr_expect(eq(int, store_crawl(t.n.node->store, 2), STORE_ASKED_OK));
    (void)store_tick(t.n.node->workers[0]->ctx, 100000);
    set_live(&t, "lru_crawler", "no");
    cr_expect(eq(int, store_crawl(t.n.node->store, 2), STORE_ASKED_OFF));
    set_live(&t, "lru_crawler", "yes");
    cr_expect(ne(int, store_crawl(t.n.node->store, 2), STORE_ASKED_OFF));

    talk_ask(&t, "set short 0 30 1\r\nx\r\n");
    cr_expect(eq(ptr, strstr(talk_ask(&t, "stats items\r\n"), "number_temp"), NULL));
    set_live(&t, "temp_lru", "yes");
    set_live(&t, "temporary_ttl", "40");
    talk_ask(&t, "set short 0 30 1\r\nx\r\n");
    cr_expect(ne(ptr, strstr(talk_ask(&t, "stats items\r\n"), "number_temp 1\r\n"), NULL));
    set_live(&t, "temporary_ttl", "20");
    talk_ask(&t, "set short 0 30 1\r\nx\r\n");
    cr_expect(ne(ptr, strstr(talk_ask(&t, "stats items\r\n"), "number_temp 0\r\n"), NULL));
    talk_fini(&t);
}

/* Any of the options that are about memcached's sizes gives them all. */
Test(node, whoever_asks_for_sizes_gets_memcacheds_classes)
{
    static const struct {
        const char *option[2]; /* and NULL */
        const char *line; /* of "stats slabs" for a value of 66560 bytes */
    } row[] = {
        { { "growth_factor=1.25" }, "STAT 31:chunk_size 82792\r\n" },
        { { "chunk_size=48" }, "STAT 31:chunk_size 82792\r\n" },
        { { "slab_sizes=96-70000" }, "STAT 2:chunk_size 70000\r\n" },
        { { "slab_chunk_max=64k" }, "STAT 29:chunk_size 65536\r\n" },
        { { "slab_chunk_max=1m" }, "STAT 31:chunk_size 82792\r\n" },
    };
    static char set[70000];

    memcpy(set, "set k 0 0 66560\r\n", 17);
    memset(set + 17, 'x', 66560);
    memcpy(set + 17 + 66560, "\r\n", 3);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct talk t;

        talk_init(&t, row[i].option);
        cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, set), "STORED\r\n"));
        const char *slabs = talk_ask(&t, "stats slabs\r\n");
        cr_expect(ne(ptr, strstr(slabs, row[i].line), NULL), "%s: %s", row[i].option[0], slabs);
        talk_fini(&t);
    }
}
