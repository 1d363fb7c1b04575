#include "node/peers.h"
#include "node/forward.h"
#include "node/worker.h"

#include <assert.h>
#include <stdlib.h>

#define TICK_IDLE   USEC_PER_SEC
#define PING_AFTER  (5 * USEC_PER_SEC)         /* of silence */
#define PING_LINKS  64u                        /* each so many more make it that much longer */
#define PING_WAIT   USEC_PER_SEC               /* for the pong: then the connection is dead */
#define NEWS_EVERY  (500 * USEC_PER_MSEC)
#define RETRY_FREE  10u                        /* in a second, however little is asked */
#define RX_SLACK    64u

struct peers *
peers_new(struct worker *w, uint64_t seed)
{
    struct peers *p = calloc(1, sizeof *p);

    if (!p) {
        return NULL;
    }
    p->rx = aligned_alloc(64, WORKER_RX_BYTES + RX_SLACK);
    if (!p->rx) {
        free(p);
        return NULL;
    }
    p->worker = w;
    rng_init(&p->rng, seed);
    return p;
}

void
peers_free(struct peers *p)
{
    if (!p) {
        return;
    }
    while (p->first) {
        struct link *l = p->first;

        l->is_gone = true;
        link_down(l, p->worker->now);
    }
    for (uint32_t i = 0; i < p->request_count; i++) {
        free(p->request[i]);
    }
    free(p->request);
    free(p->at);
    outbox_pool_fini(&p->pool);
    free(p->rx);
    free(p);
}

/* -- links ------------------------------------------------------------------------------------- */

/* The links of the view before, in the order of their nodes' ids, as those of every view are. */
struct before {
    struct link **at;
    unsigned      count, next;
};

static struct link *
before_find(struct before *b, node_id id)
{
    while (b->next < b->count && (!b->at[b->next] || b->at[b->next]->node < id)) {
        b->next++;
    }
    return b->next < b->count && b->at[b->next]->node == id ? b->at[b->next] : NULL;
}

/* The link to a node of the view, which may be new. */
static struct link *
peers_link(struct peers *p, const struct view_node *n, struct before *was, usec_t now)
{
    struct link *l = before_find(was, n->info.id);

    if (l && memcmp(&l->addr, &n->info.addr, sizeof l->addr) != 0) {
        l->addr = n->info.addr; /* it moved: the next connection goes there */
        l->is_bad = l->state != LINK_DOWN;
    }
    if (l && l->state == LINK_UP && l->nonce != 0 && l->nonce < n->info.nonce) {
        l->is_bad = true; /* a later run of it: what is connected is to the one before */
    }
    if (!l) {
        l = link_new(p, n, now);
        if (l) {
            l->next = p->first;
            p->first = l;
        }
    }
    return l;
}

void
peers_view(struct peers *p, const struct view *v, usec_t now)
{
    struct before was = { .at = p->at, .count = p->at_count };
    struct link *next;

    p->at = calloc(v->count, sizeof p->at[0]);
    p->at_count = p->at ? v->count : 0;
    for (unsigned i = 0; i < p->at_count; i++) {
        const struct view_node *n = &v->node[i];

        if (i != v->self && n->state != MEMBER_LEFT) {
            p->at[i] = peers_link(p, n, &was, now);
        }
        if (p->at[i] && n->state == MEMBER_ALIVE && p->at[i]->failures > 0 &&
            p->at[i]->dial_at > now && n->since > p->at[i]->told) {
            p->at[i]->dial_at = now; /* gossip has it that it is back */
        }
    }
    for (struct link *l = p->first; l; l = next) {
        next = l->next;
        if (view_find(v, l->node) == VIEW_NOBODY ||
            v->node[view_find(v, l->node)].state == MEMBER_LEFT) {
            l->is_gone = true;
        }
        if (l->is_gone && l->state == LINK_DOWN) {
            link_down(l, now);
        }
    }
    free(was.at);
    p->due = now;
}

void
peers_remove(struct peers *p, struct link *l)
{
    struct link **at = &p->first, **dirty = &p->dirty;

    assert(!l->is_making);
    p->news_at = NULL;
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    while (l->is_dirty && *dirty != l) {
        dirty = &(*dirty)->dirty_next;
    }
    if (l->is_dirty) {
        *dirty = l->dirty_next;
    }
    for (unsigned i = 0; i < p->at_count; i++) {
        p->at[i] = p->at[i] == l ? NULL : p->at[i];
    }
    link_free(l);
}

struct link *
peers_next(struct peers *p, struct link *after)
{
    return after ? after->next : p->first;
}

struct link *
peers_next_dirty(struct peers *p)
{
    struct link *l = p->dirty;

    if (l) {
        p->dirty = l->dirty_next;
        l->is_dirty = false;
    }
    return l;
}

void
peers_finish(struct peers *p)
{
    while (p->making) {
        struct link *l = p->making;

        p->making = l->making_next;
        l->is_making = false;
        link_finish(l);
    }
}

bool
peers_may_open(const struct peers *p)
{
    unsigned all = 0, open = 1;

    for (const struct link *l = p->first; l; l = l->next) {
        all += !l->is_gone;
        open += !l->is_gone && l->breaker.state == BREAKER_OPEN;
    }
    /* Of one or two there is nothing to be learned about ourselves. */
    return all <= 2 || 2 * open <= all;
}

/* -- requests ---------------------------------------------------------------------------------- */

/* Twice as many as there were. */
static bool
requests_grow(struct peers *p)
{
    uint32_t count = p->request_count == 0 ? 64 : 2 * p->request_count;
    struct request **grown = realloc(p->request, count * sizeof *grown);

    if (!grown) {
        return false;
    }
    p->request = grown;
    while (p->request_count < count) {
        struct request *r = malloc(sizeof *r);

        if (!r) {
            break;
        }
        r->index = p->request_count;
        r->id = p->request_count;
        r->link = NULL;
        r->next = p->request_spare;
        p->request_spare = r;
        p->request[p->request_count++] = r;
    }
    return p->request_spare != NULL;
}

struct request *
peers_request_new(struct peers *p)
{
    struct request *r;

    if (!p->request_spare && !requests_grow(p)) {
        return NULL;
    }
    r = p->request_spare;
    p->request_spare = r->next;
    p->asked++;
    /* The holes are set as commands are added. */
    memset(r, 0, offsetof(struct request, index));
    r->position = 0;
    r->count = r->missing = 0;
    r->begun = 0;
    r->joiners = NULL;
    r->renewals = 0;
    r->tried = r->may_retry = r->in_parts = r->is_flush = r->is_joined = false;
    return r;
}

void
peers_request_free(struct peers *p, struct request *r)
{
    assert(!r->waiter);
    outbox_release(&p->pool, r->block);
    r->block = NULL;
    r->link = NULL;
    r->id += UINT64_C(1) << 32;
    r->next = p->request_spare;
    p->request_spare = r;
}

struct request *
peers_request(const struct peers *p, uint64_t id)
{
    uint32_t index = (uint32_t)id;

    if (index >= p->request_count || p->request[index]->id != id) {
        return NULL;
    }
    return p->request[index]->link ? p->request[index] : NULL;
}

bool
peers_may_retry(struct peers *p)
{
    usec_t second = p->worker->now / USEC_PER_SEC;

    if (p->retry_second != second) {
        p->retry_second = second;
        p->retries = 0;
        p->asked = 0;
    }
    if (p->retries >= RETRY_FREE + p->asked / 10) {
        return false;
    }
    p->retries++;
    metric_add(&p->worker->metrics, M_FORWARD_RETRIES, 1);
    return true;
}

/* -- who got answers --------------------------------------------------------------------------- */

void
peers_answered(struct peers *p, struct dialog *d)
{
    if (d->answered) {
        return;
    }
    d->answered = true;
    d->answered_next = NULL;
    if (p->answered_last) {
        p->answered_last->answered_next = d;
    } else {
        p->answered = d;
    }
    p->answered_last = d;
}

void
peers_keep_answers(struct peers *p)
{
    for (struct dialog *d = p->answered; d; d = d->answered_next) {
        d->lost = !txq_keep(&d->out, &p->worker->txq) || d->lost;
    }
}

void
peers_unanswered(struct peers *p, struct dialog *d)
{
    struct dialog **at = &p->answered, *last = NULL;

    if (!d->answered) {
        return;
    }
    while (*at != d) {
        last = *at;
        at = &(*at)->answered_next;
    }
    *at = d->answered_next;
    p->answered_last = p->answered_last == d ? last : p->answered_last;
    d->answered = false;
}

struct session *
peers_next_answered(struct peers *p)
{
    struct session *s;

    if (!p || !p->answered) {
        return NULL;
    }
    s = session_of(p->answered);
    peers_unanswered(p, p->answered);
    session_answered(s);
    return s;
}

/* -- time -------------------------------------------------------------------------------------- */

usec_t
peers_due(const struct peers *p)
{
    return p ? p->due : INT64_MAX;
}

/* In a large cluster idle links would be most of its traffic. */
static usec_t
ping_after(const struct peers *p)
{
    return PING_AFTER * (1 + (usec_t)p->at_count / PING_LINKS);
}

/* A connection that says nothing is asked whether it lives; one whose breaker is open, when that
 * says so. */
static void
link_probe(struct link *l, usec_t now)
{
    if (l->state != LINK_UP) {
        return;
    }
    if (l->pinged != 0 && now - l->pinged > PING_WAIT) {
        link_failed(l, true, now);
        l->is_bad = true;
    } else if (l->pinged == 0 && (now - l->heard > ping_after(l->peers) ||
                                  breaker_probe(&l->breaker, &l->peers->rng, now))) {
        (void)link_ping(l, now); /* without memory there will be another time */
    }
}

/* When there is something to do for a link next: each of these is in the future after a tick. */
static usec_t
link_due(const struct link *l, usec_t now)
{
    usec_t due = now + TICK_IDLE, pong = l->pinged + PING_WAIT + 1;
    bool is_up = l->state == LINK_UP && !l->is_bad;

    if (l->first && l->first->deadline < due) {
        due = l->first->deadline;
    }
    if (l->state == LINK_DOWN && l->dial_at > now && l->dial_at < due) {
        due = l->dial_at;
    }
    if (is_up && l->pinged != 0 && pong < due) {
        due = pong;
    }
    if (is_up && l->pinged == 0 && l->breaker.state == BREAKER_OPEN &&
        l->breaker.probe_at < due) {
        due = l->breaker.probe_at;
    }
    return due;
}

void
peers_tick(struct peers *p, usec_t now)
{
    struct link *next;
    usec_t due;

    p->due = now + TICK_IDLE;
    for (struct link *l = p->first; l; l = next) {
        next = l->next;
        if (l->is_gone && l->state == LINK_DOWN) {
            link_down(l, now);
            continue;
        }
        forward_expire(l, now);
        link_probe(l, now);
        due = link_due(l, now);
        p->due = due < p->due ? due : p->due;
        if (!l->first && !l->making && l->out.unsent == 0) {
            outbox_drop(&l->out, &p->pool); /* blocks are for who has something to say */
        }
        link_show(l, now);
    }
}

bool
peers_take_evidence(struct peers *p, usec_t now, node_id *ret_id, bool *ret_on)
{
    for (struct link *l = p->news_at ? p->news_at : p->first; l; l = l->next) {
        if (!l->news_bad && !(l->news_good && now - l->told >= NEWS_EVERY)) {
            continue;
        }
        *ret_id = l->node;
        *ret_on = !l->news_bad;
        l->told = now;
        l->news_good = false;
        l->news_bad = false;
        p->news_at = l->next;
        return true;
    }
    p->news_at = NULL;
    return false;
}
