#include "daemon/place.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool
place_addr_of(const struct sockaddr *sa, struct cluster_addr *ret)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof in);
        memcpy(ret->ip, v4_prefix, sizeof v4_prefix);
        memcpy(ret->ip + 12, &in.sin_addr, 4);
        ret->port = ntohs(in.sin_port);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof in6);
        memcpy(ret->ip, &in6.sin6_addr, 16);
        ret->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

socklen_t
place_sockaddr(const struct cluster_addr *a, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    if (place_is_v4(a)) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;

        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, 16);
    return sizeof *in6;
}

bool
place_is_v4(const struct cluster_addr *a)
{
    return memcmp(a->ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool
place_is_any(const struct cluster_addr *a)
{
    static const uint8_t none[16];

    return memcmp(a->ip + (place_is_v4(a) ? 12 : 0), none, place_is_v4(a) ? 4 : 16) == 0;
}

bool
place_is_loopback(const struct cluster_addr *a)
{
    static const uint8_t v6[16] = { [15] = 1 };

    return place_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, v6, sizeof v6) == 0;
}

const char *
place_print_ip(const struct cluster_addr *a, char out[PLACE_TEXT_MAX])
{
    if (place_is_v4(a)) {
        (void)inet_ntop(AF_INET, a->ip + 12, out, PLACE_TEXT_MAX);
    } else {
        (void)inet_ntop(AF_INET6, a->ip, out, PLACE_TEXT_MAX);
    }
    return out;
}

const char *
place_print(const struct cluster_addr *a, char out[PLACE_TEXT_MAX])
{
    char ip[PLACE_TEXT_MAX];

    snprintf(out, PLACE_TEXT_MAX, place_is_v4(a) ? "%.46s:%u" : "[%.46s]:%u",
             place_print_ip(a, ip), a->port);
    return out;
}

bool
place_parse_ip(const char *text, struct cluster_addr *ret)
{
    struct cluster_addr a = { .port = 0 };

    if (inet_pton(AF_INET, text, a.ip + 12) == 1) {
        memcpy(a.ip, v4_prefix, sizeof v4_prefix);
    } else if (inet_pton(AF_INET6, text, a.ip) != 1) {
        return false;
    }
    if (ret != NULL) {
        *ret = a;
    }
    return true;
}

bool
place_towards(const struct cluster_addr *there, struct cluster_addr *ret)
{
    struct sockaddr_storage sa, own = { .ss_family = AF_UNSPEC };
    socklen_t len = place_sockaddr(there, &sa), own_len = sizeof own;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct cluster_addr a;
    bool found;

    if (fd < 0) {
        return false;
    }
    found = connect(fd, (struct sockaddr *)&sa, len) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
            place_addr_of((struct sockaddr *)&own, &a) && !place_is_any(&a);
    (void)close(fd);
    if (found) {
        a.port = 0;
        *ret = a;
    }
    return found;
}

bool
place_outward(struct cluster_addr *ret)
{
    /* Addresses for documents (RFC 5737, 3849): nobody has them, the default route goes there. */
    struct cluster_addr a;

    return (place_parse_ip("203.0.113.1", &a) && (a.port = 9, place_towards(&a, ret))) ||
           (place_parse_ip("2001:db8::1", &a) && (a.port = 9, place_towards(&a, ret)));
}
