#include "proto/meta.h"
#include "proto/text.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define REST 0xaa /* what a command is filled with before it is parsed */

/* The command of a line; the parser must take all of it. */
static void
parse_line(const char *line, struct command *c)
{
    struct text_parser p = { 0 };
    size_t used = 0;

    memset(c, REST, sizeof *c);
    cr_assert_eq(text_parse(&p, slice_of(line, strlen(line)), c, &used), TEXT_CMD, "%s", line);
    cr_assert_eq(used, strlen(line), "%s", line);
    cr_assert_eq(c->protocol, PROTO_META, "%s", line);
}

/* All of an answer that stands before a value. */
static const char *
written(const struct command *c, const struct reply *r)
{
    static char out[PROTO_HEAD_MAX + 1];
    size_t n = meta_write_head(c, r, out);

    cr_assert_leq(n, PROTO_HEAD_MAX);
    out[n] = '\0';
    return out;
}

#define CE     "CLIENT_ERROR "
#define FORMAT CE "bad command line format"
#define TOKEN  CE "bad token in command line format"
#define ARITH  CE "invalid or duplicate flag"
#define O31    "o234567890123456789012345678901"
#define K50    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250   K50 K50 K50 K50 K50

/* A wrong flag is never passed over, and a bad ms swallows its value. */
Test(meta, bad_lines)
{
    static const struct {
        const char *in, *answer, *why;
    } row[] = {
        { "mg \r\n", FORMAT, "no key" },
        { "mg " K250 "k v\r\n", FORMAT, "key too long" },
        { "mg k v v\r\n", CE "duplicate flag", "a flag twice" },
        { "mg k T1 T2\r\n", CE "duplicate flag", "though they differ" },
        { "mg k q v v\r\n", CE "duplicate flag", "q hides no error" },
        { "mg k S\r\n", CE "invalid flag", "the old size flag" },
        { "mg k !\r\n", CE "invalid flag", "no letter" },
        { "mg k \x80\r\n", CE "duplicate flag", "no character" },
        { "mg k {\r\n", CE "invalid flag", "behind z" },
        { "mg k @\r\n", CE "invalid flag", "before A" },
        { "mg k s s s s s s s s s s s s s s s s s s s s s\r\n", CE "options flags are too long",
          "21 flags" },
        { "ma k s s s s s s s s s s s s s s s s s s s s s\r\n", CE "options flags are too long",
          "21 flags" },
        { "mg k T\r\n", TOKEN, "no number" },
        { "mg k Tx\r\n", TOKEN, "a word" },
        { "mg k T2147483648\r\n", TOKEN, "no room in 32 bits" },
        { "mg k N\r\n", TOKEN, "no number" },
        { "mg k R1x\r\n", TOKEN, "a number and more" },
        { "mg k C-1\r\n", TOKEN, "negative" },
        { "mg k E18446744073709551616\r\n", TOKEN, "over 64 bits" },
        { "mg k F4294967296\r\n", FORMAT, "over 32 bits" },
        { "mg k Jx\r\n", CE "invalid numeric initial value", "a word" },
        { "mg k Dx\r\n", CE "invalid numeric delta value", "a word" },
        { "mg k O" O31 "x\r\n", CE "opaque token too long", "32 bytes" },
        { "ma k O" O31 "x\r\n", CE "opaque token too long", "32 bytes" },
        { "mg k! b\r\n", CE "error decoding key", "no base64" },
        { "mg Zm9 b\r\n", CE "error decoding key", "cut base64" },
        { "mg " K250 " b\r\n", CE "error decoding key", "250 is no multiple of four" },
        { "ms k\r\n", FORMAT, "no length" },
        { "ms k x\r\n", FORMAT, "a word for a length" },
        { "ms k S5\r\n", FORMAT, "the old syntax" },
        { "ms k -1\r\n", FORMAT, "negative length" },
        { "ms k 2147483646\r\n", FORMAT, "over 2^31 - 3" },
        { "ms " K250 "k 5\r\n", FORMAT " swallow 5", "key too long" },
        { "ms k 5 v v\r\n", CE "duplicate flag swallow 5", "a flag twice" },
        { "ms k 5 Z\r\n", CE "invalid flag swallow 5", "unknown flag" },
        { "ms k 2147483645 Fx q\r\n", FORMAT " swallow 2147483645", "flags are a word" },
        { "ms k 5 Tx\r\n", TOKEN " swallow 5", "a word" },
        { "ms k! 5 b\r\n", CE "error decoding key swallow 5", "no base64" },
        { "ms k 5 M\r\n", CE "invalid mode for ms M token swallow 5", "no mode" },
        { "ms k 5 MX\r\n", CE "invalid mode for ms M token swallow 5", "unknown mode" },
        { "ms k 5 MI\r\n", CE "invalid mode for ms M token swallow 5", "a mode of ma" },
        { "ma k v v\r\n", ARITH, "ma has one complaint" },
        { "ma k Z\r\n", ARITH, "ma has one complaint" },
        { "ma k Jx\r\n", ARITH, "ma has one complaint" },
        { "ma k Dx q\r\n", ARITH, "ma has one complaint" },
        { "ma k Nx\r\n", ARITH, "ma has one complaint" },
        { "ma k! b\r\n", ARITH, "ma has one complaint" },
        { "ma k M\r\n", CE "invalid mode for ma M token", "no mode" },
        { "ma k ME\r\n", CE "invalid mode for ma M token", "a mode of ms" },
        { "me \r\n", FORMAT, "no key" },
        { "me k! b\r\n", FORMAT, "no base64" },
        { "mg k Tx Dx\r\n", CE "invalid numeric delta value", "the last complaint counts" },
        { "mg k Tx Fx\r\n", TOKEN, "unless it is about F" },
        { "mg k v Tx v Dx\r\n", CE "duplicate flag", "or one that ends the reading came first" },
        { "mg k O" O31 "x Tx\r\n", TOKEN, "opaques are looked at last" },
        { "mg k \xff\r\n", CE "duplicate flag", "memcached's word for a letter over 126" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char want[300], got[300];
        struct command c;

        parse_line(row[i].in, &c);
        cr_assert_eq(c.op, OP_ERROR, "%s: %s", row[i].why, row[i].in);
        struct reply r = { .code = c.error };
        const char *text = written(&c, &r);
        if (c.has_value) {
            snprintf(got, sizeof got, "%.*s swallow %u\r\n", (int)strlen(text) - 2, text,
                     c.value_len);
        } else {
            snprintf(got, sizeof got, "%s", text);
        }
        snprintf(want, sizeof want, "%s\r\n", row[i].answer);
        cr_expect_str_eq(got, want, "%s: %s", row[i].why, row[i].in);
    }
}

Test(meta, every_flag_is_read)
{
    struct command c;

    parse_line("mg the:key b0 v s t T30 N-1 R2147483647 E18446744073709551615 C7 F4294967295 "
               "J8 D9 Mxy I q Oabc k P1 x\r\n",
               &c);
    cr_assert_eq(c.op, OP_ERROR, "the:key is no base64");
    parse_line("mg Zm9v b v s t T30 N-1 R2147483647 E18446744073709551615 C7 F4294967295 "
               "J8 D9 Mxy I q Oabc k P1 x\r\n",
               &c);
    cr_assert_eq(c.op, OP_META_GET);
    cr_expect(slice_is(c.key, "foo") && c.key.ptr == c.key_room && c.key_binary);
    cr_expect(slice_is(c.meta.key_sent, "Zm9v") && slice_is(c.meta.opaque, "abc"));
    cr_expect(c.meta.ttl == 30 && c.exptime == 30 && c.has_exptime);
    cr_expect(c.meta.vivify_ttl == -1 && c.meta.recache_ttl == INT32_MAX);
    cr_expect(c.meta.new_cas == UINT64_MAX && c.cas == 7 && c.client_flags == UINT32_MAX);
    cr_expect(c.initial == 8 && c.delta == 9 && c.meta.mode == 'x');
    cr_expect(c.meta.at_t == 4 && c.meta.at_T == 5 && c.meta.at_N == 6 && c.meta.at_R == 7);
    cr_expect(c.quiet && !c.has_value && !c.last && !c.close_after);
    for (const char *f = "bvstTNRECFJDMIqOkPx"; *f; f++) {
        cr_expect(c.meta.has & META_BIT(*f), "%c", *f);
    }
    cr_expect(!(c.meta.has & (META_BIT('u') | META_BIT('h') | META_BIT('L'))));
    cr_expect(slice_is(slice_of(c.meta.returned, c.meta.returned_count), "stOk"));
}

Test(meta, good_lines)
{
    static const struct {
        const char *in;
        enum op     op;
        const char *why;
    } row[] = {
        { "mg " K250 "\r\n", OP_META_GET, "the longest key" },
        { "mg   k   v  \n", OP_META_GET, "runs of blanks" },
        { "mg k O" O31 "\r\n", OP_META_GET, "the longest opaque" },
        { "mg k O\r\n", OP_META_GET, "an empty opaque" },
        { "mg k b\xff\r\n", OP_ERROR, "b is b whatever stands behind it" },
        { "md a v t s\r\n", OP_META_DELETE, "letters that mean nothing to md" },
        { "md k MX\r\n", OP_META_DELETE, "a mode that means nothing to md" },
        { "ms k 0 MA\r\n", OP_META_SET, "mode" },
        { "ms k 0 Mxe\r\n", OP_ERROR, "the first character counts, and it is no mode" },
        { "ms k 0 MEx\r\n", OP_META_SET, "the first character counts" },
        { "ms k 0 Me\r\n", OP_ERROR, "modes of ms are capitals" },
        { "ma k Mi\r\n", OP_ERROR, "modes of ma are capitals or signs" },
        { "ma k M+\r\n", OP_META_ARITH, "mode" },
        { "ma k MD\r\n", OP_META_ARITH, "mode" },
        { "me k\r\n", OP_META_DEBUG, "raw key" },
        { "me Zm9v b\r\n", OP_META_DEBUG, "base64 key" },
        { "mn\r\n", OP_META_NOOP, "mn" },
        { "mn  x\r\n", OP_META_NOOP, "mn and words" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct command c;

        parse_line(row[i].in, &c);
        cr_expect_eq(c.op, row[i].op, "%s: %s", row[i].why, row[i].in);
    }
}

/* ma counts by one unless it is told otherwise, and starts at zero. */
Test(meta, defaults)
{
    struct command c;

    parse_line("ma k\r\n", &c);
    cr_expect(c.delta == 1 && c.initial == 0 && c.meta.mode == 0 && c.cas == 0);
    cr_expect(!c.has_exptime && c.exptime == 0 && !c.quiet && !c.key_binary && c.meta.has == 0);
    parse_line("ms k 7\r\n", &c);
    cr_expect(c.has_value && c.value_len == 7 && c.client_flags == 0 && c.meta.returned_count == 0);
    parse_line("mg k T1 t\r\n", &c);
    cr_expect(c.meta.at_T == 1 && c.meta.at_t == 2 && c.meta.at_N == 0, "flags have places");
}

/* Keys of control bytes come as base64; a longest one just fits. */
Test(meta, longest_base64_key)
{
    char line[300] = "mg ";
    struct command c;

    for (int i = 0; i < 62; i++) {
        strcat(line, "AAEC");
    }
    strcat(line, " b k\r\n");
    parse_line(line, &c);
    cr_assert_eq(c.op, OP_META_GET);
    cr_expect_eq(c.key.len, 186);
    cr_expect_eq(memcmp(c.key.ptr + 183, "\0\1\2", 3), 0);
    cr_expect_eq(c.meta.key_sent.len, 248);
}

#define ALL_FLAGS "s t c f l h k Oxy"

/* What each command repeats, for each outcome; dalli finds things by their place. */
Test(meta, answers)
{
    static const struct {
        const char     *in;
        enum reply_code code;
        const char     *text;
    } row[] = {
        { "mg k v " ALL_FLAGS "\r\n", RPL_HIT, "VA 5 s5 t-1 c9 f7 l3 h1 kk Oxy\r\n" },
        { "mg k " ALL_FLAGS " q\r\n", RPL_DONE, "HD s5 t-1 c9 f7 l3 h1 kk Oxy\r\n" },
        { "mg k Oxy k h l f c t s\r\n", RPL_DONE, "HD Oxy kk h1 l3 f7 c9 t-1 s5\r\n" },
        { "mg k\r\n", RPL_DONE, "HD\r\n" },
        { "mg k v\r\n", RPL_HIT, "VA 5\r\n" },
        { "mg k v q\r\n", RPL_HIT, "VA 5\r\n" },
        { "mg k " ALL_FLAGS "\r\n", RPL_MISS, "EN kk Oxy\r\n" },
        { "mg k q k\r\n", RPL_MISS, "" },
        { "mg Zm9v k b\r\n", RPL_MISS, "EN kZm9v b\r\n" },
        { "mg Zm9v k b\r\n", RPL_DONE, "HD kfoo\r\n" },
        { "mg Zm8AZm9v k b\r\n", RPL_DONE, "HD kZm8AZm9v b\r\n" },
        { "mg k q\r\n", RPL_NO_MEMORY, "SERVER_ERROR out of memory storing object\r\n" },
        { "ms k 3 " ALL_FLAGS "\r\n", RPL_STORED, "HD s5 c9 kk Oxy\r\n" },
        { "ms k 3 " ALL_FLAGS "\r\n", RPL_NOT_STORED, "NS s3 c0 kk Oxy\r\n" },
        { "ms k 3 c q\r\n", RPL_EXISTS, "EX c0\r\n" },
        { "ms k 3 q\r\n", RPL_NOT_FOUND, "NF\r\n" },
        { "ms k 3 q k\r\n", RPL_STORED, "" },
        { "ms Zm9v 3 b k\r\n", RPL_NOT_STORED, "NS kZm9v b\r\n" },
        { "ms k 3 q\r\n", RPL_TOO_LARGE, "SERVER_ERROR object too large for cache\r\n" },
        { "ms k 3 q\r\n", RPL_BAD_CHUNK, "CLIENT_ERROR bad data chunk\r\n" },
        { "md k " ALL_FLAGS "\r\n", RPL_DELETED, "HD kk Oxy\r\n" },
        { "md k " ALL_FLAGS "\r\n", RPL_DONE, "HD kk Oxy\r\n" },
        { "md k " ALL_FLAGS " q\r\n", RPL_NOT_FOUND, "NF kk Oxy\r\n" },
        { "md k q\r\n", RPL_EXISTS, "EX\r\n" },
        { "md k q\r\n", RPL_DELETED, "" },
        { "md k q I\r\n", RPL_DONE, "" },
        { "ma k v " ALL_FLAGS "\r\n", RPL_NUMBER,
          "VA 20 t-1 c9 kk Oxy\r\n18446744073709551615\r\n" },
        { "ma k " ALL_FLAGS "\r\n", RPL_NUMBER, "HD t-1 c9 kk Oxy\r\n" },
        { "ma k " ALL_FLAGS "\r\n", RPL_DONE, "HD t-1 c9 kk Oxy\r\n" },
        { "ma k v q\r\n", RPL_NUMBER, "" },
        { "ma k q\r\n", RPL_DONE, "" },
        { "ma k " ALL_FLAGS " q\r\n", RPL_NOT_FOUND, "NF kk Oxy\r\n" },
        { "ma k q\r\n", RPL_EXISTS, "EX\r\n" },
        { "ma k q\r\n", RPL_NOT_STORED, "NS\r\n" },
        { "ma k q\r\n", RPL_NON_NUMERIC,
          "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n" },
        { "me k\r\n", RPL_MISS, "EN\r\n" },
        { "me k\r\n", RPL_BLOB, "" },
        { "mn\r\n", RPL_META_NOOP, "MN\r\n" },
        { "mn\r\n", RPL_CLOSE, "" },
        { "mn\r\n", RPL_NOTHING, "" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct reply r = { .code = row[i].code,
                           .fetched = true,
                           .client_flags = 7,
                           .value_len = 5,
                           .ttl = -1,
                           .idle = 3,
                           .cas = 9,
                           .number = UINT64_MAX };
        struct command c;

        parse_line(row[i].in, &c);
        cr_assert_neq(c.op, OP_ERROR, "%s", row[i].in);
        r.has_item = r.code <= RPL_STORED && r.code != RPL_MISS;
        cr_expect_str_eq(written(&c, &r), row[i].text, "%s", row[i].in);
    }
}

/* An item keeps in mind that its key came as base64, and who else asks for it is told so. */
Test(meta, key_of_a_binary_item)
{
    struct reply r = { .code = RPL_DONE, .has_item = true, .key_binary = true };
    struct command c;

    parse_line("mg foo k s\r\n", &c);
    cr_expect_str_eq(written(&c, &r), "HD kZm9v b s0\r\n");
    parse_line("mg Zm9v k s b\r\n", &c);
    cr_expect_str_eq(written(&c, &r), "HD kZm9v b s0\r\n");
    r.key_binary = false;
    parse_line("mg \x01 k\r\n", &c);
    cr_expect_str_eq(written(&c, &r), "HD k\x01\r\n");
}

/* The tokens of stale items, in memcached's order. */
Test(meta, stale_and_won)
{
    static const struct {
        bool        sent, stale, won;
        const char *text;
    } row[] = {
        { .won = true, .text = "HD kk W\r\n" },
        { .sent = true, .text = "HD kk Z\r\n" },
        { .stale = true, .won = true, .text = "HD kk X W\r\n" },
        { .sent = true, .stale = true, .text = "HD kk Z X\r\n" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct reply r = { .code = RPL_DONE,
                           .has_item = true,
                           .sent = row[i].sent,
                           .stale = row[i].stale,
                           .won = row[i].won };
        struct command c;

        parse_line("mg k k\r\n", &c);
        cr_expect_str_eq(written(&c, &r), row[i].text);
    }
}

/* The longest answer there is must fit what sessions set aside for it. */
Test(meta, longest_answer)
{
    struct reply r = { .code = RPL_HIT,
                       .has_item = true,
                       .sent = true,
                       .stale = true,
                       .won = true,
                       .key_binary = true,
                       .client_flags = UINT32_MAX,
                       .value_len = VALUE_MAX,
                       .ttl = INT64_MIN,
                       .idle = UINT32_MAX,
                       .cas = UINT64_MAX };
    struct command c;

    parse_line("mg " K250 " v s t c f l h k O" O31 "\r\n", &c);
    cr_expect_gt(strlen(written(&c, &r)), 400);
}

Test(meta, tail)
{
    struct reply r = { .code = RPL_HIT };
    struct command c = { .op = OP_META_GET, .protocol = PROTO_META };
    char out[PROTO_TAIL_MAX];

    cr_expect(slice_is(slice_of(out, meta_write_tail(&c, &r, out)), "\r\n"));
}
