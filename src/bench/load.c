#include "bench/load.h"
#include "bench/counters.h"
#include "bench/lane.h"
#include "bench/process.h"
#include "bench/progress.h"
#include "net/dial.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define PORT                11211
#define DIAL_TIMEOUT        (5 * USEC_PER_SEC)
#define PREFILL_CONNECTIONS 8 /* few: they may not be gone yet when those of the load come */
#define PREFILL_DEPTH       64
#define DESCRIPTORS         32 /* besides connections and those of threads */
#define LANE_DESCRIPTORS    3  /* epoll, a timer, a trace */

struct load {
    const struct plan  *plan;
    struct lane_team    team;
    struct lane        *lanes;
    unsigned            opened, started; /* of lanes */
    struct counters     counters;
    int                *idle;
    unsigned            idle_count;
    struct progress     progress;
    usec_t              client_cpu, server_cpu; /* when measuring began; then, how much it was */
};

/* -- interruption ------------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupt_wanted;
static volatile sig_atomic_t interrupt_fd = -1; /* stop_fd of the load under way */

void
load_interrupt(void)
{
    int fd = (int)interrupt_fd;

    interrupt_wanted = 1;
    if (fd >= 0) {
        eventfd_write(fd, 1);
    }
}

/* -- the parts of a load ----------------------------------------------------------------------- */

/* As many descriptors as we may have: thousands of connections are a usual thing here. */
static err_t
descriptors_allow(const struct plan *p, struct err_detail *d)
{
    rlim_t want = p->connections + p->idle + p->threads * LANE_DESCRIPTORS + DESCRIPTORS;
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return ERR_OK; /* connecting says what is missing */
    }
    if (r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
    return want <= r.rlim_max
               ? ERR_OK
               : err_set(d, ERR_RANGE, "%u connections want %llu open files; the limit of this "
                         "program is %llu (ulimit -n)", p->connections + p->idle,
                         (unsigned long long)want, (unsigned long long)r.rlim_max);
}

static err_t
idle_open(struct load *l, struct err_detail *d)
{
    err_t e = ERR_OK;

    l->idle = calloc(l->plan->idle + 1u, sizeof *l->idle);
    if (!l->idle) {
        return err_set(d, ERR_NOMEM, "no memory for idle connections");
    }
    while (l->idle_count < l->plan->idle && !e) {
        e = dial_connect(l->plan->place, PORT, DIAL_TIMEOUT, &l->idle[l->idle_count], d);
        l->idle_count += !e;
    }
    return e;
}

/* Everything is there and connected, and nothing is asked yet. */
static err_t
load_open(struct load *l, struct err_detail *d)
{
    struct lane_team *team = &l->team;
    err_t e = descriptors_allow(l->plan, d);

    if (e) {
        return e;
    }
    team->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    team->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (team->stop_fd < 0 || team->done_fd < 0) {
        return err_set(d, ERR_IO, "eventfd(): %s", strerror(errno));
    }
    interrupt_fd = team->stop_fd;
    if (interrupt_wanted) {
        eventfd_write(team->stop_fd, 1);
    }
    if (l->plan->verify && l->plan->share[VERB_INCR] > 0 && !l->team.fills) {
        if (counters_init(&l->counters, l->plan->keys.counters)) {
            return err_set(d, ERR_NOMEM, "no memory for counters");
        }
        team->counters = &l->counters;
    }
    e = idle_open(l, d);
    l->lanes = calloc(team->count, sizeof *l->lanes);
    if (!e && !l->lanes) {
        e = err_set(d, ERR_NOMEM, "no memory for threads");
    }
    while (!e && l->opened < team->count) {
        struct lane *lane = &l->lanes[l->opened];

        e = lane_open(lane, team, l->opened++);
        if (e) {
            *d = lane->detail;
        }
    }
    return e;
}

static void
load_close(struct load *l)
{
    interrupt_fd = -1;
    for (unsigned i = 0; i < l->opened; i++) {
        lane_close(&l->lanes[i]);
    }
    for (unsigned i = 0; i < l->idle_count; i++) {
        close(l->idle[i]);
    }
    if (l->team.stop_fd >= 0) {
        close(l->team.stop_fd);
    }
    if (l->team.done_fd >= 0) {
        close(l->team.done_fd);
    }
    counters_fini(&l->counters);
    free(l->idle);
    free(l->lanes);
}

/* -- while the threads run --------------------------------------------------------------------- */

static err_t
lanes_start(struct load *l, struct err_detail *d)
{
    sigset_t all, before;
    err_t e = ERR_OK;

    sigfillset(&all); /* signals are for the thread that waits */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < l->team.count && !e; i++) {
        int error = pthread_create(&l->lanes[i].thread, NULL, lane_run, &l->lanes[i]);

        if (error != 0) {
            e = err_set(d, ERR_IO, "a thread: %s", strerror(error));
        } else {
            l->started++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) {
        eventfd_write(l->team.stop_fd, 1);
    }
    return e;
}

/* Waits until then; true if all threads are over before. */
static bool
lanes_wait(const struct load *l, nsec_t until, unsigned *over)
{
    while (*over < l->started) {
        nsec_t now = clock_nsec(), left = until - now;
        struct pollfd p = { .fd = l->team.done_fd, .events = POLLIN };
        eventfd_t n;

        if (left <= 0) {
            return false;
        }
        left = left < NSEC_PER_SEC ? left : NSEC_PER_SEC;
        if (poll(&p, 1, (int)(left / 1000000) + 1) > 0 && eventfd_read(p.fd, &n) == 0) {
            *over += (unsigned)n;
        }
    }
    return true;
}

/* Reads the clocks of both sides; what they show more than at the last time. */
static err_t
load_meter(struct load *l, struct err_detail *d)
{
    usec_t user, system, server = 0;
    err_t e = l->plan->pid ? process_cpu(l->plan->pid, &server, d) : ERR_OK;

    clock_cpu(&user, &system);
    l->client_cpu = user + system - l->client_cpu;
    l->server_cpu = server - l->server_cpu;
    return e;
}

static void
progress_make(struct load *l, const char *phase)
{
    struct load_result *sum = calloc(1, sizeof *sum);

    for (unsigned i = 0; sum && i < l->started; i++) {
        result_merge(sum, &l->lanes[i].result);
    }
    if (sum) {
        progress_print(&l->progress, phase, clock_nsec() - l->team.begin, sum);
    }
    free(sum);
}

/* Waits for the end of a phase; prints how it goes on. */
static bool
phase_wait(struct load *l, const char *phase, nsec_t until, unsigned *over)
{
    nsec_t mark = clock_nsec();

    for (;;) {
        mark += NSEC_PER_SEC;
        if (lanes_wait(l, mark < until ? mark : until, over)) {
            return true;
        }
        if (mark >= until) {
            return false;
        }
        if (l->plan->progress) {
            progress_make(l, phase);
        }
    }
}

/* From the first request to the last answer. */
static err_t
load_watch(struct load *l, struct err_detail *d)
{
    unsigned over = 0;
    err_t e;

    if (l->team.measure > l->team.begin) {
        (void)phase_wait(l, "warm-up", l->team.measure, &over);
    }
    e = load_meter(l, d);
    if (e) {
        eventfd_write(l->team.stop_fd, 1);
    }
    (void)phase_wait(l, l->team.fills ? "prefill" : "measured", LANE_FOR_EVER, &over);
    return e ? e : load_meter(l, d);
}

/* Runs the threads; their results are then complete. */
static err_t
load_make(struct load *l, struct err_detail *d)
{
    const struct plan *p = l->plan;
    struct lane_team *team = &l->team;
    err_t e;

    team->begin = clock_nsec();
    team->measure = team->begin + p->warmup * NSEC_PER_USEC;
    team->end = p->duration > 0 ? team->measure + p->duration * NSEC_PER_USEC : LANE_FOR_EVER;
    e = lanes_start(l, d);
    e = e ? e : load_watch(l, d);
    for (unsigned i = 0; i < l->started; i++) {
        pthread_join(l->lanes[i].thread, NULL);
        if (!e && l->lanes[i].error) {
            e = l->lanes[i].error;
            *d = l->lanes[i].detail;
        }
    }
    return e;
}

/* Adds up what the threads found. */
static void
load_sum(const struct load *l, struct load_result *ret)
{
    nsec_t began = LANE_FOR_EVER, ended = 0;

    for (unsigned i = 0; i < l->started; i++) {
        const struct lane *lane = &l->lanes[i];
        double busy = lane->ended > lane->began
                          ? (double)lane->cpu / (double)(lane->ended - lane->began)
                          : 0;

        result_merge(ret, &lane->result);
        ret->unanswered += lane->result.unanswered;
        ret->pending += lane->result.pending;
        ret->client_busiest = busy > ret->client_busiest ? busy : ret->client_busiest;
        if (ret->complaint[0] == '\0') {
            memcpy(ret->complaint, lane->result.complaint, sizeof ret->complaint);
        }
        began = lane->began < began ? lane->began : began;
        ended = lane->ended > ended ? lane->ended : ended;
    }
    ret->elapsed = ended > began ? ended - began : 0;
    ret->client_cpu = l->client_cpu;
    ret->server_cpu = l->plan->pid ? l->server_cpu : -1;
}

/* -- from outside ------------------------------------------------------------------------------ */

static err_t
load_perform(const struct plan *p, const struct keys *k, bool fills, struct load_result *ret,
             struct err_detail *d)
{
    struct load *l = calloc(1, sizeof *l);
    err_t e;

    memset(ret, 0, sizeof *ret);
    ret->server_cpu = -1;
    if (!l) {
        return err_set(d, ERR_NOMEM, "no memory for a load");
    }
    l->plan = p;
    l->team = (struct lane_team){ .plan = p, .keys = k, .count = p->threads, .fills = fills,
                                  .stop_fd = -1, .done_fd = -1 };
    e = load_open(l, d);
    if (!e) {
        e = load_make(l, d);
        load_sum(l, ret);
    }
    load_close(l);
    free(l);
    return e;
}

err_t
load_run(const struct plan *p, const struct keys *k, struct load_result *ret, struct err_detail *d)
{
    return load_perform(p, k, false, ret, d);
}

err_t
load_prefill(const struct plan *p, const struct keys *k, struct err_detail *d)
{
    struct load_result *result = malloc(sizeof *result);
    struct plan plan = *p;
    uint64_t stored, from, end;
    err_t e;

    if (!result) {
        return err_set(d, ERR_NOMEM, "no memory");
    }
    plan.multi = 1;
    plan.connections = PREFILL_CONNECTIONS;
    plan.threads = plan.threads < plan.connections ? plan.threads : plan.connections;
    plan.depth = PREFILL_DEPTH;
    plan.idle = 0;
    plan.warmup = plan.duration = 0;
    plan.set_on_miss = false;
    plan.pid = 0;
    e = load_perform(&plan, k, true, result, d);
    if (e && result->complaint[0] != '\0') {
        struct err_detail why = *d;

        (void)err_set(d, e, "%s; before that %s", why.text, result->complaint);
    }
    plan_fill_range(p, &from, &end);
    stored = result->keys[VERB_SET] - result->errors;
    if (!e && interrupt_wanted) {
        e = err_set(d, ERR_IO, "interrupted while storing the keys");
    } else if (!e && stored == 0) {
        e = err_set(d, ERR_IO, "%s: no key was stored: %s", p->place, result->complaint);
    } else if (!e && stored < end - from) {
        fprintf(stderr, "magpie-bench: %llu of %llu keys were not stored: %s\n",
                (unsigned long long)(end - from - stored), (unsigned long long)(end - from),
                result->complaint);
    }
    free(result);
    return e;
}
