#include "host.h"
#include "base/hash.h"
#include "cluster/swim.h"
#include "cluster/view.h"
#include "conn.h"
#include "node/answer.h"
#include "node/control.h"
#include "node/link.h"
#include "node/peers.h"
#include "node/session.h"
#include "store/store.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKETS_MAX   200 /* datagrams that the kernel keeps */
#define LEAVE_TIME    (1 * USEC_PER_SEC)
#define UPKEEP_EVERY  (1 * USEC_PER_SEC)
#define UPKEEP_BUDGET 1000u /* items, buckets */
#define WAKE_MAX      (1 * USEC_PER_SEC)
#define SYNCS_MAX     16u

struct host_packet {
    struct host_packet *next;
    struct cluster_addr from;
    size_t len;
    char bytes[];
};

struct view_old {
    struct view_old *next;
    struct view *view;
};

usec_t
host_now(const struct host *h)
{
    usec_t now = h->world->now;

    return HOST_START + h->offset + now + (usec_t)((double)now * h->drift);
}

/* When its clock will show this. */
static usec_t
host_when(const struct host *h, usec_t local)
{
    usec_t left = local - host_now(h);

    /* A clock that is fast comes too late by this, never too early. */
    return left <= 0 ? h->world->now : h->world->now + left + left / 1000 + 1;
}

bool
host_is_able(const struct host *h)
{
    return h->running && h->stopped == 0 && h->stalled == 0;
}

void
host_name(unsigned index, char room[static 32])
{
    snprintf(room, 32, "n%u", index);
}

node_id
host_id(unsigned index)
{
    char name[32];

    host_name(index, name);
    return hash_bytes(name, strlen(name));
}

uint64_t
host_nonce(const struct host *h)
{
    return h->world->seed * 64 + h->index + ((uint64_t)h->runs << 32);
}

/* -- loops ------------------------------------------------------------------------------------- */

void
loop_hurry(struct loop *l)
{
    struct host *h = l->host;

    if (l->turn.place == 0) {
        timer_set(h->world, &l->turn,
                  h->world->now + 5 + (usec_t)rng_below(&h->rng, (uint64_t)h->slowness + 20));
    }
}

static void
loop_on_wake(void *arg)
{
    struct loop *l = arg;

    l->due = true;
    loop_hurry(l);
}

/* Takes what is ready and works it off, in any order. */
static void
loop_work(struct loop *l)
{
    struct conn *c = l->ready;
    unsigned rounds = 0;

    for (struct conn *n = c; n; n = n->ready_next) {
        rounds++;
    }
    while (rounds-- > 0 && l->ready) {
        c = l->ready;
        l->ready = c->ready_next;
        if (!l->ready) {
            l->ready_last = &l->ready;
        }
        c->queued = false;
        if (rounds > 0 && rng_below(&l->host->rng, 4) == 0) {
            conn_ready(c); /* another goes first */
        } else {
            conn_turn(c);
        }
    }
}

/* Gives up what took too long to call or to greet. */
static void
loop_sweep(struct loop *l)
{
    struct host *h = l->host;
    struct conn *next;

    for (struct conn *c = h->conns; c; c = next) {
        next = c->next;
        if (c->loop == l && c->give_up > 0 && c->give_up <= host_now(h)) {
            conn_free(c, true);
        } else if (c->loop == l && c->give_up > 0) {
            timer_hasten(h->world, &l->wake, host_when(h, c->give_up));
        }
    }
}

/* Connections for links that want one, none for those that are gone. */
static void
worker_links(struct loop *l)
{
    struct host *h = l->host;
    struct link *next;

    for (struct link *k = peers_next(l->worker->peers, NULL); k; k = next) {
        struct conn *c = link_driver(k);

        next = peers_next(l->worker->peers, k);
        if (link_is_over(k)) {
            if (c) {
                conn_free(c, false);
            } else {
                link_down(k, host_now(h));
            }
        } else if (!c && link_wants(k, host_now(h))) {
            struct cluster_addr addr = link_addr(k);

            link_dialing(k, host_now(h));
            c = conn_call(h, l, CONN_LINK, site_of(&addr));
            c->link = k;
            link_set_driver(k, c);
        }
    }
}

/* The end of a turn: answers go to their sessions, what was made for others leaves. */
static void
worker_finish(struct loop *l)
{
    struct peers *p = l->worker->peers;
    struct link *k;
    unsigned count, rounds = 0;

    do {
        count = 0;
        conn_push_answered(l);
        while ((k = peers_next_dirty(p)) != NULL) {
            if (link_driver(k)) {
                conn_push(link_driver(k));
            }
            count++;
        }
        if (rounds++ > 10000) {
            world_fail(l->host->world, "node %u: a turn that does not end", l->host->index);
        }
    } while (count > 0);
}

static void
worker_evidence(struct loop *l)
{
    struct host *h = l->host;
    struct control_out out;
    node_id id;
    bool good;

    while (peers_take_evidence(l->worker->peers, host_now(h), &id, &good)) {
        out = (struct control_out){ 0 };
        if (good) {
            control_heard(h->control, id, host_now(h), &out);
        } else {
            control_doubted(h->control, id, host_now(h), &out);
        }
        host_obey(h, &out);
    }
}

static void
worker_loop_turn(struct loop *l)
{
    struct host *h = l->host;

    worker_turn(l->worker, host_now(h));
    if (h->stalled == 0) {
        loop_work(l);
    }
    if (l->worker->peers) {
        usec_t at;

        if (peers_due(l->worker->peers) <= host_now(h)) {
            peers_tick(l->worker->peers, host_now(h));
        }
        if (h->stalled == 0) {
            worker_links(l);
            worker_finish(l);
        }
        if (h->stalled == 0 && h->control) {
            worker_evidence(l);
        }
        at = host_when(h, peers_due(l->worker->peers));
        timer_hasten(h->world, &l->wake, at < h->world->now + 500 ? h->world->now + 500 : at);
    }
    loop_sweep(l);
}

static void
main_packets(struct host *h)
{
    for (struct host_packet *p; (p = h->packets) != NULL;) {
        struct control_out out = { 0 };

        h->packets = p->next;
        if (!h->packets) {
            h->packets_last = &h->packets;
        }
        h->packet_count--;
        control_datagram(h->control, &p->from, slice_of(p->bytes, p->len), host_now(h), &out);
        host_obey(h, &out);
        free(p);
    }
}

static void
main_loop_turn(struct loop *l)
{
    struct host *h = l->host;
    struct control_out out = { 0 };

    if (h->stalled == 0) {
        loop_work(l);
        if (h->control) {
            main_packets(h);
        }
    }
    if (h->control) {
        uint64_t swept = atomic_load(&h->node->swept);

        if (swept > h->swept) {
            h->swept = swept;
            control_swept(h->control, swept, host_now(h), &out);
        } else {
            control_tick(h->control, host_now(h), &out);
        }
        host_obey(h, &out);
    }
    loop_sweep(l);
}

static void
loop_on_turn(void *arg)
{
    struct loop *l = arg;
    struct host *h = l->host;

    if (!h->running || h->stopped > 0) {
        return; /* host_stop() lets it go on */
    }
    if (l->due) {
        l->due = false;
    }
    timer_hasten(h->world, &l->wake, h->world->now + WAKE_MAX);
    if (l->worker) {
        worker_loop_turn(l);
    } else {
        main_loop_turn(l);
    }
    if (l->ready && h->stalled == 0) {
        loop_hurry(l);
    }
}

/* -- control ----------------------------------------------------------------------------------- */

/* Views that no worker looks at any more go. */
static void
host_drop_views(struct host *h)
{
    struct view_old **at = &h->old_views;
    uint64_t seen = atomic_load(&h->node->upkeep_seen);

    for (unsigned i = 0; i < h->worker_count; i++) {
        uint64_t n = atomic_load(&h->node->workers[i]->view_seen);

        seen = n < seen ? n : seen;
    }
    while (*at) {
        struct view_old *o = *at;

        if (o->view->number < seen) {
            *at = o->next;
            view_free(o->view);
            free(o);
        } else {
            at = &o->next;
        }
    }
}

static void
host_adopt(struct host *h, struct view *v)
{
    struct view *old = atomic_load(&h->node->view);
    bool other_ring = !old || old->ring_digest != v->ring_digest;

    if (v->number <= h->view_number) {
        world_fail(h->world, "node %u: view %" PRIu64 " after %" PRIu64, h->index, v->number,
                   h->view_number);
    }
    h->view_number = v->number;
    h->ring_digest = v->ring_digest;
    if (old) {
        struct view_old *o = world_alloc(sizeof *o);

        *o = (struct view_old){ h->old_views, old };
        h->old_views = o;
    }
    atomic_store(&h->node->view, v);
    host_drop_views(h);
    for (unsigned i = 0; i < h->worker_count; i++) {
        loop_hurry(&h->loop[1 + i]);
    }
    world_note(h->world, "node %u: view %" PRIu64 ", %u nodes, ring %016" PRIx64, h->index,
               v->number, v->count, v->ring_digest);
    if (other_ring) {
        h->ops->ring(h->ops->arg, h);
    }
}

static void
host_take_note(struct host *h, const struct control_note *n)
{
    h->notes[n->kind % 16]++;
    switch (n->kind) {
    case CONTROL_MEMBER:
        world_note(h->world, "node %u: member %u, change %d", h->index, site_of(&n->info.addr),
                   n->change);
        break;
    case CONTROL_RING:
        world_note(h->world, "node %u: ring op %d of %016" PRIx64, h->index, n->op.kind,
                   n->op.node);
        break;
    case CONTROL_DOUBT:
        world_note(h->world, "node %u: doubts itself: %d", h->index, n->on);
        break;
    case CONTROL_BAD:
    case CONTROL_STRANGER:
        world_fail(h->world, "node %u takes a packet of node %u for nonsense", h->index,
                   site_of(&n->addr));
    case CONTROL_PLACEMENT:
        break;
    }
}

void
host_obey(struct host *h, const struct control_out *out)
{
    struct loop *main = &h->loop[0];
    struct cluster_addr sync[SYNCS_MAX];
    size_t syncs = out->sync_count < SYNCS_MAX ? out->sync_count : SYNCS_MAX;

    /* A copy, since calling asks control for its state. */
    for (size_t i = 0; i < syncs; i++) {
        sync[i] = out->sync[i];
    }
    for (size_t i = 0; i < out->send_count; i++) {
        paths_datagram(h->paths, h->index, site_of(&out->send[i].addr), out->send[i].bytes);
    }
    for (size_t i = 0; i < out->note_count; i++) {
        host_take_note(h, &out->note[i]);
    }
    for (size_t i = 0; i < out->tcp_count; i++) {
        unsigned site = site_of(&out->tcp[i].addr);

        if (site < h->paths->count) {
            conn_call(h, main, CONN_PROBE, site)->id = out->tcp[i].id;
        }
    }
    if (out->view) {
        host_adopt(h, out->view);
    }
    if (!h->is_up && control_phase(h->control) == PHASE_UP) {
        world_note(h->world, "node %u: is up", h->index);
        h->is_up = true;
    }
    timer_hasten(h->world, &main->wake, host_when(h, out->wake_at));
    for (size_t i = 0; i < syncs; i++) {
        unsigned site = site_of(&sync[i]);

        if (site < h->paths->count && site != h->index) {
            world_note(h->world, "node %u: exchanges its state with %u", h->index, site);
            conn_call(h, main, CONN_SYNC_CALL, site);
        }
    }
}

static void
host_on_datagram(void *arg, unsigned from, struct slice bytes)
{
    struct host *h = arg;
    struct host_packet *p;

    if (h->packet_count == PACKETS_MAX) {
        h->paths->lost++;
        return;
    }
    p = world_alloc(sizeof *p + bytes.len);
    p->from = site_addr(from);
    p->len = bytes.len;
    memcpy(p->bytes, bytes.ptr, bytes.len);
    *h->packets_last = p;
    h->packets_last = &p->next;
    h->packet_count++;
    loop_hurry(&h->loop[0]);
}

static void
host_on_accept(void *arg, struct tcp_end *end, int port)
{
    struct host *h = arg;
    struct conn *c;

    if (port == HOST_PORT_CLIENT && h->control && !h->is_up) {
        tcp_reset(end);
        return;
    }
    if (port == HOST_PORT_CLIENT) {
        c = conn_new(h, &h->loop[1 + h->next_worker++ % h->worker_count], CONN_CLIENT, end);
    } else {
        c = conn_new(h, &h->loop[0], CONN_GREETED, end);
        c->give_up = host_now(h) + USEC_PER_SEC;
    }
    conn_ready(c);
}

/* -- life -------------------------------------------------------------------------------------- */

static void
host_on_upkeep(void *arg)
{
    struct host *h = arg;
    const struct view *v = atomic_load(&h->node->view);
    usec_t next = 1 + (usec_t)rng_below(&h->rng, UPKEEP_EVERY);

    if (h->stopped == 0) {
        store_turn(h->upkeep_ctx, host_now(h));
        (void)store_tick(h->upkeep_ctx, 1000);
        if (v) {
            atomic_store(&h->node->upkeep_seen, v->number);
            if (strays_step(h->node, v, h->upkeep_ctx, &h->strays, UPKEEP_BUDGET)) {
                next = 100;
            }
        }
        host_drop_views(h);
    }
    timer_set(h->world, &h->upkeep, h->world->now + next);
}

static void
host_on_left(void *arg)
{
    struct host *h = arg;

    world_note(h->world, "node %u: has left", h->index);
    host_crash(h, false);
}

void
host_init(struct host *h, struct world *w, struct paths *p, unsigned index,
          const struct host_ops *ops)
{
    *h = (struct host){ .world = w, .paths = p, .ops = ops, .index = index, .worker_count = 1 };
    rng_init(&h->rng, w->seed ^ (index + 1) * UINT64_C(0x686f7374));
    for (unsigned i = 0; i < 1 + HOST_WORKERS_MAX; i++) {
        struct loop *l = &h->loop[i];

        *l = (struct loop){ .host = h, .index = i };
        l->ready_last = &l->ready;
        timer_init(&l->turn, loop_on_turn, l);
        timer_init(&l->wake, loop_on_wake, l);
    }
    timer_init(&h->upkeep, host_on_upkeep, h);
    timer_init(&h->leave, host_on_left, h);
    h->packets_last = &h->packets;
    p->site[index] = (struct site){
        .powered = true, .datagram = host_on_datagram, .accept = host_on_accept, .arg = h
    };
}

static void
host_set(struct host *h, const char *name, const char *value)
{
    struct err_detail d = { "" };

    if (settings_set(&h->settings, name, value, &d) != ERR_OK) {
        world_fail(h->world, "setting %s: %s", name, d.text);
    }
}

static void
host_settings(struct host *h)
{
    char name[64];

    settings_defaults(&h->settings);
    for (const char *const *o = h->options; o && *o; o++) {
        const char *value = strchr(*o, '=');

        assert(value && value - *o < (long)sizeof name);
        memcpy(name, *o, (size_t)(value - *o));
        name[value - *o] = '\0';
        host_set(h, name, value + 1);
    }
    host_name(h->index, name);
    host_set(h, "node_id", name);
    snprintf(name, sizeof name, "%u", h->worker_count);
    host_set(h, "threads", name);
    snprintf(name, sizeof name, "%u", h->weight);
    host_set(h, "weight", name);
}

/* A view that never changes, instead of gossip. */
static void
host_fix_view(struct host *h)
{
    struct view_node node[SITES_MAX];
    struct ring_ops *ops = ring_ops_new();

    world_need(ops);
    memset(node, 0, sizeof node);
    for (unsigned i = 0; i < h->fixed; i++) {
        struct member_info *m = &node[i].info;
        struct ring_op op = { .kind = RING_OP_MEMBER,
                              .node = host_id(i),
                              .stamp = HOST_START,
                              .proposer = host_id(i),
                              .client_port = HOST_PORT_CLIENT,
                              .weight = 1 };

        *m = (struct member_info){ .id = host_id(i),
                                   .incarnation = 1,
                                   .addr = site_addr(i),
                                   .client_port = HOST_PORT_CLIENT,
                                   .weight = 1,
                                   .workers = 1,
                                   .phase = PHASE_UP,
                                   .version_min = 1,
                                   .version_max = 1 };
        snprintf(m->host, sizeof m->host, "10.0.0.%u", i + 1);
        memcpy(op.host, m->host, sizeof op.host);
        (void)ring_ops_merge(ops, &op);
    }
    host_adopt(h, view_new(1, host_id(h->index), node, h->fixed, ops));
    ring_ops_free(ops);
}

static void
host_start_control(struct host *h)
{
    struct cluster_addr seed[SITES_MAX];
    struct control_out out = { 0 };
    struct control_config config = {
        .settings = &h->settings,
        .metrics = &h->node->shared,
        .seed = h->world->seed * 64 + h->index + (uint64_t)h->runs * 4096,
        .self = { .id = host_id(h->index),
                  .nonce = host_nonce(h),
                  .addr = site_addr(h->index),
                  .client_port = HOST_PORT_CLIENT,
                  .workers = (uint16_t)h->worker_count },
    };

    snprintf(config.self.host, sizeof config.self.host, "10.0.0.%u", h->index + 1);
    h->control = control_new(&config, host_now(h));
    world_need(h->control);
    control_tick(h->control, host_now(h), &out);
    host_obey(h, &out);
    for (unsigned i = 0; i < h->seeds; i++) {
        seed[i] = site_addr(i);
    }
    out = (struct control_out){ 0 };
    control_seeds(h->control, seed, h->seeds, host_now(h), &out);
    host_obey(h, &out);
}

void
host_start(struct host *h)
{
    static const struct node_facts facts = { .event_library = "none" };
    struct err_detail d = { "" };

    assert(!h->running);
    h->runs++;
    h->offset = (usec_t)rng_below(&h->rng, 2 * (uint64_t)h->offset_max + 1) - h->offset_max;
    h->running = true;
    h->leaving = false;
    h->able_at = h->started_at = h->world->now;
    h->view_number = h->swept = 0;
    h->is_up = false;
    h->strays = (struct strays_walk){ 0 };
    h->ring_digest = 0;
    host_settings(h);
    h->node = node_new(&h->settings, &facts, host_now(h), &d);
    if (!h->node) {
        world_fail(h->world, "node %u: %s", h->index, d.text);
    }
    for (unsigned i = 0; i < h->worker_count; i++) {
        h->loop[1 + i].worker = node_add_worker(h->node);
        world_need(h->loop[1 + i].worker);
        worker_turn(h->loop[1 + i].worker, host_now(h));
    }
    h->upkeep_ctx = store_ctx_new(h->node->store, &h->node->upkeep);
    world_need(h->upkeep_ctx);
    timer_set(h->world, &h->upkeep, h->world->now + UPKEEP_EVERY);
    h->paths->site[h->index].powered = true;
    h->paths->site[h->index].listening = true;
    world_note(h->world, "node %u: starts", h->index);
    if (h->fixed > 0) {
        host_fix_view(h);
    } else if (h->settings.cluster.join[0]) {
        host_start_control(h);
    }
}

static void
host_drop_packets(struct host *h)
{
    for (struct host_packet *p; (p = h->packets) != NULL;) {
        h->packets = p->next;
        free(p);
    }
    h->packets_last = &h->packets;
    h->packet_count = 0;
}

static void
host_drop_conns(struct host *h, bool silent)
{
    while (h->conns) {
        if (silent) {
            tcp_mute(h->conns->tcp);
        }
        conn_free(h->conns, true);
    }
}

void
host_crash(struct host *h, bool silent)
{
    struct view *view;

    if (!h->running) {
        return;
    }
    world_note(h->world, "node %u: ends%s", h->index, silent ? " without power" : "");
    h->running = false;
    h->paths->site[h->index].listening = false;
    h->paths->site[h->index].powered = !silent;
    host_drop_conns(h, silent);
    for (unsigned i = 0; i < 1 + HOST_WORKERS_MAX; i++) {
        timer_stop(h->world, &h->loop[i].turn);
        timer_stop(h->world, &h->loop[i].wake);
        h->loop[i].worker = NULL;
    }
    timer_stop(h->world, &h->upkeep);
    timer_stop(h->world, &h->leave);
    host_drop_packets(h);
    control_free(h->control);
    h->control = NULL;
    view = atomic_load(&h->node->view);
    store_ctx_free(h->upkeep_ctx);
    node_free(h->node);
    h->node = NULL;
    view_free(view);
    while (h->old_views) {
        struct view_old *o = h->old_views;

        h->old_views = o->next;
        view_free(o->view);
        free(o);
    }
}

void
host_leave(struct host *h)
{
    struct control_out out = { 0 };

    if (!h->running || !h->control || h->leaving) {
        return;
    }
    world_note(h->world, "node %u: leaves", h->index);
    h->leaving = true;
    control_leave(h->control, host_now(h), &out);
    host_obey(h, &out);
    timer_set(h->world, &h->leave, h->world->now + LEAVE_TIME);
}

void
host_fini(struct host *h)
{
    host_crash(h, false);
}

/* -- faults and figures ------------------------------------------------------------------------ */

static void
host_go_on(struct host *h)
{
    h->able_at = h->world->now;
    for (unsigned i = 0; h->running && i <= h->worker_count; i++) {
        loop_hurry(&h->loop[i]);
    }
}

void
host_stop(struct host *h, bool on)
{
    h->stopped = on ? h->stopped + 1 : h->stopped - 1;
    if (!on) {
        host_go_on(h);
    }
}

void
host_stall(struct host *h, bool on)
{
    h->stalled = on ? h->stalled + 1 : h->stalled - 1;
    if (!on) {
        host_go_on(h);
    }
}

int64_t
host_metric(struct host *h, enum metric id)
{
    struct metrics_sum sum;

    node_metrics(h->node, &sum);
    return sum.value[id];
}

const char *
host_bounds(struct host *h)
{
    for (struct conn *c = h->conns; c; c = c->next) {
        if (c->session && session_tx_bytes(c->session) > 4u * ANSWER_QUEUE_MAX) {
            return "a session has more than 4 MiB to send";
        }
        if (c->link && c->link->out.unsent > LINK_QUEUE_MAX + OUTBOX_BLOCK) {
            return "a link has more to send than its queue may hold";
        }
        if (c->link && c->link->flight > LINK_FLIGHT_MAX) {
            return "a link has more frames in flight than it may";
        }
    }
    return NULL;
}

const char *
host_leftovers(struct host *h)
{
    for (struct conn *c = h->conns; c; c = c->next) {
        if (c->kind == CONN_CLIENT) {
            return "a connection of nobody";
        }
        if (c->session && session_tx_bytes(c->session) > 0) {
            return "answers that do not leave";
        }
        if (c->link && (c->link->flight > 0 || c->link->out.unsent > 0 || c->link->lane.first)) {
            return "requests that nobody waits for";
        }
    }
    for (unsigned i = 0; i < h->worker_count; i++) {
        const struct peers *p = h->node->workers[i]->peers;

        for (uint32_t n = 0; p && n < p->request_count; n++) {
            if (p->request[n]->link) {
                return "a request that is not over";
            }
        }
    }
    if (host_metric(h, M_RESP_BUFS) != 0 || host_metric(h, M_READ_BUFS) != h->worker_count) {
        return "buffers of nobody";
    }
    return NULL;
}

unsigned
host_bad_links(struct host *h)
{
    const struct view *v = atomic_load(&h->node->view);
    unsigned bad = 0;

    for (unsigned i = 0; i < h->worker_count; i++) {
        struct peers *p = h->node->workers[i]->peers;

        for (struct link *k = p ? peers_next(p, NULL) : NULL; k; k = peers_next(p, k)) {
            unsigned at = view_find(v, link_node(k));

            if (at != VIEW_NOBODY && v->node[at].state == MEMBER_ALIVE &&
                (k->state != LINK_UP || k->breaker.state != BREAKER_CLOSED)) {
                world_note(h->world, "node %u: worker %u: link to %u: state %d, breaker %d",
                           h->index, i, site_of(&k->addr), (int)k->state, (int)k->breaker.state);
                bad++;
            }
        }
    }
    return bad;
}

struct host *
host_of(struct host *const *all, unsigned count, const struct worker *w)
{
    for (unsigned i = 0; i < count; i++) {
        if (all[i]->node == w->node) {
            return all[i];
        }
    }
    return NULL;
}
