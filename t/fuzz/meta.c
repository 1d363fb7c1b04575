/*
 * meta.c - fuzzes the meta protocol: any line, and any outcome of it.
 *
 * The first 16 bytes choose the command and what the store might say; the rest is the line.
 */
#include "proto/meta.h"
#include "base/base64.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define FRONT 16 /* bytes in front of the line */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool
inside(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* The key must be what the client sent, or what that stands for. */
static void
check_key(const struct command *c, struct slice line)
{
    char text[BASE64_TEXT_LEN(sizeof c->key_room)];
    size_t len;

    assert(inside(c->meta.key_sent, line));
    assert(c->meta.key_sent.len > 0 && c->meta.key_sent.len <= KEY_MAX);
    if (!c->key_binary) {
        assert(slice_eq(c->key, c->meta.key_sent));
        return;
    }
    assert(c->key.ptr == c->key_room && c->key.len > 0 && c->key.len <= 187);
    assert(base64_encode(c->key, text, sizeof text, &len));
    assert(slice_eq(slice_of(text, len), c->meta.key_sent));
}

static void
check_command(const struct command *c, enum op op, struct slice line)
{
    const struct meta_args *m = &c->meta;

    assert(c->protocol == PROTO_META);
    assert(!c->has_value || (op == OP_META_SET && c->value_len <= INT32_MAX - 2));
    assert(inside(m->opaque, line) && m->returned_count <= META_FLAGS_MAX);
    for (unsigned i = 0; i < m->returned_count; i++) {
        assert(m->has & META_BIT(m->returned[i]));
        assert(!memchr(m->returned + i + 1, m->returned[i], m->returned_count - i - 1u));
    }
    if (c->op == OP_ERROR) {
        assert(reply_is_error(c->error) && reply_text(c->error));
        return;
    }
    assert(c->op == op && c->error == RPL_HIT);
    assert(c->has_value == (op == OP_META_SET));
    if (op != OP_META_NOOP) {
        check_key(c, line);
    }
    assert(m->opaque.len <= OPAQUE_MAX);
    assert(c->quiet == !!(m->has & META_BIT('q')));
    assert((m->at_t != 0) == ((m->has & META_BIT('t')) != 0));
}

/* One line, or that and a number; no line end comes out of a key. */
static void
check_answer(const struct command *c, const struct reply *r)
{
    char *out = malloc(PROTO_HEAD_MAX);
    size_t n, lines = 0;

    assert(out);
    n = meta_write_head(c, r, out);
    assert(n <= PROTO_HEAD_MAX);
    for (size_t i = 0; i < n; i++) {
        lines += out[i] == '\n';
    }
    assert(n == 0 ? lines == 0 : out[n - 1] == '\n' && out[n - 2] == '\r');
    assert(lines <= (r->code == RPL_NUMBER ? 2 : 1));
    assert(!reply_is_error(r->code) || n > 2);
    free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct command c = { 0 };
    enum op op;
    struct slice line;
    char *copy;

    if (len < FRONT) {
        return 0;
    }
    op = (enum op)(OP_META_GET + bytes[0] % (OP_META_NOOP - OP_META_GET + 1));
    copy = malloc(len - FRONT + 1);
    assert(copy);
    memcpy(copy, bytes + FRONT, len - FRONT);
    for (size_t i = 0; i < len - FRONT; i++) {
        copy[i] = copy[i] == '\n' ? ' ' : copy[i]; /* it would have ended the line */
    }
    line = slice_of(copy, len - FRONT);
    memset(&c.meta, 0xaa, sizeof c.meta);
    c.op = op;
    meta_parse(line, &c);
    check_command(&c, op, line);

    struct reply r = { .has_item = bytes[1] & 1,
                       .fetched = bytes[1] & 2,
                       .won = bytes[1] & 4,
                       .stale = bytes[1] & 8,
                       .sent = bytes[1] & 16,
                       .key_binary = bytes[1] & 32 };
    memcpy(&r.client_flags, bytes + 2, 4);
    memcpy(&r.value_len, bytes + 4, 4);
    memcpy(&r.ttl, bytes + 6, 8);
    memcpy(&r.idle, bytes + 8, 4);
    memcpy(&r.cas, bytes + 6, 8);
    memcpy(&r.number, bytes + 8, 8);
    for (unsigned code = 0; code < REPLIES; code++) {
        if (code == RPL_VERSION || (c.op == OP_ERROR && code != (unsigned)c.error)) {
            continue;
        }
        r.code = (enum reply_code)code;
        check_answer(&c, &r);
    }
    free(copy);
    return 0;
}
