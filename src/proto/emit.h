/*
 * emit.h - writes replies piece by piece, without printf.  Private to proto/.
 *
 * Every function writes at p, which must have room, and returns where the next piece goes.
 */
#pragma once
#include "base/num.h"
#include "base/slice.h"
#include <stdint.h>
#include <string.h>

/* A string literal. */
#define EMIT(p, literal) emit_bytes((p), (literal), sizeof(literal) - 1)

static inline char *
emit_bytes(char *p, const void *bytes, size_t n)
{
    memcpy(p, bytes, n);
    return p + n;
}

static inline char *
emit_slice(char *p, struct slice s)
{
    return s.len > 0 ? emit_bytes(p, s.ptr, s.len) : p;
}

static inline char *
emit_u64(char *p, uint64_t value)
{
    if (value < 10) {
        *p = (char)('0' + value);
        return p + 1;
    }
    return p + num_print_u64(p, value);
}

static inline char *
emit_i64(char *p, int64_t value)
{
    return p + num_print_i64(p, value);
}

/* A whole line. */
static inline char *
emit_line(char *p, const char *text)
{
    p = emit_bytes(p, text, strlen(text));
    return EMIT(p, "\r\n");
}
