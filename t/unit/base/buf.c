#include "base/buf.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <stdlib.h>

Test(buf, bytes_keep_their_order_while_it_grows)
{
    struct buf b = { 0 };

    for (int i = 0; i < 10000; i++) {
        cr_assert(buf_printf(&b, "%04d,", i));
    }
    cr_assert(eq(sz, b.len, 50000));
    for (int i = 0; i < 10000; i++) {
        cr_assert(eq(int, atoi(b.ptr + i * 5), i));
    }
    buf_shift(&b, 5 * 9999);
    cr_expect(slice_is(slice_of(b.ptr, b.len), "9999,"));
    buf_free(&b);
    cr_expect(eq(ptr, b.ptr, NULL));
    cr_expect(zero(sz, b.cap));
}

/* A line that just fills the room must not lose its last byte to printf's NUL. */
Test(buf, a_line_may_fill_the_room)
{
    for (int len = 250; len < 260; len++) {
        struct buf b = { 0 };

        cr_assert(buf_reserve(&b, 1));
        cr_assert(buf_printf(&b, "%*d", len, 7));
        cr_expect(eq(sz, b.len, (size_t)len));
        cr_expect(eq(chr, b.ptr[len - 1], '7'), "%d", len);
        buf_free(&b);
    }
}

Test(buf, a_size_beyond_all_memory_changes_nothing)
{
    struct buf b = { 0 };

    cr_assert(buf_add(&b, "abc", 3));
    cr_expect(not(buf_reserve(&b, SIZE_MAX - 1)));
    cr_expect(not(buf_reserve(&b, SIZE_MAX - 2)));
    cr_expect(slice_is(slice_of(b.ptr, b.len), "abc"));
    buf_free(&b);
}

Test(buf, nothing_is_a_thing_to_add)
{
    struct buf b = { 0 };

    cr_expect(buf_add(&b, NULL, 0));
    cr_expect(buf_printf(&b, "%s", ""));
    buf_shift(&b, 0);
    cr_expect(zero(sz, b.len));
    buf_free(&b);
}
