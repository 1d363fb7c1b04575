#include "vocab/settings.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct settings settings;

static void
start(void)
{
    settings_defaults(&settings);
}

static err_t
letter(char c, const char *arg)
{
    struct err_detail d = { "" };

    return settings_set_letter(&settings, c, arg, &d);
}

static err_t
words(const char *list)
{
    struct err_detail d = { "" };

    return settings_set_words(&settings, list, &d);
}

/* Bare numbers mean what they mean to memcached; a suffix says it plainly. */
Test(settings_set, letters_count_in_memcacheds_units, .init = start)
{
    cr_expect(eq(int, letter('m', "100"), ERR_OK));
    cr_expect(eq(sz, settings.store.memory_limit, (size_t)100 << 20));
    cr_expect(eq(int, letter('m', "2g"), ERR_OK));
    cr_expect(eq(sz, settings.store.memory_limit, (size_t)2 << 30));
    cr_expect(eq(int, letter('I', "2048"), ERR_OK));
    cr_expect(eq(sz, settings.store.item_size_max, 2048));
    cr_expect(eq(int, letter('I', "5m"), ERR_OK));
    cr_expect(eq(sz, settings.store.item_size_max, 5 << 20));
    cr_expect(eq(int, letter('I', "1000"), ERR_RANGE));
    cr_expect(eq(int, letter('a', "770"), ERR_OK));
    cr_expect(eq(u32, settings.net.unix_mode, 0770));
    cr_expect(eq(int, letter('f', "1.05"), ERR_OK));
    cr_expect(settings.given[SETTING_growth_factor] != 0);
    cr_expect(settings.given[SETTING_chunk_size] == 0);
}

Test(settings_set, letters_that_stand_alone, .init = start)
{
    static const char all[] = "MCLFXWAdrkS";

    for (size_t i = 0; i < sizeof all - 1; i++) {
        cr_expect(eq(int, letter(all[i], NULL), ERR_OK), "-%c", all[i]);
    }
    cr_expect(not(settings.store.evict));
    cr_expect(not(settings.store.cas));
    cr_expect(not(settings.admin.flush_enabled));
    cr_expect(not(settings.admin.dump_enabled));
    cr_expect(not(settings.admin.watch_enabled));
    cr_expect(settings.store.preallocate);
    cr_expect(settings.admin.shutdown_command);
    cr_expect(settings.process.daemonize);
    cr_expect(settings.process.core_dumps);
    cr_expect(settings.process.lock_memory);
    cr_expect(settings.auth.sasl);
}

Test(settings_set, v_counts, .init = start)
{
    cr_assert(eq(int, settings_set(&settings, "verbosity", "5", NULL), ERR_OK));
    cr_expect(eq(int, letter('v', NULL), ERR_OK));
    cr_expect(eq(i64, settings.admin.verbosity, 1), "arguments win over the file");
    cr_expect(eq(int, letter('v', NULL), ERR_OK));
    cr_expect(eq(int, letter('v', NULL), ERR_OK));
    cr_expect(eq(i64, settings.admin.verbosity, 3));
}

Test(settings_set, l_adds_to_the_list_but_replaces_the_files, .init = start)
{
    cr_assert(eq(int, settings_set(&settings, "listen", "192.0.2.1", NULL), ERR_OK));
    cr_expect(eq(int, letter('l', "127.0.0.1"), ERR_OK));
    cr_expect(eq(int, letter('l', "[::1]:11212,notls:10.0.0.1"), ERR_OK));
    cr_expect_str_eq(settings.net.listen, "127.0.0.1,[::1]:11212,notls:10.0.0.1");
}

Test(settings_set, a_list_of_addresses_has_an_end, .init = start)
{
    err_t  e = ERR_OK;
    size_t n = 0;

    for (; n < 10000 && e == ERR_OK; n++) {
        e = letter('l', "10.0.0.1");
    }
    cr_expect(eq(int, e, ERR_RANGE));
    cr_expect(eq(sz, n, SETTINGS_TEXT_MAX / 9 + 1));
    cr_expect(eq(sz, strlen(settings.net.listen), (n - 1) * 9 - 1), "the list as it was");
}

Test(settings_set, d_prefix_takes_one_character_and_counts, .init = start)
{
    cr_expect(eq(int, letter('D', "/long"), ERR_OK));
    cr_expect_str_eq(settings.admin.detail_prefix, "/");
    cr_expect(settings.admin.detail_enabled);
    cr_expect(eq(int, letter('D', ""), ERR_RANGE));
}

/* "-U 11222" alone serves both; "-p" decides for itself wherever it stands. */
Test(settings_set, a_udp_port_alone_is_the_tcp_port_too)
{
    settings_defaults(&settings);
    cr_expect(eq(int, letter('U', "11222"), ERR_OK));
    cr_expect(eq(i64, settings.net.port, 11222));
    cr_expect(eq(int, letter('p', "11233"), ERR_OK));
    cr_expect(eq(i64, settings.net.port, 11233));
    settings_defaults(&settings);
    cr_expect(eq(int, letter('p', "11233"), ERR_OK));
    cr_expect(eq(int, letter('U', "11222"), ERR_OK));
    cr_expect(eq(i64, settings.net.port, 11233));
    settings_defaults(&settings);
    cr_expect(eq(int, letter('U', "-1"), ERR_OK));
    cr_expect(eq(i64, settings.net.port, -1));
    settings_defaults(&settings);
    cr_expect(eq(int, letter('U', "0"), ERR_OK));
    cr_expect(eq(i64, settings.net.port, 11211));
}

/* memcached's own tests: these must not start. */
Test(settings_set, bad_letters, .init = start)
{
    cr_expect(eq(int, letter('B', "http"), ERR_INVALID));
    cr_expect(eq(int, letter('c', "0"), ERR_RANGE));
    cr_expect(eq(int, letter('t', "0"), ERR_RANGE));
    cr_expect(eq(int, letter('t', "10001"), ERR_RANGE));
    cr_expect(eq(int, letter('f', "1"), ERR_RANGE));
    cr_expect(eq(int, letter('n', "0"), ERR_RANGE));
    cr_expect(eq(int, letter('R', "0"), ERR_RANGE));
    cr_expect(eq(int, letter('I', "2g"), ERR_RANGE));
    cr_expect(eq(int, letter('p', "70000"), ERR_RANGE));
    cr_expect(eq(int, letter('p', NULL), ERR_INVALID));
    cr_expect(eq(int, letter('Q', "1"), ERR_UNKNOWN));
    cr_expect(eq(int, letter('\0', "1"), ERR_UNKNOWN));
}

/* Operators search for memcached's words; a name, which memcached does not know, has ours. */
Test(settings_set, bad_letters_say_what_memcached_says, .init = start)
{
    static const struct {
        char letter;
        const char *value, *says;
    } row[] = {
        { 'c', "0", "Maximum connections must be greater than 0" },
        { 'c', "abc", "Maximum connections must be greater than 0" },
        { 'c', "99999999", "max_connections: '99999999' is not between 1 and 10000000" },
        { 't', "0", "Number of threads must be greater than 0" },
        { 't', "10001", "threads: '10001' is not between 1 and 10000" },
        { 'f', "1", "Factor must be greater than 1" },
        { 'D', "", "No delimiter specified" },
        { 'B', "http", "Invalid value for binding protocol: http\n"
                       " -- should be one of auto, binary, or ascii" },
        { 'I', "1000", "Item max size cannot be less than 1024 bytes." },
        { 'I', "2g", "Cannot set item size limit higher than a gigabyte." },
        { 'p', "65536", "ERROR: Invalid port number 65536." },
        { 'p', "abc", "port: 'abc' is not a whole number" },
        { 'N', "0", "Maximum number of NAPI IDs must be greater than 0" },
        { 'm', "-1", "Cannot set item size limit higher than 1/2 of memory max." },
    };
    struct err_detail d;

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        d.text[0] = '\0';
        cr_expect(ne(int, settings_set_letter(&settings, row[i].letter, row[i].value, &d), ERR_OK),
                  "-%c %s", row[i].letter, row[i].value);
        cr_expect_str_eq(d.text, row[i].says);
    }
    cr_expect(eq(int, settings_set(&settings, "threads", "0", &d), ERR_RANGE));
    cr_expect_str_eq(d.text, "threads: '0' is not between 1 and 10000");
    cr_expect(zero(i64, settings.net.napi_ids), "a refused value changes nothing");
}

/* Unit files in the wild pass long lists: every word memcached knows is taken. */
Test(settings_set, every_word_of_memcached_is_taken, .init = start)
{
    static const char list[] =
        "maxconns_fast,no_maxconns_fast,hashpower=18,no_hashexpand,hash_algorithm=murmur3,"
        "hash_algorithm=jenkins,slab_reassign,no_slab_reassign,slab_automove,slab_automove=2,"
        "no_slab_automove,slab_automove_ratio=0.5,slab_automove_window=30,"
        "slab_automove_freeratio=0.02,slab_sizes=96-192-384,slab_chunk_max=256,no_chunked_items,"
        "tail_repair_time=20,lru_crawler,no_lru_crawler,lru_crawler_sleep=5,lru_crawler_tocrawl=9,"
        "lru_maintainer,no_lru_maintainer,hot_lru_pct=10,warm_lru_pct=30,hot_max_factor=0.3,"
        "warm_max_factor=1.5,temporary_ttl=15,idle_timeout=7,watcher_logbuf_size=8,"
        "worker_logbuf_size=4,track_sizes,read_buf_mem_limit=3,resp_obj_mem_limit=2,"
        "inline_ascii_resp,no_inline_ascii_resp,modern,drop_privileges,no_drop_privileges,"
        "sock_cookie_id=4,relaxed_privileges,ssl_chain_cert=a,ssl_key=a,ssl_keyformat=PEM,"
        "ssl_verify_mode=0,ssl_ciphers=a,ssl_ca_cert=a,ssl_wbuf_size=16,ssl_session_cache,"
        "ssl_kernel_tls,ssl_min_version=2,ext_page_size=64,ext_wbuf_size=4,ext_threads=1,"
        "ext_io_depth=1,ext_item_size=512,ext_item_age=1,ext_low_ttl=1,ext_recache_rate=1,"
        "ext_compact_under=1,ext_drop_under=1,ext_max_frag=0.8,ext_max_sleep=1,ext_drop_unread,"
        "proxy_arg=a,proxy_uring,proxy_memprofile";
    struct err_detail d = { "" };

    cr_assert(eq(int, settings_set_words(&settings, list, &d), ERR_OK), "%s", d.text);
    cr_expect(not(settings.net.maxconns_fast));
    cr_expect(eq(i64, settings.store.hashpower, 18));
    cr_expect(not(settings.store.slab_reassign));
    cr_expect(zero(i64, settings.store.slab_automove));
    cr_expect(eq(i64, settings.store.slab_automove_window, 30));
    cr_expect(eq(sz, settings.store.slab_chunk_max, 1 << 20), "no_chunked_items");
    cr_expect(eq(i64, settings.store.tail_repair_time, 20 * USEC_PER_SEC));
    cr_expect(eq(i64, settings.store.lru_crawler_sleep, 5), "microseconds");
    cr_expect(eq(i64, settings.store.temporary_ttl, 15));
    cr_expect(settings.store.temp_lru);
    cr_expect(not(settings.store.lru_segmented));
    cr_expect(eq(i64, settings.net.idle_timeout, 7 * USEC_PER_SEC));
    cr_expect(eq(sz, settings.admin.watcher_logbuf_size, 8 << 10));
    cr_expect(eq(sz, settings.net.read_buf_mem_limit, 3 << 20));
    cr_expect(settings.store.track_sizes);
}

Test(settings_set, no_modern_is_the_old_server, .init = start)
{
    cr_assert(eq(int, words("no_modern"), ERR_OK));
    cr_expect(not(settings.store.lru_segmented));
    cr_expect(not(settings.store.lru_crawler));
    cr_expect(not(settings.store.lru_maintainer));
    cr_expect(not(settings.store.slab_reassign));
    cr_expect(not(settings.net.maxconns_fast));
    cr_expect(zero(i64, settings.store.slab_automove));
    cr_expect(settings.store.no_modern);
    cr_expect(eq(int, words("lru_crawler"), ERR_OK), "later words win");
    cr_expect(settings.store.lru_crawler);
}

Test(settings_set, bad_words_and_what_they_say, .init = start)
{
    static const struct {
        const char *list;
        err_t       error;
        const char *says;
    } row[] = {
        { "fooble", ERR_UNKNOWN, "Illegal suboption \"fooble\"" },
        { "track_sizes,fooble=3", ERR_UNKNOWN, "Illegal suboption \"fooble=3\"" },
        { "no_", ERR_UNKNOWN, "Illegal suboption \"no_\"" },
        { "no_hashpower", ERR_UNKNOWN, "Illegal suboption \"no_hashpower\"" },
        { "=3", ERR_UNKNOWN, "Illegal suboption \"=3\"" },
        { "track_sizes,,modern", ERR_UNKNOWN, "Illegal suboption \"\"" },
        { ",", ERR_UNKNOWN, "Illegal suboption \"\"" },
        { "hashpower", ERR_INVALID, "Missing numeric argument for hashpower" },
        { "hashpower=", ERR_INVALID, "Initial hashtable multiplier of  is too low" },
        { "hashpower=33", ERR_RANGE,
          "Initial hashtable multiplier of 33 is too high\n"
          "Choose a value based on \"STAT hash_power_level\" from a running instance" },
        { "slab_automove=5", ERR_RANGE, "slab_automove must be between 0 and 2" },
        { "slab_automove_window=2", ERR_RANGE, "slab_automove_window must be > 2" },
        { "slab_automove_window=1801", ERR_RANGE,
          "slab_automove_window: '1801' is not between 3 and 1800" },
        { "lru_crawler_sleep=2000000", ERR_RANGE,
          "LRU crawler sleep must be between 0 and 1 second" },
        { "hash_algorithm=md5", ERR_INVALID,
          "Unknown hash_algorithm option (jenkins, murmur3, xxh3)" },
        { "hot_max_factor=0", ERR_RANGE, "hot_max_factor must be > 0" },
        { "temporary_ttl", ERR_INVALID, "Missing temporary_ttl argument" },
        { "sock_cookie_id", ERR_INVALID, "option -o sock_cookie_id needs a value" },
        { "idle_timeout=abc", ERR_INVALID,
          "idle_timeout: 'abc' is not a time such as 100us, 20ms, 5s, 10m, 2h or 1d" },
        { "ext_page_size", ERR_INVALID, "Missing ext_page_size argument" },
        { "ext_page_size=1x", ERR_INVALID, "could not parse argument to ext_page_size" },
        { "ext_threads=4294967296", ERR_INVALID, "could not parse argument to ext_threads" },
        { "ext_max_frag=.", ERR_INVALID, "could not parse argument to ext_max_frag" },
        { "ssl_key", ERR_INVALID, "Missing ssl_key argument" },
        { "ssl_verify_mode=4", ERR_RANGE,
          "Invalid ssl_verify_mode. Use help to see valid options." },
        { "ext_path=/a:1G", ERR_DENIED, "option -o ext_path is not supported" },
        { "proxy_config=a", ERR_DENIED, "option -o proxy_config is not supported" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err_detail d = { "" };

        cr_expect(eq(int, settings_set_words(&settings, row[i].list, &d), row[i].error), "%s",
                  row[i].list);
        cr_expect_str_eq(d.text, row[i].says);
    }
    cr_expect(eq(int, words("track_sizes,"), ERR_OK), "as memcached: the end may have a comma");
    cr_expect(eq(int, words(""), ERR_OK));
}
