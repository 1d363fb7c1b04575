#!/usr/bin/python3
"""slabs and lru: pages that are moved on request, and the knobs of the replacement."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import (NEW, OURS, REFERENCE, Server, pattern, program_exists,  # noqa: E402
                    rows, wait_until)

FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BAD_CLASS = b"BADCLASS invalid src or dst class id\r\n"
SPARE = b"NOSPARE source class has no spare pages\r\n"
SAME = b"SAME src and dst class are identical\r\n"
WINDOW = b"CLIENT_ERROR automove window too low or too high\r\n"
MISSING = pattern(rb"(CLIENT_ERROR bad command line format|ERROR)\r\n")


def reassign_answers(s):
    """What slabs reassign says when nothing can be moved."""
    rows(s, [
        ("bare slabs", b"slabs\r\nmn\r\n", pattern(rb"(CLIENT_ERROR [a-z ]+|ERROR)\r\nMN\r\n")),
        ("an unknown word", b"slabs nonsense\r\n", MISSING),
        ("reassign without classes", b"slabs reassign\r\n", MISSING),
        ("reassign with one class", b"slabs reassign 1\r\n", MISSING),
        ("reassign of a word", b"slabs reassign abc 1\r\n", FORMAT),
        ("a class without pages", b"slabs reassign 1 2\r\n", SPARE),
        ("the empty pool of pages", b"slabs reassign 0 1\r\n", SPARE),
        ("to the pool", b"slabs reassign 1 0\r\n", SPARE),
        ("the same class", b"slabs reassign 1 1\r\n", SAME),
        ("a source that is none", b"slabs reassign 99 1\r\n", BAD_CLASS),
        ("a target that is none", b"slabs reassign 1 99\r\n", BAD_CLASS),
        ("a target over the largest class", b"slabs reassign 1 40\r\n", BAD_CLASS),
        ("any source, and none has pages", b"slabs reassign -1 1\r\n",
         pattern(rb"(BADCLASS invalid src or dst class id|NOSPARE source class has no spare pages)"
                 rb"\r\n")),
        ("any source to the class -1", b"slabs reassign -1 -1\r\n",
         pattern(rb"(SAME src and dst class are identical|BADCLASS invalid src or dst class id)"
                 rb"\r\n")),
    ])


def automove_answers(s):
    """slabs automove and its knobs, and that stats settings shows them."""
    rows(s, [
        ("automove without a mode", b"slabs automove\r\n", MISSING),
        ("automove 3", b"slabs automove 3\r\n", b"ERROR\r\n"),
        ("automove of a word", b"slabs automove abc\r\n", FORMAT),
        ("negative automove", b"slabs automove -1\r\n", FORMAT),
        ("ratio without a number", b"slabs automove ratio\r\n", MISSING),
        ("ratio of a word", b"slabs automove ratio abc\r\n",
         pattern(rb"(CLIENT_ERROR bad command line format|ERROR)\r\n")),
        ("freeratio", b"slabs automove freeratio 0.02\r\n", b"OK\r\n", NEW),
        ("window", b"slabs automove window 60\r\n", b"OK\r\n", NEW),
        ("window 0", b"slabs automove window 0\r\n", WINDOW, NEW),
        ("window 2", b"slabs automove window 2\r\n", WINDOW, NEW),
        ("window 1801", b"slabs automove window 1801\r\n", WINDOW, NEW),
        ("window of a word", b"slabs automove window abc\r\n", FORMAT),
    ])
    with s.conn() as c:
        for mode in (b"0", b"2", b"1"):
            tap.is_(c.ask(b"slabs automove %s\r\n" % mode), b"OK\r\n",
                    "automove %s" % mode.decode())
            tap.is_(c.stats(b"settings")["slab_automove"], mode.decode(), "which is shown")
        tap.is_(c.ask(b"slabs automove ratio 0.5\r\n"), b"OK\r\n", "automove ratio")
        tap.is_(c.stats(b"settings")["slab_automove_ratio"], "0.50", "which is shown")
        c.ask(b"slabs automove ratio 0.8\r\n")
        if not REFERENCE:
            tap.is_(c.stats(b"settings")["slab_automove_window"], "60", "the window is shown")
        tap.is_(c.ask(b"slabs automove 1 noreply\r\nmn\r\n"), b"MN\r\n", "automove noreply")


def lru_answers(s):
    """lru tune, mode and temp_ttl, and that stats settings shows them."""
    rows(s, [
        ("bare lru", b"lru\r\nmn\r\n", pattern(rb"(CLIENT_ERROR [a-z ]+|ERROR)\r\nMN\r\n")),
        ("an unknown word", b"lru nonsense\r\nlru nonsense 5\r\n",
         pattern(rb"((CLIENT_ERROR bad command line format|ERROR)\r\n){2}")),
        ("tune without numbers", b"lru tune\r\n", MISSING),
        ("tune with three", b"lru tune 10 20 0.1\r\n", MISSING),
        ("tune over 80 %", b"lru tune 10 80 0.1 2.0\r\n",
         b"ERROR hot and warm pcts must not exceed 80\r\n"),
        ("a hot factor of 0", b"lru tune 10 20 0 2.0\r\n",
         b"ERROR hot/warm age factors must be greater than 0\r\n"),
        ("a warm factor of 0", b"lru tune 10 20 0.1 0\r\n",
         b"ERROR hot/warm age factors must be greater than 0\r\n"),
        ("a negative factor", b"lru tune 10 20 -1 2.0\r\n",
         b"ERROR hot/warm age factors must be greater than 0\r\n"),
        ("tune of a word", b"lru tune abc 20 0.1 2.0\r\n", MISSING),
        ("negative tune", b"lru tune -10 20 0.1 2.0\r\n", MISSING),
        ("mode without a word", b"lru mode\r\n", MISSING),
        ("an unknown mode", b"lru mode nonsense\r\n", MISSING),
        ("temp_ttl without a number", b"lru temp_ttl\r\n", MISSING),
        ("temp_ttl of a word", b"lru temp_ttl abc\r\n", MISSING),
    ])

    def shown(c, *names):
        settings = c.stats(b"settings")
        return [settings[name] for name in names]
    with s.conn() as c:
        tap.is_(c.ask(b"lru tune 15 33 0.25 1.75\r\n"), b"OK\r\n", "lru tune")
        tap.is_(shown(c, "hot_lru_pct", "warm_lru_pct", "hot_max_factor", "warm_max_factor"),
                ["15", "33", "0.25", "1.75"], "which is shown")
        tap.is_(c.ask(b"lru tune 40 40 0.2 2.0\r\n"), b"OK\r\n", "80 % in all may be")
        tap.is_(c.ask(b"lru mode flat\r\n"), b"OK\r\n", "lru mode flat")
        tap.is_(shown(c, "lru_segmented"), ["no"], "which is shown")
        tap.is_(c.ask(b"lru mode segmented\r\n"), b"OK\r\n", "lru mode segmented")
        tap.is_(shown(c, "lru_segmented"), ["yes"], "which is shown")
        tap.is_(c.ask(b"lru temp_ttl 30\r\n"), b"OK\r\n", "lru temp_ttl")
        tap.is_(shown(c, "temp_lru", "temporary_ttl"), ["yes", "30"], "which is shown")
        tap.is_(c.ask(b"lru temp_ttl -1\r\n"), b"OK\r\n", "a negative temp_ttl")
        tap.is_(shown(c, "temp_lru"), ["no"], "turns it off")
        tap.is_(c.ask(b"lru mode flat noreply\r\nlru mode segmented noreply\r\nmn\r\n"), b"MN\r\n",
                "lru noreply")


def disabled():
    """What an option has turned off says so."""
    with Server("-o", "no_slab_reassign,no_lru_maintainer") as s:
        rows(s, [
            ("reassign that is off", b"slabs reassign 1 2\r\n",
             b"CLIENT_ERROR slab reassignment disabled\r\n"),
            ("mode without the maintainer", b"lru mode flat\r\n", b"ERROR\r\n"),
            ("temp_ttl without the maintainer", b"lru temp_ttl 5\r\n", b"ERROR\r\n"),
        ])


def pages(c):
    """The classes' pages and those of the pool."""
    found = {int(name.split(":")[0]): int(n) for name, n in c.stats(b"slabs").items()
             if name.endswith(":total_pages")}
    found[0] = int(c.stats()["slab_global_page_pool"])
    return found


def class_of(c, key):
    """The class that an item lies in."""
    return int(c.ask(b"me %s\r\n" % key).split(b" cls=")[1].split()[0])


def moves():
    """A page changes hands; what lived on it lives on."""
    with Server("-m", "64", "-f", "1.25", "-o", "slab_automove=0") as s, s.conn() as c:
        for i in range(6000):
            c.send(b"set small%d 0 0 1000 noreply\r\n%s\r\n" % (i, b"%04d" % i * 250))
        c.set(b"other", b"v" * 5000)
        source, target = class_of(c, b"small1"), class_of(c, b"other")
        before = pages(c)
        tap.ok(before[source] >= 5 and before[target] == 1, "memcached's 1 MiB pages", before)
        tap.is_(c.ask(b"slabs reassign %d %d\r\n" % (target, source)), SPARE,
                "the only page of a class stays")
        tap.is_(c.ask(b"slabs reassign %d %d\r\n" % (source, target)), b"OK\r\n", "reassign")
        moved = wait_until(lambda: int(c.stats()["slabs_moved"]) == 1)
        after = pages(c)
        tap.ok(moved, "slabs_moved counts", c.stats()["slabs_moved"])
        tap.ok(after[target] == before[target] + 1 and after[source] <= before[source],
               "the page has changed hands", (before, after))
        tap.is_(c.ask(b"slabs reassign %d 0\r\n" % source),
                pattern(rb"(OK|BUSY currently processing reassign request)\r\n"),
                "reassign to the pool")
        tap.ok(wait_until(lambda: int(c.stats()["slabs_moved"]) == 2), "and that is counted too")
        tap.between(pages(c)[0], 0, 1, "slab_global_page_pool is shown")
        answer = c.ask(b"slabs reassign -1 %d\r\n" % target)
        tap.is_(answer, pattern(rb"(OK|BUSY currently processing reassign request)\r\n"),
                "from whichever class has pages")
        wait_until(lambda: int(c.stats()["slabs_moved"]) == 3)
        tap.is_(c.get(b"other"), b"v" * 5000, "the other class's item is there")
        lost = wrong = 0
        for i in range(6000):
            value = c.get(b"small%d" % i)
            lost += value is None
            wrong += value not in (None, b"%04d" % i * 250)
        tap.is_(wrong, 0, "no value has changed")
        tap.ok(lost < 3000, "most items were rescued, or evicted where there was no room", lost)
        tap.is_(c.set(b"later", b"v" * 5000), b"STORED\r\n", "the cache takes items as before")


def cas_survives():
    """Moving an item is no change of it: its cas number stays."""
    with Server("-m", "64", "-f", "1.25", "-o", "slab_automove=0") as s, s.conn() as c:
        for i in range(3000):
            c.send(b"set k%d 5 500 1000 noreply\r\n%s\r\n" % (i, b"%04d" % i * 250))
        c.ask(b"mn\r\n")
        for i in range(0, 3000, 2):
            c.send(b"delete k%d noreply\r\n" % i)
        c.set(b"other", b"v" * 5000)

        def look(key):
            return c.ask(b"mg %s c f\r\n" % key)
        names = [b"k%d" % i for i in range(1, 3000, 2)]
        was = {name: look(name) for name in names}
        source, target = class_of(c, b"k1"), class_of(c, b"other")
        tap.is_(c.ask(b"slabs reassign %d %d\r\n" % (source, target)), b"OK\r\n", "reassign")
        tap.ok(wait_until(lambda: int(c.stats()["slabs_moved"]) == 1), "a page was moved")
        now = {name: look(name) for name in names}
        lost = sum(line == b"EN\r\n" for line in now.values())
        if REFERENCE:
            tap.skip("cas numbers and client flags are as before", NEW)
        else:
            tap.is_([name for name in names if now[name] not in (was[name], b"EN\r\n")], [],
                    "cas numbers and client flags are as before")
        tap.is_(lost, 0, "with room in the class, every item is rescued")
        rescued = int(c.stats()["slab_reassign_rescues"])
        tap.ok(rescued > 0, "slab_reassign_rescues counts", rescued)


def ours(s):
    """The finer table that is used without -f: the same answers."""
    if REFERENCE:
        tap.skip("reassign without -f", OURS)
        return
    with s.conn() as c:
        for i in range(3000):
            c.send(b"set small%d 0 0 1000 noreply\r\n%s\r\n" % (i, b"v" * 1000))
        c.set(b"other", b"v" * 5000)
        source, target = class_of(c, b"small1"), class_of(c, b"other")
        before = pages(c)
        moved = int(c.stats()["slabs_moved"])
        tap.is_(c.ask(b"slabs reassign %d %d\r\n" % (source, target)), b"OK\r\n",
                "reassign without -f")
        tap.ok(wait_until(lambda: int(c.stats()["slabs_moved"]) > moved), "a page is moved",
               (before, pages(c)))
        tap.is_(c.ask(b"slabs reassign 64 %d\r\n" % target), BAD_CLASS, "no class over 63")


def main():
    """Every function of this file."""
    program_exists()
    with Server("-f", "1.25") as s:
        tap.guarded(reassign_answers, s)
        tap.guarded(automove_answers, s)
    with Server() as s:
        tap.guarded(lru_answers, s)
        tap.guarded(ours, s)
    for function in (disabled, moves, cas_survives):
        tap.guarded(function)
    tap.done()


main()
