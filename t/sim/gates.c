/*
 * gates.c - figures of a simulated cluster (see gates.h).
 *
 * Each gate is a table of cases, runs of each in several processes, and what must hold of their
 * means.  Seeds are fixed, so that a gate fails only if the code changed.
 */
#include "gates.h"

#include "pool.h"
#include "swarm.h"
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NEVER (-1.0)

/* -- printing ---------------------------------------------------------------------------------- */

/* A line for the reader, and for the page if there is one. */
static void __attribute__((format(printf, 2, 3)))
say(struct gates *g, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
    if (g->page) {
        va_start(args, fmt);
        vfprintf(g->page, fmt, args);
        va_end(args);
        fputc('\n', g->page);
    }
}

/* "met" or "**not met**", counted. */
static const char *
verdict(struct gates *g, bool ok)
{
    g->passed += ok;
    g->failed += !ok;
    return ok ? "met" : "**not met**";
}

/* Within 10 %, and twice the standard error of x. */
static bool
near(double x, double error, double wanted)
{
    return fabs(x - wanted) <= 0.1 * wanted + 2 * error;
}

static double
seconds(usec_t t)
{
    return (double)t / 1e6;
}

/* -- samples ----------------------------------------------------------------------------------- */

struct samples {
    double *x;
    unsigned count;
};

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
mean(const struct samples *s)
{
    double sum = 0;

    for (unsigned i = 0; i < s->count; i++) {
        sum += s->x[i];
    }
    return s->count ? sum / s->count : NEVER;
}

/* The standard error of the mean. */
static double
mean_error(const struct samples *s)
{
    double m = mean(s), sum = 0;

    for (unsigned i = 0; i < s->count; i++) {
        sum += (s->x[i] - m) * (s->x[i] - m);
    }
    return s->count > 1 ? sqrt(sum / (s->count - 1) / s->count) : 0;
}

/* Sorts. */
static double
p99(const struct samples *s)
{
    if (s->count == 0) {
        return NEVER;
    }
    qsort(s->x, s->count, sizeof s->x[0], compare_doubles);
    return s->x[(unsigned)ceil(0.99 * s->count) - 1];
}

static void *
need(void *p)
{
    if (!p) {
        abort();
    }
    return p;
}

/* -- the death of a node ----------------------------------------------------------------------- */

struct crash_case {
    unsigned nodes;
    enum plan_profile profile;
    unsigned alpha; /* 0: the profile's */
    bool awareness; /* the page says how slow the members became */
};

struct crash_run {
    double first_suspect, all_suspect, first_dead, all_dead; /* s after the crash, or NEVER */
    unsigned awareness;                                      /* the highest at any node */
    uint64_t hash;
};

struct crash_ctx {
    struct crash_run *run;
    unsigned victim;
    usec_t   crashed;
    unsigned suspects, deaths;
    bool    *suspected;
};

static void
crash_change(struct swarm *w, unsigned observer, const struct swim_change *c)
{
    struct crash_ctx *x = w->config.ctx;
    double now = seconds(w->now - x->crashed);

    if (x->crashed == 0 || c->id != swarm_id(x->victim) ||
        (c->kind != SWIM_SUSPECTED && c->kind != SWIM_DIED)) {
        return;
    }
    if (!x->suspected[observer]) {
        x->suspected[observer] = true;
        x->run->first_suspect = x->suspects == 0 ? now : x->run->first_suspect;
        if (++x->suspects == w->config.nodes - 1) {
            x->run->all_suspect = now;
        }
    }
    if (c->kind == SWIM_DIED) {
        x->run->first_dead = x->deaths == 0 ? now : x->run->first_dead;
        if (++x->deaths == w->config.nodes - 1) {
            x->run->all_dead = now;
        }
    }
}

static void
case_config(const struct crash_case *k, unsigned seed, struct swarm_config *ret)
{
    *ret = (struct swarm_config){ .nodes = k->nodes, .seed = seed + 1 };
    profile_config(&ret->swim, k->profile);
    ret->swim.alpha = k->alpha ? k->alpha : ret->swim.alpha;
}

static void
crash_call(struct swarm *w, uint64_t number)
{
    struct crash_ctx *x = w->config.ctx;

    (void)number;
    x->victim = (unsigned)rng_below(&w->rng, w->config.nodes);
    x->crashed = w->now;
    swarm_crash(w, x->victim);
}

static void
crash_one(unsigned i, void *result, const void *arg)
{
    const struct crash_case *k = arg;
    struct crash_ctx x = { .run = result };
    struct swarm_config c;
    struct swarm w;
    usec_t at;

    *x.run = (struct crash_run){ NEVER, NEVER, NEVER, NEVER, 0, 0 };
    case_config(k, i, &c);
    c.on_change = crash_change;
    c.on_call = crash_call;
    c.ctx = &x;
    x.suspected = need(calloc(k->nodes, 1));
    swarm_init(&w, &c, NULL);
    at = 20 * c.swim.probe_interval;
    swarm_call(&w, at + (usec_t)rng_below(&w.rng, (uint64_t)(10 * c.swim.probe_interval)), 0);
    while (x.deaths < k->nodes - 1 && w.now < at + 300 * c.swim.probe_interval) {
        swarm_run(&w, w.now + c.swim.probe_interval);
        for (unsigned n = 0; n < k->nodes && w.now > at; n++) {
            unsigned a = w.node[n].swim ? swim_awareness(w.node[n].swim) : 0;

            x.run->awareness = a > x.run->awareness ? a : x.run->awareness;
        }
    }
    x.run->hash = w.hash;
    swarm_fini(&w);
    free(x.suspected);
}

struct crash_figures {
    unsigned runs, complete;
    double suspect, suspect_error, suspect_p99, spread, verdict, verdict_error, dead, dead_p99;
    double awareness;
};

static struct samples
crash_samples(const struct crash_run *run, unsigned runs, size_t end, size_t begin)
{
    struct samples s = { .x = need(calloc(runs, sizeof *s.x)) };

    for (unsigned i = 0; i < runs; i++) {
        double to = *(const double *)((const char *)&run[i] + end);
        double from = begin == SIZE_MAX ? 0 : *(const double *)((const char *)&run[i] + begin);

        if (to >= 0 && from >= 0) {
            s.x[s.count++] = to - from;
        }
    }
    return s;
}

static struct crash_figures
crash_measure(const struct gates *g, const struct crash_case *k, unsigned runs)
{
    struct crash_run *run = need(calloc(runs, sizeof *run));
    struct crash_figures f = { .runs = pool_run(g->jobs, runs, sizeof *run, run, crash_one, k) };
    struct samples s;

    s = crash_samples(run, f.runs, offsetof(struct crash_run, first_suspect), SIZE_MAX);
    f.suspect = mean(&s);
    f.suspect_error = mean_error(&s);
    f.suspect_p99 = p99(&s);
    free(s.x);
    s = crash_samples(run, f.runs, offsetof(struct crash_run, all_suspect),
                      offsetof(struct crash_run, first_suspect));
    f.spread = mean(&s);
    free(s.x);
    s = crash_samples(run, f.runs, offsetof(struct crash_run, first_dead),
                      offsetof(struct crash_run, first_suspect));
    f.verdict = mean(&s);
    f.verdict_error = mean_error(&s);
    free(s.x);
    s = crash_samples(run, f.runs, offsetof(struct crash_run, all_dead), SIZE_MAX);
    f.complete = s.count;
    f.dead = mean(&s);
    f.dead_p99 = p99(&s);
    free(s.x);
    for (unsigned i = 0; i < f.runs; i++) {
        f.awareness += (double)run[i].awareness / f.runs;
    }
    free(run);
    return f;
}

/* The rows of CLUSTER 2d: memberlist's parameters for a LAN. */
static void
gate_identities(struct gates *g)
{
    /* spread: of the reference model; 0: not given */
    static const struct { unsigned nodes, runs, few; double spread; bool hold; } row[] = {
        { 3, 500, 0, 0.03, false }, { 5, 500, 0, 0.13, false }, { 10, 1000, 200, 0.22, true },
        { 32, 500, 100, 0.40, true }, { 100, 300, 40, 0.55, true }, { 1000, 20, 0, 0.83, true },
    };

    say(g, "\n## What follows from the parameters\n");
    say(g, "memberlist's parameters for a LAN: probes every 1 s, time-out 0.5 s, gossip to 3 each "
           "0.2 s, alpha 4, beta 6; one node crashes. Seconds.\n");
    say(g, "| nodes | runs | first suspects it, mean (p99) | 2 intervals +-10 %% | all suspect it "
           "after that | the model's +10 %% at most | first suspicion to first verdict | alpha x "
           "max(1, log10 n) +-10 %% | dead at all, mean (p99) | highest awareness |");
    say(g, "|---|---|---|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct crash_case k = { .nodes = row[i].nodes, .profile = PROFILE_LAN };
        unsigned runs = g->full ? row[i].runs : row[i].few;
        double wanted = 4 * (k.nodes > 10 ? log10(k.nodes) : 1);
        struct crash_figures f;

        if (runs == 0) {
            continue;
        }
        f = crash_measure(g, &k, runs);
        say(g, "| %u | %u | %.2f (%.1f) | %s | %.2f | %.2f %s | %.2f | %.2f %s | %.2f (%.1f) | "
            "%.2f |", k.nodes, f.runs, f.suspect, f.suspect_p99,
            row[i].hold ? verdict(g, near(f.suspect, f.suspect_error, 2)) : "-", f.spread,
            row[i].spread,
            row[i].hold ? verdict(g, f.spread > 0 && f.spread <= 1.1 * row[i].spread) : "-",
            f.verdict, wanted,
            row[i].hold ? verdict(g, near(f.verdict, f.verdict_error, wanted)) : "-", f.dead,
            f.dead_p99, f.awareness);
        if (f.complete < runs) {
            say(g, "\n%u of %u deaths were known to all %s\n", f.complete, runs,
                verdict(g, false));
        }
    }
}

/* The promise for the default profile. */
static void
gate_death(struct gates *g)
{
    static const struct { unsigned nodes, runs, few; double within; } row[] = {
        { 3, 300, 0, 0 }, { 10, 1000, 200, 3 }, { 100, 200, 10, 0 }, { 1000, 30, 0, 7 },
    };
    struct swim_config c;

    profile_config(&c, PROFILE_DEFAULT);
    say(g, "\n## The death of a node, with the default profile\n");
    say(g, "Probes every %.1f s, time-out %.2f s, gossip to %u each %.1f s, alpha %u, beta %u. "
           "Seconds from the crash until every other node holds it dead.\n",
        seconds(c.probe_interval), seconds(c.probe_timeout), c.fanout, seconds(c.gossip_interval),
        c.alpha, c.beta);
    say(g, "| nodes | alpha | runs | first suspects it | dead at all: mean | p99 | 3 s at 10, 7 s "
           "at 1,000 nodes |");
    say(g, "|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (unsigned alpha = 3; alpha <= 4; alpha++) {
            struct crash_case k = { .nodes = row[i].nodes, .alpha = alpha };
            unsigned runs = g->full ? row[i].runs : row[i].few;
            bool ours = alpha == c.alpha;
            struct crash_figures f;

            if (runs == 0 || (!ours && !g->full)) {
                continue;
            }
            f = crash_measure(g, &k, runs);
            say(g, "| %u | %u%s | %u | %.2f | %.2f | %.2f | %s |", k.nodes, alpha,
                ours ? " (default)" : "", f.runs, f.suspect, f.dead, f.dead_p99,
                row[i].within == 0            ? "-"
                : ours                        ? verdict(g, f.dead <= row[i].within)
                : f.dead <= row[i].within     ? "would be met"
                                              : "would not be met");
        }
    }
}

/* -- traffic of a cluster where nothing happens ------------------------------------------------ */

struct idle_case {
    unsigned nodes;
    enum plan_profile profile;
    double loss;
    usec_t warm, watch;
};

struct idle_run {
    double packets;          /* for each probe interval and node */
    double packets_second;   /* and second */
    double bytes;            /* of datagrams, for each second and node, sent */
    double stream;           /* likewise of push/pull, as the daemon does it */
    double stream_whole;     /* and if whole states were exchanged each time */
    double memory;           /* bytes for each member at each node */
    double speed;            /* events a second */
    double changes;
};

static void
idle_watch(const struct idle_case *k, bool digests, struct idle_run *r)
{
    struct swarm_config c = { .nodes = k->nodes, .seed = 1, .digests = digests, .loss = k->loss };
    uint64_t packets = 0, bytes = 0, stream = 0, events;
    struct timespec begin, end;
    struct swarm w;

    profile_config(&c.swim, k->profile);
    swarm_init(&w, &c, NULL);
    swarm_run(&w, k->warm);
    for (unsigned i = 0; i < k->nodes; i++) {
        packets -= w.node[i].sent;
        bytes -= w.node[i].sent_bytes;
        stream -= w.node[i].stream_bytes;
    }
    events = w.figures.events;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    swarm_run(&w, k->warm + k->watch);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    for (unsigned i = 0; i < k->nodes; i++) {
        packets += w.node[i].sent;
        bytes += w.node[i].sent_bytes;
        stream += w.node[i].stream_bytes;
    }
    if (digests) {
        r->stream = (double)stream / seconds(k->watch) / k->nodes;
    } else {
        double took = (double)(end.tv_sec - begin.tv_sec) +
                      (double)(end.tv_nsec - begin.tv_nsec) / 1e9;

        r->packets_second = (double)packets / seconds(k->watch) / k->nodes;
        r->packets = r->packets_second * seconds(c.swim.probe_interval);
        r->bytes = (double)bytes / seconds(k->watch) / k->nodes;
        r->stream_whole = (double)stream / seconds(k->watch) / k->nodes;
        r->memory = (double)mallinfo2().uordblks / k->nodes / k->nodes;
        r->speed = (double)(w.figures.events - events) / took;
        r->changes = (double)(w.figures.suspicions + w.figures.deaths);
    }
    swarm_fini(&w);
}

static void
idle_one(unsigned i, void *result, const void *arg)
{
    idle_watch(arg, i, result);
}

static struct idle_run
idle_measure(const struct gates *g, const struct idle_case *k)
{
    struct idle_run r[2];

    memset(r, 0, sizeof r);
    /* Thousands of nodes take gigabytes: one run after the other then. */
    if (pool_run(k->nodes > 2000 ? 1 : g->jobs, 2, sizeof r[0], r, idle_one, k) != 2) {
        memset(r, 0, sizeof r);
        r[0].packets = NEVER;
    }
    r[0].stream = r[1].stream;
    return r[0];
}

static void
gate_idle(struct gates *g, enum plan_profile profile)
{
    static const unsigned size[] = { 3, 10, 100, 1000, 5000 };
    double least = INFINITY, most = 0;
    unsigned sizes = !g->full ? 3 : profile == PROFILE_DEFAULT ? 5 : 4;

    say(g, "\n## Traffic when nothing happens, %s\n",
        profile == PROFILE_LAN ? "memberlist's parameters" : "the default profile");
    say(g, "Sent by each node; datagrams with %d bytes of header and room for encryption, without "
           "those of UDP and IP. Push/pull goes by TCP: a digest each way if both hold the same; "
           "the column behind the sum says what it would be if whole states went each time.\n",
        GOSSIP_OVERHEAD);
    say(g, "| nodes | datagrams an interval | 2.00 +-10 %% | a second | gossip, bytes/s | "
           "push/pull, bytes/s | both under 2048 | push/pull of whole states | memory of a node, "
           "bytes a member |");
    say(g, "|---|---|---|---|---|---|---|---|---|");
    for (unsigned i = 0; i < sizes; i++) {
        struct idle_case k = { .nodes = size[i], .profile = profile };
        struct swim_config c;
        struct idle_run r;

        profile_config(&c, profile);
        /* The first push/pull is at any moment of an interval; then they are as far apart. */
        k.warm = c.sync_interval + USEC_PER_SEC;
        k.watch = c.sync_interval * (size[i] > 32 ? (usec_t)ceil(log2(size[i]) - 5) + 1 : 4);
        r = idle_measure(g, &k);
        say(g, "| %u | %.3f | %s | %.2f | %.0f | %.1f | %s | %.0f | %.0f |", k.nodes, r.packets,
            verdict(g, near(r.packets, 0, 2)), r.packets_second, r.bytes, r.stream,
            profile == PROFILE_DEFAULT
                ? verdict(g, r.stream > 0 && r.bytes + r.stream < 2048) : "-",
            r.stream_whole, r.memory);
        if (r.changes > 0) {
            say(g, "\n%.0f suspicions and deaths: %s\n", r.changes, verdict(g, false));
        }
        if (size[i] >= 10) {
            least = r.bytes < least ? r.bytes : least;
            most = r.bytes > most ? r.bytes : most;
        }
    }
    say(g, "\nThe same at each size from 10 on, within 10 %%: %.0f to %.0f bytes/s of gossip, %s.",
        least, most, verdict(g, most <= 1.1 * least));
}

static void
gate_idle_lan(struct gates *g)
{
    gate_idle(g, PROFILE_LAN);
}

static void
gate_idle_default(struct gates *g)
{
    gate_idle(g, PROFILE_DEFAULT);
}

/* -- how fast a rumour spreads ----------------------------------------------------------------- */

struct spread_ctx {
    usec_t at;
    unsigned knows;
    double all;
};

static void
spread_change(struct swarm *w, unsigned observer, const struct swim_change *c)
{
    struct spread_ctx *x = w->config.ctx;

    (void)observer;
    if (x->at && c->kind == SWIM_CHANGED && c->id == swarm_id(0) &&
        ++x->knows == w->config.nodes - 1) {
        x->all = seconds(w->now - x->at);
    }
}

static void
spread_call(struct swarm *w, uint64_t number)
{
    struct spread_ctx *x = w->config.ctx;

    (void)number;
    x->at = w->now;
    swarm_change(w, 0);
}

static void
spread_one(unsigned i, void *result, const void *arg)
{
    const struct crash_case *k = arg;
    struct spread_ctx x = { .all = NEVER };
    struct swarm_config c;
    struct swarm w;
    usec_t at;

    case_config(k, i, &c);
    c.on_change = spread_change;
    c.on_call = spread_call;
    c.ctx = &x;
    swarm_init(&w, &c, NULL);
    at = 20 * c.swim.probe_interval;
    swarm_call(&w, at + (usec_t)rng_below(&w.rng, (uint64_t)(2 * c.swim.probe_interval)), 0);
    while (x.all < 0 && w.now < 2 * at) {
        swarm_run(&w, w.now + c.swim.gossip_interval);
    }
    *(double *)result = x.all;
    swarm_fini(&w);
}

static void
gate_spread(struct gates *g)
{
    static const struct { unsigned nodes, runs, few; double wanted; } row[] = {
        { 10, 1000, 100, 0.22 }, { 100, 200, 20, 0.55 }, { 1000, 30, 0, 0.83 },
    };

    say(g, "\n## How fast a rumour spreads\n");
    say(g, "A node says something new of itself; seconds until all know. The reference model has "
           "fan-out 3 each 0.2 s as well, and waits for the next round at first.\n");
    say(g, "| nodes | runs | fan-out 3, 0.2 s: mean (p99) | reference | at most that +10 %% | the "
           "default profile: mean (p99) |");
    say(g, "|---|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        unsigned runs = g->full ? row[i].runs : row[i].few;
        struct samples lan = { .x = need(calloc(runs + 1, sizeof(double))), .count = runs };
        struct samples our = { .x = need(calloc(runs + 1, sizeof(double))), .count = runs };
        struct crash_case k = { .nodes = row[i].nodes, .profile = PROFILE_LAN };

        if (runs > 0) {
            pool_run(g->jobs, runs, sizeof(double), lan.x, spread_one, &k);
            k.profile = PROFILE_DEFAULT;
            pool_run(g->jobs, runs, sizeof(double), our.x, spread_one, &k);
            say(g, "| %u | %u | %.2f (%.2f) | %.2f | %s | %.2f (%.2f) |", k.nodes, runs, mean(&lan),
                p99(&lan), row[i].wanted,
                verdict(g, mean(&lan) > 0 && mean(&lan) <= 1.1 * row[i].wanted), mean(&our),
                p99(&our));
        }
        free(lan.x);
        free(our.x);
    }
}

/* -- loss -------------------------------------------------------------------------------------- */

struct loss_case {
    unsigned nodes;
    enum plan_profile profile;
    double loss;
    bool tcp;
    unsigned minutes;
};

struct loss_run {
    double node_hours, suspicions, deaths; /* as all observers see them */
    double packets;                        /* of all */
};

static void
loss_one(unsigned i, void *result, const void *arg)
{
    const struct loss_case *k = arg;
    struct swarm_config c = { .nodes = k->nodes, .seed = i + 1, .loss = k->loss };
    struct loss_run *r = result;
    struct swarm w;

    profile_config(&c.swim, k->profile);
    c.swim.no_tcp = !k->tcp;
    swarm_init(&w, &c, NULL);
    swarm_run(&w, k->minutes * 60 * USEC_PER_SEC);
    r->node_hours = k->nodes * k->minutes / 60.0;
    r->suspicions = (double)w.figures.suspicions;
    r->deaths = (double)w.figures.deaths;
    r->packets = (double)w.figures.datagrams;
    swarm_fini(&w);
}

static struct loss_run
loss_measure(const struct gates *g, const struct loss_case *k, unsigned runs)
{
    struct loss_run *r = need(calloc(runs, sizeof *r)), sum = { 0 };
    unsigned complete = pool_run(g->jobs, runs, sizeof *r, r, loss_one, k);

    for (unsigned i = 0; i < complete; i++) {
        sum.node_hours += r[i].node_hours;
        sum.suspicions += r[i].suspicions;
        sum.deaths += r[i].deaths;
        sum.packets += r[i].packets;
    }
    free(r);
    return sum;
}

static void
loss_row(struct gates *g, const struct loss_case *k, unsigned runs, bool none_may_die)
{
    struct loss_run r = loss_measure(g, k, runs);
    double seen = r.node_hours * (k->nodes - 1);

    say(g, "| %s | %.0f %% | %s | %u | %.0f | %.3g | %.3g | %.0f | %.1f | %s |",
        k->profile == PROFILE_LAN ? "LAN" : "default", k->loss * 100, k->tcp ? "yes" : "no",
        k->nodes, r.node_hours, r.suspicions / seen, r.deaths / seen, r.deaths,
        r.packets / r.node_hours / 3600, none_may_die ? verdict(g, r.deaths == 0) : "-");
}

static void
gate_loss(struct gates *g)
{
    static const double loss[] = { 0.05, 0.15, 0.25, 0.35 };
    struct loss_case k = { .nodes = 64, .profile = PROFILE_LAN, .minutes = 10 };

    say(g, "\n## Loss\n");
    say(g, "Every datagram is lost with this probability, and every segment of a connection (a SYN "
           "comes again after 1 s, others after 0.2 s). Nobody dies. Suspicions and deaths are "
           "those of a node in an hour, as an average observer sees them.\n");
    say(g, "| profile | loss | TCP fallback | nodes | node-hours | suspicions | deaths | deaths "
           "seen, all observers | datagrams/s and node | no false death |");
    say(g, "|---|---|---|---|---|---|---|---|---|---|");
    if (g->full) {
        for (unsigned i = 0; i < 8; i++) {
            k.loss = loss[i / 2];
            k.tcp = i % 2;
            loss_row(g, &k, 6, false);
        }
    }
    k = (struct loss_case){ .nodes = 64, .loss = 0.05, .tcp = true, .minutes = 10 };
    if (!g->full) {
        k.minutes = 2;
    }
    loss_row(g, &k, g->full ? 4 : 2, true);
    if (!g->full) {
        return;
    }
    k.tcp = false;
    loss_row(g, &k, 4, false);
    /* The promise: 10,000 hours of nodes, of small clusters and large ones. */
    k = (struct loss_case){ .nodes = 10, .loss = 0.05, .tcp = true, .minutes = 600 };
    loss_row(g, &k, 20, true);
    k = (struct loss_case){ .nodes = 100, .loss = 0.05, .tcp = true, .minutes = 60 };
    loss_row(g, &k, 80, true);
}

/* -- two halves that find each other again ----------------------------------------------------- */

#define HEAL_APART  (60 * USEC_PER_SEC)
#define HEAL_WITHIN 20 /* s: two intervals of rejoining */

static void
heal_one(unsigned i, void *result, const void *arg)
{
    const struct crash_case *k = arg;
    struct swarm_config c;
    struct plan plan = { .count = 1 };
    struct swarm w;
    usec_t end = 10 * USEC_PER_SEC + HEAL_APART;
    char why[128];

    case_config(k, i, &c);
    plan.fault[0] = (struct fault){ .kind = FAULT_PARTITION,
                                    .who = { .kind = NODES_FIRST, .number = k->nodes / 2 },
                                    .at = 10 * USEC_PER_SEC,
                                    .until = end };
    swarm_init(&w, &c, &plan);
    swarm_run(&w, end);
    while (!swarm_agrees(&w, why, sizeof why) && w.now < end + 300 * USEC_PER_SEC) {
        swarm_run(&w, w.now + 100 * USEC_PER_MSEC);
    }
    *(double *)result = seconds(w.now - end);
    swarm_fini(&w);
}

static void
gate_heal(struct gates *g)
{
    static const struct { unsigned nodes, runs, few; } row[] = {
        { 4, 200, 0 }, { 10, 200, 50 }, { 100, 30, 3 },
    };

    say(g, "\n## A partition that ends\n");
    say(g, "Two halves of a cluster do not hear each other for %.0f s and hold each other dead; "
           "seconds until all hold all alive again, with the default profile.\n",
        seconds(HEAL_APART));
    say(g, "| nodes | runs | mean | p99 | each within %d s |", HEAL_WITHIN);
    say(g, "|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct crash_case k = { .nodes = row[i].nodes };
        unsigned runs = g->full ? row[i].runs : row[i].few;
        struct samples s = { .x = need(calloc(runs + 1, sizeof(double))), .count = runs };

        if (runs > 0) {
            bool complete = pool_run(g->jobs, runs, sizeof(double), s.x, heal_one, &k) == runs;
            double late = p99(&s);

            say(g, "| %u | %u | %.2f | %.2f | %s |", k.nodes, runs, mean(&s), late,
                verdict(g, complete && s.x[runs - 1] <= HEAL_WITHIN));
        }
        free(s.x);
    }
}

/* -- members that are slow --------------------------------------------------------------------- */

#define SLOW_NODES 128
#define SLOW_C     5
#define SLOW_D     4
#define SLOW_I     3
#define SLOW_RUNS  (SLOW_C * SLOW_D * SLOW_I)

static const unsigned slow_c[SLOW_C] = { 1, 4, 8, 16, 32 };
static const unsigned slow_d[SLOW_D] = { 4, 8, 16, 32 };    /* s */
static const unsigned slow_i[SLOW_I] = { 16, 256, 4000 };   /* ms */

struct slow_case {
    const char *name;
    enum plan_profile profile;
    unsigned alpha;
    bool no_awareness, no_confirmation, no_buddy, no_doubt;
    double fewer; /* times fewer false deaths than the first, at least; 0: none asked for */
    bool full;    /* only in the long form */
    bool apart;   /* each is blocked at its own moments, not all at once */
};

struct slow_run {
    double all, healthy; /* deaths of members that are not slow: seen by all, by those not slow */
};

struct slow_ctx {
    unsigned slow;
    struct slow_run *run;
};

static void
slow_change(struct swarm *w, unsigned observer, const struct swim_change *c)
{
    struct slow_ctx *x = w->config.ctx;

    if (c->kind == SWIM_DIED && swarm_node(c->id) >= x->slow) {
        x->run->all++;
        x->run->healthy += observer >= x->slow;
    }
}

static void
slow_one(unsigned i, void *result, const void *arg)
{
    const struct slow_case *k = arg;
    unsigned length = slow_d[i / SLOW_C % SLOW_D], pause = slow_i[i / SLOW_C / SLOW_D];
    struct slow_ctx x = { .slow = slow_c[i % SLOW_C], .run = result };
    struct swarm_config c = {
        .nodes = SLOW_NODES, .seed = i + 1, .on_change = slow_change, .ctx = &x
    };
    struct plan plan = { .count = 1 };
    struct rng rng;
    struct swarm w;

    profile_config(&c.swim, k->profile);
    c.swim.alpha = k->alpha;
    c.swim.beta = 6;
    c.swim.no_awareness = k->no_awareness;
    c.swim.no_confirmation = k->no_confirmation;
    c.swim.no_buddy = k->no_buddy;
    c.swim.no_doubt = k->no_doubt;
    plan.fault[0] = (struct fault){ .kind = FAULT_IO,
                                    .who = { .kind = NODES_FIRST, .number = x.slow },
                                    .at = 20 * USEC_PER_SEC,
                                    .until = 140 * USEC_PER_SEC,
                                    .length = length * USEC_PER_SEC,
                                    .pause = pause * USEC_PER_MSEC };
    rng_init(&rng, i + 1);
    plan.count = k->apart ? x.slow : 1;
    for (unsigned n = 0; k->apart && n < plan.count; n++) {
        struct fault f = plan.fault[0];

        f.who = (struct nodes){ .kind = NODES_ONE, .number = n };
        f.at += (usec_t)rng_below(&rng, (uint64_t)(f.length + f.pause));
        plan.fault[plan.count - 1 - n] = f;
    }
    swarm_init(&w, &c, &plan);
    swarm_run(&w, 140 * USEC_PER_SEC);
    swarm_fini(&w);
}

static void
slow_sum(const struct gates *g, const struct slow_case *k, double per_c[SLOW_C],
         struct slow_run *ret_sum)
{
    static struct slow_run run[SLOW_RUNS];

    memset(run, 0, sizeof run);
    memset(ret_sum, 0, sizeof *ret_sum);
    memset(per_c, 0, SLOW_C * sizeof *per_c);
    if (pool_run(g->jobs, g->full ? SLOW_RUNS : 2 * SLOW_C, sizeof run[0], run, slow_one, k) == 0) {
        return;
    }
    for (unsigned i = 0; i < SLOW_RUNS; i++) {
        per_c[i % SLOW_C] += run[i].all;
        ret_sum->all += run[i].all;
        ret_sum->healthy += run[i].healthy;
    }
}

static void
gate_slow(struct gates *g)
{
    static const struct slow_case row[] = {
        { "SWIM, alpha 5", PROFILE_LAN, 5, true, true, true, true, 0, false, false },
        { "and awareness only", PROFILE_LAN, 5, false, true, true, true, 0, true, false },
        { "and confirmation only", PROFILE_LAN, 5, true, false, true, true, 0, true, false },
        { "Lifeguard, alpha 5", PROFILE_LAN, 5, false, false, false, true, 50, false, false },
        { "Lifeguard, alpha 4", PROFILE_LAN, 4, false, false, false, true, 20, false, false },
        { "Lifeguard, alpha 3", PROFILE_LAN, 3, false, false, false, true, 0, true, false },
        { "and self-doubt, alpha 5", PROFILE_LAN, 5, false, false, false, false, 50, true, false },
        { "apart: SWIM, alpha 5", PROFILE_LAN, 5, true, true, true, true, 0, true, true },
        { "apart: Lifeguard, alpha 5", PROFILE_LAN, 5, false, false, false, true, 50, true, true },
        { "apart: Lifeguard, alpha 4", PROFILE_LAN, 4, false, false, false, true, 20, true, true },
        { "default: SWIM, alpha 5", PROFILE_DEFAULT, 5, true, true, true, true, 0, true, false },
        { "default: all, alpha 4", PROFILE_DEFAULT, 4, false, false, false, false, 0, true, false },
        { "default: all, alpha 3", PROFILE_DEFAULT, 3, false, false, false, false, 0, true, false },
    };
    double plain = 0;

    say(g, "\n## Slow members\n");
    say(g, "%d nodes; the I/O of C of them is blocked for D and free for I, again and again for "
           "120 s, all at once or each at moments of its own (\"apart\"), while their timers run. "
           "Deaths of members that are not slow, as all observers see them, summed over %s; "
           "memberlist's parameters, or the default profile.\n",
        SLOW_NODES,
        g->full ? "D of 4, 8, 16, 32 s and I of 16 ms, 256 ms, 4 s" : "D of 4 and 8 s, I of 16 ms");
    say(g, "| | C = 1 | 4 | 8 | 16 | 32 | sum | at those not slow | times fewer | asked for |");
    say(g, "|---|---|---|---|---|---|---|---|---|---|");
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        double c[SLOW_C];
        struct slow_run sum;
        char asked[64] = "-";

        if (row[i].full && !g->full) {
            continue;
        }
        slow_sum(g, &row[i], c, &sum);
        plain = row[i].no_awareness && row[i].no_buddy && row[i].no_confirmation ? sum.all : plain;
        if (row[i].fewer > 0) {
            snprintf(asked, sizeof asked, "%.0f: %s", row[i].fewer,
                     verdict(g, plain > 500 && sum.all * row[i].fewer <= plain));
        }
        say(g, "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f | %s |", row[i].name,
            c[0], c[1], c[2], c[3], c[4], sum.all, sum.healthy, plain / (sum.all > 0 ? sum.all : 1),
            asked);
    }
}

/* -- all of them ------------------------------------------------------------------------------- */

void
gates_run(struct gates *g)
{
    static const struct { const char *name; void (*run)(struct gates *g); } gate[] = {
        { "identities", gate_identities }, { "death", gate_death },
        { "idle-default", gate_idle_default }, { "idle-lan", gate_idle_lan },
        { "spread", gate_spread }, { "heal", gate_heal }, { "loss", gate_loss },
        { "slow", gate_slow },
    };

    for (size_t i = 0; i < sizeof gate / sizeof gate[0]; i++) {
        struct timespec begin, end;

        if (g->only && !strstr(gate[i].name, g->only)) {
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        gate[i].run(g);
        (void)clock_gettime(CLOCK_MONOTONIC, &end);
        fprintf(stderr, "members: %s took %ld s\n", gate[i].name, end.tv_sec - begin.tv_sec);
    }
}
