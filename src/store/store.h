/*
 * store.h - the storage engine: keys to records, in bounded memory, from many threads at once.
 *
 * It starts no thread, reads no clock, writes no file and logs nothing.  Every thread that uses a
 * store has a struct store_ctx of its own; functions that take a ctx are called by the thread that
 * owns it, functions that take a struct store by any thread.
 *
 * Reads take no lock (store_get).  Writes lock the key's bucket (store_lock ... store_unlock),
 * which is a spin lock: the code between may not wait for anything.  Between store_lock() and
 * store_unlock() no second key may be locked by the same thread.
 *
 * Time: store_turn() gives the ctx the time of day; all expiry times are seconds on the store's
 * clock, which starts at STORE_CLOCK_START when the store is made, so that 0 can mean "never".
 *
 * Versions: 63-bit hybrid logical clock stamps: 43 bits of ms since 2024-01-01, 12 bits of counter,
 * 8 bits of node tag.  They are what clients see as "cas unique", unless a client chose its own
 * (meta E), which then lies beside the version and orders nothing.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"
#include "vocab/limits.h"
#include "vocab/metrics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct store;
struct store_ctx;
struct item; /* opaque outside store/ */

#define STORE_CLOCK_START 2u  /* seconds; as memcached's process_started */
#define STORE_CLASSES_MAX 64  /* class ids are 1..63 */
#define STORE_CTX_MAX     128 /* threads of one store */

/* What may change while the store is used. */
struct store_tuning {
    bool moves;           /* pages move between classes without being told */
    bool moves_eager;     /* ... as soon as a class evicts, whatever the ages are */
    double move_ratio;    /* pages move between ages further apart than this; 0: 0.8 */
    unsigned move_window; /* seconds in a row that the gap must have held; 0: every look counts */
    bool crawler;         /* expired items are looked for in the background */
    usec_t crawler_sleep; /* between two steps of a walk */
    uint32_t crawler_max; /* items of a class that one walk looks at; 0: all of them */
    bool flat;            /* plain clock without a small queue ("lru mode flat") */
    unsigned small_percent; /* share of a class that its small queue may take; 0: 10 */
    /* Items that are stored to live no longer than this many seconds wait for their end: nothing
     * evicts them while anything else can be.  0: there are none such. */
    uint32_t temporary_ttl;
};

struct store_config {
    /* bytes for pages, and for what the table takes beyond a twentieth of it; with factor or
     * chunk_sizes for pages only, and a class's first page is granted whatever the limit, because
     * memcached counts like that */
    size_t memory_limit;
    size_t memory_max;   /* bytes of address space to reserve: store_set_limit() may go up to it; 0:
                            decide */
    size_t item_size_max; /* bytes, counted as memcached counts an item (see store_fits) */
    size_t page_size;     /* bytes, a power of two, 64 KiB..1 MiB; 0: 64 KiB */
    double factor; /* growth of chunk sizes, as memcached's -f: its classes, its sums to tell which
                      one an item belongs to; 0 and no chunk_sizes: the fine default table */
    unsigned chunk_min;          /* bytes, with factor */
    uint32_t chunk_max;          /* bytes, with factor or chunk_sizes; 0: half a page */
    const uint32_t *chunk_sizes; /* instead of factor: the sizes below chunk_max, rising; lent */
    unsigned chunk_size_count;
    bool evict;           /* false: a full store refuses (-M) */
    bool no_cas;          /* clients see cas 0 (-C) */
    bool preallocate;     /* all memory is taken now, and the limit stays as it is */
    bool pages_stay;      /* store_move_page() is refused */
    struct store_tuning tuning; /* to begin with */
    size_t event_bytes;   /* of the queue of events of one thread; 0: 64 KiB */
    unsigned hash_power; /* begin with a table for 2^this items; 0: small */
    uint64_t items_max;  /* most items held; 0: no limit */
    unsigned tombstone_life; /* seconds a delete is remembered; 0: not at all */
    uint8_t node_tag;        /* low bits of versions */
    usec_t start;            /* time of day now */
};

/* Makes a store; on failure NULL, and *d says why.  Gives. */
struct store *store_new(const struct store_config *config, struct err_detail *d);
void store_free(struct store *s);

/*
 * A thread's handle.  metrics: the thread's row, kept.  NULL if there are STORE_CTX_MAX already or
 * no memory. store_ctx_free() gives its spare chunks back; call it before store_free().
 */
struct store_ctx *store_ctx_new(struct store *s, struct metrics *metrics);
void store_ctx_free(struct store_ctx *c);
struct store *store_of(struct store_ctx *c);

/* Changes the tuning, all of it; what is at work goes on by the new rules at its next step.  Any
 * thread. */
void store_tune(struct store *s, const struct store_tuning *t);

/* Tells the ctx the time of day; once per turn of a loop. */
void store_turn(struct store_ctx *c, usec_t now);
/* Seconds on the store's clock, as of the last store_turn(). */
uint32_t store_seconds(const struct store_ctx *c);
/* The unix time (seconds) that corresponds to 0 on the store's clock. */
int64_t store_epoch(const struct store *s);
/*
 * Turns a client's exptime into seconds on the store's clock: 0 stays 0 (never), negative is
 * already expired (1), up to 30 days relative to now, larger a unix time; a unix time before the
 * start is already expired.
 */
uint32_t store_expiry(const struct store_ctx *c, int64_t exptime);

/* -- finding ----------------------------------------------------------------------------------- */

uint64_t store_hash(struct slice key);
/* Hints that bring a bucket, then its item, into the cache; they change nothing. */
void store_prefetch_bucket(const struct store *s, uint64_t hash);
void store_prefetch_item(const struct store *s, uint64_t hash);

enum store_found {
    STORE_MISS,
    STORE_HIT,
    STORE_EXPIRED, /* it is there, but its time is over: a miss */
    STORE_FLUSHED, /* it is there, but flush_all was after it: a miss */
};

/* Everything a command may want to know of an item it found. */
struct store_hit {
    struct slice
        value; /* small value: lent until the next store_get() or store_lock() of this ctx */
    struct item
        *pinned; /* large value: not NULL; walk it with a value_cursor, then store_unpin() */
    uint32_t value_len;
    uint32_t client_flags;
    uint32_t expires;  /* store seconds, 0 never */
    uint32_t accessed; /* store seconds of the access before this one */
    uint64_t cas;      /* what the client sees: 0 with no_cas */
    uint64_t version;
    uint8_t class_id;
    uint32_t size; /* bytes of header, key and value */
    bool fetched;  /* hit before */
    bool stale, win_sent, key_binary;
};

enum {
    STORE_PEEK = 1,    /* do not count the access: no frequency, no fetched, no accessed */
    STORE_NO_VALUE = 2 /* only the fields: value empty, nothing pinned */
};

/* Looks a key up without a lock.  *ret is filled with STORE_HIT only. */
enum store_found store_get(struct store_ctx *c, struct slice key, uint64_t hash, int options,
                           struct store_hit *ret);
/* Ends a pin; any ctx of the store may do it, once per pin. */
void store_unpin(struct store_ctx *c, struct item *item);

/* A place in an item's value: contiguous spans, one after the other. */
struct value_cursor {
    struct item *item;
    struct item *chunk; /* the piece it is in */
    uint32_t at;        /* offset in the piece's bytes */
    uint32_t left;      /* bytes of the value from here on */
};
void value_cursor_init(struct value_cursor *v, const struct store *s, struct item *item);
/*
 * The contiguous bytes here; *len is 0 at the end, also at the end of the memory that a value got
 * so far (store_extend).  Writable for an item made by store_alloc() and not yet published.
 */
void *value_cursor_span(const struct value_cursor *v, const struct store *s, size_t *len);
/* Goes n bytes on; n is at most the span's length. */
void value_cursor_advance(struct value_cursor *v, const struct store *s, size_t n);
/*
 * Copies bytes to here, up to the value's end or the end of its memory (store_extend), and goes on
 * behind them; returns how many.  For an item made by store_alloc() and not yet published.  By
 * relaxed words: somebody may still look at its chunks as what they were before.
 */
size_t value_cursor_write(struct value_cursor *v, const struct store *s, struct slice bytes);
/* Up to max spans from here as an iovec, without moving; returns how many. */
int value_cursor_iov(const struct value_cursor *v, const struct store *s, struct iovec *iov,
                     int max);

/* -- writing ----------------------------------------------------------------------------------- */

/* What a new item is to be. */
struct store_spec {
    struct slice key; /* 1..KEY_MAX bytes */
    uint32_t value_len;
    uint32_t client_flags;
    uint32_t expires; /* store seconds, 0 never */
    uint64_t cas;     /* what clients shall see instead of the version; 0: the version */
    bool key_binary;
};

/* False if an item of this shape exceeds item_size_max by memcached's sum:
 * 48 + 8 (cas) + key + 1 + (flags ? 4 : 0) + value + 2. */
bool store_fits(const struct store *s, const struct store_spec *spec);
/* True if memcached would hold it in pieces: by the same sum it exceeds its largest chunk, which is
 * half a MiB unless this store has memcached's classes and knows better. */
bool store_is_chunked(const struct store *s, const struct store_spec *spec);

/*
 * Memory for a new item, private until published: key and fields are set, the value is not.  NULL
 * if there is no room and nothing may be evicted.  May be called with a key locked.  Gives;
 * store_drop() takes it back.
 */
struct item *store_alloc(struct store_ctx *c, const struct store_spec *spec);
/*
 * The same for a value that is still on its way: one that will lie in pieces has no memory yet, so
 * that who announces it and never sends it takes nothing from others.  The item may be published
 * once a cursor has come to its end by store_extend().
 */
struct item *store_begin(struct store_ctx *c, const struct store_spec *spec);
/*
 * Makes sure that there is memory at a cursor that is not at the value's end: one more piece if it
 * is at the end of those that an item of store_begin() has, else nothing.  The item has one such
 * cursor, which stays where it is.  False: no memory; the item is as it was.
 */
bool store_extend(struct store_ctx *c, struct value_cursor *v);
/* Frees an item that was never published. NULL is fine. */
void store_drop(struct store_ctx *c, struct item *item);
/* Copies bytes into a private item's value at offset. */
void item_write(struct store_ctx *c, struct item *item, uint32_t offset, const void *bytes,
                size_t n);
uint32_t item_value_len(const struct item *item);
uint8_t item_class(const struct store *s, const struct item *item);

/*
 * One key, locked.  old is what is there and alive, else NULL; found says why.  The fields of
 * hit are filled if old is not NULL (no value, nothing pinned).
 */
struct store_txn {
    struct store_ctx *ctx;
    struct slice key;
    uint64_t hash;
    enum store_found found;
    struct item *old;
    struct store_hit hit;
    struct item *raw; /* what lies in the table, dead or a tombstone; private to store/ */
    void *bucket;     /* private to store/ */
    void *slot;
};

/* Locks the key's bucket and looks.  An expired or flushed item counts as absent (and is removed).
 */
void store_lock(struct store_ctx *c, struct slice key, uint64_t hash, struct store_txn *t);
void store_unlock(struct store_txn *t);

/*
 * Publishes a private item under the key, in place of what was there.  Takes *item.  Gives it a
 * version above both the clock and the old version, and returns that version; t->old is the new
 * item afterwards. 0: no memory for the table; the item is gone, what was there stays.
 */
uint64_t store_publish(struct store_txn *t, struct item **item);
/*
 * Small values only (below ITEM_BIG bytes, else false): copies the old value into room (at least
 * value_len bytes).
 */
bool store_copy_value(struct store_txn *t, void *room);
/* Appends or prepends to the old value: makes a new item with all fields of the old one.  False: no
 * memory. The added bytes may come in from a private item (from != NULL) or as a slice. */
bool store_concat(struct store_txn *t, bool prepend, struct slice bytes, struct item *from);
/* Overwrites a small old value in place with bytes of the same length; new version.  False: not
 * possible (large, or the cas asked for needs room). cas as in store_spec. */
bool store_rewrite(struct store_txn *t, struct slice bytes, uint64_t cas);
/* Removes the old item (leaving a tombstone where those are kept). No-op without one. */
void store_remove(struct store_txn *t);
/* Sets the expiry, keeping the version (raises the touch count).  False: no memory. */
bool store_retime(struct store_txn *t, uint32_t expires);
/* Marks: stale and win_sent are set to the given values; version and value stay. */
void store_mark(struct store_txn *t, bool stale, bool win_sent);
/* Gives the old item a new version (and cas, if not 0). False: no memory. */
bool store_restamp(struct store_txn *t, uint64_t cas);
/* Counts an access, as store_get() does. */
void store_bump(struct store_txn *t);
/* Pins the old item if its value is large, else copies it to the ctx's scratch: fills t->hit.value
 * or .pinned. */
void store_fetch(struct store_txn *t);

/* -- records: what replication, the log and hand-off carry ---------------------------------------
 */

struct store_record {
    struct slice key;
    struct slice value; /* empty for a tombstone */
    struct item *item; /* or the value lies in this private item (taken); its key is the record's */
    uint32_t client_flags;
    uint32_t expires; /* store seconds, 0 never; for a tombstone: when it may be forgotten */
    uint32_t touches;
    uint64_t version;
    uint64_t cas; /* chosen by a client, else 0 */
    bool tombstone, stale, win_sent, key_binary;
    /* What a walk saw beside; hints that order nothing, and store_merge() does not look at them. */
    uint32_t accessed; /* store seconds of the last access */
    uint32_t size;     /* bytes of header, key and value */
    bool fetched;      /* hit before */
};

enum store_merged {
    STORE_MERGED,
    STORE_OLDER,
    STORE_REFUSED /* dead by the flush floor or no memory */
};

/*
 * Takes a record into the store: the higher (version, touches) wins, and of equals the greater XXH3
 * of the value. Commutative, associative, idempotent.  Advances the ctx's version clock past the
 * record's version.
 */
enum store_merged store_merge(struct store_ctx *c, struct store_record *record);

/*
 * Removes what is held under the key, a tombstone too, if its version is at most newest; leaves
 * nothing behind: it belongs to another node.  True if there was such.
 */
bool store_expel(struct store_ctx *c, struct slice key, uint64_t hash, uint64_t newest);
/* No version that this store has given so far is greater. */
uint64_t store_last_version(struct store_ctx *c);
/* What this ctx writes from now on has greater versions than this. */
void store_observe_version(struct store_ctx *c, uint64_t version);

/* -- everything at once --------------------------------------------------------------------------
 */

/* Everything stored before this call is dead from store second at on (at <= now: at once).  The
 * last call wins. */
void store_flush(struct store_ctx *c, uint32_t at);

/*
 * Calls each() for every live record, bucket by bucket: each record that is there from start to end
 * is seen at least once (twice if the table grows meanwhile).  *cursor starts at 0; returns true
 * when the end is reached.  At most about budget buckets a call.  The record is lent for the call;
 * each() runs with the bucket unlocked.
 */
typedef void store_scan_fn(void *arg, const struct store_record *record, uint8_t class_id);
bool store_scan(struct store_ctx *c, uint64_t *cursor, unsigned budget, store_scan_fn *each,
                void *arg);

/*
 * Background work: expiry, eviction ahead of need, table growth, moving pages between classes,
 * shrinking to the limit.  Does about budget units (items looked at) and returns the microseconds
 * until it would like to be called again.  Any thread's ctx, but one caller at a time.
 */
usec_t store_tick(struct store_ctx *c, unsigned budget);

/* Changes the memory limit; false if above what was reserved.  Shrinking is done by store_tick().
 */
bool store_set_limit(struct store *s, size_t bytes);

/* -- asking for background work ------------------------------------------------------------------
 */

/* Answers to what an operator asks for.  What is granted is done by store_tick(). */
enum store_asked {
    STORE_ASKED_OK,
    STORE_ASKED_BUSY,     /* with one of these already */
    STORE_ASKED_BADCLASS, /* there is no such class */
    STORE_ASKED_NOSPARE,  /* the source has no page to spare */
    STORE_ASKED_SAME,     /* source and destination are one */
    STORE_ASKED_NOTHING,  /* nothing there to be looked at */
    STORE_ASKED_OFF       /* the tuning or the configuration forbids it */
};

/*
 * Moves one page from class src (0: the pool of spare pages, -1: any class that can spare one) to
 * class dst (0: the pool).  BUSY while a page is being moved, or was asked for; BADCLASS for ids
 * that are none; NOSPARE if src has fewer than two pages (or the pool none); SAME; OFF with
 * config.pages_stay.  Any thread.
 */
enum store_asked store_move_page(struct store *s, int src, int dst);
/*
 * Walks the classes whose bits are set (bit i: class i) for what is dead, all of them whatever
 * their histograms say, and crawler_max items of each if the tuning says so.  BADCLASS: a bit above
 * the largest class, or none set; BUSY while such a walk goes on; NOTHING: none of them has a chunk
 * in use; OFF: the tuning has no crawler.  Any thread.
 */
enum store_asked store_crawl(struct store *s, uint64_t classes);
/* Something was asked for that store_tick() does not know yet: whoever calls it should be woken.
 * A relaxed load.  Any thread. */
bool store_is_asked(const struct store *s);

/* -- events --------------------------------------------------------------------------------------
 */

/* What happens inside on its own and a watcher may want to know; deletions, expiry and
 * replacements are not among it. */
enum store_event_kind { STORE_EVENT_EVICTED = 1, STORE_EVENT_MOVED = 2, STORE_EVENT_CRAWLED = 4 };

struct store_event {
    enum store_event_kind kind;
    uint8_t class_id; /* EVICTED, CRAWLED; MOVED: the class it leaves, 0 for the pool */
    uint8_t to_class; /* MOVED; 0 for the pool */
    bool fetched;     /* EVICTED: hit before */
    bool ok;          /* MOVED: it has; false: the page could not be emptied and stays */
    uint8_t key_len;  /* EVICTED */
    char key[KEY_MAX];
    int64_t ttl;        /* EVICTED: seconds it had left, -1: for ever */
    uint32_t idle;      /* EVICTED: seconds since its last access */
    uint32_t value_len; /* EVICTED */
    uint64_t examined;  /* CRAWLED: items looked at */
    uint64_t reclaimed; /* CRAWLED: of these, the dead */
    uint32_t elapsed;   /* CRAWLED: seconds that the walk took */
};

/* Which kinds are kept from now on (a mask; 0: none, and they cost next to nothing).  Any thread.
 */
void store_watch_events(struct store *s, unsigned kinds);
/*
 * Takes the oldest event of this ctx; false: there is none.  An event belongs to the ctx of the
 * thread that made it: evictions mostly to writers, moves and walks to who calls store_tick().  The
 * queue takes config.event_bytes, which are allocated by the first store_turn() after
 * store_watch_events(); what does not fit is lost, and counted.
 */
bool store_take_event(struct store_ctx *c, struct store_event *ret);
/* How many were lost since the last call. */
uint64_t store_lost_events(struct store_ctx *c);

/* -- figures -------------------------------------------------------------------------------------
 */

/* Per-class counters that the commands move; in the order of "stats slabs". */
enum store_count {
    SC_GET_HITS,
    SC_CMD_SET,
    SC_DELETE_HITS,
    SC_INCR_HITS,
    SC_DECR_HITS,
    SC_CAS_HITS,
    SC_CAS_BADVAL,
    SC_TOUCH_HITS,
    STORE_COUNTS
};
/* Counts one event of a class in this ctx. */
void store_count(struct store_ctx *c, uint8_t class_id, enum store_count what);

struct store_class_stats {
    uint32_t chunk_size, chunks_per_page;
    uint64_t pages, chunks_used, chunks_free;
    /* items is the sum of small, main and temp; cold are those of main that were not hit since the
     * hand last came by.  Of a class with many pages all are estimates from some of them. */
    uint64_t items, items_small, items_main, items_cold, items_temp;
    uint64_t bytes; /* of headers, keys, values */
    uint32_t age; /* seconds since the next victim was last used */
    uint32_t age_small, age_main;
    uint32_t evicted_time; /* seconds between the last victim's access and its eviction */
    int64_t evicted, evicted_nonzero, outofmemory, reclaimed, expired_unfetched, evicted_unfetched,
        evicted_active, crawler_reclaimed, crawler_checked, lrutail_reflocked, moves_to_cold,
        moves_to_warm, moves_within, direct_reclaims;
    /* Hits by what the item was at that moment; main does not count the cold. */
    int64_t hits_small, hits_main, hits_cold, hits_temp;
    int64_t counts[STORE_COUNTS];
};

struct store_stats {
    size_t limit, pages_bytes, table_bytes; /* pages: those in classes and in the pool */
    uint64_t table_buckets, pages_global;   /* pages in the pool */
    unsigned hash_power; /* log2 of the bucket count, rounded up */
    bool growing, moving, crawling; /* moving, crawling: from the request on */
    /* What the last page move met that would not go: 0 nothing; 1 an item whose bucket a writer
     * held; 2 a value that a reader held; 3 an item that nothing may be lost for, and nowhere to
     * put it (-M); 4 chunks that other threads had taken and not used yet. */
    int last_busy;
    unsigned classes; /* ids 1..classes */
};

/* Any thread; figures of a moment, gathered without stopping anybody. */
void store_get_stats(struct store *s, struct store_stats *ret);
void store_get_class_stats(struct store *s, uint8_t class_id, struct store_class_stats *ret);
/* The zero point of per-class counters for "stats reset". */
void store_reset_stats(struct store *s);
/* Calls each() for up to limit live items of a class, in address order; as store_scan() otherwise.
 */
void store_walk_class(struct store_ctx *c, uint8_t class_id, unsigned limit, store_scan_fn *each,
                      void *arg);
