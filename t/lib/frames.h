/*
 * frames.h - frames between nodes that are made of a fuzzer's bytes: headers that pass, around
 * whatever body there is.
 */
#pragma once
#include "base/buf.h"
#include "proto/peer.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

/* Bytes that are taken off the front; zeros are taken when there are too few. */
struct frames_in {
    const uint8_t *ptr;
    size_t left;
};

static inline unsigned
frames_u8(struct frames_in *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->ptr++;
}

static inline unsigned
frames_u16(struct frames_in *in)
{
    unsigned high = frames_u8(in);

    return high << 8 | frames_u8(in);
}

/* As many of n bytes as there are. */
static inline struct slice
frames_bytes(struct frames_in *in, size_t n)
{
    struct slice ret = slice_of(in->ptr, n < in->left ? n : in->left);

    in->ptr += ret.len;
    in->left -= ret.len;
    return ret;
}

static inline void
frames_add(struct buf *out, const void *bytes, size_t n)
{
    bool ok = n == 0 || buf_add(out, bytes, n);

    assert(ok);
}

/* A frame with a header that is good. */
static inline void
frames_put(struct buf *out, struct peer_frame f, struct slice body)
{
    char head[PEER_HEADER];

    f.body_len = (uint32_t)(body.len < PEER_BODY_MAX ? body.len : PEER_BODY_MAX);
    peer_write_header(&f, head);
    frames_add(out, head, sizeof head);
    frames_add(out, body.ptr, f.body_len);
}

/* A body of entries: each is kind, tail, length (u16) and its bytes. */
static inline void
frames_entries(struct frames_in *in, unsigned count, struct buf *body)
{
    for (; count > 0 && in->left > 0; count--) {
        struct peer_entry e = { .kind = (enum peer_entry_kind)(frames_u8(in) % 5) };
        char head[PEER_ENTRY];
        struct slice bytes;

        e.tail = (uint8_t)frames_u8(in);
        bytes = frames_bytes(in, frames_u16(in));
        e.len = (uint32_t)bytes.len;
        peer_write_entry(&e, head);
        frames_add(body, head, sizeof head);
        frames_add(body, bytes.ptr, bytes.len);
    }
}
