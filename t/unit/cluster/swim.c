/*
 * swim.c - a handful of nodes in one process: who finds, suspects, buries and forgives whom.
 *
 * The world below delivers datagrams after 0.2 to 1 ms and whole states after 2 ms, unless a way is
 * cut; the statistics of large clusters are those of t/sim.
 */
#include "cluster/swim.h"
#include "base/rng.h"
#include "cluster/rumour.h"
#include "cluster/suspicion.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES   24
#define MSEC    USEC_PER_MSEC
#define SEC     USEC_PER_SEC
#define START   (1000 * SEC) /* when a world begins */
#define NOTES   4096
#define FLIGHTS 8192

/* -- a world ----------------------------------------------------------------------------------- */

/* What is under way. */
struct flight {
    enum { DATAGRAM, STATE_ASKED, STATE_ANSWERED, TCP_ASKED } kind;
    usec_t                 at;
    int                    from, to;
    struct gossip_message *message;
    struct member_info    *info;
    size_t                 count;
};

struct note {
    usec_t             at;
    int                node;
    struct swim_change change;
};

struct world {
    usec_t         now;
    struct rng     rng;
    struct swim   *node[NODES];
    struct member_info self[NODES];
    usec_t         wake[NODES];
    bool           stopped[NODES];  /* what comes for it is kept until it goes on: not here, lost */
    bool           cut[NODES][NODES];     /* datagrams from one to the other are lost */
    bool           cut_tcp[NODES][NODES];
    int            lost_percent;
    struct swim_config config;
    struct flight  flight[FLIGHTS];
    size_t         flights;
    struct note    note[NOTES];
    size_t         notes;
    size_t         sent[NODES];           /* datagrams */
    size_t         sent_kind[NODES][GOSSIP_RING + 1];
    size_t         synced;
    size_t         packet_max;            /* bytes of the largest */
};

static struct world world;

static struct cluster_addr
addr_of(int node)
{
    struct cluster_addr a = { .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, (uint8_t)(node + 1) },
                              .port = 11311 };

    return a;
}

static int
node_at(const struct cluster_addr *a)
{
    return a->ip[15] - 1;
}

static node_id
id_of(int node)
{
    return (node_id)(0x1000 + node);
}

static struct member_info
info_of(int node, uint64_t incarnation)
{
    struct member_info info = { .id = id_of(node), .incarnation = incarnation,
                                .nonce = incarnation * 1000000 + 1, .addr = addr_of(node),
                                .client_port = 11211, .weight = 1, .workers = 4,
                                .phase = PHASE_UP, .version_min = 1, .version_max = 1 };

    snprintf(info.host, sizeof info.host, "node-%d.example", node);
    return info;
}

static void
world_begin(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.now = START;
    rng_init(&world.rng, seed);
    swim_config_defaults(&world.config);
}

static void
node_start(int node, uint64_t incarnation)
{
    world.config.self = info_of(node, incarnation);
    world.config.seed = rng_next(&world.rng);
    world.self[node] = world.config.self;
    world.node[node] = swim_new(&world.config, world.now);
    cr_assert(world.node[node] != NULL);
    world.wake[node] = world.now;
    world.stopped[node] = false;
}

static void
node_kill(int node)
{
    swim_free(world.node[node]);
    world.node[node] = NULL;
}

static void
flight_land(size_t i)
{
    free(world.flight[i].message);
    free(world.flight[i].info);
    world.flight[i] = world.flight[--world.flights];
}

static void
world_end(void)
{
    for (int i = 0; i < NODES; i++) {
        node_kill(i);
    }
    while (world.flights > 0) {
        flight_land(0);
    }
}

static struct flight *
flight_add(int kind, int from, int to, usec_t after, const struct gossip_message *m, size_t count)
{
    struct flight *f = &world.flight[world.flights++];

    cr_assert(world.flights < FLIGHTS);
    *f = (struct flight){ .at = world.now + after, .from = from, .to = to, .count = count };
    f->kind = kind;
    f->message = calloc(count + 1, sizeof *f->message);
    f->info = calloc(count + 1, sizeof *f->info);
    for (size_t i = 0; i < count; i++) {
        f->message[i] = m[i];
        if (m[i].kind == GOSSIP_ALIVE) {
            f->info[i] = *m[i].info;
            f->message[i].info = &f->info[i];
        }
    }
    return f;
}

static void
send_note(int from, const struct swim_send *send)
{
    size_t bytes = GOSSIP_OVERHEAD;

    world.sent[from]++;
    for (size_t i = 0; i < send->count; i++) {
        bytes += gossip_size(&send->message[i]);
        world.sent_kind[from][send->message[i].kind]++;
    }
    world.packet_max = bytes > world.packet_max ? bytes : world.packet_max;
}

/* A step, and all it asks for. */
static void
node_step(int node, const struct swim_event *ev)
{
    struct swim_out out;

    if (world.node[node] == NULL || world.stopped[node]) {
        return;
    }
    cr_assert(zero(int, swim_step(world.node[node], ev, world.now, &out)));
    cr_assert(out.wake_at >= world.now);
    world.wake[node] = out.wake_at;
    for (size_t i = 0; i < out.send_count; i++) {
        int to = node_at(&out.send[i].addr);

        cr_assert(out.send[i].count > 0);
        send_note(node, &out.send[i]);
        if (to < 0 || to >= NODES || world.cut[node][to] ||
            (int)rng_below(&world.rng, 100) < world.lost_percent) {
            continue;
        }
        flight_add(DATAGRAM, node, to, 200 + (usec_t)rng_below(&world.rng, 800),
                   out.send[i].message, out.send[i].count);
    }
    for (size_t i = 0; i < out.sync_count; i++) {
        world.synced++;
        flight_add(STATE_ASKED, node, node_at(&out.sync[i]), 2 * MSEC, NULL, 0);
    }
    for (size_t i = 0; i < out.tcp_count; i++) {
        flight_add(TCP_ASKED, node, node_at(&out.tcp[i].addr), 2 * MSEC, NULL, 0);
    }
    for (size_t i = 0; i < out.change_count && world.notes < NOTES; i++) {
        world.note[world.notes++] = (struct note){ world.now, node, out.change[i] };
    }
}

static size_t
state_of(int node, struct gossip_message *ret)
{
    size_t count = 0;

    while (count < 64 && swim_state_at(world.node[node], count, &ret[count])) {
        count++;
    }
    return count;
}

static void
messages_step(int node, enum swim_event_kind kind, int from, const struct gossip_message *m,
              size_t count)
{
    struct swim_event ev = { .kind = kind, .from = id_of(from), .addr = addr_of(from),
                             .message = m, .count = count };

    node_step(node, &ev);
}

/* Both states cross as the daemon has them cross: the asked one takes the other's in first. */
static void
states_cross(int from, int to)
{
    struct gossip_message state[64];
    struct flight        *f;
    size_t                count;

    if (to < 0 || to >= NODES || world.node[from] == NULL || world.node[to] == NULL ||
        world.cut_tcp[from][to] || world.cut_tcp[to][from]) {
        return;
    }
    count = state_of(from, state);
    f = flight_add(STATE_ANSWERED, to, from, 0, state, count);
    messages_step(to, SWIM_STATE, from, f->message, count);
    flight_land(world.flights - 1);
    if (world.node[to] != NULL) {
        count = state_of(to, state);
        flight_add(STATE_ANSWERED, to, from, MSEC, state, count);
    }
}

static void
flight_step(struct flight f)
{
    struct swim_event ev = { .kind = SWIM_TCP_ACK, .id = id_of(f.to) };

    switch (f.kind) {
    case DATAGRAM:
        messages_step(f.to, SWIM_PACKET, f.from, f.message, f.count);
        break;
    case STATE_ASKED:
        states_cross(f.from, f.to);
        break;
    case STATE_ANSWERED:
        messages_step(f.to, SWIM_STATE, f.from, f.message, f.count);
        break;
    case TCP_ASKED:
        if (world.node[f.to] != NULL && !world.stopped[f.to] && !world.cut_tcp[f.from][f.to] &&
            !world.cut_tcp[f.to][f.from]) {
            node_step(f.from, &ev);
        }
        break;
    }
}

static void
world_run(usec_t until)
{
    static const struct swim_event tick = { .kind = SWIM_TICK };

    for (;;) {
        usec_t at = until;
        int    node = -1;
        size_t flight = FLIGHTS;

        for (int i = 0; i < NODES; i++) {
            if (world.node[i] != NULL && !world.stopped[i] && world.wake[i] < at) {
                at = world.wake[i];
                node = i;
            }
        }
        for (size_t i = 0; i < world.flights; i++) {
            if (world.flight[i].at < at) {
                at = world.flight[i].at;
                flight = i;
                node = -1;
            }
        }
        world.now = at > world.now ? at : world.now;
        if (flight < FLIGHTS) {
            struct flight f = world.flight[flight];

            world.flight[flight] = world.flight[--world.flights];
            flight_step(f);
            free(f.message);
            free(f.info);
        } else if (node >= 0) {
            node_step(node, &tick);
        } else {
            break;
        }
    }
}

static void
node_seed(int node, int seed)
{
    struct swim_event ev = { .kind = SWIM_SEED, .addr = addr_of(seed) };

    node_step(node, &ev);
}

static enum member_state
held(int by, int of)
{
    struct swim_member m;

    cr_assert(swim_member_find(world.node[by], id_of(of), &m), "%d does not know %d", by, of);
    return m.state;
}

/* When somebody first said that of a node; 0: never.  by < 0: whoever it was. */
static usec_t
noted(int by, enum swim_change_kind kind, int of)
{
    for (size_t i = 0; i < world.notes; i++) {
        const struct note *n = &world.note[i];

        if ((by < 0 || n->node == by) && n->change.kind == kind && n->change.id == id_of(of)) {
            return n->at;
        }
    }
    return 0;
}

static size_t
noted_count(enum swim_change_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < world.notes; i++) {
        count += world.note[i].change.kind == kind;
    }
    return count;
}

/* Nodes 0..n-1, all of which know each other; notes begin empty. */
static void
cluster_begin(int n, uint64_t seed)
{
    world_begin(seed);
    for (int i = 0; i < n; i++) {
        node_start(i, 1000);
    }
    for (int i = 1; i < n; i++) {
        node_seed(i, 0);
    }
    world_run(world.now + 30 * SEC);
    for (int i = 0; i < n; i++) {
        cr_assert(eq(sz, swim_alive(world.node[i]), (size_t)n), "node %d", i);
    }
    world.notes = 0;
    memset(world.sent, 0, sizeof world.sent);
    memset(world.sent_kind, 0, sizeof world.sent_kind);
}

/* -- finding each other ------------------------------------------------------------------------ */

Test(swim, three_nodes_find_each_other)
{
    world_begin(1);
    for (int i = 0; i < 3; i++) {
        node_start(i, 1000);
    }
    node_seed(1, 0);
    node_seed(2, 0);
    world_run(START + 2 * SEC);
    for (int i = 0; i < 3; i++) {
        cr_expect(eq(sz, swim_alive(world.node[i]), 3), "node %d", i);
        cr_expect(eq(u64, swim_digest(world.node[i]), swim_digest(world.node[0])), "node %d", i);
    }
    world_run(START + 120 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), 0));
    cr_expect(eq(sz, noted_count(SWIM_JOINED), 6));
    world_end();
}

/* -- death ------------------------------------------------------------------------------------- */

Test(swim, a_death_is_known_to_all_and_soon)
{
    usec_t killed;

    cluster_begin(10, 2);
    killed = world.now;
    node_kill(4);
    world_run(killed + 8 * SEC);
    for (int i = 0; i < 10; i++) {
        if (i != 4) {
            cr_expect(eq(int, held(i, 4), MEMBER_DEAD), "node %d", i);
            cr_expect(noted(i, SWIM_DIED, 4) < killed + 5 * SEC, "node %d: %ld ms", i,
                      (long)(noted(i, SWIM_DIED, 4) - killed) / 1000);
        }
    }
    cr_expect(eq(sz, noted_count(SWIM_DIED), 9));
    for (int i = 0; i < 10; i++) {
        if (i != 4) {
            cr_expect(swim_awareness(world.node[i]) == 0, "a nack that is late costs its asker");
        }
    }
    world_end();
}
