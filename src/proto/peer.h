/*
 * peer.h - what nodes say to each other on TCP: greeting, commands for keys that the other owns,
 * their answers.
 *
 * A connection begins with a greeting of PEER_HELLO bytes from each side, the caller first.  Then
 * come frames, little-endian:
 *
 *     magic u8 . version u8 . type u8 . flags u8 . body_len u32 . id u64 . ring u64 .
 *     count u16 . first u16 . deadline_ms u32 . spare u32 . check u32          (PEER_HEADER bytes)
 *
 * check is the low half of XXH3 of the header before it: two sides that lost count of bytes find
 * out at once.  A body is at most PEER_BODY_MAX bytes, so a whole frame always fits a receive
 * buffer.
 *
 *   COMMANDS  count entries, each one command (peer_write_command); ring is the sender's digest:
 *             if it is the receiver's own, the receiver owns all of them
 *   ANSWERS   to the frame with this id: count entries from its first-th command on; each is what
 *             the client is to be sent, in the client's own protocol, ready-made
 *   PART      more bytes of the value of command (or answer) first of frame id; LAST: no more
 *   PING      answered by PONG with the same id
 *
 * The order of answers is not that of the frames: ids tell.  No allocation; all parsers check
 * lengths first.
 */
#pragma once
#include "base/slice.h"
#include "vocab/cluster.h"
#include "vocab/command.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- the greeting ------------------------------------------------------------------------------ */

#define PEER_HELLO 64 /* bytes */

enum peer_purpose {
    PEER_DATA = 1, /* frames of commands follow, for as long as the connection lives */
    PEER_SYNC,     /* push/pull: u32 length and a state from the caller, then from the other;
                      then it is over */
    PEER_PROBE,    /* nothing: the answer to the greeting is all */
};
enum peer_verdict {
    PEER_WELCOME = 0,
    PEER_LABEL,   /* of another cluster */
    PEER_VERSION, /* no version in common */
    PEER_BUSY,
    PEER_SELF,    /* it is itself who is called */
};

struct peer_hello {
    enum peer_purpose purpose;
    enum peer_verdict verdict;   /* of the answering side; the caller writes WELCOME */
    uint8_t           version_min, version_max;
    uint16_t          label;     /* gossip_label() of the cluster's name */
    uint16_t          worker;    /* DATA: index of the calling thread, to spread links over ours */
    node_id           from;
    uint64_t          nonce;     /* of its run */
    uint64_t          features;
};
/* "MAGPIE" and a NUL, format, ...; always PEER_HELLO bytes. */
void peer_write_hello(const struct peer_hello *h, char out[PEER_HELLO]);
/* False: not a greeting. */
bool peer_read_hello(const char in[PEER_HELLO], struct peer_hello *ret);

/* -- frames ------------------------------------------------------------------------------------ */

#define PEER_MAGIC    0xb7 /* first byte of every frame; no other protocol begins with it */
#define PEER_HEADER   40u  /* bytes */
#define PEER_BODY_MAX (60u << 10) /* bytes */
#define PEER_INLINE_MAX (48u << 10) /* bytes of a value that goes with its command or answer; longer
                                       ones come in PARTs */

enum peer_type { PEER_COMMANDS = 1, PEER_ANSWERS, PEER_PART, PEER_PING, PEER_PONG };
enum { PEER_LAST = 1 }; /* flags: of a PART */

struct peer_frame {
    enum peer_type type;
    uint8_t        flags;
    uint32_t       body_len;
    uint64_t       id;
    uint64_t       ring;
    uint16_t       count;
    uint16_t       first;
    uint32_t       deadline_ms; /* COMMANDS: how long the sender will wait at most; what the
                                   receiver cannot begin by then it drops (PEER_EXPIRED) */
};

enum peer_result {
    PEER_OK,
    PEER_MORE,      /* not all of it is there yet */
    PEER_MALFORMED, /* close the connection */
};

void peer_write_header(const struct peer_frame *f, char out[PEER_HEADER]);
/* Reads the header at the front of in; OK only if the whole frame is there. */
enum peer_result peer_read_frame(struct slice in, struct peer_frame *ret);

/* -- commands ---------------------------------------------------------------------------------- */

/* How a command's value comes. */
enum peer_value {
    PEER_VALUE_NONE,   /* it has none */
    PEER_VALUE_HERE,   /* behind the key */
    PEER_VALUE_PARTS,  /* in PARTs; the command is the only one of its frame */
    PEER_VALUE_REFUSED, /* not at all: it is too large for the sender; answer as if for us */
};

/* Bytes that peer_write_command() needs at most, without the value. */
#define PEER_COMMAND_MAX 1024u

/* Writes the command without its value, which the caller puts behind it; returns the bytes. */
size_t peer_write_command(const struct command *c, enum peer_value value, char *out);
/*
 * Reads the command at the front of *body and moves *body behind it, value included; fills c->value
 * if it is HERE.  c->hash is not filled.  What c points to is lent as the body is.
 */
enum peer_result peer_read_command(struct slice *body, struct command *c, enum peer_value *value);

/* -- answers ----------------------------------------------------------------------------------- */

#define PEER_ENTRY 8u /* bytes of an entry's head */
enum peer_entry_kind {
    PEER_ANSWER,    /* len bytes for the client */
    PEER_ANSWER_PARTS, /* the same, but the value comes in PARTs: it belongs in front of the last
                          tail of these bytes */
    PEER_NOT_OWNER, /* 8 bytes: the id of whom we take for the owner, or 0 */
    PEER_EXPIRED,   /* nothing: it was not executed, for it had waited too long */
};
struct peer_entry {
    enum peer_entry_kind kind;
    uint8_t              tail;  /* ANSWER_PARTS */
    uint32_t             len;
};
void peer_write_entry(const struct peer_entry *e, char out[PEER_ENTRY]);
/* Reads the entry at the front of *body and moves it behind; *bytes is its content. */
enum peer_result peer_read_entry(struct slice *body, struct peer_entry *ret, struct slice *bytes);
