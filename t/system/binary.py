#!/usr/bin/python3
"""The binary protocol: every opcode, quiet forms, statuses, wrong packets."""

import os
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from packets import (EXISTS, INVALID, MISS, NEVER, NON_NUMERIC, NOT_STORED, OK, OPCODES,
                     # noqa: E402
                     TEXTS, TOO_LARGE, UNKNOWN, answers, count, packet, read, store, touch)
from server import NEW, OURS, REFERENCE, Server, pattern, program_exists  # noqa: E402

NOOP = packet("noop", opaque=0xffff)


def talk(s, *requests):
    """The answers to some packets on a connection of their own."""
    return answers(s.once(b"".join(requests)))


def check(s, name, requests, want):
    """want: (status, value, key, extras), the last three optional, for each answer expected."""
    got = talk(s, *requests)
    shape = []
    for i, answer in enumerate(got):
        width = len(want[i]) if i < len(want) else 4
        shape.append((answer.status, answer.value, answer.key, answer.extras)[:width])
    tap.ok(shape == list(want), name, "got:  %r\nwant: %r" % (got, want))
    tap.ok(all(a.magic == 0x81 and a.datatype == 0 for a in got), name + ": magic and data type")


def error(status):
    """The answer of a failure: its status and its text."""
    return (status, TEXTS[status], b"", b"")


FLAGS0 = struct.pack(">I", 0)
FLAGS7 = struct.pack(">I", 7)


def basics(s):
    """get and the storage opcodes."""
    check(s, "get on a miss", [packet("get", b"no")], [error(MISS)])
    check(s, "getk on a miss echoes the key", [packet("getk", b"no")], [(MISS, b"", b"no", b"")])
    check(s, "getq and getkq on a miss are silent",
          [packet("getq", b"no"), packet("getkq", b"no"), NOOP], [(OK, b"", b"", b"")])
    check(s, "set and get", [store("set", b"a", b"abc", 7), packet("get", b"a")],
          [(OK, b"", b"", b""), (OK, b"abc", b"", FLAGS7)])
    check(s, "getk, getq, getkq on a hit",
          [packet("getk", b"a"), packet("getq", b"a"), packet("getkq", b"a")],
          [(OK, b"abc", b"a", FLAGS7), (OK, b"abc", b"", FLAGS7), (OK, b"abc", b"a", FLAGS7)])
    check(s, "add", [store("add", b"b", b"1"), store("add", b"b", b"2"), packet("get", b"b")],
          [(OK, b""), error(EXISTS), (OK, b"1")])
    check(s, "replace", [store("replace", b"c", b"1"), store("set", b"c", b"1"),
                         store("replace", b"c", b"2"),
                         packet("get", b"c")], [error(MISS), (OK, b""), (OK, b""), (OK, b"2")])
    check(s, "append and prepend", [packet("append", b"d", b"1"), packet("prepend", b"d", b"1"),
                                    store("set", b"d", b"m", 7), packet("append", b"d", b">"),
                                    packet("prepend", b"d", b"<"), packet("get", b"d")],
          [error(NOT_STORED), error(NOT_STORED), (OK, b""), (OK, b""), (OK, b""),
           (OK, b"<m>", b"", FLAGS7)])
    check(s, "delete", [packet("delete", b"d"), packet("delete", b"d")],
          [(OK, b"", b"", b""), error(MISS)])
    check(s, "empty value", [store("set", b"e", b""), packet("get", b"e")],
          [(OK, b""), (OK, b"", b"", FLAGS0)])
    check(s, "largest client flags", [store("set", b"f", b"x", 0xffffffff), packet("get", b"f")],
          [(OK, b""), (OK, b"x", b"", b"\xff" * 4)])
    check(s, "key of all bytes", [store("set", bytes(range(250)), b"x"),
                                  packet("getk", bytes(range(250)))],
          [(OK, b""), (OK, b"x", bytes(range(250)))])
    check(s, "a text value is seen without its line end", [packet("get", b"txt")], [error(MISS)])
    s.once(b"set txt 7 0 3\r\nabc\r\n")
    check(s, "items are shared with text", [packet("get", b"txt")], [(OK, b"abc", b"", FLAGS7)])
    tap.is_(s.once(b"get f\r\n"), b"VALUE f 4294967295 1\r\nx\r\nEND\r\n",
            "and the other way round")
    check(s, "too large removes the old value",
          [store("set", b"a", b"x" * 1049600), packet("get", b"a")],
          [error(TOO_LARGE), error(MISS)])
    check(s, "1047552 must fit", [store("set", b"a", b"x" * 1047552), packet("get", b"a")],
          [(OK, b""), (OK, b"x" * 1047552)])
    check(s, "expiry in 1970", [store("set", b"a", b"x", 0, 2592001), packet("get", b"a")],
          [(OK, b""), error(MISS)])
    check(s, "expiry ffffffff is far ahead", [store("set", b"a", b"x", 0, 0xffffffff),
                                              packet("get", b"a")],
          [(OK, b""), (OK, b"x")])


def cas(s):
    """The cas field."""
    first = talk(s, store("set", b"k", b"1"))[0].cas
    tap.ok(first > 0, "set answers the cas number")
    tap.is_(talk(s, packet("get", b"k"))[0].cas, first, "get answers the same")
    check(s, "set with a wrong number", [store("set", b"k", b"2", cas=first + 1)], [error(EXISTS)])
    check(s, "set with a number on a miss", [store("set", b"none", b"2", cas=5)], [error(MISS)])
    check(s, "replace with a wrong number", [store("replace", b"k", b"2", cas=first + 1)],
          [error(EXISTS)])
    second = talk(s, store("set", b"k", b"2", cas=first))[0]
    tap.ok(second.status == OK and second.cas > first, "set with the right number", second)
    check(s, "append with a wrong number", [packet("append", b"k", b"2", cas=first)],
          [(EXISTS, TEXTS[EXISTS])])
    third = talk(s, packet("append", b"k", b"3", cas=second.cas))[0]
    tap.ok(third.status == OK and third.cas > second.cas, "append with the right number", third)
    check(s, "delete with a wrong number", [packet("delete", b"k", cas=first)], [error(EXISTS)])
    check(s, "delete with the right number", [packet("delete", b"k", cas=third.cas)], [(OK, b"")])
    number = talk(s, count("incr", b"n", 1, 5))[0]
    check(s, "incr with a wrong number", [count("incr", b"n", 1, cas=number.cas + 1)],
          [error(EXISTS)])
    check(s, "incr with the right number", [count("incr", b"n", 1, cas=number.cas)],
          [(OK, struct.pack(">Q", 6))])


def numbers(s):
    """incr and decr."""
    def n(value):
        return (OK, struct.pack(">Q", value), b"", b"")
    check(s, "incr creates with its initial value",
          [count("incr", b"i", 3, 10), count("incr", b"i", 3, 10), packet("get", b"i")],
          [n(10), n(13), (OK, b"13")])
    check(s, "decr creates, counts, stops at 0",
          [count("decr", b"j", 1, 5), count("decr", b"j", 2), count("decr", b"j", 9)],
          [n(5), n(3), n(0)])
    check(s, "expiry ffffffff does not create",
          [count("incr", b"z", 1, 10, NEVER), count("decr", b"z", 1, 10, NEVER)],
          [error(MISS)] * 2)
    check(s, "incr wraps", [store("set", b"i", b"18446744073709551615"), count("incr", b"i", 2)],
          [(OK, b""), n(1)])
    check(s, "incr of a word", [store("set", b"i", b"abc"), count("incr", b"i"),
                                count("decr", b"i")],
          [(OK, b"")] + [error(NON_NUMERIC)] * 2)
    check(s, "initial 2^64-1", [count("incr", b"big", 1, 2**64 - 1), packet("get", b"big")],
          [n(2**64 - 1), (OK, b"18446744073709551615")])


def touches(s):
    """touch, gat, gatk, gatq, gatkq."""
    check(s, "touch", [store("set", b"t", b"x", 7), touch("touch", b"t", 100),
                       touch("touch", b"no", 100)],
          [(OK, b""), (OK, b"", b"", FLAGS7), error(MISS)])
    check(s, "gat", [touch("gat", b"t", 100), touch("gat", b"no", 100)],
          [(OK, b"x", b"", FLAGS7), error(MISS)])
    check(s, "gatk", [touch("gatk", b"t", 100), touch("gatk", b"no", 100)],
          [(OK, b"x", b"t", FLAGS7), (MISS, b"", b"no")])
    check(s, "gatq and gatkq", [touch("gatq", b"t", 100), touch("gatkq", b"t", 100),
                                touch("gatq", b"no", 1),
                                touch("gatkq", b"no", 1), NOOP],
          [(OK, b"x"), (OK, b"x", b"t"), (OK, b"")])
    check(s, "gat in the past still answers", [touch("gat", b"t", 2592001), packet("get", b"t")],
          [(OK, b"x"), error(MISS)])


def quiet(s):
    """Quiet mutations hide success only."""
    check(s, "quiet successes say nothing",
          [store("setq", b"q", b"1"), store("addq", b"q2", b"1"), store("replaceq", b"q", b"2"),
           packet("appendq", b"q", b"3"), packet("prependq", b"q", b"1"), count("incrq", b"q", 1),
           count("decrq", b"q", 2), packet("get", b"q"), packet("deleteq", b"q"), packet("flushq"),
           NOOP],
          [(OK, b"122"), (OK, b"")])
    got = talk(s, store("set", b"q", b"x"), store("addq", b"q", b"1", opaque=1),
               store("replaceq", b"no", b"1", opaque=2),
               packet("appendq", b"no", b"1", opaque=3), packet("prependq", b"no", b"1", opaque=4),
               count("incrq", b"q", opaque=5),
               packet("deleteq", b"no", opaque=6), store("setq", b"q", b"1", cas=99, opaque=7),
               count("incrq", b"no", expiry=NEVER, opaque=8), NOOP)
    tap.is_([(a.opaque, a.status) for a in got[1:]],
            [(1, EXISTS), (2, MISS), (3, NOT_STORED), (4, NOT_STORED), (5, NON_NUMERIC), (6, MISS),
             (7, EXISTS), (8, MISS),
             (0xffff, OK)], "quiet failures answer, in order, before the noop")
    got = talk(s, store("setq", b"q", b"x" * 1049600, opaque=9), NOOP)
    tap.is_([(a.opaque, a.status) for a in got], [(9, TOO_LARGE), (0xffff, OK)],
            "setq that is too large")
    with s.conn() as c:
        c.send(b"".join(store("setq", b"m%d" % i, b"v%d" % i) for i in range(0, 5000, 2)) + NOOP)
        tap.is_(read(c).opaque, 0xffff, "2500 setq and a noop: one answer")
        c.send(b"".join(packet("getkq", b"m%d" % i, opaque=i) for i in range(5000)) + NOOP)
        got = []
        while not got or got[-1].op != OPCODES["noop"]:
            got.append(read(c))
        tap.ok([(a.opaque, a.key, a.value) for a in got[:-1]] ==
               [(i, b"m%d" % i, b"v%d" % i) for i in range(0, 5000, 2)],
               "5000 getkq: the hits in order")
        c.send(packet("getkq", b"m0", opaque=1) + packet("getkq", b"no")
               + packet("getk", b"m2", opaque=2))
        tap.is_([read(c).opaque, read(c).opaque], [1, 2],
                "quiet answers leave with the next loud one")


def others(s):
    """noop, version, quit, flush, stat, verbosity, sasl."""
    got = talk(s, packet("noop", opaque=0xdeadbeef))[0]
    tap.is_((got.op, got.opaque, got.status, got.bodylen), (0x0a, 0xdeadbeef, 0, 0),
            "noop echoes its opaque")
    got = talk(s, packet("version"))[0]
    tap.is_(got.value, pattern(rb"1\.6\.\d+.*"), "version")
    tap.is_(b"VERSION " + got.value + b"\r\n", s.once(b"version\r\n"),
            "the text version is the same")
    with s.conn() as c:
        c.send(packet("quit", opaque=4))
        answer = read(c)
        tap.ok(answer and answer.opaque == 4 and answer.status == OK and c.closed(),
               "quit answers and closes")
    with s.conn() as c:
        c.send(packet("quitq"))
        tap.ok(c.closed(), "quitq closes without a word")
    check(s, "sasl is off", [packet("sasl_list"), NOOP], [error(UNKNOWN), (OK, b"")])
    check(s, "unknown opcode", [packet(0x83, opaque=3), NOOP], [error(UNKNOWN), (OK, b"")])
    if REFERENCE:
        tap.skip("verbosity is unknown", OURS)
        tap.skip("unknown opcode with a body", OURS)
    else:
        check(s, "verbosity is unknown", [packet("verbosity", extras=FLAGS0), NOOP],
              [error(UNKNOWN), (OK, b"")])
        check(s, "unknown opcode with a body", [packet(0x92, b"key", b"v" * 5000, b"abcd"), NOOP],
              [error(UNKNOWN), (OK, b"")])
    stats = talk(s, packet("stat", opaque=77))
    tap.ok(all(a.opaque == 77 and a.status == OK for a in stats),
           "every stat packet has the opaque")
    tap.is_((stats[-1].key, stats[-1].value), (b"", b""), "an empty packet ends stat")
    names = [a.key for a in stats]
    tap.ok(names[0] == b"pid" and b"curr_items" in names and b"cmd_get" in names, "stat names",
           names)
    tap.is_(int(stats[0].value), s.pid, "stat pid")
    text = [line.split()[1] for line in s.once(b"stats\r\n").splitlines()[:-1]]
    tap.is_(names[:-1], text, "the names of stat are those of the text protocol, in order")
    settings = talk(s, packet("stat", b"settings"))
    tap.ok(settings[0].key == b"maxbytes" and settings[-1].key == b"", "stat settings")
    for sub in (b"items", b"slabs", b"sizes"):
        tap.is_(talk(s, packet("stat", sub))[-1].bodylen, 0,
                "stat %s ends with an empty packet" % sub.decode())
    tap.is_(talk(s, packet("stat", b"reset"))[0].status, OK, "stat reset")
    for sub in (b"detail on", b"detail off"):
        tap.is_(talk(s, packet("stat", sub))[0].status, OK, "stat %s" % sub.decode())
    tap.is_(talk(s, packet("stat", b"detail dump"))[0].status, OK, "stat detail dump")
    tap.is_([a.status for a in talk(s, packet("stat", b"nonsense"), NOOP)], [MISS, OK],
            "stat of an unknown name")


def flushes(s):
    """flush with and without its extras."""
    if REFERENCE:
        tap.skip("flush", OURS)
    else:
        check(s, "flush", [store("set", b"f", b"x"), packet("flush"), packet("get", b"f")],
              [(OK, b"")] * 2 + [error(MISS)])
    tap.is_(talk(s, packet("flush", extras=struct.pack(">I", 0)))[0].status, OK,
            "flush with a time of 0")
    talk(s, store("set", b"f", b"x"))
    talk(s, packet("flush", extras=struct.pack(">I", 3)))
    start = time.monotonic()
    tap.is_(talk(s, packet("get", b"f"))[0].status, OK, "a delayed flush touches nothing now")
    while talk(s, packet("get", b"f"))[0].status == OK and time.monotonic() < start + 8:
        time.sleep(0.05)
    tap.between(time.monotonic() - start, 0.9, 4.3, "it comes after 3 s")


def closes(s, name, request, want, may_reset=False):
    """The statuses that a wrong packet answers before the connection closes.

    A server that closes with input unread resets the connection, and the answer may be lost.
    """
    with s.conn() as c:
        c.send(request)
        got = []
        while True:
            try:
                answer = read(c)
            except (ConnectionResetError, TimeoutError) as error_:
                answer = None
                if isinstance(error_, TimeoutError):
                    got.append("still open")
            if answer is None:
                break
            got.append(answer.status)
        tap.ok(got == want or (may_reset and not got), name, "got %r, want %r" % (got, want))


def wrong(s):
    """Packets that break the rules."""
    if REFERENCE:
        tap.skip("wrong magic closes", OURS)
    else:
        closes(s, "wrong magic closes", packet("noop") + packet("noop", magic=0x79),
               [OK])
    closes(s, "key of 251 bytes", packet("get", b"k" * 251), [INVALID])
    closes(s, "key of 65535 bytes", packet("get", b"k" * 65535), [INVALID], may_reset=True)
    closes(s, "get without a key", packet("get"), [INVALID])
    closes(s, "get with extras", packet("get", b"k", extras=b"1234"), [INVALID])
    closes(s, "get with a value", packet("get", b"k", b"v"), [INVALID])
    closes(s, "set without extras", packet("set", b"k", b"v"), [INVALID])
    closes(s, "set without a key", store("set", b"", b"v"), [INVALID])
    closes(s, "set with 4 bytes of extras", packet("set", b"k", b"v", b"1234"), [INVALID])
    closes(s, "incr without extras", packet("incr", b"k"), [INVALID])
    closes(s, "incr with a value", packet("incr", b"k", b"v", b"x" * 20), [INVALID])
    closes(s, "append with extras", packet("append", b"k", b"v", b"x" * 8), [INVALID])
    closes(s, "delete with extras", packet("delete", b"k", extras=b"1234"), [INVALID])
    closes(s, "noop with a key", packet("noop", b"k"), [INVALID])
    closes(s, "version with a key", packet("version", b"k"), [INVALID])
    closes(s, "quit with a key", packet("quit", b"k"), [INVALID])
    closes(s, "flush with 3 bytes of extras", packet("flush", extras=b"123"), [INVALID])
    closes(s, "touch without extras", packet("touch", b"k"), [INVALID])
    closes(s, "body shorter than key and extras", packet("get", b"key", bodylen=1), [UNKNOWN])
    closes(s, "body shorter than the extras", packet("set", b"k", b"", b"x" * 8, bodylen=4),
           [UNKNOWN])
    closes(s, "body of 2^32-1", packet("get", b"k", bodylen=0xffffffff), [INVALID])
    if REFERENCE:
        tap.skip("body of 2^30+1", NEW)
    else:
        closes(s, "body of 2^30+1", store("set", b"k", b"", bodylen=(1 << 30) + 1), [INVALID])
    with s.conn() as c:
        c.send(store("set", b"part", b"x" * 1000, bodylen=1013)[:500])
    tap.is_(talk(s, packet("get", b"part"))[0].status, MISS, "half a packet stores nothing")
    tap.is_(talk(s, NOOP)[0].status, OK, "the server lives")


def pieces(s):
    """Packets cut at every place."""
    stream = (store("set", b"p", b"hello", 7, opaque=1) + packet("getk", b"p", opaque=2)
              + store("setq", b"p", b"9")
              + count("incr", b"p", opaque=3) + packet("getq", b"none")
              + packet("delete", b"p", opaque=4)
              + packet(0x99, opaque=5) + NOOP)
    want = [(1, OK, b""), (2, OK, b"hello"), (3, OK, struct.pack(">Q", 10)), (4, OK, b""),
            (5, UNKNOWN, TEXTS[UNKNOWN]),
            (0xffff, OK, b"")]
    bad = []
    for cut in range(1, len(stream)):
        with s.conn() as c:
            c.send(stream[:cut])
            time.sleep(0.0005)
            c.send(stream[cut:])
            got = [(a.opaque, a.status, a.value) for a in answers(c.finish())]
            if got != want:
                bad.append((cut, got))
    tap.ok(not bad, "cut in two at each of %d places" % (len(stream) - 1), bad[:2])
    with s.conn() as c:
        for i in range(len(stream)):
            c.send(stream[i:i + 1])
            time.sleep(0.0003)
        tap.is_([(a.opaque, a.status, a.value) for a in answers(c.finish())], want,
                "one byte at a time")


def restricted():
    """-F, -B and large values."""
    with Server("-F") as s:
        tap.is_([a.status for a in talk(s, packet("flush"), NOOP)], [0x20, OK], "flush under -F")
        with s.conn() as c:
            tap.is_(c.stats()["cmd_flush"], "0", "which is not counted")
            c.ask(b"flush_all\r\n")
            tap.is_(c.stats()["cmd_flush"], "1", "as that of the text protocol is")
    with Server("-B", "binary") as s:
        tap.is_(talk(s, NOOP)[0].status, OK, "-B binary takes binary")
        with s.conn() as c:
            c.send(b"version\r\n" + b" " * 30)
            tap.ok(c.closed(), "and closes on text")
    with Server("-B", "ascii") as s:
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "-B ascii takes text")
        got = s.once(NOOP)
        tap.ok(not got.startswith(b"\x81"), "and does not speak binary", got)


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (basics, cas, numbers, touches, quiet, others, wrong, pieces, flushes):
            tap.guarded(function, s)
    tap.guarded(restricted)
    tap.done()


main()
