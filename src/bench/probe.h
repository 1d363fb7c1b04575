/*
 * probe.h - asks a server how many items it holds.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * curr_items of the text command "stats", on a connection of its own.  False: the server does not
 * answer within a second, or not so; it may speak another protocol.
 */
bool probe_items(const char *place, uint64_t *ret);
