#define _GNU_SOURCE /* pthread_setname_np() */
#include "daemon/workers.h"
#include "base/log.h"
#include "base/panic.h"
#include "daemon/clients.h"
#include "daemon/links.h"
#include "daemon/udp.h"
#include "daemon/verbose.h"
#include "net/mailbox.h"
#include "node/watch.h"
#include "node/worker.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS_MAILBOX 8192 /* clients that may wait for a busy worker */

/* What main wants of a thread. */
enum wish { WISH_SERVE, WISH_DRAIN };

struct thread {
    struct workers *all;
    struct worker  *worker;
    struct loop     loop;
    struct mailbox  mailbox;
    struct clients  clients;
    struct links    links; /* to the other nodes */
    struct udp_desk udp;
    struct ev_timer deadline; /* of draining */
    pthread_t       id;
    bool            started;
    bool            draining; /* clients are answered what they have said */
    bool            parting;  /* ... and other nodes, too */
    int64_t         verbosity; /* what the log was told last */
    struct verbose  verbose;   /* of the first thread */
    _Atomic int     wish; /* enum wish */
};

struct workers {
    struct workers_config config;
    unsigned              next; /* whose turn it is */
    struct thread         thread[];
};

/* -- in the thread ------------------------------------------------------------------------- */

static usec_t
thread_turn(void *arg, usec_t now)
{
    struct thread *t = arg;

    now = node_time(t->worker->node, now);
    worker_turn(t->worker, now);
    return now;
}

static void
thread_on_deadline(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct thread *t = w->data;

    (void)ev;
    (void)events;
    log_line(LOG_LEVEL_INFO, "workers: %zu connections did not finish within %ds, closed",
             t->clients.count, WORKERS_GRACE_SECONDS);
    loop_stop(&t->loop);
}

static void
thread_drain(struct thread *t)
{
    if (!t->draining) {
        t->draining = true;
        ev_timer_start(t->loop.ev, &t->deadline);
        udp_stop(&t->udp);
        clients_drain(&t->clients, false);
    }
    if (t->clients.count == t->clients.peers && !t->parting) {
        /* Only now: other nodes that end as well may wait for us, as our clients did for them. */
        t->parting = true;
        clients_drain(&t->clients, true);
    }
    if (t->clients.count == 0) {
        loop_stop(&t->loop);
    }
}

/* Does what main wishes, as far as it goes by now. */
static void
thread_obey(struct thread *t)
{
    if (atomic_load_explicit(&t->wish, memory_order_acquire) == WISH_DRAIN) {
        thread_drain(t);
    }
}

/* The first thread writes what clients say into the log. */
static void
thread_verbose(struct thread *t)
{
    struct node *n = t->worker->node;

    if (t->worker->index == 0 &&
        verbose_turn(&t->verbose, n, 0, SETTINGS_LIVE(n->settings->admin.verbosity))) {
        loop_wake(&t->loop);
    }
}

static void
thread_turn_end(void *arg)
{
    struct thread *t = arg;
    struct node *n = t->worker->node;
    int64_t verbosity = SETTINGS_LIVE(n->settings->admin.verbosity);

    thread_verbose(t);
    if (t->worker->watching != NULL) {
        clients_feed(&t->clients);
    }
    thread_obey(t); /* in front of the links: clients that are drained may have asked by them */
    links_turn_end(&t->links);
    thread_obey(t);
    workers_wake(t->all, watches_take_ready(n->watches));

    if (verbosity != t->verbosity) {
        /* A client said "verbosity"; the log is not the node's to touch. */
        t->verbosity = verbosity;
        log_set_verbosity((int)verbosity);
        workers_wake(t->all, 1); /* the first thread logs what clients say */
    }
    if (atomic_load_explicit(&n->request, memory_order_relaxed) != NODE_REQUEST_NONE ||
        store_is_asked(n->store)) {
        t->all->config.requested(t->all->config.arg);
    }
}

static void
thread_receive(void *arg, void *message)
{
    struct thread *t = arg;

    clients_add(&t->clients, message);
    if (t->draining) {
        clients_drain(&t->clients, false);
    }
    if (t->parting) {
        clients_drain(&t->clients, true);
    }
}

static void *
thread_main(void *arg)
{
    struct thread *t = arg;
    char name[16];

    snprintf(name, sizeof name, "mp-worker-%u", t->worker->index);
    (void)pthread_setname_np(pthread_self(), name);
    panic_thread_start();
    thread_verbose(t); /* before the first turn: others wake us for what is to be logged */
    loop_run(&t->loop);
    ev_timer_stop(t->loop.ev, &t->deadline);
    clients_fini(&t->clients);
    udp_stop(&t->udp);
    links_fini(&t->links); /* behind those who wait for them */
    verbose_end(&t->verbose);
    panic_thread_stop();
    return NULL;
}

/* -- in main ------------------------------------------------------------------------------- */

/* A session got answers of other nodes. */
static void
thread_push(struct session *s)
{
    if (session_is_datagram(s)) {
        udp_push(s);
    } else {
        clients_push(s);
    }
}

static void
thread_init_links(struct thread *t)
{
    struct links_config config = {
        .worker = t->worker,
        .loop = &t->loop,
        .push = thread_push,
        .evidence = t->all->config.evidence,
        .arg = t->all->config.arg,
    };

    links_init(&t->links, &config);
}

static err_t
thread_init(struct thread *t, struct workers *all)
{
    err_t e;

    t->all = all;
    t->verbosity = SETTINGS_LIVE(all->config.node->settings->admin.verbosity);
    t->worker = node_add_worker(all->config.node);
    if (t->worker == NULL) {
        return ERR_NOMEM;
    }
    t->loop.turn = thread_turn;
    t->loop.turn_end = thread_turn_end;
    t->loop.arg = t;
    e = loop_init(&t->loop);
    if (e) {
        return e;
    }
    thread_verbose(t); /* now: the first thread to run need not be the one that logs */
    clients_init(&t->clients, t->worker, &t->loop, all->config.left, all->config.arg);
    thread_init_links(t);
    ev_timer_init(&t->deadline, thread_on_deadline, WORKERS_GRACE_SECONDS, 0.);
    t->deadline.data = t;
    e = udp_start(&t->udp, all->config.udp, t->worker, &t->loop);
    if (e) {
        return e;
    }
    return mailbox_init(&t->mailbox, &t->loop, WORKERS_MAILBOX, thread_receive, t);
}

/* Signals are for the main thread: a new thread inherits the mask it is made under. */
static err_t
thread_start(struct thread *t)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    t->started = rc == 0;
    return rc == 0 ? ERR_OK : ERR_NOMEM;
}

err_t
workers_start(const struct workers_config *config, struct workers **ret, struct err_detail *d)
{
    size_t size = sizeof(struct workers) + config->count * sizeof(struct thread);
    /* The mailboxes keep the two sides on cache lines of their own. */
    struct workers *w = aligned_alloc(_Alignof(struct thread),
                                      (size + _Alignof(struct thread) - 1) /
                                          _Alignof(struct thread) * _Alignof(struct thread));
    err_t e = ERR_OK;

    assert(config->count >= 1 && config->count <= NODE_WORKERS_MAX);
    if (w == NULL) {
        return err_set(d, ERR_NOMEM, "out of memory for the workers");
    }
    memset(w, 0, size);
    w->config = *config;
    for (unsigned i = 0; i < config->count && !e; i++) {
        e = thread_init(&w->thread[i], w);
    }
    for (unsigned i = 0; i < config->count && !e; i++) {
        e = thread_start(&w->thread[i]);
    }
    if (e) {
        workers_stop(w, false);
        return err_set(d, e, "cannot start %u worker threads (-t): %s", config->count,
                       err_text(e));
    }
    *ret = w;
    return ERR_OK;
}

bool
workers_deal_to(struct workers *w, unsigned index, struct client **c)
{
    assert(index < w->config.count);
    if (!mailbox_put(&w->thread[index].mailbox, *c)) {
        return false;
    }
    *c = NULL;
    return true;
}

bool
workers_deal(struct workers *w, struct client **c)
{
    if (!workers_deal_to(w, w->next, c)) {
        return false;
    }
    w->next = (w->next + 1) % w->config.count;
    return true;
}

void
workers_wake(struct workers *w, uint64_t set)
{
    for (; set != 0; set &= set - 1) {
        loop_wake(&w->thread[__builtin_ctzll(set)].loop);
    }
}

static void
thread_fini(struct thread *t)
{
    void *message;

    verbose_end(&t->verbose);
    if (t->mailbox.ring != NULL) {
        while ((message = mailbox_take(&t->mailbox)) != NULL) {
            client_free(t->worker->node, message);
        }
    }
    mailbox_fini(&t->mailbox);
    udp_stop(&t->udp); /* of a thread that never ran */
    loop_fini(&t->loop);
}

void
workers_stop(struct workers *w, bool graceful)
{
    if (w == NULL) {
        return;
    }
    for (unsigned i = 0; i < w->config.count; i++) {
        struct thread *t = &w->thread[i];

        if (t->started && graceful) {
            atomic_store_explicit(&t->wish, WISH_DRAIN, memory_order_release);
            loop_wake(&t->loop);
        } else if (t->started) {
            loop_stop(&t->loop);
        }
    }
    for (unsigned i = 0; i < w->config.count; i++) {
        if (w->thread[i].started) {
            pthread_join(w->thread[i].id, NULL);
        }
    }
    /* Only now: until the last of them has ended they wake each other for their watchers. */
    for (unsigned i = 0; i < w->config.count; i++) {
        thread_fini(&w->thread[i]);
    }
    free(w);
}
