#!/usr/bin/python3
"""One memcached and three nodes of ours, each connection through a node by chance, are asked the
same and answer the same, but for versions, statistics and the list of t/twin/differences.py.

See t/twin/README.md, whose generator makes the requests; those that are about one node are left
out.  TWIN_SEED makes another run, TWIN_CASES or TWIN_SECONDS a longer one, TWIN_CASE runs one case
by its number.  The counters that tell of items are summed over the nodes and compared too.
"""

import os
import random
import re
import shutil
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "twin")]

os.environ.setdefault("TWIN_CASES", "400")

import cases  # noqa: E402
import generator  # noqa: E402
import main  # noqa: E402
import operators  # noqa: E402
import pair  # noqa: E402
import runner  # noqa: E402
import server  # noqa: E402
import tap  # noqa: E402
from cluster import Cluster  # noqa: E402

LIMIT = 30  # seconds, where the machine is too slow for all cases; 0 with TWIN_SECONDS
ONE = os.environ.get("TWIN_CASE")

# About the node that is asked.
LOCAL = (b"stats", b"cache_memlimit", b"slabs", b"lru", b"watch", b"verbosity", b"shutdown",
         b"debugtime", b"refresh_certs")
LOCAL_OPCODES = (0x10, 0x1b)

# Of a cluster the sum of all nodes.
SUMMED = frozenset("""get_hits get_misses get_expired get_flushed delete_misses delete_hits
    incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits
    touch_misses curr_items total_items""".split())


# Which of two keys' versions is the greater, which memcached counts up, nobody says of two nodes.
ORDERED = re.compile(rb"m[sd] (?=[^\n]* C<cas:)[^\n]* I\b", re.S)


def is_local(name, request):
    """True for a request that is not for the cluster."""
    if cases.is_binary(name):
        return request[1:2] and request[1] in LOCAL_OPCODES
    return request.lstrip(b" ").startswith(LOCAL) or ORDERED.match(request)


def without_local(case):
    """The case without what is about one node; cuts that are beyond its end do nothing."""
    found = []
    for step in case:
        if step[0] == "talk":
            requests = [r for r in step[2] if not is_local(step[1], r)]
            if requests:
                found.append(("talk", step[1], requests, step[3]))
        else:
            found.append(step)
    return found


class Nodes(pair.Side):
    """A cluster in place of a server."""

    def __init__(self, running, name, timed):
        super().__init__(running.node(0), name, timed)
        self.cluster = running
        self.rng = random.Random(0)
        self.barriers = [self.barrier] + [running.conn(i) for i in (1, 2)]

    def open(self, name):
        """Another connection, to a node by chance."""
        self.running = self.cluster.node(self.rng.randrange(3))
        super().open(name)

    def counters(self):
        """What is compared of the statistics of all nodes, summed; the others are nobody's."""
        total = dict.fromkeys(SUMMED, 0)
        for barrier in self.barriers:
            rows = barrier.stats()
            for name in total:
                total[name] += int(rows[name])
        return total

    def alive(self):
        """True while all processes run."""
        return all(node.proc.poll() is None for node in self.cluster.nodes)


class Three(pair.Pair):
    """memcached and three nodes."""

    number = 0  # of the case: it decides through which nodes

    def _start(self):
        us = Cluster(3, "-t", "1", "-R", "1000000", "-c", "1000",
                     "-o", "no_lru_crawler,no_slab_reassign", peer_timeout="10s", node_id="node-%d")
        us.rest()
        self.sides.append(Nodes(us, "ours", self.timed))
        env = {}
        if self.timed:
            self.all_nodes(b"debugtime p\r\n")
            self.now = self.sides[0].time()
            for barrier in self.sides[0].barriers:  # all to the same second
                barrier.ask(b"debugtime %d\r\n" % (self.now - int(barrier.stats()["time"])))
            self._write_clock()
            env = {"LD_PRELOAD": pair.faketime(), "FAKETIME_TIMESTAMP_FILE": self.clock,
                   "FAKETIME_NO_CACHE": "1", "TZ": "UTC"}
        them = server.Server("-t", "1", "-R", "1000000", "-c", "1000", "-o",
                             "no_lru_crawler,no_slab_reassign,no_lru_maintainer", env=env,
                             program=pair.MEMCACHED)
        self.sides.insert(0, pair.Side(them, "theirs", self.timed))
        if self.timed:
            self._await_clock()

    def all_nodes(self, request):
        """Tells all nodes, which must say OK."""
        for barrier in self.sides[-1].barriers:
            answer = barrier.ask(request)
            if answer != b"OK\r\n":
                raise RuntimeError("%r: %r" % (request, answer))

    def shift(self, seconds):
        """All clocks go on."""
        self.now += seconds
        self.all_nodes(b"debugtime %d\r\n" % seconds)
        self._write_clock()
        self._await_clock()

    def _await_clock(self):
        ours, self.sides = self.sides[1], self.sides[:1]
        try:
            super()._await_clock()
        finally:
            self.sides.append(ours)
        for barrier in ours.barriers:
            if not server.wait_until(lambda b=barrier: int(b.stats()["time"]) == self.now):
                raise RuntimeError("the clock of a node is %s, not %d" % (
                    barrier.stats()["time"], self.now))

    def turns(self, count):
        """Returns when every node has gone round its loop so often; the bytes that came."""
        ours = self.sides[1]
        for _ in range(count):
            for barrier in ours.barriers:
                if barrier.ask(b"mn\r\n") != b"MN\r\n":
                    raise ConnectionError("a node does not answer")
        return ours.drain()

    def settle(self, sent=0):
        """A request crosses to its owner and its answer comes back: more turns, of every node."""
        super().settle(sent)
        while self.turns(5 + sent // 4096) > 0:
            pass

    def take(self):
        """As the two have answered; where they differ some more turns show that it stays so."""
        said = [{name: (line.got, line.answers.rest, line.closed)
                 for name, line in side.lines.items()} for side in self.sides]
        if said[0] != said[1]:
            while self.turns(30) > 0:
                pass
        return super().take()

    def begin(self, cleaning):
        """A clean start on all nodes."""
        self.sides[1].rng = random.Random("%d/%d" % (main.SEED, self.number))
        for barrier in self.sides[1].barriers[1:]:
            barrier.send(b"verbosity 0 noreply\r\nstats reset\r\nmn\r\n")
            barrier.until(b"MN\r\n")
        super().begin(cleaning)
        self.settle()

    def close(self):
        """Ends all; what was wrong with ours."""
        problem = ""
        for side in self.sides:
            side.begin()
            if side.name == "ours":
                for barrier in side.barriers:
                    barrier.close()
                problem = side.cluster.end()
            else:
                side.barrier.close()
                side.running.kill()
                shutil.rmtree(side.running.dir, ignore_errors=True)
        self.sides = []
        shutil.rmtree(self.dir, ignore_errors=True)
        return problem


class Search(main.Search):
    """As t/twin's, with a cluster and without what is not for one."""

    def judge(self, operated):
        """The judge, whose servers run."""
        found = self.judges.get(operated)
        if found and found.pair.now > found.pair.worn:
            found.pair.close()
            found = None
        if not found:
            three = Three(self.timed)
            three.__enter__()
            found = self.judges[operated] = runner.Runner(three, generator.cleaning)
        return found

    def one(self, number, case):
        """Judges one case through the nodes of its number."""
        self.judge(False).pair.number = number
        super().one(number, case)

    def run(self):
        """Until the cases or the time are used up, or there are failures enough."""
        began, number = time.monotonic(), int(ONE or 0)
        while len(self.failures) < main.FAILURES:
            over = time.monotonic() - began
            if main.SECONDS and over >= main.SECONDS or not main.SECONDS and (
                    self.done >= main.CASES or over >= LIMIT):
                break
            case = generator.generate(main.SEED, number, self.timed)
            number += 1
            if not operators.is_operators(case):
                case = without_local(case)
                if any(step[0] == "talk" for step in case):
                    self.one(number - 1, case)
            if ONE:
                break


def differential():
    """The test."""
    timed = pair.faketime() is not None and main.debug_build()
    if not timed:
        tap.note("no faketime, or no debug build: the clocks are not shifted")
    search = Search(timed)
    try:
        search.run()
    finally:
        problem = search.close()
    tap.note("TWIN_SEED=%d: %d cases, %d of them met differences of the list" % (
        main.SEED, search.done, search.explained))
    tap.ok(not search.failures, "what memcached answers, three nodes answer, but for the list",
           "%d failures, above" % len(search.failures))
    tap.ok(search.done > (0 if ONE else 20), "some cases were run", search.done)
    tap.ok(not problem, "every node ends with 0", problem)


if __name__ == "__main__":
    server.program_exists()
    if not os.access(pair.MEMCACHED, os.X_OK):
        tap.skip_all("Debian package memcached is missing")
    tap.guarded(differential)
    tap.done()
