#include "proto/meta.h"
#include "base/base64.h"
#include "base/num.h"
#include "proto/emit.h"
#include "proto/token.h"
#include <assert.h>

#define VALUE_LEN_MAX 2147483645 /* bytes that an ms line may announce: 2^31 - 3 */

/* Flags that the answer repeats with what they ask for. */
#define RETURNED (META_BIT('O') | META_BIT('k') | META_BIT('s') | META_BIT('t') | META_BIT('c') | \
                  META_BIT('f') | META_BIT('l') | META_BIT('h'))

static bool
meta_has(const struct command *c, char letter)
{
    return (c->meta.has & META_BIT(letter)) != 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

/*
 * The number behind a flag's letter, or another good one: RPL_OK; else the complaint.  place: of
 * the flag among the others, from 1.
 */
static enum reply_code
meta_argument(char letter, struct slice text, uint8_t place, struct command *c)
{
    struct meta_args *m = &c->meta;
    enum reply_code bad = RPL_META_BAD_TOKEN;
    bool good = true;

    switch (letter) {
    case 't':
        m->at_t = place;
        break;
    case 'T':
        m->at_T = place;
        good = num_parse_i32(text, &m->ttl);
        break;
    case 'N':
        m->at_N = place;
        good = num_parse_i32(text, &m->vivify_ttl);
        break;
    case 'R':
        m->at_R = place;
        good = num_parse_i32(text, &m->recache_ttl);
        break;
    case 'C':
        good = num_parse_u64(text, &c->cas);
        break;
    case 'E':
        good = num_parse_u64(text, &m->new_cas);
        break;
    case 'F':
        good = num_parse_u32(text, &c->client_flags);
        bad = RPL_BAD_FORMAT;
        break;
    case 'J':
        good = num_parse_u64(text, &c->initial);
        bad = RPL_META_BAD_INITIAL;
        break;
    case 'D':
        good = num_parse_u64(text, &c->delta);
        bad = RPL_META_BAD_DELTA;
        break;
    case 'O':
        m->opaque = text;
        break;
    case 'M':
        m->mode = text.len > 0 ? *text.ptr : '\0';
        break;
    default: /* no argument, or one that means nothing */
        break;
    }
    return good ? RPL_OK : bad;
}

/* True for complaints that end the reading of flags; the others are told if none of these comes. */
static bool
meta_is_final(enum reply_code code)
{
    return code == RPL_META_INVALID || code == RPL_META_DUPLICATE;
}

/* One flag; RPL_OK or the complaint. */
static enum reply_code
meta_flag(struct slice token, uint8_t place, struct command *c)
{
    static const uint64_t known =
        RETURNED | META_BIT('b') | META_BIT('v') | META_BIT('u') | META_BIT('q') | META_BIT('x') |
        META_BIT('P') | META_BIT('L') | META_BIT('N') | META_BIT('T') | META_BIT('R') |
        META_BIT('F') | META_BIT('C') | META_BIT('E') | META_BIT('M') | META_BIT('J') |
        META_BIT('D') | META_BIT('I');
    struct meta_args *m = &c->meta;
    char letter = *token.ptr;

    if ((unsigned char)letter >= 0x7f) {
        return RPL_META_DUPLICATE; /* says memcached */
    }
    if (letter < 'A' || letter > 'z' || !(known & META_BIT(letter))) {
        return RPL_META_INVALID;
    }
    if (m->has & META_BIT(letter)) {
        return RPL_META_DUPLICATE;
    }
    m->has |= META_BIT(letter);
    if (RETURNED & META_BIT(letter)) {
        m->returned[m->returned_count++] = letter;
    }
    return meta_argument(letter, slice_from(token, 1), place, c);
}

/* Replaces a base64 key by what it stands for. */
static enum reply_code
meta_decode_key(struct command *c)
{
    size_t len;

    if (!base64_decode(c->key, c->key_room, sizeof c->key_room, &len) || len == 0) {
        return RPL_META_BAD_KEY;
    }
    c->key = slice_of(c->key_room, len);
    c->key_binary = true;
    return RPL_OK;
}

/*
 * What is wrong with the flags; RPL_OK if nothing is.  As in memcached the last complaint is told,
 * but that about F only if it is the only one.
 */
static enum reply_code
meta_flags(struct slice rest, struct command *c)
{
    enum reply_code found = RPL_OK;
    unsigned count = 0;
    struct slice token;

    while ((token = token_next(&rest)).len > 0) {
        if (++count > META_FLAGS_MAX) {
            return RPL_META_MANY_FLAGS;
        }
        if (meta_is_final(found)) {
            continue;
        }
        enum reply_code code = meta_flag(token, (uint8_t)count, c);

        if (code == RPL_OK && *token.ptr == 'b') {
            code = meta_decode_key(c);
        }
        if (code != RPL_OK && (code != RPL_BAD_FORMAT || found == RPL_OK)) {
            found = code;
        }
    }
    return found;
}

/* True if the op knows the mode that M gave. */
static bool
meta_mode_ok(const struct command *c)
{
    const char *modes = c->op == OP_META_SET ? "EAPRS" : "I+D-";

    return c->meta.mode != '\0' && strchr(modes, c->meta.mode) != NULL;
}

/* Flags, then what they say about key and mode. */
static enum reply_code
meta_operands(struct slice rest, struct command *c)
{
    enum reply_code code = meta_flags(rest, c);

    /* memcached has one complaint for nearly all that can be wrong with "ma". */
    if (c->op == OP_META_ARITH && code != RPL_OK && code != RPL_META_MANY_FLAGS) {
        code = RPL_META_ARITH_FLAG;
    }
    if (code == RPL_OK && meta_has(c, 'M')) {
        if (c->op == OP_META_SET && !meta_mode_ok(c)) {
            return RPL_META_SET_MODE;
        }
        if (c->op == OP_META_ARITH && !meta_mode_ok(c)) {
            return RPL_META_ARITH_MODE;
        }
    }
    if (code == RPL_OK && c->meta.opaque.len > OPAQUE_MAX) {
        code = RPL_META_OPAQUE_LONG;
    }
    return code;
}

static enum reply_code
meta_read(struct slice rest, struct command *c)
{
    struct slice bytes;
    uint32_t value_len;

    if (c->op == OP_META_NOOP) {
        return RPL_OK;
    }
    c->key = token_key(&rest);
    c->meta.key_sent = c->key;
    if (c->op == OP_META_SET) {
        bytes = token_next(&rest);
        if (!num_parse_u32(bytes, &value_len) || value_len > VALUE_LEN_MAX) {
            return RPL_BAD_FORMAT;
        }
        c->has_value = true;
        c->value_len = value_len;
    }
    if (c->key.len == 0 || c->key.len > KEY_MAX) {
        return RPL_BAD_FORMAT;
    }
    if (c->op == OP_META_DEBUG) {
        bool good = !slice_is(token_next(&rest), "b") || meta_decode_key(c) == RPL_OK;

        return good ? RPL_OK : RPL_BAD_FORMAT;
    }
    return meta_operands(rest, c);
}

/* In two pieces, as text.c has it and for the same reason. */
static inline void
meta_reset(struct meta_args *m)
{
    _Static_assert(sizeof *m > 64 && sizeof *m <= 128, "the pieces fit");
    memset(m, 0, 64);
    memset((char *)m + 64, 0, sizeof *m - 64);
}

void
meta_parse(struct slice rest, struct command *ret)
{
    enum reply_code code;

    meta_reset(&ret->meta);
    ret->protocol = PROTO_META;
    if (ret->op == OP_META_ARITH) {
        ret->delta = 1;
    }
    code = meta_read(rest, ret);
    ret->quiet = meta_has(ret, 'q');
    ret->exptime = ret->meta.ttl;
    ret->has_exptime = meta_has(ret, 'T');
    if (code != RPL_OK) {
        ret->op = OP_ERROR;
        ret->error = code;
    }
}

/* -- writing ----------------------------------------------------------------------------------- */

bool
meta_key_plain(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/*
 * An item that was stored under a base64 key says so whatever the request looked like; without an
 * item the request's own form is repeated.  A key of the binary protocol may hold line ends: who
 * asks for it in base64 gets it so.
 */
static char *
meta_emit_key(char *p, const struct command *c, const struct reply *r)
{
    bool encode = r->has_item && (r->key_binary || (c->key_binary && !meta_key_plain(c->key)));
    size_t len;

    *p++ = 'k';
    if (encode) {
        bool fits = base64_encode(c->key, p, BASE64_TEXT_LEN(KEY_MAX), &len);

        assert(fits);
        p += len;
    } else if (r->has_item) {
        p = emit_slice(p, c->key);
    } else {
        encode = c->key_binary;
        p = emit_slice(p, c->meta.key_sent);
    }
    return encode ? EMIT(p, " b") : p;
}

/* The letters that this command returns when an item was there. */
static uint64_t
meta_returns(const struct command *c)
{
    switch (c->op) {
    case OP_META_GET:
        return RETURNED;
    case OP_META_ARITH:
        return META_BIT('t') | META_BIT('c');
    default:
        return 0;
    }
}

/* One return flag of an item. */
static char *
meta_emit_field(char *p, char letter, const struct reply *r)
{
    *p++ = ' ';
    *p++ = letter;
    switch (letter) {
    case 's':
        return emit_u64(p, r->value_len);
    case 't':
        return emit_i64(p, r->ttl);
    case 'c':
        return emit_u64(p, r->cas);
    case 'f':
        return emit_u64(p, r->client_flags);
    case 'l':
        return emit_u64(p, r->idle);
    default:
        assert(letter == 'h');
        *p++ = r->fetched ? '1' : '0';
        return p;
    }
}

/* ms answers these two whatever came of it: the number of what it stored, and its size. */
static char *
meta_emit_set_field(char *p, char letter, const struct command *c, const struct reply *r)
{
    *p++ = ' ';
    *p++ = letter;
    if (letter == 'c') {
        return emit_u64(p, r->code == RPL_STORED ? r->cas : 0);
    }
    return emit_u64(p, r->has_item ? r->value_len : c->value_len);
}

static char *
meta_emit_flags(char *p, const struct command *c, const struct reply *r)
{
    const uint64_t item = r->has_item ? meta_returns(c) : 0;

    for (unsigned i = 0; i < c->meta.returned_count; i++) {
        char letter = c->meta.returned[i];

        if (letter == 'k') {
            *p++ = ' ';
            p = meta_emit_key(p, c, r);
        } else if (letter == 'O') {
            p = EMIT(p, " O");
            p = emit_slice(p, c->meta.opaque);
        } else if (c->op == OP_META_SET && (letter == 'c' || letter == 's')) {
            p = meta_emit_set_field(p, letter, c, r);
        } else if (item & META_BIT(letter)) {
            p = meta_emit_field(p, letter, r);
        }
    }
    return p;
}

/* Stale, and who is to bring a new value. */
static char *
meta_emit_state(char *p, const struct reply *r)
{
    if (r->sent) {
        p = EMIT(p, " Z");
    }
    if (r->stale) {
        p = EMIT(p, " X");
    }
    if (r->won) {
        p = EMIT(p, " W");
    }
    return p;
}

/* True if "q" keeps this outcome from the client. */
static bool
meta_hides(const struct command *c, enum reply_code code)
{
    switch (c->op) {
    case OP_META_GET:
        return code == RPL_MISS;
    case OP_META_SET:
        return code == RPL_STORED || code == RPL_DONE;
    case OP_META_DELETE:
        return code == RPL_DELETED || code == RPL_DONE;
    case OP_META_ARITH:
        return code == RPL_NUMBER || code == RPL_DONE || code == RPL_STORED;
    default:
        return false;
    }
}

size_t
meta_write_head(const struct command *c, const struct reply *r, char *out)
{
    const char *word = reply_meta(r->code);
    char digits[NUM_PRINT_MAX];
    size_t digits_len = 0;
    char *p = out;

    assert(c->protocol == PROTO_META);
    if (r->code == RPL_BLOB || r->code == RPL_CLOSE || r->code == RPL_NOTHING) {
        return 0;
    }
    if (!word || c->op == OP_ERROR) {
        assert(reply_text(r->code));
        return (size_t)(emit_line(p, reply_text(r->code)) - out);
    }
    if (c->quiet && meta_hides(c, r->code)) {
        return 0;
    }
    if (r->code == RPL_NUMBER && !meta_has(c, 'v')) {
        word = "HD";
    }
    p = emit_bytes(p, word, 2);
    if (r->code == RPL_HIT) {
        *p++ = ' ';
        p = emit_u64(p, r->value_len);
    } else if (word[0] == 'V') {
        digits_len = num_print_u64(digits, r->number);
        *p++ = ' ';
        p = emit_u64(p, digits_len);
    }
    p = meta_emit_flags(p, c, r);
    if (c->op == OP_META_GET) {
        p = meta_emit_state(p, r);
    }
    p = EMIT(p, "\r\n");
    if (digits_len > 0) {
        p = emit_bytes(p, digits, digits_len);
        p = EMIT(p, "\r\n");
    }
    return (size_t)(p - out);
}

size_t
meta_write_tail(const struct command *c, const struct reply *r, char *out)
{
    (void)c;
    (void)r;
    return (size_t)(EMIT(out, "\r\n") - out);
}
