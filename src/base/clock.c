#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

static pthread_once_t clock_once = PTHREAD_ONCE_INIT;
static usec_t         clock_offset; /* wall clock less monotonic clock; set once */

static nsec_t
clock_read(clockid_t id)
{
    struct timespec ts;
    int             failed = clock_gettime(id, &ts);

    assert(failed == 0);
    (void)failed;
    return (nsec_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void
clock_start(void)
{
    clock_offset = (clock_read(CLOCK_REALTIME) - clock_read(CLOCK_MONOTONIC)) / NSEC_PER_USEC;
}

usec_t
clock_now(void)
{
    pthread_once(&clock_once, clock_start);
    return clock_offset + clock_read(CLOCK_MONOTONIC) / NSEC_PER_USEC;
}

nsec_t
clock_nsec(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

void
clock_cpu(usec_t *ret_user, usec_t *ret_system)
{
    struct rusage ru = { 0 };
    int           failed = getrusage(RUSAGE_SELF, &ru);

    assert(failed == 0);
    (void)failed;
    *ret_user = (usec_t)ru.ru_utime.tv_sec * USEC_PER_SEC + ru.ru_utime.tv_usec;
    *ret_system = (usec_t)ru.ru_stime.tv_sec * USEC_PER_SEC + ru.ru_stime.tv_usec;
}
