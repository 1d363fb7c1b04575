#include "engine.h"
#include "base/rng.h"

#define CLASSIC_PAGE (1u << 20)

/* memcached's sizes and pages: 39 classes, 64 pages. */
static struct store_config
classic(size_t limit)
{
    struct store_config config = engine_config(limit);

    config.page_size = CLASSIC_PAGE;
    config.factor = 1.25;
    config.chunk_min = 48;
    return config;
}

static uint64_t
put_sized(struct engine *e, int n, uint32_t size)
{
    static char data[1 << 20];
    char key[32];

    snprintf(key, sizeof key, "key-%d", n);
    return engine_put(e, key, slice_of(data, size), 0, 0);
}

static uint64_t
pages_of(struct engine *e, uint8_t class_id)
{
    struct store_class_stats k;

    store_get_class_stats(e->store, class_id, &k);
    return k.pages;
}

static uint64_t
pages_in_pool(struct engine *e)
{
    struct store_stats st;

    store_get_stats(e->store, &st);
    return st.pages_global;
}

static bool
is_moving(struct engine *e)
{
    struct store_stats st;

    store_get_stats(e->store, &st);
    return st.moving;
}

/* "slabs reassign": what lives in the page moves on, and the page is where it was wanted. */
Test(balance, a_page_goes_from_class_to_class_and_its_items_stay)
{
    struct engine e;
    const struct store_config config = classic(64 << 20);
    struct store_hit hit;

    engine_init(&e, &config);
    for (int n = 0; n < 40; n++) { /* class 31: 12 a page, so 4 pages with 8 chunks free */
        cr_assert_neq(put_sized(&e, n, 66560), 0);
    }
    (void)put_sized(&e, 1000, 20000); /* class 25 */
    cr_assert_eq(pages_of(&e, 31), 4);
    cr_assert_eq(pages_of(&e, 25), 1);
    cr_assert_eq(store_move_page(e.store, 31, 25), STORE_ASKED_OK);
    cr_expect(store_is_asked(e.store), "whoever ticks can be woken");
    cr_expect(is_moving(&e), "from the request on");
    cr_expect_eq(store_move_page(e.store, 31, 25), STORE_ASKED_BUSY);
    engine_settle(&e);
    cr_expect_not(store_is_asked(e.store));
    cr_expect_not(is_moving(&e));
    cr_expect_eq(pages_of(&e, 31), 3);
    cr_expect_eq(pages_of(&e, 25), 2);
    int held = 0;
    for (int n = 0; n < 40; n++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", n);
        bool found = engine_look(&e, key, &hit) == STORE_HIT;
        held += found;
        if (found && hit.pinned != NULL) {
            store_unpin(e.ctx, hit.pinned);
        }
    }
    cr_expect_eq(held, 36, "all that fits into 3 pages: %d", held);
    engine_fini(&e);
}

/* Class 0 is the pool: pages wait there for the first class that grows. */
Test(balance, a_page_goes_to_the_pool_and_back)
{
    struct engine e;
    const struct store_config config = classic(64 << 20);
    struct store_stats st;

    engine_init(&e, &config);
    for (int n = 0; n < 30; n++) {
        (void)put_sized(&e, n, 66560);
    }
    uint64_t before = pages_of(&e, 31);
    cr_assert_eq(store_move_page(e.store, 0, 25), STORE_ASKED_NOSPARE, "the pool is empty");
    cr_assert_eq(store_move_page(e.store, 31, 0), STORE_ASKED_OK);
    engine_settle(&e);
    cr_expect_eq(pages_in_pool(&e), 1);
    cr_expect_eq(pages_of(&e, 31), before - 1);
    store_get_stats(e.store, &st);
    cr_expect_eq(st.pages_bytes, before * CLASSIC_PAGE, "it is still malloced");
    cr_assert_eq(store_move_page(e.store, 0, 25), STORE_ASKED_OK);
    engine_settle(&e);
    cr_expect_eq(pages_in_pool(&e), 0);
    cr_expect_eq(pages_of(&e, 25), 1);
    cr_assert_eq(store_move_page(e.store, -1, 0), STORE_ASKED_OK, "any class");
    engine_settle(&e);
    cr_expect_eq(pages_in_pool(&e), 1);
    for (int n = 100; n < 112; n++) {
        (void)put_sized(&e, n, 66560);
    }
    cr_expect_eq(pages_in_pool(&e), 0, "who grows takes it");
    engine_fini(&e);
}

Test(balance, requests_that_make_no_sense_are_refused)
{
    struct engine e;
    struct store_config config = classic(64 << 20);

    engine_init(&e, &config);
    (void)put_sized(&e, 1, 66560);
    cr_expect_eq(store_move_page(e.store, 31, 31), STORE_ASKED_SAME);
    cr_expect_eq(store_move_page(e.store, 40, 1), STORE_ASKED_BADCLASS);
    cr_expect_eq(store_move_page(e.store, 1, 40), STORE_ASKED_BADCLASS, "above the largest");
    cr_expect_eq(store_move_page(e.store, -2, 1), STORE_ASKED_BADCLASS);
    cr_expect_eq(store_move_page(e.store, 1, -1), STORE_ASKED_BADCLASS);
    cr_expect_eq(store_move_page(e.store, 31, 1), STORE_ASKED_NOSPARE, "its only page");
    cr_expect_eq(store_move_page(e.store, 5, 1), STORE_ASKED_NOSPARE, "it has none");
    cr_expect_eq(store_move_page(e.store, -1, 1), STORE_ASKED_NOSPARE, "none has two");
    engine_fini(&e);
    config.pages_stay = true;
    engine_init(&e, &config);
    cr_expect_eq(store_move_page(e.store, 31, 1), STORE_ASKED_OFF);
    engine_fini(&e);
}

/* A value that is being sent stays where it is; the operator sees why nothing moved. */
Test(balance, a_page_that_does_not_empty_is_given_up)
{
    struct engine e;
    struct store_config config = classic(64 << 20);
    struct store_stats st;
    struct store_hit hit[24];

    config.tuning.moves = false;
    engine_init(&e, &config);
    for (int n = 0; n < 24; n++) {
        char key[32];
        snprintf(key, sizeof key, "key-%d", n);
        cr_assert_neq(put_sized(&e, n, 66560), 0);
        cr_assert_eq(engine_look(&e, key, &hit[n]), STORE_HIT);
    }
    uint64_t before = pages_of(&e, 31);
    cr_assert_eq(store_move_page(e.store, 31, 25), STORE_ASKED_OK);
    engine_settle(&e);
    store_get_stats(e.store, &st);
    cr_expect_eq(st.last_busy, 2, "a reader: %d", st.last_busy);
    cr_expect_not(st.moving, "it ends");
    cr_expect_eq(pages_of(&e, 31), before);
    for (int n = 0; n < 24; n++) {
        store_unpin(e.ctx, hit[n].pinned);
    }
    cr_assert_eq(store_move_page(e.store, 31, 25), STORE_ASKED_OK);
    engine_settle(&e);
    cr_expect_eq(pages_of(&e, 31), before - 1);
    store_get_stats(e.store, &st);
    cr_expect_eq(st.last_busy, 0);
    engine_fini(&e);
}

/* Who watches sees a page begin to move and arrive. */
Test(balance, a_move_is_two_events)
{
    struct engine e;
    const struct store_config config = classic(64 << 20);
    struct store_event ev;

    engine_init(&e, &config);
    for (int n = 0; n < 30; n++) {
        (void)put_sized(&e, n, 66560);
    }
    store_watch_events(e.store, STORE_EVENT_MOVED);
    store_turn(e.ctx, e.now);
    cr_assert_eq(store_move_page(e.store, 31, 0), STORE_ASKED_OK);
    engine_settle(&e);
    cr_assert(store_take_event(e.ctx, &ev));
    cr_expect(ev.kind == STORE_EVENT_MOVED && ev.ok && ev.class_id == 31 && ev.to_class == 0);
    cr_expect_not(store_take_event(e.ctx, &ev));
    engine_fini(&e);
}

/* Seconds of a load that wants pages of another size; returns pages moved. */
static int64_t
shift(struct engine *e, int seconds, int *n)
{
    int64_t before = engine_metric(e, M_PAGES_MOVED);

    for (int i = 0; i < seconds; i++) {
        for (int j = 0; j < 60; j++) {
            (void)put_sized(e, (*n)++, 1500);
        }
        engine_pass(e, 1);
        engine_settle(e);
    }
    return engine_metric(e, M_PAGES_MOVED) - before;
}

/* "slabs automove" at run time: off is off at once, on again goes on, a window makes it wait. */
Test(balance, the_rebalancer_obeys_while_it_runs)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);
    struct store_tuning t = config.tuning;
    int n = 0;

    engine_init(&e, &config);
    for (; n < 200000; n++) {
        (void)put_sized(&e, n, 60);
    }
    cr_expect(shift(&e, 30, &n) > 0);
    t.moves = false;
    store_tune(e.store, &t);
    int64_t off = shift(&e, 30, &n);
    cr_expect_eq(off, 0, "%lld pages moved while it was off", (long long)off);
    t.moves = true;
    t.move_window = 20;
    store_tune(e.store, &t);
    int64_t waiting = shift(&e, 15, &n);
    cr_expect_eq(waiting, 0, "%lld pages moved before the window was over", (long long)waiting);
    t.move_window = 0;
    store_tune(e.store, &t);
    cr_expect(shift(&e, 30, &n) > 0);
    engine_fini(&e);
}

/* automove=2: also between classes whose ages are alike. */
Test(balance, the_eager_rebalancer_asks_for_no_gap)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);
    int64_t moved[2];

    for (int eager = 0; eager < 2; eager++) {
        int n = 0;
        config.tuning.move_ratio = 0.01; /* hardly any gap is wide enough */
        config.tuning.moves_eager = eager != 0;
        engine_init(&e, &config);
        for (; n < 60000; n++) {
            (void)put_sized(&e, n, 60);
            (void)put_sized(&e, n + 1000000, 1500);
            if (n % 2000 == 0) {
                engine_pass(&e, 1);
                engine_settle(&e);
            }
        }
        moved[eager] = shift(&e, 30, &n);
        engine_fini(&e);
    }
    cr_expect(moved[1] > moved[0] + 10, "%lld, %lld", (long long)moved[0], (long long)moved[1]);
}

/* Pages are not worth moving for chance: each costs items. */
Test(balance, sizes_that_stay_leave_pages_where_they_are)
{
    struct engine e;
    const struct store_config config = engine_config(16 << 20);
    struct rng rng;

    rng_init(&rng, 1);
    engine_init(&e, &config);
    int64_t before = 0;
    for (int i = 0; i < 160000; i++) {
        struct store_hit hit;
        char key[32];
        double u = rng_unit(&rng);
        int n = (int)(u * u * u * 60000);
        snprintf(key, sizeof key, "key-%d", n);
        if (engine_look(&e, key, &hit) != STORE_HIT) {
            cr_assert_neq(put_sized(&e, n, (uint32_t)(20 + n * 37L % 2000)), 0);
        }
        if (i % 1000 == 0) {
            engine_pass(&e, 1);
            engine_settle(&e);
        }
        before = i == 60000 ? engine_metric(&e, M_PAGES_MOVED) : before;
    }
    int64_t moved = engine_metric(&e, M_PAGES_MOVED) - before;
    cr_expect(engine_metric(&e, M_EVICTIONS) > 10000);
    cr_expect(moved < 200, "%lld pages of 256 moved in 100 s", (long long)moved);
    engine_fini(&e);
}

/* Whoever loses a page loses what it wants least, and not what happens to lie there. */
Test(balance, what_was_hit_outlives_its_page)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    struct store_hit hit;
    char key[32];
    int n = 0, held = 0, wanted = 0;

    config.tuning.moves = false;
    engine_init(&e, &config);
    while (engine_metric(&e, M_EVICTIONS) == 0) {
        (void)put_sized(&e, n++, 300);
    }
    cr_assert(n > 9000);
    for (int i = 0; i < n; i += 10) {
        snprintf(key, sizeof key, "key-%d", i);
        wanted += engine_look(&e, key, &hit) == STORE_HIT;
    }
    uint8_t class_id = hit.class_id;
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(store_move_page(e.store, class_id, 0), STORE_ASKED_OK);
        engine_settle(&e);
    }
    for (int i = 0; i < n; i += 10) {
        snprintf(key, sizeof key, "key-%d", i);
        held += engine_look(&e, key, &hit) == STORE_HIT;
    }
    cr_expect(held >= wanted - wanted / 50, "%d of %d", held, wanted);
    engine_fini(&e);
}

/* What lies in a page that is being cleared is no use to who needs a chunk, even if all that the
 * small queue has to offer for a while lies there. */
Test(balance, writes_find_room_beside_a_page_that_is_cleared)
{
    struct engine e;
    struct store_config config = engine_config(8 << 20);
    int n = 0;

    engine_init(&e, &config);
    while (engine_metric(&e, M_EVICTIONS) < 5000) {
        (void)put_sized(&e, n++, 300);
    }
    cr_assert(store_set_limit(e.store, 2 << 20));
    for (int i = 0; i < 400000; i++) {
        cr_assert_neq(put_sized(&e, n++, 300), 0, "write %d", i);
        if (i % 20 == 0) {
            (void)store_tick(e.ctx, 1); /* slowly */
        }
    }
    cr_expect(engine_metric(&e, M_PAGES_MOVED) > 20);
    engine_fini(&e);
}

/* memcached's classes have a page each, whatever -m says; what goes above it is given back. */
Test(balance, a_classic_class_always_gets_its_first_page)
{
    struct engine e;
    struct store_config config = classic(4 << 20);
    struct store_stats st;
    int n = 0;

    config.evict = false;
    config.tuning.moves = false;
    engine_init(&e, &config);
    for (uint32_t size = 10; size < 100000; size = size * 5 / 4 + 10) {
        cr_assert_neq(put_sized(&e, n++, size), 0, "%u bytes", size);
    }
    store_get_stats(e.store, &st);
    cr_expect(st.pages_bytes > 20 * (size_t)CLASSIC_PAGE, "%zu", st.pages_bytes);
    size_t before = st.pages_bytes;
    engine_pass(&e, 1);
    engine_settle(&e);
    store_get_stats(e.store, &st);
    cr_expect_eq(st.pages_bytes, before, "they are not taken away again");
    cr_assert(store_set_limit(e.store, 8 << 20));
    engine_pass(&e, 1);
    engine_settle(&e);
    store_get_stats(e.store, &st);
    cr_expect_eq(st.pages_bytes, before, "least of all when the limit goes up");
    cr_expect_eq(engine_metric(&e, M_MOVE_BUSY_NOMEM), 0, "nor is it tried");
    while (put_sized(&e, n, 66560) != 0) {
        n++;
    }
    cr_expect_eq(pages_of(&e, 31), 1, "no second one");
    engine_fini(&e);
}
