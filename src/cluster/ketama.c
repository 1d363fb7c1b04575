#include "cluster/ketama.h"

#include "base/md5.h"
#include "base/num.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PORT_PLAIN      11211 /* not part of a label */
#define OAT_POINTS      100   /* of a server */
#define WEIGHTED_POINTS 160   /* of a server with a fair share */
#define MD5_POINTS      4     /* that one md5 makes */
#define LABEL_MAX       1100  /* bytes; libmemcached's longest host has 1024 */

/* -- hashes ------------------------------------------------------------------------------------ */

static uint32_t
md5_word(const uint8_t digest[MD5_BYTES], unsigned i)
{
    const uint8_t *p = digest + 4 * i;

    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

uint32_t
ketama_md5(struct slice key)
{
    uint8_t digest[MD5_BYTES];

    md5_bytes(key, digest);
    return md5_word(digest, 0);
}

/* Jenkins's one_at_a_time.  The library reads plain char, which has a sign on amd64. */
uint32_t
ketama_oat(struct slice key)
{
    uint32_t v = 0;

    for (size_t i = 0; i < key.len; i++) {
        int c = (signed char)key.ptr[i];

        v += (uint32_t)c;
        v += v << 10;
        v ^= v >> 6;
    }
    v += v << 3;
    v ^= v >> 11;
    v += v << 15;
    return v;
}

/* -- points ------------------------------------------------------------------------------------ */

/*
 * The library's arithmetic is that of floats, so 25 equal servers have 156 points each and not 160.
 * What is volatile is rounded to a float after each step, by every compiler on every machine: no
 * fused multiply-add, no wider registers.
 */
uint32_t
ketama_share(uint32_t weight, uint64_t total, uint32_t live)
{
    volatile float x = (float)weight;
    volatile float y = (float)total;

    assert(total >= weight && live > 0);
    x = x / y;
    x = x * (float)WEIGHTED_POINTS;
    x = x / (float)MD5_POINTS;
    y = (float)live;
    x = x * y;
    x = x + 0.0000000001F;
    return (uint32_t)floorf(x) * MD5_POINTS;
}

/* What all labels of a server begin with, "host-" or "host:port-"; its length. */
static size_t
label_start(const struct ketama_server *s, char out[LABEL_MAX])
{
    int len = s->port == PORT_PLAIN ? snprintf(out, LABEL_MAX - NUM_PRINT_MAX, "%s-", s->host)
                                    : snprintf(out, LABEL_MAX - NUM_PRINT_MAX, "%s:%u-", s->host,
                                               (unsigned)s->port);

    assert(len > 0 && len < LABEL_MAX - NUM_PRINT_MAX);
    return (size_t)len;
}

static uint32_t
weight_of(const struct ketama_server *s)
{
    return s->weight == 0 ? 1 : s->weight;
}

/* Writes the points of one server, four of an md5 or one of a label; returns where they end. */
static struct ketama_point *
points_of(enum ketama_kind kind, const struct ketama_server *s, uint32_t index, uint32_t count,
          struct ketama_point *out)
{
    char    label[LABEL_MAX];
    size_t  start = label_start(s, label);
    uint8_t digest[MD5_BYTES];

    if (kind == KETAMA_OAT) {
        for (uint32_t i = 0; i < count; i++) {
            size_t len = start + num_print_u64(label + start, i);

            *out++ = (struct ketama_point){ ketama_oat(slice_of(label, len)), index };
        }
        return out;
    }
    for (uint32_t i = 0; i < count / MD5_POINTS; i++) {
        md5_bytes(slice_of(label, start + num_print_u64(label + start, i)), digest);
        for (unsigned x = 0; x < MD5_POINTS; x++) {
            *out++ = (struct ketama_point){ md5_word(digest, x), index };
        }
    }
    return out;
}

static int
point_order(const void *a, const void *b)
{
    const struct ketama_point *p = a, *q = b;

    if (p->value != q->value) {
        return p->value < q->value ? -1 : 1;
    }
    return (p->server > q->server) - (p->server < q->server);
}

/* -- the ring ---------------------------------------------------------------------------------- */

/* Tells each bucket its first point. */
static bool
ring_index(struct ketama *k)
{
    unsigned bits = 1;
    uint32_t at = 0;

    while (bits < 31 && ((uint32_t)1 << bits) < k->count) {
        bits++;
    }
    k->shift = 32 - bits;
    k->bucket = malloc(((size_t)1 << bits) * sizeof *k->bucket);
    if (!k->bucket) {
        return false;
    }
    for (uint32_t i = 0; i >> bits == 0; i++) {
        while (k->point[at].value < i << k->shift) {
            at++; /* the one behind the last stops it */
        }
        k->bucket[i] = at;
    }
    assert(at <= k->count && k->point[k->count].value == UINT32_MAX);
    return true;
}

struct ketama *
ketama_of(struct ketama_point **points, size_t count)
{
    struct ketama       *k = calloc(1, sizeof *k);
    struct ketama_point *all = *points;

    assert(all && count > 0 && count < UINT32_MAX / 2);
    *points = NULL;
    if (!k) {
        free(all);
        return NULL;
    }
    k->count = (uint32_t)count;
    k->point = realloc(all, (count + 1) * sizeof *all);
    if (!k->point) {
        k->point = all;
        ketama_free(k);
        return NULL;
    }
    qsort(k->point, count, sizeof *k->point, point_order);
    k->point[count] = (struct ketama_point){ UINT32_MAX, k->point[0].server };
    if (!ring_index(k)) {
        ketama_free(k);
        return NULL;
    }
    return k;
}

struct ketama *
ketama_new(enum ketama_kind kind, const struct ketama_server *servers, size_t count)
{
    struct ketama_point *points, *end;
    uint64_t             total = 0;
    size_t               room = 0;

    assert(count > 0 && count <= UINT16_MAX);
    for (size_t i = 0; i < count; i++) {
        total += weight_of(&servers[i]);
    }
    for (size_t i = 0; i < count; i++) {
        room += kind == KETAMA_OAT
                    ? OAT_POINTS
                    : ketama_share(weight_of(&servers[i]), total, (uint32_t)count);
    }
    points = malloc((room + 1) * sizeof *points);
    if (!points) {
        return NULL;
    }
    end = points;
    for (size_t i = 0; i < count; i++) {
        uint32_t own = kind == KETAMA_OAT
                           ? OAT_POINTS
                           : ketama_share(weight_of(&servers[i]), total, (uint32_t)count);

        end = points_of(kind, &servers[i], (uint32_t)i, own, end);
    }
    assert((size_t)(end - points) == room);
    return ketama_of(&points, room);
}

void
ketama_free(struct ketama *k)
{
    if (!k) {
        return;
    }
    free(k->point);
    free(k->bucket);
    free(k);
}
