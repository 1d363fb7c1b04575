#include "node/answer.h"
#include "proto/binary.h"
#include "proto/meta.h"
#include "proto/text.h"
#include <assert.h>

bool
answer_queue(struct worker *w, struct txq *q)
{
    assert(w->tx_queued <= w->tx_used && w->tx_used <= WORKER_TX_BYTES);
    if (!txq_lend(q, &w->txq, w->tx + w->tx_queued, w->tx_used - w->tx_queued)) {
        return false;
    }
    w->tx_queued = w->tx_used;
    return true;
}

void
answer_reset(struct worker *w)
{
    w->tx_used = 0;
    w->tx_queued = 0;
}

/* Bytes that are only lent for the moment. */
static bool
answer_bytes(struct worker *w, struct txq *q, struct slice bytes)
{
    if (bytes.len == 0) {
        return true;
    }
    if (bytes.len + PROTO_TAIL_MAX <= WORKER_TX_BYTES - w->tx_used) {
        memcpy(w->tx + w->tx_used, bytes.ptr, bytes.len);
        w->tx_used += bytes.len;
        return true;
    }
    if (!answer_queue(w, q)) {
        return false;
    }
    if (bytes.ptr == w->blob.ptr && bytes.len == w->blob.len) {
        return txq_give(q, &w->txq, &w->blob);
    }
    return txq_copy(q, &w->txq, bytes.ptr, bytes.len);
}

size_t
answer_head(const struct command *c, const struct reply *r, char *out)
{
    switch (c->protocol) {
    case PROTO_TEXT:
        return text_write_head(c, r, out);
    case PROTO_META:
        return meta_write_head(c, r, out);
    case PROTO_BINARY:
        break;
    }
    return binary_write_head(c, r, out);
}

size_t
answer_tail(const struct command *c, const struct reply *r, char *out)
{
    switch (c->protocol) {
    case PROTO_TEXT:
        return text_write_tail(c, r, out);
    case PROTO_META:
        return meta_write_tail(c, r, out);
    case PROTO_BINARY:
        break;
    }
    return 0;
}

/* A value and what stands behind it. */
static bool
answer_value(struct worker *w, struct txq *q, const struct command *c, const struct reply *r)
{
    if (!r->pinned) {
        if (!answer_bytes(w, q, r->value)) {
            return false;
        }
    } else {
        if (!answer_queue(w, q)) {
            store_unpin(w->ctx, r->pinned);
            return false;
        }
        if (!txq_pin(q, &w->txq, r->pinned)) {
            return false;
        }
    }
    assert(w->tx_used + PROTO_TAIL_MAX <= WORKER_TX_BYTES);
    w->tx_used += answer_tail(c, r, w->tx + w->tx_used);
    return true;
}

bool
answer_write(struct worker *w, struct txq *q, const struct command *c, const struct reply *r)
{
    assert(w->tx_used + PROTO_HEAD_MAX + PROTO_TAIL_MAX <= WORKER_TX_BYTES);
    w->tx_used += answer_head(c, r, w->tx + w->tx_used);
    if (r->code == RPL_HIT) {
        return answer_value(w, q, c, r);
    }
    if (r->code == RPL_BLOB) {
        return answer_bytes(w, q, r->value);
    }
    if (reply_is_error(r->code)) {
        metric_add(&w->metrics, M_SESSION_ERRORS, 1);
    }
    return true;
}
