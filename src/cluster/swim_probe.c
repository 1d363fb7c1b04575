#include "cluster/swim_impl.h"

#include <assert.h>

/* -- one probe --------------------------------------------------------------------------------- */

static struct probe *
probe_of(struct swim *s, node_id id)
{
    for (size_t i = 0; i < s->probes; i++) {
        if (s->probe[i].phase != PROBE_FREE && s->probe[i].id == id) {
            return &s->probe[i];
        }
    }
    return NULL;
}

static void
probe_begin(struct swim *s, struct probe *p, const struct member *m)
{
    usec_t        scale = (usec_t)s->awareness + 1;
    struct draft *d = swim_draft(s, &m->info->addr, GOSSIP_PING);

    assert(p->phase == PROBE_FREE && member_is_here(m));
    if (p >= &s->probe[s->probes]) {
        s->probes = (size_t)(p - s->probe) + 1;
    }
    *p = (struct probe){
        .phase = PROBE_DIRECT,
        .seq = ++s->seq,
        .id = m->info->id,
        .ask_at = s->now + s->config.probe_timeout * scale,
        .end_at = s->now + s->config.probe_interval * scale,
    };
    if (d != NULL) {
        d->seq = p->seq;
        d->id = p->id;
        swim_accuse(s, d, m);
    }
}

/* A member that may help: alive beyond doubt, and not the one in question.  Or ROSTER_NONE. */
static uint16_t
helper_draw(struct swim *s, const struct probe *p)
{
    const struct roster *r = &s->roster;
    uint16_t             index = r->round[rng_below(&s->rng, r->round_count)];
    node_id              id = r->at[index].info->id;

    if (r->at[index].state != MEMBER_ALIVE || id == p->id) {
        return ROSTER_NONE;
    }
    for (unsigned i = 0; i < p->helpers; i++) {
        if (p->helper[i] == id) {
            return ROSTER_NONE;
        }
    }
    return index;
}

/* No answer yet: others are asked to ping it, and TCP is tried. */
static void
probe_ask_others(struct swim *s, struct probe *p)
{
    unsigned wanted = s->config.indirect < HELPERS_MAX ? s->config.indirect : HELPERS_MAX;
    uint16_t index = roster_find(&s->roster, p->id);
    usec_t   late = s->now - p->ask_at;

    p->phase = PROBE_INDIRECT;
    p->end_at += late; /* the helpers need their time */
    if (index == ROSTER_NONE) {
        return;
    }
    for (unsigned tries = 0; tries < 10 * wanted && p->helpers < wanted; tries++) {
        uint16_t      helper = helper_draw(s, p);
        struct draft *d;

        if (helper == ROSTER_NONE) {
            continue;
        }
        p->helper[p->helpers++] = s->roster.at[helper].info->id;
        d = swim_draft(s, &s->roster.at[helper].info->addr, GOSSIP_PING_REQ);
        if (d != NULL) {
            d->seq = p->seq;
            d->id = p->id;
            d->about = s->roster.at[index].info->addr;
        }
    }
    if (!s->config.no_tcp && s->tcp_count < PROBES_MAX) {
        s->tcp[s->tcp_count].id = p->id;
        s->tcp[s->tcp_count++].addr = s->roster.at[index].info->addr;
    }
}

static void
probe_succeed(struct swim *s, struct probe *p)
{
    p->phase = PROBE_FREE;
    swim_score(s, -1);
}

/*
 * Nobody reached it.  Helpers that did not even send a nack say that it may be us; without helpers,
 * any failure says so.
 */
static void
probe_fail(struct swim *s, struct probe *p)
{
    uint16_t index = roster_find(&s->roster, p->id);

    p->phase = PROBE_FREE;
    if (index != ROSTER_NONE && !s->leaving) {
        swim_hear_suspect(s, p->id, member_incarnation(&s->roster.at[index]),
                          swim_self(s)->info->id);
    }
    swim_score(s, p->helpers > 0 ? p->helpers - p->nacks : 1);
}

/* Who is to be probed now; who was just heard is let off a few times. */
static uint16_t
round_take(struct swim *s)
{
    size_t   tries = swim_peers(s) < 16 ? swim_peers(s) : 16;
    uint32_t now = (uint32_t)(s->now >> 10), recent = (uint32_t)(s->config.probe_interval >> 10);

    for (; tries > 0; tries--) {
        uint16_t       index = roster_round_next(&s->roster, &s->rng);
        struct member *m = &s->roster.at[index == ROSTER_NONE ? 0 : index];

        if (index == ROSTER_NONE) {
            return ROSTER_NONE;
        }
        if (probe_of(s, m->info->id) != NULL) {
            continue;
        }
        if (m->state == MEMBER_ALIVE && now - m->heard < recent && m->skips < SKIPS_MAX) {
            m->skips++;
            continue;
        }
        m->skips = 0;
        return index;
    }
    return ROSTER_NONE;
}

/* The next one of the round. */
static void
round_step(struct swim *s)
{
    usec_t   interval = s->config.probe_interval;
    usec_t   late = s->now - s->probe_at;
    uint16_t index;

    if (late > interval) { /* there was nobody, or this node was stopped */
        s->probe_at = s->now + interval - late % interval;
        return;
    }
    s->probe_at = s->now + interval * ((usec_t)s->awareness + 1);
    index = s->leaving ? (uint16_t)ROSTER_NONE : round_take(s);
    if (index != ROSTER_NONE) {
        probe_begin(s, &s->probe[0], &s->roster.at[index]);
    } else if (swim_peers(s) == 0) {
        swim_score(s, -1); /* no evidence against us either */
    }
}

/* -- pings for others -------------------------------------------------------------------------- */

static void
relays_run(struct swim *s)
{
    size_t kept = 0;

    s->relay_at = NEVER;
    for (size_t i = 0; i < s->relay_count; i++) {
        struct relay *r = &s->relay[i];

        if (r->nack_at <= s->now) {
            struct draft *d = swim_draft(s, &r->addr, GOSSIP_NACK);

            r->nack_at = NEVER;
            if (d != NULL) {
                d->seq = r->seq_asked;
                swim_bare(s, d, r->asked_by);
            }
        }
        if (r->end_at > s->now) {
            s->relay_at = swim_earlier(s->relay_at, swim_earlier(r->nack_at, r->end_at));
            s->relay[kept++] = *r;
        }
    }
    s->relay_count = kept;
}

void
swim_ping_req(struct swim *s, const struct swim_event *ev, const struct gossip_message *m)
{
    struct relay *r;
    struct draft *d;

    if (roster_find(&s->roster, ev->from) == ROSTER_NONE || s->relay_count >= RELAYS_MAX ||
        !swim_room(s, &s->relay, &s->relay_capacity, s->relay_count, sizeof *r)) {
        return;
    }
    r = &s->relay[s->relay_count++];
    *r = (struct relay){
        .seq = ++s->seq,
        .seq_asked = m->seq,
        .asked_by = ev->from,
        .addr = ev->addr,
        .nack_at = s->now + s->config.probe_timeout * 4 / 5,
        .end_at = s->now + s->config.probe_interval,
    };
    s->relay_at = swim_earlier(s->relay_at, r->nack_at);
    d = swim_draft(s, &m->addr, GOSSIP_PING);
    if (d != NULL) {
        d->seq = r->seq;
        d->id = m->id;
        swim_bare(s, d, m->id);
    }
}

/* -- what comes back --------------------------------------------------------------------------- */

void
swim_ping(struct swim *s, const struct swim_event *ev, const struct gossip_message *m)
{
    uint16_t      sender = roster_find(&s->roster, ev->from);
    struct draft *d;

    if (m->id != swim_self(s)->info->id) {
        return;
    }
    d = swim_draft(s, &ev->addr, GOSSIP_ACK);
    if (d == NULL) {
        return;
    }
    d->seq = m->seq;
    swim_bare(s, d, ev->from);
    if (sender != ROSTER_NONE) {
        swim_accuse(s, d, &s->roster.at[sender]);
    } else {
        d->accuse = ev->from; /* of before all its incarnations: it will say who it is */
    }
}

void
swim_ack(struct swim *s, uint32_t seq)
{
    struct draft *d;

    for (size_t i = 0; i < s->probes; i++) {
        if (s->probe[i].phase != PROBE_FREE && s->probe[i].seq == seq) {
            probe_succeed(s, &s->probe[i]);
            return;
        }
    }
    for (size_t i = 0; i < s->relay_count; i++) {
        if (s->relay[i].seq == seq) {
            d = swim_draft(s, &s->relay[i].addr, GOSSIP_ACK);
            if (d != NULL) {
                d->seq = s->relay[i].seq_asked;
                swim_bare(s, d, s->relay[i].asked_by);
            }
            s->relay[i] = s->relay[--s->relay_count];
            return;
        }
    }
}

void
swim_nack(struct swim *s, uint32_t seq, node_id from)
{
    for (size_t i = 0; i < s->probes; i++) {
        struct probe *p = &s->probe[i];

        for (unsigned k = 0; p->phase == PROBE_INDIRECT && p->seq == seq && k < p->helpers; k++) {
            if (p->helper[k] == from && from != 0) {
                p->helper[k] = 0;
                p->nacks++;
            }
        }
    }
}

void
swim_heard(struct swim *s, node_id id, bool on_link)
{
    uint16_t      index = roster_find(&s->roster, id);
    struct probe *p = probe_of(s, id);

    if (index != ROSTER_NONE && on_link) {
        s->roster.at[index].heard = (uint32_t)(s->now >> 10);
    }
    if (p != NULL) {
        probe_succeed(s, p);
    }
}

void
swim_doubt(struct swim *s, node_id id)
{
    uint16_t index = roster_find(&s->roster, id);

    if (index == ROSTER_NONE || index == 0 || s->leaving || probe_of(s, id) != NULL ||
        !member_is_here(&s->roster.at[index])) {
        return;
    }
    for (size_t i = 1; i < PROBES_MAX; i++) {
        if (s->probe[i].phase == PROBE_FREE) {
            probe_begin(s, &s->probe[i], &s->roster.at[index]);
            return;
        }
    }
}

/* -- time -------------------------------------------------------------------------------------- */

void
swim_probe_run(struct swim *s)
{
    for (size_t i = 0; i < s->probes; i++) {
        struct probe *p = &s->probe[i];

        if (p->phase == PROBE_DIRECT && p->ask_at <= s->now) {
            probe_ask_others(s, p);
        }
        if (p->phase == PROBE_INDIRECT && p->end_at <= s->now) {
            probe_fail(s, p);
        }
    }
    while (s->probes > 0 && s->probe[s->probes - 1].phase == PROBE_FREE) {
        s->probes--;
    }
    if (s->relay_at <= s->now) {
        relays_run(s);
    }
    if (s->probe[0].phase == PROBE_FREE && s->probe_at <= s->now) {
        round_step(s);
    }
}

usec_t
swim_probe_wake(const struct swim *s)
{
    usec_t wake = s->relay_at;

    if (s->probe[0].phase == PROBE_FREE && (swim_peers(s) > 0 || s->awareness > 0)) {
        wake = swim_earlier(wake, s->probe_at);
    }
    for (size_t i = 0; i < s->probes; i++) {
        const struct probe *p = &s->probe[i];

        if (p->phase != PROBE_FREE) {
            wake = swim_earlier(wake, p->phase == PROBE_DIRECT ? p->ask_at : p->end_at);
        }
    }
    return wake;
}

void
swim_probe_shift(struct swim *s, usec_t by)
{
    for (size_t i = 0; i < s->probes; i++) {
        s->probe[i].ask_at += by;
        s->probe[i].end_at += by;
    }
}
