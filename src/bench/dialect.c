#include "bench/dialect.h"
#include "base/num.h"
#include "proto/binary.h"

#define OP_GET_BIN    0x00
#define OP_SET_BIN    0x01
#define OP_DELETE_BIN 0x04
#define OP_INCR_BIN   0x05
#define OP_NOOP       0x0a
#define OP_GETKQ      0x0d

#define HEAD_MAX 96u /* bytes of a request beyond its key and value */

static const char *const names[] = {
    [DIALECT_TEXT] = "text", [DIALECT_META] = "meta", [DIALECT_BINARY] = "binary",
};
static const char *const verbs[] = {
    [VERB_GET] = "get", [VERB_SET] = "set", [VERB_DELETE] = "delete", [VERB_INCR] = "incr",
};

bool
dialect_parse_name(const char *name, enum dialect *ret)
{
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum dialect)i;
            return true;
        }
    }
    return false;
}

const char *
dialect_name(enum dialect d)
{
    return names[d];
}

bool
dialect_parse_verb(struct slice name, enum verb *ret)
{
    for (unsigned i = 0; i < VERBS; i++) {
        if (slice_is(name, verbs[i])) {
            *ret = (enum verb)i;
            return true;
        }
    }
    return false;
}

const char *
dialect_verb(enum verb v)
{
    return verbs[v];
}

/* -- requests: the room is reserved first, so that the pieces can be put without looking ------- */

static inline char *
put(char *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

#define PUT_TEXT(p, literal) put(p, literal, sizeof(literal) - 1)

static inline char *
put_slice(char *p, struct slice s)
{
    return put(p, s.ptr, s.len);
}

static char *
put_u32(char *p, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        *p++ = (char)(n >> shift);
    }
    return p;
}

/* A packet's header. */
static char *
put_packet(char *p, unsigned opcode, size_t key_len, size_t extra_len, size_t value_len)
{
    char head[BINARY_HEADER] = { (char)BINARY_REQUEST, (char)opcode, (char)(key_len >> 8),
                                 (char)key_len, (char)extra_len };

    put_u32(head + 8, (uint32_t)(key_len + extra_len + value_len));
    return put(p, head, sizeof head);
}

/* Where the next request goes; NULL: no memory. */
static char *
request_begin(struct buf *out, size_t len)
{
    return buf_reserve(out, len) ? out->ptr + out->len : NULL;
}

static bool
request_end(struct buf *out, const char *p)
{
    out->len = (size_t)(p - out->ptr);
    return true;
}

static char *
text_put_get(char *p, const struct slice *keys, unsigned count)
{
    p = PUT_TEXT(p, "get");
    for (unsigned i = 0; i < count; i++) {
        *p++ = ' ';
        p = put_slice(p, keys[i]);
    }
    return PUT_TEXT(p, "\r\n");
}

static char *
meta_put_get(char *p, const struct slice *keys, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        p = put_slice(PUT_TEXT(p, "mg "), keys[i]);
        p = count > 1 ? PUT_TEXT(p, " f k q v\r\n") : PUT_TEXT(p, " f v\r\n");
    }
    return count > 1 ? PUT_TEXT(p, "mn\r\n") : p;
}

static char *
packet_put_get(char *p, const struct slice *keys, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        p = put_packet(p, count > 1 ? OP_GETKQ : OP_GET_BIN, keys[i].len, 0, 0);
        p = put_slice(p, keys[i]);
    }
    return count > 1 ? put_packet(p, OP_NOOP, 0, 0, 0) : p;
}

bool
dialect_write_get(enum dialect d, struct buf *out, const struct slice *keys, unsigned count)
{
    size_t len = HEAD_MAX;
    char *p;

    for (unsigned i = 0; i < count; i++) {
        len += keys[i].len + BINARY_HEADER;
    }
    p = request_begin(out, len);
    if (!p) {
        return false;
    }
    switch (d) {
    case DIALECT_TEXT:
        return request_end(out, text_put_get(p, keys, count));
    case DIALECT_META:
        return request_end(out, meta_put_get(p, keys, count));
    case DIALECT_BINARY:
        break;
    }
    return request_end(out, packet_put_get(p, keys, count));
}

bool
dialect_write_set(enum dialect d, struct buf *out, struct slice key, uint32_t flags,
                  uint32_t exptime, struct slice value)
{
    char *p = request_begin(out, HEAD_MAX + key.len + value.len);

    if (!p) {
        return false;
    }
    switch (d) {
    case DIALECT_BINARY:
        p = put_packet(p, OP_SET_BIN, key.len, 8, value.len);
        p = put_slice(put_u32(put_u32(p, flags), exptime), key);
        return request_end(out, put_slice(p, value));
    case DIALECT_TEXT:
        p = PUT_TEXT(put_slice(PUT_TEXT(p, "set "), key), " ");
        p = PUT_TEXT(p + num_print_u64(p, flags), " ");
        p = PUT_TEXT(p + num_print_u64(p, exptime), " ");
        p += num_print_u64(p, value.len);
        break;
    case DIALECT_META:
        p = PUT_TEXT(put_slice(PUT_TEXT(p, "ms "), key), " ");
        p += num_print_u64(p, value.len);
        if (flags != 0) {
            p = PUT_TEXT(p, " F");
            p += num_print_u64(p, flags);
        }
        if (exptime != 0) {
            p = PUT_TEXT(p, " T");
            p += num_print_u64(p, exptime);
        }
        break;
    }
    p = put_slice(PUT_TEXT(p, "\r\n"), value);
    return request_end(out, PUT_TEXT(p, "\r\n"));
}

bool
dialect_write_delete(enum dialect d, struct buf *out, struct slice key)
{
    char *p = request_begin(out, HEAD_MAX + key.len);

    if (!p) {
        return false;
    }
    if (d == DIALECT_BINARY) {
        return request_end(out, put_slice(put_packet(p, OP_DELETE_BIN, key.len, 0, 0), key));
    }
    p = put_slice(d == DIALECT_TEXT ? PUT_TEXT(p, "delete ") : PUT_TEXT(p, "md "), key);
    return request_end(out, PUT_TEXT(p, "\r\n"));
}

bool
dialect_write_incr(enum dialect d, struct buf *out, struct slice key)
{
    char *p = request_begin(out, HEAD_MAX + key.len);

    if (!p) {
        return false;
    }
    switch (d) {
    case DIALECT_BINARY:
        p = put_packet(p, OP_INCR_BIN, key.len, 20, 0);
        p = put_u32(put_u32(p, 0), 1);            /* how much */
        p = put_u32(put_u32(p, 0), 0);            /* the value of a new one */
        p = put_u32(p, UINT32_MAX);               /* ... which is not wanted */
        return request_end(out, put_slice(p, key));
    case DIALECT_TEXT:
        p = put_slice(PUT_TEXT(p, "incr "), key);
        return request_end(out, PUT_TEXT(p, " 1\r\n"));
    case DIALECT_META:
        break;
    }
    p = put_slice(PUT_TEXT(p, "ma "), key);
    return request_end(out, PUT_TEXT(p, " v\r\n"));
}

/* -- answers ----------------------------------------------------------------------------------- */

/* The next word of a line. */
static struct slice
word_take(struct slice *line)
{
    const char *p = line->ptr, *end = p + line->len, *blank;

    while (p < end && *p == ' ') {
        p++;
    }
    blank = memchr(p, ' ', (size_t)(end - p));
    *line = blank ? slice_of(blank, (size_t)(end - blank)) : slice_of(end, 0);
    return slice_of(p, (size_t)((blank ? blank : end) - p));
}

/* "VALUE key flags bytes" */
static bool
text_read_value(struct slice line, struct answer *ret)
{
    ret->key = word_take(&line);
    ret->has_key = true;
    return ret->key.len > 0 && num_parse_u32(word_take(&line), &ret->flags) &&
           num_parse_u32(word_take(&line), &ret->value_len);
}

/* "VA bytes fFLAGS kKEY" */
static bool
meta_read_value(struct slice line, struct answer *ret)
{
    bool ok = num_parse_u32(word_take(&line), &ret->value_len);

    for (;;) {
        struct slice word = word_take(&line);

        if (word.len == 0) {
            return ok;
        }
        if (*word.ptr == 'f') {
            ok = ok && num_parse_u32(slice_from(word, 1), &ret->flags);
        } else if (*word.ptr == 'k') {
            ret->key = slice_from(word, 1);
            ret->has_key = true;
        }
    }
}

/* A line that begins a value. */
static enum dialect_result
value_read(enum dialect d, bool many, struct slice line, struct answer *ret)
{
    ret->kind = ANSWER_VALUE;
    ret->ends = d == DIALECT_META && !many;
    ret->tail = 2;
    return (d == DIALECT_META ? meta_read_value(line, ret) : text_read_value(line, ret))
               ? DIALECT_ANSWER
               : DIALECT_LOST;
}

/* "VA 2\r\n17\r\n": a counter's value is short, so it is read with its line. */
static enum dialect_result
meta_read_number(struct slice line, struct slice in, struct answer *ret, size_t *used)
{
    const char *value = in.ptr + *used;
    size_t left = in.len - *used;

    if (!meta_read_value(line, ret) || ret->value_len > NUM_PRINT_MAX) {
        return DIALECT_LOST;
    }
    if (left < ret->value_len + 2) {
        return DIALECT_MORE;
    }
    *used += ret->value_len + 2;
    ret->kind = ANSWER_NUMBER;
    return num_parse_u64(slice_of(value, ret->value_len), &ret->number) &&
                   memcmp(value + ret->value_len, "\r\n", 2) == 0
               ? DIALECT_ANSWER
               : DIALECT_LOST;
}

/* What a line without a value says. */
static enum answer_kind
line_kind(enum dialect d, enum verb verb, struct slice line, struct answer *ret)
{
    static const struct {
        enum dialect     d;
        struct slice     line;
        enum answer_kind kind;
    } known[] = {
        { DIALECT_TEXT, { "END", 3 }, ANSWER_END },
        { DIALECT_TEXT, { "STORED", 6 }, ANSWER_DONE },
        { DIALECT_TEXT, { "DELETED", 7 }, ANSWER_DONE },
        { DIALECT_TEXT, { "NOT_FOUND", 9 }, ANSWER_MISS },
        { DIALECT_META, { "HD", 2 }, ANSWER_DONE },
        { DIALECT_META, { "EN", 2 }, ANSWER_MISS },
        { DIALECT_META, { "MN", 2 }, ANSWER_END },
        { DIALECT_META, { "NF", 2 }, ANSWER_MISS },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (d == known[i].d && slice_eq(line, known[i].line)) {
            return known[i].kind;
        }
    }
    return d == DIALECT_TEXT && verb == VERB_INCR && num_parse_u64(line, &ret->number)
               ? ANSWER_NUMBER
               : ANSWER_ERROR;
}

static enum dialect_result
line_read(enum dialect d, enum verb verb, bool many, struct slice in, struct answer *ret,
          size_t *used)
{
    bool whole = in.len >= DIALECT_LINE_MAX;
    const char *nl = memchr(in.ptr, '\n', whole ? DIALECT_LINE_MAX : in.len);
    struct slice line, rest, word;

    if (!nl) {
        return whole ? DIALECT_LOST : DIALECT_MORE;
    }
    *used = (size_t)(nl + 1 - in.ptr);
    line = slice_of(in.ptr, *used >= 2 && nl[-1] == '\r' ? *used - 2 : *used - 1);
    rest = line;
    word = word_take(&rest);
    if (slice_eq(word, d == DIALECT_TEXT ? SLICE("VALUE") : SLICE("VA"))) {
        if (verb == VERB_INCR && d == DIALECT_META) {
            ret->ends = true;
            return meta_read_number(rest, in, ret, used);
        }
        return value_read(d, many, rest, ret);
    }
    ret->text = line;
    ret->kind = line_kind(d, verb, line, ret);
    /* After an error among many, the noop of the meta protocol is still to come. */
    ret->ends = ret->kind != ANSWER_ERROR || d == DIALECT_TEXT || !many;
    return DIALECT_ANSWER;
}

static uint32_t
u32_take(const char *p)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        n = n << 8 | (uint8_t)p[i];
    }
    return n;
}

/* A hit, of which flags and key are needed before the value. */
static enum dialect_result
packet_read_value(struct slice in, uint32_t body, struct answer *ret, size_t *used)
{
    size_t key_len = (size_t)((uint8_t)in.ptr[2] << 8 | (uint8_t)in.ptr[3]);
    size_t front = BINARY_HEADER + 4 + key_len;

    if (in.ptr[4] != 4 || body < 4 + key_len) {
        return DIALECT_LOST;
    }
    if (in.len < front) {
        return DIALECT_MORE;
    }
    ret->kind = ANSWER_VALUE;
    ret->flags = u32_take(in.ptr + BINARY_HEADER);
    ret->has_key = key_len > 0;
    ret->key = slice_of(in.ptr + BINARY_HEADER + 4, key_len);
    ret->value_len = body - 4 - (uint32_t)key_len;
    ret->ends = (uint8_t)in.ptr[1] == OP_GET_BIN;
    *used = front;
    return DIALECT_ANSWER;
}

static enum dialect_result
packet_read(enum verb verb, struct slice in, struct answer *ret, size_t *used)
{
    uint32_t body, status;
    uint8_t opcode;

    if (in.len > 0 && (uint8_t)*in.ptr != BINARY_RESPONSE) {
        return DIALECT_LOST;
    }
    if (in.len < BINARY_HEADER) {
        return DIALECT_MORE;
    }
    opcode = (uint8_t)in.ptr[1];
    body = u32_take(in.ptr + 8);
    status = u32_take(in.ptr + 4) & 0xffff;
    ret->ends = opcode != OP_GETKQ; /* its noop is still to come */
    if (status == 0 && (opcode == OP_GET_BIN || opcode == OP_GETKQ)) {
        return packet_read_value(in, body, ret, used);
    }
    if (body > DIALECT_LINE_MAX || (status == 0 && verb == VERB_INCR && body != 8)) {
        return DIALECT_LOST;
    }
    if (in.len < BINARY_HEADER + body) {
        return DIALECT_MORE;
    }
    ret->text = slice_of(in.ptr + BINARY_HEADER, body);
    *used = BINARY_HEADER + body;
    if (status == 0 && verb == VERB_INCR) {
        ret->kind = ANSWER_NUMBER;
        ret->number = (uint64_t)u32_take(ret->text.ptr) << 32 | u32_take(ret->text.ptr + 4);
    } else if (status == 0) {
        ret->kind = opcode == OP_NOOP ? ANSWER_END : ANSWER_DONE;
    } else {
        ret->kind = status == 1 && opcode != OP_GETKQ ? ANSWER_MISS : ANSWER_ERROR;
    }
    return DIALECT_ANSWER;
}

enum dialect_result
dialect_read(enum dialect d, enum verb verb, bool many, struct slice in, struct answer *ret,
             size_t *used)
{
    *ret = (struct answer){ 0 };
    return d == DIALECT_BINARY ? packet_read(verb, in, ret, used)
                               : line_read(d, verb, many, in, ret, used);
}
