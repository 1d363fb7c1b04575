#define _GNU_SOURCE /* pipe2() */
#include "daemon/process.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char *process_pid_path;

err_t
process_limit_files(size_t connections, size_t reserved, struct err_detail *d)
{
    rlim_t want = (rlim_t)connections + (rlim_t)reserved;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return err_set(d, ERR_IO, "getrlimit(): %s", strerror(errno));
    }
    if (limit.rlim_cur >= want) {
        return ERR_OK;
    }
    limit.rlim_cur = want;
    if (limit.rlim_max < want) {
        struct rlimit higher = { .rlim_cur = want, .rlim_max = want };

        if (setrlimit(RLIMIT_NOFILE, &higher) == 0) {
            return ERR_OK; /* root may */
        }
        limit.rlim_cur = limit.rlim_max;
    }
    if (limit.rlim_cur < connections || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return err_set(d, ERR_DENIED,
                       "failed to set rlimit for open files to %zu, the hard limit is %llu. "
                       "Try starting as root or requesting smaller maxconns value (-c).",
                       connections, (unsigned long long)limit.rlim_max);
    }
    return ERR_OK;
}

err_t
process_limit_core(struct err_detail *d)
{
    struct rlimit limit = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

    if (setrlimit(RLIMIT_CORE, &limit) == 0) {
        return ERR_OK;
    }
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_CORE, &limit) == 0) {
            return ERR_OK;
        }
    }
    return err_set(d, ERR_DENIED, "failed to ensure corefile creation (-r)");
}

err_t
process_lock_memory(struct err_detail *d)
{
    const struct rlimit all = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
    /*
     * Once root is given up the limit holds for us, and with MCL_FUTURE every mapping above it
     * fails.  The arena is there already, so without it little is left unlocked.
     */
    const int later = setrlimit(RLIMIT_MEMLOCK, &all) == 0 ? MCL_FUTURE : 0;

    if (mlockall(MCL_CURRENT | later) < 0) {
        return err_set(d, ERR_DENIED, "-k invalid, mlockall() failed: %s", strerror(errno));
    }
    return ERR_OK;
}

/* The parent's part: waits until the child is ready or gone. */
static _Noreturn void
process_await(int ready, pid_t child)
{
    char byte;
    ssize_t n;
    int status;

    do {
        n = read(ready, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        _exit(EXIT_SUCCESS);
    }
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        _exit(WEXITSTATUS(status));
    }
    _exit(EXIT_FAILURE);
}

err_t
process_daemonize(int *ret_ready, struct err_detail *d)
{
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_set(d, ERR_IO, "pipe2(): %s", strerror(errno));
    }
    child = fork();
    if (child < 0) {
        err_t e = err_set(d, ERR_IO, "fork(): %s", strerror(errno));

        (void)close(ends[0]);
        (void)close(ends[1]);
        return e;
    }
    if (child > 0) {
        (void)close(ends[1]);
        process_await(ends[0], child);
    }
    (void)close(ends[0]);
    if (setsid() < 0) {
        return err_set(d, ERR_IO, "setsid(): %s", strerror(errno));
    }
    *ret_ready = ends[1];
    return ERR_OK;
}

void
process_ready(int ready, bool close_streams, bool change_dir)
{
    ssize_t n;

    if (ready < 0) {
        return;
    }
    if (change_dir && chdir("/") < 0) {
        log_line(LOG_LEVEL_WARNING, "process: cannot change to /: %s", strerror(errno));
    }
    if (close_streams) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null >= 0) {
            (void)dup2(null, STDIN_FILENO);
            (void)dup2(null, STDOUT_FILENO);
            (void)dup2(null, STDERR_FILENO);
            if (null > STDERR_FILENO) {
                (void)close(null);
            }
        }
    }
    do {
        n = write(ready, "", 1);
    } while (n < 0 && errno == EINTR);
    (void)close(ready);
}

err_t
process_write_pid(const char *path, uid_t owner, struct err_detail *d)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    err_t e = ERR_OK;

    if (fd < 0) {
        return err_set(d, ERR_IO, "could not open the pid file %s for writing: %s", path,
                       strerror(errno));
    }
    if (write(fd, text, (size_t)len) != len) {
        e = err_set(d, ERR_IO, "could not write the pid file %s: %s", path, strerror(errno));
    } else if (owner != (uid_t)-1 && fchown(fd, owner, (gid_t)-1) < 0) {
        e = err_set(d, ERR_IO, "could not give the pid file %s away: %s", path, strerror(errno));
    }
    (void)close(fd);
    if (!e) {
        process_pid_path = realpath(path, NULL);
    }
    return e;
}

void
process_remove_pid(void)
{
    if (process_pid_path == NULL) {
        return;
    }
    /* After dropping root the folder may not be ours any more: an empty file names nobody. */
    if (unlink(process_pid_path) < 0 && truncate(process_pid_path, 0) < 0) {
        log_line(LOG_LEVEL_WARNING, "process: could not remove the pid file %s: %s",
                 process_pid_path, strerror(errno));
    }
    free(process_pid_path);
    process_pid_path = NULL;
}
