#include "base/base64.h"

#include <stdint.h>

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "abcdefghijklmnopqrstuvwxyz"
                                      "0123456789+/";

bool
base64_encode(struct slice in, char *out, size_t size, size_t *ret_len)
{
    size_t len;

    if (in.len > SIZE_MAX / 2) {
        return false;
    }
    len = BASE64_TEXT_LEN(in.len);
    if (len > size) {
        return false;
    }
    for (size_t i = 0; i < in.len; i += 3) {
        size_t   left = in.len - i;
        uint32_t group = (uint32_t)(unsigned char)in.ptr[i] << 16;

        if (left > 1) {
            group |= (uint32_t)(unsigned char)in.ptr[i + 1] << 8;
        }
        if (left > 2) {
            group |= (unsigned char)in.ptr[i + 2];
        }
        *out++ = base64_alphabet[group >> 18];
        *out++ = base64_alphabet[group >> 12 & 63];
        *out++ = left > 1 ? base64_alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? base64_alphabet[group & 63] : '=';
    }
    *ret_len = len;
    return true;
}

/* The six bits of a character, or -1. */
static int
digit_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters of which the last pad are "="; false: others than digits, or spare bits set. */
static bool
group_decode(const char *in, size_t pad, uint32_t *ret)
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = i < 4 - pad ? digit_value(in[i]) : 0;

        if (digit < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)digit;
    }
    if ((pad == 1 && (group & 0xff) != 0) || (pad == 2 && (group & 0xffff) != 0)) {
        return false;
    }
    *ret = group;
    return true;
}

bool
base64_decode(struct slice in, void *out, size_t size, size_t *ret_len)
{
    unsigned char *to = out;
    size_t         pad = 0;
    size_t         len;

    if (in.len % 4 != 0) {
        return false;
    }
    if (in.len != 0 && in.ptr[in.len - 1] == '=') {
        pad = in.ptr[in.len - 2] == '=' ? 2 : 1;
    }
    len = BASE64_BYTES_MAX(in.len) - pad;
    if (len > size) {
        return false;
    }
    for (size_t i = 0; i < in.len; i += 4) {
        size_t   spare = i + 4 == in.len ? pad : 0;
        uint32_t group;

        if (!group_decode(in.ptr + i, spare, &group)) {
            return false;
        }
        *to++ = (unsigned char)(group >> 16);
        if (spare < 2) {
            *to++ = (unsigned char)(group >> 8 & 0xff);
        }
        if (spare < 1) {
            *to++ = (unsigned char)(group & 0xff);
        }
    }
    *ret_len = len;
    return true;
}
