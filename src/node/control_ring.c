#include "node/control_impl.h"
#include <string.h>

/* For the profile "lan"; control_scale() makes the others of it. */
#define NEWS_FRESH     (2 * USEC_PER_SEC) /* what has happened since is not missed */
#define JOIN_WAIT      USEC_PER_SEC       /* for the seeds, before this node goes its own way */
#define FORGET_EVERY   USEC_PER_SEC       /* between two looks for members to forget */
#define FORGET_SPREAD  (4 * USEC_PER_SEC) /* all but one node wait up to so long before they do */
#define DEFEND_EVERY   (5 * USEC_PER_SEC) /* between two claims to the own place */
#define TELL_QUIET     (300 * USEC_PER_MSEC) /* the ring has not changed for so long: tell so */
#define TELL_EVERY     (2 * USEC_PER_SEC)
#define TAKEN_FOR      (5 * USEC_PER_SEC) /* longer than until the next look */
#define RESYNC_EVERY   (3 * USEC_PER_SEC) /* between two looks for members with another ring */

/*
 * What a node proposes only because nobody said anything: counts less than the word of anybody, and
 * of two the older counts, so that a cluster keeps its placement when a node joins that was started
 * with another one and could not ask in time.
 */
#define STAMP_UNASKED(now) ((now) < YEAR_2100 ? (YEAR_2100 - (now)) / 1024 : 0)
#define YEAR_2100          (4102444800 * USEC_PER_SEC)

/* A node that has a place in the ring and that gossip knows nothing of. */
struct absent {
    node_id id;
    usec_t  since;
    bool    seen; /* in this look */
};

/* Tells what this node says of itself now. */
void
control_ring_tell(struct control *c, usec_t now)
{
    struct swim_event ev = { .kind = SWIM_INFO, .info = &c->self };

    c->self.ring_ops = ring_ops_count(c->ops);
    c->self.ring_digest = c->digest;
    control_feed(c, &ev, now);
}

/* -- the ring's facts -------------------------------------------------------------------------- */

static void
ring_spread(struct control *c, const struct ring_op *op)
{
    struct gossip_message m = { .kind = GOSSIP_RING, .op = *op };

    if (swim_spread(c->swim, &m)) {
        metric_add(c->metrics, M_MALLOC_FAILS, 1); /* push/pull will bring it about */
    }
}

/* Says so if the ring's placement is not what the settings ask for. */
static void
placement_check(struct control *c, const struct ring_op *op)
{
    if (op->placement != (uint8_t)c->settings->cluster.placement) {
        struct control_note *n = control_note_add(c, CONTROL_PLACEMENT);

        if (n) {
            n->op = *op;
        }
    }
}

/*
 * Another's news.  If it is old, and this node was away, others may have lived by rings that it has
 * not heard of; if its own place was taken away, they certainly have, although it takes it back
 * before it lives by a ring without it.
 */
static void
ring_note_missed(struct control *c, const struct ring_op *op, usec_t now)
{
    if (op->proposer == c->self.id || c->self.phase != PHASE_UP || now - op->stamp < NEWS_FRESH) {
        return;
    }
    c->learned_at = now;
    if (now < c->away_until || control_is_late(c, now) ||
        (op->node == c->self.id && op->kind == RING_OP_REMOVED)) {
        c->ring_missed = true;
    }
}

/* Takes a fact in; if it is news, others shall know it too. */
static void
ring_take(struct control *c, const struct ring_op *op, usec_t now)
{
    const struct ring_op *old = ring_ops_find(c->ops, op->node);
    struct ring_op before = old ? *old : (struct ring_op){ .client_port = 0 };
    struct control_note *n = NULL;

    if (!ring_ops_merge(c->ops, op)) {
        return;
    }
    if (op->kind != RING_OP_REMOVED || before.kind == RING_OP_MEMBER) {
        n = control_note_add(c, CONTROL_RING);
    }
    if (n) {
        n->op = *op;
        n->from = op->proposer;
        n->info.id = op->node;
        n->info.client_port = before.client_port;
        memcpy(n->info.host, before.host, sizeof before.host);
    }
    c->digest = ring_ops_digest(c->ops);
    c->ring_changed_at = now;
    ring_note_missed(c, op, now);
    c->view_stale = true;
    c->members_moved = true;
    ring_spread(c, op);
    if (op->kind == RING_OP_PLACEMENT) {
        placement_check(c, op);
    }
}

/* This node's own word; its stamp is raised above what it replaces. */
static void
ring_propose(struct control *c, struct ring_op op, usec_t now)
{
    const struct ring_op *old = ring_ops_find(c->ops, op.node);

    op.proposer = c->self.id;
    if (old && old->stamp >= op.stamp) {
        op.stamp = old->stamp + 1;
    }
    ring_take(c, &op, now);
}

/* Another's word. */
void
control_ring_learn(struct control *c, const struct ring_op *op, usec_t now)
{
    bool possible = op->stamp >= 0 && op->stamp <= RING_STAMP_MAX;

    if (possible) {
        ring_take(c, op, now);
    }
    if (!possible || (op->kind != RING_OP_REMOVED && !ring_ops_find(c->ops, op->node))) {
        metric_add(c->metrics, M_CLUSTER_REFUSED, 1); /* or there are too many members */
    }
}

static struct ring_op
self_op(const struct control *c, usec_t now)
{
    struct ring_op op = {
        .kind = RING_OP_MEMBER,
        .node = c->self.id,
        .stamp = now,
        .client_port = c->self.client_port,
        .weight = c->self.weight,
        .placement = 0,
    };

    memcpy(op.host, c->self.host, sizeof op.host);
    memcpy(op.zone, c->self.zone, sizeof op.zone);
    return op;
}

/* Sees to it that the ring says of this node what is the case. */
static void
self_place(struct control *c, usec_t now)
{
    struct ring_op op = self_op(c, now);
    const struct ring_op *old = ring_ops_find(c->ops, c->self.id);

    if (old && old->kind == RING_OP_MEMBER && old->client_port == op.client_port &&
        old->weight == op.weight && strcmp(old->host, op.host) == 0 &&
        strcmp(old->zone, op.zone) == 0) {
        return;
    }
    if (now < c->taken_until) {
        return;
    }
    if (now < c->defend_next) {
        control_wake_by(c, c->defend_next);
        return;
    }
    c->defend_next = now + control_scale(c, DEFEND_EVERY);
    ring_propose(c, op, now);
}

/* -- becoming one of the cluster --------------------------------------------------------------- */

static void
placement_propose(struct control *c, usec_t now)
{
    struct ring_op op = {
        .kind = RING_OP_PLACEMENT,
        .stamp = STAMP_UNASKED(now),
        .placement = (uint8_t)c->settings->cluster.placement,
        .replicas = 1,
    };

    ring_propose(c, op, now);
}

/*
 * Takes the place in the ring: as soon as another told us its facts, or when nobody answered in
 * time.
 */
static void
join_step(struct control *c, usec_t now)
{
    bool alone = c->settings->cluster.join[0] == '\0';

    if (c->self.phase != PHASE_JOINING || c->leaving) {
        return;
    }
    if (!alone && !c->joined && now < c->join_until) {
        control_wake_by(c, c->join_until);
        return;
    }
    if (now < c->taken_until) {
        /* The name is another's: to take its place would make two of one. */
        control_wake_by(c, c->taken_until);
        return;
    }
    if (!ring_ops_find(c->ops, 0)) {
        placement_propose(c, now);
    }
    c->self.phase = PHASE_UP;
    self_place(c, now);
    control_ring_tell(c, now);
}

/* -- forgetting -------------------------------------------------------------------------------- */

/* Since when gossip has known nothing of a node. */
static usec_t
absent_since(struct control *c, node_id id, usec_t now)
{
    struct absent *a = c->absent.items;

    for (size_t i = 0; i < c->absent.count; i++) {
        if (a[i].id == id) {
            a[i].seen = true;
            return a[i].since;
        }
    }
    a = control_list_add(c, &c->absent, sizeof *a);
    if (a) {
        *a = (struct absent){ .id = id, .since = now, .seen = true };
    }
    return now;
}

/* Drops those that are known again, or off the ring. */
static void
absent_sweep(struct control *c)
{
    struct absent *a = c->absent.items;
    size_t kept = 0;

    for (size_t i = 0; i < c->absent.count; i++) {
        if (a[i].seen) {
            a[kept] = a[i];
            a[kept++].seen = false;
        }
    }
    c->absent.count = kept;
}

/* Since when a node with a place in the ring is gone, or INT64_MAX if it is not. */
usec_t
control_ring_gone(struct control *c, node_id id, usec_t now)
{
    struct swim_member m;

    if (!swim_member_find(c->swim, id, &m)) {
        return absent_since(c, id, now);
    }
    return m.state == MEMBER_DEAD || m.state == MEMBER_LEFT ? m.since : INT64_MAX;
}

/* True if of all nodes that are alive this one has the lowest id: it forgets first. */
static bool
self_is_first(const struct control *c)
{
    struct swim_member m;

    for (size_t i = 0; swim_member_at(c->swim, i, &m); i++) {
        if ((m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT) && m.info->id < c->self.id) {
            return false;
        }
    }
    return true;
}

void
control_ring_remove(struct control *c, node_id id, usec_t stamp, usec_t now)
{
    ring_propose(c, (struct ring_op){ .kind = RING_OP_REMOVED, .node = id, .stamp = stamp }, now);
}

/* Takes members off the ring that have been dead for auto_forget. */
static void
forget_step(struct control *c, usec_t now)
{
    usec_t after = SETTINGS_LIVE(c->settings->cluster.auto_forget);
    struct control_list gone = { 0 }; /* node_id: the set must not change while it is read */

    if (after == 0 || c->leaving || c->self.phase != PHASE_UP) {
        return;
    }
    if (now < c->forget_next) {
        control_wake_by(c, c->forget_next);
        return;
    }
    c->forget_next = now + control_scale(c, FORGET_EVERY);
    control_wake_by(c, c->forget_next);
    after += c->doubts ? INT64_MAX / 4 : self_is_first(c) ? 0 : c->forget_spread;
    for (size_t i = 0; i < ring_ops_count(c->ops); i++) {
        const struct ring_op *op = ring_ops_at(c->ops, i);
        usec_t since = op->kind == RING_OP_MEMBER && op->node != c->self.id
                           ? control_ring_gone(c, op->node, now)
                           : INT64_MAX;
        node_id *id = since < now - after ? control_list_add(c, &gone, sizeof *id) : NULL;

        if (id) {
            *id = op->node;
        }
    }
    absent_sweep(c);
    for (size_t i = 0; i < gone.count; i++) {
        /* Next to nothing above the fact that it ends: whatever its node says when it is back
         * counts more, and what several nodes say at once is nearly the same. */
        control_ring_remove(c, ((node_id *)gone.items)[i], 0, now);
        metric_add(c->metrics, M_CLUSTER_FORGOTTEN, 1);
    }
    free(gone.items);
}

/* -- agreeing on the ring ---------------------------------------------------------------------- */

/* More members need more time to hear of anything. */
static usec_t
control_patience(const struct control *c, usec_t lan, size_t members)
{
    return control_scale(c, lan) * (usec_t)(1 + swim_alive(c->swim) / members);
}

/*
 * Says which ring this node has, once it has been the same for a moment: each time costs a rumour
 * from every node.
 */
static void
tell_step(struct control *c, usec_t now)
{
    usec_t at = c->ring_changed_at + control_scale(c, TELL_QUIET);

    if (c->self.ring_digest == c->digest || c->self.phase == PHASE_JOINING) {
        return;
    }
    at = at < c->tell_next ? c->tell_next : at;
    if (now < at) {
        control_wake_by(c, at);
        return;
    }
    c->tell_next = now + control_patience(c, TELL_EVERY, 50);
    control_ring_tell(c, now);
}

void
control_ring_taken(struct control *c, usec_t now)
{
    c->taken_until = now + control_scale(c, TAKEN_FOR);
}

/*
 * Exchanges whole states with one of those who have had another ring for a while; with any if our
 * id is another's, to hear whether it still is.
 */
static void
resync_step(struct control *c, usec_t now)
{
    usec_t patience = control_patience(c, RESYNC_EVERY, 100);
    bool taken = now < c->taken_until;
    struct cluster_addr chosen = { .port = 0 };
    uint64_t others = 0;
    struct swim_member m;

    if (now < c->resync_next) {
        control_wake_by(c, c->resync_next);
        return;
    }
    c->resync_next = now + patience;
    control_wake_by(c, c->resync_next);
    if (!taken && now < c->ring_changed_at + patience) {
        return;
    }
    for (size_t i = 1; swim_member_at(c->swim, i, &m); i++) {
        if (m.state == MEMBER_ALIVE && m.info->phase != PHASE_JOINING &&
            (taken || m.info->ring_digest != c->digest) && rng_below(&c->rng, ++others) == 0) {
            chosen = m.info->addr;
        }
    }
    if (others > 0) {
        struct cluster_addr *a = control_list_add(c, &c->sync, sizeof *a);

        if (a) {
            *a = chosen;
        }
    }
}

/* -- all of it --------------------------------------------------------------------------------- */

void
control_ring_step(struct control *c, usec_t now)
{
    c->taken = now < c->taken_until;
    join_step(c, now);
    if (c->self.phase == PHASE_UP && !c->leaving) {
        self_place(c, now);
    }
    forget_step(c, now);
    tell_step(c, now);
    resync_step(c, now);
}

void
control_ring_init(struct control *c, usec_t now)
{
    c->join_until = now + JOIN_WAIT;
    c->resync_next = now + control_scale(c, RESYNC_EVERY);
    c->forget_spread = USEC_PER_SEC + (usec_t)rng_below(&c->rng, (uint64_t)FORGET_SPREAD);
}
