/*
 * traces.c - prints a trace of requests, the same for the same words: "time,key,size,op,ttl".
 *
 * For magpie-bench --trace: every line is a get, and what it misses is to be stored with this size
 * and this time to live.  A key's size and time to live never change.  What the kinds are for:
 *
 *   zipf    popularity that stays: rank r is asked for 1/r as often as the first
 *   scans   of every 4,000 requests 1,000 are for keys that come once; the rest is zipf
 *   drift   zipf, but with every request two keys, any two, change places in popularity
 *   ttl     zipf over keys that live for 20 s to 10 min, of which few live for longer
 *   shift   values of 50 to 200 bytes, then 1 to 2 KB for a third of the time, then small again
 *   loop    all keys in turn, again and again
 *   bursts  zipf, but every third request is one of the latest thousand again
 */
#include "base/num.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { ZIPF, SCANS, DRIFT, TTL, SHIFT, LOOP, BURSTS, KINDS };
static const char *const kind_names[KINDS] = { "zipf",  "scans", "drift", "ttl",
                                               "shift", "loop",  "bursts" };

#define LATEST 1000

struct trace {
    enum kind kind;
    uint32_t keys, requests, seconds, seed;
    double *sums;    /* by rank: of 1/r up to it */
    uint32_t *order; /* by rank: the key */
    struct rng rng;
    uint64_t once;   /* keys that came once so far */
    uint32_t latest[LATEST];
};

/* What belongs to a key: always the same bits. */
static uint64_t
key_bits(const struct trace *t, char space, uint64_t n)
{
    struct rng r;

    rng_init(&r, n * 256 + (unsigned char)space + ((uint64_t)t->seed << 40));
    return rng_next(&r);
}

static uint32_t
rank_pick(struct trace *t)
{
    double at = rng_unit(&t->rng) * t->sums[t->keys - 1];
    uint32_t lo = 0, hi = t->keys - 1;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->sums[mid] <= at) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* By popularity, or again. */
static uint32_t
key_pick(struct trace *t, uint32_t i)
{
    bool again = t->kind == BURSTS && i >= LATEST && rng_below(&t->rng, 3) == 0;
    uint32_t n = again ? t->latest[rng_below(&t->rng, LATEST)] : t->order[rank_pick(t)];

    t->latest[i % LATEST] = n;
    return n;
}

static void
order_swap(struct trace *t)
{
    uint32_t a = (uint32_t)rng_below(&t->rng, t->keys), b = (uint32_t)rng_below(&t->rng, t->keys);
    uint32_t key = t->order[a];

    t->order[a] = t->order[b];
    t->order[b] = key;
}

/* Most values of a cache are short, and most of its bytes are in the others. */
static uint32_t
size_of(uint64_t bits)
{
    static const struct {
        uint32_t percent, from, to;
    } sizes[] = { { 50, 20, 100 }, { 30, 100, 400 }, { 15, 400, 1500 }, { 5, 1500, 8000 } };
    uint32_t at = (uint32_t)(bits % 100), i = 0;

    for (; at >= sizes[i].percent; i++) {
        at -= sizes[i].percent;
    }
    return sizes[i].from + (uint32_t)((bits >> 8) % (sizes[i].to - sizes[i].from));
}

static uint32_t
ttl_of(uint64_t bits)
{
    static const uint32_t from[] = { 20, 20, 60, 60, 120, 120, 300, 300, 600, 3600 };
    uint32_t low = from[(bits >> 40) % (sizeof from / sizeof from[0])];

    return low + (uint32_t)((bits >> 50) % low);
}

/* Are values large in this part of the trace?  At times a request is for one of the others. */
static bool
is_large(struct trace *t, uint32_t i)
{
    uint32_t third = (uint32_t)((uint64_t)i * 3 / t->requests);

    return (third == 1) != (rng_below(&t->rng, 20) == 0);
}

static void
print(const struct trace *t, uint32_t i, char space, uint64_t n, uint32_t size, uint32_t ttl)
{
    double time = (double)i * t->seconds / t->requests;

    printf("%.3f,%c-%018llu,%u,get,%u\n", time, space, (unsigned long long)n, size, ttl);
}

static void
print_request(struct trace *t, uint32_t i)
{
    uint64_t bits;

    if (t->kind == SCANS && i % 4000 >= 3000) {
        print(t, i, 'o', t->once, size_of(key_bits(t, 'o', t->once)), 0);
        t->once++;
        return;
    }
    if (t->kind == DRIFT) {
        order_swap(t);
    }
    uint32_t n = t->kind == LOOP ? i % t->keys : key_pick(t, i);
    bits = key_bits(t, 'k', n);
    if (t->kind == SHIFT && is_large(t, i)) {
        n /= 10; /* as many bytes as the others */
        print(t, i, 'l', n, 1000 + (uint32_t)(key_bits(t, 'l', n) % 1000), 0);
    } else if (t->kind == SHIFT) {
        print(t, i, 's', n, 50 + (uint32_t)(bits % 150), 0);
    } else {
        print(t, i, 'k', n, size_of(bits), t->kind == TTL ? ttl_of(bits) : 0);
    }
}

/* False: no memory. */
static bool
trace_init(struct trace *t)
{
    t->sums = malloc(t->keys * sizeof *t->sums);
    t->order = malloc(t->keys * sizeof *t->order);
    if (t->sums == NULL || t->order == NULL) {
        return false;
    }
    rng_init(&t->rng, t->seed);
    for (uint32_t i = 0; i < t->keys; i++) {
        t->sums[i] = (i > 0 ? t->sums[i - 1] : 0) + 1.0 / (i + 1);
        t->order[i] = i;
    }
    for (uint32_t i = t->keys; i > 1; i--) { /* a key's number says nothing about its popularity */
        uint32_t j = (uint32_t)rng_below(&t->rng, i), key = t->order[i - 1];
        t->order[i - 1] = t->order[j];
        t->order[j] = key;
    }
    return true;
}

/* "--name N", N from 1; false: it is something else. */
static bool
option_take(struct trace *t, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *to;
    } options[] = { { "--keys", &t->keys },
                    { "--requests", &t->requests },
                    { "--seconds", &t->seconds },
                    { "--seed", &t->seed } };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(name, options[i].name) == 0) {
            return num_parse_u32(slice_of(value, strlen(value)), options[i].to) &&
                   *options[i].to > 0;
        }
    }
    return false;
}

int
main(int argc, char **argv)
{
    struct trace t = { .kind = KINDS, .keys = 1000000, .requests = 4000000, .seconds = 1200,
                       .seed = 1 };
    bool ok = argc >= 2 && argc % 2 == 0;

    for (int kind = 0; ok && kind < KINDS; kind++) {
        t.kind = strcmp(argv[1], kind_names[kind]) == 0 ? (enum kind)kind : t.kind;
    }
    for (int i = 2; ok && i < argc; i += 2) {
        ok = option_take(&t, argv[i], argv[i + 1]);
    }
    if (!ok || t.kind == KINDS) {
        fputs("usage: traces zipf|scans|drift|ttl|shift|loop|bursts [--keys N] [--requests N]\n"
              "              [--seconds N] [--seed N]\n", stderr);
        return 2;
    }
    ok = trace_init(&t);
    for (uint32_t i = 0; ok && i < t.requests; i++) {
        print_request(&t, i);
    }
    ok = fflush(stdout) == 0 && !ferror(stdout) && ok;
    if (!ok) {
        perror("traces");
    }
    free(t.sums);
    free(t.order);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
