#include "bench/counters.h"
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct counter {
    uint64_t sent, answered; /* increments */
    uint64_t highest;        /* answer */
    uint64_t least, most;    /* what it held at first, as the first answer tells */
    bool     known;          /* there was an answer */
};

err_t
counters_init(struct counters *c, uint64_t count)
{
    *c = (struct counters){ .of = calloc(count, sizeof *c->of) };
    return c->of ? ERR_OK : ERR_NOMEM;
}

void
counters_fini(struct counters *c)
{
    free(c->of);
    c->of = NULL;
}

uint64_t
counters_send(struct counters *c, uint64_t id)
{
    struct counter *n = &c->of[id];
    uint64_t floor = 1;

    spin_lock(&c->lock);
    n->sent++;
    if (n->known) {
        uint64_t sum = n->least + n->answered + 1;

        floor = n->highest + 1 > sum ? n->highest + 1 : sum;
    }
    spin_unlock(&c->lock);
    return floor;
}

const char *
counters_answer(struct counters *c, uint64_t id, uint64_t floor, uint64_t answer)
{
    struct counter *n = &c->of[id];
    const char *wrong = NULL;

    spin_lock(&c->lock);
    assert(n->sent > n->answered);
    if (!n->known && answer > 0) {
        n->known = true;
        n->least = answer > n->sent ? answer - n->sent : 0;
        n->most = answer - 1;
    }
    n->answered++;
    if (answer < floor) {
        wrong = "an increment was lost";
    } else if (answer > n->most + n->sent) {
        wrong = "an increment was made twice";
    }
    n->highest = answer > n->highest ? answer : n->highest;
    spin_unlock(&c->lock);
    return wrong;
}
