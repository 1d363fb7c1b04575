/*
 * Large values whose memory is taken as they come in: those that stall, and those that find none.
 */
#include "drive.h"
#include "store/store.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 900000u /* bytes: several pieces here, and for memcached, too */

static const char text_out[] = "SERVER_ERROR Out of memory during read\r\n";

static const char *
text_of(struct drive *d)
{
    cr_assert(buf_add(&d->got, "", 1));
    d->got.len--;
    return d->got.ptr;
}

/* Says it from the start in reads of at most cut bytes; what is heard is all of that. */
static const char *
ask_cut(struct drive *d, const char *in, size_t len, size_t cut)
{
    d->got.len = 0;
    drive_say(d, in, len, cut);
    return text_of(d);
}

static const char *
ask(struct drive *d, const char *in)
{
    return ask_cut(d, in, strlen(in), DRIVE_ALL);
}

/* Room for a value of n bytes, all of them 'x'. */
static void
value_add(struct buf *b, size_t n)
{
    cr_assert(buf_reserve(b, n));
    memset(b->ptr + b->len, 'x', n);
    b->len += n;
}

static const char *
store_value(struct drive *d, const char *line, size_t n, const char *tail, size_t cut)
{
    struct buf in = { 0 };
    const char *heard;

    cr_assert(buf_add(&in, line, strlen(line)));
    value_add(&in, n);
    cr_assert(buf_add(&in, tail, strlen(tail)));
    heard = ask_cut(d, in.ptr, in.len, cut);
    buf_free(&in);
    return heard;
}

static size_t
pages_of(struct drive_node *n)
{
    struct store_stats s;

    store_get_stats(n->node->store, &s);
    return s.pages_bytes;
}

/* Announcing is cheap: whoever only announces may not cost others what they have. */
Test(starved, stalled_announcements_take_little)
{
    struct drive_node n;
    struct drive d, other[100];
    char line[64];
    size_t before;

    drive_node_init(&n, (const char *const[]){ "memory_limit=64m", NULL });
    drive_init(&d, &n, SESSION_AUTO);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "set k%d 0 0 5\r\nvalue\r\n", i);
        cr_assert(eq(str, (char *)(uintptr_t)ask(&d, line), "STORED\r\n"));
    }
    before = pages_of(&n);
    for (int i = 0; i < 100; i++) {
        drive_init(&other[i], &n, SESSION_AUTO);
        (void)ask(&other[i], "set big 0 0 1000000\r\n");
    }
    cr_expect(le(sz, pages_of(&n) - before, 65536), "100 heads");
    for (int i = 0; i < 100; i++) {
        (void)ask(&other[i], "some bytes");
        cr_expect(session_is_busy(other[i].session));
    }
    cr_expect(le(sz, pages_of(&n) - before, 101 * 65536), "and a piece each");
    cr_expect(zero(i64, drive_metric(&n, M_EVICTIONS)));
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "add k%d 0 0 1\r\nv\r\n", i);
        cr_assert(eq(str, (char *)(uintptr_t)ask(&d, line), "NOT_STORED\r\n"), "%d", i);
    }
    for (int i = 0; i < 100; i++) {
        drive_fini(&other[i]);
    }
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A full node that refuses: k is there, and no memory for anything large. */
static void
full_init(struct drive_node *n, struct drive *d, enum session_accepts accepts)
{
    struct drive filler;
    char line[64];
    int i = 0;

    drive_node_init(n, (const char *const[]){ "memory_limit=4m", "evict=no", NULL });
    drive_init(d, n, accepts);
    drive_init(&filler, n, SESSION_TEXT);
    cr_assert(eq(str, (char *)(uintptr_t)ask(&filler, "set k 0 0 3\r\nold\r\n"), "STORED\r\n"));
    do {
        snprintf(line, sizeof line, "set fill%d 0 0 200000\r\n", i++);
    } while (strcmp(store_value(&filler, line, 200000, "\r\n", DRIVE_ALL), "STORED\r\n") == 0);
    cr_assert(gt(int, i, 10));
    drive_fini(&filler);
}

static const struct {
    const char *line; /* of LARGE bytes */
    bool says, clears;
} row[] = {
    { "set k 0 0 900000\r\n", true, true },
    { "set k 0 0 900000 noreply\r\n", false, true },
    { "add k 0 0 900000\r\n", true, false },
    { "replace k 0 0 900000\r\n", true, false },
    { "append k 0 0 900000\r\n", true, false },
    { "cas k 0 0 900000 1\r\n", true, false },
    { "ms k 900000\r\n", true, true },
    { "ms k 900000 ME\r\n", true, true },
    { "ms k 900000 MA\r\n", true, true },
};

/* As memcached does: told, swallowed, and no old value where a new one was meant to be. */
Test(starved, out_of_memory_during_read_answers_and_swallows)
{
    static const size_t cuts[] = { 700, 5000, 70000, DRIVE_ALL };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            struct drive_node n;
            struct drive d;
            struct buf out = { 0 };
            int64_t failed;
            size_t pages;

            full_init(&n, &d, SESSION_AUTO);
            failed = drive_metric(&n, M_NO_MEMORY);
            pages = pages_of(&n);
            cr_assert(buf_printf(&out, "%s%sEND\r\nMN\r\n", row[i].says ? text_out : "",
                                 row[i].clears ? "" : "VALUE k 0 3\r\nold\r\n"));
            cr_expect(eq(str, (char *)(uintptr_t)store_value(&d, row[i].line, LARGE,
                                                           "\r\nget k\r\nmn\r\n", cuts[k]),
                         out.ptr),
                      "%s in reads of %zu", row[i].line, cuts[k]);
            cr_expect(eq(i64, drive_metric(&n, M_NO_MEMORY), failed + 1), "%s", row[i].line);
            cr_expect(eq(sz, pages_of(&n), pages), "%s", row[i].line);
            buf_free(&out);
            for (int f = 0; f < 6; f++) { /* what it had is free again */
                char line[64];

                snprintf(line, sizeof line, "delete fill%d\r\n", f);
                cr_assert(eq(str, (char *)(uintptr_t)ask(&d, line), "DELETED\r\n"));
            }
            cr_expect(eq(str, (char *)(uintptr_t)store_value(&d, "set n 0 0 900000\r\n", LARGE,
                                                           "\r\n", cuts[k]),
                         "STORED\r\n"),
                      "%s", row[i].line);
            drive_fini(&d);
            drive_node_fini(&n);
        }
    }
}

/* What memcached would have in one chunk it refuses before it reads; clients know that text. */
Test(starved, a_value_of_one_chunk_of_memcacheds_is_refused_in_its_words)
{
    struct drive_node n;
    struct drive d;

    full_init(&n, &d, SESSION_AUTO);
    cr_expect(eq(str, (char *)(uintptr_t)store_value(&d, "set k 0 0 300000\r\n", 300000,
                                                   "\r\nget k\r\n", 5000),
                 "SERVER_ERROR out of memory storing object\r\nEND\r\n"));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* In binary it is status 0x82, of quiet commands as well. */
Test(starved, binary_hears_of_it_too)
{
    static const unsigned char opcode[] = { 0x01, 0x11, 0x02, 0x0e }; /* set setq add append */

    for (size_t i = 0; i < sizeof opcode; i++) {
        size_t extras = opcode[i] == 0x0e ? 0 : 8, body = extras + 1 + LARGE;
        char head[24 + 8 + 1] = { 0 }, get[25] = { 0 };
        struct buf in = { 0 };
        struct drive_node n;
        struct drive d;
        const char *p;

        full_init(&n, &d, SESSION_AUTO);
        head[0] = get[0] = (char)0x80;
        head[1] = (char)opcode[i];
        head[3] = get[3] = 1;
        head[4] = (char)extras;
        for (int k = 0; k < 4; k++) {
            head[8 + k] = (char)(body >> (24 - 8 * k));
        }
        get[11] = 1;
        head[24 + extras] = get[24] = 'k';
        cr_assert(buf_add(&in, head, 25 + extras));
        value_add(&in, LARGE);
        cr_assert(buf_add(&in, get, sizeof get));
        p = ask_cut(&d, in.ptr, in.len, 30000);
        cr_assert(gt(sz, d.got.len, 48), "two answers");
        cr_expect(eq(uint, (unsigned char)p[1], opcode[i]));
        cr_expect(zero(uint, (unsigned char)p[6]));
        cr_expect(eq(uint, (unsigned char)p[7], 0x82));
        p += 24 + (unsigned char)p[11];
        cr_expect(eq(uint, (unsigned char)p[7], i < 2 ? 1 : 0), "%zu: the old value", i);
        buf_free(&in);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

/* Who watches is told of the value that did not fit. */
Test(starved, watchers_see_it)
{
    struct drive_node n;
    struct drive d, watcher;

    full_init(&n, &d, SESSION_AUTO);
    drive_init(&watcher, &n, SESSION_AUTO);
    cr_assert(eq(str, (char *)(uintptr_t)ask(&watcher, "watch mutations\r\n"), "OK\r\n"));
    (void)store_value(&d, "set k 0 0 900000\r\n", LARGE, "\r\n", 30000);
    watcher.got.len = 0;
    drive_turn(&watcher, "", 0, 0, DRIVE_ALL);
    cr_expect(ne(ptr,
                 strstr(text_of(&watcher), "type=item_store key=k status=no_memory cmd=set ttl=0 "
                                           "clsid=0 cfd=-1 size=900000\n"),
                 NULL),
              "%s", watcher.got.ptr);
    drive_fini(&watcher);
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A client may leave in the middle of what is swallowed, or of the announcement. */
Test(starved, a_connection_may_end_anywhere)
{
    for (size_t sent = 0; sent < 400000; sent += 37000) {
        struct drive_node n;
        struct drive d;

        full_init(&n, &d, SESSION_AUTO);
        (void)store_value(&d, "add k 0 0 900000\r\n", sent, "", 20000);
        drive_fini(&d);
        drive_init(&d, &n, SESSION_AUTO);
        cr_expect(eq(str, (char *)(uintptr_t)ask(&d, "get k\r\n"),
                     "VALUE k 0 3\r\nold\r\nEND\r\n"));
        drive_fini(&d);
        drive_node_fini(&n);
    }
}
