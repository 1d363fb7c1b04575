#include "node/conns.h"
#include "base/spin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Rows are allocated in blocks of doubling size and stay where they are, so that a worker may
 * write to its row while the registry grows.
 */
#define BLOCK_FIRST 64u
#define BLOCKS_MAX  26
#define COPY_MAX    64u /* rows looked at in one hold of the lock */

struct conns {
    struct spin      lock;
    struct conn_row *block[BLOCKS_MAX];
    unsigned         blocks;
    uint64_t         rows;  /* ever handed out; they fill the blocks in order */
    uint64_t         room;  /* in all blocks */
    struct conn_row *spare;
};

static uint64_t
block_rows(unsigned index)
{
    return (uint64_t)BLOCK_FIRST << index;
}

struct conns *
conns_new(void)
{
    return calloc(1, sizeof(struct conns));
}

void
conns_free(struct conns *c)
{
    if (!c) {
        return;
    }
    for (unsigned i = 0; i < c->blocks; i++) {
        free(c->block[i]);
    }
    free(c);
}

/* A row nobody uses; NULL without memory.  Locked. */
static struct conn_row *
row_take(struct conns *c)
{
    struct conn_row *row = c->spare;

    if (row) {
        c->spare = row->next_free;
        return row;
    }
    if (c->rows == c->room) {
        if (c->blocks == BLOCKS_MAX) {
            return NULL;
        }
        c->block[c->blocks] = calloc(block_rows(c->blocks), sizeof *row);
        if (!c->block[c->blocks]) {
            return NULL;
        }
        c->room += block_rows(c->blocks++);
    }
    row = &c->block[c->blocks - 1][c->rows - (c->room - block_rows(c->blocks - 1))];
    c->rows++;
    assert(c->rows <= c->room);
    return row;
}

struct conn_row *
conns_open(struct conns *c, int fd, const struct conn_addr *peer, const struct conn_addr *local,
           usec_t now)
{
    struct conn_row *row;

    assert(c && peer && local);
    spin_lock(&c->lock);
    row = row_take(c);
    if (row) {
        row->fd = fd;
        row->peer = *peer;
        row->local = *local;
        row->next_free = NULL;
        atomic_store_explicit(&row->state, CONN_NEW_CMD, memory_order_relaxed);
        atomic_store_explicit(&row->last_cmd, now, memory_order_relaxed);
        row->open = true;
    }
    spin_unlock(&c->lock);
    return row;
}

void
conns_close(struct conns *c, struct conn_row *row)
{
    assert(c && row);
    spin_lock(&c->lock);
    assert(row->open);
    row->open = false;
    atomic_store_explicit(&row->state, CONN_CLOSED, memory_order_relaxed);
    row->next_free = c->spare;
    c->spare = row;
    spin_unlock(&c->lock);
}

uint64_t
conns_rows(struct conns *c)
{
    uint64_t rows;

    spin_lock(&c->lock);
    rows = c->rows;
    spin_unlock(&c->lock);
    return rows;
}

/*
 * Copies up to COPY_MAX open rows, from row number *at on, which becomes the number behind them;
 * how many.  Field by field: a worker may be writing to the atomic ones.
 */
static unsigned
rows_copy(struct conns *c, uint64_t *at, struct conn_row copy[COPY_MAX])
{
    unsigned count = 0;

    spin_lock(&c->lock);
    for (unsigned looked = 0; *at < c->rows && looked < COPY_MAX; looked++, (*at)++) {
        /* Block b starts at row FIRST * (2^b - 1). */
        unsigned b = 63u - (unsigned)__builtin_clzll(*at / BLOCK_FIRST + 1);
        const struct conn_row *row = &c->block[b][*at + BLOCK_FIRST - block_rows(b)];

        assert(b < c->blocks);
        if (!row->open) {
            continue;
        }
        copy[count].fd = row->fd;
        copy[count].open = true;
        copy[count].peer = row->peer;
        copy[count].local = row->local;
        copy[count].next_free = NULL;
        atomic_init(&copy[count].state, atomic_load_explicit(&row->state, memory_order_relaxed));
        atomic_init(&copy[count].last_cmd,
                    atomic_load_explicit(&row->last_cmd, memory_order_relaxed));
        count++;
    }
    spin_unlock(&c->lock);
    return count;
}

void
conns_each(struct conns *c, void (*each)(void *arg, const struct conn_row *row), void *arg)
{
    struct conn_row copy[COPY_MAX];
    uint64_t at = 0, end = conns_rows(c);

    assert(each);
    /* Up to the rows of now: those that are opened meanwhile must not keep us here. */
    while (at < end) {
        unsigned count = rows_copy(c, &at, copy);

        for (unsigned i = 0; i < count; i++) {
            each(arg, &copy[i]);
        }
    }
}

/* -- addresses --------------------------------------------------------------------------------- */

/* The longest run of zero groups, two at least, which is written "::".  *len 0: none. */
static unsigned
zero_run(const uint16_t group[8], unsigned *len)
{
    unsigned best = 0;

    *len = 0;
    for (unsigned i = 0; i < 8;) {
        unsigned n = 0;

        while (i + n < 8 && group[i + n] == 0) {
            n++;
        }
        if (n > 1 && n > *len) {
            best = i;
            *len = n;
        }
        i += n > 0 ? n : 1;
    }
    return best;
}

/* An IPv6 address as RFC 5952 wants it; inet_ntop() is the socket library's. */
static void
ip6_print(const uint8_t ip[16], char *out, size_t size)
{
    uint16_t group[8];
    unsigned run, run_len;
    size_t at = 0;

    for (unsigned i = 0; i < 8; i++) {
        group[i] = (uint16_t)(ip[2 * i] << 8 | ip[2 * i + 1]);
    }
    run = zero_run(group, &run_len);
    assert(size >= 40);
    for (unsigned i = 0; i < 8; i++) {
        if (run_len > 0 && i == run) {
            at += (size_t)snprintf(out + at, size - at, "::");
            i += run_len - 1;
            continue;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%x",
                               i > 0 && out[at - 1] != ':' ? ":" : "", group[i]);
    }
}

void
conn_ip_print(const struct conn_addr *a, char *out)
{
    const uint8_t *ip = a->u.ip;

    assert(a->kind >= CONN_TCP && a->kind <= CONN_UDP6);
    if (a->kind == CONN_TCP6 || a->kind == CONN_UDP6) {
        ip6_print(ip, out, CONN_IP_TEXT);
    } else {
        snprintf(out, CONN_IP_TEXT, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
    }
}

void
conn_addr_print(const struct conn_addr *a, char *out, size_t size)
{
    static const char *const kind[] = {
        [CONN_TCP] = "tcp", [CONN_TCP6] = "tcp6", [CONN_UDP] = "udp", [CONN_UDP6] = "udp6",
    };
    char ip[CONN_IP_TEXT];

    assert(a && out && size > 0);
    switch (a->kind) {
    case CONN_NONE:
        snprintf(out, size, "unknown");
        break;
    case CONN_TCP:
    case CONN_UDP:
        conn_ip_print(a, ip);
        snprintf(out, size, "%s:%s:%u", kind[a->kind], ip, a->port);
        break;
    case CONN_TCP6:
    case CONN_UDP6:
        conn_ip_print(a, ip);
        snprintf(out, size, "%s:[%s]:%u", kind[a->kind], ip, a->port);
        break;
    case CONN_UNIX:
        snprintf(out, size, "unix:%s", a->u.path ? a->u.path : "");
        break;
    }
}
