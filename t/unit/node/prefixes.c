#include "node/prefixes.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static char *
printed(struct prefixes *p, struct buf *b)
{
    b->len = 0;
    cr_assert(prefixes_print(p, b));
    cr_assert(buf_add(b, "", 1));
    return b->ptr;
}

Test(prefixes, are_what_stands_before_the_delimiter)
{
    struct prefixes *p = prefixes_new();
    struct buf b = { 0 };

    prefixes_count(p, SLICE("user:1"), ':', PREFIXES_GET);
    prefixes_count(p, SLICE("user:2:x"), ':', PREFIXES_HIT);
    prefixes_count(p, SLICE("user"), ':', PREFIXES_HIT);
    prefixes_count(p, SLICE("page/1"), '/', PREFIXES_SET);
    prefixes_count(p, SLICE(":1"), ':', PREFIXES_DELETE);
    prefixes_count(p, (struct slice){ 0 }, ':', PREFIXES_DELETE);
    cr_expect(eq(str, printed(p, &b), "PREFIX user get 2 hit 1 set 0 del 0\r\n"
                                      "PREFIX page get 0 hit 0 set 1 del 0\r\n"
                                      "PREFIX  get 0 hit 0 set 0 del 1\r\n"));
    prefixes_clear(p);
    cr_expect(eq(str, printed(p, &b), ""));
    prefixes_count(p, SLICE("user:1"), ':', PREFIXES_GET);
    cr_expect(eq(str, printed(p, &b), "PREFIX user get 1 hit 0 set 0 del 0\r\n"));
    buf_free(&b);
    prefixes_free(p);
}

/* Clients choose the keys: they must not be able to fill the memory. */
Test(prefixes, are_at_most_65536)
{
    struct prefixes *p = prefixes_new();
    struct buf b = { 0 };
    unsigned lines = 0;
    char key[32];

    for (unsigned i = 0; i < PREFIXES_MAX + 100; i++) {
        int n = snprintf(key, sizeof key, "p%u:x", i);

        prefixes_count(p, slice_of(key, (size_t)n), ':', PREFIXES_SET);
    }
    prefixes_count(p, SLICE("p5:y"), ':', PREFIXES_SET);
    for (const char *at = printed(p, &b); *at; at++) {
        lines += *at == '\n';
    }
    cr_expect(eq(uint, lines, PREFIXES_MAX));
    cr_expect(strstr(b.ptr, "PREFIX p5 get 0 hit 0 set 2 del 0\r\n") != NULL, "old ones go on");
    cr_expect(strstr(b.ptr, "PREFIX p65536 ") == NULL);
    buf_free(&b);
    prefixes_free(p);
}
