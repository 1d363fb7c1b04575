"""What all processes of the soak know: values that speak for themselves, words in shared memory.

A value is its own head, "KEY NUMBER SIZE CHECKSUM ", repeated up to SIZE, so every byte of it is
known to whoever reads the head; its client flags are made from its number.  A key has one owner,
who gives its values rising numbers and writes down in shared memory what was acknowledged.  So
any reader can tell a value that is torn, belongs to another key, or is older than it may be.
"""

import mmap
import os
import time
import zlib

OWNERS = 3  # processes of the load
KEYS = 1500  # plain keys of each
CHAINS = 40  # keys of each that are appended to
COUNTERS = 8  # that all increase
ROUNDS = 8  # keys that all store with cas
LIFE = 10 ** 10  # a shared counter starts at a multiple of it

SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or int(time.time())


class Wrong(Exception):
    """The server did something it must not do."""


class Board:
    """Words of 64 bits in memory that all processes share; each has one writer."""

    def __init__(self):
        self.words = memoryview(mmap.mmap(-1, 8 * (8 + OWNERS * (KEYS + 8)))).cast("Q")

    @property
    def stop(self):
        """True if somebody found something wrong, and all shall end."""
        return self.words[0] != 0

    def give_up(self):
        """Makes all others end."""
        self.words[0] = 1

    def acked(self, owner):
        """Every change of this owner up to this number is acknowledged."""
        return self.words[8 + owner]

    def acknowledge(self, owner, number):
        """See acked()."""
        self.words[8 + owner] = number

    def floor(self, owner):
        """Values of this owner up to this number were flushed, and the flush is acknowledged."""
        return self.words[8 + OWNERS + owner]

    def raise_floor(self, floors):
        """One number for each owner; floors never fall."""
        for owner, number in enumerate(floors):
            self.words[8 + OWNERS + owner] = max(number, self.floor(owner))

    def newest(self, owner, index):
        """The number of the last acknowledged change of a plain key."""
        return self.words[8 + OWNERS * (2 + index) + owner]

    def set_newest(self, owner, index, number):
        """See newest()."""
        self.words[8 + OWNERS * (2 + index) + owner] = number


def flags_of(number):
    """32 bits that look random."""
    return number * 2654435761 & 0xffffffff


def make(key, number, size):
    """A value of size bytes, or as many as its head has."""
    name = b"%s %d %d " % (key, number, size)
    head = b"%s%08x " % (name, zlib.crc32(name))
    return (head * (size // len(head) + 1))[:max(size, len(head))]


def number_of(key, value, flags):
    """The number in a value; raises if it is not exactly one of this key."""
    try:
        name, number, size, _ = value.split(b" ", 3)
        number = int(number)
        good = name == key and value == make(key, number, int(size))
    except ValueError:
        good = False
    if not good:
        raise Wrong("not a value of %r: %d bytes, %r ... %r" % (key, len(value), value[:120],
                                                              value[-60:]))
    if flags != flags_of(number):
        raise Wrong("flags of %r number %d are %d, stored were %d" % (
            key, number, flags, flags_of(number)))
    return number


def plain(owner, index):
    """The name of a plain key."""
    return b"o%d-%d" % (owner, index)


def plain_parts(key):
    """(owner, index) of a plain key."""
    owner, _, index = key[1:].partition(b"-")
    return int(owner), int(index)


def size_now(rng, started):
    """A size for a new value.  Every few seconds another size is in fashion, so that memory that
    one class has must go to another."""
    phase = int((time.monotonic() - started) / max(1.0, min(15.0, SECONDS / 6))) % 6
    if rng.random() < 0.15:
        return int(300000 ** rng.random())
    low, high = ((10, 100), (1000, 8000), (100, 400), (50000, 300000), (10, 30000),
                 (400000, 1000000))[phase]
    if high > 300000 and rng.random() < 0.8:
        return rng.randrange(100, 1000)
    return rng.randrange(low, high)
