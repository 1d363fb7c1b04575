#!/usr/bin/python3
"""Nodes that die, stand still, leave or come late.

While it happens clients go on, and what they are answered is checked: a value is one that was
stored last, or a miss that a fault explains, or an error; and whatever it is, it comes soon.
"""

import collections
import os
import random
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import tap  # noqa: E402
from cluster import AGREE, Cluster  # noqa: E402
from server import DEADLINE, SANITIZED, program_exists, wait_until  # noqa: E402

PEER_TIMEOUT = 0.3
SLACK = 0.5 if not SANITIZED else 2.0  # seconds that a busy machine may add to an answer
FAULTY = {"peer_timeout": "300ms", "gossip_profile": "local"}

Event = collections.namedtuple("Event", "key kind seconds at")


class Load(threading.Thread):
    """One client of one node: stores and reads keys of its own, and keeps a record.

    The value of a key is its name and a number that grows.  A value that is read must be the one
    that was stored last, or one of those whose storing ended with an error after it.
    """

    def __init__(self, node, keys, seed):
        super().__init__()
        self.node = node
        self.keys = keys
        self.rng = random.Random(seed)
        self.acked = dict.fromkeys(keys, 0)
        self.tried = dict.fromkeys(keys, 0)
        self.events = []
        self.told = []  # errors, in the server's words
        self.wrong = []
        self.over = threading.Event()

    def set(self, conn, key):
        """stored, error."""
        number = self.tried[key] = self.tried[key] + 1
        answer = conn.set(key, b"%s=%d=" % (key, number) + b"x" * self.rng.choice((0, 50, 3000)))
        if answer == b"STORED\r\n":
            self.acked[key] = number
            return "stored"
        if not answer.startswith(b"SERVER_ERROR "):
            self.wrong.append("set %r: %r" % (key, answer))
        self.told.append((key, answer))
        return "unstored"

    def get(self, conn, key):
        """hit, miss, error."""
        conn.send(b"get %s\r\n" % key)
        head = conn.line()
        if head == b"END\r\n":
            return "miss"
        if head.startswith(b"SERVER_ERROR "):
            self.told.append((key, head))
            return "error"
        m = re.fullmatch(rb"VALUE (\S+) 0 (\d+)\r\n", head)
        if not m or m[1] != key:
            self.wrong.append("get %r: %r" % (key, head))
            raise OSError("out of step")
        value = conn.exact(int(m[2]) + 7)
        found = re.fullmatch(rb"(\S+)=(\d+)=x*\r\nEND\r\n", value)
        if not found or found[1] != key or not (
                self.acked[key] <= int(found[2]) <= self.tried[key]):
            self.wrong.append("get %r: %.60r, and %d was stored, %d tried" % (
                key, value, self.acked[key], self.tried[key]))
        return "hit"

    def run(self):
        conn = self.node.conn()
        while not self.over.is_set():
            key = self.rng.choice(self.keys)
            began = time.monotonic()
            try:
                kind = (self.set if self.rng.random() < 0.3 else self.get)(conn, key)
            except OSError as error:
                if not self.over.is_set():
                    self.wrong.append("the connection to node %d: %r" % (self.node.index, error))
                return
            now = time.monotonic()
            self.events.append(Event(key, kind, now - began, began))
            time.sleep(0.001)
        conn.close()


class Loads:
    """Clients of several nodes.  Use it in a with statement."""

    def __init__(self, c, nodes, count=60):
        self.loads = []
        for node in nodes:
            keys = [b"load-%d-%d" % (node, i) for i in range(count)]
            self.loads.append(Load(c.node(node), keys, node))
        self.owner = {}
        for load in self.loads:
            self.owner.update(c.owners(load.keys, through=load.node.index))
            with load.node.conn() as conn:
                for key in load.keys:
                    load.set(conn, key)

    def mark(self):
        """Now, for the times of events."""
        return time.monotonic()

    def kinds(self, owners, since, until=None):
        """How often what came of requests for keys of these owners, begun in that time."""
        until = until or time.monotonic()
        return collections.Counter(
            e.kind for load in self.loads for e in list(load.events)
            if self.owner[e.key] in owners and since <= e.at <= until)

    def slowest(self, since, owners=(0, 1, 2, 3, 4)):
        """The longest that a client waited for one answer."""
        return max((e.seconds for load in self.loads for e in list(load.events)
                    if e.at >= since and self.owner[e.key] in owners), default=0)

    def told(self):
        """The errors that clients were told, and whose keys they were about."""
        return [(self.owner[key], said) for load in self.loads for key, said in load.told]

    def wrong(self):
        """What must never be answered."""
        return [w for load in self.loads for w in load.wrong]

    def __enter__(self):
        for load in self.loads:
            load.start()
        return self

    def __exit__(self, kind, error, trace):
        for load in self.loads:
            load.over.set()
        for load in self.loads:
            load.join()


def go_on(loads, count=300):
    """Waits until every client has had so many more answers; the moment when it began."""
    began = time.monotonic()
    had = [len(load.events) for load in loads.loads]
    wait_until(lambda: all(len(load.events) - n >= count or not load.is_alive()
                           for n, load in zip(had, loads.loads)), 3 * DEADLINE)
    return began


def first_part(c, loads):
    """Before anything happens everything is found."""
    began = go_on(loads)
    kinds = loads.kinds((0, 1, 2), began)
    tap.is_({k: n for k, n in kinds.items() if k not in ("hit", "stored")}, {},
            "all is well first", [n.cluster() for n in c.running()])


def kill_one(c, loads, peer_error, word):
    """SIGKILL of one of three under load."""
    misses = c.stat("get_misses")
    c.kill(2)
    gone = loads.mark()
    c.agree(2)
    tap.note("dead to all others after %.2f s" % (time.monotonic() - gone))
    since = go_on(loads)
    others, its = loads.kinds((0, 1), gone), loads.kinds((2,), gone)
    tap.is_({k: n for k, n in others.items() if k not in ("hit", "stored")}, {},
            word + "the others' keys are served")
    failed = "miss" if peer_error == "miss" else "error"
    tap.is_(set(its), {failed, "unstored"}, word + "gets and sets of its keys")
    tap.ok(its[failed] > 10 and its["unstored"] > 5, word + "and there were some", its)
    tap.between(loads.slowest(gone), 0, PEER_TIMEOUT + SLACK, word + "nobody waits long")
    tap.between(loads.slowest(since), 0, SLACK, word + "and once known, nobody waits")
    tap.is_(c.stat("get_misses") - misses, 0, word + "these are not counted as misses")
    counted = c.total("forward_misses" if peer_error == "miss" else "forward_errors")
    tap.ok(counted >= its[failed], word + "but apart", [n.cluster() for n in c.running()])


def start_again(c, loads, ids):
    """The dead one comes back, under its old name."""
    c.restart(2)
    c.agree(3)
    tap.is_({n.index: member_id(c, n.index) for n in c.running()}, ids,
            "it rejoins under its old id")
    c.serves()
    since = go_on(loads, 600)
    kinds = loads.kinds((0, 1, 2), since)
    tap.is_(kinds["error"] + kinds["unstored"], 0, "and all keys are served again")
    tap.ok(loads.kinds((2,), since)["hit"] > 20, "its own too", loads.kinds((2,), since))


def killed_and_missed():
    """Its keys are misses; it comes back."""
    with Cluster(3, peer_error="miss", **FAULTY) as c:
        ids = {n.index: member_id(c, n.index) for n in c.running()}
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            kill_one(c, loads, "miss", "peer-error=miss: ")
            start_again(c, loads, ids)
        tap.is_(loads.wrong(), [], "no answer was a wrong one")


def killed_and_told():
    """Its keys are errors."""
    with Cluster(3, peer_error="error", **FAULTY) as c:
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            kill_one(c, loads, "error", "peer-error=error: ")
        tap.is_(loads.wrong(), [], "no answer was a wrong one")


def member_id(c, index):
    """The id by which the cluster knows a node."""
    return c.node(index).cluster()["self"]


def multigets():
    """A get of many keys, some of a dead node."""
    for peer_error in ("miss", "error"):
        with Cluster(3, peer_error=peer_error, auto_forget="0", **FAULTY) as c:
            keys = [b"many-%d" % i for i in range(60)]
            owners = c.owners(keys)
            c.kill(2)
            c.agree(2)
            left = [k for k in keys if owners[k] != 2]
            values = b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (k, len(k), k) for k in left)
            with c.conn(0) as conn:
                conn.send(b"get %s\r\nmn\r\n" % b" ".join(keys))
                got = conn.until(b"MN\r\n")[:-4]
                if peer_error == "miss":
                    tap.is_(got, values + b"END\r\n", "a multiget without the dead node's keys")
                else:
                    tap.ok(re.search(rb"SERVER_ERROR [^\r]*\r\n$", got) and b"END" not in got,
                           "a multiget that ends with an error", got[-200:])
                got = conn.ask(b"gets %s\r\nmn\r\n" % b" ".join(keys), b"MN\r\n")
                tap.ok(re.search(rb"SERVER_ERROR [^\r]*\r\nMN\r\n$", got),
                       "gets is an error with peer-error=%s" % peer_error, got[-200:])
                dead = next(k for k in keys if owners[k] == 2)
                for request in (b"incr %s 1\r\n", b"delete %s\r\n", b"touch %s 1\r\n",
                                b"append %s 0 0 1\r\nx\r\n", b"ms %s 1\r\nx\r\n", b"md %s\r\n"):
                    got = conn.ask(request % dead)
                    tap.ok(got.startswith(b"SERVER_ERROR "), "an error: %r" % request, got)
                conn.send(b"set %s 0 0 1 noreply\r\nx\r\nget %s\r\n" % (dead, left[0]))
                tap.is_(conn.until(b"END\r\n"), b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (
                    left[0], len(left[0]), left[0]), "noreply says nothing of it")


def paused():
    """SIGSTOP of one under load, and SIGCONT."""
    with Cluster(3, peer_error="miss", **FAULTY) as c:
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            c.pause(2)
            stopped = loads.mark()
            wait_until(lambda: loads.kinds((2,), stopped)["miss"] > 20
                       and loads.kinds((2,), stopped)["unstored"] > 5, AGREE)
            others, its = loads.kinds((0, 1), stopped), loads.kinds((2,), stopped)
            tap.is_({k: n for k, n in others.items() if k not in ("hit", "stored")}, {},
                    "the others' keys are served while one stands still")
            tap.is_(set(its), {"miss", "unstored"}, "its keys are misses and errors")
            tap.between(loads.slowest(stopped), 0, PEER_TIMEOUT + SLACK, "after the time-out")
            tap.between(loads.slowest(stopped, (0, 1)), 0, SLACK, "of which others' feel nothing")
            since = go_on(loads)
            tap.between(loads.slowest(since), 0, PEER_TIMEOUT + SLACK,
                        "when the breaker is open they come at once")
            waits = [e.seconds for load in loads.loads for e in load.events
                     if e.at > since and loads.owner[e.key] == 2]
            tap.ok(sorted(waits)[len(waits) * 9 // 10] < 0.05, "nearly all of them",
                   sorted(waits)[-10:])
            c.agree(2)
            c.resume(2)
            went = loads.mark()
            c.agree(3)
            tap.note("back after %.2f s" % (time.monotonic() - went))
            tap.ok(wait_until(lambda: loads.kinds((2,), time.monotonic() - 0.5)["hit"] > 10, AGREE),
                   "it is asked again", loads.kinds((2,), went))
            since = go_on(loads, 600)
            kinds = loads.kinds((0, 1, 2), since)
            tap.is_(kinds["error"] + kinds["unstored"], 0, "and nothing fails any more")
        tap.is_(loads.wrong(), [], "no answer is a stale one, or another request's")
        with c.conn(0) as conn:
            late = [k for load in loads.loads for k in load.keys
                    if not fresh(conn.get(k), load, k)]
        tap.is_(late, [], "nor later")


def fresh(value, load, key):
    """True if the value is none, or not older than what was stored last."""
    return value is None or load.acked[key] <= int(value.split(b"=")[1]) <= load.tried[key]


def left():
    """SIGTERM of one under load: it gives its keys up, and nobody is told an error."""
    with Cluster(3) as c:
        c.rest()
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            told = loads.mark()
            code = c.leave(2)
            tap.is_(code, 0, "a node that leaves ends with 0")
            tap.note("%.2f s after it was told" % (time.monotonic() - told))
            c.agree(2)
            go_on(loads, 600)
            kinds = loads.kinds((0, 1, 2), told)
            tap.is_(kinds["error"] + kinds["unstored"], 0, "meanwhile nothing failed", loads.told())
            since = go_on(loads, 600)
            its = loads.kinds((2,), since)
            tap.ok(its["hit"] > 20 and its["stored"] > 5, "its keys are kept by others now", its)
            kept = loads.kinds((0, 1), told)
            tap.ok(kept["miss"] <= kept["hit"] / 20, "and those of others stay where they are",
                   kept)
            tap.ok(not any("dead" in cluster.states(n).values() for n in c.running()),
                   "it is not dead but gone", [cluster.states(n) for n in c.running()])
            c.restart(2)
            c.agree(3)
            since = go_on(loads, 300)
            kinds = loads.kinds((0, 1, 2), since)
            tap.is_(kinds["error"] + kinds["unstored"], 0, "and may come back")
        tap.is_(loads.wrong(), [], "no answer was a wrong one")


def late():
    """A fourth node joins under load."""
    with Cluster(3, **FAULTY) as c:
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            began = loads.mark()
            index = c.add()
            c.agree(4)
            tap.note("known to all after %.2f s" % (time.monotonic() - began))
            go_on(loads, 600)
            kinds = loads.kinds((0, 1, 2), began)
            tap.is_(kinds["error"] + kinds["unstored"], 0, "nothing fails while it joins")
            since = go_on(loads, 600)
            kinds = loads.kinds((0, 1, 2), since)
            tap.ok(kinds["hit"] > 100, "what is stored is found", kinds)
        tap.is_(loads.wrong(), [], "no answer was a wrong one")
        owners = c.owners([b"late-%d" % i for i in range(400)])
        tap.between(list(owners.values()).count(index), 50, 150, "it owns about a quarter")


def forgotten():
    """Paused until the others forget it; they write its keys meanwhile; it comes back."""
    keys = [b"back-%d" % i for i in range(300)]
    with Cluster(3, auto_forget="2s", **FAULTY) as c:
        its = [key for key, index in c.owners(keys).items() if index == 2]  # stores them, too
        tap.ok(len(its) > 50, "it owns a third", len(its))
        c.pause(2)
        with c.conn(0) as conn:
            tap.ok(wait_until(lambda: all(conn.set(key, b"new") == b"STORED\r\n" for key in its),
                              AGREE),
                   "the others take its keys over")
        c.resume(2)
        tap.ok(wait_until(lambda: c.node(2).figure("strays") >= len(its), AGREE),
               "it throws away what it held")
        c.agree(3)
        for index in range(3):
            with c.conn(index) as conn:
                tap.is_({conn.get(key) for key in its} - {b"new", None}, set(),
                        "through node %d: nothing that was overwritten" % index)


if __name__ == "__main__":
    program_exists()
    tap.run([killed_and_missed, killed_and_told, multigets, paused, left, late, forgotten])
