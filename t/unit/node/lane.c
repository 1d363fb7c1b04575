#include "node/lane.h"
#include "base/rng.h"
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 6

static struct drive_node n;
static struct lane l;

/* What of each value has come. */
static struct {
    size_t len;
    size_t got;
    bool last;
} value[VALUES];

static void
begin(void)
{
    static const char *const options[] = { "memory_limit=16m", NULL };

    drive_node_init(&n, options);
    memset(&l, 0, sizeof l);
    memset(value, 0, sizeof value);
}

static char
byte_of(unsigned id, size_t at)
{
    return (char)('a' + (at * 7 + at / 251 + id) % 26);
}

/* Adds a value of so many bytes as that of frame id; its first is 10 + id. */
static void
add(unsigned id, size_t len, bool pinned)
{
    char key[16], *bytes = malloc(len);
    struct store_spec spec = { .value_len = (uint32_t)len };
    struct value_cursor at;
    struct slice rest = slice_of(bytes, len);
    struct item *item;
    struct store_hit hit;

    spec.key = slice_of(key, (size_t)snprintf(key, sizeof key, "key%u", id));
    for (size_t i = 0; i < len; i++) {
        bytes[i] = byte_of(id, i);
    }
    item = store_alloc(n.worker->ctx, &spec);
    cr_assert(item != NULL);
    value_cursor_init(&at, n.node->store, item);
    while (rest.len > 0) {
        cr_assert(store_extend(n.worker->ctx, &at));
        rest = slice_from(rest, value_cursor_write(&at, n.node->store, rest));
    }
    pinned = pinned && len > 10000; /* short ones are handed out as copies */
    if (pinned) {
        uint64_t hash = store_hash(spec.key);
        struct store_txn t;

        store_lock(n.worker->ctx, spec.key, hash, &t);
        cr_assert(store_publish(&t, &item) != 0);
        store_unlock(&t);
        cr_assert(eq(int, store_get(n.worker->ctx, spec.key, hash, 0, &hit), STORE_HIT));
        item = hit.pinned;
        cr_assert(item != NULL);
    }
    cr_assert(lane_add(&l, n.worker->ctx, id, (uint16_t)(10 + id), item, pinned));
    value[id].len = len;
    free(bytes);
}

/* Sends up to step bytes of what is shown in up to max spans, behind the others in out. */
static size_t
send(struct buf *out, size_t step, int max)
{
    struct iovec iov[64];
    int count = lane_iov(&l, n.node->store, iov, max);
    size_t sent = 0;

    cr_assert(le(int, count, max));
    for (int i = 0; i < count && sent < step; i++) {
        size_t part = iov[i].iov_len < step - sent ? iov[i].iov_len : step - sent;

        cr_assert(gt(sz, iov[i].iov_len, 0));
        cr_assert(buf_add(out, iov[i].iov_base, part));
        sent += part;
    }
    cr_assert(eq(sz, lane_done(&l, n.worker->ctx, sent), sent), "none of it is of another part");
    return sent;
}

/* Takes whole parts off the front; returns the id of the last. */
static unsigned
parts_read(struct buf *out)
{
    struct peer_frame f;
    unsigned id = 0;

    while (peer_read_frame(slice_of(out->ptr, out->len), &f) == PEER_OK) {
        id = (unsigned)f.id;
        cr_assert(eq(int, f.type, PEER_PART));
        cr_assert(lt(u32, id, VALUES));
        cr_assert(eq(u16, f.first, 10 + id));
        cr_assert(not(value[id].last));
        cr_assert(le(u32, f.body_len, PEER_PART_MAX));
        for (size_t i = 0; i < f.body_len; i++) {
            cr_assert(out->ptr[PEER_HEADER + i] == byte_of(id, value[id].got + i));
        }
        value[id].got += f.body_len;
        value[id].last = (f.flags & PEER_LAST) != 0;
        cr_assert(eq(int, value[id].last, value[id].got == value[id].len));
        buf_shift(out, PEER_HEADER + f.body_len);
    }
    return id;
}

static void
end(void)
{
    lane_drop(&l, n.worker->ctx);
    drive_node_fini(&n);
}

Test(lane, nothing_is_in_a_new_one)
{
    struct iovec iov[4];

    begin();
    cr_expect(eq(int, lane_iov(&l, n.node->store, iov, 4), 0));
    cr_expect(eq(sz, lane_done(&l, n.worker->ctx, 0), 0));
    end();
}

/* Values of lengths around that of a part, in steps and spans of any size. */
Test(lane, a_value_comes_in_parts)
{
    static const size_t lens[] = { 1, 4095, 32767, 32768, 32769, 65536, 65537, 300000 };
    static const size_t steps[] = { 1, 39, 40, 41, 1000, 32808, (size_t)-1 };

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct buf out = { 0 };

            begin();
            add(1, lens[i], k % 2);
            while (l.bytes > 0) {
                cr_assert(gt(sz, send(&out, steps[k], 1 + (int)k * 2), 0));
                parts_read(&out);
            }
            cr_expect(value[1].last && value[1].got == lens[i]);
            cr_expect(eq(sz, out.len, 0));
            cr_expect(l.first == NULL && l.last == NULL && !l.begun);
            buf_free(&out);
            end();
        }
    }
}

/* None waits for more than a part of each other. */
Test(lane, values_take_turns)
{
    static const unsigned want[] = { 1, 2, 3, 1, 2, 1, 1 };
    struct buf out = { 0 };

    begin();
    add(1, 4 * PEER_PART_MAX, true);
    add(2, PEER_PART_MAX + 1, false);
    add(3, 10, true);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        while (l.begun || out.len == 0) {
            send(&out, 5000, 64);
        }
        cr_expect(eq(u32, parts_read(&out), want[i]), "part %zu", i);
    }
    cr_expect(eq(sz, l.bytes, 0));
    buf_free(&out);
    end();
}

/* A frame may go between two parts, not into one. */
Test(lane, says_where_a_part_ends)
{
    struct iovec iov[64];
    struct buf out = { 0 };
    int count;

    begin();
    add(1, 2 * PEER_PART_MAX, true);
    cr_expect(not(l.begun));
    count = lane_iov(&l, n.node->store, iov, 64);
    cr_expect(lane_shown(&l, iov, count));
    cr_expect(not(lane_shown(&l, iov, count - 1)));
    cr_expect(eq(sz, lane_done(&l, n.worker->ctx, 1), 1));
    cr_expect(l.begun);
    count = lane_iov(&l, n.node->store, iov, 1);
    cr_expect(eq(int, count, 1), "one span is enough to go on");
    cr_expect(eq(sz, iov[0].iov_len, PEER_HEADER - 1));
    cr_expect(not(lane_shown(&l, iov, count)));
    /* What goes behind the part is not the lane's. */
    cr_expect(eq(sz, lane_done(&l, n.worker->ctx, PEER_HEADER + PEER_PART_MAX + 500),
                 PEER_HEADER - 1 + PEER_PART_MAX));
    cr_expect(not(l.begun));
    cr_expect(eq(sz, l.bytes, PEER_PART_MAX));
    buf_free(&out);
    end();
}

/* Dropped anywhere: pins and private items come back. */
Test(lane, drop_gives_memory_back)
{
    struct rng rng;

    begin();
    rng_init(&rng, 3);
    for (int i = 0; i < 200; i++) {
        struct buf out = { 0 };

        memset(value, 0, sizeof value);
        for (unsigned id = 0; id < VALUES; id++) {
            add(id, 1 + rng_below(&rng, 200000), rng_below(&rng, 2));
        }
        for (uint64_t k = rng_below(&rng, 40); k > 0 && l.bytes > 0; k--) {
            send(&out, rng_below(&rng, 50000), 1 + (int)rng_below(&rng, 64));
            parts_read(&out);
        }
        lane_drop(&l, n.worker->ctx);
        cr_expect(eq(sz, l.bytes, 0));
        buf_free(&out);
    }
    end();
}
