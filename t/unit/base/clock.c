#include "base/clock.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <time.h>

Test(clock, now_is_the_time_of_day_and_never_runs_backwards)
{
    usec_t last = clock_now();
    usec_t apart = last - (usec_t)time(NULL) * USEC_PER_SEC;

    cr_expect(gt(i64, apart, -USEC_PER_SEC));
    cr_expect(lt(i64, apart, 3 * USEC_PER_SEC));
    for (int i = 0; i < 100000; i++) {
        usec_t now = clock_now();

        cr_assert(ge(i64, now, last));
        last = now;
    }
}

Test(clock, cpu_time_grows_with_work)
{
    usec_t          user = 0;
    usec_t          system = 0;
    usec_t          later_user = 0;
    usec_t          later_system = 0;
    volatile double x = 1;

    clock_cpu(&user, &system);
    later_user = user;
    later_system = system;
    while (later_user + later_system < user + system + 20 * USEC_PER_MSEC) {
        for (int i = 0; i < 10000; i++) {
            x = x * 1.0000001;
        }
        clock_cpu(&later_user, &later_system);
    }
    cr_expect(ge(i64, later_user, user));
    cr_expect(ge(i64, later_system, system));
    cr_expect(gt(i64, later_user, 0));
}
