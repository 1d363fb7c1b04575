/* When a peer is asked and when it is left alone; the time is made up. */
#include "node/breaker.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define START (1000 * USEC_PER_SEC)
#define MSEC  USEC_PER_MSEC

static struct breaker b;
static struct rng rng;

static void
setup(void)
{
    b = (struct breaker){ 0 };
    rng_init(&rng, 7);
}

TestSuite(breaker, .init = setup);

static bool
bad_soft(usec_t now)
{
    return breaker_bad(&b, false, true, &rng, now);
}

/* Open since START. */
static void
opened(void)
{
    cr_assert(breaker_lets(&b, START));
    cr_assert(breaker_bad(&b, true, true, &rng, START));
    cr_assert(eq(int, b.state, BREAKER_OPEN));
}

/* How many of so many requests are let in, at one moment. */
static unsigned
let_in(unsigned requests, usec_t now)
{
    unsigned n = 0;

    for (unsigned i = 0; i < requests; i++) {
        n += breaker_lets(&b, now);
    }
    return n;
}

/* A healthy peer must never notice that there is one. */
Test(breaker, a_zeroed_one_lets_everything_in)
{
    cr_expect(eq(u32, let_in(1000, START), 1000));
    for (int i = 0; i < 1000; i++) {
        breaker_good(&b, START + i);
    }
    cr_expect(not(breaker_probe(&b, &rng, START + 3600 * USEC_PER_SEC)));
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
}

/* A process that is gone refuses: one refusal says all. */
Test(breaker, a_hard_failure_opens_at_once)
{
    cr_expect(breaker_lets(&b, START));
    cr_expect(breaker_bad(&b, true, true, &rng, START + 1));
    cr_expect(eq(int, b.state, BREAKER_OPEN));
    cr_expect(eq(i64, b.since, START + 1));
    cr_expect(zero(u32, let_in(100, START + 2)));
    cr_expect(not(breaker_bad(&b, true, true, &rng, START + 3)), "it opens once");
    cr_expect(not(bad_soft(START + 4)));
    cr_expect(eq(i64, b.since, START + 1));
}

/* One lost packet or one long pause of a disk is not a dead peer. */
Test(breaker, timeouts_open_when_there_are_three_in_a_row)
{
    cr_expect(not(bad_soft(START)));
    cr_expect(not(bad_soft(START)));
    breaker_good(&b, START);
    cr_expect(not(bad_soft(START)), "an answer between them begins the count anew");
    cr_expect(not(bad_soft(START + 60 * USEC_PER_SEC)));
    cr_expect(bad_soft(START + 120 * USEC_PER_SEC), "however slowly they come");
    cr_expect(eq(int, b.state, BREAKER_OPEN));
}

/* A peer that drops every second request never fails three times in a row, and is no use. */
Test(breaker, half_of_twenty_opens)
{
    unsigned pairs = 0;

    for (bool open = false; !open && pairs < 100; pairs++) {
        cr_assert(breaker_lets(&b, START));
        breaker_good(&b, START);
        cr_assert(breaker_lets(&b, START));
        open = bad_soft(START);
    }
    cr_expect(eq(u32, pairs, BREAKER_SAMPLE / 2));
    cr_expect(eq(int, b.state, BREAKER_OPEN));
}

/* One in three is slow, but it works; and so is half of few. */
Test(breaker, less_than_half_or_of_few_does_not_open)
{
    for (int i = 0; i < 3000; i++) {
        cr_assert(breaker_lets(&b, START + i));
        if (i % 3 == 2) {
            cr_assert(not(bad_soft(START + i)), "at request %d", i);
        } else {
            breaker_good(&b, START + i);
        }
    }
    setup();
    for (int i = 0; i < 1000; i++) { /* 18 a second, half of them fail */
        usec_t now = START + i * (USEC_PER_SEC / 18);

        cr_assert(breaker_lets(&b, now));
        if (i % 2 != 0) {
            cr_assert(not(bad_soft(now)), "at request %d", i);
        } else {
            breaker_good(&b, now);
        }
    }
}

/* What is counted is a second: old failures do not weigh on a peer that has recovered. */
Test(breaker, failures_of_the_second_before_are_forgotten)
{
    for (int i = 0; i < 18; i++) { /* one pair short of it */
        cr_assert(breaker_lets(&b, START));
        if (i % 2 != 0) {
            cr_assert(not(bad_soft(START)));
        } else {
            breaker_good(&b, START);
        }
    }
    for (int i = 0; i < 18; i++) {
        cr_assert(breaker_lets(&b, START + USEC_PER_SEC));
        if (i % 2 != 0) {
            cr_assert(not(bad_soft(START + USEC_PER_SEC)));
        } else {
            breaker_good(&b, START + USEC_PER_SEC);
        }
    }
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
}

/* Requests time out a while after they were asked, when the second they were asked in is over. */
Test(breaker, timeouts_of_requests_of_the_second_before_count)
{
    bool open = false;
    int failures = 0;

    cr_assert(eq(u32, let_in(100, START), 100));
    for (; failures < 100 && !open; failures++) {
        breaker_good(&b, START + USEC_PER_SEC);
        open = bad_soft(START + USEC_PER_SEC);
    }
    cr_expect(open);
    cr_expect(eq(int, failures, BREAKER_SAMPLE));
}

/* When more than half of all peers seem out, it is us who have lost the network. */
Test(breaker, it_does_not_open_if_it_may_not)
{
    cr_expect(not(breaker_bad(&b, true, false, &rng, START)));
    for (int i = 0; i < 100; i++) {
        cr_expect(not(breaker_bad(&b, false, false, &rng, START)));
        cr_expect(breaker_lets(&b, START));
    }
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
    cr_expect(breaker_bad(&b, false, true, &rng, START), "what was held back is not forgotten");
}

/* The first probe comes soon, later ones rarely, and those of many nodes not all at once. */
Test(breaker, probes_back_off_with_jitter)
{
    double base = (double)BREAKER_PROBE_FIRST;
    usec_t now = START, first = 0;

    opened();
    for (int i = 0; i < 20; i++) {
        usec_t wait = b.probe_at - now;

        cr_expect(ge(dbl, (double)wait, 1.05 * base - 1), "probe %d", i);
        cr_expect(le(dbl, (double)wait, 1.50 * base + 1), "probe %d", i);
        cr_expect(not(breaker_probe(&b, &rng, b.probe_at - 1)), "probe %d is early", i);
        now = b.probe_at;
        cr_expect(breaker_probe(&b, &rng, now), "probe %d", i);
        cr_expect(not(breaker_probe(&b, &rng, now)), "probe %d is sent once", i);
        cr_expect(not(breaker_lets(&b, now)));
        base = base * 1.5 < (double)BREAKER_PROBE_MAX ? base * 1.5 : (double)BREAKER_PROBE_MAX;
        first = i == 0 ? wait : first;
    }
    cr_expect(eq(u32, b.tries, 20));
    setup();
    rng_init(&rng, 8);
    opened();
    cr_expect(ne(i64, b.probe_at - START, first), "another node's jitter is the same");
}

/* A peer that is back but cold, or overloaded, must not get the whole flood in one moment. */
Test(breaker, it_half_opens_with_one_then_a_tenth_then_all)
{
    opened();
    breaker_half(&b, START + 100 * MSEC);
    cr_expect(eq(int, b.state, BREAKER_HALF));
    cr_expect(eq(u32, let_in(100, START + 100 * MSEC), 1), "before anything was answered");
    cr_expect(zero(u32, let_in(100, START + 200 * MSEC)));
    breaker_good(&b, START + 200 * MSEC);
    cr_expect(eq(u32, let_in(100, START + 200 * MSEC), 10));
    breaker_good(&b, START + 300 * MSEC);
    cr_expect(eq(u32, let_in(100, START + 1099 * MSEC), 10));
    cr_expect(eq(int, b.state, BREAKER_HALF));
    cr_expect(eq(u32, let_in(100, START + 1100 * MSEC), 100));
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
    cr_expect(eq(i64, b.since, START + 1100 * MSEC));
    cr_expect(zero(u32, b.tries));
}

/* Answers close it as well, if they come late enough: there may be no further request. */
Test(breaker, an_answer_after_the_ramp_closes)
{
    opened();
    breaker_half(&b, START);
    cr_assert(breaker_lets(&b, START));
    breaker_good(&b, START);
    breaker_good(&b, START + BREAKER_RAMP - 1);
    cr_expect(eq(int, b.state, BREAKER_HALF));
    breaker_good(&b, START + BREAKER_RAMP);
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
}

/* A peer that was back long before anybody asked for its keys costs one request, not a second. */
Test(breaker, one_that_was_half_open_for_long_closes_with_the_first_answer)
{
    opened();
    breaker_half(&b, START);
    cr_expect(eq(u32, let_in(100, START + 60 * USEC_PER_SEC), 1));
    cr_expect(zero(u32, let_in(100, START + 60 * USEC_PER_SEC)), "before it has answered");
    breaker_good(&b, START + 60 * USEC_PER_SEC);
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
    cr_expect(eq(u32, let_in(100, START + 60 * USEC_PER_SEC), 100));
}

/* A lone request whose fate is never told (its client left) must not shut the peer out for ever. */
Test(breaker, a_first_request_that_is_lost_is_followed_by_another)
{
    opened();
    breaker_half(&b, START);
    cr_assert(eq(u32, let_in(100, START), 1));
    cr_expect(zero(u32, let_in(100, START + BREAKER_RAMP - 1)));
    cr_expect(eq(u32, let_in(100, START + BREAKER_RAMP), 1));
    cr_expect(zero(u32, let_in(100, START + 2 * BREAKER_RAMP - 1)));
}

/* One that flaps is tried less and less often: its backoff goes on where it was. */
Test(breaker, a_half_open_one_that_fails_opens_and_waits_longer)
{
    usec_t now = START;

    opened();
    for (int i = 0; i < 5; i++) {
        now = b.probe_at;
        cr_assert(breaker_probe(&b, &rng, now));
        breaker_half(&b, now);
        cr_assert(breaker_lets(&b, now));
        cr_assert(bad_soft(now), "one time-out is enough");
        cr_assert(eq(int, b.state, BREAKER_OPEN));
    }
    cr_expect(ge(i64, b.probe_at - now, 759 * MSEC)); /* 100 ms times 1.5 to the fifth */
    now = b.probe_at;
    cr_assert(breaker_probe(&b, &rng, now));
    breaker_half(&b, now);
    cr_assert(breaker_lets(&b, now));
    breaker_good(&b, now);
    cr_assert(eq(u32, let_in(10, now), 1));
    cr_expect(bad_soft(now), "also among the tenth");
    cr_expect(eq(u32, b.tries, 6));
}

/* Fail-open: a half open one goes on being asked, but gently. */
Test(breaker, a_half_open_one_that_may_not_open_begins_again)
{
    opened();
    breaker_half(&b, START);
    cr_assert(breaker_lets(&b, START));
    cr_expect(not(breaker_bad(&b, true, false, &rng, START + 1)));
    cr_expect(eq(int, b.state, BREAKER_HALF));
    cr_expect(eq(u32, let_in(100, START + 1), 1));
}

/* Late answers of a slow peer, and news about one that works, change nothing. */
Test(breaker, what_comes_in_another_state_is_ignored)
{
    breaker_half(&b, START);
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
    opened();
    breaker_good(&b, START + 1);
    cr_expect(eq(int, b.state, BREAKER_OPEN));
    breaker_half(&b, START + 2);
    cr_assert(breaker_lets(&b, START + 2));
    breaker_half(&b, START + 3);
    cr_expect(eq(i64, b.since, START + 2));
    cr_expect(not(breaker_lets(&b, START + 3)), "the one is let in once");
    cr_expect(not(breaker_probe(&b, &rng, START + 3600 * USEC_PER_SEC)));
}

/* An administrator sets the clock back by a day: the peer is probed now, not tomorrow. */
Test(breaker, a_clock_that_is_set_back_does_not_keep_it_open)
{
    usec_t past = START - 900 * USEC_PER_SEC;

    opened();
    cr_expect(breaker_probe(&b, &rng, past));
    cr_expect(le(i64, b.probe_at - past, 2 * BREAKER_PROBE_MAX));
    breaker_half(&b, START);
    cr_assert(breaker_lets(&b, START));
    cr_expect(breaker_lets(&b, past), "the ramp does not hold it either");
    breaker_good(&b, past);
    cr_expect(breaker_lets(&b, past - USEC_PER_SEC));
    cr_expect(eq(int, b.state, BREAKER_CLOSED));
    cr_expect(breaker_lets(&b, past - 2 * USEC_PER_SEC));
}
