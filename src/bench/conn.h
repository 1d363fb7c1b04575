/*
 * conn.h - one connection of a load: requests under way, answers read, counted and checked.
 *
 * Who owns the connection decides what is asked and when: it takes a slot, says what the request
 * is, and pushes it.  The connection writes, sends, reads, tells answers from garbage, and asks
 * by itself only to store what a get did not find.  All calls: the thread of the load.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "bench/counters.h"
#include "bench/plan.h"
#include "bench/result.h"
#include "bench/trace.h"
#include <stdbool.h>
#include <stdint.h>

/* A request. */
struct slot {
    nsec_t    start;    /* latency counts from here */
    enum verb verb;
    bool      counter;  /* a set of a counter, to 0 */
    bool      fills;    /* stores what is not found */
    bool      failed;   /* an error was answered */
    bool      late;     /* behind the trace's warm-up */
    unsigned  id;       /* place in conn.ids of the first key's number */
    unsigned  count;    /* of keys */
    unsigned  next;     /* first key that may still be answered */
    unsigned  hits;
    uint64_t  floor;    /* verify: see counters.h */
    uint32_t  ttl;      /* of a set, seconds */
    uint32_t  size;     /* of a trace: bytes of the value */
    size_t    name_len;
    char     *name;     /* of a trace: the key; else NULL, and its number says all */
};

struct conn {
    int          fd;
    bool         waits_out; /* epoll watches for room */
    bool         queued, dirty; /* for the owner */
    struct conn *next;      /* for the owner */
    struct buf   out;
    size_t       sent;
    struct buf   rest;      /* an answer that is not whole yet */
    struct slot *slots;     /* ring of a power of two */
    uint64_t    *ids;       /* ring of a power of two: numbers of keys; of a trace: hashes */
    unsigned     first, used; /* of slots */
    unsigned     id_end;
    uint32_t     value_left, tail_left; /* bytes of the value being received */
    uint64_t     id;        /* verify: of the value's key */
    const char  *expected;  /* verify: what value_left bytes must be; NULL: not compared */
    bool         value_wrong;
    bool         in_value;
    bool         ends;      /* the request is over when the value is */
};

/* What the connections of one thread share. */
struct conn_pool {
    const struct plan  *plan;
    const struct keys  *keys;
    struct counters    *counters; /* NULL: not verified */
    struct load_result *result;
    struct err_detail  *detail;
    struct rng         *rng;
    int                 epoll;    /* knows a connection by its address */
    nsec_t              now;      /* kept by the owner, and set to when answers were received */
    nsec_t              answered; /* when the last answer was */
    uint64_t            busy;     /* requests under way */
    unsigned            slot_mask, id_mask;
    unsigned            count;
    struct conn        *conns;
    /* memory behind all that */
    struct slot  *slots;
    uint64_t     *ids;
    char         *trace_names;
    struct slice *names;
    char         *name_room;
    char         *rx;
};

/* Memory for count connections; none is open.  Keeps what the pool points to. */
MUST_CHECK err_t conn_pool_init(struct conn_pool *p, unsigned count);
void conn_pool_fini(struct conn_pool *p);

/* Connects; blocks for some seconds at most. */
MUST_CHECK err_t conn_open(struct conn_pool *p, struct conn *c);

/* True if another request may be added. */
bool conn_has_room(const struct conn_pool *p, const struct conn *c);
/* True if a request for this key is under way whose miss will store it. */
bool conn_awaits(const struct conn_pool *p, const struct conn *c, uint64_t hash);

/* A new request; it is nothing until it is pushed.  There must be room. */
struct slot *conn_slot(struct conn_pool *p, struct conn *c, enum verb verb, nsec_t start);
/* Another key of it. */
void conn_slot_add(struct conn_pool *p, struct conn *c, struct slot *s, uint64_t id);
/* ... of a trace. */
void conn_slot_trace(struct conn_pool *p, struct conn *c, struct slot *s,
                     const struct trace_record *r, uint64_t hash);
MUST_CHECK err_t conn_push(struct conn_pool *p, struct conn *c, struct slot *s);

/* Sends what there is, as far as it goes; epoll tells when it goes on. */
MUST_CHECK err_t conn_send(struct conn_pool *p, struct conn *c);
/* Reads what there is, once. */
MUST_CHECK err_t conn_receive(struct conn_pool *p, struct conn *c);
