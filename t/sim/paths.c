#include "paths.h"
#include "tcp.h"
#include <stdlib.h>
#include <string.h>

#define CLUSTER_PORT 11212

struct datagram {
    struct timer timer;
    struct paths *paths;
    struct datagram *next, *prev;
    unsigned from, to;
    size_t len;
    char bytes[];
};

void
paths_init(struct paths *p, struct world *w, unsigned sites)
{
    *p = (struct paths){ .world = w, .count = sites };
    rng_init(&p->rng, w->seed ^ UINT64_C(0x7061746873));
    p->site[sites - 1].powered = true; /* the clients */
    for (unsigned a = 0; a < sites; a++) {
        for (unsigned b = 0; b < sites; b++) {
            p->path[a][b] = (struct path){ .delay = 100, .jitter = 400 };
        }
    }
}

static void
datagram_free(struct datagram *d)
{
    timer_stop(d->paths->world, &d->timer);
    if (d->next) {
        d->next->prev = d->prev;
    }
    if (d->prev) {
        d->prev->next = d->next;
    } else {
        d->paths->datagrams = d->next;
    }
    free(d);
}

void
paths_fini(struct paths *p)
{
    while (p->datagrams) {
        datagram_free(p->datagrams);
    }
    tcp_free_all(p);
}

bool
paths_chance(struct paths *p, double share)
{
    return share > 0 && rng_unit(&p->rng) < share;
}

usec_t
path_delay(struct paths *p, unsigned from, unsigned to)
{
    const struct path *path = &p->path[from][to];

    return path->delay + (usec_t)rng_below(&p->rng, (uint64_t)path->jitter + 1);
}

static void
datagram_arrive(void *arg)
{
    struct datagram *d = arg;
    struct paths *p = d->paths;
    const struct site *s = &p->site[d->to];

    if (s->powered && s->listening && !path_is_blocked(p, d->from, d->to)) {
        world_bytes(p->world, slice_of(d->bytes, d->len));
        s->datagram(s->arg, d->from, slice_of(d->bytes, d->len));
    } else {
        p->lost++;
    }
    datagram_free(d);
}

static void
datagram_send(struct paths *p, unsigned from, unsigned to, struct slice bytes)
{
    struct datagram *d = world_alloc(sizeof *d + bytes.len);
    usec_t delay = path_delay(p, from, to);

    d->paths = p;
    d->from = from;
    d->to = to;
    d->len = bytes.len;
    memcpy(d->bytes, bytes.ptr, bytes.len);
    d->next = p->datagrams;
    if (d->next) {
        d->next->prev = d;
    }
    p->datagrams = d;
    if (paths_chance(p, p->path[from][to].reorder)) {
        delay += (usec_t)rng_below(&p->rng, 20000);
    }
    timer_init(&d->timer, datagram_arrive, d);
    timer_set(p->world, &d->timer, p->world->now + delay);
}

void
paths_datagram(struct paths *p, unsigned from, unsigned to, struct slice bytes)
{
    if (to >= p->count || bytes.len == 0) {
        return;
    }
    p->sent++;
    if (path_is_blocked(p, from, to) || paths_chance(p, p->path[from][to].loss)) {
        p->lost++;
        return;
    }
    datagram_send(p, from, to, bytes);
    if (paths_chance(p, p->path[from][to].duplicate)) {
        datagram_send(p, from, to, bytes);
    }
}

struct cluster_addr
site_addr(unsigned site)
{
    struct cluster_addr a = { .ip = { [10] = 0xff, [11] = 0xff, [12] = 10 }, .port = CLUSTER_PORT };

    a.ip[15] = (uint8_t)(site + 1);
    return a;
}

unsigned
site_of(const struct cluster_addr *addr)
{
    struct cluster_addr a;

    if (addr->ip[15] == 0 || addr->ip[15] >= SITES_MAX) {
        return SITES_MAX;
    }
    a = site_addr(addr->ip[15] - 1u);
    return memcmp(a.ip, addr->ip, sizeof a.ip) == 0 && a.port == addr->port ? addr->ip[15] - 1u
                                                                            : SITES_MAX;
}
