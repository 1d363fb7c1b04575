/* Connections to listeners, refusals and silence, all on the loopback. */
#include "net/connect.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIMEOUT (10 * USEC_PER_SEC)

static const uint8_t loopback[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };

static struct loop loop;
static struct connect c;
static int listening = -1, waiting = -1;
static uint16_t port;
static int done_count, done_fd, done_error;

static void
on_done(void *arg, int fd, int error)
{
    cr_expect(arg == &loop);
    cr_expect(not(connect_is_under_way(&c)));
    done_count++;
    done_fd = fd;
    done_error = error;
    loop_stop(&loop);
}

/* A socket bound to some port of 127.0.0.1. */
static int
bound(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(ge(int, fd, 0));
    cr_assert(zero(int, bind(fd, (struct sockaddr *)&sa, sizeof sa)));
    cr_assert(zero(int, getsockname(fd, (struct sockaddr *)&sa, &len)));
    port = ntohs(sa.sin_port);
    return fd;
}

static void
setup(void)
{
    cr_assert(eq(int, loop_init(&loop), ERR_OK));
    listening = bound();
    done_fd = -1;
}

static void
teardown(void)
{
    connect_cancel(&c);
    if (done_fd >= 0) {
        close(done_fd);
    }
    close(listening);
    if (waiting >= 0) {
        close(waiting);
    }
    loop_fini(&loop);
}

TestSuite(connect, .init = setup, .fini = teardown, .timeout = 20);

static int
start(usec_t timeout)
{
    int error = connect_start(&c, &loop, loopback, port, timeout, on_done, &loop);

    cr_expect(zero(int, done_count), "done() from within");
    return error;
}

/* What a link needs: it is connected, and nothing waits for Nagle or blocks. */
Test(connect, a_listener_is_reached)
{
    socklen_t len = sizeof(int);
    int flag = 0;
    char got[4];

    cr_assert(zero(int, listen(listening, 4)));
    cr_assert(zero(int, start(TIMEOUT)));
    cr_expect(connect_is_under_way(&c));
    loop_run(&loop);
    cr_expect(eq(int, done_count, 1));
    cr_expect(zero(int, done_error));
    cr_assert(ge(int, done_fd, 0));
    cr_expect(ne(int, fcntl(done_fd, F_GETFL) & O_NONBLOCK, 0));
    cr_expect(ne(int, fcntl(done_fd, F_GETFD) & FD_CLOEXEC, 0));
    cr_expect(zero(int, getsockopt(done_fd, IPPROTO_TCP, TCP_NODELAY, &flag, &len)));
    cr_expect(ne(int, flag, 0));
    waiting = accept(listening, NULL, NULL);
    cr_assert(eq(int, (int)send(done_fd, "hey", 3, 0), 3));
    cr_expect(eq(int, (int)recv(waiting, got, sizeof got, 0), 3));
}

/* Nobody listens: the kernel says so at once, and so do we. */
Test(connect, a_refusal_is_told)
{
    int error = start(TIMEOUT);

    if (error == 0) {
        loop_run(&loop);
        cr_expect(eq(int, done_fd, -1));
        error = done_error;
    }
    cr_expect(eq(int, error, ECONNREFUSED));
    cr_expect(not(connect_is_under_way(&c)));
}

/* Fills the backlog, so that the kernel drops what comes. */
static void
backlog_fill(int *fd, int max)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons(port) };

    cr_assert(zero(int, listen(listening, 0)));
    for (int i = 0; i < max; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fd[i], (struct sockaddr *)&sa, sizeof sa);
    }
}

/* A machine that is gone answers nothing at all: that must not take minutes. */
Test(connect, silence_times_out)
{
    usec_t before;
    int fd[4];

    backlog_fill(fd, 4);
    before = clock_now();
    cr_assert(zero(int, start(50 * USEC_PER_MSEC)));
    loop_run(&loop);
    cr_expect(eq(int, done_count, 1));
    cr_expect(eq(int, done_fd, -1));
    cr_expect(eq(int, done_error, ETIMEDOUT));
    cr_expect(ge(i64, clock_now() - before, 40 * USEC_PER_MSEC));
    cr_expect(lt(i64, clock_now() - before, 900 * USEC_PER_MSEC), "as the kernel tries again");
    for (int i = 0; i < 4; i++) {
        close(fd[i]);
    }
}

/* The view drops a node while we dial it: nothing is heard of it, and no descriptor stays. */
Test(connect, a_cancelled_one_says_nothing)
{
    int before = dup(listening), after;

    close(before);
    cr_assert(zero(int, listen(listening, 4)));
    cr_assert(zero(int, start(TIMEOUT)));
    connect_cancel(&c);
    connect_cancel(&c);
    cr_expect(not(connect_is_under_way(&c)));
    loop_wake(&loop);
    ev_run(loop.ev, EVRUN_NOWAIT);
    cr_expect(zero(int, done_count));
    after = dup(listening);
    cr_expect(eq(int, after, before), "a descriptor is left open");
    close(after);
    cr_assert(zero(int, start(TIMEOUT)), "it can be started again");
    loop_run(&loop);
    cr_expect(ge(int, done_fd, 0));
}

/* An address that no packet can go to, and no descriptors: told at once, not by done(). */
Test(connect, what_cannot_begin_is_told_at_once)
{
    static const uint8_t nowhere[16] = { [10] = 0xff, 0xff, 255, 255, 255, 255 };
    struct rlimit none = { 0 }, old;

    cr_expect(ne(int, connect_start(&c, &loop, nowhere, 1, TIMEOUT, on_done, &loop), 0));
    cr_expect(not(connect_is_under_way(&c)));
    cr_assert(zero(int, getrlimit(RLIMIT_NOFILE, &old)));
    none.rlim_max = old.rlim_max;
    cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &none)));
    cr_expect(eq(int, start(TIMEOUT), EMFILE));
    cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &old)));
    cr_expect(not(connect_is_under_way(&c)));
    cr_expect(zero(int, done_count));
}

/*
 * A node that is down on this machine, whose port the kernel happens to give to us: without a look
 * we would talk to ourselves, and keep the node from coming back to its port.
 */
Test(connect, one_that_reaches_itself_is_refused)
{
    /* The kernel binds to odd ports first and calls from even ones; one that nobody has. */
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int free_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (port &= 0xfffe; ; port = (uint16_t)(port - 2)) {
        sa.sin_port = htons(port);
        if (bind(free_fd, (struct sockaddr *)&sa, sizeof sa) == 0) {
            break;
        }
    }
    close(free_fd);
    for (int tries = 0; tries < 60000; tries++) {
        int error = connect_start(&c, &loop, loopback, port, TIMEOUT, on_done, &loop);

        if (error == 0) {
            done_count = 0;
            atomic_store(&loop.stop, false);
            loop_run(&loop);
            error = done_error;
        }
        cr_assert(eq(int, done_fd, -1), "it reached itself at try %d", tries);
        cr_assert(eq(int, error, ECONNREFUSED));
        done_count = 0;
    }
}

/* The bytes of a view become what the socket library wants. */
Test(connect, addresses)
{
    static const uint8_t six[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
    struct sockaddr_storage sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    cr_expect(eq(sz, connect_address(loopback, 11311, &sa), sizeof v4));
    memcpy(&v4, &sa, sizeof v4);
    cr_expect(eq(int, v4.sin_family, AF_INET));
    cr_expect(eq(int, ntohs(v4.sin_port), 11311));
    cr_expect(eq(u32, ntohl(v4.sin_addr.s_addr), INADDR_LOOPBACK));
    cr_expect(eq(sz, connect_address(six, 1, &sa), sizeof v6));
    memcpy(&v6, &sa, sizeof v6);
    cr_expect(eq(int, v6.sin6_family, AF_INET6));
    cr_expect(eq(int, ntohs(v6.sin6_port), 1));
    cr_expect(zero(int, memcmp(&v6.sin6_addr, six, 16)));
}
