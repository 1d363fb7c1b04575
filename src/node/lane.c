#include "node/lane.h"
#include <assert.h>
#include <stdlib.h>

struct lane_value {
    struct lane_value  *next;
    uint64_t            id;
    uint16_t            first;
    bool                pinned;
    struct item        *item;
    struct value_cursor cursor;
};

#define SPARE_MAX 16u /* values */

static struct lane_value *
value_new(struct lane *l)
{
    struct lane_value *v = l->spare;

    if (!v) {
        return malloc(sizeof *v);
    }
    l->spare = v->next;
    l->spare_count--;
    return v;
}

static void
value_free(struct lane *l, struct lane_value *v, struct store_ctx *ctx)
{
    if (v->pinned) {
        store_unpin(ctx, v->item);
    } else {
        store_drop(ctx, v->item);
    }
    if (l->spare_count == SPARE_MAX) {
        free(v);
        return;
    }
    v->next = l->spare;
    l->spare = v;
    l->spare_count++;
}

static void
lane_append(struct lane *l, struct lane_value *v)
{
    v->next = NULL;
    if (l->last) {
        l->last->next = v;
    } else {
        l->first = v;
    }
    l->last = v;
}

bool
lane_add(struct lane *l, struct store_ctx *ctx, uint64_t id, uint16_t first, struct item *item,
         bool pinned)
{
    struct lane_value *v = value_new(l);

    if (!v) {
        if (pinned) {
            store_unpin(ctx, item);
        } else {
            store_drop(ctx, item);
        }
        return false;
    }
    *v = (struct lane_value){ .id = id, .first = first, .pinned = pinned, .item = item };
    value_cursor_init(&v->cursor, store_of(ctx), item);
    assert(v->cursor.left > 0);
    l->bytes += v->cursor.left;
    lane_append(l, v);
    return true;
}

/* Makes the header of the first value's next part. */
static void
part_begin(struct lane *l)
{
    const struct lane_value *v = l->first;
    size_t n = v->cursor.left < PEER_PART_MAX ? v->cursor.left : PEER_PART_MAX;
    struct peer_frame f = {
        .type = PEER_PART,
        .flags = n == v->cursor.left ? PEER_LAST : 0,
        .body_len = (uint32_t)n,
        .id = v->id,
        .first = v->first,
    };

    peer_write_header(&f, l->head);
    l->head_left = PEER_HEADER;
    l->part_left = n;
}

int
lane_iov(struct lane *l, const struct store *store, struct iovec *iov, int max)
{
    size_t left;
    int count = 0, spans;

    if (!l->first || max < 1) {
        return 0;
    }
    if (l->head_left == 0 && l->part_left == 0) {
        part_begin(l);
    }
    if (l->head_left > 0) {
        iov[count++] = (struct iovec){ .iov_base = l->head + PEER_HEADER - l->head_left,
                                       .iov_len = l->head_left };
    }
    spans = value_cursor_iov(&l->first->cursor, store, iov + count, max - count);
    left = l->part_left;
    for (int i = 0; i < spans && left > 0; i++) {
        struct iovec *span = &iov[count++];

        span->iov_len = span->iov_len < left ? span->iov_len : left;
        left -= span->iov_len;
    }
    return count;
}

static size_t
spans_bytes(const struct iovec *iov, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++) {
        n += iov[i].iov_len;
    }
    return n;
}

int
lane_behind(struct lane *l, const struct store *store, struct iovec *iov, int count, int max,
            size_t unsent)
{
    if (spans_bytes(iov, count) < unsent) {
        return count;
    }
    return count + lane_iov(l, store, iov + count, max - count);
}

bool
lane_shown(const struct lane *l, const struct iovec *iov, int count)
{
    return spans_bytes(iov, count) == l->head_left + l->part_left;
}

/* The part is sent: the next value's turn comes, and this one's again unless it is done. */
static void
part_end(struct lane *l, struct store_ctx *ctx)
{
    struct lane_value *v = l->first;

    l->begun = false;
    l->first = v->next;
    if (!l->first) {
        l->last = NULL;
    }
    if (v->cursor.left == 0) {
        value_free(l, v, ctx);
    } else {
        lane_append(l, v);
    }
}

size_t
lane_done(struct lane *l, struct store_ctx *ctx, size_t n)
{
    size_t head = n < l->head_left ? n : l->head_left, body, ret;

    l->head_left -= (unsigned)head;
    body = n - head < l->part_left ? n - head : l->part_left;
    l->begun = l->begun || n > 0;
    ret = head + body;
    l->part_left -= body;
    l->bytes -= body;
    while (body > 0) {
        size_t span, step;

        value_cursor_span(&l->first->cursor, store_of(ctx), &span);
        assert(span > 0);
        step = span < body ? span : body;
        value_cursor_advance(&l->first->cursor, store_of(ctx), step);
        body -= step;
    }
    if (ret > 0 && l->head_left == 0 && l->part_left == 0) {
        part_end(l, ctx);
    }
    return ret;
}

void
lane_drop(struct lane *l, struct store_ctx *ctx)
{
    while (l->first) {
        struct lane_value *v = l->first;

        l->first = v->next;
        value_free(l, v, ctx);
    }
    while (l->spare) {
        struct lane_value *v = l->spare;

        l->spare = v->next;
        free(v);
    }
    *l = (struct lane){ 0 };
}
