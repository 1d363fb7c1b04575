/* Sockets that clients connect to, on the loopback and in a scratch directory. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop     loop;
static struct listener listener;
static int             accepted[8];
static int             accepted_count, starved_count;
static bool            pause_after_one;

static void
on_accepted(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    cr_expect(arg == &loop);
    cr_expect(ne(int, peer->ss_family, AF_UNSPEC));
    cr_assert(lt(int, accepted_count, 8));
    accepted[accepted_count++] = fd;
    if (pause_after_one) {
        listener_pause(l);
    }
}

static void
on_starved(void *arg, struct listener *l, int error)
{
    (void)arg;
    cr_expect(eq(int, error, EMFILE));
    starved_count++;
    listener_pause(l);
}

static const struct listener_ops ops = { on_accepted, on_starved };

static void
setup(void)
{
    cr_assert(eq(int, loop_init(&loop), ERR_OK));
}

static void
teardown(void)
{
    for (int i = 0; i < accepted_count; i++) {
        close(accepted[i]);
    }
    listener_close(&listener);
    loop_fini(&loop);
}

TestSuite(listener, .init = setup, .fini = teardown, .timeout = 20);

static struct sockaddr_in
loopback(void)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
}

static void
open_tcp(void)
{
    struct sockaddr_in sa = loopback();
    struct err_detail d = { "" };

    cr_assert(eq(int, listener_open_tcp(&listener, (struct sockaddr *)&sa, sizeof sa, 16, &d),
                 ERR_OK), "%s", d.text);
}

static int
connect_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(zero(int, connect(fd, (struct sockaddr *)&listener.local,
                                sizeof(struct sockaddr_in))));
    return fd;
}

static void
turn(void)
{
    ev_run(loop.ev, EVRUN_NOWAIT);
}

/* What clients rely on must cost no system call per connection: it is inherited. */
Test(listener, accepted_sockets_inherit_their_options)
{
    int client, on = 0;
    socklen_t len = sizeof on;

    open_tcp();
    listener_start(&listener, &loop, &ops, &loop);
    client = connect_tcp();
    turn();
    cr_assert(eq(int, accepted_count, 1));
    cr_expect(zero(int, getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len)));
    cr_expect(ne(int, on, 0), "no TCP_NODELAY");
    cr_expect(zero(int, getsockopt(accepted[0], SOL_SOCKET, SO_KEEPALIVE, &on, &len)));
    cr_expect(ne(int, on, 0), "no SO_KEEPALIVE");
    cr_expect(lt(int, (int)recv(accepted[0], &on, 1, 0), 0), "it blocks or it ended");
    cr_expect(eq(int, errno, EAGAIN));
    close(client);
}

/* A paused listener leaves connections in the backlog; they are there when it resumes. */
Test(listener, a_pause_keeps_connections_waiting)
{
    int client[2];

    open_tcp();
    pause_after_one = true;
    listener_start(&listener, &loop, &ops, &loop);
    client[0] = connect_tcp();
    client[1] = connect_tcp();
    turn();
    turn();
    cr_expect(eq(int, accepted_count, 1));
    listener_resume(&listener);
    turn();
    cr_expect(eq(int, accepted_count, 2));
    close(client[0]);
    close(client[1]);
}

/* Out of descriptors: the owner is told once, and nothing spins or is lost. */
Test(listener, no_descriptors_is_told)
{
    struct rlimit limit, tight;
    int client, probe;

    open_tcp();
    listener_start(&listener, &loop, &ops, &loop);
    client = connect_tcp();
    getrlimit(RLIMIT_NOFILE, &limit);
    probe = dup(client);
    tight = (struct rlimit){ .rlim_cur = (rlim_t)probe, .rlim_max = limit.rlim_max };
    close(probe);
    cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &tight)));
    turn();
    turn();
    cr_expect(eq(int, starved_count, 1));
    cr_expect(zero(int, accepted_count));
    setrlimit(RLIMIT_NOFILE, &limit);
    listener_resume(&listener);
    turn();
    cr_expect(eq(int, accepted_count, 1));
    close(client);
}

/* Two servers on one port is a mistake that must not go unnoticed. */
Test(listener, a_port_in_use_is_refused)
{
    struct listener second = { 0 };
    struct err_detail d = { "" };

    open_tcp();
    cr_expect(eq(int, listener_open_tcp(&second, (struct sockaddr *)&listener.local,
                                        sizeof(struct sockaddr_in), 16, &d), ERR_INUSE));
    cr_expect(not(second.is_open));
    cr_expect(ne(chr, d.text[0], '\0'));
}

/* -a: exactly these permissions; a left-over socket goes, a live one and plain files stay. */
Test(listener, unix_sockets_replace_only_what_is_dead)
{
    char dir[] = "/tmp/magpie-listener-XXXXXX";
    char path[64], file[64];
    struct listener second = { 0 };
    struct stat st;
    int fd;

    cr_assert(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(file, sizeof file, "%s/f", dir);
    cr_assert(eq(int, listener_open_unix(&listener, path, 0750, 16, NULL), ERR_OK));
    cr_assert(zero(int, stat(path, &st)));
    cr_expect(eq(int, (int)(st.st_mode & 0777), 0750));
    cr_expect(eq(int, listener_open_unix(&second, path, 0700, 16, NULL), ERR_INUSE));
    listener_close(&listener);
    cr_expect(zero(int, stat(path, &st)), "the file stays behind");
    cr_expect(eq(int, listener_open_unix(&listener, path, 0700, 16, NULL), ERR_OK));
    cr_assert(zero(int, stat(path, &st)));
    cr_expect(eq(int, (int)(st.st_mode & 0777), 0700));

    fd = creat(file, 0600);
    close(fd);
    cr_expect(eq(int, listener_open_unix(&second, file, 0700, 16, NULL), ERR_INUSE));
    cr_assert(zero(int, stat(file, &st)));
    cr_expect(eq(int, (int)(st.st_mode & S_IFMT), S_IFREG), "somebody's file is gone");
    unlink(file);
    unlink(path);
    rmdir(dir);
}

/* sun_path is short; a cut path would listen somewhere else. */
Test(listener, long_unix_paths_are_refused)
{
    char path[200];

    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    cr_expect(eq(int, listener_open_unix(&listener, path, 0700, 16, NULL), ERR_INVALID));
}
