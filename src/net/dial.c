#include "net/dial.h"
#include "net/addr.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Waits until a connect() under way is decided; 0 or an errno. */
static int
connect_wait(int fd, usec_t timeout)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    socklen_t len = sizeof(int);
    int rc, error = 0;

    do {
        rc = poll(&p, 1, (int)(timeout / USEC_PER_MSEC));
    } while (rc < 0 && errno == EINTR);
    if (rc <= 0) {
        return rc == 0 ? ETIMEDOUT : errno;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ? errno : error;
}

/* A connected, blocking socket, or -1 and errno. */
static int
address_connect(const struct sockaddr *sa, socklen_t len, usec_t timeout)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error, one = 1;

    if (fd < 0) {
        return -1;
    }
    error = connect(fd, sa, len) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        error = connect_wait(fd, timeout);
    }
    if (error == 0 && fcntl(fd, F_SETFL, 0) != 0) {
        error = errno;
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    if (sa->sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

static err_t
path_connect(const char *path, usec_t timeout, int *ret, struct err_detail *d)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof sa.sun_path) {
        return err_set(d, ERR_RANGE, "%s: too long for a socket", path);
    }
    memcpy(sa.sun_path, path, strlen(path));
    fd = address_connect((const struct sockaddr *)&sa, sizeof sa, timeout);
    if (fd < 0) {
        return err_set(d, ERR_IO, "%s: %s", path, strerror(errno));
    }
    *ret = fd;
    return ERR_OK;
}

err_t
dial_connect(const char *place, int port, usec_t timeout, int *ret, struct err_detail *d)
{
    struct addrinfo *list;
    struct addr_spec spec;
    const char *rest;
    int fd = -1;
    err_t e;

    if (strchr(place, '/')) {
        return path_connect(place, timeout, ret, d);
    }
    e = addr_parse(place, &spec, &rest, d);
    if (e) {
        return e;
    }
    if (rest || spec.host[0] == '\0') {
        return err_set(d, ERR_INVALID, "\"%s\" is not one server", place);
    }
    e = addr_resolve(&spec, port, AF_UNSPEC, &list, d);
    if (e) {
        return e;
    }
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = address_connect(a->ai_addr, a->ai_addrlen, timeout);
    }
    e = fd < 0 ? err_set(d, ERR_IO, "%s: %s", place, strerror(errno)) : ERR_OK;
    freeaddrinfo(list);
    if (!e) {
        *ret = fd;
    }
    return e;
}
