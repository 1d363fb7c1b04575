/*
 * sessions.c - many clients talk to one node in virtual time, and a model knows every answer.
 *
 * Each client sends random pipelines in one of the protocols, cut at random, and reads its answers as slowly as
 * chance has it; some hang up in the middle.  After each turn the bytes that the session queued are compared with
 * what the model says, and again when they arrive, since a value that is sent from the slab must not change
 * meanwhile.  There is memory enough, so nothing is evicted and the model is exact.
 *
 * What can be executed without an answer (noreply, quiet) uses keys of the client's own and no expiry: so it does
 * not matter when the model hears of it.  For the same reason everybody is idle when flush_all is sent.
 *
 * usage: sessions [first seed [how many]]
 */
#include "base/rng.h"
#include "drive.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS    50
#define SHARED     100 /* keys of everybody; behind them each client's own */
#define PRIVATE    6
#define KEYS       (SHARED + CLIENTS * PRIVATE)
#define TURNS      1500
#define ITEM_MAX   150000
#define NOISE      (1u << 20)
#define OPS        256 /* unanswered commands of one client */

enum kind {
    K_GET, K_GETS, K_GAT, K_SET, K_ADD, K_REPLACE, K_APPEND, K_PREPEND, K_CAS, K_DELETE, K_INCR, K_DECR,
    K_TOUCH, K_MG, K_MS, K_MD, K_MN, K_BAD, K_CHUNK, K_LARGE, TEXT_LOUD,
    K_MULTI = TEXT_LOUD, K_QUIET_SET, K_QUIET_DELETE, K_QUIET_MG, K_QUIET_MS, TEXT_KINDS,
    B_GET = TEXT_KINDS, B_SET, B_ADD, B_DELETE, B_INCR, B_NOOP, BINARY_LOUD,
    B_QUIET_GET = BINARY_LOUD, B_QUIET_SET, B_KINDS
};

struct ask {
    enum kind kind;
    unsigned  key, count; /* count: of keys from key on, for K_MULTI */
    uint32_t  flags, ttl, opaque;
    uint64_t  delta, initial, cas;
    size_t    from, len;  /* the value, in noise; a number if number is set */
    bool      number;
    char      digits[24];
    uint64_t  end;        /* of its bytes in what the client sends */
    size_t    done;       /* bytes of its answer that were queued when the turn was over, of K_MULTI */
};

struct entry {
    bool       there;
    uint32_t   flags, expires;
    struct buf value;
    uint64_t   cas; /* 0: not seen yet */
};

struct client {
    struct drive drive;
    bool         binary;
    struct buf   out;        /* to be sent */
    uint64_t     written, read; /* bytes made, and taken by the session */
    struct ask    op[OPS];
    unsigned     first, count;
    struct buf   expect;     /* answered by the session, not received yet */
    unsigned     slowness;
};

struct sim {
    struct drive_node node;
    struct rng        rng;
    uint64_t          seed;
    struct client     client[CLIENTS];
    struct entry      entry[KEYS];
    unsigned          turn;
    uint64_t          commands;
};

static char noise[NOISE];

static void __attribute__((noreturn, format(printf, 2, 3)))
sim_fail(const struct sim *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "sessions: seed %" PRIu64 ", turn %u: ", s->seed, s->turn);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nrepeat with: sessions %" PRIu64 " 1\n", s->seed);
    va_end(args);
    exit(1);
}

static void
need(bool ok)
{
    if (!ok) {
        fprintf(stderr, "sessions: out of memory\n");
        exit(1);
    }
}

static unsigned
pick(struct sim *s, unsigned limit)
{
    return (unsigned)rng_below(&s->rng, limit);
}

/* -- the model --------------------------------------------------------------------------------- */

static uint32_t
sim_seconds(const struct sim *s)
{
    return STORE_CLOCK_START + (uint32_t)((s->node.now - DRIVE_START) / USEC_PER_SEC);
}

/* The entry if it is alive. */
static struct entry *
entry_find(struct sim *s, unsigned key)
{
    struct entry *e = &s->entry[key];

    if (e->there && e->expires != 0 && e->expires <= sim_seconds(s)) {
        e->there = false;
    }
    return e->there ? e : NULL;
}

static void
entry_set(struct sim *s, const struct ask *o, uint32_t ttl)
{
    struct entry *e = &s->entry[o->key];

    e->there = true;
    e->flags = o->flags;
    e->expires = ttl ? sim_seconds(s) + ttl : 0;
    e->cas = 0;
    e->value.len = 0;
    need(buf_add(&e->value, o->number ? o->digits : noise + o->from, o->len));
}

/* The number behind a position of the answer: a cas unique that the model may not know yet. */
static uint64_t
entry_cas(const struct sim *s, struct entry *e, const char *digits)
{
    uint64_t cas = strtoull(digits, NULL, 10);

    if (e->cas == 0) {
        e->cas = cas;
    } else if (e->cas != cas) {
        sim_fail(s, "cas %" PRIu64 " was %" PRIu64, cas, e->cas);
    }
    return cas;
}

static const char *
key_name(unsigned key, char *room)
{
    sprintf(room, "key:%u", key);
    return room;
}

static void
expect_value(struct buf *out, const char *key, const struct entry *e)
{
    need(buf_printf(out, "VALUE %s %u %zu\r\n", key, e->flags, e->value.len));
    need(buf_add(out, e->value.ptr, e->value.len));
    need(buf_add(out, "\r\n", 2));
}

/* incr and decr with memcached's padding; false: not a number. */
static bool
entry_count(struct entry *e, bool up, uint64_t delta, uint64_t *ret)
{
    char digits[24];
    size_t len = e->value.len, at = 0;
    uint64_t n = 0;

    while (at < len && isspace((unsigned char)e->value.ptr[at])) {
        at++;
    }
    /* A large value is no number, whatever it starts with. */
    if (len >= 4096 || at == len || !isdigit((unsigned char)e->value.ptr[at])) {
        return false;
    }
    for (; at < len && isdigit((unsigned char)e->value.ptr[at]); at++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(e->value.ptr[at] - '0'), &n)) {
            return false;
        }
    }
    if (at < len && !isspace((unsigned char)e->value.ptr[at])) {
        return false;
    }
    n = up ? n + delta : n > delta ? n - delta : 0;
    len = (size_t)sprintf(digits, "%" PRIu64, n);
    if (len < e->value.len) {
        memset(e->value.ptr, ' ', e->value.len);
        memcpy(e->value.ptr, digits, len);
    } else {
        e->value.len = 0;
        need(buf_add(&e->value, digits, len));
    }
    e->cas = 0;
    *ret = n;
    return true;
}

static const char *
expect_store(struct sim *s, const struct ask *o)
{
    struct entry *e = entry_find(s, o->key);

    switch ((int)o->kind) {
    case K_ADD:
        if (e) {
            return "NOT_STORED";
        }
        break;
    case K_REPLACE:
        if (!e) {
            return "NOT_STORED";
        }
        break;
    case K_CAS:
        if (!e) {
            return "NOT_FOUND";
        }
        if (e->cas == 0 || e->cas != o->cas) {
            return "EXISTS";
        }
        break;
    case K_APPEND:
    case K_PREPEND: {
        struct buf joined = { 0 };

        if (!e) {
            return "NOT_STORED";
        }
        if (o->kind == K_APPEND) {
            need(buf_add(&joined, e->value.ptr, e->value.len));
        }
        need(buf_add(&joined, o->number ? o->digits : noise + o->from, o->len));
        if (o->kind == K_PREPEND) {
            need(buf_add(&joined, e->value.ptr, e->value.len));
        }
        buf_free(&e->value);
        e->value = joined;
        e->cas = 0;
        return "STORED";
    }
    default:
        break;
    }
    entry_set(s, o, o->ttl);
    return "STORED";
}

static void
expect_meta_get(struct sim *s, const struct ask *o, const char *name, struct buf *out)
{
    struct entry *e = entry_find(s, o->key);
    int ttl;

    if (o->kind == K_QUIET_MG) {
        if (e) {
            need(buf_printf(out, "VA %zu k%s\r\n", e->value.len, name));
        }
    } else if (!e) {
        need(buf_printf(out, "EN O%u\r\n", o->opaque));
    } else {
        ttl = e->expires ? (int)(e->expires - sim_seconds(s)) : -1;
        need(buf_printf(out, "VA %zu t%d f%u s%zu O%u\r\n", e->value.len, ttl, e->flags, e->value.len,
                        o->opaque));
    }
    if (e) {
        need(buf_add(out, e->value.ptr, e->value.len));
        need(buf_add(out, "\r\n", 2));
    }
}

/* Executes a text command in the model; appends the answer.  actual is what the session answered. */
static void
expect_text(struct sim *s, const struct ask *o, struct buf *out, struct slice actual)
{
    char name[32];
    struct entry *e = entry_find(s, o->key);
    uint64_t n;

    key_name(o->key, name);
    switch ((int)o->kind) {
    case K_GAT:
    case K_GET:
        if (e) {
            if (o->kind == K_GAT) {
                e->expires = o->ttl ? sim_seconds(s) + o->ttl : 0;
            }
            expect_value(out, name, e);
        }
        need(buf_printf(out, "END\r\n"));
        break;
    case K_GETS:
        if (e) {
            int head = snprintf(NULL, 0, "VALUE %s %u %zu ", name, e->flags, e->value.len);

            if ((size_t)head >= actual.len) {
                sim_fail(s, "short answer to gets %s: %.*s", name, (int)actual.len, actual.ptr);
            }
            n = entry_cas(s, e, actual.ptr + head);
            need(buf_printf(out, "VALUE %s %u %zu %" PRIu64 "\r\n", name, e->flags, e->value.len, n));
            need(buf_add(out, e->value.ptr, e->value.len));
            need(buf_add(out, "\r\n", 2));
        }
        need(buf_printf(out, "END\r\n"));
        break;
    case K_MULTI:
        for (unsigned i = 0; i < o->count; i++) {
            e = entry_find(s, o->key + i);
            if (e) {
                expect_value(out, key_name(o->key + i, name), e);
            }
        }
        need(buf_printf(out, "END\r\n"));
        break;
    case K_DELETE:
    case K_QUIET_DELETE:
    case K_MD:
        s->entry[o->key].there = false;
        if (o->kind == K_DELETE) {
            need(buf_printf(out, e ? "DELETED\r\n" : "NOT_FOUND\r\n"));
        } else if (o->kind == K_MD) {
            need(buf_printf(out, e ? "HD O%u\r\n" : "NF O%u\r\n", o->opaque));
        }
        break;
    case K_INCR:
    case K_DECR:
        if (!e) {
            need(buf_printf(out, "NOT_FOUND\r\n"));
        } else if (entry_count(e, o->kind == K_INCR, o->delta, &n)) {
            need(buf_printf(out, "%" PRIu64 "\r\n", n));
        } else {
            need(buf_printf(out, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"));
        }
        break;
    case K_TOUCH:
        if (e) {
            e->expires = o->ttl ? sim_seconds(s) + o->ttl : 0;
        }
        need(buf_printf(out, e ? "TOUCHED\r\n" : "NOT_FOUND\r\n"));
        break;
    case K_MG:
    case K_QUIET_MG:
        expect_meta_get(s, o, name, out);
        break;
    case K_MS:
        entry_set(s, o, o->ttl);
        need(buf_printf(out, "HD O%u\r\n", o->opaque));
        break;
    case K_QUIET_SET:
    case K_QUIET_MS:
        entry_set(s, o, 0);
        break;
    case K_MN:
        need(buf_printf(out, "MN\r\n"));
        break;
    case K_BAD:
        need(buf_printf(out, "ERROR\r\n"));
        break;
    case K_CHUNK:
        need(buf_printf(out, "CLIENT_ERROR bad data chunk\r\n"));
        break;
    case K_LARGE:
        s->entry[o->key].there = false;
        need(buf_printf(out, "SERVER_ERROR object too large for cache\r\n"));
        break;
    default:
        need(buf_printf(out, "%s\r\n", expect_store(s, o)));
        break;
    }
}

static void
put(struct buf *b, uint64_t n, int bytes)
{
    while (bytes-- > 0) {
        char c = (char)(n >> (8 * bytes));

        need(buf_add(b, &c, 1));
    }
}

static uint64_t
get(const char *from, int bytes)
{
    uint64_t n = 0;

    for (int i = 0; i < bytes; i++) {
        n = n << 8 | (unsigned char)from[i];
    }
    return n;
}

static void
put_header(struct buf *out, bool request, uint8_t opcode, size_t key, size_t extras, size_t body,
           unsigned status, uint32_t opaque, uint64_t cas)
{
    put(out, request ? 0x80 : 0x81, 1);
    put(out, opcode, 1);
    put(out, key, 2);
    put(out, extras, 1);
    put(out, 0, 1);
    put(out, status, 2);
    put(out, body, 4);
    put(out, opaque, 4);
    put(out, cas, 8);
}

static void
expect_refusal(struct buf *out, const struct ask *o, uint8_t opcode, unsigned status, const char *text)
{
    put_header(out, false, opcode, 0, 0, strlen(text), status, o->opaque, 0);
    need(buf_add(out, text, strlen(text)));
}

/* The cas field of an answer in the binary protocol, which the model may not know yet. */
static uint64_t
binary_cas(const struct sim *s, struct entry *e, struct slice actual)
{
    uint64_t cas;

    if (actual.len < 24) {
        sim_fail(s, "an answer of %zu bytes", actual.len);
    }
    cas = get(actual.ptr + 16, 8);
    if (get(actual.ptr + 6, 2) != 0) {
        return 0; /* an error, which will not be what was expected */
    }
    if (cas == 0 || (e->cas != 0 && e->cas != cas)) {
        sim_fail(s, "cas %" PRIu64 " was %" PRIu64, cas, e->cas);
    }
    e->cas = cas;
    return cas;
}

static void
expect_binary(struct sim *s, const struct ask *o, struct buf *out, struct slice actual)
{
    struct entry *e = entry_find(s, o->key);
    uint64_t n;

    switch ((int)o->kind) {
    case B_GET:
    case B_QUIET_GET:
        if (e) {
            put_header(out, false, o->kind == B_GET ? 0x00 : 0x09, 0, 4, 4 + e->value.len, 0, o->opaque,
                       binary_cas(s, e, actual));
            put(out, e->flags, 4);
            need(buf_add(out, e->value.ptr, e->value.len));
        } else if (o->kind == B_GET) {
            expect_refusal(out, o, 0x00, 1, "Not found");
        }
        break;
    case B_QUIET_SET:
        entry_set(s, o, 0);
        break;
    case B_ADD:
        if (e) {
            expect_refusal(out, o, 0x02, 2, "Data exists for key.");
            break;
        }
        entry_set(s, o, o->ttl);
        put_header(out, false, 0x02, 0, 0, 0, 0, o->opaque, binary_cas(s, &s->entry[o->key], actual));
        break;
    case B_SET:
        entry_set(s, o, o->ttl);
        put_header(out, false, 0x01, 0, 0, 0, 0, o->opaque, binary_cas(s, &s->entry[o->key], actual));
        break;
    case B_DELETE:
        s->entry[o->key].there = false;
        if (e) {
            put_header(out, false, 0x04, 0, 0, 0, 0, o->opaque, 0);
        } else {
            expect_refusal(out, o, 0x04, 1, "Not found");
        }
        break;
    case B_INCR:
        if (!e) {
            struct ask made = *o;

            made.number = true;
            made.flags = 0;
            made.len = (size_t)sprintf(made.digits, "%" PRIu64, o->initial);
            entry_set(s, &made, o->ttl);
            e = &s->entry[o->key];
            n = o->initial;
        } else if (!entry_count(e, true, o->delta, &n)) {
            expect_refusal(out, o, 0x05, 6, "Non-numeric server-side value for incr or decr");
            break;
        }
        put_header(out, false, 0x05, 0, 0, 8, 0, o->opaque, binary_cas(s, e, actual));
        put(out, n, 8);
        break;
    case B_NOOP:
        put_header(out, false, 0x0a, 0, 0, 0, 0, o->opaque, 0);
        break;
    }
}

/* -- what clients send ------------------------------------------------------------------------- */

static bool
op_is_private(enum kind k)
{
    return (k >= TEXT_LOUD && k < TEXT_KINDS) || k >= BINARY_LOUD;
}

static struct ask
op_random(struct sim *s, unsigned client, bool binary)
{
    struct ask o = { 0 };
    unsigned base = SHARED + client * PRIVATE, size = pick(s, 100);

    o.kind = binary ? (enum kind)(TEXT_KINDS + pick(s, B_KINDS - TEXT_KINDS)) : (enum kind)pick(s, TEXT_KINDS);
    if (o.kind == K_LARGE && pick(s, 20) != 0) {
        o.kind = K_GET;
    }
    o.key = op_is_private(o.kind) ? base + pick(s, PRIVATE) : pick(s, SHARED);
    o.count = o.kind == K_MULTI ? 1 + pick(s, base + PRIVATE - o.key) : 1;
    o.flags = pick(s, 3) ? 0 : (uint32_t)rng_next(&s->rng);
    o.ttl = pick(s, 3) ? 0 : 1 + pick(s, 5);
    o.opaque = (uint32_t)rng_next(&s->rng);
    o.delta = pick(s, 2) ? pick(s, 20) : rng_next(&s->rng);
    o.initial = pick(s, 1000);
    o.cas = s->entry[o.key].cas ? s->entry[o.key].cas : 1 + pick(s, 1000);
    o.number = pick(s, 3) == 0;
    if (o.number) {
        unsigned shift = pick(s, 64);

        o.len = (size_t)sprintf(o.digits, "%" PRIu64, rng_next(&s->rng) >> shift);
    } else {
        o.len = size < 70 ? pick(s, 100) : size < 97 ? pick(s, 6000) : pick(s, 100000);
        o.from = pick(s, NOISE - ITEM_MAX);
    }
    if (o.kind == K_APPEND || o.kind == K_PREPEND) {
        o.len = o.len < 200 ? o.len : 200; /* or they would grow too large */
    }
    if (o.len > 1500) {
        o.ttl = 0; /* it counts from the command line, and the value may take its time */
    }
    if (o.kind == K_LARGE) {
        o.number = false;
        o.len = ITEM_MAX;
    }
    return o;
}

static void
write_store(struct buf *out, const char *line, const struct ask *o)
{
    need(buf_printf(out, "%s", line));
    need(buf_add(out, o->number ? o->digits : noise + o->from, o->len));
    need(buf_add(out, o->kind == K_CHUNK ? "?!" : "\r\n", 2));
}

static void
write_text(struct buf *out, const struct ask *o)
{
    static const char *const word[] = { [K_GET] = "get", [K_GETS] = "gets", [K_SET] = "set", [K_ADD] = "add",
                                        [K_REPLACE] = "replace", [K_APPEND] = "append",
                                        [K_PREPEND] = "prepend", [K_DELETE] = "delete", [K_INCR] = "incr",
                                        [K_DECR] = "decr", [K_CHUNK] = "set", [K_LARGE] = "set" };
    char k[32], line[200] = "";

    key_name(o->key, k);
    switch ((int)o->kind) {
    case K_GET:
    case K_GETS:
    case K_DELETE:
        need(buf_printf(out, "%s %s\r\n", word[o->kind], k));
        break;
    case K_GAT:
        need(buf_printf(out, "gat %u %s\r\n", o->ttl, k));
        break;
    case K_CAS:
        snprintf(line, sizeof line, "cas %s %u %u %zu %" PRIu64 "\r\n", k, o->flags, o->ttl, o->len, o->cas);
        break;
    case K_INCR:
    case K_DECR:
        need(buf_printf(out, "%s %s %" PRIu64 "\r\n", word[o->kind], k, o->delta));
        break;
    case K_TOUCH:
        need(buf_printf(out, "touch %s %u\r\n", k, o->ttl));
        break;
    case K_MG:
        need(buf_printf(out, "mg %s t f s v O%u\r\n", k, o->opaque));
        break;
    case K_MS:
        snprintf(line, sizeof line, "ms %s %zu T%u F%u O%u\r\n", k, o->len, o->ttl, o->flags, o->opaque);
        break;
    case K_MD:
        need(buf_printf(out, "md %s O%u\r\n", k, o->opaque));
        break;
    case K_MN:
        need(buf_printf(out, "mn\r\n"));
        break;
    case K_BAD:
        need(buf_printf(out, "bogus %s\r\n", k));
        break;
    case K_MULTI:
        need(buf_printf(out, "get"));
        for (unsigned i = 0; i < o->count; i++) {
            need(buf_printf(out, " %s", key_name(o->key + i, k)));
        }
        need(buf_printf(out, "\r\n"));
        break;
    case K_QUIET_SET:
        snprintf(line, sizeof line, "set %s %u 0 %zu noreply\r\n", k, o->flags, o->len);
        break;
    case K_QUIET_DELETE:
        need(buf_printf(out, "delete %s noreply\r\n", k));
        break;
    case K_QUIET_MG:
        need(buf_printf(out, "mg %s v q k\r\n", k));
        break;
    case K_QUIET_MS:
        snprintf(line, sizeof line, "ms %s %zu F%u q\r\n", k, o->len, o->flags);
        break;
    default:
        snprintf(line, sizeof line, "%s %s %u %u %zu\r\n", word[o->kind], k, o->flags, o->ttl, o->len);
        break;
    }
    if (line[0]) {
        write_store(out, line, o);
    }
}

static void
write_binary(struct buf *out, const struct ask *o)
{
    static const uint8_t opcode[] = { [B_GET] = 0x00, [B_SET] = 0x01, [B_ADD] = 0x02, [B_DELETE] = 0x04,
                                      [B_INCR] = 0x05, [B_NOOP] = 0x0a, [B_QUIET_GET] = 0x09,
                                      [B_QUIET_SET] = 0x11 };
    bool stores = o->kind == B_SET || o->kind == B_ADD || o->kind == B_QUIET_SET;
    size_t extras = stores ? 8 : o->kind == B_INCR ? 20 : 0, value = stores ? o->len : 0, key;
    char k[32];

    key = o->kind == B_NOOP ? 0 : strlen(key_name(o->key, k));
    put_header(out, true, opcode[o->kind], key, extras, extras + key + value, 0, o->opaque, 0);
    if (stores) {
        put(out, o->flags, 4);
        put(out, o->kind == B_QUIET_SET ? 0 : o->ttl, 4);
    } else if (o->kind == B_INCR) {
        put(out, o->delta, 8);
        put(out, o->initial, 8);
        put(out, o->ttl, 4);
    }
    need(buf_add(out, k, key));
    need(buf_add(out, o->number ? o->digits : noise + o->from, value));
}

static void
client_write(struct sim *s, unsigned i, unsigned how_many)
{
    struct client *c = &s->client[i];

    while (how_many-- > 0 && c->count < OPS) {
        struct ask *o = &c->op[(c->first + c->count) % OPS];
        size_t before = c->out.len;

        *o = op_random(s, i, c->binary);
        if (c->binary) {
            write_binary(&c->out, o);
        } else {
            write_text(&c->out, o);
        }
        c->written += c->out.len - before;
        o->end = c->written;
        c->count++;
        s->commands++;
    }
}

/* -- turns ------------------------------------------------------------------------------------- */

static void
client_start(struct sim *s, unsigned i)
{
    struct client *c = &s->client[i];

    drive_init(&c->drive, &s->node, SESSION_AUTO);
    c->binary = pick(s, 4) == 0;
    c->slowness = pick(s, 4);
    c->written = c->read = 0;
    c->first = c->count = 0;
}

static void
client_stop(struct client *c)
{
    drive_fini(&c->drive);
    buf_free(&c->out);
    buf_free(&c->expect);
}

/* The bytes that the session has queued, from the n-th on. */
static void
client_peek(struct client *c, size_t n, struct buf *ret)
{
    static struct iovec iov[1 << 16];
    int count = c->drive.session ? session_tx(c->drive.session, iov, 1 << 16) : 0;

    for (int i = 0; i < count; i++) {
        size_t skip = n < iov[i].iov_len ? n : iov[i].iov_len;

        need(buf_add(ret, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip));
        n -= skip;
    }
}

/* Compares what arrived with what was promised. */
static void
client_receive(struct sim *s, unsigned i)
{
    struct client *c = &s->client[i];
    struct buf *got = &c->drive.got;

    if (got->len > c->expect.len || memcmp(got->ptr ? got->ptr : "", c->expect.ptr ? c->expect.ptr : "", got->len)) {
        sim_fail(s, "client %u received other bytes than were queued for it", i);
    }
    buf_shift(&c->expect, got->len);
    got->len = 0;
}

/* Takes n bytes at from back out of what was expected. */
static void
client_unexpect(struct buf *expect, size_t from, size_t n)
{
    if (n > 0) {
        memmove(expect->ptr + from, expect->ptr + from + n, expect->len - from - n);
        expect->len -= n;
    }
}

/* Compares what the session answered in this turn with the model. */
static void
client_check(struct sim *s, unsigned i)
{
    struct client *c = &s->client[i];
    size_t seen = c->expect.len, at = 0;
    struct buf fresh = { 0 };

    /* What was received in this turn may be newer than expect. */
    if (c->drive.got.len > seen) {
        need(buf_add(&fresh, c->drive.got.ptr + seen, c->drive.got.len - seen));
        client_peek(c, 0, &fresh);
    } else {
        client_peek(c, seen - c->drive.got.len, &fresh);
    }
    while (c->count > 0) {
        struct ask *o = &c->op[c->first];
        struct slice actual = slice_of(fresh.ptr ? fresh.ptr + at : "", fresh.len - at);
        bool silent = op_is_private(o->kind) && o->kind != K_MULTI;
        size_t before = c->expect.len, n;

        if (silent ? o->end > c->read : actual.len == 0) {
            break;
        }
        /* A quiet hit is not silent: it was not executed before it shows. */
        if ((o->kind == K_QUIET_MG || o->kind == B_QUIET_GET) && actual.len == 0 && entry_find(s, o->key)) {
            break;
        }
        (c->binary ? expect_binary : expect_text)(s, o, &c->expect, actual);
        client_unexpect(&c->expect, before, o->done);
        n = c->expect.len - before;
        if (o->kind == K_MULTI && n > actual.len && session_has_work(c->drive.session)) {
            /* The turn ended between two keys; they are the client's own, so nothing can happen to them. */
            c->expect.len = before + actual.len;
            o->done += actual.len;
            n = actual.len;
        } else {
            o->done = SIZE_MAX;
        }
        if (n > actual.len || memcmp(c->expect.ptr ? c->expect.ptr + before : "", actual.ptr, n) != 0) {
            sim_fail(s, "client %u, kind %d, key %u: expected %zu bytes\n%.*s\ngot %zu\n%.*s", i, (int)o->kind,
                     o->key, n, (int)(n < 300 ? n : 300), c->expect.ptr + before, actual.len,
                     (int)(actual.len < 300 ? actual.len : 300), actual.ptr);
        }
        at += n;
        if (o->done != SIZE_MAX) {
            break;
        }
        c->first = (c->first + 1) % OPS;
        c->count--;
    }
    if (at < fresh.len) {
        sim_fail(s, "client %u: %zu bytes that nobody asked for: %.*s", i, fresh.len - at,
                 (int)(fresh.len - at < 300 ? fresh.len - at : 300), fresh.ptr + at);
    }
    if (c->count > 0 && c->op[c->first].end <= c->read && !session_has_work(c->drive.session)) {
        sim_fail(s, "client %u, kind %d: no answer", i, (int)c->op[c->first].kind);
    }
    buf_free(&fresh);
    client_receive(s, i);
}

static void
client_turn(struct sim *s, unsigned i, bool hurry)
{
    static const size_t speed[] = { DRIVE_ALL, DRIVE_ALL, 3000, 40 };
    struct client *c = &s->client[i];
    size_t read_max = hurry || pick(s, 2) ? DRIVE_ALL : 1 + pick(s, pick(s, 2) ? 10 : 20000);
    size_t send_max = hurry ? DRIVE_ALL : speed[c->slowness];
    size_t used;

    used = drive_turn(&c->drive, c->out.ptr, c->out.len, read_max, send_max);
    if (!c->drive.session) {
        sim_fail(s, "client %u was hung up on", i);
    }
    c->read += used;
    buf_shift(&c->out, used);
    client_check(s, i);
}

/* Lets a client finish. */
static void
client_drain(struct sim *s, unsigned i)
{
    struct client *c = &s->client[i];

    for (unsigned turns = 0; c->out.len > 0 || c->count > 0 || c->expect.len > 0 ||
                             session_has_work(c->drive.session); turns++) {
        client_turn(s, i, true);
        if (turns > 100000) {
            sim_fail(s, "client %u does not get on", i);
        }
    }
}

static void
sim_flush(struct sim *s)
{
    struct drive d;

    for (unsigned i = 0; i < CLIENTS; i++) {
        client_drain(s, i);
    }
    /* Items stored in the second of a flush may survive it, or not: let it pass. */
    s->node.now += 2 * USEC_PER_SEC;
    drive_init(&d, &s->node, SESSION_AUTO);
    drive_say(&d, "flush_all\r\n", 11, DRIVE_ALL);
    if (d.got.len != 4 || memcmp(d.got.ptr, "OK\r\n", 4) != 0) {
        sim_fail(s, "flush_all: %.*s", (int)d.got.len, d.got.ptr);
    }
    drive_fini(&d);
    s->node.now += 2 * USEC_PER_SEC;
    for (unsigned i = 0; i < KEYS; i++) {
        s->entry[i].there = false;
    }
}

static uint64_t
sim_run(uint64_t seed)
{
    static const char *const options[] = { "memory_limit=256m", "item_size_max=140k", "reqs_per_event=1", NULL };
    static struct sim sim;
    struct sim *s = &sim;

    memset(s, 0, sizeof *s);
    s->seed = seed;
    rng_init(&s->rng, seed);
    drive_node_init(&s->node, options);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_start(s, i);
    }
    for (s->turn = 0; s->turn < TURNS; s->turn++) {
        unsigned i = pick(s, CLIENTS);
        struct client *c = &s->client[i];

        s->node.now += pick(s, 10) ? pick(s, 20000) : pick(s, 1500000);
        if (c->out.len < 10000 && pick(s, 3)) {
            client_write(s, i, 1 + pick(s, pick(s, 10) ? 8 : OPS));
        }
        client_turn(s, i, false);
        if (pick(s, 100) == 0 && !session_has_work(c->drive.session)) {
            client_stop(c); /* what the session has not read whole is never executed */
            client_start(s, i);
        } else if (pick(s, 500) == 0) {
            sim_flush(s);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_drain(s, i);
        client_stop(&s->client[i]);
    }
    if (drive_metric(&s->node, M_READ_BUF_BYTES) != WORKER_RX_BYTES || drive_metric(&s->node, M_RESP_BUF_BYTES) != 0 ||
        drive_metric(&s->node, M_RESP_BUFS) != 0 || drive_metric(&s->node, M_EVICTIONS) != 0) {
        sim_fail(s, "figures that do not come back to nothing");
    }
    for (unsigned i = 0; i < KEYS; i++) {
        buf_free(&s->entry[i].value);
    }
    drive_node_fini(&s->node);
    return s->commands;
}

int
main(int argc, char **argv)
{
    /* A soak shall not repeat itself. */
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : getenv("SOAK_SECONDS") ? (uint64_t)getpid() << 16 : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 100, commands = 0;
    struct rng rng;

    rng_init(&rng, 1);
    for (size_t i = 0; i < NOISE; i++) {
        noise[i] = (char)rng_next(&rng);
        /* What is a number by accident is not this test's concern. */
        noise[i] = strchr("+-0123456789", noise[i]) ? '#' : noise[i];
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        commands += sim_run(seed);
    }
    printf("sessions: %" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " commands\n", count, first, commands);
    return 0;
}
