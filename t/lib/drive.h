/*
 * drive.h - drives sessions without sockets, as net/ and daemon/ do with them: for unit tests and
 * simulations.
 *
 * A drive_node is a whole node with one worker in memory; a drive is one connection to it.  What
 * the client sends is handed over in reads of a chosen size; what it is sent is collected, as fast
 * as it chooses to read.
 */
#pragma once
#include "base/buf.h"
#include "node/node.h"
#include "node/session.h"
#include "node/worker.h"
#include "vocab/settings.h"
#include <stdbool.h>
#include <stddef.h>

#define DRIVE_START (INT64_C(1750000000) * USEC_PER_SEC) /* time of day at the start, after 2024   \
                                                          */
#define DRIVE_ALL   ((size_t)-1)

struct drive_node {
    struct settings settings;
    struct node *node;
    struct worker *worker;
    usec_t now;
};

/* Settings are "name=value" strings, ended by NULL, on top of the defaults.  Aborts if that fails.
 */
void drive_node_init(struct drive_node *n, const char *const *options);
void drive_node_fini(struct drive_node *n);
int64_t drive_metric(struct drive_node *n, enum metric id);

struct drive {
    struct drive_node *node;
    struct session *session; /* NULL once the connection is closed */
    struct buf got;          /* what the client received */
    bool broken;             /* a park failed */
};

void drive_init(struct drive *d, struct drive_node *n, enum session_accepts accepts);
void drive_fini(struct drive *d);

/*
 * One turn of the connection: reads up to read_max bytes of in if the session takes any, lets up to
 * send_max bytes go, ends the turn, and closes the connection if it is over.  Returns the bytes
 * read.
 */
size_t drive_turn(struct drive *d, const char *in, size_t len, size_t read_max, size_t send_max);

/* Turns until all of in is read (or the connection closed) in reads of at most cut bytes, and
 * nothing is left to be sent. */
void drive_say(struct drive *d, const char *in, size_t len, size_t cut);
