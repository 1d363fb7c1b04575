/*
 * cores.h - which processor cores the servers run on, and which the load.
 *
 * Left alone, the kernel moves both about, and a server that shares a core with the load for half a
 * round is measured with cold caches.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define CORES_MAX 1024

struct cores {
    bool has[CORES_MAX]; /* by the kernel's number */
};

/* Those that this process may use. */
void cores_allowed(struct cores *ret);
/* The calling thread, and what it starts from now on, stay on these; false: not possible. */
bool cores_stay_on(const struct cores *c);

unsigned cores_count(const struct cores *c);
/*
 * Divides cores: the lowest numbers for a load of so many threads, one for each as long as at
 * least one is left, and all others for the servers.  False if there are fewer than two.
 */
bool cores_split(const struct cores *all, unsigned threads, struct cores *ret_load,
                 struct cores *ret_servers);
/* "0-2,5"; cut if it does not fit. */
void cores_print(const struct cores *c, char *out, size_t size);
