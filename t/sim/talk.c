#include "talk.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOISE (1u << 20) /* bytes */

static char noise[NOISE];

void
talk_init(void)
{
    struct rng rng;

    rng_init(&rng, 1);
    for (size_t i = 0; i < NOISE; i++) {
        noise[i] = (char)rng_next(&rng);
        /* What is a number by accident is not this test's concern. */
        noise[i] = strchr("+-0123456789", noise[i]) ? '#' : noise[i];
    }
}

void
talk_need(bool ok)
{
    if (!ok) {
        fprintf(stderr, "sessions: out of memory\n");
        exit(1);
    }
}

const char *
talk_key(unsigned key, char *room)
{
    sprintf(room, "key:%u", key);
    return room;
}

void
talk_put(struct buf *b, uint64_t n, int bytes)
{
    while (bytes-- > 0) {
        char c = (char)(n >> (8 * bytes));

        talk_need(buf_add(b, &c, 1));
    }
}

void
talk_put_header(struct buf *out, const struct binary_fields *f)
{
    talk_put(out, f->magic, 1);
    talk_put(out, f->opcode, 1);
    talk_put(out, f->key, 2);
    talk_put(out, f->extras, 1);
    talk_put(out, 0, 1);
    talk_put(out, f->status, 2);
    talk_put(out, f->body, 4);
    talk_put(out, f->opaque, 4);
    talk_put(out, f->cas, 8);
}

bool
talk_is_private(enum kind k)
{
    return (k >= TEXT_LOUD && k < TEXT_KINDS) || k >= BINARY_LOUD;
}

static unsigned
pick(struct rng *r, unsigned limit)
{
    return (unsigned)rng_below(r, limit);
}

static void
value_random(struct ask *o, struct rng *r)
{
    unsigned size = pick(r, 100), shift = pick(r, 64);

    if (o->kind != K_LARGE && pick(r, 3) == 0) {
        o->len = (size_t)sprintf(o->digits, "%" PRIu64, rng_next(r) >> shift);
        o->value = o->digits;
        return;
    }
    o->value = noise + pick(r, NOISE - TALK_LARGE);
    o->len = o->kind == K_LARGE ? TALK_LARGE
             : size < 70        ? pick(r, 100)
             : size < 97        ? pick(r, 6000)
                                : pick(r, 100000);
    if ((o->kind == K_APPEND || o->kind == K_PREPEND) && o->len > 200) {
        o->len = 200; /* or values would grow too large */
    }
    if (o->len > 1500) {
        o->ttl = 0; /* it counts from the command line, and the value may take its time */
    }
}

void
talk_random(struct ask *o, struct rng *r, const struct model *m, unsigned client, bool binary)
{
    unsigned base = TALK_SHARED + client * TALK_PRIVATE;

    memset(o, 0, sizeof *o);
    o->kind = binary ? (enum kind)(TEXT_KINDS + pick(r, B_KINDS - TEXT_KINDS))
                     : (enum kind)pick(r, TEXT_KINDS);
    if (o->kind == K_LARGE && pick(r, 20) != 0) {
        o->kind = K_GET;
    }
    o->key = talk_is_private(o->kind) ? base + pick(r, TALK_PRIVATE) : pick(r, TALK_SHARED);
    o->count = o->kind == K_MULTI ? 1 + pick(r, base + TALK_PRIVATE - o->key) : 1;
    o->flags = pick(r, 3) ? 0 : (uint32_t)rng_next(r);
    o->ttl = pick(r, 3) ? 0 : 1 + pick(r, 5);
    o->opaque = (uint32_t)rng_next(r);
    o->delta = pick(r, 2) ? pick(r, 20) : rng_next(r);
    o->initial = pick(r, 1000);
    o->cas = m->entry[o->key].cas ? m->entry[o->key].cas : 1 + pick(r, 1000);
    value_random(o, r);
}

/* -- bytes ------------------------------------------------------------------------------------- */

/* The line of a storing command; false: it is none. */
static bool
write_store_line(struct buf *out, const struct ask *o, const char *k)
{
    static const char *const word[] = {
        [K_SET] = "set",         [K_ADD] = "add",   [K_REPLACE] = "replace", [K_APPEND] = "append",
        [K_PREPEND] = "prepend", [K_CHUNK] = "set", [K_LARGE] = "set",       [K_QUIET_SET] = "set"
    };

    switch ((int)o->kind) {
    case K_MS:
        talk_need(
            buf_printf(out, "ms %s %zu T%u F%u O%u\r\n", k, o->len, o->ttl, o->flags, o->opaque));
        return true;
    case K_QUIET_MS:
        talk_need(buf_printf(out, "ms %s %zu F%u q\r\n", k, o->len, o->flags));
        return true;
    case K_CAS:
        talk_need(buf_printf(out, "cas %s %u %u %zu %" PRIu64 "\r\n", k, o->flags, o->ttl, o->len,
                             o->cas));
        return true;
    case K_QUIET_SET:
        talk_need(buf_printf(out, "set %s %u 0 %zu noreply\r\n", k, o->flags, o->len));
        return true;
    case K_SET:
    case K_ADD:
    case K_REPLACE:
    case K_APPEND:
    case K_PREPEND:
    case K_CHUNK:
    case K_LARGE:
        talk_need(
            buf_printf(out, "%s %s %u %u %zu\r\n", word[o->kind], k, o->flags, o->ttl, o->len));
        return true;
    default:
        return false;
    }
}

static void
write_multi(struct buf *out, const struct ask *o)
{
    char k[32];

    talk_need(buf_printf(out, "get"));
    for (unsigned i = 0; i < o->count; i++) {
        talk_need(buf_printf(out, " %s", talk_key(o->key + i, k)));
    }
    talk_need(buf_printf(out, "\r\n"));
}

static void
write_text(struct buf *out, const struct ask *o)
{
    static const char *const format[] = {
        [K_GET] = "get %s\r\n",
        [K_GETS] = "gets %s\r\n",
        [K_DELETE] = "delete %s\r\n",
        [K_BAD] = "bogus %s\r\n",
        [K_QUIET_MG] = "mg %s v q k\r\n",
        [K_MN] = "mn\r\n",
        [K_QUIET_DELETE] = "delete %s noreply\r\n",
    };
    char k[32], line[64];

    talk_key(o->key, k);
    switch ((int)o->kind) {
    case K_GAT:
        talk_need(buf_printf(out, "gat %u %s\r\n", o->ttl, k));
        return;
    case K_INCR:
    case K_DECR:
        talk_need(buf_printf(out, "%s %s %" PRIu64 "\r\n", o->kind == K_INCR ? "incr" : "decr", k,
                             o->delta));
        return;
    case K_TOUCH:
        talk_need(buf_printf(out, "touch %s %u\r\n", k, o->ttl));
        return;
    case K_MG:
        talk_need(buf_printf(out, "mg %s t f s v O%u\r\n", k, o->opaque));
        return;
    case K_MD:
        talk_need(buf_printf(out, "md %s O%u\r\n", k, o->opaque));
        return;
    case K_MULTI:
        write_multi(out, o);
        return;
    default:
        break;
    }
    if (write_store_line(out, o, k)) {
        talk_need(buf_add(out, o->value, o->len));
        talk_need(buf_add(out, o->kind == K_CHUNK ? "?!" : "\r\n", 2));
        return;
    }
    /* The format has one place at most, and it is the key's. */
    const char *place = strstr(format[o->kind], "%s");
    size_t before = place ? (size_t)(place - format[o->kind]) : strlen(format[o->kind]);

    snprintf(line, sizeof line, "%.*s%s%s", (int)before, format[o->kind], place ? k : "",
             place ? place + 2 : "");
    talk_need(buf_printf(out, "%s", line));
}

static void
write_binary(struct buf *out, const struct ask *o)
{
    static const uint8_t opcode[] = {
        [B_GET] = 0x00,  [B_SET] = 0x01,  [B_ADD] = 0x02,       [B_DELETE] = 0x04,
        [B_INCR] = 0x05, [B_NOOP] = 0x0a, [B_QUIET_GET] = 0x09, [B_QUIET_SET] = 0x11
    };
    bool stores = o->kind == B_SET || o->kind == B_ADD || o->kind == B_QUIET_SET;
    struct binary_fields f = { .magic = 0x80, .opcode = opcode[o->kind], .opaque = o->opaque };
    char k[32];

    f.key = o->kind == B_NOOP ? 0 : strlen(talk_key(o->key, k));
    f.extras = stores ? 8 : o->kind == B_INCR ? 20 : 0;
    f.body = f.extras + f.key + (stores ? o->len : 0);
    talk_put_header(out, &f);
    if (stores) {
        talk_put(out, o->flags, 4);
        talk_put(out, o->kind == B_QUIET_SET ? 0 : o->ttl, 4);
    } else if (o->kind == B_INCR) {
        talk_put(out, o->delta, 8);
        talk_put(out, o->initial, 8);
        talk_put(out, o->ttl, 4);
    }
    talk_need(buf_add(out, k, f.key));
    talk_need(buf_add(out, o->value, stores ? o->len : 0));
}

void
talk_write(struct buf *out, const struct ask *o)
{
    if (o->kind < TEXT_KINDS) {
        write_text(out, o);
    } else {
        write_binary(out, o);
    }
}
