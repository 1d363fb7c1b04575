#include "bench/process.h"
#include "net/dial.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_MAX   4096
#define START_TIMEOUT (10 * USEC_PER_SEC)
#define STOP_TIMEOUT  (5 * USEC_PER_SEC)
#define PAUSE         (20 * USEC_PER_MSEC)

static void
pause_usec(usec_t usec)
{
    struct timespec t = { .tv_sec = usec / USEC_PER_SEC,
                          .tv_nsec = usec % USEC_PER_SEC * 1000 };

    nanosleep(&t, NULL);
}

/* A port that nobody listens at just now, or -1. */
static int
port_find(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = -1;

    if (fd < 0) {
        return -1;
    }
    if (bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0 &&
        getsockname(fd, (struct sockaddr *)&sa, &len) == 0) {
        port = ntohs(sa.sin_port);
    }
    close(fd);
    return port;
}

/* True if the process ended, which is then reaped. */
static bool
process_ended(struct process *p)
{
    if (waitpid(p->pid, NULL, WNOHANG) != p->pid) {
        return false;
    }
    p->pid = 0;
    return true;
}

/* In the child: becomes the server. */
static void
child_run(const char *command, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127); /* the parent died before it could be watched */
    }
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static err_t
process_wait(struct process *p, const char *command, struct err_detail *d)
{
    for (usec_t waited = 0; waited < START_TIMEOUT; waited += PAUSE) {
        int fd;

        if (process_ended(p)) {
            return err_set(d, ERR_IO, "\"%s\" ended at once", command);
        }
        if (!dial_connect(p->place, p->port, USEC_PER_SEC, &fd, NULL)) {
            close(fd);
            return ERR_OK;
        }
        pause_usec(PAUSE);
    }
    process_stop(p);
    return err_set(d, ERR_TIMEOUT, "\"%s\" does not listen", command);
}

err_t
process_start(struct process *p, const char *command, struct err_detail *d)
{
    char line[COMMAND_MAX];
    pid_t parent = getpid();
    int n;

    *p = (struct process){ .port = port_find() };
    if (p->port < 0) {
        return err_set(d, ERR_IO, "no free port: %s", strerror(errno));
    }
    snprintf(p->place, sizeof p->place, "127.0.0.1:%d", p->port);
    n = snprintf(line, sizeof line, "exec %s -l 127.0.0.1 -p %d", command, p->port);
    if (n < 0 || (size_t)n >= sizeof line) {
        return err_set(d, ERR_RANGE, "the server's command is too long");
    }
    fflush(NULL); /* or the child would write it again */
    p->pid = fork();
    if (p->pid == 0) {
        child_run(line, parent);
    }
    if (p->pid < 0) {
        p->pid = 0;
        return err_set(d, ERR_IO, "fork(): %s", strerror(errno));
    }
    return process_wait(p, command, d);
}

void
process_stop(struct process *p)
{
    if (p->pid == 0) {
        return;
    }
    kill(p->pid, SIGTERM);
    for (usec_t waited = 0; waited < STOP_TIMEOUT; waited += PAUSE) {
        if (process_ended(p)) {
            return;
        }
        pause_usec(PAUSE);
    }
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

err_t
process_cpu(pid_t pid, usec_t *ret, struct err_detail *d)
{
    char path[64], line[1024];
    unsigned long long user, system;
    const char *after;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    f = fopen(path, "r");
    if (!f) {
        return err_set(d, ERR_IO, "%s: %s", path, strerror(errno));
    }
    n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    after = strrchr(line, ')'); /* the name before it may hold anything */
    if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                         &system) != 2) {
        return err_set(d, ERR_CORRUPT, "%s: cannot be read", path);
    }
    *ret = (usec_t)(user + system) * USEC_PER_SEC / sysconf(_SC_CLK_TCK);
    return ERR_OK;
}
