#include "bench/probe.h"
#include "base/clock.h"
#include "base/num.h"
#include "net/dial.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_MAX 16384
#define TIMEOUT    USEC_PER_SEC
#define ITEMS      "\r\nSTAT curr_items "

/* The whole number that the line begins with. */
static bool
items_find(const char *answer, uint64_t *ret)
{
    const char *at = strstr(answer, ITEMS);
    const char *end = at ? strstr(at + 2, "\r\n") : NULL;

    if (!end) {
        return false;
    }
    at += strlen(ITEMS);
    return num_parse_u64(slice_of(at, (size_t)(end - at)), ret);
}

bool
probe_items(const char *place, uint64_t *ret)
{
    struct timeval timeout = { .tv_sec = TIMEOUT / USEC_PER_SEC };
    char answer[ANSWER_MAX + 1];
    size_t len = 0;
    bool found = false;
    int fd;

    if (dial_connect(place, 0, TIMEOUT, &fd, NULL)) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (send(fd, "stats\r\n", 7, MSG_NOSIGNAL) == 7) {
        ssize_t n;

        while (!found && len < ANSWER_MAX &&
               (n = recv(fd, answer + len, ANSWER_MAX - len, 0)) > 0) {
            len += (size_t)n;
            answer[len] = '\0';
            found = items_find(answer, ret);
            if (len >= 5 && strcmp(answer + len - 5, "END\r\n") == 0) {
                break;
            }
        }
    }
    close(fd);
    return found;
}
