"""The two servers, one beside the other, and both clocks in our hands.

Both have one worker, no thread that changes items by itself, and a clock that stands still until
a case shifts it: ours by debugtime, memcached's by Debian's libfaketime.

Nothing here waits for time to pass.  Whether a server has read what was sent, and answered all it
is going to, is known by two round trips on another connection of the same worker: it takes its
connections in turn.
"""

import glob
import os
import select
import shutil
import socket
import tempfile
import time

import cases
import normaliser
import server

MEMCACHED = shutil.which("memcached") or "/usr/bin/memcached"
CALM = 32768  # bytes; after that many answers there may be more on their way


def faketime():
    """The library that holds memcached's clock, or None."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


class Line:
    """One connection to one of the servers."""

    def __init__(self, sock, answers):
        self.sock = sock
        self.answers = answers
        self.closed = False
        self.got = []  # answers that were not taken yet

    def send(self, data, drain):
        """Sends all of data; drain is called when the server must be listened to first."""
        self.sock.setblocking(False)
        view = memoryview(data)
        while view and not self.closed:
            try:
                view = view[self.sock.send(view[:1 << 18]):]
            except BlockingIOError:
                drain()
                select.select([self.sock], [self.sock], [], server.DEADLINE)
            except (BrokenPipeError, ConnectionResetError):
                self.drain()
                self.closed = True

    def drain(self):
        """Takes what has come; the number of bytes."""
        total = 0
        while not self.closed:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                break
            total += len(data)
            self.got += self.answers.feed(data)
        return total

    def take(self):
        """What was answered since the last time: answers, the beginning of one, the end."""
        got, self.got = self.got, []
        if self.answers.rest:
            got = got + [b"(begun) " + self.answers.rest]
        return got + ([b"(closed)"] if self.closed else [])


class Side:
    """One server, its lines and what it has shown in this case."""

    def __init__(self, running, name, timed):
        self.running = running
        self.name = name
        self.timed = timed
        self.barrier = running.conn()
        self.lines = {}
        self.numbers = normaliser.Numbers()

    def open(self, name):
        """Another connection, known to the server."""
        sock = self.running.socket()
        binary = cases.is_binary(name)
        hello = b"\x80\x0a" + bytes(22) if binary else b"mn\r\n"
        sock.sendall(hello)
        want = 24 if binary else 4
        while want > 0:
            data = sock.recv(want)
            if not data:
                raise ConnectionError("%s: no hello from %s" % (name, self.name))
            want -= len(data)
        sock.setblocking(False)
        kind = normaliser.BinaryAnswers if binary else normaliser.TextAnswers
        self.lines[name] = Line(sock, kind(self.numbers, self.timed))

    def drain(self):
        """Takes what has come on all lines."""
        return sum(line.drain() for line in self.lines.values())

    def counters(self):
        """The general statistics that are compared."""
        rows = self.barrier.stats()
        return {name: int(value) for name, value in rows.items() if value.isdigit()}

    def time(self):
        """The server's clock."""
        return int(self.barrier.stats()["time"])

    def begin(self):
        """Forgets the last case."""
        for line in self.lines.values():
            line.sock.close()
        self.lines = {}
        self.numbers = normaliser.Numbers()

    def alive(self):
        """True while the process runs."""
        return self.running.proc.poll() is None


class Pair:
    """memcached ("theirs") and magpied ("ours").  Use it in a with statement."""

    def __init__(self, timed, threads=False):
        self.timed = timed
        self.threads = threads  # that look after items
        self.dir = tempfile.mkdtemp(prefix="magpie-twin-")
        self.clock = os.path.join(self.dir, "clock")
        self.sides = []
        self.now = int(time.time())
        self.worn = self.now + 200000000  # then the clock comes too near to the end of 32 bits

    def _start(self):
        common = ["-t", "1", "-R", "1000000", "-c", "1000"]
        still = [() if self.threads else ("-o", "no_lru_crawler,no_slab_reassign" + more)
                 for more in (",no_lru_maintainer", "")]
        us = server.Server(*common, *still[1])
        self.sides.append(Side(us, "ours", self.timed))
        env = {}
        if self.timed:
            if self.sides[0].barrier.ask(b"debugtime p\r\n") != b"OK\r\n":
                raise RuntimeError("magpied has no debugtime")
            self.now = self.sides[0].time()
            self._write_clock()
            env = {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": self.clock,
                   "FAKETIME_NO_CACHE": "1", "TZ": "UTC"}
        them = server.Server(*common, *still[0], env=env, program=MEMCACHED)
        self.sides.insert(0, Side(them, "theirs", self.timed))
        if self.timed:
            self._await_clock()

    def _write_clock(self):
        with open(self.clock + ".new", "w") as out:
            out.write(time.strftime("%Y-%m-%d %H:%M:%S\n", time.gmtime(self.now)))
        os.rename(self.clock + ".new", self.clock)

    def _await_clock(self):
        """memcached looks at the clock when a new connection wakes its main thread."""
        until = time.monotonic() + server.DEADLINE
        for side in self.sides:
            while side.time() != self.now:
                if time.monotonic() > until:
                    raise RuntimeError("the clock of %s is %d, not %d" % (
                        side.name, side.time(), self.now))
                side.running.socket().close()

    def shift(self, seconds):
        """Both clocks go on."""
        self.now += seconds
        self.sides[1].barrier.ask(b"debugtime %d\r\n" % seconds)
        self._write_clock()
        self._await_clock()

    def settle(self, sent=0):
        """Returns once both servers have nothing more to say about the bytes that were sent.

        memcached reads 16 KiB when a connection's turn comes, and once more behind a value.
        """
        while True:
            for _ in range(3 + sent // 8192):
                for side in self.sides:
                    side.barrier.send(b"mn\r\n")
                for side in self.sides:
                    if side.barrier.line() != b"MN\r\n":
                        raise ConnectionError("%s does not answer" % side.name)
            if max([side.drain() for side in self.sides]) < CALM:
                return

    def send(self, name, piece, numbers):
        """Sends a piece with its marks filled in to both; numbers: those known before."""
        sent = 0
        if not self.timed:
            self.now = int(time.time())
        for side, known in zip(self.sides, numbers):
            if name not in side.lines:
                side.open(name)
            data = cases.fill(piece, cases.is_binary(name), known, self.now)
            side.lines[name].send(data, side.drain)
            sent = max(sent, len(data))
        self.settle(sent)

    def take(self):
        """What each side has answered on which connection."""
        return [{name: line.take() for name, line in side.lines.items()} for side in self.sides]

    def numbers(self):
        """The cas numbers that each side has shown so far."""
        return [list(side.numbers.order) for side in self.sides]

    def counters(self):
        """The statistics of each side."""
        return [side.counters() for side in self.sides]

    def peek(self, key, encoded):
        """Our value of a key, without counting as a reader as far as that can be; or None."""
        barrier = self.sides[1].barrier
        head = barrier.ask(b"mg %s u v%s\r\n" % (key, b" b" if encoded else b""))
        return barrier.exact(int(head.split()[1]) + 2)[:-2] if head.startswith(b"VA") else None

    def begin(self, cleaning):
        """A clean start: cleaning is what makes both servers forget what was there."""
        for side in self.sides:
            side.begin()
        for side in self.sides:
            side.barrier.send(cleaning + b"mn\r\n")
        for side in self.sides:
            side.barrier.until(b"MN\r\n")
        if self.timed:
            self.shift(3)
        else:
            self.settle()

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        """Ends both.  memcached whose clock stands does not end when it is told to."""
        problem = ""
        for side in self.sides:
            side.begin()
            side.barrier.close()
            if side.name == "ours":
                code = side.running.stop()
                if code != 0:
                    problem = "magpied ended with %s: %s" % (code, side.running.stderr()[-3000:])
            else:
                side.running.kill()
            shutil.rmtree(side.running.dir, ignore_errors=True)
        self.sides = []
        shutil.rmtree(self.dir, ignore_errors=True)
        return problem

    def __exit__(self, kind, error, trace):
        problem = self.close()
        if problem and kind is None:
            raise RuntimeError(problem)
