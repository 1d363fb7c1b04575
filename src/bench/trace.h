/*
 * trace.h - reads a trace of requests to keys: a CSV file with the lines
 *
 *     time,key,size,op,ttl
 *
 *   time  seconds since any beginning, with or without decimals; never runs backwards
 *   key   1 to 250 bytes without blanks, commas and control characters
 *   size  bytes of the value that is stored, or that is stored if a get misses
 *   op    get, set, delete or incr
 *   ttl   seconds the value is kept; 0: for ever
 *
 * A first line that consists of just these names is a header.  Anything else that is not such a
 * line ends the trace with an error that names the line: nothing is skipped.  The file is
 * read in pieces and may be larger than memory.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "bench/dialect.h"
#include <stdbool.h>
#include <stdint.h>

#define TRACE_LINE_MAX  1024u          /* bytes */
#define TRACE_VALUE_MAX (16u << 20)    /* bytes */
#define TRACE_TTL_MAX   UINT32_C(315360000) /* seconds: ten years */
#define TRACE_TIME_MAX  UINT32_MAX     /* seconds: the Unix epoch may be the beginning */

/* The key is lent until the next call of trace_next(). */
struct trace_record {
    nsec_t       time;
    struct slice key;
    uint32_t     size; /* bytes */
    enum verb    verb;
    uint32_t     ttl;  /* seconds */
    bool         late; /* begins behind the given share of the file */
};

struct trace;

/* line is without its end.  False: *why says what is wrong with it. */
bool trace_parse_line(struct slice line, struct trace_record *ret, const char **why);

/*
 * Opens a regular file; records behind the first warmup (0..1) of its bytes are late.  Keeps path.
 * Gives: trace_close().
 */
MUST_CHECK err_t trace_open(const char *path, double warmup, struct trace **ret,
                            struct err_detail *d);
void trace_close(struct trace *t);
/* The next record; *ret_end is true if there is none. */
MUST_CHECK err_t trace_next(struct trace *t, struct trace_record *ret, bool *ret_end,
                            struct err_detail *d);
