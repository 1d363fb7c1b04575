#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const err_texts[] = {
    [ERR_OK] = "no error",
#define ERROR(name, text) [ERR_##name] = text,
#include "base/err.def"
};

const char *
err_text(err_t e)
{
    size_t i = (size_t)e;

    return i < sizeof err_texts / sizeof *err_texts ? err_texts[i] : "unknown error";
}

err_t
err_set(struct err_detail *d, err_t e, const char *fmt, ...)
{
    if (d != NULL) {
        struct err_detail made;
        va_list           ap;

        /* Made aside, so that the old text may be an argument of the new one. */
        va_start(ap, fmt);
        vsnprintf(made.text, sizeof made.text, fmt, ap);
        va_end(ap);
        *d = made;
    }
    return e;
}
