/*
 * status.h - the few statistics that tell how a server is, gathered and printed.
 */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct status {
    char     version[32];
    uint64_t pid, uptime, threads;
    uint64_t items, bytes, limit, evictions;
    uint64_t gets, hits, sets;
    uint64_t connections, connections_max, rejected;
};

/* Takes over one line of "stats", if it is one of those shown. */
void status_add(struct status *s, struct slice name, struct slice value);
/* A line for each subject. */
void status_print(const struct status *s);
