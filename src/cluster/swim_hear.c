#include "cluster/swim_impl.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* -- what is held of a member ------------------------------------------------------------------ */

uint64_t
swim_digest_part(const struct member *m)
{
    uint64_t x = m->info->id * UINT64_C(0x9e3779b97f4a7c15) + member_incarnation(m);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Everything that changes what is held of another member goes between these two. */
static void
member_lift(struct swim *s, const struct member *m)
{
    assert(m != swim_self(s) && s->state_count[m->state] > 0);
    s->state_count[m->state]--;
    if (member_is_here(m)) {
        s->digest -= swim_digest_part(m);
    }
}

static void
member_lay(struct swim *s, struct member *m, enum member_state state)
{
    if (m->state != state) {
        m->since = s->now;
    }
    m->state = (uint8_t)state;
    s->state_count[state]++;
    if (member_is_here(m)) {
        s->digest += swim_digest_part(m);
    }
}

void
swim_rumour(struct swim *s, uint16_t index, enum gossip_kind kind, node_id from)
{
    struct member *m = &s->roster.at[index];
    uint16_t       slot = rumour_about(&s->rumours, m->rumour, index, kind, from);

    s->starved |= slot == RUMOUR_NONE;
    m->rumour = slot;
}

static void
rumour_cancel(struct swim *s, struct member *m)
{
    if (m->rumour != RUMOUR_NONE) {
        rumour_drop(&s->rumours, m->rumour);
        m->rumour = RUMOUR_NONE;
    }
}

static void
suspicion_cancel(struct swim *s, struct member *m)
{
    if (m->suspicion != SUSPICION_NONE) {
        suspicion_remove(&s->suspicions, m->suspicion);
        m->suspicion = SUSPICION_NONE;
    }
}

/* -- this node --------------------------------------------------------------------------------- */

void
swim_announce(struct swim *s, const struct member_info *info, uint64_t above)
{
    struct member            *self = swim_self(s);
    struct member_info        next = *info;
    const struct member_info *kept;

    next.id = self->info->id;
    next.nonce = self->info->nonce;
    next.incarnation = (above > self->info->incarnation ? above : self->info->incarnation) + 1;
    kept = roster_share(&s->roster, &next);
    if (kept == NULL) {
        s->starved = true;
        return;
    }
    s->digest -= swim_digest_part(self);
    roster_release(&s->roster, self->info);
    self->info = kept;
    s->digest += swim_digest_part(self);
    swim_rumour(s, 0, GOSSIP_ALIVE, 0);
}

void
swim_score(struct swim *s, int delta)
{
    int score = (int)s->awareness + delta;

    if (s->config.no_awareness) {
        return;
    }
    score = score < 0 ? 0 : score;
    s->awareness = score > SWIM_AWARENESS_MAX ? SWIM_AWARENESS_MAX : (unsigned)score;
}

/* This node is said to be suspect, dead, or to have left. */
static void
self_refute(struct swim *s, uint64_t incarnation, node_id from, bool is_dead)
{
    struct member_info info = *swim_self(s)->info;

    if (s->leaving || incarnation < info.incarnation ||
        incarnation - info.incarnation > AHEAD_SELF_MAX) {
        return;
    }
    swim_announce(s, &info, incarnation);
    swim_score(s, 1);
    swim_tell(s, SWIM_ACCUSED, info.id, from, NULL);
    if (s->change_count > 0) {
        s->change[s->change_count - 1].is_dead = is_dead;
    }
}

static void
conflict_tell(struct swim *s, node_id id, const struct cluster_addr *addr)
{
    if (s->conflict != id || s->now - s->conflict_at >= CONFLICT_TOLD) {
        s->conflict = id;
        s->conflict_at = s->now;
        swim_tell(s, SWIM_CONFLICT, id, 0, addr);
    }
}

/*
 * Somebody says something in this node's name: an earlier run, whose words are still about, or
 * another node.  The one that began first keeps the name.
 */
static void
self_hear_alive(struct swim *s, const struct member_info *info)
{
    struct member_info self = *swim_self(s)->info;
    bool               elsewhere = !addr_equal(&info->addr, &self.addr);

    if (s->leaving || (info->nonce == self.nonce && info->incarnation <= self.incarnation)) {
        return;
    }
    if (elsewhere && info->nonce != self.nonce) {
        conflict_tell(s, info->id, &info->addr);
    }
    if (info->incarnation >= self.incarnation &&
        info->incarnation - self.incarnation <= AHEAD_SELF_MAX &&
        (!elsewhere || self.nonce <= info->nonce)) {
        swim_announce(s, &self, info->incarnation);
    }
}

/* -- alive ------------------------------------------------------------------------------------- */

/* Makes room in a full roster: who is dead or has left for longest is forgotten. */
static bool
oldest_forget(struct swim *s)
{
    usec_t   since = NEVER;
    uint16_t oldest = ROSTER_NONE;

    if (s->state_count[MEMBER_DEAD] + s->state_count[MEMBER_LEFT] == 0) {
        return false;
    }
    for (size_t i = 1; i < s->roster.count; i++) {
        const struct member *m = &s->roster.at[i];

        if (!member_is_here(m) && m->since < since) {
            since = m->since;
            oldest = (uint16_t)i;
        }
    }
    assert(oldest != ROSTER_NONE);
    swim_member_forget(s, oldest);
    return true;
}

static void
member_join(struct swim *s, const struct member_info *info)
{
    const struct member_info *kept;
    struct member            *m;
    uint16_t                  index;

    if (s->roster.count >= CLUSTER_MEMBERS_MAX && !oldest_forget(s)) {
        if (!s->refused) {
            swim_tell(s, SWIM_REFUSED, info->id, 0, &info->addr);
            s->refused = true;
        }
        return;
    }
    kept = roster_share(&s->roster, info);
    index = kept == NULL ? (uint16_t)ROSTER_NONE : roster_add(&s->roster, kept, s->now);
    if (index == ROSTER_NONE) {
        s->starved = true;
        return;
    }
    m = &s->roster.at[index];
    member_lay(s, m, MEMBER_ALIVE);
    s->starved |= !roster_round_add(&s->roster, index, &s->rng);
    swim_tell(s, SWIM_JOINED, info->id, 0, &info->addr);
    if (!s->lonely) { /* or the others have told us, and there is nobody else to tell */
        swim_rumour(s, index, GOSSIP_ALIVE, 0);
    }
}

/* True if the two say the same, whatever their incarnation. */
static bool
info_equal(const struct member_info *a, const struct member_info *b)
{
    return a->nonce == b->nonce && addr_equal(&a->addr, &b->addr) &&
           a->client_port == b->client_port && a->weight == b->weight &&
           a->workers == b->workers && a->phase == b->phase &&
           a->version_min == b->version_min && a->version_max == b->version_max &&
           a->features == b->features && a->ring_ops == b->ring_ops &&
           a->ring_digest == b->ring_digest && strcmp(a->host, b->host) == 0 &&
           strcmp(a->zone, b->zone) == 0;
}

/* True if this is another node with the id of a member, and not to be believed. */
static bool
member_usurped(struct swim *s, const struct member *m, const struct member_info *info)
{
    if (info->nonce == m->info->nonce || addr_equal(&info->addr, &m->info->addr)) {
        return false;
    }
    if (info->nonce < m->info->nonce) { /* it is the one we believe that came later */
        conflict_tell(s, info->id, &m->info->addr);
        return false;
    }
    if (m->state == MEMBER_LEFT ||
        (m->state == MEMBER_DEAD && s->now - m->since >= CONFLICT_DEAD)) {
        return false;
    }
    conflict_tell(s, info->id, &info->addr);
    return true;
}

/* A member says something new: of a greater incarnation than what is held. */
static void
member_renew(struct swim *s, uint16_t index, const struct member_info *kept)
{
    struct member    *m = &s->roster.at[index];
    enum member_state was = (enum member_state)m->state;
    bool              same = info_equal(m->info, kept);

    member_lift(s, m);
    roster_release(&s->roster, m->info);
    m->info = kept;
    m->ahead = 0;
    suspicion_cancel(s, m);
    member_lay(s, m, MEMBER_ALIVE);
    if (was == MEMBER_SUSPECT) {
        swim_tell(s, SWIM_REFUTED, kept->id, 0, &kept->addr);
    } else if (was != MEMBER_ALIVE) {
        swim_tell(s, SWIM_RETURNED, kept->id, was == MEMBER_LEFT ? kept->id : 0, &kept->addr);
        s->starved |= !roster_round_add(&s->roster, index, &s->rng);
    }
    if (!same && (was == MEMBER_ALIVE || was == MEMBER_SUSPECT)) {
        swim_tell(s, SWIM_CHANGED, kept->id, 0, &kept->addr);
    }
    swim_rumour(s, index, GOSSIP_ALIVE, 0);
}

/* The description that belongs to an incarnation which others have spoken of already. */
static void
member_describe(struct swim *s, uint16_t index, const struct member_info *kept)
{
    struct member *m = &s->roster.at[index];
    uint64_t       held = member_incarnation(m);
    bool           same = info_equal(m->info, kept);

    roster_release(&s->roster, m->info);
    m->info = kept;
    m->ahead = (uint32_t)(held - kept->incarnation);
    if (!same) {
        swim_tell(s, SWIM_CHANGED, kept->id, 0, &kept->addr);
    }
}

void
swim_hear_alive(struct swim *s, const struct member_info *info)
{
    uint16_t                  index = roster_find(&s->roster, info->id);
    const struct member_info *kept;
    const struct member      *m;

    if (index == 0) {
        self_hear_alive(s, info);
        return;
    }
    if (index == ROSTER_NONE) {
        member_join(s, info);
        return;
    }
    m = &s->roster.at[index];
    if (info->incarnation <= m->info->incarnation || member_usurped(s, m, info)) {
        return;
    }
    kept = roster_share(&s->roster, info);
    if (kept == NULL) {
        s->starved = true;
    } else if (info->incarnation > member_incarnation(m)) {
        member_renew(s, index, kept);
    } else {
        member_describe(s, index, kept);
    }
}

/* -- suspected --------------------------------------------------------------------------------- */

/* Begins to suspect a member that was thought alive. */
static void
member_suspect(struct swim *s, uint16_t index, node_id from)
{
    const struct swim_config *c = &s->config;
    struct member            *m = &s->roster.at[index];
    size_t                    n = swim_alive(s);
    unsigned                  wanted = c->alpha > 2 ? c->alpha - 2 : 0;
    double                    scale = log10((double)n);
    usec_t                    min, max;

    min = (usec_t)((scale > 1 ? scale : 1) * (double)(c->alpha * c->probe_interval));
    max = min * c->beta;
    min = swim_earlier(max, min * ((usec_t)s->awareness + 1)); /* who seems slow had better wait */
    wanted = wanted > SUSPICION_WANTED_MAX ? SUSPICION_WANTED_MAX : wanted;
    if (c->no_confirmation || n < 2 || n - 2 < wanted) {
        wanted = 0;
    }
    m->suspicion = suspicion_add(&s->suspicions, index, from, s->now, min, max, wanted);
    if (m->suspicion == SUSPICION_NONE) {
        s->starved = true;
        return;
    }
    s->suspicions.slot[m->suspicion].seconded = from != swim_self(s)->info->id;
    member_lift(s, m);
    member_lay(s, m, MEMBER_SUSPECT);
    swim_rumour(s, index, GOSSIP_SUSPECT, from);
    swim_tell(s, SWIM_SUSPECTED, m->info->id, from, NULL);
}

/* Takes the incarnation that others speak of.  False: it is older than what is known, or absurd. */
static bool
member_advance(struct swim *s, struct member *m, uint64_t incarnation)
{
    enum member_state state = (enum member_state)m->state;

    if (incarnation < member_incarnation(m) ||
        incarnation - m->info->incarnation > AHEAD_MAX) {
        return false;
    }
    if (incarnation > member_incarnation(m)) {
        member_lift(s, m);
        m->ahead = (uint32_t)(incarnation - m->info->incarnation);
        member_lay(s, m, state);
    }
    return true;
}

void
swim_hear_suspect(struct swim *s, node_id id, uint64_t incarnation, node_id from)
{
    uint16_t       index = roster_find(&s->roster, id);
    struct member *m = &s->roster.at[index == ROSTER_NONE ? 0 : index];

    if (index == 0) {
        self_refute(s, incarnation, from, false);
        return;
    }
    if (index == ROSTER_NONE || !member_is_here(m) || !member_advance(s, m, incarnation)) {
        return;
    }
    if (m->state == MEMBER_ALIVE) {
        member_suspect(s, index, from);
        return;
    }
    s->suspicions.slot[m->suspicion].seconded |= from != swim_self(s)->info->id;
    if (suspicion_confirm(&s->suspicions, m->suspicion, from)) {
        swim_rumour(s, index, GOSSIP_SUSPECT, from);
    }
}

/* -- dead -------------------------------------------------------------------------------------- */

static void
fallen_add(struct swim *s, node_id id)
{
    if (s->fallen_count < CLUSTER_MEMBERS_MAX &&
        swim_room(s, &s->fallen, &s->fallen_capacity, s->fallen_count, sizeof *s->fallen)) {
        s->fallen[s->fallen_count].id = id;
        s->fallen[s->fallen_count++].until = s->now + DEAD_TOLD;
    }
}

static void
member_die(struct swim *s, uint16_t index, node_id from)
{
    struct member *m = &s->roster.at[index];
    bool           left = from == m->info->id;

    suspicion_cancel(s, m);
    member_lift(s, m);
    member_lay(s, m, left ? MEMBER_LEFT : MEMBER_DEAD);
    swim_rumour(s, index, GOSSIP_DEAD, from);
    swim_tell(s, left ? SWIM_LEFT : SWIM_DIED, m->info->id, from, NULL);
    if (!left) {
        fallen_add(s, m->info->id);
    }
    if (s->forget_at > m->since + s->config.remember) {
        s->forget_at = m->since + s->config.remember;
    }
}

void
swim_hear_dead(struct swim *s, node_id id, uint64_t incarnation, node_id from)
{
    uint16_t       index = roster_find(&s->roster, id);
    struct member *m = &s->roster.at[index == ROSTER_NONE ? 0 : index];

    if (index == 0) {
        self_refute(s, incarnation, from, true);
        return;
    }
    if (index == ROSTER_NONE || m->state == MEMBER_LEFT ||
        (m->state == MEMBER_DEAD && from != id) || !member_advance(s, m, incarnation)) {
        return;
    }
    member_die(s, index, from);
}

/*
 * True if a node that may itself be what is wrong is the only one to accuse a member.  Not for
 * ever: it may be the only one that is left.
 */
static bool
judgement_waits(const struct swim *s, const struct suspicion *one)
{
    size_t peers = swim_peers(s);

    return !s->config.no_doubt && !one->seconded && swim_doubts_itself(s) &&
           s->now - one->start < DOUBT_WAITS * one->max &&
           (peers >= 3 || s->state_count[MEMBER_ALIVE] > 0);
}

void
swim_judge(struct swim *s)
{
    uint16_t slot;

    while ((slot = suspicion_first(&s->suspicions)) != SUSPICION_NONE) {
        const struct suspicion *one = &s->suspicions.slot[slot];

        if (one->deadline > s->now) {
            break;
        }
        if (judgement_waits(s, one)) {
            suspicion_delay(&s->suspicions, slot, s->now + s->config.probe_interval);
        } else {
            member_die(s, one->member, swim_self(s)->info->id);
        }
    }
}

/* -- forgotten --------------------------------------------------------------------------------- */

void
swim_member_forget(struct swim *s, uint16_t index)
{
    struct member *m = &s->roster.at[index];
    uint16_t       moved;

    assert(index != 0 && !member_is_here(m) && m->suspicion == SUSPICION_NONE);
    swim_tell(s, SWIM_FORGOTTEN, m->info->id, 0, &m->info->addr);
    rumour_cancel(s, m);
    member_lift(s, m);
    roster_remove(&s->roster, index, &moved);
    swim_join_moved(s, index, ROSTER_NONE);
    if (moved == index) {
        return;
    }
    m = &s->roster.at[index];
    if (m->suspicion != SUSPICION_NONE) {
        s->suspicions.slot[m->suspicion].member = index;
    }
    if (m->rumour != RUMOUR_NONE) {
        s->rumours.slot[m->rumour].member = index;
    }
    swim_join_moved(s, moved, index);
}

void
swim_forget(struct swim *s)
{
    usec_t next = NEVER;

    for (size_t i = s->roster.count; i > 1; i--) {
        const struct member *m = &s->roster.at[i - 1];
        usec_t               at = m->since + s->config.remember;

        if (member_is_here(m)) {
            continue;
        }
        if (at <= s->now) {
            swim_member_forget(s, (uint16_t)(i - 1));
        } else if (at < next) {
            next = at;
        }
    }
    s->forget_at = next;
}
