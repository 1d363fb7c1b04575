/*
 * binary.h - memcached's binary protocol: packets to commands and back.
 *
 * No sockets, no clock, no allocation: the caller owns every byte.  The parser
 * has no state: a packet's header, extras and key must be in the input together
 * (at most 24 + 255 + 65535 bytes are ever asked for; oversized keys are refused by their header).
 */
#pragma once
#include "base/slice.h"
#include "vocab/command.h"
#include "vocab/reply.h"

#define BINARY_REQUEST  0x80 /* first byte of a request, which tells this protocol from text */
#define BINARY_RESPONSE 0x81
#define BINARY_HEADER   24   /* bytes */

enum binary_result {
    BINARY_CMD,   /* *ret holds a command; *used bytes are behind you */
    BINARY_MORE,  /* call again with these bytes and more */
    BINARY_CLOSE, /* wrong magic: close without a word */
};

/*
 * Parses at most one request from the front of in.  Header, extras and key are
 * used up; a value, if any, follows (has_value, value_len; no line end).
 * A wrong packet is OP_ERROR with its answer and has_value/value_len for what is left of its body;
 * with close_after set if memcached closes after answering.
 */
enum binary_result binary_parse(struct slice in, struct command *ret, size_t *used);

/* As text_write_head(): header, extras, key and, for errors, the text; quiet forms write nothing where
 * the protocol wants silence. */
size_t binary_write_head(const struct command *c, const struct reply *r, char *out);

/* One packet of an answer to STAT; an empty name ends the list.  Writes at most 24 + both lengths. */
size_t binary_write_stat(const struct command *c, struct slice name, struct slice value, char *out);
