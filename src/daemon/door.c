#include "daemon/door.h"
#include "base/log.h"
#include "daemon/address.h"
#include "daemon/clients.h"
#include "daemon/systemd.h"
#include "daemon/workers.h"
#include "net/addr.h"
#include "node/node.h"
#include "node/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DOOR_RETRY_SECONDS 1.

static struct conn_addr
addr_of(const struct sockaddr_storage *sa, const struct listener *l)
{
    if (l->local.ss_family == AF_UNIX) {
        /* Clients of a Unix socket have no name; memcached shows the server's. */
        return (struct conn_addr){ .kind = CONN_UNIX, .u.path = l->path };
    }
    return address_of(sa);
}

/* -- coming in ----------------------------------------------------------------------------- */

static void
door_pause(struct door *door)
{
    for (size_t i = 0; i < door->count; i++) {
        listener_pause(&door->listener[i]);
    }
    if (!atomic_load(&door->paused)) {
        door->paused_at = clock_now();
    }
    atomic_store(&door->paused, true);
    atomic_store_explicit(&door->node->accepting, 0, memory_order_relaxed);
    metric_add(&door->node->shared, M_LISTEN_DISABLED, 1);
}

static bool
door_is_full(const struct door *door)
{
    return atomic_load(&door->inside) >= door->node->settings->net.max_connections;
}

void
door_check(struct door *door)
{
    bool moved = atomic_load(&door->left) != door->left_before || door->retry_due;

    if (!atomic_load(&door->paused) || !moved || door_is_full(door)) {
        return;
    }
    door->retry_due = false;
    ev_timer_stop(door->loop->ev, &door->retry);
    atomic_store(&door->paused, false);
    metric_add(&door->node->shared, M_LISTEN_DISABLED_USEC, clock_now() - door->paused_at);
    atomic_store_explicit(&door->node->accepting, 1, memory_order_relaxed);
    for (size_t i = 0; i < door->count; i++) {
        listener_resume(&door->listener[i]);
    }
}

void
door_left(struct door *door)
{
    atomic_fetch_sub(&door->inside, 1);
    atomic_fetch_add(&door->left, 1);
    if (atomic_load(&door->paused)) {
        loop_wake(door->loop);
    }
}

static void
door_refuse(struct door *door, int fd)
{
    static const char answer[] = "ERROR Too many open connections\r\n";

    /* A new connection has room for so little; if not, it is closed all the same. */
    (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
    metric_add(&door->node->shared, M_REJECTED_CONNS, 1);
}

/* Hands a client, which comes from that network queue, to a worker; false: its mailbox is full. */
static bool
door_deal(struct door *door, unsigned queue, struct client **c)
{
    struct node *n = door->node;
    bool unexpected;
    unsigned worker;

    if (n->settings->net.napi_ids == 0) {
        return workers_deal(door->workers, c);
    }
    if (queue == 0) {
        metric_add(&n->shared, M_ROUND_ROBIN_FALLBACK, 1);
        return workers_deal(door->workers, c);
    }
    worker = napi_thread(&door->napi, (unsigned)n->settings->net.threads, queue, &unexpected);
    metric_add(&n->shared, M_UNEXPECTED_NAPI_IDS, unexpected);
    return workers_deal_to(door->workers, worker, c);
}

static void
door_on_accepted(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct door *door = arg;
    struct node *n = door->node;
    const struct conn_addr *local = &door->local[l - door->listener];
    struct conn_addr from = addr_of(peer, l);
    usec_t now = clock_now();
    struct client *c;
    unsigned queue;

    door->starved = false;
    if (n->settings->net.maxconns_fast && door_is_full(door)) {
        door_refuse(door, fd);
        return;
    }
    if (log_wants(LOG_LEVEL_DEBUG)) {
        char text[160];

        conn_addr_print(&from, text, sizeof text);
        log_line(LOG_LEVEL_DEBUG, "door: <%d new client %s", fd, text);
    }
    if (watches_streams(n->watches) & WATCH_CONNEVENTS) {
        struct watch_from here = { n->watches, &n->shared, node_time(n, now) };

        watch_connected(&here, &from, fd);
    }
    queue = n->settings->net.napi_ids > 0 ? napi_of(fd) : 0;
    c = client_new(n, &fd, (enum session_accepts)l->tag, &from, local, now);
    if (c == NULL) {
        metric_add(&n->shared, M_MALLOC_FAILS, 1);
        (void)close(fd);
        return;
    }
    metric_add(&n->shared, M_TOTAL_CONNS, 1);
    metric_add(&n->shared, M_CURR_CONNS, 1);
    atomic_fetch_add(&door->inside, 1);
    if (!door_deal(door, queue, &c)) {
        log_line(LOG_LEVEL_WARNING, "door: a worker has too many new clients waiting, one closed");
        client_free(n, c);
        metric_add(&n->shared, M_CURR_CONNS, -1);
        metric_add(&n->shared, M_REJECTED_CONNS, 1);
        atomic_fetch_sub(&door->inside, 1);
    }
    /* In this order, so that whoever leaves meanwhile is either seen here or wakes us. */
    door->left_before = atomic_load(&door->left);
    if (!n->settings->net.maxconns_fast && door_is_full(door)) {
        door_pause(door);
        if (!door_is_full(door)) {
            loop_wake(door->loop);
        }
    }
}

static void
door_on_starved(void *arg, struct listener *l, int error)
{
    struct door *door = arg;

    (void)l;
    if (!door->starved) {
        log_line(LOG_LEVEL_WARNING,
                 "door: cannot accept: %s; waiting until a connection closes, %lld are open",
                 strerror(error), (long long)atomic_load(&door->inside));
    }
    door->starved = true;
    door->left_before = atomic_load(&door->left);
    door_pause(door);
    ev_timer_again(door->loop->ev, &door->retry);
}

static void
door_on_retry(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct door *door = w->data;

    (void)ev;
    (void)events;
    door->retry_due = true;
    door_check(door);
}

static const struct listener_ops door_ops = {
    .accepted = door_on_accepted,
    .starved = door_on_starved,
};

void
door_start(struct door *door, struct workers *workers)
{
    door->workers = workers;
    for (size_t i = 0; i < door->count; i++) {
        listener_start(&door->listener[i], door->loop, &door_ops, door);
    }
}

void
door_close(struct door *door)
{
    ev_timer_stop(door->loop->ev, &door->retry);
    for (size_t i = 0; i < door->count; i++) {
        listener_close(&door->listener[i]);
        if (door->row[i] != NULL) {
            conns_close(door->node->conns, door->row[i]);
            door->row[i] = NULL;
        }
    }
    atomic_store_explicit(&door->node->accepting, 0, memory_order_relaxed);
}

/* -- opening ------------------------------------------------------------------------------- */

/* Takes the listener at door->count, which is open, into the list. */
static err_t
door_keep(struct door *door, enum session_accepts accepts, struct err_detail *d)
{
    struct listener *l = &door->listener[door->count];
    char text[160];

    l->tag = (int)accepts;
    door->local[door->count] = addr_of(&l->local, l);
    door->row[door->count] = conns_open(door->node->conns, listener_fd(l),
                                        &door->local[door->count], &door->local[door->count],
                                        clock_now());
    if (door->row[door->count] == NULL) {
        listener_close(l);
        return err_set(d, ERR_NOMEM, "out of memory for a listener");
    }
    atomic_store_explicit(&door->row[door->count]->state, CONN_LISTENING, memory_order_relaxed);
    if (log_wants(LOG_LEVEL_INFO)) {
        conn_addr_print(&door->local[door->count], text, sizeof text);
        log_line(LOG_LEVEL_INFO, "door: <%d server listening at %s", listener_fd(l), text);
    }
    door->count++;
    return ERR_OK;
}

static enum session_accepts
accepts_of(const struct settings *s, enum addr_proto proto)
{
    static const enum session_accepts by_setting[] = {
        [SETTINGS_PROTOCOL_AUTO] = SESSION_AUTO,
        [SETTINGS_PROTOCOL_ASCII] = SESSION_TEXT,
        [SETTINGS_PROTOCOL_BINARY] = SESSION_BINARY,
    };

    switch (proto) {
    case ADDR_PROTO_AUTO:
        return SESSION_AUTO;
    case ADDR_PROTO_TEXT:
        return SESSION_TEXT;
    case ADDR_PROTO_BINARY:
        return SESSION_BINARY;
    case ADDR_PROTO_UNSAID:
        break;
    }
    return by_setting[s->net.protocol];
}

/* All addresses of one entry: at least one must do, and none may be somebody else's. */
static err_t
door_open_spec(struct door *door, const struct addr_spec *spec, struct err_detail *d)
{
    const struct settings *s = door->node->settings;
    int port = s->net.port < 0 ? 0 : (int)s->net.port;
    struct addrinfo *found = NULL;
    size_t before = door->count;
    err_t e;

    if (spec->tls == ADDR_TLS_ON || spec->tls == ADDR_TLS_MUTUAL) {
        return err_set(d, ERR_DENIED, "TLS is not built in");
    }
    e = addr_resolve(spec, port, AF_UNSPEC, &found, d);
    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        if (door->count == DOOR_LISTENERS_MAX) {
            e = err_set(d, ERR_RANGE, "more than %d addresses", DOOR_LISTENERS_MAX);
            break;
        }
        e = listener_open_tcp(&door->listener[door->count], ai->ai_addr, ai->ai_addrlen,
                              (int)s->net.backlog, d);
        if (!e) {
            e = door_keep(door, accepts_of(s, spec->proto), d);
        }
        if (e == ERR_INUSE || e == ERR_DENIED || e == ERR_NOMEM) {
            break;
        }
        /* A family that this machine does not have is no reason to fail. */
        e = ERR_OK;
    }
    if (found != NULL) {
        freeaddrinfo(found);
        if (!e && door->count == before) {
            e = ERR_IO;
        }
    }
    return e;
}

static err_t
door_open_tcp(struct door *door, struct err_detail *d)
{
    const struct settings *s = door->node->settings;
    const char *rest = s->net.listen;

    while (rest != NULL) {
        struct addr_spec spec;
        struct err_detail why = { "" };
        err_t e = addr_parse(rest, &spec, &rest, &why);

        if (!e) {
            e = door_open_spec(door, &spec, &why);
        }
        if (e && s->net.listen[0] != '\0') {
            return err_set(d, e, "failed to listen on one of interface(s) %.100s: %.140s",
                           s->net.listen, why.text);
        }
        if (e) {
            return err_set(d, e, "failed to listen on TCP port %lld: %.200s",
                           (long long)s->net.port, why.text);
        }
    }
    return ERR_OK;
}

static err_t
door_open_unix(struct door *door, struct err_detail *d)
{
    const struct settings *s = door->node->settings;
    struct err_detail why = { "" };
    err_t e = listener_open_unix(&door->listener[0], s->net.unix_socket, s->net.unix_mode,
                                 (int)s->net.backlog, &why);

    if (e) {
        return err_set(d, e, "failed to listen on UNIX socket %.100s: %.140s",
                       s->net.unix_socket, why.text);
    }
    return door_keep(door, accepts_of(s, ADDR_PROTO_UNSAID), d);
}

/* Sockets from outside: the settings' addresses do not count then. */
static err_t
door_adopt(struct door *door, int first, int count, struct err_detail *d)
{
    for (int i = 0; i < count; i++) {
        struct err_detail why = { "" };
        err_t e = listener_adopt(&door->listener[door->count], first + i, &why);

        if (e) {
            return err_set(d, e, "cannot use a socket of the service manager: %.180s", why.text);
        }
        e = door_keep(door, accepts_of(door->node->settings, ADDR_PROTO_UNSAID), d);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

err_t
door_open(struct door *door, struct node *n, struct loop *loop, struct err_detail *d)
{
    int first = -1, inherited = systemd_sockets(&first);
    err_t e;

    memset(door, 0, sizeof *door);
    door->node = n;
    door->loop = loop;
    ev_timer_init(&door->retry, door_on_retry, DOOR_RETRY_SECONDS, DOOR_RETRY_SECONDS);
    door->retry.data = door;
    if (inherited > 0) {
        e = door_adopt(door, first, inherited, d);
    } else if (n->settings->net.unix_socket[0] != '\0') {
        e = door_open_unix(door, d);
    } else if (n->settings->net.port != 0) {
        e = door_open_tcp(door, d);
    } else {
        e = ERR_OK;
    }
    if (e) {
        door_close(door);
    }
    return e;
}

unsigned
door_port(const struct door *door)
{
    for (size_t i = 0; i < door->count; i++) {
        if (door->local[i].kind == CONN_TCP || door->local[i].kind == CONN_TCP6) {
            return door->local[i].port;
        }
    }
    return 0;
}

void
door_write_ports(const struct door *door, FILE *out)
{
    for (size_t i = 0; i < door->count; i++) {
        if (door->local[i].kind == CONN_TCP) {
            fprintf(out, "TCP INET: %u\n", door->local[i].port);
        } else if (door->local[i].kind == CONN_TCP6) {
            fprintf(out, "TCP INET6: %u\n", door->local[i].port);
        }
    }
}
