#!/usr/bin/python3
"""lru_crawler: expired items are swept on request, and the keys can be listed."""

import base64
import os
import re
import socket
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import (DEADLINE, NEW, REFERENCE, Conn, Server, pattern, program_exists,  # noqa: E402
                    rows, wait_until)

FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BAD_CLASS = b"BADCLASS invalid class id\r\n"
MISSING = pattern(rb"(CLIENT_ERROR bad command line format|ERROR)\r\n")
STARTED = b"" if REFERENCE else b"OK\r\n"  # what stands before the first line since 1.6.43
LINE = re.compile(r"key=(?P<key>\S+) exp=(?P<exp>-1|\d+) la=(?P<la>\d+) cas=(?P<cas>\d+) "
                  r"fetch=(?P<fetch>yes|no) cls=(?P<cls>\d+) size=(?P<size>\d+)"
                  + (r"\n" if REFERENCE else r" flags=(?P<flags>\d+) \n"))
# memcached's lists of items move while it walks along them; without this thread they rest.
STILL = ("-o", "no_lru_maintainer") if REFERENCE else ()
MANY = 50000


def answers(s):
    """What each sub-command says."""
    rows(s, [
        ("bare lru_crawler", b"lru_crawler\r\n", MISSING),
        ("an unknown word", b"lru_crawler nonsense\r\nlru_crawler nonsense 1\r\nmn\r\n",
         pattern(rb"((CLIENT_ERROR [a-z ]+|ERROR)\r\n){2}MN\r\n")),
        ("enable although it is on", b"lru_crawler enable\r\n",
         b"ERROR failed to start lru crawler thread\r\n"),
        ("crawl without a class", b"lru_crawler crawl\r\n", MISSING),
        ("crawl of class 0", b"lru_crawler crawl 0\r\n", BAD_CLASS),
        ("crawl of class 64", b"lru_crawler crawl 64\r\n", BAD_CLASS),
        ("crawl of a word", b"lru_crawler crawl abc\r\n", BAD_CLASS),
        ("crawl of a good class and a bad one", b"lru_crawler crawl 1,99\r\n", BAD_CLASS),
        ("sleep without a number", b"lru_crawler sleep\r\n", MISSING),
        ("sleep of a word", b"lru_crawler sleep abc\r\n", FORMAT),
        ("negative sleep", b"lru_crawler sleep -1\r\n", FORMAT),
        ("sleep over a second", b"lru_crawler sleep 1000001\r\n",
         b"CLIENT_ERROR sleep must be one second or less\r\n"),
        ("sleep", b"lru_crawler sleep 1000\r\n", b"OK\r\n"),
        ("tocrawl without a number", b"lru_crawler tocrawl\r\n", MISSING),
        ("tocrawl of a word", b"lru_crawler tocrawl abc\r\n", FORMAT),
        ("tocrawl", b"lru_crawler tocrawl 77\r\n", b"OK\r\n"),
        ("metadump without a class", b"lru_crawler metadump\r\n", MISSING),
        ("metadump of class 0", b"lru_crawler metadump 0\r\n", BAD_CLASS),
        ("metadump of class 99", b"lru_crawler metadump 99\r\n", BAD_CLASS),
        ("metadump of a word", b"lru_crawler metadump abc\r\n", BAD_CLASS),
        ("mgdump of class 99", b"lru_crawler mgdump 99\r\n", BAD_CLASS, NEW),
        ("an empty cache", b"lru_crawler metadump hash\r\n", STARTED + b"END\r\n"),
        ("an empty cache, mgdump", b"lru_crawler mgdump hash\r\n", b"OK\r\nEN\r\n", NEW),
    ])
    with s.conn() as c:
        shown = c.stats(b"settings")
        tap.is_((shown["lru_crawler_sleep"], shown["lru_crawler_tocrawl"]), ("1000", "77"),
                "stats settings shows sleep and tocrawl")
    s.once(b"lru_crawler sleep 0\r\nlru_crawler tocrawl 0\r\n")


def pipelines(s):
    """A dump hands the connection over: nothing may stand before it, much may follow."""
    refused = rb"ERROR cannot pipeline other commands before (metadump|mgdump)\r\n"
    with s.conn() as c:
        c.set(b"pipe", b"x")
    rows(s, [
        ("metadump behind version", b"version\r\nlru_crawler metadump all\r\nmn\r\n",
         pattern(rb"VERSION [^\r]+\r\n" + refused + rb"MN\r\n")),
        ("metadump behind a set", b"set p 0 0 1\r\nx\r\nlru_crawler metadump all\r\nmn\r\n",
         pattern(rb"STORED\r\n" + refused + rb"MN\r\n")),
        ("mgdump behind a set", b"set p 0 0 1\r\nx\r\nlru_crawler mgdump all\r\nmn\r\n",
         pattern(rb"STORED\r\n" + refused + rb"MN\r\n"), NEW),
        ("what is pipelined behind a dump is answered behind it",
         b"lru_crawler metadump hash\r\nget pipe\r\nmn\r\n",
         pattern(STARTED + rb"(key=[^\n]+\n)+END\r\nVALUE pipe 0 1\r\nx\r\nEND\r\nMN\r\n")),
        ("what is pipelined behind an mgdump", b"lru_crawler mgdump hash\r\nget pipe\r\nmn\r\n",
         pattern(rb"OK\r\n(mg \S+\r\n)+EN\r\nVALUE pipe 0 1\r\nx\r\nEND\r\nMN\r\n"), NEW),
    ])
    with s.conn() as c:
        for _ in range(3):
            got = c.ask(b"lru_crawler metadump all\r\n", b"END\r\n")
            tap.ok(got.endswith(b"END\r\n") and b"key=pipe " in got, "one dump after another", got)
        tap.is_(c.get(b"pipe"), b"x", "and the connection goes on")


def disabled():
    """The crawler can be turned off and on."""
    with Server("-o", "no_lru_crawler") as s, s.conn() as c:
        off = b"CLIENT_ERROR lru crawler disabled\r\n"
        tap.is_(c.ask(b"lru_crawler crawl all\r\n"), off, "crawl while it is off")
        tap.is_(c.ask(b"lru_crawler metadump all\r\n"), off, "metadump while it is off")
        if REFERENCE:
            tap.skip("mgdump while it is off", NEW)
        else:
            tap.is_(c.ask(b"lru_crawler mgdump all\r\n"), off, "mgdump while it is off")
        tap.is_(c.stats(b"settings")["lru_crawler"], "no", "stats settings says so")
        tap.is_(c.ask(b"lru_crawler enable\r\n"), b"OK\r\n", "enable")
        tap.is_(c.stats(b"settings")["lru_crawler"], "yes", "stats settings follows")
        tap.is_(c.ask(b"lru_crawler enable\r\n"), b"ERROR failed to start lru crawler thread\r\n",
                "enable twice")
        c.set(b"a", b"x")
        tap.is_(c.ask(b"lru_crawler crawl all\r\n"), b"OK\r\n", "now it crawls")
        tap.is_(c.ask(b"lru_crawler disable\r\n"), b"OK\r\n", "disable")
        tap.is_(c.ask(b"lru_crawler disable\r\n"),
                pattern(rb"(OK|ERROR failed to stop lru crawler thread)\r\n"), "disable twice")
        if REFERENCE:  # its thread may not have heard yet
            off = pattern(rb"(CLIENT_ERROR lru crawler disabled|ERROR an unknown error happened)"
                          rb"\r\n")
        tap.is_(c.ask(b"lru_crawler crawl all\r\n"), off, "and it is off again")


def forbidden():
    """-X."""
    with Server("-X") as s:
        rows(s, [
            ("-X metadump", b"lru_crawler metadump all\r\nmn\r\n",
             b"ERROR metadump not allowed\r\nMN\r\n"),
            ("-X mgdump", b"lru_crawler mgdump all\r\nmn\r\n",
             b"ERROR key dump not allowed\r\nMN\r\n", NEW),
            ("-X crawl is allowed", b"lru_crawler crawl all\r\n",
             pattern(rb"(OK|NOTSTARTED no items to crawl)\r\n")),
        ])


def crawls():
    """crawl takes expired items away that nobody asks for."""
    with Server(*STILL) as s, s.conn() as c:
        for i in range(1000):
            c.send(b"set over%d 0 2 10 noreply\r\n0123456789\r\n" % i)
        for i in range(10):
            c.send(b"set here%d 0 500 10 noreply\r\n0123456789\r\n" % i)
        c.send(b"set probe 0 2 1\r\nx\r\n")
        c.line()
        wait_until(lambda: c.get(b"probe") is None)  # it is the last one to expire
        starts = int(c.stats()["lru_crawler_starts"])
        said = set()

        def swept():  # asked again, since one pass may come in the second they expire in
            said.add(c.ask(b"lru_crawler crawl all\r\n"))
            return c.stats()["curr_items"] == "10"
        tap.ok(wait_until(swept), "crawl all: expired items are gone", c.stats()["curr_items"])
        tap.ok(b"OK\r\n" in said
               and said <= {b"OK\r\n", b"BUSY currently processing crawler request\r\n"},
               "and it says OK", said)
        stats = c.stats()
        tap.is_(stats["crawler_reclaimed"], "1000", "crawler_reclaimed counts them")
        tap.ok(int(stats["crawler_items_checked"]) >= 1000, "crawler_items_checked",
               stats["crawler_items_checked"])
        tap.ok(int(stats["lru_crawler_starts"]) > starts, "lru_crawler_starts",
               stats["lru_crawler_starts"])
        tap.is_(stats["expired_unfetched"], "1000", "expired_unfetched: nobody had asked for them")
        cls = re.search(rb" cls=(\d+) ", c.ask(b"me here0\r\n")).group(1)
        tap.is_(c.ask(b"lru_crawler crawl %s\r\n" % cls), pattern(rb"(OK|BUSY [a-z ]+)\r\n"),
                "crawl of one class")


def dump(c, what, key=b"metadump"):
    """The lines of a dump, without its first and last one."""
    end = b"END\r\n" if key == b"metadump" else b"EN\r\n"
    got = c.ask(b"lru_crawler %s %s\r\n" % (key, what), end)
    begin = STARTED if key == b"metadump" else b"OK\r\n"
    if not got.startswith(begin) or not got.endswith(end):
        raise ValueError("%s %s: %r ... %r" % (key, what, got[:100], got[-100:]))
    return got[len(begin):-len(end)]


def metadump():
    """A line says what the item is."""
    with Server(*STILL) as s, s.conn() as c:
        now = time.time()
        c.send(b"set plain 7 0 3 noreply\r\nabc\r\nset timed 0 100 5 noreply\r\nabcde\r\n"
               b"set over 0 -1 1 noreply\r\nx\r\nset \x01%\xff\"= 0 0 1 noreply\r\nx\r\n"
               b"ms YSBi 1 b q\r\nx\r\nmn\r\n")
        c.line()
        c.ask(b"get timed\r\n", b"END\r\n")
        cas = c.ask(b"gets plain\r\n", b"END\r\n").split()[4]
        c.send(b"set plain 7 0 3 noreply\r\nabc\r\n")  # so that it was not fetched
        cas = c.ask(b"mg plain c u\r\n").split()[1][1:]
        me = c.ask(b"me plain\r\n").split()
        lines = dump(c, b"hash").decode().splitlines(True)
        items = {m["key"]: m.groupdict() for m in map(LINE.fullmatch, lines) if m}
        tap.is_(len(items), len(lines), "every line has its form")
        tap.is_(sorted(items), sorted(["plain", "timed", "%01%25%FF%22%3D", "a%20b"]),
                "every live key, URI-encoded, and no expired one")
        plain, timed = items["plain"], items["timed"]
        tap.is_((plain["exp"], plain["fetch"], plain["cas"].encode()), ("-1", "no", cas),
                "exp, fetch and cas")
        tap.is_((b"cls=" + plain["cls"].encode(), b"size=" + plain["size"].encode()),
                (me[-2], me[-1]), "cls and size are those of me")
        tap.ok(int(plain["size"]) > 8, "size counts the header too", plain)
        tap.between(int(timed["exp"]), now + 96, now + 104, "exp is a unix time")
        tap.is_(timed["fetch"], "yes", "a fetched item")
        tap.between(int(plain["la"]), now - 4, time.time() + 4, "la is a unix time")
        if not REFERENCE:
            tap.is_((plain["flags"], timed["flags"]), ("7", "0"), "flags")
        cls = plain["cls"].encode()
        tap.ok(b"key=plain " in dump(c, cls), "one class")
        tap.is_(dump(c, cls + b"," + cls).count(b"key=plain "), 1, "a class that is named twice")
        tap.is_(dump(c, b"63"), b"", "a class without items")
        c.ask(b"flush_all\r\n")
        tap.is_(dump(c, b"hash"), b"", "nothing after a flush")


def mgdump():
    """Lines that can be sent back as commands."""
    if REFERENCE:
        tap.skip("mgdump", NEW)
        return
    with Server() as s, s.conn() as c:
        raw = b"a b\r\n\0"
        c.send(b"set plain 0 0 1\r\nx\r\nset over 0 -1 1\r\nx\r\nms %s 1 b\r\nx\r\n"
               % base64.b64encode(raw))
        for _ in range(3):
            c.line()
        for what in (b"hash", b"all"):
            lines = dump(c, what, b"mgdump").splitlines(True)
            tap.is_(sorted(lines), sorted([b"mg plain\r\n",
                                           b"mg %s b\r\n" % base64.b64encode(raw)]),
                    "mgdump %s: text keys and base64 keys" % what.decode())
        tap.is_(s.once(b"".join(line.replace(b"\r\n", b" v\r\n") for line in lines)),
                b"VA 1\r\nx\r\n" * 2, "its lines are commands")


def fill(c, count, size=10):
    """count items of a growing key."""
    for i in range(count):
        c.send(b"set key:%d 0 0 %d noreply\r\n%s\r\n" % (i, size, b"v" * size))
    c.ask(b"mn\r\n")


def complete(got, name):
    """Every key once."""
    keys = re.findall(rb"^(?:key=|mg )(\S+)", got, re.M)
    keys = [urllib.parse.unquote_to_bytes(key) for key in keys]
    want = {b"key:%d" % i for i in range(MANY)}
    tap.ok(len(keys) == MANY and set(keys) == want, "%s: each of %d keys once" % (name, MANY),
           "%d lines, %d keys, %d missing" % (len(keys), len(set(keys)), len(want - set(keys))))


def many():
    """A large cache: complete, and the others are served meanwhile."""
    with Server("-m", "64", *STILL) as s, s.conn() as c, s.conn() as other:
        fill(c, MANY)
        for what in (b"hash", b"all"):
            complete(dump(c, what), "metadump " + what.decode())
            if REFERENCE:
                tap.skip("mgdump " + what.decode(), NEW)
            else:
                complete(dump(c, what, b"mgdump"), "mgdump " + what.decode())
        c.send(b"lru_crawler metadump all\r\n")
        longest = 0
        for i in range(200):
            start = time.monotonic()
            other.set(b"key:%d" % i, b"new")
            longest = max(longest, time.monotonic() - start)
        c.until(b"END\r\n")
        tap.ok(longest < 1, "others are served meanwhile", longest)


def readers():
    """Readers that are slow, stand still or vanish."""
    def connect(s):
        sock = socket.socket()
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", s.port))
        return Conn(sock)
    with Server("-m", "64", *STILL) as s, s.conn() as c:
        fill(c, MANY)
        with connect(s) as slow:
            slow.send(b"lru_crawler metadump hash\r\n")
            parts = []
            while not parts or not (parts[-2:] and b"".join(parts[-2:]).endswith(b"END\r\n")):
                parts.append(slow.sock.recv(8192))
                if len(parts) % 50 == 0:
                    time.sleep(0.05)
                if not parts[-1]:
                    break
            complete(b"".join(parts), "a slow reader")
            tap.is_(slow.ask(b"mn\r\n"), b"MN\r\n", "its connection goes on")
        for _ in range(5):
            gone = connect(s)
            gone.send(b"lru_crawler metadump all\r\n")
            gone.sock.recv(100)
            gone.close()
        free = re.compile(rb"OK\r\n|key=[^\n]+\n|END\r\n")

        def works():
            with s.conn() as again:
                again.send(b"lru_crawler metadump hash\r\n")
                return free.fullmatch(again.line()) and again.until(b"END\r\n")
        tap.ok(wait_until(works), "readers that vanish free the crawler")
        if REFERENCE:
            tap.skip("a reader that stands still", NEW)
            return
        with connect(s) as still:
            still.send(b"lru_crawler metadump hash\r\n")
            time.sleep(0.2)
            start = time.monotonic()
            tap.is_(c.set(b"key:1", b"new"), b"STORED\r\n",
                    "others write while a reader stands still")
            with s.conn() as second:
                second.send(b"lru_crawler metadump hash\r\n")
                tap.is_(second.line(),
                        pattern(rb"OK\r\n|BUSY currently processing crawler request\r\n|"
                                rb"ERROR locked try again later\r\n"), "a second dump is answered")
            tap.ok(time.monotonic() - start < 2, "at once", time.monotonic() - start)
            time.sleep(2.5)
            got = still.until(b"END\r\n")
            if got.endswith(b"END\r\n"):
                complete(got, "a reader that stood still")
            else:
                tap.ok(wait_until(works), "one that is dropped frees the crawler")
        tap.ok(wait_until(works), "and the crawler lives")


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (answers, pipelines):
            tap.guarded(function, s)
    for function in (disabled, forbidden, crawls, metadump, mgdump, many, readers):
        tap.guarded(function)
    tap.done()


main()
