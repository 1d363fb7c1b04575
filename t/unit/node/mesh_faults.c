/*
 * Three nodes whose links hold bytes back, break and cannot be made, and whose views differ: every
 * request is answered in its turn and in time, by a value that somebody stored there, a miss or an
 * error.
 *
 * MESH_SEED=first and MESH_SEEDS=how-many choose others than the usual ones.
 */
#include "base/rng.h"
#include "mesh.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES     3
#define CLIENTS   6
#define KEYS      30
#define LONG_KEYS 5 /* the first so many have values that go in parts */
#define STEPS     400
#define ASKED     32
#define STEP_MAX  (150 * USEC_PER_MSEC) /* time of one step */
/* Of a command that waits for what was asked before: asked once more by who is not the owner, and
 * noticed at the next step. */
#define PATIENCE  (2 * 250 * USEC_PER_MSEC + 2 * STEP_MAX)

enum what { GET, GETS, MG, SET, SET_QUIET, DELETE, INCR, FLUSH, MN, WHATS };

struct ask {
    enum what what;
    unsigned key, keys; /* GETS: keys from key on */
    unsigned tag;       /* MG */
};

struct client {
    struct drive drive;
    unsigned node;
    struct buf in; /* to be said */
    size_t said;
    struct ask asked[ASKED];
    unsigned next, count;
    usec_t late; /* when all of it is answered */
};

struct trial {
    struct mesh mesh;
    struct client client[CLIENTS];
    struct rng rng;
    uint64_t seed;
    unsigned step, tag;
    unsigned issued[KEYS]; /* values so far */
    unsigned hits, misses, errors;
};

static unsigned
pick(struct trial *t, unsigned limit)
{
    return (unsigned)rng_below(&t->rng, limit);
}

#define NEED(t, c, ok)                                                                             \
    cr_assert(eq(int, (ok) ? 1 : 0, 1),                                                            \
              "MESH_SEED=%" PRIu64 " step %u client %d: %s\nafter \"%.*s\"", (t)->seed, (t)->step, \
              (int)((c) - (t)->client), #ok,                                                       \
              (int)((c)->drive.got.len < 200 ? (c)->drive.got.len : 200),                          \
              (c)->drive.got.ptr ? (c)->drive.got.ptr : "")

/* -- values ---------------------------------------------------------------------------------------
 */

/* The n-th value of a key, of which its bytes tell. */
static size_t
value_make(unsigned key, unsigned n, char *out)
{
    size_t len = key < LONG_KEYS ? 50000 + n * 7919 % 90000 : 20 + n % 50;
    size_t at = (size_t)sprintf(out, "k%u:%u:", key, n);

    for (; at < len; at++) {
        out[at] = (char)('a' + (at * 7 + n + at / 251) % 26);
    }
    return len;
}

static bool
value_good(struct trial *t, unsigned key, struct slice value)
{
    static char want[200000];
    char *end;
    unsigned n, k;

    memcpy(want, value.ptr, value.len < 40 ? value.len : 40);
    want[value.len < 40 ? value.len : 40] = '\0';
    if (sscanf(want, "k%u:%u:", &k, &n) != 2) {
        n = (unsigned)strtoul(want, &end, 10); /* a counter */
        return end == want + value.len || *end == ' ';
    }
    return k == key && n < t->issued[key] && value_make(key, n, want) == value.len &&
           memcmp(want, value.ptr, value.len) == 0;
}

/* -- asking ---------------------------------------------------------------------------------------
 */

static void say(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void
say(struct client *c, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cr_assert(eq(int, buf_add(&c->in, text, (size_t)n), true));
}

static void
say_set(struct trial *t, struct client *c, const struct ask *a)
{
    static char value[200000];
    size_t len = value_make(a->key, t->issued[a->key]++, value);

    say(c, "set k%u 0 0 %zu%s\r\n", a->key, len, a->what == SET_QUIET ? " noreply" : "");
    cr_assert(eq(int, buf_add(&c->in, value, len), true));
    say(c, "\r\n");
}

static void
say_one(struct trial *t, struct client *c, struct ask *a)
{
    *a = (struct ask){ .what = (enum what)pick(t, WHATS), .key = pick(t, KEYS), .tag = t->tag++ };
    if (a->what == FLUSH && pick(t, 4) > 0) {
        a->what = SET;
    }
    switch (a->what) {
    case GET:
        say(c, "get k%u\r\n", a->key);
        break;
    case GETS:
        a->keys = 1 + pick(t, KEYS - a->key);
        say(c, "%s", pick(t, 2) ? "gets" : "get");
        for (unsigned i = 0; i < a->keys; i++) {
            say(c, " k%u", a->key + i);
        }
        say(c, "\r\n");
        break;
    case MG:
        say(c, "mg k%u k O%u v\r\n", a->key, a->tag);
        break;
    case SET:
    case SET_QUIET:
        say_set(t, c, a);
        break;
    case DELETE:
        say(c, "delete k%u\r\n", a->key);
        break;
    case INCR:
        say(c, "incr k%u 1\r\n", a->key);
        break;
    case FLUSH:
        say(c, "flush_all\r\n");
        break;
    case MN:
    case WHATS:
        say(c, "mn\r\n");
        break;
    }
}

static void
ask(struct trial *t, struct client *c)
{
    unsigned waits = 1;

    c->in.len = c->said = 0;
    c->next = 0;
    c->count = 1 + pick(t, ASKED - 1);
    for (unsigned i = 0; i < c->count; i++) {
        struct ask *a = &c->asked[i];

        say_one(t, c, a);
        /* A long value, a long line and a flush wait; a value that comes is not late. */
        waits += a->what == GETS || a->what == FLUSH || a->key < LONG_KEYS;
    }
    c->late = t->mesh.node[0].now + waits * PATIENCE;
}

/* -- answers --------------------------------------------------------------------------------------
 */

/* Takes a line with "\r\n" off what was got, from *at; false: it is not whole. */
static bool
line_take(struct client *c, size_t *at, struct slice *ret)
{
    struct slice in = slice_of(c->drive.got.ptr + *at, c->drive.got.len - *at);
    const char *end = in.len > 0 ? memchr(in.ptr, '\n', in.len) : NULL;

    if (!end) {
        return false;
    }
    *ret = slice_of(in.ptr, (size_t)(end - in.ptr) - 1);
    *at += ret->len + 2;
    return true;
}

static bool
begins(struct slice line, const char *with)
{
    return line.len >= strlen(with) && memcmp(line.ptr, with, strlen(with)) == 0;
}

/* A value behind its line; false: it is not whole. */
static bool
value_take(struct trial *t, struct client *c, unsigned key, size_t len, size_t *at)
{
    struct slice in = slice_of(c->drive.got.ptr + *at, c->drive.got.len - *at);

    if (in.len < len + 2) {
        return false;
    }
    NEED(t, c, value_good(t, key, slice_of(in.ptr, len)));
    NEED(t, c, memcmp(in.ptr + len, "\r\n", 2) == 0);
    *at += len + 2;
    t->hits++;
    return true;
}

/* The answer to a retrieval of some keys: any of them in their order. */
static bool
lines_take(struct trial *t, struct client *c, const struct ask *a, size_t *at)
{
    unsigned key, first = a->key, end = a->key + (a->what == GETS ? a->keys : 1);
    struct slice line;
    size_t len;

    while (line_take(c, at, &line)) {
        if (slice_is(line, "END") || begins(line, "SERVER_ERROR ")) {
            t->misses += line.len == 3;
            t->errors += line.len > 3;
            return true;
        }
        NEED(t, c, begins(line, "VALUE k"));
        NEED(t, c, sscanf(line.ptr, "VALUE k%u 0 %zu", &key, &len) == 2);
        NEED(t, c, key >= first && key < end);
        first = key + 1;
        if (!value_take(t, c, key, len, at)) {
            return false;
        }
    }
    return false;
}

static bool
meta_take(struct trial *t, struct client *c, const struct ask *a, size_t *at)
{
    struct slice line;
    unsigned key, tag;
    size_t len;

    if (!line_take(c, at, &line)) {
        return false;
    }
    if (begins(line, "EN") || begins(line, "SERVER_ERROR ")) {
        return true;
    }
    NEED(t, c, begins(line, "VA "));
    NEED(t, c, sscanf(line.ptr, "VA %zu kk%u O%u", &len, &key, &tag) == 3);
    NEED(t, c, key == a->key && tag == a->tag);
    return value_take(t, c, key, len, at);
}

static bool
word_take(struct trial *t, struct client *c, const struct ask *a, size_t *at)
{
    static const char *const words[WHATS][2] = {
        [SET] = { "STORED", "STORED" },
        [DELETE] = { "DELETED", "NOT_FOUND" },
        [FLUSH] = { "OK", "OK" },
        [MN] = { "MN", "MN" },
    };
    struct slice line;

    if (!line_take(c, at, &line)) {
        return false;
    }
    t->errors += begins(line, "SERVER_ERROR ");
    if (a->what == INCR) {
        NEED(t, c,
             slice_is(line, "NOT_FOUND") || begins(line, "SERVER_ERROR ") ||
                 begins(line, "CLIENT_ERROR cannot increment") ||
                 (line.len > 0 && line.ptr[0] >= '0' && line.ptr[0] <= '9'));
        return true;
    }
    NEED(t, c,
         slice_is(line, words[a->what][0]) || slice_is(line, words[a->what][1]) ||
             (begins(line, "SERVER_ERROR ") && a->what != MN));
    return true;
}

/* Checks what came, and forgets it. */
static void
hear(struct trial *t, struct client *c)
{
    while (c->next < c->count) {
        const struct ask *a = &c->asked[c->next];
        size_t at = 0;
        bool whole = a->what == SET_QUIET                ? true
                     : a->what == GET || a->what == GETS ? lines_take(t, c, a, &at)
                     : a->what == MG                     ? meta_take(t, c, a, &at)
                                                         : word_take(t, c, a, &at);

        if (!whole) {
            break;
        }
        buf_shift(&c->drive.got, at);
        c->next++;
    }
    NEED(t, c, c->drive.session != NULL);
    NEED(t, c, c->next < c->count || c->drive.got.len == 0);
    NEED(t, c, c->next == c->count || t->mesh.node[0].now < c->late);
}

/* -- steps ----------------------------------------------------------------------------------------
 */

/* Everybody says what they can. */
static void
speak(struct trial *t)
{
    bool moved;

    do {
        moved = false;
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct client *c = &t->client[i];
            bool work = session_has_work(c->drive.session);
            size_t n = c->in.len - c->said;

            if (n > 0 || work) {
                n = drive_turn(&c->drive, c->in.ptr + c->said, n, 1 + pick(t, 40000), DRIVE_ALL);
                c->said += n;
                moved = moved || n > 0 || work;
            }
        }
        mesh_pump(&t->mesh);
    } while (moved);
}

static void
fault(struct trial *t)
{
    struct mesh *m = &t->mesh;
    unsigned from = pick(t, NODES), to = (from + 1 + pick(t, NODES - 1)) % NODES;
    bool in[MESH_MAX] = { true, true, true };

    switch (pick(t, 8)) {
    case 0:
    case 1:
        m->held[from][to] = !m->held[from][to];
        break;
    case 2:
        m->cut[from][to] = !m->cut[from][to];
        break;
    case 3:
        mesh_break(m, from, to);
        break;
    case 4:
        m->piece = pick(t, 2) ? 0 : 200 + pick(t, 20000);
        break;
    case 5: /* some have another view than others for a while */
        in[to] = pick(t, 3) > 0;
        mesh_view(m, from, in);
        break;
    default: /* all is well */
        memset(m->held, 0, sizeof m->held);
        memset(m->cut, 0, sizeof m->cut);
    }
}

static void
client_renew(struct trial *t, struct client *c)
{
    drive_fini(&c->drive);
    mesh_client(&t->mesh, c->node, &c->drive);
    c->in.len = c->said = 0;
    c->next = c->count = 0;
}

static void
step(struct trial *t)
{
    struct client *c = &t->client[pick(t, CLIENTS)];

    if (c->next == c->count) {
        ask(t, c);
    } else if (pick(t, 20) == 0) {
        client_renew(t, c);
    }
    if (pick(t, 3) == 0) {
        fault(t);
    }
    speak(t);
    if (pick(t, 2)) {
        mesh_wait(&t->mesh, (usec_t)pick(t, (unsigned)STEP_MAX));
        speak(t);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        hear(t, &t->client[i]);
    }
}

/* When all is well again, it is as if nothing had been. */
static void
heal(struct trial *t)
{
    static const bool all[MESH_MAX] = { true, true, true };
    struct mesh *m = &t->mesh;

    memset(m->held, 0, sizeof m->held);
    memset(m->cut, 0, sizeof m->cut);
    for (unsigned i = 0; i < NODES; i++) {
        mesh_view(m, i, all);
    }
    for (int i = 0; i < 100; i++) {
        mesh_wait(m, 200 * USEC_PER_MSEC);
        speak(t);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &t->client[i];

        hear(t, c);
        NEED(t, c, c->next == c->count);
        for (unsigned key = LONG_KEYS; key < KEYS; key++) { /* a half-open breaker lets one in */
            say(c, "set k%u 0 0 1\r\n%u\r\n", key, i);
            speak(t);
            mesh_wait(m, 1100 * USEC_PER_MSEC);
            speak(t);
            c->drive.got.len = 0;
            say(c, "get k%u\r\n", key);
            speak(t);
            NEED(t, c, c->drive.got.len > 5 && memcmp(c->drive.got.ptr, "VALUE", 5) == 0);
            c->drive.got.len = 0;
        }
    }
    for (unsigned i = 0; i < NODES; i++) {
        struct peers *p = m->node[i].worker->peers;

        for (struct link *l = peers_next(p, NULL); l; l = peers_next(p, l)) {
            cr_assert(eq(u32, l->flight, 0));
            cr_assert(eq(sz, l->out.unsent + l->lane.bytes, 0));
        }
    }
}

static void
trial_run(struct trial *t, uint64_t seed)
{
    static const char *const options[] = { "memory_limit=64m", NULL };

    memset(t, 0, sizeof *t);
    t->seed = seed;
    rng_init(&t->rng, seed);
    mesh_init(&t->mesh, NODES, options);
    for (unsigned i = 0; i < CLIENTS; i++) {
        t->client[i].node = i % NODES;
        mesh_client(&t->mesh, i % NODES, &t->client[i].drive);
    }
    for (t->step = 0; t->step < STEPS; t->step++) {
        step(t);
    }
    heal(t);
    for (unsigned i = 0; i < CLIENTS; i++) {
        drive_fini(&t->client[i].drive);
        buf_free(&t->client[i].in);
    }
    mesh_fini(&t->mesh);
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

Test(mesh_faults, everyone_is_answered_in_order_and_in_time)
{
    static struct trial t;
    uint64_t first = number("MESH_SEED", 1), count = number("MESH_SEEDS", 10);
    unsigned hits = 0, misses = 0, errors = 0;

    for (uint64_t seed = first; seed < first + count; seed++) {
        trial_run(&t, seed);
        hits += t.hits;
        misses += t.misses;
        errors += t.errors;
    }
    /* Otherwise it has shown nothing. */
    cr_expect(gt(u32, hits, 50 * count));
    cr_expect(gt(u32, misses, 50 * count));
    cr_expect(gt(u32, errors, 50 * count));
}
