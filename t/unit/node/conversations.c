/*
 * What a client says and what it must hear: every row of the command tables, in the text and meta
     protocols.  The binary
 * protocol has its own file.
 */
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One conversation with a fresh node.  "\fN\f" in what the client says lets N seconds pass.
 */
struct talk {
    const char *why;
    const char *in;
    const char *out;
};

static void
talk_run(const struct talk *t, const char *const *options)
{
    struct drive_node n;
    struct drive d;
    const char *at = t->in;

    drive_node_init(&n, options);
    drive_init(&d, &n, SESSION_AUTO);
    while (*at) {
        const char *pause = strchr(at, '\f');
        char *end;

        drive_say(&d, at, pause ? (size_t)(pause - at) : strlen(at), DRIVE_ALL);
        if (!pause) {
            break;
        }
        n.now += strtol(pause + 1, &end, 10) * USEC_PER_SEC;
        worker_turn(n.worker, n.now);
        at = end + 1;
    }
    cr_assert(buf_add(&d.got, "", 1));
    cr_expect(strcmp(d.got.ptr, t->out) == 0, "%s:\n--- heard\n%s\n--- expected\n%s", t->why,
        d.got.ptr,
              t->out);
    drive_fini(&d);
    drive_node_fini(&n);
}

static void
talks_run(const struct talk *t, size_t count, const char *const *options)
{
    for (size_t i = 0; i < count; i++) {
        talk_run(&t[i], options);
    }
}

#define RUN(table, ...) \
    talks_run(table, sizeof table / sizeof table[0], (const char *const[]){ __VA_ARGS__ NULL })

#define S "STORED\r\n"
#define E "END\r\n"
#define NUMERIC "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"

/* -- the classic protocol ---------------------------------------------------------------------- */

/* The storing commands differ in what they want to find. */
Test(conversations, storing)
{
    static const struct talk row[] = {
        { "set replaces", "set k 1 0 1\r\na\r\nset k 2 0 2\r\nbb\r\nget k\r\n", S S
          "VALUE k 2 2\r\nbb\r\n" E },
        { "add wants none", "add k 0 0 1\r\na\r\nadd k 0 0 1\r\nb\r\nget k\r\n",
          S "NOT_STORED\r\nVALUE k 0 1\r\na\r\n" E },
        { "replace wants one", "replace k 0 0 1\r\na\r\nset k 0 0 1\r\nb\r\nreplace k 7 0 1\r\n"
          "c\r\nget k\r\n",
          "NOT_STORED\r\n" S S "VALUE k 7 1\r\nc\r\n" E },
        { "append keeps the client flags", "append k 0 0 1\r\na\r\nset k 5 0 1\r\nb\r\n"
          "append k 9 0 2\r\ncd\r\nget k\r\n",
          "NOT_STORED\r\n" S S "VALUE k 5 3\r\nbcd\r\n" E },
        { "prepend", "prepend k 0 0 1\r\na\r\nset k 5 0 1\r\nb\r\nprepend k 9 0 2\r\ncd\r\n"
          "get k\r\n",
          "NOT_STORED\r\n" S S "VALUE k 5 3\r\ncdb\r\n" E },
        { "append keeps the time to live", "set k 0 10 1\r\na\r\nappend k 0 0 1\r\nb\r\n"
          "\f9\fget k\r\n\f1\fget k\r\n",
          S S "VALUE k 0 2\r\nab\r\n" E E },
        { "add over an expired item", "set k 0 5 1\r\na\r\n\f5\fadd k 0 0 1\r\nb\r\nget k\r\n",
          S S "VALUE k 0 1\r\nb\r\n" E },
        { "append nothing", "set k 0 0 1\r\na\r\nappend k 0 0 0\r\n\r\nget k\r\n", S S
          "VALUE k 0 1\r\na\r\n" E },
        { "negative exptime is stored and gone", "set k 0 -1 1\r\na\r\nget k\r\n", S E },
        { "a value that expires", "set k 0 2 1\r\na\r\n\f1\fget k\r\n\f1\fget k\r\n", S
          "VALUE k 0 1\r\na\r\n" E E },
        { "30 days are relative", "set k 0 2592000 1\r\na\r\n\f2591999\fget k\r\n\f1\fget k\r\n",
          S "VALUE k 0 1\r\na\r\n" E E },
        { "one second more is a unix time, long over", "set k 0 2592001 1\r\na\r\nget k\r\n", S E },
        { "a unix time to come", "set k 0 1750000060 1\r\na\r\n\f59\fget k\r\n\f1\fget k\r\n",
          S "VALUE k 0 1\r\na\r\n" E E },
    };

    RUN(row, );
}

/* Numbers of cas are ours to choose, so those that must match are chosen by meta E. */
Test(conversations, cas)
{
    static const struct talk row[] = {
        { "cas on a miss", "cas k 0 0 1 5\r\na\r\n", "NOT_FOUND\r\n" },
        { "cas that matches", "ms k 1 E5\r\na\r\ncas k 3 0 1 5\r\nb\r\nget k\r\n",
          "HD\r\n" S "VALUE k 3 1\r\nb\r\n" E },
        { "cas that does not", "ms k 1 E5\r\na\r\ncas k 3 0 1 6\r\nb\r\nget k\r\n",
          "HD\r\nEXISTS\r\nVALUE k 0 1\r\na\r\n" E },
        { "cas 0 never matches", "set k 0 0 1\r\na\r\ncas k 0 0 1 0\r\nb\r\n", S "EXISTS\r\n" },
        { "gets shows it", "ms k 1 E77\r\na\r\ngets k\r\ngat 0 k\r\ngats 0 k\r\n",
          "HD\r\nVALUE k 0 1 77\r\na\r\n" E "VALUE k 0 1\r\na\r\n" E "VALUE k 0 1 77\r\na\r\n" E },
        { "touch keeps it", "ms k 1 E77\r\na\r\ntouch k 10\r\ngat 20 k\r\nmg k T30 c\r\n",
          "HD\r\nTOUCHED\r\nVALUE k 0 1\r\na\r\n" E "HD c77\r\n" },
        { "a set between two cas", "ms k 1 E5\r\na\r\nset k 0 0 1\r\nb\r\ncas k 0 0 1 5\r\nc\r\n"
          "get k\r\n",
          "HD\r\n" S "EXISTS\r\nVALUE k 0 1\r\nb\r\n" E },
        { "incr changes it", "ms k 1 E5\r\n1\r\nincr k 1\r\ncas k 0 0 1 5\r\nc\r\n", "HD\r\n2\r\n"
          "EXISTS\r\n" },
        { "append changes it", "ms k 1 E5\r\n1\r\nappend k 0 0 1\r\n2\r\ncas k 0 0 1 5\r\nc\r\n",
          "HD\r\n" S "EXISTS\r\n" },
    };

    RUN(row, );
}

Test(conversations, without_cas_everything_is_0)
{
    static const struct talk row[] = {
        { "gets", "set k 0 0 1\r\na\r\ngets k\r\ncas k 0 0 1 1\r\nb\r\nmg k c\r\n",
          S "VALUE k 0 1 0\r\na\r\n" E "EXISTS\r\nHD c0\r\n" },
    };

    RUN(row, "cas=no", );
}

Test(conversations, deleting_and_touching)
{
    static const struct talk row[] = {
        { "delete", "delete k\r\nset k 0 0 1\r\na\r\ndelete k\r\nget k\r\n", "NOT_FOUND\r\n" S
          "DELETED\r\n" E },
        { "delete 0", "set k 0 0 1\r\na\r\ndelete k 0\r\n", S "DELETED\r\n" },
        { "delete anything else",
          "delete k 10\r\ndelete k 0 0\r\n",
          "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
          "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n" },
        { "delete of an expired item", "set k 0 1 1\r\na\r\n\f1\fdelete k\r\n", S "NOT_FOUND\r\n" },
        { "touch", "touch k 5\r\nset k 0 0 1\r\na\r\ntouch k 5\r\n\f4\fget k\r\n\f1\fget k\r\n",
          "NOT_FOUND\r\n" S "TOUCHED\r\nVALUE k 0 1\r\na\r\n" E E },
        { "touch 0 is for ever", "set k 0 5 1\r\na\r\ntouch k 0\r\n\f100\fget k\r\n", S
          "TOUCHED\r\nVALUE k 0 1\r\na\r\n" E },
        { "touch -1 is gone", "set k 0 5 1\r\na\r\ntouch k -1\r\nget k\r\n", S "TOUCHED\r\n" E },
        { "touch with a word", "touch k x\r\n", "CLIENT_ERROR invalid exptime argument\r\n" },
        { "gat", "gat 5 k\r\nset k 7 0 1\r\na\r\ngat 5 k x k\r\n\f5\fget k\r\n",
          E S "VALUE k 7 1\r\na\r\nVALUE k 7 1\r\na\r\n" E E },
    };

    RUN(row, );
}

/* decr pads, because memcached does and clients know its answers. */
Test(conversations, arithmetic)
{
    static const struct talk row[] = {
        { "incr and decr", "set k 0 0 1\r\n5\r\nincr k 3\r\ndecr k 6\r\nget k\r\n", S "8\r\n2\r\n"
          "VALUE k 0 1\r\n2\r\n" E },
        { "misses", "incr k 1\r\ndecr k 1\r\n", "NOT_FOUND\r\nNOT_FOUND\r\n" },
        { "decr stops at 0", "set k 0 0 1\r\n5\r\ndecr k 6\r\n", S "0\r\n" },
        { "a shorter result is padded", "set k 0 0 2\r\n10\r\ndecr k 1\r\nget k\r\nincr k 2\r\n"
          "get k\r\n",
          S "9\r\nVALUE k 0 2\r\n9 \r\n" E "11\r\nVALUE k 0 2\r\n11\r\n" E },
        { "a longer one keeps client flags and time", "set k 7 10 2\r\n99\r\nincr k 1\r\n"
          "\f9\fget k\r\n\f1\fget k\r\n",
          S "100\r\nVALUE k 7 3\r\n100\r\n" E E },
        { "incr wraps", "set k 0 0 20\r\n18446744073709551615\r\nincr k 2\r\nget k\r\n",
          S "1\r\nVALUE k 0 20\r\n1                   \r\n" E },
        { "leading zeros and blanks", "set k 0 0 5\r\n  007\r\nincr k 1\r\n", S "8\r\n" },
        { "what stands behind a blank goes", "set k 0 0 3\r\n1 2\r\nincr k 1\r\nget k\r\n", S
          "2\r\nVALUE k 0 3\r\n2  \r\n" E },
        { "a plus sign", "set k 0 0 2\r\n+5\r\nincr k 1\r\n", S "6\r\n" },
        { "minus 0", "set k 0 0 2\r\n-0\r\nincr k 1\r\n", S "1\r\n" },
        { "negative", "set k 0 0 2\r\n-1\r\nincr k 1\r\n", S NUMERIC },
        { "empty", "set k 0 0 0\r\n\r\nincr k 1\r\n", S NUMERIC },
        { "only blanks", "set k 0 0 2\r\n  \r\nincr k 1\r\n", S NUMERIC },
        { "a word", "set k 0 0 2\r\n1x\r\ndecr k 1\r\nget k\r\n", S NUMERIC "VALUE k 0 2\r\n1x\r\n"
          "" E },
        { "2^64", "set k 0 0 20\r\n18446744073709551616\r\nincr k 1\r\n", S NUMERIC },
        { "delta of a word", "set k 0 0 1\r\n1\r\nincr k x\r\nincr k -1\r\n"
          "incr k 18446744073709551616\r\n",
          S "CLIENT_ERROR invalid numeric delta argument\r\n"
              "CLIENT_ERROR invalid numeric delta argument\r\n"
          "CLIENT_ERROR invalid numeric delta argument\r\n" },
        { "an expired counter", "set k 0 1 1\r\n1\r\n\f1\fincr k 1\r\n", S "NOT_FOUND\r\n" },
    };

    RUN(row, );
}

/* Items of the second of the flush survive if they came behind it. */
Test(conversations, flushing)
{
    static const struct talk row[] = {
        { "at once", "set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\nset a 0 0 1\r\n2\r\nget a\r\n",
          S "OK\r\n" E S "VALUE a 0 1\r\n2\r\n" E },
        { "add behind it", "set a 0 0 1\r\n1\r\nflush_all\r\nadd a 0 0 1\r\n2\r\nget a\r\n",
          S "OK\r\n" S "VALUE a 0 1\r\n2\r\n" E },
        { "later", "set a 0 0 1\r\n1\r\nflush_all 5\r\n\f4\fget a\r\nset b 0 0 1\r\n2\r\n"
          "\f1\fget a b\r\n",
          S "OK\r\nVALUE a 0 1\r\n1\r\n" E S E },
        { "the last one counts", "set a 0 0 1\r\n1\r\nflush_all 5\r\nflush_all 10\r\n"
          "\f5\fget a\r\n\f5\fget a\r\n",
          S "OK\r\nOK\r\nVALUE a 0 1\r\n1\r\n" E E },
        { "negative is now", "set a 0 0 1\r\n1\r\nflush_all -1\r\nget a\r\n", S "OK\r\n" E },
        { "0 is now", "set a 0 0 1\r\n1\r\nflush_all 0\r\nget a\r\n", S "OK\r\n" E },
        { "noreply", "set a 0 0 1\r\n1\r\nflush_all noreply\r\nflush_all 0 noreply\r\nget a\r\n",
          S E },
        { "a word", "flush_all x\r\n", "CLIENT_ERROR invalid exptime argument\r\n" },
        { "touched items go too", "set a 0 0 1\r\n1\r\nflush_all 2\r\n\f1\ftouch a 100\r\n"
          "\f1\fget a\r\n",
          S "OK\r\nTOUCHED\r\n" E },
    };

    RUN(row, );
}

Test(conversations, administration)
{
    static const struct talk row[] = {
        { "version", "version\r\n", "VERSION 1.6.45\r\n" },
        { "verbosity", "verbosity 1\r\nverbosity 99\r\nverbosity 1 noreply\r\nverbosity\r\n"
          "verbosity x\r\n",
          "OK\r\nOK\r\nCLIENT_ERROR bad command line format\r\n"
          "CLIENT_ERROR bad command line format\r\n" },
        { "shutdown is off", "shutdown\r\nshutdown graceful\r\n",
          "ERROR: shutdown not enabled\r\nERROR: shutdown not enabled\r\n" },
        { "cache_memlimit", "cache_memlimit 32\r\ncache_memlimit 7\r\n"
          "cache_memlimit 1000000001\r\ncache_memlimit 999999999\r\n"
          "cache_memlimit x\r\n",
          "OK\r\nMEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
          "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
          "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\nERROR\r\n" },
        { "mn", "mn\r\n", "MN\r\n" },
        { "quit", "quit\r\nversion\r\n", "" },
        { "unknown", "frobnicate\r\n", "ERROR\r\n" },
        { "stats of no such name", "stats nonsense\r\nstats misc\r\nstats r\r\n", "ERROR\r\n"
          "ERROR\r\nERROR\r\n" },
        { "stats reset", "stats reset\r\nstats reset \r\n", "RESET\r\nRESET\r\n" },
        { "stats sizes", "stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n" },
        { "cachedump", "stats cachedump\r\nstats cachedump 1\r\nstats cachedump x 1\r\n"
          "stats cachedump 300 1\r\n"
          "stats cachedump 63 1\r\nstats cachedump 0 0\r\n",
          "CLIENT_ERROR bad command line\r\nCLIENT_ERROR bad command line\r\n"
          "CLIENT_ERROR bad command line format\r\n"
          "CLIENT_ERROR Illegal slab id\r\nEND\r\nEND\r\n" },
        { "detail", "stats detail\r\nstats detail x\r\n",
          "CLIENT_ERROR usage: stats detail on|off|dump\r\n"
          "CLIENT_ERROR usage: stats detail on|off|dump\r\n" },
        { "detail counts by prefix",
          "get a:1\r\nstats detail on\r\nget a:1 b:2 none\r\nset a:1 0 0 1\r\nx\r\nget a:1\r\n"
          "mg a:1\r\ndelete a:1\r\nget :e\r\n"
          "stats detail off\r\nget a:1\r\nstats detail dump\r\n",
          E "OK\r\n" E S "VALUE a:1 0 1\r\nx\r\n" E "HD\r\nDELETED\r\n" E "OK\r\n" E
          "PREFIX a get 3 hit 2 set 1 del 1\r\nPREFIX b get 1 hit 0 set 0 del 0\r\n"
          "PREFIX  get 1 hit 0 set 0 del 0\r\n" E },
    };

    RUN(row, );
}

Test(conversations, forbidden)
{
    static const struct talk row[] = {
        { "flush_all", "set a 0 0 1\r\n1\r\nflush_all\r\nget a\r\n",
          S "CLIENT_ERROR flush_all not allowed\r\nVALUE a 0 1\r\n1\r\n" E },
        { "flush_all with a word", "flush_all x\r\n", "CLIENT_ERROR flush_all not allowed\r\n" },
        { "dumps", "stats cachedump 1 1\r\nstats detail on\r\n",
          "CLIENT_ERROR stats cachedump not allowed\r\nCLIENT_ERROR stats detail not allowed\r\n" },
    };

    RUN(row, "flush_enabled=no", "dump_enabled=no", );
}

/* The daemon looks at the request after the turn; the client is told nothing, as by memcached. */
Test(conversations, shutdown)
{
    static const struct {
        const char *in, *out;
        int request;
    } row[] = {
        { "shutdown\r\nversion\r\n", "", NODE_REQUEST_STOP },
        { "shutdown graceful \r\nversion\r\n", "", NODE_REQUEST_STOP_GRACEFUL },
        { "shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode\r\n", NODE_REQUEST_NONE },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, (const char *const[]){ "shutdown_command=yes", NULL });
        drive_init(&d, &n, SESSION_AUTO);
        drive_say(&d, row[i].in, strlen(row[i].in), DRIVE_ALL);
        cr_expect(eq(int, atomic_load(&n.node->request), row[i].request), "%s", row[i].in);
        cr_expect(d.got.len == strlen(row[i].out), "%s", row[i].in);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

Test(conversations, a_default_time_to_live)
{
    static const struct talk row[] = {
        { "for those that come without", "set k 0 0 1\r\na\r\nms m 1\r\na\r\nmg k t\r\nmg m t\r\n"
          "\f9\fget k\r\n\f1\fget k m\r\n",
          S "HD\r\nHD t10\r\nHD t10\r\nVALUE k 0 1\r\na\r\n" E E },
        { "not for those that have one", "set k 0 20 1\r\na\r\nmg k t\r\nma c N5 J1 t\r\n"
          "mg v N30 t\r\n", S "HD t20\r\nHD t5\r\nHD t30 W\r\n" },
    };

    RUN(row, "default_ttl=10", );
}

/* -- the meta protocol ------------------------------------------------------------------------- */

Test(conversations, meta_get)
{
    static const struct talk row[] = {
        { "miss", "mg k v\r\nmg k v k Ox\r\nmg k v q\r\nmn\r\n", "EN\r\nEN kk Ox\r\nMN\r\n" },
        { "hit", "set k 5 0 3\r\nabc\r\nmg k\r\nmg k v\r\nmg k s v f k t Oop\r\n",
          S "HD\r\nVA 3\r\nabc\r\nVA 3 s3 f5 kk t-1 Oop\r\nabc\r\n" },
        { "h and l tell of before", "set k 0 0 1\r\nx\r\n\f3\fmg k h l\r\n\f2\fmg k h l\r\n"
          "mg k h l v\r\n",
          S "HD h0 l3\r\nHD h1 l2\r\nVA 1 h1 l0\r\nx\r\n" },
        { "u leaves no trace", "set k 0 0 1\r\nx\r\n\f3\fmg k u\r\nmg k h l\r\n", S "HD\r\n"
          "HD h0 l3\r\n" },
        { "T: the order matters", "set k 0 100 1\r\nx\r\nmg k t T30\r\nmg k T50 t\r\nmg k t\r\n",
          S "HD t100\r\nHD t50\r\nHD t50\r\n" },
        { "R looks at what T has set before it", "set k 0 100 1\r\nx\r\nmg k T9 R30\r\n", S
          "HD W\r\n" },
        { "and at what was before it", "set k 0 100 1\r\nx\r\nmg k R30 T9\r\n", S "HD\r\n" },
        { "T with h and v", "set k 0 0 1\r\nx\r\nmg k T30 h v\r\nmg k T30 h v\r\n", S "VA 1 h0\r\n"
          "x\r\nVA 1 h1\r\nx\r\n" },
        { "T-1 still answers", "set k 0 0 1\r\nx\r\nmg k T-1 v\r\nmg k\r\n", S "VA 1\r\nx\r\n"
          "EN\r\n" },
        { "C saves what the client has", "ms k 2 E7\r\nhi\r\nmg k v c s C7\r\nmg k v c C8\r\n"
          "mg k T9 v C7\r\n",
          "HD\r\nHD c7 s2\r\nVA 2 c7\r\nhi\r\nHD\r\n" },
        { "E means nothing on a hit", "ms k 2 E7\r\nhi\r\nmg k c E9\r\n", "HD\r\nHD c7\r\n" },
    };

    RUN(row, );
}

/* Who may bring a new value, and who has to wait. */
Test(conversations, meta_recache)
{
    static const struct talk row[] = {
        { "vivify: one wins", "mg k N30 t v\r\nmg k N30 t v\r\nmg k v q\r\n", "VA 0 t30 W\r\n\r\n"
          "VA 0 t30 Z\r\n\r\nVA 0 Z\r\n\r\n" },
        { "vivify answers although q", "mg k N30 q\r\nmn\r\n", "HD W\r\nMN\r\n" },
        { "vivify with its number", "mg k N30 E55 c\r\nms k 1 C54\r\na\r\nms k 1 C55\r\nb\r\n"
          "mg k v\r\n",
          "HD c55 W\r\nEX\r\nHD\r\nVA 1\r\nb\r\n" },
        { "vivify of an expired item", "set k 0 1 1\r\na\r\n\f1\fmg k N30 v t\r\n", S
          "VA 0 t30 W\r\n\r\n" },
        { "vivified already over", "mg k N-1 t\r\nmg k\r\n", "HD t0 W\r\nEN\r\n" },
        { "vivify: T overrides", "mg k N30 T20 t\r\n", "HD t20 W\r\n" },
        { "vivify: t before T", "mg k N30 t T20\r\nmg k t\r\n", "HD t30 W\r\nHD t20 Z\r\n" },
        { "vivify: t before all", "mg k t N30\r\n", "HD t-1 W\r\n" },
        { "vivify: N behind T overrides", "mg k T20 N30 t\r\n", "HD t30 W\r\n" },
        { "vivify is an access", "mg k N30 h\r\nmg k h\r\n", "HD h0 W\r\nHD h1 Z\r\n" },
        { "vivify with u is none", "mg k N30 u\r\nmg k h\r\n", "HD W\r\nHD h0 Z\r\n" },
        { "a set gives the token back", "mg k N30\r\nset k 0 0 1\r\nx\r\nmg k N30 v\r\n",
          "HD W\r\n" S "VA 1\r\nx\r\n" },
        { "recache: one wins", "set k 0 20 1\r\nx\r\nmg k R30\r\nmg k R30\r\nmg k\r\n", S
          "HD W\r\nHD Z\r\nHD Z\r\n" },
        { "recache: time enough", "set k 0 40 1\r\nx\r\nmg k R30\r\n\f10\fmg k R30\r\n"
          "\f1\fmg k R30 t\r\n", S "HD\r\nHD\r\nHD t29 W\r\n" },
        { "recache: for ever", "set k 0 0 1\r\nx\r\nmg k R30\r\n", S "HD\r\n" },
        { "a touch does not give it back", "set k 0 20 1\r\nx\r\nmg k R30\r\ntouch k 20\r\n"
          "mg k R30\r\n", S "HD W\r\nTOUCHED\r\nHD Z\r\n" },
        { "stale: X W, then Z X", "set k 0 0 1\r\nx\r\nmd k I T30\r\nmg k v t h l\r\nmg k v h\r\n",
          S "HD\r\nVA 1 t30 h0 l0 X W\r\nx\r\nVA 1 h1 Z X\r\nx\r\n" },
        { "md I gives the token again", "set k 0 0 1\r\nx\r\nmd k I\r\nmg k\r\nmd k I\r\n"
          "mg k T5\r\n", S "HD\r\nHD X W\r\nHD\r\nHD X W\r\n" },
        { "a late value is stale", "ms k 1 E100 T30\r\na\r\nms k 1 C99 I T90\r\nb\r\nmg k v t\r\n"
          "mg k v\r\n",
          "HD\r\nHD\r\nVA 1 t30 X W\r\nb\r\nVA 1 Z X\r\nb\r\n" },
        { "a late value leaves the token where it is", "ms k 1 E100 T20\r\na\r\nmg k R30\r\n"
          "ms k 1 C99 I\r\nb\r\nmg k v\r\n",
          "HD\r\nHD W\r\nHD\r\nVA 1 Z X\r\nb\r\n" },
        { "a value from the future is none", "ms k 1 E100\r\na\r\nms k 1 C101 I\r\nb\r\nmg k v\r\n"
          "", "HD\r\nEX\r\nVA 1\r\na\r\n" },
        { "I with the right number is a plain set", "ms k 1 E100\r\na\r\nms k 1 C100 I\r\nb\r\n"
          "mg k v\r\n", "HD\r\nHD\r\nVA 1\r\nb\r\n" },
        { "I and C0", "ms k 1 E100\r\na\r\nms k 1 C0 I\r\nb\r\n", "HD\r\nEX\r\n" },
    };

    RUN(row, );
}

Test(conversations, meta_set)
{
    static const struct talk row[] = {
        { "flags and time", "ms k 2 F5 T90\r\nhi\r\nmg k v f t\r\n", "HD\r\nVA 2 f5 t90\r\nhi\r\n"
          },
        { "quiet, with failures", "ms k 1 q\r\na\r\nms k 1 q ME k\r\nb\r\nms n 1 q MR\r\nb\r\n"
          "ms n 1 q C5\r\nb\r\nmn\r\n",
          "NS kk\r\nNS\r\nNF\r\nMN\r\n" },
        { "returns", "ms k 2 k Oop s E9 c\r\nhi\r\nms k 3 ME k Oop s c\r\nabc\r\n",
          "HD kk Oop s2 c9\r\nNS kk Oop s3 c0\r\n" },
        { "s of an append is the whole", "ms k 2 E5\r\nab\r\nms k 3 MA s E6 c\r\ncde\r\n"
          "ms k 1 MP\r\nx\r\nmg k v\r\n",
          "HD\r\nHD s5 c6\r\nHD\r\nVA 6\r\nxabcde\r\n" },
        { "modes are capitals", "ms k 1 Me\r\na\r\nmg k\r\n",
          "CLIENT_ERROR invalid mode for ms M token\r\nEN\r\n" },
        { "append creates with N", "ms k 1 MA N30 T90 F7\r\na\r\nms k 1 MA N60\r\nb\r\n"
          "mg k v t f\r\n", "HD\r\nHD\r\nVA 2 t30 f7\r\nab\r\n" },
        { "prepend creates with N0", "ms k 1 MP N0\r\na\r\nmg k v t\r\n", "HD\r\nVA 1 t-1\r\na\r\n"
          "" },
        { "append with C", "ms k 1 MA C5\r\na\r\nms k 1 E5\r\na\r\nms k 1 MA C6\r\nb\r\n"
          "ms k 1 MA C5\r\nb\r\nmg k v\r\n",
          "NS\r\nHD\r\nEX\r\nHD\r\nVA 2\r\nab\r\n" },
        { "replace with C is cas", "ms k 1 MR C5\r\na\r\nms k 1 E5\r\na\r\nms k 1 MR C5\r\nb\r\n"
          "mg k v\r\n", "NF\r\nHD\r\nHD\r\nVA 1\r\nb\r\n" },
        { "wrong mode", "ms k 2 Mx\r\nmn\r\nmn\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n"
          "MN\r\n" },
        { "bad chunk", "ms k 1\r\na\r\nms k 1\r\nbxxmg k v\r\n", "HD\r\n"
          "CLIENT_ERROR bad data chunk\r\nVA 1\r\na\r\n" },
    };

    RUN(row, );
}

Test(conversations, meta_delete)
{
    static const struct talk row[] = {
        { "plain", "md k\r\nmd k q k Ox\r\nset k 0 0 1\r\na\r\nmd k k Ox\r\nset k 0 0 1\r\na\r\n"
          "md k q\r\nmg k\r\n",
          "NF\r\nNF kk Ox\r\n" S "HD kk Ox\r\n" S "EN\r\n" },
        { "C", "md k C5\r\nms k 1 E5\r\na\r\nmd k C6 q\r\nmd k C0\r\nmd k C5\r\nmg k\r\n", "NF\r\n"
          "HD\r\nEX\r\nEX\r\nHD\r\nEN\r\n" },
        { "I takes a new number", "ms k 1 E5\r\na\r\nmd k I\r\ncas k 0 0 1 5\r\nb\r\nmd k I E6\r\n"
          "mg k c\r\n",
          "HD\r\nHD\r\nEXISTS\r\nHD\r\nHD c6 X W\r\n" },
        { "I keeps the time unless told", "ms k 1 T50\r\na\r\nmd k I\r\nmg k t\r\nmd k I T9\r\n"
          "mg k t\r\n", "HD\r\nHD\r\nHD t50 X W\r\nHD\r\nHD t9 X W\r\n" },
        { "T alone means nothing", "ms k 1\r\na\r\nmd k T30\r\nmg k\r\n", "HD\r\nHD\r\nEN\r\n" },
        { "x empties", "ms k 3 F9 T50 E5\r\nabc\r\nmd k x\r\nmg k v f t c\r\n", "HD\r\nHD\r\n"
          "VA 0 f0 t-1 c5\r\n\r\n" },
        { "x with T and E", "ms k 3 F9 E5\r\nabc\r\nmd k x T30 E6\r\nmg k s f t c\r\n", "HD\r\n"
          "HD\r\nHD s0 f0 t30 c6\r\n" },
        { "x I is a tombstone", "ms k 3 F9\r\nabc\r\nmd k x I T30\r\nmg k v f t\r\n", "HD\r\n"
          "HD\r\nVA 0 f0 t30 X W\r\n\r\n" },
    };

    RUN(row, );
}

Test(conversations, meta_arithmetic)
{
    static const struct talk row[] = {
        { "default is 1", "ma k\r\nset k 3 0 1\r\n1\r\nma k\r\nma k v\r\nma k v D10\r\nmg k f\r\n"
          , "NF\r\n" S "HD\r\nVA 1\r\n3\r\nVA 2\r\n13\r\nHD f3\r\n" },
        { "modes", "set k 0 0 2\r\n20\r\nma k MD v\r\nma k MD D2 v\r\nma k M- D9 v\r\n"
          "ma k MI v\r\nma k MIx v\r\nma k M+ v\r\n",
          S "VA 2\r\n19\r\nVA 2\r\n17\r\nVA 1\r\n8\r\nVA 1\r\n9\r\nVA 2\r\n10\r\nVA 2\r\n11\r\n" },
        { "N and J create", "ma k N90 J13 D5 t v\r\nma k N30 t v\r\n", "VA 2 t90\r\n13\r\n"
          "VA 2 t90\r\n14\r\n" },
        { "T and N in their order", "ma k T20 N30 t\r\nma j t N30 T20\r\nmg j t\r\n",
          "HD t30\r\nHD t-1\r\nHD t20\r\n" },
        { "N0 for ever", "ma k N0 t v\r\n", "VA 1 t-1\r\n0\r\n" },
        { "T", "set k 0 50 1\r\n5\r\nma k t T30\r\nma k T9 t\r\n", S "HD t50\r\nHD t9\r\n" },
        { "C and E", "ms k 1 E5\r\n1\r\nma k C4\r\nma k C0\r\nma k C5 E9 c v\r\nma k E10 c\r\n"
          "mg k c v\r\n",
          "HD\r\nEX\r\nEX\r\nVA 1 c9\r\n2\r\nHD c10\r\nVA 1 c10\r\n3\r\n" },
        { "E of a new counter", "ma k N0 E9 c\r\nma k C9 v\r\n", "HD c9\r\nVA 1\r\n1\r\n" },
        { "E of a longer one", "ms k 1 E5\r\n9\r\nma k E6 c v\r\nmg k c v\r\n", "HD\r\nVA 2 c6\r\n"
          "10\r\nVA 2 c6\r\n10\r\n" },
        { "quiet", "set k 0 0 1\r\n1\r\nma k q\r\nma k q v\r\nma x q\r\nma k q C1\r\nmn\r\n", S
          "NF\r\nEX\r\nMN\r\n" },
        { "non-numeric", "set k 0 0 1\r\nx\r\nma k q\r\n", S NUMERIC },
        { "wrap", "set k 0 0 20\r\n18446744073709551615\r\nma k v\r\nmg k s\r\n", S "VA 1\r\n0\r\n"
          "HD s20\r\n" },
    };

    RUN(row, );
}

/* "Zm9v" is foo, "YSBi" is "a b". */
Test(conversations, base64_keys)
{
    static const struct talk row[] = {
        { "one item under both names", "ms Zm9v 1 b k\r\na\r\nmg foo v k\r\nget foo\r\n"
          "mg Zm9v b k\r\n",
          "HD kZm9v b\r\nVA 1 kZm9v b\r\na\r\nVALUE foo 0 1\r\na\r\n" E "HD kZm9v b\r\n" },
        { "stored under the plain name", "set foo 0 0 1\r\na\r\nmg Zm9v b k\r\n", S "HD kfoo\r\n" },
        { "a key with a blank", "ms YSBi 1 b\r\na\r\nmg YSBi b v k\r\nmd YSBi b k\r\n"
          "mg YSBi b k\r\n",
          "HD\r\nVA 1 kYSBi b\r\na\r\nHD kYSBi b\r\nEN kYSBi b\r\n" },
        { "counters", "ma YSBi b N0 k v\r\nma YSBi b k v\r\n", "VA 1 kYSBi b\r\n0\r\n"
          "VA 1 kYSBi b\r\n1\r\n" },
        { "changes repeat it as it was sent", "ms k 1\r\n1\r\nma aw== b k\r\nma k k\r\n"
          "md aw== b k\r\nms aw== 1 b\r\n1\r\nma k k\r\nms k 1 k MA\r\n2\r\nmd k k\r\n",
          "HD\r\nHD kaw== b\r\nHD kk\r\nHD kaw== b\r\nHD\r\nHD kk\r\nHD kk\r\nHD kk\r\n" },
        { "vivify", "mg YSBi b N0 k\r\n", "HD kYSBi b W\r\n" },
        { "me", "me YSBi b\r\n", "EN\r\n" },
    };

    RUN(row, );
}

Test(conversations, me_tells_what_is_known)
{
    struct drive_node n;
    struct drive d;
    char *got;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, "ms k 3 E9 T50\r\nabc\r\n", 20, DRIVE_ALL);
    n.now += 2 * USEC_PER_SEC;
    drive_say(&d, "me k\r\n", 6, DRIVE_ALL);
    cr_assert(buf_add(&d.got, "", 1));
    got = d.got.ptr;
    cr_expect(strstr(got, "ME k exp=48 la=2 cas=9 fetch=no cls=") != NULL, "%s", got);
    cr_expect(eq(i64, drive_metric(&n, M_CMD_META), 1));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* -- what does not fit ------------------------------------------------------------------------- */

/* Says the same storing line with a value of size bytes. */
static void
say_value(struct drive *d, const char *line, size_t size)
{
    struct buf b = { 0 };

    cr_assert(buf_printf(&b, "%s %zu\r\n", line, size));
    cr_assert(buf_reserve(&b, size + 2));
    memset(b.ptr + b.len, 'v', size);
    b.len += size;
    cr_assert(buf_add(&b, "\r\n", 2));
    drive_say(d, b.ptr, b.len, DRIVE_ALL);
    buf_free(&b);
}

static void
say(struct drive *d, const char *text)
{
    drive_say(d, text, strlen(text), DRIVE_ALL);
}

/* A value that was refused must not leave an older one behind for readers to take for it. */
Test(conversations, too_large)
{
    static const struct {
        const char *why, *line, *after;
    } row[] = {
        { "set removes", "set k 0 0", "EN\r\n" },
        { "add leaves", "add k 0 0", "VA 1\r\na\r\n" },
        { "replace leaves", "replace k 0 0", "VA 1\r\na\r\n" },
        { "append leaves", "append k 0 0", "VA 1\r\na\r\n" },
        { "meta set removes", "ms k", "EN\r\n" },
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        static const char refused[] = "SERVER_ERROR object too large for cache\r\n";
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, NULL);
        drive_init(&d, &n, SESSION_AUTO);
        say(&d, "set k 0 0 1 noreply\r\na\r\n");
        say_value(&d, row[i].line, 1049600);
        say(&d, "mg k v\r\n");
        cr_assert(buf_add(&d.got, "", 1));
        cr_expect(strncmp(d.got.ptr, refused, sizeof refused - 1) == 0, "%s: %s", row[i].why,
            d.got.ptr);
        cr_expect(strcmp(d.got.ptr + sizeof refused - 1, row[i].after) == 0, "%s: %s", row[i].why,
            d.got.ptr);
        cr_expect(eq(i64, drive_metric(&n, M_TOO_LARGE), 1), "%s", row[i].why);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

/* Two halves that fit, but not together. */
Test(conversations, append_beyond_the_limit)
{
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say_value(&d, "set k 0 0", 600000);
    say_value(&d, "append k 0 0", 600000);
    say(&d, "mg k s\r\n");
    cr_assert(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, "STORED\r\nNOT_STORED\r\nHD s600000\r\n"));
    drive_fini(&d);
    drive_node_fini(&n);
}

/* Large values take the other road, through items that are filled as bytes come in. */
Test(conversations, large_values)
{
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say_value(&d, "set k 5 100", 300000);
    say_value(&d, "append k 0 0", 100000);
    say_value(&d, "prepend k 0 0", 70000);
    say_value(&d, "append k 0 0", 3);
    say_value(&d, "add k 0 0", 100000);
    say_value(&d, "replace k 6 50", 200000);
    say_value(&d, "append none 0 0", 100000);
    say_value(&d, "replace none 0 0", 100000);
    say(&d, "incr k 1\r\nmg k s f t\r\ntouch k 0\r\nmg k T9 t c C1\r\n");
    d.got.len -= d.got.len > 0; /* the number of the cas differs: look at the rest */
    cr_assert(buf_add(&d.got, "", 1));
    cr_expect(strncmp(d.got.ptr,
                      S S S S "NOT_STORED\r\n" S "NOT_STORED\r\nNOT_STORED\r\n" NUMERIC
                      "HD s200000 f6 t50\r\nTOUCHED\r\nHD t9 c", 150) == 0, "%s", d.got.ptr);
    drive_fini(&d);
    drive_node_fini(&n);
}

/* Without eviction a full node says so, and set still takes the old value away. */
Test(conversations, no_memory)
{
    struct drive_node n;
    struct drive d;
    char line[32];
    unsigned stored = 0;

    drive_node_init(&n, (const char *const[]){ "evict=no", "memory_limit=8m", NULL });
    drive_init(&d, &n, SESSION_AUTO);
    for (unsigned i = 0; i < 40; i++) {
        d.got.len = 0;
        snprintf(line, sizeof line, "set k%u 0 0", i);
        say_value(&d, line, 500000);
        stored += d.got.len == 8 && memcmp(d.got.ptr, S, 8) == 0;
        if (d.got.len != 8) {
            cr_assert(buf_add(&d.got, "", 1));
            cr_expect(eq(str, d.got.ptr, "SERVER_ERROR out of memory storing object\r\n"));
        }
    }
    cr_expect(ge(uint, stored, 8));
    cr_expect(lt(uint, stored, 20));
    cr_expect(gt(i64, drive_metric(&n, M_NO_MEMORY), 0));
    drive_fini(&d);
    drive_node_fini(&n);
}

#ifdef MAGPIE_DEBUG
/* Tests of a whole daemon move its clock instead of waiting. */
Test(conversations, debugtime)
{
    static const usec_t real = DRIVE_START + 5 * USEC_PER_SEC;
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    say(&d, "debugtime 10\r\n");
    cr_expect(eq(i64, node_time(n.node, real), real + 10 * USEC_PER_SEC));
    say(&d, "debugtime p\r\n");
    cr_expect(eq(i64, node_time(n.node, real), DRIVE_START));
    say(&d, "debugtime 3\r\ndebugtime x\r\n");
    cr_expect(eq(i64, node_time(n.node, real), DRIVE_START + 3 * USEC_PER_SEC));
    say(&d, "debugtime r\r\n");
    cr_expect(eq(i64, node_time(n.node, real), real + 13 * USEC_PER_SEC));
    cr_assert(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, "OK\r\nOK\r\nOK\r\nERROR\r\nOK\r\n"));
    drive_fini(&d);
    drive_node_fini(&n);
}
#endif
