#include "cluster/suspicion.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

usec_t
suspicion_lasts(usec_t min, usec_t max, unsigned wanted, unsigned confirmed)
{
    double share;

    if (wanted == 0 || confirmed >= wanted || max <= min) {
        return min;
    }
    share = log((double)confirmed + 1) / log((double)wanted + 1);
    return max - (usec_t)(share * (double)(max - min));
}

void
suspicion_fini(struct suspicions *s)
{
    free(s->slot);
    free(s->heap);
    *s = (struct suspicions){ 0 };
}

static void
heap_place(struct suspicions *s, size_t at, uint16_t slot)
{
    s->heap[at] = slot;
    s->slot[slot].heap_at = (uint16_t)at;
}

/* Moves the slot at this place of the heap up or down to where it belongs. */
static void
heap_settle(struct suspicions *s, size_t at)
{
    uint16_t slot = s->heap[at];
    usec_t   deadline = s->slot[slot].deadline;
    size_t   child;

    while (at > 0 && s->slot[s->heap[(at - 1) / 2]].deadline > deadline) {
        heap_place(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    while ((child = 2 * at + 1) < s->count) {
        if (child + 1 < s->count &&
            s->slot[s->heap[child + 1]].deadline < s->slot[s->heap[child]].deadline) {
            child++;
        }
        if (s->slot[s->heap[child]].deadline >= deadline) {
            break;
        }
        heap_place(s, at, s->heap[child]);
        at = child;
    }
    heap_place(s, at, slot);
}

static bool
suspicions_grow(struct suspicions *s)
{
    size_t            capacity = s->capacity == 0 ? 4 : s->capacity * 2;
    struct suspicion *slot;
    uint16_t         *heap;

    if (capacity > SUSPICION_NONE) {
        return false;
    }
    slot = realloc(s->slot, capacity * sizeof *slot);
    if (slot == NULL) {
        return false;
    }
    s->slot = slot;
    heap = realloc(s->heap, capacity * sizeof *heap);
    if (heap == NULL) {
        return false;
    }
    s->heap = heap;
    for (size_t i = s->capacity; i < capacity; i++) {
        heap[i] = (uint16_t)i;
    }
    s->capacity = capacity;
    return true;
}

uint16_t
suspicion_add(struct suspicions *s, uint16_t member, node_id accuser, usec_t now, usec_t min,
              usec_t max, unsigned wanted)
{
    struct suspicion *one;
    uint16_t          slot;

    assert(wanted <= SUSPICION_WANTED_MAX && min <= max);
    if (s->count == s->capacity && !suspicions_grow(s)) {
        return SUSPICION_NONE;
    }
    slot = s->heap[s->count];
    one = &s->slot[slot];
    *one = (struct suspicion){ .start = now, .min = min, .max = max, .member = member,
                               .wanted = (uint8_t)wanted };
    one->accuser[0] = accuser;
    one->deadline = now + suspicion_lasts(min, max, wanted, 0);
    s->count++;
    heap_place(s, s->count - 1, slot);
    heap_settle(s, s->count - 1);
    return slot;
}

void
suspicion_remove(struct suspicions *s, uint16_t slot)
{
    size_t   at = s->slot[slot].heap_at;
    uint16_t last = s->heap[s->count - 1];

    assert(at < s->count && s->heap[at] == slot);
    s->count--;
    s->heap[s->count] = slot; /* the first of those that are free */
    if (at < s->count) {
        heap_place(s, at, last);
        heap_settle(s, at);
    }
}

bool
suspicion_confirm(struct suspicions *s, uint16_t slot, node_id accuser)
{
    struct suspicion *one = &s->slot[slot];

    assert(one->heap_at < s->count && s->heap[one->heap_at] == slot);
    if (one->confirmed >= one->wanted) {
        return false;
    }
    for (unsigned i = 0; i <= one->confirmed; i++) {
        if (one->accuser[i] == accuser) {
            return false;
        }
    }
    one->confirmed++;
    one->accuser[one->confirmed] = accuser;
    one->deadline =
        one->start + suspicion_lasts(one->min, one->max, one->wanted, one->confirmed);
    heap_settle(s, one->heap_at);
    return true;
}

uint16_t
suspicion_first(const struct suspicions *s)
{
    return s->count == 0 ? (uint16_t)SUSPICION_NONE : s->heap[0];
}

void
suspicion_delay(struct suspicions *s, uint16_t slot, usec_t deadline)
{
    struct suspicion *one = &s->slot[slot];

    assert(one->heap_at < s->count && deadline >= one->deadline);
    one->deadline = deadline;
    heap_settle(s, one->heap_at);
}

void
suspicion_shift(struct suspicions *s, usec_t by)
{
    for (size_t i = 0; i < s->count; i++) {
        s->slot[s->heap[i]].start += by;
        s->slot[s->heap[i]].deadline += by;
    }
}
