#include "vocab/settings.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static struct settings settings;

/* What memcached 1.6.45, built without TLS, extstore, proxy and seccomp, prints after start. */
static const char settings_of_memcached[] =
    "maxbytes 67108864\nmaxconns 1024\ntcpport 11211\nudpport 0\ninter NULL\nverbosity 0\n"
    "oldest 0\nevictions on\ndomain_socket NULL\numask 700\nshutdown_command no\n"
    "growth_factor 1.25\nchunk_size 48\nnum_threads 4\nnum_threads_per_udp 4\n"
    "stat_key_prefix :\ndetail_enabled no\nreqs_per_event 20\ncas_enabled yes\n"
    "tcp_backlog 1024\nbinding_protocol auto-negotiate\nauth_enabled_sasl no\n"
    "auth_enabled_ascii no\nitem_size_max 1048576\nmaxconns_fast yes\nhashpower_init 0\n"
    "slab_reassign yes\nslab_automove 1\nslab_automove_ratio 0.80\nslab_automove_window 10\n"
    "slab_chunk_max 524288\nlru_crawler yes\nlru_crawler_sleep 100\nlru_crawler_tocrawl 0\n"
    "tail_repair_time 0\nflush_enabled yes\ndump_enabled yes\nhash_algorithm xxh3\n"
    "lru_maintainer_thread yes\nlru_segmented yes\nhot_lru_pct 20\nwarm_lru_pct 40\n"
    "hot_max_factor 0.20\nwarm_max_factor 2.00\ntemp_lru no\ntemporary_ttl 61\n"
    "idle_timeout 0\nwatcher_logbuf_size 262144\nworker_logbuf_size 65536\n"
    "read_buf_mem_limit 0\ntrack_sizes no\ninline_ascii_response no\nnum_napi_ids (null)\n"
    "memory_file (null)\nclient_flags_size 4\n";

static void
start(void)
{
    settings_defaults(&settings);
}

static void
line_add(void *arg, const char *key, const char *value)
{
    struct buf *b = arg;

    cr_assert(buf_printf(b, "%s %s\n", key, value));
}

/* All stats as one text, NUL-terminated; freed by the caller. */
static struct buf
stats_print(void)
{
    struct buf b = { 0 };

    settings_each_stat(&settings, line_add, &b);
    cr_assert(buf_add(&b, "", 1));
    return b;
}

/* Tools parse this list; the one difference is hash_algorithm, where we tell the truth. */
Test(settings_print, stats_as_memcached_prints_them, .init = start)
{
    struct buf b = stats_print();

    cr_expect_str_eq(b.ptr, settings_of_memcached);
    buf_free(&b);
}

Test(settings_print, stats_of_a_configured_node, .init = start)
{
    static const char *const wanted[] = {
        "inter 127.0.0.1,[::1]\n", "evictions off\n",      "domain_socket /run/m\n",
        "umask 77\n",              "verbosity 2\n",        "binding_protocol binary\n",
        "auth_enabled_ascii /a\n", "idle_timeout 90\n",    "lru_crawler_sleep 2000\n",
        "growth_factor 1.08\n",    "maxbytes 1073741824\n", "num_napi_ids 3\n",
        "memory_file /m\n",        "stat_key_prefix /\n",  "tail_repair_time 30\n",
        "cas_enabled no\n",
    };
    static const char text[] =
        "listen=127.0.0.1,[::1]\nevict=no\nunix_socket=/run/m\nunix_mode=077\nverbosity=2\n"
        "protocol=binary\nauth_file=/a\nidle_timeout=90s\nlru_crawler_sleep=2ms\n"
        "growth_factor=1.08\nmemory_limit=1g\nnapi_ids=3\nmemory_file=/m\ndetail_prefix=/\n"
        "tail_repair_time=30s\ncas=no\n";
    struct err_detail d = { "" };
    struct buf        b;

    cr_assert(eq(int, settings_parse_text(&settings, "f", SLICE(text), &d), ERR_OK), "%s", d.text);
    b = stats_print();
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_expect(ne(ptr, strstr(b.ptr, wanted[i]), NULL), "%s", wanted[i]);
    }
    buf_free(&b);
}

/* Every key the table names is printed, so that a new row cannot be forgotten. */
Test(settings_print, every_stat_of_the_table_is_emitted, .init = start)
{
    struct buf b = stats_print();

    for (size_t i = 0; i < setting_count; i++) {
        char key[80];

        if (setting_table[i].stat != NULL) {
            snprintf(key, sizeof key, "%s ", setting_table[i].stat);
            cr_expect(ne(ptr, strstr(b.ptr, key), NULL), "%s", key);
        }
    }
    buf_free(&b);
}

/* A cut value is still a C string, and the caller learns what it missed. */
Test(settings_print, values_are_cut_at_the_room, .init = start)
{
    char room[8] = "1234567";

    cr_assert(eq(int, settings_set(&settings, "user", "nobody-at-all", NULL), ERR_OK));
    cr_expect(eq(sz, settings_print(&settings, settings_find("user"), room, 4), 13));
    cr_expect(eq(int, memcmp(room, "nob\0" "567", 8), 0));
}

Test(settings_print, help_shows_every_setting_in_its_columns)
{
    struct buf  b = { 0 };
    const char *at;

    cr_assert(settings_print_help(&b, NULL));
    cr_assert(buf_add(&b, "", 1));
    for (size_t i = 0; i < setting_count; i++) {
        char option[80];

        snprintf(option, sizeof option, "--%s=", setting_table[i].name);
        for (char *c = option; *c != '\0'; c++) {
            *c = *c == '_' ? '-' : *c;
        }
        cr_expect(ne(ptr, strstr(b.ptr, option), NULL), "%s", option);
    }
    for (at = b.ptr; *at != '\0'; at += strcspn(at, "\n") + 1) {
        cr_expect(le(sz, strcspn(at, "\n"), 100), "%.40s", at);
    }
    buf_free(&b);
}
