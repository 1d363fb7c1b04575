#include "base/uri.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* The form of "lru_crawler metadump", which tools parse. */
Test(uri, only_unreserved_bytes_stand_for_themselves)
{
    static const char in[] = "AZaz09-._~ /%:\x80\xff+\"";
    char              out[URI_TEXT_MAX(sizeof in)];
    size_t            len = uri_encode(SLICE("AZaz09-._~ /%:\x80\xff+\""), out);

    cr_expect(slice_is(slice_of(out, len), "AZaz09-._~%20%2F%25%3A%80%FF%2B%22"));
}

Test(uri, every_byte_comes_back)
{
    char   bytes[256];
    char   text[URI_TEXT_MAX(256)];
    char   back[256];
    size_t len;
    size_t back_len = 0;

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)i;
    }
    len = uri_encode(slice_of(bytes, sizeof bytes), text);
    cr_assert(uri_decode(slice_of(text, len), back, sizeof back, &back_len));
    cr_expect(slice_eq(slice_of(back, back_len), slice_of(bytes, sizeof bytes)));
    cr_expect(not(uri_decode(slice_of(text, len), back, sizeof back - 1, &back_len)));
}

Test(uri, broken_escapes_are_refused)
{
    static const char *const bad[] = { "%", "%4", "a%", "a%4", "%zz", "%4g", "%g4" };
    char                     out[16];
    size_t                   len = 99;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect(not(uri_decode(slice_of(bad[i], strlen(bad[i])), out, sizeof out, &len)), "%s",
                  bad[i]);
    }
    for (size_t cut = 1; cut < 3; cut++) {
        cr_expect(not(uri_decode(slice_of("%4a", cut), out, sizeof out, &len)), "cut at %zu", cut);
    }
    cr_expect(eq(sz, len, 99));
    cr_expect(uri_decode(SLICE("%4a%4A"), out, sizeof out, &len));
    cr_expect(slice_is(slice_of(out, len), "JJ"), "hex digits of either case");
}
