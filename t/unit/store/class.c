#include "store/class.h"

#include <criterion/criterion.h>

static void
fine(struct class_table *t, uint32_t page_size)
{
    class_table_init(t, &(struct class_shape){ .page_size = page_size });
}

/* Memory is money: no item between 32 bytes and a quarter page may lose more than a twelfth to
 * rounding. */
Test(class, default_table_wastes_little)
{
    struct class_table t;
    fine(&t, 64 << 10);
    for (uint32_t size = 100; size <= t.item_max; size++) {
        uint8_t id = class_for(&t, size);
        cr_assert(id >= 1 && t.chunk[id] >= size, "size %u", size);
        cr_assert(id == 1 || t.chunk[id - 1] < size, "size %u has a smaller class", size);
        cr_assert(t.chunk[id] - size <= 8 + size / 6, "size %u in chunks of %u", size, t.chunk[id]);
        uint32_t rest = t.page_size % t.chunk[id];
        cr_assert(size < 300 || rest * 100 <= t.page_size, "page of %u leaves %u", t.chunk[id],
                  rest);
    }
    cr_assert_eq(class_for(&t, t.page_size + 1), 0, "larger than a page has no class");
    cr_assert_eq(t.chunk[t.count], t.page_size);
}

/* Operators who pass -f know memcached's table by heart. */
Test(class, explicit_factor_is_memcacheds_table)
{
    static const uint32_t want[] = { 96,     120,    152,    192,    240,    304,    384,   480,
                                     600,    752,    944,    1184,   1480,   1856,   2320,  2904,
                                     3632,   4544,   5680,   7104,   8880,   11104,  13880, 17352,
                                     21696,  27120,  33904,  42384,  52984,  66232,  82792, 103496,
                                     129376, 161720, 202152, 252696, 315872, 394840, 524288 };
    struct class_table t;
    const struct class_shape shape = { .page_size = 1 << 20, .factor = 1.25, .chunk_min = 48 };
    class_table_init(&t, &shape);
    cr_assert_eq(t.count, 39);
    for (unsigned i = 0; i < 39; i++) {
        cr_expect_eq(t.chunk[i + 1], want[i], "class %u is %u, not %u", i + 1, t.chunk[i + 1],
                     want[i]);
    }
    cr_expect_eq(class_for(&t, 66560 + 60), 31, "where memcached's tests look for it");
}

/* What "memcached -vv" prints for these options: ids and sizes, also where it repeats itself. */
Test(class, other_shapes_are_memcacheds_too)
{
    static const uint32_t sizes[] = { 100, 200, 5000, 100000 };
    static const struct {
        struct class_shape shape;
        unsigned count;
        unsigned id[4];
        uint32_t chunk[4];
    } row[] = {
        { { 1 << 20, 2.0, 48, 0, NULL, 0 }, 13, { 1, 2, 12, 13 }, { 96, 192, 196608, 524288 } },
        { { 1 << 20, 1.25, 48, 1 << 20, NULL, 0 }, 42, { 1, 39, 41, 42 },
          { 96, 493552, 771184, 1 << 20 } },
        { { 1 << 20, 1.01, 1, 0, NULL, 0 }, 63, { 1, 2, 62, 63 }, { 56, 56, 56, 524288 } },
        { { 1 << 20, 1.25, 48, 0, sizes, 4 }, 5, { 1, 3, 4, 5 }, { 104, 5000, 100000, 524288 } },
        { { 1 << 20, 1.25, 48, 1 << 14, NULL, 0 }, 23, { 1, 21, 22, 23 },
          { 96, 8880, 11104, 1 << 14 } },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct class_table t;
        class_table_init(&t, &row[i].shape);
        cr_expect_eq(t.count, row[i].count, "row %zu: %u classes", i, t.count);
        for (int j = 0; j < 4; j++) {
            uint32_t have = t.chunk[row[i].id[j]];
            cr_expect(have == row[i].chunk[j], "row %zu: class %u is %u", i, row[i].id[j], have);
        }
    }
}

/* Pieces must end: each takes at least something, and little is lost in the last. */
Test(class, pieces_cover_any_size)
{
    struct class_table t;
    fine(&t, 64 << 10);
    for (uint32_t size = 1; size < 300000; size += 37) {
        uint32_t left = size, taken = 0, n = 0;
        while (left > 0) {
            uint8_t id = class_for_piece(&t, left, 24);
            uint32_t room = t.chunk[id] - 24;
            cr_assert(id >= 1 && t.chunk[id] > 24, "size %u", size);
            taken += t.chunk[id];
            left -= left < room ? left : room;
            cr_assert(++n < 40, "size %u does not end", size);
        }
        cr_assert(taken <= size + size / 7 + 24 * n + 16, "size %u takes %u", size, taken);
    }
}

/* The store's header allows pages up to 1 MiB: their table has as many classes as there may be. */
Test(class, larger_pages_have_a_table_too)
{
    for (uint32_t page = 64u << 10; page <= 1u << 20; page *= 2) {
        struct class_table t;
        fine(&t, page);
        cr_assert(t.count <= CLASS_MAX, "%u classes for pages of %u", t.count, page);
        cr_assert_eq(t.chunk[t.count], page);
        cr_assert_eq(class_for(&t, t.item_max), class_for(&t, t.item_max - 1));
        for (unsigned id = 2; id <= t.count; id++) {
            cr_assert(t.chunk[id] > t.chunk[id - 1], "class %u of pages of %u", id, page);
            cr_assert_eq(t.chunk[id] % 8, 0);
        }
    }
}
