/*
 * rumour.h - what is to be told on, and how often it was told.  Private to cluster/swim.
 *
 * A queue in the order in which rumours go out: those told least first, of equals the newest.  Of a
 * member (or of a node of the ring) there is at most one: a newer takes the place of the older.
 *
 * One owner thread.
 */
#pragma once
#include "vocab/cluster.h"

#define RUMOUR_NONE     0xffffu
#define RUMOUR_TOLD_MAX 48 /* times that one is told, at most */

struct rumour {
    struct ring_op *op;       /* what it is about, or NULL: about a member */
    node_id         from;     /* SUSPECT, DEAD: who says so */
    uint16_t        member;   /* index in the roster */
    uint16_t        previous, next;
    uint8_t         kind;     /* enum gossip_kind */
    uint8_t         told;
};

struct rumours {
    struct rumour *slot;
    size_t         count, capacity;
    uint16_t       free; /* linked by next */
    uint16_t       first[RUMOUR_TOLD_MAX], last[RUMOUR_TOLD_MAX]; /* by how often they were told */
};

void rumour_init(struct rumours *q);
void rumour_fini(struct rumours *q);
/*
 * One about a member; slot is that of the one before, or RUMOUR_NONE.  Returns its slot, or
 * RUMOUR_NONE without memory.
 */
uint16_t rumour_about(struct rumours *q, uint16_t slot, uint16_t member, enum gossip_kind kind,
                      node_id from);
/* One about the ring.  Copies.  False: no memory, or as many as there can be nodes already. */
bool rumour_of_ring(struct rumours *q, const struct ring_op *op);
void rumour_drop(struct rumours *q, uint16_t slot);
/* The first, and the one behind a slot; RUMOUR_NONE at the end. */
uint16_t rumour_first(const struct rumours *q);
uint16_t rumour_next(const struct rumours *q, uint16_t slot);
/* It was told once more.  True if that was the last time of limit: it is dropped. */
bool rumour_told(struct rumours *q, uint16_t slot, unsigned limit);
/* How often each is told among so many members: times * ceil(log10(members + 1)). */
unsigned rumour_limit(unsigned times, size_t members);
