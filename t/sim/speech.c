#include "speech.h"
#include "world.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BINARY_HEADER 24u

/* -- asking: text and meta --------------------------------------------------------------------- */

static const char *const store_word[ACTS] = {
    [ACT_SET] = "set",       [ACT_ADD] = "add",         [ACT_REPLACE] = "replace",
    [ACT_APPEND] = "append", [ACT_PREPEND] = "prepend", [ACT_CAS] = "cas",
};
static const char store_mode[ACTS] = {
    [ACT_SET] = 'S',    [ACT_ADD] = 'E',     [ACT_REPLACE] = 'R',
    [ACT_APPEND] = 'A', [ACT_PREPEND] = 'P', [ACT_CAS] = 'S',
};

static void
write_value(const struct deed *o, uint32_t number, struct buf *out)
{
    world_need(buf_reserve(out, o->length + 32));
    out->len += value_write(o, number, out->ptr + out->len);
}

static void
write_text(const struct deed *o, uint32_t number, struct buf *out, const char *tail)
{
    bool ok = true;

    switch (o->act) {
    case ACT_GET:
        ok = buf_printf(out, "get k%u\r\n", o->key);
        break;
    case ACT_GETS:
        ok = buf_printf(out, "gets k%u\r\n", o->key);
        break;
    case ACT_GAT:
        ok = buf_printf(out, "gats 0 k%u\r\n", o->key);
        break;
    case ACT_TOUCH:
        ok = buf_printf(out, "touch k%u 0%s\r\n", o->key, tail);
        break;
    case ACT_FLUSH:
        ok = buf_printf(out, "flush_all%s\r\n", tail);
        break;
    case ACT_DELETE:
        ok = buf_printf(out, "delete k%u%s\r\n", o->key, tail);
        break;
    case ACT_INCR:
        ok = buf_printf(out, "incr k%u %" PRIu64 "%s\r\n", o->key, o->delta, tail);
        break;
    default:
        ok = buf_printf(out, "%s k%u 0 0 %u", store_word[o->act], o->key, o->length);
        if (ok && o->act == ACT_CAS) {
            ok = buf_printf(out, " %" PRIu64, o->token);
        }
        world_need(ok && buf_printf(out, "%s\r\n", tail));
        write_value(o, number, out);
        ok = buf_add(out, "\r\n", 2);
        break;
    }
    world_need(ok);
}

static void
write_meta(const struct deed *o, uint32_t number, struct buf *out, const char *tail)
{
    bool ok = true;

    switch (o->act) {
    case ACT_GET:
        ok = buf_printf(out, "mg k%u v O%u%s\r\n", o->key, number, tail);
        break;
    case ACT_GETS:
        ok = buf_printf(out, "mg k%u v c O%u%s\r\n", o->key, number, tail);
        break;
    case ACT_GAT:
        ok = buf_printf(out, "mg k%u O%u c T0 v\r\n", o->key, number);
        break;
    case ACT_TOUCH:
        ok = buf_printf(out, "mg k%u T0 O%u\r\n", o->key, number);
        break;
    case ACT_FLUSH:
        ok = buf_printf(out, "flush_all\r\n");
        break;
    case ACT_DELETE:
        ok = buf_printf(out, "md k%u O%u\r\n", o->key, number);
        break;
    case ACT_INCR:
        ok = buf_printf(out, "ma k%u v D%" PRIu64 " O%u\r\n", o->key, o->delta, number);
        break;
    default:
        ok = buf_printf(out, "ms k%u %u M%c O%u", o->key, o->length, store_mode[o->act], number);
        if (ok && o->act == ACT_CAS) {
            ok = buf_printf(out, " C%" PRIu64, o->token);
        }
        world_need(ok && buf_add(out, "\r\n", 2));
        write_value(o, number, out);
        ok = buf_add(out, "\r\n", 2);
        break;
    }
    world_need(ok);
}

bool
speech_is_silent(const struct deed *o)
{
    return (o->act >= ACT_SET && o->act != ACT_FLUSH) || o->act == ACT_TOUCH;
}

void
speech_write_silent(const struct history *h, uint32_t number, struct buf *out)
{
    write_text(&h->op[number], number, out, " noreply");
}

/* -- asking: binary ---------------------------------------------------------------------------- */

enum {
    BIN_GET = 0,
    BIN_SET,
    BIN_ADD,
    BIN_REPLACE,
    BIN_DELETE,
    BIN_INCR,
    BIN_FLUSH = 0x08,
    BIN_NOOP = 0x0a,
    BIN_GETKQ = 0x0d,
    BIN_APPEND,
    BIN_PREPEND,
    BIN_TOUCH = 0x1c,
    BIN_GAT = 0x1d
};

static const uint8_t binary_opcode[ACTS] = {
    [ACT_GET] = BIN_GET,         [ACT_GETS] = BIN_GET,      [ACT_GAT] = BIN_GAT,
    [ACT_TOUCH] = BIN_TOUCH,     [ACT_SET] = BIN_SET,       [ACT_ADD] = BIN_ADD,
    [ACT_REPLACE] = BIN_REPLACE, [ACT_APPEND] = BIN_APPEND, [ACT_PREPEND] = BIN_PREPEND,
    [ACT_CAS] = BIN_SET,         [ACT_DELETE] = BIN_DELETE, [ACT_INCR] = BIN_INCR,
    [ACT_FLUSH] = BIN_FLUSH,
};

static void
put(struct buf *b, uint64_t n, int bytes)
{
    while (bytes-- > 0) {
        char c = (char)(n >> (8 * bytes));

        world_need(buf_add(b, &c, 1));
    }
}

static uint64_t
take(const char *at, int bytes)
{
    uint64_t n = 0;

    while (bytes-- > 0) {
        n = n << 8 | (uint8_t)*at++;
    }
    return n;
}

static void
write_binary(const struct deed *o, uint32_t number, uint8_t opcode, struct buf *out)
{
    bool stores = store_word[o->act] != NULL;
    size_t extras = o->act == ACT_INCR                                        ? 20
                    : o->act == ACT_GAT || o->act == ACT_TOUCH                ? 4
                    : stores && o->act != ACT_APPEND && o->act != ACT_PREPEND ? 8
                                                                              : 0;
    char key[16];
    size_t key_len =
        opcode == BIN_NOOP || opcode == BIN_FLUSH ? 0 : (size_t)sprintf(key, "k%u", o->key);
    size_t value = stores ? o->length : 0;

    extras = opcode == BIN_NOOP ? 0 : extras;
    put(out, 0x80, 1);
    put(out, opcode, 1);
    put(out, key_len, 2);
    put(out, extras, 1);
    put(out, 0, 3);
    put(out, extras + key_len + value, 4);
    put(out, number, 4);
    put(out, o->act == ACT_CAS ? o->token : 0, 8);
    if (o->act == ACT_INCR) {
        put(out, o->delta, 8);
        put(out, 0, 8);
        put(out, UINT32_MAX, 4); /* do not create it */
    } else {
        put(out, 0, (int)extras);
    }
    world_need(buf_add(out, key, key_len));
    if (stores) {
        write_value(o, number, out);
    }
}

/* -- asking: all ------------------------------------------------------------------------------- */

static void
write_many(enum user_speaks speaks, const struct history *h, const struct ask *a, struct buf *out)
{
    static const struct deed noop;

    if (speaks == USER_TEXT) {
        world_need(buf_printf(out, "get"));
    }
    for (uint32_t i = a->first; i < a->first + a->count; i++) {
        if (speaks == USER_TEXT) {
            world_need(buf_printf(out, " k%u", h->op[i].key));
        } else if (speaks == USER_META) {
            write_meta(&h->op[i], i, out, " q");
        } else {
            write_binary(&h->op[i], i, BIN_GETKQ, out);
        }
    }
    if (speaks == USER_TEXT) {
        world_need(buf_printf(out, "\r\n"));
    } else if (speaks == USER_META) {
        world_need(buf_printf(out, "mn\r\n"));
    } else {
        write_binary(&noop, 0, BIN_NOOP, out);
    }
}

void
speech_write(enum user_speaks speaks, const struct history *h, const struct ask *a, struct buf *out)
{
    const struct deed *o = &h->op[a->first];

    if (a->form != ASK_ONE) {
        write_many(speaks, h, a, out);
    } else if (speaks == USER_TEXT) {
        write_text(o, a->first, out, "");
    } else if (speaks == USER_META) {
        write_meta(o, a->first, out, "");
    } else {
        write_binary(o, a->first, binary_opcode[o->act], out);
    }
}

/* -- hearing ----------------------------------------------------------------------------------- */

static void __attribute__((noreturn, format(printf, 4, 5)))
speech_fail(const struct speech *s, uint32_t number, struct slice in, const char *fmt, ...)
{
    const struct deed *o = &s->history->op[number];
    char why[200];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    world_fail(s->world, "user %u at node %u, operation %u (act %d, key k%u): %s\nheard: %.*s",
               s->user, o->host, number, (int)o->act, o->key, why,
               (int)(in.len < 300 ? in.len : 300), in.ptr);
}

static void
speech_end(struct speech *s, uint32_t number, enum done done, struct slice in)
{
    struct deed *o = &s->history->op[number];

    if (o->done != DONE_PENDING) {
        speech_fail(s, number, in, "a second answer");
    }
    if (done == DONE_UNKNOWN) {
        s->errors++;
        if (s->strict) {
            speech_fail(s, number, in, "an error");
        }
    }
    history_end(s->history, number, done);
}

/* The value of a read came, with a cas unique or 0. */
static void
speech_value(struct speech *s, uint32_t number, struct slice value, uint64_t token, struct slice in)
{
    struct deed *o = &s->history->op[number];
    const char *why = NULL;

    if (!value_read(s->history, o->key, value, &o->got, &o->newest, &why)) {
        speech_fail(s, number, in, "%s", why);
    }
    o->token = token;
    if (token && key_class(o->key) != KEY_COUNTER) {
        s->known[o->key] = (struct known){ token, o->got };
    }
    speech_end(s, number, DONE_OK, in);
}

/* The length of the line at the front without its end; false: it is not all there. */
static bool
line_read(struct slice in, struct slice *line)
{
    const char *end = in.len > 0 ? memchr(in.ptr, '\n', in.len) : NULL;

    if (!end || end == in.ptr || end[-1] != '\r') {
        return false;
    }
    *line = slice_of(in.ptr, (size_t)(end - in.ptr) - 1);
    return true;
}

static bool
line_starts(struct slice line, const char *word)
{
    return line.len >= strlen(word) && memcmp(line.ptr, word, strlen(word)) == 0;
}

/* The next word of a line, or an empty slice. */
static struct slice
word_take(struct slice *line)
{
    struct slice w;
    size_t n = 0;

    while (line->len > 0 && line->ptr[0] == ' ') {
        *line = slice_from(*line, 1);
    }
    while (n < line->len && line->ptr[n] != ' ') {
        n++;
    }
    w = slice_of(line->ptr, n);
    *line = slice_from(*line, n);
    return w;
}

static uint64_t
word_number(struct slice w)
{
    char room[32] = "";

    memcpy(room, w.ptr, w.len < 31 ? w.len : 31);
    return strtoull(room, NULL, 10);
}

static bool
line_is_error(struct slice line)
{
    return line_starts(line, "SERVER_ERROR");
}

/* What an answer without a value means. */
static bool
line_done(const struct deed *o, struct slice line, enum done *ret)
{
    static const struct {
        const char *word;
        enum done done;
    } table[] = {
        { "STORED", DONE_OK },      { "DELETED", DONE_OK },
        { "TOUCHED", DONE_OK },     { "HD", DONE_OK },
        { "NOT_FOUND", DONE_MISS }, { "NF", DONE_MISS },
        { "EN", DONE_MISS },        { "NOT_STORED", DONE_NOT_STORED },
        { "NS", DONE_NOT_STORED },  { "EXISTS", DONE_EXISTS },
        { "EX", DONE_EXISTS },
    };
    struct slice rest = line, word = word_take(&rest);

    if (line_is_error(line)) {
        *ret = DONE_UNKNOWN;
        return true;
    }
    if (o->act == ACT_FLUSH) {
        *ret = DONE_OK;
        return slice_is(line, "OK");
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (slice_is(word, table[i].word)) {
            *ret = table[i].done;
            return *ret != DONE_EXISTS || o->act == ACT_CAS;
        }
    }
    return false;
}

/* "VALUE key flags length[ cas]", the value, for number.  Returns the bytes; 0: not all there. */
static size_t
read_text_value(struct speech *s, uint32_t number, struct slice line, struct slice in)
{
    struct slice rest = slice_from(line, 5), key, length;
    char want[16];
    size_t n, head = line.len + 2;
    uint64_t token;

    key = word_take(&rest);
    (void)word_take(&rest);
    length = word_take(&rest);
    n = (size_t)word_number(length);
    token = word_number(word_take(&rest));
    snprintf(want, sizeof want, "k%u", s->history->op[number].key);
    if (!slice_is(key, want)) {
        speech_fail(s, number, in, "the value of another key");
    }
    if (in.len < head + n + 2) {
        return 0;
    }
    if (memcmp(in.ptr + head + n, "\r\n", 2) != 0) {
        size_t good = value_good(s->history, slice_of(in.ptr + head, in.len - head));

        speech_fail(s, number, slice_from(in, head + good),
                    "a value of %zu bytes of which %zu are right, and no end behind it", n, good);
    }
    speech_value(s, number, slice_of(in.ptr + head, n), token, in);
    return head + n + 2;
}

static bool
line_is_key(struct slice line, unsigned key)
{
    char want[16];

    snprintf(want, sizeof want, "k%u", key);
    (void)word_take(&line);
    return slice_is(word_take(&line), want);
}

/* A text retrieval: values in the order of the keys, then END. */
static size_t
read_text_get(struct speech *s, struct ask *a, struct slice in)
{
    struct slice line, left = in;
    uint32_t end = a->first + a->count, at = a->first;
    enum done silence;

    /* Nothing is ended until everything is there: a look first. */
    for (bool over = false; !over;) {
        struct slice rest;
        size_t n;

        if (!line_read(left, &line)) {
            return 0;
        }
        over = !line_starts(line, "VALUE ");
        n = line.len + 2;
        if (!over) {
            rest = slice_from(line, 6);
            (void)word_take(&rest);
            (void)word_take(&rest);
            n += (size_t)word_number(word_take(&rest)) + 2;
        }
        if (left.len < n) {
            return 0;
        }
        left = slice_from(left, n);
    }
    /* An error is said once, at the end, whichever key it was. */
    silence = line_is_error(line) ? DONE_UNKNOWN : DONE_MISS;
    for (left = in; line_read(left, &line) && line_starts(line, "VALUE ");) {
        while (at < end && !line_is_key(line, s->history->op[at].key)) {
            speech_end(s, at++, silence, in);
        }
        if (at == end) {
            speech_fail(s, a->first, in, "the value of another key");
        }
        left = slice_from(left, read_text_value(s, at++, line, left));
    }
    (void)line_read(left, &line);
    if (!slice_is(line, "END") && !line_is_error(line)) {
        speech_fail(s, a->first, in, "no end of the values");
    }
    for (; at < end; at++) {
        speech_end(s, at, silence, in);
    }
    return (size_t)(line.ptr - in.ptr) + line.len + 2;
}

static size_t
read_text(struct speech *s, struct ask *a, struct slice in)
{
    struct deed *o = &s->history->op[a->first];
    struct slice line;
    enum done done;

    if (o->act <= ACT_GAT) {
        return read_text_get(s, a, in);
    }
    if (!line_read(in, &line)) {
        return 0;
    }
    if (o->act == ACT_INCR && line.len > 0 && line.ptr[0] >= '0' && line.ptr[0] <= '9') {
        o->got = (struct content){ .exists = true, .value = word_number(line) };
        done = DONE_OK;
    } else if (!line_done(o, line, &done)) {
        speech_fail(s, a->first, in, "not an answer to this");
    }
    speech_end(s, a->first, done, in);
    return line.len + 2;
}

/* Fails unless the opaque among the flags is the number's; one that is not sent back is fine. */
static void
meta_check_flags(struct speech *s, uint32_t number, struct slice flags, uint64_t *token,
                 struct slice in)
{
    struct slice w;

    while ((w = word_take(&flags)).len > 0) {
        if (w.ptr[0] == 'O' && word_number(slice_from(w, 1)) != number) {
            speech_fail(s, number, in, "the answer to another request");
        }
        if (w.ptr[0] == 'c') {
            *token = word_number(slice_from(w, 1));
        }
    }
}

/* One meta answer.  Returns its bytes; 0: not all there. */
static size_t
read_meta_one(struct speech *s, uint32_t number, struct slice in)
{
    struct deed *o = &s->history->op[number];
    struct slice line, flags, value;
    uint64_t token = 0;
    enum done done;
    size_t n;

    if (!line_read(in, &line)) {
        return 0;
    }
    if (line_starts(line, "VA ")) {
        flags = slice_from(line, 3);
        n = (size_t)word_number(word_take(&flags));
        if (in.len < line.len + 2 + n + 2) {
            return 0;
        }
        meta_check_flags(s, number, flags, &token, in);
        value = slice_of(in.ptr + line.len + 2, n);
        if (o->act == ACT_INCR) {
            o->got = (struct content){ .exists = true, .value = word_number(value) };
            speech_end(s, number, DONE_OK, in);
        } else if (o->act <= ACT_GAT) {
            speech_value(s, number, value, token, in);
        } else {
            speech_fail(s, number, in, "a value that nobody asked for");
        }
        return line.len + 2 + n + 2;
    }
    if (!line_done(o, line, &done) ||
        (done == DONE_OK && (o->act <= ACT_GAT || o->act == ACT_INCR))) {
        speech_fail(s, number, in, "not an answer to this");
    }
    if (done != DONE_UNKNOWN && o->act != ACT_FLUSH) {
        meta_check_flags(s, number, line, &token, in);
    }
    speech_end(s, number, done, in);
    return line.len + 2;
}

/* Whose answer stands at the front: the number behind O; 0: MN; UINT32_MAX: an error without. */
static uint32_t
meta_whose(struct slice line)
{
    struct slice w;

    if (slice_is(line, "MN")) {
        return 0;
    }
    while ((w = word_take(&line)).len > 0) {
        if (w.ptr[0] == 'O' && w.len > 1) {
            return (uint32_t)word_number(slice_from(w, 1));
        }
    }
    return UINT32_MAX;
}

/* Those before the next that is heard of said nothing: misses, unless an error was among them. */
static void
meta_pass(struct speech *s, struct ask *a, uint32_t next, struct slice in)
{
    for (; a->first + a->seen < next; a->seen++) {
        speech_end(s, a->first + a->seen, a->is_doubtful ? DONE_UNKNOWN : DONE_MISS, in);
    }
    a->is_doubtful = false;
}

/* Quiet gets, then MN: those that are not heard of are misses. */
static size_t
read_meta_many(struct speech *s, struct ask *a, struct slice in, bool *over)
{
    struct slice line, left = in;
    uint32_t end = a->first + a->count;

    while (line_read(left, &line)) {
        uint32_t whose = meta_whose(line);
        size_t n;

        if (whose == 0) {
            meta_pass(s, a, end, in);
            *over = true;
            return (size_t)(left.ptr - in.ptr) + line.len + 2;
        }
        if (whose == UINT32_MAX && line_is_error(line)) {
            a->is_doubtful = true;
            left = slice_from(left, line.len + 2);
            continue;
        }
        if (whose < a->first + a->seen || whose >= end) {
            speech_fail(s, a->first, left, "an answer that is not the next");
        }
        /* Only when it is whole does it count. */
        if (line_starts(line, "VA ")) {
            struct slice rest = slice_from(line, 3);

            if (left.len < line.len + 4 + word_number(word_take(&rest))) {
                break;
            }
        }
        meta_pass(s, a, whose, in);
        n = read_meta_one(s, whose, left);
        a->seen++;
        left = slice_from(left, n);
    }
    return (size_t)(left.ptr - in.ptr);
}

/* -- hearing: binary --------------------------------------------------------------------------- */

static enum done
binary_done(const struct deed *o, unsigned status)
{
    switch (status) {
    case 0:
        return DONE_OK;
    case 1:
        return o->act == ACT_REPLACE ? DONE_NOT_STORED : DONE_MISS;
    case 2:
        return o->act == ACT_ADD ? DONE_NOT_STORED : DONE_EXISTS;
    case 5:
        return DONE_NOT_STORED;
    default:
        return DONE_UNKNOWN;
    }
}

/* A whole answer that belongs to this operation. */
static void
read_binary_one(struct speech *s, uint32_t number, struct slice in)
{
    struct deed *o = &s->history->op[number];
    size_t key = (size_t)take(in.ptr + 2, 2), extras = (uint8_t)in.ptr[4];
    size_t body = (size_t)take(in.ptr + 8, 4);
    uint64_t cas = take(in.ptr + 16, 8);
    enum done done = binary_done(o, (unsigned)take(in.ptr + 6, 2));
    struct slice value;

    if (extras + key > body) {
        speech_fail(s, number, in, "lengths that do not fit");
    }
    value = slice_of(in.ptr + BINARY_HEADER + extras + key, body - extras - key);
    if (done == DONE_EXISTS && o->act != ACT_CAS) {
        speech_fail(s, number, in, "not an answer to this");
    }
    if (done == DONE_OK && o->act <= ACT_GAT) {
        speech_value(s, number, value, cas, in);
        return;
    }
    if (done == DONE_OK && o->act == ACT_INCR) {
        if (value.len != 8) {
            speech_fail(s, number, in, "a number of %zu bytes", value.len);
        }
        o->got = (struct content){ .exists = true, .value = take(value.ptr, 8) };
    } else if (done == DONE_OK && o->act >= ACT_SET && o->act <= ACT_CAS &&
               key_class(o->key) == KEY_REGISTER) {
        s->known[o->key] = (struct known){ cas, { true, 1, number } };
    }
    speech_end(s, number, done, in);
}

static size_t
binary_whole(struct speech *s, const struct ask *a, struct slice in)
{
    size_t n;

    if (in.len < BINARY_HEADER) {
        return 0;
    }
    n = BINARY_HEADER + (size_t)take(in.ptr + 8, 4);
    if ((uint8_t)in.ptr[0] != 0x81 || n > (2u << 20)) {
        speech_fail(s, a->first, in, "not an answer in binary");
    }
    return in.len < n ? 0 : n;
}

static size_t
read_binary(struct speech *s, struct ask *a, struct slice in, bool *over)
{
    struct slice left = in;
    size_t n;

    while ((n = binary_whole(s, a, left)) > 0) {
        uint32_t whose = (uint32_t)take(left.ptr + 12, 4);

        if (a->form != ASK_ONE && whose == 0) {
            for (; a->seen < a->count; a->seen++) {
                speech_end(s, a->first + a->seen, DONE_MISS, in);
            }
            *over = true;
            return (size_t)(left.ptr - in.ptr) + n;
        }
        if (whose < a->first + a->seen || whose >= a->first + a->count) {
            speech_fail(s, a->first, left, "the answer to another request (%u)", whose);
        }
        for (; a->first + a->seen < whose; a->seen++) {
            speech_end(s, a->first + a->seen, DONE_MISS, in);
        }
        read_binary_one(s, whose, left);
        a->seen++;
        left = slice_from(left, n);
        if (a->form == ASK_ONE) {
            *over = true;
            break;
        }
    }
    return (size_t)(left.ptr - in.ptr);
}

size_t
speech_read(struct speech *s, enum user_speaks speaks, struct ask *a, struct slice in, bool *over)
{
    size_t used;

    *over = false;
    if (speaks == USER_BINARY) {
        return read_binary(s, a, in, over);
    }
    if (a->form == ASK_MULTI_QUIET) {
        return read_meta_many(s, a, in, over);
    }
    used = speaks == USER_TEXT ? read_text(s, a, in) : read_meta_one(s, a->first, in);
    *over = used > 0;
    return used;
}
