/*
 * breaker.h - whether a peer is worth asking: opens when it fails, lets in a few, then all again.
 *
 * Hard failures (refused, reset) open at once; soft ones (time-outs) after BREAKER_SOFT in a row, or
 * if half of at least BREAKER_SAMPLE requests within a second failed.  While open, the owner probes
 * at probe_at, with backoff (100 ms, times 1.5, at most 5 s) and jitter (5 to 50 %).  An answered
 * probe half-opens it: one request, then a tenth, then all, over one second.
 *
 * A plain value; no clock.  One owner thread.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_SOFT   3
#define BREAKER_SAMPLE 20

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

struct breaker {
    enum breaker_state state;
    unsigned           soft;       /* time-outs in a row */
    usec_t             window;     /* start of the second that is counted */
    unsigned           asked, failed; /* in it */
    usec_t             since;      /* when the state began */
    usec_t             probe_at;   /* OPEN: try again then */
    unsigned           tries;      /* probes that failed, in a row */
    unsigned           let_in;     /* HALF: requests so far */
};

/* Zeroed is closed, and fine. */
/* May a request go there now?  Counts it as asked. */
bool breaker_lets(struct breaker *b, usec_t now);
/* An answer came. */
void breaker_good(struct breaker *b, usec_t now);
/*
 * A request failed.  may_open: false keeps it closed (fail-open: too many peers are out already, the
 * fault is rather ours).  True if it opened just now.
 */
bool breaker_bad(struct breaker *b, bool hard, bool may_open, struct rng *rng, usec_t now);
/* OPEN, and a probe is due: the caller sends one.  Counts it, and sets the next. */
bool breaker_probe(struct breaker *b, struct rng *rng, usec_t now);
/* The probe was answered, or gossip has news that the peer is back. */
void breaker_half(struct breaker *b, usec_t now);
