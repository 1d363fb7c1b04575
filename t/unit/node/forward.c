/* Commands whose key another node owns: from three nodes in memory, through any of them. */
#include "mesh.h"
#include "cluster/view.h"
#include "node/strays.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mesh m;
static struct drive d;
static char own[64], near[64], far[64]; /* keys of node 0, which is asked, of node 1 and node 2 */

static void
begin(const char *const *options)
{
    mesh_init(&m, 3, options);
    mesh_client(&m, 0, &d);
    mesh_key(&m, 0, "own", 0, own);
    mesh_key(&m, 1, "near", 0, near);
    mesh_key(&m, 2, "far", 0, far);
}

static void
end(void)
{
    drive_fini(&d);
    mesh_fini(&m);
}

/* What the client of node 0 is answered. */
static void
says(const char *in, const char *want)
{
    d.got.len = 0;
    mesh_say(&m, &d, in, strlen(in), DRIVE_ALL);
    cr_expect(d.got.len == strlen(want) && memcmp(d.got.ptr ? d.got.ptr : "", want, d.got.len) == 0,
              "%s: got \"%.*s\", want \"%s\"", in, (int)d.got.len, d.got.ptr ? d.got.ptr : "",
              want);
}

/* The text with %o, %n and %f replaced by the three keys. */
static const char *
keyed(const char *text)
{
    static char out[2][8192];
    static int which;
    char *p = out[which ^= 1];

    for (; *text; text++) {
        const char *key = *text != '%' ? NULL
                          : text[1] == 'o' ? own
                          : text[1] == 'n' ? near
                                           : far;
        if (key) {
            p += sprintf(p, "%s", key);
            text++;
        } else {
            *p++ = *text;
        }
    }
    *p = '\0';
    return out[which];
}

Test(forward, text_commands)
{
    begin(NULL);
    says(keyed("set %n 5 0 3\r\nabc\r\n"), "STORED\r\n");
    says(keyed("get %n\r\n"), keyed("VALUE %n 5 3\r\nabc\r\nEND\r\n"));
    says(keyed("get %f\r\n"), "END\r\n");
    says(keyed("add %n 0 0 1\r\nx\r\n"), "NOT_STORED\r\n");
    says(keyed("append %n 0 0 1\r\nd\r\n"), "STORED\r\n");
    says(keyed("prepend %n 0 0 1\r\n_\r\n"), "STORED\r\n");
    says(keyed("get %n\r\n"), keyed("VALUE %n 5 5\r\n_abcd\r\nEND\r\n"));
    says(keyed("replace %f 0 0 1\r\nx\r\n"), "NOT_STORED\r\n");
    says(keyed("set %f 0 0 2\r\n41\r\n"), "STORED\r\n");
    says(keyed("incr %f 1\r\n"), "42\r\n");
    says(keyed("decr %f 50\r\n"), "0\r\n");
    says(keyed("incr %n 1\r\n"),
         "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    says(keyed("touch %f 100\r\n"), "TOUCHED\r\n");
    says(keyed("gat 100 %f\r\n"), keyed("VALUE %f 0 2\r\n0 \r\nEND\r\n"));
    says(keyed("delete %f\r\n"), "DELETED\r\n");
    says(keyed("delete %f\r\n"), "NOT_FOUND\r\n");
    says(keyed("set %n 0 -1 1\r\nx\r\n"), "STORED\r\n");
    says(keyed("get %n\r\n"), "END\r\n");
    says(keyed("set %n 0 0 3\r\nabcde\r\nmn\r\n"),
         "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\nMN\r\n");
    end();
}

Test(forward, an_operation_is_counted_where_it_is_executed)
{
    begin(NULL);
    says(keyed("set %n 0 0 1\r\nx\r\nget %n\r\nget %o\r\n"),
         keyed("STORED\r\nVALUE %n 0 1\r\nx\r\nEND\r\nEND\r\n"));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARDED), 2));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_CMD_GET), 1));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_CMD_GET), 1));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_GET_HITS), 1));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_SERVED), 2));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_FORWARDED), 0));
    end();
}

Test(forward, answers_keep_their_order)
{
    begin(NULL);
    says(keyed("set %f 0 0 1\r\nf\r\nset %o 0 0 1\r\no\r\nset %n 0 0 1\r\nn\r\n"
               "get %o %n none %f %o\r\nget %n\r\nmn\r\nget %o\r\nversion\r\n"),
         keyed("STORED\r\nSTORED\r\nSTORED\r\nVALUE %o 0 1\r\no\r\nVALUE %n 0 1\r\nn\r\n"
               "VALUE %f 0 1\r\nf\r\nVALUE %o 0 1\r\no\r\nEND\r\nVALUE %n 0 1\r\nn\r\nEND\r\n"
               "MN\r\nVALUE %o 0 1\r\no\r\nEND\r\nVERSION " MEMCACHED_VERSION "\r\n"));
    end();
}

/* One that answers late holds up what was asked with it or later, and nothing else. */
Test(forward, a_late_node)
{
    begin(NULL);
    says(keyed("set %f 0 0 1\r\nf\r\nset %n 0 0 1\r\nn\r\n"), "STORED\r\nSTORED\r\n");
    m.held[0][1] = true;
    says(keyed("get %f\r\n"), keyed("VALUE %f 0 1\r\nf\r\nEND\r\n"));
    says(keyed("get %f\r\nget %n\r\nget %f\r\n"), "");
    cr_expect(not(session_is_over(d.session)));
    m.held[0][1] = false;
    says("", keyed("VALUE %f 0 1\r\nf\r\nEND\r\nVALUE %n 0 1\r\nn\r\nEND\r\n"
                   "VALUE %f 0 1\r\nf\r\nEND\r\n"));
    end();
}

Test(forward, one_frame_for_each_owner)
{
    char line[4096] = "get";
    uint64_t before;

    begin(NULL);
    for (unsigned i = 0; i < 20; i++) {
        char key[64];

        mesh_key(&m, 1 + i % 2, "many", i / 2, key);
        strcat(strcat(line, " "), key);
    }
    strcat(line, "\r\n");
    before = m.frames;
    says(line, "END\r\n");
    cr_expect(eq(u64, m.frames - before, 2));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARDED), 20));
    end();
}

Test(forward, quiet_commands)
{
    begin(NULL);
    says(keyed("set %n 0 0 1 noreply\r\nx\r\nset %n 0 0 1 noreply\r\ny\r\nget %n\r\n"),
         keyed("VALUE %n 0 1\r\ny\r\nEND\r\n"));
    says(keyed("delete %n noreply\r\nincr %n 1 noreply\r\ntouch %n 1 noreply\r\nget %n\r\n"),
         "END\r\n");
    says(keyed("ms %f 1 q\r\nz\r\nmg %f v q\r\nmg %n v q\r\nmn\r\n"), "VA 1\r\nz\r\nMN\r\n");
    end();
}

Test(forward, meta_commands)
{
    begin(NULL);
    says(keyed("ms %n 3 T90 F7 Oabc k\r\nxyz\r\n"), keyed("HD Oabc k%n\r\n"));
    says(keyed("mg %n s v f t k O1\r\n"), keyed("VA 3 s3 f7 t90 k%n O1\r\nxyz\r\n"));
    says(keyed("mg %f s v\r\n"), "EN\r\n");
    says(keyed("mg %f N30 v k\r\n"), keyed("VA 0 k%f W\r\n\r\n"));
    says(keyed("ma %f N0 J10 v\r\n"),
         "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    says(keyed("md %f q\r\nma %f N0 J10 v\r\nma %f v\r\n"), "VA 2\r\n10\r\nVA 2\r\n11\r\n");
    says(keyed("ms %n 1 MX\r\na\r\n"), "CLIENT_ERROR invalid mode for ms M token\r\n");
    end();
}

/* A value that goes in parts, between short ones that go in frames. */
Test(forward, long_values)
{
    static const size_t sizes[] = { 1, 2047, 2049, 4095, 4096, 20000, 49151, 49152, 49153, 65536,
                                    200000, 900000 };
    static const size_t cuts[] = { DRIVE_ALL, 1400, 50000 };

    begin((const char *const[]){ "memory_limit=64m", NULL });
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = sizes[i], at;
            char *in = malloc(2 * n + 4096), *want = malloc(2 * n + 4096), *value = malloc(n);

            for (size_t j = 0; j < n; j++) {
                value[j] = (char)('a' + (j * 7 + i + j / 251) % 26);
            }
            at = (size_t)sprintf(in, "set %s 0 0 1\r\ns\r\nset %s 9 0 %zu\r\n", far, near, n);
            memcpy(in + at, value, n);
            at += n;
            at += (size_t)sprintf(in + at, "\r\nget %s\r\nget %s %s %s\r\n", far, near, far, near);
            d.got.len = 0;
            mesh_say(&m, &d, in, at, cuts[k]);
            at = (size_t)sprintf(want, "STORED\r\nSTORED\r\nVALUE %s 0 1\r\ns\r\nEND\r\n", far);
            for (int twice = 0; twice < 2; twice++) {
                at += (size_t)sprintf(want + at, "VALUE %s 9 %zu\r\n", near, n);
                memcpy(want + at, value, n);
                at += n;
                at += (size_t)sprintf(want + at, "\r\n");
                if (twice == 0) {
                    at += (size_t)sprintf(want + at, "VALUE %s 0 1\r\ns\r\n", far);
                }
            }
            at += (size_t)sprintf(want + at, "END\r\n");
            cr_expect(d.got.len == at && memcmp(d.got.ptr, want, at) == 0,
                      "%zu bytes, cut %zu: %zu of %zu bytes", n, cuts[k], d.got.len, at);
            free(in);
            free(want);
            free(value);
        }
    }
    end();
}

Test(forward, too_long)
{
    char *in = malloc(2100000);
    size_t at = (size_t)sprintf(in, "set %s 0 0 2000000\r\n", "x");

    begin(NULL);
    says(keyed("set %n 0 0 1\r\nx\r\n"), "STORED\r\n");
    at = (size_t)sprintf(in, "set %s 0 0 2000000\r\n", near);
    memset(in + at, 'v', 2000000);
    at += 2000000;
    at += (size_t)sprintf(in + at, "\r\nget %s\r\n", near);
    d.got.len = 0;
    mesh_say(&m, &d, in, at, DRIVE_ALL);
    /* As memcached: what was there before is gone. */
    cr_expect(eq(sz, d.got.len, strlen("SERVER_ERROR object too large for cache\r\nEND\r\n")));
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, "SERVER_ERROR object too large for cache\r\nEND\r\n"));
    free(in);
    end();
}

Test(forward, flush_all_reaches_every_node)
{
    begin(NULL);
    says(keyed("set %o 0 0 1\r\no\r\nset %n 0 0 1\r\nn\r\nset %f 0 0 1\r\nf\r\nflush_all\r\n"
               "get %o %n %f\r\nset %n 0 0 1\r\nN\r\nget %n\r\n"),
         keyed("STORED\r\nSTORED\r\nSTORED\r\nOK\r\nEND\r\nSTORED\r\n"
               "VALUE %n 0 1\r\nN\r\nEND\r\n"));
    says(keyed("flush_all noreply\r\nget %n\r\n"), "END\r\n");
    /* One that is not there has not flushed. */
    m.cut[0][1] = true;
    mesh_break(&m, 0, 1);
    mesh_pump(&m);
    mesh_wait(&m, USEC_PER_SEC);
    says("flush_all\r\n", "SERVER_ERROR not every node has flushed\r\n");
    end();
}

/* Clients that want the same at the same time ask once; not behind a write. */
Test(forward, gets_that_join)
{
    struct drive other;
    const char *get, *hit;

    begin(NULL);
    says(keyed("set %n 0 0 1\r\n1\r\n"), "STORED\r\n");
    get = keyed("get %n\r\n");
    mesh_client(&m, 0, &other);
    d.got.len = 0;
    (void)drive_turn(&other, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    (void)drive_turn(&d, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    mesh_pump(&m);
    hit = keyed("VALUE %n 0 1\r\n1\r\nEND\r\n");
    cr_expect(buf_add(&d.got, "", 1) && buf_add(&other.got, "", 1));
    cr_expect(eq(str, d.got.ptr, (char *)(uintptr_t)hit));
    cr_expect(eq(str, other.got.ptr, (char *)(uintptr_t)hit));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_COALESCED), 1));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_CMD_GET), 1));
    says(keyed("get %n\r\nset %n 0 0 1\r\n2\r\nget %n\r\n"),
         keyed("VALUE %n 0 1\r\n1\r\nEND\r\nSTORED\r\nVALUE %n 0 1\r\n2\r\nEND\r\n"));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_COALESCED), 1));
    /* Sent, it is too late to join; and who joined is excused with the others. */
    get = keyed("get %n\r\n");
    m.held[0][1] = true;
    (void)drive_turn(&other, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    (void)drive_turn(&d, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    drive_fini(&other);
    d.got.len = 0;
    mesh_wait(&m, USEC_PER_SEC);
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, "END\r\n"));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_COALESCED), 2));
    end();
}

/* The head of a long answer that two wait for may come long before the rest of it. */
Test(forward, gets_that_join_a_long_one)
{
    enum { LONG = 100000 };
    static char in[LONG + 200], want[LONG + 200];
    struct drive other;
    const char *get;
    size_t n, w;

    begin((const char *const[]){ "memory_limit=64m", NULL });
    n = (size_t)sprintf(in, "set %s 0 0 %d\r\n", near, LONG);
    w = (size_t)sprintf(want, "VALUE %s 0 %d\r\n", near, LONG);
    memset(in + n, 'v', LONG);
    memset(want + w, 'v', LONG);
    n += LONG + (size_t)sprintf(in + n + LONG, "\r\n");
    w += LONG + (size_t)sprintf(want + w + LONG, "\r\nEND\r\n");
    mesh_say(&m, &d, in, n, DRIVE_ALL);
    mesh_client(&m, 0, &other);
    d.got.len = 0;
    m.piece = 100;
    get = keyed("get %n\r\n");
    (void)drive_turn(&other, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    (void)drive_turn(&d, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    mesh_pump(&m);
    cr_expect(eq(i64, drive_metric(&m.node[0], M_COALESCED), 1));
    cr_assert(eq(sz, other.got.len, w));
    cr_expect(eq(int, memcmp(other.got.ptr, want, w), 0));
    cr_assert(eq(sz, d.got.len, w));
    cr_expect(eq(int, memcmp(d.got.ptr, want, w), 0));
    drive_fini(&other);
    end();
}

/* The id of who joined is nobody else's business: an answer to it is one to nothing. */
Test(forward, an_answer_to_who_joined)
{
    static char frame[PEER_HEADER + PEER_ENTRY + 3];
    struct peer_entry e = { .kind = PEER_ANSWER, .len = 3 };
    struct peer_frame f = { .type = PEER_ANSWERS,
                            .count = 1,
                            .body_len = sizeof frame - PEER_HEADER };
    struct drive other;
    const char *get;
    struct link *l;

    begin(NULL);
    says(keyed("set %n 0 0 1\r\n1\r\n"), "STORED\r\n");
    l = m.wire[0][1].link;
    m.held[0][1] = true;
    mesh_client(&m, 0, &other);
    get = keyed("get %n\r\n");
    (void)drive_turn(&other, get, strlen(get), DRIVE_ALL, DRIVE_ALL);
    says(get, "");
    cr_assert(l->first && l->first->joiners);
    f.id = l->first->joiners->id;
    peer_write_header(&f, frame);
    peer_write_entry(&e, frame + PEER_HEADER);
    memcpy(frame + PEER_HEADER + PEER_ENTRY, "x\r\n", 3);
    memcpy(link_rx_space(l).iov_base, frame, sizeof frame);
    cr_expect(link_rx(l, sizeof frame, m.node[0].now));
    cr_assert(link_park(l));
    cr_expect(eq(u32, l->flight, 1));
    cr_expect(l->first && l->first->joiners);
    m.held[0][1] = false;
    mesh_pump(&m);
    cr_expect(buf_add(&d.got, "", 1) && buf_add(&other.got, "", 1));
    cr_expect(eq(str, d.got.ptr, (char *)(uintptr_t)keyed("VALUE %n 0 1\r\n1\r\nEND\r\n")));
    cr_expect(eq(str, other.got.ptr, d.got.ptr));
    drive_fini(&other);
    end();
}

/* -- failures ---------------------------------------------------------------------------------- */

static void
lose_near(void)
{
    m.cut[0][1] = true;
    mesh_break(&m, 0, 1);
    mesh_wait(&m, 100 * USEC_PER_MSEC);
}

Test(forward, nobody_there_is_a_miss_or_an_error)
{
    static const char down[] = "SERVER_ERROR the owner of the key is not reachable\r\n";
    char want[256];

    begin(NULL);
    says(keyed("set %o 0 0 1\r\no\r\nset %n 0 0 1\r\nn\r\n"), "STORED\r\nSTORED\r\n");
    lose_near();
    says(keyed("get %n\r\n"), "END\r\n");
    says(keyed("get %n %o\r\n"), keyed("VALUE %o 0 1\r\no\r\nEND\r\n"));
    says(keyed("mg %n v\r\n"), "EN\r\n");
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARD_MISSES), 3));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_GET_MISSES), 0));
    says(keyed("set %n 0 0 1\r\nx\r\n"), down);
    says(keyed("gets %n\r\n"), down);
    says(keyed("mg %n v c\r\n"), down);
    says(keyed("incr %n 1\r\n"), down);
    /* The whole line fails, once, at its end. */
    snprintf(want, sizeof want, "VALUE %s 0 1 ", own);
    d.got.len = 0;
    mesh_say(&m, &d, keyed("gets %n %o %n\r\nget %o\r\n"),
             strlen(keyed("gets %n %o %n\r\nget %o\r\n")), DRIVE_ALL);
    cr_assert(d.got.len > strlen(want));
    cr_expect(eq(i32, memcmp(d.got.ptr, want, strlen(want)), 0));
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(strstr(d.got.ptr, "\r\no\r\nSERVER_ERROR the owner") != NULL);
    cr_expect(strstr(d.got.ptr, "reachable\r\nVALUE own") != NULL);
    cr_assert(eq(int, settings_set(&m.node[0].settings, "peer_error", "error", NULL), ERR_OK));
    says(keyed("get %n\r\n"), down);
    snprintf(want, sizeof want, "VALUE %s 0 1\r\no\r\nVALUE %s 0 1\r\no\r\n%s", own, own, down);
    says(keyed("get %o %n %o\r\n"), want);
    /* It comes back: it answered the greeting, so all may ask it at once. */
    m.cut[0][1] = false;
    mesh_wait(&m, 10 * USEC_PER_SEC);
    says(keyed("get %n\r\nget %n\r\nget %n\r\n"),
         keyed("VALUE %n 0 1\r\nn\r\nEND\r\nVALUE %n 0 1\r\nn\r\nEND\r\n"
               "VALUE %n 0 1\r\nn\r\nEND\r\n"));
    end();
}

/* A line that was begun ends as it began, whatever the setting is by then. */
Test(forward, what_failures_are_changes_under_way)
{
    begin(NULL);
    says(keyed("set %n 0 0 1\r\nn\r\nset %o 0 0 1\r\no\r\n"), "STORED\r\nSTORED\r\n");
    cr_assert(eq(int, settings_set(&m.node[0].settings, "peer_error", "error", NULL), ERR_OK));
    m.held[0][1] = true;
    says(keyed("get %n %o\r\n"), "");
    cr_assert(eq(int, settings_set(&m.node[0].settings, "peer_error", "miss", NULL), ERR_OK));
    m.held[0][1] = false;
    says("", keyed("VALUE %n 0 1\r\nn\r\nVALUE %o 0 1\r\no\r\nEND\r\n"));
    end();
}

Test(forward, silence_ends_in_time)
{
    begin(NULL);
    says(keyed("set %n 0 0 1\r\nn\r\n"), "STORED\r\n");
    m.held[0][1] = true;
    says(keyed("get %n\r\nset %n 0 0 1\r\nx\r\nget %o\r\n"), "");
    mesh_wait(&m, 100 * USEC_PER_MSEC);
    cr_expect(eq(sz, d.got.len, 0));
    mesh_wait(&m, 200 * USEC_PER_MSEC);
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr,
                 "END\r\nSERVER_ERROR the owner of the key did not answer in time\r\nEND\r\n"));
    /* What comes too late is nobody's answer. */
    m.held[0][1] = false;
    mesh_pump(&m);
    says(keyed("get %n\r\n"), keyed("VALUE %n 0 1\r\nx\r\nEND\r\n"));
    end();
}

/* After three in a row it is not asked any more until it answers a ping. */
Test(forward, the_breaker_opens)
{
    begin(NULL);
    m.held[0][1] = true;
    for (int i = 0; i < 3; i++) {
        says(keyed("get %n\r\n"), "");
        mesh_wait(&m, 300 * USEC_PER_MSEC);
    }
    says(keyed("get %n\r\n"), "END\r\n");
    cr_expect(eq(i64, drive_metric(&m.node[0], M_BREAKER_OPENED), 1));
    m.held[0][1] = false;
    for (int i = 0; i < 30; i++) {
        mesh_wait(&m, 200 * USEC_PER_MSEC);
    }
    /* One is let in, and all when it was answered. */
    says(keyed("set %n 0 0 1\r\nn\r\n"), "STORED\r\n");
    mesh_wait(&m, 2 * USEC_PER_SEC);
    says(keyed("get %n\r\n"), keyed("VALUE %n 0 1\r\nn\r\nEND\r\n"));
    end();
}

/* Who is down is not looked at all the time: only when there is something to do. */
Test(forward, nothing_is_due_for_who_is_down)
{
    struct peers *p;

    begin(NULL);
    p = m.node[0].worker->peers;
    lose_near();
    for (int i = 0; i < 200; i++) {
        mesh_wait(&m, 50 * USEC_PER_MSEC);
        peers_tick(p, m.node[0].now);
        cr_assert(gt(i64, peers_due(p), m.node[0].now));
    }
    cr_expect(eq(i64, drive_metric(&m.node[0], M_BREAKER_OPENED), 1));
    end();
}

/* Nor is one that has been asked whether it lives. */
Test(forward, nothing_is_due_for_who_is_silent)
{
    struct peers *p;

    begin(NULL);
    p = m.node[0].worker->peers;
    m.held[0][1] = true;
    for (int i = 0; i < 3; i++) {
        says(keyed("get %n\r\n"), "");
        mesh_wait(&m, 300 * USEC_PER_MSEC);
    }
    cr_expect(eq(i64, drive_metric(&m.node[0], M_BREAKER_OPENED), 1));
    for (int i = 0; i < 200; i++) {
        mesh_wait(&m, 10 * USEC_PER_MSEC);
        peers_tick(p, m.node[0].now);
        cr_assert(gt(i64, peers_due(p), m.node[0].now));
    }
    end();
}

/* A connection that breaks: gets are asked again, a write that may have happened is not. */
Test(forward, a_broken_connection)
{
    begin(NULL);
    says(keyed("set %n 0 0 1\r\nn\r\n"), "STORED\r\n");
    m.held[0][1] = true;
    says(keyed("get %n\r\n"), "");
    mesh_break(&m, 0, 1);
    m.held[0][1] = false;
    mesh_wait(&m, 30 * USEC_PER_MSEC);
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, (char *)(uintptr_t)keyed("VALUE %n 0 1\r\nn\r\nEND\r\n")));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARD_RETRIES), 1));
    end();
}

/* What was not sent yet is sent by the next connection, in the order in which it was asked. */
Test(forward, a_broken_connection_keeps_the_order)
{
    struct drive_node *n = &m.node[0];
    struct link *l;

    begin(NULL);
    l = m.wire[0][1].link;
    m.held[0][1] = true;
    says(keyed("set %n 0 0 1\r\na\r\n"), "");
    mesh_wait(&m, 150 * USEC_PER_MSEC);
    says(keyed("set %n 0 0 1\r\nb\r\n"), "");
    d.got.len = 0;
    mesh_wait(&m, 50 * USEC_PER_MSEC);
    l->heard = n->now; /* it is not silent: the first one may wait for longer than the second */
    mesh_wait(&m, 60 * USEC_PER_MSEC);
    cr_assert(l->first && l->last && l->first->deadline < l->last->deadline);
    cr_assert(gt(u64, l->first->position, l->last->position));
    mesh_break(&m, 0, 1);
    m.held[0][1] = false;
    mesh_wait(&m, 25 * USEC_PER_MSEC);
    cr_expect(buf_add(&d.got, "", 1));
    cr_expect(eq(str, d.got.ptr, "STORED\r\nSTORED\r\n"));
    says(keyed("get %n\r\n"), keyed("VALUE %n 0 1\r\nb\r\nEND\r\n"));
    end();
}

Test(forward, a_client_that_goes)
{
    struct drive other;

    begin(NULL);
    mesh_client(&m, 0, &other);
    m.held[0][1] = true;
    mesh_say(&m, &other, keyed("get %n\r\n"), strlen(keyed("get %n\r\n")), DRIVE_ALL);
    drive_fini(&other);
    m.held[0][1] = false;
    mesh_pump(&m);
    says(keyed("get %n\r\n"), "END\r\n");
    end();
}

/* Whoever is asked and is not the owner says so, and does not send it on. */
Test(forward, views_that_differ)
{
    static const bool two[MESH_MAX] = { true, true, false };
    char key[64];

    begin(NULL);
    /* Node 0 does not know of node 2 in the ring; node 1 does. */
    mesh_key(&m, 2, "moved", 0, key);
    mesh_view(&m, 0, two);
    for (unsigned i = 1; mesh_owner(&m, 0, key) != 1; i++) {
        unsigned n = i;
        char try[64];

        for (unsigned k = 0;; k++) {
            snprintf(try, sizeof try, "moved%u", k);
            if (mesh_owner(&m, 1, try) == 2 && n-- == 0) {
                break;
            }
        }
        memcpy(key, try, sizeof key);
    }
    strcpy(near, key);
    says(keyed("set %n 0 0 1\r\nx\r\nget %n\r\n"), keyed("STORED\r\nVALUE %n 0 1\r\nx\r\nEND\r\n"));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_NOT_OWNER), 2));
    cr_expect(eq(i64, drive_metric(&m.node[2], M_SERVED), 2));
    cr_expect(eq(i64, drive_metric(&m.node[1], M_FORWARDED), 0));
    end();
}

/* Who asks for many long values and reads none of them is owed some, not all of them. */
Test(forward, a_client_that_does_not_read)
{
    enum { LONG = 200000, GETS = 200 };
    static char in[LONG + 200];
    struct drive slow;
    size_t n, each;

    begin((const char *const[]){ "memory_limit=64m", NULL });
    n = (size_t)sprintf(in, "set %s 0 0 %d\r\n", near, LONG);
    memset(in + n, 'v', LONG);
    n += LONG + (size_t)sprintf(in + n + LONG, "\r\n");
    mesh_say(&m, &d, in, n, DRIVE_ALL);
    n = 0;
    for (int i = 0; i < GETS; i++) {
        n += (size_t)sprintf(in + n, "get %s\r\n", near);
    }
    each = LONG + strlen(keyed("VALUE %n 0 200000\r\n\r\nEND\r\n"));
    mesh_client(&m, 0, &slow);
    for (int i = 0; i < 2; i++) {
        /* It is known by then that they are long. */
        size_t most = i == 0 ? 32 * each : (1 << 20) + 4 * each;

        m.slow = &slow;
        cr_assert(drive_turn(&slow, in, n, DRIVE_ALL, 0) == n);
        mesh_pump(&m);
        cr_expect(gt(sz, session_tx_bytes(slow.session), LONG));
        cr_expect(le(sz, session_tx_bytes(slow.session), most));
        m.slow = NULL;
        mesh_say(&m, &slow, "", 0, DRIVE_ALL);
        cr_expect(eq(sz, slow.got.len, GETS * each));
        slow.got.len = 0;
    }
    drive_fini(&slow);
    end();
}

/* A pipeline longer than what may wait for other nodes, cut anywhere. */
Test(forward, a_long_pipeline)
{
    static char in[200000], want[400000];
    size_t n = 0, w = 0;

    begin(NULL);
    m.piece = 777;
    for (unsigned i = 0; i < 2000; i++) {
        char key[64];

        snprintf(key, sizeof key, "p%u", i * 7 % 500);
        n += (size_t)sprintf(in + n, "set %s 0 0 4\r\n%04u\r\nget %s\r\n", key, i, key);
        w += (size_t)sprintf(want + w, "STORED\r\nVALUE %s 0 4\r\n%04u\r\nEND\r\n", key, i);
    }
    for (size_t cut = 100; cut <= 100000; cut *= 10) {
        d.got.len = 0;
        mesh_say(&m, &d, in, n, cut);
        cr_expect(eq(sz, d.got.len, w));
        cr_expect(eq(i32, memcmp(d.got.ptr, want, w), 0));
    }
    end();
}

/* -- the ring changes -------------------------------------------------------------------------- */

static const bool all[MESH_MAX] = { true, true, true };
static const bool only[MESH_MAX] = { true, false, false };

static void
everyone_sees(const bool in[MESH_MAX])
{
    for (unsigned i = 0; i < m.count; i++) {
        mesh_view(&m, i, in);
    }
    mesh_pump(&m);
}

/* What was sent by the ring before and has to be sent again is not overtaken by what follows. */
Test(forward, a_ring_that_changes_under_way)
{
    static const bool two[MESH_MAX] = { true, true, false };
    char key[64], line[128];

    begin(NULL);
    mesh_view(&m, 0, two);
    for (unsigned i = 0;; i++) { /* node 0 takes it for node 1's, and the others for node 2's */
        snprintf(key, sizeof key, "moved%u", i);
        if (mesh_owner(&m, 0, key) == 1 && mesh_owner(&m, 1, key) == 2) {
            break;
        }
    }
    mesh_pump(&m);
    d.got.len = 0;
    m.held[0][1] = true;
    snprintf(line, sizeof line, "set %s 0 0 1\r\na\r\n", key);
    mesh_say(&m, &d, line, strlen(line), DRIVE_ALL);
    mesh_view(&m, 0, all);
    snprintf(line, sizeof line, "set %s 0 0 1\r\nb\r\n", key);
    (void)drive_turn(&d, line, strlen(line), DRIVE_ALL, DRIVE_ALL);
    mesh_pump(&m);
    m.held[0][1] = false;
    mesh_pump(&m);
    cr_expect(eq(sz, d.got.len, strlen("STORED\r\nSTORED\r\n")));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_NOT_OWNER), 1));
    strcpy(near, key);
    says(keyed("get %n\r\n"), keyed("VALUE %n 0 1\r\nb\r\nEND\r\n"));
    end();
}

/* A key goes to another node, is written there, and comes back: the old value must not. */
static void
comes_back(bool sweep)
{
    begin(NULL);
    everyone_sees(only);
    says(keyed("set %n 0 0 3\r\nold\r\nset %o 0 0 3\r\nown\r\n"), "STORED\r\nSTORED\r\n");
    everyone_sees(all);
    if (sweep) {
        cr_expect(mesh_sweep(&m, 0));
        cr_expect(eq(i64, drive_metric(&m.node[0], M_CURR_ITEMS), 1));
    }
    says(keyed("get %n\r\nset %n 0 0 3\r\nnew\r\nget %o\r\n"),
         keyed("END\r\nSTORED\r\nVALUE %o 0 3\r\nown\r\nEND\r\n"));
    everyone_sees(only);
    says(keyed("get %n\r\nget %o\r\n"), keyed("END\r\nVALUE %o 0 3\r\nown\r\nEND\r\n"));
    says(keyed("set %n 0 0 4\r\nnext\r\nget %n\r\n"),
         keyed("STORED\r\nVALUE %n 0 4\r\nnext\r\nEND\r\n"));
    cr_expect(mesh_sweep(&m, 0));
    cr_expect(not(mesh_sweep(&m, 0)));
    says(keyed("get %n %o\r\n"),
         keyed("VALUE %n 0 4\r\nnext\r\nVALUE %o 0 3\r\nown\r\nEND\r\n"));
    end();
}

Test(forward, a_key_that_comes_back_is_not_old)
{
    comes_back(false);
}

Test(forward, a_key_that_comes_back_after_the_sweep)
{
    comes_back(true);
}

/* Rings that follow each other too fast for a worker to live by each of them. */
Test(forward, a_ring_that_nobody_lived_by)
{
    static const bool others[MESH_MAX] = { false, true, true };

    begin(NULL);
    for (unsigned i = 0; i < m.count; i++) {
        mesh_views(&m, i, others, all);
        mesh_views(&m, i, only, all);
    }
    mesh_pump(&m);
    says(keyed("set %o 0 0 1\r\nx\r\nset %n 0 0 1\r\ny\r\nget %o %n\r\n"),
         keyed("STORED\r\nSTORED\r\nVALUE %o 0 1\r\nx\r\nVALUE %n 0 1\r\ny\r\nEND\r\n"));
    cr_expect(mesh_sweep(&m, 0) && mesh_sweep(&m, 1));
    says(keyed("get %o %n\r\n"),
         keyed("VALUE %o 0 1\r\nx\r\nVALUE %n 0 1\r\ny\r\nEND\r\n"));
    end();
}

/* More changes than are kept: everything from before them is suspect. */
Test(forward, many_changes)
{
    begin(NULL);
    for (unsigned i = 0; i < VIEW_PAST_MAX; i++) {
        everyone_sees(i % 2 == 0 ? only : all);
    }
    says(keyed("set %o 0 0 1\r\no\r\n"), "STORED\r\n");
    for (unsigned i = 0; i < 3; i++) {
        everyone_sees(i % 2 == 0 ? only : all);
    }
    says(keyed("get %o\r\nset %o 0 0 1\r\np\r\nget %o\r\n"),
         keyed("END\r\nSTORED\r\nVALUE %o 0 1\r\np\r\nEND\r\n"));
    cr_expect(mesh_sweep(&m, 0));
    says(keyed("get %o\r\n"), keyed("VALUE %o 0 1\r\np\r\nEND\r\n"));
    end();
}

/* The ring changes while the upkeep thread goes by the one before: what is written now stays. */
Test(forward, a_sweep_that_is_late)
{
    struct strays_walk walk = { 0 };
    struct node *n;
    struct view *v;

    begin(NULL);
    n = m.node[0].node;
    everyone_sees(only);
    says(keyed("set %f 0 0 3\r\nold\r\n"), "STORED\r\n");
    everyone_sees(all);
    v = n->view; /* it holds on to this one */
    atomic_store(&n->view, view_swept(v, ++m.view));
    mesh_wait(&m, USEC_PER_MSEC);
    everyone_sees(only);
    says(keyed("set %n 0 0 3\r\nnew\r\n"), "STORED\r\n");
    while (strays_step(n, v, m.node[0].worker->ctx, &walk, 8)) {
    }
    cr_expect(eq(i64, metric_get(&n->upkeep, M_STRAYS), 1));
    says(keyed("get %n %f\r\n"), keyed("VALUE %n 0 3\r\nnew\r\nEND\r\n"));
    view_free(v);
    end();
}

/* Nothing is sent to a client that only says "noreply", so nothing of it may be left over. */
Test(forward, answers_of_nothing_take_no_memory)
{
    struct drive quiet;

    begin(NULL);
    mesh_client(&m, 0, &quiet);
    for (unsigned i = 0; i < 3000; i++) {
        const char *line = keyed("set %n 0 0 1 noreply\r\nx\r\n");

        mesh_say(&m, &quiet, line, strlen(line), DRIVE_ALL);
    }
    drive_fini(&quiet);
    cr_expect(lt(u64, m.node[0].worker->txq.spare_count, 300));
    says(keyed("get %n\r\n"), keyed("VALUE %n 0 1\r\nx\r\nEND\r\n"));
    end();
}

/* The answers in front of what cannot be understood count, and outlive the connection. */
Test(forward, an_answer_that_breaks_off)
{
    enum { LONG = 5000, ALL = PEER_HEADER + 2 * PEER_ENTRY + LONG };
    static char frame[ALL];
    struct peer_entry e = { .kind = PEER_ANSWER, .len = LONG };
    struct peer_frame f = { .type = PEER_ANSWERS, .count = 2, .body_len = ALL - PEER_HEADER };
    struct link *l;
    bool ok = true;

    begin(NULL);
    l = m.wire[0][1].link;
    m.held[0][1] = true;
    says(keyed("get %n\r\nget %n\r\n"), "");
    cr_assert(l->first != NULL);
    f.id = l->first->id;
    peer_write_header(&f, frame);
    peer_write_entry(&e, frame + PEER_HEADER);
    memset(frame + PEER_HEADER + PEER_ENTRY, 'x', LONG);
    e = (struct peer_entry){ .kind = (enum peer_entry_kind)4 };
    peer_write_entry(&e, frame + ALL - PEER_ENTRY);
    for (size_t at = 0, n; at < ALL && ok; at += n) {
        struct iovec room = link_rx_space(l);

        n = ALL - at < 1000 ? ALL - at : 1000;
        memcpy(room.iov_base, frame + at, n);
        ok = link_rx(l, n, m.node[0].now);
        cr_expect(eq(int, ok, at + n < ALL));
        cr_assert(eq(int, ok ? link_park(l) : true, true));
    }
    mesh_break(&m, 0, 1);
    cr_assert(eq(sz, d.got.len, LONG + 5));
    cr_expect(d.got.ptr[0] == 'x' && memcmp(d.got.ptr, d.got.ptr + 1, LONG - 1) == 0);
    cr_expect(memcmp(d.got.ptr + LONG, "END\r\n", 5) == 0);
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARD_RETRIES), 0));
    end();
}

/* A frame that is sent again lies elsewhere than before; who joins it then, joins its command. */
Test(forward, a_get_that_joins_one_that_is_asked_again)
{
    struct drive other;
    char want[256], key[64], line[128];

    begin(NULL);
    says(keyed("set %n 0 0 1\r\nn\r\n"), "STORED\r\n");
    m.held[0][1] = true;
    /* Of two frames the first one's client goes: the second is asked again alone. */
    mesh_client(&m, 0, &other);
    mesh_key(&m, 1, "near", 1, key);
    snprintf(line, sizeof line, "get %s\r\n", key);
    mesh_say(&m, &other, line, strlen(line), DRIVE_ALL);
    says(keyed("get %n\r\n"), "");
    drive_fini(&other);
    mesh_break(&m, 0, 1);
    mesh_client(&m, 0, &other);
    mesh_say(&m, &other, keyed("get %n\r\n"), strlen(keyed("get %n\r\n")), DRIVE_ALL);
    cr_expect(eq(i64, drive_metric(&m.node[0], M_FORWARD_RETRIES), 1));
    cr_expect(eq(i64, drive_metric(&m.node[0], M_COALESCED), 1));
    m.held[0][1] = false;
    mesh_wait(&m, 30 * USEC_PER_MSEC);
    snprintf(want, sizeof want, "VALUE %s 0 1\r\nn\r\nEND\r\n", near);
    cr_assert(eq(sz, other.got.len, strlen(want)));
    cr_expect(eq(int, memcmp(other.got.ptr, want, strlen(want)), 0));
    cr_assert(eq(sz, d.got.len, strlen(want)));
    cr_expect(eq(int, memcmp(d.got.ptr, want, strlen(want)), 0));
    drive_fini(&other);
    end();
}

/* -- the other end ---------------------------------------------------------------------------- */

/* Takes what the session sends and counts the answers of each kind. */
static void
count_answers(struct session *s, unsigned kinds[4])
{
    struct buf got = { 0 };
    struct iovec iov[64];
    struct peer_frame f;
    struct slice in;
    int spans;

    while ((spans = session_tx(s, iov, 64)) > 0) {
        size_t n = 0;

        for (int i = 0; i < spans; i++) {
            cr_assert(buf_add(&got, iov[i].iov_base, iov[i].iov_len));
            n += iov[i].iov_len;
        }
        session_tx_done(s, n);
    }
    cr_assert(session_park(s));
    for (in = slice_of(got.ptr, got.len); in.len > 0;
         in = slice_from(in, PEER_HEADER + f.body_len)) {
        struct slice body, bytes;
        struct peer_entry e;

        cr_assert(eq(int, peer_read_frame(in, &f), PEER_OK));
        body = slice_of(in.ptr + PEER_HEADER, f.body_len);
        while (body.len > 0) {
            cr_assert(eq(int, peer_read_entry(&body, &e, &bytes), PEER_OK));
            kinds[e.kind]++;
        }
    }
    buf_free(&got);
}

/* What cannot be begun in time, because answers before it do not leave, is not executed at all. */
Test(forward, what_has_waited_too_long_is_dropped)
{
    static char frame[OUTBOX_BLOCK];
    struct peer_frame f = { .type = PEER_COMMANDS, .id = 1, .deadline_ms = 100 };
    struct drive_node *n = &m.node[1];
    unsigned kinds[4] = { 0 };
    size_t at = PEER_HEADER;
    struct session *s;
    char *value = malloc(65536);

    begin(NULL);
    at = (size_t)sprintf(value, "set %s 0 0 40000\r\n", near);
    memset(value + at, 'v', 40000);
    memcpy(value + at + 40000, "\r\n", 2);
    d.got.len = 0;
    mesh_say(&m, &d, value, at + 40002, DRIVE_ALL);
    for (f.count = 0, at = PEER_HEADER; f.count < BATCH_MAX; f.count++) {
        struct command c = { .op = OP_GET, .key = slice_of(near, strlen(near)), .last = true };

        at += peer_write_command(&c, PEER_VALUE_NONE, frame + at);
    }
    f.body_len = (uint32_t)(at - PEER_HEADER);
    f.ring = n->worker->view->ring_digest;
    peer_write_header(&f, frame);
    s = session_new(n->worker, SESSION_PEER, NULL);
    memcpy(session_rx_space(s).iov_base, frame, at);
    session_rx(s, at, n->now);
    cr_assert(session_park(s));
    cr_assert(session_has_work(s));
    count_answers(s, kinds);
    cr_expect(kinds[PEER_ANSWER] > 20 && kinds[PEER_ANSWER] < 64);
    n->now += 150 * USEC_PER_MSEC;
    while (session_has_work(s)) {
        session_resume(s, n->now);
        count_answers(s, kinds);
    }
    cr_expect(eq(u32, kinds[PEER_ANSWER] + kinds[PEER_EXPIRED], 64));
    cr_expect(eq(i64, drive_metric(n, M_CMD_GET), kinds[PEER_ANSWER]));
    session_free(s);
    free(value);
    end();
}

/* Nor is a frame that has waited behind another one, or for room. */
Test(forward, a_frame_that_has_waited_too_long_is_dropped)
{
    static char frame[OUTBOX_BLOCK];
    struct command c = { .op = OP_GET, .last = true };
    struct peer_frame f = { .type = PEER_COMMANDS, .count = 1, .deadline_ms = 100 };
    struct drive_node *n = &m.node[1];
    unsigned kinds[4] = { 0 };
    size_t at = 0, len;
    struct session *s;
    char *value = malloc(65536);

    begin(NULL);
    len = (size_t)sprintf(value, "set %s 0 0 40000\r\n", near);
    memset(value + len, 'v', 40000);
    memcpy(value + len + 40000, "\r\n", 2);
    d.got.len = 0;
    mesh_say(&m, &d, value, len + 40002, DRIVE_ALL);
    c.key = slice_of(near, strlen(near));
    f.ring = n->worker->view->ring_digest;
    for (f.id = 0; f.id < 64; f.id++) {
        len = peer_write_command(&c, PEER_VALUE_NONE, frame + at + PEER_HEADER);
        f.body_len = (uint32_t)len;
        peer_write_header(&f, frame + at);
        at += PEER_HEADER + len;
    }
    s = session_new(n->worker, SESSION_PEER, NULL);
    memcpy(session_rx_space(s).iov_base, frame, at);
    session_rx(s, at, n->now);
    cr_assert(session_park(s));
    for (unsigned i = 0; session_has_work(s) && session_tx_bytes(s) < (1 << 20); i++) {
        session_resume(s, n->now); /* nothing leaves */
        cr_assert(session_park(s));
        cr_assert(lt(u32, i, 64));
    }
    cr_assert(session_has_work(s));
    n->now += 150 * USEC_PER_MSEC;
    do {
        count_answers(s, kinds);
        session_resume(s, n->now);
        cr_assert(session_park(s));
    } while (session_has_work(s));
    count_answers(s, kinds);
    cr_expect(eq(u32, kinds[PEER_ANSWER] + kinds[PEER_EXPIRED], 64));
    cr_expect(lt(u32, kinds[PEER_ANSWER], 30));
    cr_expect(eq(i64, drive_metric(n, M_CMD_GET), kinds[PEER_ANSWER]));
    session_free(s);
    free(value);
    end();
}
