#include "net/connect.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

socklen_t
connect_address(const uint8_t ip[16], uint16_t port, struct sockaddr_storage *ret)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

    memset(ret, 0, sizeof *ret);
    if (memcmp(ip, mapped, sizeof mapped) == 0) {
        memcpy(&v4.sin_addr, ip + 12, 4);
        memcpy(ret, &v4, sizeof v4);
        return sizeof v4;
    }
    memcpy(&v6.sin6_addr, ip, 16);
    memcpy(ret, &v6, sizeof v6);
    return sizeof v6;
}

/* Idle again; returns the descriptor, which is the caller's. */
static int
connect_end(struct connect *c)
{
    int fd = c->io.fd;

    assert(c->loop != NULL && fd >= 0);
    ev_io_stop(c->loop->ev, &c->io);
    ev_timer_stop(c->loop->ev, &c->timer);
    c->loop = NULL;
    return fd;
}

static void
connect_decided(struct connect *c, int error)
{
    int fd = connect_end(c);

    if (error != 0) {
        (void)close(fd);
        fd = -1;
    }
    c->done(c->arg, fd, error);
}

/*
 * Two sockets that call each other at the same time are one connection, and so is one that calls
 * itself: it may happen to be given the very port that it calls, if nobody listens there.
 */
static bool
socket_called_itself(int fd)
{
    struct sockaddr_storage local = { 0 }, peer = { 0 };
    socklen_t local_len = sizeof local, peer_len = sizeof peer;

    return getsockname(fd, (struct sockaddr *)&local, &local_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && local_len == peer_len &&
           memcmp(&local, &peer, local_len) == 0;
}

static void
connect_on_writable(struct ev_loop *ev, struct ev_io *w, int events)
{
    socklen_t len = sizeof(int);
    int error = 0;

    (void)ev;
    (void)events;
    if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        error = errno;
    }
    if (error == 0 && socket_called_itself(w->fd)) {
        error = ECONNREFUSED;
    }
    connect_decided(w->data, error);
}

static void
connect_on_timer(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)events;
    connect_decided(w->data, ETIMEDOUT);
}

int
connect_start(struct connect *c, struct loop *loop, const uint8_t ip[16], uint16_t port,
              usec_t timeout, void (*done)(void *arg, int fd, int error), void *arg)
{
    struct sockaddr_storage sa;
    socklen_t len = connect_address(ip, port, &sa);
    int fd, error, one = 1;

    assert(c->loop == NULL && done != NULL && timeout > 0);
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        error = errno;
        (void)close(fd);
        return error;
    }
    c->loop = loop;
    c->done = done;
    c->arg = arg;
    ev_io_init(&c->io, connect_on_writable, fd, EV_WRITE);
    ev_timer_init(&c->timer, connect_on_timer, (double)timeout / (double)USEC_PER_SEC, 0.);
    c->io.data = c;
    c->timer.data = c;
    ev_io_start(loop->ev, &c->io);
    ev_timer_start(loop->ev, &c->timer);
    return 0;
}

void
connect_cancel(struct connect *c)
{
    if (c->loop != NULL) {
        (void)close(connect_end(c));
    }
}

bool
connect_is_under_way(const struct connect *c)
{
    return c->loop != NULL;
}
