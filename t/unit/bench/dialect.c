#include "bench/dialect.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static struct buf out;

static void
out_is(const char *want, size_t len)
{
    cr_expect(eq(sz, out.len, len));
    cr_expect(out.len == len && memcmp(out.ptr, want, len) == 0, "want %s", want);
    out.len = 0;
}

#define OUT_IS(literal) out_is(literal, sizeof(literal) - 1)

static const struct slice two[] = { { "a", 1 }, { "bc", 2 } };

Test(dialect, requests_of_the_text_protocol)
{
    cr_assert(dialect_write_get(DIALECT_TEXT, &out, two, 1));
    OUT_IS("get a\r\n");
    cr_assert(dialect_write_get(DIALECT_TEXT, &out, two, 2));
    OUT_IS("get a bc\r\n");
    cr_assert(dialect_write_set(DIALECT_TEXT, &out, two[1], 7, 60, SLICE("val")));
    OUT_IS("set bc 7 60 3\r\nval\r\n");
    cr_assert(dialect_write_delete(DIALECT_TEXT, &out, two[1]));
    OUT_IS("delete bc\r\n");
    cr_assert(dialect_write_incr(DIALECT_TEXT, &out, two[1]));
    OUT_IS("incr bc 1\r\n");
    buf_free(&out);
}

Test(dialect, requests_of_the_meta_protocol)
{
    cr_assert(dialect_write_get(DIALECT_META, &out, two, 1));
    OUT_IS("mg a f v\r\n");
    cr_assert(dialect_write_get(DIALECT_META, &out, two, 2));
    OUT_IS("mg a f k q v\r\nmg bc f k q v\r\nmn\r\n");
    cr_assert(dialect_write_set(DIALECT_META, &out, two[1], 7, 60, SLICE("val")));
    OUT_IS("ms bc 3 F7 T60\r\nval\r\n");
    cr_assert(dialect_write_set(DIALECT_META, &out, two[1], 0, 0, SLICE("")));
    OUT_IS("ms bc 0\r\n\r\n");
    cr_assert(dialect_write_delete(DIALECT_META, &out, two[1]));
    OUT_IS("md bc\r\n");
    cr_assert(dialect_write_incr(DIALECT_META, &out, two[1]));
    OUT_IS("ma bc v\r\n");
    buf_free(&out);
}

#define ZERO4  "\0\0\0\0"
#define OPAQUE_CAS ZERO4 ZERO4 ZERO4

Test(dialect, requests_of_the_binary_protocol)
{
    cr_assert(dialect_write_get(DIALECT_BINARY, &out, two, 1));
    OUT_IS("\x80\x00\0\1\0\0\0\0\0\0\0\1" OPAQUE_CAS "a");
    cr_assert(dialect_write_get(DIALECT_BINARY, &out, two, 2));
    OUT_IS("\x80\x0d\0\1\0\0\0\0\0\0\0\1" OPAQUE_CAS "a"
           "\x80\x0d\0\2\0\0\0\0\0\0\0\2" OPAQUE_CAS "bc"
           "\x80\x0a\0\0\0\0\0\0\0\0\0\0" OPAQUE_CAS);
    cr_assert(dialect_write_set(DIALECT_BINARY, &out, two[1], 7, 60, SLICE("val")));
    OUT_IS("\x80\x01\0\2\x08\0\0\0\0\0\0\x0d" OPAQUE_CAS "\0\0\0\7\0\0\0\x3c" "bcval");
    cr_assert(dialect_write_delete(DIALECT_BINARY, &out, two[0]));
    OUT_IS("\x80\x04\0\1\0\0\0\0\0\0\0\1" OPAQUE_CAS "a");
    cr_assert(dialect_write_incr(DIALECT_BINARY, &out, two[0]));
    OUT_IS("\x80\x05\0\1\x14\0\0\0\0\0\0\x15" OPAQUE_CAS ZERO4 "\0\0\0\1" ZERO4 ZERO4
           "\xff\xff\xff\xff" "a");
    buf_free(&out);
}

struct row {
    enum dialect     d;
    enum verb        verb;
    bool             many;
    const char      *in;
    size_t           len;
    enum answer_kind kind;
    bool             ends;
    size_t           used;
};

#define ROW(d, verb, many, in, kind, ends, used) \
    { DIALECT_##d, VERB_##verb, many, in, sizeof(in) - 1, ANSWER_##kind, ends, used }

static const struct row rows[] = {
    ROW(TEXT, GET, false, "VALUE a 7 3\r\n", VALUE, false, 13),
    ROW(TEXT, GET, true, "VALUE a 7 3\r\n", VALUE, false, 13),
    ROW(TEXT, GET, false, "END\r\n", END, true, 5),
    ROW(TEXT, SET, false, "STORED\r\n", DONE, true, 8),
    ROW(TEXT, SET, false, "SERVER_ERROR out of memory storing object\r\n", ERROR, true, 43),
    ROW(TEXT, SET, false, "NOT_STORED\r\n", ERROR, true, 12),
    ROW(TEXT, DELETE, false, "DELETED\r\n", DONE, true, 9),
    ROW(TEXT, DELETE, false, "NOT_FOUND\r\n", MISS, true, 11),
    ROW(TEXT, INCR, false, "18446744073709551615\r\n", NUMBER, true, 22),
    ROW(TEXT, INCR, false, "NOT_FOUND\r\n", MISS, true, 11),
    ROW(TEXT, GET, false, "17\r\n", ERROR, true, 4),
    ROW(META, GET, false, "VA 3 f7\r\n", VALUE, true, 9),
    ROW(META, GET, true, "VA 3 f7 ka\r\n", VALUE, false, 12),
    ROW(META, GET, false, "EN\r\n", MISS, true, 4),
    ROW(META, GET, true, "MN\r\n", END, true, 4),
    ROW(META, GET, true, "SERVER_ERROR x\r\n", ERROR, false, 16),
    ROW(META, SET, false, "HD\r\n", DONE, true, 4),
    ROW(META, DELETE, false, "HD\r\n", DONE, true, 4),
    ROW(META, DELETE, false, "NF\r\n", MISS, true, 4),
    ROW(META, INCR, false, "VA 2\r\n17\r\n", NUMBER, true, 10),
    ROW(META, INCR, false, "NF\r\n", MISS, true, 4),
    ROW(BINARY, GET, false, "\x81\x00\0\0\4\0\0\0\0\0\0\7" OPAQUE_CAS "\0\0\0\7", VALUE, true, 28),
    ROW(BINARY, GET, true, "\x81\x0d\0\1\4\0\0\0\0\0\0\x08" OPAQUE_CAS "\0\0\0\7" "a", VALUE,
        false, 29),
    ROW(BINARY, GET, true, "\x81\x0a\0\0\0\0\0\0\0\0\0\0" OPAQUE_CAS, END, true, 24),
    ROW(BINARY, GET, false, "\x81\x00\0\0\0\0\0\1\0\0\0\3" OPAQUE_CAS "Not", MISS, true, 27),
    ROW(BINARY, GET, true, "\x81\x0d\0\0\0\0\0\x82\0\0\0\3" OPAQUE_CAS "mem", ERROR, false, 27),
    ROW(BINARY, SET, false, "\x81\x01\0\0\0\0\0\0\0\0\0\0" OPAQUE_CAS, DONE, true, 24),
    ROW(BINARY, SET, false, "\x81\x01\0\0\0\0\0\x82\0\0\0\3" OPAQUE_CAS "mem", ERROR, true, 27),
    ROW(BINARY, DELETE, false, "\x81\x04\0\0\0\0\0\1\0\0\0\0" OPAQUE_CAS, MISS, true, 24),
    ROW(BINARY, INCR, false, "\x81\x05\0\0\0\0\0\0\0\0\0\x08" OPAQUE_CAS ZERO4 "\0\0\0\x11",
        NUMBER, true, 32),
    ROW(BINARY, INCR, false, "\x81\x05\0\0\0\0\0\1\0\0\0\0" OPAQUE_CAS, MISS, true, 24),
};

Test(dialect, answers)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct answer a;
        size_t used = 0;

        cr_assert(eq(int, dialect_read(r->d, r->verb, r->many, slice_of(r->in, r->len), &a, &used),
                     DIALECT_ANSWER),
                  "row %zu", i);
        cr_expect(eq(int, a.kind, r->kind), "row %zu", i);
        cr_expect(eq(int, a.ends, r->ends), "row %zu", i);
        cr_expect(eq(sz, used, r->used), "row %zu", i);
        if (a.kind == ANSWER_VALUE) {
            cr_expect(a.flags == 7 && a.value_len == 3, "row %zu", i);
            cr_expect(eq(uint, a.tail, r->d == DIALECT_BINARY ? 0 : 2), "row %zu", i);
            cr_expect(eq(int, a.has_key, a.key.len > 0), "row %zu", i);
            cr_expect(a.key.len == 0 || slice_is(a.key, "a"), "row %zu", i);
        }
        if (a.kind == ANSWER_NUMBER) {
            cr_expect(a.number == 17 || a.number == UINT64_MAX, "row %zu", i);
        }
    }
}

/* TCP may cut anywhere: a prefix is never taken for an answer, nor for garbage. */
Test(dialect, every_prefix_asks_for_more)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];

        for (size_t cut = 0; cut < r->used; cut++) {
            char *copy = malloc(cut ? cut : 1);
            struct answer a;
            size_t used;

            cr_assert(copy != NULL);
            memcpy(copy, r->in, cut);
            cr_expect(eq(int, dialect_read(r->d, r->verb, r->many, slice_of(copy, cut), &a, &used),
                         DIALECT_MORE),
                      "row %zu cut after %zu", i, cut);
            free(copy);
        }
    }
}

Test(dialect, garbage_is_no_answer)
{
    static char endless[DIALECT_LINE_MAX + 1];
    static const struct row bad[] = {
        ROW(TEXT, GET, false, "VALUE a 7\r\n", ERROR, true, 0),
        ROW(TEXT, GET, false, "VALUE a 7 x\r\n", ERROR, true, 0),
        ROW(TEXT, GET, false, "VALUE a 4294967296 3\r\n", ERROR, true, 0),
        ROW(TEXT, GET, false, "VALUE\r\n", ERROR, true, 0),
        ROW(META, GET, false, "VA f7\r\n", ERROR, true, 0),
        ROW(META, GET, false, "VA 3 fx\r\n", ERROR, true, 0),
        ROW(META, INCR, false, "VA 21\r\n111111111111111111111\r\n", ERROR, true, 0),
        ROW(META, INCR, false, "VA 2\r\nxx\r\n", ERROR, true, 0),
        ROW(META, INCR, false, "VA 2\r\n17xx", ERROR, true, 0),
        ROW(BINARY, GET, false, "E", ERROR, true, 0),
        ROW(BINARY, GET, false, "\x81\x00\0\0\0\0\0\0\0\0\0\7" OPAQUE_CAS, ERROR, true, 0),
        ROW(BINARY, GET, false, "\x81\x00\0\x09\4\0\0\0\0\0\0\x0c" OPAQUE_CAS, ERROR, true, 0),
        ROW(BINARY, SET, false, "\x81\x01\0\0\0\0\0\x82\0\1\0\0" OPAQUE_CAS, ERROR, true, 0),
        ROW(BINARY, INCR, false, "\x81\x05\0\0\0\0\0\0\0\0\0\x09" OPAQUE_CAS, ERROR, true, 0),
    };
    struct answer a;
    size_t used;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct row *r = &bad[i];

        cr_expect(eq(int, dialect_read(r->d, r->verb, r->many, slice_of(r->in, r->len), &a, &used),
                     DIALECT_LOST),
                  "row %zu", i);
    }
    memset(endless, 'x', sizeof endless);
    cr_expect(eq(int, dialect_read(DIALECT_TEXT, VERB_GET, false,
                                   slice_of(endless, sizeof endless), &a, &used),
                 DIALECT_LOST));
}

Test(dialect, names_are_read_back)
{
    for (int i = 0; i <= DIALECT_BINARY; i++) {
        enum dialect d;

        cr_expect(dialect_parse_name(dialect_name((enum dialect)i), &d) && (int)d == i);
    }
    for (int i = 0; i < VERBS; i++) {
        const char *name = dialect_verb((enum verb)i);
        enum verb v;

        cr_expect(dialect_parse_verb(slice_of(name, strlen(name)), &v) && (int)v == i);
    }
}
