#include "daemon/links.h"
#include "base/log.h"
#include "daemon/call.h"
#include "net/stream.h"
#include "node/peers.h"
#include "node/worker.h"
#include "proto/gossip.h"

#include <assert.h>
#include <stdlib.h>

#define WAIT_MIN       USEC_PER_MSEC
#define EVIDENCE_EVERY (100 * USEC_PER_MSEC)
#define ROUNDS_MAX     4 /* of sending and pushing in one turn; what is left has the next */

/* A link's connection, from the call to its end. */
struct wire {
    struct links *owner;
    struct link *link;
    struct wire *next, *prev;
    struct call call;
    struct stream stream; /* once the call was answered */
    node_id node;
    enum peer_fault fault; /* why it ends */
    bool over;
};

/* -- the end of one ------------------------------------------------------------------------ */

/* A fault that an operator can do something about, and that time does not heal. */
static bool
fault_is_ours(enum peer_fault fault)
{
    switch (fault) {
    case PEER_FAULT_LABEL:
    case PEER_FAULT_VERSION:
    case PEER_FAULT_SELF:
    case PEER_FAULT_STRANGER:
    case PEER_FAULT_MALFORMED:
        return true;
    default:
        return false;
    }
}

/* Notes why it ends; into the log only what is not known. */
static void
wire_note(const struct wire *w)
{
    const struct worker *worker = w->owner->config.worker;
    enum log_level level = fault_is_ours(w->fault) ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;

    if (peer_rows_fault(worker->node->peer_rows, w->node, worker->index, w->fault) &&
        log_wants(level)) {
        log_line(level, "links: worker %u has no link to node %016llx: %s", worker->index,
                 (unsigned long long)w->node, peer_row_fault_text(w->fault));
    }
}

/* Its descriptor is closed: tells the link, which may be gone then, and frees. */
static void
wire_end(struct wire *w)
{
    struct links *all = w->owner;
    struct link *link = w->link;
    usec_t now = all->config.loop->now;

    if (w->fault != PEER_FAULT_NONE) {
        wire_note(w);
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        all->first = w->next;
    }
    free(w);
    link_set_driver(link, NULL);
    link_down(link, now);
    all->evidence_at = now; /* it may have given the node up */
}

/* Closes it, wherever it is. */
static void
wire_kill(struct wire *w)
{
    if (w->stream.loop != NULL) {
        stream_kill(&w->stream); /* ends in wire_closed() */
        return;
    }
    call_cancel(&w->call);
    w->owner->calls--;
    wire_end(w);
}

/* -- the link as the stream sees it -------------------------------------------------------- */

static unsigned
links_push_answered(struct links *all)
{
    struct peers *p = all->config.worker->peers;
    struct session *s;
    unsigned count = 0;

    while ((s = peers_next_answered(p)) != NULL) {
        all->config.push(s);
        count++;
    }
    return count;
}

static struct iovec
wire_rx_space(void *arg)
{
    struct wire *w = arg;
    struct iovec space = { 0 };

    if (!w->over) {
        space = link_rx_space(w->link);
        if (space.iov_len == 0) {
            w->over = true;
            w->fault = PEER_FAULT_RESOURCES;
        }
    }
    return space;
}

/* Answers are taken however much we have to say: else two nodes could wait for each other. */
static bool
wire_wants_more(void *arg)
{
    return !((struct wire *)arg)->over;
}

static void
wire_rx(void *arg, size_t n, usec_t now)
{
    struct wire *w = arg;

    if (!link_rx(w->link, n, now)) {
        w->over = true;
        w->fault = PEER_FAULT_MALFORMED;
    }
    /* Now: what they are answered lies where the next read goes. */
    links_push_answered(w->owner);
}

static void
wire_rx_end(void *arg)
{
    struct wire *w = arg;

    w->over = true;
    w->fault = PEER_FAULT_ENDED;
}

static int
wire_tx(void *arg, struct iovec *iov, int max)
{
    struct wire *w = arg;

    return w->over ? 0 : link_tx(w->link, iov, max);
}

static void
wire_tx_done(void *arg, size_t n)
{
    link_tx_done(((struct wire *)arg)->link, n);
}

static bool
wire_has_work(void *arg)
{
    (void)arg;
    return false;
}

static void
wire_resume(void *arg, usec_t now)
{
    (void)arg;
    (void)now;
}

static bool
wire_park(void *arg)
{
    return link_park(((struct wire *)arg)->link);
}

static bool
wire_is_over(void *arg)
{
    return ((struct wire *)arg)->over;
}

static void
wire_closed(void *arg, enum stream_end why)
{
    struct wire *w = arg;

    if (why == STREAM_RESET) {
        w->fault = call_fault(w->stream.error);
    } else if (why == STREAM_NOMEM) {
        w->fault = PEER_FAULT_RESOURCES;
    }
    wire_end(w);
}

static const struct stream_ops wire_ops = {
    .rx_space = wire_rx_space,
    .wants_more = wire_wants_more,
    .rx = wire_rx,
    .rx_end = wire_rx_end,
    .tx = wire_tx,
    .tx_done = wire_tx_done,
    .has_work = wire_has_work,
    .resume = wire_resume,
    .park = wire_park,
    .is_over = wire_is_over,
    .closed = wire_closed,
};

/* -- the beginning of one ------------------------------------------------------------------ */

static void
wire_on_answer(void *arg, int fd, const struct peer_hello *answer, enum peer_fault fault)
{
    struct wire *w = arg;
    struct links *all = w->owner;

    all->calls--;
    if (fd < 0) {
        w->fault = fault;
        wire_end(w);
        return;
    }
    stream_start(&w->stream, all->config.loop, fd, &wire_ops, w);
    stream_limit_unsent(&w->stream, LINKS_UNSENT_MAX);
    link_up(w->link, answer->nonce, all->config.loop->now);
    if (log_wants(LOG_LEVEL_DEBUG)) {
        log_line(LOG_LEVEL_DEBUG, "links: worker %u has a link to node %016llx: <%d",
                 all->config.worker->index, (unsigned long long)w->node, fd);
    }
}

/* Calls the node of a link that has no connection. */
static void
links_call(struct links *all, struct link *link, usec_t now)
{
    const struct worker *worker = all->config.worker;
    const struct member_info *self = &worker->view->node[worker->view->self].info;
    struct cluster_addr addr = link_addr(link);
    struct peer_hello hello = {
        .purpose = PEER_DATA,
        .verdict = PEER_WELCOME,
        .version_min = CLUSTER_VERSION_MIN,
        .version_max = CLUSTER_VERSION,
        .label = gossip_label(worker->node->settings->cluster.cluster_name),
        .worker = (uint16_t)worker->index,
        .from = self->id,
        .nonce = self->nonce,
        .features = self->features,
    };
    struct wire *w = calloc(1, sizeof *w);

    assert(link_driver(link) == NULL);
    link_dialing(link, now);
    if (w == NULL) {
        link_down(link, now);
        return;
    }
    w->owner = all;
    w->link = link;
    w->node = link_node(link);
    w->next = all->first;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    all->first = w;
    link_set_driver(link, w);
    w->fault = call_start(&w->call, all->config.loop, &addr, &hello, w->node, LINKS_CALL_TIMEOUT,
                          wire_on_answer, w);
    if (w->fault != PEER_FAULT_NONE) {
        wire_end(w);
        return;
    }
    all->calls++;
}

/* -- all of them --------------------------------------------------------------------------- */

static void
links_on_timer(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)events;
    ((struct links *)w->data)->timer_at = 0;
}

void
links_init(struct links *all, const struct links_config *config)
{
    assert(config->worker != NULL && config->loop != NULL && config->push != NULL);
    *all = (struct links){ .config = *config };
    ev_timer_init(&all->timer, links_on_timer, 0., 0.);
    all->timer.data = all;
}

/* Ends what is over, and calls whom we miss. */
static void
links_walk(struct links *all, struct peers *p, usec_t now)
{
    struct link *next;

    all->view = all->config.worker->view->number;
    all->queued = false;
    for (struct link *link = peers_next(p, NULL); link != NULL; link = next) {
        struct wire *w = link_driver(link);

        next = peers_next(p, link); /* it may be gone after this */
        if (link_is_over(link)) {
            if (w != NULL) {
                w->fault = view_find(all->config.worker->view, w->node) == VIEW_NOBODY
                               ? PEER_FAULT_NONE
                               : PEER_FAULT_TIMEOUT;
                wire_kill(w);
            } else {
                link_down(link, now);
            }
        } else if (w == NULL && link_wants(link, now)) {
            if (all->calls < LINKS_CALLS_MAX) {
                links_call(all, link, now);
            } else {
                all->queued = true;
            }
        }
    }
}

/* Sends what came for each node in this turn; how many had something. */
static unsigned
links_flush(struct peers *p)
{
    struct link *link;
    unsigned count = 0;

    while ((link = peers_next_dirty(p)) != NULL) {
        struct wire *w = link_driver(link);

        if (w != NULL && w->stream.loop != NULL) {
            stream_push(&w->stream);
            count++;
        }
    }
    return count;
}

/*
 * Sends, and has sessions go on that were answered; those may ask again, so that there is more to
 * send.
 */
static void
links_exchange(struct links *all, struct peers *p)
{
    for (unsigned round = 0;; round++) {
        unsigned count = links_push_answered(all);

        if (round == ROUNDS_MAX) {
            /* They go on and on: events are looked at between, without waiting for any. */
            loop_wake(all->config.loop);
            return;
        }
        count += links_flush(p);
        if (count == 0) {
            return;
        }
    }
}

static void
links_give_evidence(struct links *all, struct peers *p, usec_t now)
{
    node_id id;
    bool on;

    all->evidence_at = now + EVIDENCE_EVERY;
    while (peers_take_evidence(p, now, &id, &on)) {
        if (all->config.evidence != NULL) {
            all->config.evidence(all->config.arg, id, on);
        }
    }
}

/* Has the loop run a turn when something is due. */
static void
links_arm(struct links *all, struct peers *p, usec_t now)
{
    usec_t at = peers_due(p);

    at = at < now + WAIT_MIN ? now + WAIT_MIN : at;
    /* One that fires early costs a turn, less than arming it again whenever the time is later. */
    if (all->timer_at != 0 && all->timer_at <= at) {
        return;
    }
    ev_timer_stop(all->config.loop->ev, &all->timer);
    ev_timer_set(&all->timer, (double)(at - now) / (double)USEC_PER_SEC, 0.);
    ev_timer_start(all->config.loop->ev, &all->timer);
    all->timer_at = at;
}

void
links_turn_end(struct links *all)
{
    struct worker *w = all->config.worker;
    struct peers *p = w->peers;
    usec_t now = all->config.loop->now;
    bool is_due;

    if (p == NULL || w->view == NULL) {
        return;
    }
    is_due = now >= peers_due(p);
    if (is_due) {
        peers_tick(p, now);
    }
    if (is_due || w->view->number != all->view ||
        (all->queued && all->calls < LINKS_CALLS_MAX)) {
        links_walk(all, p, now);
    }
    links_exchange(all, p);
    if (is_due || now >= all->evidence_at) {
        links_give_evidence(all, p, now);
    }
    links_arm(all, p, now);
}

void
links_fini(struct links *all)
{
    while (all->first != NULL) {
        wire_kill(all->first);
    }
    if (all->config.loop != NULL) {
        ev_timer_stop(all->config.loop->ev, &all->timer);
    }
}
