"""The loop: makes cases, judges them, shrinks what nobody explains, counts what was met."""

import ast
import os
import time

import cases
import differences
import generator
import operators
import pair
import runner
import server
import shrinker
import tap

SEED = int(os.environ.get("TWIN_SEED", "1"))
SECONDS = float(os.environ.get("TWIN_SECONDS", "0"))  # 0: CASES of them
CASES = int(os.environ.get("TWIN_CASES", "1000"))
FAILURES = int(os.environ.get("TWIN_FAILURES", "3"))
REPLAY = os.environ.get("TWIN_REPLAY")
STALE_SECONDS = 400  # a run of that length must have met every entry of the list


def debug_build():
    """True if magpied knows debugtime."""
    with server.Server("-t", "1") as s:
        return s.once(b"debugtime r\r\n") == b"OK\r\n"


def describe(number, case, verdict):
    """All that is needed to look into a failure."""
    step = verdict.step
    lines = ["TWIN_SEED=%d, case %s, shrunk; differs in: %s" % (SEED, number, verdict.kind),
             cases.show(case),
             "request %.300r on %s" % (step.request, step.name or "no connection")]
    for name in sorted(set(step.theirs) | set(step.ours)):
        lines.append("%s theirs: %.600r" % (name, step.theirs.get(name)))
        lines.append("%s ours:   %.600r" % (name, step.ours.get(name)))
    if step.their_counts or step.our_counts:
        lines.append("theirs: %r" % step.their_counts)
        lines.append("ours:   %r" % step.our_counts)
    return "\n".join(lines)


class Search:
    """A run over many cases."""

    def __init__(self, timed):
        self.timed = timed
        self.done = 0
        self.explained = 0
        self.failures = []
        self.forms = set()  # of the failures
        self.judges = {}  # by whether they are for operators: one with its pair of servers

    def judge(self, operated):
        """The judge of such cases, whose servers run."""
        found = self.judges.get(operated)
        if found and found.pair.now > found.pair.worn:
            found.pair.close()
            found = None
        if not found:
            both = pair.Pair(self.timed and not operated, threads=operated)
            both.__enter__()
            found = self.judges[operated] = runner.Runner(both, generator.cleaning)
        return found

    def close(self):
        """Ends all servers; what is wrong with that."""
        return "".join(judge.pair.close() for judge in self.judges.values())

    def verdict(self, case):
        """Judges; a server that dies over a case is a difference too."""
        operated = operators.is_operators(case)
        judge = self.judge(operated)
        try:
            return judge.judge(case)
        except (OSError, ValueError) as error:
            dead = [side.name for side in judge.pair.sides if not side.alive()]
            said = "%s: %r; dead: %s" % (type(error).__name__, error, dead)
            del self.judges[operated]
            said += "; " + judge.pair.close()
            step = runner.Step("", said.encode(), b"", ({}, {"ours": [said.encode()]}), ({}, {}))
            return runner.Verdict(step, (), "a server that is gone")

    def count(self, verdict):
        """Notes which entries were met."""
        if verdict.used:
            self.explained += 1
        for entry in set(verdict.used):
            entry.met += 1

    def one(self, number, case):
        """Judges one case, and shrinks it if nobody explains it."""
        verdict = self.verdict(case)
        self.done += 1
        self.count(verdict)
        form = verdict.form()
        if form is None or form in self.forms:
            return
        self.forms.add(form)

        verdicts = [verdict]

        def differs(less):
            found = self.verdict(less)
            if found.form() == form:
                verdicts.append(found)
            return found.form() == form

        if not differs(case):
            self.failures.append("it differed once, and not again: " +
                                 describe(number, case, verdict))
            tap.note(self.failures[-1])
            return
        small = shrinker.shrink(case, differs)
        self.failures.append(describe(number, small, verdicts[-1]))
        tap.note(self.failures[-1])

    def run(self):
        """Until the time or the cases are used up, or there are failures enough."""
        until = time.monotonic() + SECONDS
        while len(self.failures) < FAILURES:
            if time.monotonic() >= until if SECONDS else self.done >= CASES:
                break
            self.one(self.done, generator.generate(SEED, self.done, self.timed))


def documented():
    """The rows of the list that doc/compatibility.md does not have."""
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "doc",
                        "compatibility.md")
    with open(page) as source:
        lines = source.read().splitlines()
    return [row for row in differences.table() if row not in lines]


def report(search):
    """TAP lines of a run."""
    tap.note("TWIN_SEED=%d: %d cases, %d of them met differences of the list" % (
        SEED, search.done, search.explained))
    for entry in differences.LIST + differences.TOGETHER:
        tap.note("%6d %s" % (entry.met, entry.name))
    tap.ok(not search.failures, "what memcached answers, Magpie answers, but for the list",
           "%d failures, above" % len(search.failures))
    missing = documented()
    tap.ok(not missing, "doc/compatibility.md has every entry of the list of differences",
           "python3 t/twin/differences.py prints the table; missing:\n" + "\n".join(missing))
    stale = [entry.name for entry in differences.LIST + differences.TOGETHER if entry.met == 0]
    if SECONDS >= STALE_SECONDS and not search.failures:
        tap.ok(not stale, "every entry of the list of differences is needed",
               "not met: " + ", ".join(stale))


def main():
    """The test."""
    server.program_exists()
    if not os.access(pair.MEMCACHED, os.X_OK):
        tap.skip_all("Debian package memcached is missing")
    timed = pair.faketime() is not None and debug_build()
    if not timed:
        tap.note("no faketime, or no debug build: the clocks are not shifted")
    search = Search(timed)
    try:
        if REPLAY:
            with open(REPLAY) as source:
                case = eval_case(source.read())
            search.one("of " + REPLAY, case)
        else:
            search.run()
    finally:
        problem = search.close()
    report(search)
    tap.ok(not problem, "magpied ends with 0", problem)
    tap.done()


def eval_case(source):
    """A case as cases.show() prints it: literals, sums and products of bytes."""
    def value(node):
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            return left * right if isinstance(node.op, ast.Mult) else left + right
        if isinstance(node, (ast.List, ast.Tuple)):
            items = [value(item) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        return ast.literal_eval(node)

    return value(ast.parse(source.strip(), mode="eval").body)
