#include "node/peer_rows.h"
#include "base/spin.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Rows are allocated in blocks of doubling size and stay where they are, so that a worker may
 * write to its row while the registry grows.
 */
#define BLOCK_FIRST 64u
#define BLOCKS_MAX  26
#define COPY_MAX    32u /* rows looked at in one hold of the lock */

struct peer_rows {
    struct spin      lock;
    struct peer_row *block[BLOCKS_MAX];
    unsigned         blocks;
    uint64_t         rows; /* ever handed out; they fill the blocks in order */
    uint64_t         room; /* in all blocks */
    struct peer_row *spare;
};

struct peer_rows *
peer_rows_new(void)
{
    return calloc(1, sizeof(struct peer_rows));
}

void
peer_rows_free(struct peer_rows *r)
{
    if (!r) {
        return;
    }
    for (unsigned i = 0; i < r->blocks; i++) {
        free(r->block[i]);
    }
    free(r);
}

static uint64_t
block_rows(unsigned index)
{
    return (uint64_t)BLOCK_FIRST << index;
}

/* Row number i of those handed out.  Locked. */
static struct peer_row *
row_at(const struct peer_rows *r, uint64_t i)
{
    /* Block b starts at row FIRST * (2^b - 1). */
    unsigned b = 63u - (unsigned)__builtin_clzll(i / BLOCK_FIRST + 1);

    assert(i < r->rows && b < r->blocks);
    return &r->block[b][i + BLOCK_FIRST - block_rows(b)];
}

/* A row nobody uses; NULL without memory.  Locked. */
static struct peer_row *
row_take(struct peer_rows *r)
{
    struct peer_row *row = r->spare;

    if (row) {
        r->spare = row->next_free;
        return row;
    }
    if (r->rows == r->room) {
        if (r->blocks == BLOCKS_MAX) {
            return NULL;
        }
        r->block[r->blocks] = calloc(block_rows(r->blocks), sizeof *row);
        if (!r->block[r->blocks]) {
            return NULL;
        }
        r->room += block_rows(r->blocks++);
    }
    r->rows++;
    return row_at(r, r->rows - 1);
}

struct peer_row *
peer_rows_open(struct peer_rows *r, node_id node, unsigned worker, usec_t now)
{
    struct peer_row *row;

    assert(r && node != 0);
    spin_lock(&r->lock);
    row = row_take(r);
    if (row) {
        assert(!row->open);
        row->node = node;
        row->worker = worker;
        row->next_free = NULL;
        for (unsigned i = 0; i < PEER_ROW_FIELDS; i++) {
            peer_row_set(row, i, 0);
        }
        peer_row_set(row, PEER_ROW_SINCE, now);
        row->open = true;
    }
    spin_unlock(&r->lock);
    return row;
}

void
peer_rows_close(struct peer_rows *r, struct peer_row *row)
{
    assert(r);
    if (!row) {
        return;
    }
    spin_lock(&r->lock);
    assert(row->open);
    row->open = false;
    row->next_free = r->spare;
    r->spare = row;
    spin_unlock(&r->lock);
}

bool
peer_rows_fault(struct peer_rows *r, node_id node, unsigned worker, enum peer_fault fault)
{
    bool is_new = false;

    assert(r && fault < PEER_FAULTS);
    spin_lock(&r->lock);
    for (uint64_t i = 0; i < r->rows; i++) {
        struct peer_row *row = row_at(r, i);

        if (row->open && row->node == node && row->worker == worker) {
            is_new = peer_row_get(row, PEER_ROW_FAULT) != (int64_t)fault;
            peer_row_set(row, PEER_ROW_FAULT, fault);
        }
    }
    spin_unlock(&r->lock);
    return is_new;
}

/*
 * Copies up to COPY_MAX open rows, from row number *at on, which becomes the number behind them;
 * how many.  Field by field: a worker may be writing to the atomic ones.
 */
static unsigned
rows_copy(struct peer_rows *r, uint64_t *at, uint64_t end, struct peer_row copy[COPY_MAX])
{
    unsigned count = 0;

    spin_lock(&r->lock);
    for (unsigned looked = 0; *at < end && looked < COPY_MAX; looked++, (*at)++) {
        const struct peer_row *row = row_at(r, *at);

        if (!row->open) {
            continue;
        }
        copy[count].node = row->node;
        copy[count].worker = row->worker;
        copy[count].open = true;
        copy[count].next_free = NULL;
        for (unsigned i = 0; i < PEER_ROW_FIELDS; i++) {
            atomic_init(&copy[count].value[i], peer_row_get(row, i));
        }
        count++;
    }
    spin_unlock(&r->lock);
    return count;
}

void
peer_rows_each(struct peer_rows *r, void (*each)(void *arg, const struct peer_row *row), void *arg)
{
    struct peer_row copy[COPY_MAX];
    uint64_t at = 0, end;

    assert(r && each);
    spin_lock(&r->lock);
    end = r->rows;
    spin_unlock(&r->lock);
    /* Up to the rows of now: those that are opened meanwhile must not keep us here. */
    while (at < end) {
        unsigned count = rows_copy(r, &at, end, copy);

        for (unsigned i = 0; i < count; i++) {
            each(arg, &copy[i]);
        }
    }
}

/* -- one row ----------------------------------------------------------------------------------- */

void
peer_row_enter(struct peer_row *row, enum peer_row_state state, usec_t now)
{
    if (row && peer_row_get(row, PEER_ROW_STATE) != (int64_t)state) {
        peer_row_set(row, PEER_ROW_STATE, state);
        peer_row_set(row, PEER_ROW_SINCE, now);
    }
}

const char *
peer_row_state_text(int64_t state)
{
    static const char *const text[] = {
        [PEER_ROW_CLOSED] = "closed", [PEER_ROW_DIALING] = "dialing", [PEER_ROW_UP] = "up",
        [PEER_ROW_OPEN] = "open",     [PEER_ROW_HALF] = "half",
    };

    assert(state >= 0 && state < (int64_t)(sizeof text / sizeof *text));
    return text[state];
}

const char *
peer_row_fault_text(int64_t fault)
{
    static const char *const text[PEER_FAULTS] = {
        [PEER_FAULT_NONE] = "none",
        [PEER_FAULT_REFUSED] = "refused",
        [PEER_FAULT_UNREACHABLE] = "unreachable",
        [PEER_FAULT_TIMEOUT] = "timeout",
        [PEER_FAULT_RESET] = "reset",
        [PEER_FAULT_ENDED] = "ended",
        [PEER_FAULT_LABEL] = "label",
        [PEER_FAULT_VERSION] = "version",
        [PEER_FAULT_BUSY] = "busy",
        [PEER_FAULT_SELF] = "self",
        [PEER_FAULT_STRANGER] = "stranger",
        [PEER_FAULT_MALFORMED] = "malformed",
        [PEER_FAULT_RESOURCES] = "resources",
    };

    assert(fault >= 0 && fault < PEER_FAULTS);
    return text[fault];
}
