/*
 * log.h - lines for the operator, on standard error.
 *
 * A line is: subject, what happened, what we do about it, numbers with units.  Under journald a
 * "<N>" priority stands before it.  Each line is one write(), so threads do not mix; nothing is
 * buffered and nothing waits for a reader that is gone.  Pure folders do not log.  Any thread.
 */
#pragma once
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>

/* The numbers are the priorities of syslog(3). */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

#define LOG_LINE_MAX  1024 /* bytes; longer lines are cut */
#define LOG_QUOTE_MAX 128  /* bytes of client data in a line, with its quotes and NUL */

/* memcached's -v: 0 errors and warnings, 1 adds LOG_LEVEL_INFO, 2 and more LOG_LEVEL_DEBUG. */
void log_set_verbosity(int verbosity);
/* True if lines of that level are written; saves the work of making them. */
bool log_wants(enum log_level level);

PRINTF(2, 3) void log_line(enum log_level level, const char *fmt, ...);

/* Names the program in front of lines that do not go to journald; kept, NULL for none. */
void log_set_program(const char *name);

/*
 * Client bytes in a form that is safe in a log: in double quotes, anything but printable ASCII as
 * \xNN, cut with "..." after it.  Returns out, NUL-terminated.
 */
const char *log_quote(struct slice bytes, char out[LOG_QUOTE_MAX]);
