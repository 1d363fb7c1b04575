#include "node/forward.h"
#include "node/answer.h"
#include "node/peers.h"
#include "node/worker.h"

#include <assert.h>

#define RENEWALS_MAX 8 /* a node that is slow, not silent, gets so many time-outs more */
#define PARTS_RATE 4 /* bytes in a microsecond: a long value may take longer */

_Static_assert(BATCH_MAX <= 64, "request.begun has a bit for each command of a frame");

/* -- excuses ----------------------------------------------------------------------------------- */

/* A retrieval that changes nothing and promises nothing: a miss is always a true answer to it. */
static bool
command_is_plain_get(const struct command *c)
{
    uint64_t more = META_BIT('N') | META_BIT('T') | META_BIT('R') | META_BIT('E') | META_BIT('c');

    return c->op == OP_GET || (c->op == OP_META_GET && (c->meta.has & more) == 0);
}

bool
forward_is_loud(const struct worker *w, const struct command *c)
{
    return SETTINGS_LIVE(w->node->settings->cluster.peer_error) == SETTINGS_PEER_ERROR_ERROR ||
           !command_is_plain_get(c);
}

void
forward_excuse(struct worker *w, const struct command *c, enum reply_code why, struct reply *r)
{
    bool loud = forward_is_loud(w, c);

    *r = (struct reply){ .code = loud ? why : RPL_MISS };
    metric_add(&w->metrics, loud ? M_FORWARD_ERRORS : M_FORWARD_MISSES, 1);
}

/* Fills a hole with an excuse. */
static void
hole_excuse(struct dialog *d, struct txq_segment *hole, const struct command *c,
            enum reply_code why)
{
    char text[PROTO_HEAD_MAX];
    struct reply r;
    size_t n;

    forward_excuse(d->worker, c, why, &r);
    n = answer_head(c, &r, text);
    if (c->protocol == PROTO_TEXT && c->op <= OP_GATS && !c->last && r.code != RPL_MISS) {
        d->line_failed = true; /* one of several keys: said once, at the end of their line */
        n = 0;
    }
    if (!txq_fill_copy(&d->out, hole, text, n)) {
        txq_fill(&d->out, hole, NULL, 0);
        d->lost = true;
    }
}

/* -- out --------------------------------------------------------------------------------------- */

/* Copies the value of a private item. */
static void
value_copy(struct worker *w, struct item *item, char *out)
{
    struct value_cursor v;

    value_cursor_init(&v, w->node->store, item);
    while (v.left > 0) {
        size_t n;
        const void *span = value_cursor_span(&v, w->node->store, &n);

        assert(n > 0);
        memcpy(out, span, n);
        out += n;
        value_cursor_advance(&v, w->node->store, n);
    }
}

/* -- joining ----------------------------------------------------------------------------------- */

/*
 * A get that is the same, byte for byte, as one of another client that has not been given to the
 * kernel waits for that one's answer.  Not for one that was sent: its answer may be older than what
 * this client has been told since.
 */
static struct request *
recent_find(const struct dialog *d, const struct link *l, const struct link_get *g, uint64_t hash,
            const char *bytes, size_t n)
{
    struct request *r;

    if (g->n != n || g->hash != hash) {
        return NULL;
    }
    r = peers_request(l->peers, g->id);
    if (!r || r->link != l || r->waiter == d || (r != l->making && link_has_sent(l, r)) ||
        memcmp(r->block->bytes + r->at + g->at, bytes, n) != 0) {
        return NULL;
    }
    return r;
}

/* Makes the hole wait for what request r is answered to its command at g.  False: no memory. */
static bool
recent_join(struct dialog *d, struct link *l, const struct link_get *g, struct request *r,
            struct txq_segment *hole)
{
    struct request *j = peers_request_new(l->peers);

    if (!j) {
        return false;
    }
    j->link = l;
    j->waiter = d;
    j->block = r->block;
    outbox_hold(j->block);
    j->at = r->at + g->at - PEER_HEADER; /* as if it had a frame of its own */
    j->len = PEER_HEADER + g->n;
    j->deadline = r->deadline;
    j->hole[0] = hole;
    j->count = 1;
    j->missing = 1;
    j->is_joined = true;
    j->join_index = g->index;
    j->join_next = r->joiners;
    r->joiners = j;
    forward_await(j);
    metric_add(&d->worker->metrics, M_COALESCED, 1);
    return true;
}

/* The n bytes in room are a command that is about to be sent: true if it joined another. */
static bool
recent_take(struct dialog *d, struct link *l, const struct command *c, const char *room, size_t n,
            struct txq_segment *hole)
{
    struct link_get *g = &l->recent[c->hash % LINK_RECENT];
    struct request *r;

    if (c->op != OP_GET) {
        g->n = 0; /* what is asked from now on comes behind this */
        return false;
    }
    r = recent_find(d, l, g, c->hash, room, n);
    if (r) {
        return recent_join(d, l, g, r, hole);
    }
    r = l->making;
    *g = (struct link_get){ .hash = c->hash, .id = r->id, .at = r->len,
                            .n = (uint32_t)n, .index = r->count };
    return false;
}

/* Puts the command into a frame; false: no memory. */
static bool
frame_command(struct dialog *d, struct link *l, const struct command *c, enum peer_value value,
              struct item *item, struct txq_segment *hole)
{
    struct worker *w = d->worker;
    size_t inlined = value == PEER_VALUE_HERE ? c->value_len : 0, n;
    char *room = link_room(l, d, PEER_COMMAND_MAX + inlined, w->now);

    if (!room) {
        return false;
    }
    n = peer_write_command(c, value, room);
    if (inlined > 0 && item) {
        value_copy(w, item, room + n);
    } else if (inlined > 0) {
        memcpy(room + n, c->value.ptr, inlined);
    }
    if (hole && recent_take(d, l, c, room, n, hole)) {
        return true;
    }
    link_add(l, n + inlined, hole);
    metric_add(&w->metrics, M_FORWARDED, 1);
    return true;
}

enum reply_code
forward_command(struct dialog *d, uint16_t place, const struct command *c, enum peer_value value,
                struct item *item)
{
    struct worker *w = d->worker;
    struct link *l = peers_at(w->peers, place);
    struct txq_segment *hole;

    if (!l || !link_lets(l, w->now)) {
        store_drop(w->ctx, item);
        return l && l->state == LINK_UP ? RPL_PEER_BUSY : RPL_PEER_DOWN;
    }
    hole = answer_queue(w, &d->out) ? txq_hole(&d->out, &w->txq) : NULL;
    if (!hole) {
        d->lost = true;
        store_drop(w->ctx, item);
        return RPL_PEER_BUSY;
    }
    if (value == PEER_VALUE_PARTS) {
        link_finish(l); /* it is alone in its frame */
    }
    if (!frame_command(d, l, c, value, item, hole)) {
        txq_fill(&d->out, hole, NULL, 0);
        store_drop(w->ctx, item);
        return RPL_PEER_BUSY;
    }
    if (value == PEER_VALUE_PARTS) {
        l->making->in_parts = true;
        l->making->deadline += (usec_t)c->value_len / PARTS_RATE;
        /* Without memory for it the owner would wait for the value: the link starts over. */
        l->is_bad = !lane_add(&l->lane, w->ctx, l->making->id, 0, item, false) || l->is_bad;
        link_finish(l);
    } else {
        store_drop(w->ctx, item);
        peers_making(w->peers, l);
    }
    return RPL_NOTHING;
}

void
forward_batch_end(struct worker *w)
{
    peers_finish(w->peers);
}

unsigned
forward_flush(struct dialog *d, const struct command *c)
{
    struct worker *w = d->worker;
    /* However it was said, the answer is to be read by us. */
    struct command plain = { .op = OP_FLUSH_ALL, .protocol = PROTO_TEXT, .exptime = c->exptime,
                             .has_exptime = c->has_exptime };
    unsigned told = 0;

    d->flush_failed = false;
    for (uint16_t i = 0; i < w->view->count; i++) {
        const struct view_node *n = &w->view->node[i];
        struct link *l = peers_at(w->peers, i);

        if (!l || n->state == MEMBER_LEFT || (n->state == MEMBER_DEAD && !n->in_ring)) {
            continue; /* what it holds is not asked for */
        }
        if (n->state == MEMBER_DEAD) {
            d->flush_failed = true; /* it may be back, with all that it has */
            continue;
        }
        link_finish(l);
        if (!link_lets(l, w->now) || !frame_command(d, l, &plain, PEER_VALUE_NONE, NULL, NULL)) {
            d->flush_failed = true;
            continue;
        }
        l->making->is_flush = true;
        memset(l->recent, 0, sizeof l->recent);
        link_finish(l);
        told++;
    }
    return told;
}

/* -- who waits --------------------------------------------------------------------------------- */

void
forward_await(struct request *r)
{
    r->waiter_next = r->waiter->requests;
    r->waiter->requests = r;
}

static void
waiter_leave(struct request *r)
{
    struct request **at = &r->waiter->requests;

    while (*at != r) {
        assert(*at);
        at = &(*at)->waiter_next;
    }
    *at = r->waiter_next;
    r->waiter = NULL;
}

void
forward_abandon(struct dialog *d)
{
    while (d->requests) {
        struct request *r = d->requests;

        d->requests = r->waiter_next;
        r->waiter = NULL;
    }
    if (d->worker->peers) {
        peers_unanswered(d->worker->peers, d);
    }
}

/* All that was asked is answered, one way or another: the request is over. */
static void
request_end(struct request *r)
{
    struct peers *p = r->link->peers;

    if (r->waiter) {
        peers_answered(p, r->waiter);
        waiter_leave(r);
    }
    peers_request_free(p, r);
}

/* -- the commands of a frame that was sent ----------------------------------------------------- */

/* Where a walk over a frame's commands is. */
struct walk {
    struct slice    rest;
    struct slice    entry; /* the bytes of the command read last */
    struct command  c;
    enum peer_value value;
};

static void
walk_begin(struct walk *k, const struct request *r)
{
    k->rest = slice_of(r->block->bytes + r->at + PEER_HEADER, r->len - PEER_HEADER);
}

/* We wrote them ourselves. */
static void
walk_next(struct walk *k)
{
    struct slice before = k->rest;
    enum peer_result got = peer_read_command(&k->rest, &k->c, &k->value);

    assert(got == PEER_OK);
    k->entry = slice_of(before.ptr, before.len - k->rest.len);
}

/* Excuses every command of a request that is off its link, and ends it. */
static void
request_excuse(struct request *r, enum reply_code why)
{
    struct dialog *d = r->waiter;
    struct walk k;

    while (r->joiners) {
        struct request *j = r->joiners;

        r->joiners = j->join_next;
        request_excuse(j, why); /* which has no joiners itself */
    }
    walk_begin(&k, r);
    for (unsigned i = 0; i < r->count && d; i++) {
        walk_next(&k);
        if ((r->begun >> i & 1) != 0 && r->hole[i]) {
            /* The client has been told how long its value is: nothing but the rest is an answer. */
            txq_fill(&d->out, r->hole[i], NULL, 0);
            d->lost = true;
        } else if (r->hole[i]) {
            hole_excuse(d, r->hole[i], &k.c, why);
        }
    }
    if (d && r->is_flush) {
        d->flush_failed = true;
    }
    request_end(r);
}

/* True if it does no harm to execute them twice. */
static bool
request_is_harmless(const struct request *r)
{
    struct walk k;

    walk_begin(&k, r);
    for (unsigned i = 0; i < r->count; i++) {
        walk_next(&k);
        if (!command_is_plain_get(&k.c) && k.c.op != OP_GETS) {
            return false;
        }
    }
    return true;
}

/* -- back -------------------------------------------------------------------------------------- */

/*
 * Whom we asked says that it is not the owner, and perhaps who is: asks that one, once.  A view of
 * ours that is newer than the one the command was sent by knows better than he does.
 */
static void
answer_not_owner(struct request *r, unsigned i, node_id owner)
{
    struct dialog *d = r->waiter;
    struct worker *w = d->worker;
    struct link *l = NULL;
    uint16_t place;
    struct walk k;
    char *room;

    walk_begin(&k, r);
    for (unsigned n = 0; n <= i; n++) {
        walk_next(&k);
    }
    metric_add(&w->metrics, M_NOT_OWNER, 1);
    place = view_acting(w->view, k.c.key, store_hash(k.c.key));
    l = peers_at(w->peers, place);
    if (!l || l == r->link) {
        l = peers_at(w->peers, view_find(w->view, owner));
    }
    if (!r->tried && l && l != r->link && k.value != PEER_VALUE_PARTS && link_lets(l, w->now) &&
        peers_may_retry(w->peers)) {
        link_finish(l);
        room = link_room(l, d, k.entry.len, w->now);
        if (room) {
            memcpy(room, k.entry.ptr, k.entry.len);
            link_add(l, k.entry.len, r->hole[i])->tried = true;
            link_finish(l);
            return;
        }
    }
    hole_excuse(d, r->hole[i], &k.c, RPL_PEER_DOWN);
}

/* A flush is answered by the word that it was done. */
static void
answer_flush(struct request *r, const struct peer_entry *e, struct slice bytes)
{
    if (r->waiter && (e->kind != PEER_ANSWER || !slice_is(bytes, "OK\r\n"))) {
        r->waiter->flush_failed = true;
    }
}

/* Whom we asked had no time for it. */
static void
answer_excuse(struct request *r, unsigned i, enum reply_code why)
{
    struct walk k;

    walk_begin(&k, r);
    for (unsigned n = 0; n <= i; n++) {
        walk_next(&k);
    }
    hole_excuse(r->waiter, r->hole[i], &k.c, why);
}

/* An answer of n bytes came, or the beginning of a long one: learns what to expect of the next. */
static void
answer_learn(struct dialog *d, size_t n, bool is_long)
{
    size_t was = dialog_expect(d);

    if (!is_long) {
        d->expect = (uint32_t)(was - was / 4 + n / 4);
    } else if (was < DIALOG_EXPECT_LONG) {
        d->expect = DIALOG_EXPECT_LONG;
    }
}

/* One answer, to the i-th command.  True if that was all of it. */
static bool
answer_take(struct request *r, unsigned i, const struct peer_entry *e, struct slice bytes)
{
    struct dialog *d = r->waiter;
    struct txq_segment *between;

    if (r->is_flush) {
        answer_flush(r, e, bytes);
        return true;
    }
    if (e->kind == PEER_ANSWER_PARTS) {
        if (d) {
            between = txq_fill_around(&d->out, &d->worker->txq, r->hole[i],
                                      slice_of(bytes.ptr, bytes.len - e->tail),
                                      slice_from(bytes, bytes.len - e->tail));
            d->lost = d->lost || !between;
            r->hole[i] = between ? between : r->hole[i];
            answer_learn(d, bytes.len, true);
        }
        r->begun |= UINT64_C(1) << i;
        return false;
    }
    if (d && e->kind == PEER_NOT_OWNER) {
        node_id owner;

        memcpy(&owner, bytes.ptr, sizeof owner);
        answer_not_owner(r, i, owner);
    } else if (d && e->kind == PEER_EXPIRED) {
        answer_excuse(r, i, RPL_PEER_BUSY);
    } else if (d) {
        txq_fill(&d->out, r->hole[i], bytes.ptr, bytes.len);
        answer_learn(d, bytes.len, false);
    }
    r->hole[i] = NULL;
    return true;
}

/* A joiner has got a part of its answer, which is only lent to it. */
static void
joiner_answered(const struct request *j)
{
    if (j->waiter) {
        peers_answered(j->link->peers, j->waiter);
    }
}

/* The same for whoever joined it. */
static void
joiners_take(struct request *r, unsigned i, const struct peer_entry *e, struct slice bytes)
{
    for (struct request **at = &r->joiners, *j; (j = *at) != NULL;) {
        if (j->join_index != i) {
            at = &j->join_next;
        } else if (answer_take(j, 0, e, bytes)) {
            *at = j->join_next;
            request_end(j);
        } else {
            joiner_answered(j);
            at = &j->join_next;
        }
    }
}

/* The request is answered but for these. */
static void
request_answered(struct link *l, struct request *r, unsigned answered)
{
    r->missing = (uint16_t)(r->missing - answered);
    peer_row_add(l->row, PEER_ROW_ANSWERED, answered);
    if (r->missing == 0) {
        link_take_off(l, r);
        request_end(r);
    } else if (r->waiter) {
        peers_answered(l->peers, r->waiter);
    }
}

/* The request in flight on this link that has this id; NULL: there is none, or not any more. */
static struct request *
request_find(const struct link *l, uint64_t id)
{
    struct request *r = peers_request(l->peers, id);

    return r && r->link == l && !r->is_joined ? r : NULL;
}

bool
forward_answers(struct link *l, const struct peer_frame *f, struct slice body)
{
    struct request *r = request_find(l, f->id);
    unsigned answered = 0;
    bool good = true;

    if (!r) {
        return true; /* it came too late */
    }
    if ((unsigned)f->first + f->count > r->count) {
        return false;
    }
    for (unsigned i = f->first; i < (unsigned)f->first + f->count; i++) {
        struct peer_entry e;
        struct slice bytes;

        if (peer_read_entry(&body, &e, &bytes) != PEER_OK) {
            good = false; /* but those before it were taken */
            break;
        }
        if (r->hole[i] || r->is_flush) {
            joiners_take(r, i, &e, bytes);
            answered += answer_take(r, i, &e, bytes);
        }
    }
    request_answered(l, r, answered);
    return good && body.len == 0;
}

/* Some more of the answer to the i-th command. */
static void
part_take(struct request *r, unsigned i, struct slice body, bool last)
{
    struct dialog *d = r->waiter;
    struct txq_segment *rest;

    if (d && last) {
        txq_fill(&d->out, r->hole[i], body.ptr, body.len);
    } else if (d) {
        rest = txq_fill_around(&d->out, &d->worker->txq, r->hole[i], body, (struct slice){ 0 });
        d->lost = d->lost || !rest;
        r->hole[i] = rest ? rest : r->hole[i];
    }
    if (last) {
        r->hole[i] = NULL;
    }
}

/* The same for whoever joined it. */
static void
joiners_part(struct request *r, unsigned i, struct slice body, bool last)
{
    for (struct request **at = &r->joiners, *j; (j = *at) != NULL;) {
        if (j->join_index != i) {
            at = &j->join_next;
            continue;
        }
        part_take(j, 0, body, last);
        if (last) {
            *at = j->join_next;
            request_end(j);
        } else {
            joiner_answered(j);
            at = &j->join_next;
        }
    }
}

bool
forward_part(struct link *l, const struct peer_frame *f, struct slice body)
{
    struct request *r = request_find(l, f->id);
    bool last = (f->flags & PEER_LAST) != 0;

    if (!r) {
        return true;
    }
    if (f->first >= r->count || !r->hole[f->first] || (r->begun >> f->first & 1) == 0) {
        return false;
    }
    joiners_part(r, f->first, body, last);
    part_take(r, f->first, body, last);
    /* A long answer is not late as long as it comes. */
    l->parts_at = l->peers->worker->now;
    request_answered(l, r, last);
    return true;
}

/* -- failures ---------------------------------------------------------------------------------- */

/* A list of requests, by next only, in the order in which they were sent. */
static struct request *
requests_sort(struct request *list)
{
    struct request *half = list, *rest, *sorted = NULL, **at = &sorted;

    if (!list || !list->next) {
        return list;
    }
    for (rest = list->next; rest && rest->next; rest = rest->next->next) {
        half = half->next;
    }
    rest = half->next;
    half->next = NULL;
    list = requests_sort(list);
    rest = requests_sort(rest);
    while (list && rest) {
        struct request **from = list->position < rest->position ? &list : &rest;

        *at = *from;
        at = &(*at)->next;
        *from = *at;
    }
    *at = list ? list : rest;
    return sorted;
}

void
forward_lost(struct link *l, bool may_retry, usec_t now)
{
    struct request *r = l->first, *again = NULL, *next;

    assert(!l->making);
    for (struct request *q = r; q; q = q->next) {
        /* Judged while it is known what was sent. */
        bool twice = !link_has_sent(l, q) || request_is_harmless(q);
        bool safe = twice && !q->in_parts && !q->is_flush;

        q->may_retry = may_retry && safe && !q->tried && q->waiter && q->deadline > now &&
                       q->missing == q->count && q->begun == 0 && peers_may_retry(l->peers);
    }
    outbox_drop(&l->out, &l->peers->pool);
    l->first = NULL;
    l->last = NULL;
    l->flight = 0;
    for (; r; r = next) {
        next = r->next;
        if (r->may_retry) {
            r->next = again;
            again = r;
        } else {
            request_excuse(r, RPL_PEER_DOWN);
        }
    }
    /* They were in the order of their deadlines; a client's commands are to stay in its own. */
    for (r = requests_sort(again); r; r = next) {
        next = r->next;
        r->tried = true;
        if (!link_send_again(l, r)) {
            request_excuse(r, RPL_PEER_DOWN);
        }
    }
}

usec_t
forward_patience(const struct worker *w)
{
    return (1 + RENEWALS_MAX) * SETTINGS_LIVE(w->node->settings->cluster.peer_timeout);
}

/*
 * A node answers in order, more or less: as long as something comes, what was asked later is not
 * lost but in the queue.  While long answers come in it may wait for any time, else for some more
 * time-outs.  True if it has another deadline.
 */
static bool
request_may_wait(struct request *r, usec_t now)
{
    struct link *l = r->link;
    usec_t time = SETTINGS_LIVE(l->peers->worker->node->settings->cluster.peer_timeout);

    if (l->parts_at + time > now) {
        link_renew(l, r, l->parts_at + time);
        return true;
    }
    if (l->heard + time > now && r->renewals < RENEWALS_MAX) {
        r->renewals++;
        link_renew(l, r, l->heard + time);
        return true;
    }
    return false;
}

void
forward_expire(struct link *l, usec_t now)
{
    while (l->first && l->first->deadline <= now) {
        struct request *r = l->first;

        if (request_may_wait(r, now)) {
            continue;
        }
        link_take_off(l, r);
        metric_add(&l->peers->worker->metrics, M_FORWARD_TIMEOUTS, 1);
        peer_row_add(l->row, PEER_ROW_TIMEOUTS, 1);
        link_failed(l, false, now);
        request_excuse(r, RPL_PEER_TIMEOUT);
    }
}
