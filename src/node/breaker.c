#include "node/breaker.h"

#include <assert.h>

/* True if at least span has gone by since then, or the clock was set back. */
static bool
time_passed(usec_t then, usec_t span, usec_t now)
{
    return now - then >= span || now < then;
}

static void
breaker_close(struct breaker *b, usec_t now)
{
    *b = (struct breaker){ .state = BREAKER_CLOSED, .window = now, .since = now };
}

/* How long to wait after so many probes, jitter included. */
static usec_t
probe_wait(unsigned tries, struct rng *rng)
{
    double wait = (double)BREAKER_PROBE_FIRST;

    for (unsigned i = 0; i < tries && wait < (double)BREAKER_PROBE_MAX; i++) {
        wait *= 1.5;
    }
    if (wait > (double)BREAKER_PROBE_MAX) {
        wait = (double)BREAKER_PROBE_MAX;
    }
    return (usec_t)(wait * (1.05 + 0.45 * rng_unit(rng)));
}

static void
breaker_open(struct breaker *b, struct rng *rng, usec_t now)
{
    b->state = BREAKER_OPEN;
    b->since = now;
    b->probe_at = now + probe_wait(b->tries, rng);
    b->proven = false;
    b->soft = 0;
    b->asked = 0;
    b->failed = 0;
}

/* Half open, with one request to be let in. */
static void
breaker_ramp(struct breaker *b, usec_t now)
{
    b->state = BREAKER_HALF;
    b->since = now;
    b->probe_at = now;
    b->proven = false;
    b->let_in = 0;
}

/* The window of what is counted, begun anew if it is over. */
static void
window_turn(struct breaker *b, usec_t now)
{
    if (time_passed(b->window, BREAKER_WINDOW, now)) {
        b->window = now;
        b->asked = 0;
        b->failed = 0;
    }
}

/* Whether one more request may go to a half open one. */
static bool
half_lets(struct breaker *b, usec_t now)
{
    if (b->proven) {
        return b->let_in++ % BREAKER_SHARE == 0;
    }
    if (now < b->probe_at && b->probe_at - now <= BREAKER_RAMP) {
        return false;
    }
    /* The first; or the one before it was never heard of again, nor its failure. */
    b->probe_at = now + BREAKER_RAMP;
    return true;
}

bool
breaker_lets(struct breaker *b, usec_t now)
{
    if (b->state == BREAKER_OPEN) {
        return false;
    }
    if (b->state == BREAKER_HALF) {
        if (b->proven && time_passed(b->since, BREAKER_RAMP, now)) {
            breaker_close(b, now);
        } else if (!half_lets(b, now)) {
            return false;
        }
    }
    window_turn(b, now);
    b->asked++;
    return true;
}

void
breaker_good(struct breaker *b, usec_t now)
{
    /* While it is open, an answer is to what was asked before: too late, and proof of nothing. */
    if (b->state == BREAKER_OPEN) {
        return;
    }
    b->soft = 0;
    if (b->state != BREAKER_HALF) {
        return;
    }
    b->proven = true;
    if (time_passed(b->since, BREAKER_RAMP, now)) {
        breaker_close(b, now);
    }
}

/* Counts a time-out; true if it is one too many. */
static bool
soft_is_enough(struct breaker *b, usec_t now)
{
    unsigned sample;

    window_turn(b, now);
    b->soft++;
    b->failed++;
    /* What failed in this second may have been asked in the one before. */
    sample = b->asked > b->failed ? b->asked : b->failed;
    return b->soft >= BREAKER_SOFT || (sample >= BREAKER_SAMPLE && 2 * b->failed >= sample);
}

bool
breaker_bad(struct breaker *b, bool hard, bool may_open, struct rng *rng, usec_t now)
{
    assert(rng);
    if (b->state == BREAKER_OPEN) {
        return false;
    }
    /* Counted in any case, so that it opens with the next one if it may by then. */
    if (!soft_is_enough(b, now) && !hard && b->state == BREAKER_CLOSED) {
        return false;
    }
    if (!may_open) {
        if (b->state == BREAKER_HALF) {
            breaker_ramp(b, now);
        }
        return false;
    }
    breaker_open(b, rng, now);
    return true;
}

bool
breaker_probe(struct breaker *b, struct rng *rng, usec_t now)
{
    assert(rng);
    /* Never more than one wait away, unless the clock was set back. */
    if (b->state != BREAKER_OPEN ||
        (now < b->probe_at && b->probe_at - now <= 2 * BREAKER_PROBE_MAX)) {
        return false;
    }
    b->tries++;
    b->probe_at = now + probe_wait(b->tries, rng);
    assert(b->probe_at > now);
    return true;
}

void
breaker_half(struct breaker *b, usec_t now)
{
    if (b->state == BREAKER_OPEN) {
        breaker_ramp(b, now);
    }
}
