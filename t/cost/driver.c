/*
 * driver.c - speaks to a node without sockets, so that callgrind can count its instructions.
 *
 * A workload is a table row: what is in the store, and what a client asks in one turn.  All of its
 * requests and their answers are written down before; then they are played, the first two thirds
 * to warm up.  Counted is what a worker does in a turn, from worker_turn() to session_park(), but
 * for the copies that the kernel makes.  Every answer is compared, so that no count is that of an
 * error.  Keys, times and order are fixed: the same program counts the same.
 *
 * usage: driver [WORKLOAD...]   (all if none is named; "--list": names and operations;
 *                                "--made": what it was compiled with)
 */
#if !__has_include(<valgrind/callgrind.h>)
#error "valgrind is missing (Debian: apt-get install valgrind)"
#endif
#include "base/buf.h"
#include "base/rng.h"
#include "drive.h"
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#define KEYS     5000
#define OPS      9600 /* a multiple of every depth */
#define WARM     2    /* times as many that are not counted */
#define ROUNDS   (WARM + 1)
#define TURN     10 /* usec between two turns */
#define KEY      24 /* bytes */
#define VALUE    100
#define DEPTH    32
#define MULTI    100
#define SPANS    64
#define LATE     (10 * USEC_PER_SEC)
#define CAS      17  /* digits of a cas unique at DRIVE_START */
#define CAS_AT   16  /* bytes before the cas unique in a binary head */
#define GETKQ    0x0d
#define SETQ     0x01
#define NOOP     0x0a
#define REQUEST  0x80
#define RESPONSE 0x81

static char value[512 << 10];

/* What is said and what must be heard, turn by turn; any holds a 1 for each byte of want that may
 * be what it likes. */
struct script {
    struct buf say, want, any;
    struct turn {
        size_t say_end, want_end;
    } *turn;
    unsigned turns;
    uint32_t size; /* of values */
};

static void
need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "driver: %s\n", what);
        exit(1);
    }
}

static void
add(struct buf *b, const void *bytes, size_t n)
{
    need(buf_add(b, bytes, n), "out of memory");
}

static void
say(struct script *s, const char *text)
{
    add(&s->say, text, strlen(text));
}

static void
want(struct script *s, const char *text)
{
    add(&s->want, text, strlen(text));
}

static void
want_any(struct script *s, size_t n)
{
    static const char zero[CAS], one[CAS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

    need(buf_reserve(&s->any, s->want.len - s->any.len), "out of memory");
    memset(s->any.ptr + s->any.len, 0, s->want.len - s->any.len);
    s->any.len = s->want.len;
    add(&s->want, zero, n);
    add(&s->any, one, n);
}

/* -- the commands: each writes a request for one key, and its answer ------------------------ */

static void
key_of(char *ret, unsigned key)
{
    char text[KEY + 1];

    snprintf(text, sizeof text, "key:%0*u", KEY - 4, key);
    memcpy(ret, text, KEY);
}

static void
add_key(struct buf *b, unsigned key)
{
    char text[KEY];

    key_of(text, key);
    add(b, text, KEY);
}

static void
add_number(struct buf *b, const char *before, unsigned number, const char *after)
{
    need(buf_printf(b, "%s%u%s", before, number, after), "out of memory");
}

static void
want_value(struct script *s, unsigned key)
{
    want(s, "VALUE ");
    add_key(&s->want, key);
    add_number(&s->want, " 0 ", s->size, "\r\n");
    add(&s->want, value, s->size);
    want(s, "\r\n");
}

static void
ask_get(struct script *s, unsigned key)
{
    say(s, "get ");
    add_key(&s->say, key);
    say(s, "\r\n");
    want_value(s, key);
    want(s, "END\r\n");
}

static void
ask_absent(struct script *s, unsigned key)
{
    say(s, "get ");
    add_key(&s->say, key);
    say(s, "\r\n");
    want(s, "END\r\n");
}

static void
ask_one_of_many(struct script *s, unsigned key)
{
    say(s, " ");
    add_key(&s->say, key);
    want_value(s, key);
}

static void
say_value(struct script *s, const char *before, unsigned key, const char *middle)
{
    say(s, before);
    add_key(&s->say, key);
    add_number(&s->say, middle, s->size, "\r\n");
    add(&s->say, value, s->size);
    say(s, "\r\n");
}

static void
ask_set(struct script *s, unsigned key)
{
    say_value(s, "set ", key, " 0 0 ");
    want(s, "STORED\r\n");
}

static void
ask_set_short_lived(struct script *s, unsigned key)
{
    say_value(s, "set ", key, " 0 1 ");
    want(s, "STORED\r\n");
}

static void
ask_delete(struct script *s, unsigned key)
{
    say(s, "delete ");
    add_key(&s->say, key);
    say(s, "\r\n");
    want(s, "DELETED\r\n");
}

static void
ask_touch(struct script *s, unsigned key)
{
    say(s, "touch ");
    add_key(&s->say, key);
    say(s, " 1000\r\n");
    want(s, "TOUCHED\r\n");
}

static void
ask_gat(struct script *s, unsigned key)
{
    say(s, "gat 1000 ");
    add_key(&s->say, key);
    say(s, "\r\n");
    want_value(s, key);
    want(s, "END\r\n");
}

static void
ask_counter(struct script *s, unsigned key)
{
    say(s, "set ");
    add_key(&s->say, key);
    say(s, " 0 0 5\r\n10000\r\n");
    want(s, "STORED\r\n");
}

/* Five digits all the way. */
static void
ask_incr(struct script *s, unsigned key)
{
    say(s, "incr ");
    add_key(&s->say, key);
    say(s, " 1\r\n");
    add_number(&s->want, "", 10001 + s->turns, "\r\n");
}

static void
ask_mg(struct script *s, unsigned key)
{
    say(s, "mg ");
    add_key(&s->say, key);
    say(s, " v\r\n");
    add_number(&s->want, "VA ", s->size, "\r\n");
    add(&s->want, value, s->size);
    want(s, "\r\n");
}

static void
ask_mg_flags(struct script *s, unsigned key)
{
    say(s, "mg ");
    add_key(&s->say, key);
    say(s, " t f c v k O1234\r\n");
    add_number(&s->want, "VA ", s->size, " t-1 f0 c");
    want_any(s, CAS);
    want(s, " k");
    add_key(&s->want, key);
    want(s, " O1234\r\n");
    add(&s->want, value, s->size);
    want(s, "\r\n");
}

static void
ask_ms(struct script *s, unsigned key)
{
    say_value(s, "ms ", key, " ");
    want(s, "HD\r\n");
}

/* A binary head. */
static void
add_head(struct buf *b, unsigned char magic, unsigned char opcode, unsigned key, unsigned extra,
         unsigned body)
{
    unsigned char head[24] = { magic,
                               opcode,
                               0,
                               (unsigned char)key,
                               (unsigned char)extra,
                               0,
                               0,
                               0,
                               (unsigned char)(body >> 24),
                               (unsigned char)(body >> 16),
                               (unsigned char)(body >> 8),
                               (unsigned char)body };

    add(b, head, sizeof head);
}

/* The same in an answer, whose cas unique is anything. */
static void
want_head(struct script *s, unsigned char opcode, unsigned key, unsigned extra, unsigned body)
{
    struct buf head = { 0 };

    add_head(&head, RESPONSE, opcode, key, extra, body);
    add(&s->want, head.ptr, CAS_AT);
    want_any(s, head.len - CAS_AT);
    buf_free(&head);
}

static void
ask_getkq(struct script *s, unsigned key)
{
    add_head(&s->say, REQUEST, GETKQ, KEY, 0, KEY);
    add_key(&s->say, key);
    want_head(s, GETKQ, KEY, 4, 4 + KEY + s->size);
    add(&s->want, "\0\0\0\0", 4);
    add_key(&s->want, key);
    add(&s->want, value, s->size);
}

static void
ask_binary_set(struct script *s, unsigned key)
{
    add_head(&s->say, REQUEST, SETQ, KEY, 8, 8 + KEY + s->size);
    add(&s->say, "\0\0\0\0\0\0\0\0", 8);
    add_key(&s->say, key);
    add(&s->say, value, s->size);
    want_head(s, SETQ, 0, 0, 0);
}

static void
open_multiget(struct script *s)
{
    say(s, "get");
}

static void
close_multiget(struct script *s)
{
    say(s, "\r\n");
    want(s, "END\r\n");
}

static void
close_with_noop(struct script *s)
{
    add_head(&s->say, REQUEST, NOOP, 0, 0, 0);
    want_head(s, NOOP, 0, 0, 0);
}

/* -- the workloads -------------------------------------------------------------------------- */

/* Keys from 0 to keys-1 are there at the beginning, all of it. */
enum pick {
    PICK_ANY,  /* of those that are there, each time anew */
    PICK_NEXT, /* one after the other, each once */
    PICK_HOT,  /* always the same */
    PICK_NONE, /* of those that are not there */
    PICK_NEW,  /* the same, each once */
};

struct workload {
    const char *name;
    unsigned keys;
    uint32_t size;  /* of a value */
    unsigned depth; /* keys in a turn */
    unsigned ops;   /* counted keys */
    enum pick pick;
    void (*ask)(struct script *s, unsigned key);
    void (*fill)(struct script *s, unsigned key);                 /* NULL: ask_set() */
    void (*open)(struct script *s), (*close)(struct script *s);   /* of a turn; NULL: nothing */
    const char *memory;                                           /* NULL: plenty */
    usec_t pause;                                                 /* before it begins */
};

static const struct workload workloads[] = {
    { "get", KEYS, VALUE, 1, OPS, PICK_ANY, .ask = ask_get },
    { "get-32b", KEYS, 32, 1, OPS, PICK_ANY, .ask = ask_get },
    { "get-miss", KEYS, VALUE, 1, OPS, PICK_NONE, .ask = ask_absent },
    { "get-expired", ROUNDS * OPS, VALUE, 1, OPS, PICK_NEXT, .ask = ask_absent,
      .fill = ask_set_short_lived, .pause = LATE },
    { "get-4k", KEYS / 10, 4 << 10, 1, OPS / 8, PICK_ANY, .ask = ask_get },
    { "get-512k", 20, 512 << 10, 1, 10, PICK_ANY, .ask = ask_get },
    { "get-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_get },
    { "get-d32-32b", KEYS, 32, DEPTH, OPS, PICK_ANY, .ask = ask_get },
    { "get-multi100", KEYS, VALUE, MULTI, OPS, PICK_ANY, .ask = ask_one_of_many,
      .open = open_multiget, .close = close_multiget },
    { "gat", KEYS, VALUE, 1, OPS, PICK_ANY, .ask = ask_gat },
    { "touch", KEYS, VALUE, 1, OPS, PICK_ANY, .ask = ask_touch },
    { "set", KEYS, VALUE, 1, OPS, PICK_ANY, .ask = ask_set },
    { "set-new", KEYS, VALUE, 1, OPS, PICK_NEW, .ask = ask_set },
    { "set-evict", ROUNDS * OPS, VALUE, 1, OPS, PICK_NEW, .ask = ask_set,
      .memory = "memory_limit=2m" },
    { "set-4k", KEYS / 10, 4 << 10, 1, OPS / 8, PICK_ANY, .ask = ask_set },
    { "set-512k", 20, 512 << 10, 1, 10, PICK_ANY, .ask = ask_set },
    { "set-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_set },
    { "delete", ROUNDS * OPS, VALUE, 1, OPS, PICK_NEXT, .ask = ask_delete },
    { "incr-hot", KEYS, VALUE, 1, OPS, PICK_HOT, .ask = ask_incr, .fill = ask_counter },
    { "mg-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_mg },
    { "mg-flags-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_mg_flags },
    { "ms-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_ms },
    { "bin-getkq32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_getkq,
      .close = close_with_noop },
    { "bin-set-d32", KEYS, VALUE, DEPTH, OPS, PICK_ANY, .ask = ask_binary_set },
};

#define WORKLOADS (sizeof workloads / sizeof workloads[0])

static unsigned
pick(const struct workload *w, struct rng *r, unsigned nth)
{
    switch (w->pick) {
    case PICK_NEXT:
        return nth;
    case PICK_HOT:
        return w->keys / 2;
    case PICK_NONE:
        return w->keys + (unsigned)rng_below(r, w->keys);
    case PICK_NEW:
        return w->keys + nth;
    case PICK_ANY:
        break;
    }
    return (unsigned)rng_below(r, w->keys);
}

static void
script_init(struct script *s, uint32_t size, unsigned turns)
{
    *s = (struct script){ .size = size, .turn = calloc(turns, sizeof *s->turn) };
    need(s->turn, "out of memory");
}

static void
script_fini(struct script *s)
{
    buf_free(&s->say);
    buf_free(&s->want);
    buf_free(&s->any);
    free(s->turn);
}

static void
script_end_turn(struct script *s)
{
    s->turn[s->turns++] = (struct turn){ s->say.len, s->want.len };
}

static void
script_write(struct script *s, const struct workload *w)
{
    struct rng r;
    unsigned turns = ROUNDS * w->ops / w->depth;

    rng_init(&r, 1);
    script_init(s, w->size, turns);
    for (unsigned t = 0; t < turns; t++) {
        if (w->open) {
            w->open(s);
        }
        for (unsigned i = 0; i < w->depth; i++) {
            w->ask(s, pick(w, &r, t * w->depth + i));
        }
        if (w->close) {
            w->close(s);
        }
        script_end_turn(s);
    }
    want_any(s, 0);
}

static void
script_write_fill(struct script *s, const struct workload *w)
{
    script_init(s, w->size, w->keys);
    for (unsigned key = 0; key < w->keys; key++) {
        (w->fill ? w->fill : ask_set)(s, key);
        script_end_turn(s);
    }
    want_any(s, 0);
}

/* -- playing -------------------------------------------------------------------------------- */

/* What session_tx() names is what the kernel takes. */
static void
send_all(struct session *s, struct buf *got)
{
    struct iovec iov[SPANS];
    int count;

    while ((count = session_tx(s, iov, SPANS)) > 0) {
        size_t sent = 0;

        CALLGRIND_TOGGLE_COLLECT;
        for (int i = 0; i < count; i++) {
            add(got, iov[i].iov_base, iov[i].iov_len);
            sent += iov[i].iov_len;
        }
        CALLGRIND_TOGGLE_COLLECT;
        session_tx_done(s, sent);
    }
}

/* Reads what there is room for, as recv() does; returns how much. */
static size_t
receive(struct session *s, const char *in, size_t len, usec_t now)
{
    struct iovec room = session_rx_space(s);
    size_t n = room.iov_len < len ? room.iov_len : len;

    CALLGRIND_TOGGLE_COLLECT;
    need(n > 0, "a session takes no input");
    memcpy(room.iov_base, in, n);
    CALLGRIND_TOGGLE_COLLECT;
    session_rx(s, n, now);
    return n;
}

/* Turns of net/stream and daemon/workers, until all is read and answered. */
static void
play_turn(struct drive_node *n, struct session *s, struct slice in, struct buf *got)
{
    bool parked = true;

    CALLGRIND_TOGGLE_COLLECT;
    while (parked && (in.len > 0 || session_has_work(s))) {
        worker_turn(n->worker, n->now);
        if (session_has_work(s)) {
            session_resume(s, n->now);
        } else {
            size_t used = receive(s, in.ptr, in.len, n->now);

            in.ptr += used;
            in.len -= used;
        }
        send_all(s, got);
        parked = session_park(s);
    }
    CALLGRIND_TOGGLE_COLLECT;
    need(parked, "a session cannot be parked");
    n->now += TURN;
}

static void
compare(const struct script *s, size_t at, size_t end, const struct buf *got)
{
    const char *wanted = s->want.ptr + at, *any = s->any.ptr + at;

    need(got->len == end - at, "an answer has another length than expected");
    if (memcmp(got->ptr, wanted, got->len) == 0) {
        return;
    }
    for (size_t i = 0; i < got->len; i++) {
        if (got->ptr[i] != wanted[i] && !any[i]) {
            fprintf(stderr, "driver: wanted %.*s\ndriver: got %.*s\n", (int)(end - at), wanted,
                    (int)got->len, got->ptr);
            exit(1);
        }
    }
}

/* Plays turns from first to last - 1. */
static void
play(struct drive_node *n, struct session *session, const struct script *s, unsigned first,
     unsigned last)
{
    struct buf got = { 0 };

    for (unsigned i = first; i < last; i++) {
        struct turn from = i > 0 ? s->turn[i - 1] : (struct turn){ 0, 0 };

        got.len = 0;
        play_turn(n, session,
                  (struct slice){ s->say.ptr + from.say_end, s->turn[i].say_end - from.say_end },
                  &got);
        compare(s, from.want_end, s->turn[i].want_end, &got);
    }
    buf_free(&got);
}

static void
run(const struct workload *w)
{
    const char *options[] = { w->memory, NULL };
    struct script fill, script;
    struct drive_node n;
    struct session *session;
    unsigned warm;

    drive_node_init(&n, options);
    script_write_fill(&fill, w);
    script_write(&script, w);
    session = session_new(n.worker, SESSION_AUTO, NULL);
    need(session, "no session");
    play(&n, session, &fill, 0, fill.turns);
    session_free(session);
    n.now += w->pause;
    session = session_new(n.worker, SESSION_AUTO, NULL); /* it may speak another protocol */
    need(session, "no session");
    warm = script.turns / ROUNDS * WARM;
    play(&n, session, &script, 0, warm);
    CALLGRIND_START_INSTRUMENTATION;
    play(&n, session, &script, warm, script.turns);
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(w->name);
    need(!w->memory || drive_metric(&n, M_EVICTIONS) > script.turns, "memory is not full");
    session_free(session);
    script_fini(&fill);
    script_fini(&script);
    drive_node_fini(&n);
}

static const struct workload *
find(const char *name)
{
    for (size_t i = 0; i < WORKLOADS; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

static int
list(void)
{
    for (size_t i = 0; i < WORKLOADS; i++) {
        printf("%s %u\n", workloads[i].name, workloads[i].ops);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    if (argc == 2 && strcmp(argv[1], "--made") == 0) {
        printf("cc %s, glibc %s\n", __VERSION__, gnu_get_libc_version());
        return 0;
    }
    memset(value, 'v', sizeof value);
    for (int i = 1; i < argc; i++) {
        if (!find(argv[i])) {
            fprintf(stderr, "driver: no workload is called '%s', see --list\n", argv[i]);
            return 2;
        }
    }
    for (int i = 1; i < argc; i++) {
        run(find(argv[i]));
    }
    for (size_t i = 0; i < WORKLOADS && argc == 1; i++) {
        run(&workloads[i]);
    }
    return 0;
}
