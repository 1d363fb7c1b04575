#include "node/serve.h"
#include "cluster/view.h"
#include "node/answer.h"
#include "node/execute.h"
#include "node/pending.h"
#include "node/strays.h"
#include "proto/peer.h"

#include <assert.h>
#include <stdlib.h>

#define LANE_MAX      (8u << 20)  /* bytes of long values owed; more, and no frame is executed */
#define ANSWERS_BYTES (40u << 10) /* a frame of answers that has so many is sent */
#define RECEIVING_MAX 64u         /* values that come in parts at one time */

struct serve {
    struct lane     lane;
    struct pending *receiving; /* commands whose values come in parts; by frame id */
    unsigned        receiving_count;
    unsigned        executed;  /* commands of the frame at the front of the input */
    usec_t          heard;     /* when the input was read, the last of it: none has waited less */
};

/* The frame of answers that is being written. */
struct answers {
    struct dialog          *d;
    const struct peer_frame *asked;
    char                   *head;  /* where its header belongs; NULL: none is begun */
    uint64_t                start; /* answer_made() behind the header */
    uint16_t                first, count;
};

struct serve *
serve_new(void)
{
    return calloc(1, sizeof(struct serve));
}

void
serve_free(struct worker *w, struct serve *s)
{
    if (!s) {
        return;
    }
    while (s->receiving) {
        struct pending *p = s->receiving;

        s->receiving = p->next;
        pending_free(w, p);
    }
    lane_drop(&s->lane, w->ctx);
    free(s);
}

void
serve_heard(struct serve *s, usec_t now)
{
    s->heard = now;
}

size_t
serve_owes(const struct serve *s)
{
    return s->lane.bytes;
}

/* -- answers ----------------------------------------------------------------------------------- */

/* Bytes that the session owes, those that are not in its queue yet included. */
static size_t
answer_made(const struct dialog *d)
{
    return d->out.bytes + (d->worker->tx_used - d->worker->tx_queued);
}

static void
answers_begin(struct answers *a, unsigned first)
{
    struct worker *w = a->d->worker;

    a->head = w->tx + w->tx_used;
    w->tx_used += PEER_HEADER;
    a->start = answer_made(a->d);
    a->first = (uint16_t)first;
    a->count = 0;
}

/* Ends the frame, if one is begun. */
static void
answers_end(struct answers *a)
{
    struct peer_frame f = {
        .type = PEER_ANSWERS,
        .id = a->asked->id,
        .count = a->count,
        .first = a->first,
    };
    const struct view *v = a->d->worker->view;

    if (!a->head) {
        return;
    }
    f.ring = v ? v->ring_digest : 0;
    f.body_len = (uint32_t)(answer_made(a->d) - a->start);
    peer_write_header(&f, a->head);
    a->head = NULL;
}

/* Writes the answer to the i-th command. */
static void
answers_put(struct answers *a, unsigned i, const struct command *c, struct reply *r)
{
    struct dialog *d = a->d;
    struct worker *w = d->worker;
    struct peer_entry e = { .kind = PEER_ANSWER };
    size_t before;
    char *entry;

    if (a->head && (i != (unsigned)a->first + a->count ||
                    answer_made(d) - a->start > ANSWERS_BYTES ||
                    (r->pinned && answer_made(d) - a->start + r->value_len > ANSWERS_BYTES))) {
        answers_end(a);
    }
    if (!a->head) {
        answers_begin(a, i);
    }
    entry = w->tx + w->tx_used;
    w->tx_used += PEER_ENTRY;
    before = answer_made(d);
    if (r->code == RPL_HIT && r->pinned && r->value_len > PEER_INLINE_MAX) {
        e.kind = PEER_ANSWER_PARTS;
        w->tx_used += answer_head(c, r, w->tx + w->tx_used);
        e.tail = (uint8_t)answer_tail(c, r, w->tx + w->tx_used);
        w->tx_used += e.tail;
        d->lost = !lane_add(&d->serve->lane, w->ctx, a->asked->id, (uint16_t)i, r->pinned, true) ||
                  d->lost;
    } else {
        d->lost = !answer_write(w, &d->out, c, r) || d->lost;
    }
    e.len = (uint32_t)(answer_made(d) - before);
    peer_write_entry(&e, entry);
    a->count++;
}

/* It is not executed: says why. */
static void
answers_refuse(struct answers *a, unsigned i, enum peer_entry_kind why, node_id owner)
{
    struct worker *w = a->d->worker;
    struct peer_entry e = { .kind = why, .len = why == PEER_NOT_OWNER ? sizeof owner : 0 };

    if (a->head && i != (unsigned)a->first + a->count) {
        answers_end(a);
    }
    if (!a->head) {
        answers_begin(a, i);
    }
    peer_write_entry(&e, w->tx + w->tx_used);
    memcpy(w->tx + w->tx_used + PEER_ENTRY, &owner, e.len);
    w->tx_used += PEER_ENTRY + e.len;
    a->count++;
}

/* -- commands ---------------------------------------------------------------------------------- */

/* By our own view of the ring; *owner is who is it otherwise. */
static bool
serve_owns(const struct worker *w, const struct command *c, node_id *owner)
{
    const struct view *v = w->view;
    uint16_t acting;

    *owner = 0;
    if (!v || c->op == OP_FLUSH_ALL) {
        return v != NULL;
    }
    acting = view_acting(v, c->key, c->hash);
    if (acting != VIEW_NOBODY) {
        *owner = v->node[acting].info.id;
    }
    return acting == v->self;
}

/* A value that comes in parts: true if the command is answered already, for it cannot be stored. */
static bool
serve_reserve(struct dialog *d, const struct command *c, uint64_t id, struct reply *r)
{
    struct worker *w = d->worker;
    struct serve *s = d->serve;
    struct pending *p = NULL;
    struct item *item = execute_reserve(w, c, r);

    if (!item) {
        return true;
    }
    if (s->receiving_count < RECEIVING_MAX) {
        p = pending_new(w, c, item);
    }
    if (!p) {
        store_drop(w->ctx, item);
        r->code = RPL_NO_MEMORY;
        return true;
    }
    p->id = id;
    p->next = s->receiving;
    s->receiving = p;
    s->receiving_count++;
    return false;
}

/* The sender has no room for the value, or found it too large: so it is for us. */
static void
serve_refused(struct worker *w, const struct command *c, struct reply *r)
{
    struct item *item = execute_reserve(w, c, r);

    if (item) {
        store_drop(w->ctx, item);
        execute_starved(w, c, r);
    }
}

static void
serve_command(struct answers *a, unsigned i, struct command *c, enum peer_value value, bool check)
{
    struct worker *w = a->d->worker;
    struct reply r = { 0 };
    node_id owner;

    if (check && !serve_owns(w, c, &owner)) {
        answers_refuse(a, i, PEER_NOT_OWNER, owner);
        return;
    }
    metric_add(&w->metrics, M_SERVED, 1);
    if (c->op != OP_FLUSH_ALL) {
        strays_check(w, c);
    }
    switch (value) {
    case PEER_VALUE_NONE:
    case PEER_VALUE_HERE:
        execute(w, c, NULL, &r);
        break;
    case PEER_VALUE_PARTS:
        if (!serve_reserve(a->d, c, a->asked->id, &r)) {
            return;
        }
        break;
    case PEER_VALUE_REFUSED:
        serve_refused(w, c, &r);
        break;
    }
    answers_put(a, i, c, &r);
}

/* Reads the commands into the batch and asks memory for their buckets; false: malformed. */
static bool
serve_parse(struct worker *w, const struct peer_frame *f, struct slice body,
            enum peer_value value[BATCH_MAX])
{
    if (f->count == 0 || f->count > BATCH_MAX) {
        return false;
    }
    for (unsigned i = 0; i < f->count; i++) {
        struct command *c = &w->batch[i];

        if (peer_read_command(&body, c, &value[i]) != PEER_OK ||
            (value[i] == PEER_VALUE_PARTS && (f->count > 1 || c->value_len == 0))) {
            return false;
        }
        c->hash = store_hash(c->key);
        store_prefetch_bucket(w->node->store, c->hash);
    }
    return body.len == 0;
}

/* Executes a frame of commands, or what is left of it. */
static enum serve_end
serve_commands(struct dialog *d, const struct peer_frame *f, struct slice body)
{
    struct worker *w = d->worker;
    struct serve *s = d->serve;
    struct answers a = { .d = d, .asked = f };
    enum peer_value value[BATCH_MAX];
    bool check = !w->view || f->ring != w->view->ring_digest;

    if (!serve_parse(w, f, body, value)) {
        d->closing = d->broken = true;
        return SERVE_GO;
    }
    for (unsigned i = s->executed; i < f->count; i++) {
        store_prefetch_item(w->node->store, w->batch[i].hash);
    }
    for (; s->executed < f->count; s->executed++) {
        if (!answer_has_room(w, &d->out) || s->lane.bytes > LANE_MAX) {
            answers_end(&a);
            return SERVE_FULL;
        }
        if (w->now - s->heard > (usec_t)f->deadline_ms * USEC_PER_MSEC) {
            answers_refuse(&a, s->executed, PEER_EXPIRED, 0);
            continue;
        }
        serve_command(&a, s->executed, &w->batch[s->executed], value[s->executed], check);
    }
    answers_end(&a);
    s->executed = 0;
    return SERVE_GO;
}

/* -- parts ------------------------------------------------------------------------------------- */

static struct pending **
serve_find(struct serve *s, uint64_t id)
{
    struct pending **at = &s->receiving;

    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

/* The value is whole, or there is no memory for more of it: answers. */
static void
serve_value_end(struct dialog *d, const struct peer_frame *f, struct pending **at, bool whole)
{
    struct worker *w = d->worker;
    struct answers a = { .d = d, .asked = f };
    struct pending *p = *at;
    struct item *item = p->item;
    struct reply r = { 0 };

    *at = p->next;
    d->serve->receiving_count--;
    p->item = NULL;
    if (whole) {
        execute(w, &p->command, item, &r);
    } else {
        store_drop(w->ctx, item);
        execute_starved(w, &p->command, &r);
    }
    answers_put(&a, 0, &p->command, &r);
    answers_end(&a);
    pending_free(w, p);
}

static void
serve_part(struct dialog *d, const struct peer_frame *f, struct slice body)
{
    struct pending **at = serve_find(d->serve, f->id);
    struct pending *p = *at;
    bool last = (f->flags & PEER_LAST) != 0;

    if (!p) {
        return; /* it was refused already */
    }
    if (body.len > p->cursor.left || last != (body.len == p->cursor.left)) {
        d->closing = d->broken = true;
        return;
    }
    if (!pending_write(d->worker, &p->cursor, &body)) {
        serve_value_end(d, f, at, false);
    } else if (last) {
        serve_value_end(d, f, at, true);
    }
}

/* -- frames ------------------------------------------------------------------------------------ */

static void
serve_ping(struct dialog *d, const struct peer_frame *f)
{
    struct worker *w = d->worker;
    struct peer_frame pong = { .type = PEER_PONG, .id = f->id };

    peer_write_header(&pong, w->tx + w->tx_used);
    w->tx_used += PEER_HEADER;
}

enum serve_end
serve_frame(struct dialog *d)
{
    struct peer_frame f = { 0 };
    enum serve_end end = SERVE_GO;
    struct slice body;

    switch (peer_read_frame(d->in.rest, &f)) {
    case PEER_OK:
        break;
    case PEER_MORE:
        return SERVE_MORE;
    case PEER_MALFORMED:
        d->closing = d->broken = true;
        return SERVE_GO;
    }
    body = slice_of(d->in.rest.ptr + PEER_HEADER, f.body_len);
    switch (f.type) {
    case PEER_COMMANDS:
        end = serve_commands(d, &f, body);
        break;
    case PEER_PART:
        serve_part(d, &f, body);
        break;
    case PEER_PING:
        serve_ping(d, &f);
        break;
    case PEER_ANSWERS:
    case PEER_PONG:
        d->closing = d->broken = true;
        break;
    }
    if (end == SERVE_GO && !d->closing) {
        d->in.rest = slice_from(d->in.rest, PEER_HEADER + f.body_len);
    }
    return end;
}

/* -- bytes ------------------------------------------------------------------------------------- */

int
serve_tx(struct dialog *d, struct iovec *iov, int max)
{
    struct worker *w = d->worker;
    struct lane *l = &d->serve->lane;
    int count;

    d->part_first = l->begun;
    if (d->part_first) {
        count = lane_iov(l, w->node->store, iov, max);
        if (!lane_shown(l, iov, count) || count == max) {
            return count;
        }
        return count + txq_iov(&d->out, &w->txq, iov + count, max - count);
    }
    count = txq_iov(&d->out, &w->txq, iov, max);
    return lane_behind(l, w->node->store, iov, count, max, d->out.bytes);
}

void
serve_tx_done(struct dialog *d, size_t n)
{
    struct worker *w = d->worker;
    size_t answers;

    if (d->part_first) {
        n -= lane_done(&d->serve->lane, w->ctx, n);
        txq_done(&d->out, &w->txq, n);
        return;
    }
    answers = n < d->out.bytes ? n : d->out.bytes;
    txq_done(&d->out, &w->txq, answers);
    if (n > answers) {
        answers += lane_done(&d->serve->lane, w->ctx, n - answers);
    }
    assert(n == answers);
}
