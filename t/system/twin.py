#!/usr/bin/python3
"""The same random requests to memcached and to us: the answers must be the same.

Only what every 1.6 of memcached answers alike is asked; of cas numbers it is only looked
whether there is one.  TWIN_SEED makes another run, TWIN_ROUNDS a longer one.
"""

import base64
import os
import random
import re
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import packets  # noqa: E402
import server  # noqa: E402
import tap  # noqa: E402

MEMCACHED = shutil.which("memcached") or "/usr/bin/memcached"
SEED = int(os.environ.get("TWIN_SEED", "1"))
ROUNDS = int(os.environ.get("TWIN_ROUNDS", "300"))
KEYS = [b"a", b"b", b"key", b"p:q", b"k" * 250, b"\x01\xff\x80"]
COUNTABLE = [b"0", b"1", b"9", b"10", b"99", b"999999999", b"-1", b" 7", b"7 x", b"abc", b"x" * 100]
BODIES = COUNTABLE + [b"", b"\r\n", b"END\r\n", b"y" * 5000, b"z" * 70000]
TIMES = [0, 0, 0, 100, 2592000, 2592001, -1, 4102444800 // 2]
NUMBERS = [0, 1, 2, 9, 10, 100, 99999, 2**32]


class Talk:
    """Random requests of one protocol, one pipeline after another."""

    def __init__(self, rng):
        self.rng = rng

    def key(self):
        """A key, short ones more often."""
        return KEYS[int(len(KEYS) * self.rng.random() ** 1.5)]

    def key_for(self, word):
        """Numbers and text have keys of their own: memcached pads a shorter number or does not,
        as its other threads will have it, and append would bring that to light.
        1.6.18 reads behind the end of an empty or very long number."""
        if word in (b"incr", b"decr", b"ma"):
            return self.rng.choice(KEYS[:2])
        if word in (b"append", b"prepend"):
            return self.rng.choice(KEYS[2:])
        return self.key()

    def body(self, key):
        """A value; what incr may meet is never empty."""
        return self.rng.choice(COUNTABLE if key in KEYS[:2] else BODIES)

    def text(self):
        """A request of the classic protocol."""
        rng = self.rng
        word = rng.choice((b"get", b"get", b"get", b"gat", b"set", b"set", b"set", b"add",
                           b"replace", b"append",
                           b"prepend", b"delete", b"incr", b"incr", b"decr", b"touch", b"odd"))
        quiet = rng.choice((b"", b"", b"", b" noreply"))
        key = self.key_for(word)
        if word == b"get":
            return b"get " + b" ".join(self.key()
                                       for _ in range(rng.choice((1, 1, 3, 8)))) + b"\r\n"
        if word == b"gat":
            return b"gat %d %s %s\r\n" % (rng.choice(TIMES), key, self.key())
        if word in (b"set", b"add", b"replace", b"append", b"prepend"):
            body = self.body(key)
            return b"%s %s %d %d %d%s\r\n%s\r\n" % (word, key, rng.choice((0, 1, 2**32 - 1)),
                                                    rng.choice(TIMES),
                                                    len(body), quiet, body)
        if word in (b"incr", b"decr"):
            return b"%s %s %d%s\r\n" % (word, key, rng.choice(NUMBERS), quiet)
        if word == b"touch":
            return b"touch %s %d%s\r\n" % (key, rng.choice(TIMES), quiet)
        if word == b"delete":
            return b"delete %s%s\r\n" % (key, quiet)
        return rng.choice((b"nonsense\r\n", b"incr a b\r\n", b"touch a b\r\n",
                           b"set a 0 0 -1\r\n", b"set a 0 0 3\r\nabcde", b"mn\r\n",
                           b"flush_all abc\r\n",
                           b"verbosity 0\r\n", b"gat x a\r\n", b"delete a 5\r\n",
                           b"cas a 0 0 1 0\r\nx\r\n"))

    def meta(self):
        """A request of the meta protocol."""
        rng = self.rng
        word = rng.choice((b"mg", b"mg", b"mg", b"ms", b"ms", b"md", b"ma", b"ma"))
        mode = rng.choice((b"MS", b"MS", b"ME", b"MA", b"MP", b"MR"))
        key, tail = self.key_for(b"append" if word == b"ms"
                                 and mode in (b"MA", b"MP") else word), []
        if rng.random() < 0.2:
            key, tail = base64.b64encode(key[:100] + b" "), [b"b"]
        flags = {b"mg": (b"v", b"f", b"s", b"t", b"k", b"h", b"q", b"N30", b"T50", b"T100"),
                 b"ms": (b"F7", b"T100", b"T-1", b"q", b"I", b"k"),
                 b"md": (b"q", b"I", b"T30", b"k"),
                 b"ma": (b"v", b"N0", b"J5", b"D3", b"q", b"t", b"k")}[word]
        flags = rng.sample(flags, rng.randrange(min(6, len(flags)) + 1))
        if sum(flag[:1] == b"T" for flag in flags) > 1:
            flags = [flag for flag in flags if flag[:1] != b"T"]
        if word == b"mg":  # 1.6.18 does not repeat k on a miss; t before N is -1 in memcached
            flags = [flag for flag in flags if flag != b"k"]
            if key in KEYS[:2] or tail:
                flags = [flag for flag in flags if flag not in (b"N30", b"h")]
            if b"N30" in flags:
                flags = [flag for flag in flags if flag[:1] not in (b"t", b"T")]
        if word == b"ms":
            flags.append(mode)
        if word == b"ma" and b"N0" in flags:  # 1.6.18 answers a quiet creation
            flags = [flag for flag in flags if flag not in (b"q", b"t")]
        if word == b"md":
            flags = [flag for flag in flags if flag != b"I" and flag != b"q"]
        rng.shuffle(flags)
        line = b" ".join([word, key] + ([b"%d"] if word == b"ms" else []) + tail + flags) + b"\r\n"
        if word == b"ms":
            body = self.body(key if not tail else KEYS[0])
            return line.replace(b"%d", b"%d" % len(body), 1) + body + b"\r\n"
        return line

    def binary(self):
        """A request of the binary protocol."""
        rng = self.rng
        op = rng.choice(("get getq getk getkq set setq add addq replace replaceq append appendq "
                         "prepend prependq "
                         "delete deleteq incr incrq decr decrq touch gat gatq gatk gatkq "
                         "noop").split())
        opaque = rng.randrange(2**32)
        base = op.rstrip("q")
        key = self.key_for(base.encode())
        if base in ("set", "add", "replace"):
            return packets.store(op, key, self.body(key), rng.choice((0, 7)), rng.choice((0, 100)),
                                 opaque=opaque)
        if base in ("append", "prepend"):
            return packets.packet(op, key, self.body(key), opaque=opaque)
        if base in ("incr", "decr"):
            return packets.count(op, key, rng.choice(NUMBERS), rng.choice(NUMBERS),
                                 rng.choice((0, 100, packets.NEVER)), opaque=opaque)
        if base in ("touch", "gat", "gatk"):
            return packets.touch(op, key, rng.choice((0, 100)), opaque=opaque)
        return packets.packet(op, b"" if op == "noop" else key, opaque=opaque)


def tidy(data, binary):
    """The answers without what may differ."""
    if binary:
        return [(a.op, a.status, a.opaque, a.extras, a.key, a.value.rstrip(b" "), a.cas != 0)
                for a in packets.answers(data)]
    data = re.sub(rb" t(100|99|98|50|49|48|30|29|28|25919\d\d|2592000|2\d{8})\b", b" tN", data)
    data = re.sub(rb" s\d+", b" sN", data)
    data = re.sub(rb"(VALUE \S+ \d+) \d+\r\n(\d+) *\r\n", rb"\1 N\r\n\2\r\n", data)
    return re.sub(rb"VA \d+([^\r]*)\r\n(\d+) *\r\n", rb"VA N\1\r\n\2\r\n", data).split(b"\r\n")


def short(request):
    """A request as a person reads it."""
    return repr(re.sub(rb"(.)\1{20,}", rb"\1...", request, flags=re.S))


def main():
    """Pipelines, until one is answered differently."""
    server.program_exists()
    if not os.access(MEMCACHED, os.X_OK):
        tap.skip_all("Debian package memcached is missing")
    tap.note("TWIN_SEED=%d" % SEED)
    rng = random.Random(SEED)
    talk = Talk(rng)
    ours = server.PROGRAM
    with server.Server() as us:
        server.PROGRAM = MEMCACHED
        with server.Server() as them:
            server.PROGRAM = ours
            for kind in ("text", "meta", "binary"):
                different = None
                for number in range(ROUNDS):
                    requests = [getattr(talk, kind)() for _ in range(rng.choice((1, 5, 30)))]
                    stream = b"".join(requests)
                    want = tidy(them.once(stream), kind == "binary")
                    got = tidy(us.once(stream), kind == "binary")
                    if got != want:
                        at = next((i for i, pair in enumerate(zip(got, want))
                                   if pair[0] != pair[1]),
                                  min(len(got), len(want)))
                        different = "pipeline %d, answer line %d: got %.300r, want %.300r\n%s" % (
                            number, at, got[at:at + 2], want[at:at + 2],
                            "\n".join(short(r) for r in requests))
                        break
                tap.ok(different is None, "%s: %d pipelines are answered alike" % (kind, ROUNDS),
                       different)
    tap.done()


main()
