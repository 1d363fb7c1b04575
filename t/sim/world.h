/*
 * world.h - virtual time for a simulation: timers in a heap, and a hash of all that happened.
 *
 * Two timers of one moment run in the order in which they were set, so that a seed repeats a run
 * to the byte; the hash of the trace is the proof of it.
 */
#pragma once
#include "base/clock.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    usec_t at;
    uint64_t order;
    size_t place; /* in the heap, from 1; 0: not set */
    void (*run)(void *arg);
    void *arg;
};

struct world {
    usec_t now; /* since the start */
    uint64_t seed;
    uint64_t hash;      /* of the trace so far */
    uint64_t events;    /* timers that ran */
    bool trace;         /* notes are printed */
    const char *repeat; /* how to repeat the run, for the one who reads of a failure */
    struct timer **heap;
    size_t count, cap;
    uint64_t order;
};

void world_init(struct world *w, uint64_t seed);
/* Timers that are still set are forgotten. */
void world_fini(struct world *w);

void timer_init(struct timer *t, void (*run)(void *arg), void *arg);
/* Runs at that time, or at once if it is over; a timer that is set already is moved. */
void timer_set(struct world *w, struct timer *t, usec_t at);
/* Like timer_set(), but never later than it is set already. */
void timer_hasten(struct world *w, struct timer *t, usec_t at);
void timer_stop(struct world *w, struct timer *t);

/* Runs the next timer and moves the time on; false: none is due up to then, and it is then. */
bool world_step(struct world *w, usec_t until);

/* Something that happened: goes into the hash, and out if there is a trace. */
void __attribute__((format(printf, 2, 3))) world_note(struct world *w, const char *fmt, ...);
/* Bytes that went over the wire: into the hash alone. */
void world_bytes(struct world *w, struct slice bytes);
/* A property does not hold: says so and how to repeat the run, and ends the process. */
void __attribute__((noreturn, format(printf, 2, 3)))
world_fail(const struct world *w, const char *fmt, ...);
/* For the simulation's own memory. */
void world_need(bool ok);
void *world_alloc(size_t n);
