#!/usr/bin/python3
"""UDP: the framing on real sockets, beside TCP clients, and side by side with memcached."""

import os
import re
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from packets import packet, store  # noqa: E402
from server import (OURS, PROGRAM, REFERENCE, SANITIZED, NotStarted, Server, exits,  # noqa: E402
                    program_exists)

TWIN = "/usr/bin/memcached"
# memcached's threads share a socket and overtake each other, even for one sender.
ORDERED = ("-t", "1") if REFERENCE else ()


class Udp:
    """A UDP client.  A version request behind each one tells when its answers are over."""

    def __init__(self, port, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.settimeout(10)
        self.sock.connect((host, port))
        self.id = 0

    def send(self, body, rid=None, number=0, total=1, reserved=0):
        """One request; its id."""
        if rid is None:
            self.id = (self.id + 1) % 30000
            rid = self.id
        self.sock.send(struct.pack(">4H", rid, number, total, reserved) + body)
        return rid

    def answers(self, pause=0):
        """Whatever was sent before the answer to a request of our own, in order.

        memcached forgets the rest of a request when another one waits: pause before that.
        """
        time.sleep(pause)
        mark = 40000 + self.send(b"mn\r\n", rid=40000 + self.id) - 40000
        got = []
        while True:
            data = self.sock.recv(65536)
            if data[:2] == struct.pack(">H", mark):
                self.id += 1
                return got
            got.append(data)

    def ask(self, body, pause=0, **head):
        """A request, and its answers as (id, number, total, reserved, data)."""
        self.send(body, **head)
        return [struct.unpack(">4H", d[:8]) + (d[8:],) for d in self.answers(pause)]

    def texts(self, body, **head):
        """The data of its answers."""
        return [a[4] for a in self.ask(body, **head)]

    def close(self):
        """Closes the socket."""
        self.sock.close()


def free_port():
    """A number that neither TCP nor UDP uses."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]
            except OSError:
                pass


def framing():
    """Ids, numbers, cuts, and what is not a request."""
    with Server("-U", "-1", *ORDERED) as s, s.conn() as c:
        u = Udp(s.ports["UDP INET"][0])
        for rid in (0, 1, 255, 256, 39999, 65535):
            tap.is_(u.ask(b"mn\r\n", rid=rid), [(rid, 0, 1, 0, b"MN\r\n")],
                    "the answer to request %d has its id" % rid)
        for size in (1368, 1369, 1370, 2761, 2762, 100000):
            c.set(b"k", b"x" * size)
            whole = b"VALUE k 0 %d\r\n%s\r\nEND\r\n" % (size, b"x" * size)
            pieces = [whole[i:i + 1392] for i in range(0, len(whole), 1392)]
            tap.is_(u.ask(b"get k\r\n", rid=7),
                    [(7, i, len(pieces), 0, p) for i, p in enumerate(pieces)],
                    "a value of %d bytes comes in %d datagrams" % (size, len(pieces)))
        for name, raw in (("nothing", b""), ("a byte", b"x"), ("a header alone",
                                                                struct.pack(">4H", 1, 0, 1, 0)),
                          ("one of two", struct.pack(">4H", 1, 0, 2, 0) + b"mn\r\n"),
                          ("the second of two", struct.pack(">4H", 1, 1, 2, 0) + b"mn\r\n"),
                          ("one of none", struct.pack(">4H", 1, 0, 0, 0) + b"mn\r\n")):
            u.sock.send(raw)
            tap.is_(u.answers(), [], "dropped: " + name)
        u.close()


def requests():
    """What commands do in a datagram."""
    with Server("-U", "-1", *ORDERED) as s, s.conn() as c:
        u = Udp(s.ports["UDP INET"][0])
        tap.is_(u.texts(b"set a 0 0 1\r\n1\r\nget a\r\n"),
                [b"STORED\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n"], "two commands, two answers")
        tap.is_(c.get(b"a"), b"1", "what UDP stores TCP finds")
        tap.is_(u.texts(b"get a none a\r\n"),
                [b"VALUE a 0 1\r\n1\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n"],
                "a multiget: each value by itself")
        tap.is_(u.texts(b"set b 0 0 1 noreply\r\n2\r\n"), [], "noreply sends nothing")
        tap.is_(c.get(b"b"), b"2", "and is executed")
        if REFERENCE:
            tap.skip("the rest", OURS)
            return
        for name, body in (("half a line", b"get a"), ("half a value", b"set a 0 0 9\r\nabc"),
                           ("a value too large for a datagram", b"set a 0 0 900000\r\nabc"),
                           ("half a binary packet", packet("noop")[:12]),
                           ("quit", b"quit\r\n"), ("binary quitq", packet("quitq")),
                           ("quiet misses", packet("getq", b"none") * 3),
                           ("an endless line", b"x" * 60000)):
            tap.is_(u.texts(body), [], "no answer: " + name)
            tap.is_(u.texts(b"get a\r\n"), [b"VALUE a 0 1\r\n1\r\nEND\r\n"], "and nothing is left")
        tap.is_(u.texts(b"mn\r\nquit\r\nmn\r\n"), [b"MN\r\n"], "quit ends its datagram")
        tap.is_(u.texts(b"mn\r\n" * 1000), [b"MN\r\n"] * 1000, "1000 commands in one datagram")
        got = u.texts(packet("noop"))
        tap.ok(len(got) == 1 and got[0][:2] == b"\x81\x0a", "binary is chosen by the first byte",
               got)
        tap.is_(u.texts(b"mn\r\n"), [b"MN\r\n"], "and text again by the next")
        value = os.urandom(60000)
        tap.is_(u.texts(b"set large 0 0 60000\r\n" + value + b"\r\n"), [b"STORED\r\n"],
                "a datagram may be as large as datagrams are")
        tap.is_(c.get(b"large"), value, "and all of it is stored")
        u.close()


def places():
    """-p, -U, -l, -s: where there is UDP."""
    rows = [
        (("-p", "-1"), {"TCP INET"}, "no UDP unless asked for"),
        (("-U", "0"), {"TCP INET"}, "-U 0 is off"),
        (("-U", "-1"), {"TCP INET", "UDP INET"}, "-U -1"),
        (("-U", "-1", "-l", "127.0.0.1,[::1]"), {"TCP INET", "TCP INET6", "UDP INET", "UDP INET6"},
         "both families of a list"),
        (("-U", "-1", "-l", "127.0.0.1", "-l", "127.0.0.2"), {"TCP INET", "UDP INET"},
         "two addresses"),
    ]
    for args, kinds, name in rows:
        try:
            with Server(*args) as s:
                tap.is_(set(s.ports), kinds, name)
                for kind, host in (("UDP INET", "127.0.0.1"), ("UDP INET6", "::1")):
                    for i, port in enumerate(s.ports.get(kind, ())):
                        u = Udp(port, "127.0.0.2" if i else host)
                        tap.is_(u.texts(b"mn\r\n"), [b"MN\r\n"], "and it answers")
                        u.close()
        except NotStarted as error:
            if "::1" in " ".join(args):
                tap.skip(name, "no IPv6 here")
            else:
                tap.ok(False, name, error)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, said = exits("-l", "127.0.0.1", "-p", "-1", "-U", port)
        tap.ok(code not in (None, 0) and "ailed to listen on" in said,
               "a port that is taken is refused", (code, said))
    port = free_port()
    with Server("-p", port, "-U", port) as s:
        tap.is_(s.ports, {"TCP INET": [port], "UDP INET": [port]}, "the same port for both")
        if REFERENCE:
            tap.skip("a second server does not share it", OURS)
        else:
            code, said = exits("-l", "127.0.0.1", "-p", "-1", "-U", port)
            tap.ok(code not in (None, 0), "a second server does not share it", (code, said))
    with Server("-p", "-1", "-l", "127.0.0.1:%d" % port, "-U", "-1") as s:
        tap.is_(s.ports, {"TCP INET": [port], "UDP INET": [port]},
                "a port in the list is that of both")
    for protocol in ("ascii", "binary"):
        with Server("-U", "-1", "-B", protocol) as s:
            u = Udp(s.ports["UDP INET"][0])
            tap.ok(len(u.texts(packet("noop"))) == 1 and len(u.texts(b"mn\r\n")) == 1,
                   "-B %s does not choose for UDP" % protocol)
            u.close()
    with Server("-s", os.path.join("/tmp", "magpie-udp-%d" % os.getpid()), "-U", port, tcp=False,
                unix="/tmp/magpie-udp-%d" % os.getpid()) as s, s.conn() as c:
        tap.ok(not any(":UDP" in k for k in c.stats(b"conns")), "a Unix socket turns UDP off")
    os.unlink("/tmp/magpie-udp-%d" % os.getpid())
    for args, said in (((("-S",)), "Cannot enable UDP while using binary SASL authentication"),
                       (("-Y", "/dev/null"), "Cannot use UDP with ascii authentication enabled")):
        code, text = exits("-l", "127.0.0.1", "-p", "-1", "-U", "-1", *args)
        tap.ok(code not in (None, 0) and said in text, "-U with %s" % args[0], (code, text))


def udp_alone():
    """-p 0 -U N: a server without TCP."""
    port = free_port()
    proc = subprocess.Popen([PROGRAM, "-u", "root", "-p", "0", "-l", "127.0.0.1", "-U", str(port)],
                            stdin=subprocess.DEVNULL)
    try:
        u = Udp(port)
        u.sock.settimeout(0.2)
        until = time.monotonic() + 10
        got = None
        while got is None and time.monotonic() < until:
            try:
                u.send(b"mn\r\n", rid=5)
                got = u.sock.recv(100)
            except OSError:
                time.sleep(0.02)
        tap.is_(got, struct.pack(">4H", 5, 0, 1, 0) + b"MN\r\n", "-p 0 -U N serves UDP alone")
        u.close()
    finally:
        proc.terminate()
        tap.is_(proc.wait(10), 0, "and ends with 0")


def figures():
    """stats, stats conns, stats settings."""
    with Server("-U", "-1", "-t", "3", "-o", "idle_timeout=1") as s, s.conn() as c:
        u = Udp(s.ports["UDP INET"][0])
        port = s.ports["UDP INET"][0]
        until = time.monotonic() + 10
        while c.stats()["curr_connections"] != "4" and time.monotonic() < until:
            time.sleep(0.01)  # the helper's own connection may not be gone yet
        tap.is_(c.stats()["curr_connections"], "4", "each worker's socket is a connection")
        conns = c.stats(b"conns")
        seats = [k.split(":")[0] for k in conns if k.endswith(":UDP")]
        tap.is_(len(seats), 3, "and a row of stats conns")
        for fd in seats:
            tap.is_([conns[fd + ":UDP"], conns[fd + ":addr"], conns[fd + ":state"]],
                    ["UDP", "udp:127.0.0.1:%d" % port, "conn_read"], "which says what it is")
            tap.ok(fd + ":listen_addr" not in conns, "and no second address")
        keys = [k for k in conns if k.startswith(seats[0] + ":")]
        tap.is_([k.split(":")[1] for k in keys], ["UDP", "addr", "state", "secs_since_last_cmd"],
                "in memcached's order")
        settings = c.stats(b"settings")
        tap.is_(settings["num_threads_per_udp"], "3", "num_threads_per_udp")
        tap.is_(settings["udpport"], "-1", "udpport")
        before = c.stats()
        told = sum(len(" ".join(("STAT", k, v))) + 2 for k, v in before.items()) + 5
        u.ask(b"mn\r\n")
        until, written, asked = time.monotonic() + 10, 0, 0
        while written != 24 and time.monotonic() < until:  # counted when it is sent
            after = c.stats()
            asked += told
            written = int(after["bytes_written"]) - int(before["bytes_written"]) - asked
            told = sum(len(" ".join(("STAT", k, v))) + 2 for k, v in after.items()) + 5
        tap.is_(written, 24, "bytes_written counts headers")
        c.close()
        time.sleep(2.5)
        tap.is_(u.texts(b"mn\r\n"), [b"MN\r\n"], "idle_timeout leaves UDP alone")
        u.close()


def flood():
    """A flood of datagrams does not keep TCP clients waiting, and leaves nothing behind."""
    with Server("-U", "-1", "-t", "1", "-o", "no_maxconns_fast") as s, s.conn() as c:
        c.set(b"big", b"b" * 900000)
        u = Udp(s.ports["UDP INET"][0])
        rss = s.status("VmRSS")
        waits, until = [], time.monotonic() + 3
        while time.monotonic() < until:
            for _ in range(20):
                u.send(b"get big\r\n" * 20)
                u.send(os.urandom(200))
                u.send(b"set x 0 0 100000000\r\nabc")
            start = time.monotonic()
            if c.get(b"none") is not None:
                break
            waits.append(time.monotonic() - start)
        waits.sort()
        tap.ok(len(waits) > 3, "TCP is served meanwhile", len(waits))
        tap.ok(waits[len(waits) // 2] < 0.2, "and soon", waits)
        tap.note("median %.1f ms, %.1f ms at worst, %d rounds" % (
            waits[len(waits) // 2] * 1000, waits[-1] * 1000, len(waits)))
        u.close()
        v = Udp(s.ports["UDP INET"][0])
        v.sock.settimeout(0.5)
        until, got = time.monotonic() + 30, None
        while got is None and time.monotonic() < until:
            try:
                v.send(b"mn\r\n", rid=9)
                got = v.sock.recv(100)
            except OSError:
                pass
        tap.is_(got, struct.pack(">4H", 9, 0, 1, 0) + b"MN\r\n", "and UDP is afterwards")
        tap.ok(s.status("VmRSS") - rss < 8000 or SANITIZED, "memory does not grow",
               "%d to %d kB" % (rss, s.status("VmRSS")))
        v.close()


DIFFERENTIAL = [
    b"mn\r\n", b"get none\r\n", b"set a 5 0 3\r\nabc\r\n", b"get a\r\n", b"gat 0 a a\r\n",
    b"get a a a\r\n", b"set a 0 0 4000\r\n" + b"a" * 4000 + b"\r\nget a\r\n", b"delete a\r\n",
    b"delete a noreply\r\n", b"set n 0 0 1\r\n5\r\nincr n 3\r\ndecr n 1\r\n", b"incr none 1\r\n",
    b"set n 0 0 1 noreply\r\n5\r\nget n\r\n", b"nonsense\r\n", b"touch n 100\r\n",
    b"mg n v t f\r\nmn\r\n", b"mg none v q\r\nmn\r\n", b"ms m 3 T30\r\nxyz\r\nmg m v s\r\n",
    b"ma n\r\nmd n\r\n", b"mn\r\nquit\r\nmn\r\n", b"verbosity 1\r\n", b"flush_all\r\n",
    b"get " + b"k" * 251 + b"\r\n", b"get a " + b"k" * 251 + b"\r\n", b"stats reset\r\n",
    b"get", b"set a 0 0 1400\r\n" + b"x" * 1400 + b"\r\n",
    b"set a 0 0 30000\r\n" + b"x" * 30000 + b"\r\nget a\r\n",
    b"set f 0 0 0\r\n\r\nget f\r\n", b"append f 0 0 1369\r\n" + b"f" * 1369 + b"\r\nget f\r\n",
    b"append f 0 0 1\r\n1\r\nget f\r\n", b"cas f 0 0 1 1\r\nx\r\n", b"touch none 1\r\n",
    packet("noop"), packet("getk", b"none"), packet("get", b"none"),
    store("set", b"b", b"value"), packet("delete", b"b"), packet("quit"),
    packet("noop") + b"mn\r\n", b"mn\r\n" + packet("version")[:8],
    packet("append", b"none", b"x"),
]


# memcached 1.6.18 forgets what stands behind a command that makes it send at once.
FORGETS = [b"get a\r\nget a\r\nget a\r\n", b"mn\r\n" * 19, packet("noop") * 3]


def differential():
    """The same datagrams to memcached: the same answers, but for its empty ones and for cas."""
    if REFERENCE or not os.access(TWIN, os.X_OK):
        tap.skip("side by side with memcached", "there is none, or it is under test")
        return
    ours = Server("-U", "-1", "-t", "1")
    theirs = Server("-U", "-1", "-t", "1", program=TWIN)
    with ours, theirs:
        u, v = Udp(ours.ports["UDP INET"][0]), Udp(theirs.ports["UDP INET"][0])

        def normal(answers):
            out = []
            for rid, number, total, zero, data in answers:
                if data[:1] == b"\x81" and len(data) >= 24:
                    data = data[:16] + b"." * 8 + data[24:]
                data = re.sub(rb" t(99|100)\b", b" t100", data)  # a second may begin between them
                if data or total:
                    out.append((rid, number, total, zero, data))
            return out

        for i, body in enumerate(DIFFERENTIAL):
            tap.is_(normal(u.ask(body, rid=i)), normal(v.ask(body, pause=0.03, rid=i)),
                    "as memcached: %r" % body[:40])
        for body in FORGETS:
            mine, other = normal(u.ask(body, rid=1)), normal(v.ask(body, pause=0.03, rid=1))
            tap.ok(other and mine[:len(other)] == other, "begins as memcached: %r" % body[:40],
                   (mine, other))
        u.close()
        v.close()


if __name__ == "__main__":
    program_exists()
    tap.run([framing, requests, places, udp_alone, figures, flood, differential])
