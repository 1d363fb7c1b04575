"""Counts what an operation costs and compares it with baseline.tsv.

usage: main.py check | update | peers
    COST_PROFILE   check only shows where the instructions of this workload are
    COST_BASELINE  another table than baseline.tsv
"""

import os
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import baseline
import calls
import instructions
import peers
import tool

PATH = os.environ.get("COST_BASELINE") or os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                      "baseline.tsv")
MARGINS = {"instructions": 3., "calls": 5.}  # per cent, of new rows


def read():
    """The baseline."""
    try:
        with open(PATH) as lines:
            return baseline.Baseline(lines.read())
    except (OSError, baseline.Bad) as error:
        raise tool.Failed("%s: %s" % (PATH, error)) from error


def measure():
    """Counts, by kind and workload."""
    return {
        "instructions": instructions.measure(),
        "calls": {name: sum(row.values()) for name, row in calls.measure().items()},
    }


def check():
    """Counts and compares; 0 if all is well."""
    table, made_with, failed = read(), instructions.made_with(), False
    for kind, counts in measure().items():
        lines, well = table.compare(kind, counts, made_with)
        print("\n".join(lines))
        failed = failed or not well
    if failed:
        print(baseline.ADVICE)
    return 1 if failed else 0


def update():
    """Makes what is counted the baseline."""
    table, made_with = read(), instructions.made_with()
    for kind, counts in measure().items():
        table.update(kind, counts, made_with, MARGINS[kind])
    with open(PATH, "w") as out:
        out.write(table.text())
    print("wrote %s" % PATH)
    return 0


def show_peers():
    """Prints what magpied and memcached cost."""
    for line in peers.table():
        print(line, flush=True)
    return 0


def profile():
    """Shows where the instructions of a workload are."""
    print(instructions.show(os.environ["COST_PROFILE"]))
    return 0


def main(arguments):
    verbs = {"check": profile if os.environ.get("COST_PROFILE") else check, "update": update,
             "peers": show_peers}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return verbs[arguments[0]]()
    except tool.Failed as failed:
        print("cost: %s" % failed, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
