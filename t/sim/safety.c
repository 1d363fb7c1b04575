#include "safety.h"

#include <inttypes.h>
#include <stdlib.h>

/* Datagrams of one step: answers, the probe and its helpers, and a round of gossip. */
#define SENDS_MAX 32
#define AWARENESS_MAX 7

/* What a node said of itself last, and how a node held another after its last step. */
struct held {
    uint64_t incarnation, nonce;
    enum member_state state;
    bool known;
};

struct safety {
    unsigned nodes;
    uint64_t *said; /* highest incarnation by each node, of all its runs */
    struct held *held; /* nodes x nodes: observer, member */
};

static void *
need(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

struct safety *
safety_new(unsigned nodes)
{
    struct safety *t = need(calloc(1, sizeof *t));

    t->nodes = nodes;
    t->said = need(calloc(nodes, sizeof *t->said));
    t->held = need(calloc((size_t)nodes * nodes, sizeof *t->held));
    return t;
}

void
safety_free(struct safety *t)
{
    if (t) {
        free(t->said);
        free(t->held);
        free(t);
    }
}

void
safety_started(struct swarm *w, unsigned node)
{
    struct safety *t = w->safety;

    for (unsigned i = 0; i < t->nodes; i++) {
        t->held[(size_t)node * t->nodes + i] = (struct held){ 0 };
    }
}

static bool
state_is_up(enum member_state s)
{
    return s == MEMBER_ALIVE || s == MEMBER_SUSPECT;
}

static void
check_self(struct swarm *w, unsigned node, const struct swim_member *m)
{
    struct safety *t = w->safety;
    struct held *h = &t->held[(size_t)node * t->nodes + node];

    if (m->info->id != swarm_id(node)) {
        swarm_fail(w, "node %u is not its own first member", node);
    }
    if (h->known && m->info->incarnation < h->incarnation) {
        swarm_fail(w, "node %u lowers its own incarnation from %" PRIu64 " to %" PRIu64, node,
                   h->incarnation, m->info->incarnation);
    }
    *h = (struct held){ m->info->incarnation, m->info->nonce, m->state, true };
    t->said[node] = t->said[node] > h->incarnation ? t->said[node] : h->incarnation;
}

static void
check_member(struct swarm *w, unsigned node, const struct swim_member *m)
{
    struct safety *t = w->safety;
    unsigned other = swarm_node(m->info->id);
    struct held *h, now = { m->info->incarnation, m->info->nonce, m->state, true };

    if (other >= t->nodes) {
        swarm_fail(w, "node %u knows of %016" PRIx64 ", whom there is not", node, m->info->id);
        return;
    }
    h = &t->held[(size_t)node * t->nodes + other];
    if (now.incarnation > t->said[other]) {
        swarm_fail(w, "node %u holds incarnation %" PRIu64 " of node %u, which never said it", node,
                   now.incarnation, other);
    }
    if (h->known && now.incarnation < h->incarnation) {
        swarm_fail(w, "at node %u the incarnation of node %u falls from %" PRIu64 " to %" PRIu64,
                   node, other, h->incarnation, now.incarnation);
    }
    if (h->known && !state_is_up(h->state) && state_is_up(now.state) &&
        now.incarnation == h->incarnation && now.nonce == h->nonce) {
        swarm_fail(w, "at node %u node %u is back from the dead with incarnation %" PRIu64, node,
                   other, now.incarnation);
    }
    *h = now;
}

void
safety_check(struct swarm *w, unsigned node, const struct swim_event *ev,
             const struct swim_out *out)
{
    const struct swim *s = w->node[node].swim;
    struct swim_member m;
    size_t alive = 0, i;

    (void)ev;
    for (i = 0; swim_member_at(s, i, &m); i++) {
        if (i == 0) {
            check_self(w, node, &m);
        } else {
            check_member(w, node, &m);
        }
        alive += state_is_up(m.state) && !(i == 0 && w->node[node].leaving);
    }
    if (!w->node[node].leaving && alive != swim_alive(s)) {
        swarm_fail(w, "node %u counts %zu alive, and holds %zu so", node, swim_alive(s), alive);
    }
    if (out->send_count > SENDS_MAX + ev->count) {
        swarm_fail(w, "node %u sends %zu datagrams in one step", node, out->send_count);
    }
    if (swim_awareness(s) > AWARENESS_MAX) {
        swarm_fail(w, "node %u has a score of %u", node, swim_awareness(s));
    }
}
