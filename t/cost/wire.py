"""What a client asks of a real server on loopback, turn by turn.

In a turn every connection sends its request, whole, and then reads its answer, so a server is
never asked for more before it has answered, and what it does is the same in every run.  A turn of
several connections is sent while the server is stopped: it finds all of them at once.
"""

import os
import random
import signal
import struct

KEYS = 1000
KEY = b"key:%020d"
CONNECTIONS = 512
OPTIONS = ("-t", 1, "-m", 256, "-c", CONNECTIONS)
RESERVED = 12  # of a process's descriptors are valgrind's own


def valgrind(name, *options):
    """The words that run a server under a tool of valgrind.

    memcached asks for exactly as many descriptors as connections, soft and hard limit; valgrind
    grants it only what is the hard limit already.
    """
    return ("prlimit", "--nofile=%d" % (CONNECTIONS + RESERVED), "valgrind", "--tool=" + name,
            *options)


class Wrong(Exception):
    """An answer that is not the expected one."""


def _text_get(key, value):
    return b"get %s\r\n" % key, b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)


def _text_many(key, value):
    return b" " + key, b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(value), value)


def _text_set(key, value):
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n"


def _meta_get(key, value):
    return b"mg %s v\r\n" % key, b"VA %d\r\n%s\r\n" % (len(value), value)


def _head(magic, opcode, key, extra, body):
    return struct.pack(">BBHBBHII8x", magic, opcode, key, extra, 0, 0, body, 0)


def _binary_getkq(key, value):
    body = struct.pack(">I", 0) + key + value
    return (_head(0x80, 0x0d, len(key), 0, len(key)) + key,
            _head(0x81, 0x0d, len(key), 4, len(body)) + body)


def _without_cas(packets):
    """Binary answers with a zero for each cas unique, which nobody can foresee."""
    kept, at = b"", 0
    while at + 24 <= len(packets):
        body, = struct.unpack(">I", packets[at + 8:at + 12])
        kept += packets[at:at + 16] + bytes(8) + packets[at + 24:at + 24 + body]
        at += 24 + body
    return kept + packets[at:]


class Workload:
    """A row of WORKLOADS.  turns: how many are a measurement's worth."""

    def __init__(self, name, ask, size=100, depth=1, connections=1, turns=200, around=None):
        self.name = name
        self.ask = ask
        self.size = size
        self.depth = depth
        self.connections = connections
        self.turns = turns
        self.before, self.after, self.answer_after = around or (b"", b"", b"")
        self.keys = KEYS if size < 100000 else 20
        # Each size has keys of its own.
        self.pool = [KEY % (1000000 * size + i) for i in range(self.keys)]
        self.value = b"v" * size

    @property
    def ops(self):
        """Keys of one turn."""
        return self.depth * self.connections

    def turn(self, choose):
        """(request, answer) of one connection."""
        pairs = [self.ask(choose.choice(self.pool), self.value) for _ in range(self.depth)]
        return (self.before + b"".join(request for request, _ in pairs) + self.after,
                b"".join(answer for _, answer in pairs) + self.answer_after)


NOOP = (b"", _head(0x80, 0x0a, 0, 0, 0), _head(0x81, 0x0a, 0, 0, 0))

WORKLOADS = (
    Workload("get", _text_get),
    Workload("get-50conns", _text_get, connections=50, turns=20),
    Workload("get-d32", _text_get, depth=32),
    Workload("get-multi100", _text_many, depth=100, around=(b"get", b"\r\n", b"END\r\n")),
    Workload("get-4k", _text_get, size=4096),
    Workload("get-512k", _text_get, size=512 << 10, turns=100),
    Workload("set", _text_set),
    Workload("set-d32", _text_set, depth=32),
    Workload("mg-d32", _meta_get, depth=32),
    Workload("bin-getkq32", _binary_getkq, depth=32, around=NOOP),
)


class Client:
    """The connections of one workload to a server, whose keys it sets."""

    def __init__(self, server, workload):
        self.server = server
        self.workload = workload
        self.choose = random.Random(1)
        self._fill()
        self.conns = [server.conn() for _ in range(workload.connections)]

    def _fill(self):
        with self.server.conn() as conn:
            for key in self.workload.pool:
                if conn.set(key, self.workload.value) != b"STORED\r\n":
                    raise Wrong("a set is not answered with STORED")

    def _pause(self, stop):
        if self.workload.connections > 1:
            os.kill(self.server.pid, signal.SIGSTOP if stop else signal.SIGCONT)
            os.waitid(os.P_PID, self.server.pid, os.WSTOPPED if stop else os.WCONTINUED)

    def play(self, turns):
        """So many turns; Wrong if an answer is."""
        for _ in range(turns):
            wanted = []
            self._pause(True)
            for conn in self.conns:
                request, answer = self.workload.turn(self.choose)
                conn.send(request)
                wanted.append(answer)
            self._pause(False)
            for conn, answer in zip(self.conns, wanted):
                got = conn.exact(len(answer))
                if got != answer and _without_cas(got) != _without_cas(answer):
                    raise Wrong("%s: %r instead of %r" % (
                        self.workload.name, got[:200], answer[:200]))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for conn in self.conns:
            conn.close()
