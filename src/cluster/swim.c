#include "cluster/swim.h"
#include "cluster/swim_impl.h"

#include <assert.h>
#include <stdlib.h>

#define ACCUSATION 27 /* bytes of a SUSPECT or DEAD */

void
swim_config_defaults(struct swim_config *c)
{
    *c = (struct swim_config){
        .self = c->self,
        .seed = c->seed,
        .probe_interval = 400 * USEC_PER_MSEC,
        .probe_timeout = 200 * USEC_PER_MSEC,
        .gossip_interval = 100 * USEC_PER_MSEC,
        .sync_interval = 15 * USEC_PER_SEC,
        .rejoin_interval = 10 * USEC_PER_SEC,
        .remember = 72 * 3600 * USEC_PER_SEC,
        .indirect = 3,
        .fanout = 3,
        .alpha = 4,
        .beta = 6,
        .retransmit = 4,
    };
}

static bool
config_is_legal(const struct swim_config *c)
{
    return c->self.id != 0 && c->probe_timeout > 0 && c->probe_interval >= 2 * c->probe_timeout &&
           c->gossip_interval > 0 && c->sync_interval > 0 && c->rejoin_interval > 0 &&
           c->remember > 0 && c->alpha > 0 && c->beta > 0;
}

struct swim *
swim_new(const struct swim_config *config, usec_t now)
{
    struct swim              *s = calloc(1, sizeof *s);
    const struct member_info *self;
    struct roster_share       store;

    assert(config_is_legal(config));
    if (s == NULL) {
        return NULL;
    }
    s->config = *config;
    s->now = s->wake_at = now;
    store = (struct roster_share){ config->share, config->release, config->share_arg };
    rng_init(&s->rng, config->seed ^ config->self.id);
    roster_init(&s->roster, &store, rng_next(&s->rng));
    rumour_init(&s->rumours);
    self = roster_share(&s->roster, &config->self);
    if (self == NULL || roster_add(&s->roster, self, now) == ROSTER_NONE) {
        swim_free(s);
        return NULL;
    }
    s->seq = (uint32_t)rng_next(&s->rng);
    s->relay_at = s->gossip_at = s->forget_at = NEVER;
    s->gossip_phase = (usec_t)rng_below(&s->rng, (uint64_t)config->gossip_interval);
    s->probe_at = now + (usec_t)rng_below(&s->rng, (uint64_t)config->probe_interval);
    swim_join_init(s);
    swim_rumour(s, 0, GOSSIP_ALIVE, 0);
    s->digest = swim_digest_part(swim_self(s));
    return s;
}

void
swim_free(struct swim *s)
{
    if (s == NULL) {
        return;
    }
    roster_fini(&s->roster);
    suspicion_fini(&s->suspicions);
    rumour_fini(&s->rumours);
    free(s->relay);
    free(s->seed);
    free(s->fallen);
    free(s->draft);
    free(s->send);
    free(s->message);
    free(s->change);
    free(s);
}

/* -- what the caller must do ------------------------------------------------------------------- */

bool
swim_room(struct swim *s, void *array, size_t *capacity, size_t count, size_t size)
{
    size_t more = *capacity == 0 ? 4 : *capacity * 2;
    void  *old, *grown;

    if (count < *capacity) {
        return true;
    }
    memcpy(&old, array, sizeof old); /* array is the address of a pointer of some type */
    grown = realloc(old, more * size);
    if (grown == NULL) {
        s->starved = true;
        return false;
    }
    memcpy(array, &grown, sizeof grown);
    *capacity = more;
    return true;
}

struct draft *
swim_draft(struct swim *s, const struct cluster_addr *to, enum gossip_kind kind)
{
    struct draft *d;

    if (s->draft_count >= DRAFTS_MAX ||
        !swim_room(s, &s->draft, &s->draft_capacity, s->draft_count, sizeof *d)) {
        return NULL;
    }
    d = &s->draft[s->draft_count++];
    *d = (struct draft){ .to = *to, .kind = kind };
    return d;
}

void
swim_accuse(struct swim *s, struct draft *d, const struct member *m)
{
    if (d == NULL || s->config.no_buddy ||
        (m->state != MEMBER_SUSPECT && m->state != MEMBER_DEAD)) {
        return;
    }
    d->accuse = m->info->id;
    d->dead = m->state == MEMBER_DEAD;
    d->incarnation = member_incarnation(m);
}

void
swim_bare(const struct swim *s, struct draft *d, node_id id)
{
    uint16_t index = roster_find(&s->roster, id);

    if (d != NULL) {
        d->bare = index == ROSTER_NONE || !addr_equal(&s->roster.at[index].info->addr, &d->to);
    }
}

void
swim_tell(struct swim *s, enum swim_change_kind kind, node_id id, node_id from,
          const struct cluster_addr *addr)
{
    struct swim_change *c;

    if (!swim_room(s, &s->change, &s->change_capacity, s->change_count, sizeof *c)) {
        return;
    }
    c = &s->change[s->change_count++];
    *c = (struct swim_change){ .kind = kind, .id = id, .from = from };
    if (addr != NULL) {
        c->addr = *addr;
    }
}

usec_t
swim_vary(struct swim *s, usec_t around)
{
    return around / 2 + (usec_t)rng_below(&s->rng, (uint64_t)around + 1);
}

/* A message with nothing in it but its kind; an op in it is not cleared. */
static struct gossip_message *
message_add(struct swim *s, enum gossip_kind kind)
{
    struct gossip_message *m;

    if (!swim_room(s, &s->message, &s->message_capacity, s->message_count, sizeof *m)) {
        return NULL;
    }
    m = &s->message[s->message_count++];
    m->kind = kind;
    m->seq = 0;
    m->id = m->from = 0;
    m->incarnation = 0;
    m->addr = (struct cluster_addr){ 0 };
    m->state = MEMBER_ALIVE;
    m->info = NULL;
    return m;
}

static void
message_of_rumour(const struct swim *s, const struct rumour *r, struct gossip_message *m)
{
    const struct member *about;

    if (r->op != NULL) {
        m->op = *r->op;
        return;
    }
    about = &s->roster.at[r->member];
    m->id = about->info->id;
    m->incarnation = member_incarnation(about);
    m->from = r->from;
    m->info = about->info;
}

/* Adds the rumours that fit into so many bytes, and counts that they were told. */
static void
rumours_add(struct swim *s, size_t room)
{
    unsigned limit = rumour_limit(s->config.retransmit, swim_alive(s));
    uint16_t taken[GOSSIP_PACKET_MAX / ACCUSATION + 1];
    size_t   count = 0, looks = 2 * sizeof taken / sizeof *taken;

    for (uint16_t i = rumour_first(&s->rumours);
         i != RUMOUR_NONE && room >= ACCUSATION && looks > 0;
         i = rumour_next(&s->rumours, i), looks--) {
        const struct rumour   *r = &s->rumours.slot[i];
        struct gossip_message *m = message_add(s, (enum gossip_kind)r->kind);
        size_t                 size;

        if (m == NULL) {
            break;
        }
        message_of_rumour(s, r, m);
        size = gossip_size(m);
        if (size > room) { /* a smaller one may fit */
            s->message_count--;
            continue;
        }
        room -= size;
        taken[count++] = i;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t member = s->rumours.slot[taken[i]].member;
        bool     of_ring = s->rumours.slot[taken[i]].op != NULL;

        if (rumour_told(&s->rumours, taken[i], limit) && !of_ring) {
            s->roster.at[member].rumour = RUMOUR_NONE;
        }
    }
}

/* Makes the messages of a datagram. */
static void
draft_write(struct swim *s, const struct draft *d)
{
    size_t                 first = s->message_count;
    size_t                 room = GOSSIP_PACKET_MAX - GOSSIP_OVERHEAD;
    struct gossip_message *m;

    if (d->kind != 0 && (m = message_add(s, d->kind)) != NULL) {
        m->seq = d->seq;
        m->id = d->id;
        m->addr = d->about;
        m->info = d->kind == GOSSIP_ALIVE ? swim_self(s)->info : NULL;
    }
    if (d->accuse != 0 &&
        (m = message_add(s, d->dead ? GOSSIP_DEAD : GOSSIP_SUSPECT)) != NULL) {
        m->id = d->accuse;
        m->incarnation = d->incarnation;
        m->from = swim_self(s)->info->id;
    }
    for (size_t i = first; i < s->message_count; i++) {
        room -= gossip_size(&s->message[i]);
    }
    if (s->rumours.count > 0 && !d->bare) {
        rumours_add(s, room);
    }
}

static void
drafts_write(struct swim *s)
{
    size_t count = 0, first = 0;

    if (s->draft_count > s->send_capacity) {
        size_t capacity = s->draft_capacity;
        void  *grown = realloc(s->send, capacity * sizeof *s->send);

        if (grown == NULL) {
            s->starved = true;
            s->draft_count = s->send_capacity;
        } else {
            s->send = grown;
            s->send_capacity = capacity;
        }
    }
    for (size_t i = 0; i < s->draft_count; i++) {
        size_t before = s->message_count;

        draft_write(s, &s->draft[i]);
        if (s->message_count > before) {
            s->send[count].addr = s->draft[i].to;
            s->send[count++].count = s->message_count - before;
        }
    }
    for (size_t i = 0; i < count; i++) { /* the array has stopped moving */
        s->send[i].message = s->message + first;
        first += s->send[i].count;
    }
    s->draft_count = count;
}

/* -- telling rumours --------------------------------------------------------------------------- */

static bool
somebody_listens(const struct swim *s)
{
    return swim_peers(s) + s->fallen_count > 0;
}

/* A member to gossip to: one of the round, or one that died lately.  ROSTER_NONE: a bad draw. */
static uint16_t
listener_draw(struct swim *s)
{
    size_t   total = s->roster.round_count + s->fallen_count;
    size_t   i = total == 0 ? 0 : (size_t)rng_below(&s->rng, total);
    uint16_t index;

    if (total == 0) {
        return ROSTER_NONE;
    }
    if (i < s->roster.round_count) {
        index = s->roster.round[i];
        return member_is_here(&s->roster.at[index]) ? index : (uint16_t)ROSTER_NONE;
    }
    index = roster_find(&s->roster, s->fallen[i - s->roster.round_count].id);
    if (index == ROSTER_NONE || s->roster.at[index].state != MEMBER_DEAD) {
        return ROSTER_NONE;
    }
    return index;
}

static void
gossip_round(struct swim *s)
{
    uint16_t chosen[16];
    unsigned fanout = s->config.fanout < 16 ? s->config.fanout : 16;
    unsigned count = 0;

    for (unsigned tries = 0; tries < 10 * fanout && count < fanout; tries++) {
        uint16_t      index = listener_draw(s);
        bool          again = index == ROSTER_NONE;
        struct draft *d;

        for (unsigned i = 0; i < count; i++) {
            again |= chosen[i] == index;
        }
        if (again) {
            continue;
        }
        chosen[count++] = index;
        d = swim_draft(s, &s->roster.at[index].info->addr, (enum gossip_kind)0);
        if (d != NULL && s->roster.at[index].state == MEMBER_DEAD) {
            swim_accuse(s, d, &s->roster.at[index]);
        }
    }
}

static void
fallen_expire(struct swim *s)
{
    size_t gone = 0;

    while (gone < s->fallen_count && s->fallen[gone].until <= s->now) {
        gone++;
    }
    if (gone > 0) {
        s->fallen_count -= gone;
        memmove(s->fallen, s->fallen + gone, s->fallen_count * sizeof *s->fallen);
    }
}

/*
 * The next round of gossip, if there is need of one.  Rounds are an interval apart, but the first
 * after a silence is at once: news goes through the whole cluster before the second.
 */
static void
gossip_plan(struct swim *s)
{
    usec_t interval = s->config.gossip_interval;

    if (s->rumours.count == 0 || !somebody_listens(s)) {
        s->gossip_at = NEVER;
    } else if (s->gossip_at != NEVER) {
        return;
    } else if (s->config.no_haste) {
        s->gossip_at = s->now + interval - (s->now - s->gossip_phase) % interval;
    } else {
        s->gossip_at = s->gossip_last + interval;
    }
}

static void
gossip_run(struct swim *s)
{
    if (s->fallen_count > 0) {
        fallen_expire(s);
    }
    gossip_plan(s);
    if (s->gossip_at <= s->now) {
        gossip_round(s);
        s->gossip_last = s->now;
        s->gossip_at = NEVER;
    }
}

/* -- events ------------------------------------------------------------------------------------ */

/*
 * What a datagram says.  Ours ask one thing each; of one that asks more only the first is answered,
 * or a stranger could have us send much more than he does, to whom he likes.
 */
static void
packet_step(struct swim *s, const struct swim_event *ev)
{
    bool asked = false, told = false;

    if (ev->from == swim_self(s)->info->id) {
        return;
    }
    for (size_t i = 0; i < ev->count; i++) {
        const struct gossip_message *m = &ev->message[i];

        switch (m->kind) {
        case GOSSIP_PING:
            if (!asked) {
                swim_ping(s, ev, m);
            }
            asked = true;
            break;
        case GOSSIP_ACK:
            swim_ack(s, m->seq);
            break;
        case GOSSIP_NACK:
            swim_nack(s, m->seq, ev->from);
            break;
        case GOSSIP_PING_REQ:
            if (!asked) {
                swim_ping_req(s, ev, m);
            }
            asked = true;
            break;
        case GOSSIP_ALIVE:
            swim_hear_alive(s, m->info);
            break;
        case GOSSIP_SUSPECT:
        case GOSSIP_DEAD:
            if (m->id == swim_self(s)->info->id &&
                m->incarnation < member_incarnation(swim_self(s)) && !s->leaving) {
                /* Who says so does not know what we say: it does not know us, or missed it. */
                if (!told) {
                    swim_bare(s, swim_draft(s, &ev->addr, GOSSIP_ALIVE), ev->from);
                }
                told = true;
            } else if (m->kind == GOSSIP_SUSPECT) {
                swim_hear_suspect(s, m->id, m->incarnation, m->from);
            } else {
                swim_hear_dead(s, m->id, m->incarnation, m->from);
            }
            break;
        case GOSSIP_RING:
        case GOSSIP_DIGEST:
            break;
        }
    }
}

/*
 * One member as another holds it.  Death is only suspected, since the other may be wrong; and a
 * suspicion that we have is not confirmed by it, since the other may have it from us.
 */
static void
state_hear(struct swim *s, const struct gossip_message *m, node_id from)
{
    const struct member_info *info = m->info;
    uint16_t                  index = roster_find(&s->roster, info->id);
    bool                      known = index != ROSTER_NONE;
    bool suspected = known && s->roster.at[index].state == MEMBER_SUSPECT &&
                     info->incarnation <= member_incarnation(&s->roster.at[index]);

    switch (m->state) {
    case MEMBER_ALIVE:
        swim_hear_alive(s, info);
        break;
    case MEMBER_SUSPECT:
        swim_hear_alive(s, info);
        if (!suspected) {
            swim_hear_suspect(s, info->id, info->incarnation, from);
        }
        break;
    case MEMBER_DEAD:
        if (index == 0) {
            swim_hear_dead(s, info->id, info->incarnation, from); /* of us: only to be refuted */
        } else if (known && !suspected) {
            swim_hear_suspect(s, info->id, info->incarnation, from);
        }
        break;
    case MEMBER_LEFT:
        if (known) {
            swim_hear_dead(s, info->id, info->incarnation, info->id);
        }
        break;
    }
}

static void
state_step(struct swim *s, const struct swim_event *ev)
{
    for (size_t i = 0; i < ev->count; i++) {
        const struct gossip_message *m = &ev->message[i];

        if (m->kind == GOSSIP_ALIVE) {
            state_hear(s, m, ev->from);
        } else if (m->kind == GOSSIP_SUSPECT) {
            swim_hear_suspect(s, m->id, m->incarnation, m->from);
        } else if (m->kind == GOSSIP_DEAD && m->from == m->id) {
            swim_hear_dead(s, m->id, m->incarnation, m->from);
        }
    }
}

static void
leave_step(struct swim *s)
{
    struct member *self = swim_self(s);

    if (s->leaving) {
        return;
    }
    s->leaving = true;
    self->state = MEMBER_LEFT;
    self->since = s->now;
    s->digest -= swim_digest_part(self);
    swim_rumour(s, 0, GOSSIP_DEAD, self->info->id);
    s->gossip_last = 0; /* there may not be much time */
    s->gossip_at = NEVER;
}

static void
event_step(struct swim *s, const struct swim_event *ev)
{
    switch (ev->kind) {
    case SWIM_TICK:
        break;
    case SWIM_PACKET:
        packet_step(s, ev);
        break;
    case SWIM_STATE:
        state_step(s, ev);
        break;
    case SWIM_TCP_ACK:
        swim_heard(s, ev->id, false);
        break;
    case SWIM_HEARD:
        swim_heard(s, ev->id, true);
        break;
    case SWIM_DOUBT:
        swim_doubt(s, ev->id);
        break;
    case SWIM_SEED:
        swim_seed(s, &ev->addr);
        break;
    case SWIM_SEEDS_FORGET:
        swim_seeds_forget(s);
        break;
    case SWIM_INFO:
        if (!s->leaving) {
            swim_announce(s, ev->info, 0);
        }
        break;
    case SWIM_LEAVE:
        leave_step(s);
        break;
    }
}

/* -- a step ------------------------------------------------------------------------------------ */

/* Who was stopped saw nothing: what it was about to conclude waits for as long. */
static void
sleep_notice(struct swim *s)
{
    usec_t late = s->now - s->wake_at;

    if (late > s->config.probe_interval) {
        suspicion_shift(&s->suspicions, late);
        swim_probe_shift(s, late);
    }
}

static usec_t
wake_reckon(const struct swim *s)
{
    uint16_t first = suspicion_first(&s->suspicions);
    usec_t   wake = swim_earlier(s->gossip_at, s->forget_at);

    if (first != SUSPICION_NONE) {
        wake = swim_earlier(wake, s->suspicions.slot[first].deadline);
    }
    wake = swim_earlier(wake, swim_probe_wake(s));
    wake = swim_earlier(wake, swim_join_wake(s));
    return wake < s->now ? s->now : wake;
}

static void
out_fill(const struct swim *s, struct swim_out *out)
{
    *out = (struct swim_out){
        .send = s->send,
        .send_count = s->draft_count,
        .change = s->change,
        .change_count = s->change_count,
        .sync = s->sync,
        .sync_count = s->sync_count,
        .tcp = s->tcp,
        .tcp_count = s->tcp_count,
        .wake_at = s->wake_at,
    };
}

/* Gives back what an unusual step needed, so that thousands of nodes fit into a simulation. */
static void
room_trim(struct swim *s)
{
    s->draft_count = s->message_count = s->change_count = s->sync_count = s->tcp_count = 0;
    if (s->message_capacity > ROOM_KEPT) {
        free(s->message);
        s->message = NULL;
        s->message_capacity = 0;
    }
    if (s->change_capacity > ROOM_KEPT) {
        free(s->change);
        s->change = NULL;
        s->change_capacity = 0;
    }
}

err_t
swim_step(struct swim *s, const struct swim_event *ev, usec_t now, struct swim_out *out)
{
    s->now = now > s->now ? now : s->now;
    s->starved = s->refused = false;
    s->lonely = s->roster.count == 1;
    room_trim(s);
    sleep_notice(s);
    event_step(s, ev);
    swim_judge(s);
    swim_probe_run(s);
    gossip_run(s);
    swim_join_run(s);
    if (s->forget_at <= s->now) {
        swim_forget(s);
    }
    if (s->draft_count > 0) {
        drafts_write(s);
    }
    gossip_plan(s);
    s->wake_at = wake_reckon(s);
    assert(swim_alive(s) <= s->roster.count);
    out_fill(s, out);
    return s->starved ? ERR_NOMEM : ERR_OK;
}

err_t
swim_spread(struct swim *s, const struct gossip_message *m)
{
    assert(m->kind == GOSSIP_RING);
    return rumour_of_ring(&s->rumours, &m->op) ? ERR_OK : ERR_NOMEM;
}

/* -- what is held ------------------------------------------------------------------------------ */

bool
swim_member_at(const struct swim *s, size_t i, struct swim_member *ret)
{
    const struct member *m;

    if (i >= s->roster.count) {
        return false;
    }
    m = &s->roster.at[i];
    *ret = (struct swim_member){ m->info, (enum member_state)m->state, m->since };
    return true;
}

bool
swim_member_find(const struct swim *s, node_id id, struct swim_member *ret)
{
    uint16_t index = roster_find(&s->roster, id);

    return index != ROSTER_NONE && swim_member_at(s, index, ret);
}

bool
swim_state_at(const struct swim *s, size_t i, struct gossip_message *ret)
{
    const struct member *m;

    if (i >= s->roster.count) {
        return false;
    }
    m = &s->roster.at[i];
    *ret = (struct gossip_message){
        .kind = GOSSIP_ALIVE,
        .id = m->info->id,
        .from = swim_self(s)->info->id,
        .incarnation = member_incarnation(m),
        .state = (enum member_state)m->state,
        .info = m->info,
    };
    if (m->ahead > 0) { /* the description is older than what is held against it */
        ret->kind = m->state == MEMBER_LEFT ? GOSSIP_DEAD : GOSSIP_SUSPECT;
        ret->from = m->state == MEMBER_LEFT ? ret->id : ret->from;
    }
    return true;
}

size_t
swim_alive(const struct swim *s)
{
    return 1 + swim_peers(s);
}

unsigned
swim_awareness(const struct swim *s)
{
    return s->awareness;
}

bool
swim_doubts_itself(const struct swim *s)
{
    size_t peers = swim_peers(s);

    return s->awareness >= DOUBT_SCORE ||
           (peers >= 3 && 2 * s->state_count[MEMBER_SUSPECT] > peers);
}

uint64_t
swim_digest(const struct swim *s)
{
    return s->digest;
}
