"""Counts the system calls of a real server, by `valgrind --trace-syscalls`.

That needs no right to trace other processes, and sees what a library that counts in their place
would miss.  Only the thread that serves is counted: the others wake up by the clock.
"""

import collections
import os
import re
import tempfile

import server
import tool
import wire

WARM = 5  # turns that are not counted
# Without valgrind, which has no vDSO, these are no system calls.
OF_VDSO = {"clock_gettime", "gettimeofday", "time", "getcpu"}


class Trace:
    """The file that valgrind writes, read as it grows."""

    def __init__(self, path):
        self.path = path
        self.read = 0

    def names(self):
        """Counters of the names that are new since the last time, by thread."""
        threads = collections.defaultdict(collections.Counter)
        with open(self.path) as lines:
            lines.seek(self.read)
            for line in lines:
                call = re.match(r"SYSCALL\[\d+,\s*(\d+)\]\(\s*\d+\) (?:sys_)?(\w+)", line)
                if call and call[2] not in OF_VDSO:
                    threads[call[1]][call[2]] += 1
            self.read = lines.tell()
        return threads


def _count(trace, target, workload):
    with wire.Client(target, workload) as client:
        client.play(WARM)
        trace.names()
        client.play(workload.turns)
        threads = trace.names()
    serving = max(threads.values(), key=lambda calls: sum(calls.values()))
    return {name: calls / workload.ops / workload.turns for name, calls in serving.items()}


def measure(program=server.PROGRAM):
    """System calls an operation, by workload and name."""
    with tempfile.TemporaryDirectory(prefix="magpie-cost-") as folder:
        path = os.path.join(folder, "calls")
        under = wire.valgrind("none", "-q", "--trace-syscalls=yes", "--log-file=" + path)
        try:
            with server.Server(*wire.OPTIONS, program=program, under=under) as target:
                trace = Trace(path)
                return {workload.name: _count(trace, target, workload)
                        for workload in wire.WORKLOADS}
        except (FileNotFoundError, server.NotStarted, wire.Wrong, OSError) as error:
            raise tool.Failed(str(error)) from error
