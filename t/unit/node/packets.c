/* memcached over datagrams, without a socket. */
#include "drive.h"
#include "mail.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

static struct drive_node n;

static void
setup(void)
{
    static const char *const options[] = { "item_size_max=8m", "memory_limit=64m",
                                           "shutdown_command=yes", NULL };

    drive_node_init(&n, options);
    mail = packets_new(n.worker, NULL);
    cr_assert(ne(ptr, mail, NULL));
    mail_now = &n.now;
}

static void
teardown(void)
{
    packets_free(mail);
    drive_node_fini(&n);
}

TestSuite(packets, .init = setup, .fini = teardown);

static void
store(const char *key, size_t len)
{
    struct buf in = { 0 };
    struct drive d;

    drive_init(&d, &n, SESSION_AUTO);
    cr_assert(buf_printf(&in, "set %s 0 0 %zu\r\n", key, len));
    cr_assert(buf_reserve(&in, len));
    memset(in.ptr + in.len, 'v', len);
    in.len += len;
    cr_assert(buf_add(&in, "\r\n", 2));
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    cr_assert(eq(sz, d.got.len, strlen("STORED\r\n")), "%.*s", (int)d.got.len, d.got.ptr);
    drive_fini(&d);
    buf_free(&in);
}

/* A client finds its answer by the id, and puts it together by number and total. */
Test(packets, an_answer_has_the_id_of_its_request)
{
    ask("version\r\n", 9);
    cr_assert(eq(u32, sent_count, 1));
    cr_expect(eq(u32, sent[0].id, 0x1234));
    cr_expect(eq(u32, sent[0].number, 0));
    cr_expect(eq(u32, sent[0].total, 1));
    cr_expect(eq(u32, sent[0].reserved, 0));
    cr_expect(eq(int, strncmp(sent[0].data, "VERSION ", 8), 0));
}

/* What is not a request is no reason to answer anything. */
Test(packets, what_is_not_one_whole_request_is_dropped)
{
    static const struct {
        const char *why, *datagram;
        size_t len;
    } row[] = {
        { "nothing", "", 0 },
        { "half a header", "\0\1\0\0", 4 },
        { "a header", "\0\1\0\0\0\1\0\0", 8 },
        { "the first of two", "\0\1\0\0\0\2\0\0version\r\n", 17 },
        { "one of none", "\0\1\0\0\0\0\0\0version\r\n", 17 },
        { "one of 256", "\0\1\0\0\1\0\0\0version\r\n", 17 },
        { "one of 257", "\0\1\0\0\1\1\0\0version\r\n", 17 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        ask_raw(row[i].datagram, row[i].len);
        cr_expect(eq(u32, sent_count, 0), "%s", row[i].why);
    }
    ask_raw("\0\1\0\7\0\1\0\7version\r\n", 17);
    cr_expect(eq(u32, sent_count, 1), "sequence and reserved bytes are not looked at");
}

/* The count of datagrams is that of 1392 bytes each, not of 1400: a client waits for the last. */
Test(packets, answers_are_cut_at_1392_bytes)
{
    static const size_t frame = sizeof "VALUE k 0 1000\r\n" - 1 + sizeof "\r\nEND\r\n" - 1;
    static const struct {
        size_t answer;
        unsigned datagrams;
    } row[] = {
        { 1391, 1 }, { 1392, 1 }, { 1393, 2 }, { 1400, 2 }, { 1401, 2 },
        { 2784, 2 }, { 2785, 3 }, { 7000, 6 }, { 97440, 70 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        size_t value = row[i].answer - frame - (row[i].answer > 90000), total = 0;

        store("k", value);
        ask("get k\r\n", 7);
        cr_assert(eq(u32, sent_count, row[i].datagrams), "%zu bytes", row[i].answer);
        for (unsigned j = 0; j < sent_count; j++) {
            cr_expect(eq(u32, sent[j].number, j));
            cr_expect(eq(u32, sent[j].total, row[i].datagrams));
            cr_expect(eq(u32, sent[j].id, 0x1234));
            cr_expect(j + 1 == sent_count || sent[j].len == PACKETS_DATA);
            total += sent[j].len;
        }
        cr_expect(eq(sz, total, row[i].answer));
    }
}

/* Each datagram starts anew: its first byte chooses the protocol. */
Test(packets, every_datagram_chooses_its_protocol)
{
    static const char noop[24] = { '\x80', '\x0a' };

    for (int i = 0; i < 2; i++) {
        ask(noop, sizeof noop);
        cr_assert(eq(u32, sent_count, 1));
        cr_expect(eq(sz, sent[0].len, 24));
        cr_expect(eq(chr, sent[0].data[0], '\x81'));
        ask("mn\r\n", 4);
        cr_assert(eq(u32, sent_count, 1));
        cr_expect(eq(str, sent[0].data, "MN\r\n"));
    }
    ask("nonsense\r\n\x80", 11);
    cr_assert(eq(u32, sent_count, 1));
    cr_expect(eq(str, sent[0].data, "ERROR\r\n"));
}

/* memcached answers each command, and each value of a multiget, by itself. */
Test(packets, all_commands_of_a_datagram_are_answered_each_by_itself)
{
    store("a", 1);
    store("b", 3000);
    ask("set c 0 0 1\r\n1\r\nget a none b a\r\nmn\r\n", 36);
    cr_assert(eq(u32, sent_count, 7));
    cr_expect(eq(str, sent[0].data, "STORED\r\n"));
    cr_expect(eq(str, sent[1].data, "VALUE a 0 1\r\nv\r\n"));
    for (unsigned i = 0; i < 3; i++) {
        cr_expect(eq(u32, sent[2 + i].number, i));
        cr_expect(eq(u32, sent[2 + i].total, 3));
    }
    cr_expect(eq(str, sent[5].data, "VALUE a 0 1\r\nv\r\nEND\r\n"));
    cr_expect(eq(u32, sent[5].total, 1));
    cr_expect(eq(str, sent[6].data, "MN\r\n"));
}

/* A command without an answer sends nothing, not even an empty datagram. */
Test(packets, what_answers_nothing_sends_nothing)
{
    static const struct {
        const char *why, *text;
        size_t len;
    } row[] = {
        { "noreply", "set q 0 0 1 noreply\r\n1\r\n", 0 },
        { "quiet meta", "mg none v q\r\n", 0 },
        { "quit", "quit\r\n", 0 },
        { "quiet binary get", "\x80\x09\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0x", 25 },
        { "quiet binary quit", "\x80\x17\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24 },
        { "an HTTP request", "GET / HTTP/1.0\r\n", 0 },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        ask(row[i].text, row[i].len ? row[i].len : strlen(row[i].text));
        cr_expect(eq(u32, sent_count, 0), "%s", row[i].why);
    }
    ask("get q\r\n", 7);
    cr_expect(eq(str, sent[0].data, "VALUE q 0 1\r\n1\r\nEND\r\n"));
}

/* What is not whole is gone: the next datagram is somebody else's. */
Test(packets, a_command_that_is_not_whole_is_dropped_and_leaves_nothing)
{
    static char large[65000];
    static const struct {
        const char *why, *text;
        size_t len;
    } row[] = {
        { "no line end", "get k", 0 },
        { "a value cut", "set k 0 0 10\r\nabc", 0 },
        { "a value without its line end", "set k 0 0 3\r\nabc", 0 },
        { "half a line end", "set k 0 0 3\r\nabc\r", 0 },
        { "no value", "set k 0 0 3\r\n", 0 },
        { "a long value cut", "set k 0 0 1000000\r\nabc", 0 },
        { "a value that is too large", "set k 0 0 100000000\r\nabc", 0 },
        { "a bad line and a value cut", "set k x 0 1000\r\nabc", 0 },
        { "a meta value cut", "ms k 3\r\nab", 0 },
        { "half a binary header", "\x80\x0a\0\0\0\0\0\0", 8 },
        { "a binary value cut",
          "\x80\1\0\1\x08\0\0\0\0\0\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0k", 33 },
        { "a line that does not end", large, sizeof large },
    };

    memset(large, 'x', sizeof large);
    store("k", 1);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        int64_t items = drive_metric(&n, M_TOTAL_ITEMS);

        ask(row[i].text, row[i].len ? row[i].len : strlen(row[i].text));
        cr_expect(eq(u32, sent_count, 0), "%s", row[i].why);
        ask("get k\r\n", 7);
        cr_assert(eq(u32, sent_count, 1), "%s", row[i].why);
        cr_expect(eq(str, sent[0].data, "VALUE k 0 1\r\nv\r\nEND\r\n"), "%s", row[i].why);
        cr_expect(eq(i64, drive_metric(&n, M_TOTAL_ITEMS), items), "%s", row[i].why);
    }
    ask("mn\r\nmn\r\nget k", 13);
    cr_expect(eq(u32, sent_count, 2), "what is whole before it is answered");
}

/* A client that quits is heard again. */
Test(packets, quit_ends_the_datagram_only)
{
    ask("mn\r\nquit\r\nmn\r\n", 14);
    cr_expect(eq(u32, sent_count, 1));
    ask("mn\r\n", 4);
    cr_expect(eq(u32, sent_count, 1));
}

/* 65,535 is the highest number there is; the commands behind go on. */
Test(packets, an_answer_of_too_many_datagrams_is_not_sent)
{
    static const size_t most = (size_t)PACKETS_MAX * PACKETS_DATA;
    static const char *const options[] = { "item_size_max=128m", "memory_limit=512m", NULL };
    static const char head[] = "VALUE big 0 12345678\r\n"; /* as long */
    const size_t fits = most - (sizeof head - 1) - 7;
    struct iovec iov[PACKETS_SPANS];
    unsigned count = 0;

    teardown();
    drive_node_init(&n, options);
    mail = packets_new(n.worker, NULL);
    cr_assert(eq(sz, fits, 91224691));
    store("big", fits);
    packets_rx_space(mail, iov);
    memcpy(iov[0].iov_base, "\0\1\0\0\0\1\0\0", 8);
    memcpy(iov[1].iov_base, "get big\r\n", 9);
    packets_rx(mail, 17, n.now);
    while (packets_tx(mail, iov) > 0) {
        packets_tx_done(mail);
        count++;
    }
    cr_expect(eq(u32, count, PACKETS_MAX));
    packets_park(mail);
    store("big", fits + 1);
    ask("get big\r\nmn\r\n", 13);
    cr_assert(eq(u32, sent_count, 1));
    cr_expect(eq(str, sent[0].data, "MN\r\n"));
}

/* Senders can be forged: a datagram of many gets must not send a large value for each. */
Test(packets, a_request_is_not_worth_any_number_of_values)
{
    struct iovec iov[PACKETS_SPANS];
    unsigned count = 0;

    store("big", 1000000); /* 719 datagrams */
    packets_rx_space(mail, iov);
    memcpy(iov[0].iov_base, "\0\1\0\0\0\1\0\0", 8);
    memcpy(iov[1].iov_base, "get big big big big big big big big big big big big\r\n", 53);
    packets_rx(mail, 61, n.now);
    do {
        packets_resume(mail, n.now);
        while (packets_tx(mail, iov) > 0) {
            packets_tx_done(mail);
            count++;
        }
    } while (packets_has_work(mail));
    packets_park(mail);
    cr_expect(eq(u32, count, 2 * 719));
    ask("mn\r\n", 4);
    cr_expect(eq(u32, sent_count, 1));
}

/* A full socket loses answers; the commands are executed all the same. */
Test(packets, lost_answers_do_not_stop_the_commands)
{
    store("b", 100000);
    lossy = true;
    ask("get b\r\nset x 0 0 1\r\n1\r\nget b\r\nset y 0 0 1\r\n2\r\n", 44 + 2);
    cr_expect(eq(u32, sent_count, 0));
    lossy = false;
    ask("get x y\r\n", 9);
    cr_expect(eq(u32, sent_count, 2));
}

/* The worker may serve others between two datagrams of an answer. */
Test(packets, an_answer_survives_the_end_of_a_turn)
{
    struct iovec iov[PACKETS_SPANS];
    unsigned count = 0;
    struct drive d;

    store("b", 3000);
    packets_rx_space(mail, iov);
    memcpy(iov[0].iov_base, "\0\1\0\0\0\1\0\0", 8);
    memcpy(iov[1].iov_base, "get b\r\nget b\r\n", 14);
    packets_rx(mail, 22, n.now);
    drive_init(&d, &n, SESSION_AUTO);
    sent_count = 0;
    do {
        packets_park(mail);
        drive_say(&d, "mn\r\n", 4, DRIVE_ALL);
        if (!send_one()) {
            cr_assert(packets_has_work(mail));
            packets_resume(mail, n.now);
        } else {
            count++;
        }
    } while (count < 6);
    cr_expect(not(packets_has_work(mail)));
    for (unsigned i = 0; i < 6; i++) {
        cr_expect(eq(u32, sent[i].number, i % 3));
        cr_expect(eq(u32, sent[i].total, 3));
    }
    packets_park(mail);
    drive_fini(&d);
}

/* Both count whole datagrams, as memcached does. */
Test(packets, bytes_are_counted_with_their_headers)
{
    int64_t in = drive_metric(&n, M_BYTES_READ), out = drive_metric(&n, M_BYTES_WRITTEN);

    ask("mn\r\n", 4);
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_READ) - in, 12));
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_WRITTEN) - out, 12));
    ask_raw("\0\1\0\0\0\2\0\0mn\r\n", 12);
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_READ) - in, 24));
    ask_raw("\0\1\0\0\0\1\0\0", 8);
    cr_expect(eq(i64, drive_metric(&n, M_BYTES_READ) - in, 24));
}
