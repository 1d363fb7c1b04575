#include "store/class.h"

#include <assert.h>
#include <string.h>

#define FINE_MIN    32u
#define FINE_STEP   8u
#define FINE_UNTIL  160u
#define WIDE_STEP   16u
#define WIDE_UNTIL  256u
#define FINE_FACTOR 1.1125

#define CLASSIC_HEADER 48u /* of memcached's items */

static uint32_t
size_align(uint32_t size)
{
    return (size + 7) & ~7u;
}

/* The next chunk size above one: a page is cut into so many fewer parts, without a rest. */
static uint32_t
size_next(uint32_t page_size, uint32_t size, double factor)
{
    uint32_t parts = page_size / size;
    uint32_t fewer = (uint32_t)(parts / factor + 0.5);
    uint32_t next;

    fewer = fewer < parts ? fewer : parts - 1;
    do {
        next = (page_size / fewer--) & ~7u;
    } while (next <= size);
    return next;
}

/* False: that factor makes too many classes. */
static bool
table_fill_fine(struct class_table *t, double factor)
{
    uint32_t size = FINE_MIN;

    t->count = 0;
    while (size <= t->page_size / 4) {
        if (t->count == CLASS_MAX - 3) {
            return false;
        }
        t->chunk[++t->count] = size;
        /* From here on pages divide too coarsely: pieces fit better. */
        t->item_max = size <= t->page_size / 8 ? size : t->item_max;
        size = size < FINE_UNTIL   ? size + FINE_STEP
               : size < WIDE_UNTIL ? size + WIDE_STEP
                                   : size_next(t->page_size, size, factor);
    }
    for (uint32_t parts = 3; parts >= 1; parts--) { /* for pieces of large values */
        t->chunk[++t->count] = (t->page_size / parts) & ~7u;
    }
    return true;
}

/*
 * memcached's own arithmetic, whole bytes and doubled sizes included: with a small factor it has
 * many classes of one size, and the ids of the others depend on them.
 */
static void
table_fill_classic(struct class_table *t, const struct class_shape *shape)
{
    uint32_t max = shape->chunk_max != 0 ? shape->chunk_max : t->page_size / 2;
    uint32_t size = CLASSIC_HEADER + shape->chunk_min;

    assert(max <= t->page_size && t->page_size % max == 0);
    for (unsigned i = 0; i < CLASS_MAX - 1; i++) {
        if (shape->sizes != NULL) {
            if (i == shape->size_count) {
                break;
            }
            size = shape->sizes[i];
        } else if (size >= max / shape->factor) {
            break;
        }
        size = size_align(size);
        t->chunk[++t->count] = size;
        if (shape->sizes == NULL) {
            size = (uint32_t)(size * shape->factor);
        }
    }
    t->chunk[++t->count] = max;
    t->item_max = max;
    t->classic = true;
}

void
class_table_init(struct class_table *t, const struct class_shape *shape)
{
    assert(shape->page_size >= (64u << 10) && (shape->page_size & (shape->page_size - 1)) == 0);
    memset(t, 0, sizeof *t);
    t->page_size = shape->page_size;
    if (shape->factor > 1.0 || shape->sizes != NULL) {
        table_fill_classic(t, shape);
    } else {
        /* Larger pages span more sizes, so the steps get wider. */
        for (double f = FINE_FACTOR; !table_fill_fine(t, f); f *= 1.01) {
        }
    }
    assert(t->count >= 1 && t->count <= CLASS_MAX);

    unsigned id = 1;
    for (unsigned i = 0; i < sizeof t->by_size; i++) {
        while (id < t->count && t->chunk[id] < i * 8) {
            id++;
        }
        t->by_size[i] = (uint8_t)id;
    }
}

uint8_t
class_for(const struct class_table *t, uint32_t size)
{
    if (size <= 4096) {
        uint8_t id = t->by_size[(size + 7) / 8];
        return t->chunk[id] >= size ? id : 0;
    }
    unsigned lo = 1, hi = t->count;
    if (size > t->chunk[hi]) {
        return 0;
    }
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (t->chunk[mid] < size) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return (uint8_t)lo;
}

uint8_t
class_for_piece(const struct class_table *t, uint32_t left, uint32_t header)
{
    if (left > t->chunk[t->count]) {
        return (uint8_t)t->count;
    }
    uint8_t id = class_for(t, left + header);
    if (id == 0) {
        return (uint8_t)t->count;
    }
    /* An eighth lost is less than what another piece costs to follow and to move. */
    if (id == 1 || t->chunk[id] - (left + header) <= t->chunk[id] / 8) {
        return id;
    }
    return (uint8_t)(id - 1);
}

uint8_t
class_for_classic_piece(const struct class_table *t, uint32_t left)
{
    uint32_t size = left + 2 + CLASSIC_PIECE_HEADER;

    return size < t->item_max ? class_for(t, size) : (uint8_t)t->count;
}
