#include "cluster/view.h"
#include "node/conns.h"
#include "node/peer_rows.h"
#include "node/stats.h"

#include <stdio.h>

/* "1.2.3.4:5" */
static void
place_print(const struct cluster_addr *a, char *out, size_t size)
{
    static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };
    struct conn_addr c = { .kind = CONN_TCP6, .port = a->port };
    bool v4 = memcmp(a->ip, v4_prefix, sizeof v4_prefix) == 0;
    char ip[CONN_IP_TEXT];

    if (v4) {
        c.kind = CONN_TCP;
        memcpy(c.u.ip, a->ip + 12, 4);
    } else {
        memcpy(c.u.ip, a->ip, 16);
    }
    conn_ip_print(&c, ip);
    snprintf(out, size, v4 ? "%s:%u" : "[%s]:%u", ip, a->port);
}

static const char *
phase_text(unsigned phase)
{
    static const char *const text[] = {
        [PHASE_JOINING] = "joining",   [PHASE_SYNCING] = "syncing", [PHASE_UP] = "up",
        [PHASE_DRAINING] = "draining", [PHASE_LEFT] = "left",
    };

    return phase <= PHASE_LEFT ? text[phase] : "unknown";
}

static const char *
state_text(enum member_state state)
{
    static const char *const text[] = {
        [MEMBER_ALIVE] = "alive", [MEMBER_SUSPECT] = "suspect", [MEMBER_DEAD] = "dead",
        [MEMBER_LEFT] = "left",
    };

    return text[state];
}

static const char *
placement_text(enum ring_placement p)
{
    static const char *const text[] = {
        [RING_NATIVE] = "native", [RING_KETAMA_WEIGHTED] = "ketama-weighted",
        [RING_KETAMA_OAT] = "ketama-oat",
    };

    return text[p];
}

static void
emit_hex(struct stats_sink *s, const char *key, uint64_t value)
{
    char text[17];

    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    stats_emit(s, key, text);
}

/* A row of one node: "ID:name value". */
static void
emit_of_node(struct stats_sink *s, node_id id, const char *name, const char *value)
{
    char key[128];

    snprintf(key, sizeof key, "%016llx:%s", (unsigned long long)id, name);
    stats_emit(s, key, value);
}

static void
emit_number_of_node(struct stats_sink *s, node_id id, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    emit_of_node(s, id, name, text);
}

/* Names the node, as clients know it. */
static void
emit_client_of_node(struct stats_sink *s, const struct member_info *m)
{
    char text[CLUSTER_NAME_MAX];

    emit_of_node(s, m->id, "client", cluster_name_print(m->host, m->client_port, text));
}

/* -- stats cluster ----------------------------------------------------------------------------- */

/* Figures that are counted since the start, or the last "stats reset". */
static const struct {
    const char *name;
    enum metric id;
} cluster_figures[] = {
    { "awareness", M_CLUSTER_AWARENESS },     { "joined", M_CLUSTER_JOINED },
    { "suspected", M_CLUSTER_SUSPECTED },     { "refuted", M_CLUSTER_REFUTED },
    { "died", M_CLUSTER_DIED },               { "returned", M_CLUSTER_RETURNED },
    { "left", M_CLUSTER_LEFT },               { "forgotten", M_CLUSTER_FORGOTTEN },
    { "accused", M_CLUSTER_ACCUSED },         { "conflicts", M_CLUSTER_CONFLICTS },
    { "refused", M_CLUSTER_REFUSED },         { "syncs", M_CLUSTER_SYNCS },
    { "sync_failures", M_CLUSTER_SYNC_FAILS },
    { "gossip_packets_in", M_GOSSIP_IN },     { "gossip_packets_out", M_GOSSIP_OUT },
    { "gossip_bytes_in", M_GOSSIP_IN_BYTES }, { "gossip_bytes_out", M_GOSSIP_OUT_BYTES },
    { "gossip_bad", M_GOSSIP_BAD },           { "gossip_strangers", M_GOSSIP_STRANGERS },
    { "gossip_unsent", M_GOSSIP_UNSENT },
    { "forwarded", M_FORWARDED },             { "coalesced", M_COALESCED },
    { "served", M_SERVED },
    { "forward_misses", M_FORWARD_MISSES },   { "forward_errors", M_FORWARD_ERRORS },
    { "forward_timeouts", M_FORWARD_TIMEOUTS },
    { "forward_retries", M_FORWARD_RETRIES }, { "not_owner", M_NOT_OWNER },
    { "strays", M_STRAYS },                   { "breaker_opened", M_BREAKER_OPENED },
};

static void
cluster_emit_figures(struct stats_sink *s)
{
    struct node *n = s->worker->node;
    struct metrics_sum now, base;

    node_metrics(n, &now);
    stats_baseline(n, &base);
    for (size_t i = 0; i < sizeof cluster_figures / sizeof cluster_figures[0]; i++) {
        stats_emit_number(s, cluster_figures[i].name,
                          metrics_since(&now, &base, cluster_figures[i].id));
    }
}

static void
cluster_emit_member(struct stats_sink *s, const struct view_node *m)
{
    usec_t now = s->worker->now;
    node_id id = m->info.id;
    char text[64];

    emit_client_of_node(s, &m->info);
    place_print(&m->info.addr, text, sizeof text);
    emit_of_node(s, id, "cluster", text);
    emit_of_node(s, id, "state", state_text(m->state));
    emit_of_node(s, id, "phase", phase_text(m->info.phase));
    emit_number_of_node(s, id, "since",
                        now > m->since ? (int64_t)((now - m->since) / USEC_PER_SEC) : 0);
    emit_of_node(s, id, "in_ring", m->in_ring ? "yes" : "no");
    emit_of_node(s, id, "acts", m->acts ? "yes" : "no");
    emit_number_of_node(s, id, "weight", m->info.weight);
    emit_of_node(s, id, "zone", m->info.zone[0] != '\0' ? m->info.zone : "-");
    emit_number_of_node(s, id, "workers", m->info.workers);
    emit_number_of_node(s, id, "version", m->info.version_max);
}

void
stats_cluster_emit(struct stats_sink *s)
{
    const struct view *v = s->worker->view;
    int64_t count[MEMBER_LEFT + 1] = { 0 }, acting = 0;

    if (!v) {
        stats_emit(s, "cluster", "no");
        return;
    }
    for (uint16_t i = 0; i < v->count; i++) {
        count[v->node[i].state]++;
        acting += v->node[i].acts;
    }
    stats_emit(s, "cluster", "yes");
    stats_emit(s, "name", s->worker->node->settings->cluster.cluster_name);
    if (v->self != VIEW_NOBODY) {
        emit_hex(s, "self", v->node[v->self].info.id);
        stats_emit(s, "phase", phase_text(v->node[v->self].info.phase));
    }
    stats_emit_number(s, "view", (int64_t)v->number);
    stats_emit(s, "sweeping", view_has_past(v) ? "yes" : "no");
    stats_emit_number(s, "members", v->count);
    /* Who is suspected has not been buried: the others still count on it. */
    stats_emit_number(s, "alive", count[MEMBER_ALIVE] + count[MEMBER_SUSPECT]);
    stats_emit_number(s, "suspect", count[MEMBER_SUSPECT]);
    stats_emit_number(s, "dead", count[MEMBER_DEAD] + count[MEMBER_LEFT]);
    stats_emit_number(s, "acting", acting);
    stats_emit_number(s, "ring_ops", v->ring_ops);
    emit_hex(s, "ring_digest", v->ring_digest);
    stats_emit(s, "placement", placement_text(v->placement));
    cluster_emit_figures(s);
    for (uint16_t i = 0; i < v->count; i++) {
        cluster_emit_member(s, &v->node[i]);
    }
}

/* -- stats ring -------------------------------------------------------------------------------- */

void
stats_ring_emit(struct stats_sink *s)
{
    const struct view *v = s->worker->view;
    int64_t nodes = 0;
    char text[24];

    if (!v) {
        stats_emit(s, "cluster", "no");
        return;
    }
    for (uint16_t i = 0; i < v->count; i++) {
        nodes += v->node[i].in_ring;
    }
    stats_emit(s, "placement", placement_text(v->placement));
    stats_emit_number(s, "nodes", nodes);
    stats_emit_number(s, "points", (int64_t)ring_points(v->ring));
    stats_emit_number(s, "ring_ops", v->ring_ops);
    emit_hex(s, "ring_digest", v->ring_digest);
    for (uint16_t i = 0; i < v->count; i++) {
        const struct view_node *n = &v->node[i];

        if (n->in_ring) {
            emit_client_of_node(s, &n->info);
            emit_number_of_node(s, n->info.id, "weight", n->info.weight);
            snprintf(text, sizeof text, "%.4f", ring_share(v->ring, i));
            emit_of_node(s, n->info.id, "share", text);
            emit_of_node(s, n->info.id, "acts", n->acts ? "yes" : "no");
        }
    }
}

/* -- stats peers ------------------------------------------------------------------------------- */

static void
peer_emit(void *arg, const struct peer_row *row)
{
    static const struct {
        const char *name;
        enum peer_row_field field;
    } number[] = {
        { "queued_bytes", PEER_ROW_QUEUED_BYTES }, { "in_flight", PEER_ROW_IN_FLIGHT },
        { "sent", PEER_ROW_SENT },                 { "answered", PEER_ROW_ANSWERED },
        { "timeouts", PEER_ROW_TIMEOUTS },         { "retries", PEER_ROW_RETRIES },
        { "reconnects", PEER_ROW_RECONNECTS },
    };
    struct stats_sink *s = arg;
    usec_t since = peer_row_get(row, PEER_ROW_SINCE);
    char name[48];

#define PEER_NAME(word) (snprintf(name, sizeof name, "%u:%s", row->worker, word), name)
    emit_of_node(s, row->node, PEER_NAME("state"),
                 peer_row_state_text(peer_row_get(row, PEER_ROW_STATE)));
    emit_number_of_node(s, row->node, PEER_NAME("since"),
                        s->worker->now > since ? (s->worker->now - since) / USEC_PER_SEC : 0);
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        emit_number_of_node(s, row->node, PEER_NAME(number[i].name),
                            peer_row_get(row, number[i].field));
    }
    emit_of_node(s, row->node, PEER_NAME("fault"),
                 peer_row_fault_text(peer_row_get(row, PEER_ROW_FAULT)));
#undef PEER_NAME
}

void
stats_peers_emit(struct stats_sink *s)
{
    const struct view *v = s->worker->view;

    if (!v) {
        stats_emit(s, "cluster", "no");
        return;
    }
    for (uint16_t i = 0; i < v->count; i++) {
        if (i != v->self) {
            emit_client_of_node(s, &v->node[i].info);
        }
    }
    peer_rows_each(s->worker->node->peer_rows, peer_emit, s);
}
