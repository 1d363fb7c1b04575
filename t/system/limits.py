#!/usr/bin/python3
"""Sizes, memory, connections: what happens at every limit."""

import hashlib
import os
import random
import resource
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import (OURS, REFERENCE, SANITIZED, Conn, Server, pattern,  # noqa: E402
                    program_exists, rows, wait_until)

MIB = 1 << 20
LARGE = b"SERVER_ERROR object too large for cache\r\n"
# What a server may use beside -m, over what it uses when empty: buffers of workers and
# connections, and what the C library keeps.
BESIDE = 8 * MIB
IDLE_CONNECTIONS = 10000


def promised(mib):
    """Bytes that become resident by use at the most: a twentieth of -m is for the hash table."""
    return mib * MIB * 105 // 100 + BESIDE


def noise(seed, size):
    """size bytes that do not repeat and depend on seed alone."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


def within(condition, name, why):
    """A check of resident memory; a sanitizer keeps what was freed."""
    if SANITIZED:
        tap.skip(name, "built with a sanitizer")
    else:
        tap.ok(condition, name, why)


def put_many(c, items):
    """Stores (key, value) pairs without waiting for answers, in pieces of about a MiB."""
    waiting, size = [], 0
    for key, value in items:
        waiting.append(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, len(value), value))
        size += len(value)
        if size > MIB:
            c.send(b"".join(waiting))
            waiting, size = [], 0
    c.send(b"".join(waiting) + b"mn\r\n")
    return c.line() == b"MN\r\n"


def item_size():
    """-I."""
    for option, largest in (("1k", 1024), ("2m", 2 * MIB), ("3145728", 3 * MIB)):
        if REFERENCE and option == "1k":
            tap.skip("-I 1k", OURS)
            continue
        with Server("-I", option) as s:
            over = b"set a 0 0 %d\r\n%s\r\nget a\r\n" % (largest, b"v" * largest)
            fits = largest - 200
            rows(s, [("-I %s: a value of that size is too large" % option,
                      b"set a 0 0 1\r\nx\r\n" + over,
                      b"STORED\r\n" + LARGE + b"END\r\n"),
                     ("-I %s: 200 bytes less fit" % option,
                      b"set a 0 0 %d\r\n%s\r\n" % (fits, b"v" * fits), b"STORED\r\n")])
            with s.conn() as c:
                tap.is_(c.stats(b"settings")["item_size_max"], str(largest),
                        "-I %s in stats settings" % option)


def large_values():
    """Values of 512 KiB to 64 MiB come back as they were."""
    with Server("-I", "128m", "-m", "1024") as s, s.conn() as c:
        c.sock.settimeout(60)
        for size in (512 * 1024 - 1, 512 * 1024, MIB - 1, MIB, MIB + 1, 5000000, 16 * MIB,
                     64 * MIB):
            value = noise(size, size)
            tap.is_(c.set(b"big", value, 7), b"STORED\r\n", "set of %d bytes" % size)
            tap.ok(c.get(b"big") == value, "get of %d bytes" % size)
        c.set(b"big", b"small")
        tap.is_(c.get(b"big"), b"small", "a small value over a large one")
        one = noise(1, 3 * MIB)
        c.set(b"join", one)
        tap.is_(c.ask(b"append join 0 0 %d\r\n%s\r\n" % (MIB, one[:MIB])), b"STORED\r\n",
                "append to 3 MiB")
        tap.is_(c.ask(b"prepend join 0 0 %d\r\n%s\r\n" % (MIB, one[MIB:2 * MIB])), b"STORED\r\n",
                "prepend to 4 MiB")
        tap.ok(c.get(b"join") == one[MIB:2 * MIB] + one + one[:MIB], "and the whole is right")
        tap.is_(c.ask(b"incr join 1\r\n"),
                pattern(rb"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
                "incr of it")
        value = noise(2, 2 * MIB)
        head = b"set slow 3 0 %d\r\n" % len(value)
        stream = head + value + b"\r\nget slow\r\n"
        for at in range(0, len(stream), 65537):
            c.send(stream[at:at + 65537])
            if at % 8 == 0:
                time.sleep(0.002)
        want = b"STORED\r\nVALUE slow 3 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        tap.ok(c.exact(len(want)) == want, "2 MiB written in odd pieces")
        values = {b"m%d" % i: noise(i, 700000 + i) for i in range(30)}
        tap.ok(put_many(c, values.items()), "30 values of 700 kB without answers")
        c.send(b"get " + b" ".join(values) + b"\r\n")
        want = b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(v), v) for k,
                        v in values.items()) + b"END\r\n"
        tap.ok(c.exact(len(want)) == want,
               "and one get of all of them: %d MB" % (len(want) // 1000000))


def connections():
    """-c with maxconns_fast and without."""
    with Server("-c", "100") as s:
        held, refused, said = [], 0, set()
        for _ in range(130):
            c = s.conn()
            try:
                c.send(b"mn\r\n")
                answer = c.line()
            except ConnectionError:
                answer = b"closed"
            if answer == b"MN\r\n":
                held.append(c)
            else:
                refused += 1
                said.add(answer)
                c.close()
        tap.between(len(held), 60, 100, "-c 100: connections that are served")
        tap.ok(refused == 130 - len(held) and said <= {b"ERROR Too many open connections\r\n",
                                                       b"closed"}, "the others are told", said)
        tap.ok(b"ERROR Too many open connections\r\n" in said, "in words")
        tap.ok(all(c.ask(b"mn\r\n") == b"MN\r\n" for c in held), "those served go on")
        tap.is_(held[0].stats()["rejected_connections"], str(refused),
                "rejected_connections counts")
        for c in held[1:]:
            c.close()
        until = time.monotonic() + 5
        while int(held[0].stats()["curr_connections"]) > 5 and time.monotonic() < until:
            time.sleep(0.02)
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "there is room again when they have gone")


def waiting_connections():
    """-c with no_maxconns_fast: who comes late waits."""
    with Server("-c", "60", "-o", "no_maxconns_fast") as s:
        served, late = [], []
        while len(served) < 90:
            c = None
            try:
                c = Conn(s.socket(timeout=0.5))
                c.send(b"mn\r\n")
                if c.line() != b"MN\r\n":
                    raise ConnectionError
                served.append(c)
            except OSError:
                if c:
                    late.append(c)
                break
        tap.between(len(served), 20, 60, "no_maxconns_fast: served at first")
        answers = []

        def try_late():
            with s.conn() as c:
                answers.append(c.ask(b"mn\r\n"))
        threads = [threading.Thread(target=try_late) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        tap.is_(answers, [], "the others wait")
        last = served.pop()
        for c in served:
            c.close()
        for thread in threads:
            thread.join()
        for c in late:
            c.sock.settimeout(10)
            answers.append(c.line())
            c.close()
        tap.is_(answers, [b"MN\r\n"] * (2 + len(late)), "until there is room")
        stats = last.stats()
        tap.ok(int(stats["listen_disabled_num"]) >= 1, "listen_disabled_num counts")
        paused = int(stats["time_in_listen_disabled_us"])
        tap.ok(250000 <= paused < 60000000, "time_in_listen_disabled_us is the wait: %d" % paused)


def mixed(rng, n, top):
    """n (key, value) pairs of sizes from 1 to top, small ones more often."""
    body = noise(99, top)
    for i in range(n):
        size = int(top ** rng.random())
        at = rng.randrange(top - size + 1)
        yield b"mix%d" % i, body[at:at + size]


def eviction():
    """-m: old items go, new ones come, memory stays."""
    with Server("-m", "64") as s, s.conn() as c:
        c.sock.settimeout(60)
        hot = [b"hot%d" % i for i in range(100)]
        put_many(c, [(k, b"h" * 1000) for k in hot])
        empty = s.status("VmRSS") * 1024
        top = 0
        for i in range(96):
            put_many(c, [(b"fill%d-%d" % (i, j), noise(i * 200 + j, 1000) + b"f" * 19000)
                         for j in range(100)])
            c.ask(b"get " + b" ".join(hot) + b"\r\n", b"END\r\n")
            top = max(top, s.status("VmRSS") * 1024)
        stats = c.stats()
        tap.ok(int(stats["evictions"]) > 3000, "192 MB into 64 evict", stats["evictions"])
        tap.between(int(stats["bytes"]), 40 * MIB, 64 * MIB, "bytes")
        found = c.ask(b"get " + b" ".join(hot) + b"\r\n", b"END\r\n").count(b"VALUE hot")
        tap.between(found, 95, 100, "of 100 keys read all the time are still there")
        tap.ok(c.get(b"fill95-99") == noise(95 * 200 + 99, 1000) + b"f" * 19000,
               "the last item is there")
        tap.ok(c.get(b"fill0-0") is None, "the first is not")
        wrong = 0
        for i in range(96):
            value = c.get(b"fill%d-50" % i)
            wrong += value is not None and value[:1000] != noise(i * 200 + 50, 1000)
        tap.is_(wrong, 0, "no wrong value among what is left")
        within(top <= empty + 64 * MIB + BESIDE,
               "resident memory stays within -m and %d MiB" % (BESIDE // MIB),
               "%d MiB, %d when empty" % (top // MIB, empty // MIB))


def bounded():
    """3 x -m of mixed sizes, then of ever other sizes."""
    rng = random.Random(5)
    with Server("-m", "64") as s, s.conn() as c:
        c.sock.settimeout(60)
        empty = s.status("VmRSS") * 1024
        written, top, refused = 0, 0, 0
        rounds = 0
        while written < 192 * MIB:
            ceiling = (200, 4000, 60000, 900000)[rounds % 4]
            batch = list(mixed(rng, 400000 // ceiling + 60, ceiling))
            written += sum(len(v) for _, v in batch)
            put_many(c, [(b"r%d-%s" % (rounds, k), v) for k, v in batch])
            if rounds % 8 == 0:
                top = max(top, s.status("VmRSS") * 1024)
                key, value = batch[0]
                refused += c.set(b"probe-" + key, value) != b"STORED\r\n"
            rounds += 1
        top = max(top, s.status("VmRSS") * 1024)
        note = "%d MiB at most, %d when empty" % (top // MIB, empty // MIB)
        within(top <= empty + 64 * MIB + BESIDE,
               "mixed sizes: resident memory stays within -m and %d MiB" % (BESIDE // MIB), note)
        tap.note(note)
        tap.is_(refused, 0, "no write is refused on the way")
        tap.ok(int(c.stats()["bytes"]) <= 64 * MIB, "bytes stay within -m")
        key, value = batch[-1]
        tap.ok(c.get(b"r%d-%s" % (rounds - 1, key)) == value, "what was written last is there")


def fill(c, name, count, key_size, value_size):
    """Stores so many keys of one size."""
    value = b"v" * value_size
    return put_many(c, ((b"%s-%0*d" % (name, key_size - len(name) - 1, i), value)
                        for i in range(count)))


def shapes():
    """-m is kept whatever the sizes are: half as many keys again as fit, and sizes that shift."""
    for key_size, value_size in ((20, 32), (40, 200), (20, 1024)):
        with Server("-m", "64", "-t", "1") as s, s.conn() as c:
            c.sock.settimeout(60)
            empty = s.status("VmRSS") * 1024
            count = 96 * MIB // (key_size + value_size + 26)
            tap.ok(fill(c, b"k", count, key_size, value_size), "stored %d + %d bytes" % (
                key_size, value_size))
            tap.ok(int(c.stats()["evictions"]) > 0, "more than fit")
            within(s.status("VmRSS") * 1024 <= empty + promised(64),
                   "%d + %d bytes: resident memory stays within 1.05 x -m and %d MiB" % (
                       key_size, value_size, BESIDE // MIB), "%d kB" % s.status("VmRSS"))
    with Server("-m", "64", "-t", "1") as s, s.conn() as c:
        c.sock.settimeout(60)
        empty, top = s.status("VmRSS") * 1024, 0
        for name, size, count in ((b"a", 100, 600000), (b"b", 1500, 60000), (b"c", 100, 600000)):
            for i in range(10):
                fill(c, b"%s%d" % (name, i), count // 10, 20, size)
                top = max(top, s.status("VmRSS") * 1024)
        within(top <= empty + promised(64), "so it does when sizes shift and shift back",
               "%d MiB" % (top // MIB))


def no_eviction():
    """-M."""
    with Server("-M", "-m", "8") as s, s.conn() as c:
        c.sock.settimeout(60)
        value = b"x" * 20000
        first = None
        for i in range(1000):
            answer = c.set(b"k%d" % i, value)
            if answer != b"STORED\r\n":
                first = i
                break
        tap.is_(answer, b"SERVER_ERROR out of memory storing object\r\n",
                "-M refuses when memory is full")
        tap.between(first or 0, 150, 420, "after so many items of 20 kB")
        tap.is_(c.stats()["evictions"], "0", "nothing is evicted")
        tap.ok(c.get(b"k0") == value and c.get(b"k%d" % (first - 1)) == value,
               "the first and the last are there")
        tap.is_(c.ask(b"add other 0 0 20000\r\n" + value + b"\r\n"),
                b"SERVER_ERROR out of memory storing object\r\n",
                "add is refused, too")
        tap.is_(c.ask(b"ms other2 20000\r\n" + value + b"\r\n"),
                b"SERVER_ERROR out of memory storing object\r\n", "so is ms")
        tap.is_(c.ask(b"set other3 0 0 20000 noreply\r\n" + value + b"\r\nmn\r\n"), b"MN\r\n",
                "quietly if noreply")
        tap.ok(int(c.stats()["store_no_memory"]) >= 3, "store_no_memory counts",
               c.stats()["store_no_memory"])
        for i in range(20):
            c.ask(b"delete k%d\r\n" % i)
        stored = sum(c.set(b"new%d" % i, value) == b"STORED\r\n" for i in range(20))
        tap.between(stored, 18, 20, "of 20 deleted items are replaced")
        c.ask(b"flush_all\r\n")
        time.sleep(2.1)
        tap.is_(c.set(b"after", value), b"STORED\r\n", "there is room behind flush_all")


def memory_limit():
    """cache_memlimit up and down."""
    with Server("-m", "64") as s, s.conn() as c:
        c.sock.settimeout(60)
        empty = s.status("VmRSS") * 1024
        body = noise(3, 10000)
        put_many(c, [(b"a%d" % i, body) for i in range(5000)])
        tap.ok(int(c.stats()["bytes"]) > 48 * MIB - 5 * MIB, "50 MB are in", c.stats()["bytes"])
        tap.is_(c.ask(b"cache_memlimit 16\r\n"), b"OK\r\n", "cache_memlimit 16")
        tap.is_(c.stats()["limit_maxbytes"], str(16 * MIB), "limit_maxbytes follows")
        if REFERENCE:
            tap.skip("memory shrinks", OURS)
        else:
            until = time.monotonic() + 15
            while int(c.stats()["bytes"]) > 16 * MIB and time.monotonic() < until:
                put_many(c, [(b"w%d" % i, body) for i in range(10)])
                time.sleep(0.05)
            tap.ok(int(c.stats()["bytes"]) <= 16 * MIB, "memory shrinks", c.stats()["bytes"])
            goal = empty + promised(16)
            within(SANITIZED or wait_until(lambda: s.status("VmRSS") * 1024 <= goal),
                   "the system has it again, although nothing is written any more",
                   "%d kB, %d when empty" % (s.status("VmRSS"), empty // 1024))
            huge_pages(s, False, "what was given back stays with the system: no large pages")
        tap.is_(c.set(b"n", body), b"STORED\r\n", "writes go on")
        tap.is_(c.ask(b"cache_memlimit 128\r\n"), b"OK\r\n", "cache_memlimit 128")
        put_many(c, [(b"b%d" % i, body) for i in range(10000)])
        tap.ok(int(c.stats()["bytes"]) > 80 * MIB, "100 MB fit now", c.stats()["bytes"])
        tap.ok(all(c.get(b"b%d" % i) == body for i in range(0, 10000, 500)), "and are there")
        if not REFERENCE:
            huge_pages(s, True, "large pages are asked for again")


def huge_pages(s, wanted, name):
    """Whether the arena, the largest mapping in use, asks for large pages."""
    if SANITIZED or not os.path.isdir("/sys/kernel/mm/transparent_hugepage"):
        tap.skip(name, "this kernel has none, or a sanitizer has the largest mapping")
        return
    largest, flags, rss = 0, "", 0
    with open("/proc/%d/smaps" % s.pid) as lines:
        for line in lines:
            if line.startswith("Rss:"):
                rss = int(line.split()[1])
            elif line.startswith("VmFlags:") and rss > largest and " wr " in line:
                largest, flags = rss, line
    tap.ok((" hg " in flags, " nh " in flags) == (wanted, not wanted), name, flags)


def idle_connections():
    """Memory of an idle connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE_CONNECTIONS + 500:
        tap.skip("memory of idle connections", "only %d open files are allowed" % hard)
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Server("-c", str(IDLE_CONNECTIONS + 300), "-b", "4096") as s, s.conn() as c:
            for _ in range(20):
                s.once(b"stats\r\n")
            before = s.status("VmRSS")
            conns = []
            for i in range(IDLE_CONNECTIONS):
                conns.append(s.socket())
                if i % 500 == 499:
                    for sock in conns[-500:]:
                        sock.sendall(b"get nothing\r\n")
                    for sock in conns[-500:]:
                        if sock.recv(100) != b"END\r\n":
                            raise ValueError("no answer on connection %d" % i)
            tap.between(int(c.stats()["curr_connections"]), IDLE_CONNECTIONS, IDLE_CONNECTIONS + 5,
                        "curr_connections")
            each = (s.status("VmRSS") - before) * 1024 / IDLE_CONNECTIONS
            within(each <= 1024, "an idle connection costs at most 1 KiB", "%.0f bytes" % each)
            tap.note("%.0f bytes for each idle connection" % each)
            c.set(b"v", b"x" * 5000)
            for at in range(0, IDLE_CONNECTIONS, 500):
                for sock in conns[at:at + 500]:
                    sock.sendall(b"get v\r\nget ")
                for sock in conns[at:at + 500]:
                    if len(Conn(sock).exact(5000 + len(b"VALUE v 0 5000\r\n\r\nEND\r\n"))) < 5000:
                        raise ValueError("no answer")
                    sock.sendall(b"nothing\r\n")
                for sock in conns[at:at + 500]:
                    Conn(sock).exact(5)
            each = (s.status("VmRSS") - before) * 1024 / IDLE_CONNECTIONS
            within(each <= 1536, "and at most 1.5 KiB after more traffic", "%.0f bytes" % each)
            tap.note("%.0f bytes after half lines and values" % each)
            for sock in conns:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slow_readers():
    """A value on its way to a slow client is not changed by what others do to the item."""
    with Server("-m", "64") as s, s.conn() as c:
        c.sock.settimeout(60)
        values = {b"v%d" % i: noise(i, 900000) for i in range(8)}
        small = {b"s%d" % i: noise(i, 30000) for i in range(40)}
        put_many(c, list(values.items()) + list(small.items()))
        requests = [(b"get " + k + b"\r\n", b"VALUE %s 0 900000\r\n%s\r\nEND\r\n" % (k, v)) for k,
                    v in values.items()]
        whole = b"".join(b"VALUE %s 0 30000\r\n%s\r\n" % (k, v) for k,
                         v in small.items()) + b"END\r\n"
        requests += [(b"get " + b" ".join(small) + b"\r\n", whole)] * 4
        readers = []
        for request, want in requests:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(30)
            sock.connect(("127.0.0.1", s.port))
            readers.append((Conn(sock), want))
            readers[-1][0].send(request)
        time.sleep(0.3)
        for i, key in enumerate(list(values) + list(small)):
            what = i % 4
            if what == 0:
                c.set(key, b"z" * len(values.get(key, b"z" * 30000)))
            elif what == 1:
                c.ask(b"delete " + key + b"\r\n")
            elif what == 2:
                c.ask(b"append " + key + b" 0 0 5\r\nzzzzz\r\n")
            else:
                c.ask(b"md " + key + b" I T30\r\n")
        c.ask(b"flush_all\r\n")
        for i in range(80):  # more than fits, so that every freed piece is written again
            put_many(c, [(b"over%d-%d" % (i, j), b"#" * size) for j,
                         size in enumerate((900000, 30000, 30000, 400000))])
        tap.is_(c.set(b"still", b"x"), b"STORED\r\n", "others write in the meantime")
        good = sum(reader.exact(len(want)) == want for reader, want in readers)
        tap.is_(good, len(readers), "slow readers get what was there when they asked")
        for reader, _ in readers:
            reader.close()


def buffers():
    """Large requests leave no memory behind."""
    with Server("-m", "64") as s, s.conn() as c:
        def wave():
            conns = [s.conn() for _ in range(100)]
            line = b"get " + b" ".join(b"%s%d" % (b"n" * 100, i) for i in range(1000)) + b"\r\n"
            for other in conns:
                other.send(line[:60000])
            for other in conns:
                other.send(line[60000:])
            good = sum(other.until(b"END\r\n") == b"END\r\n" for other in conns)
            return conns, good
        wave()
        before = s.status("VmRSS")
        held = []
        for _ in range(3):
            conns, good = wave()
            held += conns
            if good != 100:
                tap.ok(False, "100 long lines at once", good)
        grown = (s.status("VmRSS") - before) * 1024
        within(grown <= 4 * MIB, "300 long lines leave no memory behind",
               "%d KiB" % (grown // 1024))
        tap.is_(c.ask(b"mn\r\n"), b"MN\r\n", "and the server lives")


def main():
    """Every function of this file."""
    program_exists()
    tap.run((item_size, large_values, connections, waiting_connections, eviction, bounded,
             shapes, no_eviction, memory_limit, slow_readers, buffers,
             idle_connections))


main()
