#include "bench/conn.h"
#include "base/log.h"
#include "bench/trace.h"
#include "net/dial.h"
#include "vocab/limits.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT         11211
#define RX_BYTES     (256u << 10)
#define OUT_MAX      (1u << 20) /* bytes waiting to be sent; then no request is added */
#define DIAL_TIMEOUT (5 * USEC_PER_SEC)

static_assert(RX_BYTES > 2 * DIALECT_LINE_MAX, "what is kept of an answer leaves room for more");

/* -- complaints ------------------------------------------------------------------------------- */

static void
pool_complain(struct conn_pool *p, const char *what, struct slice about)
{
    if (p->result->complaint[0] == '\0') {
        char quoted[LOG_QUOTE_MAX];

        snprintf(p->result->complaint, sizeof p->result->complaint, "%s: %s", what,
                 log_quote(about, quoted));
    }
}

static void
pool_count_wrong(struct conn_pool *p, const char *what, struct slice about)
{
    result_count(&p->result->wrong, 1);
    pool_complain(p, what, about);
}

static err_t
pool_fail(struct conn_pool *p, const char *what)
{
    return err_set(p->detail, ERR_IO, "%s: %s: %s", p->plan->place, what, strerror(errno));
}

/* -- memory ----------------------------------------------------------------------------------- */

err_t
conn_pool_init(struct conn_pool *p, unsigned count)
{
    const struct plan *plan = p->plan;
    bool ok;

    p->count = count;
    p->conns = calloc(count, sizeof *p->conns);
    p->names = calloc(plan->multi, sizeof *p->names);
    p->name_room = calloc(plan->multi, KEYS_NAME_MAX);
    p->rx = malloc(RX_BYTES);
    ok = p->conns && p->names && p->name_room && p->rx;
    for (unsigned i = 0; p->conns && i < count; i++) {
        p->conns[i].fd = -1;
        ok = ok && !pipeline_init(&p->conns[i].line, plan->depth, plan->multi, plan->set_on_miss,
                                  plan->trace);
    }
    return ok ? ERR_OK : err_set(p->detail, ERR_NOMEM, "no memory for %u connections", count);
}

void
conn_pool_fini(struct conn_pool *p)
{
    for (unsigned i = 0; p->conns && i < p->count; i++) {
        if (p->conns[i].fd >= 0) {
            close(p->conns[i].fd);
        }
        buf_free(&p->conns[i].out);
        buf_free(&p->conns[i].rest);
        pipeline_fini(&p->conns[i].line);
    }
    free(p->conns);
    free(p->names);
    free(p->name_room);
    free(p->rx);
}

err_t
conn_open(struct conn_pool *p, struct conn *c)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    err_t e = dial_connect(p->plan->place, PORT, DIAL_TIMEOUT, &c->fd, p->detail);

    if (!e && (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
               epoll_ctl(p->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)) {
        e = pool_fail(p, "a connection");
    }
    return e;
}

/* -- requests --------------------------------------------------------------------------------- */

bool
conn_has_room(const struct conn_pool *p, const struct conn *c)
{
    return c->line.used < p->plan->depth && c->out.len - c->sent < OUT_MAX;
}

/* Lent until out or the slot changes. */
static struct slice
slot_name(const struct conn_pool *p, const struct slot *s, uint64_t id, char *out)
{
    if (s->item.name) {
        return slice_of(s->item.name, s->item.name_len);
    }
    return s->counter || s->verb == VERB_INCR ? keys_counter_name(p->keys, id, out)
                                              : keys_name(p->keys, id, out);
}

static struct slice
slot_value(const struct conn_pool *p, const struct slot *s, uint64_t id)
{
    if (s->counter) {
        return SLICE("0");
    }
    return s->item.name ? keys_value_of(p->keys, id, s->item.size) : keys_value(p->keys, id);
}

/* As the protocols have it: long times are points in time. */
static uint32_t
exptime_of(uint32_t ttl)
{
    return ttl <= EXPTIME_REL_MAX ? ttl : (uint32_t)(clock_now() / USEC_PER_SEC) + ttl;
}

static bool
slot_write(struct conn_pool *p, struct conn *c, struct slot *s)
{
    enum dialect d = p->plan->dialect;
    uint64_t id = pipeline_id(&c->line, s, 0);
    struct slice name = slot_name(p, s, id, p->name_room);

    switch (s->verb) {
    case VERB_SET:
        return dialect_write_set(d, &c->out, name, s->counter ? 0 : keys_flags(p->keys, id),
                                 exptime_of(s->ttl), slot_value(p, s, id));
    case VERB_DELETE:
        return dialect_write_delete(d, &c->out, name);
    case VERB_INCR:
        s->floor = p->counters ? counters_send(p->counters, id) : 0;
        return dialect_write_incr(d, &c->out, name);
    case VERB_GET:
    case VERBS:
        break;
    }
    p->names[0] = name;
    for (unsigned i = 1; i < s->count; i++) {
        p->names[i] = slot_name(p, s, pipeline_id(&c->line, s, i),
                                p->name_room + (size_t)i * KEYS_NAME_MAX);
    }
    return dialect_write_get(d, &c->out, p->names, s->count);
}

err_t
conn_push(struct conn_pool *p, struct conn *c, struct slot *s)
{
    if (!slot_write(p, c, s)) {
        return err_set(p->detail, ERR_NOMEM, "no memory for requests");
    }
    pipeline_push(&c->line);
    p->busy++;
    return ERR_OK;
}

/* The other side gave up: with what it said last, if it did not answer what it was asked. */
static err_t
conn_lost(struct conn_pool *p, struct conn *c, const char *how)
{
    ssize_t n;

    if (c->heard) {
        return err_set(p->detail, ERR_IO, "%s: the server closed a connection%s", p->plan->place,
                       how);
    }
    n = recv(c->fd, p->rx, RX_BYTES, MSG_DONTWAIT);
    if (n > 0) {
        pool_complain(p, "an error", slice_of(p->rx, (size_t)n));
    }
    if (p->result->complaint[0] != '\0') {
        return err_set(p->detail, ERR_IO, "%s: the server closed a connection; before that %s",
                       p->plan->place, p->result->complaint);
    }
    return err_set(p->detail, ERR_IO,
                   "%s: the server closed a connection without any answer%s; perhaps it takes no "
                   "%u connections, or another protocol", p->plan->place, how,
                   p->plan->connections + p->plan->idle);
}

static err_t
conn_fail(struct conn_pool *p, struct conn *c, const char *what)
{
    if (errno == EPIPE || errno == ECONNRESET) {
        return conn_lost(p, c, errno == EPIPE ? "" : " (reset)");
    }
    return pool_fail(p, what);
}

static err_t
conn_watch(struct conn_pool *p, struct conn *c, bool out)
{
    struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c };

    if (out == c->waits_out) {
        return ERR_OK;
    }
    c->waits_out = out;
    return epoll_ctl(p->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0 ? ERR_OK : pool_fail(p, "epoll");
}

err_t
conn_send(struct conn_pool *p, struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? conn_watch(p, c, true)
                                                     : conn_fail(p, c, "send()");
        }
        c->sent += (size_t)n;
    }
    c->out.len = c->sent = 0;
    return conn_watch(p, c, false);
}

/* -- answers ---------------------------------------------------------------------------------- */

/* Stores the key that a request did not find. */
static err_t
slot_fill(struct conn_pool *p, struct conn *c, const struct slot *s, unsigned i)
{
    struct slot *set = pipeline_new(&c->line, VERB_SET, p->now);

    pipeline_add(&c->line, set, pipeline_id(&c->line, s, i));
    set->counter = s->verb == VERB_INCR;
    set->ttl = s->ttl;
    if (s->item.name) {
        pipeline_describe(set, slice_of(s->item.name, s->item.name_len), s->item.size);
    }
    result_count(&p->result->filled, 1);
    return conn_push(p, c, set);
}

/* The keys before end that were not answered yet are not there. */
static err_t
slot_miss(struct conn_pool *p, struct conn *c, struct slot *s, unsigned end)
{
    err_t e = ERR_OK;

    while (s->next < end && !e) {
        unsigned i = s->next++;

        e = s->fills && !s->failed ? slot_fill(p, c, s, i) : ERR_OK;
    }
    return e;
}

static void
conn_drop(struct conn_pool *p, struct conn *c)
{
    pipeline_drop(&c->line);
    p->busy--;
}

/* Asks once more: in the trace, the key was stored before. */
static err_t
slot_repeat(struct conn_pool *p, struct conn *c, const struct slot *s)
{
    uint64_t id = pipeline_id(&c->line, s, 0);
    struct slot *again;

    conn_drop(p, c);
    again = pipeline_new(&c->line, s->verb, s->start);
    pipeline_add(&c->line, again, id);
    pipeline_describe(again, slice_of(s->item.name, s->item.name_len), s->item.size);
    again->ttl = s->ttl;
    again->late = s->late;
    again->fills = true;
    return conn_push(p, c, again);
}

/* The oldest request is answered. */
static err_t
slot_finish(struct conn_pool *p, struct conn *c)
{
    struct slot *s = pipeline_oldest(&c->line);
    struct load_result *r = p->result;
    unsigned found = s->verb == VERB_SET ? 1 : s->hits;
    err_t e;

    if (s->item.name && s->fills && !s->failed && found == 0 &&
        pipeline_stores(&c->line, pipeline_id(&c->line, s, 0))) {
        return slot_repeat(p, c, s);
    }
    e = found < s->count ? slot_miss(p, c, s, s->count) : ERR_OK;
    result_count(&r->requests, 1);
    result_count(&r->keys[s->verb], s->count);
    result_count(&r->found[s->verb], found);
    if (s->late && s->verb == VERB_GET) {
        result_count(&r->late_gets, 1);
        result_count(&r->late_hits, s->hits);
    }
    hist_record(&r->latency[s->verb], (uint64_t)(p->now - s->start));
    conn_drop(p, c);
    return e;
}

/* Finds the key of a value among those asked for, which are answered in order. */
static bool
slot_find(struct conn_pool *p, struct conn *c, const struct slot *s, const struct answer *a,
          unsigned *ret)
{
    char room[KEYS_NAME_MAX];

    for (unsigned i = s->next; i < s->count; i++) {
        if (!a->has_key || slice_eq(a->key, slot_name(p, s, pipeline_id(&c->line, s, i), room))) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* What the bytes of a value must be, if it can be right. */
static void
conn_expect(struct conn_pool *p, struct conn *c, const struct slot *s, const struct answer *a,
            uint64_t id)
{
    char room[KEYS_NAME_MAX];
    struct slice name = slot_name(p, s, id, room), want;

    want = !s->item.name                    ? keys_value(p->keys, id)
           : a->value_len <= TRACE_VALUE_MAX ? keys_value_of(p->keys, id, a->value_len)
                                             : (struct slice){ NULL, 0 };
    if (want.len != a->value_len) {
        pool_count_wrong(p, "wrong length", name);
    } else if (a->flags != keys_flags(p->keys, id)) {
        pool_count_wrong(p, "wrong flags", name);
    } else {
        c->id = id;
        c->expected = want.ptr;
    }
}

/* A value begins. */
static err_t
conn_value(struct conn_pool *p, struct conn *c, struct slot *s, const struct answer *a)
{
    unsigned i;
    err_t e;

    c->in_value = true;
    c->value_left = a->value_len;
    c->tail_left = a->tail;
    c->ends = a->ends;
    c->expected = NULL;
    c->value_wrong = false;
    s->hits++;
    if (!p->plan->verify && !s->fills) {
        return ERR_OK;
    }
    if (!slot_find(p, c, s, a, &i)) {
        pool_count_wrong(p, "a key that was not asked for", a->key);
        return ERR_OK;
    }
    e = slot_miss(p, c, s, i);
    s->next = i + 1;
    if (p->plan->verify) {
        conn_expect(p, c, s, a, pipeline_id(&c->line, s, i));
    }
    return e;
}

/* Goes on with a value; *ret_whole: it is whole, and what is left of in is behind it. */
static err_t
conn_value_more(struct conn_pool *p, struct conn *c, struct slice *in, bool *ret_whole)
{
    size_t n = c->value_left < in->len ? c->value_left : in->len;

    if (c->expected) {
        if (memcmp(in->ptr, c->expected, n) != 0 && !c->value_wrong) {
            char room[KEYS_NAME_MAX];

            c->value_wrong = true;
            pool_count_wrong(p, "wrong bytes",
                             slot_name(p, pipeline_oldest(&c->line), c->id, room));
        }
        c->expected += n;
    }
    c->value_left -= (uint32_t)n;
    *in = slice_from(*in, n);
    n = c->tail_left < in->len ? c->tail_left : in->len;
    if (p->plan->verify && memcmp(in->ptr, &"\r\n"[2 - c->tail_left], n) != 0) {
        pool_count_wrong(p, "no line end behind a value", slice_of(in->ptr, n));
    }
    c->tail_left -= (uint32_t)n;
    *in = slice_from(*in, n);
    *ret_whole = c->value_left == 0 && c->tail_left == 0;
    if (!*ret_whole) {
        return ERR_OK;
    }
    c->in_value = false;
    return c->ends ? slot_finish(p, c) : ERR_OK;
}

/* True if the request can be answered like this. */
static bool
slot_allows(const struct slot *s, enum answer_kind kind)
{
    switch (kind) {
    case ANSWER_VALUE:
        return s->verb == VERB_GET && s->hits < s->count;
    case ANSWER_NUMBER:
        return s->verb == VERB_INCR;
    case ANSWER_DONE:
        return s->verb == VERB_SET || s->verb == VERB_DELETE;
    case ANSWER_MISS:
        return s->verb != VERB_SET;
    case ANSWER_END:
        return s->verb == VERB_GET;
    case ANSWER_ERROR:
        break;
    }
    return true;
}

/* One answer that fits the oldest request; a value may follow. */
static err_t
conn_answer(struct conn_pool *p, struct conn *c, const struct answer *a)
{
    struct slot *s = pipeline_oldest(&c->line);

    if (a->kind == ANSWER_VALUE) {
        return conn_value(p, c, s, a);
    }
    if (a->kind == ANSWER_ERROR) {
        s->failed = true;
        result_count(&p->result->errors, 1);
        pool_complain(p, "an error", a->text);
    }
    s->hits += a->kind == ANSWER_NUMBER || a->kind == ANSWER_DONE;
    if (a->kind == ANSWER_NUMBER && p->counters) {
        uint64_t id = pipeline_id(&c->line, s, 0);
        const char *wrong = counters_answer(p->counters, id, s->floor, a->number);
        char room[KEYS_NAME_MAX];

        if (wrong) {
            pool_count_wrong(p, wrong, slot_name(p, s, id, room));
        }
    }
    return a->ends ? slot_finish(p, c) : ERR_OK;
}

/* Works through the bytes received; *in keeps what is no whole answer. */
static err_t
conn_read(struct conn_pool *p, struct conn *c, struct slice *in)
{
    for (;;) {
        const struct slot *s;
        enum dialect_result result;
        char quoted[LOG_QUOTE_MAX];
        struct answer a;
        bool whole = true;
        size_t used = 0;
        err_t e = c->in_value ? conn_value_more(p, c, in, &whole) : ERR_OK;

        if (e || !whole || in->len == 0) {
            return e;
        }
        s = pipeline_oldest(&c->line);
        result = c->line.used == 0 ? DIALECT_LOST
                              : dialect_read(p->plan->dialect, s->verb, s->count > 1, *in, &a,
                                             &used);
        if (result == DIALECT_MORE) {
            return ERR_OK;
        }
        if (result == DIALECT_LOST || !slot_allows(s, a.kind)) {
            return err_set(p->detail, ERR_CORRUPT, "%s: unexpected answer: %s", p->plan->place,
                           log_quote(*in, quoted));
        }
        e = conn_answer(p, c, &a);
        if (e) {
            return e;
        }
        c->heard = c->heard || a.kind != ANSWER_ERROR;
        *in = slice_from(*in, used);
    }
}

err_t
conn_receive(struct conn_pool *p, struct conn *c)
{
    size_t kept = c->rest.len;
    struct slice in;
    ssize_t n;
    err_t e;

    assert(kept < RX_BYTES);
    if (kept > 0) {
        memcpy(p->rx, c->rest.ptr, kept);
    }
    n = recv(c->fd, p->rx + kept, RX_BYTES - kept, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? ERR_OK : conn_fail(p, c, "recv()");
    }
    if (n == 0) {
        return conn_lost(p, c, "");
    }
    p->now = p->answered = clock_nsec();
    in = slice_of(p->rx, kept + (size_t)n);
    e = conn_read(p, c, &in);
    if (e) {
        return e;
    }
    c->rest.len = 0;
    return in.len == 0 || buf_add(&c->rest, in.ptr, in.len)
               ? ERR_OK
               : err_set(p->detail, ERR_NOMEM, "no memory for answers");
}
