/*
 * ketama.h - the rings of libmemcached, point for point.
 *
 * A ring is a sorted list of points, 32 bits each, with the server that each belongs to; a key
 * belongs to the first point that is not below its hash, or to the first of all.  Two kinds, as
 * libmemcached 1.1 makes them on amd64 (clients differ in nothing else):
 *   weighted   MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED: about 160 points for a fair share of the weight,
 *              four of each md5; keys by md5
 *   oat        MEMCACHED_BEHAVIOR_KETAMA: 100 points for each server, whatever its weight; points
 *              and keys by one_at_a_time
 * A server is named by the text its clients were given, and by its port unless that is 11211; of
 * two equal points the one of the server that was named first counts.
 *
 * It is the same on every machine: integers, and in the number of points IEEE floats of 32 bits
 * that are rounded after every step.  Immutable once made; any thread may look up.
 */
#pragma once
#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

enum ketama_kind { KETAMA_WEIGHTED, KETAMA_OAT };

struct ketama_server {
    const char *host;   /* as clients write it */
    uint16_t    port;
    uint32_t    weight; /* 0 counts as 1 */
};

struct ketama_point {
    uint32_t value;
    uint32_t server; /* as which it was named, from 0 */
};

/* Open to ketama_find(). */
struct ketama {
    struct ketama_point *point;  /* count of them, and one with the greatest value and the server of
                                    the first: where the ring closes */
    uint32_t            *bucket; /* for the top bits of a hash: the first point that may be it */
    uint32_t             count;
    unsigned             shift;  /* of a hash down to its top bits */
};

/* The ring of servers, at least one.  NULL without memory.  Gives. */
struct ketama *ketama_new(enum ketama_kind kind, const struct ketama_server *servers, size_t count);
/* The ring of points in any order, at least one.  Takes *points, which malloc() gave.  NULL without
 * memory.  Gives. */
struct ketama *ketama_of(struct ketama_point **points, size_t count);
void ketama_free(struct ketama *k);

/* How keys are hashed. */
uint32_t ketama_md5(struct slice key);
uint32_t ketama_oat(struct slice key);

/* The points that a weighted ring has for a server: of live ones with this total of weights. */
uint32_t ketama_share(uint32_t weight, uint64_t total, uint32_t live);

/* The place in point[] of the point that a key of this hash belongs to, 0..count: count is place 0
 * once more.  O(1): the buckets are as many as the points, at least. */
static inline uint32_t
ketama_find(const struct ketama *k, uint32_t hash)
{
    uint32_t at = k->bucket[hash >> k->shift];

    while (k->point[at].value < hash) {
        at++;
    }
    return at;
}
