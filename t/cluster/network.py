#!/usr/bin/python3
"""How nodes find each other, nonsense that they are sent, and networks that are cut and lose.

Partitions need network namespaces and nft: as root, or they are skipped.
"""

import collections
import ctypes
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import tap  # noqa: E402
from cluster import AGREE, Cluster, Node, free_ports  # noqa: E402
from server import DEADLINE, Conn, program_exists, wait_until  # noqa: E402

FAULTY = {"peer_timeout": "300ms", "gossip_profile": "local"}


COMMON = ("--gossip-profile=local", "-v")


def seeds():
    """A file of seeds that changes; a name; a cluster of another name."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = os.path.join(folder, "seeds")
        with open(path, "w") as out:
            out.write("# nobody yet\n")
        first, second = free_ports(2)
        with Node(0, "--cluster=yes", "--cluster-port=%d" % first, *COMMON) as a, \
                Node(1, "--join=file:" + path, "--cluster-port=%d" % second, *COMMON) as b:
            tap.is_([cluster.alive(n)[0] for n in (a, b)], [1, 1], "nobody in the file: alone")
            with b.conn() as conn:
                tap.is_(conn.set(b"alone", b"1"), b"STORED\r\n", "and serving")
            with open(path + ".new", "w") as out:
                out.write("127.0.0.1:%d\n" % first)
            os.rename(path + ".new", path)
            began = time.monotonic()
            stranger(a)
            tap.ok(wait_until(lambda: cluster.alive(a) == cluster.alive(b)
                              and cluster.alive(a)[0] == 2, AGREE), "the file is read again",
                   (a.cluster(), b.cluster()))
            tap.note("after %.1f s" % (time.monotonic() - began))
            with a.conn() as conn:
                tap.ok(wait_until(lambda: conn.set(b"both", b"1") == b"STORED\r\n"),
                       "both are one cache")
            with Node(2, "--join=localhost:%d" % first, "--cluster-port=-1", *COMMON) as named:
                tap.ok(wait_until(lambda: cluster.alive(named)[0] == 3 and
                                  cluster.alive(named) == cluster.alive(a), AGREE),
                       "a seed may be a name", (named.cluster(), named.stderr()))


def stranger(node):
    """A node of another cluster calls."""
    with Node(3, "--join=127.0.0.1:%d" % node.cluster_port, "--cluster-port=-1",
              "--cluster-name=elsewhere", *COMMON) as other:
        tap.ok(wait_until(lambda: "of another cluster" in other.stderr()),
               "a node of another cluster is refused, and told why", other.stderr())
        tap.ok(wait_until(lambda: node.figure("gossip_strangers") > 0), "which is counted",
               node.cluster())
        time.sleep(1)
        tap.is_(cluster.alive(other)[0], 1, "it stays alone")
        tap.ok(other.cluster()["self"] not in cluster.states(node), "and unknown to the others",
               node.cluster())


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
    lowest, until = 5, time.monotonic() + 3
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
    tap.run([seeds, nonsense, partitions])
