/*
 * pool.h - many runs in a few child processes, and their results in order.
 *
 * A run that ends its process (an assertion, a signal) is a failed run and takes no other with it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/*
 * Calls fn(i, result of i, arg) for each i of 0..count-1 in one of so many children.  ret is an
 * array of count results of size bytes each; they begin as zeroes.  Returns count, or the least i
 * whose process died.  jobs == 0: in this process, for a debugger.
 */
unsigned pool_run(unsigned jobs, unsigned count, size_t size, void *ret,
                  void (*fn)(unsigned i, void *result, const void *arg), const void *arg);
/* As many as there are cores. */
unsigned pool_jobs(void);
