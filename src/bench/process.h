/*
 * process.h - a server as a process: started, found by its port, its CPU time and memory read,
 * stopped.
 *
 * What a server prints is kept, not shown: it is wanted when the server ends before it should.
 * One thread starts and stops.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct cores;

#define PROCESS_MAX 16 /* under way at once */

struct process {
    pid_t pid;       /* 0: none, or ended */
    int   status;    /* once ended: as waitpid() says it */
    int   said;      /* descriptor of what it printed; -1: nothing kept */
    char  place[32]; /* "127.0.0.1:PORT" */
};

/* What a struct is before process_start(), so that the other calls may be made. */
#define PROCESS_NONE ((struct process){ .said = -1 })

/*
 * Runs a command line of the shell on the given cores (NULL: anywhere) and waits, for a minute at
 * most, until it accepts connections at 127.0.0.1:PORT, PORT being free.  Every "{port}" of
 * the line is replaced by PORT; if there is none, "-l 127.0.0.1 -p PORT" is put behind it.
 *
 * The line is one simple command ("env A=1 server", not "A=1 server"), since the process measured
 * is what it becomes.  It dies with this process.  On failure *p can be asked and stopped.
 */
MUST_CHECK err_t process_start(struct process *p, const char *command, const struct cores *cores,
                               struct err_detail *d);
/* Asks it to end, and insists after five seconds.  One that does not run is fine. */
void process_stop(struct process *p);
/*
 * From now on SIGINT, SIGTERM and SIGHUP end the servers first, and then this process as they would
 * have anyway.
 */
void process_guard(void);

/* True if it ended by itself, or is about to: waits for that as long as the given time. */
bool process_ended(struct process *p, usec_t timeout);
/* "ended with status 1", of one that ended. */
void process_describe_end(const struct process *p, char *out, size_t size);
/* The last lines that it printed, each behind a prefix. */
void process_print_said(const struct process *p, const char *prefix, FILE *out);

/*
 * User and system time a process has used, all threads, those that ended too.  From the scheduler's
 * own clock, which /proc/PID/stat shows in steps of 10 ms; a thread that runs right now
 * counts up to its last tick, 4 ms ago at most with the usual HZ=250.
 */
MUST_CHECK err_t process_cpu(pid_t pid, usec_t *ret, struct err_detail *d);
/* Resident memory in bytes, exactly: /proc/PID/status lags by some pages of each core. */
MUST_CHECK err_t process_rss(pid_t pid, uint64_t *ret, struct err_detail *d);
