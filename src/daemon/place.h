/*
 * place.h - addresses of nodes: from socket addresses and back, as text, and which one is ours.
 *
 * Any thread.
 */
#pragma once
#include "vocab/cluster.h"
#include <stdbool.h>
#include <sys/socket.h>

#define PLACE_TEXT_MAX 56 /* bytes of place_print(), with its NUL */

/* False if it is neither IPv4 nor IPv6. */
bool place_addr_of(const struct sockaddr *sa, struct cluster_addr *ret);
/* As IPv4 if it is of that; the length. */
socklen_t place_sockaddr(const struct cluster_addr *a, struct sockaddr_storage *ret);
bool place_is_v4(const struct cluster_addr *a);
/* 0.0.0.0 or [::] */
bool place_is_any(const struct cluster_addr *a);
bool place_is_loopback(const struct cluster_addr *a);

/* "1.2.3.4:5" or "[v6]:5"; returns out. */
const char *place_print(const struct cluster_addr *a, char out[PLACE_TEXT_MAX]);
/* The same without port and brackets. */
const char *place_print_ip(const struct cluster_addr *a, char out[PLACE_TEXT_MAX]);
/* An address, not a name, without port and brackets.  ret may be NULL; its port is 0. */
bool place_parse_ip(const char *text, struct cluster_addr *ret);

/* Our own address on the way to another one, without a port; false: there is no way.  Sends
 * nothing. */
bool place_towards(const struct cluster_addr *there, struct cluster_addr *ret);
/* The same on the way to the world. */
bool place_outward(struct cluster_addr *ret);
