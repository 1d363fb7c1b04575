"""Hit ratios of magpied and memcached, with as much memory, on the traces of traces.c.

Traces of twenty minutes are replayed in one: both servers live by a clock that runs twenty times
as fast (libfaketime), for times to live and for what they do once a second.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile

import speed

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import server  # noqa: E402

NAME = "hit ratio"
MIB = 64
SECONDS = 60
SPEED = 20
LATE = 1.05  # a server that is asked later has lost more by then

# What is asked for, and by how many points we must be above memcached at least.
TRACES = [
    ("zipf", "popularity that stays", -0.1),
    ("scans", "the same, and a quarter of the requests for keys that come once", 0.0),
    ("drift", "popularity that moves", -0.1),
    ("ttl", "times to live of 20 s to 20 min", -0.1),
    ("shift", "values of 50 to 200 bytes, then of 1 to 2 KB, then small again", 0.0),
]


def clock():
    """Environment of a server whose clock is fast."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise speed.Failed("libfaketime is missing (Debian: faketime)")
    return {"LD_PRELOAD": found[0], "FAKETIME": "+0 x%d" % SPEED, "FAKETIME_DONT_RESET": "1"}


def replay(settings, path, started):
    """A process of magpie-bench that replays the trace on this server."""
    return subprocess.Popen(
        [settings.bench, "-s", "127.0.0.1:%d" % started.port, "--trace", path, "--trace-speed", "1",
         "--connections", "8", "--output", "json"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def ratio(load, kind):
    """Hits in per cent, behind the first 30 % of the trace."""
    said = json.loads(load.communicate()[0])
    if load.returncode != 0:
        raise speed.Failed("magpie-bench ended with %d" % load.returncode)
    if kind == "ttl" and said["seconds"] > SECONDS * LATE:
        raise speed.Failed("the trace of times to live took %.0f s instead of %d, in which more of "
                           "them ended: try again when the machine is idle" % (
                               said["seconds"], SECONDS))
    return 100 * said["late_hits"] / said["late_gets"]


def measure(settings, kind, path):
    """Hits of both on one trace, in per cent."""
    program = os.path.abspath(os.environ.get("TRACES", "t/bench/traces"))
    with open(path, "w") as out:
        subprocess.run([program, kind, "--seconds", str(SECONDS)], stdout=out, check=True)
    args, env = ("-t", "1", "-m", str(MIB)), clock()
    with server.Server(*args, program=settings.ours, env=env) as ours, \
            server.Server(*args, program=settings.theirs, env=env) as theirs:
        loads = [replay(settings, path, each) for each in (ours, theirs)]
        return [ratio(load, kind) for load in loads]


def tables(settings):
    """The table of hit ratios, if it was chosen."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="magpie-bench-") as folder:
        for kind, what, least in TRACES:
            if settings.only not in "%s, %s" % (NAME, kind):
                continue
            ours, theirs = measure(settings, kind, os.path.join(folder, "trace.csv"))
            more = ours - theirs
            rows.append("| %s, %s: %s | %.1f | %.1f | %+.1f | %+.1f | %s |" % (
                NAME, kind, what, ours, theirs, more, least,
                "met" if (more >= least if least < 0 else more > least) else "**not met**"))
    if not rows:
        return {}
    return {"hits": ["| trace | magpied, % | memcached, % | points more | at least | |",
                     "|---|---|---|---|---|---|"] + rows}
