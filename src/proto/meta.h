/*
 * meta.h - the flags of memcached's meta protocol (mg ms md ma me mn).
 *
 * text.c splits the lines; this file reads what stands behind the word and
 * writes the answers.  No sockets, no clock, no allocation.
 */
#pragma once
#include "base/slice.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/*
 * Reads the tokens of one meta line (rest: everything behind the word and its blank, line end cut)
 * into *ret, whose op is set and whose other fields in front of meta are zero.  Turns it into
 * OP_ERROR with the right answer if they are wrong; for a bad ms line whose length could be read,
 * has_value and value_len tell what to swallow.
 */
void meta_parse(struct slice rest, struct command *ret);

/* True if a line of text can carry the key as it is. */
bool meta_key_plain(struct slice key);

/* As text_write_head(), for commands with PROTO_META. */
size_t meta_write_head(const struct command *c, const struct reply *r, char *out);

/* As text_write_tail(). */
size_t meta_write_tail(const struct command *c, const struct reply *r, char *out);
