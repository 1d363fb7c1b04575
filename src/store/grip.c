#include "store/grip.h"

bool
grip_take(struct store *s, struct item *it, struct grip *g)
{
    uint32_t meta = item_meta(it);

    if (meta_kind(meta) != ITEM_LINKED ||
        meta_key_at(meta) + meta_key_len(meta) > slab_room(&s->slab, it)) {
        return false;
    }
    g->bucket = table_trylock(&s->table, store_hash_item(it));
    if (g->bucket == NULL) {
        return false;
    }
    g->it = it;
    g->slot = table_slot_of(&s->table, g->bucket, slab_handle(&s->slab, it));
    g->meta = item_meta(it);
    if (g->slot == NULL) {
        bucket_unlock(g->bucket);
        return false;
    }
    return true;
}

struct item *
grip_owner(const struct slab *s, const struct item *piece)
{
    uint64_t handle = item_load_word(piece, 16);
    uint64_t page = handle >> (s->page_shift - 3);

    /* Only pages that were in a class once are readable. */
    if (page >= s->page_max ||
        atomic_load_explicit(&s->pages[page].class_id, memory_order_relaxed) == 0) {
        return NULL;
    }
    struct item *owner = slab_item(s, handle);
    return slab_room(s, owner) >= sizeof *owner + sizeof(struct item_big) ? owner : NULL;
}

struct item *
grip_item(const struct slab *s, struct item *chunk)
{
    uint32_t meta = item_meta(chunk);

    if (meta_kind(meta) == ITEM_LINKED) {
        return slab_shown_class(s, chunk, meta) == slab_class_of(s, chunk) ? chunk : NULL;
    }
    if (meta_kind(meta) != ITEM_PIECE || !s->table.classic) {
        return NULL;
    }
    struct item *owner = grip_owner(s, chunk);
    bool first = owner != NULL && meta_kind(item_meta(owner)) == ITEM_LINKED &&
                 item_first_piece(owner, item_meta(owner)) == slab_handle(s, chunk);
    return first ? owner : NULL;
}

void
grip_drop(struct grip *g)
{
    bucket_unlock(g->bucket);
}

bool
grip_is_pinned(const struct grip *g)
{
    return (g->meta & ITEM_IS_BIG) &&
           atomic_load_explicit(&item_big(g->it)->refs, memory_order_acquire) > 1;
}

/* Moves the counters for an item that leaves. */
static void
victim_count(struct store_ctx *c, struct slab_class *k, const struct grip *g, enum removal why)
{
    uint32_t seen = item_seen(g->it);
    bool fetched = (seen & SEEN_FETCHED) != 0;

    if (why == REMOVE_EVICT) {
        uint32_t last = seen >> SEEN_SHIFT;
        k->victim_age = c->sec > last ? c->sec - last : 0;
        k->figures.evicted++;
        k->figures.evicted_nonzero += item_ext(g->it, g->meta).expires != 0;
        k->figures.evicted_unfetched += !fetched;
        k->figures.evicted_active += (seen & SEEN_FREQ_MASK) != 0;
        metric_add(c->metrics, M_EVICTIONS, 1);
        metric_add(c->metrics, M_EVICTED_UNFETCHED, !fetched);
        metric_add(c->metrics, M_EVICTED_ACTIVE, (seen & SEEN_FREQ_MASK) != 0);
        if (event_is_watched(c->store, STORE_EVENT_EVICTED)) {
            event_evicted(c, g, slab_shown_class(&c->store->slab, g->it, g->meta));
        }
        return;
    }
    bool crawler = why == REMOVE_DEAD_CRAWLER;
    *(crawler ? &k->figures.crawler_reclaimed : &k->figures.reclaimed) += 1;
    metric_add(c->metrics, crawler ? M_CRAWLER_RECLAIMED : M_RECLAIMED, 1);
    if (!fetched && store_judge(c->store, c->sec, g->it) == STORE_EXPIRED) {
        k->figures.expired_unfetched++;
        metric_add(c->metrics, M_EXPIRED_UNFETCHED, 1);
    }
}

struct item *
grip_remove(struct store_ctx *c, struct slab_class *k, struct grip *g, enum removal why,
            int ghost_epoch)
{
    victim_count(c, k, g, why);
    evict_unlink(c, g->it, g->bucket, g->slot, ghost_epoch);
    grip_drop(g);
    return g->it;
}
