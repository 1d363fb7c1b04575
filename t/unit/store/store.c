#include "engine.h"

Test(store, what_is_set_is_found_with_all_its_fields)
{
    struct engine e;
    struct store_hit hit;
    const struct store_config config = engine_config(8 << 20);

    engine_init(&e, &config);
    uint64_t v = engine_put(&e, "key", SLICE("value"), 100, 0xdeadbeef);
    cr_assert_neq(v, 0);
    cr_assert_eq(engine_look(&e, "key", &hit), STORE_HIT);
    cr_expect(slice_is(hit.value, "value"));
    cr_expect_eq(hit.client_flags, 0xdeadbeef, "all 32 bits of flags");
    cr_expect_eq(hit.cas, v);
    cr_expect_eq(hit.expires, store_seconds(e.ctx) + 100);
    cr_expect_not(hit.fetched, "state before this hit");
    cr_assert_eq(engine_look(&e, "key", &hit), STORE_HIT);
    cr_expect(hit.fetched);
    cr_expect_eq(engine_look(&e, "other", &hit), STORE_MISS);
    cr_expect_eq(engine_look(&e, "ke", &hit), STORE_MISS, "a prefix is another key");
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 1);
    engine_fini(&e);
}

/* Sizes around every boundary: words, large values, chunks, pages, many pieces. */
Test(store, values_of_any_size_come_back)
{
    static const uint32_t size[] = { 0,     1,     7,      8,      9,       100,    4094,
                                     4095,  4096,  4097,   16000,  16384,   20000,  65535,
                                     65536, 65600, 100000, 500000, 1000000, 3000000 };
    struct engine e;
    struct store_config config = engine_config(32 << 20);
    char key[32];

    config.item_size_max = 8 << 20;
    engine_init(&e, &config);
    char *data = malloc(3000000);
    for (uint32_t i = 0; i < 3000000; i++) {
        data[i] = (char)(i * 31 + i / 256);
    }
    for (unsigned i = 0; i < sizeof size / sizeof *size; i++) {
        snprintf(key, sizeof key, "size-%u", size[i]);
        cr_assert_neq(engine_put(&e, key, slice_of(data, size[i]), 0, i), 0, "%s", key);
    }
    for (unsigned i = 0; i < sizeof size / sizeof *size; i++) {
        struct store_hit hit;
        snprintf(key, sizeof key, "size-%u", size[i]);
        cr_assert_eq(engine_look(&e, key, &hit), STORE_HIT, "%s", key);
        cr_assert_eq(hit.value_len, size[i]);
        cr_assert_eq(hit.client_flags, i);
        if (hit.pinned == NULL) {
            cr_assert(memcmp(hit.value.ptr, data, size[i]) == 0, "%s", key);
            continue;
        }
        struct value_cursor v;
        struct iovec iov[100];
        value_cursor_init(&v, e.store, hit.pinned);
        int n = value_cursor_iov(&v, e.store, iov, 100);
        size_t at = 0;
        for (int j = 0; j < n; j++) {
            cr_assert(memcmp(iov[j].iov_base, data + at, iov[j].iov_len) == 0, "%s at %zu", key,
                      at);
            at += iov[j].iov_len;
        }
        cr_assert_eq(at, size[i], "%s", key);
        store_unpin(e.ctx, hit.pinned);
    }
    free(data);
    engine_fini(&e);
}

/* A client that reads slowly keeps the bytes it began with. */
Test(store, a_value_being_sent_survives_overwrite_delete_and_eviction)
{
    struct engine e;
    const struct store_config config = engine_config(4 << 20);
    static char old[100000], new[100000], key[32];
    struct store_hit hit;

    engine_init(&e, &config);
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    (void)engine_put(&e, "k", slice_of(old, sizeof old), 0, 0);
    cr_assert_eq(engine_look(&e, "k", &hit), STORE_HIT);
    cr_assert_not_null(hit.pinned);
    (void)engine_put(&e, "k", slice_of(new, sizeof new), 0, 0);
    struct store_txn t;
    engine_begin(&e, "k", &t);
    store_remove(&t);
    store_unlock(&t);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "fill-%d", i);
        (void)engine_put(&e, key, slice_of(new, sizeof new), 0, 0);
    }
    struct value_cursor v;
    size_t n;
    value_cursor_init(&v, e.store, hit.pinned);
    for (char *p; (p = value_cursor_span(&v, e.store, &n)) != NULL;
         value_cursor_advance(&v, e.store, n)) {
        for (size_t i = 0; i < n; i++) {
            cr_assert_eq(p[i], 'o');
        }
    }
    store_unpin(e.ctx, hit.pinned);
    engine_fini(&e);
}

/* A client on a slow line: every cut, also inside of words and across pieces. */
Test(store, a_value_written_in_portions_is_whole)
{
    static const uint32_t size[] = { 1, 9, 100, 4095, 4097, 70000, 1000000 };
    static const uint32_t portion[] = { 1, 2, 7, 8, 13, 1000, 65536 };
    static char data[1000001];
    struct engine e;
    const struct store_config config = engine_config(32 << 20);

    engine_init(&e, &config);
    for (uint32_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 31 + i / 256);
    }
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        struct store_spec spec = { .key = SLICE("key"), .value_len = size[i] };
        struct item *item = store_alloc(e.ctx, &spec);
        struct value_cursor v;
        size_t at = 0, n = 1;

        cr_assert_not_null(item);
        value_cursor_init(&v, e.store, item);
        for (size_t k = 0; n > 0; k++, at += n) {
            struct slice rest = slice_of(data + at, sizeof data - at);
            rest.len = portion[k % 7] < rest.len ? portion[k % 7] : rest.len;
            n = value_cursor_write(&v, e.store, rest);
        }
        cr_assert_eq(at, size[i], "no byte behind its end is taken");
        value_cursor_init(&v, e.store, item);
        at = 0;
        for (char *p; (p = value_cursor_span(&v, e.store, &n)) != NULL;
             value_cursor_advance(&v, e.store, n), at += n) {
            cr_assert_arr_eq(p, data + at, n);
        }
        cr_assert_eq(at, size[i]);
        store_drop(e.ctx, item);
    }
    engine_fini(&e);
}

/* The table grows one bucket at a time; no key may be lost on the way. */
Test(store, growth_loses_nothing)
{
    struct engine e;
    const struct store_config config = engine_config(64 << 20);
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        cr_assert_neq(engine_set(&e, key, key), 0);
    }
    struct store_stats s;
    store_get_stats(e.store, &s);
    cr_expect(s.table_buckets > 200000 / 7, "%llu buckets", (unsigned long long)s.table_buckets);
    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        cr_assert(engine_holds(&e, key, key), "%s", key);
    }
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 200000);
    engine_fini(&e);
}

Test(store, expiry_is_on_the_second)
{
    struct engine e;
    struct store_hit hit;
    const struct store_config config = engine_config(8 << 20);

    engine_init(&e, &config);
    (void)engine_put(&e, "two", SLICE("v"), 2, 0);
    (void)engine_put(&e, "gone", SLICE("v"), -1, 0);
    (void)engine_put(&e, "never", SLICE("v"), 0, 0);
    (void)engine_put(&e, "past", SLICE("v"), 2678400, 0); /* 31 days: a unix time of 1970 */
    (void)engine_put(&e, "unix", SLICE("v"), ENGINE_START / USEC_PER_SEC + 5, 0);
    cr_expect_eq(engine_look(&e, "gone", &hit), STORE_EXPIRED);
    cr_expect_eq(engine_look(&e, "past", &hit), STORE_EXPIRED);
    engine_pass(&e, 1);
    cr_expect_eq(engine_look(&e, "two", &hit), STORE_HIT);
    engine_pass(&e, 1);
    cr_expect_eq(engine_look(&e, "two", &hit), STORE_EXPIRED);
    cr_expect_eq(engine_look(&e, "unix", &hit), STORE_HIT);
    engine_pass(&e, 3);
    cr_expect_eq(engine_look(&e, "unix", &hit), STORE_EXPIRED);
    cr_expect_eq(engine_look(&e, "never", &hit), STORE_HIT);
    engine_fini(&e);
}

/* Nobody asks for what is over: the crawler gives its memory back. */
Test(store, the_crawler_frees_what_expired)
{
    struct engine e;
    const struct store_config config = engine_config(16 << 20);
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_put(&e, key, SLICE("some value"), i % 2 ? 30 : 0, 0);
    }
    engine_settle(&e);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 20000);
    struct store_stats st;
    engine_pass(&e, 60);
    cr_expect_lt(store_tick(e.ctx, 100), USEC_PER_SEC, "it goes on in small steps");
    store_get_stats(e.store, &st);
    cr_expect(st.crawling);
    engine_settle(&e);
    store_get_stats(e.store, &st);
    cr_expect_not(st.crawling);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 10000);
    cr_expect_eq(engine_metric(&e, M_CRAWLER_RECLAIMED), 10000);
    cr_expect_eq(engine_metric(&e, M_EXPIRED_UNFETCHED), 10000);
    engine_fini(&e);
}

Test(store, flush_kills_what_was_before_and_nothing_after)
{
    struct engine e;
    struct store_hit hit;
    const struct store_config config = engine_config(8 << 20);

    engine_init(&e, &config);
    (void)engine_set(&e, "before", "v");
    store_flush(e.ctx, 0);
    (void)engine_set(&e, "after", "v"); /* in the same microsecond */
    cr_expect_eq(engine_look(&e, "before", &hit), STORE_FLUSHED);
    cr_expect_eq(engine_look(&e, "after", &hit), STORE_HIT);
    engine_settle(&e);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 1);
    store_flush(e.ctx, store_seconds(e.ctx) + 3);
    cr_expect_eq(engine_look(&e, "after", &hit), STORE_HIT, "a flush to come touches nothing now");
    store_flush(e.ctx, store_seconds(e.ctx) + 2);
    engine_pass(&e, 1);
    (void)engine_set(&e, "later", "v");
    engine_pass(&e, 1);
    cr_expect_eq(engine_look(&e, "after", &hit), STORE_FLUSHED, "the last call wins");
    cr_expect_eq(engine_look(&e, "later", &hit), STORE_FLUSHED);
    (void)engine_set(&e, "now", "v");
    engine_pass(&e, 5);
    cr_expect_eq(engine_look(&e, "now", &hit), STORE_HIT, "the replaced flush does not come");
    engine_fini(&e);
}

/* Versions never fall, whatever happens to the key in between. */
Test(store, versions_rise_over_deletes)
{
    struct engine e;
    const struct store_config config = engine_config(8 << 20);
    struct metrics *row2 = aligned_alloc(64, sizeof *row2);
    uint64_t last = 0;

    memset(row2, 0, sizeof *row2);
    engine_init(&e, &config);
    struct engine two = e;
    two.ctx = store_ctx_new(e.store, row2);
    for (int i = 0; i < 1000; i++) {
        struct engine *who = i % 2 ? &e : &two;
        uint64_t v = engine_set(who, "k", "v");
        cr_assert(v > last, "round %d", i);
        last = v;
        struct store_txn t;
        engine_begin(i % 3 ? &e : &two, "k", &t);
        store_remove(&t);
        store_unlock(&t);
    }
    store_ctx_free(two.ctx);
    engine_fini(&e);
    free(row2);
}

Test(store, changes_under_the_lock)
{
    struct engine e;
    struct store_hit hit;
    struct store_txn t;
    const struct store_config config = engine_config(8 << 20);

    engine_init(&e, &config);
    uint64_t v = engine_put(&e, "k", SLICE("10"), 0, 7);
    engine_begin(&e, "k", &t);
    cr_assert(store_retime(&t, store_seconds(e.ctx) + 50));
    store_unlock(&t);
    cr_assert_eq(engine_look(&e, "k", &hit), STORE_HIT);
    cr_expect_eq(hit.cas, v, "a touch keeps the cas");
    cr_expect_eq(hit.expires, store_seconds(e.ctx) + 50);
    cr_expect_eq(hit.client_flags, 7);

    engine_begin(&e, "k", &t);
    cr_assert(store_rewrite(&t, SLICE("9 "), 0));
    store_unlock(&t);
    cr_expect(engine_holds(&e, "k", "9 "));
    engine_begin(&e, "k", &t);
    cr_expect(t.hit.cas > v, "an arithmetic change does not");
    cr_assert_not(store_rewrite(&t, SLICE("100"), 0), "only the same length");
    cr_assert(store_concat(&t, false, SLICE("tail"), NULL));
    cr_assert(store_concat(&t, true, SLICE("head"), NULL));
    store_mark(&t, true, true);
    cr_assert(store_restamp(&t, 1));
    store_unlock(&t);
    cr_assert_eq(engine_look(&e, "k", &hit), STORE_HIT);
    cr_expect(slice_is(hit.value, "head9 tail"));
    cr_expect_eq(hit.client_flags, 7, "appending keeps flags");
    cr_expect_eq(hit.expires, store_seconds(e.ctx) + 50, "and expiry");
    cr_expect_eq(hit.cas, 1, "a client may choose its cas");
    cr_expect(hit.version > v, "which does not touch the order of records");
    cr_expect(hit.stale && hit.win_sent);
    engine_begin(&e, "k", &t);
    cr_assert(store_restamp(&t, 0));
    cr_expect_eq(t.hit.cas, t.hit.version);
    store_unlock(&t);
    engine_fini(&e);
}

/* Appending to a value that lies in pieces. */
Test(store, concatenation_of_large_values)
{
    struct engine e;
    struct store_txn t;
    struct store_hit hit;
    const struct store_config config = engine_config(16 << 20);
    static char a[150000], b[70000];

    engine_init(&e, &config);
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    (void)engine_put(&e, "k", slice_of(a, sizeof a), 0, 0);
    struct store_spec spec = { .key = SLICE("k"), .value_len = sizeof b };
    struct item *more = store_alloc(e.ctx, &spec);
    item_write(e.ctx, more, 0, b, sizeof b);
    engine_begin(&e, "k", &t);
    cr_assert(store_concat(&t, true, SLICE(""), more));
    store_unlock(&t);
    store_drop(e.ctx, more);
    cr_assert_eq(engine_look(&e, "k", &hit), STORE_HIT);
    struct value_cursor v;
    size_t n, at = 0;
    value_cursor_init(&v, e.store, hit.pinned);
    for (char *p; (p = value_cursor_span(&v, e.store, &n)) != NULL;
         value_cursor_advance(&v, e.store, n)) {
        for (size_t i = 0; i < n; i++, at++) {
            cr_assert_eq(p[i], at < sizeof b ? 'b' : 'a', "at %zu", at);
        }
    }
    cr_expect_eq(at, sizeof a + sizeof b);
    store_unpin(e.ctx, hit.pinned);
    engine_fini(&e);
}

static void
scan_mark(void *arg, const struct store_record *r, uint8_t class_id)
{
    unsigned char *seen = arg;
    int n;

    cr_assert(class_id > 0);
    cr_assert_eq(sscanf(r->key.ptr, "k%d", &n), 1);
    seen[n]++;
    cr_assert_eq(r->value.len, r->key.len);
}

/* Every key that is there all the time is shown, also while the table grows under the scan. */
Test(store, a_scan_misses_nothing)
{
    struct engine e;
    const struct store_config config = engine_config(64 << 20);
    static unsigned char seen[60000];
    char key[32];
    uint64_t cursor = 0;

    engine_init(&e, &config);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_set(&e, key, key);
    }
    for (int i = 20000; !store_scan(e.ctx, &cursor, 100, scan_mark, seen); i++) {
        for (int j = 0; j < 50 && i * 50 + j < 60000 * 50; j++) {
            snprintf(key, sizeof key, "k%d", 20000 + (i * 50 + j) % 40000);
            (void)engine_set(&e, key, key);
        }
    }
    for (int i = 0; i < 20000; i++) {
        cr_assert(seen[i] >= 1, "k%d was not shown", i);
    }
    engine_fini(&e);
}
