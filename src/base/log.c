#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic int           log_verbosity;
static _Atomic(const char *) log_program;
static _Atomic int           log_journal; /* 0: not looked yet, 1: no, 2: stderr is journald's */

void
log_set_verbosity(int verbosity)
{
    atomic_store_explicit(&log_verbosity, verbosity, memory_order_relaxed);
}

void
log_set_program(const char *name)
{
    atomic_store_explicit(&log_program, name, memory_order_relaxed);
}

bool
log_wants(enum log_level level)
{
    int verbosity = atomic_load_explicit(&log_verbosity, memory_order_relaxed);

    return (int)level <= (int)LOG_LEVEL_WARNING || verbosity >= 2 ||
           (verbosity == 1 && (int)level <= (int)LOG_LEVEL_INFO);
}

/*
 * JOURNAL_STREAM is inherited by children whose standard error goes elsewhere, so it counts only if
 * it names the device and inode that standard error has now.
 */
static bool
stderr_is_journal(void)
{
    const char        *stream = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat        st;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && (unsigned long long)st.st_dev == device &&
           (unsigned long long)st.st_ino == inode;
}

static bool
log_to_journal(void)
{
    int known = atomic_load_explicit(&log_journal, memory_order_relaxed);

    if (known == 0) {
        known = stderr_is_journal() ? 2 : 1;
        atomic_store_explicit(&log_journal, known, memory_order_relaxed);
    }
    return known == 2;
}

/* What stands before the line; returns its length. */
static size_t
prefix_write(char *out, size_t size, enum log_level level)
{
    const char *program = atomic_load_explicit(&log_program, memory_order_relaxed);
    int         n = 0;

    if (log_to_journal()) {
        n = snprintf(out, size, "<%d>", (int)level);
    } else if (program != NULL) {
        n = snprintf(out, size, "%s: ", program);
    }
    return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

void
log_line(enum log_level level, const char *fmt, ...)
{
    char    line[LOG_LINE_MAX];
    int     saved = errno;
    size_t  len;
    va_list ap;
    int     n;

    if (!log_wants(level)) {
        return;
    }
    len = prefix_write(line, sizeof line / 2, level);
    va_start(ap, fmt);
    n = vsnprintf(line + len, sizeof line - len - 1, fmt, ap);
    va_end(ap);
    if (n > 0) {
        size_t room = sizeof line - len - 2;

        len += (size_t)n < room ? (size_t)n : room;
    }
    line[len++] = '\n';
    /* A reader that is gone or slow must not hurt the node: what it does not take is lost. */
    len = (size_t)write(STDERR_FILENO, line, len);
    (void)len;
    errno = saved;
}

const char *
log_quote(struct slice bytes, char out[LOG_QUOTE_MAX])
{
    static const char hex[] = "0123456789abcdef";
    static const char cut[] = "\"...";
    size_t            len = 0;
    size_t            i = 0;

    out[len++] = '"';
    for (; i < bytes.len && len + 4 + sizeof cut <= LOG_QUOTE_MAX; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];

        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            out[len++] = (char)byte;
        } else {
            out[len++] = '\\';
            out[len++] = 'x';
            out[len++] = hex[byte >> 4];
            out[len++] = hex[byte & 15];
        }
    }
    memcpy(out + len, i < bytes.len ? cut : "\"", i < bytes.len ? sizeof cut : 2);
    return out;
}
