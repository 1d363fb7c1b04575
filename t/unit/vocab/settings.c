#include "vocab/settings.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

static struct settings settings;

static err_t
set(const char *name, const char *text)
{
    struct err_detail d = { "" };

    return settings_set(&settings, name, text, &d);
}

/* The value of one setting in the form settings_set() takes; good until the next call. */
static const char *
get(const char *name)
{
    static char room[SETTINGS_TEXT_MAX];

    settings_print(&settings, settings_find(name), room, sizeof room);
    return room;
}

static void
start(void)
{
    settings_defaults(&settings);
}

/* -- the table ----------------------------------------------------------------------------- */

Test(settings, every_default_parses_and_is_printed_back, .init = start)
{
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &setting_table[i];

        cr_expect(eq(int, set(row->name, row->def), ERR_OK), "%s", row->name);
        cr_expect_str_eq(get(row->name), row->def, "%s", row->name);
        cr_expect(eq(int, (int)settings_id(row), (int)i));
    }
}

/* What a node prints of itself must be a file that it reads again. */
Test(settings, every_bound_is_a_legal_value, .init = start)
{
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &setting_table[i];
        char                  printed[SETTINGS_TEXT_MAX];

        if (row->type == SETTING_TYPE_TEXT || row->type == SETTING_TYPE_CHOICE) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            const char *bound = side == 0 ? row->min : row->max;

            if (bound != NULL) {
                cr_expect(eq(int, set(row->name, bound), ERR_OK), "%s %s", row->name, bound);
                settings_print(&settings, row, printed, sizeof printed);
                cr_expect(eq(int, set(row->name, printed), ERR_OK), "%s %s", row->name, printed);
                cr_expect_str_eq(get(row->name), printed, "%s", row->name);
            }
        }
        cr_expect(eq(int, row->type == SETTING_TYPE_BOOL, row->min == NULL && row->max == NULL),
                  "%s: numbers need bounds", row->name);
    }
}

static bool
same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

Test(settings, names_are_unique)
{
    for (size_t i = 0; i < setting_count; i++) {
        for (size_t j = 0; j < i; j++) {
            const struct setting *a = &setting_table[i];
            const struct setting *b = &setting_table[j];

            cr_expect(not(same_text(a->name, b->name)), "%s", a->name);
            cr_expect(not(same_text(a->word, b->word)), "%s", a->name);
            cr_expect(not(same_text(a->stat, b->stat)), "%s", a->name);
            cr_expect(a->letter == 0 || a->letter != b->letter, "%s and %s", a->name, b->name);
        }
    }
}

/* "-D" turns counting on as a side effect, so a letter that stands alone must say what it means. */
Test(settings, letters_that_stand_alone_are_switches, .init = start)
{
    for (size_t i = 0; i < setting_count; i++) {
        const struct setting *row = &setting_table[i];
        bool counts = row->type == SETTING_TYPE_BOOL || row->letter == 'v';

        if (row->letter != 0) {
            cr_expect(eq(int, row->alone != NULL, counts), "-%c", row->letter);
        }
        if (row->alone != NULL) {
            cr_expect(eq(int, set(row->name, row->alone), ERR_OK), "-%c", row->letter);
        }
    }
}

/* memcached's long names and letters take values in the same places. */
Test(settings, long_options_agree_with_the_letters)
{
    for (const struct settings_long *l = settings_long_options; l->name != NULL; l++) {
        const struct setting *row = settings_find_letter(l->letter);

        if (row == NULL) {
            cr_expect(ne(ptr, strchr("hiVZo", l->letter), NULL), "%s", l->name);
        } else {
            cr_expect(eq(int, l->takes_value, row->alone == NULL), "%s", l->name);
        }
    }
}

/* -- values -------------------------------------------------------------------------------- */

Test(settings, good_values, .init = start)
{
    static const struct {
        const char *name;
        const char *text;
        const char *printed;
    } row[] = {
        { "memory_limit", "1073741824", "1g" },
        { "memory-limit", "100M", "100m" },
        { "memory_limit", "1536m", "1536m" },
        { "memory_limit", "16t", "16t" },
        { "idle_timeout", "90", "90s" },
        { "idle_timeout", "120s", "2m" },
        { "idle-timeout", "1500ms", "1500ms" },
        { "lru_crawler_sleep", "1000us", "1ms" },
        { "evict", "off", "no" },
        { "evict", "true", "yes" },
        { "port", "-1", "-1" },
        { "unix_mode", "0755", "755" },
        { "protocol", "binary", "binary" },
        { "growth_factor", "1.08", "1.08" },
        { "growth_factor", "2", "2" },
        { "growth_factor", "10", "10" },
        { "listen", "[::1]:11211,10.0.0.1", "[::1]:11211,10.0.0.1" },
        { "detail_prefix", "#", "#" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect(eq(int, set(row[i].name, row[i].text), ERR_OK), "%s", row[i].text);
        cr_expect_str_eq(get(row[i].name), row[i].printed, "%s %s", row[i].name, row[i].text);
    }
}

/* A wrong value changes nothing and says what is wrong in the user's words. */
Test(settings, bad_values_and_what_they_say, .init = start)
{
    static const struct {
        const char *name;
        const char *text;
        err_t       error;
        const char *says;
    } row[] = {
        { "memory_limt", "1g", ERR_UNKNOWN, "no setting is called 'memory_limt'" },
        { "", "1g", ERR_UNKNOWN, "no setting is called ''" },
        { "port", "70000", ERR_RANGE, "port: '70000' is not between -1 and 65535" },
        { "port", "-2", ERR_RANGE, "port: '-2' is not between -1 and 65535" },
        { "port", "99999999999999999999", ERR_RANGE,
          "port: '99999999999999999999' is not between -1 and 65535" },
        { "port", "http", ERR_INVALID, "port: 'http' is not a whole number" },
        { "port", "", ERR_INVALID, "port: '' is not a whole number" },
        { "port", "11211 ", ERR_INVALID, "port: '11211 ' is not a whole number" },
        { "memory_limit", "64", ERR_RANGE, "memory_limit: '64' is not between 1m and 16t" },
        { "memory_limit", "9999999999t", ERR_RANGE,
          "memory_limit: '9999999999t' is not between 1m and 16t" },
        { "memory_limit", "16777217t", ERR_RANGE, /* 1t, if 64 bits were to overflow */
          "memory_limit: '16777217t' is not between 1m and 16t" },
        { "unix_mode", "77777777777777777777777", ERR_RANGE,
          "unix_mode: '77777777777777777777777' is not between 0 and 777" },
        { "memory_limit", "-1m", ERR_INVALID,
          "memory_limit: '-1m' is not a number of bytes such as 65536, 64k, 64m or 1g" },
        { "memory_limit", "64mb", ERR_INVALID,
          "memory_limit: '64mb' is not a number of bytes such as 65536, 64k, 64m or 1g" },
        { "idle_timeout", "5 s", ERR_INVALID,
          "idle_timeout: '5 s' is not a time such as 100us, 20ms, 5s, 10m, 2h or 1d" },
        { "evict", "maybe", ERR_INVALID, "evict: 'maybe' is not yes or no" },
        { "evict", "YES", ERR_INVALID, "evict: 'YES' is not yes or no" },
        { "growth_factor", "nan", ERR_INVALID,
          "growth_factor: 'nan' is not a number such as 1.25" },
        { "growth_factor", "0x2", ERR_INVALID,
          "growth_factor: '0x2' is not a number such as 1.25" },
        { "growth_factor", ".", ERR_INVALID, "growth_factor: '.' is not a number such as 1.25" },
        { "growth_factor", "1", ERR_RANGE, "growth_factor: '1' is not between 1.001 and 100" },
        { "unix_mode", "800", ERR_INVALID, "unix_mode: '800' is not a number in octal" },
        { "unix_mode", "1777", ERR_RANGE, "unix_mode: '1777' is not between 0 and 777" },
        { "protocol", "http", ERR_INVALID, "protocol: 'http' is not one of auto|ascii|binary" },
        { "protocol", "", ERR_INVALID, "protocol: '' is not one of auto|ascii|binary" },
        { "detail_prefix", "::", ERR_RANGE, "detail_prefix: '::...' has not 1 to 1 bytes" },
        { "user", "a\nb", ERR_INVALID, "user: 'a\nb' is not text without control characters" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        static struct settings before;
        struct err_detail      d = { "" };

        before = settings;
        cr_expect(eq(int, settings_set(&settings, row[i].name, row[i].text, &d), row[i].error),
                  "%s", row[i].says);
        cr_expect_str_eq(d.text, row[i].says);
        cr_expect(eq(int, memcmp(&before, &settings, sizeof before), 0), "%s", row[i].says);
    }
}

Test(settings, texts_fit_or_are_refused, .init = start)
{
    char text[SETTINGS_TEXT_MAX + 1];

    memset(text, 'x', sizeof text);
    text[SETTINGS_TEXT_MAX - 1] = '\0';
    cr_expect(eq(int, set("listen", text), ERR_OK));
    cr_expect(eq(sz, strlen(settings.net.listen), SETTINGS_TEXT_MAX - 1));
    text[SETTINGS_TEXT_MAX - 1] = 'x';
    text[SETTINGS_TEXT_MAX] = '\0';
    cr_expect(eq(int, set("listen", text), ERR_RANGE));
    /* A path that does not fit into a socket address must not be cut in silence. */
    text[108] = '\0';
    cr_expect(eq(int, set("unix_socket", text), ERR_RANGE));
    text[107] = '\0';
    cr_expect(eq(int, set("unix_socket", text), ERR_OK));
}

Test(settings, a_running_node_refuses_what_needs_a_restart, .init = start)
{
    struct err_detail d = { "" };

    cr_expect(eq(int, settings_set_live(&settings, "port", "1", &d), ERR_DENIED));
    cr_expect_str_eq(d.text, "port: can only be changed by a restart");
    cr_expect(eq(i64, settings.net.port, 11211));
    cr_expect(eq(int, settings_set_live(&settings, "memory_limit", "128m", &d), ERR_OK));
    cr_expect(eq(sz, SETTINGS_LIVE(settings.store.memory_limit), (size_t)128 << 20));
    cr_expect(eq(int, settings_set_live(&settings, "nothing", "1", &d), ERR_UNKNOWN));
}

/* -- sources ------------------------------------------------------------------------------- */

/* The order of calls is the precedence; "given" tells a choice from a default. */
Test(settings, later_sources_win, .init = start)
{
    char *environment[] = { (char[]){ "HOME=/" },
                            (char[]){ "MAGPIE_THREADS=6" },
                            (char[]){ "MAGPIE_BACKLOG=7" },
                            NULL };
    static const char file[] = "threads = 5\nbacklog = 5\nmax_connections = 5\n";
    struct err_detail d = { "" };

    cr_expect(not(settings.given[SETTING_threads]));
    cr_assert(eq(int, settings_parse_text(&settings, "f", SLICE(file), &d), ERR_OK));
    cr_assert(eq(int, settings_env(&settings, environment, &d), ERR_OK));
    cr_assert(eq(int, settings_set_letter(&settings, 't', "7", &d), ERR_OK));
    cr_expect(eq(i64, settings.net.threads, 7));
    cr_expect(eq(i64, settings.net.backlog, 7));
    cr_expect(eq(i64, settings.net.max_connections, 5));
    cr_expect(eq(int, settings.given[SETTING_threads], SETTINGS_FROM_LETTER));
    cr_expect(eq(int, settings.given[SETTING_backlog], SETTINGS_FROM_NAME));
    cr_expect(not(settings.given[SETTING_port]));
}

Test(settings, files_as_people_write_them, .init = start)
{
    static const char text[] = "# a node\r\n\r\n"
                               "  memory-limit=1g   # plenty\r\n"
                               "\tpid_file = \"/run/mag#pie.pid\" # a hash in quotes\n"
                               "host =\n"
                               "detail_prefix = \"#\"\n"
                               "user = two words\n"
                               "evict=no";
    struct err_detail d = { "" };

    cr_assert(eq(int, settings_parse_text(&settings, "f", SLICE(text), &d), ERR_OK), "%s", d.text);
    cr_expect(eq(sz, settings.store.memory_limit, (size_t)1 << 30));
    cr_expect_str_eq(settings.process.pid_file, "/run/mag#pie.pid");
    cr_expect_str_eq(settings.net.host, "");
    cr_expect_str_eq(settings.admin.detail_prefix, "#");
    cr_expect_str_eq(settings.process.user, "two words");
    cr_expect(not(settings.store.evict));
}

/* The message names file and line, and nothing of a bad file is taken. */
Test(settings, bad_files, .init = start)
{
    static const struct {
        const char *text;
        const char *says;
    } row[] = {
        { "threads = 2\nmemory_limt = 1g\n",
          "magpie.conf: line 2: no setting is called 'memory_limt'" },
        { "threads = 2\n\n\nport = 70000",
          "magpie.conf: line 4: port: '70000' is not between -1 and 65535" },
        { "threads = 2\n[store]\n",
          "magpie.conf: line 2: '[store]' is not of the form name = value" },
        { "threads = 2\n = 3\n", "magpie.conf: line 2: no setting is called ''" },
        { "user = \"root\n",
          "magpie.conf: line 1: user: quotes must stand around the whole value" },
        { "user = \"a\"b\"\n",
          "magpie.conf: line 1: user: quotes must stand around the whole value" },
        { "user = \"\n",
          "magpie.conf: line 1: user: quotes must stand around the whole value" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };

        cr_expect(ne(int,
                     settings_parse_text(&settings, "magpie.conf",
                                         slice_of(row[i].text, strlen(row[i].text)), &d),
                     ERR_OK));
        cr_expect_str_eq(d.text, row[i].says);
        cr_expect(eq(i64, settings.net.threads, 4));
    }
}

/* A file may be anything, a core dump included. */
Test(settings, garbage_is_refused_not_believed, .init = start)
{
    char              big[4096];
    struct err_detail d = { "" };

    memset(big, 'x', sizeof big);
    cr_expect(ne(int, settings_parse_text(&settings, "f", slice_of(big, sizeof big), &d), ERR_OK));
    memcpy(big, "user=", 5);
    cr_expect(eq(int, settings_parse_text(&settings, "f", slice_of(big, sizeof big), &d),
                 ERR_RANGE));
    big[100] = '=';
    cr_expect(eq(int, settings_parse_text(&settings, "f", slice_of(big + 6, 4000), &d),
                 ERR_UNKNOWN));
    cr_expect(eq(int, settings_parse_text(&settings, "f", SLICE("user=a\0b\n"), &d), ERR_RANGE));
    cr_expect(eq(int, settings_parse_text(&settings, "f", slice_of(NULL, 0), &d), ERR_OK));
}

/* A service named "magpie" makes container platforms set variables of our prefix. */
Test(settings, environment, .init = start)
{
    char *foreign[] = { (char[]){ "MAGPIE_SERVICE_HOST=10.0.0.1" },
                        (char[]){ "MAGPIE_SERVICE_PORT=11211" },
                        (char[]){ "MAGPIE_PORT=tcp://10.0.0.1:11211" },
                        (char[]){ "MAGPIE_PORT_11211_TCP_ADDR=10.0.0.1" },
                        NULL };
    char *wrong[] = { (char[]){ "MAGPIE_THREADS=3" }, (char[]){ "MAGPIE_THRAEDS=3" }, NULL };
    char *bad[] = { (char[]){ "MAGPIE_THREADS=many" }, NULL };
    struct err_detail d = { "" };

    cr_expect(eq(int, settings_env(&settings, foreign, &d), ERR_OK), "%s", d.text);
    cr_expect(eq(i64, settings.net.port, 11211));
    cr_expect(eq(int, settings_env(&settings, wrong, &d), ERR_UNKNOWN));
    cr_expect_str_eq(d.text, "environment: MAGPIE_THRAEDS: no setting is called 'thraeds'");
    cr_expect(eq(i64, settings.net.threads, 4), "nothing of a bad environment is taken");
    cr_expect(eq(int, settings_env(&settings, bad, &d), ERR_INVALID));
    cr_expect_str_eq(d.text, "environment: MAGPIE_THREADS: threads: 'many' is not a whole number");
}

/* -- settings that depend on each other ---------------------------------------------------- */

Test(settings, the_defaults_go_together, .init = start)
{
    struct err_detail d = { "" };

    cr_expect(eq(int, settings_check(&settings, &d), ERR_OK), "%s", d.text);
}

/* What memcached refuses to start with. */
Test(settings, combinations_that_are_refused)
{
    static const struct {
        const char *words;
        const char *name;
        const char *value;
    } row[] = {
        { "", "item_size_max", "40m" },
        { "", "memory_max", "32m" },
        { "hashpower=8", NULL, NULL },
        { "tail_repair_time=5", NULL, NULL },
        { "hot_lru_pct=50", NULL, NULL },
        { "temporary_ttl=30,no_lru_maintainer", NULL, NULL },
        { "no_lru_maintainer,temporary_ttl=30", NULL, NULL },
        { "slab_chunk_max=400", NULL, NULL },
        { "slab_chunk_max=2048", NULL, NULL },
        { "slab_sizes=96-100", NULL, NULL },
        { "slab_sizes=96-90", NULL, NULL },
        { "slab_sizes=40-96", NULL, NULL },
        { "slab_sizes=96-600000", NULL, NULL },
        { "slab_sizes=96-many", NULL, NULL },
        { "", "item_size_max", "1500000" },
        { "", "item_size_max", "600k" },
        { "", "napi_ids", "5" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };

        settings_defaults(&settings);
        cr_assert(eq(int, settings_set_words(&settings, row[i].words, &d), ERR_OK), "%s", d.text);
        if (row[i].name != NULL) {
            cr_assert(eq(int, set(row[i].name, row[i].value), ERR_OK));
        }
        cr_expect(ne(int, settings_check(&settings, &d), ERR_OK), "row %zu", i);
        cr_expect(gt(sz, strlen(d.text), 0), "row %zu", i);
    }
}

/* What slab_sizes says, and whether anything asks for memcached's sizes at all. */
Test(settings, chunk_sizes_are_read)
{
    uint32_t sizes[SETTINGS_SLAB_SIZES_MAX];
    unsigned count = 9;

    settings_defaults(&settings);
    cr_expect(eq(int, settings_slab_sizes(&settings, sizes, &count, NULL), ERR_OK));
    cr_expect(eq(uint, count, 0));
    cr_expect(not(settings_has_geometry(&settings)));
    cr_assert(eq(int, set("slab_sizes", "96-192-400"), ERR_OK));
    cr_expect(eq(int, settings_slab_sizes(&settings, sizes, &count, NULL), ERR_OK));
    cr_expect(eq(uint, count, 3));
    cr_expect(eq(u32, sizes[2], 400));
    cr_expect(settings_has_geometry(&settings));
    settings_defaults(&settings);
    cr_assert(eq(int, set("growth_factor", "1.25"), ERR_OK));
    cr_expect(settings_has_geometry(&settings), "although it is the default");
}

Test(settings, authentication_has_its_protocols)
{
    static const struct {
        const char *letters; /* letter, value, ... separated by blanks */
        err_t       error;
    } row[] = {
        { "Y file", ERR_OK },
        { "Y file,B ascii", ERR_OK },
        { "Y file,B binary", ERR_INVALID },
        { "S ,B ascii", ERR_INVALID },
        { "S ,B auto", ERR_INVALID },
        { "S ,B binary", ERR_OK },
        { "S ", ERR_OK },
        { "S ,U 11211", ERR_INVALID },
        { "Y file,U 11211", ERR_INVALID },
        { "Y file,U 11211,s /tmp/socket", ERR_OK }, /* there is no UDP then */
        { "S ,Y file", ERR_INVALID },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };
        char              text[64];

        settings_defaults(&settings);
        snprintf(text, sizeof text, "%s", row[i].letters);
        for (char *at = strtok(text, ","); at != NULL; at = strtok(NULL, ",")) {
            cr_assert(eq(int, settings_set_letter(&settings, at[0], at[2] ? at + 2 : NULL, &d),
                         ERR_OK));
        }
        cr_expect(eq(int, settings_check(&settings, &d), row[i].error), "%s", row[i].letters);
    }
}
