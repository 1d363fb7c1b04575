/*
 * How many look-ups of an owner one core does in a second: each placement, keys of 20 bytes in a
 * set that fits into the second-level cache.
 *   by hash   the hash of the key is given: XXH3, or what the placement hashes keys with
 *   by key    with that hash
 */
#include "base/clock.h"
#include "base/hash.h"
#include "cluster/ketama.h"
#include "cluster/ring.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS    8192
#define KEY_LEN 20
#define BEST_OF 5
#define SPAN    (NSEC_PER_SEC / 10) /* of one measurement */

static char     key[KEYS][KEY_LEN];
static uint64_t xxh3[KEYS];
static uint32_t word[KEYS]; /* ketama's hashes */

/* What a look-up is: returns anything that depends on it. */
typedef uint32_t look_fn(const void *ring, unsigned i);

static uint32_t
native_by_hash(const void *ring, unsigned i)
{
    return ring_owner(ring, slice_of(key[i], KEY_LEN), xxh3[i]);
}

static uint32_t
native_by_key(const void *ring, unsigned i)
{
    return ring_owner(ring, slice_of(key[i], KEY_LEN), hash_bytes(key[i], KEY_LEN));
}

static uint32_t
ketama_by_hash(const void *ring, unsigned i)
{
    const struct ketama *k = ring;

    return k->point[ketama_find(k, word[i])].server;
}

static uint32_t
ketama_by_key(const void *ring, unsigned i)
{
    return ring_owner(ring, slice_of(key[i], KEY_LEN), 0);
}

/* Inlined into each of its four uses, so that the look-up is no call through a pointer. */
static inline __attribute__((always_inline)) double
millions(look_fn *look, const void *ring)
{
    volatile uint32_t kept;
    double best = 0;

    for (int round = 0; round < BEST_OF; round++) {
        nsec_t   start = clock_nsec(), now;
        uint64_t n = 0;
        uint32_t sum = 0;

        do {
            for (unsigned i = 0; i < KEYS; i++) {
                sum += look(ring, i);
            }
            n += KEYS;
            now = clock_nsec();
        } while (now - start < SPAN);
        kept = sum;
        (void)kept;
        if ((double)n * 1000 / (double)(now - start) > best) {
            best = (double)n * 1000 / (double)(now - start);
        }
    }
    return best;
}

static void
show(const char *placement, size_t nodes, double by_hash, double by_key)
{
    printf("%-16s %5zu nodes  %7.1f  %7.1f\n", placement, nodes, by_hash, by_key);
    fflush(stdout);
}

static void
measure(const struct ring_node *node, const struct ketama_server *server, size_t nodes)
{
    struct ring *r = ring_new(RING_NATIVE, 1, node, nodes);

    if (!r) {
        exit(1);
    }
    show("native", nodes, millions(native_by_hash, r), millions(native_by_key, r));
    ring_free(r);
    for (int kind = KETAMA_WEIGHTED; kind <= KETAMA_OAT; kind++) {
        struct ketama *k = ketama_new((enum ketama_kind)kind, server, nodes);

        r = ring_new(kind == KETAMA_OAT ? RING_KETAMA_OAT : RING_KETAMA_WEIGHTED, 1, node, nodes);
        if (!r || !k) {
            exit(1);
        }
        for (unsigned i = 0; i < KEYS; i++) {
            word[i] = kind == KETAMA_OAT ? ketama_oat(slice_of(key[i], KEY_LEN))
                                         : ketama_md5(slice_of(key[i], KEY_LEN));
        }
        show(kind == KETAMA_OAT ? "ketama-oat" : "ketama-weighted", nodes,
             millions(ketama_by_hash, k), millions(ketama_by_key, r));
        ring_free(r);
        ketama_free(k);
    }
}

int
main(void)
{
    static const size_t sizes[] = { 3, 10, 100, 1000 };
    static struct ring_node node[1000];
    static struct ketama_server server[1000];
    static char host[1000][16];

    for (unsigned i = 0; i < KEYS; i++) {
        char text[KEY_LEN + 1];

        snprintf(text, sizeof text, "session:%012u", i * 2654435761u);
        memcpy(key[i], text, KEY_LEN);
        xxh3[i] = hash_bytes(key[i], KEY_LEN);
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(host[i], sizeof host[i], "10.0.%u.%u", i / 250, i % 250 + 1);
        node[i] = (struct ring_node){ .id = i + 1, .host = host[i], .port = 11211, .weight = 1,
                                      .zone = "", .index = (uint16_t)i };
        server[i] = (struct ketama_server){ .host = host[i], .port = 11211, .weight = 1 };
    }
    printf("million look-ups a second                by hash  by key\n");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        measure(node, server, sizes[i]);
    }
    return 0;
}
