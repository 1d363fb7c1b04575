/*
 * connect.h - a TCP connection under way: for whom there is a loop to go on with meanwhile.
 *
 * Addresses are numbers: nothing here asks a resolver.  All calls: the thread of the loop.
 */
#pragma once
#include "base/clock.h"
#include "net/loop.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* A zeroed one is idle; so is one that has said done(), or was cancelled. */
struct connect {
    struct loop    *loop; /* kept; NULL while idle */
    struct ev_io    io;
    struct ev_timer timer;
    /*
     * It is decided.  fd is connected, non-blocking, close-on-exec, with TCP_NODELAY, and now the
     * owner's; or -1, and error is an errno (ETIMEDOUT: it took too long).  The connect is idle
     * again and may be started, or freed.
     */
    void (*done)(void *arg, int fd, int error);
    void           *arg; /* kept */
};

/*
 * An address of IPv6, or of IPv4 as ::ffff:a.b.c.d, in network order, with a port, as the socket
 * library has it; IPv4 becomes AF_INET.  Returns the length.
 */
socklen_t connect_address(const uint8_t ip[16], uint16_t port, struct sockaddr_storage *ret);

/*
 * Begins to connect c, which is idle.  Returns 0, and done() is called later, never from within; or
 * an errno, and it is not: the address is wrong, there is no way there, nobody listens on this
 * machine, descriptors or ports are short.
 */
int connect_start(struct connect *c, struct loop *loop, const uint8_t ip[16], uint16_t port,
                  usec_t timeout, void (*done)(void *arg, int fd, int error), void *arg);
/* Gives up without a word to done(); an idle one is fine. */
void connect_cancel(struct connect *c);
bool connect_is_under_way(const struct connect *c);
