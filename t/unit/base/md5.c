#include "base/md5.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

/* The test suite of RFC 1321. */
Test(md5, rfc_1321)
{
    static const struct {
        const char *in, *digest;
    } row[] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "a", "0cc175b9c0f1b6a831c399e269772661" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
        { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
          "d174ab98d277d9f5a5611c2c9f419d9f" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
          "57edf4a22be3c955ac49da2e2107b67a" },
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint8_t digest[MD5_BYTES];
        char    hex[2 * MD5_BYTES + 1];

        md5_bytes(slice_of(row[i].in, strlen(row[i].in)), digest);
        for (size_t j = 0; j < MD5_BYTES; j++) {
            snprintf(hex + 2 * j, 3, "%02x", digest[j]);
        }
        cr_expect(eq(str, hex, (char *)(uintptr_t)row[i].digest), "of \"%s\"", row[i].in);
    }
}
