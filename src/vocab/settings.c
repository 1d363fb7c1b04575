#include "vocab/settings.h"

#include "base/num.h"

#include <assert.h>
#include <stdlib.h>

const struct setting setting_table[] = {
#define SETTING(section_, name_, type_, def_, min_, max_, when_, letter_, alone_, word_, unit_, \
                stat_, help_) \
    { .section = #section_, \
      .name = #name_, \
      .type = SETTING_TYPE_##type_, \
      .def = (def_), \
      .min = (min_), \
      .max = (max_), \
      .when = SETTING_WHEN_##when_, \
      .letter = (letter_), \
      .alone = (alone_), \
      .word = (word_), \
      .unit = SETTING_UNIT_##unit_, \
      .stat = (stat_), \
      .help = (help_), \
      .offset = offsetof(struct settings, section_.name_) },
#include "vocab/settings.def"
};

const size_t setting_count = SETTINGS;

const struct settings_long settings_long_options[] = {
    { "port", 'p', true },
    { "udp-port", 'U', true },
    { "unix-socket", 's', true },
    { "unix-mask", 'a', true },
    { "enable-shutdown", 'A', false },
    { "listen", 'l', true },
    { "daemon", 'd', false },
    { "enable-coredumps", 'r', false },
    { "user", 'u', true },
    { "memory-limit", 'm', true },
    { "disable-evictions", 'M', false },
    { "conn-limit", 'c', true },
    { "lock-memory", 'k', false },
    { "verbose", 'v', false },
    { "help", 'h', false },
    { "license", 'i', false },
    { "version", 'V', false },
    { "pidfile", 'P', true },
    { "slab-growth-factor", 'f', true },
    { "slab-min-size", 'n', true },
    { "enable-largepages", 'L', false },
    { "threads", 't', true },
    { "max-reqs-per-event", 'R', true },
    { "disable-cas", 'C', false },
    { "listen-backlog", 'b', true },
    { "protocol", 'B', true },
    { "max-item-size", 'I', true },
    { "enable-sasl", 'S', false },
    { "disable-flush-all", 'F', false },
    { "disable-dumping", 'X', false },
    { "disable-watch", 'W', false },
    { "auth-file", 'Y', true },
    { "memory-file", 'e', true },
    { "enable-ssl", 'Z', false },
    { "extended", 'o', true },
    { "napi_ids", 'N', true },
    { NULL, 0, false },
};

/* A parsed value before it is stored; which member counts is the row's type. */
struct value {
    int64_t     number;
    double      real;
    const char *text;
};

/* -- finding ------------------------------------------------------------------------------- */

static bool
name_matches(const char *name, const char *wanted)
{
    for (; *name != '\0' && *wanted != '\0'; name++, wanted++) {
        if (*name != *wanted && !(*name == '_' && *wanted == '-')) {
            return false;
        }
    }
    return *name == *wanted;
}

const struct setting *
settings_find(const char *name)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (name_matches(setting_table[i].name, name)) {
            return &setting_table[i];
        }
    }
    return NULL;
}

const struct setting *
settings_find_letter(char letter)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (letter != 0 && setting_table[i].letter == letter) {
            return &setting_table[i];
        }
    }
    return NULL;
}

const struct setting *
settings_find_word(struct slice word)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (setting_table[i].word != NULL && slice_is(word, setting_table[i].word)) {
            return &setting_table[i];
        }
    }
    return NULL;
}

enum setting_id
settings_id(const struct setting *row)
{
    assert(row >= setting_table && row < setting_table + SETTINGS);
    return (enum setting_id)(row - setting_table);
}

/* -- text to values ------------------------------------------------------------------------ */

static err_t
bool_parse(const char *text, struct value *ret)
{
    static const char *const no_yes[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

    for (size_t i = 0; i < sizeof no_yes / sizeof *no_yes; i++) {
        if (strcmp(text, no_yes[i]) == 0) {
            ret->number = (int64_t)(i & 1);
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

struct suffix {
    char    text[4];
    int64_t factor;
};

static const struct suffix byte_suffixes[] = {
    { "k", INT64_C(1) << 10 }, { "m", INT64_C(1) << 20 }, { "g", INT64_C(1) << 30 },
    { "t", INT64_C(1) << 40 }, { "K", INT64_C(1) << 10 }, { "M", INT64_C(1) << 20 },
    { "G", INT64_C(1) << 30 }, { "T", INT64_C(1) << 40 }, { "", 0 },
};

static const struct suffix time_suffixes[] = {
    { "us", 1 },
    { "ms", USEC_PER_MSEC },
    { "s", USEC_PER_SEC },
    { "m", 60 * USEC_PER_SEC },
    { "h", 3600 * USEC_PER_SEC },
    { "d", 86400 * USEC_PER_SEC },
    { "", 0 },
};

/* Digits and one of the suffixes; without one the number counts in bare. */
static err_t
scaled_parse(const char *text, const struct suffix *suffix, int64_t bare, struct value *ret)
{
    size_t  digits = strspn(text, "0123456789");
    int64_t factor = bare;
    int64_t number;

    if (digits == 0) {
        return ERR_INVALID;
    }
    if (text[digits] != '\0') {
        while (suffix->factor != 0 && strcmp(suffix->text, text + digits) != 0) {
            suffix++;
        }
        if (suffix->factor == 0) {
            return ERR_INVALID;
        }
        factor = suffix->factor;
    }
    if (!num_parse_i64(slice_of(text, digits), &number) || number > INT64_MAX / factor) {
        return ERR_RANGE;
    }
    ret->number = number * factor;
    return ERR_OK;
}

static int64_t
unit_factor(enum setting_unit unit, enum setting_type type)
{
    if (type == SETTING_TYPE_USEC) {
        return unit == SETTING_UNIT_USEC ? 1 : USEC_PER_SEC;
    }
    return unit == SETTING_UNIT_KILO ? 1 << 10 : unit == SETTING_UNIT_MEGA ? 1 << 20 : 1;
}

static err_t
count_parse(const char *text, struct value *ret)
{
    size_t sign = text[0] == '-' ? 1 : 0;
    size_t digits = strspn(text + sign, "0123456789");

    if (digits == 0 || text[sign + digits] != '\0') {
        return ERR_INVALID;
    }
    return num_parse_i64(slice_of(text, sign + digits), &ret->number) ? ERR_OK : ERR_RANGE;
}

/* Digits with at most one point; strtod() alone would take "nan", "0x1p3" and blanks. */
static err_t
real_parse(const char *text, struct value *ret)
{
    size_t whole = strspn(text, "0123456789");
    size_t rest = text[whole] == '.' ? 1 + strspn(text + whole + 1, "0123456789") : 0;

    if (whole + rest == 0 || (whole == 0 && rest == 1) || text[whole + rest] != '\0') {
        return ERR_INVALID;
    }
    ret->real = strtod(text, NULL);
    return ERR_OK;
}

static err_t
octal_parse(const char *text, struct value *ret)
{
    size_t digits = strspn(text, "01234567");

    if (digits == 0 || text[digits] != '\0') {
        return ERR_INVALID;
    }
    /* Too many digits end as the largest number, which no setting allows. */
    ret->number = strtol(text, NULL, 8);
    return ERR_OK;
}

static err_t
choice_parse(const struct setting *row, const char *text, struct value *ret)
{
    const char *at = row->min;

    for (int64_t i = 0; at != NULL; i++) {
        const char *bar = strchr(at, '|');
        size_t      len = bar == NULL ? strlen(at) : (size_t)(bar - at);

        if (slice_is(slice_of(at, len), text)) {
            ret->number = i;
            return ERR_OK;
        }
        at = bar == NULL ? NULL : bar + 1;
    }
    return ERR_INVALID;
}

/* For a TEXT the number is its length: min and max bound that. */
static err_t
text_parse(const char *text, struct value *ret)
{
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20) {
            return ERR_INVALID;
        }
    }
    ret->text = text;
    ret->number = (int64_t)strlen(text);
    return ret->number < SETTINGS_TEXT_MAX ? ERR_OK : ERR_RANGE;
}

static err_t
value_parse(const struct setting *row, const char *text, enum setting_unit unit, struct value *ret)
{
    int64_t bare = unit_factor(unit, row->type);

    switch (row->type) {
    case SETTING_TYPE_BOOL:
        return bool_parse(text, ret);
    case SETTING_TYPE_COUNT:
        return count_parse(text, ret);
    case SETTING_TYPE_BYTES:
        return scaled_parse(text, byte_suffixes, bare, ret);
    case SETTING_TYPE_USEC:
        return scaled_parse(text, time_suffixes, bare, ret);
    case SETTING_TYPE_REAL:
        return real_parse(text, ret);
    case SETTING_TYPE_OCTAL:
        return octal_parse(text, ret);
    case SETTING_TYPE_TEXT:
        return text_parse(text, ret);
    case SETTING_TYPE_CHOICE:
        return choice_parse(row, text, ret);
    }
    return ERR_INVALID;
}

/* A bound of the table; for TEXT it is a length. */
static struct value
bound_parse(const struct setting *row, const char *text)
{
    struct value v = { 0 };
    err_t        e = row->type == SETTING_TYPE_TEXT
                         ? count_parse(text, &v)
                         : value_parse(row, text, SETTING_UNIT_ONE, &v);

    assert(e == ERR_OK);
    (void)e;
    return v;
}

static bool
value_in_range(const struct setting *row, const struct value *v)
{
    bool real = row->type == SETTING_TYPE_REAL;

    if (row->type == SETTING_TYPE_CHOICE) {
        return true;
    }
    if (row->min != NULL) {
        struct value min = bound_parse(row, row->min);

        if (real ? v->real < min.real : v->number < min.number) {
            return false;
        }
    }
    if (row->max != NULL) {
        struct value max = bound_parse(row, row->max);

        if (real ? v->real > max.real : v->number > max.number) {
            return false;
        }
    }
    return true;
}

/* -- storing ------------------------------------------------------------------------------- */

/* Numbers are stored atomically: other threads may be reading LIVE ones. */
static void
value_store(struct settings *s, const struct setting *row, struct value *v)
{
    void *at = (char *)s + row->offset;

    switch (row->type) {
    case SETTING_TYPE_BOOL:
        __atomic_store_n((setting_BOOL *)at, v->number != 0, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_COUNT:
        __atomic_store_n((setting_COUNT *)at, v->number, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_BYTES:
        __atomic_store_n((setting_BYTES *)at, (size_t)v->number, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_USEC:
        __atomic_store_n((setting_USEC *)at, v->number, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_REAL:
        __atomic_store((setting_REAL *)at, &v->real, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_OCTAL:
        __atomic_store_n((setting_OCTAL *)at, (unsigned)v->number, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_CHOICE:
        __atomic_store_n((setting_CHOICE *)at, (unsigned)v->number, __ATOMIC_RELAXED);
        break;
    case SETTING_TYPE_TEXT:
        memcpy(at, v->text, (size_t)v->number + 1);
        break;
    }
}

static err_t
invalid_explain(const struct setting *row, const char *text, struct err_detail *d)
{
    static const char *const wanted[] = {
        [SETTING_TYPE_BOOL] = "yes or no",
        [SETTING_TYPE_COUNT] = "a whole number",
        [SETTING_TYPE_BYTES] = "a number of bytes such as 65536, 64k, 64m or 1g",
        [SETTING_TYPE_USEC] = "a time such as 100us, 20ms, 5s, 10m, 2h or 1d",
        [SETTING_TYPE_REAL] = "a number such as 1.25",
        [SETTING_TYPE_OCTAL] = "a number in octal",
        [SETTING_TYPE_TEXT] = "text without control characters",
        [SETTING_TYPE_CHOICE] = "",
    };

    if (row->type == SETTING_TYPE_CHOICE) {
        return err_set(d, ERR_INVALID, "%s: '%.64s' is not one of %s", row->name, text, row->min);
    }
    return err_set(d, ERR_INVALID, "%s: '%.64s' is not %s", row->name, text, wanted[row->type]);
}

static err_t
range_explain(const struct setting *row, const char *text, struct err_detail *d)
{
    const char *max = row->max;

    if (row->type == SETTING_TYPE_TEXT) {
        return err_set(d, ERR_RANGE, "%s: '%.32s...' has not %s to %s bytes", row->name, text,
                       row->min == NULL ? "0" : row->min, max == NULL ? "1023" : max);
    }
    if (row->min == NULL || max == NULL) {
        return err_set(d, ERR_RANGE, "%s: '%.64s' is out of range", row->name, text);
    }
    return err_set(d, ERR_RANGE, "%s: '%.64s' is not between %s and %s", row->name, text, row->min,
                   max);
}

err_t
settings_set_row(struct settings *s, const struct setting *row, const char *text,
                 enum setting_unit unit, struct err_detail *d)
{
    struct value v = { 0 };
    err_t        e = value_parse(row, text, unit, &v);

    if (e == ERR_INVALID) {
        return invalid_explain(row, text, d);
    }
    if (e != ERR_OK || !value_in_range(row, &v)) {
        return range_explain(row, text, d);
    }
    value_store(s, row, &v);
    __atomic_store_n(&s->given[settings_id(row)], SETTINGS_FROM_NAME, __ATOMIC_RELAXED);
    return ERR_OK;
}

bool
settings_is_below(const struct setting *row, const char *text, enum setting_unit unit)
{
    struct value v = { 0 }, min;

    if (text[0] == '-' && row->type != SETTING_TYPE_COUNT) {
        return true;
    }
    if (row->min == NULL || row->type == SETTING_TYPE_CHOICE ||
        value_parse(row, text, unit, &v) != ERR_OK) {
        return false;
    }
    min = bound_parse(row, row->min);
    return row->type == SETTING_TYPE_REAL ? v.real < min.real : v.number < min.number;
}

err_t
settings_set(struct settings *s, const char *name, const char *text, struct err_detail *d)
{
    const struct setting *row = settings_find(name);

    if (row == NULL) {
        return err_set(d, ERR_UNKNOWN, "no setting is called '%.64s'", name);
    }
    return settings_set_row(s, row, text, SETTING_UNIT_ONE, d);
}

err_t
settings_set_live(struct settings *s, const char *name, const char *text, struct err_detail *d)
{
    const struct setting *row = settings_find(name);

    if (row != NULL && row->when == SETTING_WHEN_BOOT) {
        return err_set(d, ERR_DENIED, "%s: can only be changed by a restart", row->name);
    }
    return settings_set(s, name, text, d);
}

void
settings_defaults(struct settings *s)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *row = &setting_table[i];
        err_t                 e = settings_set_row(s, row, row->def, SETTING_UNIT_ONE, NULL);

        assert(e == ERR_OK);
        (void)e;
    }
    memset(s->given, 0, sizeof s->given);
}
