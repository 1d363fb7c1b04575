/*
 * keys.h - the keys of a load, how they are chosen, and the values that belong to them.
 *
 * A key's value and client flags follow from its number alone, so that any answer can be verified
 * without remembering what was stored.  Values are pieces of one block of random
 * bytes: nothing has to be made while the clock runs.
 */
#pragma once
#include "base/err.h"
#include "base/rng.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define KEYS_NAME_MIN 12 /* bytes of a key */
#define KEYS_NAME_MAX 250

/* Constants of a Zipf distribution; see keys.c. */
struct keys_zipf {
    double exponent; /* 0: every key is as likely as the others */
    double top, bottom, shortcut;
};

struct keys {
    uint64_t         count;
    size_t           name_len;
    uint32_t         value_min, value_max; /* bytes */
    struct keys_zipf zipf;
    char            *pattern;
};

/* count is 1..2^31, value_min <= value_max; exponent as in keys_zipf.  Fails with ERR_NOMEM. */
MUST_CHECK err_t keys_init(struct keys *k, uint64_t count, size_t name_len, uint32_t value_min,
                           uint32_t value_max, double exponent, uint64_t seed);
void keys_fini(struct keys *k);

/* The number of the next key to ask for, 0..count-1. */
uint64_t keys_pick(const struct keys *k, struct rng *r);
/* Writes name_len bytes. */
void keys_write_name(const struct keys *k, uint64_t id, char *out);
/* Lent until keys_fini(). */
struct slice keys_value(const struct keys *k, uint64_t id);
uint32_t keys_flags(uint64_t id);
