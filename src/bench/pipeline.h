/*
 * pipeline.h - the requests under way on one connection, in the order in which they are answered.
 *
 * A ring of slots, and a ring of the numbers of their keys.  A request is a new slot, gets its
 * keys, and is pushed; the oldest one is dropped when it is answered.  No bytes, no sockets.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "bench/dialect.h"
#include <stdbool.h>
#include <stdint.h>

/* What is stored under a key that a trace names. */
struct slot_item {
    char    *name;     /* room of KEYS_NAME_MAX bytes; NULL: the key's number says all */
    size_t   name_len;
    uint32_t size;     /* bytes */
};

struct slot {
    nsec_t           start;   /* latency counts from here */
    enum verb        verb;
    bool             counter; /* a set of a counter, to 0 */
    bool             fills;   /* stores what is not found */
    bool             failed;  /* an error was answered */
    bool             late;    /* behind the trace's warm-up */
    unsigned         id;      /* place of the first key's number */
    unsigned         count;   /* of keys */
    unsigned         next;    /* first key that may still be answered */
    unsigned         hits;
    uint64_t         floor;   /* of an increment: see counters.h */
    uint32_t         ttl;     /* of a set, or of the set after a miss, seconds */
    struct slot_item item;
};

struct pipeline {
    struct slot *slots;
    uint64_t    *ids;
    char        *names;
    unsigned     slot_mask, id_mask; /* both rings are powers of two */
    unsigned     first, used;        /* slots */
    unsigned     id_end;
};

/*
 * Room for depth requests of up to multi keys each; if they fill, also for a set of each key of
 * them; if they are named, for names.  Fails with ERR_NOMEM.
 */
MUST_CHECK err_t pipeline_init(struct pipeline *p, unsigned depth, unsigned multi, bool fills,
                               bool named);
/* A zeroed one is fine. */
void pipeline_fini(struct pipeline *p);

/* A new request, which is nothing until it is pushed: one at a time. */
struct slot *pipeline_new(struct pipeline *p, enum verb verb, nsec_t start);
/* Another key of the new request. */
void pipeline_add(struct pipeline *p, struct slot *s, uint64_t id);
/* What a trace says of its key; the name is copied. */
void pipeline_describe(struct slot *s, struct slice name, uint32_t size);
void pipeline_push(struct pipeline *p);

/* The request that is answered next; there must be one. */
static inline struct slot *
pipeline_oldest(const struct pipeline *p)
{
    return &p->slots[p->first & p->slot_mask];
}

/* The number of its key i. */
static inline uint64_t
pipeline_id(const struct pipeline *p, const struct slot *s, unsigned i)
{
    return p->ids[(s->id + i) & p->id_mask];
}

/* The oldest is answered. */
void pipeline_drop(struct pipeline *p);

/* True if a request of this lone key is under way whose miss will store it. */
bool pipeline_awaits(const struct pipeline *p, uint64_t id);
/* True if a set of this lone key is under way behind the oldest request. */
bool pipeline_stores(const struct pipeline *p, uint64_t id);
