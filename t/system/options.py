#!/usr/bin/python3
"""The command line, option by option: what starts, what is refused, and in which words.

Each refusal is also asked of Debian's memcached, if it is there: the line that it prints must stand
in what we print.  A row where the two differ says why.
"""

import os
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import (DEADLINE, PROGRAM, REFERENCE, SANITIZED, NotStarted, Server, exits,  # noqa: E402
                    program_exists)

TWIN = "/usr/bin/memcached"
ROOT = os.geteuid() == 0

# Why memcached is not asked, or may say something else.
NUMBER = "memcached reads what is no number as 0"
NOTHING = "memcached looks at neither end of the range"
ABSENT = "what it asks for is not built in"
OVERFLOW = "memcached reads the number into 32 bits"
NEW = "not in 1.6.18"
RESOLVER = "memcached prints the resolver's message on a line of its own"
ZERO = "0 is how ours says: off"
SUFFIX = "memcached stops reading at the suffix"
MACHINE = "memcached ends with a signal"
CRASH = "memcached 1.6.18 dies of stats settings then"

# (arguments, what is said[, why memcached is not compared])
REFUSED = [
    ("-c 0", "Maximum connections must be greater than 0"),
    ("-c -5", "Maximum connections must be greater than 0"),
    ("-c abc", "Maximum connections must be greater than 0"),
    ("--conn-limit=0", "Maximum connections must be greater than 0"),
    ("-R 0", "Number of requests per event must be greater than 0"),
    ("-R abc", "Number of requests per event must be greater than 0"),
    ("-R -1", "Number of requests per event must be greater than 0", NOTHING),
    ("-f 1", "Factor must be greater than 1"),
    ("-f 0.5", "Factor must be greater than 1"),
    ("-f abc", "Factor must be greater than 1"),
    ("-n 0", "Chunk size must be greater than 0"),
    ("-n abc", "Chunk size must be greater than 0"),
    ("-t 0", "Number of threads must be greater than 0"),
    ("-t -1", "Number of threads must be greater than 0"),
    ("-t abc", "Number of threads must be greater than 0"),
    ("--threads=0", "Number of threads must be greater than 0"),
    (("-D", ""), "No delimiter specified"),
    ("-B http", "Invalid value for binding protocol: http\n"
                " -- should be one of auto, binary, or ascii"),
    ("--protocol=http", "Invalid value for binding protocol: http"),
    ("-N 0", "Maximum number of NAPI IDs must be greater than 0"),
    ("-N abc", "Maximum number of NAPI IDs must be greater than 0"),
    ("-N 5", "Number of napi_ids(5) cannot be greater than number of threads(4)"),
    ("-N 2 -t 1", "Number of napi_ids(2) cannot be greater than number of threads(1)"),
    ("-I 1000", "Item max size cannot be less than 1024 bytes."),
    ("-I 0", "Item max size cannot be less than 1024 bytes."),
    ("-I abc", "Item max size cannot be less than 1024 bytes."),
    ("-I 1025m -m 4096", "Cannot set item size limit higher than a gigabyte."),
    ("-I 2g", "Cannot set item size limit higher than a gigabyte.", OVERFLOW),
    ("-I 40m", "Cannot set item size limit higher than 1/2 of memory max."),
    ("-m 1", "Cannot set item size limit higher than 1/2 of memory max."),
    ("-m 0", "Cannot set item size limit higher than 1/2 of memory max."),
    ("-m -1", "Cannot set item size limit higher than 1/2 of memory max.", NOTHING),
    ("-m abc", "memory_limit: 'abc' is not a number of bytes", NUMBER),
    ("-p 65536", "ERROR: Invalid port number 65536."),
    ("-p 70000", "ERROR: Invalid port number 70000."),
    ("-p abc", "port: 'abc' is not a whole number", NUMBER),
    ("-p -2", "port: '-2' is not between -1 and 65535", RESOLVER),
    ("-U 70000 -p 0", "ERROR: Invalid port number 70000.", "memcached looks at -p alone"),
    ("-U abc", "udp_port: 'abc' is not a whole number", NUMBER),
    ("-b abc", "backlog: 'abc' is not a whole number", NUMBER),
    ("-a 999", "unix_mode: '999' is not a number in octal", NUMBER),
    ("-l fooble.invalid", "failed to listen on one of interface(s) fooble.invalid"),
    ("-l 127.0.0.1:abc", 'Invalid port number: "abc"'),
    ("-l 127.0.0.1:99999", 'Invalid port number: "99999"', OVERFLOW),
    ("-l [::1", 'Invalid IPV6 address: "[::1"'),
    ("-l proto[x]:127.0.0.1", 'Invalid protocol spec: "x"', "memcached takes it for a tag"),
    ("-l tag[]:127.0.0.1", 'Listener tags must be between 1 and 8 characters: ""'),
    ("-l tag[toolongtag]:127.0.0.1",
     'Listener tags must be between 1 and 8 characters: "toolongtag"'),
    ("-l btls:127.0.0.1", "TLS is not built in", ABSENT),
    ("-q", "invalid option -- 'q'\nIllegal argument \"?\""),
    ("--nonsense", "unrecognized option '--nonsense'\nIllegal argument \"?\""),
    ("-m", "option requires an argument -- 'm'"),
    ("--threads", "option '--threads' requires an argument"),
    ("-u no-such-user-here", "can't find the user no-such-user-here to switch to"),
    ("-S", "SASL is not built in", ABSENT),
    ("-S -B ascii", "ERROR: You cannot allow the ASCII protocol while using SASL."),
    ("-S -B auto", "ERROR: You cannot allow the ASCII protocol while using SASL."),
    ("-S -U -1", "ERROR: Cannot enable UDP while using binary SASL authentication."),
    ("-Y /dev/null", "authentication is not built in", ABSENT),
    ("-Y /dev/null -B binary",
     "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens."),
    ("-Y /dev/null -U -1", "Cannot use UDP with ascii authentication enabled (-U 0 to disable)"),
    ("-Z", "TLS is not built in", ABSENT),
    ("-e /tmp/none", "memory that survives a restart is not built in", ABSENT),
    ("-s /nonexistent/socket", "failed to listen on UNIX socket"),
    ("-P /nonexistent/pid", "ould not open the pid file", "memcached says so and goes on"),
    ("-o nonsense", 'Illegal suboption "nonsense"'),
    ("-o nonsense=5", 'Illegal suboption "nonsense=5"'),
    ("-o no_nonsense", 'Illegal suboption "no_nonsense"'),
    ("-o no_hashpower", 'Illegal suboption "no_hashpower"'),
    ("-o hashpower=18,,modern", 'Illegal suboption ""'),
    ("-o ,", 'Illegal suboption ""'),
    ("-o hashpower", "Missing numeric argument for hashpower"),
    ("-o hashpower=5", "Initial hashtable multiplier of 5 is too low"),
    ("-o hashpower=11", "Initial hashtable multiplier of 11 is too low"),
    ("-o hashpower=33", "Initial hashtable multiplier of 33 is too high\n"
     'Choose a value based on "STAT hash_power_level" from a running instance'),
    ("-o hashpower=abc", "Initial hashtable multiplier of abc is too low", NUMBER),
    ("-o slab_automove=3", "slab_automove must be between 0 and 2"),
    ("-o slab_automove=-1", "slab_automove must be between 0 and 2"),
    ("-o slab_automove=abc", "slab_automove must be between 0 and 2", NUMBER),
    ("-o slab_automove_ratio", "Missing slab_automove_ratio argument"),
    ("-o slab_automove_ratio=0", "slab_automove_ratio must be > 0 and < 1"),
    ("-o slab_automove_ratio=2", "slab_automove_ratio must be > 0 and < 1"),
    ("-o slab_automove_ratio=abc", "slab_automove_ratio must be > 0 and < 1"),
    ("-o slab_automove_window", "Missing slab_automove_window argument"),
    ("-o slab_automove_window=2", "slab_automove_window must be > 2"),
    ("-o slab_automove_window=abc", "slab_automove_window must be > 2"),
    ("-o slab_automove_window=1801", "slab_automove_window: '1801' is not between 3 and 1800", NEW),
    ("-o slab_automove_freeratio", "Missing slab_automove_freeratio argument"),
    ("-o slab_automove_freeratio=abc", "could not parse argument to slab_automove_freeratio"),
    ("-o tail_repair_time", "Missing numeric argument for tail_repair_time"),
    ("-o tail_repair_time=9", "Cannot set tail_repair_time to less than 10 seconds"),
    ("-o tail_repair_time=abc", "Cannot set tail_repair_time to less than 10 seconds"),
    ("-o hash_algorithm", "Missing hash_algorithm argument"),
    ("-o hash_algorithm=md5", "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"),
    ("-o lru_crawler_sleep", "Missing lru_crawler_sleep value"),
    ("-o lru_crawler_sleep=1000001", "LRU crawler sleep must be between 0 and 1 second"),
    ("-o lru_crawler_sleep=-1", "LRU crawler sleep must be between 0 and 1 second"),
    ("-o lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value"),
    ("-o lru_crawler_tocrawl=abc", "lru_crawler_tocrawl takes a numeric 32bit value"),
    ("-o lru_crawler_tocrawl=4294967296", "lru_crawler_tocrawl takes a numeric 32bit value",
     OVERFLOW),
    ("-o hot_lru_pct", "Missing hot_lru_pct argument"),
    ("-o hot_lru_pct=0", "hot_lru_pct must be > 1 and < 80"),
    ("-o hot_lru_pct=80", "hot_lru_pct must be > 1 and < 80"),
    ("-o hot_lru_pct=abc", "hot_lru_pct must be > 1 and < 80"),
    ("-o warm_lru_pct", "Missing warm_lru_pct argument"),
    ("-o warm_lru_pct=0", "warm_lru_pct must be > 1 and < 80"),
    ("-o warm_lru_pct=90", "warm_lru_pct must be > 1 and < 80"),
    ("-o hot_lru_pct=50,warm_lru_pct=50",
     "hot_lru_pct + warm_lru_pct cannot be more than 80% combined"),
    ("-o hot_lru_pct=41", "hot_lru_pct + warm_lru_pct cannot be more than 80% combined"),
    ("-o hot_max_factor", "Missing hot_max_factor argument"),
    ("-o hot_max_factor=0", "hot_max_factor must be > 0"),
    ("-o hot_max_factor=abc", "hot_max_factor must be > 0"),
    ("-o warm_max_factor", "Missing warm_max_factor argument"),
    ("-o warm_max_factor=-1", "warm_max_factor must be > 0"),
    ("-o temporary_ttl", "Missing temporary_ttl argument"),
    ("-o temporary_ttl=abc", "temporary_ttl: 'abc' is not a whole number", NUMBER),
    ("-o temporary_ttl=60,no_lru_maintainer", "temporary_ttl requires lru_maintainer to be enabled"),
    ("-o no_lru_maintainer,temporary_ttl=60", "temporary_ttl requires lru_maintainer to be enabled"),
    ("-o no_modern,temporary_ttl=60", "temporary_ttl requires lru_maintainer to be enabled"),
    ("-o idle_timeout", "Missing numeric argument for idle_timeout"),
    ("-o idle_timeout=abc", "idle_timeout: 'abc' is not a time", NUMBER),
    ("-o watcher_logbuf_size", "Missing watcher_logbuf_size argument"),
    ("-o watcher_logbuf_size=abc", "could not parse argument to watcher_logbuf_size"),
    ("-o watcher_logbuf_size=-1", "could not parse argument to watcher_logbuf_size"),
    ("-o worker_logbuf_size", "Missing worker_logbuf_size argument"),
    ("-o worker_logbuf_size=abc", "could not parse argument to worker_logbuf_size"),
    ("-o read_buf_mem_limit", "Missing read_buf_mem_limit argument"),
    ("-o read_buf_mem_limit=abc", "could not parse argument to read_buf_mem_limit"),
    ("-o read_buf_mem_limit=-1", "could not parse argument to read_buf_mem_limit"),
    ("-o sock_cookie_id", "option -o sock_cookie_id needs a value", MACHINE),
    ("-o ext_path=/tmp/x:64m", "option -o ext_path is not supported", ABSENT),
    ("-o ext_page_size", "Missing ext_page_size argument"),
    ("-o ext_page_size=abc", "could not parse argument to ext_page_size"),
    ("-o ext_wbuf_size", "Missing ext_wbuf_size argument"),
    ("-o ext_wbuf_size=abc", "could not parse argument to ext_wbuf_size"),
    ("-o ext_threads", "Missing ext_threads argument"),
    ("-o ext_threads=abc", "could not parse argument to ext_threads"),
    ("-o ext_io_depth", "Missing ext_io_depth argument"),
    ("-o ext_item_size", "Missing ext_item_size argument"),
    ("-o ext_item_size=abc", "could not parse argument to ext_item_size"),
    ("-o ext_item_age", "Missing ext_item_age argument"),
    ("-o ext_low_ttl", "Missing ext_low_ttl argument"),
    ("-o ext_recache_rate", "Missing ext_recache_rate argument"),
    ("-o ext_compact_under", "Missing ext_compact_under argument"),
    ("-o ext_drop_under", "Missing ext_drop_under argument"),
    ("-o ext_max_frag", "Missing ext_max_frag argument"),
    ("-o ext_max_frag=abc", "could not parse argument to ext_max_frag"),
    ("-o ext_max_sleep", "Missing ext_max_sleep argument"),
    ("-o ssl_chain_cert", "Missing ssl_chain_cert argument"),
    ("-o ssl_key", "Missing ssl_key argument"),
    ("-o ssl_verify_mode", "Missing ssl_verify_mode argument"),
    ("-o ssl_verify_mode=abc", "could not parse argument to ssl_verify_mode"),
    ("-o ssl_verify_mode=4", "Invalid ssl_verify_mode. Use help to see valid options."),
    ("-o ssl_keyformat", "Missing ssl_keyformat argument"),
    ("-o ssl_ciphers", "Missing ssl_ciphers argument"),
    ("-o ssl_ca_cert", "Missing ssl_ca_cert argument"),
    ("-o ssl_wbuf_size", "Missing ssl_wbuf_size argument"),
    ("-o ssl_wbuf_size=abc", "could not parse argument to ssl_wbuf_size"),
    ("-o ssl_min_version", "Missing ssl_min_version argument"),
    ("-o ssl_min_version=4", "Invalid ssl_min_version. Use help to see valid options."),
    ("-o proxy_config=x", "option -o proxy_config is not supported", ABSENT),
]

# (arguments, rows of "stats settings" that show it[, why memcached is not compared])
STARTS = [
    ("-c 100", {"maxconns": "100"}), ("--conn-limit=100", {"maxconns": "100"}),
    ("-t 2", {"num_threads": "2"}), ("-t 64", {"num_threads": "64"}),
    ("-t 96", {"num_threads": "64"}, "memcached starts them all, with a warning"),
    ("--threads=2", {"num_threads": "2"}),
    ("-m 100", {"maxbytes": "104857600"}), ("--memory-limit=100", {"maxbytes": "104857600"}),
    ("-M", {"evictions": "off"}), ("--disable-evictions", {"evictions": "off"}),
    ("-I 2m", {"item_size_max": "2097152"}), ("-I 512k", {"item_size_max": "524288"}),
    ("--max-item-size=4194304", {"item_size_max": "4194304"}),
    ("-I 1024m -m 4096", {"item_size_max": "1073741824"}),
    ("-f 1.5", {"growth_factor": "1.50"}), ("--slab-growth-factor=2", {"growth_factor": "2.00"}),
    ("-n 96", {"chunk_size": "96"}), ("--slab-min-size=64", {"chunk_size": "64"}),
    ("-R 5", {"reqs_per_event": "5"}), ("--max-reqs-per-event=7", {"reqs_per_event": "7"}),
    ("-b 77", {"tcp_backlog": "77"}), ("--listen-backlog=78", {"tcp_backlog": "78"}),
    ("-b -1", {"tcp_backlog": "-1"}),
    ("-B ascii", {"binding_protocol": "ascii"}),
    ("-B auto", {"binding_protocol": "auto-negotiate"}),
    ("-C", {"cas_enabled": "no"}), ("--disable-cas", {"cas_enabled": "no"}),
    ("-D /", {"stat_key_prefix": "/", "detail_enabled": "yes"}), ("-D abc", {"stat_key_prefix": "a"}),
    ("-v", {"verbosity": "1"}), ("-vv", {"verbosity": "2"}), ("-v -v", {"verbosity": "2"}),
    ("-vvv", {"verbosity": "3"}),
    ("-F", {"flush_enabled": "no"}), ("--disable-flush-all", {"flush_enabled": "no"}),
    ("-X", {"dump_enabled": "no"}), ("--disable-dumping", {"dump_enabled": "no"}),
    ("-W", {}), ("--disable-watch", {}),
    ("-A", {"shutdown_command": "yes"}), ("--enable-shutdown", {"shutdown_command": "yes"}),
    ("-N 4", {"num_napi_ids": "4"}, CRASH), ("-N 3", {"num_napi_ids": "3"}, CRASH),
    ("-t 2 -N 2", {"num_napi_ids": "2"}, CRASH),
    ("-L -m 64", {}), ("-k", {}), ("--lock-memory", {}), ("-r", {}), ("--enable-coredumps", {}),
    ("-U -1", {"udpport": "-1"}), ("-a 770", {"umask": "770"}),
    ("-l 127.0.0.1,127.0.0.2", {"inter": "127.0.0.1,127.0.0.2"}),
    ("-l notls:127.0.0.1", {"inter": "notls:127.0.0.1"}, "memcached wants TLS to be on"),
    ("-l tag[abc]:127.0.0.1", {}), ("-l proto[ascii]:127.0.0.1", {}),
    ("-l 127.0.0.1;127.0.0.2", {}),
    ("-o maxconns_fast", {"maxconns_fast": "yes"}), ("-o no_maxconns_fast", {"maxconns_fast": "no"}),
    ("-o maxconns_fast=5", {"maxconns_fast": "yes"}),
    ("-o hashpower=18", {"hashpower_init": "18"}), ("--extended=hashpower=17",
                                                    {"hashpower_init": "17"}),
    ("-o no_hashexpand", {}), ("-o hash_algorithm=murmur3", {"hash_algorithm": "murmur3"}),
    ("-o hash_algorithm=jenkins", {"hash_algorithm": "jenkins"}), ("-o hash_algorithm=xxh3", {}),
    ("-o slab_reassign", {"slab_reassign": "yes"}), ("-o no_slab_reassign", {"slab_reassign": "no"}),
    ("-o slab_automove", {"slab_automove": "1"}), ("-o slab_automove=2", {"slab_automove": "2"}),
    ("-o no_slab_automove", {"slab_automove": "0"}),
    ("-o slab_automove_ratio=0.5", {"slab_automove_ratio": "0.50"}),
    ("-o slab_automove_ratio=0.001", {"slab_automove_ratio": "0.00"}),
    ("-o slab_automove_window=30", {"slab_automove_window": "30"}),
    ("-o slab_automove_freeratio=0.02", {}), ("-o slab_automove_freeratio=2", {}),
    ("-o no_chunked_items", {}), ("-o tail_repair_time=10", {"tail_repair_time": "10"}),
    ("-o lru_crawler", {"lru_crawler": "yes"}), ("-o no_lru_crawler", {"lru_crawler": "no"}),
    ("-o lru_crawler_sleep=0", {"lru_crawler_sleep": "0"}),
    ("-o lru_crawler_sleep=1000000", {"lru_crawler_sleep": "1000000"}),
    ("-o lru_crawler_tocrawl=9", {"lru_crawler_tocrawl": "9"}),
    ("-o lru_maintainer", {"lru_maintainer_thread": "yes", "lru_segmented": "yes"}),
    ("-o no_lru_maintainer", {"lru_maintainer_thread": "no", "lru_segmented": "no"}),
    ("-o hot_lru_pct=10,warm_lru_pct=70", {"hot_lru_pct": "10", "warm_lru_pct": "70"}),
    ("-o hot_max_factor=0.5", {"hot_max_factor": "0.50"}),
    ("-o warm_max_factor=3", {"warm_max_factor": "3.00"}),
    ("-o temporary_ttl=30", {"temporary_ttl": "30", "temp_lru": "yes"}),
    ("-o no_modern,lru_maintainer,temporary_ttl=30", {"temp_lru": "yes"}),
    ("-o idle_timeout=60", {"idle_timeout": "60"}),
    ("-o watcher_logbuf_size=512", {"watcher_logbuf_size": "524288"}),
    ("-o worker_logbuf_size=32", {"worker_logbuf_size": "32768"},
     "memcached 1.6.18 takes it for slab_sizes as well"),
    ("-o track_sizes", {"track_sizes": "yes"}),
    ("-o read_buf_mem_limit=8", {"read_buf_mem_limit": "8388608"}),
    ("-o resp_obj_mem_limit=8", {}), ("-o resp_obj_mem_limit", {}),
    ("-o inline_ascii_resp", {}), ("-o no_inline_ascii_resp", {}),
    ("-o modern", {}), ("-o drop_privileges", {}), ("-o no_drop_privileges", {}),
    ("-o no_modern", {"lru_segmented": "no", "lru_crawler": "no", "lru_maintainer_thread": "no",
                      "slab_reassign": "no", "slab_automove": "0", "maxconns_fast": "no",
                      "hash_algorithm": "jenkins"}),
    ("-o modern,no_modern", {"lru_segmented": "no"}), ("-o sock_cookie_id=5", {}),
    ("-o relaxed_privileges", {}, NEW),
    ("-o ext_page_size=64,ext_wbuf_size=4,ext_threads=1,ext_io_depth=1,ext_item_size=512", {}),
    ("-o ext_item_age=1,ext_low_ttl=1,ext_recache_rate=1,ext_compact_under=1,ext_drop_under=1", {}),
    ("-o ext_max_frag=0.5,ext_max_sleep=5,ext_drop_unread", {}),
    ("-o ssl_chain_cert=a,ssl_key=b,ssl_keyformat=1,ssl_verify_mode=3,ssl_ciphers=c,ssl_ca_cert=d",
     {}),
    ("-o ssl_wbuf_size=16,ssl_session_cache,ssl_kernel_tls,ssl_min_version=2", {}),
    ("-o proxy_arg=x,proxy_uring,proxy_memprofile", {}, NEW),
    ("-o hashpower=18, -o track_sizes", {"hashpower_init": "18", "track_sizes": "yes"}),
    (("-o", ""), {}),
]


def arguments(row):
    """The row's arguments as a list."""
    return row.split() if isinstance(row, str) else list(row)


def run(program, args):
    """Runs a program that should end by itself: (exit code or None, what it said)."""
    command = [program]
    if ROOT and "-u" not in args:
        command += ["-u", "root"]
    if not any(a in ("-p", "-U") or a.startswith("--port") for a in args) or "-1" in args:
        command += ["-p", "-1"] if "-p" not in args else []
    if "-l" not in args:
        command += ["-l", "127.0.0.1"]
    proc = subprocess.Popen(command + args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    try:
        said, _ = proc.communicate(timeout=DEADLINE)
        return proc.returncode, said.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        proc.kill()
        said, _ = proc.communicate()
        return None, "still running after %g s: %s" % (DEADLINE, said)


def refused():
    """Each wrong option ends the start with memcached's words."""
    for row in REFUSED:
        args, want = arguments(row[0]), row[1]
        why = row[2] if len(row) > 2 else None
        name = "refused: " + " ".join(args)
        if "-u" in args and not ROOT:
            tap.skip(name, "only root may change the user")
            continue
        if not REFERENCE:
            code, said = run(PROGRAM, args)
            tap.ok(code is not None and code > 0 and want in said, name,
                   "code %s: %s\nwanted: %s" % (code, said, want))
        if why is not None or not os.access(TWIN, os.X_OK):
            if REFERENCE:
                tap.skip(name, why)
            continue
        code, said = run(TWIN, args)
        tap.ok(code is not None and code > 0 and want in said, "memcached too: " + " ".join(args),
               "code %s: %s\nwanted: %s" % (code, said, want))


def starts():
    """Each right option starts, and shows where memcached shows it."""
    for row in STARTS:
        args, want = arguments(row[0]), row[1]
        if REFERENCE and len(row) > 2:
            tap.skip("starts: " + " ".join(args), row[2])
            continue
        try:
            with Server(*args) as s, s.conn() as c:
                settings = c.stats(b"settings")
        except (NotStarted, ValueError) as error:
            tap.ok(False, "starts: " + " ".join(args), error)
            continue
        tap.is_({key: settings.get(key) for key in want}, want, "starts: " + " ".join(args))


def limits():
    """-r, -k, -L, -c do to the process what they say."""
    def proc_limit(pid, name):
        with open("/proc/%d/limits" % pid) as lines:
            for line in lines:
                if line.startswith(name):
                    return re.split(r"  +", line.strip())[1:3]
        return None

    with Server("-r") as s:
        soft, hard = proc_limit(s.pid, "Max core file size")
        tap.is_(soft, hard, "-r raises the limit for core files")
    with Server("-c", "300") as s:
        soft = proc_limit(s.pid, "Max open files")[0]
        tap.ok(soft == "unlimited" or int(soft) >= 300, "-c leaves room for descriptors", soft)
    with Server("-k") as s:
        locked = s.status("VmLck")
        if locked == 0 and (not ROOT or "mlockall() failed" in s.stderr()):
            tap.ok("mlockall() failed" in s.stderr() or REFERENCE,
                   "-k says that it may not lock memory", s.stderr())
        else:
            # A sanitizer's mlockall() only says that it did.
            tap.ok(locked > 1000 or SANITIZED, "-k locks memory", locked)
    with Server("-L", "-m", "64") as s, s.conn() as c:
        tap.ok(s.status("VmRSS") > 60 * 1024 or REFERENCE, "-L takes all memory at start",
               s.status("VmRSS"))
        tap.ok(c.ask(b"cache_memlimit 100\r\n").startswith(b"MEMLIMIT_ADJUST_FAILED"),
               "and cannot take more")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    tap.note("descriptors: at most %s here" % hard)


def questions():
    """-h, -V and -i answer and end with 0; -h names what is built in, and nothing else."""
    for option in ("-h", "-V", "-i", "--help", "--version", "--license"):
        code, said = exits(option)
        tap.ok(code == 0 and said.strip(), "%s answers" % option, (code, said[:200]))
    helped = exits("-h")[1]
    tap.ok("unix-socket" in helped, "-h names unix-socket, which there is")
    if not REFERENCE:
        for feature, args in (("enable-ssl", "-Z"), ("enable-sasl", "-S"),
                              ("auth-file", "-Y /dev/null"), ("memory-file", "-e /tmp/none")):
            there = "not built in" not in exits("-l", "127.0.0.1", "-p", "-1", *args.split())[1]
            tap.is_(feature in helped, there, "-h names %s if it is built in" % feature)
        tap.ok("udp-port" in helped, "-h names udp-port")
    tap.ok(re.search(r"1\.6\.\d+", exits("-V")[1]), "-V says which memcached it is")


def napi():
    """-N: connections without a network queue are dealt in turn, and counted."""
    for args, want in (((), "0"), (("-N", "4"), "3"), (("-N", "2"), "3")):
        with Server(*args) as s, s.conn() as c:
            before = int(c.stats()["round_robin_fallback"])
            for _ in range(3):
                with s.conn() as d:
                    d.ask(b"mn\r\n")
            stats = c.stats()
            tap.is_(str(int(stats["round_robin_fallback"]) - before), want,
                    "%s: round_robin_fallback" % (" ".join(args) or "no -N"))
            tap.is_(stats["unexpected_napi_ids"], "0", "and unexpected_napi_ids")


if __name__ == "__main__":
    program_exists()
    tap.run([refused, starts, limits, questions, napi])
