#!/usr/bin/python3
"""magpie-bench compare: what it prints, where it runs, and that it leaves nothing behind."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import DEADLINE, PROGRAM, Conn, program_exists, wait_until  # noqa: E402

BENCH = os.path.abspath(os.environ.get("MAGPIEBENCH", "./magpie-bench"))
USER = ["-u", "root"] if os.geteuid() == 0 else []
SERVER = " ".join([PROGRAM, "-t", "1"] + USER)
THEIRS = " ".join(["memcached", "-t", "1"] + USER) if shutil.which("memcached") else SERVER
QUICK = ["--rounds", "2", "--requests", "2000", "--connections", "3", "--keys", "300"]
LONG = ["--rounds", "1000", "--seconds", "0.1", "--warmup", "0", "--connections", "3",
        "--keys", "300"]


def servers(*commands):
    """The end of a command line."""
    return [word for command in commands for word in ("--", command)]


def compare(*words):
    """Exit code, standard output, standard error."""
    done = subprocess.run([BENCH, "compare", *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def children(pid):
    """The processes that pid has started, oldest first."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as line:
                    words = line.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[1]) == pid and words[0] != "Z":
                found.append((int(words[19]), int(name)))
    return [child for _, child in sorted(found)]


def alive(pid):
    """True while the process runs."""
    try:
        with open("/proc/%d/stat" % pid) as line:
            return line.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Running:
    """A comparison under way in text form, its first round behind it."""

    def __init__(self, *words):
        self.proc = subprocess.Popen([BENCH, "compare", *words], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.head = b""
        try:
            for line in self.proc.stdout:
                self.head += line
                if line.startswith(b"round 1:"):
                    break
            self.servers = children(self.proc.pid)
        except BaseException:
            self.proc.kill()
            self.proc.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.communicate()


def text():
    """Every server has a column, and every pair of them a ratio."""
    code, out, err = compare(*QUICK, *servers(SERVER, SERVER, THEIRS))
    tap.is_((code, err), (0, ""), "three servers")
    tap.ok(out.startswith("A: %s\nB: %s\nC: %s\n" % (SERVER, SERVER, THEIRS)), "who is who", out)
    tap.is_(out.count("\nround "), 2, "each round is shown")
    tap.ok(re.search(r"^ +A +B +C +A/B +A/C$", out, re.M), "columns", out)
    tap.ok(re.search(r"^ +B/C$", out, re.M), "columns of the second table", out)
    spread = r"[\d.]+ \([\d.]+\.\.[\d.]+\)"
    for figure in ("operations/s", "server CPU us/operation", "p50 us", "p99 us", "p99.9 us",
                   "hits %", "resident bytes/item", "resident MiB", "cores of the load"):
        for columns in (5, 1):
            tap.ok(re.search("^%s +%s$" % (re.escape(figure), " +".join([spread] * columns)), out,
                             re.M), figure, out)


def check_server(server):
    """A server's figures in JSON."""
    for name, figure in server.items():
        if name == "name":
            continue
        rounds = figure["rounds"]
        tap.ok(len(rounds) == 2 and figure["min"] == min(rounds) and
               figure["max"] == max(rounds) and
               abs(figure["median"] - statistics.median(rounds)) <= 1e-4 * figure["median"],
               "%s: spread of %s" % (server["name"], name), figure)
    tap.ok(server["operations_per_second"]["min"] > 100, "it worked", server)
    tap.between(server["server_cpu_usec"]["min"], 0.05, 5000, "CPU of an operation")
    tap.ok(0 < server["p50_usec"]["min"] <= server["p99_usec"]["max"] <=
           server["p999_usec"]["max"] < 1e7, "percentiles are in order", server)
    tap.is_(server["hits_percent"]["min"], 100, "all keys are there")
    tap.ok(server["resident_bytes_per_item"]["min"] > 100, "an item is more than its value", server)


def json_form():
    """One document: the loads, the servers' figures, the ratios that follow from them."""
    code, out, err = compare(*QUICK, "--output", "json", "--load", 'a "quoted\\" name',
                             "--load", "b", "--gets", "50", "--value-size", "10-90",
                             *servers(SERVER, SERVER, THEIRS))
    tap.is_(code, 0, "two loads on three servers")
    tap.is_(err.count("\nround "), 4, "progress is on stderr")
    found = json.loads(out)
    tap.is_([s["command"] for s in found["servers"]], [SERVER, SERVER, THEIRS], "commands")
    tap.is_([load["name"] for load in found["loads"]], ['a "quoted\\" name', "b"], "names")
    tap.ok(found["loads"][1]["options"].endswith("--gets 50 --value-size 10-90"), "options", found)
    for load in found["loads"]:
        tap.is_([s["name"] for s in load["servers"]], ["A", "B", "C"], "servers of a load")
        pairs = [("A", "B"), ("A", "C"), ("B", "C")]
        tap.is_([(r["of"], r["by"]) for r in load["ratios"]], pairs, "ratios")
        for server in load["servers"]:
            check_server(server)
        rates = [s["operations_per_second"]["rounds"] for s in load["servers"]]
        for pair, (first, second) in enumerate(((0, 1), (0, 2), (1, 2))):
            ratios = [one / other for one, other in zip(rates[first], rates[second])]
            got = load["ratios"][pair]["operations_per_second"]
            tap.ok(abs(got["min"] - min(ratios)) < 1e-3 * got["min"] and
                   abs(got["max"] - max(ratios)) < 1e-3 * got["max"],
                   "a ratio is of the same round", (got, ratios))


def tables():
    """CSV has every round, Markdown a row for every server."""
    code, out, _ = compare(*QUICK, "--output=csv", "--load", 'x,"y"', *servers(SERVER, THEIRS))
    rows = list(csv.DictReader(io.StringIO(out)))
    tap.is_((code, [(r["load"], r["server"], r["round"]) for r in rows]),
            (0, [('x,"y"', server, n) for n in "12" for server in "AB"]), "csv")
    tap.ok(all(float(r["operations_per_second"]) > 100 for r in rows), "csv: figures", out)
    code, out, _ = compare(*QUICK, "--output=markdown", "--load", "x", *servers(SERVER, THEIRS))
    rows = out.splitlines()
    tap.is_((code, [row.split(" | ")[:2] for row in rows[2:]]),
            (0, [["| x", "A"], ["| x", "B"]]), "markdown")
    tap.is_({row.count("|") for row in rows}, {14}, "markdown: columns")


ORDERED = '''
import socket, sys
name, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
listener = socket.create_server(("127.0.0.1", port))
while True:
    sock, _ = listener.accept()
    first = sock.recv(4096)
    if first.startswith(b"get "):
        with open(path, "a") as out:
            out.write(name)
    while first:
        sock.sendall(b"END\\r\\n")
        first = sock.recv(4096)
'''


def rotation():
    """Who is first changes from round to round."""
    with tempfile.TemporaryDirectory() as folder:
        script, path = os.path.join(folder, "ordered.py"), os.path.join(folder, "order")
        with open(script, "w") as out:
            out.write(ORDERED)
        code, out, err = compare(
            "--rounds", "4", "--requests", "5", "--connections", "1", "--gets", "100",
            "--no-prefill", *servers(*("%s %s %s {port} %s" % (sys.executable, script, name, path)
                                       for name in "ABC")))
        with open(path) as lines:
            tap.is_((code, lines.read()), (0, "ABC" "BCA" "CAB" "ABC"), "the order of four rounds")
    tap.ok("hits %" in out and re.search(r"^resident bytes/item +- +- +- +- +-$", out, re.M),
           "what a server does not say is unknown", (out, err))


def places():
    """A server listens where it is told, by {port} too."""
    code, out, err = compare(*QUICK, *servers(
        "env WHERE={port} %s -l 127.0.0.1 -p {port}" % SERVER, SERVER))
    tap.ok(code == 0 and "env WHERE={port}" in out, "{port}", (code, out, err))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "conf")
        code, out, err = compare(*QUICK, *servers(
            SERVER, "sh -c 'echo {port} >%s; exec %s -l 127.0.0.1 -p $(cat %s)'" % (
                path, SERVER, path)))
        tap.ok(code == 0 and re.search(r"^server CPU us/operation +\d.* +\d.* +\d", out, re.M),
               "a server that reads its port from a file", (code, out, err))


def cores_of(pid):
    """What the kernel lets a process run on."""
    with open("/proc/%d/status" % pid) as lines:
        return re.search(r"Cpus_allowed_list:\s+(\S+)", lines.read())[1]


def pinned():
    """Servers and load have no core in common, and the first lines say which they have."""
    mine = cores_of(os.getpid())
    with Running(*LONG, *servers(SERVER, THEIRS)) as run:
        got = [cores_of(pid) for pid in (run.proc.pid, *run.servers)]
        tap.is_(len(run.servers), 2, "two servers run")
        if len(os.sched_getaffinity(0)) > 1:
            tap.ok(got[0] != got[1] and got[1] == got[2], "cores of load and servers", got)
            tap.ok(b": servers on %s, the load on %s\n" % (got[1].encode(), got[0].encode())
                   in run.head, "it says so", run.head)
        else:
            tap.skip("cores of load and servers", "there is one core")
    with Running(*LONG, "--no-pin", *servers(SERVER, THEIRS)) as run:
        got = [cores_of(pid) for pid in (run.proc.pid, *run.servers)]
        tap.is_(got, [mine] * 3, "--no-pin")
        tap.ok(b"which servers and load share\n" in run.head, "--no-pin: it says so", run.head)


def interrupted():
    """However it ends, no server is left; asked to, it ends as the signal says."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        with Running(*LONG, *servers(SERVER, SERVER, THEIRS)) as run:
            run.proc.send_signal(sig)
            code = run.proc.wait(DEADLINE)
            tap.is_((code, len(run.servers)), (-sig, 3), "%s ends it" % sig.name)
            left = run.servers
            if sig == signal.SIGKILL:  # the kernel ends them, a moment later
                wait_until(lambda: not any(alive(pid) for pid in left))
            tap.is_([pid for pid in left if alive(pid)], [], "%s leaves nothing" % sig.name)


def dying():
    """A server that ends during a round is named, with how it ended and its last words."""
    talks = "sh -c 'echo one word; echo last words >&2; exec %s \"$@\"' sh" % SERVER
    with Running(*LONG, *servers(SERVER, talks)) as run:
        os.kill(run.servers[1], signal.SIGKILL)
        _, err = run.proc.communicate(timeout=DEADLINE)
        tap.is_(run.proc.returncode, 1, "a server dies")
        tap.ok(b"magpie-bench: B: " in err and b"was ended by signal 9 (Killed)" in err,
               "which, and how", err)
        tap.ok(b"\nB says: one word\nB says: last words\n" in err, "its words", err)
        tap.is_([pid for pid in run.servers if alive(pid)], [], "the other is stopped")


def not_starting():
    """A server that does not start is named before anything is measured."""
    for name, command, words in (
            ("a command that is missing", "/nonexistent/server",
             ("B: ended before it accepted connections", "ended with status 127", "B says: ")),
            ("a command that fails", "false", ("B: ended before", "false: ended with status 1")),
            ("a wrong option", SERVER + " --nonsense", ("B: ended before", "nonsense"))):
        code, out, err = compare(*QUICK, *servers(SERVER, command))
        tap.ok(code == 1 and all(word in err for word in words) and "operations" not in out,
               name, (code, out, err))
    code, _, err = compare(*QUICK, "--value-size", "2000000", *servers(SERVER, SERVER))
    tap.ok(code == 1 and "A: " in err and "too large" in err, "a server that refuses", (code, err))


def unwritten():
    """What cannot be written is an error, even if the last write of all has nothing to do."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([BENCH, "compare", *QUICK, *servers(SERVER, SERVER)],
                              stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
                              timeout=120, check=False)
    tap.ok(done.returncode == 1 and b"could not be written" in done.stderr, "a full disk", done)


def stored_in_all(*words):
    """How many sets the first server has seen at the end of a comparison of gets."""
    most = 0
    proc = subprocess.Popen([BENCH, "compare", *QUICK, *words,
                             *servers(SERVER, SERVER)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while proc.poll() is None:
            for pid in children(proc.pid)[:1]:
                most = max(most, sets_seen(pid))
            time.sleep(0.03)  # a server that is asked all the time does not become idle
    finally:
        proc.kill()
        proc.wait()
    return most


def sets_seen(pid):
    """cmd_set of a server, 0 if it does not answer."""
    try:
        with open("/proc/%d/cmdline" % pid) as line:
            port = re.search("\0-p\0(\\d+)", line.read())
        with Conn(socket.create_connection(("127.0.0.1", int(port[1])), 1)) as c:
            return int(c.stats()["cmd_set"])
    except (OSError, TypeError, KeyError, ValueError):
        return 0


def fills():
    """Loads on the same keys store them once; others bring their own."""
    tap.is_(stored_in_all("--gets", "100", "--load", "a", "--load", "b", "--multi", "3", "--zipf",
                          "1"), 300,
            "the same keys are stored once")
    tap.is_(stored_in_all("--gets", "100", "--load", "a", "--load", "b", "--value-size", "7"), 600,
            "other values are stored")
    tap.is_(stored_in_all("--gets", "100", "--load", "a", "--load", "b", "--no-prefill"), 300,
            "--no-prefill of one load")
    tap.is_(stored_in_all("--counters", "5", "--load", "a", "--mix", "incr=1", "--load", "b",
                          "--gets", "100"), 305, "counters alone are not all keys")
    tap.is_(stored_in_all("--counters", "5", "--load", "a", "--mix", "incr=1,get=1", "--load", "b",
                          "--mix", "incr=1"), 305, "they are among all")


if __name__ == "__main__":
    program_exists()
    tap.run((text, json_form, tables, rotation, places, pinned, interrupted, dying, not_starting, unwritten, fills))
