"""Counts the instructions of t/cost/driver with callgrind, and shows where they are.

The counts repeat to the instruction: the driver has no clock, no thread and no socket,
valgrind puts everything at the same addresses and shows every program the same processor.
"""

import os
import platform

import callgrind
import tool

DRIVER = os.path.abspath("t/cost/driver")  # of the build folder
OUT = os.path.abspath("t/cost/out")  # callgrind's files, to be looked at


def workloads():
    """Operations counted, by the name of the workload, in the driver's order."""
    rows = (line.split() for line in tool.output([DRIVER, "--list"]).splitlines())
    return {name: int(ops) for name, ops in rows}


def _machine():
    """The processor, as far as the C library has other code for it."""
    with open("/proc/cpuinfo") as lines:
        has_avx2 = " avx2 " in lines.read()
    return platform.machine() + (" with avx2" if has_avx2 else "")


def made_with():
    """What counts depend on beside our source."""
    return "%s, %s, %s" % (tool.output([DRIVER, "--made"]).strip(),
                           os.environ.get("COST_CFLAGS", "unknown flags"), _machine())


def path_of(name):
    """Where callgrind's file of a workload is."""
    return os.path.join(OUT, name + ".callgrind")


def profiles(names):
    """Runs these workloads; what callgrind saw, by name, without the driver itself."""
    known = workloads()
    for name in names:
        if name not in known:
            raise tool.Failed("no workload is called '%s'; there are %s" % (
                name, ", ".join(known)))
    os.makedirs(OUT, exist_ok=True)
    for old in os.listdir(OUT):
        os.unlink(os.path.join(OUT, old))
    tool.output(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
                 "--callgrind-out-file=" + os.path.join(OUT, "part"), DRIVER] + names,
                env={"PATH": os.environ["PATH"]})
    found = {}
    for part in os.listdir(OUT):
        profile = callgrind.Profile(os.path.join(OUT, part))
        if profile.trigger is None:
            os.unlink(os.path.join(OUT, part))  # what is left at the end: nothing
            continue
        os.rename(os.path.join(OUT, part), path_of(profile.trigger))
        profile.forget("driver.c")
        found[profile.trigger] = profile
    return {name: found[name] for name in known if name in found}


def measure():
    """Instructions an operation, by workload."""
    ops = workloads()
    counts = {name: profile.total() / ops[name] for name, profile in profiles([]).items()}
    if len(counts) != len(ops):
        raise tool.Failed("callgrind counted nothing for %s" % (
            ", ".join(name for name in ops if name not in counts)))
    return counts


def show(name, top=15):
    """The text of two tables: functions by their own instructions, and by all they call."""
    profile = profiles([name])[name]
    ops = workloads()[name]
    total = profile.total()
    text = ["%s: %.1f instructions an operation" % (name, total / ops)]
    for title, rows in (("own", profile.by_own()), ("with callees", profile.by_inclusive())):
        text.append("\n%12s %6s  %s" % (title, "share", "function"))
        for instructions, function, where in rows[:top]:
            text.append("%12.1f %5.1f%%  %-28s %s" % (
                instructions / ops, 100 * instructions / total, function, where))
    text.append("\nby line: callgrind_annotate --auto=yes %s" % path_of(name))
    return "\n".join(text)
