/*
 * keys.h - the keys of a load, how they are chosen, and the values that belong to them.
 *
 * A key's name, value and client flags follow from its number alone, so that any answer can be
 * verified without remembering what was stored.  Values are pieces of one block of random bytes:
 * nothing has to be made while the clock runs.  Where a piece begins depends on its length too,
 * so that a value that was cut shows.
 *
 * After keys_init() nothing changes: any thread.
 */
#pragma once
#include "base/err.h"
#include "base/rng.h"
#include "base/slice.h"
#include "bench/dist.h"
#include "bench/zipf.h"
#include <stdbool.h>
#include <stdint.h>

#define KEYS_NAME_MAX 250               /* bytes of a key */
#define KEYS_MAX      (UINT64_C(1) << 31) /* keys */

/* What the keys of a load are like; part of its plan. */
struct keys_config {
    uint64_t    count;     /* 1..KEYS_MAX */
    uint64_t    counters;  /* 1..KEYS_MAX; they are other keys, for increments */
    struct dist name_len;  /* bytes; at least keys_name_min(), at most KEYS_NAME_MAX */
    struct dist value_len; /* bytes */
    struct dist ttl;       /* seconds, 0: for ever */
    double      zipf;      /* exponent; 0: every key is as likely as the others */
    uint64_t    seed;      /* of the values */
    bool        flags;     /* client flags follow from the key; else they are 0 */
};

struct keys {
    struct keys_config config;
    struct zipf        zipf, zipf_counters;
    struct dist_table  name_len, value_len, ttl;
    char              *pattern;
};

/* The shortest names that hold so many keys, bytes. */
size_t keys_name_min(const struct keys_config *c);

/* Fails with ERR_NOMEM. */
MUST_CHECK err_t keys_init(struct keys *k, const struct keys_config *c);
void keys_fini(struct keys *k);

/* The number of the next key, or counter, to ask for: 0..count-1. */
uint64_t keys_pick(const struct keys *k, struct rng *r);
uint64_t keys_pick_counter(const struct keys *k, struct rng *r);
/* How long the next value is to be kept, seconds; 0: for ever. */
uint32_t keys_pick_ttl(const struct keys *k, struct rng *r);

/* Write a name to out, which has KEYS_NAME_MAX bytes and lends the result. */
struct slice keys_name(const struct keys *k, uint64_t id, char *out);
struct slice keys_counter_name(const struct keys *k, uint64_t id, char *out);

/* Lent until keys_fini(). */
struct slice keys_value(const struct keys *k, uint64_t id);
/* ... of a key that goes by another name: its hash; len is at most value_len.max. */
struct slice keys_value_of(const struct keys *k, uint64_t hash, uint32_t len);
uint32_t keys_flags(const struct keys *k, uint64_t id);
