/*
 * fault.h - what goes wrong in a simulated cluster: a plan of faults, drawn from a seed.
 *
 * Values only.  A plan says everything about a run: the same plan gives the same run.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Some of the nodes, whatever number of them there is. */
struct nodes {
    enum { NODES_NONE, NODES_ALL, NODES_ONE, NODES_SHARE, NODES_FIRST } kind;
    unsigned number; /* ONE: which, modulo how many there are; FIRST: how many */
    uint64_t salt;   /* SHARE: which ones */
    double   share;
};
bool nodes_has(const struct nodes *s, unsigned node, unsigned of);

enum fault_kind {
    /* Of links: datagrams from who to whom. */
    FAULT_LOSS,      /* with probability p; connections are slowed down by it */
    FAULT_DELAY,     /* in addition up to length, even */
    FAULT_DUPLICATE, /* with probability p */
    FAULT_BLOCK,     /* nothing passes, the other way is open: no connection either */
    FAULT_PARTITION, /* between who and all others nothing passes */
    /* Of nodes. */
    FAULT_IO,        /* I/O blocked for length, free for pause, and again; timers run */
    FAULT_STOP,      /* likewise, and timers stand still: SIGSTOP */
    FAULT_CRASH,     /* until it is started again with an incarnation of that moment */
    FAULT_CRASH_OLD, /* likewise, its clock an hour behind: incarnation and nonce are lower */
    FAULT_LEAVE,     /* in peace; started again */
    FAULT_CHANGE,    /* says something new of itself */
    /* To see that the simulator sees: datagrams that say of others what those never said. */
    FAULT_LIES,
    FAULT_KINDS
};

struct fault {
    enum fault_kind kind;
    struct nodes who, whom;
    usec_t at, until; /* since the start; until == 0: for ever */
    double p;
    usec_t length, pause;
};

#define PLAN_FAULTS_MAX 32

enum plan_profile { PROFILE_DEFAULT, PROFILE_LAN, PROFILE_FAST, PROFILES };

struct plan {
    uint64_t seed;
    unsigned nodes;
    usec_t quiet; /* from then on no fault begins or lasts, but for nodes that stay away */
    usec_t until; /* the longest it may take until all agree */
    enum plan_profile profile;
    bool joining; /* nodes know the first three alone at the start */
    bool codec;   /* messages travel as bytes */
    bool forget;  /* planted bug: the dead are not asked again */
    struct fault fault[PLAN_FAULTS_MAX];
    unsigned count;
};

/* Draws a plan; nodes == 0: their number too. */
void plan_draw(struct plan *p, uint64_t seed, unsigned nodes);
/* For people; nodes: how many there are. */
void fault_print(const struct fault *f, unsigned nodes, FILE *out);
