/*
 * privileges.h - root is for binding ports only: who the node becomes afterwards.
 *
 * At start, before threads.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct privileges {
    bool  change; /* started as root: become somebody else */
    uid_t uid;
    gid_t gid;
};

/*
 * Decides who to be.  name is -u's; root must name somebody (ERR_INVALID) who exists (ERR_UNKNOWN);
 * for anybody else it means nothing, as with memcached.
 */
MUST_CHECK err_t privileges_find(const char *name, struct privileges *ret, struct err_detail *d);

/* Becomes that user for good: groups, gid, uid. */
MUST_CHECK err_t privileges_drop(const struct privileges *p, struct err_detail *d);
