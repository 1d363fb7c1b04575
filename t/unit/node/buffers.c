/* Memory for what clients have sent by halves. */
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char starved[] = "SERVER_ERROR out of memory reading request\r\n";

/* One turn with the client's bytes, all answers read. */
static void
say(struct drive *d, const char *text)
{
    (void)drive_turn(d, text, strlen(text), DRIVE_ALL, DRIVE_ALL);
    if (d->session) {
        (void)drive_turn(d, "", 0, DRIVE_ALL, DRIVE_ALL);
    }
}

/* read_buf_mem_limit: clients that stop in the middle of a command must not take all memory. */
Test(buffers, half_commands_have_a_limit)
{
    static const char *const options[] = { "read_buf_mem_limit=16k", "threads=1", NULL };
    char half[1100];
    struct drive_node n;
    struct drive d[20];
    unsigned served = 0, told = 0;

    memset(half, 'k', sizeof half - 1);
    memcpy(half, "get ", 4);
    half[sizeof half - 1] = '\0';
    drive_node_init(&n, options);
    for (int i = 0; i < 20; i++) {
        drive_init(&d[i], &n, SESSION_AUTO);
        say(&d[i], half);
        served += d[i].session != NULL;
        if (d[i].session == NULL) {
            cr_expect(eq(sz, d[i].got.len, sizeof starved - 1));
            told += d[i].got.len == sizeof starved - 1 &&
                    memcmp(d[i].got.ptr, starved, sizeof starved - 1) == 0;
        }
    }
    /* Each takes a block of 2 KiB. */
    cr_expect(eq(u32, served, 8));
    cr_expect(eq(u32, told, 12));
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUF_OOM), 12));
    /* Who is whole needs no memory; who goes makes room. */
    drive_fini(&d[19]);
    drive_init(&d[19], &n, SESSION_AUTO);
    say(&d[19], "mn\r\n");
    cr_expect(eq(sz, d[19].got.len, 4));
    drive_fini(&d[0]);
    say(&d[19], half);
    cr_expect(d[19].session != NULL);
    for (int i = 1; i < 20; i++) {
        drive_fini(&d[i]);
    }
    cr_expect(eq(i64, drive_metric(&n, M_READ_BUF_BYTES), WORKER_RX_BYTES));
    drive_node_fini(&n);
}

/* What was answered before goes out, and then the error. */
Test(buffers, the_error_follows_the_answers)
{
    static const char *const options[] = { "read_buf_mem_limit=16k", "threads=1", NULL };
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, options);
    cr_assert(buf_printf(&in, "mn\r\nget "));
    for (int i = 0; i < 2000; i++) {
        cr_assert(buf_printf(&in, "key%d ", i + 100000));
    }
    drive_init(&d, &n, SESSION_AUTO);
    (void)drive_turn(&d, in.ptr, in.len, DRIVE_ALL, DRIVE_ALL);
    cr_expect(d.session == NULL);
    cr_assert(eq(sz, d.got.len, 4 + sizeof starved - 1));
    cr_expect(eq(int, memcmp(d.got.ptr, "MN\r\nSERVER_ERROR out", 20), 0));
    drive_fini(&d);
    buf_free(&in);
    drive_node_fini(&n);
}

/* Without a limit there is none. */
Test(buffers, no_limit_is_the_default)
{
    struct drive_node n;
    struct drive d;
    struct buf in = { 0 };

    drive_node_init(&n, NULL);
    cr_assert(buf_printf(&in, "get "));
    for (int i = 0; i < 20000; i++) {
        cr_assert(buf_printf(&in, "key%d ", i));
    }
    cr_assert(buf_printf(&in, "\r\n"));
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, in.ptr, in.len, DRIVE_ALL);
    cr_expect(eq(sz, d.got.len, 5), "END and nothing else");
    drive_fini(&d);
    buf_free(&in);
    drive_node_fini(&n);
}

static int64_t
stat_of(struct drive *d, const char *key)
{
    char *at;

    d->got.len = 0;
    drive_say(d, "stats\r\n", 7, DRIVE_ALL);
    cr_assert(buf_add(&d->got, "", 1));
    at = strstr(d->got.ptr, key);
    cr_assert_not_null(at);
    return atoll(at + strlen(key));
}

/* The asking connection's worker is using its buffer; others are not. */
Test(buffers, free_buffers_are_those_of_idle_workers)
{
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    cr_assert(ne(ptr, node_add_worker(n.node), NULL));
    drive_init(&d, &n, SESSION_AUTO);
    cr_expect(eq(i64, stat_of(&d, "STAT read_buf_bytes "), 2 * WORKER_RX_BYTES));
    cr_expect(eq(i64, stat_of(&d, "STAT read_buf_bytes_free "), WORKER_RX_BYTES));
    drive_fini(&d);
    drive_node_fini(&n);
}
