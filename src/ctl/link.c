#include "ctl/link.h"
#include "net/dial.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT  11211
#define CHUNK 16384 /* bytes asked for at once */

err_t
link_open(struct link *l, const char *place, usec_t timeout, struct err_detail *d)
{
    struct timeval t = { .tv_sec = timeout / USEC_PER_SEC, .tv_usec = timeout % USEC_PER_SEC };
    err_t e;

    *l = (struct link){ .fd = -1, .place = place };
    e = dial_connect(place, PORT, timeout, &l->fd, d);
    if (!e) {
        setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
        setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    }
    return e;
}

void
link_close(struct link *l)
{
    if (l->fd > 0) {
        close(l->fd);
    }
    buf_free(&l->in);
    l->fd = -1;
}

static err_t
link_fail(const struct link *l, const char *what, struct err_detail *d)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return err_set(d, ERR_TIMEOUT, "%s: no answer in time", l->place);
    }
    return err_set(d, ERR_IO, "%s: %s: %s", l->place, what, strerror(errno));
}

err_t
link_send(struct link *l, struct slice bytes, struct err_detail *d)
{
    while (bytes.len > 0) {
        ssize_t n = send(l->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            return link_fail(l, "send()", d);
        }
        bytes = slice_from(bytes, n < 0 ? 0 : (size_t)n);
    }
    return ERR_OK;
}

/* Receives some bytes behind those that are there. */
static err_t
link_receive(struct link *l, struct err_detail *d)
{
    ssize_t n;

    if (!buf_reserve(&l->in, CHUNK)) {
        return err_set(d, ERR_NOMEM, "no memory for the answer");
    }
    do {
        n = recv(l->fd, l->in.ptr + l->in.len, CHUNK, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return link_fail(l, "recv()", d);
    }
    if (n == 0) {
        return err_set(d, ERR_IO, "%s: the server closed the connection", l->place);
    }
    l->in.len += (size_t)n;
    return ERR_OK;
}

/* Forgets what was handed out. */
static void
link_advance(struct link *l)
{
    if (l->used > 0) {
        buf_shift(&l->in, l->used);
        l->used = 0;
    }
}

err_t
link_line(struct link *l, struct slice *ret, struct err_detail *d)
{
    size_t searched = 0;

    link_advance(l);
    for (;;) {
        const char *nl =
            l->in.len > searched ? memchr(l->in.ptr + searched, '\n', l->in.len - searched) : NULL;
        err_t e;

        if (nl) {
            l->used = (size_t)(nl + 1 - l->in.ptr);
            *ret = slice_of(l->in.ptr, l->used - 1);
            ret->len -= ret->len > 0 && nl[-1] == '\r';
            return ERR_OK;
        }
        searched = l->in.len;
        if (searched > LINK_LINE_MAX) {
            return err_set(d, ERR_CORRUPT, "%s: a line without an end", l->place);
        }
        e = link_receive(l, d);
        if (e) {
            return e;
        }
    }
}

err_t
link_bytes(struct link *l, size_t n, struct slice *ret, struct err_detail *d)
{
    link_advance(l);
    while (l->in.len < n) {
        err_t e = link_receive(l, d);

        if (e) {
            return e;
        }
    }
    l->used = n;
    *ret = slice_of(l->in.ptr, n);
    return ERR_OK;
}
