/*
 * value.c - walking over an item's value, which may lie in pieces.
 */
#include "store/impl.h"

#include <assert.h>

static bool
is_piece(const struct value_cursor *v)
{
    return v->chunk != v->item;
}

void
value_cursor_init(struct value_cursor *v, const struct store *s, struct item *item)
{
    uint32_t meta = item_meta(item);

    assert(meta_kind(meta) == ITEM_LINKED || meta_kind(meta) == ITEM_PRIVATE);
    *v = (struct value_cursor){ .item = item, .chunk = item, .left = item_size(item, meta) };
    uint64_t piece = item_first_piece(item, meta);
    if (piece != 0) {
        v->chunk = slab_item(&s->slab, piece);
    }
}

static char *
cursor_base(const struct value_cursor *v)
{
    if (is_piece(v)) {
        return (char *)v->chunk + PIECE_HEADER;
    }
    uint32_t meta = item_meta(v->item);
    return (char *)v->item + meta_key_at(meta) + meta_key_len(meta);
}

/* Bytes of the value in the chunk that the cursor is in. */
static uint32_t
cursor_chunk_bytes(const struct value_cursor *v)
{
    uint32_t meta = item_meta(v->item);

    if (is_piece(v)) {
        return piece_bytes(v->chunk);
    }
    return meta_grows(meta) ? 0 : item_size(v->item, meta);
}

void *
value_cursor_span(const struct value_cursor *v, const struct store *s, size_t *len)
{
    (void)s;
    *len = v->left > 0 ? cursor_chunk_bytes(v) - v->at : 0;
    assert(*len <= v->left);
    return *len > 0 ? cursor_base(v) + v->at : NULL;
}

void
value_cursor_advance(struct value_cursor *v, const struct store *s, size_t n)
{
    assert(n <= v->left);
    v->at += (uint32_t)n;
    v->left -= (uint32_t)n;
    if (v->left > 0 && v->at == cursor_chunk_bytes(v)) {
        uint64_t next = item_load_version(v->chunk);
        assert(is_piece(v));
        if (next == 0) {
            assert(meta_grows(item_meta(v->item)));
            return; /* where store_extend() goes on */
        }
        v->chunk = slab_item(&s->slab, next);
        v->at = 0;
    }
    assert(v->left == 0 || v->at < cursor_chunk_bytes(v));
}

size_t
value_cursor_write(struct value_cursor *v, const struct store *s, struct slice bytes)
{
    size_t done = 0;

    while (done < bytes.len && v->left > 0) {
        size_t room, n = bytes.len - done;
        char *to = value_cursor_span(v, s, &room);

        if (to == NULL) {
            break;
        }
        n = n < room ? n : room;
        item_put_bytes(v->chunk, (uint32_t)(to - (char *)v->chunk), bytes.ptr + done, n);
        value_cursor_advance(v, s, n);
        done += n;
    }
    return done;
}

int
value_cursor_iov(const struct value_cursor *v, const struct store *s, struct iovec *iov, int max)
{
    struct value_cursor at = *v;
    int n = 0;

    while (n < max && at.left > 0) {
        iov[n].iov_base = value_cursor_span(&at, s, &iov[n].iov_len);
        value_cursor_advance(&at, s, iov[n].iov_len);
        n++;
    }
    return n;
}

void
item_write(struct store_ctx *c, struct item *item, uint32_t offset, const void *bytes, size_t n)
{
    const char *p = bytes;
    uint32_t meta = item_meta(item);

    assert(offset + (uint64_t)n <= item_size(item, meta) && !meta_grows(meta));
    if (!(meta & ITEM_IS_BIG)) {
        item_put_bytes(item, meta_key_at(meta) + meta_key_len(meta) + offset, p, n);
        return;
    }
    struct value_cursor v;
    value_cursor_init(&v, c->store, item);
    while (n > 0) {
        size_t len;
        char *to = value_cursor_span(&v, c->store, &len);
        if (offset >= len) {
            offset -= (uint32_t)len;
            value_cursor_advance(&v, c->store, len);
            continue;
        }
        size_t part = len - offset < n ? len - offset : n;
        item_put_bytes(v.chunk, (uint32_t)(to - (char *)v.chunk) + offset, p, part);
        value_cursor_advance(&v, c->store, offset + part);
        offset = 0;
        p += part;
        n -= part;
    }
}
