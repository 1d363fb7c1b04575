#define _GNU_SOURCE /* memmem() */
#include "daemon/verbose.h"
#include "base/log.h"
#include "node/watch.h"

#include <string.h>

#define VERBOSE_LEVEL 2    /* -vv */
#define LINE_ROOM     4096 /* bytes; a watcher's lines are shorter */
#define LINES_MAX     64   /* of one turn: clients of this worker wait meanwhile */

void
verbose_end(struct verbose *v)
{
    watcher_free(v->watcher);
    v->watcher = NULL;
}

/* A line without its end: what stands behind "ts=... gid=... ". */
static void
line_log(const char *line, size_t n)
{
    const char *gid = memmem(line, n, " gid=", 5);
    const char *body = gid != NULL ? memchr(gid + 1, ' ', (size_t)(line + n - gid - 1)) : NULL;
    const char *command;
    char quoted[LOG_QUOTE_MAX];

    if (body == NULL) { /* skipped=N */
        log_line(LOG_LEVEL_DEBUG, "clients: %.*s", (int)n, line);
        return;
    }
    body++;
    command = memchr(body, ' ', (size_t)(line + n - body));
    if (command != NULL) {
        command++;
        log_line(LOG_LEVEL_DEBUG, "clients: %.*s %s", (int)(command - 1 - body), body,
                 log_quote(slice_of(command, (size_t)(line + n - command)), quoted));
    }
}

/* Writes the first line; false: there is no whole one.  It may lie in two pieces. */
static bool
line_take(struct watcher *w)
{
    char line[LINE_ROOM];
    struct iovec iov[2];
    int count = watcher_iov(w, iov, 2);
    size_t n = 0;

    for (int i = 0; i < count; i++) {
        size_t room = sizeof line - n;
        size_t part = iov[i].iov_len < room ? iov[i].iov_len : room;
        const char *end = memchr(iov[i].iov_base, '\n', part);

        part = end != NULL ? (size_t)(end - (const char *)iov[i].iov_base) : part;
        memcpy(line + n, iov[i].iov_base, part);
        n += part;
        if (end != NULL) {
            watcher_done(w, n + 1);
            line_log(line, n);
            return true;
        }
    }
    return false;
}

bool
verbose_turn(struct verbose *v, struct node *n, unsigned worker, int64_t verbosity)
{
    unsigned lines = 0;

    if (verbosity < VERBOSE_LEVEL) {
        verbose_end(v);
        return false;
    }
    if (v->watcher == NULL) {
        v->watcher = watches_add_log(n->watches, WATCH_RAWCMDS, worker);
    }
    while (v->watcher != NULL && lines < LINES_MAX && line_take(v->watcher)) {
        lines++;
    }
    return lines == LINES_MAX;
}
