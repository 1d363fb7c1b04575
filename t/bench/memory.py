"""How many items fit into -m, and what they cost: more keys are stored than fit, and counted.

Resident memory is that of the whole process: tables, threads and connections as well.
"""

import os
import subprocess
import sys

import speed

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import server  # noqa: E402

NAME = "items in memory"
MIB = 1024
BOUND = 1.05 * MIB + 32
SHAPES = [(20, 32, 1.60), (40, 200, 1.17), (20, 1024, 1.03)]  # key, value, least ratio of items


def fill(settings, program, key, value):
    """Items held and MiB resident when every key was stored once."""
    keys = MIB * (1 << 20) * 3 // 2 // (key + value + 16 + 10)  # by half more than we could hold
    with server.Server("-t", "1", "-m", MIB, program=program) as full:
        done = subprocess.run(
            [settings.bench, "-s", "127.0.0.1:%d" % full.port, "--keys", str(keys), "--key-size",
             str(key), "--value-size", str(value), "--gets", "100", "--connections", "1",
             "--requests", "1"], stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise speed.Failed("magpie-bench ended with %d" % done.returncode)
        with full.conn() as conn:
            rows = conn.stats()
        if int(rows["evictions"]) == 0:
            raise speed.Failed("%s is not full" % program)
        return int(rows["curr_items"]), full.status("VmRSS") / 1024


def row(settings, name, shape):
    """A row of the table."""
    key, value, least = shape
    (items, rss), (their_items, their_rss) = (
        fill(settings, program, key, value) for program in (settings.ours, settings.theirs))
    ratio = items / their_items
    return "| %s | %.2f | %.2f | %s | %d / %d | %.1f / %.1f | %.0f / %.0f | %s |" % (
        name, ratio, least, "met" if ratio >= least else "**not met**", items, their_items,
        rss * (1 << 20) / items, their_rss * (1 << 20) / their_items, rss, their_rss,
        "met" if rss <= BOUND else "**not met**")


def tables(settings):
    """The table of memory, if it was chosen."""
    rows = []
    for shape in SHAPES:
        name = "%s: keys of %d, values of %d bytes" % (NAME, shape[0], shape[1])
        if settings.only in name:
            rows.append(row(settings, name, shape))
    if not rows:
        return {}
    return {"memory": [
        "| load | items, ratio | at least | | items | resident bytes an item | resident, MiB "
        "| at most %.0f |" % BOUND, "|---|---|---|---|---|---|---|---|"] + rows}
