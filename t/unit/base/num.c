#include "base/num.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static struct slice
text_of(const char *text)
{
    return slice_of(text, strlen(text));
}

/* Numbers at the edges of each width are read, the next ones are not. */
Test(num, edges_of_each_width)
{
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    int64_t  i64 = 0;
    int32_t  i32 = 0;

    cr_expect(num_parse_u64(text_of("18446744073709551615"), &u64));
    cr_expect(eq(u64, u64, UINT64_MAX));
    cr_expect(not(num_parse_u64(text_of("18446744073709551616"), &u64)));
    cr_expect(not(num_parse_u64(text_of("99999999999999999999"), &u64)));
    cr_expect(num_parse_u32(text_of("4294967295"), &u32));
    cr_expect(eq(u32, u32, UINT32_MAX));
    cr_expect(not(num_parse_u32(text_of("4294967296"), &u32)));
    cr_expect(num_parse_i64(text_of("9223372036854775807"), &i64));
    cr_expect(eq(i64, i64, INT64_MAX));
    cr_expect(not(num_parse_i64(text_of("9223372036854775808"), &i64)));
    cr_expect(num_parse_i64(text_of("-9223372036854775808"), &i64));
    cr_expect(eq(i64, i64, INT64_MIN));
    cr_expect(not(num_parse_i64(text_of("-9223372036854775809"), &i64)));
    cr_expect(num_parse_i32(text_of("-2147483648"), &i32));
    cr_expect(eq(i32, i32, INT32_MIN));
    cr_expect(not(num_parse_i32(text_of("-2147483649"), &i32)));
    cr_expect(num_parse_i32(text_of("2147483647"), &i32));
    cr_expect(eq(i32, i32, INT32_MAX));
    cr_expect(not(num_parse_i32(text_of("2147483648"), &i32)));
}

/* Whatever is not a plain number is refused, and the result is left alone. */
Test(num, junk_is_refused)
{
    static const struct {
        const char *text;
        const char *why;
    } row[] = {
        { "", "empty" },          { "-", "sign alone" },   { "+", "plus alone" },
        { " 1", "leading blank" }, { "1 ", "trailing blank" }, { "1x", "letters behind" },
        { "0x10", "hex" },        { "1.0", "point" },      { "--1", "two signs" },
        { "\xb2", "not ASCII" },  { "1\r", "line end" },   { "/", "before the digits" },
        { ":", "behind the digits" }, { "++1", "two plus signs" }, { "+-1", "plus and minus" },
        { "-+1", "minus and plus" }, { "+ 1", "blank behind plus" }, { "1+", "plus behind" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint64_t u = 77;
        int64_t  s = 77;

        cr_expect(not(num_parse_u64(text_of(row[i].text), &u)), "%s", row[i].why);
        cr_expect(not(num_parse_i64(text_of(row[i].text), &s)), "%s", row[i].why);
        cr_expect(eq(u64, u, 77), "%s", row[i].why);
        cr_expect(eq(i64, s, 77), "%s", row[i].why);
    }
}

/* strtoul() takes it, so memcached does. */
Test(num, one_plus_sign_in_front_changes_nothing)
{
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    int64_t  i64 = 0;
    int32_t  i32 = 0;

    cr_expect(num_parse_u64(text_of("+18446744073709551615"), &u64));
    cr_expect(eq(u64, u64, UINT64_MAX));
    cr_expect(num_parse_u32(text_of("+7"), &u32));
    cr_expect(eq(u32, u32, 7));
    cr_expect(num_parse_i64(text_of("+9223372036854775807"), &i64));
    cr_expect(eq(i64, i64, INT64_MAX));
    cr_expect(num_parse_i32(text_of("+007"), &i32));
    cr_expect(eq(i32, i32, 7));
    cr_expect(not(num_parse_u32(text_of("+4294967296"), &u32)));
    cr_expect(not(num_parse_i32(text_of("+2147483648"), &i32)));
}

Test(num, a_sign_needs_a_signed_number)
{
    uint64_t u = 77;
    int64_t  s = 77;

    cr_expect(not(num_parse_u64(text_of("-1"), &u)));
    cr_expect(num_parse_i64(text_of("-0"), &s));
    cr_expect(zero(i64, s));
    cr_expect(num_parse_u64(text_of("00000000000000000000000000042"), &u));
    cr_expect(eq(u64, u, 42), "leading zeros do not count as overflow");
}

/* Printing agrees with printf at every change of length. */
Test(num, prints_as_printf_does)
{
    uint64_t power = 1;

    for (int i = 0; i < 20; i++, power *= 10) {
        uint64_t near[] = { power - 1, power, power + 1, UINT64_MAX - power };

        for (size_t n = 0; n < 4; n++) {
            char   out[NUM_PRINT_MAX + 1];
            char   wanted[32];
            size_t len = num_print_u64(out, near[n]);

            out[len] = '\0';
            snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)near[n]);
            cr_expect(eq(str, out, wanted));
            len = num_print_i64(out, (int64_t)near[n]);
            out[len] = '\0';
            snprintf(wanted, sizeof wanted, "%lld", (long long)near[n]);
            cr_expect(eq(str, out, wanted));
        }
    }
}

Test(num, the_smallest_number_fits_its_room)
{
    char   out[NUM_PRINT_MAX + 1] = { [NUM_PRINT_MAX] = '!' };
    size_t len = num_print_i64(out, INT64_MIN);

    cr_expect(eq(sz, len, 20));
    cr_expect(eq(int, memcmp(out, "-9223372036854775808!", 21), 0));
}
