#include "base/base64.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const struct {
    const char *bytes;
    const char *text;
} base64_rfc4648[] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
    { "\xff\xfe", "//4=" },
    { "\xfb\xf0", "+/A=" },
};

Test(base64, examples_of_rfc_4648)
{
    for (size_t i = 0; i < sizeof base64_rfc4648 / sizeof *base64_rfc4648; i++) {
        const char  *bytes = base64_rfc4648[i].bytes;
        const char  *text = base64_rfc4648[i].text;
        char         out[64];
        size_t       len = 99;

        cr_expect(base64_encode(slice_of(bytes, strlen(bytes)), out, sizeof out, &len));
        cr_expect(slice_is(slice_of(out, len), text), "%s", text);
        cr_expect(base64_decode(slice_of(text, strlen(text)), out, sizeof out, &len));
        cr_expect(slice_is(slice_of(out, len), bytes), "%s", text);
    }
}

/* A key has one base64 form only, so that two texts never name one item. */
Test(base64, other_texts_are_refused)
{
    static const struct {
        const char *text;
        const char *why;
    } row[] = {
        { "Zg", "no padding" },
        { "Zg=", "half the padding" },
        { "Zm9vZ", "length" },
        { "Zh==", "spare bits set, two pads" },
        { "Zm9=", "spare bits set, one pad" },
        { "Z===", "three pads" },
        { "====", "pads only" },
        { "Zg==Zg==", "pads in the middle" },
        { "Zm=v", "pad before a digit" },
        { "Zm 9", "blank" },
        { "Zm9\n", "line end" },
        { "Zm-_", "alphabet of URLs" },
        { "Zm9\x80", "not ASCII" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char   out[64];
        size_t len = 99;

        cr_expect(not(base64_decode(slice_of(row[i].text, strlen(row[i].text)), out, sizeof out,
                                    &len)),
                  "%s", row[i].why);
        cr_expect(eq(sz, len, 99), "%s", row[i].why);
    }
}

/* All bytes, all lengths: the way there and back; and not a byte more than the room. */
Test(base64, round_trip_and_room)
{
    char bytes[256];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7 + 3);
    }
    for (size_t n = 0; n <= sizeof bytes; n++) {
        char   text[BASE64_TEXT_LEN(256) + 1];
        char   back[257];
        size_t text_len = 0;
        size_t back_len = 0;

        text[BASE64_TEXT_LEN(n)] = '!';
        back[n] = '!';
        cr_assert(base64_encode(slice_of(bytes, n), text, BASE64_TEXT_LEN(n), &text_len));
        cr_assert(eq(sz, text_len, BASE64_TEXT_LEN(n)));
        cr_assert(base64_decode(slice_of(text, text_len), back, n, &back_len));
        cr_assert(slice_eq(slice_of(back, back_len), slice_of(bytes, n)));
        cr_assert(eq(chr, text[text_len], '!'));
        cr_assert(eq(chr, back[n], '!'));
        if (n != 0) {
            cr_assert(not(base64_encode(slice_of(bytes, n), text, text_len - 1, &text_len)));
            cr_assert(not(base64_decode(slice_of(text, text_len), back, n - 1, &back_len)));
        }
    }
}
