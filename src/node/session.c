#include "node/session.h"
#include "node/answer.h"
#include "node/conns.h"
#include "node/dialog.h"
#include "node/pending.h"
#include "node/serve.h"
#include "node/watch.h"
#include "node/worker.h"
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/*
 * Bytes: only while more than this of a value is missing the kernel reads straight into the item,
 * and then leaves half of it over, so that the end of the value comes in one read with what follows
 * it.
 */
#define DIRECT_MIN 8192u

/* Bytes: what a worker's connections may keep however small read_buf_mem_limit is. */
#define READ_SHARE_MIN 16384u

/* Where session_rx_space() sent the bytes. */
enum rx_target { RX_NOWHERE, RX_INPUT, RX_ITEM };

struct session {
    struct dialog dialog;
    struct conn_row *row;
    void *driver;
    struct session *watching_next; /* in the worker's list of those that watch */
    size_t rx_room;     /* bytes offered by session_rx_space() */
    size_t in_counted;  /* what READ_BUF_BYTES holds of us */
    size_t out_counted; /* what RESP_BUF_BYTES holds of us */
    enum rx_target rx_target;
    bool ended; /* the peer sends no more */
};
_Static_assert(sizeof(struct session) <= 320, "an idle connection is small");

struct session *
session_new(struct worker *w, enum session_accepts accepts, struct conn_row *row)
{
    struct session *s = calloc(1, sizeof *s);

    assert(w);
    if (s) {
        s->dialog.worker = w;
        s->dialog.accepts = accepts;
        if (accepts == SESSION_PEER) {
            s->dialog.speaks = DIALOG_PEER;
            s->dialog.serve = serve_new();
            if (!s->dialog.serve) {
                free(s);
                return NULL;
            }
        }
        s->dialog.active = w->now;
        s->row = row;
    }
    return s;
}

struct session *
session_new_datagram(struct worker *w, struct conn_row *row)
{
    struct session *s = session_new(w, SESSION_AUTO, row);

    if (s) {
        s->dialog.is_datagram = true;
    }
    return s;
}

bool
session_is_datagram(const struct session *s)
{
    return s->dialog.is_datagram;
}

bool
session_awaits(const struct session *s)
{
    return s->dialog.wait != WAIT_NOTHING;
}

bool
session_is_begun(const struct session *s)
{
    return s->dialog.begun != BEGUN_NOTHING;
}

/* Adds the change of one buffer's size to the two gauges that tell of it. */
static void
gauge_follow(struct metrics *m, enum metric count, enum metric bytes, size_t *counted, size_t is)
{
    if (*counted == is) {
        return;
    }
    metric_add(m, count, (int64_t)(is > 0) - (int64_t)(*counted > 0));
    metric_add(m, bytes, (int64_t)is - (int64_t)*counted);
    *counted = is;
}

static void
session_account(struct session *s)
{
    struct dialog *d = &s->dialog;
    struct metrics *m = &d->worker->metrics;

    gauge_follow(m, M_READ_BUFS, M_READ_BUF_BYTES, &s->in_counted, d->in.own.cap);
    gauge_follow(m, M_RESP_BUFS, M_RESP_BUF_BYTES, &s->out_counted, d->out.heap_bytes);
}

/* Gives the worker's buffers back, if this session holds them. */
static void
session_release(struct session *s)
{
    struct worker *w = s->dialog.worker;

    if (worker_holder(w) == s) {
        worker_set_holder(w, NULL);
        answer_reset(w);
    }
}

struct session *
session_of(struct dialog *d)
{
    return (struct session *)((char *)d - offsetof(struct session, dialog));
}

void
session_answered(struct session *s)
{
    struct worker *w = s->dialog.worker;
    size_t n = 0;

    dialog_answered(&s->dialog);
    if (!worker_holder(w)) {
        /* One piece costs the kernel less than many. */
        n = txq_gather(&s->dialog.out, &w->txq, w->tx, WORKER_TX_BYTES - ANSWER_ROOM);
    }
    if (n > 0) {
        worker_set_holder(w, s);
        w->tx_used = n;
        w->tx_queued = n;
    }
}

void
session_set_driver(struct session *s, void *driver)
{
    s->driver = driver;
}

void *
session_driver(const struct session *s)
{
    return s->driver;
}

static void
session_unwatch(struct session *s)
{
    struct session **at = &s->dialog.worker->watching;

    while (*at != s) {
        assert(*at);
        at = &(*at)->watching_next;
    }
    *at = s->watching_next;
    watcher_free(s->dialog.watcher);
    s->dialog.watcher = NULL;
}

void
session_free(struct session *s)
{
    if (!s) {
        return;
    }
    if (s->dialog.watcher) {
        session_unwatch(s);
    }
    dialog_fini(&s->dialog);
    serve_free(s->dialog.worker, s->dialog.serve);
    session_account(s);
    session_release(s);
    free(s);
}

void
session_reset(struct session *s)
{
    dialog_reset(&s->dialog);
    session_account(s);
    session_release(s);
    s->ended = false;
}

/* What "stats conns" calls the state between two turns. */
static enum conn_state
session_state(const struct session *s)
{
    const struct dialog *d = &s->dialog;

    if (d->closing) {
        return CONN_CLOSING;
    }
    if (d->watcher) {
        return CONN_WATCH;
    }
    if (d->out.bytes > 0) {
        return CONN_MWRITE;
    }
    if (d->pending || d->waiting) {
        return CONN_NREAD;
    }
    if (d->swallow > 0) {
        return CONN_SWALLOW;
    }
    return d->in.rest.len > 0 ? CONN_WAITING : CONN_READ;
}

bool
session_park(struct session *s)
{
    struct dialog *d = &s->dialog;
    bool ok = true;

    assert(!worker_holder(d->worker) || worker_holder(d->worker) == s);
    if (!input_keep(&d->in)) {
        dialog_fail(d, M_READ_BUF_OOM);
        ok = false;
    }
    if (!txq_keep(&d->out, &d->worker->txq)) {
        dialog_fail(d, M_RESP_BUF_OOM);
        ok = false;
    }
    session_release(s);
    session_account(s);
    if (s->row) {
        atomic_store_explicit(&s->row->state, session_state(s), memory_order_relaxed);
    }
    return ok;
}

/*
 * True if there is memory for what is left of the input when the turn ends: read_buf_mem_limit is
 * that of all connections and shared out among the workers, as in memcached.
 */
static bool
session_may_keep(const struct session *s)
{
    const struct worker *w = s->dialog.worker;
    const struct settings *set = w->node->settings;
    size_t share, others;

    if (set->net.read_buf_mem_limit == 0 || s->dialog.in.rest.len == 0) {
        return true;
    }
    share = set->net.read_buf_mem_limit / (size_t)set->net.threads;
    share = share < READ_SHARE_MIN ? READ_SHARE_MIN : share;
    others = (size_t)metric_get(&w->metrics, M_READ_BUF_BYTES) - WORKER_RX_BYTES - s->in_counted;
    return others + s->dialog.in.rest.len <= share;
}

/* One turn of work on the worker's buffers. */
static void
session_run(struct session *s, usec_t now)
{
    struct worker *w = s->dialog.worker;
    bool watched = s->dialog.watcher != NULL;

    if (now != w->now) {
        worker_turn(w, now);
    }
    if (s->row) {
        atomic_store_explicit(&s->row->state, CONN_PARSE_CMD, memory_order_relaxed);
        atomic_store_explicit(&s->row->last_cmd, now, memory_order_relaxed);
    }
    worker_look(w);
    w->client = (struct worker_client){
        .fd = s->row ? s->row->fd : -1,
        .is_datagram = s->dialog.is_datagram,
        .out = &s->dialog.out,
    };
    dialog_run(&s->dialog);
    if (!session_may_keep(s)) {
        dialog_starve(&s->dialog);
    }
    w->client = (struct worker_client){ .fd = -1 };
    if (s->dialog.watcher && !watched) {
        s->watching_next = w->watching;
        w->watching = s;
    }
}

/*
 * Room in the item whose value is being received: to the end of the piece that the next byte is in.
 * {NULL, 0}: there is no memory for that piece; bytes that come all the same find out for good.
 */
static struct iovec
session_item_space(struct session *s)
{
    struct worker *w = s->dialog.worker;
    struct value_cursor *v = &s->dialog.pending->cursor;
    size_t n, most = v->left - DIRECT_MIN / 2;
    void *room;

    if (!store_extend(w->ctx, v)) {
        return (struct iovec){ 0 };
    }
    room = value_cursor_span(v, w->node->store, &n);
    return (struct iovec){ .iov_base = room, .iov_len = n < most ? n : most };
}

bool
session_wants_more(const struct session *s)
{
    const struct dialog *d = &s->dialog;

    return !d->closing && !s->ended && !d->work && d->wait == WAIT_NOTHING &&
           d->out.bytes < ANSWER_QUEUE_MAX;
}

struct iovec
session_rx_space(struct session *s)
{
    struct dialog *d = &s->dialog;
    struct worker *w = d->worker;
    struct iovec room = { 0 };

    assert(!worker_holder(w) || worker_holder(w) == s);
    s->rx_target = RX_NOWHERE;
    if (session_wants_more(s)) {
        if (d->pending && d->in.rest.len == 0 && d->pending->cursor.left > DIRECT_MIN) {
            s->rx_target = RX_ITEM;
            room = session_item_space(s);
        }
        if (!room.iov_base) {
            s->rx_target = RX_INPUT;
            room = input_space(&d->in, w->rx, WORKER_RX_BYTES);
            if (!room.iov_base) {
                dialog_fail(d, M_READ_BUF_OOM);
            }
        }
    }
    s->rx_room = room.iov_len;
    return room;
}

void
session_rx(struct session *s, size_t n, usec_t now)
{
    struct dialog *d = &s->dialog;
    struct worker *w = d->worker;

    assert(n <= s->rx_room);
    if (n == 0) {
        return;
    }
    assert(!d->closing && !s->ended && (!worker_holder(w) || worker_holder(w) == s));
    worker_set_holder(w, s);
    metric_add(&w->metrics, M_BYTES_READ, (int64_t)n);
    if (s->rx_target == RX_ITEM) {
        assert(d->pending && n < d->pending->cursor.left);
        value_cursor_advance(&d->pending->cursor, w->node->store, n);
        d->active = now;
    } else {
        input_read(&d->in, w->rx, n);
    }
    if (d->serve) {
        serve_heard(d->serve, now);
    }
    s->rx_room = 0;
    session_run(s, now);
}

void
session_rx_end(struct session *s)
{
    s->ended = true;
}

bool
session_has_work(const struct session *s)
{
    return s->dialog.work;
}

void
session_resume(struct session *s, usec_t now)
{
    struct worker *w = s->dialog.worker;

    if (s->dialog.work) {
        assert(!worker_holder(w) || worker_holder(w) == s);
        worker_set_holder(w, s);
        session_run(s, now);
    }
}

int
session_tx(struct session *s, struct iovec *iov, int max)
{
    struct dialog *d = &s->dialog;

    /* What was answered before goes before the first line. */
    if (d->watcher && d->out.bytes == 0) {
        return watcher_iov(d->watcher, iov, max);
    }
    if (d->serve) {
        return serve_tx(d, iov, max);
    }
    return txq_iov(&d->out, &d->worker->txq, iov, max);
}

void
session_tx_done(struct session *s, size_t n)
{
    struct txq *out = &s->dialog.out;
    struct worker *w = s->dialog.worker;

    if (s->dialog.watcher && out->bytes == 0) {
        watcher_done(s->dialog.watcher, n);
    } else if (s->dialog.serve) {
        serve_tx_done(&s->dialog, n);
    } else {
        txq_done(out, &w->txq, n);
    }
    metric_add(&w->metrics, M_BYTES_WRITTEN, (int64_t)n);
    if (out->lent_bytes == 0 && worker_holder(w) == s) {
        answer_reset(w);
    }
}

size_t
session_tx_bytes(const struct session *s)
{
    return s->dialog.out.bytes;
}

void
session_tx_drop(struct session *s)
{
    struct worker *w = s->dialog.worker;

    txq_drop(&s->dialog.out, &w->txq);
    if (worker_holder(w) == s) {
        answer_reset(w);
    }
}

bool
session_is_over(const struct session *s)
{
    const struct dialog *d = &s->dialog;

    if (d->out.bytes > 0 || d->out.holes > 0 || (d->serve && serve_owes(d->serve) > 0)) {
        return false;
    }
    return d->closing || (s->ended && !d->work && d->wait == WAIT_NOTHING);
}

bool
session_is_broken(const struct session *s)
{
    return s->dialog.broken;
}

usec_t
session_last_active(const struct session *s)
{
    return s->dialog.active;
}

bool
session_is_busy(const struct session *s)
{
    const struct dialog *d = &s->dialog;

    return d->pending || d->waiting || d->swallow > 0 || d->out.bytes > 0 || d->watcher ||
           d->requests || d->serve;
}

bool
session_is_shown(const struct session *s)
{
    return s->dialog.watcher || s->dialog.dump;
}

struct session *
session_next_fed(struct worker *w, struct session *after)
{
    struct session *s = after ? after->watching_next : w->watching;

    while (s && !watcher_is_fed(s->dialog.watcher)) {
        s = s->watching_next;
    }
    return s;
}
