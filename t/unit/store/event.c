#include "engine.h"

/* Fills a store with keys of one size until something was evicted; returns how many went in. */
static int
fill(struct engine *e, const char *prefix, int64_t exptime)
{
    int64_t before = engine_metric(e, M_EVICTIONS);
    char key[32];
    int n = 0;

    while (engine_metric(e, M_EVICTIONS) == before) {
        snprintf(key, sizeof key, "%s%d", prefix, n++);
        cr_assert_neq(engine_put(e, key, engine_text("a value of some forty bytes, for example"),
                                 exptime, 0),
                      0);
    }
    return n;
}

/* A watcher is told whose time came too soon: the line names the key, so it must be the right one.
 */
Test(event, an_eviction_tells_what_went)
{
    struct engine e;
    struct store_config config = engine_config(2 << 20);
    struct store_event ev;

    engine_init(&e, &config);
    store_watch_events(e.store, STORE_EVENT_EVICTED);
    store_turn(e.ctx, e.now);
    struct store_hit hit;
    (void)fill(&e, "mortal-", 1000);
    engine_pass(&e, 7);
    int taken = 0;
    for (int i = 0; i < 500; i++) {
        char key[32];
        snprintf(key, sizeof key, "next-%d", i);
        (void)engine_set(&e, key, "a value of some forty bytes, for example");
    }
    while (store_take_event(e.ctx, &ev)) {
        cr_assert_eq(ev.kind, STORE_EVENT_EVICTED);
        cr_assert(ev.key_len > 5 && ev.key_len < 32);
        char key[32] = "";
        memcpy(key, ev.key, ev.key_len);
        cr_expect_eq(engine_look(&e, key, &hit), STORE_MISS, "%s is still there", key);
        if (strncmp(key, "mortal-", 7) == 0) {
            cr_expect(ev.ttl == 1000 || ev.ttl == 993, "%s had %lld", key, (long long)ev.ttl);
            cr_expect_eq(ev.idle, 1000 - ev.ttl, "idle %u", ev.idle);
        } else {
            cr_expect_eq(ev.ttl, -1);
            cr_expect_eq(ev.idle, 0);
        }
        cr_expect_eq(ev.value_len, 40);
        cr_expect(ev.class_id > 0);
        cr_expect_not(ev.fetched);
        taken++;
    }
    cr_expect_eq(taken, engine_metric(&e, M_EVICTIONS), "%d told", taken);
    cr_expect_eq(store_lost_events(e.ctx), 0);
    engine_fini(&e);
}

/* Whether it was ever of use is the question that watchers ask. */
Test(event, an_eviction_tells_whether_it_was_hit)
{
    struct engine e;
    struct store_config config = engine_config(1 << 20);
    struct store_event ev;
    struct store_hit hit;
    unsigned fetched = 0;
    char key[32];

    engine_init(&e, &config);
    int n = fill(&e, "k", 0);
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_look(&e, key, &hit);
    }
    store_watch_events(e.store, STORE_EVENT_EVICTED);
    store_turn(e.ctx, e.now);
    for (int i = 0; i < 3 * n; i++) {
        snprintf(key, sizeof key, "n%d", i);
        (void)engine_set(&e, key, "a value of some forty bytes, for example");
    }
    while (store_take_event(e.ctx, &ev)) {
        cr_assert(ev.fetched == (ev.key[0] == 'k'), "%.*s", ev.key_len, ev.key);
        fetched += ev.fetched;
    }
    cr_expect(fetched > 0);
    engine_fini(&e);
}

/* A watcher that does not come must not cost more than its queue, and must learn what it missed. */
Test(event, what_does_not_fit_is_counted)
{
    struct engine e;
    struct store_config config = engine_config(2 << 20);
    struct store_event ev;
    uint64_t taken = 0;

    config.event_bytes = 2000;
    engine_init(&e, &config);
    (void)fill(&e, "before-", 0);
    store_watch_events(e.store, STORE_EVENT_EVICTED);
    store_turn(e.ctx, e.now);
    int64_t from = engine_metric(&e, M_EVICTIONS);
    for (int round = 0; round < 40; round++) { /* the ring comes round many times */
        for (int i = 0; i < 60; i++) {
            char key[64];
            snprintf(key, sizeof key, "%.*s-%d-%d", 1 + i % 30, "abcdefghijklmnopqrstuvwxyzabcdefg",
                     round, i);
            (void)engine_set(&e, key, "a value of some forty bytes, for example");
        }
        while (store_take_event(e.ctx, &ev)) {
            cr_assert(ev.key_len > 3 && memchr(ev.key, '-', ev.key_len) != NULL);
            cr_assert_eq(ev.value_len, 40);
            taken++;
        }
    }
    uint64_t lost = store_lost_events(e.ctx);
    cr_expect(taken > 100 && lost > 100, "%llu, %llu", (unsigned long long)taken,
              (unsigned long long)lost);
    cr_expect_eq((int64_t)(taken + lost), engine_metric(&e, M_EVICTIONS) - from);
    cr_expect_eq(store_lost_events(e.ctx), 0, "it is told once");
    engine_fini(&e);
}

/* Deleting, expiring and replacing are what clients do; only what happens by itself is news. */
Test(event, what_clients_do_is_no_event)
{
    struct engine e;
    struct store_config config = engine_config(2 << 20);
    struct store_event ev;
    struct store_hit hit;
    struct store_txn t;

    engine_init(&e, &config);
    store_watch_events(e.store,
                       STORE_EVENT_EVICTED | STORE_EVENT_MOVED | STORE_EVENT_CRAWLED);
    store_turn(e.ctx, e.now);
    (void)engine_set(&e, "k", "v");
    (void)engine_set(&e, "k", "w");
    engine_begin(&e, "k", &t);
    store_remove(&t);
    store_unlock(&t);
    (void)engine_put(&e, "short", engine_text("v"), 1, 0);
    engine_pass(&e, 2);
    cr_expect_eq(engine_look(&e, "short", &hit), STORE_EXPIRED);
    cr_expect_not(store_take_event(e.ctx, &ev), "kind %d", (int)ev.kind);
    engine_fini(&e);
}

/* Who stops watching is told no more. */
Test(event, only_what_is_watched_is_kept)
{
    struct engine e;
    struct store_config config = engine_config(2 << 20);
    struct store_event ev;

    engine_init(&e, &config);
    store_watch_events(e.store, STORE_EVENT_CRAWLED);
    store_turn(e.ctx, e.now);
    (void)fill(&e, "k", 0);
    cr_expect_not(store_take_event(e.ctx, &ev));
    store_watch_events(e.store, STORE_EVENT_EVICTED);
    store_turn(e.ctx, e.now);
    (void)fill(&e, "l", 0);
    cr_expect(store_take_event(e.ctx, &ev));
    store_watch_events(e.store, 0);
    (void)fill(&e, "m", 0);
    cr_expect_not(store_take_event(e.ctx, &ev));
    engine_fini(&e);
}
