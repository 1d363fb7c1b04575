/*
 * clock.h - the unit of time, and the one place where a clock is read.
 *
 * Pure folders take "usec_t now" as an argument and never call clock_now().
 */
#pragma once
#include <stdint.h>

typedef int64_t usec_t; /* microseconds; as a point in time: since 1970, UTC */
typedef int64_t nsec_t; /* nanoseconds; as a point in time: since some moment before the start */

#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_PER_MSEC ((usec_t)1000)
#define NSEC_PER_SEC  ((nsec_t)1000000000)
#define NSEC_PER_USEC ((nsec_t)1000)

/*
 * Now, as microseconds since 1970.  Never runs backwards: the wall clock is
 * read once at start, and CLOCK_MONOTONIC is added to it.  Any thread.
 */
usec_t clock_now(void);

/* CLOCK_MONOTONIC, for what is shorter than a microsecond.  Any thread. */
nsec_t clock_nsec(void);

/* CPU time used by this process so far: user and system, microseconds. */
void clock_cpu(usec_t *ret_user, usec_t *ret_system);
