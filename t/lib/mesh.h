/*
 * mesh.h - a few whole nodes in memory, each with one worker, joined by links without sockets: for
 * unit tests of what crosses between nodes.
 *
 * The test says when bytes move: mesh_pump() carries everything until nothing moves any more.
 */
#pragma once
#include "drive.h"
#include "node/peers.h"
#include <stdbool.h>
#include <stddef.h>

#define MESH_MAX 5

struct mesh_wire {
    struct link    *link; /* of the calling node; NULL: not connected */
    struct session *peer; /* at the node that is called */
};

struct mesh {
    unsigned          count;
    struct drive_node node[MESH_MAX];
    struct mesh_wire  wire[MESH_MAX][MESH_MAX]; /* from, to */
    bool              cut[MESH_MAX][MESH_MAX];  /* nothing can be connected */
    bool              held[MESH_MAX][MESH_MAX]; /* bytes wait where they are */
    size_t            piece;                    /* most bytes that move at once; 0: any */
    uint64_t          view;                     /* number of the last view */
    uint64_t          frames;                   /* moves of bytes from callers so far */
    struct drive     *slow;                     /* a client that reads nothing; or NULL */
    void (*datagram)(void *driver);             /* pushes a session of datagrams; or NULL */
};

/* Nodes 0..count-1 in a ring of all of them; options as drive_node_init() has them. */
void mesh_init(struct mesh *m, unsigned count, const char *const *options);
void mesh_fini(struct mesh *m);
/* Another view for node i: in[] says who is in the ring, by place. */
void mesh_view(struct mesh *m, unsigned i, const bool in[MESH_MAX]);
/* Two of them, the first of which no worker ever sees. */
void mesh_views(struct mesh *m, unsigned i, const bool in[MESH_MAX], const bool then[MESH_MAX]);
/* Removes what node i holds of others' keys, as the upkeep thread does; false: nothing to do. */
bool mesh_sweep(struct mesh *m, unsigned i);
node_id mesh_id(unsigned i);
/* Who owns a key by the view of node i. */
unsigned mesh_owner(struct mesh *m, unsigned i, const char *key);
/* Writes into out the n-th key that begins with prefix and is owned by this node. */
void mesh_key(struct mesh *m, unsigned owner, const char *prefix, unsigned n, char out[64]);

/* A client of node i; see drive.h.  Its session is known to mesh_pump(). */
void mesh_client(struct mesh *m, unsigned i, struct drive *d);
/* Sends all of it in reads of at most cut bytes, and pumps until it is taken. */
void mesh_say(struct mesh *m, struct drive *d, const char *in, size_t len, size_t cut);

/* Connects, and moves bytes until nothing moves. */
void mesh_pump(struct mesh *m);
/* Breaks the connection from one node to another. */
void mesh_break(struct mesh *m, unsigned from, unsigned to);
/* Lets time pass on every node, and what is due happen. */
void mesh_wait(struct mesh *m, usec_t time);
