/*
 * dump.h - all keys, line by line: "lru_crawler metadump" and "mgdump".
 *
 * A dump is a place in the hash table and goes on when its reader has taken what there was, so it
 * holds no memory and nobody up.  Every key that is there from start to end is named at least once,
 * and just once if the table does not grow meanwhile.  There may be any number at the same time.
 * All calls: the worker's thread.
 */
#pragma once
#include "base/err.h"
#include "node/worker.h"
#include <stdbool.h>
#include <stdint.h>

enum dump_kind {
    DUMP_META, /* "key=... exp=... la=... cas=... fetch=... cls=... size=... flags=... " */
    DUMP_MG,   /* "mg KEY", as a client can send it back */
};

struct dump;

/* classes: items of which class to show, bit i for class i.  NULL without memory.  Gives. */
struct dump *dump_new(enum dump_kind kind, uint64_t classes);
/* NULL is fine. */
void dump_free(struct dump *d);
/*
 * Puts some lines, or none, into w->blob in place of what was there, and the end of the list behind
 * the last of them: then *ret_done.  False: no memory.
 */
MUST_CHECK bool dump_step(struct dump *d, struct worker *w, bool *ret_done);
