/*
 * hist.h - how values are spread, latencies above all: a histogram of fixed size.
 *
 * Log-linear buckets: values below 64 are exact, larger ones share a bucket with values at most
 * 1/32 apart, so a percentile is never too low and at most 3.2 % too high.  Values above
 * HIST_VALUE_MAX count as that.  A zeroed struct is an empty histogram.
 *
 * One thread records; another may merge it meanwhile and sees each count as it was at some moment.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#define HIST_SUB_BITS  5                          /* 32 buckets for each power of two */
#define HIST_VALUE_BITS 40
#define HIST_VALUE_MAX ((UINT64_C(1) << HIST_VALUE_BITS) - 1)
#define HIST_BUCKETS   ((HIST_VALUE_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
    _Atomic uint64_t bucket[HIST_BUCKETS];
    _Atomic uint64_t sum; /* of all values */
    _Atomic uint64_t max;
};

/* Owner thread. */
void hist_record(struct hist *h, uint64_t value);
/* Adds from to h; h belongs to the calling thread. */
void hist_merge(struct hist *h, const struct hist *from);
/*
 * Takes away what was in earlier, a former state of h: what was recorded since is left.  No count
 * falls below 0; the maximum stays that of h.  h belongs to the calling thread.
 */
void hist_subtract(struct hist *h, const struct hist *earlier);
/* Empties h; owner thread. */
void hist_clear(struct hist *h);

uint64_t hist_count(const struct hist *h);
/* Average, rounded down; 0 if empty. */
uint64_t hist_mean(const struct hist *h);
uint64_t hist_max(const struct hist *h);
/*
 * A value that at least percent of all values do not exceed, percent in 0..100; the largest value
 * of its bucket, but never more than hist_max().  0 if empty.
 */
uint64_t hist_percentile(const struct hist *h, double percent);
