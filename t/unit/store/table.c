/*
 * table.c - the arithmetic of linear hashing.
 */
#include "base/rng.h"
#include "store/table.h"

#include <criterion/criterion.h>

#define SPLITS 20000
#define HASHES 20

static uint64_t
no_hash(const void *arg, uint64_t handle)
{
    (void)arg;
    cr_assert_fail("there is no item %llu", (unsigned long long)handle);
    return 0;
}

/* The mask that is kept beside the count says the same as the count alone, at every count. */
Test(table, the_mask_follows_the_count)
{
    static struct table t; /* zeroed; alignment of a cache line */
    struct err_detail d = { "" };
    struct rng r;

    for (unsigned power = 0; power <= 14; power += 7) {
        rng_init(&r, power + 1);
        cr_assert_eq(table_init(&t, 1 << 17, power, &d), ERR_OK, "%s", d.text);
        for (int n = 0; n < SPLITS; n++) {
            uint64_t count = atomic_load(&t.count);

            for (int i = 0; i < HASHES; i++) {
                uint64_t hash = rng_next(&r);

                cr_assert_eq(table_bucket(&t, hash) - t.buckets,
                             (ptrdiff_t)table_index(hash, count), "%llu of %llu",
                             (unsigned long long)hash, (unsigned long long)count);
            }
            cr_assert(table_split(&t, no_hash, NULL));
        }
        cr_assert_gt(atomic_load(&t.count), SPLITS);
        table_fini(&t);
    }
}
