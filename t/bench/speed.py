"""Runs the standard set by magpie-bench compare, and makes its tables."""

import json
import subprocess

import loads


class Failed(Exception):
    """magpie-bench did not do it; it has said why."""


def compare(settings, group, ours, theirs):
    """What magpie-bench says of the group's loads, by name."""
    command = [settings.bench, "compare", "--output", "json",
               "--rounds", str(settings.rounds), "--seconds", str(settings.seconds),
               "--warmup", "0.2"] + group.options.split()
    for row in group.loads:
        command += ["--load", row.name] + row.options
    for server in (ours, theirs):
        command += ["--", "%s %s %s" % (server, settings.user, group.server)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Failed("magpie-bench ended with %d" % done.returncode)
    return {found["name"]: found for found in json.loads(done.stdout)["loads"]}


# -- tables ------------------------------------------------------------------------------------------


def number(value):
    """Three digits that count."""
    if value is None:
        return "-"
    return "%.*f" % (0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3, value)


def spread(found):
    """A ratio with the smallest and largest of the rounds."""
    if found["median"] is None:
        return "-"
    return "%.2f (%.2f..%.2f)" % (found["median"], found["min"], found["max"])


def both(found, figure):
    """A figure of both servers."""
    return " / ".join(number(server[figure]["median"]) for server in found["servers"])


def verdict(ratio, limit):
    """Whether a goal is met."""
    return "met" if ratio is not None and ratio <= limit else "**not met**"


def goal(row):
    """What is wanted of the row."""
    return "%s%.2f" % ("" if row.figure == loads.CPU else "p99 ", row.limit)


def speed_row(row, found):
    """A row of the table of speed."""
    ratio = found["ratios"][0]
    return "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |" % (
        row.name, spread(ratio[loads.CPU]), goal(row),
        verdict(ratio[row.figure]["median"], row.limit), both(found, loads.CPU),
        spread(ratio["operations_per_second"]), both(found, "p50_usec"), both(found, loads.P99),
        both(found, "p999_usec"), both(found, "client_cores"))


SPEED_HEAD = [
    "| load | CPU, ratio | at most | | CPU, us an operation | operations/s, ratio | p50, us "
    "| p99, us | p99.9, us | cores of the load |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def idle_line(found):
    """What idle connections change, if both loads were run."""
    if loads.LONE.name not in found or loads.IDLE.name not in found:
        return []
    ours, theirs = (idle[loads.CPU]["median"] / lone[loads.CPU]["median"] for idle, lone in zip(
        found[loads.IDLE.name]["servers"], found[loads.LONE.name]["servers"]))
    return ["", "Beside 1,000 idle connections a lone get costs magpied %.2f of what it costs "
                "without (goal: at most 1.03, %s), memcached %.2f." % (
                    ours, verdict(ours, 1.03), theirs)]


def tables(settings):
    """The lines of each table, by name; those without a row that was chosen are left out."""
    ready = {}
    rows, everything = [], {}
    for group in loads.GROUPS:
        group = loads.chosen(group, settings.only)
        if group:
            found = compare(settings, group, settings.ours, settings.theirs)
            everything.update(found)
            rows += [speed_row(row, found[row.name]) for row in group.loads]
    if rows:
        ready["speed"] = SPEED_HEAD + rows + idle_line(everything)
    group = loads.chosen(loads.NULLS, settings.only)
    if group:
        found = compare(settings, group, settings.ours, settings.ours)
        ready["null"] = ["| load | CPU, ratio | operations/s, ratio | p99, ratio |",
                         "|---|---|---|---|"]
        for row in group.loads:
            ratio = found[row.name]["ratios"][0]
            ready["null"].append("| %s | %s | %s | %s |" % (
                row.name[len(loads.NULL):], spread(ratio[loads.CPU]),
                spread(ratio["operations_per_second"]), spread(ratio[loads.P99])))
    return ready
