#!/usr/bin/python3
"""A session of pymemcache."""

import os
import sys
import time

try:
    from pymemcache.client.base import Client, PooledClient
    from pymemcache.client.hash import HashClient
    from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
except ImportError:
    sys.exit(77)

SERVER = (sys.argv[1], int(sys.argv[2]))


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.200r, want %.200r" % (name, got,
                                                                                    want))


def raised(function, *args, **more):
    """The name of what function raises."""
    try:
        return function(*args, **more)
    except Exception as error:
        return type(error).__name__


def session(mc, word):
    """Everything once; noreply is the client's default for most commands."""
    check(mc.flush_all(noreply=False), True, word + "flush_all")
    mc.set("a", "text")
    check(mc.get("a"), b"text", word + "set without an answer, get")
    check(mc.get("missing", "default"), "default", word + "get misses")
    check(mc.set("a", b"\r\n\0\xff\r\nEND\r\n", noreply=False), True, word + "set with an answer")
    check(mc.get("a"), b"\r\n\0\xff\r\nEND\r\n", word + "a value of line ends")
    for size in (0, 1, 4090, 4094, 4095, 4096, 4097, 8192, 1000000):
        mc.set("s", b"v" * size)
        check(mc.get("s"), b"v" * size, word + "a value of %d bytes" % size)
    many = {"m%d" % i: b"v%d" % i for i in range(1000)}
    check(mc.set_many(many), [], word + "set_many")
    check(mc.get_many(list(many) + ["none"]), many, word + "get_many")
    check(mc.delete_many(list(many)), True, word + "delete_many")
    check(mc.get_many(list(many)), {}, word + "and they are gone")
    for name in ("set", "add", "replace", "append", "prepend", "delete", "touch"):
        args = {"delete": ("q",), "touch": ("q", 5)}.get(name, ("q", b"1"))
        getattr(mc, name)(*args, noreply=True)
    check(mc.get("q"), None, word + "seven commands without answers")
    check((mc.add("n", "10", noreply=False), mc.add("n", "1", noreply=False)), (True, False),
          word + "add")
    check((mc.replace("n", "10", noreply=False), mc.replace("none", "1", noreply=False)),
          (True, False), word + "replace")
    check((mc.incr("n", 5), mc.decr("n", 10), mc.incr("none", 1)), (15, 5, None),
          word + "incr and decr")
    check((mc.append("n", "1", noreply=False), mc.prepend("n", "2", noreply=False)), (True, True),
          word + "append and prepend")
    value, cas = mc.gets("n")
    check((mc.cas("n", "x", cas), mc.cas("n", "y", cas), mc.cas("none", "y", cas)),
          (True, False, None), word + "cas")
    check(len(mc.gets_many(["n", "a"])), 2, word + "gets_many")
    check((mc.touch("n", 100, noreply=False), mc.touch("none", 1, noreply=False)), (True, False),
          word + "touch")
    mc.set("short", "x", expire=1)
    mc.set("past", "x", expire=-1)
    check(mc.get("past"), None, word + "a time in the past")
    time.sleep(2.1)
    check(mc.get("short"), None, word + "expiry")
    check((mc.delete("n", noreply=False), mc.delete("n", noreply=False)), (True, False),
          word + "delete")
    mc.set("word", "abc")
    check(raised(mc.incr, "word", 1), MemcacheClientError.__name__, word + "incr of a word")
    check(raised(mc.set, "large", b"x" * 1100000, noreply=False), MemcacheServerError.__name__,
          word + "too large a value")
    check(mc.get("word"), b"abc", word + "the connection is in step")


session(Client(SERVER), "")
session(PooledClient(SERVER, max_pool_size=2), "pool: ")
session(Client(SERVER, key_prefix=b"pre:", allow_unicode_keys=True), "prefix: ")
client = Client(SERVER)
check(client.version().startswith(b"1.6."), True, "version")
# SHARED: items may all be at other nodes.
check(client.stats()[b"curr_items"] >= ("SHARED" not in os.environ), True, "stats")
check(b"maxbytes" in client.stats("settings"), True, "stats settings")
check(client.cache_memlimit(64), True, "cache_memlimit")
many = HashClient([SERVER])
many.set_many({"h%d" % i: str(i) for i in range(100)})
check(len(many.get_many(["h%d" % i for i in range(100)])), 100, "HashClient")
client.set("number", 3)
check(client.get("number"), b"3", "a number")
client.quit()
