#include "net/datagram.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define DATAGRAM_RX_MAX 32  /* requests of one turn */
#define DATAGRAM_TX_MAX 256 /* datagrams sent in one turn */

/* -- opening ------------------------------------------------------------------------------- */

static err_t
datagram_fail(int fd, struct err_detail *d, const char *what)
{
    int error = errno;

    if (fd >= 0) {
        (void)close(fd);
    }
    return err_set(d, error == EADDRINUSE ? ERR_INUSE : error == EACCES ? ERR_DENIED : ERR_IO,
                   "%s: %s", what, strerror(error));
}

static err_t
option_set(int fd, int level, int name, struct err_detail *d, const char *what)
{
    static const int on = 1;

    return setsockopt(fd, level, name, &on, sizeof on) < 0 ? datagram_fail(-1, d, what) : ERR_OK;
}

/* A socket bound to sa, that shares the place from the beginning or not. */
static err_t
datagram_bind(const struct sockaddr *sa, socklen_t len, bool shares, int *ret_fd,
              struct err_detail *d)
{
    int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    err_t e = ERR_OK;

    if (fd < 0) {
        return datagram_fail(-1, d, "socket()");
    }
    if (sa->sa_family == AF_INET6) {
        e = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, d, "setsockopt(IPV6_V6ONLY)");
    }
    if (!e && shares) {
        e = option_set(fd, SOL_SOCKET, SO_REUSEPORT, d, "setsockopt(SO_REUSEPORT)");
    }
    if (e) {
        (void)close(fd);
        return e;
    }
    if (bind(fd, sa, len) < 0) {
        return datagram_fail(fd, d, "bind()");
    }
    *ret_fd = fd;
    return ERR_OK;
}

err_t
datagram_open(const struct sockaddr *sa, socklen_t len, int *ret_fd, struct err_detail *d)
{
    int fd = -1;
    /*
     * SO_REUSEPORT comes after bind(): before it, another server of the same user could be bound
     * there, and the two would share its requests without a word.
     */
    err_t e = datagram_bind(sa, len, false, &fd, d);

    if (!e) {
        e = option_set(fd, SOL_SOCKET, SO_REUSEPORT, d, "setsockopt(SO_REUSEPORT)");
        if (e) {
            (void)close(fd);
        } else {
            *ret_fd = fd;
        }
    }
    return e;
}

err_t
datagram_open_beside(int fd, int *ret_fd, struct err_detail *d)
{
    struct sockaddr_storage place = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof place;

    if (getsockname(fd, (struct sockaddr *)&place, &len) < 0) {
        return datagram_fail(-1, d, "getsockname()");
    }
    return datagram_bind((struct sockaddr *)&place, len, true, ret_fd, d);
}

/* -- serving ------------------------------------------------------------------------------- */

/* Sends what is answered, until it is gone or *budget is used up. */
static void
datagram_flush(struct datagram *g, int *budget)
{
    while (*budget > 0) {
        struct iovec iov[DATAGRAM_SPANS];
        int count = g->ops->tx(g->arg, iov);
        struct msghdr msg = {
            .msg_name = &g->peer,
            .msg_namelen = g->peer_len,
            .msg_iov = iov,
            .msg_iovlen = (size_t)count,
        };
        ssize_t n;

        if (count == 0) {
            return;
        }
        do {
            n = sendmsg(g->io.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
        g->ops->tx_done(g->arg, n >= 0);
        (*budget)--;
    }
}

/* Receives one request; false: there is none. */
static bool
datagram_receive(struct datagram *g)
{
    struct iovec iov[DATAGRAM_SPANS];
    struct msghdr msg = { .msg_name = &g->peer, .msg_namelen = sizeof g->peer, .msg_iov = iov };
    ssize_t n;

    msg.msg_iovlen = (size_t)g->ops->rx_space(g->arg, iov);
    n = recvmsg(g->io.fd, &msg, MSG_DONTWAIT);
    if (n < 0) {
        /* Whatever a socket that is not connected has to report is about somebody's answer. */
        return errno != EAGAIN && errno != EWOULDBLOCK;
    }
    g->peer_len = msg.msg_namelen;
    if ((msg.msg_flags & MSG_TRUNC) == 0) {
        g->ops->rx(g->arg, (size_t)n, g->loop->now);
    }
    return true;
}

/* One turn: finishes what was put off, then takes requests. */
static void
datagram_turn(struct datagram *g)
{
    int tx = DATAGRAM_TX_MAX, rx = DATAGRAM_RX_MAX;
    bool more = true;

    loop_cancel(&g->job);
    while (more && rx > 0) {
        datagram_flush(g, &tx);
        if (tx == 0) {
            break;
        }
        rx--;
        if (g->ops->has_work(g->arg)) {
            g->ops->resume(g->arg, g->loop->now);
        } else if (g->ops->awaits(g->arg)) {
            break;
        } else {
            more = datagram_receive(g);
        }
    }
    datagram_flush(g, &tx);
    g->ops->park(g->arg);
    if (tx == 0 || g->ops->has_work(g->arg)) {
        loop_defer(g->loop, &g->job);
    }
}

static void
datagram_on_event(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct datagram *g = w->data;

    (void)events;
    if (g->ops->awaits(g->arg)) {
        /* Only now: most often nothing comes meanwhile, and the kernel need not be told twice. */
        ev_io_stop(ev, w);
        return;
    }
    datagram_turn(g);
}

void
datagram_push(struct datagram *g)
{
    assert(g->loop != NULL);
    datagram_turn(g);
    if (!g->ops->awaits(g->arg)) {
        ev_io_start(g->loop->ev, &g->io);
    }
}

static void
datagram_on_job(struct loop_job *job)
{
    datagram_turn((struct datagram *)((char *)job - offsetof(struct datagram, job)));
}

void
datagram_start(struct datagram *g, struct loop *loop, int fd, const struct datagram_ops *ops,
               void *arg)
{
    assert(fd >= 0 && g->loop == NULL);
    g->loop = loop;
    g->ops = ops;
    g->arg = arg;
    g->job.run = datagram_on_job;
    ev_io_init(&g->io, datagram_on_event, fd, EV_READ);
    g->io.data = g;
    ev_io_start(loop->ev, &g->io);
}

void
datagram_stop(struct datagram *g)
{
    if (g->loop == NULL) {
        return;
    }
    loop_cancel(&g->job);
    ev_io_stop(g->loop->ev, &g->io);
    (void)close(g->io.fd);
    g->loop = NULL;
}
