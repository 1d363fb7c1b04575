/*
 * exec_arith.c - counters: incr, decr and ma on values that are decimal numbers.
 */
#include "base/num.h"
#include "node/exec.h"
#include "store/store.h"

#define NUMBER_ROOM 4096 /* bytes; larger values are no numbers */

/* What an arithmetic command means, whatever it is called. */
struct sum {
    uint64_t delta;
    uint64_t initial;   /* of a counter that is created */
    uint64_t new_cas;   /* 0: the store decides */
    int64_t  new_time;  /* exptime of a counter that is created */
    bool     subtract;
    bool     create;    /* a missing counter starts at initial */
    bool     compare;   /* only if the cas is c->cas */
};

/* False: no such mode. */
static bool
sum_read_meta(const struct command *c, struct sum *s)
{
    switch (c->meta.mode) {
    case 0:
    case 'I':
    case '+':
        s->subtract = false;
        break;
    case 'D':
    case '-':
        s->subtract = true;
        break;
    default:
        return false;
    }
    s->delta = exec_has(c, 'D') ? c->delta : 1;
    s->initial = exec_has(c, 'J') ? c->initial : 0;
    s->create = exec_has(c, 'N');
    s->compare = exec_has(c, 'C');
    s->new_cas = exec_has(c, 'E') ? c->meta.new_cas : 0;
    return true;
}

static bool
sum_read(const struct command *c, struct sum *s)
{
    *s = (struct sum){ .subtract = c->op == OP_DECR };
    if (c->op == OP_META_ARITH) {
        return sum_read_meta(c, s);
    }
    s->delta = c->delta;
    s->compare = c->cas != 0;
    if (c->protocol == PROTO_BINARY) {
        s->initial = c->initial;
        s->new_time = c->exptime;
        s->create = c->has_exptime;
    }
    return true;
}

static bool
is_blank(char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

/*
 * Reads the number that a value starts with, as memcached does: blanks, perhaps a sign, digits,
 * and then a blank or the end.  What stands behind the blank does not matter.
 */
static bool
number_read(const char *text, size_t len, uint64_t *ret)
{
    uint64_t n = 0;
    size_t i = 0, first;
    bool negative;

    while (i < len && is_blank(text[i])) {
        i++;
    }
    negative = i < len && text[i] == '-';
    i += i < len && (text[i] == '+' || negative);
    for (first = i; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
            __builtin_add_overflow(n, (uint64_t)(text[i] - '0'), &n)) {
            return false;
        }
    }
    if (i == first || (i < len && !is_blank(text[i])) || (negative && n != 0)) {
        return false;
    }
    *ret = n;
    return true;
}

static void
sum_count(struct worker *w, const struct sum *s, enum store_found found, uint8_t class_id)
{
    if (found == STORE_HIT) {
        metric_add(&w->metrics, s->subtract ? M_DECR_HITS : M_INCR_HITS, 1);
        store_count(w->ctx, class_id, s->subtract ? SC_DECR_HITS : SC_INCR_HITS);
        return;
    }
    metric_add(&w->metrics, s->subtract ? M_DECR_MISSES : M_INCR_MISSES, 1);
}

/* Publishes a number as an item of its own in place of what is there. */
static enum reply_code
sum_publish(struct worker *w, struct store_txn *t, struct store_spec *spec, struct slice digits)
{
    struct item *item;

    spec->key = t->key;
    spec->value_len = (uint32_t)digits.len;
    if (!store_fits(w->node->store, spec)) {
        return RPL_NOT_STORED;
    }
    item = store_alloc(w->ctx, spec);
    if (!item) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY_INCR;
    }
    item_write(w->ctx, item, 0, digits.ptr, digits.len);
    if (store_publish(t, &item) == 0) {
        metric_add(&w->metrics, M_NO_MEMORY, 1);
        return RPL_NO_MEMORY_INCR;
    }
    return RPL_NUMBER;
}

/* The counter is not there. */
static enum reply_code
sum_create(struct worker *w, const struct command *c, const struct sum *s, struct store_txn *t)
{
    char digits[NUM_PRINT_MAX];
    size_t len = num_print_u64(digits, s->initial);
    struct store_spec spec = { .cas = s->new_cas,
                               .key_binary = c->op == OP_META_ARITH && c->key_binary };
    enum reply_code code;

    spec.expires = c->op == OP_META_ARITH ? exec_new_expiry(w, c, UINT8_MAX)
                                          : exec_expiry(w, s->new_time);
    code = sum_publish(w, t, &spec, slice_of(digits, len));
    if (exec_is_observed(w) && code == RPL_NUMBER) {
        w->sight.stored = true;
        w->sight.status = RPL_STORED;
        w->sight.command = "add";
        w->sight.new_class = t->hit.class_id;
        w->sight.new_len = (uint32_t)len;
        w->sight.ttl = spec.expires > store_seconds(w->ctx) ? spec.expires - store_seconds(w->ctx)
                                                            : 0;
    }
    return code == RPL_NO_MEMORY_INCR ? RPL_NO_MEMORY_ITEM : code;
}

/* The counter is there: the new number goes in its place, padded if it is shorter. */
static enum reply_code
sum_apply(struct worker *w, const struct command *c, const struct sum *s, struct store_txn *t,
          uint64_t *ret)
{
    char room[NUMBER_ROOM], digits[NUM_PRINT_MAX];
    uint32_t len = t->hit.value_len;
    uint64_t n;
    size_t digits_len;

    if (len == 0) {
        return RPL_NON_NUMERIC;
    }
    if (s->compare && (c->cas == 0 || c->cas != t->hit.cas)) {
        return RPL_EXISTS;
    }
    if (len > sizeof room || !store_copy_value(t, room)) {
        return RPL_NON_NUMERIC;
    }
    if (!number_read(room, len, &n)) {
        return RPL_NON_NUMERIC;
    }
    n = !s->subtract ? n + s->delta : n > s->delta ? n - s->delta : 0;
    *ret = n;
    digits_len = num_print_u64(digits, n);
    if (digits_len <= len) {
        memcpy(room, digits, digits_len);
        memset(room + digits_len, ' ', len - digits_len);
        if (store_rewrite(t, slice_of(room, len), s->new_cas)) {
            return RPL_NUMBER;
        }
    }
    struct store_spec spec = { .client_flags = t->hit.client_flags,
                               .expires = t->hit.expires,
                               .cas = s->new_cas,
                               .key_binary = t->hit.key_binary };
    return sum_publish(w, t, &spec, slice_of(digits, digits_len));
}

static enum reply_code
sum_retime(struct worker *w, const struct command *c, struct store_txn *t, struct reply *r)
{
    r->ttl = exec_ttl(w, t->hit.expires);
    if (exec_has(c, 'T')) {
        if (!store_retime(t, exec_expiry(w, c->meta.ttl))) {
            return RPL_NO_MEMORY_INCR;
        }
        if (c->meta.at_t > c->meta.at_T) {
            r->ttl = exec_ttl(w, t->hit.expires);
        }
    }
    return RPL_NUMBER;
}

static enum reply_code
sum_run(struct worker *w, const struct command *c, const struct sum *s, struct store_txn *t,
        struct reply *r)
{
    enum reply_code code;

    exec_count_gone(w, t->found);
    if (!t->old && !s->create) {
        sum_count(w, s, STORE_MISS, 0);
        return RPL_NOT_FOUND;
    }
    if (!t->old) {
        r->number = s->initial;
        code = sum_create(w, c, s, t);
        if (c->op == OP_META_ARITH) {
            r->ttl = exec_ttl(w, exec_new_expiry(w, c, c->meta.at_t));
        }
    } else {
        uint8_t class_id = t->hit.class_id;

        code = sum_apply(w, c, s, t, &r->number);
        if (code == RPL_NUMBER) {
            sum_count(w, s, STORE_HIT, class_id);
            if (c->op == OP_META_ARITH) {
                code = sum_retime(w, c, t, r);
            }
        }
    }
    if (code == RPL_NUMBER) {
        r->has_item = true;
        r->cas = t->hit.cas;
        r->client_flags = t->hit.client_flags;
        r->value_len = t->hit.value_len;
    }
    return code;
}

void
exec_arith_run(struct worker *w, const struct command *c, struct item *item, struct reply *r)
{
    struct store_txn t;
    struct sum s;

    (void)item; /* these bring no value */
    if (!sum_read(c, &s)) {
        r->code = RPL_META_ARITH_MODE;
        return;
    }
    r->key_binary = c->op == OP_META_ARITH && c->key_binary;
    store_lock(w->ctx, c->key, c->hash, &t);
    exec_saw(w, t.found, &t.hit);
    r->code = sum_run(w, c, &s, &t, r);
    store_unlock(&t);
    /* "ma" shows the number only to who asks for it. */
    if (r->code == RPL_NUMBER && c->op == OP_META_ARITH && !exec_has(c, 'v')) {
        r->code = RPL_DONE;
    }
}
