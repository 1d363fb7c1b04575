#!/usr/bin/python3
"""libmemcached (by pylibmc) with all nodes, by each of its ways to spread keys.  Arguments: ports.
"""

import sys

try:
    import pylibmc
except ImportError:
    sys.exit(77)

SERVERS = ["127.0.0.1:" + port for port in sys.argv[1:]]
WAYS = [
    ("modula", {}),
    ("ketama", {"ketama": True}),
    ("ketama_weighted", {"ketama_weighted": True}),
    ("consistent md5", {"hash": "md5", "distribution": "consistent"}),
    ("remove_failed", {"ketama": True, "remove_failed": 1, "retry_timeout": 1}),
]


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


def behave(more):
    """Behaviours with patience: the machine may be busy."""
    return dict(more, tcp_nodelay=True, _poll_timeout=20000, connect_timeout=20000)


everything = {}
for binary in (False, True):
    for name, behaviors in WAYS:
        word = "%s%s: " % ("binary " if binary else "", name)
        client = pylibmc.Client(SERVERS, binary=binary, behaviors=behave(behaviors))
        values = {"%s%d" % (word.replace(" ", "-"), i): "v%d" % i for i in range(300)}
        check(client.set_multi(values), [], word + "set_multi")
        everything.update(values)
        check(client.get_multi(list(values)), values, word + "get_multi")
        check(client.get_multi(list(everything)), everything, word + "what the others stored")
        client.set(word.replace(" ", "-") + "n", 0)
        check([client.incr(word.replace(" ", "-") + "n") for _ in range(3)], [1, 2, 3],
              word + "incr")
        check(client.delete_multi(list(values)[:10]), True, word + "delete_multi")
        for key in list(values)[:10]:
            del everything[key]
for server in SERVERS:
    client = pylibmc.Client([server], behaviors=behave({}))
    check(client.get_multi(list(everything)), everything, "through one node alone")
