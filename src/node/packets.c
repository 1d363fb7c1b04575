#include "node/packets.h"
#include "node/worker.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct packets {
    struct worker  *worker;
    struct session *session;
    unsigned        id;      /* of the request */
    unsigned        owed;    /* datagrams that answer it, so far */
    unsigned        total;   /* datagrams of the answer that is being sent; 0: none is */
    unsigned        next;    /* the number of the next one */
    size_t          sending; /* bytes of data in it */
    bool            awaits;  /* the last command was sent to other nodes; they may have answered */
    unsigned char   in[PACKETS_HEADER];
    unsigned char   out[PACKETS_HEADER];
    char            flat[PACKETS_DATA]; /* data that lies in more than a few pieces */
};

struct packets *
packets_new(struct worker *w, struct conn_row *row)
{
    struct packets *p = calloc(1, sizeof *p);

    assert(w);
    if (p) {
        p->worker = w;
        p->session = session_new_datagram(w, row);
        if (!p->session) {
            free(p);
            return NULL;
        }
    }
    return p;
}

void
packets_set_driver(struct packets *p, void *driver)
{
    session_set_driver(p->session, driver);
}

void
packets_free(struct packets *p)
{
    if (p) {
        session_free(p->session);
        free(p);
    }
}

static unsigned
number_read(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void
number_write(unsigned char *at, unsigned n)
{
    assert(n <= 0xffff);
    at[0] = (unsigned char)(n >> 8);
    at[1] = (unsigned char)n;
}

/* The request is done with. */
static void
packets_end(struct packets *p)
{
    p->total = 0;
    p->awaits = false;
    session_reset(p->session);
}

/* The answer is sent or lost: the request ends here if there are no more commands. */
static void
answer_end(struct packets *p)
{
    p->total = 0;
    if (p->owed >= PACKETS_ENOUGH || !session_has_work(p->session)) {
        packets_end(p);
    }
}

/* Numbers what was answered just now. */
static void
answer_begin(struct packets *p)
{
    size_t bytes = session_tx_bytes(p->session);
    size_t total = bytes / PACKETS_DATA + (bytes % PACKETS_DATA > 0);

    if (total > PACKETS_MAX) {
        session_tx_drop(p->session);
        total = 0;
    }
    p->owed += (unsigned)total;
    p->total = (unsigned)total;
    p->next = 0;
    if (total == 0) {
        answer_end(p);
    }
}

/* Some commands were executed: the answer is here, or others owe it. */
static void
packets_settle(struct packets *p)
{
    p->awaits = session_awaits(p->session);
    if (!p->awaits) {
        answer_begin(p);
    }
}

void
packets_rx_space(struct packets *p, struct iovec iov[2])
{
    assert(p->total == 0 && !p->awaits && !packets_has_work(p));
    iov[0] = (struct iovec){ .iov_base = p->in, .iov_len = sizeof p->in };
    iov[1] = session_rx_space(p->session);
}

void
packets_rx(struct packets *p, size_t n, usec_t now)
{
    assert(p->total == 0 && !p->awaits && !packets_has_work(p));
    if (n <= PACKETS_HEADER) {
        return;
    }
    metric_add(&p->worker->metrics, M_BYTES_READ, PACKETS_HEADER);
    if (number_read(p->in + 4) != 1) {
        metric_add(&p->worker->metrics, M_BYTES_READ, (int64_t)(n - PACKETS_HEADER));
        return;
    }
    /* Neither the sequence number nor the reserved bytes are looked at, as in memcached. */
    p->id = number_read(p->in);
    p->owed = 0;
    session_rx(p->session, n - PACKETS_HEADER, now);
    packets_settle(p);
}

bool
packets_awaits(const struct packets *p)
{
    return p->awaits && session_awaits(p->session);
}

bool
packets_has_work(const struct packets *p)
{
    if (p->awaits) {
        return !session_awaits(p->session);
    }
    return p->total == 0 && session_has_work(p->session);
}

void
packets_resume(struct packets *p, usec_t now)
{
    if (!packets_has_work(p)) {
        return;
    }
    /* What others have answered is numbered first, unless the command has more to say to it. */
    if (!p->awaits || session_is_begun(p->session)) {
        session_resume(p->session, now);
    }
    packets_settle(p);
}

/* The data of the next datagram in one piece, for it lies in more than can be sent at once; each
 * is a byte at least. */
static struct iovec
packets_flatten(struct packets *p)
{
    struct iovec iov[PACKETS_DATA];
    int count = session_tx(p->session, iov, PACKETS_DATA);
    size_t used = 0;

    for (int i = 0; i < count && used < PACKETS_DATA; i++) {
        size_t left = PACKETS_DATA - used, n = iov[i].iov_len < left ? iov[i].iov_len : left;

        memcpy(p->flat + used, iov[i].iov_base, n);
        used += n;
    }
    return (struct iovec){ .iov_base = p->flat, .iov_len = used };
}

int
packets_tx(struct packets *p, struct iovec iov[PACKETS_SPANS])
{
    size_t left = PACKETS_DATA;
    int count, used = 0;

    if (p->total == 0) {
        return 0;
    }
    number_write(p->out, p->id);
    number_write(p->out + 2, p->next);
    number_write(p->out + 4, p->total);
    number_write(p->out + 6, 0);
    iov[0] = (struct iovec){ .iov_base = p->out, .iov_len = sizeof p->out };
    count = session_tx(p->session, iov + 1, PACKETS_SPANS - 1);
    while (used < count && left > 0) {
        struct iovec *span = &iov[++used];

        span->iov_len = span->iov_len < left ? span->iov_len : left;
        left -= span->iov_len;
    }
    if (left > 0 && count == PACKETS_SPANS - 1) {
        /* Rare: another node has sent the answer in crumbs. */
        iov[1] = packets_flatten(p);
        left = PACKETS_DATA - iov[1].iov_len;
        used = 1;
    }
    p->sending = PACKETS_DATA - left;
    /* Only the last one is not full. */
    assert(p->sending > 0 && (left == 0 || p->next + 1 == p->total));
    return 1 + used;
}

void
packets_tx_done(struct packets *p)
{
    assert(p->total > 0);
    metric_add(&p->worker->metrics, M_BYTES_WRITTEN, PACKETS_HEADER);
    session_tx_done(p->session, p->sending);
    if (++p->next == p->total) {
        answer_end(p);
    }
}

void
packets_tx_drop(struct packets *p)
{
    assert(p->total > 0);
    session_tx_drop(p->session);
    answer_end(p);
}

void
packets_park(struct packets *p)
{
    bool endless = packets_awaits(p) &&
                   session_tx_bytes(p->session) > (size_t)PACKETS_MAX * PACKETS_DATA;

    if (endless || !session_park(p->session)) {
        packets_end(p);
    }
}
