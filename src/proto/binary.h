/*
 * binary.h - memcached's binary protocol: packets to commands and back.
 *
 * No sockets, no clock, no allocation: the caller owns every byte.  The parser
 * has no state: a packet's header, extras and key must be in the input together
 * (at most BINARY_HEADER + 20 + KEY_MAX bytes: wrong sizes are refused by their header alone).
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
 *
 * Of *ret, everything in front of meta is set.  STATS has its argument in args, SASL_AUTH and
 * SASL_STEP have the mechanism in key.  SET stays SET with a cas to compare: every command that
 * carries one does (SET, ADD, REPLACE, APPEND, PREPEND, DELETE, INCR, DECR), 0 being none.
 *
 * A wrong packet is OP_ERROR with its answer; only its header is used up, has_value and value_len
 * tell what is left of it.  close_after is set if memcached closes after answering, and with QUIT.
 * An unknown opcode (RPL_BIN_UNKNOWN) leaves the connection usable.
 */
enum binary_result binary_parse(struct slice in, struct command *ret, size_t *used);

/*
 * Writes all of the answer that stands in front of its value, at most PROTO_HEAD_MAX bytes, and
 * returns how many; 0 where a quiet form keeps silent: gets about misses, all others
 * about success.
 *
 * r->cas is the item's wherever an item is left behind (hits, stores, numbers, TOUCHED), and
 * r->client_flags with HIT and TOUCHED.  Behind the head of an RPL_HIT follow r->value_len bytes.
 * An RPL_BLOB is taken for a body (SASL_LIST), except with STATS, where it holds whole packets
 * of binary_write_stat().  QUIT says its word both as RPL_OK and as RPL_CLOSE.
 */
size_t binary_write_head(const struct command *c, const struct reply *r, char *out);

/*
 * One packet of an answer to STAT; an empty name ends the list.  Writes BINARY_HEADER bytes and
 * those of name (at most 65535) and value.
 */
size_t binary_write_stat(const struct command *c, struct slice name, struct slice value,
                         char *out);
