/*
 * systemd.h - the service manager that started us: sockets it holds, and what it is told.
 *
 * The protocol is two environment variables and a datagram; without them
 * nothing happens.  Main thread.
 */
#pragma once

/*
 * The listening sockets that were handed over: *ret_first is the first
 * descriptor, the return value how many.  Once only: the variables are removed, so that
 * no child believes they are its own.
 */
int systemd_sockets(int *ret_first);

/* Tells the manager: "READY=1", "STOPPING=1", one or several lines. */
void systemd_notify(const char *state);
