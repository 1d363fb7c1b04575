#include "proto/gossip.h"
#include "base/hash.h"

#include <assert.h>

#define MAGIC    0xb6 /* first byte of every packet */
#define CRITICAL 0x80 /* of a type: who does not know it must not read the packet */
#define TLV      3u   /* bytes: type, length */

uint16_t
gossip_label(const char *cluster)
{
    return (uint16_t)hash_bytes(cluster, strlen(cluster));
}

/* -- bytes ------------------------------------------------------------------------------------- */

static char *
put(char *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        p[i] = (char)(unsigned char)(value >> (8 * i));
    }
    return p + bytes;
}

static char *
put_text(char *p, const char *text)
{
    size_t n = strlen(text);

    p = put(p, n, 1);
    memcpy(p, text, n);
    return p + n;
}

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }; /* before an address of IPv4 */

static char *
put_addr(char *p, const struct cluster_addr *a)
{
    bool   v4 = memcmp(a->ip, mapped, sizeof mapped) == 0;
    size_t skip = v4 ? sizeof mapped : 0;

    p = put(p, v4 ? 4 : 6, 1);
    p = put(p, a->port, 2);
    memcpy(p, a->ip + skip, sizeof a->ip - skip);
    return p + sizeof a->ip - skip;
}

/* What is read from.  Once something was not there, everything is zero and bad is set. */
struct input {
    struct slice rest;
    bool         bad;
};

static uint64_t
get(struct input *in, unsigned bytes)
{
    uint64_t value = 0;

    if (in->rest.len < bytes) {
        in->bad = true;
        in->rest.len = 0;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)(unsigned char)in->rest.ptr[i] << (8 * i);
    }
    in->rest = slice_from(in->rest, bytes);
    return value;
}

/* Reads into out, which has room for max bytes and a NUL; what is behind the NUL is zero. */
static void
get_text(struct input *in, char *out, size_t max)
{
    size_t n = (size_t)get(in, 1);

    memset(out, 0, max + 1);
    if (n > max || n > in->rest.len) {
        in->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char c = in->rest.ptr[i];

        in->bad |= c <= ' ' || c > '~' || c == '|';
        out[i] = c;
    }
    in->rest = slice_from(in->rest, n);
}

static void
get_addr(struct input *in, struct cluster_addr *ret)
{
    uint64_t kind = get(in, 1);
    size_t   skip = kind == 4 ? sizeof mapped : 0;

    ret->port = (uint16_t)get(in, 2);
    if ((kind != 4 && kind != 6) || in->rest.len < sizeof ret->ip - skip) {
        in->bad = true;
        return;
    }
    memcpy(ret->ip, mapped, sizeof mapped);
    memcpy(ret->ip + skip, in->rest.ptr, sizeof ret->ip - skip);
    in->rest = slice_from(in->rest, sizeof ret->ip - skip);
}

/* -- descriptions ------------------------------------------------------------------------------ */

static char *
put_info(char *p, const struct member_info *i)
{
    p = put(p, i->id, 8);
    p = put(p, i->incarnation, 8);
    p = put(p, i->nonce, 8);
    p = put_addr(p, &i->addr);
    p = put(p, i->client_port, 2);
    p = put(p, i->weight, 2);
    p = put(p, i->workers, 2);
    p = put(p, i->phase, 1);
    p = put(p, i->version_min, 1);
    p = put(p, i->version_max, 1);
    p = put(p, i->features, 8);
    p = put(p, i->ring_ops, 4);
    p = put(p, i->ring_digest, 8);
    p = put_text(p, i->host);
    return put_text(p, i->zone);
}

static void
get_info(struct input *in, struct member_info *ret)
{
    ret->id = get(in, 8);
    ret->incarnation = get(in, 8);
    ret->nonce = get(in, 8);
    get_addr(in, &ret->addr);
    ret->client_port = (uint16_t)get(in, 2);
    ret->weight = (uint16_t)get(in, 2);
    ret->workers = (uint16_t)get(in, 2);
    ret->phase = (uint8_t)get(in, 1);
    ret->version_min = (uint8_t)get(in, 1);
    ret->version_max = (uint8_t)get(in, 1);
    ret->features = get(in, 8);
    ret->ring_ops = (uint32_t)get(in, 4);
    ret->ring_digest = get(in, 8);
    get_text(in, ret->host, CLUSTER_HOST_MAX);
    get_text(in, ret->zone, CLUSTER_ZONE_MAX);
    in->bad |= ret->id == 0 || ret->phase > PHASE_LEFT || ret->version_min > ret->version_max;
}

static char *
put_op(char *p, const struct ring_op *op)
{
    p = put(p, op->kind, 1);
    p = put(p, op->node, 8);
    p = put(p, (uint64_t)op->stamp, 8);
    p = put(p, op->proposer, 8);
    p = put(p, op->client_port, 2);
    p = put(p, op->weight, 2);
    p = put(p, op->placement, 1);
    p = put(p, op->replicas, 1);
    p = put_text(p, op->host);
    return put_text(p, op->zone);
}

static void
get_op(struct input *in, struct ring_op *ret)
{
    uint64_t kind = get(in, 1);

    ret->node = get(in, 8);
    ret->stamp = (usec_t)get(in, 8);
    ret->proposer = get(in, 8);
    ret->client_port = (uint16_t)get(in, 2);
    ret->weight = (uint16_t)get(in, 2);
    ret->placement = (uint8_t)get(in, 1);
    ret->replicas = (uint8_t)get(in, 1);
    get_text(in, ret->host, CLUSTER_HOST_MAX);
    get_text(in, ret->zone, CLUSTER_ZONE_MAX);
    if (kind < RING_OP_MEMBER || kind > RING_OP_PLACEMENT) {
        in->bad = true;
        return;
    }
    ret->kind = (enum ring_op_kind)kind;
    in->bad |= (ret->kind == RING_OP_PLACEMENT) != (ret->node == 0) || ret->stamp < 0 ||
               ret->placement > RING_KETAMA_OAT || ret->replicas > CLUSTER_OWNERS_MAX ||
               (ret->kind == RING_OP_PLACEMENT && ret->replicas == 0);
}

/* -- messages ---------------------------------------------------------------------------------- */

size_t
gossip_write_header(const struct gossip_header *h, char *out, size_t size)
{
    char *p = out;

    assert(h->from != 0);
    if (size < GOSSIP_HEADER) {
        return 0;
    }
    p = put(p, MAGIC, 1);
    p = put(p, h->version, 1);
    p = put(p, h->flags, 1);
    p = put(p, 0, 1);
    p = put(p, h->label, 2);
    p = put(p, 0, 2);
    p = put(p, h->from, 8);
    p = put(p, h->nonce, 8);
    p = put(p, h->sequence, 8);
    assert(p == out + GOSSIP_HEADER);
    return GOSSIP_HEADER;
}

size_t
gossip_write(const struct gossip_message *m, char *out, size_t size)
{
    size_t n = gossip_size(m);
    char  *p = out;

    if (n > size) {
        return 0;
    }
    p = put(p, m->kind, 1);
    p = put(p, n - TLV, 2);
    switch (m->kind) {
    case GOSSIP_PING:
        p = put(p, m->seq, 4);
        p = put(p, m->id, 8);
        break;
    case GOSSIP_ACK:
    case GOSSIP_NACK:
        p = put(p, m->seq, 4);
        break;
    case GOSSIP_PING_REQ:
        p = put(p, m->seq, 4);
        p = put(p, m->id, 8);
        p = put_addr(p, &m->addr);
        break;
    case GOSSIP_ALIVE:
        assert(m->info->id != 0);
        p = put(p, m->state, 1);
        p = put_info(p, m->info);
        break;
    case GOSSIP_SUSPECT:
    case GOSSIP_DEAD:
        p = put(p, m->id, 8);
        p = put(p, m->incarnation, 8);
        p = put(p, m->from, 8);
        break;
    case GOSSIP_RING:
        p = put_op(p, &m->op);
        break;
    case GOSSIP_DIGEST:
        p = put(p, m->digest, 8);
        p = put(p, m->ring_digest, 8);
        break;
    }
    assert(p == out + n);
    return n;
}

/* Looks at all types and lengths, so that a packet is refused before anything in it is believed. */
static enum gossip_result
packet_check(struct slice rest)
{
    while (rest.len > 0) {
        struct input in = { .rest = rest };
        uint64_t     type = get(&in, 1);
        uint64_t     len = get(&in, 2);

        if (in.bad || len > in.rest.len) {
            return GOSSIP_MALFORMED;
        }
        if (type & CRITICAL) {
            return GOSSIP_VERSION;
        }
        rest = slice_from(in.rest, (size_t)len);
    }
    return GOSSIP_OK;
}

enum gossip_result
gossip_open(struct gossip_reader *r, struct slice packet, uint16_t label)
{
    struct input          in = { .rest = packet };
    struct gossip_header *h = &r->header;

    *r = (struct gossip_reader){ 0 };
    if (get(&in, 1) != MAGIC || packet.len < GOSSIP_HEADER) {
        return GOSSIP_MALFORMED;
    }
    h->version = (uint8_t)get(&in, 1);
    h->flags = (uint8_t)get(&in, 1);
    (void)get(&in, 1);
    h->label = (uint16_t)get(&in, 2);
    (void)get(&in, 2);
    h->from = get(&in, 8);
    h->nonce = get(&in, 8);
    h->sequence = get(&in, 8);
    if (h->version != GOSSIP_FORMAT) {
        return GOSSIP_VERSION;
    }
    if (h->label != label) {
        return GOSSIP_LABEL;
    }
    if (h->flags != 0) {
        return GOSSIP_VERSION;
    }
    if (h->from == 0) {
        return GOSSIP_MALFORMED;
    }
    r->rest = in.rest;
    return packet_check(r->rest);
}

/* Reads the body of a message of a known type; what is behind its fields does not matter. */
static void
body_read(struct input *in, struct gossip_message *m, struct member_info *info)
{
    uint64_t state;

    switch (m->kind) {
    case GOSSIP_PING:
    case GOSSIP_PING_REQ:
        m->seq = (uint32_t)get(in, 4);
        m->id = get(in, 8);
        in->bad |= m->id == 0;
        if (m->kind == GOSSIP_PING_REQ) {
            get_addr(in, &m->addr);
        }
        break;
    case GOSSIP_ACK:
    case GOSSIP_NACK:
        m->seq = (uint32_t)get(in, 4);
        break;
    case GOSSIP_ALIVE:
        state = get(in, 1);
        m->state = state <= MEMBER_LEFT ? (enum member_state)state : MEMBER_ALIVE;
        in->bad |= state > MEMBER_LEFT;
        get_info(in, info);
        m->info = info;
        m->id = info->id;
        m->incarnation = info->incarnation;
        break;
    case GOSSIP_SUSPECT:
    case GOSSIP_DEAD:
        m->id = get(in, 8);
        m->incarnation = get(in, 8);
        m->from = get(in, 8);
        in->bad |= m->id == 0 || m->from == 0;
        break;
    case GOSSIP_RING:
        get_op(in, &m->op);
        break;
    case GOSSIP_DIGEST:
        m->digest = get(in, 8);
        m->ring_digest = get(in, 8);
        break;
    }
}

enum gossip_result
gossip_next(struct gossip_reader *r, struct gossip_message *ret)
{
    while (r->rest.len > 0) {
        struct gossip_message m = { 0 };
        struct input          in = { .rest = r->rest };
        uint64_t              type = get(&in, 1);
        uint64_t              len = get(&in, 2);

        if (in.bad || len > in.rest.len || (type & CRITICAL)) {
            return GOSSIP_MALFORMED; /* gossip_open() refused it, and it was read all the same */
        }
        r->rest = slice_from(in.rest, (size_t)len);
        if (type < GOSSIP_PING || type > GOSSIP_DIGEST) {
            continue;
        }
        in.rest.len = (size_t)len;
        m.kind = (enum gossip_kind)type;
        r->info = (struct member_info){ 0 };
        body_read(&in, &m, &r->info);
        if (in.bad) {
            return GOSSIP_MALFORMED;
        }
        *ret = m;
        return GOSSIP_OK;
    }
    return GOSSIP_END;
}
