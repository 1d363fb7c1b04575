/* UDP sockets on the loopback. */
#include "net/datagram.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define SEATS 4

/* An owner that answers each request with so many copies of itself. */
static struct echo {
    struct datagram datagram;
    char            in[2048], head[8];
    size_t          len;
    unsigned        owed, requests, lost, turns;
    bool            put_off; /* the answer comes with resume() */
    bool            awaits;  /* ... or when the test says so */
    unsigned        asked;   /* whether it awaits */
} echo[SEATS];
static struct loop loop;
static unsigned    copies = 1;
static bool        lazy, waits;

static int
echo_rx_space(void *arg, struct iovec iov[DATAGRAM_SPANS])
{
    struct echo *e = arg;

    cr_assert(eq(u32, e->owed, 0));
    cr_assert(not(e->awaits));
    iov[0] = (struct iovec){ e->head, sizeof e->head };
    iov[1] = (struct iovec){ e->in, sizeof e->in };
    return 2;
}

static void
echo_rx(void *arg, size_t n, usec_t now)
{
    struct echo *e = arg;

    (void)now;
    e->requests++;
    e->len = n;
    e->put_off = lazy;
    e->awaits = waits;
    e->owed = lazy || waits ? 0 : copies;
}

static int
echo_tx(void *arg, struct iovec iov[DATAGRAM_SPANS])
{
    struct echo *e = arg;

    if (e->owed == 0) {
        return 0;
    }
    iov[0] = (struct iovec){ e->head, e->len < 8 ? e->len : 8 };
    iov[1] = (struct iovec){ e->in, e->len < 8 ? 0 : e->len - 8 };
    return 2;
}

static void
echo_tx_done(void *arg, bool sent)
{
    struct echo *e = arg;

    e->owed--;
    e->lost += !sent;
}

static bool
echo_has_work(void *arg)
{
    return ((struct echo *)arg)->put_off;
}

static void
echo_resume(void *arg, usec_t now)
{
    struct echo *e = arg;

    (void)now;
    e->put_off = false;
    e->owed = copies;
}

static bool
echo_awaits(void *arg)
{
    struct echo *e = arg;

    e->asked++;
    return e->awaits;
}

static void
echo_park(void *arg)
{
    ((struct echo *)arg)->turns++;
    loop_stop(&loop);
}

static const struct datagram_ops ops = {
    .rx_space = echo_rx_space,
    .rx = echo_rx,
    .tx = echo_tx,
    .tx_done = echo_tx_done,
    .has_work = echo_has_work,
    .resume = echo_resume,
    .awaits = echo_awaits,
    .park = echo_park,
};

static void
setup(void)
{
    cr_assert(eq(int, loop_init(&loop), ERR_OK));
}

static void
teardown(void)
{
    for (int i = 0; i < SEATS; i++) {
        datagram_stop(&echo[i].datagram);
    }
    loop_fini(&loop);
}

TestSuite(datagram, .init = setup, .fini = teardown);

static const struct sockaddr_in v4 = {
    .sin_family = AF_INET,
    .sin_addr.s_addr = 0x0100007f, /* 127.0.0.1 as it lies in memory, little-endian */
};

/* Opens count sockets at one free place and starts them; a client connected to it. */
static int
open_all(int count, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_storage place = { 0 };
    socklen_t size = sizeof place;
    int client = socket(sa->sa_family, SOCK_DGRAM, 0), fd[SEATS];

    cr_assert(eq(int, datagram_open(sa, len, &fd[0], NULL), ERR_OK));
    for (int i = 1; i < count; i++) {
        cr_assert(eq(int, datagram_open_beside(fd[0], &fd[i], NULL), ERR_OK));
    }
    cr_assert(eq(int, getsockname(fd[0], (struct sockaddr *)&place, &size), 0));
    for (int i = 0; i < count; i++) {
        datagram_start(&echo[i].datagram, &loop, fd[i], &ops, &echo[i]);
    }
    cr_assert(eq(int, connect(client, (struct sockaddr *)&place, size), 0));
    return client;
}

static void
turn(void)
{
    atomic_store(&loop.stop, false);
    loop_run(&loop);
}

/* The answer goes to whoever asked, for both families. */
Test(datagram, a_request_is_answered_to_its_sender)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4), other;
    struct sockaddr_storage place;
    socklen_t len = sizeof place;
    char in[64];

    other = socket(AF_INET, SOCK_DGRAM, 0);
    getpeername(client, (struct sockaddr *)&place, &len);
    cr_assert(eq(int, connect(other, (struct sockaddr *)&place, len), 0));
    cr_assert(eq(int, (int)send(client, "12345678client", 14, 0), 14));
    cr_assert(eq(int, (int)send(other, "other", 5, 0), 5));
    turn();
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 14));
    cr_expect(eq(int, memcmp(in, "12345678client", 14), 0));
    cr_expect(eq(int, (int)recv(other, in, sizeof in, MSG_DONTWAIT), 5));
    close(client);
    close(other);
}

/* IPv6 has a socket of its own, so that both can be bound at every address. */
Test(datagram, both_families_may_have_the_same_port)
{
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
    struct sockaddr_in any = { .sin_family = AF_INET };
    socklen_t len = sizeof any;
    int fd4, fd6;

    cr_assert(eq(int, datagram_open((struct sockaddr *)&any, sizeof any, &fd4, NULL), ERR_OK));
    getsockname(fd4, (struct sockaddr *)&any, &len);
    v6.sin6_port = any.sin_port;
    if (datagram_open((struct sockaddr *)&v6, sizeof v6, &fd6, NULL) == ERR_OK) {
        close(fd6);
    } else {
        cr_log_warn("no IPv6 here");
    }
    close(fd4);
}

/* Workers share a port; another server, which would take half of the requests, may not. */
Test(datagram, a_place_is_shared_with_nobody_else)
{
    struct sockaddr_in place = v4;
    socklen_t len = sizeof place;
    int fd[2], other;

    cr_assert(eq(int, datagram_open((const struct sockaddr *)&v4, sizeof v4, &fd[0], NULL),
                 ERR_OK));
    cr_assert(eq(int, datagram_open_beside(fd[0], &fd[1], NULL), ERR_OK));
    getsockname(fd[1], (struct sockaddr *)&place, &len);
    cr_expect(eq(int, datagram_open((struct sockaddr *)&place, sizeof place, &other, NULL),
                 ERR_INUSE));
    close(fd[0]);
    close(fd[1]);
}

/* Each worker gets some of the senders, and a sender always the same one. */
Test(datagram, senders_are_dealt_out)
{
    struct sockaddr_storage place;
    socklen_t len = sizeof place;
    int first = open_all(SEATS, (const struct sockaddr *)&v4, sizeof v4), client[64];
    unsigned busy = 0, requests = 0;

    getpeername(first, (struct sockaddr *)&place, &len);
    for (int i = 0; i < 64; i++) {
        client[i] = socket(AF_INET, SOCK_DGRAM, 0);
        cr_assert(eq(int, connect(client[i], (struct sockaddr *)&place, len), 0));
        cr_assert(eq(int, (int)send(client[i], "x", 1, 0), 1));
    }
    for (int i = 0; i < 1000 && requests < 64; i++) {
        turn();
        requests = 0;
        for (int j = 0; j < SEATS; j++) {
            requests += echo[j].requests;
        }
    }
    for (int j = 0; j < SEATS; j++) {
        busy += echo[j].requests > 0;
    }
    cr_expect(eq(u32, requests, 64));
    /* 64 senders at random miss one of four once in 25 million times. */
    cr_expect(eq(u32, busy, SEATS));
    for (int i = 0; i < 64; i++) {
        close(client[i]);
    }
    close(first);
}

/* A huge answer is sent in many turns, and other requests wait for its end. */
Test(datagram, a_turn_sends_a_bounded_number)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);
    unsigned turns;

    copies = 10000;
    cr_assert(eq(int, (int)send(client, "a", 1, 0), 1));
    cr_assert(eq(int, (int)send(client, "b", 1, 0), 1));
    turn();
    cr_expect(eq(u32, echo[0].requests, 1));
    cr_expect(gt(u32, echo[0].owed, 9000));
    for (turns = 1; echo[0].owed > 0 || echo[0].requests < 2; turns++) {
        cr_assert(lt(u32, turns, 1000));
        turn();
    }
    cr_expect(gt(u32, turns, 20));
    close(client);
}

/* Nor does a flood of requests keep the loop. */
Test(datagram, a_turn_receives_a_bounded_number)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);

    copies = 0;
    for (int i = 0; i < 100; i++) {
        cr_assert(eq(int, (int)send(client, "a", 1, 0), 1));
    }
    turn();
    cr_expect(lt(u32, echo[0].requests, 100));
    for (int i = 0; i < 100 && echo[0].requests < 100; i++) {
        turn();
    }
    cr_expect(eq(u32, echo[0].requests, 100));
    close(client);
}

/* A request may take several turns of its own. */
Test(datagram, what_was_put_off_is_resumed)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);
    char in[8];

    lazy = true;
    cr_assert(eq(int, (int)send(client, "a", 1, 0), 1));
    turn();
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 1));
    close(client);
}

/* The answer that the owner awaited is here. */
static void
answer(struct echo *e)
{
    e->awaits = false;
    e->owed = copies;
    datagram_push(&e->datagram);
}

static void
on_time(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)w;
    (void)events;
    loop_stop(&loop);
}

/* Runs the loop for so long at most: a turn of a socket ends it. */
static void
wait_for(double seconds)
{
    struct ev_timer timer;

    ev_timer_init(&timer, on_time, seconds, 0.);
    ev_timer_start(loop.ev, &timer);
    turn();
    ev_timer_stop(loop.ev, &timer);
}

/* Others' requests stay in the socket, and their answers go to them. */
Test(datagram, nothing_is_received_while_an_answer_is_awaited)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4), other;
    struct sockaddr_storage place;
    socklen_t len = sizeof place;
    char in[8];

    other = socket(AF_INET, SOCK_DGRAM, 0);
    getpeername(client, (struct sockaddr *)&place, &len);
    cr_assert(eq(int, connect(other, (struct sockaddr *)&place, len), 0));
    waits = true;
    cr_assert(eq(int, (int)send(client, "abc", 3, 0), 3));
    turn();
    cr_expect(eq(u32, echo[0].requests, 1));
    cr_assert(eq(int, (int)send(other, "xy", 2, 0), 2));
    cr_assert(eq(int, (int)send(client, "d", 1, 0), 1));
    wait_for(0.05);
    cr_expect(eq(u32, echo[0].requests, 1));
    /* Nor does what lies there keep the loop busy. */
    cr_expect(lt(u32, echo[0].asked, 5));
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), -1));

    answer(&echo[0]); /* reads the next one, which has to wait as well */
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 3));
    cr_expect(eq(u32, echo[0].requests, 2));
    wait_for(0.02);
    cr_expect(eq(u32, echo[0].requests, 2));
    waits = false;
    answer(&echo[0]);
    cr_expect(eq(int, (int)recv(other, in, sizeof in, MSG_DONTWAIT), 2));
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 1));

    /* It is as before. */
    cr_assert(eq(int, (int)send(client, "e", 1, 0), 1));
    wait_for(1.);
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 1));
    close(client);
    close(other);
}

/* Some of it is here, not all: it is parked, and still nothing is received. */
Test(datagram, a_part_of_an_answer_changes_nothing)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);
    unsigned turns;

    waits = true;
    cr_assert(eq(int, (int)send(client, "a", 1, 0), 1));
    turn();
    cr_assert(eq(int, (int)send(client, "b", 1, 0), 1));
    turns = echo[0].turns;
    datagram_push(&echo[0].datagram);
    datagram_push(&echo[0].datagram);
    cr_expect(eq(u32, echo[0].turns, turns + 2));
    cr_expect(eq(u32, echo[0].requests, 1));
    close(client); /* it stops while it waits */
}

/* A request that did not fit is no request. */
Test(datagram, what_is_cut_is_dropped)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);
    static char large[4000];

    cr_assert(eq(int, (int)send(client, large, sizeof large, 0), (int)sizeof large));
    turn();
    cr_expect(eq(u32, echo[0].requests, 0));
    close(client);
}

/* An answer that cannot be sent is lost, and the next request is served. */
Test(datagram, a_lost_answer_stops_nothing)
{
    int client = open_all(1, (const struct sockaddr *)&v4, sizeof v4);
    static char large[2056];
    char in[8];

    cr_assert(eq(int, (int)send(client, large, sizeof large, 0), (int)sizeof large));
    turn();
    cr_expect(eq(u32, echo[0].lost, 0));
    echo[0].datagram.peer.ss_family = AF_UNIX; /* nobody can be answered there */
    echo[0].owed = 3;
    cr_assert(eq(int, (int)send(client, "x", 1, 0), 1));
    turn();
    cr_expect(eq(u32, echo[0].lost, 3));
    cr_expect(eq(u32, echo[0].requests, 2));
    (void)recv(client, large, sizeof large, MSG_DONTWAIT);
    cr_expect(eq(int, (int)recv(client, in, sizeof in, MSG_DONTWAIT), 1));
    close(client);
}
