#include "proto/binary.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FILL   0xaa /* what a command is filled with before it is parsed */
#define ROOM   2048
#define OPAQUE "\xde\xad\xbe\xef"
#define CAS0   "\0\0\0\0\0\0\0\0"
#define BYTES(literal) { (literal), sizeof(literal) - 1 }

/* A request header: opcode, key length, extras length, body length, cas. */
#define HEAD(op, key2, extra1, body4, cas8) \
    "\x80" op key2 extra1 "\0\0\0" body4 OPAQUE cas8

/* Parses from a copy of exactly these bytes, so that a look behind them is seen. */
static enum binary_result
parse_exactly(struct slice bytes, struct command *c, size_t *used)
{
    char *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    enum binary_result result;

    memcpy(copy, bytes.ptr, bytes.len);
    memset(c, FILL, sizeof *c);
    *used = 99999;
    result = binary_parse(slice_of(copy, bytes.len), c, used);
    if (result == BINARY_CMD) {
        /* The slices shall point to something that lasts. */
        c->key.ptr = c->key.len > 0 ? bytes.ptr + (c->key.ptr - copy) : "";
        c->args.ptr = c->args.len > 0 ? bytes.ptr + (c->args.ptr - copy) : "";
    }
    free(copy);
    return result;
}

/* Every opcode with what it carries is the command that it should be.  (long: a table) */
Test(binary, requests_are_understood)
{
    static const struct {
        struct slice in;
        enum op      op;
        bool         quiet, has_value;
        uint32_t     value_len, client_flags;
        int64_t      exptime;
        bool         has_exptime;
        uint64_t     cas, delta, initial;
        const char  *key, *args;
        bool         close_after;
    } row[] = {
        { BYTES(HEAD("\x00", "\0\1", "\0", "\0\0\0\1", CAS0) "k"), .op = OP_GET, .key = "k" },
        { BYTES(HEAD("\x09", "\0\1", "\0", "\0\0\0\1", CAS0) "k"), OP_GET, true, .key = "k" },
        { BYTES(HEAD("\x0c", "\0\1", "\0", "\0\0\0\1", CAS0) "k"), .op = OP_GET, .key = "k" },
        { BYTES(HEAD("\x0d", "\0\1", "\0", "\0\0\0\1", CAS0) "k"), OP_GET, true, .key = "k" },
        { BYTES(HEAD("\x01", "\0\2", "\x08", "\0\0\0\x0f", "\1\2\3\4\5\6\7\x08")
                "\xfe\xdc\xba\x98\xff\xff\xff\xffkk"),
          OP_SET, false, true, 5, 0xfedcba98u, 4294967295, .cas = UINT64_C(0x0102030405060708),
          .key = "kk" },
        { BYTES(HEAD("\x11", "\0\1", "\x08", "\0\0\0\x09", CAS0) "\0\0\0\0\0\0\0\x05k"), OP_SET,
          true, true, 0, .exptime = 5, .key = "k" },
        { BYTES(HEAD("\x02", "\0\1", "\x08", "\0\0\0\x0a", CAS0) "\0\0\0\0\0\0\0\0k"), OP_ADD,
          false, true, 1, .key = "k" },
        { BYTES(HEAD("\x12", "\0\1", "\x08", "\0\0\0\x0a", CAS0) "\0\0\0\0\0\0\0\0k"), OP_ADD, true,
          true, 1, .key = "k" },
        { BYTES(HEAD("\x03", "\0\1", "\x08", "\0\0\0\x0a", CAS0) "\0\0\0\0\0\0\0\0k"), OP_REPLACE,
          false, true, 1, .key = "k" },
        { BYTES(HEAD("\x13", "\0\1", "\x08", "\0\0\0\x0a", CAS0) "\0\0\0\0\0\0\0\0k"), OP_REPLACE,
          true, true, 1, .key = "k" },
        { BYTES(HEAD("\x04", "\0\1", "\0", "\0\0\0\1", "\0\0\0\0\0\0\0\x09") "k"), .op = OP_DELETE,
          .cas = 9, .key = "k" },
        { BYTES(HEAD("\x14", "\0\1", "\0", "\0\0\0\1", CAS0) "k"), OP_DELETE, true, .key = "k" },
        { BYTES(HEAD("\x05", "\0\1", "\x14", "\0\0\0\x15", CAS0)
                "\0\0\0\0\0\0\0\2\1\2\3\4\5\6\7\x08\0\0\0\x3ck"),
          .op = OP_INCR, .exptime = 60, .has_exptime = true, .delta = 2,
          .initial = UINT64_C(0x0102030405060708), .key = "k" },
        { BYTES(HEAD("\x15", "\0\1", "\x14", "\0\0\0\x15", CAS0)
                "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\xff\xff\xff\xffk"),
          OP_INCR, true, .exptime = 4294967295, .delta = 2, .initial = 1, .key = "k" },
        { BYTES(HEAD("\x06", "\0\1", "\x14", "\0\0\0\x15", CAS0)
                "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\xff\xff\xff\xfek"),
          .op = OP_DECR, .exptime = 4294967294, .has_exptime = true, .delta = 2, .initial = 1,
          .key = "k" },
        { BYTES(HEAD("\x16", "\0\1", "\x14", "\0\0\0\x15", CAS0)
                "\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0k"),
          OP_DECR, true, .has_exptime = true, .delta = 2, .initial = 1, .key = "k" },
        { BYTES(HEAD("\x07", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_QUIT, .close_after = true },
        { BYTES(HEAD("\x17", "\0\0", "\0", "\0\0\0\0", CAS0)), OP_QUIT, true, .close_after = true },
        { BYTES(HEAD("\x08", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_FLUSH_ALL },
        { BYTES(HEAD("\x08", "\0\0", "\4", "\0\0\0\4", CAS0) "\0\0\1\0"), .op = OP_FLUSH_ALL,
          .exptime = 256, .has_exptime = true },
        { BYTES(HEAD("\x18", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_FLUSH_ALL,
          .quiet = true },
        { BYTES(HEAD("\x0a", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_NOOP },
        { BYTES(HEAD("\x0b", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_VERSION },
        { BYTES(HEAD("\x0e", "\0\1", "\0", "\0\0\0\3", CAS0) "k"), OP_APPEND, false, true, 2,
          .key = "k" },
        { BYTES(HEAD("\x19", "\0\1", "\0", "\0\0\0\3", CAS0) "k"), OP_APPEND, true, true, 2,
          .key = "k" },
        { BYTES(HEAD("\x0f", "\0\1", "\0", "\0\0\0\3", CAS0) "k"), OP_PREPEND, false, true, 2,
          .key = "k" },
        { BYTES(HEAD("\x1a", "\0\1", "\0", "\0\0\0\3", CAS0) "k"), OP_PREPEND, true, true, 2,
          .key = "k" },
        { BYTES(HEAD("\x10", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_STATS },
        { BYTES(HEAD("\x10", "\0\5", "\0", "\0\0\0\5", CAS0) "items"), .op = OP_STATS,
          .args = "items" },
        { BYTES(HEAD("\x1c", "\0\1", "\4", "\0\0\0\5", CAS0) "\0\0\0\7k"), .op = OP_TOUCH,
          .exptime = 7, .has_exptime = true, .key = "k" },
        { BYTES(HEAD("\x1d", "\0\1", "\4", "\0\0\0\5", CAS0) "\0\0\0\7k"), .op = OP_GAT,
          .exptime = 7, .has_exptime = true, .key = "k" },
        { BYTES(HEAD("\x1e", "\0\1", "\4", "\0\0\0\5", CAS0) "\0\0\0\7k"), OP_GAT, true,
          .exptime = 7, .has_exptime = true, .key = "k" },
        { BYTES(HEAD("\x23", "\0\1", "\4", "\0\0\0\5", CAS0) "\0\0\0\7k"), .op = OP_GAT,
          .exptime = 7, .has_exptime = true, .key = "k" },
        { BYTES(HEAD("\x24", "\0\1", "\4", "\0\0\0\5", CAS0) "\0\0\0\7k"), OP_GAT, true,
          .exptime = 7, .has_exptime = true, .key = "k" },
        { BYTES(HEAD("\x20", "\0\0", "\0", "\0\0\0\0", CAS0)), .op = OP_SASL_LIST },
        { BYTES(HEAD("\x21", "\0\5", "\0", "\0\0\0\x08", CAS0) "PLAIN"), OP_SASL_AUTH, false,
          true, 3, .key = "PLAIN" },
        { BYTES(HEAD("\x22", "\0\5", "\0", "\0\0\0\x08", CAS0) "PLAIN"), OP_SASL_STEP, false,
          true, 3, .key = "PLAIN" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        unsigned opcode = (uint8_t)row[i].in.ptr[1];
        struct command c;
        size_t used;

        cr_assert(eq(int, parse_exactly(row[i].in, &c, &used), BINARY_CMD), "%02x", opcode);
        cr_expect(eq(sz, used, row[i].in.len), "%02x", opcode);
        cr_expect(eq(int, c.op, row[i].op), "%02x", opcode);
        cr_expect(eq(int, c.protocol, PROTO_BINARY), "%02x", opcode);
        cr_expect(eq(uint, c.opcode, opcode), "%02x", opcode);
        cr_expect(eq(u32, c.opaque, 0xdeadbeefu), "%02x", opcode);
        cr_expect(eq(int, c.quiet, row[i].quiet), "%02x", opcode);
        cr_expect(eq(int, c.has_value, row[i].has_value), "%02x", opcode);
        cr_expect(eq(u32, c.value_len, row[i].value_len), "%02x", opcode);
        cr_expect(eq(u32, c.client_flags, row[i].client_flags), "%02x", opcode);
        cr_expect(eq(i64, c.exptime, row[i].exptime), "%02x", opcode);
        cr_expect(eq(int, c.has_exptime, row[i].has_exptime), "%02x", opcode);
        cr_expect(eq(u64, c.cas, row[i].cas), "%02x", opcode);
        cr_expect(eq(u64, c.delta, row[i].delta), "%02x", opcode);
        cr_expect(eq(u64, c.initial, row[i].initial), "%02x", opcode);
        cr_expect(eq(int, c.close_after, row[i].close_after), "%02x", opcode);
        cr_expect(slice_is(c.key, row[i].key ? row[i].key : ""), "%02x", opcode);
        cr_expect(slice_is(c.args, row[i].args ? row[i].args : ""), "%02x", opcode);
        cr_expect(c.value.ptr == NULL && !c.last && !c.key_binary && c.hash == 0, "%02x", opcode);
        /* TCP may cut anywhere: every proper prefix asks for more. */
        for (size_t cut = 0; cut < row[i].in.len; cut++) {
            cr_expect(eq(int, parse_exactly(slice_of(row[i].in.ptr, cut), &c, &used), BINARY_MORE),
                      "%02x cut after %zu", opcode, cut);
        }
    }
}

/* A wrong packet is answered, and its body can be skipped; most close.  (long: a table) */
Test(binary, wrong_packets_are_refused_by_their_header)
{
    static const struct {
        struct slice    in;
        enum reply_code error;
        bool            close_after;
        uint32_t        rest;
        const char     *why;
    } row[] = {
        { BYTES(HEAD("\x00", "\0\0", "\0", "\0\0\0\0", CAS0)), RPL_BIN_INVALID, true, 0, "no key" },
        { BYTES(HEAD("\x00", "\0\xfb", "\0", "\0\0\0\xfb", CAS0)), RPL_BIN_INVALID, true, 251,
          "251 bytes of key" },
        { BYTES(HEAD("\x00", "\xff\xff", "\0", "\0\0\xff\xff", CAS0)), RPL_BIN_INVALID, true, 65535,
          "65535 bytes of key" },
        { BYTES(HEAD("\x50", "\0\xfb", "\0", "\0\0\0\xfb", CAS0)), RPL_BIN_INVALID, true, 251,
          "unknown with a long key" },
        { BYTES(HEAD("\x00", "\0\1", "\4", "\0\0\0\5", CAS0)), RPL_BIN_INVALID, true, 5,
          "get with extras" },
        { BYTES(HEAD("\x00", "\0\1", "\0", "\0\0\0\2", CAS0)), RPL_BIN_INVALID, true, 2,
          "get with a value" },
        { BYTES(HEAD("\x01", "\0\1", "\7", "\0\0\0\x08", CAS0)), RPL_BIN_INVALID, true, 8,
          "set with short extras" },
        { BYTES(HEAD("\x01", "\0\0", "\x08", "\0\0\0\x08", CAS0)), RPL_BIN_INVALID, true, 8,
          "set without a key" },
        { BYTES(HEAD("\x0e", "\0\1", "\x08", "\0\0\0\x09", CAS0)), RPL_BIN_INVALID, true, 9,
          "append with extras" },
        { BYTES(HEAD("\x05", "\0\1", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "incr without extras" },
        { BYTES(HEAD("\x1c", "\0\1", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "touch without extras" },
        { BYTES(HEAD("\x08", "\0\0", "\3", "\0\0\0\3", CAS0)), RPL_BIN_INVALID, true, 3,
          "flush with 3 bytes of extras" },
        { BYTES(HEAD("\x0a", "\0\1", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "noop with a key" },
        { BYTES(HEAD("\x0b", "\0\0", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "version with a value" },
        { BYTES(HEAD("\x10", "\0\0", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "stat with a value" },
        { BYTES(HEAD("\x21", "\0\0", "\0", "\0\0\0\1", CAS0)), RPL_BIN_INVALID, true, 1,
          "sasl without a mechanism" },
        { BYTES(HEAD("\x01", "\0\1", "\x08", "\x40\0\0\1", CAS0)), RPL_BIN_INVALID, true,
          0x40000001u, "more than 1 GiB" },
        { BYTES(HEAD("\x01", "\0\1", "\x08", "\xff\xff\xff\xff", CAS0)), RPL_BIN_INVALID, true,
          0xffffffffu, "2^32-1 bytes" },
        { BYTES(HEAD("\x00", "\0\3", "\0", "\0\0\0\1", CAS0)), RPL_BIN_UNKNOWN, true, 1,
          "a body shorter than its key" },
        { BYTES(HEAD("\x01", "\0\3", "\x08", "\0\0\0\x0a", CAS0)), RPL_BIN_UNKNOWN, true, 10,
          "a body shorter than key and extras" },
        { BYTES(HEAD("\x50", "\0\3", "\0", "\0\0\0\1", CAS0)), RPL_BIN_UNKNOWN, true, 1,
          "an unknown one with a short body" },
        { BYTES(HEAD("\x50", "\0\0", "\0", "\0\0\0\0", CAS0)), RPL_BIN_UNKNOWN, false, 0,
          "an unknown opcode" },
        { BYTES(HEAD("\x50", "\0\3", "\4", "\0\1\0\0", CAS0)), RPL_BIN_UNKNOWN, false, 65536,
          "an unknown opcode with a body" },
        { BYTES(HEAD("\x1b", "\0\0", "\4", "\0\0\0\4", CAS0)), RPL_BIN_UNKNOWN, false, 4,
          "verbosity" },
        { BYTES(HEAD("\xff", "\0\0", "\0", "\0\0\0\0", CAS0)), RPL_BIN_UNKNOWN, false, 0,
          "the last opcode" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct command c;
        size_t used;

        cr_assert(eq(sz, row[i].in.len, BINARY_HEADER), "%s", row[i].why);
        cr_assert(eq(int, parse_exactly(row[i].in, &c, &used), BINARY_CMD), "%s", row[i].why);
        cr_expect(eq(sz, used, BINARY_HEADER), "%s", row[i].why);
        cr_expect(eq(int, c.op, OP_ERROR), "%s", row[i].why);
        cr_expect(eq(int, c.error, row[i].error), "%s", row[i].why);
        cr_expect(eq(int, c.close_after, row[i].close_after), "%s", row[i].why);
        cr_expect(eq(int, c.has_value, row[i].rest > 0), "%s", row[i].why);
        cr_expect(eq(u32, c.value_len, row[i].rest), "%s", row[i].why);
        cr_expect(eq(u32, c.opaque, 0xdeadbeefu), "%s", row[i].why);
        cr_expect(not(c.quiet), "%s", row[i].why);
    }
}

/* Some server's port gets text, or an answer: nothing can be said to that. */
Test(binary, another_first_byte_closes)
{
    for (int byte = 0; byte < 256; byte++) {
        char in[BINARY_HEADER] = { (char)byte, 0x0a };
        struct command c;
        size_t used;

        cr_expect(eq(int, parse_exactly(slice_of(in, sizeof in), &c, &used),
                     byte == BINARY_REQUEST ? BINARY_CMD : BINARY_CLOSE), "%02x", byte);
        cr_expect(eq(int, parse_exactly(slice_of(in, 1), &c, &used),
                     byte == BINARY_REQUEST ? BINARY_MORE : BINARY_CLOSE), "%02x", byte);
    }
}

/* The largest key and a value of 1 GiB are no mistake. */
Test(binary, limits_are_allowed)
{
    char in[BINARY_HEADER + 8 + KEY_MAX];
    struct command c;
    size_t used;

    memset(in, 'k', sizeof in);
    memcpy(in, HEAD("\x01", "\0\xfa", "\x08", "\x40\0\0\0", CAS0), BINARY_HEADER);
    cr_assert(eq(int, parse_exactly(slice_of(in, sizeof in), &c, &used), BINARY_CMD));
    cr_expect(eq(int, c.op, OP_SET));
    cr_expect(eq(sz, c.key.len, KEY_MAX));
    cr_expect(eq(u32, c.value_len, (1u << 30) - 8 - KEY_MAX));
}

/* A response header: opcode, key length, extras length, status, body length, cas. */
#define SAID(op, key2, extra1, status2, body4, cas8) \
    BYTES("\x81" op key2 extra1 "\0" status2 body4 OPAQUE cas8)

static size_t
answer_write(unsigned opcode, const struct reply *r, char *out)
{
    static const char in[] =
        HEAD("\0", "\0\0", "\0", "\0\0\0\0", CAS0) "................................k";
    static const uint8_t extras[256] = {
        [0x01] = 8, [0x02] = 8, [0x03] = 8, [0x05] = 20, [0x06] = 20, [0x11] = 8, [0x12] = 8,
        [0x13] = 8, [0x15] = 20, [0x16] = 20, [0x1c] = 4, [0x1d] = 4, [0x1e] = 4, [0x23] = 4,
        [0x24] = 4,
    };
    bool has_key = extras[opcode] > 0 || opcode == 0x00 || opcode == 0x04 || opcode == 0x09 ||
                   (opcode >= 0x0c && opcode <= 0x0f) || opcode == 0x14 || opcode == 0x19 ||
                   opcode == 0x1a || opcode == 0x21;
    struct command c;
    char request[sizeof in];
    size_t used;

    memcpy(request, in, sizeof in);
    request[1] = (char)opcode;
    request[3] = has_key;
    request[4] = (char)extras[opcode];
    request[11] = (char)(extras[opcode] + has_key);
    request[BINARY_HEADER + extras[opcode]] = 'k';
    memset(&c, FILL, sizeof c);
    cr_assert(eq(int, binary_parse(slice_of(request, sizeof in), &c, &used), BINARY_CMD));
    memset(out, FILL, ROOM);
    used = binary_write_head(&c, r, out);
    for (size_t i = used; i < ROOM; i++) {
        cr_assert(eq(int, (uint8_t)out[i], FILL), "%02x writes behind its end", opcode);
    }
    return used;
}

/* What stands before a value, byte for byte as memcached 1.6.18 sends it.  (long: a table) */
Test(binary, answers_byte_for_byte)
{
    static const struct {
        unsigned     opcode;
        struct reply r;
        struct slice want;
    } row[] = {
#define HIT5 { .code = RPL_HIT, .has_item = true, .client_flags = 7, .value_len = 5, .cas = 258 }
#define CAS258 "\0\0\0\0\0\0\1\2"
        { 0x00, HIT5, SAID("\x00", "\0\0", "\4", "\0\0", "\0\0\0\x09", CAS258 "\0\0\0\7") },
        { 0x09, HIT5, SAID("\x09", "\0\0", "\4", "\0\0", "\0\0\0\x09", CAS258 "\0\0\0\7") },
        { 0x0c, HIT5, SAID("\x0c", "\0\1", "\4", "\0\0", "\0\0\0\x0a", CAS258 "\0\0\0\7k") },
        { 0x0d, HIT5, SAID("\x0d", "\0\1", "\4", "\0\0", "\0\0\0\x0a", CAS258 "\0\0\0\7k") },
        { 0x1d, HIT5, SAID("\x1d", "\0\0", "\4", "\0\0", "\0\0\0\x09", CAS258 "\0\0\0\7") },
        { 0x1e, HIT5, SAID("\x1e", "\0\0", "\4", "\0\0", "\0\0\0\x09", CAS258 "\0\0\0\7") },
        { 0x23, HIT5, SAID("\x23", "\0\1", "\4", "\0\0", "\0\0\0\x0a", CAS258 "\0\0\0\7k") },
        { 0x24, HIT5, SAID("\x24", "\0\1", "\4", "\0\0", "\0\0\0\x0a", CAS258 "\0\0\0\7k") },
        { 0x1c, { .code = RPL_TOUCHED, .client_flags = 7, .value_len = 5, .cas = 258 },
          SAID("\x1c", "\0\0", "\4", "\0\0", "\0\0\0\4", CAS258 "\0\0\0\7") },
        { 0x01, { .code = RPL_STORED, .cas = 258 },
          SAID("\x01", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS258) },
        { 0x0e, { .code = RPL_STORED, .cas = 258 },
          SAID("\x0e", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS258) },
        { 0x04, { .code = RPL_DELETED, .cas = 258 },
          SAID("\x04", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x05, { .code = RPL_NUMBER, .number = 10, .cas = 258 },
          SAID("\x05", "\0\0", "\0", "\0\0", "\0\0\0\x08", CAS258 "\0\0\0\0\0\0\0\x0a") },
        { 0x06, { .code = RPL_NUMBER, .number = UINT64_MAX },
          SAID("\x06", "\0\0", "\0", "\0\0", "\0\0\0\x08",
               CAS0 "\xff\xff\xff\xff\xff\xff\xff\xff") },
        { 0x0a, { .code = RPL_OK }, SAID("\x0a", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x08, { .code = RPL_OK }, SAID("\x08", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x07, { .code = RPL_OK }, SAID("\x07", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x07, { .code = RPL_CLOSE }, SAID("\x07", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x0b, { .code = RPL_VERSION },
          SAID("\x0b", "\0\0", "\0", "\0\0", "\0\0\0\6", CAS0 MEMCACHED_VERSION) },
        { 0x10, { .code = RPL_RESET }, SAID("\x10", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0) },
        { 0x10, { .code = RPL_BLOB, .value = { "packets", 7 } }, { "", 0 } },
        { 0x20, { .code = RPL_BLOB, .value = { "PLAIN", 5 } },
          SAID("\x20", "\0\0", "\0", "\0\0", "\0\0\0\5", CAS0) },
        { 0x21, { .code = RPL_OK },
          SAID("\x21", "\0\0", "\0", "\0\0", "\0\0\0\x0d", CAS0 "Authenticated") },
        { 0x00, { .code = RPL_MISS },
          SAID("\x00", "\0\0", "\0", "\0\1", "\0\0\0\x09", CAS0 "Not found") },
        { 0x0c, { .code = RPL_MISS }, SAID("\x0c", "\0\1", "\0", "\0\1", "\0\0\0\1", CAS0 "k") },
        { 0x23, { .code = RPL_MISS }, SAID("\x23", "\0\1", "\0", "\0\1", "\0\0\0\1", CAS0 "k") },
        { 0x1d, { .code = RPL_NOT_FOUND },
          SAID("\x1d", "\0\0", "\0", "\0\1", "\0\0\0\x09", CAS0 "Not found") },
        { 0x1c, { .code = RPL_NOT_FOUND },
          SAID("\x1c", "\0\0", "\0", "\0\1", "\0\0\0\x09", CAS0 "Not found") },
        { 0x02, { .code = RPL_EXISTS, .cas = 258 },
          SAID("\x02", "\0\0", "\0", "\0\2", "\0\0\0\x14", CAS0 "Data exists for key.") },
        { 0x01, { .code = RPL_TOO_LARGE },
          SAID("\x01", "\0\0", "\0", "\0\3", "\0\0\0\x0a", CAS0 "Too large.") },
        { 0x0e, { .code = RPL_NOT_STORED },
          SAID("\x0e", "\0\0", "\0", "\0\5", "\0\0\0\x0b", CAS0 "Not stored.") },
        { 0x05, { .code = RPL_NON_NUMERIC },
          SAID("\x05", "\0\0", "\0", "\0\6", "\0\0\0\x2e",
               CAS0 "Non-numeric server-side value for incr or decr") },
        { 0x08, { .code = RPL_FLUSH_REFUSED },
          SAID("\x08", "\0\0", "\0", "\0\x20", "\0\0\0\x0d", CAS0 "Auth failure.") },
        { 0x00, { .code = RPL_BIN_INVALID },
          SAID("\x00", "\0\0", "\0", "\0\4", "\0\0\0\x11", CAS0 "Invalid arguments") },
        { 0x50, { .code = RPL_BIN_UNKNOWN },
          SAID("\x50", "\0\0", "\0", "\0\x81", "\0\0\0\x0f", CAS0 "Unknown command") },
        { 0x01, { .code = RPL_NO_MEMORY },
          SAID("\x01", "\0\0", "\0", "\0\x82", "\0\0\0\x0d", CAS0 "Out of memory") },
        { 0x00, { .code = RPL_NOTHING }, { "", 0 } },
        { 0x00, { .code = RPL_CLOSE }, { "", 0 } },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char out[ROOM];
        size_t n = answer_write(row[i].opcode, &row[i].r, out);

        cr_expect(slice_eq(slice_of(out, n), row[i].want), "row %zu, opcode %02x: %zu bytes", i,
                  row[i].opcode, n);
    }
}

/* Quiet gets hide misses, quiet mutations success; errors always answer, as clients count on. */
Test(binary, quiet_forms_keep_silent_where_they_should)
{
    static const struct {
        unsigned        opcode;
        enum reply_code code;
        bool            silent;
    } row[] = {
        { 0x09, RPL_MISS, true },       { 0x0d, RPL_MISS, true },
        { 0x1e, RPL_MISS, true },       { 0x24, RPL_NOT_FOUND, true },
        { 0x09, RPL_HIT, false },       { 0x24, RPL_HIT, false },
        { 0x09, RPL_NO_MEMORY, false }, { 0x11, RPL_STORED, true },
        { 0x11, RPL_EXISTS, false },    { 0x11, RPL_TOO_LARGE, false },
        { 0x12, RPL_STORED, true },     { 0x12, RPL_EXISTS, false },
        { 0x13, RPL_STORED, true },     { 0x13, RPL_NOT_FOUND, false },
        { 0x14, RPL_DELETED, true },    { 0x14, RPL_NOT_FOUND, false },
        { 0x15, RPL_NUMBER, true },     { 0x15, RPL_NON_NUMERIC, false },
        { 0x16, RPL_NUMBER, true },     { 0x16, RPL_NOT_FOUND, false },
        { 0x17, RPL_OK, true },         { 0x17, RPL_CLOSE, true },
        { 0x18, RPL_OK, true },         { 0x18, RPL_FLUSH_REFUSED, false },
        { 0x19, RPL_STORED, true },     { 0x19, RPL_NOT_STORED, false },
        { 0x1a, RPL_STORED, true },     { 0x1a, RPL_NOT_STORED, false },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct reply r = { .code = row[i].code };
        char out[ROOM];
        size_t n = answer_write(row[i].opcode, &r, out);

        cr_expect(eq(int, n == 0, row[i].silent), "%02x, reply %d", row[i].opcode, row[i].code);
    }
}

/* stat is a list of packets, and an empty one is its end. */
Test(binary, statistics_are_packets)
{
    static const struct slice pid = SAID("\x10", "\0\3", "\0", "\0\0", "\0\0\0\7", CAS0 "pid1234");
    static const struct slice end = SAID("\x10", "\0\0", "\0", "\0\0", "\0\0\0\0", CAS0);
    struct command c = { .op = OP_STATS, .protocol = PROTO_BINARY, .opcode = 0x10,
                         .opaque = 0xdeadbeefu };
    char out[64];
    size_t n;

    n = binary_write_stat(&c, SLICE("pid"), SLICE("1234"), out);
    cr_expect(slice_eq(slice_of(out, n), pid));
    n = binary_write_stat(&c, (struct slice){ 0 }, (struct slice){ 0 }, out);
    cr_expect(slice_eq(slice_of(out, n), end));
}
