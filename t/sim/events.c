#include "events.h"

#include <assert.h>
#include <stdlib.h>

/* Children of one entry: a flat heap touches fewer lines of the cache. */
#define ARITY 4

static bool
event_before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void
events_fini(struct events *e)
{
    free(e->heap);
    *e = (struct events){ 0 };
}

void
events_add(struct events *e, struct event ev)
{
    size_t i;

    if (e->count == e->size) {
        e->size = e->size ? e->size * 2 : 1024;
        e->heap = realloc(e->heap, e->size * sizeof *e->heap);
        if (!e->heap) {
            abort();
        }
    }
    ev.order = e->added++;
    for (i = e->count++; i > 0; i = (i - 1) / ARITY) {
        size_t parent = (i - 1) / ARITY;

        if (!event_before(&ev, &e->heap[parent])) {
            break;
        }
        e->heap[i] = e->heap[parent];
    }
    e->heap[i] = ev;
}

bool
events_take(struct events *e, struct event *ret)
{
    struct event last;
    size_t i = 0;

    if (e->count == 0) {
        return false;
    }
    *ret = e->heap[0];
    last = e->heap[--e->count];
    for (;;) {
        size_t first = i * ARITY + 1, least = first;

        if (first >= e->count) {
            break;
        }
        for (size_t c = first + 1; c < first + ARITY && c < e->count; c++) {
            if (event_before(&e->heap[c], &e->heap[least])) {
                least = c;
            }
        }
        if (!event_before(&e->heap[least], &last)) {
            break;
        }
        e->heap[i] = e->heap[least];
        i = least;
    }
    e->heap[i] = last;
    return true;
}
