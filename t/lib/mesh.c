#include "mesh.h"
#include "cluster/view.h"
#include "node/strays.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPANS 64

static void
mesh_need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "mesh: %s\n", what);
        abort();
    }
}

node_id
mesh_id(unsigned i)
{
    return 1000 + 10 * (node_id)i;
}

/* The node lives by another view. */
static void
mesh_adopt(struct mesh *m, unsigned i, struct view *v)
{
    struct view *old = atomic_exchange(&m->node[i].node->view, v);

    mesh_need(v != NULL, "no view");
    worker_turn(m->node[i].worker, m->node[i].now);
    view_free(old);
}

static struct view *
mesh_make_view(struct mesh *m, unsigned i, const bool in[MESH_MAX])
{
    struct view_node member[MESH_MAX] = { 0 };
    struct ring_ops *ops = ring_ops_new();
    struct view *v;

    for (unsigned k = 0; k < m->count; k++) {
        struct ring_op op = { .kind = in[k] ? RING_OP_MEMBER : RING_OP_REMOVED,
                              .node = mesh_id(k),
                              .stamp = 1 + in[k],
                              .proposer = mesh_id(k),
                              .client_port = (uint16_t)(11211 + k),
                              .weight = 1 };

        snprintf(op.host, sizeof op.host, "10.0.0.%u", k + 1);
        ring_ops_merge(ops, &op);
        member[k].info.id = mesh_id(k);
        member[k].info.addr.port = (uint16_t)(21211 + k);
        member[k].info.client_port = op.client_port;
        member[k].info.phase = PHASE_UP;
        member[k].info.weight = 1;
        member[k].state = MEMBER_ALIVE;
        memcpy(member[k].info.host, op.host, sizeof op.host);
    }
    v = view_next(m->node[i].node->view, ++m->view, mesh_id(i), member, m->count, ops);
    ring_ops_free(ops);
    return v;
}

void
mesh_view(struct mesh *m, unsigned i, const bool in[MESH_MAX])
{
    mesh_adopt(m, i, mesh_make_view(m, i, in));
}

void
mesh_views(struct mesh *m, unsigned i, const bool in[MESH_MAX], const bool then[MESH_MAX])
{
    struct view *before = m->node[i].node->view, *unseen = mesh_make_view(m, i, in);

    mesh_need(unseen != NULL, "no view");
    atomic_store(&m->node[i].node->view, unseen);
    mesh_adopt(m, i, mesh_make_view(m, i, then));
    view_free(before);
}

bool
mesh_sweep(struct mesh *m, unsigned i)
{
    struct node *n = m->node[i].node;
    struct view *v = n->view;
    struct strays_walk walk = { 0 };

    while (strays_step(n, v, m->node[i].worker->ctx, &walk, 8)) {
    }
    if (n->swept != v->ring_number || !view_has_past(v)) {
        return false;
    }
    mesh_adopt(m, i, view_swept(v, ++m->view));
    return true;
}

void
mesh_init(struct mesh *m, unsigned count, const char *const *options)
{
    static const bool all[MESH_MAX] = { true, true, true, true, true };

    memset(m, 0, sizeof *m);
    m->count = count;
    for (unsigned i = 0; i < count; i++) {
        drive_node_init(&m->node[i], options);
        mesh_view(m, i, all);
    }
    mesh_pump(m);
}

void
mesh_fini(struct mesh *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        for (unsigned k = 0; k < m->count; k++) {
            mesh_break(m, i, k);
        }
    }
    for (unsigned i = 0; i < m->count; i++) {
        struct view *v = m->node[i].node->view;

        drive_node_fini(&m->node[i]);
        view_free(v);
    }
}

unsigned
mesh_owner(struct mesh *m, unsigned i, const char *key)
{
    struct slice k = slice_of(key, strlen(key));

    return view_acting(m->node[i].worker->view, k, store_hash(k));
}

void
mesh_key(struct mesh *m, unsigned owner, const char *prefix, unsigned n, char out[64])
{
    for (unsigned i = 0;; i++) {
        snprintf(out, 64, "%s%u", prefix, i);
        if (mesh_owner(m, 0, out) == owner && n-- == 0) {
            return;
        }
    }
}

void
mesh_client(struct mesh *m, unsigned i, struct drive *d)
{
    drive_init(d, &m->node[i], SESSION_AUTO);
    session_set_driver(d->session, d);
}

/* -- links ------------------------------------------------------------------------------------- */

/* Pushes the clients that got answers. */
static void
mesh_answer(struct mesh *m, unsigned i)
{
    struct session *s;

    while ((s = peers_next_answered(m->node[i].worker->peers)) != NULL) {
        struct drive *d = session_driver(s);

        if (session_is_datagram(s)) {
            m->datagram(d);
        } else {
            (void)drive_turn(d, "", 0, DRIVE_ALL, d == m->slow ? 0 : DRIVE_ALL);
        }
    }
}

/* Copies as many bytes of the spans as there is room for, and not more than a piece. */
static size_t
mesh_copy(const struct mesh *m, const struct iovec *iov, int count, struct iovec room)
{
    size_t most = m->piece > 0 && m->piece < room.iov_len ? m->piece : room.iov_len, n = 0;

    for (int i = 0; i < count && n < most; i++) {
        size_t part = iov[i].iov_len < most - n ? iov[i].iov_len : most - n;

        mesh_need(iov[i].iov_len > 0, "an empty span");
        memcpy((char *)room.iov_base + n, iov[i].iov_base, part);
        n += part;
    }
    return n;
}

/* From the calling node to the one that is called, whose session has a turn that is not ended. */
static bool
wire_out(struct mesh *m, unsigned from, unsigned to)
{
    struct mesh_wire *x = &m->wire[from][to];
    struct iovec iov[SPANS], room;
    size_t n;
    int count;

    if (session_has_work(x->peer)) {
        session_resume(x->peer, m->node[to].now);
        return true;
    }
    count = link_tx(x->link, iov, SPANS);
    if (count == 0) {
        return false;
    }
    room = session_rx_space(x->peer);
    n = mesh_copy(m, iov, count, room);
    if (n == 0) {
        return false;
    }
    link_tx_done(x->link, n);
    session_rx(x->peer, n, m->node[to].now);
    m->frames++;
    return true;
}

/* And back, at the end of that turn. */
static bool
wire_back(struct mesh *m, unsigned from, unsigned to)
{
    struct mesh_wire *x = &m->wire[from][to];
    struct iovec iov[SPANS], room;
    size_t n;
    int count = session_tx(x->peer, iov, SPANS);

    if (count == 0) {
        return false;
    }
    room = link_rx_space(x->link);
    n = mesh_copy(m, iov, count, room);
    session_tx_done(x->peer, n);
    mesh_need(link_rx(x->link, n, m->node[from].now), "a bad answer");
    mesh_answer(m, from);
    mesh_need(link_park(x->link), "park");
    return true;
}

static void
mesh_connect(struct mesh *m, unsigned from)
{
    struct drive_node *n = &m->node[from];
    struct link *l, *next;

    for (l = peers_next(n->worker->peers, NULL); l; l = next) {
        unsigned to = (unsigned)((link_node(l) - mesh_id(0)) / 10);

        next = peers_next(n->worker->peers, l);
        if (link_is_over(l) && m->wire[from][to].link == l) {
            mesh_break(m, from, to);
            continue;
        }
        if (!link_wants(l, n->now)) {
            continue;
        }
        link_dialing(l, n->now);
        if (m->cut[from][to]) {
            link_down(l, n->now);
            continue;
        }
        m->wire[from][to] = (struct mesh_wire){
            .link = l, .peer = session_new(m->node[to].worker, SESSION_PEER, NULL)
        };
        mesh_need(m->wire[from][to].peer, "no session");
        link_up(l, 1, n->now);
    }
    mesh_answer(m, from);
}

void
mesh_break(struct mesh *m, unsigned from, unsigned to)
{
    struct mesh_wire x = m->wire[from][to];

    m->wire[from][to] = (struct mesh_wire){ 0 };
    if (x.link) {
        session_free(x.peer);
        link_down(x.link, m->node[from].now);
        mesh_answer(m, from);
    }
}

void
mesh_pump(struct mesh *m)
{
    bool moved;

    do {
        moved = false;
        for (unsigned from = 0; from < m->count; from++) {
            mesh_connect(m, from);
            while (peers_next_dirty(m->node[from].worker->peers)) {
            }
            for (unsigned to = 0; to < m->count; to++) {
                if (m->wire[from][to].link && !m->held[from][to]) {
                    moved = wire_out(m, from, to) || moved;
                    moved = wire_back(m, from, to) || moved;
                    mesh_need(session_park(m->wire[from][to].peer), "park");
                }
            }
        }
    } while (moved);
}

void
mesh_say(struct mesh *m, struct drive *d, const char *in, size_t len, size_t cut)
{
    size_t at = 0;
    unsigned idle = 0;

    while (d->session && (at < len || session_has_work(d->session))) {
        size_t used = drive_turn(d, in + at, len - at, cut, DRIVE_ALL);

        at += used;
        mesh_pump(m);
        idle = used > 0 ? 0 : idle + 1;
        mesh_need(idle < 1000, "a client that gets nowhere");
    }
    mesh_pump(m);
}

void
mesh_wait(struct mesh *m, usec_t time)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct drive_node *n = &m->node[i];

        n->now += time;
        worker_turn(n->worker, n->now);
        if (peers_due(n->worker->peers) <= n->now) {
            peers_tick(n->worker->peers, n->now);
        }
        mesh_answer(m, i);
    }
    mesh_pump(m);
}
