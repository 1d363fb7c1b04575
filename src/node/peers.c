#include "node/peers.h"
#include "node/worker.h"
#include <stdlib.h>

struct peers {
    struct worker *worker;
};

struct peers *
peers_new(struct worker *w, uint64_t seed)
{
    struct peers *p = calloc(1, sizeof *p);

    (void)seed;
    if (p) {
        p->worker = w;
    }
    return p;
}

void
peers_free(struct peers *p)
{
    free(p);
}

void
peers_view(struct peers *p, const struct view *v, usec_t now)
{
    (void)p;
    (void)v;
    (void)now;
}
