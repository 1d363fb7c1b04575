/*
 * err.h - errors: the world failed us, and the caller must do something about it.
 *
 * An err_t is checked at once, handled or forwarded unchanged; the text for
 * humans travels beside it in an err_detail.  Outcomes that a caller branches
 * on are enums of their module, bugs are assertions (panic.h).
 */
#pragma once
#include <stddef.h>

typedef enum err {
    ERR_OK = 0, /* so that "if (e)" reads "on error" */
#define ERROR(name, text) ERR_##name,
#include "base/err.def"
} err_t;

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* What went wrong, in words for the user; cut if it is too long. */
struct err_detail {
    char text[256];
};

const char *err_text(err_t e);

/* Sets *d (may be NULL) and returns e, so that it can end a function. */
PRINTF(3, 4) err_t err_set(struct err_detail *d, err_t e, const char *fmt, ...);
