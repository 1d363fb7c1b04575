#define _GNU_SOURCE /* accept4() */
#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections a turn: a storm does not keep the loop from the rest. */
#define LISTENER_ACCEPTS_MAX 64

static void
listener_on_event(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct listener *l = w->data;

    (void)ev;
    (void)events;
    for (int i = 0; i < LISTENER_ACCEPTS_MAX && ev_is_active(&l->io); i++) {
        struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
        socklen_t len = sizeof peer;
        int fd = accept4(l->io.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            l->ops->accepted(l->arg, l, fd, &peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            l->ops->starved(l->arg, l, errno);
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }
        /* The client went away while it waited (ECONNABORTED and the like): the next, please. */
    }
}

static err_t
listener_fail(int fd, struct err_detail *d, const char *what)
{
    int error = errno;

    if (fd >= 0) {
        (void)close(fd);
    }
    return err_set(d, error == EADDRINUSE ? ERR_INUSE : error == EACCES ? ERR_DENIED : ERR_IO,
                   "%s: %s", what, strerror(error));
}

/* What must be said before bind(). */
static err_t
listener_set_options(int fd, int family, struct err_detail *d)
{
    static const int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) {
        return listener_fail(-1, d, "setsockopt(SO_REUSEADDR)");
    }
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) {
        return listener_fail(-1, d, "setsockopt(IPV6_V6ONLY)");
    }
    return ERR_OK;
}

/* Options that accepted sockets inherit, so that a connection costs no setsockopt(). */
static err_t
listener_set_inherited(int fd, int family, struct err_detail *d)
{
    static const int on = 1;

    if (family == AF_UNIX) {
        return ERR_OK;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0) {
        return listener_fail(-1, d, "setsockopt(SO_KEEPALIVE)");
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) {
        return listener_fail(-1, d, "setsockopt(TCP_NODELAY)");
    }
    return ERR_OK;
}

err_t
listener_adopt(struct listener *l, int fd, struct err_detail *d)
{
    socklen_t len = sizeof l->local, listens_len = sizeof(int);
    int listens = 0;
    err_t e;

    assert(!l->is_open);
    memset(&l->local, 0, sizeof l->local);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) < 0) {
        return listener_fail(fd, d, "getsockopt(SO_ACCEPTCONN)");
    }
    if (!listens) {
        (void)close(fd);
        return err_set(d, ERR_INVALID, "descriptor %d is no listening stream socket", fd);
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return listener_fail(fd, d, "fcntl()");
    }
    if (getsockname(fd, (struct sockaddr *)&l->local, &len) < 0) {
        return listener_fail(fd, d, "getsockname()");
    }
    e = listener_set_inherited(fd, l->local.ss_family, d);
    if (e) {
        (void)close(fd);
        return e;
    }
    l->path[0] = '\0';
    if (l->local.ss_family == AF_UNIX) {
        memcpy(l->path, ((struct sockaddr_un *)&l->local)->sun_path, sizeof l->path - 1);
    }
    ev_io_init(&l->io, listener_on_event, fd, EV_READ);
    l->io.data = l;
    l->loop = NULL;
    l->is_open = true;
    return ERR_OK;
}

err_t
listener_open_tcp(struct listener *l, const struct sockaddr *sa, socklen_t len, int backlog,
                  struct err_detail *d)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    err_t e;

    if (fd < 0) {
        return listener_fail(-1, d, "socket()");
    }
    e = listener_set_options(fd, sa->sa_family, d);
    if (e) {
        (void)close(fd);
        return e;
    }
    if (bind(fd, sa, len) < 0) {
        return listener_fail(fd, d, "bind()");
    }
    if (listen(fd, backlog) < 0) {
        return listener_fail(fd, d, "listen()");
    }
    return listener_adopt(l, fd, d);
}

/* Removes the file at sa if it is a socket where nobody listens any more. */
static err_t
listener_unlink_stale(const struct sockaddr_un *sa, struct err_detail *d)
{
    struct stat st;
    int fd;

    if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return ERR_OK;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return listener_fail(-1, d, "socket()");
    }
    if (connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || errno == EAGAIN) {
        (void)close(fd);
        return err_set(d, ERR_INUSE, "another process listens at %s", sa->sun_path);
    }
    (void)close(fd);
    (void)unlink(sa->sun_path);
    return ERR_OK;
}

err_t
listener_open_unix(struct listener *l, const char *path, unsigned mode, int backlog,
                   struct err_detail *d)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    mode_t umask_before;
    int fd, rc;
    err_t e;

    if (strlen(path) >= sizeof sa.sun_path) {
        return err_set(d, ERR_INVALID, "the path of a Unix socket has at most %zu characters",
                       sizeof sa.sun_path - 1);
    }
    strcpy(sa.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return listener_fail(-1, d, "socket()");
    }
    e = listener_set_options(fd, AF_UNIX, d);
    if (!e) {
        e = listener_unlink_stale(&sa, d);
    }
    if (e) {
        (void)close(fd);
        return e;
    }
    /* The file must never be open wider than asked, not even for a moment. */
    umask_before = umask((mode_t)(~mode & 0777));
    rc = bind(fd, (struct sockaddr *)&sa, sizeof sa);
    umask(umask_before);
    if (rc < 0) {
        return listener_fail(fd, d, "bind()");
    }
    if (listen(fd, backlog) < 0) {
        return listener_fail(fd, d, "listen()");
    }
    return listener_adopt(l, fd, d);
}

int
listener_fd(const struct listener *l)
{
    return l->io.fd;
}

void
listener_start(struct listener *l, struct loop *loop, const struct listener_ops *ops, void *arg)
{
    assert(l->is_open && l->loop == NULL);
    l->loop = loop;
    l->ops = ops;
    l->arg = arg;
    ev_io_start(loop->ev, &l->io);
}

void
listener_pause(struct listener *l)
{
    if (l->is_open && l->loop != NULL) {
        ev_io_stop(l->loop->ev, &l->io);
    }
}

void
listener_resume(struct listener *l)
{
    if (l->is_open && l->loop != NULL) {
        ev_io_start(l->loop->ev, &l->io);
    }
}

void
listener_close(struct listener *l)
{
    if (!l->is_open) {
        return;
    }
    listener_pause(l);
    (void)close(l->io.fd);
    l->is_open = false;
    l->loop = NULL;
}
