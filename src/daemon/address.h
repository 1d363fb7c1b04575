/*
 * address.h - addresses of sockets in the form that the node shows them in.
 */
#pragma once
#include "node/conns.h"
#include <sys/socket.h>

/* As TCP: who knows that it is UDP says so.  CONN_NONE for what is neither IPv4 nor IPv6.  Any
 * thread. */
struct conn_addr address_of(const struct sockaddr_storage *sa);
