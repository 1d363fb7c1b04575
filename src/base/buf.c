#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 256 /* bytes of the first allocation */

bool
buf_reserve(struct buf *b, size_t n)
{
    size_t cap;
    char  *ptr;

    assert(b->len <= b->cap);
    if (n <= b->cap - b->len) {
        return true;
    }
    if (n > SIZE_MAX - b->len) {
        return false;
    }
    cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
    while (cap < b->len + n) {
        cap = cap > SIZE_MAX / 2 ? b->len + n : cap * 2;
    }
    ptr = realloc(b->ptr, cap);
    if (ptr == NULL) {
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

bool
buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (!buf_reserve(b, n)) {
        return false;
    }
    if (n != 0) {
        memcpy(b->ptr + b->len, bytes, n);
        b->len += n;
    }
    return true;
}

bool
buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int     n;

    /* Most lines fit into what is there; the length is known only after trying. */
    va_start(ap, fmt);
    n = vsnprintf(b->ptr == NULL ? NULL : b->ptr + b->len, b->cap - b->len, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if ((size_t)n >= b->cap - b->len) {
        if (!buf_reserve(b, (size_t)n + 1)) {
            return false;
        }
        va_start(ap, fmt);
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
    return true;
}

void
buf_shift(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n != 0) {
        b->len -= n;
        memmove(b->ptr, b->ptr + n, b->len);
    }
}

void
buf_free(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){ 0 };
}
