#include "store/table.h"

#include "base/vm.h"

#include <assert.h>
#include <string.h>

#define TABLE_START 1024u /* buckets: 64 KiB */
#define COMMIT_STEP                                                                                \
    16384u /* buckets made writable at a time: 1 MiB of address space; touched as used */
#define FILL_PERCENT 100 /* of the slots, before a bucket is split */

static void
bytes_add(struct table *t, size_t n)
{
    atomic_fetch_add_explicit(&t->bytes, n, memory_order_relaxed);
}

/* Buckets to begin with: a hint, so never more than half of what there may be. */
static uint64_t
start_count(uint64_t max, unsigned hash_power)
{
    uint64_t keys = UINT64_C(1) << (hash_power < 40 ? hash_power : 40);
    uint64_t count = keys * 100 / (TABLE_SLOTS * FILL_PERCENT) + 1;

    count = count < TABLE_START ? TABLE_START : count;
    return count < max / 2 ? count : max / 2;
}

err_t
table_init(struct table *t, uint64_t max, unsigned hash_power, struct err_detail *d)
{
    memset(t, 0, sizeof *t);
    t->max = (max + COMMIT_STEP - 1) / COMMIT_STEP * COMMIT_STEP;
    t->overflow_max = t->max < UINT32_MAX ? t->max : UINT32_MAX / COMMIT_STEP * COMMIT_STEP;
    t->buckets = vm_reserve(t->max * sizeof *t->buckets);
    t->overflow = vm_reserve(t->overflow_max * sizeof *t->overflow);
    uint64_t start = start_count(t->max, hash_power);
    t->committed = (start + COMMIT_STEP - 1) / COMMIT_STEP * COMMIT_STEP;
    if (t->buckets == NULL || t->overflow == NULL ||
        !vm_commit(t->buckets, t->committed * sizeof *t->buckets)) {
        return err_set(d, ERR_NOMEM, "cannot reserve a table of %llu buckets",
                       (unsigned long long)t->max);
    }
    vm_huge(t->buckets, t->max * sizeof *t->buckets);
    t->overflow_fresh = 1;
    atomic_init(&t->count, start);
    atomic_init(&t->mask, (UINT64_C(2) << (63 - __builtin_clzll(start))) - 1);
    bytes_add(t, start * sizeof *t->buckets);
    return ERR_OK;
}

void
table_fini(struct table *t)
{
    if (t->buckets != NULL) {
        vm_release(t->buckets, t->max * sizeof *t->buckets);
    }
    if (t->overflow != NULL) {
        vm_release(t->overflow, t->overflow_max * sizeof *t->overflow);
    }
    t->buckets = t->overflow = NULL;
}

uint32_t
bucket_read_begin(const struct bucket *b)
{
    uint32_t seq = atomic_load_explicit(&b->seq, memory_order_acquire);

    for (unsigned round = 0; seq & 1; round++) {
        spin_pause(round);
        seq = atomic_load_explicit(&b->seq, memory_order_acquire);
    }
    return seq;
}

static bool
bucket_trylock(struct bucket *b)
{
    uint32_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed);

    if (seq & 1 || !bucket_touch(b, seq)) {
        return false;
    }
    /* Readers that see anything of what follows see the odd sequence too. */
    atomic_thread_fence(memory_order_release);
    return true;
}

void
bucket_lock(struct bucket *b)
{
    for (unsigned round = 0; !bucket_trylock(b); round++) {
        spin_pause(round);
    }
}

void
bucket_unlock(struct bucket *b)
{
    uint32_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed);

    assert(seq & 1);
    atomic_store_explicit(&b->seq, seq + 1, memory_order_release);
}

struct bucket *
table_lock(struct table *t, uint64_t hash)
{
    for (;;) {
        struct bucket *b = table_bucket(t, hash);
        bucket_lock(b);
        if (b == table_bucket(t, hash)) {
            return b;
        }
        bucket_unlock(b); /* it was split while we waited */
    }
}

struct bucket *
table_trylock(struct table *t, uint64_t hash)
{
    struct bucket *b = table_bucket(t, hash);

    if (!bucket_trylock(b)) {
        return NULL;
    }
    if (b != table_bucket(t, hash)) {
        bucket_unlock(b);
        return NULL;
    }
    return b;
}

_Atomic uint64_t *
table_slot_of(const struct table *t, struct bucket *b, uint64_t handle)
{
    for (; b != NULL; b = bucket_next(t, b)) {
        for (int i = 0; i < TABLE_SLOTS; i++) {
            if ((slot_load(&b->slot[i]) & SLOT_HANDLE_MASK) == handle) {
                return &b->slot[i];
            }
        }
    }
    return NULL;
}

static uint32_t
overflow_take(struct table *t)
{
    uint32_t n = 0;

    spin_lock(&t->overflow_lock);
    if (t->overflow_free != 0) {
        n = t->overflow_free;
        t->overflow_free = atomic_load_explicit(&t->overflow[n].next, memory_order_relaxed);
    } else if (t->overflow_fresh < t->overflow_max) {
        if (t->overflow_fresh >= t->overflow_committed &&
            vm_commit(&t->overflow[t->overflow_committed], COMMIT_STEP * sizeof(struct bucket))) {
            t->overflow_committed += COMMIT_STEP;
        }
        if (t->overflow_fresh < t->overflow_committed) {
            n = t->overflow_fresh++;
            bytes_add(t, sizeof(struct bucket));
        }
    }
    t->overflow_used += n != 0;
    spin_unlock(&t->overflow_lock);
    atomic_thread_fence(memory_order_release); /* as in chunk_take_free() */
    if (n != 0) {
        for (int i = 0; i < TABLE_SLOTS; i++) {
            atomic_store_explicit(&t->overflow[n].slot[i], 0, memory_order_relaxed);
        }
        atomic_store_explicit(&t->overflow[n].next, 0, memory_order_relaxed);
    }
    return n;
}

static void
overflow_give(struct table *t, uint32_t n)
{
    spin_lock(&t->overflow_lock);
    atomic_store_explicit(&t->overflow[n].next, t->overflow_free, memory_order_relaxed);
    t->overflow_free = n;
    assert(t->overflow_used > 0);
    t->overflow_used--;
    spin_unlock(&t->overflow_lock);
}

static void
overflow_give_chain(struct table *t, uint32_t n)
{
    while (n != 0) {
        uint32_t next = atomic_load_explicit(&t->overflow[n].next, memory_order_relaxed);
        overflow_give(t, n);
        n = next;
    }
}

static void
slot_store(_Atomic uint64_t *slot, uint64_t hash, uint64_t handle)
{
    atomic_store_explicit(slot, hash >> SLOT_TAG_SHIFT << SLOT_TAG_SHIFT | handle,
                          memory_order_relaxed);
}

/* Ages of ghosts are compared modulo 128: the one furthest behind the newest goes first. */
static bool
ghost_is_older(uint64_t a, uint64_t b)
{
    uint64_t ea = a >> SLOT_EPOCH_SHIFT & SLOT_EPOCH_MASK,
             eb = b >> SLOT_EPOCH_SHIFT & SLOT_EPOCH_MASK;

    return ((eb - ea) & SLOT_EPOCH_MASK) < 64;
}

_Atomic uint64_t *
table_insert(struct table *t, struct bucket *b, uint64_t hash, uint64_t handle, bool *was_ghost)
{
    _Atomic uint64_t *empty = NULL, *oldest = NULL;
    uint64_t tag = hash >> SLOT_TAG_SHIFT;
    struct bucket *last = b;

    assert(handle != 0 && handle <= SLOT_HANDLE_MASK);
    *was_ghost = false;
    for (; b != NULL; last = b, b = bucket_next(t, b)) {
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t v = slot_load(&b->slot[i]);
            if (v == 0) {
                empty = empty != NULL ? empty : &b->slot[i];
            } else if ((v & SLOT_HANDLE_MASK) == 0) {
                if (v >> SLOT_TAG_SHIFT == tag) {
                    *was_ghost = true;
                    slot_store(&b->slot[i], hash, handle);
                    return &b->slot[i];
                }
                if (oldest == NULL || ghost_is_older(v, slot_load(oldest))) {
                    oldest = &b->slot[i];
                }
            }
        }
    }
    _Atomic uint64_t *slot = empty != NULL ? empty : oldest;
    if (slot == NULL) {
        uint32_t n = overflow_take(t);
        if (n == 0) {
            return NULL;
        }
        slot = &t->overflow[n].slot[0];
        atomic_store_explicit(&last->next, n, memory_order_relaxed);
    }
    slot_store(slot, hash, handle);
    return slot;
}

/* A slot of one bucket that holds an item, or NULL. */
static _Atomic uint64_t *
bucket_some_item(struct bucket *b)
{
    for (int i = 0; i < TABLE_SLOTS; i++) {
        if ((slot_load(&b->slot[i]) & SLOT_HANDLE_MASK) != 0) {
            return &b->slot[i];
        }
    }
    return NULL;
}

/*
 * Keeps a chain as short as it can be, or in time every bucket would have as many overflow buckets
 * as its items ever needed: what a slot lost is replaced by an item of the last bucket, which goes
 * when it has none any more.
 */
static void
chain_shorten(struct table *t, struct bucket *b, _Atomic uint64_t *hole)
{
    struct bucket *last = b, *before = NULL;

    for (struct bucket *next; (next = bucket_next(t, last)) != NULL; last = next) {
        before = last;
    }
    assert(before != NULL); /* or there is nothing to shorten */
    _Atomic uint64_t *from = bucket_some_item(last);
    bool is_in_last = (uintptr_t)hole - (uintptr_t)last < sizeof *last;
    if (from != NULL && !is_in_last) {
        uint64_t ghost = slot_load(hole);
        atomic_store_explicit(hole, slot_load(from), memory_order_relaxed);
        atomic_store_explicit(from, ghost, memory_order_relaxed);
        from = bucket_some_item(last);
    }
    if (from == NULL) {
        overflow_give(t, atomic_exchange_explicit(&before->next, 0, memory_order_relaxed));
    }
}

void
table_remove(struct table *t, struct bucket *b, _Atomic uint64_t *slot, int ghost_epoch)
{
    uint64_t v = 0;

    assert((slot_load(slot) & SLOT_HANDLE_MASK) != 0);
    if (ghost_epoch >= 0) {
        v = slot_load(slot) >> SLOT_TAG_SHIFT << SLOT_TAG_SHIFT | SLOT_GHOST |
            ((uint64_t)ghost_epoch & SLOT_EPOCH_MASK) << SLOT_EPOCH_SHIFT;
    }
    atomic_store_explicit(slot, v, memory_order_relaxed);
    if (atomic_load_explicit(&b->next, memory_order_relaxed) != 0) {
        chain_shorten(t, b, slot);
    }
}

bool
table_wants_growth(const struct table *t)
{
    int64_t keys = atomic_load_explicit(&t->keys, memory_order_relaxed);
    uint64_t count = atomic_load_explicit(&t->count, memory_order_relaxed);

    return keys > 0 && (uint64_t)keys * 100 > count * TABLE_SLOTS * FILL_PERCENT;
}

/* What a split does with one chain: the slots that go, collected before anything is changed. */
struct split {
    uint64_t stay_count, go_count;
    uint32_t spare; /* overflow buckets at hand, linked by next */
};

static void
split_count(const struct table *t, struct bucket *src, uint64_t count,
            uint64_t (*hash_of)(const void *arg, uint64_t handle), const void *arg,
            struct split *sp)
{
    *sp = (struct split){ 0 };
    for (struct bucket *b = src; b != NULL; b = bucket_next(t, b)) {
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t handle = slot_load(&b->slot[i]) & SLOT_HANDLE_MASK;
            if (handle == 0) {
                continue;
            }
            bool goes = &t->buckets[table_index(hash_of(arg, handle), count + 1)] != src;
            *(goes ? &sp->go_count : &sp->stay_count) += 1;
        }
    }
}

static void
chain_append(struct table *t, struct bucket **at, int *slot, uint64_t v, struct split *sp)
{
    if (*slot == TABLE_SLOTS) {
        uint32_t n = sp->spare;
        assert(n != 0);
        sp->spare = atomic_exchange_explicit(&t->overflow[n].next, 0, memory_order_relaxed);
        atomic_store_explicit(&(*at)->next, n, memory_order_relaxed);
        *at = &t->overflow[n];
        *slot = 0;
    }
    atomic_store_explicit(&(*at)->slot[(*slot)++], v, memory_order_relaxed);
}

/* Moves the slots; what stays is packed to the front of the chain, ghosts are dropped. */
static void
split_move(struct table *t, struct bucket *src, struct bucket *dst, uint64_t count,
           uint64_t (*hash_of)(const void *arg, uint64_t handle), const void *arg, struct split *sp)
{
    struct bucket *to = dst, *keep = src;
    int to_slot = 0, keep_slot = 0;

    for (struct bucket *b = src; b != NULL; b = bucket_next(t, b)) {
        for (int i = 0; i < TABLE_SLOTS; i++) {
            uint64_t v = slot_load(&b->slot[i]);
            uint64_t handle = v & SLOT_HANDLE_MASK;
            atomic_store_explicit(&b->slot[i], 0, memory_order_relaxed);
            if (handle == 0) {
                continue;
            }
            if (&t->buckets[table_index(hash_of(arg, handle), count + 1)] != src) {
                chain_append(t, &to, &to_slot, v, sp);
                continue;
            }
            if (keep_slot == TABLE_SLOTS) {
                keep = bucket_next(t, keep);
                keep_slot = 0;
            }
            atomic_store_explicit(&keep->slot[keep_slot++], v, memory_order_relaxed);
        }
    }
    overflow_give_chain(t, atomic_exchange_explicit(&keep->next, 0, memory_order_relaxed));
}

static bool
split_reserve(struct table *t, struct split *sp)
{
    uint64_t need = sp->go_count > TABLE_SLOTS ? (sp->go_count - 1) / TABLE_SLOTS : 0;

    for (; need > 0; need--) {
        uint32_t n = overflow_take(t);
        if (n == 0) {
            return false;
        }
        atomic_store_explicit(&t->overflow[n].next, sp->spare, memory_order_relaxed);
        sp->spare = n;
    }
    return true;
}

bool
table_split(struct table *t, uint64_t (*hash_of)(const void *arg, uint64_t handle), const void *arg)
{
    bool done = false;

    if (!spin_try(&t->grow_lock)) {
        return false;
    }
    uint64_t count = atomic_load_explicit(&t->count, memory_order_relaxed);
    if (count < t->max && count >= t->committed &&
        vm_commit(&t->buckets[t->committed], COMMIT_STEP * sizeof(struct bucket))) {
        t->committed += COMMIT_STEP;
    }
    if (count < t->committed) {
        struct bucket *src = &t->buckets[table_index(count, count)];
        struct split sp;
        bucket_lock(src);
        split_count(t, src, count, hash_of, arg, &sp);
        if (split_reserve(t, &sp)) {
            split_move(t, src, &t->buckets[count], count, hash_of, arg, &sp);
            if ((count & (count - 1)) == 0) {
                atomic_store_explicit(&t->mask, 2 * count - 1, memory_order_release);
            }
            atomic_store_explicit(&t->count, count + 1, memory_order_release);
            bytes_add(t, sizeof(struct bucket));
            done = true;
        }
        bucket_unlock(src);
        overflow_give_chain(t, sp.spare);
    }
    spin_unlock(&t->grow_lock);
    return done;
}
