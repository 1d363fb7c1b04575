/*
 * serve.c - fuzzes the serving end of a link: whatever another node sends, in whatever pieces, it
 * gets the same answers, in frames that fit what it asked.
 *
 * The first byte says how large the reads are, the second how slowly the answers are read.  Then
 * come frames: a byte of type (0: bytes without a header), flags, count, first, id, whether the
 * ring is ours, two bytes of length, and the body.  The node is one of two, so that it owns some
 * keys and not others.
 */
#include "base/hash.h"
#include "frames.h"
#include "mesh.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What came of one run. */
struct outcome {
    uint64_t entries; /* a digest of the answers, in their order */
    uint64_t parts;   /* and one of parts, in any order */
    uint64_t part_bytes, promised;
    unsigned pongs;
    bool closed;
    int64_t items, item_bytes, total;
};

static struct buf
frames_of(struct frames_in in, uint64_t ring)
{
    struct buf ret = { 0 };

    while (in.left > 0) {
        unsigned type = frames_u8(&in);
        struct peer_frame f = { .type = (enum peer_type)(type % 7) };

        f.flags = (uint8_t)frames_u8(&in);
        f.count = (uint16_t)frames_u8(&in);
        f.first = (uint16_t)frames_u8(&in);
        f.id = frames_u8(&in);
        f.ring = frames_u8(&in) % 2 ? ring : 1;
        struct slice body = frames_bytes(&in, frames_u16(&in));

        if (f.type == 0) {
            frames_add(&ret, body.ptr, body.len);
        } else if (type < 128) {
            frames_put(&ret, f, body);
        } else { /* a long body, without as long an input */
            static char zero[PEER_BODY_MAX];

            frames_put(&ret, f, slice_of(zero, (body.len << 8) % PEER_BODY_MAX));
        }
    }
    return ret;
}

static uint64_t
mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15) ^ (sum >> 29);
}

/* One frame of answers. */
static void
answers_read(const struct peer_frame *f, struct slice body, struct outcome *ret)
{
    assert(f->count > 0 && f->first + f->count <= BATCH_MAX);
    for (unsigned i = 0; i < f->count; i++) {
        struct peer_entry e;
        struct slice bytes;
        bool ok = peer_read_entry(&body, &e, &bytes) == PEER_OK;

        assert(ok && (e.kind == PEER_ANSWER_PARTS || e.tail == 0));
        ret->promised += e.kind == PEER_ANSWER_PARTS;
        ret->entries = mix(mix(ret->entries, f->id << 8 | (f->first + i)), (uint64_t)e.kind);
        ret->entries = mix(ret->entries, hash_bytes(bytes.ptr, bytes.len));
    }
    assert(body.len == 0);
}

/* The answers are whole frames, of the kinds that a serving node sends. */
static void
answers_check(struct slice got, bool closed, struct outcome *ret)
{
    unsigned last = 0;

    while (got.len > 0) {
        struct peer_frame f;
        enum peer_result is = peer_read_frame(got, &f);
        struct slice body;

        if (is == PEER_MORE && closed) {
            return;
        }
        assert(is == PEER_OK);
        body = slice_of(got.ptr + PEER_HEADER, f.body_len);
        assert(f.type == PEER_ANSWERS || f.type == PEER_PART || f.type == PEER_PONG);
        if (f.type == PEER_ANSWERS) {
            answers_read(&f, body, ret);
        } else if (f.type == PEER_PART) {
            assert(f.body_len > 0 && f.body_len <= PEER_INLINE_MAX);
            last += (f.flags & PEER_LAST) != 0;
            assert(last <= ret->promised);
            ret->parts += mix(mix(f.id << 8 | f.first, f.flags), hash_bytes(body.ptr, body.len));
            ret->part_bytes += f.body_len;
        } else {
            ret->pongs++;
        }
        got = slice_from(got, PEER_HEADER + f.body_len);
    }
    assert(closed || last == ret->promised);
}

static void
run(const uint8_t *bytes, size_t len, size_t cut, size_t sent, struct outcome *ret)
{
    static const char *const options[] = { "memory_limit=16m", "item_size_max=256k", NULL };
    struct mesh m;
    struct drive d;
    struct buf in;
    size_t at = 0;

    mesh_init(&m, 2, options);
    in = frames_of((struct frames_in){ bytes, len }, m.node[0].worker->view->ring_digest);
    frames_add(&in, "", 1); /* so that it has a place */
    in.len--;
    drive_init(&d, &m.node[0], SESSION_PEER);
    for (unsigned idle = 0; d.session && idle < 100 && sent != DRIVE_ALL; idle++) {
        size_t n = drive_turn(&d, in.ptr + at, in.len - at, cut, sent);

        at += n;
        idle = n > 0 ? 0 : idle;
    }
    drive_say(&d, in.ptr + at, in.len - at, cut);
    memset(ret, 0, sizeof *ret);
    ret->closed = d.session == NULL;
    answers_check(slice_of(d.got.ptr, d.got.len), ret->closed, ret);
    ret->items = drive_metric(&m.node[0], M_CURR_ITEMS);
    ret->item_bytes = drive_metric(&m.node[0], M_CURR_BYTES);
    ret->total = drive_metric(&m.node[0], M_TOTAL_ITEMS);
    drive_fini(&d);
    buf_free(&in);
    mesh_fini(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct outcome whole, parts;

    if (len < 2) {
        return 0;
    }
    run(bytes + 2, len - 2, DRIVE_ALL, DRIVE_ALL, &whole);
    run(bytes + 2, len - 2, bytes[0] == 0 ? 1 : bytes[0], bytes[1] ? bytes[1] * 16u : DRIVE_ALL,
        &parts);
    assert(whole.closed == parts.closed);
    assert(whole.entries == parts.entries && whole.pongs == parts.pongs);
    assert(whole.closed || whole.parts == parts.parts);
    assert(whole.closed || whole.part_bytes == parts.part_bytes);
    assert(whole.items == parts.items && whole.item_bytes == parts.item_bytes);
    assert(whole.total == parts.total);
    return 0;
}
