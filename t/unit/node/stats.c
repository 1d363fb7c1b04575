/* The lists behind "stats": programs parse them, so names, number and order are fixed. */
#include "drive.h"
#include "node/conns.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node, a connection, and what was heard last as a string. */
struct talk {
    struct drive_node n;
    struct drive      d;
};

static void
talk_init(struct talk *t, const char *const *options)
{
    drive_node_init(&t->n, options);
    drive_init(&t->d, &t->n, SESSION_AUTO);
}

static void
talk_fini(struct talk *t)
{
    drive_fini(&t->d);
    drive_node_fini(&t->n);
}

static const char *
talk_ask(struct talk *t, const char *in)
{
    t->d.got.len = 0;
    drive_say(&t->d, in, strlen(in), DRIVE_ALL);
    cr_assert(buf_add(&t->d.got, "", 1));
    return t->d.got.ptr;
}

/* The names of a list, separated by blanks; the caller frees it. */
static char *
stat_names(const char *list, unsigned *count)
{
    struct buf names = { 0 };
    const char *at = list;

    *count = 0;
    while (strncmp(at, "STAT ", 5) == 0) {
        size_t n = strcspn(at + 5, " ");

        cr_assert(buf_add(&names, at + 5, n + 1));
        at = strstr(at, "\r\n");
        cr_assert(at != NULL);
        at += 2;
        ++*count;
    }
    cr_expect(eq(str, (char *)(uintptr_t)at, "END\r\n"));
    cr_assert(buf_add(&names, "", 1));
    return names.ptr;
}

/* The number behind a name; -1: there is none. */
static long long
stat_of(const char *list, const char *name)
{
    char text[80];
    const char *at;

    snprintf(text, sizeof text, "STAT %s ", name);
    at = strstr(list, text);
    return at ? atoll(at + strlen(text)) : -1;
}

static const char general[] =
    "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections "
    "curr_connections total_connections rejected_connections connection_structures "
    "response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes "
    "read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta "
    "get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits "
    "decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large "
    "store_no_memory auth_cmds auth_errors bytes_read bytes_written limit_maxbytes accepting_conns "
    "listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level "
    "hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues "
    "slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes "
    "slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running slabs_moved "
    "lru_crawler_running lru_crawler_starts lru_maintainer_juggles malloc_fails log_worker_dropped "
    "log_worker_written log_watcher_skipped log_watcher_sent log_watchers unexpected_napi_ids "
    "round_robin_fallback bytes curr_items total_items slab_global_page_pool expired_unfetched "
    "evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked "
    "lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims "
    "lru_bumps_dropped ";

/* memcached's own test suite counts them. */
Test(stats, general_has_93_rows_in_order)
{
    struct talk t;
    unsigned count;
    char *names;

    talk_init(&t, NULL);
    names = stat_names(talk_ask(&t, "stats\r\n"), &count);
    cr_expect(eq(uint, count, 93));
    cr_expect(eq(str, names, (char *)(uintptr_t)general));
    free(names);
    free(stat_names(talk_ask(&t, "stats \r\n"), &count));
    cr_expect(eq(uint, count, 93), "a blank behind it changes nothing");
    talk_fini(&t);
}

Test(stats, rows_of_features_that_are_off_are_not_shown)
{
    static const struct {
        const char *option, *why;
        unsigned count;
    } row[] = {
        { "lru_crawler=no", "2 of the crawler", 91 },
        { "lru_maintainer=no", "7 of the maintainer", 86 },
        { "slab_reassign=no", "9 of the page mover", 84 },
        { "maxconns_fast=no", "rejected_connections", 92 },
        { "idle_timeout=60", "idle_kicks comes", 94 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct talk t;
        unsigned count;

        talk_init(&t, (const char *const[]){ row[i].option, NULL });
        free(stat_names(talk_ask(&t, "stats\r\n"), &count));
        cr_expect(eq(uint, count, row[i].count), "%s: %s", row[i].option, row[i].why);
        talk_fini(&t);
    }
}

Test(stats, general_tells_the_truth)
{
    struct talk t;
    const char *got;

    talk_init(&t, (const char *const[]){ "memory_limit=32m", "max_connections=77", NULL });
    talk_ask(&t, "set a 0 0 1\r\nx\r\nget a b\r\n");
    t.n.now += 10 * USEC_PER_SEC;
    got = talk_ask(&t, "stats\r\n");
    cr_expect(eq(llong, stat_of(got, "cmd_get"), 2));
    cr_expect(eq(llong, stat_of(got, "get_hits"), 1));
    cr_expect(eq(llong, stat_of(got, "curr_items"), 1));
    cr_expect(ge(llong, stat_of(got, "bytes"), 18));
    cr_expect(eq(llong, stat_of(got, "uptime"), 12), "memcached's clock starts at 2");
    cr_expect(eq(llong, stat_of(got, "time"), t.n.now / USEC_PER_SEC));
    cr_expect(eq(llong, stat_of(got, "limit_maxbytes"), 32 << 20));
    cr_expect(eq(llong, stat_of(got, "max_connections"), 77));
    cr_expect(eq(llong, stat_of(got, "accepting_conns"), 1));
    cr_expect(eq(llong, stat_of(got, "threads"), 1));
    cr_expect(eq(llong, stat_of(got, "pointer_size"), 64));
    cr_expect(gt(llong, stat_of(got, "hash_bytes"), 0));
    cr_expect(strstr(got, "STAT version 1.6.") != NULL, "clients look at it");
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "cache_memlimit 16\r\n"), "OK\r\n"));
    cr_expect(eq(llong, stat_of(talk_ask(&t, "stats\r\n"), "limit_maxbytes"), 16 << 20));
    cr_expect(eq(llong, stat_of(talk_ask(&t, "stats settings\r\n"), "maxbytes"), 16 << 20));
    talk_fini(&t);
}

/* Counters start again; what there is stays. */
Test(stats, reset)
{
    struct talk t;
    const char *got;

    talk_init(&t, NULL);
    talk_ask(&t, "stats detail on\r\nset a:b 0 0 1\r\nx\r\nget a:b\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats reset\r\n"), "RESET\r\n"));
    got = talk_ask(&t, "stats\r\n");
    cr_expect(eq(llong, stat_of(got, "cmd_get"), 0));
    cr_expect(eq(llong, stat_of(got, "cmd_set"), 0));
    cr_expect(eq(llong, stat_of(got, "total_items"), 0));
    cr_expect(eq(llong, stat_of(got, "curr_items"), 1));
    cr_expect(gt(llong, stat_of(got, "bytes"), 0));
    talk_ask(&t, "get a:b\r\n");
    cr_expect(eq(llong, stat_of(talk_ask(&t, "stats\r\n"), "cmd_get"), 1));
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats detail dump\r\n"),
                 "PREFIX a get 1 hit 1 set 0 del 0\r\nEND\r\n"));
    cr_expect(gt(i64, drive_metric(&t.n, M_CMD_GET), 1), "only this view is reset");
    talk_fini(&t);
}

static const char items_of_class[] =
    "number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted "
    "evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched "
    "evicted_unfetched evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked "
    "moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot hits_to_warm "
    "hits_to_cold hits_to_temp ";
static const char slabs_of_class[] =
    "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end "
    "get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits ";

/* The names without what stands before their last colon. */
static void
names_shorten(char *names)
{
    char *to = names;

    for (char *word = names; *word;) {
        size_t n = strcspn(word, " ") + 1;
        char *start = word;

        for (char *p = word; p < word + n; p++) {
            start = *p == ':' ? p + 1 : start;
        }
        memmove(to, start, (size_t)(word + n - start));
        to += word + n - start;
        word += n;
    }
    *to = '\0';
}

Test(stats, items_and_slabs_of_one_class)
{
    struct talk t;
    unsigned count;
    char *names;

    talk_init(&t, NULL);
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats items\r\n"), "END\r\n"));
    talk_ask(&t, "set a 0 0 1\r\nx\r\nget a\r\n");
    names = stat_names(talk_ask(&t, "stats items\r\n"), &count);
    cr_expect(eq(int, strncmp(names, "items:", 6), 0));
    names_shorten(names);
    cr_expect(eq(str, names, (char *)(uintptr_t)items_of_class));
    free(names);
    names = stat_names(talk_ask(&t, "stats slabs\r\n"), &count);
    names_shorten(names);
    cr_expect(eq(int, strncmp(names, slabs_of_class, sizeof slabs_of_class - 1), 0), "%s", names);
    cr_expect(eq(str, names + sizeof slabs_of_class - 1, "active_slabs total_malloced "));
    free(names);
    talk_fini(&t);
}

Test(stats, settings_are_memcached_s)
{
    struct talk t;
    const char *got;

    talk_init(&t, NULL);
    got = talk_ask(&t, "stats settings\r\n");
    cr_expect(eq(int, strncmp(got, "STAT maxbytes 67108864\r\nSTAT maxconns 1024\r\n", 43), 0));
    cr_expect(strstr(got, "\r\nEND\r\n") != NULL);
    talk_ask(&t, "verbosity 2\r\nstats detail on\r\n");
    got = talk_ask(&t, "stats settings\r\n");
    cr_expect(eq(llong, stat_of(got, "verbosity"), 2));
    cr_expect(strstr(got, "STAT detail_enabled yes\r\n") != NULL);
    talk_fini(&t);
}

Test(stats, conns_show_who_is_there)
{
    struct conn_addr local = { .kind = CONN_TCP, .port = 11211, .u.ip = { 127, 0, 0, 1 } };
    struct conn_addr peer = { .kind = CONN_TCP, .port = 4000, .u.ip = { 10, 0, 0, 9 } };
    struct conn_row *listener, *client;
    struct talk t;

    talk_init(&t, NULL);
    listener = conns_open(t.n.node->conns, 5, &peer, &local, t.n.now);
    atomic_store(&listener->state, CONN_LISTENING);
    client = conns_open(t.n.node->conns, 7, &peer, &local, t.n.now);
    t.n.now += 3 * USEC_PER_SEC;
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats conns\r\n"),
                 "STAT 5:addr tcp:127.0.0.1:11211\r\nSTAT 5:state conn_listening\r\n"
                 "STAT 5:secs_since_last_cmd 3\r\nSTAT 7:addr tcp:10.0.0.9:4000\r\n"
                 "STAT 7:listen_addr tcp:127.0.0.1:11211\r\nSTAT 7:state conn_new_cmd\r\n"
                 "STAT 7:secs_since_last_cmd 3\r\nEND\r\n"));
    conns_close(t.n.node->conns, client);
    conns_close(t.n.node->conns, listener);
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats conns\r\n"), "END\r\n"));
    talk_fini(&t);
}

/* The class of the only item there is. */
static unsigned
class_of_item(struct talk *t)
{
    const char *got = talk_ask(t, "stats items\r\n");

    return (unsigned)atoi(got + strlen("STAT items:"));
}

Test(stats, cachedump_lists_the_keys_of_a_class)
{
    char line[64];
    struct talk t;

    talk_init(&t, NULL);
    talk_ask(&t, "set key1 0 0 3\r\nabc\r\n");
    snprintf(line, sizeof line, "stats cachedump %u 0\r\n", class_of_item(&t));
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, line), "ITEM key1 [3 b; 0 s]\r\nEND\r\n"));
    talk_ask(&t, "set key1 0 100 3\r\nabc\r\n");
    snprintf(line, sizeof line, "stats cachedump %u 1\r\n", class_of_item(&t));
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, line),
                 "ITEM key1 [3 b; 1750000100 s]\r\nEND\r\n"));
    talk_ask(&t, "delete key1\r\nms YQ0KYg== 3 b\r\nabc\r\n");
    snprintf(line, sizeof line, "stats cachedump %u 0\r\n", class_of_item(&t));
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, line),
                 "ITEM YQ0KYg== [3 b; 0 s]\r\nEND\r\n"), "a key with line ends");
    talk_ask(&t, "flush_all\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, line), "END\r\n"));
    talk_fini(&t);
}

Test(stats, cachedump_is_cut_at_2_mib)
{
    struct buf in = { 0 };
    struct talk t;
    char line[64];
    size_t len;

    talk_init(&t, NULL);
    for (unsigned i = 0; i < 20000; i++) {
        cr_assert(buf_printf(&in, "set %0200u 0 0 1 noreply\r\nx\r\n", i));
    }
    drive_say(&t.d, in.ptr, in.len, DRIVE_ALL);
    buf_free(&in);
    snprintf(line, sizeof line, "stats cachedump %u 0\r\n", class_of_item(&t));
    len = strlen(talk_ask(&t, line));
    cr_expect(gt(sz, len, 2000000));
    cr_expect(le(sz, len, 2 << 20));
    cr_expect(eq(int, strcmp(t.d.got.ptr + len - 5, "END\r\n"), 0));
    talk_fini(&t);
}

Test(stats, sizes_count_every_item)
{
    struct talk t;

    talk_init(&t, (const char *const[]){ "track_sizes=yes", NULL });
    talk_ask(&t, "set a 0 0 1\r\nx\r\nset b 0 0 1\r\nx\r\nset c 0 0 40\r\n"
                 "1234567890123456789012345678901234567890\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)talk_ask(&t, "stats sizes\r\n"),
                 "STAT 32 2\r\nSTAT 64 1\r\nEND\r\n"));
    talk_fini(&t);
}
