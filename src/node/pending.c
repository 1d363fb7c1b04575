#include "node/pending.h"
#include <assert.h>
#include <stdlib.h>

#define SPARE_MAX 64u /* a worker keeps so many: some 1.2 KiB each */

/* Makes *s point to a copy of its bytes in room. */
static void
slice_keep(struct slice *s, char *room, size_t size)
{
    assert(s->len <= size);
    if (s->len > 0) {
        memcpy(room, s->ptr, s->len);
    }
    s->ptr = room;
}

struct pending *
pending_new(struct worker *w, const struct command *c, struct item *item)
{
    struct pending *p = w->pending_spare;

    if (p) {
        w->pending_spare = p->next;
        w->pending_spare_count--;
    } else {
        p = malloc(sizeof *p);
        if (!p) {
            return NULL;
        }
    }
    p->command = *c;
    p->command.value = (struct slice){ 0 };
    p->command.args = (struct slice){ 0 };
    slice_keep(&p->command.key, p->key, sizeof p->key);
    if (c->protocol == PROTO_META) {
        slice_keep(&p->command.meta.key_sent, p->key_sent, sizeof p->key_sent);
        slice_keep(&p->command.meta.opaque, p->opaque, sizeof p->opaque);
    }
    p->item = item;
    value_cursor_init(&p->cursor, w->node->store, item);
    return p;
}

void
pending_free(struct worker *w, struct pending *p)
{
    if (!p) {
        return;
    }
    store_drop(w->ctx, p->item);
    if (w->pending_spare_count == SPARE_MAX) {
        free(p);
        return;
    }
    p->next = w->pending_spare;
    w->pending_spare = p;
    w->pending_spare_count++;
}

bool
pending_write(struct worker *w, struct value_cursor *v, struct slice *in)
{
    while (in->len > 0 && v->left > 0) {
        if (!store_extend(w->ctx, v)) {
            return false;
        }
        *in = slice_from(*in, value_cursor_write(v, w->node->store, *in));
    }
    return true;
}

void
pending_fini(struct worker *w)
{
    while (w->pending_spare) {
        struct pending *p = w->pending_spare;

        w->pending_spare = p->next;
        free(p);
    }
    w->pending_spare_count = 0;
}
