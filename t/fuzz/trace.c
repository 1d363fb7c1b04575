/*
 * trace.c - fuzzes the lines of a trace: what is read can be written, and is then read as the same.
 */
#include "bench/trace.h"
#include "vocab/limits.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
check_record(const struct trace_record *r)
{
    char line[TRACE_LINE_MAX];
    const char *why = NULL;
    struct trace_record again;
    int n;

    assert(r->key.len > 0 && r->key.len <= KEY_MAX && (unsigned)r->verb < VERBS);
    assert(r->size <= TRACE_VALUE_MAX && r->ttl <= TRACE_TTL_MAX && r->time >= 0 && !r->late);
    n = snprintf(line, sizeof line, "%lld.%09lld,%.*s,%u,%s,%u",
                 (long long)(r->time / NSEC_PER_SEC), (long long)(r->time % NSEC_PER_SEC),
                 (int)r->key.len, r->key.ptr, r->size, dialect_verb(r->verb), r->ttl);
    assert(n > 0 && (size_t)n < sizeof line);
    assert(trace_parse_line(slice_of(line, (size_t)n), &again, &why));
    assert(again.time == r->time && slice_eq(again.key, r->key) && again.size == r->size &&
           again.verb == r->verb && again.ttl == r->ttl);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        const uint8_t *nl = memchr(bytes + at, '\n', len - at);
        size_t n = nl ? (size_t)(nl - bytes) - at : len - at;
        char *copy = malloc(n ? n : 1); /* exactly the line, so that a look behind it is seen */
        struct trace_record r;
        const char *why = NULL;

        assert(copy);
        memcpy(copy, bytes + at, n);
        if (trace_parse_line(slice_of(copy, n), &r, &why)) {
            check_record(&r);
        } else {
            assert(why);
        }
        free(copy);
        at += n + 1;
    }
    return 0;
}
