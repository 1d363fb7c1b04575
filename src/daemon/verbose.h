/*
 * verbose.h - what clients say, in the log: the verbosity of -vv.
 *
 * The log is a watcher like any other, of the raw commands; one worker reads it at the end of its
 * turns.  Lines that come faster than they can be written are left out and counted.  All calls:
 * that worker's thread.
 */
#pragma once
#include "node/node.h"
#include <stdbool.h>
#include <stdint.h>

struct watcher;

/* A zeroed one is silent. */
struct verbose {
    struct watcher *watcher;
};

/*
 * Starts or ends it as the verbosity wants, and writes some of what there is; true if there may be
 * more for the next turn.  worker: its index.
 */
bool verbose_turn(struct verbose *v, struct node *n, unsigned worker, int64_t verbosity);
/* Ends it; twice is fine. */
void verbose_end(struct verbose *v);
