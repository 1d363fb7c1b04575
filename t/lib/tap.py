"""Test Anything Protocol: one line for each check, diagnostics behind it.

A script calls ok(), is_(), like(), skip() as often as it likes and ends with
done(), which prints the plan and exits 0 if every check passed.  A failed check
shows both values on "#" lines; nothing is ever retried.
"""

import os
import re
import sys
import traceback

_count = 0
_failed = 0


def _show(value):
    if isinstance(value, (bytes, str)) and len(value) > 300:
        return "%r ... %r (%d in all)" % (value[:200], value[-60:], len(value))
    return repr(value)


def note(text):
    """Prints a diagnostic line that counts for nothing."""
    for line in str(text).splitlines():
        print("# " + line)
    sys.stdout.flush()


def ok(condition, name, why=None):
    """One check.  why, shown on failure, may be anything printable."""
    global _count, _failed
    _count += 1
    name = str(name).replace("#", "\\#")
    print("%sok %d - %s" % ("" if condition else "not ", _count, name))
    if not condition:
        _failed += 1
        if why is not None:
            note(why)
    sys.stdout.flush()
    return bool(condition)


def is_(got, want, name, why=""):
    """got equals want; want may be a compiled pattern, which must match all of got.  why is shown
    on failure behind both."""
    more = "\n%s" % (why,) if why else ""
    if isinstance(want, re.Pattern):
        return ok(want.fullmatch(got) is not None, name,
                  "got:  %s\nlike: %s%s" % (_show(got), want.pattern, more))
    return ok(got == want, name, "got:  %s\nwant: %s%s" % (_show(got), _show(want), more))


def between(got, low, high, name):
    """low <= got <= high."""
    return ok(low <= got <= high, name, "got: %r, wanted %r to %r" % (got, low, high))


def skip(name, reason):
    """A check that cannot be made here."""
    global _count
    _count += 1
    print("ok %d - %s # SKIP %s" % (_count, str(name).replace("#", "\\#"), reason))
    sys.stdout.flush()


def skip_all(reason):
    """The whole script cannot run here."""
    print("1..0 # SKIP " + reason)
    sys.exit(0)


def guarded(function, *args):
    """Calls function; an exception is one failed check instead of the end of the script."""
    try:
        function(*args)
    except Exception as error:  # a test that breaks must not hide those after it
        ok(False, "%s runs to its end" % function.__name__,
           "%s: %s\n%s" % (type(error).__name__, error, traceback.format_exc(limit=-4)))


def run(functions):
    """Calls each function that TESTS (a comma list of names) picks, guarded, and ends.

    `make check TESTS=t/system/text.py` leaves the same variable behind, with paths in it.
    """
    wanted = os.environ.get("TESTS", "")
    if "/" in wanted:
        wanted = ""
    for function in functions:
        if not wanted or function.__name__ in wanted.split(","):
            guarded(function)
    done()


def done():
    """Prints the plan and ends the script."""
    print("1..%d" % _count)
    if _failed:
        note("%d of %d failed" % (_failed, _count))
    sys.stdout.flush()
    sys.exit(1 if _failed else 0)
