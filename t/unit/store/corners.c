/*
 * corners.c - where the engine's parts meet: what happens between two steps of a scan, to items
 * that change in place, without memory, without eviction, with clocks apart.
 */
#include "engine.h"

#define SCANNED 20000

/* What a scan's callback does to the store that is being scanned. */
struct meddler {
    struct engine *e;
    unsigned char *seen;
    int next;   /* number of the next key to add; 0: none are added */
    bool erase; /* even keys are deleted when they are shown */
};

static void
meddle(void *arg, const struct store_record *r, uint8_t class_id)
{
    struct meddler *m = arg;
    struct store_txn t;
    char key[32];
    int n;

    cr_assert(class_id > 0);
    cr_assert_eq(sscanf(r->key.ptr, "k%d", &n), 1);
    if (n < SCANNED) {
        m->seen[n] = 1;
    }
    if (m->erase && n % 2 == 0) {
        store_lock(m->e->ctx, r->key, store_hash(r->key), &t);
        store_remove(&t);
        store_unlock(&t);
    }
    for (int i = 0; i < 3 && m->next > 0 && m->next < 4 * SCANNED; i++) {
        snprintf(key, sizeof key, "k%d", m->next++);
        (void)engine_set(m->e, key, key);
    }
}

static void
scan_meddling(struct meddler *m, int keys)
{
    uint64_t cursor = 0;
    char key[32];

    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "k%d", i);
        (void)engine_set(m->e, key, key);
    }
    while (!store_scan(m->e->ctx, &cursor, 100, meddle, m)) {
    }
    for (int i = 0; i < keys; i++) {
        cr_assert(m->seen[i], "k%d of %d was not shown", i, keys);
    }
}

/* Who is deleted while the bucket is open must not hide its neighbours. */
Test(corners, a_scan_that_deletes_misses_nothing)
{
    static unsigned char seen[SCANNED];
    const struct store_config config = engine_config(64 << 20);
    struct engine e;
    struct meddler m = { .e = &e, .seen = seen, .erase = true };

    engine_init(&e, &config);
    scan_meddling(&m, SCANNED);
    engine_fini(&e);
}

/* The very bucket that is being shown may be split in between. */
Test(corners, a_scan_that_makes_the_table_grow_misses_nothing)
{
    static unsigned char seen[SCANNED];
    const struct store_config config = engine_config(64 << 20);

    for (int keys = 4000; keys < SCANNED; keys += 397) { /* the splits meet the scan elsewhere */
        struct engine e;
        struct meddler m = { .e = &e, .seen = seen, .next = SCANNED };
        memset(seen, 0, sizeof seen);
        engine_init(&e, &config);
        scan_meddling(&m, keys);
        engine_fini(&e);
    }
}

/* Counters are set and counted up: in a full store they must stay evictable. */
Test(corners, items_changed_in_place_can_be_evicted)
{
    const struct store_config config = engine_config(4 << 20);
    struct engine e;
    struct store_txn t;
    char key[32];

    engine_init(&e, &config);
    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof key, "counter-%d", i);
        cr_assert_neq(engine_set(&e, key, "10"), 0, "%s finds no memory", key);
        engine_begin(&e, key, &t);
        if (t.old != NULL) {
            cr_assert(store_rewrite(&t, SLICE("11"), 0));
        }
        store_unlock(&t);
    }
    engine_fini(&e);
}
