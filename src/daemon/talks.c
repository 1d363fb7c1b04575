#include "daemon/talks.h"
#include "daemon/place.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LENGTH_BYTES 4u            /* in front of a state */
#define READ_BYTES   (64u << 10)
#define READS_MAX    8             /* in one turn */
#define EVENTS_MAX   64            /* likewise, of all conversations */
#define SYNC_FACTOR  5             /* of patience */

enum talk_step {
    TALK_CONNECTING,
    TALK_GREETING,  /* what is to be sent is our greeting, what is to come theirs */
    TALK_SENDING,   /* our state; a caller's comes first */
    TALK_RECEIVING, /* theirs */
    TALK_PARTING,   /* everything has come, what is left is to be sent */
};

struct talk {
    struct talks       *all;
    struct talk        *next, *prev;
    int                 fd;
    uint32_t            events; /* that it waits for */
    struct ev_timer     deadline;
    struct cluster_addr addr;
    enum peer_purpose   purpose;
    enum talk_step      step;
    node_id             id;
    bool                calls; /* it is this side who called */
    struct peer_hello   hello; /* theirs */
    struct buf          in;
    struct buf          out;
    size_t              held; /* of all->held */
    size_t              sent;
};

/* -- the end ----------------------------------------------------------------------------------- */

/* Closes and frees, and forgets the descriptor if *keep_fd is to have it. */
static void
talk_free(struct talk *k, int *keep_fd)
{
    struct talks *t = k->all;

    (void)epoll_ctl(t->epoll, EPOLL_CTL_DEL, k->fd, NULL);
    ev_timer_stop(t->loop->ev, &k->deadline);
    if (keep_fd != NULL) {
        *keep_fd = k->fd;
    } else {
        (void)close(k->fd);
    }
    if (k->next != NULL) {
        k->next->prev = k->prev;
    }
    if (k->prev != NULL) {
        k->prev->next = k->next;
    } else {
        t->first = k->next;
    }
    if (k->calls) {
        t->out--;
    } else {
        t->in--;
    }
    t->held -= k->held;
    buf_free(&k->in);
    buf_free(&k->out);
    free(k);
}

/* Ends it and says so, if it is a call. */
static void
talk_end(struct talk *k, enum talks_end end, int error)
{
    struct talks *t = k->all;
    struct talks_result r = {
        .end = end, .purpose = k->purpose, .addr = k->addr, .id = k->id, .error = error,
        .hello = k->hello,
    };
    bool calls = k->calls;

    talk_free(k, NULL);
    if (calls) {
        t->ops->ended(t->arg, &r);
    }
}

static void
talk_on_deadline(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct talk *k = w->data;

    (void)ev;
    (void)events;
    talk_end(k, k->step == TALK_GREETING ? TALKS_STRANGER : TALKS_FAILED, ETIMEDOUT);
}

static void
talk_allow(struct talk *k, usec_t time)
{
    struct ev_loop *ev = k->all->loop->ev;

    ev_timer_stop(ev, &k->deadline);
    ev_timer_set(&k->deadline, (double)time / (double)USEC_PER_SEC, 0.);
    ev_timer_start(ev, &k->deadline);
}

/* -- what is said ------------------------------------------------------------------------------ */

/* Waits for these events; false: the kernel has no memory for it. */
static bool
talk_watch(struct talk *k, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = k };
    int op = k->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    if (k->events != events && epoll_ctl(k->all->epoll, op, k->fd, &e) < 0) {
        return false;
    }
    k->events = events;
    return true;
}

static bool
talk_greet(struct talk *k, enum peer_verdict verdict)
{
    struct peer_hello h = k->all->self;

    h.purpose = k->purpose;
    h.verdict = verdict;
    if (!buf_reserve(&k->out, PEER_HELLO)) {
        return false;
    }
    peer_write_hello(&h, k->out.ptr + k->out.len);
    k->out.len += PEER_HELLO;
    return true;
}

/* Our state behind its length. */
static bool
talk_add_state(struct talk *k)
{
    size_t at = k->out.len;
    uint32_t len;

    if (!buf_add(&k->out, "\0\0\0\0", LENGTH_BYTES) ||
        !k->all->ops->state(k->all->arg, k->calls, &k->addr, &k->out)) {
        return false;
    }
    len = (uint32_t)(k->out.len - at - LENGTH_BYTES);
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        k->out.ptr[at + i] = (char)(len >> 8 * i);
    }
    return true;
}

/* The state in what came, or a slice without bytes: it is not whole yet.  False: it never will. */
static bool
talk_state(const struct talk *k, struct slice *ret)
{
    uint32_t len = 0;

    *ret = (struct slice){ NULL, 0 };
    if (k->in.len < LENGTH_BYTES) {
        return true;
    }
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        len |= (uint32_t)(unsigned char)k->in.ptr[i] << 8 * i;
    }
    if (len == 0 || len > GOSSIP_STATE_MAX || k->in.len > LENGTH_BYTES + (size_t)len) {
        return false;
    }
    if (k->in.len == LENGTH_BYTES + (size_t)len) {
        *ret = slice_of(k->in.ptr + LENGTH_BYTES, len);
    }
    return true;
}

static enum peer_verdict
hello_judge(const struct peer_hello *self, const struct peer_hello *h)
{
    if (h->label != self->label) {
        return PEER_LABEL;
    }
    if (h->from == self->from) {
        return PEER_SELF;
    }
    return h->version_max < self->version_min || h->version_min > self->version_max ? PEER_VERSION
                                                                                    : PEER_WELCOME;
}

/* -- one step after the other; false: the conversation is over, and freed --------------------- */

/* Somebody called, and has said what for. */
static bool
talk_answer(struct talk *k)
{
    struct talks *t = k->all;
    enum peer_verdict verdict;

    if (!peer_read_hello(k->in.ptr, &k->hello)) {
        t->ops->odd(t->arg, &k->addr, NULL, PEER_WELCOME);
        talk_end(k, TALKS_STRANGER, 0);
        return false;
    }
    buf_shift(&k->in, PEER_HELLO);
    k->purpose = k->hello.purpose;
    verdict = hello_judge(&t->self, &k->hello);
    if (verdict != PEER_WELCOME) {
        t->ops->odd(t->arg, &k->addr, &k->hello, verdict);
    }
    if (!talk_greet(k, verdict)) {
        talk_end(k, TALKS_FAILED, ENOMEM);
        return false;
    }
    if (verdict == PEER_WELCOME && k->purpose == PEER_SYNC) {
        k->step = TALK_RECEIVING;
        talk_allow(k, SYNC_FACTOR * t->patience);
    } else {
        k->step = TALK_PARTING;
    }
    return true;
}

/* We called, and are answered. */
static bool
talk_answered(struct talk *k)
{
    struct talks *t = k->all;

    if (!peer_read_hello(k->in.ptr, &k->hello)) {
        talk_end(k, TALKS_STRANGER, 0);
        return false;
    }
    buf_shift(&k->in, PEER_HELLO);
    if (k->hello.verdict != PEER_WELCOME) {
        talk_end(k, TALKS_REFUSED, 0);
    } else if (hello_judge(&t->self, &k->hello) != PEER_WELCOME ||
               (k->id != 0 && k->hello.from != k->id)) {
        talk_end(k, TALKS_STRANGER, 0);
    } else if (k->purpose == PEER_PROBE) {
        talk_end(k, TALKS_DONE, 0);
    } else if (!talk_add_state(k)) {
        talk_end(k, TALKS_FAILED, ENOMEM);
    } else {
        k->step = TALK_SENDING;
        talk_allow(k, SYNC_FACTOR * t->patience);
        return true;
    }
    return false;
}

/* Something of a state came, maybe all of it. */
static bool
talk_receive(struct talk *k)
{
    struct talks *t = k->all;
    struct slice state;

    if (!talk_state(k, &state)) {
        t->ops->odd(t->arg, &k->addr, NULL, PEER_WELCOME);
        talk_end(k, TALKS_STRANGER, 0);
        return false;
    }
    if (state.len == 0) {
        return true;
    }
    /* What follows from it may be another call to the same place. */
    k->step = k->calls ? TALK_PARTING : k->step;
    t->ops->synced(t->arg, k->calls, &k->addr, state);
    if (k->calls) {
        talk_end(k, TALKS_DONE, 0);
        return false;
    }
    /* Only now, so that they hear of what theirs changed at ours. */
    if (!talk_add_state(k)) {
        talk_end(k, TALKS_FAILED, ENOMEM);
        return false;
    }
    k->step = TALK_PARTING;
    return true;
}

/* All that was to be sent is gone, and it was the last. */
static void
talk_part(struct talk *k)
{
    struct talks *t = k->all;

    if (k->purpose == PEER_DATA && hello_judge(&t->self, &k->hello) == PEER_WELCOME) {
        struct cluster_addr from = k->addr;
        struct peer_hello h = k->hello;
        int fd = -1;

        talk_free(k, &fd);
        t->ops->data(t->arg, fd, &from, &h);
        return;
    }
    /* The caller closes; what he did not read would be lost if we did so first. */
    (void)shutdown(k->fd, SHUT_WR);
    talk_end(k, TALKS_DONE, 0);
}

/* -- bytes ------------------------------------------------------------------------------------- */

/* How many bytes may be read now: never more than belong to this conversation. */
static size_t
talk_room(const struct talk *k)
{
    uint32_t len = 0;

    if (k->step == TALK_GREETING) {
        return PEER_HELLO - k->in.len;
    }
    if (k->step != TALK_RECEIVING) {
        return 0;
    }
    if (k->in.len < LENGTH_BYTES) {
        return LENGTH_BYTES - k->in.len;
    }
    for (unsigned i = 0; i < LENGTH_BYTES; i++) {
        len |= (uint32_t)(unsigned char)k->in.ptr[i] << 8 * i;
    }
    len += LENGTH_BYTES;
    return len - k->in.len < READ_BYTES ? len - k->in.len : READ_BYTES;
}

/* Reads some; *ret_more: it may be that there is more. */
static bool
talk_read(struct talk *k, bool *ret_more)
{
    size_t room = talk_room(k);
    ssize_t n;

    *ret_more = false;
    if (room == 0) {
        return true;
    }
    if (!buf_reserve(&k->in, room)) {
        talk_end(k, TALKS_FAILED, ENOMEM);
        return false;
    }
    n = recv(k->fd, k->in.ptr + k->in.len, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return true;
    }
    if (n <= 0) {
        talk_end(k, TALKS_FAILED, n < 0 ? errno : 0);
        return false;
    }
    k->in.len += (size_t)n;
    *ret_more = true;
    if (k->step == TALK_RECEIVING) {
        k->held += (size_t)n;
        k->all->held += (size_t)n;
        if (k->all->held > TALKS_BYTES_MAX) {
            talk_end(k, TALKS_FAILED, ENOBUFS);
            return false;
        }
        return talk_receive(k);
    }
    if (k->in.len < PEER_HELLO) {
        return true;
    }
    return k->calls ? talk_answered(k) : talk_answer(k);
}

/* Sends what there is. */
static bool
talk_write(struct talk *k)
{
    while (k->sent < k->out.len) {
        ssize_t n = send(k->fd, k->out.ptr + k->sent, k->out.len - k->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return true;
        }
        if (n < 0) {
            talk_end(k, TALKS_FAILED, errno);
            return false;
        }
        k->sent += (size_t)n;
    }
    k->out.len = k->sent = 0;
    if (k->step == TALK_SENDING) {
        k->step = TALK_RECEIVING;
    } else if (k->step == TALK_PARTING) {
        talk_part(k);
        return false;
    }
    return true;
}

static bool
talk_connected(struct talk *k)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error != 0) {
        talk_end(k, TALKS_FAILED, error);
        return false;
    }
    k->step = TALK_GREETING;
    return true;
}

static void
talk_turn(struct talk *k)
{
    bool more = true;

    if (k->step == TALK_CONNECTING && !talk_connected(k)) {
        return;
    }
    for (int i = 0; i < READS_MAX && more; i++) {
        more = false;
        if (!talk_write(k) || (k->out.len == 0 && !talk_read(k, &more))) {
            return;
        }
    }
    if (!talk_watch(k, k->out.len > 0 ? EPOLLOUT : EPOLLIN)) {
        talk_end(k, TALKS_FAILED, errno);
    }
}

/* One after the other: what one of them leads to may be the end of another. */
static void
talks_on_ready(struct ev_loop *ev, struct ev_io *w, int events)
{
    struct talks *t = w->data;
    struct epoll_event e;

    (void)ev;
    (void)events;
    for (int i = 0; i < EVENTS_MAX && t->epoll >= 0 && epoll_wait(t->epoll, &e, 1, 0) == 1; i++) {
        talk_turn(e.data.ptr);
    }
}

/* -- beginning --------------------------------------------------------------------------------- */

/* NULL without memory; takes fd all the same. */
static struct talk *
talk_new(struct talks *t, int fd, const struct cluster_addr *addr, bool calls)
{
    struct talk *k = calloc(1, sizeof *k);

    if (k == NULL) {
        (void)close(fd);
        return NULL;
    }
    k->all = t;
    k->addr = *addr;
    k->calls = calls;
    k->next = t->first;
    if (t->first != NULL) {
        t->first->prev = k;
    }
    t->first = k;
    if (calls) {
        t->out++;
    } else {
        t->in++;
    }
    k->fd = fd;
    ev_timer_init(&k->deadline, talk_on_deadline, 0., 0.);
    k->deadline.data = k;
    if (!talk_watch(k, calls ? EPOLLOUT : EPOLLIN)) {
        talk_free(k, NULL);
        return NULL;
    }
    talk_allow(k, t->patience);
    return k;
}

err_t
talks_open(struct talks *t, struct loop *loop, const struct talks_ops *ops, void *arg)
{
    *t = (struct talks){ .loop = loop, .ops = ops, .arg = arg };
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll < 0) {
        return ERR_NOMEM;
    }
    ev_io_init(&t->ready, talks_on_ready, t->epoll, EV_READ);
    t->ready.data = t;
    ev_io_start(loop->ev, &t->ready);
    return ERR_OK;
}

void
talks_accept(struct talks *t, int fd, const struct cluster_addr *from)
{
    struct talk *k;

    assert(fd >= 0);
    if (t->in >= TALKS_MAX) {
        (void)close(fd);
        return;
    }
    k = talk_new(t, fd, from, false);
    if (k != NULL) {
        k->step = TALK_GREETING;
    }
}

/* True if there is a call like that already. */
static bool
talks_has(const struct talks *t, enum peer_purpose purpose, const struct cluster_addr *to)
{
    for (const struct talk *k = t->first; k != NULL; k = k->next) {
        if (k->calls && k->step != TALK_PARTING && k->purpose == purpose &&
            memcmp(&k->addr, to, sizeof *to) == 0) {
            return true;
        }
    }
    return false;
}

void
talks_call(struct talks *t, enum peer_purpose purpose, const struct cluster_addr *to, node_id id)
{
    static const int on = 1;
    struct talks_result r = { .end = TALKS_FAILED, .purpose = purpose, .addr = *to, .id = id };
    struct sockaddr_storage sa;
    socklen_t len = place_sockaddr(to, &sa);
    struct talk *k;
    int fd;

    assert(purpose == PEER_SYNC || purpose == PEER_PROBE);
    if (t->out >= TALKS_MAX || talks_has(t, purpose, to)) {
        return;
    }
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)) {
        r.error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        t->ops->ended(t->arg, &r);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    k = talk_new(t, fd, to, true);
    if (k != NULL) {
        k->purpose = purpose;
        k->id = id;
        k->step = TALK_CONNECTING;
        if (!talk_greet(k, PEER_WELCOME)) {
            talk_end(k, TALKS_FAILED, ENOMEM);
        }
    }
}

void
talks_close(struct talks *t)
{
    while (t->first != NULL) {
        talk_free(t->first, NULL);
    }
    if (t->epoll >= 0) {
        ev_io_stop(t->loop->ev, &t->ready);
        (void)close(t->epoll);
        t->epoll = -1;
    }
}
