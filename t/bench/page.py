"""Writes tables between the markers of a page.

A table called speed stands between two lines of the page, and what stood there before is
replaced:

    <!-- bench: speed -->
    <!-- end of bench: speed -->
"""

import os


class Bad(Exception):
    """The page does not have what is to be written."""


def marks(name):
    """The lines around a table."""
    return "<!-- bench: %s -->" % name, "<!-- end of bench: %s -->" % name


def replaced(text, name, lines):
    """The text with the lines between the markers of that name."""
    rows = text.split("\n")
    for mark in marks(name):
        if rows.count(mark) != 1:
            raise Bad("there is not one line '%s' but %d" % (mark, rows.count(mark)))
    first, last = (rows.index(mark) for mark in marks(name))
    if last < first:
        raise Bad("'%s' ends before it begins" % name)
    return "\n".join(rows[:first + 1] + list(lines) + rows[last:])


def write(path, tables):
    """Replaces all tables (name to lines), or none if the page does not have one of them."""
    with open(path) as page:
        text = page.read()
    for name, lines in tables.items():
        text = replaced(text, name, lines)
    with open(path + ".tmp", "w") as page:
        page.write(text)
    os.replace(path + ".tmp", path)
