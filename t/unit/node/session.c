#include "drive.h"
#include "vocab/limits.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A conversation: what a client says and what it must hear, whatever the sizes of the reads. */
struct talk {
    const char *why;
    const char *in;
    const char *out; /* NULL: whatever it is when read whole */
    size_t in_len;   /* 0: a string */
    bool closes;
};

static const struct talk text_talks[] = {
    { "a value comes back", "set k 5 0 3\r\nabc\r\nget k\r\n",
      "STORED\r\nVALUE k 5 3\r\nabc\r\nEND\r\n", 0, false },
    { "many commands in one read",
      "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget a b c\r\ndelete a\r\nget a\r\n",
      "STORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\nDELETED\r\nEND\r\n", 0,
      false },
    { "a bare newline ends a line, but not a value", "set k 0 0 2\nab\r\nget k\n",
      "STORED\r\nVALUE k 0 2\r\nab\r\nEND\r\n", 0, false },
    { "an empty value", "set k 0 0 0\r\n\r\nget k\r\n", "STORED\r\nVALUE k 0 0\r\n\r\nEND\r\n", 0,
      false },
    { "a value that looks like commands", "set k 0 0 14\r\nget x\r\nquit\r\n.\r\nget k\r\n",
      "STORED\r\nVALUE k 0 14\r\nget x\r\nquit\r\n.\r\nEND\r\n", 0, false },
    { "a bad data chunk costs its bytes and two more", "set k 0 0 3\r\nabcdeget k\r\n",
      "CLIENT_ERROR bad data chunk\r\nEND\r\n", 0, false },
    { "a bad data chunk leaves the old value", "set k 0 0 1\r\n1\r\nset k 0 0 1\r\n2xxget k\r\n",
      "STORED\r\nCLIENT_ERROR bad data chunk\r\nVALUE k 0 1\r\n1\r\nEND\r\n", 0, false },
    { "a data chunk that ends with half a line end", "set k 0 0 1\r\n1x\nset k 0 0 1\r\n1\rxmn\r\n",
      "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad data chunk\r\nMN\r\n", 0, false },
    { "noreply says nothing",
      "set k 0 0 1 noreply\r\n1\r\ndelete x noreply\r\nincr k 4 noreply\r\nget k\r\n",
      "VALUE k 0 1\r\n5\r\nEND\r\n", 0, false },
    { "the value of a bad storage line is swallowed", "set k abc 0 5\r\nget k\r\nget k\r\n",
      "CLIENT_ERROR bad command line format\r\nEND\r\n", 0, false },
    { "an unknown word costs its line", "nonsense at all\r\nget k\r\n", "ERROR\r\nEND\r\n", 0,
      false },
    { "quit ends it behind earlier answers", "set k 0 0 1\r\n1\r\nget k\r\nquit\r\nget k\r\n",
      "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n", 0, true },
    { "meta commands and the others mix",
      "ms k 2 c\r\nhi\r\nmg k v\r\nget k\r\nmg nope v q\r\nmn\r\n", NULL, 0, false },
    { "meta quiet", "ms a 1 q\r\n1\r\nmg x v q\r\nmg a v q k\r\nmd a q\r\nmn\r\n",
      "VA 1 ka\r\n1\r\nMN\r\n", 0, false },
    { "statistics are a reply like others", "get a\r\nstats settings\r\nversion\r\nstats x\r\n",
      NULL, 0, false },
    { "the same key as often as asked", "set k 0 0 1\r\n1\r\nget k k k\r\n",
      "STORED\r\nVALUE k 0 1\r\n1\r\nVALUE k 0 1\r\n1\r\nVALUE k 0 1\r\n1\r\nEND\r\n", 0, false },
};

/* set k v (opaque 1); getk k (2); getq nope (3); noop (4); quit (5); behind it nothing counts */
static const char binary_in[] = "\x80\x01\0\x01\x08\0\0\0\0\0\0\x0b\0\0\0\1\0\0\0\0\0\0\0\0"
                                "\0\0\0\7\0\0\0\0"
                                "k"
                                "vv"
                                "\x80\x0c\0\x01\0\0\0\0\0\0\0\x01\0\0\0\2\0\0\0\0\0\0\0\0"
                                "k"
                                "\x80\x09\0\x04\0\0\0\0\0\0\0\x04\0\0\0\3\0\0\0\0\0\0\0\0"
                                "nope"
                                "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0"
                                "\x80\x17\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0"
                                "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0\0";

/* Says a conversation to a fresh node, the first read being first bytes and all others at most cut.
 */
static struct buf
talk_result(const struct talk *t, size_t first, size_t cut, bool *ret_closed)
{
    size_t len = t->in_len > 0 ? t->in_len : strlen(t->in);
    struct drive_node n;
    struct drive d;
    struct buf got;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, t->in, first < len ? first : len, DRIVE_ALL);
    if (first < len) {
        drive_say(&d, t->in + first, len - first, cut);
    }
    got = d.got;
    d.got = (struct buf){ 0 };
    *ret_closed = !d.session;
    drive_fini(&d);
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUFS), 1), "%s: only the worker has a buffer",
              t->why);
    cr_expect(eq(i64, drive_metric(&n, M_RESP_BUF_BYTES), 0), "%s", t->why);
    drive_node_fini(&n);
    return got;
}

static void
talk_check(const struct talk *t)
{
    size_t len = t->in_len > 0 ? t->in_len : strlen(t->in);
    bool closed, whole_closed;
    struct buf whole = talk_result(t, len, DRIVE_ALL, &whole_closed);

    if (t->out) {
        size_t out_len = strlen(t->out);

        cr_assert(eq(sz, whole.len, out_len), "%s: %.*s", t->why, (int)whole.len, whole.ptr);
        cr_assert(memcmp(whole.ptr, t->out, out_len) == 0, "%s: %.*s", t->why, (int)whole.len,
                  whole.ptr);
    }
    cr_expect(eq(int, whole_closed, t->closes), "%s", t->why);
    for (size_t first = 0; first < len; first++) {
        /* The row "first == 0" is byte by byte, the others are cut in two. */
        struct buf got = talk_result(t, first, first == 0 ? 1 : DRIVE_ALL, &closed);

        cr_assert(got.len == whole.len &&
                      (got.len == 0 || memcmp(got.ptr, whole.ptr, got.len) == 0),
                  "%s, cut after %zu: %.*s", t->why, first, (int)got.len, got.ptr);
        cr_assert(eq(int, closed, whole_closed), "%s, cut after %zu", t->why, first);
        buf_free(&got);
    }
    buf_free(&whole);
}

/* TCP may cut anywhere: the answers are the same. */
Test(session, text_is_answered_alike_however_it_is_cut)
{
    for (size_t i = 0; i < sizeof text_talks / sizeof text_talks[0]; i++) {
        talk_check(&text_talks[i]);
    }
}

Test(session, binary_is_answered_alike_however_it_is_cut)
{
    struct talk t = { "binary", binary_in, NULL, sizeof binary_in - 1, true };

    talk_check(&t);
}

/* -- large values ------------------------------------------------------------------------------ */

/* Bytes that show where they belong. */
static char *
pattern_new(size_t len, unsigned salt)
{
    char *p = malloc(len + 1);

    cr_assert(p != NULL);
    for (size_t i = 0; i < len; i++) {
        p[i] = (char)('!' + (i * 7 + i / 93 + salt) % 90);
    }
    p[len] = '\0';
    return p;
}

static void
say(struct drive *d, const char *text)
{
    drive_say(d, text, strlen(text), DRIVE_ALL);
}

static void
say_large(struct drive *d, const char *key, const char *value, size_t len, size_t cut)
{
    struct buf in = { 0 };

    cr_assert(buf_printf(&in, "set %s 0 0 %zu\r\n", key, len));
    cr_assert(buf_add(&in, value, len) && buf_add(&in, "\r\n", 2));
    drive_say(d, in.ptr, in.len, cut);
    buf_free(&in);
}

static void
heard(struct drive *d, const char *expected, size_t len, const char *why)
{
    cr_assert(eq(sz, d->got.len, len), "%s", why);
    cr_assert(memcmp(d->got.ptr, expected, len) == 0, "%s", why);
    d->got.len = 0;
}

static void
heard_text(struct drive *d, const char *expected, const char *why)
{
    heard(d, expected, strlen(expected), why);
}

static void
heard_value(struct drive *d, const char *key, const char *value, size_t len, const char *why)
{
    struct buf out = { 0 };

    cr_assert(buf_printf(&out, "VALUE %s 0 %zu\r\n", key, len));
    cr_assert(buf_add(&out, value, len) && buf_add(&out, "\r\nEND\r\n", 7));
    heard(d, out.ptr, out.len, why);
    buf_free(&out);
}

/* Sizes around every bound: waiting, pinning, the direct read, one read, one page, several pages.
 */
static const size_t large_sizes[] = { 2045,  2046,  2047,  2048,   2049,   4095,
                                      4096,  4097,  8191,  8192,   8193,   65500,
                                      65535, 65536, 65537, 131072, 300000, 1000000 };

Test(session, values_of_any_size_arrive_whole_in_reads_of_any_size)
{
    static const size_t cuts[] = { 701, 4096, 16384, 65536, DRIVE_ALL };
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    for (size_t i = 0; i < sizeof large_sizes / sizeof large_sizes[0]; i++) {
        for (size_t j = 0; j < sizeof cuts / sizeof cuts[0]; j++) {
            char *value = pattern_new(large_sizes[i], (unsigned)(i + j));
            char why[64];

            snprintf(why, sizeof why, "%zu bytes in reads of %zu", large_sizes[i], cuts[j]);
            say_large(&d, "big", value, large_sizes[i], cuts[j]);
            heard_text(&d, "STORED\r\n", why);
            say(&d, "get big\r\n");
            heard_value(&d, "big", value, large_sizes[i], why);
            free(value);
        }
    }
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A large value whose end is wrong leaves the old one, and what follows is a command again. */
Test(session, a_streamed_value_with_a_wrong_end_is_refused)
{
    static const char *const ends[] = { "__", "\r_", "_\n", "\n\r", "\r\r" };
    size_t len = 100000;
    char *value = pattern_new(len, 0);

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        for (size_t cut = 1000; cut < 140000; cut += 6900) {
            struct drive_node n;
            struct drive d;
            struct buf in = { 0 };

            drive_node_init(&n, NULL);
            drive_init(&d, &n, SESSION_AUTO);
            cr_assert(buf_printf(&in, "set k 0 0 1\r\n1\r\nset k 0 0 %zu\r\n%s%sget k\r\n", len,
                                 value, ends[i]));
            drive_say(&d, in.ptr, in.len, cut);
            heard_text(&d, "STORED\r\nCLIENT_ERROR bad data chunk\r\nVALUE k 0 1\r\n1\r\nEND\r\n",
                       "wrong end");
            buf_free(&in);
            drive_fini(&d);
            drive_node_fini(&n);
        }
    }
    free(value);
}

/* No stale data survives a set that could not be stored, and the connection goes on. */
Test(session, a_value_too_large_is_swallowed)
{
    static const char out[] = "STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n";
    size_t len = 3u << 20;
    char *value = pattern_new(len, 0);
    struct buf in = { 0 };

    cr_assert(buf_printf(&in, "set k 0 0 1\r\n1\r\nset k 0 0 %zu\r\n%s\r\nget k\r\n", len, value));
    for (size_t cut = 5000; cut < 100000; cut += 23000) {
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, NULL);
        drive_init(&d, &n, SESSION_AUTO);
        drive_say(&d, in.ptr, in.len, cut);
        heard_text(&d, out, "too large");
        drive_fini(&d);
        drive_node_fini(&n);
    }
    buf_free(&in);
    free(value);
}

/* A connection lost in the middle of a value gives its memory back. */
Test(session, a_value_cut_off_by_the_end_of_the_connection_is_freed)
{
    static const char *const options[] = { "memory_limit=4m", "evict=no", NULL };
    char *value = pattern_new(500000, 0);
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, options);
    for (int i = 0; i < 50; i++) {
        struct buf in = { 0 };

        drive_init(&d, &n, SESSION_AUTO);
        cr_assert(buf_printf(&in, "set k%d 0 0 600000\r\n%s", i, value));
        drive_say(&d, in.ptr, in.len, 30000);
        cr_expect(session_is_busy(d.session));
        buf_free(&in);
        drive_fini(&d);
    }
    drive_init(&d, &n, SESSION_AUTO);
    say_large(&d, "k", value, 500000, DRIVE_ALL);
    heard_text(&d, "STORED\r\n", "there is room again");
    drive_fini(&d);
    free(value);
    drive_node_fini(&n);
}

/* -- slow readers ------------------------------------------------------------------------------ */

/* Sends in without reading answers until the session takes no more; returns how much it took. */
static size_t
push(struct drive *d, const char *in, size_t len)
{
    size_t at = 0, used;
    int turns = 0;

    do {
        used = drive_turn(d, in + at, len - at, DRIVE_ALL, 0);
        at += used;
    } while (used > 0 || turns++ < 10);
    return at;
}

/* Without this a client could make the server hold any amount of answers. */
Test(session, a_client_that_does_not_read_is_not_listened_to)
{
    enum { COMMANDS = 200000, LEN = 100 };
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };
    char *value = pattern_new(LEN, 0), *at;
    size_t took;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say_large(&d, "k", value, LEN, DRIVE_ALL);
    d.got.len = 0;
    for (int i = 0; i < COMMANDS; i++) {
        cr_assert(buf_printf(&in, "mg k v O%d\r\n", i));
    }
    took = push(&d, in.ptr, in.len);
    cr_expect(lt(sz, took, 1u << 20), "%zu bytes were taken", took);
    cr_expect(session_rx_space(d.session).iov_base == NULL);
    cr_expect(eq(i64, drive_metric(&n, M_RESP_BUFS), 1));
    cr_expect(lt(i64, drive_metric(&n, M_RESP_BUF_BYTES), 2 << 20));
    drive_say(&d, in.ptr + took, in.len - took, DRIVE_ALL);
    cr_assert(buf_add(&d.got, "", 1));
    at = d.got.ptr;
    for (int i = 0; i < COMMANDS; i++) {
        char line[64];
        int n_line = snprintf(line, sizeof line, "VA %d O%d\r\n", LEN, i);

        cr_assert(strncmp(at, line, (size_t)n_line) == 0, "answer %d", i);
        cr_assert(strncmp(at + n_line, value, LEN) == 0, "answer %d", i);
        at += n_line + LEN + 2;
    }
    cr_expect(eq(chr, *at, '\0'));
    cr_expect(eq(i64, drive_metric(&n, M_RESP_BUFS), 0));
    cr_expect(eq(i64, drive_metric(&n, M_RESP_BUF_BYTES), 0));
    free(value);
    buf_free(&in);
    drive_fini(&d);
    drive_node_fini(&n);
}

/*
 * A batch for whose answers there is no room is cut short, and what is left of it is input again:
 * whatever that is, and whatever the input ends with.
 */
Test(session, a_batch_without_room_goes_on_later)
{
    static const struct {
        const char *why, *line, *tail, *rest, *end;
        size_t len, times, values;
    } row[] = {
        { "keys of one line", "get k k k k k k k k k k\r\n", "", "", "", 4000, 30, 10 },
        { "values from the slab", "get k\r\n", "", "", "", 100000, 60, 1 },
        { "half a command behind", "get k\r\n", "versi", "on\r\n", "VERSION", 100000, 30, 1 },
        { "half a value to swallow behind", "get k\r\n", "set k x 0 6\r\n123", "456\r\nmn\r\n",
          "CLIENT_ERROR bad command line format\r\nMN\r\n", 100000, 30, 1 },
        { "half a value to store behind", "get k\r\n", "set n 0 0 6\r\n123", "456\r\nmn\r\n",
          "STORED\r\nMN\r\n", 100000, 30, 1 },
        { "quit behind", "get k\r\n", "quit\r\nmn\r\n", "", "", 100000, 30, 1 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char *value = pattern_new(row[i].len, 0), head[64], *at;
        struct drive_node n;
        struct drive d;
        struct buf in = { 0 };

        drive_node_init(&n, NULL);
        drive_init(&d, &n, SESSION_AUTO);
        say_large(&d, "k", value, row[i].len, DRIVE_ALL);
        for (size_t j = 0; j < row[i].times; j++) {
            cr_assert(buf_printf(&in, "%s", row[i].line));
        }
        cr_assert(buf_printf(&in, "%s", row[i].tail));
        cr_assert(eq(sz, drive_turn(&d, in.ptr, in.len, DRIVE_ALL, 8), in.len), "%s", row[i].why);
        cr_expect(session_has_work(d.session), "%s", row[i].why);
        drive_say(&d, "", 0, DRIVE_ALL);
        drive_say(&d, row[i].rest, strlen(row[i].rest), DRIVE_ALL);
        cr_assert(buf_add(&d.got, "", 1));
        at = d.got.ptr + strlen("STORED\r\n");
        snprintf(head, sizeof head, "VALUE k 0 %zu\r\n", row[i].len);
        for (size_t j = 0; j < row[i].times * row[i].values; j++) {
            cr_assert(strncmp(at, head, strlen(head)) == 0, "%s: %zu: %.40s", row[i].why, j, at);
            at += strlen(head);
            cr_assert(memcmp(at, value, row[i].len) == 0, "%s: %zu", row[i].why, j);
            at += row[i].len + 2;
            if ((j + 1) % row[i].values == 0) {
                cr_assert(strncmp(at, "END\r\n", 5) == 0, "%s: %zu", row[i].why, j);
                at += 5;
            }
        }
        cr_expect(strncmp(at, row[i].end, strlen(row[i].end)) == 0, "%s: %s", row[i].why, at);
        cr_expect(row[i].end[0] != '\0' || *at == '\0', "%s: %s", row[i].why, at);
        free(value);
        buf_free(&in);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

/* Many libraries send 10,000 quiet requests before they read a byte; no answer, no wait. */
Test(session, quiet_misses_of_any_number_are_taken)
{
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    for (int i = 0; i < 100000; i++) {
        cr_assert(buf_printf(&in, "mg key%d v q\r\n", i));
    }
    cr_assert(buf_printf(&in, "mn\r\n"));
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    heard_text(&d, "MN\r\n", "quiet");
    buf_free(&in);
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A reader halfway through a large value keeps the old bytes, whatever happens to the key. */
Test(session, a_value_being_sent_is_not_disturbed)
{
    static const char *const options[] = { "memory_limit=8m", NULL };
    size_t len = 700000;
    char *old = pattern_new(len, 1), *new = pattern_new(len, 2);
    struct drive_node n;
    struct drive slow, fast;

    drive_node_init(&n, options);
    drive_init(&slow, &n, SESSION_AUTO);
    drive_init(&fast, &n, SESSION_AUTO);
    say_large(&fast, "k", old, len, DRIVE_ALL);
    cr_assert(eq(sz, drive_turn(&slow, "get k\r\nget none\r\n", 17, DRIVE_ALL, 1000), 17));
    for (int i = 0; i < 40; i++) {
        char key[16];

        snprintf(key, sizeof key, i % 2 ? "k" : "k%d", i);
        say_large(&fast, key, new, len, DRIVE_ALL);
        (void)drive_turn(&slow, "", 0, 0, 1000);
    }
    say(&fast, "delete k\r\n");
    drive_say(&slow, "", 0, DRIVE_ALL);
    cr_assert(gt(sz, slow.got.len, 5));
    slow.got.len -= 5; /* the END of the second get */
    heard_value(&slow, "k", old, len, "the old value");
    drive_fini(&slow);
    drive_fini(&fast);
    free(old);
    free(new);
    drive_node_fini(&n);
}

/* A pin that outlives its connection would be memory lost for good. */
Test(session, a_connection_closed_while_sending_drops_its_pins)
{
    static const char *const options[] = { "memory_limit=8m", "evict=no", NULL };
    size_t len = 700000;
    char *value = pattern_new(len, 0);
    struct drive_node n;

    drive_node_init(&n, options);
    for (int i = 0; i < 60; i++) {
        struct drive d;

        drive_init(&d, &n, SESSION_AUTO);
        say_large(&d, "k", value, len, DRIVE_ALL);
        heard_text(&d, "STORED\r\n", "room for a new value");
        (void)drive_turn(&d, "get k k\r\ndelete k\r\n", 19, DRIVE_ALL, (size_t)i * 20000);
        drive_fini(&d);
    }
    free(value);
    drive_node_fini(&n);
}

/* -- turns ------------------------------------------------------------------------------------- */

/* Bytes of one connection must not show up in another's. */
Test(session, sessions_of_a_worker_take_turns)
{
    enum { CLIENTS = 20 };
    struct drive_node n;
    struct drive d[CLIENTS];
    char in[CLIENTS][200];
    size_t at = 0;

    drive_node_init(&n, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        drive_init(&d[i], &n, SESSION_AUTO);
        snprintf(in[i], sizeof in[i],
                 "set k%02d 0 0 5\r\nv%02d..\r\nget k%02d none\r\nmg k%02d v\r\n", i, i, i, i);
    }
    for (bool more = true; more; at++) {
        more = false;
        for (int i = 0; i < CLIENTS; i++) {
            if (at < strlen(in[i])) {
                cr_assert(eq(sz, drive_turn(&d[i], in[i] + at, 1, 1, at % 3), 1));
                more = true;
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        char out[200];

        drive_say(&d[i], "", 0, DRIVE_ALL);
        snprintf(out, sizeof out,
                 "STORED\r\nVALUE k%02d 0 5\r\nv%02d..\r\nEND\r\nVA 5\r\nv%02d..\r\n", i, i, i);
        heard_text(&d[i], out, "its own answers");
        drive_fini(&d[i]);
    }
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUF_BYTES), WORKER_RX_BYTES));
    drive_node_fini(&n);
}

/* One busy connection must not starve the others, yet what it sent is served. */
Test(session, a_long_pipeline_yields)
{
    static const char *const options[] = { "reqs_per_event=1", NULL };
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };
    unsigned turns = 1;

    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    for (int i = 0; i < 4 * BATCH_MAX; i++) {
        cr_assert(buf_printf(&in, "mn\r\n"));
    }
    cr_assert(eq(sz, drive_turn(&d, in.ptr, in.len, DRIVE_ALL, DRIVE_ALL), in.len));
    cr_expect(eq(sz, d.got.len, 4 * BATCH_MAX));
    while (session_has_work(d.session)) {
        cr_expect(session_rx_space(d.session).iov_base == NULL);
        (void)drive_turn(&d, "", 0, 0, DRIVE_ALL);
        turns++;
    }
    cr_expect(eq(u32, turns, 4));
    cr_expect(eq(i64, drive_metric(&n, M_CONN_YIELDS), 3));
    cr_expect(eq(sz, d.got.len, in.len));
    buf_free(&in);
    drive_fini(&d);
    drive_node_fini(&n);
}

/* printf 'get k\r\n' | nc: what was said before the end is answered before we hang up. */
Test(session, half_close_is_answered_first)
{
    static const char in[] = "set k 0 0 1\r\n1\r\nget k\r\nget";
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    cr_assert(eq(sz, drive_turn(&d, in, sizeof in - 1, DRIVE_ALL, 0), sizeof in - 1));
    session_rx_end(d.session);
    cr_expect(not(session_is_over(d.session)));
    cr_expect(session_rx_space(d.session).iov_base == NULL);
    (void)drive_turn(&d, "", 0, 0, 10);
    cr_expect(d.session != NULL);
    (void)drive_turn(&d, "", 0, 0, DRIVE_ALL);
    cr_expect(d.session == NULL);
    heard_text(&d, "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n", "half-close");
    drive_fini(&d);
    drive_node_fini(&n);
}

/* ... even if it was more than one turn's work. */
Test(session, half_close_waits_for_a_long_pipeline)
{
    static const char *const options[] = { "reqs_per_event=1", NULL };
    static char in[4 * 300 + 1];
    struct drive_node n;
    struct drive d;

    for (int i = 0; i < 300; i++) {
        memcpy(in + 4 * i, "mn\r\n", 4);
    }
    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    cr_assert(eq(sz, drive_turn(&d, in, sizeof in - 1, DRIVE_ALL, DRIVE_ALL), sizeof in - 1));
    session_rx_end(d.session);
    cr_expect(not(session_is_over(d.session)));
    drive_say(&d, "", 0, DRIVE_ALL);
    cr_expect(eq(sz, d.got.len, sizeof in - 1));
    cr_expect(d.session == NULL);
    drive_fini(&d);
    drive_node_fini(&n);
}

Test(session, a_listener_may_insist_on_a_protocol)
{
    static const struct {
        enum session_accepts accepts;
        const char *in;
        size_t len;
        bool open;
    } row[] = {
        { SESSION_TEXT, "mn\r\n", 4, true },
        { SESSION_TEXT, binary_in, sizeof binary_in - 1, false },
        { SESSION_BINARY, "version\r\n", 9, false },
        { SESSION_BINARY, binary_in, 35, true },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, NULL);
        drive_init(&d, &n, row[i].accepts);
        drive_say(&d, row[i].in, row[i].len, DRIVE_ALL);
        cr_expect(eq(int, d.session != NULL, row[i].open), "row %zu", i);
        cr_expect(eq(int, d.got.len > 0, row[i].open), "row %zu", i);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

/* A list of 100,000 keys comes in many reads; the time must not grow with their square. */
Test(session, a_very_long_get_line_is_read)
{
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say(&d, "set last 0 0 1\r\n1\r\n");
    d.got.len = 0;
    cr_assert(buf_printf(&in, "get"));
    for (int i = 0; i < 100000; i++) {
        cr_assert(buf_printf(&in, " key%d", i));
    }
    cr_assert(buf_printf(&in, " last\r\n"));
    drive_say(&d, in.ptr, in.len, 100);
    heard_text(&d, "VALUE last 0 1\r\n1\r\nEND\r\n", "a long line");
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    heard_text(&d, "VALUE last 0 1\r\n1\r\nEND\r\n", "a long line");
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUF_BYTES), WORKER_RX_BYTES));
    buf_free(&in);
    drive_fini(&d);
    drive_node_fini(&n);
}

/* Some statistics are longer than the worker's buffer; they move to the connection as they are. */
Test(session, a_very_long_answer_is_sent)
{
    static const char *const options[] = { "memory_limit=256m", NULL };
    enum { ITEMS = 6000 };
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };
    size_t items = 0, longest = 0;

    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    for (int i = 0; i < ITEMS; i++) {
        cr_assert(buf_printf(&in, "set %0200d 0 0 1 noreply\r\n1\r\n", i));
    }
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    for (int class = 1; class < 60; class ++) {
        char line[64];

        snprintf(line, sizeof line, "stats cachedump %d 0\r\nmn\r\n", class);
        d.got.len = 0;
        drive_say(&d, line, strlen(line), DRIVE_ALL);
        cr_assert(buf_add(&d.got, "", 1));
        for (const char *at = d.got.ptr; (at = strstr(at, "ITEM ")) != NULL; at++) {
            items++;
        }
        cr_assert(strcmp(d.got.ptr + d.got.len - 10, "END\r\nMN\r\n") == 0 ||
                      strncmp(d.got.ptr, "CLIENT_ERROR", 12) == 0,
                  "class %d", class);
        longest = d.got.len > longest ? d.got.len : longest;
    }
    cr_expect(eq(sz, items, ITEMS));
    cr_expect(gt(sz, longest, WORKER_TX_BYTES));
    buf_free(&in);
    drive_fini(&d);
    drive_node_fini(&n);
}

Test(session, bytes_are_counted)
{
    static const char in[] = "set k 0 0 1\r\n1\r\nget k\r\nge";
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, in, sizeof in - 1, 3);
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_READ), sizeof in - 1));
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_WRITTEN), (int64_t)d.got.len));
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUFS), 2), "half a command is kept");
    drive_fini(&d);
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUFS), 1));
    drive_node_fini(&n);
}
