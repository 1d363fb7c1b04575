#include "node/conns.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static void
row_count(void *arg, const struct conn_row *row)
{
    unsigned *seen = arg;

    seen[row->fd]++;
}

/* A worker keeps its row while the registry grows. */
Test(conns, rows_stay_where_they_are_and_are_reused)
{
    enum { COUNT = 1000 };
    static const struct conn_addr none = { .kind = CONN_NONE };
    struct conn_row *row[COUNT];
    unsigned seen[COUNT] = { 0 };
    struct conns *c = conns_new();

    for (int i = 0; i < COUNT; i++) {
        row[i] = conns_open(c, i, &none, &none, 5);
        cr_assert(row[i] != NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_expect(eq(int, row[i]->fd, i));
    }
    for (int i = 0; i < COUNT; i += 2) {
        conns_close(c, row[i]);
    }
    conns_each(c, row_count, seen);
    for (int i = 0; i < COUNT; i++) {
        cr_expect(eq(uint, seen[i], i % 2), "%d", i);
    }
    for (int i = 0; i < COUNT; i += 2) {
        row[i] = conns_open(c, i, &none, &none, 6);
        cr_expect(eq(i64, row[i]->last_cmd, 6));
        cr_expect(eq(int, row[i]->state, CONN_NEW_CMD));
    }
    cr_expect(eq(u64, conns_rows(c), COUNT), "closed ones came first");
    conns_each(c, row_count, seen);
    for (int i = 0; i < COUNT; i++) {
        cr_expect(eq(uint, seen[i], 1 + i % 2), "%d", i);
    }
    conns_free(c);
}

Test(conns, addresses_are_printed_as_by_memcached)
{
    static const struct {
        struct conn_addr addr;
        const char *text;
    } row[] = {
        { { .kind = CONN_TCP, .port = 11211, .u.ip = { 127, 0, 0, 1 } }, "tcp:127.0.0.1:11211" },
        { { .kind = CONN_UDP, .port = 1, .u.ip = { 255, 2, 30, 4 } }, "udp:255.2.30.4:1" },
        { { .kind = CONN_TCP6, .port = 80, .u.ip = { [15] = 1 } }, "tcp6:[::1]:80" },
        { { .kind = CONN_TCP6, .port = 80 }, "tcp6:[::]:80" },
        { { .kind = CONN_UDP6, .port = 80, .u.ip = { 0x20, 1, 0xd, 0xb8, [15] = 0x2a } },
          "udp6:[2001:db8::2a]:80" },
        { { .kind = CONN_TCP6, .port = 80, .u.ip = { 0xfe, 0x80 } }, "tcp6:[fe80::]:80" },
        /* one zero group is not shortened, and of two runs the longer one is */
        { { .kind = CONN_TCP6, .port = 80,
            .u.ip = { 0, 1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7 } },
          "tcp6:[1:0:2:3:4:5:6:7]:80" },
        { { .kind = CONN_TCP6, .port = 80, .u.ip = { 0, 1, [7] = 2, [15] = 3 } },
          "tcp6:[1:0:0:2::3]:80" },
        { { .kind = CONN_TCP6, .port = 65535,
            .u.ip = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                      0xff, 0xff, 0xff } },
          "tcp6:[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
        { { .kind = CONN_UNIX, .u.path = NULL }, "unix:" },
        { { .kind = CONN_NONE }, "unknown" },
    };
    struct conn_addr path = { .kind = CONN_UNIX, .u.path = "/run/magpie.sock" };
    char text[140];

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        conn_addr_print(&row[i].addr, text, sizeof text);
        cr_expect(eq(str, text, (char *)(uintptr_t)row[i].text));
    }
    conn_addr_print(&path, text, sizeof text);
    cr_expect(eq(str, text, "unix:/run/magpie.sock"));
}
