"""Counts the instructions of t/cost/driver with callgrind, and shows where they are.

The counts repeat to the instruction: the driver has no clock, no thread and no socket,
valgrind puts everything at the same addresses and shows every program the same processor.
"""

import os
import re
import subprocess

DRIVER = os.path.abspath(os.environ.get("COST_DRIVER", "t/cost/driver"))
OUT = os.path.abspath("t/cost/out")  # callgrind's files, to be looked at


class Failed(Exception):
    """The text says what is missing or went wrong."""


def _output(command, env=None):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              text=True, check=False)
    except FileNotFoundError as missing:
        raise Failed("%s is missing (Debian: apt-get install valgrind)" % command[0]) from missing
    if done.returncode != 0:
        raise Failed("%s ended with %d:\n%s" % (
            " ".join(command), done.returncode, done.stderr[-2000:]))
    return done.stdout


def workloads():
    """Operations counted, by the name of the workload, in the driver's order."""
    rows = (line.split() for line in _output([DRIVER, "--list"]).splitlines())
    return {name: int(ops) for name, ops in rows}


def made_with():
    """What counts depend on beside our source: compiler, library, flags."""
    return "%s, %s" % (_output([DRIVER, "--made"]).strip(), os.environ.get("COST_CFLAGS", "?"))


def _path(name):
    return os.path.join(OUT, name + ".callgrind")


def measure(names):
    """Instructions an operation, by name.  Leaves NAME.callgrind in OUT for each."""
    os.makedirs(OUT, exist_ok=True)
    for old in os.listdir(OUT):
        os.unlink(os.path.join(OUT, old))
    _output(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
             "--callgrind-out-file=" + os.path.join(OUT, "part"), DRIVER] + names,
            env={"PATH": os.environ["PATH"]})
    ops = workloads()
    counts = {}
    for part in sorted(os.listdir(OUT)):
        path = os.path.join(OUT, part)
        with open(path) as lines:
            text = lines.read()
        name = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.M)
        total = re.search(r"^totals: (\d+)", text, re.M)
        if not name:
            os.unlink(path)  # what is left at the end: nothing
            continue
        os.rename(path, _path(name[1]))
        counts[name[1]] = int(total[1]) / ops[name[1]]
    missing = [name for name in names or ops if name not in counts]
    if missing:
        raise Failed("callgrind counted nothing for %s" % ", ".join(missing))
    return counts


def _rows(path, inclusive):
    """(instructions, function, source file) from callgrind_annotate."""
    text = _output(["callgrind_annotate", "--threshold=100",
                    "--inclusive=" + ("yes" if inclusive else "no"), path])
    for line in text.splitlines():
        row = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(\S+):([^: ]+)(?: \[.*\])?$", line)
        if row:
            yield int(row[1].replace(",", "")), row[3], os.path.basename(row[2])


def _own(path):
    """(instructions, function, where): sums over the files that were inlined into a function."""
    parts = {}
    for instructions, function, source in _rows(path, False):
        files = parts.setdefault(function, {})
        files[source] = files.get(source, 0) + instructions
    for function, files in parts.items():
        total = sum(files.values())
        yield total, function, ", ".join(
            "%s %.0f%%" % (source, 100 * n / total) if len(files) > 1 else source
            for source, n in sorted(files.items(), key=lambda row: -row[1]))


def _inclusive(path):
    """The same with callees: callgrind_annotate has a row for each file, the largest is whole."""
    parts = {}
    for instructions, function, source in _rows(path, True):
        if source != "driver.c" and instructions > parts.get(function, (0,))[0]:
            parts[function] = instructions, function, source
    return parts.values()


def profile(name, top=15):
    """The text of two tables: functions by their own instructions, and by all they call."""
    count = measure([name])[name]
    ops = workloads()[name]
    text = ["%s: %.1f instructions an operation" % (name, count)]
    for title, rows in (("own", _own(_path(name))), ("with callees", _inclusive(_path(name)))):
        text.append("\n%12s %6s  %s" % (title, "share", "function"))
        for instructions, function, where in sorted(rows, reverse=True)[:top]:
            text.append("%12.1f %5.1f%%  %-28s %s" % (
                instructions / ops, 100 * instructions / ops / count, function, where))
    text.append("\nby line: callgrind_annotate --auto=yes %s" % _path(name))
    return "\n".join(text)
