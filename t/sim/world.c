#include "world.h"
#include "base/hash.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){ .seed = seed };
}

void
world_fini(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        w->heap[i]->place = 0;
    }
    free(w->heap);
    w->heap = NULL;
    w->count = w->cap = 0;
}

void
world_need(bool ok)
{
    if (!ok) {
        fprintf(stderr, "sim: out of memory\n");
        exit(1);
    }
}

void *
world_alloc(size_t n)
{
    void *p = calloc(1, n);

    world_need(p);
    return p;
}

/* -- the heap ---------------------------------------------------------------------------------- */

static bool
timer_before(const struct timer *a, const struct timer *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void
heap_put(struct world *w, size_t i, struct timer *t)
{
    w->heap[i] = t;
    t->place = i + 1;
}

static void
heap_up(struct world *w, size_t i, struct timer *t)
{
    while (i > 0 && timer_before(t, w->heap[(i - 1) / 2])) {
        heap_put(w, i, w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(w, i, t);
}

static void
heap_down(struct world *w, size_t i, struct timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < w->count && timer_before(w->heap[child + 1], w->heap[child])) {
            child++;
        }
        if (child >= w->count || !timer_before(w->heap[child], t)) {
            break;
        }
        heap_put(w, i, w->heap[child]);
        i = child;
    }
    heap_put(w, i, t);
}

void
timer_init(struct timer *t, void (*run)(void *arg), void *arg)
{
    *t = (struct timer){ .run = run, .arg = arg };
}

void
timer_stop(struct world *w, struct timer *t)
{
    size_t i = t->place;
    struct timer *last;

    if (i-- == 0) {
        return;
    }
    t->place = 0;
    last = w->heap[--w->count];
    if (last != t) {
        heap_down(w, i, last);
        heap_up(w, last->place - 1, last);
    }
}

void
timer_set(struct world *w, struct timer *t, usec_t at)
{
    timer_stop(w, t);
    t->at = at < w->now ? w->now : at;
    t->order = w->order++;
    if (w->count == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 256;
        w->heap = realloc(w->heap, w->cap * sizeof *w->heap);
        world_need(w->heap);
    }
    w->count++;
    heap_up(w, w->count - 1, t);
}

void
timer_hasten(struct world *w, struct timer *t, usec_t at)
{
    if (t->place == 0 || at < t->at) {
        timer_set(w, t, at);
    }
}

bool
world_step(struct world *w, usec_t until)
{
    struct timer *t = w->count > 0 ? w->heap[0] : NULL;

    if (!t || t->at > until) {
        w->now = until;
        return false;
    }
    assert(t->at >= w->now);
    w->now = t->at;
    w->events++;
    timer_stop(w, t);
    t->run(t->arg);
    return true;
}

/* -- the trace --------------------------------------------------------------------------------- */

void
world_bytes(struct world *w, struct slice bytes)
{
    w->hash = hash_bytes(bytes.ptr, bytes.len) ^ (w->hash << 7 | w->hash >> 57);
}

void
world_note(struct world *w, const char *fmt, ...)
{
    char line[512];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    n = n < (int)sizeof line ? n : (int)sizeof line - 1;
    w->hash ^= (uint64_t)w->now * UINT64_C(0x9e3779b97f4a7c15);
    world_bytes(w, slice_of(line, (size_t)n));
    if (w->trace) {
        printf("%11.6f  %s\n", (double)w->now / 1e6, line);
    }
}

void
world_fail(const struct world *w, const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "sim: seed %" PRIu64 ", at %.6f s: ", w->seed, (double)w->now / 1e6);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nrepeat with: %s\n", w->repeat ? w->repeat : "the same seed");
    exit(1);
}
