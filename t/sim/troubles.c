#include "troubles.h"
#include "base/rng.h"
#include <inttypes.h>

static const char *const words[TROUBLES] = {
    "loss", "duplicate", "reorder", "delay", "block", "partition", "reset", "squeeze",
    "stop", "stall",     "slow",    "crash", "power", "leave",     "join",
};

const char *
trouble_word(enum trouble_kind kind)
{
    return words[kind];
}

static unsigned
pick(struct rng *r, unsigned limit)
{
    return (unsigned)rng_below(r, limit);
}

static double
trouble_amount(struct rng *r, enum trouble_kind kind)
{
    switch (kind) {
    case TROUBLE_LOSS:
        return 0.02 + 0.3 * rng_unit(r);
    case TROUBLE_DUPLICATE:
    case TROUBLE_REORDER:
        return 0.5 * rng_unit(r);
    case TROUBLE_DELAY:
        return 2000 + 400000 * rng_unit(r); /* usec */
    case TROUBLE_RESET:
        return 1 + pick(r, 6);
    case TROUBLE_SQUEEZE:
        return 64 + pick(r, 4000); /* bytes */
    case TROUBLE_SLOW:
        return 1000 + 100000 * rng_unit(r); /* usec */
    default:
        return 0;
    }
}

static void
trouble_draw(struct plan *p, struct rng *r, uint32_t kinds)
{
    struct trouble *t = &p->trouble[p->troubles];

    do {
        t->kind = (enum trouble_kind)pick(r, TROUBLES);
    } while ((kinds >> t->kind & 1) == 0);
    t->at = (usec_t)rng_below(r, (uint64_t)p->until * 3 / 4);
    t->span = (usec_t)rng_below(r, (pick(r, 3) ? 2 : 12) * (uint64_t)USEC_PER_SEC);
    t->a = pick(r, p->nodes);
    t->b = (t->a + 1 + pick(r, p->nodes - 1)) % p->nodes;
    t->mask = 1 + pick(r, (1u << p->nodes) - 2);
    t->amount = trouble_amount(r, t->kind);
    if (t->kind == TROUBLE_JOIN) {
        t->a = p->nodes + p->extra;
        if (p->extra == 2) {
            return; /* enough */
        }
        p->extra++;
    }
    p->troubles++;
}

static unsigned
given(unsigned wanted, unsigned drawn)
{
    return wanted ? wanted : drawn;
}

void
plan_draw(struct plan *p, uint64_t seed)
{
    struct rng r;
    uint32_t kinds = 0;
    unsigned style, count, until, few, many;

    rng_init(&r, seed ^ UINT64_C(0x706c616e));
    /* Every number is drawn, also if it is not wanted: what comes behind stays the same. */
    many = given(0, 6 + pick(&r, 5));
    few = given(0, 3 + pick(&r, 3));
    p->nodes = given(p->nodes, pick(&r, 20) ? few : many);
    p->users = given(p->users, 2 + pick(&r, 10));
    p->keys = given(p->keys, 4 + pick(&r, 60));
    until = given(0, 4 + pick(&r, 12));
    p->until = p->until ? p->until : (usec_t)until * USEC_PER_SEC;
    p->workers = 1 + pick(&r, 2);
    p->depth = 1 + pick(&r, pick(&r, 3) ? 8 : 60);
    p->think = 3000 + pick(&r, 60000);
    p->large = pick(&r, 3) ? 0 : 2000 + pick(&r, 200000);
    p->placement = pick(&r, 2) ? 0 : pick(&r, 3);
    p->weights = pick(&r, 3) == 0;
    p->loud = pick(&r, 3) == 0;
    p->forgets = pick(&r, 4) == 0;
    p->clocks = pick(&r, 3) == 0;
    p->flushes = pick(&r, 5) == 0;
    style = pick(&r, 5);
    if (style == 0 || p->nodes < 2) {
        return; /* nothing goes wrong */
    }
    p->small_memory = pick(&r, 5) == 0;
    if (p->small_memory) {
        p->keys += 150;
        p->large = 60000;
    }
    p->slow_users = pick(&r, 4) == 0;
    p->hanging_users = pick(&r, 3) == 0;
    /* Few kinds often, many kinds sometimes; the ring stays in some. */
    while (kinds == 0) {
        kinds = (uint32_t)rng_next(&r) & (style > 3 ? ~0u : (uint32_t)rng_next(&r));
        kinds &= (1u << TROUBLES) - 1;
        if (style == 2) {
            kinds &= (1u << TROUBLE_CRASH) - 1;
        }
    }
    count = 1 + pick(&r, style > 3 ? TROUBLES_MAX - 1 : 8);
    while (count-- > 0) {
        trouble_draw(p, &r, kinds);
    }
}

bool
plan_is_strict(const struct plan *p)
{
    for (unsigned i = 0; i < p->troubles; i++) {
        if (!p->trouble[i].skip) {
            return false;
        }
    }
    return !p->small_memory;
}

bool
plan_loses(const struct plan *p)
{
    for (unsigned i = 0; i < p->troubles; i++) {
        if (!p->trouble[i].skip && p->trouble[i].kind >= TROUBLE_CRASH) {
            return true;
        }
    }
    return p->small_memory;
}

void
plan_print(const struct plan *p, FILE *out)
{
    fprintf(out,
            "%u nodes of %u workers, %u users of depth %u thinking %lld us, %u keys, placement %u"
            "%s%s%s%s%s%s%s%s, "
            "values to %u bytes, %.1f s\n",
            p->nodes, p->workers, p->users, p->depth, (long long)p->think, p->keys, p->placement,
            p->weights ? ", weights" : "", p->loud ? ", loud" : "",
            p->forgets ? ", the dead are forgotten" : "", p->flushes ? ", flush_all" : "",
            p->small_memory ? ", small memory" : "", p->clocks ? ", clocks" : "",
            p->slow_users ? ", slow users" : "", p->hanging_users ? ", users hang up" : "",
            p->large, (double)p->until / 1e6);
    for (unsigned i = 0; i < p->troubles; i++) {
        const struct trouble *t = &p->trouble[i];

        if (!t->skip) {
            fprintf(out, "  %2u: %-9s at %7.3f s for %7.3f s, a %u, b %u, mask %x, %g\n", i,
                    words[t->kind], (double)t->at / 1e6, (double)t->span / 1e6, t->a, t->b, t->mask,
                    t->amount);
        }
    }
}
