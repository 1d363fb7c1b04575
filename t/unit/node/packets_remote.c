/* Requests in datagrams whose keys other nodes own: three nodes in memory. */
#include "mail.h"
#include "mesh.h"
#include "proto/peer.h"
#include <stdio.h>

static struct mesh m;
static char own[64], near[64], far[64]; /* keys of node 0, which is asked, of node 1 and node 2 */

/* Other nodes have answered. */
static void
pushed(void *driver)
{
    cr_assert(eq(ptr, driver, &m));
    turn();
}

static void
mesh_begin(const char *const *options)
{
    mesh_init(&m, 3, options);
    m.datagram = pushed;
    mesh_key(&m, 0, "own", 0, own);
    mesh_key(&m, 1, "near", 0, near);
    mesh_key(&m, 2, "far", 0, far);
    mail = packets_new(m.node[0].worker, NULL);
    cr_assert(ne(ptr, mail, NULL));
    packets_set_driver(mail, &m);
    mail_now = &m.node[0].now;
}

static void
mesh_setup(void)
{
    static const char *const options[] = { "item_size_max=8m", "memory_limit=64m",
                                           "peer_timeout=250ms", NULL };

    mesh_begin(options);
}

static void
mesh_teardown(void)
{
    packets_free(mail);
    mesh_fini(&m);
}

/* Another way for the nodes to be. */
static void
mesh_again(const char *const *options)
{
    mesh_teardown();
    mesh_begin(options);
}

TestSuite(packets_remote, .init = mesh_setup, .fini = mesh_teardown);

/* The text with %o, %n and %f replaced by the three keys. */
static char *
keyed(const char *text)
{
    static char out[4][1024];
    static int which;
    char *at = out[which++ % 4], *begin = at;

    for (; *text; text++) {
        const char *key = text[0] == '%' && text[1] == 'o'   ? own
                          : text[0] == '%' && text[1] == 'n' ? near
                          : text[0] == '%' && text[1] == 'f' ? far
                                                             : NULL;
        if (key) {
            at += sprintf(at, "%s", key);
            text++;
        } else {
            *at++ = *text;
        }
    }
    *at = '\0';
    return begin;
}

/* Asks, and lets the other nodes answer. */
static void
ask_mesh(const char *text)
{
    ask(text, strlen(text));
    mesh_pump(&m);
    cr_expect(not(packets_awaits(mail)), "%s", text);
}

/* What was sent are these answers, each a series of one; NULL ends them. */
static void
sent_are(const char *const *want)
{
    unsigned i;

    for (i = 0; want[i]; i++) {
        cr_assert(lt(u32, i, sent_count), "no \"%s\"", want[i]);
        cr_expect(eq(str, sent[i].data, keyed(want[i])));
        cr_expect(eq(u32, sent[i].number, 0));
        cr_expect(eq(u32, sent[i].total, 1));
        cr_expect(eq(u32, sent[i].id, MAIL_ID));
    }
    cr_expect(eq(u32, sent_count, i));
}

#define SENT(...) sent_are((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* A long value of one of the keys, by TCP. */
static void
mesh_store(const char *key, size_t len)
{
    struct buf in = { 0 };
    struct drive d;

    mesh_client(&m, 0, &d);
    cr_assert(buf_printf(&in, "set %s 0 0 %zu\r\n", key, len));
    cr_assert(buf_reserve(&in, len));
    for (size_t i = 0; i < len; i++) {
        in.ptr[in.len++] = (char)('a' + i % 23);
    }
    cr_assert(buf_add(&in, "\r\n", 2));
    mesh_say(&m, &d, in.ptr, in.len, DRIVE_ALL);
    cr_assert(eq(sz, d.got.len, strlen("STORED\r\n")), "%.*s", (int)d.got.len, d.got.ptr);
    drive_fini(&d);
    buf_free(&in);
}

/* What was sent is one series, of that value's datagrams. */
static void
sent_is_long(unsigned first, const char *head, size_t len, const char *tail)
{
    size_t bytes = strlen(head) + len + strlen(tail);
    unsigned total = (unsigned)((bytes + PACKETS_DATA - 1) / PACKETS_DATA);
    static char got[200000];
    size_t at = 0;

    cr_assert(eq(u32, sent_count, first + total));
    for (unsigned i = 0; i < total; i++) {
        cr_expect(eq(u32, sent[first + i].number, i));
        cr_expect(eq(u32, sent[first + i].total, total));
        memcpy(got + at, sent[first + i].data, sent[first + i].len);
        at += sent[first + i].len;
    }
    cr_assert(eq(sz, at, bytes));
    cr_expect(eq(int, memcmp(got, head, strlen(head)), 0));
    cr_expect(eq(int, memcmp(got + bytes - strlen(tail), tail, strlen(tail)), 0));
    for (size_t i = 0; i < len; i++) {
        cr_assert(eq(chr, got[strlen(head) + i], (char)('a' + i % 23)), "byte %zu", i);
    }
}

/* Whoever owns the key, and whatever the protocol. */
Test(packets_remote, keys_of_other_nodes_are_answered_as_ones_own)
{
    static const char *const key[] = { "%o", "%n", "%f" };
    char text[200];

    for (int i = 0; i < 3; i++) {
        sprintf(text, "set %s 3 0 5\r\nvalue\r\n", keyed(key[i]));
        ask_mesh(text);
        SENT("STORED\r\n");
        sprintf(text, "get %s\r\n", keyed(key[i]));
        ask_mesh(text);
        sprintf(text, "VALUE %s 3 5\r\nvalue\r\nEND\r\n", keyed(key[i]));
        SENT(text);
        sprintf(text, "mg %s v\r\n", keyed(key[i]));
        ask_mesh(text);
        SENT("VA 5\r\nvalue\r\n");
        sprintf(text, "delete %s\r\n", keyed(key[i]));
        ask_mesh(text);
        SENT("DELETED\r\n");
        ask_mesh(text);
        SENT("NOT_FOUND\r\n");
    }
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARDED), 10));
}

/* A binary client is answered in its own protocol, and with its opaque. */
Test(packets_remote, the_binary_protocol)
{
    char get[128] = "\x80\x00\0\0\0\0\0\0\0\0\0\0\1\2\3\4";

    ask_mesh(keyed("set %f 0 0 2\r\nxy\r\n"));
    get[3] = (char)strlen(far);
    get[11] = (char)strlen(far);
    memcpy(get + 24, far, strlen(far));
    ask(get, 24 + strlen(far));
    mesh_pump(&m);
    cr_assert(eq(u32, sent_count, 1));
    cr_assert(eq(sz, sent[0].len, 24 + 4 + 2));
    cr_expect(eq(int, memcmp(sent[0].data + 12, "\1\2\3\4", 4), 0));
    cr_expect(eq(int, memcmp(sent[0].data + 28, "xy", 2), 0));
    /* A quiet miss is silent from afar, too, and what comes behind is answered. */
    get[1] = 0x09;
    memset(get + 24, 'z', strlen(far));
    memcpy(get + 24 + strlen(far), "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    ask(get, 48 + strlen(far));
    mesh_pump(&m);
    cr_assert(eq(u32, sent_count, 1));
    cr_expect(eq(chr, sent[0].data[1], '\x0a'));
}

/* Nothing is executed or received while an answer is awaited: order is kept. */
Test(packets_remote, it_awaits_the_answer)
{
    const char *text = keyed("set %f 0 0 1\r\n1\r\nset %o 0 0 1\r\n2\r\n");

    m.held[0][2] = true;
    ask(text, strlen(text));
    mesh_pump(&m);
    cr_expect(packets_awaits(mail));
    cr_expect(not(packets_has_work(mail)));
    packets_resume(mail, m.node[0].now);
    packets_park(mail);
    cr_expect(eq(u32, sent_count, 0));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_CMD_SET), 0));
    m.held[0][2] = false;
    mesh_pump(&m);
    cr_expect(not(packets_awaits(mail)));
    SENT("STORED\r\n", "STORED\r\n");
    cr_expect(eq(i64, drive_metric(&m.node[0], M_CMD_SET), 1));
}

/* A client that parses each series by itself sees no difference. */
Test(packets_remote, each_key_of_a_multiget_is_a_series)
{
    ask_mesh(keyed("set %o 0 0 1\r\no\r\nset %n 0 0 1\r\nn\r\nset %f 0 0 1\r\nf\r\n"));
    SENT("STORED\r\n", "STORED\r\n", "STORED\r\n");
    ask_mesh(keyed("get %n none1 %o none2 none3 %f\r\nmn\r\n"));
    SENT("VALUE %n 0 1\r\nn\r\n", "VALUE %o 0 1\r\no\r\n", "VALUE %f 0 1\r\nf\r\nEND\r\n",
         "MN\r\n");
    ask_mesh(keyed("get %f %n none1\r\nget none1 none2 none3 none4 none5\r\n"));
    SENT("VALUE %f 0 1\r\nf\r\n", "VALUE %n 0 1\r\nn\r\n", "END\r\n", "END\r\n");
}

Test(packets_remote, what_answers_nothing_sends_nothing)
{
    ask_mesh(keyed("set %f 0 0 1 noreply\r\n1\r\nset %n 0 0 1 noreply\r\n2\r\nmg nonea v q\r\n"
                   "mg noneb v q\r\nmg nonec v q\r\n"));
    SENT();
    ask_mesh(keyed("get %f %n\r\n"));
    SENT("VALUE %f 0 1\r\n1\r\n", "VALUE %n 0 1\r\n2\r\nEND\r\n");
    /* Half a command, behind one of another node. */
    ask_mesh(keyed("get %f\r\nget %n"));
    SENT("VALUE %f 0 1\r\n1\r\nEND\r\n");
    ask_mesh(keyed("get %f\r\nquit\r\nmn\r\n"));
    SENT("VALUE %f 0 1\r\n1\r\nEND\r\n");
}

/* They come in parts, and say only with the last one how many datagrams they are. */
Test(packets_remote, long_values)
{
    static const size_t len[] = { 1392, 48 << 10, (48 << 10) + 1, 100000, 150000 };
    static const size_t piece[] = { 0, 1000, 7 };
    char head[128];

    for (size_t i = 0; i < sizeof len / sizeof len[0]; i++) {
        mesh_store(far, len[i]);
        sprintf(head, "VALUE %s 0 %zu\r\n", far, len[i]);
        for (size_t k = 0; k < sizeof piece / sizeof piece[0]; k++) {
            m.piece = piece[k];
            ask_mesh(keyed("mn\r\nget %f\r\n"));
            sent_is_long(1, head, len[i], "\r\nEND\r\n");
        }
        m.piece = 0;
    }
    cr_expect(eq(i64, drive_metric(&m.node[0], M_RESP_BUF_BYTES), 0));
}

/* A datagram may hold one that goes to its owner in parts. */
Test(packets_remote, a_value_that_is_sent_in_parts)
{
    static char in[70000], head[128];
    size_t at = (size_t)sprintf(in, "set %s 0 0 60000\r\n", far);

    for (size_t i = 0; i < 60000; i++) {
        in[at++] = (char)('a' + i % 23);
    }
    at += (size_t)sprintf(in + at, "\r\nmn\r\n");
    ask(in, at);
    cr_expect(packets_awaits(mail));
    mesh_pump(&m);
    SENT("STORED\r\n", "MN\r\n");
    sprintf(head, "VALUE %s 0 60000\r\n", far);
    ask_mesh(keyed("get %f\r\n"));
    sent_is_long(0, head, 60000, "\r\nEND\r\n");
}

/* flush_all is for everybody: it is answered when all have done it. */
Test(packets_remote, flush_all_reaches_every_node)
{
    ask_mesh(keyed("set %f 0 0 1\r\n1\r\nset %o 0 0 1\r\n2\r\n"));
    m.held[0][1] = true;
    ask("flush_all\r\nmn\r\n", 15);
    mesh_pump(&m);
    cr_expect(packets_awaits(mail));
    SENT();
    m.held[0][1] = false;
    mesh_pump(&m);
    SENT("OK\r\n", "MN\r\n");
    ask_mesh(keyed("get %o %f\r\n"));
    SENT("END\r\n");
    ask_mesh(keyed("set %f 0 0 1\r\n1\r\nflush_all noreply\r\nget %f\r\nget %o\r\n"));
    SENT("STORED\r\n", "END\r\n", "END\r\n");
    /* Not everybody has. */
    m.held[0][1] = true;
    ask("flush_all\r\nmn\r\n", 15);
    mesh_wait(&m, 300 * USEC_PER_MSEC);
    cr_assert(eq(u32, sent_count, 2));
    cr_expect(eq(int, strncmp(sent[0].data, "SERVER_ERROR", 12), 0), "%s", sent[0].data);
}

/* With peer_error=error the end of a line waits for all its keys; it stays with the last value. */
Test(packets_remote, a_line_that_may_fail)
{
    static const char *const options[] = { "peer_error=error", "item_size_max=8m",
                                           "memory_limit=64m", NULL };
    char head[128];

    mesh_again(options);
    ask_mesh(keyed("set %o 0 0 1\r\no\r\nset %n 0 0 1\r\nn\r\nset %f 0 0 1\r\nf\r\n"));
    ask_mesh(keyed("get %o %n %f\r\nget %f %o\r\nget %f none\r\n"));
    SENT("VALUE %o 0 1\r\no\r\n", "VALUE %n 0 1\r\nn\r\n", "VALUE %f 0 1\r\nf\r\nEND\r\n",
         "VALUE %f 0 1\r\nf\r\n", "VALUE %o 0 1\r\no\r\nEND\r\n", "VALUE %f 0 1\r\nf\r\n",
         "END\r\n");
    m.held[0][1] = true;
    ask(keyed("get %n %f\r\nmn\r\n"), strlen(keyed("get %n %f\r\nmn\r\n")));
    mesh_wait(&m, 300 * USEC_PER_MSEC);
    cr_assert(eq(u32, sent_count, 2));
    cr_expect(eq(int, strncmp(sent[0].data, keyed("VALUE %f 0 1\r\nf\r\nSERVER_ERROR"),
                              strlen(keyed("VALUE %f 0 1\r\nf\r\nSERVER_ERROR"))), 0),
              "%s", sent[0].data);
    cr_expect(eq(str, sent[1].data, "MN\r\n"));
    m.held[0][1] = false;
    mesh_pump(&m);
    mesh_store(far, 150000);
    sprintf(head, "VALUE %s 0 150000\r\n", far);
    ask_mesh(keyed("get %n %f\r\n"));
    sent_is_long(1, head, 150000, "\r\nEND\r\n");
}

/* The longest of them leave no room for the end of the line, which comes by itself then. */
Test(packets_remote, an_end_that_has_no_room)
{
    static const char *const options[] = { "peer_error=error", "item_size_max=8m",
                                           "memory_limit=64m", NULL };

    mesh_again(options);
    mesh_store(far, 1100000); /* 791 datagrams */
    m.held[0][2] = true;
    ask(keyed("get %n %f\r\nmn\r\n"), strlen(keyed("get %n %f\r\nmn\r\n")));
    mesh_pump(&m);
    cr_assert(packets_awaits(mail));
    unlooked = true;
    m.held[0][2] = false;
    mesh_pump(&m);
    unlooked = false;
    cr_expect(eq(u32, sent_count, 791 + 2));
    ask_mesh("mn\r\n");
    SENT("MN\r\n");
}

/* Who does not answer costs peer_timeout and no more. */
Test(packets_remote, silence_ends_in_time)
{
    ask_mesh(keyed("set %f 0 0 1\r\nf\r\n"));
    m.held[0][2] = true;
    ask(keyed("get %f\r\nset %f 0 0 1\r\ng\r\nmn\r\n"),
        strlen(keyed("get %f\r\nset %f 0 0 1\r\ng\r\nmn\r\n")));
    mesh_wait(&m, 200 * USEC_PER_MSEC);
    cr_expect(eq(u32, sent_count, 0));
    mesh_wait(&m, 60 * USEC_PER_MSEC);
    cr_expect(eq(u32, sent_count, 1));
    cr_expect(packets_awaits(mail), "the set");
    mesh_wait(&m, 260 * USEC_PER_MSEC);
    cr_assert(eq(u32, sent_count, 3));
    cr_expect(eq(str, sent[0].data, "END\r\n"));
    cr_expect(eq(int, strncmp(sent[1].data, "SERVER_ERROR", 12), 0), "%s", sent[1].data);
    cr_expect(eq(str, sent[2].data, "MN\r\n"));
    m.held[0][2] = false;
    mesh_pump(&m);
    cr_expect(eq(u32, sent_count, 3), "what comes too late is nobody's");
}

/* A request is worth so many datagrams, whoever holds the values. */
Test(packets_remote, a_request_is_not_worth_any_number_of_values)
{
    static const char *const options[] = { "peer_error=error", "item_size_max=8m",
                                           "memory_limit=64m", NULL };
    int64_t before;

    mesh_again(options);
    mesh_store(far, 1000000); /* 719 datagrams */
    before = drive_metric(&m.node[0], M_FORWARDED);
    m.held[0][2] = true;
    ask(keyed("get %f %f %f %f %f %f\r\n"), strlen(keyed("get %f %f %f %f %f %f\r\n")));
    cr_assert(packets_awaits(mail));
    unlooked = true;
    m.held[0][2] = false;
    mesh_pump(&m);
    unlooked = false;
    cr_expect(eq(u32, sent_count, 2 * 719));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARDED) - before, 2));
    /* It ended within a line, which says nothing about the next one. */
    m.cut[0][1] = true;
    mesh_break(&m, 0, 1);
    mesh_wait(&m, USEC_PER_SEC);
    ask_mesh(keyed("mg %n v\r\nset %n 0 0 1\r\nn\r\nmn\r\n"));
    cr_assert(eq(u32, sent_count, 3));
    cr_expect(eq(int, strncmp(sent[0].data, "SERVER_ERROR", 12), 0), "%s", sent[0].data);
    cr_expect(eq(int, strncmp(sent[1].data, "SERVER_ERROR", 12), 0), "%s", sent[1].data);
}

/* The node ends while a request waits. */
Test(packets_remote, it_may_go_while_it_awaits)
{
    m.held[0][2] = true;
    ask(keyed("get %f\r\nmn\r\n"), strlen(keyed("get %f\r\nmn\r\n")));
    cr_expect(packets_awaits(mail));
    packets_free(mail);
    m.held[0][2] = false;
    mesh_pump(&m);
    mail = packets_new(m.node[0].worker, NULL);
    packets_set_driver(mail, &m);
    /* Nor do links that end before it. */
    m.held[0][2] = true;
    ask(keyed("get %f\r\nmn\r\n"), strlen(keyed("get %f\r\nmn\r\n")));
    cr_expect(packets_awaits(mail));
    mesh_break(&m, 0, 2);
}

/* -- answers that no node of ours would write -------------------------------------------------- */

/* Takes what waits to be sent to node 2 and returns the id of its first frame. */
static uint64_t
request_take(struct link *l)
{
    static char bytes[100000];
    struct iovec iov[64];
    struct peer_frame f;
    size_t len = 0;
    int count;

    while ((count = link_tx(l, iov, 64)) > 0) {
        size_t before = len;

        for (int i = 0; i < count; i++) {
            memcpy(bytes + len, iov[i].iov_base, iov[i].iov_len);
            len += iov[i].iov_len;
        }
        link_tx_done(l, len - before);
    }
    cr_assert(eq(int, peer_read_frame(slice_of(bytes, len), &f), PEER_OK));
    cr_assert(eq(int, f.type, PEER_COMMANDS));
    return f.id;
}

/* A frame of node 2, with this body behind an entry's head if there is one. */
static void
answer_frame(struct link *l, const struct peer_frame *f, const struct peer_entry *e,
             const char *body, size_t len)
{
    struct iovec room = link_rx_space(l);
    struct peer_frame frame = *f;
    char *at = room.iov_base;
    struct session *s;

    frame.body_len = (uint32_t)(len + (e ? PEER_ENTRY : 0));
    cr_assert(le(sz, PEER_HEADER + frame.body_len, room.iov_len));
    peer_write_header(&frame, at);
    if (e) {
        peer_write_entry(e, at + PEER_HEADER);
    }
    memcpy(at + PEER_HEADER + (e ? PEER_ENTRY : 0), body, len);
    cr_assert(link_rx(l, PEER_HEADER + frame.body_len, m.node[0].now));
    while ((s = peers_next_answered(m.node[0].worker->peers)) != NULL) {
        pushed(session_driver(s));
    }
    cr_assert(link_park(l));
}

/* Asks for the far key, and begins to answer in parts. */
static struct link *
answer_begins(struct peer_frame *part, const char *head)
{
    struct link *l = m.wire[0][2].link;
    struct peer_frame f = { .type = PEER_ANSWERS, .count = 1 };
    struct peer_entry e = { .kind = PEER_ANSWER_PARTS, .tail = 7,
                            .len = (uint32_t)strlen(head) + 7 };
    char body[128];

    m.held[0][2] = true;
    ask(keyed("get %f\r\nmn\r\n"), strlen(keyed("get %f\r\nmn\r\n")));
    f.id = request_take(l);
    sprintf(body, "%s\r\nEND\r\n", head);
    answer_frame(l, &f, &e, body, strlen(body));
    *part = (struct peer_frame){ .type = PEER_PART, .id = f.id };
    return l;
}

/* A datagram is sent in few pieces, however many there are behind one that is not worth a copy. */
Test(packets_remote, an_answer_in_crumbs)
{
    struct peer_frame part;
    struct link *l = answer_begins(&part, "VALUE k 0 5000\r\n");
    char bytes[5000];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)('a' + i % 23);
    }
    answer_frame(l, &part, NULL, bytes, 1100);
    for (size_t i = 1100; i < sizeof bytes; i++) {
        cr_assert(packets_awaits(mail));
        if (i % 50 == 0) {
            answer_frame(l, &part, NULL, "", 0);
        }
        part.flags = i + 1 == sizeof bytes ? PEER_LAST : 0;
        answer_frame(l, &part, NULL, bytes + i, 1);
    }
    cr_assert(eq(u32, sent_count, 5));
    cr_expect(eq(str, sent[4].data, "MN\r\n"));
    sent_count = 4;
    sent_is_long(0, "VALUE k 0 5000\r\n", 5000, "\r\nEND\r\n");
}

/* What can never be sent is not collected for ever. */
Test(packets_remote, an_answer_without_end)
{
    static char body[60000];
    struct peer_frame part;
    struct link *l = answer_begins(&part, "VALUE k 0 1000000000\r\n");
    unsigned parts = 0;

    while (packets_awaits(mail)) {
        answer_frame(l, &part, NULL, body, sizeof body);
        parts++;
        cr_assert(lt(u32, parts, 2000));
    }
    cr_expect(ge(u32, parts, (size_t)PACKETS_MAX * PACKETS_DATA / sizeof body));
    cr_expect(eq(u32, sent_count, 0));
    answer_frame(l, &part, NULL, body, sizeof body); /* nobody's */
    ask_mesh("mn\r\n");
    SENT("MN\r\n");
    cr_expect(eq(i64, drive_metric(&m.node[0], M_RESP_BUF_BYTES), 0));
}

/* Some of it is here, and the rest does not come: there is nothing that may be said. */
Test(packets_remote, an_answer_that_breaks_off)
{
    struct peer_frame part;
    struct link *l = answer_begins(&part, "VALUE k 0 5000\r\n");

    answer_frame(l, &part, NULL, "abc", 3);
    cr_expect(packets_awaits(mail));
    mesh_break(&m, 0, 2);
    cr_expect(not(packets_awaits(mail)));
    cr_expect(not(packets_has_work(mail)));
    cr_expect(eq(u32, sent_count, 0));
    ask_mesh(keyed("mn\r\nget %n\r\n"));
    SENT("MN\r\n", "END\r\n");
}
