/*
 * wire.h - simulated links between nodes: how long a datagram or a connection takes, and whether
 * it gets there.
 *
 * Decides and keeps nothing under way: whoever asks puts the packet into its heap.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include "fault.h"

#define WIRE_NEVER (-1) /* instead of a delay */

struct wire {
    unsigned nodes;
    usec_t delay_min, delay_max; /* one way, even */
    double loss;                 /* of every link */
    const struct fault *active[PLAN_FAULTS_MAX]; /* of links; kept */
    unsigned active_count;
};

/* 0.2 to 1 ms, no loss. */
void wire_init(struct wire *w, unsigned nodes);
void wire_begin(struct wire *w, const struct fault *f);
void wire_end(struct wire *w, const struct fault *f);

/* How many copies of a datagram arrive, 0 to 2, and after how long each. */
unsigned wire_datagram(const struct wire *w, struct rng *r, unsigned from, unsigned to,
                       usec_t ret_delay[2]);
/*
 * How long it takes until the first bytes of a new connection are there; a lost SYN costs 1 s, a
 * lost segment 0.2 s, twice as much each time.  WIRE_NEVER: a way is blocked, or 10 s are over.
 */
usec_t wire_connect(const struct wire *w, struct rng *r, unsigned from, unsigned to);
/* Likewise, the bytes that come back on it. */
usec_t wire_answer(const struct wire *w, struct rng *r, unsigned from, unsigned to);
