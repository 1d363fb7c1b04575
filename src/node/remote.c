#include "node/remote.h"
#include "node/execute.h"
#include "node/forward.h"
#include "node/pending.h"
#include "node/route.h"
#include "store/store.h"

#include <assert.h>

bool
remote_must_wait(struct dialog *d)
{
    if (d->worker->peers) {
        forward_batch_end(d->worker);
    }
    if (!d->requests) {
        return false;
    }
    d->wait = WAIT_ALL;
    return true;
}

bool
remote_settle(struct dialog *d)
{
    if (remote_must_wait(d)) {
        return true;
    }
    d->ring = d->worker->view->ring_number;
    return false;
}

void
remote_send(struct dialog *d, const struct command *c, uint16_t place, enum peer_value value,
            struct item *item)
{
    enum reply_code why = RPL_PEER_DOWN;
    struct reply r;

    if (place != ROUTE_NOBODY) {
        why = forward_command(d, place, c, value, item);
    } else {
        store_drop(d->worker->ctx, item);
    }
    if (why == RPL_NOTHING) {
        return;
    }
    forward_excuse(d->worker, c, why, &r);
    if (d->line_loud && !c->last && r.code != RPL_MISS) {
        d->line_failed = true;
        return;
    }
    dialog_reply(d, c, &r);
}

void
remote_long(struct dialog *d, const struct command *c, uint16_t place, struct item *item)
{
    assert(!d->requests);
    remote_send(d, c, place, PEER_VALUE_PARTS, item);
    (void)remote_must_wait(d);
}

/* A private item with the command's value, which is here; NULL: there is no room for it. */
static struct item *
remote_item(struct worker *w, const struct command *c)
{
    struct item *item = execute_hold(w, c);
    struct slice value = c->value;
    struct value_cursor v;

    if (!item) {
        return NULL;
    }
    value_cursor_init(&v, w->node->store, item);
    if (!pending_write(w, &v, &value)) {
        store_drop(w->ctx, item);
        return NULL;
    }
    return item;
}

bool
remote_command(struct dialog *d, const struct command *c, uint16_t place)
{
    struct worker *w = d->worker;
    struct reply r = { 0 };
    struct item *item;

    if (!c->has_value) {
        remote_send(d, c, place, PEER_VALUE_NONE, NULL);
    } else if (!c->value.ptr) {
        execute_bad_chunk(w, c, &r);
        dialog_reply(d, c, &r);
    } else if (c->value_len <= PEER_INLINE_MAX) {
        remote_send(d, c, place, PEER_VALUE_HERE, NULL);
    } else if (remote_must_wait(d)) {
        return false;
    } else {
        item = remote_item(w, c);
        if (item) {
            remote_long(d, c, place, item);
        } else {
            remote_send(d, c, place, PEER_VALUE_REFUSED, NULL);
        }
    }
    return true;
}

bool
remote_flush(struct dialog *d, const struct command *c)
{
    struct reply r = { .code = RPL_OK };

    if (d->begun != BEGUN_FLUSH) {
        if (remote_must_wait(d)) {
            return false;
        }
        execute(d->worker, c, NULL, &r);
        if (r.code != RPL_OK) {
            dialog_reply(d, c, &r);
            return true;
        }
        if (forward_flush(d, c) > 0) {
            d->begun = BEGUN_FLUSH;
            d->wait = WAIT_ALL;
            return false;
        }
    }
    d->begun = BEGUN_NOTHING;
    r.code = d->flush_failed ? RPL_FLUSH_INCOMPLETE : RPL_OK;
    dialog_reply(d, c, &r);
    return true;
}

bool
remote_is_loud(const struct worker *w, const struct command *c, const struct worker_mark *mark)
{
    return w->view && c->protocol == PROTO_TEXT && c->op >= OP_GET && c->op <= OP_GATS &&
           (!c->last || mark->parser.in_keys) && forward_is_loud(w, c);
}

bool
remote_line_end(struct dialog *d, const struct command *c)
{
    struct command end = { .op = c->op, .protocol = PROTO_TEXT, .last = true };
    struct reply r = { .code = RPL_MISS };

    if (remote_must_wait(d)) {
        d->begun = BEGUN_LINE;
        return false;
    }
    d->begun = BEGUN_NOTHING;
    d->line_loud = false;
    r.code = d->line_failed ? RPL_PEER_DOWN : RPL_MISS;
    dialog_reply(d, &end, &r);
    return true;
}
