#include "daemon/call.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum peer_fault
call_fault(int error)
{
    switch (error) {
    case 0:
        return PEER_FAULT_NONE;
    case ECONNREFUSED:
        return PEER_FAULT_REFUSED;
    case ETIMEDOUT:
        return PEER_FAULT_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EACCES:
    case EPERM:
    case EINVAL:
    case EAFNOSUPPORT:
        return PEER_FAULT_UNREACHABLE;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL:
    case EAGAIN:
        return PEER_FAULT_RESOURCES;
    default:
        return PEER_FAULT_RESET;
    }
}

/* Idle again.  Returns the descriptor, which is the caller's, or -1. */
static int
call_end(struct call *c)
{
    int fd = c->fd;

    assert(c->loop != NULL);
    connect_cancel(&c->connect);
    if (fd >= 0) {
        ev_io_stop(c->loop->ev, &c->io);
    }
    ev_timer_stop(c->loop->ev, &c->timer);
    c->fd = -1;
    c->loop = NULL;
    return fd;
}

static void
call_fail(struct call *c, const struct peer_hello *answer, enum peer_fault fault)
{
    int fd = call_end(c);

    assert(fault != PEER_FAULT_NONE);
    if (fd >= 0) {
        (void)close(fd);
    }
    c->done(c->arg, -1, answer, fault);
}

/* Whether what was answered is what we hoped for. */
static enum peer_fault
answer_judge(const struct call *c, const struct peer_hello *answer)
{
    static const enum peer_fault fault[] = {
        [PEER_WELCOME] = PEER_FAULT_NONE, [PEER_LABEL] = PEER_FAULT_LABEL,
        [PEER_VERSION] = PEER_FAULT_VERSION, [PEER_BUSY] = PEER_FAULT_BUSY,
        [PEER_SELF] = PEER_FAULT_SELF,
    };

    if (answer->verdict != PEER_WELCOME) {
        return fault[answer->verdict];
    }
    if (answer->label != c->said.label) {
        return PEER_FAULT_LABEL;
    }
    if (answer->version_max < c->said.version_min || answer->version_min > c->said.version_max) {
        return PEER_FAULT_VERSION;
    }
    if (answer->from == c->said.from) {
        return PEER_FAULT_SELF;
    }
    return c->callee != 0 && answer->from != c->callee ? PEER_FAULT_STRANGER : PEER_FAULT_NONE;
}

static void
call_answered(struct call *c)
{
    struct peer_hello answer;
    enum peer_fault fault;

    if (!peer_read_hello(c->hello, &answer)) {
        call_fail(c, NULL, PEER_FAULT_MALFORMED);
        return;
    }
    fault = answer_judge(c, &answer);
    if (fault != PEER_FAULT_NONE) {
        call_fail(c, &answer, fault);
        return;
    }
    c->done(c->arg, call_end(c), &answer, PEER_FAULT_NONE);
}

static void
call_on_readable(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct call *c = w->data;
    /* Not a byte more: what comes behind is for the owner. */
    ssize_t n = recv(c->fd, c->hello + c->got, PEER_HELLO - c->got, 0);

    (void)ev;
    (void)events;
    if (n == 0) {
        call_fail(c, NULL, PEER_FAULT_ENDED);
        return;
    }
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            call_fail(c, NULL, call_fault(errno));
        }
        return;
    }
    c->got += (unsigned)n;
    assert(c->got <= PEER_HELLO);
    if (c->got == PEER_HELLO) {
        call_answered(c);
    }
}

static void
call_on_connected(void *arg, int fd, int error)
{
    struct call *c = arg;
    ssize_t n;

    if (fd < 0) {
        call_fail(c, NULL, call_fault(error));
        return;
    }
    ev_io_init(&c->io, call_on_readable, fd, EV_READ);
    c->io.data = c;
    c->fd = fd;
    ev_io_start(c->loop->ev, &c->io);
    /* The first bytes of a connection: there is room for so few, or it is broken. */
    n = send(fd, c->hello, PEER_HELLO, MSG_NOSIGNAL);
    if (n != PEER_HELLO) {
        call_fail(c, NULL, n < 0 ? call_fault(errno) : PEER_FAULT_RESET);
    }
}

static void
call_on_timer(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)events;
    call_fail(w->data, NULL, PEER_FAULT_TIMEOUT);
}

enum peer_fault
call_start(struct call *c, struct loop *loop, const struct cluster_addr *addr,
           const struct peer_hello *hello, node_id callee, usec_t timeout, call_done done,
           void *arg)
{
    int error;

    assert(c->loop == NULL && hello->from != 0 && hello->verdict == PEER_WELCOME);
    if (addr->port == 0) { /* nobody has said yet where it is */
        return PEER_FAULT_UNREACHABLE;
    }
    error = connect_start(&c->connect, loop, addr->ip, addr->port, timeout, call_on_connected, c);
    if (error != 0) {
        return call_fault(error);
    }
    c->loop = loop;
    c->fd = -1;
    c->got = 0;
    c->said = *hello;
    c->callee = callee;
    c->done = done;
    c->arg = arg;
    peer_write_hello(hello, c->hello);
    ev_timer_init(&c->timer, call_on_timer, (double)timeout / (double)USEC_PER_SEC, 0.);
    c->timer.data = c;
    ev_timer_start(loop->ev, &c->timer);
    return PEER_FAULT_NONE;
}

void
call_cancel(struct call *c)
{
    int fd;

    if (c->loop == NULL) {
        return;
    }
    fd = call_end(c);
    if (fd >= 0) {
        (void)close(fd);
    }
}
