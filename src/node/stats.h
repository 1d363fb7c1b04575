/*
 * stats.h - the answers to "stats", in memcached's words and order.
 *
 * Every list goes through one sink, which makes lines or packets of it.  All calls: the worker's
 * thread.
 */
#pragma once
#include "node/worker.h"
#include "vocab/command.h"
#include "vocab/reply.h"

/* Answers a "stats" command with whatever stands behind the word. */
void stats_run(struct worker *w, const struct command *c, struct reply *r);

/* Where the rows of one answer go: w->blob.  Inside of the files of this module. */
struct stats_sink {
    struct worker        *worker;
    const struct command *command;
    bool                  failed; /* no memory: nothing is added any more */
};

/* One row; arg is a struct stats_sink. */
void stats_emit(void *arg, const char *key, const char *value);
void stats_emit_number(struct stats_sink *s, const char *key, int64_t value);

/* A copy of the zero point that "stats reset" made. */
void stats_baseline(struct node *n, struct metrics_sum *ret);

/* The rows of "stats cluster", "stats ring", "stats peers"; a node that is alone has only one. */
void stats_cluster_emit(struct stats_sink *s);
void stats_ring_emit(struct stats_sink *s);
void stats_peers_emit(struct stats_sink *s);

/* The rows of plain "stats". */
void stats_general_emit(struct stats_sink *s);
