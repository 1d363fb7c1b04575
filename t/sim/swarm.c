#include "swarm.h"

#include "proto/gossip.h"
#include "safety.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ID_FACTOR  0x9e3779b97f4a7c15u
#define ID_INVERSE 0xf1de83e19937733du
static_assert((uint64_t)(ID_FACTOR * ID_INVERSE) == 1, "ids can be turned back");

#define SEEDS           3
#define LEAVE_TAKES     (3 * USEC_PER_SEC)
#define LIES_EVERY      (200 * USEC_PER_MSEC)
#define TICKS_IN_A_ROW  1000
#define CLOCK_BEHIND    (3600 * USEC_PER_SEC)
#define GREETING_BYTES  64
#define STATE_COUNT_MAX (1 + CLUSTER_MEMBERS_MAX) /* messages: a digest, and of all */
#define STATE_BYTES     (GREETING_BYTES + 4 + GOSSIP_HEADER)

enum event_kind {
    EV_START, EV_LEARN, EV_TIMER, EV_PACKET, EV_FAULT, EV_FAULT_END, EV_CYCLE, EV_GONE, EV_LIE,
    EV_CALL,
};

/* Fields that event.number of a fault is made of. */
#define CYCLE_BLOCKED ((uint64_t)1 << 32)

/* -- names ------------------------------------------------------------------------------------- */

node_id
swarm_id(unsigned node)
{
    return (uint64_t)(node + 1) * ID_FACTOR;
}

unsigned
swarm_node(node_id id)
{
    uint64_t n = id * ID_INVERSE - 1;

    return n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
}

struct cluster_addr
swarm_addr(unsigned node)
{
    struct cluster_addr a = { .port = SWARM_PORT };

    a.ip[10] = a.ip[11] = 0xff;
    a.ip[12] = 10;
    a.ip[13] = (uint8_t)(node >> 16);
    a.ip[14] = (uint8_t)(node >> 8);
    a.ip[15] = (uint8_t)node;
    return a;
}

static unsigned
node_at(const struct swarm *w, const struct cluster_addr *a)
{
    unsigned n = (unsigned)a->ip[13] << 16 | (unsigned)a->ip[14] << 8 | a->ip[15];

    return a->ip[12] == 10 && a->port == SWARM_PORT && n < w->config.nodes ? n : UINT32_MAX;
}

bool
swarm_runs(const struct swarm *w, unsigned node)
{
    return w->node[node].swim && !w->node[node].leaving;
}

void
swarm_fail(struct swarm *w, const char *fmt, ...)
{
    va_list args;

    if (!w->failed[0]) {
        va_start(args, fmt);
        vsnprintf(w->failed, sizeof w->failed, fmt, args);
        va_end(args);
    }
}

void
profile_config(struct swim_config *c, enum plan_profile p)
{
    swim_config_defaults(c);
    if (p == PROFILE_LAN) { /* memberlist's */
        c->probe_interval = USEC_PER_SEC;
        c->probe_timeout = 500 * USEC_PER_MSEC;
        c->gossip_interval = 200 * USEC_PER_MSEC;
        c->sync_interval = 30 * USEC_PER_SEC;
        c->alpha = 4;
        c->beta = 6;
    } else if (p == PROFILE_FAST) {
        c->probe_interval = 200 * USEC_PER_MSEC;
        c->probe_timeout = 80 * USEC_PER_MSEC;
        c->alpha = 3;
    }
}

/* -- the hash and the trace -------------------------------------------------------------------- */

static void
hash_add(struct swarm *w, uint64_t x)
{
    w->hash = (w->hash ^ x) * 0x9fb21c651e98df25u;
    w->hash ^= w->hash >> 29;
}

static const char *
message_name(enum gossip_kind k)
{
    static const char *const name[] = { "?",     "ping",    "ack",  "nack", "ping-req",
                                        "alive", "suspect", "dead", "ring", "digest" };

    return name[k <= GOSSIP_DIGEST ? k : 0];
}

static void __attribute__((format(printf, 2, 3)))
trace(const struct swarm *w, const char *fmt, ...)
{
    va_list args;

    if (w->config.trace) {
        fprintf(w->config.trace, "%11.6f ", (double)w->now / 1e6);
        va_start(args, fmt);
        vfprintf(w->config.trace, fmt, args);
        va_end(args);
        fputc('\n', w->config.trace);
    }
}

static void
trace_packet(struct swarm *w, const struct packet *p)
{
    static const char *const kind[] = { "datagram", "sync",     "want",   "push",
                                        "pull",     "tcp-ping", "tcp-ack" };

    hash_add(w, (uint64_t)p->from << 32 | p->to);
    hash_add(w, (uint64_t)p->kind << 32 | p->bytes);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct gossip_message *m = &p->message[i];

        hash_add(w, m->id + m->kind + m->incarnation + m->seq);
    }
    if (!w->config.trace) {
        return;
    }
    trace(w, "%u <- %u %s of %u bytes", p->to, p->from, kind[p->kind], p->bytes);
    for (uint32_t i = 0; i < p->count && p->kind == PACKET_UDP; i++) {
        const struct gossip_message *m = &p->message[i];
        node_id id = m->info ? m->info->id : m->id;

        fprintf(w->config.trace, "%17s %s %u inc %" PRIu64 " seq %u from %d\n", "",
                message_name(m->kind), swarm_node(id),
                m->info ? m->info->incarnation : m->incarnation, m->seq, (int)swarm_node(m->from));
    }
}

static void
trace_change(struct swarm *w, unsigned node, const struct swim_change *c)
{
    static const char *const kind[] = { "joined",   "changed", "suspected", "refuted",
                                        "died",     "returned", "left",      "forgotten",
                                        "accused",  "conflict", "refused" };

    hash_add(w, c->id * 31 + c->kind);
    hash_add(w, c->from + node);
    trace(w, "%u: %d %s (%d says)", node, (int)swarm_node(c->id), kind[c->kind],
          (int)swarm_node(c->from));
}

/* -- packets ----------------------------------------------------------------------------------- */

static void *
need(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

static void
packets_init(struct packets *q)
{
    q->first = NULL;
    q->last = &q->first;
    q->count = 0;
}

static void
packets_add(struct packets *q, struct packet *p)
{
    if (q->count >= SWARM_QUEUE) {
        free(p);
        return;
    }
    p->next = NULL;
    *q->last = p;
    q->last = &p->next;
    q->count++;
}

static struct packet *
packets_take(struct packets *q)
{
    struct packet *p = q->first;

    if (p) {
        q->first = p->next;
        q->last = q->first ? q->last : &q->first;
        q->count--;
    }
    return p;
}

static void
packets_clear(struct packets *q)
{
    for (struct packet *p = packets_take(q); p; p = packets_take(q)) {
        free(p);
    }
}

static struct packet *
packet_new(unsigned from, unsigned to, enum packet_kind kind, size_t count)
{
    struct packet *p = need(malloc(sizeof *p + count * sizeof p->message[0]));

    *p = (struct packet){ .from = from, .to = to, .kind = kind, .count = (uint32_t)count,
                          .from_id = swarm_id(from) };
    return p;
}

/* Counts its bytes, and makes what its messages point to last. */
static void
packet_seal(struct swarm *w, struct packet *p)
{
    size_t bytes = p->kind == PACKET_UDP ? GOSSIP_OVERHEAD
                   : w->config.digests && p->kind <= PACKET_PULL ? STATE_BYTES : GREETING_BYTES;

    for (uint32_t i = 0; i < p->count; i++) {
        struct gossip_message *m = &p->message[i];

        m->info = m->kind == GOSSIP_ALIVE ? infos_keep(w->infos, m->info) : NULL;
        bytes += gossip_size(m);
    }
    p->bytes = (uint32_t)bytes;
}

/* Writes the packet and reads it again. */
static void
packet_code(struct swarm *w, struct packet *p)
{
    static char bytes[GOSSIP_STATE_MAX];
    struct gossip_header h = { .label = gossip_label("sim"), .from = p->from_id, .version = 1 };
    struct gossip_reader r;
    size_t n = gossip_write_header(&h, bytes, sizeof bytes);

    for (uint32_t i = 0; i < p->count; i++) {
        size_t wrote = gossip_write(&p->message[i], bytes + n, sizeof bytes - n);

        if (wrote == 0 || wrote != gossip_size(&p->message[i])) {
            swarm_fail(w, "a message of kind %d was written as %zu bytes, not %zu",
                       (int)p->message[i].kind, wrote, gossip_size(&p->message[i]));
        }
        n += wrote;
    }
    if (gossip_open(&r, slice_of(bytes, n), h.label) != GOSSIP_OK ||
        r.header.from != p->from_id) {
        swarm_fail(w, "a header was not read as it was written");
        return;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        struct gossip_message m;

        if (gossip_next(&r, &m) != GOSSIP_OK || m.kind != p->message[i].kind) {
            swarm_fail(w, "message %u of %u was not read as it was written", i, p->count);
            return;
        }
        m.info = m.kind == GOSSIP_ALIVE ? infos_keep(w->infos, m.info) : NULL;
        p->message[i] = m;
    }
}

static void
packet_travel(struct swarm *w, struct packet *p, usec_t delay)
{
    events_add(&w->events, (struct event){ .at = w->now + delay, .kind = EV_PACKET,
                                           .node = p->to, .ptr = p });
}

/* True if it is the first on a connection. */
static bool
packet_connects(const struct swarm *w, const struct packet *p)
{
    return p->kind == PACKET_SYNC || p->kind == PACKET_TCP_PING ||
           (p->kind == PACKET_PUSH && w->config.digests);
}

static void
packet_transmit(struct swarm *w, struct packet *p)
{
    usec_t delay[2];

    if (p->kind == PACKET_UDP) {
        unsigned copies = wire_datagram(&w->wire, &w->rng, p->from, p->to, delay);

        w->figures.datagrams++;
        if (copies == 2) {
            size_t size = sizeof *p + p->count * sizeof p->message[0];

            packet_travel(w, memcpy(need(malloc(size)), p, size), delay[1]);
        }
        delay[0] = copies ? delay[0] : WIRE_NEVER;
    } else if (packet_connects(w, p)) {
        delay[0] = wire_connect(&w->wire, &w->rng, p->from, p->to);
    } else {
        delay[0] = wire_answer(&w->wire, &w->rng, p->from, p->to);
    }
    if (delay[0] == WIRE_NEVER) {
        w->figures.lost++;
        free(p);
    } else {
        packet_travel(w, p, delay[0]);
    }
}

/* Gives a packet to the sockets of its sender. */
static void
packet_send(struct swarm *w, struct packet *p)
{
    struct sim_node *n = &w->node[p->from];

    packet_seal(w, p);
    if (p->kind == PACKET_UDP) {
        n->sent++;
        n->sent_bytes += p->bytes;
        for (uint32_t i = 0; i < p->count; i++) {
            n->messages[p->message[i].kind]++;
        }
        if (p->bytes > GOSSIP_PACKET_MAX) {
            swarm_fail(w, "node %u sent a datagram of %u bytes", p->from, p->bytes);
        }
    } else {
        n->stream_bytes += p->bytes;
        n->connections += packet_connects(w, p);
    }
    if (w->config.codec) {
        packet_code(w, p);
    }
    if (n->io > 0) {
        packets_add(&n->out, p);
    } else {
        packet_transmit(w, p);
    }
}

/* The state of a node, whole or a digest alone; asked: it answers a digest alone. */
static void
state_send(struct swarm *w, unsigned from, unsigned to, enum packet_kind kind, bool whole,
           bool asked)
{
    static struct gossip_message message[STATE_COUNT_MAX];
    const struct swim *s = w->node[from].swim;
    struct packet *p;
    size_t count = 0;

    if (w->config.digests) {
        message[count++] = (struct gossip_message){ .kind = GOSSIP_DIGEST,
                                                    .digest = swim_digest(s) };
    }
    for (size_t i = 0; whole && count < STATE_COUNT_MAX && swim_state_at(s, i, &message[count]);
         i++) {
        count++;
    }
    p = packet_new(from, to, kind, count);
    p->asked = asked;
    memcpy(p->message, message, count * sizeof message[0]);
    packet_send(w, p);
}

/* Push/pull begins: in short with those that the node knows to be there. */
static void
sync_send(struct swarm *w, unsigned from, unsigned to)
{
    const struct swim *s = w->node[from].swim;
    struct cluster_addr addr = swarm_addr(to);
    bool whole = w->config.digests;
    struct swim_member m;

    for (size_t i = 1; whole && swim_member_at(s, i, &m); i++) {
        whole = m.state != MEMBER_ALIVE || memcmp(&m.info->addr, &addr, sizeof addr) != 0;
    }
    state_send(w, from, to, whole ? PACKET_PUSH : PACKET_SYNC, whole, false);
}

/* True if the sender of a state held what the node holds now. */
static bool
sync_is_same(const struct swarm *w, unsigned node, const struct packet *p)
{
    return p->count > 0 && p->message[0].kind == GOSSIP_DIGEST &&
           p->message[0].digest == swim_digest(w->node[node].swim);
}

/* -- steps ------------------------------------------------------------------------------------- */

static void
timer_arm(struct swarm *w, unsigned node)
{
    struct sim_node *n = &w->node[node];
    usec_t at = n->wake_at > w->now ? n->wake_at : w->now;

    if (at < n->timer_at) {
        n->timer_at = at;
        events_add(&w->events, (struct event){ .at = at, .kind = EV_TIMER, .node = node });
    }
}

static void
change_count(struct swarm *w, unsigned node, const struct swim_change *c)
{
    w->figures.suspicions += c->kind == SWIM_SUSPECTED;
    w->figures.deaths += c->kind == SWIM_DIED;
    w->figures.refuted += c->kind == SWIM_REFUTED;
    w->figures.returned += c->kind == SWIM_RETURNED;
    w->figures.accused += c->kind == SWIM_ACCUSED;
    trace_change(w, node, c);
    if (w->config.on_change) {
        w->config.on_change(w, node, c);
    }
}

static void
node_step(struct swarm *w, unsigned node, const struct swim_event *ev)
{
    struct sim_node *n = &w->node[node];
    struct swim_out out;

    if (swim_step(n->swim, ev, SWARM_START + w->now, &out) != ERR_OK) {
        swarm_fail(w, "node %u has no memory", node);
        return;
    }
    for (size_t i = 0; i < out.change_count; i++) {
        change_count(w, node, &out.change[i]);
    }
    for (size_t i = 0; i < out.send_count; i++) {
        const struct swim_send *s = &out.send[i];
        unsigned to = node_at(w, &s->addr);

        if (to < w->config.nodes) {
            struct packet *p = packet_new(node, to, PACKET_UDP, s->count);

            memcpy(p->message, s->message, s->count * sizeof p->message[0]);
            packet_send(w, p);
        }
    }
    for (size_t i = 0; i < out.sync_count; i++) {
        unsigned to = node_at(w, &out.sync[i]);

        if (to < w->config.nodes && to != node) {
            sync_send(w, node, to);
        }
    }
    for (size_t i = 0; i < out.tcp_count; i++) {
        unsigned to = node_at(w, &out.tcp[i].addr);

        if (to < w->config.nodes) {
            struct packet *p = packet_new(node, to, PACKET_TCP_PING, 0);

            p->asked = out.tcp[i].id;
            packet_send(w, p);
        }
    }
    n->wake_at = out.wake_at - SWARM_START;
    timer_arm(w, node);
    if (w->safety) {
        safety_check(w, node, ev, &out);
    }
}

/* A packet comes out of a socket of its receiver, who reads it.  Takes. */
static void
packet_deliver(struct swarm *w, struct packet *p)
{
    struct swim_event ev = { .from = p->from_id, .addr = swarm_addr(p->from),
                             .message = p->message, .count = p->count };

    switch (p->kind) {
    case PACKET_UDP:
        ev.kind = SWIM_PACKET;
        node_step(w, p->to, &ev);
        break;
    case PACKET_PUSH:
        ev.kind = SWIM_STATE;
        node_step(w, p->to, &ev);
        state_send(w, p->to, p->from, PACKET_PULL, !sync_is_same(w, p->to, p), false);
        break;
    case PACKET_SYNC:
        if (w->config.digests) {
            state_send(w, p->to, p->from, PACKET_PULL, !sync_is_same(w, p->to, p), true);
        } else {
            packet_send(w, packet_new(p->to, p->from, PACKET_WANT, 0));
        }
        break;
    case PACKET_WANT:
        state_send(w, p->to, p->from, PACKET_PUSH, true, false);
        break;
    case PACKET_PULL:
        ev.kind = SWIM_STATE;
        node_step(w, p->to, &ev);
        if (p->asked && !sync_is_same(w, p->to, p)) {
            state_send(w, p->to, p->from, PACKET_PUSH, true, false); /* again, all of it */
        }
        break;
    case PACKET_TCP_PING:
        if (p->asked == swarm_id(p->to)) {
            packet_send(w, packet_new(p->to, p->from, PACKET_TCP_ACK, 0));
        }
        break;
    case PACKET_TCP_ACK:
        ev = (struct swim_event){ .kind = SWIM_TCP_ACK, .id = p->from_id };
        node_step(w, p->to, &ev);
        break;
    }
    free(p);
}

/* -- what happens to nodes --------------------------------------------------------------------- */

static void
node_seeds(struct swarm *w, unsigned node)
{
    for (unsigned i = 0; i < SEEDS && i < w->config.nodes; i++) {
        if (i != node) {
            node_step(w, node, &(struct swim_event){ .kind = SWIM_SEED, .addr = swarm_addr(i) });
        }
    }
}

static const struct member_info *
info_share(void *arg, const struct member_info *info)
{
    return infos_keep(arg, info);
}

static void
info_release(void *arg, const struct member_info *info)
{
    (void)arg; /* all of them live as long as the run */
    (void)info;
}

/* clock: what the node takes for now. */
static void
node_start(struct swarm *w, unsigned node, usec_t clock)
{
    struct sim_node *n = &w->node[node];
    struct swim_config c = w->config.swim;

    assert(!n->swim);
    memset(&c.self, 0, sizeof c.self);
    c.seed = rng_next(&w->rng);
    c.self.id = swarm_id(node);
    c.self.incarnation = (uint64_t)(clock / USEC_PER_SEC);
    c.self.nonce = (uint64_t)clock;
    c.self.addr = swarm_addr(node);
    c.self.client_port = 11211;
    c.self.weight = 1;
    c.self.workers = 4;
    c.self.phase = PHASE_UP;
    c.self.version_min = CLUSTER_VERSION_MIN;
    c.self.version_max = CLUSTER_VERSION;
    snprintf(c.self.host, sizeof c.self.host, "10.%u.%u.%u", node >> 16, node >> 8 & 255,
             node & 255);
    if (!w->config.own_infos) {
        c.share = info_share;
        c.release = info_release;
        c.share_arg = w->infos;
    }
    n->swim = need(swim_new(&c, SWARM_START + w->now));
    n->leaving = n->left = false;
    n->started = true;
    n->runs++;
    n->timer_at = INT64_MAX;
    trace(w, "%u starts with incarnation %" PRIu64, node, c.self.incarnation);
    if (w->safety) {
        safety_started(w, node);
    }
    node_step(w, node, &(struct swim_event){ .kind = SWIM_TICK });
}

static void
node_stop(struct swarm *w, unsigned node)
{
    struct sim_node *n = &w->node[node];

    if (n->swim) {
        trace(w, "%u is gone", node);
        n->left = n->leaving;
        n->leaving = false;
        swim_free(n->swim);
        n->swim = NULL;
        packets_clear(&n->in);
        packets_clear(&n->out);
    }
}

void
swarm_crash(struct swarm *w, unsigned node)
{
    struct sim_node *n = &w->node[node];

    n->leaving = false;
    node_stop(w, node);
}

void
swarm_restart(struct swarm *w, unsigned node, usec_t behind)
{
    if (!w->node[node].swim) {
        node_start(w, node, SWARM_START + w->now - behind);
        node_seeds(w, node);
    }
}

void
swarm_leave(struct swarm *w, unsigned node)
{
    struct sim_node *n = &w->node[node];

    if (n->swim && !n->leaving) {
        n->leaving = true;
        node_step(w, node, &(struct swim_event){ .kind = SWIM_LEAVE });
        events_add(&w->events, (struct event){ .at = w->now + LEAVE_TAKES, .kind = EV_GONE,
                                               .node = node, .number = n->runs });
    }
}

void
swarm_change(struct swarm *w, unsigned node)
{
    struct swim_member self;
    struct member_info info;

    if (swarm_runs(w, node) && swim_member_at(w->node[node].swim, 0, &self)) {
        memcpy(&info, self.info, sizeof info);
        info.weight++;
        node_step(w, node, &(struct swim_event){ .kind = SWIM_INFO, .info = &info });
    }
}

static void
node_block(struct swarm *w, unsigned node, bool timers)
{
    w->node[node].io++;
    w->node[node].stop += timers;
    trace(w, "%u: %s", node, timers ? "stopped" : "I/O blocked");
}

static void
node_read_all(struct swarm *w, unsigned node)
{
    struct sim_node *n = &w->node[node];

    for (struct packet *p = packets_take(&n->in); p; p = packets_take(&n->in)) {
        if (n->swim) {
            packet_deliver(w, p);
        } else {
            free(p);
        }
    }
}

static void
node_unblock(struct swarm *w, unsigned node, bool timers)
{
    struct sim_node *n = &w->node[node];

    n->io--;
    n->stop -= timers;
    if (n->io > 0) {
        return;
    }
    trace(w, "%u goes on", node);
    for (struct packet *p = packets_take(&n->out); p; p = packets_take(&n->out)) {
        packet_transmit(w, p);
    }
    /* A loop of events may see its timers first, or its sockets. */
    if (timers && n->swim && rng_below(&w->rng, 2)) {
        node_step(w, node, &(struct swim_event){ .kind = SWIM_TICK });
    }
    node_read_all(w, node);
    if (n->swim) {
        timer_arm(w, node);
    }
}

/* -- faults ------------------------------------------------------------------------------------ */

static void
cycle_turn(struct swarm *w, unsigned index, bool blocked)
{
    const struct fault *f = &w->plan.fault[index];
    bool over = w->now >= f->until;
    usec_t next = w->now + (blocked ? f->pause : f->length);

    for (unsigned i = 0; i < w->config.nodes; i++) {
        if (!nodes_has(&f->who, i, w->config.nodes)) {
            continue;
        }
        if (blocked) {
            node_unblock(w, i, f->kind == FAULT_STOP);
        } else if (!over) {
            node_block(w, i, f->kind == FAULT_STOP);
        }
    }
    if (!over) {
        events_add(&w->events,
                   (struct event){ .at = next < f->until ? next : f->until,
                                   .kind = EV_CYCLE,
                                   .number = index | (blocked ? 0 : CYCLE_BLOCKED) });
    }
}

static void
fault_begin(struct swarm *w, unsigned index)
{
    const struct fault *f = &w->plan.fault[index];

    if (f->kind <= FAULT_PARTITION) {
        wire_begin(&w->wire, f);
        return;
    }
    if (f->kind == FAULT_IO || f->kind == FAULT_STOP) {
        cycle_turn(w, index, false);
        return;
    }
    if (f->kind == FAULT_LIES) {
        events_add(&w->events, (struct event){ .at = w->now, .kind = EV_LIE, .number = index });
        return;
    }
    for (unsigned i = 0; i < w->config.nodes; i++) {
        if (!nodes_has(&f->who, i, w->config.nodes)) {
            continue;
        }
        if (f->kind == FAULT_LEAVE) {
            swarm_leave(w, i);
        } else if (f->kind == FAULT_CHANGE) {
            swarm_change(w, i);
        } else {
            swarm_crash(w, i);
        }
    }
}

/* True if another fault keeps the node down. */
static bool
node_is_kept_down(const struct swarm *w, unsigned node)
{
    for (unsigned i = 0; i < w->plan.count; i++) {
        const struct fault *f = &w->plan.fault[i];

        if ((f->kind == FAULT_CRASH || f->kind == FAULT_CRASH_OLD || f->kind == FAULT_LEAVE) &&
            f->at <= w->now && (f->until == 0 || f->until > w->now) &&
            nodes_has(&f->who, node, w->config.nodes)) {
            return true;
        }
    }
    return false;
}

static void
fault_end(struct swarm *w, unsigned index)
{
    const struct fault *f = &w->plan.fault[index];

    if (f->kind <= FAULT_PARTITION) {
        wire_end(&w->wire, f);
        return;
    }
    if (f->kind != FAULT_CRASH && f->kind != FAULT_CRASH_OLD && f->kind != FAULT_LEAVE) {
        return;
    }
    for (unsigned i = 0; i < w->config.nodes; i++) {
        if (nodes_has(&f->who, i, w->config.nodes) && w->node[i].started &&
            !node_is_kept_down(w, i)) {
            if (w->node[i].leaving) { /* is started before it was gone */
                node_stop(w, i);
            }
            swarm_restart(w, i, f->kind == FAULT_CRASH_OLD ? CLOCK_BEHIND : 0);
        }
    }
}

/* A datagram that says of somebody what it never said of itself. */
static void
fault_lie(struct swarm *w, unsigned index)
{
    const struct fault *f = &w->plan.fault[index];
    unsigned from = f->who.number % w->config.nodes;
    unsigned to = (unsigned)rng_below(&w->rng, w->config.nodes);
    unsigned about = (unsigned)rng_below(&w->rng, w->config.nodes);
    struct swim_member m;

    if (from != to && about != to && w->node[about].swim &&
        swim_member_at(w->node[about].swim, 0, &m)) {
        struct packet *p = packet_new(from, to, PACKET_UDP, 1);
        struct member_info info;

        memcpy(&info, m.info, sizeof info);
        info.incarnation += 10;
        memset(&p->message[0], 0, sizeof p->message[0]);
        p->message[0].kind = GOSSIP_ALIVE;
        p->message[0].info = &info;
        packet_seal(w, p);
        packet_transmit(w, p);
    }
    if (w->now + LIES_EVERY < f->until) {
        events_add(&w->events, (struct event){ .at = w->now + LIES_EVERY, .kind = EV_LIE,
                                               .number = index });
    }
}

/* -- the loop ---------------------------------------------------------------------------------- */

/* Tells a node of all others, as if it had asked one of them. */
static void
node_learn(struct swarm *w, unsigned node)
{
    unsigned n = w->config.nodes;
    struct gossip_message *message = need(calloc(n, sizeof *message));
    size_t count = 0;

    for (unsigned i = 0; i < n; i++) {
        struct swim_member m;

        if (i != node && w->node[i].swim && swim_member_at(w->node[i].swim, 0, &m)) {
            message[count++] = (struct gossip_message){ .kind = GOSSIP_ALIVE,
                                                        .state = MEMBER_ALIVE, .info = m.info };
        }
    }
    node_step(w, node,
              &(struct swim_event){ .kind = SWIM_STATE, .from = swarm_id((node + 1) % n),
                                    .addr = swarm_addr((node + 1) % n), .message = message,
                                    .count = count });
    free(message);
    node_seeds(w, node);
}

static void
timer_due(struct swarm *w, const struct event *ev)
{
    struct sim_node *n = &w->node[ev->node];

    if (!n->swim || ev->at != n->timer_at) {
        return; /* of a run before this one, or too late */
    }
    n->timer_at = INT64_MAX;
    if (n->stop > 0) {
        return;
    }
    if (n->wake_at > w->now) {
        timer_arm(w, ev->node);
        return;
    }
    n->same_time = n->last_tick == w->now ? n->same_time + 1 : 0;
    n->last_tick = w->now;
    if (n->same_time > TICKS_IN_A_ROW) {
        swarm_fail(w, "node %u wants to be called again and again", ev->node);
    }
    node_step(w, ev->node, &(struct swim_event){ .kind = SWIM_TICK });
}

static void
packet_arrives(struct swarm *w, struct packet *p)
{
    struct sim_node *n = &w->node[p->to];

    trace_packet(w, p);
    if (!n->swim) {
        free(p);
    } else if (n->io > 0) {
        packets_add(&n->in, p);
    } else {
        packet_deliver(w, p);
    }
}

static void
event_handle(struct swarm *w, const struct event *ev)
{
    switch ((enum event_kind)ev->kind) {
    case EV_START:
        node_start(w, ev->node, SWARM_START + w->now);
        if (w->config.joining) {
            node_seeds(w, ev->node);
        }
        break;
    case EV_LEARN:
        if (swarm_runs(w, ev->node)) {
            node_learn(w, ev->node);
        }
        break;
    case EV_TIMER:
        timer_due(w, ev);
        break;
    case EV_PACKET:
        packet_arrives(w, ev->ptr);
        break;
    case EV_FAULT:
        fault_begin(w, (unsigned)ev->number);
        break;
    case EV_FAULT_END:
        fault_end(w, (unsigned)ev->number);
        break;
    case EV_CYCLE:
        cycle_turn(w, (unsigned)(ev->number & UINT32_MAX), ev->number & CYCLE_BLOCKED);
        break;
    case EV_GONE:
        if (w->node[ev->node].leaving && w->node[ev->node].runs == ev->number) {
            node_stop(w, ev->node);
        }
        break;
    case EV_LIE:
        fault_lie(w, (unsigned)ev->number);
        break;
    case EV_CALL:
        w->config.on_call(w, ev->number);
        break;
    }
}

void
swarm_run(struct swarm *w, usec_t until)
{
    struct event ev;

    while (!w->failed[0] && w->events.count > 0 && w->events.heap[0].at <= until) {
        (void)events_take(&w->events, &ev);
        w->now = ev.at;
        w->figures.events++;
        hash_add(w, (uint64_t)ev.at);
        hash_add(w, (uint64_t)ev.kind << 32 | ev.node);
        event_handle(w, &ev);
    }
    w->now = until > w->now ? until : w->now;
}

void
swarm_call(struct swarm *w, usec_t at, uint64_t number)
{
    events_add(&w->events, (struct event){ .at = at, .kind = EV_CALL, .number = number });
}

/* -- begin and end ----------------------------------------------------------------------------- */

void
swarm_init(struct swarm *w, const struct swarm_config *config, const struct plan *plan)
{
    usec_t interval = config->swim.probe_interval;

    memset(w, 0, sizeof *w);
    w->config = *config;
    w->hash = config->seed;
    w->infos = infos_new();
    rng_init(&w->rng, config->seed);
    wire_init(&w->wire, config->nodes);
    w->wire.loss = config->loss;
    w->node = need(calloc(config->nodes, sizeof *w->node));
    w->safety = config->check ? safety_new(config->nodes) : NULL;
    for (unsigned i = 0; i < config->nodes; i++) {
        usec_t at = config->joining ? (usec_t)rng_below(&w->rng, (uint64_t)interval) : 0;

        packets_init(&w->node[i].in);
        packets_init(&w->node[i].out);
        events_add(&w->events, (struct event){ .at = at, .kind = EV_START, .node = i });
    }
    for (unsigned i = 0; !config->joining && i < config->nodes; i++) {
        events_add(&w->events, (struct event){ .kind = EV_LEARN, .node = i });
    }
    if (!plan) {
        return;
    }
    w->plan = *plan;
    for (unsigned i = 0; i < plan->count; i++) {
        const struct fault *f = &plan->fault[i];

        events_add(&w->events, (struct event){ .at = f->at, .kind = EV_FAULT, .number = i });
        if (f->until) {
            events_add(&w->events,
                       (struct event){ .at = f->until, .kind = EV_FAULT_END, .number = i });
        }
    }
}

void
swarm_fini(struct swarm *w)
{
    struct event ev;

    while (events_take(&w->events, &ev)) {
        if (ev.kind == EV_PACKET) {
            free(ev.ptr);
        }
    }
    events_fini(&w->events);
    for (unsigned i = 0; i < w->config.nodes; i++) {
        swim_free(w->node[i].swim);
        packets_clear(&w->node[i].in);
        packets_clear(&w->node[i].out);
    }
    free(w->node);
    safety_free(w->safety);
    infos_free(w->infos);
}

/* What i must hold of j, where both are not the same. */
static bool
node_agrees(const struct swarm *w, unsigned i, unsigned j, char *why, size_t size)
{
    const struct sim_node *n = &w->node[j];
    struct swim_member held, self;

    if (!n->started) {
        return true;
    }
    if (!swim_member_find(w->node[i].swim, swarm_id(j), &held)) {
        if (n->swim) {
            snprintf(why, size, "node %u does not know node %u", i, j);
        }
        return !n->swim;
    }
    if (!n->swim) {
        if (held.state == MEMBER_ALIVE || held.state == MEMBER_SUSPECT) {
            snprintf(why, size, "node %u holds node %u %s, which is gone", i, j,
                     held.state == MEMBER_ALIVE ? "alive" : "suspect");
        }
        return held.state == MEMBER_DEAD || held.state == MEMBER_LEFT;
    }
    if (held.state != MEMBER_ALIVE) {
        snprintf(why, size, "node %u holds node %u %s, which runs", i, j,
                 held.state == MEMBER_SUSPECT ? "suspect"
                 : held.state == MEMBER_DEAD  ? "dead"
                                              : "gone");
        return false;
    }
    if (!swim_member_at(n->swim, 0, &self) || held.info->nonce != self.info->nonce ||
        held.info->incarnation != self.info->incarnation ||
        held.info->weight != self.info->weight) {
        snprintf(why, size, "node %u holds what node %u said once", i, j);
        return false;
    }
    return true;
}

bool
swarm_agrees(const struct swarm *w, char *why, size_t size)
{
    size_t running = 0;

    for (unsigned i = 0; i < w->config.nodes; i++) {
        running += w->node[i].swim != NULL;
    }
    for (unsigned i = 0; i < w->config.nodes; i++) {
        if (!w->node[i].swim) {
            continue;
        }
        if (w->node[i].leaving) {
            snprintf(why, size, "node %u is leaving", i);
            return false;
        }
        for (unsigned j = 0; j < w->config.nodes; j++) {
            if (i != j && !node_agrees(w, i, j, why, size)) {
                return false;
            }
        }
        if (swim_alive(w->node[i].swim) != running) {
            snprintf(why, size, "node %u counts %zu alive, there are %zu", i,
                     swim_alive(w->node[i].swim), running);
            return false;
        }
    }
    return true;
}
