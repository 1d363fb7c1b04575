"""Answers without what cannot be equal: cas numbers become their order of appearance, the number
of the version goes, and the rows of "stats detail dump" are put in order.  Where the clocks cannot
be held the seconds go too, and of statistics all go but the settings in TUNED.  Nothing else.
"""

import re
import struct

_CAS_FIELDS = re.compile(rb"(?<= c)\d+(?=[ \r\n]|$)")
_VALUE = re.compile(rb"VALUE (\S+) (\d+) (\d+)(?: (\d+))?\r\n")
_META_VALUE = re.compile(rb"VA (\d+)( [^\r\n]*)?\r\n")


class Numbers:
    """The cas numbers that one server has shown in a case."""

    def __init__(self):
        self.order = []
        self.known = {}

    def name(self, number):
        """#1, #2 ... in the order of appearance; 0 stays."""
        if number == 0:
            return b"0"
        if number not in self.known:
            self.order.append(number)
            self.known[number] = len(self.order)
        return b"#%d" % self.known[number]


# What operators turn; of all statistics only these are compared as answers.
TUNED = frozenset(b"""maxbytes verbosity slab_automove slab_automove_ratio lru_crawler
    lru_crawler_sleep lru_crawler_tocrawl lru_segmented hot_lru_pct warm_lru_pct hot_max_factor
    warm_max_factor temp_lru temporary_ttl""".split())

_TIMES = re.compile(rb"(?<= )(t|l|la=|exp=(?!-1 )-?)\d+(?=[ \r])")


class TextAnswers:
    """Takes the answers of one text connection apart, as they come.

    timed: both clocks stand still; if not, seconds are not compared.
    """

    def __init__(self, numbers, timed):
        self.numbers = numbers
        self.timed = timed
        self.rest = b""

    def feed(self, data):
        """The answers that are whole now: a line, or a line and its data."""
        self.rest += data
        found, at = [], 0
        while True:
            end = self.rest.find(b"\n", at)
            if end < 0:
                break
            line = self.rest[at:end + 1]
            size = self._data_size(line)
            if size is None:
                if line[:5] != b"STAT " or line.split(b" ")[1] in TUNED:
                    found.append(self._line(line))
                at = end + 1
                continue
            if len(self.rest) < end + 1 + size + 2:
                break
            found.append(self._line(line) + self.rest[end + 1:end + 1 + size + 2])
            at = end + 1 + size + 2
        self.rest = self.rest[at:]
        return _in_order(found)

    @staticmethod
    def _data_size(line):
        m = _VALUE.fullmatch(line)
        if m:
            return int(m.group(3))
        m = _META_VALUE.fullmatch(line)
        return int(m.group(1)) if m else None

    def _line(self, line):
        m = _VALUE.fullmatch(line)
        if m and m.group(4):
            return line[:m.start(4)] + self.numbers.name(int(m.group(4))) + b"\r\n"
        if line.startswith(b"VERSION 1.6."):
            return b"VERSION\r\n"
        if not self.timed and line[:3] in (b"HD ", b"VA ", b"ME "):
            line = _TIMES.sub(lambda m: m.group(1).rstrip(b"-") + b"~", line)
        if line[:3] in (b"HD ", b"VA ", b"EN ", b"NF ", b"NS ", b"EX "):
            return _CAS_FIELDS.sub(lambda m: self.numbers.name(int(m.group())), line)
        if line.startswith(b"ME "):
            return re.sub(rb"(?<= cas=)\d+", lambda m: self.numbers.name(int(m.group())), line)
        return line


def _in_order(lines):
    """The rows of "stats detail dump" come in the order of a hash."""
    found, rows = [], []
    for line in lines:
        if line.startswith(b"PREFIX "):
            rows.append(line)
        else:
            found += sorted(rows) + [line]
            rows = []
    return found + sorted(rows)


class BinaryAnswers:
    """Takes the answers of one binary connection apart, as they come."""

    def __init__(self, numbers, timed):
        self.numbers = numbers
        self.timed = timed
        self.rest = b""

    def feed(self, data):
        """The answers that are whole now, as readable lines."""
        self.rest += data
        found = []
        while len(self.rest) >= 24 and self.rest[0] == 0x81:
            size = struct.unpack(">I", self.rest[8:12])[0]
            if len(self.rest) < 24 + size:
                break
            found.append(self._packet(self.rest[:24], self.rest[24:24 + size]))
            self.rest = self.rest[24 + size:]
        return found

    def _packet(self, head, body):
        (_, op, keylen, extlen, kind, status, _, opaque, cas) = struct.unpack(">BBHBBHIIQ", head)
        value = body[extlen + keylen:]
        if op == 0x0b and status == 0 and value.startswith(b"1.6."):
            value = b"1.6"
        return b"op=%02x status=%02x opaque=%08x cas=%s type=%d extras=%s key=%s value=%s\r\n" % (
            op, status, opaque, self.numbers.name(cas), kind, body[:extlen].hex().encode(),
            body[extlen:extlen + keylen], value)
