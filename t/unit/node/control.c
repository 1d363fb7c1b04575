/*
 * control.c - a few nodes that are one cluster, wired in memory: who has a place in the ring, who
 * loses it, and that all agree.
 *
 * Datagrams take 0.5 ms, whole states and probes 1 ms a way, unless a way is cut.  What swim alone
 * decides is tested in t/unit/cluster/swim.c.
 */
#include "node/control.h"
#include "base/rng.h"
#include "proto/gossip.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 6
#define MSEC  USEC_PER_MSEC
#define SEC   USEC_PER_SEC
#define DIGEST_LEN (GOSSIP_HEADER + 3 + 16) /* bytes of a state that is no more than that */
#define START (1750000000 * SEC)

/* -- a world ----------------------------------------------------------------------------------- */

enum flight_kind { DATAGRAM, STATE_ASKED, STATE_ANSWERED, PROBE, PROBE_ANSWERED };

struct flight {
    struct flight   *next;
    enum flight_kind kind;
    usec_t           at;
    int              from, to;
    struct buf       bytes;
};

struct one {
    struct settings     settings;
    struct metrics      metrics;
    struct member_info  self;
    struct control     *control; /* NULL: it does not run */
    struct view        *view;    /* the newest it gave */
    usec_t              wake;
    unsigned            views;
    unsigned            noted[CONTROL_BAD + 1];
    unsigned            changed[SWIM_REFUSED + 1];
    unsigned            packets;
};

static struct world {
    usec_t         now;
    struct rng     rng;
    struct one     node[NODES];
    bool           cut[NODES][NODES]; /* nothing comes through */
    unsigned       states, whole_states; /* that were sent in push/pull */
    bool           no_facts;          /* datagrams with facts about the ring are lost */
    struct flight *flights;           /* in the order of their time */
} world;

static struct cluster_addr
addr_of(int i)
{
    return (struct cluster_addr){ .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, (uint8_t)(i + 1) },
                                  .port = 21211 };
}

/* Who is there, or -1. */
static int
node_at(const struct cluster_addr *a)
{
    for (int i = 0; i < NODES; i++) {
        struct cluster_addr b = addr_of(i);

        if (memcmp(&b, a, sizeof b) == 0) {
            return i;
        }
    }
    return -1;
}

static node_id
id_of(int i)
{
    return (node_id)(100 + i);
}

static bool
has_facts(struct slice packet)
{
    struct gossip_reader r;
    struct gossip_message m;

    cr_assert(eq(int, gossip_open(&r, packet, gossip_label("magpie")), GOSSIP_OK));
    while (gossip_next(&r, &m) == GOSSIP_OK) {
        if (m.kind == GOSSIP_RING) {
            return true;
        }
    }
    return false;
}

static void
fly(enum flight_kind kind, int from, int to, struct slice bytes)
{
    struct flight *f, **at = &world.flights;

    if (to < 0 || world.cut[from][to] ||
        (kind == DATAGRAM && world.no_facts && has_facts(bytes))) {
        return;
    }
    f = calloc(1, sizeof *f);
    cr_assert(f != NULL);
    *f = (struct flight){ .kind = kind, .from = from, .to = to };
    if (kind == STATE_ASKED || kind == STATE_ANSWERED) {
        world.states++;
        world.whole_states += bytes.len > DIGEST_LEN;
    }
    f->at = world.now + (kind == DATAGRAM ? MSEC / 2 : MSEC);
    cr_assert(buf_add(&f->bytes, bytes.ptr, bytes.len));
    while (*at && (*at)->at <= f->at) {
        at = &(*at)->next;
    }
    f->next = *at;
    *at = f;
}

/* What a node says to another when it calls, or in answer to what came last. */
static struct slice
said_by(int i, bool calls, int to, struct buf *b)
{
    struct cluster_addr addr = addr_of(to);

    b->len = 0;
    cr_assert(control_state(world.node[i].control, calls, &addr, b));
    return slice_of(b->ptr, b->len);
}

/* The whole state of a node who is not asked by anybody. */
static struct slice
state_of(int i, struct buf *b)
{
    return said_by(i, false, i, b);
}

static void
obey(int i, const struct control_out *out)
{
    struct one *n = &world.node[i];

    for (size_t k = 0; k < out->send_count; k++) {
        cr_assert(out->send[k].bytes.len <= GOSSIP_PACKET_MAX);
        fly(DATAGRAM, i, node_at(&out->send[k].addr), out->send[k].bytes);
        n->packets++;
    }
    for (size_t k = 0; k < out->tcp_count; k++) {
        fly(PROBE, i, node_at(&out->tcp[k].addr), SLICE(""));
    }
    for (size_t k = 0; k < out->note_count; k++) {
        n->noted[out->note[k].kind]++;
        if (out->note[k].kind == CONTROL_MEMBER) {
            n->changed[out->note[k].change]++;
        }
    }
    if (out->view) {
        cr_assert(n->view == NULL || out->view->number > n->view->number);
        view_free(n->view);
        n->view = out->view;
        n->views++;
    }
    cr_assert(control_view(n->control) == n->view);
    cr_assert(out->wake_at > world.now, "node %d would spin", i);
    n->wake = out->wake_at;
    if (out->sync_count > 0) {
        struct cluster_addr to[64];
        size_t count = out->sync_count < 64 ? out->sync_count : 64;
        struct buf b = { 0 };

        memcpy(to, out->sync, count * sizeof *to);
        for (size_t k = 0; k < count; k++) {
            int whom = node_at(&to[k]);

            if (whom >= 0) {
                fly(STATE_ASKED, i, whom, said_by(i, true, whom, &b));
            }
        }
        buf_free(&b);
    }
}

static void
arrive(struct flight *f)
{
    struct one *n = &world.node[f->to];
    struct cluster_addr from = addr_of(f->from);
    struct slice bytes = slice_of(f->bytes.ptr, f->bytes.len);
    struct control_out out;
    struct buf b = { 0 };

    if (!n->control || world.cut[f->from][f->to]) {
        return;
    }
    switch (f->kind) {
    case DATAGRAM:
        control_datagram(n->control, &from, bytes, world.now, &out);
        break;
    case STATE_ASKED:
    case STATE_ANSWERED:
        control_synced(n->control, f->kind == STATE_ANSWERED, &from, bytes, world.now, &out);
        break;
    case PROBE:
        fly(PROBE_ANSWERED, f->to, f->from, SLICE(""));
        return;
    case PROBE_ANSWERED:
        control_tcp_ack(n->control, id_of(f->from), world.now, &out);
        break;
    }
    obey(f->to, &out);
    if (f->kind == STATE_ASKED) {
        fly(STATE_ANSWERED, f->to, f->from, said_by(f->to, false, f->from, &b));
        buf_free(&b);
    }
}

/* The world goes on for so long. */
static void
pass(usec_t time)
{
    const usec_t end = world.now + time;

    for (;;) {
        usec_t next = end;
        struct flight *f = world.flights;
        struct control_out out;

        for (int i = 0; i < NODES; i++) {
            if (world.node[i].control && world.node[i].wake < next) {
                next = world.node[i].wake;
            }
        }
        if (f && f->at <= next) {
            world.flights = f->next;
            world.now = f->at;
            arrive(f);
            buf_free(&f->bytes);
            free(f);
            continue;
        }
        world.now = next;
        if (next == end) {
            return;
        }
        for (int i = 0; i < NODES; i++) {
            if (world.node[i].control && world.node[i].wake <= next) {
                control_tick(world.node[i].control, world.now, &out);
                obey(i, &out);
            }
        }
    }
}

static void
set(int i, const char *name, const char *value)
{
    struct err_detail d = { "" };

    cr_assert(eq(int, settings_set(&world.node[i].settings, name, value, &d), ERR_OK), "%s",
              d.text);
}

/* A new run of a node. */
static void
start(int i)
{
    struct one *n = &world.node[i];
    struct control_config config = { .settings = &n->settings, .metrics = &n->metrics };
    struct control_out out;

    cr_assert(n->control == NULL);
    n->self = (struct member_info){ .id = id_of(i), .nonce = (uint64_t)world.now + (uint64_t)i,
                                    .addr = addr_of(i), .client_port = 11211, .workers = 2 };
    snprintf(n->self.host, sizeof n->self.host, "10.0.0.%d", i + 1);
    config.self = n->self;
    config.seed = rng_next(&world.rng);
    n->control = control_new(&config, world.now);
    cr_assert(n->control != NULL);
    control_tick(n->control, world.now, &out);
    obey(i, &out);
}

/* Its process ends, without a word. */
static void
stop(int i)
{
    struct one *n = &world.node[i];

    control_free(n->control);
    view_free(n->view);
    n->control = NULL;
    n->view = NULL;
}

static void
seeds(int i, int from, int to)
{
    struct cluster_addr addr[NODES];
    struct control_out out;
    size_t count = 0;

    for (int k = from; k < to; k++) {
        addr[count++] = addr_of(k);
    }
    control_seeds(world.node[i].control, addr, count, world.now, &out);
    obey(i, &out);
}

static void
setup(void)
{
    memset(&world, 0, sizeof world);
    world.now = START;
    rng_init(&world.rng, 11);
    for (int i = 0; i < NODES; i++) {
        settings_defaults(&world.node[i].settings);
        set(i, "join", "somewhere");
    }
}

static void
teardown(void)
{
    while (world.flights) {
        struct flight *f = world.flights;

        world.flights = f->next;
        buf_free(&f->bytes);
        free(f);
    }
    for (int i = 0; i < NODES; i++) {
        stop(i);
    }
}

TestSuite(control, .init = setup, .fini = teardown);

/* The first of them is the first of its cluster, the others join it. */
static void
cluster(int count)
{
    set(0, "join", "");
    set(0, "cluster", "yes");
    start(0);
    for (int i = 1; i < count; i++) {
        start(i);
        seeds(i, 0, 1);
        pass(100 * MSEC);
    }
    pass(5 * SEC);
}

/* How many nodes have a place in the ring, as one sees it. */
static unsigned
places(int i)
{
    unsigned count = 0;

    for (unsigned k = 0; k < world.node[i].view->count; k++) {
        count += world.node[i].view->node[k].in_ring;
    }
    return count;
}

static unsigned
acting(int i)
{
    unsigned count = 0;

    for (unsigned k = 0; k < world.node[i].view->count; k++) {
        count += world.node[i].view->node[k].acts;
    }
    return count;
}

static enum member_state
state_at(int i, int of)
{
    uint16_t k = view_find(world.node[i].view, id_of(of));

    return k == VIEW_NOBODY ? MEMBER_LEFT : world.node[i].view->node[k].state;
}

/* All that run have one ring, with so many places, and such a number of nodes acts. */
static void
agree(unsigned in_ring, unsigned act)
{
    const struct view *first = NULL;

    for (int i = 0; i < NODES; i++) {
        const struct view *v = world.node[i].view;

        if (!world.node[i].control) {
            continue;
        }
        first = first ? first : v;
        cr_expect(eq(u64, v->ring_digest, first->ring_digest), "node %d", i);
        cr_expect(eq(u32, v->ring_ops, first->ring_ops), "node %d", i);
        cr_expect(eq(uint, places(i), in_ring), "node %d", i);
        cr_expect(eq(uint, acting(i), act), "node %d", i);
        cr_expect(v->self != VIEW_NOBODY && v->node[v->self].info.id == id_of(i));
    }
}

/* -- coming ------------------------------------------------------------------------------------ */

/* A cluster begins with one, who waits for nobody. */
Test(control, the_first_is_up_at_once)
{
    set(0, "join", "");
    start(0);
    cr_expect(eq(int, control_phase(world.node[0].control), PHASE_UP));
    agree(1, 1);
}

/* Who has seeds asks them first, so that it learns the placement before it proposes one. */
Test(control, others_wait_for_their_seeds)
{
    start(1);
    pass(900 * MSEC);
    cr_expect(eq(int, control_phase(world.node[1].control), PHASE_JOINING));
    cr_expect(eq(uint, places(1), 0));
    pass(200 * MSEC);
    cr_expect(eq(int, control_phase(world.node[1].control), PHASE_UP));
    agree(1, 1);
}

/* ... and does not wait longer than it must. */
Test(control, who_is_told_joins_at_once)
{
    set(0, "join", "");
    start(0);
    start(1);
    seeds(1, 0, 1);
    pass(50 * MSEC);
    cr_expect(eq(int, control_phase(world.node[1].control), PHASE_UP));
    pass(SEC);
    agree(2, 2);
}

Test(control, five_find_each_other)
{
    cluster(5);
    agree(5, 5);
    for (int i = 0; i < 5; i++) {
        cr_expect(eq(sz, control_alive(world.node[i].control), 5));
        cr_expect(eq(i64, metric_get(&world.node[i].metrics, M_CLUSTER_MEMBERS), 5));
        cr_expect(eq(i64, metric_get(&world.node[i].metrics, M_CLUSTER_RING_NODES), 5));
        cr_expect(zero(uint, world.node[i].noted[CONTROL_BAD]));
        cr_expect(zero(uint, world.node[i].noted[CONTROL_STRANGER]));
    }
}

/* A whole cluster is switched on: nobody is there before the others. */
Test(control, all_at_once)
{
    for (int i = 0; i < 5; i++) {
        start(i);
        seeds(i, 0, 5);
    }
    pass(5 * SEC);
    agree(5, 5);
}

/* Two that were alone become one when the way between them opens. */
Test(control, two_singles_merge)
{
    world.cut[0][1] = world.cut[1][0] = true;
    for (int i = 0; i < 2; i++) {
        start(i);
        seeds(i, 0, 2);
    }
    pass(5 * SEC);
    cr_expect(eq(uint, places(0), 1));
    cr_expect(eq(uint, places(1), 1));
    world.cut[0][1] = world.cut[1][0] = false;
    pass(20 * SEC);
    agree(2, 2);
}

/* A node of weight 0 owns nothing, but clients may use it. */
Test(control, weight_and_zone_are_told)
{
    set(1, "weight", "0");
    set(1, "zone", "east");
    cluster(2);
    uint16_t k = view_find(world.node[0].view, id_of(1));

    cr_assert(k != VIEW_NOBODY);
    cr_expect(zero(uint, world.node[0].view->node[k].info.weight));
    cr_expect(eq(str, world.node[0].view->node[k].info.zone, (char *)"east"));
    cr_expect(ieee_ulp_eq(dbl, ring_share(world.node[0].view->ring, k), 0.0, 1));
    agree(2, 2);
}

/* -- placement --------------------------------------------------------------------------------- */

/* The cluster's word counts, and the operator hears of it. */
Test(control, placement_is_the_clusters)
{
    set(0, "placement", "ketama-weighted");
    cluster(3);
    for (int i = 0; i < 3; i++) {
        cr_expect(eq(int, world.node[i].view->placement, RING_KETAMA_WEIGHTED), "node %d", i);
        cr_expect(eq(uint, world.node[i].noted[CONTROL_PLACEMENT], i > 0), "node %d", i);
    }
    agree(3, 3);
}

/* A late-comer that could not ask in time must not move every key of a running cluster. */
Test(control, the_older_placement_wins)
{
    cluster(3);
    set(3, "placement", "ketama-oat");
    for (int i = 0; i < 3; i++) {
        world.cut[i][3] = world.cut[3][i] = true;
    }
    start(3);
    seeds(3, 0, 3);
    pass(3 * SEC);
    cr_expect(eq(int, world.node[3].view->placement, RING_KETAMA_OAT));
    memset(world.cut, 0, sizeof world.cut);
    pass(20 * SEC);
    for (int i = 0; i < 4; i++) {
        cr_expect(eq(int, world.node[i].view->placement, RING_NATIVE), "node %d", i);
    }
    cr_expect(gt(uint, world.node[3].noted[CONTROL_PLACEMENT], 0));
    agree(4, 4);
}

/* Who joins learns of places that ended long ago, and does not tell of them as news. */
Test(control, old_ends_are_no_news)
{
    struct control_out out;

    cluster(4);
    pass(2 * SEC);
    unsigned facts = world.node[0].noted[CONTROL_RING];

    control_leave(world.node[3].control, world.now, &out);
    obey(3, &out);
    pass(SEC);
    stop(3);
    cr_expect(eq(uint, world.node[0].noted[CONTROL_RING], facts + 1), "it is news to who knew it");
    start(4);
    seeds(4, 0, 3);
    pass(10 * SEC);
    cr_expect(eq(sz, control_alive(world.node[4].control), 4));
    cr_expect(eq(uint, control_view(world.node[4].control)->ring_ops, 6));
    cr_expect(eq(uint, world.node[4].noted[CONTROL_RING], 5), "four places and a placement");
}

/* -- going ------------------------------------------------------------------------------------- */

Test(control, who_leaves_gives_up_its_place)
{
    struct control_out out;

    cluster(3);
    control_leave(world.node[2].control, world.now, &out);
    obey(2, &out);
    cr_expect(eq(uint, places(2), 2), "it knows so at once");
    pass(500 * MSEC);
    agree(2, 2);
    stop(2);
    pass(20 * SEC);
    for (int i = 0; i < 2; i++) {
        cr_expect(eq(uint, world.node[i].changed[SWIM_LEFT], 1));
        cr_expect(zero(uint, world.node[i].changed[SWIM_DIED]));
        cr_expect(eq(uint, view_find(world.node[i].view, id_of(2)), VIEW_NOBODY));
    }
    agree(2, 2);
}

/* A dead node keeps its place: its keys come back with it, and the others' do not move. */
Test(control, the_dead_keep_their_place)
{
    uint64_t digest;

    cluster(3);
    digest = world.node[0].view->ring_digest;
    stop(2);
    pass(10 * SEC);
    agree(3, 2);
    cr_expect(eq(int, state_at(0, 2), MEMBER_DEAD));
    cr_expect(eq(u64, world.node[0].view->ring_digest, digest));
    cr_expect(eq(uint, world.node[0].changed[SWIM_DIED], 1));
    cr_expect(eq(i64, metric_get(&world.node[0].metrics, M_CLUSTER_DEAD), 1));
}

/* A restart is not a change of the ring. */
Test(control, restarted_at_the_same_place)
{
    uint64_t digest;

    cluster(3);
    digest = world.node[0].view->ring_digest;
    stop(2);
    pass(10 * SEC);
    start(2);
    seeds(2, 0, 2);
    pass(5 * SEC);
    agree(3, 3);
    cr_expect(eq(u64, world.node[0].view->ring_digest, digest));
    cr_expect(eq(uint, world.node[0].changed[SWIM_RETURNED], 1));
}

/* ... nor is one that nobody had time to notice. */
Test(control, restarted_in_no_time)
{
    uint64_t digest;

    cluster(3);
    digest = world.node[0].view->ring_digest;
    stop(2);
    start(2);
    seeds(2, 0, 2);
    pass(20 * SEC);
    agree(3, 3);
    cr_expect(eq(u64, world.node[0].view->ring_digest, digest));
    cr_expect(eq(uint, world.node[0].view->node[view_find(world.node[0].view, id_of(2))].state,
                 MEMBER_ALIVE));
}

/* With another weight it is. */
Test(control, restarted_with_another_weight)
{
    cluster(3);
    stop(2);
    pass(10 * SEC);
    set(2, "weight", "3");
    start(2);
    seeds(2, 0, 2);
    pass(5 * SEC);
    agree(3, 3);
    uint16_t k = view_find(world.node[0].view, id_of(2));

    cr_expect(gt(dbl, ring_share(world.node[0].view->ring, k), 0.5));
}

/* -- being forgotten --------------------------------------------------------------------------- */

Test(control, the_long_dead_lose_their_place)
{
    for (int i = 0; i < 3; i++) {
        set(i, "auto_forget", "60s");
    }
    cluster(3);
    stop(2);
    pass(55 * SEC);
    agree(3, 2);
    pass(20 * SEC);
    agree(2, 2);
    int64_t forgot = metric_get(&world.node[0].metrics, M_CLUSTER_FORGOTTEN) +
                     metric_get(&world.node[1].metrics, M_CLUSTER_FORGOTTEN);

    cr_expect(eq(i64, forgot, 1), "one says so, the others are told");
    /* It comes back, and has its place again. */
    start(2);
    seeds(2, 0, 2);
    pass(5 * SEC);
    agree(3, 3);
}

/* Whoever was cut off for long finds that it was forgotten, and takes its place again. */
Test(control, forgotten_alive)
{
    for (int i = 0; i < 3; i++) {
        set(i, "auto_forget", "20s");
    }
    cluster(3);
    for (int i = 0; i < 2; i++) {
        world.cut[i][2] = world.cut[2][i] = true;
    }
    pass(60 * SEC);
    cr_expect(eq(uint, places(0), 2));
    memset(world.cut, 0, sizeof world.cut);
    cr_expect(not(world.node[2].view->past_lost));
    pass(60 * SEC);
    agree(3, 3);
    /* Each side forgot the other, and cannot know what clients were told there meanwhile. */
    for (int i = 0; i < 3; i++) {
        cr_expect(world.node[i].view->past_lost);
    }
}

/* A node came and went while another was cut off: that one's keys may have been somebody else's. */
Test(control, rings_that_came_and_went)
{
    struct control_out out;

    cluster(3);
    pass(10 * SEC);
    world.cut[0][2] = world.cut[2][0] = world.cut[1][2] = world.cut[2][1] = true;
    pass(30 * SEC);
    start(3);
    seeds(3, 0, 2);
    pass(10 * SEC);
    control_leave(world.node[3].control, world.now, &out);
    obey(3, &out);
    pass(SEC);
    stop(3);
    cr_expect(not(world.node[2].view->past_lost));
    memset(world.cut, 0, sizeof world.cut);
    pass(30 * SEC);
    agree(3, 3);
    cr_expect(world.node[2].view->past_lost);
    cr_expect(not(world.node[0].view->past_lost));
}

/* Who comes late to an old ring has missed nothing that it could hold anything of. */
Test(control, late_comers_lose_nothing)
{
    cluster(2);
    pass(60 * SEC);
    start(2);
    seeds(2, 0, 1);
    pass(5 * SEC);
    agree(3, 3);
    for (int i = 0; i < 3; i++) {
        cr_expect(not(world.node[i].view->past_lost));
    }
}

Test(control, zero_never_forgets)
{
    for (int i = 0; i < 3; i++) {
        set(i, "auto_forget", "0");
    }
    cluster(3);
    stop(2);
    pass(3600 * SEC);
    agree(3, 2);
}

/* A node that is in the ring and that gossip has never heard of. */
Test(control, the_unknown_are_forgotten_too)
{
    for (int i = 0; i < 3; i++) {
        set(i, "auto_forget", "60s");
    }
    cluster(3);
    struct control_out out;
    struct gossip_message m = { .kind = GOSSIP_RING };
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(5), .nonce = 1, .sequence = 1 };
    struct cluster_addr from = addr_of(5);
    char packet[GOSSIP_PACKET_MAX];
    size_t n;

    m.op = (struct ring_op){ .kind = RING_OP_MEMBER, .node = 77, .stamp = world.now,
                             .proposer = 77, .client_port = 1, .weight = 1, .host = "ghost" };
    n = gossip_write_header(&h, packet, sizeof packet);
    n += gossip_write(&m, packet + n, sizeof packet - n);
    control_datagram(world.node[0].control, &from, slice_of(packet, n), world.now, &out);
    obey(0, &out);
    pass(10 * SEC);
    agree(4, 3);
    pass(70 * SEC);
    agree(3, 3);
}

Test(control, an_operator_forgets)
{
    struct control_out out;
    struct control *c;

    cluster(3);
    c = world.node[0].control;
    cr_expect(eq(int, control_forget(c, 12345, world.now, &out), ERR_UNKNOWN));
    obey(0, &out);
    cr_expect(eq(int, control_forget(c, 0, world.now, &out), ERR_UNKNOWN));
    obey(0, &out);
    cr_expect(eq(int, control_forget(c, id_of(0), world.now, &out), ERR_DENIED));
    obey(0, &out);
    cr_expect(eq(int, control_forget(c, id_of(2), world.now, &out), ERR_DENIED));
    obey(0, &out);
    stop(2);
    pass(10 * SEC);
    cr_expect(eq(int, control_forget(c, id_of(2), world.now, &out), ERR_OK));
    obey(0, &out);
    pass(3 * SEC);
    agree(2, 2);
}

/* -- disagreement ------------------------------------------------------------------------------ */

/* Rumours are told for a while only; who missed one is asked when it says that its ring differs. */
Test(control, missed_news_are_caught_up)
{
    cluster(4);
    world.cut[0][3] = world.cut[3][0] = world.cut[1][3] = world.cut[3][1] = true;
    world.cut[2][3] = world.cut[3][2] = true;
    struct control_out out;

    control_leave(world.node[2].control, world.now, &out);
    obey(2, &out);
    pass(SEC);
    stop(2);
    memset(world.cut, 0, sizeof world.cut);
    pass(30 * SEC);
    agree(3, 3);
}

/* ... well before whole states are exchanged anyway. */
Test(control, another_digest_is_asked_about)
{
    cluster(4);
    pass(20 * SEC);
    stop(3);
    pass(10 * SEC);
    struct control_out out;

    world.no_facts = true;
    cr_expect(eq(int, control_forget(world.node[0].control, id_of(3), world.now, &out), ERR_OK));
    obey(0, &out);
    cr_expect(eq(uint, places(0), 3));
    cr_expect(eq(uint, places(1), 4));
    pass(6 * SEC);
    agree(3, 3);
}

/* Its own place is nobody else's to give away. */
Test(control, the_own_place_is_defended)
{
    cluster(3);
    struct gossip_message m = { .kind = GOSSIP_RING };
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(1), .nonce = world.node[1].self.nonce,
                               .sequence = 1 << 30 };
    struct cluster_addr from = addr_of(1);
    struct control_out out;
    char packet[GOSSIP_PACKET_MAX];
    size_t n;

    pass(10 * SEC);
    m.op = (struct ring_op){ .kind = RING_OP_REMOVED, .node = id_of(2), .proposer = id_of(1),
                             .stamp = world.now + 3600 * SEC };
    n = gossip_write_header(&h, packet, sizeof packet);
    n += gossip_write(&m, packet + n, sizeof packet - n);
    control_datagram(world.node[0].control, &from, slice_of(packet, n), world.now, &out);
    obey(0, &out);
    pass(10 * SEC);
    agree(3, 3);
}

/* A stamp that nobody could ever replace is refused. */
Test(control, impossible_stamps_are_refused)
{
    cluster(2);
    struct gossip_message m = { .kind = GOSSIP_RING };
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(1), .nonce = world.node[1].self.nonce,
                               .sequence = 1 << 30 };
    struct cluster_addr from = addr_of(1);
    struct control_out out;
    char packet[GOSSIP_PACKET_MAX];
    size_t n = gossip_write_header(&h, packet, sizeof packet);

    m.op = (struct ring_op){ .kind = RING_OP_PLACEMENT, .stamp = RING_STAMP_MAX + 1, .proposer = 5,
                             .placement = RING_KETAMA_OAT, .replicas = 1 };
    n += gossip_write(&m, packet + n, sizeof packet - n);
    control_datagram(world.node[0].control, &from, slice_of(packet, n), world.now, &out);
    obey(0, &out);
    cr_expect(eq(int, world.node[0].view->placement, RING_NATIVE));
    cr_expect(eq(i64, metric_get(&world.node[0].metrics, M_CLUSTER_REFUSED), 1));
    pass(SEC);
    agree(2, 2);
}

/* A clock that is wrong is no reason to fall. */
Test(control, a_clock_of_another_century)
{
    world.now = 5000000000 * SEC;
    cluster(2);
    agree(2, 2);
    cr_expect(eq(int, world.node[1].view->placement, RING_NATIVE));
}

/* -- push/pull --------------------------------------------------------------------------------- */

/* A node hears a state, and does nothing of what it wants; true if it wants to call the other. */
static bool
hears(int i, bool calls, int from, struct slice bytes)
{
    struct one *n = &world.node[i];
    struct cluster_addr addr = addr_of(from);
    struct control_out out;
    bool again = false;

    control_synced(n->control, calls, &addr, bytes, world.now, &out);
    for (size_t k = 0; k < out.sync_count; k++) {
        again |= node_at(&out.sync[k]) == from;
    }
    if (out.view) {
        view_free(n->view);
        n->view = out.view;
    }
    return again;
}

/* A fact that nobody else hears of. */
static void
whisper(int i, node_id about)
{
    struct one *n = &world.node[i];
    struct gossip_message m = { .kind = GOSSIP_RING };
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(5), .nonce = 1, .sequence = 1 };
    struct cluster_addr from = addr_of(5);
    struct control_out out;
    char packet[GOSSIP_PACKET_MAX];
    size_t len = gossip_write_header(&h, packet, sizeof packet);

    m.op = (struct ring_op){ .kind = RING_OP_MEMBER, .node = about, .stamp = world.now,
                             .proposer = 77, .client_port = 1, .weight = 1, .host = "ghost" };
    len += gossip_write(&m, packet + len, sizeof packet - len);
    control_datagram(n->control, &from, slice_of(packet, len), world.now, &out);
    if (out.view) {
        view_free(n->view);
        n->view = out.view;
    }
}

/* A state that says of what its sender holds that it is so and so. */
static struct slice
claim(int from, uint64_t digest, char packet[DIGEST_LEN])
{
    struct gossip_message m = { .kind = GOSSIP_DIGEST, .digest = digest, .ring_digest = 1 };
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(from), .nonce = 1, .sequence = 1 };
    size_t len = gossip_write_header(&h, packet, DIGEST_LEN);

    len += gossip_write(&m, packet + len, DIGEST_LEN - len);
    cr_assert(eq(sz, len, DIGEST_LEN));
    return slice_of(packet, len);
}

Test(control, who_holds_the_same_says_little)
{
    struct buf b = { 0 };
    int64_t syncs;

    cluster(3);
    pass(20 * SEC);
    syncs = metric_get(&world.node[1].metrics, M_CLUSTER_SYNCS);
    cr_expect(eq(sz, said_by(0, true, 1, &b).len, DIGEST_LEN));
    cr_expect(zero(int, hears(1, false, 0, slice_of(b.ptr, b.len))));
    cr_expect(eq(i64, metric_get(&world.node[1].metrics, M_CLUSTER_SYNCS), syncs));
    cr_expect(eq(sz, said_by(1, false, 0, &b).len, DIGEST_LEN));
    cr_expect(zero(int, hears(0, true, 1, slice_of(b.ptr, b.len))));
    /* Only what was asked is answered so; whoever asked nothing hears all. */
    cr_expect(gt(sz, said_by(1, false, 0, &b).len, 3 * DIGEST_LEN));
    buf_free(&b);
}

/* So it is for hours: once all have told all, no whole state is sent any more. */
Test(control, no_whole_states_when_idle)
{
    unsigned states, whole;

    cluster(5);
    pass(60 * SEC);
    states = world.states;
    whole = world.whole_states;
    pass(3600 * SEC);
    cr_expect(eq(uint, world.whole_states, whole));
    cr_expect(ge(uint, world.states - states, 5 * 2 * 3600 / 15 - 10));
    agree(5, 5);
}

/* Who is called holds more: what it answers is all that is needed. */
Test(control, who_lacks_something_hears_it)
{
    struct buf b = { 0 };

    cluster(3);
    pass(20 * SEC);
    whisper(1, 70);
    cr_expect(eq(sz, said_by(0, true, 1, &b).len, DIGEST_LEN));
    cr_expect(zero(int, hears(1, false, 0, slice_of(b.ptr, b.len))));
    cr_expect(gt(sz, said_by(1, false, 0, &b).len, 3 * DIGEST_LEN));
    cr_expect(zero(int, hears(0, true, 1, slice_of(b.ptr, b.len))));
    pass(SEC);
    cr_expect(eq(uint, places(0), 4));
    buf_free(&b);
}

/* Who calls holds more, or both hold what the other lacks: it calls again and says all. */
Test(control, who_holds_more_calls_again)
{
    for (int both = 0; both < 2; both++) {
        struct buf b = { 0 };

        cluster(3);
        pass(20 * SEC);
        whisper(0, 70);
        if (both) {
            whisper(1, 71);
        }
        cr_expect(eq(sz, said_by(0, true, 1, &b).len, DIGEST_LEN));
        cr_expect(zero(int, hears(1, false, 0, slice_of(b.ptr, b.len))));
        cr_expect(gt(sz, said_by(1, false, 0, &b).len, 3 * DIGEST_LEN));
        cr_expect(eq(int, hears(0, true, 1, slice_of(b.ptr, b.len)), 1));
        cr_expect(gt(sz, said_by(0, true, 1, &b).len, 3 * DIGEST_LEN));
        cr_expect(zero(int, hears(1, false, 0, slice_of(b.ptr, b.len))));
        cr_expect(eq(sz, said_by(1, false, 0, &b).len, DIGEST_LEN)); /* the same, by now */
        cr_expect(zero(int, hears(0, true, 1, slice_of(b.ptr, b.len))));
        pass(SEC);
        cr_expect(eq(uint, places(0), 4 + (unsigned)both));
        cr_expect(eq(uint, places(1), 4 + (unsigned)both));
        buf_free(&b);
        teardown();
        setup();
    }
}

/* Another that never holds the same, or says so, is called twice and not for ever. */
Test(control, no_loop_of_calls)
{
    char packet[DIGEST_LEN];
    struct buf b = { 0 };

    cluster(3);
    pass(20 * SEC);
    for (int round = 0; round < 100; round++) {
        uint64_t digest = rng_next(&world.rng);

        cr_assert(zero(int, hears(0, false, 1, claim(1, digest, packet))));
        cr_assert(zero(int, hears(0, true, 1, claim(1, digest, packet))), "nothing was asked");
        cr_assert(eq(sz, said_by(0, true, 1, &b).len, DIGEST_LEN));
        cr_assert(eq(int, hears(0, true, 1, claim(1, digest, packet)), 1));
        cr_assert(gt(sz, said_by(0, true, 1, &b).len, 3 * DIGEST_LEN));
        cr_assert(zero(int, hears(0, true, 1, claim(1, digest, packet))), "round %d", round);
    }
    /* Calls that come to nothing are forgotten, however many. */
    for (int round = 0; round < 100; round++) {
        (void)said_by(0, true, 1 + round % 2, &b);
    }
    cr_expect(eq(int, hears(0, true, 1, claim(1, 5, packet)), 1));
    cr_expect(zero(int, hears(0, true, 1, claim(1, 5, packet))));
    buf_free(&b);
}

/* Whoever it does not hold for alive is told all at once, and so is anybody by a newcomer, who
 * wants to hear all as well. */
Test(control, newcomers_and_the_lost_say_all)
{
    struct gossip_reader r;
    struct gossip_message m;
    struct buf b = { 0 };

    cluster(3);
    pass(20 * SEC);
    cr_expect(gt(sz, said_by(0, true, 5, &b).len, 3 * DIGEST_LEN));
    stop(2);
    pass(10 * SEC);
    cr_expect(eq(int, state_at(0, 2), MEMBER_DEAD));
    cr_expect(gt(sz, said_by(0, true, 2, &b).len, 3 * DIGEST_LEN));
    cr_assert(eq(int, gossip_open(&r, slice_of(b.ptr, b.len), gossip_label("magpie")), GOSSIP_OK));
    cr_assert(eq(int, gossip_next(&r, &m), GOSSIP_OK));
    cr_expect(eq(int, m.kind, GOSSIP_DIGEST));
    start(4);
    cr_expect(eq(int, control_phase(world.node[4].control), PHASE_JOINING));
    (void)said_by(4, true, 0, &b);
    cr_assert(eq(int, gossip_open(&r, slice_of(b.ptr, b.len), gossip_label("magpie")), GOSSIP_OK));
    cr_assert(eq(int, gossip_next(&r, &m), GOSSIP_OK));
    cr_expect(eq(int, m.kind, GOSSIP_ALIVE));
    buf_free(&b);
}

/* -- strangers --------------------------------------------------------------------------------- */

/* A node of another cluster at a seed's address stays out; a flood makes one line of the log. */
Test(control, another_cluster_is_no_member)
{
    set(1, "cluster_name", "other");
    set(0, "join", "");
    start(0);
    start(1);
    seeds(1, 0, 1);
    pass(25 * SEC);
    cr_expect(eq(sz, control_alive(world.node[0].control), 1));
    cr_expect(eq(sz, control_alive(world.node[1].control), 1));
    cr_expect(gt(i64, metric_get(&world.node[0].metrics, M_GOSSIP_STRANGERS), 0));
    cr_expect(le(uint, world.node[0].noted[CONTROL_STRANGER], 3));
}

/* Whatever comes from a socket is an outcome. */
Test(control, noise_is_counted)
{
    struct cluster_addr from = addr_of(4);
    struct control_out out;
    struct rng rng;

    cluster(3);
    rng_init(&rng, 3);
    for (int round = 0; round < 20000; round++) {
        struct buf b = { 0 };
        int victim = round % 3;

        if (round % 4 == 0) {
            size_t len = (size_t)rng_below(&rng, 200);

            cr_assert(buf_reserve(&b, 200));
            for (size_t i = 0; i < len; i++) {
                b.ptr[b.len++] = (char)rng_next(&rng);
            }
        } else {
            state_of((victim + 1) % 3, &b);
            for (int k = 0; k < 3; k++) {
                b.ptr[rng_below(&rng, b.len)] = (char)rng_next(&rng);
            }
            b.len -= (size_t)rng_below(&rng, 3) * (size_t)rng_below(&rng, b.len / 2);
        }
        if (round % 2 == 0) {
            control_datagram(world.node[victim].control, &from, slice_of(b.ptr, b.len), world.now,
                             &out);
        } else {
            control_synced(world.node[victim].control, round % 8 < 4, &from,
                           slice_of(b.ptr, b.len), world.now, &out);
        }
        obey(victim, &out);
        buf_free(&b);
    }
    cr_expect(gt(i64, metric_get(&world.node[0].metrics, M_GOSSIP_BAD), 1000));
    cr_expect(le(uint, world.node[0].noted[CONTROL_BAD], 1));
}

/* Who accuses a node again and again makes it object, and count, but not fill the log. */
Test(control, accusations_make_few_lines)
{
    struct cluster_addr from = addr_of(4);
    struct gossip_message m = { .kind = GOSSIP_SUSPECT, .id = id_of(0), .from = id_of(1) };
    char packet[GOSSIP_PACKET_MAX];

    cluster(2);
    for (int i = 0; i < 200; i++) {
        struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                                   .from = id_of(1), .nonce = 1, .sequence = (uint64_t)i };
        size_t n = gossip_write_header(&h, packet, sizeof packet);
        struct control_out out;

        m.incarnation = (uint64_t)(world.now / SEC + 1000 * (i + 1)) * 16;
        n += gossip_write(&m, packet + n, sizeof packet - n);
        control_datagram(world.node[0].control, &from, slice_of(packet, n), world.now, &out);
        obey(0, &out);
    }
    cr_expect(eq(i64, metric_get(&world.node[0].metrics, M_CLUSTER_ACCUSED), 200));
    cr_expect(eq(uint, world.node[0].changed[SWIM_ACCUSED], 1));
    pass(5 * SEC);
    agree(2, 2);
}

/* A seed that is this node itself, by whatever address, is no other one. */
Test(control, the_own_voice_is_known)
{
    struct cluster_addr from = addr_of(5);
    struct control_out out;
    struct buf b = { 0 };

    cluster(2);
    control_synced(world.node[0].control, true, &from, state_of(0, &b), world.now, &out);
    obey(0, &out);
    buf_free(&b);
    cr_expect(zero(uint, world.node[0].changed[SWIM_CONFLICT]));
    agree(2, 2);
}

/* Two machines with one name are told about, loudly, and the cluster goes on. */
Test(control, a_double_is_told)
{
    struct cluster_addr from = addr_of(5);
    struct control_out out;
    struct buf b = { 0 };

    cluster(2);
    /* What node 1 would say if it were a second run of node 0. */
    state_of(1, &b);
    struct gossip_header h = { .label = gossip_label("magpie"), .version = GOSSIP_FORMAT,
                               .from = id_of(0), .nonce = 99, .sequence = 1 };

    cr_assert(eq(sz, gossip_write_header(&h, b.ptr, b.len), GOSSIP_HEADER));
    control_datagram(world.node[0].control, &from, slice_of(b.ptr, b.len), world.now, &out);
    obey(0, &out);
    control_datagram(world.node[0].control, &from, slice_of(b.ptr, b.len), world.now, &out);
    obey(0, &out);
    buf_free(&b);
    cr_expect(eq(uint, world.node[0].changed[SWIM_CONFLICT], 1));
    pass(5 * SEC);
    agree(2, 2);
}

/* The one that came later does not take the place of the other; it gets it when that is gone. */
Test(control, a_double_stays_out)
{
    struct cluster_addr seed = addr_of(1);
    struct control_config config = { .settings = &world.node[5].settings,
                                     .metrics = &world.node[5].metrics, .seed = 5 };
    struct control_out out;
    uint64_t digest;
    struct one *n = &world.node[5];

    cluster(3);
    digest = world.node[0].view->ring_digest;
    config.self = world.node[2].self;
    config.self.nonce = (uint64_t)world.now;
    config.self.addr = addr_of(5);
    strcpy(config.self.host, "10.0.0.6");
    n->control = control_new(&config, world.now);
    control_seeds(n->control, &seed, 1, world.now, &out);
    obey(5, &out);
    pass(30 * SEC);
    cr_expect(eq(int, control_phase(n->control), PHASE_JOINING));
    cr_expect(gt(uint, n->changed[SWIM_CONFLICT], 0));
    cr_expect(eq(u64, world.node[0].view->ring_digest, digest));
    stop(2);
    pass(30 * SEC);
    cr_expect(eq(int, control_phase(n->control), PHASE_UP));
    uint16_t k = view_find(world.node[0].view, id_of(2));

    cr_assert(k != VIEW_NOBODY);
    cr_expect(eq(int, world.node[0].view->node[k].state, MEMBER_ALIVE));
    cr_expect(eq(str, world.node[0].view->node[k].info.host, (char *)"10.0.0.6"));
}

/* -- cost -------------------------------------------------------------------------------------- */

/* Workers are left alone while nothing happens, and so is the wire. */
Test(control, quiet_when_idle)
{
    unsigned views, packets;
    int64_t bytes;

    cluster(5);
    pass(30 * SEC);
    views = world.node[0].views;
    packets = world.node[0].packets;
    bytes = metric_get(&world.node[0].metrics, M_GOSSIP_OUT_BYTES);
    pass(60 * SEC);
    cr_expect(eq(uint, world.node[0].views, views));
    cr_expect(le(uint, world.node[0].packets - packets, 60 * 6));
    cr_expect(le(i64, metric_get(&world.node[0].metrics, M_GOSSIP_OUT_BYTES) - bytes, 60 * 1024));
}

/* What a node says of its ring is not worth a view, however many say it. */
Test(control, few_views_for_one_newcomer)
{
    unsigned views;

    cluster(5);
    pass(10 * SEC);
    views = world.node[0].views;
    start(5);
    seeds(5, 0, 1);
    pass(20 * SEC);
    agree(6, 6);
    cr_expect(le(uint, world.node[0].views - views, 3));
}

/* The profiles are what they say: a death is known sooner or later. */
Test(control, profiles)
{
    static const struct { const char *profile; usec_t alive, dead; } row[] = {
        { "lan", SEC, 8 * SEC },
        { "local", SEC / 3, 4 * SEC },
        { "wan", 5 * SEC, 40 * SEC },
    };

    for (size_t k = 0; k < sizeof row / sizeof row[0]; k++) {
        for (int i = 0; i < 3; i++) {
            set(i, "gossip_profile", row[k].profile);
        }
        cluster(3);
        pass(30 * SEC);
        stop(2);
        pass(row[k].alive);
        cr_expect(ne(int, state_at(0, 2), MEMBER_DEAD), "%s", row[k].profile);
        pass(row[k].dead);
        cr_expect(eq(int, state_at(0, 2), MEMBER_DEAD), "%s", row[k].profile);
        teardown();
        setup();
    }
}

/* A data link that is alive speaks for its node; one that is not makes swim ask at once. */
Test(control, evidence_of_links)
{
    struct control_out out;

    cluster(3);
    control_heard(world.node[0].control, id_of(1), world.now, &out);
    obey(0, &out);
    stop(2);
    control_doubted(world.node[0].control, id_of(2), world.now, &out);
    obey(0, &out);
    pass(1200 * MSEC);
    cr_expect(ne(int, state_at(0, 2), MEMBER_ALIVE));
    control_heard(world.node[0].control, 424242, world.now, &out);
    obey(0, &out);
    agree(3, 3);
}
