#include "proto/gossip.h"
#include "base/rng.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 13 /* messages that messages_make() makes */

static const struct member_info full = {
    .id = UINT64_C(0x1122334455667788),
    .incarnation = UINT64_C(0xfffffffffffffffe),
    .nonce = UINT64_C(0x8877665544332211),
    .addr = { { 0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, 65535 },
    .client_port = 11211,
    .weight = 65534,
    .workers = 64,
    .phase = PHASE_LEFT,
    .version_min = 1,
    .version_max = 255,
    .features = UINT64_C(0xaaaaaaaaaaaaaaaa),
    .ring_ops = 0xdeadbeef,
    .ring_digest = UINT64_C(0x0123456789abcdef),
    .host = "a-name-that-is-as-long-as-the-name-of-a-node-can-be-in-a-cluster",
    .zone = "fifteen-letters",
};

static struct member_info
info_plain(void)
{
    struct member_info info = { .id = 1,
                                .addr = { { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 }, 1 } };

    return info;
}

/* One of every kind, with all that it can hold, and some with as little. */
static void
messages_make(struct gossip_message m[KINDS], struct member_info *plain,
              struct member_info *long_one)
{
    size_t n = 0;

    *plain = info_plain();
    *long_one = full;
    long_one->host[CLUSTER_HOST_MAX] = '\0';
    m[n++] = (struct gossip_message){ .kind = GOSSIP_PING, .seq = 0xfffffffe, .id = 7 };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_ACK, .seq = 1 };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_NACK, .seq = 0x01020304 };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_PING_REQ, .seq = 9, .id = 8,
                                      .addr = plain->addr };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_PING_REQ, .seq = 9, .id = 8,
                                      .addr = full.addr };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_ALIVE, .info = plain, .id = plain->id };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_ALIVE, .info = long_one, .id = full.id,
                                      .incarnation = full.incarnation, .state = MEMBER_LEFT };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = 3, .from = UINT64_MAX,
                                      .incarnation = 5 };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_DEAD, .id = 3, .from = 3,
                                      .incarnation = UINT64_MAX };
    m[n++] = (struct gossip_message){
        .kind = GOSSIP_RING,
        .op = { .kind = RING_OP_MEMBER, .node = 4, .stamp = INT64_MAX, .proposer = 5,
                .client_port = 6, .weight = 7, .host = "10.0.0.1", .zone = "z" },
    };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_RING,
                                      .op = { .kind = RING_OP_REMOVED, .node = 4 } };
    m[n++] = (struct gossip_message){
        .kind = GOSSIP_RING,
        .op = { .kind = RING_OP_PLACEMENT, .placement = RING_KETAMA_OAT,
                .replicas = CLUSTER_OWNERS_MAX },
    };
    m[n++] = (struct gossip_message){ .kind = GOSSIP_DIGEST, .digest = UINT64_MAX - 1,
                                      .ring_digest = 0x0102030405060708 };
    cr_assert(n == KINDS);
}

static void
check_info(const struct member_info *a, const struct member_info *b)
{
    cr_expect(eq(u64, a->id, b->id));
    cr_expect(eq(u64, a->incarnation, b->incarnation));
    cr_expect(eq(u64, a->nonce, b->nonce));
    cr_expect(memcmp(&a->addr, &b->addr, sizeof a->addr) == 0);
    cr_expect(eq(u16, a->client_port, b->client_port));
    cr_expect(eq(u16, a->weight, b->weight));
    cr_expect(eq(u16, a->workers, b->workers));
    cr_expect(eq(int, a->phase, b->phase));
    cr_expect(eq(int, a->version_min, b->version_min));
    cr_expect(eq(int, a->version_max, b->version_max));
    cr_expect(eq(u64, a->features, b->features));
    cr_expect(eq(u32, a->ring_ops, b->ring_ops));
    cr_expect(eq(u64, a->ring_digest, b->ring_digest));
    cr_expect(memcmp(a->host, b->host, sizeof a->host) == 0);
    cr_expect(memcmp(a->zone, b->zone, sizeof a->zone) == 0);
}

static void
check_op(const struct ring_op *a, const struct ring_op *b)
{
    cr_expect(eq(int, a->kind, b->kind));
    cr_expect(eq(u64, a->node, b->node));
    cr_expect(eq(i64, a->stamp, b->stamp));
    cr_expect(eq(u64, a->proposer, b->proposer));
    cr_expect(eq(u16, a->client_port, b->client_port));
    cr_expect(eq(u16, a->weight, b->weight));
    cr_expect(eq(int, a->placement, b->placement));
    cr_expect(eq(int, a->replicas, b->replicas));
    cr_expect(memcmp(a->host, b->host, sizeof a->host) == 0);
    cr_expect(memcmp(a->zone, b->zone, sizeof a->zone) == 0);
}

static void
check_message(const struct gossip_message *a, const struct gossip_message *b)
{
    cr_assert(eq(int, a->kind, b->kind));
    cr_expect(eq(u32, a->seq, b->seq));
    cr_expect(eq(u64, a->id, b->id));
    cr_expect(eq(u64, a->from, b->from));
    cr_expect(eq(u64, a->incarnation, b->incarnation));
    cr_expect(memcmp(&a->addr, &b->addr, sizeof a->addr) == 0);
    cr_expect(eq(int, a->state, b->state));
    if (a->kind == GOSSIP_ALIVE) {
        check_info(a->info, b->info);
    } else {
        cr_expect(a->info == NULL && b->info == NULL);
    }
    check_op(&a->op, &b->op);
    cr_expect(eq(u64, a->digest, b->digest));
    cr_expect(eq(u64, a->ring_digest, b->ring_digest));
}

/* -- packets ----------------------------------------------------------------------------------- */

struct packet {
    char   bytes[4096];
    size_t len;
};

static const struct gossip_header header = {
    .label = 0x1234, .version = GOSSIP_FORMAT, .from = UINT64_C(0x99aabbccddeeff00),
    .nonce = 2, .sequence = UINT64_MAX,
};

static void
packet_begin(struct packet *p)
{
    p->len = gossip_write_header(&header, p->bytes, sizeof p->bytes);
    cr_assert(eq(sz, p->len, GOSSIP_HEADER));
}

static void
packet_add(struct packet *p, const struct gossip_message *m)
{
    size_t n = gossip_write(m, p->bytes + p->len, sizeof p->bytes - p->len);

    cr_assert(n > 0);
    p->len += n;
}

static void
packet_tlv(struct packet *p, int type, const void *bytes, size_t len)
{
    p->bytes[p->len++] = (char)type;
    p->bytes[p->len++] = (char)(len & 255);
    p->bytes[p->len++] = (char)(len >> 8);
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

/* Reads all of it, from memory that ends where it ends; returns what it ended with. */
static enum gossip_result
packet_read(const struct packet *p, size_t len, size_t *ret_count)
{
    struct gossip_reader  r;
    struct gossip_message m;
    enum gossip_result    result;
    char                 *copy = malloc(len ? len : 1);

    *ret_count = 0;
    memcpy(copy, p->bytes, len);
    result = gossip_open(&r, slice_of(copy, len), header.label);
    while (result == GOSSIP_OK) {
        result = gossip_next(&r, &m);
        *ret_count += result == GOSSIP_OK;
    }
    free(copy);
    return result;
}

Test(gossip, every_message_comes_back_as_it_was)
{
    struct member_info plain, long_one;
    struct gossip_message m[KINDS], read;
    struct gossip_reader r;
    struct packet p;

    messages_make(m, &plain, &long_one);
    packet_begin(&p);
    for (size_t i = 0; i < KINDS; i++) {
        size_t before = p.len;

        packet_add(&p, &m[i]);
        cr_expect(eq(sz, p.len - before, gossip_size(&m[i])), "message %zu", i);
    }
    cr_assert(eq(int, gossip_open(&r, slice_of(p.bytes, p.len), header.label), GOSSIP_OK));
    cr_expect(eq(u16, r.header.label, header.label));
    cr_expect(eq(int, r.header.version, header.version));
    cr_expect(eq(u64, r.header.from, header.from));
    cr_expect(eq(u64, r.header.nonce, header.nonce));
    cr_expect(eq(u64, r.header.sequence, header.sequence));
    for (size_t i = 0; i < KINDS; i++) {
        cr_assert(eq(int, gossip_next(&r, &read), GOSSIP_OK), "message %zu", i);
        check_message(&m[i], &read);
    }
    cr_expect(eq(int, gossip_next(&r, &read), GOSSIP_END));
    cr_expect(eq(int, gossip_next(&r, &read), GOSSIP_END));
}

/* The smallest datagrams are most of the traffic. */
Test(gossip, messages_are_small)
{
    struct member_info info = info_plain();
    struct gossip_message ping = { .kind = GOSSIP_PING }, ack = { .kind = GOSSIP_ACK };
    struct gossip_message dead = { .kind = GOSSIP_DEAD };
    struct gossip_message alive = { .kind = GOSSIP_ALIVE, .info = &info };

    strcpy(info.host, "192.168.100.10");
    cr_expect(eq(sz, gossip_size(&ping), 15));
    cr_expect(eq(sz, gossip_size(&ack), 7));
    cr_expect(eq(sz, gossip_size(&dead), 27));
    cr_expect(gossip_size(&alive) * 12 <= GOSSIP_PACKET_MAX - GOSSIP_OVERHEAD);
    cr_expect(GOSSIP_HEADER + 40 <= GOSSIP_OVERHEAD, "room for what encryption adds");
}

/* Nothing is written that does not fit, and nothing behind the end. */
Test(gossip, what_does_not_fit_is_not_written)
{
    struct member_info plain, long_one;
    struct gossip_message m[KINDS];
    char room[512];

    messages_make(m, &plain, &long_one);
    for (size_t i = 0; i < KINDS; i++) {
        size_t n = gossip_size(&m[i]);

        memset(room, 0x55, sizeof room);
        cr_expect(zero(sz, gossip_write(&m[i], room, n - 1)), "message %zu", i);
        cr_expect(room[0] == 0x55);
        cr_expect(eq(sz, gossip_write(&m[i], room, n), n));
        cr_expect(room[n] == 0x55);
    }
    cr_expect(zero(sz, gossip_write_header(&header, room, GOSSIP_HEADER - 1)));
}

/* A packet that is cut is malformed, or a shorter packet if the cut is between two messages. */
Test(gossip, a_cut_anywhere_is_seen)
{
    struct member_info plain, long_one;
    struct gossip_message m[KINDS];
    size_t end[KINDS + 1], whole = 0, count;
    struct packet p;

    messages_make(m, &plain, &long_one);
    packet_begin(&p);
    end[0] = p.len;
    for (size_t i = 0; i < KINDS; i++) {
        packet_add(&p, &m[i]);
        end[i + 1] = p.len;
    }
    for (size_t cut = 0; cut < p.len; cut++) {
        enum gossip_result result = packet_read(&p, cut, &count);

        whole += cut > GOSSIP_HEADER && cut == end[whole + 1];
        if (cut == end[whole]) {
            cr_expect(eq(int, result, GOSSIP_END), "cut after %zu", cut);
            cr_expect(eq(sz, count, whole), "cut after %zu", cut);
        } else {
            cr_expect(eq(int, result, GOSSIP_MALFORMED), "cut after %zu", cut);
            cr_expect(zero(sz, count), "nothing of it is believed");
        }
    }
}

/* A body that is too short for its fields is malformed, however long the packet is. */
Test(gossip, a_short_body_is_malformed)
{
    struct member_info plain, long_one;
    struct gossip_message m[KINDS];
    struct packet p;
    size_t count;

    messages_make(m, &plain, &long_one);
    for (size_t i = 0; i < KINDS; i++) {
        char   body[512];
        size_t n = gossip_write(&m[i], body, sizeof body) - 3;

        for (size_t cut = 0; cut < n; cut++) {
            packet_begin(&p);
            packet_tlv(&p, (int)m[i].kind, body + 3, cut);
            packet_add(&p, &m[0]);
            cr_expect(eq(int, packet_read(&p, p.len, &count), GOSSIP_MALFORMED),
                      "message %zu, %zu bytes of %zu", i, cut, n);
        }
    }
}

/* A later version adds messages and fields. */
Test(gossip, what_is_not_known_is_skipped)
{
    struct member_info plain, long_one;
    struct gossip_message m[KINDS], read;
    struct gossip_reader r;
    struct packet p;
    char body[512];

    messages_make(m, &plain, &long_one);
    packet_begin(&p);
    packet_tlv(&p, 0, "", 0);
    packet_tlv(&p, 0x7f, "anything", 8);
    for (size_t i = 0; i < KINDS; i++) {
        size_t n = gossip_write(&m[i], body, sizeof body);

        packet_tlv(&p, (int)m[i].kind, body + 3, n - 3 + 5); /* five bytes more than we know */
        packet_tlv(&p, GOSSIP_DIGEST + 1, body, 40);
    }
    cr_assert(eq(int, gossip_open(&r, slice_of(p.bytes, p.len), header.label), GOSSIP_OK));
    for (size_t i = 0; i < KINDS; i++) {
        cr_assert(eq(int, gossip_next(&r, &read), GOSSIP_OK), "message %zu", i);
        check_message(&m[i], &read);
    }
    cr_expect(eq(int, gossip_next(&r, &read), GOSSIP_END));
}

/* What must be understood and is not makes us read nothing of the packet. */
Test(gossip, critical_messages_refuse_the_packet)
{
    struct gossip_message ack = { .kind = GOSSIP_ACK, .seq = 1 };
    struct packet p;
    size_t count;

    for (int type = 0x80; type <= 0xff; type++) {
        packet_begin(&p);
        packet_add(&p, &ack);
        packet_tlv(&p, type, "x", 1);
        cr_expect(eq(int, packet_read(&p, p.len, &count), GOSSIP_VERSION));
        cr_expect(zero(sz, count));
    }
}

Test(gossip, strangers_are_told_apart)
{
    struct gossip_reader r;
    struct packet p;
    struct slice s;

    packet_begin(&p);
    s = slice_of(p.bytes, p.len);
    cr_expect(eq(int, gossip_open(&r, s, header.label), GOSSIP_OK));
    cr_expect(eq(int, gossip_open(&r, s, (uint16_t)(header.label + 1)), GOSSIP_LABEL));
    p.bytes[2] = GOSSIP_ENCRYPTED;
    cr_expect(eq(int, gossip_open(&r, s, header.label), GOSSIP_VERSION));
    p.bytes[2] = 0;
    p.bytes[1]++;
    cr_expect(eq(int, gossip_open(&r, s, header.label), GOSSIP_VERSION));
    p.bytes[1]--;
    p.bytes[0]++;
    cr_expect(eq(int, gossip_open(&r, s, header.label), GOSSIP_MALFORMED));
    p.bytes[0]--;
    memset(p.bytes + 8, 0, 8);
    cr_expect(eq(int, gossip_open(&r, s, header.label), GOSSIP_MALFORMED), "from nobody");
    cr_expect(gossip_label("magpie") == gossip_label("magpie"));
    cr_expect(gossip_label("magpie") != gossip_label("raven"));
}

/* What is said must make sense: names are printed as they are, numbers index tables. */
Test(gossip, nonsense_is_malformed)
{
    static const char bad[] = { ' ', '\n', '\0', '\x7f', '\x80', '|' };
    struct member_info plain, long_one;
    struct gossip_message m[KINDS];
    struct packet p;
    size_t count;

    messages_make(m, &plain, &long_one);
    for (size_t i = 0; i < sizeof bad; i++) {
        strcpy(plain.host, "?");
        packet_begin(&p);
        packet_add(&p, &m[5]);
        *(char *)memchr(p.bytes + GOSSIP_HEADER + 60, '?', 20) = bad[i];
        cr_expect(eq(int, packet_read(&p, p.len, &count), GOSSIP_MALFORMED), "0x%02x", bad[i]);
    }
    for (int i = 0; i < 8; i++) {
        struct gossip_message x = m[i < 3 ? 6 : i < 5 ? 11 : i == 5 ? 0 : 7];

        messages_make(m, &plain, &long_one);
        x.info = &long_one;
        switch (i) {
        case 0:
            long_one.phase = PHASE_LEFT + 1;
            break;
        case 1:
            long_one.version_min = 3;
            long_one.version_max = 2;
            break;
        case 2:
            x.state = (enum member_state)(MEMBER_LEFT + 1);
            break;
        case 3:
            x.op.node = 5;
            break;
        case 4:
            x.op.replicas = CLUSTER_OWNERS_MAX + 1;
            break;
        case 5:
            x.id = 0;
            break;
        case 6:
            x.from = 0;
            break;
        case 7:
            x.id = 0;
            break;
        }
        packet_begin(&p);
        packet_add(&p, &x);
        cr_expect(eq(int, packet_read(&p, p.len, &count), GOSSIP_MALFORMED), "case %d", i);
    }
}
