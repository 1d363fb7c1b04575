"""Those that look on: watch clients and dumps of keys, which read, stall or vanish.

What a server does not know yet (it answers ERROR) is left out, and said.
"""

import random
import re
import select
import time

from control import understands
from rude import close, half_close, reset
from server import REFERENCE
from shared import SEED, SECONDS, Wrong

STREAMS = "fetchers mutations evictions connevents deletions sysevents rawcmds".split()
if REFERENCE:
    STREAMS.remove("deletions")  # 1.6.18 does not know them
HEAD = rb"ts=\d+\.\d{1,6} gid=\d+ type="
LINES = re.compile(HEAD + rb"(?:%s)\n" % b"|".join((
    rb"item_get key=\S{1,750} status=(?:not_found|found|flushed|expired) clsid=\d+ cfd=\d+"
    rb" size=\d+",
    rb"item_store key=\S{1,750} status=\w+ cmd=\w+ ttl=-?\d+ clsid=\d+ cfd=\d+ size=\d+",
    rb"eviction key=\S{1,750} fetch=(?:yes|no) ttl=-?\d+ la=\d+ clsid=\d+ size=\d+",
    rb"deleted key=\S{1,750} cmd=\w+ clsid=\d+ size=\d+",
    rb"conn_new rip=\S+ rport=\d+ transport=\w+ cfd=\d+",
    rb"conn_close rip=\S+ rport=\d+ transport=\w+ reason=\w+ cfd=\d+",
    rb"(?!item_|eviction |deleted |conn_)\w+ .*")) + rb"|skipped=\d+\n|" + HEAD[:-6] + rb" .*\n")
METADUMP = re.compile(rb"key=\S+ exp=(?:-1|\d+) la=\d+ cas=\d+ fetch=(?:yes|no) cls=\d+ size=\d+"
                      rb"(?: flags=\d+)? ?\n")
MGDUMP = re.compile(rb"mg \S+(?: b)?\r\n")
OPEN = 8
STAY = max(0.5, min(10.0, SECONDS / 5))


class Stream:
    """A watch client."""

    def __init__(self, conn, streams, stalls, end):
        self.conn = conn
        self.streams = streams
        self.stalls = stalls
        self.end = end  # when
        self.lines = 0

    def read(self):
        """Checks what is there."""
        while b"\n" in self.conn.have or select.select([self.conn.sock], [], [], 0)[0]:
            line = self.conn.line()
            if not line:
                raise Wrong("watch %s was closed" % self.streams)
            if not LINES.fullmatch(line):
                raise Wrong("watch %s: %r" % (self.streams, line[:300]))
            self.lines += 1
            if self.lines % 500 == 0:
                return


class Watchers:
    """The process."""

    def __init__(self, server, board):
        self.server = server
        self.board = board
        self.rng = random.Random(SEED * 100 + 99)
        self.count = {"watch": 0, "lines": 0, "metadump": 0, "mgdump": 0, "keys": 0}
        self.missing = [word for word, probe in (
            ("watch", b"watch fetchers\r\n"),
            ("lru_crawler metadump", b"lru_crawler metadump 63\r\n"),
            ("lru_crawler mgdump", b"lru_crawler mgdump 63\r\n"))
                        if not understands(server, probe)]
        self.streams = []

    def watch(self):
        """A new watch client."""
        streams = " ".join(self.rng.sample(STREAMS, self.rng.randrange(1, len(STREAMS) + 1)))
        conn = self.server.conn()
        answer = conn.ask(b"watch %s\r\n" % streams.encode())
        if answer == b"WATCHER_TOO_MANY log watcher limit reached\r\n":
            conn.close()
            return
        if answer != b"OK\r\n":
            raise Wrong("watch %s: %r" % (streams, answer))
        self.count["watch"] += 1
        self.streams.append(Stream(conn, streams, self.rng.random() < 0.4,
                                   time.monotonic() + self.rng.random() * STAY))

    def dump(self, word, pattern, last):
        """A dump of all keys, read to its end or left."""
        conn = self.server.conn()
        conn.send(b"lru_crawler %s %s\r\n" % (word, self.rng.choice((b"all", b"hash", b"1,5,9"))))
        style = self.rng.choice(("read", "read", "stall", "vanish"))
        answer = conn.line()
        if re.match(rb"(BUSY|ERROR locked|NOTSTARTED) ", answer):
            conn.close()
            return
        self.count[word.decode()] += 1
        if REFERENCE and word == b"metadump":  # 1.6.18 has no OK before the keys
            conn.have = answer + conn.have
        elif answer != b"OK\r\n":
            raise Wrong("%r: %r" % (word, answer))
        if style == "stall":
            time.sleep(self.rng.random() * min(1.0, STAY))
        until = self.rng.randrange(200) if style == "vanish" else 10 ** 9
        lines = 0
        while lines < until:
            line = conn.line()
            if line == last:
                break
            if not pattern.fullmatch(line):
                raise Wrong("%r: %r" % (word, line[:300]))
            lines += 1
        self.count["keys"] += lines
        self.rng.choice((reset, half_close, close))(conn.sock)

    def tend(self):
        """Reads what watchers have got, and ends those whose time has come."""
        now = time.monotonic()
        for stream in list(self.streams):
            if not stream.stalls:
                stream.read()
            if now > stream.end:
                self.count["lines"] += stream.lines
                self.streams.remove(stream)
                self.rng.choice((reset, half_close, close))(stream.conn.sock)

    def work(self, until):
        """Until the time is over, or something is wrong."""
        due = 0
        while time.monotonic() < until and not self.board.stop:
            if "watch" not in self.missing:
                if len(self.streams) < OPEN and self.rng.random() < 0.2:
                    self.watch()
                self.tend()
            if time.monotonic() > due:
                due = time.monotonic() + self.rng.random() * STAY / 2
                if "lru_crawler metadump" not in self.missing:
                    self.dump(b"metadump", METADUMP, b"END\r\n")
                if "lru_crawler mgdump" not in self.missing:
                    self.dump(b"mgdump", MGDUMP, b"EN\r\n")
            time.sleep(0.02)
        for stream in self.streams:
            stream.conn.close()
        return self.count, {}
