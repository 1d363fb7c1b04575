/*
 * watch.h - the lines that "watch" shows: what happens in the node, as it happens.
 *
 * A watcher is a session that has given up asking.  It has a ring of watcher_logbuf_size bytes,
 * into which every thread that has something to tell writes whole lines, behind one spin lock that
 * is held for a copy.  Who finds no room, or the lock in other hands for too long, drops the line
 * and counts it: nobody waits for a watcher.  The session's own worker sends what lies in the ring.
 *
 * Unlike memcached there is no thread between: lines are put together where things happen, so they
 * are there at once and in order.  While nobody watches, all of this costs the look at a word.
 *
 * Formats are memcached's (doc/protocol.txt, "Watchers"): "ts=SECONDS.MICROS gid=N type=..." and a
 * bare "\n".  Calls: any thread, but where it is said.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "vocab/metrics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct conn_addr;
struct store;
struct store_ctx;
struct watcher;
struct watches;

/* What one may watch; a watcher names a set of them. */
enum watch_stream {
    WATCH_RAWCMDS = 1,
    WATCH_EVICTIONS = 2,
    WATCH_FETCHERS = 4,
    WATCH_MUTATIONS = 8,
    WATCH_SYSEVENTS = 16,
    WATCH_CONNEVENTS = 32,
    WATCH_DELETIONS = 64,
};

#define WATCH_MAX 20 /* watchers at once, as in memcached */

/* The set that a word of the command means, 0: none.  Streams of memcached's proxy are words too,
 * on which nothing ever comes. */
bool watch_word(struct slice word, unsigned *ret_streams);

/* buffer: bytes of each watcher's ring.  store is kept, and told which of its events are wanted.
 * NULL without memory.  Gives. */
struct watches *watches_new(struct store *store, size_t buffer);
/* Every watcher is gone by then.  NULL is fine. */
void watches_free(struct watches *all);
/* The union of what is watched. */
unsigned watches_streams(const struct watches *all);
/* Watchers there are. */
unsigned watches_count(const struct watches *all);
/*
 * The workers (bit i: the one of index i) whose watchers got lines since the last call and do not
 * know of it yet.  Whoever takes the set wakes them.
 */
uint64_t watches_take_ready(struct watches *all);

enum watch_added { WATCH_ADDED, WATCH_TOO_MANY, WATCH_FAILED };
/* A watcher of the worker with this index.  Gives in *ret. */
enum watch_added watches_add(struct watches *all, unsigned streams, unsigned worker,
                             struct watcher **ret);
/*
 * The same for the node's own log, beside the WATCH_MAX and not shown by watches_count().  NULL
 * without memory, or if there is one already.
 */
struct watcher *watches_add_log(struct watches *all, unsigned streams, unsigned worker);
/* NULL is fine.  Owner thread. */
void watcher_free(struct watcher *w);
/* Up to max spans of bytes to send; 0: none, and the next line calls for the worker again.  Lent
 * until watcher_done().  Owner thread. */
int watcher_iov(struct watcher *w, struct iovec *iov, int max);
/* The first n of these bytes are sent.  Owner thread. */
void watcher_done(struct watcher *w, size_t n);
/* True once for each time that lines came after watcher_iov() had none.  Owner thread. */
bool watcher_is_fed(struct watcher *w);

/* -- telling ------------------------------------------------------------------------------------
 */

/* Who tells, when, and whose counters note it. */
struct watch_from {
    struct watches *all;
    struct metrics *metrics; /* of the calling thread */
    usec_t          now;
};

/* How a look-up ended; numbers as memcached's. */
enum watch_found { WATCH_NOT_FOUND, WATCH_FOUND, WATCH_FLUSHED, WATCH_EXPIRED };

/* A command as its client wrote it, without its line end; control bytes become "?". */
void watch_raw(const struct watch_from *f, int fd, struct slice line);
void watch_fetch(const struct watch_from *f, struct slice key, enum watch_found found,
                 unsigned class_id, int fd, uint32_t value_len);
/* status and command: memcached's words; ttl in seconds, 0: for ever. */
void watch_store(const struct watch_from *f, struct slice key, const char *status,
                 const char *command, uint32_t ttl, unsigned class_id, int fd, uint32_t value_len);
void watch_delete(const struct watch_from *f, struct slice key, const char *command,
                  unsigned class_id, uint32_t value_len);
void watch_connected(const struct watch_from *f, const struct conn_addr *peer, int fd);
/* reason: error, normal, idle_timeout or shutdown. */
void watch_closed(const struct watch_from *f, const struct conn_addr *peer, const char *reason,
                  int fd);
/* A connection whose socket failed, before watch_closed(). */
void watch_failed(const struct watch_from *f, int fd, const char *message);
/* Tells all that waits in a ctx of the store: evictions, page moves, walks of the crawler.  The
 * thread of the ctx. */
void watch_store_events(const struct watch_from *f, struct store_ctx *ctx);
