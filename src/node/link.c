#include "node/link.h"
#include "node/forward.h"
#include "node/peers.h"
#include "node/worker.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REDIAL_FIRST (20 * USEC_PER_MSEC)  /* after a connection that stood */
#define REDIAL_BASE  (100 * USEC_PER_MSEC) /* after one that could not be made; times 1.5 each */
#define REDIAL_MAX   (5 * USEC_PER_SEC)

struct link *
link_new(struct peers *p, const struct view_node *n, usec_t now)
{
    struct link *l = calloc(1, sizeof *l);

    if (l) {
        l->peers = p;
        l->node = n->info.id;
        l->addr = n->info.addr;
        l->heard = now;
        l->row = peer_rows_open(p->worker->node->peer_rows, l->node, p->worker->index, now);
    }
    return l;
}

void
link_free(struct link *l)
{
    struct peers *p;

    if (!l) {
        return;
    }
    assert(!l->first && !l->making && l->state == LINK_DOWN);
    p = l->peers;
    outbox_drop(&l->out, &p->pool);
    lane_drop(&l->lane, p->worker->ctx);
    input_drop(&l->in);
    peer_rows_close(p->worker->node->peer_rows, l->row);
    free(l);
}

/* -- what it is doing, for "stats peers" ------------------------------------------------------- */

void
link_show(struct link *l, usec_t now)
{
    static const enum peer_row_state of_state[] = {
        [LINK_DOWN] = PEER_ROW_CLOSED, [LINK_DIALING] = PEER_ROW_DIALING, [LINK_UP] = PEER_ROW_UP,
    };
    enum peer_row_state state = l->breaker.state == BREAKER_OPEN   ? PEER_ROW_OPEN
                                : l->breaker.state == BREAKER_HALF ? PEER_ROW_HALF
                                                                   : of_state[l->state];

    peer_row_enter(l->row, state, now);
    peer_row_set(l->row, PEER_ROW_QUEUED_BYTES, (int64_t)(l->out.unsent + l->lane.bytes));
    peer_row_set(l->row, PEER_ROW_IN_FLIGHT, l->flight);
}

/* -- sending ----------------------------------------------------------------------------------- */

bool
link_lets(struct link *l, usec_t now)
{
    bool reachable = l->state == LINK_UP || l->failures == 0;

    return reachable && !l->is_gone && l->out.unsent < LINK_QUEUE_MAX &&
           l->flight < LINK_FLIGHT_MAX && breaker_lets(&l->breaker, now);
}

void
link_touch(struct link *l)
{
    if (!l->is_dirty && l->state == LINK_UP) {
        l->is_dirty = true;
        l->dirty_next = l->peers->dirty;
        l->peers->dirty = l;
    }
}

/* Puts a request among those in flight, which are in the order of their deadlines. */
static void
flight_add(struct link *l, struct request *r)
{
    struct request *before = l->last;

    while (before && before->deadline > r->deadline) {
        before = before->prev;
    }
    r->prev = before;
    r->next = before ? before->next : l->first;
    if (r->next) {
        r->next->prev = r;
    } else {
        l->last = r;
    }
    if (before) {
        before->next = r;
    } else {
        l->first = r;
    }
    l->flight++;
    if (r->deadline < l->peers->due) {
        l->peers->due = r->deadline;
    }
}

void
link_take_off(struct link *l, struct request *r)
{
    if (r->prev) {
        r->prev->next = r->next;
    } else {
        l->first = r->next;
    }
    if (r->next) {
        r->next->prev = r->prev;
    } else {
        l->last = r->prev;
    }
    l->flight--;
}

void
link_renew(struct link *l, struct request *r, usec_t deadline)
{
    link_take_off(l, r);
    r->deadline = deadline;
    flight_add(l, r);
}

bool
link_has_sent(const struct link *l, const struct request *r)
{
    return r->position < l->position - l->out.unsent;
}

/* Is there room for so many bytes more in the frame that is being made for this waiter? */
static bool
making_fits(const struct link *l, const struct dialog *waiter, size_t n)
{
    const struct request *r = l->making;

    return r && r->waiter == waiter && r->count < BATCH_MAX && r->len + n <= OUTBOX_BLOCK &&
           r->at + r->len + n <= OUTBOX_BLOCK;
}

char *
link_room(struct link *l, struct dialog *waiter, size_t n, usec_t now)
{
    struct request *r;

    assert(PEER_HEADER + n <= OUTBOX_BLOCK);
    if (making_fits(l, waiter, n)) {
        return l->making->block->bytes + l->making->at + l->making->len;
    }
    link_finish(l);
    if (!outbox_reserve(&l->out, &l->peers->pool, PEER_HEADER + n)) {
        return NULL;
    }
    r = peers_request_new(l->peers);
    if (!r) {
        return NULL;
    }
    r->link = l;
    r->waiter = waiter;
    r->block = l->out.last;
    outbox_hold(r->block);
    r->at = r->block->used;
    r->len = PEER_HEADER;
    r->deadline = now + SETTINGS_LIVE(l->peers->worker->node->settings->cluster.peer_timeout);
    l->making = r;
    return r->block->bytes + r->at + r->len;
}

struct request *
link_add(struct link *l, size_t n, struct txq_segment *hole)
{
    struct request *r = l->making;

    assert(r && r->count < BATCH_MAX);
    r->hole[r->count++] = hole;
    r->missing++;
    r->len += (uint32_t)n;
    peer_row_add(l->row, PEER_ROW_SENT, 1);
    return r;
}

/* Writes the frame's header; the rest of it is there. */
static void
frame_head(struct link *l, struct request *r)
{
    const struct worker *w = l->peers->worker;
    struct peer_frame f = {
        .type = PEER_COMMANDS,
        .body_len = r->len - PEER_HEADER,
        .id = r->id,
        .ring = w->view->ring_digest,
        .count = r->count,
        .deadline_ms = (uint32_t)(forward_patience(w) / USEC_PER_MSEC),
    };

    peer_write_header(&f, r->block->bytes + r->at);
    r->position = l->position;
    l->position += r->len;
    outbox_add(&l->out, r->len);
    flight_add(l, r);
    link_touch(l);
}

void
link_finish(struct link *l)
{
    struct request *r = l->making;

    if (!r) {
        return;
    }
    l->making = NULL;
    if (r->count == 0) { /* no memory, or its only command joined another */
        r->waiter = NULL;
        peers_request_free(l->peers, r);
        return;
    }
    forward_await(r);
    frame_head(l, r);
}

bool
link_send_again(struct link *l, struct request *r)
{
    struct outbox_block *from = r->block;

    assert(!l->making);
    if (!outbox_reserve(&l->out, &l->peers->pool, r->len)) {
        return false;
    }
    memcpy(l->out.last->bytes + l->out.last->used, from->bytes + r->at, r->len);
    r->block = l->out.last;
    r->at = r->block->used;
    outbox_hold(r->block);
    outbox_release(&l->peers->pool, from);
    r->link = l;
    frame_head(l, r);
    peer_row_add(l->row, PEER_ROW_RETRIES, 1);
    return true;
}

bool
link_ping(struct link *l, usec_t now)
{
    struct peer_frame f = { .type = PEER_PING, .id = (uint64_t)now };

    assert(!l->making);
    if (!outbox_reserve(&l->out, &l->peers->pool, PEER_HEADER)) {
        return false;
    }
    peer_write_header(&f, l->out.last->bytes + l->out.last->used);
    outbox_add(&l->out, PEER_HEADER);
    l->position += PEER_HEADER;
    l->pinged = now;
    link_touch(l);
    return true;
}

/* -- the connection ---------------------------------------------------------------------------- */

node_id
link_node(const struct link *l)
{
    return l->node;
}

struct cluster_addr
link_addr(const struct link *l)
{
    return l->addr;
}

void
link_set_driver(struct link *l, void *driver)
{
    l->driver = driver;
}

void *
link_driver(const struct link *l)
{
    return l->driver;
}

bool
link_wants(const struct link *l, usec_t now)
{
    return l->state == LINK_DOWN && !l->is_gone && l->addr.port != 0 && now >= l->dial_at;
}

void
link_dialing(struct link *l, usec_t now)
{
    assert(l->state == LINK_DOWN);
    l->state = LINK_DIALING;
    link_show(l, now);
}

void
link_up(struct link *l, uint64_t nonce, usec_t now)
{
    assert(l->state == LINK_DIALING);
    l->state = LINK_UP;
    l->nonce = nonce;
    l->heard = now;
    l->pinged = 0;
    l->news_good = true;
    if (l->breaker.state == BREAKER_OPEN && l->failures > 0) {
        l->breaker = (struct breaker){ .since = now }; /* it was not there, and now it is */
    } else if (l->breaker.state == BREAKER_OPEN) {
        breaker_half(&l->breaker, now);
        (void)link_ping(l, now); /* without memory a request will be the proof */
    }
    l->failures = 0;
    peer_row_add(l->row, PEER_ROW_RECONNECTS, l->stood);
    l->stood = true;
    link_show(l, now);
    if (l->out.unsent > 0) {
        link_touch(l);
    }
}

/* When to connect again, after one that stood or after one more that could not be made. */
static usec_t
redial_at(struct link *l, bool stood, usec_t now)
{
    usec_t wait = REDIAL_BASE;

    if (stood) {
        return now + (usec_t)rng_below(&l->peers->rng, REDIAL_FIRST);
    }
    for (unsigned i = 1; i < l->failures && wait < REDIAL_MAX; i++) {
        wait += wait / 2;
    }
    wait = wait < REDIAL_MAX ? wait : REDIAL_MAX;
    return now + wait + (usec_t)rng_below(&l->peers->rng, (uint64_t)wait / 2);
}

void
link_down(struct link *l, usec_t now)
{
    struct peers *p = l->peers;
    bool stood = l->state == LINK_UP;

    assert(l->state != LINK_DOWN || l->is_gone);
    if (!stood) {
        l->failures++;
        link_failed(l, true, now);
    }
    l->dial_at = redial_at(l, stood, now);
    if (l->dial_at < p->due) {
        p->due = l->dial_at;
    }
    l->state = LINK_DOWN;
    l->pinged = 0;
    l->is_bad = false;
    peers_keep_answers(p); /* some may be here that came before what broke it */
    input_drop(&l->in);
    lane_drop(&l->lane, p->worker->ctx);
    forward_lost(l, stood && !l->is_gone, now);
    link_show(l, now);
    if (l->is_gone) {
        peers_remove(p, l);
    }
}

void
link_failed(struct link *l, bool hard, usec_t now)
{
    if (breaker_bad(&l->breaker, hard, peers_may_open(l->peers), &l->peers->rng, now)) {
        l->news_bad = true;
        metric_add(&l->peers->worker->metrics, M_BREAKER_OPENED, 1);
        link_show(l, now);
    }
}

bool
link_is_over(const struct link *l)
{
    return l->is_gone || l->is_bad;
}

/* -- bytes ------------------------------------------------------------------------------------- */

struct iovec
link_rx_space(struct link *l)
{
    return input_space(&l->in, l->peers->rx, WORKER_RX_BYTES);
}

/* One frame; false: it is none that a peer may send here. */
static bool
link_frame(struct link *l, const struct peer_frame *f, struct slice body, usec_t now)
{
    switch (f->type) {
    case PEER_ANSWERS:
        breaker_good(&l->breaker, now);
        return forward_answers(l, f, body);
    case PEER_PART:
        return forward_part(l, f, body);
    case PEER_PONG:
        l->pinged = 0;
        if (l->breaker.state == BREAKER_OPEN) {
            breaker_half(&l->breaker, now);
        }
        if (l->breaker.state == BREAKER_HALF) {
            breaker_good(&l->breaker, now); /* as good a proof as the answer to a request */
        }
        return true;
    case PEER_COMMANDS:
    case PEER_PING:
        break;
    }
    return false;
}

bool
link_rx(struct link *l, size_t n, usec_t now)
{
    enum peer_result got = PEER_OK;
    struct peer_frame f;

    input_read(&l->in, l->peers->rx, n);
    l->heard = now;
    l->news_good = true;
    while (l->in.rest.len > 0) {
        got = peer_read_frame(l->in.rest, &f);
        if (got != PEER_OK) {
            break;
        }
        if (!link_frame(l, &f, slice_of(l->in.rest.ptr + PEER_HEADER, f.body_len), now)) {
            got = PEER_MALFORMED;
            break;
        }
        l->in.rest = slice_from(l->in.rest, PEER_HEADER + f.body_len);
    }
    return got != PEER_MALFORMED;
}

bool
link_park(struct link *l)
{
    return input_keep(&l->in);
}

int
link_tx(struct link *l, struct iovec *iov, int max)
{
    const struct store *store = l->peers->worker->node->store;
    int count;

    if (l->state != LINK_UP) {
        return 0;
    }
    l->part_first = l->lane.begun;
    if (l->part_first) {
        count = lane_iov(&l->lane, store, iov, max);
        if (!lane_shown(&l->lane, iov, count)) {
            return count;
        }
        return count + outbox_iov(&l->out, iov + count, max - count);
    }
    count = outbox_iov(&l->out, iov, max);
    return lane_behind(&l->lane, store, iov, count, max, l->out.unsent);
}

void
link_tx_done(struct link *l, size_t n)
{
    struct peers *p = l->peers;
    size_t frames;

    if (l->part_first) {
        n -= lane_done(&l->lane, p->worker->ctx, n);
        outbox_done(&l->out, &p->pool, n);
        return;
    }
    frames = n < l->out.unsent ? n : l->out.unsent;
    outbox_done(&l->out, &p->pool, frames);
    n -= frames;
    if (n > 0) {
        n -= lane_done(&l->lane, p->worker->ctx, n);
    }
    assert(n == 0);
}
