/*
 * process.h - a server as a process: started, found by its port, its CPU time read, stopped.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct process {
    pid_t pid; /* 0: none */
    int   port;
    char  place[32]; /* "127.0.0.1:PORT" */
};

/*
 * Runs a command line of the shell with "-l 127.0.0.1 -p PORT" behind it, PORT being free, and
 * waits until it accepts connections.  It dies with this process.
 */
MUST_CHECK err_t process_start(struct process *p, const char *command, struct err_detail *d);
/* Asks it to end, and insists after five seconds.  One that was not started is fine. */
void process_stop(struct process *p);

/* User and system time a process has used, all threads; to 10 ms. */
MUST_CHECK err_t process_cpu(pid_t pid, usec_t *ret, struct err_detail *d);
