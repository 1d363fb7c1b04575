#!/usr/bin/python3
"""magpie-bench on a real server, and on one that lies."""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import DEADLINE, Server, pattern, program_exists  # noqa: E402

BENCH = os.path.abspath(os.environ.get("MAGPIEBENCH", "./magpie-bench"))
USAGE = 2
QUICK = ("--seconds", "0.2", "--warmup", "0.05", "--connections", "5")


def bench(port, *words):
    """Exit code, standard output, standard error."""
    done = subprocess.run((BENCH, "-s", "127.0.0.1:%d" % port) + words, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def figures(port, *words):
    """What a run that must succeed prints as JSON."""
    code, out, err = bench(port, "--output", "json", *words)
    if code != 0:
        raise AssertionError("exit %d: %s %s" % (code, out, err))
    return json.loads(out)


def counted(s, name):
    """A counter of the server, when nobody else is connected any more."""
    with s.conn() as c:
        until = time.monotonic() + DEADLINE
        while c.stats()["curr_connections"] != "1" and time.monotonic() < until:
            time.sleep(0.01)
        return int(c.stats()[name])


def loads(s):
    """Every protocol with everything that can be asked, verified."""
    for protocol in ("text", "meta", "binary"):
        for multi in ("1", "10"):
            got = figures(s.port, "--protocol", protocol, "--multi", multi, "--threads", "2",
                          "--keys", "500", "--counters", "3", "--value-size", "0-3000",
                          "--key-size", "5-60", "--depth", "4", "--mix",
                          "get=60,set=20,delete=10,incr=10", "--set-on-miss", "--ttl", "0-1",
                          "--flags", "--zipf", "0.9", "--verify", "--pid", str(s.pid), *QUICK)
            name = "%s, %s keys a get: " % (protocol, multi)
            tap.ok(all(got[kind] > 0 for kind in
                       ("gets", "sets", "deletes", "incrs", "filled", "get_hits")),
                   name + "all kinds of requests", got)
            tap.ok(0 < got["delete_hits"] < got["deletes"], name + "some deletes find nothing", got)
            tap.is_(got["incr_hits"], got["incrs"], name + "every counter is there")
            tap.is_((got["errors"], got["wrong"]), (0, 0), name + "nothing is wrong")
            tap.ok(got["server_cpu_us_per_operation"] is not None, name + "server CPU is counted")
    for keys, words in ((777, ("--gets", "100", "--zipf", "1")),
                        (778, ("--gets", "100", "--threads", "3")),
                        (1, ("--gets", "100", "--threads", "2"))):
        s.once(b"flush_all\r\n")
        before = counted(s, "cmd_set")
        got = figures(s.port, "--keys", str(keys), *words, *QUICK)
        tap.is_(counted(s, "cmd_set") - before, keys, "prefill stores every key once")
        tap.is_(got["hit_ratio"], 1, "and all are found")
    for mix, stored in (("incr=1", 7), ("incr=1,delete=1", 107)):
        before = counted(s, "cmd_set")
        got = figures(s.port, "--keys", "100", "--counters", "7", "--mix", mix, *QUICK)
        tap.is_(counted(s, "cmd_set") - before, stored, "prefill for %s" % mix)
        tap.is_(got["incr_hits"], got["incrs"], "and every counter is there")


def text_report(s):
    """What a person reads."""
    code, out, err = bench(s.port, "--keys", "100", "--pid", str(s.pid), *QUICK)
    tap.ok(code == 0 and not err and re.search(
        r"^text, 5 connections, depth 1, 90 % get, 10 % set, 100 keys .*\n"
        r"\d+ operations/s: \d+ keys fetched, 100.00 % of them hits, and \d+ stored in 0\.\d\d s\n"
        r"latency of a request, us: mean [\d.]+, p50 [\d.]+, .*p99.99 [\d.]+, max [\d.]+\n"
        r"  get: .*\n  set: .*\nserver CPU: .*\nclient CPU: .*\n$", out), "the report",
           (code, out, err))
    code, out, _ = bench(s.port, "--gets", "0", "--keys", "100", *QUICK)
    tap.ok(code == 0 and re.search(r"operations/s: 0 keys fetched and \d+ stored in ", out),
           "the report of sets alone", out)
    code, _, err = bench(s.port, "--keys", "1000", "--key-size", "4")
    tap.ok(code == USAGE and "so many keys have at least 5 bytes" in err, "keys that are too short",
           err)
    code, out, _ = bench(s.port, "--help")
    tap.ok(code == 0 and "--trace-speed X" in out and "compare only:" in out, "the help", out)


def exact_numbers(s):
    """So many requests as were wanted, in every form of output."""
    before = counted(s, "cmd_get"), counted(s, "cmd_set")
    got = figures(s.port, "--requests", "1234", "--threads", "3", "--keys", "100")
    after = counted(s, "cmd_get"), counted(s, "cmd_set")
    tap.is_(got["requests"], 1234, "--requests")
    tap.is_((after[0] - before[0], after[1] - before[1]), (got["gets"], got["sets"] + 100),
            "the server counts the same")
    got = figures(s.port, "--requests", "500", "--warmup", "0.1", "--depth", "8", "--keys", "100")
    tap.is_(got["requests"], 500, "--requests behind a warm-up")
    code, out, _ = bench(s.port, "--requests", "50", "--output", "csv", "--keys", "100")
    rows = list(csv.DictReader(io.StringIO(out)))
    tap.ok(code == 0 and len(rows) == 1 and list(rows[0]) == list(got), "CSV has the same names",
           out)
    tap.is_((rows[0]["requests"], rows[0]["protocol"], rows[0]["delete_p99_us"]),
            ("50", "text", ""), "and its values")
    before = counted(s, "total_connections")
    figures(s.port, "--requests", "10", "--idle", "40", "--connections", "2", "--no-prefill")
    tap.is_(counted(s, "total_connections") - before - 1, 42, "--idle connections")


def keys_and_values(s):
    """What is stored is what was ordered."""
    bench(s.port, "--keys", "5", "--key-size", "10", "--value-size", "17", "--requests", "1",
          "--ttl", "100")
    tap.is_(s.once(b"mg k-00000003 s t\r\nmg k-00000005 v\r\n"),
            pattern(rb"HD s17 t(100|9\d)\r\nEN\r\n"), "name, size and time to live of a key")
    bench(s.port, "--keys", "5", "--key-size", "10", "--mix", "incr=1", "--counters", "2",
          "--requests", "7", "--connections", "1")
    with s.conn() as c:
        c.send(b"get c-00000000 c-00000001\r\nquit\r\n")
        sums = re.findall(rb"\r\n(\d+)\r\n", c.finish())
    tap.ok(len(sums) == 2 and sum(map(int, sums)) == 7, "two counters count to seven", sums)
    s.once(b"flush_all\r\n")
    got = figures(s.port, "--keys", "50", "--no-prefill", "--set-on-miss", "--gets", "100",
                  "--multi", "7", "--depth", "3", "--connections", "5", "--requests", "300")
    tap.is_((got["gets"] - got["get_hits"], got["requests"]), (got["sets"], 300 + got["sets"]),
            "every miss is followed by a set")
    tap.ok(50 <= got["filled"] == got["sets"], "which stores all keys", got)
    tap.is_(figures(s.port, "--keys", "50", "--no-prefill", "--gets", "100", "--verify",
                    *QUICK)["hit_ratio"], 1, "then all are there")


def unix_socket():
    """A server at a path, also of this folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        with Server("-s", path, tcp=False, unix=path):
            for place in (path, "./socket"):
                done = subprocess.run((BENCH, "-s", place, "--keys", "10", "--requests", "100"),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, timeout=60, cwd=folder, check=False)
                tap.ok(done.returncode == 0 and b" operations/s: " in done.stdout,
                       "a Unix socket", (place, done))


def rates(s):
    """As many requests are due as the rate says, no more and no less."""
    for words in ((), ("--threads", "2"), ("--depth", "8", "--connections", "1")):
        got = figures(s.port, "--rate", "2000", "--seconds", "0.5", "--warmup", "0", "--keys",
                      "100", "--gets", "100", *words)
        late = 0.1 if "--threads" in words else 0  # threads do not begin at the same moment
        tap.between(got["requests"] + got["unanswered"], 2000 * (got["seconds"] - late) - 2,
                    2000 * got["seconds"] + 2, "--rate 2000 %s" % " ".join(words))
    got = figures(s.port, "--rate", "5000", "--poisson", "--requests", "1000", "--keys", "100")
    tap.is_((got["requests"], got["unanswered"]), (1000, 0), "--poisson --requests")
    # 1000 gaps of a mean of 0.2 ms: 0.2 s, with a standard deviation of 0.0063 s.
    tap.ok(got["seconds"] > 0.17, "--poisson is not faster than its rate", got)
    s.once(b"flush_all\r\n")
    code, out, _ = bench(s.port, "--rate", "1000", "--keys", "100000", "--no-prefill",
                         "--set-on-miss", "--gets", "100", "--seconds", "0.5", "--warmup", "0")
    rate = re.search(r"^(\d+) requests/s of 1000 wanted", out, re.M)
    tap.between(int(rate[1]), 1, 1010, "what is stored on a miss is not among what was due")
    code, out, _ = bench(s.port, "--rate", "1000", "--keys", "100", *QUICK)
    tap.ok(code == 0 and "requests/s of 1000 wanted" in out and "since it was due" in out,
           "the report says that the loop is open", out)


class Liar:
    """A server of the text protocol with one flaw."""

    def __init__(self, flaw=None):
        self.flaw = flaw
        self.items = {}
        self.seen = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("rwb") as stream:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self.flaw == "takes no connection":
                    sock.sendall(b"ERROR Too many open connections\r\n")
                if self.flaw in ("takes no connection", "hangs up"):
                    return
                for line in stream:
                    answer = self.answer(line.split(), stream)
                    if answer is None:
                        return
                    stream.write(answer)
                    stream.flush()
            except OSError:
                pass

    def answer(self, words, stream):
        """To one command; None: closes the connection."""
        with self.lock:
            self.seen += 1
            if self.flaw == "pauses" and self.seen == 100:
                time.sleep(0.5)  # this is the fault, not a wait for something
            if self.flaw == "is silent":
                return b""
            if self.flaw == "closes" and self.seen == 300:
                return None
            if words[0] == b"set":
                value = stream.read(int(words[4]) + 2)[:-2]
                if self.flaw == "is full" and self.seen % 2:
                    return b"SERVER_ERROR out of memory storing object\r\n"
                self.items[words[1]] = (int(words[2]), value)
                return b"STORED\r\n"
            if words[0] == b"incr":
                return self.increment(words[1])
            return b"".join(map(self.fetch, words[1:])) + b"END\r\n"

    def increment(self, key):
        n = int(self.items[key][1]) + 1
        if self.flaw != "loses increments" or self.seen % 10:
            self.items[key] = (0, b"%d" % n)
        if self.flaw == "increments twice" and self.seen % 10 == 0:
            self.items[key] = (0, b"%d" % (n + 1))
        return b"%d\r\n" % n

    def fetch(self, key):
        if key not in self.items:
            return b""
        flags, value = self.items[key]
        if self.seen % 10 == 0:
            if self.flaw == "wrong bytes":
                value = value[:-1] + bytes([value[-1] ^ 1])
            elif self.flaw == "wrong length":
                value = value[:-1]
            elif self.flaw == "wrong flags":
                flags += 1
            elif self.flaw == "a key that was not asked for":
                key += b"x"
            elif self.flaw == "value of another key":
                flags, value = self.items[min(self.items)]
            elif self.flaw == "no line end behind a value":
                return b"VALUE %s %d %d\r\n%sxx" % (key, flags, len(value), value)
            elif self.flaw == "unexpected answer":
                return b"STORED\r\n"
        return b"VALUE %s %d %d\r\n%s\r\n" % (key, flags, len(value), value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


LIAR = ("--keys", "20", "--requests", "400", "--connections", "2", "--verify", "--flags")


def lies():
    """A flaw of the server is found, named, and only where there is one."""
    with Liar() as liar:
        for words in (("--gets", "100"), ("--mix", "get=1,set=1,incr=1", "--counters", "2"),
                      ("--multi", "5", "--depth", "3")):
            code, out, err = bench(liar.port, *words, *LIAR)
            tap.ok(code == 0 and not err, "an honest server, %s" % " ".join(words), (out, err))
    for flaw in ("wrong bytes", "wrong length", "wrong flags", "a key that was not asked for",
                 "no line end behind a value"):
        for multi in ("1", "5"):
            with Liar(flaw) as liar:
                code, out, err = bench(liar.port, "--gets", "100", "--multi", multi, *LIAR)
                tap.ok(code == 1 and re.search(r"TROUBLE: 0 errors, \d+ wrong values; the first: "
                                               + flaw, out), "%s, %s keys" % (flaw, multi),
                       (code, out, err))
    with Liar("value of another key") as liar:
        code, out, err = bench(liar.port, "--gets", "100", *LIAR)
        tap.ok(code == 1 and "TROUBLE: 0 errors, " in out, "the value of another key",
               (code, out, err))
    for flaw, words in (("loses increments", "an increment was lost"),
                        ("increments twice", "an increment was made twice")):
        with Liar(flaw) as liar:
            code, out, err = bench(liar.port, "--mix", "incr=1", "--counters", "1", *LIAR)
            tap.ok(code == 1 and words + ': "c-' in out, flaw, (code, out, err))
    with Liar("unexpected answer") as liar:
        code, out, err = bench(liar.port, "--gets", "100", *LIAR)
        tap.ok(code == 1 and "unexpected answer: " in err and "STORED" in err,
               "an answer that fits no request", (code, out, err))


def failures():
    """What a server cannot help."""
    with Liar("closes") as liar:
        code, out, err = bench(liar.port, *LIAR)
        tap.ok(code == 1 and "closed a connection" in err and " operations/s: " in out,
               "a server that closes: what was measured until then is printed", (code, out, err))
    with Liar("takes no connection") as liar:
        for words in ((), ("--no-prefill",)):
            code, _, err = bench(liar.port, *words, *LIAR)
            tap.ok(code == 1 and "an error: \"ERROR Too many open connections" in err,
                   "a server that takes no connection: its words", (code, err))
    with Liar("hangs up") as liar:
        code, _, err = bench(liar.port, "--no-prefill", *LIAR)
        tap.ok(code == 1 and "perhaps it takes no 2 connections" in err,
               "a server that hangs up: what it may be", (code, err))
    with Liar("is silent") as liar:
        for words in (("--depth", "3"), ("--rate", "100")):
            code, out, err = bench(liar.port, "--no-prefill", *words, *QUICK)
            tap.ok(code == 1 and "no answer to any of " in err and " operations/s" not in out,
                   "a server that is silent, %s" % " ".join(words), (code, out, err))
    with Liar("is full") as liar:
        code, out, err = bench(liar.port, "--gets", "100", *LIAR)
        tap.ok(code == 0 and re.search(r"1\d? of 20 keys were not stored: .*out of memory", err) and
               " operations/s: " in out, "a server that has no room for all keys", (code, out, err))
        code, out, err = bench(liar.port, "--gets", "0", "--no-prefill", *LIAR)
        tap.ok(code == 1 and "TROUBLE: 200 errors, 0 wrong values; the first: an error: "
               '"SERVER_ERROR out of memory storing object"' in out, "errors are counted",
               (code, out, err))


def pauses():
    """A server that stands still for half a second: what an open loop sees, and a closed one.

    100 requests are due in that time, and the first of 300.  The closed loop asks one of them.
    """
    words = ("--requests", "300", "--connections", "1", "--gets", "100", "--no-prefill")
    with Liar("pauses") as liar:
        got = figures(liar.port, "--rate", "200", "--depth", "64", *words)
        tap.ok(got["latency_max_us"] >= 500000 and got["latency_p90_us"] >= 250000,
               "an open loop counts all that were kept waiting", got)
    with Liar("pauses") as liar:
        got = figures(liar.port, *words)
        tap.ok(got["latency_max_us"] >= 500000 and got["latency_p90_us"] < 250000,
               "a closed one does not notice", got)


class Trace:
    """A file with these lines."""

    def __init__(self, *lines):
        with tempfile.NamedTemporaryFile("w", suffix=".csv", delete=False) as f:
            f.write("".join(line + "\n" for line in lines))
        self.path = f.name

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        os.unlink(self.path)


TINY = ("time,key,size,op,ttl",
        "0,a,10,get,0", "0,a,10,get,0", "1,b,5,get,0", "2,a,20,set,0", "3,a,1,get,0",
        "4,b,0,delete,0", "5,b,0,delete,0", "5,b,7,get,100", "6,c,0,set,100", "6,c,0,get,0")


def traces(s):
    """Exact counts, in order, on every protocol and at any depth."""
    want = {"gets": 6, "get_hits": 3, "sets": 5, "filled": 3, "deletes": 2, "delete_hits": 1,
            "requests": 13, "late_gets": 6, "late_hits": 3, "errors": 0, "wrong": 0}
    with Trace(*TINY) as path:
        for words in ((), ("--depth", "16"), ("--connections", "1", "--depth", "16"),
                      ("--threads", "3", "--depth", "2"), ("--protocol", "meta"),
                      ("--protocol", "binary", "--connections", "1", "--depth", "16")):
            s.once(b"flush_all\r\n")
            got = figures(s.port, "--trace", path, "--trace-warmup", "0", "--verify", *words)
            tap.is_({name: got[name] for name in want}, want, "a trace, %s" % " ".join(words))
        tap.is_(s.once(b"mg a s t\r\nmg b s t\r\nmg c s t\r\n"),
                pattern(rb"HD s20 t-1\r\nHD s7 t(100|9\d)\r\nHD s0 t(100|9\d)\r\n"),
                "what the trace has stored")
        s.once(b"flush_all\r\n")
        got = figures(s.port, "--trace", path, "--trace-speed", "20", "--trace-warmup", "0.5")
        tap.ok(got["requests"] == 13 and got["late_gets"] == 2 and got["late_hits"] == 1,
               "the second half of a trace", got)
        tap.ok(got["seconds"] >= 6 / 20, "it keeps to its times", got)
        tap.is_(s.once(b"mg b t\r\n"), pattern(rb"HD t[45]\r\n"), "and times to live are as fast")
    with Trace("0,n,0,incr,0", "0,n,0,incr,0", "0,n,0,incr,0", "0,m,3,set,0") as path:
        s.once(b"flush_all\r\n")
        got = figures(s.port, "--trace", path, "--depth", "8")
        tap.is_((got["incrs"], got["incr_hits"], got["sets"]), (3, 2, 2), "increments of a trace")
        tap.is_(s.once(b"get n\r\n"), b"VALUE n 0 1\r\n2\r\nEND\r\n", "a counter begins at 0")
        code, _, err = bench(s.port, "--trace", path, "--verify")
        tap.ok(code == 1 and "may be no incr" in err, "which cannot be verified", err)


def trace_of_many(s):
    """A trace with few keys and many repeats: hits do not depend on depth and threads."""
    lines, seen, hits = [], set(), 0
    for i in range(20000):
        key = i * i % 1009 + i % 7
        hits += key in seen
        seen.add(key)
        lines.append("%d.%d,key-%d,%d,get,0" % (i // 1000, i % 1000 // 100, key, key % 300))
    with Trace(*lines) as path:
        for words in (("--connections", "1"), ("--connections", "2", "--depth", "64"),
                      ("--threads", "2", "--depth", "8"), ("--protocol", "meta", "--depth", "32")):
            s.once(b"flush_all\r\n")
            got = figures(s.port, "--trace", path, "--verify", *words)
            tap.is_((got["gets"], got["get_hits"], got["filled"]), (20000, hits, len(seen)),
                    "20,000 lines, %s" % " ".join(words))


def bad_traces(s):
    """The line is named, and what was measured before is not lost."""
    for name, line, why in (("a field is missing", "1,k,1,get", "want five fields"),
                            ("an unknown op", "1,k,1,cas,0", "op is not"),
                            ("an empty line", "", "want five fields"),
                            ("time runs backwards", "0.5,k,1,get,0", "time runs backwards")):
        with Trace("1,a,1,get,0", line, "2,b,1,get,0") as path:
            code, _, err = bench(s.port, "--trace", path)
            tap.ok(code == 1 and ": line 2: " in err and why in err, "trace: " + name, (code, err))
    tap.is_(bench(s.port, "--trace", "/nonexistent")[0], 1, "trace: no such file")
    for name, lines in (("an empty file", ()), ("nothing but a header", ("time,key,size,op,ttl",))):
        with Trace(*lines) as path:
            code, _, err = bench(s.port, "--trace", path)
            tap.ok(code == 1 and ": holds no request" in err, "trace: " + name, (code, err))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)
        code, _, err = bench(s.port, "--trace", path)
        tap.ok(code == 1 and "a trace is a regular file" in err, "trace: a FIFO", (code, err))


def odd_traces(s):
    """Times of the day's clock, ends of lines, and speeds at which nothing more will come."""
    s.once(b"flush_all\r\n")
    with Trace("1700000000.25,a,10,get,60\r", "1700000000.75,a,10,get,60\r") as path:
        got = figures(s.port, "--trace", path, "--trace-speed", "10")
        tap.is_((got["gets"], got["get_hits"]), (2, 1), "Unix times and CRLF")
        tap.ok(0.05 <= got["seconds"] < 30, "which begin at once", got)
        s.once(b"flush_all\r\n")
        got = figures(s.port, "--trace", path, "--trace-speed", "1e-12", "--seconds", "0.2")
        tap.is_((got["gets"], got["sets"]), (1, 1), "a trace that stands almost still")
        tap.is_(s.once(b"mg a t\r\n"), pattern(rb"HD t3153(6000|5999)\d\r\n"),
                "keeps its values for ten years")


def notices(s):
    """A server that holds something else, and words that make no sense."""
    bench(s.port, "--keys", "50", *QUICK)
    few = ("--requests", "200", "--connections", "5")  # a busy machine may answer none in 0.2 s
    for protocol in ("text", "meta", "binary"):
        for name, options in [("wrong bytes", ("--seed", "2")), ("wrong flags", ("--flags",)),
                              ("wrong length", ("--value-size", "101"))]:
            code, out, _ = bench(s.port, "--keys", "50", "--no-prefill", "--verify",
                                 "--protocol", protocol, "--gets", "100", *options, *few)
            tap.ok(code == 1 and name + ": " in out, "%s: %s" % (protocol, name), (code, out))
    code, out, _ = bench(s.port, "--keys", "50", "--no-prefill", "--verify", "--gets", "100",
                         "--seed", "2", "--output", "json", *few)
    tap.ok(code == 1 and json.loads(out)["complaint"].startswith("wrong bytes: "), "in JSON", out)
    code, _, err = bench(s.port, "--keys", "5", "--value-size", "2000000", *QUICK)
    tap.ok(code == 1 and "too large" in err, "values that are refused", (code, err))
    tap.is_(bench(1, *QUICK)[0], 1, "nobody listens")
    code, out, err = bench(s.port, "--pid", "99999999", *QUICK)
    tap.ok(code == 1 and "process 99999999: No such process" in err and not out,
           "no such process: said before anything is done", (code, out, err))
    with Server("-c", "20") as small:
        code, _, err = bench(small.port, "--idle", "30", *QUICK)
        tap.ok(code == 1 and "Too many open connections" in err, "more connections than -c",
               (code, err))
    with_few = ["sh", "-c", "ulimit -n 100; exec \"$@\"", "sh", BENCH, "-s",
                "127.0.0.1:%d" % s.port, "--keys", "10", "--connections", "200"]
    done = subprocess.run(with_few, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    tap.ok(done.returncode == 1 and b"200 connections want " in done.stderr and
           b"is 100 (ulimit -n)" in done.stderr, "more connections than open files", done)
    for words in (("--multi", "0"), ("--frob",), ("--seed",), ("word",), ("--protocol", "x"),
                  ("--seconds", "0"), ("--value-size", "9-1"), ("--gets", "5", "--mix", "get=1"),
                  ("--rounds", "3"), ("--row", "x")):
        code, _, err = bench(s.port, *words)
        tap.ok(code == USAGE and "--help" in err, "usage of %s" % " ".join(words), (code, err))


def unwritten(s):
    """Output that nobody gets is an error, in every form."""
    few = ("-s", "127.0.0.1:%d" % s.port, "--requests", "10", "--keys", "10")
    for words in (("--help",), few, few + ("--output", "json"), few + ("--output", "csv")):
        with open("/dev/full", "w") as full:
            done = subprocess.run((BENCH,) + words, stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, timeout=60, check=False)
        tap.ok(done.returncode == 1 and b"could not be written" in done.stderr,
               "a full disk, %s" % " ".join(words[2:] or words), done)


def interrupts(s):
    """Ctrl-C ends a run, and what was measured is printed."""
    for name, words in (("closed", ()), ("open", ("--rate", "100")), ("2 threads",
                                                                      ("--threads", "2"))):
        tool = subprocess.Popen((BENCH, "-s", "127.0.0.1:%d" % s.port, "--keys", "100",
                                 "--seconds", "600", "--warmup", "0", "--progress") + words,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = tool.stderr.readline().decode()
        tap.ok(re.match(r"measured +1 s +\d+ operations/s +100.00 % hits +p99 \d+ us\n", line),
               "progress, " + name, line)
        tool.send_signal(signal.SIGINT)
        try:
            out, _ = tool.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            tool.kill()
            out, _ = tool.communicate()
        tap.ok(tool.returncode == 0 and b" operations/s: " in out, "Ctrl-C, " + name,
               (tool.returncode, out))


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (loads, text_report, exact_numbers, keys_and_values, rates, traces,
                         trace_of_many, bad_traces, odd_traces, notices, unwritten, interrupts):
            tap.guarded(function, s)
    for function in (unix_socket, lies, failures, pauses):
        tap.guarded(function)
    tap.done()


main()
