#include "node/outbox.h"
#include "base/rng.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static struct outbox_pool pool;

/* Puts n bytes into it, each one more than the last; returns the block they are in. */
static struct outbox_block *
put(struct outbox *o, size_t n, unsigned *next)
{
    struct outbox_block *b;

    cr_assert(outbox_reserve(o, &pool, n));
    b = o->last;
    for (size_t i = 0; i < n; i++) {
        b->bytes[b->used + i] = (char)(*next)++;
    }
    outbox_add(o, n);
    return b;
}

/* Sends up to n bytes and checks them. */
static size_t
take(struct outbox *o, size_t n, int spans, unsigned *next)
{
    struct iovec iov[8];
    int count = outbox_iov(o, iov, spans);
    size_t sent = 0;

    for (int i = 0; i < count; i++) {
        cr_assert(gt(sz, iov[i].iov_len, 0));
        for (size_t k = 0; k < iov[i].iov_len && sent < n; k++, sent++) {
            cr_assert(eq(chr, *((char *)iov[i].iov_base + k), (char)(*next)++));
        }
    }
    outbox_done(o, &pool, sent);
    return sent;
}

Test(outbox, nothing_is_in_a_new_one)
{
    struct outbox o = { 0 };
    struct iovec iov[1];

    cr_expect(eq(int, outbox_iov(&o, iov, 1), 0));
    outbox_done(&o, &pool, 0);
    outbox_drop(&o, &pool);
    cr_expect(eq(u32, pool.spare_count, 0));
}

/* A frame lies in one block, whatever is left of the one before. */
Test(outbox, a_frame_lies_whole_in_a_block)
{
    struct outbox o = { 0 };
    unsigned next = 0, sent = 0;
    struct outbox_block *a = put(&o, 10, &next), *b = put(&o, OUTBOX_BLOCK - 10, &next);

    cr_expect(a == b);
    b = put(&o, 1, &next);
    cr_expect(a != b);
    cr_expect(put(&o, OUTBOX_BLOCK, &next) != b);
    cr_expect(eq(sz, o.unsent, 2 * OUTBOX_BLOCK + 1));
    cr_expect(eq(sz, take(&o, (size_t)-1, 1, &sent), OUTBOX_BLOCK));
    cr_expect(eq(sz, take(&o, (size_t)-1, 8, &sent), OUTBOX_BLOCK + 1));
    cr_expect(eq(sz, o.unsent, 0));
    outbox_drop(&o, &pool);
    outbox_pool_fini(&pool);
}

/* What is held stays as it is, sent or not, and whatever becomes of the outbox. */
Test(outbox, a_block_that_is_held_is_not_written_again)
{
    struct outbox o = { 0 };
    unsigned next = 0, sent = 0;
    struct outbox_block *a = put(&o, 100, &next), *b;
    char before[100];

    outbox_hold(a);
    memcpy(before, a->bytes, 100);
    take(&o, 100, 8, &sent);
    cr_expect(put(&o, 50, &next) == a, "behind it there is room");
    cr_expect(eq(u32, a->used, 150));
    take(&o, 50, 8, &sent);
    b = put(&o, OUTBOX_BLOCK, &next);
    cr_expect(a != b);
    outbox_drop(&o, &pool);
    for (int i = 0; i < 3; i++) {
        put(&o, OUTBOX_BLOCK, &next);
    }
    cr_expect(eq(int, memcmp(a->bytes, before, 100), 0));
    outbox_drop(&o, &pool);
    cr_expect(eq(u32, pool.spare_count, 3));
    outbox_release(&pool, a);
    cr_expect(eq(u32, pool.spare_count, 4));
    outbox_pool_fini(&pool);
    cr_expect(eq(u32, pool.spare_count, 0));
}

Test(outbox, a_steady_stream_needs_one_block)
{
    struct outbox o = { 0 };
    unsigned next = 0, sent = 0;
    struct outbox_block *first = put(&o, 1000, &next);

    take(&o, 1000, 1, &sent);
    for (int i = 0; i < 1000; i++) {
        cr_assert(put(&o, 1000, &next) == first);
        cr_assert(eq(u32, first->used, 1000));
        take(&o, 1000, 1, &sent);
    }
    cr_expect(eq(u32, pool.spare_count, 0));
    outbox_drop(&o, &pool);
    outbox_pool_fini(&pool);
}

/* However bytes are put, held and sent, they come out in order and blocks come back. */
Test(outbox, any_sequence)
{
    struct rng rng;

    rng_init(&rng, 7);
    for (int round = 0; round < 30; round++) {
        struct outbox_block *held[20] = { NULL };
        struct outbox o = { 0 };
        unsigned next = 0, sent = 0;

        for (int i = 0; i < 400; i++) {
            unsigned k = (unsigned)rng_below(&rng, 20);
            size_t n = 1 + rng_below(&rng, rng_below(&rng, 4) ? 300 : OUTBOX_BLOCK);

            switch (rng_below(&rng, 4)) {
            case 0:
            case 1:
                if (o.unsent < 10 * OUTBOX_BLOCK) {
                    struct outbox_block *b = put(&o, n, &next);

                    if (!held[k]) {
                        outbox_hold(b);
                        held[k] = b;
                    }
                }
                break;
            case 2:
                take(&o, n, 1 + (int)rng_below(&rng, 8), &sent);
                break;
            default:
                if (held[k]) {
                    outbox_release(&pool, held[k]);
                    held[k] = NULL;
                }
            }
            cr_assert(eq(sz, o.unsent, next - sent));
        }
        outbox_drop(&o, &pool);
        for (int k = 0; k < 20; k++) {
            if (held[k]) {
                outbox_release(&pool, held[k]);
            }
        }
    }
    cr_expect(le(u32, pool.spare_count, 64));
    outbox_pool_fini(&pool);
}
