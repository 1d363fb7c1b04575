/*
 * binary.c - fuzzes the binary protocol: packets are bounded, cuts change nothing, answers have the
 * length that their header says.
 *
 * All memory handed to the parser is exactly as long as it says, so that a look behind the end is
 * seen.
 */
#include "proto/binary.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define FRONT_MAX (BINARY_HEADER + 20 + KEY_MAX) /* bytes that are ever waited for */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool
inside(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* What must be true of any command. */
static void
command_check(const struct command *c, struct slice front)
{
    assert(c->protocol == PROTO_BINARY && (unsigned)c->op < OPS);
    assert(c->op != OP_ERROR || reply_is_error(c->error));
    assert(c->has_value || c->value_len == 0);
    assert(c->op == OP_ERROR || (uint64_t)c->value_len + front.len <= (1u << 30) + BINARY_HEADER);
    assert(c->key.len <= KEY_MAX && inside(c->key, front) && inside(c->args, front));
    assert(c->opcode == (uint8_t)front.ptr[1]);
    assert(c->op == OP_ERROR || op_kind(c->op) == KIND_ADMIN || c->key.len > 0);
}

/* Any reply to it is a packet of the length it says, or nothing. */
static void
answers_check(const struct command *c)
{
    for (int code = 0; code < REPLIES; code++) {
        struct reply r = { .code = (enum reply_code)code, .value_len = 5, .cas = 1 };
        char *out = malloc(PROTO_HEAD_MAX);
        size_t n;
        uint32_t body;

        assert(out);
        n = binary_write_head(c, &r, out);
        assert(n == 0 || (n >= BINARY_HEADER && n <= PROTO_HEAD_MAX));
        if (n > 0) {
            body = (uint32_t)(uint8_t)out[8] << 24 | (uint32_t)(uint8_t)out[9] << 16 |
                   (uint32_t)(uint8_t)out[10] << 8 | (uint8_t)out[11];
            assert((uint8_t)out[0] == BINARY_RESPONSE && (uint8_t)out[1] == c->opcode);
            assert(BINARY_HEADER + body == n + (code == RPL_HIT ? r.value_len : 0));
        }
        free(out);
    }
}

/* Less of the same bytes asks for more, or is the same. */
static void
cut_check(struct slice in, size_t cut, size_t used, const struct command *whole)
{
    struct command c = { 0 };
    size_t cut_used = 0;
    char *copy = malloc(cut ? cut : 1);
    enum binary_result result;

    assert(copy);
    memcpy(copy, in.ptr, cut);
    result = binary_parse(slice_of(copy, cut), &c, &cut_used);
    assert(result == (cut < used ? BINARY_MORE : BINARY_CMD));
    assert(result == BINARY_MORE || (cut_used == used && c.op == whole->op &&
                                     c.value_len == whole->value_len));
    free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice in = slice_of(bytes, len);

    while (in.len > 0) {
        struct command c = { 0 };
        size_t used = 0;
        enum binary_result result = binary_parse(in, &c, &used);

        if (result != BINARY_CMD) {
            assert(result == BINARY_CLOSE ? (uint8_t)*in.ptr != BINARY_REQUEST
                                          : in.len < FRONT_MAX);
            break;
        }
        assert(used >= BINARY_HEADER && used <= in.len && used <= FRONT_MAX);
        command_check(&c, slice_of(in.ptr, used));
        answers_check(&c);
        cut_check(in, used - 1, used, &c);
        cut_check(in, (uint8_t)in.ptr[12] % used, used, &c);
        cut_check(in, used, used, &c);
        in = slice_from(in, used);
        in = slice_from(in, c.value_len < in.len ? c.value_len : in.len);
        if (c.close_after) {
            break;
        }
    }
    return 0;
}
