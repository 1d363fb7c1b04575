#include "engine.h"

/* A small set of records of two keys, which every order must merge alike. */
#define BASE (UINT64_C(1) << 50)
static const struct store_record records[] = {
    { .key = { "a", 1 }, .value = { "one", 3 }, .version = BASE + 256 },
    { .key = { "a", 1 }, .value = { "two", 3 }, .version = BASE + 512 },
    { .key = { "a", 1 },
      .value = { "TWO", 3 },
      .version = BASE + 512 }, /* a tie: the checksum decides */
    { .key = { "a", 1 }, .version = BASE + 400, .tombstone = true, .expires = 100000 },
    { .key = { "b", 1 },
      .value = { "x", 1 },
      .version = BASE + 256,
      .touches = 1,
      .expires = 5000 },
    { .key = { "b", 1 },
      .value = { "x", 1 },
      .version = BASE + 256,
      .touches = 2,
      .expires = 9000 },
};
#define RECORDS (sizeof records / sizeof *records)

static void
state(struct engine *e, char *out, size_t size)
{
    struct store_hit a, b;
    bool has_a = engine_look(e, "a", &a) == STORE_HIT;
    int n = snprintf(out, size, "a=%.*s,%llu ", has_a ? (int)a.value.len : 0,
                     has_a ? a.value.ptr : "", has_a ? (unsigned long long)a.version : 0);
    bool has_b = engine_look(e, "b", &b) == STORE_HIT;
    snprintf(out + n, size - (size_t)n, "b=%.*s,%u", has_b ? (int)b.value.len : 0,
             has_b ? b.value.ptr : "", has_b ? b.expires : 0);
}

/* Commutative, associative, idempotent: all 720 orders, each record twice. */
Test(merge, order_and_repetition_do_not_matter)
{
    struct store_config config = engine_config(8 << 20);
    char first[200] = "", now[200];

    config.tombstone_life = 1000;
    for (unsigned perm = 0; perm < 720; perm++) {
        struct engine e;
        bool used[RECORDS] = { false };
        unsigned p = perm;
        engine_init(&e, &config);
        for (unsigned i = 0; i < RECORDS; i++) {
            unsigned k = p % (unsigned)(RECORDS - i), j = 0;
            p /= (unsigned)(RECORDS - i);
            while (used[j] || k-- > 0) {
                j++;
            }
            used[j] = true;
            for (int twice = 0; twice < 2; twice++) {
                struct store_record r = records[j];
                (void)store_merge(e.ctx, &r);
            }
        }
        state(&e, now, sizeof now);
        if (perm == 0) {
            strcpy(first, now);
        }
        cr_assert_str_eq(now, first, "order %u", perm);
        engine_fini(&e);
    }
    cr_expect(strstr(first, "b=x,9000") != NULL, "more touches win: %s", first);
}

Test(merge, a_delete_is_remembered)
{
    struct store_config config = engine_config(8 << 20);
    struct store_hit hit;
    struct store_txn t;
    struct engine e;

    config.tombstone_life = 60;
    engine_init(&e, &config);
    uint64_t v = engine_set(&e, "k", "v");
    engine_begin(&e, "k", &t);
    store_remove(&t);
    store_unlock(&t);
    cr_expect_eq(engine_look(&e, "k", &hit), STORE_MISS);
    cr_expect_eq(engine_metric(&e, M_CURR_ITEMS), 0, "a tombstone is no item");
    struct store_record late = { .key = SLICE("k"), .value = SLICE("v"), .version = v };
    cr_expect_eq(store_merge(e.ctx, &late), STORE_OLDER, "what was deleted does not come back");
    cr_expect_eq(engine_look(&e, "k", &hit), STORE_MISS);
    cr_expect(engine_set(&e, "k", "new") > v);
    cr_expect(engine_holds(&e, "k", "new"));
    engine_fini(&e);
}

Test(merge, dead_records_are_refused)
{
    struct store_config config = engine_config(8 << 20);
    struct store_hit hit;
    struct engine e;

    engine_init(&e, &config);
    uint64_t v = engine_set(&e, "k", "v");
    store_flush(e.ctx, 0);
    struct store_record flushed = { .key = SLICE("x"), .value = SLICE("v"), .version = v };
    cr_expect_eq(store_merge(e.ctx, &flushed), STORE_REFUSED);
    cr_expect_eq(engine_look(&e, "x", &hit), STORE_MISS);
    uint64_t v2 = engine_set(&e, "k", "v2");
    struct store_record over = {
        .key = SLICE("k"), .value = SLICE("v3"), .version = v2 + 256, .expires = 1
    };
    cr_expect_eq(store_merge(e.ctx, &over), STORE_REFUSED);
    cr_expect_eq(engine_look(&e, "k", &hit), STORE_MISS,
                 "newer but expired: the older value may not be shown");
    engine_fini(&e);
}

/* A record from a clock ahead of ours pulls our clock along, so that the next write here wins. */
Test(merge, a_clock_ahead_is_followed)
{
    struct store_config config = engine_config(8 << 20);
    struct engine e;

    engine_init(&e, &config);
    uint64_t v = engine_set(&e, "k", "v");
    struct store_record ahead = { .key = SLICE("k"),
                                  .value = SLICE("far"),
                                  .version = v + (UINT64_C(5000) << 20) };
    cr_expect_eq(store_merge(e.ctx, &ahead), STORE_MERGED);
    cr_expect(engine_holds(&e, "k", "far"));
    cr_expect(engine_set(&e, "other", "v") > ahead.version);
    cr_expect(engine_set(&e, "k", "mine") > ahead.version);
    cr_expect(engine_holds(&e, "k", "mine"));
    engine_fini(&e);
}
