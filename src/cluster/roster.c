#include "cluster/roster.h"
#include "base/panic.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_FIRST 8

static_assert(sizeof(struct member) == 32, "there may be thousands at each of thousands of nodes");
static_assert(CLUSTER_MEMBERS_MAX < ROSTER_NONE, "an index has 16 bits");

const struct member_info *
roster_share(const struct roster *r, const struct member_info *info)
{
    struct member_info *copy;

    if (r->store.share != NULL) {
        return r->store.share(r->store.arg, info);
    }
    copy = malloc(sizeof *copy);
    if (copy != NULL) {
        *copy = *info;
    }
    return copy;
}

void
roster_release(const struct roster *r, const struct member_info *info)
{
    if (r->store.share != NULL) {
        r->store.release(r->store.arg, info);
    } else {
        free((void *)(uintptr_t)info);
    }
}

void
roster_init(struct roster *r, const struct roster_share *store, uint64_t salt)
{
    assert((store->share == NULL) == (store->release == NULL));
    *r = (struct roster){ .store = *store, .salt = salt };
}

void
roster_fini(struct roster *r)
{
    for (size_t i = 0; i < r->count; i++) {
        roster_release(r, r->at[i].info);
    }
    free(r->at);
    free(r->table);
    free(r->round);
}

/* -- by id ------------------------------------------------------------------------------------- */

static size_t
table_start(const struct roster *r, node_id id)
{
    uint64_t x = (id ^ r->salt) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(x >> 32) & r->mask;
}

static void
table_put(struct roster *r, node_id id, uint16_t index)
{
    size_t i = table_start(r, id);

    while (r->table[i] != ROSTER_NONE) {
        i = (i + 1) & r->mask;
    }
    r->table[i] = index;
}

/* Makes a table of so many places, a power of two, anew. */
static bool
table_make(struct roster *r, size_t places)
{
    uint16_t *table = malloc(places * sizeof *table);

    if (table == NULL) {
        return false;
    }
    free(r->table);
    r->table = table;
    r->mask = places - 1;
    memset(table, 0xff, places * sizeof *table);
    for (size_t i = 0; i < r->count; i++) {
        table_put(r, r->at[i].info->id, (uint16_t)i);
    }
    return true;
}

uint16_t
roster_find(const struct roster *r, node_id id)
{
    if (r->count == 0) {
        return ROSTER_NONE;
    }
    for (size_t i = table_start(r, id); r->table[i] != ROSTER_NONE; i = (i + 1) & r->mask) {
        if (r->at[r->table[i]].info->id == id) {
            return r->table[i];
        }
    }
    return ROSTER_NONE;
}

static bool
roster_grow(struct roster *r)
{
    size_t         capacity = r->capacity == 0 ? CAPACITY_FIRST : r->capacity + r->capacity / 2;
    struct member *at;

    if (r->table == NULL || 4 * (r->count + 1) > 3 * (r->mask + 1)) {
        if (!table_make(r, r->table == NULL ? 2 * CAPACITY_FIRST : 2 * (r->mask + 1))) {
            return false;
        }
    }
    if (r->count < r->capacity) {
        return true;
    }
    at = realloc(r->at, capacity * sizeof *at);
    if (at == NULL) {
        return false;
    }
    r->at = at;
    r->capacity = capacity;
    return true;
}

uint16_t
roster_add(struct roster *r, const struct member_info *info, usec_t now)
{
    DEBUG_ASSERT(roster_find(r, info->id) == ROSTER_NONE);
    assert(r->count < CLUSTER_MEMBERS_MAX);
    if (!roster_grow(r)) {
        roster_release(r, info);
        return ROSTER_NONE;
    }
    r->at[r->count] = (struct member){
        .info = info,
        .since = now,
        .heard = (uint32_t)(now >> 10) - UINT32_MAX / 2,
        .suspicion = ROSTER_NONE,
        .rumour = ROSTER_NONE,
        .state = MEMBER_ALIVE,
    };
    table_put(r, info->id, (uint16_t)r->count);
    return (uint16_t)r->count++;
}

/* Takes an id out of the table and closes the gap. */
static void
table_remove(struct roster *r, node_id id)
{
    size_t gap = table_start(r, id);
    size_t i;

    while (r->at[r->table[gap]].info->id != id) {
        gap = (gap + 1) & r->mask;
    }
    for (i = (gap + 1) & r->mask; r->table[i] != ROSTER_NONE; i = (i + 1) & r->mask) {
        size_t start = table_start(r, r->at[r->table[i]].info->id);

        /* It may move unless its search begins behind the gap. */
        if (((i - start) & r->mask) >= ((i - gap) & r->mask)) {
            r->table[gap] = r->table[i];
            gap = i;
        }
    }
    r->table[gap] = ROSTER_NONE;
}

void
roster_remove(struct roster *r, uint16_t index, uint16_t *ret_moved)
{
    uint16_t last = (uint16_t)(r->count - 1);
    size_t   kept = 0;

    assert(index < r->count && r->at[index].suspicion == ROSTER_NONE);
    for (size_t i = 0; i < r->round_count; i++) {
        if (r->round[i] == index) {
            r->round_at -= i < r->round_at;
            continue;
        }
        r->round[kept++] = r->round[i] == last ? index : r->round[i];
    }
    r->round_count = kept;
    table_remove(r, r->at[index].info->id);
    roster_release(r, r->at[index].info);
    if (index != last) {
        table_remove(r, r->at[last].info->id);
        r->at[index] = r->at[last];
        table_put(r, r->at[index].info->id, index);
    }
    r->count--;
    *ret_moved = last;
}

/* -- the round --------------------------------------------------------------------------------- */

bool
roster_round_add(struct roster *r, uint16_t index, struct rng *rng)
{
    size_t place;

    if (r->at[index].in_round) {
        return true;
    }
    if (r->round_count == r->round_capacity) {
        size_t    capacity = r->round_capacity == 0 ? CAPACITY_FIRST : r->round_capacity * 3 / 2;
        uint16_t *round = realloc(r->round, capacity * sizeof *round);

        if (round == NULL) {
            return false;
        }
        r->round = round;
        r->round_capacity = capacity;
    }
    place = (size_t)rng_below(rng, r->round_count + 1);
    r->round[r->round_count] = r->round[place];
    r->round[place] = index;
    r->round_count++;
    r->at[index].in_round = true;
    return true;
}

/* A new round: without those that are gone, in another order. */
static void
round_renew(struct roster *r, struct rng *rng)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->round_count; i++) {
        if (member_is_here(&r->at[r->round[i]])) {
            r->round[kept++] = r->round[i];
        } else {
            r->at[r->round[i]].in_round = false;
        }
    }
    r->round_count = kept;
    r->round_at = 0;
    for (size_t i = kept; i > 1; i--) {
        size_t   j = (size_t)rng_below(rng, i);
        uint16_t one = r->round[i - 1];

        r->round[i - 1] = r->round[j];
        r->round[j] = one;
    }
}

uint16_t
roster_round_next(struct roster *r, struct rng *rng)
{
    for (int round = 0; round < 2; round++) {
        while (r->round_at < r->round_count) {
            uint16_t index = r->round[r->round_at++];

            if (member_is_here(&r->at[index])) {
                return index;
            }
        }
        round_renew(r, rng);
    }
    return ROSTER_NONE;
}
