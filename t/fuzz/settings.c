/*
 * settings.c - any bytes as a file of settings, as an -o list and as a value.
 *
 * Whatever is accepted must come back as it was printed, and whatever is refused must say why and
 * change nothing.
 */
#include "vocab/settings.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct settings now;
static struct settings before;

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* Every value printed and read again is the same value. */
static void
values_round_trip(void)
{
    for (size_t i = 0; i < setting_count; i++) {
        char printed[SETTINGS_TEXT_MAX];
        char again[SETTINGS_TEXT_MAX];

        require(settings_print(&now, &setting_table[i], printed, sizeof printed) <
                sizeof printed);
        require(settings_set(&now, setting_table[i].name, printed, NULL) == ERR_OK);
        settings_print(&now, &setting_table[i], again, sizeof again);
        require(strcmp(printed, again) == 0);
    }
}

static void
outcome_check(err_t e, const struct err_detail *d)
{
    if (e == ERR_OK) {
        struct err_detail why;

        (void)!settings_check(&now, &why);
        values_round_trip();
    } else {
        require(d->text[0] != '\0' && memchr(d->text, '\0', sizeof d->text) != NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct err_detail d = { "" };
    char             *text = malloc(len + 1);
    err_t             e;

    require(text != NULL);
    settings_defaults(&now);
    before = now;
    e = settings_parse_text(&now, "fuzz", slice_of(bytes, len), &d);
    require(e == ERR_OK || memcmp(&before, &now, sizeof now) == 0);
    outcome_check(e, &d);

    memcpy(text, bytes, len);
    text[len] = '\0';
    settings_defaults(&now);
    d.text[0] = '\0';
    outcome_check(settings_set_words(&now, text, &d), &d);
    if (len > 1) {
        settings_defaults(&now);
        d.text[0] = '\0';
        outcome_check(settings_set_letter(&now, text[0], text + 1, &d), &d);
    }
    free(text);
    return 0;
}
