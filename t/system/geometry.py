#!/usr/bin/python3
"""memcached's slab classes, for those who ask for them with -f, -n, slab_sizes or slab_chunk_max.

The same sets go to memcached and to us: class ids, used chunks and pages must be the same.
"""

import contextlib
import os
import re
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import server  # noqa: E402
import tap  # noqa: E402

MEMCACHED = shutil.which("memcached") or "/usr/bin/memcached"
LARGEST = 1048516  # bytes of value, with -I 1m and a key of one byte


@contextlib.contextmanager
def pair(*args):
    """A connection to memcached and one to us, both started alike."""
    theirs = [re.sub(r"slab_chunk_max=(\d+)", lambda m: "slab_chunk_max=%d" % (int(m[1]) << 10), a)
              for a in args]  # it took bytes
    args = theirs if server.REFERENCE else args
    with server.Server(*theirs, program=MEMCACHED) as them, server.Server(*args) as us, \
            them.conn() as a, us.conn() as b:
        yield a, b


def classes(conn):
    """The ids of the classes that have items, and which of their chunks are in use."""
    items = sorted(int(k.split(":")[1]) for k in conn.stats(b"items") if k.endswith(":number"))
    used = {k: v for k, v in conn.stats(b"slabs").items()
            if k.endswith("used_chunks") and v != "0"}
    return items, used


def shapes():
    """(key, value size, client flags): more of small ones, and all around where things change."""
    size = 0.0
    while size < LARGEST:
        yield b"k", int(size), 0
        size = size * 1.07 + 1
    for size in (4095, 4096, 20000, 66560, 394780, 394840, 524228, 524229, 524230, 524238, 524239,
                 524240, 524288, 786000, 1048000, 1048480, LARGEST):
        yield b"k", size, 0
        yield b"k", size - 4, 7
    for length in (2, 7, 8, 15, 16, 17, 40, 250):
        for size in (0, 31, 32, 5000, 524288):
            yield b"k" * length, size, 0
            yield b"k" * length, size, 7


def same_classes():
    """Whatever an operator knows by heart of his classes is so here."""
    for options in (("-f", "1.25"), ("-f", "1.25", "-C"), ("-n", "5", "-f", "1.08"),
                    ("-o", "slab_sizes=100-200-5000-100000"), ("-o", "slab_chunk_max=16"),
                    ("-o", "slab_chunk_max=4"),
                    ("-o", "no_chunked_items"), ("-o", "no_modern")):
        different = []
        count = 0
        with pair(*options) as conns:
            for key, size, flags in shapes():
                seen = []
                for conn in conns:
                    said = conn.set(key, b"x" * size, flags)
                    seen.append((said, classes(conn)))
                    conn.ask(b"delete %s\r\n" % key)
                count += 1
                if seen[0] != seen[1]:
                    different.append("key of %d, value of %d, flags %d: %r" % (
                        len(key), size, flags, seen))
        tap.ok(not different, "%s: %d items lie where memcached's do" % (" ".join(options), count),
               "%d differ\n%s" % (len(different), "\n".join(different[:5])))


def small_chunks():
    """Chunks that are smaller than what is cut up elsewhere: every value comes back as it was."""
    for kilo in (1, 2, 4, 8):
        wrong = []
        with server.Server("-o", "slab_chunk_max=%d" % kilo) as s, s.conn() as c:
            for length in (1, 100, 250):
                key = b"k" * length
                for size in sorted({around + step for around in (1024, 2048, 4096, 8192, 70000)
                                    for step in range(-300, 60, 13)}):
                    body = bytes([65 + size % 26]) * size
                    if c.set(key, body, size % 2) != b"STORED\r\n" or c.get(key) != body:
                        wrong.append((length, size))
                c.ask(b"append %s 0 0 3\r\nabc\r\n" % key)
                if c.get(key) != body + b"abc":
                    wrong.append((length, "append"))
        tap.ok(not wrong, "slab_chunk_max=%d: every value is kept" % kilo, wrong[:5])


def table():
    """The table that tools and people have written down."""
    chunks = [96, 120, 152, 192, 240, 304, 384, 480, 600, 752, 944, 1184, 1480, 1856, 2320, 2904,
              3632, 4544, 5680, 7104, 8880, 11104, 13880, 17352, 21696, 27120, 33904, 42384, 52984,
              66232, 82792, 103496, 129376, 161720, 202152, 252696, 315872, 394840, 524288]
    with server.Server("-f", "1.25") as s, s.conn() as c:
        for chunk in chunks:
            c.set(b"k", b"x" * (chunk - 60))
        slabs = c.stats(b"slabs")
        tap.is_([int(slabs.get("%d:chunk_size" % (i + 1), 0)) for i in range(39)], chunks,
                "39 classes from 96 to 524288 bytes")
        tap.is_(slabs["31:chunks_per_page"], "12", "in pages of 1 MiB")


def pages(conn):
    """What is counted of pages."""
    stats, slabs = conn.stats(), conn.stats(b"slabs")
    each = {k: v for k, v in slabs.items() if k.endswith(":total_pages") or k.endswith("_chunks")}
    return (stats["curr_items"], stats["evictions"], stats["slab_global_page_pool"],
            stats["limit_maxbytes"], slabs["active_slabs"], slabs["total_malloced"], each)


def same_pages():
    """64 MB are 64 pages, whatever the hash table takes."""
    for name, size, count in (("101 values of almost 1 MiB", LARGEST - 10, 101),
                              ("1000 values of 66560 bytes", 66560, 1000),
                              ("101 of half a MiB", 524200, 151)):
        with pair("-m", "64", "-f", "1.25") as conns:
            seen = []
            for conn in conns:
                for i in range(count):
                    conn.set(b"key%d" % i, b"x" * size)
                seen.append(pages(conn))
            tap.is_(seen[1], seen[0], "-m 64 after %s: items %s, evictions %s, pages %d" % (
                name, seen[0][0], seen[0][1], int(seen[0][5]) >> 20))
            before = [int(conn.stats()["evictions"]) for conn in conns]
            for conn in conns:
                for i in range(40):
                    conn.set(b"new%d" % i, b"x" * size)
            tap.is_([int(c.stats()["evictions"]) - n for c, n in zip(conns, before)], [40, 40],
                    "and 40 more evict 40")


def refused():
    """What memcached does not start with, in its words."""
    many = "-".join(str(100 + 16 * i) for i in range(63))
    for options, said in (
            ("slab_sizes=96-100", "slab size 100 must be at least 8 bytes larger"),
            ("slab_sizes=96-96", "slab size 96 cannot be lower than or equal to a previous"),
            ("slab_sizes=8-100", "slab size 8 is out of valid range"),
            ("slab_sizes=96-x", "slab size 0 is out of valid range"),
            ("slab_sizes=96-600000", "slab size 600000 is out of valid range"),
            ("slab_sizes=" + many, "too many slab classes specified"),
            ("slab_chunk_max=300" if not server.REFERENCE else "slab_chunk_max=307200",
             "-I (item_size_max: 1048576) must be evenly divisible by slab_chunk_max (bytes: 307200"),
            ("slab_chunk_max=2048" if not server.REFERENCE else "slab_chunk_max=2097152",
             "slab_chunk_max (bytes: 2097152) cannot be larger than -I (item_size_max 1048576)")):
        code, text = server.exits("-o", options)
        tap.ok(code not in (0, None) and said in text, "-o %.40s: %s" % (options, said),
               "code %s: %s" % (code, text))
    code, text = server.exits("-I", "6m", "-m", "100", "-o", "slab_chunk_max=%d" % (
        3 << 20 if server.REFERENCE else 3 << 10))
    tap.ok(code not in (0, None) and "(bytes: 3145728) must divide evenly into 1048576" in text,
           "a chunk that no page divides into", "code %s: %s" % (code, text))


def ours():
    """Who asks for nothing has the finer table."""
    if server.REFERENCE:
        return
    with server.Server() as s, s.conn() as c:
        c.set(b"k", b"x" * 10)
        slabs = c.stats(b"slabs")
        tap.is_(slabs["total_malloced"], str(64 << 10), "pages of 64 KiB")


def main():
    """Every function of this file."""
    server.program_exists()
    if not os.access(MEMCACHED, os.X_OK):
        tap.skip_all("Debian package memcached is missing")
    tap.run((table, small_chunks, same_classes, same_pages, refused, ours))


main()
