#!/usr/bin/python3
"""memcached-tool, the script that comes with memcached: how operators look at a server."""

import os
import re
import shutil
import socket
import subprocess
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])
TOOL = shutil.which("memcached-tool") or "/usr/share/memcached/scripts/memcached-tool"
KEYS = ["key-%d" % i for i in range(100)] + ["p%c", "50%_off"]


def check(got, want, name):
    """One line of the report."""
    print("ok " + name if got == want else "not ok %s - got %.300r, want %.300r" % (name, got,
                                                                                    want))


def run(mode):
    """(exit code, lines)."""
    done = subprocess.run(["perl", TOOL, "%s:%d" % (HOST, PORT), mode], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()


def ask(request, end):
    """What the server says up to a line end."""
    with socket.create_connection((HOST, PORT), 20) as sock:
        sock.sendall(request)
        said = b""
        while not said.endswith(end):
            data = sock.recv(65536)
            if not data:
                break
            said += data
        return said


def main():
    """Every mode but "move"."""
    if not os.path.exists(TOOL) or shutil.which("perl") is None:
        sys.exit(77)
    for i, key in enumerate(KEYS):
        ask(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), 10 + i, b"v" * (10 + i)), b"\r\n")
    code, lines = run("stats")
    names = {line.split()[0] for line in lines if re.match(r" *\w+ +\S+$", line)}
    check((code, {"curr_items", "evictions", "threads", "pid"} <= names), (0, True), "stats")
    code, lines = run("settings")
    names = {line.split()[0] for line in lines if line.strip()}
    check((code, {"maxbytes", "item_size_max", "slab_automove"} <= names), (0, True), "settings")
    code, lines = run("display")
    rows = [line.split() for line in lines if re.match(r" *\d+ +\S+ +\d+s +\d+ +\d+", line)]
    check((code, sum(int(row[4]) for row in rows)), (0, len(KEYS)), "display counts the items")
    code, lines = run("sizes")
    check((code, any("sizes" in line or "size" in line for line in lines)), (0, True), "sizes")
    if ask(b"lru_crawler metadump 63\r\n", b"\n").startswith(b"ERROR\r"):
        print("skip keys, dump - the server has no lru_crawler metadump")
        return
    code, lines = run("keys")
    found = sorted(re.sub(r"%(..)", lambda m: chr(int(m.group(1), 16)), m.group(1))
                   for m in (re.match(r"key=(\S+) exp=-?\d+ la=\d+ cas=\d+ ", line)
                             for line in lines) if m)
    check((code, found), (0, sorted(KEYS)), "keys lists every key")
    code, lines = run("dump")
    adds = [line.split() for line in lines if line.startswith("add ")]
    check((code, sorted((row[1], int(row[4])) for row in adds)),
          (0, sorted((key, 10 + i) for i, key in enumerate(KEYS))), "dump has every value")


main()
