#include "store/item.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Values start at any byte of a chunk and are copied by words: no neighbour may change. */
Test(item, bytes_go_in_and_out_at_any_offset)
{
    static _Alignas(8) unsigned char chunk[128];
    static uint64_t room[20];
    unsigned char data[64];

    for (unsigned i = 0; i < sizeof data; i++) {
        data[i] = (unsigned char)(i + 1);
    }
    for (uint32_t at = 16; at < 40; at++) {
        for (uint32_t n = 0; n <= 40; n++) {
            memset(chunk, 0xee, sizeof chunk);
            item_put_bytes((struct item *)(void *)chunk, at, data, n);
            for (unsigned i = 0; i < sizeof chunk; i++) {
                unsigned want = i >= at && i < at + n ? data[i - at] : 0xee;
                cr_assert_eq(chunk[i], want, "offset %u length %u: byte %u", at, n, i);
            }
            const char *out = item_get_bytes((struct item *)(void *)chunk, at, n, room);
            cr_assert(memcmp(out, data, n) == 0, "offset %u length %u", at, n);
        }
    }
}

/* A key is its bytes and its length, whatever stands behind it; and nothing beside it is read. */
Test(item, keys_are_compared_whole)
{
    static _Alignas(8) unsigned char chunk[320];
    struct item *it = (struct item *)(void *)chunk;

    for (uint32_t n = 1; n <= 250; n++) {
        char *key = malloc(n);
        cr_assert_not_null(key);
        for (uint32_t i = 0; i < n; i++) {
            key[i] = (char)(i * 37 + n);
        }
        memset(chunk, 0x5a, sizeof chunk);
        item_set_meta(it, n);
        item_put_bytes(it, meta_key_at(n), key, n);
        cr_assert(item_key_is(it, meta_key_at(n), slice_of(key, n)), "length %u", n);
        for (uint32_t i = 0; i < n; i++) {
            key[i] ^= 0x20;
            cr_assert_not(item_key_is(it, meta_key_at(n), slice_of(key, n)),
                          "length %u differs at %u", n, i);
            key[i] ^= 0x20;
        }
        free(key);
    }
}

/* Every combination of optional words keeps its parts apart. */
Test(item, optional_words_do_not_overlap)
{
    static _Alignas(8) unsigned char chunk[128];
    struct item *it = (struct item *)(void *)chunk;

    for (uint32_t bits = 0; bits < 8; bits++) {
        uint32_t meta = 3 | (bits & 1 ? ITEM_HAS_EXT : 0) |
                        (bits & 2 ? ITEM_HAS_EXT | ITEM_HAS_FLAGS : 0) |
                        (bits & 4 ? (uint32_t)ITEM_HAS_CAS : 0);
        memset(chunk, 0, sizeof chunk);
        item_set_meta(it, meta);
        if (meta & ITEM_HAS_EXT) {
            item_set_ext(it, meta, (struct item_ext){ 0x11111111, 0x2222, 0x3333 });
        }
        if (meta & ITEM_HAS_FLAGS) {
            item_store_word(it, meta_ext_at(meta) + 8, 0x44444444);
        }
        if (meta & ITEM_HAS_CAS) {
            item_store_word(it, meta_cas_at(meta), 0x5555555555555555);
        }
        item_put_bytes(it, meta_key_at(meta), "key", 3);
        struct item_ext x = item_ext(it, meta);
        cr_expect_eq(x.expires, meta & ITEM_HAS_EXT ? 0x11111111 : 0, "bits %u", bits);
        cr_expect_eq(x.touches, meta & ITEM_HAS_EXT ? 0x2222 : 0, "bits %u", bits);
        cr_expect_eq(item_flags(it, meta),
                     meta & ITEM_HAS_FLAGS ? 0x44444444
                     : meta & ITEM_HAS_EXT ? 0x3333
                                           : 0,
                     "bits %u", bits);
        cr_expect_eq(item_own_cas(it, meta), meta & ITEM_HAS_CAS ? 0x5555555555555555 : 0,
                     "bits %u", bits);
        cr_expect(item_key_is(it, meta_key_at(meta), slice_of("key", 3)), "bits %u", bits);
        cr_expect_eq(meta_key_at(meta) % 8, 0, "bits %u", bits);
    }
}
