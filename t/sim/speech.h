/*
 * speech.h - the operations of a history as bytes of the three protocols, and their answers.
 */
#pragma once
#include "base/buf.h"
#include "history.h"
#include "user.h"

struct speech {
    struct world *world;
    struct history *history;
    struct known *known;
    unsigned user;
    bool strict;     /* an error is a failure of the run */
    uint64_t errors; /* of the server, that were answered */
};

/* Appends the request. */
void speech_write(enum user_speaks speaks, const struct history *h, const struct ask *a,
                  struct buf *out);
/* An operation that can be asked for without an answer, in text. */
bool speech_is_silent(const struct deed *o);
void speech_write_silent(const struct history *h, uint32_t number, struct buf *out);

/* Reads what is whole of the answer and ends those operations; over: that was all of it.  Returns
 * the bytes read. */
size_t speech_read(struct speech *s, enum user_speaks speaks, struct ask *a, struct slice in,
                   bool *over);
