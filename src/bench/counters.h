/*
 * counters.h - verifies what increments answer, with a few numbers for each counter.
 *
 * Every increment is by one, and nobody else touches these keys.  What a counter held before is
 * not known, and many increments are under way at a time, so what is checked are bounds that no
 * honest server leaves:
 *
 *     more than any answer that was there before the request was sent;
 *     at least what the increments answered before the request was sent add up to;
 *     at most what all increments sent so far add up to.
 *
 * A lost increment so shows after at most as many others as were under way at the counter's first
 * answer, and one made twice as soon as no other is under way.  Any thread.
 */
#pragma once
#include "base/err.h"
#include "base/spin.h"
#include <stdint.h>

struct counter;

struct counters {
    struct spin     lock;
    struct counter *of;
};

MUST_CHECK err_t counters_init(struct counters *c, uint64_t count);
void counters_fini(struct counters *c);

/* An increment is about to be sent; what its answer must be at least. */
uint64_t counters_send(struct counters *c, uint64_t id);
/* Its answer is here, floor what counters_send() said: NULL if it is right, else what is wrong. */
const char *counters_answer(struct counters *c, uint64_t id, uint64_t floor, uint64_t answer);
