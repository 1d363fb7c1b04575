/*
 * packets.c - fuzzes datagrams: whatever they hold, answers are framed and nothing is left over.
 *
 * The input is a series of datagrams, each behind two bytes of length.  Two nodes at the same time
 * of day see the same ones: one through one struct packets, the other through a new one for each
 * datagram.  Statistics tell of counters that differ, so inputs that ask for them are only run.
 */
#define _GNU_SOURCE /* memmem() */
#include "drive.h"
#include "node/packets.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define SENDS_MAX 2000 /* datagrams of one request that are looked at */

/* Takes what is answered; true if it was anything. */
static bool
answers_take(struct packets *p, const uint8_t *head, struct buf *got, unsigned *sends)
{
    struct iovec iov[PACKETS_SPANS];
    unsigned number = 0, total = 0;
    int count;

    while ((count = packets_tx(p, iov)) > 0) {
        const uint8_t *out = iov[0].iov_base;
        size_t size = 0;

        assert(iov[0].iov_len == PACKETS_HEADER && count > 1);
        total = number == 0 ? (unsigned)out[4] << 8 | out[5] : total;
        assert(memcmp(out, head, 2) == 0);
        assert(((unsigned)out[2] << 8 | out[3]) == number && number < total);
        assert(((unsigned)out[4] << 8 | out[5]) == total && out[6] == 0 && out[7] == 0);
        for (int i = 0; i < count; i++) {
            size += iov[i].iov_len;
            assert(iov[i].iov_len > 0);
            if (*sends < SENDS_MAX) {
                assert(buf_add(got, iov[i].iov_base, iov[i].iov_len));
            }
        }
        assert(size <= PACKETS_HEADER + PACKETS_DATA);
        assert(size == PACKETS_HEADER + PACKETS_DATA || number + 1 == total);
        if (++*sends > SENDS_MAX) {
            packets_tx_drop(p); /* the rest would only cost time */
            return true;
        }
        packets_tx_done(p);
        number++;
    }
    assert(number == total);
    return total > 0;
}

/* One request and its answers. */
static void
ask(struct packets *p, struct drive_node *n, const uint8_t *in, size_t len, struct buf *got)
{
    struct iovec iov[2];
    size_t head = len < PACKETS_HEADER ? len : PACKETS_HEADER;
    uint8_t id[2] = { 0 };
    unsigned sends = 0;
    bool more = true;

    packets_rx_space(p, iov);
    memcpy(iov[0].iov_base, in, head);
    memcpy(iov[1].iov_base, in + head, len - head);
    memcpy(id, in, head < 2 ? head : 2);
    packets_rx(p, len, n->now);
    while (more) {
        more = answers_take(p, id, got, &sends);
        if (sends % 3 == 1) {
            packets_park(p);
        }
        if (packets_has_work(p)) {
            packets_resume(p, n->now);
            more = true;
        }
    }
    packets_park(p);
    assert(!packets_has_work(p));
}

static void
run(const uint8_t *in, size_t len, bool anew, struct buf *ret)
{
    static const char *const options[] = { "memory_limit=4m", "item_size_max=256k", NULL };
    struct drive_node n;
    struct packets *p;

    drive_node_init(&n, options);
    p = packets_new(n.worker, NULL);
    assert(p);
    while (len >= 2) {
        size_t size = (size_t)in[0] << 8 | in[1];

        size = size < len - 2 ? size : len - 2;
        size = size < 65507 ? size : 65507;
        ask(p, &n, in + 2, size, ret);
        in += 2 + size;
        len -= 2 + size;
        if (anew) {
            packets_free(p);
            p = packets_new(n.worker, NULL);
            assert(p);
        }
    }
    packets_free(p);
    assert(!worker_holder(n.worker));
    drive_node_fini(&n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct buf one = { 0 }, many = { 0 };

    run(bytes, len, false, &one);
    run(bytes, len, true, &many);
    if (memmem(bytes, len, "stats", 5) == NULL && memchr(bytes, 0x10, len) == NULL) {
        assert(one.len == many.len);
        assert(one.len == 0 || memcmp(one.ptr, many.ptr, one.len) == 0);
    }
    buf_free(&one);
    buf_free(&many);
    return 0;
}
