#define _GNU_SOURCE /* pthread_setname_np() */
#include "config.h"

#include "daemon/boot.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/door.h"
#include "daemon/gossip.h"
#include "daemon/privileges.h"
#include "daemon/process.h"
#include "daemon/systemd.h"
#include "daemon/udp.h"
#include "daemon/upkeep.h"
#include "daemon/workers.h"
#include "net/loop.h"
#include "node/node.h"
#include "node/watch.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { BOOT_TERM, BOOT_INT, BOOT_USR1, BOOT_HUP, BOOT_SIGNALS };

/* Descriptors for other nodes: what comes and goes on the cluster port, and links. */
#define BOOT_CLUSTER_FDS(threads) (256u + 1024u * (unsigned)(threads)) /* 500 members */

struct boot {
    struct settings  *settings;
    struct privileges privileges;
    int               ready; /* the waiting parent of a daemon, or -1 */
    struct loop       loop;
    struct node      *node;
    struct door       door;
    struct udp        udp;
    struct gossip    *gossip; /* NULL: the node is alone */
    struct workers   *workers;
    struct upkeep    *upkeep;
    struct ev_signal  signal[BOOT_SIGNALS];
    bool              graceful;
    bool              stopping; /* after what has to be done before */
    bool              runs;     /* the loop is about to, or does */
    bool              serves;   /* clients are let in */
};

/* -- while it runs ------------------------------------------------------------------------- */

/* Stops, and before that gives up the node's place in its cluster; the second time at once. */
static void
boot_begin_stop(struct boot *b, bool graceful)
{
    b->graceful = graceful;
    if (b->gossip == NULL || !b->settings->cluster.leave_on_stop || b->stopping) {
        loop_stop(&b->loop);
        return;
    }
    b->stopping = true;
    systemd_notify("STOPPING=1\nSTATUS=leaving the cluster");
    gossip_leave(b->gossip);
}

static void
boot_on_signal(struct ev_loop *ev, struct ev_signal *w, int events)
{
    struct boot *b = w->data;

    (void)ev;
    (void)events;
    if (w->signum == SIGHUP) {
        log_line(LOG_LEVEL_INFO, "signal: HUP, nothing to read again");
        return;
    }
    log_line(LOG_LEVEL_INFO, "signal: %s, stopping%s", strsignal(w->signum),
             w->signum == SIGUSR1 ? " after the last answers" : "");
    boot_begin_stop(b, w->signum == SIGUSR1);
}

static void
boot_watch_signals(struct boot *b)
{
    static const int number[BOOT_SIGNALS] = {
        [BOOT_TERM] = SIGTERM, [BOOT_INT] = SIGINT, [BOOT_USR1] = SIGUSR1, [BOOT_HUP] = SIGHUP,
    };

    for (int i = 0; i < BOOT_SIGNALS; i++) {
        ev_signal_init(&b->signal[i], boot_on_signal, number[i]);
        b->signal[i].data = b;
        ev_signal_start(b->loop.ev, &b->signal[i]);
    }
}

static void
boot_unwatch_signals(struct boot *b)
{
    for (int i = 0; i < BOOT_SIGNALS; i++) {
        if (ev_is_active(&b->signal[i])) {
            ev_signal_stop(b->loop.ev, &b->signal[i]);
        }
    }
}

/* What the other threads wake us for. */
static void
boot_turn_end(void *arg)
{
    struct boot *b = arg;
    int request;

    if (b->node == NULL) {
        return;
    }
    request = atomic_load_explicit(&b->node->request, memory_order_relaxed);
    if (request != NODE_REQUEST_NONE) {
        atomic_store_explicit(&b->node->request, NODE_REQUEST_NONE, memory_order_relaxed);
        boot_begin_stop(b, request == NODE_REQUEST_STOP_GRACEFUL);
    }
    if (store_is_asked(b->node->store)) {
        upkeep_wake(b->upkeep);
    }
    door_check(&b->door);
    if (b->workers != NULL) {
        workers_wake(b->workers, watches_take_ready(b->node->watches));
    }
}

static void
boot_on_left(void *arg)
{
    door_left(&((struct boot *)arg)->door);
}

static void
boot_on_request(void *arg)
{
    loop_wake(&((struct boot *)arg)->loop);
}

/* Says so once both are the case: who waits for the service is not to come too early. */
static void
boot_say_ready(struct boot *b)
{
    if (b->runs && b->serves) {
        log_line(LOG_LEVEL_INFO, "node: magpied " MAGPIE_VERSION " serves, %lld threads",
                 (long long)b->settings->net.threads);
        systemd_notify("READY=1\nSTATUS=serving");
    }
}

static void
boot_serve(struct boot *b)
{
    door_start(&b->door, b->workers);
    b->serves = true;
    boot_say_ready(b);
}

/* The node has its place in the cluster. */
static void
boot_on_up(void *arg)
{
    boot_serve(arg);
}

static void
boot_on_gone(void *arg)
{
    loop_stop(&((struct boot *)arg)->loop);
}

static void
boot_on_evidence(void *arg, node_id id, bool on)
{
    gossip_evidence(((struct boot *)arg)->gossip, id, on);
}

/* -- up ------------------------------------------------------------------------------------ */

static int
boot_fail(const struct err_detail *d, int code)
{
    log_line(LOG_LEVEL_ERROR, "%s", d->text);
    return code;
}

/* As memcached, which warns of so many threads and starts all the same. */
static void
boot_bound_threads(struct settings *s)
{
    if (s->net.threads > NODE_WORKERS_MAX) {
        log_line(LOG_LEVEL_WARNING,
                 "warning: %lld worker threads (-t) are more than a node has use for, %d start",
                 (long long)s->net.threads, NODE_WORKERS_MAX);
        s->net.threads = NODE_WORKERS_MAX;
    }
}

/* What concerns the process before there is anything in it. */
static int
boot_prepare(struct boot *b)
{
    const struct settings *s = b->settings;
    size_t reserved = PROCESS_RESERVED_FDS(s->net.threads);
    struct err_detail d = { "" };
    err_t e;

    /* Two families are usual; the reserve has room for some more. */
    reserved += s->net.udp_port != 0 ? 2 * (size_t)s->net.threads : 0;
    reserved += gossip_wanted(s) ? BOOT_CLUSTER_FDS(s->net.threads) : 0;
    e = privileges_find(s->process.user, &b->privileges, &d);
    if (e) {
        return boot_fail(&d, e == ERR_UNKNOWN ? EX_NOUSER : EX_USAGE);
    }
    if (s->process.core_dumps && process_limit_core(&d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (process_limit_files((size_t)s->net.max_connections, reserved, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (s->process.daemonize && process_daemonize(&b->ready, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/*
 * Writes which ports were taken to a file, for tests that ask for any free one; the file appears
 * whole.
 */
static err_t
boot_write_ports(const struct boot *b, const char *path, struct err_detail *d)
{
    char temporary[4096];
    FILE *out;

    if ((size_t)snprintf(temporary, sizeof temporary, "%s.lck", path) >= sizeof temporary) {
        return err_set(d, ERR_INVALID, "MEMCACHED_PORT_FILENAME is too long");
    }
    out = fopen(temporary, "w");
    if (out == NULL) {
        return err_set(d, ERR_IO, "failed to open \"%.200s\": %s", temporary, strerror(errno));
    }
    door_write_ports(&b->door, out);
    udp_write_ports(&b->udp, out);
    gossip_write_ports(b->gossip, out);
    if (fclose(out) != 0 || rename(temporary, path) < 0) {
        return err_set(d, ERR_IO, "failed to write \"%.200s\": %s", path, strerror(errno));
    }
    return ERR_OK;
}

/* The cluster port, and who we are there. */
static err_t
boot_join(struct boot *b, struct err_detail *d)
{
    struct gossip_config config = {
        .node = b->node,
        .loop = &b->loop,
        .client_port = door_port(&b->door),
        .up = boot_on_up,
        .left = boot_on_gone,
        .arg = b,
    };

    return gossip_new(&config, &b->gossip, d);
}

static int
boot_build(struct boot *b)
{
    const struct settings *s = b->settings;
    struct err_detail d = { "" };
    struct node_facts facts = {
        .pid = getpid(),
        .start = clock_now(),
        .event_library = loop_library(),
        .reserved_fds = PROCESS_RESERVED_FDS(s->net.threads),
        .cpu = clock_cpu,
    };
    const char *ports = getenv("MEMCACHED_PORT_FILENAME");

    b->loop.turn_end = boot_turn_end;
    b->loop.arg = b;
    if (loop_init(&b->loop)) {
        err_set(&d, ERR_NOMEM, "cannot make an event loop");
        return boot_fail(&d, EX_OSERR);
    }
    /* From here on a signal is not lost: it waits for the first turn. */
    boot_watch_signals(b);
    b->node = node_new(b->settings, &facts, facts.start, &d);
    if (b->node == NULL) {
        return boot_fail(&d, EX_OSERR);
    }
    if (door_open(&b->door, b->node, &b->loop, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (udp_open(&b->udp, b->node, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (gossip_wanted(s) && boot_join(b, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (ports != NULL && boot_write_ports(b, ports, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    return 0;
}

/* The last things root is needed for, then root is given up. */
static int
boot_settle(struct boot *b)
{
    const struct settings *s = b->settings;
    const struct privileges *p = &b->privileges;
    struct err_detail d = { "" };

    if (s->process.lock_memory && process_lock_memory(&d)) {
        log_line(LOG_LEVEL_WARNING, "warning: %s", d.text);
    }
    if (s->process.pid_file[0] != '\0' &&
        process_write_pid(s->process.pid_file, p->change ? p->uid : (uid_t)-1, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (p->change && s->net.unix_socket[0] != '\0' &&
        chown(s->net.unix_socket, p->uid, p->gid) < 0) {
        err_set(&d, ERR_DENIED, "failed to give the UNIX socket to user %u", (unsigned)p->uid);
        return boot_fail(&d, EX_OSERR);
    }
    if (privileges_drop(p, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    return 0;
}

static int
boot_start(struct boot *b)
{
    struct workers_config config = {
        .node = b->node,
        .count = (unsigned)b->settings->net.threads,
        .udp = &b->udp,
        .left = boot_on_left,
        .requested = boot_on_request,
        .evidence = boot_on_evidence,
        .arg = b,
    };
    struct err_detail d = { "" };

    if (workers_start(&config, &b->workers, &d) ||
        upkeep_start(b->node, b->workers, &b->upkeep, &d)) {
        return boot_fail(&d, EX_OSERR);
    }
    if (b->gossip != NULL) {
        gossip_start(b->gossip, b->workers); /* opens the door when others were asked */
    } else {
        boot_serve(b);
    }
    return 0;
}

/* -- down ---------------------------------------------------------------------------------- */

/* Works on whatever was built. */
static void
boot_stop(struct boot *b)
{
    if (b->node != NULL && b->door.node != NULL) {
        door_close(&b->door);
    }
    gossip_stop(b->gossip);
    upkeep_stop(b->upkeep); /* it wakes workers */
    workers_stop(b->workers, b->graceful);
    b->workers = NULL;
    udp_close(&b->udp);
    if (b->loop.ev != NULL) {
        boot_unwatch_signals(b);
    }
    process_remove_pid();
    node_free(b->node);
    b->node = NULL;
    gossip_free(b->gossip);
    b->gossip = NULL;
    loop_fini(&b->loop);
}

int
boot_run(struct settings *settings)
{
    static struct boot b; /* large, and there is only one */
    int code;

    b.settings = settings;
    b.ready = -1;
    log_set_verbosity((int)settings->admin.verbosity);
    boot_bound_threads(settings);
    code = boot_prepare(&b);
    if (code == 0) {
        code = boot_build(&b);
    }
    if (code == 0) {
        code = boot_settle(&b);
    }
    if (code == 0) {
        code = boot_start(&b);
    }
    if (code == 0) {
        process_ready(b.ready, settings->admin.verbosity == 0, !settings->process.core_dumps);
        b.runs = true;
        boot_say_ready(&b);
        loop_run(&b.loop);
        systemd_notify("STOPPING=1");
    }
    boot_stop(&b);
    return code;
}
