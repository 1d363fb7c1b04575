#!/usr/bin/python3
"""A session of bmemcached: binary, quiet sets and gets that a last loud one flushes out."""

import sys
import time

try:
    import bmemcached
except ImportError:
    sys.exit(77)


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


def session(mc):
    """Everything once."""
    check(mc.flush_all(), True, "flush_all")
    for value in ("text", b"\0\r\n\xffEND\r\n", 17, 2.5, None, [1, {"x": (2, 3)}], "",
                  "x" * 900000):
        check(mc.set("v", value), True, "set of a %s" % type(value).__name__)
        check((mc.get("v"), type(mc.get("v"))), (value, type(value)),
              "flags bring a %s back" % type(value).__name__)
    check(mc.get("missing"), None, "get misses")
    check((mc.add("a", "1"), mc.add("a", "2")), (True, False), "add, and add that fails")
    check((mc.replace("a", "3"), mc.replace("none", "x")), (True, False),
          "replace, and replace that fails")
    many = {"m%d" % i: "value %d" % i for i in range(2000)}
    check(mc.set_multi(many), [], "set_multi")
    check(mc.get_multi(list(many) + ["no1", "no2"]), many, "get_multi that ends with misses")
    check(mc.get_multi(["no1"] + list(many)), many, "get_multi that begins with one")
    check(mc.get_multi(["no1", "no2"]), {}, "get_multi of nothing")
    value, cas = mc.gets("a")
    check((value, mc.cas("a", "new", cas), mc.cas("a", "newer", cas)), ("3", True, False), "cas")
    check(mc.get("a"), "new", "cas stored once")
    check((mc.incr("n", 5, default=7), mc.incr("n", 5), mc.decr("n", 2), mc.decr("n", 100)),
          (7, 12, 10, 0), "incr creates and counts, decr stops at 0")
    check((mc.delete("a"), mc.get("a")), (True, None), "delete")
    check(mc.delete_multi(["m%d" % i for i in range(1000)]), True, "delete_multi")
    check(len(mc.get_multi(list(many))), 1000, "and they are gone")
    mc.set("short", "x", time=1)
    time.sleep(2.1)
    check(mc.get("short"), None, "expiry")
    stats = list(mc.stats().values())[0]
    check(int(stats["curr_items"]) > 1000, True, "stats")
    check(int(list(mc.stats("settings").values())[0]["item_size_max"]), 1048576, "stats settings")
    check(mc.get("m1999"), "value 1999", "the connection is in step")
    check((mc.flush_all(), mc.get("m1999")), (True, None), "flush_all again")
    mc.disconnect_all()


session(bmemcached.Client((sys.argv[1] + ":" + sys.argv[2],), socket_timeout=30))
