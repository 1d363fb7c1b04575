#define _GNU_SOURCE /* pthread_setname_np() */
#include "daemon/upkeep.h"
#include "base/clock.h"
#include "base/panic.h"
#include "daemon/workers.h"
#include "node/node.h"
#include "node/strays.h"
#include "node/watch.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define UPKEEP_BUDGET    1000u               /* items a tick looks at */
#define UPKEEP_SLEEP_MAX USEC_PER_SEC
#define UPKEEP_SLEEP_MIN ((usec_t)100)       /* a busy store must not own a processor */

struct upkeep {
    struct node      *node;
    struct workers   *workers;
    struct store_ctx *ctx;
    struct strays_walk strays;
    pthread_t         id;
    pthread_mutex_t   lock; /* of stop and woken */
    pthread_cond_t    changed;
    bool              stop;
    bool              woken; /* since the last tick began */
};

/* Sleeps with the lock held; ends early when stop or woken is set. */
static void
upkeep_sleep(struct upkeep *u, usec_t time)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(time % USEC_PER_SEC) * 1000;
    until.tv_sec += (time_t)(time / USEC_PER_SEC) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&u->changed, &u->lock, &until);
}

/* Looks for records that belong to other nodes since the ring changed; true if there is more. */
static bool
upkeep_strays(struct upkeep *u)
{
    struct node *n = u->node;
    const struct view *v = atomic_load_explicit(&n->view, memory_order_acquire);

    if (v == NULL) {
        return false;
    }
    atomic_store_explicit(&n->upkeep_seen, v->number, memory_order_release);
    return strays_step(n, v, u->ctx, &u->strays, UPKEEP_BUDGET);
}

/* One step of work, and what watchers are to know of it; how long to sleep. */
static usec_t
upkeep_step(struct upkeep *u)
{
    struct node *n = u->node;
    struct watch_from from = { n->watches, &n->upkeep, node_time(n, clock_now()) };
    usec_t sleep;

    store_turn(u->ctx, from.now);
    sleep = store_tick(u->ctx, UPKEEP_BUDGET);
    if (upkeep_strays(u)) {
        sleep = 0;
    }
    if (watches_streams(n->watches) != 0) {
        watch_store_events(&from, u->ctx);
        workers_wake(u->workers, watches_take_ready(n->watches));
    }
    return sleep < UPKEEP_SLEEP_MIN ? UPKEEP_SLEEP_MIN
                                    : sleep > UPKEEP_SLEEP_MAX ? UPKEEP_SLEEP_MAX : sleep;
}

static void *
upkeep_main(void *arg)
{
    struct upkeep *u = arg;

    (void)pthread_setname_np(pthread_self(), "mp-upkeep");
    panic_thread_start();
    pthread_mutex_lock(&u->lock);
    while (!u->stop) {
        usec_t sleep;

        u->woken = false;
        pthread_mutex_unlock(&u->lock);
        sleep = upkeep_step(u);
        pthread_mutex_lock(&u->lock);
        if (!u->stop && !u->woken) {
            upkeep_sleep(u, sleep);
        }
    }
    pthread_mutex_unlock(&u->lock);
    panic_thread_stop();
    return NULL;
}

static int
upkeep_start_thread(struct upkeep *u)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    int rc;

    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->changed, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&u->id, NULL, upkeep_main, u);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

err_t
upkeep_start(struct node *n, struct workers *workers, struct upkeep **ret, struct err_detail *d)
{
    struct upkeep *u = calloc(1, sizeof *u);

    if (u == NULL) {
        return err_set(d, ERR_NOMEM, "out of memory for the upkeep thread");
    }
    u->node = n;
    u->workers = workers;
    u->ctx = store_ctx_new(n->store, &n->upkeep);
    if (u->ctx == NULL || upkeep_start_thread(u) != 0) {
        if (u->ctx != NULL) {
            store_ctx_free(u->ctx);
        }
        free(u);
        return err_set(d, ERR_NOMEM, "cannot start the upkeep thread");
    }
    *ret = u;
    return ERR_OK;
}

void
upkeep_wake(struct upkeep *u)
{
    if (u == NULL) {
        return;
    }
    pthread_mutex_lock(&u->lock);
    u->woken = true;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
}

void
upkeep_stop(struct upkeep *u)
{
    if (u == NULL) {
        return;
    }
    pthread_mutex_lock(&u->lock);
    u->stop = true;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->lock);
    pthread_join(u->id, NULL);
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    store_ctx_free(u->ctx);
    free(u);
}
