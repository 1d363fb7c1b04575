/*
 * reply.h - the outcome of one command as a value; proto/ turns it into bytes.
 */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

enum reply_code {
#define REPLY(id, ...) RPL_##id,
#include "vocab/replies.def"
    REPLIES
};

/* The line of the classic protocol without "\r\n", or NULL. */
const char *reply_text(enum reply_code code);
/* The two letters of the meta protocol, or NULL. */
const char *reply_meta(enum reply_code code);
/* The status of the binary protocol. */
uint16_t reply_status(enum reply_code code);
/*
 * True for everything from RPL_ERROR on: not an outcome but a complaint, shown even to quiet
 * commands of the meta protocol.
 */
static inline bool
reply_is_error(enum reply_code code)
{
    return code >= RPL_ERROR;
}

/* True if the connection is something else after this answer. */
static inline bool
reply_takes_over(enum reply_code code)
{
    return code == RPL_WATCHING || code == RPL_DUMPING;
}

/*
 * What a command did.  Fields have a meaning only where the code and the
 * command give them one.
 */
struct reply {
    enum reply_code code;
    bool            has_item;     /* the item_ fields below are true */
    bool            fetched;      /* meta h: hit before this command */
    bool            won;          /* meta W */
    bool            stale;        /* meta X */
    bool            sent;         /* meta Z: somebody else holds the token */
    bool            key_binary;   /* the item's key was stored as base64: k answers base64 and b */
    uint32_t        client_flags;
    uint32_t        value_len;    /* bytes of the value that follows (HIT), or meta s */
    int64_t         ttl;          /* seconds left, -1 never: meta t (before or after T: decided) */
    uint32_t        idle;         /* meta l: seconds since the last access */
    uint64_t        cas;
    uint64_t        number;       /* RPL_NUMBER */
    struct slice    value;        /* HIT: the bytes, if they are not pinned; BLOB: the bytes */
    void           *pinned;       /* HIT: an item whose value is sent from the slab; else NULL */
};
