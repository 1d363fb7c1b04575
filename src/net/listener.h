/*
 * listener.h - a socket that clients connect to.
 *
 * Accepts and hands on; whether the connection is welcome is the owner's decision.
 *
 * All calls: the thread of the loop; the open functions before there is one.
 */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct listener;

/* What a listener tells its owner. */
struct listener_ops {
    /*
     * fd is connected, non-blocking, close-on-exec, and now the owner's.  The
     * owner may pause or close the listener.
     */
    void (*accepted)(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer);
    /*
     * accept() failed for want of descriptors or memory: it will fail again at
     * once.  The owner pauses until something is free.
     */
    void (*starved)(void *arg, struct listener *l, int error);
};

/* A zeroed one is closed. */
struct listener {
    struct ev_io               io;
    bool                       is_open;
    struct loop               *loop; /* NULL until started */
    const struct listener_ops *ops;
    void                      *arg;
    int                        tag;   /* the owner's */
    struct sockaddr_storage    local; /* where it is bound */
    char                       path[sizeof((struct sockaddr_un *)0)->sun_path]; /* Unix: its file */
};

/*
 * Binds and listens: SO_REUSEADDR, IPV6_V6ONLY, and on the connections to come
 * TCP_NODELAY and SO_KEEPALIVE.  ERR_INUSE: somebody listens there already.
 */
MUST_CHECK err_t listener_open_tcp(struct listener *l, const struct sockaddr *sa, socklen_t len,
                                   int backlog, struct err_detail *d);
/*
 * The same for a Unix socket with these permissions.  A socket left behind by
 * a process that is gone is removed first; any other file is not.  Changes the
 * umask for a moment: before threads start.
 */
MUST_CHECK err_t listener_open_unix(struct listener *l, const char *path, unsigned mode,
                                    int backlog, struct err_detail *d);
/* Takes a listening socket that somebody else opened; closed on failure. */
MUST_CHECK err_t listener_adopt(struct listener *l, int fd, struct err_detail *d);
int listener_fd(const struct listener *l);

/* Begins to accept.  Keeps ops and arg. */
void listener_start(struct listener *l, struct loop *loop, const struct listener_ops *ops,
                    void *arg);
/* Connections wait in the kernel's backlog until listener_resume(). */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Closes the socket; the file of a Unix socket stays, as with memcached.  A closed one is fine. */
void listener_close(struct listener *l);
