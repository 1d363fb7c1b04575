/*
 * answers.c - fuzzes what the load generator reads: a stream cut anywhere gives the same answers.
 *
 * The first byte chooses the protocol and the request, the second how the rest is cut.  All memory
 * handed over is exactly as long as it says, so that a look behind the end is seen.
 */
#include "bench/dialect.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ANSWERS_MAX (1u << 16) /* of one input */

/* What came of a stream. */
struct trace {
    struct answer answer[ANSWERS_MAX]; /* the slices as places in the stream */
    size_t        count;
    bool          lost;
};

struct asked {
    enum dialect dialect;
    enum verb    verb;
    bool         many;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The slice as a place in the stream. */
static struct slice
place_of(struct slice part, struct slice in, size_t used, size_t at)
{
    if (part.len == 0) {
        return slice_of(NULL, 0);
    }
    assert(part.ptr >= in.ptr && part.ptr + part.len <= in.ptr + used);
    return slice_of((const char *)(at + (size_t)(part.ptr - in.ptr)), part.len);
}

static void
check_answer(const struct asked *q, const struct answer *a)
{
    assert(a->kind == ANSWER_VALUE || (a->value_len == 0 || a->kind == ANSWER_NUMBER));
    assert(a->kind != ANSWER_NUMBER || q->verb == VERB_INCR);
    assert(a->kind != ANSWER_VALUE || a->tail == (q->dialect == DIALECT_BINARY ? 0u : 2u));
    assert(a->has_key || a->key.len == 0);
    assert(a->ends || q->many || a->kind == ANSWER_VALUE || q->dialect == DIALECT_BINARY);
}

/* Reads the stream, of which step bytes more are there each time. */
static void
stream_read(const struct asked *q, const uint8_t *bytes, size_t len, size_t step, struct trace *t)
{
    size_t at = 0, seen = 0;

    t->count = 0;
    t->lost = false;
    while (!t->lost && (seen < len || at < seen)) {
        enum dialect_result result = DIALECT_MORE;
        struct answer a;
        size_t used = 0;

        if (at < seen) {
            char *copy = malloc(seen - at);
            struct slice in = slice_of(copy, seen - at);

            assert(copy);
            memcpy(copy, bytes + at, in.len);
            result = dialect_read(q->dialect, q->verb, q->many, in, &a, &used);
            if (result == DIALECT_ANSWER) {
                assert(used > 0 && used <= in.len && t->count < ANSWERS_MAX);
                check_answer(q, &a);
                a.key = place_of(a.key, in, used, at);
                a.text = place_of(a.text, in, used, at);
                t->answer[t->count++] = a;
                at += used + (a.kind == ANSWER_VALUE ? (size_t)a.value_len + a.tail : 0);
            }
            free(copy);
        }
        t->lost = result == DIALECT_LOST;
        if (result == DIALECT_MORE || at > seen) {
            if (seen == len) {
                break;
            }
            seen = len - seen > step ? seen + step : len;
        }
    }
}

static bool
answer_eq(const struct answer *a, const struct answer *b)
{
    return a->kind == b->kind && a->ends == b->ends && a->has_key == b->has_key &&
           a->key.ptr == b->key.ptr && a->key.len == b->key.len && a->text.ptr == b->text.ptr &&
           a->text.len == b->text.len && a->number == b->number && a->flags == b->flags &&
           a->value_len == b->value_len && a->tail == b->tail;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct trace whole, cut;
    struct asked q;

    if (len < 3 || len > ANSWERS_MAX) {
        return 0;
    }
    q = (struct asked){ .dialect = (enum dialect)(bytes[0] % 4 % 3),
                        .verb = (enum verb)(bytes[0] / 4 % 4),
                        .many = bytes[0] / 16 % 2 };
    q.many = q.many && q.verb == VERB_GET;
    stream_read(&q, bytes + 2, len - 2, len, &whole);
    stream_read(&q, bytes + 2, len - 2, len / 512 + 1 + bytes[1] % 64, &cut);
    assert(whole.count == cut.count && whole.lost == cut.lost);
    for (size_t i = 0; i < whole.count; i++) {
        assert(answer_eq(&whole.answer[i], &cut.answer[i]));
    }
    return 0;
}
