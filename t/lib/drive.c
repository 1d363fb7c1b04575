#include "drive.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPANS 64

static void
drive_need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "drive: %s\n", what);
        abort();
    }
}

void
drive_node_init(struct drive_node *n, const char *const *options)
{
    static const struct node_facts facts = { .event_library = "none" };
    struct err_detail d = { "" };

    n->now = DRIVE_START;
    settings_defaults(&n->settings);
    for (; options && *options; options++) {
        char name[64];
        const char *value = strchr(*options, '=');

        drive_need(value && value - *options < (long)sizeof name, *options);
        memcpy(name, *options, (size_t)(value - *options));
        name[value - *options] = '\0';
        drive_need(settings_set(&n->settings, name, value + 1, &d) == ERR_OK, d.text);
    }
    n->node = node_new(&n->settings, &facts, n->now, &d);
    drive_need(n->node, d.text);
    n->worker = node_add_worker(n->node);
    drive_need(n->worker, "no worker");
    worker_turn(n->worker, n->now);
}

void
drive_node_fini(struct drive_node *n)
{
    node_free(n->node);
}

int64_t
drive_metric(struct drive_node *n, enum metric id)
{
    struct metrics_sum sum;

    node_metrics(n->node, &sum);
    return sum.value[id];
}

void
drive_init(struct drive *d, struct drive_node *n, enum session_accepts accepts)
{
    *d = (struct drive){ .node = n, .session = session_new(n->worker, accepts, NULL) };
    drive_need(d->session, "no session");
}

void
drive_fini(struct drive *d)
{
    session_free(d->session);
    buf_free(&d->got);
    d->session = NULL;
}

/* Lets the client read up to n bytes; returns how many there were. */
static size_t
drive_send(struct drive *d, size_t n)
{
    size_t sent = 0;

    while (sent < n) {
        struct iovec iov[SPANS];
        int count = session_tx(d->session, iov, SPANS);
        size_t now = 0;

        for (int i = 0; i < count && sent + now < n; i++) {
            size_t part = iov[i].iov_len < n - sent - now ? iov[i].iov_len : n - sent - now;

            drive_need(iov[i].iov_len > 0, "an empty span to send");
            drive_need(buf_add(&d->got, iov[i].iov_base, part), "out of memory");
            now += part;
        }
        if (count == 0) {
            break;
        }
        session_tx_done(d->session, now);
        sent += now;
    }
    return sent;
}

size_t
drive_turn(struct drive *d, const char *in, size_t len, size_t read_max, size_t send_max)
{
    size_t used = 0, sent, dirty;

    if (!d->session) {
        return 0;
    }
    if (session_has_work(d->session)) {
        session_resume(d->session, d->node->now);
    } else {
        struct iovec room = session_rx_space(d->session);

        used = room.iov_len < len ? room.iov_len : len;
        used = used < read_max ? used : read_max;
        if (used > 0) {
            memcpy(room.iov_base, in, used);
            session_rx(d->session, used, d->node->now);
        }
    }
    sent = drive_send(d, send_max);
    dirty = d->node->worker->tx_used + sent;
    d->broken = !session_park(d->session) || d->broken;
    /* Another connection's turn may come now: whoever still looks at the worker's buffers shall see
     * it. */
    memset(d->node->worker->rx, 0xa5,
           used + 4096 < WORKER_RX_BYTES ? used + 4096 : WORKER_RX_BYTES);
    memset(d->node->worker->tx, 0x5a, dirty < WORKER_TX_BYTES ? dirty : WORKER_TX_BYTES);
    if (session_is_over(d->session) || d->broken) {
        session_free(d->session);
        d->session = NULL;
    }
    return used;
}

void
drive_say(struct drive *d, const char *in, size_t len, size_t cut)
{
    size_t at = 0, before = DRIVE_ALL; /* no length that the answers can have */
    struct iovec one;

    while (d->session &&
           (at < len || session_has_work(d->session) || session_tx(d->session, &one, 1) > 0)) {
        bool had_work = session_has_work(d->session);
        size_t used = drive_turn(d, in + at, len - at, cut, DRIVE_ALL);

        at += used;
        drive_need(used > 0 || had_work || d->got.len != before || !d->session,
                   "a turn that gets nowhere");
        before = d->got.len;
    }
}
