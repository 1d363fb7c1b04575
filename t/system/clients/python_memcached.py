#!/usr/bin/python3
"""A session of python-memcached: the old text client, weights and all."""

import sys
import time

try:
    import memcache
except ImportError:
    sys.exit(77)


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


def session(mc):
    """Everything once."""
    mc.flush_all()
    for value in ("text", b"\0\r\n\xffEND\r\n", 17, 2.5, [1, {"x": (2, 3)}], "", "x" * 900000):
        check(bool(mc.set("v", value)), True, "set of a %s" % type(value).__name__)
        check((mc.get("v"), type(mc.get("v"))), (value, type(value)),
              "flags bring a %s back" % type(value).__name__)
    check(bool(mc.set("packed", "y" * 500000, min_compress_len=1000)), True, "compressed set")
    check(mc.get("packed"), "y" * 500000, "compressed get")
    check(mc.get("missing"), None, "get misses")
    check([bool(mc.add("a", "1")), bool(mc.add("a", "2"))], [True, False], "add")
    check([bool(mc.replace("a", "3")), bool(mc.replace("none", "x"))], [True, False], "replace")
    check([bool(mc.append("a", ">")), bool(mc.prepend("a", "<")), mc.get("a")],
          [True, True, "<3>"], "append and prepend")
    many = {"m%d" % i: "value %d" % i for i in range(1000)}
    check(mc.set_multi(many), [], "set_multi, noreply and then one that is answered")
    check(mc.get_multi(list(many) + ["no1"]), many, "get_multi")
    check(bool(mc.delete_multi(["m%d" % i for i in range(500)])), True, "delete_multi")
    check(len(mc.get_multi(list(many))), 500, "and they are gone")
    mc.set("noreply", 1, noreply=True)
    mc.delete("noreply", noreply=True)
    check(mc.get("noreply"), None, "set and delete without answers")
    check(mc.set("n", 10) and (mc.incr("n", 5), mc.decr("n", 100), mc.incr("none")), (15, 0, None),
          "incr and decr")
    check(mc.gets("a"), "<3>", "gets")
    check(bool(mc.cas("a", "new")), True, "cas")
    check(bool(mc.cas("a", "newer")), False, "cas again")
    check([bool(mc.touch("a", 100)), bool(mc.touch("none", 100))], [True, False], "touch")
    mc.set("short", "x", time=1)
    time.sleep(2.1)
    check(mc.get("short"), None, "expiry")
    check(bool(mc.delete("a")), True, "delete")
    check(mc.get("a"), None, "and it is gone")
    name, stats = mc.get_stats()[0]
    check((name.split(" ")[0].endswith(sys.argv[2]), int(stats["curr_items"]) > 400), (True, True),
          "get_stats")
    check("active_slabs" in mc.get_stats("slabs")[0][1], True, "get_stats slabs")
    check(mc.get("m999"), "value 999", "the connection is in step")
    mc.flush_all()
    check(mc.get("m999"), None, "flush_all")
    mc.disconnect_all()


session(memcache.Client([sys.argv[1] + ":" + sys.argv[2]], socket_timeout=30, cache_cas=True))
