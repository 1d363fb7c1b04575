#!/usr/bin/python3
"""pymemcache's clients that know all nodes, and those that know one.  Arguments: ports."""

import sys

try:
    from pymemcache.client.base import Client
    from pymemcache.client.hash import HashClient
except ImportError:
    sys.exit(77)

SERVERS = [("127.0.0.1", int(port)) for port in sys.argv[1:]]


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


many = HashClient(SERVERS, default_noreply=False, ignore_exc=False, timeout=20, connect_timeout=20)
values = {"hash-%d" % i: b"v%d" % i for i in range(1000)}
check(many.set_many(values), [], "set_many through all")
check(many.get_many(list(values)), values, "get_many through all")
for server in SERVERS:
    one = Client(server, timeout=20)
    check(one.get_many(list(values)), values, "and through one of them")
    one.set("by-%d" % server[1], b"x", noreply=False)
    check(many.get("by-%d" % server[1]), b"x", "what one stores all find")
# The list of servers in another order, and shorter: other nodes are asked, the answers stay.
check(HashClient(SERVERS[::-1]).get_many(list(values)), values, "in another order")
check(HashClient(SERVERS[:2]).get_many(list(values)), values, "two of three")
check(HashClient(SERVERS[1:]).get_many(list(values)), values, "the other two")
check([many.incr("hash-n", 1) if i else many.set("hash-n", "0") for i in range(5)],
      [True, 1, 2, 3, 4], "incr")
value, cas = Client(SERVERS[0]).gets("hash-n")
check(many.cas("hash-n", "9", cas), True, "a version that a node has shown")
check(Client(SERVERS[1]).cas("hash-n", "8", cas), False, "is good once")
Client(SERVERS[2]).flush_all(noreply=False)
check(many.get_many(list(values)), {}, "flush_all through one empties all")
