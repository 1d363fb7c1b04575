/*
 * item.h - how an item lies in memory.
 *
 * A chunk of the arena is one of four kinds: free, an item in the table, a piece of a large value,
 * or private (being filled by the thread that allocated it).  All start with the same 16 bytes:
 *
 *     version   u64   HLC stamp (item) | next piece (piece) | next free chunk of the page (free)
 *     seen      u32   last access << 3 | fetched << 2 | frequency 0..3
 *     meta      u32   key length 8 | size 12 | bits 12 (item) | bytes in it 20 | kind (piece)
 *
 * behind which an item has, each only if its bit says so and in this order,
 *
 *     BIG       u32 value bytes, u32 references, u64 first piece     16 bytes
 *     EXT       u32 expires, u16 touches, u16 client flags            8 bytes
 *     FLAGS32   u32 client flags that need more than 16 bits          8 bytes
 *     CAS       u64 cas unique chosen by a client (meta E)            8 bytes
 *
 * then the key, which so starts at a multiple of 8, and right behind it the value.  An item of a
 * short value without expiry or flags costs 16 bytes.  Values of ITEM_BIG bytes and more are BIG
 * (with EXT, FLAGS32 and, unless clients see none, CAS, which are then nothing beside the value):
 * readers hold them by reference instead of copying them.
 *
 * Readers look at items while writers reuse them; a bucket's sequence tells them afterwards.  So
 * every word that a reader may see is read and written by relaxed atomics, eight bytes at a time.
 * meta of a linked item changes only under its bucket's lock; seen is a hint, written under the
 * bucket's lock (hits) or the class's (the clock hand, which may come too late and write into what
 * the chunk has become: nothing may depend on it).
 */
#pragma once
#include "base/slice.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct item {
    _Atomic uint64_t version;
    _Atomic uint32_t seen;
    _Atomic uint32_t meta;
};
static_assert(sizeof(struct item) == 16, "an item's header is 16 bytes");

#define ITEM_BIG 4096u /* bytes of value; from here on values are pinned, not copied */

#define ITEM_SIZE_SHIFT 8
#define ITEM_SIZE_MASK  0xfffu

enum item_kind { ITEM_FREE, ITEM_LINKED, ITEM_PIECE, ITEM_PRIVATE };
#define ITEM_KIND_SHIFT 20

enum item_bits {
    ITEM_IS_BIG = 1 << 22,
    ITEM_HAS_EXT = 1 << 23,
    ITEM_HAS_FLAGS = 1 << 24,
    ITEM_HAS_CAS = 1 << 25,
    ITEM_KEY_BINARY = 1 << 26,
    ITEM_STALE = 1 << 27,
    ITEM_WIN_SENT = 1 << 28,
    ITEM_TOMBSTONE = 1 << 29,
    ITEM_MAIN = 1 << 30, /* swept by the clock hand; without it: in the small queue */
};
#define ITEM_TEMP   (1u << 31) /* waits for its end, in no queue */
#define ITEM_LAYOUT (ITEM_IS_BIG | ITEM_HAS_EXT | ITEM_HAS_FLAGS | ITEM_HAS_CAS)

/* The BIG part, at offset 16. */
struct item_big {
    _Atomic uint32_t size;  /* bytes of the value */
    _Atomic uint32_t refs;  /* 1 for being linked or private, and one for each reader */
    _Atomic uint64_t piece; /* handle of the first piece; 0: the value lies behind the key */
};

/*
 * Of a private BIG item, whose meta has no use for a size: pieces for the end of its value, maybe
 * for all of it, are still to be chained (store_extend).  Such an item is never linked.
 */
#define ITEM_GROWS (1u << ITEM_SIZE_SHIFT)

/* A piece of a large value. version: handle of the next piece, 0 at the end. */
struct piece {
    struct item head;
    _Atomic uint64_t owner; /* handle of its item */
};
#define PIECE_HEADER     ((uint32_t)sizeof(struct piece))
#define PIECE_BYTES_MASK 0xfffffu /* of meta; a page is 1 MiB at most */

/* True of a private item whose value has not got all of its memory. */
static inline bool
meta_grows(uint32_t meta)
{
    return (meta & (ITEM_IS_BIG | ITEM_GROWS)) == (ITEM_IS_BIG | ITEM_GROWS);
}

#define SEEN_FREQ_MASK 3u
#define SEEN_FETCHED   4u
#define SEEN_SHIFT     3

static inline uint32_t
item_meta(const struct item *it)
{
    return atomic_load_explicit(&it->meta, memory_order_relaxed);
}

static inline void
item_set_meta(struct item *it, uint32_t meta)
{
    atomic_store_explicit(&it->meta, meta, memory_order_relaxed);
}

static inline enum item_kind
meta_kind(uint32_t meta)
{
    return (enum item_kind)(meta >> ITEM_KIND_SHIFT & 3);
}

static inline uint32_t
meta_with_kind(uint32_t meta, enum item_kind kind)
{
    return (meta & ~(3u << ITEM_KIND_SHIFT)) | (uint32_t)kind << ITEM_KIND_SHIFT;
}

static inline uint32_t
meta_key_len(uint32_t meta)
{
    return meta & 0xff;
}

/* For each of the 16 layouts, in four bits, how many words lie before the key: every look-up asks
 * for that more than once. */
#define LAYOUT_WORDS_1(i)                                                                      \
    ((uint64_t)(2 + ((i) & 1) * 2 + ((i) >> 1 & 1) + ((i) >> 2 & 1) + ((i) >> 3 & 1)) << (i) * 4)
#define LAYOUT_WORDS_4(i) \
    (LAYOUT_WORDS_1(i) | LAYOUT_WORDS_1((i) + 1) | LAYOUT_WORDS_1((i) + 2) | \
     LAYOUT_WORDS_1((i) + 3))
#define LAYOUT_WORDS \
    (LAYOUT_WORDS_4(0) | LAYOUT_WORDS_4(4) | LAYOUT_WORDS_4(8) | LAYOUT_WORDS_4(12))
static_assert(ITEM_IS_BIG == 1 << 22 && ITEM_HAS_EXT == 1 << 23 && ITEM_HAS_FLAGS == 1 << 24 &&
                  ITEM_HAS_CAS == 1 << 25,
              "the bits of a layout are those of LAYOUT_WORDS' index");

/* Bytes before the key. */
static inline uint32_t
meta_key_at(uint32_t meta)
{
    return (uint32_t)(LAYOUT_WORDS >> (meta >> 20 & 0x3c) & 15) * 8;
}

static inline uint32_t
piece_bytes(const struct item *piece)
{
    return item_meta(piece) & PIECE_BYTES_MASK;
}

static inline void
piece_set_bytes(struct item *piece, uint32_t n)
{
    assert(n > 0 && n <= PIECE_BYTES_MASK);
    item_set_meta(piece, meta_with_kind(n, ITEM_PIECE));
}

static inline uint64_t
item_load_version(const struct item *it)
{
    return atomic_load_explicit(&it->version, memory_order_relaxed);
}

static inline void
item_store_version(struct item *it, uint64_t v)
{
    atomic_store_explicit(&it->version, v, memory_order_relaxed);
}

static inline uint32_t
item_seen(const struct item *it)
{
    return atomic_load_explicit(&it->seen, memory_order_relaxed);
}

static inline void
item_set_seen(struct item *it, uint32_t seen)
{
    atomic_store_explicit(&it->seen, seen, memory_order_relaxed);
}

/* The word at a byte offset that is a multiple of 8. */
static inline _Atomic uint64_t *
item_word(const struct item *it, uint32_t at)
{
    return (_Atomic uint64_t *)((uintptr_t)it + at);
}

static inline uint64_t
item_load_word(const struct item *it, uint32_t at)
{
    return atomic_load_explicit(item_word(it, at), memory_order_relaxed);
}

static inline void
item_store_word(struct item *it, uint32_t at, uint64_t v)
{
    atomic_store_explicit(item_word(it, at), v, memory_order_relaxed);
}

static inline struct item_big *
item_big(const struct item *it)
{
    return (struct item_big *)((uintptr_t)it + 16);
}

/* Bytes of the value, of any item. */
static inline uint32_t
item_size(const struct item *it, uint32_t meta)
{
    return meta & ITEM_IS_BIG ? atomic_load_explicit(&item_big(it)->size, memory_order_relaxed)
                              : meta >> ITEM_SIZE_SHIFT & ITEM_SIZE_MASK;
}

/* The handle of the first piece; 0: the value is not in pieces. */
static inline uint64_t
item_first_piece(const struct item *it, uint32_t meta)
{
    return meta & ITEM_IS_BIG ? atomic_load_explicit(&item_big(it)->piece, memory_order_relaxed)
                              : 0;
}

/* The EXT word in parts; all zero without one. */
struct item_ext {
    uint32_t expires;
    uint16_t touches;
    uint16_t flags;
};

static inline uint32_t
meta_ext_at(uint32_t meta)
{
    return meta & ITEM_IS_BIG ? 32 : 16;
}

static inline struct item_ext
item_ext(const struct item *it, uint32_t meta)
{
    if (!(meta & ITEM_HAS_EXT)) {
        return (struct item_ext){ 0, 0, 0 };
    }
    uint64_t w = item_load_word(it, meta_ext_at(meta));
    return (struct item_ext){ (uint32_t)w, (uint16_t)(w >> 32), (uint16_t)(w >> 48) };
}

static inline void
item_set_ext(struct item *it, uint32_t meta, struct item_ext x)
{
    assert(meta & ITEM_HAS_EXT);
    item_store_word(it, meta_ext_at(meta),
                    x.expires | (uint64_t)x.touches << 32 | (uint64_t)x.flags << 48);
}

static inline uint32_t
item_flags(const struct item *it, uint32_t meta)
{
    if (meta & ITEM_HAS_FLAGS) {
        return (uint32_t)item_load_word(it, meta_ext_at(meta) + (meta & ITEM_HAS_EXT ? 8 : 0));
    }
    return item_ext(it, meta).flags;
}

static inline uint32_t
meta_cas_at(uint32_t meta)
{
    return meta_key_at(meta) - 8;
}

/* The cas that a client chose, or 0. */
static inline uint64_t
item_own_cas(const struct item *it, uint32_t meta)
{
    return meta & ITEM_HAS_CAS ? item_load_word(it, meta_cas_at(meta)) : 0;
}

/* Bytes that the item takes in its own chunk: with pieces, the value is not among them. */
static inline uint32_t
item_chunk_bytes(const struct item *it, uint32_t meta)
{
    uint32_t n = meta_key_at(meta) + meta_key_len(meta);

    return item_first_piece(it, meta) != 0 ? n : n + item_size(it, meta);
}

/*
 * Copies bytes into a chunk at any offset, by whole relaxed words.  The chunk is the caller's alone
 * (or its bucket is locked); words at both ends keep their other bytes.
 */
void item_put_bytes(struct item *it, uint32_t at, const void *bytes, size_t n);

/*
 * Copies n bytes at offset `at` of a chunk out to room, by whole relaxed words: room is 8-byte
 * aligned and has (n + 14) / 8 * 8 bytes.  Returns where in room the bytes start.
 */
const char *item_get_bytes(const struct item *it, uint32_t at, uint32_t n, uint64_t *room);

/* The bytes of a word in memory order, whatever the machine's. */
static inline uint64_t
word_load(const void *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof w);
    return w;
}

/* True if the first n bytes of a word, 1 to 7, are those that another ends with. */
static inline bool
word_starts_as_ends(uint64_t starts, uint64_t ends, size_t n)
{
    unsigned others = 64 - 8 * (unsigned)n;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return ((starts << others) ^ ends) >> others == 0;
#else
    return ((starts >> others) ^ ends) << others == 0;
#endif
}

/* True if the item's key, which starts at key_at and whose length was found equal, is key. */
static inline bool
item_key_is(const struct item *it, uint32_t key_at, struct slice key)
{
    const _Atomic uint64_t *w = item_word(it, key_at);
    const char *p = key.ptr;
    size_t n = key.len;
    uint64_t diff = 0;

    for (; n >= 8; n -= 8, p += 8, w++) {
        diff |= atomic_load_explicit(w, memory_order_relaxed) ^ word_load(p);
    }
    if (n == 0 || diff != 0) {
        return diff == 0;
    }
    uint64_t have = atomic_load_explicit(w, memory_order_relaxed);
    return key.len >= 8 ? word_starts_as_ends(have, word_load(p + n - 8), n)
                        : memcmp(&have, p, n) == 0;
}
