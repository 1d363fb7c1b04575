#include "vocab/complaints.h"

#include <assert.h>
#include <string.h>

#define SHOWN_MAX 64u /* bytes of a value */

static const char *const value_texts[SETTINGS][COMPLAINT_HIGH + 1] = {
#define WRONG(setting, missing, unreadable, low, high) \
    [SETTING_##setting] = { missing, unreadable, low, high },
#include "vocab/complaints.def"
};

static const char *const said_texts[COMPLAINTS] = {
#define SAID(id, text) [COMPLAINT_##id] = (text),
#include "vocab/complaints.def"
};

/* Puts bytes behind what is in d, as far as they fit. */
static void
text_add(struct err_detail *d, const char *bytes, size_t len)
{
    size_t used = strlen(d->text), room = sizeof d->text - 1 - used;

    len = len < room ? len : room;
    memcpy(d->text + used, bytes, len);
    d->text[used + len] = '\0';
}

/* The text with the values in its gaps. */
static void
text_fill(struct err_detail *d, const char *text, struct slice gap[2])
{
    unsigned i = 0;

    if (d == NULL) {
        return;
    }
    d->text[0] = '\0';
    for (const char *at; (at = strstr(text, "{}")) != NULL; text = at + 2) {
        assert(i < 2);
        text_add(d, text, (size_t)(at - text));
        text_add(d, gap[i].ptr, gap[i].len < SHOWN_MAX ? gap[i].len : SHOWN_MAX);
        i++;
    }
    text_add(d, text, strlen(text));
}

void
complaint_value(struct err_detail *d, enum setting_id id, enum complaint_about about,
                const char *value)
{
    struct slice gap[2] = { slice_of(value, strlen(value)), { 0 } };

    assert(id < SETTINGS);
    if (value_texts[id][about] != NULL) {
        text_fill(d, value_texts[id][about], gap);
    }
}

err_t
complaint_set(struct err_detail *d, err_t e, enum complaint c, struct slice first,
              struct slice second)
{
    struct slice gap[2] = { first, second };

    assert(c < COMPLAINTS);
    text_fill(d, said_texts[c], gap);
    return e;
}
