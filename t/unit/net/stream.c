/* One connected socket under an echo: what is read is sent back, as a session would. */
#include "net/stream.h"
#include "net/loop.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 4096

/* Answers each byte with itself; "Q" is the last it wants to hear. */
struct echo {
    struct stream stream;
    struct loop *loop;
    char in[ROOM];
    size_t in_len; /* read, not answered yet */
    size_t step;   /* bytes answered in one go; 0: all */
    char *out;
    size_t out_len, out_sent;
    size_t repeat; /* how often each byte comes back */
    size_t owes;   /* takes input while it owes less than this */
    size_t window; /* waits for answers from elsewhere, to so many bytes; 0: it has them itself */
    bool ended, over, no_memory;
    bool is_closed;
    enum stream_end why;
    int reads, resumes, sends, parks, looks, ends;
};

static struct iovec
echo_rx_space(void *arg)
{
    struct echo *e = arg;

    if (e->window > 0) {
        return (struct iovec){ e->in + e->in_len, e->window - e->in_len };
    }
    if (e->in_len > 0) {
        return (struct iovec){ 0 };
    }
    return (struct iovec){ .iov_base = e->in, .iov_len = sizeof e->in };
}

static bool
echo_wants_more(void *arg)
{
    const struct echo *e = arg;

    return e->in_len == 0 && e->out_len - e->out_sent < e->owes;
}

static void
echo_answer(struct echo *e)
{
    size_t n = e->step != 0 && e->step < e->in_len ? e->step : e->in_len;

    e->out = realloc(e->out, e->out_len + n * e->repeat + 1);
    for (size_t i = 0; i < n; i++) {
        memset(e->out + e->out_len, e->in[i], e->repeat);
        e->out_len += e->repeat;
        e->over = e->over || e->in[i] == 'Q';
    }
    memmove(e->in, e->in + n, e->in_len - n);
    e->in_len -= n;
}

static void
echo_rx(void *arg, size_t n, usec_t now)
{
    struct echo *e = arg;

    cr_expect(now > 0);
    e->reads++;
    e->in_len += n;
    if (e->window == 0) {
        echo_answer(e);
    }
}

static void
echo_rx_end(void *arg)
{
    ((struct echo *)arg)->ended = true;
    ((struct echo *)arg)->ends++;
}

/* Several spans, so that more than one goes into a send. */
static int
echo_tx(void *arg, struct iovec *iov, int max)
{
    struct echo *e = arg;
    size_t left = e->out_len - e->out_sent;
    int n = 0;

    e->looks++;
    while (left > 0 && n < max) {
        size_t len = left > 1000 ? 1000 : left;

        iov[n++] = (struct iovec){ e->out + e->out_len - left, len };
        left -= len;
    }
    return n;
}

static void
echo_tx_done(void *arg, size_t n)
{
    struct echo *e = arg;

    e->sends++;
    e->out_sent += n;
    cr_assert(e->out_sent <= e->out_len);
}

static bool
echo_has_work(void *arg)
{
    const struct echo *e = arg;

    return e->window == 0 && e->in_len > 0;
}

static void
echo_resume(void *arg, usec_t now)
{
    struct echo *e = arg;

    cr_expect(now > 0);
    e->resumes++;
    echo_answer(e);
}

static bool
echo_park(void *arg)
{
    struct echo *e = arg;

    e->parks++;
    return !e->no_memory;
}

static bool
echo_is_over(void *arg)
{
    struct echo *e = arg;

    return e->out_sent == e->out_len && (e->over || (e->ended && e->in_len == 0));
}

static void
echo_closed(void *arg, enum stream_end why)
{
    struct echo *e = arg;

    e->is_closed = true;
    e->why = why;
    loop_stop(e->loop);
}

static const struct stream_ops echo_ops = {
    echo_rx_space, echo_wants_more, echo_rx,   echo_rx_end,  echo_tx,     echo_tx_done,
    echo_has_work, echo_resume,     echo_park, echo_is_over, echo_closed,
};

static struct loop loop;
static struct echo echo;
static int peer;

static void
setup(void)
{
    int fd[2];

    cr_assert(eq(int, loop_init(&loop), ERR_OK));
    cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd)));
    peer = fd[1];
    echo = (struct echo){ .loop = &loop, .repeat = 1 };
    stream_start(&echo.stream, &loop, fd[0], &echo_ops, &echo);
}

static void
teardown(void)
{
    if (!echo.is_closed) {
        stream_kill(&echo.stream);
    }
    free(echo.out);
    close(peer);
    loop_fini(&loop);
}

TestSuite(stream, .init = setup, .fini = teardown, .timeout = 20);

/* Runs turns until nothing is ready any more. */
static void
settle(void)
{
    int turns = 0;

    for (int quiet = 0; quiet < 3 && !echo.is_closed; quiet++) {
        int before = echo.reads + echo.resumes + echo.sends;

        cr_assert(lt(int, turns++, 100000), "it is never quiet");
        loop_wake(&loop); /* so that a turn without events does not wait */
        ev_run(loop.ev, EVRUN_NOWAIT);
        while (loop.jobs.next != &loop.jobs && !echo.is_closed) {
            struct loop_job *job = loop.jobs.next;

            loop_cancel(job);
            job->run(job);
        }
        if (before != echo.reads + echo.resumes + echo.sends) {
            quiet = 0;
        }
    }
}

/* Reads what there is, at most max bytes; returns how many. */
static size_t
peer_read(char *out, size_t max)
{
    ssize_t n = recv(peer, out, max, 0);

    return n < 0 ? 0 : (size_t)n;
}

/* The common case is what a lone request costs: one read, one write. */
Test(stream, one_read_and_one_send_a_turn)
{
    char got[16];

    cr_assert(eq(int, (int)send(peer, "hello", 5, 0), 5));
    settle();
    cr_expect(eq(int, echo.reads, 1));
    cr_expect(eq(int, echo.sends, 1));
    cr_expect(eq(int, echo.parks, 1));
    cr_expect(eq(sz, peer_read(got, sizeof got), 5));
    cr_expect(zero(int, memcmp(got, "hello", 5)));
}

/* A client that does not read its replies must not make us read more of its requests. */
Test(stream, a_full_socket_stops_reading)
{
    static char got[1 << 16];
    size_t sent = 0, total = 0, n;

    echo.repeat = 10000;
    while (send(peer, "x", 1, 0) == 1) {
        sent++;
        settle();
        cr_assert(lt(sz, sent, 100000), "nothing ever stops the client");
    }
    cr_expect(lt(sz, echo.out_sent, echo.out_len), "the socket did not fill up");
    cr_expect(lt(sz, (size_t)echo.reads, sent), "requests were read that cannot be answered");
    do {
        settle();
        n = peer_read(got, sizeof got);
        total += n;
    } while (n > 0);
    settle();
    cr_expect(eq(sz, total, sent * 10000));
    cr_expect(eq(sz, echo.out_sent, echo.out_len));
}

/*
 * A client library may write thousands of requests before it reads the first answer: neither side
 * may wait for the other, up to what the owner is willing to owe.
 */
Test(stream, a_long_pipeline_is_taken_while_its_answers_wait)
{
    static char got[1 << 16];
    size_t sent = 0, total = 0, n;

    echo.repeat = 10000;
    echo.owes = 1 << 20;
    while (echo.out_len - echo.out_sent < echo.owes) {
        cr_assert(eq(int, (int)send(peer, "x", 1, 0), 1), "request %zu has to wait", sent);
        sent++;
        settle();
        cr_assert(eq(sz, (size_t)echo.reads, sent), "request %zu was not taken", sent);
    }
    cr_assert(eq(int, (int)send(peer, "x", 1, 0), 1));
    settle();
    cr_expect(eq(sz, (size_t)echo.reads, sent), "what it owes is bounded");
    sent++;
    do {
        settle();
        n = peer_read(got, sizeof got);
        total += n;
    } while (n > 0);
    settle();
    cr_expect(eq(sz, total, sent * 10000));
}

/* "printf ... | nc": the client closes its half and still wants all answers. */
Test(stream, a_half_closed_peer_gets_its_answers)
{
    char got[64] = "";

    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    shutdown(peer, SHUT_WR);
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    cr_expect(eq(sz, peer_read(got, sizeof got), 3));
    cr_expect(zero(int, memcmp(got, "abc", 3)));
    cr_expect(zero(sz, peer_read(got, sizeof got)));
}

/* The end of input must not spin nor close while bytes wait to be sent. */
Test(stream, a_half_closed_peer_that_reads_late_gets_everything)
{
    static char got[1 << 16];
    size_t total = 0, n;

    echo.repeat = 1000000;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    shutdown(peer, SHUT_WR);
    settle();
    cr_expect(not(echo.is_closed));
    do {
        n = peer_read(got, sizeof got);
        total += n;
        settle();
    } while (n > 0 || !echo.is_closed);
    cr_expect(eq(sz, total, 3000000));
}

/* reqs_per_event: what one turn leaves over is done in the next, without new input. */
Test(stream, work_that_is_put_off_is_resumed)
{
    char got[64];

    echo.step = 2;
    cr_assert(eq(int, (int)send(peer, "abcdefg", 7, 0), 7));
    settle();
    cr_expect(eq(int, echo.reads, 1));
    cr_expect(eq(int, echo.resumes, 3));
    cr_expect(eq(sz, peer_read(got, sizeof got), 7));
    cr_expect(zero(int, memcmp(got, "abcdefg", 7)));
}

/* "quit": the last answer leaves before the connection ends, what follows is not read. */
Test(stream, it_closes_when_all_is_said)
{
    char got[64];

    cr_assert(eq(int, (int)send(peer, "byeQ", 4, 0), 4));
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    cr_expect(eq(sz, peer_read(got, sizeof got), 4));
}

/* A client that vanishes between request and reply raises no SIGPIPE and frees the connection. */
Test(stream, a_peer_that_is_gone_ends_it)
{
    echo.repeat = 1000000;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    cr_expect(not(echo.is_closed));
    close(peer);
    peer = -1;
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_RESET));
}

/* Without memory for what is left over the connection ends, the process does not. */
Test(stream, no_memory_to_park_ends_it)
{
    echo.no_memory = true;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_NOMEM));
}

/* A graceful stop answers what has arrived, with nothing to arrive any more it closes at once. */
Test(stream, draining_answers_what_has_arrived)
{
    char got[16];

    cr_assert(eq(int, (int)send(peer, "last", 4, 0), 4));
    stream_drain(&echo.stream);
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    cr_expect(eq(sz, peer_read(got, sizeof got), 4));
}

/* The descriptor is ours: killing a stream closes it, so that the peer knows. */
Test(stream, killing_closes_the_socket)
{
    char got[4];

    stream_kill(&echo.stream);
    cr_expect(eq(int, echo.why, STREAM_KILLED));
    cr_expect(zero(int, (int)recv(peer, got, sizeof got, 0)));
}

/* One connection with endless work must not keep the others waiting: they are served in between. */
Test(stream, endless_work_lets_others_in)
{
    static struct echo other;
    int fd[2];
    char got[4];

    cr_assert(zero(int, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd)));
    other = (struct echo){ .loop = &loop, .repeat = 1 };
    stream_start(&other.stream, &loop, fd[0], &echo_ops, &other);
    echo.step = 1;
    cr_assert(eq(int, (int)send(peer, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaQ", 29, 0), 29));
    cr_assert(eq(int, (int)send(fd[1], "Q", 1, 0), 1));
    loop_run(&loop); /* until the first of them is closed */
    cr_expect(other.is_closed);
    cr_expect(not(echo.is_closed));
    cr_expect(eq(int, (int)recv(fd[1], got, sizeof got, 0), 1));
    free(other.out);
    close(fd[1]);
}

/* -- answers that come from elsewhere -------------------------------------------------------- */

/* n of the answers that are waited for are there. */
static void
arrive(size_t n)
{
    echo.step = n;
    echo_answer(&echo);
    stream_push(&echo.stream);
}

/* True if the loop is told of what happens to the socket. */
static bool
is_watched(void)
{
    return ev_is_active(&echo.stream.io) != 0;
}

static void
expect_answer(const char *text)
{
    char got[64] = "";

    cr_expect(eq(sz, peer_read(got, sizeof got - 1), strlen(text)));
    cr_expect(eq(str, got, (char *)(uintptr_t)text));
}

/* A get of another node's key: the connection idles until the answer is there. */
Test(stream, an_answer_that_is_waited_for_leaves_when_it_is_pushed)
{
    echo.window = ROOM;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    cr_expect(zero(int, echo.sends));
    cr_assert(eq(int, (int)send(peer, "de", 2, 0), 2));
    settle();
    cr_expect(eq(int, echo.reads, 2), "what comes meanwhile is read");
    arrive(1);
    expect_answer("a");
    arrive(4);
    expect_answer("bcde");
    cr_expect(not(echo.is_closed));
    cr_expect(eq(int, echo.parks, 4), "each turn ends");
}

/* A client that asks for more than may be under way is not read, and costs no turns until it is. */
Test(stream, a_blocked_owner_is_not_asked_again_until_it_says_so)
{
    echo.window = 3;
    cr_assert(eq(int, (int)send(peer, "abcdef", 6, 0), 6));
    settle();
    cr_expect(eq(int, echo.reads, 1));
    cr_expect(not(is_watched()), "the socket is readable and would wake us");
    arrive(1);
    settle();
    cr_expect(eq(int, echo.reads, 2), "it went on");
    cr_expect(not(is_watched()));
    arrive(3);
    settle();
    arrive(2);
    settle();
    expect_answer("abcdef");
    cr_expect(is_watched());
}

/* "printf ... | nc" to a node that has to ask another: answered, then closed; not spun on. */
Test(stream, a_half_closed_peer_gets_answers_that_come_late)
{
    echo.window = ROOM;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    shutdown(peer, SHUT_WR);
    settle();
    cr_expect(not(echo.is_closed));
    cr_expect(eq(int, echo.ends, 1));
    cr_expect(not(is_watched()));
    arrive(2);
    settle();
    cr_expect(not(echo.is_closed), "one is still missing");
    arrive(1);
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    expect_answer("abc");
}

/* The same with input left in the socket when it closes its half. */
Test(stream, a_half_closed_peer_of_a_blocked_owner_is_read_to_the_end)
{
    echo.window = 2;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    shutdown(peer, SHUT_WR);
    settle();
    cr_expect(zero(int, echo.ends));
    arrive(2);
    settle();
    cr_expect(eq(int, echo.ends, 1));
    cr_expect(not(echo.is_closed));
    arrive(1);
    cr_expect(echo.is_closed);
    expect_answer("abc");
}

/* A graceful stop waits for what other nodes owe. */
Test(stream, draining_waits_for_answers)
{
    echo.window = ROOM;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    stream_drain(&echo.stream);
    settle();
    cr_expect(not(echo.is_closed));
    cr_expect(not(is_watched()));
    arrive(3);
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    expect_answer("abc");
}

/* ... and reads what it could not take before. */
Test(stream, draining_a_blocked_owner_answers_what_has_arrived)
{
    echo.window = 2;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    stream_drain(&echo.stream);
    settle();
    cr_expect(not(echo.is_closed));
    arrive(2);
    settle();
    cr_expect(eq(int, echo.reads, 2));
    cr_expect(not(echo.is_closed));
    arrive(1);
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_DONE));
    expect_answer("abc");
}

/* Answers that come while the socket is full wait behind the rest; what was lent is kept. */
Test(stream, a_push_to_a_full_socket_only_ends_the_turn)
{
    static char got[1 << 16];
    size_t total = 0, n;
    int looks, parks;

    echo.repeat = 1000000;
    echo.window = ROOM;
    cr_assert(eq(int, (int)send(peer, "abc", 3, 0), 3));
    settle();
    arrive(1);
    settle();
    cr_assert(lt(sz, echo.out_sent, echo.out_len), "the socket did not fill up");
    looks = echo.looks;
    parks = echo.parks;
    arrive(1);
    arrive(1);
    cr_expect(eq(int, echo.looks, looks), "nothing can be sent");
    cr_expect(eq(int, echo.parks, parks + 2));
    do {
        n = peer_read(got, sizeof got);
        total += n;
        settle();
    } while (n > 0);
    cr_expect(eq(sz, total, 3000000));
}

/* A client that left while its answer was on its way: found out when there is something to say. */
Test(stream, a_peer_that_left_a_blocked_owner_is_noticed)
{
    echo.window = 3;
    cr_assert(eq(int, (int)send(peer, "abcd", 4, 0), 4));
    settle();
    close(peer);
    peer = -1;
    settle();
    cr_expect(not(echo.is_closed));
    arrive(3);
    settle();
    cr_expect(echo.is_closed);
    cr_expect(eq(int, echo.why, STREAM_RESET));
}
