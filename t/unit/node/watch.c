/*
 * What watchers are shown, and what becomes of those who do not read.
 */
#include "drive.h"
#include "node/conns.h"
#include "node/watch.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
text_of(struct drive *d)
{
    cr_assert(buf_add(&d->got, "", 1));
    d->got.len--;
    return d->got.ptr;
}

static void
say(struct drive *d, const char *in)
{
    d->got.len = 0;
    drive_say(d, in, strlen(in), DRIVE_ALL);
}

/* Lets a watcher read what there is, without the heads of lines: "ts=... gid=... ". */
static void
watched(struct drive *d, char *out, size_t size)
{
    size_t at = 0;

    d->got.len = 0;
    drive_turn(d, "", 0, 0, DRIVE_ALL);
    for (const char *line = text_of(d), *end; *line != '\0'; line = end + 1) {
        const char *gid = strstr(line, " gid="), *body = gid ? strchr(gid + 1, ' ') : NULL;

        end = strchr(line, '\n');
        cr_assert(ne(ptr, (void *)(uintptr_t)end, NULL), "%s", line);
        body = body && body < end ? body + 1 : line;
        at += (size_t)snprintf(out + at, size - at, "%.*s|", (int)(end - body), body);
        cr_assert(at < size);
    }
    if (at == 0) {
        *out = '\0';
    }
}

/* Each stream shows what it is there for, in memcached's words, and nothing else. */
Test(watch, streams_show_their_own)
{
    static const struct {
        const char *streams, *before, *in, *lines;
    } row[] = {
        { "", "set a 0 0 1\r\nx\r\n", "get a b\r\n",
          "type=item_get key=a status=found clsid=1 cfd=-1 size=1|"
          "type=item_get key=b status=not_found clsid=0 cfd=-1 size=0|" },
        { " fetchers", "set a 0 -1 1\r\nx\r\n", "get a\r\n",
          "type=item_get key=a status=expired clsid=0 cfd=-1 size=0|" },
        { " fetchers", "set a 0 0 1\r\nx\r\n", "flush_all\r\nget a\r\n",
          "type=item_get key=a status=flushed clsid=0 cfd=-1 size=0|" },
        { " fetchers", "set a 0 0 1\r\n5\r\n", "incr a 1\r\ntouch a 0\r\nma a\r\nmg a v T0\r\n",
          "type=item_get key=a status=found clsid=1 cfd=-1 size=1|"
          "type=item_get key=a status=found clsid=1 cfd=-1 size=1|"
          "type=item_get key=a status=found clsid=1 cfd=-1 size=1|"
          "type=item_get key=a status=found clsid=1 cfd=-1 size=1|" },
        { " fetchers mutations", "", "set a 0 100 3\r\nxyz\r\n",
          "type=item_get key=a status=not_found clsid=0 cfd=-1 size=0|"
          "type=item_store key=a status=stored cmd=set ttl=100 clsid=1 cfd=-1 size=3|" },
        { " mutations", "set a 0 0 1\r\nx\r\n",
          "add a 0 0 1\r\ny\r\nreplace b 0 0 1\r\ny\r\nappend b 0 0 1\r\ny\r\n"
          "prepend b 0 0 1\r\ny\r\ncas a 0 0 1 1\r\ny\r\ncas b 0 0 1 1\r\ny\r\nms a 1 C1\r\ny\r\n",
          "type=item_store key=a status=not_stored cmd=add ttl=0 clsid=1 cfd=-1 size=1|"
          "type=item_store key=b status=not_stored cmd=replace ttl=0 clsid=1 cfd=-1 size=1|"
          "type=item_store key=b status=not_stored cmd=append ttl=0 clsid=0 cfd=-1 size=1|"
          "type=item_store key=b status=not_stored cmd=prepend ttl=0 clsid=0 cfd=-1 size=1|"
          "type=item_store key=a status=exists cmd=cas ttl=0 clsid=1 cfd=-1 size=1|"
          "type=item_store key=b status=not_found cmd=cas ttl=0 clsid=1 cfd=-1 size=1|"
          "type=item_store key=a status=exists cmd=cas ttl=0 clsid=1 cfd=-1 size=1|" },
        { " mutations", "set a 0 0 1\r\nx\r\n", "append a 0 0 2\r\nyz\r\n",
          "type=item_store key=a status=stored cmd=append ttl=0 clsid=1 cfd=-1 size=3|" },
        { " mutations", "", "ma a N100 J12\r\nma a\r\n",
          "type=item_store key=a status=stored cmd=add ttl=100 clsid=1 cfd=-1 size=2|" },
        { " deletions", "set a 0 0 1\r\nx\r\nset b 0 0 2\r\nxy\r\n",
          "delete a\r\ndelete a\r\nmd b\r\n",
          "type=deleted key=a cmd=delete clsid=1 size=1|"
          "type=deleted key=b cmd=md clsid=1 size=2|" },
        { " deletions", "set a 0 0 1\r\nx\r\n", "md a I\r\nmd a x\r\nset a 0 0 1\r\ny\r\n", "" },
        { " rawcmds", "set a 0 0 1\r\nx\r\n", "get a b c\r\nbogus \x1b[2J\x7f\r\nmn\r\n",
          "<-1 get a b c|<-1 bogus ?[2J?|<-1 mn|" },
        { " mutations", "", "set a%0a 0 0 1\r\ny\r\n",
          "type=item_store key=a%250a status=stored cmd=set ttl=0 clsid=1 cfd=-1 size=1|" },
        { " proxyreqs", "", "set a 0 0 1\r\ny\r\nget a\r\n", "" },
        { " connevents sysevents evictions", "", "set a 0 0 1\r\ny\r\nget a\r\n", "" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char line[64], lines[2048];
        struct drive watcher, client;
        struct drive_node n;

        drive_node_init(&n, NULL);
        drive_init(&watcher, &n, SESSION_AUTO);
        drive_init(&client, &n, SESSION_AUTO);
        say(&client, row[i].before);
        snprintf(line, sizeof line, "watch%s\r\n", row[i].streams);
        say(&watcher, line);
        cr_expect(eq(str, (char *)(uintptr_t)text_of(&watcher), "OK\r\n"), "%s", line);
        say(&client, row[i].in);
        watched(&watcher, lines, sizeof lines);
        cr_expect(eq(str, lines, (char *)(uintptr_t)row[i].lines), "%s: %s", line, row[i].in);
        drive_fini(&client);
        drive_fini(&watcher);
        drive_node_fini(&n);
    }
}

/* A value that streams into its item is seen like any other, and so is one that is refused. */
Test(watch, large_values_are_seen_too)
{
    static const char *const options[] = { "item_size_max=64k", NULL };
    struct drive watcher, client;
    struct drive_node n;
    char lines[1024];
    char *in = malloc(200000);
    size_t len;

    cr_assert(in != NULL);
    drive_node_init(&n, options);
    drive_init(&watcher, &n, SESSION_AUTO);
    drive_init(&client, &n, SESSION_AUTO);
    say(&watcher, "watch mutations\r\n");
    for (unsigned size = 50000; size <= 100000; size += 50000) {
        len = (size_t)sprintf(in, "set a 0 0 %u\r\n", size);
        memset(in + len, 'v', size);
        memcpy(in + len + size, "\r\n", 2);
        drive_say(&client, in, len + size + 2, 1000);
    }
    watched(&watcher, lines, sizeof lines);
    cr_expect(ne(ptr, strstr(lines, "key=a status=stored cmd=set"), NULL), "%s", lines);
    cr_expect(ne(ptr, strstr(lines, "key=a status=too_large cmd=set ttl=0 clsid=0 cfd=-1 "
                                    "size=100000"), NULL), "%s", lines);
    drive_fini(&client);
    drive_fini(&watcher);
    drive_node_fini(&n);
    free(in);
}

/* Lines are numbered in order, and their time is that of the node. */
Test(watch, lines_have_a_time_and_a_number)
{
    struct drive watcher, client;
    struct drive_node n;

    drive_node_init(&n, NULL);
    drive_init(&watcher, &n, SESSION_AUTO);
    drive_init(&client, &n, SESSION_AUTO);
    say(&watcher, "watch fetchers\r\n");
    n.now += 42;
    say(&client, "get a\r\nget b\r\n");
    watcher.got.len = 0;
    drive_turn(&watcher, "", 0, 0, DRIVE_ALL);
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&watcher),
                 "ts=1750000000.42 gid=1 type=item_get key=a status=not_found clsid=0 cfd=-1 "
                 "size=0\n"
                 "ts=1750000000.42 gid=2 type=item_get key=b status=not_found clsid=0 cfd=-1 "
                 "size=0\n"));
    drive_fini(&client);
    drive_fini(&watcher);
    drive_node_fini(&n);
}

/* Whoever does not read misses lines and is told how many; nobody waits, and no line is torn. */
Test(watch, a_slow_watcher_misses_lines_and_is_told)
{
    static const char *const options[] = { "watcher_logbuf_size=1k", NULL };
    struct drive watcher, client;
    struct drive_node n;
    char lines[4096];
    unsigned shown = 0;

    drive_node_init(&n, options);
    drive_init(&watcher, &n, SESSION_AUTO);
    drive_init(&client, &n, SESSION_AUTO);
    say(&watcher, "watch fetchers\r\n");
    for (unsigned i = 0; i < 100; i++) {
        say(&client, "get a\r\n");
        cr_assert(eq(str, (char *)(uintptr_t)text_of(&client), "END\r\n"));
    }
    watched(&watcher, lines, sizeof lines);
    for (const char *at = lines; (at = strstr(at, "type=item_get key=a status=not_found clsid=0 "
                                                  "cfd=-1 size=0|")) != NULL; at++) {
        shown++;
    }
    cr_expect(shown > 5 && shown < 20, "%u", shown);
    say(&client, "get a\r\n");
    watched(&watcher, lines, sizeof lines);
    {
        char want[128];

        snprintf(want, sizeof want,
                 "skipped=%u|type=item_get key=a status=not_found clsid=0 cfd=-1 size=0|",
                 100 - shown);
        cr_expect(eq(str, lines, want));
    }
    cr_expect(eq(i64, drive_metric(&n, M_LOG_SKIPPED), 100 - shown));
    cr_expect(eq(i64, drive_metric(&n, M_LOG_SENT), shown + 1));
    cr_expect(eq(i64, drive_metric(&n, M_LOG_WRITTEN), 101));
    drive_fini(&client);
    drive_fini(&watcher);
    drive_node_fini(&n);
}

/* A watcher's place is free again when it is gone, and only so many fit. */
Test(watch, there_is_room_for_twenty)
{
    struct drive watcher[WATCH_MAX], late;
    struct drive_node n;

    drive_node_init(&n, NULL);
    for (unsigned i = 0; i < WATCH_MAX; i++) {
        drive_init(&watcher[i], &n, SESSION_AUTO);
        say(&watcher[i], "watch\r\n");
        cr_expect(eq(str, (char *)(uintptr_t)text_of(&watcher[i]), "OK\r\n"));
    }
    drive_init(&late, &n, SESSION_AUTO);
    say(&late, "watch\r\nmn\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&late),
                 "WATCHER_TOO_MANY log watcher limit reached\r\nMN\r\n"));
    cr_expect(eq(u32, watches_count(n.node->watches), WATCH_MAX));
    drive_fini(&watcher[7]);
    say(&late, "watch\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&late), "OK\r\n"));
    drive_fini(&late);
    for (unsigned i = 0; i < WATCH_MAX; i++) {
        if (i != 7) {
            drive_fini(&watcher[i]);
        }
    }
    cr_expect(eq(u32, watches_streams(n.node->watches), 0));
    drive_node_fini(&n);
}

/* The log of -vv takes nobody's place and is not counted among the watchers. */
Test(watch, the_log_has_a_place_of_its_own)
{
    struct watcher *log, *client;
    struct drive_node n;

    drive_node_init(&n, NULL);
    log = watches_add_log(n.node->watches, WATCH_RAWCMDS, 0);
    cr_assert(log != NULL);
    cr_expect(eq(ptr, watches_add_log(n.node->watches, WATCH_RAWCMDS, 0), NULL));
    cr_expect(eq(u32, watches_count(n.node->watches), 0));
    cr_expect(eq(u32, watches_streams(n.node->watches), WATCH_RAWCMDS));
    cr_expect(eq(int, watches_add(n.node->watches, WATCH_FETCHERS, 0, &client), WATCH_ADDED));
    cr_expect(eq(u32, watches_count(n.node->watches), 1));
    watcher_free(log);
    cr_expect(eq(u32, watches_streams(n.node->watches), WATCH_FETCHERS));
    watcher_free(client);
    drive_node_fini(&n);
}

/* What a watcher says is not listened to, and it is not idle. */
Test(watch, a_watcher_is_not_listened_to)
{
    struct drive watcher;
    struct drive_node n;

    drive_node_init(&n, NULL);
    drive_init(&watcher, &n, SESSION_AUTO);
    say(&watcher, "watch mutations\r\nset a 0 0 1\r\nx\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&watcher), "OK\r\n"));
    say(&watcher, "set a 0 0 1\r\nx\r\n");
    cr_expect(eq(str, (char *)(uintptr_t)text_of(&watcher), ""));
    cr_expect(eq(i64, drive_metric(&n, M_CURR_ITEMS), 0));
    cr_expect(session_is_busy(watcher.session));
    session_rx_end(watcher.session);
    cr_expect(session_is_over(watcher.session));
    drive_fini(&watcher);
    drive_node_fini(&n);
}

/* The refusals, in memcached's words. */
Test(watch, refusals)
{
    static const char *const options[] = { "watch_enabled=no", NULL };
    static const struct {
        const char *in, *out;
        bool refused;
    } row[] = {
        { "watch nothing\r\n", "ERROR\r\n", false },
        { "watch fetchers nothing\r\n", "ERROR\r\n", false },
        { "watch noreply\r\n", "", false },
        { "mn\r\nwatch\r\nmn\r\n",
          "MN\r\nERROR cannot pipeline other commands before watch\r\nMN\r\n", false },
        { "watch fetchers\r\n", "CLIENT_ERROR watch commands not allowed\r\n", true },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct drive_node n;
        struct drive d;

        drive_node_init(&n, row[i].refused ? options : NULL);
        drive_init(&d, &n, SESSION_AUTO);
        say(&d, row[i].in);
        cr_expect(eq(str, (char *)(uintptr_t)text_of(&d), (char *)(uintptr_t)row[i].out), "%s",
                  row[i].in);
        drive_fini(&d);
        drive_node_fini(&n);
    }
}

/* Connections come and go in lines of their own. */
Test(watch, connections)
{
    struct conn_addr v4 = { .kind = CONN_TCP, .port = 80, .u.ip = { 127, 0, 0, 1 } };
    struct conn_addr v6 = { .kind = CONN_UDP6, .port = 81, .u.ip = { [15] = 1 } };
    struct conn_addr local = { .kind = CONN_UNIX };
    struct drive watcher;
    struct drive_node n;
    char lines[1024];

    drive_node_init(&n, NULL);
    drive_init(&watcher, &n, SESSION_AUTO);
    say(&watcher, "watch connevents\r\n");
    {
        struct watch_from from = { n.node->watches, &n.node->shared, n.now };

        watch_connected(&from, &v4, 7);
        watch_connected(&from, &v6, 8);
        watch_failed(&from, 9, "Connection reset by peer");
        watch_closed(&from, &local, "idle_timeout", 9);
    }
    watched(&watcher, lines, sizeof lines);
    cr_expect(eq(str, lines,
                 "type=conn_new rip=127.0.0.1 rport=80 transport=tcp cfd=7|"
                 "type=conn_new rip=::1 rport=81 transport=udp cfd=8|"
                 "type=connerr fd=9 msg=Connection reset by peer|"
                 "type=conn_close rip=unix rport=0 transport=local reason=idle_timeout cfd=9|"));
    drive_fini(&watcher);
    drive_node_fini(&n);
}

/* The worker of a watcher is called once for each time that it had nothing to send. */
Test(watch, a_worker_is_called_when_its_watcher_is_hungry)
{
    struct drive watcher, client;
    struct drive_node n;

    drive_node_init(&n, NULL);
    drive_init(&watcher, &n, SESSION_AUTO);
    drive_init(&client, &n, SESSION_AUTO);
    say(&watcher, "watch\r\n");
    cr_expect(eq(ptr, session_next_fed(n.worker, NULL), NULL));
    cr_expect(eq(u64, watches_take_ready(n.node->watches), 0));
    say(&client, "get a\r\nget b\r\n");
    cr_expect(eq(u64, watches_take_ready(n.node->watches), 1));
    cr_expect(eq(u64, watches_take_ready(n.node->watches), 0));
    cr_expect(eq(ptr, session_next_fed(n.worker, NULL), watcher.session));
    cr_expect(eq(ptr, session_next_fed(n.worker, NULL), NULL));
    say(&client, "get c\r\n");
    cr_expect(eq(u64, watches_take_ready(n.node->watches), 0), "it has not read yet");
    drive_turn(&watcher, "", 0, 0, DRIVE_ALL);
    say(&client, "get d\r\n");
    cr_expect(eq(u64, watches_take_ready(n.node->watches), 1));
    drive_fini(&client);
    drive_fini(&watcher);
    drive_node_fini(&n);
}
