/* The registry behind "stats peers". */
#include "node/peer_rows.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define MANY 1000

struct seen {
    unsigned count;
    uint64_t nodes; /* sum of their ids */
    struct peer_row last;
};

static void
look(void *arg, const struct peer_row *row)
{
    struct seen *s = arg;

    cr_assert(row->open);
    s->count++;
    s->nodes += row->node;
    memcpy(&s->last, row, sizeof s->last);
}

/* What a link tells is what is printed, and a row that is used again knows nothing of before. */
Test(peer_rows, a_row_shows_what_was_told)
{
    struct peer_rows *r = peer_rows_new();
    struct peer_row *row = peer_rows_open(r, 42, 3, 100);
    struct seen s = { 0 };

    cr_assert(row != NULL);
    peer_row_enter(row, PEER_ROW_DIALING, 200);
    peer_row_enter(row, PEER_ROW_UP, 300);
    peer_row_enter(row, PEER_ROW_UP, 400);
    peer_row_add(row, PEER_ROW_SENT, 5);
    peer_row_add(row, PEER_ROW_SENT, 6);
    peer_row_set(row, PEER_ROW_QUEUED_BYTES, 77);
    peer_rows_each(r, look, &s);
    cr_expect(eq(u32, s.count, 1));
    cr_expect(eq(u64, s.last.node, 42));
    cr_expect(eq(u32, s.last.worker, 3));
    cr_expect(eq(i64, peer_row_get(&s.last, PEER_ROW_STATE), PEER_ROW_UP));
    cr_expect(eq(i64, peer_row_get(&s.last, PEER_ROW_SINCE), 300));
    cr_expect(eq(i64, peer_row_get(&s.last, PEER_ROW_SENT), 11));
    cr_expect(eq(i64, peer_row_get(&s.last, PEER_ROW_QUEUED_BYTES), 77));
    peer_rows_close(r, row);
    row = peer_rows_open(r, 43, 1, 500);
    s = (struct seen){ 0 };
    peer_rows_each(r, look, &s);
    cr_expect(eq(u32, s.count, 1));
    cr_expect(eq(u64, s.last.node, 43));
    cr_expect(zero(i64, peer_row_get(&s.last, PEER_ROW_SENT)));
    cr_expect(eq(i64, peer_row_get(&s.last, PEER_ROW_SINCE), 500));
    peer_rows_free(r);
}

/* A row stays where it is while others come and go: its worker writes without a lock. */
Test(peer_rows, many_come_and_go)
{
    static struct peer_row *row[MANY];
    struct peer_rows *r = peer_rows_new();
    struct peer_row *first = peer_rows_open(r, MANY + 1, 0, 0);
    struct seen s = { 0 };

    for (unsigned i = 0; i < MANY; i++) {
        row[i] = peer_rows_open(r, i + 1, i, 0);
        cr_assert(row[i] != NULL);
    }
    peer_rows_each(r, look, &s);
    cr_expect(eq(u32, s.count, MANY + 1));
    cr_expect(eq(u64, s.nodes, (uint64_t)(MANY + 1) * (MANY + 2) / 2));
    for (unsigned i = 0; i < MANY; i += 2) {
        peer_rows_close(r, row[i]);
    }
    s = (struct seen){ 0 };
    peer_rows_each(r, look, &s);
    cr_expect(eq(u32, s.count, MANY / 2 + 1));
    cr_expect(eq(u64, first->node, MANY + 1));
    for (unsigned i = 0; i < MANY; i += 2) {
        row[i] = peer_rows_open(r, i + 1, i, 0);
        cr_assert(row[i] != NULL && row[i]->open);
    }
    s = (struct seen){ 0 };
    peer_rows_each(r, look, &s);
    cr_expect(eq(u32, s.count, MANY + 1), "closed rows are used again");
    peer_rows_free(r);
}

/* The driver knows why there is no connection, the link has the row. */
Test(peer_rows, a_fault_finds_its_row)
{
    struct peer_rows *r = peer_rows_new();
    struct peer_row *a = peer_rows_open(r, 1, 0, 0), *b = peer_rows_open(r, 1, 1, 0),
                    *c = peer_rows_open(r, 2, 1, 0);

    cr_expect(peer_rows_fault(r, 1, 1, PEER_FAULT_REFUSED));
    cr_expect(not(peer_rows_fault(r, 1, 1, PEER_FAULT_REFUSED)), "it is the same");
    cr_expect(not(peer_rows_fault(r, 3, 1, PEER_FAULT_RESET)), "of nobody");
    cr_expect(eq(i64, peer_row_get(a, PEER_ROW_FAULT), PEER_FAULT_NONE));
    cr_expect(eq(i64, peer_row_get(b, PEER_ROW_FAULT), PEER_FAULT_REFUSED));
    cr_expect(eq(i64, peer_row_get(c, PEER_ROW_FAULT), PEER_FAULT_NONE));
    peer_rows_close(r, b);
    cr_expect(not(peer_rows_fault(r, 1, 1, PEER_FAULT_RESET)));
    cr_expect(eq(i64, peer_row_get(b, PEER_ROW_FAULT), PEER_FAULT_REFUSED), "it is closed");
    peer_rows_free(r);
}

/* Without memory for a row the link works all the same, unseen. */
Test(peer_rows, no_row_is_fine)
{
    struct peer_rows *r = peer_rows_new();

    peer_row_set(NULL, PEER_ROW_SENT, 1);
    peer_row_add(NULL, PEER_ROW_SENT, 1);
    peer_row_enter(NULL, PEER_ROW_UP, 1);
    peer_rows_close(r, NULL);
    peer_rows_free(r);
    peer_rows_free(NULL);
}

/* Every state and fault has a word of its own. */
Test(peer_rows, words)
{
    for (int i = 0; i < PEER_FAULTS; i++) {
        cr_assert(peer_row_fault_text(i) != NULL, "fault %d", i);
    }
    cr_expect(eq(str, (char *)(uintptr_t)peer_row_fault_text(PEER_FAULT_NONE), "none"));
    cr_expect(eq(str, (char *)(uintptr_t)peer_row_state_text(PEER_ROW_CLOSED), "closed"));
    cr_expect(eq(str, (char *)(uintptr_t)peer_row_state_text(PEER_ROW_HALF), "half"));
}
