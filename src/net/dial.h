/*
 * dial.h - connects to a server that the user names; for clients, who may wait.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"

/*
 * Connects to place: HOST, HOST:PORT, [V6]:PORT, or the path of a Unix socket (it has a "/" in it).
 * port is used if place has none.  Tries every address of the host, each for at most
 * timeout.  *ret is a blocking socket with TCP_NODELAY, closed by the caller.
 */
MUST_CHECK err_t dial_connect(const char *place, int port, usec_t timeout, int *ret,
                              struct err_detail *d);
