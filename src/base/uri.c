#include "base/uri.h"

static bool
byte_is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

size_t
uri_encode(struct slice in, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t            len = 0;

    for (size_t i = 0; i < in.len; i++) {
        unsigned byte = (unsigned char)in.ptr[i];

        if (byte_is_unreserved(in.ptr[i])) {
            out[len++] = in.ptr[i];
        } else {
            out[len++] = '%';
            out[len++] = hex[byte >> 4];
            out[len++] = hex[byte & 15];
        }
    }
    return len;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
uri_decode(struct slice in, char *out, size_t size, size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++) {
        char byte = in.ptr[i];

        if (len == size) {
            return false;
        }
        if (byte == '%') {
            int high = in.len - i > 2 ? hex_value(in.ptr[i + 1]) : -1;
            int low = in.len - i > 2 ? hex_value(in.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            byte = (char)(high << 4 | low);
            i += 2;
        }
        out[len++] = byte;
    }
    *ret_len = len;
    return true;
}
