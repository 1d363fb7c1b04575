/*
 * history.h - what clients asked and were answered, and whether a cache may have answered so.
 *
 * Each operation that stores something stores a value of its own, made from the operation's number,
 * so that whoever reads it knows who wrote it.  Of a key are remembered: registers (get, set, add,
 * replace, cas, delete, touch), counters (incr) and lists (append, prepend).
 *
 * The checker is that of Wing and Gong with Lowe's memory: it searches an order of the operations
 * on a key that keeps to real time and that a plain map could have answered.  An operation whose
 * outcome is not known may take effect at any time after it began, or never.  If there were faults,
 * the map may forget a key at any time, and an answered miss says nothing: a cache may miss.
 *
 * flush_all goes by seconds and by each node's own clock: what is written shortly before or after
 * may survive it or not.
 */
#pragma once
#include "base/clock.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;

enum act {
    ACT_GET,
    ACT_GETS,
    ACT_GAT,
    ACT_TOUCH,
    ACT_SET,
    ACT_ADD,
    ACT_REPLACE,
    ACT_APPEND,
    ACT_PREPEND,
    ACT_CAS,
    ACT_DELETE,
    ACT_INCR,
    ACT_FLUSH,
    ACTS
};

enum done {
    DONE_PENDING,
    DONE_UNKNOWN, /* an error, or no answer: it may have happened, or may yet */
    DONE_OK,
    DONE_MISS,       /* not found */
    DONE_NOT_STORED, /* add, replace, append, prepend */
    DONE_EXISTS,     /* cas: another value is there */
};

/* What a key holds: a number, or a list of operations by whose values it was put together. */
struct content {
    bool exists;
    uint32_t len;   /* of the list; 0: a number */
    uint64_t value; /* the number, or a polynomial of the list */
};

struct deed {
    enum act act;
    enum done done;
    unsigned key, user;
    unsigned host; /* which the client talks to */
    usec_t began, ended;
    uint32_t length;         /* bytes of its value */
    uint64_t delta;          /* incr; set of a counter: the number */
    struct content expected; /* cas: what was there when the token was read */
    struct content got;      /* get; incr: the number */
    uint64_t token;          /* gets, gat: cas unique; cas: the one sent */
    uint32_t newest;         /* of those in got: the number of the operation that ended last */
    unsigned executed;       /* times, by any node */
    unsigned executor;
    unsigned forwards; /* frames in which it left a node */
    bool is_plain;     /* a get whose miss may mean that a peer was not reached */
};

#define KEY_ALL UINT32_MAX /* of flush_all */

enum key_class { KEY_REGISTER, KEY_COUNTER, KEY_LIST };
enum key_class key_class(unsigned key);

/* Spans of time. */
struct times {
    struct span {
        usec_t from, until;
    } * span;
    size_t count, size;
};

struct history {
    struct world *world;
    struct deed *op; /* [0] is nobody */
    uint32_t count, size;
    unsigned keys;
    /* history_check(): rows of the operations of each key, and of those on all. */
    uint32_t *key_first, *key_next, flush_first;
    /* When nodes disagreed on the ring, or it changed. */
    struct times moved;
    /* When one that runs was held for dead by another: it is not told of a flush_all. */
    struct times apart;
    /* Figures of history_check(). */
    uint64_t checked, hits, misses, unknown;
    uint64_t stale;     /* older than what was acknowledged; nodes disagreed on the ring */
    uint64_t unflushed; /* older than a flush_all, which a node was not told of */
    uint64_t undecided; /* keys for which the search took too long */
};

void history_init(struct history *h, struct world *w, unsigned keys);
void history_fini(struct history *h);

/* The number of a new operation, which begins now. */
uint32_t history_begin(struct history *h, const struct deed *op);
void history_end(struct history *h, uint32_t number, enum done done);

/* Bytes of the value that an operation stores, into room; returns how many: op->length. */
size_t value_write(const struct deed *op, uint32_t number, char *room);
/* How many bytes it needs for a text of about so many. */
uint32_t value_length(const struct deed *op, uint32_t number, uint32_t wish);
/*
 * Reads what is stored under a key: fills *ret and the number of the newest operation in it. False:
 * nobody wrote that; why says what is wrong.
 */
bool value_read(const struct history *h, unsigned key, struct slice bytes, struct content *ret,
                uint32_t *ret_newest, const char **why);
/* The operation whose value begins so, or 0. */
uint32_t value_number(struct slice bytes);

/* How many bytes from the front are those of the value that it begins as. */
size_t value_good(const struct history *h, struct slice bytes);

/* Adds a span, which ends no earlier than the last one; those that touch become one. */
void times_add(struct times *t, usec_t from, usec_t until);

/* What may explain an answer that a map would not give. */
struct excuses {
    bool loses;   /* the map may forget: nodes came or went, or had no memory */
    bool forgets; /* a plain get may be a miss although there is a value */
};

/* Checks all keys and ends the process if one is wrong. */
void history_check(struct history *h, const struct excuses *x);
