#!/usr/bin/python3
"""watch: the log lines of every stream, and that no watcher can hurt the others."""

import os
import re
import signal
import socket
import struct
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from packets import packet, read, store  # noqa: E402
from server import (DEADLINE, NEW, REFERENCE, Conn, Server, pattern, program_exists,  # noqa: E402
                    rows, wait_until)

HEAD = r"ts=\d+\.\d{1,6} gid=(?P<gid>\d+) type="
FETCH = re.compile(HEAD + r"item_get key=(?P<key>\S+) status=(?P<status>not_found|found|flushed|"
                   r"expired) clsid=(?P<clsid>\d+) cfd=(?P<cfd>\d+) size=(?P<size>\d+)\n")
STORE = re.compile(HEAD + r"item_store key=(?P<key>\S+) status=(?P<status>not_stored|stored|exists|"
                   r"not_found|too_large|no_memory) cmd=(?P<cmd>add|set|replace|append|prepend|cas)"
                   r" ttl=(?P<ttl>-?\d+) clsid=(?P<clsid>\d+) cfd=(?P<cfd>%s) size=(?P<size>\d+)\n"
                   % (r"-?\d+" if REFERENCE else r"\d+"))  # 1.6.18: garbage if too large
EVICTION = re.compile(HEAD + r"eviction key=(?P<key>\S+) fetch=(?P<fetch>yes|no) ttl=(?P<ttl>-?\d+)"
                      r" la=(?P<la>\d+) clsid=(?P<clsid>\d+) size=(?P<size>\d+)\n")
DELETED = re.compile(HEAD + r"deleted key=(?P<key>\S+) cmd=(?P<cmd>delete|md) clsid=(?P<clsid>\d+)"
                     r" size=(?P<size>\d+)\n")
NEW_CONN = re.compile(HEAD + r"conn_new rip=(?P<rip>\S+) rport=(?P<rport>\d+) "
                      r"transport=(?P<transport>local|tcp|udp) cfd=(?P<cfd>\d+)\n")
CLOSED = re.compile(HEAD + r"conn_close rip=(?P<rip>\S+) rport=(?P<rport>\d+) "
                    r"transport=(?P<transport>local|tcp|udp) reason=(?P<reason>error|normal|"
                    r"idle_timeout|shutdown) cfd=(?P<cfd>\d+)\n")
MOVE = re.compile(HEAD + r"slab_move src=(?P<src>-?\d+) dst=(?P<dst>\d+)( state=(?P<state>\S+))?\n")
CRAWL = re.compile(HEAD + r"lru_crawler crawler=(?P<class>\d+) lru=\S+ low_mark=\d+ "
                   r"next_reclaims=\d+ since_run=\d+ next_run=-?\d+ elapsed=\d+ examined=(?P<examined>\d+) "
                   r"reclaimed=(?P<reclaimed>\d+)\n")
FAILED = re.compile(HEAD + r"connerr fd=(?P<cfd>\d+) msg=(?P<message>[^\n]+)\n")


class Watcher(Conn):
    """A connection that watches: its lines, taken apart by the patterns above."""

    def __init__(self, server, words=b"", buffer=None):
        if buffer is None:
            sock = server.socket()
        else:  # the window must be small before the connection is made
            sock = socket.socket()
            sock.settimeout(DEADLINE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.connect(("127.0.0.1", server.port))
        super().__init__(sock)
        self.answer = self.ask(b"watch%s\r\n" % words)

    def next(self, *patterns):
        """The next line that one of the patterns matches: its groups."""
        while True:
            line = self.line().decode("ascii")
            if not line:
                raise EOFError("the watcher was closed")
            for want in patterns:
                match = want.fullmatch(line)
                if match:
                    return match.groupdict()

    def until_key(self, key, *patterns):
        """Every line up to that of key, without it; a line that nothing matches raises."""
        found = []
        while True:
            line = self.line().decode("ascii")
            matches = [m for m in (want.fullmatch(line) for want in patterns) if m]
            if not matches:
                raise ValueError("a line of another form: %r" % line)
            if matches[0]["key"] == key:
                return found
            found.append(matches[0].groupdict())


def picked(lines, *names):
    """Some groups of every line, as one string each."""
    return [" ".join(line[name] for name in names) for line in lines]


COMMANDS = (b"set a 5 0 1\r\nx\r\n", b"get a b\r\n", b"add a 0 0 1\r\nx\r\n",
            b"replace no 0 0 1\r\nx\r\n", b"append a 0 0 1\r\nx\r\n",
            b"prepend a 0 0 1\r\nx\r\n", b"cas a 0 0 1 999\r\nx\r\n",
            b"cas no 0 0 1 1\r\nx\r\n", b"set n 0 0 1\r\n1\r\n", b"incr n 1\r\n",
            b"touch n 100\r\n", b"gat 100 n\r\n", b"mg a v\r\n", b"ms m 2 T90\r\nxx\r\n",
            b"md m\r\n", b"ma n\r\n", b"delete a\r\n", b"set exp 0 -1 1\r\nx\r\n",
            b"get exp\r\n", b"get a\r\n")
LOOKED_UP = """a not_found 0;a found 1;b not_found 0;a found 1;no not_found 0;a found 1;a found 2;
a found 3;no not_found 0;n not_found 0;n found 1;n found 1;n found 1;a found 3;m not_found 0;
m found 2;n found 1;a found 3;exp not_found 0;exp expired 0;a not_found 0"""
STORED = """a stored set 1;a not_stored add 1;no not_stored replace 1;a stored append 2;
a stored prepend 3;a exists cas 1;no not_found cas 1;n stored set 1;m stored set 2;
exp stored set 1"""


def list_of(text):
    """The strings between the semicolons."""
    return text.replace("\n", "").split(";")


def fetchers():
    """Each look-up is one line; a bare watch means these."""
    for words in (b"", b" fetchers"):
        name = "watch" + words.decode()
        with Server() as s, Watcher(s, words) as w, s.conn() as c:
            tap.is_(w.answer, b"OK\r\n", "%s answers OK" % name)
            c.send(b"".join(COMMANDS) + b"get last\r\n")
            lines = w.until_key("last", FETCH)
            tap.is_(picked(lines, "key", "status", "size"), list_of(LOOKED_UP),
                    "%s: every look-up and its result" % name)
            tap.is_(len({line["cfd"] for line in lines}), 1, "one client is one cfd")
            with s.conn() as other:
                conns = other.stats(b"conns")
            tap.ok(lines[0]["cfd"] + ":addr" in conns, "which stats conns lists too",
                   (lines[0]["cfd"], conns))
            gids = [int(line["gid"]) for line in lines]
            tap.ok(gids == sorted(set(gids)), "the gids of one client rise", gids)
            hits = [line for line in lines if line["status"] == "found"]
            tap.ok(all(int(line["clsid"]) > 0 for line in hits), "a hit names its class")


def mutations():
    """Each store is one line, also when nothing was stored."""
    with Server() as s, Watcher(s, b" mutations") as w, s.conn() as c:
        tap.is_(w.answer, b"OK\r\n", "watch mutations answers OK")
        c.send(b"".join(COMMANDS) + b"set last 0 0 1\r\nx\r\n")
        lines = w.until_key("last", STORE)
        tap.is_(picked(lines, "key", "status", "cmd", "size"), list_of(STORED),
                "every store and its result")
        ttl = {line["key"]: line["ttl"] for line in lines}
        tap.ok(ttl["a"] == "0" and ttl["m"] in ("90", "89"), "ttl in seconds, 0 for none", ttl)
        large = b"v" * 1100000
        c.send(b"set big 0 0 %d\r\n%s\r\nset last 0 0 1\r\nx\r\n" % (len(large), large))
        tap.is_(picked(w.until_key("last", STORE), "key", "status", "cmd"),
                ["big too_large set"], "too large is a line")
        with s.conn() as b:
            b.send(store("set", b"bin", b"12345") + packet("noop"))
            read(b)
        line = w.next(STORE)
        tap.is_((line["key"], line["status"], line["cmd"], line["size"]),
                ("bin", "stored", "set", "5"), "the binary protocol is watched too")


def keys(s):
    """Keys are URI-encoded, so a line never has a blank or a control byte too many."""
    with Watcher(s, b" fetchers") as w, s.conn() as c:
        c.send(b"get A-z_0.9~ \x01%\xff\"=/ " + b"#" * 250 + b"\r\nmg YSBi b\r\n")
        names = [w.next(FETCH)["key"] for _ in range(4)]
        tap.is_(names, ["A-z_0.9~", "%01%25%FF%22%3D%2F", "%23" * 250, "a%20b"],
                "only letters, digits and - _ . ~ stand for themselves")


def deletions(s):
    """delete and md; a miss is no line."""
    if REFERENCE:
        tap.skip("watch deletions", NEW)
        return
    with Watcher(s, b" deletions") as w, s.conn() as c:
        tap.is_(w.answer, b"OK\r\n", "watch deletions answers OK")
        c.send(b"set d 0 0 3\r\nabc\r\ndelete d\r\ndelete d\r\nms d 4\r\nabcd\r\nmd d\r\nmd d\r\n"
               b"set last 0 0 1\r\nx\r\ndelete last\r\n")
        lines = w.until_key("last", DELETED)
        tap.is_(picked(lines, "key", "cmd", "size"), ["d delete 3", "d md 4"],
                "one line for each item that was deleted")


def evictions():
    """Each item that leaves for want of memory is one line."""
    with Server("-m", "8") as s, Watcher(s, b" evictions") as w, \
            s.conn() as c:
        tap.is_(w.answer, b"OK\r\n", "watch evictions answers OK")
        before = int(c.stats()["evictions"])
        for i in range(4000):
            c.send(b"set e%d 0 500 4000 noreply\r\n%s\r\n" % (i, b"v" * 4000))
        c.ask(b"mn\r\n")
        evicted = int(c.stats()["evictions"]) - before
        tap.ok(evicted > 500, "items are evicted", evicted)
        lines = [w.next(EVICTION) for _ in range(100)]
        tap.ok(all(re.fullmatch(r"e\d+", line["key"]) for line in lines), "eviction lines",
               lines[:3])
        tap.ok(all(line["fetch"] == "no" and line["size"] == "4000"
                   and 480 <= int(line["ttl"]) <= 500 and int(line["la"]) < 20 for line in lines),
               "with what the item was: fetched, time left, age, size", lines[:3])
        gone = [line["key"].encode() for line in lines]
        tap.is_(c.ask(b"get %s\r\n" % b" ".join(gone), b"END\r\n"), b"END\r\n",
                "what a line names is gone")


def connevents():
    """Connections that come and go, and why they go."""
    with Server("-o", "idle_timeout=2") as s, Watcher(s, b" connevents") as w:
        tap.is_(w.answer, b"OK\r\n", "watch connevents answers OK")

        def opened():
            sock = s.socket()
            port = str(sock.getsockname()[1])
            line = w.next(NEW_CONN)
            while line["rport"] != port:
                line = w.next(NEW_CONN)
            return sock, port, line

        def closed(port):
            line = w.next(CLOSED)
            while line["rport"] != port:
                line = w.next(CLOSED)
            return line

        sock, port, line = opened()
        tap.is_((line["rip"], line["transport"]), ("127.0.0.1", "tcp"), "where it comes from")
        sock.sendall(b"quit\r\n")
        end = closed(port)
        tap.is_((end["reason"], end["cfd"]), ("normal", line["cfd"]), "quit is a normal end")
        sock.close()
        sock, port, _ = opened()
        sock.sendall(b"version\r\n")
        sock.recv(100)
        sock.close()
        tap.ok(closed(port)["reason"] in ("normal", "error"), "a client that closes")
        sock, port, _ = opened()
        sock.sendall(b"x" * 3000)
        tap.is_(closed(port)["reason"], "error", "a line without an end is an error")
        sock.close()
        if not REFERENCE:  # 1.6.18 does not know these lines
            sock, port, line = opened()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            failed = w.next(FAILED)
            tap.is_((failed["cfd"], failed["message"]), (line["cfd"], "Connection reset by peer"),
                    "a socket that fails says why")
            tap.is_(closed(port)["reason"], "error", "and ends in an error")
        sock, port, _ = opened()
        tap.is_(closed(port)["reason"], "idle_timeout", "idle_timeout has a reason of its own")
        sock.close()
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    path = os.path.join(folder, "socket")
    with Server("-s", path, tcp=False, unix=path) as s, Watcher(s, b" connevents") as w:
        with s.conn() as c:
            c.ask(b"version\r\n")
            tap.is_(w.next(NEW_CONN)["transport"], "local", "a Unix socket is local")
    if os.path.exists(path):
        os.unlink(path)
    os.rmdir(folder)


def sysevents():
    """Pages that move between classes."""
    if REFERENCE:
        tap.skip("a page that moves is a line", NEW)
        return
    with Server("-m", "64", "-f", "1.25") as s, Watcher(s, b" sysevents") as w, s.conn() as c:
        tap.is_(w.answer, b"OK\r\n", "watch sysevents answers OK")
        for i in range(3000):
            c.send(b"set s%d 0 0 1000 noreply\r\n%s\r\n" % (i, b"v" * 1000))
        c.send(b"set other 0 0 3000\r\n%s\r\n" % (b"v" * 3000))
        c.line()
        pages = {name.split(":")[0]: int(n) for name, n in c.stats(b"slabs").items()
                 if name.endswith(":total_pages")}
        source = max(pages, key=pages.get)
        target = [name for name in pages if name != source][0]
        answer = c.ask(b"slabs reassign %s %s\r\n" % (source.encode(), target.encode()))
        if answer == b"ERROR\r\n":
            tap.skip("a page that moves is a line", "the server has no slabs reassign")
            return
        tap.is_(answer, b"OK\r\n", "a page is sent away")
        line = w.next(MOVE)
        tap.is_((line["src"], line["dst"], line["state"]), (source, target, "ok"),
                "a page that moves is a line")
        c.ask(b"set gone 0 -1 1\r\nx\r\n")
        tap.is_(c.ask(b"lru_crawler crawl 1\r\n"), b"OK\r\n", "a walk is asked for")
        line = w.next(CRAWL)
        tap.is_((line["class"], int(line["reclaimed"])), ("1", 1), "and is a line when it is done")


def streams(s):
    """Several streams for one watcher, several watchers of one stream, wrong words."""
    rows(s, [
        ("an unknown stream", b"watch nonsense\r\nmn\r\n", b"ERROR\r\nMN\r\n"),
        ("an unknown stream among others", b"watch fetchers nonsense\r\nmn\r\n",
         b"ERROR\r\nMN\r\n"),
        ("pipelined behind another command", b"version\r\nwatch\r\n",
         pattern(rb"VERSION [^\r]+\r\nERROR cannot pipeline other commands before watch\r\n")),
        ("pipelined behind a set", b"set a 0 0 1\r\nx\r\nwatch mutations\r\nmn\r\n",
         b"STORED\r\nERROR cannot pipeline other commands before watch\r\nMN\r\n"),
    ])
    with Watcher(s, b" fetchers mutations") as both, Watcher(s, b" mutations") as one, \
            s.conn() as c:
        c.send(b"delete both\r\nset both 0 0 1\r\nx\r\nset last 0 0 1\r\nx\r\nget end\r\n")
        lines = both.until_key("end", FETCH, STORE)
        kinds = ["store" if "cmd" in line else "get" for line in lines if line["key"] == "both"]
        tap.is_(kinds, ["get", "get", "store"], "two streams in one watcher")
        tap.is_(picked(one.until_key("last", STORE), "key"), ["both"], "a second watcher beside it")
        both.send(b"get a\r\nversion\r\nquit\r\n")
        c.send(b"get again\r\n")
        tap.is_(both.until_key("again", FETCH, STORE), [], "what a watcher sends is not answered")
    with Watcher(s, b" connevents fetchers mutations evictions rawcmds sysevents") as w:
        tap.is_(w.answer, b"OK\r\n", "all streams at once")


def rawcmds(s):
    """What clients say, one line for each command."""
    with Watcher(s, b" rawcmds") as w, s.conn() as c:
        tap.is_(w.answer, b"OK\r\n", "watch rawcmds answers OK")
        if REFERENCE:
            tap.skip("the lines of commands", "memcached knows the stream and is silent")
            return
        c.send(b"get a b\r\nset a 0 0 3\r\nxyz\r\nmg a v\r\nnonsense\r\n")
        want = ["get a b", "set a 0 0 3", "mg a v", "nonsense"]
        raw = re.compile(r"ts=\d+\.\d{1,6} gid=\d+ <\d+ (?P<said>[^\n]*)\n")
        tap.is_([w.next(raw)["said"] for _ in want], want, "the lines of commands, without data")


def refused():
    """-W."""
    with Server("-W") as s:
        rows(s, [("-W", b"watch\r\nmn\r\n", b"CLIENT_ERROR watch commands not allowed\r\nMN\r\n"),
                 ("-W with a stream", b"watch mutations\r\n",
                  b"CLIENT_ERROR watch commands not allowed\r\n")])


def watchers_of(c):
    """log_watchers of stats."""
    return int(c.stats()["log_watchers"])


def limit():
    """20 watchers, not one more; one that leaves makes room."""
    with Server() as s, s.conn() as c:
        all_of = [Watcher(s, b" mutations") for _ in range(20)]
        tap.is_({w.answer for w in all_of}, {b"OK\r\n"}, "20 watchers")
        tap.ok(wait_until(lambda: watchers_of(c) == 20), "log_watchers counts them", watchers_of(c))
        with s.conn() as late:
            tap.is_(late.ask(b"watch\r\n"), b"WATCHER_TOO_MANY log watcher limit reached\r\n",
                    "the 21st is refused")
            tap.is_(late.ask(b"mn\r\n"), b"MN\r\n", "and its connection goes on")
        all_of[7].close()
        tap.ok(wait_until(lambda: watchers_of(c) == 19), "one that vanishes is noticed",
               watchers_of(c))
        with Watcher(s, b" mutations") as w:
            tap.is_(w.answer, b"OK\r\n", "its place is free again")
            c.ask(b"set a 0 0 1\r\nx\r\n")
            tap.is_({x.next(STORE)["key"] for x in [w] + all_of[:7] + all_of[8:]}, {"a"},
                    "all of them are told")
            states = [v for k, v in c.stats(b"conns").items() if k.endswith(":state")]
            tap.is_(states.count("conn_watch"), 20, "stats conns shows them as conn_watch")
        for w in all_of:
            w.close()
        tap.ok(wait_until(lambda: watchers_of(c) == 0), "all of them leave", watchers_of(c))


def stalled():
    """A watcher that does not read loses lines, is told how many, and holds nobody up."""
    with Server("-o", "watcher_logbuf_size=8") as s, s.conn() as c, \
            Watcher(s, b" fetchers", buffer=4096) as w, Watcher(s, b" mutations") as healthy:
        key = b"k" * 200
        longest = 0
        for _ in range(400):
            start = time.monotonic()
            c.send(b"get %s\r\n" % b" ".join([key] * 50))
            c.line()
            longest = max(longest, time.monotonic() - start)
            if int(c.stats()["log_watcher_skipped"]) > 0:
                break
        after = c.stats()
        tap.ok(int(after["log_watcher_skipped"]) > 0, "lines are skipped", after)
        tap.ok(longest < 2, "the client is not held up", longest)
        c.ask(b"set told 0 0 1\r\nx\r\n")
        tap.is_(healthy.next(STORE)["key"], "told", "another watcher gets its lines meanwhile")
        skipped = re.compile(r"skipped=(?P<count>\d+)\n")
        w.sock.settimeout(0.05)
        line, until = "", time.monotonic() + DEADLINE
        while not skipped.fullmatch(line) and time.monotonic() < until:
            try:
                line = w.line().decode()
            except TimeoutError:  # the note comes with the next line that there is room for
                c.ask(b"get more\r\n")
        tap.is_(line, re.compile(skipped), "it is told how many it missed")
        c.ask(b"get more\r\n")
        w.sock.settimeout(DEADLINE)
        tap.is_(w.line().decode(), re.compile(FETCH), "and real lines follow")
        for name in ("log_worker_written", "log_watcher_sent"):
            tap.ok(int(after[name]) > 0, "%s counts" % name, after[name])


def stalled_ending():
    """Nor do those who do not read, nor readers of a list of keys, if the end is a graceful one."""
    if REFERENCE:
        tap.skip("a graceful end with stalled readers", "1.6.18 waits up to a second")
        return
    with Server("-m", "64") as s:
        with s.conn() as c:
            c.send(b"".join(b"set key%d 0 0 1 noreply\r\nx\r\n" % i for i in range(30000))
                   + b"mn\r\n")
            c.line()
            stalled = [s.socket(), s.socket()]
            stalled[0].sendall(b"watch fetchers\r\n")
            stalled[1].sendall(b"lru_crawler metadump all\r\n")
            until = time.monotonic() + DEADLINE
            while c.stats()["log_watchers"] != "1" and time.monotonic() < until:
                time.sleep(0.01)
            skipped = 0
            while skipped == 0 and time.monotonic() < until:
                c.send(b"get " + b" ".join(b"key%d" % i for i in range(2000)) + b"\r\n")
                c.until(b"END\r\n")
                skipped = int(c.stats()["log_watcher_skipped"])
            tap.ok(skipped > 0, "the watcher's ring is full")
        start = time.monotonic()
        tap.is_(s.stop(signal.SIGUSR1), 0, "a graceful end with stalled readers")
        tap.between(time.monotonic() - start, 0, 2, "is soon")
        for sock in stalled:
            sock.close()


def ending():
    """Watchers do not hold up the end of the process."""
    with Server() as s:
        watchers = [Watcher(s, b" fetchers mutations connevents") for _ in range(3)]
        start = time.monotonic()
        tap.is_(s.stop(), 0, "a server with watchers ends with 0")
        tap.ok(time.monotonic() - start < 3, "soon", time.monotonic() - start)
        for w in watchers:
            w.finish()
            w.close()


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (keys, deletions, streams, rawcmds):
            tap.guarded(function, s)
    for function in (fetchers, mutations, evictions, connevents, sysevents, refused, limit, stalled,
                     ending, stalled_ending):
        tap.guarded(function)
    tap.done()


main()
