#include "ctl/verbs.h"
#include "base/num.h"
#include "ctl/status.h"
#include "vocab/limits.h"
#include <stdio.h>
#include <unistd.h>

/* The word of a line that stands behind count blanks; empty if there is none. */
static struct slice
word_at(struct slice line, unsigned count)
{
    const char *blank;

    for (; count > 0; count--) {
        blank = memchr(line.ptr, ' ', line.len);
        if (!blank) {
            return slice_of(line.ptr, 0);
        }
        line = slice_from(line, (size_t)(blank + 1 - line.ptr));
    }
    blank = memchr(line.ptr, ' ', line.len);
    return slice_of(line.ptr, blank ? (size_t)(blank - line.ptr) : line.len);
}

/* What a server says that it should not. */
static err_t
answer_refuse(const struct verbs_call *c, struct slice line, struct err_detail *d)
{
    return err_set(d, ERR_DENIED, "%s answers: %.*s", c->link.place,
                   (int)(line.len < 150 ? line.len : 150), line.ptr);
}

static err_t
key_check(const char *key, struct err_detail *d)
{
    size_t len = strlen(key);

    if (len == 0 || len > KEY_MAX) {
        return err_set(d, ERR_INVALID, "a key has 1..%d bytes, this one %zu", KEY_MAX, len);
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)key[i] <= ' ' || key[i] == 0x7f) {
            return err_set(d, ERR_INVALID, "a key has no blanks and no control characters");
        }
    }
    return ERR_OK;
}

/* Sends one line and reads the first of the answer. */
static err_t
line_ask(struct verbs_call *c, struct slice *ret, struct err_detail *d, const char *verb,
         const char *word)
{
    struct buf line = { 0 };
    err_t e = buf_printf(&line, word ? "%s %s\r\n" : "%s\r\n", verb, word) ? ERR_OK : ERR_NOMEM;

    e = e ? err_set(d, e, "no memory")
          : link_send(&c->link, slice_of(line.ptr, line.len), d);
    e = e ? e : link_line(&c->link, ret, d);
    buf_free(&line);
    return e;
}

static err_t
verb_get(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct slice line, value;
    uint32_t len;
    err_t e = key_check(c->argv[0], d);

    e = e ? e : line_ask(c, &line, d, "get", c->argv[0]);
    if (e) {
        return e;
    }
    if (slice_is(line, "END")) {
        fprintf(stderr, "magpiectl: no such key: %s\n", c->argv[0]);
        *ret = VERBS_NO;
        return ERR_OK;
    }
    if (!slice_is(word_at(line, 0), "VALUE") || !num_parse_u32(word_at(line, 3), &len)) {
        return answer_refuse(c, line, d);
    }
    e = link_bytes(&c->link, (size_t)len + 2, &value, d);
    if (e) {
        return e;
    }
    fwrite(value.ptr, 1, len, stdout);
    if (isatty(STDOUT_FILENO)) {
        putchar('\n');
    }
    return ERR_OK;
}

/* All of standard input. */
static err_t
input_read(struct buf *ret, struct err_detail *d)
{
    size_t n;

    do {
        if (ret->len > VALUE_MAX || !buf_reserve(ret, 65536)) {
            return err_set(d, ERR_RANGE, "the value on standard input is too large");
        }
        n = fread(ret->ptr + ret->len, 1, 65536, stdin);
        ret->len += n;
    } while (n > 0);
    return ferror(stdin) ? err_set(d, ERR_IO, "standard input cannot be read") : ERR_OK;
}

/* Sends a whole set: line, value, line end. */
static err_t
set_send(struct verbs_call *c, int64_t ttl, struct slice value, struct err_detail *d)
{
    struct buf out = { 0 };
    bool ok = buf_printf(&out, "set %s 0 %lld %zu\r\n", c->argv[0], (long long)ttl, value.len) &&
              buf_add(&out, value.ptr, value.len) && buf_add(&out, "\r\n", 2);
    err_t e = ok ? link_send(&c->link, slice_of(out.ptr, out.len), d)
                 : err_set(d, ERR_NOMEM, "no memory for the value");

    buf_free(&out);
    return e;
}

static err_t
verb_set(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct buf input = { 0 };
    struct slice line, value = slice_of(c->argv[1], strlen(c->argv[1]));
    int64_t ttl = 0;
    err_t e = key_check(c->argv[0], d);

    (void)ret;
    if (!e && c->ttl &&
        (!num_parse_i64(slice_of(c->ttl, strlen(c->ttl)), &ttl) || ttl < 0)) {
        e = err_set(d, ERR_INVALID, "--ttl %s: want seconds", c->ttl);
    }
    if (!e && slice_is(value, "-")) {
        e = input_read(&input, d);
        value = slice_of(input.ptr, input.len);
    }
    e = e ? e : set_send(c, ttl, value, d);
    buf_free(&input);
    e = e ? e : link_line(&c->link, &line, d);
    return e || slice_is(line, "STORED") ? e : answer_refuse(c, line, d);
}

static err_t
verb_delete(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct slice line;
    err_t e = key_check(c->argv[0], d);

    e = e ? e : line_ask(c, &line, d, "delete", c->argv[0]);
    if (!e && slice_is(line, "NOT_FOUND")) {
        fprintf(stderr, "magpiectl: no such key: %s\n", c->argv[0]);
        *ret = VERBS_NO;
        return ERR_OK;
    }
    return e || slice_is(line, "DELETED") ? e : answer_refuse(c, line, d);
}

static err_t
verb_flush(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct slice line;
    err_t e = line_ask(c, &line, d, "flush_all", NULL);

    (void)ret;
    return e || slice_is(line, "OK") ? e : answer_refuse(c, line, d);
}

static err_t
verb_version(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct slice line;
    err_t e = line_ask(c, &line, d, "version", NULL);

    (void)ret;
    if (e) {
        return e;
    }
    if (!slice_is(word_at(line, 0), "VERSION")) {
        return answer_refuse(c, line, d);
    }
    line = slice_from(line, sizeof "VERSION" - 1);
    line = slice_from(line, line.len > 0);
    printf("%.*s\n", (int)line.len, line.ptr);
    return ERR_OK;
}

/* Lines that begin with "STAT " are the answer; anything else is the end, or a complaint. */
static err_t
verb_stats(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct slice line;
    const char *about = c->argc > 0 ? c->argv[0] : NULL;
    err_t e;

    (void)ret;
    if (about && strpbrk(about, "\r\n")) {
        return err_set(d, ERR_INVALID, "statistics have no names with line ends");
    }
    e = line_ask(c, &line, d, "stats", about);
    while (!e) {
        struct slice name = word_at(line, 1);

        if (slice_is(line, "END") || slice_is(line, "RESET") || slice_is(line, "OK")) {
            return ERR_OK;
        }
        if (!slice_is(word_at(line, 0), "STAT")) {
            return answer_refuse(c, line, d);
        }
        printf("%.*s\n", (int)(line.ptr + line.len - name.ptr), name.ptr);
        e = link_line(&c->link, &line, d);
    }
    return e;
}

static err_t
verb_status(struct verbs_call *c, enum verbs_exit *ret, struct err_detail *d)
{
    struct status status = { 0 };
    struct slice line;
    err_t e = line_ask(c, &line, d, "stats", NULL);

    (void)ret;
    while (!e && !slice_is(line, "END")) {
        if (!slice_is(word_at(line, 0), "STAT")) {
            return answer_refuse(c, line, d);
        }
        status_add(&status, word_at(line, 1), word_at(line, 2));
        e = link_line(&c->link, &line, d);
    }
    if (!e) {
        printf("server       %s\n", c->link.place);
        status_print(&status);
    }
    return e;
}

static const struct verb verbs[] = {
    { "status", 0, 0, false, "", "the server's health on one screen", verb_status },
    { "stats", 0, 1, false, " [NAME]", "statistics; NAME: settings, items, slabs, ...",
      verb_stats },
    { "get", 1, 1, false, " KEY", "print a value", verb_get },
    { "set", 2, 2, true, " KEY VALUE [--ttl S]", "store a value; \"-\" reads standard input",
      verb_set },
    { "delete", 1, 1, false, " KEY", "remove a key", verb_delete },
    { "flush", 0, 0, false, "", "forget every key", verb_flush },
    { "version", 0, 0, false, "", "print the server's version", verb_version },
};

const struct verb *
verbs_find(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

void
verbs_print_help(void)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        printf("  %s%-*s %s\n", verbs[i].name, (int)(27 - strlen(verbs[i].name)), verbs[i].usage,
               verbs[i].help);
    }
}
