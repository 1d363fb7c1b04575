/*
 * nodes.c - whole nodes by the dozen in one process, on simulated wires and clocks, from a seed.
 *
 * Each seed draws a plan (troubles.h): how many nodes and users, what goes wrong and when.  What
 * must hold all the same:
 *
 *   - a value that is read is one that was written under this key, whole, and not older than what
 *     was acknowledged before (history.h);  if nothing went wrong the answers are those of one map
 *   - an operation is executed by one node, once; it leaves the node that the user asked, and no
 *     other; it is forwarded at most twice
 *   - answers come in order, belong to their requests, and come in time
 *   - queues keep to their bounds
 *   - when nothing goes wrong any more all nodes agree on the ring, hold each other for alive, have
 *     their links in use, and what is written through any is read through any
 *   - one seed gives one run, to the byte
 *
 * Known gap, counted ("stale"): while nodes disagree on the ring, one may read from an owner what
 * another has overwritten at another.  And, counted too: a flush_all says OK although a node that
 * is held for dead, but lives, was not told; it goes on with what it has when it is back.
 *
 * usage: nodes [--seed N] [--seeds N] [--nodes N] [--users N] [--keys N] [--until SECONDS]
 *              [--skip N,N] [--cut SECONDS] [--plant WORD] [--plan] [--trace] [--shrink]
 * [--mutants] Without arguments: the seeds of t/sim/seeds, the planted bugs, and 600 seeds or what
 * there is time for; with SIM_SECONDS in the environment as many as there is time for in it.
 */
#include "nodes.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_DEFAULT 25.
#define SEEDS_DEFAULT   600u
#define MUTANT_SEEDS    60u

struct wish {
    uint64_t seed, seeds;
    unsigned nodes, users, keys;
    double until, cut;
    uint32_t skip;         /* bits of troubles */
    unsigned depth, large; /* the shrinker's; 0 and UINT32_MAX: as drawn */
    enum planted planted;
    bool plan, trace, shrink, mutants, fixed, quiet;
};

static void
wish_plan(const struct wish *w, uint64_t seed, struct plan *p)
{
    *p = (struct plan){
        .nodes = w->nodes, .users = w->users, .keys = w->keys, .until = (usec_t)(w->until * 1e6)
    };
    plan_draw(p, seed);
    for (unsigned i = 0; i < p->troubles; i++) {
        p->trouble[i].skip =
            (w->skip >> i & 1) != 0 || (w->fixed && p->trouble[i].kind >= TROUBLE_LEAVE);
    }
    p->until = w->cut > 0 && (usec_t)(w->cut * 1e6) < p->until ? (usec_t)(w->cut * 1e6) : p->until;
    p->fixed = w->fixed;
    p->depth = w->depth ? w->depth : p->depth;
    p->large = w->large < p->large ? w->large : p->large;
}

/* The command line that repeats it. */
static const char *
wish_text(const struct wish *w, uint64_t seed)
{
    static char text[400];
    int n = snprintf(text, sizeof text, "t/sim/nodes --seed %" PRIu64, seed);
    size_t room = sizeof text;

#define WORD(cond, ...)                                                                            \
    if (cond) {                                                                                    \
        n += snprintf(text + n, room - (size_t)n, __VA_ARGS__);                                    \
    }
    WORD(w->nodes, " --nodes %u", w->nodes)
    WORD(w->users, " --users %u", w->users)
    WORD(w->keys, " --keys %u", w->keys)
    WORD(w->until > 0, " --until %g", w->until)
    WORD(w->cut > 0, " --cut %g", w->cut)
    WORD(w->depth, " --depth %u", w->depth)
    WORD(w->large != UINT32_MAX, " --large %u", w->large)
    WORD(w->fixed, " --fixed")
    WORD(w->planted, " --plant %s", planted_word(w->planted))
    for (unsigned i = 0; i < TROUBLES_MAX; i++) {
        WORD(w->skip >> i & 1, "%s%u", (w->skip & ((1u << i) - 1)) ? "," : " --skip ", i)
    }
#undef WORD
    return text;
}

static uint64_t
wish_run(const struct wish *w, uint64_t seed, struct run_figures *figures)
{
    struct plan p;

    wish_plan(w, seed, &p);
    if (w->plan) {
        printf("seed %" PRIu64 ": ", seed);
        plan_print(&p, stdout);
    }
    return run_plan(&p, seed, wish_text(w, seed), w->trace, w->planted, figures);
}

/* -- in a process of its own ------------------------------------------------------------------- */

/* True if the run ends badly: a property that does not hold, an assertion, a crash, no end. */
static bool
wish_fails(const struct wish *w, uint64_t seed)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct run_figures figures = { 0 };

        alarm(120);
        if (w->quiet &&
            (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))) {
            _exit(0);
        }
        (void)wish_run(w, seed, &figures);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("nodes: fork");
        exit(1);
    }
    return status != 0;
}

/* Keeps a change of the wish if the run still fails. */
static bool
shrink_try(struct wish *w, const struct wish *other)
{
    if (!wish_fails(other, other->seed)) {
        return false;
    }
    *w = *other;
    printf("still fails: %s\n", wish_text(w, w->seed));
    return true;
}

static void
shrink_numbers(struct wish *w)
{
    struct plan p;

    wish_plan(w, w->seed, &p);
    for (double cut = (double)p.until / 2e6; cut > 0.05; cut /= 2) {
        struct wish other = *w;

        other.cut = cut;
        if (!shrink_try(w, &other)) {
            break;
        }
    }
    for (unsigned n = p.users / 2; n > 0; n /= 2) {
        struct wish other = *w;

        other.users = n;
        if (!shrink_try(w, &other)) {
            break;
        }
    }
    for (unsigned n = p.depth / 2; n > 0; n /= 2) {
        struct wish other = *w;

        other.depth = n;
        if (!shrink_try(w, &other)) {
            break;
        }
    }
}

/* Leaves out what is not needed for the failure. */
static int
shrink(struct wish *w)
{
    struct wish other;
    struct plan p;

    w->quiet = true;
    w->trace = w->plan = false;
    if (!wish_fails(w, w->seed)) {
        printf("seed %" PRIu64 " does not fail\n", w->seed);
        return 1;
    }
    wish_plan(w, w->seed, &p);
    for (unsigned i = p.troubles; i-- > 0;) {
        other = *w;
        other.skip |= 1u << i;
        (void)shrink_try(w, &other);
    }
    shrink_numbers(w);
    other = *w;
    other.large = 0;
    (void)shrink_try(w, &other);
    printf("repeat with: %s\n", wish_text(w, w->seed));
    w->quiet = false;
    w->plan = true;
    (void)wish_fails(w, w->seed);
    return 0;
}

/* -- the planted bugs are seen ----------------------------------------------------------------- */

static int
mutants(const struct wish *given, unsigned *ret_seeds)
{
    int missed = 0;

    for (unsigned i = PLANTED_NOTHING + 1; i < PLANTS; i++) {
        struct wish w = *given;
        uint64_t seed;

        /* Nothing but the bug makes it fail: the seeds themselves are fine. */

        w.planted = (enum planted)i;
        w.quiet = true;
        for (seed = 1; seed <= MUTANT_SEEDS && !wish_fails(&w, seed); seed++) {
        }
        *ret_seeds += (unsigned)seed;
        if (seed > MUTANT_SEEDS) {
            fprintf(stderr, "nodes: the planted bug '%s' is not seen in %u seeds\n",
                    planted_word(w.planted), MUTANT_SEEDS);
            missed = 1;
        } else {
            printf("planted bug '%s': seen with seed %" PRIu64 "\n", planted_word(w.planted), seed);
        }
    }
    return missed;
}

/* -- many seeds -------------------------------------------------------------------------------- */

static double
seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
figures_print(const struct run_figures *f, uint64_t seeds, double took)
{
    printf(
        "nodes: %" PRIu64 " seeds in %.1f s, %" PRIu64 " events, %" PRIu64 " operations: %" PRIu64
        " hits, %" PRIu64 " misses, %" PRIu64 " unknown, %" PRIu64 " errors\n"
        "nodes: %" PRIu64 " commands executed, %" PRIu64 " forwarded in %" PRIu64
        " frames, %" PRIu64 " evictions; settled within %.1f s\n"
        "nodes: %" PRIu64
        " stale reads while nodes disagreed on the ring (%.0f s of %.0f), %" PRIu64
        " of what a flush_all did not reach, %" PRIu64 " keys undecided\n",
        seeds, took, f->events, f->operations, f->hits, f->misses, f->unknown, f->errors,
        f->executed, f->forwarded, f->frames, f->evictions, (double)f->settled_max / 1e6, f->stale,
        (double)f->disputed / 1e6, (double)f->talked / 1e6, f->unflushed, f->undecided);
}

/* The same seed twice gives the same run. */
static void
check_repeat(const struct wish *w, uint64_t seed, uint64_t hash)
{
    struct run_figures figures = { 0 };

    if (wish_run(w, seed, &figures) != hash) {
        fprintf(stderr, "nodes: seed %" PRIu64 " gives another run the second time\n", seed);
        exit(1);
    }
}

static uint64_t
run_listed(const struct wish *w, const char *path, struct run_figures *figures)
{
    FILE *f = fopen(path, "r");
    char line[200];
    uint64_t count = 0;

    while (f && fgets(line, sizeof line, f)) {
        if (line[0] >= '0' && line[0] <= '9') {
            (void)wish_run(w, strtoull(line, NULL, 10), figures);
            count++;
        }
    }
    if (f) {
        fclose(f);
    }
    return count;
}

static int
run_check(const struct wish *w)
{
    const char *limit = getenv("SIM_SECONDS");
    const char *top = getenv("top_srcdir");
    double most = limit ? atof(limit) : SECONDS_DEFAULT, began = seconds();
    struct run_figures figures = { 0 };
    uint64_t count, seed = getenv("SOAK_SECONDS") ? (uint64_t)getpid() << 16 : 1;
    unsigned mutant_seeds = 0;
    char path[4096];

    snprintf(path, sizeof path, "%s/t/sim/seeds", top ? top : ".");
    count = run_listed(w, path, &figures);
    if (mutants(w, &mutant_seeds) != 0) {
        return 1;
    }
    for (; seconds() - began < most && (limit || count < SEEDS_DEFAULT); seed++, count++) {
        uint64_t hash = wish_run(w, seed, &figures);

        if (seed % 50 == 1) {
            check_repeat(w, seed, hash);
        }
    }
    figures_print(&figures, count, seconds() - began);
    return 0;
}

static int
run_wish(const struct wish *w)
{
    double began = seconds();
    struct run_figures figures = { 0 };

    for (uint64_t seed = w->seed; seed < w->seed + w->seeds; seed++) {
        uint64_t hash = wish_run(w, seed, &figures);

        if (w->seeds == 1) {
            struct wish again = *w;

            again.plan = again.trace = false;
            check_repeat(&again, seed, hash);
            printf("seed %" PRIu64 ": trace %016" PRIx64 ", twice\n", seed, hash);
        }
    }
    figures_print(&figures, w->seeds, seconds() - began);
    return 0;
}

/* -- the command line -------------------------------------------------------------------------- */

static enum planted
planted_find(const char *word)
{
    for (unsigned i = 0; i < PLANTS; i++) {
        if (strcmp(word, planted_word((enum planted)i)) == 0) {
            return (enum planted)i;
        }
    }
    fprintf(stderr, "nodes: no bug is called '%s'\n", word);
    exit(2);
}

static uint32_t
skip_read(char *list)
{
    uint32_t bits = 0;

    for (char *at = strtok(list, ","); at; at = strtok(NULL, ",")) {
        bits |= 1u << strtoul(at, NULL, 10);
    }
    return bits;
}

static void
wish_flag(struct wish *w, const char *name)
{
    static const char *const names[] = { "--plan", "--trace", "--shrink", "--mutants", "--fixed" };
    bool *const flags[] = { &w->plan, &w->trace, &w->shrink, &w->mutants, &w->fixed };

    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(name, names[i]) == 0) {
            *flags[i] = true;
            return;
        }
    }
    fprintf(stderr, "nodes: unknown option %s\n", name);
    exit(2);
}

static bool
wish_value(struct wish *w, const char *name, char *value)
{
    double n = value ? strtod(value, NULL) : 0;

#define VALUE(word, field, type)                                                                   \
    if (strcmp(name, word) == 0 && value) {                                                        \
        w->field = (type)n;                                                                        \
        return true;                                                                               \
    }
    VALUE("--seed", seed, uint64_t)
    VALUE("--seeds", seeds, uint64_t)
    VALUE("--nodes", nodes, unsigned)
    VALUE("--users", users, unsigned)
    VALUE("--clients", users, unsigned)
    VALUE("--keys", keys, unsigned)
    VALUE("--until", until, double)
    VALUE("--cut", cut, double)
    VALUE("--depth", depth, unsigned)
    VALUE("--large", large, unsigned)
#undef VALUE
    if (strcmp(name, "--skip") == 0 && value) {
        w->skip = skip_read(value);
        return true;
    }
    if (strcmp(name, "--plant") == 0 && value) {
        w->planted = planted_find(value);
        return true;
    }
    return false;
}

int
main(int argc, char **argv)
{
    struct wish w = { .seed = 1, .seeds = 1, .large = UINT32_MAX };
    unsigned seeds = 0;

    for (int i = 1; i < argc; i++) {
        if (wish_value(&w, argv[i], argv[i + 1])) {
            i++;
        } else {
            wish_flag(&w, argv[i]);
        }
    }
    if (w.nodes + 2 >= SITES_MAX || w.users > USERS_MAX) {
        fprintf(stderr, "nodes: at most %d nodes and %d users\n", SITES_MAX - 3, USERS_MAX);
        return 2;
    }
    if (argc == 1) {
        return run_check(&w);
    }
    if (w.mutants) {
        return mutants(&w, &seeds);
    }
    return w.shrink ? shrink(&w) : run_wish(&w);
}
