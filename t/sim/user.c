#include "user.h"
#include "speech.h"
#include "world.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_PATIENCE (1 * USEC_PER_SEC)
#define ANSWER_PATIENCE  (10 * USEC_PER_SEC)
#define OUT_MAX          (1u << 20)

static unsigned
pick(struct user *u, unsigned limit)
{
    return (unsigned)rng_below(&u->rng, limit);
}

/* -- the connection ---------------------------------------------------------------------------- */

static void
user_on_ready(void *arg)
{
    struct user *u = arg;
    usec_t late = u->config.is_slow ? (usec_t)pick(u, 20000) : 1;

    timer_hasten(u->world, &u->look, u->world->now + late);
}

static void
user_call(struct user *u)
{
    u->at = pick(u, u->config.hosts);
    u->called = u->head_at = u->world->now;
    u->tcp = tcp_connect(u->paths, u->paths->count - 1, u->at, HOST_PORT_CLIENT, user_on_ready, u);
}

/* Ends the connection; nobody knows what became of what was asked. */
static void
user_hang_up(struct user *u)
{
    while (u->count > 0) {
        struct ask *a = &u->ask[u->first];

        for (uint32_t i = 0; i < a->count; i++) {
            if (u->history->op[a->first + i].done == DONE_PENDING) {
                history_end(u->history, a->first + i, DONE_UNKNOWN);
            }
        }
        u->first = (u->first + 1) % USER_ASKS_MAX;
        u->count--;
    }
    u->out.len = u->in.len = 0;
    if (u->tcp) {
        if (pick(u, 2)) {
            tcp_reset(u->tcp);
        } else {
            tcp_close(u->tcp);
        }
        u->tcp = NULL;
    }
}

static void
user_send(struct user *u)
{
    while (u->out.len > 0) {
        struct iovec iov = { u->out.ptr, u->out.len };
        ssize_t n;

        if (pick(u, 8) == 0) {
            iov.iov_len = 1 + pick(u, (unsigned)u->out.len);
        }
        n = tcp_send(u->tcp, &iov, 1);
        if (n < 0) {
            return; /* a reset is found out by who reads */
        }
        buf_shift(&u->out, (size_t)n);
    }
}

/* -- asking ------------------------------------------------------------------------------------ */

static enum act
act_pick(struct user *u, unsigned key)
{
    static const enum act reads[] = { ACT_GET, ACT_GET, ACT_GET, ACT_GETS, ACT_GAT, ACT_TOUCH };
    static const enum act writes[][6] = {
        [KEY_REGISTER] = { ACT_SET, ACT_SET, ACT_ADD, ACT_REPLACE, ACT_CAS, ACT_DELETE },
        [KEY_COUNTER] = { ACT_SET, ACT_INCR, ACT_INCR, ACT_INCR, ACT_ADD, ACT_DELETE },
        [KEY_LIST] = { ACT_SET, ACT_APPEND, ACT_PREPEND, ACT_APPEND, ACT_ADD, ACT_DELETE },
    };

    if (pick(u, 2)) {
        return reads[pick(u, 6)];
    }
    return writes[key_class(key)][pick(u, 6)];
}

static struct deed
op_make(struct user *u, enum act act, unsigned key)
{
    struct deed o = { .act = act, .key = key, .user = u->index, .host = u->at };
    const struct known *k = &u->known[key == KEY_ALL ? 0 : key];

    if (act == ACT_FLUSH) {
        return o;
    }
    if (act == ACT_CAS && k->token == 0) {
        o.act = ACT_GETS;
    } else if (act == ACT_CAS) {
        o.token = k->token;
        o.expected = k->content;
    }
    if (act == ACT_INCR) {
        o.delta = 1 + pick(u, 9);
    } else if (act >= ACT_SET && act != ACT_DELETE && key_class(key) == KEY_COUNTER) {
        o.delta = (uint64_t)rng_below(&u->rng, 1000) * 1000000 + 1000;
    }
    return o;
}

static uint32_t
op_begin(struct user *u, enum act act, unsigned key)
{
    struct deed o = op_make(u, act, key);
    uint32_t number = history_begin(u->history, &o);
    uint32_t wish = pick(u, 100);

    if (u->config.large > 0 && pick(u, 12) == 0) {
        wish = pick(u, u->config.large);
    }
    u->history->op[number].is_plain = o.act == ACT_GET || u->speaks == USER_BINARY;
    u->history->op[number].length = value_length(&o, number, wish);
    u->asked++;
    return number;
}

static struct ask *
ask_put(struct user *u, enum ask_form form, uint32_t first, uint32_t count)
{
    struct ask *a = &u->ask[(u->first + u->count) % USER_ASKS_MAX];

    assert(u->count < USER_ASKS_MAX);
    if (u->count++ == 0) {
        u->head_at = u->world->now;
    }
    *a = (struct ask){ .form = form, .first = first, .count = count };
    return a;
}

static void
user_ask_many(struct user *u)
{
    unsigned count = 1 + pick(u, u->config.keys < 20 ? u->config.keys : 20);
    unsigned key = pick(u, u->config.keys);
    enum ask_form form = u->speaks == USER_TEXT ? ASK_MULTI : ASK_MULTI_QUIET;
    uint32_t first = u->history->count;

    for (unsigned i = 0; i < count; i++) {
        (void)op_begin(u, ACT_GET, (key + i) % u->config.keys);
    }
    speech_write(u->speaks, u->history, ask_put(u, form, first, count), &u->out);
}

static void
user_ask(struct user *u)
{
    unsigned key = pick(u, u->config.keys);
    uint32_t number;

    if (pick(u, 8) == 0) {
        user_ask_many(u);
        return;
    }
    if (u->config.flushes && pick(u, 300) == 0) {
        number = op_begin(u, ACT_FLUSH, KEY_ALL);
    } else {
        number = op_begin(u, act_pick(u, key), key);
    }
    if (u->speaks == USER_TEXT && pick(u, 20) == 0 && speech_is_silent(&u->history->op[number])) {
        speech_write_silent(u->history, number, &u->out);
        history_end(u->history, number, DONE_UNKNOWN);
        return;
    }
    speech_write(u->speaks, u->history, ask_put(u, ASK_ONE, number, 1), &u->out);
}

uint32_t
user_ask_now(struct user *u, unsigned host, enum act act, unsigned key)
{
    uint32_t number;

    user_hang_up(u);
    user_call(u);
    if (u->at != host) {
        tcp_reset(u->tcp);
        u->at = host;
        u->tcp =
            tcp_connect(u->paths, u->paths->count - 1, host, HOST_PORT_CLIENT, user_on_ready, u);
    }
    number = op_begin(u, act, key);
    speech_write(u->speaks, u->history, ask_put(u, ASK_ONE, number, 1), &u->out);
    return number;
}

static void
user_on_act(void *arg)
{
    struct user *u = arg;
    usec_t now = u->world->now;

    if (u->stopped && u->count == 0) {
        return;
    }
    timer_set(u->world, &u->act,
              now + 1 + (usec_t)rng_below(&u->rng, 2 * (uint64_t)u->config.think));
    if (!u->tcp) {
        user_call(u);
    } else if (!tcp_is_open(u->tcp)) {
        if (now - u->called > CONNECT_PATIENCE) {
            user_hang_up(u);
        }
    } else if (u->count > 0 && now - u->head_at > ANSWER_PATIENCE) {
        user_hang_up(u);
    } else if (u->stopped) {
        user_send(u);
    } else if (u->config.hangs_up && pick(u, 150) == 0) {
        user_hang_up(u);
    } else {
        unsigned burst = 1 + pick(u, u->config.depth);
        double most = u->config.rate * (double)(now - u->began) / 1e6 + 10;

        while (burst-- > 0 && u->count < u->config.depth && u->out.len < OUT_MAX &&
               (double)u->asked < most) {
            user_ask(u);
        }
        user_send(u);
    }
}

/* -- hearing ----------------------------------------------------------------------------------- */

static void
user_hear(struct user *u)
{
    struct speech s = { .history = u->history,
                        .world = u->world,
                        .user = u->index,
                        .strict = u->config.is_strict,
                        .known = u->known };

    while (u->count > 0) {
        struct ask *a = &u->ask[u->first];
        bool over;
        size_t used = speech_read(&s, u->speaks, a, slice_of(u->in.ptr, u->in.len), &over);

        buf_shift(&u->in, used);
        if (!over) {
            break;
        }
        world_note(u->world, "user %u: answer to %u at node %u", u->index, a->first, u->at);
        u->first = (u->first + 1) % USER_ASKS_MAX;
        u->count--;
        u->head_at = u->world->now;
    }
    u->errors += s.errors;
    if (u->count == 0 && u->in.len > 0) {
        world_fail(u->world, "user %u: node %u says what nobody asked: %.*s", u->index, u->at,
                   (int)(u->in.len < 200 ? u->in.len : 200), u->in.ptr);
    }
}

static void
user_on_look(void *arg)
{
    struct user *u = arg;
    char room[16384];
    size_t most = u->config.is_slow ? 1 + pick(u, 200) : sizeof room;
    ssize_t n;

    if (!u->tcp) {
        return;
    }
    n = tcp_is_open(u->tcp) || tcp_is_reset(u->tcp) ? tcp_recv(u->tcp, room, most) : TCP_AGAIN;
    if (n == 0 || n == TCP_RESET) {
        user_hang_up(u);
        return;
    }
    if (n > 0) {
        world_need(buf_add(&u->in, room, (size_t)n));
        user_hear(u);
        user_on_ready(u);
    }
    if (tcp_is_open(u->tcp)) {
        user_send(u);
    }
}

/* -- life -------------------------------------------------------------------------------------- */

void
user_init(struct user *u, struct world *w, struct paths *p, struct history *h, unsigned index,
          const struct user_config *config)
{
    *u = (struct user){ .world = w, .paths = p, .history = h, .index = index, .config = *config };
    rng_init(&u->rng, w->seed ^ (index + 1) * UINT64_C(0x75736572));
    u->speaks = (enum user_speaks)pick(u, USER_SPEAKS);
    u->known = world_alloc(config->keys * sizeof *u->known);
    timer_init(&u->act, user_on_act, u);
    timer_init(&u->look, user_on_look, u);
}

void
user_fini(struct user *u)
{
    user_hang_up(u);
    timer_stop(u->world, &u->act);
    timer_stop(u->world, &u->look);
    buf_free(&u->in);
    buf_free(&u->out);
    free(u->known);
}

void
user_start(struct user *u)
{
    u->began = u->world->now;
    timer_set(u->world, &u->act, u->world->now + (usec_t)pick(u, 50000));
}

void
user_stop(struct user *u)
{
    u->stopped = true;
}

void
user_leave(struct user *u)
{
    u->stopped = true;
    user_hang_up(u);
}

usec_t
user_waits_since(const struct user *u)
{
    const struct host *h = u->config.host[u->at];
    usec_t since = u->head_at;

    if (!u->tcp || !tcp_is_open(u->tcp) || u->count == 0 || tcp_readable(u->tcp) > 0 ||
        u->config.is_slow || u->out.len > 0 || !host_is_able(h) || h->started_at >= u->called) {
        return 0;
    }
    return h->able_at > since ? h->able_at : since;
}
