#!/usr/bin/python3
"""The classic text protocol, byte for byte."""

import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import tap  # noqa: E402
from server import NEW, OURS, REFERENCE, Server, pattern, program_exists, rows  # noqa: E402

END = b"END\r\n"
FORMAT = b"CLIENT_ERROR bad command line format\r\n"
CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
DELTA = b"CLIENT_ERROR invalid numeric delta argument\r\n"
NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
LARGE = b"SERVER_ERROR object too large for cache\r\n"
USAGE = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
K250 = b"k" * 250
K251 = b"k" * 251


def value(key, data, flags=0, cas=None):
    """The lines that a hit answers."""
    tail = b"" if cas is None else b" %d" % cas
    return b"VALUE %s %d %d%s\r\n%s\r\n" % (key, flags, len(data), tail, data)


def storage(s):
    """set, add, replace, append, prepend."""
    rows(s, [
        ("set and get", b"set a 5 0 3\r\nabc\r\nget a\r\n",
         b"STORED\r\n" + value(b"a", b"abc", 5) + END),
        ("bare newlines", b"set nl 0 0 2\nhi\r\nget nl\n",
         b"STORED\r\n" + value(b"nl", b"hi") + END),
        ("runs of blanks", b"set  sp   0  0 2 \r\nhi\r\nget   sp  \r\n",
         b"STORED\r\n" + value(b"sp", b"hi") + END),
        ("empty value", b"set e 0 0 0\r\n\r\nget e\r\n", b"STORED\r\n" + value(b"e", b"") + END),
        ("value of line ends", b"set crlf 0 0 4\r\n\r\n\r\n\r\nget crlf\r\n",
         b"STORED\r\n" + value(b"crlf", b"\r\n\r\n") + END),
        ("value of all bytes", b"set all 0 0 256\r\n" + bytes(range(256)) + b"\r\nget all\r\n",
         b"STORED\r\n" + value(b"all", bytes(range(256))) + END),
        ("get misses", b"get nothing\r\n", END),
        ("several keys, one of them missing", b"get a nothing e\r\n",
         value(b"a", b"abc", 5) + value(b"e", b"") + END),
        ("a key asked for twice is answered twice", b"get a a\r\n",
         value(b"a", b"abc", 5) * 2 + END),
        ("add on a miss and on a hit", b"add b 1 0 1\r\nx\r\nadd b 1 0 1\r\ny\r\nget b\r\n",
         b"STORED\r\nNOT_STORED\r\n" + value(b"b", b"x", 1) + END),
        ("replace on a miss and on a hit",
         b"replace rp 1 0 1\r\nx\r\nset rp 1 0 1\r\ny\r\nreplace rp 2 0 2\r\nzz\r\nget rp\r\n",
         b"NOT_STORED\r\nSTORED\r\nSTORED\r\n" + value(b"rp", b"zz", 2) + END),
        ("append on a miss and on a hit keeps the flags",
         b"append ap 9 0 1\r\nx\r\nset ap 7 0 1\r\ny\r\nappend ap 9 0 2\r\nzz\r\nget ap\r\n",
         b"NOT_STORED\r\nSTORED\r\nSTORED\r\n" + value(b"ap", b"yzz", 7) + END),
        ("prepend on a miss and on a hit keeps the flags",
         b"prepend pp 9 0 1\r\nx\r\nset pp 7 0 1\r\ny\r\nprepend pp 9 0 2\r\nzz\r\nget pp\r\n",
         b"NOT_STORED\r\nSTORED\r\nSTORED\r\n" + value(b"pp", b"zzy", 7) + END),
        ("append keeps the expiry", b"set ax 0 -1 1\r\ny\r\nappend ax 0 0 1\r\nz\r\nget ax\r\n",
         b"STORED\r\nNOT_STORED\r\n" + END),
        ("largest flags", b"set fl 4294967295 0 1\r\nx\r\nget fl\r\n",
         b"STORED\r\n" + value(b"fl", b"x", 4294967295) + END),
        ("negative flags", b"set fn -1 0 1\r\nmn\r\nmn\r\n",
         pattern(rb"CLIENT_ERROR bad .*MN\r\n")),
        ("flags that are no number", b"set fa abc 0 2\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("flags 2^32", b"set fa 4294967296 0 2\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", OURS),
        ("hexadecimal flags", b"set fa 0x5 0 2\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("leading zeroes", b"set z0 05 00 01\r\nx\r\nget z0\r\n",
         b"STORED\r\n" + value(b"z0", b"x", 5) + END),
        ("length with a sign", b"set fp 0 0 +2\r\nhi\r\nget fp\r\n",
         b"STORED\r\n" + value(b"fp", b"hi") + END),
        ("exptime that is no number", b"set fa 0 abc 2\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("length that is no number", b"set fa 0 0 abc\r\nmn\r\n", FORMAT + b"MN\r\n"),
        ("negative length", b"set fa 0 0 -1\r\nmn\r\n", FORMAT + b"MN\r\n"),
        ("length 2^31-1", b"set fa 0 0 2147483647\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("length 2^32-1", b"set fa 0 0 4294967295\r\nmn\r\n",
         pattern(rb"CLIENT_ERROR bad [a-z ]+\r\nMN\r\n")),
        ("length 2^63", b"set fa 0 0 9223372036854775808\r\nmn\r\n", FORMAT + b"MN\r\n"),
        ("missing arguments", b"set fa 0 0\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("a refused set does not store", b"get fa\r\n", END),
        ("a further word is ignored", b"set j 0 0 2 junk more\r\nhi\r\nget j\r\n",
         b"STORED\r\n" + value(b"j", b"hi") + END, NEW),
        ("bad data chunk, two bytes late", b"set bc 0 0 1\r\nabc\r\nmn\r\n",
         CHUNK + FORMAT + b"MN\r\n", NEW),
        ("bad data chunk keeps the old item",
         b"set bo 0 0 3\r\nold\r\nset bo 0 0 4\r\nnew!!!mn\r\nget bo\r\n",
         b"STORED\r\n" + CHUNK + b"MN\r\n" + value(b"bo", b"old") + END),
        ("value ended by a bare newline", b"set bn 0 0 2\r\nhi\nxmn\r\n", CHUNK + b"MN\r\n"),
        ("250-byte key", b"set %s 0 0 1\r\nx\r\nget %s\r\ndelete %s\r\n" % (K250, K250, K250),
         b"STORED\r\n" + value(K250, b"x") + END + b"DELETED\r\n"),
        ("251-byte key", b"set %s 0 0 2\r\nmn\r\nmn\r\n" % K251, FORMAT + b"MN\r\n", NEW),
        ("251-byte key of a get", b"get %s\r\nmn\r\n" % K251, FORMAT + b"MN\r\n"),
        ("one long key withdraws the whole answer", b"get a %s a\r\nget e\r\n" % K251,
         FORMAT + value(b"e", b"") + END),
        ("one long key leaves earlier answers alone", b"get e\r\nget a %s\r\n" % K251,
         value(b"e", b"") + END + FORMAT, OURS),
        ("251-byte key elsewhere", b"".join(b"%s %s 1\r\n" % (w, K251)
                                            for w in (b"incr", b"touch")),
         FORMAT * 2),
        ("keys of control bytes and 0x80",
         b"set \x01\t\xff\x80 0 0 1\r\nx\r\nget \x01\t\xff\x80\r\n",
         b"STORED\r\n" + value(b"\x01\t\xff\x80", b"x") + END),
        ("NUL is a byte of a key", b"set n\0l 0 0 1\r\nx\r\nget n\0l n\r\n",
         b"STORED\r\n" + value(b"n\0l", b"x") + END, NEW),
    ])


def replaced(s):
    """delete, cas, touch, gat."""
    with s.conn() as c:
        c.set(b"c", b"1")
        cas = int(c.ask(b"gets c\r\n", END).split()[4])
        tap.is_(c.ask(b"cas c 3 0 1 %d\r\n2\r\n" % cas), b"STORED\r\n", "cas with the right number")
        tap.is_(c.ask(b"cas c 0 0 1 %d\r\n3\r\n" % cas), b"EXISTS\r\n", "cas with the old number")
        tap.is_(c.ask(b"cas c 0 0 1 0\r\n3\r\n"), b"EXISTS\r\n", "cas 0 never matches")
        tap.is_(c.ask(b"cas none 0 0 1 0\r\n3\r\n"), b"NOT_FOUND\r\n", "cas on a miss")
        line = c.ask(b"gets c nothing\r\n", END)
        new = int(line.split()[4])
        tap.is_(line, value(b"c", b"2", 3, new) + END, "gets shows flags and the new number")
        tap.ok(new > cas, "the cas number grows")
        c.ask(b"touch c 100\r\n")
        tap.is_(c.ask(b"gats 200 c\r\n", END), value(b"c", b"2", 3, new) + END,
                "touch and gats keep the cas number")
        c.set(b"n", b"9")
        one = int(c.ask(b"gets n\r\n", END).split()[4])
        c.ask(b"incr n 1\r\n")
        tap.ok(int(c.ask(b"gets n\r\n", END).split()[4]) != one, "incr changes the cas number")
    rows(s, [
        ("cas without its number", b"cas c 0 0 2\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("negative cas number", b"cas c 0 0 2 -1\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("cas number 2^64", b"cas c 0 0 2 18446744073709551616\r\nmn\r\nmn\r\n",
         FORMAT + b"MN\r\n", NEW),
        ("cas number that is none", b"cas c 0 0 2 abc\r\nmn\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("delete", b"set d 0 0 1\r\nx\r\ndelete d\r\ndelete d\r\nget d\r\n",
         b"STORED\r\nDELETED\r\nNOT_FOUND\r\n" + END),
        ("delete with time 0", b"set d 0 0 1\r\nx\r\ndelete d 0\r\n", b"STORED\r\nDELETED\r\n"),
        ("delete with a time", b"delete d 10\r\n", USAGE),
        ("delete with junk and noreply", b"set d 0 0 1\r\nx\r\ndelete d 10 noreply\r\nmn\r\n",
         pattern(rb"STORED\r\n(MN\r\n|%sMN\r\n)" % USAGE) if REFERENCE else b"STORED\r\nMN\r\n"),
        ("delete without a key", b"delete\r\n", FORMAT, NEW),
        ("touch", b"set t 0 0 1\r\nx\r\ntouch t 0\r\ntouch nothing 0\r\n",
         b"STORED\r\nTOUCHED\r\nNOT_FOUND\r\n"),
        ("touch that expires", b"touch t -1\r\nget t\r\n", b"TOUCHED\r\n" + END),
        ("touch with a word for a time", b"touch t abc\r\n", EXPTIME),
        ("touch without a time", b"touch t\r\n", FORMAT, NEW),
        ("touch over 2^31-1", b"touch t 2147483648\r\n", EXPTIME, NEW),
        ("gat", b"set g 4 0 1\r\nx\r\ngat 0 g nothing\r\n",
         b"STORED\r\n" + value(b"g", b"x", 4) + END),
        ("gat that expires still answers", b"gat -1 g\r\nget g\r\n",
         value(b"g", b"x", 4) + END + END),
        ("gat with a word for a time", b"gat abc g\r\n", EXPTIME),
        ("gat over 2^31-1", b"gat 2147483648 g\r\n", EXPTIME, NEW),
        ("gat with a long key", b"gat 0 g %s\r\nmn\r\n" % K251, FORMAT + b"MN\r\n"),
    ])


def numbers(s):
    """incr and decr."""
    def put(data):
        return b"set i 8 0 %d\r\n%s\r\n" % (len(data), data)
    stored = b"STORED\r\n"
    rows(s, [
        ("incr", put(b"9") + b"incr i 1\r\nget i\r\n",
         stored + b"10\r\n" + value(b"i", b"10", 8) + END),
        ("decr pads with blanks in place", put(b"10") + b"decr i 1\r\nget i\r\n",
         stored + b"9\r\n" + value(b"i", b"9 ", 8) + END),
        ("a padded number counts on", b"incr i 1\r\nget i\r\n",
         b"10\r\n" + value(b"i", b"10", 8) + END),
        ("decr stops at 0", put(b"5") + b"decr i 7\r\n", stored + b"0\r\n"),
        ("incr wraps at 2^64", put(b"18446744073709551615") + b"incr i 2\r\nget i\r\n",
         stored + b"1\r\n" + value(b"i", b"1" + b" " * 19, 8) + END),
        ("delta 2^64-1", put(b"1") + b"incr i 18446744073709551615\r\n", stored + b"0\r\n"),
        ("delta 2^64", b"incr i 18446744073709551616\r\n", DELTA),
        ("delta that is no number", b"incr i abc\r\n", DELTA),
        ("negative delta", b"incr i -1\r\n", DELTA),
        ("number with a leading blank", put(b" 5") + b"incr i 1\r\n", stored + b"6\r\n"),
        ("number followed by a word", put(b"1 2") + b"incr i 1\r\n", stored + b"2\r\n"),
        ("negative value", put(b"-1") + b"incr i 1\r\n", stored + NUMERIC),
        ("word for a value", put(b"abc") + b"incr i 1\r\ndecr i 1\r\n", stored + NUMERIC * 2),
        ("empty value", put(b"") + b"incr i 1\r\n", stored + NUMERIC, NEW),
        ("value 2^64", put(b"18446744073709551616") + b"incr i 1\r\n", stored + NUMERIC),
        ("incr and decr miss", b"incr nothing 1\r\ndecr nothing 1\r\n", b"NOT_FOUND\r\n" * 2),
        ("incr without a delta", b"incr i\r\n", FORMAT, NEW),
    ])


def general(s):
    """Words, line ends, noreply, answers without a key."""
    rows(s, [
        ("unknown command", b"nonsense\r\nmn\r\n", b"ERROR\r\nMN\r\n"),
        ("upper case", b"GET a\r\n", b"ERROR\r\n"),
        ("leading blank", b" get a\r\n", b"ERROR\r\n", NEW),
        ("tab is no separator", b"get\ta\r\n", b"ERROR\r\n"),
        ("empty line", b"\r\nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("a blank for a line", b" \nmn\r\n", FORMAT + b"MN\r\n", NEW),
        ("mn", b"mn\r\n", b"MN\r\n"),
        ("mn of three bytes", b"mn\n", FORMAT, NEW),
        ("bare get, gets, incr, cas", b"get\r\ngets\r\nincr\r\ncas\r\n", FORMAT * 4, NEW),
        ("an HTTP request closes", b"GET / HTTP/1.1\r\nmn\r\n", b""),
        ("version", b"version\r\n", pattern(rb"VERSION 1\.6\.\d+[^\r\n]*\r\n")),
        ("verbosity", b"verbosity 1\r\nverbosity 9\r\nverbosity 0\r\n", b"OK\r\n" * 3),
        ("verbosity noreply", b"verbosity 0 noreply\r\nmn\r\n", b"MN\r\n"),
        ("verbosity without a number", b"verbosity\r\n", FORMAT, NEW),
        ("quit", b"mn\r\nquit\r\nmn\r\n", b"MN\r\n"),
        ("shutdown is off", b"shutdown\r\nmn\r\n",
         b"ERROR: shutdown not enabled\r\nMN\r\n"),
        ("refresh_certs without TLS", b"refresh_certs\r\n",
         pattern(rb"(Error TLS not enabled|ERROR)\r\n")),
        ("unknown statistics", b"stats nonsense\r\nmn\r\n", pattern(rb"(ERROR|END)\r\nMN\r\n")),
        ("stats followed by a blank", b"stats \r\n", pattern(rb"STAT pid .*END\r\n")),
        ("noreply",
         b"set q 0 0 1 noreply\r\n1\r\nadd q 0 0 1 noreply\r\n2\r\nreplace q 0 0 1 noreply\r\n3\r\n"
         b"append q 0 0 1 noreply\r\n4\r\nprepend q 0 0 1 noreply\r\n5\r\n"
         b"cas q 0 0 1 1 noreply\r\n6\r\n"
         b"incr q 1 noreply\r\ndecr q 2 noreply\r\ntouch q 0 noreply\r\nget q\r\n"
         b"delete q noreply\r\n"
         b"delete q noreply\r\nincr q 1 noreply\r\nmn\r\n", value(b"q", b"533") + END + b"MN\r\n"),
        ("noreply and a value that is no number",
         b"set qn 0 0 1 noreply\r\nx\r\nincr qn 1 noreply\r\nmn\r\n", b"MN\r\n"),
        ("noreply and too large", b"set q 0 0 1048600 noreply\r\n" + b"x" * 1048600 + b"\r\nmn\r\n",
         b"MN\r\n"),
        ("noreply is a key too", b"get noreply\r\n", END),
        ("noreply must be the last word", b"set q 0 0 1 noreply x\r\n1\r\n", b"STORED\r\n", NEW),
        ("pipeline keeps its order",
         b"set p 0 0 1\r\n1\r\nget p\r\nincr p 1\r\nget p\r\ndelete p\r\nget p\r\n",
         b"STORED\r\n" + value(b"p", b"1") + END + b"2\r\n" + value(b"p", b"2") + END
         + b"DELETED\r\n" + END),
    ])
    with s.conn() as c:
        c.send(b"quit\r\n")
        tap.ok(c.closed(), "quit closes from the server's side")
    with s.conn() as c:
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        tap.ok(c.closed(), "an HTTP request is closed at once")


def too_large(s):
    """Values over -I (1 MiB)."""
    rows(s, [
        ("a key of one byte and the largest value",
         b"set x 0 0 1048516\r\n" + b"v" * 1048516 + b"\r\n", b"STORED\r\n"),
        ("one byte more", b"set x 0 0 1048517\r\n" + b"v" * 1048517 + b"\r\nget x\r\n", LARGE + END,
         NEW),
        ("1047552 must fit", b"set y 0 0 1047552\r\n" + b"v" * 1047552 + b"\r\n", b"STORED\r\n"),
        ("a set that is too large removes the old value and swallows its body",
         b"set z 0 0 3\r\nold\r\nset z 0 0 1049600\r\n" + b"v" * 1049600 + b"\r\nget z\r\n",
         b"STORED\r\n" + LARGE + END),
        ("an add that is too large leaves the old value",
         b"set z 0 0 3\r\nold\r\nadd z 0 0 1049600\r\n" + b"v" * 1049600 + b"\r\nget z\r\n",
         b"STORED\r\n" + LARGE + value(b"z", b"old") + END),
        ("an append that grows it too large", b"set g 0 0 1048000\r\n" + b"v" * 1048000
         + b"\r\nappend g 0 0 1000\r\n"
         + b"v" * 1000 + b"\r\nmn\r\n",
         pattern(rb"STORED\r\n(NOT_STORED|SERVER_ERROR [a-zA-Z ]+)\r\nMN\r\n")),
    ])


def cut_anywhere(s):
    """The same bytes in two pieces, cut at every place, and one at a time."""
    stream = (b"set s 1 0 4\r\na\r\nb\r\nget s\r\nset s 1 0 1 noreply\r\n9\r\nincr s 1\r\n"
              b"append s 0 0 0\r\n\r\n"
              b"gets nothing s1\r\nnonsense\r\nadd s 0 0 2\r\nzz\r\nmg s v\r\nms s 2\r\nxx\r\n"
              b"gat 0 s\r\ndelete s\r\nmn\r\n")
    want = (b"STORED\r\n" + value(b"s", b"a\r\nb", 1) + END + b"10\r\nSTORED\r\n" + END
            + b"ERROR\r\nNOT_STORED\r\n"
            b"VA 2\r\n10\r\nHD\r\n" + value(b"s", b"xx") + END + b"DELETED\r\nMN\r\n")
    bad = []
    for cut in range(1, len(stream)):
        with s.conn() as c:
            c.send(stream[:cut])
            time.sleep(0.0005)
            c.send(stream[cut:])
            got = c.finish()
            if got != want:
                bad.append((cut, got))
    tap.ok(not bad, "a pipeline cut in two at each of %d places" % (len(stream) - 1), bad[:2])
    with s.conn() as c:
        for i in range(len(stream)):
            c.send(stream[i:i + 1])
            time.sleep(0.0005)
        tap.is_(c.finish(), want, "a pipeline one byte at a time")


def long_lines(s):
    """Lines over 2048 bytes."""
    with s.conn() as c:
        keys = [b"%s-%d" % (b"l" * 100, i) for i in range(1200)]
        for key in keys[::2]:
            c.send(b"set %s 0 0 5 noreply\r\n%s\r\n" % (key, key[-5:]))
        want = b"".join(value(k, k[-5:]) for k in keys[::2]) + END
        line = b"get " + b" ".join(keys) + b"\r\n"
        tap.ok(len(line) > 120 * 1024, "a line of %d bytes" % len(line))
        tap.is_(c.ask(line, END), want, "get with 1200 keys of 100 bytes")
        for at in range(0, len(line), 1000):
            c.send(line[at:at + 1000])
            time.sleep(0.0005)
        tap.is_(c.until(END), want, "the same in 1000-byte pieces")
        tap.is_(len(c.ask(line.replace(b"get", b"gets", 1), END)) > len(want), True,
                "gets with 1200 keys")
    for name, request in (("unknown word", b"x" * 4096), ("only blanks", b" " * 4096),
                          ("set line", b"set " + b"k" * 4096), ("mg line", b"mg " + b"k" * 4096),
                          ("gat line", b"gat 0 " + b"k " * 4096)):
        with s.conn() as c:
            c.send(request)
            got = b""
            try:
                got = c.line()
            except ConnectionResetError:
                pass
            except TimeoutError:
                got = b"still open"
            tap.ok(got == b"" or got.startswith(b"ERROR Too large")
                   or got.startswith(b"CLIENT_ERROR line"),
                   "%s without an end in 4096 bytes closes" % name, got)
    with s.conn() as c:
        c.send(b"x" * 2000)
        time.sleep(0.02)
        tap.is_(c.ask(b"\r\n"), b"ERROR\r\n", "2000 bytes and then an end are only an unknown word")


def expiry(s):
    """Exptimes: relative, absolute, past, negative, huge."""
    now = int(time.time())
    for name, exptime, alive in (
            ("0 never expires", 0, True), ("-1", -1, False), ("-2147483648", -2147483648, False),
            ("30 days are relative", 2592000, True),
        ("30 days and a second are in 1970", 2592001, False),
            ("31 days are in 1970, too (libmemcached's exist)", 2678400, False),
            ("a unix time an hour ahead", now + 3600, True),
        ("a unix time an hour ago", now - 3600, False),
            ("2^31-1", 2147483647, True)):
        got = s.once(b"set ex 0 %d 1\r\nx\r\nget ex\r\n" % exptime)
        tap.is_(got, b"STORED\r\n" + (value(b"ex", b"x") if alive else b"") + END,
                "exptime: " + name)
        s.once(b"set ex 0 0 1\r\nx\r\n")
        got = s.once(b"touch ex %d\r\nget ex\r\n" % exptime)
        tap.is_(got, b"TOUCHED\r\n" + (value(b"ex", b"x") if alive else b"") + END,
                "touch: " + name)
    rows(s, [("exptime over 2^31-1 is stored and gone", b"set ex 0 2147483648 1\r\nx\r\nget ex\r\n",
              b"STORED\r\n" + END, NEW)])
    with s.conn() as c:
        start = time.monotonic()
        c.send(b"set e1 0 2 1\r\nx\r\nset e2 0 %d 1\r\nx\r\nset e3 0 100 1\r\nx\r\n"
               b"set e4 0 0 1\r\nx\r\ntouch e4 2\r\n"
               % (int(time.time()) + 2))
        c.exact(len(b"STORED\r\n") * 4 + len(b"TOUCHED\r\n"))
        tap.is_(c.get(b"e1"), b"x", "alive before its 2 s")
        gone = {}
        while len(gone) < 3 and time.monotonic() < start + 6:
            for key in (b"e1", b"e2", b"e4"):
                if key not in gone and c.get(key) is None:
                    gone[key] = time.monotonic() - start
            time.sleep(0.02)
        for key in (b"e1", b"e2", b"e4"):
            tap.between(gone.get(key, 99), 0.9, 3.3, "%s goes after 2 s" % key.decode())
        tap.is_(c.get(b"e3"), b"x", "what lives longer is still there")
        tap.is_(c.ask(b"add e1 0 0 1\r\ny\r\n"), b"STORED\r\n", "add over what has expired")


def flush(s):
    """flush_all now, later, and replaced."""
    rows(s, [
        ("flush_all", b"set f 0 0 1\r\nx\r\nflush_all\r\nget f\r\n", b"STORED\r\nOK\r\n" + END,
         OURS),
        ("flush_all noreply", b"flush_all noreply\r\nmn\r\n", b"MN\r\n"),
        ("flush_all 0 noreply", b"flush_all 0 noreply\r\nmn\r\n", b"MN\r\n"),
        ("flush_all with a word", b"flush_all abc\r\n", EXPTIME),
        ("a negative time is now", b"set f 0 0 1\r\nx\r\nflush_all -1\r\nget f\r\n",
         b"STORED\r\nOK\r\n" + END, OURS),
        ("set in the second of the flush", b"flush_all\r\nset f 0 0 1\r\ny\r\nget f\r\n",
         b"OK\r\nSTORED\r\n" + value(b"f", b"y") + END, OURS),
    ])
    with s.conn() as c:
        c.set(b"f", b"x")
        tap.is_(c.ask(b"flush_all 3\r\n"), b"OK\r\n", "flush_all 3")
        start = time.monotonic()
        tap.is_(c.get(b"f"), b"x", "a delayed flush touches nothing now")
        while c.get(b"f") is not None and time.monotonic() < start + 8:
            time.sleep(0.02)
        tap.between(time.monotonic() - start, 0.9, 4.3, "it comes after 3 s")
        time.sleep(1.1)
        c.set(b"f", b"y")
        time.sleep(0.1)
        tap.is_(c.get(b"f"), b"y", "what is stored behind it stays")
        c.ask(b"flush_all 1\r\n")
        c.ask(b"flush_all 3600\r\n")
        time.sleep(2.2)
        tap.is_(c.get(b"f"), b"y", "the second flush replaces the first")


def deep_pipelines(s):
    """More requests than any buffer holds, written without reading."""
    n = 40000
    with s.conn() as c:
        c.set(b"deep", b"d" * 100)
        c.sock.settimeout(30)
        writer = threading.Thread(target=c.send, args=(b"get deep\r\n" * n + b"mn\r\n",))
        writer.start()
        time.sleep(0.3)
        whole = c.exact(len(value(b"deep", b"d" * 100) + END) * n + 4)
        writer.join()
        tap.ok(whole == (value(b"deep", b"d" * 100) + END) * n + b"MN\r\n",
               "%d pipelined gets, %d bytes, read late" % (n, len(whole)))
        c.send(b"".join(b"set deep%d 0 0 3 noreply\r\nabc\r\n" % i for i in range(n))
               + b"get deep%d\r\n" % (n - 1))
        tap.is_(c.until(END), value(b"deep%d" % (n - 1), b"abc") + END,
                "%d sets without an answer" % n)


def refusing():
    """-F, -A, cache_memlimit."""
    with Server("-F", "-A") as s:
        rows(s, [("flush_all under -F", b"set f 0 0 1\r\nx\r\nflush_all\r\nget f\r\n",
                  b"STORED\r\nCLIENT_ERROR flush_all not allowed\r\n" + value(b"f", b"x") + END),
                 ("shutdown with a wrong mode", b"shutdown nicely\r\n",
                  b"CLIENT_ERROR invalid shutdown mode\r\n"),
                 ("cache_memlimit too small", b"cache_memlimit 1\r\n",
                  b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"),
                 ("cache_memlimit in bytes", b"cache_memlimit 2000000000\r\n",
                  b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"),
                 ("cache_memlimit", b"cache_memlimit 32\r\ncache_memlimit 64 noreply\r\nmn\r\n",
                  b"OK\r\nMN\r\n"),
                 ("cache_memlimit with a word", b"cache_memlimit abc\r\nmn\r\n",
                  pattern(rb"(ERROR|CLIENT_ERROR [a-z ]+|MEMLIMIT[A-Za-z0-9_ ]+)\r\nMN\r\n"))])
        tap.is_(s.once(b"shutdown\r\n"), b"", "shutdown under -A")
        tap.is_(s.wait(), 0, "shutdown ends the server with 0")


def main():
    """Every function of this file on one server."""
    program_exists()
    with Server() as s:
        for function in (storage, replaced, numbers, general, too_large, cut_anywhere, long_lines,
                         deep_pipelines, expiry, flush):
            tap.guarded(function, s)
    tap.guarded(refusing)
    tap.done()


main()
