/*
 * event.c - what happens inside on its own, told to whoever watches.
 *
 * Each thread has a ring of bytes of its own, in which an event is a head, its figures and, of an
 * eviction, the key.  Only the ctx's owner writes and reads it, so it needs no lock.  Nothing is
 * allocated and nothing is written as long as nobody watches.
 */
#include "store/grip.h"

#include <assert.h>
#include <stdlib.h>

#define RING_BYTES 65536u

struct event_head {
    uint8_t kind, class_id, to_class, key_len;
    uint8_t fetched, ok;
};

/* Of EVICTED. */
struct event_item {
    int64_t ttl;
    uint32_t idle, value_len;
};

/* Of CRAWLED. */
struct event_walk {
    uint64_t examined, reclaimed;
    uint32_t elapsed;
};

void
event_turn(struct store_ctx *c)
{
    struct event_ring *r = &c->events;
    size_t bytes = c->store->config.event_bytes;

    if (r->bytes == NULL && atomic_load_explicit(&c->store->watched, memory_order_relaxed) != 0) {
        r->cap = bytes == 0 ? RING_BYTES : bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
        r->bytes = malloc(r->cap);
    }
}

static void
ring_put(struct event_ring *r, const void *bytes, uint32_t n)
{
    uint32_t at = (uint32_t)(((uint64_t)r->head + r->used) % r->cap);
    uint32_t part = n < r->cap - at ? n : r->cap - at;

    if (n == 0) { /* no key: bytes is NULL */
        return;
    }
    memcpy(r->bytes + at, bytes, part);
    memcpy(r->bytes, (const char *)bytes + part, n - part);
    r->used += n;
}

static void
ring_take(struct event_ring *r, void *bytes, uint32_t n)
{
    uint32_t part = n < r->cap - r->head ? n : r->cap - r->head;

    assert(n <= r->used);
    memcpy(bytes, r->bytes + r->head, part);
    memcpy((char *)bytes + part, r->bytes, n - part);
    r->head = (uint32_t)(((uint64_t)r->head + n) % r->cap);
    r->used -= n;
}

/* The whole event, or one more that was lost. */
static void
event_put(struct store_ctx *c, const struct event_head *head, const void *figures, uint32_t size,
          const char *key)
{
    struct event_ring *r = &c->events;
    uint32_t all = (uint32_t)sizeof *head + size + head->key_len;

    if (r->bytes == NULL || all > r->cap - r->used) {
        r->lost++;
        return;
    }
    ring_put(r, head, sizeof *head);
    ring_put(r, figures, size);
    ring_put(r, key, head->key_len);
}

bool
event_is_watched(const struct store *s, enum store_event_kind kind)
{
    return (atomic_load_explicit(&s->watched, memory_order_relaxed) & kind) != 0;
}

void
event_evicted(struct store_ctx *c, const struct grip *g, uint8_t class_id)
{
    uint64_t room[34];
    uint32_t seen = item_seen(g->it), expires = item_ext(g->it, g->meta).expires;
    const struct event_head head = { .kind = STORE_EVENT_EVICTED,
                                     .class_id = class_id,
                                     .key_len = (uint8_t)meta_key_len(g->meta),
                                     .fetched = (seen & SEEN_FETCHED) != 0 };
    const struct event_item item = {
        .ttl = expires == 0 ? -1 : (int64_t)expires - c->sec,
        .idle = c->sec > seen >> SEEN_SHIFT ? c->sec - (seen >> SEEN_SHIFT) : 0,
        .value_len = item_size(g->it, g->meta),
    };

    event_put(c, &head, &item, sizeof item,
              item_get_bytes(g->it, meta_key_at(g->meta), head.key_len, room));
}

void
event_moved(struct store_ctx *c, uint8_t from, uint8_t to, bool ok)
{
    const struct event_head head = {
        .kind = STORE_EVENT_MOVED, .class_id = from, .to_class = to, .ok = ok
    };

    if (event_is_watched(c->store, STORE_EVENT_MOVED)) {
        event_put(c, &head, NULL, 0, NULL);
    }
}

void
event_crawled(struct store_ctx *c, uint8_t class_id, uint64_t examined, uint64_t reclaimed,
              uint32_t elapsed)
{
    const struct event_head head = { .kind = STORE_EVENT_CRAWLED, .class_id = class_id };
    const struct event_walk walk = { examined, reclaimed, elapsed };

    if (event_is_watched(c->store, STORE_EVENT_CRAWLED)) {
        event_put(c, &head, &walk, sizeof walk, NULL);
    }
}

void
event_fini(struct store_ctx *c)
{
    free(c->events.bytes);
    c->events.bytes = NULL;
}

/* -- the public face ----------------------------------------------------------------------------
 */

void
store_watch_events(struct store *s, unsigned kinds)
{
    atomic_store_explicit(&s->watched, kinds, memory_order_relaxed);
}

bool
store_take_event(struct store_ctx *c, struct store_event *ret)
{
    struct event_ring *r = &c->events;
    struct event_head head;

    if (r->used == 0) {
        return false;
    }
    ring_take(r, &head, sizeof head);
    *ret = (struct store_event){ .kind = (enum store_event_kind)head.kind,
                                 .class_id = head.class_id,
                                 .to_class = head.to_class,
                                 .fetched = head.fetched != 0,
                                 .ok = head.ok != 0,
                                 .key_len = head.key_len };
    if (ret->kind == STORE_EVENT_EVICTED) {
        struct event_item item;
        ring_take(r, &item, sizeof item);
        ret->ttl = item.ttl;
        ret->idle = item.idle;
        ret->value_len = item.value_len;
        ring_take(r, ret->key, head.key_len);
    } else if (ret->kind == STORE_EVENT_CRAWLED) {
        struct event_walk walk;
        ring_take(r, &walk, sizeof walk);
        ret->examined = walk.examined;
        ret->reclaimed = walk.reclaimed;
        ret->elapsed = walk.elapsed;
    }
    return true;
}

uint64_t
store_lost_events(struct store_ctx *c)
{
    uint64_t n = c->events.lost;

    c->events.lost = 0;
    return n;
}
