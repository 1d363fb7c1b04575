#include "net/addr.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    const char *ptr;
    size_t      len;
};

static bool
text_is(struct text t, const char *word)
{
    return t.len == strlen(word) && memcmp(t.ptr, word, t.len) == 0;
}

/* Cuts "word" from the front of t, if it is there. */
static bool
text_cut(struct text *t, const char *word)
{
    size_t len = strlen(word);

    if (t->len < len || memcmp(t->ptr, word, len) != 0) {
        return false;
    }
    t->ptr += len;
    t->len -= len;
    return true;
}

/* Cuts "inside]:" from the front of t. */
static bool
text_cut_bracket(struct text *t, struct text *ret_inside)
{
    const char *end = memchr(t->ptr, ']', t->len);
    size_t len;

    if (end == NULL) {
        return false;
    }
    len = (size_t)(end - t->ptr);
    if (len + 1 >= t->len || end[1] != ':') {
        return false;
    }
    *ret_inside = (struct text){ t->ptr, len };
    t->ptr += len + 2;
    t->len -= len + 2;
    return true;
}

static err_t
proto_parse(struct text name, enum addr_proto *ret, struct err_detail *d)
{
    if (text_is(name, "ascii")) {
        *ret = ADDR_PROTO_TEXT;
    } else if (text_is(name, "binary")) {
        *ret = ADDR_PROTO_BINARY;
    } else if (text_is(name, "negotiating")) {
        *ret = ADDR_PROTO_AUTO;
    } else {
        return err_set(d, ERR_INVALID, "Invalid protocol spec: \"%.*s\"", (int)name.len,
                       name.ptr);
    }
    return ERR_OK;
}

/* Cuts all prefixes from the front of t. */
static err_t
prefixes_parse(struct text *t, struct addr_spec *ret, struct err_detail *d)
{
    for (;;) {
        struct text inside;

        if (text_cut(t, "notls:")) {
            ret->tls = ADDR_TLS_OFF;
        } else if (text_cut(t, "btls:")) {
            ret->tls = ADDR_TLS_ON;
        } else if (text_cut(t, "mtls:")) {
            ret->tls = ADDR_TLS_MUTUAL;
        } else if (text_cut(t, "proto[")) {
            err_t e = ERR_INVALID;

            if (!text_cut_bracket(t, &inside)) {
                return err_set(d, e, "'proto[' without ']:'");
            }
            e = proto_parse(inside, &ret->proto, d);
            if (e) {
                return e;
            }
        } else if (text_cut(t, "tag[")) {
            if (!text_cut_bracket(t, &inside)) {
                return err_set(d, ERR_INVALID, "'tag[' without ']:'");
            }
            if (inside.len == 0 || inside.len > ADDR_TAG_MAX) {
                return err_set(d, ERR_INVALID,
                               "Listener tags must be between 1 and %d characters: \"%.*s\"",
                               ADDR_TAG_MAX, (int)inside.len, inside.ptr);
            }
            memcpy(ret->tag, inside.ptr, inside.len);
            ret->tag[inside.len] = '\0';
        } else {
            return ERR_OK;
        }
    }
}

static err_t
port_parse(struct text t, int *ret, struct err_detail *d)
{
    int port = 0;

    for (size_t i = 0; i < t.len && port <= 65535; i++) {
        if (t.ptr[i] < '0' || t.ptr[i] > '9') {
            port = 65536;
        } else {
            port = port * 10 + (t.ptr[i] - '0');
        }
    }
    if (t.len == 0 || port > 65535) {
        return err_set(d, ERR_INVALID, "Invalid port number: \"%.*s\"", (int)t.len, t.ptr);
    }
    *ret = port;
    return ERR_OK;
}

/* Splits what the prefixes left into host and port. */
static err_t
place_parse(struct text t, struct addr_spec *ret, struct err_detail *d)
{
    struct text host = t;
    struct text port = { NULL, 0 };
    const char *colon = memchr(t.ptr, ':', t.len);

    if (t.len > 0 && t.ptr[0] == '[') {
        const char *end = memchr(t.ptr, ']', t.len);

        if (end == NULL || (end + 1 != t.ptr + t.len && end[1] != ':')) {
            return err_set(d, ERR_INVALID, "Invalid IPV6 address: \"%.*s\"", (int)t.len, t.ptr);
        }
        host = (struct text){ t.ptr + 1, (size_t)(end - t.ptr) - 1 };
        colon = end + 1 != t.ptr + t.len ? end + 1 : NULL;
    } else if (colon != NULL) {
        size_t left = t.len - (size_t)(colon - t.ptr) - 1;

        if (memchr(colon + 1, ':', left) != NULL) {
            colon = NULL; /* two colons and no bracket: a bare IPv6 address */
        } else {
            host.len = (size_t)(colon - t.ptr);
        }
    }
    if (colon != NULL) {
        err_t e;

        port = (struct text){ colon + 1, (size_t)(t.ptr + t.len - colon) - 1 };
        e = port_parse(port, &ret->port, d);
        if (e) {
            return e;
        }
    }
    if (text_is(host, "*")) {
        host.len = 0;
    }
    if (host.len > ADDR_HOST_MAX) {
        return err_set(d, ERR_INVALID, "a host name of %zu characters is too long", host.len);
    }
    if (host.len > 0) {
        memcpy(ret->host, host.ptr, host.len);
    }
    ret->host[host.len] = '\0';
    return ERR_OK;
}

err_t
addr_parse(const char *list, struct addr_spec *ret, const char **rest, struct err_detail *d)
{
    struct addr_spec spec = { .port = ADDR_PORT_NONE };
    struct text t = { list, strcspn(list, ",;") };
    const char *after = list[t.len] == '\0' ? NULL : list + t.len + 1;
    err_t e;

    /* Blanks around an entry are what a configuration file invites. */
    while (t.len > 0 && t.ptr[0] == ' ') {
        t.ptr++;
        t.len--;
    }
    while (t.len > 0 && t.ptr[t.len - 1] == ' ') {
        t.len--;
    }
    e = prefixes_parse(&t, &spec, d);
    if (!e) {
        e = place_parse(t, &spec, d);
    }
    if (e) {
        return e;
    }
    *ret = spec;
    *rest = after;
    return ERR_OK;
}

err_t
addr_resolve(const struct addr_spec *spec, int port, int family, struct addrinfo **ret,
             struct err_detail *d)
{
    struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_family = family,
        .ai_socktype = SOCK_STREAM,
    };
    const char *host = spec->host[0] == '\0' ? NULL : spec->host;
    char service[8];
    int rc;

    if (spec->port != ADDR_PORT_NONE) {
        port = spec->port;
    }
    assert(port >= 0 && port <= 65535);
    snprintf(service, sizeof service, "%d", port);
    rc = getaddrinfo(host, service, &hints, ret);
    if (rc != 0) {
        return err_set(d, ERR_UNKNOWN, "getaddrinfo(): %s: %s", host == NULL ? "*" : host,
                       gai_strerror(rc));
    }
    return ERR_OK;
}

uint16_t
addr_port(const struct sockaddr *sa)
{
    uint16_t port = 0;

    if (sa->sa_family == AF_INET) {
        memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in, sin_port), sizeof port);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in6, sin6_port), sizeof port);
    }
    return ntohs(port);
}
