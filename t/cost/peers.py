"""The same counts for whole processes, ours and memcached's, as a Markdown table.

Instructions are those of the thread that serves, in user land, from its epoll_wait to the next:
the difference of two runs, of which one asks more.  What other threads do for it meanwhile, and
the kernel, is not in them.
"""

import os
import tempfile

import callgrind
import calls
import server
import tool
import wire

MEMCACHED = os.environ.get("MEMCACHED", "memcached")
OPS = 2000  # counted


def _spent(program, workload, turns):
    """Instructions of the busiest thread of a server that is asked so many turns."""
    with tempfile.TemporaryDirectory(prefix="magpie-cost-") as folder:
        under = wire.valgrind("callgrind", "-q", "--separate-threads=yes",
                              "--callgrind-out-file=" + os.path.join(folder, "out"))
        with server.Server(*wire.OPTIONS, program=program, under=under) as target:
            with wire.Client(target, workload) as client:
                client.play(turns)
        return max(callgrind.Profile(os.path.join(folder, name)).total()
                   for name in os.listdir(folder))


def instructions(program, workload):
    """Instructions an operation."""
    warm = max(2, OPS // workload.ops)
    turns = max(20, OPS // workload.ops)
    return (_spent(program, workload, warm + turns) - _spent(program, workload, warm)) / (
        turns * workload.ops)


def table():
    """The table, line by line as it is measured."""
    programs = (server.PROGRAM, MEMCACHED)
    try:
        yield "Beside %s." % tool.output([MEMCACHED, "-V"]).strip()
        yield ""
        yield ("| workload | magpied instructions | memcached | ratio "
               "| magpied system calls | memcached | ratio |")
        yield "|---|---|---|---|---|---|---|"
        counted = [calls.measure(program) for program in programs]
        for workload in wire.WORKLOADS:
            ours, theirs = (instructions(program, workload) for program in programs)
            our_calls, their_calls = (sum(count[workload.name].values()) for count in counted)
            yield "| %s | %.0f | %.0f | %.2f | %.2f | %.2f | %.2f |" % (
                workload.name, ours, theirs, ours / theirs, our_calls, their_calls,
                our_calls / their_calls)
    except (server.NotStarted, wire.Wrong, OSError) as error:
        raise tool.Failed(str(error)) from error
