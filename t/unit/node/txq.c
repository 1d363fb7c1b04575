#include "node/txq.h"
#include "base/rng.h"
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

/* -- holes ----------------------------------------------------------------------------------- */

/* What can be sent now. */
static void
shows(const struct txq *q, struct worker *w, const char *want)
{
    struct iovec iov[16];
    int count = txq_iov(q, &w->txq, iov, 16);
    struct buf got = { 0 };

    for (int i = 0; i < count; i++) {
        cr_expect(gt(sz, iov[i].iov_len, 0));
        cr_assert(buf_add(&got, iov[i].iov_base, iov[i].iov_len));
    }
    cr_expect(got.len == strlen(want) && memcmp(got.len ? got.ptr : "", want, got.len) == 0,
              "\"%.*s\", not \"%s\"", (int)got.len, got.ptr ? got.ptr : "", want);
    buf_free(&got);
}

Test(txq, nothing_passes_a_hole)
{
    struct drive_node n;
    struct txq q = { 0 };
    struct txq_segment *one, *two;

    drive_node_init(&n, NULL);
    cr_assert(txq_lend(&q, &n.worker->txq, "a", 1));
    shows(&q, n.worker, "a");
    txq_mark(&q);
    one = txq_hole(&q, &n.worker->txq);
    cr_assert(txq_copy(&q, &n.worker->txq, "c", 1));
    two = txq_hole(&q, &n.worker->txq);
    cr_assert(one && two && txq_lend(&q, &n.worker->txq, "e", 1));
    cr_expect(eq(sz, q.holes, 2));
    cr_expect(eq(sz, q.bytes, 3));
    shows(&q, n.worker, "a");
    txq_done(&q, &n.worker->txq, 1);
    shows(&q, n.worker, "");
    txq_fill(&q, two, "dd", 2);
    shows(&q, n.worker, "");
    cr_assert(txq_keep(&q, &n.worker->txq));
    shows(&q, n.worker, "");
    cr_assert(txq_fill_copy(&q, one, "bbb", 3));
    cr_expect(eq(sz, q.holes, 0));
    shows(&q, n.worker, "bbbcdde");
    txq_done(&q, &n.worker->txq, 2);
    shows(&q, n.worker, "bcdde");
    txq_done(&q, &n.worker->txq, 5);
    drive_node_fini(&n);
}

/* What belongs with a hole waits for it, unless it is a lot; what is marked off does not. */
Test(txq, what_belongs_together_leaves_together)
{
    static char lot[20000];
    struct drive_node n;
    struct txq q = { 0 };
    struct txq_segment *hole;
    struct iovec iov[4];

    drive_node_init(&n, NULL);
    cr_assert(txq_copy(&q, &n.worker->txq, "a", 1));
    txq_mark(&q);
    cr_assert(txq_lend(&q, &n.worker->txq, "b", 1));
    hole = txq_hole(&q, &n.worker->txq);
    cr_assert(hole && txq_lend(&q, &n.worker->txq, "d", 1));
    shows(&q, n.worker, "a");
    txq_done(&q, &n.worker->txq, 1);
    shows(&q, n.worker, "");
    hole = txq_fill_around(&q, &n.worker->txq, hole, slice_of(lot, sizeof lot),
                           (struct slice){ 0 });
    cr_assert(hole != NULL);
    cr_expect(eq(int, txq_iov(&q, &n.worker->txq, iov, 4), 2));
    txq_done(&q, &n.worker->txq, 1 + sizeof lot);
    txq_fill(&q, hole, "c", 1);
    shows(&q, n.worker, "cd");
    txq_drop(&q, &n.worker->txq);
    drive_node_fini(&n);
}

/* Many short pieces become one; what may not leave, and what is long, stays as it is. */
Test(txq, pieces_are_gathered)
{
    static char lot[3000], room[4096];
    struct drive_node n;
    struct txq q = { 0 };
    struct txq_segment *one, *two;

    drive_node_init(&n, NULL);
    memset(lot, 'x', sizeof lot);
    cr_expect(eq(sz, txq_gather(&q, &n.worker->txq, room, sizeof room), 0));
    one = txq_hole(&q, &n.worker->txq);
    cr_assert(one && txq_copy(&q, &n.worker->txq, "b", 1));
    two = txq_hole(&q, &n.worker->txq);
    cr_assert(two && txq_lend(&q, &n.worker->txq, "d", 1));
    cr_expect(eq(sz, txq_gather(&q, &n.worker->txq, room, sizeof room), 0));
    cr_assert(txq_fill_copy(&q, one, "aa", 2));
    txq_fill(&q, two, NULL, 0);
    cr_assert(txq_copy(&q, &n.worker->txq, lot, sizeof lot));
    cr_expect(eq(sz, txq_gather(&q, &n.worker->txq, room, sizeof room), 4));
    cr_expect(eq(int, memcmp(room, "aabd", 4), 0));
    cr_expect(eq(sz, q.bytes, 4 + sizeof lot));
    cr_expect(eq(sz, q.lent_bytes, 4));
    txq_done(&q, &n.worker->txq, 3);
    cr_assert(txq_keep(&q, &n.worker->txq));
    memset(room, 0xa5, sizeof room);
    cr_expect(eq(sz, q.bytes, 1 + sizeof lot));
    txq_done(&q, &n.worker->txq, 1 + sizeof lot);
    cr_expect(q.first == NULL);
    drive_node_fini(&n);
}

/* An answer may be of no bytes: it takes its hole away, and leaves with what is sent before it. */
Test(txq, a_hole_filled_with_nothing)
{
    struct drive_node n;
    struct txq q = { 0 };
    struct txq_segment *hole[5];

    drive_node_init(&n, NULL);
    for (int i = 0; i < 5; i++) {
        hole[i] = txq_hole(&q, &n.worker->txq);
    }
    cr_assert(txq_lend(&q, &n.worker->txq, "z", 1));
    txq_fill(&q, hole[0], NULL, 0);
    txq_fill(&q, hole[1], "", 0);
    cr_assert(txq_fill_copy(&q, hole[2], NULL, 0));
    txq_done(&q, &n.worker->txq, 0);
    cr_expect(eq(u64, n.worker->txq.spare_count, 3), "they are gone");
    txq_fill(&q, hole[4], "y", 1);
    shows(&q, n.worker, "");
    txq_fill(&q, hole[3], "", 0);
    cr_assert(txq_keep(&q, &n.worker->txq));
    shows(&q, n.worker, "yz");
    txq_done(&q, &n.worker->txq, 2);
    /* And if that is all there is. */
    hole[0] = txq_hole(&q, &n.worker->txq);
    txq_fill(&q, hole[0], NULL, 0);
    cr_expect(eq(sz, q.bytes, 0));
    cr_assert(txq_keep(&q, &n.worker->txq));
    txq_done(&q, &n.worker->txq, 0);
    cr_expect(q.first == NULL && q.last == NULL);
    drive_node_fini(&n);
}

/* A long answer: its head and tail come first, its value in parts between them. */
Test(txq, a_hole_filled_from_both_ends)
{
    struct drive_node n;
    struct txq q = { 0 };
    struct txq_segment *hole, *rest;
    struct slice none = { 0 };

    drive_node_init(&n, NULL);
    hole = txq_hole(&q, &n.worker->txq);
    rest = txq_fill_around(&q, &n.worker->txq, hole, SLICE("head "), SLICE(" tail"));
    cr_assert(rest != NULL);
    cr_expect(eq(sz, q.holes, 1));
    shows(&q, n.worker, "");
    cr_assert(txq_lend(&q, &n.worker->txq, ", next", 6), "behind the tail");
    rest = txq_fill_around(&q, &n.worker->txq, rest, SLICE("one "), none);
    cr_assert(rest != NULL);
    cr_assert(txq_keep(&q, &n.worker->txq));
    rest = txq_fill_around(&q, &n.worker->txq, rest, none, none);
    cr_assert(rest != NULL);
    shows(&q, n.worker, "");
    txq_fill(&q, rest, "two", 3);
    shows(&q, n.worker, "head one two tail, next");
    txq_done(&q, &n.worker->txq, 23);
    /* At the end of the queue, what is put behind it comes behind it. */
    hole = txq_hole(&q, &n.worker->txq);
    rest = txq_fill_around(&q, &n.worker->txq, hole, SLICE("a"), none);
    cr_assert(rest && txq_copy(&q, &n.worker->txq, "c", 1));
    txq_fill(&q, rest, "b", 1);
    shows(&q, n.worker, "abc");
    txq_drop(&q, &n.worker->txq);
    cr_expect(eq(sz, q.holes, 0));
    drive_node_fini(&n);
}

/* A queue beside a model of it: places with the bytes they will have, in order. */
struct place {
    struct buf          bytes;
    struct txq_segment *hole;  /* between front and back bytes, which are there; NULL: all are */
    size_t              front, back;
};
#define PLACES 400

struct model {
    struct drive_node n;
    struct txq        q;
    struct rng        rng;
    struct place      place[PLACES];
    unsigned          first, count;
    size_t            gone;   /* bytes of the first place that are sent */
    char             *lent;   /* bytes that may be lent until the next keep */
    size_t            lent_used;
};
#define LENT_BYTES (1u << 20)

/* Some bytes, in the memory of their place. */
static struct buf
bytes_make(struct model *m, size_t n)
{
    struct buf ret = { 0 };

    cr_assert(buf_reserve(&ret, n + 1));
    ret.len = n;
    for (size_t i = 0; i < n; i++) {
        ret.ptr[i] = (char)rng_next(&m->rng);
    }
    return ret;
}

/* The same bytes where they can be lent. */
static const char *
lend(struct model *m, const char *bytes, size_t n)
{
    char *ret = m->lent + m->lent_used;

    cr_assert(m->lent_used + n <= LENT_BYTES);
    if (n > 0) {
        memcpy(ret, bytes, n);
    }
    m->lent_used += n;
    return ret;
}

static void
model_keep(struct model *m)
{
    cr_assert(txq_keep(&m->q, &m->n.worker->txq));
    cr_expect(eq(sz, m->q.lent_bytes, 0));
    memset(m->lent, 0xa5, m->lent_used);
    m->lent_used = 0;
}

static void
model_put(struct model *m)
{
    struct txq_pool *pool = &m->n.worker->txq;
    size_t n = rng_below(&m->rng, rng_below(&m->rng, 3) ? 20 : 3000);
    struct place *p = &m->place[m->first + m->count++];
    struct buf blob = { 0 };

    *p = (struct place){ .bytes = bytes_make(m, n) };
    txq_mark(&m->q); /* each is a matter of its own */
    switch (rng_below(&m->rng, 5)) {
    case 0:
        cr_assert(txq_lend(&m->q, pool, lend(m, p->bytes.ptr, n), n));
        break;
    case 1:
        cr_assert(txq_copy(&m->q, pool, p->bytes.ptr, n));
        break;
    case 2:
        cr_assert(n == 0 || buf_add(&blob, p->bytes.ptr, n));
        cr_assert(txq_give(&m->q, pool, &blob));
        break;
    default:
        p->hole = txq_hole(&m->q, pool);
        cr_assert(p->hole != NULL);
    }
}

/* Fills some hole, or some more of it. */
static void
model_fill(struct model *m)
{
    struct place *p = &m->place[m->first + rng_below(&m->rng, m->count)];
    char *bytes = p->bytes.ptr + p->front;
    size_t left = p->bytes.len - p->front - p->back, front, back;

    if (!p->hole) {
        return;
    }
    switch (rng_below(&m->rng, 3)) {
    case 0:
        txq_fill(&m->q, p->hole, lend(m, bytes, left), left);
        p->hole = NULL;
        break;
    case 1:
        cr_assert(txq_fill_copy(&m->q, p->hole, bytes, left));
        p->hole = NULL;
        break;
    default:
        front = rng_below(&m->rng, left + 1);
        back = rng_below(&m->rng, left - front + 1);
        p->hole = txq_fill_around(&m->q, &m->n.worker->txq, p->hole,
                                  slice_of(lend(m, bytes, front), front),
                                  slice_of(lend(m, bytes + left - back, back), back));
        cr_assert(p->hole != NULL);
        p->front += front;
        p->back += back;
    }
}

/* The next byte that the model would send, or NULL: a hole, or nothing. */
static const char *
model_next(struct model *m)
{
    while (m->count > 0) {
        struct place *p = &m->place[m->first];
        size_t there = p->hole ? p->front : p->bytes.len;

        if (m->gone < there) {
            return &p->bytes.ptr[m->gone++];
        }
        if (p->hole) {
            return NULL;
        }
        buf_free(&p->bytes);
        m->first++;
        m->count--;
        m->gone = 0;
    }
    return NULL;
}

/* True if the model could send a byte and nothing that belongs with it is missing. */
static bool
model_owes(const struct model *m)
{
    size_t gone = m->gone;

    for (unsigned i = m->first; i < m->first + m->count && !m->place[i].hole; i++, gone = 0) {
        if (gone < m->place[i].bytes.len) {
            return true;
        }
    }
    return false;
}

static void
model_send(struct model *m, size_t most)
{
    struct iovec iov[8];
    int spans = 1 + (int)rng_below(&m->rng, 8);
    int count = txq_iov(&m->q, &m->n.worker->txq, iov, spans);
    size_t sent = 0;

    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < iov[i].iov_len && sent < most; k++, sent++) {
            const char *want = model_next(m);

            cr_assert(want != NULL, "bytes passed a hole");
            cr_assert(eq(chr, *want, ((char *)iov[i].iov_base)[k]));
        }
    }
    if (sent < most && count < spans) {
        cr_assert(not(model_owes(m)), "bytes are missing");
    }
    txq_done(&m->q, &m->n.worker->txq, sent);
}

static void
model_check(const struct model *m)
{
    size_t bytes = 0, holes = 0;

    for (unsigned i = m->first; i < m->first + m->count; i++) {
        const struct place *p = &m->place[i];

        bytes += p->hole ? p->front + p->back : p->bytes.len;
        holes += p->hole != NULL;
    }
    cr_assert(eq(sz, m->q.bytes, bytes - m->gone));
    cr_assert(eq(sz, m->q.holes, holes));
}

/* Whatever is put, filled, kept and sent in whatever order, the bytes are those of the model. */
Test(txq, any_sequence_sends_what_a_model_sends)
{
    static struct model m;

    m.lent = malloc(LENT_BYTES);
    drive_node_init(&m.n, NULL);
    rng_init(&m.rng, 11);
    for (int round = 0; round < 300; round++) {
        m.first = m.count = 0;
        m.gone = 0;
        while (m.first + m.count < PLACES - 1) {
            switch (rng_below(&m.rng, 8)) {
            case 0:
            case 1:
                model_put(&m);
                break;
            case 2:
            case 3:
            case 4:
                if (m.count > 0) {
                    model_fill(&m);
                }
                break;
            case 5:
                model_keep(&m);
                break;
            default:
                model_send(&m, rng_below(&m.rng, 4000));
            }
            model_check(&m);
            if (m.lent_used > LENT_BYTES / 2) {
                model_keep(&m);
            }
        }
        txq_drop(&m.q, &m.n.worker->txq);
        m.lent_used = 0;
        for (unsigned i = m.first; i < m.first + m.count; i++) {
            buf_free(&m.place[i].bytes);
        }
    }
    free(m.lent);
    drive_node_fini(&m.n);
}
