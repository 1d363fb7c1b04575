#!/usr/bin/python3
"""The process: options, files, signals, exit codes, what an idle server costs."""

import os
import pwd
import select
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from packets import packet  # noqa: E402
from server import (DEADLINE, NEW, OURS, PROGRAM, REFERENCE, SANITIZED, Conn,  # noqa: E402
                    NotStarted, Server, exits, program_exists)

ROOT = os.geteuid() == 0
NOOP = b"\x81\x0a" + bytes(22)

WRONG = [
    (("-B", "http"),), (("-c", "0"),), (("-t", "0"),), (("-I", "1000"),), (("-I", "2g"),),
    (("-f", "1"),), (("-n", "0"),),
    (("-l", "fooble.invalid"),), (("-R", "0"),), (("-b", "abc"), OURS), (("-p", "abc"), OURS),
    (("-p", "65536"), OURS),
    (("-t", "abc"),), (("-c", "abc"),), (("-m", "abc"), OURS), (("-m", "0"), OURS),
    (("-I", "abc"),), (("-I", "40m"),), (("-I", "1500000"),), (("-I", "600k"),),
    (("-o", "nonsense"),), (("-o", "nonsense=5"),), (("-o", "hashpower=5"),),
    (("-o", "hashpower=99"),),
    (("-o", "hashpower"),), (("-o", "hot_lru_pct=50,warm_lru_pct=50"),), (("-o", "hot_lru_pct=0"),),
    (("-o", "slab_automove_window=1"),), (("-o", "slab_automove=7"), OURS),
    (("-o", "hash_algorithm=md5"),),
    (("-o", "temporary_ttl=60,no_lru_maintainer"),), (("-o", "tail_repair_time=5"),),
    (("-o", "lru_crawler_sleep=2000000"),), (("-o", "idle_timeout"),),
    (("-o", "idle_timeout=abc"), OURS),
    (("--nonsense",),), (("-q",),), (("-m",),), (("-u", "no-such-user-here"),),
    (("-a", "999"), OURS),
    (("-Y", "/nonexistent/users"),), (("-S", "-B", "ascii"),), (("--threads=0",),),
    (("--threads",),),
    (("--config=/nonexistent/file",), OURS), (("-p", "0"), OURS),
]


def wrong_options():
    """Each wrong option gives a message and an exit code that is not 0."""
    for row in WRONG:
        args = row[0]
        name = "refuses " + " ".join(args)
        if args[0] == "-u" and not ROOT:
            tap.skip(name, "only root may change the user")
            continue
        if REFERENCE and len(row) > 1:
            tap.skip(name, row[1])
            continue
        place = () if args[0] in ("-p", "-l") else ("-l", "127.0.0.1", "-p", "-1")
        code, said = exits(*(place + args), user=args[0] != "-u")
        tap.ok(code not in (None, 0) and code > 0 and said.strip(), name,
               "code %s: %s" % (code, said))
        if args[:2] == ("-o", "nonsense"):
            tap.ok("nonsense" in said, "and names it", said)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        code, said = exits("-l", "127.0.0.1", "-p", taken.getsockname()[1])
        tap.ok(code not in (None, 0) and said, "refuses a port that is taken",
               "code %s: %s" % (code, said))
    for feature, args in (("enable-ssl", ("-Z",)), ("sasl", ("-S",)),
                          ("auth-file", ("-Y", "/dev/null"))):
        if REFERENCE:
            continue
        code, said = exits("-l", "127.0.0.1", "-p", "-1", *args)
        if code and "not built in" in said:
            helped = exits("-h")[1]
            tap.ok(feature not in helped, "-h does not name %s, which is not built in" % feature)


def questions():
    """-h, -V, -i and long names."""
    code, said = exits("-V")
    tap.ok(code == 0 and "1.6." in said, "-V", "code %s: %s" % (code, said))
    tap.is_(exits("--version"), (code, said), "--version")
    code, said = exits("-h")
    tap.ok(code == 0 and "unix-socket" in said and "-p" in said and "--port" in said, "-h",
           "code %s: %s" % (code, said))
    tap.is_(exits("--help"), (code, said), "--help")
    long_lines = [line for line in said.splitlines() if len(line) > 120]
    tap.ok(not long_lines, "-h fits a terminal", long_lines[:3])
    code, said = exits("-i")
    tap.ok(code == 0 and said, "-i", "code %s: %s" % (code, said))


LONG = ("--memory-limit=128 --conn-limit=200 --threads=2 --max-item-size=2m --listen-backlog=50 "
        "--max-reqs-per-event=9 "
        "--protocol=ascii --disable-evictions --disable-cas --disable-flush-all "
        "--disable-dumping --disable-watch "
        "--enable-shutdown --slab-growth-factor=1.5 --slab-min-size=64 --unix-mask=755 "
        "--udp-port=0 --verbose").split()
EXTENDED = ("maxconns_fast,hashpower=16,hash_algorithm=murmur3,slab_reassign,slab_automove=1,"
            "slab_automove_ratio=0.8,"
            "slab_automove_window=30,lru_crawler,lru_crawler_sleep=100,lru_crawler_tocrawl=0,"
            "lru_maintainer,"
            "hot_lru_pct=20,warm_lru_pct=40,hot_max_factor=0.2,warm_max_factor=2.0,"
            "temporary_ttl=61,idle_timeout=0,"
            "watcher_logbuf_size=256,worker_logbuf_size=64,track_sizes,no_hashexpand,modern,"
            "inline_ascii_resp,"
            "no_inline_ascii_resp,resp_obj_mem_limit=10,read_buf_mem_limit=32,tail_repair_time=10")


def right_options():
    """Whatever memcached takes must be taken."""
    with Server(*LONG) as s:
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "memcached's long options")
        with s.conn() as c:
            settings = c.stats(b"settings")
            tap.is_([settings[k] for k in ("maxbytes", "maxconns", "num_threads", "item_size_max",
                                           "chunk_size")],
                    [str(128 << 20), "200", "2", str(2 << 20), "64"], "and they have an effect")
    with Server("-o", EXTENDED) as s:
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "memcached's -o words")
    with Server("-o", "no_modern") as s:
        tap.is_(s.once(b"set a 0 0 1\r\nx\r\nget a\r\n"), b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
                "-o no_modern")
    with Server("-o", "no_lru_crawler", "-o", "no_slab_reassign,no_maxconns_fast", "-t", "1", "-m",
                "16", "-v") as s:
        tap.is_(s.once(b"set a 0 0 1\r\nx\r\nget a\r\n"), b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
                "-o several times")
    with Server("-f", "1.25", "-n", "48", "-L" if not REFERENCE else "-v", "-r", "-c", "5000") as s:
        with open("/proc/%d/limits" % s.pid) as lines:
            limits = {line[:26].strip(): line[26:].split()[0] for line in lines}
        tap.ok(int(limits["Max open files"]) >= 5000, "-c raises the limit of open files",
               limits["Max open files"])
        tap.ok(limits["Max core file size"] == "unlimited" or int(limits["Max core file size"]) > 0,
               "-r raises that of core files")
    if ROOT:
        with Server("-u", "nobody", user=False) as s:
            tap.is_(s.status("Uid"), pwd.getpwnam("nobody").pw_uid, "-u changes the user")
            tap.is_(s.status("Gid"), pwd.getpwnam("nobody").pw_gid, "and the group")
        # The limit of locked memory that nobody has must not stop the threads from starting.
        with Server("-k", "-u", "nobody", "-t", "4", user=False) as s:
            tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "-k and -u go together")
    else:
        tap.skip("-u changes the user", "not root")


def verbosity():
    """What is said on stderr."""
    with Server() as s:
        s.once(b"set a 0 0 1\r\nx\r\nget a\r\nnonsense\r\n")
        tap.is_(s.stderr(), "", "silent by default")
    with Server("-vv") as s:
        s.once(b"get some-key\x01\r\nnonsense\r\n")
        told(s, r"get some-key\?.\n.*nonsense.\n",
             "-vv shows what clients say, and no byte of theirs as it is")
        told(s, r"clients: <\d+ closed", "-vv shows that they are gone")
    with Server() as s, s.conn() as c:
        c.ask(b"verbosity 2\r\n")
        until = time.monotonic() + DEADLINE
        while "get told" not in s.stderr() and time.monotonic() < until:
            c.ask(b"get told\r\n")  # another thread writes the log, a little later
        tap.ok("get told" in s.stderr(), "verbosity 2 does the same at run time")
        c.ask(b"verbosity 0\r\n")
        c.ask(b"stats\r\n", b"END\r\n")
        tap.is_(c.stats()["log_watchers"], "0", "and nobody watches")


def verbose_flood():
    """A log that cannot keep up leaves lines out instead of keeping clients waiting."""
    if REFERENCE:
        tap.skip("-vv under load", OURS)
        return
    with Server("-vv", "-t", "2") as s:
        quiet = [s.conn() for _ in range(2)]  # one on each worker
        stop = threading.Event()

        def flood():
            with s.conn() as c:
                while not stop.is_set():
                    c.ask(b"mg k q\r\n" * 5000 + b"mn\r\n")

        floods = [threading.Thread(target=flood) for _ in range(4)]
        for thread in floods:
            thread.start()
        worst, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            for c in quiet:
                start = time.monotonic()
                c.ask(b"version\r\n")
                worst = max(worst, time.monotonic() - start)
        stop.set()
        for thread in floods:
            thread.join()
        tap.ok(worst < 1, "clients are answered while others fill the log", worst)


def told(s, pattern, name):
    """stderr comes to hold the pattern."""
    until = time.monotonic() + DEADLINE
    while not re.search(pattern, s.stderr(), re.S) and time.monotonic() < until:
        time.sleep(0.01)
    tap.ok(re.search(pattern, s.stderr(), re.S), name, s.stderr()[-1000:])


def listens():
    """-l, -p, port file."""
    with Server() as s:
        tap.is_(list(s.ports), ["TCP INET"], "the port file has the one line")
        tap.between(s.port, 1024, 65535, "-p -1 takes a free port")
        tap.ok(not os.path.exists(os.path.join(s.dir, "ports.lck")),
               "the port file's draft is gone")
    for attempt in range(3):
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.2", 0))
            ports = one.getsockname()[1], two.getsockname()[1]
        try:
            with Server("-l", "127.0.0.1:%d,127.0.0.2:%d" % ports) as s:
                for host, port in (("127.0.0.1", ports[0]), ("127.0.0.2", ports[1])):
                    with Conn(socket.create_connection((host, port), DEADLINE)) as c:
                        tap.is_(c.ask(b"mn\r\n"), b"MN\r\n", "-l with two addresses: %s" % host)
                tap.is_(sorted(s.ports["TCP INET"]), sorted(ports), "both are in the port file")
            with Server("-l", "127.0.0.1:%d" % ports[0], "-l", "127.0.0.2:%d" % ports[1]) as s:
                for host, port in (("127.0.0.1", ports[0]), ("127.0.0.2", ports[1])):
                    with Conn(socket.create_connection((host, port), DEADLINE)) as c:
                        tap.is_(c.ask(b"mn\r\n"), b"MN\r\n", "-l twice: %s" % host)
            break
        except NotStarted:
            if attempt == 2:  # somebody else was given the port in between, three times
                raise
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        tap.skip("-l [::1]", "no IPv6 here")
        return
    with Server("-p", "-1", "-l", "127.0.0.1,::1") as s:
        for kind, host in (("TCP INET", "127.0.0.1"), ("TCP INET6", "::1")):
            ports = s.ports.get(kind) or s.ports["TCP INET"]
            answered = False
            for port in ports:
                try:
                    with Conn(socket.create_connection((host, port), DEADLINE)) as c:
                        answered = answered or c.ask(b"mn\r\n") == b"MN\r\n"
                except ConnectionRefusedError:
                    pass
            tap.ok(answered, "%s answers on %s" % (kind, host), s.ports)


def listener_prefixes():
    """What may stand before an address of -l."""
    for prefix, request, want in (
            ("notls:", b"mn\r\n", b"MN\r\n"), ("tag[abc]:", b"mn\r\n", b"MN\r\n"),
            ("proto[ascii]:", b"mn\r\n", b"MN\r\n"), ("proto[ascii]:", packet("noop"), b""),
            ("proto[negotiating]:", b"mn\r\n", b"MN\r\n"),
            ("proto[negotiating]:", packet("noop"), NOOP),
            ("proto[binary]:", packet("noop"), NOOP), ("proto[binary]:", b"mn\r\n" * 6, b"")):
        name = "-l %s is asked %r" % (prefix, request[:4])
        if REFERENCE:
            tap.skip(name, NEW)
            continue
        with Server("-l", prefix + "127.0.0.1", "-p", "-1") as s:
            tap.is_(s.once(request), want, name)


def backlog():
    """-b: so many connections wait in the system until somebody accepts them."""
    with Server("-b", "5") as s:
        os.kill(s.pid, signal.SIGSTOP)
        try:
            waiting = [socket.socket() for _ in range(20)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", s.port))
            time.sleep(0.2)
            done = len(select.select([], waiting, [], 0)[1])
            tap.between(done, 5, 8, "-b 5: of 20 connections are made while nobody accepts")
            for sock in waiting:
                sock.close()
        finally:
            os.kill(s.pid, signal.SIGCONT)


def unix_socket():
    """-s and -a."""
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    path = os.path.join(folder, "socket")
    try:
        with Server("-s", path, "-a", "755", tcp=False, unix=path) as s:
            tap.is_(s.once(b"set a 0 0 1\r\nx\r\nget a\r\n"),
                    b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n", "-s answers")
            tap.is_(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o755", "-a sets the permissions")
            with s.conn() as c:
                tap.is_(c.stats(b"settings")["domain_socket"], path, "stats settings names it")
                conns = c.stats(b"conns")
                tap.ok(any(v == "unix:" + path for v in conns.values()), "stats conns names it",
                       conns)
        first = os.path.exists(path)
        with Server("-s", path, tcp=False, unix=path) as s:
            tap.is_(s.once(b"mn\r\n"), b"MN\r\n",
                    "an old socket %sis replaced" % ("" if first else "(gone) "))
            tap.is_(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o700",
                    "permissions are 700 by default")
            tap.is_(s.once(b"get a\r\n" * 20000), b"END\r\n" * 20000, "20000 pipelined gets")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def daemon():
    """-d and -P."""
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    os.chmod(folder, 0o777)
    pid = None
    try:
        pid_file, ports = os.path.join(folder, "pid"), os.path.join(folder, "ports")
        user = ["-u", "root"] if ROOT else []
        done = subprocess.run([PROGRAM, "-d", "-P", pid_file, "-l", "127.0.0.1", "-p", "-1"] + user,
                              env=dict(os.environ, MEMCACHED_PORT_FILENAME=ports),
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=DEADLINE, check=False)
        tap.is_(done.returncode, 0, "-d: the parent ends with 0")
        until = time.monotonic() + DEADLINE
        while not (os.path.exists(pid_file) and os.path.exists(ports)) and time.monotonic() < until:
            time.sleep(0.01)
        with open(pid_file) as text:
            line = text.read()
        pid = int(line)
        tap.is_(line, "%d\n" % pid, "-P writes one line")
        with open(ports) as text:
            port = int(text.read().rpartition(":")[2])
        with Conn(socket.create_connection(("127.0.0.1", port), DEADLINE)) as c:
            tap.is_(int(c.stats()["pid"]), pid, "the pid is that of the server")
        with open("/proc/%d/stat" % pid) as text:
            session = int(text.read().rpartition(")")[2].split()[3])
        tap.is_(session, pid, "it leads a session of its own")
        os.kill(pid, signal.SIGTERM)
        while os.path.exists("/proc/%d" % pid) and time.monotonic() < until:
            time.sleep(0.01)
        tap.ok(not os.path.exists("/proc/%d" % pid), "it ends")
        tap.ok(not os.path.exists(pid_file), "the pid file is removed")
        pid = None
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def signals():
    """Signals and exit codes."""
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        with Server() as s:
            with s.conn() as idle, s.conn() as busy:
                idle.ask(b"mn\r\n")
                busy.send(b"set a 0 0 100\r\nhalf")
                start = time.monotonic()
                tap.is_(s.stop(sig), 0, "%s ends it with 0 in spite of connections" % sig.name)
                tap.ok(time.monotonic() - start < 3, "soon", time.monotonic() - start)
                tap.ok(idle.closed(), "and closes them")
    with Server() as s:
        s.proc.send_signal(signal.SIGHUP)
        s.proc.send_signal(signal.SIGPIPE)
        time.sleep(0.2)
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "HUP and PIPE do not end it")
        for _ in range(50):  # clients that go away while an answer is on its way to them
            sock = s.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.sendall(b"stats\r\n" * 100)
            sock.close()
        tap.is_(s.once(b"mn\r\n"), b"MN\r\n", "nor do clients that go away")
    for mode in (b"shutdown\r\n", b"shutdown graceful\r\n"):
        with Server("-A") as s:
            s.once(mode)
            tap.is_(s.wait(), 0, "%s ends it with 0" % mode.strip().decode())


def sources():
    """File, environment, arguments: the later wins."""
    if REFERENCE:
        tap.skip("settings from a file and the environment", OURS)
        return
    folder = tempfile.mkdtemp(prefix="magpie-t-")
    path = os.path.join(folder, "magpie.conf")

    def shown(*args, env=None):
        with Server(*args, env=env) as s, s.conn() as c:
            settings = c.stats(b"settings")
            return [settings[k] for k in ("maxbytes", "num_threads", "maxconns", "idle_timeout")]
    try:
        with open(path, "w") as text:
            text.write("# a comment\n\nmemory_limit = 80m\nthreads=5\n  max_connections = 300  "
                       "\nidle_timeout = 2m\n")
        file = str(80 << 20)
        tap.is_(shown("--config", path), [file, "5", "300", "120"], "--config")
        tap.is_(shown(env={"MAGPIE_CONFIG": path}), [file, "5", "300", "120"], "MAGPIE_CONFIG")
        tap.is_(shown("--config", path, env={"MAGPIE_THREADS": "6"}), [file, "6", "300", "120"],
                "the environment wins over the file")
        tap.is_(shown("-t", "7", "-c", "400", "--config", path,
                      env={"MAGPIE_THREADS": "6", "MAGPIE_MAX_CONNECTIONS": "500"}),
                [file, "7", "400", "120"], "arguments win over both")
        tap.is_(shown("--memory-limit=96", "--idle_timeout=3s"), [str(96 << 20), "4", "1024", "3"],
                "settings by name")
        for text, why in (("nonsense = 5\n", "unknown name"), ("threads = abc\n", "wrong value"),
                          ("threads\n", "no value"),
                          ("threads = 0\n", "value out of range")):
            with open(path, "w") as out:
                out.write("memory_limit = 80m\n" + text)
            code, said = exits("--config", path, "-l", "127.0.0.1", "-p", "-1")
            tap.ok(code not in (None, 0) and "2" in said and path in said,
                   "a file with an %s is refused and its line named" % why,
                   "code %s: %s" % (code, said))
        code, said = exits("-l", "127.0.0.1", "-p", "-1", env={"MAGPIE_THREADS": "abc"})
        tap.ok(code not in (None, 0) and "MAGPIE_THREADS" in said,
               "a wrong variable is refused and named", "%s: %s" % (code, said))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def idling():
    """An idle server sleeps."""
    if REFERENCE or SANITIZED:
        tap.skip("at most one wake-up a second", OURS if REFERENCE else "a sanitizer wakes up")
        return
    with Server() as s:
        conns = [s.conn() for _ in range(100)]
        for c in conns:
            c.ask(b"mn\r\n")
        time.sleep(2)
        before = s.switches()
        time.sleep(5)
        tap.between(s.switches() - before, 0, 6,
                    "wake-ups of all threads in 5 s with 100 idle connections")
        for c in conns:
            c.close()


def idle_timeout():
    """-o idle_timeout."""
    with Server("-o", "idle_timeout=2") as s:
        with s.conn() as quiet, s.conn() as busy, s.conn() as half, s.conn() as fresh:
            quiet.ask(b"mn\r\n")
            half.send(b"set h 0 0 10\r\nabc")
            start = time.monotonic()
            kicked = None
            quiet.sock.settimeout(0.25)
            while kicked is None and time.monotonic() < start + 8:
                busy.ask(b"mn\r\n")
                try:
                    if quiet.closed():
                        kicked = time.monotonic() - start
                except TimeoutError:
                    pass
            tap.between(kicked or 99, 1, 6,
                        "an idle connection is closed after 2 s or a little more")
            tap.is_(busy.ask(b"mn\r\n"), b"MN\r\n", "a busy one is not")
            half.send(b"defghij\r\n")
            tap.is_(half.line(), b"STORED\r\n", "nor one in the middle of a value")
            fresh.sock.settimeout(5)
            tap.ok(fresh.closed(), "one that never said a word is closed too")
            tap.ok(int(busy.stats()["idle_kicks"]) >= 1, "idle_kicks counts")


def main():
    """Every function of this file."""
    program_exists()
    for function in (questions, wrong_options, right_options, verbosity,
                     verbose_flood, listens,
                     listener_prefixes, backlog, unix_socket,
                     daemon, signals, sources, idling,
                     idle_timeout):
        tap.guarded(function)
    tap.done()


main()
