/*
 * conns.h - who is connected: the rows of "stats conns".
 *
 * The driver opens a row for each connection and listener and closes it; the worker that owns the
 * connection keeps state and activity up to date by relaxed stores; any thread may print.  Rows
 * are never freed before the registry is, only reused.  Opening, closing and printing take the
 * registry's lock (printing for a few rows at a time), updating does not.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "vocab/metrics.h"
#include <stdbool.h>
#include <stdint.h>

enum conn_state {
    CONN_LISTENING,
    CONN_NEW_CMD,
    CONN_WAITING,
    CONN_READ,
    CONN_PARSE_CMD,
    CONN_WRITE,
    CONN_NREAD,
    CONN_SWALLOW,
    CONN_CLOSING,
    CONN_MWRITE,
    CONN_CLOSED,
    CONN_WATCH,
};

/* An address, small: the socket library stays outside. */
struct conn_addr {
    enum { CONN_NONE, CONN_TCP, CONN_TCP6, CONN_UDP, CONN_UDP6, CONN_UNIX } kind;
    uint16_t port;
    union {
        uint8_t     ip[16];  /* network order; 4 bytes for v4 */
        const char *path;    /* kept */
    } u;
};

struct conn_row {
    int              fd;
    bool             open;
    struct conn_addr peer, local;
    _Atomic int      state;       /* enum conn_state */
    _Atomic int64_t  last_cmd;    /* usec_t */
    struct conn_row *next_free;
};

struct conns;
struct conns *conns_new(void);
void conns_free(struct conns *c);
/* NULL without memory.  Any thread. */
struct conn_row *conns_open(struct conns *c, int fd, const struct conn_addr *peer,
                            const struct conn_addr *local, usec_t now);
void conns_close(struct conns *c, struct conn_row *row);
/* Rows ever made: "connection_structures". */
uint64_t conns_rows(struct conns *c);
/*
 * Calls each() with a copy of every open row, without the registry's lock, which is taken for a few
 * rows at a time: what opens or closes meanwhile may be seen or not.  Any thread.
 */
void conns_each(struct conns *c, void (*each)(void *arg, const struct conn_row *row), void *arg);
/*
 * Writes "tcp:1.2.3.4:5", "tcp6:[::1]:5", "unix:/path" with its NUL into out (at least 140
 * bytes).
 */
void conn_addr_print(const struct conn_addr *a, char *out, size_t size);
/* The address alone, with its NUL, into out (at least CONN_IP_TEXT bytes); not of a Unix socket. */
#define CONN_IP_TEXT 46
void conn_ip_print(const struct conn_addr *a, char *out);
