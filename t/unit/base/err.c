#include "base/err.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

Test(err, every_error_has_a_text)
{
    static const err_t all[] = {
#define ERROR(name, text) ERR_##name,
#include "base/err.def"
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cr_expect(ne(int, all[i], ERR_OK), "\"if (e)\" must read \"on error\"");
        cr_expect(gt(sz, strlen(err_text(all[i])), 0));
        cr_expect_str_neq(err_text(all[i]), "unknown error");
    }
    cr_expect_str_eq(err_text((err_t)12345), "unknown error");
}

Test(err, a_detail_may_quote_its_own_past)
{
    struct err_detail d;

    cr_expect(eq(int, err_set(&d, ERR_IO, "disk full"), ERR_IO));
    cr_expect(eq(int, err_set(&d, ERR_CORRUPT, "file 3: %s", d.text), ERR_CORRUPT));
    cr_expect_str_eq(d.text, "file 3: disk full");
    cr_expect(eq(int, err_set(NULL, ERR_NOMEM, "nobody asks"), ERR_NOMEM));
}

Test(err, long_details_are_cut)
{
    struct err_detail d;

    err_set(&d, ERR_INVALID, "%0600d", 1);
    cr_expect(eq(sz, strlen(d.text), sizeof d.text - 1));
}
