/*
 * prefixes.h - "stats detail": how often keys of one prefix are read and written.
 *
 * A table that only grows, up to PREFIXES_MAX prefixes; keys of further ones are not counted.
 * Nothing calls it while detail is off.  All calls: any thread; a spin lock guards the table.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>

#define PREFIXES_MAX 65536

enum prefixes_event { PREFIXES_GET, PREFIXES_HIT, PREFIXES_SET, PREFIXES_DELETE, PREFIXES_EVENTS };

struct prefixes;

/* NULL without memory.  Gives. */
struct prefixes *prefixes_new(void);
/* NULL is fine. */
void prefixes_free(struct prefixes *p);

/*
 * Counts one event for the prefix of a key: what stands before the first delimiter.  A key
 * without one belongs to no prefix.  PREFIXES_HIT counts a get as well.
 */
void prefixes_count(struct prefixes *p, struct slice key, char delimiter, enum prefixes_event what);
/* Forgets everything. */
void prefixes_clear(struct prefixes *p);
/*
 * Appends "PREFIX name get n hit n set n del n\r\n" for each, the oldest first.  False: no
 * memory.
 */
MUST_CHECK bool prefixes_print(struct prefixes *p, struct buf *out);
