#include "cluster/view.h"
#include "node/execute.h"
#include "nodes.h"
#include "proto/peer.h"
#include "store/item.h"
#include "store/store.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY (50 * USEC_PER_MSEC)
#define BOOT_MAX   (60 * USEC_PER_SEC)
#define SETTLE_MAX (90 * USEC_PER_SEC)
#define PROBES     8u   /* keys behind those of users */
#define WARMERS    400u /* and more of them */
#define QUIET_TIME (8 * USEC_PER_SEC)
#define OPS_MAX    3000.              /* in a run, or it takes too long to check */
#define ANSWER_MAX (2 * USEC_PER_SEC) /* to answer anything, on a machine that can */

static struct run *current; /* whom the hook on execute() belongs to */

const char *
planted_word(enum planted p)
{
    static const char *const words[PLANTS] = { "nothing",   "swap",      "drop",  "twice", "forget",
                                               "undeleted", "unflushed", "stale", "silent" };

    return words[p];
}

/* -- what is executed, and what is forwarded --------------------------------------------------- */

/* The operation that a command belongs to, or 0 if it does not say. */
static uint32_t
command_number(const struct run *r, const struct command *c, struct slice value)
{
    uint32_t n = 0;
    char room[16] = "";

    if (value.len > 0) {
        n = value_number(value);
    } else if (c->protocol == PROTO_BINARY) {
        n = c->opaque;
    } else if (c->protocol == PROTO_META && (c->meta.has & META_BIT('O')) != 0 &&
               c->meta.opaque.len < sizeof room) {
        memcpy(room, c->meta.opaque.ptr, c->meta.opaque.len);
        n = (uint32_t)strtoul(room, NULL, 10);
    }
    return n < r->history.count ? n : 0;
}

static void
run_executed(struct run *r, const struct worker *w, uint32_t number)
{
    struct host *h = host_of(r->hosts, r->host_count, w);
    struct deed *o = &r->history.op[number];

    assert(h);
    r->executed++;
    if (number == 0 || o->act < ACT_SET) {
        return;
    }
    if (o->executed++ > 0) {
        world_fail(&r->world, "operation %u is executed by node %u, and was by node %u", number,
                   h->index, o->executor);
    }
    o->executor = h->index;
}

/* True if the command is answered, and not done. */
static bool
plant_forgets(struct run *run, const struct command *c, const struct item *item, struct reply *r)
{
    enum reply_code code = RPL_NOTHING;

    if (run->planted == PLANTED_FORGET && c->op == OP_SET && !item) {
        code = RPL_STORED;
    } else if (run->planted == PLANTED_UNDELETED && c->op == OP_DELETE) {
        code = RPL_DELETED;
    } else if (run->planted == PLANTED_UNFLUSHED && c->op == OP_FLUSH_ALL) {
        r->code = RPL_OK;
        return true;
    }
    if (code == RPL_NOTHING || rng_below(&run->rng, 20) > 0) {
        return false;
    }
    r->code = code;
    return true;
}

void __real_execute(struct worker *w, const struct command *c, struct item *item, struct reply *r);
void __wrap_execute(struct worker *w, const struct command *c, struct item *item, struct reply *r);

/* Instead of execute(), by the linker: --wrap. */
void
__wrap_execute(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct run *run = current;
    uint32_t number = run ? command_number(run, c, c->value) : 0;

    if (!run) {
        __real_execute(w, c, item, r);
        return;
    }
    run_executed(run, w, number);
    if (run->talking && !run->calm && plant_forgets(run, c, item, r)) {
        return;
    }
    __real_execute(w, c, item, r);
}

static void
frame_commands(struct run *r, struct host *h, unsigned to, const struct peer_frame *f,
               struct slice body)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct command c;
        enum peer_value value;
        uint32_t number;
        struct deed *o;

        memset(&c, 0, sizeof c);
        if (peer_read_command(&body, &c, &value) != PEER_OK) {
            world_fail(&r->world, "node %u sends node %u what is no command", h->index, to);
        }
        r->forwarded++;
        number = command_number(r, &c, c.value);
        o = &r->history.op[number];
        if (number == 0) {
            continue;
        }
        if (o->host != h->index) {
            world_fail(&r->world, "operation %u came to node %u and is forwarded by node %u, to %u",
                       number, o->host, h->index, to);
        }
        if (++o->forwards > 2) {
            world_fail(&r->world, "operation %u is forwarded for the %u. time", number,
                       o->forwards);
        }
    }
}

/* Two entries of one frame change places. */
static bool
plant_swap(char *bytes, size_t len, const struct peer_frame *f)
{
    struct slice body = slice_of(bytes + PEER_HEADER, f->body_len), first, rest, content;
    struct peer_entry e;
    char *copy;

    rest = body;
    if (f->count < 2 || peer_read_entry(&rest, &e, &content) != PEER_OK) {
        return false;
    }
    first = slice_of(body.ptr, (size_t)(rest.ptr - body.ptr));
    body = rest;
    if (peer_read_entry(&rest, &e, &content) != PEER_OK) {
        return false;
    }
    body = slice_of(body.ptr, (size_t)(rest.ptr - body.ptr));
    if (slice_eq(first, body)) {
        return false;
    }
    copy = world_alloc(len);
    memcpy(copy, body.ptr, body.len);
    memcpy(copy + body.len, first.ptr, first.len);
    memcpy(bytes + PEER_HEADER, copy, first.len + body.len);
    free(copy);
    return true;
}

static unsigned
run_plant(struct run *r, char *bytes, size_t len, const struct peer_frame *f)
{
    static char kept[256];
    static size_t kept_len;

    if (!r->talking || r->calm) {
        return 1;
    }
    switch (r->planted) {
    case PLANTED_SWAP:
        if (f->type == PEER_ANSWERS && plant_swap(bytes, len, f)) {
            r->planted_count++;
        }
        break;
    case PLANTED_DROP:
        return f->type == PEER_COMMANDS && rng_below(&r->rng, 20) == 0 ? 0 : 1;
    case PLANTED_SILENT:
        return f->type == PEER_ANSWERS && rng_below(&r->rng, 20) == 0 ? 0 : 1;
    case PLANTED_TWICE:
        return f->type == PEER_COMMANDS && rng_below(&r->rng, 5) == 0 ? 2 : 1;
    case PLANTED_STALE:
        if (f->type == PEER_ANSWERS && f->count == 1 && f->body_len < sizeof kept) {
            if (kept_len == f->body_len && rng_below(&r->rng, 4) == 0) {
                memcpy(bytes + PEER_HEADER, kept, kept_len);
            }
            memcpy(kept, bytes + PEER_HEADER, f->body_len);
            kept_len = f->body_len;
        }
        break;
    default:
        break;
    }
    return 1;
}

static unsigned
run_on_frame(void *arg, struct host *h, unsigned to, bool is_answer, char *bytes, size_t len)
{
    struct run *r = arg;
    struct peer_frame f;

    r->frames++;
    if (peer_read_frame(slice_of(bytes, len), &f) != PEER_OK) {
        world_fail(&r->world, "node %u sends node %u what is no frame", h->index, to);
    }
    if (is_answer && f.type == PEER_COMMANDS) {
        world_fail(&r->world, "node %u is asked by node %u and asks back", h->index, to);
    }
    if (f.type == PEER_COMMANDS) {
        frame_commands(r, h, to, &f, slice_of(bytes + PEER_HEADER, f.body_len));
    }
    return run_plant(r, bytes, len, &f);
}

/* -- the ring ---------------------------------------------------------------------------------- */

static bool
run_agrees(struct run *r)
{
    const struct host *first = NULL;

    for (unsigned i = 0; i < r->host_count; i++) {
        const struct host *h = &r->host[i];

        if (!h->running || !h->settings.cluster.join[0]) {
            continue;
        }
        if (first && first->ring_digest != h->ring_digest) {
            return false;
        }
        first = h;
    }
    return true;
}

/* A dispute about the ring begins or ends, or it changed. */
static void
run_look_at_ring(struct run *r, bool changed)
{
    bool agrees = run_agrees(r);

    if (!r->talking) {
        return;
    }
    if (!agrees && r->disputed_at < 0) {
        r->disputed_at = r->world.now;
    } else if (agrees && r->disputed_at >= 0) {
        times_add(&r->history.moved, r->disputed_at, r->world.now);
        r->disputed_at = -1;
    } else if (agrees && changed) {
        times_add(&r->history.moved, r->world.now, r->world.now);
    }
}

static void
run_on_ring(void *arg, struct host *h)
{
    (void)h;
    run_look_at_ring(arg, true);
}

/* -- troubles ---------------------------------------------------------------------------------- */

static void
paths_trouble(struct run *r, const struct trouble *t, unsigned a, unsigned b)
{
    struct path *path = &r->paths.path[a][b];

    switch (t->kind) {
    case TROUBLE_LOSS:
        path->loss = t->amount;
        break;
    case TROUBLE_DUPLICATE:
        path->duplicate = t->amount;
        break;
    case TROUBLE_REORDER:
        path->reorder = t->amount;
        break;
    case TROUBLE_DELAY:
        path->delay += t->a == a && t->b == b ? (usec_t)t->amount : 0;
        break;
    case TROUBLE_BLOCK:
        path->blocks += t->a == a && t->b == b;
        break;
    case TROUBLE_PARTITION:
        path->blocks += ((t->mask >> a ^ t->mask >> b) & 1) != 0;
        break;
    default:
        break;
    }
}

/* Sets what depends on all troubles there are now. */
static void
run_set_troubles(struct run *r)
{
    r->paths.squeeze = 0;
    for (unsigned a = 0; a < r->host_count; a++) {
        r->host[a].slowness = 0;
        for (unsigned b = 0; b < r->host_count; b++) {
            r->paths.path[a][b] = (struct path){ .delay = 100, .jitter = 400 };
        }
    }
    for (unsigned i = 0; i < r->plan.troubles; i++) {
        const struct trouble *t = &r->plan.trouble[i];

        if (!r->trouble[i].active) {
            continue;
        }
        for (unsigned a = 0; a < r->host_count; a++) {
            for (unsigned b = 0; b < r->host_count; b++) {
                paths_trouble(r, t, a, b);
            }
        }
        if (t->kind == TROUBLE_SQUEEZE) {
            r->paths.squeeze = (unsigned)t->amount;
        } else if (t->kind == TROUBLE_SLOW) {
            r->host[t->a].slowness = (usec_t)t->amount;
        }
    }
}

static void
trouble_begin(void *arg)
{
    struct run_trouble *rt = arg;
    struct run *r = rt->run;
    const struct trouble *t = rt->trouble;
    struct host *h = &r->host[t->a];

    if (!rt->active) {
        world_note(&r->world, "trouble: %s begins, %u %u %x", trouble_word(t->kind), t->a, t->b,
                   t->mask);
        rt->times = (unsigned)t->amount;
    }
    rt->active = true;
    run_set_troubles(r);
    switch (t->kind) {
    case TROUBLE_RESET:
        tcp_break_any(&r->paths, rng_next(&r->rng));
        if (--rt->times > 0) {
            timer_set(&r->world, &rt->begin, r->world.now + t->span / (usec_t)t->amount);
        }
        break;
    case TROUBLE_STOP:
        host_stop(h, true);
        break;
    case TROUBLE_STALL:
        host_stall(h, true);
        break;
    case TROUBLE_CRASH:
    case TROUBLE_POWER:
        host_crash(h, t->kind == TROUBLE_POWER);
        break;
    case TROUBLE_LEAVE:
        host_leave(h);
        break;
    case TROUBLE_JOIN:
        host_start(h);
        break;
    default:
        break;
    }
}

static void
trouble_end(void *arg)
{
    struct run_trouble *rt = arg;
    struct run *r = rt->run;
    const struct trouble *t = rt->trouble;
    struct host *h = &r->host[t->a];

    timer_stop(&r->world, &rt->begin);
    timer_stop(&r->world, &rt->end);
    if (!rt->active) {
        return;
    }
    rt->active = false;
    world_note(&r->world, "trouble: %s ends, %u %u %x", trouble_word(t->kind), t->a, t->b, t->mask);
    if (t->kind == TROUBLE_STOP) {
        host_stop(h, false);
    } else if (t->kind == TROUBLE_STALL) {
        host_stall(h, false);
    } else if (t->kind == TROUBLE_CRASH || t->kind == TROUBLE_POWER || t->kind == TROUBLE_LEAVE) {
        host_crash(h, false);
        host_start(h);
    }
    run_set_troubles(r);
    run_look_at_ring(r, false);
}

static void
run_start_troubles(struct run *r)
{
    for (unsigned i = 0; i < r->plan.troubles; i++) {
        const struct trouble *t = &r->plan.trouble[i];
        usec_t span =
            t->kind == TROUBLE_LEAVE && t->span < 2 * USEC_PER_SEC ? 2 * USEC_PER_SEC : t->span;

        r->trouble[i] = (struct run_trouble){ .run = r, .trouble = t };
        timer_init(&r->trouble[i].begin, trouble_begin, &r->trouble[i]);
        timer_init(&r->trouble[i].end, trouble_end, &r->trouble[i]);
        if (!t->skip) {
            timer_set(&r->world, &r->trouble[i].begin, r->world.now + t->at);
            timer_set(&r->world, &r->trouble[i].end, r->world.now + t->at + span + 1);
        }
    }
}

/* -- looks ------------------------------------------------------------------------------------- */

/* How late an answer may be now. */
static usec_t
run_patience(const struct run *r)
{
    usec_t most = ANSWER_MAX, slow = 0;

    for (unsigned i = 0; i < r->host_count; i++) {
        slow = r->host[i].slowness > slow ? r->host[i].slowness : slow;
    }
    return most + 40 * slow;
}

/* True if one that runs is held for dead, or is not known. */
static bool
run_is_apart(struct run *r)
{
    for (unsigned i = 0; i < r->host_count; i++) {
        const struct view *v = r->host[i].running ? atomic_load(&r->host[i].node->view) : NULL;

        for (unsigned j = 0; v && j < r->host_count; j++) {
            unsigned at = view_find(v, host_id(j));

            if (r->host[j].running && (at == VIEW_NOBODY || v->node[at].state >= MEMBER_DEAD)) {
                return true;
            }
        }
    }
    return false;
}

static void
run_on_look(void *arg)
{
    struct run *r = arg;
    usec_t now = r->world.now, patience = run_patience(r);

    timer_set(&r->world, &r->look, now + LOOK_EVERY);
    if (run_is_apart(r)) {
        times_add(&r->history.apart, now - LOOK_EVERY, now + LOOK_EVERY);
    }
    if (r->paths.squeeze > 0 || patience > ANSWER_MAX) {
        r->lenient_until = now + 10 * USEC_PER_SEC;
    }
    for (unsigned i = 0; i < r->host_count; i++) {
        const char *wrong = r->host[i].running ? host_bounds(&r->host[i]) : NULL;

        if (wrong) {
            world_fail(&r->world, "node %u: %s", i, wrong);
        }
    }
    for (unsigned i = 0; r->talking && i < r->plan.users; i++) {
        usec_t since = user_waits_since(&r->user[i]);

        if (since > 0 && now - since > patience && now > r->lenient_until) {
            const struct user *u = &r->user[i];

            world_fail(&r->world, "user %u waits for node %u to answer operation %u for %.3f s", i,
                       u->at, u->ask[u->first].first, (double)(now - since) / 1e6);
        }
    }
}

/* What is not yet as it should be when nothing goes wrong any more, or NULL. */
static const char *
run_unsettled(struct run *r)
{
    if (!run_agrees(r)) {
        return "nodes disagree on the ring";
    }
    for (unsigned i = 0; i < r->host_count; i++) {
        struct host *h = &r->host[i];
        const struct view *v = h->running ? atomic_load(&h->node->view) : NULL;

        if (!v) {
            continue;
        }
        for (unsigned j = 0; j < r->host_count; j++) {
            unsigned at = view_find(v, host_id(j));

            if (r->host[j].running &&
                (at == VIEW_NOBODY || !v->node[at].acts || v->node[at].state != MEMBER_ALIVE)) {
                const struct view_node *n = at == VIEW_NOBODY ? NULL : &v->node[at];

                world_note(
                    &r->world,
                    "node %u holds node %u: state %d, phase %d, in ring %d, incarnation %lld "
                    "(it began at %lld)",
                    i, j, n ? (int)n->state : -1, n ? n->info.phase : -1, n ? n->in_ring : -1,
                    n ? (long long)n->info.incarnation : -1,
                    (long long)(HOST_START + r->host[j].started_at) / USEC_PER_SEC);
                return "a node does not hold another for alive and acting";
            }
        }
        if (host_bad_links(h) > 0) {
            return "a link to a node that is alive is not in use";
        }
    }
    return NULL;
}

/* A get through each node: breakers that are half open close by traffic alone. */
static void
run_warm(struct run *r)
{
    for (unsigned a = 0; a < r->host_count; a++) {
        if (r->host[a].running && r->host[a].stopped == 0 && r->host[a].stalled == 0) {
            unsigned key = r->plan.keys + PROBES + (unsigned)rng_below(&r->rng, WARMERS);

            (void)user_ask_now(&r->prober, a, ACT_GET, key);
            for (usec_t until = r->world.now + 2 * USEC_PER_MSEC; world_step(&r->world, until);) {
            }
        }
    }
}

static void
run_settle(struct run *r, usec_t most, const char *when)
{
    usec_t began = r->world.now;
    const char *wrong = "nothing happened";

    while ((wrong = run_unsettled(r)) != NULL) {
        if (r->world.now - began > most) {
            world_fail(&r->world, "%s, %.0f s %s", wrong, (double)most / 1e6, when);
        }
        run_warm(r);
        for (usec_t until = r->world.now + 10 * USEC_PER_MSEC; world_step(&r->world, until);) {
        }
    }
}

/* -- the end: everybody reads what anybody wrote ----------------------------------------------- */

static void
run_wait_for(struct run *r, uint32_t number)
{
    usec_t until = r->world.now + 5 * USEC_PER_SEC;

    while (r->history.op[number].done == DONE_PENDING) {
        if (!world_step(&r->world, until)) {
            world_fail(&r->world, "no answer to operation %u although all is well", number);
        }
    }
}

static void
run_probe(struct run *r)
{
    unsigned key = (r->plan.keys + 3) / 4 * 4; /* its own, a register */

    for (unsigned a = 0; a < r->host_count; a++) {
        for (unsigned b = 0; b < r->host_count; b++) {
            uint32_t set, get;

            if (!r->host[a].running || !r->host[b].running) {
                continue;
            }
            set = user_ask_now(&r->prober, a, ACT_SET, key);
            run_wait_for(r, set);
            get = user_ask_now(&r->prober, b, ACT_GET, key);
            run_wait_for(r, get);
            if (r->plan.small_memory && r->history.op[set].done != DONE_OK) {
                continue; /* no memory for it */
            }
            if (r->history.op[set].done != DONE_OK || r->history.op[get].done != DONE_OK ||
                r->history.op[get].newest != set) {
                world_fail(&r->world,
                           "what is written through node %u (outcome %d) is not read through node "
                           "%u (outcome %d), although all is well",
                           a, (int)r->history.op[set].done, b, (int)r->history.op[get].done);
            }
            key ^= 1; /* another register */
        }
    }
}

/* -- a run ------------------------------------------------------------------------------------- */

static void
run_init(struct run *r, const struct plan *p, uint64_t seed)
{
    static const char *const placement[] = { "placement=native", "placement=ketama-weighted",
                                             "placement=ketama-oat" };
    unsigned n = 0;

    r->plan = *p;
    r->host_count = p->nodes + p->extra;
    r->disputed_at = -1;
    world_init(&r->world, seed);
    rng_init(&r->rng, seed ^ UINT64_C(0x72756e));
    paths_init(&r->paths, &r->world, r->host_count + 1);
    history_init(&r->history, &r->world, p->keys);
    if (p->nodes > 1) {
        r->options[n++] = "join=whom.the.driver.says"; /* seeds are given as addresses */
    }
    r->options[n++] = p->small_memory ? "memory_limit=1m" : "memory_limit=64m";
    r->options[n++] = placement[p->placement];
    r->options[n++] = p->loud ? "peer_error=error" : "peer_error=miss";
    if (p->forgets) {
        r->options[n++] = "auto_forget=3s";
    }
    r->ops = (struct host_ops){ .arg = r, .ring = run_on_ring, .frame = run_on_frame };
    for (unsigned i = 0; i < r->host_count; i++) {
        struct host *h = &r->host[i];

        host_init(h, &r->world, &r->paths, i, &r->ops);
        r->hosts[i] = h;
        h->worker_count = p->workers;
        h->options = r->options;
        h->seeds = p->nodes;
        h->fixed = p->fixed ? p->nodes : 0;
        h->weight = p->weights ? 1 + i % 3 : 1;
        if (p->clocks) {
            h->offset_max = i % 2 ? 300000 : 5 * USEC_PER_SEC;
            h->drift = (rng_unit(&h->rng) - 0.5) * 1e-3;
        }
    }
    timer_init(&r->look, run_on_look, r);
    user_init(&r->prober, &r->world, &r->paths, &r->history, p->users,
              &(struct user_config){
                  .host = r->hosts, .hosts = r->host_count, .keys = p->keys + PROBES + WARMERS });
    r->prober.speaks = USER_TEXT;
}

static void
run_boot(struct run *r)
{
    for (unsigned i = 0; i < r->plan.nodes; i++) {
        usec_t until = r->world.now + (usec_t)rng_below(&r->rng, 100000);

        host_start(&r->host[i]);
        while (world_step(&r->world, until)) {
        }
    }
    if (r->plan.nodes > 1) {
        run_settle(r, BOOT_MAX, "after the start");
    }
}

static void
run_talk(struct run *r)
{
    struct user_config config = {
        .host = r->hosts,
        .hosts = r->host_count,
        .keys = r->plan.keys,
        .depth = r->plan.depth,
        .think = r->plan.think,
        .large = r->plan.large,
        .rate = OPS_MAX / (double)r->plan.users / ((double)r->plan.until / 1e6),
        .is_strict = plan_is_strict(&r->plan),
        .hangs_up = r->plan.hanging_users,
        .flushes = r->plan.flushes,
    };
    r->talk_at = r->world.now;
    r->talking = true;
    for (unsigned i = 0; i < r->plan.users; i++) {
        config.is_slow = r->plan.slow_users && i % 3 == 0;
        user_init(&r->user[i], &r->world, &r->paths, &r->history, i, &config);
        user_start(&r->user[i]);
    }
    run_start_troubles(r);
    timer_set(&r->world, &r->look, r->world.now);
    while (world_step(&r->world, r->talk_at + r->plan.until)) {
    }
}

/* The troubles end, users hear what they are owed, all becomes as it should be. */
static void
run_calm(struct run *r)
{
    usec_t began = r->world.now, until = began + 30 * USEC_PER_SEC;
    unsigned open = 1;

    for (unsigned i = 0; i < r->plan.troubles; i++) {
        trouble_end(&r->trouble[i]);
    }
    for (unsigned i = 0; i < r->plan.users; i++) {
        user_stop(&r->user[i]);
    }
    r->calm = true;
    if (r->plan.nodes > 1) {
        /* What was lost last is on its way once more, and a link whose other end went without a
         * word is pinged after five seconds of silence. */
        for (usec_t quiet = began + QUIET_TIME; world_step(&r->world, quiet);) {
        }
        run_settle(r, SETTLE_MAX, "after the last trouble");
        r->settled = r->world.now - began;
    }
    while (open > 0 && world_step(&r->world, until)) {
        open = 0;
        for (unsigned i = 0; i < r->plan.users; i++) {
            open += r->user[i].tcp && !r->user[i].config.is_slow ? r->user[i].count : 0;
        }
    }
    if (open > 0) {
        world_fail(&r->world, "%u requests are not answered, although all is well", open);
    }
    run_probe(r);
}

/* True if a machine lost power: whom it called has not heard of it, and waits for it to go on. */
static bool
run_had_power_cut(const struct run *r)
{
    for (unsigned i = 0; i < r->plan.troubles; i++) {
        if (!r->plan.trouble[i].skip && r->plan.trouble[i].kind == TROUBLE_POWER) {
            return true;
        }
    }
    return false;
}

/* All users go: nothing is kept for them. */
static void
run_close(struct run *r)
{
    for (unsigned i = 0; i < r->plan.users; i++) {
        user_leave(&r->user[i]);
    }
    user_leave(&r->prober);
    for (usec_t until = r->world.now + 2 * USEC_PER_SEC; world_step(&r->world, until);) {
    }
    for (unsigned i = 0; i < r->host_count && !run_had_power_cut(r); i++) {
        const char *left = r->host[i].running ? host_leftovers(&r->host[i]) : NULL;

        /* Half of a ping may have arrived at this very moment: the rest does soon. */
        for (unsigned more = 0; left && more < 20; more++) {
            for (usec_t until = r->world.now + 50 * USEC_PER_MSEC; world_step(&r->world, until);) {
            }
            left = host_leftovers(&r->host[i]);
        }
        if (left) {
            world_fail(&r->world, "node %u keeps %s", i, left);
        }
    }
}

static void
run_count(struct run *r, struct run_figures *f)
{
    f->events += r->world.events;
    f->operations += r->history.checked;
    f->hits += r->history.hits;
    f->misses += r->history.misses;
    f->unknown += r->history.unknown;
    f->stale += r->history.stale;
    f->undecided += r->history.undecided;
    f->executed += r->executed;
    f->forwarded += r->forwarded;
    f->frames += r->frames;
    for (unsigned i = 0; i < r->plan.users; i++) {
        f->errors += r->user[i].errors;
    }
    for (unsigned i = 0; i < r->host_count; i++) {
        f->evictions += r->host[i].running ? (uint64_t)host_metric(&r->host[i], M_EVICTIONS) : 0;
    }
    f->talked += r->plan.until;
    for (size_t i = 0; i < r->history.moved.count; i++) {
        f->disputed += r->history.moved.span[i].until - r->history.moved.span[i].from;
    }
    f->unflushed += r->history.unflushed;
    f->settled_max = r->settled > f->settled_max ? r->settled : f->settled_max;
}

static void
run_fini(struct run *r)
{
    current = NULL;
    for (unsigned i = 0; i < r->plan.users; i++) {
        user_fini(&r->user[i]);
    }
    user_fini(&r->prober);
    for (unsigned i = 0; i < r->host_count; i++) {
        host_fini(&r->host[i]);
    }
    paths_fini(&r->paths);
    history_fini(&r->history);
    world_fini(&r->world);
}

uint64_t
run_plan(const struct plan *p, uint64_t seed, const char *repeat, bool trace, enum planted planted,
         struct run_figures *figures)
{
    static struct run run;
    struct run *r = &run;
    bool strict = plan_is_strict(p);
    uint64_t hash;

    memset(r, 0, sizeof *r);
    run_init(r, p, seed);
    r->world.repeat = repeat;
    r->world.trace = trace;
    r->planted = planted;
    current = r;
    run_boot(r);
    run_talk(r);
    run_calm(r);
    run_close(r);
    if (r->disputed_at >= 0) {
        times_add(&r->history.moved, r->disputed_at, r->world.now);
    }
    if (strict && r->history.moved.count > 0) {
        world_fail(&r->world, "the ring changed, and nobody asked for it");
    }
    history_check(&r->history,
                  &(struct excuses){ .loses = plan_loses(p) || r->history.moved.count > 0,
                                     .forgets = !strict && !p->loud });
    run_count(r, figures);
    hash = r->world.hash;
    run_fini(r);
    return hash;
}
