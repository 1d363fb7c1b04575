/*
 * The short conversations of the cluster port: two sides on the loopback in one loop, and strangers
 * who say anything.
 */
#include "daemon/talks.h"
#include "daemon/place.h"
#include "net/listener.h"
#include "proto/gossip.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LABEL    0x1234
#define STATE    (3u << 20) /* bytes of a whole state that does not fit any buffer */
#define DEADLINE (10 * USEC_PER_SEC)

/* One of the two sides, and what it saw. */
struct side {
    struct talks        talks;
    struct cluster_addr addr;
    struct listener     listener;
    size_t              state_len;
    char                letter; /* its state is made of */
    int                 data_fd;
    struct peer_hello   data_hello;
    unsigned            synced, odd, ended;
    bool                synced_calls, state_calls;
    unsigned            again; /* what came makes it call so often */
    size_t              synced_len;
    char                synced_letter;
    enum peer_verdict   odd_verdict;
    struct talks_result result;
};

static struct loop loop;
static struct side a, b;
static struct ev_timer pulse;

/* -- what it asks for -------------------------------------------------------------------------- */

static void
on_data(void *arg, int fd, const struct cluster_addr *from, const struct peer_hello *h)
{
    struct side *s = arg;

    cr_assert(place_is_loopback(from));
    s->data_fd = fd;
    s->data_hello = *h;
}

static void
on_synced(void *arg, bool calls, const struct cluster_addr *from, struct slice bytes)
{
    struct side *s = arg;

    cr_assert(place_is_loopback(from));
    s->synced++;
    s->synced_calls = calls;
    s->synced_len = bytes.len;
    s->synced_letter = bytes.ptr[0];
    for (size_t i = 0; i < bytes.len; i++) {
        cr_assert(eq(chr, bytes.ptr[i], bytes.ptr[0]));
    }
    if (s->again > 0) {
        s->again--;
        talks_call(&s->talks, PEER_SYNC, from, 0);
    }
}

static bool
on_state(void *arg, bool calls, const struct cluster_addr *to, struct buf *out)
{
    struct side *s = arg;

    cr_assert(place_is_loopback(to));
    s->state_calls = calls;
    if (!buf_reserve(out, s->state_len)) {
        return false;
    }
    memset(out->ptr + out->len, s->letter, s->state_len);
    out->len += s->state_len;
    return true;
}

static void
on_odd(void *arg, const struct cluster_addr *from, const struct peer_hello *h,
       enum peer_verdict verdict)
{
    struct side *s = arg;

    (void)from;
    s->odd++;
    s->odd_verdict = h != NULL ? verdict : PEER_WELCOME;
}

static void
on_ended(void *arg, const struct talks_result *r)
{
    struct side *s = arg;

    s->ended++;
    s->result = *r;
}

static const struct talks_ops ops = {
    .data = on_data, .synced = on_synced, .state = on_state, .odd = on_odd, .ended = on_ended,
};

static void
on_accepted(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct side *s = arg;
    struct cluster_addr from;

    (void)l;
    cr_assert(place_addr_of((const struct sockaddr *)peer, &from));
    talks_accept(&s->talks, fd, &from);
}

static void
on_starved(void *arg, struct listener *l, int error)
{
    (void)arg;
    (void)l;
    cr_assert(zero(int, error));
}

static const struct listener_ops listener_ops = { .accepted = on_accepted, .starved = on_starved };

/* -- a world ----------------------------------------------------------------------------------- */

static void
on_pulse(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)w;
    (void)events;
}

static void
side_open(struct side *s, node_id id, char letter)
{
    struct sockaddr_storage sa;
    struct err_detail d = { "" };

    *s = (struct side){ .letter = letter, .state_len = 100, .data_fd = -1 };
    cr_assert(place_parse_ip("127.0.0.1", &s->addr));
    socklen_t len = place_sockaddr(&s->addr, &sa);

    cr_assert(eq(int, listener_open_tcp(&s->listener, (struct sockaddr *)&sa, len, 64, &d),
                 ERR_OK));
    cr_assert(place_addr_of((struct sockaddr *)&s->listener.local, &s->addr));
    cr_assert(eq(int, talks_open(&s->talks, &loop, &ops, s), ERR_OK));
    s->talks.self = (struct peer_hello){ .version_min = 1, .version_max = 1, .label = LABEL,
                                         .from = id, .nonce = 1000 + id };
    s->talks.patience = 5 * USEC_PER_SEC;
    listener_start(&s->listener, &loop, &listener_ops, s);
}

static void
setup(void)
{
    cr_assert(eq(int, loop_init(&loop), ERR_OK));
    ev_timer_init(&pulse, on_pulse, 0.01, 0.01);
    ev_timer_start(loop.ev, &pulse);
    side_open(&a, 1, 'a');
    side_open(&b, 2, 'b');
}

static void
side_close(struct side *s)
{
    talks_close(&s->talks);
    listener_close(&s->listener);
    if (s->data_fd >= 0) {
        close(s->data_fd);
    }
    cr_expect(zero(uint, s->talks.in));
    cr_expect(zero(uint, s->talks.out));
}

static void
teardown(void)
{
    side_close(&a);
    side_close(&b);
    ev_timer_stop(loop.ev, &pulse);
    loop_fini(&loop);
}

TestSuite(talks, .init = setup, .fini = teardown, .timeout = 60);

/* Turns the loop until *what is count, and both sides have come to rest. */
static void
until(const unsigned *what, unsigned count)
{
    usec_t end = clock_now() + DEADLINE;

    while ((*what < count || a.talks.in + a.talks.out + b.talks.in + b.talks.out > 0) &&
           clock_now() < end) {
        ev_run(loop.ev, EVRUN_ONCE);
    }
    cr_expect(eq(uint, *what, count));
}

/* -- between nodes ----------------------------------------------------------------------------- */

Test(talks, a_probe_is_answered)
{
    talks_call(&a.talks, PEER_PROBE, &b.addr, 2);
    until(&a.ended, 1);
    cr_expect(eq(int, a.result.end, TALKS_DONE));
    cr_expect(eq(int, a.result.purpose, PEER_PROBE));
    cr_expect(eq(u64, a.result.id, 2));
    cr_expect(zero(uint, b.odd));
}

/* Another node at that address is not the one that was asked for: that one may well be dead. */
Test(talks, a_probe_is_for_one)
{
    talks_call(&a.talks, PEER_PROBE, &b.addr, 3);
    until(&a.ended, 1);
    cr_expect(eq(int, a.result.end, TALKS_STRANGER));
}

Test(talks, states_are_exchanged)
{
    static const size_t size[] = { 1, 100, 65536, STATE };

    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        a.state_len = size[i];
        b.state_len = size[3 - i];
        talks_call(&a.talks, PEER_SYNC, &b.addr, 0);
        until(&a.ended, (unsigned)i + 1);
        cr_expect(eq(int, a.result.end, TALKS_DONE));
        cr_expect(eq(uint, a.synced, (unsigned)i + 1));
        cr_expect(eq(uint, b.synced, (unsigned)i + 1));
        cr_expect(eq(sz, a.synced_len, b.state_len));
        cr_expect(eq(sz, b.synced_len, a.state_len));
        cr_expect(eq(chr, a.synced_letter, 'b'));
        cr_expect(eq(chr, b.synced_letter, 'a'));
        cr_expect(a.synced_calls && a.state_calls);
        cr_expect(zero(int, b.synced_calls || b.state_calls));
    }
}

/* An answer may lead to a call to the same place at once. */
Test(talks, again_at_once)
{
    a.again = 2;
    talks_call(&a.talks, PEER_SYNC, &b.addr, 0);
    until(&a.ended, 3);
    cr_expect(eq(int, a.result.end, TALKS_DONE));
    cr_expect(eq(uint, a.synced, 3));
    cr_expect(eq(uint, b.synced, 3));
}

/* One of a kind to one place: who is slow is not asked ever more. */
Test(talks, not_twice_at_once)
{
    for (int i = 0; i < 10; i++) {
        talks_call(&a.talks, PEER_SYNC, &b.addr, 0);
    }
    cr_expect(eq(uint, a.talks.out, 1));
    until(&a.ended, 1);
    cr_expect(eq(uint, b.synced, 1));
}

Test(talks, refusals)
{
    static const struct { uint16_t label; uint8_t version; node_id id; enum peer_verdict want; }
    row[] = {
        { LABEL + 1, 1, 2, PEER_LABEL },
        { LABEL, 9, 2, PEER_VERSION },
        { LABEL, 1, 1, PEER_SELF },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        b.talks.self.label = row[i].label;
        b.talks.self.version_min = b.talks.self.version_max = row[i].version;
        b.talks.self.from = row[i].id;
        talks_call(&a.talks, PEER_SYNC, &b.addr, 0);
        until(&a.ended, (unsigned)i + 1);
        cr_expect(eq(int, a.result.end, TALKS_REFUSED), "row %zu", i);
        cr_expect(eq(int, a.result.hello.verdict, row[i].want), "row %zu", i);
        cr_expect(eq(int, b.odd_verdict, row[i].want), "row %zu", i);
    }
    cr_expect(zero(uint, a.synced));
    cr_expect(zero(uint, b.synced));
}

Test(talks, nobody_there)
{
    listener_close(&b.listener);
    talks_call(&a.talks, PEER_SYNC, &b.addr, 0);
    until(&a.ended, 1);
    cr_expect(eq(int, a.result.end, TALKS_FAILED));
    cr_expect(eq(int, a.result.error, ECONNREFUSED));
}

/* Whoever takes the connection and says nothing must not hold it for ever. */
Test(talks, silence_ends)
{
    listener_pause(&b.listener); /* the kernel accepts all the same */
    a.talks.patience = 50 * USEC_PER_MSEC;
    talks_call(&a.talks, PEER_PROBE, &b.addr, 2);
    until(&a.ended, 1);
    cr_expect(eq(int, a.result.end, TALKS_STRANGER));
}

/* -- what others say --------------------------------------------------------------------------- */

/* A connected, blocking socket of somebody. */
static int
visit(const struct side *s)
{
    struct sockaddr_storage sa;
    socklen_t len = place_sockaddr(&s->addr, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(ge(int, fd, 0));
    cr_assert(zero(int, connect(fd, (struct sockaddr *)&sa, len)));
    return fd;
}

static void
say(int fd, const void *bytes, size_t n)
{
    cr_assert(eq(int, (int)send(fd, bytes, n, MSG_NOSIGNAL), (int)n));
}

static void
turns(int count)
{
    for (int i = 0; i < count; i++) {
        ev_run(loop.ev, EVRUN_ONCE);
    }
}

static void
hello_of(node_id from, enum peer_purpose purpose, char out[PEER_HELLO])
{
    struct peer_hello h = { .purpose = purpose, .version_min = 1, .version_max = 3,
                            .label = LABEL, .worker = 7, .from = from, .nonce = 5 };

    peer_write_hello(&h, out);
}

/* What stands behind the greeting of a data link belongs to the worker that gets it. */
Test(talks, a_data_link_is_handed_on)
{
    char hello[PEER_HELLO], got[PEER_HELLO + 1];
    int fd = visit(&a);
    struct peer_hello h;

    hello_of(9, PEER_DATA, hello);
    for (size_t i = 0; i < PEER_HELLO; i++) { /* TCP may cut anywhere */
        say(fd, hello + i, 1);
        if (i % 16 == 0) {
            turns(2);
        }
    }
    say(fd, "frames", 6);
    for (int i = 0; i < 500 && a.data_fd < 0; i++) {
        turns(1);
    }
    cr_assert(ge(int, a.data_fd, 0));
    cr_expect(eq(u16, a.data_hello.worker, 7));
    cr_expect(eq(u64, a.data_hello.from, 9));
    cr_expect(eq(int, (int)recv(a.data_fd, got, sizeof got, 0), 6));
    cr_expect(zero(int, memcmp(got, "frames", 6)));
    cr_assert(eq(int, (int)recv(fd, got, sizeof got, 0), PEER_HELLO));
    cr_assert(peer_read_hello(got, &h));
    cr_expect(eq(int, h.verdict, PEER_WELCOME));
    cr_expect(eq(int, h.purpose, PEER_DATA));
    cr_expect(eq(u64, h.from, 1));
    cr_expect(eq(u64, h.nonce, 1001));
    close(fd);
}

/* A client's command, a length that nobody has memory for, half a greeting: closed, counted. */
Test(talks, strangers)
{
    char hello[PEER_HELLO + 4];
    int fd;

    fd = visit(&a);
    memset(hello, 'x', sizeof hello);
    say(fd, hello, sizeof hello);
    until(&a.odd, 1);
    close(fd);

    fd = visit(&a);
    hello_of(9, PEER_SYNC, hello);
    memset(hello + PEER_HELLO, 0xff, 4);
    say(fd, hello, sizeof hello);
    until(&a.odd, 2);
    close(fd);

    fd = visit(&a);
    memset(hello + PEER_HELLO, 0, 4);
    say(fd, hello, sizeof hello);
    until(&a.odd, 3);
    close(fd);

    fd = visit(&a);
    say(fd, hello, 10);
    close(fd);
    turns(20);
    cr_expect(zero(uint, a.talks.in));
    cr_expect(zero(uint, a.synced));
    cr_expect(eq(int, a.data_fd, -1));
}

/* Who only connects takes one of a few places, and only for a while. */
Test(talks, a_crowd_waits_in_vain)
{
    int fd[TALKS_MAX + 20];

    a.talks.patience = 300 * USEC_PER_MSEC;
    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++) {
        fd[i] = visit(&a);
        if (i % 32 == 31) {
            turns(3);
        }
    }
    turns(5);
    cr_expect(eq(uint, a.talks.in, TALKS_MAX));
    usec_t end = clock_now() + DEADLINE;

    while (a.talks.in > 0 && clock_now() < end) {
        turns(1);
    }
    cr_expect(zero(uint, a.talks.in));
    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++) {
        close(fd[i]);
    }
    talks_call(&b.talks, PEER_PROBE, &a.addr, 1);
    until(&b.ended, 1);
    cr_expect(eq(int, b.result.end, TALKS_DONE));
}

/* A crowd of strangers, each with most of a large state, does not take the memory. */
Test(talks, a_crowd_brings_much)
{
    enum { CROWD = 12 };
    static char part[6u << 20];
    char hello[PEER_HELLO + 4] = "";
    int fd[CROWD];
    size_t most = 0, sent[CROWD] = { 0 };

    hello_of(9, PEER_SYNC, hello);
    memcpy(hello + PEER_HELLO, "\0\0\x70", 4); /* 7 MB */
    for (int i = 0; i < CROWD; i++) {
        fd[i] = visit(&a);
        say(fd[i], hello, sizeof hello);
    }
    usec_t end = clock_now() + DEADLINE;

    for (bool more = true; more && clock_now() < end;) {
        more = false;
        for (int i = 0; i < CROWD; i++) {
            ssize_t n = send(fd[i], part, sizeof part - sent[i], MSG_NOSIGNAL | MSG_DONTWAIT);

            sent[i] = n >= 0 ? sent[i] + (size_t)n : errno == EAGAIN ? sent[i] : sizeof part;
            more |= sent[i] < sizeof part;
        }
        turns(1);
        most = a.talks.held > most ? a.talks.held : most;
    }
    cr_expect(gt(sz, most, 16u << 20));
    cr_expect(le(sz, most, TALKS_BYTES_MAX));
    cr_expect(gt(uint, a.talks.in, 0));
    cr_expect(lt(uint, a.talks.in, CROWD));
    for (int i = 0; i < CROWD; i++) {
        close(fd[i]);
    }
    while (a.talks.in > 0 && clock_now() < end) {
        turns(1);
    }
    cr_expect(zero(sz, a.talks.held));
    talks_call(&b.talks, PEER_SYNC, &a.addr, 1);
    until(&b.ended, 1);
    cr_expect(eq(int, b.result.end, TALKS_DONE));
    cr_expect(zero(sz, b.talks.held));
}
