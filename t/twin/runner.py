"""Runs cases on both servers and tells what no listed difference explains.

A case first runs as it was made.  If the two differ it runs once more with one request at a time:
then every difference has a request, which the list of differences can look at.
"""

import re

import cases
import differences


COMPARED = tuple(
    "cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired get_flushed "
    "delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits "
    "cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors "
    "conn_yields curr_items total_items evictions log_watchers".split())


class Step:
    """What one request (or everything, for a case that runs as it was made) did to both."""

    def __init__(self, name, request, before, answers, counts):
        self.name = name          # of the connection; "" for a shift of the clocks
        self.request = request    # bytes, marks not filled in
        self.before = before      # what was sent on this connection before, in one piece
        self.theirs, self.ours = answers  # dict of connection: answers
        self.their_counts, self.our_counts = counts  # what moved, only where they differ
        self.tail = before.rpartition(b"\n")[2]  # of a line that this request goes on with
        self.past = b""           # all requests of the case before this one
        self.reclaimed = 0        # items that memcached has taken for others, in this case
        self.deltas = None        # how far all counters have moved since the case began
        self.said = answers       # all that was answered
        self.peek = None          # a function of a key and whether it is base64: our value

    @property
    def binary(self):
        """True if the request is one of the binary protocol."""
        return cases.is_binary(self.name)

    def differs(self):
        """True if anything does."""
        return self.theirs != self.ours or bool(self.their_counts) or bool(self.our_counts)

    def answer(self):
        """Both answers on the request's own connection, in one piece; None if another one's
        differ too."""
        if set(self.theirs) - {self.name}:
            return None
        return tuple(b"".join(side.get(self.name, ())) for side in self.said)


def _form(answers):
    """What kind of answer it is: its first one, without what is special about it."""
    first = answers[0] if answers else b"nothing"
    if first.startswith(b"op="):
        return first[:15]
    return re.sub(rb"[0-9]+|[a-z]{40,}", b"N", b" ".join(first.split(b"\r\n")[0].split(b" ")[:5]))


class Verdict:
    """What came of a case."""

    def __init__(self, step=None, used=(), kind=""):
        self.step = step    # the Step that nothing explains, or None
        self.used = used    # entries of the list of differences that were met
        self.kind = kind    # whether it takes more than one request

    def form(self):
        """Two failures of one form are most likely the same one."""
        step = self.step
        if step is None:
            return None
        pairs = sorted({(_form(_news(step.theirs[name], step.ours.get(name, ()))),
                         _form(_news(step.ours.get(name, ()), step.theirs[name])))
                        for name in step.theirs})
        return (self.kind, step.binary, tuple(pairs), tuple(sorted(step.their_counts.items())),
                tuple(sorted(step.our_counts.items())) if not pairs else ())


def _news(answers, others):
    """From the first answer on that differs."""
    at = 0
    while at < len(answers) and at < len(others) and answers[at] == others[at]:
        at += 1
    return answers[at:]


def _deltas(before, after):
    """How far the counters that are compared moved, on both sides."""
    return [{name: b[name] - a[name] for name in COMPARED if name in a}
            for a, b in zip(before, after)]


def _moved(before, after):
    """The counters that moved differently, on both sides."""
    deltas = _deltas(before, after)
    names = [n for n in deltas[0] if n in deltas[1] and deltas[0][n] != deltas[1][n]]
    return [{n: d[n] for n in names} for d in deltas]


def _different(answers):
    """Only the connections whose answers differ."""
    names = [n for n in set(answers[0]) | set(answers[1]) if answers[0].get(n) != answers[1].get(n)]
    return [{n: a.get(n, []) for n in names} for a in answers]


class Runner:
    """Judges cases on a Pair."""

    def __init__(self, pair, cleaning):
        self.pair = pair
        self.cleaning = cleaning  # a function of a case
        self.last = []            # the case that ran last

    def _begin(self):
        self.pair.begin(self.cleaning(self.last))

    def whole(self, case):
        """Runs a case as it was made.  The Step of the first difference, or None; everything that
        was answered; and what moved, None if it was left early."""
        self._begin()
        self.last = case
        pair = self.pair
        counts = pair.counters()
        said = [{}, {}]
        for number, step in enumerate(case):
            if step[0] == "shift":
                pair.shift(step[1])
            else:
                known = pair.numbers()
                for piece in cases.pieces(step[2], step[3], cases.is_binary(step[1])):
                    pair.send(step[1], piece, known)
            answers = pair.take()
            for have, new in zip(said, answers):
                _join(have, new)
            if answers[0] != answers[1]:
                name = step[1] if step[0] == "talk" else ""
                different = _different(answers)
                return Step(name, b"(step %d)" % number, b"", different, ({}, {})), said, None
        after = pair.counters()
        moved = _moved(counts, after)
        deltas = _deltas(counts, after)
        if moved[0]:
            return Step("", b"(all)", b"", ({}, {}), moved), said, deltas
        return None, said, deltas

    def single(self, case):
        """Runs a case with one request at a time.  Yields a Step for each; the receiver stops
        when the two have gone different ways."""
        self._begin()
        self.last = case
        pair = self.pair
        counts = first = pair.counters()
        past, before = b"", {}
        lost, last = 0, first[0]["reclaimed"]
        for step in case:
            known = pair.numbers()
            for request in _alone(step):
                name = step[1] if step[0] == "talk" else ""
                if name:
                    pair.send(name, request, known)
                else:
                    pair.shift(step[1])
                answers = pair.take()
                now = pair.counters()
                if _reset(request, answers[0].get(name, ())):
                    lost += now[0]["reclaimed"]
                    counts = [dict.fromkeys(c, 0) | {"curr_items": c["curr_items"]} for c in counts]
                made = Step(name, request, b"".join(before.get(name, ())), _different(answers),
                            _moved(counts, now))
                made.said = answers
                made.past = past
                made.deltas = _deltas(first, now)
                lost += max(0, now[0]["reclaimed"] - last)
                last = now[0]["reclaimed"]
                made.reclaimed = lost
                made.peek = pair.peek
                past += request + (b"\n" if made.binary else b"")
                before.setdefault(name, []).append(request)
                counts = now
                yield made

    def judge(self, case):
        """The Verdict on a case."""
        whole, said, deltas = self.whole(case)
        if whole is None:
            return Verdict()
        used, alone, step = [], [{}, {}], None
        for step in self.single(case):
            for have, new in zip(alone, step.said):
                _join(have, new)
            if not step.differs():
                continue
            found = differences.explain(step)
            if found is None:
                return Verdict(step, used, "one request")
            used += found
            if any(entry.parts for entry in found):
                return Verdict(None, used)
        both = Both(whole, said, alone, deltas, step.deltas)
        if used and both.same(0) and both.same(1):
            return Verdict(None, used)
        together = differences.explain_together(both, case)
        if together:
            return Verdict(None, used + [together])
        # Each request alone is answered alike, or as listed; together they are not.
        return Verdict(whole, used, "requests together")


class Both:
    """What was said to a case as it was made, and to its requests one at a time; theirs, ours."""

    def __init__(self, step, said, alone, deltas, deltas_alone):
        self.step = step      # of the first difference
        self.said = said
        self.alone = alone
        self.deltas = deltas  # None: the case was left early
        self.deltas_alone = deltas_alone

    def moved(self, side):
        """The counters that one side moved otherwise."""
        if self.deltas is None:
            return set()
        return {n for n, d in self.deltas[side].items() if d != self.deltas_alone[side].get(n)}

    def same(self, side):
        """True if one side has answered the same both times."""
        return _starts(self.alone[side], self.said[side]) and not self.moved(side)

    def ours_same(self):
        """True if we have."""
        return self.same(1)

    def their_counts(self):
        """The counters that memcached moved otherwise."""
        return self.moved(0)

    def theirs_lost(self):
        """The connections on which memcached has said less in one go, and nothing else; None if
        it has said something else."""
        lost = []
        for name, said in self.said[0].items():
            alone = self.alone[0].get(name, [])
            if _timeless(alone[:len(said)]) == _timeless(said) and \
                    self.said[1].get(name, []) == said:
                continue
            rest = iter(_timeless(alone))
            if not all(answer in rest for answer in _timeless(said)):
                return None
            lost.append(name)
        return lost


def _reset(request, answers):
    """True if the counters were put back."""
    return b"RESET\r\n" in answers or (
        re.match(rb"\x80\x10\x00\x05.{20}reset", request, re.S) is not None
        and any(answer.startswith(b"op=10 status=00") for answer in answers))


def _alone(step):
    """The requests of a step; lines are not taken apart, their length is looked at."""
    if step[0] != "talk":
        return [b""]
    if cases.is_binary(step[1]):
        return step[2]
    found = []
    for request in step[2]:
        if found and not found[-1].endswith(b"\n"):
            found[-1] += request
        else:
            found.append(request)
    return found


def _join(have, new):
    """Adds answers to those of the connections; what had begun is in them again, whole."""
    for name, answers in new.items():
        old = have.setdefault(name, [])
        while old and (old[-1].startswith(b"(begun) ") or old[-1] == b"(closed)"):
            old.pop()
        old.extend(answers)


def _starts(whole, part):
    """True if every connection's answers begin as those of part, which may have been left early."""
    return all(_timeless(whole.get(name, [])[:len(answers)]) == _timeless(answers)
               for name, answers in part.items())


def _timeless(answers):
    """Without what is left of times that were given by the calendar: the second run is later."""
    return [re.sub(rb"\d{7,}", b"N", answer) for answer in answers if answer[:7] != b"(begun)"]
