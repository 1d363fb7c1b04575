#include "vocab/settings.h"

#include <assert.h>
#include <stdio.h>

#define HELP_COLUMN 34 /* where the help text starts */
#define HELP_WIDTH  100

/* -- values -------------------------------------------------------------------------------- */

/* The value of any type that is a whole number. */
static int64_t
number_get(const struct settings *s, const struct setting *row)
{
    const void *at = (const char *)s + row->offset;

    switch (row->type) {
    case SETTING_TYPE_BOOL:
        return SETTINGS_LIVE(*(const setting_BOOL *)at) ? 1 : 0;
    case SETTING_TYPE_COUNT:
        return SETTINGS_LIVE(*(const setting_COUNT *)at);
    case SETTING_TYPE_BYTES:
        return (int64_t)SETTINGS_LIVE(*(const setting_BYTES *)at);
    case SETTING_TYPE_USEC:
        return SETTINGS_LIVE(*(const setting_USEC *)at);
    case SETTING_TYPE_OCTAL:
        return SETTINGS_LIVE(*(const setting_OCTAL *)at);
    case SETTING_TYPE_CHOICE:
        return SETTINGS_LIVE(*(const setting_CHOICE *)at);
    case SETTING_TYPE_REAL:
    case SETTING_TYPE_TEXT:
        break;
    }
    assert(row->type != SETTING_TYPE_REAL && row->type != SETTING_TYPE_TEXT);
    return 0;
}

static double
real_get(const struct settings *s, const struct setting *row)
{
    const void *at = (const char *)s + row->offset;
    double      value;

    __atomic_load((const setting_REAL *)at, &value, __ATOMIC_RELAXED);
    return value;
}

static struct slice
choice_word(const struct setting *row, int64_t index)
{
    const char *at = row->min;

    for (; index > 0; index--) {
        at = strchr(at, '|');
        assert(at != NULL);
        at++;
    }
    return slice_of(at, strcspn(at, "|"));
}

/* A number in the largest unit that loses nothing. */
static int
scaled_print(int64_t value, enum setting_type type, char *out, size_t size)
{
    static const struct {
        const char *suffix;
        int64_t     factor;
    } bytes[] = { { "t", INT64_C(1) << 40 },
                  { "g", INT64_C(1) << 30 },
                  { "m", INT64_C(1) << 20 },
                  { "k", INT64_C(1) << 10 },
                  { "", 1 } },
      times[] = { { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
                  { "m", 60 * USEC_PER_SEC },    { "s", USEC_PER_SEC },
                  { "ms", USEC_PER_MSEC },       { "us", 1 } };
    size_t i = 0;

    if (value == 0) {
        return snprintf(out, size, "0");
    }
    if (type == SETTING_TYPE_BYTES) {
        while (value % bytes[i].factor != 0) {
            i++;
        }
        return snprintf(out, size, "%lld%s", (long long)(value / bytes[i].factor),
                        bytes[i].suffix);
    }
    while (value % times[i].factor != 0) {
        i++;
    }
    return snprintf(out, size, "%lld%s", (long long)(value / times[i].factor), times[i].suffix);
}

size_t
settings_print(const struct settings *s, const struct setting *row, char *out, size_t size)
{
    struct slice word;
    int          n = 0;

    switch (row->type) {
    case SETTING_TYPE_BOOL:
        n = snprintf(out, size, "%s", number_get(s, row) ? "yes" : "no");
        break;
    case SETTING_TYPE_COUNT:
        n = snprintf(out, size, "%lld", (long long)number_get(s, row));
        break;
    case SETTING_TYPE_BYTES:
    case SETTING_TYPE_USEC:
        n = scaled_print(number_get(s, row), row->type, out, size);
        break;
    case SETTING_TYPE_REAL:
        n = snprintf(out, size, "%.12f", real_get(s, row));
        /* Zeros that say nothing go, but the text stays one that settings_set() takes. */
        while (n > 0 && (size_t)n < size && out[n - 1] == '0') {
            out[--n] = '\0';
        }
        if (n > 0 && (size_t)n < size && out[n - 1] == '.') {
            out[--n] = '\0';
        }
        break;
    case SETTING_TYPE_OCTAL:
        n = snprintf(out, size, "%llo", (unsigned long long)number_get(s, row));
        break;
    case SETTING_TYPE_TEXT:
        n = snprintf(out, size, "%s", (const char *)s + row->offset);
        break;
    case SETTING_TYPE_CHOICE:
        word = choice_word(row, number_get(s, row));
        n = snprintf(out, size, "%.*s", (int)word.len, word.ptr);
        break;
    }
    assert(n >= 0);
    return (size_t)n;
}

/* -- help ---------------------------------------------------------------------------------- */

/* "  -m, --memory-limit=BYTES"; returns its length. */
static size_t
option_print(const struct setting *row, char *out, size_t size)
{
    static const char *const types[] = {
        [SETTING_TYPE_BOOL] = "yes|no",   [SETTING_TYPE_COUNT] = "N",
        [SETTING_TYPE_BYTES] = "BYTES",   [SETTING_TYPE_USEC] = "TIME",
        [SETTING_TYPE_REAL] = "REAL",     [SETTING_TYPE_OCTAL] = "OCTAL",
        [SETTING_TYPE_TEXT] = "TEXT",     [SETTING_TYPE_CHOICE] = "WORD",
    };
    char name[64];
    int  n;

    snprintf(name, sizeof name, "%s", row->name);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '_' ? '-' : *at;
    }
    n = row->letter != 0
            ? snprintf(out, size, "  -%c, --%s=%s", row->letter, name, types[row->type])
            : snprintf(out, size, "      --%s=%s", name, types[row->type]);
    assert(n > 0 && (size_t)n < size);
    return (size_t)n;
}

/* Words in lines from HELP_COLUMN on; column is where the first line stands. */
static bool
words_wrap(struct buf *out, size_t column, const char *text)
{
    bool first = true;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        bool   fits = column + 1 + len <= HELP_WIDTH;
        bool   added;

        if (first) {
            size_t pad = column < HELP_COLUMN ? HELP_COLUMN - column : 0;

            added = column < HELP_COLUMN ? buf_printf(out, "%*s", (int)pad, "")
                                         : buf_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (fits) {
            added = buf_add(out, " ", 1);
            column++;
        } else {
            added = buf_printf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        if (!added || !buf_add(out, text, len)) {
            return false;
        }
        first = false;
        column += len;
        text += len;
        text += strspn(text, " ");
    }
    return buf_add(out, "\n", 1);
}

/* What a bare number means behind the letter or the word, where that differs from elsewhere. */
static const char *
unit_words(const struct setting *row)
{
    if (row->type == SETTING_TYPE_USEC && row->unit == SETTING_UNIT_USEC) {
        return " in microseconds";
    }
    return row->unit == SETTING_UNIT_KILO   ? " in kilobytes"
           : row->unit == SETTING_UNIT_MEGA ? " in megabytes"
                                            : "";
}

static bool
row_help(struct buf *out, const struct setting *row)
{
    char        option[80];
    char        text[512];
    const char *alone = "";
    size_t      len;
    int         n;

    option_print(row, option, sizeof option);
    if (row->alone != NULL && row->letter == 'v') {
        alone = " Each -v adds one.";
    } else if (row->alone != NULL) {
        alone = strcmp(row->alone, "no") == 0 ? " The letter turns it off." : "";
    }
    n = snprintf(text, sizeof text, "%s%s", row->help, alone);
    assert(n > 0 && (size_t)n < sizeof text);
    len = (size_t)n;
    if (row->word != NULL) {
        n = snprintf(text + len, sizeof text - len, " Also -o %s%s.", row->word, unit_words(row));
        assert(n > 0 && (size_t)n < sizeof text - len);
        len += (size_t)n;
    } else if (row->letter != 0 && *unit_words(row) != '\0') {
        n = snprintf(text + len, sizeof text - len, " A bare number counts%s.", unit_words(row));
        assert(n > 0 && (size_t)n < sizeof text - len);
        len += (size_t)n;
    }
    if (*row->def != '\0') {
        n = snprintf(text + len, sizeof text - len, " Default: %s", row->def);
        assert(n > 0 && (size_t)n < sizeof text - len);
    }
    return buf_add(out, option, strlen(option)) && words_wrap(out, strlen(option), text);
}

/* A section's options under its title; a section without any has no title either. */
static bool
section_help(struct buf *out, const char *section, const char *title,
             bool (*shown)(const struct setting *row))
{
    bool titled = false;

    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &setting_table[i];

        if (strcmp(row->section, section) != 0 || (shown != NULL && !shown(row))) {
            continue;
        }
        if (!titled && !buf_printf(out, "\n%s:\n", title)) {
            return false;
        }
        titled = true;
        if (!row_help(out, row)) {
            return false;
        }
    }
    return true;
}

bool
settings_print_help(struct buf *out, bool (*shown)(const struct setting *row))
{
    static const struct {
        const char *section;
        const char *title;
    } titles[] = {
#define SECTION(name_, title_) { .section = #name_, .title = (title_) },
#include "vocab/settings.def"
    };

    for (size_t t = 0; t < sizeof titles / sizeof *titles; t++) {
        if (!section_help(out, titles[t].section, titles[t].title, shown)) {
            return false;
        }
    }
    return true;
}

/* -- "stats settings" ---------------------------------------------------------------------- */

/* How memcached writes a value; AS_TYPE is the usual way. */
enum stat_form {
    AS_TYPE,
    AS_ON_OFF,
    AS_NULL,  /* empty text is "NULL" */
    AS_NIL,   /* empty text and 0 are "(null)": what memcached's printf makes of a null pointer */
    AS_NO,    /* empty text is "no" */
    AS_PROTOCOL,
    AS_FIXED, /* nothing that can be set here */
};

/* In memcached's order. */
static const struct stat_row {
    const char     *key;
    enum setting_id id;
    enum stat_form  form;
    const char     *fixed;
} stat_rows[] = {
    { "maxbytes", SETTING_memory_limit, AS_TYPE, NULL },
    { "maxconns", SETTING_max_connections, AS_TYPE, NULL },
    { "tcpport", SETTING_port, AS_TYPE, NULL },
    { "udpport", SETTING_udp_port, AS_TYPE, NULL },
    { "inter", SETTING_listen, AS_NULL, NULL },
    { "verbosity", SETTING_verbosity, AS_TYPE, NULL },
    { "oldest", SETTINGS, AS_FIXED, "0" },
    { "evictions", SETTING_evict, AS_ON_OFF, NULL },
    { "domain_socket", SETTING_unix_socket, AS_NULL, NULL },
    { "umask", SETTING_unix_mode, AS_TYPE, NULL },
    { "shutdown_command", SETTING_shutdown_command, AS_TYPE, NULL },
    { "growth_factor", SETTING_growth_factor, AS_TYPE, NULL },
    { "chunk_size", SETTING_chunk_size, AS_TYPE, NULL },
    { "num_threads", SETTING_threads, AS_TYPE, NULL },
    { "num_threads_per_udp", SETTING_threads, AS_TYPE, NULL },
    { "stat_key_prefix", SETTING_detail_prefix, AS_TYPE, NULL },
    { "detail_enabled", SETTING_detail_enabled, AS_TYPE, NULL },
    { "reqs_per_event", SETTING_reqs_per_event, AS_TYPE, NULL },
    { "cas_enabled", SETTING_cas, AS_TYPE, NULL },
    { "tcp_backlog", SETTING_backlog, AS_TYPE, NULL },
    { "binding_protocol", SETTING_protocol, AS_PROTOCOL, NULL },
    { "auth_enabled_sasl", SETTING_sasl, AS_TYPE, NULL },
    { "auth_enabled_ascii", SETTING_auth_file, AS_NO, NULL },
    { "item_size_max", SETTING_item_size_max, AS_TYPE, NULL },
    { "maxconns_fast", SETTING_maxconns_fast, AS_TYPE, NULL },
    { "hashpower_init", SETTING_hashpower, AS_TYPE, NULL },
    { "slab_reassign", SETTING_slab_reassign, AS_TYPE, NULL },
    { "slab_automove", SETTING_slab_automove, AS_TYPE, NULL },
    { "slab_automove_ratio", SETTING_slab_automove_ratio, AS_TYPE, NULL },
    { "slab_automove_window", SETTING_slab_automove_window, AS_TYPE, NULL },
    { "slab_chunk_max", SETTING_slab_chunk_max, AS_TYPE, NULL },
    { "lru_crawler", SETTING_lru_crawler, AS_TYPE, NULL },
    { "lru_crawler_sleep", SETTING_lru_crawler_sleep, AS_TYPE, NULL },
    { "lru_crawler_tocrawl", SETTING_lru_crawler_tocrawl, AS_TYPE, NULL },
    { "tail_repair_time", SETTING_tail_repair_time, AS_TYPE, NULL },
    { "flush_enabled", SETTING_flush_enabled, AS_TYPE, NULL },
    { "dump_enabled", SETTING_dump_enabled, AS_TYPE, NULL },
    { "hash_algorithm", SETTING_hash_algorithm, AS_TYPE, NULL },
    { "lru_maintainer_thread", SETTING_lru_maintainer, AS_TYPE, NULL },
    { "lru_segmented", SETTING_lru_segmented, AS_TYPE, NULL },
    { "hot_lru_pct", SETTING_hot_lru_pct, AS_TYPE, NULL },
    { "warm_lru_pct", SETTING_warm_lru_pct, AS_TYPE, NULL },
    { "hot_max_factor", SETTING_hot_max_factor, AS_TYPE, NULL },
    { "warm_max_factor", SETTING_warm_max_factor, AS_TYPE, NULL },
    { "temp_lru", SETTING_temp_lru, AS_TYPE, NULL },
    { "temporary_ttl", SETTING_temporary_ttl, AS_TYPE, NULL },
    { "idle_timeout", SETTING_idle_timeout, AS_TYPE, NULL },
    { "watcher_logbuf_size", SETTING_watcher_logbuf_size, AS_TYPE, NULL },
    { "worker_logbuf_size", SETTING_worker_logbuf_size, AS_TYPE, NULL },
    { "read_buf_mem_limit", SETTING_read_buf_mem_limit, AS_TYPE, NULL },
    { "track_sizes", SETTING_track_sizes, AS_TYPE, NULL },
    { "inline_ascii_response", SETTING_inline_ascii_resp, AS_TYPE, NULL },
    { "num_napi_ids", SETTING_napi_ids, AS_NIL, NULL },
    { "memory_file", SETTING_memory_file, AS_NIL, NULL },
    { "client_flags_size", SETTINGS, AS_FIXED, "4" },
};

/* Numbers without suffix: bytes are bytes, times are in the unit of memcached's option. */
static void
plain_print(const struct settings *s, const struct setting *row, char *out, size_t size)
{
    int64_t per = row->unit == SETTING_UNIT_USEC ? 1 : USEC_PER_SEC;

    switch (row->type) {
    case SETTING_TYPE_BYTES:
        snprintf(out, size, "%lld", (long long)number_get(s, row));
        break;
    case SETTING_TYPE_USEC:
        snprintf(out, size, "%lld", (long long)(number_get(s, row) / per));
        break;
    case SETTING_TYPE_REAL:
        snprintf(out, size, "%.2f", real_get(s, row));
        break;
    case SETTING_TYPE_BOOL:
    case SETTING_TYPE_COUNT:
    case SETTING_TYPE_OCTAL:
    case SETTING_TYPE_TEXT:
    case SETTING_TYPE_CHOICE:
        settings_print(s, row, out, size);
        break;
    }
}

static const char *
stat_value(const struct settings *s, const struct stat_row *stat, char *room, size_t size)
{
    const struct setting *row;
    bool                  empty;

    if (stat->form == AS_FIXED) {
        return stat->fixed;
    }
    row = &setting_table[stat->id];
    plain_print(s, row, room, size);
    empty = room[0] == '\0' || strcmp(room, "0") == 0;
    switch (stat->form) {
    case AS_ON_OFF:
        return strcmp(room, "yes") == 0 ? "on" : "off";
    case AS_NULL:
        return empty ? "NULL" : room;
    case AS_NIL:
        return empty ? "(null)" : room;
    case AS_NO:
        return empty ? "no" : room;
    case AS_PROTOCOL:
        return strcmp(room, "auto") == 0 ? "auto-negotiate" : room;
    case AS_TYPE:
    case AS_FIXED:
        break;
    }
    return room;
}

void
settings_each_stat(const struct settings *s,
                   void (*emit)(void *arg, const char *key, const char *value), void *arg)
{
    for (size_t i = 0; i < sizeof stat_rows / sizeof *stat_rows; i++) {
        char room[SETTINGS_TEXT_MAX];

        emit(arg, stat_rows[i].key, stat_value(s, &stat_rows[i], room, sizeof room));
    }
}
