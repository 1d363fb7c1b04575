#include "node/control_impl.h"
#include "proto/gossip.h"
#include <assert.h>
#include <string.h>

/*
 * The call with a digest alone is the usual one, and for those whom this node knows.  Whoever is
 * nobody yet, or looks for whom it has lost, has little to say and much to hear.
 */

static bool
addr_is(const struct cluster_addr *a, const struct cluster_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* -- what came --------------------------------------------------------------------------------- */

void
control_sync_begin(struct control *c)
{
    c->digest_came = false;
}

void
control_sync_digest(struct control *c, const struct gossip_message *m)
{
    assert(m->kind == GOSSIP_DIGEST);
    c->digest_came = true;
    c->their_digest = m->digest;
    c->their_ring_digest = m->ring_digest;
}

/* True if they hold what this node holds.  Who did not say so wants to hear all. */
static bool
is_same(const struct control *c)
{
    return c->digest_came && c->their_digest == swim_digest(c->swim) &&
           c->their_ring_digest == c->digest;
}

/* True if the call that is answered, or made again, said a digest alone. */
static bool
asked_take(struct control *c, const struct cluster_addr *addr)
{
    for (unsigned i = 0; i < CONTROL_ASKED_MAX; i++) {
        if (addr_is(&c->asked[i], addr)) {
            c->asked[i] = (struct cluster_addr){ .port = 0 };
            return true;
        }
    }
    return false;
}

void
control_sync_answered(struct control *c, const struct cluster_addr *from)
{
    struct cluster_addr *again;

    /* Once: the next call says all, and its answer is not looked at like this. */
    if (asked_take(c, from) && !is_same(c)) {
        again = control_list_add(c, &c->sync, sizeof *again);
        if (again) {
            *again = *from;
            c->tell = *from;
        }
    }
    control_sync_begin(c);
}

/* -- what is said ------------------------------------------------------------------------------ */

/* True if this node holds that somebody is alive there. */
static bool
is_alive_at(const struct control *c, const struct cluster_addr *addr)
{
    struct swim_member m;

    for (size_t i = 1; swim_member_at(c->swim, i, &m); i++) {
        if (m.state == MEMBER_ALIVE && addr_is(&m.info->addr, addr)) {
            return true;
        }
    }
    return false;
}

/* True if the state that is sent there now has to be whole. */
static bool
is_whole(struct control *c, bool calls, const struct cluster_addr *to)
{
    bool same, tell;

    if (!calls) {
        same = is_same(c);
        control_sync_begin(c);
        return !same;
    }
    tell = addr_is(&c->tell, to);
    (void)asked_take(c, to); /* that call came to nothing */
    if (tell) {
        c->tell = (struct cluster_addr){ .port = 0 };
    }
    if (tell || c->taken || c->self.phase == PHASE_JOINING || !is_alive_at(c, to)) {
        return true;
    }
    c->asked[c->asked_next++ % CONTROL_ASKED_MAX] = *to;
    return false;
}

/* Appends one message; false: no memory. */
static bool
state_add(const struct gossip_message *m, struct buf *out)
{
    size_t size = gossip_size(m);

    if (!buf_reserve(out, size)) {
        return false;
    }
    size = gossip_write(m, out->ptr + out->len, out->cap - out->len);
    assert(size > 0);
    out->len += size;
    return true;
}

/* Appends all members and facts; false: no memory. */
static bool
state_add_all(struct control *c, struct buf *out)
{
    struct gossip_message m;

    for (size_t i = 0; swim_state_at(c->swim, i, &m); i++) {
        if (!state_add(&m, out)) {
            return false;
        }
    }
    for (size_t i = 0; i < ring_ops_count(c->ops); i++) {
        m = (struct gossip_message){ .kind = GOSSIP_RING, .op = *ring_ops_at(c->ops, i) };
        if (!state_add(&m, out)) {
            return false;
        }
    }
    return true;
}

bool
control_state(struct control *c, bool calls, const struct cluster_addr *to, struct buf *out)
{
    struct gossip_header h = {
        .label = c->label,
        .version = GOSSIP_FORMAT,
        .from = c->self.id,
        .nonce = c->self.nonce,
        .sequence = ++c->sequence,
    };
    struct gossip_message digest = {
        .kind = GOSSIP_DIGEST,
        .digest = swim_digest(c->swim),
        .ring_digest = c->digest,
    };
    /* Who is not sure to be itself wants to hear of itself, whatever the digests are. */
    bool unsure = calls && (c->taken || c->self.phase == PHASE_JOINING);
    bool whole = is_whole(c, calls, to);

    assert(whole || !unsure);
    if (!buf_reserve(out, GOSSIP_OVERHEAD)) {
        return false;
    }
    out->len += gossip_write_header(&h, out->ptr + out->len, out->cap - out->len);
    if (!unsure && !state_add(&digest, out)) {
        return false;
    }
    return !whole || state_add_all(c, out);
}
