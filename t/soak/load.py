"""A client that behaves: every kind of command in three protocols, and a check of every answer.

Own keys: reading gives the last value or nothing, since anything may be evicted or flushed.  Keys
of others: a value that is whole, not flushed, and not older than what was acknowledged when
the request was sent.
"""

import collections
import random
import time

from shared import (CHAINS, COUNTERS, KEYS, LIFE, OWNERS, ROUNDS, SEED, Wrong, flags_of,
                    make, number_of, plain, plain_parts, size_now)
from speak import SPEAKERS

LATE = 1.2  # s; what is over may be seen for so long: the server's clock ticks once a second


class Last:
    """What an own key holds: a number, and when it is over (None: never)."""

    def __init__(self, number, over):
        self.number = number
        self.over = over


class Client:
    """One process of the load."""

    def __init__(self, server, board, me, started):
        self.server = server
        self.board = board
        self.me = me
        self.started = started
        self.rng = random.Random(SEED * 100 + me)
        self.speakers = [kind(server.conn()) for kind in SPEAKERS]
        self.number = 0  # of my last change
        self.lives = 0  # of shared counters that I began
        self.last = {}  # own plain key -> Last, None if it is certainly not there
        self.seen = {}  # plain key of others -> number
        self.chains = {}  # own chain -> list of numbers, None if it is certainly not there
        self.fuses = collections.deque()  # (when it must be gone, key)
        self.own_count = None  # what my own counter is at
        self.sums = {}  # (shared key, life) -> [acknowledged sum, highest seen]
        self.count = dict.fromkeys(
            "set refused hit miss delete touch hot gone chain incr cas conn".split(), 0)

    def index(self):
        """Some key, low numbers more often."""
        return int(KEYS * self.rng.random() ** 2)

    def next(self):
        """A number for a change that is about to be sent."""
        self.number += 1
        return self.number

    def done(self, index=None, number=None):
        """Everything sent so far is acknowledged; so is this change of that plain key."""
        if index is not None:
            self.board.set_newest(self.me, index, number)
        self.board.acknowledge(self.me, self.number)

    # --- own plain keys -----------------------------------------------------

    def write(self, speaker):
        """Stores one own key."""
        index, number = self.index(), self.next()
        key = plain(self.me, index)
        word = self.rng.choice(("set", "set", "set", "add", "replace"))
        exptime = self.rng.choice((0, 0, 0, 0, 2, 1000))
        last = self.last.get(key)
        sent = time.monotonic()
        result = speaker.store(word, key, make(key, number, size_now(self.rng, self.started)),
                               flags_of(number), exptime)
        over = time.monotonic() + exptime + LATE if exptime == 2 else None
        absent = last is None or (last.over is not None and sent > last.over)
        if result == "stored":
            if word == "replace" and absent:
                raise Wrong("replace of %r was stored, which is not there" % key)
            self.last[key] = Last(number, over)
            self.done(index, number)
        elif result == "refused":
            self.count["refused"] += 1
            if word == "set":  # the old value is gone, or readers would take it for the new one
                self.last[key] = None
                self.done(index, number)
        elif result != "not_stored" or word == "set" or (word == "add" and absent):
            raise Wrong("%s of %r, which is%s there: %s" % (word, key, " not" if absent else "",
                                                           result))
        self.done()
        self.count["set"] += 1

    def write_many(self, speaker):
        """Stores some own keys without waiting for each."""
        rows, indices = [], []
        for _ in range(self.rng.randrange(2, 60)):
            index, number = self.index(), self.next()
            key = plain(self.me, index)
            size = min(20000, size_now(self.rng, self.started))
            rows.append((key, make(key, number, size), flags_of(number)))
            indices.append((key, index, number))
        speaker.set_many(rows)
        for key, index, number in indices:
            self.last[key] = Last(number, None)
            self.done(index, number)
        self.count["set"] += len(rows)

    def remove(self, speaker):
        """Deletes one own key."""
        index, number = self.index(), self.next()
        key = plain(self.me, index)
        if speaker.delete(key) and self.last.get(key) is None:
            raise Wrong("delete found %r, which is not there" % key)
        self.last[key] = None
        self.done(index, number)
        self.count["delete"] += 1

    def touch(self, speaker):
        """Gives one own key another time."""
        key = plain(self.me, self.index())
        last = self.last.get(key)
        exptime = self.rng.choice((0, 1000, 2))
        before = self.before([key])
        sent = time.monotonic()
        if self.rng.random() < 0.5:
            there = speaker.touch(key, exptime)
        else:
            there = self.check([key], speaker.get([key], exptime), sent, *before)
        if there and (last is None or (last.over is not None and sent > last.over)):
            raise Wrong("touch found %r, which is not there" % key)
        if there:
            last.over = time.monotonic() + exptime + LATE if exptime == 2 else None
        self.count["touch"] += 1

    # --- reading ------------------------------------------------------------

    def before(self, keys):
        """What is acknowledged now, before keys are asked for."""
        newest = {key: self.board.newest(*plain_parts(key)) for key in keys}
        return newest, [self.board.floor(owner) for owner in range(OWNERS)]

    def check(self, keys, found, sent, newest, floors):
        """Looks at what came for plain keys; how many."""
        for key, (value, flags, _) in found.items():
            if key not in newest:
                raise Wrong("not asked for: %r" % key)
            number = number_of(key, value, flags)
            owner = plain_parts(key)[0]
            if number < newest[key]:
                raise Wrong("%r is number %d, acknowledged was %d" % (key, number, newest[key]))
            if number <= floors[owner]:
                raise Wrong("%r is number %d, flushed was up to %d" % (key, number, floors[owner]))
            if owner == self.me:
                last = self.last.get(key)
                if last is None or last.number != number:
                    raise Wrong("%r is number %d, stored last was %s" % (
                        key, number, last and last.number))
                if last.over is not None and sent > last.over:
                    raise Wrong("%r is seen %.2f s after its time" % (
                        key, sent - last.over + LATE))
            elif number < self.seen.get(key, 0):
                raise Wrong("%r went back from %d to %d" % (key, self.seen[key], number))
            else:
                self.seen[key] = number
        self.count["hit"] += len(found)
        self.count["miss"] += len(keys) - len(found)
        return len(found)

    def read(self, speaker):
        """Looks some keys up."""
        keys = list({plain(self.rng.randrange(OWNERS), self.index())
                     for _ in range(self.rng.choice((1, 2, 10, 50)))})
        before = self.before(keys)
        sent = time.monotonic()
        self.check(keys, speaker.get(keys), sent, *before)

    def hot(self, speaker):
        """Many writes of one key in one go, or many reads, so that they meet in the server."""
        owner = self.rng.randrange(OWNERS)
        index = 0
        key = plain(owner, index)
        self.count["hot"] += 1
        if owner == self.me:
            numbers = [self.next() for _ in range(150)]
            speaker.set_many([(key, make(key, n, self.rng.randrange(1000, 4000)), flags_of(n))
                              for n in numbers])
            self.last[key] = Last(self.number, None)
            self.done(index, self.number)
            return
        newest, floor = self.board.newest(owner, index), self.board.floor(owner)
        least = max(newest, floor + 1, self.seen.get(key, 0))
        for name, value, flags, _ in speaker.rows([key] * 300):
            number = number_of(key, value, flags)
            if name != key or number < least:
                raise Wrong("%r: %r number %d, acknowledged %d, flushed %d, seen %d" % (
                    key, name, number, newest, floor, least))
            least = self.seen[key] = number

    # --- time ---------------------------------------------------------------

    def fuse(self, speaker):
        """Stores keys of their own for a second or two; they are looked for when that is over."""
        number = self.next()
        key = b"t%d-%d" % (self.me, number)
        exptime = self.rng.choice((1, 1, 2))
        if self.rng.random() < 0.5:
            result = speaker.store("set", key, make(key, number, 50), flags_of(number), exptime)
        else:
            result = speaker.store("set", key, make(key, number, 50), flags_of(number),
                                   self.rng.choice((0, 100)))
            speaker.touch(key, exptime)
        self.done()
        if result == "stored":
            self.fuses.append((time.monotonic() + exptime + LATE, key))
        due = []
        while self.fuses and self.fuses[0][0] < time.monotonic() and len(due) < 50:
            due.append(self.fuses.popleft()[1])
        if due:
            found = speaker.get(due)
            if found:
                raise Wrong("seen after their time: %r" % sorted(found))
            self.count["gone"] += len(due)

    # --- append and prepend -------------------------------------------------

    def chain(self, speaker):
        """Adds a link to an own chain, or looks at any."""
        owner = self.rng.randrange(OWNERS)
        key = b"a%d-%d" % (owner, self.rng.randrange(CHAINS))
        self.count["chain"] += 1
        floor = self.board.floor(owner)
        if owner != self.me:
            self.links(key, speaker.get([key]), floor)
            return
        links = self.chains.get(key)
        if self.rng.random() < 0.3:
            got = self.links(key, speaker.get([key]), floor)
            if got is not None and got != links:
                raise Wrong("%r has the links %r, made were %r" % (key, got, links))
            return
        number = self.next()
        word = self.rng.choice(("append", "prepend"))
        if not links or len(links) > 40:
            word = "set"
        link = b"[%d %s]" % (number, b"#" * self.rng.choice((0, 5, 50, 500, 5000)))
        result = speaker.store(word, key, link)
        if result == "stored" and word == "set":
            self.chains[key] = [number]
        elif result == "stored":
            self.chains[key] = links + [number] if word == "append" else [number] + links
        elif result == "not_stored" and word != "set":
            self.chains[key] = None
        elif result == "refused":
            if word == "set":
                self.chains[key] = None
        else:
            raise Wrong("%s of %r: %s" % (word, key, result))
        self.done()

    @staticmethod
    def links(key, found, floor):
        """The numbers in a chain that was read; None if there is none."""
        if key not in found:
            return None
        numbers = []
        for link in found[key][0].split(b"]")[:-1]:
            number, _, body = link[1:].partition(b" ")
            if link[:1] != b"[" or body.strip(b"#"):
                raise Wrong("%r holds %r" % (key, link[:100]))
            numbers.append(int(number))
        if not numbers or min(numbers) <= floor or not found[key][0].endswith(b"]"):
            raise Wrong("%r has the links %r, flushed was up to %d" % (key, numbers, floor))
        return numbers

    # --- numbers ------------------------------------------------------------

    def own_counter(self, speaker):
        """Counts where nobody else does: exact, or gone."""
        key = b"n%d" % self.me
        delta = self.rng.randrange(1, 100)
        got = speaker.incr(key, delta)
        self.count["incr"] += 1
        if got == "refused":
            return
        if got is None:
            result = speaker.store("add", key, b"%d" % 1000)
            self.own_count = 1000 if result == "stored" else None
        elif self.own_count is None or got != self.own_count + delta:
            raise Wrong("%r is %d after %r + %d" % (key, got, self.own_count, delta))
        else:
            self.own_count = got

    def life(self):
        """A number that no other client gives to the next life of a shared key."""
        self.lives += 1
        return self.lives * OWNERS + self.me

    def shared_counter(self, speaker):
        """Counts where all do.  Which life of the counter an answer is of can be seen in it."""
        key = b"s%d" % self.rng.randrange(COUNTERS)
        delta = self.rng.randrange(1, 1000)
        got = speaker.incr(key, delta)
        self.count["incr"] += 1
        if got == "refused":
            return
        if got is None:
            if speaker.store("add", key, b"%d" % (self.life() * LIFE)) not in (
                    "stored", "not_stored", "refused"):
                raise Wrong("add of a counter")
            return
        row = self.sums.setdefault((key, got // LIFE), [0, 0])
        row[0] += delta
        row[1] = max(row[1], got % LIFE)

    def cas(self, speaker):
        """One round more for a key that all store with cas."""
        key = b"c%d" % self.rng.randrange(ROUNDS)
        found = speaker.get([key]).get(key)
        if found is None:
            number = self.life() * LIFE
            speaker.store("add", key, make(key, number, self.rng.randrange(2000)), flags_of(number))
            return
        value, flags, unique = found
        number = number_of(key, value, flags) + 1
        result = speaker.store("set", key, make(key, number, self.rng.randrange(2000)),
                               flags_of(number), cas=unique)
        if result == "stored":
            row = self.sums.setdefault((key, number // LIFE), [0, 0])
            row[0] += 1
            row[1] = max(row[1], number % LIFE)
        elif result not in ("exists", "not_found", "refused"):
            raise Wrong("cas of %r: %s" % (key, result))
        self.count["cas"] += 1

    # --- the whole ----------------------------------------------------------

    def reconnect(self, speaker):
        """Ends a connection, politely or not, and opens another."""
        i = self.speakers.index(speaker)
        speaker.conn.close()
        self.speakers[i] = SPEAKERS[i](self.server.conn())
        self.count["conn"] += 1

    STEPS = ((24, write), (6, write_many), (34, read), (4, remove), (7, touch), (7, chain),
             (5, own_counter), (6, shared_counter), (6, cas), (6, hot), (6, fuse),
             (1, reconnect))

    def work(self, until):
        """Until the time is over, or something is wrong."""
        steps = [step for weight, step in self.STEPS for _ in range(weight)]
        while time.monotonic() < until and not self.board.stop:
            self.rng.choice(steps)(self, self.rng.choice(self.speakers))
        for speaker in self.speakers:
            speaker.conn.close()
        return self.count, self.sums


def settle(sums):
    """What all clients together saw of shared counters: a list of what does not add up."""
    total = {}
    for one in sums:
        for name, (added, top) in one.items():
            row = total.setdefault(name, [0, 0])
            row[0] += added
            row[1] = max(row[1], top)
    return ["%r, life %d: %d were added, it came to %d" % (key, life, added, top)
            for (key, life), (added, top) in sorted(total.items()) if added != top], len(total)

