#include "daemon/gossip.h"
#include "base/hash.h"
#include "base/log.h"
#include "cluster/view.h"
#include "daemon/address.h"
#include "daemon/clients.h"
#include "daemon/notes.h"
#include "daemon/place.h"
#include "daemon/places.h"
#include "daemon/seeds.h"
#include "daemon/talks.h"
#include "daemon/workers.h"
#include "node/control.h"
#include "node/node.h"
#include "node/worker.h"
#include "proto/gossip.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOSSIP_PORT_DEFAULT 21211    /* of seeds, when our own says nothing about theirs */
#define GOSSIP_EVIDENCE_MAX 1024
#define GOSSIP_LOG_EVERY    (10 * USEC_PER_SEC)
#define GOSSIP_SEEDS_EVERY  (10 * USEC_PER_SEC)
#define GOSSIP_ADDRESS_WAIT USEC_PER_SEC
#define GOSSIP_LEAVE_WAIT   (500 * USEC_PER_MSEC) /* a few rounds of gossip, and views made of it */

/* A view that a worker may still have. */
struct old_view {
    struct view     *view;
    struct old_view *next;
};

struct evidence {
    node_id id;
    bool    on;
};

struct gossip {
    struct gossip_config config;
    const struct settings *settings;
    struct workers     *workers; /* NULL until gossip_start() */
    struct control     *control;
    struct seeds       *seeds; /* NULL: there are none */
    struct talks        talks;
    struct member_info  self;
    struct places       places;
    struct ev_timer     wake;
    struct ev_timer     leaving;
    struct ev_async     news; /* of seeds, or evidence */
    uint64_t            swept; /* ring_number that control was told of last */
    struct old_view    *views; /* the newest, which workers use, first */
    bool                is_up, leaves;
    bool                is_alone; /* said so, and nobody has come since */
    usec_t              refresh_next; /* of seeds */
    /* Lines of the log; who is not reached does not keep out who answers and is wrong. */
    usec_t              odd_next, fail_next, wrong_next, double_next;
    /* What workers know of the others. */
    pthread_mutex_t     lock;
    struct evidence     evidence[GOSSIP_EVIDENCE_MAX];
    size_t              evidence_count;
};

bool
gossip_wanted(const struct settings *s)
{
    return s->cluster.cluster || s->cluster.join[0] != '\0';
}

static usec_t
gossip_scale(const struct gossip *g, usec_t lan)
{
    return g->settings->cluster.gossip_profile == SETTINGS_PROFILE_WAN ? 5 * lan : lan;
}

/* True, and sets the time of the next, if a line of that kind may be written now. */
static bool
log_is_due(struct gossip *g, usec_t *next)
{
    if (g->config.loop->now < *next) {
        return false;
    }
    *next = g->config.loop->now + GOSSIP_LOG_EVERY;
    return true;
}

/* -- views ------------------------------------------------------------------------------------- */

/* Frees the views that every worker is past. */
static void
views_sweep(struct gossip *g)
{
    const struct node *n = g->config.node;
    uint64_t seen = UINT64_MAX;

    if (g->views == NULL || g->views->next == NULL) {
        return;
    }
    for (unsigned i = 0; i < n->worker_count; i++) {
        uint64_t one = atomic_load_explicit(&n->workers[i]->view_seen, memory_order_acquire);

        seen = one < seen ? one : seen;
    }
    if (atomic_load_explicit(&n->upkeep_seen, memory_order_acquire) < seen) {
        seen = atomic_load_explicit(&n->upkeep_seen, memory_order_acquire);
    }
    for (struct old_view **at = &g->views->next; *at != NULL;) {
        struct old_view *old = *at;

        if (old->view->number < seen) {
            *at = old->next;
            view_free(old->view);
            free(old);
        } else {
            at = &old->next;
        }
    }
}

/* Gives the workers a view; takes it. */
static void
view_publish(struct gossip *g, struct view *v)
{
    struct old_view *o = malloc(sizeof *o);

    if (o == NULL) {
        /* Control has no other one, so it must live on; without a place in the list it is never
         * freed, which is better than workers without it. */
        metric_add(&g->config.node->shared, M_MALLOC_FAILS, 1);
    } else {
        *o = (struct old_view){ .view = v, .next = g->views };
        g->views = o;
    }
    atomic_store_explicit(&g->config.node->view, v, memory_order_release);
    workers_wake(g->workers, UINT64_MAX >> (64 - g->config.node->worker_count));
    views_sweep(g);
}

/* Who should have found others may be half of a cluster: that must not be silent. */
static void
alone_log(struct gossip *g)
{
    bool was = g->is_alone;

    g->is_alone = g->is_up && g->settings->cluster.join[0] != '\0' &&
                  control_alive(g->control) <= 1;
    if (g->is_alone && !was) {
        log_line(LOG_LEVEL_WARNING,
                 "cluster: no other member was found by \"%.100s\" (join), this node serves "
                 "alone; it goes on looking", g->settings->cluster.join);
    } else if (was && !g->is_alone) {
        log_line(LOG_LEVEL_WARNING, "cluster: this node is not alone any more, %zu members",
                 control_alive(g->control));
    }
}

/* -- what control wants ------------------------------------------------------------------------ */

static void
wake_at(struct gossip *g, usec_t at)
{
    struct ev_loop *ev = g->config.loop->ev;
    usec_t in = at - clock_now();

    ev_timer_stop(ev, &g->wake);
    ev_now_update(ev);
    ev_timer_set(&g->wake, in > USEC_PER_MSEC ? (double)in / (double)USEC_PER_SEC : 0.001, 0.);
    ev_timer_start(ev, &g->wake);
}

/* Does what control asked for. */
static void
gossip_do(struct gossip *g, const struct control_out *out)
{
    if (out->view != NULL) {
        view_publish(g, out->view);
    }
    for (size_t i = 0; i < out->send_count; i++) {
        const struct control_datagram *s = &out->send[i];

        /* A lost packet is what the protocol is built for. */
        if (!places_send(&g->places, &s->addr, s->bytes.ptr, s->bytes.len)) {
            metric_add(&g->config.node->shared, M_GOSSIP_UNSENT, 1);
        }
    }
    for (size_t i = 0; i < out->sync_count; i++) {
        talks_call(&g->talks, PEER_SYNC, &out->sync[i], 0);
    }
    for (size_t i = 0; i < out->tcp_count; i++) {
        talks_call(&g->talks, PEER_PROBE, &out->tcp[i].addr, out->tcp[i].id);
    }
    for (size_t i = 0; i < out->note_count; i++) {
        notes_log(g->control, &out->note[i]);
    }
    wake_at(g, out->wake_at);
    if (!g->is_up && control_phase(g->control) == PHASE_UP) {
        g->is_up = true;
        g->config.up(g->config.arg);
        alone_log(g);
    } else if (g->is_alone) {
        alone_log(g);
    }
}

static void
gossip_on_wake(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct gossip *g = w->data;
    uint64_t swept = atomic_load_explicit(&g->config.node->swept, memory_order_acquire);
    struct control_out out;

    (void)ev;
    (void)events;
    views_sweep(g);
    places_resume(&g->places);
    if (swept > g->swept) {
        g->swept = swept;
        control_swept(g->control, swept, g->config.loop->now, &out);
    } else {
        control_tick(g->control, g->config.loop->now, &out);
    }
    gossip_do(g, &out);
}

/* -- datagrams and newcomers ------------------------------------------------------------------- */

static void
gossip_on_datagram(void *arg, const struct cluster_addr *from, size_t n)
{
    struct gossip *g = arg;
    struct control_out out;

    if (n > sizeof g->places.rx) {
        metric_add(&g->config.node->shared, M_GOSSIP_BAD, 1);
        return;
    }
    control_datagram(g->control, from, slice_of(g->places.rx, n), g->config.loop->now, &out);
    gossip_do(g, &out);
}

static void
gossip_on_accepted(void *arg, int fd, const struct cluster_addr *from)
{
    talks_accept(&((struct gossip *)arg)->talks, fd, from);
}

/* The next wake-up tries again: what is missing is missing for all, and clients come first. */
static void
gossip_on_starved(void *arg, int error)
{
    struct gossip *g = arg;

    if (log_is_due(g, &g->odd_next)) {
        log_line(LOG_LEVEL_WARNING, "cluster: cannot accept other nodes: %s", strerror(error));
    }
}

static const struct places_ops gossip_places = {
    .datagram = gossip_on_datagram,
    .accepted = gossip_on_accepted,
    .starved = gossip_on_starved,
};

/* -- conversations ----------------------------------------------------------------------------- */

static void
gossip_on_data(void *arg, int fd, const struct cluster_addr *from, const struct peer_hello *h)
{
    struct gossip *g = arg;
    struct node *n = g->config.node;
    struct sockaddr_storage sa, own = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof own;
    struct conn_addr peer, local;
    struct client *c;

    (void)place_sockaddr(from, &sa);
    (void)getsockname(fd, (struct sockaddr *)&own, &len);
    peer = address_of(&sa);
    local = address_of(&own);
    c = client_new(n, &fd, SESSION_PEER, &peer, &local, g->config.loop->now);
    if (c == NULL) {
        metric_add(&n->shared, M_MALLOC_FAILS, 1);
        (void)close(fd);
    } else if (!workers_deal_to(g->workers, h->worker % n->worker_count, &c)) {
        client_free(n, c);
    }
}

static void
gossip_on_synced(void *arg, bool calls, const struct cluster_addr *from, struct slice bytes)
{
    struct gossip *g = arg;
    struct control_out out;

    control_synced(g->control, calls, from, bytes, g->config.loop->now, &out);
    gossip_do(g, &out);
}

static bool
gossip_on_state(void *arg, bool calls, const struct cluster_addr *to, struct buf *out)
{
    return control_state(((struct gossip *)arg)->control, calls, to, out);
}

/* Somebody else has our id. */
static void
double_log(struct gossip *g, const struct cluster_addr *from)
{
    char place[PLACE_TEXT_MAX];

    metric_add(&g->config.node->shared, M_CLUSTER_CONFLICTS, 1);
    if (log_is_due(g, &g->double_next)) {
        log_line(LOG_LEVEL_ERROR,
                 "cluster: another process at %s says that it is this node (%016llx); "
                 "give each its own node_id or host",
                 place_print(from, place), (unsigned long long)g->self.id);
    }
}

static void
gossip_on_odd(void *arg, const struct cluster_addr *from, const struct peer_hello *h,
              enum peer_verdict verdict)
{
    struct gossip *g = arg;
    char place[PLACE_TEXT_MAX];

    if (h != NULL && verdict == PEER_SELF) {
        if (h->nonce != g->self.nonce) {
            double_log(g, from);
        }
        return;
    }
    metric_add(&g->config.node->shared, h == NULL ? M_GOSSIP_BAD : M_GOSSIP_STRANGERS, 1);
    if (log_is_due(g, &g->odd_next)) {
        log_line(LOG_LEVEL_WARNING, "cluster: a connection from %s %s, refused",
                 place_print(from, place),
                 h == NULL                ? "does not speak as a node"
                 : verdict == PEER_LABEL  ? "is of another cluster (cluster_name)"
                                          : "speaks another version");
    }
}

/* Why a call came to nothing. */
static const char *
failure_text(const struct talks_result *r)
{
    switch (r->end) {
    case TALKS_DONE:
        break;
    case TALKS_FAILED:
        return r->error != 0 ? strerror(r->error) : "the connection broke";
    case TALKS_STRANGER:
        return "what answers there is no node of a cluster; a cluster port is meant, by default "
               "10000 above that of clients";
    case TALKS_REFUSED:
        return r->hello.verdict == PEER_LABEL     ? "it is of another cluster (cluster_name)"
               : r->hello.verdict == PEER_VERSION ? "it speaks another version"
                                                  : "it refuses";
    }
    return "";
}

static void
gossip_on_ended(void *arg, const struct talks_result *r)
{
    struct gossip *g = arg;
    bool failed = r->end == TALKS_FAILED;
    char place[PLACE_TEXT_MAX];
    struct control_out out;

    if (r->end == TALKS_DONE) {
        if (r->purpose == PEER_PROBE) {
            control_tcp_ack(g->control, r->id, g->config.loop->now, &out);
            gossip_do(g, &out);
        }
        return;
    }
    if (r->end == TALKS_REFUSED && r->hello.verdict == PEER_SELF) {
        if (r->hello.nonce != g->self.nonce) {
            double_log(g, &r->addr);
        }
        return;
    }
    if (r->purpose != PEER_SYNC) {
        return;
    }
    metric_add(&g->config.node->shared, M_CLUSTER_SYNC_FAILS, 1);
    if (log_is_due(g, failed ? &g->fail_next : &g->wrong_next)) {
        log_line(failed ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                 "cluster: %s cannot be asked: %s; it is tried again", place_print(&r->addr, place),
                 failure_text(r));
    }
    if (g->seeds != NULL && g->config.loop->now >= g->refresh_next) {
        g->refresh_next = g->config.loop->now + USEC_PER_SEC;
        seeds_refresh(g->seeds);
    }
}

static const struct talks_ops gossip_talks = {
    .data = gossip_on_data,
    .synced = gossip_on_synced,
    .state = gossip_on_state,
    .odd = gossip_on_odd,
    .ended = gossip_on_ended,
};

/* -- news from other threads ------------------------------------------------------------------- */

/* In the thread of the resolver. */
static void
gossip_on_seeds(void *arg)
{
    struct gossip *g = arg;

    ev_async_send(g->config.loop->ev, &g->news);
}

void
gossip_evidence(struct gossip *g, node_id id, bool on)
{
    if (g == NULL) {
        return;
    }
    pthread_mutex_lock(&g->lock);
    if (g->evidence_count < GOSSIP_EVIDENCE_MAX) {
        g->evidence[g->evidence_count++] = (struct evidence){ .id = id, .on = on };
    }
    pthread_mutex_unlock(&g->lock);
    ev_async_send(g->config.loop->ev, &g->news);
}

static void
evidence_take(struct gossip *g)
{
    struct evidence taken[GOSSIP_EVIDENCE_MAX];
    struct control_out out;
    size_t count;

    pthread_mutex_lock(&g->lock);
    count = g->evidence_count;
    memcpy(taken, g->evidence, count * sizeof *taken);
    g->evidence_count = 0;
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < count; i++) {
        if (taken[i].on) {
            control_heard(g->control, taken[i].id, g->config.loop->now, &out);
        } else {
            control_doubted(g->control, taken[i].id, g->config.loop->now, &out);
        }
        gossip_do(g, &out);
    }
}

static void
seeds_take(struct gossip *g)
{
    struct cluster_addr addr[SEEDS_MAX];
    struct control_out out;
    bool news;
    size_t count = seeds_get(g->seeds, addr, &news);

    if (news) {
        log_line(LOG_LEVEL_INFO, "cluster: %zu addresses of seeds", count);
        control_seeds(g->control, addr, count, g->config.loop->now, &out);
        gossip_do(g, &out);
    }
}

static void
gossip_on_news(struct ev_loop *ev, struct ev_async *w, int events)
{
    struct gossip *g = w->data;

    (void)ev;
    (void)events;
    evidence_take(g);
    if (g->seeds != NULL) {
        seeds_take(g);
    }
}

/* -- who we are -------------------------------------------------------------------------------- */

/* Our address on the way to a seed, to one elsewhere if there is any. */
static bool
address_by_seeds(struct gossip *g, struct cluster_addr *ret)
{
    struct cluster_addr addr[SEEDS_MAX];
    bool news, found = false;
    size_t count;

    if (g->seeds == NULL) {
        return false;
    }
    seeds_wait(g->seeds, GOSSIP_ADDRESS_WAIT);
    count = seeds_get(g->seeds, addr, &news);
    for (size_t i = 0; i < count; i++) {
        struct cluster_addr a;

        if ((!found || place_is_loopback(ret)) && place_towards(&addr[i], &a)) {
            *ret = a;
            found = true;
        }
    }
    return found;
}

/* How others reach us. */
static struct cluster_addr
address_find(struct gossip *g)
{
    struct cluster_addr a;

    if (!place_parse_ip(g->settings->net.host, &a) && !places_address(&g->places, &a) &&
        !address_by_seeds(g, &a) && !place_outward(&a)) {
        (void)place_parse_ip("127.0.0.1", &a);
    }
    a.port = (uint16_t)g->places.port;
    return a;
}

/* Names that travel between nodes and into lists are plain. */
static err_t
name_check(const char *what, const char *name, size_t max, struct err_detail *d)
{
    if (strlen(name) > max) {
        return err_set(d, ERR_RANGE, "%s has at most %zu characters", what, max);
    }
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '|') {
            return err_set(d, ERR_INVALID, "%s has a character that is not allowed", what);
        }
    }
    return ERR_OK;
}

/* The same for a node that is started again, and 0 for nobody. */
static node_id
self_id(const struct gossip *g)
{
    const char *name = g->settings->process.node_id;
    char text[CLUSTER_HOST_MAX + 16];
    node_id id;

    if (name[0] == '\0') {
        snprintf(text, sizeof text, "%s:%u", g->self.host, g->self.client_port);
        name = text;
    }
    id = hash_bytes(name, strlen(name));
    return id != 0 ? id : 1;
}

static err_t
self_make(struct gossip *g, struct err_detail *d)
{
    const struct settings *s = g->settings;
    err_t e = name_check("host", s->net.host, CLUSTER_HOST_MAX, d);
    char text[PLACE_TEXT_MAX];

    if (!e) {
        e = name_check("zone", s->cluster.zone, CLUSTER_ZONE_MAX, d);
    }
    if (e) {
        return e;
    }
    g->self.addr = address_find(g);
    snprintf(g->self.host, sizeof g->self.host, "%.63s",
             s->net.host[0] != '\0' ? s->net.host : place_print_ip(&g->self.addr, text));
    g->self.client_port = (uint16_t)g->config.client_port;
    g->self.workers = (uint16_t)s->net.threads;
    g->self.nonce = (uint64_t)clock_now();
    g->self.id = self_id(g);
    g->talks.self = (struct peer_hello){
        .version_min = CLUSTER_VERSION_MIN,
        .version_max = CLUSTER_VERSION,
        .label = gossip_label(s->cluster.cluster_name),
        .from = g->self.id,
        .nonce = g->self.nonce,
    };
    return ERR_OK;
}

/* Where we look for others; a node that is to be the first may have none. */
static err_t
seeds_open(struct gossip *g, struct err_detail *d)
{
    struct seeds_config config = {
        .list = g->settings->cluster.join,
        .port = g->settings->cluster.cluster_port < 0 ? GOSSIP_PORT_DEFAULT
                                                      : (uint16_t)g->places.port,
        .interval = gossip_scale(g, GOSSIP_SEEDS_EVERY),
        .changed = gossip_on_seeds,
        .arg = g,
    };

    return config.list[0] == '\0' ? ERR_OK : seeds_start(&config, &g->seeds, d);
}

/* -- from outside ------------------------------------------------------------------------------ */

static void
gossip_on_left(struct ev_loop *ev, struct ev_timer *w, int events)
{
    struct gossip *g = w->data;

    (void)ev;
    (void)events;
    g->config.left(g->config.arg);
}

static err_t
watchers_init(struct gossip *g)
{
    err_t e = talks_open(&g->talks, g->config.loop, &gossip_talks, g);

    g->talks.patience = gossip_scale(g, USEC_PER_SEC);
    ev_timer_init(&g->wake, gossip_on_wake, 0., 0.);
    g->wake.data = g;
    ev_timer_init(&g->leaving, gossip_on_left, 0., 0.);
    g->leaving.data = g;
    ev_async_init(&g->news, gossip_on_news);
    g->news.data = g;
    ev_async_start(g->config.loop->ev, &g->news);
    return e;
}

err_t
gossip_new(const struct gossip_config *config, struct gossip **ret, struct err_detail *d)
{
    struct gossip *g = calloc(1, sizeof *g);
    struct control_config control = { .metrics = &config->node->shared };
    err_t e;

    if (g == NULL) {
        return err_set(d, ERR_NOMEM, "out of memory for the cluster");
    }
    g->config = *config;
    g->settings = config->node->settings;
    pthread_mutex_init(&g->lock, NULL);
    e = watchers_init(g) == ERR_OK ? ERR_OK : err_set(d, ERR_NOMEM, "no descriptors are left");
    if (!e) {
        e = places_open(&g->places, g->settings, config->client_port, d);
    }
    if (!e) {
        e = seeds_open(g, d);
    }
    if (!e) {
        e = self_make(g, d);
    }
    if (!e) {
        control.settings = g->settings;
        control.self = g->self;
        control.seed = g->self.nonce ^ g->self.id ^ (uint64_t)clock_nsec() << 20;
        g->control = control_new(&control, clock_now());
        e = g->control != NULL ? ERR_OK : err_set(d, ERR_NOMEM, "out of memory for the cluster");
    }
    if (e) {
        gossip_stop(g);
        gossip_free(g);
        return e;
    }
    *ret = g;
    return ERR_OK;
}

void
gossip_write_ports(const struct gossip *g, FILE *out)
{
    if (g != NULL) {
        fprintf(out, "CLUSTER: %u\n", g->places.port);
    }
}

void
gossip_start(struct gossip *g, struct workers *workers)
{
    char place[PLACE_TEXT_MAX];
    struct control_out out;
    struct cluster_addr addr[SEEDS_MAX];
    bool news;

    assert(g->workers == NULL);
    g->workers = workers;
    g->config.loop->now = clock_now();
    log_line(LOG_LEVEL_INFO, "cluster: this is node %016llx of \"%s\", reached at %s",
             (unsigned long long)g->self.id, g->settings->cluster.cluster_name,
             place_print(&g->self.addr, place));
    places_start(&g->places, g->config.loop, &gossip_places, g);
    control_tick(g->control, g->config.loop->now, &out);
    gossip_do(g, &out);
    if (g->seeds != NULL) {
        size_t count = seeds_get(g->seeds, addr, &news);

        control_seeds(g->control, addr, count, g->config.loop->now, &out);
        gossip_do(g, &out);
    }
}

void
gossip_leave(struct gossip *g)
{
    struct control_out out;

    if (g->leaves || g->workers == NULL) {
        return;
    }
    g->leaves = true;
    if (control_alive(g->control) <= 1) {
        g->config.left(g->config.arg);
        return;
    }
    control_leave(g->control, clock_now(), &out);
    gossip_do(g, &out);
    ev_timer_set(&g->leaving,
                 (double)gossip_scale(g, GOSSIP_LEAVE_WAIT) / (double)USEC_PER_SEC, 0.);
    ev_timer_start(g->config.loop->ev, &g->leaving);
}

void
gossip_stop(struct gossip *g)
{
    struct ev_loop *ev;

    if (g == NULL) {
        return;
    }
    ev = g->config.loop->ev;
    seeds_stop(g->seeds);
    g->seeds = NULL;
    talks_close(&g->talks);
    places_close(&g->places);
    ev_timer_stop(ev, &g->wake);
    ev_timer_stop(ev, &g->leaving);
    ev_async_stop(ev, &g->news);
}

void
gossip_free(struct gossip *g)
{
    if (g == NULL) {
        return;
    }
    control_free(g->control);
    while (g->views != NULL) {
        struct old_view *o = g->views;

        g->views = o->next;
        view_free(o->view);
        free(o);
    }
    pthread_mutex_destroy(&g->lock);
    free(g);
}
