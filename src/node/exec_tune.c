/*
 * exec_tune.c - what operators turn while the node runs: slabs, lru, lru_crawler, and watch.
 */
#include "base/num.h"
#include "node/dump.h"
#include "node/exec.h"
#include "node/watch.h"
#include "node/words.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CLASS_IDS          64u /* ids that memcached lets one name: 1..63 */
#define WORD_TEXT          48u /* bytes of a word that can be a value, its NUL included */
#define HOT_WARM_PCT_MAX   80u

/* -- settings ---------------------------------------------------------------------------------- */

/* The word as text; one that is too long to be a value becomes one that is none. */
static const char *
word_text(struct slice word, char out[WORD_TEXT])
{
    if (word.len >= WORD_TEXT) {
        return "?";
    }
    if (word.len > 0) { /* an empty one lies nowhere */
        memcpy(out, word.ptr, word.len);
    }
    out[word.len] = '\0';
    return out;
}

/* Sets a live setting and lets it count; false: not a value for it. */
static bool
tune_set(struct worker *w, const char *name, const char *text)
{
    if (settings_set_live(w->node->settings, name, text, NULL)) {
        return false;
    }
    node_tune(w->node);
    return true;
}

/* As tune_set(); a plus sign is none of a setting's and fine for memcached. */
static bool
tune_word(struct worker *w, const char *name, struct slice word)
{
    char text[WORD_TEXT];

    if (word.len > 1 && word.ptr[0] == '+') {
        word = slice_from(word, 1);
    }
    return tune_set(w, name, word_text(word, text));
}

/* -- slabs ------------------------------------------------------------------------------------- */

static enum reply_code
slabs_reassign(struct worker *w, const struct words *words)
{
    static const enum reply_code answer[] = {
        [STORE_ASKED_OK] = RPL_OK,
        [STORE_ASKED_BUSY] = RPL_REASSIGN_BUSY,
        [STORE_ASKED_BADCLASS] = RPL_REASSIGN_CLASS,
        [STORE_ASKED_NOSPARE] = RPL_REASSIGN_NOSPARE,
        [STORE_ASKED_SAME] = RPL_REASSIGN_SAME,
        [STORE_ASKED_NOTHING] = RPL_REASSIGN_NOSPARE,
        [STORE_ASKED_OFF] = RPL_REASSIGN_OFF,
    };
    int32_t from, to;

    if (!SETTINGS_LIVE(w->node->settings->store.slab_reassign)) {
        return RPL_REASSIGN_OFF;
    }
    if (!num_parse_i32(words->word[1], &from) || !num_parse_i32(words->word[2], &to)) {
        return RPL_BAD_FORMAT;
    }
    return answer[store_move_page(w->node->store, from, to)];
}

static enum reply_code
slabs_automove(struct worker *w, const struct words *words)
{
    struct slice what = words->word[1], value = words->word[2];
    uint32_t number;

    if (slice_is(what, "ratio")) {
        return tune_word(w, "slab_automove_ratio", value) ? RPL_OK : RPL_ERROR;
    }
    if (slice_is(what, "freeratio")) {
        return tune_word(w, "slab_automove_freeratio", value) ? RPL_OK : RPL_ERROR;
    }
    if (slice_is(what, "window")) {
        if (!num_parse_u32(value, &number)) {
            return RPL_BAD_FORMAT;
        }
        return tune_word(w, "slab_automove_window", value) ? RPL_OK : RPL_AUTOMOVE_WINDOW;
    }
    if (!num_parse_u32(what, &number)) {
        return RPL_BAD_FORMAT;
    }
    return tune_word(w, "slab_automove", what) ? RPL_OK : RPL_ERROR;
}

void
exec_slabs(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct words words;

    (void)item;
    words_split(c->args, &words);
    r->code = RPL_ERROR;
    if (slice_is(words.word[0], "reassign") && words.count == 3) {
        r->code = slabs_reassign(w, &words);
    } else if (slice_is(words.word[0], "automove") && words.count >= 2) {
        r->code = slabs_automove(w, &words);
    }
}

/* -- lru --------------------------------------------------------------------------------------- */

static bool
factor_parse(struct slice word, double *ret)
{
    char text[WORD_TEXT], *end;

    (void)word_text(word, text);
    if (word.len == 0 || word.len >= WORD_TEXT) {
        return false;
    }
    *ret = strtod(text, &end);
    return *end == '\0';
}

/* Written anew: a setting has no exponent, and what strtod() takes has. */
static bool
tune_factor(struct worker *w, const char *name, double factor)
{
    char text[WORD_TEXT];
    int  len = snprintf(text, sizeof text, "%.6f", factor);

    return len > 0 && (size_t)len < sizeof text && tune_set(w, name, text);
}

static enum reply_code
lru_tune(struct worker *w, const struct words *words)
{
    const struct slice *word = words->word;
    double hot_factor, warm_factor;
    uint32_t hot, warm;

    if (words->count < 5 || !num_parse_u32(word[1], &hot) || !num_parse_u32(word[2], &warm) ||
        !factor_parse(word[3], &hot_factor) || !factor_parse(word[4], &warm_factor)) {
        return RPL_ERROR;
    }
    if (hot > HOT_WARM_PCT_MAX || warm > HOT_WARM_PCT_MAX || hot + warm > HOT_WARM_PCT_MAX) {
        return RPL_LRU_PERCENTS;
    }
    if (!(hot_factor > 0) || !(warm_factor > 0)) {
        return RPL_LRU_FACTORS;
    }
    if (hot == 0 || warm == 0) {
        return RPL_ERROR; /* before anything is set: nothing is what the settings take */
    }
    bool ok = tune_factor(w, "hot_max_factor", hot_factor) &&
              tune_factor(w, "warm_max_factor", warm_factor) &&
              tune_word(w, "hot_lru_pct", word[1]) && tune_word(w, "warm_lru_pct", word[2]);
    return ok ? RPL_OK : RPL_ERROR;
}

static enum reply_code
lru_temp_ttl(struct worker *w, struct slice word)
{
    int32_t ttl;

    if (!num_parse_i32(word, &ttl)) {
        return RPL_ERROR;
    }
    if (ttl < 0) {
        return tune_set(w, "temp_lru", "no") ? RPL_OK : RPL_ERROR;
    }
    return tune_word(w, "temporary_ttl", word) && tune_set(w, "temp_lru", "yes") ? RPL_OK
                                                                                 : RPL_ERROR;
}

void
exec_lru(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    bool maintained = w->node->settings->store.lru_maintainer;
    struct words words;
    struct slice mode;

    (void)item;
    words_split(c->args, &words);
    mode = words.word[1];
    r->code = RPL_ERROR;
    if (slice_is(words.word[0], "tune")) {
        r->code = lru_tune(w, &words);
    } else if (slice_is(words.word[0], "mode") && maintained &&
               (slice_is(mode, "flat") || slice_is(mode, "segmented"))) {
        r->code = tune_set(w, "lru_segmented", slice_is(mode, "flat") ? "no" : "yes") ? RPL_OK
                                                                                      : RPL_ERROR;
    } else if (slice_is(words.word[0], "temp_ttl") && maintained) {
        r->code = lru_temp_ttl(w, mode);
    }
}

/* -- lru_crawler ------------------------------------------------------------------------------- */

/* "all" or ids between commas, any number of them, as a set of bits; false: one is no class. */
static bool
classes_parse(struct slice list, uint64_t *ret)
{
    *ret = 0;
    if (slice_is(list, "all")) {
        *ret = ~UINT64_C(1);
        return true;
    }
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.ptr) : list.len;
        uint32_t id;

        if (len > 0) {
            if (!num_parse_u32(slice_of(list.ptr, len), &id) || id < 1 || id >= CLASS_IDS) {
                return false;
            }
            *ret |= UINT64_C(1) << id;
        }
        list = slice_from(list, comma ? len + 1 : len);
    }
    return true;
}

static enum reply_code
crawler_crawl(struct worker *w, struct slice list)
{
    static const enum reply_code answer[] = {
        [STORE_ASKED_OK] = RPL_OK,
        [STORE_ASKED_BUSY] = RPL_CRAWLER_BUSY,
        [STORE_ASKED_BADCLASS] = RPL_CRAWLER_CLASS,
        [STORE_ASKED_NOSPARE] = RPL_CRAWLER_ERROR,
        [STORE_ASKED_SAME] = RPL_CRAWLER_ERROR,
        /* Nothing to do is done at once: memcached says OK to an empty cache too. */
        [STORE_ASKED_NOTHING] = RPL_OK,
        [STORE_ASKED_OFF] = RPL_CRAWLER_OFF,
    };
    struct store_stats all;
    uint64_t classes;

    if (slice_is(list, "hash")) {
        return RPL_CRAWLER_ERROR; /* only lists go by the hash table */
    }
    if (!classes_parse(list, &classes)) {
        return RPL_CRAWLER_CLASS;
    }
    if (classes == 0) {
        return RPL_CRAWLER_NOTHING;
    }
    store_get_stats(w->node->store, &all);
    classes &= all.classes >= CLASS_IDS - 1 ? ~UINT64_C(0)
                                            : (UINT64_C(1) << (all.classes + 1)) - 1;
    return classes != 0 ? answer[store_crawl(w->node->store, classes)] : RPL_OK;
}

static enum reply_code
crawler_dump(struct worker *w, enum dump_kind kind, struct slice list)
{
    bool meta = kind == DUMP_META;
    uint64_t classes = 0;

    if (w->client.is_datagram) {
        return RPL_ERROR; /* there is nobody to send the rest to */
    }
    if (!w->node->settings->admin.dump_enabled) {
        return meta ? RPL_METADUMP_REFUSED : RPL_MGDUMP_REFUSED;
    }
    if (worker_owes(w)) {
        return meta ? RPL_METADUMP_PIPELINED : RPL_MGDUMP_PIPELINED;
    }
    if (slice_is(list, "hash")) {
        classes = ~UINT64_C(0);
    } else if (!classes_parse(list, &classes)) {
        return RPL_CRAWLER_CLASS;
    }
    if (classes == 0) {
        return RPL_CRAWLER_NOTHING;
    }
    assert(!w->made_dump);
    w->made_dump = dump_new(kind, classes);
    return w->made_dump ? RPL_DUMPING : RPL_NO_MEMORY_STATS;
}

static enum reply_code
crawler_value(struct worker *w, const struct words *words)
{
    uint32_t number;
    char text[WORD_TEXT];

    if (!num_parse_u32(words->word[1], &number)) {
        return RPL_BAD_FORMAT;
    }
    if (slice_is(words->word[0], "tocrawl")) {
        return tune_word(w, "lru_crawler_tocrawl", words->word[1]) ? RPL_OK : RPL_BAD_FORMAT;
    }
    snprintf(text, sizeof text, "%uus", number);
    return tune_set(w, "lru_crawler_sleep", text) ? RPL_OK : RPL_CRAWLER_SLEEP;
}

/* Commands with something behind their word. */
static enum reply_code
crawler_run(struct worker *w, const struct words *words)
{
    struct slice what = words->word[0], value = words->word[1];
    bool work = slice_is(what, "crawl") || slice_is(what, "metadump") || slice_is(what, "mgdump");

    if (work && !SETTINGS_LIVE(w->node->settings->store.lru_crawler)) {
        return RPL_CRAWLER_OFF;
    }
    if (slice_is(what, "crawl")) {
        return crawler_crawl(w, value);
    }
    if (work) {
        return crawler_dump(w, slice_is(what, "metadump") ? DUMP_META : DUMP_MG, value);
    }
    if (slice_is(what, "sleep") || slice_is(what, "tocrawl")) {
        return crawler_value(w, words);
    }
    return RPL_ERROR;
}

static enum reply_code
crawler_switch(struct worker *w, struct slice what)
{
    bool on = SETTINGS_LIVE(w->node->settings->store.lru_crawler);

    if (slice_is(what, "enable")) {
        if (on) {
            return RPL_CRAWLER_STARTED;
        }
        return tune_set(w, "lru_crawler", "yes") ? RPL_OK : RPL_ERROR;
    }
    if (slice_is(what, "disable")) {
        return tune_set(w, "lru_crawler", "no") ? RPL_OK : RPL_ERROR;
    }
    return RPL_ERROR;
}

void
exec_lru_crawler(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct words words;

    (void)item;
    words_split(c->args, &words);
    r->code = RPL_ERROR;
    if (words.count == 2) {
        r->code = crawler_run(w, &words);
    } else if (words.count == 1) {
        r->code = crawler_switch(w, words.word[0]);
    }
}

/* -- watch ------------------------------------------------------------------------------------- */

static enum reply_code
watch_start(struct worker *w, unsigned streams)
{
    assert(!w->made_watcher);
    switch (watches_add(w->node->watches, streams, w->index, &w->made_watcher)) {
    case WATCH_ADDED:
        return RPL_WATCHING;
    case WATCH_TOO_MANY:
        return RPL_WATCH_TOO_MANY;
    case WATCH_FAILED:
        break;
    }
    metric_add(&w->metrics, M_MALLOC_FAILS, 1);
    return RPL_WATCH_FAILED;
}

void
exec_watch(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    unsigned streams = 0;
    struct words words;

    (void)item;
    words_split(c->args, &words);
    if (w->client.is_datagram) {
        r->code = RPL_ERROR;
        return;
    }
    if (!w->node->settings->admin.watch_enabled) {
        r->code = RPL_WATCH_REFUSED;
        return;
    }
    if (worker_owes(w)) {
        r->code = RPL_WATCH_PIPELINED;
        return;
    }
    for (unsigned i = 0; i < words.count; i++) {
        unsigned named;

        if (i == WORDS_MAX || !watch_word(words.word[i], &named)) {
            r->code = RPL_ERROR;
            return;
        }
        streams |= named;
    }
    r->code = watch_start(w, words.count > 0 ? streams : WATCH_FETCHERS);
}
