/*
 * input.h - the bytes of one connection that are not parsed yet.
 *
 * During a turn they lie in the worker's receive buffer, where the kernel put them; what is left at
 * the end of the turn moves to a heap buffer of the connection's own.  A short rest is copied in
 * front of the next read, so that a connection owns memory for as short a time as possible; a long
 * one (a line of many keys) grows where it is, so that n bytes cost O(n) however they arrive.  All
 * calls: the worker's thread.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define INPUT_GATHER_MAX 4096u /* bytes: a rest up to this is short */

/* A zeroed struct is an empty input. */
struct input {
    struct slice rest;   /* unparsed; take bytes off its front as you like */
    struct buf   own;
    bool         is_own; /* rest lies in own, else in the worker's buffer */
};

/*
 * Where the next bytes are to be read to: behind the rest, in own or in the worker's buffer rx of
 * size bytes. Without memory {NULL, 0}.  Lent until input_read().
 */
struct iovec input_space(struct input *in, char *rx, size_t size);
/* n bytes were read there. */
void input_read(struct input *in, char *rx, size_t n);
/* The worker needs its buffer back: keeps the rest in memory of its own.  False: no memory, nothing
 * lost yet. */
MUST_CHECK bool input_keep(struct input *in);
void input_drop(struct input *in);
