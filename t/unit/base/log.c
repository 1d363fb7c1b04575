#include "base/log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Standard error becomes a pipe; returns its reading end. */
static int
stderr_capture(void)
{
    int fd[2];

    cr_assert(eq(int, pipe(fd), 0));
    cr_assert(eq(int, fcntl(fd[0], F_SETFL, O_NONBLOCK), 0));
    cr_assert(eq(int, dup2(fd[1], STDERR_FILENO), STDERR_FILENO));
    close(fd[1]);
    return fd[0];
}

/* What was written since the last call. */
static const char *
text_take(int fd)
{
    static char room[4 * LOG_LINE_MAX];
    ssize_t     n = read(fd, room, sizeof room - 1);

    room[n > 0 ? n : 0] = '\0';
    return room;
}

Test(log, verbosity_decides_what_is_written)
{
    int fd = stderr_capture();

    log_line(LOG_LEVEL_INFO, "event");
    log_line(LOG_LEVEL_DEBUG, "command");
    cr_expect_str_eq(text_take(fd), "");
    log_line(LOG_LEVEL_WARNING, "warning %d", 1);
    cr_expect_str_eq(text_take(fd), "warning 1\n");
    log_set_verbosity(1);
    log_line(LOG_LEVEL_INFO, "event");
    log_line(LOG_LEVEL_DEBUG, "command");
    cr_expect_str_eq(text_take(fd), "event\n");
    log_set_verbosity(2);
    log_line(LOG_LEVEL_DEBUG, "command");
    cr_expect_str_eq(text_take(fd), "command\n");
}

/* journald reads the priority from the line, but only if standard error is really its stream. */
Test(log, journald_gets_priorities)
{
    int         fd = stderr_capture();
    char        stream[64];
    struct stat st;

    log_set_program("magpied");
    cr_assert(eq(int, fstat(STDERR_FILENO, &st), 0));
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_line(LOG_LEVEL_ERROR, "disk is full");
    cr_expect_str_eq(text_take(fd), "<3>disk is full\n");
}

Test(log, an_inherited_journal_stream_does_not_count)
{
    int         fd = stderr_capture();
    char        stream[64];
    struct stat st;

    log_set_program("magpied");
    cr_assert(eq(int, fstat(STDERR_FILENO, &st), 0));
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino + 1);
    setenv("JOURNAL_STREAM", stream, 1);
    log_line(LOG_LEVEL_ERROR, "disk is full");
    cr_expect_str_eq(text_take(fd), "magpied: disk is full\n");
}

Test(log, long_lines_are_cut_and_still_end)
{
    int         fd = stderr_capture();
    const char *line;

    errno = EAGAIN;
    log_line(LOG_LEVEL_ERROR, "%02000d", 1);
    cr_expect(eq(int, errno, EAGAIN), "logging must not change what is being reported");
    line = text_take(fd);
    cr_expect(le(sz, strlen(line), LOG_LINE_MAX));
    cr_expect(gt(sz, strlen(line), LOG_LINE_MAX - 8));
    cr_expect(eq(chr, line[strlen(line) - 1], '\n'));
}

/* A key must not be able to forge a log line or drive the terminal. */
Test(log, client_bytes_are_quoted)
{
    char out[LOG_QUOTE_MAX];
    char big[1000];

    cr_expect_str_eq(log_quote(SLICE("key:1"), out), "\"key:1\"");
    cr_expect_str_eq(log_quote(SLICE("a\r\n\"\\\x1b\xff"), out),
                 "\"a\\x0d\\x0a\\x22\\x5c\\x1b\\xff\"");
    cr_expect_str_eq(log_quote(slice_of(NULL, 0), out), "\"\"");
    memset(big, '\n', sizeof big);
    for (size_t n = 0; n < sizeof big; n++) {
        size_t len = strlen(log_quote(slice_of(big, n), out));

        cr_assert(lt(sz, len, LOG_QUOTE_MAX));
        cr_assert(eq(chr, out[len - 1], n <= 30 ? '"' : '.'), "%zu", n);
    }
}
