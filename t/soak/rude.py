"""Clients that do not behave: slow, half-open, vanishing, nonsensical.

What they ask for is checked as far as they read it.  At any time a few dozen of their
connections are open; each ends after some seconds, by close, by half-close or by a reset.
"""

import random
import socket
import struct
import time

import packets
from shared import KEYS, OWNERS, SEED, SECONDS, Wrong, number_of, plain

OPEN = 24  # at the same time
STAY = max(0.3, min(6.0, SECONDS / 8))  # s that a stalled connection stays at most


def reset(sock):
    """Closes with RST: the server's next read or write fails."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def half_close(sock):
    """Says that nothing more will come; what is on its way to us is thrown away."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    sock.close()


def close(sock):
    """The ordinary end."""
    sock.close()


class Rude:
    """The process."""

    def __init__(self, server, board):
        self.server = server
        self.board = board
        self.rng = random.Random(SEED * 100 + 77)
        self.open = []  # (when to end it, socket)
        self.count = {}
        self.half = 0  # values that were begun and never ended

    def some_key(self):
        """A key of the load, low numbers more often."""
        return plain(self.rng.randrange(OWNERS), int(KEYS * self.rng.random() ** 2))

    def leave(self, sock):
        """Ends this connection later."""
        self.open.append((time.monotonic() + self.rng.random() * STAY, sock))

    def end(self, sock):
        """Ends it one way or another."""
        self.rng.choice((reset, half_close, close))(sock)

    # --- antics -------------------------------------------------------------

    def slow_reader(self):
        """Asks for much and reads it in small pieces, checking what comes, then stops."""
        keys = [self.some_key() for _ in range(self.rng.choice((10, 100, 400)))]
        conn = self.server.conn()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.send(b"get " + b" ".join(keys) + b"\r\n")
        for _ in range(self.rng.randrange(1, 30)):
            line = conn.line()
            if line == b"END\r\n":
                break
            words = line.split()
            if len(words) != 4 or words[0] != b"VALUE" or words[1] not in keys:
                raise Wrong("a slow reader got %r" % line[:200])
            body = conn.exact(int(words[3]) + 2)
            number_of(words[1], body[:-2], int(words[2]))
            time.sleep(0.002)
        self.leave(conn.sock)

    def deaf(self):
        """Asks for much, over and over, and never reads."""
        sock = self.server.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        line = b"get " + b" ".join(self.some_key() for _ in range(100)) + b"\r\n"
        kind = self.rng.randrange(3)
        if kind == 1:
            line = b"".join(b"mg %s v k\r\n" % self.some_key() for _ in range(100))
        elif kind == 2:
            line = b"".join(packets.packet("getk", self.some_key()) for _ in range(100))
        try:
            for _ in range(200):
                sock.send(line)
        except BlockingIOError:
            pass
        self.leave(sock)

    def half_command(self):
        """The beginning of a command; sometimes its rest, which must then be answered."""
        conn = self.server.conn()
        key = b"h%d" % self.rng.randrange(1000)
        whole = self.rng.choice((b"get " + key + b"\r\n", b"version\r\n", b"mg %s v\r\n" % key,
                                 b"set %s 0 0 3\r\nabc\r\n" % key, b"incr %s 1\r\n" % key,
                                 packets.packet("getk", key),
                                 packets.store("set", key, b"x" * 50)))
        cut = self.rng.randrange(1, len(whole))
        conn.send(whole[:cut])
        if self.rng.random() < 0.5:
            time.sleep(0.01)
            conn.send(whole[cut:])
            if not conn.exact(3):
                raise Wrong("no answer to %r, cut at %d" % (whole, cut))
        self.leave(conn.sock)

    def half_value(self):
        """The beginning of a value whose end never comes: nobody may ever see it."""
        self.half += 1
        key = b"half%d" % self.half
        size = int(1000000 ** self.rng.random()) + 1
        cut = self.rng.randrange(size)
        sock = self.server.socket()
        head = self.rng.choice((b"set %s 0 0 %d\r\n" % (key, size), b"ms %s %d\r\n" % (key, size)))
        body = b"-" * cut
        if self.rng.random() < 0.3:
            head = packets.store("set", key, b"-" * size)[:32 + len(key)]
        try:
            sock.sendall(head + body)
        except ConnectionError:
            pass  # refused: too little memory
        self.leave(sock)

    def nobody_sees_halves(self):
        """See half_value()."""
        with self.server.conn() as c:
            keys = [b"half%d" % (i + 1) for i in range(max(0, self.half - 50), self.half)]
            got = c.ask(b"get " + b" ".join(keys) + b"\r\n") if keys else b"END\r\n"
            if got != b"END\r\n":
                raise Wrong("half a value is seen: %r" % got[:200])

    def last_words(self):
        """Commands, and the end of sending: all of them are answered before the server closes."""
        n = self.rng.randrange(1, 200)
        with self.server.conn() as c:
            c.send(b"".join(b"mg nothing%d\r\n" % i for i in range(n)) + b"version\r\n")
            said = c.finish()
        if said.count(b"EN\r\n") != n or not said.endswith(b"\r\n") or b"VERSION" not in said:
            raise Wrong("%d commands and a half-close: %d answers, then %r" % (
                n, said.count(b"EN\r\n"), said[-100:]))

    def churn(self):
        """Comes and goes."""
        for _ in range(self.rng.randrange(5, 30)):
            with self.server.conn() as c:
                if self.rng.random() < 0.5 and not c.ask(b"version\r\n").startswith(b"VERSION "):
                    raise Wrong("no answer to version")
                if self.rng.random() < 0.3:
                    c.send(self.rng.choice((b"quit\r\n", packets.packet("quitq"), b"\r\n",
                                            b"\x80")))

    def dribble(self):
        """A command byte by byte."""
        with self.server.conn() as c:
            for byte in b"set dribble 0 0 5\r\nhello\r\n":
                c.send(bytes([byte]))
            answer = c.line()
            if answer not in (b"STORED\r\n", b"SERVER_ERROR out of memory storing object\r\n"):
                raise Wrong("byte by byte: %r" % answer)

    def nonsense(self):
        """Bytes without meaning: an error, or the end of the connection, and no harm to others."""
        sock = self.server.socket()
        head = self.rng.choice((b"", b"\x80", b"get ", b"set ", b"ms ",
                                b"\x80\x01\0\x05\x08\0\0\0"))
        data = bytes(self.rng.randrange(256) for _ in range(self.rng.randrange(400)))
        # A command that changes what others rely on must not come out by chance.
        for word in (b"flush", b"cache", b"shut", b"\x08", b"\x18"):
            data = data.replace(word, b"?")
        sock.sendall(head + data)
        self.leave(sock)

    def refused_value(self):
        """Too large, or not as long as was said: answered, and the connection stays in step."""
        with self.server.conn() as c:
            if self.rng.random() < 0.5:
                answer = c.ask(b"set big 0 0 2000000\r\n" + b"b" * 2000000 + b"\r\n")
                good = answer == b"SERVER_ERROR object too large for cache\r\n"
            else:
                answer = c.ask(b"set bad 0 0 3\r\nabcdefghi\r\n")
                good = answer == b"CLIENT_ERROR bad data chunk\r\n"
                if c.line() != b"ERROR\r\n":
                    raise Wrong("nothing for the rest of a bad value")
            if not good or not c.ask(b"version\r\n").startswith(b"VERSION "):
                raise Wrong("a refused value: %r" % answer)

    def many_idle(self):
        """Connections that never say a word."""
        for _ in range(5):
            self.leave(self.server.socket())

    ANTICS = (slow_reader, deaf, deaf, half_command, half_value, half_value, nobody_sees_halves,
              last_words, churn, dribble, nonsense, refused_value, many_idle)

    def work(self, until):
        """Until the time is over, or something is wrong."""
        while time.monotonic() < until and not self.board.stop:
            antic = self.rng.choice(self.ANTICS)
            antic(self)
            self.count[antic.__name__] = self.count.get(antic.__name__, 0) + 1
            now = time.monotonic()
            for row in sorted(self.open, key=lambda row: row[0]):
                if row[0] <= now or len(self.open) > OPEN:
                    self.open.remove(row)
                    self.end(row[1])
            time.sleep(0.005)
        for _, sock in self.open:
            self.end(sock)
        self.nobody_sees_halves()
        return self.count, {}
