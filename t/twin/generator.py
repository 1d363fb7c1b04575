"""Random cases: valid and broken requests of all three protocols, cut and mixed.

generate(seed, number, timed) is a function of its arguments: a run is repeated by its seed.
"""

import base64
import random
import re

import cases
import operators
import packets
import rare

KEYS = [b"a", b"b", b"key", b"p:q", b"k" * 250, b"\x01\xff\x80"]
BINARY_KEYS = KEYS + [b"a b", b"\r\n", b"\x00" * 3]
LONG_KEYS = [b"l" * 251, b"l" * 300, b"l" * 1000]

COUNTERS = [b"0", b"1", b"9", b"10", b"99", b"100", b"1000", b"999999999", b"18446744073709551615",
            b"18446744073709551616", b"-1", b"+5", b" 7", b"7 x", b"7\t", b"7x", b"abc", b"007",
            b"1" * 30, b"5   "]
BODIES = [b"x", b"abc", b"hello world", b"\r\nx", b"\r\n", b"END\r\n", b"y" * 100,
          b"y" * 2040, b"y" * 2048, b"y" * 5000, b"7 " + b"z" * 5000,
          b"z" * 20000, b"z" * 70000]
HUGE = [400000, 524288, 600000, 1000000, 1048000, 1048576, 1048577, 1100000, 2097152]

TIMES = [b"0"] * 5 + [b"100", b"100", b"5", b"10", b"1", b"2", b"-1", b"2592000", b"2592001",
                      b"2147483647", b"<unix:+10>", b"<unix:+100>", b"<unix:-10>", b"<unix:+0>"]
FAR_TIMES = [b"0"] * 3 + [b"100", b"10000", b"-1", b"2592000", b"2147483647"]  # no second matters
ODD_TIMES = [b"2147483648", b"-2147483649", b"4294967296", b"abc", b"", b"1x", b"1.5", b"+1",
             b"99999999999999999999", b"-2", b"00010"]
DELTAS = [b"1", b"1", b"0", b"2", b"5", b"9", b"10", b"100", b"99999", b"18446744073709551615"]
ODD_NUMBERS = [b"18446744073709551616", b"-1", b"abc", b"", b"1x", b"+1", b"1.0", b"4294967296",
               b"0x10", b"99999999999999999999999"]
FLAGS = [b"0"] * 4 + [b"1", b"42", b"65535", b"4294967295"]
SHIFTS = [1, 1, 2, 4, 5, 6, 9, 10, 11, 30, 61, 99, 100, 101, 3600, 2592001]
OPAQUE = 0x01020304
RARE = 50       # every fiftieth case is for an entry of the list that is rare
OPERATORS = 10  # every tenth case is one of theirs


class Maker:
    """The requests of one case: it has favourite keys, and a mood."""

    def __init__(self, rng, wild, timed):
        self.rng = rng
        self.times = TIMES if timed else FAR_TIMES
        self.wild = wild  # share of requests with something wrong
        self.keys = rng.sample(KEYS, rng.choice((1, 2, 2, 3)))
        self.binary_keys = rng.sample(BINARY_KEYS, 1) + self.keys
        self.numeric = rng.random() < 0.4
        self.huge = rng.random() < 0.02

    # -- parts ---------------------------------------------------------------

    def odd(self):
        """True now and then."""
        return self.rng.random() < self.wild

    def key(self):
        if self.odd() and self.rng.random() < 0.3:
            return self.rng.choice(LONG_KEYS + [b"", b"\x00", b"x\x00y", b"t\tb", b"noreply"])
        return self.rng.choice(self.keys)

    def body(self):
        if self.huge and self.rng.random() < 0.3:
            return b"h" * self.rng.choice(HUGE)
        if self.numeric and self.rng.random() < 0.8:
            return self.rng.choice(COUNTERS)
        body = self.rng.choice(BODIES if self.rng.random() < 0.7 else COUNTERS + [b""])
        # Counting blanks is left to chance in memcached: not too often.
        return body if body != b"\r\n" or self.rng.random() < 0.2 else b"\r\nx"

    def exptime(self):
        return self.rng.choice(ODD_TIMES if self.odd() else self.times)

    def number(self, good):
        return self.rng.choice(ODD_NUMBERS if self.odd() else good)

    def cas(self):
        rng = self.rng
        if rng.random() < 0.15:
            return rng.choice((b"0", b"18446744073709551615", b"9223372036854775808"))
        if self.odd():
            return rng.choice(ODD_NUMBERS)
        return b"<cas:%d>" % rng.choice((1, 1, 1, 2, 2, 3, 4))

    def noreply(self):
        return b" noreply" if self.rng.random() < 0.15 else b""

    # -- classic text --------------------------------------------------------

    def text(self):
        """A request of the classic text protocol."""
        rng = self.rng
        word = rng.choice(("get", "get", "gets", "gets", "gat", "gats", "set", "set", "set", "add",
                           "replace", "append", "prepend", "cas", "cas", "delete", "incr", "incr",
                           "decr", "touch", "flush", "admin"))
        made = getattr(self, "text_" + word, None)
        if made:
            line = made()
        elif word in ("get", "gets"):
            line = b"%s %s\r\n" % (word.encode(), self.several())
        elif word in ("gat", "gats"):
            line = b"%s %s %s\r\n" % (word.encode(), self.exptime(), self.several())
        elif word in ("incr", "decr"):
            line = b"%s %s %s%s\r\n" % (word.encode(), self.key(), self.number(DELTAS),
                                        self.noreply())
        else:
            return self.text_store(word.encode())
        return self.break_line(line)

    def several(self):
        """The keys of a get."""
        count = self.rng.choice((1, 1, 1, 2, 3, 8))
        if self.odd() and self.rng.random() < 0.1:
            count = self.rng.choice((0, 100, 400))
        return b" ".join(self.key() for _ in range(count))

    def text_store(self, word):
        body = self.body()
        size = b"%d" % len(body)
        if self.odd():
            size = self.rng.choice((b"%d" % (len(body) + 1), b"%d" % max(0, len(body) - 1), b"-1",
                                    b"abc", b"", b"2147483647", b"4294967295", b"1x",
                                    b"%d" % (len(body) + 7)))
        words = [word, self.key(), self.number(FLAGS), self.exptime(), size]
        if word == b"cas":
            words.append(self.cas())
        line = self.break_line(b" ".join(words) + self.noreply() + b"\r\n", 0.2)
        end = b"\r\n"
        if self.odd() and self.rng.random() < 0.2:
            end = self.rng.choice((b"\n", b"", b"xx", b"\r\r\n", b"x\r\n"))
        return line + body + end

    def text_delete(self):
        more = self.rng.choice((b" 0", b" 1", b" 0 0", b" x", b" 10")) if self.odd() else b""
        return b"delete %s%s%s\r\n" % (self.key(), more, self.noreply())

    def text_touch(self):
        return b"touch %s %s%s\r\n" % (self.key(), self.exptime(), self.noreply())

    def text_flush(self):
        return b"flush_all%s%s\r\n" % (
            b" " + self.exptime() if self.rng.random() < 0.6 else b"", self.noreply())

    def text_admin(self):
        return self.rng.choice((
            b"version\r\n", b"version\r\n", b"version x\r\n", b"verbosity 0\r\n", b"verbosity\r\n",
            b"verbosity 0 noreply\r\n", b"verbosity x\r\n", b"verbosity 0 0\r\n", b"mn\r\n",
            b"mn x\r\n", b"quit\r\n", b"quit x\r\n", b"nonsense\r\n", b"GET a\r\n", b"\r\n",
            b" \r\n", b"\n", b"x\n", b"shutdown\r\n", b"shutdown graceful\r\n",
            b"cache_memlimit\r\n", b"cache_memlimit x\r\n", b"cache_memlimit 1\r\n",
            b"cache_memlimit 1 noreply\r\n", b"cache_memlimit 2000000000\r\n",
            b"cache_memlimit 64\r\n", b"stats nonsense\r\n",
            b"stats detail\r\n", b"stats detail x\r\n", b"stats detail on\r\n",
            b"stats detail off\r\n", b"stats detail dump\r\n", b"stats detail on x\r\n",
            b"stats cachedump\r\n", b"stats cachedump 1\r\n", b"stats cachedump x 0\r\n",
            b"stats cachedump 64 0\r\n", b"stats cachedump 1 x\r\n", b"stats cachedump 63 1\r\n",
            b"stats sizes\r\n", b"stats reset x\r\n", b"stats extstore\r\n", b"GET / HTTP/1.1\r\n",
            b"get / HTTP/1.1\r\n", b"POST /\r\n", b"get\r\n", b"gets\r\n", b"get \r\n", b"gat\r\n",
            b"gat 0\r\n", b"set\r\n", b"set a\r\n", b"set a 0\r\n", b"set a 0 0\r\n",
            b"cas a 0 0 1\r\nx\r\n", b"incr\r\n", b"incr a\r\n", b"touch\r\n", b"touch a\r\n",
            b"delete\r\n", b"flush_all x\r\n", b"flush_all 0 0\r\n", b"me a\r\n", b"mg\r\n",
            b"debugtime\r\n", b"slabs\r\n", b"z" * 2050, b"get " + b"q" * 2050,
            b"set a 0 0 1 noreply x\r\n1\r\n", b"incr a 1 noreply x\r\n", b"touch a 0 0\r\n"))

    def break_line(self, line, share=0.35):
        """The line, perhaps with something wrong that no part of it has of itself."""
        rng = self.rng
        if not self.odd() or rng.random() > share:
            return line
        words = line.rstrip(b"\r\n").split(b" ")
        at = rng.randrange(len(words))
        kind = rng.choice(("drop", "twice", "swap", "blank", "lead", "trail", "lf", "byte", "junk",
                           "noreply", "tab", "cr"))
        if kind == "drop":
            del words[at]
        elif kind == "twice":
            words.insert(at, words[at])
        elif kind == "swap":
            words[at] = rng.choice(words)
        elif kind == "blank":
            words.insert(max(at, 1), b"")
        elif kind == "lead":
            words.insert(0, b"")
        elif kind == "trail":
            words.append(b"")
        elif kind == "lf":
            return b" ".join(words) + b"\n"
        elif kind == "junk":
            words.append(rng.choice((b"x", b"0", b"1", b"noreply")))
        elif kind == "noreply":
            words.insert(at, b"noreply")
        elif kind == "tab":
            words[at] = words[at] + b"\t"
        elif kind == "cr":
            return b" ".join(words) + b"\r\r\n"
        else:
            whole = bytearray(b" ".join(words))
            if whole:
                whole[rng.randrange(len(whole))] = rng.choice(b"\x00\x01 az09\x7f\x80\xff\r")
            return bytes(whole) + b"\r\n"
        return b" ".join(words) + b"\r\n"

    # -- meta ----------------------------------------------------------------

    def meta(self):
        """A request of the meta protocol."""
        rng = self.rng
        word = rng.choice((b"mg", b"mg", b"mg", b"ms", b"ms", b"md", b"ma", b"ma", b"mn"))
        if rng.random() < 0.02:
            word = b"me"
        if word == b"mn":
            return b"mn\r\n"
        key, tail = self.key(), []
        if rng.random() < 0.15:
            key, tail = base64.b64encode(rng.choice(self.binary_keys)[:180]), [b"b"]
            if self.odd():
                key = rng.choice((b"!!!", key[:-1], key + b"=", b"A", b"A" * 251, b"A" * 249))
        flags = [self.meta_flag(word, letter) for letter in self.meta_letters(word)]
        if self.odd() and rng.random() < 0.3:
            flags.append(rng.choice([b"!", b"Z", b"w", b"q", b"k", b"Ox", b"O" + b"o" * 40, b"T",
                                     b"F-1", b"MX", b"M", b"N", b"t5"] + flags))
        if self.odd() and rng.random() < 0.1:
            flags += [b"k"] * 25
        flags += tail
        rng.shuffle(flags)
        if word != b"ms":
            return self.break_line(b" ".join([word, key] + flags) + b"\r\n")
        body = self.body()
        size = b"%d" % len(body)
        if self.odd() and rng.random() < 0.3:
            size = rng.choice((b"%d" % (len(body) + 1), b"-1", b"x", b"S2", b"", b"4294967295"))
        line = self.break_line(b" ".join([b"ms", key, size] + flags) + b"\r\n", 0.2)
        return line + body + (b"xx" if self.odd() and rng.random() < 0.1 else b"\r\n")

    def meta_letters(self, word):
        """Which flags to give."""
        sensible = {b"mg": "vvvkstcfhlquNTRO", b"ms": "FTCIMMMkOqc" * 3 + "Ns", b"md": "CITTkOqqI",
                    b"ma": "NNJDTMMCtcvvkOq", b"me": ""}[word]
        letters = "bkstcfvhluqOOPLNTRFCMJDIEx" if self.odd() else sensible
        if not letters:
            return []
        count = self.rng.choice((0, 1, 2, 2, 3, 4, 6))
        return list(dict.fromkeys(self.rng.choice(letters) for _ in range(count)))

    def meta_flag(self, word, letter):
        """A flag with its argument."""
        rng = self.rng
        head = letter.encode()
        if letter in "NTR":
            return head + (self.exptime() if letter != "R" else rng.choice((b"5", b"30", b"200")))
        if letter == "O":
            return head + rng.choice((b"", b"q", b"123", b"o" * 31, b"c5") +
                                     ((b"o" * 32,) if self.odd() else ()))
        if letter == "F":
            return head + self.number(FLAGS)
        if letter == "E":
            return head + self.number(DELTAS)
        if letter == "C":
            return head + self.cas()
        if letter in "JD":
            return head + self.number(DELTAS)
        if letter == "M":
            if self.odd():
                return head + rng.choice((b"s", b"e", b"i", b"d", b"Z", b"set", b"APPEND", b""))
            return head + rng.choice((b"S", b"E", b"A", b"P", b"R") if word == b"ms"
                                     else (b"I", b"D", b"+", b"-"))
        if letter in "PL":
            return head + rng.choice((b"", b"x"))
        return head

    # -- binary --------------------------------------------------------------

    def binary(self):
        """A request of the binary protocol."""
        rng = self.rng
        op = rng.choice(("get getq getk getkq set set setq add addq replace replaceq append "
                         "appendq prepend prependq delete deleteq incr incr incrq decr decrq touch "
                         "gat gatq gatk gatkq noop version flush flushq stat sasl_list "
                          "odd").split())
        key = rng.choice(self.binary_keys)
        more = {"opaque": rng.choice((0, OPAQUE, 0xffffffff))}
        if rng.random() < 0.2:
            more["cas"] = int.from_bytes(cases.CAS_MARK + bytes((rng.choice((1, 1, 2, 3)),)), "big")
        if op == "odd":
            return self.binary_odd(key, more)
        base = op.rstrip("q")
        times = (0, 0, 0, 100, 2592000, 0x7fffffff)
        if self.times is TIMES:
            times += (10, 1, 2592001, 0x80000000, 0xffffffff)
        if base in ("set", "add", "replace"):
            made = packets.store(op, key, self.body(), rng.choice((0, 7, 0xffffffff)),
                                 rng.choice(times), **more)
        elif base in ("append", "prepend"):
            made = packets.packet(op, key, self.body(), **more)
        elif base in ("incr", "decr"):
            made = packets.count(op, key, int(rng.choice(DELTAS)), int(rng.choice(DELTAS)),
                                 rng.choice(times + (0xffffffff,) * 3), **more)
        elif base in ("touch", "gat", "gatk"):
            made = packets.touch(op, key, rng.choice(times), **more)
        elif base == "flush":
            made = packets.packet(op, extras=rng.choice((b"", b"\0\0\0\0", b"\0\0\0\x64")), **more)
        elif op == "stat":  # behind a lone "detail" 1.6.18 reads what it finds
            made = packets.packet(op, rng.choice((b"nonsense", b"detail on", b"detail off",
                                                  b"detail dump", b"detail x", b"reset",
                                                  b"cachedump", b"sizes", b"resetx")), **more)
        elif op in ("noop", "version", "sasl_list"):
            made = packets.packet(op, **more)
        else:
            made = packets.packet(op, key, **more)
        return self.break_packet(made)

    def binary_odd(self, key, more):
        """A packet that is complete and means nothing."""
        rng = self.rng
        return rng.choice((
            lambda: packets.packet("verbosity", extras=b"\0\0\0\0", **more),
            lambda: packets.packet(0x25, **more),
            lambda: packets.packet(0x7f, **more),
            lambda: packets.packet(0xff, key, b"value", **more),
            lambda: packets.packet(0x30, key, **more),
            lambda: packets.packet("sasl_auth", b"PLAIN", b"\0u\0p", **more),
            lambda: packets.packet("sasl_step", b"PLAIN", b"\0u\0p", **more),
            lambda: packets.packet("quit", **more),
            lambda: packets.packet("quitq", **more),
            lambda: packets.packet("get", b"", **more),
            lambda: packets.packet("get", b"l" * 251, **more),
            lambda: packets.store("set", b"l" * 300, b"x", **more),
            lambda: packets.store("set", b"", b"x", **more),
            lambda: packets.packet("noop", key, **more),
            lambda: packets.packet("version", b"", b"x", **more),
            lambda: packets.packet("flush", extras=b"\0\0", **more),
            lambda: packets.packet("set", key, b"x", **more),
            lambda: packets.packet("get", key, extras=b"\0\0\0\0", **more),
            lambda: packets.packet("get", key, b"value", **more),
            lambda: packets.packet("delete", key, b"value", **more),
            lambda: packets.packet("incr", key, b"", b"\0" * 19, **more),
            lambda: packets.packet("touch", key, b"", b"\0" * 3, **more),
            lambda: packets.packet("append", key, b"v", b"\0" * 8, **more),
            lambda: packets.packet("get", key, bodylen=0, **more),
            lambda: packets.store("set", key, b"x", bodylen=3, **more),
            lambda: packets.store("set", key, b"x", bodylen=0x7fffffff, **more),
            lambda: packets.store("set", key, b"x", bodylen=0xffffffff, **more),
            lambda: packets.packet("get", key, magic=0x81, **more),
            lambda: packets.packet("get", key, magic=0x00, **more),
            lambda: b"get a\r\n"))()

    def break_packet(self, made):
        """The packet, perhaps with a byte of its header changed."""
        rng = self.rng
        if not self.odd() or rng.random() > 0.3:
            return made
        whole = bytearray(made)
        at = rng.choice((1, 2, 3, 4, 5, 6, 7, 10, 11))
        whole[at] = rng.choice((0, 1, 4, 8, 20, whole[at] ^ 1, whole[at] + 1 & 255, 255))
        return bytes(whole)


def generate(seed, number, timed):
    """The case of this number."""
    if number % OPERATORS == OPERATORS - 1:
        return operators.generate(seed, number)
    if number % RARE == RARE - 2:
        return rare.generate(seed, number, timed)
    rng = random.Random("%d/%d" % (seed, number))
    maker = Maker(rng, rng.choice((0, 0.03, 0.03, 0.15)), timed)
    names = rng.choice((["t1"], ["t1"], ["t1"], ["b1"], ["b1"], ["t1", "t2"], ["t1", "b1"],
                        ["t1", "t2", "b1"]))
    kinds = rng.choice((("text",), ("meta",), ("text", "meta"), ("text", "meta")))
    shifts = timed and rng.random() < 0.35
    case = []
    for _ in range(rng.choice((1, 2, 3, 5, 8))):
        if shifts and case and rng.random() < 0.4:
            case.append(("shift", rng.choice(SHIFTS)))
            continue
        name = rng.choice(names)
        requests = [maker.binary() if cases.is_binary(name) else getattr(maker, rng.choice(kinds))()
                    for _ in range(rng.choice((1, 1, 2, 3, 5, 12)))]
        size = sum(map(len, requests))
        cuts = []
        if rng.random() < 0.3:
            cuts = sorted(rng.randrange(size + 1) for _ in range(rng.choice((1, 1, 2, 4))))
        case.append(("talk", name, requests, cuts))
    if case[-1][0] == "talk" and rng.random() < 0.05:  # the rest never comes
        requests = case[-1][2]
        requests[-1] = requests[-1][:rng.randrange(1, len(requests[-1]) + 1)]
    return case


def _key_of(packet):
    """The key that a packet seems to have."""
    if len(packet) < 24:
        return b""
    begin = 24 + packet[4]
    return packet[begin:begin + int.from_bytes(packet[2:4], "big")]


def cleaning(case):
    """Text requests that make a server forget what a case has stored, and how it was set up."""
    if operators.is_operators(case):
        return operators.DEFAULTS + b"stats reset\r\n"
    keys = set(BINARY_KEYS)
    for step in case:
        for request in step[2] if step[0] == "talk" else ():
            if cases.is_binary(step[1]):
                keys.add(_key_of(request))
            else:
                line = request[:2100].split(b"\n")[0].rstrip(b"\r")
                keys.update(line.split(b" ")[1:])
    sent = [b"flush_all noreply\r\nverbosity 0 noreply\r\nstats detail off\r\n"
            b"cache_memlimit 64 noreply\r\n"]
    for key in sorted(keys):
        if 0 < len(key) <= 250 and re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}", key):
            sent.append(b"md %s b q\r\n" % key)
        if 0 < len(key) <= 180:
            sent.append(b"md %s b q\r\n" % base64.b64encode(key))
        if 0 < len(key) <= 250 and not set(key) & set(b" \r\n\x00"):
            sent.append(b"delete %s noreply\r\n" % key)
    return b"".join(sent) + b"stats reset\r\n"
