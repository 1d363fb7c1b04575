#!/usr/bin/python3
"""Everything at once for SOAK_SECONDS (5): no wrong value, bounded memory, nothing left behind.

Clients that behave (t/soak/load.py), clients that do not (rude.py), an operator (control.py) and
onlookers (watch.py), each a process or several.  While they are at work the server's memory and
threads are watched; when they are gone, connections, descriptors, buffers and items are counted.
SOAK_SEED repeats a run's choices.
"""

import multiprocessing
import os
import queue
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "soak")]
os.environ.setdefault("TEST_DEADLINE", "60")
os.environ.setdefault("ASAN_OPTIONS", "abort_on_error=1:detect_leaks=1")
os.environ.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")

import tap  # noqa: E402
from control import LIMITS, Operator, understands  # noqa: E402
from load import Client, settle  # noqa: E402
from rude import Rude  # noqa: E402
from server import REFERENCE, SANITIZED, Server, program_exists  # noqa: E402
from shared import OWNERS, SECONDS, SEED, Board  # noqa: E402
from watch import METADUMP, Watchers  # noqa: E402

MIB = 1 << 20
BESIDE = 8 * MIB  # what a server may use beside -m, over what it uses when empty
FORK = multiprocessing.get_context("fork")
PROBES = (("watch", b"watch fetchers\r\n"), ("slabs reassign", b"slabs reassign 0 0\r\n"),
          ("lru_crawler crawl", b"lru_crawler crawl 63\r\n"),
          ("lru_crawler metadump", b"lru_crawler metadump 63\r\n"),
          ("lru_crawler mgdump", b"lru_crawler mgdump 63\r\n"))
GAUGES = ("curr_connections", "read_buf_count", "read_buf_bytes", "response_obj_count",
          "response_obj_bytes", "log_watchers")


def run(make, name, board, until, results):
    """The body of a process."""
    try:
        count, sums = make().work(until)
        results.put((name, count, sums, None))
    except Exception as error:  # what went wrong is the report
        board.give_up()
        results.put((name, None, {}, "%s: %s" % (type(error).__name__, error)))


def descriptors(s):
    """How many are open."""
    return len(os.listdir("/proc/%d/fd" % s.pid))


def threads(s):
    """How many there are."""
    return len(os.listdir("/proc/%d/task" % s.pid))


def eventually(look, want, seconds=10):
    """The last thing look() says: want, or whatever it still is after some time."""
    until = time.monotonic() + seconds
    while True:
        got = look()
        if got == want or time.monotonic() > until:
            return got
        time.sleep(0.05)


def storm(s, board):
    """Lets everybody loose: (what they report, most memory, numbers of threads seen)."""
    results = FORK.Queue()
    started = time.monotonic()
    until = started + SECONDS
    makers = {"client %d" % i: (lambda i=i: Client(s, board, i, started)) for i in range(OWNERS)}
    makers["rude clients"] = lambda: Rude(s, board)
    makers["the operator"] = lambda: Operator(s, board)
    makers["onlookers"] = lambda: Watchers(s, board)
    processes = [FORK.Process(target=run, args=(make, name, board, until, results))
                 for name, make in makers.items()]
    for process in processes:
        process.start()
    top, seen, reports = 0, set(), {}
    while len(reports) < len(makers) and time.monotonic() < until + 90:
        try:
            top = max(top, s.status("VmRSS") * 1024)
            seen.add(threads(s))
        except (OSError, KeyError):
            board.give_up()  # it is dead
        try:
            name, *report = results.get(timeout=0.1)
            reports[name] = report
        except queue.Empty:
            pass
    for process in processes:
        process.join(1)
        if process.is_alive():
            process.kill()
    for name in makers:
        count, _, error = reports.get(name, (None, {}, "it did not come to its end"))
        tap.ok(error is None, name + ": nothing is wrong", error)
        tap.note("%s: %s" % (name, ", ".join("%s %d" % row for row in (count or {}).items())))
    return reports, top, seen


def judge(reports, evictions):
    """What can be said when all is over."""
    good = all(report[2] is None for report in reports.values())
    clients = [report for name, report in reports.items() if name.startswith("client")]
    if not good:
        return
    for count, _, _ in clients:
        tap.ok(count["hit"] > 100, "reads hit", count)
        tap.ok(count["refused"] * 100 <= count["set"], "writes are not refused", count)
    tap.ok(evictions or SECONDS < 10, "items were evicted")
    wrong, lives = settle([sums for _, sums, _ in clients])
    tap.is_(wrong, [], "shared counters and cas rounds add up in each of their lives")
    tap.note("%d lives of shared counters" % lives)


def gauges(c):
    """Those that must be as they were in the beginning."""
    rows = c.stats()
    return {name: rows.get(name) for name in GAUGES if not (REFERENCE and "_buf_" in name
                                                              or REFERENCE and "_obj_" in name)}


def numbers(c):
    """Plain stats, as numbers where they are whole."""
    return {name: int(value) for name, value in c.stats().items() if value.isdigit()}


def dump(s):
    """How many keys metadump lists."""
    with s.conn() as c:
        c.send(b"lru_crawler metadump all\r\n")
        if not REFERENCE:  # 1.6.18 has no OK before the keys
            head = c.line()
            if head != b"OK\r\n":
                return head
        lines = c.until(b"END\r\n").splitlines(True)[:-1]
        return len(lines) if all(METADUMP.fullmatch(line) for line in lines) else lines[:3]


def items_match(s, c):
    """What is counted in different places is the same, and can all be got rid of."""
    crawls = understands(s, b"lru_crawler crawl 0\r\n")
    if crawls:
        time.sleep(3.5)  # the shortest times of the load are over
        c.ask(b"lru_crawler crawl all\r\n")
        eventually(lambda: numbers(c)["lru_crawler_running"], 0)
    rows = numbers(c)
    by_class = sum(int(v) for n, v in c.stats(b"items").items() if n.endswith(":number"))
    tap.between(by_class, rows["curr_items"] * 0.95 - 5, rows["curr_items"] * 1.05 + 5,
                "stats items counts as many items as stats")
    if understands(s, b"lru_crawler metadump 63\r\n") and crawls:
        tap.is_(eventually(lambda: dump(s), rows["curr_items"]), rows["curr_items"],
                "and so does a dump of all keys")
    else:
        tap.skip("and so does a dump of all keys", "there is no metadump or no crawler")

    def within():
        now = numbers(c)
        return now["bytes"] <= now["limit_maxbytes"]
    tap.ok(eventually(within, True), "bytes come to be within the limit", rows)
    tap.is_(c.ask(b"flush_all\r\n"), b"OK\r\n", "flush_all")
    if not crawls:
        tap.skip("nothing is left after flush_all and a crawl", "there is no lru_crawler crawl")
        return

    def left():
        c.ask(b"lru_crawler crawl all\r\n")
        now = numbers(c)
        return now["bytes"], now["curr_items"]
    tap.is_(eventually(left, (0, 0), 20), (0, 0), "nothing is left after flush_all and a crawl")


def figures_match(c):
    """What was counted fits together."""
    rows = numbers(c)
    for whole, parts in (("cmd_get", ("get_hits", "get_misses")),
                         ("cmd_touch", ("touch_hits", "touch_misses"))):
        tap.is_(sum(rows[part] for part in parts), rows[whole],
                "%s is %s" % (whole, " and ".join(parts)))
    tap.ok(rows["get_expired"] + rows["get_flushed"] <= rows["get_misses"],
           "what was expired or flushed was a miss", rows)
    tap.note("%d gets, %d sets, %d evictions, %d pages moved, %d refused" % (
        rows["cmd_get"], rows["cmd_set"], rows["evictions"], rows["slabs_moved"],
        rows["store_no_memory"]))
    tap.is_(c.ask(b"stats reset\r\n"), b"RESET\r\n", "stats reset")
    after = numbers(c)
    tap.is_([after[n] for n in ("cmd_get", "get_hits", "cmd_set", "evictions", "total_items")],
            [0] * 5, "and totals are 0 again")


def main():
    """Start, storm, and the count of what is left."""
    program_exists()
    tap.note("SOAK_SEED=%d" % SEED)
    with Server("-m", str(LIMITS[0])) as s:
        board = Board()
        with s.conn() as c:
            eventually(lambda: numbers(c)["curr_connections"], 1)  # that of the start is gone
            empty = s.status("VmRSS") * 1024
            base = gauges(c), descriptors(s), threads(s)
        eventually(lambda: descriptors(s), base[1] - 1)
        missing = [what for what, probe in PROBES if not understands(s, probe)]
        tap.note("not there, and left out: %s" % ", ".join(missing) if missing else
                 "nothing is left out")
        reports, top, seen = storm(s, board)
        if s.proc.poll() is not None:
            tap.ok(False, "the server lives", s.stderr()[-6000:])
            tap.done()
        with s.conn() as c:
            judge(reports, numbers(c)["evictions"])
            tap.is_(eventually(lambda: gauges(c), base[0]), base[0],
                    "connections and buffers are as in the beginning")
            tap.is_(eventually(lambda: descriptors(s), base[1]), base[1],
                    "so are descriptors")
            tap.is_(sorted(seen | {threads(s)}), [base[2]], "no thread came or went")
            figures_match(c)
            items_match(s, c)
        buffers = (reports.get("the operator", [None])[0] or {}).get("buffers", 0)
        tap.ok(SANITIZED or REFERENCE or top <= empty + max(LIMITS) * MIB + BESIDE + buffers,
               "resident memory stays within -m, what connections held and %d MiB" %
               (BESIDE // MIB))
        tap.note("%.1f MiB at most, %.1f when empty, %.1f in buffers of connections" % (
            top / MIB, empty / MIB, buffers / MIB))
    tap.done()


main()
