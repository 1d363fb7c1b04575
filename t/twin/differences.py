"""The reviewed list of what memcached 1.6.18 answers and Magpie does not, on purpose.

Whatever differs and is not explained by an entry is a failure.  A long run fails on an entry that
it never met.
"""

import base64
import re
import struct

OLD = "as 1.6.45; 1.6.18"      # what 1.6.18 does, and 1.6.45 does not any more
BUG = "not copied; memcached"  # what 1.6.18 does, and 1.6.45 mostly too, and nobody can want
OURS = "ours"                  # what we do

ANY = None  # any step of a counter


class Difference:
    """One entry.

    name, why       for people; why begins with OLD, BUG or OURS
    request         pattern of the whole request
    theirs, ours    patterns of the whole answers on the request's connection; "" is no answer
    blur            instead of them: (pattern, replacement) of what may differ in answers that are
                    equal otherwise
    counts          {counter: (their step, our step)}: what may move differently
    parts           the two hold different things from here on: the case ends, and what moved
                    differently in this step is not looked at
    binary          of the binary protocol
    when            what else must be true of a step
    """

    def __init__(self, name, why, request, theirs=None, ours=None, blur=(), counts=None,
                 parts=False, binary=False, when=None):
        self.name = name
        self.why = why
        self.request = re.compile(request, re.S)
        self.theirs = None if theirs is None else re.compile(theirs, re.S)
        self.ours = None if ours is None else re.compile(ours, re.S)
        self.blur = [(re.compile(pattern, re.S), put) for pattern, put in blur]
        self.counts = counts or {}
        self.parts = parts
        self.binary = binary
        self.when = when
        self.met = 0

    def fits(self, step):
        """True if the request is one of the entry's."""
        if self.binary is not None and self.binary != step.binary:
            return False
        return self.request.fullmatch(step.request) is not None or bool(
            not step.binary and step.tail and self.request.fullmatch(step.tail + step.request))

    def explains_answers(self, step, theirs, ours):
        """True if both answers are as the entry has it."""
        if self.theirs is not None:
            same = self.theirs.fullmatch(theirs) and self.ours.fullmatch(ours)
        else:
            same = bool(self.blur) and self.blurred(theirs) == self.blurred(ours)
        return bool(same and self.holds(step))

    def blurred(self, answer):
        """An answer without what may differ."""
        for pattern, put in self.blur:
            answer = pattern.sub(put, answer)
        return answer

    def explains_count(self, step, name, pair):
        """True if the counter may have moved so."""
        return (name in self.counts and self.counts[name] in (ANY, pair)) and self.holds(step)

    def holds(self, step):
        """True if all else is as the entry has it."""
        return self.when is None or self.when(step)


def line_of(step):
    """A text request's line, without its end."""
    return (step.tail + step.request).split(b"\n")[0].removesuffix(b"\r")


def words(step):
    """The line's words."""
    return [word for word in line_of(step).split(b" ") if word]


def flags(step):
    """The letters of a meta request's flags."""
    found = words(step)
    return {word[:1] for word in found[3 if found[0] == b"ms" else 2:]}


def _blurring(fitting, step, answers):
    """The fewest entries that together blur the answers to the same, or none."""
    used = [entry for entry in fitting if entry.blur and entry.holds(step)]

    def same(entries):
        theirs, ours = answers
        for entry in entries:
            theirs, ours = entry.blurred(theirs), entry.blurred(ours)
        return theirs == ours

    if not same(used):
        return []
    for entry in list(used):
        less = [other for other in used if other is not entry]
        used = less if same(less) else used
    return used


def explain(step):
    """The entries that explain all of a step's difference, or None."""
    used = []
    fitting = [entry for entry in LIST if entry.fits(step)]
    answers = step.answer()
    if answers is None:
        return None
    if step.theirs != step.ours:
        found = next((e for e in fitting if e.explains_answers(step, *answers)), None)
        used = [found] if found else _blurring(fitting, step, answers)
        if not used:
            return None
        if found and found.parts:
            return used
    for name in step.their_counts:
        pair = step.their_counts[name], step.our_counts[name]
        found = next((e for e in fitting if e.explains_count(step, name, pair)), None)
        if found is None:
            return [e for e in fitting
                    if e.parts and e.explains_answers(step, *answers)][:1] or None
        used.append(found)
    return used


def explain_together(run, case):
    """The entry that explains why requests are answered otherwise in one go, or None.

    We must have answered as we did to one request at a time.
    """
    return next((entry for entry in TOGETHER
                 if (entry.cut or run.ours_same()) and entry.when(run, case)), None)


STORAGE = rb"(?:set|add|replace|append|prepend|cas) [^\n]*\n.*"
BAD = rb"CLIENT_ERROR bad command line format\r\n"
FEWEST = {b"get": 2, b"gets": 2, b"gat": 3, b"gats": 3, b"set": 5, b"add": 5, b"replace": 5,
          b"append": 5, b"prepend": 5, b"cas": 6, b"incr": 3, b"decr": 3, b"touch": 3, b"delete": 2,
          b"mg": 2, b"ms": 3, b"md": 2, b"ma": 2, b"me": 2, b"verbosity": 2, b"cache_memlimit": 2}
MOST = {b"set": 6, b"add": 6, b"replace": 6, b"append": 6, b"prepend": 6, b"cas": 7, b"incr": 4,
        b"decr": 4, b"touch": 4, b"delete": 4, b"flush_all": 3, b"verbosity": 3, b"me": 3,
        b"version": 1, b"quit": 1, b"mn": 1, b"shutdown": 2, b"cache_memlimit": 3}


def too_few(step):
    """Fewer words than the command needs."""
    found = words(step)
    return bool(found) and len(found) < FEWEST.get(found[0], 0) and not bad_line(found)


def too_many(step):
    """More words than 1.6.18 takes."""
    found = words(step)
    return bool(found) and len(found) > MOST.get(found[0], 1000)


TIME_AT = {b"set": 3, b"add": 3, b"replace": 3, b"append": 3, b"prepend": 3, b"cas": 3,
           b"touch": 2, b"gat": 1, b"gats": 1, b"flush_all": 1}  # word of the time


def _is_wide(number):
    m = re.fullmatch(rb"[-+]?\d{10,}", number)
    return m is not None and not -2**31 <= int(number) < 2**31


def _wide_line(found):
    """True for the words of a line with a time of more than 32 bits."""
    if found[:1] and found[0] in (b"ms", b"mg", b"ma", b"md"):
        return any(word[:1] in b"TNR" and _is_wide(word[1:]) for word in found[2:])
    at = TIME_AT.get(found[0], 0) if found else 0
    return 0 < at < len(found) and _is_wide(found[at])


def _split(text):
    """The words of each line."""
    return [[w for w in line.removesuffix(b"\r").split(b" ") if w] for line in text.split(b"\n")]


def _keys(found):
    """What may be keys in the words of a line, without base64."""
    keys = set(found[1:])
    for word in found[1:2] if b"b" in found[2:] else ():
        try:
            keys.add(base64.b64decode(word + b"==="))
        except ValueError:
            pass
    return keys


def names(step):
    """What may be keys in a request."""
    if step.binary:
        front = 24 + step.request[4] if len(step.request) > 4 else 0
        return {step.request[front:front + int.from_bytes(step.request[2:4], "big")]}
    return set().union(*map(_keys, _split(step.tail + step.request)))


def wide_time(step):
    """A time of more than 32 bits, now or earlier in the case for one of the keys, or for all."""
    if not step.binary and any(map(_wide_line, _split(step.tail + step.request))):
        return True
    wide = [found for found in _split(step.past) if _wide_line(found)]
    return any(found[0] == b"flush_all" or _keys(found) & names(step) for found in wide)


def counter(step):
    """Our value of the key that is to be counted, or None."""
    found = words(step)
    if step.binary:
        front = 24 + step.request[4]
        key = step.request[front:front + int.from_bytes(step.request[2:4], "big")]
        plain = not any(byte <= 0x20 for byte in key)
        return step.peek(key if plain else base64.b64encode(key), not plain)
    if len(found) < 2:
        return None
    return step.peek(found[1], found[0] == b"ma" and b"b" in flags(step))


def open_counter(step):
    """A counter whose value has nothing but blanks, or 20 digits and more."""
    value = counter(step)
    return value is not None and (value.strip(b" \t\r\n\v\f") == b"" or len(value) >= 20)


def _number(word, low, high):
    return re.fullmatch(rb"[-+]?\d+", word) is not None and low <= int(word) <= high


def bad_storage(step):
    """A storage line with something wrong, whose length can be read."""
    found = words(step)
    if found[0] == b"ms" and len(found) > 2 and len(found[1]) <= 250:
        return _number(found[2], 0, 2**31 - 3) and step.answer()[1].startswith(b"CLIENT_ERROR")
    return bad_line(found)


def bad_line(found):
    """True for the words of a storage line with something wrong, whose length can be read."""
    at = 2 if found[0] == b"ms" else 4
    if len(found) <= at or not _number(found[at], 0, 2**31 - 3):
        return False
    if len(found[1]) > 250:
        return True
    if at == 2:
        return False
    return not (_number(found[2], 0, 2**32 - 1) and _number(found[3], -2**63, 2**63 - 1)
                and (found[0] != b"cas" or len(found) > 5 and
                     (found[5].startswith(b"<") or _number(found[5], 0, 2**64 - 1))))


def body_beyond_header(step):
    """An unknown opcode with a body."""
    return struct.unpack(">I", step.request[8:12])[0] > 0


def bad_storage_before(step):
    """The last line before was a bad storage line, and its data does not end with a line."""
    line = re.findall(rb"(?:^|\n)((?:set|add|replace|append|prepend|cas|ms) [^\n]*)", step.before)
    return bool(line and step.tail) and bad_line(line[-1].removesuffix(b"\r").split())


def lacks_data(step):
    """The data of a storage line is not all there."""
    found = words(step)
    at = 2 if found[0] == b"ms" else 4
    return len(found) > at and _number(found[at], 0, 2**31 - 3) and \
        len(step.request.partition(b"\n")[2]) < int(found[at]) + 2


def _body_length(step):
    return int.from_bytes(step.request[8:12], "big") if len(step.request) >= 24 else 0


def lacks_key(step):
    """Extras and key are not all there."""
    sent = len(step.request)
    return sent >= 24 and sent < 24 + step.request[4] + int.from_bytes(step.request[2:4], "big")


def misaligned(step):
    """The next packet does not begin with a packet's first byte; all else is equal."""
    theirs, ours = step.answer()
    sent = step.before + step.request
    while len(sent) >= 24 and sent[0] == 0x80:
        sent = sent[24 + int.from_bytes(sent[8:12], "big"):]
    return sent[:1] not in (b"", b"\x80") and theirs + b"(closed)" == ours


def short_body(step):
    """A packet whose body is shorter than its key and extras."""
    if len(step.request) < 24:
        return False
    _, _, key, extras, _, _, body = struct.unpack(">BBHBBHI", step.request[:12])
    return body < key + extras


def closes(step):
    """All that was answered before the end is lost: theirs begins like ours, and is shorter."""
    return _cut_off(*step.answer())


def _cut_off(theirs, ours):
    end = b"(closed)"
    return (theirs.endswith(end) and ours.endswith(end) and len(theirs) < len(ours)
            and ours.startswith(theirs[:-len(end)]))


FLUSH = re.compile(rb"flush_all|\x80[\x08\x18]\x00\x00")
DELAYED = re.compile(rb"flush_all +\+?0*[1-9<]|\x80[\x08\x18]\x00\x00\x04.{19}(?!\x00{4})", re.S)


def flushed_otherwise(step):
    """There was a delayed flush, and one side takes an item for flushed that the other does not."""
    past = step.past + step.request
    return DELAYED.search(past) is not None and (
        "get_flushed" in step.their_counts or step.reclaimed > 0)


def reclaimed(step):
    """memcached has used up items that were over, so it does not meet them any more."""
    return step.reclaimed > 0 and all(
        step.their_counts[name] <= step.our_counts[name]
        for name in ("get_expired", "get_flushed") if name in step.their_counts)


def _sent(case):
    return b"".join(r for s in case if s[0] == "talk" for r in s[2])


def cut_off_together(run, _):
    """Answers are lost on a connection that was closed; fewer if their request came in two.

    A long line that is cut closes the connection, and one that is whole does not.
    """
    if run.step.theirs and all(
            _cut_off(b"".join(run.step.theirs[name]), b"".join(run.step.ours[name]))
            for name in run.step.theirs):
        return True
    if all(_until_closed(run.said[side][name], run.alone[side].get(name, []))
           for name in run.step.theirs for side in (0, 1)):
        return True
    if not run.ours_same():
        return False
    other = [n for n, said in run.said[0].items() if said != run.alone[0].get(n)]
    return bool(other) and all(side[0].get(name, [])[-1:] == [b"(closed)"]
                               for name in other for side in (run.said, run.alone))


def _until_closed(said, alone):
    """The connection was closed, and all that was said before is as it was with cuts elsewhere."""
    return said[-1:] == [b"(closed)"] and alone[:len(said) - 1] == said[:-1]


def withdrawn_together(run, case):
    """A get with a bad key has taken answers to earlier requests away with its own."""
    return bool(run.theirs_lost()) and \
        re.search(rb"\b(?:gets?|gats?) [^\n]*[^ \n]{251}", _sent(case)) is not None


def held_back_together(run, case):
    """The last answers are not there yet, since a value is being waited for."""
    lost = run.theirs_lost()
    return bool(lost) and all(
        run.alone[0][name][:len(run.said[0][name])] == run.said[0][name] for name in lost) and \
        re.search(rb"\b(?:set|add|replace|append|prepend|cas|ms) |"
                  rb"\x80[\1\2\3\x0e\x0f\x11\x12\x13\x19\x1a\x21\x22]", _sent(case)) is not None


def held_together(run, case):
    """A counter was changed in the same go as it was read."""
    if not any(_reads_then_counts(s[2]) for s in case if s[0] == "talk"):
        return False
    if any(re.search(rb"\b(?:gets?|gats?|mg|ma) .*\bma [^\n]* T", b"".join(s[2]), re.S)
           for s in case if s[0] == "talk"):
        return True  # T reached the item that was held and not the new one
    if run.their_counts() - {"total_items", "curr_items", "get_expired", "get_flushed"}:
        return False
    return all(_unpadded(answers) == _unpadded(run.alone[0].get(name, [])[:len(answers)])
               for name, answers in run.said[0].items())


def _reads_then_counts(requests):
    sent = b"".join(requests)
    return re.search(rb"(?:gets?|gats?|mg|ma) .*(?:incr|decr|ma) ", sent, re.S) is not None or \
        re.search(rb"\x80[\x00\x09\x0c\x0d\x1c\x1d\x1e\x23\x24].*\x80[\x05\x06\x15\x16]", sent,
                  re.S) is not None


def _unpadded(answers):
    """Without the blanks behind numbers and what else a new item instead of an old one changes."""
    text = re.sub(rb"(VALUE \S+ \d+|VA) \d+", rb"\1", b"".join(answers))
    text = re.sub(rb" t-?\d+| [WXZ](?=[ \r])| s\d+| h\d| l\d+", b"", text)
    text = re.sub(rb" k\S+(?: b)?", b"", text)
    text = re.sub(rb" (?:fetch|la|exp|cls|size)=[-\w]+", b"", text)
    return text.replace(b" ", b"")


BLANKS = re.compile(rb" 2(?: [^\n]*)?\r?\n\r\n\r\n|"
                    rb"\x80[\1\2\3\x11\x12\x13].{22,}\r\n(?:\x80|$)", re.S)
COUNTS = re.compile(rb"\b(?:incr|decr|ma) |\x80[\5\6\x15\x16]")


def blank_together(_, case):
    """Blanks or long numbers were stored and counted: what memcached makes of them is chance."""
    sent = _sent(case)
    return COUNTS.search(sent) is not None and (
        BLANKS.search(sent) is not None or re.search(rb"\d{20}|\xff{8}", sent) is not None)


def time_lost(step):
    """The key was counted by an ma with T earlier."""
    counted = [found for found in _split(step.past)
               if found[:1] == [b"ma"] and any(word[:1] == b"T" for word in found[2:])]
    return any(_keys(found) & names(step) for found in counted)


class Together:
    """An entry about requests that are answered otherwise when they come in one go."""

    def __init__(self, name, why, when, cut=False):
        self.name = name
        self.why = why
        self.when = when
        self.cut = cut  # our own answers may be others too, since cuts matter
        self.met = 0
        self.parts = True


ME = [(rb"(?<= exp=)-?\d+", b""), (rb" cls=\d+ size=\d+", b"")]  # always different in "me"

LIST = [
    Difference("short-line", OLD + ": answers ERROR or MN to a line of less than 4 bytes, its end "
               "counted", rb"(?:.*\n)?[^\n]{0,2}\n.*",
               blur=[(rb"(?:CLIENT_ERROR bad command line format|ERROR|MN)\r\n", b"~")]),
    Difference("short-line-behind-chunk", OLD + ": the same of what a bad chunk leaves over",
               rb".*", blur=[(rb"(?:CLIENT_ERROR bad command line format|ERROR|MN)\r\n", b"~")],
               when=lambda s: b"CLIENT_ERROR bad data chunk\r\n" in s.answer()[1]
               or b"noreply" in s.past + s.request),
    Difference("missing-words", OLD + ": answers ERROR to a command that lacks words",
               rb"[^\n]*\n.*", rb"(?:ERROR|END|CLIENT_ERROR invalid exptime argument)\r\n.*",
               BAD + rb".*", when=too_few),
    Difference("words-too-many", OLD + ": answers ERROR to words that are too many, where we "
               "ignore them", rb"[^\n]*\n.*", rb"ERROR\r\n.*", rb".*", parts=True, when=too_many),
    Difference("bad-line-swallows-data", OLD + ": takes the data of a bad line for commands",
               rb"(?:" + STORAGE + rb"|ms [^\n]*\n.*)",
               rb".*", rb".*", parts=True, when=bad_storage),
    Difference("noreply-hides-bad-length", OLD + ": noreply hides the complaint about a length "
               "that cannot be read", rb"[^\n]* noreply *\r?\n.*", rb".*", BAD + rb".*",
               parts=True),
    Difference("bad-line-data-begun", OLD + ": the same, and the data's last line was not whole "
               "yet", rb".*", rb".*", rb".*", parts=True, when=bad_storage_before),
    Difference("refusal-before-data", OURS + ": a bad line is answered at once and not behind its "
               "data", rb"(?:" + STORAGE + rb"|ms [^\n]*\n.*)", rb"",
               rb"(?:CLIENT|SERVER)_ERROR[^\r]*\r\n", parts=True, when=lacks_data),
    Difference("bin-refusal-before-data", OURS + ": the same in the binary protocol",
               rb"\x80.*", rb"", rb"op=.. status=03 .*", parts=True, binary=True,
               when=lambda s: len(s.request) < 24 + _body_length(s)),
    Difference("bin-refusal-before-key", OURS + ": a packet whose lengths are wrong is refused as "
               "they are read; memcached first waits for its extras and key", rb"\x80.*", rb"",
               rb"op=.. status=04 .*\(closed\)", parts=True, binary=True, when=lacks_key),
    Difference("nul-ends-line", OLD + ": a line ends at a NUL",
               rb"[^\n]*\x00[^\n]*\n.*", rb".*", rb".*", parts=True),
    Difference("leading-blank", OLD + ": blanks in front of a command are skipped",
               rb" +[^ \n][^\n]*\n.*", rb".*", rb"(?:CLIENT_)?ERROR.*", parts=True),
    Difference("meta-too-many-flags", OLD + ": words it otherwise, and says so before anything "
               "else", rb"m[sgad] [^\n]*\n.*", rb"CLIENT_ERROR options flags too long\r\n.*",
               rb"CLIENT_ERROR (?:options flags are too long|bad command line format)\r\n.*",
               parts=True),
    Difference("md-bad-flag", OLD + ": has one complaint for all flags of md",
               rb"md [^\n]*\n", rb"CLIENT_ERROR invalid or duplicate flag\r\n",
               rb"CLIENT_ERROR [^\r]*\r\n"),
    Difference("ms-size", OLD + ": has no s for ms",
               rb"ms [^\n]*\n.*", blur=[(rb" s\d+", b"")], when=lambda s: b"s" in flags(s)),
    Difference("M-length", OLD + ": M takes exactly one character",
               rb"m[sgad] [^\n]*\n.*", rb"CLIENT_ERROR (?:incorrect length for M token|invalid or "
               rb"duplicate flag)\r\n.*", rb".*", parts=True,
               when=lambda s: any(w[:1] == b"M" and len(w) != 2 for w in words(s)[2:])),
    Difference("ms-vivify", OLD + ": has no N for ms",
               rb"ms [^\n]*\n.*", rb"NS.*", rb"(?:HD.*)?", parts=True,
               when=lambda s: b"N" in flags(s)),
    Difference("new-meta-flags", OLD + ": does not know the flags E and x",
               rb"m[sgad] [^\n]*\n.*",
               rb"(?:CLIENT_ERROR bad data chunk\r\n)?"
               rb"CLIENT_ERROR invalid (?:or duplicate )?flag\r\n.*",
               rb".*", parts=True, when=lambda s: flags(s) & {b"E", b"x"}),
    Difference("me-exp-sign", OLD + ": prints the wrong sign before the seconds left; class and "
               "size are those of the engine", rb"me [^\n]*\n", blur=ME),
    Difference("exact-access", OURS + ": every access is noted; memcached notes one after a minute",
               rb"m[eg] [^\n]*\n", blur=[(rb" la=\d+", b""), (rb" l\d+", b"")] + ME),
    Difference("key-shown-raw", BUG + ": a base64 key of an item that mg or ma has made, or that "
               "came otherwise, is shown raw",
               rb"m[gea] [^\n]*\n", blur=[(rb" k\S+(?: b)?", b" k"), (rb"^ME .+?(?= exp=)", b"ME")] + ME,
               when=lambda s: re.search(rb"m[sgae] \S+[^\n]* b", s.past + s.request)),
    Difference("C0-compares-nothing", BUG + ": C0 is no comparison for append and ma",
               rb"m[sa] [^\n]*\n.*", rb"(?:HD.*|VA.*|CLIENT_ERROR cannot.*)?", rb"EX.*",
               parts=True, when=lambda s: b"C0" in words(s)),
    Difference("flush-delayed", BUG + ": a delayed flush acts a second early, takes what is stored "
               "in that second with it, and a second one revives what the first has flushed",
               rb".*", rb".*", rb".*", parts=True, binary=None, when=flushed_otherwise),
    Difference("reclaimed-early", OURS + ": memcached with one LRU list first looks for an item "
               "that is over when it needs memory", rb".*", binary=None, when=reclaimed,
               counts=dict.fromkeys(("curr_items", "get_expired", "get_flushed"), ANY)),
    Difference("close-drops-answers", BUG + ": closing over a bad request takes along answers to "
               "those before it", rb".*", rb".*", rb".*", binary=None, when=closes),
    Difference("bin-short-body", OLD + ": waits for the key of a body that is shorter than it, or "
               "closes without a word", rb"\x80.*", rb"(?:\(closed\))?",
               rb"op=.. status=81 .*\(closed\)", parts=True, binary=True, when=short_body),
    Difference("ma-T-lost", BUG + ": T of an ma is lost if the number gets longer",
               rb".*", rb".*", rb".*", parts=True, binary=None, when=time_lost),
    Difference("ttl-over", BUG + ": a time to live that is over shows as one near 2^32",
               rb"m[ga] [^\n]*\n", blur=[(rb" t(?:0|[2-4]\d{9})(?=[ \r])", b" t~")]),
    Difference("key-with-line-end", BUG + ": a base64 key of an item that mg or ma has made is "
               "shown raw, line ends too", rb"m[gea] [^\n]* b[ \r\n].*", rb".*", rb".*",
               parts=True, when=lambda s: words(s)[1] == b"DQo="),
    Difference("long-opaque", BUG + ": a long opaque is refused when the command has been done",
               rb"m[ga] [^\n]*\n", rb"CLIENT_ERROR (?:opaque token too long|cannot increment[^\r]*)\r\n",
               rb"CLIENT_ERROR opaque token too long\r\n", parts=True),
    Difference("wide-flags", BUG + ": client flags from 2^32 on wrap", rb"[^\n]*\n.*", rb".*",
               rb"(?:CLIENT_ERROR.*)?", parts=True, when=lambda s: any(
                   re.fullmatch(rb"F?\+?\d{10,}", word) for word in words(s)[2:])),
    Difference("base64-junk", BUG + ": junk behind a base64 key is not looked at",
               rb"m[sgad] [^\n]*\n.*", rb".*",
               rb"CLIENT_ERROR (?:error decoding key|invalid or duplicate flag)\r\n.*", parts=True),
    Difference("wide-length", OLD + ": lengths beyond 32 bits wrap", STORAGE, rb".*", rb".*",
               parts=True, when=lambda s: len(words(s)) > 4 and (
                   re.fullmatch(rb"\+?\d{10,}|<cas.*", words(s)[4]) is not None)),
    Difference("bin-too-large", OURS + ": the binary protocol counts store_too_large too",
               rb"\x80[\1\2\3\x11\x12\x13\x0e\x0f\x19\x1a].*", counts={"store_too_large": (0, 1)},
               binary=True),
    Difference("wide-time", OLD + ": times beyond 32 bits wrap", rb".*", rb".*", rb".*",
               parts=True, binary=None, when=wide_time),
    Difference("automove-window", OLD + ": takes no \"slabs automove window N\" and no "
               "\"freeratio\"", rb"slabs automove (?:window|freeratio)[^\n]*\n", BAD,
               rb"(?:OK|ERROR|CLIENT_ERROR automove window too low or too high)\r\n|"),
    Difference("tune-range", OURS + ": the ratio of automove and the shares of lru tune have the "
               "limits that they have as options", rb"(?:slabs automove ratio (?:-|[1-9])|"
               rb"lru tune (?:80|\d+ 0 |0 ))[^\n]*\n", rb"OK\r\n", rb"ERROR\r\n", parts=True),
    Difference("stats-extstore", OURS + ": there is no extstore", rb"stats extstore\r?\n",
               rb"END\r\n", rb"ERROR\r\n"),
    Difference("ma-quiet-create", OLD + ": answers, in spite of q, that a counter was created",
               rb"ma [^\n]*\n", rb"(?:HD|VA).*", rb"", parts=True,
               when=lambda s: {b"N", b"q"} <= flags(s)),
    Difference("open-counter", BUG + ": incr of blanks, or until 1.6.22 of 20 digits, reads on "
               "behind the value", rb"(?:incr|decr|ma) [^\n]*\n|\x80[\x05\x06\x15\x16].*",
               rb".*", rb".*",               parts=True, binary=None, when=open_counter),
    Difference("long-counter", OURS + ": values of more than 4 KiB are no counters; in memcached "
               "those of up to 512 KiB are that begin with a number and a blank",
               rb"(?:incr|decr|ma) [^\n]*\n|\x80[\x05\x06\x15\x16].*", rb".*",
               rb"(?:CLIENT_ERROR cannot inc.*|op=.. status=06.*|EX.*|op=.. status=02.*)?",
               binary=None, parts=True, when=lambda s: len(counter(s) or b"") > 4096),
    Difference("blank-behind-number", OURS + ": a number does not end with a tab or carriage "
               "return", rb"[^\n]*[\d>][\t\r\v\f]+(?: |\n|\r\n).*", rb".*", rb".*", parts=True),
    Difference("line-over-buffer", OURS + ": a line that is longer than memcached's buffer of 16 "
               "KiB and whole is answered", rb"(?:.*\n)?[^\n]{16000,}\n.*", rb".*\(closed\)",
               rb".*", parts=True),
    Difference("bin-wrong-magic", OURS + ": closes at the first wrong byte and not after 24",
               rb".*", rb"(.*)", rb".*\(closed\)", parts=True, binary=True, when=misaligned),
    Difference("bin-huge-body", OLD + ": takes a body of more than 1 GiB for one that is too "
               "large, where it is refused unseen", rb"\x80.*", rb"(?:op=.. status=03.*)?",
               rb"op=.. status=04 .*\(closed\)", parts=True, binary=True,
               when=lambda s: _body_length(s) > 2**30),
    Difference("bin-value-of-nothing", BUG + ": a value behind the key of stat, touch and gat is "
               "not refused, and taken for the next packet", rb"\x80[\x10\x1c\x1d\x1e\x23\x24].*",
               rb".*", rb"op=.. status=04 .*\(closed\)", parts=True, binary=True),
    Difference("keys-before-bad-one", OURS + ": a get with a bad key looks nothing up",
               rb"(?:gets?|gats?) [^\n]*\n", BAD, BAD, parts=True,
               when=lambda s: any(len(w) > 250 for w in words(s))),
    Difference("bin-unknown-body", BUG + ": the body of an unknown opcode is waited for twice",
               rb"\x80.*", rb"", rb"op=.. status=81 .*", parts=True, binary=True,
               when=body_beyond_header),
    Difference("bin-stat-prefix", OURS + ": names of statistics are exact",
               rb"\x80\x10.*resetx", rb"op=10 status=00 .*", rb"op=10 status=01 .*", parts=True,
               binary=True),
]

TOGETHER = [
    Together("close-drops-answers-together", BUG + ": closing over a bad request takes along "
             "answers to those before it", cut_off_together, cut=True),
    Together("bad-key-drops-answers", BUG + ": a bad key in get takes along the answers to "
             "requests before it", withdrawn_together),
    Together("open-counter-together", BUG + ": incr of blanks reads on behind the value, and "
             "what it finds there may be a number or not", blank_together),
    Together("answers-held-back", OURS + ": memcached sends answers only when it has used up its "
             "input, or waits for a new line", held_back_together),
    Together("held-counter", OURS + ": memcached pads a shorter number in place unless an answer "
             "that was not sent yet holds the item", held_together),
]



def table():
    """The list as rows for people."""
    return ["| `%s` | %s |" % (entry.name, entry.why) for entry in LIST + TOGETHER]


if __name__ == "__main__":
    print("\n".join(table()))
