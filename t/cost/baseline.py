"""The counts that are agreed on, and whether new ones may be told from them."""

LOOSE = 25.  # per cent, for other compilers, libraries and flags than those of the baseline

ADVICE = """
Too many: `make cost COST_PROFILE=WORKLOAD` shows where the instructions are; look on both sides of
the change.  If it is worth them, say so in the commit that brings the new baseline, which
`make cost-update` writes.
Fewer: keep it so with the same command; an old baseline would hide the next loss."""


def number(count):
    """A count with enough places for the margins."""
    return "%.1f" % count if count > 100 else "%.4f" % count


class Row:
    """One line of the table."""

    def __init__(self, kind, name, count, margin):
        self.kind = kind
        self.name = name
        self.count = count
        self.margin = margin


class Bad(Exception):
    """The table cannot be read; the text says where."""


class Baseline:
    """A table of counts, and what they were made with."""

    def __init__(self, text):
        self.made_with = None
        self.head = []
        self.rows = {}
        for at, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if line.startswith("# made with: "):
                self.made_with = line.partition(": ")[2]
            elif line.startswith("#"):
                self.head.append(line)
            elif words:
                self._add(words, "line %d: '%s'" % (at, line))
        if self.made_with is None:
            raise Bad("there is no line '# made with: '")

    def _add(self, words, where):
        try:
            kind, name, count, margin = words
            row = Row(kind, name, float(count), float(margin))
        except ValueError as error:
            raise Bad("%s is not KIND WORKLOAD COUNT MARGIN" % where) from error
        if row.count <= 0 or row.margin <= 0:
            raise Bad("%s: counts and margins are above 0" % where)
        self.rows[kind, name] = row

    def update(self, kind, counts, made_with, margin):
        """Takes counts, by name, for all rows of a kind; rows keep their margins."""
        self.made_with = made_with
        kept = {key: row for key, row in self.rows.items() if key[0] != kind}
        for name, count in counts.items():
            old = self.rows.get((kind, name))
            kept[kind, name] = Row(kind, name, count, old.margin if old else margin)
        self.rows = kept

    def text(self):
        """The file."""
        lines = self.head + ["# made with: " + self.made_with]
        lines += ["%s\t%s\t%s\t%g" % (row.kind, row.name, number(row.count), row.margin)
                  for row in self.rows.values()]
        return "\n".join(lines) + "\n"

    def compare(self, kind, counts, made_with):
        """(lines to be shown, True if all is well) for counts, by name, of a kind."""
        loose = kind == "instructions" and made_with != self.made_with
        lines, well = [], True
        if loose:
            lines += ["made with    %s" % made_with,
                      "the baseline %s" % self.made_with,
                      "so %g %% more is the limit, and less is no matter" % LOOSE]
        names = [name for row_kind, name in self.rows if row_kind == kind]
        for name in names + [name for name in counts if name not in names]:
            row = self.rows.get((kind, name))
            if row is None or name not in counts:
                verdict = "not in the baseline" if row is None else "not counted any more"
                lines.append("%-12s %-13s FAILED: %s" % (kind, name, verdict))
                well = False
                continue
            change = 100 * (counts[name] / row.count - 1)
            verdict = _verdict(change, LOOSE if loose else row.margin, loose)
            lines.append("%-12s %-13s %9s, baseline %9s, %+6.1f %%  %s" % (
                kind, name, number(counts[name]), number(row.count), change, verdict))
            well = well and not verdict.startswith("FAILED")
        return lines, well


def _verdict(change, margin, loose):
    if change <= -100:
        return "FAILED: nothing was counted"
    if change > margin:
        return "FAILED: more than %g %% above" % margin
    if change < -margin and not loose:
        return "FAILED: more than %g %% below" % margin
    return "ok"
