#include "net/loop.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define STRINGIFY(x) #x
#define STRING(x)    STRINGIFY(x)

static void
loop_on_check(struct ev_loop *ev, struct ev_check *w, int events)
{
    struct loop *l = w->data;

    (void)ev;
    (void)events;
    l->now = clock_now();
    if (l->turn != NULL) {
        l->now = l->turn(l->arg, l->now);
    }
}

/* The wake-up itself is the message; what it means is looked up in turn_end(). */
static void
loop_on_wake(struct ev_loop *ev, struct ev_async *w, int events)
{
    (void)ev;
    (void)w;
    (void)events;
}

err_t
loop_init(struct loop *l)
{
    assert(l->ev == NULL);
    /* The environment must not pick another backend: LIBEV_FLAGS is for nobody we know. */
    l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOTIMERFD);
    if (l->ev == NULL) {
        return ERR_NOMEM;
    }
    l->jobs.next = &l->jobs;
    l->jobs.prev = &l->jobs;
    l->now = clock_now();
    atomic_store(&l->stop, false);

    /* Called right after the wait and, at the highest priority, before any event. */
    ev_check_init(&l->check, loop_on_check);
    ev_set_priority(&l->check, EV_MAXPRI);
    l->check.data = l;
    ev_check_start(l->ev, &l->check);
    ev_async_init(&l->wake, loop_on_wake);
    ev_async_start(l->ev, &l->wake);
    return ERR_OK;
}

void
loop_fini(struct loop *l)
{
    if (l->ev == NULL) {
        return;
    }
    ev_async_stop(l->ev, &l->wake);
    ev_check_stop(l->ev, &l->check);
    ev_loop_destroy(l->ev);
    l->ev = NULL;
}

/* Runs each job that waits now; jobs that are put off meanwhile wait for the next turn. */
static void
loop_run_jobs(struct loop *l)
{
    struct loop_job mark = { .next = &l->jobs, .prev = l->jobs.prev };

    mark.prev->next = &mark;
    l->jobs.prev = &mark;
    while (l->jobs.next != &mark) {
        struct loop_job *job = l->jobs.next;

        loop_cancel(job);
        job->run(job);
    }
    loop_cancel(&mark);
}

void
loop_run(struct loop *l)
{
    while (!atomic_load_explicit(&l->stop, memory_order_acquire)) {
        bool waiting = l->jobs.next != &l->jobs;

        ev_run(l->ev, waiting ? EVRUN_NOWAIT : EVRUN_ONCE);
        if (l->jobs.next != &l->jobs) {
            loop_run_jobs(l);
        }
        if (l->turn_end != NULL) {
            l->turn_end(l->arg);
        }
    }
}

void
loop_stop(struct loop *l)
{
    atomic_store_explicit(&l->stop, true, memory_order_release);
    ev_async_send(l->ev, &l->wake);
}

void
loop_wake(struct loop *l)
{
    ev_async_send(l->ev, &l->wake);
}

void
loop_defer(struct loop *l, struct loop_job *job)
{
    if (job->prev != NULL) {
        return;
    }
    job->prev = l->jobs.prev;
    job->next = &l->jobs;
    job->prev->next = job;
    l->jobs.prev = job;
}

void
loop_cancel(struct loop_job *job)
{
    if (job->prev == NULL) {
        return;
    }
    job->prev->next = job->next;
    job->next->prev = job->prev;
    job->next = NULL;
    job->prev = NULL;
}

const char *
loop_library(void)
{
    return "libev-" STRING(EV_VERSION_MAJOR) "." STRING(EV_VERSION_MINOR);
}
