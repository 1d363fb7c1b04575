#include "node/txq.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define POOL_MAX  1024u          /* spare segments a worker keeps */
#define SPARE_MAX 32u            /* spare blocks of each class: 1 MiB in all */
#define BLOCK_MIN 512u           /* bytes; so that a trickle of short replies shares a block */
#define HOLD_MAX  (16u << 10)    /* bytes; more of them do not wait for what belongs with them */
#define PIECE_MAX 1024u          /* bytes; longer pieces are not worth a copy */
#define BLOCK_MAX (64u << 10)    /* bytes; only a single larger piece makes a larger block */

enum txq_kind { TXQ_LENT, TXQ_BLOCK, TXQ_BLOB, TXQ_ITEM, TXQ_HOLE };

/* Heap memory that several segments may point into. */
struct txq_block {
    struct txq_block *next; /* among the spare ones */
    size_t            refs; /* segments */
    size_t            cap, used;
    char              bytes[];
};

struct txq_segment {
    struct txq_segment *next;
    enum txq_kind       kind;
    bool                is_marked;     /* what follows is another matter */
    size_t              left;          /* bytes still to be sent */
    union {
        struct {
            const char       *ptr;
            struct txq_block *block;   /* TXQ_BLOCK */
            char             *blob;    /* TXQ_BLOB: what free() wants */
            size_t            blob_cap;
        } bytes;
        struct value_cursor cursor;    /* TXQ_ITEM */
    } u;
};

void
txq_pool_init(struct txq_pool *p, struct store_ctx *ctx)
{
    *p = (struct txq_pool){ .ctx = ctx };
}

void
txq_pool_fini(struct txq_pool *p)
{
    while (p->spare) {
        struct txq_segment *s = p->spare;

        p->spare = s->next;
        free(s);
    }
    p->spare_count = 0;
    for (unsigned i = 0; i < TXQ_CLASSES; i++) {
        while (p->block[i]) {
            struct txq_block *b = p->block[i];

            p->block[i] = b->next;
            free(b);
        }
        p->block_count[i] = 0;
    }
}

/* The least class whose blocks take n bytes; TXQ_CLASSES: none does. */
static unsigned
block_class(size_t n)
{
    unsigned class = 0;

    while (class < TXQ_CLASSES && (size_t)BLOCK_MIN << class < n) {
        class++;
    }
    return class;
}

/* An empty block of the queue's for n bytes; no segment refers to it yet.  NULL: no memory. */
static struct txq_block *
block_new(struct txq *q, struct txq_pool *p, size_t n)
{
    unsigned class = block_class(n);
    size_t cap = class < TXQ_CLASSES ? (size_t)BLOCK_MIN << class : n;
    struct txq_block *b = class < TXQ_CLASSES ? p->block[class] : NULL;

    if (b) {
        p->block[class] = b->next;
        p->block_count[class]--;
    } else {
        b = malloc(sizeof *b + cap);
        if (!b) {
            return NULL;
        }
    }
    *b = (struct txq_block){ .cap = cap };
    q->heap_bytes += cap;
    return b;
}

static void
block_free(struct txq *q, struct txq_pool *p, struct txq_block *b)
{
    unsigned class = block_class(b->cap);

    assert(b->refs == 0 && q->heap_bytes >= b->cap);
    q->heap_bytes -= b->cap;
    if (class == TXQ_CLASSES || p->block_count[class] == SPARE_MAX) {
        free(b);
        return;
    }
    b->next = p->block[class];
    p->block[class] = b;
    p->block_count[class]++;
}

static struct txq_segment *
segment_new(struct txq_pool *p)
{
    struct txq_segment *s = p->spare;

    if (s) {
        p->spare = s->next;
        p->spare_count--;
    } else {
        s = malloc(sizeof *s);
    }
    if (s) {
        s->is_marked = false;
    }
    return s;
}

/* Drops what the segment holds. */
static void
segment_drop(struct txq *q, struct txq_pool *p, struct txq_segment *s)
{
    switch (s->kind) {
    case TXQ_LENT:
        break;
    case TXQ_HOLE:
        q->holes--;
        break;
    case TXQ_BLOCK:
        assert(s->u.bytes.block->refs > 0);
        if (--s->u.bytes.block->refs == 0) {
            block_free(q, p, s->u.bytes.block);
        }
        break;
    case TXQ_BLOB:
        q->heap_bytes -= s->u.bytes.blob_cap;
        free(s->u.bytes.blob);
        break;
    case TXQ_ITEM:
        store_unpin(p->ctx, s->u.cursor.item);
        break;
    }
}

/* ... and frees it, not its place in the queue. */
static void
segment_free(struct txq *q, struct txq_pool *p, struct txq_segment *s)
{
    segment_drop(q, p, s);
    if (p->spare_count == POOL_MAX) {
        free(s);
        return;
    }
    s->next = p->spare;
    p->spare = s;
    p->spare_count++;
}

static void
segment_append(struct txq *q, struct txq_segment *s)
{
    s->next = NULL;
    if (q->last) {
        q->last->next = s;
    } else {
        q->first = s;
    }
    q->last = s;
    q->bytes += s->left;
}

bool
txq_lend(struct txq *q, struct txq_pool *p, const char *bytes, size_t n)
{
    struct txq_segment *s = q->last;

    assert(bytes || n == 0);
    if (n == 0) {
        return true;
    }
    if (s && s->kind == TXQ_LENT && s->u.bytes.ptr + s->left == bytes) {
        s->left += n;
        q->bytes += n;
        q->lent_bytes += n;
        return true;
    }
    s = segment_new(p);
    if (!s) {
        return false;
    }
    s->kind = TXQ_LENT;
    s->left = n;
    s->u.bytes.ptr = bytes;
    segment_append(q, s);
    q->lent_bytes += n;
    return true;
}

/* A block with room for n bytes more: the last one's if it has it, else a new one (refs 0). */
static struct txq_block *
block_find(struct txq *q, struct txq_pool *p, size_t n)
{
    struct txq_block *b;
    size_t cap;

    if (q->last && q->last->kind == TXQ_BLOCK) {
        b = q->last->u.bytes.block;
        if (b->cap - b->used >= n) {
            return b;
        }
    }
    /* Grows with the queue, so that a long one is made of few blocks. */
    cap = q->bytes < BLOCK_MIN ? BLOCK_MIN : q->bytes > BLOCK_MAX ? BLOCK_MAX : q->bytes;
    return block_new(q, p, n > cap ? n : cap);
}

bool
txq_copy(struct txq *q, struct txq_pool *p, const char *bytes, size_t n)
{
    struct txq_segment *s = q->last;
    struct txq_block *b;

    if (n == 0) {
        return true;
    }
    b = block_find(q, p, n);
    if (!b) {
        return false;
    }
    memcpy(b->bytes + b->used, bytes, n);
    if (b->refs == 0 || s->u.bytes.ptr + s->left != b->bytes + b->used) {
        s = segment_new(p);
        if (!s) {
            if (b->refs == 0) {
                block_free(q, p, b);
            }
            return false;
        }
        s->kind = TXQ_BLOCK;
        s->left = 0;
        s->u.bytes.ptr = b->bytes + b->used;
        s->u.bytes.block = b;
        b->refs++;
        segment_append(q, s);
    }
    assert(b->used + n <= b->cap);
    b->used += n;
    s->left += n;
    q->bytes += n;
    return true;
}

bool
txq_give(struct txq *q, struct txq_pool *p, struct buf *b)
{
    struct txq_segment *s;

    if (b->len == 0) {
        buf_free(b);
        return true;
    }
    s = segment_new(p);
    if (!s) {
        return false;
    }
    s->kind = TXQ_BLOB;
    s->left = b->len;
    s->u.bytes.ptr = b->ptr;
    s->u.bytes.blob = b->ptr;
    s->u.bytes.blob_cap = b->cap;
    q->heap_bytes += b->cap;
    *b = (struct buf){ 0 };
    segment_append(q, s);
    return true;
}

bool
txq_pin(struct txq *q, struct txq_pool *p, struct item *item)
{
    struct txq_segment *s = segment_new(p);

    if (!s) {
        store_unpin(p->ctx, item);
        return false;
    }
    s->kind = TXQ_ITEM;
    value_cursor_init(&s->u.cursor, store_of(p->ctx), item);
    s->left = s->u.cursor.left;
    segment_append(q, s);
    return true;
}

struct txq_segment *
txq_hole(struct txq *q, struct txq_pool *p)
{
    struct txq_segment *s = segment_new(p);

    if (s) {
        s->kind = TXQ_HOLE;
        s->left = 0;
        segment_append(q, s);
        q->holes++;
    }
    return s;
}

void
txq_fill(struct txq *q, struct txq_segment *hole, const char *bytes, size_t n)
{
    assert(hole->kind == TXQ_HOLE && q->holes > 0);
    hole->kind = TXQ_LENT;
    hole->left = n;
    hole->u.bytes.ptr = n > 0 ? bytes : ""; /* a place, if of nothing: others look behind it */
    q->holes--;
    q->bytes += n;
    q->lent_bytes += n;
}

bool
txq_fill_copy(struct txq *q, struct txq_segment *hole, const char *bytes, size_t n)
{
    char *copy;

    if (n == 0) {
        txq_fill(q, hole, NULL, 0);
        return true;
    }
    copy = malloc(n);
    if (!copy) {
        return false;
    }
    assert(hole->kind == TXQ_HOLE && q->holes > 0);
    memcpy(copy, bytes, n);
    hole->kind = TXQ_BLOB;
    hole->left = n;
    hole->u.bytes.ptr = copy;
    hole->u.bytes.blob = copy;
    hole->u.bytes.blob_cap = n;
    q->holes--;
    q->bytes += n;
    q->heap_bytes += n;
    return true;
}

/* A segment of no kind yet, right behind another. */
static struct txq_segment *
segment_insert(struct txq *q, struct txq_pool *p, struct txq_segment *before)
{
    struct txq_segment *s = segment_new(p);

    if (s) {
        s->left = 0;
        s->next = before->next;
        before->next = s;
        if (q->last == before) {
            q->last = s;
        }
    }
    return s;
}

struct txq_segment *
txq_fill_around(struct txq *q, struct txq_pool *p, struct txq_segment *hole, struct slice front,
                struct slice back)
{
    struct txq_segment *fresh = segment_insert(q, p, hole), *behind = NULL;

    if (!fresh) {
        return NULL;
    }
    fresh->kind = TXQ_HOLE;
    q->holes++;
    if (back.len > 0) {
        behind = segment_insert(q, p, fresh);
        if (!behind) {
            hole->next = fresh->next;
            q->last = q->last == fresh ? hole : q->last;
            segment_free(q, p, fresh);
            return NULL;
        }
        behind->kind = TXQ_HOLE;
        q->holes++;
        txq_fill(q, behind, back.ptr, back.len);
    }
    (behind ? behind : fresh)->is_marked = hole->is_marked;
    hole->is_marked = false;
    txq_fill(q, hole, front.ptr, front.len);
    return fresh;
}

void
txq_mark(struct txq *q)
{
    if (q->last) {
        q->last->is_marked = true;
    }
}

/* The first segment that may not be sent now; NULL: there is none. */
static const struct txq_segment *
txq_limit(const struct txq *q)
{
    const struct txq_segment *limit = q->first, *s;
    size_t n = 0;

    if (q->holes == 0) {
        return NULL;
    }
    for (s = q->first; s->kind != TXQ_HOLE; s = s->next) {
        n += s->left;
        limit = s->is_marked ? s->next : limit;
    }
    return n > HOLD_MAX ? s : limit;
}

/* True if it is worth a copy, into so much room. */
static bool
segment_is_piece(const struct txq_segment *s, size_t room)
{
    return s->kind != TXQ_ITEM && s->left <= PIECE_MAX && s->left <= room;
}

/* Copies what the segment holds and lets go of it; returns the bytes. */
static size_t
segment_empty(struct txq *q, struct txq_pool *p, struct txq_segment *s, char *room)
{
    size_t n = s->left;

    if (n > 0) {
        memcpy(room, s->u.bytes.ptr, n);
    }
    q->lent_bytes -= s->kind == TXQ_LENT ? n : 0;
    segment_drop(q, p, s);
    return n;
}

size_t
txq_gather(struct txq *q, struct txq_pool *p, char *room, size_t size)
{
    const struct txq_segment *limit = txq_limit(q);
    struct txq_segment *head = q->first, *s;
    size_t n;

    if (head == limit || head->next == limit || !segment_is_piece(head, size)) {
        return 0; /* nothing, or one piece already */
    }
    n = segment_empty(q, p, head, room);
    while ((s = head->next) != limit && segment_is_piece(s, size - n)) {
        n += segment_empty(q, p, s, room + n);
        head->next = s->next;
        head->is_marked = s->is_marked;
        q->last = q->last == s ? head : q->last;
        s->kind = TXQ_LENT; /* it holds nothing any more */
        segment_free(q, p, s);
    }
    head->kind = TXQ_LENT;
    head->left = n;
    head->u.bytes.ptr = room;
    q->lent_bytes += n;
    return n;
}

int
txq_iov(const struct txq *q, const struct txq_pool *p, struct iovec *iov, int max)
{
    const struct txq_segment *limit = txq_limit(q);
    int count = 0;

    assert(max > 0);
    for (const struct txq_segment *s = q->first; s != limit && count < max; s = s->next) {
        if (s->left == 0) {
            continue; /* an answer of nothing */
        }
        if (s->kind == TXQ_ITEM) {
            int spans = value_cursor_iov(&s->u.cursor, store_of(p->ctx), iov + count, max - count);
            size_t seen = 0;

            for (int i = 0; i < spans; i++) {
                seen += iov[count + i].iov_len;
            }
            count += spans;
            if (seen < s->left) {
                break; /* what follows may not overtake the rest of this value */
            }
        } else {
            union { const char *in; char *out; } ptr = { .in = s->u.bytes.ptr }; /* only read */

            iov[count++] = (struct iovec){ .iov_base = ptr.out, .iov_len = s->left };
        }
    }
    return count;
}

/* Moves the segment's start forward over n sent bytes. */
static void
segment_advance(struct txq *q, struct txq_pool *p, struct txq_segment *s, size_t n)
{
    const struct store *store = store_of(p->ctx);

    assert(n <= s->left);
    s->left -= n;
    if (s->kind != TXQ_ITEM) {
        s->u.bytes.ptr += n;
        q->lent_bytes -= s->kind == TXQ_LENT ? n : 0;
        return;
    }
    while (n > 0) {
        size_t span, step;

        value_cursor_span(&s->u.cursor, store, &span);
        assert(span > 0);
        step = span < n ? span : n;
        value_cursor_advance(&s->u.cursor, store, step);
        n -= step;
    }
}

void
txq_done(struct txq *q, struct txq_pool *p, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->first) {
        struct txq_segment *s = q->first;

        if (s->kind == TXQ_HOLE) {
            assert(n == 0);
            return;
        }
        if (s->left > n) {
            segment_advance(q, p, s, n);
            return;
        }
        n -= s->left;
        q->lent_bytes -= s->kind == TXQ_LENT ? s->left : 0;
        q->first = s->next;
        segment_free(q, p, s);
    }
    q->last = NULL;
    assert(n == 0 && q->bytes == 0 && q->lent_bytes == 0 && q->heap_bytes == 0 && q->holes == 0);
}

/* The same between holes: one block for all, and every piece stays where it is. */
static bool
txq_keep_between(struct txq *q, struct txq_pool *p)
{
    struct txq_block *b = block_new(q, p, q->lent_bytes);

    if (!b) {
        return false;
    }
    for (struct txq_segment *s = q->first; s; s = s->next) {
        if (s->kind == TXQ_LENT && s->left > 0) {
            memcpy(b->bytes + b->used, s->u.bytes.ptr, s->left);
            s->kind = TXQ_BLOCK;
            s->u.bytes.ptr = b->bytes + b->used;
            s->u.bytes.block = b;
            b->used += s->left;
            b->refs++;
        }
    }
    assert(b->used == q->lent_bytes);
    q->lent_bytes = 0;
    return true;
}

bool
txq_keep(struct txq *q, struct txq_pool *p)
{
    struct txq old = *q;

    if (q->lent_bytes == 0) {
        return true;
    }
    if (q->holes > 0) {
        return txq_keep_between(q, p);
    }
    *q = (struct txq){ .heap_bytes = old.heap_bytes, .holes = old.holes };
    for (struct txq_segment *s = old.first, *next; s; s = next) {
        next = s->next;
        if (s->kind != TXQ_LENT) {
            segment_append(q, s);
            continue;
        }
        if (!txq_copy(q, p, s->u.bytes.ptr, s->left)) {
            segment_append(q, s);
            s->next = next; /* the rest hangs behind, so that txq_drop() finds it */
            return false;
        }
        segment_free(q, p, s);
    }
    return true;
}

void
txq_drop(struct txq *q, struct txq_pool *p)
{
    while (q->first) {
        struct txq_segment *s = q->first;

        q->first = s->next;
        segment_free(q, p, s);
    }
    *q = (struct txq){ 0 };
}
