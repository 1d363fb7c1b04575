"""Counts what an operation costs and compares it with baseline.tsv.

usage: main.py check | update
    COST_PROFILE   check only shows where the instructions of this workload are
    COST_BASELINE  another table than baseline.tsv
"""

import os
import sys

import baseline
import instructions
import tool

PATH = os.environ.get("COST_BASELINE") or os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                      "baseline.tsv")
MARGIN = 3.  # per cent, of a new row


def read():
    """The baseline."""
    try:
        with open(PATH) as lines:
            return baseline.Baseline(lines.read())
    except (OSError, baseline.Bad) as error:
        raise tool.Failed("%s: %s" % (PATH, error)) from error


def check():
    """Counts and compares; 0 if all is well."""
    lines, well = read().compare("instructions", instructions.measure(), instructions.made_with())
    print("\n".join(lines))
    if not well:
        print(baseline.ADVICE)
    return 0 if well else 1


def update():
    """Makes what is counted the baseline."""
    table = read()
    table.update("instructions", instructions.measure(), instructions.made_with(), MARGIN)
    with open(PATH, "w") as out:
        out.write(table.text())
    print("wrote %s" % PATH)
    return 0


def main(arguments):
    try:
        if arguments == ["check"] and os.environ.get("COST_PROFILE"):
            print(instructions.show(os.environ["COST_PROFILE"]))
            return 0
        if arguments == ["check"]:
            return check()
        if arguments == ["update"]:
            return update()
        print(__doc__, file=sys.stderr)
        return 2
    except tool.Failed as failed:
        print("cost: %s" % failed, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
