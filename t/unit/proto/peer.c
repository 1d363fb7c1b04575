#include "proto/peer.h"
#include "proto/binary.h"
#include "proto/text.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FILL 0xaa /* what is filled with before it is read */

/* A copy of exactly these bytes, so that a look behind them is seen. */
static char *
exactly(const void *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    memcpy(copy, bytes, len);
    return copy;
}

/* -- the greeting ---------------------------------------------------------------------------------
 */

static const struct peer_hello hello = {
    .purpose = PEER_SYNC,
    .verdict = PEER_BUSY,
    .version_min = 1,
    .version_max = 7,
    .label = 0x1234,
    .worker = 0x5678,
    .from = UINT64_C(0x1122334455667788),
    .nonce = UINT64_C(0x99aabbccddeeff00),
    .features = UINT64_C(0x0102030405060708),
};

Test(peer, a_greeting_is_read_as_it_was_written)
{
    static const char want[40] = "MAGPIE\0\1"
                                 "\2\3\1\7\x34\x12\x78\x56"
                                 "\x88\x77\x66\x55\x44\x33\x22\x11"
                                 "\x00\xff\xee\xdd\xcc\xbb\xaa\x99"
                                 "\x08\x07\x06\x05\x04\x03\x02\x01";
    static const char zero[PEER_HELLO - 40];
    struct peer_hello h;
    char out[PEER_HELLO];

    memset(out, FILL, sizeof out);
    peer_write_hello(&hello, out);
    cr_expect(eq(int, memcmp(out, want, 40), 0), "the bytes of the format");
    cr_expect(eq(int, memcmp(out + 40, zero, sizeof zero), 0), "spare bytes are zero");
    memset(&h, FILL, sizeof h);
    cr_assert(peer_read_hello(out, &h));
    cr_expect(eq(int, h.purpose, PEER_SYNC));
    cr_expect(eq(int, h.verdict, PEER_BUSY));
    cr_expect(eq(u8, h.version_min, 1));
    cr_expect(eq(u8, h.version_max, 7));
    cr_expect(eq(u16, h.label, 0x1234));
    cr_expect(eq(u16, h.worker, 0x5678));
    cr_expect(eq(u64, h.from, hello.from));
    cr_expect(eq(u64, h.nonce, hello.nonce));
    cr_expect(eq(u64, h.features, hello.features));
}

Test(peer, what_is_no_greeting)
{
    static const struct {
        size_t at;
        char byte;
    } row[] = {
        { 0, 'm' }, { 5, 'F' }, { 6, 1 },  { 7, 0 }, { 7, 2 }, /* magic and format */
        { 8, 0 },   { 8, 4 },   { 8, -1 },                     /* purpose */
        { 9, 5 },   { 9, -1 },                                 /* verdict */
    };
    struct peer_hello h = hello;
    char out[PEER_HELLO];

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        peer_write_hello(&hello, out);
        out[row[i].at] = row[i].byte;
        cr_expect(not(peer_read_hello(out, &h)), "row %zu", i);
    }
    h = hello;
    h.from = 0; /* nobody */
    peer_write_hello(&h, out);
    cr_expect(not(peer_read_hello(out, &h)));
    memset(out, 0, sizeof out);
    cr_expect(not(peer_read_hello(out, &h)));
}

/* -- frames ---------------------------------------------------------------------------------------
 */

static const struct peer_frame frame = {
    .type = PEER_ANSWERS,
    .flags = 0x81,
    .body_len = 3,
    .id = UINT64_C(0x1122334455667788),
    .ring = UINT64_C(0x99aabbccddeeff00),
    .count = 0x1234,
    .first = 0x5678,
    .deadline_ms = 0xdeadbeef,
};

Test(peer, a_header_is_read_as_it_was_written)
{
    struct peer_frame f;
    char out[PEER_HEADER + 3] = { 0 };

    peer_write_header(&frame, out);
    for (size_t n = 0; n < sizeof out; n++) {
        char *cut = exactly(out, n);

        cr_expect(eq(int, peer_read_frame(slice_of(cut, n), &f), PEER_MORE), "%zu bytes", n);
        free(cut);
    }
    memset(&f, FILL, sizeof f);
    cr_assert(eq(int, peer_read_frame(slice_of(out, sizeof out), &f), PEER_OK));
    cr_expect(eq(int, f.type, frame.type));
    cr_expect(eq(u8, f.flags, frame.flags));
    cr_expect(eq(u32, f.body_len, 3));
    cr_expect(eq(u64, f.id, frame.id));
    cr_expect(eq(u64, f.ring, frame.ring));
    cr_expect(eq(u16, f.count, frame.count));
    cr_expect(eq(u16, f.first, frame.first));
    cr_expect(eq(u32, f.deadline_ms, frame.deadline_ms));
}

/* Two sides that lost count of bytes find out at the next header. */
Test(peer, a_header_with_any_wrong_bit_is_refused)
{
    struct peer_frame f;
    char out[PEER_HEADER + 3] = { 0 };

    peer_write_header(&frame, out);
    for (size_t bit = 0; bit < 8 * PEER_HEADER; bit++) {
        out[bit / 8] ^= (char)(1 << bit % 8);
        cr_expect(eq(int, peer_read_frame(slice_of(out, sizeof out), &f), PEER_MALFORMED),
                  "bit %zu", bit);
        out[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (int byte = 0; byte < 256; byte++) {
        char first = (char)byte;

        cr_expect(eq(int, peer_read_frame(slice_of(&first, 1), &f),
                     byte == PEER_MAGIC ? PEER_MORE : PEER_MALFORMED));
    }
}

Test(peer, frames_of_no_known_type_or_too_long)
{
    struct peer_frame f = frame, got;
    char out[PEER_HEADER];

    for (int type = 0; type < 256; type++) {
        bool good = type >= PEER_COMMANDS && type <= PEER_PONG;

        f.type = (enum peer_type)type;
        f.body_len = 0;
        peer_write_header(&f, out);
        cr_expect(eq(int, peer_read_frame(slice_of(out, PEER_HEADER), &got),
                     good ? PEER_OK : PEER_MALFORMED));
    }
    f = frame;
    f.body_len = PEER_BODY_MAX;
    peer_write_header(&f, out);
    cr_expect(eq(int, peer_read_frame(slice_of(out, PEER_HEADER), &got), PEER_MORE));
}

/* -- commands -------------------------------------------------------------------------------------
 */

static void
same_meta(const struct meta_args *a, const struct meta_args *b, const char *what)
{
    cr_expect(eq(u64, a->has, b->has), "%s", what);
    cr_expect(eq(u8, a->returned_count, b->returned_count), "%s", what);
    cr_expect(eq(int, memcmp(a->returned, b->returned, a->returned_count), 0), "%s", what);
    cr_expect(eq(chr, a->mode, b->mode), "%s", what);
    cr_expect(eq(u8, a->at_t, b->at_t), "%s", what);
    cr_expect(eq(u8, a->at_T, b->at_T), "%s", what);
    cr_expect(eq(u8, a->at_N, b->at_N), "%s", what);
    cr_expect(eq(u8, a->at_R, b->at_R), "%s", what);
    cr_expect(eq(i32, a->ttl, b->ttl), "%s", what);
    cr_expect(eq(i32, a->vivify_ttl, b->vivify_ttl), "%s", what);
    cr_expect(eq(i32, a->recache_ttl, b->recache_ttl), "%s", what);
    cr_expect(eq(u64, a->new_cas, b->new_cas), "%s", what);
    cr_expect(slice_eq(a->opaque, b->opaque), "%s", what);
    cr_expect(slice_eq(a->key_sent, b->key_sent), "%s", what);
}

static void
same_command(const struct command *a, const struct command *b, const char *what)
{
    cr_expect(eq(int, a->op, b->op), "%s", what);
    cr_expect(eq(int, a->protocol, b->protocol), "%s", what);
    cr_expect(eq(int, a->quiet, b->quiet), "%s", what);
    cr_expect(eq(int, a->last, b->last), "%s", what);
    cr_expect(eq(int, a->has_value, b->has_value), "%s", what);
    cr_expect(eq(int, a->close_after, b->close_after), "%s", what);
    cr_expect(eq(int, a->key_binary, b->key_binary), "%s", what);
    cr_expect(eq(int, a->error, b->error), "%s", what);
    cr_expect(eq(u8, a->opcode, b->opcode), "%s", what);
    cr_expect(eq(u32, a->opaque, b->opaque), "%s", what);
    cr_expect(eq(u32, a->client_flags, b->client_flags), "%s", what);
    cr_expect(eq(u32, a->value_len, b->value_len), "%s", what);
    cr_expect(eq(i64, a->exptime, b->exptime), "%s", what);
    cr_expect(eq(int, a->has_exptime, b->has_exptime), "%s", what);
    cr_expect(eq(u64, a->cas, b->cas), "%s", what);
    cr_expect(eq(u64, a->delta, b->delta), "%s", what);
    cr_expect(eq(u64, a->initial, b->initial), "%s", what);
    cr_expect(slice_eq(a->key, b->key), "%s", what);
    if (a->protocol == PROTO_META) {
        same_meta(&a->meta, &b->meta, what);
    }
}

/* Writes the command with its value in this way, reads it, and refuses each of its parts. */
static void
cross(const struct command *c, enum peer_value value, const char *what)
{
    static char out[PEER_COMMAND_MAX + 8];
    struct command got;
    enum peer_value how;
    size_t n = peer_write_command(c, value, out),
           tail = value == PEER_VALUE_HERE ? c->value_len : 0;
    char *copy;
    struct slice body;

    cr_assert(le(sz, n, PEER_COMMAND_MAX));
    cr_assert(le(sz, tail, 8));
    memcpy(out + n, "12345678", tail);
    n += tail;
    copy = exactly(out, n);
    body = slice_of(copy, n);
    memset(&got, FILL, sizeof got);
    cr_assert(eq(int, peer_read_command(&body, &got, &how), PEER_OK), "%s", what);
    cr_expect(eq(sz, body.len, 0), "%s", what);
    cr_expect(eq(int, how, value), "%s", what);
    same_command(c, &got, what);
    cr_expect(eq(sz, got.value.len, tail), "%s", what);
    cr_expect(memcmp(tail ? got.value.ptr : "", "12345678", tail) == 0, "%s", what);
    cr_expect(tail > 0 || value == PEER_VALUE_HERE || got.value.ptr == NULL, "%s", what);
    free(copy);
    for (size_t cut = 0; cut < n; cut++) {
        copy = exactly(out, cut);
        body = slice_of(copy, cut);
        cr_expect(eq(int, peer_read_command(&body, &got, &how), PEER_MALFORMED), "%s, %zu of %zu",
                  what, cut, n);
        cr_expect(eq(sz, body.len, cut), "%s", what);
        free(copy);
    }
}

static void
cross_all(const struct command *c, const char *what)
{
    if (!c->has_value) {
        cross(c, PEER_VALUE_NONE, what);
        return;
    }
    cross(c, PEER_VALUE_PARTS, what);
    cross(c, PEER_VALUE_REFUSED, what);
    if (c->value_len <= 8) {
        cross(c, PEER_VALUE_HERE, what);
    }
}

#define KEY_250                                                                                    \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
    "kkkkkkkk"                                                                                     \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" \
    "kkkkkkkk"                                                                                     \
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

/* What clients say in lines. */
Test(peer, lines_of_every_kind_cross)
{
    static const char *const line[] = {
        "get k\r\n",
        "gets k\r\n",
        "get a b c\r\n",
        "gat 60 k\r\n",
        "gats -1 k\r\n",
        "get " KEY_250 "\r\n",
        "set k 4294967295 2147483647 8\r\n",
        "set k 0 -1 0 noreply\r\n",
        "add k 1 2 3\r\n",
        "replace k 1 2 3\r\n",
        "append k 1 2 3\r\n",
        "prepend k 1 2 3 noreply\r\n",
        "cas k 1 2 3 18446744073709551615\r\n",
        "set k 0 0 1000000\r\n",
        "delete k\r\n",
        "delete k noreply\r\n",
        "incr k 18446744073709551615\r\n",
        "decr k 1 noreply\r\n",
        "touch k 100\r\n",
        "touch k -5 noreply\r\n",
        "flush_all\r\n",
        "flush_all 30 noreply\r\n",
        "flush_all 0\r\n",
        "mg k\r\n",
        "mg k s v f t k Oabc q\r\n",
        "mg k N30 R10 T-1 v c h l\r\n",
        "mg k E18446744073709551615 v\r\n",
        "mg a2V5 b k v\r\n",
        "mg " KEY_250 " k O1234567890123456789012345678901\r\n",
        "ms k 5\r\n",
        "ms k 5 T2147483647 F4294967295 C9 E10 I Oxyz k q\r\n",
        "ms k 1 MA N30\r\n",
        "ms a2V5 1 b k MS\r\n",
        "ms k 100000 c\r\n",
        "md k q I T5 C3 x\r\n",
        "ma k N0 J18446744073709551615 D5 MI T1 v t c\r\n",
        "ma k MD q\r\n",
        "me k\r\n",
        "me a2V5 b\r\n",
    };

    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++) {
        struct text_parser p = { 0 };
        struct slice in = slice_of(line[i], strlen(line[i]));
        struct command c;
        unsigned count = 0;
        size_t used;

        for (; in.len > 0; in = slice_from(in, used), count++) {
            memset(&c, FILL, sizeof c);
            cr_assert(eq(int, text_parse(&p, in, &c, &used), TEXT_CMD), "%s", line[i]);
            cr_assert(ne(int, c.op, OP_ERROR), "%s", line[i]);
            cross_all(&c, line[i]);
        }
        cr_expect(eq(u32, count, i == 2 ? 3 : 1), "%s", line[i]);
    }
}

/* And in packets: every opcode of a command with a key, and flush. */
Test(peer, packets_of_every_kind_cross)
{
    static const struct {
        uint8_t from, to, extras;
    } row[] = {
        { 0x00, 0x00, 0 },  { 0x01, 0x03, 8 }, { 0x04, 0x04, 0 }, { 0x05, 0x06, 20 },
        { 0x09, 0x09, 0 },  { 0x0c, 0x0f, 0 }, { 0x11, 0x13, 8 }, { 0x14, 0x14, 0 },
        { 0x15, 0x16, 20 }, { 0x19, 0x1a, 0 }, { 0x1c, 0x1e, 4 }, { 0x23, 0x24, 4 },
        { 0x08, 0x08, 0 },  { 0x18, 0x18, 4 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (unsigned opcode = row[i].from; opcode <= row[i].to; opcode++) {
            bool flush = opcode == 0x08 || opcode == 0x18;
            uint8_t packet[BINARY_HEADER + 20 + 3] = { BINARY_REQUEST, (uint8_t)opcode };
            size_t key = flush ? 0 : 3, used;
            bool value = row[i].extras == 8 || opcode == 0x0e || opcode == 0x0f || opcode == 0x19 ||
                         opcode == 0x1a;
            struct command c;
            char what[16];

            packet[3] = (uint8_t)key;
            packet[4] = row[i].extras;
            packet[11] = (uint8_t)(row[i].extras + key + (value ? 5 : 0));
            memcpy(packet + 12, "\xde\xad\xbe\xef", 4);
            memset(packet + 16, flush ? 0 : 0x11, 8);
            memset(packet + BINARY_HEADER, 0x2f, row[i].extras);
            memcpy(packet + BINARY_HEADER + row[i].extras, "k\0y", key);
            snprintf(what, sizeof what, "opcode %02x", opcode);
            memset(&c, FILL, sizeof c);
            cr_assert(
                eq(int, binary_parse(slice_of(packet, sizeof packet), &c, &used), BINARY_CMD));
            cr_assert(ne(int, c.op, OP_ERROR), "%s", what);
            cr_expect(eq(int, c.has_value, value), "%s", what);
            cross_all(&c, what);
        }
    }
}

/* Commands lie behind each other. */
Test(peer, a_body_of_several)
{
    struct command c = { .op = OP_SET, .key = SLICE("one"), .has_value = true, .value_len = 4 };
    struct command d = { .op = OP_GET, .key = SLICE("two"), .last = true }, got;
    char out[200];
    size_t n = peer_write_command(&c, PEER_VALUE_HERE, out);
    enum peer_value how;
    struct slice body;

    memcpy(out + n, "four", 4);
    n += 4;
    n += peer_write_command(&d, PEER_VALUE_NONE, out + n);
    body = slice_of(out, n);
    cr_assert(eq(int, peer_read_command(&body, &got, &how), PEER_OK));
    cr_expect(slice_is(got.key, "one") && slice_is(got.value, "four"));
    cr_assert(eq(int, peer_read_command(&body, &got, &how), PEER_OK));
    cr_expect(slice_is(got.key, "two"));
    cr_expect(got.last);
    cr_expect(eq(int, how, PEER_VALUE_NONE));
    cr_expect(eq(sz, body.len, 0));
}

/* The offsets of the format: number, bits, length of the key, mask, then what the mask says. */
static enum peer_result
read_bytes(const char *bytes, size_t n)
{
    char *copy = exactly(bytes, n);
    struct slice body = slice_of(copy, n);
    struct command c;
    enum peer_value how;
    enum peer_result got = peer_read_command(&body, &c, &how);

    free(copy);
    return got;
}
#define READ(literal) read_bytes((literal), sizeof(literal) - 1)

Test(peer, commands_that_nobody_sends)
{
    cr_expect(eq(int, READ("\1\0\1\0k"), PEER_OK), "get");
    cr_expect(eq(int, READ("\0\0\1\0k"), PEER_MALFORMED), "no number of a command");
    cr_expect(eq(int, READ("\x15\0\1\0k"), PEER_MALFORMED), "the number behind the last");
    cr_expect(eq(int, READ("\xff\0\1\0k"), PEER_MALFORMED));
    cr_expect(eq(int, READ("\1\3\1\0k"), PEER_MALFORMED), "no protocol");
    cr_expect(eq(int, READ("\1\2\1\0k"), PEER_MALFORMED), "binary without its opcode");
    cr_expect(eq(int, READ("\1\2\1\x20\0\1\2\3\4k"), PEER_OK));
    cr_expect(eq(int, READ("\1\0\1\x20\0\1\2\3\4k"), PEER_MALFORMED), "text with an opcode");
    cr_expect(eq(int, READ("\xf\1\1\0k"), PEER_MALFORMED), "mg without its arguments");
    cr_expect(eq(int, READ("\xf\0\1\0k"), PEER_MALFORMED), "mg in text");
    cr_expect(eq(int, READ("\1\0\0\0"), PEER_MALFORMED), "no key");
    cr_expect(eq(int, READ("\x14\0\0\0"), PEER_OK), "flush_all");
    cr_expect(eq(int, READ("\x14\0\1\0k"), PEER_MALFORMED), "flush_all of a key");
    cr_expect(eq(int, READ("\5\0\1\0k"), PEER_MALFORMED), "set without a value");
    cr_expect(eq(int, READ("\5\x40\1\0k"), PEER_MALFORMED), "... without its length");
    cr_expect(eq(int, READ("\5\x40\1\x80\1\0\0\0kv"), PEER_OK));
    cr_expect(eq(int, READ("\5\x40\1\x80\2\0\0\0kv"), PEER_MALFORMED), "half a value");
    cr_expect(eq(int, READ("\5\x40\1\x80\xff\xff\xff\xffkv"), PEER_MALFORMED));
    cr_expect(eq(int, READ("\5\x80\1\x80\0\0\0\x40k"), PEER_OK), "as long as a value may be");
    cr_expect(eq(int, READ("\5\x80\1\x80\1\0\0\x40k"), PEER_MALFORMED), "and a byte more");
    cr_expect(eq(int, READ("\1\x40\1\x80\1\0\0\0kv"), PEER_MALFORMED), "get with a value");
    cr_expect(eq(int, READ("\1\0\1\x80\0\0\0\0k"), PEER_MALFORMED));
}

/* Keys are 250 bytes at most, although a byte can say 255. */
Test(peer, keys_that_are_too_long)
{
    char bytes[4 + 255] = { 1 };

    for (unsigned n = 1; n < 256; n++) {
        bytes[2] = (char)n;
        memset(bytes + 4, 'k', n);
        cr_expect(eq(int, read_bytes(bytes, 4 + n), n <= KEY_MAX ? PEER_OK : PEER_MALFORMED));
    }
}

/* Where things are in a command of "mg k s v O.. k" with a key as it was sent. */
enum { META_COUNT = 4 + 8, META_LETTERS, META_REST = 1 + 4 + 12 + 8 };

static size_t
meta_bytes(char *out, const char *letters, size_t opaque, size_t key_sent)
{
    char *p = out;
    size_t count = strlen(letters);

    memcpy(p, "\xf\1\1\x40", 4);
    memset(p + 4, 0, 8);
    p[META_COUNT] = (char)count;
    memcpy(p + META_LETTERS, letters, count);
    p += META_LETTERS + count;
    memset(p, 0, META_REST);
    p += META_REST;
    *p++ = (char)opaque;
    memset(p, 'o', opaque);
    p += opaque;
    *p++ = (char)key_sent;
    memset(p, 's', key_sent);
    p += key_sent;
    *p++ = 'k';
    return (size_t)(p - out);
}

Test(peer, meta_arguments_that_nobody_sends)
{
    char out[1024];

    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "svk", 5, 0)), PEER_OK));
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "", 0, 0)), PEER_OK));
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "Az", 31, 250)), PEER_OK));
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "svs", 0, 0)), PEER_MALFORMED), "twice");
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "s@", 0, 0)), PEER_MALFORMED), "no letter");
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "s{", 0, 0)), PEER_MALFORMED));
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "s\xff", 0, 0)), PEER_MALFORMED));
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "s", 32, 0)), PEER_MALFORMED), "opaque");
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "s", 0, 251)), PEER_MALFORMED), "key sent");
    cr_expect(eq(int, read_bytes(out, meta_bytes(out, "ABCDEFGHIJKLMNOPQRST", 0, 0)), PEER_OK));
    cr_expect(
        eq(int, read_bytes(out, meta_bytes(out, "ABCDEFGHIJKLMNOPQRSTU", 0, 0)), PEER_MALFORMED),
        "too many");
}

/* -- answers --------------------------------------------------------------------------------------
 */

Test(peer, an_entry_is_read_as_it_was_written)
{
    static const struct peer_entry row[] = {
        { PEER_ANSWER, 0, 0 },         { PEER_ANSWER, 0, 11 },   { PEER_ANSWER_PARTS, 7, 11 },
        { PEER_ANSWER_PARTS, 11, 11 }, { PEER_NOT_OWNER, 0, 8 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char out[PEER_ENTRY + 12];
        struct peer_entry e;
        struct slice body = slice_of(out, PEER_ENTRY + row[i].len + 1), bytes;

        memset(out, 'x', sizeof out);
        peer_write_entry(&row[i], out);
        cr_assert(eq(int, peer_read_entry(&body, &e, &bytes), PEER_OK));
        cr_expect(eq(int, e.kind, row[i].kind));
        cr_expect(eq(u8, e.tail, row[i].tail));
        cr_expect(eq(u32, e.len, row[i].len));
        cr_expect(eq(sz, bytes.len, e.len));
        cr_expect(eq(sz, body.len, 1));
        cr_expect(bytes.ptr == out + PEER_ENTRY);
        for (size_t cut = 0; cut < PEER_ENTRY + row[i].len; cut++) {
            char *copy = exactly(out, cut);

            body = slice_of(copy, cut);
            cr_expect(eq(int, peer_read_entry(&body, &e, &bytes), PEER_MALFORMED));
            cr_expect(eq(sz, body.len, cut));
            free(copy);
        }
    }
}

Test(peer, entries_that_nobody_sends)
{
    static const struct peer_entry row[] = {
        { (enum peer_entry_kind)4, 0, 8 }, { (enum peer_entry_kind)255, 0, 8 },
        { PEER_EXPIRED, 0, 8 },
        { PEER_NOT_OWNER, 0, 7 },          { PEER_NOT_OWNER, 0, 9 },
        { PEER_NOT_OWNER, 0, 0 },          { PEER_ANSWER_PARTS, 9, 8 },
        { PEER_ANSWER, 0, UINT32_MAX },    { PEER_ANSWER, 0, UINT32_MAX - PEER_ENTRY + 1 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char out[PEER_ENTRY + 16] = { 0 };
        struct slice body = slice_of(out, sizeof out), bytes;
        struct peer_entry e;

        peer_write_entry(&row[i], out);
        cr_expect(eq(int, peer_read_entry(&body, &e, &bytes), PEER_MALFORMED), "row %zu", i);
    }
}
