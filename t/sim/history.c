#include "history.h"
#include "base/hash.h"
#include "base/num.h"
#include "world.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE       UINT64_C(0x9e3779b97f4a7c15) /* of the polynomial of a list */
#define NEVER      INT64_MAX
#define FLUSH_BLUR (2 * USEC_PER_SEC)
#define SEARCH_MAX 400000u /* states of one key */

enum key_class
key_class(unsigned key)
{
    return key % 4 == 3 ? KEY_LIST : key % 4 == 2 ? KEY_COUNTER : KEY_REGISTER;
}

void
history_init(struct history *h, struct world *w, unsigned keys)
{
    *h = (struct history){ .world = w, .keys = keys, .count = 1 };
}

void
history_fini(struct history *h)
{
    free(h->op);
    free(h->key_first);
    free(h->key_next);
    free(h->moved.span);
    free(h->apart.span);
}

uint32_t
history_begin(struct history *h, const struct deed *op)
{
    if (h->count >= h->size) {
        h->size = h->size ? 2 * h->size : 1024;
        h->op = realloc(h->op, h->size * sizeof *h->op);
        world_need(h->op);
        h->op[0] = (struct deed){ 0 };
    }
    h->op[h->count] = *op;
    h->op[h->count].began = h->world->now;
    h->op[h->count].ended = NEVER;
    return h->count++;
}

void
history_end(struct history *h, uint32_t number, enum done done)
{
    struct deed *o = &h->op[number];

    assert(number < h->count && o->done == DONE_PENDING);
    o->done = done;
    o->ended = done == DONE_UNKNOWN ? NEVER : h->world->now;
}

void
times_add(struct times *t, usec_t from, usec_t until)
{
    if (t->count > 0 && t->span[t->count - 1].until >= from) {
        struct span *last = &t->span[t->count - 1];

        last->from = from < last->from ? from : last->from;
        last->until = until > last->until ? until : last->until;
        return;
    }
    if (t->count == t->size) {
        t->size = t->size ? 2 * t->size : 16;
        t->span = realloc(t->span, t->size * sizeof *t->span);
        world_need(t->span);
    }
    t->span[t->count++] = (struct span){ from, until };
}

/* True if one of the spans touches this one. */
static bool
times_touch(const struct times *t, usec_t from, usec_t until)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->span[i].from <= until && t->span[i].until >= from) {
            return true;
        }
    }
    return false;
}

/* -- values ------------------------------------------------------------------------------------ */

/* A register's value: "v17:", and letters that depend on the number.  Of a list: "17,". */
uint32_t
value_length(const struct deed *op, uint32_t number, uint32_t wish)
{
    char room[32];
    int n;

    switch (key_class(op->key)) {
    case KEY_COUNTER:
        return (uint32_t)snprintf(room, sizeof room, "%" PRIu64, op->delta);
    case KEY_LIST:
        return (uint32_t)snprintf(room, sizeof room, "%u,", number);
    case KEY_REGISTER:
        break;
    }
    n = snprintf(room, sizeof room, "v%u:", number);
    return wish > (uint32_t)n ? wish : (uint32_t)n;
}

static char
value_letter(uint32_t number, size_t i)
{
    return (char)('a' + (number * 7 + i + i / 26) % 26);
}

size_t
value_write(const struct deed *op, uint32_t number, char *room)
{
    size_t n;

    if (key_class(op->key) == KEY_COUNTER) {
        return (size_t)sprintf(room, "%" PRIu64, op->delta);
    }
    if (key_class(op->key) == KEY_LIST) {
        return (size_t)sprintf(room, "%u,", number);
    }
    n = (size_t)sprintf(room, "v%u:", number);
    for (; n < op->length; n++) {
        room[n] = value_letter(number, n);
    }
    return n;
}

/* A number at the front of *at, behind which stands end; 0: there is none. */
static uint32_t
number_take(struct slice *at, char end)
{
    uint32_t n = 0;
    size_t i = 0;

    while (i < at->len && i < 9 && at->ptr[i] >= '0' && at->ptr[i] <= '9') {
        n = n * 10 + (uint32_t)(at->ptr[i++] - '0');
    }
    if (i == 0 || i == at->len || at->ptr[i] != end) {
        return 0;
    }
    *at = slice_from(*at, i + 1);
    return n;
}

uint32_t
value_number(struct slice bytes)
{
    if (bytes.len > 0 && bytes.ptr[0] == 'v') {
        bytes = slice_from(bytes, 1);
        return number_take(&bytes, ':');
    }
    return number_take(&bytes, ',');
}

size_t
value_good(const struct history *h, struct slice bytes)
{
    uint32_t number = value_number(bytes);
    size_t n = 0;

    while (n < bytes.len && bytes.ptr[n] != ':') {
        n++;
    }
    for (n += n<bytes.len; number> 0 && number < h->count && n < bytes.len; n++) {
        if (n == h->op[number].length || bytes.ptr[n] != value_letter(number, n)) {
            break;
        }
    }
    return n;
}

static bool
value_read_register(const struct history *h, struct slice bytes, struct content *ret,
                    uint32_t *ret_newest, const char **why)
{
    uint32_t number = value_number(bytes);
    const struct deed *o = &h->op[number];

    if (number == 0 || number >= h->count || bytes.ptr[0] != 'v') {
        *why = "a value that nobody wrote";
        return false;
    }
    if (bytes.len != o->length) {
        *why = "a value of another length than was written";
        return false;
    }
    for (size_t i = bytes.len; i-- > 0 && bytes.ptr[i] != ':';) {
        if (bytes.ptr[i] != value_letter(number, i)) {
            *why = "a value with other bytes than were written";
            return false;
        }
    }
    *ret = (struct content){ true, 1, number };
    *ret_newest = number;
    return true;
}

static bool
value_read_list(const struct history *h, struct slice bytes, struct content *ret,
                uint32_t *ret_newest, const char **why)
{
    struct slice all = bytes;

    *ret = (struct content){ .exists = true };
    *ret_newest = 0;
    while (bytes.len > 0) {
        struct slice left = slice_of(all.ptr, (size_t)(bytes.ptr - all.ptr)), seen = left;
        uint32_t number = number_take(&bytes, ',');

        if (number == 0 || number >= h->count) {
            *why = "a list with an element that nobody wrote";
            return false;
        }
        while (seen.len > 0) {
            if (number_take(&seen, ',') == number) {
                *why = "a list with an element that is there twice";
                return false;
            }
        }
        ret->value = ret->value * BASE + number;
        ret->len++;
        if (*ret_newest == 0 || h->op[number].ended > h->op[*ret_newest].ended) {
            *ret_newest = number;
        }
    }
    *why = "an empty list";
    return ret->len > 0;
}

bool
value_read(const struct history *h, unsigned key, struct slice bytes, struct content *ret,
           uint32_t *ret_newest, const char **why)
{
    uint32_t newest = 0;
    bool ok;

    *ret_newest = 0;
    switch (key_class(key)) {
    case KEY_REGISTER:
        ok = value_read_register(h, bytes, ret, ret_newest, why);
        break;
    case KEY_LIST:
        ok = value_read_list(h, bytes, ret, ret_newest, why);
        break;
    default:
        *ret = (struct content){ .exists = true };
        *why = "a counter that is no number";
        for (size_t i = 0; i < bytes.len && bytes.ptr[i] != ' '; i++) {
            if (bytes.ptr[i] < '0' || bytes.ptr[i] > '9') {
                return false;
            }
            ret->value = ret->value * 10 + (uint64_t)(bytes.ptr[i] - '0');
        }
        return bytes.len > 0;
    }
    newest = *ret_newest;
    if (ok && h->op[newest].key != key) {
        *why = "another key's value";
        return false;
    }
    return ok;
}

/* -- what a map would answer ------------------------------------------------------------------- */

static uint64_t
power(uint32_t n)
{
    uint64_t p = 1;

    while (n-- > 0) {
        p *= BASE;
    }
    return p;
}

static bool
content_eq(struct content a, struct content b)
{
    return a.exists == b.exists && (!a.exists || (a.value == b.value && a.len == b.len));
}

/* What the key holds once the operation had its way. */
static struct content
content_after(struct content s, const struct deed *o, uint32_t number)
{
    bool counter = key_class(o->key) == KEY_COUNTER;

    switch (o->act) {
    case ACT_SET:
    case ACT_ADD:
    case ACT_REPLACE:
    case ACT_CAS:
        return (struct content){ true, counter ? 0 : 1, counter ? o->delta : number };
    case ACT_APPEND:
        return (struct content){ true, s.len + 1, s.value * BASE + number };
    case ACT_PREPEND:
        return (struct content){ true, s.len + 1, number * power(s.len) + s.value };
    case ACT_INCR:
        s.value += o->delta;
        return s;
    case ACT_DELETE:
        return (struct content){ 0 };
    default:
        return s;
    }
}

/* An operation of which nobody knows what became: has its way if it can.  False: that is no change.
 */
static bool
step_unknown(struct content *s, const struct deed *o, uint32_t number, bool strict)
{
    struct content before = *s;

    switch (o->act) {
    case ACT_ADD:
        if (s->exists && strict) {
            return false;
        }
        break;
    case ACT_REPLACE:
    case ACT_APPEND:
    case ACT_PREPEND:
    case ACT_INCR:
        if (!s->exists) {
            return false;
        }
        break;
    case ACT_CAS:
        if (!content_eq(*s, o->expected)) {
            return false;
        }
        break;
    default:
        break;
    }
    *s = content_after(*s, o, number);
    return !content_eq(before, *s);
}

/* True if the map may answer so; changes it as it would. */
static bool
step(struct content *s, const struct deed *o, uint32_t number, bool strict)
{
    if (o->act == ACT_FLUSH) {
        bool was = s->exists;

        *s = (struct content){ 0 };
        return was;
    }
    switch (o->done) {
    case DONE_MISS:
        if (s->exists && strict) {
            return false;
        }
        *s = (struct content){ 0 };
        return true;
    case DONE_NOT_STORED:
        if (o->act == ACT_ADD) {
            return s->exists;
        }
        if (s->exists && strict) {
            return false;
        }
        *s = (struct content){ 0 };
        return true;
    case DONE_EXISTS:
        return s->exists && !content_eq(*s, o->expected);
    case DONE_OK:
        break;
    default:
        return step_unknown(s, o, number, strict);
    }
    switch (o->act) {
    case ACT_SET:
        break;
    case ACT_ADD:
        if (s->exists && strict) {
            return false;
        }
        break;
    case ACT_CAS:
        if (!content_eq(*s, o->expected)) {
            return false;
        }
        break;
    case ACT_GET:
    case ACT_GETS:
    case ACT_GAT:
        return content_eq(*s, o->got);
    case ACT_INCR:
        if (!s->exists || s->value + o->delta != o->got.value) {
            return false;
        }
        break;
    default:
        if (!s->exists) {
            return false;
        }
        break;
    }
    *s = content_after(*s, o, number);
    return true;
}

/* -- the search -------------------------------------------------------------------------------- */

struct entry {
    struct entry *next, *prev;
    struct entry *end; /* of a beginning; NULL: this is an end */
    uint32_t number;
    usec_t at;
};

/* States that were tried: hashes of (operations done, content). */
struct tried {
    uint64_t *slot;
    size_t size, count;
};

struct search {
    struct history *h;
    const struct excuses *excuses;
    struct entry *entry; /* [2 * count] in the order of time */
    size_t count;
    struct entry head;
    struct tried tried;
    struct undo {
        struct entry *e;
        struct content s;
    } * undo;
    size_t depth;
};

static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
    x = (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return x ^ x >> 33;
}

/* True if it is new. */
static bool
tried_add(struct tried *t, uint64_t hash)
{
    hash += hash == 0;
    if (2 * t->count >= t->size) {
        struct tried more = { .size = t->size ? 2 * t->size : 256 };

        more.slot = world_alloc(more.size * sizeof *more.slot);
        for (size_t i = 0; i < t->size; i++) {
            if (t->slot[i]) {
                (void)tried_add(&more, t->slot[i]);
            }
        }
        free(t->slot);
        *t = more;
    }
    for (size_t i = hash & (t->size - 1);; i = (i + 1) & (t->size - 1)) {
        if (t->slot[i] == hash) {
            return false;
        }
        if (t->slot[i] == 0) {
            t->slot[i] = hash;
            t->count++;
            return true;
        }
    }
}

static void
entry_unlink(struct entry *e)
{
    e->prev->next = e->next;
    if (e->next) {
        e->next->prev = e->prev;
    }
}

static void
entry_relink(struct entry *e)
{
    e->prev->next = e;
    if (e->next) {
        e->next->prev = e;
    }
}

/* True if an order exists, or if it takes too long to tell. */
static bool
search_run(struct search *s)
{
    struct content now = { 0 };
    struct entry *e = s->head.next;
    uint64_t done = 0;

    while (e) {
        const struct deed *o = &s->h->op[e->number];
        struct content next = now;

        if (e->end) {
            uint64_t with = done ^ mix(e->number);

            if (step(&next, o, e->number, !s->excuses->loses)) {
                uint64_t state =
                    mix(with + mix(next.exists + 2 * (uint64_t)next.len) + mix(next.value));
                if (tried_add(&s->tried, state)) {
                    s->undo[s->depth++] = (struct undo){ e, now };
                    entry_unlink(e);
                    entry_unlink(e->end);
                    now = next;
                    done = with;
                    e = s->head.next;
                    continue;
                }
            }
            e = e->next;
            continue;
        }
        if (e->at == NEVER) {
            return true; /* all that must have happened did */
        }
        if (s->tried.count > SEARCH_MAX) {
            s->h->undecided++;
            return true;
        }
        if (s->depth == 0) {
            return false;
        }
        s->depth--;
        e = s->undo[s->depth].e;
        now = s->undo[s->depth].s;
        done ^= mix(e->number);
        entry_relink(e->end);
        entry_relink(e);
        e = e->next;
    }
    return true;
}

static int
entry_compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    /* Of one moment: beginnings first, that is the generous side. */
    if (!x->end != !y->end) {
        return x->end ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

/* True if the operation says something of its key, or may change it. */
static bool
op_matters(const struct deed *o, const struct excuses *x)
{
    bool reads = o->act <= ACT_TOUCH;

    if (o->done == DONE_UNKNOWN || o->done == DONE_PENDING) {
        return !reads;
    }
    if (!reads || o->done != DONE_MISS) {
        return true;
    }
    return !x->loses && !(x->forgets && o->is_plain);
}

static void
search_add(struct search *s, uint32_t number, usec_t ended)
{
    struct entry *e = &s->entry[2 * s->count++];

    e[0] = (struct entry){ .number = number, .at = s->h->op[number].began, .end = &e[1] };
    e[1] = (struct entry){ .number = number, .at = ended };
}

/* Makes the entries of a key. */
static void
search_fill(struct search *s, unsigned key)
{
    struct history *h = s->h;
    struct entry *last = &s->head, **end_of;

    s->count = 0;
    for (uint32_t i = h->key_first[key]; i; i = h->key_next[i]) {
        if (op_matters(&h->op[i], s->excuses)) {
            search_add(s, i, h->op[i].ended);
        }
    }
    for (uint32_t i = h->flush_first; i; i = h->key_next[i]) {
        search_add(s, i, NEVER);
    }
    qsort(s->entry, 2 * s->count, sizeof *s->entry, entry_compare);
    end_of = world_alloc(h->count * sizeof *end_of);
    for (size_t i = 2 * s->count; i-- > 0;) {
        struct entry *e = &s->entry[i];

        if (e->end) {
            e->end = end_of[e->number];
        } else {
            end_of[e->number] = e;
        }
    }
    for (size_t i = 0; i < 2 * s->count; i++) {
        last->next = &s->entry[i];
        s->entry[i].prev = last;
        last = &s->entry[i];
    }
    last->next = NULL;
    free(end_of);
}

/* -- checks ------------------------------------------------------------------------------------ */

static const char *const act_word[ACTS] = { "get",    "gets",    "gat",    "touch",   "set",
                                            "add",    "replace", "append", "prepend", "cas",
                                            "delete", "incr",    "flush" };
static const char *const done_word[] = { "pending",   "unknown",    "ok",
                                         "not found", "not stored", "exists" };

static void
history_print(const struct history *h, unsigned key)
{
    for (uint32_t i = 1; i < h->count; i++) {
        const struct deed *o = &h->op[i];

        if (o->key == key) {
            fprintf(stderr, "  %6u %-8s %-10s by user %2u at node %u, %.6f to %.6f", i,
                    act_word[o->act], done_word[o->done], o->user, o->host, (double)o->began / 1e6,
                    o->ended == NEVER ? -1. : (double)o->ended / 1e6);
            if (o->executed) {
                fprintf(stderr, ", executed by %u", o->executor);
            }
            if (o->done == DONE_OK && o->got.exists) {
                fprintf(stderr, ", got %" PRIu64 " (newest %u)", o->got.value, o->newest);
            }
            fprintf(stderr, "\n");
        }
    }
}

static bool
op_changed(const struct deed *o)
{
    return o->done == DONE_OK && o->act >= ACT_SET;
}

/*
 * A read that returned what was overwritten before it began.  Returns what overwrote it, or 0.
 *
 * moved: one of the two was done while nodes disagreed on the ring: then each may have gone to
 * another owner.  A change of the ring that lies between them is no excuse.  Nor is a restart: it
 * loses values, which is a miss, and gives no older ones back.
 */
static uint32_t
read_is_stale(const struct history *h, const struct deed *r, bool *moved)
{
    const struct deed *w = &h->op[r->newest];

    if (r->done != DONE_OK || r->act > ACT_GAT || r->newest == 0 || w->ended == NEVER) {
        return 0;
    }
    for (uint32_t i = h->key_first[r->key]; i; i = h->key_next[i]) {
        const struct deed *o = &h->op[i];

        if (op_changed(o) && o->began > w->ended && o->ended < r->began) {
            *moved = times_touch(&h->moved, o->began, o->ended) ||
                     times_touch(&h->moved, r->began, r->ended);
            return i;
        }
    }
    return 0;
}

/* The flush_all that a value which was read should not have survived, or 0. */
static uint32_t
read_is_flushed(const struct history *h, const struct deed *r)
{
    const struct deed *w = &h->op[r->newest];

    if (r->done != DONE_OK || r->act > ACT_GAT || r->newest == 0 || w->ended == NEVER) {
        return 0;
    }
    for (uint32_t i = h->flush_first; i; i = h->key_next[i]) {
        const struct deed *f = &h->op[i];

        if (f->done == DONE_OK && w->ended < f->began - FLUSH_BLUR && f->ended < r->began &&
            !times_touch(&h->moved, w->began, r->ended)) {
            return i;
        }
    }
    return 0;
}

/* Returns whether the key may be searched: the ring did not move under it. */
static bool
history_check_reads(struct history *h, unsigned key)
{
    bool steady = true;

    for (uint32_t i = h->key_first[key]; i; i = h->key_next[i]) {
        const struct deed *r = &h->op[i];
        bool moved = false;
        uint32_t by;

        steady =
            steady && !times_touch(&h->moved, r->began, r->ended == NEVER ? r->began : r->ended);
        by = read_is_flushed(h, r);
        if (by && times_touch(&h->apart, h->op[by].began, h->op[by].ended)) {
            h->unflushed++;
        } else if (by) {
            history_print(h, key);
            world_fail(h->world,
                       "key %u: operation %u reads what %u wrote, before flush_all %u (%.6f "
                       "to %.6f)",
                       key, i, r->newest, by, (double)h->op[by].began / 1e6,
                       (double)h->op[by].ended / 1e6);
        }
        by = read_is_stale(h, r, &moved);
        if (by && moved) {
            h->stale++;
        } else if (by) {
            history_print(h, key);
            world_fail(h->world,
                       "key %u: operation %u reads what %u wrote, which %u had overwritten", key, i,
                       r->newest, by);
        }
    }
    return steady;
}

static void
history_check_key(struct history *h, unsigned key, const struct excuses *x)
{
    struct search s = { .h = h, .excuses = x };
    bool fine;

    if (!history_check_reads(h, key) || h->moved.count > 0) {
        return;
    }
    s.entry = world_alloc(2 * h->count * sizeof *s.entry);
    s.undo = world_alloc(h->count * sizeof *s.undo);
    search_fill(&s, key);
    fine = search_run(&s);
    free(s.entry);
    free(s.undo);
    free(s.tried.slot);
    if (!fine) {
        history_print(h, key);
        world_fail(h->world, "key %u: no order of these operations explains the answers", key);
    }
}

/* Rows of the operations of each key. */
static void
history_sort(struct history *h)
{
    h->key_first = world_alloc(h->keys * sizeof *h->key_first);
    h->key_next = world_alloc(h->count * sizeof *h->key_next);
    for (uint32_t i = h->count; i-- > 1;) {
        unsigned key = h->op[i].key;

        uint32_t *first = key == KEY_ALL ? &h->flush_first : &h->key_first[key];

        if (key < h->keys || key == KEY_ALL) {
            h->key_next[i] = *first;
            *first = i;
        }
    }
}

void
history_check(struct history *h, const struct excuses *x)
{
    history_sort(h);
    for (uint32_t i = 1; i < h->count; i++) {
        const struct deed *o = &h->op[i];

        h->checked++;
        h->hits += o->done == DONE_OK && o->got.exists;
        h->misses += o->done == DONE_MISS;
        h->unknown += o->done == DONE_UNKNOWN || o->done == DONE_PENDING;
    }
    for (unsigned key = 0; key < h->keys; key++) {
        history_check_key(h, key, x);
    }
}
