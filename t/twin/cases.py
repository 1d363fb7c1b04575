"""A case: what is sent, as plain values that print as they are written.

A case is a list of steps, which are tuples:

    ("talk", CONNECTION, [REQUEST, ...], [CUT, ...])   requests in one go, cut at these bytes
    ("shift", SECONDS)                                 both clocks go on

A connection is named by a word whose first letter is its protocol: "t1", "b1".  Requests are
bytes.  What a server has to tell first is written as a mark, and put in when it is sent:

    text     <cas:N>  the Nth different cas number that this server has shown in this case
             <unix:N> the server's clock and N seconds, N with its sign
    binary   CAS_MARK and the byte N, in the header's field
"""

import re
import struct

CAS_MARK = b"\xca\x5c\xa5\xca\x5c\xa5\x00"
CAS_UNKNOWN = 2**62 + 12345  # nobody's

_TEXT_MARK = re.compile(rb"<(?:cas:(\d+)|unix:([+-]\d+))>")
_BINARY_MARK = re.compile(re.escape(CAS_MARK) + rb"(.)", re.S)


def is_binary(connection):
    """True if the connection speaks the binary protocol."""
    return connection.startswith("b")


def connections(case):
    """The names of all connections, in the order of their first use."""
    return list(dict.fromkeys(step[1] for step in case if step[0] == "talk"))


def fill(data, binary, numbers, now):
    """data with its marks filled in; numbers: the cas numbers seen, in their order."""
    def number(n):
        return numbers[n - 1] if 0 < n <= len(numbers) else CAS_UNKNOWN

    if binary:
        return _BINARY_MARK.sub(lambda m: struct.pack(">Q", number(m.group(1)[0])), data)
    return _TEXT_MARK.sub(lambda m: b"%d" % (number(int(m.group(1))) if m.group(1)
                                             else now + int(m.group(2))), data)


def pieces(requests, cuts, binary):
    """The requests' bytes cut into pieces; a cut within a mark waits for its end."""
    whole = b"".join(requests)
    marks = [m.span() for m in (_BINARY_MARK if binary else _TEXT_MARK).finditer(whole)]
    at = set()
    for cut in cuts:
        for begin, end in marks:
            if begin < cut < end:
                cut = end
        if 0 < cut < len(whole):
            at.add(cut)
    ends = sorted(at) + [len(whole)]
    return [whole[a:b] for a, b in zip([0] + ends, ends)]


def show(case):
    """The case as source: paste it into TWIN_CASE or a file that TWIN_REPLAY names."""
    lines = []
    for step in case:
        if step[0] == "shift":
            lines.append("    %r," % (step,))
            continue
        _, name, requests, cuts = step
        lines.append("    ('talk', %r, [" % name)
        lines += ["        %s," % _bytes(r) for r in requests]
        lines.append("    ], %r)," % (cuts,))
    return "[\n" + "\n".join(lines) + "\n]"


def _bytes(data):
    """A bytes literal, long runs of one byte as a product."""
    parts, at = [], 0
    for m in re.finditer(rb"(.)\1{40,}", data, re.S):
        if m.start() > at:
            parts.append(repr(data[at:m.start()]))
        parts.append("%r * %d" % (m.group(1), m.end() - m.start()))
        at = m.end()
    if at < len(data) or not parts:
        parts.append(repr(data[at:]))
    return " + ".join(parts)
