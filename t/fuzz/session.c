/*
 * session.c - fuzzes a whole node: whatever a client sends, in whatever pieces, it gets the same
 * answers.
 *
 * The first byte says how large the reads are, the second who reads slowly.  Two nodes at the same
 * time of day see the same bytes, one in large reads and one cut; what they answer must be the
 * same, and so must be what they hold in the end.  Statistics tell of turns and reads, which
 * differ, so inputs that ask for them are only run.
 */
#define _GNU_SOURCE /* memmem() */
#include "drive.h"
#include "store/store.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What came of one run. */
struct outcome {
    struct buf got;
    bool closed;
    int64_t items, item_bytes, total;
};

static void
slow_say(struct drive *d, const char *in, size_t len, size_t cut, size_t sent)
{
    size_t at = 0;

    for (unsigned idle = 0; d->session && idle < 64; idle++) {
        size_t n = drive_turn(d, in + at, len - at, cut, sent);
        at += n;
        idle = n > 0 ? 0 : idle;
    }
    drive_say(d, in + at, len - at, cut);
}

static void
run(const char *in, size_t len, size_t cut, size_t sent, struct outcome *ret)
{
    static const char *const options[] = { "memory_limit=4m", "item_size_max=256k", NULL };
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    if (sent == DRIVE_ALL) {
        drive_say(&d, in, len, cut);
    } else {
        slow_say(&d, in, len, cut, sent);
    }
    ret->closed = d.session == NULL;
    ret->items = drive_metric(&n, M_CURR_ITEMS);
    ret->item_bytes = drive_metric(&n, M_CURR_BYTES);
    ret->total = drive_metric(&n, M_TOTAL_ITEMS);
    ret->got = d.got;
    d.got = (struct buf){ 0 };
    drive_fini(&d);
    drive_node_fini(&n);
}

/* A text line this long ends the connection, unless its end comes with the same read: as in
 * memcached. */
static bool
has_long_line(const char *in, size_t len)
{
    size_t line = 0;

    for (size_t i = 0; i < len; i++) {
        line = in[i] == '\n' ? 0 : line + 1;
        if (line > LINE_MAX_BYTES) {
            return true;
        }
    }
    return false;
}

/* True if the answers may tell how the input came. */
static bool
tells_of_turns(const char *in, size_t len)
{
    if (len > 0 && (unsigned char)in[0] == 0x80) {
        return memchr(in, 0x10, len) != NULL;
    }
    /* watch and lists of keys are refused behind other commands of a turn. */
    return memmem(in, len, "stats", 5) != NULL || memmem(in, len, "watch", 5) != NULL ||
           memmem(in, len, "lru_crawler", 11) != NULL || has_long_line(in, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct outcome whole, parts;

    if (len < 2) {
        return 0;
    }
    const char *in = (const char *)bytes + 2;
    size_t cut = bytes[0] == 0 ? 1 : bytes[0], sent = bytes[1] == 0 ? DRIVE_ALL : bytes[1] * 16u;
    len -= 2;
    run(in, len, DRIVE_ALL, DRIVE_ALL, &whole);
    run(in, len, cut, sent, &parts);
    if (!tells_of_turns(in, len)) {
        assert(whole.closed == parts.closed);
        assert(whole.got.len == parts.got.len);
        assert(whole.got.len == 0 || memcmp(whole.got.ptr, parts.got.ptr, whole.got.len) == 0);
        assert(whole.items == parts.items && whole.item_bytes == parts.item_bytes);
        assert(whole.total == parts.total);
    }
    buf_free(&whole.got);
    buf_free(&parts.got);
    return 0;
}
