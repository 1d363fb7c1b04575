/*
 * num.h - decimal numbers to text and back, strictly and without printf.
 *
 * Parsing takes the whole slice: digits only, behind one "+" at most, as memcached's clients may
 * send it (signed forms: or one "-"); no blanks, no empty text, no overflow.  On false *ret is
 * untouched.
 */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define NUM_PRINT_MAX 20 /* bytes that num_print_*() writes at most */

bool num_parse_u64(struct slice text, uint64_t *ret);
bool num_parse_u32(struct slice text, uint32_t *ret);
bool num_parse_i64(struct slice text, int64_t *ret);
bool num_parse_i32(struct slice text, int32_t *ret);

/* Write without a NUL to out, which has NUM_PRINT_MAX bytes; return the length. */
size_t num_print_u64(char *out, uint64_t value);
size_t num_print_i64(char *out, int64_t value);
