/*
 * conn.h - one connection of a load: requests under way, answers read, counted and checked.
 *
 * Who owns the connection decides what is asked and when: it puts a request into the pipeline and
 * pushes it.  The connection writes, sends, reads, tells answers from garbage, and asks by itself
 * only to store what a get did not find.  All calls: the thread of the load.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "bench/counters.h"
#include "bench/pipeline.h"
#include "bench/plan.h"
#include "bench/result.h"
#include <stdbool.h>
#include <stdint.h>

struct conn {
    int          fd;
    bool         heard;     /* there was an answer that is no error */
    bool         waits_out; /* epoll watches for room */
    bool         queued, dirty; /* for the owner */
    struct conn *next;      /* for the owner */
    struct buf   out;
    size_t       sent;
    struct buf   rest;      /* an answer that is not whole yet */
    struct pipeline line;   /* requests under way; the number of a trace's key is its hash */
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
    int                 epoll;    /* knows a connection by its address */
    nsec_t              now;      /* kept by the owner, and set to when answers were received */
    nsec_t              answered; /* when the last answer was */
    uint64_t            busy;     /* requests under way */
    unsigned            count;
    struct conn        *conns;
    /* memory behind all that */
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
/* Adds the connection's new request, which is in its pipeline but not pushed. */
MUST_CHECK err_t conn_push(struct conn_pool *p, struct conn *c, struct slot *s);

/* Sends what there is, as far as it goes; epoll tells when it goes on. */
MUST_CHECK err_t conn_send(struct conn_pool *p, struct conn *c);
/* Reads what there is, once. */
MUST_CHECK err_t conn_receive(struct conn_pool *p, struct conn *c);
