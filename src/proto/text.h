/*
 * text.h - memcached's classic text protocol, and the door to the meta protocol: bytes to commands
 * and replies to bytes.
 *
 * No sockets, no clock, no allocation: the caller owns every byte.  A parser
 * is a plain value; a zeroed one is ready to use.  Behaviour follows memcached 1.6.45
 * (protocol.txt) save for the deviations listed in doc/compatibility.md.
 */
#pragma once
#include "base/slice.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/*
 * What a parser remembers between calls: a retrieval whose keys are handed out
 * one command at a time.
 */
struct text_parser {
    bool    in_keys; /* the rest of a retrieval's line, validated, lies at the front of the input */
    enum op op;
    int64_t exptime;
    size_t  line_seen; /* bytes of an unfinished line already searched for "\n" */
    size_t  keys_len;  /* in_keys: bytes in front of that line's end */
};

enum text_result {
    TEXT_CMD,   /* *ret holds a command; *used bytes are behind you */
    TEXT_MORE,  /* not a whole line yet; call again with these bytes and more */
    TEXT_CLOSE, /* the stream cannot be followed any further: close without a word */
};

/*
 * Parses at most one command from the front of in.
 *
 * Fills *ret and *used with TEXT_CMD only.  A line that is no command is a
 * command too: OP_ERROR with its answer, and, if its data block could be measured,
 * has_value and value_len say how much to swallow (that, plus "\r\n").
 * A retrieval line is validated whole before its first key is handed out, so
 * that one bad key withdraws the whole answer.  An empty retrieval never occurs: "get" without
 * a key is OP_ERROR.  in may hold up to GET_LINE_MAX bytes of one line.
 *
 * Of *ret, everything in front of meta is set, zero where the command has no such thing; meta only
 * with PROTO_META, and key_room only if key points there.
 */
enum text_result text_parse(struct text_parser *p, struct slice in, struct command *ret,
                            size_t *used);

/*
 * Writes all of the reply that stands before its value (all of it, if it has none; nothing if the
 * command is quiet) and returns the bytes written, at most PROTO_HEAD_MAX.  For PROTO_TEXT only.
 */
size_t text_write_head(const struct command *c, const struct reply *r, char *out);

/* Writes what stands behind the value of an RPL_HIT: "\r\n", and "END\r\n" after a last key. */
size_t text_write_tail(const struct command *c, const struct reply *r, char *out);
