/*
 * events.h - what will happen, in the order of virtual time.
 *
 * A heap.  Events of one moment come in the order in which they were added, so that a run is the
 * same each time.
 */
#pragma once
#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
    usec_t   at;
    uint64_t order; /* how many were added before it */
    uint32_t kind;
    uint32_t node;
    union {
        void    *ptr;
        uint64_t number;
    };
};

/* A zeroed one is empty. */
struct events {
    struct event *heap;
    size_t count, size;
    uint64_t added;
};

/* Frees the heap; what ptr of an event points to is the caller's to free before. */
void events_fini(struct events *e);
/* Adds one; its order is set.  Ends the process without memory. */
void events_add(struct events *e, struct event ev);
/* Takes the next one; false: there is none. */
bool events_take(struct events *e, struct event *ret);
