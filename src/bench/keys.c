#include "bench/keys.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_LEN 2u
#define OFFSETS    UINT64_C(65521) /* places in the pattern where values begin */
/* A prime above any count: neighbours in rank are not neighbours in number. */
#define SCATTER    UINT64_C(2654435761)
#define GOLDEN     UINT64_C(0x9e3779b97f4a7c15)

/* An even mix of the bits of a number. */
static uint64_t
id_mix(uint64_t id)
{
    id += GOLDEN;
    id = (id ^ (id >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    id = (id ^ (id >> 27)) * UINT64_C(0x94d049bb133111eb);
    return id ^ (id >> 31);
}

size_t
keys_name_min(const struct keys_config *c)
{
    uint64_t last = (c->count > c->counters ? c->count : c->counters) - 1;
    size_t len = PREFIX_LEN + 1;

    for (; last >= 10; last /= 10) {
        len++;
    }
    return len;
}

err_t
keys_init(struct keys *k, const struct keys_config *c)
{
    size_t pattern_len = c->value_len.max + OFFSETS + sizeof(uint64_t);
    struct rng r;

    assert(c->count > 0 && c->count < SCATTER && c->counters > 0 && c->counters < SCATTER);
    assert(c->name_len.min >= keys_name_min(c) && c->name_len.max <= KEYS_NAME_MAX);
    *k = (struct keys){ .config = *c };
    if (c->zipf > 0) {
        zipf_init(&k->zipf, c->zipf, c->count);
        zipf_init(&k->zipf_counters, c->zipf, c->counters);
    }
    dist_table_init(&k->name_len, &c->name_len);
    dist_table_init(&k->value_len, &c->value_len);
    dist_table_init(&k->ttl, &c->ttl);
    k->pattern = malloc(pattern_len);
    if (!k->pattern) {
        return ERR_NOMEM;
    }
    rng_init(&r, c->seed);
    for (size_t at = 0; at + sizeof(uint64_t) <= pattern_len; at += sizeof(uint64_t)) {
        uint64_t bits = rng_next(&r);

        memcpy(k->pattern + at, &bits, sizeof bits);
    }
    return ERR_OK;
}

void
keys_fini(struct keys *k)
{
    free(k->pattern);
    k->pattern = NULL;
}

static uint64_t
id_pick(const struct keys *k, const struct zipf *z, uint64_t count, struct rng *r)
{
    return k->config.zipf > 0 ? zipf_rank(z, r) * SCATTER % count : rng_below(r, count);
}

uint64_t
keys_pick(const struct keys *k, struct rng *r)
{
    return id_pick(k, &k->zipf, k->config.count, r);
}

uint64_t
keys_pick_counter(const struct keys *k, struct rng *r)
{
    return id_pick(k, &k->zipf_counters, k->config.counters, r);
}

uint32_t
keys_pick_ttl(const struct keys *k, struct rng *r)
{
    return k->config.ttl.max == 0 ? 0 : dist_pick(&k->ttl, rng_next(r));
}

/* The prefix and the number, as long as the number wants it. */
static struct slice
name_write(const struct keys *k, const char *prefix, uint64_t id, char *out)
{
    size_t len = dist_pick(&k->name_len, id_mix(~id));

    memcpy(out, prefix, PREFIX_LEN);
    memset(out + PREFIX_LEN, '0', len - PREFIX_LEN);
    for (size_t at = len; id > 0; id /= 10) {
        out[--at] = (char)('0' + id % 10);
    }
    return slice_of(out, len);
}

struct slice
keys_name(const struct keys *k, uint64_t id, char *out)
{
    return name_write(k, "k-", id, out);
}

struct slice
keys_counter_name(const struct keys *k, uint64_t id, char *out)
{
    return name_write(k, "c-", id, out);
}

struct slice
keys_value_of(const struct keys *k, uint64_t hash, uint32_t len)
{
    return slice_of(k->pattern + id_mix(hash ^ (uint64_t)len << 32) % OFFSETS, len);
}

struct slice
keys_value(const struct keys *k, uint64_t id)
{
    return keys_value_of(k, id, dist_pick(&k->value_len, id_mix(id)));
}

uint32_t
keys_flags(const struct keys *k, uint64_t id)
{
    return k->config.flags ? (uint32_t)id_mix(id) : 0;
}
