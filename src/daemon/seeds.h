/*
 * seeds.h - where other members may be found: looks names up again and again, in its own thread.
 *
 * The list is that of the setting "join": entries separated by commas, each
 *
 *     HOST[:PORT]    every address of it; [V6]:PORT
 *     srv:NAME       every address of every target of that SRV record
 *     file:PATH      a file of such entries, one a line; "#" begins a comment.  A relative path is
 *                    one from where the node was started
 *
 * Names and files are read again every interval (give or take a fifth), sooner after a failure;
 * what failed keeps the addresses it had before.  A list of nothing but addresses is read once.
 *
 * Main thread, except where said.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "vocab/cluster.h"
#include <stdbool.h>
#include <stddef.h>

#define SEEDS_MAX 256 /* addresses */

struct seeds;

struct seeds_config {
    const char *list;     /* borrowed */
    uint16_t    port;     /* of entries without one */
    usec_t      interval;
    /* There are other addresses than before.  Called in the thread of the resolver. */
    void      (*changed)(void *arg);
    void       *arg;      /* kept until seeds_stop() */
};

/* Fails with ERR_INVALID if an entry is none.  Starts the thread, mp-seeds.  Gives. */
MUST_CHECK err_t seeds_start(const struct seeds_config *config, struct seeds **ret,
                             struct err_detail *d);
/* Waits until all entries were looked up once, for at most timeout. */
void seeds_wait(struct seeds *s, usec_t timeout);
/*
 * The addresses that are known, sorted; how many.  *ret_news: whether they are others than those of
 * the last call.
 */
size_t seeds_get(struct seeds *s, struct cluster_addr ret[SEEDS_MAX], bool *ret_news);
/* Looks names up soon: nobody answered at the addresses that are known. */
void seeds_refresh(struct seeds *s);
/*
 * Ends the thread; one that waits for an answer of the resolver ends by itself later.  Nothing is
 * called any more.  Frees.  NULL is fine.
 */
void seeds_stop(struct seeds *s);
