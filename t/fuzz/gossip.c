/*
 * gossip.c - fuzzes gossip: whatever the bytes, they are read within their bounds, and what was
 * read is written as something that reads the same.
 */
#include "proto/gossip.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_name(const char *name, size_t size)
{
    size_t n = strnlen(name, size);

    assert(n < size);
    for (size_t i = 0; i < n; i++) {
        assert(name[i] > ' ' && name[i] <= '~' && name[i] != '|');
    }
}

static void
check_message(const struct gossip_message *m)
{
    switch (m->kind) {
    case GOSSIP_PING:
    case GOSSIP_PING_REQ:
        assert(m->id != 0);
        break;
    case GOSSIP_ACK:
    case GOSSIP_NACK:
        break;
    case GOSSIP_ALIVE:
        assert(m->info != NULL && m->info->id != 0 && m->info->id == m->id);
        assert(m->state <= MEMBER_LEFT && m->info->phase <= PHASE_LEFT);
        check_name(m->info->host, sizeof m->info->host);
        check_name(m->info->zone, sizeof m->info->zone);
        break;
    case GOSSIP_SUSPECT:
    case GOSSIP_DEAD:
        assert(m->id != 0 && m->from != 0);
        break;
    case GOSSIP_RING:
        assert(m->op.kind >= RING_OP_MEMBER && m->op.kind <= RING_OP_PLACEMENT);
        assert((m->op.node == 0) == (m->op.kind == RING_OP_PLACEMENT));
        check_name(m->op.host, sizeof m->op.host);
        check_name(m->op.zone, sizeof m->op.zone);
        break;
    case GOSSIP_DIGEST:
        break;
    }
}

/* Written, it reads and is written the same: two forms of one message would be two rumours. */
static void
check_round(const struct gossip_message *m)
{
    struct gossip_header  h = { .version = GOSSIP_FORMAT, .from = 1 };
    struct gossip_reader  r;
    struct gossip_message again;
    char                  one[512], two[512];
    size_t                head = gossip_write_header(&h, one, sizeof one);
    size_t                n = gossip_write(m, one + head, sizeof one - head);

    assert(n == gossip_size(m));
    assert(gossip_open(&r, slice_of(one, head + n), 0) == GOSSIP_OK);
    assert(gossip_next(&r, &again) == GOSSIP_OK);
    assert(gossip_write(&again, two, sizeof two) == n && memcmp(one + head, two, n) == 0);
    assert(gossip_next(&r, &again) == GOSSIP_END);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint16_t              label = len < 6 ? 0 : (uint16_t)(bytes[4] | bytes[5] << 8);
    struct gossip_reader  r;
    struct gossip_message m;
    size_t                count = 0;

    if (gossip_open(&r, slice_of(bytes, len), label) != GOSSIP_OK) {
        return 0;
    }
    while (gossip_next(&r, &m) == GOSSIP_OK) {
        check_message(&m);
        check_round(&m);
        count++;
    }
    assert(count * 3 <= len);
    return 0;
}
