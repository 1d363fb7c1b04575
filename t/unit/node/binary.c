/*
 * Commands in the binary protocol: statuses, the cas in requests and answers, creation of counters.
 */
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

enum { GET = 0x00, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK,
       APPEND = 0x0e, PREPEND, STAT, SETQ, TOUCH = 0x1c, GAT };

struct talk {
    struct drive_node n;
    struct drive      d;
};

/* An answer; body is lent until the next request. */
struct answer {
    unsigned     status;
    uint64_t     cas;
    unsigned     extra_len, key_len;
    struct slice body;
};

static void
talk_init(struct talk *t, const char *const *options)
{
    drive_node_init(&t->n, options);
    drive_init(&t->d, &t->n, SESSION_BINARY);
}

static void
talk_fini(struct talk *t)
{
    drive_fini(&t->d);
    drive_node_fini(&t->n);
}

static void
put(char *at, unsigned bytes, uint64_t value)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        at[i] = (char)value;
    }
}

static uint64_t
get(const char *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

static void
talk_send(struct talk *t, unsigned opcode, uint64_t cas, struct slice extras, const char *key,
          const char *value)
{
    char packet[512] = { 0 };
    size_t key_len = strlen(key), value_len = strlen(value);

    put(packet, 1, 0x80);
    put(packet + 1, 1, opcode);
    put(packet + 2, 2, key_len);
    put(packet + 4, 1, extras.len);
    put(packet + 8, 4, extras.len + key_len + value_len);
    put(packet + 16, 8, cas);
    memcpy(packet + 24, extras.ptr, extras.len);
    memcpy(packet + 24 + extras.len, key, key_len);
    memcpy(packet + 24 + extras.len + key_len, value, value_len);
    t->d.got.len = 0;
    drive_say(&t->d, packet, 24 + extras.len + key_len + value_len, DRIVE_ALL);
}

/* The answer at an offset of what was heard. */
static struct answer
answer_at(struct talk *t, size_t at)
{
    const char *p = t->d.got.ptr + at;
    struct answer a;

    cr_assert(ge(sz, t->d.got.len, at + 24), "an answer");
    cr_expect(eq(uint, (unsigned char)p[0], 0x81));
    a.key_len = (unsigned)get(p + 2, 2);
    a.extra_len = (unsigned)get(p + 4, 1);
    a.status = (unsigned)get(p + 6, 2);
    a.cas = get(p + 16, 8);
    a.body = slice_of(p + 24, (size_t)get(p + 8, 4));
    cr_assert(ge(sz, t->d.got.len, at + 24 + a.body.len));
    return a;
}

static struct answer
ask(struct talk *t, unsigned opcode, uint64_t cas, const char *key, const char *value)
{
    static const char zero[8];
    struct slice extras = { zero, opcode >= SET && opcode <= REPLACE ? 8 : 0 };

    talk_send(t, opcode, cas, extras, key, value);
    return answer_at(t, 0);
}

static struct answer
ask_count(struct talk *t, unsigned opcode, uint64_t delta, uint64_t initial, uint32_t expiry)
{
    char extras[20];

    put(extras, 8, delta);
    put(extras + 8, 8, initial);
    put(extras + 16, 4, expiry);
    talk_send(t, opcode, 0, slice_of(extras, sizeof extras), "n", "");
    return answer_at(t, 0);
}

static void
expect_status(struct answer a, unsigned status, const char *why)
{
    cr_expect(eq(uint, a.status, status), "%s", why);
}

/* The binary protocol tells apart what text calls NOT_STORED. */
Test(binary, storing)
{
    struct talk t;
    struct answer a;

    talk_init(&t, NULL);
    expect_status(ask(&t, REPLACE, 0, "k", "v"), 0x01, "replace on a miss");
    expect_status(ask(&t, APPEND, 0, "k", "v"), 0x05, "append on a miss");
    expect_status(ask(&t, PREPEND, 0, "k", "v"), 0x05, "prepend on a miss");
    expect_status(ask(&t, SET, 9, "k", "v"), 0x01, "set with a cas on a miss");
    expect_status(ask(&t, ADD, 0, "k", "v"), 0x00, "add");
    expect_status(ask(&t, ADD, 0, "k", "w"), 0x02, "add again");
    expect_status(ask(&t, REPLACE, 0, "k", "w"), 0x00, "replace");
    expect_status(ask(&t, APPEND, 0, "k", "2"), 0x00, "append");
    expect_status(ask(&t, PREPEND, 0, "k", "1"), 0x00, "prepend");
    a = ask(&t, GET, 0, "k", "");
    cr_expect(eq(uint, a.status, 0));
    cr_expect(eq(uint, a.extra_len, 4));
    cr_expect(slice_eq(slice_from(a.body, 4), SLICE("1w2")));
    expect_status(ask(&t, GET, 0, "x", ""), 0x01, "get on a miss");
    talk_fini(&t);
}

Test(binary, cas_goes_with_every_change)
{
    struct talk t;
    struct answer a, b;

    talk_init(&t, NULL);
    a = ask(&t, SET, 0, "k", "v");
    cr_expect(ne(u64, a.cas, 0));
    b = ask(&t, GET, 0, "k", "");
    cr_expect(eq(u64, b.cas, a.cas));
    expect_status(ask(&t, SET, a.cas + 1, "k", "v"), 0x02, "set");
    expect_status(ask(&t, REPLACE, a.cas + 1, "k", "v"), 0x02, "replace");
    expect_status(ask(&t, APPEND, a.cas + 1, "k", "v"), 0x02, "append");
    expect_status(ask(&t, DELETE, a.cas + 1, "k", ""), 0x02, "delete");
    b = ask(&t, APPEND, a.cas, "k", "w");
    cr_expect(eq(uint, b.status, 0));
    cr_expect(ne(u64, b.cas, a.cas));
    expect_status(ask(&t, SET, a.cas, "k", "v"), 0x02, "the old one no longer matches");
    a = ask(&t, SET, b.cas, "k", "v");
    cr_expect(eq(uint, a.status, 0));
    b = ask(&t, ADD, a.cas, "k", "w");
    cr_expect(eq(uint, b.status, 0), "an add that carries a cas is a cas");
    expect_status(ask(&t, DELETE, b.cas, "k", ""), 0x00, "delete");
    expect_status(ask(&t, DELETE, 0, "k", ""), 0x01, "delete on a miss");
    cr_expect(eq(i64, drive_metric(&t.n, M_DELETE_HITS), 1));
    talk_fini(&t);
}

Test(binary, counters)
{
    struct talk t;
    struct answer a;

    talk_init(&t, NULL);
    expect_status(ask_count(&t, INCR, 1, 10, UINT32_MAX), 0x01, "that time means: do not create");
    a = ask_count(&t, INCR, 1, 10, 100);
    cr_expect(eq(u64, get(a.body.ptr, 8), 10), "the delta is not applied");
    cr_expect(ne(u64, a.cas, 0));
    a = ask_count(&t, INCR, 5, 10, 0);
    cr_expect(eq(u64, get(a.body.ptr, 8), 15));
    a = ask_count(&t, DECR, 20, 10, UINT32_MAX);
    cr_expect(eq(u64, get(a.body.ptr, 8), 0));
    t.n.now += 100 * USEC_PER_SEC;
    expect_status(ask_count(&t, INCR, 1, 10, UINT32_MAX), 0x01, "it lived as long as it was told");
    ask(&t, SET, 0, "n", "word");
    expect_status(ask_count(&t, INCR, 1, 10, 0), 0x06, "not a number");
    cr_expect(eq(i64, drive_metric(&t.n, M_INCR_HITS), 1));
    cr_expect(eq(i64, drive_metric(&t.n, M_INCR_MISSES), 2), "creating is no miss");
    talk_fini(&t);
}

Test(binary, touch_gat_and_flush)
{
    static const char soon[4] = { 0, 0, 0, 10 };
    struct talk t;
    struct answer a;

    talk_init(&t, NULL);
    talk_send(&t, TOUCH, 0, slice_of(soon, 4), "k", "");
    expect_status(answer_at(&t, 0), 0x01, "touch on a miss");
    ask(&t, SET, 0, "k", "v");
    talk_send(&t, TOUCH, 0, slice_of(soon, 4), "k", "");
    a = answer_at(&t, 0);
    cr_expect(eq(uint, a.status, 0));
    cr_expect(eq(sz, a.body.len, 4), "client flags, but no value");
    t.n.now += 9 * USEC_PER_SEC;
    talk_send(&t, GAT, 0, slice_of(soon, 4), "k", "");
    a = answer_at(&t, 0);
    cr_expect(slice_eq(slice_from(a.body, 4), SLICE("v")));
    t.n.now += 9 * USEC_PER_SEC;
    expect_status(ask(&t, GET, 0, "k", ""), 0x00, "gat was a touch");
    talk_send(&t, FLUSH, 0, slice_of(soon, 4), "", "");
    expect_status(ask(&t, GET, 0, "k", ""), 0x00, "not yet");
    expect_status(ask(&t, FLUSH, 0, "", ""), 0x00, "flush");
    expect_status(ask(&t, GET, 0, "k", ""), 0x01, "now");
    talk_fini(&t);
}

Test(binary, refusals)
{
    struct talk t;

    talk_init(&t, (const char *const[]){ "flush_enabled=no", "item_size_max=1k",
                                         "memory_limit=8m", NULL });
    expect_status(ask(&t, FLUSH, 0, "", ""), 0x20, "flush is off");
    expect_status(ask(&t, 0x20, 0, "", ""), 0x81, "no SASL here");
    expect_status(ask(&t, 0x1b, 0, "", ""), 0x81, "nobody knows verbosity");
    expect_status(ask(&t, NOOP, 0, "", ""), 0x00, "noop");
    talk_fini(&t);
}

/* A node that must not be used without a password, but has none to compare with. */
Test(binary, sasl_lets_nobody_in)
{
    struct talk t;

    talk_init(&t, (const char *const[]){ "sasl=yes", NULL });
    expect_status(ask(&t, 0x21, 0, "PLAIN", "x"), 0x20, "auth");
    cr_expect(eq(i64, drive_metric(&t.n, M_AUTH_CMDS), 1));
    cr_expect(eq(i64, drive_metric(&t.n, M_AUTH_ERRORS), 1));
    talk_fini(&t);
}

/* Packets of a list up to the empty one: how many, and whether one has this name and value. */
static unsigned
list_count(struct talk *t, const char *name, const char *value, bool *found)
{
    size_t at = 0;
    unsigned count = 0;

    for (*found = false;; count++) {
        struct answer a = answer_at(t, at);
        struct slice key = slice_of(a.body.ptr, a.key_len);

        cr_assert(eq(uint, a.status, 0));
        at += 24 + a.body.len;
        if (a.body.len == 0) {
            break;
        }
        *found = *found || (slice_is(key, name) && slice_is(slice_from(a.body, a.key_len), value));
    }
    cr_expect(eq(sz, at, t->d.got.len), "nothing behind the end");
    return count;
}

Test(binary, stat)
{
    struct talk t;
    bool found;

    talk_init(&t, NULL);
    ask(&t, SET, 0, "a:k", "v");
    ask(&t, STAT, 0, "", "");
    cr_expect(eq(uint, list_count(&t, "cmd_set", "1", &found), 93));
    cr_expect(found);
    ask(&t, STAT, 0, "settings", "");
    list_count(&t, "maxconns", "1024", &found);
    cr_expect(found);
    ask(&t, STAT, 0, "items", "");
    cr_expect(gt(uint, list_count(&t, "", "", &found), 20));
    ask(&t, STAT, 0, "sizes", "");
    cr_expect(eq(uint, list_count(&t, "sizes_status", "disabled", &found), 1));
    cr_expect(found);
    expect_status(ask(&t, STAT, 0, "conns", ""), 0x01, "text only");
    expect_status(ask(&t, STAT, 0, "cachedump 1 1", ""), 0x01, "text only");
    expect_status(ask(&t, STAT, 0, "nonsense", ""), 0x01, "unknown");
    ask(&t, STAT, 0, "detail on", "");
    cr_expect(eq(uint, list_count(&t, "", "", &found), 0));
    ask(&t, GET, 0, "a:k", "");
    talk_send(&t, TOUCH, 0, slice_of("\0\0\0", 4), "a:k", "");
    talk_send(&t, TOUCH, 0, slice_of("\0\0\0", 4), "a:none", "");
    ask(&t, STAT, 0, "detail dump", "");
    list_count(&t, "detailed", "PREFIX a get 3 hit 2 set 0 del 0\r\nEND\r\n", &found);
    cr_expect(found);
    ask(&t, STAT, 0, "reset", "");
    cr_expect(eq(uint, list_count(&t, "", "", &found), 0));
    ask(&t, STAT, 0, "", "");
    list_count(&t, "cmd_set", "0", &found);
    cr_expect(found);
    talk_fini(&t);
}

Test(binary, farewell)
{
    struct talk t;

    talk_init(&t, NULL);
    expect_status(ask(&t, QUIT, 0, "", ""), 0x00, "quit answers");
    cr_expect(t.d.session == NULL, "and ends the connection");
    talk_fini(&t);
}
