/*
 * breaker.h - whether a peer is worth asking: opens when it fails, lets in a few, then all again.
 *
 * Hard failures (refused, reset) open at once; soft ones (time-outs) after BREAKER_SOFT in a row,
 * or if half of at least BREAKER_SAMPLE requests within a second failed.  While open, the owner
 * probes at probe_at: BREAKER_PROBE_FIRST after it opened, each time 1.5 times as long, at most
 * BREAKER_PROBE_MAX, and 5 to 50 % of jitter on top.  An answered probe half-opens it: one request
 * until that is answered, then every tenth, then all, one second after the probe; one that fails
 * opens it again, and the backoff goes on from where it was.
 *
 * A plain value; no clock.  A time of day that jumps makes it forget or probe, never wait.  One
 * owner thread.
 */
#pragma once
#include "base/clock.h"
#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_SOFT        3  /* time-outs in a row */
#define BREAKER_SAMPLE      20 /* requests */
#define BREAKER_SHARE       10 /* HALF: every so manieth request is let in */
#define BREAKER_WINDOW      USEC_PER_SEC
#define BREAKER_RAMP        USEC_PER_SEC
#define BREAKER_PROBE_FIRST (100 * USEC_PER_MSEC)
#define BREAKER_PROBE_MAX   (5 * USEC_PER_SEC)

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

struct breaker {
    enum breaker_state state;
    bool               proven;        /* HALF: a request was answered */
    unsigned           soft;          /* time-outs in a row */
    unsigned           asked, failed; /* in the window */
    unsigned           tries;         /* probes since it was closed */
    unsigned           let_in;        /* HALF: requests that wanted in since the first answer */
    usec_t             window;        /* start of the second that is counted */
    usec_t             since;         /* when the state began */
    usec_t             probe_at;      /* OPEN: try again then; HALF, not proven: likewise */
};

/* Zeroed is closed, and fine. */
/* May a request go there now?  Counts it as asked. */
bool breaker_lets(struct breaker *b, usec_t now);
/* A request was answered. */
void breaker_good(struct breaker *b, usec_t now);
/*
 * A request failed.  may_open: false keeps it from opening (fail-open: too many peers are out
 * already, the fault is rather ours); a closed one stays closed and is asked on, a half open one
 * starts with one request again.  True if it opened just now.
 */
bool breaker_bad(struct breaker *b, bool hard, bool may_open, struct rng *rng, usec_t now);
/* OPEN, and a probe is due: the caller sends one.  Counts it, and sets the next. */
bool breaker_probe(struct breaker *b, struct rng *rng, usec_t now);
/* The probe was answered, or gossip has news that the peer is back. */
void breaker_half(struct breaker *b, usec_t now);
