/*
 * exec_cluster.c - which nodes there are, for clients that ask: ElastiCache's auto discovery.
 *
 * "config get cluster" answers "CONFIG cluster 0 <bytes>", then as a value of so many bytes a
 * version and "\n", the nodes as "<host>|<ip>|<port>" with blanks between them and "\n", and then
 * "END".  The older "get AmazonElastiCache:cluster" answers the same value as that of any key, up
 * to some 700 nodes.  Clients take a list whose version is greater than that of theirs; some
 * (xmemcached) read it as a signed number of 32 bits.
 */
#include "node/exec.h"

#include "cluster/view.h"
#include "node/words.h"
#include "proto/peer.h"

#include <assert.h>

/* Versions are seconds since 2024-01-01, UTC: they fit into 31 bits until 2092. */
#define VERSION_EPOCH (INT64_C(1704067200) * USEC_PER_SEC)

/* -- the list ---------------------------------------------------------------------------------- */

/* The address as text, or the name where none is known; false: no memory. */
static bool
list_add_ip(struct buf *b, const struct member_info *info)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, unknown[16];
    const uint8_t *p = info->addr.ip;

    if (memcmp(p, unknown, sizeof unknown) == 0) {
        return buf_printf(b, "%s", info->host);
    }
    if (memcmp(p, mapped, sizeof mapped) == 0) {
        return buf_printf(b, "%u.%u.%u.%u", p[12], p[13], p[14], p[15]);
    }
    return buf_printf(b, "%x:%x:%x:%x:%x:%x:%x:%x", p[0] << 8 | p[1], p[2] << 8 | p[3],
                      p[4] << 8 | p[5], p[6] << 8 | p[7], p[8] << 8 | p[9], p[10] << 8 | p[11],
                      p[12] << 8 | p[13], p[14] << 8 | p[15]);
}

/* A name is what its node says of itself: it must not end a line, or look like two. */
static bool
name_is_plain(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '|') {
            return false;
        }
    }
    return *name != '\0';
}

/* True if clients are to go there: it has a place, and nobody holds it for dead. */
static bool
list_has(const struct view_node *n)
{
    return n->in_ring && (n->state == MEMBER_ALIVE || n->state == MEMBER_SUSPECT) &&
           name_is_plain(n->info.host);
}

/*
 * When the view last changed.  Every node says the same but for the seconds that news take, so a
 * client may ask another one next time.  Two changes within a second may go by as one.
 */
static int64_t
list_version(const struct view *v)
{
    usec_t last = v->ring_stamp;

    for (uint16_t i = 0; i < v->count; i++) {
        last = v->node[i].since > last ? v->node[i].since : last;
    }
    return last > VERSION_EPOCH ? (last - VERSION_EPOCH) / USEC_PER_SEC : 0;
}

/* Appends version and nodes; false: no memory. */
static bool
list_add(struct buf *b, const struct view *v)
{
    const char *blank = "";
    bool ok = buf_printf(b, "%lld\n", (long long)list_version(v));

    for (uint16_t i = 0; ok && i < v->count; i++) {
        const struct member_info *info = &v->node[i].info;

        if (list_has(&v->node[i])) {
            ok = buf_printf(b, "%s%s|", blank, info->host) && list_add_ip(b, info) &&
                 buf_printf(b, "|%u", (unsigned)info->client_port);
            blank = " ";
        }
    }
    return ok && buf_add(b, "\n", 1);
}

/* -- the commands ------------------------------------------------------------------------------ */

void
exec_config(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct buf list = { 0 };
    struct words words;

    (void)item;
    words_split(c->args, &words);
    if (!w->view || words.count != 2 || !slice_is(words.word[0], "get") ||
        !slice_is(words.word[1], "cluster")) {
        r->code = RPL_ERROR; /* as a memcached that has never heard of it */
        return;
    }
    w->blob.len = 0;
    if (list_add(&list, w->view) && buf_printf(&w->blob, "CONFIG cluster 0 %zu\r\n", list.len) &&
        buf_add(&w->blob, list.ptr, list.len) && buf_add(&w->blob, "\r\nEND\r\n", 7)) {
        r->code = RPL_BLOB;
        r->value = slice_of(w->blob.ptr, w->blob.len);
    } else {
        r->code = RPL_NO_MEMORY;
    }
    buf_free(&list);
}

void
exec_cluster_value(struct worker *w, struct reply *r)
{
    assert(w->view);
    w->blob.len = 0;
    if (!list_add(&w->blob, w->view)) {
        r->code = RPL_NO_MEMORY;
        return;
    }
    if (w->blob.len > PEER_INLINE_MAX) {
        r->code = RPL_MISS; /* the answer may be for another node's client, and fits no frame */
        return;
    }
    r->code = RPL_HIT;
    r->value = slice_of(w->blob.ptr, w->blob.len);
    r->value_len = (uint32_t)w->blob.len;
}
