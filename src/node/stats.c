#include "node/stats.h"
#include "base/base64.h"
#include "base/num.h"
#include "base/spin.h"
#include "node/conns.h"
#include "node/prefixes.h"
#include "node/words.h"
#include "proto/binary.h"
#include "vocab/limits.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define DUMP_BYTES_MAX (2u << 20) /* of one cachedump */
#define DUMP_LINE_MIN  19u        /* bytes of the shortest line of it */
#define CLASSES_CLASSIC 63u       /* ids that memcached knows */

/* -- the sink ---------------------------------------------------------------------------------- */

static bool
sink_line(struct buf *b, const char *key, const char *value)
{
    return buf_add(b, "STAT ", 5) && buf_add(b, key, strlen(key)) && buf_add(b, " ", 1) &&
           buf_add(b, value, strlen(value)) && buf_add(b, "\r\n", 2);
}

static bool
sink_packet(struct stats_sink *s, struct slice key, struct slice value)
{
    struct buf *b = &s->worker->blob;

    if (!buf_reserve(b, BINARY_HEADER + key.len + value.len)) {
        return false;
    }
    b->len += binary_write_stat(s->command, key, value, b->ptr + b->len);
    return true;
}

void
stats_emit(void *arg, const char *key, const char *value)
{
    struct stats_sink *s = arg;

    if (s->failed) {
        return;
    }
    s->failed = s->command->protocol == PROTO_BINARY
                    ? !sink_packet(s, slice_of(key, strlen(key)), slice_of(value, strlen(value)))
                    : !sink_line(&s->worker->blob, key, value);
}

void
stats_emit_number(struct stats_sink *s, const char *key, int64_t value)
{
    char text[NUM_PRINT_MAX + 1];

    text[num_print_i64(text, value)] = '\0';
    stats_emit(s, key, text);
}

static void
sink_init(struct stats_sink *s, struct worker *w, const struct command *c)
{
    *s = (struct stats_sink){ .worker = w, .command = c };
    w->blob.len = 0;
}

/* Ends the list and makes it the reply. */
static void
sink_finish(struct stats_sink *s, struct reply *r)
{
    struct buf *b = &s->worker->blob;

    if (!s->failed) {
        s->failed = s->command->protocol == PROTO_BINARY
                        ? !sink_packet(s, (struct slice){ 0 }, (struct slice){ 0 })
                        : !buf_add(b, "END\r\n", 5);
    }
    if (s->failed) {
        b->len = 0;
        r->code = RPL_NO_MEMORY_STATS;
        return;
    }
    r->code = RPL_BLOB;
    r->value = slice_of(b->ptr, b->len);
}

/* -- the zero point ---------------------------------------------------------------------------- */

static void
baseline_lock(struct node *n)
{
    for (unsigned round = 0;
         atomic_exchange_explicit(&n->baseline_lock, 1, memory_order_acquire) != 0; round++) {
        spin_pause(round);
    }
}

static void
baseline_unlock(struct node *n)
{
    atomic_store_explicit(&n->baseline_lock, 0, memory_order_release);
}

void
stats_baseline(struct node *n, struct metrics_sum *ret)
{
    baseline_lock(n);
    *ret = n->baseline;
    baseline_unlock(n);
}

static void
stats_reset(struct node *n)
{
    struct metrics_sum now;

    node_metrics(n, &now);
    baseline_lock(n);
    n->baseline = now;
    baseline_unlock(n);
    store_reset_stats(n->store);
    prefixes_clear(n->prefixes);
}

/* -- classes ----------------------------------------------------------------------------------- */

static void
emit_of_class(struct stats_sink *s, const char *prefix, unsigned id, const char *name,
              uint64_t value)
{
    char key[64];

    snprintf(key, sizeof key, "%s%u:%s", prefix, id, name);
    stats_emit_number(s, key, (int64_t)value);
}

/*
 * The small queue is what memcached calls hot; main items are warm, or cold if nobody asked for
 * them since the hand last came by.
 */
static void
items_of_class(struct stats_sink *s, unsigned id, const struct store_class_stats *k,
               const struct settings_store *set)
{
    const bool queues = set->lru_maintainer;

#define ITEMS_ROW(name, value) emit_of_class(s, "items:", id, name, (uint64_t)(value))
    ITEMS_ROW("number", k->items);
    if (queues) {
        ITEMS_ROW("number_hot", k->items_small);
        ITEMS_ROW("number_warm", k->items_main - k->items_cold);
        ITEMS_ROW("number_cold", k->items_cold);
        if (set->temp_lru) {
            ITEMS_ROW("number_temp", k->items_temp);
        }
        ITEMS_ROW("age_hot", k->age_small);
        ITEMS_ROW("age_warm", k->age_main);
    }
    ITEMS_ROW("age", k->age);
    ITEMS_ROW("mem_requested", k->bytes);
    ITEMS_ROW("evicted", k->evicted);
    ITEMS_ROW("evicted_nonzero", k->evicted_nonzero);
    ITEMS_ROW("evicted_time", k->evicted_time);
    ITEMS_ROW("outofmemory", k->outofmemory);
    ITEMS_ROW("tailrepairs", 0);
    ITEMS_ROW("reclaimed", k->reclaimed);
    ITEMS_ROW("expired_unfetched", k->expired_unfetched);
    ITEMS_ROW("evicted_unfetched", k->evicted_unfetched);
    if (queues) {
        ITEMS_ROW("evicted_active", k->evicted_active);
    }
    ITEMS_ROW("crawler_reclaimed", k->crawler_reclaimed);
    ITEMS_ROW("crawler_items_checked", k->crawler_checked);
    ITEMS_ROW("lrutail_reflocked", k->lrutail_reflocked);
    if (queues) {
        ITEMS_ROW("moves_to_cold", k->moves_to_cold);
        ITEMS_ROW("moves_to_warm", k->moves_to_warm);
        ITEMS_ROW("moves_within_lru", k->moves_within);
        ITEMS_ROW("direct_reclaims", k->direct_reclaims);
        ITEMS_ROW("hits_to_hot", k->hits_small);
        ITEMS_ROW("hits_to_warm", k->hits_main);
        ITEMS_ROW("hits_to_cold", k->hits_cold);
        ITEMS_ROW("hits_to_temp", k->hits_temp);
    }
#undef ITEMS_ROW
}

static void
stats_items(struct stats_sink *s)
{
    struct node *n = s->worker->node;
    struct store_stats all;

    store_get_stats(n->store, &all);
    for (unsigned id = 1; id <= all.classes; id++) {
        struct store_class_stats k;

        store_get_class_stats(n->store, (uint8_t)id, &k);
        if (k.items > 0) {
            items_of_class(s, id, &k, &n->settings->store);
        }
    }
}

static void
slabs_of_class(struct stats_sink *s, unsigned id, const struct store_class_stats *k)
{
    static const char *const count_name[STORE_COUNTS] = {
        [SC_GET_HITS] = "get_hits",       [SC_CMD_SET] = "cmd_set",
        [SC_DELETE_HITS] = "delete_hits", [SC_INCR_HITS] = "incr_hits",
        [SC_DECR_HITS] = "decr_hits",     [SC_CAS_HITS] = "cas_hits",
        [SC_CAS_BADVAL] = "cas_badval",   [SC_TOUCH_HITS] = "touch_hits",
    };

    emit_of_class(s, "", id, "chunk_size", k->chunk_size);
    emit_of_class(s, "", id, "chunks_per_page", k->chunks_per_page);
    emit_of_class(s, "", id, "total_pages", k->pages);
    emit_of_class(s, "", id, "total_chunks", k->pages * k->chunks_per_page);
    emit_of_class(s, "", id, "used_chunks", k->chunks_used);
    emit_of_class(s, "", id, "free_chunks", k->chunks_free);
    /* Pages are cut up whole, as memcached's are since 1.4. */
    emit_of_class(s, "", id, "free_chunks_end", 0);
    for (unsigned i = 0; i < STORE_COUNTS; i++) {
        emit_of_class(s, "", id, count_name[i], (uint64_t)k->counts[i]);
    }
}

static void
stats_slabs(struct stats_sink *s)
{
    struct node *n = s->worker->node;
    struct store_stats all;
    int64_t active = 0;

    store_get_stats(n->store, &all);
    for (unsigned id = 1; id <= all.classes; id++) {
        struct store_class_stats k;

        store_get_class_stats(n->store, (uint8_t)id, &k);
        if (k.pages > 0) {
            slabs_of_class(s, id, &k);
            active++;
        }
    }
    stats_emit_number(s, "active_slabs", active);
    stats_emit_number(s, "total_malloced", (int64_t)all.pages_bytes);
}

/* -- sizes ------------------------------------------------------------------------------------- */

#define SIZES_STEP 32u       /* bytes of a bucket */
#define SIZES_MAX  (1u << 16) /* buckets; the last one takes all that is larger */
#define SIZES_SCAN 4096u     /* hash buckets a step */

static void
sizes_count(void *arg, const struct store_record *record, uint8_t class_id)
{
    uint32_t *bucket = arg;
    size_t value = record->item ? item_value_len(record->item) : record->value.len;
    size_t i = (16 + record->key.len + value + SIZES_STEP - 1) / SIZES_STEP;

    (void)class_id;
    if (!record->tombstone) {
        bucket[i < SIZES_MAX ? i : SIZES_MAX - 1]++;
    }
}

/*
 * Looks at every item: costs as much as that, and is off unless the node was started with
 * track_sizes.
 */
static void
stats_sizes(struct stats_sink *s)
{
    uint32_t *bucket;
    uint64_t cursor = 0;
    char key[24];

    if (!s->worker->node->settings->store.track_sizes) {
        stats_emit(s, "sizes_status", "disabled");
        return;
    }
    bucket = calloc(SIZES_MAX, sizeof *bucket);
    if (!bucket) {
        s->failed = true;
        return;
    }
    while (!store_scan(s->worker->ctx, &cursor, SIZES_SCAN, sizes_count, bucket)) {
    }
    for (unsigned i = 0; i < SIZES_MAX; i++) {
        if (bucket[i] > 0) {
            snprintf(key, sizeof key, "%u", i * SIZES_STEP);
            stats_emit_number(s, key, bucket[i]);
        }
    }
    free(bucket);
}

/* -- conns ------------------------------------------------------------------------------------- */

static void
conns_emit(void *arg, const struct conn_row *row)
{
    static const char *const state_name[] = {
        [CONN_LISTENING] = "conn_listening", [CONN_NEW_CMD] = "conn_new_cmd",
        [CONN_WAITING] = "conn_waiting",     [CONN_READ] = "conn_read",
        [CONN_PARSE_CMD] = "conn_parse_cmd", [CONN_WRITE] = "conn_write",
        [CONN_NREAD] = "conn_nread",         [CONN_SWALLOW] = "conn_swallow",
        [CONN_CLOSING] = "conn_closing",     [CONN_MWRITE] = "conn_mwrite",
        [CONN_CLOSED] = "conn_closed",       [CONN_WATCH] = "conn_watch",
    };
    struct stats_sink *s = arg;
    int state = atomic_load_explicit(&row->state, memory_order_relaxed);
    int64_t last = atomic_load_explicit(&row->last_cmd, memory_order_relaxed);
    int64_t idle = s->worker->now > last ? (s->worker->now - last) / USEC_PER_SEC : 0;
    bool is_udp = row->local.kind == CONN_UDP || row->local.kind == CONN_UDP6;
    char key[48], text[192];

    assert(state >= 0 && state <= CONN_WATCH);
    if (is_udp) {
        snprintf(key, sizeof key, "%d:UDP", row->fd);
        stats_emit(s, key, "UDP");
    }
    snprintf(key, sizeof key, "%d:addr", row->fd);
    conn_addr_print(state == CONN_LISTENING ? &row->local : &row->peer, text, sizeof text);
    stats_emit(s, key, text);
    if (state != CONN_LISTENING && !is_udp) {
        snprintf(key, sizeof key, "%d:listen_addr", row->fd);
        conn_addr_print(&row->local, text, sizeof text);
        stats_emit(s, key, text);
    }
    snprintf(key, sizeof key, "%d:state", row->fd);
    stats_emit(s, key, state_name[state]);
    snprintf(key, sizeof key, "%d:secs_since_last_cmd", row->fd);
    stats_emit_number(s, key, idle);
}

static void
stats_conns(struct stats_sink *s)
{
    conns_each(s->worker->node->conns, conns_emit, s);
}

static void
stats_settings(struct stats_sink *s)
{
    settings_each_stat(s->worker->node->settings, stats_emit, s);
}

/* -- detail ------------------------------------------------------------------------------------ */

static void
detail_dump(struct worker *w, const struct command *c, struct reply *r)
{
    struct stats_sink s;

    sink_init(&s, w, c);
    if (c->protocol == PROTO_BINARY) {
        struct buf lines = { 0 };

        s.failed = !prefixes_print(w->node->prefixes, &lines) || !buf_add(&lines, "END\r\n", 5) ||
                   !sink_packet(&s, SLICE("detailed"), slice_of(lines.ptr, lines.len));
        buf_free(&lines);
    } else {
        s.failed = !prefixes_print(w->node->prefixes, &w->blob);
    }
    sink_finish(&s, r);
}

static void
stats_detail(struct worker *w, const struct command *c, const struct words *words, struct reply *r)
{
    struct slice what = words->word[1];

    if (!w->node->settings->admin.dump_enabled) {
        r->code = RPL_DETAIL_REFUSED;
    } else if (slice_is(what, "on") || slice_is(what, "off")) {
        __atomic_store_n(&w->node->settings->admin.detail_enabled, slice_is(what, "on"),
                         __ATOMIC_RELAXED);
        worker_look(w); /* other workers do in their next turn */
        r->code = RPL_OK;
    } else if (slice_is(what, "dump")) {
        detail_dump(w, c, r);
    } else {
        r->code = RPL_DETAIL_USAGE;
    }
}

/* -- cachedump --------------------------------------------------------------------------------- */

struct dump {
    struct stats_sink *sink;
    int64_t            epoch; /* unix time of store second 0 */
};

static void
dump_item(void *arg, const struct store_record *record, uint8_t class_id)
{
    struct dump *d = arg;
    struct stats_sink *s = d->sink;
    struct buf *b = &s->worker->blob;
    size_t value = record->item ? item_value_len(record->item) : record->value.len;
    char text[BASE64_TEXT_LEN(KEY_MAX)];
    struct slice key = record->key;

    (void)class_id;
    if (s->failed || record->tombstone || b->len + sizeof text + 64 > DUMP_BYTES_MAX) {
        return;
    }
    /* A key that came as base64 may hold line ends. */
    if (record->key_binary) {
        size_t len = 0;

        if (!base64_encode(key, text, sizeof text, &len)) {
            return;
        }
        key = slice_of(text, len);
    }
    s->failed = !buf_add(b, "ITEM ", 5) || !buf_add(b, key.ptr, key.len) ||
                !buf_printf(b, " [%zu b; %lld s]\r\n", value,
                            record->expires ? (long long)(d->epoch + record->expires) : 0LL);
}

static void
stats_dump(struct worker *w, const struct command *c, const struct words *words, struct reply *r)
{
    struct store_stats all;
    struct stats_sink s;
    struct dump d = { .sink = &s, .epoch = store_epoch(w->node->store) };
    uint32_t id, limit;

    if (!w->node->settings->admin.dump_enabled) {
        r->code = RPL_DUMP_REFUSED;
        return;
    }
    if (words->count < 3) {
        r->code = RPL_DUMP_LINE;
        return;
    }
    if (!num_parse_u32(words->word[1], &id) || !num_parse_u32(words->word[2], &limit)) {
        r->code = RPL_BAD_FORMAT;
        return;
    }
    store_get_stats(w->node->store, &all);
    if (id > CLASSES_CLASSIC && id > all.classes) {
        r->code = RPL_DUMP_SLAB;
        return;
    }
    if (limit == 0 || limit > DUMP_BYTES_MAX / DUMP_LINE_MIN) {
        limit = DUMP_BYTES_MAX / DUMP_LINE_MIN;
    }
    sink_init(&s, w, c);
    if (id >= 1 && id <= all.classes) {
        store_walk_class(w->ctx, (uint8_t)id, limit, dump_item, &d);
    }
    sink_finish(&s, r);
}

/* -- which list -------------------------------------------------------------------------------- */

/* Lists that need no more than their name. */
static const struct {
    const char *name;
    void (*run)(struct stats_sink *s);
    bool binary; /* known in the binary protocol as well */
} stats_lists[] = {
    { "settings", stats_settings, true }, { "items", stats_items, true },
    { "slabs", stats_slabs, true },       { "sizes", stats_sizes, true },
    { "conns", stats_conns, false },
    { "cluster", stats_cluster_emit, true }, { "ring", stats_ring_emit, true },
    { "peers", stats_peers_emit, true },
};

static void
stats_list(struct worker *w, const struct command *c, void (*run)(struct stats_sink *s),
           struct reply *r)
{
    struct stats_sink s;

    sink_init(&s, w, c);
    run(&s);
    sink_finish(&s, r);
}

void
stats_run(struct worker *w, const struct command *c, struct reply *r)
{
    bool binary = c->protocol == PROTO_BINARY;
    struct words words;

    words_split(c->args, &words);
    if (words.count == 0) {
        stats_list(w, c, stats_general_emit, r);
        return;
    }
    for (size_t i = 0; i < sizeof stats_lists / sizeof stats_lists[0]; i++) {
        if (slice_is(words.word[0], stats_lists[i].name) && (stats_lists[i].binary || !binary)) {
            stats_list(w, c, stats_lists[i].run, r);
            return;
        }
    }
    if (slice_is(words.word[0], "reset")) {
        stats_reset(w->node);
        r->code = RPL_RESET;
    } else if (slice_is(words.word[0], "detail")) {
        stats_detail(w, c, &words, r);
    } else if (slice_is(words.word[0], "cachedump") && !binary) {
        stats_dump(w, c, &words, r);
    } else {
        r->code = binary ? RPL_NOT_FOUND : RPL_ERROR;
    }
}
