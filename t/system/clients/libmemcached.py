#!/usr/bin/python3
"""libmemcached's command line tools: each is run, and what it says or leaves behind is checked.

The tools tell most by their exit code; what they must have done is looked up with another of them.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

SERVERS = "--servers=%s:%s" % (sys.argv[1], sys.argv[2])
REFERENCE = "REFERENCE" in os.environ
TOOLS = "stat dump cp cat exist rm touch flush ping slap".split()
KEYS = 20000


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.300r, want %.300r" % (name, got,
                                                                                    want))


def like(got, want, name):
    """got matches want somewhere."""
    check(bool(re.search(want, got, re.S)), True, name + ("" if re.search(want, got, re.S)
                                                         else " (%.300r)" % got))


def run(tool, *args):
    """(exit code, what it said)."""
    done = subprocess.run([tool, SERVERS] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def files():
    """What is copied to the server."""
    with open("small", "wb") as out:
        out.write(b"hello\nworld")
    with open("big", "wb") as out:
        out.write(b"0123456789abcde\n" * 50000)
    with open("empty", "wb") as out:
        out.write(b"")


def copying(word, options):
    """memccp, memccat."""
    check(run("memccp", *options, "small", "big", "empty"), (0, ""), word + "memccp of three files")
    check(run("memccat", *options, "small"), (0, "hello\nworld\n"), word + "memccat")
    code, said = run("memccat", *options, "big")
    check((code, said), (0, "0123456789abcde\n" * 50000 + "\n"), word + "memccat of 800 kB")
    check(run("memccat", *options, "none")[0], 1, word + "memccat of nothing")
    check(run("memccp", *options, "--add", "small")[0], 1, word + "memccp --add that fails")
    check(run("memccp", *options, "--replace", "small"), (0, ""), word + "memccp --replace")
    check(run("memccp", *options, "--flags=4000000000", "--expire=1000", "small"), (0, ""),
          word + "memccp with flags and a time")
    check(run("memccat", *options, "--flags", "small"), (0, "4000000000\nhello\nworld\n"),
          word + "memccat shows the flags")


def single(word, options):
    """memcexist, memctouch, memcrm."""
    check([run("memcexist", *options, key) for key in ("small", "none")], [(0, ""), (1, "")],
          word + "memcexist")
    check(run("memccat", *options, "none")[0], 1, word + "and it left nothing behind")
    check([run("memctouch", *options, "--expire=1000", key) for key in ("small", "none")],
          [(0, ""), (1, "")], word + "memctouch")
    check(run("memctouch", *options, "--expire=1", "empty"), (0, ""), word + "memctouch to 1 s")
    check([run("memcrm", *options, "small") for _ in range(2)], [(0, ""), (1, "")],
          word + "memcrm, and again")
    check(run("memcexist", *options, "small")[0], 1, word + "and it is gone")
    check(run("memcping"), (0, ""), word + "memcping")


def statistics(word, options):
    """memcstat."""
    code, said = run("memcstat", *options)
    check(code, 0, word + "memcstat")
    for name in ("pid", "curr_items", "limit_maxbytes", "threads", "evictions"):
        like(said, r"\t%s: \d+\n" % name, word + "memcstat shows " + name)
    like(run("memcstat", *options, "items")[1], r"\titems:\d+:number: \d+\n",
         word + "memcstat items")
    like(run("memcstat", *options, "slabs")[1], r"\tactive_slabs: \d+\n", word + "memcstat slabs")
    like(run("memcstat", *options, "settings")[1], r"\titem_size_max: 1048576\n",
         word + "memcstat settings")
    like(run("memcstat", *options, "--server-version")[1], r":\d+ 1\.6\.\d+\n",
         word + "memcstat --server-version")
    like(run("memcstat", *options, "--analyze")[1], r"Average Item Size.*: \d+ bytes",
         word + "memcstat --analyze")
    like(run("memcstat", *options, "--analyze=latency", "--iterations=20")[1], r"=> [\d.]+ seconds",
         word + "memcstat --analyze=latency")


def slapping(word, options):
    """memcslap counts what it did in its own words, memcstat in the server's."""
    for test, what in (("set", "set"), ("get", "get"), ("mget", "mget")):
        code, said = run("memcslap", *options, "--test=" + test, "--concurrency=2",
                         "--execute-number=500")
        check(code, 0, word + "memcslap " + test)
        like(said, r"Time to %s +1000 keys by +2 threads" % what,
             word + "memcslap's count of " + test)


def load():
    """memcaslap with every value that it reads compared."""
    for name, options in (("text", []), ("multiget", ["--division=10"]), ("binary", ["--binary"]),
                          ("with times", ["--exp_verify=0.1"]),
                          ("values of 30 kB", ["--fixed_size=30000"])):
        code, said = run("memcaslap", "--execute_number=3000", "--threads=1", "--concurrency=8",
                         "--verify=1", *options)
        found = dict(re.findall(r"^(\w+): (\d+)$", said, re.M))
        check(code, 0, "memcaslap %s" % name)
        check([found.get(n) for n in ("get_misses", "verify_misses", "verify_failed")], ["0"] * 3,
              "memcaslap %s: every value is there and right" % name)
        check(int(found.get("cmd_get", 0)) + int(found.get("cmd_set", 0)), 3000,
              "memcaslap %s: its count" % name)


def dumping():
    """memcdump lists every key, however many there are in one class."""
    run("memcflush")
    names = ["dump-%05d" % i for i in range(KEYS)]
    # Not by memccp: with --buffer libmemcached 1.1.4 aborts now and then, whoever the server is.
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as sock:
        for i, name in enumerate(names):
            size = 1 + i % 3 * 100
            sock.sendall(b"set %s 0 0 %d noreply\r\n%s\r\n" % (name.encode(), size, b"x" * size))
        sock.sendall(b"version\r\n")
        check(sock.recv(100)[:8], b"VERSION ", "%d sets" % KEYS)
    code, said = run("memcdump")
    check(code, 0, "memcdump")
    listed = said.split("\n")[:-1]
    check(len(listed), len(set(listed)), "memcdump lists no key twice")
    check(set(listed) <= set(names), True, "memcdump lists no key that is not there")
    if REFERENCE:  # memcached lists only what is cold
        print("ok memcdump of memcached lists %d of %d" % (len(listed), KEYS))
        return
    check(len(listed), KEYS, "memcdump lists all %d keys" % KEYS)


def main():
    """In an empty folder."""
    if any(shutil.which("memc" + tool) is None for tool in TOOLS):
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        files()
        for word, options in (("text: ", []), ("binary: ", ["--binary"])):
            copying(word, options)
            single(word, options)
            statistics(word, options)
            slapping(word, options)
            check(run("memcflush", *options), (0, ""), word + "memcflush")
            check(run("memccat", *options, "big")[0], 1, word + "and nothing is left")
        if shutil.which("memcaslap"):
            load()
        else:
            print("skip memcaslap - this libmemcached-tools has none")
        dumping()
        os.chdir("/")


main()
