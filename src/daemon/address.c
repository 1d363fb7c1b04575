#include "daemon/address.h"
#include "net/addr.h"

#include <netinet/in.h>
#include <string.h>

struct conn_addr
address_of(const struct sockaddr_storage *sa)
{
    struct conn_addr a = { .kind = CONN_NONE };

    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

        a.kind = CONN_TCP;
        memcpy(a.u.ip, &in->sin_addr, 4);
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

        a.kind = CONN_TCP6;
        memcpy(a.u.ip, &in6->sin6_addr, 16);
    }
    a.port = addr_port((const struct sockaddr *)sa);
    return a;
}
