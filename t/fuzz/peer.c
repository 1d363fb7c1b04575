/*
 * peer.c - fuzzes what nodes read from each other: what is understood is written again as it was
 * meant, and what is cut is not understood.
 *
 * The first byte says what the rest is: a greeting, a frame, commands or entries of answers.  All
 * memory handed over is exactly as long as it says, so that a look behind the end is seen.
 */
#include "proto/peer.h"
#include "base/hash.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A copy of exactly these bytes. */
static char *
exactly(const void *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert(copy);
    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

static bool
inside(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void
hello_run(const uint8_t *bytes, size_t len)
{
    struct peer_hello h, again;
    char in[PEER_HELLO] = { 0 }, out[PEER_HELLO];

    memcpy(in, bytes, len < PEER_HELLO ? len : PEER_HELLO);
    if (!peer_read_hello(in, &h)) {
        return;
    }
    peer_write_hello(&h, out);
    assert(peer_read_hello(out, &again));
    assert(h.purpose == again.purpose && h.verdict == again.verdict && h.from == again.from);
    assert(h.version_min == again.version_min && h.version_max == again.version_max);
    assert(h.label == again.label && h.worker == again.worker);
    assert(h.nonce == again.nonce && h.features == again.features);
    /* The rest is spare. */
    assert(memcmp(in, out, 40) == 0);
}

static void
frame_check(struct slice in)
{
    struct peer_frame f, again;
    char head[PEER_HEADER];

    if (peer_read_frame(in, &f) != PEER_OK) {
        return;
    }
    assert(f.body_len <= PEER_BODY_MAX && PEER_HEADER + f.body_len <= in.len);
    assert(f.type >= PEER_COMMANDS && f.type <= PEER_PONG);
    peer_write_header(&f, head);
    assert(peer_read_frame(slice_of(head, PEER_HEADER), &again) ==
           (f.body_len > 0 ? PEER_MORE : PEER_OK));
    assert(f.type == again.type && f.flags == again.flags && f.body_len == again.body_len);
    assert(f.id == again.id && f.ring == again.ring && f.count == again.count);
    assert(f.first == again.first && f.deadline_ms == again.deadline_ms);
    /* Whatever is changed in it, it is no header any more: the check says so. */
    for (size_t i = 0; i < PEER_HEADER; i++) {
        head[i] ^= 0x40;
        assert(peer_read_frame(slice_of(head, PEER_HEADER), &again) == PEER_MALFORMED);
        head[i] ^= 0x40;
    }
}

/* As it is, and with the check that it should have. */
static void
frame_run(const uint8_t *bytes, size_t len)
{
    char *in = exactly(bytes, len);
    uint32_t check;

    frame_check(slice_of(in, len));
    if (len >= PEER_HEADER) {
        check = (uint32_t)hash_bytes(in, PEER_HEADER - sizeof check);
        memcpy(in + PEER_HEADER - sizeof check, &check, sizeof check);
        frame_check(slice_of(in, len));
    }
    free(in);
}

static bool
meta_same(const struct meta_args *a, const struct meta_args *b)
{
    return a->has == b->has && a->returned_count == b->returned_count &&
           memcmp(a->returned, b->returned, a->returned_count) == 0 && a->mode == b->mode &&
           a->at_t == b->at_t && a->at_T == b->at_T && a->at_N == b->at_N && a->at_R == b->at_R &&
           a->ttl == b->ttl && a->vivify_ttl == b->vivify_ttl && a->recache_ttl == b->recache_ttl &&
           a->new_cas == b->new_cas && slice_eq(a->opaque, b->opaque) &&
           slice_eq(a->key_sent, b->key_sent);
}

static bool
command_same(const struct command *a, const struct command *b)
{
    return a->op == b->op && a->protocol == b->protocol && a->quiet == b->quiet &&
           a->last == b->last && a->has_value == b->has_value && !a->close_after &&
           !b->close_after && a->key_binary == b->key_binary && a->error == b->error &&
           a->opcode == b->opcode && a->opaque == b->opaque && a->client_flags == b->client_flags &&
           a->value_len == b->value_len && a->exptime == b->exptime &&
           a->has_exptime == b->has_exptime && a->cas == b->cas && a->delta == b->delta &&
           a->initial == b->initial && slice_eq(a->key, b->key) && slice_eq(a->value, b->value) &&
           (a->protocol != PROTO_META || meta_same(&a->meta, &b->meta));
}

static void
command_check(const struct command *c, enum peer_value value, struct slice in)
{
    struct command again;
    enum peer_value how;
    char *out = malloc(PEER_COMMAND_MAX + c->value.len);
    size_t n;

    assert(out && (unsigned)c->op < OPS && inside(c->key, in) && c->key.len <= KEY_MAX);
    assert(inside(c->value, in) && c->error == RPL_HIT && c->args.len == 0);
    assert((value == PEER_VALUE_HERE) == (c->value.ptr != NULL));
    assert(c->value.len == (value == PEER_VALUE_HERE ? c->value_len : 0));
    if (c->protocol == PROTO_META) {
        assert(inside(c->meta.opaque, in) && inside(c->meta.key_sent, in));
        assert(c->meta.opaque.len <= OPAQUE_MAX && c->meta.key_sent.len <= KEY_MAX);
        assert(c->meta.returned_count <= META_FLAGS_MAX);
    }
    n = peer_write_command(c, value, out);
    assert(n <= PEER_COMMAND_MAX);
    if (c->value.len > 0) {
        memcpy(out + n, c->value.ptr, c->value.len);
        n += c->value.len;
    }
    memset(&again, 0x55, sizeof again);
    in = slice_of(out, n);
    assert(peer_read_command(&in, &again, &how) == PEER_OK && in.len == 0 && how == value);
    assert(command_same(c, &again));
    free(out);
}

static void
commands_run(const uint8_t *bytes, size_t len)
{
    char *copy = exactly(bytes, len);
    struct slice in = slice_of(copy, len), whole = in;
    struct command c;
    enum peer_value value;

    memset(&c, 0xaa, sizeof c);
    while (in.len > 0 && peer_read_command(&in, &c, &value) == PEER_OK) {
        assert(inside(in, whole) && in.len < whole.len);
        command_check(&c, value, whole);
        /* A byte less, and it is none. */
        if (whole.len - in.len < 600) {
            char *cut = exactly(whole.ptr, whole.len - in.len - 1);
            struct slice less = slice_of(cut, whole.len - in.len - 1);

            assert(peer_read_command(&less, &c, &value) == PEER_MALFORMED);
            free(cut);
        }
        whole = in;
        memset(&c, 0xaa, sizeof c);
    }
    free(copy);
}

static void
entries_run(const uint8_t *bytes, size_t len)
{
    char *copy = exactly(bytes, len), head[PEER_ENTRY];
    struct slice in = slice_of(copy, len), whole = in, content;
    struct peer_entry e, again;

    while (peer_read_entry(&in, &e, &content) == PEER_OK) {
        assert(inside(content, whole) && content.len == e.len && e.tail <= e.len);
        assert(in.len + PEER_ENTRY + e.len == whole.len);
        assert(e.kind != PEER_NOT_OWNER || e.len == sizeof(node_id));
        peer_write_entry(&e, head);
        content = slice_of(head, PEER_ENTRY);
        assert(peer_read_entry(&content, &again, &content) == (e.len ? PEER_MALFORMED : PEER_OK));
        assert(again.len == e.len && again.tail == e.tail);
        whole = in;
    }
    assert(in.len == whole.len); /* what is malformed is not taken */
    free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static void (*const run[])(const uint8_t *, size_t) = { hello_run, frame_run, commands_run,
                                                            entries_run };

    if (len > 0) {
        run[bytes[0] % 4](bytes + 1, len - 1);
    }
    return 0;
}
