/*
 * safety.h - what must hold at every node after every step, whatever goes wrong.
 *
 * At no observer does an incarnation fall; what is held of a node the node has said of itself;
 * who was dead or had left is alive again only by a higher incarnation or another run of the
 * process; a step sends no more than a few datagrams.
 */
#pragma once
#include "swarm.h"

struct safety;

struct safety *safety_new(unsigned nodes);
void safety_free(struct safety *t);
/* A node runs, and knows nothing. */
void safety_started(struct swarm *w, unsigned node);
/* After a step of a node; calls swarm_fail(). */
void safety_check(struct swarm *w, unsigned node, const struct swim_event *ev,
                  const struct swim_out *out);
