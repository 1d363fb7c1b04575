#include "daemon/notes.h"
#include "base/log.h"
#include "daemon/place.h"

#include <stdio.h>

#define NAME_MAX_BYTES 160

/* "host:port (id)", or only the id if nothing else is known. */
static const char *
member_name(const struct member_info *m, char out[NAME_MAX_BYTES])
{
    char client[CLUSTER_NAME_MAX];

    if (m->host[0] == '\0') {
        snprintf(out, NAME_MAX_BYTES, "node %016llx", (unsigned long long)m->id);
    } else {
        snprintf(out, NAME_MAX_BYTES, "node %s (%016llx)",
                 cluster_name_print(m->host, m->client_port, client), (unsigned long long)m->id);
    }
    return out;
}

/* What the view says of a node's name, or its id. */
static const char *
id_name(const struct control *c, node_id id, char out[NAME_MAX_BYTES])
{
    const struct view *v = control_view(c);
    uint16_t i = view_find(v, id);

    if (i == VIEW_NOBODY) {
        return member_name(&(struct member_info){ .id = id }, out);
    }
    return member_name(&v->node[i].info, out);
}

static const char *
phase_name(unsigned phase)
{
    static const char *const name[] = {
        [PHASE_JOINING] = "joining",   [PHASE_SYNCING] = "syncing", [PHASE_UP] = "up",
        [PHASE_DRAINING] = "draining", [PHASE_LEFT] = "left",
    };

    return phase <= PHASE_LEFT ? name[phase] : "unknown";
}

/* For the end of a line. */
static unsigned
members_alive(const struct control *c)
{
    return (unsigned)control_alive(c);
}

static void
member_log(const struct control *c, const struct control_note *n)
{
    char name[NAME_MAX_BYTES], from[NAME_MAX_BYTES], place[PLACE_TEXT_MAX];
    const char *who = member_name(&n->info, name);

    switch ((enum swim_change_kind)n->change) {
    case SWIM_JOINED:
        log_line(LOG_LEVEL_INFO, "cluster: %s joined from %s, %u members", who,
                 place_print(&n->info.addr, place), members_alive(c));
        return;
    case SWIM_CHANGED:
        log_line(LOG_LEVEL_INFO, "cluster: %s is %s now, weight %u, at %s", who,
                 phase_name(n->info.phase), n->info.weight, place_print(&n->info.addr, place));
        return;
    case SWIM_SUSPECTED:
        log_line(LOG_LEVEL_INFO, "cluster: %s does not answer, says %s; it has time to object", who,
                 id_name(c, n->from, from));
        return;
    case SWIM_REFUTED:
        log_line(LOG_LEVEL_INFO, "cluster: %s is alive after all", who);
        return;
    case SWIM_DIED:
        log_line(LOG_LEVEL_WARNING,
                 "cluster: %s is dead, says %s; its keys are misses until it is back, %u members",
                 who, id_name(c, n->from, from), members_alive(c));
        return;
    case SWIM_RETURNED:
        /* Of whom a warning said that it is dead, one says that it is back. */
        log_line(n->from == n->info.id ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                 "cluster: %s is back, %u members", who, members_alive(c));
        return;
    case SWIM_LEFT:
        log_line(LOG_LEVEL_INFO, "cluster: %s left, %u members", who, members_alive(c));
        return;
    case SWIM_FORGOTTEN:
        log_line(LOG_LEVEL_INFO, "cluster: %s is not asked for any more", who);
        return;
    case SWIM_ACCUSED:
        log_line(LOG_LEVEL_WARNING,
                 "cluster: this node was held for dead by %s, and objected; is it overloaded, or "
                 "does a firewall drop UDP?", id_name(c, n->from, from));
        return;
    case SWIM_CONFLICT:
        log_line(LOG_LEVEL_ERROR,
                 "cluster: there are two of %s, another at %s; the later one stays out, give each "
                 "its own node_id", who, place_print(&n->addr, place));
        return;
    case SWIM_REFUSED:
        log_line(LOG_LEVEL_ERROR, "cluster: %s refused, there are %u members already", who,
                 members_alive(c));
        return;
    }
}

static void
ring_log(const struct control *c, const struct control_note *n)
{
    static const char *const placement[] = {
        [RING_NATIVE] = "native", [RING_KETAMA_WEIGHTED] = "ketama-weighted",
        [RING_KETAMA_OAT] = "ketama-oat",
    };
    char name[NAME_MAX_BYTES], from[NAME_MAX_BYTES], client[CLUSTER_NAME_MAX];
    const struct ring_op *op = &n->op;
    bool known = op->placement <= RING_KETAMA_OAT;

    switch (op->kind) {
    case RING_OP_MEMBER:
        log_line(LOG_LEVEL_INFO, "ring: node %s (%016llx) has a place, weight %u",
                 cluster_name_print(op->host, op->client_port, client),
                 (unsigned long long)op->node, op->weight);
        return;
    case RING_OP_REMOVED:
        log_line(op->node == op->proposer ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                 "ring: %s has no place any more, says %s; its keys move to the others",
                 member_name(&n->info, name),
                 op->node == op->proposer ? "itself" : id_name(c, op->proposer, from));
        return;
    case RING_OP_PLACEMENT:
        log_line(n->kind == CONTROL_PLACEMENT ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
                 "ring: keys are placed as %s%s", known ? placement[op->placement] : "unknown",
                 n->kind == CONTROL_PLACEMENT
                     ? ", which is not what this node's settings say; the cluster's word counts"
                     : "");
        return;
    }
}

void
notes_log(const struct control *c, const struct control_note *n)
{
    char place[PLACE_TEXT_MAX];

    switch (n->kind) {
    case CONTROL_MEMBER:
        member_log(c, n);
        return;
    case CONTROL_RING:
    case CONTROL_PLACEMENT:
        ring_log(c, n);
        return;
    case CONTROL_DOUBT:
        log_line(LOG_LEVEL_WARNING, n->on
                     ? "cluster: this node doubts itself, too many others seem to be gone; it does "
                       "not judge them"
                     : "cluster: this node does not doubt itself any more");
        return;
    case CONTROL_STRANGER:
        log_line(LOG_LEVEL_WARNING,
                 "cluster: a packet from %s is of another cluster or version, ignored",
                 place_print(&n->addr, place));
        return;
    case CONTROL_BAD:
        log_line(LOG_LEVEL_WARNING, "cluster: a packet from %s is malformed, ignored",
                 place_print(&n->addr, place));
        return;
    }
}
