#define _GNU_SOURCE /* memfd_create() */
#include "bench/process.h"
#include "base/buf.h"
#include "bench/cores.h"
#include "net/dial.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT (60 * USEC_PER_SEC)
#define STOP_TIMEOUT  (5 * USEC_PER_SEC)
#define PAUSE         (10 * USEC_PER_MSEC)
#define SAID_MAX      2000 /* bytes shown of what it printed */
#define SAID_LINES    5
#define PORT_MARK     "{port}"

/* The processes under way, for the signal handler. */
static volatile sig_atomic_t running[PROCESS_MAX];

static const int guarded[] = { SIGINT, SIGTERM, SIGHUP };
#define GUARDED (sizeof guarded / sizeof *guarded)

/* May be called by a signal handler. */
static void
pause_usec(usec_t usec)
{
    poll(NULL, 0, (int)(usec / USEC_PER_MSEC));
}

/* -- ends: those with "pid" in front may be called by a signal handler ------------------------- */

/* True if it is gone; reaps it. */
static bool
pid_gone(pid_t pid, int *status)
{
    pid_t got = waitpid(pid, status, WNOHANG);

    return got == pid || (got < 0 && errno == ECHILD);
}

static bool
pid_gone_within(pid_t pid, int *status, usec_t timeout)
{
    for (usec_t waited = 0; !pid_gone(pid, status); waited += PAUSE) {
        if (waited >= timeout) {
            return false;
        }
        pause_usec(PAUSE);
    }
    return true;
}

/* It has a group of its own, so that its children go with it. */
static void
pid_end(pid_t pid, int *status)
{
    kill(-pid, SIGTERM);
    if (!pid_gone_within(pid, status, STOP_TIMEOUT)) {
        kill(-pid, SIGKILL);
        waitpid(pid, status, 0);
    }
}

static void
pid_replace(pid_t old, pid_t new)
{
    for (int i = 0; i < PROCESS_MAX; i++) {
        if (running[i] == old) {
            running[i] = new;
            return;
        }
    }
}

static void
guard_handle(int sig)
{
    int status;

    for (int i = 0; i < PROCESS_MAX; i++) {
        if (running[i] != 0) {
            pid_end(running[i], &status);
        }
    }
    signal(sig, SIG_DFL);
    raise(sig); /* when the handler has returned */
}

void
process_guard(void)
{
    struct sigaction action = { .sa_handler = guard_handle }, before;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < GUARDED; i++) {
        sigaddset(&action.sa_mask, guarded[i]);
    }
    for (size_t i = 0; i < GUARDED; i++) {
        if (sigaction(guarded[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
            sigaction(guarded[i], &action, NULL);
        }
    }
}

bool
process_ended(struct process *p, usec_t timeout)
{
    if (p->pid != 0 && pid_gone_within(p->pid, &p->status, timeout)) {
        pid_replace(p->pid, 0);
        p->pid = 0;
    }
    return p->pid == 0;
}

void
process_stop(struct process *p)
{
    if (p->pid != 0) {
        pid_end(p->pid, &p->status);
        pid_replace(p->pid, 0);
        p->pid = 0;
    }
    if (p->said >= 0) {
        close(p->said);
        p->said = -1;
    }
}

void
process_describe_end(const struct process *p, char *out, size_t size)
{
    if (WIFSIGNALED(p->status)) {
        int sig = WTERMSIG(p->status);

        snprintf(out, size, "was ended by signal %d (%s)", sig, strsignal(sig));
    } else {
        snprintf(out, size, "ended with status %d", WEXITSTATUS(p->status));
    }
}

void
process_print_said(const struct process *p, const char *prefix, FILE *out)
{
    char text[SAID_MAX + 1];
    off_t size = p->said < 0 ? 0 : lseek(p->said, 0, SEEK_END);
    off_t from = size > SAID_MAX ? size - SAID_MAX : 0;
    ssize_t n = p->said < 0 ? 0 : pread(p->said, text, SAID_MAX, from);
    char *line = text, *end;
    int lines = 0;

    if (n <= 0) {
        return;
    }
    n -= text[n - 1] == '\n';
    text[n] = '\0';
    for (char *at = text + n; at > text && lines < SAID_LINES; at--) {
        if (at[-1] == '\n' && ++lines == SAID_LINES) {
            line = at;
        }
    }
    for (; line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        fprintf(out, "%s%.*s\n", prefix, end ? (int)(end - line) : (int)strlen(line), line);
    }
}

/* -- start ------------------------------------------------------------------------------------ */

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

/* The line for the shell, with the port in it, NUL behind it. */
static bool
command_write(struct buf *line, const char *command, int port)
{
    const char *mark = strstr(command, PORT_MARK);
    bool ok = buf_printf(line, "exec ");

    if (!mark) {
        ok = ok && buf_printf(line, "%s -l 127.0.0.1 -p %d", command, port);
        command = "";
    }
    for (; mark; mark = strstr(command, PORT_MARK)) {
        ok = ok && buf_printf(line, "%.*s%d", (int)(mark - command), command, port);
        command = mark + strlen(PORT_MARK);
    }
    return ok && buf_printf(line, "%s", command) && buf_add(line, "", 1);
}

/* In the child: becomes the server. */
static void
child_run(const char *line, const struct cores *cores, int said, pid_t parent)
{
    sigset_t none;

    setpgid(0, 0); /* Ctrl-C is for the parent, who asks nicely */
    for (size_t i = 0; i < GUARDED; i++) {
        signal(guarded[i], SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127); /* the parent died before it could be watched */
    }
    if (cores) {
        cores_stay_on(cores);
    }
    dup2(said, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
}

static err_t
process_wait(struct process *p, int port, struct err_detail *d)
{
    for (usec_t waited = 0; waited < START_TIMEOUT; waited += PAUSE) {
        int fd;

        if (process_ended(p, 0)) {
            return err_set(d, ERR_IO, "ended before it accepted connections");
        }
        if (!dial_connect(p->place, port, USEC_PER_SEC, &fd, NULL)) {
            close(fd);
            return ERR_OK;
        }
        pause_usec(PAUSE);
    }
    return err_set(d, ERR_TIMEOUT, "does not listen at %s", p->place);
}

/* The signals of process_guard() wait until the process is known to the handler. */
static err_t
process_fork(struct process *p, const char *line, const struct cores *cores, struct err_detail *d)
{
    pid_t parent = getpid();
    sigset_t all, before;

    fflush(NULL); /* or the child would write it again */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    p->pid = fork();
    if (p->pid == 0) {
        child_run(line, cores, p->said, parent);
    }
    if (p->pid > 0) {
        setpgid(p->pid, p->pid); /* whoever is first */
        pid_replace(0, p->pid);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (p->pid < 0) {
        p->pid = 0;
        return err_set(d, ERR_IO, "fork(): %s", strerror(errno));
    }
    return ERR_OK;
}

err_t
process_start(struct process *p, const char *command, const struct cores *cores,
              struct err_detail *d)
{
    struct buf line = { 0 };
    int port = port_find();
    err_t e = ERR_OK;

    *p = PROCESS_NONE;
    p->said = memfd_create("said", MFD_CLOEXEC);
    if (port < 0 || p->said < 0) {
        return err_set(d, ERR_IO, "no free port or descriptor: %s", strerror(errno));
    }
    snprintf(p->place, sizeof p->place, "127.0.0.1:%d", port);
    if (!command_write(&line, command, port)) {
        e = err_set(d, ERR_NOMEM, "no memory");
    }
    e = e ? e : process_fork(p, line.ptr, cores, d);
    e = e ? e : process_wait(p, port, d);
    buf_free(&line);
    return e;
}

/* -- figures ---------------------------------------------------------------------------------- */

err_t
process_cpu(pid_t pid, usec_t *ret, struct err_detail *d)
{
    clockid_t clock;
    struct timespec t;
    int error = clock_getcpuclockid(pid, &clock);

    if (error == 0 && clock_gettime(clock, &t) != 0) {
        error = errno;
    }
    if (error != 0) {
        return err_set(d, ERR_IO, "CPU time of process %ld: %s", (long)pid, strerror(error));
    }
    *ret = (usec_t)t.tv_sec * USEC_PER_SEC + t.tv_nsec / 1000;
    return ERR_OK;
}

err_t
process_rss(pid_t pid, uint64_t *ret, struct err_detail *d)
{
    char path[64], line[256];
    unsigned long long kib;
    bool found = false;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid);
    f = fopen(path, "re");
    if (!f) {
        return err_set(d, ERR_IO, "%s: %s", path, strerror(errno));
    }
    while (!found && fgets(line, sizeof line, f)) {
        found = sscanf(line, "Rss: %llu kB", &kib) == 1;
    }
    fclose(f);
    if (!found) {
        return err_set(d, ERR_CORRUPT, "%s: says no Rss", path);
    }
    *ret = (uint64_t)kib * 1024;
    return ERR_OK;
}
