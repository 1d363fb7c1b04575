"""The standard set: what magpied is held against memcached under, and with which goals."""

import collections

CPU = "server_cpu_usec"
P99 = "p99_usec"
NULL = "null: "  # in front of a load that is run on the same program twice

# A load: options of magpie-bench, and the most that one figure's ratio to memcached's may be.
Load = collections.namedtuple("Load", "name options limit figure")
# Loads that run on the same two servers, with options for all of them.
Group = collections.namedtuple("Group", "server options loads")


def load(name, options, limit, figure=CPU):
    """A row of the table."""
    return Load(name, options.split(), limit, figure)


LONE = load("lone get, 50 connections", "--gets 100", 0.88)
IDLE = load("lone get beside 1,000 idle connections", "--gets 100 --idle 1000", 0.88)

# A deep pipeline, or a multiget, keeps a server busy with few connections.  Both servers let in
# 1,024 connections if they are not told otherwise.
GROUPS = [
    Group("-t 1 -m 1024 -c 4096", "--keys 100000 --value-size 32", [
        LONE,
        IDLE,
        load("lone get, 20,000 a second", "--gets 100 --rate 20000", 1.05, P99),
        load("lone set, 50 connections", "--gets 0", 0.88),
        load("incr of a hot key", "--mix incr=1 --counters 1", 0.88),
        load("get, depth 32", "--gets 100 --connections 4 --depth 32", 0.28),
        load("set, depth 32", "--gets 0 --connections 4 --depth 32", 0.30),
        load("multiget of 100", "--gets 100 --connections 4 --multi 100", 0.30),
        load("binary getkq x 32 + noop", "--protocol binary --gets 100 --connections 4 --multi 32",
             0.30),
        load("meta mg, depth 32", "--protocol meta --gets 100 --connections 4 --depth 32", 0.30),
    ]),
    Group("-t 1 -m 4096", "--keys 10000000 --value-size 32 --connections 4", [
        load("10 million keys, zipf 90/10, depth 32", "--gets 90 --zipf 0.99 --depth 32", 0.35),
        load("10 million keys, multiget of 100", "--gets 100 --multi 100", 0.35),
    ]),
    Group("-t 1 -m 1024", "--keys 20000 --value-size 4096", [
        load("get of 4 KiB", "--gets 100", 0.88),
        load("set of 4 KiB", "--gets 0", 0.88),
    ]),
    Group("-t 1 -m 1024", "--keys 200 --value-size 524288 --connections 8", [
        load("get of 512 KiB", "--gets 100", 1.0),
        load("set of 512 KiB", "--gets 0", 1.0),
    ]),
]

# The same program twice: what is left of these ratios is the measurement's own doing.
NULLS = Group("-t 1 -m 1024", "--keys 100000 --value-size 32", [
    load(NULL + "lone get, 50 connections", "--gets 100", 1.03),
    load(NULL + "lone set, 50 connections", "--gets 0", 1.03),
    load(NULL + "get, depth 32", "--gets 100 --connections 4 --depth 32", 1.03),
    load(NULL + "multiget of 100", "--gets 100 --connections 4 --multi 100", 1.03),
])


def chosen(group, word):
    """The group with those loads whose name contains word; None if there are none."""
    loads = [row for row in group.loads if word in row.name]
    return group._replace(loads=loads) if loads else None
