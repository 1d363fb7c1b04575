#include "node/input.h"
#include <assert.h>

#define OWN_ROOM (16u << 10) /* bytes: least room for a read into own */

/* Copies the rest to memory that fits it. */
static bool
rest_copy(struct input *in)
{
    struct buf fresh = { 0 };

    if (!buf_add(&fresh, in->rest.ptr, in->rest.len)) {
        return false;
    }
    buf_free(&in->own);
    in->own = fresh;
    in->rest.ptr = fresh.ptr;
    in->is_own = true;
    return true;
}

struct iovec
input_space(struct input *in, char *rx, size_t size)
{
    assert(INPUT_GATHER_MAX < size);
    if (in->rest.len <= INPUT_GATHER_MAX) {
        if (in->rest.len > 0 && !in->is_own && in->rest.ptr != rx) {
            memmove(rx, in->rest.ptr, in->rest.len);
            in->rest.ptr = rx;
        }
        return (struct iovec){ .iov_base = rx + in->rest.len, .iov_len = size - in->rest.len };
    }
    if (!in->is_own) {
        if (!rest_copy(in)) {
            return (struct iovec){ 0 };
        }
    } else {
        buf_shift(&in->own, (size_t)(in->rest.ptr - in->own.ptr));
    }
    if (!buf_reserve(&in->own, OWN_ROOM)) {
        in->rest.ptr = in->own.ptr;
        return (struct iovec){ 0 };
    }
    in->rest.ptr = in->own.ptr;
    return (struct iovec){ .iov_base = in->own.ptr + in->own.len,
                           .iov_len = in->own.cap - in->own.len };
}

void
input_read(struct input *in, char *rx, size_t n)
{
    if (in->rest.len > INPUT_GATHER_MAX) {
        assert(in->is_own && in->rest.len == in->own.len && n <= in->own.cap - in->own.len);
        in->own.len += n;
        in->rest.len += n;
        return;
    }
    if (in->is_own) {
        memcpy(rx, in->rest.ptr, in->rest.len);
        buf_free(&in->own);
        in->is_own = false;
    }
    in->rest = slice_of(rx, in->rest.len + n);
}

bool
input_keep(struct input *in)
{
    if (in->rest.len == 0) {
        input_drop(in);
        return true;
    }
    /* What was consumed in front is only worth a copy if that gives a good deal of memory back. */
    if (in->is_own && (in->own.cap <= INPUT_GATHER_MAX || in->rest.len > in->own.cap / 4)) {
        return true;
    }
    return rest_copy(in);
}

void
input_drop(struct input *in)
{
    buf_free(&in->own);
    in->rest = (struct slice){ 0 };
    in->is_own = false;
}
