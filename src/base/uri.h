/*
 * uri.h - keys in lists and logs: percent-encoding as memcached writes it.
 *
 * A-Z a-z 0-9 - . _ ~ stand for themselves, every other byte is %XX in capitals.
 */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>

/* Most bytes of text that n bytes need. */
#define URI_TEXT_MAX(n) ((n) * 3)

/* Writes without a NUL and returns the length; out has room for URI_TEXT_MAX(in.len) bytes. */
size_t uri_encode(struct slice in, char *out);
/* The way back; false: a "%" without two hex digits, or more than size bytes. */
bool uri_decode(struct slice in, char *out, size_t size, size_t *ret_len);
