/*
 * peer_rows.h - what each worker's links to the other nodes are doing: the rows of "stats peers".
 *
 * A link opens a row and closes it; the worker that owns the link keeps the row up to date by
 * relaxed stores; any thread may print.  Rows are never freed before the registry is, only reused.
 * Opening, closing and printing take the registry's lock (printing for a few rows at a time),
 * updating does not.
 */
#pragma once
#include "base/clock.h"
#include "vocab/cluster.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum peer_row_state {
    PEER_ROW_CLOSED,  /* no connection, and none under way */
    PEER_ROW_DIALING,
    PEER_ROW_UP,
    PEER_ROW_OPEN,    /* its breaker is open: nothing is sent but probes */
    PEER_ROW_HALF,    /* its breaker lets in a few */
};

/* Why there is no connection, or why the last one ended. */
enum peer_fault {
    PEER_FAULT_NONE,
    PEER_FAULT_REFUSED,     /* nobody listens there */
    PEER_FAULT_UNREACHABLE, /* no way there */
    PEER_FAULT_TIMEOUT,     /* neither connected nor greeted in time */
    PEER_FAULT_RESET,       /* the connection broke */
    PEER_FAULT_ENDED,       /* the other closed it */
    PEER_FAULT_LABEL,       /* of another cluster */
    PEER_FAULT_VERSION,     /* no version in common */
    PEER_FAULT_BUSY,        /* it greets too many already */
    PEER_FAULT_SELF,        /* it is ourselves who answered */
    PEER_FAULT_STRANGER,    /* another node answered */
    PEER_FAULT_MALFORMED,   /* what came was no greeting, or no answer */
    PEER_FAULT_RESOURCES,   /* of ours: descriptors, memory, ports */
    PEER_FAULTS
};

/* What is counted and told of a link; all are 0 at first. */
enum peer_row_field {
    PEER_ROW_STATE,        /* enum peer_row_state */
    PEER_ROW_SINCE,        /* usec_t: when it began */
    PEER_ROW_QUEUED_BYTES, /* not given to the kernel yet */
    PEER_ROW_IN_FLIGHT,    /* commands that wait for an answer */
    PEER_ROW_SENT,         /* commands, ever */
    PEER_ROW_ANSWERED,
    PEER_ROW_TIMEOUTS,
    PEER_ROW_RETRIES,
    PEER_ROW_RECONNECTS,   /* connections made after the first */
    PEER_ROW_FAULT,        /* enum peer_fault: the last one */
    PEER_ROW_FIELDS
};

struct peer_row {
    node_id          node;
    unsigned         worker;    /* whose link it is */
    bool             open;
    struct peer_row *next_free;
    _Atomic int64_t  value[PEER_ROW_FIELDS]; /* written by the owning worker only */
};

struct peer_rows;
struct peer_rows *peer_rows_new(void);
/* NULL is fine. */
void peer_rows_free(struct peer_rows *r);
/* NULL without memory; the functions on a row take that.  Any thread. */
struct peer_row *peer_rows_open(struct peer_rows *r, node_id node, unsigned worker, usec_t now);
/* row may be NULL.  Any thread. */
void peer_rows_close(struct peer_rows *r, struct peer_row *row);
/*
 * Notes why a worker has no connection to a node, in its row; for who has not got that at hand.
 * True if it is not what was noted before.  Unknown ones are fine, and false.  Any thread.
 */
bool peer_rows_fault(struct peer_rows *r, node_id node, unsigned worker, enum peer_fault fault);
/*
 * Calls each() with a copy of every open row, without the registry's lock, which is taken for a few
 * rows at a time: what opens or closes meanwhile may be seen or not.  Any thread.
 */
void peer_rows_each(struct peer_rows *r, void (*each)(void *arg, const struct peer_row *row),
                    void *arg);

static inline int64_t
peer_row_get(const struct peer_row *row, enum peer_row_field field)
{
    return atomic_load_explicit(&row->value[field], memory_order_relaxed);
}

static inline void
peer_row_set(struct peer_row *row, enum peer_row_field field, int64_t value)
{
    if (row) {
        atomic_store_explicit(&row->value[field], value, memory_order_relaxed);
    }
}

static inline void
peer_row_add(struct peer_row *row, enum peer_row_field field, int64_t n)
{
    if (row) {
        peer_row_set(row, field, peer_row_get(row, field) + n);
    }
}

/* Notes the state, and since when if it is another. */
void peer_row_enter(struct peer_row *row, enum peer_row_state state, usec_t now);

/* "closed", "dialing", "up", "open", "half"; static. */
const char *peer_row_state_text(int64_t state);
/* "none", "refused", ...: one word; static. */
const char *peer_row_fault_text(int64_t fault);
