#include "store/item.h"

void
item_put_bytes(struct item *it, uint32_t at, const void *bytes, size_t n)
{
    const char *p = bytes;
    uint32_t skew = at & 7;

    at -= skew;
    if (skew != 0 && n > 0) {
        uint64_t w = item_load_word(it, at);
        size_t part = n < 8 - skew ? n : 8 - skew;
        memcpy((char *)&w + skew, p, part);
        item_store_word(it, at, w);
        p += part;
        n -= part;
        at += 8;
    }
    _Atomic uint64_t *to = item_word(it, at);
#pragma GCC unroll 4
    for (size_t words = n / 8; words > 0; words--, p += 8, to++) {
        atomic_store_explicit(to, word_load(p), memory_order_relaxed);
    }
    n %= 8;
    if (n > 0) {
        uint64_t w = atomic_load_explicit(to, memory_order_relaxed);
        memcpy(&w, p, n);
        atomic_store_explicit(to, w, memory_order_relaxed);
    }
}

const char *
item_get_bytes(const struct item *it, uint32_t at, uint32_t n, uint64_t *room)
{
    uint32_t skew = at & 7;
    uint32_t words = (skew + n + 7) / 8;
    const _Atomic uint64_t *from = item_word(it, at - skew);

#pragma GCC unroll 4
    for (uint32_t i = 0; i < words; i++) {
        room[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    }
    return (const char *)room + skew;
}
