/*
 * words.h - the words behind the name of an administrative command.
 */
#pragma once
#include "base/slice.h"

#define WORDS_MAX 16 /* no command has more */

struct words {
    struct slice word[WORDS_MAX]; /* from count on: empty */
    unsigned     count;           /* words there are, also those beyond WORDS_MAX */
};

/* Splits at runs of blanks; the words point into text. */
static inline void
words_split(struct slice text, struct words *ret)
{
    size_t i = 0;

    *ret = (struct words){ .count = 0 };
    for (;;) {
        size_t start;

        while (i < text.len && text.ptr[i] == ' ') {
            i++;
        }
        for (start = i; i < text.len && text.ptr[i] != ' ';) {
            i++;
        }
        if (i == start) {
            return;
        }
        if (ret->count < WORDS_MAX) {
            ret->word[ret->count] = slice_of(text.ptr + start, i - start);
        }
        ret->count++;
    }
}
