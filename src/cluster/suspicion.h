/*
 * suspicion.h - who is suspected, by whom, and until when.  Private to cluster/swim.
 *
 * Lifeguard's suspicion: it lasts long at first and shorter with each other member that says the
 * same.  A heap by deadline; a suspicion keeps its slot until it is removed.
 *
 * One owner thread.
 */
#pragma once
#include "vocab/cluster.h"

#define SUSPICION_NONE       0xffffu
#define SUSPICION_WANTED_MAX 8 /* confirmations that still shorten it */

struct suspicion {
    usec_t   start;
    usec_t   min, max;
    usec_t   deadline;
    uint16_t member;    /* index in the roster */
    uint16_t heap_at;
    uint8_t  wanted;    /* confirmations at which it lasts min */
    uint8_t  confirmed; /* by other than the first accuser */
    bool     seconded;  /* for the caller: somebody else than this node says so */
    node_id  accuser[1 + SUSPICION_WANTED_MAX];
};

/* A zeroed one is empty. */
struct suspicions {
    struct suspicion *slot;
    uint16_t         *heap; /* slots: count in the heap, then those that are free */
    size_t            count, capacity;
};

/* max - (max - min) * ln(confirmed + 1) / ln(wanted + 1); min if none are wanted. */
usec_t suspicion_lasts(usec_t min, usec_t max, unsigned wanted, unsigned confirmed);

void suspicion_fini(struct suspicions *s);
/* Begins one that lasts as said; returns its slot, or SUSPICION_NONE without memory. */
uint16_t suspicion_add(struct suspicions *s, uint16_t member, node_id accuser, usec_t now,
                       usec_t min, usec_t max, unsigned wanted);
void suspicion_remove(struct suspicions *s, uint16_t slot);
/* One more says so.  True if it is one who had not, and was wanted. */
bool suspicion_confirm(struct suspicions *s, uint16_t slot, node_id accuser);
/* The slot whose deadline comes first, or SUSPICION_NONE. */
uint16_t suspicion_first(const struct suspicions *s);
/* Waits with this one until then. */
void suspicion_delay(struct suspicions *s, uint16_t slot, usec_t deadline);
/* All of them last so much longer. */
void suspicion_shift(struct suspicions *s, usec_t by);
