#!/usr/bin/python3
"""What a node says that finds nobody, or the wrong ones, at the default verbosity: an operator must
not have to ask for it."""

import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import cluster  # noqa: E402
import tap  # noqa: E402
from cluster import Node, free_ports, option  # noqa: E402
from server import program_exists, wait_until  # noqa: E402

LOCAL = option("gossip_profile", "local")


def says(node, words):
    """True once the node has written such a line."""
    return wait_until(lambda: words in node.stderr(), 30)


def nobody():
    """A node whose seeds do not answer serves, says that it is alone, and that it is not any more.
    """
    port, = free_ports(1)
    with Node(0, "--join=127.0.0.1:%d" % port, LOCAL, "--cluster-port=-1") as first:
        tap.ok(says(first, "serves alone"), "a node that finds nobody says so", first.stderr())
        with first.conn() as conn:
            tap.is_(conn.set(b"alone", b"1"), b"STORED\r\n", "and serves")
        with Node(1, "--cluster=yes", LOCAL, "--cluster-port=%d" % port) as second:
            tap.ok(says(first, "not alone any more"), "and that it is not any more",
                   first.stderr())
            tap.is_(second.stderr(), "", "who is the first of all has nothing to say")


def strangers():
    """A seed of another cluster is told about by both, though nobody was there before."""
    port, = free_ports(1)
    with Node(0, "--join=127.0.0.1:%d" % port, LOCAL, "--cluster-port=-1") as first:
        with Node(1, "--cluster=yes", "--cluster-name=other", LOCAL,
                  "--cluster-port=%d" % port) as second:
            for node in (first, second):
                tap.ok(says(node, "of another cluster (cluster_name)"),
                       "node %d names the setting" % node.index, node.stderr())
            tap.is_(cluster.alive(first)[0], 1, "they stay apart")


def in_order():
    """It says that it serves when it does: with its place in the ring."""
    port, = free_ports(1)
    with Node(0, "-v", "--join=127.0.0.1:%d" % port, LOCAL, "--cluster-port=-1") as node:
        tap.ok(says(node, " serves, "), "it says that it serves", node.stderr())
        lines = node.stderr()
        tap.ok(-1 < lines.find("has a place") < lines.find(" serves, "), "with its place", lines)


def version_six():
    """The names of nodes with addresses of IPv6 are those that clients take."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        tap.skip("names of IPv6", "there is none")
        return
    with Node(0, "-v", "--cluster=yes", LOCAL, "--cluster-port=-1", host="::1") as node:
        rows = node.cluster()
        tap.is_(rows[rows["self"] + ":client"], "[::1]:%d" % node.port, "stats cluster")
        tap.ok("node [::1]:%d (" % node.port in node.stderr(), "the log", node.stderr())


if __name__ == "__main__":
    program_exists()
    tap.run([nobody, strangers, in_order, version_six])
