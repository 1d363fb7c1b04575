#include "node/node.h"
#include "node/conns.h"
#include "node/peer_rows.h"
#include "node/prefixes.h"
#include "node/watch.h"
#include "node/worker.h"
#include "store/store.h"
#include <assert.h>
#include <stdlib.h>

/*
 * The small numbers by which nodes tell their versions apart.  Of a cluster's node without a name
 * it is as good as random; a node that is alone needs none.
 */
static uint8_t
node_tag(const struct settings *s, const struct node_facts *facts)
{
    struct slice name = slice_of(s->process.node_id, strlen(s->process.node_id));
    struct { int64_t pid; usec_t start; } run = { facts->pid, facts->start };

    if (name.len > 0) {
        return (uint8_t)(store_hash(name) >> 56);
    }
    if (s->cluster.cluster || s->cluster.join[0] != '\0') {
        return (uint8_t)(store_hash(slice_of(&run, sizeof run)) >> 56);
    }
    return 0;
}

/* The live settings as they are now. */
static struct store_tuning
node_tuning(const struct settings *s)
{
    const struct settings_store *t = &s->store;
    int64_t automove = SETTINGS_LIVE(t->slab_automove);
    double ratio;

    __atomic_load(&t->slab_automove_ratio, &ratio, __ATOMIC_RELAXED);
    return (struct store_tuning){
        .moves = SETTINGS_LIVE(t->slab_reassign) && automove != 0,
        .moves_eager = automove == 2,
        .move_ratio = ratio,
        /* Not asked for, our own way: a look every second, and each one counts. */
        .move_window = SETTINGS_LIVE(s->given[SETTING_slab_automove_window])
                           ? (unsigned)SETTINGS_LIVE(t->slab_automove_window)
                           : 0,
        .crawler = SETTINGS_LIVE(t->lru_crawler),
        .crawler_sleep = SETTINGS_LIVE(t->lru_crawler_sleep),
        .crawler_max = (uint32_t)SETTINGS_LIVE(t->lru_crawler_tocrawl),
        .flat = !SETTINGS_LIVE(t->lru_segmented),
        .small_percent = SETTINGS_LIVE(s->given[SETTING_hot_lru_pct])
                             ? (unsigned)SETTINGS_LIVE(t->hot_lru_pct)
                             : 0,
        .temporary_ttl =
            SETTINGS_LIVE(t->temp_lru) ? (uint32_t)SETTINGS_LIVE(t->temporary_ttl) : 0,
    };
}

void
node_tune(struct node *n)
{
    struct store_tuning t = node_tuning(n->settings);

    store_tune(n->store, &t);
}

/* What is reserved is locked with the rest under -k, and counts against the user's limit. */
static size_t
node_memory_max(const struct settings *s)
{
    if (s->store.memory_max == 0 && s->process.lock_memory) {
        return 2 * s->store.memory_limit;
    }
    return s->store.memory_max;
}

static struct store_config
node_store_config(const struct settings *s, const struct node_facts *facts, usec_t now)
{
    /* memcached's sizes are only for those who ask for them: our own table wastes less. */
    bool classic = settings_has_geometry(s);

    return (struct store_config){
        .memory_limit = s->store.memory_limit,
        .memory_max = node_memory_max(s),
        .item_size_max = s->store.item_size_max,
        .page_size = classic ? 1 << 20 : 0, /* memcached's, so that its classes come out the same */
        .factor = classic ? s->store.growth_factor : 0,
        .chunk_min = (unsigned)s->store.chunk_size,
        .chunk_max = classic ? (uint32_t)s->store.slab_chunk_max : 0,
        .hash_power = (unsigned)s->store.hashpower,
        .preallocate = s->store.preallocate,
        .pages_stay = !s->store.slab_reassign,
        .tuning = node_tuning(s),
        .event_bytes = s->admin.worker_logbuf_size,
        .evict = s->store.evict,
        .no_cas = !s->store.cas,
        .items_max = (uint64_t)s->store.max_items,
        .tombstone_life = (unsigned)(s->store.tombstone_life / USEC_PER_SEC),
        .node_tag = node_tag(s, facts),
        .start = now,
    };
}

struct node *
node_new(struct settings *settings, const struct node_facts *facts, usec_t now,
         struct err_detail *d)
{
    struct store_config config = node_store_config(settings, facts, now);
    struct node *n = aligned_alloc(_Alignof(struct node), sizeof *n);
    uint32_t sizes[SETTINGS_SLAB_SIZES_MAX];

    assert(settings && facts);
    if (settings_slab_sizes(settings, sizes, &config.chunk_size_count, d)) {
        free(n);
        return NULL;
    }
    config.chunk_sizes = config.chunk_size_count > 0 ? sizes : NULL;
    if (!n) {
        err_set(d, ERR_NOMEM, "out of memory for the node");
        return NULL;
    }
    memset(n, 0, sizeof *n);
    n->settings = settings;
    n->facts = *facts;
    atomic_store_explicit(&n->accepting, 1, memory_order_relaxed);
    n->store = store_new(&config, d);
    if (!n->store) {
        node_free(n);
        return NULL;
    }
    n->conns = conns_new();
    n->peer_rows = peer_rows_new();
    n->prefixes = prefixes_new();
    n->watches = watches_new(n->store, settings->admin.watcher_logbuf_size);
    if (!n->conns || !n->peer_rows || !n->prefixes || !n->watches) {
        err_set(d, ERR_NOMEM, "out of memory for the node's registries");
        node_free(n);
        return NULL;
    }
    return n;
}

void
node_free(struct node *n)
{
    if (!n) {
        return;
    }
    for (unsigned i = 0; i < n->worker_count; i++) {
        worker_free(n->workers[i]);
    }
    watches_free(n->watches);
    prefixes_free(n->prefixes);
    conns_free(n->conns);
    peer_rows_free(n->peer_rows);
    store_free(n->store);
    free(n);
}

struct worker *
node_add_worker(struct node *n)
{
    struct worker *w;

    if (n->worker_count == NODE_WORKERS_MAX) {
        return NULL;
    }
    w = worker_new(n, n->worker_count);
    if (w) {
        n->workers[n->worker_count++] = w;
    }
    return w;
}

void
node_metrics(struct node *n, struct metrics_sum *ret)
{
    *ret = (struct metrics_sum){ { 0 } };
    metrics_collect(ret, &n->shared);
    metrics_collect(ret, &n->upkeep);
    for (unsigned i = 0; i < n->worker_count; i++) {
        metrics_collect(ret, &n->workers[i]->metrics);
    }
}
