/*
 * base64.h - bytes as text: the standard alphabet of RFC 4648 with padding.
 *
 * Decoding is strict: length a multiple of four, "=" only at the end, unused bits zero, so that
 * every byte string has exactly one text.
 */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>

/* Bytes of the text of n bytes. */
#define BASE64_TEXT_LEN(n) (((n) + 2) / 3 * 4)
/* Most bytes that n characters of text can mean. */
#define BASE64_BYTES_MAX(n) ((n) / 4 * 3)

/* Writes the text of in without a NUL; false: it does not fit into size, nothing written. */
bool base64_encode(struct slice in, char *out, size_t size, size_t *ret_len);
/* False: not base64, or more than size bytes; *ret_len is untouched, out may be scribbled on. */
bool base64_decode(struct slice in, void *out, size_t size, size_t *ret_len);
