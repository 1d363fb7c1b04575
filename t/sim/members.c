/*
 * members.c - the simulator of membership: many nodes' SWIM in one process and in virtual time.
 *
 * First it looks at itself: planted bugs must be found and made small.  Then clusters under faults
 * drawn from seeds: safety after every step, agreement in the end, and the same run again where
 * the seed is the same.  Last the figures (gates.h).
 *
 * usage: members [option...]
 *   --full             the long form: more seeds, all figures, 5,000 nodes
 *   --page FILE        with --full: writes the figures there
 *   --only WORD        only the figures of this name; "trials": only the clusters under faults
 *   --first N          the first seed
 *   --trials N         how many seeds
 *   --jobs N           processes at a time
 * one run, as a failure prints it:
 *   --seed N           this one
 *   --nodes N          so many
 *   --until SECONDS    give up then, if they do not agree
 *   --keep N,N...      only these of the faults that the seed draws; or "none"
 *   --plain            all know each other at the start, and messages are not turned into bytes
 *   --bug NAME         lies, forget
 *   --trace            what happens
 */
#include "gates.h"
#include "pool.h"
#include "trial.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Builds with checks are slow: the figures are those of the others. */
#ifdef MAGPIE_DEBUG
#define TRIALS  100
#define FIGURES false
#else
#define TRIALS  300
#define FIGURES true
#endif
#define TRIALS_FULL 5000
#define BATCH       500

struct options {
    struct gates gates;
    const char *page;
    uint64_t first;
    unsigned trials;
    /* One run. */
    bool one, trace, plain;
    struct plan plan;
    uint64_t keep;
    unsigned nodes;
    const char *bug;
    usec_t until;
};

static void __attribute__((noreturn, format(printf, 1, 2)))
fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "members: ");
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* -- planted bugs ------------------------------------------------------------------------------ */

static void
plant(struct plan *p, const char *bug)
{
    if (strcmp(bug, "lies") == 0) {
        p->fault[p->count++] = (struct fault){ .kind = FAULT_LIES,
                                               .who = { .kind = NODES_ONE, .number = 1 },
                                               .at = 2 * USEC_PER_SEC,
                                               .until = p->quiet };
    } else if (strcmp(bug, "forget") == 0) {
        p->forget = true;
        p->joining = false; /* or some never meet */
    } else {
        fail("no bug is called '%s'", bug);
    }
}

/* -- looks at itself --------------------------------------------------------------------------- */

static void
test_events(void)
{
    struct events e = { 0 };
    struct event ev, before = { .at = -1 };
    struct rng r;
    unsigned taken = 0;

    rng_init(&r, 1);
    for (unsigned i = 0; i < 5000; i++) {
        events_add(&e, (struct event){ .at = (usec_t)rng_below(&r, 500), .node = i });
        if (i % 3 == 0 && events_take(&e, &ev)) {
            taken++;
        }
    }
    while (events_take(&e, &ev)) {
        assert(ev.at > before.at || (ev.at == before.at && ev.order > before.order));
        before = ev;
        taken++;
    }
    assert(taken == 5000);
    events_fini(&e);
}

static void
test_wire(void)
{
    struct fault f = { .kind = FAULT_LOSS,
                       .who = { .kind = NODES_ONE, .number = 1 },
                       .whom = { .kind = NODES_ALL },
                       .p = 0.25 };
    struct fault cut = { .kind = FAULT_PARTITION, .who = { .kind = NODES_FIRST, .number = 2 } };
    unsigned arrived = 0;
    struct wire w;
    struct rng r;
    usec_t delay[2];

    rng_init(&r, 1);
    wire_init(&w, 4);
    wire_begin(&w, &f);
    for (unsigned i = 0; i < 10000; i++) {
        arrived += wire_datagram(&w, &r, 1, 2, delay);
        assert(wire_datagram(&w, &r, 2, 1, delay) == 1 && delay[0] >= 200 && delay[0] <= 1000);
    }
    assert(arrived > 7300 && arrived < 7700);
    wire_end(&w, &f);
    wire_begin(&w, &cut);
    assert(wire_datagram(&w, &r, 0, 1, delay) == 1 && wire_datagram(&w, &r, 2, 3, delay) == 1);
    assert(wire_datagram(&w, &r, 1, 2, delay) == 0 && wire_datagram(&w, &r, 2, 1, delay) == 0);
    assert(wire_connect(&w, &r, 0, 3) == WIRE_NEVER && wire_connect(&w, &r, 0, 1) != WIRE_NEVER);
}

/* A planted bug is found, and the smallest run that shows it is small. */
static void
test_bug(const char *bug, unsigned seeds, unsigned faults)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct plan plan;
        uint64_t keep;
        struct trial t;

        plan_draw(&plan, seed, 0);
        plant(&plan, bug);
        keep = ((uint64_t)1 << plan.count) - 1;
        trial_run_apart(&t, &plan);
        if (!t.failed) {
            continue;
        }
        trial_shrink(&plan, &keep);
        trial_run_apart(&t, &plan);
        printf("members: planted bug '%s' is found by seed %" PRIu64 " and shown by %u faults of "
               "%u nodes: %s\n", bug, seed, plan.count, plan.nodes, t.why);
        if (!t.failed || plan.count > faults) {
            trial_report(&plan, keep, &t, stderr);
            fail("the planted bug '%s' needs more than %u faults", bug, faults);
        }
        return;
    }
    fail("the planted bug '%s' is not found by %u seeds", bug, seeds);
}

/* -- faults drawn from seeds ------------------------------------------------------------------- */

/* Seeds that have shown something wrong. */
static const uint64_t found[] = {
    2317, /* who was left alone by the death of three others suspected them for ever */
};

/* Some of the runs twice: the hash of all that happened must be the same. */
#define TWICE 8

struct batch {
    uint64_t first;
};

static void
batch_one(unsigned i, void *result, const void *arg)
{
    const struct batch *b = arg;
    struct trial *t = result, again;
    struct plan plan;

    plan_draw(&plan, b->first + i, 0);
    trial_run(t, &plan, NULL);
    if (i % TWICE == 0 && !t->failed) {
        trial_run(&again, &plan, NULL);
        if (again.hash != t->hash) {
            t->failed = true;
            snprintf(t->why, sizeof t->why, "the same seed gave another run");
        }
    }
}

static void __attribute__((noreturn))
show_failure(uint64_t seed)
{
    struct plan plan;
    uint64_t keep;
    struct trial t;

    plan_draw(&plan, seed, 0);
    keep = ((uint64_t)1 << plan.count) - 1;
    trial_run_apart(&t, &plan);
    if (t.failed) {
        trial_report(&plan, keep, &t, stderr);
        fprintf(stderr, "members: making it smaller\n");
        trial_shrink(&plan, &keep);
        trial_run_apart(&t, &plan);
        trial_report(&plan, keep, &t, stderr);
    }
    fail("seed %" PRIu64 " failed", seed);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void
run_found(void)
{
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        struct plan plan;
        struct trial t;

        plan_draw(&plan, found[i], 0);
        trial_run_apart(&t, &plan);
        if (t.failed) {
            show_failure(found[i]);
        }
    }
}

static void
run_trials(const struct options *o, FILE *page)
{
    struct trial *t = calloc(o->trials, sizeof *t);
    double *agreed = calloc(o->trials, sizeof *agreed);
    struct swarm_figures sum = { 0 };
    uint64_t hash = 0;

    if (!t || !agreed) {
        abort();
    }
    for (unsigned i = 0; i < o->trials; i += BATCH) {
        unsigned n = o->trials - i < BATCH ? o->trials - i : BATCH;
        struct batch b = { .first = o->first + i };
        unsigned died = pool_run(o->gates.jobs, n, sizeof *t, t + i, batch_one, &b);

        for (unsigned k = i; k < i + n; k++) {
            if (t[k].failed || k == i + died) {
                show_failure(o->first + k);
            }
            agreed[k] = t[k].agreed;
            hash = hash * 31 + t[k].hash;
            sum.events += t[k].figures.events;
            sum.datagrams += t[k].figures.datagrams;
            sum.suspicions += t[k].figures.suspicions;
            sum.deaths += t[k].figures.deaths;
            sum.returned += t[k].figures.returned;
            sum.accused += t[k].figures.accused;
        }
    }
    qsort(agreed, o->trials, sizeof *agreed, compare_doubles);
    for (FILE *out = stdout; out; out = out == page ? NULL : page) {
        fprintf(out, "%s%u seeds from %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " datagrams, %"
                PRIu64 " suspicions, %" PRIu64 " deaths, %" PRIu64 " returns, %" PRIu64
                " refutations; all agreed %.2f s after the last fault in half of the runs, "
                "%.1f s in 99 %%, %.1f s in the worst; hash %016" PRIx64 "\n",
                out == page ? "" : "members: ", o->trials, o->first, sum.events, sum.datagrams,
                sum.suspicions, sum.deaths, sum.returned, sum.accused, agreed[o->trials / 2],
                agreed[o->trials * 99 / 100], agreed[o->trials - 1], hash);
    }
    fflush(stdout);
    free(agreed);
    free(t);
}

static int
run_one(struct options *o)
{
    struct plan plan, kept;
    struct trial t;

    plan_draw(&plan, o->plan.seed, o->nodes);
    if (o->bug) {
        plant(&plan, o->bug);
    }
    kept = plan;
    kept.count = 0;
    for (unsigned i = 0; i < plan.count; i++) {
        if (o->keep >> i & 1) {
            kept.fault[kept.count++] = plan.fault[i];
        }
    }
    if (o->plain) {
        kept.joining = kept.codec = false;
    }
    kept.until = o->until;
    trial_run(&t, &kept, o->trace ? stdout : NULL);
    if (t.failed) {
        trial_report(&kept, o->keep & (((uint64_t)1 << plan.count) - 1), &t, stderr);
    }
    printf("members: seed %" PRIu64 ", %u nodes, %u faults: %s, agreed after %.2f s, hash %016"
           PRIx64 "\n", kept.seed, kept.nodes, kept.count, t.failed ? "FAILED" : "ok", t.agreed,
           t.hash);
    return t.failed;
}

/* -- the command line -------------------------------------------------------------------------- */

static uint64_t
parse_keep(const char *s)
{
    uint64_t ret = 0;

    while (*s >= '0' && *s <= '9') {
        char *end;

        ret |= (uint64_t)1 << (strtoul(s, &end, 10) & 63);
        s = *end == ',' ? end + 1 : end;
    }
    return ret;
}

static void
parse_options(struct options *o, char **argv)
{
    for (char **a = argv + 1; *a; a++) {
        const char *name = *a, *value = a[1] ? a[1] : "";

        if (strcmp(name, "--full") == 0) {
            o->gates.full = true;
            continue;
        } else if (strcmp(name, "--plain") == 0) {
            o->plain = true;
            continue;
        } else if (strcmp(name, "--trace") == 0) {
            o->trace = true;
            continue;
        } else if (strcmp(name, "--page") == 0) {
            o->page = value;
        } else if (strcmp(name, "--only") == 0) {
            o->gates.only = value;
        } else if (strcmp(name, "--first") == 0) {
            o->first = strtoull(value, NULL, 0);
        } else if (strcmp(name, "--trials") == 0) {
            o->trials = (unsigned)strtoul(value, NULL, 0);
        } else if (strcmp(name, "--jobs") == 0) {
            o->gates.jobs = (unsigned)strtoul(value, NULL, 0);
        } else if (strcmp(name, "--seed") == 0) {
            o->plan.seed = strtoull(value, NULL, 0);
            o->one = true;
        } else if (strcmp(name, "--nodes") == 0) {
            o->nodes = (unsigned)strtoul(value, NULL, 0);
        } else if (strcmp(name, "--until") == 0) {
            o->until = (usec_t)(strtod(value, NULL) * 1e6);
        } else if (strcmp(name, "--keep") == 0) {
            o->keep = parse_keep(value);
        } else if (strcmp(name, "--bug") == 0) {
            o->bug = value;
        } else {
            fail("what is %s?", name);
        }
        if (!*value) {
            fail("%s needs a value", name);
        }
        a++;
    }
}

/* The page is written when all is done: who interrupts a run keeps the page of the last one. */
static FILE *
page_open(const char *name, char **text, size_t *size)
{
    FILE *page = name ? open_memstream(text, size) : NULL;

    if (page) {
        fprintf(page,
                "# Membership, simulated\n\n"
                "Written by `make sim` (t/sim/members.c): many nodes' src/cluster/swim.c in one "
                "process, on simulated links of 0.2 to 1 ms one way, in virtual time. Runs are "
                "drawn from fixed seeds: the same code gives the same figures, but for those of "
                "memory.\n\n"
                "## Faults\n\n"
                "Clusters of 3 to 32 nodes under loss, delay, duplicates, one-way blocks, "
                "partitions, blocked I/O, stopped processes, crashes, restarts with a wrong clock "
                "and leaving, for 10 to 60 s; safety is looked at after every step, and in the end "
                "all must hold the same and fall silent.\n\n");
    }
    return page;
}

static void
page_close(FILE *page, const char *name, char **text, const size_t *size)
{
    FILE *out = fopen(name, "w");
    bool ok = fclose(page) == 0 && out && fwrite(*text, 1, *size, out) == *size;

    if ((out && fclose(out) != 0) || !ok) {
        fail("cannot write %s", name);
    }
    free(*text);
}

int
main(int argc, char **argv)
{
    struct options o = { .first = 1, .keep = UINT64_MAX };
    char *text = NULL;
    size_t size = 0;

    (void)argc;
    o.gates.jobs = pool_jobs();
    if (getenv("SOAK_SECONDS")) {
        o.first = (uint64_t)getpid() << 16; /* a soak shall not repeat itself */
    }
    parse_options(&o, argv);
    if (o.one) {
        return run_one(&o);
    }
    o.trials = o.trials ? o.trials : o.gates.full ? TRIALS_FULL : TRIALS;
    o.gates.page = page_open(o.page, &text, &size);
    if (!o.gates.only) {
        test_events();
        test_wire();
        test_bug("lies", 20, 1);
        test_bug("forget", 200, 3);
    }
    if (!o.gates.only || strcmp(o.gates.only, "trials") == 0) {
        run_found();
        run_trials(&o, o.gates.page);
    }
    if (getenv("SOAK_SECONDS")) {
        return 0; /* figures are the same each time */
    }
    if (FIGURES || o.gates.full || o.gates.only) {
        gates_run(&o.gates);
    }
    if (o.gates.page) {
        page_close(o.gates.page, o.page, &text, &size);
    }
    printf("members: %u figures as they should be, %u not\n", o.gates.passed, o.gates.failed);
    return o.gates.failed > 0;
}
