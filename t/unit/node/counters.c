/*
 * Which command moves which counter: what dashboards of memcached have shown for years.
 */
#include "drive.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

/*
 * before is said first and not counted; then in moves exactly these, in the order of
 * metrics.def.
 */
struct move {
    const char *before;
    const char *in;
    const char *moves;
};

/*
 * Buffers and bytes depend on how the connection is driven, not on what is said; who clears a
 * dead item away is the store's affair.
 */
static bool
metric_is_steady(enum metric id)
{
    switch (id) {
    case M_BYTES_READ:
    case M_BYTES_WRITTEN:
    case M_READ_BUFS:
    case M_READ_BUF_BYTES:
    case M_RESP_BUFS:
    case M_RESP_BUF_BYTES:
    case M_CURR_BYTES:
    case M_EXPIRED_UNFETCHED:
        return false;
    default:
        return metric_stat(id) != NULL;
    }
}

static void
move_check(const struct move *m)
{
    struct metrics_sum before, after;
    struct drive_node n;
    struct drive d;
    char text[512] = "";
    size_t len = 0;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, m->before, strlen(m->before), DRIVE_ALL);
    node_metrics(n.node, &before);
    drive_say(&d, m->in, strlen(m->in), DRIVE_ALL);
    node_metrics(n.node, &after);
    for (unsigned i = 0; i < METRICS; i++) {
        long long moved = after.value[i] - before.value[i];

        if (moved != 0 && metric_is_steady(i)) {
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s=%lld", len > 0 ? " " : "",
                                    metric_stat(i), moved);
        }
    }
    cr_expect(eq(str, text, (char *)(uintptr_t)m->moves), "%s", m->in);
    drive_fini(&d);
    drive_node_fini(&n);
}

#define CHECK(table)                                                  \
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {     \
        move_check(&table[i]);                                        \
    }

#define A "set a 0 0 1\r\n1\r\n"     /* an item */
#define GONE "set a 0 -1 1\r\n1\r\n" /* one that is over */

Test(counters, retrieval)
{
    static const struct move row[] = {
        { "", "get a\r\n", "cmd_get=1 get_misses=1" },
        { A, "get a a b\r\n", "cmd_get=3 get_hits=2 get_misses=1" },
        { A, "gets a\r\n", "cmd_get=1 get_hits=1" },
        { GONE, "get a\r\n", "cmd_get=1 get_misses=1 get_expired=1 curr_items=-1" },
        { A "flush_all\r\n", "get a\r\n", "cmd_get=1 get_misses=1 get_flushed=1 curr_items=-1" },
        { A, "gat 0 a\r\n", "cmd_touch=1 touch_hits=1" },
        { A, "gats 0 a b\r\n", "cmd_touch=2 touch_hits=1 touch_misses=1" },
        { A, "touch a 0\r\n", "cmd_touch=1 touch_hits=1" },
        { "", "touch a 0\r\n", "cmd_touch=1 touch_misses=1" },
        { A, "mg a v\r\n", "cmd_get=1 get_hits=1" },
        { "", "mg a v\r\n", "cmd_get=1 get_misses=1" },
        { GONE, "mg a v\r\n", "cmd_get=1 get_misses=1 get_expired=1 curr_items=-1" },
        { A, "mg a T30\r\n", "cmd_touch=1 touch_hits=1" },
        { "", "mg a T30\r\n", "cmd_get=1 get_misses=1" },
        { "", "mg a N30\r\n", "cmd_get=1 get_hits=1 curr_items=1 total_items=1" },
        { A "md a I\r\n", "mg a v\r\n", "cmd_get=1 get_hits=1" },
        { GONE, "mg a N30\r\n", "cmd_get=1 get_hits=1 get_expired=1 total_items=1" },
        { GONE, "gat 0 a\r\n", "cmd_touch=1 get_expired=1 touch_misses=1 curr_items=-1" },
        { GONE, "touch a 0\r\n", "cmd_touch=1 get_expired=1 touch_misses=1 curr_items=-1" },
        { A, "me a\r\n", "cmd_meta=1" },
        { GONE, "me a\r\n", "cmd_meta=1 get_expired=1 curr_items=-1" },
        { "", "me a\r\n", "cmd_meta=1" },
        { "", "mn\r\n", "" },
    };

    CHECK(row);
}

Test(counters, storing)
{
    static const struct move row[] = {
        { "", A, "cmd_set=1 curr_items=1 total_items=1" },
        { A, A, "cmd_set=1 total_items=1" },
        { GONE, A, "cmd_set=1 get_expired=1 total_items=1" },
        { GONE, "replace a 0 0 1\r\n1\r\n", "cmd_set=1 get_expired=1 curr_items=-1" },
        { A, "add a 0 0 1\r\n1\r\n", "cmd_set=1" },
        { "", "add a 0 0 1\r\n1\r\n", "cmd_set=1 curr_items=1 total_items=1" },
        { "", "replace a 0 0 1\r\n1\r\n", "cmd_set=1" },
        { A, "replace a 0 0 1\r\n1\r\n", "cmd_set=1 total_items=1" },
        { A, "append a 0 0 1\r\n1\r\n", "cmd_set=1 total_items=1" },
        { "", "prepend a 0 0 1\r\n1\r\n", "cmd_set=1" },
        { A, "cas a 0 0 1 1\r\n1\r\n", "cmd_set=1 cas_badval=1" },
        { "", "cas a 0 0 1 1\r\n1\r\n", "cmd_set=1 cas_misses=1" },
        { "ms a 1 E5\r\n1\r\n", "cas a 0 0 1 5\r\n1\r\n", "cmd_set=1 cas_hits=1 total_items=1" },
        { "", "ms a 1\r\n1\r\n", "cmd_set=1 curr_items=1 total_items=1" },
        { A, "ms a 1 ME\r\n1\r\n", "cmd_set=1" },
        { A, "ms a 1 C1\r\n1\r\n", "cmd_set=1 cas_badval=1" },
        { "", "ms a 1 C1\r\n1\r\n", "cmd_set=1 cas_misses=1" },
        { "", "set a 0 0 1\r\nxyz\r\n", "cmd_set=1" },
        { "", "set a x 0 1\r\n1\r\n", "" },
    };

    CHECK(row);
}

Test(counters, changing)
{
    static const struct move row[] = {
        { A, "delete a\r\n", "delete_hits=1 curr_items=-1" },
        { "", "delete a\r\n", "delete_misses=1" },
        { A, "md a\r\n", "delete_hits=1 curr_items=-1" },
        { "", "md a I\r\n", "delete_misses=1" },
        { A, "md a I\r\n", "" },
        { A, "md a x\r\n", "delete_hits=1 total_items=1" },
        { A, "md a C1\r\n", "delete_misses=1" },
        { A, "incr a 1\r\n", "incr_hits=1" },
        { A, "decr a 1\r\n", "decr_hits=1" },
        { "", "incr a 1\r\n", "incr_misses=1" },
        { "", "decr a 1\r\n", "decr_misses=1" },
        { "set a 0 0 1\r\n9\r\n", "incr a 1\r\n", "incr_hits=1 total_items=1" },
        { "set a 0 0 1\r\nx\r\n", "incr a 1\r\n", "" },
        { A, "ma a\r\n", "incr_hits=1" },
        { A, "ma a MD\r\n", "decr_hits=1" },
        { "", "ma a\r\n", "incr_misses=1" },
        { "", "ma a N0\r\n", "curr_items=1 total_items=1" },
        { GONE, "delete a\r\n", "get_expired=1 delete_misses=1 curr_items=-1" },
        { GONE, "incr a 1\r\n", "get_expired=1 incr_misses=1 curr_items=-1" },
        { GONE, "ma a\r\n", "get_expired=1 incr_misses=1 curr_items=-1" },
        { A, "flush_all\r\n", "cmd_flush=1" },
        { A, "flush_all 100\r\n", "cmd_flush=1" },
        { A, "flush_all x\r\n", "cmd_flush=1" },
    };

    CHECK(row);
}

/* Operators compare classes by these; they go by the class of the item that was met. */
Test(counters, of_the_class)
{
    static const char said[] =
        A "get a a\r\nincr a 1\r\ndecr a 1\r\ntouch a 0\r\ncas a 0 0 1 1\r\n1\r\nms a 1 E5\r\n1\r\n"
        "cas a 0 0 1 5\r\n1\r\ndelete a\r\n";
    struct store_class_stats sum = { 0 }, k;
    struct store_stats all;
    struct drive_node n;
    struct drive d;

    drive_node_init(&n, NULL);
    drive_init(&d, &n, SESSION_AUTO);
    drive_say(&d, said, sizeof said - 1, DRIVE_ALL);
    store_get_stats(n.node->store, &all);
    for (unsigned id = 1; id <= all.classes; id++) {
        store_get_class_stats(n.node->store, (uint8_t)id, &k);
        for (unsigned i = 0; i < STORE_COUNTS; i++) {
            sum.counts[i] += k.counts[i];
        }
    }
    cr_expect(eq(i64, sum.counts[SC_GET_HITS], 2));
    cr_expect(eq(i64, sum.counts[SC_CMD_SET], 4));
    cr_expect(eq(i64, sum.counts[SC_INCR_HITS], 1));
    cr_expect(eq(i64, sum.counts[SC_DECR_HITS], 1));
    cr_expect(eq(i64, sum.counts[SC_TOUCH_HITS], 1));
    cr_expect(eq(i64, sum.counts[SC_CAS_BADVAL], 1));
    cr_expect(eq(i64, sum.counts[SC_CAS_HITS], 1));
    cr_expect(eq(i64, sum.counts[SC_DELETE_HITS], 1));
    drive_fini(&d);
    drive_node_fini(&n);
}
