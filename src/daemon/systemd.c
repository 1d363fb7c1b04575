#include "daemon/systemd.h"
#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEMD_FIRST_FD 3
#define SYSTEMD_FDS_MAX  64

/* A small number in decimal, or -1. */
static long
number_parse(const char *text)
{
    char *end;
    long n;

    if (text == NULL || *text < '0' || *text > '9') {
        return -1;
    }
    errno = 0;
    n = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' ? n : -1;
}

int
systemd_sockets(int *ret_first)
{
    long pid = number_parse(getenv("LISTEN_PID"));
    long count = number_parse(getenv("LISTEN_FDS"));

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (pid != (long)getpid() || count <= 0) {
        return 0;
    }
    *ret_first = SYSTEMD_FIRST_FD;
    return count > SYSTEMD_FDS_MAX ? SYSTEMD_FDS_MAX : (int)count;
}

void
systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    size_t len = path == NULL ? 0 : strlen(path);
    ssize_t sent;
    int fd;

    if (len < 2 || len >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(sa.sun_path, path, len);
    if (path[0] == '@') {
        sa.sun_path[0] = '\0'; /* an abstract name has its length instead of a NUL */
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    if (sent < 0) {
        log_line(LOG_LEVEL_WARNING, "systemd: cannot tell %s: %s", path, strerror(errno));
    }
    (void)close(fd);
}
