/*
 * talk.h - what simulated clients say, and a model that knows what they must hear.
 */
#pragma once
#include "base/buf.h"
#include "base/rng.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALK_CLIENTS 50
#define TALK_SHARED  100 /* keys of everybody; behind them each client's own */
#define TALK_PRIVATE 6
#define TALK_KEYS    (TALK_SHARED + TALK_CLIENTS * TALK_PRIVATE)
#define TALK_LARGE   150000 /* bytes of a value that is too large */

/* Those behind ..._LOUD may be executed without an answer: only on keys of the client's own. */
enum kind {
    K_GET, K_GETS, K_GAT, K_SET, K_ADD, K_REPLACE, K_APPEND, K_PREPEND, K_CAS, K_DELETE, K_INCR,
    K_DECR, K_TOUCH, K_MG, K_MS, K_MD, K_MN, K_BAD, K_CHUNK, K_LARGE, TEXT_LOUD,
    K_MULTI = TEXT_LOUD, K_QUIET_SET, K_QUIET_DELETE, K_QUIET_MG, K_QUIET_MS, TEXT_KINDS,
    B_GET = TEXT_KINDS, B_SET, B_ADD, B_DELETE, B_INCR, B_NOOP, BINARY_LOUD,
    B_QUIET_GET = BINARY_LOUD, B_QUIET_SET, B_KINDS
};

/* One command. */
struct ask {
    enum kind   kind;
    unsigned    key;
    unsigned    count;  /* of keys from key on, for K_MULTI */
    uint32_t    flags, ttl, opaque;
    uint64_t    delta, initial, cas;
    const char *value;
    size_t      len;
    char        digits[24]; /* where value points if it is a number */
    uint64_t    end;        /* of its bytes in what the client sends */
    size_t      done;       /* bytes of its answer queued when a turn ended, for K_MULTI */
};

struct entry {
    bool       there;
    uint32_t   flags, expires;
    struct buf value;
    uint64_t   cas; /* 0: not seen yet */
};

/* What the node holds. */
struct model {
    struct entry entry[TALK_KEYS];
    uint32_t     seconds; /* on the store's clock */
    const char  *wrong;   /* what an answer got wrong besides its bytes, or NULL */
};

/* The entry if it is alive, else NULL. */
struct entry *model_find(struct model *m, unsigned key);
/*
 * Executes a command in the model and appends the answer to out.  actual is what the session
 * answered: the cas uniques in it are the one thing that the model cannot know, it only checks that
 * they stay.
 */
void model_expect(struct model *m, const struct ask *o, struct buf *out, struct slice actual);

/* Fills the bytes that values are made of. */
void talk_init(void);
bool talk_is_private(enum kind k);
/* A random command of a client. */
void talk_random(struct ask *o, struct rng *r, const struct model *m, unsigned client, bool binary);
/* Appends its bytes to out. */
void talk_write(struct buf *out, const struct ask *o);

/* For the model's and the talk's own memory. */
void talk_need(bool ok);
const char *talk_key(unsigned key, char *room);
/* A number of so many bytes in network order. */
void talk_put(struct buf *b, uint64_t n, int bytes);
struct binary_fields {
    uint8_t  magic, opcode;
    size_t   key, extras, body;
    unsigned status;
    uint32_t opaque;
    uint64_t cas;
};
void talk_put_header(struct buf *out, const struct binary_fields *f);
