/*
 * table.h - from hash to item: a hash table of cache lines that grows one bucket at a time.
 *
 * A bucket is 64 bytes: a sequence word, a link to an overflow bucket, and seven slots of 8 bytes
 * (16 bits of the hash as a tag, 8 spare bits, a 40-bit handle).  A miss costs one cache line, a
 * hit two.  It grows by linear hashing (Litwin 1980): bucket `count - 2^k` is split in two, one at
 * a time, in reserved address space, so that there is neither a pause nor a second table.
 *
 * The sequence word is a seqlock over the bucket and its overflow chain: odd while a writer is at
 * work. Readers take no lock; see store_get().
 *
 * A slot without a handle but not zero is a ghost: it remembers, in space that would be empty, the
 * tag of an item that was evicted from the small queue (evict.h).
 */
#pragma once
#include "base/err.h"
#include "base/slice.h"
#include "base/spin.h"
#include "store/item.h"

#define TABLE_SLOTS      7
#define SLOT_HANDLE_MASK ((UINT64_C(1) << 40) - 1)
#define SLOT_TAG_SHIFT   48
#define SLOT_GHOST       (UINT64_C(1) << 47)
#define SLOT_EPOCH_SHIFT 40
#define SLOT_EPOCH_MASK  UINT64_C(0x7f)

struct bucket {
    _Atomic uint32_t seq;
    _Atomic uint32_t next; /* overflow bucket's number, 0: none */
    _Atomic uint64_t slot[TABLE_SLOTS];
};
static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

struct table {
    struct bucket *buckets;  /* reserved: max */
    struct bucket *overflow; /* reserved: overflow_max; number 0 is not used */
    uint64_t max, overflow_max;
    _Alignas(64) _Atomic uint64_t count; /* buckets in use */
    _Atomic uint64_t mask;               /* see table_bucket() */
    _Alignas(64) _Atomic int64_t keys;   /* about; threads report in steps */
    struct spin grow_lock;
    uint64_t committed; /* buckets that are writable */
    struct spin overflow_lock;
    uint32_t overflow_free, overflow_fresh, overflow_committed, overflow_used;
    _Atomic size_t bytes; /* memory of both */
};

/* At most max buckets, to begin with as many as 2^hash_power keys want (0: few). */
MUST_CHECK err_t table_init(struct table *t, uint64_t max, unsigned hash_power,
                            struct err_detail *d);
void table_fini(struct table *t);

static inline uint64_t
table_index(uint64_t hash, uint64_t count)
{
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(count));
    uint64_t i = hash & (2 * half - 1) & (UINT64_MAX >> 16);

    return i < count ? i : i & (half - 1);
}

/*
 * table_index() with what it needs of the count at hand: mask is 2^(k+1) - 1 from 2^k + 1 buckets
 * on.  It is stored when there are 2^k, for which it and the one before come to the same, and so
 * is never behind the count that is read first.  Where it is ahead, the bucket is one of the first
 * mask / 2 + 1, as it was when there were so many; who acquires the mask sees what they hold.
 */
static inline struct bucket *
table_bucket(const struct table *t, uint64_t hash)
{
    uint64_t count = atomic_load_explicit(&t->count, memory_order_acquire);
    uint64_t mask = atomic_load_explicit(&t->mask, memory_order_acquire);
    uint64_t i = hash & mask;

    return &t->buckets[i < count ? i : i & mask >> 1];
}

static inline uint64_t
slot_load(const _Atomic uint64_t *slot)
{
    return atomic_load_explicit(slot, memory_order_relaxed);
}

static inline struct bucket *
bucket_next(const struct table *t, const struct bucket *b)
{
    uint32_t n = atomic_load_explicit(&b->next, memory_order_relaxed);

    return n != 0 ? &t->overflow[n] : NULL;
}

/* Begins a read; waits out a writer. */
uint32_t bucket_read_begin(const struct bucket *b);
/* True if nothing changed since. */
static inline bool
bucket_read_ok(const struct bucket *b, uint32_t seq)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&b->seq, memory_order_relaxed) == seq;
}

/* Locks the bucket that the hash belongs to now. */
struct bucket *table_lock(struct table *t, uint64_t hash);
/* NULL if somebody else holds it. */
struct bucket *table_trylock(struct table *t, uint64_t hash);
void bucket_lock(struct bucket *b);
void bucket_unlock(struct bucket *b);
/*
 * Locks a bucket that is unchanged since seq, to write words that the sequence does not protect (an
 * item's seen); release with bucket_untouch(), after which readers do not notice.
 */
static inline bool
bucket_touch(struct bucket *b, uint32_t seq)
{
    return atomic_compare_exchange_strong_explicit(&b->seq, &seq, seq + 1, memory_order_acquire,
                                                   memory_order_relaxed);
}
static inline void
bucket_untouch(struct bucket *b, uint32_t seq)
{
    atomic_store_explicit(&b->seq, seq, memory_order_release);
}

/* The slot that holds this handle, or NULL.  Bucket locked. */
_Atomic uint64_t *table_slot_of(const struct table *t, struct bucket *b, uint64_t handle);
/*
 * Puts a handle into a free slot: a ghost of the same tag (then *was_ghost), an empty one, the
 * oldest ghost, or one of a new overflow bucket.  NULL: no memory.  Bucket locked.
 */
_Atomic uint64_t *table_insert(struct table *t, struct bucket *b, uint64_t hash, uint64_t handle,
                               bool *was_ghost);
/*
 * Empties a slot of this bucket's chain; ghost_epoch < 0: leaves nothing, else a ghost.  Another
 * item of the chain may come into its place, from further behind: forget what was found of its
 * slots.  Bucket locked.
 */
void table_remove(struct table *t, struct bucket *b, _Atomic uint64_t *slot, int ghost_epoch);

/* True if there are more keys than the buckets should hold. */
bool table_wants_growth(const struct table *t);
/* Splits one bucket; hash_of() gives the hash of the item with that handle. False: not now. */
bool table_split(struct table *t, uint64_t (*hash_of)(const void *arg, uint64_t handle),
                 const void *arg);
