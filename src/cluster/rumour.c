#include "cluster/rumour.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_FIRST 8
#define CAPACITY_MAX   (2 * CLUSTER_MEMBERS_MAX + 2)

static_assert(CAPACITY_MAX < RUMOUR_NONE, "a slot has 16 bits");

void
rumour_init(struct rumours *q)
{
    *q = (struct rumours){ .free = RUMOUR_NONE };
    for (size_t i = 0; i < RUMOUR_TOLD_MAX; i++) {
        q->first[i] = q->last[i] = RUMOUR_NONE;
    }
}

void
rumour_fini(struct rumours *q)
{
    for (uint16_t i = rumour_first(q); i != RUMOUR_NONE; i = rumour_next(q, i)) {
        free(q->slot[i].op);
    }
    free(q->slot);
    rumour_init(q);
}

/* Puts it first of those told as often. */
static void
slot_link(struct rumours *q, uint16_t slot)
{
    struct rumour *r = &q->slot[slot];

    r->previous = RUMOUR_NONE;
    r->next = q->first[r->told];
    if (r->next == RUMOUR_NONE) {
        q->last[r->told] = slot;
    } else {
        q->slot[r->next].previous = slot;
    }
    q->first[r->told] = slot;
}

static void
slot_unlink(struct rumours *q, uint16_t slot)
{
    struct rumour *r = &q->slot[slot];

    if (r->previous == RUMOUR_NONE) {
        assert(q->first[r->told] == slot);
        q->first[r->told] = r->next;
    } else {
        q->slot[r->previous].next = r->next;
    }
    if (r->next == RUMOUR_NONE) {
        q->last[r->told] = r->previous;
    } else {
        q->slot[r->next].previous = r->previous;
    }
}

static bool
rumours_grow(struct rumours *q)
{
    size_t         capacity = q->capacity == 0 ? CAPACITY_FIRST : q->capacity * 2;
    struct rumour *slot;

    capacity = capacity > CAPACITY_MAX ? CAPACITY_MAX : capacity;
    if (capacity == q->capacity) {
        return false;
    }
    slot = realloc(q->slot, capacity * sizeof *slot);
    if (slot == NULL) {
        return false;
    }
    q->slot = slot;
    for (size_t i = capacity; i > q->capacity; i--) {
        slot[i - 1] = (struct rumour){ .next = q->free };
        q->free = (uint16_t)(i - 1);
    }
    q->capacity = capacity;
    return true;
}

static uint16_t
slot_take(struct rumours *q)
{
    uint16_t slot;

    if (q->free == RUMOUR_NONE && !rumours_grow(q)) {
        return RUMOUR_NONE;
    }
    slot = q->free;
    q->free = q->slot[slot].next;
    q->count++;
    return slot;
}

uint16_t
rumour_about(struct rumours *q, uint16_t slot, uint16_t member, enum gossip_kind kind,
             node_id from)
{
    if (slot != RUMOUR_NONE) {
        assert(q->slot[slot].op == NULL && q->slot[slot].member == member);
        slot_unlink(q, slot);
    } else {
        slot = slot_take(q);
        if (slot == RUMOUR_NONE) {
            return RUMOUR_NONE;
        }
    }
    q->slot[slot] = (struct rumour){ .from = from, .member = member, .kind = (uint8_t)kind };
    slot_link(q, slot);
    return slot;
}

bool
rumour_of_ring(struct rumours *q, const struct ring_op *op)
{
    struct ring_op *copy = malloc(sizeof *copy);
    uint16_t        slot;

    if (copy == NULL) {
        return false;
    }
    *copy = *op;
    for (slot = rumour_first(q); slot != RUMOUR_NONE; slot = rumour_next(q, slot)) {
        if (q->slot[slot].op != NULL && q->slot[slot].op->node == op->node) {
            rumour_drop(q, slot);
            break;
        }
    }
    slot = slot_take(q);
    if (slot == RUMOUR_NONE) {
        free(copy);
        return false;
    }
    q->slot[slot] = (struct rumour){ .op = copy, .kind = GOSSIP_RING };
    slot_link(q, slot);
    return true;
}

void
rumour_drop(struct rumours *q, uint16_t slot)
{
    assert(slot < q->capacity && q->count > 0);
    slot_unlink(q, slot);
    free(q->slot[slot].op);
    q->slot[slot] = (struct rumour){ .next = q->free };
    q->free = slot;
    q->count--;
}

static uint16_t
first_from(const struct rumours *q, unsigned told)
{
    for (; told < RUMOUR_TOLD_MAX; told++) {
        if (q->first[told] != RUMOUR_NONE) {
            return q->first[told];
        }
    }
    return RUMOUR_NONE;
}

uint16_t
rumour_first(const struct rumours *q)
{
    return q->count == 0 ? (uint16_t)RUMOUR_NONE : first_from(q, 0);
}

uint16_t
rumour_next(const struct rumours *q, uint16_t slot)
{
    const struct rumour *r = &q->slot[slot];

    return r->next != RUMOUR_NONE ? r->next : first_from(q, r->told + 1u);
}

bool
rumour_told(struct rumours *q, uint16_t slot, unsigned limit)
{
    struct rumour *r = &q->slot[slot];

    if (r->told + 1u >= limit || r->told + 1u >= RUMOUR_TOLD_MAX) {
        rumour_drop(q, slot);
        return true;
    }
    slot_unlink(q, slot);
    r->told++;
    slot_link(q, slot);
    return false;
}

unsigned
rumour_limit(unsigned times, size_t members)
{
    unsigned digits = 0;

    for (size_t power = 1; power < members + 1; power *= 10) {
        digits++;
    }
    return times * digits;
}
