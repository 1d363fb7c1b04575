/*
 * token.h - words of a line, told apart by runs of blanks.  Private to proto/.
 *
 * Only the space separates: tabs and all other bytes belong to words, as in memcached.
 */
#pragma once
#include "base/slice.h"
#include <string.h>

/* Drops blanks at the front. */
static inline void
token_skip(struct slice *rest)
{
    while (rest->len > 0 && *rest->ptr == ' ') {
        rest->ptr++;
        rest->len--;
    }
}

/* Takes the next word off *rest, which then starts right behind it; an empty one: no more. */
static inline struct slice
token_next(struct slice *rest)
{
    const char *word = rest->ptr, *end = word + rest->len;

    while (word < end && *word == ' ') {
        word++;
    }
    const char *p = word;
    while (p < end && *p != ' ') {
        p++;
    }
    *rest = slice_of(p, (size_t)(end - p));
    return slice_of(word, (size_t)(p - word));
}

/* The same for words that may be long: keys. */
static inline struct slice
token_key(struct slice *rest)
{
    const char *end;
    struct slice word;

    token_skip(rest);
    end = rest->len > 0 ? memchr(rest->ptr, ' ', rest->len) : NULL;
    word = slice_of(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = slice_from(*rest, word.len);
    return word;
}
