/*
 * nodes.h - one run of whole nodes in one process: machines, wires, users and troubles, from a
 * plan.
 */
#pragma once
#include "history.h"
#include "host.h"
#include "paths.h"
#include "troubles.h"
#include "user.h"
#include "world.h"

#define USERS_MAX 64

/* Bugs that a run can be given on purpose, to see that it is seen. */
enum planted {
    PLANTED_NOTHING,
    PLANTED_SWAP,      /* two answers of one frame change places */
    PLANTED_DROP,      /* a frame of commands is lost, its connection lives on */
    PLANTED_TWICE,     /* a frame of commands comes twice */
    PLANTED_FORGET,    /* a write is acknowledged and not done */
    PLANTED_UNDELETED, /* likewise a delete */
    PLANTED_UNFLUSHED, /* likewise a flush_all, by each node */
    PLANTED_STALE,     /* the answer to a get comes again, in place of the next one's */
    PLANTED_SILENT,    /* answers are lost */
    PLANTS
};
const char *planted_word(enum planted p);

struct run_trouble {
    struct timer begin, end;
    struct run *run;
    const struct trouble *trouble;
    unsigned times; /* RESET: left */
    bool active;
};

struct run {
    struct world world;
    struct paths paths;
    struct history history;
    struct plan plan;
    struct host host[SITES_MAX];
    struct host *hosts[SITES_MAX];
    unsigned host_count;
    const char *options[16];
    struct host_ops ops;
    struct user user[USERS_MAX];
    struct user prober;
    struct run_trouble trouble[TROUBLES_MAX];
    struct timer look;
    usec_t talk_at;       /* when users began */
    usec_t lenient_until; /* answers may be late up to then */
    usec_t disputed_at;   /* since when nodes disagree on the ring; -1: they agree */
    bool talking;         /* users do */
    bool calm;            /* the troubles are over */
    enum planted planted;
    unsigned planted_count;
    struct rng rng; /* of what is planted */
    /* Figures. */
    uint64_t executed, forwarded, frames;
    usec_t settled; /* how long it took after the troubles */
};

/* Runs the plan to the end; a property that does not hold ends the process.  Returns the hash of
 * the trace; figures are added up. */
struct run_figures {
    uint64_t events, operations, hits, misses, unknown, stale, unflushed, undecided, errors;
    uint64_t executed, forwarded, frames, evictions;
    usec_t settled_max, talked, disputed;
};
uint64_t run_plan(const struct plan *p, uint64_t seed, const char *repeat, bool trace,
                  enum planted planted, struct run_figures *figures);
