/*
 * gossip.h - gossip between nodes as bytes: datagrams, and the states that push/pull carries.
 *
 * A datagram: a header {magic, version, flags, label (16 bits of the hash of the cluster's name),
 * sender (8), nonce (8), sequence (8)}, then TLVs {type u8, length u16, bytes}, little-endian.  A
 * type that is not known is skipped, unless its critical bit (0x80) is set: then the packet is
 * refused.  Fields behind those that are known are skipped as well, so that a message may grow.
 * One flag says that what follows the header is encrypted; it is refused until that exists.
 *
 * A state is the same header and any number of TLVs, of which the first is a digest: of all that
 * its sender holds if it is whole, or nothing but that digest.
 *
 * Names (host, zone) are printable ASCII without blanks and "|", or the packet is malformed: they
 * may be printed as they are.
 *
 * No allocation: the caller owns every byte.
 */
#pragma once
#include "base/slice.h"
#include "vocab/cluster.h"

struct gossip_header {
    uint16_t label;    /* gossip_label() of the cluster's name */
    uint8_t  version;  /* of the format */
    uint8_t  flags;
    node_id  from;
    uint64_t nonce;
    uint64_t sequence; /* rises by one with every packet of a run */
};

#define GOSSIP_HEADER    32u /* bytes */
#define GOSSIP_FORMAT    1   /* the version that is written */
#define GOSSIP_ENCRYPTED 1   /* flags */

uint16_t gossip_label(const char *cluster);

enum gossip_result {
    GOSSIP_OK,
    GOSSIP_END,       /* no more messages */
    GOSSIP_MALFORMED, /* not a packet */
    GOSSIP_VERSION,   /* a version or a critical field that we do not speak */
    GOSSIP_LABEL,     /* of another cluster */
};

/* Where a reader is in a packet, and room for what its messages point to. */
struct gossip_reader {
    struct slice         rest;
    struct gossip_header header;
    struct member_info   info; /* of the message read last */
};

/* Reads the header. */
enum gossip_result gossip_open(struct gossip_reader *r, struct slice packet, uint16_t label);
/* Reads the next message; what it points to is lent until the next call. */
enum gossip_result gossip_next(struct gossip_reader *r, struct gossip_message *ret);

/* Write into out, which has size bytes; return how many, or 0 if it does not fit. */
size_t gossip_write_header(const struct gossip_header *h, char *out, size_t size);
size_t gossip_write(const struct gossip_message *m, char *out, size_t size);
