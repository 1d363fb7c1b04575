#include "tcp.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TCP_WINDOW     (64u << 10) /* bytes under way or not read */
#define TCP_RETRANSMIT ((usec_t)200000)
#define TCP_SYN_RETRY  ((usec_t)1000000)

enum segment_kind {
    SEGMENT_SYN,
    SEGMENT_OPEN,
    SEGMENT_DATA,
    SEGMENT_FIN,
    SEGMENT_WINDOW,
    SEGMENT_RESET
};

struct segment {
    enum segment_kind kind;
    size_t len;
    usec_t at;
};

struct tcp_end {
    struct tcp *tcp;
    unsigned site;
    void (*ready)(void *arg);
    void *arg;
    struct tcp_tap tap;
    struct buf pending;      /* written, not yet through the tap */
    struct buf flight;       /* on its way to the other end */
    struct segment *segment; /* likewise, a queue */
    size_t first, count, cap;
    usec_t last_at;
    struct timer arrive;
    struct buf inbox; /* arrived, not read */
    size_t read;      /* bytes of the inbox that were */
    bool open, fin, reset;
    bool full;    /* a write found no room */
    bool is_void; /* what was under way was dropped: what is written now gets nowhere either */
    bool gone;    /* nobody uses it any more */
    bool mute;    /* its machine loses power */
};

struct tcp {
    struct paths *paths;
    struct tcp *next, *prev;
    int port;
    struct tcp_end end[2]; /* 0 called, 1 was called */
};

static struct tcp_end *
tcp_other(struct tcp_end *e)
{
    return &e->tcp->end[e == &e->tcp->end[0]];
}

static void
tcp_free(struct tcp *t)
{
    struct paths *p = t->paths;

    for (int i = 0; i < 2; i++) {
        timer_stop(p->world, &t->end[i].arrive);
        buf_free(&t->end[i].pending);
        buf_free(&t->end[i].flight);
        buf_free(&t->end[i].inbox);
        free(t->end[i].segment);
    }
    if (t->next) {
        t->next->prev = t->prev;
    }
    if (t->prev) {
        t->prev->next = t->next;
    } else {
        p->streams = t->next;
    }
    p->open--;
    free(t);
}

void
tcp_free_all(struct paths *p)
{
    while (p->streams) {
        tcp_free(p->streams);
    }
}

/* Frees what nobody uses and nothing is under way on. */
static void
tcp_settle(struct tcp *t)
{
    if (t->end[0].gone && t->end[1].gone && t->end[0].count == 0 && t->end[1].count == 0) {
        tcp_free(t);
    }
}

/* -- segments ---------------------------------------------------------------------------------- */

static void
segment_put(struct tcp_end *e, enum segment_kind kind, size_t len)
{
    struct paths *p = e->tcp->paths;
    usec_t at = p->world->now + path_delay(p, e->site, tcp_other(e)->site);

    while (paths_chance(p, p->path[e->site][tcp_other(e)->site].loss)) {
        at += TCP_RETRANSMIT;
    }
    e->last_at = at > e->last_at ? at : e->last_at;
    if (e->count == e->cap) {
        struct segment *more = world_alloc((e->cap + 8) * 2 * sizeof *more);

        for (size_t i = 0; i < e->count; i++) {
            more[i] = e->segment[(e->first + i) % e->cap];
        }
        free(e->segment);
        e->segment = more;
        e->first = 0;
        e->cap = (e->cap + 8) * 2;
    }
    e->segment[(e->first + e->count++) % e->cap] = (struct segment){ kind, len, e->last_at };
    timer_hasten(p->world, &e->arrive, e->segment[e->first].at);
}

/* Forgets what is under way. */
static void
segments_drop(struct tcp_end *e)
{
    e->is_void = true;
    e->count = 0;
    e->flight.len = e->pending.len = 0;
    timer_stop(e->tcp->paths->world, &e->arrive);
}

static void
end_call(struct tcp_end *e)
{
    if (!e->gone && e->ready) {
        e->ready(e->arg);
    }
}

/* A connection request came to a machine that is on. */
static void
segment_syn(struct tcp_end *from, struct tcp_end *to)
{
    struct site *s = &to->tcp->paths->site[to->site];

    if (!s->listening) {
        to->gone = true;
        segment_put(to, SEGMENT_RESET, 0);
        return;
    }
    to->open = true;
    to->gone = false;
    segment_put(to, SEGMENT_OPEN, 0);
    s->accept(s->arg, to, from->tcp->port);
}

static void
segment_data(struct tcp_end *from, struct tcp_end *to, size_t len)
{
    world_need(buf_add(&to->inbox, from->flight.ptr, len));
    world_bytes(to->tcp->paths->world, slice_of(from->flight.ptr, len));
    buf_shift(&from->flight, len);
    end_call(to);
}

/* One segment of from arrives at the other end, which is there. */
static void
segment_take(struct tcp_end *from, struct tcp_end *to, struct segment s)
{
    switch (s.kind) {
    case SEGMENT_SYN:
        segment_syn(from, to);
        return;
    case SEGMENT_OPEN:
        to->open = true;
        break;
    case SEGMENT_DATA:
        segment_data(from, to, s.len);
        return;
    case SEGMENT_FIN:
        to->fin = true;
        break;
    case SEGMENT_WINDOW:
        break;
    case SEGMENT_RESET:
        to->reset = true;
        to->inbox.len = to->read = 0;
        segments_drop(to);
        break;
    }
    end_call(to);
}

/* True if the first segment cannot arrive now; it is tried again later. */
static bool
segment_is_held(struct tcp_end *e, struct tcp_end *to, enum segment_kind kind)
{
    struct paths *p = e->tcp->paths;
    bool blocked = path_is_blocked(p, e->site, to->site);
    bool dark = !p->site[to->site].powered;

    if (!blocked && !dark) {
        return false;
    }
    if (e->gone && to->gone) {
        segments_drop(e); /* nobody waits for it any more */
        return true;
    }
    timer_set(p->world, &e->arrive,
              p->world->now + (kind == SEGMENT_SYN ? TCP_SYN_RETRY : TCP_RETRANSMIT) +
                  path_delay(p, e->site, to->site));
    return true;
}

static void
end_arrive(void *arg)
{
    struct tcp_end *e = arg, *to = tcp_other(e);
    struct tcp *t = e->tcp;
    struct world *w = t->paths->world;
    struct segment s = e->segment[e->first];

    if (!segment_is_held(e, to, s.kind)) {
        e->first = (e->first + 1) % e->cap;
        e->count--;
        if (e->count > 0) {
            timer_set(w, &e->arrive, e->segment[e->first].at);
        }
        if (to->gone && s.kind == SEGMENT_DATA) {
            /* Nobody is there to read it. */
            segments_drop(e);
            if (!e->gone && !e->reset) {
                segment_put(to, SEGMENT_RESET, 0);
            }
        } else if (!to->gone || s.kind == SEGMENT_SYN) {
            segment_take(e, to, s);
        }
    }
    tcp_settle(t);
}

/* -- ends -------------------------------------------------------------------------------------- */

static void
end_init(struct tcp_end *e, struct tcp *t, unsigned site)
{
    e->tcp = t;
    e->site = site;
    timer_init(&e->arrive, end_arrive, e);
}

struct tcp_end *
tcp_connect(struct paths *p, unsigned from, unsigned to, int port, void (*ready)(void *arg),
            void *arg)
{
    struct tcp *t = world_alloc(sizeof *t);

    t->paths = p;
    t->port = port;
    end_init(&t->end[0], t, from);
    end_init(&t->end[1], t, to);
    t->end[1].gone = true; /* until it is accepted */
    tcp_set_ready(&t->end[0], ready, arg);
    t->next = p->streams;
    if (t->next) {
        t->next->prev = t;
    }
    p->streams = t;
    p->open++;
    segment_put(&t->end[0], SEGMENT_SYN, 0);
    return &t->end[0];
}

void
tcp_set_ready(struct tcp_end *e, void (*ready)(void *arg), void *arg)
{
    e->ready = ready;
    e->arg = arg;
}

void
tcp_set_tap(struct tcp_end *e, const struct tcp_tap *tap)
{
    e->tap = *tap;
}

bool
tcp_is_open(const struct tcp_end *e)
{
    return e->open && !e->reset;
}

bool
tcp_is_reset(const struct tcp_end *e)
{
    return e->reset;
}

size_t
tcp_readable(const struct tcp_end *e)
{
    return e->inbox.len - e->read;
}

bool
tcp_has_news(const struct tcp_end *e)
{
    return tcp_readable(e) > 0 || e->fin || e->reset;
}

unsigned
tcp_peer_site(const struct tcp_end *e)
{
    return e->tcp->end[e == &e->tcp->end[0]].site;
}

size_t
tcp_room(const struct tcp_end *e)
{
    const struct tcp_end *to = &e->tcp->end[e == &e->tcp->end[0]];
    unsigned squeeze = e->tcp->paths->squeeze;
    size_t window = squeeze ? squeeze : TCP_WINDOW;
    size_t used = e->flight.len + tcp_readable(to);

    return e->open && used < window ? window - used : 0;
}

ssize_t
tcp_recv(struct tcp_end *e, void *room, size_t n)
{
    struct tcp_end *to = tcp_other(e);
    size_t have = tcp_readable(e);

    assert(!e->gone && n > 0);
    if (e->reset) {
        return TCP_RESET;
    }
    if (have == 0) {
        return e->fin ? 0 : TCP_AGAIN;
    }
    n = n < have ? n : have;
    memcpy(room, e->inbox.ptr + e->read, n);
    e->read += n;
    if (e->read == e->inbox.len || e->read > TCP_WINDOW) {
        buf_shift(&e->inbox, e->read);
        e->read = 0;
    }
    if (to->full) {
        to->full = false;
        segment_put(e, SEGMENT_WINDOW, 0);
    }
    return (ssize_t)n;
}

/* Puts what is at the end of the flight on its way, in pieces. */
static void
end_launch(struct tcp_end *e, size_t n)
{
    struct rng *rng = &e->tcp->paths->rng;

    while (n > 0) {
        size_t piece = rng_below(rng, 3) ? n : 1 + rng_below(rng, n);

        segment_put(e, SEGMENT_DATA, piece);
        n -= piece;
    }
}

ssize_t
tcp_send(struct tcp_end *e, const struct iovec *iov, int count)
{
    size_t room = tcp_room(e), taken = 0, before = e->flight.len;
    struct buf *into = e->tap.run ? &e->pending : &e->flight;

    assert(!e->gone);
    if (e->reset) {
        return TCP_RESET;
    }
    for (int i = 0; i < count && taken < room; i++) {
        size_t n = iov[i].iov_len < room - taken ? iov[i].iov_len : room - taken;

        if (!e->is_void) {
            world_need(buf_add(into, iov[i].iov_base, n));
        }
        taken += n;
        e->full = n < iov[i].iov_len;
    }
    if (taken == 0) {
        e->full = true;
        return TCP_AGAIN;
    }
    if (e->tap.run && !e->is_void) {
        e->tap.run(e->tap.arg, &e->pending, &e->flight);
    }
    end_launch(e, e->flight.len - before);
    if (e->full && e->flight.len == 0 && !e->is_void) {
        /* All of it waits for the rest of its frame: the reader will not ask for more. */
        segment_put(tcp_other(e), SEGMENT_WINDOW, 0);
    }
    return (ssize_t)taken;
}

static void
end_leave(struct tcp_end *e)
{
    assert(!e->gone);
    e->gone = true;
    e->ready = NULL;
    e->tap.run = NULL;
}

void
tcp_close(struct tcp_end *e)
{
    bool unread = tcp_readable(e) > 0;

    end_leave(e);
    if (!e->reset) {
        segment_put(e, unread ? SEGMENT_RESET : SEGMENT_FIN, 0);
    }
    tcp_settle(e->tcp);
}

void
tcp_reset(struct tcp_end *e)
{
    end_leave(e);
    segments_drop(e);
    if (!e->reset && !e->mute) {
        segment_put(e, SEGMENT_RESET, 0);
    }
    tcp_settle(e->tcp);
}

void
tcp_mute(struct tcp_end *e)
{
    e->mute = true;
}

void
tcp_break_any(struct paths *p, uint64_t pick)
{
    struct tcp *t = p->streams;

    for (pick %= p->open + 1u; t && pick > 0; pick--) {
        t = t->next;
    }
    if (!t || !t->end[0].open || t->end[0].gone || t->end[1].gone) {
        return;
    }
    world_note(p->world, "wire: the stream from %u to %u, port %d, is reset", t->end[0].site,
               t->end[1].site, t->port);
    for (int i = 0; i < 2; i++) {
        struct tcp_end *e = &t->end[i];

        e->reset = true;
        e->inbox.len = e->read = 0;
        segments_drop(e);
        end_call(e);
    }
}
