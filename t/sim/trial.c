#include "trial.h"

#include "pool.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LOOK_EVERY  (250 * USEC_PER_MSEC)
#define DRAIN_TIME  (60 * USEC_PER_SEC)
#define DRAIN_WATCH 20 /* probe intervals */
/* Probe and answer are two; push/pull, and the dead who are asked again, cost no datagrams. */
#define QUIET_PACKETS 2.3

/* The longest that a suspicion lasts at a node that is well. */
static usec_t
suspicion_max(const struct swim_config *c, unsigned nodes)
{
    double scale = nodes > 10 ? log10(nodes) : 1;

    return (usec_t)(scale * c->alpha * c->beta * (double)c->probe_interval);
}

static usec_t
agree_bound(const struct plan *p, const struct swim_config *c)
{
    /* A member that is slow asks each other once in 8 * (2 n - 1) intervals at worst. */
    return 60 * USEC_PER_SEC + 8 * c->probe_interval * p->nodes + 8 * suspicion_max(c, p->nodes) +
           4 * c->rejoin_interval;
}

static uint64_t
swarm_sent(const struct swarm *w)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < w->config.nodes; i++) {
        sum += w->node[i].sent;
    }
    return sum;
}

/* All agree: rumours must end, and traffic be that of an idle cluster. */
static void
trial_drain(struct trial *t, struct swarm *w)
{
    usec_t interval = w->config.swim.probe_interval;
    unsigned running = 0;
    uint64_t before;
    char why[128];

    for (unsigned i = 0; i < w->config.nodes; i++) {
        running += swarm_runs(w, i);
    }
    swarm_run(w, w->now + DRAIN_TIME);
    before = swarm_sent(w);
    swarm_run(w, w->now + DRAIN_WATCH * interval);
    if (w->failed[0] || running < 2) {
        return;
    }
    t->packets = (double)(swarm_sent(w) - before) / DRAIN_WATCH / running;
    if (t->packets > QUIET_PACKETS) {
        swarm_fail(w, "%.2f datagrams per probe interval and node when all is quiet", t->packets);
    }
    if (!swarm_agrees(w, why, sizeof why)) {
        swarm_fail(w, "they agreed, and disagree a minute later: %s", why);
    }
}

void
trial_run(struct trial *t, const struct plan *plan, FILE *trace)
{
    struct swarm_config c = { .nodes = plan->nodes,
                              .seed = plan->seed,
                              .joining = plan->joining,
                              .codec = plan->codec,
                              .own_infos = plan->codec,
                              .digests = plan->seed % 2,
                              .check = true,
                              .trace = trace };
    struct swarm w;
    char why[128] = "";
    usec_t bound;

    memset(t, 0, sizeof *t);
    profile_config(&c.swim, plan->profile);
    if (plan->forget) {
        c.swim.rejoin_interval = 365 * 24 * 3600 * USEC_PER_SEC;
    }
    bound = plan->quiet + agree_bound(plan, &c.swim);
    bound = plan->until ? plan->until : bound;
    bound = plan->forget ? plan->quiet + 200 * USEC_PER_SEC : bound;
    swarm_init(&w, &c, plan);
    swarm_run(&w, plan->quiet + 1);
    while (!w.failed[0] && !swarm_agrees(&w, why, sizeof why)) {
        if (w.now >= bound) {
            swarm_fail(&w, "%.0f s after the last fault: %s",
                       (double)(w.now - plan->quiet) / 1e6, why);
        }
        swarm_run(&w, w.now + LOOK_EVERY);
    }
    t->agreed = (double)(w.now - plan->quiet) / 1e6;
    if (!w.failed[0]) {
        trial_drain(t, &w);
    }
    t->hash = w.hash;
    t->figures = w.figures;
    t->failed = w.failed[0] != '\0';
    if (t->failed) {
        snprintf(t->why, sizeof t->why, "at %.6f s: %.450s", (double)w.now / 1e6, w.failed);
    }
    swarm_fini(&w);
}

static void
trial_child(unsigned i, void *result, const void *arg)
{
    (void)i;
    trial_run(result, arg, NULL);
}

void
trial_run_apart(struct trial *t, const struct plan *plan)
{
    if (pool_run(1, 1, sizeof *t, t, trial_child, plan) == 0) {
        *t = (struct trial){ .failed = true, .crashed = true };
        snprintf(t->why, sizeof t->why, "the process ended");
    }
}

static bool
plan_fails(const struct plan *p)
{
    struct trial t;

    trial_run_apart(&t, p);
    return t.failed;
}

static bool
shrink_faults(struct plan *plan, uint64_t *keep, unsigned *number)
{
    bool smaller = false;

    for (unsigned i = plan->count; i > 0; i--) {
        struct plan less = *plan;
        unsigned left = less.count - i;

        memmove(&less.fault[i - 1], &less.fault[i], left * sizeof less.fault[0]);
        less.count--;
        if (plan_fails(&less)) {
            *plan = less;
            *keep &= ~((uint64_t)1 << number[i - 1]);
            memmove(&number[i - 1], &number[i], left * sizeof *number);
            smaller = true;
        }
    }
    return smaller;
}

static bool
shrink_nodes(struct plan *plan)
{
    for (unsigned n = plan->nodes / 2 > 3 ? plan->nodes / 2 : 3; n < plan->nodes; n++) {
        struct plan less = *plan;

        less.nodes = n;
        if (plan_fails(&less)) {
            *plan = less;
            return true;
        }
    }
    return false;
}

void
trial_shrink(struct plan *plan, uint64_t *keep)
{
    unsigned number[PLAN_FAULTS_MAX];
    struct plan less = *plan;
    bool again = true;

    for (unsigned i = 0; i < plan->count; i++) {
        number[i] = i;
    }
    while (again) {
        again = shrink_faults(plan, keep, number);
        again |= shrink_nodes(plan);
    }
    less = *plan;
    less.joining = less.codec = false;
    if (plan_fails(&less)) {
        *plan = less;
    }
}

void
trial_report(const struct plan *plan, uint64_t keep, const struct trial *t, FILE *out)
{
    static const char *const profile[] = { "default", "lan", "fast" };
    const char *comma = "";

    fprintf(out, "seed %" PRIu64 ", %u nodes, profile %s, quiet from %.3f s: %s\n", plan->seed,
            plan->nodes, profile[plan->profile], (double)plan->quiet / 1e6, t->why);
    for (unsigned i = 0; i < plan->count; i++) {
        fprintf(out, "    ");
        fault_print(&plan->fault[i], plan->nodes, out);
    }
    fprintf(out, "repeat with: t/sim/members --seed %" PRIu64 " --nodes %u --keep ", plan->seed,
            plan->nodes);
    for (unsigned i = 0; i < 64; i++) {
        if (keep >> i & 1) {
            fprintf(out, "%s%u", comma, i);
            comma = ",";
        }
    }
    fprintf(out, "%s%s%s --trace\n", *comma ? "" : "none",
            plan->joining || plan->codec ? "" : " --plain", plan->forget ? " --bug forget" : "");
}
