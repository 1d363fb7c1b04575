#!/usr/bin/python3
"""Clients that know one node of three, or all: their sessions of t/system hold through any node,
those that spread keys find what others stored, and those that place keys as the ring does go
straight to the owner.
"""

import concurrent.futures
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import scripts  # noqa: E402
import tap  # noqa: E402
from cluster import Cluster  # noqa: E402
from server import program_exists  # noqa: E402

ENVIRONMENT = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", SHARED="1")
PYTHON = "/usr/bin/python3"  # whose modules are Debian's

# (name, Debian package, interpreter, script of t/system/clients, through which node)
SESSIONS = [
    ("pymemcache", "python3-pymemcache", PYTHON, "pymemcache_session.py", 0),
    ("pylibmc", "python3-pylibmc", PYTHON, "pylibmc_session.py", 1),
    ("dalli", "ruby-dalli", "ruby", "dalli.rb", 2),
]

# Those that know all nodes: (name, package, interpreter, script of t/cluster/clients).
SPREAD = [
    ("pymemcache's HashClient", "python3-pymemcache", PYTHON, "hash_client.py"),
    ("libmemcached", "python3-pylibmc", PYTHON, "libmemcached_all.py"),
    ("dalli's ring", "ruby-dalli", "ruby", "dalli_all.rb"),
]

# (placement, arguments): what libmemcached's client is told, to place keys as we do.
PLACED = [
    ("ketama-weighted", "ketama_weighted"),
    ("ketama-weighted", "hash-then-weighted"),
    ("ketama-oat", "ketama"),
]


def script(report, name, package, interpreter, path, args):
    """Runs a client's script; report gets (passed, name, why) for each of its lines."""
    scripts.run(report, name, package, interpreter, path, args, ENVIRONMENT)


def session(report, c, name, package, interpreter, file, node):
    """A session of t/system/clients through one node of a cluster of its own."""
    script(report, "%s through node %d" % (name, node), package, interpreter,
           os.path.join(HERE, "..", "system", "clients", file),
           ["127.0.0.1", c.node(node).port])


def spread(report, c, name, package, interpreter, file):
    """A client that knows all nodes."""
    script(report, name, package, interpreter, os.path.join(HERE, "clients", file),
           [n.port for n in c.running()])


def placed(report, placement, how):
    """Keys go straight to their owners: nothing is forwarded.  In a ring of another kind much is."""
    name = "libmemcached's %s on %s" % (how, placement)
    with Cluster(3, placement=placement) as c:
        for kind in (how, "modula"):
            before = c.total("forwarded")
            script(report, name if kind == how else name + ", as modula", "python3-pylibmc", PYTHON,
                   os.path.join(HERE, "clients", "placed.py"),
                   [kind] + [n.port for n in c.running()])
            if report[-1][0] is None:
                return
            forwarded = c.total("forwarded") - before
            if kind == how:
                report.append((forwarded == 0, name + ": nothing is forwarded",
                               "%d commands were" % forwarded))
                held = [len([k for k in n.held() if k.startswith(b"placed")])
                        for n in c.running()]
                report.append((min(held) > 100, name + ": all nodes have some", held))
            else:
                report.append((forwarded > 200, name + ": by another ring most is", forwarded))


def main():
    """The sessions at once, since they sleep most of the time; each in a cluster of its own."""
    program_exists()
    clusters = [Cluster(3) for _ in SESSIONS] + [Cluster(3, auto_forget="0") for _ in SPREAD]
    jobs = [(session, c) + row for c, row in zip(clusters, SESSIONS)]
    jobs += [(spread, c) + row for c, row in zip(clusters[len(SESSIONS):], SPREAD)]
    reports = [[] for _ in jobs]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job[0], report, *job[1:]) for job, report in zip(jobs, reports)]
    for c in clusters:
        problem = c.end()
        tap.ok(not problem, "every node ends with 0", problem)
    for row in PLACED:
        reports.append([])
        tap.guarded(placed, reports[-1], *row)
    for report in reports:
        for passed, name, why in report:
            if passed is None:
                tap.skip(name, why)
            else:
                tap.ok(passed, name, why)
    for result in running:
        tap.guarded(result.result)
    tap.done()


main()
