#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_SPANS     64 /* of one send */
#define STREAM_SENDS_MAX 16 /* of one turn: a fast reader of a huge value does not own the loop */

static void
stream_close(struct stream *s, enum stream_end why)
{
    int fd = s->io.fd;

    loop_cancel(&s->job);
    ev_io_stop(s->loop->ev, &s->io);
    s->io.fd = -1;
    /* Linux frees the descriptor even when close() is interrupted. */
    (void)close(fd);
    s->ops->closed(s->arg, why);
}

/* Watches for these events; tells the kernel only of a change. */
static void
stream_watch(struct stream *s, int events)
{
    if ((s->io.events & (EV_READ | EV_WRITE)) == events && (ev_is_active(&s->io) || events == 0)) {
        return;
    }
    ev_io_stop(s->loop->ev, &s->io);
    ev_io_set(&s->io, s->io.fd, events);
    if (events != 0) {
        ev_io_start(s->loop->ev, &s->io);
    }
}

/* Sends spans without raising SIGPIPE: bytes sent, or -1 with errno. */
static ssize_t
stream_send(struct stream *s, struct iovec *iov, int count)
{
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)count };

    if (count == 1) {
        return send(s->io.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    }
    return sendmsg(s->io.fd, &msg, MSG_NOSIGNAL);
}

enum stream_flushed { STREAM_EMPTY, STREAM_LEFT, STREAM_BROKEN };

/* Sends what there is, until it is gone or the socket is full. */
static enum stream_flushed
stream_flush(struct stream *s)
{
    for (int round = 0; round < STREAM_SENDS_MAX; round++) {
        struct iovec iov[STREAM_SPANS];
        int count = s->ops->tx(s->arg, iov, STREAM_SPANS);
        size_t total = 0;
        ssize_t n;

        if (count == 0) {
            return STREAM_EMPTY;
        }
        for (int i = 0; i < count; i++) {
            total += iov[i].iov_len;
        }
        n = stream_send(s, iov, count);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
                return STREAM_LEFT;
            }
            s->error = errno;
            return STREAM_BROKEN;
        }
        s->ops->tx_done(s->arg, (size_t)n);
        if ((size_t)n < total) {
            return STREAM_LEFT;
        }
    }
    return STREAM_LEFT;
}

/* Ends a turn whose replies were flushed: decides what to wait for. */
static void
stream_settle(struct stream *s, enum stream_flushed flushed)
{
    if (flushed == STREAM_BROKEN) {
        stream_close(s, STREAM_RESET);
        return;
    }
    if (flushed == STREAM_EMPTY && s->ops->is_over(s->arg)) {
        stream_close(s, STREAM_DONE);
        return;
    }
    if (!s->ops->park(s->arg)) {
        stream_close(s, STREAM_NOMEM);
        return;
    }
    if (flushed == STREAM_LEFT) {
        loop_cancel(&s->job);
        stream_watch(s, EV_WRITE | (!s->eof && s->ops->wants_more(s->arg) ? EV_READ : 0));
        return;
    }
    if (s->ops->has_work(s->arg) || (s->draining && !s->eof)) {
        /* The socket stays as it is watched: this is over in a turn or two. */
        loop_defer(s->loop, &s->job);
        return;
    }
    stream_watch(s, s->eof ? 0 : EV_READ);
}

static void
stream_turn_end(struct stream *s)
{
    stream_settle(s, stream_flush(s));
}

/* Reads once.  False: the stream is gone or there was nothing, the turn ends here. */
static bool
stream_read(struct stream *s)
{
    struct iovec space = s->ops->rx_space(s->arg);
    ssize_t n;

    if (space.iov_len == 0) {
        if (s->ops->is_over(s->arg)) {
            stream_close(s, STREAM_NOMEM);
        } else if ((s->io.events & EV_WRITE) != 0) {
            stream_turn_end(s); /* it has enough now; what waits to be sent goes on */
        } else {
            /* stream_push() watches again when the owner says so. */
            stream_watch(s, 0);
        }
        return false;
    }
    n = recv(s->io.fd, space.iov_base, space.iov_len, 0);
    if (n > 0) {
        s->ops->rx(s->arg, (size_t)n, s->loop->now);
        return true;
    }
    if (n == 0) {
        s->eof = true;
        s->ops->rx_end(s->arg);
        return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        if (s->draining) {
            s->eof = true;
            s->ops->rx_end(s->arg);
            return true;
        }
        /* rx_space() lent the room for this turn: give it back. */
        stream_turn_end(s);
        return false;
    }
    s->error = errno;
    stream_close(s, STREAM_RESET);
    return false;
}

/* One turn of whatever is due. */
static void
stream_turn(struct stream *s, int events)
{
    if (s->ops->has_work(s->arg)) {
        loop_cancel(&s->job);
        if ((s->io.events & EV_WRITE) != 0) {
            /* Replies go first; resume() would only find them in its way. */
            enum stream_flushed flushed = stream_flush(s);

            if (flushed != STREAM_EMPTY) {
                stream_settle(s, flushed);
                return;
            }
        }
        s->ops->resume(s->arg, s->loop->now);
    } else if ((events & EV_READ) != 0 && !s->eof && !stream_read(s)) {
        return;
    }
    stream_turn_end(s);
}

static void
stream_on_event(struct ev_loop *ev, struct ev_io *w, int events)
{
    (void)ev;
    stream_turn(w->data, events);
}

static void
stream_on_job(struct loop_job *job)
{
    struct stream *s = (struct stream *)((char *)job - offsetof(struct stream, job));

    stream_turn(s, s->draining ? EV_READ : 0);
}

void
stream_start(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, void *arg)
{
    assert(fd >= 0 && s->loop == NULL);
    s->loop = loop;
    s->ops = ops;
    s->arg = arg;
    s->job.run = stream_on_job;
    ev_io_init(&s->io, stream_on_event, fd, EV_READ);
    s->io.data = s;
    ev_io_start(loop->ev, &s->io);
}

void
stream_push(struct stream *s)
{
    if ((s->io.events & EV_WRITE) != 0 && !s->ops->is_over(s->arg)) {
        /* The socket is full, and what is new waits behind the rest.  The turn ends all the same:
         * bytes may have been lent for it. */
        stream_settle(s, STREAM_LEFT);
        return;
    }
    stream_turn(s, 0);
}

void
stream_drain(struct stream *s)
{
    s->draining = true;
    if ((s->io.events & EV_WRITE) == 0) {
        stream_turn(s, EV_READ);
    }
}

void
stream_kill(struct stream *s)
{
    stream_close(s, STREAM_KILLED);
}

int
stream_fd(const struct stream *s)
{
    return s->io.fd;
}

void
stream_limit_unsent(struct stream *s, int bytes)
{
    (void)setsockopt(s->io.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}
