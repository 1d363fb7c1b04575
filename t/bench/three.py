"""Measures three magpied nodes, each of which takes clients for all keys, beside three memcached
behind twemproxy, prints the table and writes it into its own place of doc/performance.md.

Counted is the CPU of all server processes together, the proxy's too; the load's is not.  Servers
share one core, the load another.

usage: three.py, with the variables of main.py, and
    NUTCRACKER     twemproxy's program (nutcracker)
"""

import collections
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import cluster  # noqa: E402
import main  # noqa: E402
import page  # noqa: E402
import server  # noqa: E402
import speed  # noqa: E402

NODES = 3
KEYS = "--keys 100000 --value-size 32"

# connections: to each node, or for each third of the proxy's clients.
Load = collections.namedtuple("Load", "name options connections limit")
LOADS = [Load("lone get, 51 connections", "--gets 100", 17, 0.8)] + [
    Load("%s, %d connections" % (name, NODES * connections), options, connections, limit)
    for name, options, limit in (("get, depth 32", "--gets 100 --depth 32", 0.25),
                                 ("multiget of 100", "--gets 100 --multi 100", 0.3),
                                 ("set, depth 32", "--gets 0 --depth 32", 0.25))
    for connections in (4, 17)]

HEAD = [
    "| load | CPU, ratio | at most | | CPU, us an operation | operations/s, ratio "
    "| p50, us | p99, us |",
    "|---|---|---|---|---|---|---|---|",
]


def cores():
    """(of the load, of the servers): one each where there are two."""
    allowed = sorted(os.sched_getaffinity(0))
    return ({allowed[0]}, set(allowed[1:2])) if len(allowed) > 1 else (set(allowed),) * 2


def cpu_seconds(pids):
    """CPU time of the threads of these processes, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as line:
                total += int(line.read().split()[0])
    return total / 1e9


class Ours:
    """Three nodes; a third of the clients for each."""

    def __init__(self, settings):
        self.cluster = cluster.Cluster(NODES, "-t", "1", "-m", "1024", "-c", "4096",
                                       program=settings.ours, gossip_profile="lan",
                                       peer_timeout=None)
        self.ports = [node.port for node in self.cluster.running()]
        self.pids = [node.pid for node in self.cluster.running()]

    def close(self):
        """Ends them; what was wrong."""
        return self.cluster.end()


class Theirs:
    """Three memcached and the proxy, to which all clients go."""

    def __init__(self, settings, nutcracker):
        self.dir = tempfile.mkdtemp(prefix="magpie-bench-")
        self.servers = [server.Server("-t", "1", "-m", "1024", "-c", "4096",
                                      program=settings.theirs) for _ in range(NODES)]
        port, statistics_port = cluster.free_ports(2)
        path = os.path.join(self.dir, "nutcracker.yml")
        with open(path, "w") as out:
            out.write("bench:\n  listen: 127.0.0.1:%d\n  hash: fnv1a_64\n"
                      "  distribution: ketama\n  preconnect: true\n  server_connections: 1\n"
                      "  auto_eject_hosts: false\n  servers:\n" % port)
            for one in self.servers:
                out.write("   - 127.0.0.1:%d:1\n" % one.port)
        self.proxy = subprocess.Popen(
            [nutcracker, "-c", path, "-s", str(statistics_port), "-a", "127.0.0.1", "-o",
             os.path.join(self.dir, "log")], stdin=subprocess.DEVNULL)
        self.ports = [port] * NODES
        self.pids = [one.pid for one in self.servers] + [self.proxy.pid]
        if not server.wait_until(lambda: self.answers(port)):
            self.close()
            raise speed.Failed("nutcracker does not serve")

    @staticmethod
    def answers(port):
        """True if a request goes through the proxy."""
        try:
            with server.Conn(server.socket.create_connection(("127.0.0.1", port), 1)) as conn:
                return conn.set(b"k", b"v") == b"STORED\r\n"
        except OSError:
            return False

    def close(self):
        """Ends them; what was wrong."""
        self.proxy.terminate()
        self.proxy.wait()
        for one in self.servers:
            one.stop()
            shutil.rmtree(one.dir, ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        return ""


def load_command(settings, port, options, seconds):
    """magpie-bench on one port."""
    return [settings.bench, "--server", "127.0.0.1:%d" % port, "--output", "json", "--warmup", "0",
            "--seconds", str(seconds)] + KEYS.split() + options.split()


def prefill(settings, side):
    """Stores every key."""
    done = subprocess.run(load_command(settings, side.ports[0], "--connections 8 --gets 100", 0.1),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise speed.Failed("magpie-bench ended with %d storing the keys" % done.returncode)


def measure(settings, side, row):
    """One round of a load, by one process for each port: (CPU us an operation, operations a
    second, p50, p99)."""
    before = cpu_seconds(side.pids)
    running = [subprocess.Popen(
        load_command(settings, port, "--no-prefill --seed %d --connections %d %s" % (
            number + 1, row.connections, row.options), settings.seconds),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for number, port in enumerate(side.ports)]
    said = [json.loads(process.communicate()[0] or b"{}") for process in running]
    used = cpu_seconds(side.pids) - before
    for process, found in zip(running, said):
        if process.returncode != 0 or found["errors"] or found["gets"] != found["get_hits"]:
            raise speed.Failed("%s: magpie-bench ended with %d; %s" % (
                row.name, process.returncode, {k: found.get(k) for k in (
                    "complaint", "errors", "gets", "get_hits", "unanswered")}))
    return (used * 1e6 / sum(found["operations"] for found in said),
            sum(found["operations_per_second"] for found in said),
            statistics.mean(found["latency_p50_us"] for found in said),
            statistics.mean(found["latency_p99_us"] for found in said))


def table_row(row, rounds):
    """A row of the table; rounds: pairs of what was measured of ours and theirs."""
    def spread(column):
        ratios = [ours[column] / theirs[column] for ours, theirs in rounds]
        return speed.spread({"median": statistics.median(ratios), "min": min(ratios),
                             "max": max(ratios)})

    def both(column):
        return " / ".join(speed.number(statistics.median(r[side][column] for r in rounds))
                          for side in (0, 1))

    ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in rounds)
    return "| %s | %s | %.2f | %s | %s | %s | %s | %s |" % (
        row.name, spread(0), row.limit, speed.verdict(ratio, row.limit), both(0), spread(1),
        both(2), both(3))


def table(settings, nutcracker):
    """The lines of the table, for the loads that were chosen."""
    rows = [row for row in LOADS if settings.only in row.name]
    if not rows:
        return []
    all_cores, (load_cores, server_cores) = os.sched_getaffinity(0), cores()
    sides, problems = [], []
    try:
        os.sched_setaffinity(0, server_cores)  # what we start stays there
        sides.append(Ours(settings))
        sides.append(Theirs(settings, nutcracker))
        os.sched_setaffinity(0, load_cores)
        for side in sides:
            prefill(settings, side)
        rounds = {row.name: [] for row in rows}
        for number in range(settings.rounds):
            for row in rows:
                pair = [None, None]
                for which in (0, 1) if number % 2 == 0 else (1, 0):  # who comes first is even
                    pair[which] = measure(settings, sides[which], row)
                rounds[row.name].append(pair)
                print("round %d, %s: %.3f / %.3f us" % (number + 1, row.name, pair[0][0],
                                                        pair[1][0]), file=sys.stderr)
    finally:
        os.sched_setaffinity(0, all_cores)
        problems = [side.close() for side in sides]
    if any(problems):
        raise speed.Failed("; ".join(filter(None, problems)))
    return HEAD + [table_row(row, rounds[row.name]) for row in rows]


def run():
    """Measures, prints, writes."""
    settings = main.settings_read(os.environ)
    nutcracker = shutil.which(os.environ.get("NUTCRACKER", "nutcracker"))
    if not nutcracker:
        raise SystemExit("bench-cluster: nutcracker is missing (Debian: apt-get install nutcracker)")
    quiet = main.Quiet()
    try:
        lines = table(settings, nutcracker)
    except speed.Failed as failed:
        print("bench-cluster: %s" % failed, file=sys.stderr)
        return 1
    if not lines:
        print("bench-cluster: no row's name contains '%s'" % settings.only, file=sys.stderr)
        return 2
    said = subprocess.run([nutcracker, "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False).stdout.split("\n")[0]
    own = main.circumstances(settings, quiet).replace(
        " beside ", ", three of them, beside three of ", 1).replace(
        "; ", ", behind %s; " % said.replace("This is ", ""), 1)
    tables = {"cluster": lines, "cluster circumstances": [own]}
    print("\n%s\n\n%s" % (own, "\n".join(lines)))
    if settings.page and not settings.only:
        try:
            page.write(settings.page, tables)
        except (OSError, page.Bad) as error:
            print("bench-cluster: %s: %s" % (settings.page, error), file=sys.stderr)
            return 1
        print("\nwritten to %s" % settings.page)
    return 0


if __name__ == "__main__":
    sys.exit(run())
