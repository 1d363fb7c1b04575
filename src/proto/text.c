#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "proto/text.h"
#include "base/num.h"
#include "proto/emit.h"
#include "proto/meta.h"
#include "proto/token.h"
#include <assert.h>

#define LINE_MIN      4          /* bytes with the line end; memcached takes nothing shorter */
#define BLANKS_MAX    100        /* leading blanks that a long get line may have */
#define VALUE_LEN_MAX 2147483645 /* bytes that a storage line may announce: 2^31 - 3 */

/* -- words ------------------------------------------------------------------------------------- */

/* True if the line starts with the literal. */
#define STARTS(line, literal) \
    ((line).len >= sizeof(literal) - 1 && memcmp((line).ptr, (literal), sizeof(literal) - 1) == 0)

/*
 * Zeroes all that every command has.  In three pieces, because each of them becomes a few stores;
 * of the whole, gcc makes a "rep stos" that takes longer than finding the line end.
 */
static inline void
text_reset(struct command *c)
{
    char *p = (char *)c;

    _Static_assert(offsetof(struct command, meta) > 128 && offsetof(struct command, meta) <= 192,
                   "the pieces fit");
    memset(p, 0, 64);
    memset(p + 64, 0, 64);
    memset(p + 128, 0, offsetof(struct command, meta) - 128);
}

static void
text_fail(struct command *c, enum reply_code code)
{
    c->op = OP_ERROR;
    c->error = code;
}

/* Cuts "noreply" off if that is the last word. */
static bool
text_cut_noreply(struct slice *rest)
{
    static const char word[] = "noreply";
    const size_t n = sizeof word - 1;

    while (rest->len > 0 && rest->ptr[rest->len - 1] == ' ') {
        rest->len--;
    }
    if (rest->len < n || memcmp(rest->ptr + rest->len - n, word, n) != 0 ||
        (rest->len > n && rest->ptr[rest->len - n - 1] != ' ')) {
        return false;
    }
    rest->len -= n;
    return true;
}

static bool
text_key_ok(struct slice key)
{
    return key.len - 1 < KEY_MAX; /* an empty one wraps */
}

/* -- retrieval --------------------------------------------------------------------------------- */

/* Hands out the next key of a line that was validated. */
static void
text_next_key(struct text_parser *p, struct slice in, struct command *ret, size_t *used)
{
    struct slice rest = slice_of(in.ptr, p->keys_len);

    assert(p->keys_len < in.len);
    text_reset(ret);
    ret->op = p->op;
    ret->protocol = PROTO_TEXT;
    ret->exptime = p->exptime;
    ret->has_exptime = p->op == OP_GAT || p->op == OP_GATS;
    ret->key = token_key(&rest);
    assert(text_key_ok(ret->key));
    token_skip(&rest);
    if (rest.len > 0) {
        *used = p->keys_len - rest.len;
        p->keys_len = rest.len;
        return;
    }
    *used = p->keys_len + (in.ptr[p->keys_len] == '\r' ? 2 : 1);
    ret->last = true;
    p->in_keys = false;
}

/* True if all words of the line are keys. */
static bool
text_keys_ok(struct slice rest)
{
    while (rest.len > 0) {
        if (!text_key_ok(token_key(&rest))) {
            return false;
        }
        token_skip(&rest);
    }
    return true;
}

/* A get: rest is what stands behind its word. */
static void
text_retrieve(struct text_parser *p, struct slice rest, struct command *c)
{
    c->key = token_key(&rest);
    token_skip(&rest);
    if (!text_key_ok(c->key) || !text_keys_ok(rest)) {
        text_fail(c, RPL_BAD_FORMAT);
        return;
    }
    if (rest.len == 0) {
        c->last = true;
        return;
    }
    p->in_keys = true;
    p->op = c->op;
    p->exptime = c->exptime;
    p->keys_len = rest.len;
}

static void
text_retrieve_touch(struct text_parser *p, struct slice rest, struct command *c)
{
    struct slice exptime = token_next(&rest);
    int32_t seconds;

    token_skip(&rest);
    if (rest.len == 0) {
        text_fail(c, RPL_BAD_FORMAT);
        return;
    }
    if (!num_parse_i32(exptime, &seconds)) {
        text_fail(c, RPL_BAD_EXPTIME);
        return;
    }
    c->exptime = seconds;
    c->has_exptime = true;
    text_retrieve(p, rest, c);
}

/* -- storage ----------------------------------------------------------------------------------- */

/* As num_parse_i64(), but what has no room in 32 bits is gone already, as in memcached. */
static bool
text_exptime(struct slice text, int64_t *ret)
{
    if (!num_parse_i64(text, ret)) {
        return false;
    }
    if (*ret > INT32_MAX) {
        *ret = -1;
    }
    return true;
}

/*
 * Once the length of the data is known, a bad line swallows it: taken for commands it would answer
 * with one error more than there were commands.
 */
static void
text_store(struct slice rest, struct command *c)
{
    struct slice flags, exptime, bytes, unique = { 0 };
    uint32_t value_len;
    bool good;

    c->key = token_key(&rest);
    c->quiet = text_cut_noreply(&rest);
    flags = token_next(&rest);
    exptime = token_next(&rest);
    bytes = token_next(&rest);
    if (c->op == OP_CAS) {
        unique = token_next(&rest);
    }
    if (!num_parse_u32(bytes, &value_len) || value_len > VALUE_LEN_MAX) {
        text_fail(c, RPL_BAD_FORMAT);
        c->quiet = false; /* memcached looks for "noreply" only in a line that it can follow */
        return;
    }
    c->has_value = true;
    c->value_len = value_len;
    good = text_key_ok(c->key) && num_parse_u32(flags, &c->client_flags) &&
           text_exptime(exptime, &c->exptime) &&
           (c->op != OP_CAS || num_parse_u64(unique, &c->cas));
    if (!good) {
        text_fail(c, RPL_BAD_FORMAT);
    }
}

/* -- one key ----------------------------------------------------------------------------------- */

/* Old clients send "delete key 0": a time to stay away, which no memcached has had for ages. */
static void
text_delete(struct slice rest, struct command *c)
{
    struct slice time;

    c->key = token_key(&rest);
    c->quiet = text_cut_noreply(&rest);
    time = token_next(&rest);
    token_skip(&rest);
    if ((time.len > 0 && !slice_is(time, "0")) || rest.len > 0) {
        text_fail(c, RPL_BAD_DELETE);
    } else if (!text_key_ok(c->key)) {
        text_fail(c, RPL_BAD_FORMAT);
    }
}

/* Key and one number: incr, decr, touch. */
static void
text_modify(struct slice rest, struct command *c)
{
    struct slice number;
    int32_t seconds;

    c->key = token_key(&rest);
    c->quiet = text_cut_noreply(&rest);
    number = token_next(&rest);
    if (!text_key_ok(c->key) || number.len == 0) {
        text_fail(c, RPL_BAD_FORMAT);
    } else if (c->op != OP_TOUCH) {
        if (!num_parse_u64(number, &c->delta)) {
            text_fail(c, RPL_BAD_DELTA);
        }
    } else if (num_parse_i32(number, &seconds)) {
        c->exptime = seconds;
        c->has_exptime = true;
    } else {
        text_fail(c, RPL_BAD_EXPTIME);
    }
}

/* -- the rest ---------------------------------------------------------------------------------- */

static void
text_flush(struct slice rest, struct command *c)
{
    struct slice exptime;
    int32_t seconds;

    c->quiet = text_cut_noreply(&rest);
    exptime = token_next(&rest);
    if (exptime.len == 0) {
        return;
    }
    if (!num_parse_i32(exptime, &seconds)) {
        c->error = RPL_BAD_EXPTIME; /* the command counts, and -F refuses it first */
        return;
    }
    c->exptime = seconds;
    c->has_exptime = true;
}

/* A number: verbosity, cache_memlimit.  otherwise: the answer to a word that is none. */
static void
text_tune(struct slice rest, struct command *c, enum reply_code otherwise)
{
    struct slice number;

    c->quiet = text_cut_noreply(&rest);
    number = token_next(&rest);
    if (number.len == 0) {
        text_fail(c, RPL_BAD_FORMAT);
    } else if (!num_parse_u64(number, &c->delta)) {
        text_fail(c, otherwise);
    }
}

/* The command of a word, or OP_ERROR. */
static enum op
text_op(struct slice word)
{
    static const char *const words[OPS] = {
#define COMMAND(id, word, ...) [OP_##id] = word,
#include "vocab/commands.def"
    };

    for (unsigned i = 0; i < OPS; i++) {
        if (words[i] && word.len > 0 && words[i][0] == word.ptr[0] && slice_is(word, words[i])) {
            return (enum op)i;
        }
    }
    return OP_ERROR;
}

/* True for the first line of an HTTP request: nobody is to read our errors as an answer to it. */
static bool
text_is_http(struct slice line)
{
    size_t at;

    while (line.len > 0 && line.ptr[line.len - 1] == ' ') {
        line.len--;
    }
    for (at = line.len; at > 0 && line.ptr[at - 1] != ' '; at--) {
    }
    line = slice_from(line, at);
    return STARTS(line, "HTTP/");
}

/* Everything behind the word of a command that is set already. */
static void
text_operands(struct text_parser *p, struct slice rest, struct command *c)
{
    switch (op_kind(c->op)) {
    case KIND_RETRIEVE:
        if (c->op == OP_GAT || c->op == OP_GATS) {
            text_retrieve_touch(p, rest, c);
        } else {
            text_retrieve(p, rest, c);
        }
        return;
    case KIND_STORE:
        text_store(rest, c);
        return;
    case KIND_MODIFY:
        if (c->op == OP_DELETE) {
            text_delete(rest, c);
        } else {
            text_modify(rest, c);
        }
        return;
    case KIND_META:
        meta_parse(rest, c);
        return;
    case KIND_ADMIN:
        break;
    }
    token_skip(&rest);
    c->args = rest;
    if (c->op == OP_FLUSH_ALL) {
        text_flush(rest, c);
    } else if (c->op == OP_VERBOSITY) {
        text_tune(rest, c, RPL_BAD_FORMAT);
    } else if (c->op == OP_CACHE_MEMLIMIT) {
        text_tune(rest, c, RPL_ERROR);
    } else if (c->op == OP_LRU || (c->op == OP_SLABS && STARTS(rest, "automove "))) {
        /* "slabs reassign" has no noreply: it is a word too many, and told so. */
        c->quiet = text_cut_noreply(&c->args);
    } else if (c->op == OP_WATCH) {
        c->quiet = text_cut_noreply(&rest); /* and the word is none of a stream: silence */
    }
}

/* The command that a line starts with, cut off it, if it is one that comes often; else OP_ERROR. */
static inline enum op
text_op_of_many(struct slice *line)
{
#define TRY(literal, id)                              \
    if (STARTS(*line, literal)) {                     \
        *line = slice_from(*line, sizeof literal - 1); \
        return id;                                    \
    }
    TRY("get ", OP_GET)
    TRY("mg ", OP_META_GET)
    TRY("set ", OP_SET)
    TRY("gets ", OP_GETS)
    TRY("ms ", OP_META_SET)
    TRY("incr ", OP_INCR)
    TRY("delete ", OP_DELETE)
    TRY("add ", OP_ADD)
    TRY("cas ", OP_CAS)
    TRY("decr ", OP_DECR)
    TRY("touch ", OP_TOUCH)
    TRY("gat ", OP_GAT)
    TRY("md ", OP_META_DELETE)
    TRY("ma ", OP_META_ARITH)
#undef TRY
    return OP_ERROR;
}

/* A whole line without its end. */
static enum text_result
text_line(struct text_parser *p, struct slice line, struct command *c)
{
    struct slice rest = line;

    c->op = text_op_of_many(&rest);
    if (c->op == OP_GET) {
        text_retrieve(p, rest, c);
        return TEXT_CMD;
    }
    if (c->op != OP_ERROR) {
        text_operands(p, rest, c);
        return TEXT_CMD;
    }
    if (line.len > 0 && *line.ptr == ' ') {
        text_fail(c, RPL_ERROR);
        return TEXT_CMD;
    }
    c->op = text_op(token_next(&rest));
    if (c->op != OP_ERROR) {
        text_operands(p, rest, c);
        return TEXT_CMD;
    }
    text_fail(c, RPL_ERROR);
    return text_is_http(line) ? TEXT_CLOSE : TEXT_CMD;
}

/* -- lines ------------------------------------------------------------------------------------- */

/* A get line of GET_LINE_MAX or more. */
static enum text_result
text_too_long(struct slice in, struct command *ret, size_t *used)
{
    text_reset(ret);
    text_fail(ret, RPL_LINE_TOO_LONG);
    ret->close_after = true;
    *used = in.len;
    return TEXT_CMD;
}

/* There is no line end in sight. */
static enum text_result
text_unfinished(struct text_parser *p, struct slice in, struct command *ret, size_t *used)
{
    struct slice line = in;

    p->line_seen = in.len;
    if (in.len <= LINE_MAX_BYTES) {
        return TEXT_MORE;
    }
    token_skip(&line);
    if (in.len - line.len > BLANKS_MAX || !(STARTS(line, "get ") || STARTS(line, "gets "))) {
        return TEXT_CLOSE;
    }
    return in.len < GET_LINE_MAX ? TEXT_MORE : text_too_long(in, ret, used);
}

enum text_result
text_parse(struct text_parser *p, struct slice in, struct command *ret, size_t *used)
{
    const char *end = NULL;
    enum text_result result;
    struct slice line;

    if (p->in_keys) {
        text_next_key(p, in, ret, used);
        return TEXT_CMD;
    }
    assert(p->line_seen <= in.len);
    if (p->line_seen < in.len) {
        end = memchr(in.ptr + p->line_seen, '\n', in.len - p->line_seen);
    }
    if (!end) {
        return text_unfinished(p, in, ret, used);
    }
    p->line_seen = 0;
    line = slice_of(in.ptr, (size_t)(end - in.ptr));
    if (line.len >= GET_LINE_MAX) {
        return text_too_long(in, ret, used);
    }
    text_reset(ret);
    ret->protocol = PROTO_TEXT;
    if (line.len + 1 < LINE_MIN) {
        text_fail(ret, RPL_BAD_FORMAT);
        *used = line.len + 1;
        return TEXT_CMD;
    }
    *used = line.len + 1;
    if (line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    result = text_line(p, line, ret);
    if (p->in_keys) {
        *used = line.len - p->keys_len;
    }
    return result;
}

/* -- replies ----------------------------------------------------------------------------------- */

static char *
text_write_value(char *p, const struct command *c, const struct reply *r)
{
    p = EMIT(p, "VALUE ");
    p = emit_slice(p, c->key);
    *p++ = ' ';
    p = emit_u64(p, r->client_flags);
    *p++ = ' ';
    p = emit_u64(p, r->value_len);
    if (c->op == OP_GETS || c->op == OP_GATS) {
        *p++ = ' ';
        p = emit_u64(p, r->cas);
    }
    return EMIT(p, "\r\n");
}

size_t
text_write_head(const struct command *c, const struct reply *r, char *out)
{
    char *p = out;

    assert(c->protocol == PROTO_TEXT);
    if (c->quiet) {
        return 0;
    }
    switch (r->code) {
    case RPL_HIT:
        p = text_write_value(p, c, r);
        break;
    case RPL_MISS:
        if (c->last) {
            p = EMIT(p, "END\r\n");
        }
        break;
    case RPL_STORED: /* the most frequent of those below */
        p = EMIT(p, "STORED\r\n");
        break;
    case RPL_NUMBER:
        p = emit_u64(p, r->number);
        p = EMIT(p, "\r\n");
        break;
    case RPL_VERSION:
        p = emit_line(p, "VERSION " MEMCACHED_VERSION);
        break;
    case RPL_BLOB:
    case RPL_CLOSE:
    case RPL_NOTHING:
        break;
    default:
        assert(reply_text(r->code));
        p = emit_line(p, reply_text(r->code));
        break;
    }
    return (size_t)(p - out);
}

size_t
text_write_tail(const struct command *c, const struct reply *r, char *out)
{
    char *p = EMIT(out, "\r\n");

    (void)r;
    if (c->last) {
        p = EMIT(p, "END\r\n");
    }
    return (size_t)(p - out);
}
