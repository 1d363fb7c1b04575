/*
 * troubles.h - what goes wrong in a run of whole nodes: a plan drawn from the seed.
 *
 * Each seed draws which kinds of trouble there are at all, then when and whom they strike.  Every
 * trouble stands by itself, so that the shrinker can leave one out.
 */
#pragma once
#include "base/clock.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum trouble_kind {
    TROUBLE_LOSS,      /* between all nodes: share of packets, for a while */
    TROUBLE_DUPLICATE, /* likewise, datagrams */
    TROUBLE_REORDER,   /* likewise */
    TROUBLE_DELAY,     /* from a to b: slow */
    TROUBLE_BLOCK,     /* from a to b: nothing gets through */
    TROUBLE_PARTITION, /* nodes in mask on one side, the others on the other */
    TROUBLE_RESET,     /* a stream of anybody is reset, amount times in the while */
    TROUBLE_SQUEEZE,   /* streams have small windows: queues fill up */
    TROUBLE_STOP,      /* a does nothing, not even timers */
    TROUBLE_STALL,     /* a neither reads nor writes; timers run */
    TROUBLE_SLOW,      /* turns of a begin late */
    TROUBLE_CRASH,     /* a ends, and starts again empty */
    TROUBLE_POWER,     /* likewise, without a word */
    TROUBLE_LEAVE,     /* a leaves in peace, and comes again */
    TROUBLE_JOIN,      /* a node more comes, and stays */
    TROUBLES
};

struct trouble {
    enum trouble_kind kind;
    usec_t at, span;
    unsigned a, b;
    uint32_t mask;
    double amount;
    bool skip; /* the shrinker left it out */
};

#define TROUBLES_MAX 24

struct plan {
    unsigned nodes; /* at the start */
    unsigned extra; /* more that may join */
    unsigned users;
    unsigned keys;
    unsigned workers;
    unsigned depth;    /* of pipelines */
    usec_t think;      /* of users */
    uint32_t large;    /* bytes of large values; 0: none */
    bool small_memory; /* values are evicted */
    bool clocks;       /* each node has its own idea of the time, and of its pace */
    bool flushes;      /* users say flush_all now and then */
    bool slow_users, hanging_users;
    unsigned placement; /* enum ring_placement */
    bool weights;       /* not all nodes have the same */
    bool forgets;       /* the dead leave the ring after a few seconds */
    bool loud;          /* peer_error=error */
    bool fixed;         /* no gossip: everybody knows everybody for ever */
    usec_t until;       /* users stop asking */
    struct trouble trouble[TROUBLES_MAX];
    unsigned troubles;
};

/* Draws a plan; what is given already (not 0) stays. */
void plan_draw(struct plan *p, uint64_t seed);
/* No trouble and no loss: no miss goes unexplained. */
bool plan_is_strict(const struct plan *p);
/* What is stored may be lost: nodes end, values are evicted. */
bool plan_loses(const struct plan *p);
void plan_print(const struct plan *p, FILE *out);
const char *trouble_word(enum trouble_kind kind);
