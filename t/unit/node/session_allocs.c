/*
 * Linked with --wrap for the allocators, so that it sees each call that our code makes.
 */
#include "mesh.h"
#include "node/packets.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static unsigned calls;
static bool starving; /* every allocation fails */

void *
__wrap_malloc(size_t n)
{
    calls++;
    return starving ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    calls++;
    return starving ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
    calls++;
    return starving ? NULL : __real_realloc(p, n);
}

/* One turn: the input in one read, all answers sent.  Returns the bytes answered. */
static size_t
turn(struct drive *d, const char *in, size_t len)
{
    struct iovec room = session_rx_space(d->session), iov[64];
    size_t sent = 0;
    int n;

    cr_assert(ge(sz, room.iov_len, len));
    memcpy(room.iov_base, in, len);
    session_rx(d->session, len, d->node->now);
    while ((n = session_tx(d->session, iov, 64)) > 0) {
        size_t now = 0;

        for (int i = 0; i < n; i++) {
            now += iov[i].iov_len;
        }
        session_tx_done(d->session, now);
        sent += now;
    }
    cr_assert(session_park(d->session));
    return sent;
}

/* What an allocator costs, and what it may refuse, is not part of a request. */
Test(session_allocs, a_request_allocates_nothing)
{
    static const struct {
        const char *why, *in;
        size_t len;
    } row[] = {
        { "get", "get small\r\n", 0 },
        { "a miss", "get none\r\n", 0 },
        { "multiget", "get small none large small large\r\n", 0 },
        { "large get", "get large\r\n", 0 },
        { "set", "set x 1 0 5\r\nhello\r\n", 0 },
        { "gets, cas", "gets small\r\ncas small 0 0 3 7\r\nabc\r\n", 0 },
        { "incr", "incr n 1\r\ndecr n 1\r\n", 0 },
        { "delete and touch", "delete none\r\ntouch small 100\r\n", 0 },
        { "noreply", "set y 0 0 1 noreply\r\n1\r\n", 0 },
        { "errors", "nonsense\r\nset small 0 0 bad\r\n", 0 },
        { "mg", "mg small v t f k Oabc\r\nmg none v q\r\nmn\r\n", 0 },
        { "ms", "ms x 2 T100 q\r\nhi\r\nmn\r\n", 0 },
        { "ma and md", "ma n\r\nmd none q\r\n", 0 },
        { "pipeline", "get small\r\nset x 0 0 1\r\n1\r\nget x large\r\nmg small\r\nget none\r\n",
          0 },
        { "binary get", "\x80\x00\0\x05\0\0\0\0\0\0\0\x05\0\0\0\1\0\0\0\0\0\0\0\0small", 29 },
        { "binary set",
          "\x80\x01\0\1\x08\0\0\0\0\0\0\x0a\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x1", 34 },
        { "binary noop", "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 24 },
    };
    static char large[100000];
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    memset(large, 'l', sizeof large);
    cr_assert(buf_printf(&in,
                         "set small 0 0 3\r\nabc\r\nset n 0 0 3\r\n100\r\nset large 0 0 %zu\r\n",
                         sizeof large));
    cr_assert(buf_add(&in, large, sizeof large) && buf_add(&in, "\r\n", 2));
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    drive_fini(&d);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        size_t len = row[i].len > 0 ? row[i].len : strlen(row[i].in);
        unsigned before;

        drive_init(&d, &n, SESSION_AUTO);
        (void)turn(&d, row[i].in, len); /* the pools fill */
        before = calls;
        for (int j = 0; j < 1000; j++) {
            (void)turn(&d, row[i].in, len);
        }
        cr_expect(eq(u32, calls - before, 0), "%s", row[i].why);
        drive_fini(&d);
    }
    buf_free(&in);
    drive_node_fini(&n);
}

/* Three nodes, and clients of the first one: what belongs to the others costs no memory either. */
static struct {
    struct mesh mesh;
    struct drive client[4];
    char own[64], near[64], far[64], line[4096];
} many;

/* One client's input in one read; what is to be answered is, by the nodes that own it. */
static void
cluster_turn(struct drive *d, const char *in, size_t len)
{
    d->got.len = 0;
    cr_assert(drive_turn(d, in, len, DRIVE_ALL, DRIVE_ALL) == len);
}

static void
cluster_begin(void)
{
    static char large[100000];
    struct buf in = { 0 };

    mesh_init(&many.mesh, 3, (const char *const[]){ "memory_limit=64m", NULL });
    for (unsigned i = 0; i < 4; i++) {
        mesh_client(&many.mesh, 0, &many.client[i]);
    }
    mesh_key(&many.mesh, 0, "own", 0, many.own);
    mesh_key(&many.mesh, 1, "near", 0, many.near);
    mesh_key(&many.mesh, 2, "far", 0, many.far);
    memset(large, 'l', sizeof large);
    cr_assert(buf_printf(&in,
                         "set %s 0 0 3\r\nabc\r\nset %s 0 0 3\r\n100\r\nset %s 0 0 %zu\r\n",
                         many.own, many.near, many.far, sizeof large));
    cr_assert(buf_add(&in, large, sizeof large) && buf_add(&in, "\r\n", 2));
    mesh_say(&many.mesh, &many.client[0], in.ptr, in.len, DRIVE_ALL);
    buf_free(&in);
}

/* So much to each of the other nodes that more than one block of frames was used. */
static void
cluster_fill(void)
{
    int len = sprintf(many.line, "get %s\r\nget %s\r\nget none1 none2 none3 none4\r\n", many.near,
                      many.far);

    for (int i = 0; i < 2000; i++) {
        cluster_turn(&many.client[0], many.line, (size_t)len);
        mesh_pump(&many.mesh);
    }
}

static void
cluster_end(void)
{
    for (unsigned i = 0; i < 4; i++) {
        drive_fini(&many.client[i]);
    }
    mesh_fini(&many.mesh);
}

Test(session_allocs, a_request_to_another_node_allocates_nothing)
{
    /* o, n and f stand for the keys. */
    static const struct {
        const char *why, *in;
        unsigned each; /* allocations of each request */
    } row[] = {
        { "get", "get %n\r\n", 0 },
        { "a miss", "get none1\r\nget none2\r\nget none3\r\nget none4\r\n", 0 },
        { "set", "set %n 1 0 3\r\n123\r\n", 0 },
        { "gets", "gets %n\r\n", 0 },
        { "incr", "incr %n 1\r\ndecr %n 1\r\n", 0 },
        { "noreply", "set %n 0 0 3 noreply\r\n100\r\n", 0 },
        { "mg", "mg %n s v t f k Oabc\r\n", 0 },
        { "ms", "ms %n 3 T1000 q\r\n100\r\n", 0 },
        { "pipeline", "get %n\r\nset %n 0 0 3\r\n100\r\nget %n\r\nget %n\r\nget %n\r\n",
          0 },
        { "multiget", "get %n %n %n\r\n", 0 },
        { "multiget of several owners", "get %o %n none1 none2 none3 %o %n\r\n", 0 },
        /* Its last key stays in the input until the others are answered. */
        { "multiget that is loud", "gets %o %n none1 none2 none3 %o %n\r\n", 1 },
        { "pipeline of several owners", "get %o\r\nget %n\r\nget %o\r\nget %n\r\nmn\r\n",
          0 },
        { "a long value", "get %f\r\n", 0 },
    };

    cluster_begin();
    cluster_fill();
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        unsigned before = 0;
        char *p = many.line;

        for (const char *t = row[i].in; *t; t++) {
            const char *key = t[0] != '%' ? NULL
                              : t[1] == 'o' ? many.own
                              : t[1] == 'n' ? many.near
                                            : many.far;
            if (key) {
                p = stpcpy(p, key);
                t++;
            } else {
                *p++ = *t;
            }
        }
        for (int j = 0; j < 1010; j++) {
            if (j == 10) { /* the pools have filled */
                before = calls;
            }
            for (unsigned k = 0; k < 4; k++) {
                cluster_turn(&many.client[k], many.line, (size_t)(p - many.line));
            }
            mesh_pump(&many.mesh);
        }
        cr_expect(eq(u32, calls - before, 4 * 1000 * row[i].each), "%s", row[i].why);
    }
    cluster_end();
}

/* A stream of large values takes its bookkeeping from the worker. */
Test(session_allocs, a_streamed_value_allocates_nothing)
{
    static char value[20000];
    static const char head[] = "set big 0 0 20000\r\n";
    struct drive_node n;
    struct drive d;
    unsigned before = 0;

    memset(value, 'v', sizeof value);
    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    for (int i = 0; i < 100; i++) {
        size_t at = 0;

        if (i == 1) {
            before = calls;
        }
        cr_expect(eq(sz, turn(&d, head, sizeof head - 1), 0));
        while (at < sizeof value) {
            size_t room = session_rx_space(d.session).iov_len;
            size_t part = room < sizeof value - at ? room : sizeof value - at;

            cr_expect(eq(sz, turn(&d, value + at, part), 0));
            at += part;
        }
        cr_expect(eq(sz, turn(&d, "\r\n", 2), 8));
    }
    cr_expect(eq(u32, calls - before, 0));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* One datagram, and all its answers sent. */
static unsigned
datagram(struct packets *p, const char *in, size_t len, usec_t now)
{
    struct iovec iov[PACKETS_SPANS];
    unsigned sent = 0;

    packets_rx_space(p, iov);
    memcpy(iov[0].iov_base, "\0\1\0\0\0\1\0\0", PACKETS_HEADER);
    memcpy(iov[1].iov_base, in, len);
    packets_rx(p, PACKETS_HEADER + len, now);
    do {
        packets_resume(p, now);
        while (packets_tx(p, iov) > 0) {
            packets_tx_done(p);
            sent++;
        }
    } while (packets_has_work(p));
    packets_park(p);
    return sent;
}

/* Nor does a datagram, whole or not. */
Test(session_allocs, a_datagram_allocates_nothing)
{
    static const struct {
        const char *in;
        unsigned answers;
    } row[] = {
        { "get small\r\n", 1 },
        { "get small none large\r\nmn\r\n", 1 + 72 + 1 },
        { "set x 0 0 1\r\n1\r\nset y 0 0 1 noreply\r\n2\r\nincr x 1\r\n", 2 },
        { "get small\r\nget sm", 1 },
        { "set small 0 0 1000000\r\nabc", 0 },
        { "nonsense\r\nquit\r\nmn\r\n", 1 },
        { "\x80", 0 },
    };
    struct drive_node n;
    struct buf in = { 0 };
    static char large[100000];
    struct packets *p;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    memset(large, 'l', sizeof large);
    cr_assert(buf_printf(&in, "set small 0 0 3\r\nabc\r\nset large 0 0 %zu\r\n", sizeof large));
    cr_assert(buf_add(&in, large, sizeof large) && buf_add(&in, "\r\n", 2));
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    drive_fini(&d);
    p = packets_new(n.worker, NULL);
    cr_assert(ne(ptr, p, NULL));
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        unsigned before;

        (void)datagram(p, row[i].in, strlen(row[i].in), n.now);
        before = calls;
        for (int j = 0; j < 1000; j++) {
            cr_assert(eq(u32, datagram(p, row[i].in, strlen(row[i].in), n.now), row[i].answers),
                      "%s", row[i].in);
        }
        cr_expect(eq(u32, calls - before, 0), "%s", row[i].in);
    }
    packets_free(p);
    buf_free(&in);
    drive_node_fini(&n);
}

/* Without memory for the rest of an answer it is lost, and nothing else. */
Test(session_allocs, without_memory_a_datagram_is_lost)
{
    struct iovec iov[PACKETS_SPANS];
    struct drive_node n;
    struct packets *p;

    drive_node_init(&n, NULL);
    p = packets_new(n.worker, NULL);
    cr_assert(ne(ptr, p, NULL));
    packets_rx_space(p, iov);
    memcpy(iov[0].iov_base, "\0\1\0\0\0\1\0\0", PACKETS_HEADER);
    memcpy(iov[1].iov_base, "mn\r\nmn\r\n", 8);
    packets_rx(p, PACKETS_HEADER + 8, n.now);
    starving = true;
    packets_park(p);
    starving = false;
    cr_expect(eq(int, packets_tx(p, iov), 0));
    cr_expect(not(packets_has_work(p)));
    cr_expect(eq(u32, datagram(p, "mn\r\n", 4, n.now), 1));
    packets_free(p);
    drive_node_fini(&n);
}

/* Out of memory, a connection may be lost, but nothing else. */
Test(session_allocs, without_memory_a_connection_ends_cleanly)
{
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, NULL);
    for (int i = 0; i < 1000; i++) {
        cr_assert(buf_printf(&in, "version\r\n"));
    }
    for (int i = 0; i < 3; i++) {
        static const char *const what[] = { "half a command", "unsent replies", "a long line" };

        drive_init(&d, &n, SESSION_AUTO);
        starving = true;
        if (i == 0) {
            (void)drive_turn(&d, "get k", 5, DRIVE_ALL, DRIVE_ALL);
        } else if (i == 1) {
            (void)drive_turn(&d, in.ptr, in.len, DRIVE_ALL, 0);
        } else {
            in.ptr[0] = 'g', in.ptr[1] = 'e', in.ptr[2] = 't', in.ptr[3] = ' ';
            for (size_t j = 4; j < in.len; j++) {
                in.ptr[j] = j % 20 ? 'k' : ' ';
            }
            (void)drive_turn(&d, in.ptr, in.len, DRIVE_ALL, 0);
        }
        starving = false;
        cr_expect(d.broken, "%s", what[i]);
        cr_expect(d.session == NULL, "%s", what[i]);
        drive_fini(&d);
        drive_init(&d, &n, SESSION_AUTO);
        drive_say(&d, "mn\r\n", 4, DRIVE_ALL);
        cr_expect(eq(sz, d.got.len, 4), "%s", what[i]);
        drive_fini(&d);
    }
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUF_OOM), 2));
    cr_expect(eq(i64, drive_metric(&n, M_RESP_BUF_OOM), 1));
    buf_free(&in);
    drive_node_fini(&n);
}
