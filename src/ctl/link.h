/*
 * link.h - a connection to a server, spoken to in the text protocol, one request at a time.
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define LINK_LINE_MAX 65536 /* bytes; longer lines of an answer are an error */

/* Zeroed: closed. */
struct link {
    int        fd;   /* -1 or 0: closed */
    size_t     used; /* bytes of in that were handed out */
    struct buf in;
    const char *place; /* kept */
};

/* Connects, see dial.h for place.  Nothing takes longer than timeout without a byte. */
MUST_CHECK err_t link_open(struct link *l, const char *place, usec_t timeout,
                           struct err_detail *d);
/* A closed one is fine. */
void link_close(struct link *l);

MUST_CHECK err_t link_send(struct link *l, struct slice bytes, struct err_detail *d);
/* The next line, without its end; lent until the next call. */
MUST_CHECK err_t link_line(struct link *l, struct slice *ret, struct err_detail *d);
/* The next n bytes; lent until the next call. */
MUST_CHECK err_t link_bytes(struct link *l, size_t n, struct slice *ret, struct err_detail *d);
