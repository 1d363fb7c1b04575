/*
 * slab.h - the arena: pages of one size, each cut into equal chunks for one class.
 *
 * Address space is reserved once and never unmapped, so a reader may look at a chunk that was freed
 * under it.  A chunk is named by a handle: its offset in the arena in units of 8 bytes, never 0.
 * Pages go from the pool of spare pages to a class and back (move.h drains them first).
 *
 * Locks: each class has one (its pages, free chunks, small queue and hand), the pool has one.
 * Order: bucket, then class, then pool.  A thread that holds a class's lock may only try a
 * bucket's.
 */
#pragma once
#include "base/err.h"
#include "base/spin.h"
#include "store/class.h"
#include "store/item.h"
#include "vocab/metrics.h"

#define SLAB_NO_PAGE UINT32_MAX

enum page_state { PAGE_SPARE, PAGE_IN_CLASS, PAGE_DRAINING };

struct page {
    _Atomic uint8_t class_id;
    _Atomic uint8_t state; /* enum page_state */
    bool listed;           /* in its class's list of pages with free chunks */
    uint16_t free_head;    /* chunk number + 1, 0: none */
    uint16_t free_count;
    uint32_t slot;       /* where in its class's pages[] */
    uint32_t next, prev; /* list of pages with free chunks; spare pages use next */
};

/* Counters of one class that belong to its lock. */
struct class_figures {
    int64_t evicted, evicted_nonzero, outofmemory, reclaimed, expired_unfetched, evicted_unfetched,
        evicted_active, crawler_reclaimed, crawler_checked, reflocked, to_cold, to_warm, within,
        direct;
};

/* Why a class is walked. */
enum walk_kind { WALK_NONE, WALK_DUE, WALK_FLUSH, WALK_ASKED };

/* What the rebalancer saw of a class when it last looked. */
struct class_look {
    double price; /* of keeping its next victim: see class_price() */
    bool evicts;
    bool spare; /* it has had pages' worth of free chunks for long */
};

struct slab_class {
    _Alignas(64) struct spin lock;
    uint8_t id;
    uint32_t chunk;    /* bytes */
    uint32_t per_page; /* chunks */
    uint32_t *pages;   /* page numbers; page_cap allocated */
    uint32_t page_count, page_cap;
    uint32_t draining; /* pages taken out of pages[] that may come back */
    uint32_t partial;  /* first page with free chunks, or SLAB_NO_PAGE */
    uint64_t free_chunks;
    /* evict.h */
    uint64_t *ring; /* the small queue: handles and parts of versions */
    uint32_t ring_cap, ring_head, ring_count;
    uint32_t hand_page, hand_chunk;
    uint32_t hand_weary;    /* victims until it looks again for any but temporary items */
    uint32_t victim_age; /* seconds since the last victim was used when it was evicted */
    double hand_age;     /* the same of the hand's victims, on the average of the latest; 0: none */
    uint32_t hand_sec;   /* when it took the last of them */
    /* balance.c */
    int64_t evicted_before; /* figure at the last look of the rebalancer */
    double evict_rate;      /* items a second, on the average of the latest looks */
    uint32_t spare_since;   /* store second since when it has had chunks to spare */
    struct class_look look;
    struct class_figures figures;
    /* expire.h */
    _Atomic uint32_t ttl_slot[64]; /* items that expire in that slot of 16 s */
    enum walk_kind walk;
    uint32_t crawl_page, crawl_chunk; /* where it goes on */
    uint32_t crawl_end;               /* pages that there were when it began */
    uint32_t crawl_since;             /* store second of that */
    uint64_t crawl_seen, crawl_dead;  /* items */
};

struct slab {
    char *base;      /* reserved address space */
    size_t reserved; /* bytes */
    struct class_table table;
    unsigned page_shift;
    _Alignas(64) struct spin lock; /* the pool */
    uint32_t fresh;                /* pages from here on were never used */
    uint32_t page_max;
    uint32_t committed; /* pages up to here are writable */
    uint32_t spare;                /* list of the pool's pages: empty, their memory kept */
    uint32_t gone;                 /* ... of those whose memory the system has again */
    _Atomic uint32_t spare_count;
    _Atomic uint32_t in_classes; /* pages */
    _Atomic uint32_t granted;    /* pages beyond the limit: first ones of their classes */
    _Atomic bool small_pages;    /* large ones are not asked for: see arena_set_small() */
    _Atomic size_t limit;        /* bytes: see slab_used() */
    _Atomic size_t *table_bytes; /* what the table takes of it; kept */
    _Atomic bool full;           /* the pool could not give a page: evict from now on */
    struct page *pages;
    struct slab_class classes[CLASS_MAX + 1];
};

MUST_CHECK err_t slab_init(struct slab *s, const struct class_table *table, size_t reserve,
                           size_t limit, _Atomic size_t *table_bytes, struct err_detail *d);
/* Takes the memory of the whole limit from the system now. */
MUST_CHECK err_t slab_preallocate(struct slab *s, struct err_detail *d);
void slab_fini(struct slab *s);

static inline struct item *
slab_item(const struct slab *s, uint64_t handle)
{
    return (struct item *)(void *)(s->base + handle * 8);
}

static inline uint64_t
slab_handle(const struct slab *s, const void *chunk)
{
    return (uint64_t)((const char *)chunk - s->base) / 8;
}

static inline uint32_t
slab_page_of(const struct slab *s, const void *chunk)
{
    return (uint32_t)((size_t)((const char *)chunk - s->base) >> s->page_shift);
}

static inline uint8_t
slab_class_of(const struct slab *s, const void *chunk)
{
    return atomic_load_explicit(&s->pages[slab_page_of(s, chunk)].class_id, memory_order_relaxed);
}

/* Is the chunk's page being cleared?  Then it is of no use to its class. */
static inline bool
slab_is_draining(const struct slab *s, const void *chunk)
{
    const struct page *p = &s->pages[slab_page_of(s, chunk)];

    return atomic_load_explicit(&p->state, memory_order_relaxed) == PAGE_DRAINING;
}

/* The class that an item counts as: with a classic table, one of pieces belongs to the largest,
 * wherever its head lies. */
static inline uint8_t
slab_shown_class(const struct slab *s, const struct item *it, uint32_t meta)
{
    if ((meta & ITEM_IS_BIG) && s->table.classic && item_first_piece(it, meta) != 0) {
        return (uint8_t)s->table.count;
    }
    return slab_class_of(s, it);
}

static inline char *
slab_page_start(const struct slab *s, uint32_t page)
{
    return s->base + ((size_t)page << s->page_shift);
}

/* Bytes that may be read from a chunk's start on, whatever was found there: to the end of its page.
 */
static inline uint32_t
slab_room(const struct slab *s, const void *chunk)
{
    size_t at = (size_t)((const char *)chunk - s->base) & (((size_t)1 << s->page_shift) - 1);

    return (uint32_t)(((size_t)1 << s->page_shift) - at);
}

/* Up to max free chunks of a class, which may get a page from the pool for them if grow is set;
 * returns how many. */
unsigned slab_take(struct slab *s, uint8_t class_id, struct item **ret, unsigned max, bool grow);
/* Gives a chunk back. The caller cleared its kind (slab_wipe). */
void slab_give(struct slab *s, struct item *chunk);
void slab_give_locked(struct slab *s, struct slab_class *c, struct item *chunk);
/* Marks a chunk free, for whoever walks over its page. */
void slab_wipe(struct item *chunk);

/* Takes a page that is in a class out of its lists; its free chunks come back to it but are not
 * handed out. Class locked. */
void slab_page_drain_locked(struct slab *s, struct slab_class *c, uint32_t page);
/* Undoes that. */
void slab_page_restore_locked(struct slab *s, struct slab_class *c, uint32_t page);
/* A drained page whose chunks are all free goes to the pool. */
void slab_page_put(struct slab *s, uint32_t page);
/* Gives the pool's pages back to the system as long as the limit is exceeded. */
void slab_trim(struct slab *s);
/* One page of the pool goes to a class. False: there is none, or no memory for the class's list. */
bool slab_page_grant(struct slab *s, struct slab_class *to);
/* ... or straight to another class, whatever the limit says: no more is in use than before.
 * False: no memory for the class's list; the page went to the pool. */
bool slab_page_pass(struct slab *s, uint32_t page, struct slab_class *to);
/* Changes the limit; pages that were granted beyond it are within it again as far as they fit. */
void slab_set_limit(struct slab *s, size_t bytes);
/* True if pages, and the table beyond its share, are above the limit. */
bool slab_is_over(const struct slab *s);
/* True if one more page is within it. */
bool slab_has_room(const struct slab *s);
