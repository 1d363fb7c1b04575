#!/usr/bin/python3
"""Statistics: which keys in which order, what their values are, what moves which counter."""

import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import NEW, OURS, REFERENCE, Server, pattern, program_exists, rows  # noqa: E402

HEAD = """pid uptime time version libevent pointer_size rusage_user rusage_system max_connections
curr_connections total_connections rejected_connections connection_structures response_obj_oom
response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom
reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses
cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors
bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num
time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes
hash_is_expanding""".split()
REASSIGN = """slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_inline_reclaim
slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem
slab_reassign_last_busy_status slab_reassign_running slabs_moved""".split()
REASSIGN_18 = """slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_evictions_nomem
slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes
slab_reassign_running slabs_moved""".split()
CRAWLER = ["lru_crawler_running", "lru_crawler_starts"]
JUGGLES = ["lru_maintainer_juggles"]
LOG = """malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent
log_watchers unexpected_napi_ids round_robin_fallback""".split()
ITEMS = """bytes curr_items total_items slab_global_page_pool expired_unfetched
evicted_unfetched""".split()
TAIL = "evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked".split()
MOVES = "moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped".split()

SETTINGS = """maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask
shutdown_command growth_factor chunk_size num_threads num_threads_per_udp stat_key_prefix
detail_enabled reqs_per_event cas_enabled tcp_backlog binding_protocol auth_enabled_sasl
auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign slab_automove
slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep
lru_crawler_tocrawl tail_repair_time flush_enabled dump_enabled hash_algorithm
lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor temp_lru
temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size read_buf_mem_limit track_sizes
inline_ascii_response num_napi_ids memory_file client_flags_size""".split()
# These stand in "stats settings" only if the feature was built in.
BUILT_IN = ("ext_", "ssl_", "proxy_", "drop_privileges", "slab_automove_freeratio")

CLASS_ITEMS = """number number_hot number_warm number_cold age_hot age_warm age mem_requested
evicted evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched
evicted_unfetched evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked
moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot hits_to_warm
hits_to_cold hits_to_temp""".split()
CLASS_SLABS = """chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks
free_chunks_end get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval
touch_hits""".split()

COUNTED = """cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses get_expired
get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits cas_misses
cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory curr_items
total_items auth_cmds auth_errors evictions""".split()


def keys(s):
    """The names of every list and their order."""
    reassign = REASSIGN_18 if REFERENCE else REASSIGN
    with s.conn() as c:
        want = HEAD + reassign + CRAWLER + JUGGLES + LOG + ITEMS + ["evicted_active"] + TAIL + MOVES
        got = c.stats()
        tap.is_(list(got), want, "names and order of stats")
        tap.is_(len(got), 92 if REFERENCE else 93, "how many")
        tap.is_([k for k in c.stats(b"settings") if not k.startswith(BUILT_IN)],
                SETTINGS[:-1] if REFERENCE else SETTINGS, "names and order of stats settings")
        tap.is_(c.ask(b"stats items\r\n", b"END\r\n"), b"END\r\n", "stats items of an empty cache")
        tap.is_(list(c.stats(b"slabs")), ["active_slabs", "total_malloced"],
                "stats slabs of an empty cache")
        c.set(b"small", b"x")
        c.set(b"big", b"x" * 5000)
        classes = sorted({int(k.split(":")[1]) for k in c.stats(b"items")})
        tap.is_(len(classes), 2, "two classes in use")
        tap.is_(list(c.stats(b"items")), ["items:%d:%s" % (i, k) for i in classes
                                          for k in CLASS_ITEMS],
                "names and order of stats items")
        tap.is_(list(c.stats(b"slabs")), ["%d:%s" % (i, k) for i in classes for k in CLASS_SLABS]
                + ["active_slabs", "total_malloced"], "names and order of stats slabs")
        tap.is_(c.ask(b"stats sizes\r\n", b"END\r\n"), b"STAT sizes_status disabled\r\nEND\r\n",
                "stats sizes")
        rest = [k for k, v in got.items() if not v.replace(".", "").replace("-", "").isalnum()]
        tap.ok(not rest, "no empty or odd values", rest)


def fewer(args, gone):
    """What options take away from stats."""
    with Server(*args) as s, s.conn() as c:
        reassign = REASSIGN_18 if REFERENCE else REASSIGN
        want = [k for k in HEAD + reassign + CRAWLER + JUGGLES + LOG + ITEMS + ["evicted_active"]
                + TAIL + MOVES
                if k not in gone]
        tap.is_(list(c.stats()), want, "stats under " + " ".join(args))


def option_keys():
    """Keys that options add and remove."""
    gone = CRAWLER + JUGGLES + MOVES + ["evicted_active"]
    fewer(("-o", "no_lru_crawler,no_lru_maintainer"), gone)
    fewer(("-o", "no_slab_reassign,slab_automove=0"), REASSIGN_18 + REASSIGN)
    with Server("-o",
                "idle_timeout=100,no_maxconns_fast,track_sizes,temporary_ttl=30") as s, \
            s.conn() as c:
        names = list(c.stats())
        tap.is_(names[names.index("auth_errors") + 1], "idle_kicks", "idle_timeout adds idle_kicks")
        tap.ok("rejected_connections" not in names, "no_maxconns_fast removes rejected_connections")
        c.set(b"a", b"x")
        c.set(b"b", b"x")
        tap.is_(c.ask(b"stats sizes\r\n", b"END\r\n"), pattern(rb"STAT \d+ 2\r\nEND\r\n"),
                "track_sizes fills stats sizes")
        tap.ok("items:1:number_temp" in c.stats(b"items"), "temporary_ttl adds number_temp")


def values():
    """Values that programs read."""
    with Server("-m", "100", "-c", "333", "-t", "3") as s, s.conn() as c:
        stats = c.stats()
        tap.is_(stats["pid"], str(s.pid), "pid")
        tap.between(int(stats["uptime"]), 0, 5, "uptime")
        tap.between(int(stats["time"]) - time.time(), -3, 3, "time")
        tap.is_(b"VERSION %s\r\n" % stats["version"].encode(), c.ask(b"version\r\n"), "version")
        for key, want in (("pointer_size", "64"), ("max_connections", "333"),
                          ("limit_maxbytes", str(100 << 20)),
                          ("threads", "3"), ("accepting_conns", "1"), ("curr_items", "0"),
                          ("bytes", "0")):
            tap.is_(stats[key], want, key)
        for key in ("rusage_user", "rusage_system"):
            tap.is_(stats[key].encode(), pattern(rb"\d+\.\d{6}"), key)
        until = time.monotonic() + 5
        while c.stats()["curr_connections"] != "1" and time.monotonic() < until:
            time.sleep(0.02)  # the connection that found the server up may still be closing
        stats = c.stats()
        before = int(stats["curr_connections"]), int(stats["total_connections"])
        others = [s.conn() for _ in range(10)]
        for other in others:
            other.ask(b"mn\r\n")
        stats = c.stats()
        tap.is_((int(stats["curr_connections"]) - before[0],
                 int(stats["total_connections"]) - before[1]), (10, 10),
                "curr_connections and total_connections")
        for other in others:
            other.close()
        until = time.monotonic() + 5
        while int(c.stats()["curr_connections"]) != before[0] and time.monotonic() < until:
            time.sleep(0.02)
        tap.is_(int(c.stats()["curr_connections"]), before[0], "closing lowers curr_connections")
        settings = c.stats(b"settings")
        for key, want in {"maxbytes": str(100 << 20), "maxconns": "333", "num_threads": "3",
                          "udpport": "0",
                          "inter": "127.0.0.1", "verbosity": "0", "evictions": "on",
                          "domain_socket": "NULL",
                          "umask": "700", "shutdown_command": "no", "growth_factor": "1.25",
                          "chunk_size": "48",
                          "stat_key_prefix": ":", "detail_enabled": "no", "reqs_per_event": "20",
                          "cas_enabled": "yes",
                          "tcp_backlog": "1024", "binding_protocol": "auto-negotiate",
                          "auth_enabled_sasl": "no",
                          "auth_enabled_ascii": "no", "item_size_max": "1048576",
                          "maxconns_fast": "yes",
                          "slab_reassign": "yes", "slab_automove": "1", "slab_chunk_max": "524288",
                          "lru_crawler": "yes",
                          "tail_repair_time": "0", "flush_enabled": "yes", "dump_enabled": "yes",
                          "lru_maintainer_thread": "yes", "lru_segmented": "yes",
                          "hot_lru_pct": "20",
                          "warm_lru_pct": "40", "hot_max_factor": "0.20", "warm_max_factor": "2.00",
                          "temp_lru": "no",
                          "temporary_ttl": "61", "idle_timeout": "0",
                          "watcher_logbuf_size": "262144",
                          "worker_logbuf_size": "65536", "track_sizes": "no"}.items():
            tap.is_(settings.get(key), want, "settings: " + key)
    with Server("-M", "-R", "7", "-b", "99", "-C", "-B", "ascii", "-I", "2m", "-F", "-X", "-A",
                "-D", "/", "-n", "64",
                "-f", "1.5", "-vv", "-o",
                "idle_timeout=9,hashpower=17,lru_crawler_sleep=50,hot_lru_pct=30") as s, \
            s.conn() as c:
        settings = c.stats(b"settings")
        for key, want in {"evictions": "off", "reqs_per_event": "7", "tcp_backlog": "99",
                          "cas_enabled": "no",
                          "binding_protocol": "ascii", "item_size_max": "2097152",
                          "flush_enabled": "no",
                          "dump_enabled": "no", "shutdown_command": "yes", "stat_key_prefix": "/",
                          "detail_enabled": "yes", "chunk_size": "64", "growth_factor": "1.50",
                          "verbosity": "2",
                          "idle_timeout": "9", "hashpower_init": "17", "lru_crawler_sleep": "50",
                          "hot_lru_pct": "30"}.items():
            tap.is_(settings.get(key), want, "settings as given: " + key)
        tap.is_(c.ask(b"gets a\r\n"), b"END\r\n", "a miss under -C")
        c.set(b"a", b"x")
        tap.is_(c.ask(b"gets a\r\n", b"END\r\n"), pattern(rb"VALUE a 0 1( 0)?\r\nx\r\nEND\r\n"),
                "no cas number under -C")


# (name, request, what each counter grows by); counters that are not named must stand still.
MOVED = [
    ("set", b"set a 0 0 1\r\n1\r\n", dict(cmd_set=1, curr_items=1, total_items=1)),
    ("set over it", b"set a 0 0 1\r\n1\r\n", dict(cmd_set=1, total_items=1)),
    ("get of two hits and a miss", b"get a a no\r\n", dict(cmd_get=3, get_hits=2, get_misses=1)),
    ("gets", b"gets a\r\n", dict(cmd_get=1, get_hits=1)),
    ("gat hit and miss", b"gat 0 a no\r\n", dict(cmd_touch=2, touch_hits=1, touch_misses=1)),
    ("touch hit and miss", b"touch a 0\r\ntouch no 0\r\n",
     dict(cmd_touch=2, touch_hits=1, touch_misses=1)),
    ("add that fails", b"add a 0 0 1\r\n1\r\n", dict(cmd_set=1)),
    ("replace that fails", b"replace no 0 0 1\r\n1\r\n", dict(cmd_set=1)),
    ("replace", b"replace a 0 0 1\r\n1\r\n", dict(cmd_set=1, total_items=1)),
    ("append", b"append a 0 0 1\r\n1\r\n", dict(cmd_set=1, total_items=1)),
    ("append that fails", b"append no 0 0 1\r\n1\r\n", dict(cmd_set=1)),
    ("cas on a miss", b"cas no 0 0 1 5\r\n1\r\n", dict(cmd_set=1, cas_misses=1)),
    ("cas with a wrong number", b"cas a 0 0 1 0\r\n1\r\n", dict(cmd_set=1, cas_badval=1)),
    ("incr hit and miss", b"incr a 1\r\nincr no 1\r\n", dict(incr_hits=1, incr_misses=1)),
    ("decr hit and miss", b"decr a 1\r\ndecr no 1\r\n", dict(decr_hits=1, decr_misses=1)),
    ("delete hit and miss", b"delete a\r\ndelete a\r\n",
     dict(delete_hits=1, delete_misses=1, curr_items=-1)),
    ("noreply counts as well", b"set a 0 0 1 noreply\r\n1\r\n",
     dict(cmd_set=1, curr_items=1, total_items=1)),
    ("bad data chunk", b"set a 0 0 1\r\n111mn\r\n", None),
    ("too large", b"set big 0 0 1100000\r\n" + b"v" * 1100000 + b"\r\n", dict(store_too_large=1)),
    ("mg hit and miss", b"mg a v\r\nmg no v\r\n", dict(cmd_get=2, get_hits=1, get_misses=1)),
    ("mg with T", b"mg a T0\r\n", dict(cmd_touch=1, touch_hits=1)),
    ("mg vivify", b"mg viv N0 v\r\n", dict(cmd_get=1, get_hits=1, curr_items=1, total_items=1),
     OURS),
    ("ms", b"ms m 1\r\n1\r\n", dict(cmd_set=1, curr_items=1, total_items=1)),
    ("ma", b"ma m\r\nma m MD\r\nma no\r\n", dict(incr_hits=1, decr_hits=1, incr_misses=1)),
    ("md I", b"md m I\r\n", dict()),
    ("md", b"md m\r\nmd m\r\n", dict(delete_hits=1, delete_misses=1, curr_items=-1)),
    ("me", b"me a\r\n", dict(cmd_meta=1)),
    ("mn, version, verbosity", b"mn\r\nversion\r\nverbosity 0\r\n", dict()),
    ("a read of what has expired", b"set ex 0 -1 1\r\n1\r\nget ex\r\n",
     dict(cmd_set=1, total_items=1, cmd_get=1, get_misses=1, get_expired=1)),
    ("flush_all", b"flush_all 1000\r\n", dict(cmd_flush=1)),
    ("a wrong command", b"nonsense\r\nget\r\n", dict()),
]


def counters():
    """What moves which counter."""
    with Server() as s, s.conn() as c:
        c.ask(b"mn\r\n")
        for row in MOVED:
            name, request, want = row[:3]
            if want is None or (REFERENCE and len(row) > 3):
                s.once(request)
                continue
            before = c.stats()
            s.once(request)
            after = c.stats()
            got = {k: int(after[k]) - int(before[k]) for k in COUNTED if after[k] != before[k]}
            tap.is_(got, want, "moved by " + name)
        before = c.stats()
        request = b"get a\r\nset a 0 0 3\r\nabc\r\n"
        answer = s.once(request)
        after = c.stats()
        tap.is_(int(after["bytes_read"]) - int(before["bytes_read"]),
                len(request) + len(b"stats\r\n"), "bytes_read")
        tap.ok(int(after["bytes_written"]) - int(before["bytes_written"]) >= len(answer),
               "bytes_written")
        c.ask(b"flush_all\r\n")
        time.sleep(1.1)
        before = c.stats()
        c.set(b"f", b"1")
        time.sleep(1.1)
        c.ask(b"flush_all\r\n")
        c.get(b"f")
        tap.ok(int(c.stats()["get_misses"]) == int(before["get_misses"]) + 1,
               "a read of what was flushed misses")
        first = c.stats()
        tap.is_(c.ask(b"stats reset\r\n"), b"RESET\r\n", "stats reset")
        c.set(b"r", b"1")
        stats = c.stats()
        left = {k: stats[k] for k in COUNTED if k != "curr_items" and int(stats[k]) > 1}
        tap.is_(left, {}, "reset zeroes the counters")
        tap.is_((int(stats["curr_items"]) >= 1, int(stats["total_items"])), (True, 1),
                "but not curr_items")
        tap.is_(stats["curr_connections"], first["curr_connections"], "nor curr_connections")


def per_class():
    """stats items and stats slabs count by class; bytes adds up."""
    with Server("-f", "1.25") as s, s.conn() as c:
        for i in range(50):
            c.set(b"k%02d" % i, b"x")
        for i in range(10):
            c.set(b"b%02d" % i, b"x" * 10000)
        c.ask(b"get k00 k01 b00\r\n", b"END\r\n")
        c.ask(b"delete k49\r\n")
        c.ask(b"touch k00 0\r\n")
        items, slabs = c.stats(b"items"), c.stats(b"slabs")
        small, large = sorted({int(k.split(":")[1]) for k in items})
        tap.is_((items["items:%d:number" % small], items["items:%d:number" % large]), ("49", "10"),
                "number")
        tap.is_((slabs["%d:used_chunks" % small], slabs["%d:used_chunks" % large]), ("49", "10"),
                "used_chunks")
        for key, want in (("get_hits", "2"), ("cmd_set", "50"), ("delete_hits", "1"),
                          ("touch_hits", "1")):
            tap.is_(slabs["%d:%s" % (small, key)], want, "small class: " + key)
        tap.is_((slabs["%d:get_hits" % large], slabs["%d:cmd_set" % large]), ("1", "10"),
                "large class")
        tap.is_(slabs["active_slabs"], "2", "active_slabs")
        tap.is_(int(c.stats()["bytes"]), sum(int(items["items:%d:mem_requested" % i])
                                             for i in (small, large)),
                "mem_requested adds up to bytes")
        for i in (small, large):
            tap.is_(int(slabs["%d:used_chunks" % i]) + int(slabs["%d:free_chunks" % i]),
                    int(slabs["%d:total_chunks" % i]),
                    "class %d: used and free chunks are all" % i)
        tap.is_(small, 1, "the smallest items are in class 1")


def details(s):
    """stats detail."""
    rows(s, [
        ("detail is off", b"stats detail dump\r\n", b"END\r\n"),
        ("detail",
         b"stats detail on\r\n"
         b"set p:1 0 0 1\r\nx\r\nget p:1 p:2\r\ndelete p:1\r\nset q:x:y 0 0 1\r\nx\r\n"
         b"set plain 0 0 1\r\nx\r\nstats detail dump\r\nstats detail off\r\n",
         pattern(rb"OK\r\nSTORED\r\nVALUE p:1 0 1\r\nx\r\nEND\r\nDELETED\r\nSTORED\r\nSTORED\r\n"
                 rb"(PREFIX p get 2 hit 1 set 1 del 1\r\nPREFIX q get 0 hit 0 set 1 del 0\r\n"
                 rb"|PREFIX q get 0 hit 0 set 1 del 0\r\n"
                 rb"PREFIX p get 2 hit 1 set 1 del 1\r\n)END\r\nOK\r\n")),
        ("nothing is counted while off", b"set zz:1 0 0 1\r\nx\r\nstats detail dump\r\n",
         pattern(rb"STORED\r\nPREFIX (?!.*PREFIX zz).*END\r\n")),
        ("stats reset clears the prefixes", b"stats reset\r\nstats detail dump\r\n",
         b"RESET\r\nEND\r\n"),
        ("detail with a wrong word", b"stats detail nonsense\r\n",
         b"CLIENT_ERROR usage: stats detail on|off|dump\r\n"),
        ("detail without a word", b"stats detail\r\n",
         b"CLIENT_ERROR usage: stats detail on|off|dump\r\n"),
    ])


def delimiter():
    """-D: another character ends the prefixes, and counting is on from the start."""
    with Server("-D", "/") as s:
        rows(s, [("-D /",
                  b"set a/1 0 0 1\r\nx\r\nget a/1 b:c/2\r\nget a:b\r\nstats detail dump\r\n",
                  pattern(rb"STORED\r\nVALUE a/1 0 1\r\nx\r\nEND\r\nEND\r\n"
                          rb"(PREFIX (a get 1 hit 1 set 1 del 0|b:c get 1 hit 0 set 0 del 0"
                          rb"|a:b get 1 hit 0 set 0 del 0)\r\n){2,3}END\r\n"))])


def dumps(s):
    """stats cachedump."""
    s.once(b"flush_all\r\nset c1 0 0 1\r\nx\r\nset c2 0 1000 2\r\nxx\r\nset c3 0 0 3\r\nxxx\r\n")
    until = time.monotonic() + 5
    got = b""
    while got.count(b"ITEM") < 3 and time.monotonic() < until:
        got = s.once(b"stats cachedump 1 0\r\n")
        time.sleep(0.1)
    lines = {line.split()[1]: line for line in got.splitlines(True) if line.startswith(b"ITEM c")}
    tap.is_(lines.get(b"c1", b""), pattern(rb"ITEM c1 \[1 b; \d+ s\]\r\n"), "cachedump line")
    tap.is_(lines.get(b"c2", b""),
            pattern(rb"ITEM c2 \[2 b; \d+ s\]\r\n"), "cachedump line with a time")
    end = int((re.findall(rb"; (\d+) s", lines.get(b"c2", b"")) or [b"0"])[0])
    tap.ok(900 < end - time.time() < 1100, "... which is when it ends", end)
    rows(s, [
        ("cachedump with a limit", b"stats cachedump 1 2\r\n",
         pattern(rb"(ITEM [^\n]*\n){2}END\r\n")),
        ("cachedump with a third number", b"stats cachedump 1 0 0\r\n",
         pattern(rb"(ITEM [^\n]*\n){3,}END\r\n")),
        ("cachedump of an empty class", b"stats cachedump 33 0\r\n", b"END\r\n"),
        ("cachedump of class 64", b"stats cachedump 64 0\r\n", b"CLIENT_ERROR Illegal slab id\r\n"),
        ("cachedump without a limit", b"stats cachedump 1\r\n",
         b"CLIENT_ERROR bad command line\r\n"),
        ("cachedump of a word", b"stats cachedump abc 0\r\n",
         pattern(rb"CLIENT_ERROR bad command line( format)?\r\n")),
    ])
    with Server("-X") as closed:
        rows(closed, [("cachedump under -X", b"stats cachedump 1 0\r\n",
                       b"CLIENT_ERROR stats cachedump not allowed\r\n"),
                      ("detail under -X", b"stats detail on\r\n",
                       b"CLIENT_ERROR stats detail not allowed\r\n", NEW)])


def state_of(c, sock, wanted):
    """The state of another connection, which its worker may report a moment later."""
    address = "tcp:127.0.0.1:%d" % sock.getsockname()[1]
    until = time.monotonic() + 2
    while True:
        conns = c.stats(b"conns")
        rows_ = [k.split(":")[0] for k, v in conns.items() if v == address]
        state = conns.get(rows_[0] + ":state") if rows_ else None
        if state in wanted or time.monotonic() > until:
            return state
        time.sleep(0.02)


def connections(s):
    """stats conns."""
    with s.conn() as c, s.conn() as other:
        other.ask(b"mn\r\n")
        conns = c.stats(b"conns")
        address = "tcp:127.0.0.1:%d"
        mine = [k.split(":")[0] for k, v in conns.items() if v == address % c.sock.getsockname()[1]]
        his = [k.split(":")[0] for k, v in conns.items()
               if v == address % other.sock.getsockname()[1]]
        listener = [k.split(":")[0] for k, v in conns.items() if v == "conn_listening"]
        tap.is_((len(mine), len(his), len(listener)), (1, 1, 1),
                "both connections and the listener are listed")
        if mine and his and listener:
            tap.is_([k.split(":")[1] for k in conns if k.split(":")[0] == mine[0]],
                    ["addr", "listen_addr", "state", "secs_since_last_cmd"],
                    "names of a connection")
            tap.is_([k.split(":")[1] for k in conns if k.split(":")[0] == listener[0]],
                    ["addr", "state", "secs_since_last_cmd"], "names of a listener")
            tap.is_(conns[mine[0] + ":listen_addr"], address % s.port, "listen_addr")
            tap.is_(conns[listener[0] + ":addr"], address % s.port, "a listener's addr")
            tap.ok(conns[mine[0] + ":state"] in ("conn_parse_cmd", "conn_new_cmd", "conn_read",
                                                 "conn_mwrite"),
                   "state of the asking connection", conns)
            idle = ("conn_new_cmd", "conn_waiting", "conn_read")
            state = state_of(c, other.sock, idle)
            tap.ok(state in idle, "state of an idle one", state)
            tap.between(int(conns[his[0] + ":secs_since_last_cmd"]), 0, 2, "secs_since_last_cmd")
        other.send(b"set half 0 0 10\r\nabc")
        tap.is_(state_of(c, other.sock, ("conn_nread",)), "conn_nread",
                "state in the middle of a value")


def main():
    """Every function of this file."""
    program_exists()
    with Server() as s:
        for function in (keys, connections, details, dumps):
            tap.guarded(function, s)
    for function in (option_keys, values, counters, per_class, delimiter):
        tap.guarded(function)
    tap.done()


main()
