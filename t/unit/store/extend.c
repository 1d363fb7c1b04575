/*
 * Values that are on their way: their memory comes with their bytes.
 */
#include "engine.h"
#include "store/impl.h"
#include <signal.h>

#define MIB (1u << 20)

static char data[MIB];

static void
data_fill(void)
{
    for (uint32_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 31 + i / 256 + i / 65536);
    }
}

static struct item *
begin(struct engine *e, const char *key, uint32_t len, struct value_cursor *v)
{
    struct store_spec spec = { .key = engine_text(key), .value_len = len };
    struct item *it = store_begin(e->ctx, &spec);

    cr_assert_not_null(it, "%s: no memory for its head", key);
    value_cursor_init(v, e->store, it);
    return it;
}

/* Goes on with the value's bytes up to `upto`; false: no memory. */
static bool
grow(struct engine *e, struct value_cursor *v, uint32_t len, uint32_t upto, uint32_t portion)
{
    for (uint32_t at = len - v->left; at < upto; at = len - v->left) {
        uint32_t n = upto - at < portion ? upto - at : portion;

        if (!store_extend(e->ctx, v)) {
            return false;
        }
        cr_assert_gt(value_cursor_write(v, e->store, slice_of(data + at, n)), 0);
    }
    return true;
}

static void
publish(struct engine *e, const char *key, struct item **it)
{
    struct store_txn t;

    engine_begin(e, key, &t);
    cr_assert_neq(store_publish(&t, it), 0);
    store_unlock(&t);
}

static void
expect_data(struct engine *e, const char *key, uint32_t len)
{
    struct store_hit hit;
    struct value_cursor v;
    size_t n, at = 0;

    cr_assert_eq(engine_look(e, key, &hit), STORE_HIT, "%s", key);
    cr_assert_eq(hit.value_len, len);
    if (hit.pinned == NULL) {
        cr_assert_eq(memcmp(hit.value.ptr, data, len), 0, "%s: %u bytes", key, len);
        return;
    }
    value_cursor_init(&v, e->store, hit.pinned);
    for (char *p; (p = value_cursor_span(&v, e->store, &n)) != NULL;
         value_cursor_advance(&v, e->store, n)) {
        cr_assert_eq(memcmp(p, data + at, n), 0, "%s: %u bytes, at %zu", key, len, at);
        at += n;
    }
    cr_assert_eq(at, len);
    store_unpin(e->ctx, hit.pinned);
}

/* Around every bound of both tables: one chunk, one piece, a last piece of a byte, many pieces. */
Test(extend, a_value_that_grows_is_whole_in_the_end)
{
    static const uint32_t size[] = { 1,      100,    4095,   4096,   8000,   8192,    65500,
                                     65536,  65537,  131024, 131072, 523000, 524224,  524225,
                                     524226, 524240, 524288, 524289, 700000, 1048000, 1048400 };
    static const uint32_t portion[] = { 1000, 4096, 65536, MIB };

    data_fill();
    for (int classic = 0; classic < 2; classic++) {
        struct store_config config = engine_config(32 << 20);
        struct engine e;

        config.item_size_max = 2 * MIB;
        config.factor = classic ? 1.25 : 0;
        config.chunk_min = classic ? 48 : 0;
        config.page_size = classic ? MIB : 0;
        engine_init(&e, &config);
        for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
            for (size_t k = 0; k < sizeof portion / sizeof *portion; k++) {
                struct value_cursor v;
                struct item *it = begin(&e, "k", size[i], &v);

                cr_assert(grow(&e, &v, size[i], size[i], portion[k]));
                cr_expect_eq(v.left, 0);
                publish(&e, "k", &it);
                expect_data(&e, "k", size[i]);
            }
        }
        engine_fini(&e);
    }
}

/* Who announces a megabyte and sends nothing takes no more than who sends a key. */
Test(extend, memory_used_grows_with_the_bytes)
{
    const struct store_config config = engine_config(32 << 20);
    struct engine e;
    struct value_cursor v[20];
    struct item *it[20];
    size_t before, n;

    data_fill();
    engine_init(&e, &config);
    (void)engine_set(&e, "k", "v");
    before = engine_used(&e);
    for (int i = 0; i < 20; i++) {
        it[i] = begin(&e, "announced", 1000000, &v[i]);
        cr_expect_null(value_cursor_span(&v[i], e.store, &n));
        cr_expect_eq(n, 0);
        cr_expect_eq(value_cursor_write(&v[i], e.store, slice_of(data, 100)), 0);
    }
    cr_expect_leq(engine_used(&e) - before, 65536, "heads: %zu", engine_used(&e) - before);
    for (uint32_t part = 1; part <= 4; part++) {
        cr_assert(grow(&e, &v[0], 1000000, part * 250000, 10000));
        size_t used = engine_used(&e) - before;
        cr_expect_geq(used, part * 250000);
        cr_expect_leq(used, part * 250000 + 2 * 65536 + 65536, "%u: %zu", part, used);
    }
    publish(&e, "announced", &it[0]);
    expect_data(&e, "announced", 1000000);
    for (int i = 1; i < 20; i++) {
        store_drop(e.ctx, it[i]);
    }
    engine_fini(&e);
}

/* A client that goes away in the middle leaves nothing behind. */
Test(extend, a_half_built_item_that_is_dropped_frees_what_it_has)
{
    struct store_config config = engine_config(4 << 20);
    struct engine e;
    struct value_cursor v;

    config.evict = false;
    data_fill();
    engine_init(&e, &config);
    for (uint32_t i = 0; i < 100; i++) {
        struct item *it = begin(&e, "k", 900000, &v);

        cr_assert(grow(&e, &v, 900000, i * 9000, 20000), "%u", i);
        store_drop(e.ctx, it);
    }
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 0);
    cr_expect_neq(engine_put(&e, "k", slice_of(data, 900000), 0, 0), 0);
    engine_fini(&e);
}

/* No memory is no end: what is there stays, and goes on when there is some. */
Test(extend, without_memory_an_item_stays_as_it_is)
{
    struct store_config config = engine_config(4 << 20);
    struct engine e;
    struct value_cursor v[8];
    struct item *it[8];
    unsigned grown = 0;

    config.evict = false;
    data_fill();
    engine_init(&e, &config);
    for (int i = 0; i < 8; i++) {
        it[i] = begin(&e, "k", 1000000, &v[i]);
    }
    while (grown < 8 && grow(&e, &v[grown], 1000000, 1000000, 65536)) {
        grown++;
    }
    cr_assert(grown > 1 && grown < 5, "%u of 1 MB in 4 MiB", grown);
    struct value_cursor was = v[grown];
    cr_expect_not(store_extend(e.ctx, &v[grown]));
    cr_expect_eq(v[grown].left, was.left);
    cr_expect_eq(v[grown].chunk, was.chunk);
    store_drop(e.ctx, it[0]);
    cr_assert(grow(&e, &v[grown], 1000000, 1000000, 65536));
    publish(&e, "k", &it[grown]);
    expect_data(&e, "k", 1000000);
    for (unsigned i = 1; i < 8; i++) {
        store_drop(e.ctx, it[i]); /* NULL for the one that was published */
    }
    engine_fini(&e);
}

/* The hand and the mover of pages meet pieces of values that nobody can see yet. */
Test(extend, what_grows_is_neither_evicted_nor_moved)
{
    const struct store_config config = engine_config(8 << 20);
    struct engine e;
    struct value_cursor v[4];
    struct item *it[4];
    char key[16];

    data_fill();
    engine_init(&e, &config);
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "k%d", i);
        it[i] = begin(&e, key, 900000, &v[i]);
    }
    for (uint32_t at = 100000; at <= 900000; at += 100000) {
        for (int i = 0; i < 4; i++) {
            cr_assert(grow(&e, &v[i], 900000, at, 30000));
        }
        for (uint32_t i = 0; i < 300; i++) {
            snprintf(key, sizeof key, "o%u", i);
            (void)engine_put(&e, key, slice_of(data + i, i % 3 == 0 ? 100000 : i * 10), 0, 0);
        }
        for (uint8_t id = 1; id < STORE_CLASSES_MAX; id++) {
            (void)store_move_page(e.store, id, (uint8_t)(id % 40 + 1));
            (void)store_tick(e.ctx, 10000);
        }
        engine_pass(&e, 2);
        (void)store_tick(e.ctx, 10000);
    }
    cr_expect_gt(engine_metric(&e, M_EVICTIONS), 100);
    cr_expect_gt(engine_metric(&e, M_PAGES_MOVED), 0);
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "k%d", i);
        publish(&e, key, &it[i]);
        expect_data(&e, key, 900000);
    }
    engine_fini(&e);
}

/* Readers trust a value's chain of pieces to its end. */
Test(extend, half_an_item_is_not_published, .signal = SIGABRT)
{
    const struct store_config config = engine_config(8 << 20);
    struct engine e;
    struct value_cursor v;

    engine_init(&e, &config);
    struct item *it = begin(&e, "k", 900000, &v);
    cr_assert(grow(&e, &v, 900000, 800000, 30000));
    publish(&e, "k", &it);
}
