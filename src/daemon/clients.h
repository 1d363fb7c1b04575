/*
 * clients.h - the client connections of one worker: sockets on one side, sessions on the other.
 *
 * A client is made by the thread that accepts (client_new), travels to a worker
 * through its mailbox, and lives there.  struct clients and everything that
 * takes one: that worker's thread.
 *
 * Another node that has been greeted (SESSION_PEER) comes the same way, but it is not counted as a
 * client: neither in curr_connections nor by left(), so that it takes no place of theirs (-c); and
 * it may be silent for as long as it likes.
 */
#pragma once
#include "base/clock.h"
#include "net/loop.h"
#include "node/conns.h"
#include "node/session.h"
#include <stdbool.h>
#include <stddef.h>

struct client;
struct node;
struct worker;

struct clients {
    struct worker *worker; /* kept */
    struct loop   *loop;   /* kept */
    /* Called when a client is gone, in this thread; may be NULL. */
    void (*left)(void *arg);
    void          *arg;    /* kept */
    struct client *first;  /* a list, in no order */
    size_t         count;  /* of all of them */
    size_t         peers;  /* those among them that are other nodes */
    bool           ending; /* they are being closed because the node ends */
    struct ev_timer sweep; /* runs while there is an idle_timeout and somebody to watch */
};

void clients_init(struct clients *all, struct worker *worker, struct loop *loop,
                  void (*left)(void *arg), void *arg);
/* Sends watchers what came for them; at the end of a turn. */
void clients_feed(struct clients *all);
/* Runs a turn of a session that has got something to send, or may go on. */
void clients_push(struct session *s);
/*
 * Reads and answers what has arrived, then closes; who does not read his replies is left, and so is
 * who waits for another node, until it has answered.  Watchers and readers of lists of keys would
 * have no end: they are closed at once.  Either the clients, or (peers) the other nodes.
 */
void clients_drain(struct clients *all, bool peers);
/* Closes everything at once. */
void clients_fini(struct clients *all);

/*
 * A connected socket on its way to a worker; *fd is taken (set to -1) on success
 * only.  Opens its row of "stats conns".  NULL without memory.  Any thread.
 */
struct client *client_new(struct node *n, int *fd, enum session_accepts accepts,
                          const struct conn_addr *peer, const struct conn_addr *local, usec_t now);
/* Closes and frees a client that never reached a worker.  Any thread. */
void client_free(struct node *n, struct client *c);

/* Takes a client in and begins to serve it. */
void clients_add(struct clients *all, struct client *c);
