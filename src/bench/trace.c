#include "bench/trace.h"
#include "base/num.h"
#include "bench/keys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM   (256u << 10) /* bytes read at a time */
#define HEADER "time,key,size,op,ttl"

struct trace {
    const char *path;
    int         fd;
    bool        ended;       /* nothing more can be read */
    uint64_t    line;        /* number of the last one */
    uint64_t    offset;      /* of the byte at begin */
    uint64_t    late_from;   /* offset */
    nsec_t      time;        /* of the last record */
    size_t      begin, end;  /* what is read and not used */
    char        room[ROOM];
};

/* -- one line ---------------------------------------------------------------------------------- */

/* What lies before the next comma, which is taken too; false: there is none. */
static bool
field_take(struct slice *line, struct slice *ret)
{
    const char *comma = memchr(line->ptr, ',', line->len);

    if (!comma) {
        return false;
    }
    *ret = slice_of(line->ptr, (size_t)(comma - line->ptr));
    *line = slice_from(*line, ret->len + 1);
    return true;
}

/* Digits only, without the "+" that num_parse_u32() takes. */
static bool
number_parse(struct slice text, uint32_t max, uint32_t *ret)
{
    uint32_t n;

    if (text.len == 0 || *text.ptr == '+' || !num_parse_u32(text, &n) || n > max) {
        return false;
    }
    *ret = n;
    return true;
}

/* "12" or "12.000345"; digits behind the ninth decimal are dropped. */
static bool
time_parse(struct slice text, nsec_t *ret)
{
    const char *point = memchr(text.ptr, '.', text.len);
    size_t whole_len = point ? (size_t)(point - text.ptr) : text.len;
    uint32_t whole;
    nsec_t part = 0, unit = NSEC_PER_SEC / 10;

    if (!number_parse(slice_of(text.ptr, whole_len), TRACE_TIME_MAX, &whole) ||
        (point && whole_len + 1 == text.len)) {
        return false;
    }
    for (size_t i = whole_len + 1; i < text.len; i++, unit /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        part += (text.ptr[i] - '0') * unit;
    }
    *ret = (nsec_t)whole * NSEC_PER_SEC + part;
    return true;
}

static bool
key_is_valid(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 0x7f) {
            return false;
        }
    }
    return key.len > 0 && key.len <= KEYS_NAME_MAX;
}

bool
trace_parse_line(struct slice line, struct trace_record *ret, const char **why)
{
    struct slice time, size, verb;

    *ret = (struct trace_record){ 0 };
    if (!field_take(&line, &time) || !field_take(&line, &ret->key) || !field_take(&line, &size) ||
        !field_take(&line, &verb) || memchr(line.ptr, ',', line.len)) {
        *why = "want five fields: " HEADER;
    } else if (!time_parse(time, &ret->time)) {
        *why = "the time is no number of seconds";
    } else if (!key_is_valid(ret->key)) {
        *why = "the key wants 1 to 250 bytes without blanks and control characters";
    } else if (!number_parse(size, TRACE_VALUE_MAX, &ret->size)) {
        *why = "the size is no number of bytes up to 16 MiB";
    } else if (!dialect_parse_verb(verb, &ret->verb)) {
        *why = "the op is not get, set, delete or incr";
    } else if (!number_parse(line, TRACE_TTL_MAX, &ret->ttl)) {
        *why = "the ttl is no number of seconds";
    } else {
        return true;
    }
    return false;
}

/* -- a file ------------------------------------------------------------------------------------ */

static err_t
trace_fail(const struct trace *t, const char *why, struct err_detail *d)
{
    return err_set(d, ERR_CORRUPT, "%s: line %llu: %s", t->path, (unsigned long long)t->line, why);
}

err_t
trace_open(const char *path, double warmup, struct trace **ret, struct err_detail *d)
{
    struct trace *t = malloc(sizeof *t);
    struct stat st;
    err_t e = ERR_OK;

    if (!t) {
        return err_set(d, ERR_NOMEM, "no memory for a trace");
    }
    t->path = path;
    t->ended = false;
    t->line = t->offset = 0;
    t->time = 0;
    t->begin = t->end = 0;
    t->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is not waited for */
    if (t->fd < 0 || fstat(t->fd, &st) != 0) {
        e = err_set(d, ERR_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        e = err_set(d, ERR_INVALID, "%s: a trace is a regular file", path);
    }
    if (e) {
        trace_close(t);
        return e;
    }
    t->late_from = (uint64_t)((double)st.st_size * warmup);
    *ret = t;
    return ERR_OK;
}

void
trace_close(struct trace *t)
{
    if (t && t->fd >= 0) {
        close(t->fd);
    }
    free(t);
}

/* Reads more behind what is there. */
static err_t
trace_fill(struct trace *t, struct err_detail *d)
{
    ssize_t n;

    memmove(t->room, t->room + t->begin, t->end - t->begin);
    t->end -= t->begin;
    t->begin = 0;
    do {
        n = read(t->fd, t->room + t->end, ROOM - t->end);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return err_set(d, ERR_IO, "%s: %s", t->path, strerror(errno));
    }
    t->end += (size_t)n;
    t->ended = n == 0;
    return ERR_OK;
}

/* The next line without its end; *ret_end is true if there is none. */
static err_t
line_take(struct trace *t, struct slice *ret, bool *ret_end, struct err_detail *d)
{
    for (;;) {
        const char *from = t->room + t->begin;
        size_t there = t->end - t->begin;
        const char *nl = memchr(from, '\n', there);
        size_t len = nl ? (size_t)(nl - from) : there;
        err_t e;

        *ret_end = there == 0 && t->ended;
        if (*ret_end) {
            return ERR_OK;
        }
        if (nl || t->ended || len > TRACE_LINE_MAX) {
            t->line++;
            t->begin += nl ? len + 1 : len;
            t->offset += nl ? len + 1 : len;
            *ret = slice_of(from, len > 0 && from[len - 1] == '\r' ? len - 1 : len);
            return len > TRACE_LINE_MAX ? trace_fail(t, "too long", d) : ERR_OK;
        }
        e = trace_fill(t, d);
        if (e) {
            return e;
        }
    }
}

err_t
trace_next(struct trace *t, struct trace_record *ret, bool *ret_end, struct err_detail *d)
{
    uint64_t offset = t->offset;
    struct slice line;
    const char *why;
    err_t e = line_take(t, &line, ret_end, d);

    if (!e && !*ret_end && t->line == 1 && slice_is(line, HEADER)) {
        offset = t->offset;
        e = line_take(t, &line, ret_end, d);
    }
    if (e || *ret_end) {
        return e;
    }
    if (!trace_parse_line(line, ret, &why)) {
        return trace_fail(t, why, d);
    }
    if (ret->time < t->time) {
        return trace_fail(t, "the time runs backwards", d);
    }
    t->time = ret->time;
    ret->late = offset >= t->late_from;
    return ERR_OK;
}
