#include "proto/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define REST 0xaa /* what a command is filled with before it is parsed */

static struct text_parser fresh;

/* Parses one command out of exactly these bytes. */
static enum text_result
parse(struct text_parser *p, struct slice in, struct command *c, size_t *used)
{
    memset(c, REST, sizeof *c);
    *used = 99;
    return text_parse(p, in, c, used);
}

/* The command of a line that is known to hold just one. */
static struct command
parse_line(const char *line)
{
    struct text_parser p = fresh;
    struct command c;
    size_t used;

    cr_assert_eq(parse(&p, slice_of(line, strlen(line)), &c, &used), TEXT_CMD, "%s", line);
    cr_assert_eq(used, strlen(line), "%s", line);
    cr_assert(!p.in_keys && p.line_seen == 0, "%s", line);
    return c;
}

/* What is answered to a bad line: its text, "swallow N" behind it; "" if it is quiet. */
static const char *
complaint(const struct command *c)
{
    static char text[256];
    struct reply r = { .code = c->error };
    char out[PROTO_HEAD_MAX];
    size_t n;

    cr_assert_eq(c->op, OP_ERROR);
    n = text_write_head(c, &r, out);
    if (c->has_value) {
        snprintf(text, sizeof text, "%.*s swallow %u", (int)(n > 2 ? n - 2 : 0), out, c->value_len);
    } else {
        snprintf(text, sizeof text, "%.*s", (int)(n > 2 ? n - 2 : 0), out);
    }
    return text;
}

#define FORMAT "CLIENT_ERROR bad command line format"
#define USAGE  "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"
#define TIME   "CLIENT_ERROR invalid exptime argument"
#define DELTA  "CLIENT_ERROR invalid numeric delta argument"
#define K250   K50 K50 K50 K50 K50
#define K50    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

/* Clients tell errors apart by their first word, and count them: one for each command. */
Test(text, bad_lines)
{
    static const struct {
        const char *in, *answer, *why;
    } row[] = {
        { "\r\n", FORMAT, "nothing is said" },
        { " \n", FORMAT, "metaget.t demands it" },
        { "mn\n", FORMAT, "under four bytes" },
        { "fetch k\r\n", "ERROR", "unknown word" },
        { "GET k\r\n", "ERROR", "words are lower case" },
        { " get k\r\n", "ERROR", "leading blank" },
        { "    \r\n", "ERROR", "only blanks" },
        { "get\tk\r\n", "ERROR", "a tab is no blank" },
        { "getsk\r\n", "ERROR", "no word ends here" },
        { "POST /\r\n", "ERROR", "not yet an HTTP request" },
        { "get\r\n", FORMAT, "no key" },
        { "get  \r\n", FORMAT, "no key behind blanks" },
        { "gets\n", FORMAT, "no key" },
        { "get " K250 "k\r\n", FORMAT, "key too long" },
        { "get a b " K250 "k c\r\n", FORMAT, "one long key withdraws all" },
        { "gat 0\r\n", FORMAT, "no key" },
        { "gat\r\n", FORMAT, "nothing at all" },
        { "gat abc k\r\n", TIME, "a word for a time" },
        { "gat 2147483648 k\r\n", TIME, "no room in 32 bits" },
        { "gats 0 a " K250 "k\r\n", FORMAT, "key too long" },
        { "set\r\n", FORMAT, "nothing at all" },
        { "set k\r\n", FORMAT, "no flags" },
        { "set k 0 0\r\n", FORMAT, "no length" },
        { "set k 0 0 \r\n", FORMAT, "no length behind a blank" },
        { "set k 0 0 abc\r\n", FORMAT, "no number" },
        { "set k 0 0 -1\r\n", FORMAT, "negative length" },
        { "set k 0 0 2147483646\r\n", FORMAT, "over 2^31 - 3" },
        { "set k 0 0 4294967296\r\n", FORMAT, "no room in 32 bits" },
        { "set k x 0 5\r\n", FORMAT " swallow 5", "flags are no number" },
        { "set k -1 0 5\r\n", FORMAT " swallow 5", "flags have no sign" },
        { "set k 4294967296 0 5\r\n", FORMAT " swallow 5", "flags over 32 bits" },
        { "set k 0 x 5\r\n", FORMAT " swallow 5", "exptime is no number" },
        { "set k 0 9223372036854775808 5\r\n", FORMAT " swallow 5", "exptime over 64 bits" },
        { "set " K250 "k 0 0 2147483645\r\n", FORMAT " swallow 2147483645", "key too long" },
        { "set k x 0 5 noreply\r\n", " swallow 5", "nobody waits for an answer" },
        { "add k x 0 5\r\n", FORMAT " swallow 5", "as set" },
        { "cas k 0 0 5\r\n", FORMAT " swallow 5", "without its number" },
        { "cas k 0 0 5 \r\n", FORMAT " swallow 5", "a blank is no number" },
        { "cas k 0 0 5 noreply\r\n", " swallow 5", "noreply is no number" },
        { "cas k 0 0\r\n", FORMAT, "no length, nothing to swallow" },
        { "cas k 0 0 5 abc\r\n", FORMAT " swallow 5", "cas is no number" },
        { "cas k 0 0 5 18446744073709551616\r\n", FORMAT " swallow 5", "cas over 64 bits" },
        { "delete\r\n", FORMAT, "no key" },
        { "delete " K250 "k\r\n", FORMAT, "key too long" },
        { "delete k 1\r\n", USAGE, "a time other than 0" },
        { "delete k 0 0\r\n", USAGE, "too many words" },
        { "delete k junk noreply\r\n", "", "nobody waits for an answer" },
        { "cas 0 noreply\r\n", FORMAT, "noreply counts only in a line that can be followed" },
        { "set k 0 0 x noreply\r\n", FORMAT, "noreply counts only in a line that can be followed" },
        { "delete " K250 "k 1\r\n", USAGE, "the words are counted first" },
        { "delete " K250 "k noreply\r\n", "", "nobody waits for an answer" },
        { "incr\r\n", FORMAT, "no key" },
        { "incr k\r\n", FORMAT, "no delta" },
        { "incr k x\r\n", DELTA, "no number" },
        { "incr k -1\r\n", DELTA, "negative" },
        { "decr k 18446744073709551616\r\n", DELTA, "over 64 bits" },
        { "incr " K250 "k x\r\n", FORMAT, "the key is looked at first" },
        { "incr k x noreply\r\n", "", "nobody waits for an answer" },
        { "touch k\r\n", FORMAT, "no time" },
        { "touch k x\r\n", TIME, "a word for a time" },
        { "touch k 2147483648\r\n", TIME, "no room in 32 bits" },
        { "verbosity\r\n", FORMAT, "no number" },
        { "verbosity x\r\n", FORMAT, "a word" },
        { "cache_memlimit\r\n", FORMAT, "no number" },
        { "cache_memlimit x\r\n", "ERROR", "memcached says no more" },
        { "mg\r\n", FORMAT, "meta without a key" },
        { "mx k\r\n", "ERROR", "unknown meta word" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct command c = parse_line(row[i].in);

        if (c.protocol == PROTO_META) {
            c.protocol = PROTO_TEXT; /* its line is the same */
        }
        cr_expect_str_eq(complaint(&c), row[i].answer, "%s: %s", row[i].why, row[i].in);
    }
}

/* One line per command: every field that it sets, in the order key flags exptime bytes. */
Test(text, good_lines)
{
    static const struct {
        const char *in;
        enum op     op;
        const char *key;
        uint32_t    flags, len;
        int64_t     exptime;
        uint64_t    cas, delta;
        bool        quiet, value, has_exptime;
        enum reply_code error;
    } row[] = {
        { "get k\r\n", OP_GET, "k", .len = 0 },
        { "gets \x01\xff\tk\n", OP_GETS, "\x01\xff\tk", .len = 0 },
        { "get   k   \r\n", OP_GET, "k", .len = 0 },
        { "get noreply\r\n", OP_GET, "noreply", .len = 0 },
        { "get \r\r\n", OP_GET, "\r", .len = 0 },
        { "gat -5 k\r\n", OP_GAT, "k", .exptime = -5, .has_exptime = true },
        { "gats 2147483647 k\r\n", OP_GATS, "k", .exptime = INT32_MAX, .has_exptime = true },
        { "get " K250 "\r\n", OP_GET, K250, .len = 0 },
        { "set k 4294967295 100 5\r\n", OP_SET, "k", UINT32_MAX, 5, 100, .value = true },
        { "set  k  1   2  3  \n", OP_SET, "k", 1, 3, 2, .value = true },
        { "set k 0 -7 0 noreply\r\n", OP_SET, "k", 0, 0, -7, .value = true, .quiet = true },
        { "set k 0 2147483647 0\r\n", OP_SET, "k", 0, 0, INT32_MAX, .value = true },
        { "set k 0 2147483648 0\r\n", OP_SET, "k", 0, 0, -1, .value = true },
        { "set k 0 0 2147483645\r\n", OP_SET, "k", 0, 2147483645, .value = true },
        { "set k 0 0 5 noreply junk\r\n", OP_SET, "k", 0, 5, .value = true },
        { "set k 0 0 5 xnoreply\r\n", OP_SET, "k", 0, 5, .value = true },
        { "add k 1 0 5\r\n", OP_ADD, "k", 1, 5, .value = true },
        { "replace k 1 0 5\r\n", OP_REPLACE, "k", 1, 5, .value = true },
        { "append k 1 0 5\r\n", OP_APPEND, "k", 1, 5, .value = true },
        { "prepend k 1 0 5\r\n", OP_PREPEND, "k", 1, 5, .value = true },
        { "set k +1 0 +5\r\n", OP_SET, "k", 1, 5, .value = true },
        { "cas k 1 0 5 18446744073709551615\r\n", OP_CAS, "k", 1, 5, .cas = UINT64_MAX,
          .value = true },
        { "cas k 1 0 5 7 noreply\r\n", OP_CAS, "k", 1, 5, .cas = 7, .value = true, .quiet = true },
        { "delete k\r\n", OP_DELETE, "k", .len = 0 },
        { "delete noreply\r\n", OP_DELETE, "noreply", .len = 0 },
        { "delete k 0\r\n", OP_DELETE, "k", .len = 0 },
        { "delete k noreply\r\n", OP_DELETE, "k", .quiet = true },
        { "delete k 0 noreply\r\n", OP_DELETE, "k", .quiet = true },
        { "incr k 18446744073709551615\r\n", OP_INCR, "k", .delta = UINT64_MAX },
        { "decr k 3 noreply\r\n", OP_DECR, "k", .delta = 3, .quiet = true },
        { "touch k 0\r\n", OP_TOUCH, "k", .has_exptime = true },
        { "touch k -1 noreply\r\n", OP_TOUCH, "k", .exptime = -1, .has_exptime = true,
          .quiet = true },
        { "flush_all\r\n", OP_FLUSH_ALL, "", .len = 0 },
        { "flush_all 0\r\n", OP_FLUSH_ALL, "", .has_exptime = true },
        { "flush_all noreply\r\n", OP_FLUSH_ALL, "", .quiet = true },
        { "flush_all -1 noreply\r\n", OP_FLUSH_ALL, "", .exptime = -1, .has_exptime = true,
          .quiet = true },
        { "flush_all abc\r\n", OP_FLUSH_ALL, "", .error = RPL_BAD_EXPTIME },
        { "verbosity 9\r\n", OP_VERBOSITY, "", .delta = 9 },
        { "verbosity 1 noreply\r\n", OP_VERBOSITY, "", .delta = 1, .quiet = true },
        { "cache_memlimit 64\r\n", OP_CACHE_MEMLIMIT, "", .delta = 64 },
        { "version\r\n", OP_VERSION, "", .len = 0 },
        { "quit\r\n", OP_QUIT, "", .len = 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct command c = parse_line(row[i].in);

        cr_expect(c.op == row[i].op && slice_is(c.key, row[i].key), "%s", row[i].in);
        cr_expect(c.client_flags == row[i].flags && c.value_len == row[i].len, "%s", row[i].in);
        cr_expect(c.exptime == row[i].exptime && c.has_exptime == row[i].has_exptime, "%s",
                  row[i].in);
        cr_expect(c.cas == row[i].cas && c.delta == row[i].delta, "%s", row[i].in);
        cr_expect(c.quiet == row[i].quiet && c.has_value == row[i].value, "%s", row[i].in);
        cr_expect(c.protocol == PROTO_TEXT && !c.close_after && !c.key_binary, "%s", row[i].in);
        cr_expect_eq(c.error, row[i].error, "%s", row[i].in);
        cr_expect(c.last == (op_kind(c.op) == KIND_RETRIEVE), "%s", row[i].in);
        cr_expect(c.initial == 0 && c.value.len == 0 && !c.value.ptr, "%s", row[i].in);
    }
}

/* stats, shutdown and debugtime read the rest of their line themselves. */
Test(text, arguments)
{
    static const struct {
        const char *in;
        enum op     op;
        const char *args;
    } row[] = {
        { "stats\r\n", OP_STATS, "" },
        { "stats \r\n", OP_STATS, "" }, /* libmemcached */
        { "stats cachedump 1 0 0\r\n", OP_STATS, "cachedump 1 0 0" },
        { "shutdown\r\n", OP_SHUTDOWN, "" },
        { "shutdown graceful\r\n", OP_SHUTDOWN, "graceful" },
        { "debugtime p\r\n", OP_DEBUGTIME, "p" },
        { "flush_all 1 noreply\r\n", OP_FLUSH_ALL, "1 noreply" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct command c = parse_line(row[i].in);

        cr_expect(c.op == row[i].op && slice_is(c.args, row[i].args), "%s", row[i].in);
    }
}

/* Symfony puts NUL bytes into keys. */
Test(text, nul_is_a_byte_of_a_key)
{
    static const char line[] = "get a\0b\r\n";
    struct text_parser p = fresh;
    struct command c;
    size_t used;

    cr_assert_eq(parse(&p, SLICE(line), &c, &used), TEXT_CMD);
    cr_expect(slice_eq(c.key, slice_of("a\0b", 3)));
}

/* Each key is answered on its own; END comes behind the last. */
Test(text, keys_come_one_by_one)
{
    static const char *const lines[] = {
        "gats 60 a bb  a  \r\nmn\r\n",
        "gats 60 a bb a\r\nmn\r\n",
        "gats 60 a bb a\nmn\r\n",
        "gats   60   a   bb   a \nmn\r\n",
    };
    static const char *const keys[] = { "a", "bb", "a" };

    for (size_t l = 0; l < sizeof lines / sizeof lines[0]; l++) {
        struct slice in = slice_of(lines[l], strlen(lines[l]));
        struct text_parser p = fresh;
        struct command c;
        size_t used;

        for (unsigned i = 0; i < 3; i++) {
            cr_assert_eq(parse(&p, in, &c, &used), TEXT_CMD);
            cr_expect(c.op == OP_GATS && slice_is(c.key, keys[i]), "key %u: %s", i, lines[l]);
            cr_expect(c.exptime == 60 && c.has_exptime, "key %u: %s", i, lines[l]);
            cr_expect(c.last == (i == 2), "key %u: %s", i, lines[l]);
            cr_expect(!c.quiet && !c.has_value && !c.close_after, "key %u: %s", i, lines[l]);
            in = slice_from(in, used);
        }
        cr_expect(slice_is(in, "mn\r\n"), "%s leaves %.*s", lines[l], (int)in.len, in.ptr);
    }
}

/* TCP may cut anywhere: every proper prefix of a line asks for more. */
Test(text, every_prefix_asks_for_more)
{
    static const char *const lines[] = {
        "set some:key 0 0 1048576 noreply\r\n",
        "get a b c\r\n",
        "mg key v t\r\n",
        "GET / HTTP/1.1\r\n",
    };

    for (size_t l = 0; l < sizeof lines / sizeof lines[0]; l++) {
        for (size_t cut = 0; cut < strlen(lines[l]); cut++) {
            struct text_parser p = fresh;
            struct command c;
            size_t used;

            cr_expect_eq(parse(&p, slice_of(lines[l], cut), &c, &used), TEXT_MORE, "cut after %zu",
                         cut);
            cr_expect_eq(used, 99, "cut after %zu", cut);
        }
    }
}

/* A byte at a time gives what the whole line gives, in memory of its exact size. */
Test(text, one_byte_at_a_time)
{
    static const char line[] = "cas some:key 7 30 5 99 noreply\r\n";
    struct text_parser p = fresh;
    struct command c;
    size_t used;

    for (size_t n = 1; n <= strlen(line); n++) {
        char *copy = malloc(n);

        cr_assert_not_null(copy);
        memcpy(copy, line, n);
        enum text_result result = parse(&p, slice_of(copy, n), &c, &used);
        cr_assert_eq(result, n < strlen(line) ? TEXT_MORE : TEXT_CMD, "%zu bytes", n);
        if (n == strlen(line)) {
            cr_expect(c.op == OP_CAS && slice_is(c.key, "some:key") && c.cas == 99 && c.quiet);
            cr_expect_eq(used, n);
        }
        free(copy);
    }
}

/* Browsers and scanners get no errors that a page could read. */
Test(text, http_closes)
{
    static const char *const lines[] = { "GET / HTTP/1.1\r\n", "POST /x HTTP/1.0 \n" };

    for (size_t i = 0; i < 2; i++) {
        struct text_parser p = fresh;
        struct command c;
        size_t used;

        cr_expect_eq(parse(&p, slice_of(lines[i], strlen(lines[i])), &c, &used), TEXT_CLOSE);
    }
}

/* Who sends 2 KiB without a line end speaks no memcached; only get lines may be that long. */
Test(text, lines_without_an_end)
{
    static const struct {
        const char      *front;
        char             filler;
        size_t           len;
        enum text_result result;
        const char      *why;
    } row[] = {
        { "", 'x', 2048, TEXT_MORE, "just short enough" },
        { "", 'x', 2049, TEXT_CLOSE, "an unknown word" },
        { "", ' ', 2049, TEXT_CLOSE, "only blanks" },
        { "get ", 'k', 1 << 20, TEXT_MORE, "a get" },
        { "gets ", 'k', 1 << 20, TEXT_MORE, "a gets" },
        { "      get ", 'k', 4096, TEXT_MORE, "a get behind blanks" },
        { K50 K50 " get ", 'k', 4096, TEXT_CLOSE, "a get behind a word" },
        { "gat 0 ", 'k', 4096, TEXT_CLOSE, "gat has no such right" },
        { "mg ", 'k', 4096, TEXT_CLOSE, "nor has mg" },
        { "get ", 'k', GET_LINE_MAX - 1, TEXT_MORE, "the longest get" },
        { "get ", 'k', GET_LINE_MAX, TEXT_CMD, "a get over the limit is an error" },
    };
    char *bytes = malloc(GET_LINE_MAX);

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct text_parser p = fresh;
        struct command c;
        size_t used;

        memset(bytes, row[i].filler, row[i].len);
        memcpy(bytes, row[i].front, strlen(row[i].front));
        cr_expect_eq(parse(&p, slice_of(bytes, row[i].len), &c, &used), row[i].result, "%s",
                     row[i].why);
        if (row[i].result == TEXT_CMD) {
            cr_expect(c.op == OP_ERROR && c.close_after && used == row[i].len, "%s", row[i].why);
            cr_expect_str_eq(complaint(&c), "SERVER_ERROR large get line");
        }
    }
    memset(bytes, ' ', 2049);
    memcpy(bytes + 100, "get k", 5);
    struct text_parser p = fresh;
    struct command c;
    size_t used;
    cr_expect_eq(parse(&p, slice_of(bytes, 2049), &c, &used), TEXT_MORE, "100 blanks pass");
    memcpy(bytes + 100, " get k", 6);
    p = fresh;
    cr_expect_eq(parse(&p, slice_of(bytes, 2049), &c, &used), TEXT_CLOSE, "101 do not");
    free(bytes);
}

/* A megabyte that comes in small pieces is searched once, not once a piece. */
Test(text, a_long_line_is_searched_once)
{
    const size_t len = 1 << 20, step = 100;
    char *bytes = malloc(len);
    struct text_parser p = fresh;
    struct command c;
    size_t used, keys = 0;

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = i % 50 == 3 ? ' ' : 'k';
    }
    memcpy(bytes, "get", 3);
    bytes[len - 1] = '\n';
    for (size_t n = step; n < len; n += step) {
        cr_assert_eq(parse(&p, slice_of(bytes, n), &c, &used), TEXT_MORE);
        cr_assert_eq(p.line_seen, n);
    }
    for (struct slice in = slice_of(bytes, len); in.len > 0; in = slice_from(in, used), keys++) {
        cr_assert_eq(parse(&p, in, &c, &used), TEXT_CMD);
        cr_assert(used > 0 && used <= in.len);
        cr_assert_eq(c.last, used == in.len);
    }
    cr_expect_eq(keys, (len - 4) / 50 + 1);
    free(bytes);
}

/* -- replies ----------------------------------------------------------------------------------- */

static const char *
written(const struct command *c, const struct reply *r)
{
    static char out[PROTO_HEAD_MAX + 1];
    size_t n = text_write_head(c, r, out);

    cr_assert_leq(n, PROTO_HEAD_MAX);
    out[n] = '\0';
    return out;
}

/* Clients compare whole lines byte by byte. */
Test(text, outcomes)
{
    static const struct {
        enum op         op;
        enum reply_code code;
        bool            last;
        const char     *text;
    } row[] = {
        { OP_GET, RPL_HIT, false, "VALUE the:key 4294967295 1073741824\r\n" },
        { OP_GAT, RPL_HIT, true, "VALUE the:key 4294967295 1073741824\r\n" },
        { OP_GETS, RPL_HIT, true, "VALUE the:key 4294967295 1073741824 18446744073709551615\r\n" },
        { OP_GATS, RPL_HIT, true, "VALUE the:key 4294967295 1073741824 18446744073709551615\r\n" },
        { OP_GET, RPL_MISS, false, "" },
        { OP_GET, RPL_MISS, true, "END\r\n" },
        { OP_INCR, RPL_NUMBER, false, "18446744073709551614\r\n" },
        { OP_SET, RPL_STORED, false, "STORED\r\n" },
        { OP_SET, RPL_NOT_STORED, false, "NOT_STORED\r\n" },
        { OP_CAS, RPL_EXISTS, false, "EXISTS\r\n" },
        { OP_CAS, RPL_NOT_FOUND, false, "NOT_FOUND\r\n" },
        { OP_DELETE, RPL_DELETED, false, "DELETED\r\n" },
        { OP_TOUCH, RPL_TOUCHED, false, "TOUCHED\r\n" },
        { OP_FLUSH_ALL, RPL_OK, false, "OK\r\n" },
        { OP_STATS, RPL_RESET, false, "RESET\r\n" },
        { OP_VERSION, RPL_VERSION, false, "VERSION " MEMCACHED_VERSION "\r\n" },
        { OP_STATS, RPL_BLOB, false, "" },
        { OP_QUIT, RPL_CLOSE, false, "" },
        { OP_QUIT, RPL_NOTHING, false, "" },
    };
    struct reply r = { .client_flags = UINT32_MAX,
                       .value_len = VALUE_MAX,
                       .cas = UINT64_MAX,
                       .number = UINT64_MAX - 1 };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct command c = { .op = row[i].op, .last = row[i].last, .key = SLICE("the:key") };

        r.code = row[i].code;
        cr_expect_str_eq(written(&c, &r), row[i].text);
        c.quiet = true;
        cr_expect_str_eq(written(&c, &r), "", "noreply hides %s", row[i].text);
    }
}

/* Every complaint is one line. */
Test(text, complaints)
{
    for (int code = RPL_ERROR; code < REPLIES; code++) {
        struct reply r = { .code = (enum reply_code)code };
        struct command c = { .op = OP_SET };
        char want[300];

        snprintf(want, sizeof want, "%s\r\n", reply_text(r.code));
        cr_expect_str_eq(written(&c, &r), want);
        c.quiet = true;
        cr_expect_str_eq(written(&c, &r), "");
    }
}

Test(text, tails)
{
    struct reply r = { .code = RPL_HIT };
    struct command c = { .op = OP_GET };
    char out[PROTO_TAIL_MAX];

    cr_expect(slice_is(slice_of(out, text_write_tail(&c, &r, out)), "\r\n"));
    c.last = true;
    cr_expect(slice_is(slice_of(out, text_write_tail(&c, &r, out)), "\r\nEND\r\n"));
}
