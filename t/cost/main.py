"""Counts what an operation costs, see README.md beside."""

import os
import sys

import instructions
import tool


def main():
    name = os.environ.get("COST_PROFILE", "")
    try:
        if name:
            print(instructions.show(name))
            return 0
        for name, count in instructions.measure().items():
            print("%-16s %10.2f" % (name, count))
        return 0
    except tool.Failed as failed:
        print("cost: %s" % failed, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
