#include "wire.h"

#include <assert.h>

#define CONNECT_MAX (10 * USEC_PER_SEC)
#define SYN_AGAIN   USEC_PER_SEC
#define BYTES_AGAIN (200 * USEC_PER_MSEC)

/* One way as it is now. */
struct way {
    double loss, duplicate;
    usec_t delay;
    bool blocked;
};

void
wire_init(struct wire *w, unsigned nodes)
{
    *w = (struct wire){ .nodes = nodes, .delay_min = 200, .delay_max = 1000 };
}

void
wire_begin(struct wire *w, const struct fault *f)
{
    assert(w->active_count < PLAN_FAULTS_MAX);
    w->active[w->active_count++] = f;
}

void
wire_end(struct wire *w, const struct fault *f)
{
    for (unsigned i = 0; i < w->active_count; i++) {
        if (w->active[i] == f) {
            w->active[i] = w->active[--w->active_count];
            return;
        }
    }
    assert(false);
}

static struct way
wire_way(const struct wire *w, unsigned from, unsigned to)
{
    struct way ret = { .loss = w->loss };

    for (unsigned i = 0; i < w->active_count; i++) {
        const struct fault *f = w->active[i];

        if (f->kind == FAULT_PARTITION) {
            ret.blocked |= nodes_has(&f->who, from, w->nodes) != nodes_has(&f->who, to, w->nodes);
        } else if (nodes_has(&f->who, from, w->nodes) && nodes_has(&f->whom, to, w->nodes)) {
            ret.blocked |= f->kind == FAULT_BLOCK;
            ret.delay += f->kind == FAULT_DELAY ? f->length : 0;
            ret.loss += f->kind == FAULT_LOSS ? (1 - ret.loss) * f->p : 0;
            ret.duplicate += f->kind == FAULT_DUPLICATE ? (1 - ret.duplicate) * f->p : 0;
        }
    }
    return ret;
}

static usec_t
wire_delay(const struct wire *w, struct rng *r, const struct way *way)
{
    usec_t even = (usec_t)rng_below(r, (uint64_t)(w->delay_max - w->delay_min + 1));

    even += way->delay ? (usec_t)rng_below(r, (uint64_t)way->delay) : 0;
    return w->delay_min + even;
}

unsigned
wire_datagram(const struct wire *w, struct rng *r, unsigned from, unsigned to, usec_t ret_delay[2])
{
    struct way way = wire_way(w, from, to);
    unsigned copies = 1;

    if (way.blocked || (way.loss > 0 && rng_unit(r) < way.loss)) {
        return 0;
    }
    ret_delay[0] = wire_delay(w, r, &way);
    if (way.duplicate > 0 && rng_unit(r) < way.duplicate) {
        ret_delay[1] = wire_delay(w, r, &way);
        copies = 2;
    }
    return copies;
}

/* One segment, and again until it is there. */
static usec_t
wire_segment(const struct wire *w, struct rng *r, const struct way *way, usec_t again)
{
    usec_t waited = 0;

    while (way->loss > 0 && rng_unit(r) < way->loss) {
        waited += again;
        again *= 2;
        if (waited > CONNECT_MAX) {
            return CONNECT_MAX + 1;
        }
    }
    return waited + wire_delay(w, r, way);
}

usec_t
wire_connect(const struct wire *w, struct rng *r, unsigned from, unsigned to)
{
    struct way there = wire_way(w, from, to), back = wire_way(w, to, from);
    usec_t took;

    if (there.blocked || back.blocked) {
        return WIRE_NEVER;
    }
    took = wire_segment(w, r, &there, SYN_AGAIN);
    took += wire_segment(w, r, &back, SYN_AGAIN);
    took += wire_segment(w, r, &there, BYTES_AGAIN);
    return took <= CONNECT_MAX ? took : WIRE_NEVER;
}

usec_t
wire_answer(const struct wire *w, struct rng *r, unsigned from, unsigned to)
{
    struct way there = wire_way(w, from, to), back = wire_way(w, to, from);
    usec_t took;

    if (there.blocked || back.blocked) {
        return WIRE_NEVER;
    }
    took = wire_segment(w, r, &there, BYTES_AGAIN);
    return took <= CONNECT_MAX ? took : WIRE_NEVER;
}
