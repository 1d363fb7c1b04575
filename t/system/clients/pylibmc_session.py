#!/usr/bin/python3
"""A session of pylibmc, over the text and the binary protocol."""

import sys
import time

try:
    import pylibmc
except ImportError:
    sys.exit(77)


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


def refused(function, *args):
    """True if function returns False or raises; the binary protocol makes pylibmc raise."""
    try:
        return not function(*args)
    except pylibmc.Error:
        return True


def session(binary):
    """Everything once."""
    word = "binary: " if binary else "text: "
    mc = pylibmc.Client([sys.argv[1] + ":" + sys.argv[2]], binary=binary, behaviors={
        "tcp_nodelay": True, "ketama": True, "cas": True, "no_block": False})
    check(mc.flush_all(), True, word + "flush_all")
    check(mc.set("a", "text"), True, word + "set")
    check(mc.get("a"), "text", word + "get")
    check(mc.get("missing"), None, word + "get misses")
    for value in (1, 2.5, "t\u00fcv", b"\0\r\n\xff", [1, {"x": (2, 3)}], "", "x" * 1000000):
        mc.set("v", value)
        got = mc.get("v")
        check((got, type(got)), (value, type(value)),
              word + "a value of type %s" % type(value).__name__)
    check(mc.set("packed", "y" * 500000, min_compress_len=1000), True, word + "compressed set")
    check(mc.get("packed"), "y" * 500000, word + "compressed get")
    many = {"m%d" % i: "v%d" % i for i in range(2000)}
    check(mc.set_multi(many), [], word + "set_multi")
    check(mc.get_multi(list(many) + ["no1", "no2"]), many, word + "get_multi")
    check(mc.delete_multi(list(many)), True, word + "delete_multi")
    check(mc.get_multi(list(many)), {}, word + "and they are gone")
    check(refused(mc.add, "a", "x"), True, word + "add that fails")
    check(refused(mc.replace, "missing", "x"), True, word + "replace that fails")
    check((mc.append("a", "-end"), mc.prepend("a", "begin-"), mc.get("a")),
          (True, True, "begin-text-end"), word + "append and prepend")
    mc.set("n", 10)
    check((mc.incr("n"), mc.incr("n", 5), mc.decr("n", 10)), (11, 16, 6), word + "incr and decr")
    check(int(mc.get("n")), 6, word + "and the number is read")
    value, cas = mc.gets("n")
    check(mc.cas("n", "new", cas), True, word + "cas")
    check(refused(mc.cas, "n", "newer", cas), True, word + "cas again")
    check(mc.get("n"), "new", word + "cas stored once")
    check(mc.touch("n", 100), True, word + "touch")
    check(mc.set("short", 1, time=1), True, word + "set with a time")
    time.sleep(2.1)
    check(mc.get("short"), None, word + "and it expires")
    check((mc.delete("a"), refused(mc.delete, "a")), (True, True), word + "delete")
    try:
        too_large = mc.set("large", b"\1" * 2000000)
    except pylibmc.TooBig:
        too_large = "TooBig"
    except pylibmc.Error as error:
        too_large = repr(error)
    check(too_large, "TooBig", word + "too large a value")
    check(mc.get("n"), "new", word + "the connection is in step")
    stats = mc.get_stats()
    check((len(stats), b"curr_items" in stats[0][1] or "curr_items" in stats[0][1]), (1, True),
          word + "get_stats")
    check(bool(mc.get_stats("settings")[0][1]), True, word + "get_stats settings")


session(False)
session(True)
