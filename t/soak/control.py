"""The operator: statistics, flushes, the memory limit, page moves, the crawler.

Statistics are looked at while everything moves: what counts must never fall, nothing may be
negative, every line must have its form.
"""

import random
import re
import time

from shared import OWNERS, SEED, SECONDS, Wrong

MIB = 1 << 20
LIMITS = (64, 24, 12, 40, 64, 8)  # MiB, for cache_memlimit; the greatest is that of the start
# Rows of plain "stats" that go up and down; of all others those that are whole numbers only grow.
GAUGES = set("""pid time pointer_size max_connections curr_connections connection_structures
    response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free
    reserved_fds limit_maxbytes accepting_conns threads hash_power_level hash_bytes
    hash_is_expanding slab_reassign_running slab_reassign_last_busy_status lru_crawler_running
    log_watchers bytes curr_items slab_global_page_pool""".split())
REASSIGN = re.compile(rb"(OK|BUSY .*|BADCLASS .*|NOSPARE .*|SAME .*)\r\n")
CRAWL = re.compile(rb"(OK|BUSY .*|NOTSTARTED .*)\r\n")
CACHEDUMP = re.compile(rb"ITEM \S+ \[\d+ b; -?\d+ s\]\r\n")


def understands(server, command):
    """Whether the server knows a command at all, or says why it does not."""
    with server.conn() as c:
        return c.ask(command) != b"ERROR\r\n"


class Operator:
    """The process."""

    def __init__(self, server, board):
        self.server = server
        self.board = board
        self.rng = random.Random(SEED * 100 + 88)
        self.conn = server.conn()
        self.before = {}
        self.count = {}
        self.limit = 0
        self.tasks = [self.look, self.look, self.look_closer, self.look_closer, self.cachedump]
        if understands(server, b"slabs reassign 0 0\r\n"):
            self.tasks += [self.reassign, self.automove]
        if understands(server, b"lru_crawler crawl 0\r\n"):
            self.tasks.append(self.crawl)
        self.every = max(0.7, min(8.0, SECONDS / 10))

    # --- looking ------------------------------------------------------------

    def look(self):
        """Plain stats."""
        rows = self.conn.stats()
        buffers = int(rows["read_buf_bytes"]) + int(rows["response_obj_bytes"])
        self.count["buffers"] = max(self.count.get("buffers", 0), buffers)
        for name, value in rows.items():
            if not re.fullmatch(r"\d+", value):
                if value.startswith("-"):
                    raise Wrong("%s is %s" % (name, value))
                continue
            if name not in GAUGES and int(value) < self.before.get(name, 0):
                raise Wrong("%s fell from %d to %s" % (name, self.before[name], value))
            self.before[name] = int(value)

    def look_closer(self):
        """A sub-command of stats; all numbers in it are at least 0."""
        what = self.rng.choice((b"items", b"slabs", b"settings", b"sizes", b"conns"))
        for name, value in self.conn.stats(what).items():
            if value.startswith("-") and what != b"settings":
                raise Wrong("stats %r: %s is %s" % (what, name, value))

    def cachedump(self):
        """stats cachedump of some class."""
        self.conn.send(b"stats cachedump %d %d\r\n" % (self.rng.randrange(1, 64),
                                                      self.rng.choice((0, 10))))
        while True:
            line = self.conn.line()
            if line == b"END\r\n":
                return
            if not CACHEDUMP.fullmatch(line):
                raise Wrong("stats cachedump: %r" % line)

    # --- doing --------------------------------------------------------------

    def say(self, line, pattern):
        """A command and its one-line answer."""
        answer = self.conn.ask(line)
        if not re.fullmatch(pattern, answer):
            raise Wrong("%r: %r" % (line, answer))

    def reassign(self):
        """Moves a page from one class to another."""
        classes = [int(n.split(":")[0]) for n in self.conn.stats(b"slabs") if ":chunk_size" in n]
        if len(classes) > 1:
            source, target = self.rng.sample(classes, 2)
            self.say(b"slabs reassign %d %d\r\n" % (self.rng.choice((source, -1)),
                                                  self.rng.choice((target, target, 0))), REASSIGN)

    def automove(self):
        """Turns the balance on and off; in the end it is on."""
        self.say(b"slabs automove %d\r\n" % self.rng.choice((0, 1)), rb"OK\r\n")

    def crawl(self):
        """Sends the crawler out."""
        self.say(b"lru_crawler crawl %s\r\n" % self.rng.choice((b"all", b"1", b"5,6,7")), CRAWL)

    def memlimit(self):
        """Another limit."""
        self.limit = (self.limit + 1) % len(LIMITS)
        self.say(b"cache_memlimit %d\r\n" % LIMITS[self.limit], rb"OK\r\n")
        if int(self.conn.stats()["limit_maxbytes"]) != LIMITS[self.limit] * MIB:
            raise Wrong("limit_maxbytes is not what was set")

    def flush(self):
        """Everything acknowledged before is gone when the answer is there."""
        floors = [self.board.acked(owner) for owner in range(OWNERS)]
        self.say(b"flush_all\r\n", rb"OK\r\n")
        self.board.raise_floor(floors)

    def flush_later(self):
        """The same for one that is to happen in 2 s, or a second earlier, since clocks tick by
        seconds: what was acknowledged until then is gone a second after it."""
        sent = time.monotonic()
        self.say(b"flush_all 2\r\n", rb"OK\r\n")
        floors = [self.board.acked(owner) for owner in range(OWNERS)]
        self.sleep(0.5)
        later = [self.board.acked(owner) for owner in range(OWNERS)]
        if time.monotonic() < sent + 0.9:
            floors = later
        self.sleep(3)
        if not self.board.stop:
            self.board.raise_floor(floors)

    def sleep(self, seconds):
        """Goes on looking meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.board.stop:
            self.look()
            time.sleep(0.1)

    def work(self, until):
        """Until the time is over, or something is wrong."""
        events = [self.memlimit, self.flush, self.memlimit, self.flush_later, self.memlimit]
        turn, due = 0, time.monotonic() + self.every
        while time.monotonic() < until and not self.board.stop:
            task = self.rng.choice(self.tasks)
            if time.monotonic() > due:
                task = events[turn % len(events)]
                turn += 1
                due = time.monotonic() + self.every * (0.5 + self.rng.random())
            task()
            self.count[task.__name__] = self.count.get(task.__name__, 0) + 1
            time.sleep(0.05)
        self.conn.close()
        return self.count, {}
