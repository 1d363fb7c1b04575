"""Reads the files that callgrind writes."""

import os
import re


class Profile:
    """Instructions by function and source file, and what the functions called cost."""

    def __init__(self, path):
        self.own = {}    # function -> {source file: instructions}
        self.calls = {}  # function -> instructions of what it calls
        self.trigger = None
        names = {"fn": {}, "fl": {}}
        function = source = None
        is_call = False
        with open(path) as lines:
            for line in lines:
                word = re.match(r"(c?f[nlie])=\((\d+)\)(?: (.*))?$", line)
                if word:
                    table = names["fn" if word[1].endswith("fn") else "fl"]
                    if word[3]:
                        table[word[2]] = word[3]
                    if word[1] == "fn":
                        function = table[word[2]]
                    elif word[1] in ("fl", "fi", "fe"):
                        source = os.path.basename(table[word[2]])
                elif line.startswith("calls="):
                    is_call = True
                elif line.startswith("desc: Trigger: Client Request: "):
                    self.trigger = line.split(": ")[-1].strip()
                else:
                    cost = re.match(r"[+*-]?\d* (\d+)$", line)
                    if cost and is_call:
                        self.calls[function] = self.calls.get(function, 0) + int(cost[1])
                    elif cost:
                        files = self.own.setdefault(function, {})
                        files[source] = files.get(source, 0) + int(cost[1])
                    is_call = False

    def forget(self, source):
        """Drops the functions of a source file."""
        self.own = {function: files for function, files in self.own.items() if source not in files}

    def total(self):
        """All instructions."""
        return sum(sum(files.values()) for files in self.own.values())

    def by_own(self):
        """(instructions, function, where they come from), the most expensive first."""
        rows = []
        for function, files in self.own.items():
            total = sum(files.values())
            parts = sorted(files.items(), key=lambda row: -row[1])
            rows.append((total, function, parts[0][0] if len(parts) == 1 else ", ".join(
                "%s %.0f%%" % (source, 100 * n / total) for source, n in parts)))
        return sorted(rows, reverse=True)

    def by_inclusive(self):
        """The same with all that a function calls; one that calls itself counts that twice."""
        return sorted(((total + self.calls.get(function, 0), function, where)
                       for total, function, where in self.by_own()), reverse=True)
