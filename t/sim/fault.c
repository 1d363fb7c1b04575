#include "fault.h"

#include <assert.h>
#include <string.h>

static const char *const fault_name[FAULT_KINDS] = {
    "loss",     "delay",      "duplicates",         "one-way block", "partition", "I/O blocked",
    "stopped",  "crash",      "crash, old clock",   "leaves",        "changes",   "lies",
};

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

bool
nodes_has(const struct nodes *s, unsigned node, unsigned of)
{
    switch (s->kind) {
    case NODES_NONE:
        return false;
    case NODES_ALL:
        return true;
    case NODES_ONE:
        return node == s->number % of;
    case NODES_SHARE:
        return (double)(mix(s->salt + node) >> 11) * 0x1p-53 < s->share;
    case NODES_FIRST:
        return node < s->number;
    }
    assert(false);
}

/* -- drawing ----------------------------------------------------------------------------------- */

static usec_t
draw_between(struct rng *r, usec_t least, usec_t most)
{
    return least + (usec_t)rng_below(r, (uint64_t)(most - least + 1));
}

static struct nodes
draw_nodes(struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0:
        return (struct nodes){ .kind = NODES_ALL };
    case 1:
        return (struct nodes){ .kind = NODES_SHARE, .salt = rng_next(r), .share = rng_unit(r) };
    default:
        return (struct nodes){ .kind = NODES_ONE, .number = (unsigned)(rng_next(r) >> 32) };
    }
}

/* Nodes that something happens to: one, or a few. */
static struct nodes
draw_victims(struct rng *r)
{
    if (rng_below(r, 4) == 0) {
        return (struct nodes){ .kind = NODES_SHARE, .salt = rng_next(r), .share = 0.3 };
    }
    return (struct nodes){ .kind = NODES_ONE, .number = (unsigned)(rng_next(r) >> 32) };
}

static void
draw_link_fault(struct fault *f, struct rng *r)
{
    f->who = draw_nodes(r);
    f->whom = draw_nodes(r);
    if (f->kind == FAULT_PARTITION) {
        f->who = (struct nodes){ .kind = NODES_SHARE,
                                 .salt = rng_next(r),
                                 .share = rng_below(r, 2) ? 0.5 : rng_unit(r) };
        f->whom = (struct nodes){ .kind = NODES_NONE };
    }
    f->p = rng_unit(r) * (rng_below(r, 2) ? 1 : 0.2);
    f->length = draw_between(r, USEC_PER_MSEC, rng_below(r, 2) ? USEC_PER_SEC : 30 * USEC_PER_MSEC);
}

static void
draw_node_fault(struct fault *f, struct rng *r, usec_t quiet)
{
    static const usec_t length[] = { 1, 4, 8, 16, 32 };
    static const usec_t pause[] = { 16 * USEC_PER_MSEC, 256 * USEC_PER_MSEC, 4 * USEC_PER_SEC };

    f->who = draw_victims(r);
    f->length = length[rng_below(r, 5)] * USEC_PER_SEC / (rng_below(r, 2) ? 1 : 10);
    f->pause = pause[rng_below(r, 3)];
    if ((f->kind == FAULT_CRASH || f->kind == FAULT_LEAVE) && rng_below(r, 4) == 0) {
        f->until = 0;
    } else if (rng_below(r, 2)) { /* a quick restart */
        f->until = f->at + draw_between(r, USEC_PER_MSEC, 2 * USEC_PER_SEC);
        f->until = f->until < quiet ? f->until : quiet;
    }
}

void
plan_draw(struct plan *p, uint64_t seed, unsigned nodes)
{
    struct rng r;
    uint64_t kinds;
    unsigned count;

    memset(p, 0, sizeof *p);
    rng_init(&r, seed);
    p->seed = seed;
    p->nodes = (unsigned)(3 + (rng_below(&r, 4) ? rng_below(&r, 6) : rng_below(&r, 30)));
    p->nodes = nodes ? nodes : p->nodes;
    p->quiet = draw_between(&r, 10 * USEC_PER_SEC, 60 * USEC_PER_SEC);
    p->profile = (enum plan_profile)rng_below(&r, PROFILES);
    p->joining = rng_below(&r, 2);
    p->codec = rng_below(&r, 8) == 0;
    /* Faults are the same for every number of nodes, so that a run can be made smaller.  Which
     * kinds there are at all: faults that are rare together are seen alone, too. */
    kinds = rng_next(&r) | rng_next(&r) << 1;
    count = (unsigned)rng_below(&r, 10);
    for (unsigned i = 0; i < count; i++) {
        struct fault f = { .kind = (enum fault_kind)rng_below(&r, FAULT_LIES) };

        f.at = draw_between(&r, 0, p->quiet - USEC_PER_SEC);
        f.until = draw_between(&r, f.at + USEC_PER_MSEC, p->quiet);
        if (f.kind <= FAULT_PARTITION) {
            draw_link_fault(&f, &r);
        } else {
            draw_node_fault(&f, &r, p->quiet);
        }
        if (kinds >> f.kind & 1) {
            p->fault[p->count++] = f;
        }
    }
}

/* -- for people -------------------------------------------------------------------------------- */

static void
nodes_print(const struct nodes *s, unsigned of, FILE *out)
{
    switch (s->kind) {
    case NODES_NONE:
        fprintf(out, "none");
        break;
    case NODES_ALL:
        fprintf(out, "all");
        break;
    case NODES_ONE:
        fprintf(out, "node %u", s->number % of);
        break;
    case NODES_SHARE:
        fprintf(out, "%.0f %%", s->share * 100);
        break;
    case NODES_FIRST:
        fprintf(out, "the first %u", s->number);
        break;
    }
}

void
fault_print(const struct fault *f, unsigned nodes, FILE *out)
{
    fprintf(out, "%.3f s", (double)f->at / 1e6);
    if (f->until) {
        fprintf(out, " to %.3f s", (double)f->until / 1e6);
    }
    fprintf(out, ": %s, ", fault_name[f->kind]);
    nodes_print(&f->who, nodes, out);
    if (f->kind < FAULT_PARTITION) {
        fprintf(out, " to ");
        nodes_print(&f->whom, nodes, out);
    }
    if (f->kind == FAULT_LOSS || f->kind == FAULT_DUPLICATE) {
        fprintf(out, ", %.0f %%", f->p * 100);
    } else if (f->kind == FAULT_DELAY) {
        fprintf(out, ", %.1f ms", (double)f->length / 1e3);
    } else if (f->kind == FAULT_IO || f->kind == FAULT_STOP) {
        fprintf(out, ", %.3f s, free for %.3f s", (double)f->length / 1e6, (double)f->pause / 1e6);
    }
    fputc('\n', out);
}
