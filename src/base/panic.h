/*
 * panic.h - the last words of a process with a bug.
 *
 * A failed assert or a fatal signal prints build, signal, thread and backtrace to standard error
 * with nothing but async-signal-safe calls, then the signal takes its normal course (core dump).
 */
#pragma once
#include <assert.h>

/* Checks too costly for production; assert() itself is always on. */
#ifdef MAGPIE_DEBUG
#define DEBUG_ASSERT(condition) assert(condition)
#else
#define DEBUG_ASSERT(condition) ((void)sizeof(condition))
#endif

/*
 * Installs the handlers for SIGABRT, SIGSEGV, SIGBUS, SIGFPE and SIGILL.  build is printed first
 * and kept.  Call once at start, before threads; signals that somebody else handles already
 * (a sanitizer) are left alone.
 */
void panic_install(const char *build);
/*
 * Gives the calling thread a stack of its own for the handler, so that an overflown stack is
 * reported too.  Optional; once per thread.
 */
void panic_thread_start(void);
void panic_thread_stop(void);
