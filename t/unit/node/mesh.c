/*
 * The same random pipelines to three nodes in memory, through any of them, and to one that is
 * alone: the answers must be the same but for their cas numbers.
 *
 * MESH_SEED=first and MESH_SEEDS=how-many choose others than the usual ones.
 */
#define _GNU_SOURCE /* memmem() */
#include "mesh.h"
#include "base/rng.h"
#include "proto/binary.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define KEYS  40
#define CASES 120    /* pipelines of one seed */
#define VALUE 400000 /* bytes of the longest value; the nodes take less */
#define CAS   1000   /* the unique that "ms E" gives, so that it is known to both */

enum speaks { TEXT, BINARY, KINDS };

static const char *const options[] = { "memory_limit=64m", "item_size_max=256k", NULL };
static char bytes[VALUE + 1];

struct twins {
    struct mesh mesh;
    struct drive_node alone;
    struct drive many[NODES][KINDS]; /* clients of the mesh */
    struct drive one[KINDS];         /* and of the lone node */
    struct rng rng;
    uint64_t seed;
    unsigned at;   /* the pipeline */
    struct buf in; /* its bytes */
};

static unsigned
pick(struct twins *t, unsigned limit)
{
    return (unsigned)rng_below(&t->rng, limit);
}

/* One of so many texts. */
#define ONE_OF(t, ...)                                                                             \
    ((const char *const[]){                                                                        \
        __VA_ARGS__ })[pick(t, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))]

static void say(struct twins *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void
say(struct twins *t, const char *fmt, ...)
{
    char text[8192];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cr_assert(n >= 0 && (size_t)n < sizeof text && buf_add(&t->in, text, (size_t)n));
}

/* -- requests -------------------------------------------------------------------------------------
 */

/* Most are short, some are near a limit of the code: what waits, what is streamed, what fits a
 * frame, what fits at all. */
static size_t
length_pick(struct twins *t)
{
    static const size_t near[] = { 2048, 4096, 8192, 32768, 49152, 65536, 131072, 262144 };

    switch (pick(t, 24)) {
    case 0:
        return near[pick(t, 8)] - 8 + pick(t, 16);
    case 1:
        return pick(t, VALUE);
    case 2:
    case 3:
        return pick(t, 5000);
    default:
        return pick(t, 40);
    }
}

/* The bytes of a value; some are numbers. */
static const char *
value_pick(struct twins *t, size_t *len)
{
    static char digits[24];

    if (pick(t, 3) == 0) {
        *len =
            (size_t)snprintf(digits, sizeof digits, "%u", pick(t, pick(t, 2) ? 100 : UINT32_MAX));
        return digits;
    }
    *len = length_pick(t);
    return bytes + pick(t, (unsigned)(VALUE - *len) + 1);
}

static unsigned
key_pick(struct twins *t)
{
    return pick(t, KEYS);
}

static int
time_pick(struct twins *t)
{
    return pick(t, 4) > 0 ? 0 : (int)pick(t, 6) - 1;
}

static void
say_value(struct twins *t, const char *value, size_t len)
{
    /* Not whole, or too much: the client is out of step then, and both nodes see the same of it. */
    cr_assert(buf_add(&t->in, value, len));
    say(t, "%s", pick(t, 60) == 0 ? "xx\r\n" : "\r\n");
}

static void
text_store(struct twins *t)
{
    const char *word = ONE_OF(t, "set", "set", "set", "set", "add", "replace", "append", "prepend");
    const char *quiet = pick(t, 4) == 0 ? " noreply" : "";
    size_t len;
    const char *value = value_pick(t, &len);

    if (pick(t, 8) == 0) {
        say(t, "cas k%u %u %d %zu %u%s\r\n", key_pick(t), pick(t, 9), time_pick(t), len,
            pick(t, 2) ? CAS : 77, quiet);
    } else {
        say(t, "%s k%u %u %d %zu%s\r\n", word, key_pick(t), pick(t, 100), time_pick(t), len, quiet);
    }
    say_value(t, value, len);
}

static void
text_retrieve(struct twins *t)
{
    const char *word = ONE_OF(t, "get", "get", "get", "gets", "gat", "gats");
    unsigned keys = pick(t, 3) > 0 ? 1 : 1 + pick(t, pick(t, 8) == 0 ? 200 : 10);

    say(t, "%s", word);
    if (word[1] == 'a') {
        say(t, " %d", time_pick(t));
        keys = keys > 50 ? 50 : keys;
    }
    while (keys-- > 0) {
        say(t, " k%u", key_pick(t));
    }
    say(t, "\r\n");
}

static void
text_change(struct twins *t)
{
    const char *quiet = pick(t, 4) == 0 ? " noreply" : "";

    switch (pick(t, 3)) {
    case 0:
        say(t, "delete k%u%s\r\n", key_pick(t), quiet);
        break;
    case 1:
        say(t, "%s k%u %u%s\r\n", ONE_OF(t, "incr", "decr"), key_pick(t), pick(t, 100), quiet);
        break;
    default:
        say(t, "touch k%u %d%s\r\n", key_pick(t), time_pick(t), quiet);
        break;
    }
}

/* Some flags of these letters, each at most once. */
static void
meta_flags(struct twins *t, const char *letters)
{
    for (; *letters; letters++) {
        if (pick(t, 3) > 0) {
            continue;
        }
        switch (*letters) {
        case 'T':
        case 'N':
        case 'R':
            say(t, " %c%d", *letters, (int)pick(t, 40));
            break;
        case 'C':
        case 'E':
            say(t, " %c%u", *letters, pick(t, 4) ? CAS : 2000);
            break;
        case 'J':
        case 'D':
        case 'F':
            say(t, " %c%u", *letters, pick(t, 50));
            break;
        case 'O':
            say(t, " Oo%u", pick(t, 100000));
            break;
        default:
            say(t, " %c", *letters);
        }
    }
}

static void
meta_key(struct twins *t, const char *word)
{
    if (pick(t, 8) == 0) { /* "k1", "k10", "k20" */
        say(t, "%s %s", word, ONE_OF(t, "azE=", "azEw", "azIw"));
    } else {
        say(t, "%s k%u", word, key_pick(t));
    }
}

static void
meta_say(struct twins *t)
{
    bool coded;
    size_t before = t->in.len, len;
    const char *value;

    switch (pick(t, 6)) {
    case 0:
    case 1:
        meta_key(t, "mg");
        meta_flags(t, pick(t, 4) ? "svftkOchlq" : "svftkOchlqTNRE");
        break;
    case 2:
        meta_key(t, "md");
        meta_flags(t, pick(t, 2) ? "kOq" : "kOqCTIxE");
        break;
    case 3:
        meta_key(t, "ma");
        meta_flags(t, pick(t, 2) ? "vtckOq" : "vtckOqNJDTCE");
        if (pick(t, 3) == 0) {
            say(t, " M%s", ONE_OF(t, "I", "D", "incr", "decr", "Z"));
        }
        break;
    case 4:
        say(t, "me k%u", key_pick(t));
        break;
    default:
        value = value_pick(t, &len);
        meta_key(t, "ms");
        say(t, " %zu", len);
        meta_flags(t, pick(t, 2) ? "kOqETF" : "kOqETFcCIb");
        if (pick(t, 3) == 0) {
            say(t, " M%s", ONE_OF(t, "S", "E", "A", "P", "R", "Z"));
        }
        coded = memmem(t->in.ptr + before, t->in.len - before, "=", 1) != NULL;
        say(t, "%s\r\n", coded && pick(t, 2) ? " b" : "");
        say_value(t, value, len);
        return;
    }
    coded = memmem(t->in.ptr + before, t->in.len - before, " az", 3) != NULL;
    say(t, "%s\r\n", coded ? " b" : "");
}

static void
text_say(struct twins *t)
{
    switch (pick(t, 40)) {
    case 0:
        say(t, "flush_all%s\r\n", ONE_OF(t, "", "", " noreply", " 0", " 2", " x"));
        break;
    case 1:
        say(t, "%s\r\n",
            ONE_OF(t, "version", "mn", "nonsense", "get", "set k1 0 0", "incr k1 x", "touch k1",
                   "mg", "ms k1", "mg k1 !", "set k2 0 0 -1"));
        break;
    default:
        switch (pick(t, 8)) {
        case 0:
        case 1:
            text_store(t);
            break;
        case 2:
        case 3:
            text_retrieve(t);
            break;
        case 4:
            text_change(t);
            break;
        default:
            meta_say(t);
            break;
        }
    }
}

static void
put(struct twins *t, uint64_t n, int size)
{
    while (size-- > 0) {
        say(t, "%c", 'x');
        t->in.ptr[t->in.len - 1] = (char)(n >> (8 * size));
    }
}

/* A packet whose extras are these numbers, of 4 or 8 bytes. */
static void
binary_packet(struct twins *t, unsigned opcode, unsigned extras, const uint64_t extra[3],
              size_t len, const char *value, bool has_key)
{
    static const int size[][3] = { { 0 }, { 4 }, { 4, 4 }, { 8, 8, 4 } };
    static const unsigned sum[] = { 0, 4, 8, 20 };
    char key[16] = "";
    size_t key_len = has_key ? (size_t)snprintf(key, sizeof key, "k%u", key_pick(t)) : 0;

    put(t, BINARY_REQUEST, 1);
    put(t, opcode, 1);
    put(t, key_len, 2);
    put(t, sum[extras], 1);
    put(t, 0, 3);
    put(t, sum[extras] + key_len + len, 4);
    put(t, pick(t, 1000000), 4);
    put(t, has_key && pick(t, 12) == 0 ? (pick(t, 2) ? CAS : 77) : 0, 8);
    for (unsigned i = 0; i < extras; i++) {
        put(t, extra[i], size[extras][i]);
    }
    cr_assert(buf_add(&t->in, key, key_len) && buf_add(&t->in, value, len));
}

static void
binary_say(struct twins *t)
{
    static const uint8_t gets[] = { 0x00, 0x09, 0x0c, 0x0d },
                         gats[] = { 0x1c, 0x1d, 0x1e, 0x23, 0x24 },
                         stores[] = { 0x01, 0x11, 0x02, 0x12, 0x03, 0x13 },
                         joins[] = { 0x0e, 0x19, 0x0f, 0x1a }, deletes[] = { 0x04, 0x14 },
                         counts[] = { 0x05, 0x15, 0x06, 0x16 }, others[] = { 0x0a, 0x0b, 0x77 };
    uint64_t extra[3] = { (uint64_t)time_pick(t) & 0xffffffffu };
    size_t len;
    const char *value = value_pick(t, &len);

    switch (pick(t, 40)) {
    case 0:
        extra[0] = pick(t, 3);
        binary_packet(t, pick(t, 2) ? 0x08 : 0x18, pick(t, 2), extra, 0, "", false);
        return;
    case 1:
        binary_packet(t, others[pick(t, 3)], 0, extra, 0, "", false);
        return;
    default:
        break;
    }
    switch (pick(t, 8)) {
    case 0:
    case 1:
        extra[1] = extra[0];
        extra[0] = pick(t, 100);
        binary_packet(t, stores[pick(t, 6)], 2, extra, len, value, true);
        break;
    case 2:
        binary_packet(t, joins[pick(t, 4)], 0, extra, len, value, true);
        break;
    case 3:
        binary_packet(t, gats[pick(t, 5)], 1, extra, 0, "", true);
        break;
    case 4:
        binary_packet(t, deletes[pick(t, 2)], 0, extra, 0, "", true);
        break;
    case 5:
        extra[2] = pick(t, 2) ? extra[0] : 0xffffffffu;
        extra[0] = pick(t, 50);
        extra[1] = pick(t, 50);
        binary_packet(t, counts[pick(t, 4)], 3, extra, 0, "", true);
        break;
    default:
        binary_packet(t, gets[pick(t, 4)], 0, extra, 0, "", true);
        break;
    }
}

/* -- answers --------------------------------------------------------------------------------------
 */

/* Removes from a line its fifth word ("VALUE ... cas") or those that begin with c. */
static void
line_plain(struct buf *ret, struct slice line, bool *is_value, size_t *len)
{
    bool text = line.len > 6 && memcmp(line.ptr, "VALUE ", 6) == 0;
    bool meta =
        line.len > 3 && (memcmp(line.ptr, "VA ", 3) == 0 || memcmp(line.ptr, "HD ", 3) == 0 ||
                         memcmp(line.ptr, "ME ", 3) == 0);
    unsigned word = 0;

    *is_value = text || (meta && line.ptr[0] == 'V');
    *len = 0;
    for (size_t i = 0, end; i < line.len; i = end, word++) {
        for (end = i; end < line.len && line.ptr[end] != ' ';) {
            end++;
        }
        if (word == (text ? 3 : 1) && *is_value) {
            *len = (size_t)strtoul(line.ptr + i, NULL, 10);
        }
        if (!(text && word == 4) && !(meta && word > 0 && line.ptr[i] == 'c')) {
            cr_assert(buf_add(ret, line.ptr + i, end - i) && buf_add(ret, " ", 1));
        }
        end += end < line.len;
    }
    cr_assert(buf_add(ret, "\n", 1));
}

/* Answers without their cas numbers; what is not whole stays as it is. */
static struct buf
text_plain(struct slice got)
{
    struct buf ret = { 0 };

    while (got.len > 0) {
        const char *end = memchr(got.ptr, '\n', got.len);
        size_t n = end ? (size_t)(end - got.ptr) + 1 : got.len, len;
        bool is_value;

        line_plain(&ret, slice_of(got.ptr, end && n > 1 ? n - 2 : n), &is_value, &len);
        got = slice_from(got, n);
        len = is_value && len + 2 <= got.len ? len + 2 : 0;
        cr_assert(buf_add(&ret, got.ptr, len));
        got = slice_from(got, len);
    }
    return ret;
}

static struct buf
binary_plain(struct slice got)
{
    struct buf ret = { 0 };

    while (got.len > 0) {
        size_t n = got.len;

        if (n >= BINARY_HEADER) {
            uint32_t body = (uint32_t)(unsigned char)got.ptr[8] << 24 |
                            (uint32_t)(unsigned char)got.ptr[9] << 16 |
                            (uint32_t)(unsigned char)got.ptr[10] << 8 | (unsigned char)got.ptr[11];

            n = n < BINARY_HEADER + body ? n : BINARY_HEADER + body;
        }
        cr_assert(buf_add(&ret, got.ptr, n));
        if (n >= BINARY_HEADER) {
            memset(ret.ptr + ret.len - n + 16, 0, 8);
        }
        got = slice_from(got, n);
    }
    return ret;
}

static void
same(struct twins *t, unsigned node, enum speaks kind, const struct drive *many,
     const struct drive *one)
{
    struct buf (*plain)(struct slice) = kind == BINARY ? binary_plain : text_plain;
    struct buf a = plain(slice_of(many->got.ptr, many->got.len));
    struct buf b = plain(slice_of(one->got.ptr, one->got.len));
    size_t at = 0, from;

    while (at < a.len && at < b.len && a.ptr[at] == b.ptr[at]) {
        at++;
    }
    from = at > 60 ? at - 60 : 0;
    cr_assert(at == a.len && at == b.len && !many->session == !one->session,
              "MESH_SEED=%" PRIu64 " pipeline %u, %s to node %u: byte %zu of %zu and %zu\n"
              "mesh:  %.*s\nalone: %.*s\nasked: %.*s",
              t->seed, t->at, kind == BINARY ? "binary" : "text", node, at, a.len, b.len,
              (int)(a.len - from < 160 ? a.len - from : 160), a.ptr ? a.ptr + from : "",
              (int)(b.len - from < 160 ? b.len - from : 160), b.ptr ? b.ptr + from : "",
              (int)(t->in.len < 3000 ? t->in.len : 3000), t->in.ptr);
    buf_free(&a);
    buf_free(&b);
}

/* -- both -----------------------------------------------------------------------------------------
 */

/* A client that is there and has heard nothing. */
static struct drive *
fresh(struct drive *d)
{
    d->got.len = 0;
    return d;
}

static void
twins_say(struct twins *t)
{
    unsigned node = pick(t, NODES), many = pick(t, 8) == 0 ? 300 : 30;
    enum speaks kind = pick(t, 3) == 0 ? BINARY : TEXT;
    struct drive *a = fresh(&t->many[node][kind]), *b = fresh(&t->one[kind]);
    size_t cut;

    t->in.len = 0;
    for (unsigned n = 1 + pick(t, many); n > 0; n--) {
        (kind == BINARY ? binary_say : text_say)(t);
    }
    cut = pick(t, 3) == 0 ? DRIVE_ALL : 1 + pick(t, pick(t, 2) ? 2000 : 60000);
    cut = t->in.len > 100000 && cut < 200 ? 200 + cut : cut;
    t->mesh.piece = pick(t, 2) ? 0 : 100 + pick(t, 5000);
    mesh_say(&t->mesh, a, t->in.ptr, t->in.len, cut);
    drive_say(b, t->in.ptr, t->in.len, cut);
    same(t, node, kind, a, b);
    if (!a->session) {
        drive_fini(a);
        mesh_client(&t->mesh, node, a);
        drive_fini(b);
        drive_init(b, &t->alone, SESSION_AUTO);
    }
}

static void
twins_run(struct twins *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    t->seed = seed;
    rng_init(&t->rng, seed);
    mesh_init(&t->mesh, NODES, options);
    drive_node_init(&t->alone, options);
    for (enum speaks k = 0; k < KINDS; k++) {
        for (unsigned i = 0; i < NODES; i++) {
            mesh_client(&t->mesh, i, &t->many[i][k]);
        }
        drive_init(&t->one[k], &t->alone, SESSION_AUTO);
    }
    for (t->at = 0; t->at < CASES; t->at++) {
        twins_say(t);
        if (pick(t, 10) == 0) {
            usec_t time = (usec_t)pick(t, 3000) * USEC_PER_MSEC;

            mesh_wait(&t->mesh, time);
            t->alone.now += time;
            worker_turn(t->alone.worker, t->alone.now);
        }
    }
    for (enum speaks k = 0; k < KINDS; k++) {
        for (unsigned i = 0; i < NODES; i++) {
            drive_fini(&t->many[i][k]);
        }
        drive_fini(&t->one[k]);
    }
    mesh_fini(&t->mesh);
    drive_node_fini(&t->alone);
    buf_free(&t->in);
}

static uint64_t
number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

Test(mesh, any_node_answers_as_one_alone)
{
    static struct twins t;
    uint64_t first = number("MESH_SEED", 1), count = number("MESH_SEEDS", 20);

    for (size_t i = 0; i < VALUE; i++) {
        bytes[i] = (char)('a' + (i * 7 + i / 251) % 26);
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        twins_run(&t, seed);
    }
}
