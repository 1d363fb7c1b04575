#include "cluster/swim_impl.h"

#include <assert.h>
#include <stdlib.h>

#define HASTE 16 /* a node that is alone looks for others so much more often at first */

static usec_t
sync_interval(const struct swim *s)
{
    size_t n = swim_alive(s);
    usec_t times = 1;

    for (size_t up_to = 32; up_to < n; up_to *= 2) { /* ceil(log2 n - 5) + 1 */
        times++;
    }
    return s->config.sync_interval * times;
}

void
swim_join_init(struct swim *s)
{
    s->sync_at = s->now + (usec_t)rng_below(&s->rng, (uint64_t)s->config.sync_interval);
    s->rejoin_wait = s->config.rejoin_interval / HASTE + 1;
    s->rejoin_at = s->now + swim_vary(s, s->rejoin_wait);
    s->eager = EAGER_MAX;
}

static void
sync_with(struct swim *s, const struct cluster_addr *addr)
{
    for (size_t i = 0; i < s->sync_count; i++) {
        if (addr_equal(&s->sync[i], addr)) {
            return;
        }
    }
    if (s->sync_count < SYNCS_MAX) {
        s->sync[s->sync_count++] = *addr;
    }
}

/* -- seeds ------------------------------------------------------------------------------------- */

/* True if somebody who is alive, or suspected, or this node, is at that place. */
static bool
seed_is_held(struct swim *s, struct seed *seed)
{
    const struct roster *r = &s->roster;

    if (seed->member != ROSTER_NONE && member_is_here(&r->at[seed->member]) &&
        addr_equal(&r->at[seed->member].info->addr, &seed->addr)) {
        return true;
    }
    for (size_t i = 0; i < r->count; i++) {
        if ((i == 0 || member_is_here(&r->at[i])) &&
            addr_equal(&r->at[i].info->addr, &seed->addr)) {
            seed->member = (uint16_t)i;
            return true;
        }
    }
    seed->member = ROSTER_NONE;
    return false;
}

static void
seeds_drop_stale(struct swim *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->seed_count; i++) {
        if (!s->seed[i].stale) {
            s->seed[kept++] = s->seed[i];
        }
    }
    s->seed_count = kept;
}

void
swim_seeds_forget(struct swim *s)
{
    seeds_drop_stale(s);
    for (size_t i = 0; i < s->seed_count; i++) {
        s->seed[i].stale = true;
    }
}

void
swim_seed(struct swim *s, const struct cluster_addr *addr)
{
    struct seed *seed;
    bool         held;

    for (size_t i = 0; i < s->seed_count; i++) {
        if (addr_equal(&s->seed[i].addr, addr)) {
            s->seed[i].stale = false;
            return;
        }
    }
    if (s->seed_count == SWIM_SEEDS_MAX) {
        seeds_drop_stale(s);
    }
    if (s->seed_count == SWIM_SEEDS_MAX) {
        return;
    }
    seed = realloc(s->seed, (s->seed_count + 1) * sizeof *seed);
    if (seed == NULL) {
        s->starved = true;
        return;
    }
    s->seed = seed;
    seed += s->seed_count++;
    *seed = (struct seed){ .addr = *addr, .member = ROSTER_NONE };
    held = seed_is_held(s, seed);
    if (!held && s->eager > 0 && !s->leaving) {
        s->eager--;
        sync_with(s, addr);
    }
}

void
swim_join_moved(struct swim *s, uint16_t from, uint16_t to)
{
    for (size_t i = 0; i < s->seed_count; i++) {
        if (s->seed[i].member == from) {
            s->seed[i].member = to;
        }
    }
}

/* -- finding others again ---------------------------------------------------------------------- */

static size_t
seeds_fresh(const struct swim *s)
{
    size_t fresh = 0;

    for (size_t i = 0; i < s->seed_count; i++) {
        fresh += !s->seed[i].stale;
    }
    return fresh;
}

/* The n-th member of a state. */
static const struct member *
member_nth(const struct swim *s, enum member_state state, size_t n)
{
    for (size_t i = 1; i < s->roster.count; i++) {
        if (s->roster.at[i].state == state && n-- == 0) {
            return &s->roster.at[i];
        }
    }
    assert(false); /* there are so many members of this state */
    return NULL;
}

/* A place where a member may be that this node has lost, drawn from all of them; NULL: the draw was
 * of a seed where somebody is. */
static const struct cluster_addr *
lost_draw(struct swim *s, size_t seeds, size_t dead)
{
    size_t n = (size_t)rng_below(&s->rng, seeds + dead);

    if (n >= seeds) {
        return &member_nth(s, MEMBER_DEAD, n - seeds)->info->addr;
    }
    for (size_t i = 0;; i++) {
        assert(i < s->seed_count);
        if (!s->seed[i].stale && n-- == 0) {
            return seed_is_held(s, &s->seed[i]) ? NULL : &s->seed[i].addr;
        }
    }
}

/* A node without anybody asks two of all those it ever knew; it does so more and more seldom. */
static void
rejoin_alone(struct swim *s, size_t seeds, size_t dead)
{
    size_t suspects = s->state_count[MEMBER_SUSPECT];

    for (int tries = 0; seeds + dead > 0 && tries < 8 && s->sync_count < 2; tries++) {
        const struct cluster_addr *addr = lost_draw(s, seeds, dead);

        if (addr != NULL) {
            sync_with(s, addr);
        }
    }
    if (suspects > 0) {
        size_t n = (size_t)rng_below(&s->rng, suspects);

        sync_with(s, &member_nth(s, MEMBER_SUSPECT, n)->info->addr);
    }
    s->rejoin_wait = swim_earlier(2 * s->rejoin_wait, s->config.rejoin_interval);
    s->rejoin_at = s->now + swim_vary(s, s->rejoin_wait);
}

/* All living members together ask about one lost member in each interval, however many they are. */
static void
rejoin_step(struct swim *s)
{
    size_t alive = s->state_count[MEMBER_ALIVE];
    size_t dead = s->state_count[MEMBER_DEAD];
    size_t seeds = seeds_fresh(s);

    s->eager = EAGER_MAX;
    if (alive == 0) {
        rejoin_alone(s, seeds, dead);
        return;
    }
    s->rejoin_wait = s->config.rejoin_interval / HASTE + 1;
    s->rejoin_at = s->now + swim_vary(s, s->config.rejoin_interval);
    if (seeds + dead > 0 && rng_below(&s->rng, alive) < seeds + dead) {
        const struct cluster_addr *addr = lost_draw(s, seeds, dead);

        if (addr != NULL) {
            sync_with(s, addr);
        }
    }
}

static bool
rejoin_is_needed(const struct swim *s)
{
    return !s->leaving && (s->seed_count > 0 || s->state_count[MEMBER_DEAD] > 0 ||
                           (s->state_count[MEMBER_ALIVE] == 0 && swim_peers(s) > 0));
}

/* -- push/pull --------------------------------------------------------------------------------- */

static void
sync_step(struct swim *s)
{
    usec_t interval = sync_interval(s);
    usec_t late = s->now - s->sync_at;

    s->sync_at = s->now + interval;
    if (late > interval) { /* there was nobody */
        s->sync_at = s->now + (usec_t)rng_below(&s->rng, (uint64_t)interval);
        return;
    }
    for (int tries = 0; tries < 30 && s->roster.round_count > 0; tries++) {
        size_t               n = (size_t)rng_below(&s->rng, s->roster.round_count);
        const struct member *m = &s->roster.at[s->roster.round[n]];

        if (m->state == MEMBER_ALIVE) {
            sync_with(s, &m->info->addr);
            return;
        }
    }
}

void
swim_join_run(struct swim *s)
{
    if (s->sync_at <= s->now && s->state_count[MEMBER_ALIVE] > 0 && !s->leaving) {
        sync_step(s);
    }
    if (s->rejoin_at <= s->now && rejoin_is_needed(s)) {
        rejoin_step(s);
    }
}

usec_t
swim_join_wake(const struct swim *s)
{
    usec_t wake = s->now + s->config.rejoin_interval;

    if (s->state_count[MEMBER_ALIVE] > 0 && !s->leaving) {
        wake = swim_earlier(wake, s->sync_at);
    }
    return rejoin_is_needed(s) ? swim_earlier(wake, s->rejoin_at) : wake;
}
