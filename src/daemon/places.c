#include "daemon/places.h"
#include "daemon/place.h"
#include "net/addr.h"
#include "net/datagram.h"
#include "vocab/settings.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLACES_PORT_TRIES  32 /* a free port must be so for both protocols everywhere */
#define PLACES_PACKETS_MAX 64 /* received in a turn at one place */
#define PLACES_RCVBUF      (1 << 20) /* bytes: a whole cluster may speak at once */

/* -- what comes -------------------------------------------------------------------------------- */

static void
place_on_datagram(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct place *p = w->data;
    struct places *all = p->all;

    (void)ev;
    (void)events;
    for (int i = 0; i < PLACES_PACKETS_MAX && p->udp_fd >= 0; i++) {
        struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
        socklen_t len = sizeof sa;
        ssize_t n = recvfrom(p->udp_fd, all->rx, sizeof all->rx, MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&sa, &len);
        struct cluster_addr from;

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        if (n >= 0 && place_addr_of((struct sockaddr *)&sa, &from)) {
            all->ops->datagram(all->arg, &from, (size_t)n);
        }
    }
}

static void
place_on_accepted(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct places *all = arg;
    struct cluster_addr from;

    (void)l;
    if (place_addr_of((const struct sockaddr *)peer, &from)) {
        all->ops->accepted(all->arg, fd, &from);
    } else {
        (void)close(fd);
    }
}

static void
place_on_starved(void *arg, struct listener *l, int error)
{
    struct places *all = arg;

    listener_pause(l);
    all->paused = true;
    all->ops->starved(all->arg, error);
}

static const struct listener_ops place_ops = {
    .accepted = place_on_accepted,
    .starved = place_on_starved,
};

void
places_start(struct places *p, struct loop *loop, const struct places_ops *ops, void *arg)
{
    assert(p->loop == NULL);
    p->loop = loop;
    p->ops = ops;
    p->arg = arg;
    for (size_t i = 0; i < p->count; i++) {
        listener_start(&p->place[i].tcp, loop, &place_ops, p);
        ev_io_start(loop->ev, &p->place[i].udp);
    }
}

void
places_resume(struct places *p)
{
    for (size_t i = 0; i < p->count && p->paused; i++) {
        listener_resume(&p->place[i].tcp);
    }
    p->paused = false;
}

/* -- what goes --------------------------------------------------------------------------------- */

/* The place to send from: of the same family, and on the same side of the loopback if there is a
 * choice. */
static struct place *
place_for(struct places *all, const struct cluster_addr *to)
{
    struct place *found = NULL;

    for (size_t i = 0; i < all->count; i++) {
        struct place *p = &all->place[i];

        if (place_is_v4(&p->local) != place_is_v4(to)) {
            continue;
        }
        if (place_is_any(&p->local) ||
            place_is_loopback(&p->local) == place_is_loopback(to)) {
            return p;
        }
        found = found == NULL ? p : found;
    }
    return found;
}

bool
places_send(struct places *p, const struct cluster_addr *to, const void *bytes, size_t n)
{
    const struct place *from = place_for(p, to);
    struct sockaddr_storage sa;
    socklen_t len = place_sockaddr(to, &sa);

    return from != NULL && sendto(from->udp_fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL,
                                  (struct sockaddr *)&sa, len) >= 0;
}

/* -- opening ----------------------------------------------------------------------------------- */

void
places_close(struct places *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct place *p = &all->place[i];

        if (all->loop != NULL) {
            ev_io_stop(all->loop->ev, &p->udp);
        }
        (void)close(p->udp_fd);
        p->udp_fd = -1;
        listener_close(&p->tcp);
    }
    all->count = 0;
    all->loop = NULL;
}

/* Both sockets at one address; port 0 finds one, which is all->port then. */
static err_t
place_open(struct places *all, const struct sockaddr *sa, struct err_detail *d)
{
    struct place *p = &all->place[all->count];
    const int rcvbuf = PLACES_RCVBUF;
    struct sockaddr_storage at;
    struct cluster_addr a;
    socklen_t len;
    err_t e;

    if (!place_addr_of(sa, &a)) {
        return err_set(d, ERR_INVALID, "neither IPv4 nor IPv6");
    }
    for (size_t i = 0; i < all->count; i++) {
        if (memcmp(all->place[i].local.ip, a.ip, sizeof a.ip) == 0) {
            return ERR_OK;
        }
    }
    if (all->count == PLACES_MAX) {
        return err_set(d, ERR_RANGE, "more than %d addresses", PLACES_MAX);
    }
    *p = (struct place){ .all = all, .udp_fd = -1 };
    a.port = (uint16_t)all->port;
    len = place_sockaddr(&a, &at);
    e = listener_open_tcp(&p->tcp, (struct sockaddr *)&at, len,
                          (int)all->settings->net.backlog, d);
    if (e) {
        return e;
    }
    a.port = addr_port((struct sockaddr *)&p->tcp.local);
    len = place_sockaddr(&a, &at);
    e = datagram_open((struct sockaddr *)&at, len, &p->udp_fd, d);
    if (e) {
        listener_close(&p->tcp);
        return e;
    }
    /* As far as the system lets us. */
    (void)setsockopt(p->udp_fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    all->port = a.port;
    p->local = a;
    ev_io_init(&p->udp, place_on_datagram, p->udp_fd, EV_READ);
    p->udp.data = p;
    all->count++;
    return ERR_OK;
}

/* All addresses of one entry of -l: at least one must do, and none may be somebody else's. */
static err_t
places_open_spec(struct places *all, struct addr_spec *spec, struct err_detail *d)
{
    struct addrinfo *found = NULL;
    size_t before = all->count;
    err_t e;

    spec->port = ADDR_PORT_NONE; /* that is for clients */
    e = addr_resolve(spec, (int)all->port, AF_UNSPEC, &found, d);
    for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
        e = place_open(all, ai->ai_addr, d);
        if (e == ERR_INUSE || e == ERR_DENIED || e == ERR_NOMEM || e == ERR_RANGE) {
            break;
        }
        /* A family that this machine does not have is no reason to fail. */
        e = all->count > 0 ? ERR_OK : e;
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return all->count > before ? (e == ERR_IO ? ERR_OK : e) : e;
}

static err_t
places_open_at(struct places *all, unsigned port, struct err_detail *d)
{
    const char *rest = all->settings->net.listen;
    err_t e = ERR_OK;

    all->port = port;
    while (rest != NULL && !e) {
        struct addr_spec spec;

        e = addr_parse(rest, &spec, &rest, d);
        if (!e) {
            e = places_open_spec(all, &spec, d);
        }
    }
    if (e) {
        places_close(all);
    }
    return e;
}

err_t
places_open(struct places *all, const struct settings *settings, unsigned client_port,
            struct err_detail *d)
{
    int64_t wanted = settings->cluster.cluster_port;
    struct err_detail why = { "" };
    err_t e = ERR_OK;

    all->settings = settings;
    if (wanted == 0 && client_port == 0) {
        return err_set(d, ERR_INVALID, "without a TCP port for clients a cluster_port is needed");
    }
    if (wanted == 0) {
        wanted = (int64_t)client_port + PLACES_PORT_OFFSET;
        if (wanted > 65535 && all->settings->net.port > 0) {
            return err_set(d, ERR_RANGE, "port %u + %d is none, give a cluster_port",
                           client_port, PLACES_PORT_OFFSET);
        }
    }
    if (wanted < 0 || wanted > 65535) {
        wanted = 0;
    }
    for (int i = 0; i < (wanted == 0 ? PLACES_PORT_TRIES : 1); i++) {
        e = places_open_at(all, (unsigned)wanted, &why);
        if (e != ERR_INUSE) {
            break;
        }
    }
    if (e) {
        return err_set(d, e, "failed to listen on cluster port %lld: %.180s", (long long)wanted,
                       why.text);
    }
    return ERR_OK;
}

bool
places_address(const struct places *p, struct cluster_addr *ret)
{
    bool found = false;

    for (size_t i = 0; i < p->count; i++) {
        const struct cluster_addr *a = &p->place[i].local;

        if (place_is_any(a)) {
            return false;
        }
        if (!found || place_is_loopback(ret)) {
            *ret = *a;
            found = true;
        }
    }
    return found;
}
