/*
 * slice.h - a pointer and a length: bytes that belong to somebody else.
 *
 * A slice owns nothing and ends with no NUL.  Whoever hands one out says how
 * long it is lent.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t      len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice
slice_of(const void *ptr, size_t len)
{
    return (struct slice){ (const char *)ptr, len };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* True if the slice spells exactly the NUL-terminated text. */
static inline bool
slice_is(struct slice a, const char *text)
{
    return a.len == strlen(text) && (a.len == 0 || memcmp(a.ptr, text, a.len) == 0);
}

/* The slice without its first n bytes; n is at most its length. */
static inline struct slice
slice_from(struct slice a, size_t n)
{
    return (struct slice){ a.ptr + n, a.len - n };
}
