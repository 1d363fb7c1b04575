#!/usr/bin/env python3
"""The guard on costs can fail: it is fed doctored baselines.

What it compares is tried here; the counting itself where `make cost` has built its driver.
"""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "..", "lib"))

import baseline
import tap

MAIN = os.path.join(HERE, "main.py")
TABLE = """# a comment
# made with: this
instructions\tget\t1000.0\t3
instructions\tset\t2000.0\t3
calls\tget\t3.0000\t5
"""


def verdicts(counts, kind="instructions", made_with="this"):
    """(names that failed, whether all is well) of counts beside TABLE."""
    lines, well = baseline.Baseline(TABLE).compare(kind, counts, made_with)
    return [line.split()[1] for line in lines if "FAILED" in line], well


def margins():
    """Off by more than the margin fails, in both directions."""
    for name, counts, failed in (
            ("the same", {"get": 1000, "set": 2000}, []),
            ("within the margin", {"get": 1029, "set": 1941}, []),
            ("more", {"get": 1031, "set": 2000}, ["get"]),
            ("less", {"get": 1000, "set": 1939}, ["set"]),
            ("one more", {"get": 1000, "set": 2000, "new": 1}, ["new"]),
            ("one missing", {"set": 2000}, ["get"])):
        tap.is_(verdicts(counts), (failed, not failed), name)
    tap.is_(verdicts({"get": 3.1}, "calls"), ([], True), "calls within their own margin")
    tap.is_(verdicts({"get": 3.2}, "calls"), (["get"], False), "more calls")


def other_compiler():
    """Instructions of another compiler only fail far above; calls are the same everywhere."""
    for name, counts, failed in (
            ("a quarter more", {"get": 1249, "set": 2000}, []),
            ("more than that", {"get": 1251, "set": 2000}, ["get"]),
            ("half", {"get": 500, "set": 2000}, []),
            ("nothing", {"get": 0, "set": 2000}, ["get"])):
        tap.is_(verdicts(counts, made_with="that"), (failed, not failed), "elsewhere: " + name)
    tap.is_(verdicts({"get": 3.2}, "calls", "that"), (["get"], False), "elsewhere: calls")


def table():
    """The table is read and written; a broken one is refused."""
    own = open(os.path.join(HERE, "baseline.tsv")).read()
    tap.is_(baseline.Baseline(own).text(), own, "baseline.tsv is as `make cost-update` writes it")
    made = baseline.Baseline(TABLE)
    made.update("instructions", {"set": 5, "new": 150}, "that", 4)
    tap.is_(made.text(), "# a comment\n# made with: that\ncalls\tget\t3.0000\t5\n"
            "instructions\tset\t5.0000\t3\ninstructions\tnew\t150.0\t4\n",
            "an update keeps margins, and drops what is not counted")
    for name, text in (("no origin", "calls\tget\t3\t5\n"),
                       ("a short line", TABLE + "calls\tget\n"),
                       ("no number", TABLE + "calls\tset\tthree\t5\n"),
                       ("no cost", TABLE + "calls\tset\t0\t5\n")):
        try:
            baseline.Baseline(text)
            tap.ok(False, "refused: " + name)
        except baseline.Bad as bad:
            tap.ok(True, "refused: %s: %s" % (name, bad))


def run(**env):
    """(exit code, what it says) of main.py check."""
    done = subprocess.run([sys.executable, MAIN, "check"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=dict(os.environ, **env),
                          check=False)
    return done.returncode, done.stdout


def whole():
    """The program itself, with a real driver: a halved baseline fails it on every row."""
    if not os.path.exists("t/cost/driver"):
        tap.skip("a doctored baseline fails the check", "there is no t/cost/driver")
        return
    made = baseline.Baseline(open(os.path.join(HERE, "baseline.tsv")).read())
    for row in made.rows.values():
        row.count /= 2
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as doctored:
        doctored.write(made.text())
        doctored.flush()
        code, said = run(COST_BASELINE=doctored.name)
    tap.is_(code, 1, "a doctored baseline fails the check")
    rows = [line for line in said.splitlines() if line.startswith(("instructions ", "calls "))]
    tap.is_([row for row in rows if "FAILED" not in row], [], "on every row")
    tap.is_(len(rows), len(made.rows), "of which there are as many as in the baseline")
    tap.ok("make cost-update" in said, "it says what to do", said)
    code, said = run(COST_PROFILE="get-miss")
    tap.ok(code == 0 and "store_get" in said, "a profile names functions", said)
    code, said = run(COST_PROFILE="nothing")
    tap.ok(code == 1 and "get-d32" in said, "an unknown workload is told the others", said)


tap.run([margins, other_compiler, table, whole])
