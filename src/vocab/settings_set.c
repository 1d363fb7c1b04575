#include "vocab/settings.h"

#include "base/num.h"
#include "vocab/complaints.h"

#include <assert.h>
#include <stdio.h>

#define WORD_MAX_BYTES 1200 /* of one element of -o, NUL included */

/* As settings_set_row(), for memcached's own options: complains in its words. */
static err_t
option_set(struct settings *s, const struct setting *row, const char *text, enum setting_unit unit,
           struct err_detail *d)
{
    err_t e = settings_set_row(s, row, text, unit, d);

    if (e == ERR_INVALID || e == ERR_RANGE) {
        complaint_value(d, settings_id(row),
                        settings_is_below(row, text, unit) ? COMPLAINT_LOW
                        : e == ERR_RANGE                   ? COMPLAINT_HIGH
                                                           : COMPLAINT_UNREADABLE,
                        text);
    }
    return e;
}

/* -- letters ------------------------------------------------------------------------------- */

/* Puts the text behind the list that earlier letters made; files and environment are replaced. */
static err_t
list_extend(struct settings *s, const struct setting *row, const char *text, struct err_detail *d)
{
    char        joined[2 * SETTINGS_TEXT_MAX];
    const char *old = (const char *)s + row->offset;
    int         n;

    if (s->given[settings_id(row)] != SETTINGS_FROM_LETTER || *old == '\0') {
        return settings_set_row(s, row, text, row->unit, d);
    }
    n = snprintf(joined, sizeof joined, "%s,%s", old, text);
    if (n < 0 || (size_t)n >= sizeof joined) {
        return err_set(d, ERR_RANGE, "%s: longer than %d bytes", row->name, SETTINGS_TEXT_MAX - 1);
    }
    return settings_set_row(s, row, joined, row->unit, d);
}

static err_t
verbosity_count(struct settings *s, const struct setting *row, struct err_detail *d)
{
    bool    again = s->given[SETTING_verbosity] == SETTINGS_FROM_LETTER;
    int64_t level = again ? s->admin.verbosity + 1 : 1;
    char    text[NUM_PRINT_MAX + 1];

    text[num_print_i64(text, level)] = '\0';
    return settings_set_row(s, row, text, SETTING_UNIT_ONE, d);
}

/* memcached takes the first character of whatever follows -D, and starts counting. */
static err_t
prefix_set(struct settings *s, const struct setting *row, const char *text, struct err_detail *d)
{
    char  first[2] = { text[0], '\0' };
    err_t e = option_set(s, row, first, SETTING_UNIT_ONE, d);

    return e == ERR_OK ? settings_set(s, "detail_enabled", "yes", d) : e;
}

/* A UDP port alone sets the TCP port too. */
static err_t
udp_set(struct settings *s, const struct setting *row, const char *text, struct err_detail *d)
{
    err_t e = option_set(s, row, text, SETTING_UNIT_ONE, d);

    if (e == ERR_OK && s->net.udp_port != 0 && !s->given[SETTING_port]) {
        s->net.port = s->net.udp_port;
    }
    return e;
}

/* By name 0 is "not asked for"; behind the letter it is a mistake. */
static err_t
napi_ids_set(struct settings *s, const struct setting *row, const char *text, struct err_detail *d)
{
    int64_t before = s->net.napi_ids;
    err_t e = option_set(s, row, text, SETTING_UNIT_ONE, d);

    if (e == ERR_OK && s->net.napi_ids == 0) {
        s->net.napi_ids = before;
        complaint_value(d, SETTING_napi_ids, COMPLAINT_LOW, text);
        return ERR_RANGE;
    }
    return e;
}

err_t
settings_set_letter(struct settings *s, char letter, const char *arg, struct err_detail *d)
{
    const struct setting *row = settings_find_letter(letter);
    err_t                 e;

    if (row == NULL) {
        return err_set(d, ERR_UNKNOWN, "no option is called '-%c'", letter);
    }
    if (row->alone == NULL && arg == NULL) {
        return err_set(d, ERR_INVALID, "option '-%c' needs a value", letter);
    }
    switch (letter) {
    case 'v':
        e = verbosity_count(s, row, d);
        break;
    case 'l':
        e = list_extend(s, row, arg, d);
        break;
    case 'D':
        e = prefix_set(s, row, arg, d);
        break;
    case 'U':
        e = udp_set(s, row, arg, d);
        break;
    case 'N':
        e = napi_ids_set(s, row, arg, d);
        break;
    default:
        e = option_set(s, row, row->alone != NULL ? row->alone : arg, row->unit, d);
        break;
    }
    if (e == ERR_OK) {
        s->given[settings_id(row)] = SETTINGS_FROM_LETTER;
    }
    return e;
}

/* -- words of -o --------------------------------------------------------------------------- */

enum word_verdict {
    WORD_IGNORED, /* changes nothing here, or nothing without an option that is refused */
    WORD_REFUSED, /* asks for something that does not exist here */
};

/* What memcached wants behind the word. */
enum word_value {
    WORD_ALONE, /* nothing: it does not look */
    WORD_MAYBE, /* anything or nothing */
    WORD_TEXT,
    WORD_NUMBER, /* 32 bits */
    WORD_UP_TO_3,
    WORD_REAL,
};

/* What memcached knows and settings.def has no row for. */
static const struct {
    const char       *word;
    enum word_verdict verdict;
    enum word_value   value;
} idle_words[] = {
    { "modern", WORD_IGNORED, WORD_ALONE },
    { "no_hashexpand", WORD_IGNORED, WORD_ALONE },
    { "resp_obj_mem_limit", WORD_IGNORED, WORD_MAYBE },
    { "ext_path", WORD_REFUSED, WORD_MAYBE },
    { "ext_page_size", WORD_IGNORED, WORD_NUMBER },
    { "ext_wbuf_size", WORD_IGNORED, WORD_NUMBER },
    { "ext_threads", WORD_IGNORED, WORD_NUMBER },
    { "ext_io_depth", WORD_IGNORED, WORD_NUMBER },
    { "ext_item_size", WORD_IGNORED, WORD_NUMBER },
    { "ext_item_age", WORD_IGNORED, WORD_NUMBER },
    { "ext_low_ttl", WORD_IGNORED, WORD_NUMBER },
    { "ext_recache_rate", WORD_IGNORED, WORD_NUMBER },
    { "ext_compact_under", WORD_IGNORED, WORD_NUMBER },
    { "ext_drop_under", WORD_IGNORED, WORD_NUMBER },
    { "ext_max_frag", WORD_IGNORED, WORD_REAL },
    { "ext_max_sleep", WORD_IGNORED, WORD_NUMBER },
    { "ext_drop_unread", WORD_IGNORED, WORD_ALONE },
    { "no_ext_drop_unread", WORD_IGNORED, WORD_ALONE },
    { "proxy_config", WORD_REFUSED, WORD_MAYBE },
    { "proxy_arg", WORD_IGNORED, WORD_MAYBE },
    { "proxy_uring", WORD_IGNORED, WORD_ALONE },
    { "proxy_memprofile", WORD_IGNORED, WORD_ALONE },
    { "ssl_chain_cert", WORD_IGNORED, WORD_TEXT },
    { "ssl_key", WORD_IGNORED, WORD_TEXT },
    { "ssl_verify_mode", WORD_IGNORED, WORD_UP_TO_3 },
    { "ssl_keyformat", WORD_IGNORED, WORD_TEXT },
    { "ssl_ciphers", WORD_IGNORED, WORD_TEXT },
    { "ssl_ca_cert", WORD_IGNORED, WORD_TEXT },
    { "ssl_wbuf_size", WORD_IGNORED, WORD_NUMBER },
    { "ssl_session_cache", WORD_IGNORED, WORD_ALONE },
    { "ssl_kernel_tls", WORD_IGNORED, WORD_ALONE },
    { "ssl_min_version", WORD_IGNORED, WORD_UP_TO_3 },
};

struct name_value {
    const char *name;
    const char *value;
};

/* What one word sets beside or instead of the setting of its name; ends with NULL. */
static const struct name_value no_modern_means[] = {
    { "no_modern", "yes" },      { "slab_reassign", "no" },  { "slab_automove", "0" },
    { "lru_segmented", "no" },   { "lru_crawler", "no" },    { "lru_maintainer", "no" },
    { "maxconns_fast", "no" },   { "slab_chunk_max", "1m" }, { "hash_algorithm", "jenkins" },
    { NULL, NULL },
};
static const struct name_value no_chunked_items_means[] = {
    { "slab_chunk_max", "1m" },
    { NULL, NULL },
};
static const struct name_value lru_maintainer_means[] = {
    { "lru_segmented", "yes" },
    { NULL, NULL },
};
static const struct name_value no_lru_maintainer_means[] = {
    { "lru_segmented", "no" },
    { NULL, NULL },
};
static const struct name_value temporary_ttl_means[] = {
    { "temp_lru", "yes" },
    { NULL, NULL },
};

static const struct {
    const char              *word;
    const struct name_value *means;
} word_meanings[] = {
    { "no_modern", no_modern_means },
    { "no_chunked_items", no_chunked_items_means },
    { "lru_maintainer", lru_maintainer_means },
    { "no_lru_maintainer", no_lru_maintainer_means },
    { "temporary_ttl", temporary_ttl_means },
};

/* Sets what the word means beside its row; false: nothing. */
static bool
word_spread(struct settings *s, struct slice word)
{
    for (size_t i = 0; i < sizeof word_meanings / sizeof *word_meanings; i++) {
        if (slice_is(word, word_meanings[i].word)) {
            for (const struct name_value *m = word_meanings[i].means; m->name != NULL; m++) {
                err_t e = settings_set(s, m->name, m->value, NULL);

                assert(e == ERR_OK);
                (void)e;
            }
            return true;
        }
    }
    return false;
}

/* A setting that "word" turns on and "no_word" off, without a value. */
static bool
row_is_switch(const struct setting *row)
{
    return row->type == SETTING_TYPE_BOOL || settings_id(row) == SETTING_slab_automove;
}

static err_t
row_set(struct settings *s, const struct setting *row, const char *value, struct err_detail *d)
{
    if (row->type == SETTING_TYPE_BOOL) {
        /* memcached does not look at a value behind a switch, so neither do we. */
        return settings_set_row(s, row, "yes", row->unit, d);
    }
    if (value == NULL && row_is_switch(row)) {
        return settings_set_row(s, row, "1", row->unit, d);
    }
    if (value == NULL) {
        err_set(d, ERR_INVALID, "option -o %s needs a value", row->word);
        complaint_value(d, settings_id(row), COMPLAINT_MISSING, "");
        return ERR_INVALID;
    }
    return option_set(s, row, value, row->unit, d);
}

/* Is this what memcached takes behind the word? */
static err_t
idle_value_check(const char *word, enum word_value wants, const char *value, struct err_detail *d)
{
    struct slice name = slice_of(word, strlen(word)), none = { 0 };
    size_t digits, rest;
    uint64_t n;

    if (wants == WORD_ALONE || wants == WORD_MAYBE) {
        return ERR_OK;
    }
    if (value == NULL) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_WORD_MISSING, name, none);
    }
    if (wants == WORD_TEXT) {
        return ERR_OK;
    }
    digits = strspn(value, "0123456789");
    if (wants == WORD_REAL) {
        rest = value[digits] == '.' ? 1 + strspn(value + digits + 1, "0123456789") : 0;
        return digits + rest > (rest > 0) && value[digits + rest] == '\0'
                   ? ERR_OK
                   : complaint_set(d, ERR_INVALID, COMPLAINT_WORD_UNREADABLE, name, none);
    }
    if (digits == 0 || value[digits] != '\0' || !num_parse_u64(slice_of(value, digits), &n) ||
        n > UINT32_MAX) {
        return complaint_set(d, ERR_INVALID, COMPLAINT_WORD_UNREADABLE, name, none);
    }
    return wants == WORD_UP_TO_3 && n > 3
               ? complaint_set(d, ERR_RANGE, COMPLAINT_WORD_RANGE, name, none)
               : ERR_OK;
}

/* element is the whole of "word" or "word=value". */
static err_t
idle_word_set(struct slice word, const char *value, const char *element, struct err_detail *d)
{
    for (size_t i = 0; i < sizeof idle_words / sizeof *idle_words; i++) {
        if (slice_is(word, idle_words[i].word)) {
            if (idle_words[i].verdict == WORD_REFUSED) {
                return err_set(d, ERR_DENIED, "option -o %s is not supported", idle_words[i].word);
            }
            return idle_value_check(idle_words[i].word, idle_words[i].value, value, d);
        }
    }
    return complaint_set(d, ERR_UNKNOWN, COMPLAINT_SUBOPTION, slice_of(element, strlen(element)),
                         (struct slice){ 0 });
}

/* One element of the list. */
static err_t
word_set(struct settings *s, const char *element, struct err_detail *d)
{
    struct slice          word = slice_of(element, strcspn(element, "="));
    const char           *value = element[word.len] == '=' ? element + word.len + 1 : NULL;
    const struct setting *row = settings_find_word(word);
    bool                  spread;
    err_t                 e;

    if (row != NULL) {
        e = row_set(s, row, value, d);
        if (e == ERR_OK) {
            word_spread(s, word);
        }
        return e;
    }
    spread = word_spread(s, word);
    if (word.len > 3 && memcmp(word.ptr, "no_", 3) == 0) {
        row = settings_find_word(slice_from(word, 3));
        if (row != NULL && row_is_switch(row)) {
            return settings_set_row(s, row, row->type == SETTING_TYPE_BOOL ? "no" : "0", row->unit,
                                    d);
        }
    }
    return spread ? ERR_OK : idle_word_set(word, value, element, d);
}

err_t
settings_set_words(struct settings *s, const char *list, struct err_detail *d)
{
    while (*list != '\0') {
        char   element[WORD_MAX_BYTES];
        size_t len = strcspn(list, ",");
        err_t  e;

        if (len >= sizeof element) {
            return err_set(d, ERR_RANGE, "option -o %.32s... is longer than %d bytes", list,
                           WORD_MAX_BYTES - 1);
        }
        memcpy(element, list, len);
        element[len] = '\0';
        list += list[len] == ',' ? len + 1 : len;
        e = word_set(s, element, d);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}
