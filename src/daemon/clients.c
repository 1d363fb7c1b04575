#include "daemon/clients.h"
#include "base/log.h"
#include "daemon/links.h"
#include "net/stream.h"
#include "node/watch.h"
#include "node/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_SWEEP_SECONDS 1.

struct client {
    struct stream stream;
    struct session *session;
    struct conn_row *row;
    struct clients *owner;
    struct client *next, *prev;
    int fd; /* until the stream has it */
    enum session_accepts accepts;
};

/* -- the session as the stream sees it ----------------------------------------------------- */

static bool
client_wants_more(void *arg)
{
    return session_wants_more(((struct client *)arg)->session);
}

static struct iovec
client_rx_space(void *arg)
{
    return session_rx_space(((struct client *)arg)->session);
}

static void
client_rx(void *arg, size_t n, usec_t now)
{
    session_rx(((struct client *)arg)->session, n, now);
}

static void
client_rx_end(void *arg)
{
    session_rx_end(((struct client *)arg)->session);
}

static int
client_tx(void *arg, struct iovec *iov, int max)
{
    return session_tx(((struct client *)arg)->session, iov, max);
}

static void
client_tx_done(void *arg, size_t n)
{
    session_tx_done(((struct client *)arg)->session, n);
}

static bool
client_has_work(void *arg)
{
    return session_has_work(((struct client *)arg)->session);
}

static void
client_resume(void *arg, usec_t now)
{
    session_resume(((struct client *)arg)->session, now);
}

static bool
client_park(void *arg)
{
    return session_park(((struct client *)arg)->session);
}

static bool
client_is_over(void *arg)
{
    return session_is_over(((struct client *)arg)->session);
}

/* Behind "closed" in the log. */
static const char *const end_words[] = {
    [STREAM_DONE] = "",
    [STREAM_RESET] = ", the socket failed",
    [STREAM_NOMEM] = ", there is no memory for what is left over",
    [STREAM_KILLED] = " by us",
};

/* The words of memcached's watchers for it; who is killed outside of an ending was idle. */
static const char *
end_reason(const struct client *c, enum stream_end why)
{
    if (why == STREAM_KILLED) {
        return c->owner->ending ? "shutdown" : "idle_timeout";
    }
    return why == STREAM_DONE && !session_is_broken(c->session) ? "normal" : "error";
}

/* Another node is none of those who are counted, and limited, as clients. */
static bool
client_is_peer(const struct client *c)
{
    return c->accepts == SESSION_PEER;
}

/* Tells who counts clients. */
static void
client_gone(struct clients *all, const struct client *c)
{
    if (client_is_peer(c)) {
        return;
    }
    metric_add(&all->worker->metrics, M_CURR_CONNS, -1);
    if (all->left != NULL) {
        all->left(all->arg);
    }
}

static void
client_closed(void *arg, enum stream_end why)
{
    struct client *c = arg;
    struct clients *all = c->owner;
    struct watches *watches = all->worker->node->watches;

    if (watches_streams(watches) & WATCH_CONNEVENTS) {
        struct watch_from from = { watches, &all->worker->metrics, all->loop->now };

        if (why == STREAM_RESET) {
            watch_failed(&from, c->row->fd, strerror(c->stream.error));
        }
        watch_closed(&from, &c->row->peer, end_reason(c, why), c->row->fd);
    }
    if (log_wants(LOG_LEVEL_DEBUG)) {
        log_line(LOG_LEVEL_DEBUG, "clients: <%d closed%s", c->row->fd, end_words[why]);
    }
    session_free(c->session);
    conns_close(all->worker->node->conns, c->row);
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        all->first = c->next;
    }
    all->count--;
    all->peers -= client_is_peer(c);
    client_gone(all, c);
    free(c);
}

static const struct stream_ops client_ops = {
    .rx_space = client_rx_space,
    .wants_more = client_wants_more,
    .rx = client_rx,
    .rx_end = client_rx_end,
    .tx = client_tx,
    .tx_done = client_tx_done,
    .has_work = client_has_work,
    .resume = client_resume,
    .park = client_park,
    .is_over = client_is_over,
    .closed = client_closed,
};

/* -- one client ---------------------------------------------------------------------------- */

struct client *
client_new(struct node *n, int *fd, enum session_accepts accepts, const struct conn_addr *peer,
           const struct conn_addr *local, usec_t now)
{
    struct client *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return NULL;
    }
    c->row = conns_open(n->conns, *fd, peer, local, now);
    if (c->row == NULL) {
        free(c);
        return NULL;
    }
    c->fd = *fd;
    c->accepts = accepts;
    *fd = -1;
    return c;
}

void
client_free(struct node *n, struct client *c)
{
    if (c == NULL) {
        return;
    }
    conns_close(n->conns, c->row);
    (void)close(c->fd);
    free(c);
}

/* -- all of them --------------------------------------------------------------------------- */

/*
 * Closes who has been silent for too long; in the middle of a value, or while waiting for another
 * node, nobody is silent.
 */
static void
clients_on_sweep(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct clients *all = w->data;
    usec_t timeout = SETTINGS_LIVE(all->worker->node->settings->net.idle_timeout);
    struct client *next;

    (void)events;
    for (struct client *c = all->first; c != NULL && timeout > 0; c = next) {
        next = c->next;
        if (!client_is_peer(c) && !session_is_busy(c->session) &&
            all->loop->now - session_last_active(c->session) > timeout) {
            metric_add(&all->worker->metrics, M_IDLE_KICKS, 1);
            if (log_wants(LOG_LEVEL_DEBUG)) {
                log_line(LOG_LEVEL_DEBUG, "clients: <%d idle for over %llds, closed",
                         stream_fd(&c->stream), (long long)(timeout / USEC_PER_SEC));
            }
            stream_kill(&c->stream);
        }
    }
    if (all->first == NULL || timeout == 0) {
        ev_timer_stop(ev, w);
    }
}

void
clients_init(struct clients *all, struct worker *worker, struct loop *loop, void (*left)(void *arg),
             void *arg)
{
    *all = (struct clients){ .worker = worker, .loop = loop, .left = left, .arg = arg };
    ev_timer_init(&all->sweep, clients_on_sweep, CLIENTS_SWEEP_SECONDS, CLIENTS_SWEEP_SECONDS);
    all->sweep.data = all;
}

void
clients_add(struct clients *all, struct client *c)
{
    struct node *n = all->worker->node;

    c->session = session_new(all->worker, c->accepts, c->row);
    if (c->session == NULL) {
        metric_add(&all->worker->metrics, M_MALLOC_FAILS, 1);
        client_gone(all, c);
        client_free(n, c);
        return;
    }
    session_set_driver(c->session, c);
    c->owner = all;
    c->next = all->first;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    all->first = c;
    all->count++;
    all->peers += client_is_peer(c);
    stream_start(&c->stream, all->loop, c->fd, &client_ops, c);
    if (client_is_peer(c)) {
        stream_limit_unsent(&c->stream, LINKS_UNSENT_MAX);
    }
    if (n->settings->net.idle_timeout > 0 && !ev_is_active(&all->sweep)) {
        ev_timer_again(all->loop->ev, &all->sweep);
    }
}

void
clients_feed(struct clients *all)
{
    struct session *next;

    for (struct session *s = session_next_fed(all->worker, NULL); s != NULL; s = next) {
        next = session_next_fed(all->worker, s); /* a push may end this one */
        stream_push(&((struct client *)session_driver(s))->stream);
    }
}

void
clients_push(struct session *s)
{
    struct client *c = session_driver(s);

    assert(c != NULL && c->session == s);
    stream_push(&c->stream);
}

void
clients_drain(struct clients *all, bool peers)
{
    struct client *next;

    all->ending = true;
    for (struct client *c = all->first; c != NULL; c = next) {
        next = c->next;
        if (client_is_peer(c) != peers) {
            continue;
        }
        if (session_is_shown(c->session)) {
            stream_kill(&c->stream);
        } else {
            stream_drain(&c->stream);
        }
    }
}

void
clients_fini(struct clients *all)
{
    all->ending = true;
    while (all->first != NULL) {
        stream_kill(&all->first->stream);
    }
    ev_timer_stop(all->loop->ev, &all->sweep);
}
