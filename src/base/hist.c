#include "base/hist.h"

#include <assert.h>
#include <stddef.h>

static uint64_t
cell_get(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* No lock prefix: the calling thread is the only writer. */
static void
cell_set(_Atomic uint64_t *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_relaxed);
}

static size_t
bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < (1u << HIST_SUB_BITS)) {
        return (size_t)value;
    }
    shift = 63u - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
    return ((size_t)shift << HIST_SUB_BITS) + (size_t)(value >> shift);
}

/* The largest value that belongs to a bucket. */
static uint64_t
bucket_top(size_t bucket)
{
    size_t shift = bucket >> HIST_SUB_BITS;

    if (shift == 0) {
        return bucket;
    }
    shift--;
    return (((uint64_t)(bucket - (shift << HIST_SUB_BITS)) + 1) << shift) - 1;
}

void
hist_record(struct hist *h, uint64_t value)
{
    size_t bucket;

    if (value > HIST_VALUE_MAX) {
        value = HIST_VALUE_MAX;
    }
    bucket = bucket_of(value);
    assert(bucket < HIST_BUCKETS);
    cell_set(&h->bucket[bucket], cell_get(&h->bucket[bucket]) + 1);
    cell_set(&h->sum, cell_get(&h->sum) + value);
    if (value > cell_get(&h->max)) {
        cell_set(&h->max, value);
    }
}

void
hist_merge(struct hist *h, const struct hist *from)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        cell_set(&h->bucket[i], cell_get(&h->bucket[i]) + cell_get(&from->bucket[i]));
    }
    cell_set(&h->sum, cell_get(&h->sum) + cell_get(&from->sum));
    if (cell_get(&from->max) > cell_get(&h->max)) {
        cell_set(&h->max, cell_get(&from->max));
    }
}

static void
cell_subtract(_Atomic uint64_t *cell, uint64_t n)
{
    uint64_t value = cell_get(cell);

    cell_set(cell, value > n ? value - n : 0);
}

void
hist_subtract(struct hist *h, const struct hist *earlier)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        cell_subtract(&h->bucket[i], cell_get(&earlier->bucket[i]));
    }
    cell_subtract(&h->sum, cell_get(&earlier->sum));
}

void
hist_clear(struct hist *h)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        cell_set(&h->bucket[i], 0);
    }
    cell_set(&h->sum, 0);
    cell_set(&h->max, 0);
}

uint64_t
hist_count(const struct hist *h)
{
    uint64_t count = 0;

    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        count += cell_get(&h->bucket[i]);
    }
    return count;
}

uint64_t
hist_mean(const struct hist *h)
{
    uint64_t count = hist_count(h);

    return count == 0 ? 0 : cell_get(&h->sum) / count;
}

uint64_t
hist_max(const struct hist *h)
{
    return cell_get(&h->max);
}

uint64_t
hist_percentile(const struct hist *h, double percent)
{
    uint64_t count = hist_count(h);
    uint64_t max = hist_max(h);
    uint64_t seen = 0;
    double   wanted;

    assert(percent >= 0 && percent <= 100);
    if (count == 0) {
        return 0;
    }
    wanted = (double)count * percent / 100;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        uint64_t here = cell_get(&h->bucket[i]);

        seen += here;
        if (here != 0 && (double)seen >= wanted) {
            uint64_t top = bucket_top(i);

            return top < max ? top : max;
        }
    }
    return max;
}
