#include "base/hash.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/*
 * The hash is written to disk and sent to other nodes: another libxxhash, compiler or processor
 * must give the same numbers.  One row for each way the function works by length: 0, 1-3, 4-8,
 * 9-16, 17-128, 129-240 and more bytes.
 */
Test(hash, known_values)
{
    static const struct {
        size_t   len;
        uint64_t hash;
    } row[] = {
        { 0, UINT64_C(0x2d06800538d394c2) },
        { 1, UINT64_C(0x4c5cca45d0f4811f) },
        { 3, UINT64_C(0x15f7093b173d005c) },
        { 4, UINT64_C(0xdca012f95811b6b9) },
        { 8, UINT64_C(0xdec6a9a43575982e) },
        { 9, UINT64_C(0xcbe393399f17ffbd) },
        { 16, UINT64_C(0x7e484c18d74895d0) },
        { 17, UINT64_C(0x208bde5ee2bed407) },
        { 128, UINT64_C(0xf92b70eaa21a6288) },
        { 129, UINT64_C(0xf8f76713f2bb60fa) },
        { 240, UINT64_C(0xccc7375172c41f03) },
        { 241, UINT64_C(0x0b3b630948ce4a00) },
        { 300, UINT64_C(0xbaad8e6a5f186ce6) },
    };
    char bytes[300];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 31 + 7);
    }
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cr_expect(eq(u64, hash_bytes(bytes, row[i].len), row[i].hash), "%zu bytes", row[i].len);
    }
    cr_expect(eq(u64, hash_bytes("abc", 3), UINT64_C(0x78af5f94892f3950)));
}
