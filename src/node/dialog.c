#include "node/dialog.h"
#include "node/answer.h"
#include "node/dump.h"
#include "node/execute.h"
#include "node/forward.h"
#include "node/pending.h"
#include "node/remote.h"
#include "node/route.h"
#include "node/serve.h"
#include "node/strays.h"
#include "node/watch.h"
#include "proto/binary.h"
#include <assert.h>

/* Bytes: a value that is not here yet, this short, is waited for; a longer one is streamed into its
 * item. */
#define WAIT_MAX 2048u
/* The same if the command belongs to another node: a longer one is sent alone, between waits. */
#define WAIT_MAX_FORWARD 32768u

/* Why parsing stopped. */
enum batch_end {
    BATCH_GO,     /* it did not */
    BATCH_MORE,   /* the input ends within a command */
    BATCH_STREAM, /* the value of the last command is to be streamed */
    BATCH_SKIP,   /* what follows the last command is to be swallowed */
    BATCH_CLOSE,  /* the input cannot be followed any further */
};

void
dialog_fini(struct dialog *d)
{
    struct worker *w = d->worker;

    forward_abandon(d);
    pending_free(w, d->pending);
    d->pending = NULL;
    dump_free(d->dump);
    d->dump = NULL;
    txq_drop(&d->out, &w->txq);
    input_drop(&d->in);
    d->swallow = 0;
    d->work = false;
    d->wait = WAIT_NOTHING;
    d->begun = BEGUN_NOTHING;
}

void
dialog_reset(struct dialog *d)
{
    dialog_fini(d);
    d->parser = (struct text_parser){ 0 };
    d->speaks = DIALOG_UNKNOWN;
    d->waiting = false;
    d->closing = false;
    d->broken = false;
    d->lost = false;
    d->line_failed = false;
    d->line_loud = false;
    d->flush_failed = false;
    d->expect = 0;
}

void
dialog_fail(struct dialog *d, enum metric reason)
{
    struct metrics *m = &d->worker->metrics;

    metric_add(m, reason, 1);
    metric_add(m, M_MALLOC_FAILS, 1);
    dialog_fini(d);
    /* What was written for the queue but is not in it yet goes with it. */
    d->worker->tx_used = d->worker->tx_queued;
    d->closing = true;
    d->broken = true;
}

void
dialog_starve(struct dialog *d)
{
    static const char text[] = "SERVER_ERROR out of memory reading request\r\n";
    struct worker *w = d->worker;

    metric_add(&w->metrics, M_READ_BUF_OOM, 1);
    pending_free(w, d->pending);
    d->pending = NULL;
    input_drop(&d->in);
    d->swallow = 0;
    d->work = false;
    d->closing = true;
    if (WORKER_TX_BYTES - w->tx_used >= sizeof text) {
        memcpy(w->tx + w->tx_used, text, sizeof text - 1);
        w->tx_used += sizeof text - 1;
        if (!answer_queue(w, &d->out)) {
            dialog_fail(d, M_RESP_BUF_OOM);
        }
    }
}

void
dialog_reply(struct dialog *d, const struct command *c, const struct reply *r)
{
    bool close = r->code == RPL_CLOSE || c->close_after;

    if (!answer_write(d->worker, &d->out, c, r)) {
        dialog_fail(d, M_RESP_BUF_OOM);
    }
    if (close) {
        d->closing = true;
    }
}

void
dialog_answered(struct dialog *d)
{
    /* Answers of nothing at its front leave the queue, which may have nothing to send. */
    txq_done(&d->out, &d->worker->txq, 0);
    if (d->lost) {
        dialog_fail(d, M_RESP_BUF_OOM);
    } else if (d->wait == WAIT_ROOM || (d->wait == WAIT_ALL && !d->requests)) {
        d->wait = WAIT_NOTHING;
        d->work = true;
    }
}

/*
 * True if one more command may be answered now.  What other nodes owe counts with what it may come
 * to: a client that asks for many long values and does not read them would have us keep them all.
 */
static inline bool
dialog_has_room(const struct dialog *d)
{
    const struct worker *w = d->worker;
    size_t owed = d->out.bytes + (w->tx_used - w->tx_queued);

    return answer_has_room(w, &d->out) &&
           (d->out.holes == 0 || owed + d->out.holes * dialog_expect(d) < ANSWER_QUEUE_MAX);
}

/* The connection becomes what its last command made of it: a watcher, or the reader of a list. */
static void
dialog_take_over(struct dialog *d)
{
    struct worker *w = d->worker;

    d->watcher = w->made_watcher;
    d->dump = w->made_dump;
    w->made_watcher = NULL;
    w->made_dump = NULL;
}

/* Answers with some more of the keys. */
static void
dialog_dump(struct dialog *d)
{
    static const struct command line = { .protocol = PROTO_TEXT };
    struct worker *w = d->worker;
    struct reply r = { .code = RPL_BLOB };
    bool done = false;

    if (!dump_step(d->dump, w, &done)) {
        dialog_fail(d, M_RESP_BUF_OOM);
        return;
    }
    r.value = slice_of(w->blob.ptr, w->blob.len);
    if (done) {
        dump_free(d->dump);
        d->dump = NULL;
    }
    dialog_reply(d, &line, &r);
}

/* -- values ----------------------------------------------------------------------------------- */

/* True for commands whose value becomes an item's. */
static inline bool
command_stores(const struct command *c)
{
    return (c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET;
}

/* Bytes from the end of the command's line to the next command. */
static inline uint64_t
command_trail(const struct command *c)
{
    return (uint64_t)c->value_len + (c->protocol == PROTO_BINARY ? 0 : 2);
}

/*
 * Gives a command its value, if all of it is here.  A text value that does not end in "\r\n" leaves
 * c->value.ptr NULL.
 */
static enum batch_end
value_take(struct dialog *d, struct command *c, const struct worker_mark *mark)
{
    uint64_t trail = command_trail(c);

    assert(!d->pending && d->swallow == 0);
    if (trail <= d->in.rest.len) {
        const char *end = d->in.rest.ptr + c->value_len;

        c->value = slice_of(d->in.rest.ptr, c->value_len);
        if (c->protocol != PROTO_BINARY && (end[0] != '\r' || end[1] != '\n')) {
            c->value = (struct slice){ 0 };
        }
        d->in.rest = slice_from(d->in.rest, (size_t)trail);
        return BATCH_GO;
    }
    c->value = (struct slice){ 0 };
    if (d->is_datagram ||
        (c->op != OP_ERROR &&
         trail <= (mark->place == ROUTE_HERE ? WAIT_MAX : WAIT_MAX_FORWARD))) {
        d->in.rest = mark->in;
        d->parser = mark->parser;
        d->waiting = true;
        return BATCH_MORE;
    }
    if (command_stores(c)) {
        return BATCH_STREAM;
    }
    if (c->op != OP_ERROR) { /* nobody authenticates with that much */
        c->op = OP_ERROR;
        c->error = RPL_BIN_AUTH;
    }
    d->swallow = trail - d->in.rest.len;
    d->in.rest = (struct slice){ 0 };
    return BATCH_SKIP;
}

/* Throws input away as long as some is owed; false if that was all there was. */
static bool
dialog_swallow(struct dialog *d)
{
    size_t n = d->swallow < d->in.rest.len ? (size_t)d->swallow : d->in.rest.len;

    d->in.rest = slice_from(d->in.rest, n);
    d->swallow -= n;
    d->active = d->worker->now;
    return d->swallow == 0;
}

/* Begins to receive a value into an item of its own. */
static void
dialog_reserve(struct dialog *d, const struct command *c, uint16_t place)
{
    struct worker *w = d->worker;
    struct reply r = { 0 };
    struct item *item =
        place == ROUTE_HERE ? execute_reserve(w, c, &r) : execute_hold(w, c);

    if (!item && place != ROUTE_HERE) {
        remote_send(d, c, place, PEER_VALUE_REFUSED, NULL);
        d->swallow = command_trail(c);
        return;
    }
    if (item) {
        d->pending = pending_new(w, c, item);
        if (d->pending) {
            return;
        }
        store_drop(w->ctx, item);
        metric_add(&w->metrics, M_MALLOC_FAILS, 1);
        r.code = RPL_NO_MEMORY;
    }
    dialog_reply(d, c, &r);
    d->swallow = command_trail(c);
}

/* Gives up receiving a value that there is no memory for; false if more of it is to come. */
static bool
dialog_give_up(struct dialog *d)
{
    struct worker *w = d->worker;
    struct pending *p = d->pending;
    const struct command *c = &p->command;
    struct reply r = { 0 };

    d->pending = NULL;
    d->swallow = command_trail(c) - (c->value_len - p->cursor.left);
    store_drop(w->ctx, p->item); /* others may need what it has: the removal below, for one */
    p->item = NULL;
    if (route_command(w, c) != ROUTE_HERE) {
        remote_send(d, c, route_command(w, c), PEER_VALUE_REFUSED, NULL);
    } else {
        execute_starved(w, c, &r);
        dialog_reply(d, c, &r);
    }
    pending_free(w, p);
    return dialog_swallow(d);
}

/* The value of a command is whole, in item; NULL: it did not end as it should.  Takes item. */
static void
dialog_execute_pending(struct dialog *d, const struct command *c, struct item *item)
{
    uint16_t place = route_command(d->worker, c);
    struct reply r = { 0 };

    if (item && place != ROUTE_HERE) {
        if (c->value_len > PEER_INLINE_MAX) {
            remote_long(d, c, place, item);
        } else {
            remote_send(d, c, place, PEER_VALUE_HERE, item);
        }
        return;
    }
    if (item) {
        strays_check(d->worker, c);
        execute(d->worker, c, item, &r);
    } else {
        execute_bad_chunk(d->worker, c, &r);
    }
    dialog_reply(d, c, &r);
}

/* Goes on receiving a value, and executes its command when it is whole; false if it is not. */
static bool
dialog_stream(struct dialog *d)
{
    struct worker *w = d->worker;
    struct pending *p = d->pending;
    struct command *c = &p->command;
    struct item *item = p->item;

    assert(item && d->swallow == 0);
    d->active = d->worker->now;
    if (!pending_write(w, &p->cursor, &d->in.rest)) {
        return dialog_give_up(d);
    }
    if (p->cursor.left > 0) {
        return false;
    }
    if (remote_must_settle(d) || (c->value_len > PEER_INLINE_MAX &&
                                  route_command(w, c) != ROUTE_HERE && remote_must_wait(d))) {
        return false;
    }
    if (c->protocol != PROTO_BINARY) {
        if (d->in.rest.len < 2) {
            return false;
        }
        if (d->in.rest.ptr[0] != '\r' || d->in.rest.ptr[1] != '\n') {
            item = NULL;
        }
        d->in.rest = slice_from(d->in.rest, 2);
    }
    d->pending = NULL;
    p->item = item ? NULL : p->item;
    dialog_execute_pending(d, c, item);
    pending_free(w, p);
    return true;
}

/* -- batches ---------------------------------------------------------------------------------- */

/* Reads one command off the front of the input. */
static inline enum batch_end
dialog_parse(struct dialog *d, struct command *c)
{
    size_t used = 0;

    if (d->speaks == DIALOG_TEXT) {
        switch (text_parse(&d->parser, d->in.rest, c, &used)) {
        case TEXT_CMD:
            break;
        case TEXT_MORE:
            return BATCH_MORE;
        case TEXT_CLOSE:
            return BATCH_CLOSE;
        }
    } else {
        switch (binary_parse(d->in.rest, c, &used)) {
        case BINARY_CMD:
            break;
        case BINARY_MORE:
            return BATCH_MORE;
        case BINARY_CLOSE:
            return BATCH_CLOSE;
        }
    }
    assert(used <= d->in.rest.len);
    d->in.rest = slice_from(d->in.rest, used);
    return BATCH_GO;
}

/*
 * First pass: parses commands into the batch, and asks memory for their buckets as soon as their
 * keys are known.  Returns how many there are.
 */
static unsigned
batch_parse(struct dialog *d, enum batch_end *ret_end)
{
    struct worker *w = d->worker;
    enum batch_end end = BATCH_GO;
    unsigned n = 0, most = d->is_datagram ? 1 : BATCH_MAX;

    d->waiting = false;
    while (n < most && d->in.rest.len > 0 && end == BATCH_GO) {
        struct command *c = &w->batch[n];

        w->marks[n] = (struct worker_mark){ .in = d->in.rest, .parser = d->parser,
                                            .place = ROUTE_HERE };
        end = dialog_parse(d, c);
        if (end != BATCH_GO) {
            break;
        }
        if (route_has_key(c)) {
            c->hash = store_hash(c->key);
            w->marks[n].place = route_command(w, c);
            if (w->marks[n].place == ROUTE_HERE) {
                store_prefetch_bucket(w->node->store, c->hash);
            }
        }
        if (c->has_value) {
            end = value_take(d, c, &w->marks[n]);
            if (end == BATCH_MORE) {
                break;
            }
        }
        n++;
    }
    *ret_end = end;
    return n;
}

/* Second pass: the buckets should be here by now, so ask for the items. */
static void
batch_prefetch(const struct worker *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct command *c = &w->batch[i];

        if (route_has_key(c) && w->marks[i].place == ROUTE_HERE) {
            store_prefetch_item(w->node->store, c->hash);
        }
    }
}

/* The commands of the batch from the i-th on are input again. */
static void
batch_put_back(struct dialog *d, unsigned i)
{
    d->in.rest = d->worker->marks[i].in;
    d->parser = d->worker->marks[i].parser;
    d->swallow = 0;
}

/* Executes one command of the batch, which is all there, here. */
static inline void
batch_here(struct dialog *d, const struct command *c)
{
    struct worker *w = d->worker;
    struct reply r = { 0 };

    if (c->has_value && !c->value.ptr && c->op != OP_ERROR) {
        execute_bad_chunk(w, c, &r);
    } else {
        execute(w, c, NULL, &r);
    }
    dialog_reply(d, c, &r);
    if (__builtin_expect(reply_takes_over(r.code), 0)) {
        dialog_take_over(d);
    }
}

/* The same in a cluster, here or elsewhere.  False: not now, it is to be put back. */
static bool
batch_there(struct dialog *d, struct command *c, const struct worker_mark *mark)
{
    struct worker *w = d->worker;
    bool loud = remote_is_loud(w, c, mark), last = c->last;

    if (__builtin_expect(d->begun == BEGUN_LINE, 0)) {
        return remote_line_end(d, c); /* whatever peer_error says by now */
    }
    if (__builtin_expect(loud, 0)) {
        d->line_failed = d->line_failed && mark->parser.in_keys;
        d->line_loud = true;
        c->last = false;
    }
    if (mark->place != ROUTE_HERE) {
        if (!remote_command(d, c, mark->place)) {
            return false;
        }
    } else if (__builtin_expect(c->op == OP_FLUSH_ALL, 0)) {
        return remote_flush(d, c);
    } else {
        if (route_has_key(c)) {
            strays_check(w, c);
        }
        batch_here(d, c);
    }
    return !loud || !last || remote_line_end(d, c);
}

/* Third pass: executes in order.  Returns how many were; the others are input again. */
static unsigned
batch_execute(struct dialog *d, unsigned n, enum batch_end end)
{
    struct worker *w = d->worker;

    for (unsigned i = 0; i < n; i++) {
        struct command *c = &w->batch[i];

        if (!dialog_has_room(d) || d->dump || d->wait != WAIT_NOTHING ||
            remote_must_settle(d)) {
            batch_put_back(d, i);
            return i;
        }
        if (__builtin_expect(w->observed & WATCH_RAWCMDS, 0) && c->protocol != PROTO_BINARY &&
            !w->marks[i].parser.in_keys && d->begun == BEGUN_NOTHING) {
            observe_line(w, w->marks[i].in);
        }
        if (end == BATCH_STREAM && i == n - 1) {
            dialog_reserve(d, c, w->marks[i].place);
            break;
        }
        if (__builtin_expect(!w->view, 1)) {
            batch_here(d, c);
        } else if (!batch_there(d, c, &w->marks[i])) {
            batch_put_back(d, i);
            return i;
        }
        if (d->closing || d->watcher) {
            return i + 1;
        }
    }
    if (end == BATCH_CLOSE) {
        d->closing = true;
        d->broken = true;
    }
    return n;
}

/* The first byte of a connection says which protocol it will speak. */
static void
dialog_negotiate(struct dialog *d)
{
    bool binary = (unsigned char)d->in.rest.ptr[0] == BINARY_REQUEST;

    d->speaks = binary ? DIALOG_BINARY : DIALOG_TEXT;
    if (d->accepts == (binary ? SESSION_TEXT : SESSION_BINARY)) {
        d->closing = true;
        d->broken = true;
    }
}

/* Commands one turn may execute: reqs_per_event counts batches here, which are what a turn is made
 * of. */
static uint64_t
dialog_budget(const struct dialog *d)
{
    uint64_t batches = (uint64_t)d->worker->node->settings->net.reqs_per_event;

    return (batches > 0 ? batches : 1) * BATCH_MAX;
}

/* There is no room for answers: it goes on when there is. */
static void
dialog_pause(struct dialog *d)
{
    if (d->out.holes > 0) {
        d->wait = WAIT_ROOM;
    } else {
        d->work = true;
    }
}

/* Executes another node's frames until there is a reason to stop. */
static void
dialog_serve(struct dialog *d)
{
    uint64_t budget = dialog_budget(d) / BATCH_MAX, done = 0;

    d->waiting = false;
    while (!d->closing && d->in.rest.len > 0) {
        enum serve_end end;

        if (!answer_has_room(d->worker, &d->out) || done++ >= budget) {
            d->work = true;
            break;
        }
        end = serve_frame(d);
        d->work = end == SERVE_FULL;
        d->waiting = end == SERVE_MORE;
        if (end != SERVE_GO) {
            break;
        }
    }
    d->active = d->worker->now;
}

/* Each answer to a datagram is numbered by itself: true if there is one, or is to come from another
 * node. */
static bool
dialog_has_answered(struct dialog *d, enum batch_end end)
{
    struct worker *w = d->worker;

    if (d->out.holes > 0) {
        d->wait = WAIT_ALL;
        return true;
    }
    if (d->out.bytes + (w->tx_used - w->tx_queued) == 0) {
        return false;
    }
    d->work = end != BATCH_MORE && d->in.rest.len > 0;
    return true;
}

/* Parses and executes until there is a reason to stop. */
static void
dialog_work(struct dialog *d)
{
    struct worker *w = d->worker;
    uint64_t budget = dialog_budget(d), done = 0;
    enum batch_end end = BATCH_GO;

    while (!d->closing && !d->watcher && d->wait == WAIT_NOTHING && end != BATCH_MORE &&
           (d->in.rest.len > 0 || d->dump || (d->pending && d->pending->cursor.left == 0))) {
        unsigned n, executed;

        if (!dialog_has_room(d)) {
            dialog_pause(d);
            break;
        }
        if ((d->swallow > 0 && !dialog_swallow(d)) || (d->pending && !dialog_stream(d))) {
            break;
        }
        if (done >= budget) {
            d->work = d->in.rest.len > 0 || d->dump;
            metric_add(&w->metrics, M_CONN_YIELDS, d->work);
            break;
        }
        if (d->dump) {
            dialog_dump(d);
            done += BATCH_MAX;
            continue;
        }
        n = batch_parse(d, &end);
        if (n > 1) {
            batch_prefetch(w, n);
        }
        executed = batch_execute(d, n, end);
        if (executed < n) {
            end = BATCH_GO; /* the others are parsed again */
        }
        done += executed;
        if (d->is_datagram && dialog_has_answered(d, end)) {
            break;
        }
    }
    if (done > 0) {
        d->active = w->now;
    }
}

void
dialog_run(struct dialog *d)
{
    assert(worker_holder(d->worker));
    d->work = false;
    if (d->worker->view) {
        txq_mark(&d->out);
    }
    if (d->speaks == DIALOG_UNKNOWN && d->in.rest.len > 0) {
        dialog_negotiate(d);
    }
    if (d->speaks == DIALOG_PEER) {
        dialog_serve(d);
    } else {
        dialog_work(d);
        if (d->worker->peers) {
            forward_batch_end(d->worker);
        }
    }
    if (d->lost) {
        dialog_fail(d, M_RESP_BUF_OOM);
    }
    if (!answer_queue(d->worker, &d->out)) {
        dialog_fail(d, M_RESP_BUF_OOM);
    }
    if (d->closing || d->watcher) {
        input_drop(&d->in);
        d->work = false;
    }
}
