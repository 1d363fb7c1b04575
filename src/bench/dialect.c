#include "bench/dialect.h"
#include "base/num.h"
#include "proto/binary.h"

#define LINE_MAX_READ 4096u /* bytes; no answer has a longer line */

#define OP_GET_BIN 0x00
#define OP_SET_BIN 0x01
#define OP_NOOP    0x0a
#define OP_GETKQ   0x0d

static const char *const names[] = {
    [DIALECT_TEXT] = "text", [DIALECT_META] = "meta", [DIALECT_BINARY] = "binary",
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

/* -- requests ---------------------------------------------------------------------------------- */

static char *
u32_put(char *p, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        *p++ = (char)(n >> shift);
    }
    return p;
}

/* A request's header; false: no memory. */
static bool
packet_begin(struct buf *out, unsigned opcode, size_t key_len, size_t extra_len, size_t value_len)
{
    char head[BINARY_HEADER] = { (char)BINARY_REQUEST, (char)opcode, (char)(key_len >> 8),
                                 (char)key_len, (char)extra_len };

    u32_put(head + 8, (uint32_t)(key_len + extra_len + value_len));
    return buf_add(out, head, sizeof head);
}

static bool
add_slice(struct buf *out, struct slice s)
{
    return buf_add(out, s.ptr, s.len);
}

static bool
text_write_get(struct buf *out, const struct slice *keys, unsigned count)
{
    bool ok = buf_add(out, "get", 3);

    for (unsigned i = 0; i < count && ok; i++) {
        ok = buf_add(out, " ", 1) && add_slice(out, keys[i]);
    }
    return ok && buf_add(out, "\r\n", 2);
}

static bool
meta_write_get(struct buf *out, const struct slice *keys, unsigned count)
{
    bool ok = true;

    for (unsigned i = 0; i < count && ok; i++) {
        ok = buf_add(out, "mg ", 3) && add_slice(out, keys[i]) &&
             add_slice(out, count > 1 ? SLICE(" f k q v\r\n") : SLICE(" f v\r\n"));
    }
    return ok && (count == 1 || buf_add(out, "mn\r\n", 4));
}

static bool
packet_write_get(struct buf *out, const struct slice *keys, unsigned count)
{
    bool ok = true;

    for (unsigned i = 0; i < count && ok; i++) {
        ok = packet_begin(out, count > 1 ? OP_GETKQ : OP_GET_BIN, keys[i].len, 0, 0) &&
             add_slice(out, keys[i]);
    }
    return ok && (count == 1 || packet_begin(out, OP_NOOP, 0, 0, 0));
}

bool
dialect_write_get(enum dialect d, struct buf *out, const struct slice *keys, unsigned count)
{
    switch (d) {
    case DIALECT_TEXT:
        return text_write_get(out, keys, count);
    case DIALECT_META:
        return meta_write_get(out, keys, count);
    case DIALECT_BINARY:
        break;
    }
    return packet_write_get(out, keys, count);
}

/* " 123" */
static char *
number_put(char *p, const char *before, uint64_t n)
{
    size_t len = strlen(before);

    memcpy(p, before, len);
    return p + len + num_print_u64(p + len, n);
}

bool
dialect_write_set(enum dialect d, struct buf *out, struct slice key, uint32_t flags,
                  struct slice value)
{
    char line[3 * NUM_PRINT_MAX], *p = line;

    if (d == DIALECT_BINARY) {
        u32_put(u32_put(p, flags), 0);
        return packet_begin(out, OP_SET_BIN, key.len, 8, value.len) && buf_add(out, line, 8) &&
               add_slice(out, key) && add_slice(out, value);
    }
    if (d == DIALECT_TEXT) {
        p = number_put(number_put(p, " ", flags), " 0 ", value.len);
    } else {
        p = number_put(number_put(p, " ", value.len), " F", flags);
    }
    memcpy(p, "\r\n", 2);
    return add_slice(out, d == DIALECT_TEXT ? SLICE("set ") : SLICE("ms ")) &&
           add_slice(out, key) && buf_add(out, line, (size_t)(p + 2 - line)) &&
           add_slice(out, value) && buf_add(out, "\r\n", 2);
}

/* -- answers ----------------------------------------------------------------------------------- */

/* The next word of a line. */
static struct slice
word_take(struct slice *line)
{
    const char *blank;
    struct slice word;

    while (line->len > 0 && *line->ptr == ' ') {
        *line = slice_from(*line, 1);
    }
    blank = memchr(line->ptr, ' ', line->len);
    word = slice_of(line->ptr, blank ? (size_t)(blank - line->ptr) : line->len);
    *line = slice_from(*line, word.len);
    return word;
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

static enum dialect_result
line_read(enum dialect d, struct slice in, bool many, struct answer *ret, size_t *used)
{
    const char *nl = memchr(in.ptr, '\n', in.len);
    struct slice line, word;

    if (!nl) {
        return in.len > LINE_MAX_READ ? DIALECT_LOST : DIALECT_MORE;
    }
    *used = (size_t)(nl + 1 - in.ptr);
    line = slice_of(in.ptr, *used >= 2 && nl[-1] == '\r' ? *used - 2 : *used - 1);
    ret->text = line;
    ret->ends = true;
    word = word_take(&line);
    if (slice_is(word, "VALUE") || slice_is(word, "VA")) {
        ret->kind = ANSWER_VALUE;
        ret->ends = word.len == 2 && !many;
        ret->tail = 2;
        return (word.len == 2 ? meta_read_value(line, ret) : text_read_value(line, ret))
                   ? DIALECT_ANSWER
                   : DIALECT_LOST;
    }
    if (slice_is(word, "END") || slice_is(word, "MN")) {
        ret->kind = ANSWER_END;
    } else if (slice_is(word, "STORED") || slice_is(word, "HD")) {
        ret->kind = ANSWER_STORED;
    } else if (slice_is(word, "EN")) {
        ret->kind = ANSWER_MISS;
    } else {
        ret->kind = ANSWER_ERROR;
        ret->ends = d == DIALECT_TEXT || !many; /* else the noop is still to come */
    }
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
packet_read(struct slice in, struct answer *ret, size_t *used)
{
    uint32_t body, status;

    if (in.len > 0 && (uint8_t)*in.ptr != BINARY_RESPONSE) {
        return DIALECT_LOST;
    }
    if (in.len < BINARY_HEADER) {
        return DIALECT_MORE;
    }
    body = u32_take(in.ptr + 8);
    status = u32_take(in.ptr + 4) & 0xffff;
    ret->ends = true;
    if (status == 0) {
        switch ((uint8_t)in.ptr[1]) {
        case OP_GET_BIN:
        case OP_GETKQ:
            return packet_read_value(in, body, ret, used);
        case OP_NOOP:
            ret->kind = ANSWER_END;
            break;
        default:
            ret->kind = ANSWER_STORED;
        }
    } else {
        ret->kind = status == 1 && (uint8_t)in.ptr[1] == OP_GET_BIN ? ANSWER_MISS : ANSWER_ERROR;
        ret->ends = (uint8_t)in.ptr[1] != OP_GETKQ; /* its noop is still to come */
    }
    if (body > LINE_MAX_READ) {
        return DIALECT_LOST;
    }
    if (in.len < BINARY_HEADER + body) {
        return DIALECT_MORE;
    }
    ret->text = slice_of(in.ptr + BINARY_HEADER, body);
    *used = BINARY_HEADER + body;
    return DIALECT_ANSWER;
}

enum dialect_result
dialect_read(enum dialect d, struct slice in, bool many, struct answer *ret, size_t *used)
{
    *ret = (struct answer){ 0 };
    return d == DIALECT_BINARY ? packet_read(in, ret, used)
                               : line_read(d, in, many, ret, used);
}
