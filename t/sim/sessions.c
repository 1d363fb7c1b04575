/*
 * sessions.c - many clients talk to one node in virtual time, and a model knows every answer.
 *
 * Each client sends random pipelines in one of the protocols, cut at random, and reads its answers
 * as slowly as chance has it; some hang up in the middle.  After each turn the bytes that the
 * session queued are compared with what the model says, and again when they arrive, since a value
 * that is sent from the slab must not change meanwhile.  There is memory enough, so nothing is
 * evicted and the model is exact.
 *
 * What can be executed without an answer (noreply, quiet) uses keys of the client's own and no
 * expiry: so it does not matter when the model hears of it.  For the same reason everybody is idle
 * when flush_all is sent.
 *
 * usage: sessions [first seed [how many]]
 */
#include "base/rng.h"
#include "drive.h"
#include "talk.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS     1500
#define ASKED_MAX 256       /* unanswered commands of one client */
#define SPANS     (1 << 16) /* of a queue that is looked at */

struct client {
    struct drive drive;
    bool binary;
    struct buf out;   /* to be sent */
    uint64_t written; /* bytes made for the session */
    uint64_t read;    /* bytes it took */
    struct ask asked[ASKED_MAX];
    unsigned first, count;
    struct buf expect; /* answered by the session, not received yet */
    unsigned slowness;
};

struct sim {
    struct drive_node node;
    struct rng rng;
    uint64_t seed;
    struct client client[TALK_CLIENTS];
    struct model model;
    unsigned turn;
    uint64_t commands;
};

static void __attribute__((noreturn, format(printf, 2, 3)))
sim_fail(const struct sim *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "sessions: seed %" PRIu64 ", turn %u: ", s->seed, s->turn);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nrepeat with: sessions %" PRIu64 " 1\n", s->seed);
    va_end(args);
    exit(1);
}

static unsigned
pick(struct sim *s, unsigned limit)
{
    return (unsigned)rng_below(&s->rng, limit);
}

/* -- clients ----------------------------------------------------------------------------------- */

static void
client_start(struct sim *s, struct client *c)
{
    drive_init(&c->drive, &s->node, SESSION_AUTO);
    c->binary = pick(s, 4) == 0;
    c->slowness = pick(s, 4);
    c->written = c->read = 0;
    c->first = c->count = 0;
}

static void
client_stop(struct client *c)
{
    drive_fini(&c->drive);
    buf_free(&c->out);
    buf_free(&c->expect);
}

static void
client_write(struct sim *s, struct client *c, unsigned how_many)
{
    while (how_many-- > 0 && c->count < ASKED_MAX) {
        struct ask *o = &c->asked[(c->first + c->count) % ASKED_MAX];
        size_t before = c->out.len;

        talk_random(o, &s->rng, &s->model, (unsigned)(c - s->client), c->binary);
        talk_write(&c->out, o);
        c->written += c->out.len - before;
        o->end = c->written;
        c->count++;
        s->commands++;
    }
}

/* What the session queued in this turn: what expect does not know yet. */
static void
client_fresh(const struct client *c, struct buf *ret)
{
    static struct iovec iov[SPANS];
    size_t skip = c->expect.len, got = c->drive.got.len;
    int count = session_tx(c->drive.session, iov, SPANS);

    if (got > skip) {
        talk_need(buf_add(ret, c->drive.got.ptr + skip, got - skip));
        skip = 0;
    } else {
        skip -= got;
    }
    for (int i = 0; i < count; i++) {
        size_t n = skip < iov[i].iov_len ? skip : iov[i].iov_len;

        talk_need(buf_add(ret, (char *)iov[i].iov_base + n, iov[i].iov_len - n));
        skip -= n;
    }
}

/* Compares what arrived with what was promised. */
static void
client_receive(struct sim *s, struct client *c)
{
    struct buf *got = &c->drive.got;

    if (got->len > c->expect.len ||
        (got->len > 0 && memcmp(got->ptr, c->expect.ptr, got->len) != 0)) {
        sim_fail(s, "client %td received other bytes than were queued for it", c - s->client);
    }
    buf_shift(&c->expect, got->len);
    got->len = 0;
}

/* True if the session has not come to this command. */
static bool
client_waits(struct sim *s, const struct client *c, const struct ask *o, size_t fresh_len)
{
    if (fresh_len > 0) {
        return false;
    }
    if (!talk_is_private(o->kind) || o->kind == K_MULTI || o->end > c->read) {
        return true;
    }
    /* A quiet hit would be heard. */
    return (o->kind == K_QUIET_MG || o->kind == B_QUIET_GET) && model_find(&s->model, o->key);
}

/* Compares the answer to one command with fresh bytes; returns how many they are.  False: only a
 * part of it is there yet. */
static bool
client_compare(struct sim *s, struct client *c, struct ask *o, struct slice fresh, size_t *ret_len)
{
    struct buf *e = &c->expect;
    size_t before = e->len, n;
    bool whole = true;

    model_expect(&s->model, o, e, fresh);
    n = e->len - before - o->done;
    if (o->done > 0) {
        memmove(e->ptr + before, e->ptr + before + o->done, n);
    }
    if (o->kind == K_MULTI && n > fresh.len && session_has_work(c->drive.session)) {
        /* The turn ended between two keys; they are the client's own, so nothing happens to them.
         */
        whole = false;
        n = fresh.len;
        o->done += n;
    }
    e->len = before + n;
    if (n > fresh.len || (n > 0 && memcmp(e->ptr + before, fresh.ptr, n) != 0) || s->model.wrong) {
        sim_fail(s, "client %td, kind %d, key %u: %s\nexpected %zu bytes: %.*s\ngot %zu: %.*s",
                 c - s->client, (int)o->kind, o->key, s->model.wrong ? s->model.wrong : "", n,
                 (int)(n < 300 ? n : 300), e->ptr + before, fresh.len,
                 (int)(fresh.len < 300 ? fresh.len : 300), fresh.ptr);
    }
    *ret_len = n;
    return whole;
}

/* Compares what the session answered in this turn with the model. */
static void
client_check(struct sim *s, struct client *c)
{
    struct buf fresh = { 0 };
    struct slice left;

    s->model.seconds = STORE_CLOCK_START + (uint32_t)((s->node.now - DRIVE_START) / USEC_PER_SEC);
    client_fresh(c, &fresh);
    left = slice_of(fresh.ptr ? fresh.ptr : "", fresh.len);
    while (c->count > 0 && !client_waits(s, c, &c->asked[c->first], left.len)) {
        size_t n;
        bool whole = client_compare(s, c, &c->asked[c->first], left, &n);

        left = slice_from(left, n);
        if (!whole) {
            break;
        }
        c->first = (c->first + 1) % ASKED_MAX;
        c->count--;
    }
    if (left.len > 0) {
        sim_fail(s, "client %td: %zu bytes that nobody asked for: %.*s", c - s->client, left.len,
                 (int)(left.len < 300 ? left.len : 300), left.ptr);
    }
    if (c->count > 0 && c->asked[c->first].end <= c->read && !session_has_work(c->drive.session)) {
        sim_fail(s, "client %td, kind %d: no answer", c - s->client, (int)c->asked[c->first].kind);
    }
    buf_free(&fresh);
    client_receive(s, c);
}

static void
client_turn(struct sim *s, struct client *c, bool hurry)
{
    static const size_t speed[] = { DRIVE_ALL, DRIVE_ALL, 3000, 40 };
    size_t read_max = DRIVE_ALL, used;

    if (!hurry && pick(s, 2)) {
        read_max = pick(s, 2) ? 10 : 20000;
        read_max = 1 + pick(s, (unsigned)read_max);
    }
    used = drive_turn(&c->drive, c->out.ptr, c->out.len, read_max,
                      hurry ? DRIVE_ALL : speed[c->slowness]);
    if (!c->drive.session) {
        sim_fail(s, "client %td was hung up on", c - s->client);
    }
    c->read += used;
    buf_shift(&c->out, used);
    client_check(s, c);
}

/* Lets a client finish. */
static void
client_drain(struct sim *s, struct client *c)
{
    for (unsigned turns = 0;
         c->out.len > 0 || c->count > 0 || c->expect.len > 0 || session_has_work(c->drive.session);
         turns++) {
        client_turn(s, c, true);
        if (turns > 100000) {
            sim_fail(s, "client %td does not get on", c - s->client);
        }
    }
}

/* -- the run ----------------------------------------------------------------------------------- */

static void
sim_flush(struct sim *s)
{
    struct drive d;

    for (unsigned i = 0; i < TALK_CLIENTS; i++) {
        client_drain(s, &s->client[i]);
    }
    /* Items stored in the second of a flush may survive it, or not: let it pass. */
    s->node.now += 2 * USEC_PER_SEC;
    drive_init(&d, &s->node, SESSION_AUTO);
    drive_say(&d, "flush_all\r\n", 11, DRIVE_ALL);
    if (d.got.len != 4 || memcmp(d.got.ptr, "OK\r\n", 4) != 0) {
        sim_fail(s, "flush_all: %.*s", (int)d.got.len, d.got.ptr);
    }
    drive_fini(&d);
    s->node.now += 2 * USEC_PER_SEC;
    for (unsigned i = 0; i < TALK_KEYS; i++) {
        s->model.entry[i].there = false;
    }
}

static void
sim_turn(struct sim *s)
{
    struct client *c = &s->client[pick(s, TALK_CLIENTS)];

    s->node.now += pick(s, 10) ? pick(s, 20000) : pick(s, 1500000);
    if (c->out.len < 10000 && pick(s, 3)) {
        unsigned most = pick(s, 10) ? 8 : ASKED_MAX;

        client_write(s, c, 1 + pick(s, most));
    }
    client_turn(s, c, false);
    if (pick(s, 100) == 0 && !session_has_work(c->drive.session)) {
        client_stop(c); /* what the session has not read whole is never executed */
        client_start(s, c);
    } else if (pick(s, 500) == 0) {
        sim_flush(s);
    }
}

/* Everything that a session held is given back. */
static void
sim_check_figures(struct sim *s)
{
    if (drive_metric(&s->node, M_READ_BUFS) != 1 ||
        drive_metric(&s->node, M_READ_BUF_BYTES) != WORKER_RX_BYTES ||
        drive_metric(&s->node, M_RESP_BUFS) != 0 || drive_metric(&s->node, M_RESP_BUF_BYTES) != 0) {
        sim_fail(s, "buffers of nobody");
    }
    if (drive_metric(&s->node, M_EVICTIONS) != 0) {
        sim_fail(s, "evictions, of which the model knows nothing");
    }
}

/* Returns how many commands there were. */
static uint64_t
sim_run(uint64_t seed)
{
    static const char *const options[] = { "memory_limit=256m", "item_size_max=140k",
                                           "reqs_per_event=1", NULL };
    static struct sim sim;
    struct sim *s = &sim;

    memset(s, 0, sizeof *s);
    s->seed = seed;
    rng_init(&s->rng, seed);
    drive_node_init(&s->node, options);
    for (unsigned i = 0; i < TALK_CLIENTS; i++) {
        client_start(s, &s->client[i]);
    }
    for (s->turn = 0; s->turn < TURNS; s->turn++) {
        sim_turn(s);
    }
    for (unsigned i = 0; i < TALK_CLIENTS; i++) {
        client_drain(s, &s->client[i]);
        client_stop(&s->client[i]);
    }
    sim_check_figures(s);
    for (unsigned i = 0; i < TALK_KEYS; i++) {
        buf_free(&s->model.entry[i].value);
    }
    drive_node_fini(&s->node);
    return s->commands;
}

int
main(int argc, char **argv)
{
    uint64_t first = 1, count = 100, commands = 0;

    if (argc > 1) {
        first = strtoull(argv[1], NULL, 0);
    } else if (getenv("SOAK_SECONDS")) {
        first = (uint64_t)getpid() << 16; /* a soak shall not repeat itself */
    }
    if (argc > 2) {
        count = strtoull(argv[2], NULL, 0);
    }
    talk_init();
    for (uint64_t seed = first; seed < first + count; seed++) {
        commands += sim_run(seed);
    }
    printf("sessions: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " commands\n", count, first,
           commands);
    return 0;
}
