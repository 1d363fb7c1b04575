/*
 * buf.h - bytes that grow: a heap buffer with a length and a capacity.
 *
 * A zeroed struct is an empty buffer.  Growing at least doubles, so appending n bytes one by one
 * costs O(n).
 */
#pragma once
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char  *ptr;
    size_t len;
    size_t cap;
};

/* Makes room for n more bytes behind len.  False: no memory, nothing changed. */
MUST_CHECK bool buf_reserve(struct buf *b, size_t n);
/* Appends; false: no memory, nothing appended. */
MUST_CHECK bool buf_add(struct buf *b, const void *bytes, size_t n);
MUST_CHECK PRINTF(2, 3) bool buf_printf(struct buf *b, const char *fmt, ...);
/* Drops the first n bytes. */
void buf_shift(struct buf *b, size_t n);
/* Frees the memory and leaves an empty buffer. */
void buf_free(struct buf *b);
