"""Counts what an operation costs, see README.md beside."""

import os
import sys

import instructions


def main():
    name = os.environ.get("COST_PROFILE", "")
    try:
        if name:
            print(instructions.profile(name))
            return 0
        for name, count in instructions.measure([]).items():
            print("%-16s %10.1f" % (name, count))
        return 0
    except instructions.Failed as failed:
        print("cost: %s" % failed, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
