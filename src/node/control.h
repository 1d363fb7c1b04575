/*
 * control.h - what one node knows and decides about its cluster: SWIM, the ring's facts, and the
 * views made of them.  No socket, no clock.
 *
 * The driver (daemon/gossip, or the simulator) feeds it datagrams, whole states and time, and does
 * what struct control_out says: sends, exchanges whole states by TCP, logs, hands a new view to the
 * workers.  One owner thread (main).
 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "cluster/swim.h"
#include "cluster/view.h"
#include "vocab/cluster.h"
#include "vocab/metrics.h"
#include "vocab/settings.h"

struct control;

struct control_config {
    const struct settings *settings; /* kept; the section "cluster" */
    struct member_info     self;     /* id, nonce, addr, ports, host, workers; the rest is filled */
    struct metrics        *metrics;  /* the owner thread's row; kept */
    uint64_t               seed;
};

/* NULL without memory.  Gives. */
struct control *control_new(const struct control_config *config, usec_t now);
void control_free(struct control *c);

/* What happened, in words for the log, "stats" and the simulator. */
enum control_note_kind {
    CONTROL_MEMBER,    /* change, of the member named here */
    CONTROL_RING,      /* a fact about the ring was learned: op; info: the name that the node had in
                          the ring before.  Not of the end of a place that this node did not know:
                          who joins is told of all there ever were */
    CONTROL_DOUBT,     /* this node began (on) or ceased (!on) to doubt itself */
    CONTROL_PLACEMENT, /* the ring's placement is not what this node's settings say */
    CONTROL_STRANGER,  /* a packet of another cluster, or of a version that we do not speak */
    CONTROL_BAD,       /* a packet that is none */
};
struct control_note {
    enum control_note_kind kind;
    int                    change; /* enum swim_change_kind */
    bool                   on;
    node_id                from;
    struct member_info     info;
    struct ring_op         op;
    struct cluster_addr    addr;
};

struct control_datagram {
    struct cluster_addr addr;
    struct slice        bytes;
};

/* What the driver must do after a call.  Lent until the next one, but for the view. */
struct control_out {
    const struct control_datagram *send;
    size_t                         send_count;
    const struct cluster_addr     *sync; /* call these for push/pull: control_state(), then
                                            control_synced() with what comes back */
    size_t                         sync_count;
    const struct swim_tcp         *tcp;  /* probe these by TCP: control_tcp_ack() */
    size_t                         tcp_count;
    const struct control_note     *note;
    size_t                         note_count;
    struct view                   *view; /* a new one, or NULL.  Gives */
    usec_t                         wake_at;
};

void control_tick(struct control *c, usec_t now, struct control_out *out);
void control_datagram(struct control *c, const struct cluster_addr *from, struct slice bytes,
                      usec_t now, struct control_out *out);
/*
 * Push/pull.  Who calls sends a state and is answered with one; calls: it is this node who does.
 * Mostly both are a digest alone: of the same.  If not, the answer is whole, and a caller who then
 * still holds something else calls again, once, with all that it holds.
 *
 * control_state() appends a state for `to`; an answer comes right behind the control_synced() with
 * what was asked, so that it has what that changed.  False: no memory.
 */
MUST_CHECK bool control_state(struct control *c, bool calls, const struct cluster_addr *to,
                              struct buf *out);
/* Another's state came: the answer, if this node called. */
void control_synced(struct control *c, bool calls, const struct cluster_addr *from,
                    struct slice bytes, usec_t now, struct control_out *out);
void control_tcp_ack(struct control *c, node_id id, usec_t now, struct control_out *out);
/* A data link heard of a member, or gave it up (its breaker opened). */
void control_heard(struct control *c, node_id id, usec_t now, struct control_out *out);
void control_doubted(struct control *c, node_id id, usec_t now, struct control_out *out);
/* All seeds there are now, resolved. */
void control_seeds(struct control *c, const struct cluster_addr *addr, size_t count, usec_t now,
                   struct control_out *out);
/* This node leaves: takes itself off the ring and tells.  Go on driving for a second or so. */
void control_leave(struct control *c, usec_t now, struct control_out *out);
/* An operator takes a dead member off the ring.  ERR_UNKNOWN; ERR_DENIED: it is alive. */
err_t control_forget(struct control *c, node_id id, usec_t now, struct control_out *out);
/* What belonged to other nodes since the ring with this ring_number began was removed here
 * (node/strays.h): the next view has no past, if the ring is still that one. */
void control_swept(struct control *c, uint64_t ring_number, usec_t now, struct control_out *out);
/* The view that was given last; never NULL. */
const struct view *control_view(const struct control *c);
/* What this node says of itself; until it is PHASE_UP it has not looked for others long enough. */
enum member_phase control_phase(const struct control *c);
/* How many members are alive or only suspected, this node included. */
size_t control_alive(const struct control *c);
