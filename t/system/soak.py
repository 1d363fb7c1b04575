#!/usr/bin/python3
"""A mixed load over all protocols for SOAK_SECONDS (5): no wrong value, bounded memory.

Each client process owns some keys and remembers what it stored last; a value names its key,
its owner, its number and carries a checksum.  Reading an own key gives the last value
or nothing; reading a key of another client gives a value that fits its key and is never older than
one seen before.
"""

import hashlib
import multiprocessing
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import packets  # noqa: E402
import tap  # noqa: E402
from server import SANITIZED, Server, program_exists  # noqa: E402

MIB = 1 << 20
SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or int(time.time())
CLIENTS = 4
KEYS = 3000
BESIDE = 8 * MIB  # what a server may use beside -m, over what it uses when empty


def make(key, number, size):
    """A value of about size bytes that can be checked by itself."""
    head = b"%s %d " % (key, number)
    body = (head * (size // len(head) + 1))[:size]
    return head + hashlib.md5(head + body).hexdigest().encode() + b" " + body


def number_of(key, value):
    """The number in a value; raises if it is not one of this key."""
    name, number, digest, body = value.split(b" ", 3)
    if name != key or hashlib.md5(b"%s %s " % (name, number) + body).hexdigest().encode() != digest:
        raise ValueError("wrong value of %r: %r" % (key, value[:120]))
    return int(number)


class Text:
    """get, set, delete of the classic protocol."""

    def __init__(self, conn):
        self.conn = conn

    def set(self, key, value, exptime):
        """True if stored."""
        return self.conn.set(key, value, 1, exptime) == b"STORED\r\n"

    def get(self, keys):
        """A dict of what was found."""
        self.conn.send(b"get " + b" ".join(keys) + b"\r\n")
        found = {}
        while True:
            words = self.conn.line().split()
            if words == [b"END"]:
                return found
            found[words[1]] = self.conn.exact(int(words[3]) + 2)[:-2]

    def delete(self, key):
        """Gone, whatever was there."""
        if self.conn.ask(b"delete " + key + b"\r\n") not in (b"DELETED\r\n", b"NOT_FOUND\r\n"):
            raise ValueError("delete")


class Meta:
    """mg, ms, md, with quiet forms."""

    def __init__(self, conn):
        self.conn = conn

    def set(self, key, value, exptime):
        """True if stored."""
        self.conn.send(b"ms %s %d T%d q\r\n%s\r\nmn\r\n" % (key, len(value), exptime, value))
        return self.conn.until(b"MN\r\n") == b"MN\r\n"

    def get(self, keys):
        """A dict of what was found."""
        self.conn.send(b"".join(b"mg %s v k q\r\n" % k for k in keys) + b"mn\r\n")
        found = {}
        while True:
            words = self.conn.line().split()
            if words == [b"MN"]:
                return found
            found[words[2][1:]] = self.conn.exact(int(words[1]) + 2)[:-2]

    def delete(self, key):
        """Gone, whatever was there."""
        if self.conn.ask(b"md " + key + b"\r\n") not in (b"HD\r\n", b"NF\r\n"):
            raise ValueError("md")


class Binary:
    """getkq, set, delete of the binary protocol."""

    def __init__(self, conn):
        self.conn = conn

    def set(self, key, value, exptime):
        """True if stored."""
        self.conn.send(packets.store("set", key, value, 1, exptime))
        return packets.read(self.conn).status == packets.OK

    def get(self, keys):
        """A dict of what was found."""
        self.conn.send(b"".join(packets.packet("getkq", k) for k in keys) + packets.packet("noop"))
        found = {}
        while True:
            answer = packets.read(self.conn)
            if answer.op == packets.OPCODES["noop"]:
                return found
            found[answer.key] = answer.value

    def delete(self, key):
        """Gone, whatever was there."""
        self.conn.send(packets.packet("delete", key))
        if packets.read(self.conn).status not in (packets.OK, packets.MISS):
            raise ValueError("delete")


class Client:
    """One process of the load."""

    def __init__(self, server, me):
        self.me = me
        self.rng = random.Random(SEED * 100 + me)
        self.speakers = [kind(server.conn()) for kind in (Text, Meta, Binary)]
        self.last = {}  # own key -> (number, when it expires or None), or None if deleted
        self.seen = {}  # key of others -> number
        self.count = {"set": 0, "hit": 0, "miss": 0, "refused": 0, "delete": 0}

    def key(self, owner):
        """Some key, low numbers more often."""
        return b"o%d-%d" % (owner, int(KEYS * self.rng.random() ** 2))

    def write(self, speaker):
        """Stores one own key."""
        key = self.key(self.me)
        number = self.count["set"] = self.count["set"] + 1
        size = int(300000 ** self.rng.random()) if self.rng.random() < 0.9 else 0
        exptime = self.rng.choice((0, 0, 0, 0, 2, 1000))
        # A refused write leaves nothing behind.
        stored = speaker.set(key, make(key, number, size), exptime)
        self.count["refused"] += not stored
        self.last[key] = (number, time.monotonic() + exptime + 1.5 if exptime == 2
                          else None) if stored else None

    def read(self, speaker):
        """Looks some keys up and checks what comes."""
        keys = list({self.key(self.rng.randrange(CLIENTS))
                     for _ in range(self.rng.choice((1, 2, 10, 50)))})
        found = speaker.get(keys)
        now = time.monotonic()
        for key, value in found.items():
            if key not in keys:
                raise ValueError("not asked for: %r" % key)
            number = number_of(key, value)
            if key.startswith(b"o%d-" % self.me):
                last = self.last.get(key)
                if last is None or last[0] != number or (last[1] and now > last[1] + 1):
                    raise ValueError("%r is %d, stored last: %r, now %f" % (key, number, last, now))
            elif number < self.seen.get(key, 0):
                raise ValueError("%r went back from %d to %d" % (key, self.seen[key], number))
            else:
                self.seen[key] = number
        self.count["hit"] += len(found)
        self.count["miss"] += len(keys) - len(found)

    def remove(self, speaker):
        """Deletes one own key."""
        key = self.key(self.me)
        speaker.delete(key)
        self.last[key] = None
        self.count["delete"] += 1

    def work(self, until):
        """Until the time is over, or something is wrong."""
        while time.monotonic() < until:
            dice = self.rng.random()
            step = self.write if dice < 0.35 else self.remove if dice < 0.4 else self.read
            step(self.rng.choice(self.speakers))
        return self.count


def run_client(server, me, until, results):
    """The body of a client process."""
    try:
        results.put((me, Client(server, me).work(until), None))
    except Exception as error:
        results.put((me, None, "%s: %s" % (type(error).__name__, error)))


def main():
    """Clients, and an eye on the server's memory."""
    program_exists()
    tap.note("SOAK_SEED=%d" % SEED)
    with Server("-m", "64") as s:
        empty = s.status("VmRSS") * 1024
        results = multiprocessing.Queue()
        until = time.monotonic() + SECONDS
        clients = [multiprocessing.Process(target=run_client, args=(s, i, until, results))
                   for i in range(CLIENTS)]
        for client in clients:
            client.start()
        top, reports = 0, []
        while len(reports) < CLIENTS and time.monotonic() < until + 30:
            top = max(top, s.status("VmRSS") * 1024)
            time.sleep(0.1)
            while not results.empty():
                reports.append(results.get())
        for me, count, error in sorted(reports):
            tap.ok(error is None, "client %d sees no wrong value" % me, error)
            if count:
                tap.note(" ".join("%s %d" % pair for pair in count.items()))
                tap.ok(count["hit"] > 100 and count["refused"] * 1000 <= count["set"],
                       "client %d: reads hit, writes are not refused" % me, count)
        tap.is_(len(reports), CLIENTS, "every client comes to its end")
        for client in clients:
            client.join(1)
            if client.is_alive():
                client.kill()
        with s.conn() as c:
            tap.ok(int(c.stats()["bytes"]) <= 64 * MIB, "bytes stay within -m")
        tap.ok(SANITIZED or top <= empty + 64 * MIB + BESIDE,
               "resident memory stays within -m and %d MiB" % (BESIDE // MIB),
               "%d MiB, %d when empty" % (top // MIB, empty // MIB))
        tap.note("%d MiB at most, %d when empty" % (top // MIB, empty // MIB))
    tap.done()


main()
