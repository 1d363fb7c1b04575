#include "node/watch.h"
#include "base/spin.h"
#include "base/uri.h"
#include "node/conns.h"
#include "store/store.h"
#include "vocab/limits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_ROOM    2048u /* bytes of any line: an encoded key and some numbers */
#define RAW_MAX      512u  /* bytes shown of a command, as in memcached */
#define SKIPPED_ROOM 32u   /* bytes of "skipped=N\n" */
#define LOCK_ROUNDS  1000u /* pauses after which a line is dropped rather than waited for */

struct watcher {
    struct watches *all;
    bool            is_log; /* watches_add_log() made it */
    unsigned        streams, worker;
    size_t          size;
    uint64_t        skipped;         /* lines that found no room since the last that did; locked */
    _Atomic bool    hungry;          /* its worker found nothing to send: tell it of more */
    _Atomic bool    fed;             /* ... and there is more since then */
    _Atomic uint64_t head, tail;     /* bytes ever sent, and written (by whoever holds the lock) */
    char            ring[];
};

struct watches {
    struct spin      lock; /* of the list and of writing into rings */
    struct store    *store;
    size_t           buffer;
    unsigned         count, logs; /* logs: those of count that are not clients */
    struct watcher  *watcher[WATCH_MAX + 1];
    _Atomic unsigned streams, shown_count; /* what others see of the list */
    _Atomic uint64_t ready;                /* workers to be woken */
    _Atomic uint64_t gid;                  /* number of the last line */
};

bool
watch_word(struct slice word, unsigned *ret_streams)
{
    static const struct {
        const char *word;
        unsigned    streams;
    } words[] = {
        { "rawcmds", WATCH_RAWCMDS },       { "evictions", WATCH_EVICTIONS },
        { "fetchers", WATCH_FETCHERS },     { "mutations", WATCH_MUTATIONS },
        { "sysevents", WATCH_SYSEVENTS },   { "connevents", WATCH_CONNEVENTS },
        { "deletions", WATCH_DELETIONS },   { "proxyreqs", 0 },
        { "proxyevents", 0 },               { "proxyuser", 0 },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_is(word, words[i].word)) {
            *ret_streams = words[i].streams;
            return true;
        }
    }
    return false;
}

/* -- the list ---------------------------------------------------------------------------------- */

struct watches *
watches_new(struct store *store, size_t buffer)
{
    struct watches *all = calloc(1, sizeof *all);

    assert(store && buffer > 0);
    if (all) {
        all->store = store;
        all->buffer = buffer;
    }
    return all;
}

void
watches_free(struct watches *all)
{
    assert(!all || all->count == 0);
    free(all);
}

unsigned
watches_streams(const struct watches *all)
{
    return atomic_load_explicit(&all->streams, memory_order_relaxed);
}

unsigned
watches_count(const struct watches *all)
{
    return atomic_load_explicit(&all->shown_count, memory_order_relaxed);
}

uint64_t
watches_take_ready(struct watches *all)
{
    if (atomic_load_explicit(&all->ready, memory_order_relaxed) == 0) {
        return 0;
    }
    return atomic_exchange_explicit(&all->ready, 0, memory_order_acquire);
}

/* Makes known what is watched now.  Locked. */
static void
watches_publish_locked(struct watches *all)
{
    unsigned streams = 0;

    for (unsigned i = 0; i < all->count; i++) {
        streams |= all->watcher[i]->streams;
    }
    atomic_store_explicit(&all->streams, streams, memory_order_relaxed);
    atomic_store_explicit(&all->shown_count, all->count - all->logs, memory_order_relaxed);
    store_watch_events(all->store,
                       (streams & WATCH_EVICTIONS ? STORE_EVENT_EVICTED : 0u) |
                           (streams & WATCH_SYSEVENTS ? STORE_EVENT_MOVED : 0u) |
                           (streams & WATCH_SYSEVENTS ? STORE_EVENT_CRAWLED : 0u));
}

static struct watcher *
watcher_new(struct watches *all, unsigned streams, unsigned worker)
{
    struct watcher *w = calloc(1, sizeof *w + all->buffer);

    assert(worker < 64);
    if (w) {
        w->all = all;
        w->streams = streams;
        w->worker = worker;
        w->size = all->buffer;
    }
    return w;
}

/* Puts it on the list; false: there is no place. */
static bool
watcher_enter(struct watcher *w)
{
    struct watches *all = w->all;
    bool room;

    spin_lock(&all->lock);
    room = w->is_log ? all->logs == 0 : all->count - all->logs < WATCH_MAX;
    if (room) {
        all->logs += w->is_log;
        all->watcher[all->count++] = w;
        watches_publish_locked(all);
    }
    spin_unlock(&all->lock);
    return room;
}

enum watch_added
watches_add(struct watches *all, unsigned streams, unsigned worker, struct watcher **ret)
{
    struct watcher *w = watcher_new(all, streams, worker);

    if (!w) {
        return WATCH_FAILED;
    }
    if (!watcher_enter(w)) {
        free(w);
        return WATCH_TOO_MANY;
    }
    *ret = w;
    return WATCH_ADDED;
}

struct watcher *
watches_add_log(struct watches *all, unsigned streams, unsigned worker)
{
    struct watcher *w = watcher_new(all, streams, worker);

    if (!w) {
        return NULL;
    }
    w->is_log = true;
    if (!watcher_enter(w)) {
        free(w);
        return NULL;
    }
    return w;
}

void
watcher_free(struct watcher *w)
{
    struct watches *all;
    unsigned i = 0;

    if (!w) {
        return;
    }
    all = w->all;
    spin_lock(&all->lock);
    while (all->watcher[i] != w) {
        i++;
        assert(i < all->count);
    }
    all->watcher[i] = all->watcher[--all->count];
    all->logs -= w->is_log;
    watches_publish_locked(all);
    spin_unlock(&all->lock);
    free(w);
}

/* -- the ring ---------------------------------------------------------------------------------- */

/* Locked; there is room. */
static void
ring_put(struct watcher *w, const char *bytes, size_t n)
{
    uint64_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    size_t at = (size_t)(tail % w->size);
    size_t first = n < w->size - at ? n : w->size - at;

    memcpy(w->ring + at, bytes, first);
    memcpy(w->ring, bytes + first, n - first);
    /* With watcher_iov(): either it sees these bytes, or we see that it is hungry. */
    atomic_store_explicit(&w->tail, tail + n, memory_order_seq_cst);
}

static size_t
ring_room(const struct watcher *w)
{
    uint64_t used = atomic_load_explicit(&w->tail, memory_order_relaxed) -
                    atomic_load_explicit(&w->head, memory_order_acquire);

    return w->size - (size_t)used;
}

/* One line for one watcher; false: there was no room.  Locked. */
static bool
watcher_put(struct watcher *w, const char *line, size_t n)
{
    if (ring_room(w) < n + (w->skipped > 0 ? SKIPPED_ROOM : 0)) {
        w->skipped++;
        return false;
    }
    if (w->skipped > 0) {
        char text[SKIPPED_ROOM];
        int len = snprintf(text, sizeof text, "skipped=%llu\n", (unsigned long long)w->skipped);

        ring_put(w, text, (size_t)len);
        w->skipped = 0;
    }
    ring_put(w, line, n);
    if (atomic_load_explicit(&w->hungry, memory_order_seq_cst)) {
        atomic_store_explicit(&w->hungry, false, memory_order_relaxed);
        atomic_store_explicit(&w->fed, true, memory_order_relaxed);
        atomic_fetch_or_explicit(&w->all->ready, UINT64_C(1) << w->worker, memory_order_release);
    }
    return true;
}

int
watcher_iov(struct watcher *w, struct iovec *iov, int max)
{
    uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&w->tail, memory_order_acquire) - head;
    size_t at = (size_t)(head % w->size);
    size_t first;

    assert(max > 0 && used <= w->size);
    if (used == 0) {
        atomic_store_explicit(&w->hungry, true, memory_order_seq_cst);
        /* Between the look and the word somebody may have written the last line for long. */
        used = atomic_load_explicit(&w->tail, memory_order_seq_cst) - head;
        if (used == 0) {
            return 0;
        }
    }
    first = used < w->size - at ? (size_t)used : w->size - at;
    iov[0] = (struct iovec){ .iov_base = w->ring + at, .iov_len = first };
    if (first == used || max == 1) {
        return 1;
    }
    iov[1] = (struct iovec){ .iov_base = w->ring, .iov_len = (size_t)used - first };
    return 2;
}

void
watcher_done(struct watcher *w, size_t n)
{
    uint64_t head = atomic_load_explicit(&w->head, memory_order_relaxed);

    assert(n <= atomic_load_explicit(&w->tail, memory_order_relaxed) - head);
    atomic_store_explicit(&w->head, head + n, memory_order_release);
}

bool
watcher_is_fed(struct watcher *w)
{
    return atomic_load_explicit(&w->fed, memory_order_relaxed) &&
           atomic_exchange_explicit(&w->fed, false, memory_order_relaxed);
}

/* -- lines ------------------------------------------------------------------------------------- */

/* False: others had it for too long. */
static bool
lock_soon(struct spin *lock)
{
    for (unsigned round = 0; round < LOCK_ROUNDS; round++) {
        if (spin_try(lock)) {
            return true;
        }
        spin_pause(0); /* never gives the processor away */
    }
    return false;
}

/* A whole line to all who watch the stream. */
static void
line_put(const struct watch_from *f, unsigned stream, const char *line, size_t n)
{
    struct watches *all = f->all;
    int64_t sent = 0, skipped = 0;

    if (!lock_soon(&all->lock)) {
        metric_add(f->metrics, M_LOG_DROPPED, 1);
        return;
    }
    for (unsigned i = 0; i < all->count; i++) {
        if (all->watcher[i]->streams & stream) {
            bool put = watcher_put(all->watcher[i], line, n);

            sent += put;
            skipped += !put;
        }
    }
    spin_unlock(&all->lock);
    metric_add(f->metrics, M_LOG_WRITTEN, 1);
    metric_add(f->metrics, M_LOG_SENT, sent);
    metric_add(f->metrics, M_LOG_SKIPPED, skipped);
}

/* Puts the head before what fmt makes, and the line's end behind it. */
PRINTF(3, 4)
static void
line_printf(const struct watch_from *f, unsigned stream, const char *fmt, ...)
{
    char line[LINE_ROOM];
    uint64_t gid = atomic_fetch_add_explicit(&f->all->gid, 1, memory_order_relaxed) + 1;
    int n, m;
    va_list ap;

    /* The microseconds have no leading zeroes, and readers of these lines know it so. */
    n = snprintf(line, sizeof line, "ts=%lld.%d gid=%llu ", (long long)(f->now / USEC_PER_SEC),
                 (int)(f->now % USEC_PER_SEC), (unsigned long long)gid);
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    assert(n > 0 && m >= 0 && (size_t)(n + m) < sizeof line - 1);
    line[n + m] = '\n';
    line_put(f, stream, line, (size_t)(n + m) + 1);
}

/* A key as it stands in a line; out has KEY_TEXT bytes. */
#define KEY_TEXT (URI_TEXT_MAX(KEY_MAX) + 1)

static const char *
key_text(struct slice key, char *out)
{
    assert(key.len <= KEY_MAX);
    out[uri_encode(key, out)] = '\0';
    return out;
}

void
watch_raw(const struct watch_from *f, int fd, struct slice line)
{
    char text[RAW_MAX + 1];
    size_t n = 0;

    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    /* Somebody reads this on a terminal, and it is not for clients to tell it what to do. */
    for (; n < line.len && n < RAW_MAX; n++) {
        unsigned char byte = (unsigned char)line.ptr[n];
        bool control = byte < ' ' || (byte >= 0x7f && byte < 0xa0);

        text[n] = control ? '?' : line.ptr[n];
    }
    text[n] = '\0';
    line_printf(f, WATCH_RAWCMDS, "<%d %s", fd, text);
}

void
watch_fetch(const struct watch_from *f, struct slice key, enum watch_found found,
            unsigned class_id, int fd, uint32_t value_len)
{
    static const char *const word[] = { "not_found", "found", "flushed", "expired" };
    char text[KEY_TEXT];

    line_printf(f, WATCH_FETCHERS, "type=item_get key=%s status=%s clsid=%u cfd=%d size=%u",
                key_text(key, text), word[found], class_id, fd, value_len);
}

void
watch_store(const struct watch_from *f, struct slice key, const char *status, const char *command,
            uint32_t ttl, unsigned class_id, int fd, uint32_t value_len)
{
    char text[KEY_TEXT];

    line_printf(f, WATCH_MUTATIONS,
                "type=item_store key=%s status=%s cmd=%s ttl=%u clsid=%u cfd=%d size=%u",
                key_text(key, text), status, command, ttl, class_id, fd, value_len);
}

void
watch_delete(const struct watch_from *f, struct slice key, const char *command, unsigned class_id,
             uint32_t value_len)
{
    char text[KEY_TEXT];

    line_printf(f, WATCH_DELETIONS, "type=deleted key=%s cmd=%s clsid=%u size=%u",
                key_text(key, text), command, class_id, value_len);
}

/* "rip=... rport=... transport=..." */
static void
peer_text(const struct conn_addr *peer, char *out, size_t size)
{
    const char *transport = peer->kind == CONN_UDP || peer->kind == CONN_UDP6 ? "udp" : "tcp";
    char ip[CONN_IP_TEXT];

    if (peer->kind == CONN_UNIX || peer->kind == CONN_NONE) {
        snprintf(out, size, "rip=unix rport=0 transport=local");
        return;
    }
    conn_ip_print(peer, ip);
    snprintf(out, size, "rip=%s rport=%u transport=%s", ip, peer->port, transport);
}

void
watch_connected(const struct watch_from *f, const struct conn_addr *peer, int fd)
{
    char text[128];

    peer_text(peer, text, sizeof text);
    line_printf(f, WATCH_CONNEVENTS, "type=conn_new %s cfd=%d", text, fd);
}

void
watch_closed(const struct watch_from *f, const struct conn_addr *peer, const char *reason, int fd)
{
    char text[128];

    peer_text(peer, text, sizeof text);
    line_printf(f, WATCH_CONNEVENTS, "type=conn_close %s reason=%s cfd=%d", text, reason, fd);
}

void
watch_failed(const struct watch_from *f, int fd, const char *message)
{
    line_printf(f, WATCH_CONNEVENTS, "type=connerr fd=%d msg=%.200s", fd, message);
}

/* -- what the store did by itself -------------------------------------------------------------- */

static void
event_tell(const struct watch_from *f, const struct store_event *e)
{
    char text[KEY_TEXT];

    switch (e->kind) {
    case STORE_EVENT_EVICTED:
        line_printf(f, WATCH_EVICTIONS,
                    "type=eviction key=%s fetch=%s ttl=%lld la=%u clsid=%u size=%u",
                    key_text(slice_of(e->key, e->key_len), text), e->fetched ? "yes" : "no",
                    (long long)e->ttl, e->idle, e->class_id, e->value_len);
        break;
    case STORE_EVENT_MOVED:
        line_printf(f, WATCH_SYSEVENTS, "type=slab_move src=%u dst=%u state=%s", e->class_id,
                    e->to_class, e->ok ? "ok" : "fail");
        break;
    case STORE_EVENT_CRAWLED:
        /* There is one list to a class and no low mark: these stay at what they say of that. */
        line_printf(f, WATCH_SYSEVENTS,
                    "type=lru_crawler crawler=%u lru=all low_mark=0 next_reclaims=0 since_run=0 "
                    "next_run=0 elapsed=%u examined=%llu reclaimed=%llu",
                    e->class_id, e->elapsed, (unsigned long long)e->examined,
                    (unsigned long long)e->reclaimed);
        break;
    }
}

void
watch_store_events(const struct watch_from *f, struct store_ctx *ctx)
{
    struct store_event e;

    while (store_take_event(ctx, &e)) {
        event_tell(f, &e);
    }
    metric_add(f->metrics, M_LOG_DROPPED, (int64_t)store_lost_events(ctx));
}
