#include "node/txq.h"
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENT  "lent bytes, "
#define MORE  "and more of them, "
#define COPY  "copied ones, "
#define BLOB  "a blob of its own, "
#define REST  "and the rest.\n"
#define LARGE 100000

/* A pinned item of LARGE bytes. */
static struct item *
item_pinned(struct worker *w, char *value)
{
    struct slice key = SLICE("large");
    uint64_t hash = store_hash(key);
    struct store_spec spec = { .key = key, .value_len = LARGE };
    struct store_hit hit;
    struct item *item = store_alloc(w->ctx, &spec);
    struct store_txn t;

    cr_assert(item != NULL);
    for (size_t i = 0; i < LARGE; i++) {
        value[i] = (char)('a' + i % 26);
    }
    item_write(w->ctx, item, 0, value, LARGE);
    store_lock(w->ctx, key, hash, &t);
    cr_assert(store_publish(&t, &item) != 0);
    store_unlock(&t);
    cr_assert(eq(int, store_get(w->ctx, key, hash, 0, &hit), STORE_HIT));
    cr_assert(hit.pinned != NULL);
    return hit.pinned;
}

/* Queues one segment of each kind and appends what must come out to expected. */
static void
queue_all(struct txq *q, struct worker *w, struct buf *expected)
{
    struct buf blob = { 0 };
    char *value = malloc(LARGE);
    static const char lent[] = LENT MORE;

    cr_assert(txq_lend(q, &w->txq, lent, strlen(LENT)));
    cr_assert(txq_lend(q, &w->txq, lent + strlen(LENT), strlen(MORE)));
    cr_assert(txq_pin(q, &w->txq, item_pinned(w, value)));
    cr_assert(txq_copy(q, &w->txq, COPY, strlen(COPY)));
    cr_assert(buf_add(&blob, BLOB, strlen(BLOB)) && txq_give(q, &w->txq, &blob));
    cr_expect(blob.ptr == NULL);
    cr_assert(txq_lend(q, &w->txq, REST, strlen(REST)));
    cr_assert(buf_add(expected, lent, strlen(lent)) && buf_add(expected, value, LARGE) &&
              buf_add(expected, COPY BLOB REST, strlen(COPY BLOB REST)));
    free(value);
}

/* Sends the queue in steps of at most step bytes over at most spans spans. */
static void
drain(struct txq *q, struct worker *w, size_t step, int spans, struct buf *got)
{
    while (q->bytes > 0) {
        struct iovec iov[8];
        int n = txq_iov(q, &w->txq, iov, spans);
        size_t sent = 0;

        cr_assert(gt(int, n, 0));
        cr_assert(le(int, n, spans));
        for (int i = 0; i < n && sent < step; i++) {
            size_t part = iov[i].iov_len < step - sent ? iov[i].iov_len : step - sent;

            cr_assert(buf_add(got, iov[i].iov_base, part));
            sent += part;
        }
        txq_done(q, &w->txq, sent);
    }
}

/* The kernel takes as many bytes as it likes; what is sent is the same. */
Test(txq, every_kind_is_sent_in_order_in_steps_of_any_size)
{
    static const size_t steps[] = { 1, 2, 3, 7, 13, 40, 1000, 99999, 100000, 100001, (size_t)-1 };
    struct drive_node n;

    drive_node_init(&n, NULL);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int keep = 0; keep < 2; keep++) {
            struct buf expected = { 0 }, got = { 0 };
            struct txq q = { 0 };

            queue_all(&q, n.worker, &expected);
            cr_expect(eq(sz, q.bytes, expected.len));
            if (keep) {
                cr_assert(txq_keep(&q, &n.worker->txq));
                cr_expect(eq(sz, q.lent_bytes, 0));
            }
            drain(&q, n.worker, steps[i], 1 + (int)i % 8, &got);
            cr_expect(eq(sz, got.len, expected.len));
            cr_expect(memcmp(got.ptr, expected.ptr, got.len) == 0, "steps of %zu", steps[i]);
            cr_expect(eq(sz, q.heap_bytes, 0));
            buf_free(&expected);
            buf_free(&got);
        }
    }
    drive_node_fini(&n);
}

/* The worker's buffer is needed again: what was lent must not depend on it any more. */
Test(txq, keep_copies_what_is_lent)
{
    struct drive_node n;
    struct txq q = { 0 };
    struct buf got = { 0 };
    char lent[] = "0123456789";

    drive_node_init(&n, NULL);
    cr_assert(txq_lend(&q, &n.worker->txq, lent, 10));
    txq_done(&q, &n.worker->txq, 3);
    cr_assert(txq_keep(&q, &n.worker->txq));
    memset(lent, 'x', 10);
    cr_assert(txq_lend(&q, &n.worker->txq, lent, 5));
    drain(&q, n.worker, 4, 2, &got);
    cr_expect(eq(sz, got.len, 12));
    cr_expect(memcmp(got.ptr, "3456789xxxxx", 12) == 0);
    buf_free(&got);
    drive_node_fini(&n);
}

/* Many short replies that nobody reads must not cost a block each. */
Test(txq, a_trickle_shares_blocks)
{
    enum { SHORT_ONES = 10000 };
    struct drive_node n;
    struct txq q = { 0 };

    drive_node_init(&n, NULL);
    for (int i = 0; i < SHORT_ONES; i++) {
        cr_assert(txq_lend(&q, &n.worker->txq, "STORED\r\n", 8));
        cr_assert(txq_keep(&q, &n.worker->txq));
    }
    cr_expect(eq(sz, q.bytes, 8 * SHORT_ONES));
    cr_expect(lt(sz, q.heap_bytes, 3 * 8 * SHORT_ONES));
    txq_drop(&q, &n.worker->txq);
    cr_expect(eq(sz, q.heap_bytes, 0));
    cr_expect(lt(sz, n.worker->txq.spare_count, 100), "segments are shared, too");
    drive_node_fini(&n);
}

/* Dropped in the middle of a value: its memory must come back. */
Test(txq, drop_ends_pins)
{
    static const char *const options[] = { "memory_limit=2m", "evict=no", NULL };
    struct drive_node n;

    drive_node_init(&n, options);
    for (int i = 0; i < 100; i++) {
        struct buf expected = { 0 };
        struct txq q = { 0 };

        queue_all(&q, n.worker, &expected);
        txq_done(&q, &n.worker->txq, (size_t)i * 1000);
        txq_drop(&q, &n.worker->txq);
        cr_expect(eq(sz, q.bytes, 0));
        buf_free(&expected);
    }
    drive_node_fini(&n);
}
