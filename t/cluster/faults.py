#!/usr/bin/python3
"""Nodes that die, stand still, leave, come late, are cut off from each other, or hear nonsense.

While it happens clients go on, and what they are answered is checked: a value is one that was
stored last, or a miss that a fault explains, or an error; and whatever it is, it comes soon.
"""

import collections
import ctypes
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import tap  # noqa: E402
from cluster import AGREE, Cluster, Node, free_ports, option  # noqa: E402
from server import (DEADLINE, SANITIZED, Conn, NotStarted, program_exists,  # noqa: E402
                    wait_until)

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
        return "unstored"

    def get(self, conn, key):
        """hit, miss, error."""
        conn.send(b"get %s\r\n" % key)
        head = conn.line()
        if head == b"END\r\n":
            return "miss"
        if head.startswith(b"SERVER_ERROR "):
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
    tap.is_(kinds["miss"] + kinds["error"] + kinds["unstored"], 0, "all is well first")


def killed(peer_error):
    """SIGKILL of one of three under load; it comes back under its old name."""
    word = "peer-error=%s: " % peer_error
    with Cluster(3, peer_error=peer_error, **FAULTY) as c:
        before = {n.index: member_id(c, n.index) for n in c.running()}
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
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
            tap.ok(counted >= its[failed], word + "but apart",
                   [n.cluster() for n in c.running()])
            c.restart(2)
            c.agree(3)
            tap.is_({n.index: member_id(c, n.index) for n in c.running()}, before,
                    word + "it rejoins under its old id")
            wait_until(lambda: c.conn(0).set(c_key(loads, 2), b"") == b"STORED\r\n")
            back = go_on(loads)
            kinds = loads.kinds((0, 1, 2), back)
            tap.is_(kinds["error"] + kinds["unstored"], 0, word + "and all keys are served again")
            back = go_on(loads, 600)
            tap.ok(loads.kinds((2,), back)["hit"] > 20, word + "its own too",
                   loads.kinds((2,), back))
        tap.is_(loads.wrong(), [], word + "no answer was a wrong one")


def c_key(loads, owner):
    """A key of that owner that no client uses."""
    return next(k for k, o in loads.owner.items() if o == owner) + b"-probe"


def member_id(c, index):
    """The id by which the cluster knows a node."""
    return c.node(index).cluster()["self"]


def killed_and_missed():
    """Its keys are misses."""
    killed("miss")


def killed_and_told():
    """Its keys are errors."""
    killed("error")


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
    with Cluster(3, **FAULTY) as c:
        time.sleep(3)  # until the ring's last change is behind it, and nothing is stray any more
        with Loads(c, (0, 1)) as loads:
            first_part(c, loads)
            told = loads.mark()
            code = c.leave(2)
            tap.is_(code, 0, "a node that leaves ends with 0")
            tap.note("%.2f s after it was told" % (time.monotonic() - told))
            c.agree(2)
            go_on(loads, 600)
            kinds = loads.kinds((0, 1, 2), told)
            tap.is_(kinds["error"] + kinds["unstored"], 0, "meanwhile nothing failed")
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


def seeds():
    """A file of seeds that changes; a name; a cluster of another name."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "seeds")
        with open(path, "w") as out:
            out.write("# nobody yet\n")
        first, second, other = free_ports(3)
        common = ("--gossip-profile=local", "-v")
        with Node(0, "--cluster=yes", "--cluster-port=%d" % first, *common) as a, \
                Node(1, "--join=file:" + path, "--cluster-port=%d" % second, *common) as b:
            tap.is_([cluster.alive(n)[0] for n in (a, b)], [1, 1], "nobody in the file: alone")
            with b.conn() as conn:
                tap.is_(conn.set(b"alone", b"1"), b"STORED\r\n", "and serving")
            with open(path + ".new", "w") as out:
                out.write("127.0.0.1:%d\n" % first)
            os.rename(path + ".new", path)
            began = time.monotonic()
            tap.ok(wait_until(lambda: cluster.alive(a) == cluster.alive(b)
                              and cluster.alive(a)[0] == 2, AGREE), "the file is read again",
                   (a.cluster(), b.cluster()))
            tap.note("after %.1f s" % (time.monotonic() - began))
            with a.conn() as conn:
                tap.is_(conn.set(b"both", b"1"), b"STORED\r\n", "both are one cache")
            with Node(2, "--join=localhost:%d" % first, "--cluster-port=-1", *common) as named:
                tap.ok(wait_until(lambda: cluster.alive(named)[0] == 3 and
                                  cluster.alive(named) == cluster.alive(a), AGREE),
                       "a seed may be a name", (named.cluster(), named.stderr()))
            with Node(3, "--join=127.0.0.1:%d" % first, "--cluster-port=%d" % other,
                      "--cluster-name=elsewhere", *common) as stranger:
                tap.ok(wait_until(lambda: re.search("(?i)(name|label|cluster|strange)",
                                                    a.stderr() + stranger.stderr())),
                       "a node of another cluster is refused, and somebody says so",
                       a.stderr() + stranger.stderr())
                time.sleep(1)
                tap.is_(cluster.alive(stranger)[0], 1, "it stays alone")
                tap.ok(wait_until(lambda: cluster.alive(a)[0] == 2), "and unknown to the others",
                       a.cluster())
                tap.note("of the stranger: " + stranger.stderr()[-600:])


# -- nonsense ----------------------------------------------------------------


def overheard(ports, count):
    """Datagrams that the nodes send each other, if we may listen."""
    try:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    except PermissionError:
        return []
    found = []
    with raw:
        raw.bind(("lo", 0))
        raw.settimeout(1)
        until = time.monotonic() + 5
        while len(found) < count and time.monotonic() < until:
            try:
                data = raw.recv(65536)
            except socket.timeout:
                continue
            head = (data[0] & 15) * 4
            if data[9] == 17 and struct.unpack(">H", data[head + 2:head + 4])[0] in ports:
                found.append(data[head + 8:])
    return found


def nonsense():
    """Bytes that are no gossip, and no greeting, do nothing but count."""
    rng = random.Random(11)
    with Cluster(3) as c:
        port = c.node(0).cluster_port
        packets = overheard(c.cluster_ports, 20)
        tap.note("%d datagrams overheard" % len(packets))
        bad = [rng.randbytes(n) for n in (0, 1, 7, 8, 40, 100, 500, 1232, 1233, 9000, 60000) * 5]
        for packet in packets:
            bad += [packet[:n] for n in range(0, len(packet), 7)]
            bad.append(packet + rng.randbytes(40))
        before = c.node(0).figure("gossip_bad")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", port))
            for number, packet in enumerate(bad):
                udp.send(packet)
                if number % 10 == 9:  # not more than the socket holds
                    time.sleep(0.002)
        tap.ok(wait_until(lambda: c.node(0).figure("gossip_bad") - before >= 50),
               "bad datagrams are counted", c.node(0).cluster())
        greeting = hello(port)
        tap.is_(len(greeting), 64, "a node that calls us begins with 64 bytes")
        lines = [rng.randbytes(n) for n in (1, 8, 63, 64, 65, 1000, 100000)]
        lines += [b"get a\r\n", b"set a 0 0 3\r\nabc\r\n", b"\x80" * 64, b"GET / HTTP/1.1\r\n\r\n"]
        lines += [greeting[:n] for n in (0, 1, 8, 32, 63)]
        lines += [greeting + rng.randbytes(n) for n in (1, 4, 40, 5000, 100000)]
        lines += [greeting + struct.pack("<I", 0xffffffff) + rng.randbytes(5000)]
        lines += [greeting + b"\xb7" + rng.randbytes(200), greeting + b"\xb7" * 100000]
        for i in range(0, 64, 3):
            lines.append(greeting[:i] + bytes((greeting[i] ^ 0xff,)) + greeting[i + 1:]
                         + rng.randbytes(300))
        for data in lines:
            try:
                with socket.create_connection(("127.0.0.1", port), DEADLINE) as tcp:
                    tcp.settimeout(DEADLINE)
                    tcp.sendall(data)
                    tcp.shutdown(socket.SHUT_WR)
                    while tcp.recv(65536):
                        pass
            except socket.timeout:
                tap.ok(False, "a connection with %.40r is closed" % data)
            except OSError:
                pass  # it closes on us: well
        waiting = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(100)]
        for half in waiting[:50]:
            half.send(greeting[:32])
        serves(c, "with 100 connections that say nothing")
        for half in waiting:
            half.close()
        c.agree(3)
        serves(c, "and after all of it")
        tap.is_([n.figure("died") for n in c.running()], [0, 0, 0], "nobody was taken for dead")


def serves(c, when):
    """All nodes answer for each other's keys."""
    keys = [b"serves-%d" % i for i in range(60)]
    c.owners(keys, through=1)
    for node in c.running():
        with node.conn() as conn:
            got = [k for k in keys if conn.get(k) != k]
            tap.is_(got, [], "node %d serves %s" % (node.index, when))


def hello(port):
    """The greeting of a node that is told to join us."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        listener.settimeout(DEADLINE)
        with Node(9, "--join=127.0.0.1:%d" % listener.getsockname()[1], "--cluster-port=-1",
                  "--gossip-profile=local"):
            conn, _ = listener.accept()
            conn.settimeout(DEADLINE)
            with conn:
                return Conn(conn).exact(64)


# -- partitions --------------------------------------------------------------


class Network:
    """A network of its own for each node, joined by a bridge in one for this process."""

    def __init__(self, count):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "no network namespace")
        self.holders = []
        self.hosts = ["10.77.0.%d" % (i + 1) for i in range(count)]
        self.shell("ip link set lo up", "ip link add name bridge0 type bridge",
                   "ip addr add 10.77.0.100/24 dev bridge0", "ip link set bridge0 up")
        for i, host in enumerate(self.hosts):
            holder = subprocess.Popen(["unshare", "-n", "--", "sleep", "1000"])
            self.holders.append(holder)
            wait_until(lambda h=holder: os.readlink("/proc/%d/ns/net" % h.pid)
                       != os.readlink("/proc/self/ns/net")
                       and open("/proc/%d/comm" % h.pid).read() == "sleep\n")
            self.shell("ip link add name port%d type veth peer name wire%d" % (i, i),
                       "ip link set port%d master bridge0 up" % i,
                       "ip link set wire%d netns %d" % (i, holder.pid))
            self.inside(i, "ip link set lo up", "ip addr add %s/24 dev wire%d" % (host, i),
                        "ip link set wire%d up" % i, "nft add table inet faults",
                        "nft add chain inet faults input "
                        "{ type filter hook input priority 0 ; }")

    @staticmethod
    def shell(*commands):
        """Each command must succeed."""
        for command in commands:
            subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def under(self, i):
        """What runs a program in the network of a node."""
        return ("nsenter", "-t", str(self.holders[i].pid), "-n", "--")

    def inside(self, i, *commands):
        """Commands in the network of a node."""
        self.shell(*(" ".join(self.under(i)) + " " + command for command in commands))

    def deaf(self, i, others):
        """A node does not hear those any more."""
        places = " , ".join(self.hosts[o] for o in others)
        self.inside(i, "nft add rule inet faults input ip saddr { %s } drop" % places)

    def lossy(self, i, percent):
        """A node does not hear so much of what the others say."""
        self.inside(i, "nft add rule inet faults input ip saddr != 10.77.0.100 numgen random "
                       "mod 100 < %d drop" % percent)

    def heal(self):
        """All hear all."""
        for i in range(len(self.hosts)):
            self.inside(i, "nft flush chain inet faults input")

    def close(self):
        """The networks end with their last process."""
        for holder in self.holders:
            holder.kill()
            holder.wait()


def partitions():
    """Five nodes in two halves, and healed; loss; a node that is heard and does not hear."""
    try:
        network = Network(5)
    except (OSError, subprocess.CalledProcessError) as error:
        tap.skip("five nodes cut in two", "no network namespaces: %s" % (
            getattr(error, "stdout", None) or error))
        return
    try:
        with Cluster(5, hosts=network.hosts, under=[network.under(i) for i in range(5)],
                     auto_forget="0", **FAULTY) as c:
            halves(c, network)
            one_way(c, network)
            losses(c, network)
    finally:
        network.close()


def halves(c, network):
    """Two and three."""
    two, three = [0, 1], [2, 3, 4]
    keys = [b"half-%d" % i for i in range(150)]
    owners = c.owners(keys)
    for i in two:
        network.deaf(i, three)
    for i in three:
        network.deaf(i, two)
    began = time.monotonic()
    c.agree(2, [c.node(i) for i in two])
    c.agree(3, [c.node(i) for i in three])
    tap.note("each half agreed after %.2f s" % (time.monotonic() - began))
    for half in (two, three):
        for i in half:
            with c.conn(i) as conn:
                got = {k: conn.get(k) for k in keys}
            tap.is_([k for k in keys if got[k] != (k if owners[k] in half else None)], [],
                    "node %d finds what its half has, and no more" % i)
    with c.conn(0) as conn:
        here = [k for k in keys if owners[k] in two]
        tap.is_({conn.set(k, b"new") for k in here}, {b"STORED\r\n"}, "and stores there")
        there = next(k for k in keys if owners[k] in three)
        tap.ok(conn.set(there, b"new").startswith(b"SERVER_ERROR "), "but not elsewhere")
    network.heal()
    began = time.monotonic()
    c.agree(5)
    tap.note("one again after %.2f s" % (time.monotonic() - began))
    for i in range(5):
        with c.conn(i) as conn:
            def wrong():
                return [k for k in keys if conn.get(k) != (b"new" if owners[k] in two else k)]
            tap.ok(wait_until(lambda: not wrong()), "node %d finds everything again" % i, wrong)


def one_way(c, network):
    """A node that all hear and that hears nobody; then all is well again."""
    network.deaf(4, [0, 1, 2, 3])
    c.agree(4, [c.node(i) for i in range(4)])
    network.heal()
    c.agree(5)
    tap.ok(True, "a node that heard nobody is back when it hears again")


def losses(c, network):
    """One packet of twenty is lost everywhere: nobody is taken for dead, everything is answered."""
    for i in range(5):
        network.lossy(i, 5)
    lowest, until = 5, time.monotonic() + 4
    answers = collections.Counter()
    conns = [c.conn(i) for i in range(5)]
    number = 0
    while time.monotonic() < until:
        for conn in conns:
            number += 1
            answers[conn.set(b"loss-%d" % (number % 200), b"x")[:6]] += 1
        lowest = min([lowest] + [cluster.alive(n)[0] for n in c.running()])
    for conn in conns:
        conn.close()
    network.heal()
    tap.is_(lowest, 5, "5 % loss: nobody is taken for dead")
    tap.note("answers under loss: %r" % dict(answers))
    tap.ok(answers[b"STORED"] > 0.9 * sum(answers.values()), "and nearly all is answered", answers)
    c.agree(5)


if __name__ == "__main__":
    program_exists()
    # The last one moves this process into a network of its own.
    tap.run([killed_and_missed, killed_and_told, multigets, paused, left, late, seeds, nonsense,
             partitions])
