/*
 * addr.h - names of places to listen at: what -l is given, and the addresses behind it.
 *
 * addr_parse() only reads text; addr_resolve() may ask the system's resolver and
 * so may block: at start only.
 */
#pragma once
#include "base/err.h"
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_HOST_MAX  255 /* bytes */
#define ADDR_TAG_MAX   8   /* bytes */
#define ADDR_PORT_NONE (-1)

enum addr_tls { ADDR_TLS_UNSAID, ADDR_TLS_OFF, ADDR_TLS_ON, ADDR_TLS_MUTUAL };
enum addr_proto { ADDR_PROTO_UNSAID, ADDR_PROTO_AUTO, ADDR_PROTO_TEXT, ADDR_PROTO_BINARY };

/* One entry of a list. */
struct addr_spec {
    char            host[ADDR_HOST_MAX + 1]; /* without brackets; empty: every interface */
    int             port;                    /* 0..65535, or ADDR_PORT_NONE */
    enum addr_tls   tls;
    enum addr_proto proto;
    char            tag[ADDR_TAG_MAX + 1];
};

/*
 * Reads the entry at the front of a list whose entries are separated by commas or
 * semicolons; *rest is set to what follows, or to NULL at the end.
 *
 *     [prefix:]... host | host:port | [v6] | [v6]:port | v6 | * | *:port
 *
 * The prefixes are notls, btls, mtls, proto[ascii|binary|negotiating] and tag[name].
 * An empty entry names every interface, as memcached has it for a lone "-l ''".
 */
MUST_CHECK err_t addr_parse(const char *list, struct addr_spec *ret, const char **rest,
                            struct err_detail *d);

/*
 * Finds the stream socket addresses of an entry; port is used if the entry has none, family is
 * AF_UNSPEC, AF_INET or AF_INET6.  Gives: freeaddrinfo().
 */
MUST_CHECK err_t addr_resolve(const struct addr_spec *spec, int port, int family,
                              struct addrinfo **ret, struct err_detail *d);

/* The port of an IP socket address, or 0. */
uint16_t addr_port(const struct sockaddr *sa);
