/*
 * route.h - where a command is to be executed.
 *
 * Asked once for each command, before it is executed.  A lone node answers everything itself.
 */
#pragma once
#include "node/node.h"
#include "vocab/command.h"

enum route {
    ROUTE_HERE, /* on the local store */
};

/* Owner thread of the session that asks. */
enum route route_command(const struct node *n, const struct command *c);
