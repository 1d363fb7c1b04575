#include "net/napi.h"

#include <assert.h>
#include <sys/socket.h>

unsigned
napi_of(int fd)
{
    unsigned id = 0;
#ifdef SO_INCOMING_NAPI_ID
    socklen_t len = sizeof id;

    if (getsockopt(fd, SOL_SOCKET, SO_INCOMING_NAPI_ID, &id, &len) < 0) {
        return 0;
    }
#else
    (void)fd;
#endif
    return id;
}

unsigned
napi_thread(struct napi *n, unsigned threads, unsigned id, bool *ret_unexpected)
{
    assert(id != 0 && threads > 0 && threads <= NAPI_THREADS_MAX && n->known <= threads);
    *ret_unexpected = false;
    for (unsigned i = 0; i < n->known; i++) {
        if (n->id[i] == id) {
            return i;
        }
    }
    if (n->known == threads) {
        *ret_unexpected = true;
        n->known = 0;
    }
    n->id[n->known] = id;
    return n->known++;
}
