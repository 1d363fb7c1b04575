#include "node/dialog.h"
#include "node/answer.h"
#include "node/dump.h"
#include "node/execute.h"
#include "node/pending.h"
#include "node/route.h"
#include "node/watch.h"
#include "proto/binary.h"
#include <assert.h>

/* Bytes: a value that is not here yet, this short, is waited for; a longer one is streamed into its
 * item. */
#define WAIT_MAX 2048u

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

    pending_free(w, d->pending);
    d->pending = NULL;
    dump_free(d->dump);
    d->dump = NULL;
    txq_drop(&d->out, &w->txq);
    input_drop(&d->in);
    d->swallow = 0;
    d->work = false;
}

void
dialog_reset(struct dialog *d)
{
    dialog_fini(d);
    d->parser = (struct text_parser){ 0 };
    d->speaks = DIALOG_UNKNOWN;
    d->waiting = false;
    d->closing = false;
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

/* Answers one command. */
static void
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
    if (d->is_datagram || (c->op != OP_ERROR && trail <= WAIT_MAX)) {
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
dialog_reserve(struct dialog *d, const struct command *c)
{
    struct worker *w = d->worker;
    struct reply r = { 0 };
    struct item *item = execute_reserve(w, c, &r);

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
    execute_starved(w, c, &r);
    dialog_reply(d, c, &r);
    pending_free(w, p);
    return dialog_swallow(d);
}

/* Goes on receiving a value, and executes its command when it is whole; false if it is not. */
static bool
dialog_stream(struct dialog *d)
{
    struct worker *w = d->worker;
    struct pending *p = d->pending;
    struct command *c = &p->command;
    struct reply r = { 0 };
    struct item *item = p->item;

    assert(item && d->swallow == 0);
    d->active = d->worker->now;
    if (!pending_write(w, p, &d->in.rest)) {
        return dialog_give_up(d);
    }
    if (p->cursor.left > 0) {
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
    if (item) {
        p->item = NULL;
        execute(w, c, item, &r);
    } else {
        execute_bad_chunk(w, c, &r);
    }
    dialog_reply(d, c, &r);
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

        w->marks[n] = (struct worker_mark){ .in = d->in.rest, .parser = d->parser };
        end = dialog_parse(d, c);
        if (end != BATCH_GO) {
            break;
        }
        if (c->has_value) {
            end = value_take(d, c, &w->marks[n]);
            if (end == BATCH_MORE) {
                break;
            }
        }
        if (c->op >= OP_GET && c->op <= OP_META_DEBUG) {
            c->hash = store_hash(c->key);
            store_prefetch_bucket(w->node->store, c->hash);
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

        if (c->op >= OP_GET && c->op <= OP_META_DEBUG) {
            store_prefetch_item(w->node->store, c->hash);
        }
    }
}

/* Third pass: executes in order.  Returns how many were; the others are input again. */
static unsigned
batch_execute(struct dialog *d, unsigned n, enum batch_end end)
{
    struct worker *w = d->worker;

    for (unsigned i = 0; i < n; i++) {
        const struct command *c = &w->batch[i];
        struct reply r = { 0 };

        if (!answer_has_room(w, &d->out) || d->dump) {
            d->in.rest = w->marks[i].in;
            d->parser = w->marks[i].parser;
            d->swallow = 0;
            return i;
        }
        if (__builtin_expect(w->observed & WATCH_RAWCMDS, 0) && c->protocol != PROTO_BINARY &&
            !w->marks[i].parser.in_keys) {
            observe_line(w, w->marks[i].in);
        }
        if (end == BATCH_STREAM && i == n - 1) {
            dialog_reserve(d, c);
            break;
        }
        switch (route_command(w->node, c)) {
        case ROUTE_HERE:
            if (c->has_value && !c->value.ptr && c->op != OP_ERROR) {
                execute_bad_chunk(w, c, &r);
            } else {
                execute(w, c, NULL, &r);
            }
            break;
        }
        dialog_reply(d, c, &r);
        if (__builtin_expect(reply_takes_over(r.code), 0)) {
            dialog_take_over(d);
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

/* Parses and executes until there is a reason to stop. */
static void
dialog_work(struct dialog *d)
{
    struct worker *w = d->worker;
    uint64_t budget = dialog_budget(d), done = 0;
    enum batch_end end = BATCH_GO;

    while (!d->closing && !d->watcher && end != BATCH_MORE && (d->in.rest.len > 0 || d->dump)) {
        unsigned n, executed;

        if (!answer_has_room(w, &d->out)) {
            d->work = true;
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
        if (d->is_datagram && d->out.bytes + (w->tx_used - w->tx_queued) > 0) {
            d->work = end != BATCH_MORE && d->in.rest.len > 0;
            break; /* each answer is numbered by itself */
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
    if (d->speaks == DIALOG_UNKNOWN && d->in.rest.len > 0) {
        dialog_negotiate(d);
    }
    dialog_work(d);
    if (!answer_queue(d->worker, &d->out)) {
        dialog_fail(d, M_RESP_BUF_OOM);
    }
    if (d->closing || d->watcher) {
        input_drop(&d->in);
        d->work = false;
    }
}
