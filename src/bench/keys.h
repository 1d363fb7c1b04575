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

/* What the keys of a load are like; part of its plan. */
struct keys_config {
    uint64_t count;     /* 1..2^31 */
    size_t   name_len;  /* bytes */
    uint32_t value_min, value_max; /* bytes */
    double   zipf;      /* exponent; 0: every key is as likely as the others */
    uint64_t seed;      /* of the values */
};

/* Constants of a Zipf distribution; see keys.c. */
struct keys_zipf {
    double exponent, top, bottom, shortcut;
};

struct keys {
    struct keys_config config;
    struct keys_zipf   zipf;
    char              *pattern;
};

/* Fails with ERR_NOMEM. */
MUST_CHECK err_t keys_init(struct keys *k, const struct keys_config *c);
void keys_fini(struct keys *k);

/* The number of the next key to ask for, 0..count-1. */
uint64_t keys_pick(const struct keys *k, struct rng *r);
/* Writes name_len bytes. */
void keys_write_name(const struct keys *k, uint64_t id, char *out);
/* Lent until keys_fini(). */
struct slice keys_value(const struct keys *k, uint64_t id);
uint32_t keys_flags(uint64_t id);
