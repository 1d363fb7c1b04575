#include "bench/keys.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static struct keys keys;

static void
begin(uint64_t count, const char *name, const char *value, double zipf)
{
    struct keys_config c = { .count = count, .counters = 10, .zipf = zipf, .seed = 5,
                             .ttl = { .form = DIST_EVEN } };

    cr_assert(zero(int, dist_parse(name, (uint32_t)keys_name_min(&c), KEYS_NAME_MAX, &c.name_len,
                                   NULL)));
    cr_assert(zero(int, dist_parse(value, 0, 1u << 20, &c.value_len, NULL)));
    cr_assert(zero(int, keys_init(&keys, &c)));
}

static int
text_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of all lengths are of all keys different, and those of counters are others. */
Test(keys, names_are_unique)
{
    enum { COUNT = 20000 };
    char (*names)[KEYS_NAME_MAX + 1] = calloc(COUNT + 10, sizeof *names);
    bool seen[21] = { false };

    cr_assert(names != NULL);
    begin(COUNT, "7-20", "10", 0);
    for (uint64_t id = 0; id < COUNT; id++) {
        struct slice s = keys_name(&keys, id, names[id]);

        cr_assert(s.len >= 7 && s.len <= 20 && s.ptr == names[id]);
        seen[s.len] = true;
    }
    for (uint64_t id = 0; id < 10; id++) {
        (void)keys_counter_name(&keys, id, names[COUNT + id]);
    }
    for (int len = 7; len <= 20; len++) {
        cr_expect(seen[len], "no name of %d bytes", len);
    }
    qsort(names, COUNT + 10, sizeof *names, text_compare);
    for (size_t i = 1; i < COUNT + 10; i++) {
        cr_assert(ne(int, strcmp(names[i - 1], names[i]), 0), "%s twice", names[i]);
    }
    keys_fini(&keys);
    free(names);
}

Test(keys, the_shortest_names_hold_all_numbers)
{
    static const struct {
        uint64_t count;
        size_t   min;
    } rows[] = { { 1, 3 }, { 10, 3 }, { 11, 4 }, { 100, 4 }, { 101, 5 }, { KEYS_MAX, 12 } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct keys_config c = { .count = rows[i].count, .counters = 1 };

        cr_expect(eq(sz, keys_name_min(&c), rows[i].min), "%llu keys",
                  (unsigned long long)rows[i].count);
    }
}

/* What verification rests on: another key, another length, another seed: other bytes. */
Test(keys, values_follow_from_key_and_length)
{
    struct slice a, b;
    char before[100];

    begin(1000, "24", "100", 0);
    a = keys_value(&keys, 1);
    b = keys_value(&keys, 2);
    cr_assert(a.len == 100 && b.len == 100);
    cr_expect(eq(ptr, (void *)(uintptr_t)a.ptr, (void *)(uintptr_t)keys_value(&keys, 1).ptr));
    cr_expect(not(slice_eq(a, b)));
    b = keys_value_of(&keys, 1, 99);
    cr_expect(ne(int, memcmp(a.ptr, b.ptr, 99), 0), "a value that was cut is another one");
    memcpy(before, a.ptr, 100);
    keys_fini(&keys);

    struct keys_config c = keys.config;

    c.seed++;
    cr_assert(zero(int, keys_init(&keys, &c)));
    cr_expect(ne(int, memcmp(before, keys_value(&keys, 1).ptr, 100), 0));
    keys_fini(&keys);
}

/* All of a value lies within the pattern, whatever its length: the sanitizer sees it. */
Test(keys, the_longest_values_are_inside)
{
    unsigned sum = 0;

    begin(200, "24", "0-70000", 0);
    for (uint64_t id = 0; id < 200; id++) {
        struct slice v = keys_value(&keys, id);

        for (size_t i = 0; i < v.len; i++) {
            sum += (unsigned char)v.ptr[i];
        }
    }
    cr_expect(gt(uint, sum, 0));
    keys_fini(&keys);
}

Test(keys, choices_are_even_or_zipf)
{
    static int seen[1000];
    struct rng r;
    int most = 0;

    begin(1000, "24", "10", 0);
    rng_init(&r, 1);
    for (int i = 0; i < 200000; i++) {
        seen[keys_pick(&keys, &r)]++;
    }
    for (int i = 0; i < 1000; i++) {
        cr_assert(seen[i] > 120 && seen[i] < 280, "key %d came %d times, not about 200", i,
                  seen[i]);
    }
    keys_fini(&keys);

    begin(1000, "24", "10", 1);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 200000; i++) {
        seen[keys_pick(&keys, &r)]++;
    }
    for (int i = 0; i < 1000; i++) {
        most = seen[i] > most ? seen[i] : most;
    }
    cr_expect(most > 25000 && most < 28500, "the first has %d, not about 26,700", most);
    for (int i = 0; i < 200000; i++) {
        cr_assert(lt(u64, keys_pick_counter(&keys, &r), 10));
    }
    keys_fini(&keys);
}

Test(keys, flags_are_there_if_wanted)
{
    begin(1000, "24", "10", 0);
    cr_expect(zero(u32, keys_flags(&keys, 7)));
    keys.config.flags = true;
    cr_expect(ne(u32, keys_flags(&keys, 7), 0));
    cr_expect(ne(u32, keys_flags(&keys, 7), keys_flags(&keys, 8)));
    keys_fini(&keys);
}
