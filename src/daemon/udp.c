#include "daemon/udp.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/address.h"
#include "net/addr.h"
#include "net/datagram.h"
#include "node/packets.h"
#include "node/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(DATAGRAM_SPANS == PACKETS_SPANS, "the two speak of the same spans");

struct udp_seat {
    struct datagram  datagram;
    struct packets  *packets;
    struct conn_row *row;
};

/* -- the packets as the socket sees them --------------------------------------------------- */

static int
seat_rx_space(void *arg, struct iovec iov[DATAGRAM_SPANS])
{
    packets_rx_space(((struct udp_seat *)arg)->packets, iov);
    return 2;
}

static void
seat_rx(void *arg, size_t n, usec_t now)
{
    packets_rx(((struct udp_seat *)arg)->packets, n, now);
}

static int
seat_tx(void *arg, struct iovec iov[DATAGRAM_SPANS])
{
    return packets_tx(((struct udp_seat *)arg)->packets, iov);
}

static void
seat_tx_done(void *arg, bool sent)
{
    struct packets *p = ((struct udp_seat *)arg)->packets;

    if (sent) {
        packets_tx_done(p);
    } else {
        packets_tx_drop(p);
    }
}

static bool
seat_has_work(void *arg)
{
    return packets_has_work(((struct udp_seat *)arg)->packets);
}

static void
seat_resume(void *arg, usec_t now)
{
    packets_resume(((struct udp_seat *)arg)->packets, now);
}

static bool
seat_awaits(void *arg)
{
    return packets_awaits(((struct udp_seat *)arg)->packets);
}

static void
seat_park(void *arg)
{
    packets_park(((struct udp_seat *)arg)->packets);
}

static const struct datagram_ops seat_ops = {
    .rx_space = seat_rx_space,
    .rx = seat_rx,
    .tx = seat_tx,
    .tx_done = seat_tx_done,
    .has_work = seat_has_work,
    .resume = seat_resume,
    .awaits = seat_awaits,
    .park = seat_park,
};

/* -- in the worker ------------------------------------------------------------------------- */

err_t
udp_start(struct udp_desk *desk, struct udp *u, struct worker *w, struct loop *loop)
{
    struct node *n = u->node;

    desk->worker = w;
    desk->seat = u->count > 0 ? calloc(u->count, sizeof *desk->seat) : NULL;
    if (u->count > 0 && desk->seat == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < u->count; i++) {
        struct udp_place *place = &u->place[i];
        struct udp_seat *seat = &desk->seat[i];
        int fd = place->fd[w->index];

        assert(fd >= 0);
        seat->row = conns_open(n->conns, fd, &place->local, &place->local, clock_now());
        if (seat->row == NULL) {
            return ERR_NOMEM;
        }
        desk->count++;
        atomic_store_explicit(&seat->row->state, CONN_READ, memory_order_relaxed);
        metric_add(&n->shared, M_CURR_CONNS, 1);
        metric_add(&n->shared, M_TOTAL_CONNS, 1);
        seat->packets = packets_new(w, seat->row);
        if (seat->packets == NULL) {
            return ERR_NOMEM;
        }
        packets_set_driver(seat->packets, seat);
        place->fd[w->index] = -1;
        datagram_start(&seat->datagram, loop, fd, &seat_ops, seat);
    }
    return ERR_OK;
}

void
udp_push(struct session *s)
{
    struct udp_seat *seat = session_driver(s);

    assert(seat != NULL);
    datagram_push(&seat->datagram);
}

void
udp_stop(struct udp_desk *desk)
{
    for (size_t i = 0; i < desk->count; i++) {
        struct udp_seat *seat = &desk->seat[i];

        datagram_stop(&seat->datagram);
        packets_free(seat->packets);
        conns_close(desk->worker->node->conns, seat->row);
        metric_add(&desk->worker->metrics, M_CURR_CONNS, -1);
    }
    desk->count = 0;
    free(desk->seat);
    desk->seat = NULL;
}

/* -- opening ------------------------------------------------------------------------------- */

static struct conn_addr
place_addr(int fd)
{
    struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof sa;
    struct conn_addr a;

    (void)getsockname(fd, (struct sockaddr *)&sa, &len);
    a = address_of(&sa);
    a.kind = a.kind == CONN_TCP6 ? CONN_UDP6 : CONN_UDP;
    return a;
}

/* A socket for each worker; the first one finds the port, if any will do. */
static err_t
udp_open_place(struct udp *u, const struct addrinfo *ai, struct err_detail *d)
{
    struct udp_place *place = &u->place[u->count];
    char text[160];
    err_t e;

    for (unsigned i = 0; i < NODE_WORKERS_MAX; i++) {
        place->fd[i] = -1;
    }
    e = datagram_open(ai->ai_addr, ai->ai_addrlen, &place->fd[0], d);
    if (e) {
        return e;
    }
    u->count++;
    place->local = place_addr(place->fd[0]);
    for (unsigned i = 1; i < u->workers && !e; i++) {
        e = datagram_open_beside(place->fd[0], &place->fd[i], d);
    }
    if (!e && log_wants(LOG_LEVEL_INFO)) {
        conn_addr_print(&place->local, text, sizeof text);
        log_line(LOG_LEVEL_INFO, "udp: <%d server listening at %s, %u workers", place->fd[0], text,
                 u->workers);
    }
    return e == ERR_OK ? ERR_OK : ERR_NOMEM; /* half of the workers is worse than none */
}

/* All addresses of one entry: at least one must do, and none may be somebody else's. */
static err_t
udp_open_spec(struct udp *u, const struct addr_spec *spec, struct err_detail *d)
{
    const struct settings *s = u->node->settings;
    int port = s->net.udp_port < 0 ? 0 : (int)s->net.udp_port;
    struct addrinfo *found = NULL;
    size_t before = u->count;
    err_t e = addr_resolve(spec, port, AF_UNSPEC, &found, d);

    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        if (u->count == UDP_PLACES_MAX) {
            e = err_set(d, ERR_RANGE, "more than %d addresses", UDP_PLACES_MAX);
            break;
        }
        e = udp_open_place(u, ai, d);
        if (e == ERR_INUSE || e == ERR_DENIED || e == ERR_NOMEM) {
            break;
        }
        /* A family that this machine does not have is no reason to fail. */
        e = ERR_OK;
    }
    if (found != NULL) {
        freeaddrinfo(found);
        if (!e && u->count == before) {
            e = ERR_IO;
        }
    }
    return e;
}

/* All entries of -l. */
static err_t
udp_open_list(struct udp *u, struct err_detail *d)
{
    const struct settings *s = u->node->settings;
    const char *rest = s->net.listen;

    while (rest != NULL) {
        struct addr_spec spec;
        struct err_detail why = { "" };
        err_t e = addr_parse(rest, &spec, &rest, &why);

        if (!e) {
            e = udp_open_spec(u, &spec, &why);
        }
        if (e && s->net.listen[0] != '\0') {
            return err_set(d, e, "failed to listen on one of interface(s) %.100s: %.140s",
                           s->net.listen, why.text);
        }
        if (e) {
            return err_set(d, e, "failed to listen on UDP port %lld: %.200s",
                           (long long)s->net.udp_port, why.text);
        }
    }
    return ERR_OK;
}

err_t
udp_open(struct udp *u, struct node *n, struct err_detail *d)
{
    const struct settings *s = n->settings;
    err_t e;

    *u = (struct udp){ .node = n, .workers = (unsigned)s->net.threads };
    if (s->net.udp_port == 0 || s->net.unix_socket[0] != '\0') {
        return ERR_OK;
    }
    u->place = calloc(UDP_PLACES_MAX, sizeof *u->place);
    if (u->place == NULL) {
        return err_set(d, ERR_NOMEM, "out of memory for the UDP sockets");
    }
    e = udp_open_list(u, d);
    if (e) {
        udp_close(u);
    }
    return e;
}

void
udp_write_ports(const struct udp *u, FILE *out)
{
    for (size_t i = 0; i < u->count; i++) {
        fprintf(out, "UDP %s: %u\n", u->place[i].local.kind == CONN_UDP6 ? "INET6" : "INET",
                u->place[i].local.port);
    }
}

void
udp_close(struct udp *u)
{
    for (size_t i = 0; i < u->count; i++) {
        for (unsigned j = 0; j < u->workers; j++) {
            if (u->place[i].fd[j] >= 0) {
                (void)close(u->place[i].fd[j]);
            }
        }
    }
    free(u->place);
    u->place = NULL;
    u->count = 0;
}
