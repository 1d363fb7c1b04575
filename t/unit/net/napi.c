/* Which thread a connection goes to. */
#include "net/napi.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections of one queue meet in one thread, and no two queues share one. */
Test(napi, every_queue_has_its_thread)
{
    static const unsigned id[] = { 513, 8, 513, 77, 8, 77, 4000000000, 513 };
    static const unsigned thread[] = { 0, 1, 0, 2, 1, 2, 3, 0 };
    struct napi n = { 0 };
    bool unexpected;

    for (unsigned i = 0; i < sizeof id / sizeof id[0]; i++) {
        cr_expect(eq(u32, napi_thread(&n, 4, id[i], &unexpected), thread[i]), "connection %u", i);
        cr_expect(not(unexpected));
    }
}

/* A card that was reset has new ids; those of old are in nobody's way. */
Test(napi, an_id_too_many_forgets_the_others)
{
    struct napi n = { 0 };
    bool unexpected;

    for (unsigned id = 1; id <= 2; id++) {
        cr_expect(eq(u32, napi_thread(&n, 2, id, &unexpected), id - 1));
    }
    cr_expect(eq(u32, napi_thread(&n, 2, 3, &unexpected), 0));
    cr_expect(unexpected);
    cr_expect(eq(u32, napi_thread(&n, 2, 4, &unexpected), 1));
    cr_expect(not(unexpected));
    cr_expect(eq(u32, napi_thread(&n, 2, 3, &unexpected), 0));
    cr_expect(eq(u32, napi_thread(&n, 2, 1, &unexpected), 0));
    cr_expect(unexpected);
}

/* What has no queue says so, whatever it is. */
Test(napi, no_queue_is_0)
{
    int fd[2];

    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0));
    cr_expect(eq(u32, napi_of(fd[0]), 0));
    close(fd[0]);
    close(fd[1]);
    cr_assert(eq(int, pipe(fd), 0));
    cr_expect(eq(u32, napi_of(fd[0]), 0));
    close(fd[0]);
    close(fd[1]);
}
