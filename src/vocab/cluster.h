/*
 * cluster.h - the words of a cluster: who a node is, what gossip says of it, what the ring is made
 * of.
 *
 * Values only.  cluster/ decides by them, proto/gossip turns them into bytes, node/control joins
 * the two; they know each other by nothing else.
 */
#pragma once
#include "base/clock.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLUSTER_HOST_MAX    63    /* bytes of the name that clients have for a node */
#define CLUSTER_ZONE_MAX    15    /* bytes */
#define CLUSTER_LABEL_MAX   63    /* bytes of the cluster's name */
#define CLUSTER_MEMBERS_MAX 16384 /* a node that hears of more refuses them, and counts */
#define CLUSTER_OWNERS_MAX  8     /* copies of a key, at most */
#define CLUSTER_WEIGHT_MAX  1000  /* a node that claims more is not believed */
#define CLUSTER_PARTITIONS  4096  /* of the hash space: its top 12 bits */
#define CLUSTER_VERSION_MIN 1     /* what this build speaks */
#define CLUSTER_VERSION     1

/* Who a node is, for ever: random, or made from its name.  0 is nobody. */
typedef uint64_t node_id;

/* Where a node is: an address of IPv6, or of IPv4 as ::ffff:a.b.c.d, in network order. */
struct cluster_addr {
    uint8_t  ip[16];
    uint16_t port; /* host order */
};

/* What a node says of itself. */
enum member_phase { PHASE_JOINING, PHASE_SYNCING, PHASE_UP, PHASE_DRAINING, PHASE_LEFT };
/* What others hold of it. */
enum member_state { MEMBER_ALIVE, MEMBER_SUSPECT, MEMBER_DEAD, MEMBER_LEFT };

/* What a node says of itself; only the node changes it, and raises the incarnation when it does. */
struct member_info {
    node_id             id;
    uint64_t            incarnation; /* starts at the time since 1970, in 16ths of a second */
    uint64_t            nonce;       /* of this run of the process, greater than that of an earlier
                                        one: its start in microseconds since 1970 */
    struct cluster_addr addr;        /* gossip by UDP, peers by TCP */
    uint16_t            client_port; /* memcached's protocols */
    uint16_t            weight;      /* share of keys, relative to others; 0: owns nothing */
    uint16_t            workers;     /* threads that take data links */
    uint8_t             phase;       /* enum member_phase */
    uint8_t             version_min, version_max; /* of the protocols between nodes */
    uint64_t            features;    /* bits */
    uint32_t            ring_ops;    /* how many it knows */
    uint64_t            ring_digest;
    char                host[CLUSTER_HOST_MAX + 1]; /* by which clients know it, NUL-terminated */
    char                zone[CLUSTER_ZONE_MAX + 1];
};

#define CLUSTER_NAME_MAX (CLUSTER_HOST_MAX + 9) /* bytes of "[host]:65535" and its NUL */
/* Where clients reach a node, as they are told it: "host:port", or "[v6]:port".  Returns out. */
const char *cluster_name_print(const char *host, uint16_t client_port, char out[CLUSTER_NAME_MAX]);

/* -- the ring ---------------------------------------------------------------------------------- */

enum ring_placement { RING_NATIVE, RING_KETAMA_WEIGHTED, RING_KETAMA_OAT };

/*
 * One fact about the ring.  The ring is a function of the set of them: of two about the same node
 * (or both about the placement) the one with the greater (stamp, proposer) counts.
 */
enum ring_op_kind {
    RING_OP_MEMBER = 1, /* node has a place: host, port, weight, zone say which */
    RING_OP_REMOVED,    /* node has none */
    RING_OP_PLACEMENT,  /* node is 0: how keys are placed, and how many owners each has */
};

struct ring_op {
    enum ring_op_kind kind;
    node_id           node;
    usec_t            stamp;    /* time of day of who proposed it, raised above what it replaces */
    node_id           proposer;
    uint16_t          client_port;
    uint16_t          weight;
    uint8_t           placement; /* enum ring_placement */
    uint8_t           replicas;  /* 1..CLUSTER_OWNERS_MAX */
    char              host[CLUSTER_HOST_MAX + 1];
    char              zone[CLUSTER_ZONE_MAX + 1];
};

/* -- gossip ------------------------------------------------------------------------------------ */

/* SWIM: Das, Gupta, Motivala 2002; NACK and the buddy rule: Lifeguard, Dadgar et al. 2018. */
enum gossip_kind {
    GOSSIP_PING = 1, /* seq; id: who is asked.  Not answered by anybody else */
    GOSSIP_ACK,      /* seq */
    GOSSIP_NACK,     /* seq: the one you had me ask does not answer me either */
    GOSSIP_PING_REQ, /* seq; id, addr: ask this one for me */
    GOSSIP_ALIVE,    /* info */
    GOSSIP_SUSPECT,  /* id, incarnation; from: who says so */
    GOSSIP_DEAD,     /* likewise; from == id: it left */
    GOSSIP_RING,     /* op */
    GOSSIP_DIGEST,   /* digest, ring_digest: what the sender of a state holds, in short */
};

struct gossip_message {
    enum gossip_kind          kind;
    uint32_t                  seq;
    node_id                   id;
    node_id                   from;
    uint64_t                  incarnation;
    struct cluster_addr       addr;
    enum member_state         state; /* of ALIVE in a whole state: what the sender holds of it */
    const struct member_info *info;  /* lent as the packet says */
    struct ring_op            op;
    uint64_t                  digest;      /* of the members */
    uint64_t                  ring_digest; /* of the facts about the ring */
};

#define GOSSIP_PACKET_MAX 1232 /* bytes of a datagram: fits every path of IPv6, in tunnels too */
#define GOSSIP_STATE_MAX  (8u << 20) /* bytes of a whole state: all members and ops */

/* Bytes that a message takes in a datagram; proto/gossip writes exactly so many. */
size_t gossip_size(const struct gossip_message *m);
/* Bytes of a datagram that are not messages: header, and room for what encryption adds. */
#define GOSSIP_OVERHEAD 72
