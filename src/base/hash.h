/*
 * hash.h - the hash of keys: XXH3, 64 bits, seed 0, as libxxhash 0.8 defines it.
 *
 * The function may be written to disk and sent to other nodes, so it is part of those formats:
 * another function needs another format version.  It is not secret; do not rely on it against
 * clients that choose keys that collide.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* The library's inline code is not written to our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#define XXH_INLINE_ALL
#include <xxhash.h>
#pragma GCC diagnostic pop

static inline uint64_t
hash_bytes(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

/* The same hash of bytes that come in parts. */
struct hash_stream {
    XXH3_state_t state;
};

static inline void
hash_stream_init(struct hash_stream *h)
{
    (void)XXH3_64bits_reset(&h->state);
}

static inline void
hash_stream_add(struct hash_stream *h, const void *bytes, size_t n)
{
    (void)XXH3_64bits_update(&h->state, bytes, n);
}

static inline uint64_t
hash_stream_end(struct hash_stream *h)
{
    return XXH3_64bits_digest(&h->state);
}
