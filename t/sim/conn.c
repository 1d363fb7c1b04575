#include "conn.h"
#include "node/control.h"
#include "node/link.h"
#include "node/peers.h"
#include "node/session.h"
#include "proto/gossip.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GREETING_TIMEOUT (USEC_PER_SEC)
#define CONNECT_TIMEOUT  (200 * USEC_PER_MSEC)
#define SYNC_TIMEOUT     (10 * USEC_PER_SEC)
#define SPANS            64

static void
conn_on_ready(void *arg)
{
    conn_ready(arg);
}

struct conn *
conn_new(struct host *h, struct loop *loop, enum conn_kind kind, struct tcp_end *tcp)
{
    struct conn *c = world_alloc(sizeof *c);

    c->host = h;
    c->loop = loop;
    c->kind = kind;
    c->tcp = tcp;
    c->next = h->conns;
    if (c->next) {
        c->next->prev = c;
    }
    h->conns = c;
    h->conn_count++;
    if (tcp) {
        c->site = tcp_peer_site(tcp);
        tcp_set_ready(tcp, conn_on_ready, c);
    }
    if (kind == CONN_CLIENT) {
        c->session = session_new(loop->worker, SESSION_AUTO, NULL);
        world_need(c->session);
        session_set_driver(c->session, c);
    }
    return c;
}

static void
conn_unqueue(struct conn *c)
{
    struct conn **at = &c->loop->ready;

    if (!c->queued) {
        return;
    }
    while (*at != c) {
        at = &(*at)->ready_next;
    }
    *at = c->ready_next;
    if (!*at) {
        c->loop->ready_last = at;
    }
    c->queued = false;
}

void
conn_free(struct conn *c, bool reset)
{
    struct host *h = c->host;

    conn_unqueue(c);
    if (reset) {
        tcp_reset(c->tcp);
    } else {
        tcp_close(c->tcp);
    }
    session_free(c->session);
    if (c->link) {
        link_set_driver(c->link, NULL);
        link_down(c->link, host_now(h));
    }
    buf_free(&c->in);
    buf_free(&c->out);
    if (c->next) {
        c->next->prev = c->prev;
    }
    if (c->prev) {
        c->prev->next = c->next;
    } else {
        h->conns = c->next;
    }
    h->conn_count--;
    free(c);
}

void
conn_ready(struct conn *c)
{
    if (!c->queued) {
        c->queued = true;
        c->ready_next = NULL;
        *c->loop->ready_last = c;
        c->loop->ready_last = &c->ready_next;
    }
    loop_hurry(c->loop);
}

/* Reads into room a part of what is there, by chance. */
static ssize_t
conn_recv(struct conn *c, void *room, size_t n)
{
    size_t have = tcp_readable(c->tcp);

    if (have > 1 && rng_below(&c->host->rng, 8) == 0) {
        have = 1 + rng_below(&c->host->rng, have);
        n = n < have ? n : have;
    }
    return tcp_recv(c->tcp, room, n);
}

/* -- sessions ---------------------------------------------------------------------------------- */

enum conn_flushed { FLUSH_EMPTY, FLUSH_LEFT, FLUSH_BROKEN };

static enum conn_flushed
session_flush(struct conn *c)
{
    for (;;) {
        struct iovec iov[SPANS];
        int count = session_tx(c->session, iov, SPANS);
        ssize_t n;

        if (count == 0) {
            return FLUSH_EMPTY;
        }
        n = tcp_send(c->tcp, iov, count);
        if (n < 0) {
            return n == TCP_RESET ? FLUSH_BROKEN : FLUSH_LEFT;
        }
        session_tx_done(c->session, (size_t)n);
    }
}

/* Whoever still looks at the worker's buffers after a turn shall see it. */
static void
session_spoil(struct worker *w)
{
    memset(w->rx, 0xa5, 4096);
    memset(w->tx, 0x5a, 4096);
}

/* Ends a turn as net/stream does. */
static void
session_settle(struct conn *c, enum conn_flushed flushed)
{
    struct worker *w = c->loop->worker;

    if (flushed == FLUSH_BROKEN || (flushed == FLUSH_EMPTY && session_is_over(c->session))) {
        conn_free(c, flushed == FLUSH_BROKEN);
        return;
    }
    if (!session_park(c->session)) {
        conn_free(c, true);
        return;
    }
    session_spoil(w);
    if (flushed == FLUSH_EMPTY &&
        (session_has_work(c->session) ||
         (!c->eof && tcp_has_news(c->tcp) && session_wants_more(c->session)))) {
        conn_ready(c);
    }
}

/* Reads once.  False: it is gone. */
static bool
session_read(struct conn *c)
{
    struct iovec room;
    ssize_t n;

    if (c->eof || !session_wants_more(c->session)) {
        return true;
    }
    room = session_rx_space(c->session);
    if (room.iov_len == 0) {
        return true;
    }
    n = conn_recv(c, room.iov_base, room.iov_len);
    if (n > 0) {
        session_rx(c->session, (size_t)n, host_now(c->host));
    } else if (n == 0) {
        c->eof = true;
        session_rx_end(c->session);
    } else if (n == TCP_RESET) {
        conn_free(c, true);
        return false;
    }
    return true;
}

static void
session_turn(struct conn *c)
{
    if (session_has_work(c->session)) {
        enum conn_flushed flushed = session_flush(c);

        if (flushed != FLUSH_EMPTY) {
            session_settle(c, flushed);
            return;
        }
        session_resume(c->session, host_now(c->host));
    } else if (!session_read(c)) {
        return;
    }
    session_settle(c, session_flush(c));
}

/* As net/stream does when the owner says that there is more to send. */
static void
session_push(struct conn *c)
{
    enum conn_flushed flushed = FLUSH_EMPTY;

    if (session_has_work(c->session)) {
        flushed = session_flush(c);
        if (flushed == FLUSH_EMPTY) {
            session_resume(c->session, host_now(c->host));
        }
    }
    session_settle(c, flushed == FLUSH_EMPTY ? session_flush(c) : flushed);
}

/* -- links ------------------------------------------------------------------------------------- */

/* Sends what it has and ends its turn; may free the connection. */
static void
link_flush(struct conn *c)
{
    for (;;) {
        struct iovec iov[SPANS];
        int count = link_tx(c->link, iov, SPANS);
        ssize_t n;

        n = count > 0 ? tcp_send(c->tcp, iov, count) : TCP_AGAIN;
        if (n < 0) {
            if (n == TCP_RESET || !link_park(c->link)) {
                conn_free(c, true);
            } else {
                memset(c->loop->worker->peers->rx, 0x96, 4096); /* as session_spoil() */
            }
            return;
        }
        link_tx_done(c->link, (size_t)n);
    }
}

void
conn_push_answered(struct loop *l)
{
    struct session *s;

    while ((s = peers_next_answered(l->worker->peers)) != NULL) {
        session_push(session_driver(s));
    }
}

static void
link_turn(struct conn *c)
{
    struct iovec room = link_rx_space(c->link);
    ssize_t n = room.iov_len > 0 ? conn_recv(c, room.iov_base, room.iov_len) : TCP_RESET;

    if (n == 0 || n == TCP_RESET) {
        conn_free(c, n != 0);
        return;
    }
    if (n > 0 && !link_rx(c->link, (size_t)n, host_now(c->host))) {
        world_fail(c->host->world, "node %u takes what node %u answered for nonsense",
                   c->host->index, c->site);
    }
    /* Now: what they are answered lies where the next read goes. */
    conn_push_answered(c->loop);
    if (tcp_has_news(c->tcp)) {
        conn_ready(c);
    }
    link_flush(c);
}

void
conn_push(struct conn *c)
{
    if (c->link) {
        link_flush(c);
    } else if (c->session) {
        session_push(c);
    }
}

/* -- greetings --------------------------------------------------------------------------------- */

/* Reads until n bytes are there.  False: not yet, or the connection is gone. */
static bool
conn_gather(struct conn *c, size_t n)
{
    while (c->in.len < n) {
        char room[4096];
        size_t want = n - c->in.len < sizeof room ? n - c->in.len : sizeof room;
        ssize_t got = tcp_recv(c->tcp, room, want);

        if (got == TCP_AGAIN) {
            return false;
        }
        if (got <= 0) {
            conn_free(c, true);
            return false;
        }
        world_need(buf_add(&c->in, room, (size_t)got));
    }
    return true;
}

/* Sends what is in out.  False: the connection is gone. */
static bool
conn_drain(struct conn *c)
{
    while (c->out.len > 0) {
        struct iovec iov = { c->out.ptr, c->out.len };
        ssize_t n = tcp_send(c->tcp, &iov, 1);

        if (n == TCP_RESET) {
            conn_free(c, true);
            return false;
        }
        if (n < 0) {
            break;
        }
        buf_shift(&c->out, (size_t)n);
    }
    return true;
}

static void
hello_send(struct conn *c, enum peer_purpose purpose, enum peer_verdict verdict)
{
    struct host *h = c->host;
    struct peer_hello hello = {
        .purpose = purpose,
        .verdict = verdict,
        .version_min = CLUSTER_VERSION_MIN,
        .version_max = CLUSTER_VERSION,
        .label = gossip_label(h->settings.cluster.cluster_name),
        .worker = (uint16_t)(c->loop->index > 0 ? c->loop->index - 1 : 0),
        .from = host_id(h->index),
        .nonce = host_nonce(h),
    };
    char bytes[PEER_HELLO];

    peer_write_hello(&hello, bytes);
    world_need(buf_add(&c->out, bytes, sizeof bytes));
}

/* Appends a state with its length. */
static void
state_send(struct conn *c)
{
    struct buf state = { 0 };
    struct cluster_addr to = site_addr(c->site);
    uint8_t n[4];

    world_need(control_state(c->host->control, c->kind == CONN_SYNC_CALL, &to, &state));
    for (int i = 0; i < 4; i++) {
        n[i] = (uint8_t)(state.len >> (8 * i));
    }
    world_need(buf_add(&c->out, n, 4) && buf_add(&c->out, state.ptr, state.len));
    buf_free(&state);
}

/* Reads a state.  False: not yet, or gone. */
static bool
state_read(struct conn *c)
{
    struct control_out out = { 0 };
    struct cluster_addr from = site_addr(c->site);
    size_t n = 0;

    if (!conn_gather(c, 4)) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        n |= (size_t)(uint8_t)c->in.ptr[i] << (8 * i);
    }
    if (n > GOSSIP_STATE_MAX) {
        world_fail(c->host->world, "node %u sends a state of %zu bytes", c->site, n);
    }
    if (!conn_gather(c, 4 + n)) {
        return false;
    }
    control_synced(c->host->control, c->kind == CONN_SYNC_CALL, &from,
                   slice_of(c->in.ptr + 4, n), host_now(c->host), &out);
    host_obey(c->host, &out);
    return true;
}

static struct conn *conn_pass(struct conn *c, struct loop *loop);

/* The called side: says what it thinks of the caller. */
static void
greeted_turn(struct conn *c)
{
    struct host *h = c->host;
    struct peer_hello hello;
    enum peer_verdict verdict;

    if (!conn_gather(c, PEER_HELLO)) {
        return;
    }
    if (!peer_read_hello(c->in.ptr, &hello)) {
        world_fail(h->world, "node %u does not understand the greeting of node %u", h->index,
                   c->site);
    }
    verdict = hello.from == host_id(h->index) ? PEER_SELF : PEER_WELCOME;
    hello_send(c, hello.purpose, verdict);
    if (!conn_drain(c)) {
        return;
    }
    if (c->out.len > 0) {
        world_fail(h->world, "no room for a greeting");
    }
    if (verdict != PEER_WELCOME || hello.purpose == PEER_PROBE) {
        conn_free(c, false);
    } else if (hello.purpose == PEER_SYNC) {
        c->kind = CONN_SYNC_SERVE;
        c->in.len = 0;
        c->give_up = host_now(h) + SYNC_TIMEOUT;
        conn_ready(c);
    } else {
        conn_pass(c, &h->loop[1 + hello.worker % h->worker_count]);
    }
}

/* The calling side.  False: not yet, or gone. */
static bool
greeting_turn(struct conn *c)
{
    struct peer_hello hello;

    if (tcp_is_reset(c->tcp)) {
        conn_free(c, true);
        return false;
    }
    if (!tcp_is_open(c->tcp) || !conn_drain(c) || !conn_gather(c, PEER_HELLO)) {
        return false;
    }
    if (!peer_read_hello(c->in.ptr, &hello)) {
        world_fail(c->host->world, "node %u does not understand how node %u greets", c->host->index,
                   c->site);
    }
    if (hello.verdict != PEER_WELCOME) {
        conn_free(c, false);
        return false;
    }
    c->greeted = true;
    c->in.len = 0;
    return true;
}

/* -- all kinds --------------------------------------------------------------------------------- */

static void
tap_run(void *arg, struct buf *pending, struct buf *out)
{
    struct conn *c = arg;
    struct host *h = c->host;
    struct peer_frame f;

    for (;;) {
        enum peer_result r = peer_read_frame(slice_of(pending->ptr, pending->len), &f);
        size_t n = PEER_HEADER + f.body_len;
        unsigned times;

        if (r == PEER_MALFORMED) {
            world_fail(h->world, "node %u sends node %u what is no frame", h->index, c->site);
        }
        if (r != PEER_OK) {
            return;
        }
        times = h->ops->frame(h->ops->arg, h, c->site, c->session != NULL, pending->ptr, n);
        while (times-- > 0) {
            world_need(buf_add(out, pending->ptr, n));
        }
        buf_shift(pending, n);
    }
}

static void
conn_tap(struct conn *c)
{
    struct tcp_tap tap = { c, tap_run };

    tcp_set_tap(c->tcp, &tap);
}

/* A greeted connection goes to a worker. */
static struct conn *
conn_pass(struct conn *c, struct loop *loop)
{
    struct host *h = c->host;

    conn_unqueue(c);
    c->loop = loop;
    c->kind = CONN_PEER;
    c->give_up = 0;
    c->session = session_new(loop->worker, SESSION_PEER, NULL);
    world_need(c->session);
    session_set_driver(c->session, c);
    c->in.len = 0;
    conn_tap(c);
    conn_ready(c);
    (void)h;
    return c;
}

struct conn *
conn_call(struct host *h, struct loop *loop, enum conn_kind kind, unsigned site)
{
    static const enum peer_purpose purpose[] = {
        [CONN_LINK] = PEER_DATA, [CONN_SYNC_CALL] = PEER_SYNC, [CONN_PROBE] = PEER_PROBE
    };
    struct conn *c = conn_new(h, loop, kind, NULL);

    c->site = site;
    c->tcp = tcp_connect(h->paths, h->index, site, HOST_PORT_PEER, conn_on_ready, c);
    c->give_up = host_now(h) + (kind == CONN_SYNC_CALL ? SYNC_TIMEOUT
                                : kind == CONN_LINK    ? CONNECT_TIMEOUT
                                                       : GREETING_TIMEOUT);
    hello_send(c, purpose[kind], PEER_WELCOME);
    if (kind == CONN_SYNC_CALL) {
        state_send(c);
    }
    timer_hasten(h->world, &loop->wake, h->world->now + USEC_PER_SEC / 4);
    return c;
}

static void
conn_call_turn(struct conn *c)
{
    struct host *h = c->host;

    if (!c->greeted) {
        if (!greeting_turn(c)) {
            return;
        }
        if (c->kind == CONN_LINK) {
            c->give_up = 0;
            conn_tap(c);
            link_up(c->link, 0, host_now(h));
        } else if (c->kind == CONN_PROBE) {
            struct control_out out = { 0 };

            control_tcp_ack(h->control, c->id, host_now(h), &out);
            host_obey(h, &out);
            conn_free(c, false);
            return;
        }
    }
    if (c->kind == CONN_LINK) {
        link_turn(c);
    } else if (conn_drain(c) && state_read(c)) {
        conn_free(c, false);
    }
}

static void
sync_serve_turn(struct conn *c)
{
    if (!c->greeted) {
        if (!state_read(c)) {
            return;
        }
        c->greeted = true;
        state_send(c);
    }
    if (conn_drain(c) && c->out.len == 0) {
        conn_free(c, false);
    }
}

void
conn_turn(struct conn *c)
{
    switch (c->kind) {
    case CONN_CLIENT:
    case CONN_PEER:
        session_turn(c);
        break;
    case CONN_GREETED:
        greeted_turn(c);
        break;
    case CONN_SYNC_SERVE:
        sync_serve_turn(c);
        break;
    case CONN_LINK:
    case CONN_SYNC_CALL:
    case CONN_PROBE:
        conn_call_turn(c);
        break;
    }
}
