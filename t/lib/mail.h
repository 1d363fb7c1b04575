/*
 * mail.h - one sender of datagrams, without a socket: for unit tests of node/packets.h.
 *
 * Included once by a program, which makes mail and sets the clock.
 */
#pragma once
#include "node/packets.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define MAIL_ID 0x1234u /* of every request of ask() */

static struct packets *mail;
static const usec_t *mail_now; /* the clock of its node */

/* What was sent. */
static struct {
    char   data[PACKETS_DATA + 1];
    size_t len; /* of data */
    unsigned id, number, total, reserved;
} sent[128];
static unsigned sent_count;
static bool lossy; /* the socket takes nothing */
static bool unlooked; /* ... or more than is looked at */

/* Sends one datagram of the answer; false: there is none. */
static inline bool
send_one(void)
{
    struct iovec iov[PACKETS_SPANS];
    int count = packets_tx(mail, iov);
    const unsigned char *head = iov[0].iov_base;

    if (count == 0) {
        return false;
    }
    if (lossy) {
        packets_tx_drop(mail);
        return true;
    }
    if (unlooked) {
        packets_tx_done(mail);
        sent_count++;
        return true;
    }
    cr_assert(lt(u32, sent_count, sizeof sent / sizeof sent[0]));
    cr_assert(eq(sz, iov[0].iov_len, PACKETS_HEADER));
    sent[sent_count].id = (unsigned)head[0] << 8 | head[1];
    sent[sent_count].number = (unsigned)head[2] << 8 | head[3];
    sent[sent_count].total = (unsigned)head[4] << 8 | head[5];
    sent[sent_count].reserved = (unsigned)head[6] << 8 | head[7];
    sent[sent_count].len = 0;
    for (int i = 1; i < count; i++) {
        cr_assert(le(sz, sent[sent_count].len + iov[i].iov_len, PACKETS_DATA));
        memcpy(sent[sent_count].data + sent[sent_count].len, iov[i].iov_base, iov[i].iov_len);
        sent[sent_count].len += iov[i].iov_len;
    }
    sent[sent_count].data[sent[sent_count].len] = '\0';
    sent_count++;
    packets_tx_done(mail);
    return true;
}

/* Sends, and has it go on, until there is nothing to do. */
static inline void
turn(void)
{
    do {
        while (send_one()) {
        }
        packets_resume(mail, *mail_now);
    } while (packets_has_work(mail) || send_one());
    packets_park(mail);
}

/* One request from the first byte of its header to the end of its answers. */
static inline void
ask_raw(const char *datagram, size_t len)
{
    struct iovec iov[2];
    size_t head = len < PACKETS_HEADER ? len : PACKETS_HEADER;

    sent_count = 0;
    packets_rx_space(mail, iov);
    cr_assert(eq(sz, iov[0].iov_len, PACKETS_HEADER));
    cr_assert(ge(sz, iov[1].iov_len, 65507));
    memcpy(iov[0].iov_base, datagram, head);
    memcpy(iov[1].iov_base, datagram + head, len - head);
    packets_rx(mail, len, *mail_now);
    turn();
}

static inline void
ask(const char *text, size_t len)
{
    static char datagram[70000];

    cr_assert(le(sz, len + PACKETS_HEADER, sizeof datagram));
    memcpy(datagram, "\x12\x34\0\0\0\1\0\0", PACKETS_HEADER);
    memcpy(datagram + PACKETS_HEADER, text, len);
    ask_raw(datagram, len + PACKETS_HEADER);
}
