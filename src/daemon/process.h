/*
 * process.h - the process among others: limits, background, pid file, port file.
 *
 * Main thread; all but process_remove_pid() before other threads start.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors beside the connections: listeners, loops, standard streams, what libraries open. */
#define PROCESS_RESERVED_FDS(threads) (64u + 4u * (unsigned)(threads))

/*
 * Raises RLIMIT_NOFILE to connections and reserved together.  A hard limit between the two is
 * made do with: accepting then pauses when descriptors run out.
 */
MUST_CHECK err_t process_limit_files(size_t connections, size_t reserved, struct err_detail *d);
/* Raises the limit for core files as far as it goes. */
MUST_CHECK err_t process_limit_core(struct err_detail *d);
/*
 * Locks all memory, and what is mapped later if the limit can be lifted.  While still root: after
 * that the limit would stop the threads from starting.
 */
MUST_CHECK err_t process_lock_memory(struct err_detail *d);

/*
 * Goes on in a child without a terminal.  The parent waits for process_ready() and
 * exits 0, or with the child's code if that ends before; so whoever started it can
 * connect at once.  Messages go to standard error until then.  *ret_ready is handed
 * to process_ready().
 */
MUST_CHECK err_t process_daemonize(int *ret_ready, struct err_detail *d);
/*
 * Tells the parent.  With close_streams standard streams become /dev/null, with change_dir the
 * working directory becomes "/".  A negative ready is fine.
 */
void process_ready(int ready, bool close_streams, bool change_dir);

/*
 * Writes the process id.  An old file is overwritten.  path is kept (made absolute) for
 * process_remove_pid(); owner is who may overwrite it later, (uid_t)-1 for nobody else.
 */
MUST_CHECK err_t process_write_pid(const char *path, uid_t owner, struct err_detail *d);
/* Removes what process_write_pid() wrote, if it did. */
void process_remove_pid(void);
