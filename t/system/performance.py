#!/usr/bin/python3
"""The scripts of make bench: what they choose, judge and write.  The figures are compare.py's."""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "bench")]

import loads  # noqa: E402
import page  # noqa: E402
import speed  # noqa: E402
import tap  # noqa: E402
from server import PROGRAM, program_exists  # noqa: E402

BENCH = os.path.abspath(os.environ.get("MAGPIEBENCH", "./magpie-bench"))
GROUPS = loads.GROUPS + [loads.NULLS]


def bad(text, name):
    """What page.replaced() complains of."""
    try:
        page.replaced(text, name, ["x"])
    except page.Bad as error:
        return str(error)
    return None


def markers():
    """A table goes between its markers and nowhere else, and a page without them is not touched."""
    begin, end = page.marks("a")
    text = "head\n%s\nold\nolder\n%s\ntail\n" % (begin, end)
    tap.is_(page.replaced(text, "a", ["1", "2"]), "head\n%s\n1\n2\n%s\ntail\n" % (begin, end),
            "what stood there is replaced")
    tap.is_(page.replaced(page.replaced(text, "a", ["1"]), "a", ["old", "older"]), text,
            "there and back")
    tap.is_(page.replaced("%s\n%s" % (begin, end), "a", []), "%s\n%s" % (begin, end), "nothing")
    for name, wrong in (("no markers", "text"), ("no end", begin), ("no begin", end),
                        ("twice", text + text), ("end first", "%s\n%s" % (end, begin)),
                        ("markers in a line", "x %s\ny %s" % (begin, end))):
        tap.ok(bad(wrong, "a"), name)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.md")
        with open(path, "w") as out:
            out.write(text)
        try:
            page.write(path, {"a": ["new"], "b": ["new"]})
            tap.ok(False, "a page without a table is refused")
        except page.Bad as error:
            tap.ok("bench: b " in str(error), "a page without a table is refused", error)
        with open(path) as lines:
            tap.is_(lines.read(), text, "and keeps the others as they were")
        page.write(path, {"a": ["new"]})
        with open(path) as lines:
            tap.is_(lines.read().split("\n")[1:4], [begin, "new", end], "else it is written")


def the_page():
    """doc/performance.md has a place for every table."""
    with open(os.path.join(TOP, "doc", "performance.md")) as lines:
        text = lines.read()
    for name in ("circumstances", "speed", "null", "cluster", "cluster circumstances"):
        tap.is_(bad(text, name), None, "a place for %s" % name)


def found(cost, rate=2., p99=1.):
    """What compare would say of a load."""
    def ratio(value):
        return {"median": value, "min": value, "max": value}
    figures = ("server_cpu_usec", "operations_per_second", "p50_usec", "p99_usec", "p999_usec",
               "client_cores")
    return {"ratios": [{loads.CPU: ratio(cost), "operations_per_second": ratio(rate),
                        loads.P99: ratio(p99)}],
            "servers": [{name: ratio(value) for name in figures} for value in (cost, 1.)]}


def goals():
    """A goal is met at its limit and not above it; what is unknown meets none."""
    for limit, cost, want in ((0.3, 0.3, True), (0.3, 0.301, False), (0.3, 0.01, True),
                              (0.3, None, False)):
        row = speed.speed_row(loads.load("x", "", limit), found(cost))
        tap.is_(row.split(" | ")[3], "met" if want else "**not met**", "%s of %s" % (cost, limit))
    row = speed.speed_row(loads.load("x", "", 1.05, loads.P99), found(2., p99=1.04))
    tap.is_(row.split(" | ")[2:4], ["p99 1.05", "met"], "a goal for p99")
    tap.is_(row.count("|"), speed.SPEED_HEAD[1].count("|"), "a row has all columns")
    tap.is_([speed.number(n) for n in (None, 0.0456, 1.234, 45.67, 1234.5)],
            ["-", "0.046", "1.23", "45.7", "1234"], "numbers")
    line = speed.idle_line({loads.LONE.name: found(1.0), loads.IDLE.name: found(1.04)})[1]
    tap.ok("magpied 1.04" in line and "not met" in line and "memcached 1.00" in line, "idle", line)
    tap.is_(speed.idle_line({loads.LONE.name: found(1.0)}), [], "only with both loads")


def options():
    """magpie-bench takes every load's options: that it stops at the servers says so."""
    names = [row.name for group in GROUPS for row in group.loads]
    tap.is_(len(names), len(set(names)), "no name twice")
    for group in GROUPS:
        command = [BENCH, "compare"] + group.options.split()
        for row in group.loads:
            command += ["--load", row.name] + row.options
        done = subprocess.run(command + ["--", "false", "--", "false"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        tap.ok(done.returncode == 1 and b"A: ended before" in done.stderr,
               "options of '%s'" % group.options, done.stderr)


def whole():
    """A word chooses rows, which are printed; no word that fits is an error."""
    def bench(word):
        with tempfile.TemporaryDirectory() as folder:
            where = os.path.join(folder, "page.md")
            done = subprocess.run(
                [sys.executable, os.path.join(TOP, "t", "bench", "main.py")],
                env=dict(os.environ, BENCH_ONLY=word, BENCH_ROUNDS="1", BENCH_SECONDS="0.1",
                         BENCH_PAGE=where, MAGPIED=PROGRAM, MAGPIEBENCH=BENCH),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                check=False)
            return done.returncode, done.stdout.decode(), done.stderr.decode()
    if not shutil.which("memcached"):
        tap.skip("rows that are chosen", "there is no memcached")
        return
    code, out, err = bench("get, depth 32")
    rows = [line.split(" | ")[0] for line in out.splitlines() if line.startswith("| ")]
    tap.is_((code, rows), (0, ["| load", "| get, depth 32", "| load", "| get, depth 32"]),
            "rows that are chosen")
    tap.ok("1 rounds of 0.1 s" in out and "written" not in out, "a part is not written", out)
    tap.is_(bench("nonsense")[0], 2, "no such row")


if __name__ == "__main__":
    program_exists()
    tap.run((markers, the_page, goals, options, whole))
