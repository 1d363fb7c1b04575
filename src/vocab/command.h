/*
 * command.h - one command as a value, whatever protocol it came in.
 *
 * The parsers of proto/ fill it, node/ executes it, and the writers of proto/
 * look at it again to shape the reply.
 */
#pragma once
#include "base/slice.h"
#include "vocab/limits.h"
#include "vocab/reply.h"
#include <stdbool.h>
#include <stdint.h>

enum op {
#define COMMAND(id, ...) OP_##id,
#include "vocab/commands.def"
    OPS
};

enum command_kind { KIND_RETRIEVE, KIND_STORE, KIND_MODIFY, KIND_META, KIND_ADMIN };

/* The word of the text protocol, or NULL. */
const char *op_word(enum op op);
enum command_kind op_kind(enum op op);
const char *op_help(enum op op);

enum protocol { PROTO_TEXT, PROTO_META, PROTO_BINARY };

/* A bit of meta.has for a flag letter, 'A'..'z'. */
#define META_BIT(letter) (UINT64_C(1) << ((letter) - 'A'))

/* What only meta commands carry. */
struct meta_args {
    uint64_t     has;                     /* META_BIT of every flag given, F, T, C, D, J included */
    char         returned[META_FLAGS_MAX]; /* flag letters in the order asked */
    uint8_t      returned_count;
    char         mode;                    /* first character of M, or 0 */
    uint8_t      at_t, at_T, at_N, at_R;  /* place of this flag among all, from 1; 0: not given.
                                             They take effect in their order */
    int32_t      ttl;                     /* T: seconds as sent */
    int32_t      vivify_ttl;              /* N */
    int32_t      recache_ttl;             /* R */
    uint64_t     new_cas;                 /* E */
    struct slice opaque;                  /* O, without the letter */
    struct slice key_sent;                /* key as the client wrote it (base64 with b) */
};

/*
 * One command.  The slices are lent until the bytes given to the parser move;
 * a decoded base64 key lies in key_room.  Fields that a command does not have are zero, save that
 * meta and key_room hold anything unless protocol is PROTO_META.
 */
struct command {
    enum op         op;
    enum protocol   protocol;
    bool            quiet;        /* text: noreply; meta: q; binary: the ...Q form */
    bool            last;         /* retrieval in text: last key of its line, END follows */
    bool            has_value;    /* value_len bytes follow (then "\r\n", unless binary) */
    bool            close_after;  /* the connection ends once this is answered */
    bool            key_binary;   /* meta: the key came as base64 */
    enum reply_code error;        /* OP_ERROR: the answer; flush_all: RPL_BAD_EXPTIME, or 0 */
    uint8_t         opcode;       /* binary: as received */
    uint32_t        opaque;       /* binary: as received, in host order of its bytes */
    uint32_t        client_flags;
    uint32_t        value_len;    /* bytes */
    int64_t         exptime;      /* as sent: 0 never, < 0 gone, <= 30 days relative, else unix */
    bool            has_exptime;  /* flush_all, gat, touch; binary incr: false = do not create */
    uint64_t        cas;          /* compare with this: OP_CAS, meta C; binary: any, 0 is none */
    uint64_t        delta;        /* incr, decr, ma; level of "verbosity", MB of "cache_memlimit" */
    uint64_t        initial;      /* binary incr/decr and ma J */
    uint64_t        hash;         /* of the key; filled by the session */
    struct slice    key;
    struct slice    value;        /* filled by the session when all of it is in the buffer */
    struct slice    args;         /* ADMIN: the rest of the line behind the word, noreply too;
                                     binary stat: the key; SASL: mechanism in key, data in value */
    struct meta_args meta;
    char            key_room[192]; /* a decoded base64 key: at most 187 bytes */
};
