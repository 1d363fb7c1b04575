#include "proto/binary.h"
#include "config.h" /* the memcached that VERSION names */
#include "vocab/limits.h"
#include <stddef.h>

/* Offsets of the fields of a header. */
#define AT_OPCODE    1
#define AT_KEY_LEN   2
#define AT_EXTRA_LEN 4
#define AT_STATUS    6
#define AT_BODY_LEN  8
#define AT_OPAQUE    12
#define AT_CAS       16

#define BODY_MAX     (UINT32_C(1) << 30)  /* bytes; more is refused unseen */
#define FLAGS_BYTES  4                    /* extras of a hit */
#define NUMBER_BYTES 8                    /* the answer to incr */
#define NEVER_CREATE UINT32_C(0xffffffff) /* expiry of incr and decr: do not create */

/* What the extras of a request are. */
enum extras {
    EXTRAS_NONE,
    EXTRAS_STORE, /* client flags, expiry */
    EXTRAS_ARITH, /* delta, initial value, expiry */
    EXTRAS_TIME,  /* expiry */
    EXTRAS_FLUSH, /* nothing, or a time */
};

enum key_rule { KEY_NEVER, KEY_ALWAYS, KEY_MAYBE };

struct opcode {
    bool          known;
    bool          quiet;
    bool          echoes; /* answers with the key */
    bool          has_value;
    enum op       op;
    enum extras   extras;
    enum key_rule key;
};

#define OPCODE(op_, extras_, key_, ...) \
    { .known = true, .op = OP_##op_, .extras = EXTRAS_##extras_, .key = KEY_##key_, __VA_ARGS__ }
#define LOUD   .quiet = false
#define QUIET  .quiet = true
#define ECHOES .echoes = true
#define VALUE  .has_value = true

/* Verbosity (0x1b) is not here: memcached never implemented it. */
static const struct opcode opcodes[256] = {
    [0x00] = OPCODE(GET, NONE, ALWAYS, LOUD),
    [0x01] = OPCODE(SET, STORE, ALWAYS, VALUE),
    [0x02] = OPCODE(ADD, STORE, ALWAYS, VALUE),
    [0x03] = OPCODE(REPLACE, STORE, ALWAYS, VALUE),
    [0x04] = OPCODE(DELETE, NONE, ALWAYS, LOUD),
    [0x05] = OPCODE(INCR, ARITH, ALWAYS, LOUD),
    [0x06] = OPCODE(DECR, ARITH, ALWAYS, LOUD),
    [0x07] = OPCODE(QUIT, NONE, NEVER, LOUD),
    [0x08] = OPCODE(FLUSH_ALL, FLUSH, NEVER, LOUD),
    [0x09] = OPCODE(GET, NONE, ALWAYS, QUIET),
    [0x0a] = OPCODE(NOOP, NONE, NEVER, LOUD),
    [0x0b] = OPCODE(VERSION, NONE, NEVER, LOUD),
    [0x0c] = OPCODE(GET, NONE, ALWAYS, ECHOES),
    [0x0d] = OPCODE(GET, NONE, ALWAYS, ECHOES, QUIET),
    [0x0e] = OPCODE(APPEND, NONE, ALWAYS, VALUE),
    [0x0f] = OPCODE(PREPEND, NONE, ALWAYS, VALUE),
    [0x10] = OPCODE(STATS, NONE, MAYBE, LOUD),
    [0x11] = OPCODE(SET, STORE, ALWAYS, VALUE, QUIET),
    [0x12] = OPCODE(ADD, STORE, ALWAYS, VALUE, QUIET),
    [0x13] = OPCODE(REPLACE, STORE, ALWAYS, VALUE, QUIET),
    [0x14] = OPCODE(DELETE, NONE, ALWAYS, QUIET),
    [0x15] = OPCODE(INCR, ARITH, ALWAYS, QUIET),
    [0x16] = OPCODE(DECR, ARITH, ALWAYS, QUIET),
    [0x17] = OPCODE(QUIT, NONE, NEVER, QUIET),
    [0x18] = OPCODE(FLUSH_ALL, FLUSH, NEVER, QUIET),
    [0x19] = OPCODE(APPEND, NONE, ALWAYS, VALUE, QUIET),
    [0x1a] = OPCODE(PREPEND, NONE, ALWAYS, VALUE, QUIET),
    [0x1c] = OPCODE(TOUCH, TIME, ALWAYS, LOUD),
    [0x1d] = OPCODE(GAT, TIME, ALWAYS, LOUD),
    [0x1e] = OPCODE(GAT, TIME, ALWAYS, QUIET),
    [0x20] = OPCODE(SASL_LIST, NONE, NEVER, LOUD),
    [0x21] = OPCODE(SASL_AUTH, NONE, ALWAYS, VALUE),
    [0x22] = OPCODE(SASL_STEP, NONE, ALWAYS, VALUE),
    [0x23] = OPCODE(GAT, TIME, ALWAYS, ECHOES),
    [0x24] = OPCODE(GAT, TIME, ALWAYS, ECHOES, QUIET),
};

/* -- numbers ----------------------------------------------------------------------------------- */

static inline uint16_t
u16_read(const char *p)
{
    uint16_t n;

    memcpy(&n, p, sizeof n);
    return __builtin_bswap16(n);
}

static inline uint32_t
u32_read(const char *p)
{
    uint32_t n;

    memcpy(&n, p, sizeof n);
    return __builtin_bswap32(n);
}

static inline uint64_t
u64_read(const char *p)
{
    uint64_t n;

    memcpy(&n, p, sizeof n);
    return __builtin_bswap64(n);
}

static inline void
u16_write(char *p, uint16_t n)
{
    n = __builtin_bswap16(n);
    memcpy(p, &n, sizeof n);
}

static inline void
u32_write(char *p, uint32_t n)
{
    n = __builtin_bswap32(n);
    memcpy(p, &n, sizeof n);
}

static inline void
u64_write(char *p, uint64_t n)
{
    n = __builtin_bswap64(n);
    memcpy(p, &n, sizeof n);
}

/* -- requests ---------------------------------------------------------------------------------- */

/* Turns a packet into its refusal; the whole body is still in front. */
static enum binary_result
packet_refuse(struct command *ret, size_t *used, enum reply_code code, uint32_t body_len)
{
    ret->op = OP_ERROR;
    ret->error = code;
    ret->quiet = false;
    ret->has_value = body_len > 0;
    ret->value_len = body_len;
    ret->close_after = code != RPL_BIN_UNKNOWN;
    *used = BINARY_HEADER;
    return BINARY_CMD;
}

/* True if a packet of these measures can be what its opcode says. */
static inline bool
packet_fits(const struct opcode *o, size_t key_len, size_t extra_len, size_t value_len)
{
    static const uint8_t extra_bytes[] = {
        [EXTRAS_NONE] = 0, [EXTRAS_STORE] = 8, [EXTRAS_ARITH] = 20,
        [EXTRAS_TIME] = 4, [EXTRAS_FLUSH] = 4,
    };

    if (extra_len != extra_bytes[o->extras] && !(o->extras == EXTRAS_FLUSH && extra_len == 0)) {
        return false;
    }
    if ((o->key == KEY_ALWAYS && key_len == 0) || (o->key == KEY_NEVER && key_len > 0)) {
        return false;
    }
    return o->has_value || value_len == 0;
}

/* Reads the extras, whose length is right. */
static inline void
extras_read(const struct opcode *o, const char *p, size_t len, struct command *ret)
{
    switch (o->extras) {
    case EXTRAS_NONE:
        break;
    case EXTRAS_STORE:
        ret->client_flags = u32_read(p);
        ret->exptime = u32_read(p + 4);
        break;
    case EXTRAS_ARITH:
        ret->delta = u64_read(p);
        ret->initial = u64_read(p + 8);
        ret->exptime = u32_read(p + 16);
        ret->has_exptime = ret->exptime != NEVER_CREATE;
        break;
    case EXTRAS_TIME:
    case EXTRAS_FLUSH:
        if (len > 0) {
            ret->exptime = u32_read(p);
            ret->has_exptime = true;
        }
        break;
    }
}

enum binary_result
binary_parse(struct slice in, struct command *ret, size_t *used)
{
    const char *p = in.ptr;

    if (in.len > 0 && (uint8_t)p[0] != BINARY_REQUEST) {
        return BINARY_CLOSE;
    }
    if (in.len < BINARY_HEADER) {
        return BINARY_MORE;
    }
    const struct opcode *o = &opcodes[(uint8_t)p[AT_OPCODE]];
    size_t key_len = u16_read(p + AT_KEY_LEN), extra_len = (uint8_t)p[AT_EXTRA_LEN];
    size_t front = BINARY_HEADER + extra_len + key_len;
    uint32_t body_len = u32_read(p + AT_BODY_LEN);
    bool short_body = body_len < extra_len + key_len;
    bool wrong = body_len > BODY_MAX || key_len > KEY_MAX;

    if (!short_body && !wrong && o->known) {
        wrong = !packet_fits(o, key_len, extra_len, body_len - extra_len - key_len);
        if (!wrong && in.len < front) {
            return BINARY_MORE;
        }
    }
    memset(ret, 0, offsetof(struct command, meta));
    ret->protocol = PROTO_BINARY;
    ret->opcode = (uint8_t)p[AT_OPCODE];
    ret->opaque = u32_read(p + AT_OPAQUE);
    if (short_body) {
        packet_refuse(ret, used, RPL_BIN_UNKNOWN, body_len);
        ret->close_after = true;
        return BINARY_CMD;
    }
    if (wrong) {
        return packet_refuse(ret, used, RPL_BIN_INVALID, body_len);
    }
    if (!o->known) {
        return packet_refuse(ret, used, RPL_BIN_UNKNOWN, body_len);
    }
    ret->op = o->op;
    ret->quiet = o->quiet;
    ret->close_after = o->op == OP_QUIT;
    ret->cas = u64_read(p + AT_CAS);
    ret->has_value = o->has_value;
    ret->value_len = body_len - (uint32_t)(extra_len + key_len);
    extras_read(o, p + BINARY_HEADER, extra_len, ret);
    *(o->op == OP_STATS ? &ret->args : &ret->key) =
        slice_of(p + BINARY_HEADER + extra_len, key_len);
    *used = front;
    return BINARY_CMD;
}

/* -- replies ----------------------------------------------------------------------------------- */

/* The text in the body of a failure. */
static struct slice
status_text(uint16_t status)
{
    switch (status) {
    case 0x01:
        return SLICE("Not found");
    case 0x02:
        return SLICE("Data exists for key.");
    case 0x03:
        return SLICE("Too large.");
    case 0x04:
        return SLICE("Invalid arguments");
    case 0x05:
        return SLICE("Not stored.");
    case 0x06:
        return SLICE("Non-numeric server-side value for incr or decr");
    case 0x20:
        return SLICE("Auth failure.");
    case 0x82:
        return SLICE("Out of memory");
    default:
        return SLICE("Unknown command");
    }
}

/* Writes a header with key and extras empty. */
static inline void
header_write(const struct command *c, char *out, uint16_t status, uint32_t body_len)
{
    memset(out, 0, BINARY_HEADER);
    out[0] = (char)BINARY_RESPONSE;
    out[AT_OPCODE] = (char)c->opcode;
    u16_write(out + AT_STATUS, status);
    u32_write(out + AT_BODY_LEN, body_len);
    u32_write(out + AT_OPAQUE, c->opaque);
}

/* A whole packet with a body of text. */
static size_t
packet_write(const struct command *c, char *out, uint16_t status, struct slice body)
{
    header_write(c, out, status, (uint32_t)body.len);
    if (body.len > 0) {
        memcpy(out + BINARY_HEADER, body.ptr, body.len);
    }
    return BINARY_HEADER + body.len;
}

static inline bool
is_retrieval(const struct command *c)
{
    return c->op == OP_GET || c->op == OP_GAT;
}

/* Header, flags and, where asked for, the key, in front of value_len bytes of value. */
static inline size_t
hit_write(const struct command *c, const struct reply *r, char *out, uint32_t value_len)
{
    size_t key_len = opcodes[c->opcode].echoes ? c->key.len : 0;

    header_write(c, out, 0, (uint32_t)(FLAGS_BYTES + key_len) + value_len);
    u16_write(out + AT_KEY_LEN, (uint16_t)key_len);
    out[AT_EXTRA_LEN] = FLAGS_BYTES;
    u64_write(out + AT_CAS, r->cas);
    u32_write(out + BINARY_HEADER, r->client_flags);
    if (key_len > 0) {
        memcpy(out + BINARY_HEADER + FLAGS_BYTES, c->key.ptr, key_len);
    }
    return BINARY_HEADER + FLAGS_BYTES + key_len;
}

static size_t
failure_write(const struct command *c, char *out, uint16_t status)
{
    bool miss = status == reply_status(RPL_NOT_FOUND);

    if (miss && is_retrieval(c)) {
        if (c->quiet) {
            return 0;
        }
        if (opcodes[c->opcode].echoes) {
            size_t len = packet_write(c, out, status, c->key);

            u16_write(out + AT_KEY_LEN, (uint16_t)c->key.len);
            return len;
        }
    }
    return packet_write(c, out, status, status_text(status));
}

static size_t
success_write(const struct command *c, const struct reply *r, char *out)
{
    if (c->quiet) {
        return 0;
    }
    switch (c->op) {
    case OP_TOUCH:
        return hit_write(c, r, out, 0);
    case OP_VERSION:
        return packet_write(c, out, 0, SLICE(MEMCACHED_VERSION));
    case OP_SASL_AUTH:
    case OP_SASL_STEP:
        return packet_write(c, out, 0, SLICE("Authenticated"));
    case OP_INCR:
    case OP_DECR:
        header_write(c, out, 0, NUMBER_BYTES);
        u64_write(out + AT_CAS, r->cas);
        u64_write(out + BINARY_HEADER, r->number);
        return BINARY_HEADER + NUMBER_BYTES;
    case OP_SET:
    case OP_ADD:
    case OP_REPLACE:
    case OP_APPEND:
    case OP_PREPEND:
        header_write(c, out, 0, 0);
        u64_write(out + AT_CAS, r->cas);
        return BINARY_HEADER;
    default:
        header_write(c, out, 0, 0);
        return BINARY_HEADER;
    }
}

size_t
binary_write_head(const struct command *c, const struct reply *r, char *out)
{
    uint16_t status = reply_status(r->code);

    switch (r->code) {
    case RPL_HIT:
        return hit_write(c, r, out, r->value_len);
    case RPL_NOTHING:
        return 0;
    case RPL_CLOSE:
        return c->op == OP_QUIT ? success_write(c, r, out) : 0;
    case RPL_BLOB:
        if (c->op == OP_STATS) {
            return 0; /* the bytes are packets */
        }
        header_write(c, out, 0, (uint32_t)r->value.len);
        return BINARY_HEADER;
    default:
        return status ? failure_write(c, out, status) : success_write(c, r, out);
    }
}

size_t
binary_write_stat(const struct command *c, struct slice name, struct slice value, char *out)
{
    header_write(c, out, 0, (uint32_t)(name.len + value.len));
    u16_write(out + AT_KEY_LEN, (uint16_t)name.len);
    if (name.len > 0) {
        memcpy(out + BINARY_HEADER, name.ptr, name.len);
    }
    if (value.len > 0) {
        memcpy(out + BINARY_HEADER + name.len, value.ptr, value.len);
    }
    return BINARY_HEADER + name.len + value.len;
}
