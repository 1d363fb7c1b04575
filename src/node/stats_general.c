/*
 * stats_general.c - plain "stats": memcached's list of figures, no more and no fewer.
 *
 * Programs count the rows and know their order.  Figures of ours that memcached does not have are
 * shown elsewhere.
 */
#include "config.h"

#include "node/conns.h"
#include "node/stats.h"
#include "node/watch.h"
#include "node/worker.h"

#include <assert.h>
#include <stdio.h>

/* What the rows are taken from: one look at everything. */
struct figures {
    struct worker        *worker;
    const struct node    *node;
    const struct settings *settings;
    struct metrics_sum    now;
    struct metrics_sum    base;
    struct store_stats    store;
    usec_t                user, system;
};

/* Rows that memcached shows only if the feature is on. */
enum stat_when { ALWAYS, IF_FAST, IF_IDLE, IF_REASSIGN, IF_CRAWLER, IF_MAINTAINER };

enum stat_kind { METRIC_ROW, FIGURE_ROW, TEXT_ROW };

typedef int64_t figure_fn(const struct figures *f);
typedef void figure_text_fn(const struct figures *f, char *out, size_t size);

struct stat_row {
    enum stat_kind  kind;
    enum stat_when  when;
    const char     *key;    /* of METRIC_ROW: NULL, the metric knows */
    enum metric     metric;
    figure_fn      *figure;
    figure_text_fn *text;
};

/* -- figures ----------------------------------------------------------------------------------- */

static int64_t
figure_pid(const struct figures *f)
{
    return f->node->facts.pid;
}

static int64_t
figure_uptime(const struct figures *f)
{
    return store_seconds(f->worker->ctx);
}

static int64_t
figure_time(const struct figures *f)
{
    return f->worker->now / USEC_PER_SEC;
}

static void
figure_version(const struct figures *f, char *out, size_t size)
{
    (void)f;
    snprintf(out, size, "%s", MEMCACHED_VERSION);
}

static void
figure_event_library(const struct figures *f, char *out, size_t size)
{
    snprintf(out, size, "%s", f->node->facts.event_library ? f->node->facts.event_library : "none");
}

static int64_t
figure_pointer_bits(const struct figures *f)
{
    (void)f;
    return (int64_t)(8 * sizeof(void *));
}

static void
cpu_print(usec_t used, char *out, size_t size)
{
    snprintf(out, size, "%lld.%06lld", (long long)(used / USEC_PER_SEC),
             (long long)(used % USEC_PER_SEC));
}

static void
figure_user(const struct figures *f, char *out, size_t size)
{
    cpu_print(f->user, out, size);
}

static void
figure_system(const struct figures *f, char *out, size_t size)
{
    cpu_print(f->system, out, size);
}

static int64_t
figure_max_connections(const struct figures *f)
{
    return f->settings->net.max_connections;
}

static int64_t
figure_conn_rows(const struct figures *f)
{
    return (int64_t)conns_rows(f->node->conns);
}

static int64_t
figure_reserved_fds(const struct figures *f)
{
    return f->node->facts.reserved_fds;
}

static int64_t
figure_limit(const struct figures *f)
{
    return (int64_t)f->store.limit;
}

static int64_t
figure_accepting(const struct figures *f)
{
    return atomic_load_explicit(&f->node->accepting, memory_order_relaxed);
}

static int64_t
figure_threads(const struct figures *f)
{
    return f->node->worker_count;
}

static int64_t
figure_hash_power(const struct figures *f)
{
    return f->store.hash_power;
}

static int64_t
figure_hash_bytes(const struct figures *f)
{
    return (int64_t)f->store.table_bytes;
}

static int64_t
figure_hash_growing(const struct figures *f)
{
    return f->store.growing;
}

static int64_t
figure_moving(const struct figures *f)
{
    return f->store.moving;
}

static int64_t
figure_last_busy(const struct figures *f)
{
    return f->store.last_busy;
}

static int64_t
figure_crawling(const struct figures *f)
{
    return f->store.crawling;
}

static int64_t
figure_global_pages(const struct figures *f)
{
    return (int64_t)f->store.pages_global;
}

static int64_t
figure_watchers(const struct figures *f)
{
    return watches_count(f->node->watches);
}

/* Receive buffers of workers that no connection is using. */
static int64_t
figure_free_buffers(const struct figures *f)
{
    int64_t free = 0;

    for (unsigned i = 0; i < f->node->worker_count; i++) {
        free += worker_holder(f->node->workers[i]) ? 0 : WORKER_RX_BYTES;
    }
    return free;
}

/* -- the list ---------------------------------------------------------------------------------- */

#define M(id, when)         { METRIC_ROW, when, NULL, M_##id, NULL, NULL }
#define F(key, figure, when) { FIGURE_ROW, when, key, METRICS, figure_##figure, NULL }
#define T(key, text)        { TEXT_ROW, ALWAYS, key, METRICS, NULL, figure_##text }

static const struct stat_row stat_rows[] = {
    F("pid", pid, ALWAYS),
    F("uptime", uptime, ALWAYS),
    F("time", time, ALWAYS),
    T("version", version),
    T("libevent", event_library),
    F("pointer_size", pointer_bits, ALWAYS),
    T("rusage_user", user),
    T("rusage_system", system),
    F("max_connections", max_connections, ALWAYS),
    M(CURR_CONNS, ALWAYS),
    M(TOTAL_CONNS, ALWAYS),
    M(REJECTED_CONNS, IF_FAST),
    F("connection_structures", conn_rows, ALWAYS),
    M(RESP_BUF_OOM, ALWAYS),
    M(RESP_BUFS, ALWAYS),
    M(RESP_BUF_BYTES, ALWAYS),
    M(READ_BUFS, ALWAYS),
    M(READ_BUF_BYTES, ALWAYS),
    F("read_buf_bytes_free", free_buffers, ALWAYS),
    M(READ_BUF_OOM, ALWAYS),
    F("reserved_fds", reserved_fds, ALWAYS),
    M(CMD_GET, ALWAYS),
    M(CMD_SET, ALWAYS),
    M(CMD_FLUSH, ALWAYS),
    M(CMD_TOUCH, ALWAYS),
    M(CMD_META, ALWAYS),
    M(GET_HITS, ALWAYS),
    M(GET_MISSES, ALWAYS),
    M(GET_EXPIRED, ALWAYS),
    M(GET_FLUSHED, ALWAYS),
    M(DELETE_MISSES, ALWAYS),
    M(DELETE_HITS, ALWAYS),
    M(INCR_MISSES, ALWAYS),
    M(INCR_HITS, ALWAYS),
    M(DECR_MISSES, ALWAYS),
    M(DECR_HITS, ALWAYS),
    M(CAS_MISSES, ALWAYS),
    M(CAS_HITS, ALWAYS),
    M(CAS_BADVAL, ALWAYS),
    M(TOUCH_HITS, ALWAYS),
    M(TOUCH_MISSES, ALWAYS),
    M(TOO_LARGE, ALWAYS),
    M(NO_MEMORY, ALWAYS),
    M(AUTH_CMDS, ALWAYS),
    M(AUTH_ERRORS, ALWAYS),
    M(IDLE_KICKS, IF_IDLE),
    M(BYTES_READ, ALWAYS),
    M(BYTES_WRITTEN, ALWAYS),
    F("limit_maxbytes", limit, ALWAYS),
    F("accepting_conns", accepting, ALWAYS),
    M(LISTEN_DISABLED, ALWAYS),
    M(LISTEN_DISABLED_USEC, ALWAYS),
    F("threads", threads, ALWAYS),
    M(CONN_YIELDS, ALWAYS),
    F("hash_power_level", hash_power, ALWAYS),
    F("hash_bytes", hash_bytes, ALWAYS),
    F("hash_is_expanding", hash_growing, ALWAYS),
    M(MOVE_RESCUES, IF_REASSIGN),
    M(MOVE_CHUNK_RESCUES, IF_REASSIGN),
    M(MOVE_RECLAIMS, IF_REASSIGN),
    M(MOVE_BUSY_ITEMS, IF_REASSIGN),
    M(MOVE_BUSY_DELETES, IF_REASSIGN),
    M(MOVE_BUSY_NOMEM, IF_REASSIGN),
    F("slab_reassign_last_busy_status", last_busy, IF_REASSIGN),
    F("slab_reassign_running", moving, IF_REASSIGN),
    M(PAGES_MOVED, IF_REASSIGN),
    F("lru_crawler_running", crawling, IF_CRAWLER),
    M(CRAWLER_STARTS, IF_CRAWLER),
    M(JUGGLES, IF_MAINTAINER),
    M(MALLOC_FAILS, ALWAYS),
    M(LOG_DROPPED, ALWAYS),
    M(LOG_WRITTEN, ALWAYS),
    M(LOG_SKIPPED, ALWAYS),
    M(LOG_SENT, ALWAYS),
    F("log_watchers", watchers, ALWAYS),
    M(UNEXPECTED_NAPI_IDS, ALWAYS),
    M(ROUND_ROBIN_FALLBACK, ALWAYS),
    M(CURR_BYTES, ALWAYS),
    M(CURR_ITEMS, ALWAYS),
    M(TOTAL_ITEMS, ALWAYS),
    F("slab_global_page_pool", global_pages, ALWAYS),
    M(EXPIRED_UNFETCHED, ALWAYS),
    M(EVICTED_UNFETCHED, ALWAYS),
    M(EVICTED_ACTIVE, IF_MAINTAINER),
    M(EVICTIONS, ALWAYS),
    M(RECLAIMED, ALWAYS),
    M(CRAWLER_RECLAIMED, ALWAYS),
    M(CRAWLER_CHECKED, ALWAYS),
    M(LRUTAIL_REFLOCKED, ALWAYS),
    M(MOVES_TO_COLD, IF_MAINTAINER),
    M(MOVES_TO_WARM, IF_MAINTAINER),
    M(MOVES_WITHIN_LRU, IF_MAINTAINER),
    M(DIRECT_RECLAIMS, IF_MAINTAINER),
    M(BUMPS_DROPPED, IF_MAINTAINER),
};

#undef M
#undef F
#undef T

static bool
row_is_shown(const struct stat_row *row, const struct settings *s)
{
    switch (row->when) {
    case ALWAYS:
        return true;
    case IF_FAST:
        return s->net.maxconns_fast;
    case IF_IDLE:
        return s->net.idle_timeout > 0;
    case IF_REASSIGN:
        return SETTINGS_LIVE(s->store.slab_reassign);
    case IF_CRAWLER:
        return SETTINGS_LIVE(s->store.lru_crawler);
    case IF_MAINTAINER:
        return s->store.lru_maintainer;
    }
    return false;
}

static void
row_emit(struct stats_sink *s, const struct stat_row *row, const struct figures *f)
{
    char text[96];

    switch (row->kind) {
    case METRIC_ROW:
        assert(metric_stat(row->metric));
        stats_emit_number(s, metric_stat(row->metric),
                          metrics_since(&f->now, &f->base, row->metric));
        break;
    case FIGURE_ROW:
        stats_emit_number(s, row->key, row->figure(f));
        break;
    case TEXT_ROW:
        row->text(f, text, sizeof text);
        stats_emit(s, row->key, text);
        break;
    }
}

void
stats_general_emit(struct stats_sink *s)
{
    struct node *n = s->worker->node;
    struct figures f = { .worker = s->worker, .node = n, .settings = n->settings };

    node_metrics(n, &f.now);
    stats_baseline(n, &f.base);
    store_get_stats(n->store, &f.store);
    if (n->facts.cpu) {
        n->facts.cpu(&f.user, &f.system);
    }
    for (size_t i = 0; i < sizeof stat_rows / sizeof stat_rows[0]; i++) {
        if (row_is_shown(&stat_rows[i], n->settings)) {
            row_emit(s, &stat_rows[i], &f);
        }
    }
}
