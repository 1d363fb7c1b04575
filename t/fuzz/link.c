/*
 * link.c - fuzzes the calling end of a link: whatever another node answers, every client is told
 * something in the end, nobody waits for ever, and nothing is left over.
 *
 * The first byte says how large the reads of links are, the second how slowly clients read.  Then
 * come steps: clients of one of three nodes ask for keys of the other two, which answer by the
 * fuzzer's bytes; connections break, clients go, time passes.
 */
#include "node/link.h"
#include "frames.h"
#include "mesh.h"
#include <stdio.h>
#include <stdlib.h>

#define CLIENTS 4
#define ASKED   64 /* ids of frames that are remembered of a link */
#define LONG    70000

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct fuzz {
    struct mesh mesh;
    struct drive client[CLIENTS]; /* the last one speaks binary */
    struct frames_in in;
    size_t cut, slow;
    uint64_t asked[MESH_MAX][ASKED]; /* by the node that is asked */
    uint16_t count[MESH_MAX][ASKED];
    unsigned asked_count[MESH_MAX];
    struct buf out[MESH_MAX]; /* what was sent to each */
};

static char near[64], far[64], own[64];

/* -- clients --------------------------------------------------------------------------------------
 */

static void
client_renew(struct fuzz *f, unsigned i)
{
    drive_fini(&f->client[i]);
    mesh_client(&f->mesh, 0, &f->client[i]);
}

/* Those that got answers read them. */
static void
push(struct fuzz *f)
{
    struct session *s;

    while ((s = peers_next_answered(f->mesh.node[0].worker->peers)) != NULL) {
        (void)drive_turn(session_driver(s), "", 0, DRIVE_ALL, f->slow);
    }
}

static void
say(struct fuzz *f, unsigned i, const char *bytes, size_t len)
{
    size_t at = 0;

    for (unsigned idle = 0; f->client[i].session && at < len && idle < 3; idle++) {
        size_t n = drive_turn(&f->client[i], bytes + at, len - at, DRIVE_ALL, f->slow);

        at += n;
        idle = n > 0 ? 0 : idle;
        push(f);
    }
}

static void
packet_put(struct buf *out, unsigned opcode, const char *key, size_t extras, size_t value)
{
    char head[24] = { (char)0x80, (char)opcode, 0, (char)strlen(key), (char)extras };
    char zero[64] = { 0 };
    size_t body = extras + strlen(key) + value;

    head[10] = (char)(body >> 8);
    head[11] = (char)body;
    frames_add(out, head, sizeof head);
    frames_add(out, zero, extras);
    frames_add(out, key, strlen(key));
    frames_add(out, zero, value);
}

static void
say_binary(struct fuzz *f, unsigned which)
{
    static const uint8_t opcode[] = { 0x00, 0x0d, 0x01, 0x11, 0x05, 0x0a, 0x08, 0x1d };
    static const uint8_t extras[] = { 0, 0, 8, 8, 20, 0, 0, 4 };
    struct buf out = { 0 };
    unsigned n = which % 8;

    packet_put(&out, opcode[n],
               opcode[n] == 0x0a || n == 6 ? ""
               : which & 8                 ? near
                                           : far,
               extras[n], n == 2 || n == 3 ? 40 : 0);
    say(f, CLIENTS - 1, out.ptr, out.len);
    buf_free(&out);
}

static void
say_text(struct fuzz *f, unsigned i, unsigned which)
{
    static char line[LONG + 1000];
    const char *k = which & 64 ? near : far;
    int n = 0;

    switch (which % 12) {
    case 0:
        n = sprintf(line, "get %s\r\n", k);
        break;
    case 1:
        n = sprintf(line, "get %s %s %s %s\r\n", near, own, far, k);
        break;
    case 2:
        n = sprintf(line, "gets %s %s\r\ngats 9 %s\r\n", near, far, k);
        break;
    case 3:
        n = sprintf(line, "set %s 0 0 3\r\nabc\r\nget %s\r\n", k, k);
        break;
    case 4:
        n = sprintf(line, "set %s 0 0 3 noreply\r\nabc\r\ndelete %s noreply\r\n", k, near);
        break;
    case 5:
        n = sprintf(line, "mg %s s v k O1\r\nmg %s v q\r\nms %s 1 q\r\nx\r\nmn\r\n", k, far, k);
        break;
    case 6:
        n = sprintf(line, "flush_all\r\n");
        break;
    case 7: /* goes in parts */
        n = sprintf(line, "set %s 0 0 %d\r\n", k, LONG);
        memset(line + n, 'v', LONG);
        n += LONG;
        n += sprintf(line + n, "\r\n");
        break;
    case 8:
        n = sprintf(line, "incr %s 1\r\nme %s\r\nma %s N0 v\r\n", k, k, k);
        break;
    case 9:
        n = sprintf(line, "set %s 0 0 5\r\nab", k); /* not whole */
        break;
    case 10:
        for (unsigned j = 0; j < 300; j++) {
            n += sprintf(line + n, "get %s\r\n", j % 2 ? near : far);
        }
        break;
    default:
        n = sprintf(line, "get %s\r\nquit\r\n", k);
        break;
    }
    say(f, i, line, (size_t)n);
}

/* -- links ----------------------------------------------------------------------------------------
 */

static struct link *
link_to(struct fuzz *f, unsigned node)
{
    return f->mesh.wire[0][node].link;
}

/* Remembers what was asked in the bytes that were sent. */
static void
asked_read(struct fuzz *f, unsigned node)
{
    struct buf *b = &f->out[node];
    struct peer_frame h;
    enum peer_result is;

    while ((is = peer_read_frame(slice_of(b->ptr, b->len), &h)) == PEER_OK) {
        struct slice body = slice_of(b->ptr + PEER_HEADER, h.body_len);
        unsigned at = f->asked_count[node] % ASKED;

        assert(h.type == PEER_COMMANDS || h.type == PEER_PART || h.type == PEER_PING);
        for (unsigned i = 0; h.type == PEER_COMMANDS && i < h.count; i++) {
            struct command c;
            enum peer_value value;
            bool ok = peer_read_command(&body, &c, &value) == PEER_OK;

            assert(ok);
        }
        if (h.type == PEER_COMMANDS) {
            assert(body.len == 0 && h.count > 0);
            f->asked[node][at] = h.id;
            f->count[node][at] = h.count;
            f->asked_count[node]++;
        }
        buf_shift(b, PEER_HEADER + h.body_len);
    }
    assert(is == PEER_MORE);
}

/* What is to be sent is. */
static void
links_send(struct fuzz *f)
{
    struct peers *p = f->mesh.node[0].worker->peers;

    while (peers_next_dirty(p)) {
    }
    for (unsigned node = 1; node < 3; node++) {
        struct iovec iov[5];
        int count;

        while ((count = link_tx(link_to(f, node), iov, 1 + (int)(f->cut % 5))) > 0) {
            size_t sent = 0;

            for (int i = 0; i < count; i++) {
                size_t n = i + 1 == count && iov[i].iov_len > f->cut ? f->cut : iov[i].iov_len;

                frames_add(&f->out[node], iov[i].iov_base, n);
                sent += n;
            }
            link_tx_done(link_to(f, node), sent);
        }
        asked_read(f, node);
    }
}

static void
break_link(struct fuzz *f, unsigned node)
{
    struct link *l = link_to(f, node);

    f->out[node].len = 0;
    if (l->state == LINK_UP) {
        link_down(l, f->mesh.node[0].now);
        push(f);
    }
}

static void
connect_links(struct fuzz *f)
{
    for (unsigned node = 1; node < 3; node++) {
        struct link *l = link_to(f, node);

        if (link_is_over(l) && l->state == LINK_UP) {
            break_link(f, node);
        }
        if (link_wants(l, f->mesh.node[0].now)) {
            link_dialing(l, f->mesh.node[0].now);
            link_up(l, 1, f->mesh.node[0].now);
        }
    }
}

/* Bytes of the other node come in. */
static void
hear(struct fuzz *f, unsigned node, struct slice bytes)
{
    struct drive_node *n = &f->mesh.node[0];
    struct link *l = link_to(f, node);

    while (bytes.len > 0 && l->state == LINK_UP) {
        struct iovec room = link_rx_space(l);
        size_t part = bytes.len < f->cut ? bytes.len : f->cut;
        bool ok;

        assert(room.iov_base);
        part = part < room.iov_len ? part : room.iov_len;
        memcpy(room.iov_base, bytes.ptr, part);
        bytes = slice_from(bytes, part);
        if (!link_rx(l, part, n->now)) {
            break_link(f, node);
            return;
        }
        push(f);
        ok = link_park(l);
        assert(ok);
        memset(n->worker->peers->rx, 0xa5, WORKER_RX_BYTES);
    }
}

/* -- steps ----------------------------------------------------------------------------------------
 */

/* An id that was asked, or any. */
static uint64_t
id_pick(struct fuzz *f, unsigned node, uint16_t *count)
{
    unsigned n = frames_u8(&f->in),
             all = f->asked_count[node] < ASKED ? f->asked_count[node] : ASKED;

    *count = 1;
    if (n >= 250 || all == 0) {
        return n;
    }
    n = (f->asked_count[node] - 1 - n % all) % ASKED; /* 0 is the last one */
    *count = f->count[node][n];
    return f->asked[node][n];
}

static void
step_answers(struct fuzz *f, unsigned node, bool honest)
{
    struct buf body = { 0 }, out = { 0 };
    uint16_t asked;
    struct peer_frame h = { .type = PEER_ANSWERS, .id = id_pick(f, node, &asked) };

    h.first = honest ? 0 : (uint16_t)(frames_u8(&f->in) % 80);
    h.count = honest ? asked : (uint16_t)(frames_u8(&f->in) % 80);
    if (honest) {
        static const struct peer_entry e = { .kind = PEER_ANSWER, .len = 4 };
        char entry[PEER_ENTRY];

        peer_write_entry(&e, entry);
        for (unsigned i = 0; i < h.count; i++) {
            frames_add(&body, entry, sizeof entry);
            frames_add(&body, "OK\r\n", 4);
        }
    } else {
        frames_entries(&f->in, h.count, &body);
    }
    frames_put(&out, h, slice_of(body.ptr, body.len));
    hear(f, node, slice_of(out.ptr, out.len));
    buf_free(&body);
    buf_free(&out);
}

static void
step_frame(struct fuzz *f, unsigned node)
{
    struct buf out = { 0 };
    uint16_t asked;
    struct peer_frame h = { .type = (enum peer_type)(1 + frames_u8(&f->in) % 5) };

    h.flags = (uint8_t)frames_u8(&f->in);
    h.id = id_pick(f, node, &asked);
    h.first = (uint16_t)(frames_u8(&f->in) % 80);
    h.count = (uint16_t)(frames_u8(&f->in) % 80);
    frames_put(&out, h, frames_bytes(&f->in, frames_u16(&f->in)));
    hear(f, node, slice_of(out.ptr, out.len));
    buf_free(&out);
}

static void
step_time(struct fuzz *f, usec_t time)
{
    struct drive_node *n = &f->mesh.node[0];

    n->now += time;
    worker_turn(n->worker, n->now);
    if (peers_due(n->worker->peers) <= n->now) {
        peers_tick(n->worker->peers, n->now);
    }
    push(f);
    connect_links(f);
    push(f);
}

static void
step(struct fuzz *f)
{
    unsigned what = frames_u8(&f->in), node = 1 + (what >> 3) % 2, client = (what >> 4) % CLIENTS;

    switch (what % 8) {
    case 0:
    case 1:
        if (client == CLIENTS - 1) {
            say_binary(f, frames_u8(&f->in));
        } else {
            say_text(f, client, frames_u8(&f->in));
        }
        break;
    case 2:
        step_answers(f, node, false);
        break;
    case 3:
        step_answers(f, node, true);
        break;
    case 4:
        step_frame(f, node);
        break;
    case 5:
        hear(f, node, frames_bytes(&f->in, frames_u16(&f->in)));
        break;
    case 6:
        step_time(f, (usec_t)frames_u8(&f->in) * 4 * USEC_PER_MSEC);
        break;
    default:
        if (what & 64) {
            client_renew(f, client);
        } else {
            break_link(f, node);
        }
        break;
    }
    if (!f->client[client].session) {
        client_renew(f, client);
    }
    links_send(f);
}

/* Nobody answers any more: everyone is excused, and may go on. */
static void
settle(struct fuzz *f)
{
    struct peers *p = f->mesh.node[0].worker->peers;

    f->slow = DRIVE_ALL;
    for (unsigned i = 0; i < 40; i++) {
        step_time(f, 300 * USEC_PER_MSEC);
        for (unsigned k = 0; k < CLIENTS; k++) {
            (void)drive_turn(&f->client[k], "", 0, DRIVE_ALL, DRIVE_ALL);
        }
        links_send(f);
    }
    for (struct link *l = peers_next(p, NULL); l; l = peers_next(p, l)) {
        assert(!l->first && l->flight == 0 && !l->making);
    }
    for (unsigned k = 0; k < CLIENTS; k++) {
        assert(!f->client[k].session || session_wants_more(f->client[k].session));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char *const options[] = { "memory_limit=8m", "item_size_max=256k", NULL };
    static struct fuzz f;

    if (len < 2) {
        return 0;
    }
    memset(&f, 0, sizeof f);
    f.in = (struct frames_in){ bytes + 2, len - 2 };
    f.cut = bytes[0] == 255 ? WORKER_RX_BYTES : 1 + bytes[0] * 4u;
    f.slow = bytes[1] == 0 ? DRIVE_ALL : bytes[1];
    mesh_init(&f.mesh, 3, options);
    mesh_key(&f.mesh, 0, "own", 0, own);
    mesh_key(&f.mesh, 1, "near", 0, near);
    mesh_key(&f.mesh, 2, "far", 0, far);
    for (unsigned i = 0; i < CLIENTS; i++) {
        mesh_client(&f.mesh, 0, &f.client[i]);
    }
    while (f.in.left > 0) {
        step(&f);
    }
    settle(&f);
    for (unsigned i = 0; i < CLIENTS; i++) {
        drive_fini(&f.client[i]);
    }
    for (unsigned i = 1; i < 3; i++) {
        buf_free(&f.out[i]);
        if (link_to(&f, i)->state == LINK_DOWN) { /* mesh_fini() thinks that it is up */
            session_free(f.mesh.wire[0][i].peer);
            f.mesh.wire[0][i] = (struct mesh_wire){ 0 };
        }
    }
    mesh_fini(&f.mesh);
    return 0;
}
