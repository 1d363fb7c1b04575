#include "node/control.h"
#include "node/control_impl.h"
#include "proto/gossip.h"
#include <assert.h>
#include <string.h>

/*
 * A run begins above all that the one before it said: each change of what a node says of itself
 * takes one, and a node says a few things in its first second.
 */
#define INCARNATION_UNIT (USEC_PER_SEC / 16)

#define VIEW_EVERY     (20 * USEC_PER_MSEC)
#define VIEW_PER_NODE  ((usec_t)200)      /* a view of many nodes is work */
#define AWAY_TIME      (30 * USEC_PER_SEC) /* all news of a while away have come by then */
#define AWAY_BEFORE    (2 * USEC_PER_SEC)
#define NOTE_EVERY     (10 * USEC_PER_SEC) /* between two notes of senseless packets */

/* -- small things ------------------------------------------------------------------------------ */

/* A note of something that strangers can make happen as often as they like. */
static void
note_limited(struct control *c, enum control_note_kind kind, const struct cluster_addr *addr,
             usec_t *next, usec_t now)
{
    struct control_note *n = now >= *next ? control_note_add(c, kind) : NULL;

    if (n) {
        n->addr = *addr;
        *next = now + NOTE_EVERY;
    }
}

/* -- what swim wants --------------------------------------------------------------------------- */

static size_t
packet_begin(struct control *c, size_t at)
{
    struct gossip_header h = {
        .label = c->label,
        .version = GOSSIP_FORMAT,
        .from = c->self.id,
        .nonce = c->self.nonce,
        .sequence = ++c->sequence,
    };

    return gossip_write_header(&h, c->bytes.ptr + at, c->bytes.cap - at);
}

static void
packet_end(struct control *c, const struct cluster_addr *addr, size_t len)
{
    struct control_datagram *d = control_list_add(c, &c->send, sizeof *d);

    if (d) {
        /* The bytes may still move; control_finish() says where they are. */
        *d = (struct control_datagram){ .addr = *addr, .bytes = { NULL, len } };
        c->bytes.len += len;
        metric_add(c->metrics, M_GOSSIP_OUT, 1);
        metric_add(c->metrics, M_GOSSIP_OUT_BYTES, (int64_t)len);
    }
}

/* Makes datagrams of what swim sends, mostly one. */
static void
send_pack(struct control *c, const struct swim_send *s)
{
    const size_t room = GOSSIP_PACKET_MAX - GOSSIP_OVERHEAD;
    size_t i = 0;

    do {
        size_t head, used = 0;

        if (!buf_reserve(&c->bytes, GOSSIP_PACKET_MAX)) {
            metric_add(c->metrics, M_MALLOC_FAILS, 1);
            return;
        }
        head = packet_begin(c, c->bytes.len);
        assert(head > 0 && head <= GOSSIP_OVERHEAD);
        for (; i < s->count; i++) {
            size_t n = gossip_write(&s->message[i], c->bytes.ptr + c->bytes.len + head + used,
                                    room - used);

            if (n == 0) {
                break;
            }
            used += n;
        }
        assert(used > 0 || s->count == 0); /* every message fits a packet */
        packet_end(c, &s->addr, head + used);
    } while (i < s->count);
}

static const enum metric change_metric[] = {
    [SWIM_JOINED] = M_CLUSTER_JOINED,       [SWIM_CHANGED] = METRICS,
    [SWIM_SUSPECTED] = M_CLUSTER_SUSPECTED, [SWIM_REFUTED] = M_CLUSTER_REFUTED,
    [SWIM_DIED] = M_CLUSTER_DIED,           [SWIM_RETURNED] = M_CLUSTER_RETURNED,
    [SWIM_LEFT] = M_CLUSTER_LEFT,           [SWIM_FORGOTTEN] = METRICS,
    [SWIM_ACCUSED] = M_CLUSTER_ACCUSED,     [SWIM_CONFLICT] = M_CLUSTER_CONFLICTS,
    [SWIM_REFUSED] = M_CLUSTER_REFUSED,
};

/* True if workers care for how the member differs from what their view says of it. */
static bool
member_matters(const struct control *c, const struct member_info *m)
{
    uint16_t i = view_find(c->view, m->id);
    const struct member_info *old = i == VIEW_NOBODY ? NULL : &c->view->node[i].info;

    return !old || memcmp(&old->addr, &m->addr, sizeof m->addr) != 0 ||
           old->nonce != m->nonce || old->client_port != m->client_port ||
           old->weight != m->weight || old->workers != m->workers || old->phase != m->phase ||
           old->version_max != m->version_max || old->features != m->features ||
           strcmp(old->host, m->host) != 0 || strcmp(old->zone, m->zone) != 0;
}

/* True if it is to be noted; what strangers can make happen at will is only now and then. */
static bool
change_is_noted(struct control *c, const struct swim_change *ch, bool matters, usec_t now)
{
    usec_t *next = ch->kind == SWIM_ACCUSED   ? &c->accused_next
                   : ch->kind == SWIM_REFUSED ? &c->refused_next
                                              : NULL;

    if (next && now < *next) {
        return false;
    }
    if (next) {
        *next = now + NOTE_EVERY;
    }
    return ch->kind != SWIM_CHANGED || matters;
}

void
control_was_away(struct control *c, usec_t now)
{
    c->away_until = now + AWAY_TIME;
    if (c->learned_at != 0 && now - c->learned_at < AWAY_BEFORE) {
        c->ring_missed = true; /* both came in one state */
        c->view_stale = true;
    }
}

static void
change_take(struct control *c, const struct swim_change *ch, usec_t now)
{
    struct swim_member m = { 0 };
    bool known = swim_member_find(c->swim, ch->id, &m);
    bool matters = !known || ch->kind != SWIM_CHANGED || member_matters(c, m.info);
    struct control_note *n = NULL;

    if (change_metric[ch->kind] != METRICS) {
        metric_add(c->metrics, change_metric[ch->kind], 1);
    }
    if (ch->kind == SWIM_ACCUSED && ch->is_dead) {
        control_was_away(c, now);
    }
    c->members_moved = true;
    c->view_stale |= matters;
    if (change_is_noted(c, ch, matters, now)) {
        n = control_note_add(c, CONTROL_MEMBER);
    }
    if (n) {
        n->change = (int)ch->kind;
        n->from = ch->from;
        n->addr = ch->addr;
        n->info.id = ch->id;
        if (known) {
            n->info = *m.info;
        }
    }
}

/* One step of swim; what it wants is kept in our own lists, for there may be more steps. */
void
control_feed(struct control *c, const struct swim_event *ev, usec_t now)
{
    struct swim_out out = { 0 };

    if (swim_step(c->swim, ev, now, &out)) {
        metric_add(c->metrics, M_MALLOC_FAILS, 1);
    }
    for (size_t i = 0; i < out.send_count; i++) {
        send_pack(c, &out.send[i]);
    }
    for (size_t i = 0; i < out.sync_count; i++) {
        struct cluster_addr *a = control_list_add(c, &c->sync, sizeof *a);

        if (a) {
            *a = out.sync[i];
        }
    }
    for (size_t i = 0; i < out.tcp_count; i++) {
        struct swim_tcp *t = control_list_add(c, &c->tcp, sizeof *t);

        if (t) {
            *t = out.tcp[i];
        }
    }
    for (size_t i = 0; i < out.change_count; i++) {
        change_take(c, &out.change[i], now);
    }
    c->swim_wake = out.wake_at;
}

/* -- views ------------------------------------------------------------------------------------- */

/* True if workers are to know of a member. */
static bool
member_shows(const struct control *c, const struct swim_member *m)
{
    const struct ring_op *op = ring_ops_find(c->ops, m->info->id);

    return m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT || m->info->id == c->self.id ||
           (op && op->kind == RING_OP_MEMBER);
}

/* NULL without memory. */
static struct view *
view_make(struct control *c)
{
    struct control_list nodes = { 0 };
    struct swim_member m;
    struct view *v;
    uint64_t number = c->view ? c->view->number + 1 : 1;

    for (size_t i = 0; swim_member_at(c->swim, i, &m); i++) {
        struct view_node *n = member_shows(c, &m) ? control_list_add(c, &nodes, sizeof *n) : NULL;

        if (n) {
            *n = (struct view_node){ .info = *m.info, .state = m.state, .since = m.since };
        }
    }
    v = view_next(c->view, number, c->self.id, nodes.items, nodes.count, c->ops);
    free(nodes.items);
    return v;
}

/* The view is another one: takes it. */
static void
view_take(struct control *c, struct view *v)
{
    if (!c->view_given) {
        view_free(c->view);
    }
    c->view = v;
    c->view_given = false;
    control_gauge_set(c, M_CLUSTER_VIEW, (int64_t)v->number);
}

static void
view_step(struct control *c, usec_t now)
{
    struct view *v;

    if (!c->view_stale) {
        return;
    }
    if (now < c->view_next) {
        control_wake_by(c, c->view_next);
        return;
    }
    v = view_make(c);
    if (v && c->ring_missed) {
        view_lose_past(v);
        c->ring_missed = false;
    }
    if (!v) {
        metric_add(c->metrics, M_MALLOC_FAILS, 1);
        c->view_next = now + USEC_PER_SEC;
        control_wake_by(c, c->view_next);
        return;
    }
    view_take(c, v);
    c->view_stale = false;
    c->view_next = now + VIEW_EVERY + VIEW_PER_NODE * v->count;
}

/* -- the end of each call ---------------------------------------------------------------------- */

static void
doubt_step(struct control *c)
{
    bool doubts = swim_doubts_itself(c->swim);
    struct control_note *n = doubts != c->doubts ? control_note_add(c, CONTROL_DOUBT) : NULL;

    c->doubts = doubts;
    if (n) {
        n->on = doubts;
        n->info = c->self;
    }
}

static void
count_members(struct control *c)
{
    int64_t count[MEMBER_LEFT + 1] = { 0 }, ring = 0;
    struct swim_member m;

    for (size_t i = 0; swim_member_at(c->swim, i, &m); i++) {
        count[m.state]++;
    }
    for (size_t i = 0; i < ring_ops_count(c->ops); i++) {
        ring += ring_ops_at(c->ops, i)->kind == RING_OP_MEMBER;
    }
    control_gauge_set(c, M_CLUSTER_MEMBERS, count[MEMBER_ALIVE] + count[MEMBER_SUSPECT]);
    control_gauge_set(c, M_CLUSTER_SUSPECTS, count[MEMBER_SUSPECT]);
    control_gauge_set(c, M_CLUSTER_DEAD, count[MEMBER_DEAD]);
    control_gauge_set(c, M_CLUSTER_RING_NODES, ring);
    c->members_moved = false;
}

static void
control_begin(struct control *c)
{
    c->bytes.len = 0;
    c->send.count = c->sync.count = c->tcp.count = c->note.count = 0;
    c->wake_at = INT64_MAX;
}

/* What follows from whatever happened, and what the driver must do. */
static void
control_finish(struct control *c, usec_t now, struct control_out *out)
{
    size_t at = 0;

    if (control_is_late(c, now)) {
        control_was_away(c, now);
    }
    control_ring_step(c, now);
    doubt_step(c);
    if (c->members_moved) {
        count_members(c);
    }
    control_gauge_set(c, M_CLUSTER_AWARENESS, swim_awareness(c->swim));
    view_step(c, now);
    for (size_t i = 0; i < c->send.count; i++) {
        struct slice *s = &((struct control_datagram *)c->send.items)[i].bytes;

        s->ptr = c->bytes.ptr + at;
        at += s->len;
    }
    *out = (struct control_out){
        .send = c->send.items,
        .send_count = c->send.count,
        .sync = c->sync.items,
        .sync_count = c->sync.count,
        .tcp = c->tcp.items,
        .tcp_count = c->tcp.count,
        .note = c->note.items,
        .note_count = c->note.count,
        .view = c->view_given ? NULL : c->view,
        .wake_at = c->wake_at < c->swim_wake ? c->wake_at : c->swim_wake,
    };
    c->view_given = true;
    c->due = out->wake_at;
}

/* -- packets ----------------------------------------------------------------------------------- */

/*
 * Opens what came; true if it is worth reading on.  What is not is counted, and noted now and
 * then.
 */
static bool
packet_open(struct control *c, struct gossip_reader *r, struct slice bytes,
            const struct cluster_addr *from, usec_t now)
{
    switch (gossip_open(r, bytes, c->label)) {
    case GOSSIP_OK:
        break;
    case GOSSIP_LABEL:
    case GOSSIP_VERSION:
        metric_add(c->metrics, M_GOSSIP_STRANGERS, 1);
        note_limited(c, CONTROL_STRANGER, from, &c->stranger_next, now);
        return false;
    case GOSSIP_END:
    case GOSSIP_MALFORMED:
        metric_add(c->metrics, M_GOSSIP_BAD, 1);
        note_limited(c, CONTROL_BAD, from, &c->bad_next, now);
        return false;
    }
    if (r->header.from != c->self.id && r->header.from != 0) {
        return true;
    }
    if (r->header.nonce != c->self.nonce && now >= c->conflict_next) {
        struct control_note *n = control_note_add(c, CONTROL_MEMBER);

        metric_add(c->metrics, M_CLUSTER_CONFLICTS, 1);
        c->conflict_next = now + NOTE_EVERY;
        if (n) {
            n->change = SWIM_CONFLICT;
            n->info = c->self;
            n->addr = *from;
        }
    }
    return false; /* our own voice: a seed is this node itself */
}

/*
 * Reads all messages of a packet into c->message before any of them counts.  False: the packet is
 * none.
 */
static bool
packet_read(struct control *c, struct gossip_reader *r, size_t max)
{
    enum gossip_result result;
    struct gossip_message m;

    c->message.count = c->info.count = 0;
    while ((result = gossip_next(r, &m)) == GOSSIP_OK) {
        struct gossip_message *copy = NULL;
        struct member_info *info = NULL;

        if (c->message.count < max) {
            copy = control_list_add(c, &c->message, sizeof *copy);
        }
        if (copy) {
            *copy = m;
            info = m.kind == GOSSIP_ALIVE ? control_list_add(c, &c->info, sizeof *info) : NULL;
        }
        if (info) {
            *info = *m.info;
        } else if (copy && m.kind == GOSSIP_ALIVE) {
            c->message.count--; /* no memory */
        }
    }
    return result == GOSSIP_END;
}

/* Of the packet that was read, which has messages. */
static enum gossip_kind
first_kind(const struct control *c)
{
    assert(c->message.count > 0);
    return ((const struct gossip_message *)c->message.items)->kind;
}

/* True if it tells of an earlier run of another node with our id, which is there still. */
static bool
self_is_taken(const struct control *c, const struct gossip_message *m)
{
    return m->info->id == c->self.id && m->info->nonce < c->self.nonce &&
           memcmp(&m->info->addr, &c->self.addr, sizeof c->self.addr) != 0 &&
           (m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT);
}

/* Merges the facts, and leaves in c->message what is for swim. */
static void
packet_sort(struct control *c, bool state, usec_t now)
{
    struct gossip_message *m = c->message.items;
    struct member_info *info = c->info.items;
    size_t kept = 0;

    for (size_t i = 0; i < c->message.count; i++) {
        if (m[i].kind == GOSSIP_RING) {
            control_ring_learn(c, &m[i].op, now);
        } else if (state && m[i].kind == GOSSIP_DIGEST) {
            control_sync_digest(c, &m[i]);
        } else if (m[i].kind == GOSSIP_ALIVE) {
            m[i].info = info++;
            if (self_is_taken(c, &m[i])) {
                control_ring_taken(c, now);
            }
            m[kept++] = m[i];
        } else if (!state || m[i].kind == GOSSIP_SUSPECT || m[i].kind == GOSSIP_DEAD) {
            /* A state has accusations too, of incarnations that its sender cannot describe. */
            m[kept++] = m[i];
        }
    }
    c->message.count = kept;
}

/* False: it was not for us. */
static bool
packet_take(struct control *c, enum swim_event_kind kind, const struct cluster_addr *from,
            struct slice bytes, usec_t now)
{
    bool state = kind == SWIM_STATE;
    struct gossip_reader r;
    struct swim_event ev = { .kind = kind, .addr = *from };

    if (!packet_open(c, &r, bytes, from, now)) {
        return false;
    }
    if (!packet_read(c, &r, state ? 2 * CLUSTER_MEMBERS_MAX + 3 : GOSSIP_PACKET_MAX)) {
        metric_add(c->metrics, M_GOSSIP_BAD, 1);
        note_limited(c, CONTROL_BAD, from, &c->bad_next, now);
        return false;
    }
    if (state && !(c->message.count == 1 && first_kind(c) == GOSSIP_DIGEST)) {
        metric_add(c->metrics, M_CLUSTER_SYNCS, 1);
        c->joined = true;
    }
    packet_sort(c, state, now);
    ev.from = r.header.from;
    ev.message = c->message.items;
    ev.count = c->message.count;
    control_feed(c, &ev, now);
    return true;
}

/* -- what the driver calls --------------------------------------------------------------------- */

static void
control_event(struct control *c, const struct swim_event *ev, usec_t now, struct control_out *out)
{
    control_begin(c);
    control_feed(c, ev, now);
    control_finish(c, now, out);
}

void
control_tick(struct control *c, usec_t now, struct control_out *out)
{
    control_event(c, &(struct swim_event){ .kind = SWIM_TICK }, now, out);
}

void
control_datagram(struct control *c, const struct cluster_addr *from, struct slice bytes,
                 usec_t now, struct control_out *out)
{
    assert(from);
    metric_add(c->metrics, M_GOSSIP_IN, 1);
    metric_add(c->metrics, M_GOSSIP_IN_BYTES, (int64_t)bytes.len);
    control_begin(c);
    packet_take(c, SWIM_PACKET, from, bytes, now);
    control_finish(c, now, out);
}

void
control_synced(struct control *c, bool calls, const struct cluster_addr *from, struct slice bytes,
               usec_t now, struct control_out *out)
{
    assert(from);
    control_begin(c);
    control_sync_begin(c);
    if (packet_take(c, SWIM_STATE, from, bytes, now) && calls) {
        control_sync_answered(c, from);
    }
    control_finish(c, now, out);
}

void
control_tcp_ack(struct control *c, node_id id, usec_t now, struct control_out *out)
{
    control_event(c, &(struct swim_event){ .kind = SWIM_TCP_ACK, .id = id }, now, out);
}

void
control_swept(struct control *c, uint64_t ring_number, usec_t now, struct control_out *out)
{
    struct view *v = NULL;

    if (c->view->ring_number == ring_number && view_has_past(c->view)) {
        v = view_swept(c->view, c->view->number + 1);
    }
    if (v) {
        view_take(c, v);
    }
    control_tick(c, now, out);
}

void
control_heard(struct control *c, node_id id, usec_t now, struct control_out *out)
{
    control_event(c, &(struct swim_event){ .kind = SWIM_HEARD, .id = id }, now, out);
}

void
control_doubted(struct control *c, node_id id, usec_t now, struct control_out *out)
{
    control_event(c, &(struct swim_event){ .kind = SWIM_DOUBT, .id = id }, now, out);
}

void
control_seeds(struct control *c, const struct cluster_addr *addr, size_t count, usec_t now,
              struct control_out *out)
{
    struct swim_event ev = { .kind = SWIM_SEEDS_FORGET };

    control_begin(c);
    control_feed(c, &ev, now);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&addr[i], &c->self.addr, sizeof addr[i]) != 0) {
            ev = (struct swim_event){ .kind = SWIM_SEED, .addr = addr[i] };
            control_feed(c, &ev, now);
        }
    }
    control_finish(c, now, out);
}

void
control_leave(struct control *c, usec_t now, struct control_out *out)
{
    const struct ring_op *op = ring_ops_find(c->ops, c->self.id);

    control_begin(c);
    if (!c->leaving) {
        c->leaving = true;
        if (op && op->kind == RING_OP_MEMBER) {
            control_ring_remove(c, c->self.id, now, now);
        }
        c->self.phase = PHASE_DRAINING;
        c->view_stale = true;
        c->view_next = now; /* at once: there is not much time */
        control_ring_tell(c, now);
        control_feed(c, &(struct swim_event){ .kind = SWIM_LEAVE }, now);
    }
    control_finish(c, now, out);
}

err_t
control_forget(struct control *c, node_id id, usec_t now, struct control_out *out)
{
    const struct ring_op *op = ring_ops_find(c->ops, id);
    err_t e = ERR_OK;

    control_begin(c);
    if (id == 0 || !op || op->kind != RING_OP_MEMBER) {
        e = ERR_UNKNOWN;
    } else if (id == c->self.id || control_ring_gone(c, id, now) == INT64_MAX) {
        e = ERR_DENIED;
    } else {
        control_ring_remove(c, id, now, now);
        metric_add(c->metrics, M_CLUSTER_FORGOTTEN, 1);
    }
    control_finish(c, now, out);
    return e;
}

const struct view *
control_view(const struct control *c)
{
    return c->view;
}

enum member_phase
control_phase(const struct control *c)
{
    return (enum member_phase)c->self.phase;
}

size_t
control_alive(const struct control *c)
{
    return swim_alive(c->swim);
}

/* -- making one -------------------------------------------------------------------------------- */

static void
self_init(struct control *c, const struct member_info *given, usec_t now)
{
    const struct settings_cluster *set = &c->settings->cluster;

    c->self = *given;
    c->self.incarnation = (uint64_t)(now / INCARNATION_UNIT);
    c->self.weight = (uint16_t)set->weight;
    c->self.phase = PHASE_JOINING;
    c->self.version_min = CLUSTER_VERSION_MIN;
    c->self.version_max = CLUSTER_VERSION;
    c->digest = ring_ops_digest(c->ops);
    c->self.ring_ops = ring_ops_count(c->ops);
    c->self.ring_digest = c->digest;
    memcpy(c->self.zone, set->zone, strnlen(set->zone, CLUSTER_ZONE_MAX));
}

static struct swim *
swim_make(struct control *c, usec_t now)
{
    struct swim_config s;

    swim_config_defaults(&s);
    s.self = c->self;
    s.seed = rng_next(&c->rng);
    s.probe_interval = control_scale(c, s.probe_interval);
    s.probe_timeout = control_scale(c, s.probe_timeout);
    s.gossip_interval = control_scale(c, s.gossip_interval);
    s.sync_interval = control_scale(c, s.sync_interval);
    s.rejoin_interval = control_scale(c, s.rejoin_interval);
    return swim_new(&s, now);
}

struct control *
control_new(const struct control_config *config, usec_t now)
{
    struct control *c = calloc(1, sizeof *c);

    assert(config->settings && config->metrics && config->self.id != 0);
    if (!c) {
        return NULL;
    }
    c->settings = config->settings;
    c->metrics = config->metrics;
    rng_init(&c->rng, config->seed);
    c->label = gossip_label(c->settings->cluster.cluster_name);
    c->ops = ring_ops_new();
    if (c->ops) {
        self_init(c, &config->self, now);
        c->swim = swim_make(c, now);
    }
    if (c->swim) {
        c->view = view_make(c);
    }
    if (!c->view) {
        control_free(c);
        return NULL;
    }
    control_ring_init(c, now);
    c->members_moved = true;
    return c;
}

void
control_free(struct control *c)
{
    if (!c) {
        return;
    }
    if (!c->view_given) {
        view_free(c->view);
    }
    swim_free(c->swim);
    ring_ops_free(c->ops);
    buf_free(&c->bytes);
    free(c->absent.items);
    free(c->send.items);
    free(c->sync.items);
    free(c->tcp.items);
    free(c->note.items);
    free(c->message.items);
    free(c->info.items);
    free(c);
}
