#include "vocab/settings.h"

#include "base/num.h"

#include <assert.h>
#include <stdio.h>

#define WORD_MAX_BYTES 1200 /* of one element of -o, NUL included */

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
    err_t e = settings_set_row(s, row, first, SETTING_UNIT_ONE, d);

    return e == ERR_OK ? settings_set(s, "detail_enabled", "yes", d) : e;
}

/* A UDP port alone sets the TCP port too. */
static err_t
udp_set(struct settings *s, const struct setting *row, const char *text, struct err_detail *d)
{
    err_t e = settings_set_row(s, row, text, SETTING_UNIT_ONE, d);

    if (e == ERR_OK && s->net.udp_port != 0 && !s->given[SETTING_port]) {
        s->net.port = s->net.udp_port;
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
    default:
        e = settings_set_row(s, row, row->alone != NULL ? row->alone : arg, row->unit, d);
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

/* What memcached knows and settings.def has no row for. */
static const struct {
    const char       *word;
    enum word_verdict verdict;
} idle_words[] = {
    { "modern", WORD_IGNORED },
    { "no_hashexpand", WORD_IGNORED },
    { "ext_path", WORD_REFUSED },
    { "ext_page_size", WORD_IGNORED },
    { "ext_wbuf_size", WORD_IGNORED },
    { "ext_threads", WORD_IGNORED },
    { "ext_io_depth", WORD_IGNORED },
    { "ext_item_size", WORD_IGNORED },
    { "ext_item_age", WORD_IGNORED },
    { "ext_low_ttl", WORD_IGNORED },
    { "ext_recache_rate", WORD_IGNORED },
    { "ext_compact_under", WORD_IGNORED },
    { "ext_drop_under", WORD_IGNORED },
    { "ext_max_frag", WORD_IGNORED },
    { "ext_max_sleep", WORD_IGNORED },
    { "ext_drop_unread", WORD_IGNORED },
    { "no_ext_drop_unread", WORD_IGNORED },
    { "proxy_config", WORD_REFUSED },
    { "proxy_arg", WORD_IGNORED },
    { "proxy_uring", WORD_IGNORED },
    { "proxy_memprofile", WORD_IGNORED },
    { "ssl_chain_cert", WORD_IGNORED },
    { "ssl_key", WORD_IGNORED },
    { "ssl_verify_mode", WORD_IGNORED },
    { "ssl_keyformat", WORD_IGNORED },
    { "ssl_ciphers", WORD_IGNORED },
    { "ssl_ca_cert", WORD_IGNORED },
    { "ssl_wbuf_size", WORD_IGNORED },
    { "ssl_session_cache", WORD_IGNORED },
    { "ssl_kernel_tls", WORD_IGNORED },
    { "ssl_min_version", WORD_IGNORED },
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
        return err_set(d, ERR_INVALID, "option -o %s needs a value", row->word);
    }
    return settings_set_row(s, row, value, row->unit, d);
}

static err_t
idle_word_set(struct slice word, struct err_detail *d)
{
    for (size_t i = 0; i < sizeof idle_words / sizeof *idle_words; i++) {
        if (slice_is(word, idle_words[i].word)) {
            if (idle_words[i].verdict == WORD_REFUSED) {
                return err_set(d, ERR_DENIED, "option -o %s is not supported", idle_words[i].word);
            }
            return ERR_OK;
        }
    }
    return err_set(d, ERR_UNKNOWN, "Illegal suboption \"%.*s\"",
                   word.len > 64 ? 64 : (int)word.len, word.ptr);
}

/* One element of the list; value is NULL if there is no "=". */
static err_t
word_set(struct settings *s, struct slice word, const char *value, struct err_detail *d)
{
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
    return spread ? ERR_OK : idle_word_set(word, d);
}

err_t
settings_set_words(struct settings *s, const char *list, struct err_detail *d)
{
    while (*list != '\0') {
        char   element[WORD_MAX_BYTES];
        size_t len = strcspn(list, ",");
        size_t word_len;
        err_t  e;

        if (len >= sizeof element) {
            return err_set(d, ERR_RANGE, "option -o %.32s... is longer than %d bytes", list,
                           WORD_MAX_BYTES - 1);
        }
        memcpy(element, list, len);
        element[len] = '\0';
        list += list[len] == ',' ? len + 1 : len;
        if (len == 0) {
            continue;
        }
        word_len = strcspn(element, "=");
        e = word_set(s, slice_of(element, word_len),
                     element[word_len] == '=' ? element + word_len + 1 : NULL, d);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}
