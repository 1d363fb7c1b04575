/*
 * conn.h - the connections of a simulated machine: inside of host.h.
 */
#pragma once
#include "host.h"

enum conn_kind {
    CONN_CLIENT,     /* a session */
    CONN_GREETED,    /* was called; the greeting is not all there yet */
    CONN_PEER,       /* was called; a session of commands in frames */
    CONN_LINK,       /* calls; a link */
    CONN_SYNC_CALL,  /* calls; exchanges whole states */
    CONN_SYNC_SERVE, /* was called; likewise */
    CONN_PROBE,      /* calls; the greeting is all */
};

struct conn {
    struct host *host;
    struct loop *loop;
    struct conn *next, *prev; /* of the host */
    struct conn *ready_next;
    bool queued; /* is in its loop's list of ready ones */
    enum conn_kind kind;
    struct tcp_end *tcp;
    unsigned site; /* at the other end */
    node_id id;    /* PROBE: who is asked */
    struct session *session;
    struct link *link;
    struct buf in, out; /* greetings and whole states */
    usec_t give_up;     /* local time; 0: never */
    bool greeted;       /* calling side: the answer to the greeting came */
    bool eof;
};

struct conn *conn_new(struct host *h, struct loop *loop, enum conn_kind kind, struct tcp_end *tcp);
/* Ends the connection and what hangs on it. */
void conn_free(struct conn *c, bool reset);
/* Calls another machine. */
struct conn *conn_call(struct host *h, struct loop *loop, enum conn_kind kind, unsigned site);
/* It has something to do in the next turn of its loop. */
void conn_ready(struct conn *c);
/* One turn; may free it. */
void conn_turn(struct conn *c);
/* Sends what the session or link has, ends its turn; may free the connection. */
void conn_push(struct conn *c);
/* All sessions that got answers send. */
void conn_push_answered(struct loop *l);

/* The next turn comes soon. */
void loop_hurry(struct loop *l);
/* Does what control wants done. */
void host_obey(struct host *h, const struct control_out *out);
