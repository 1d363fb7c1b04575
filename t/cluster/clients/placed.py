#!/usr/bin/python3
"""libmemcached stores and reads by a ring of its own.  Arguments: which ring, and ports."""

import sys

try:
    import pylibmc
except ImportError:
    sys.exit(77)

SERVERS = ["127.0.0.1:" + port for port in sys.argv[2:]]
PATIENT = {"tcp_nodelay": True, "_poll_timeout": 20000, "connect_timeout": 20000}


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


client = pylibmc.Client(SERVERS, behaviors=PATIENT)
# One after the other: libmemcached's behaviours act in the order in which they are set.
for name, value in {"ketama": [("ketama", True)],
                    "ketama_weighted": [("ketama_weighted", True)],
                    "hash-then-weighted": [("hash", "crc"), ("ketama_weighted", True)],
                    "modula": []}[sys.argv[1]]:
    client.set_behaviors({name: value})
values = {"placed-%d" % i: "v%d" % i for i in range(1000)}
values.update({"placed-%d-" % i + "k" * (i % 230): "long" for i in range(300)})
check(client.set_multi(values), [], "set_multi")
check(client.get_multi(list(values)), values, "get_multi")
check([client.get(key) for key in list(values)[:100]], list(values.values())[:100], "get")
