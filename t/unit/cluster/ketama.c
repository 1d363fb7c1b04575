/*
 * What libmemcached answers: t/data/ketama-vectors.tsv, whose head says how it was made.  Labels
 * and hashes that only other settings of that library use are made here, and go through the same
 * ring.
 */
#include "cluster/ketama.h"
#include "base/md5.h"
#include "cluster/ring.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS        200
#define HASHES      10
#define SERVERS_MAX 64
#define PARTS_MAX   KEYS
#define POINTS_MAX  (SERVERS_MAX * 400)

struct key {
    char   bytes[256];
    size_t len;
};

struct hash {
    char     name[16];
    uint32_t value[KEYS];
};

struct cluster {
    char                 id[32], mode[16], key_hash[16], ring_hash[16];
    size_t               count;
    struct ketama_server server[SERVERS_MAX];
    char                 host[SERVERS_MAX][64];
};

static struct key     keys[KEYS];
static struct hash    hashes[HASHES];
static size_t         hash_count;
static struct cluster cluster;
static struct ketama *made;  /* of the cluster, or NULL with modula */
static unsigned       ties;  /* of the ring in work */
static size_t         rings, picks, clusters;

/* -- the file ---------------------------------------------------------------------------------- */

/* Cuts a text at a sign; returns how many parts. */
static size_t
split(char *text, char sign, char *part[], size_t max)
{
    size_t n = 0;

    for (part[n++] = text; *text; text++) {
        if (*text == sign && n < max) {
            *text = '\0';
            part[n++] = text + 1;
        }
    }
    return n;
}

static unsigned
hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c | 0x20) - 'a' + 10;
}

static void
read_key(char *part[])
{
    struct key *k = &keys[atoi(part[1])];

    for (const char *p = part[2]; *p; p++) {
        char c = *p;

        if (c == '%') {
            c = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
            p += 2;
        }
        cr_assert(k->len < sizeof k->bytes);
        k->bytes[k->len++] = c;
    }
}

static void
read_hash(char *part[])
{
    struct hash *h = &hashes[hash_count++];
    char        *value[KEYS];

    cr_assert(hash_count <= HASHES);
    snprintf(h->name, sizeof h->name, "%s", part[1]);
    cr_assert(eq(sz, split(part[2], ',', value, KEYS), KEYS), "%s", h->name);
    for (size_t i = 0; i < KEYS; i++) {
        h->value[i] = (uint32_t)strtoul(value[i], NULL, 16);
    }
}

/* -- rings that only other settings have ------------------------------------------------------- */

static uint32_t
word(const uint8_t digest[MD5_BYTES], unsigned i)
{
    const uint8_t *p = digest + 4 * i;

    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* spymemcached's labels, or a hundred md5 points of one word each. */
static struct ketama *
make_odd(bool spy)
{
    struct ketama_point *point = malloc(POINTS_MAX * sizeof *point);
    size_t               n = 0;
    uint64_t             total = 0;

    for (size_t i = 0; i < cluster.count; i++) {
        total += cluster.server[i].weight;
    }
    for (size_t i = 0; i < cluster.count; i++) {
        const struct ketama_server *s = &cluster.server[i];
        uint32_t labels = spy ? ketama_share(s->weight, total, (uint32_t)cluster.count) / 4 : 100;

        for (uint32_t label = 0; label < labels; label++) {
            char    text[128];
            uint8_t digest[MD5_BYTES];

            if (spy) {
                snprintf(text, sizeof text, "/%s:%u-%u", s->host, s->port, label);
            } else if (s->port == 11211) {
                snprintf(text, sizeof text, "%s-%u", s->host, label);
            } else {
                snprintf(text, sizeof text, "%s:%u-%u", s->host, s->port, label);
            }
            md5_bytes(slice_of(text, strlen(text)), digest);
            for (unsigned x = 0; x < (spy ? 4 : 1); x++) {
                cr_assert(n < POINTS_MAX);
                point[n++] = (struct ketama_point){ word(digest, x), (uint32_t)i };
            }
        }
    }
    return ketama_of(&point, n);
}

static struct ketama *
make_ring(void)
{
    if (strcmp(cluster.mode, "spy") == 0) {
        return make_odd(true);
    }
    if (strcmp(cluster.ring_hash, "md5x4") == 0) {
        return ketama_new(KETAMA_WEIGHTED, cluster.server, cluster.count);
    }
    if (strcmp(cluster.ring_hash, "one_at_a_time") == 0) {
        return ketama_new(KETAMA_OAT, cluster.server, cluster.count);
    }
    cr_assert(eq(str, cluster.ring_hash, "md5"));
    return make_odd(false);
}

/* -- what the rows say ------------------------------------------------------------------------- */

static void
read_cluster(char *part[])
{
    char *server[SERVERS_MAX];

    ketama_free(made);
    made = NULL;
    clusters++;
    snprintf(cluster.id, sizeof cluster.id, "%s", part[1]);
    snprintf(cluster.mode, sizeof cluster.mode, "%s", part[2]);
    snprintf(cluster.key_hash, sizeof cluster.key_hash, "%s", part[3]);
    snprintf(cluster.ring_hash, sizeof cluster.ring_hash, "%s", part[4]);
    cluster.count = (size_t)atoi(part[5]);
    cr_assert(eq(sz, split(part[6], ',', server, SERVERS_MAX), cluster.count), "%s", cluster.id);
    for (size_t i = 0; i < cluster.count; i++) {
        char *field[3];

        cr_assert(eq(sz, split(server[i], ':', field, 3), 3), "%s", cluster.id);
        snprintf(cluster.host[i], sizeof cluster.host[i], "%s", field[0]);
        cluster.server[i] = (struct ketama_server){ .host = cluster.host[i],
                                                    .port = (uint16_t)atoi(field[1]),
                                                    .weight = (uint32_t)atoi(field[2]) };
    }
    if (strcmp(cluster.mode, "modula") != 0) {
        made = make_ring();
        cr_assert(made != NULL);
    }
}

/* FNV-1a, 64 bits, over values and servers, little-endian. */
static uint64_t
ring_fnv(const struct ketama *k)
{
    uint64_t v = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < k->count; i++) {
        uint64_t bytes = k->point[i].value | (uint64_t)k->point[i].server << 32;

        for (unsigned j = 0; j < 8; j++) {
            v = (v ^ (bytes >> 8 * j & 0xff)) * UINT64_C(0x100000001b3);
        }
    }
    return v;
}

static void
check_ring(char *part[])
{
    size_t   own[SERVERS_MAX] = { 0 };
    char    *count[SERVERS_MAX];
    unsigned equal = 0;

    cr_assert(eq(str, part[1], cluster.id));
    rings++;
    ties = (unsigned)atoi(part[3]);
    for (uint32_t i = 0; i < made->count; i++) {
        own[made->point[i].server]++;
        equal += i > 0 && made->point[i].value == made->point[i - 1].value;
    }
    cr_expect(eq(sz, made->count, (size_t)atoi(part[2])), "points of %s", cluster.id);
    cr_expect(eq(uint, equal, ties), "ties of %s", cluster.id);
    cr_expect(eq(u64, ring_fnv(made), strtoull(part[4], NULL, 16)), "ring of %s", cluster.id);
    cr_assert(eq(sz, split(part[5], ',', count, SERVERS_MAX), cluster.count), "%s", cluster.id);
    for (size_t i = 0; i < cluster.count; i++) {
        cr_expect(eq(sz, own[i], (size_t)atoi(count[i])), "server %zu of %s", i, cluster.id);
    }
}

static const struct hash *
hash_named(const char *name)
{
    for (size_t i = 0; i < hash_count; i++) {
        if (strcmp(hashes[i].name, name) == 0) {
            return &hashes[i];
        }
    }
    cr_assert(false, "no hash is called %s", name);
    return NULL;
}

/* The hash of a key: ours where we have it, else the library's. */
static uint32_t
hash_of(const struct hash *h, size_t key)
{
    struct slice bytes = slice_of(keys[key].bytes, keys[key].len);

    if (strcmp(h->name, "md5") == 0) {
        return ketama_md5(bytes);
    }
    return strcmp(h->name, "one_at_a_time") == 0 ? ketama_oat(bytes) : h->value[key];
}

static void
check_picks(char *part[])
{
    const struct hash *h = hash_named(cluster.key_hash);
    char              *pick[KEYS];

    cr_assert(eq(str, part[1], cluster.id));
    cr_assert(eq(sz, split(part[2], ',', pick, KEYS), KEYS), "%s", cluster.id);
    for (size_t i = 0; i < KEYS; i++) {
        uint32_t hash = hash_of(h, i);
        uint32_t server = made ? made->point[ketama_find(made, hash)].server
                               : hash % (uint32_t)cluster.count;

        picks++;
        cr_expect(eq(u32, server, (uint32_t)atoi(pick[i])), "key %zu of %s", i, cluster.id);
    }
}

/* The placements of the node, whatever order its nodes are in. */
static void
check_placement(char *part[])
{
    bool weighted = strcmp(cluster.mode, "weighted") == 0;
    bool oat = strcmp(cluster.mode, "ketama") == 0 &&
               strcmp(cluster.ring_hash, "one_at_a_time") == 0;
    struct ring_node node[SERVERS_MAX];
    struct ring *ring;
    char        *pick[KEYS];

    if (!(weighted || oat) || ties > 0) {
        return;
    }
    for (size_t i = 0; i < cluster.count; i++) {
        const struct ketama_server *s = &cluster.server[i];

        node[cluster.count - 1 - i] = (struct ring_node){
            .id = 1000 - i, .host = s->host, .port = s->port, .weight = (uint16_t)s->weight,
            .zone = i % 2 ? "a" : "b", .index = (uint16_t)(i * 3)
        };
    }
    ring = ring_new(weighted ? RING_KETAMA_WEIGHTED : RING_KETAMA_OAT, 2, node, cluster.count);
    cr_assert(ring != NULL);
    split(part[2], ',', pick, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        struct slice key = slice_of(keys[i].bytes, keys[i].len);
        uint16_t     owner[CLUSTER_OWNERS_MAX];

        cr_expect(eq(u16, ring_owner(ring, key, 0), atoi(pick[i]) * 3), "key %zu of %s", i,
                  cluster.id);
        cr_expect(eq(uint, ring_owners(ring, key, 0, owner), cluster.count > 1 ? 2 : 1));
        cr_expect(eq(u16, owner[0], atoi(pick[i]) * 3));
    }
    ring_free(ring);
}

/* Reads the file and has each pick row checked. */
static void
read_vectors(void (*check)(char *part[]))
{
    const char *top = getenv("top_srcdir");
    char        path[4096];
    char       *line = NULL;
    size_t      room = 0;
    ssize_t     len;
    FILE       *in;

    snprintf(path, sizeof path, "%s/t/data/ketama-vectors.tsv", top ? top : ".");
    in = fopen(path, "r");
    cr_assert(in != NULL, "%s", path);
    while ((len = getline(&line, &room, in)) > 0) {
        char *part[8];

        line[len - (line[len - 1] == '\n')] = '\0';
        if (line[0] == '#' || split(line, '\t', part, 8) < 3) {
            continue;
        }
        if (strcmp(part[0], "keytext") == 0) {
            read_key(part);
        } else if (strcmp(part[0], "hash") == 0) {
            read_hash(part);
        } else if (strcmp(part[0], "cluster") == 0) {
            read_cluster(part);
        } else if (strcmp(part[0], "ring") == 0) {
            check_ring(part);
        } else {
            cr_assert(eq(str, part[0], "pick"));
            check(part);
        }
    }
    free(line);
    fclose(in);
    ketama_free(made);
}

/* -- the tests --------------------------------------------------------------------------------- */

/* A client that computes the ring itself finds every key where we have it. */
Test(ketama, every_ring_and_pick_of_libmemcached)
{
    read_vectors(check_picks);
    cr_expect(eq(sz, clusters, 148));
    cr_expect(eq(sz, rings, 130));
    cr_expect(eq(sz, picks, 148 * KEYS));
}

/* The rings of the node are those, by its own key hash, in whatever order its nodes come. */
Test(ketama, every_pick_of_the_placements)
{
    read_vectors(check_placement);
}

Test(ketama, hashes_of_keys)
{
    const struct hash *md5, *oat;

    read_vectors(check_placement);
    md5 = hash_named("md5");
    oat = hash_named("one_at_a_time");
    for (size_t i = 0; i < KEYS; i++) {
        struct slice bytes = slice_of(keys[i].bytes, keys[i].len);

        cr_expect(eq(u32, ketama_md5(bytes), md5->value[i]), "md5 of key %zu", i);
        cr_expect(eq(u32, ketama_oat(bytes), oat->value[i]), "one_at_a_time of key %zu", i);
    }
}

/* Floats of 32 bits give equal servers 156 points at these numbers of them, and 160 else. */
Test(ketama, points_are_rounded_as_floats_are)
{
    static const uint32_t short_of[] = { 25, 47, 50, 55, 61, 71, 94, 100, 107, 109, 110 };
    size_t next = 0;

    for (uint32_t live = 1; live <= 110; live++) {
        uint32_t want = 160;

        if (next < sizeof short_of / sizeof *short_of && short_of[next] == live) {
            want = 156;
            next++;
        }
        cr_expect(eq(u32, ketama_share(1, live, live), want), "%u servers", live);
    }
}

/* The index in front of the points answers as a search through all of them would. */
Test(ketama, find_is_the_first_point_not_below)
{
    static const uint32_t value[] = { 0, 1, 1, 5, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff };
    static const uint32_t hash[] = { 0, 1, 2, 5, 6, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001,
                                     0x80000002, 0xfffffffe, 0xffffffff };

    for (size_t step = 2; step < 2 * (sizeof value / sizeof *value + 1); step++) {
        size_t               count = step / 2;
        struct ketama_point *point = malloc(count * sizeof *point);
        struct ketama       *k;

        for (size_t i = 0; i < count; i++) { /* the first first, and then the last first */
            size_t at = step % 2 == 0 ? i : count - 1 - i;

            point[i] = (struct ketama_point){ value[at], (uint32_t)at };
        }
        k = ketama_of(&point, count);
        cr_assert(k != NULL);
        cr_expect(zero(ptr, point), "taken");
        for (size_t i = 0; i < sizeof hash / sizeof *hash; i++) {
            uint32_t want = 0, at = ketama_find(k, hash[i]);

            while (want < count && value[want] < hash[i]) {
                want++;
            }
            cr_expect(eq(u32, at, want), "%x among %zu", hash[i], count);
            cr_expect(eq(u32, k->point[at].server, want < count ? want : 0));
        }
        ketama_free(k);
    }
}
