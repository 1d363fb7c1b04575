/*
 * dialect.h - a client's side of the three protocols: requests to bytes, bytes to answers.
 *
 * Only what a load needs: fetch one key or many, store, delete and increment one.  No sockets.
 */
#pragma once
#include "base/buf.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define DIALECT_LINE_MAX 4096u /* bytes; a line or short packet that is longer is no answer */

enum dialect { DIALECT_TEXT, DIALECT_META, DIALECT_BINARY };

/* What a request does. */
enum verb { VERB_GET, VERB_SET, VERB_DELETE, VERB_INCR, VERBS };

enum dialect_result {
    DIALECT_ANSWER, /* *ret holds one; *used bytes are behind you */
    DIALECT_MORE,   /* call again with these bytes and more */
    DIALECT_LOST,   /* no answer begins like this */
};

enum answer_kind {
    ANSWER_VALUE,  /* value_len bytes and tail bytes of line end follow */
    ANSWER_NUMBER, /* what a counter has become */
    ANSWER_MISS,   /* of a lone key */
    ANSWER_DONE,   /* stored or deleted */
    ANSWER_END,    /* nothing but the end of a request */
    ANSWER_ERROR,  /* text says what */
};

/* The slices are lent until the bytes given to dialect_read() move. */
struct answer {
    enum answer_kind kind;
    bool             ends;  /* the request is answered, once the value is there */
    bool             has_key;
    struct slice     key;
    struct slice     text;
    uint64_t         number;
    uint32_t         flags;
    uint32_t         value_len; /* bytes */
    uint32_t         tail;      /* bytes */
};

/* "text", "meta" or "binary"; false: none of them. */
bool dialect_parse_name(const char *name, enum dialect *ret);
const char *dialect_name(enum dialect d);
/* "get", "set", "delete" or "incr"; false: none of them. */
bool dialect_parse_verb(struct slice name, enum verb *ret);
const char *dialect_verb(enum verb v);

/* Append a request; false: no memory.  Several keys are one request with one end. */
MUST_CHECK bool dialect_write_get(enum dialect d, struct buf *out, const struct slice *keys,
                                  unsigned count);
/* exptime as the protocols have it: 0 never, up to 30 days relative, else a time. */
MUST_CHECK bool dialect_write_set(enum dialect d, struct buf *out, struct slice key,
                                  uint32_t flags, uint32_t exptime, struct slice value);
MUST_CHECK bool dialect_write_delete(enum dialect d, struct buf *out, struct slice key);
/* By 1, of a counter that must be there. */
MUST_CHECK bool dialect_write_incr(enum dialect d, struct buf *out, struct slice key);

/* Reads one answer to such a request, to a get of several keys if many is true. */
enum dialect_result dialect_read(enum dialect d, enum verb verb, bool many, struct slice in,
                                 struct answer *ret, size_t *used);
