#include "vocab/cluster.h"

#include <assert.h>
#include <stdio.h>

const char *
cluster_name_print(const char *host, uint16_t client_port, char out[CLUSTER_NAME_MAX])
{
    (void)snprintf(out, CLUSTER_NAME_MAX, strchr(host, ':') ? "[%.63s]:%u" : "%.63s:%u", host,
                   client_port);
    return out;
}

#define TLV 3 /* bytes: type, length */

/* Bytes of an address: what kind of address follows, port, address. */
static size_t
addr_size(const struct cluster_addr *a)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    return memcmp(a->ip, mapped, sizeof mapped) == 0 ? 1 + 2 + 4 : 1 + 2 + 16;
}

static size_t
info_size(const struct member_info *i)
{
    return 8 + 8 + 8 + addr_size(&i->addr) + 2 + 2 + 2 + 1 + 1 + 1 + 8 + 4 + 8 + 1 +
           strlen(i->host) + 1 + strlen(i->zone);
}

size_t
gossip_size(const struct gossip_message *m)
{
    switch (m->kind) {
    case GOSSIP_PING:
        return TLV + 4 + 8;
    case GOSSIP_ACK:
    case GOSSIP_NACK:
        return TLV + 4;
    case GOSSIP_PING_REQ:
        return TLV + 4 + 8 + addr_size(&m->addr);
    case GOSSIP_ALIVE:
        return TLV + 1 + info_size(m->info);
    case GOSSIP_SUSPECT:
    case GOSSIP_DEAD:
        return TLV + 8 + 8 + 8;
    case GOSSIP_RING:
        return TLV + 1 + 8 + 8 + 8 + 2 + 2 + 1 + 1 + 1 + strlen(m->op.host) + 1 +
               strlen(m->op.zone);
    case GOSSIP_DIGEST:
        return TLV + 8 + 8;
    }
    assert(false); /* it is a kind of message */
    return 0;
}
