#include "node/dump.h"
#include "base/base64.h"
#include "base/uri.h"
#include "vocab/limits.h"

#include <assert.h>
#include <stdlib.h>

#define STEP_BUCKETS 64u /* of the hash table: some hundred items */

struct dump {
    enum dump_kind kind;
    uint64_t       classes;
    uint64_t       cursor; /* of store_scan() */
};

/* What one step hands through the scan. */
struct dump_lines {
    const struct dump *dump;
    struct buf        *out;
    int64_t            epoch; /* unix time of store second 0 */
    bool               no_cas;
    bool               failed;
};

struct dump *
dump_new(enum dump_kind kind, uint64_t classes)
{
    struct dump *d = calloc(1, sizeof *d);

    if (d) {
        d->kind = kind;
        d->classes = classes;
    }
    return d;
}

void
dump_free(struct dump *d)
{
    free(d);
}

static bool
line_meta(const struct dump_lines *l, const struct store_record *r, unsigned class_id)
{
    char key[URI_TEXT_MAX(KEY_MAX)];
    uint64_t cas = l->no_cas ? 0 : r->cas != 0 ? r->cas : r->version;

    /* The blank before the line's end is memcached's. */
    return buf_printf(l->out,
                      "key=%.*s exp=%lld la=%lld cas=%llu fetch=%s cls=%u size=%u flags=%u \n",
                      (int)uri_encode(r->key, key), key,
                      r->expires != 0 ? (long long)(l->epoch + r->expires) : -1LL,
                      (long long)(l->epoch + r->accessed), (unsigned long long)cas,
                      r->fetched ? "yes" : "no", class_id, r->size, r->client_flags);
}

/* The binary protocol lets keys hold what would end a word or a line. */
static bool
key_is_word(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool
line_mg(const struct dump_lines *l, const struct store_record *r)
{
    char text[BASE64_TEXT_LEN(KEY_MAX)];
    size_t len = 0;

    if (!r->key_binary && key_is_word(r->key)) {
        return buf_add(l->out, "mg ", 3) && buf_add(l->out, r->key.ptr, r->key.len) &&
               buf_add(l->out, "\r\n", 2);
    }
    return base64_encode(r->key, text, sizeof text, &len) && buf_add(l->out, "mg ", 3) &&
           buf_add(l->out, text, len) && buf_add(l->out, " b\r\n", 4);
}

static void
dump_record(void *arg, const struct store_record *r, uint8_t class_id)
{
    struct dump_lines *l = arg;

    if (r->tombstone || l->failed || !(l->dump->classes >> class_id & 1)) {
        return;
    }
    l->failed = l->dump->kind == DUMP_META ? !line_meta(l, r, class_id) : !line_mg(l, r);
}

bool
dump_step(struct dump *d, struct worker *w, bool *ret_done)
{
    struct dump_lines lines = {
        .dump = d,
        .out = &w->blob,
        .epoch = store_epoch(w->node->store),
        .no_cas = !w->node->settings->store.cas,
    };
    bool done;

    w->blob.len = 0;
    done = store_scan(w->ctx, &d->cursor, STEP_BUCKETS, dump_record, &lines);
    if (lines.failed) {
        return false;
    }
    if (done && !(d->kind == DUMP_META ? buf_add(&w->blob, "END\r\n", 5)
                                       : buf_add(&w->blob, "EN\r\n", 4))) {
        return false;
    }
    *ret_done = done;
    return true;
}
