/*
 * The connections of a worker to other nodes, which are listeners of this test on the loopback; the
 * links themselves (node/link.h) are made up.
 */
#include "daemon/links.h"
#include "node/node.h"
#include "node/peer_rows.h"
#include "node/peers.h"
#include "node/worker.h"
#include "proto/gossip.h"
#include "proto/peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SELF    100u
#define LABEL   0x1234
#define MANY    (LINKS_CALLS_MAX + 10)
#define RX_ROOM 4096

/* -- links as the driver sees them ----------------------------------------------------------- */

struct session {
    int number;
};

/* What the driver did, one letter for each call, in order. */
static char story[4096];
static size_t story_len;

static void
tell(char c)
{
    cr_assert(lt(sz, story_len + 1, sizeof story));
    story[story_len++] = c;
    story[story_len] = '\0';
}

struct fake {
    struct link link;
    bool exists, wants, over, bad, no_memory, no_park;
    int dials, ups, downs;
    const char *out;
    size_t out_len;
};

static struct peers peers; /* only due is used */
static int ticks;
static struct session *answered[8];
static unsigned answered_count;
static unsigned again; /* what is sent is answered in the same moment, so many times */
static unsigned news;
static struct fake fake[MANY];
static struct session session = { 1 };
static char rx[RX_ROOM];
static size_t rx_total;
static const char *rx_answers; /* a session is answered by each read, which is in rx meanwhile */

static struct fake *
fake_of(const struct link *l)
{
    return (struct fake *)(uintptr_t)l;
}

struct link *
peers_next(struct peers *p, struct link *after)
{
    unsigned i = after == NULL ? 0 : (unsigned)(fake_of(after) - fake) + 1;

    cr_assert(p == &peers);
    while (i < MANY && !fake[i].exists) {
        i++;
    }
    return i < MANY ? &fake[i].link : NULL;
}

struct link *
peers_next_dirty(struct peers *p)
{
    (void)p;
    for (unsigned i = 0; i < MANY; i++) {
        if (fake[i].link.is_dirty) {
            fake[i].link.is_dirty = false;
            return &fake[i].link;
        }
    }
    return NULL;
}

struct session *
peers_next_answered(struct peers *p)
{
    (void)p;
    return answered_count > 0 ? answered[--answered_count] : NULL;
}

usec_t
peers_due(const struct peers *p)
{
    return p->due;
}

void
peers_tick(struct peers *p, usec_t now)
{
    ticks++;
    p->due = now + 10 * USEC_PER_SEC;
}

bool
peers_take_evidence(struct peers *p, usec_t now, node_id *ret_id, bool *ret_on)
{
    cr_assert(p == &peers && now > 0);
    if (news == 0) {
        return false;
    }
    *ret_id = news;
    *ret_on = news-- % 2 != 0;
    return true;
}

node_id
link_node(const struct link *l)
{
    return l->node;
}

struct cluster_addr
link_addr(const struct link *l)
{
    return l->addr;
}

void
link_set_driver(struct link *l, void *driver)
{
    l->driver = driver;
}

void *
link_driver(const struct link *l)
{
    return l->driver;
}

bool
link_wants(const struct link *l, usec_t now)
{
    cr_assert(gt(i64, now, 0));
    return l->state == LINK_DOWN && fake_of(l)->wants;
}

void
link_dialing(struct link *l, usec_t now)
{
    (void)now;
    cr_assert(eq(int, l->state, LINK_DOWN));
    l->state = LINK_DIALING;
    fake_of(l)->dials++;
}

void
link_up(struct link *l, uint64_t nonce, usec_t now)
{
    (void)nonce;
    (void)now;
    cr_assert(eq(int, l->state, LINK_DIALING));
    l->state = LINK_UP;
    fake_of(l)->ups++;
}

void
link_down(struct link *l, usec_t now)
{
    (void)now;
    cr_assert(fake_of(l)->exists);
    l->state = LINK_DOWN;
    fake_of(l)->downs++;
    fake_of(l)->wants = false; /* backs off */
    if (fake_of(l)->over) {
        fake_of(l)->exists = false;
    }
}

bool
link_is_over(const struct link *l)
{
    return fake_of(l)->over;
}

struct iovec
link_rx_space(struct link *l)
{
    cr_assert(eq(int, l->state, LINK_UP));
    tell('s');
    return fake_of(l)->no_memory ? (struct iovec){ 0 } : (struct iovec){ rx, sizeof rx };
}

bool
link_rx(struct link *l, size_t n, usec_t now)
{
    cr_assert(gt(i64, now, 0));
    tell('r');
    rx_total += n;
    if (rx_answers != NULL) {
        answered[answered_count++] = &session;
    }
    return !fake_of(l)->bad;
}

bool
link_park(struct link *l)
{
    tell('p');
    return !fake_of(l)->no_park;
}

int
link_tx(struct link *l, struct iovec *iov, int max)
{
    struct fake *f = fake_of(l);

    cr_assert(ge(int, max, 2));
    if (f->out_len == 0) {
        return 0;
    }
    iov[0] = (struct iovec){ (char *)(uintptr_t)f->out, f->out_len / 2 };
    iov[1] = (struct iovec){ (char *)(uintptr_t)f->out + f->out_len / 2,
                             f->out_len - f->out_len / 2 };
    return 2;
}

void
link_tx_done(struct link *l, size_t n)
{
    struct fake *f = fake_of(l);

    tell('w');
    cr_assert(le(sz, n, f->out_len));
    f->out += n;
    f->out_len -= n;
    if (again > 0 && f->out_len == 0) {
        again--;
        answered[answered_count++] = &session;
    }
}

uint16_t
view_find(const struct view *v, node_id id)
{
    (void)v;
    return id == 2 ? 2 : VIEW_NOBODY; /* the second only does not answer pings */
}

uint16_t
gossip_label(const char *cluster)
{
    cr_expect(eq(str, (char *)(uintptr_t)cluster, "test"));
    return LABEL;
}

/* -- the rest of a worker -------------------------------------------------------------------- */

static struct settings settings;
static struct node node;
static struct worker *worker;
static struct view *view;
static struct loop loop;
static struct links links;
static int listening = -1, other = -1;
static struct cluster_addr listening_at;
static unsigned pushes, evidence_count;
static node_id evidence_sum;
static void (*on_push)(void);

static void
push(struct session *s)
{
    cr_assert(s == &session);
    tell('a');
    pushes++;
    if (rx_answers != NULL) {
        cr_expect(zero(int, memcmp(rx, rx_answers, strlen(rx_answers))), "its answer is gone");
    }
    if (on_push != NULL) {
        on_push();
    }
}

static void
evidence(void *arg, node_id id, bool on)
{
    cr_expect(arg == &loop);
    cr_expect(eq(int, on, id % 2 != 0));
    evidence_count++;
    evidence_sum += id;
}

static void
listen_to(int backlog)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof sa;

    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(zero(int, bind(listening, (struct sockaddr *)&sa, sizeof sa)));
    cr_assert(zero(int, listen(listening, backlog)));
    cr_assert(zero(int, getsockname(listening, (struct sockaddr *)&sa, &len)));
    listening_at = (struct cluster_addr){ .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 },
                                          .port = ntohs(sa.sin_port) };
}

/* A link to node i + 1, which is where the test listens. */
static void
link_make(unsigned i)
{
    fake[i] = (struct fake){ .exists = true, .wants = true };
    fake[i].link.node = i + 1;
    fake[i].link.addr = listening_at;
    peer_rows_open(node.peer_rows, i + 1, worker->index, 1);
}

static void
setup(void)
{
    struct links_config config = { .loop = &loop, .push = push, .evidence = evidence,
                                   .arg = &loop };

    cr_assert(eq(int, loop_init(&loop), ERR_OK));
    strcpy(settings.cluster.cluster_name, "test");
    node.settings = &settings;
    node.peer_rows = peer_rows_new();
    view = calloc(1, sizeof *view + 2 * sizeof view->node[0]);
    view->number = 1;
    view->self = 1;
    view->count = 2;
    view->node[1].info.id = SELF;
    view->node[1].info.nonce = 77;
    view->node[1].info.features = 5;
    worker = aligned_alloc(_Alignof(struct worker), sizeof *worker);
    memset(worker, 0, sizeof *worker);
    worker->node = &node;
    worker->index = 3;
    worker->view = view;
    worker->peers = &peers;
    config.worker = worker;
    links_init(&links, &config);
    listen_to(64);
}

static void
teardown(void)
{
    links_fini(&links);
    peer_rows_free(node.peer_rows);
    free(worker);
    free(view);
    close(listening);
    if (other >= 0) {
        close(other);
    }
    loop_fini(&loop);
}

TestSuite(links, .init = setup, .fini = teardown, .timeout = 30);

/* Runs a turn; with EVRUN_ONCE it waits for an event or the links' timer, if that is armed. */
static void
turn(int flags)
{
    ev_run(loop.ev, ev_is_active(&links.timer) ? flags : EVRUN_NOWAIT);
    while (loop.jobs.next != &loop.jobs) {
        struct loop_job *job = loop.jobs.next;

        loop_cancel(job);
        job->run(job);
    }
    links_turn_end(&links);
}

/* A turn finds that it is time to call. */
static void
want(unsigned i)
{
    fake[i].wants = true;
    peers.due = 0;
    turn(EVRUN_NOWAIT);
}

/* Runs turns until it is so. */
#define UNTIL(what)                                                                                \
    do {                                                                                           \
        usec_t end_ = clock_now() + 10 * USEC_PER_SEC;                                             \
        while (!(what)) {                                                                          \
            cr_assert(lt(i64, clock_now(), end_), "never: %s", #what);                             \
            turn(EVRUN_ONCE);                                                                      \
        }                                                                                          \
    } while (0)

/* Takes the call and reads the greeting. */
static void
take_call(struct peer_hello *h)
{
    char hello[PEER_HELLO];

    UNTIL(fake[0].dials > 0);
    other = accept(listening, NULL, NULL);
    cr_assert(ge(int, other, 0));
    turn(EVRUN_ONCE); /* it is connected */
    cr_assert(eq(int, (int)recv(other, hello, sizeof hello, MSG_WAITALL), PEER_HELLO));
    cr_assert(peer_read_hello(hello, h));
}

static void
answer(node_id from, enum peer_verdict verdict, unsigned version, unsigned label)
{
    struct peer_hello h = {
        .purpose = PEER_DATA, .verdict = verdict, .version_min = (uint8_t)version,
        .version_max = (uint8_t)version, .label = (uint16_t)label, .from = from,
    };
    char hello[PEER_HELLO];

    peer_write_hello(&h, hello);
    cr_assert(eq(int, (int)send(other, hello, sizeof hello, 0), PEER_HELLO));
}

/* A link that stands, to other. */
static void
up(void)
{
    struct peer_hello h;

    link_make(0);
    take_call(&h);
    answer(1, PEER_WELCOME, CLUSTER_VERSION, LABEL);
    UNTIL(fake[0].ups > 0);
    story_len = 0;
}

/* The faults that were noted, by node. */
static void
fault_see(void *arg, const struct peer_row *row)
{
    ((int64_t *)arg)[row->node] = peer_row_get(row, PEER_ROW_FAULT);
}

static void
expect_fault_of(node_id id, enum peer_fault want)
{
    int64_t fault[MANY + 1] = { 0 };

    peer_rows_each(node.peer_rows, fault_see, fault);
    cr_expect(eq(str, (char *)(uintptr_t)peer_row_fault_text(fault[id]),
                 (char *)(uintptr_t)peer_row_fault_text(want)));
}

static void
expect_fault(enum peer_fault want)
{
    expect_fault_of(1, want);
}

/* -- tests ----------------------------------------------------------------------------------- */

/* A node that is alone pays a load and a compare for all this, and no timer wakes it. */
Test(links, a_node_alone_has_nothing_to_do)
{
    worker->peers = NULL;
    worker->view = NULL;
    turn(EVRUN_NOWAIT);
    cr_expect(zero(int, ev_is_active(&links.timer)));
    cr_expect(zero(int, ticks));
}

/* A node that joins is called in the same turn, by each worker under its own number. */
Test(links, a_new_node_is_called_at_once)
{
    struct peer_hello h;
    int flag = 0;
    socklen_t len = sizeof flag;

    turn(EVRUN_NOWAIT);
    link_make(0);
    turn(EVRUN_NOWAIT);
    cr_expect(zero(int, fake[0].dials), "nothing is new");
    view->number = 2;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(int, fake[0].dials, 1));
    take_call(&h);
    cr_expect(eq(int, h.purpose, PEER_DATA));
    cr_expect(eq(int, h.verdict, PEER_WELCOME));
    cr_expect(eq(u64, h.from, SELF));
    cr_expect(eq(u64, h.nonce, 77));
    cr_expect(eq(u64, h.features, 5));
    cr_expect(eq(int, h.worker, 3));
    cr_expect(eq(int, h.label, LABEL));
    cr_expect(eq(int, h.version_min, CLUSTER_VERSION_MIN));
    cr_expect(eq(int, h.version_max, CLUSTER_VERSION));
    cr_expect(zero(int, fake[0].ups), "before the answer");
    answer(1, PEER_WELCOME, CLUSTER_VERSION, LABEL);
    UNTIL(fake[0].ups == 1);
    cr_expect(zero(int, fake[0].downs));
    cr_expect(zero(u32, links.calls));
    cr_expect(zero(int, getsockopt(other, IPPROTO_TCP, TCP_NODELAY, &flag, &len)));
}

/* Whoever answers must be whom we mean, of our cluster, and speak our language. */
Test(links, other_answers_are_refused)
{
    static const struct {
        node_id from;
        enum peer_verdict verdict;
        unsigned version, label;
        enum peer_fault fault;
    } row[] = {
        { 1, PEER_LABEL, CLUSTER_VERSION, LABEL, PEER_FAULT_LABEL },
        { 1, PEER_VERSION, CLUSTER_VERSION, LABEL, PEER_FAULT_VERSION },
        { 1, PEER_BUSY, CLUSTER_VERSION, LABEL, PEER_FAULT_BUSY },
        { 1, PEER_SELF, CLUSTER_VERSION, LABEL, PEER_FAULT_SELF },
        { 1, PEER_WELCOME, CLUSTER_VERSION, LABEL + 1, PEER_FAULT_LABEL },
        { 1, PEER_WELCOME, CLUSTER_VERSION + 1, LABEL, PEER_FAULT_VERSION },
        { 9, PEER_WELCOME, CLUSTER_VERSION, LABEL, PEER_FAULT_STRANGER },
        { SELF, PEER_WELCOME, CLUSTER_VERSION, LABEL, PEER_FAULT_SELF },
    };
    struct peer_hello h;
    char byte;

    link_make(0);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        fake[0].dials = fake[0].downs = 0;
        want(0);
        take_call(&h);
        answer(row[i].from, row[i].verdict, row[i].version, row[i].label);
        UNTIL(fake[0].downs == 1);
        cr_expect(zero(int, fake[0].ups), "row %zu", i);
        cr_expect(zero(int, (int)recv(other, &byte, 1, 0)), "row %zu: it is not closed", i);
        expect_fault(row[i].fault);
        close(other);
    }
    other = -1;
}

/* Something else listens there, or it dies while it greets. */
Test(links, no_greeting_is_no_link)
{
    struct peer_hello h;
    char noise[PEER_HELLO];

    link_make(0);
    take_call(&h);
    memset(noise, 'E', sizeof noise);
    cr_assert(eq(int, (int)send(other, noise, sizeof noise, 0), (int)sizeof noise));
    UNTIL(fake[0].downs == 1);
    expect_fault(PEER_FAULT_MALFORMED);
    close(other);
    fake[0].dials = 0;
    want(0);
    take_call(&h);
    cr_assert(eq(int, (int)send(other, noise, 10, 0), 10));
    close(other);
    other = -1;
    UNTIL(fake[0].downs == 2);
    expect_fault(PEER_FAULT_ENDED);
    close(listening);
    listening = -1;
    want(0);
    UNTIL(fake[0].downs == 3);
    expect_fault(PEER_FAULT_REFUSED);
    fake[0].link.addr = (struct cluster_addr){ 0 };
    want(0);
    UNTIL(fake[0].downs == 4);
    expect_fault(PEER_FAULT_UNREACHABLE);
    cr_expect(zero(int, fake[0].ups));
    cr_expect(zero(u32, links.calls));
}

/* A paused process accepts (its kernel does), and never greets. */
Test(links, a_greeting_that_is_not_answered_times_out)
{
    struct peer_hello h;
    usec_t before = clock_now();

    link_make(0);
    take_call(&h);
    UNTIL(fake[0].downs == 1);
    expect_fault(PEER_FAULT_TIMEOUT);
    cr_expect(ge(i64, clock_now() - before, LINKS_CALL_TIMEOUT * 9 / 10));
    cr_expect(lt(i64, clock_now() - before, LINKS_CALL_TIMEOUT * 5));
}

/* An answer that lies in the buffer for reading reaches its client before that is used again. */
Test(links, answers_are_pushed_before_anything_is_read)
{
    up();
    rx_answers = "VALUE";
    cr_assert(eq(int, (int)send(other, "VALUE", 5, 0), 5));
    UNTIL(pushes == 1);
    cr_expect(eq(sz, rx_total, 5));
    cr_expect(eq(str, story, "srap"));
    rx_answers = "OTHER";
    cr_assert(eq(int, (int)send(other, "OTHER", 5, 0), 5));
    UNTIL(pushes == 2);
    cr_expect(eq(str, story, "srapsrap"));
}

/* What came for a node in a turn, from however many clients, leaves in one write at its end. */
Test(links, what_is_to_be_sent_leaves_at_the_end_of_the_turn)
{
    char got[64] = "";

    up();
    fake[0].out = "two frames";
    fake[0].out_len = 10;
    fake[0].link.is_dirty = true;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(str, story, "wp"), "one write, then the end");
    cr_expect(eq(int, (int)recv(other, got, sizeof got, 0), 10));
    cr_expect(eq(str, got, "two frames"));
    turn(EVRUN_NOWAIT);
    cr_expect(eq(str, story, "wp"), "and no more");
}

static void
push_asks_again(void)
{
    fake[0].out = "again";
    fake[0].out_len = 5;
    fake[0].link.is_dirty = true;
}

/* A client whose request timed out sends the next one in the same turn; but not for ever. */
Test(links, sessions_that_go_on_are_served_in_the_same_turn)
{
    up();
    on_push = push_asks_again;
    again = 1;
    answered[answered_count++] = &session;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(str, story, "awpawp"));
    again = 1000000;
    answered[answered_count++] = &session;
    turn(EVRUN_NOWAIT);
    cr_expect(lt(u32, pushes, 20), "nobody else has a turn");
    pushes = 0;
    turn(EVRUN_ONCE); /* which does not wait */
    cr_expect(gt(u32, pushes, 0));
}

/* A request that was made in this turn times out before all that the timer was armed for. */
Test(links, a_tick_comes_when_it_is_due)
{
    usec_t before;
    int was;

    up();
    UNTIL(ticks > 0);
    before = clock_now();
    was = ticks;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(int, ticks, was), "it is not due");
    peers.due = loop.now + 20 * USEC_PER_MSEC;
    turn(EVRUN_NOWAIT);
    UNTIL(ticks > was);
    cr_expect(ge(i64, clock_now() - before, 20 * USEC_PER_MSEC));
    cr_expect(lt(i64, clock_now() - before, 5 * USEC_PER_SEC));
}

/* The view drops a node, or it answers no pings: its connection ends with it. */
Test(links, a_link_that_is_over_is_closed)
{
    char byte;

    up();
    fake[0].over = true;
    link_make(1); /* over before it was ever called */
    fake[1].over = true;
    view->number++;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(int, fake[0].downs, 1));
    cr_expect(not(fake[0].exists));
    cr_expect(eq(int, fake[1].downs, 1));
    cr_expect(zero(int, fake[1].dials));
    cr_expect(zero(int, (int)recv(other, &byte, 1, 0)));
    expect_fault(PEER_FAULT_NONE);
    cr_expect(links.first == NULL);
}

/* ... also while it is being called: a descriptor must not stay behind. */
Test(links, a_call_to_a_node_that_is_gone_is_given_up)
{
    struct peer_hello h;
    char byte;

    link_make(0);
    take_call(&h);
    fake[0].over = true;
    view->number++;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(int, fake[0].downs, 1));
    cr_expect(zero(int, (int)recv(other, &byte, 1, 0)));
    cr_expect(zero(u32, links.calls));
    cr_expect(links.first == NULL);
}

/* The process at the other end ends: the link hears of it at once, and calls when it wants to. */
Test(links, an_ended_connection_is_told_and_made_again)
{
    struct peer_hello h;

    up();
    close(other);
    UNTIL(fake[0].downs == 1);
    expect_fault(PEER_FAULT_ENDED);
    fake[0].dials = 0;
    want(0);
    take_call(&h);
    answer(1, PEER_WELCOME, CLUSTER_VERSION, LABEL);
    UNTIL(fake[0].ups == 2);
}

/* Bytes that are no answer, and memory that is not there, end the connection, not the process. */
Test(links, what_cannot_be_read_ends_the_connection)
{
    struct peer_hello h;
    char byte;

    up();
    fake[0].bad = true;
    rx_answers = "noise";
    cr_assert(eq(int, (int)send(other, "noise", 5, 0), 5));
    UNTIL(fake[0].downs == 1);
    expect_fault(PEER_FAULT_MALFORMED);
    cr_expect(eq(u32, pushes, 1), "answers in front of it count");
    rx_answers = NULL;
    for (int i = 0; i < 2; i++) {
        close(other);
        fake[0].dials = fake[0].downs = 0;
        fake[0].bad = fake[0].no_memory = fake[0].no_park = false;
        peer_rows_fault(node.peer_rows, 1, worker->index, PEER_FAULT_NONE);
        want(0);
        take_call(&h);
        answer(1, PEER_WELCOME, CLUSTER_VERSION, LABEL);
        UNTIL(fake[0].link.state == LINK_UP);
        fake[0].no_memory = i == 0;
        fake[0].no_park = i == 1;
        cr_assert(eq(int, (int)send(other, "bytes", 5, 0), 5));
        UNTIL(fake[0].downs == 1);
        expect_fault(PEER_FAULT_RESOURCES);
        cr_expect(le(int, (int)recv(other, &byte, 1, 0), 0));
    }
}

/* Two nodes that have a lot to tell each other must not both wait for the other to read. */
Test(links, answers_are_read_while_requests_wait_for_room)
{
    static char large[16 << 20], got[1 << 16];
    size_t total = 0;

    up();
    fake[0].out = large;
    fake[0].out_len = sizeof large;
    fake[0].link.is_dirty = true;
    turn(EVRUN_NOWAIT);
    cr_assert(gt(sz, fake[0].out_len, 0), "the socket did not fill up");
    cr_assert(eq(int, (int)send(other, "answer", 6, 0), 6));
    UNTIL(rx_total == 6);
    cr_assert(gt(sz, fake[0].out_len, 0));
    while (total < sizeof large) {
        ssize_t n = recv(other, got, sizeof got, MSG_DONTWAIT);

        total += n > 0 ? (size_t)n : 0;
        turn(EVRUN_NOWAIT);
    }
    cr_expect(zero(sz, fake[0].out_len));
}

/* Who joins a thousand nodes does not call all of them in one moment. */
Test(links, calls_are_bounded)
{
    unsigned dialing = 0;
    int fd[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        link_make(i);
    }
    turn(EVRUN_NOWAIT);
    for (unsigned i = 0; i < MANY; i++) {
        dialing += fake[i].link.state == LINK_DIALING;
    }
    cr_expect(eq(u32, dialing, LINKS_CALLS_MAX));
    for (unsigned i = 0; i < MANY; i++) {
        UNTIL(poll(&(struct pollfd){ .fd = listening, .events = POLLIN }, 1, 0) == 1);
        fd[i] = accept(listening, NULL, NULL);
        close(fd[i]); /* no greeting: the next one has its turn */
    }
    UNTIL(links.calls == 0);
    for (unsigned i = 0; i < MANY; i++) {
        cr_expect(eq(int, fake[i].dials, 1), "node %u", i + 1);
        cr_expect(eq(int, fake[i].downs, 1), "node %u", i + 1);
    }
}

/* What the links learn of members goes to who drives gossip. */
Test(links, evidence_is_handed_on)
{
    news = 3;
    turn(EVRUN_NOWAIT);
    cr_expect(eq(u32, evidence_count, 3));
    cr_expect(eq(u64, evidence_sum, 6));
}

/* The end of the worker: descriptors are closed, whatever state the links are in. */
Test(links, the_end_closes_everything)
{
    int before, after;
    char byte;

    up();
    before = dup(0);
    close(before);
    link_make(1);
    view->number++;
    turn(EVRUN_NOWAIT);
    cr_assert(eq(int, fake[1].dials, 1));
    links_fini(&links);
    cr_expect(links.first == NULL);
    cr_expect(eq(int, fake[0].downs, 1));
    cr_expect(eq(int, fake[1].downs, 1));
    cr_expect(zero(int, (int)recv(other, &byte, 1, 0)));
    after = dup(0);
    cr_expect(le(int, after, before));
    close(after);
    cr_expect(zero(int, ev_is_active(&links.timer)));
}

/* A node that does not answer pings is a fault of its link, one that left is none. */
Test(links, a_link_that_is_silent_has_a_fault)
{
    link_make(1);
    UNTIL(fake[1].dials > 0);
    fake[1].over = true;
    view->number++;
    turn(EVRUN_NOWAIT);
    expect_fault_of(2, PEER_FAULT_TIMEOUT);
}
