#!/usr/bin/python3
"""magpiectl: what it prints and how it exits."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import Server, pattern, program_exists  # noqa: E402

CTL = os.path.abspath(os.environ.get("MAGPIECTL", "./magpiectl"))
DONE, NO, USAGE, FAILED = range(4)


def tool(*words, text=b""):
    """Exit code, standard output, standard error."""
    done = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def place(s):
    """What -s is given."""
    return "127.0.0.1:%d" % s.port


def ctl_values(s):
    """get, set, delete, flush."""
    def ctl(*words, text=b""):
        return tool(CTL, "-s", place(s), *words, text=text)
    tap.is_(ctl("set", "a", "hello world"), (DONE, b"", b""), "set")
    tap.is_(ctl("get", "a"), (DONE, b"hello world", b""), "get prints the bytes alone")
    data = bytes(range(256)) * 1000
    tap.is_(ctl("set", "bin", "-", text=data)[0], DONE, "set reads standard input")
    tap.is_(ctl("get", "bin"), (DONE, data, b""), "all of it comes back")
    tap.is_(ctl("set", "t", "x", "--ttl", "100")[0], DONE, "set with a time to live")
    tap.is_(s.once(b"mg t t\r\n"), pattern(rb"HD t(100|9\d)\r\n"), "it has one")
    code, out, err = ctl("get", "none")
    tap.ok(code == NO and out == b"" and b"none" in err, "get of a missing key", (code, out, err))
    tap.is_([ctl("delete", "a")[0], ctl("delete", "a")[0]], [DONE, NO], "delete twice")
    tap.is_([ctl("flush")[0], ctl("get", "bin")[0]], [DONE, NO], "flush")
    code, out, err = ctl("set", "big", "-", text=b"x" * 2000000)
    tap.ok(code == FAILED and b"too large" in err, "a value that is too large", (code, err))
    tap.is_(ctl("set", "--", "-k", "-v")[0], DONE, "a key that looks like an option")
    tap.is_(ctl("get", "--", "-k")[1], b"-v", "is stored")


def ctl_looks(s):
    """status, stats, version."""
    code, out, _ = tool(CTL, "-s", place(s), "status")
    tap.ok(code == DONE and b"pid %d," % s.pid in out and b"items" in out, "status", out)
    code, out, _ = tool(CTL, "-s", place(s), "stats")
    tap.ok(code == DONE and b"pid %d\n" % s.pid in out, "stats", out)
    code, out, _ = tool(CTL, "-s", place(s), "stats", "settings")
    tap.ok(code == DONE and out.startswith(b"maxbytes "), "stats settings", out)
    tap.is_(tool(CTL, "-s", place(s), "stats", "detail")[0], FAILED, "stats that answers an error")
    tap.is_(tool(CTL, "-s", place(s), "version"), (DONE, pattern_of(s), b""), "version")


def pattern_of(s):
    """The version that the server itself tells."""
    return s.once(b"version\r\n").replace(b"VERSION ", b"").replace(b"\r\n", b"\n")


def ctl_usage(s):
    """Wrong words are told from a server that is not there."""
    here = ("-s", place(s))
    for name, words, want in [
            ("no verb", here, USAGE), ("unknown verb", here + ("frob",), USAGE),
            ("a word is missing", here + ("get",), USAGE),
            ("a word too many", here + ("get", "a", "b"), USAGE),
            ("unknown option", here + ("--frob",), USAGE),
            ("option without value", ("version", "-s"), USAGE),
            ("a key with a blank", here + ("get", "a b"), USAGE),
            ("a key of 251 bytes", here + ("get", "k" * 251), USAGE),
            ("a key that smuggles a command", here + ("get", "a\r\nflush_all"), USAGE),
            ("a name that smuggles one", here + ("stats", "x\r\nflush_all"), USAGE),
            ("a wrong time to live", here + ("set", "k", "v", "--ttl", "x"), USAGE),
            ("a time to live for get", here + ("get", "k", "--ttl", "5"), USAGE),
            ("help", ("--help",), DONE),
            ("nobody listens", ("-s", "127.0.0.1:1", "version"), FAILED),
            ("no such socket", ("-s", "/nonexistent/socket", "version"), FAILED)]:
        code, out, err = tool(CTL, *words)
        tap.ok(code == want and (out if want == DONE else err), "magpiectl: " + name,
               (code, out, err))


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (ctl_values, ctl_looks, ctl_usage):
            tap.guarded(function, s)
    tap.done()


main()
