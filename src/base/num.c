#include "base/num.h"

/* Without a plus sign that has something behind it. */
static inline struct slice
plus_cut(struct slice text)
{
    return text.len > 1 && text.ptr[0] == '+' ? slice_from(text, 1) : text;
}

/* Digits only, at most limit. */
static bool
digits_parse(struct slice text, uint64_t limit, uint64_t *ret)
{
    uint64_t value = 0;

    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';

        if (digit > 9 || value > limit / 10 || digit > limit - value * 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

bool
num_parse_u64(struct slice text, uint64_t *ret)
{
    return digits_parse(plus_cut(text), UINT64_MAX, ret);
}

bool
num_parse_u32(struct slice text, uint32_t *ret)
{
    uint64_t value;

    if (!digits_parse(plus_cut(text), UINT32_MAX, &value)) {
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* limit is the largest value; the smallest is -limit - 1. */
static bool
signed_parse(struct slice text, int64_t limit, int64_t *ret)
{
    bool     negative = text.len != 0 && text.ptr[0] == '-';
    uint64_t value;

    if (!negative) {
        if (!digits_parse(plus_cut(text), (uint64_t)limit, &value)) {
            return false;
        }
        *ret = (int64_t)value;
        return true;
    }
    if (!digits_parse(slice_from(text, 1), (uint64_t)limit + 1, &value)) {
        return false;
    }
    /* Not -(int64_t)value: the smallest number has no positive twin. */
    *ret = value == 0 ? 0 : -(int64_t)(value - 1) - 1;
    return true;
}

bool
num_parse_i64(struct slice text, int64_t *ret)
{
    return signed_parse(text, INT64_MAX, ret);
}

bool
num_parse_i32(struct slice text, int32_t *ret)
{
    int64_t value;

    if (!signed_parse(text, INT32_MAX, &value)) {
        return false;
    }
    *ret = (int32_t)value;
    return true;
}

static size_t
digits_count(uint64_t value)
{
    for (size_t n = 1;; n += 4, value /= 10000) {
        if (value < 100) {
            return n + (value >= 10);
        }
        if (value < 10000) {
            return n + 2 + (value >= 1000);
        }
    }
}

size_t
num_print_u64(char *out, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    size_t n = digits_count(value), at = n;

    /* From the back, two digits a division. */
    while (value >= 100) {
        size_t pair = (size_t)(value % 100) * 2;

        value /= 100;
        at -= 2;
        memcpy(out + at, pairs + pair, 2);
    }
    if (value >= 10) {
        memcpy(out, pairs + value * 2, 2);
    } else {
        *out = (char)('0' + value);
    }
    return n;
}

size_t
num_print_i64(char *out, int64_t value)
{
    if (value >= 0) {
        return num_print_u64(out, (uint64_t)value);
    }
    out[0] = '-';
    return 1 + num_print_u64(out + 1, UINT64_C(0) - (uint64_t)value);
}
