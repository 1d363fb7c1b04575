"""The reviewed list of what memcached 1.6.18 answers and Magpie does not, on purpose.

Whatever differs and is not explained by an entry is a failure.  A long run fails on an entry that
it never met.
"""

import re

from conditions import (
    BAD, STORAGE, bad_storage, bad_storage_before, blank_together, body_beyond_header,
    body_length, closes, counter, cut_off_together, flags, flushed_otherwise, held_back_together,
    held_together, lacks_data, lacks_key, misaligned, open_counter, reclaimed, short_body,
    time_lost, too_few, too_many, wide_flags, wide_time, withdrawn_together, words)

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


class Together:
    """An entry about requests that are answered otherwise when they come in one go."""

    def __init__(self, name, why, when, cut=False):
        self.name = name
        self.why = why
        self.when = when
        self.cut = cut  # our own answers may be others too, since cuts matter
        self.met = 0
        self.parts = True


# Answers that depend on what is stored, and no complaint about a request.
OF_ITEMS = (rb"(?:(?!\bERROR\r|CLIENT_ERROR (?!cannot)|SERVER_ERROR|\(closed\)|"
            rb"status=(?:0[34]|8)).)*")
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
               rb"(?:(?:CLIENT_)?ERROR.*)?", rb"(?:CLIENT_ERROR.*)?", parts=True,
               when=bad_storage),
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
               when=lambda s: len(s.request) < 24 + body_length(s)),
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
               rb"m[gea] [^\n]*\n",
               blur=[(rb" k\S+(?: b)?", b" k"), (rb"^ME .+?(?= exp=)", b"ME")] + ME,
               when=lambda s: re.search(rb"m[sgae] \S+[^\n]* b", s.past + s.request)),
    Difference("C0-compares-nothing", BUG + ": C0 is no comparison for append and ma",
               rb"m[sa] [^\n]*\n.*", rb"(?:HD.*|VA.*|CLIENT_ERROR cannot.*)?", rb"EX.*",
               parts=True, when=lambda s: b"C0" in words(s)),
    Difference("flush-delayed", BUG + ": a delayed flush acts a second early, takes what is stored "
               "in that second with it, and a second one revives what the first has flushed",
               rb".*", OF_ITEMS, OF_ITEMS, parts=True, binary=None, when=flushed_otherwise),
    Difference("reclaimed-early", OURS + ": memcached with one LRU list first looks for an item "
               "that is over when it needs memory", rb".*", binary=None, when=reclaimed,
               counts=dict.fromkeys(("curr_items", "get_expired", "get_flushed"), ANY)),
    Difference("close-drops-answers", BUG + ": closing over a bad request takes along answers to "
               "those before it", rb".*", rb".*", rb".*", binary=None, when=closes),
    Difference("bin-short-body", OLD + ": waits for the key of a body that is shorter than it, or "
               "closes without a word", rb"\x80.*", rb"(?:\(closed\))?",
               rb"op=.. status=81 .*\(closed\)", parts=True, binary=True, when=short_body),
    Difference("ma-T-lost", BUG + ": T of an ma is lost if the number gets longer",
               rb".*", OF_ITEMS, OF_ITEMS, parts=True, binary=None, when=time_lost),
    Difference("ttl-over", BUG + ": a time to live that is over shows as one near 2^32",
               rb"m[ga] [^\n]*\n", blur=[(rb" t(?:0|[2-4]\d{9})(?=[ \r])", b" t~")]),
    Difference("key-with-line-end", BUG + ": a base64 key of an item that mg or ma has made is "
               "shown raw, line ends too", rb"m[gea] [^\n]* b[ \r\n].*", rb".*", rb".*",
               parts=True, when=lambda s: words(s)[1] == b"DQo="),
    Difference("long-opaque", BUG + ": a long opaque is refused when the command has been done",
               rb"m[ga] [^\n]*\n",
               rb"CLIENT_ERROR (?:opaque token too long|cannot increment[^\r]*)\r\n",
               rb"CLIENT_ERROR opaque token too long\r\n", parts=True),
    Difference("long-opaque-accessed", BUG + ": and the item has been accessed",
               rb"m[ge] [^\n]*\n", blur=[(rb" [hl]\d+", b""), (rb" (?:fetch|la)=\w+", b"")] + ME,
               when=lambda s: re.search(rb"\bm[ga] [^\n]* O\S{32,}", s.past) is not None),
    Difference("wide-flags", BUG + ": client flags from 2^32 on wrap", rb"[^\n]*\n.*", rb".*",
               rb"(?:(?:CLIENT_)?ERROR.*)?", parts=True, when=wide_flags),
    Difference("base64-junk", BUG + ": junk behind a base64 key is not looked at",
               rb"(?:m[sgad] [^\n]*|me [^ \n]+ b *\r?)\n.*", rb".*",
               rb"CLIENT_ERROR (?:error decoding key|invalid or duplicate flag|bad command line "
               rb"format)\r\n.*", parts=True, when=lambda s: b"b" in words(s)[2:]),
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
    Difference("stats-extstore", OURS + ": there is no extstore", rb"stats extstore *\r?\n",
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
               when=lambda s: body_length(s) > 2**30),
    Difference("bin-value-of-nothing", BUG + ": a value behind the key of stat, touch and gat is "
               "not refused, and taken for the next packet", rb"\x80[\x10\x1c\x1d\x1e\x23\x24].*",
               rb".*", rb"op=.. status=04 .*\(closed\)", parts=True, binary=True),
    Difference("keys-before-bad-one", OURS + ": a get with a bad key looks nothing up",
               rb"(?:gets?|gats?) [^\n]*\n", BAD, BAD, parts=True,
               when=lambda s: any(len(w) > 250 for w in words(s))),
    Difference("bin-unknown-body", BUG + ": the body of an unknown opcode is waited for twice",
               rb"\x80.*", rb"", rb"op=.. status=81 .*", parts=True, binary=True,
               when=body_beyond_header),
    Difference("detail-of-meta", OURS + ": stats detail counts the keys of mg, ms and md too",
               rb"stats detail dump\r?\n|\x80\x10.*detail dump", binary=None,
               blur=[(rb"PREFIX [^\n]*\n", b"")],
               when=lambda s: re.search(rb"\bm[gsd] ", s.past) is not None),
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
