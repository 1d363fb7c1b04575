/*
 * route.h - where a command is to be executed.
 *
 * Asked once for each command, before it is executed.  A lone node answers everything itself; in a
 * cluster a command with a key goes to the node that acts for the key, by the worker's view.
 */
#pragma once
#include "cluster/view.h"
#include "node/worker.h"
#include "vocab/command.h"

/* Besides the places of a view. */
#define ROUTE_HERE   0xfffeu
#define ROUTE_NOBODY VIEW_NOBODY /* nobody acts for the key */

/* True for commands that are about one key, whose hash and route are asked for. */
static inline bool
route_has_key(const struct command *c)
{
    return c->op >= OP_GET && c->op <= OP_META_DEBUG;
}

/* The place of a command with a key, whose hash is filled. */
static inline uint16_t
route_command(const struct worker *w, const struct command *c)
{
    uint16_t place;

    if (__builtin_expect(!w->view, 1)) {
        return ROUTE_HERE;
    }
    place = view_acting(w->view, c->key, c->hash);
    return place == w->view->self ? ROUTE_HERE : place;
}
