/*
 * impl.h - what the files of store/ share: the store, a thread's handle, and the functions between
 * them.
 *
 * Private to store/.  Lock order: bucket, class, pool; who holds a class's lock only tries buckets.
 */
#pragma once
#include "base/hash.h"
#include "base/rng.h"
#include "base/spin.h"
#include "store/item.h"
#include "store/slab.h"
#include "store/store.h"
#include "store/table.h"

#define STOCK_MAX       8u   /* free chunks a thread keeps per class */
#define STOCK_CHUNK_MAX 1024 /* bytes; larger chunks are not kept */
#define KEYS_STEP       16   /* keys a thread counts for itself before it tells the table */

struct stock {
    _Atomic uint32_t count;
    struct item *chunk[STOCK_MAX];
};

static inline uint32_t
stock_count(const struct stock *st)
{
    return atomic_load_explicit(&st->count, memory_order_relaxed);
}

static inline void
stock_push(struct stock *st, struct item *chunk)
{
    uint32_t n = stock_count(st);

    st->chunk[n] = chunk;
    atomic_store_explicit(&st->count, n + 1, memory_order_relaxed);
}

/* NULL if there is none. */
static inline struct item *
stock_pop(struct stock *st)
{
    uint32_t n = stock_count(st);

    if (n == 0) {
        return NULL;
    }
    atomic_store_explicit(&st->count, n - 1, memory_order_relaxed);
    return st->chunk[n - 1];
}

/* Events of one thread: event.c. */
struct event_ring {
    char *bytes; /* NULL until the first event */
    uint32_t cap, head, used;
    uint64_t lost;
};

/* How a hit is counted: by what the item was.  The first three are the upper bits of its meta. */
enum hit_kind { HIT_SMALL, HIT_MAIN, HIT_TEMP, HIT_COLD, HIT_KINDS };

struct store_ctx {
    struct store *store;
    struct metrics *metrics;
    unsigned index;
    uint32_t sec;           /* store seconds of this turn */
    usec_t now;             /* time of day of this turn */
    uint64_t wall;          /* version of this turn's millisecond: counter and tag zero */
    _Atomic uint64_t clock; /* last version given or seen; others read it for flush_all */
    int32_t keys_delta;     /* keys not yet told to the table */
    struct rng rng;         /* of the sampling in move.c */
    _Atomic int64_t (*counts)[STORE_COUNTS]; /* by class */
    _Atomic int64_t (*hits)[HIT_KINDS];      /* by class */
    struct stock *stocks;                    /* by class */
    struct event_ring events;
    _Alignas(64) uint64_t scratch[ITEM_BIG / 8 + 2];
};

/* What the clearing of a page met that would not go: as last_busy of struct store_stats. */
enum move_busy { BUSY_NOT, BUSY_WRITER, BUSY_READER, BUSY_NOMEM, BUSY_TAKEN };

/* A page on its way out of a class. */
struct move {
    uint32_t page; /* SLAB_NO_PAGE: none */
    uint8_t class_id;
    uint8_t to; /* class, 0: the pool */
    bool asked; /* by store_move_page() */
    enum move_busy busy;
    uint32_t next_chunk;
    unsigned rounds; /* passes over the page so far */
    uint32_t freed;  /* free chunks at the end of the last pass */
    bool rescue;     /* live items move to other chunks instead of being evicted */
};

/* struct store_tuning, each field for itself: nobody needs two that fit together. */
struct tuning {
    _Atomic bool moves, moves_eager, crawler, flat;
    _Atomic double move_ratio;
    _Atomic unsigned move_window, small_percent;
    _Atomic usec_t crawler_sleep;
    _Atomic uint32_t crawler_max, temporary_ttl;
};

/* A tuning's field as it is now. */
#define TUNED(store, field) atomic_load_explicit(&(store)->tuning.field, memory_order_relaxed)

struct store {
    struct slab slab;
    struct table table;
    struct store_config config;
    struct tuning tuning;
    _Atomic unsigned watched; /* kinds of events that are kept */
    int64_t epoch;                  /* unix second of store second 0 */
    _Atomic uint64_t floor;         /* versions at or below are dead */
    _Atomic uint64_t removed;       /* highest version of a key that went soon after it was
                                       written, and of threads that ended */
    _Atomic uint32_t flush_at;      /* store second of a pending flush, 0: none */
    _Atomic uint64_t flush_version; /* its floor */
    struct spin flush_lock;
    _Atomic uint64_t ghost_epoch; /* counts small-queue evictions */
    _Atomic uint32_t now;         /* latest store second anybody was told, for figures */
    _Atomic bool crawling;        /* classes are being walked for what is dead */
    _Atomic bool moving;          /* a page is being drained */
    _Atomic int last_busy;        /* enum move_busy of the last page */
    _Atomic bool asked;           /* one of the next two is new */
    _Atomic uint64_t asked_crawl; /* classes to be walked, until they have been */
    _Atomic uint32_t asked_move;  /* balance.c; until it is done */
    struct spin ctx_lock;
    struct store_ctx *ctxs[STORE_CTX_MAX];
    struct store_class_stats *reset_base; /* by class; under ctx_lock */
    struct store_class_stats *gone;       /* counts of ctxs that were freed */
    /* store_tick()'s own */
    struct move move;
    struct spin steal_lock; /* one page is stolen at a time */
    uint32_t tick_class;    /* where the crawler goes on */
    uint32_t tick_slot;     /* last slot of ttl_slot[] that was looked at */
    uint64_t tick_floor;    /* floor that has been crawled for */
    bool tick_crawler;      /* the tuning had one at the last look */
    uint64_t tick_asked;    /* classes of asked_crawl that are being walked */
    usec_t crawled;         /* time of day of the last step of a walk */
    uint32_t tick_balance;  /* second of the last look at the classes */
    bool tick_moves;        /* the rebalancer may move a page in this second, */
    bool tick_over;         /* ... or give one back, if memory is above the limit */
    double move_credit;     /* as far as this goes: balance.c */
    unsigned tick_failed;   /* pages that could not be emptied in this second */
    uint32_t gap_since; /* store second when the gap opened */
};

/* Is this item dead, and how?  STORE_HIT if it lives (a tombstone does not). */
static inline enum store_found
item_judge(const struct store *s, uint32_t sec, uint64_t version, uint32_t expires, uint32_t meta)
{
    if (version <= atomic_load_explicit(&s->floor, memory_order_relaxed)) {
        return STORE_FLUSHED;
    }
    if (expires != 0 && expires <= sec) {
        return STORE_EXPIRED;
    }
    return meta & ITEM_TOMBSTONE ? STORE_MISS : STORE_HIT;
}

/* As above, from the item itself. */
enum store_found store_judge(const struct store *s, uint32_t sec, const struct item *it);
/* Expired or flushed, a tombstone as well. */
bool item_is_dead(const struct store_ctx *c, const struct item *it);

/* store.c */
uint64_t store_next_version(struct store_ctx *c, uint64_t above);
void store_note_removed(struct store_ctx *c, uint64_t version);
uint64_t store_hash_of_handle(const void *store, uint64_t handle);
uint64_t store_hash_item(const struct item *it);
void store_count_key(struct store_ctx *c, int delta);
void store_due_flush(struct store_ctx *c);
/* Adds a ctx's hits of a class. */
void store_add_hits(struct store_class_stats *to, const struct store_ctx *c, unsigned id);

/* txn.c */
/* Links a private item, as it is, in place of what is there; takes it.  False: no room in the
 * table. */
bool store_link(struct store_txn *t, struct item **item);
/* Takes out what lies in the table, alive or tombstone, without leaving one. */
void store_forget(struct store_txn *t);

/* alloc.c: chunks and items */
struct item *chunk_take(struct store_ctx *c, uint8_t class_id);
/* As above, but takes only what is free: evicts nothing.  grow: a page of the pool as well. */
struct item *chunk_take_free(struct store_ctx *c, uint8_t class_id, bool grow);
void chunk_give(struct store_ctx *c, struct item *chunk);
/* Drops one reference (of a BIG item) or the item itself, once it is out of the table. */
void item_release(struct store_ctx *c, struct item *it);
/* Its bytes by memcached's sum: what -I means, and a classic table. */
size_t store_classic_size(const struct store *s, const struct store_spec *spec);
/* A private item with the layout bits `layout` at least; fields zero but the key. */
struct item *item_make(struct store_ctx *c, const struct store_spec *spec, uint32_t layout);
/* The same, but pieces are left to store_extend(). */
struct item *item_make_head(struct store_ctx *c, const struct store_spec *spec, uint32_t layout);
/* A private item with all of old's fields and another layout, value copied (or its pieces taken
 * over: old then has none). */
struct item *item_reshape(struct store_ctx *c, struct item *old, uint32_t layout);
uint32_t item_total_bytes(const struct item *it);
/* Moves curr_items and bytes for an item that enters (1) or leaves (-1) the table; tombstones are
 * not counted. */
void item_count(struct store_ctx *c, const struct item *it, int sign);

/* get.c */
void store_fill_hit(const struct store_ctx *c, const struct item *it, struct store_hit *ret);

/* figures.c */
/* Is any chunk of the class in use? */
bool store_class_in_use(struct store *s, uint8_t class_id);

/* evict.c */
/* True if something that expires then, and is stored now, is to wait for that. */
static inline bool
evict_is_temporary(const struct store_ctx *c, uint32_t expires)
{
    return expires > c->sec && expires - c->sec <= TUNED(c->store, temporary_ttl);
}
/* Frees one chunk of the class, or returns false. */
bool evict_one(struct store_ctx *c, uint8_t class_id);
/*
 * A linked item that is not main enters the small queue; or main, as long as nothing needs to be
 * evicted. Its bucket is locked.
 */
void evict_admit(struct store_ctx *c, struct item *it);
/* Takes a linked item out of the table for good, if its bucket is free; why says which counters
 * move. */
enum removal { REMOVE_EVICT, REMOVE_DEAD_WRITER, REMOVE_DEAD_CRAWLER };
/* Class locked; the caller releases the item (item_release) when it no longer is. */
bool evict_item(struct store_ctx *c, struct slab_class *k, struct item *it, enum removal why);
/* Evicts while there are more items than items_max. */
void evict_to_count(struct store_ctx *c, uint8_t class_id);
/* The counters of an item that leaves: by expiry or by eviction.  Bucket locked. */
void evict_unlink(struct store_ctx *c, struct item *it, struct bucket *b, _Atomic uint64_t *slot,
                  int ghost_epoch);

/* event.c */
/* True if somebody wants such events: a relaxed load. */
bool event_is_watched(const struct store *s, enum store_event_kind kind);
struct grip;
/* The gripped item is about to be evicted. */
void event_evicted(struct store_ctx *c, const struct grip *g, uint8_t class_id);
/* Makes the queue, once something is watched: later it would be made with a lock held. */
void event_turn(struct store_ctx *c);
void event_moved(struct store_ctx *c, uint8_t from, uint8_t to, bool ok);
void event_crawled(struct store_ctx *c, uint8_t class_id, uint64_t examined, uint64_t reclaimed,
                   uint32_t elapsed);
void event_fini(struct store_ctx *c);

/* move.c */
/* Takes a page from some other class for this one, at once. */
bool move_steal(struct store_ctx *c, uint8_t for_class);
/* balance.c */
/* A step of the rebalancer and of shrinking; returns true if there is more to do soon. */
bool balance_tick(struct store_ctx *c, unsigned budget);

/* expire.c */
/* Counts an expiry of the class, so that the crawler comes when it is over. */
void expire_note(const struct store_ctx *c, uint8_t class_id, uint32_t expires);
/* A step of the crawler; returns the time until the next one is due, at most a second. */
usec_t expire_tick(struct store_ctx *c, unsigned budget);
