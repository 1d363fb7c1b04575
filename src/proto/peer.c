#include "proto/peer.h"
#include "base/hash.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* -- numbers, little-endian -------------------------------------------------------------------- */

/* Every machine we build for is little-endian in memory, too; see the assertion. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats between nodes");

static inline void
put(char **out, const void *value, size_t n)
{
    memcpy(*out, value, n);
    *out += n;
}

static inline void
put_u8(char **out, unsigned value)
{
    *(*out)++ = (char)value;
}

/* Bytes that are read off the front; short is set, and zeros are read, when there are too few. */
struct take {
    struct slice rest;
    bool         is_short;
};

static inline void
take(struct take *t, void *value, size_t n)
{
    if (t->rest.len < n) {
        t->is_short = true;
        memset(value, 0, n);
        return;
    }
    memcpy(value, t->rest.ptr, n);
    t->rest = slice_from(t->rest, n);
}

static inline uint8_t
take_u8(struct take *t)
{
    uint8_t v;

    take(t, &v, sizeof v);
    return v;
}

static inline struct slice
take_bytes(struct take *t, size_t n)
{
    struct slice ret = slice_of(t->rest.ptr, n);

    if (t->rest.len < n) {
        t->is_short = true;
        return (struct slice){ 0 };
    }
    t->rest = slice_from(t->rest, n);
    return ret;
}

/* -- the greeting ------------------------------------------------------------------------------ */

static const char hello_magic[8] = "MAGPIE\0\1"; /* the last byte: format of the greeting */

void
peer_write_hello(const struct peer_hello *h, char out[PEER_HELLO])
{
    char *p = out;

    memset(out, 0, PEER_HELLO);
    put(&p, hello_magic, sizeof hello_magic);
    put_u8(&p, h->purpose);
    put_u8(&p, h->verdict);
    put_u8(&p, h->version_min);
    put_u8(&p, h->version_max);
    put(&p, &h->label, sizeof h->label);
    put(&p, &h->worker, sizeof h->worker);
    put(&p, &h->from, sizeof h->from);
    put(&p, &h->nonce, sizeof h->nonce);
    put(&p, &h->features, sizeof h->features);
    assert(p <= out + PEER_HELLO);
}

bool
peer_read_hello(const char in[PEER_HELLO], struct peer_hello *ret)
{
    struct take t = { .rest = slice_of(in, PEER_HELLO) };
    char magic[sizeof hello_magic];
    uint8_t purpose, verdict;

    take(&t, magic, sizeof magic);
    purpose = take_u8(&t);
    verdict = take_u8(&t);
    ret->version_min = take_u8(&t);
    ret->version_max = take_u8(&t);
    take(&t, &ret->label, sizeof ret->label);
    take(&t, &ret->worker, sizeof ret->worker);
    take(&t, &ret->from, sizeof ret->from);
    take(&t, &ret->nonce, sizeof ret->nonce);
    take(&t, &ret->features, sizeof ret->features);
    if (memcmp(magic, hello_magic, sizeof magic) != 0 || purpose < PEER_DATA ||
        purpose > PEER_PROBE || verdict > PEER_SELF || ret->from == 0) {
        return false;
    }
    ret->purpose = (enum peer_purpose)purpose;
    ret->verdict = (enum peer_verdict)verdict;
    return true;
}

/* -- frames ------------------------------------------------------------------------------------ */

#define CHECKED (PEER_HEADER - sizeof(uint32_t)) /* bytes in front of the check */

void
peer_write_header(const struct peer_frame *f, char out[PEER_HEADER])
{
    char *p = out;
    uint32_t spare = 0, check;

    assert(f->body_len <= PEER_BODY_MAX);
    put_u8(&p, PEER_MAGIC);
    put_u8(&p, CLUSTER_VERSION);
    put_u8(&p, f->type);
    put_u8(&p, f->flags);
    put(&p, &f->body_len, sizeof f->body_len);
    put(&p, &f->id, sizeof f->id);
    put(&p, &f->ring, sizeof f->ring);
    put(&p, &f->count, sizeof f->count);
    put(&p, &f->first, sizeof f->first);
    put(&p, &f->deadline_ms, sizeof f->deadline_ms);
    put(&p, &spare, sizeof spare);
    assert(p == out + CHECKED);
    check = (uint32_t)hash_bytes(out, CHECKED);
    put(&p, &check, sizeof check);
}

enum peer_result
peer_read_frame(struct slice in, struct peer_frame *ret)
{
    struct take t = { .rest = in };
    uint32_t spare, check;
    uint8_t magic, version, type;

    if (in.len < PEER_HEADER) {
        return in.len == 0 || (unsigned char)in.ptr[0] == PEER_MAGIC ? PEER_MORE : PEER_MALFORMED;
    }
    magic = take_u8(&t);
    version = take_u8(&t);
    type = take_u8(&t);
    ret->flags = take_u8(&t);
    take(&t, &ret->body_len, sizeof ret->body_len);
    take(&t, &ret->id, sizeof ret->id);
    take(&t, &ret->ring, sizeof ret->ring);
    take(&t, &ret->count, sizeof ret->count);
    take(&t, &ret->first, sizeof ret->first);
    take(&t, &ret->deadline_ms, sizeof ret->deadline_ms);
    take(&t, &spare, sizeof spare);
    take(&t, &check, sizeof check);
    if (magic != PEER_MAGIC || version != CLUSTER_VERSION || type < PEER_COMMANDS ||
        type > PEER_PONG || ret->body_len > PEER_BODY_MAX ||
        check != (uint32_t)hash_bytes(in.ptr, CHECKED)) {
        return PEER_MALFORMED;
    }
    ret->type = (enum peer_type)type;
    return in.len - PEER_HEADER < ret->body_len ? PEER_MORE : PEER_OK;
}

/* -- commands ---------------------------------------------------------------------------------- */

/* The numbers of commands on the wire: they stay when commands.def changes. */
static const uint8_t wire_of_op[OPS] = {
    [OP_GET] = 1,       [OP_GETS] = 2,      [OP_GAT] = 3,          [OP_GATS] = 4,
    [OP_SET] = 5,       [OP_ADD] = 6,       [OP_REPLACE] = 7,      [OP_APPEND] = 8,
    [OP_PREPEND] = 9,   [OP_CAS] = 10,      [OP_DELETE] = 11,      [OP_INCR] = 12,
    [OP_DECR] = 13,     [OP_TOUCH] = 14,    [OP_META_GET] = 15,    [OP_META_SET] = 16,
    [OP_META_DELETE] = 17, [OP_META_ARITH] = 18, [OP_META_DEBUG] = 19, [OP_FLUSH_ALL] = 20,
};
static const uint8_t op_of_wire[] = {
    [1] = OP_GET,       [2] = OP_GETS,      [3] = OP_GAT,          [4] = OP_GATS,
    [5] = OP_SET,       [6] = OP_ADD,       [7] = OP_REPLACE,      [8] = OP_APPEND,
    [9] = OP_PREPEND,   [10] = OP_CAS,      [11] = OP_DELETE,      [12] = OP_INCR,
    [13] = OP_DECR,     [14] = OP_TOUCH,    [15] = OP_META_GET,    [16] = OP_META_SET,
    [17] = OP_META_DELETE, [18] = OP_META_ARITH, [19] = OP_META_DEBUG, [20] = OP_FLUSH_ALL,
};

/* Of the second byte. */
enum {
    BIT_QUIET = 4, /* the two below are the protocol */
    BIT_LAST = 8,
    BIT_KEY_BINARY = 16,
    BIT_HAS_EXPTIME = 32, /* the two above are enum peer_value */
};
/* Of the fourth: which fields follow. */
enum {
    HAS_CLIENT_FLAGS = 1,
    HAS_EXPTIME = 2,
    HAS_CAS = 4,
    HAS_DELTA = 8,
    HAS_INITIAL = 16,
    HAS_OPCODE = 32, /* opcode and opaque: of binary */
    HAS_META = 64,
    HAS_VALUE = 128, /* its length */
};

static unsigned
command_mask(const struct command *c)
{
    return (c->client_flags != 0 ? HAS_CLIENT_FLAGS : 0u) | (c->exptime != 0 ? HAS_EXPTIME : 0u) |
           (c->cas != 0 ? HAS_CAS : 0u) | (c->delta != 0 ? HAS_DELTA : 0u) |
           (c->initial != 0 ? HAS_INITIAL : 0u) |
           (c->protocol == PROTO_BINARY ? HAS_OPCODE : 0u) |
           (c->protocol == PROTO_META ? HAS_META : 0u) | (c->has_value ? HAS_VALUE : 0u);
}

static void
put_meta(char **out, const struct command *c)
{
    const struct meta_args *m = &c->meta;
    bool same = slice_eq(m->key_sent, c->key);

    put(out, &m->has, sizeof m->has);
    put_u8(out, m->returned_count);
    put(out, m->returned, m->returned_count);
    put_u8(out, (unsigned char)m->mode);
    put_u8(out, m->at_t);
    put_u8(out, m->at_T);
    put_u8(out, m->at_N);
    put_u8(out, m->at_R);
    put(out, &m->ttl, sizeof m->ttl);
    put(out, &m->vivify_ttl, sizeof m->vivify_ttl);
    put(out, &m->recache_ttl, sizeof m->recache_ttl);
    put(out, &m->new_cas, sizeof m->new_cas);
    put_u8(out, (unsigned)m->opaque.len);
    put(out, m->opaque.len > 0 ? m->opaque.ptr : "", m->opaque.len);
    put_u8(out, same ? 0 : (unsigned)m->key_sent.len);
    put(out, same ? "" : m->key_sent.ptr, same ? 0 : m->key_sent.len);
}

size_t
peer_write_command(const struct command *c, enum peer_value value, char *out)
{
    unsigned mask = command_mask(c);
    char *p = out;

    assert(wire_of_op[c->op] != 0 && c->key.len <= KEY_MAX);
    assert((value != PEER_VALUE_NONE) == c->has_value);
    put_u8(&p, wire_of_op[c->op]);
    put_u8(&p, (unsigned)c->protocol | (c->quiet ? BIT_QUIET : 0u) | (c->last ? BIT_LAST : 0u) |
                   (c->key_binary ? BIT_KEY_BINARY : 0u) |
                   (c->has_exptime ? BIT_HAS_EXPTIME : 0u) | (unsigned)value << 6);
    put_u8(&p, (unsigned)c->key.len);
    put_u8(&p, mask);
    if (mask != 0) {
        put(&p, &c->client_flags, mask & HAS_CLIENT_FLAGS ? sizeof c->client_flags : 0);
        put(&p, &c->exptime, mask & HAS_EXPTIME ? sizeof c->exptime : 0);
        put(&p, &c->cas, mask & HAS_CAS ? sizeof c->cas : 0);
        put(&p, &c->delta, mask & HAS_DELTA ? sizeof c->delta : 0);
        put(&p, &c->initial, mask & HAS_INITIAL ? sizeof c->initial : 0);
        put(&p, &c->opcode, mask & HAS_OPCODE ? sizeof c->opcode : 0);
        put(&p, &c->opaque, mask & HAS_OPCODE ? sizeof c->opaque : 0);
        put(&p, &c->value_len, mask & HAS_VALUE ? sizeof c->value_len : 0);
        if (mask & HAS_META) {
            put_meta(&p, c);
        }
    }
    put(&p, c->key.len > 0 ? c->key.ptr : "", c->key.len);
    assert((size_t)(p - out) <= PEER_COMMAND_MAX);
    return (size_t)(p - out);
}

/* The flags that an answer repeats: known letters, none of them twice, so that it stays short. */
static bool
letters_are_good(const struct meta_args *m)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < m->returned_count; i++) {
        char letter = m->returned[i];

        if (letter < 'A' || letter > 'z' || (seen & META_BIT(letter)) != 0) {
            return false;
        }
        seen |= META_BIT(letter);
    }
    return true;
}

static bool
take_meta(struct take *t, struct command *c)
{
    struct meta_args *m = &c->meta;

    *m = (struct meta_args){ 0 };
    take(t, &m->has, sizeof m->has);
    m->returned_count = take_u8(t);
    if (m->returned_count > META_FLAGS_MAX) {
        return false;
    }
    take(t, m->returned, m->returned_count);
    m->mode = (char)take_u8(t);
    m->at_t = take_u8(t);
    m->at_T = take_u8(t);
    m->at_N = take_u8(t);
    m->at_R = take_u8(t);
    take(t, &m->ttl, sizeof m->ttl);
    take(t, &m->vivify_ttl, sizeof m->vivify_ttl);
    take(t, &m->recache_ttl, sizeof m->recache_ttl);
    take(t, &m->new_cas, sizeof m->new_cas);
    m->opaque = take_bytes(t, take_u8(t));
    m->key_sent = take_bytes(t, take_u8(t));
    return !t->is_short && letters_are_good(m) && m->opaque.len <= OPAQUE_MAX &&
           m->key_sent.len <= KEY_MAX;
}

static void
take_fields(struct take *t, unsigned mask, struct command *c)
{
    take(t, &c->client_flags, mask & HAS_CLIENT_FLAGS ? sizeof c->client_flags : 0);
    take(t, &c->exptime, mask & HAS_EXPTIME ? sizeof c->exptime : 0);
    take(t, &c->cas, mask & HAS_CAS ? sizeof c->cas : 0);
    take(t, &c->delta, mask & HAS_DELTA ? sizeof c->delta : 0);
    take(t, &c->initial, mask & HAS_INITIAL ? sizeof c->initial : 0);
    take(t, &c->opcode, mask & HAS_OPCODE ? sizeof c->opcode : 0);
    take(t, &c->opaque, mask & HAS_OPCODE ? sizeof c->opaque : 0);
    take(t, &c->value_len, mask & HAS_VALUE ? sizeof c->value_len : 0);
}

/* The protocol's fields and the command's must be of one kind, and so must value and command. */
static bool
command_is_good(const struct command *c, unsigned mask, unsigned protocol, enum peer_value value)
{
    bool meta = c->op >= OP_META_GET && c->op <= OP_META_DEBUG;
    bool stores = (c->op >= OP_SET && c->op <= OP_CAS) || c->op == OP_META_SET;

    if (protocol > PROTO_BINARY || ((mask & HAS_OPCODE) != 0) != (protocol == PROTO_BINARY) ||
        ((mask & HAS_META) != 0) != (protocol == PROTO_META) ||
        meta != (protocol == PROTO_META)) {
        return false;
    }
    if (((mask & HAS_VALUE) != 0) != stores || stores != (value != PEER_VALUE_NONE)) {
        return false;
    }
    return c->key.len <= KEY_MAX && (c->key.len > 0) == (c->op != OP_FLUSH_ALL) &&
           c->value_len <= VALUE_MAX;
}

enum peer_result
peer_read_command(struct slice *body, struct command *c, enum peer_value *value)
{
    struct take t = { .rest = *body };
    unsigned wire = take_u8(&t), bits = take_u8(&t), key_len = take_u8(&t), mask = take_u8(&t);

    if (wire == 0 || wire >= sizeof op_of_wire / sizeof op_of_wire[0]) {
        return PEER_MALFORMED;
    }
    memset(c, 0, offsetof(struct command, meta));
    c->op = (enum op)op_of_wire[wire];
    c->protocol = (enum protocol)(bits & 3u);
    c->quiet = (bits & BIT_QUIET) != 0;
    c->last = (bits & BIT_LAST) != 0;
    c->key_binary = (bits & BIT_KEY_BINARY) != 0;
    c->has_exptime = (bits & BIT_HAS_EXPTIME) != 0;
    *value = (enum peer_value)(bits >> 6);
    c->has_value = *value != PEER_VALUE_NONE;
    if (mask != 0) {
        take_fields(&t, mask, c);
        if ((mask & HAS_META) != 0 && !take_meta(&t, c)) {
            return PEER_MALFORMED;
        }
    }
    c->key = take_bytes(&t, key_len);
    if (*value == PEER_VALUE_HERE) {
        c->value = take_bytes(&t, c->value_len);
    }
    if (t.is_short || !command_is_good(c, mask, bits & 3u, *value)) {
        return PEER_MALFORMED;
    }
    if (c->protocol == PROTO_META && c->meta.key_sent.len == 0) {
        c->meta.key_sent = c->key;
    }
    *body = t.rest;
    return PEER_OK;
}

/* -- answers ----------------------------------------------------------------------------------- */

void
peer_write_entry(const struct peer_entry *e, char out[PEER_ENTRY])
{
    uint16_t spare = 0;
    char *p = out;

    put_u8(&p, e->kind);
    put_u8(&p, e->tail);
    put(&p, &spare, sizeof spare);
    put(&p, &e->len, sizeof e->len);
    assert(p == out + PEER_ENTRY);
}

enum peer_result
peer_read_entry(struct slice *body, struct peer_entry *ret, struct slice *bytes)
{
    struct take t = { .rest = *body };
    uint8_t kind = take_u8(&t);
    uint16_t spare;

    ret->tail = take_u8(&t);
    take(&t, &spare, sizeof spare);
    take(&t, &ret->len, sizeof ret->len);
    *bytes = take_bytes(&t, ret->len);
    if (t.is_short || kind > PEER_EXPIRED || ret->tail > ret->len ||
        (kind == PEER_NOT_OWNER && ret->len != sizeof(node_id)) ||
        (kind == PEER_EXPIRED && ret->len != 0)) {
        return PEER_MALFORMED;
    }
    ret->kind = (enum peer_entry_kind)kind;
    *body = t.rest;
    return PEER_OK;
}
