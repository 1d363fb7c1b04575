#include "node/prefixes.h"
#include "base/hash.h"
#include "base/spin.h"
#include "vocab/limits.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#define HEADS 4096 /* a power of two; 16 prefixes in each when the table is full */
#define COPY_MAX 16 /* prefixes copied in one hold of the lock */

struct prefix {
    struct prefix *next;  /* of the same head */
    struct prefix *later; /* in the order they were met */
    uint64_t       count[PREFIXES_EVENTS];
    size_t         len;
    char           name[];
};

struct prefix_copy {
    uint64_t count[PREFIXES_EVENTS];
    size_t   len;
    char     name[KEY_MAX];
};

struct prefixes {
    struct spin     lock;
    unsigned        count;
    uint64_t        clears; /* how often it was cleared */
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

    assert(p);
    spin_lock(&p->lock);
    all = p->first;
    p->first = NULL;
    p->last = &p->first;
    p->count = 0;
    p->clears++;
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
    assert(p->count <= PREFIXES_MAX);
    return x;
}

void
prefixes_count(struct prefixes *p, struct slice key, char delimiter, enum prefixes_event what)
{
    const char *end = key.len > 0 ? memchr(key.ptr, delimiter, key.len) : NULL;
    struct prefix *x;

    assert(p && key.len <= KEY_MAX);
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

/*
 * Copies up to COPY_MAX prefixes behind *after (NULL: from the first on), which becomes the last
 * of them; how many.  None if the table was cleared since *clears was read: *after is gone then.
 */
static unsigned
prefixes_copy(struct prefixes *p, const struct prefix **after, uint64_t *clears,
              struct prefix_copy copy[COPY_MAX])
{
    unsigned count = 0;
    const struct prefix *x;

    spin_lock(&p->lock);
    if (!*after) {
        *clears = p->clears;
        x = p->first;
    } else {
        x = *clears == p->clears ? (*after)->later : NULL;
    }
    for (; x && count < COPY_MAX; x = x->later, count++) {
        memcpy(copy[count].count, x->count, sizeof x->count);
        copy[count].len = x->len;
        memcpy(copy[count].name, x->name, x->len);
        *after = x;
    }
    spin_unlock(&p->lock);
    return count;
}

bool
prefixes_print(struct prefixes *p, struct buf *out)
{
    struct prefix_copy copy[COPY_MAX];
    const struct prefix *after = NULL;
    uint64_t clears = 0;
    unsigned count;
    bool ok = true;

    assert(p && out);
    do {
        count = prefixes_copy(p, &after, &clears, copy);
        for (unsigned i = 0; i < count && ok; i++) {
            const uint64_t *n = copy[i].count;

            ok = buf_add(out, "PREFIX ", 7) && buf_add(out, copy[i].name, copy[i].len) &&
                 buf_printf(out, " get %llu hit %llu set %llu del %llu\r\n",
                            (unsigned long long)n[PREFIXES_GET],
                            (unsigned long long)n[PREFIXES_HIT],
                            (unsigned long long)n[PREFIXES_SET],
                            (unsigned long long)n[PREFIXES_DELETE]);
        }
    } while (ok && count == COPY_MAX);
    return ok;
}
