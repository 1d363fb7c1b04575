#!/usr/bin/python3
"""Three nodes are one cache: what is written through any of them is read through any other.

Each command runs on keys that the asked node owns and on keys that another one does.
"""

import base64
import os
import random
import re
import socket
import struct
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import packets  # noqa: E402
import tap  # noqa: E402
from cluster import Cluster, Node, option  # noqa: E402
from packets import packet, store, touch  # noqa: E402
from server import DEADLINE, program_exists, wait_until  # noqa: E402

PLACES = [(asked, owner) for asked in range(3) for owner in range(3)]
NAMES = {True: "of its own", False: "of another"}


def pairs(c, prefix):
    """(name, connection, key, owner) for every node that is asked and every node that owns."""
    keys = [c.keys_of(owner, 3, prefix) for owner in range(3)]
    for asked, owner in PLACES:
        key = keys[owner][asked]
        with c.conn(asked) as conn:
            conn.ask(b"delete %s\r\n" % key)
            yield "node %d, a key %s" % (asked, NAMES[asked == owner]), conn, key, owner


def same(got, want, name):
    """Compares lists; shows the first difference alone."""
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return tap.ok(got == want, name, "%d of %d; at %d got %.200r, want %.200r" % (
        len(got), len(want), at, got[at:at + 1], want[at:at + 1]))


def everywhere(c):
    """Written through one, read through all."""
    for writer in range(3):
        keys = [b"w%d-%d" % (writer, i) for i in range(60)]
        owners = c.owners(keys, through=writer)
        tap.is_(sorted(set(owners.values())), [0, 1, 2], "node %d stores at all three" % writer)
        for reader in range(3):
            with c.conn(reader) as conn:
                got = [conn.get(key) for key in keys]
            same(got, keys, "what node %d stores, node %d finds" % (writer, reader))
    tap.is_(c.stat("curr_items"), 180, "and each is stored once")


TEXT = [
    (b"get K\r\n", b"END\r\n"),
    (b"set K 4294967295 0 3\r\nabc\r\n", b"STORED\r\n"),
    (b"get K\r\n", b"VALUE K 4294967295 3\r\nabc\r\nEND\r\n"),
    (b"get K K\r\n", b"VALUE K 4294967295 3\r\nabc\r\n" * 2 + b"END\r\n"),
    (b"add K 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
    (b"replace K 7 0 2\r\nxy\r\n", b"STORED\r\n"),
    (b"append K 9 9 1\r\n>\r\n", b"STORED\r\n"),
    (b"prepend K 9 9 1\r\n<\r\n", b"STORED\r\n"),
    (b"get K\r\n", b"VALUE K 7 4\r\n<xy>\r\nEND\r\n"),
    (b"cas K 0 0 1 1\r\nx\r\n", b"EXISTS\r\n"),
    (b"touch K 1000\r\n", b"TOUCHED\r\n"),
    (b"gat 2000 K\r\n", b"VALUE K 7 4\r\n<xy>\r\nEND\r\n"),
    (b"incr K 1\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
    (b"incr K x\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"set K 0 0 2\r\n10\r\n", b"STORED\r\n"),
    (b"incr K 5\r\n", b"15\r\n"),
    (b"decr K 7\r\n", b"8\r\n"),
    (b"decr K 9\r\n", b"0\r\n"),
    (b"incr K 18446744073709551615\r\n", b"18446744073709551615\r\n"),
    (b"incr K 2\r\n", b"1\r\n"),
    (b"set K 0 -1 1\r\nx\r\n", b"STORED\r\n"),
    (b"get K\r\n", b"END\r\n"),
    (b"touch K 0\r\n", b"NOT_FOUND\r\n"),
    (b"gat 0 K\r\n", b"END\r\n"),
    (b"incr K 1\r\n", b"NOT_FOUND\r\n"),
    (b"append K 0 0 1\r\nx\r\n", b"NOT_STORED\r\n"),
    (b"cas K 0 0 1 1\r\nx\r\n", b"NOT_FOUND\r\n"),
    (b"set K 0 0 0\r\n\r\n", b"STORED\r\n"),
    (b"get K\r\n", b"VALUE K 0 0\r\n\r\nEND\r\n"),
    (b"set K 0 0 3\r\nabcde\r\n", re.compile(rb"CLIENT_ERROR bad data chunk\r\n.*", re.S)),
    (b"delete K\r\n", b"DELETED\r\n"),
    (b"delete K\r\n", b"NOT_FOUND\r\n"),
    (b"set K 0 0 1 noreply\r\n1\r\n", b""),
    (b"add K 0 0 1 noreply\r\n2\r\n", b""),
    (b"replace K 0 0 1 noreply\r\n3\r\n", b""),
    (b"append K 0 0 1 noreply\r\n4\r\n", b""),
    (b"prepend K 0 0 1 noreply\r\n2\r\n", b""),
    (b"incr K 1 noreply\r\n", b""),
    (b"touch K 100 noreply\r\n", b""),
    (b"get K\r\n", b"VALUE K 0 3\r\n235\r\nEND\r\n"),
    (b"delete K noreply\r\n", b""),
    (b"delete K\r\n", b"NOT_FOUND\r\n"),
]

META = [
    (b"mg K v\r\n", b"EN\r\n"),
    (b"ms K 3 F5 T100 c\r\nabc\r\n", re.compile(rb"HD c\d+\r\n")),
    (b"mg K s v k f q Oabc\r\n", b"VA 3 s3 kK f5 Oabc\r\nabc\r\n"),
    (b"ms K 1 ME\r\nx\r\n", b"NS\r\n"),
    (b"ms K 1 MA\r\n>\r\n", b"HD\r\n"),
    (b"ms K 1 MP O7 k\r\n<\r\n", b"HD O7 kK\r\n"),
    (b"mg K v\r\n", b"VA 5\r\n<abc>\r\n"),
    (b"ms K 1 C1\r\nx\r\n", b"EX\r\n"),
    (b"mg K t\r\n", re.compile(rb"HD t(99|100)\r\n")),
    (b"mg K T-1\r\n", b"HD\r\n"),
    (b"mg K\r\n", b"EN\r\n"),
    (b"md K\r\n", b"NF\r\n"),
    (b"ma K\r\n", b"NF\r\n"),
    (b"ma K N0 J13 v\r\n", b"VA 2\r\n13\r\n"),
    (b"ma K D7 v\r\n", b"VA 2\r\n20\r\n"),
    (b"ma K MD D30 v k\r\n", b"VA 1 kK\r\n0\r\n"),
    (b"ma K q\r\n", b""),
    (b"ms K 2 q\r\n55\r\n", b""),
    (b"mg K q v\r\n", b"VA 2\r\n55\r\n"),
    (b"md K I T30\r\n", b"HD\r\n"),
    (b"mg K v W\r\n", re.compile(rb"CLIENT_ERROR .*\r\n")),
    (b"mg K v\r\n", b"VA 2 X W\r\n55\r\n"),
    (b"mg K v\r\n", b"VA 2 Z X\r\n55\r\n"),
    (b"md K q\r\n", b""),
    (b"mg K q v\r\n", b""),
    (b"mg K N30 v t\r\n", re.compile(rb"VA 0 t(29|30) W\r\n\r\n")),
    (b"ms K abc\r\n", re.compile(rb"CLIENT_ERROR .*\r\n")),
    (b"md K\r\n", b"HD\r\n"),
]


def conversation(c, prefix, table):
    """One request after the other, and a question behind each that shows when its answer ends."""
    for name, conn, key, _ in pairs(c, prefix):
        bad = []
        for request, want in table:
            conn.send(request.replace(b"K", key) + b"mn\r\n")
            got = conn.until(b"MN\r\n")[:-4].replace(key, b"K")
            if not (want.fullmatch(got) if isinstance(want, re.Pattern) else got == want):
                bad.append("%r: got %r, want %r" % (request, got, want))
        tap.ok(not bad, "%s: %d requests" % (name, len(table)), "\n".join(bad))


def text(c):
    """Every command of the classic protocol."""
    conversation(c, b"text", TEXT)


def meta(c):
    """Every command of the meta protocol."""
    conversation(c, b"meta", META)


# (op, what it is made of, status and value of the answer or None for none)
BINARY = [
    ("get", packet, (), packets.MISS, b"Not found"),
    ("getq", packet, (), None, b""),
    ("set", store, (b"abc", 0xdeadbeef), 0, b""),
    ("get", packet, (), 0, b"abc"),
    ("getk", packet, (), 0, b"abc"),
    ("getkq", packet, (), 0, b"abc"),
    ("add", store, (b"x",), packets.EXISTS, b"Data exists for key."),
    ("addq", store, (b"x",), packets.EXISTS, b"Data exists for key."),
    ("replaceq", store, (b"xyz", 7), None, b""),
    ("appendq", packet, (b">",), None, b""),
    ("prepend", packet, (b"<",), 0, b""),
    ("gat", touch, (1000,), 0, b"<xyz>"),
    ("gatkq", touch, (1000,), 0, b"<xyz>"),
    ("touch", touch, (1000,), 0, b""),
    ("incr", packets.count, (1,), packets.NON_NUMERIC, packets.TEXTS[packets.NON_NUMERIC]),
    ("deleteq", packet, (), None, b""),
    ("delete", packet, (), packets.MISS, b"Not found"),
    ("deleteq", packet, (), packets.MISS, b"Not found"),
    ("replace", store, (b"x",), packets.MISS, b"Not found"),
    ("append", packet, (b"x",), packets.NOT_STORED, b"Not stored."),
    ("incr", packets.count, (5, 10, packets.NEVER), packets.MISS, b"Not found"),
    ("incr", packets.count, (5, 10), 0, struct.pack(">Q", 10)),
    ("incrq", packets.count, (5, 10), None, b""),
    ("decr", packets.count, (1, 10), 0, struct.pack(">Q", 14)),
    ("decrq", packets.count, (100,), None, b""),
    ("get", packet, (), 0, b"0 "),
    ("setq", store, (b"", 0), None, b""),
    ("get", packet, (), 0, b""),
    ("gatq", touch, (1000,), 0, b""),
    ("prependq", packet, (b"p",), None, b""),
    ("get", packet, (), 0, b"p"),
]


def binary(c):
    """Every command of the binary protocol, all in one go: the answers keep the order."""
    for name, conn, key, _ in pairs(c, b"binary"):
        conn.close()
        with c.conn(int(name[5])) as conn:  # the first one speaks text
            whole, want = b"", []
            for number, (op, make, args, status, value) in enumerate(BINARY):
                if make is packet:
                    whole += packet(op, key, *args, opaque=number)
                else:
                    whole += make(op, key, *args, opaque=number)
                if status is not None:
                    want.append((number, status, value))
            conn.send(whole + packet("noop", opaque=999))
            got = []
            while not got or got[-1].opaque != 999:
                got.append(packets.read(conn))
            same([(a.opaque, a.status, a.value) for a in got[:-1]], want,
                 "%s: %d packets" % (name, len(BINARY)))
            flags = [a.extras for a in got if a.opaque == 3]
            tap.is_(flags, [struct.pack(">I", 0xdeadbeef)], "and its client flags")
            tap.is_([a.key for a in got if a.op in (0x0c, 0x0d, 0x24)], [key] * 3,
                    "and its key where asked for")
            tap.ok(all(a.cas for a in got if a.op == 0x01 and a.status == 0), "and versions")


def sizes(c):
    """Values of any size, through a node that does not own them; too large ones."""
    for asked, owner in ((0, 0), (0, 1), (1, 2), (2, 0)):
        key = c.keys_of(owner, 1, b"size")[0]
        with c.conn(asked) as conn, c.conn((asked + 1) % 3) as other:
            wrong = []
            for size in (1, 2047, 16384, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 61440, 65536,
                         100000, 524288, 1000000, 1048576 - 512):
                value = random.Random(size).randbytes(size)
                if conn.set(key, value) != b"STORED\r\n" or conn.get(key) != value or \
                        other.get(key) != value:
                    wrong.append(size)
            name = "node %d, a key of node %d: " % (asked, owner)
            tap.is_(wrong, [], name + "values up to the largest")
            tap.is_(conn.set(key, b"x" * 1048577), b"SERVER_ERROR object too large for cache\r\n",
                    name + "one that is too large")
            tap.is_(conn.get(key), None, name + "and what was there is gone")
            tap.is_(conn.ask(b"ms %s 1048577\r\n" % key + b"x" * 1048577 + b"\r\n"),
                    b"SERVER_ERROR object too large for cache\r\n", name + "by meta")
            tap.is_(conn.ask(b"mn\r\n"), b"MN\r\n", name + "the connection is in step")


def huge(_):
    """20 MiB, with small requests beside it."""
    with Cluster(3, "-I", "32m", "-m", "256") as c:
        value = random.Random(20).randbytes(20 << 20)
        key, small = c.keys_of(1, 2, b"huge")
        with c.conn(0) as conn, c.conn(0) as beside, c.conn(2) as reader:
            tap.is_(conn.set(key, value), b"STORED\r\n", "20 MiB through another node")
            conn.send(b"get %s\r\n" % key)
            answered = [beside.set(small, b"%d" % i) for i in range(20)]
            tap.is_(set(answered), {b"STORED\r\n"}, "small requests to the same node meanwhile")
            head = conn.line()
            tap.is_(head, b"VALUE %s 0 %d\r\n" % (key, len(value)), "20 MiB come back")
            tap.ok(conn.exact(len(value)) == value, "as they were")
            tap.is_(conn.exact(7), b"\r\nEND\r\n", "and the end")
            tap.ok(reader.get(key) == value, "through the third node too")
            tap.is_(reader.ask(b"append %s 0 0 3\r\nend\r\n" % key), b"STORED\r\n", "append to it")
            reader.send(b"mg %s v s\r\n" % key)
            tap.is_(reader.line(), b"VA %d s%d\r\n" % ((len(value) + 3,) * 2), "by meta")
            tap.ok(reader.exact(len(value) + 5) == value + b"end\r\n", "and all of it")
        with c.conn(2) as conn:  # who goes away in the middle leaves nothing behind
            conn.send(b"set %s 0 0 %d\r\n" % (small, 1 << 20) + b"x" * 500000)
        with c.conn(2) as conn:
            conn.send(b"get %s\r\n" % key)
            conn.exact(1000)
        with c.conn(2) as conn:
            tap.is_(conn.get(small), b"19", "half a value is not stored")
            tap.is_(conn.set(small, b"more"), b"STORED\r\n", "and the node goes on")


def odd_keys(c):
    """Keys of 250 bytes, and of any bytes."""
    longest = [b"k%d-" % i + b"k" * (247 - len(b"%d" % i)) + b"k" for i in range(20)]
    longest = [k[:250].ljust(250, b"k") for k in longest]
    c.owners(longest, through=1)
    with c.conn(2) as conn:
        same([conn.get(k) for k in longest], longest, "keys of 250 bytes")
        tap.is_(conn.ask(b"get %s\r\n" % (b"k" * 251)), b"CLIENT_ERROR bad command line format\r\n",
                "a key of 251 bytes")
    raw = [bytes((i, 0, 10, 13, 32, 255 - i)) + b"%d" % i for i in range(30)]
    with c.conn(0) as conn, c.conn(1) as text_conn:
        for i, key in enumerate(raw):
            conn.send(store("setq", key, b"raw%d" % i, i))
        conn.send(packet("noop"))
        tap.is_(packets.read(conn).op, 0x0a, "keys of any bytes are stored by the binary protocol")
        got = []
        for key in raw:
            encoded = base64.b64encode(key)
            head = text_conn.ask(b"mg %s b v f k\r\n" % encoded)
            got.append((head, text_conn.line()))
        want = [(b"VA %d f%d k%s b\r\n" % (len(b"raw%d" % i), i, base64.b64encode(key)),
                 b"raw%d\r\n" % i) for i, key in enumerate(raw)]
        same(got, want, "and found by meta, in base64")
        high = [b"\xc3\xbc%d\xff\x80" % i for i in range(20)]
        for key in high:
            text_conn.ask(b"ms %s 1 b\r\nv\r\n" % base64.b64encode(key))
        with c.conn(2) as third:
            same([third.get(key) for key in high], [b"v"] * 20, "keys of high bytes")


def pipelined(conn, requests, size):
    """Sends requests while their answers are read, neither side may wait for the other; so many
    bytes of answers."""
    whole = b"".join(requests)

    def write():
        try:
            conn.sock.sendall(whole)
        except OSError as error:
            tap.note("sending: %r" % error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return conn.exact(size)
    finally:
        writer.join()


def differ(got, want):
    """Where two answers part."""
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return "%d of %d bytes; at %d got %r, want %r" % (len(got), len(want), at,
                                                      got[at - 20:at + 60], want[at - 20:at + 60])


def pipelines(c):
    """Local and remote keys, small and large values, all protocols' answers in order."""
    rng = random.Random(5)
    for asked in range(3):
        requests, want, held = [], [], {}
        for number in range(1500):
            # Keys of this round alone: the client of the last one that went away may not be done.
            key = b"pipe-%d-%d" % (asked, rng.randrange(200))
            kind = rng.random()
            if kind < 0.4:
                size = rng.choice((0, 1, 10, 10, 100, 1000, 5000, 50000 if number % 7 == 0 else 3,
                                   300000 if number % 50 == 0 else 30))
                held[key] = b"%d:" % number + bytes((97 + number % 26,)) * size
                quiet = rng.random() < 0.3
                requests.append(b"set %s 0 0 %d%s\r\n%s\r\n" % (
                    key, len(held[key]), b" noreply" if quiet else b"", held[key]))
                want.append(b"" if quiet else b"STORED\r\n")
            elif kind < 0.5:
                requests.append(b"delete %s\r\n" % key)
                want.append(b"DELETED\r\n" if held.pop(key, None) is not None else b"NOT_FOUND\r\n")
            elif kind < 0.6:
                requests.append(b"mg %s v q\r\n" % key)
                want.append(b"VA %d\r\n%s\r\n" % (len(held[key]), held[key]) if key in held else b"")
            elif kind < 0.65:
                requests.append(b"mn\r\n")
                want.append(b"MN\r\n")
            else:
                keys = [key] + [b"pipe-%d-%d" % (asked, rng.randrange(200))
                                for _ in range(rng.choice((0, 2)))]
                requests.append(b"get %s\r\n" % b" ".join(keys))
                want += [b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(held[k]), held[k])
                         for k in keys if k in held] + [b"END\r\n"]
        whole = b"".join(want)
        with c.conn(asked) as conn:
            conn.sock.settimeout(6 * DEADLINE)
            conn.ask(b"flush_all\r\n")
            got = pipelined(conn, requests, len(whole))
            tap.ok(got == whole, "node %d: %d requests in one go, %.1f MB of answers" % (
                asked, len(requests), len(whole) / 1e6), differ(got, whole))
            tap.is_(conn.ask(b"mn\r\n"), b"MN\r\n", "and nothing behind them")
        conn = c.conn(asked)  # a client that goes away with all of it under way
        conn.sock.sendall(b"".join(requests[:200]))
        conn.close()
    with c.conn(0) as conn:
        tap.is_(conn.ask(b"mn\r\n"), b"MN\r\n", "clients that go away leave the node at work")


def multiget(c):
    """500 keys in one line: values in the order asked for, misses silent, duplicates again."""
    keys = [b"multi-%d" % i for i in range(500)]
    c.owners(keys)
    asked = keys[::-1] + [b"none-%d" % i for i in range(50)] + keys[:20]
    random.Random(3).shuffle(asked)
    want = b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(k), k)
                    for k in asked if k.startswith(b"multi")) + b"END\r\n"
    for node in range(3):
        with c.conn(node) as conn:
            got = conn.ask(b"get %s\r\n" % b" ".join(asked), b"END\r\n")
            tap.ok(got == want, "node %d: 570 keys" % node, differ(got, want))
            conn.send(b"gat 1000 %s\r\n" % b" ".join(asked))
            got = conn.until(b"END\r\n")
            tap.ok(got == want, "node %d: gat of them" % node, differ(got, want))
            conn.send(b"gets %s\r\n" % b" ".join(asked))
            got = re.sub(rb"(VALUE \S+ 0 \d+) \d+\r", rb"\1\r", conn.until(b"END\r\n"))
            tap.ok(got == want, "node %d: gets of them" % node, differ(got, want))
    with c.conn(1) as conn:
        conn.send(b"".join(packet("getkq", k, opaque=i) for i, k in enumerate(asked))
                  + packet("noop", opaque=1 << 20))
        got = []
        while not got or got[-1].opaque != 1 << 20:
            got.append(packets.read(conn))
        same([(a.opaque, a.key, a.value) for a in got[:-1]],
             [(i, k, k) for i, k in enumerate(asked) if k.startswith(b"multi")],
             "getkq of them, and a noop")
    with c.conn(2) as conn:
        conn.send(b"".join(b"mg %s k v q\r\n" % k for k in asked) + b"mn\r\n")
        got = conn.until(b"MN\r\n")
        want = b"".join(b"VA %d k%s\r\n%s\r\n" % (len(k), k, k)
                        for k in asked if k.startswith(b"multi")) + b"MN\r\n"
        tap.ok(got == want, "mg of them, and an mn", differ(got, want))
    large = [(b"ml-%d" % i).ljust(200, b"x") for i in range(500)]
    values = {k: k * 50 for k in large}
    with c.conn(0) as conn:
        for k in large:
            conn.send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (k, len(values[k]), values[k]))
        want = b"".join(b"VALUE %s 0 10000\r\n%s\r\n" % (k, values[k]) for k in large) + b"END\r\n"
        conn.send(b"get %s\r\n" % b" ".join(large))
        got = conn.exact(len(want))
        tap.ok(got == want, "a line of 100 kB, an answer of 5 MB", differ(got, want))


def noreply_order(c):
    """Quiet commands on a key stay in order, whoever owns it."""
    for name, conn, key, _ in pairs(c, b"order"):
        requests, want = [], []
        for i in range(300):
            requests += [b"set %s 0 0 3 noreply\r\nold\r\n" % key, b"delete %s noreply\r\n" % key,
                         b"add %s 0 0 4 noreply\r\n%04d\r\n" % (key, i), b"get %s\r\n" % key,
                         b"ma %s D1 q\r\n" % key]
            want.append(b"VALUE %s 0 4\r\n%04d\r\nEND\r\n" % (key, i))
        whole = b"".join(want)
        got = pipelined(conn, requests, len(whole))
        tap.ok(got == whole, name + ": 1500 requests", differ(got, whole))


def at_once(functions):
    """Runs functions in threads; what they return."""
    results = [None] * len(functions)

    def call(i, function):
        results[i] = function()

    threads = [threading.Thread(target=call, args=(i, f)) for i, f in enumerate(functions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def counters(c):
    """incr, add and append of one key through all nodes at once."""
    key = c.keys_of(2, 1, b"count")[0]
    with c.conn(0) as conn:
        conn.set(key, b"0")

    def count(node):
        with c.conn(node) as conn:
            return [int(conn.ask(b"incr %s 1\r\n" % key)) for _ in range(300)]

    seen = at_once([lambda n=n: count(n) for n in range(3)])
    tap.is_(sorted(sum(seen, [])), list(range(1, 901)), "900 increments: every number once")
    winners = []
    for i in range(30):
        lock = b"lock-%d" % i
        conns = [c.conn(n) for n in range(3)]
        for conn in conns:
            conn.send(b"add %s 0 0 1\r\nx\r\n" % lock)
        winners.append(sorted(conn.line() for conn in conns))
        for conn in conns:
            conn.close()
    tap.is_([w for w in winners if w != [b"NOT_STORED\r\n"] * 2 + [b"STORED\r\n"]], [],
            "an add has one winner")
    with c.conn(0) as conn:
        conn.set(key, b"")

    def append(node):
        with c.conn(node) as conn:
            return [conn.ask(b"append %s 0 0 8\r\n%d-%05d,\r\n" % (key, node, i))
                    for i in range(200)]

    at_once([lambda n=n: append(n) for n in range(3)])
    with c.conn(1) as conn:
        parts = conn.get(key).split(b",")[:-1]
    tap.is_(sorted(parts), sorted(b"%d-%05d" % (n, i) for n in range(3) for i in range(200)),
            "600 appends: each is there once")
    tap.ok(all([p for p in parts if p[:1] == b"%d" % n] == sorted(p for p in parts
                                                                 if p[:1] == b"%d" % n)
               for n in range(3)), "and in each client's order")


def versions(c):
    """A version that one node has shown is good at every other."""
    for owner in range(3):
        key = c.keys_of(owner, 1, b"cas")[0]
        with c.conn(0) as a, c.conn(1) as b, c.conn(2) as d:
            shown = [re.fullmatch(rb"VALUE \S+ 0 \d+ (\d+)\r\n\S+\r\nEND\r\n",
                                  conn.ask(b"gets %s\r\n" % key, b"END\r\n"))[1]
                     for conn in (a, b, d)]
            tap.is_(len(set(shown)), 1, "node %d's key: one version everywhere" % owner)
            tap.is_(b.ask(b"cas %s 0 0 1 %s\r\n1\r\n" % (key, shown[0])), b"STORED\r\n",
                    "which another node takes")
            tap.is_(d.ask(b"cas %s 0 0 1 %s\r\n2\r\n" % (key, shown[0])), b"EXISTS\r\n",
                    "once")
            tap.is_(a.ask(b"ms %s 1 C%s\r\n3\r\n" % (key, shown[0])), b"EX\r\n", "by meta too")
            tap.is_(a.get(key), b"1", "and the first is stored")


def flushing(c):
    """flush_all through any node empties all of them."""
    keys = [b"flush-%d" % i for i in range(60)]
    ways = [("text", lambda conn: tap.is_(conn.ask(b"flush_all\r\n"), b"OK\r\n", "flush_all")),
            ("text 0", lambda conn: tap.is_(conn.ask(b"flush_all 0\r\n"), b"OK\r\n",
                                            "flush_all 0"))]
    for asked in range(3):
        for word, flush in ways:
            c.owners(keys, through=(asked + 1) % 3)
            with c.conn(asked) as conn:
                flush(conn)
                tap.is_(conn.ask(b"get %s\r\n" % b" ".join(keys), b"END\r\n"), b"END\r\n",
                        "%s: node %d finds nothing" % (word, asked))
            for other in range(3):
                with c.conn(other) as conn:
                    tap.is_([k for k in keys if conn.get(k)], [],
                            "%s through %d: nor does %d" % (word, asked, other))
    c.owners(keys)
    with c.conn(1) as conn:
        conn.send(packet("flush"))
        tap.is_(packets.read(conn).status, 0, "binary flush")
    with c.conn(2) as conn:
        tap.is_(conn.ask(b"get %s\r\n" % b" ".join(keys), b"END\r\n"), b"END\r\n",
                "and nothing is left")
    c.owners(keys)
    with c.conn(0) as conn:
        conn.send(b"flush_all noreply\r\nset %s 0 0 3 noreply\r\nnew\r\n" % keys[0])
        got = conn.ask(b"get %s\r\n" % b" ".join(keys), b"END\r\n")
        tap.is_(got, b"VALUE %s 0 3\r\nnew\r\nEND\r\n" % keys[0],
                "without an answer, and a set behind it")


class Udp:
    """A UDP client: one request at a time."""

    def __init__(self, port):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(("127.0.0.1", port))
        self.id = 0

    def send(self, body):
        """A request."""
        self.id += 1
        self.sock.send(struct.pack(">4H", self.id, 0, 1, 0) + body)

    def ask(self, body, end):
        """All datagrams until one that ends so, joined; their headers must be in order."""
        self.send(body)
        return self.until(end)

    def until(self, end):
        """The answer to the last request that was sent."""
        got = b""
        while not got.endswith(end):
            data = self.sock.recv(65536)
            if struct.unpack(">H", data[:2])[0] != self.id:
                raise ValueError("an answer to another request: %r" % data[:60])
            got += data[8:]
        return got


def datagrams(c):
    """Requests by UDP for keys of other nodes."""
    for asked in range(3):
        u = Udp(c.node(asked).ports["UDP INET"][0])
        for owner in range(3):
            key = c.keys_of(owner, 1, b"udp")[0]
            name = "UDP to node %d, a key of node %d: " % (asked, owner)
            tap.is_(u.ask(b"set %s 3 0 5\r\nvalue\r\n" % key, b"\r\n"), b"STORED\r\n", name + "set")
            tap.is_(u.ask(b"get %s\r\n" % key, b"END\r\n"),
                    b"VALUE %s 3 5\r\nvalue\r\nEND\r\n" % key, name + "get")
            value = b"v" * 5000
            with c.conn(asked) as conn:
                conn.set(key, value)
            tap.is_(u.ask(b"mg %s v\r\n" % key, value + b"\r\n"), b"VA 5000\r\n" + value + b"\r\n",
                    name + "5,000 bytes")
        keys = [b"of-%d" % i for i in range(40)]
        c.owners(keys)
        got = u.ask(b"get %s\r\n" % b" ".join(keys), b"END\r\n")
        tap.is_(got, b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(k), k) for k in keys)
                + b"END\r\n", "UDP to node %d: 40 keys" % asked)
        u.sock.close()


def datagrams_that_wait(_):
    """An owner who is silent holds up its socket for a while, and nothing else."""
    with Cluster(3, "-U", "-1", "-t", "1", peer_timeout="2s") as c:
        key, = c.keys_of(2, 1, b"slow")
        first, second = (Udp(c.node(0).ports["UDP INET"][0]) for _ in range(2))
        other = Udp(c.node(1).ports["UDP INET"][0])
        c.pause(2)
        for udp in (first, other):
            udp.send(b"get %s\r\nmn\r\n" % key)
        second.send(b"mn\r\n")
        with c.conn(0) as conn:
            tap.is_(conn.ask(b"mn\r\n"), b"MN\r\n", "connections do not wait")
        second.sock.settimeout(0.2)
        try:
            got = second.sock.recv(100)
        except socket.timeout:
            got = None
        tap.is_(got, None, "another datagram does")
        tap.is_(other.until(b"MN\r\n"), b"END\r\nMN\r\n", "the answer comes after peer_timeout")
        second.sock.settimeout(DEADLINE)
        tap.is_(second.until(b"MN\r\n"), b"MN\r\n", "and what waited is answered")
        tap.is_(first.until(b"MN\r\n"), b"END\r\nMN\r\n", "behind what it waited for")
        for udp in (first, second):
            udp.send(b"get %s\r\nmn\r\n" % key)
        tap.is_(c.leave(0), 0, "a node ends while datagrams wait")


def half_close(c):
    """printf ... | nc: everything is answered before the connection ends."""
    keys = [b"half-%d" % i for i in range(30)]
    for asked in range(3):
        c.owners(keys)
        got = c.node(asked).once(b"".join(b"get %s\r\n" % k for k in keys)
                                 + b"set %s 0 0 1\r\nx\r\nmn\r\n" % keys[0])
        want = b"".join(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (k, len(k), k) for k in keys) + \
            b"STORED\r\nMN\r\n"
        tap.ok(got == want, "node %d: a half-closed connection" % asked, differ(got, want))
        got = c.node(asked).once(b"get %s\r\nquit\r\nget %s\r\n" % (b" ".join(keys[1:]), keys[1]))
        want = b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(k), k) for k in keys[1:]) + b"END\r\n"
        tap.ok(got == want, "node %d: quit comes after what was asked before it" % asked,
               differ(got, want))
        got = c.node(asked).once(b"".join(packet("getk", k) for k in keys) + packet("quit"))
        tap.is_([a.value for a in packets.answers(got)], [b"x"] + keys[1:] + [b""],
                "node %d: and by the binary protocol" % asked)


def discovery(c):
    """ElastiCache's auto-discovery: every node names all nodes."""
    ports = sorted(n.port for n in c.running())
    answers = []
    for node in c.running():
        for request in (b"config get cluster\r\n", b"get AmazonElastiCache:cluster\r\n"):
            got = node.once(request)
            m = re.fullmatch(rb"(?:CONFIG cluster|VALUE AmazonElastiCache:cluster) 0 (\d+)\r\n"
                             rb"(\d+\n(?:\S+\|\S*\|\d+ ?)+\n)\r\n(?:\r\n)?END\r\n", got)
            if not tap.ok(m, "%r of node %d" % (request.strip(), node.index), got):
                continue
            tap.is_(len(m[2]), int(m[1]), "its length")
            members = [place.split(b"|") for place in m[2].split(b"\n")[1].split()]
            tap.is_(sorted(int(p) for _, _, p in members), ports, "and all nodes are in it")
            tap.is_({ip for _, ip, _ in members}, {b"127.0.0.1"}, "with their addresses")
            answers.append(m[2])
    tap.is_(len(set(answers)), 1, "every node says the same")


def figures(c):
    """What a node says of the cluster, and that it counts."""
    for node in c.running():
        rows = node.cluster()
        tap.is_([rows[n] for n in ("cluster", "members", "alive", "dead")], ["yes", "3", "3", "0"],
                "node %d: stats cluster" % node.index)
        with node.conn() as conn:
            for what in (b"ring", b"peers"):
                tap.ok(len(conn.stats(what)) > 2, "node %d: stats %s" % (node.index,
                                                                         what.decode()))
            tap.ok(not [k for k in conn.stats() if k == "alive"], "plain stats are memcached's")
    before = [n.figure("forwarded") for n in c.running()]
    key = c.keys_of(1, 1, b"figure")[0]
    after = [n.figure("forwarded") for n in c.running()]
    tap.ok(after[0] > before[0] and after[2] == before[2], "forwarded commands are counted",
           (before, after))
    with c.conn(1) as conn:
        conn.ask(b"get %s\r\n" % key, b"END\r\n")
    tap.is_(c.node(1).figure("forwarded"), after[1], "and those at home are not")
    misses = [n.conn().stats()["get_misses"] for n in c.running()]
    with c.conn(0) as conn:
        conn.ask(b"delete %s\r\n" % key)
        conn.ask(b"get %s\r\n" % key, b"END\r\n")
    now = [n.conn().stats()["get_misses"] for n in c.running()]
    tap.is_(sum(map(int, now)) - sum(map(int, misses)), 1, "a miss is counted once")


def weights(_):
    """A node of weight 0 owns nothing and answers everything; weights are shares."""
    with Cluster(3, wait=False) as c:
        c.kill(2)
        c.kill(1)
        c.restart(1, weight=0)
        c.restart(2, weight=3)
        c.agree()
        c.serves()
        owners = list(c.owners([b"weight-%d" % i for i in range(2000)], through=1).values())
        tap.is_(owners.count(1), 0, "weight 0 owns nothing")
        tap.between(owners.count(2) / len(owners), 0.65, 0.85, "weight 3 of 4 owns three quarters")


def ports(_):
    """--cluster-port=-1 takes any port, and says which; the first node needs nobody to join."""
    first = Node(0, "--cluster=yes", "--cluster-port=-1", option("gossip_profile", "local"))
    with first:
        tap.ok(len(first.ports.get("CLUSTER", [])) == 1 and first.cluster_port > 0,
               "the port file has the cluster's port", first.ports)
        tap.is_(cluster.alive(first)[0], 1, "a node alone is a cluster of one")
        with first.conn() as conn:
            tap.is_(conn.set(b"alone", b"1"), b"STORED\r\n", "and serves")
        second = Node(1, "--join=127.0.0.1:%d" % first.cluster_port, "--cluster-port=-1",
                      option("gossip_profile", "local"))
        with second:
            tap.ok(wait_until(lambda: cluster.alive(first) == cluster.alive(second)
                              and cluster.alive(first)[0] == 2), "another one joins it",
                   (first.cluster(), second.cluster()))
    with Node(0) as plain:
        tap.ok("CLUSTER" not in plain.ports, "without them there is no cluster")


if __name__ == "__main__":
    program_exists()
    cluster.run([everywhere, text, meta, binary, sizes, odd_keys, pipelines, multiget,
                 noreply_order, counters, versions, flushing, datagrams, half_close, discovery,
                 figures, datagrams_that_wait, huge, weights, ports], 3, "-U", "-1")
