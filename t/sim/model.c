#include "talk.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry *
model_find(struct model *m, unsigned key)
{
    struct entry *e = &m->entry[key];

    if (e->there && e->expires != 0 && e->expires <= m->seconds) {
        e->there = false;
    }
    return e->there ? e : NULL;
}

static uint32_t
model_expiry(const struct model *m, uint32_t ttl)
{
    return ttl ? m->seconds + ttl : 0;
}

static struct entry *
entry_set(struct model *m, const struct ask *o, uint32_t ttl)
{
    struct entry *e = &m->entry[o->key];

    e->there = true;
    e->flags = o->flags;
    e->expires = model_expiry(m, ttl);
    e->cas = 0;
    e->value.len = 0;
    talk_need(buf_add(&e->value, o->value, o->len));
    return e;
}

/* Takes note of a cas unique in an answer. */
static uint64_t
entry_cas(struct model *m, struct entry *e, uint64_t cas)
{
    if (cas == 0 || (e->cas != 0 && e->cas != cas)) {
        m->wrong = "a cas unique that changed by itself";
    }
    e->cas = cas;
    return cas;
}

/* The number that a value is; false: none. */
static bool
entry_number(const struct entry *e, uint64_t *ret)
{
    size_t len = e->value.len, at = 0;

    *ret = 0;
    while (at < len && isspace((unsigned char)e->value.ptr[at])) {
        at++;
    }
    /* A large value is no number, whatever it starts with. */
    if (len >= 4096 || at == len || !isdigit((unsigned char)e->value.ptr[at])) {
        return false;
    }
    for (; at < len && isdigit((unsigned char)e->value.ptr[at]); at++) {
        if (__builtin_mul_overflow(*ret, 10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(e->value.ptr[at] - '0'), ret)) {
            return false;
        }
    }
    return at == len || isspace((unsigned char)e->value.ptr[at]);
}

/* incr and decr, with memcached's padding; false: not a number. */
static bool
entry_count(struct entry *e, bool up, uint64_t delta, uint64_t *ret)
{
    char digits[24];
    size_t len;
    uint64_t n;

    if (!entry_number(e, &n)) {
        return false;
    }
    n = up ? n + delta : n > delta ? n - delta : 0;
    len = (size_t)sprintf(digits, "%" PRIu64, n);
    if (len < e->value.len) {
        memset(e->value.ptr, ' ', e->value.len);
        memcpy(e->value.ptr, digits, len);
    } else {
        e->value.len = 0;
        talk_need(buf_add(&e->value, digits, len));
    }
    e->cas = 0;
    *ret = n;
    return true;
}

static void
entry_join(struct entry *e, const struct ask *o)
{
    struct buf joined = { 0 };

    if (o->kind == K_APPEND) {
        talk_need(buf_add(&joined, e->value.ptr, e->value.len));
    }
    talk_need(buf_add(&joined, o->value, o->len));
    if (o->kind == K_PREPEND) {
        talk_need(buf_add(&joined, e->value.ptr, e->value.len));
    }
    buf_free(&e->value);
    e->value = joined;
    e->cas = 0;
}

/* -- text -------------------------------------------------------------------------------------- */

static void
expect_data(struct buf *out, const struct entry *e)
{
    talk_need(buf_add(out, e->value.ptr, e->value.len));
    talk_need(buf_add(out, "\r\n", 2));
}

/* A VALUE; cas: with its cas unique, as found in the actual answer. */
static void
expect_value(struct model *m, struct buf *out, unsigned key, bool cas, struct slice actual)
{
    struct entry *e = model_find(m, key);
    size_t head = out->len;
    char name[32];

    if (!e) {
        return;
    }
    talk_need(buf_printf(out, "VALUE %s %u %zu", talk_key(key, name), e->flags, e->value.len));
    head = out->len - head;
    if (cas && actual.len > head) { /* it ends with a newline or more, so strtoull() stays inside */
        talk_need(
            buf_printf(out, " %" PRIu64, entry_cas(m, e, strtoull(actual.ptr + head, NULL, 10))));
    }
    talk_need(buf_add(out, "\r\n", 2));
    expect_data(out, e);
}

static void
expect_retrieve(struct model *m, const struct ask *o, struct buf *out, struct slice actual)
{
    struct entry *e = model_find(m, o->key);

    if (o->kind == K_GAT && e) {
        e->expires = model_expiry(m, o->ttl);
    }
    for (unsigned i = 0; i < o->count; i++) {
        expect_value(m, out, o->key + i, o->kind == K_GETS, actual);
    }
    talk_need(buf_printf(out, "END\r\n"));
}

static void
expect_meta_get(struct model *m, const struct ask *o, struct buf *out)
{
    struct entry *e = model_find(m, o->key);
    char name[32];

    if (o->kind == K_QUIET_MG) {
        if (!e) {
            return;
        }
        talk_need(buf_printf(out, "VA %zu k%s\r\n", e->value.len, talk_key(o->key, name)));
    } else {
        if (!e) {
            talk_need(buf_printf(out, "EN O%u\r\n", o->opaque));
            return;
        }
        talk_need(buf_printf(out, "VA %zu t%d f%u s%zu O%u\r\n", e->value.len,
                             e->expires ? (int)(e->expires - m->seconds) : -1, e->flags,
                             e->value.len, o->opaque));
    }
    expect_data(out, e);
}

static const char *
expect_store(struct model *m, const struct ask *o)
{
    struct entry *e = model_find(m, o->key);

    if (o->kind == K_CAS && (!e || e->cas == 0 || e->cas != o->cas)) {
        return e ? "EXISTS" : "NOT_FOUND";
    }
    if ((o->kind == K_ADD && e) ||
        (!e && (o->kind == K_REPLACE || o->kind == K_APPEND || o->kind == K_PREPEND))) {
        return "NOT_STORED";
    }
    if (o->kind == K_APPEND || o->kind == K_PREPEND) {
        entry_join(e, o);
    } else {
        entry_set(m, o, o->ttl);
    }
    return "STORED";
}

/* Commands on a key that has a value, or not. */
static void
expect_modify(struct model *m, const struct ask *o, struct buf *out)
{
    struct entry *e = model_find(m, o->key);
    uint64_t n;

    switch ((int)o->kind) {
    case K_DELETE:
        talk_need(buf_printf(out, e ? "DELETED\r\n" : "NOT_FOUND\r\n"));
        m->entry[o->key].there = false;
        break;
    case K_MD:
        talk_need(buf_printf(out, e ? "HD O%u\r\n" : "NF O%u\r\n", o->opaque));
        m->entry[o->key].there = false;
        break;
    case K_TOUCH:
        talk_need(buf_printf(out, e ? "TOUCHED\r\n" : "NOT_FOUND\r\n"));
        if (e) {
            e->expires = model_expiry(m, o->ttl);
        }
        break;
    default:
        if (!e) {
            talk_need(buf_printf(out, "NOT_FOUND\r\n"));
        } else if (entry_count(e, o->kind == K_INCR, o->delta, &n)) {
            talk_need(buf_printf(out, "%" PRIu64 "\r\n", n));
        } else {
            talk_need(buf_printf(
                out, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"));
        }
        break;
    }
}

static void
expect_text(struct model *m, const struct ask *o, struct buf *out, struct slice actual)
{
    switch ((int)o->kind) {
    case K_GET:
    case K_GETS:
    case K_GAT:
    case K_MULTI:
        expect_retrieve(m, o, out, actual);
        break;
    case K_MG:
    case K_QUIET_MG:
        expect_meta_get(m, o, out);
        break;
    case K_DELETE:
    case K_MD:
    case K_TOUCH:
    case K_INCR:
    case K_DECR:
        expect_modify(m, o, out);
        break;
    case K_MS:
        entry_set(m, o, o->ttl);
        talk_need(buf_printf(out, "HD O%u\r\n", o->opaque));
        break;
    case K_QUIET_SET:
    case K_QUIET_MS:
        entry_set(m, o, 0);
        break;
    case K_QUIET_DELETE:
        m->entry[o->key].there = false;
        break;
    case K_MN:
        talk_need(buf_printf(out, "MN\r\n"));
        break;
    case K_BAD:
        talk_need(buf_printf(out, "ERROR\r\n"));
        break;
    case K_CHUNK:
        talk_need(buf_printf(out, "CLIENT_ERROR bad data chunk\r\n"));
        break;
    case K_LARGE:
        m->entry[o->key].there = false;
        talk_need(buf_printf(out, "SERVER_ERROR object too large for cache\r\n"));
        break;
    default:
        talk_need(buf_printf(out, "%s\r\n", expect_store(m, o)));
        break;
    }
}

/* -- binary ------------------------------------------------------------------------------------ */

/* The cas field of a successful answer. */
static uint64_t
actual_cas(struct model *m, struct entry *e, struct slice actual)
{
    uint64_t cas = 0;

    if (actual.len < 24 || actual.ptr[6] != 0 || actual.ptr[7] != 0) {
        return 0; /* too short, or an error: the bytes will differ */
    }
    for (int i = 16; i < 24; i++) {
        cas = cas << 8 | (unsigned char)actual.ptr[i];
    }
    return entry_cas(m, e, cas);
}

static void
expect_refusal(struct buf *out, struct binary_fields f, unsigned status, const char *text)
{
    f.status = status;
    f.body = strlen(text);
    talk_put_header(out, &f);
    talk_need(buf_add(out, text, f.body));
}

static void
expect_binary_get(struct model *m, const struct ask *o, struct buf *out, struct binary_fields f,
                  struct slice actual)
{
    struct entry *e = model_find(m, o->key);

    if (e) {
        f.extras = 4;
        f.body = 4 + e->value.len;
        f.cas = actual_cas(m, e, actual);
        talk_put_header(out, &f);
        talk_put(out, e->flags, 4);
        talk_need(buf_add(out, e->value.ptr, e->value.len));
    } else if (o->kind == B_GET) {
        expect_refusal(out, f, 1, "Not found");
    }
}

static void
expect_binary_incr(struct model *m, const struct ask *o, struct buf *out, struct binary_fields f,
                   struct slice actual)
{
    struct entry *e = model_find(m, o->key);
    struct ask made = *o;
    uint64_t n = o->initial;

    if (!e) {
        made.flags = 0;
        made.value = made.digits;
        made.len = (size_t)sprintf(made.digits, "%" PRIu64, n);
        e = entry_set(m, &made, o->ttl);
    } else if (!entry_count(e, true, o->delta, &n)) {
        expect_refusal(out, f, 6, "Non-numeric server-side value for incr or decr");
        return;
    }
    f.body = 8;
    f.cas = actual_cas(m, e, actual);
    talk_put_header(out, &f);
    talk_put(out, n, 8);
}

static void
expect_binary(struct model *m, const struct ask *o, struct buf *out, struct slice actual)
{
    static const uint8_t opcode[] = {
        [B_GET] = 0x00,  [B_SET] = 0x01,  [B_ADD] = 0x02,       [B_DELETE] = 0x04,
        [B_INCR] = 0x05, [B_NOOP] = 0x0a, [B_QUIET_GET] = 0x09, [B_QUIET_SET] = 0x11
    };
    struct binary_fields f = { .magic = 0x81, .opcode = opcode[o->kind], .opaque = o->opaque };
    struct entry *e = model_find(m, o->key);

    switch ((int)o->kind) {
    case B_GET:
    case B_QUIET_GET:
        expect_binary_get(m, o, out, f, actual);
        break;
    case B_QUIET_SET:
        entry_set(m, o, 0);
        break;
    case B_ADD:
    case B_SET:
        if (e && o->kind == B_ADD) {
            expect_refusal(out, f, 2, "Data exists for key.");
            break;
        }
        f.cas = actual_cas(m, entry_set(m, o, o->ttl), actual);
        talk_put_header(out, &f);
        break;
    case B_DELETE:
        if (!e) {
            expect_refusal(out, f, 1, "Not found");
            break;
        }
        e->there = false;
        talk_put_header(out, &f);
        break;
    case B_INCR:
        expect_binary_incr(m, o, out, f, actual);
        break;
    case B_NOOP:
        talk_put_header(out, &f);
        break;
    }
}

void
model_expect(struct model *m, const struct ask *o, struct buf *out, struct slice actual)
{
    if (o->kind < TEXT_KINDS) {
        expect_text(m, o, out, actual);
    } else {
        expect_binary(m, o, out, actual);
    }
}
