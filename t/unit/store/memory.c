#include "engine.h"

static uint64_t
put_sized(struct engine *e, int n, uint32_t size)
{
    static char data[300000];
    char key[32];

    snprintf(key, sizeof key, "key-%d", n);
    return engine_put(e, key, slice_of(data, size), 0, 0);
}

/* The most that pages and table may take together: the table is free up to a twentieth. */
static size_t
most_of(size_t limit)
{
    return limit + limit / 20;
}

/* The limit is a promise to the operator, whatever the sizes. */
Test(memory, stays_within_the_limit)
{
    struct engine e;
    const size_t limit = 16 << 20;
    const struct store_config config = engine_config(limit);
    unsigned x = 1;

    engine_init(&e, &config);
    for (int i = 0; i < 60000; i++) {
        x = x * 1103515245 + 12345;
        uint32_t size = i % 200 == 0 ? x % 200000 : (x >> 8) % 2000;
        cr_assert_neq(put_sized(&e, i, size), 0, "item %d of %u bytes", i, size);
        if (i % 64 == 0) {
            (void)store_tick(e.ctx, 1000);
            cr_assert(engine_used(&e) <= most_of(limit) + (1 << 20), "%zu after %d",
                      engine_used(&e), i);
        }
    }
    cr_expect(engine_metric(&e, M_EVICTIONS) > 1000);
    engine_settle(&e);
    cr_expect(engine_used(&e) <= most_of(limit), "%zu", engine_used(&e));
    engine_fini(&e);
}

/* Never a storm: one new item costs about one old one of its size. */
Test(memory, evicts_one_for_one)
{
    struct engine e;
    const struct store_config config = engine_config(8 << 20);

    engine_init(&e, &config);
    int n = 0;
    while (engine_metric(&e, M_EVICTIONS) == 0) {
        (void)put_sized(&e, n++, 500);
    }
    int64_t before = engine_metric(&e, M_EVICTIONS);
    for (int i = 0; i < 10000; i++) {
        (void)put_sized(&e, n++, 500);
    }
    int64_t evicted = engine_metric(&e, M_EVICTIONS) - before;
    cr_expect(evicted >= 9900 && evicted <= 10200, "%lld", (long long)evicted);
    engine_fini(&e);
}

/* -M: an error instead of a loss. */
Test(memory, without_eviction_a_full_store_refuses)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    int n = 0;

    config.evict = false;
    engine_init(&e, &config);
    while (put_sized(&e, n, 500) != 0) {
        n++;
    }
    cr_expect(n > 5000, "%d fit", n);
    for (int i = 0; i < n; i++) {
        struct store_hit hit;
        char key[32];
        snprintf(key, sizeof key, "key-%d", i);
        cr_assert_eq(engine_look(&e, key, &hit), STORE_HIT, "%s was lost", key);
    }
    struct store_txn t;
    engine_begin(&e, "key-7", &t);
    store_remove(&t);
    store_unlock(&t);
    cr_expect_neq(put_sized(&e, n + 1, 500), 0, "what was freed can be used");
    cr_expect_eq(engine_metric(&e, M_EVICTIONS), 0);
    engine_fini(&e);
}

/* Memory of dead items is used before anything alive is thrown out, also where nothing may be
 * thrown out. */
Test(memory, expired_items_go_first)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    int n = 0;

    config.evict = false;
    engine_init(&e, &config);
    char key[32];
    do {
        snprintf(key, sizeof key, "short-%d", n++);
    } while (engine_put(&e, key, SLICE("a value that is soon over"), 5, 0) != 0);
    engine_pass(&e, 6);
    for (int i = 0; i < n / 2; i++) {
        snprintf(key, sizeof key, "long-%d", i);
        cr_assert_neq(engine_put(&e, key, SLICE("a value that is soon over"), 0, 0), 0, "%s", key);
    }
    engine_fini(&e);
}

/* When the sizes of what is asked for shift, pages follow. */
Test(memory, pages_follow_the_sizes)
{
    struct engine e;
    const struct store_config config = engine_config(16 << 20);
    int n = 0;

    engine_init(&e, &config);
    for (; n < 200000; n++) {
        (void)put_sized(&e, n, 60);
    }
    for (int i = 0; i < 200; i++) { /* 200 s in which only larger ones come */
        for (int j = 0; j < 200; j++) {
            char key[32];
            struct store_hit hit;
            cr_assert_neq(put_sized(&e, n, 1500), 0);
            snprintf(key, sizeof key, "key-%d", n++);
            (void)engine_look(&e, key, &hit);
        }
        engine_pass(&e, 1);
        engine_settle(&e);
    }
    int held = 0; /* whichever of them: the policy has no reason to prefer the latest */
    for (int i = 200000; i < n; i++) {
        char key[32];
        struct store_hit hit;
        snprintf(key, sizeof key, "key-%d", i);
        held += engine_look(&e, key, &hit) == STORE_HIT;
    }
    cr_expect(held > 4000, "%d larger items are held: half of memory", held);
    cr_expect(engine_metric(&e, M_PAGES_MOVED) > 50);
    engine_fini(&e);
}

/* The same where those that leave are evicted, and leave ghosts. */
Test(memory, the_table_stays_small_when_keys_come_and_go)
{
    struct engine e;
    const struct store_config config = engine_config(8 << 20);
    struct store_stats st;

    engine_init(&e, &config);
    for (int n = 0; n < 1000000; n++) {
        (void)put_sized(&e, n, 32);
    }
    store_get_stats(e.store, &st);
    double each = (double)st.table_bytes / (double)engine_metric(&e, M_CURR_ITEMS);
    cr_expect(engine_metric(&e, M_EVICTIONS) > 800000);
    cr_expect(each < 13.5, "%.1f bytes an item", each);
    engine_fini(&e);
}

/* What lived in a chain's overflow bucket and is gone leaves no bucket behind. */
Test(memory, the_table_does_not_grow_by_churn)
{
    enum { LIVE = 50000, ROUNDS = 20 };
    const struct store_config config = engine_config(64 << 20);
    struct store_stats before, after;
    struct engine e;
    char key[24];

    engine_init(&e, &config);
    for (int n = 0; n < LIVE * ROUNDS; n++) {
        snprintf(key, sizeof key, "churn%d", n);
        cr_assert_neq(engine_set(&e, key, "value"), 0);
        if (n == LIVE - 1) {
            store_get_stats(e.store, &before);
        }
        if (n >= LIVE) {
            struct store_txn t;
            snprintf(key, sizeof key, "churn%d", n - LIVE);
            engine_begin(&e, key, &t);
            store_remove(&t);
            store_unlock(&t);
        }
    }
    store_get_stats(e.store, &after);
    cr_expect(after.table_bytes < before.table_bytes + before.table_bytes / 50, "%zu became %zu",
              before.table_bytes, after.table_bytes);
    for (int n = LIVE * (ROUNDS - 1); n < LIVE * ROUNDS; n++) {
        snprintf(key, sizeof key, "churn%d", n);
        cr_assert(engine_holds(&e, key, "value"), "%s", key);
    }
    engine_fini(&e);
}

/* cache_memlimit: down gives memory back in the background, up is there at once. */
Test(memory, the_limit_moves_at_run_time)
{
    struct engine e;
    const struct store_config config = engine_config(32 << 20);

    engine_init(&e, &config);
    for (int n = 0; n < 100000; n++) {
        (void)put_sized(&e, n, 300);
    }
    cr_assert(engine_used(&e) > 30 << 20);
    cr_assert(store_set_limit(e.store, 8 << 20));
    for (int i = 0; i < 60; i++) {
        engine_pass(&e, 1);
        engine_settle(&e);
    }
    cr_expect(engine_used(&e) <= most_of(8 << 20), "%zu", engine_used(&e));
    cr_expect(engine_metric(&e, M_CURR_ITEMS) > 10000, "what fits stays: %lld",
              (long long)engine_metric(&e, M_CURR_ITEMS));
    cr_assert(store_set_limit(e.store, 32 << 20));
    for (int n = 0; n < 100000; n++) {
        (void)put_sized(&e, n, 300);
    }
    cr_expect(engine_used(&e) > 30 << 20);
    cr_expect_not(store_set_limit(e.store, (size_t)1 << 50), "more than was reserved");
    engine_fini(&e);
}

/* Until the background has given the memory back, writes of any size must go on. */
Test(memory, writes_go_on_while_the_limit_falls)
{
    struct engine e;
    const struct store_config config = engine_config(32 << 20);

    engine_init(&e, &config);
    for (int n = 0; n < 5000; n++) {
        (void)put_sized(&e, n, 10000);
    }
    cr_assert(store_set_limit(e.store, 8 << 20));
    for (int n = 0; n < 2000; n++) {
        uint32_t size = (uint32_t)(n * 37 % 30000);
        cr_assert_neq(put_sized(&e, 10000 + n, size), 0, "%u bytes", size);
        if (n % 50 == 0) {
            (void)store_tick(e.ctx, 100);
        }
    }
    engine_fini(&e);
}

Test(memory, most_items_is_a_limit_too)
{
    struct engine e;
    struct store_config config = engine_config(32 << 20);

    config.items_max = 1000;
    engine_init(&e, &config);
    for (int n = 0; n < 5000; n++) {
        cr_assert_neq(put_sized(&e, n, (uint32_t)(n % 900)), 0);
        cr_assert(engine_metric(&e, M_CURR_ITEMS) <= 1000, "%lld after %d",
                  (long long)engine_metric(&e, M_CURR_ITEMS), n);
    }
    cr_expect(engine_metric(&e, M_CURR_ITEMS) >= 990);
    engine_fini(&e);
}

/* Hits of a trace on the engine. */
static double
hit_ratio(struct engine *e, int accesses, int keys, double skew, int scan_every)
{
    uint64_t x = 42;
    int hits = 0, counted = 0;
    double *cdf = malloc((size_t)keys * sizeof *cdf), sum = 0;

    for (int i = 0; i < keys; i++) {
        sum += 1.0 / __builtin_pow(i + 1, skew);
        cdf[i] = sum;
    }
    for (int i = 0, scan = 1 << 20; i < accesses; i++) {
        int key;
        if (scan_every != 0 && i / 1000 % scan_every == 0) {
            key = scan++;
        } else {
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            double u = (double)(x >> 11) / 9007199254740992.0 * sum;
            int lo = 0, hi = keys - 1;
            while (lo < hi) {
                int mid = (lo + hi) / 2;
                if (cdf[mid] < u) {
                    lo = mid + 1;
                } else {
                    hi = mid;
                }
            }
            key = lo;
        }
        struct store_hit hit;
        char name[32];
        snprintf(name, sizeof name, "key-%d", key);
        bool found = engine_look(e, name, &hit) == STORE_HIT;
        counted += i >= accesses / 3;
        hits += i >= accesses / 3 && found;
        if (!found) {
            (void)put_sized(e, key, 200);
        }
    }
    free(cdf);
    return (double)hits / counted;
}

/*
 * What is asked for again is kept.  A strict LRU that holds 16,600 of these items (what the engine
 * holds) reaches 0.792 and 0.540 on the same two traces; the engine had 0.807 and 0.560 when this
 * was written.  A slip in the queue, the ghosts or the hand shows.
 */
Test(memory, the_policy_keeps_what_is_wanted)
{
    struct store_config config = engine_config(4 << 20);
    struct engine e;

    engine_init(&e, &config);
    double zipf = hit_ratio(&e, 600000, 100000, 1.0, 0);
    engine_fini(&e);
    engine_init(&e, &config);
    double scans = hit_ratio(&e, 600000, 100000, 1.0, 4);
    engine_fini(&e);
    config.tuning.flat = true;
    engine_init(&e, &config);
    double flat = hit_ratio(&e, 600000, 100000, 1.0, 4);
    engine_fini(&e);
    fprintf(stderr, "hit ratio: zipf %.4f, with scans %.4f, plain clock with scans %.4f\n", zipf,
            scans, flat);
    cr_expect(zipf > 0.80, "%.4f", zipf);
    cr_expect(scans > 0.55, "%.4f", scans);
    cr_expect(scans > flat + 0.005, "small queue %.4f, plain clock %.4f", scans, flat);
}

static int
count_held(struct engine *e, const char *prefix, int n)
{
    struct store_hit hit;
    char key[32];
    int held = 0;

    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        held += engine_look(e, key, &hit) == STORE_HIT;
    }
    return held;
}

static struct store_class_stats
class_of(struct engine *e, const char *key)
{
    struct store_class_stats k;
    struct store_hit hit;

    cr_assert_eq(engine_look(e, key, &hit), STORE_HIT);
    store_get_class_stats(e->store, hit.class_id, &k);
    return k;
}

/* temporary_ttl: who stores for a minute wants it for that minute. */
Test(memory, items_of_a_short_life_outlast_the_others)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    char key[32];
    int kept[2];

    for (int on = 0; on < 2; on++) {
        config.tuning.temporary_ttl = on ? 60 : 0;
        config.tuning.flat = true; /* the hand comes by all of them */
        engine_init(&e, &config);
        for (int i = 0; i < 1000; i++) {
            snprintf(key, sizeof key, "t%d", i);
            (void)engine_put(&e, key, engine_text("some forty bytes that are not worth much"), 60,
                             0);
        }
        for (int i = 0; i < 100000; i++) {
            snprintf(key, sizeof key, "f%d", i);
            (void)engine_put(&e, key, engine_text("some forty bytes that are not worth much"), 1000,
                             0);
        }
        kept[on] = count_held(&e, "t", 1000);
        if (on) {
            struct store_class_stats k = class_of(&e, "t0");
            cr_expect_eq(k.items_temp, 1000, "%llu", (unsigned long long)k.items_temp);
            cr_expect_eq(k.items, k.items_small + k.items_main + k.items_temp);
            cr_expect_eq(k.hits_temp, 1001);
        }
        engine_fini(&e);
    }
    cr_expect(kept[0] < 300, "%d without", kept[0]);
    cr_expect_eq(kept[1], 1000, "%d of them", kept[1]);
}

/* They yield when there is nothing else, or a client that sets a ttl could stop all writes. */
Test(memory, items_of_a_short_life_make_room_for_their_like)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    char key[32];

    config.tuning.temporary_ttl = 60;
    engine_init(&e, &config);
    for (int i = 0; i < 60000; i++) {
        snprintf(key, sizeof key, "t%d", i);
        cr_assert_neq(engine_put(&e, key, engine_text("some forty bytes of no worth"), 60, 0), 0,
                      "%s", key);
    }
    cr_expect(engine_metric(&e, M_EVICTIONS) > 1000);
    engine_fini(&e);
}

/* A touch that lets it live on makes it an item like others, which can be evicted. */
Test(memory, a_touch_ends_a_short_life)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    struct store_txn t;
    char key[32];

    config.tuning.temporary_ttl = 60;
    config.tuning.flat = true;
    engine_init(&e, &config);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "t%d", i);
        (void)engine_put(&e, key, engine_text("some forty bytes that are not worth much"), 60, 0);
        engine_begin(&e, key, &t);
        cr_assert(store_retime(&t, store_expiry(e.ctx, i % 2 ? 1000 : 50)));
        store_unlock(&t);
    }
    cr_expect_eq(class_of(&e, "t0").items_temp, 500);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "f%d", i);
        (void)engine_put(&e, key, engine_text("some forty bytes that are not worth much"), 1000, 0);
    }
    int held = count_held(&e, "t", 1000);
    cr_expect(held >= 500 && held < 650, "%d", held);
    engine_fini(&e);
}

/* What the hand would take next is cold, and a hit on it says that it nearly went. */
Test(memory, cold_items_are_told_from_the_others)
{
    struct engine e;
    const struct store_config config = engine_config(4 << 20);
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%02d", i);
        (void)engine_set(&e, key, "v");
    }
    struct store_hit hit;
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "k%02d", i);
        (void)engine_look(&e, key, &hit);
        (void)engine_look(&e, key, &hit);
    }
    struct store_class_stats k = class_of(&e, "k00");
    cr_expect_eq(k.items_main, 100);
    cr_expect_eq(k.items_cold, 70, "%llu", (unsigned long long)k.items_cold);
    cr_expect_eq(k.hits_cold, 30, "%lld", (long long)k.hits_cold);
    cr_expect_eq(k.hits_main, 31, "%lld", (long long)k.hits_main);
    store_reset_stats(e.store);
    cr_expect_eq(class_of(&e, "k00").hits_cold, 0);
    engine_fini(&e);
}

/* hot_lru_pct and "lru mode" take effect on a store that is full already. */
Test(memory, the_small_queue_can_be_tuned_while_it_is_used)
{
    struct engine e;
    struct store_config config = engine_config(4 << 20);
    struct store_tuning t = config.tuning;
    uint64_t small[3];
    int n = 0;

    engine_init(&e, &config);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 100000; j++) {
            (void)put_sized(&e, n++, 60);
        }
        char key[32];
        snprintf(key, sizeof key, "key-%d", n - 1);
        small[i] = class_of(&e, key).items_small;
        t.small_percent = 40;
        t.flat = i == 1;
        store_tune(e.store, &t);
    }
    cr_expect(small[1] > 3 * small[0], "%llu, then %llu", (unsigned long long)small[0],
              (unsigned long long)small[1]);
    cr_expect(small[2] < small[0], "%llu without a queue", (unsigned long long)small[2]);
    engine_fini(&e);
}

/* As long as there is memory that nobody has, no item goes for the sake of another's place. */
Test(memory, nothing_is_evicted_while_there_is_room)
{
    struct engine e;
    const struct store_config config = engine_config(16 << 20);
    int n = 0;

    engine_init(&e, &config);
    for (; n < 200000; n++) {
        (void)put_sized(&e, n, 60);
    }
    for (int i = 0; i < 3; i++) { /* more than the rebalancer can make room for */
        engine_pass(&e, 1);
        engine_settle(&e);
        for (int j = 0; j < 3000; j++) {
            (void)put_sized(&e, n++, 1500);
        }
    }
    engine_pass(&e, 1); /* the next look finds that they evicted */
    cr_assert(store_set_limit(e.store, 64 << 20));
    int64_t before = engine_metric(&e, M_EVICTIONS);
    for (int i = 0; i < 40; i++) {
        (void)store_tick(e.ctx, 1000);
        for (int j = 0; j < 200; j++) {
            (void)put_sized(&e, n++, 1500);
        }
        engine_pass(&e, 1);
        engine_settle(&e);
    }
    cr_expect_eq(engine_metric(&e, M_EVICTIONS), before, "%lld were evicted",
                 (long long)(engine_metric(&e, M_EVICTIONS) - before));
    engine_fini(&e);
}
