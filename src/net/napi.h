/*
 * napi.h - deals connections by the network queue that they come through (-N).
 *
 * A network card with several receive queues numbers them (NAPI ids).  If one thread gets all
 * connections of a queue, a processor that serves the queue's interrupts can serve the thread too.
 * The rules are memcached's: a thread is given the first id that comes while it has none; an id
 * that comes when all threads have one means that the ids changed, and all are forgotten.
 *
 * The accepting thread.
 */
#pragma once
#include <stdbool.h>

#define NAPI_THREADS_MAX 64

/* A zeroed one knows no ids. */
struct napi {
    unsigned id[NAPI_THREADS_MAX]; /* of the first known threads */
    unsigned known;
};

/* The id of the queue that last brought something for the socket; 0: unknown, as on loopback. */
unsigned napi_of(int fd);
/*
 * The thread, of so many, for connections of this id, which is not 0.  *ret_unexpected: the ids
 * that were known had to be forgotten for it.
 */
unsigned napi_thread(struct napi *n, unsigned threads, unsigned id, bool *ret_unexpected);
