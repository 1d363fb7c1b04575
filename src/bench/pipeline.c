#include "bench/pipeline.h"
#include "bench/keys.h"
#include <assert.h>
#include <stdlib.h>

static unsigned
power_of_two(unsigned at_least)
{
    unsigned n = 1;

    while (n < at_least) {
        n *= 2;
    }
    return n;
}

err_t
pipeline_init(struct pipeline *p, unsigned depth, unsigned multi, bool fills, bool named)
{
    unsigned keys = depth * multi;
    unsigned slots = power_of_two(depth + (fills ? keys : 0));
    unsigned ids = power_of_two(fills ? 2 * keys : keys);

    *p = (struct pipeline){ .slot_mask = slots - 1, .id_mask = ids - 1 };
    p->slots = calloc(slots, sizeof *p->slots);
    p->ids = calloc(ids, sizeof *p->ids);
    p->names = named ? calloc(slots, KEYS_NAME_MAX) : NULL;
    if (!p->slots || !p->ids || (named && !p->names)) {
        return ERR_NOMEM;
    }
    for (unsigned i = 0; named && i < slots; i++) {
        p->slots[i].item.name = p->names + (size_t)i * KEYS_NAME_MAX;
    }
    return ERR_OK;
}

void
pipeline_fini(struct pipeline *p)
{
    free(p->slots);
    free(p->ids);
    free(p->names);
    *p = (struct pipeline){ .used = 0 };
}

struct slot *
pipeline_new(struct pipeline *p, enum verb verb, nsec_t start)
{
    struct slot *s = &p->slots[(p->first + p->used) & p->slot_mask];

    assert(p->used <= p->slot_mask);
    *s = (struct slot){ .start = start, .verb = verb, .id = p->id_end,
                        .item = { .name = s->item.name } };
    return s;
}

void
pipeline_add(struct pipeline *p, struct slot *s, uint64_t id)
{
    p->ids[p->id_end++ & p->id_mask] = id;
    s->count++;
}

void
pipeline_describe(struct slot *s, struct slice name, uint32_t size)
{
    assert(name.len <= KEYS_NAME_MAX);
    memcpy(s->item.name, name.ptr, name.len);
    s->item.name_len = name.len;
    s->item.size = size;
}

void
pipeline_push(struct pipeline *p)
{
    assert(p->slots[(p->first + p->used) & p->slot_mask].count > 0);
    p->used++;
}

void
pipeline_drop(struct pipeline *p)
{
    assert(p->used > 0);
    p->first++;
    p->used--;
}

bool
pipeline_awaits(const struct pipeline *p, uint64_t id)
{
    for (unsigned i = 0; i < p->used; i++) {
        const struct slot *s = &p->slots[(p->first + i) & p->slot_mask];

        if (s->fills && pipeline_id(p, s, 0) == id) {
            return true;
        }
    }
    return false;
}

bool
pipeline_stores(const struct pipeline *p, uint64_t id)
{
    for (unsigned i = 1; i < p->used; i++) {
        const struct slot *s = &p->slots[(p->first + i) & p->slot_mask];

        if (s->verb == VERB_SET && pipeline_id(p, s, 0) == id) {
            return true;
        }
    }
    return false;
}
