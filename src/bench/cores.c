#define _GNU_SOURCE /* cpu_set_t */
#include "bench/cores.h"
#include <sched.h>
#include <stdio.h>

/* No name must lie beyond what the kernel's set can hold. */
_Static_assert(CORES_MAX <= CPU_SETSIZE, "a core has no place in cpu_set_t");

void
cores_allowed(struct cores *ret)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (unsigned i = 0; i < CORES_MAX; i++) {
        ret->has[i] = CPU_ISSET(i, &set);
    }
}

bool
cores_stay_on(const struct cores *c)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (unsigned i = 0; i < CORES_MAX; i++) {
        if (c->has[i]) {
            CPU_SET(i, &set);
        }
    }
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

unsigned
cores_count(const struct cores *c)
{
    unsigned count = 0;

    for (unsigned i = 0; i < CORES_MAX; i++) {
        count += c->has[i];
    }
    return count;
}

bool
cores_split(const struct cores *all, unsigned threads, struct cores *ret_load,
            struct cores *ret_servers)
{
    unsigned left = cores_count(all);
    unsigned want = threads < left ? threads : left - 1;

    if (left < 2) {
        return false;
    }
    for (unsigned i = 0; i < CORES_MAX; i++) {
        ret_load->has[i] = all->has[i] && want > 0;
        ret_servers->has[i] = all->has[i] && want == 0;
        want -= ret_load->has[i];
    }
    return true;
}

void
cores_print(const struct cores *c, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < CORES_MAX && len < size; i++) {
        unsigned first = i;

        if (!c->has[i]) {
            continue;
        }
        while (i + 1 < CORES_MAX && c->has[i + 1]) {
            i++;
        }
        len += (size_t)snprintf(out + len, size - len, "%s%u", len > 0 ? "," : "", first);
        if (i > first && len < size) {
            len += (size_t)snprintf(out + len, size - len, "-%u", i);
        }
    }
}
