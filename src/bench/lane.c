#include "bench/lane.h"
#include "base/hash.h"
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS        256
#define NSEC_PER_MSEC (NSEC_PER_SEC / 1000)
#define FAR           (INT64_MAX / 8) /* nanoseconds: longer than anybody waits */
#define SILENCE_MAX   (30 * NSEC_PER_SEC) /* without an answer the server counts as hung */

static err_t
lane_fail(struct lane *l, const char *what)
{
    return err_set(&l->detail, ERR_IO, "%s: %s", what, strerror(errno));
}

/* -- what is asked ----------------------------------------------------------------------------- */

/* The next key or counter to be stored first. */
static struct slot *
fill_choose(struct lane *l, struct conn *c)
{
    uint64_t keys = l->team->plan->keys.count, id = l->fill_next;
    struct slot *s = pipeline_new(&c->line, VERB_SET, l->pool.now);

    s->counter = id >= keys;
    s->ttl = s->counter ? 0 : keys_pick_ttl(l->team->keys, &l->rng);
    pipeline_add(&c->line, s, s->counter ? id - keys : id);
    l->fill_next += l->team->count;
    l->exhausted = l->fill_next >= l->fill_end;
    return s;
}

static enum verb
verb_pick(const struct plan *plan, struct rng *r)
{
    double at = rng_unit(r);
    int v = 0;

    while (v + 1 < VERBS && at >= plan->share[v]) {
        at -= plan->share[v++];
    }
    while (plan->share[v] <= 0) { /* what rounding left over belongs to the last that there is */
        v--;
    }
    return (enum verb)v;
}

/* A request of the mix, due at start. */
static struct slot *
mix_choose(struct lane *l, struct conn *c, nsec_t start)
{
    const struct plan *plan = l->team->plan;
    const struct keys *keys = l->team->keys;
    enum verb verb = verb_pick(plan, &l->rng);
    struct slot *s = pipeline_new(&c->line, verb, start);
    unsigned count = verb == VERB_GET ? plan->multi : 1;

    s->fills = verb == VERB_GET && plan->set_on_miss;
    s->ttl = verb == VERB_SET || s->fills ? keys_pick_ttl(keys, &l->rng) : 0;
    for (unsigned i = 0; i < count; i++) {
        pipeline_add(&c->line, s,
                     verb == VERB_INCR ? keys_pick_counter(keys, &l->rng)
                                       : keys_pick(keys, &l->rng));
    }
    l->exhausted = --l->left == 0;
    return s;
}

/* Adds one request, due at start, to a connection that has room. */
static err_t
lane_ask(struct lane *l, struct conn *c, nsec_t start)
{
    assert(!l->exhausted);
    return conn_push(&l->pool, c, l->team->fills ? fill_choose(l, c) : mix_choose(l, c, start));
}

/* -- closed: as many as there is room for ------------------------------------------------------ */

static err_t
closed_fill(struct lane *l, struct conn *c)
{
    err_t e = ERR_OK;

    while (!e && !l->exhausted && conn_has_room(&l->pool, c)) {
        e = lane_ask(l, c, l->pool.now);
    }
    return e;
}

/* -- open: what is due ------------------------------------------------------------------------- */

static void
ready_add(struct lane *l, struct conn *c)
{
    if (c->queued || !conn_has_room(&l->pool, c)) {
        return;
    }
    c->queued = true;
    c->next = NULL;
    if (l->ready_first) {
        l->ready_last->next = c;
    } else {
        l->ready_first = c;
    }
    l->ready_last = c;
}

/* The connection that has had room for longest, or NULL. */
static struct conn *
ready_take(struct lane *l)
{
    struct conn *c = l->ready_first;

    if (c) {
        l->ready_first = c->next;
        c->queued = false;
    }
    return c;
}

/* It has something to send. */
static void
dirty_add(struct lane *l, struct conn *c)
{
    if (!c->dirty) {
        c->dirty = true;
        l->dirty[l->dirty_count++] = c;
    }
}

static err_t
dirty_send(struct lane *l)
{
    err_t e = ERR_OK;

    for (unsigned i = 0; i < l->dirty_count && !e; i++) {
        struct conn *c = l->dirty[i];

        c->dirty = false;
        e = c->waits_out ? ERR_OK : conn_send(&l->pool, c);
    }
    l->dirty_count = 0;
    return e;
}

/* Asks what is due by now; *ret_next is when more will be, if no answer comes before. */
static err_t
pace_ask(struct lane *l, nsec_t *ret_next)
{
    while (!l->exhausted) {
        nsec_t due = pace_due(&l->pace);
        struct conn *c;
        err_t e;

        if (due > l->pool.now) {
            *ret_next = due;
            break;
        }
        c = ready_take(l);
        if (!c) {
            break;
        }
        e = lane_ask(l, c, due);
        if (e) {
            return e;
        }
        pace_step(&l->pace, &l->rng);
        ready_add(l, c);
        dirty_add(l, c);
    }
    return ERR_OK;
}

/* Reads on to the next record that is this lane's. */
static err_t
trace_read(struct lane *l)
{
    const struct lane_team *team = l->team;
    struct trace_record *r = &l->record;
    bool end;

    for (;;) {
        err_t e = trace_next(l->trace, r, &end, &l->detail);

        if (e || end) {
            l->exhausted = end;
            return e || l->has_base ? e
                                    : err_set(&l->detail, ERR_INVALID, "%s: holds no request",
                                              team->plan->trace);
        }
        if (!l->has_base) {
            l->has_base = true;
            l->base = r->time;
        }
        if (r->verb == VERB_INCR && team->plan->verify) {
            return err_set(&l->detail, ERR_INVALID, "%s: with --verify there may be no incr",
                           team->plan->trace);
        }
        l->record_hash = hash_bytes(r->key.ptr, r->key.len);
        if (l->record_hash % team->plan->connections % team->count == l->index) {
            l->has_record = true;
            return ERR_OK;
        }
    }
}

/* When the record at hand is to be sent. */
static nsec_t
trace_due(const struct lane *l)
{
    double speed = l->team->plan->trace_speed;
    double wait = speed > 0 ? (double)(l->record.time - l->base) / speed : 0;

    return speed > 0 ? l->began + (wait < (double)FAR ? (nsec_t)wait : FAR) : l->pool.now;
}

/* A speed shortens times to live too; rounded up, so that none becomes immortal. */
static uint32_t
trace_ttl(const struct lane *l)
{
    double speed = l->team->plan->trace_speed;
    double ttl = speed > 0 ? ceil(l->record.ttl / speed) : l->record.ttl;

    return ttl < TRACE_TTL_MAX ? (uint32_t)ttl : TRACE_TTL_MAX;
}

/* The record at hand becomes a request. */
static err_t
trace_push(struct lane *l, struct conn *c, nsec_t due)
{
    const struct trace_record *r = &l->record;
    struct slot *s = pipeline_new(&c->line, r->verb, due);

    pipeline_add(&c->line, s, l->record_hash);
    pipeline_describe(s, r->key, r->size);
    s->ttl = trace_ttl(l);
    s->late = r->late;
    s->fills = r->verb == VERB_GET || r->verb == VERB_INCR;
    l->has_record = false;
    return conn_push(&l->pool, c, s);
}

/* As pace_ask(): records in order, as long as each one's connection takes it. */
static err_t
trace_ask(struct lane *l, nsec_t *ret_next)
{
    const struct lane_team *team = l->team;

    for (;;) {
        err_t e = l->has_record || l->exhausted ? ERR_OK : trace_read(l);
        struct conn *c;
        nsec_t due;

        if (e || l->exhausted) {
            return e;
        }
        due = trace_due(l);
        if (due > l->pool.now) {
            *ret_next = due;
            return ERR_OK;
        }
        c = &l->pool.conns[l->record_hash % team->plan->connections / team->count];
        /* A get that misses in front of another one does no harm: see slot_finish(). */
        if (!conn_has_room(&l->pool, c) ||
            (l->record.verb != VERB_GET && pipeline_awaits(&c->line, l->record_hash))) {
            return ERR_OK;
        }
        e = trace_push(l, c, due);
        if (e) {
            return e;
        }
        dirty_add(l, c);
    }
}

/* Sets the timer to the next moment that something is due. */
static err_t
timer_arm(struct lane *l, nsec_t at)
{
    nsec_t when = at == LANE_FOR_EVER ? 0 : at;
    struct itimerspec t = { .it_value = { .tv_sec = when / NSEC_PER_SEC,
                                          .tv_nsec = when % NSEC_PER_SEC } };

    if (when == l->timer_at) {
        return ERR_OK;
    }
    l->timer_at = when;
    return timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &t, NULL) == 0 ? ERR_OK
                                                                         : lane_fail(l, "timer");
}

static bool
lane_is_open(const struct lane *l)
{
    return !l->team->fills && (l->team->plan->trace || l->team->plan->rate > 0);
}

/* Whatever can be asked now. */
static err_t
open_ask(struct lane *l)
{
    nsec_t next = LANE_FOR_EVER;
    err_t e = l->trace ? trace_ask(l, &next) : pace_ask(l, &next);

    e = e ? e : timer_arm(l, next);
    return e ? e : dirty_send(l);
}

/* -- serving ----------------------------------------------------------------------------------- */

/* Whatever the socket is ready for. */
static err_t
conn_serve(struct lane *l, struct conn *c, uint32_t events)
{
    err_t e = ERR_OK;

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        e = conn_receive(&l->pool, c);
    }
    if (!e && c->waits_out) {
        e = conn_send(&l->pool, c);
    }
    if (e) {
        return e;
    }
    if (lane_is_open(l)) { /* open_ask() follows */
        ready_add(l, c);
        dirty_add(l, c);
        return ERR_OK;
    }
    e = closed_fill(l, c);
    return e || c->waits_out ? e : conn_send(&l->pool, c);
}

static err_t
events_serve(struct lane *l, const struct epoll_event *ready, int count)
{
    err_t e = ERR_OK;

    for (int i = 0; i < count && !e; i++) {
        if (ready[i].data.ptr == l->team) {
            l->stopped = true;
        } else if (ready[i].data.ptr != l) { /* that is the timer, which only wakes us */
            e = conn_serve(l, ready[i].data.ptr, ready[i].events);
        }
    }
    return e;
}

/* Serves connections until then, until it is told to stop, or until all is asked and answered. */
static err_t
lane_serve(struct lane *l, nsec_t until)
{
    struct conn_pool *p = &l->pool;
    struct epoll_event ready[EVENTS];
    err_t e = ERR_OK;

    while (!e && !l->stopped && p->now < until && !(l->exhausted && p->busy == 0)) {
        nsec_t left = until - p->now < NSEC_PER_SEC ? until - p->now : NSEC_PER_SEC;
        int n = epoll_wait(p->epoll, ready, EVENTS,
                           (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC));

        if (n < 0 && errno != EINTR) {
            return lane_fail(l, "epoll");
        }
        p->now = clock_nsec();
        e = events_serve(l, ready, n);
        if (!e && lane_is_open(l)) {
            e = open_ask(l);
        }
        if (!e && p->busy > 0 && p->now - p->answered > SILENCE_MAX) {
            e = err_set(&l->detail, ERR_TIMEOUT, "%s: no answer for 30 s", l->team->plan->place);
        }
        if (p->busy == 0) {
            p->answered = p->now;
        }
    }
    return e;
}

/* -- a run ------------------------------------------------------------------------------------- */

/* The first requests on every connection. */
static err_t
lane_start(struct lane *l, uint64_t requests)
{
    const struct plan *plan = l->team->plan;
    struct conn_pool *p = &l->pool;
    err_t e = ERR_OK;

    p->now = p->answered = clock_nsec();
    l->left = requests;
    l->exhausted = requests == 0;
    if (l->team->fills) {
        plan_fill_range(plan, &l->fill_next, &l->fill_end);
        l->fill_next += l->index;
        l->exhausted = l->fill_next >= l->fill_end;
    }
    if (!lane_is_open(l)) {
        for (unsigned i = 0; i < p->count && !e; i++) {
            e = closed_fill(l, &p->conns[i]);
            e = e ? e : conn_send(p, &p->conns[i]);
        }
        return e;
    }
    if (!l->trace) {
        pace_init(&l->pace, plan->rate / l->team->count, plan->poisson, p->now,
                  (double)l->index / l->team->count);
        for (unsigned i = 0; i < p->count; i++) {
            ready_add(l, &p->conns[i]);
        }
    }
    return open_ask(l);
}

static nsec_t
thread_cpu(void)
{
    struct timespec t = { 0 };

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* Requests that were due before the end and have no answer. */
static uint64_t
lane_unanswered(const struct lane *l)
{
    nsec_t late = l->pool.now - pace_due(&l->pace);
    bool more = !l->exhausted && late >= 0;

    return l->pool.busy + (more ? 1 + (uint64_t)((double)late / l->pace.interval) : 0);
}

/* Warm-up and what is measured behind it. */
static err_t
lane_measure(struct lane *l)
{
    const struct lane_team *team = l->team;
    uint64_t all = team->plan->requests;
    bool limited = all > 0 && !team->fills, warm = team->measure > team->begin;
    uint64_t share = all / team->count + (l->index < all % team->count);
    err_t e = ERR_OK;

    if (warm) {
        e = lane_start(l, UINT64_MAX);
        e = e ? e : lane_serve(l, team->measure);
    }
    if (warm && limited) { /* exactly so many are measured: what is under way ends first */
        l->exhausted = true;
        e = e ? e : lane_serve(l, LANE_FOR_EVER);
    }
    result_clear(&l->result);
    l->began = clock_nsec();
    l->cpu = -thread_cpu();
    if (limited || !warm) {
        e = e ? e : lane_start(l, limited ? share : UINT64_MAX);
    }
    e = e ? e : lane_serve(l, team->end);
    l->ended = clock_nsec();
    l->cpu += thread_cpu();
    l->result.pending = l->pool.busy;
    l->result.unanswered = team->plan->rate > 0 ? lane_unanswered(l) : 0;
    return e;
}

void *
lane_run(void *lane)
{
    struct lane *l = lane;

    l->error = lane_measure(l);
    if (l->error) {
        eventfd_write(l->team->stop_fd, 1);
    }
    eventfd_write(l->team->done_fd, 1);
    return l;
}

static err_t
descriptor_watch(struct lane *l, int fd, void *mark)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = mark };

    return epoll_ctl(l->pool.epoll, EPOLL_CTL_ADD, fd, &ev) == 0 ? ERR_OK : lane_fail(l, "epoll");
}

err_t
lane_open(struct lane *l, struct lane_team *team, unsigned index)
{
    const struct plan *plan = team->plan;
    unsigned count = plan->connections / team->count + (index < plan->connections % team->count);
    err_t e;

    *l = (struct lane){ .team = team, .index = index, .timer_fd = -1 };
    l->pool = (struct conn_pool){ .plan = plan, .keys = team->keys, .counters = team->counters,
                                  .result = &l->result, .detail = &l->detail };
    rng_init(&l->rng, plan->seed + index * UINT64_C(0x9e3779b97f4a7c15));
    l->pool.epoll = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->dirty = calloc(count, sizeof *l->dirty);
    if (!l->dirty) {
        return err_set(&l->detail, ERR_NOMEM, "no memory for %u connections", count);
    }
    if (l->pool.epoll < 0 || l->timer_fd < 0) {
        return lane_fail(l, "epoll");
    }
    e = descriptor_watch(l, team->stop_fd, team);
    e = e ? e : descriptor_watch(l, l->timer_fd, l);
    if (!e && plan->trace && !team->fills) {
        e = trace_open(plan->trace, plan->trace_warmup, &l->trace, &l->detail);
    }
    e = e ? e : conn_pool_init(&l->pool, count);
    for (unsigned i = 0; i < count && !e; i++) {
        e = conn_open(&l->pool, &l->pool.conns[i]);
    }
    return e;
}

void
lane_close(struct lane *l)
{
    if (!l->team) {
        return;
    }
    conn_pool_fini(&l->pool);
    trace_close(l->trace);
    if (l->pool.epoll >= 0) {
        close(l->pool.epoll);
    }
    if (l->timer_fd >= 0) {
        close(l->timer_fd);
    }
    free(l->dirty);
    l->team = NULL;
}
