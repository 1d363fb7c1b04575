/* memcached's words. */
#include "vocab/complaints.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct slice
word(const char *text)
{
    return slice_of(text, strlen(text));
}

/* Values are shown where memcached shows them. */
Test(complaints, gaps_are_filled_in_order)
{
    struct err_detail d = { "" };

    cr_expect(eq(int, complaint_set(&d, ERR_RANGE, COMPLAINT_NAPI_IDS, word("5"), word("4")),
                 ERR_RANGE));
    cr_expect_str_eq(d.text, "Number of napi_ids(5) cannot be greater than number of threads(4)");
    cr_expect(eq(int, complaint_set(NULL, ERR_INVALID, COMPLAINT_LRU_SUM, word(""), word("")),
                 ERR_INVALID));
}

/* Our own words stay where memcached has none. */
Test(complaints, silence_changes_nothing)
{
    struct err_detail d = { "ours" };

    complaint_value(&d, SETTING_backlog, COMPLAINT_UNREADABLE, "abc");
    cr_expect_str_eq(d.text, "ours");
    complaint_value(&d, SETTING_threads, COMPLAINT_HIGH, "65");
    cr_expect_str_eq(d.text, "ours");
    complaint_value(&d, SETTING_threads, COMPLAINT_LOW, "0");
    cr_expect_str_eq(d.text, "Number of threads must be greater than 0");
    complaint_value(NULL, SETTING_threads, COMPLAINT_LOW, "0");
}

/* A value may be of any length, and hold anything. */
Test(complaints, long_values_are_cut)
{
    struct err_detail d = { "" };
    static char huge[5000];

    memset(huge, 'x', sizeof huge - 1);
    complaint_value(&d, SETTING_protocol, COMPLAINT_UNREADABLE, huge);
    cr_expect(lt(sz, strlen(d.text), sizeof d.text));
    cr_expect_not_null(strstr(d.text, "\n -- should be one of auto, binary, or ascii"));
    complaint_value(&d, SETTING_protocol, COMPLAINT_UNREADABLE, "%s{}%n");
    cr_expect_str_eq(d.text, "Invalid value for binding protocol: %s{}%n\n"
                             " -- should be one of auto, binary, or ascii");
}
