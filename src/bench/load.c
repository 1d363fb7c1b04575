#include "bench/load.h"
#include "base/buf.h"
#include "base/log.h"
#include "bench/process.h"
#include "net/dial.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS        256
#define RX_BYTES      (256u << 10)
#define OUT_MAX       (1u << 20) /* bytes waiting to be sent; then no request is added */
#define DIAL_TIMEOUT  (5 * USEC_PER_SEC)
#define SILENCE_MAX   (30 * NSEC_PER_SEC) /* without an answer the server counts as hung */
#define PREFILL_CONNECTIONS 4
#define PREFILL_DEPTH       64

/* A request under way. */
struct slot {
    nsec_t    start;
    uint64_t *ids;   /* room for plan.multi */
    unsigned  count; /* of keys */
    unsigned  next;  /* first key that may still be answered */
    unsigned  hits;
    enum verb verb;
};

struct conn {
    int         fd;
    bool        waits_out; /* epoll watches for room */
    struct buf  out;
    size_t      sent;
    struct buf  rest;      /* an answer that is not whole yet */
    struct slot *slots;    /* ring of plan.depth */
    unsigned    first, used;
    uint32_t    value_left, tail_left; /* bytes of the value being received */
    uint64_t    id;        /* verify: of the value's key */
    const char *expected;  /* verify: what value_left bytes must be; NULL: not compared */
    bool        value_wrong;
    bool        in_value;
    bool        ends;      /* the request is over when the value is */
};

struct load {
    const struct plan  *plan;
    const struct keys  *keys;
    struct load_result *result;
    struct err_detail  *detail;
    struct conn        *conns;
    struct slice       *names;  /* room for plan.multi keys of a request */
    char               *name_room;
    uint64_t           *ids;
    struct slot        *slots;
    char               *rx;
    struct rng          rng;
    nsec_t              now, answered;
    uint64_t            fill_next, fill_acked; /* prefill: next key to store, keys stored */
    int                 epoll;
    bool                filling;
};

/* -- complaints ------------------------------------------------------------------------------- */

static void
load_complain(struct load *l, const char *what, struct slice about)
{
    if (l->result->complaint[0] == '\0') {
        char quoted[LOG_QUOTE_MAX];

        snprintf(l->result->complaint, sizeof l->result->complaint, "%s: %s", what,
                 log_quote(about, quoted));
    }
}

static void
load_count_wrong(struct load *l, uint64_t id, const char *what)
{
    char name[KEYS_NAME_MAX];

    keys_write_name(l->keys, id, name);
    l->result->wrong++;
    load_complain(l, what, slice_of(name, l->keys->config.name_len));
}

static err_t
load_fail(struct load *l, const char *what)
{
    return err_set(l->detail, ERR_IO, "%s: %s: %s", l->plan->place, what, strerror(errno));
}

/* -- requests --------------------------------------------------------------------------------- */

/* Chooses what the next request is about; false: there is none. */
static bool
slot_choose(struct load *l, struct slot *s)
{
    const struct plan *p = l->plan;

    if (l->filling) {
        if (l->fill_next == p->keys.count) {
            return false;
        }
        s->verb = VERB_SET;
        s->ids[0] = l->fill_next++;
    } else {
        s->verb = rng_unit(&l->rng) * 100 < p->get_percent ? VERB_GET : VERB_SET;
        s->ids[0] = keys_pick(l->keys, &l->rng);
    }
    s->count = s->verb == VERB_GET ? p->multi : 1;
    for (unsigned i = 1; i < s->count; i++) {
        s->ids[i] = keys_pick(l->keys, &l->rng);
    }
    s->next = s->hits = 0;
    s->start = l->now;
    return true;
}

/* Adds requests until depth are under way. */
static err_t
conn_fill(struct load *l, struct conn *c)
{
    const struct plan *p = l->plan;
    size_t len = l->keys->config.name_len;

    while (c->used < p->depth && c->out.len - c->sent < OUT_MAX) {
        struct slot *s = &c->slots[(c->first + c->used) % p->depth];
        bool ok;

        if (!slot_choose(l, s)) {
            break;
        }
        for (unsigned i = 0; i < s->count; i++) {
            keys_write_name(l->keys, s->ids[i], l->name_room + i * len);
            l->names[i] = slice_of(l->name_room + i * len, len);
        }
        ok = s->verb == VERB_GET ? dialect_write_get(p->dialect, &c->out, l->names, s->count)
                       : dialect_write_set(p->dialect, &c->out, l->names[0],
                                           keys_flags(s->ids[0]), keys_value(l->keys, s->ids[0]));
        if (!ok) {
            return err_set(l->detail, ERR_NOMEM, "no memory for requests");
        }
        c->used++;
    }
    return ERR_OK;
}

static err_t
conn_watch(struct load *l, struct conn *c, bool out)
{
    struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c };

    if (out == c->waits_out) {
        return ERR_OK;
    }
    c->waits_out = out;
    return epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0 ? ERR_OK : load_fail(l, "epoll");
}

/* Sends what there is, as far as it goes. */
static err_t
conn_send(struct load *l, struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? conn_watch(l, c, true)
                                                     : load_fail(l, "send()");
        }
        c->sent += (size_t)n;
    }
    c->out.len = c->sent = 0;
    return conn_watch(l, c, false);
}

/* -- answers ---------------------------------------------------------------------------------- */

/* The oldest request is answered. */
static void
slot_finish(struct load *l, struct conn *c)
{
    struct slot *s = &c->slots[c->first];
    struct load_result *r = l->result;

    r->requests++;
    r->keys[s->verb] += s->count;
    r->found[s->verb] += s->verb == VERB_SET ? 1 : s->hits;
    hist_record(&r->latency[s->verb], (uint64_t)(l->now - s->start));
    l->fill_acked += s->verb == VERB_SET;
    c->first = (c->first + 1) % l->plan->depth;
    c->used--;
}

/* Finds the key of a value among those asked for, which are answered in order; false: it is not
 * there. */
static bool
slot_find(struct load *l, struct slot *s, const struct answer *a, uint64_t *ret)
{
    char name[KEYS_NAME_MAX];

    for (unsigned i = s->next; i < s->count; i++) {
        keys_write_name(l->keys, s->ids[i], name);
        if (!a->has_key || slice_eq(a->key, slice_of(name, l->keys->config.name_len))) {
            s->next = i + 1;
            *ret = s->ids[i];
            return true;
        }
    }
    return false;
}

/* A value begins. */
static void
conn_value(struct load *l, struct conn *c, struct slot *s, const struct answer *a)
{
    struct slice want;
    uint64_t id;

    c->in_value = true;
    c->value_left = a->value_len;
    c->tail_left = a->tail;
    c->ends = a->ends;
    c->expected = NULL;
    c->value_wrong = false;
    s->hits++;
    if (!l->plan->verify) {
        return;
    }
    if (!slot_find(l, s, a, &id)) {
        l->result->wrong++;
        load_complain(l, "a key that was not asked for", a->key);
        return;
    }
    want = keys_value(l->keys, id);
    if (want.len != a->value_len) {
        load_count_wrong(l, id, "wrong length");
    } else if (a->flags != keys_flags(id)) {
        load_count_wrong(l, id, "wrong flags");
    } else {
        c->id = id;
        c->expected = want.ptr;
    }
}

/* Goes on with a value; true: it is whole, and what is left of in is behind it. */
static bool
conn_value_more(struct load *l, struct conn *c, struct slice *in)
{
    size_t n = c->value_left < in->len ? c->value_left : in->len;

    if (c->expected) {
        if (memcmp(in->ptr, c->expected, n) != 0 && !c->value_wrong) {
            c->value_wrong = true;
            load_count_wrong(l, c->id, "wrong bytes");
        }
        c->expected += n;
    }
    c->value_left -= (uint32_t)n;
    *in = slice_from(*in, n);
    n = c->tail_left < in->len ? c->tail_left : in->len;
    if (l->plan->verify && memcmp(in->ptr, &"\r\n"[2 - c->tail_left], n) != 0) {
        l->result->wrong++;
        load_complain(l, "no line end behind a value", slice_of(in->ptr, n));
    }
    c->tail_left -= (uint32_t)n;
    *in = slice_from(*in, n);
    if (c->value_left > 0 || c->tail_left > 0) {
        return false;
    }
    c->in_value = false;
    if (c->ends) {
        slot_finish(l, c);
    }
    return true;
}

/* One answer, of which a value may follow; false: it fits no request. */
static bool
conn_answer(struct load *l, struct conn *c, const struct answer *a)
{
    struct slot *s = &c->slots[c->first];

    if (c->used == 0 || (a->kind == ANSWER_STORED && s->verb == VERB_GET) ||
        (a->kind == ANSWER_VALUE && (s->verb != VERB_GET || s->hits == s->count))) {
        return false;
    }
    if (a->kind == ANSWER_VALUE) {
        conn_value(l, c, s, a);
        return true;
    }
    if (a->kind == ANSWER_ERROR) {
        l->result->errors++;
        load_complain(l, "an error", a->text);
    }
    if (a->ends) {
        slot_finish(l, c);
    }
    return true;
}

/* Works through the bytes received; *in keeps what is no whole answer. */
static err_t
conn_read(struct load *l, struct conn *c, struct slice *in)
{
    for (;;) {
        struct answer a;
        char quoted[LOG_QUOTE_MAX];
        size_t used = 0;
        bool many;

        if (c->in_value && !conn_value_more(l, c, in)) {
            return ERR_OK;
        }
        if (in->len == 0) {
            return ERR_OK;
        }
        many = c->used > 0 && c->slots[c->first].count > 1;
        switch (dialect_read(l->plan->dialect, *in, many, &a, &used)) {
        case DIALECT_MORE:
            return ERR_OK;
        case DIALECT_ANSWER:
            if (conn_answer(l, c, &a)) {
                break;
            }
            /* fall through */
        case DIALECT_LOST:
            return err_set(l->detail, ERR_CORRUPT, "%s: unexpected answer: %s", l->plan->place,
                           log_quote(*in, quoted));
        }
        *in = slice_from(*in, used);
    }
}

static err_t
conn_receive(struct load *l, struct conn *c)
{
    size_t kept = c->rest.len;
    struct slice in;
    ssize_t n;
    err_t e;

    if (kept > 0) {
        memcpy(l->rx, c->rest.ptr, kept);
    }
    n = recv(c->fd, l->rx + kept, RX_BYTES - kept, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? ERR_OK : load_fail(l, "recv()");
    }
    if (n == 0) {
        return err_set(l->detail, ERR_IO, "%s: the server closed a connection", l->plan->place);
    }
    l->now = l->answered = clock_nsec();
    in = slice_of(l->rx, kept + (size_t)n);
    e = conn_read(l, c, &in);
    if (e) {
        return e;
    }
    c->rest.len = 0;
    return in.len == 0 || buf_add(&c->rest, in.ptr, in.len)
               ? ERR_OK
               : err_set(l->detail, ERR_NOMEM, "no memory for answers");
}

/* Whatever the socket is ready for. */
static err_t
conn_serve(struct load *l, struct conn *c, uint32_t events)
{
    err_t e = ERR_OK;

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        e = conn_receive(l, c);
    }
    if (!e && c->waits_out) {
        e = conn_send(l, c);
    }
    if (!e) {
        e = conn_fill(l, c);
    }
    return e || c->waits_out ? e : conn_send(l, c);
}

/* -- the load --------------------------------------------------------------------------------- */

static void
load_close(struct load *l)
{
    for (unsigned i = 0; l->conns && i < l->plan->connections; i++) {
        if (l->conns[i].fd >= 0) {
            close(l->conns[i].fd);
        }
        buf_free(&l->conns[i].out);
        buf_free(&l->conns[i].rest);
    }
    if (l->epoll >= 0) {
        close(l->epoll);
    }
    free(l->conns);
    free(l->slots);
    free(l->ids);
    free(l->names);
    free(l->name_room);
    free(l->rx);
}

static err_t
load_allocate(struct load *l)
{
    const struct plan *p = l->plan;
    size_t slots = (size_t)p->connections * p->depth;

    l->conns = calloc(p->connections, sizeof *l->conns);
    l->slots = calloc(slots, sizeof *l->slots);
    l->ids = calloc(slots * p->multi, sizeof *l->ids);
    l->names = calloc(p->multi, sizeof *l->names);
    l->name_room = malloc(p->multi * l->keys->config.name_len);
    l->rx = malloc(RX_BYTES);
    for (unsigned i = 0; l->conns && i < p->connections; i++) {
        l->conns[i].fd = -1;
    }
    if (!l->conns || !l->slots || !l->ids || !l->names || !l->name_room || !l->rx) {
        return err_set(l->detail, ERR_NOMEM, "no memory for %u connections", p->connections);
    }
    for (size_t i = 0; i < slots; i++) {
        l->slots[i].ids = l->ids + i * p->multi;
    }
    return ERR_OK;
}

static err_t
load_open(struct load *l)
{
    err_t e = load_allocate(l);

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!e && l->epoll < 0) {
        e = load_fail(l, "epoll");
    }
    for (unsigned i = 0; !e && i < l->plan->connections; i++) {
        struct conn *c = &l->conns[i];
        struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

        c->slots = l->slots + (size_t)i * l->plan->depth;
        e = dial_connect(l->plan->place, 11211, DIAL_TIMEOUT, &c->fd, l->detail);
        if (!e && (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
                   epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)) {
            e = load_fail(l, "a connection");
        }
    }
    return e;
}

/* Serves connections until the given time, or until everything is stored when filling. */
static err_t
load_serve(struct load *l, nsec_t until)
{
    struct epoll_event ready[EVENTS];

    while (l->now < until && !(l->filling && l->fill_acked == l->plan->keys.count)) {
        nsec_t left = until - l->now < NSEC_PER_SEC ? until - l->now : NSEC_PER_SEC;
        int n = epoll_wait(l->epoll, ready, EVENTS, (int)((left + 999999) / 1000000));

        if (n < 0 && errno != EINTR) {
            return load_fail(l, "epoll");
        }
        l->now = clock_nsec();
        for (int i = 0; i < n; i++) {
            err_t e = conn_serve(l, ready[i].data.ptr, ready[i].events);

            if (e) {
                return e;
            }
        }
        if (l->now - l->answered > SILENCE_MAX) {
            return err_set(l->detail, ERR_TIMEOUT, "%s: no answer for 30 s", l->plan->place);
        }
    }
    return ERR_OK;
}

/* The first requests. */
static err_t
load_begin(struct load *l)
{
    l->now = l->answered = clock_nsec();
    for (unsigned i = 0; i < l->plan->connections; i++) {
        err_t e = conn_fill(l, &l->conns[i]);

        e = e ? e : conn_send(l, &l->conns[i]);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

err_t
load_prefill(const struct plan *p, const struct keys *k, struct err_detail *d)
{
    struct plan plan = *p;
    struct load_result *result = calloc(1, sizeof *result);
    struct load l = { .plan = &plan, .keys = k, .result = result, .detail = d, .epoll = -1,
                      .filling = true };
    err_t e;

    if (!result) {
        return err_set(d, ERR_NOMEM, "no memory");
    }
    plan.connections = PREFILL_CONNECTIONS;
    plan.depth = PREFILL_DEPTH;
    plan.multi = 1;
    e = load_open(&l);
    e = e ? e : load_begin(&l);
    e = e ? e : load_serve(&l, INT64_MAX);
    if (!e && result->errors > 0) {
        e = err_set(d, ERR_IO, "%s: %llu keys were not stored: %s", p->place,
                    (unsigned long long)result->errors, result->complaint);
    }
    load_close(&l);
    free(result);
    return e;
}

/* Reads the clocks of both sides. */
static err_t
load_meter(struct load *l, usec_t *client, usec_t *server)
{
    usec_t user, system;

    clock_cpu(&user, &system);
    *client = user + system;
    *server = 0;
    return l->plan->pid ? process_cpu(l->plan->pid, server, l->detail) : ERR_OK;
}

/* The measured part, with warm-up behind it. */
static err_t
load_measure(struct load *l)
{
    struct load_result *r = l->result;
    usec_t client, server, client_end, server_end;
    nsec_t start;
    err_t e = load_meter(l, &client, &server);

    /* What goes wrong while warming up is wrong too. */
    r->requests = 0;
    for (int v = 0; v < VERBS; v++) {
        r->keys[v] = r->found[v] = 0;
        hist_clear(&r->latency[v]);
    }
    start = l->now = clock_nsec();
    e = e ? e : load_serve(l, start + l->plan->duration * NSEC_PER_USEC);
    e = e ? e : load_meter(l, &client_end, &server_end);
    if (!e) {
        r->elapsed = clock_nsec() - start;
        r->client_cpu = client_end - client;
        r->server_cpu = l->plan->pid ? server_end - server : -1;
    }
    return e;
}

err_t
load_run(const struct plan *p, const struct keys *k, struct load_result *ret, struct err_detail *d)
{
    struct load l = { .plan = p, .keys = k, .result = ret, .detail = d, .epoll = -1 };
    err_t e;

    *ret = (struct load_result){ .server_cpu = -1 };
    rng_init(&l.rng, p->seed);
    e = load_open(&l);
    e = e ? e : load_begin(&l);
    e = e ? e : load_serve(&l, l.now + p->warmup * NSEC_PER_USEC);
    e = e ? e : load_measure(&l);
    load_close(&l);
    return e;
}
