/*
 * text.c - fuzzes the text protocol: a stream cut anywhere gives the same commands.
 *
 * The first byte says how the rest is cut.  All memory handed to the parser is exactly as long as
 * it says, so that a look behind the end is seen.
 */
#include "proto/text.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define COMMANDS_MAX (1u << 16) /* of one input */

/* What came of a stream. */
struct trace {
    uint64_t commands[COMMANDS_MAX]; /* a number for each, different if anything about it is */
    size_t   count;
    bool     closed;
};

/* A stream as the session sees it. */
struct stream {
    struct text_parser parser;
    struct trace      *trace;
    uint64_t           swallow; /* bytes of a value that are still to come */
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool
inside(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    sum ^= value;
    sum *= UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ (sum >> 29);
}

static uint64_t
mix_slice(uint64_t sum, struct slice s)
{
    sum = mix(sum, s.len);
    for (size_t i = 0; i < s.len; i++) {
        sum = mix(sum, (unsigned char)s.ptr[i]);
    }
    return sum;
}

static uint64_t
digest_meta(uint64_t sum, const struct command *c)
{
    const struct meta_args *m = &c->meta;

    sum = mix(sum, m->has);
    sum = mix(sum, (uint64_t)m->mode << 8 | m->at_t);
    sum = mix(sum, (uint64_t)(uint32_t)m->ttl << 32 | (uint32_t)m->vivify_ttl);
    sum = mix(sum, (uint64_t)(uint32_t)m->recache_ttl);
    sum = mix(sum, m->new_cas);
    sum = mix_slice(sum, slice_of(m->returned, m->returned_count));
    sum = mix_slice(sum, m->opaque);
    return mix_slice(sum, m->key_sent);
}

static uint64_t
digest(const struct command *c, size_t used)
{
    uint64_t sum = mix(c->op, c->protocol);

    sum = mix(sum, (uint64_t)c->quiet | (uint64_t)c->last << 1 | (uint64_t)c->has_value << 2 |
                       (uint64_t)c->close_after << 3 | (uint64_t)c->key_binary << 4 |
                       (uint64_t)c->has_exptime << 5);
    sum = mix(sum, (uint64_t)c->error << 32 | c->value_len);
    sum = mix(sum, c->client_flags);
    sum = mix(sum, (uint64_t)c->exptime);
    sum = mix(sum, c->cas);
    sum = mix(sum, c->delta);
    sum = mix(sum, c->initial);
    sum = mix_slice(sum, c->key);
    sum = mix_slice(sum, c->args);
    sum = mix(sum, used);
    return c->protocol == PROTO_META ? digest_meta(sum, c) : sum;
}

/* What every command must be like, whatever the line was. */
static void
check_command(const struct command *c, struct slice in, size_t used)
{
    struct slice line = slice_of(in.ptr, used);
    bool room = c->key_binary && c->key.ptr == c->key_room;

    assert(used > 0 && used <= in.len);
    assert((unsigned)c->op < OPS && (unsigned)c->error < REPLIES);
    assert(inside(c->args, line) && c->value.len == 0);
    if (c->op == OP_ERROR) {
        assert(reply_is_error(c->error) && reply_text(c->error));
        assert(!c->has_value || c->value_len <= INT32_MAX - 2);
        return;
    }
    assert(c->error == RPL_HIT || (c->op == OP_FLUSH_ALL && c->error == RPL_BAD_EXPTIME));
    assert(inside(c->key, line) ||
           (room && c->key.len > 0 && c->key.len <= sizeof c->key_room));
    assert(c->key.len <= KEY_MAX && !c->close_after);
    assert((c->key.len > 0) == (op_kind(c->op) != KIND_ADMIN && c->op != OP_META_NOOP));
    assert(c->has_value == (op_kind(c->op) == KIND_STORE || c->op == OP_META_SET));
    assert((c->protocol == PROTO_META) == (op_kind(c->op) == KIND_META));
    if (c->protocol == PROTO_META) {
        assert(inside(c->meta.key_sent, line) && inside(c->meta.opaque, line));
        assert(c->meta.opaque.len <= OPAQUE_MAX);
    }
}

/* Every answer to a command of the classic protocol is one line or nothing. */
static void
check_answer(const struct command *c, enum reply_code code)
{
    struct reply r = { .code = code, .cas = UINT64_MAX, .number = UINT64_MAX };
    char out[PROTO_HEAD_MAX];
    size_t n;

    if (c->protocol != PROTO_TEXT || code == RPL_DONE) {
        return; /* which only the meta protocol can say */
    }
    n = text_write_head(c, &r, out);
    assert(n <= PROTO_HEAD_MAX && (n == 0 || !c->quiet));
    assert(n == 0 || (n > 2 && memchr(out, '\n', n) == out + n - 1));
}

/* Parses what is there; returns how much was used. */
static size_t
stream_feed(struct stream *s, struct slice in)
{
    struct trace *t = s->trace;
    size_t before = in.len;

    while (in.len > 0 && !t->closed) {
        struct command c;
        size_t used = 0;

        if (s->swallow > 0) {
            size_t n = s->swallow < in.len ? (size_t)s->swallow : in.len;

            s->swallow -= n;
            in = slice_from(in, n);
            continue;
        }
        memset(&c, 0xaa, sizeof c);
        enum text_result result = text_parse(&s->parser, in, &c, &used);
        if (result == TEXT_MORE) {
            break;
        }
        t->closed = result == TEXT_CLOSE;
        if (t->closed) {
            break;
        }
        check_command(&c, in, used);
        check_answer(&c, c.op == OP_ERROR ? c.error : RPL_HIT);
        check_answer(&c, (enum reply_code)(t->count % REPLIES));
        assert(t->count < COMMANDS_MAX);
        t->commands[t->count++] = digest(&c, used);
        s->swallow = c.has_value ? (uint64_t)c.value_len + 2 : 0;
        t->closed = c.close_after;
        in = slice_from(in, used);
    }
    return before - in.len;
}

/* Hands the bytes over in pieces of this size, or whole. */
static void
stream_run(struct trace *t, const uint8_t *bytes, size_t len, size_t step)
{
    struct stream s = { .trace = t };
    size_t done = 0, seen = 0;

    t->count = 0;
    t->closed = false;
    while (seen < len && !t->closed) {
        seen = len - seen > step ? seen + step : len;
        char *copy = malloc(seen - done);

        assert(copy && seen > done);
        memcpy(copy, bytes + done, seen - done);
        done += stream_feed(&s, slice_of(copy, seen - done));
        free(copy);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct trace whole, cut;
    size_t step;

    if (len < 2 || len > COMMANDS_MAX) {
        return 0;
    }
    step = len / 512 + 1 + bytes[0] % 64;
    stream_run(&whole, bytes + 1, len - 1, len);
    stream_run(&cut, bytes + 1, len - 1, step);
    /* A line of over 2048 bytes passes if all of it is there at once; memcached is no better. */
    assert(cut.count == whole.count || (cut.closed && cut.count < whole.count));
    assert(cut.closed == whole.closed || cut.closed);
    assert(memcmp(cut.commands, whole.commands, cut.count * sizeof cut.commands[0]) == 0);
    return 0;
}
