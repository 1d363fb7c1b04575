#include "bench/trace.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/magpie-trace-XXXXXX";

static void
file_write(const char *text, size_t len)
{
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    cr_assert(eq(i64, write(fd, text, len), (ssize_t)len));
    close(fd);
}

static void
file_remove(void)
{
    if (path[sizeof path - 2] != 'X') {
        unlink(path);
    }
}

TestSuite(trace, .fini = file_remove);

static bool
line_parse(const char *text, struct trace_record *r, const char **why)
{
    return trace_parse_line(slice_of(text, strlen(text)), r, why);
}

Test(trace, a_line_is_a_record)
{
    struct trace_record r;
    const char *why;

    cr_assert(line_parse("12.25,some:key,100,set,60", &r, &why));
    cr_expect(eq(i64, r.time, 12250000000));
    cr_expect(slice_is(r.key, "some:key"));
    cr_expect(r.size == 100 && r.ttl == 60 && r.verb == VERB_SET);
    cr_assert(line_parse("0,k,0,get,0", &r, &why) && r.verb == VERB_GET && r.time == 0);
    cr_assert(line_parse("0.0000000019,\x80\xff,16777216,delete,0", &r, &why));
    cr_expect(r.verb == VERB_DELETE && r.time == 1 && r.size == 16777216 && r.key.len == 2);
    cr_assert(line_parse("4294967295,k,1,incr,315360000", &r, &why) && r.verb == VERB_INCR);
    cr_expect(eq(i64, r.time, 4294967295 * NSEC_PER_SEC));
}

Test(trace, anything_else_is_refused_with_a_reason)
{
    static const char *const rows[] = {
        "",                 "0",                "0,k",              "0,k,1,get",
        "0,k,1,get,0,",     "0,k,1,get,0,x",    ",k,1,get,0",       "x,k,1,get,0",
        "-1,k,1,get,0",     "1.,k,1,get,0",     ".5,k,1,get,0",     "1.x,k,1,get,0",
        "1e3,k,1,get,0",    " 1,k,1,get,0",     "+1,k,1,get,0",     "4294967296,k,1,get,0",
        "1.2.3,k,1,get,0",  "0,,1,get,0",       "0,a b,1,get,0",    "0,a\tb,1,get,0",
        "0,a\x7f,1,get,0",  "0,k,,get,0",       "0,k,-1,get,0",     "0,k,+1,get,0",
        "0,k,1.5,get,0",    "0,k,16777217,get,0", "0,k,1,,0",       "0,k,1,gets,0",
        "0,k,1,GET,0",      "0,k,1,get ,0",     "0,k,1,get,",       "0,k,1,get,x",
        "0,k,1,get,-1",     "0,k,1,get,315360001", "0,k,1,get,0 ",  "time,key,size,op,ttl",
    };
    char line[400];
    struct trace_record r;
    const char *why;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        why = NULL;
        cr_expect(not(line_parse(rows[i], &r, &why)), "\"%s\"", rows[i]);
        cr_expect(why != NULL, "\"%s\"", rows[i]);
    }
    snprintf(line, sizeof line, "0,%0250d,1,get,0", 1);
    cr_expect(line_parse(line, &r, &why), "a key of 250 bytes");
    snprintf(line, sizeof line, "0,%0251d,1,get,0", 1);
    cr_expect(not(line_parse(line, &r, &why)), "a key of 251 bytes");
}

/* Reads all; the number of records, and why it ended. */
static unsigned
read_all(double warmup, unsigned *late, struct err_detail *d)
{
    struct trace_record r;
    struct trace *t;
    unsigned count = 0;
    bool end;

    *late = 0;
    d->text[0] = '\0';
    cr_assert(zero(int, trace_open(path, warmup, &t, d)));
    while (!trace_next(t, &r, &end, d) && !end) {
        char name[32];

        snprintf(name, sizeof name, "key-%u", count);
        cr_assert(slice_is(r.key, name), "record %u", count);
        *late += r.late;
        count++;
    }
    trace_close(t);
    return count;
}

/* Larger than the buffer, so that lines lie across its end, with a header and no last newline. */
Test(trace, a_large_file_is_read_whole)
{
    enum { COUNT = 60000 };
    size_t cap = (size_t)COUNT * 64, len;
    char *text = malloc(cap);
    struct err_detail d;
    unsigned late;

    cr_assert(text != NULL);
    len = (size_t)snprintf(text, cap, "time,key,size,op,ttl\r\n");
    for (int i = 0; i < COUNT; i++) {
        len += (size_t)snprintf(text + len, cap - len, "%d.5,key-%d,%d,get,0%s", i, i, i % 900,
                                i + 1 == COUNT ? "" : i % 2 ? "\n" : "\r\n");
    }
    file_write(text, len);
    cr_expect(eq(uint, read_all(0.5, &late, &d), COUNT));
    cr_expect(eq(str, d.text, ""));
    cr_expect(late > COUNT * 0.47 && late < COUNT * 0.53, "%u late", late);
    cr_expect(eq(uint, read_all(0, &late, &d), COUNT));
    cr_expect(eq(uint, late, COUNT));
    free(text);
}

Test(trace, a_bad_line_is_named)
{
    static const char text[] = "0,key-0,1,get,0\n1,key-1,1,get,0\nbad\n3,key-2,1,get,0\n";
    struct err_detail d;
    unsigned late;

    file_write(text, strlen(text));
    cr_expect(eq(uint, read_all(0, &late, &d), 2));
    cr_expect(strstr(d.text, path) != NULL && strstr(d.text, ": line 3: ") != NULL, "%s", d.text);
}

Test(trace, an_empty_line_is_bad_and_a_late_header_too)
{
    static const char *const rows[] = {
        "0,key-0,1,get,0\n\n1,key-1,1,get,0\n",
        "0,key-0,1,get,0\ntime,key,size,op,ttl\n",
        "5,key-0,1,get,0\n4.999999999,key-1,1,get,0\n",
    };
    struct err_detail d;
    unsigned late;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(path + sizeof path - 7, "XXXXXX", 6);
        file_write(rows[i], strlen(rows[i]));
        cr_expect(eq(uint, read_all(0, &late, &d), 1));
        cr_expect(strstr(d.text, ": line 2: ") != NULL, "%s", d.text);
        unlink(path);
    }
}

Test(trace, a_line_without_end_is_not_read_for_ever)
{
    char *text = malloc(1u << 20);
    struct err_detail d;
    unsigned late;

    cr_assert(text != NULL);
    memset(text, 'x', 1u << 20);
    file_write(text, 1u << 20);
    cr_expect(eq(uint, read_all(0, &late, &d), 0));
    cr_expect(strstr(d.text, ": line 1: too long") != NULL, "%s", d.text);
    free(text);
}

Test(trace, what_is_no_file_is_refused)
{
    struct err_detail d;
    struct trace *t;

    cr_expect(ne(int, trace_open("/nonexistent/trace", 0, &t, &d), 0));
    cr_expect(ne(int, trace_open("/tmp", 0, &t, &d), 0));
    cr_expect(strstr(d.text, "regular file") != NULL, "%s", d.text);
}
