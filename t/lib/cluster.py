"""Starts several daemons on free loopback ports that are one cache, and does things to them.

    with Cluster(3) as c:            three nodes that agree on who is there
        c.node(0).conn() ...         a node is a Server
        c.kill(2); c.agree()         those that are left agree that it is gone

Leaving the with statement checks that every node that was not killed ends with 0.
"""

import os
import random
import re
import shutil
import signal
import socket
import time

import tap
from server import DEADLINE, SANITIZED, NotStarted, Server, wait_until

# A busy machine, or a sanitizer, must not look like a dead node.
PATIENCE = {"gossip_profile": "local", "peer_timeout": "5s"}
AGREE = 3 * DEADLINE  # seconds for all nodes to know what has happened to one

_claims = []  # sockets whose names are ports that this script has taken
_random = random.SystemRandom()


def _claim(port):
    """True if no other test has the port: an abstract Unix socket has its name while we live."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind("\0magpie-test-port-%d" % port)
    except OSError:
        lock.close()
        return False
    _claims.append(lock)
    return True


def free_ports(count, host="127.0.0.1"):
    """Ports that neither TCP nor UDP uses there, and that nobody gets for an outgoing connection:
    a node that is started again must find its own."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        top = min(int(limits.read().split()[0]), 32768)
    found = []
    while len(found) < count:
        port = _random.randrange(10240, max(top, 12000))
        if port == 11211 or not _claim(port):
            continue
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
        found.append(port)
    return found


def option(name, value):
    """A setting as an option of the command line."""
    return "--%s=%s" % (name.replace("_", "-"), value)


class Node(Server):
    """One of a cluster's daemons."""

    def __init__(self, index, *args, **more):
        self.index = index
        super().__init__(*args, **more)

    @property
    def cluster_port(self):
        """Where other nodes reach it."""
        return self.ports["CLUSTER"][0]

    def cluster(self):
        """The rows of "stats cluster"."""
        with self.conn() as c:
            return c.stats(b"cluster")

    def held(self):
        """The keys that this node itself has."""
        with self.conn() as c:
            rows = c.ask(b"lru_crawler metadump all\r\n", b"END\r\n")
        return set(re.findall(rb"^key=(\S+) ", rows, re.M))

    def figure(self, name):
        """A number of "stats cluster"."""
        return int(self.cluster()[name])

    def cpu(self):
        """Seconds of CPU that it has used, of all its threads."""
        with open("/proc/%d/stat" % self.pid) as line:
            fields = line.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def states(node):
    """What a node holds of each member: {id: state}."""
    return {name.partition(":")[0]: value for name, value in node.cluster().items()
            if name.endswith(":state")}


def alive(node):
    """How many members a node holds for alive, and what it takes the ring for."""
    rows = node.cluster()
    return int(rows["alive"]), rows["ring_digest"]


def linked(node):
    """True if every worker of a node has its link to every other member that is alive."""
    with node.conn() as c:
        rows, peers = c.stats(b"cluster"), c.stats(b"peers")
    living = {name.partition(":")[0] for name, value in rows.items()
              if name.endswith(":state") and value == "alive"} - {rows["self"]}
    links = [name[:-len(":state")] for name in peers
             if name.endswith(":state") and name.partition(":")[0] in living]
    # One that was down lets in all again after a second, but says so only when it is used.
    return {name.partition(":")[0] for name in links} == living and all(
        peers[name + ":state"] == "up" or
        peers[name + ":state"] == "half" and int(peers[name + ":since"]) > 1 for name in links)


class Cluster:
    """count nodes, all told of all others.  settings are names and values of settings.def, "%d" in
    them is the node's index; args are options of memcached's."""

    def __init__(self, count=3, *args, program=None, env=None, hosts=None, under=None, wait=True,
                 **settings):
        self.args = args
        self.settings = dict(PATIENCE, **settings)
        self.more = {"env": env}
        if program:
            self.more["program"] = program
        self.hosts = hosts or ["127.0.0.1"] * count
        self.under = under or [()] * count
        ports = free_ports(2 * count)
        self.client_ports, self.cluster_ports = ports[:count], ports[count:]
        self.nodes = [None] * count
        self.paused = set()
        try:  # not in threads of ours: a server dies with the thread that started it
            for index in range(count):
                self.start(index)
            if wait:
                self.agree()
        except BaseException:
            self.end()
            raise

    # -- one node ------------------------------------------------------------

    def seeds(self, index):
        """What a node is told of the others."""
        others = [i for i in range(len(self.hosts)) if i != index]
        return ",".join("%s:%d" % (self.hosts[i], self.cluster_ports[i]) for i in others)

    def start(self, index, **settings):
        """Starts a node at its place, which must be free."""
        told = {"join": self.seeds(index), "cluster_port": self.cluster_ports[index],
                "cluster": "yes"}
        told.update(self.settings)
        told.update(settings)
        options = [option(name, value % index if "%d" in str(value) else value)
                   for name, value in told.items() if value is not None]
        self.nodes[index] = Node(index, "-p", self.client_ports[index], *options, *self.args,
                                 host=self.hosts[index], under=self.under[index], **self.more)
        return self.nodes[index]

    def add(self, **settings):
        """One more node; its index.  Does not wait for the others to know it."""
        self.hosts.append("127.0.0.1")
        self.under.append(())
        client, cluster = free_ports(2)
        self.client_ports.append(client)
        self.cluster_ports.append(cluster)
        self.nodes.append(None)
        self.start(len(self.nodes) - 1, **settings)
        return len(self.nodes) - 1

    def node(self, index):
        """A node that runs."""
        return self.nodes[index]

    def conn(self, index=0):
        """A new connection to a node."""
        return self.nodes[index].conn()

    def any(self, rng):
        """A node that runs, by chance."""
        return rng.choice(self.running())

    def kill(self, index):
        """Ends a node at once; its place stays free."""
        self._drop(index, Server.kill)

    def leave(self, index):
        """Tells a node to stop: it says so to the others.  Its exit code."""
        return self._drop(index, Server.stop)

    def _drop(self, index, how):
        node, self.nodes[index] = self.nodes[index], None
        self.paused.discard(index)
        result = how(node)
        shutil.rmtree(node.dir, ignore_errors=True)
        return result

    def restart(self, index, **settings):
        """Starts a node again that was killed, or has left, at the same address."""
        return self.start(index, **settings)

    def pause(self, index):
        """A node stands still, its sockets stay."""
        self.nodes[index].proc.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.nodes[index].proc.pid, os.WSTOPPED)  # all of its threads do
        self.paused.add(index)

    def resume(self, index):
        """It goes on."""
        self.nodes[index].proc.send_signal(signal.SIGCONT)
        self.paused.discard(index)

    # -- all of them ---------------------------------------------------------

    def running(self):
        """The nodes that run, and are not paused."""
        return [n for n in self.nodes if n is not None and n.index not in self.paused]

    def agreed(self, nodes, count):
        """True if these nodes all hold so many for alive, have one ring, and links to each other.
        """
        try:
            seen = {alive(node) for node in nodes}
            return len(seen) == 1 and seen.pop()[0] == count and all(map(linked, nodes))
        except (OSError, ValueError):
            return False

    def agree(self, count=None, nodes=None, seconds=AGREE):
        """Waits until the nodes that run agree that it is they who are alive."""
        nodes = self.running() if nodes is None else nodes
        count = len(nodes) if count is None else count
        if not wait_until(lambda: self.agreed(nodes, count), seconds):
            raise NotStarted("%d nodes do not agree that %d are alive after %g s: %s" % (
                len(nodes), count, seconds, [self.describe(n) for n in nodes]))

    def serves(self, seconds=AGREE):
        """Waits until every node stores for every other, on connections of all its workers: one
        that has been away is given a request or two before it gets all of them."""
        def stores(node):
            for _ in range(8):
                with node.conn() as c:
                    for i in range(30):
                        c.send(b"set serves-%d 0 0 1\r\nx\r\n" % i)
                    if {c.line() for _ in range(30)} != {b"STORED\r\n"}:
                        return False
            return True

        if not wait_until(lambda: all(map(stores, self.running())), seconds):
            raise NotStarted("not all nodes store for each other after %g s: %s" % (
                seconds, [self.describe(n) for n in self.running()]))

    @staticmethod
    def rest():
        """Until the last change of the ring is behind all nodes: they have gone through what they
        hold, and do not look any more at whom a key once belonged to."""
        time.sleep(3)

    def describe(self, node):
        """What a node says of its cluster, for a failure."""
        try:
            rows = node.cluster()
        except (OSError, ValueError) as error:
            return repr(error)
        return " ".join("%s=%s" % row for row in rows.items()
                        if row[1] != "0" and (":" not in row[0] or row[0].endswith(":state")))

    def total(self, name):
        """A number of "stats cluster", of all nodes together."""
        return sum(node.figure(name) for node in self.running())

    def stat(self, name):
        """A number of plain "stats", of all nodes together."""
        total = 0
        for node in self.running():
            with node.conn() as c:
                total += int(c.stats()[name])
        return total

    def cpu(self):
        """Seconds of CPU that all nodes have used."""
        return sum(node.cpu() for node in self.running())

    def owners(self, keys, through=0):
        """Stores the keys through one node and looks who has them: {key: index of its owner}."""
        keys = list(keys)
        with self.conn(through) as c:
            for key in keys:
                c.send(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, len(key), key))
            c.send(b"mg " + keys[-1] + b"\r\n")  # behind all others; then every owner is asked
            c.line()
            c.ask(b"get " + b" ".join(keys) + b"\r\n", b"END\r\n")
        found = {}
        for node in self.running():
            held = node.held()
            for key in keys:
                if key in held:
                    if key in found:
                        raise ValueError("%r is at two nodes" % key)
                    found[key] = node.index
        lost = [key for key in keys if key not in found]
        if lost:
            raise ValueError("%d keys are nowhere: %r" % (len(lost), lost[:5]))
        return found

    def keys_of(self, index, count, prefix=b"of"):
        """So many keys whose owner is that node; they are stored, with themselves as values."""
        found, number = [], 0
        while len(found) < count and number < 10000:
            names = [b"%s-%d" % (prefix, n) for n in range(number, number + 64 + 4 * count)]
            number += len(names)
            found += [key for key, owner in self.owners(names).items() if owner == index]
        if len(found) < count:
            raise ValueError("node %d owns %d of %d keys" % (index, len(found), number))
        return found[:count]

    # -- the end -------------------------------------------------------------

    def end(self):
        """Stops all at once; what was wrong with that, as text."""
        left = [n for n in self.nodes if n is not None]
        for node in left:
            node.proc.send_signal(signal.SIGCONT)
            if node.proc.poll() is None:
                node.proc.send_signal(signal.SIGTERM)
        problems = []
        for node in left:
            code = node.wait()
            if code != 0:
                problems.append("node %d ended with %s: %s" % (node.index, code,
                                                              node.stderr()[-2000:]))
            shutil.rmtree(node.dir, ignore_errors=True)
        self.nodes = [None] * len(self.nodes)
        return "\n".join(problems)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            for node in self.running():
                tap.note("node %d: %s\n%s" % (node.index, self.describe(node),
                                              node.stderr()[-1500:]))
        problem = self.end()
        tap.ok(not problem, "every node ends with 0", problem)


def run(functions, *args, **settings):
    """As tap.run(), with one cluster for all functions, which get it."""
    wanted = os.environ.get("TESTS", "")
    if "/" in wanted:
        wanted = ""
    chosen = [f for f in functions if not wanted or f.__name__ in wanted.split(",")]

    def all_of_them():
        with Cluster(*args, **settings) as c:
            for function in chosen:
                tap.guarded(function, c)

    tap.guarded(all_of_them)
    tap.done()
