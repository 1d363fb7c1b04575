#include "node/prefixes.h"
#include "base/hash.h"
#include "base/spin.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define HEADS 4096 /* a power of two; 16 prefixes in each when the table is full */

struct prefix {
    struct prefix *next;  /* of the same head */
    struct prefix *later; /* in the order they were met */
    uint64_t       count[PREFIXES_EVENTS];
    size_t         len;
    char           name[];
};

struct prefixes {
    struct spin     lock;
    unsigned        count;
    struct prefix  *first;
    struct prefix **last;
    struct prefix  *head[HEADS];
};

struct prefixes *
prefixes_new(void)
{
    struct prefixes *p = calloc(1, sizeof *p);

    if (p) {
        p->last = &p->first;
    }
    return p;
}

void
prefixes_free(struct prefixes *p)
{
    if (p) {
        prefixes_clear(p);
        free(p);
    }
}

void
prefixes_clear(struct prefixes *p)
{
    struct prefix *all;

    spin_lock(&p->lock);
    all = p->first;
    p->first = NULL;
    p->last = &p->first;
    p->count = 0;
    memset(p->head, 0, sizeof p->head);
    spin_unlock(&p->lock);
    while (all) {
        struct prefix *later = all->later;

        free(all);
        all = later;
    }
}

/*
 * The prefix of that name, made if there is none.  NULL: the table is full, or no memory.
 * Locked.
 */
static struct prefix *
prefix_find(struct prefixes *p, struct slice name)
{
    struct prefix **head = &p->head[hash_bytes(name.ptr, name.len) % HEADS], *x;

    for (x = *head; x; x = x->next) {
        if (slice_eq(slice_of(x->name, x->len), name)) {
            return x;
        }
    }
    x = p->count < PREFIXES_MAX ? calloc(1, sizeof *x + name.len) : NULL;
    if (!x) {
        return NULL;
    }
    memcpy(x->name, name.ptr, name.len);
    x->len = name.len;
    x->next = *head;
    *head = x;
    *p->last = x;
    p->last = &x->later;
    p->count++;
    return x;
}

void
prefixes_count(struct prefixes *p, struct slice key, char delimiter, enum prefixes_event what)
{
    const char *end = key.len > 0 ? memchr(key.ptr, delimiter, key.len) : NULL;
    struct prefix *x;

    assert((unsigned)what < PREFIXES_EVENTS);
    if (!end) {
        return;
    }
    spin_lock(&p->lock);
    x = prefix_find(p, slice_of(key.ptr, (size_t)(end - key.ptr)));
    if (x) {
        x->count[what]++;
        x->count[PREFIXES_GET] += what == PREFIXES_HIT;
    }
    spin_unlock(&p->lock);
}

bool
prefixes_print(struct prefixes *p, struct buf *out)
{
    bool ok = true;

    spin_lock(&p->lock);
    for (const struct prefix *x = p->first; x && ok; x = x->later) {
        ok = buf_add(out, "PREFIX ", 7) && buf_add(out, x->name, x->len) &&
             buf_printf(out, " get %llu hit %llu set %llu del %llu\r\n",
                        (unsigned long long)x->count[PREFIXES_GET],
                        (unsigned long long)x->count[PREFIXES_HIT],
                        (unsigned long long)x->count[PREFIXES_SET],
                        (unsigned long long)x->count[PREFIXES_DELETE]);
    }
    spin_unlock(&p->lock);
    return ok;
}
