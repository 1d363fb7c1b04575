/*
 * swim.c - a handful of nodes in one process: who finds, suspects, buries and forgives whom.
 *
 * The world below delivers datagrams after 0.2 to 1 ms and whole states after 2 ms, unless a way is
 * cut; the statistics of large clusters are those of t/sim.
 */
#include "cluster/swim.h"
#include "base/rng.h"
#include "cluster/swim_impl.h"
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

/* In memberlist's terms: two packets in each interval, ping and ack, however many members. */
Test(swim, an_idle_cluster_only_pings)
{
    size_t sent = 0;

    cluster_begin(12, 3);
    world_run(world.now + 300 * SEC);
    for (int i = 0; i < 12; i++) {
        sent += world.sent[i];
    }
    cr_expect(sent > 12 * 300 * 5 * 99 / 100 && sent < 12 * 300 * 5 * 101 / 100, "%zu datagrams",
              sent);
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), 0));
    cr_expect(world.packet_max <= GOSSIP_PACKET_MAX);
    world_end();
}

/* -- suspicion --------------------------------------------------------------------------------- */

/* Nobody dies of a short silence: it hears that it is suspected, and says that it lives. */
Test(swim, a_suspect_refutes_with_a_greater_incarnation)
{
    struct swim_member m;

    cluster_begin(5, 4);
    for (int i = 0; i < 5; i++) {
        world.cut[i][2] = world.cut_tcp[i][2] = i != 2;
    }
    world_run(world.now + 1500 * MSEC);
    cr_expect(noted(-1, SWIM_SUSPECTED, 2) != 0);
    memset(world.cut, 0, sizeof world.cut);
    memset(world.cut_tcp, 0, sizeof world.cut_tcp);
    world_run(world.now + 30 * SEC);
    cr_expect(noted(2, SWIM_ACCUSED, 2) != 0);
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0));
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), noted_count(SWIM_REFUTED)));
    for (int i = 0; i < 5; i++) {
        cr_assert(swim_member_find(world.node[i], id_of(2), &m));
        cr_expect(eq(int, m.state, MEMBER_ALIVE));
        cr_expect(m.info->incarnation > 1000, "node %d", i);
        cr_expect(eq(u64, swim_digest(world.node[i]), swim_digest(world.node[0])));
    }
    world_end();
}

/* UDP that is blocked both ways to one node is not its death while TCP works. */
Test(swim, tcp_answers_for_udp)
{
    cluster_begin(5, 5);
    for (int i = 0; i < 5; i++) {
        world.cut[i][2] = world.cut[2][i] = i != 2;
    }
    world_run(world.now + 60 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), 0));
    world_end();
}

/* A way that is cut between two only: the others vouch for them. */
Test(swim, others_ping_for_one)
{
    world_begin(6);
    world.config.no_tcp = true;
    world.config.seed = 0;
    for (int i = 0; i < 6; i++) {
        node_start(i, 1000);
        if (i > 0) {
            node_seed(i, 0);
        }
    }
    world_run(world.now + 20 * SEC);
    world.cut[1][2] = world.cut[2][1] = true;
    world_run(world.now + 120 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), 0));
    cr_expect(world.sent_kind[1][GOSSIP_PING_REQ] > 0);
    world_end();
}

/* -- one node by hand -------------------------------------------------------------------------- */

/* Feeds node 0 a message from another, as a datagram. */
static void
feed(int from, struct gossip_message m)
{
    messages_step(0, SWIM_PACKET, from, &m, 1);
}

static void
feed_alive(int node, uint64_t incarnation)
{
    struct member_info info = info_of(node, incarnation);

    feed(node, (struct gossip_message){ .kind = GOSSIP_ALIVE, .info = &info });
}

/* Node 0, which believes that others are there; nobody is. */
static void
alone_begin(int others, uint64_t seed)
{
    world_begin(seed);
    node_start(0, 1000);
    for (int i = 1; i <= others; i++) {
        feed_alive(i, 1000);
    }
}

/* The first flight of a kind to a node; NULL: there is none. */
static const struct gossip_message *
flying(enum gossip_kind kind, int to)
{
    for (size_t i = 0; i < world.flights; i++) {
        for (size_t k = 0; k < world.flight[i].count; k++) {
            if (world.flight[i].kind == DATAGRAM && world.flight[i].to == to &&
                world.flight[i].message[k].kind == kind) {
                return &world.flight[i].message[k];
            }
        }
    }
    return NULL;
}

static void
flights_forget(void)
{
    while (world.flights > 0) {
        flight_land(0);
    }
}

/* Goes on as far as that node 0 sends such a message to anybody; returns when. */
static const struct gossip_message *
run_to(enum gossip_kind kind, int *to)
{
    static const struct swim_event tick = { .kind = SWIM_TICK };

    for (int i = 0; i < 1000; i++) {
        for (*to = 1; *to < NODES; ++*to) {
            const struct gossip_message *m = flying(kind, *to);

            if (m != NULL) {
                return m;
            }
        }
        flights_forget();
        world.now = world.wake[0];
        node_step(0, &tick);
    }
    cr_assert(false, "no such message");
    return NULL;
}

/*
 * A helper's nack is sent after 0.8 of the time-out, so that it is there before the asker gives up:
 * 1 - 0.4 of an interval are left for the two.
 */
Test(swim, a_helper_says_in_time_that_it_has_no_answer_either)
{
    struct gossip_message ask = { .kind = GOSSIP_PING_REQ, .seq = 77, .id = id_of(2),
                                  .addr = addr_of(2) };
    const struct gossip_message *m;
    usec_t asked;
    int    to;

    alone_begin(2, 7);
    flights_forget();
    asked = world.now;
    feed(1, ask);
    m = flying(GOSSIP_PING, 2);
    cr_assert(m != NULL && m->seq != 77 && m->id == id_of(2));
    m = run_to(GOSSIP_NACK, &to);
    cr_expect(eq(int, to, 1));
    cr_expect(eq(u32, m->seq, 77));
    cr_expect(eq(i64, world.now - asked, world.config.probe_timeout * 4 / 5));
    world_end();
}

/* An answer is passed on, and then there is no nack. */
Test(swim, a_helper_passes_the_answer_on)
{
    struct gossip_message ask = { .kind = GOSSIP_PING_REQ, .seq = 77, .id = id_of(2),
                                  .addr = addr_of(2) };
    uint32_t seq;

    alone_begin(2, 8);
    flights_forget();
    feed(1, ask);
    seq = flying(GOSSIP_PING, 2)->seq;
    flights_forget();
    feed(2, (struct gossip_message){ .kind = GOSSIP_ACK, .seq = seq });
    cr_assert(flying(GOSSIP_ACK, 1) != NULL);
    cr_expect(eq(u32, flying(GOSSIP_ACK, 1)->seq, 77));
    for (usec_t end = world.now + SEC; world.now < end; world.now += 10 * MSEC) {
        node_step(0, &(struct swim_event){ .kind = SWIM_TICK });
        cr_expect(flying(GOSSIP_NACK, 1) == NULL);
    }
    flights_forget();
    messages_step(0, SWIM_PACKET, 9, &ask, 1);
    cr_expect(flying(GOSSIP_PING, 2) == NULL, "not for strangers");
    world_end();
}

/* Who is pinged while it is suspected hears so in the same datagram. */
Test(swim, a_suspect_is_told_first)
{
    const struct gossip_message *m;
    int to;

    alone_begin(1, 9);
    feed(3, (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(1), .incarnation = 1000,
                                     .from = id_of(3) });
    flights_forget();
    m = run_to(GOSSIP_PING, &to);
    cr_assert(eq(int, to, 1));
    cr_expect(eq(int, m[1].kind, GOSSIP_SUSPECT));
    cr_expect(eq(u64, m[1].id, id_of(1)));
    cr_expect(eq(u64, m[1].incarnation, 1000));
    feed(1, (struct gossip_message){ .kind = GOSSIP_PING, .id = id_of(0), .seq = 5 });
    m = flying(GOSSIP_ACK, 1);
    cr_assert(m != NULL);
    cr_expect(eq(int, m[1].kind, GOSSIP_SUSPECT), "and when it asks itself");
    world_end();
}

/* Who refutes says so in the answer to the ping that brought the accusation. */
Test(swim, a_refutation_goes_with_the_answer)
{
    const struct gossip_message accused[] = {
        { .kind = GOSSIP_PING, .id = id_of(0), .seq = 5 },
        { .kind = GOSSIP_SUSPECT, .id = id_of(0), .incarnation = 1007, .from = id_of(1) },
    };
    const struct gossip_message *m;

    alone_begin(1, 10);
    flights_forget();
    messages_step(0, SWIM_PACKET, 1, accused, 2);
    m = flying(GOSSIP_ALIVE, 1);
    cr_assert(m != NULL);
    cr_expect(eq(u64, m->info->incarnation, 1008));
    cr_expect(eq(u64, m->info->id, id_of(0)));
    cr_expect(eq(uint, swim_awareness(world.node[0]), 1));
    cr_expect(noted(0, SWIM_ACCUSED, 0) != 0);
    world_end();
}

/* An incarnation that could not be topped any more is not believed, of whomever it is said. */
Test(swim, absurd_incarnations_are_not_believed)
{
    struct swim_member m;

    alone_begin(1, 11);
    for (int i = 0; i < 2; i++) {
        feed(1, (struct gossip_message){ .kind = i ? GOSSIP_SUSPECT : GOSSIP_DEAD, .id = id_of(0),
                                         .incarnation = UINT64_MAX, .from = id_of(5) });
        feed(1, (struct gossip_message){ .kind = i ? GOSSIP_SUSPECT : GOSSIP_DEAD, .id = id_of(1),
                                         .incarnation = UINT64_MAX, .from = id_of(5) });
    }
    cr_assert(swim_member_at(world.node[0], 0, &m));
    cr_expect(eq(u64, m.info->incarnation, 1000));
    cr_expect(eq(int, held(0, 1), MEMBER_ALIVE));
    world_end();
}

/* -- awareness --------------------------------------------------------------------------------- */

/* Probes that fail without any nack from helpers make a node slower, and answers quicker again. */
Test(swim, a_node_whose_helpers_are_silent_blames_itself)
{
    usec_t before;
    int    to;

    alone_begin(10, 12);
    (void)run_to(GOSSIP_PING, &to);
    for (int i = 0; swim_awareness(world.node[0]) < SWIM_AWARENESS_MAX; i++) {
        flights_forget();
        world.now = world.wake[0];
        node_step(0, &(struct swim_event){ .kind = SWIM_TICK });
        cr_assert(i < 1000, "awareness is %u", swim_awareness(world.node[0]));
    }
    cr_expect(swim_doubts_itself(world.node[0]));
    flights_forget();
    (void)run_to(GOSSIP_PING, &to);
    before = world.now;
    (void)run_to(GOSSIP_PING_REQ, &to);
    cr_expect(eq(i64, world.now - before, world.config.probe_timeout * 8));
    world_run(world.now + 30 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0), "it may be the one that is cut off");
    world_run(world.now + 300 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_DIED), 10), "it may be the one that is left");
    world_end();
}

/* Each nack that is missing counts, and one of a stranger does not. */
Test(swim, missing_nacks_are_counted)
{
    const struct gossip_message *ask;
    int      helper;
    uint32_t seq;

    alone_begin(6, 40);
    flights_forget();
    ask = run_to(GOSSIP_PING_REQ, &helper);
    seq = ask->seq;
    for (int i = 0; i < 2; i++) { /* said twice, it is one */
        feed(helper, (struct gossip_message){ .kind = GOSSIP_NACK, .seq = seq });
        feed(20, (struct gossip_message){ .kind = GOSSIP_NACK, .seq = seq });
    }
    cr_expect(zero(uint, swim_awareness(world.node[0])));
    world.now = world.wake[0];
    node_step(0, &(struct swim_event){ .kind = SWIM_TICK });
    cr_expect(eq(uint, swim_awareness(world.node[0]), 2), "three were asked");
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED), 1));
    world_end();
}

/* A node that was stopped takes up its suspicions where it left them. */
Test(swim, a_suspicion_does_not_end_in_sleep)
{
    const struct swim_event tick = { .kind = SWIM_TICK };

    alone_begin(1, 41);
    while (held(0, 1) != MEMBER_SUSPECT) {
        world.now = world.wake[0];
        node_step(0, &tick);
    }
    world.now += 60 * SEC;
    node_step(0, &tick);
    cr_expect(eq(int, held(0, 1), MEMBER_SUSPECT));
    world_run(world.now + SEC);
    cr_expect(eq(int, held(0, 1), MEMBER_SUSPECT));
    world_run(world.now + 2 * SEC);
    cr_expect(eq(int, held(0, 1), MEMBER_DEAD));
    world_end();
}

/* A stranger learns at once that it is one, and makes itself known. */
Test(swim, a_stranger_is_asked_who_it_is)
{
    const struct gossip_message *m;

    alone_begin(1, 42);
    flights_forget();
    feed(5, (struct gossip_message){ .kind = GOSSIP_PING, .id = id_of(0), .seq = 1 });
    m = flying(GOSSIP_ACK, 5);
    cr_assert(m != NULL);
    cr_expect(eq(int, m[1].kind, GOSSIP_SUSPECT));
    cr_expect(eq(u64, m[1].id, id_of(5)));
    cr_expect(zero(u64, m[1].incarnation));
    flights_forget();
    feed(1, (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(0), .from = id_of(1) });
    m = flying(GOSSIP_ALIVE, 1);
    cr_assert(m != NULL);
    cr_expect(eq(u64, m->info->id, id_of(0)));
    cr_expect(eq(u64, m->info->incarnation, 1000), "nothing needs to be refuted");
    cr_expect(zero(sz, noted_count(SWIM_ACCUSED)));
    world_end();
}

static void
check_held(node_id id, uint64_t described, uint64_t incarnation, enum member_state state)
{
    struct gossip_message m;
    struct swim_member    is;

    cr_assert(swim_member_find(world.node[0], id, &is));
    cr_expect(eq(u64, is.info->incarnation, described));
    cr_expect(eq(int, is.state, state));
    for (size_t i = 0; swim_state_at(world.node[0], i, &m); i++) {
        if (m.id == id) {
            cr_expect(eq(u64, m.incarnation, incarnation));
            cr_expect(eq(int, m.kind, described == incarnation ? GOSSIP_ALIVE : GOSSIP_SUSPECT));
        }
    }
}

/* An accusation may be heard before the description it is about. */
Test(swim, news_may_overtake_each_other)
{
    alone_begin(3, 43);
    feed(2, (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(1), .incarnation = 1010,
                                     .from = id_of(2) });
    check_held(id_of(1), 1000, 1010, MEMBER_SUSPECT);
    feed_alive(1, 1009);
    check_held(id_of(1), 1009, 1010, MEMBER_SUSPECT);
    feed_alive(1, 1010);
    check_held(id_of(1), 1010, 1010, MEMBER_SUSPECT);
    feed(2, (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(1), .incarnation = 1020,
                                     .from = id_of(2) });
    feed_alive(1, 1021);
    check_held(id_of(1), 1021, 1021, MEMBER_ALIVE);
    feed(2, (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(1), .incarnation = 1020,
                                     .from = id_of(2) });
    check_held(id_of(1), 1021, 1021, MEMBER_ALIVE);
    world_end();
}

/* The first news after a silence goes out at once; what comes then waits for the next round. */
Test(swim, news_does_not_wait)
{
    usec_t first;
    size_t sent;

    alone_begin(8, 44);
    for (int i = 0; i < 100; i++) { /* until nothing is left to tell */
        flights_forget();
        world.now = world.wake[0];
        node_step(0, &(struct swim_event){ .kind = SWIM_TICK });
    }
    world.now += SEC;
    first = world.now;
    sent = world.sent[0];
    feed_alive(1, 2000);
    cr_expect(world.sent[0] >= sent + 3);
    world.now += MSEC;
    sent = world.sent[0];
    feed_alive(2, 2000);
    cr_expect(eq(sz, world.sent[0], sent));
    cr_expect(world.wake[0] <= first + world.config.gossip_interval);
    world_end();
}

/* The larger the cluster, the larger its state and the more seldom it is exchanged. */
Test(swim, whole_states_are_exchanged_more_seldom_in_large_clusters)
{
    static const struct { size_t members; usec_t times; } row[] = {
        { 2, 1 }, { 32, 1 }, { 33, 2 }, { 64, 2 }, { 65, 3 }, { 128, 3 }, { 1000, 6 },
    };
    size_t n = 1;

    world_begin(45);
    node_start(0, 1000);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct swim *s = world.node[0];

        for (; n < row[i].members; n++) {
            struct member_info info = info_of(1, 1000);

            info.id = 0x9000 + n;
            swim_hear_alive(s, &info);
        }
        world.synced = 0;
        s->sync_at = world.now;
        swim_join_run(s);
        cr_expect(eq(i64, s->sync_at - world.now, row[i].times * 15 * SEC), "%zu members", n);
    }
    world_end();
}

/* Of two, nobody can confirm: the one buries the other. */
Test(swim, of_two_one_may_judge_alone)
{
    cluster_begin(2, 13);
    node_kill(1);
    world_run(world.now + 10 * SEC);
    cr_expect(eq(int, held(0, 1), MEMBER_DEAD));
    world_run(world.now + 60 * SEC);
    cr_expect(zero(uint, swim_awareness(world.node[0])), "nothing speaks against it any more");
    world_end();
    cluster_begin(3, 14);
    node_kill(1);
    node_kill(2);
    world_run(world.now + 30 * SEC);
    cr_expect(eq(int, held(0, 1), MEMBER_DEAD));
    cr_expect(eq(int, held(0, 2), MEMBER_DEAD));
    world_end();
}

/* A node that was stopped knows nothing about the time between, and condemns nobody for it. */
Test(swim, who_slept_does_not_blame_the_others)
{
    cluster_begin(6, 15);
    for (int turn = 0; turn < 20; turn++) {
        world.stopped[3] = true;
        world_run(world.now + 1500 * MSEC);
        world.stopped[3] = false;
        world_run(world.now + 5 * SEC);
    }
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0));
    for (size_t i = 0; i < world.notes; i++) {
        cr_expect(world.note[i].change.kind != SWIM_SUSPECTED ||
                      world.note[i].change.id == id_of(3),
                  "%d suspects %d", world.note[i].node, (int)world.note[i].change.id - 0x1000);
    }
    world_end();
}

/* -- data links -------------------------------------------------------------------------------- */

/* Who talks to us anyway is asked only every fourth time. */
Test(swim, who_is_heard_is_probed_less)
{
    size_t pings;

    cluster_begin(2, 16);
    for (usec_t end = world.now + 100 * SEC; world.now < end;) {
        node_step(0, &(struct swim_event){ .kind = SWIM_HEARD, .id = id_of(1) });
        world_run(world.now + 100 * MSEC);
    }
    pings = world.sent_kind[0][GOSSIP_PING];
    cr_expect(pings >= 57 && pings <= 68, "%zu pings in 250 intervals", pings);
    cr_expect(world.sent_kind[1][GOSSIP_PING] >= 245);
    world_end();
}

Test(swim, a_doubt_is_looked_into_at_once)
{
    usec_t begin;

    cluster_begin(10, 17);
    begin = world.now;
    node_kill(4);
    node_step(0, &(struct swim_event){ .kind = SWIM_DOUBT, .id = id_of(4) });
    node_step(0, &(struct swim_event){ .kind = SWIM_DOUBT, .id = id_of(4) });
    cr_expect(flying(GOSSIP_PING, 4) != NULL);
    world_run(begin + 4 * SEC);
    cr_expect(noted(0, SWIM_SUSPECTED, 4) <= begin + world.config.probe_interval);
    cr_expect(noted(0, SWIM_SUSPECTED, 4) != 0);
    world_end();
}

/* -- coming back ------------------------------------------------------------------------------- */

/* A node that is killed and started at once is the same member; nobody waits for its death. */
Test(swim, a_new_run_replaces_the_old)
{
    struct swim_member m;

    cluster_begin(5, 18);
    node_kill(2);
    node_start(2, 1031);
    node_seed(2, 0);
    world_run(world.now + 5 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0));
    cr_expect(eq(sz, noted_count(SWIM_CONFLICT), 0));
    for (int i = 0; i < 5; i++) {
        cr_assert(swim_member_find(world.node[i], id_of(2), &m));
        cr_expect(eq(u64, m.info->nonce, world.self[2].nonce), "node %d", i);
        cr_expect(eq(int, m.state, MEMBER_ALIVE));
    }
    world_end();
}

/* The same if the clock went back meanwhile: it hears of its former life and tops it. */
Test(swim, a_new_run_with_an_earlier_clock_replaces_the_old)
{
    struct swim_member m;

    cluster_begin(5, 19);
    node_kill(2);
    world_run(world.now + 20 * SEC);
    node_start(2, 900);
    node_seed(2, 0);
    world_run(world.now + 10 * SEC);
    for (int i = 0; i < 5; i++) {
        cr_assert(swim_member_find(world.node[i], id_of(2), &m));
        cr_expect(eq(u64, m.info->nonce, world.self[2].nonce), "node %d", i);
        cr_expect(eq(int, m.state, MEMBER_ALIVE), "node %d", i);
    }
    cr_expect(noted(0, SWIM_RETURNED, 2) != 0);
    world_end();
}

/* Even if it stands at 1970, as that of a machine without a battery does. */
Test(swim, a_new_run_without_a_clock_replaces_the_old)
{
    const uint64_t year_2026 = UINT64_C(1795598264) * 16;
    struct swim_member m;

    world_begin(51);
    for (int i = 0; i < 3; i++) {
        node_start(i, year_2026);
        node_seed(i, 0);
    }
    world_run(world.now + 10 * SEC);
    node_kill(2);
    node_start(2, 100);
    node_seed(2, 0);
    world_run(world.now + 10 * SEC);
    for (int i = 0; i < 3; i++) {
        cr_assert(swim_member_find(world.node[i], id_of(2), &m));
        cr_expect(eq(u64, m.info->nonce, world.self[2].nonce), "node %d", i);
        cr_expect(eq(int, m.state, MEMBER_ALIVE), "node %d", i);
        cr_expect(gt(u64, m.info->incarnation, year_2026));
    }
    world_end();
}

Test(swim, who_leaves_has_left_and_is_not_looked_for)
{
    size_t synced;

    cluster_begin(5, 20);
    node_step(2, &(struct swim_event){ .kind = SWIM_LEAVE });
    world_run(world.now + SEC);
    node_kill(2);
    world_run(world.now + 30 * SEC);
    for (int i = 0; i < 5; i++) {
        if (i != 2) {
            cr_expect(eq(int, held(i, 2), MEMBER_LEFT), "node %d", i);
            cr_expect(eq(sz, swim_alive(world.node[i]), 4));
        }
    }
    cr_expect(eq(sz, noted_count(SWIM_LEFT), 4));
    cr_expect(eq(sz, noted_count(SWIM_SUSPECTED) + noted_count(SWIM_DIED), 0));
    synced = world.synced;
    world_run(world.now + 150 * SEC);
    cr_expect(world.synced <= synced + 4 * 11, "push/pull alone: %zu", world.synced - synced);
    node_start(2, 1200);
    node_seed(2, 0);
    world_run(world.now + 5 * SEC);
    cr_expect(eq(int, held(4, 2), MEMBER_ALIVE), "and may return");
    world_end();
}

/* After a night apart, each half holds the other for dead and nobody sends it anything: still they
 * meet again, without anybody's help. */
Test(swim, two_halves_meet_again)
{
    usec_t healed;

    cluster_begin(10, 21);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 10; k++) {
            world.cut[i][k] = world.cut_tcp[i][k] = (i < 5) != (k < 5);
        }
    }
    world_run(world.now + 600 * SEC);
    for (int i = 0; i < 10; i++) {
        cr_expect(eq(sz, swim_alive(world.node[i]), 5), "node %d", i);
    }
    memset(world.cut, 0, sizeof world.cut);
    memset(world.cut_tcp, 0, sizeof world.cut_tcp);
    healed = world.now;
    world.notes = 0;
    world_run(healed + 60 * SEC);
    for (int i = 0; i < 10; i++) {
        cr_expect(eq(sz, swim_alive(world.node[i]), 10), "node %d", i);
        cr_expect(eq(u64, swim_digest(world.node[i]), swim_digest(world.node[0])));
    }
    cr_expect(eq(sz, noted_count(SWIM_RETURNED), 50));
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0), "nobody dies of the news");
    world_end();
}

/* One alone finds the others whenever they appear, at places where nobody was before. */
Test(swim, a_seed_may_come_late)
{
    world_begin(22);
    node_start(1, 1000);
    node_seed(1, 0);
    node_seed(1, 2);
    world_run(world.now + 3600 * SEC);
    cr_expect(world.synced > 300 && world.synced < 1000, "%zu", world.synced);
    node_start(0, 2000);
    world_run(world.now + 16 * SEC);
    cr_expect(eq(sz, swim_alive(world.node[0]), 2));
    node_step(1, &(struct swim_event){ .kind = SWIM_SEEDS_FORGET });
    node_seed(1, 0);
    world.synced = 0;
    world_run(world.now + 600 * SEC);
    cr_expect(world.synced <= 2 * 41, "the forgotten one is not asked: %zu", world.synced);
    world_end();
}

/* In the end the dead are forgotten. */
Test(swim, nobody_is_looked_for_for_ever)
{
    struct swim_member m;

    world_begin(23);
    world.config.remember = 600 * SEC;
    for (int i = 0; i < 4; i++) {
        node_start(i, 1000);
        if (i > 0) {
            node_seed(i, 0);
        }
    }
    world_run(world.now + 20 * SEC);
    node_kill(2);
    world_run(world.now + 500 * SEC);
    cr_expect(eq(int, held(0, 2), MEMBER_DEAD));
    world_run(world.now + 120 * SEC);
    for (int i = 0; i < 4; i++) {
        cr_expect(i == 2 || !swim_member_find(world.node[i], id_of(2), &m));
        cr_expect(i == 2 || noted(i, SWIM_FORGOTTEN, 2) != 0);
    }
    cr_expect(eq(sz, swim_alive(world.node[0]), 3));
    world_run(world.now + 120 * SEC);
    cr_expect(eq(int, held(0, 3), MEMBER_ALIVE));
    world_end();
}

/* -- whose name it is -------------------------------------------------------------------------- */

/* A second node with the id of node 1: at another place, of a later run. */
static struct member_info
twin_of_1(void)
{
    struct member_info info = info_of(1, 1500);

    info.addr = addr_of(9);
    return info;
}

Test(swim, the_later_of_two_with_one_id_is_not_believed)
{
    struct member_info twin = twin_of_1();
    struct gossip_message m = { .kind = GOSSIP_ALIVE, .info = &twin };
    struct swim_member is;

    alone_begin(2, 24);
    for (int i = 0; i < 3; i++) {
        feed(2, m);
    }
    cr_assert(swim_member_find(world.node[0], id_of(1), &is));
    cr_expect(eq(u64, is.info->incarnation, 1000));
    cr_expect(eq(sz, noted_count(SWIM_CONFLICT), 1), "told once");
    cr_expect(eq(int, node_at(&world.note[world.notes - 1].change.addr), 9));
    feed(2, (struct gossip_message){ .kind = GOSSIP_DEAD, .id = id_of(1), .incarnation = 1000,
                                     .from = id_of(2) });
    world.now += 4 * SEC;
    feed(2, m);
    cr_expect(eq(int, held(0, 1), MEMBER_DEAD), "the earlier may come back");
    world.now += SEC;
    feed(2, m);
    cr_assert(swim_member_find(world.node[0], id_of(1), &is));
    cr_expect(eq(int, is.state, MEMBER_ALIVE));
    cr_expect(eq(u64, is.info->nonce, twin.nonce));
    feed_alive(1, 1000);
    cr_assert(swim_member_find(world.node[0], id_of(1), &is));
    cr_expect(eq(u64, is.info->nonce, twin.nonce), "old news");
    world_end();
}

/* A container that is killed and gets another address: it waits for its death and is back. */
Test(swim, an_id_moves_to_another_address)
{
    struct member_info moved = info_of(2, 1040);
    struct swim_member m;

    cluster_begin(5, 25);
    node_kill(2);
    /* Node 9's place, with the id of node 2: the world knows nodes by their place. */
    moved.addr = addr_of(9);
    world.config.self = moved;
    world.node[9] = swim_new(&world.config, world.now);
    world.wake[9] = world.now;
    node_seed(9, 0);
    world_run(world.now + 40 * SEC);
    for (int i = 0; i < 5; i++) {
        if (i != 2) {
            cr_assert(swim_member_find(world.node[i], id_of(2), &m));
            cr_expect(eq(int, m.state, MEMBER_ALIVE), "node %d", i);
            cr_expect(eq(int, node_at(&m.info->addr), 9), "node %d", i);
        }
    }
    cr_expect(noted_count(SWIM_CONFLICT) > 0);
    world_end();
}

/* The earlier of two tops the later, so that all will believe it; the later does not. */
Test(swim, the_earlier_of_two_defends_its_name)
{
    struct member_info other = info_of(0, 1500);
    struct gossip_message m = { .kind = GOSSIP_ALIVE, .info = &other };
    struct swim_member self;

    alone_begin(2, 26);
    other.addr = addr_of(9);
    feed(2, m);
    cr_assert(swim_member_at(world.node[0], 0, &self));
    cr_expect(eq(u64, self.info->incarnation, 1501));
    other.nonce = 7;
    other.incarnation = 1600;
    world.now += 20 * SEC;
    feed(2, m);
    cr_assert(swim_member_at(world.node[0], 0, &self));
    cr_expect(eq(u64, self.info->incarnation, 1501));
    cr_expect(eq(sz, noted_count(SWIM_CONFLICT), 2));
    world_end();
}

/* -- bounds ------------------------------------------------------------------------------------ */

Test(swim, a_full_roster_refuses)
{
    struct member_info *info = calloc(CLUSTER_MEMBERS_MAX, sizeof *info);
    struct gossip_message *m = calloc(CLUSTER_MEMBERS_MAX, sizeof *m);
    struct swim_event ev = { .kind = SWIM_STATE, .from = id_of(1), .message = m,
                             .count = CLUSTER_MEMBERS_MAX };
    struct swim_out out;

    world_begin(27);
    node_start(0, 1000);
    for (size_t i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        info[i] = info_of(1, 1000);
        info[i].id = 0x100000 + i;
        m[i] = (struct gossip_message){ .kind = GOSSIP_ALIVE, .info = &info[i] };
    }
    cr_assert(zero(int, swim_step(world.node[0], &ev, world.now, &out)));
    cr_expect(eq(sz, out.change_count, CLUSTER_MEMBERS_MAX));
    cr_expect(eq(int, out.change[CLUSTER_MEMBERS_MAX - 1].kind, SWIM_REFUSED));
    cr_expect(eq(sz, swim_alive(world.node[0]), CLUSTER_MEMBERS_MAX));
    m[0] = (struct gossip_message){ .kind = GOSSIP_DEAD, .id = info[5].id, .from = id_of(1),
                                    .incarnation = 1000 };
    m[1] = m[CLUSTER_MEMBERS_MAX - 1];
    ev = (struct swim_event){ .kind = SWIM_PACKET, .from = id_of(1), .message = m, .count = 1 };
    cr_assert(zero(int, swim_step(world.node[0], &ev, world.now, &out)));
    cr_expect(eq(sz, swim_alive(world.node[0]), CLUSTER_MEMBERS_MAX - 1));
    ev.message = &m[1];
    cr_assert(zero(int, swim_step(world.node[0], &ev, world.now, &out)));
    cr_expect(eq(sz, swim_alive(world.node[0]), CLUSTER_MEMBERS_MAX), "the dead make room");
    world_end();
    free(info);
    free(m);
}

/* A datagram full of pings is not answered with a flood. */
Test(swim, answers_of_one_step_are_bounded)
{
    struct gossip_message m[200];

    alone_begin(1, 28);
    flights_forget();
    for (size_t i = 0; i < 200; i++) {
        m[i] = (struct gossip_message){ .kind = GOSSIP_PING, .id = id_of(0), .seq = (uint32_t)i };
    }
    messages_step(0, SWIM_PACKET, 1, m, 200);
    cr_expect(world.flights <= 64, "%zu", world.flights);
    world_end();
}

static size_t
flights_of(enum gossip_kind kind, size_t *ret_messages)
{
    size_t count = 0;

    *ret_messages = 0;
    for (size_t i = 0; i < world.flights; i++) {
        count += world.flight[i].count > 0 && world.flight[i].message[0].kind == kind;
        *ret_messages += world.flight[i].count;
    }
    return count;
}

/* Whoever forges an address, or asks much at once, does not have this node send more than he does:
 * one answer for a datagram, and what it knows only to where members are. */
Test(swim, a_stranger_gets_little)
{
    struct gossip_message m[40];
    size_t messages;

    alone_begin(10, 50);
    flights_forget();
    for (int i = 0; i < 40; i++) {
        m[i] = (struct gossip_message){ .kind = GOSSIP_PING, .id = id_of(0) };
    }
    messages_step(0, SWIM_PACKET, 1, m, 40);
    cr_expect(eq(sz, flights_of(GOSSIP_ACK, &messages), 1), "once, and with rumours");
    cr_expect(gt(sz, messages, 5));
    flights_forget();
    messages_step(0, SWIM_PACKET, 15, m, 40);
    cr_expect(eq(sz, flights_of(GOSSIP_ACK, &messages), 1));
    cr_expect(eq(sz, messages, 2), "who are you");
    flights_forget();
    for (int i = 0; i < 40; i++) {
        m[i] = (struct gossip_message){ .kind = GOSSIP_PING_REQ, .id = id_of(15),
                                        .addr = addr_of(15) };
    }
    messages_step(0, SWIM_PACKET, 1, m, 40);
    cr_expect(eq(sz, flights_of(GOSSIP_PING, &messages), 1));
    cr_expect(eq(sz, messages, 1));
    flights_forget();
    for (int i = 0; i < 40; i++) {
        m[i] = (struct gossip_message){ .kind = GOSSIP_SUSPECT, .id = id_of(0), .from = id_of(15) };
    }
    messages_step(0, SWIM_PACKET, 15, m, 40);
    cr_expect(eq(sz, flights_of(GOSSIP_ALIVE, &messages), 1));
    cr_expect(eq(sz, messages, 1));
    world_end();
}

/* What is not about members travels with the rumours, to everybody. */
Test(swim, facts_about_the_ring_spread)
{
    struct gossip_message m = { .kind = GOSSIP_RING,
                                .op = { .kind = RING_OP_MEMBER, .node = 5, .host = "a" } };
    bool   heard[10] = { false };
    size_t told = 0;

    cluster_begin(10, 29);
    cr_assert(zero(int, swim_spread(world.node[0], &m)));
    node_step(0, &(struct swim_event){ .kind = SWIM_TICK });
    for (usec_t end = world.now + 2 * SEC; world.now < end;) {
        world_run(world.now + MSEC / 10);
        for (size_t i = 0; i < world.flights; i++) {
            for (size_t k = 0; k < world.flight[i].count; k++) {
                if (world.flight[i].message[k].kind == GOSSIP_RING && world.flight[i].from == 0) {
                    heard[world.flight[i].to] = true;
                    cr_expect(eq(u64, world.flight[i].message[k].op.node, 5));
                }
            }
        }
    }
    for (int i = 1; i < 10; i++) {
        told += heard[i];
    }
    cr_expect(told >= 3, "%zu", told); /* those that heard it tell it on by swim_spread() */
    cr_expect(eq(sz, world.sent_kind[0][GOSSIP_RING], 8));
    world_end();
}

/* Even with a fifth of all datagrams lost, nobody is buried. */
Test(swim, loss_kills_nobody)
{
    cluster_begin(10, 30);
    world.lost_percent = 20;
    world_run(world.now + 600 * SEC);
    cr_expect(eq(sz, noted_count(SWIM_DIED), 0));
    world_end();
}

/* What a node says of itself reaches all. */
Test(swim, a_change_reaches_all)
{
    struct member_info info = info_of(3, 0);
    struct swim_member m;

    cluster_begin(8, 31);
    info.phase = PHASE_DRAINING;
    info.weight = 0;
    node_step(3, &(struct swim_event){ .kind = SWIM_INFO, .info = &info });
    world_run(world.now + 2 * SEC);
    for (int i = 0; i < 8; i++) {
        cr_assert(swim_member_find(world.node[i], id_of(3), &m));
        cr_expect(eq(int, m.info->phase, PHASE_DRAINING), "node %d", i);
        cr_expect(eq(u64, m.info->incarnation, 1001), "node %d", i);
    }
    cr_expect(eq(sz, noted_count(SWIM_CHANGED), 7));
    world_end();
}

/* -- whatever comes ---------------------------------------------------------------------------- */

/* What must hold between any two steps; incarnation[] is what was held of each id before. */
static void
check_whole(const struct swim *s, const struct swim_out *out, uint64_t *incarnation, size_t ids)
{
    size_t   count[MEMBER_LEFT + 1] = { 0 };
    uint64_t digest = 0;

    for (size_t i = 0; i < s->roster.count; i++) {
        const struct member *m = &s->roster.at[i];
        size_t               id = (size_t)m->info->id;

        cr_assert(roster_find(&s->roster, id) == i);
        cr_assert(eq(int, m->suspicion != SUSPICION_NONE, m->state == MEMBER_SUSPECT));
        cr_assert(m->rumour == RUMOUR_NONE || s->rumours.slot[m->rumour].member == i);
        cr_assert(member_is_here(m) ? i == 0 || m->in_round : true);
        cr_assert(id < ids);
        cr_assert(member_incarnation(m) >= incarnation[id], "the incarnation of %zu fell", id);
        incarnation[id] = member_incarnation(m);
        count[m->state] += i > 0;
        digest += member_is_here(m) ? swim_digest_part(m) : 0;
    }
    for (int state = MEMBER_ALIVE; state <= MEMBER_LEFT; state++) {
        cr_assert(eq(sz, count[state], s->state_count[state]), "state %d", state);
    }
    cr_assert(eq(u64, digest, s->digest));
    cr_assert(eq(sz, s->suspicions.count, s->state_count[MEMBER_SUSPECT]));
    cr_assert(s->awareness <= SWIM_AWARENESS_MAX);
    cr_assert(out->wake_at >= s->now && out->send_count <= DRAFTS_MAX);
    for (size_t i = 0; i < out->send_count; i++) {
        size_t bytes = GOSSIP_OVERHEAD;

        for (size_t k = 0; k < out->send[i].count; k++) {
            bytes += gossip_size(&out->send[i].message[k]);
        }
        cr_assert(bytes <= GOSSIP_PACKET_MAX);
    }
}

#define IDS 40

static struct gossip_message
message_random(struct rng *rng, struct member_info *info)
{
    struct gossip_message m = { .kind = (enum gossip_kind)(1 + rng_below(rng, GOSSIP_RING)) };
    uint64_t              incarnation = 990 + rng_below(rng, 40);

    *info = info_of((int)rng_below(rng, 200), incarnation);
    info->id = 1 + rng_below(rng, IDS - 1);
    info->nonce = rng_below(rng, 3);
    info->phase = (uint8_t)rng_below(rng, PHASE_LEFT + 1);
    m.seq = (uint32_t)rng_below(rng, 100);
    m.id = info->id;
    m.from = 1 + rng_below(rng, IDS - 1);
    m.incarnation = rng_below(rng, 50) == 0 ? rng_next(rng) : incarnation;
    m.addr = info->addr;
    m.state = (enum member_state)rng_below(rng, MEMBER_LEFT + 1);
    m.info = m.kind == GOSSIP_ALIVE ? info : NULL;
    m.op.node = rng_below(rng, 50);
    return m;
}

static void
event_random(struct rng *rng, struct swim_event *ev, struct gossip_message m[4],
             struct member_info info[4])
{
    uint64_t which = rng_below(rng, 40);

    *ev = (struct swim_event){ .kind = SWIM_PACKET, .from = 1 + rng_below(rng, IDS - 1),
                               .id = 1 + rng_below(rng, IDS - 1), .message = m,
                               .addr = addr_of((int)rng_below(rng, 200)), .info = info };
    if (which <= SWIM_SEEDS_FORGET) {
        ev->kind = (enum swim_event_kind)which;
    } else if (which == 39) {
        ev->kind = SWIM_INFO;
    }
    ev->count = 1 + rng_below(rng, 4);
    for (size_t i = 0; i < ev->count; i++) {
        m[i] = message_random(rng, &info[i]);
    }
}

/* Descriptions that cannot always be had. */
static struct rng starving;
static size_t     shared;

static const struct member_info *
share_rarely(void *arg, const struct member_info *info)
{
    struct member_info *copy = NULL;

    (void)arg;
    if (shared == 0 || rng_below(&starving, 3) > 0) {
        copy = malloc(sizeof *copy);
        *copy = *info;
        shared++;
    }
    return copy;
}

static void
release(void *arg, const struct member_info *info)
{
    (void)arg;
    shared--;
    free((void *)(uintptr_t)info);
}

static void
nonsense_run(uint64_t seed, bool starve)
{
    struct swim_config config;
    struct rng rng;
    struct swim *s;
    uint64_t incarnation[IDS] = { 0 };
    usec_t now = START;
    size_t failed = 0;

    rng_init(&rng, seed);
    rng_init(&starving, seed);
    swim_config_defaults(&config);
    config.self = info_of(0, 1000);
    config.self.id = 1;
    config.self.nonce = 1;
    config.remember = 60 * SEC;
    config.share = starve ? share_rarely : NULL;
    config.release = starve ? release : NULL;
    s = swim_new(&config, now);
    cr_assert(s != NULL);
    for (int turn = 0; turn < 20000; turn++) {
        struct member_info info[4];
        struct gossip_message m[4];
        struct swim_event ev;
        struct swim_out out;

        event_random(&rng, &ev, m, info);
        now += (usec_t)rng_below(&rng, rng_below(&rng, 100) == 0 ? 100 * SEC : 100 * MSEC);
        failed += swim_step(s, &ev, now, &out) == ERR_NOMEM;
        for (size_t i = 0; i < out.change_count; i++) {
            if (out.change[i].kind == SWIM_FORGOTTEN) {
                incarnation[out.change[i].id] = 0;
            }
        }
        check_whole(s, &out, incarnation, IDS);
    }
    cr_expect(starve == (failed > 0));
    swim_free(s);
    cr_expect(zero(sz, shared));
}

/* Any messages in any order leave it whole, and no incarnation ever falls. */
Test(swim, nonsense_does_not_break_it)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        nonsense_run(seed, false);
    }
}

/* Nor does the want of memory. */
Test(swim, a_starving_node_stays_whole)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        nonsense_run(seed, true);
    }
}
