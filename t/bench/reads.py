"""What a read costs a thread alone, and beside others that read the same keys."""

import os
import statistics
import subprocess

import speed

NAME = "reads of the same 1,000 keys by two threads"
LIMIT = 1.03


def cost(threads):
    """Nanoseconds of CPU for a read, of the thread that paid most."""
    program = os.path.abspath(os.environ.get("READERS", "t/bench/readers"))
    done = subprocess.run([program, str(threads)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise speed.Failed("%s ended with %d" % (program, done.returncode))
    return float(done.stdout)


def tables(settings):
    """The table of shared reads, if it was chosen."""
    if settings.only not in NAME:
        return {}
    pairs = [(cost(1), cost(2)) for _ in range(settings.rounds)]
    alone, beside = (statistics.median(column) for column in zip(*pairs))
    ratios = [two / one for one, two in pairs]
    ratio = statistics.median(ratios)
    return {"reads": [
        "| | one thread, ns a read | two threads, ns a read each | ratio | at most | |",
        "|---|---|---|---|---|---|",
        "| %s | %.1f | %.1f | %.2f (%.2f..%.2f) | %.2f | %s |" % (
            NAME, alone, beside, ratio, min(ratios), max(ratios), LIMIT,
            speed.verdict(ratio, LIMIT))]}
