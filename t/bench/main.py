"""Measures magpied beside memcached, prints the tables and writes them into doc/performance.md.

usage: main.py, with these variables:
    BENCH_ONLY     only rows whose name contains it; the page is then left alone
    BENCH_ROUNDS   on each server (11)     BENCH_SECONDS  of each round (0.5)
    BENCH_PAGE     the page; empty: none
    MAGPIED MAGPIEBENCH MEMCACHED          the programs
"""

import collections
import os
import platform
import re
import shutil
import subprocess
import sys
import time

import hits
import memory
import page
import reads
import speed

Settings = collections.namedtuple("Settings", "bench ours theirs user only rounds seconds page")

# Each gives tables by name, for the rows that settings choose.
PARTS = [speed.tables, reads.tables, memory.tables, hits.tables]


def settings_read(env):
    """Settings, or what is missing as text."""
    ours = os.path.abspath(env.get("MAGPIED", "./magpied"))
    bench = os.path.abspath(env.get("MAGPIEBENCH", "./magpie-bench"))
    theirs = shutil.which(env.get("MEMCACHED", "memcached"))
    for program, name in ((ours, ours), (bench, bench), (theirs, "memcached")):
        if not program or not os.access(program, os.X_OK):
            raise SystemExit("bench: %s is missing" % name)
    return Settings(bench=bench, ours=ours, theirs=theirs, only=env.get("BENCH_ONLY", ""),
                    user="-u root" if os.geteuid() == 0 else "",
                    rounds=int(env.get("BENCH_ROUNDS") or 11),
                    seconds=float(env.get("BENCH_SECONDS") or 0.5),
                    page=env.get("BENCH_PAGE", ""))


def version(program):
    """What a server calls itself."""
    said = subprocess.run([program, "-V"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return said.strip().splitlines()[0]


def busy_seconds():
    """CPU time of all cores since the machine started: of processes, and taken by its host."""
    with open("/proc/stat") as lines:
        user, nice, system, _, _, irq, soft, steal = map(int, next(lines).split()[1:9])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + soft) / ticks, steal / ticks


class Quiet:
    """How much of the cores others used while we measured: figures of a busy machine are noise."""

    def __init__(self):
        self.began, self.busy = time.monotonic(), busy_seconds()
        self.own = sum(os.times()[:4])

    def shares(self):
        """Of other processes and of the host, in per cent of all cores."""
        cores = (time.monotonic() - self.began) * os.cpu_count() / 100
        busy, stolen = (now - then for now, then in zip(busy_seconds(), self.busy))
        return max(0, busy - (sum(os.times()[:4]) - self.own)) / cores, stolen / cores


def circumstances(settings, quiet):
    """A sentence on what was measured, and where."""
    with open("/proc/cpuinfo") as lines:
        model = re.search(r"^model name\s*: (.*)$", lines.read(), re.M)
    return "%s beside %s; %d cores%s, Linux %s; %d rounds of %g s each, %s. Other processes used " \
        "%.1f %% of the cores meanwhile, the machine's host %.1f %%." % (
        version(settings.ours), version(settings.theirs), len(os.sched_getaffinity(0)),
        " (%s)" % model[1].strip() if model else "", platform.release(), settings.rounds,
        settings.seconds, time.strftime("%Y-%m-%d"), *quiet.shares())


def main():
    settings = settings_read(os.environ)
    tables, quiet = {}, Quiet()
    try:
        for part in PARTS:
            tables.update(part(settings))
    except speed.Failed as failed:
        print("bench: %s" % failed, file=sys.stderr)
        return 1
    if not tables:
        print("bench: no row's name contains '%s'" % settings.only, file=sys.stderr)
        return 2
    tables["circumstances"] = [circumstances(settings, quiet)]
    for name, lines in tables.items():
        print("\n%s:\n\n%s" % (name, "\n".join(lines)))
    if settings.page and not settings.only:
        try:
            page.write(settings.page, tables)
        except (OSError, page.Bad) as error:
            print("bench: %s: %s" % (settings.page, error), file=sys.stderr)
            return 1
        print("\nwritten to %s" % settings.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
