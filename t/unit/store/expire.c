#include "engine.h"

static uint64_t
bits_of_all(struct engine *e)
{
    struct store_stats st;

    store_get_stats(e->store, &st);
    return ~UINT64_C(0) >> (63 - st.classes) & ~UINT64_C(1);
}

static bool
is_crawling(struct engine *e)
{
    struct store_stats st;

    store_get_stats(e->store, &st);
    return st.crawling;
}

static void
put_many(struct engine *e, const char *prefix, int n, int64_t exptime)
{
    char key[32];

    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        cr_assert_neq(engine_put(e, key, engine_text("some value"), exptime, 0), 0);
    }
}

/* "lru_crawler crawl": what is over is free at once, not when a share of the class is over. */
Test(expire, a_walk_that_was_asked_for_reclaims_at_once)
{
    struct engine e;
    const struct store_config config = engine_config(16 << 20);
    struct store_event ev;

    engine_init(&e, &config);
    put_many(&e, "long-", 20000, 0);
    put_many(&e, "short-", 100, 5); /* half a percent */
    engine_pass(&e, 6);
    engine_settle(&e);
    cr_assert_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 0, "nothing calls for a walk");
    int64_t starts = engine_metric(&e, M_CRAWLER_STARTS);
    store_watch_events(e.store, STORE_EVENT_CRAWLED);
    store_turn(e.ctx, e.now);
    cr_assert_eq(store_crawl(e.store, bits_of_all(&e)), STORE_ASKED_OK);
    cr_expect(store_is_asked(e.store));
    cr_expect(is_crawling(&e), "from the request on");
    cr_expect_eq(store_crawl(e.store, 2), STORE_ASKED_BUSY);
    engine_settle(&e);
    cr_expect_not(is_crawling(&e));
    cr_expect_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 100);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 20000);
    cr_expect(engine_metric(&e, M_CRAWLER_STARTS) > starts);
    uint64_t examined = 0, reclaimed = 0;
    while (store_take_event(e.ctx, &ev)) {
        cr_assert_eq(ev.kind, STORE_EVENT_CRAWLED);
        examined += ev.examined;
        reclaimed += ev.reclaimed;
    }
    cr_expect_eq(examined, 20100, "%llu", (unsigned long long)examined);
    cr_expect_eq(reclaimed, 100);
    cr_expect_eq(store_crawl(e.store, bits_of_all(&e)), STORE_ASKED_OK, "it can be asked again");
    engine_settle(&e);
    engine_fini(&e);
}

Test(expire, walks_that_make_no_sense_are_refused)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);
    struct store_stats st;

    config.page_size = 1 << 20;
    config.factor = 1.25;
    config.chunk_min = 48;
    engine_init(&e, &config);
    store_get_stats(e.store, &st);
    cr_expect_eq(store_crawl(e.store, 0), STORE_ASKED_BADCLASS);
    cr_expect_eq(store_crawl(e.store, 1), STORE_ASKED_BADCLASS, "0 is the pool");
    cr_assert(st.classes < 63);
    cr_expect_eq(store_crawl(e.store, UINT64_C(1) << (st.classes + 1) | 2), STORE_ASKED_BADCLASS);
    cr_expect_eq(store_crawl(e.store, 6), STORE_ASKED_NOTHING);
    cr_expect_not(is_crawling(&e));
    config.tuning.crawler = false;
    store_tune(e.store, &config.tuning);
    cr_expect_eq(store_crawl(e.store, 6), STORE_ASKED_OFF);
    engine_fini(&e);
}

/* "lru_crawler tocrawl": a walk stops after so many items of a class. */
Test(expire, a_walk_looks_at_no_more_than_it_may)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);

    engine_init(&e, &config);
    put_many(&e, "k", 5000, 0);
    config.tuning.crawler_max = 300;
    store_tune(e.store, &config.tuning);
    int64_t before = engine_metric(&e, M_CRAWLER_CHECKED);
    cr_assert_eq(store_crawl(e.store, bits_of_all(&e)), STORE_ASKED_OK);
    engine_settle(&e);
    int64_t checked = engine_metric(&e, M_CRAWLER_CHECKED) - before;
    struct store_stats st;
    store_get_stats(e.store, &st);
    cr_expect(checked >= 300 && checked <= 300 * (int64_t)3, "%lld in the two or three classes",
              (long long)checked);
    engine_fini(&e);
}

/* "lru_crawler sleep": the pause between two steps is what was asked for, whatever else calls. */
Test(expire, the_crawler_sleeps_as_long_as_it_is_told)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);

    config.tuning.crawler_sleep = 20 * USEC_PER_MSEC;
    engine_init(&e, &config);
    put_many(&e, "k", 50000, 0);
    cr_assert_eq(store_crawl(e.store, bits_of_all(&e)), STORE_ASKED_OK);
    cr_assert_eq(store_tick(e.ctx, 1000), 20 * USEC_PER_MSEC);
    int64_t checked = engine_metric(&e, M_CRAWLER_CHECKED);
    cr_expect(checked > 0 && checked <= 1000, "%lld in a step", (long long)checked);
    engine_pass(&e, 0.005);
    cr_expect_eq(store_tick(e.ctx, 1000), 15 * USEC_PER_MSEC, "too early");
    cr_expect_eq(engine_metric(&e, M_CRAWLER_CHECKED), checked);
    engine_pass(&e, 0.015);
    cr_expect_eq(store_tick(e.ctx, 1000), 20 * USEC_PER_MSEC);
    cr_expect(engine_metric(&e, M_CRAWLER_CHECKED) > checked);
    for (int i = 0; i < 200 && is_crawling(&e); i++) {
        engine_pass(&e, 0.02);
        (void)store_tick(e.ctx, 1000);
    }
    cr_expect_not(is_crawling(&e), "it comes to an end");
    engine_fini(&e);
}

/* "lru_crawler disable" and "enable": what expired in between is found afterwards. */
Test(expire, the_crawler_can_be_switched_off_and_on)
{
    struct engine e;
    struct store_config config = engine_config(16 << 20);
    struct store_tuning t = config.tuning;

    engine_init(&e, &config);
    put_many(&e, "short-", 5000, 10);
    t.crawler = false;
    store_tune(e.store, &t);
    for (int i = 0; i < 60; i++) {
        engine_pass(&e, 2);
        engine_settle(&e);
    }
    cr_expect_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 0);
    t.crawler = true;
    store_tune(e.store, &t);
    engine_settle(&e);
    cr_expect_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 5000, "%lld",
                 (long long)engine_metric(&e, M_CRAWLER_RECLAIMED));
    engine_fini(&e);
}

/* An item in pieces counts as one of the largest class there, and is walked with it. */
Test(expire, a_classic_walk_finds_items_in_pieces)
{
    struct engine e;
    struct store_config config = engine_config(64 << 20);
    static char data[1048000]; /* two pieces of the largest class */
    struct store_class_stats k;

    config.page_size = 1 << 20;
    config.factor = 1.25;
    config.chunk_min = 48;
    engine_init(&e, &config);
    cr_assert_neq(engine_put(&e, "big", slice_of(data, sizeof data), 5, 0), 0);
    store_get_class_stats(e.store, 39, &k);
    cr_expect_eq(k.items, 1);
    cr_expect(k.bytes > sizeof data);
    store_get_class_stats(e.store, 2, &k);
    cr_expect_eq(k.items, 0, "where its head lies");
    cr_expect_eq(k.chunks_used, 1);
    engine_pass(&e, 6);
    cr_assert_eq(store_crawl(e.store, UINT64_C(1) << 39), STORE_ASKED_OK);
    engine_settle(&e);
    cr_expect_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 1);
    store_get_class_stats(e.store, 39, &k);
    cr_expect_eq(k.items, 0);
    cr_expect_eq(k.chunks_used, 0);
    engine_fini(&e);
}
