/* infos.c - one copy of what many nodes hold of a member. */
#include "swarm.h"

#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

struct kept {
    struct kept *next;
    struct member_info info;
};

struct infos {
    struct kept **bucket;
    size_t buckets, count;
};

static void *
need(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

struct infos *
infos_new(void)
{
    struct infos *t = need(calloc(1, sizeof *t));

    t->buckets = 16384;
    t->bucket = need(calloc(t->buckets, sizeof *t->bucket));
    return t;
}

void
infos_free(struct infos *t)
{
    for (size_t i = 0; i < t->buckets; i++) {
        while (t->bucket[i]) {
            struct kept *k = t->bucket[i];

            t->bucket[i] = k->next;
            free(k);
        }
    }
    free(t->bucket);
    free(t);
}

const struct member_info *
infos_keep(struct infos *t, const struct member_info *info)
{
    uint64_t hash;
    struct kept *k;

    if (!info) {
        return NULL;
    }
    hash = (info->id ^ info->incarnation * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    hash = (hash ^ hash >> 32) % t->buckets;
    for (k = t->bucket[hash]; k; k = k->next) {
        if (&k->info == info || memcmp(&k->info, info, sizeof *info) == 0) {
            return &k->info;
        }
    }
    k = need(malloc(sizeof *k));
    memcpy(&k->info, info, sizeof *info);
    k->next = t->bucket[hash];
    t->bucket[hash] = k;
    t->count++;
    return &k->info;
}
